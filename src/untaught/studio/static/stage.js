// The stage shows the picture: its layers, a camera, and the comparison of before and after. Pointers move the camera;
// `onStroke` decides what else they do.
//
// Coordinates: "picture" means pixels of the picture, "screen" means CSS pixels from the corner of the canvas.

const MOST_ZOOM = 64, LOUPE_ZOOM = 3, LOUPE = 100; // the last one in CSS pixels

export class Stage {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.width = this.height = 0;      // of the picture
    this.camera = { scale: 1, x: 0, y: 0 };
    this.before = null;                // the bitmap at full, half, quarter size and so on
    this.after = null;
    this.against = null;               // another picture, shown instead of the one before
    this.loupe = false;                // whether what is under the pointer is enlarged
    this.pointer = null;               // where the pointer was last, on the screen
    this.overlay = null;               // a canvas over the before picture, such as the mask
    this.opacity = 1;                  // of the overlay
    this.heat = null;                  // a bitmap over the after picture
    this.selection = null;             // a box in picture coordinates
    this.outline = null;               // points of an unfinished lasso or rectangle
    this.cursor = null;                // {x, y, radius, soft} in picture coordinates
    this.view = "single";              // single, divider, side, after
    this.divide = 0.5;                 // share of the canvas' width
    this.holding = false;
    this.onStroke = null;              // (phase, points, event): "start", "move", "end", "hover", "leave"
    this.onChange = () => {};
    this.onPicture = () => {};         // another picture is shown
    this.space = false;
    this.dirty = null;
    this.fitted = true;
    this.pointers = new Map();
    this.turn = 0;                     // counts opened pictures, so that late levels of an earlier one are ignored
    this.#listen();
  }

  // Pictures --------------------------------------------------------------------------------------------------------

  // Shows a picture when all of it is ready. Returns false if another one was opened meanwhile.
  async open(bitmap, width = bitmap.width, height = bitmap.height) {
    const turn = ++this.turn, before = await levels(bitmap);
    if (turn !== this.turn) return false;
    this.width = width;
    this.height = height;
    this.after = this.against = this.heat = this.overlay = this.selection = this.outline = this.cursor = null;
    this.before = before;
    this.onPicture();
    this.fit();
    return true;
  }

  // The same picture as the server shows it.
  async setBefore(bitmap) {
    const { turn } = this, before = await levels(bitmap);
    if (turn !== this.turn) return;
    this.before = before;
    this.draw();
  }

  async setAfter(bitmap) {
    const { turn } = this, after = bitmap && await levels(bitmap);
    if (turn !== this.turn) return;
    this.after = after;
    this.onPicture();
    this.draw();
  }

  close() {
    this.turn++;
    this.before = this.after = this.heat = this.overlay = this.selection = null;
    this.width = this.height = 0;
    this.draw();
  }

  // Camera ----------------------------------------------------------------------------------------------------------

  get paneWidth() { return this.canvas.clientWidth / (this.view === "side" ? 2 : 1); }

  fit() {
    const bars = [...this.canvas.parentElement.querySelectorAll(".toolbar:not(.zoom)")].map((bar) => bar.offsetHeight);
    const margin = 24, above = 20 + Math.max(44, ...bars), wide = this.paneWidth - 2 * margin, tall = this.canvas.clientHeight - margin - above;
    if (!this.width || wide <= 0 || tall <= 0) return;
    const scale = Math.min(wide / this.width, tall / this.height, 8);
    this.camera = { scale, x: (this.paneWidth - this.width * scale) / 2, y: above + (tall - this.height * scale) / 2 };
    this.fitted = true;
    this.draw();
    this.onChange();
  }

  zoom(factor, x, y) {
    const { camera } = this, least = Math.min(1, 0.5 * Math.min(this.paneWidth / this.width, this.canvas.clientHeight / this.height));
    const scale = Math.min(MOST_ZOOM, Math.max(least, camera.scale * factor)), ratio = scale / camera.scale;
    const pane = this.#pane(x);
    this.camera = { scale, x: x - pane - (x - pane - camera.x) * ratio, y: y - (y - camera.y) * ratio };
    this.fitted = false;
    this.draw();
    this.onChange();
  }

  // One pixel of the picture for each of the screen.
  zoomToPixels() { this.zoom(1 / devicePixelRatio / this.camera.scale, this.canvas.clientWidth / 2, this.canvas.clientHeight / 2); }

  move(dx, dy) {
    this.camera.x += dx;
    this.camera.y += dy;
    this.fitted = false;
    this.draw();
  }

  toPicture(x, y) {
    return [(x - this.#pane(x) - this.camera.x) / this.camera.scale, (y - this.camera.y) / this.camera.scale];
  }

  // Returns the left edge of the pane at a screen position.
  #pane(x) { return this.view === "side" && x >= this.paneWidth ? this.paneWidth : 0; }

  // Drawing ---------------------------------------------------------------------------------------------------------

  // Draws at the next frame: a box in picture coordinates, or everything.
  draw(box = null) {
    if (!this.asked) requestAnimationFrame(() => this.#render());
    if (!box) this.dirty = "all";
    else if (!this.asked) this.dirty = box;
    else if (this.dirty !== "all") {
      const old = this.dirty;
      this.dirty = { left: Math.min(old.left, box.left), top: Math.min(old.top, box.top), right: Math.max(old.right, box.right), bottom: Math.max(old.bottom, box.bottom) };
    }
    this.asked = true;
  }

  #render() {
    this.asked = false;
    const { canvas, context, camera } = this, ratio = devicePixelRatio;
    const width = Math.round(canvas.clientWidth * ratio), height = Math.round(canvas.clientHeight * ratio);
    if (canvas.width !== width || canvas.height !== height) {
      canvas.width = width;
      canvas.height = height;
      this.dirty = "all";
    }
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.save();
    let part = null;
    if (this.dirty !== "all" && this.view === "single") {
      const margin = 3 / camera.scale, { left, top, right, bottom } = this.dirty;
      part = { left: left - margin, top: top - margin, right: right + margin, bottom: bottom + margin };
      const x = Math.floor(camera.x + part.left * camera.scale), y = Math.floor(camera.y + part.top * camera.scale);
      context.beginPath();
      context.rect(x, y, Math.ceil(camera.x + part.right * camera.scale) - x, Math.ceil(camera.y + part.bottom * camera.scale) - y);
      context.clip();
    }
    context.clearRect(0, 0, canvas.clientWidth, canvas.clientHeight);
    if (this.before) this.#renderPanes(part);
    context.restore();
    if (this.before && this.loupe) this.#renderLoupe();
    this.dirty = null;
  }

  #renderPanes(part) {
    const { context, canvas } = this, wide = canvas.clientWidth, tall = canvas.clientHeight;
    const before = this.against ?? this.before, after = this.holding ? before : this.after ?? this.before;
    const pane = (left, right, offset, picture, isAfter) => {
      context.save();
      context.beginPath();
      context.rect(left, 0, right - left, tall);
      context.clip();
      context.translate(offset, 0);
      this.#renderPicture(picture, isAfter, part);
      context.restore();
    };
    if (this.view === "side") {
      pane(0, wide / 2, 0, before, false);
      pane(wide / 2, wide, wide / 2, after, !this.holding);
      context.clearRect(wide / 2 - 1, 0, 2, tall);
    } else if (this.view === "divider" && !this.holding) {
      pane(0, wide * this.divide, 0, before, false);
      pane(wide * this.divide, wide, 0, after, true);
    } else if (this.view === "single") {
      pane(0, wide, 0, this.before, false);
    } else {
      pane(0, wide, 0, after, !this.holding);
    }
  }

  #renderPicture(picture, isAfter, part) {
    const { context, camera } = this;
    context.translate(camera.x, camera.y);
    context.scale(camera.scale, camera.scale);
    const box = part ? this.#within(part) : this.#visible();
    if (box.right <= box.left || box.bottom <= box.top) return;
    const pixel = devicePixelRatio * camera.scale;
    context.imageSmoothingEnabled = pixel < 2;
    context.imageSmoothingQuality = "medium";
    this.#layer(this.#level(picture, pixel), box);
    if (isAfter && this.heat) this.#layer(this.heat, box);
    if (!isAfter && this.overlay) {
      context.globalAlpha = this.opacity;
      this.#layer(this.overlay, box);
      context.globalAlpha = 1;
    }
    context.lineWidth = 1.5 / camera.scale;
    for (const outline of [this.outline, this.selection && corners(this.selection)]) {
      if (!outline) continue;
      for (const [colour, dash] of [["#fff", []], ["#000", [5 / camera.scale, 5 / camera.scale]]]) {
        context.strokeStyle = colour;
        context.setLineDash(dash);
        context.beginPath();
        for (const [x, y] of outline) context.lineTo(x, y);
        context.closePath();
        context.stroke();
      }
      context.setLineDash([]);
    }
    if (this.cursor) {
      const { x, y, radius, soft } = this.cursor;
      for (const [colour, wider] of [["rgb(0 0 0 / 70%)", 0.7], ["#fff", -0.7]]) {
        context.strokeStyle = colour;
        context.lineWidth = 1.2 / camera.scale;
        context.beginPath();
        context.arc(x, y, Math.max(0.5, radius + wider / camera.scale), 0, 2 * Math.PI);
        context.stroke();
      }
      if (soft) { // how far the edge reaches
        context.setLineDash([3 / camera.scale, 3 / camera.scale]);
        context.beginPath();
        context.arc(x, y, radius + soft, 0, 2 * Math.PI);
        context.stroke();
        context.setLineDash([]);
      }
    }
  }

  // A round part of the picture, enlarged: before at its left, after at its right.
  #renderLoupe() {
    const { context, canvas, camera } = this, [x, y] = this.pointer ?? [canvas.clientWidth / 2, canvas.clientHeight / 2];
    const [across, down] = this.toPicture(x, y), scale = Math.max(LOUPE_ZOOM * camera.scale, 4);
    for (const [left, picture] of [[-LOUPE, this.against ?? this.before], [0, this.after ?? this.before]]) {
      context.save();
      context.beginPath();
      context.arc(x, y, LOUPE, 0, 2 * Math.PI);
      context.clip();
      context.beginPath();
      context.rect(x + left, y - LOUPE, LOUPE, 2 * LOUPE);
      context.clip();
      context.fillStyle = "#808080";
      context.fill();
      context.imageSmoothingEnabled = false;
      const wide = this.width * scale, high = this.height * scale;
      context.drawImage(picture[0], x - across * scale, y - down * scale, wide, high);
      context.restore();
    }
    context.strokeStyle = "#fff";
    context.lineWidth = 2;
    context.beginPath();
    context.arc(x, y, LOUPE, 0, 2 * Math.PI);
    context.moveTo(x, y - LOUPE);
    context.lineTo(x, y + LOUPE);
    context.stroke();
  }

  // Draws the part of a layer inside a box.
  #layer(image, { left, top, right, bottom }) {
    const across = image.width / this.width, down = image.height / this.height;
    this.context.drawImage(image, left * across, top * down, (right - left) * across, (bottom - top) * down, left, top, right - left, bottom - top);
  }

  // Returns the smallest level with at least one pixel per pixel of the screen.
  #level(picture, pixel) {
    let chosen = picture[0];
    for (const level of picture) if (level.width >= this.width * pixel) chosen = level;
    return chosen;
  }

  #visible() {
    const { camera, canvas } = this;
    return this.#within({ left: -camera.x / camera.scale, top: -camera.y / camera.scale, right: (canvas.clientWidth - camera.x) / camera.scale, bottom: (canvas.clientHeight - camera.y) / camera.scale });
  }

  #within({ left, top, right, bottom }) {
    return { left: Math.max(0, Math.floor(left)), top: Math.max(0, Math.floor(top)), right: Math.min(this.width, Math.ceil(right)), bottom: Math.min(this.height, Math.ceil(bottom)) };
  }

  // Pointers --------------------------------------------------------------------------------------------------------

  #listen() {
    const { canvas } = this;
    new ResizeObserver(() => (this.fitted ? this.fit() : this.draw())).observe(canvas);
    canvas.addEventListener("wheel", (event) => {
      if (!this.before) return;
      event.preventDefault();
      const pixels = event.deltaMode ? event.deltaY * 30 : event.deltaY;
      this.zoom(Math.exp(-pixels * (event.ctrlKey ? 0.01 : 0.0016)), event.offsetX, event.offsetY);
    }, { passive: false });
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    canvas.addEventListener("pointerdown", (event) => this.#down(event));
    canvas.addEventListener("pointermove", (event) => this.#moved(event));
    canvas.addEventListener("pointerup", (event) => this.#up(event, "end"));
    canvas.addEventListener("pointercancel", (event) => this.#up(event, "cancel")); // such as a finger that scrolls the page
    canvas.addEventListener("pointerleave", () => this.onStroke?.("leave", [], null));
  }

  #down(event) {
    if (!this.before) return;
    this.canvas.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, [event.offsetX, event.offsetY]);
    if (this.pointers.size > 1) {
      // A second finger: the first one was no stroke.
      if (this.stroking) this.onStroke?.("cancel", [], event);
      this.stroking = false;
      return;
    }
    this.stroking = event.button === 0 && !this.space && this.onStroke?.("start", [this.toPicture(event.offsetX, event.offsetY)], event) === true;
  }

  #moved(event) {
    const old = this.pointers.get(event.pointerId), now = [event.offsetX, event.offsetY];
    this.pointer = now;
    if (this.loupe) this.draw();
    if (!old) {
      this.onStroke?.("hover", [this.toPicture(...now)], event);
      return;
    }
    if (this.stroking) {
      const every = event.getCoalescedEvents?.() ?? [];
      const points = (every.length ? every : [event]).map((one) => this.toPicture(one.offsetX, one.offsetY));
      this.onStroke("move", points, event);
    } else if (this.pointers.size === 1) {
      this.move(now[0] - old[0], now[1] - old[1]);
    } else {
      const other = [...this.pointers].find(([id]) => id !== event.pointerId)[1];
      const apart = (point) => Math.hypot(point[0] - other[0], point[1] - other[1]);
      this.move((now[0] - old[0]) / 2, (now[1] - old[1]) / 2);
      this.zoom(apart(now) / Math.max(1, apart(old)), (now[0] + other[0]) / 2, (now[1] + other[1]) / 2);
    }
    this.pointers.set(event.pointerId, now);
  }

  #up(event, phase) {
    this.pointers.delete(event.pointerId);
    if (this.stroking) this.onStroke?.(phase, [], event);
    this.stroking = false;
  }
}

function corners({ left, top, right, bottom }) {
  return [[left, top], [right, top], [right, bottom], [left, bottom]];
}

// Returns a bitmap and halves of it down to about the size of a screen, to draw it smoothly and fast when zoomed out.
export async function levels(bitmap) {
  const all = [bitmap];
  while (Math.max(all.at(-1).width, all.at(-1).height) > 1600) {
    const last = all.at(-1);
    all.push(await createImageBitmap(last, { resizeWidth: Math.ceil(last.width / 2), resizeHeight: Math.ceil(last.height / 2), resizeQuality: "low" }));
  }
  return all;
}
