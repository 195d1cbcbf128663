// Painting the mask: tools, keys, suggested masks, loading and exporting.

import { suggested } from "./api.js";
import { Looks } from "./looks.js";
import { Marks } from "./marks.js";
import { Mask } from "./mask.js";
import { Suggestion } from "./suggestion.js";
import { say } from "./words.js";

const $ = (id) => document.getElementById(id);
const KEYS = { b: "brush", e: "eraser", r: "rectangle", l: "lasso", w: "wand", k: "pick", m: "hand" };
const CLICKS = ["wand", "pick"];

export class Painting {
  // Calls `onChange` after every step, `onSelect` with the box of a trial region, and `onError` with errors.
  constructor(stage, { onChange, onSelect, onError }) {
    this.stage = stage;
    this.onChange = onChange;
    this.onSelect = onSelect;
    this.onError = onError;
    this.tool = "brush";
    this.selecting = false;
    this.used = true;       // whether the task uses marks
    this.soft = 0;          // pixels around the marks over which the result will fade
    this.mask = null;
    this.looks = new Looks(this);
    this.#listen();
  }

  // Begins with an empty mask for a picture of this size.
  begin(width, height) {
    this.mask = new Mask(width, height);
    this.stage.overlay = this.mask.canvas;
    const { mask } = this;
    this.marks = new Marks(mask, {
      show: (text, bad = false) => { if (mask === this.mask) this.#showSaved(text, bad); },
      changed: () => { if (mask === this.mask) { this.stage.draw(); this.#changed(); } },
    });
    this.#showSaved("");
    this.suggestion = new Suggestion(mask);
    this.found = null; // what was looked for last, and how surely
    $("find-told").hidden = true;
    $("proposal").value = "auto";
    this.lastEnd = this.pixels = null;
    this.blobs = new Uint8Array(width * height); // what can be dropped and kept by a click
    this.looks.show();
    this.setSize(Math.max(3, Math.round(Math.min(width, height) / 30)));
    $("brush-size").max = Math.max(40, Math.round(Math.min(width, height) / 4));
    this.#changed();
  }

  end() {
    if (this.marks) this.left = this.marks.end();
    this.mask = this.marks = null;
    this.stage.cursor = this.stage.outline = null;
    this.setSelecting(false);
  }

  use(used) {
    this.used = used;
    this.stage.overlay = this.mask && used ? this.mask.canvas : null;
  }

  get active() { return this.mask !== null && (this.used || this.selecting) && this.stage.onStroke === this.stroke; }

  setTool(tool) {
    this.tool = tool;
    for (const button of document.querySelectorAll("[data-tool]")) {
      button.setAttribute("aria-checked", String(button.dataset.tool === tool));
      button.tabIndex = button.dataset.tool === tool ? 0 : -1;
    }
    this.stage.canvas.style.cursor = tool === "hand" ? "grab" : tool === "brush" || tool === "eraser" ? "none" : "crosshair";
    this.stage.cursor = null;
    $("size-part").hidden = tool === "wand";
    $("tolerance-part").hidden = tool !== "wand";
    this.stage.draw();
  }

  setSize(size) {
    const slider = $("brush-size");
    this.size = Math.round(Math.min(Number(slider.max), Math.max(1, size)));
    slider.value = this.size;
    $("brush-size-shown").value = this.size;
    if (this.stage.cursor) this.stage.cursor.radius = this.size / 2;
    this.stage.draw();
  }

  setSoft(soft) {
    if (soft === this.soft) return;
    this.soft = soft;
    this.mask?.paint(this.mask.colour, soft);
    if (this.stage.cursor) this.stage.cursor.soft = soft;
    this.stage.draw();
  }

  setSelecting(selecting) {
    this.selecting = selecting;
    $("try").setAttribute("aria-pressed", String(selecting));
    $("try-hint").hidden = !selecting;
    this.stage.selection = null;
    this.stage.canvas.style.cursor = "crosshair";
    if (!selecting) this.setTool(this.tool);
    this.stage.draw();
  }

  // Strokes, called by the stage ------------------------------------------------------------------------------------

  stroke = (phase, points, event) => {
    const { mask, stage } = this;
    if (!mask || (!this.used && !this.selecting)) return false;
    const round = (this.tool === "brush" || this.tool === "eraser") && !this.selecting;
    if (phase === "leave" || (phase === "hover" && !round)) {
      this.#cursor(null);
      return false;
    }
    if (phase === "start") {
      if (this.tool === "hand" && !this.selecting) return false;
      this.value = this.tool === "eraser" || event.altKey ? 0 : 1;
      this.straight = round && event.shiftKey;
      this.points = [this.straight ? this.lastEnd ?? points[0] : points[0]];
      this.looks.setHidden(false);
    }
    const end = points.at(-1) ?? this.latest;
    this.latest = end;
    if (round) {
      const touch = event?.pointerType === "touch";
      this.#cursor(touch && phase !== "start" && phase !== "move" ? null : { x: end[0], y: end[1], radius: this.size / 2, soft: this.soft });
      if (phase === "hover") return false;
      if (this.straight) {
        stage.outline = [this.points[0], end];
        if (phase === "end") mask.line(...this.points[0], ...end, this.size / 2, this.value);
        stage.draw();
      } else for (const point of points) {
        const from = this.points.at(-1);
        stage.draw(mask.line(...from, ...point, this.size / 2, this.value));
        this.points = [point];
      }
      this.lastEnd = end;
    } else if (CLICKS.includes(this.tool) && !this.selecting) {
      this.points.push(...points);
    } else {
      this.points.push(...points);
      const [first, last] = [this.points[0], this.points.at(-1)];
      stage.outline = this.tool === "lasso" && !this.selecting ? this.points : [first, [last[0], first[1]], last, [first[0], last[1]]];
      stage.draw();
    }
    if (phase === "cancel") {
      stage.outline = null;
      if (mask.commit()) mask.undo();
      mask.future = [];
      stage.draw();
    }
    if (phase === "end") this.#finish();
    return true;
  };

  #finish() {
    const { mask, stage, points } = this;
    stage.outline = null;
    const [first, last] = [points[0], points.at(-1)];
    if (this.selecting) {
      this.#select(first, last);
      return;
    }
    if (this.tool === "wand") this.#wand(...last);
    if (this.tool === "pick") this.#pick(...last);
    if (this.tool === "rectangle") mask.rectangle(...first, ...last, this.value);
    if (this.tool === "lasso" && points.length > 2) mask.polygon(points, this.value);
    stage.draw();
    if (mask.commit()) this.#changed();
  }

  // Marks what is connected with a pixel and of about its colour, and a pixel around it: edges are soft.
  #wand(x, y) {
    const { mask, stage } = this, column = Math.floor(x), row = Math.floor(y);
    if (column < 0 || row < 0 || column >= mask.width || row >= mask.height) return;
    this.pixels ??= pixelsOf(stage.before[0]);
    const { pixels } = this, tolerance = Number($("tolerance").value), at = 4 * (row * mask.width + column);
    const [red, green, blue] = pixels.subarray(at, at + 3);
    mask.fill(mask.wider(mask.connected(column, row, (index) => Math.abs(pixels[4 * index] - red) <= tolerance
      && Math.abs(pixels[4 * index + 1] - green) <= tolerance && Math.abs(pixels[4 * index + 2] - blue) <= tolerance)), this.value);
  }

  // Drops a connected piece of the marks, or keeps one again that was dropped.
  #pick(x, y) {
    const { mask, blobs } = this, found = this.#blobAt(Math.floor(x), Math.floor(y));
    if (!found.length) return;
    const dropping = found.some(([first, last]) => mask.data.subarray(first, last + 1).includes(1));
    if (dropping) for (const [first, last] of found) blobs.fill(1, first, last + 1);
    mask.fill(found, dropping ? 0 : 1);
  }

