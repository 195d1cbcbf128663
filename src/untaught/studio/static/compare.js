// Comparing: before and after by a divider, side by side or by turns; a loupe; their brightness; another result of the same picture; and
// the strength of a denoised picture, which lies between pictures that the server has.

import { bitmap } from "./api.js";
import { make } from "./dom.js";
import { Histogram } from "./histogram.js";
import { shares } from "./softness.js";
import { levels } from "./stage.js";
import { aboutJob, say } from "./words.js";

const SETTLED = 700; // milliseconds without a change
const SWEEP = 1600; // milliseconds
const $ = (id) => document.getElementById(id);

export class Compare {
  // `setStrength` makes the result anew.
  constructor(stage, { setStrength }) {
    this.stage = stage;
    this.setStrength = setStrength;
    this.histogram = new Histogram(stage);
    stage.onPicture = () => { this.histogram.draw(); this.#showTools(); };
    this.#listen();
  }

  begin() {
    this.open = true;
    this.facts = this.before = this.mask = this.strengths = this.wanted = null;
    this.others = "";
    $("against").replaceChildren(); // what was chosen was a result of another picture
    $("against-part").hidden = $("strength-part-after").hidden = true;
    $("tag-before").textContent = say("compare.before");
    $("tag-after").textContent = say("compare.after");
    this.stage.against = null;
    this.#setLoupe(false);
    this.#setView("divider");
    this.#setDivide(0.5);
  }

  end() {
    this.open = false;
    this.#showTools();
    this.stage.heat = this.stage.against = null;
    this.#setLoupe(false);
    this.histogram.toggle(false);
  }

  // What is shown: the picture before, and what was marked in it, if the rest is kept.
  take(facts, before, mask) {
    this.facts = facts;
    this.before = before;
    this.mask = mask && missingOf(mask, before, facts.settings);
  }

  // Returns a preview with the pixels of the picture before wherever nothing was marked: previews are smaller JPEGs.
  composed(preview) {
    const { before, mask } = this;
    if (!mask) return preview;
    const canvas = new OffscreenCanvas(before.width, before.height), context = canvas.getContext("2d");
    context.drawImage(mask, 0, 0);
    context.globalCompositeOperation = "source-in";
    context.drawImage(preview, 0, 0, before.width, before.height);
    context.globalCompositeOperation = "destination-over";
    context.drawImage(before, 0, 0);
    return canvas.transferToImageBitmap();
  }

  // Offers the other results of this picture that have its size.
  offer(facts, jobs) {
    if (!facts || !this.open) return;
    const same = jobs.filter((one) => one.picture === facts.picture && one.id !== facts.id && one.state === "done"
      && JSON.stringify(one.crop) === JSON.stringify(facts.crop) && one.width === facts.width && one.height === facts.height);
    const key = same.map((one) => one.id + aboutJob(one)).join();
    if (key === this.others) return;
    this.others = key;
    const chosen = $("against").value, options = same.map((one) => make("option", { value: one.id, textContent: aboutJob(one) }));
    $("against").replaceChildren(make("option", { value: "", textContent: say("compare.before") }), ...options);
    $("against").value = same.some((one) => one.id === chosen) ? chosen : "";
    this.#showTools();
  }

  stopAgainst() {
    if (!$("against").value) return;
    $("against").value = "";
    this.#setAgainst();
  }

  async #setAgainst() {
    const { facts } = this, identity = $("against").value;
    const other = identity ? await bitmap(`/jobs/${identity}/files/view`) : null;
    if (facts !== this.facts || identity !== $("against").value) return;
    this.stage.against = other && await levels(other);
    this.histogram.draw();
    $("tag-before").textContent = other ? $("against").selectedOptions[0].textContent : say("compare.before");
    this.showAfter();
    this.stage.draw();
  }

  // Says what stands at the right; the previews of a job that runs are no result yet.
  showAfter(state = this.state) {
    this.state = state;
    $("tag-after").textContent = $("against").value ? aboutJob(this.facts) : say(state === "running" ? "compare.draft" : "compare.after");
  }

  // Strength --------------------------------------------------------------------------------------------------------

  // The result is there, with the strength that it was made with; what was chosen meanwhile is asked for next.
  offerStrength(facts) {
    const strength = facts.settings.strength ?? 1;
    this.facts = facts;
    $("strength-part-after").hidden = !facts.has_strengths;
    if (this.wanted !== null && this.wanted !== strength) { this.#ask(); return; }
    this.wanted = null;
    $("strength-after").value = $("strength-after-shown").value = strength;
  }

  #ask() {
    clearTimeout(this.asking);
    this.asking = setTimeout(() => { if (this.wanted !== null && this.open) this.setStrength(this.wanted); }, SETTLED);
  }

