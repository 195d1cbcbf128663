// How marks look: their colour and opacity, which this browser remembers, and whether they are hidden.

import { choose } from "./dom.js";

const $ = (id) => document.getElementById(id);

export class Looks {
  constructor(painting) {
    this.painting = painting;
    this.hidden = false;
    const { colour, opacity } = JSON.parse(localStorage.getItem("marks-look") ?? "{}");
    this.button = document.querySelector(`[data-colour="${colour}"]`) ?? document.querySelector("[data-colour]");
    $("opacity").value = opacity ?? 72;
    for (const button of document.querySelectorAll("[data-colour]")) {
      button.style.setProperty("--swatch", button.dataset.colour);
      button.addEventListener("click", () => { this.button = button; this.#keep(); });
    }
    $("opacity").addEventListener("input", () => this.#keep());
    $("hide-marks").addEventListener("click", () => this.setHidden(!this.hidden));
  }

  show() {
    const { colour } = this.button.dataset, [red, green, blue] = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
    choose(this.button.parentElement, this.button);
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
    localStorage.setItem("marks-look", JSON.stringify({ colour: this.button.dataset.colour, opacity: $("opacity").value }));
    this.show();
  }
}