  // The piece nearest to a pixel, as far as a finger may miss it.
  #blobAt(x, y) {
    const { mask, blobs } = this, most = Math.max(1, Math.round(8 / this.stage.camera.scale));
    let nearest = null, distance = Infinity;
    for (let row = Math.max(0, y - most); row <= Math.min(mask.height - 1, y + most); row++) {
      for (let column = Math.max(0, x - most); column <= Math.min(mask.width - 1, x + most); column++) {
        const at = row * mask.width + column, apart = Math.hypot(row - y, column - x);
        if (apart < distance && (mask.data[at] || blobs[at])) { nearest = [column, row]; distance = apart; }
      }
    }
    return nearest ? mask.connected(...nearest, (index) => mask.data[index] || blobs[index]) : [];
  }

  #select([x0, y0], [x1, y1]) {
    const { width, height } = this.mask, within = (value, most) => Math.round(Math.max(0, Math.min(most, value)));
    const box = { left: within(Math.min(x0, x1), width), top: within(Math.min(y0, y1), height), right: within(Math.max(x0, x1), width), bottom: within(Math.max(y0, y1), height) };
    if (box.right - box.left < 16 || box.bottom - box.top < 16) {
      this.onError(new Error(say("start.too-small")));
      return;
    }
    this.stage.selection = box;
    this.stage.draw();
    this.onSelect(box);
  }

  #cursor(cursor) {
    const old = this.stage.cursor;
    this.stage.cursor = cursor;
    for (const one of [old, cursor]) {
      if (!one) continue;
      const around = one.radius + one.soft + 2 / this.stage.camera.scale;
      this.stage.draw({ left: one.x - around, top: one.y - around, right: one.x + around, bottom: one.y + around });
    }
  }

  // The whole mask --------------------------------------------------------------------------------------------------

  #showSaved(text, bad) {
    $("saved").textContent = text;
    $("saved").classList.toggle("danger", bad);
  }

  #changed() {
    const { mask } = this;
    $("undo").disabled = !mask.past.length;
    $("redo").disabled = !mask.future.length;
    for (const id of ["grow", "shrink", "clear"]) $(id).disabled = !mask.missing;
    this.#showShare();
    this.marks.save().catch(() => {}); // what went wrong is shown, and tried again
    this.onChange();
  }

  #showShare() {
    const { mask } = this, share = mask.missing / (mask.width * mask.height);
    const shown = share >= 0.1 ? share.toLocaleString("en", { style: "percent" }) : share.toLocaleString("en", { style: "percent", minimumSignificantDigits: 2, maximumSignificantDigits: 2 });
    $("missing").dataset.pixels = mask.missing;
    $("missing").textContent = mask.missing ? say("marks.share", { share: shown }) : say("marks.none");
  }

  step(name) {
    if (this.mask?.[name]()) {
      if (!["undo", "redo"].includes(name) || !this.mask.missing) this.suggestion.forget();
      this.stage.draw();
      this.#changed();
    }
  }

  load(picture) {
    if (picture.width !== this.mask.width || picture.height !== this.mask.height) {
      this.onError(new Error(say("marks.wrong-size", { width: picture.width, height: picture.height, wide: this.mask.width, high: this.mask.height })));
    } else if (this.mask.load(picture)) {
      this.suggestion.forget();
      this.stage.draw();
      this.#changed();
    }
  }

  // Shows the marks that the server has, before painting begins.
  restore(picture) {
    this.load(picture);
    this.mask.past = [];
    this.#changed();
  }

  // Marks what the server suggests. While the slider is `moving`: one suggestion after the other, the last one in the end.
  async propose(identity, moving = false) {
    this.wish = { kind: $("proposal").value, strength: $("strength").value / 100, moving };
    if (this.finding === this.mask) return;
    const button = $("propose"), { mask } = this, focused = document.activeElement === button;
    this.finding = mask;
    button.ariaBusy = "true";
    button.disabled = !moving;
    if (!moving) button.textContent = say("marks.looking");
    try {
      while (this.wish && mask === this.mask) { // else another picture has been opened meanwhile
        const { kind, strength, moving: still } = this.wish;
        this.wish = null;
        const found = await suggested(identity, kind, strength);
        if (mask !== this.mask) break;
        this.found = { kind, strength };
        this.#suggest(kind, found, still);
      }
    } catch (error) {
      this.onError(error);
    }
    if (this.finding !== mask) return;
    this.finding = null;
    button.ariaBusy = "false";
    button.disabled = false;
    if (focused && document.activeElement === document.body) button.focus();
    button.textContent = say("marks.propose");
  }

  #tellFind(key) {
    $("find-told").textContent = say(key);
    $("find-told").hidden = false;
    $("find-told").scrollIntoView({ block: "nearest" });
  }

  #suggest(kind, found, moving) {
    const { mask, suggestion } = this;
    this.blobs = found ? mask.read(found) : new Uint8Array(mask.data.length);
    suggestion.take(kind, this.blobs);
    if (moving) { this.#showShare(); this.stage.draw(); return; }
    this.#changed();
    if (found) this.setTool("pick");
    this.#tellFind(found ? "marks.pick" : "marks.not-found");
    this.stage.draw();
  }

  // Buttons and keys ------------------------------------------------------------------------------------------------

  #listen() {
    for (const button of document.querySelectorAll("[data-tool]")) {
      button.addEventListener("click", () => this.setTool(button.dataset.tool));
      button.addEventListener("keydown", (event) => {
        const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
        if (!step) return;
        const all = [...document.querySelectorAll("[data-tool]")], next = all[(all.indexOf(button) + step + all.length) % all.length];
        next.focus();
        this.setTool(next.dataset.tool);
      });
    }
    $("brush-size").addEventListener("input", () => this.setSize(Number($("brush-size").value)));
    for (const name of ["undo", "redo", "grow", "shrink", "invert", "clear"]) $(name).addEventListener("click", () => this.step(name));
    document.addEventListener("keydown", (event) => this.#key(event));
  }

  #key(event) {
    if (!this.active || event.target.closest("input:not([type=range], [type=checkbox]), select, dialog, textarea")) return;
    const command = event.ctrlKey || event.metaKey, key = event.key.toLowerCase();
    if (command && key === "z") this.step(event.shiftKey ? "redo" : "undo");
    else if (command && key === "y") this.step("redo");
    else if (command) return;
    else if (key === "[") this.setSize(Math.min(this.size - 1, this.size * 0.85));
    else if (key === "]") this.setSize(Math.max(this.size + 1, this.size * 1.18));
    else if (key === "{") this.#stepSoft(-1);
    else if (key === "}") this.#stepSoft(1);
    else if (key === "escape" && this.selecting) this.setSelecting(false);
    else if (key === "h") this.looks.setHidden(!this.looks.hidden);
    else if (KEYS[key]) this.setTool(KEYS[key]);
    else if (event.target === this.stage.canvas && this.#keyStroke(event)) { /* done */ }
    else return;
    event.preventDefault();
  }

  // The edge of the marks is a setting of the task.
  #stepSoft(step) {
    const slider = document.querySelector("[data-option=feather]");
    if (!slider) return;
    slider.value = Number(slider.value) + step;
    slider.dispatchEvent(new Event("input", { bubbles: true }));
  }

  // Keyboard only: arrows move the brush, Enter paints a dab.
  #keyStroke(event) {
    const step = (event.shiftKey ? 10 : 1) * Math.max(1, this.size / 4);
    const [dx, dy] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key] ?? [0, 0];
    if (!dx && !dy && event.key !== "Enter") return false;
    const at = this.stage.cursor ?? { x: this.mask.width / 2, y: this.mask.height / 2 };
    const within = (value, most) => Math.max(0, Math.min(most, value));
    const next = { x: within(at.x + dx * step, this.mask.width), y: within(at.y + dy * step, this.mask.height), radius: this.size / 2, soft: this.soft };
    this.#cursor(next);
    if (event.key === "Enter") {
      this.looks.setHidden(false);
      this.value = event.altKey ? 0 : 1;
      if (this.tool === "wand") this.#wand(next.x, next.y);
      else if (this.tool === "pick") this.#pick(next.x, next.y);
      else this.stage.draw(this.mask.line(next.x, next.y, next.x, next.y, this.size / 2, this.tool === "eraser" ? 0 : 1));
      if (this.mask.commit()) this.#changed();
    }
    return true;
  }
}

function pixelsOf(picture) {
  const canvas = new OffscreenCanvas(picture.width, picture.height), context = canvas.getContext("2d");
  context.drawImage(picture, 0, 0);
  return context.getImageData(0, 0, picture.width, picture.height).data;
}