  // While the slider moves: one picture after the other, the last one in the end.
  async #blend() {
    const { facts, before } = this;
    this.wanted = Number($("strength-after").value);
    $("strength-after-shown").value = this.wanted;
    this.#ask();
    if (this.blending) return;
    this.blending = true;
    this.strengths ??= await Promise.all(["denoised", "smoothed"].map((name) => bitmap(`/jobs/${facts.id}/files/${name}`)));
    let shown = null;
    while (shown !== $("strength-after").value && facts.id === this.facts?.id && this.strengths.every(Boolean)) {
      shown = $("strength-after").value;
      const [denoised, smoothed] = this.strengths, strength = Number(shown);
      const [from, to, share] = strength <= 1 ? [before, denoised, strength] : [denoised, smoothed, 2 * (strength - 1)];
      const canvas = new OffscreenCanvas(before.width, before.height), context = canvas.getContext("2d");
      context.drawImage(from, 0, 0);
      context.globalAlpha = share;
      context.drawImage(to, 0, 0);
      await this.stage.setAfter(canvas.transferToImageBitmap());
    }
    this.blending = false;
  }

  // Views -----------------------------------------------------------------------------------------------------------

  #setView(view) {
    const { stage } = this, wasSide = stage.view === "side";
    stage.view = view;
    for (const button of document.querySelectorAll("[data-view]")) {
      button.setAttribute("aria-checked", String(button.dataset.view === view));
      button.tabIndex = button.dataset.view === view ? 0 : -1;
    }
    this.#showTools();
    if (wasSide !== (view === "side")) stage.fit();
    stage.draw();
  }

  // Until there are two pictures, there is nothing to compare.
  #showTools() {
    const { stage } = this, two = Boolean(this.open && stage.after), appears = two && $("compare").hidden;
    $("compare").hidden = !two;
    $("against-part").hidden = !two || !this.others;
    $("divider").hidden = !two || stage.view !== "divider";
    $("tag-before").hidden = $("tag-after").hidden = !two || stage.view === "after";
    if (appears && stage.fitted) stage.fit();
  }

  #setDivide(share) {
    this.stage.divide = Math.min(1, Math.max(0, share));
    $("divider").style.left = `${100 * this.stage.divide}%`;
    $("divider").setAttribute("aria-valuenow", Math.round(100 * this.stage.divide));
    this.stage.draw();
  }

  // Once, at the end of a job that was watched: the divider shows all of the picture before, then all of the result.
  sweep() {
    const { stage } = this, began = performance.now();
    let last = 0.5;
    const step = (now) => {
      if (!this.open || stage.view !== "divider" || stage.divide !== last) return; // the user has moved it
      const share = Math.min(1, Math.max(0, now - began) / SWEEP);
      this.#setDivide(share < 1 ? 0.5 + 0.5 * Math.sin(2 * Math.PI * share) : 0.5);
      last = stage.divide;
      if (share < 1) requestAnimationFrame(step);
    };
    if (!matchMedia("(prefers-reduced-motion: reduce)").matches) requestAnimationFrame(step);
  }

  #hold(holding) {
    this.stage.holding = holding;
    this.stage.draw();
  }

  #setLoupe(on) {
    this.stage.loupe = on;
    $("loupe").setAttribute("aria-pressed", String(on));
    this.stage.draw();
  }

  #listen() {
    for (const button of document.querySelectorAll("[data-view]")) button.addEventListener("click", () => this.#setView(button.dataset.view));
    $("against").addEventListener("change", () => this.#setAgainst());
    $("strength-after").addEventListener("input", () => this.#blend());
    $("loupe").addEventListener("click", () => this.#setLoupe(!this.stage.loupe));

    const divider = $("divider");
    divider.addEventListener("pointerdown", (event) => divider.setPointerCapture(event.pointerId));
    divider.addEventListener("pointermove", (event) => {
      if (!divider.hasPointerCapture(event.pointerId)) return;
      const box = this.stage.canvas.getBoundingClientRect();
      this.#setDivide((event.clientX - box.left) / box.width);
    });
    divider.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -0.02, ArrowRight: 0.02, Home: -1, End: 1 }[event.key];
      if (!step) return;
      this.#setDivide(this.stage.divide + step);
      event.preventDefault();
    });

    const hold = $("hold");
    for (const name of ["pointerdown", "pointerup", "pointerleave", "blur"]) hold.addEventListener(name, () => this.#hold(name === "pointerdown"));
    hold.addEventListener("keydown", (event) => { if (event.key === " " || event.key === "Enter") this.#hold(true); });
    hold.addEventListener("keyup", () => this.#hold(false));
    addEventListener("blur", () => { this.#hold(false); }); // the key is let go elsewhere
    for (const [name, down] of [["keydown", true], ["keyup", false]]) {
      addEventListener(name, (event) => {
        if (!this.open || event.ctrlKey || event.metaKey || event.target.closest?.("input[type=number], input[type=text], dialog, select")) return;
        const key = event.key.toLowerCase();
        if (key === "b") this.#hold(down);
        if (key === "l" && !event.repeat) this.#setLoupe(down);
        if (key === "g" && down && !event.repeat) this.histogram.toggle(!this.histogram.shown);
      });
    }
  }
}

// Returns a canvas of the picture's size that is opaque where a mask is dark, and less so around it where its edge is soft.
function missingOf(mask, { width, height }, { feather = 0, grow = 0 }) {
  const canvas = new OffscreenCanvas(width, height), context = canvas.getContext("2d");
  context.drawImage(mask, 0, 0, width, height);
  const image = context.getImageData(0, 0, width, height), { data } = image;
  const marked = Uint8Array.from({ length: width * height }, (_, at) => (data[4 * at] < 128 ? 1 : 0));
  shares(marked, width, height, { left: 0, top: 0, right: width, bottom: height }, feather, grow).forEach((share, at) => { data[4 * at + 3] = share; });
  context.putImageData(image, 0, 0);
  return canvas;
}
