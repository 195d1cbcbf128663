// The mask: one byte per pixel, 1 where the picture is missing, and a canvas of the same size that shows it.
//
// Undo has no limit because a step is small: the box of a stroke and the runs of flipped pixels inside it. Undo and redo
// are the same: flip them again.

import { shares } from "./softness.js";

export const MARKED = 1, ERASED = 2; // by hand

export class Mask {
  constructor(width, height) {
    this.width = width;
    this.height = height;
    this.data = new Uint8Array(width * height);
    this.drawn = new Uint8Array(width * height); // MARKED or ERASED where a tool was last, also if that is undone
    this.committed = new Uint8Array(width * height);
    this.canvas = document.createElement("canvas");
    this.canvas.width = width;
    this.canvas.height = height;
    this.context = this.canvas.getContext("2d");
    this.colour = 0xff000000; // ABGR
    this.soft = 0;                     // pixels around the marks over which the result will fade
    this.missing = 0;
    this.steps = 0;                    // counts changes, also those undone
    this.past = [];
    this.future = [];
    this.box = null;
  }

  // Drawing: each function marks pixels and returns the box that it changed -----------------------------------------

  // A line with round ends, from pixel to pixel.
  line(x0, y0, x1, y1, radius, value) {
    // The smallest brush marks the pixel that it is on, wherever in it it is.
    if (radius < 1) [x0, y0, x1, y1] = [x0, y0, x1, y1].map((place) => Math.floor(place) + 0.5);
    const left = Math.floor(Math.min(x0, x1) - radius), right = Math.ceil(Math.max(x0, x1) + radius);
    const top = Math.floor(Math.min(y0, y1) - radius), bottom = Math.ceil(Math.max(y0, y1) + radius);
    const dx = x1 - x0, dy = y1 - y0, length = dx * dx + dy * dy, limit = radius * radius;
    return this.#fill({ left, top, right, bottom }, (x, y) => {
      const along = length ? Math.min(1, Math.max(0, ((x - x0) * dx + (y - y0) * dy) / length)) : 0;
      const ex = x - x0 - along * dx, ey = y - y0 - along * dy;
      return ex * ex + ey * ey <= limit;
    }, value);
  }

  rectangle(x0, y0, x1, y1, value) {
    const box = { left: Math.floor(Math.min(x0, x1)), top: Math.floor(Math.min(y0, y1)), right: Math.floor(Math.max(x0, x1)), bottom: Math.floor(Math.max(y0, y1)) };
    return this.#fill(box, () => true, value);
  }

  // The inside of a closed line through points [x, y], by the even-odd rule, row by row.
  polygon(points, value) {
    const xs = points.map((point) => point[0]), ys = points.map((point) => point[1]);
    const bounds = (list) => list.reduce(([low, high], one) => [Math.min(low, one), Math.max(high, one)], [Infinity, -Infinity]);
    const [left, right] = bounds(xs), [top, bottom] = bounds(ys);
    let row = NaN, crossings = [];
    return this.#fill({ left: Math.floor(left), top: Math.floor(top), right: Math.ceil(right), bottom: Math.ceil(bottom) }, (x, y) => {
      if (y !== row) {
        row = y;
        crossings = [];
        for (let index = 0; index < points.length; index++) {
          const [ax, ay] = points[index], [bx, by] = points[(index + 1) % points.length];
          if ((ay > y) !== (by > y)) crossings.push(ax + (y - ay) / (by - ay) * (bx - ax));
        }
      }
      let inside = false;
      for (const crossing of crossings) if (crossing > x) inside = !inside;
      return inside;
    }, value);
  }

  // The pixels around one that are connected with it and pass a test of their index, by lines.
  connected(x, y, passes) {
    const { width, height } = this, seen = new Uint8Array(this.data.length), found = [], waiting = [y * width + x];
    while (waiting.length) {
      const from = waiting.pop(), row = Math.floor(from / width) * width;
      if (seen[from] || !passes(from)) continue;
      let left = from, right = from;
      while (left > row && !seen[left - 1] && passes(left - 1)) left--;
      while (right < row + width - 1 && !seen[right + 1] && passes(right + 1)) right++;
      seen.fill(1, left, right + 1);
      found.push([left, right]);
      for (const next of [row - width, row + width]) {
        if (next < 0 || next >= width * height) continue;
        for (let at = Math.max(next, left - row + next - 1); at <= Math.min(next + width - 1, right - row + next + 1); at++) if (!seen[at] && passes(at)) waiting.push(at);
      }
    }
    return found;
  }

  // What `connected` has found, a pixel wider on all sides.
  wider(found) {
    const { width, data } = this;
    return found.flatMap(([first, last]) => {
      const left = first % width ? 1 : 0, right = (last + 1) % width ? 1 : 0;
      return [-width, 0, width].map((step) => [first + step - left, last + step + right]).filter(([from]) => from + left >= 0 && from < data.length);
    });
  }

  // Gives pixels that `connected` has found a value.
  fill(found, value) {
    const { width } = this, box = { left: width, top: this.height, right: -1, bottom: -1 };
    for (const [first, last] of found) {
      this.data.fill(value, first, last + 1);
      this.drawn.fill(value ? MARKED : ERASED, first, last + 1);
      const y = Math.floor(first / width);
      Object.assign(box, { left: Math.min(box.left, first % width), top: Math.min(box.top, y), right: Math.max(box.right, last % width), bottom: Math.max(box.bottom, y) });
    }
    if (!found.length) return;
    this.#touch(this.#clip(box));
  }

  paint(colour, soft = this.soft) {
    this.colour = colour;
    this.soft = soft;
    if (this.missing) this.#show(this.#all());
  }

  // Marks the pixels of a box whose centres are `inside`.
  #fill(box, inside, value) {
    const clipped = this.#clip(box);
    for (let y = clipped.top; y < clipped.bottom; y++) {
      for (let x = clipped.left, at = y * this.width + x; x < clipped.right; x++, at++) {
        if (!inside(x + 0.5, y + 0.5)) continue;
        this.data[at] = value;
        this.drawn[at] = value ? MARKED : ERASED;
      }
    }
    this.#touch(clipped);
    return this.#around(clipped);
  }

  // A box and the pixels around it whose look depends on it.
  #around({ left, top, right, bottom }) {
    const { soft } = this;
    return { left: Math.max(0, left - soft), top: Math.max(0, top - soft), right: Math.min(this.width, right + soft), bottom: Math.min(this.height, bottom + soft) };
  }

  #clip({ left, top, right, bottom }) {
    const within = (value, most) => Math.max(0, Math.min(most, value));
    return { left: within(left, this.width), top: within(top, this.height), right: within(right + 1, this.width), bottom: within(bottom + 1, this.height) };
  }

  #touch(box) {
    const old = this.box;
    this.box = old ? { left: Math.min(old.left, box.left), top: Math.min(old.top, box.top), right: Math.max(old.right, box.right), bottom: Math.max(old.bottom, box.bottom) } : box;
    this.#show(box);
  }

  #show(box) {
    const { left, top, right, bottom } = this.#around(box), width = right - left, height = bottom - top;
    if (width <= 0 || height <= 0) return;
    const image = new ImageData(width, height), colours = new Uint32Array(image.data.buffer);
    if (this.soft) {
      const plain = this.colour & 0xffffff;
      shares(this.data, this.width, this.height, { left, top, right, bottom }, this.soft).forEach((share, at) => { if (share) colours[at] = (plain | share << 24) >>> 0; });
    } else for (let y = 0, to = 0; y < height; y++) {
      for (let x = 0, at = (top + y) * this.width + left; x < width; x++, at++, to++) {
        if (this.data[at]) colours[to] = this.colour;
      }
    }
    this.context.putImageData(image, left, top);
  }

  // The whole mask --------------------------------------------------------------------------------------------------

  replace(data) {
    this.data.set(data);
    this.#touch(this.#all());
    return this.commit();
  }

  invert() { return this.replace(this.data.map((value) => 1 - value)); }
  clear() { return this.replace(new Uint8Array(this.data.length)); }
  grow() { return this.replace(this.#spread(this.data, 1)); }
  shrink() { return this.replace(this.#spread(this.data, 0)); }

  // Gives every pixel `value` if one of its eight neighbours has it.
  #spread(data, value) {
    const { width, height } = this, wide = data.slice(), result = new Uint8Array(data.length);
    for (let y = 0; y < height; y++) {
      for (let x = 0, at = y * width; x < width; x++, at++) {
        if ((x > 0 && data[at - 1] === value) || (x < width - 1 && data[at + 1] === value)) wide[at] = value;
      }
    }
    for (let at = 0; at < data.length; at++) {
      const near = wide[at] === value || (at >= width && wide[at - width] === value) || (at < data.length - width && wide[at + width] === value);
      result[at] = near ? value : 1 - value;
    }
    return result;
  }

  #all() { return { left: 0, top: 0, right: this.width, bottom: this.height }; }

  // Undo and redo ---------------------------------------------------------------------------------------------------

  // Makes one step of what was drawn since the last commit. Returns whether anything changed.
  commit() {
    const box = this.box;
    this.box = null;
    if (!box) return false;
    const runs = [];
    let run = 0, turned = false;
    for (let y = box.top; y < box.bottom; y++) {
      for (let x = box.left, at = y * this.width + x; x < box.right; x++, at++) {
        if ((this.data[at] !== this.committed[at]) !== turned) { runs.push(run); run = 0; turned = !turned; }
        run++;
      }
    }
    if (!runs.length) return false;
    const step = { box, runs: Uint32Array.from([...runs, run]) };
    this.past.push(step);
    this.future = [];
    this.steps++;
    this.#apply(step, this.committed);
    return true;
  }

  undo() { return this.#move(this.past, this.future); }
  redo() { return this.#move(this.future, this.past); }

  #move(from, to) {
    const step = from.pop();
    if (!step) return false;
    to.push(step);
    this.steps++;
    this.#apply(step, this.committed, this.data);
    this.#show(step.box);
    return true;
  }

  // Flips the pixels of a step, and counts the missing ones in the first of the arrays.
  #apply({ box, runs }, ...arrays) {
    const wide = box.right - box.left;
    let place = 0, turned = false;
    for (const run of runs) {
      if (turned) {
        for (let index = place; index < place + run; index++) {
          const at = (box.top + Math.floor(index / wide)) * this.width + box.left + index % wide;
          for (const array of arrays) array[at] ^= 1;
          this.missing += arrays[0][at] ? 1 : -1;
        }
      }
      place += run;
      turned = !turned;
    }
  }

  // As a picture ----------------------------------------------------------------------------------------------------

  // A PNG: white where the picture is known, black where it is missing.
  toBlob() {
    const image = new ImageData(this.width, this.height), colours = new Uint32Array(image.data.buffer);
    for (let at = 0; at < colours.length; at++) colours[at] = this.data[at] ? 0xff000000 : 0xffffffff;
    const canvas = document.createElement("canvas");
    canvas.width = this.width;
    canvas.height = this.height;
    canvas.getContext("2d").putImageData(image, 0, 0);
    return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
  }

  // Takes such a picture of the same size.
  load(bitmap) { return this.replace(this.read(bitmap)); }

  // Returns one byte per pixel of such a picture, 1 where it is dark.
  read(bitmap) {
    const canvas = document.createElement("canvas");
    canvas.width = this.width;
    canvas.height = this.height;
    const context = canvas.getContext("2d");
    context.drawImage(bitmap, 0, 0);
    const { data } = context.getImageData(0, 0, this.width, this.height);
    const missing = new Uint8Array(this.data.length);
    for (let at = 0; at < missing.length; at++) missing[at] = data[4 * at] + data[4 * at + 1] + data[4 * at + 2] < 383 ? 1 : 0;
    return missing;
  }

  // Returns where this mask differs from another one, as runs: [first pixel, number of pixels, value].
  differences(base) {
    const runs = [];
    for (let at = 0; at < base.length; at++) {
      if (this.data[at] === base[at]) continue;
      const last = runs.at(-1);
      if (last && last[0] + last[1] === at && last[2] === this.data[at]) last[1]++;
      else runs.push([at, 1, this.data[at]]);
    }
    return runs;
  }

  apply(runs) {
    const data = this.data.slice();
    for (const [at, count, value] of runs) data.fill(value, at, at + count);
    return this.replace(data);
  }

  // Returns the smallest box around the missing pixels, null if there are none.
  bounds() {
    let left = this.width, top = -1, right = -1, bottom = -1;
    for (let y = 0; y < this.height; y++) {
      const row = this.data.subarray(y * this.width, (y + 1) * this.width), first = row.indexOf(1);
      if (first < 0) continue;
      if (top < 0) top = y;
      bottom = y + 1;
      left = Math.min(left, first);
      right = Math.max(right, row.lastIndexOf(1) + 1);
    }
    return top < 0 ? null : { left, top, right, bottom };
  }
}
