// Suggested marks: one with another strength takes the place of the last one, and leaves what the user has done since.

import { ERASED, MARKED } from "./mask.js";

export class Suggestion {
  constructor(mask) {
    this.mask = mask;
    this.kind = "";         // of the last one
    this.forget();
  }

  // What was suggested counts as the user's own from now on.
  forget() {
    this.added = null;      // one byte per pixel, 1 where the last suggestion has marked it
    this.earlier = null;    // the same of the one before
    this.undoable = false;
    this.steps = -1;
    if (!this.mask.missing) this.mask.drawn.fill(0); // all begins anew
  }

  // Marks what was `found`, one byte per pixel, but not what the user has dropped.
  take(kind, found) {
    const { mask } = this, { drawn } = mask, again = this.kind === kind && this.added !== null, kept = this.#kept(found);
    const { data } = mask, marks = new Uint8Array(data.length), added = new Uint8Array(data.length);
    let before = again ? this.added : null;
    if (again && this.undoable && this.steps === mask.steps) { mask.undo(); before = this.earlier; } // one step for both
    for (let at = 0; at < data.length; at++) {
      const own = data[at] && !(before?.[at] && drawn[at] !== MARKED);
      marks[at] = own || kept[at] ? 1 : 0;
      added[at] = marks[at] && !own ? 1 : 0;
    }
    this.undoable = mask.replace(marks);
    Object.assign(this, { kind, added, earlier: before, steps: mask.steps });
  }

  // What was found without what was dropped; another search has other edges, so pieces go whole where half of them was dropped.
  #kept(found) {
    const { mask } = this, kept = found.slice(), seen = new Uint8Array(found.length), dropped = (at) => !mask.data[at] && mask.drawn[at] === ERASED;
    for (let at = 0; at < found.length; at++) {
      if (!found[at] || !dropped(at)) continue;
      kept[at] = 0;
      if (seen[at]) continue;
      const piece = mask.connected(at % mask.width, Math.floor(at / mask.width), (one) => found[one]);
      let size = 0, gone = 0;
      for (const [first, last] of piece) for (let one = first; one <= last; one++) { seen[one] = 1; size++; if (dropped(one)) gone++; }
      if (2 * gone >= size) for (const [first, last] of piece) kept.fill(0, first, last + 1);
    }
    return kept;
  }
}
