// How marks look: their colour and opacity, which this browser remembers, and whether they are hidden.

import { choose } from "./dom.js";

const $ = (id) => document.getElementById(id);

export class Looks {
  constructor(painting) {
    this.painting = painting;
    this.hidden = false;
    const { colour, opacity } = JSON.parse(localStorage.getItem("marks-look") ?? "{}");
    this.chosen = document.querySelector(`[data-colour="${colour}"]`); // by the user, else it suits the picture
    $("opacity").value = opacity ?? 72;
    for (const button of document.querySelectorAll("[data-colour]")) {
      button.style.setProperty("--swatch", button.dataset.colour);
      button.addEventListener("click", () => { this.chosen = button; this.#keep(); });
    }
    $("opacity").addEventListener("input", () => this.#keep());
    $("hide-marks").addEventListener("click", () => this.setHidden(!this.hidden));
  }

  show() {
    const button = this.chosen ?? contrasting(this.painting.stage.before?.[0]), [red, green, blue] = valuesOf(button);
    choose(button.parentElement, button);
    this.painting.mask?.paint((0xff << 24 | blue << 16 | green << 8 | red) >>> 0, this.painting.soft);
    this.setHidden(false);
  }

  setHidden(hidden) {
    this.hidden = hidden;
    $("hide-marks").setAttribute("aria-pressed", String(hidden));
    this.painting.stage.opacity = hidden ? 0 : Number($("opacity").value) / 100;
    this.painting.stage.draw();
  }

  #keep() {
    localStorage.setItem("marks-look", JSON.stringify({ colour: this.chosen?.dataset.colour, opacity: $("opacity").value }));
    this.show();
  }
}

const valuesOf = (button) => [1, 3, 5].map((at) => parseInt(button.dataset.colour.slice(at, at + 2), 16));

// The swatch whose hue is farthest from the mean colour of a picture; the first one where that is gray.
function contrasting(picture) {
  const swatches = [...document.querySelectorAll("[data-colour]")];
  if (!picture) return swatches[0];
  const context = new OffscreenCanvas(16, 16).getContext("2d");
  context.drawImage(picture, 0, 0, 16, 16);
  const sums = [0, 0, 0];
  context.getImageData(0, 0, 16, 16).data.forEach((value, at) => { if (at % 4 < 3) sums[at % 4] += value / 256; });
  if (!isColoured(sums)) return swatches[0];
  const apart = (button) => Math.cos(hueOf(valuesOf(button)) - hueOf(sums));
  return swatches.filter((button) => isColoured(valuesOf(button))).reduce((best, one) => (apart(one) < apart(best) ? one : best));
}

const isColoured = (values) => Math.max(...values) - Math.min(...values) > 16;

// An angle.
const hueOf = ([red, green, blue]) => Math.atan2(Math.sqrt(3) * (green - blue), 2 * red - green - blue);
