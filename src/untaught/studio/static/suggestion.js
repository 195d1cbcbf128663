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
  }

  // Marks what was `found`, one byte per pixel.
  take(kind, found) {
    const { mask } = this, { drawn } = mask, again = this.kind === kind && this.added !== null;
    if (!again) for (let at = 0; at < drawn.length; at++) if (drawn[at] === ERASED) drawn[at] = 0;
    const { data } = mask, marks = new Uint8Array(data.length), added = new Uint8Array(data.length);
    let before = again ? this.added : null;
    if (again && this.undoable && this.steps === mask.steps) { mask.undo(); before = this.earlier; } // one step for both
    for (let at = 0; at < data.length; at++) {
      const own = data[at] && !(before?.[at] && drawn[at] !== MARKED);
      marks[at] = own || (found[at] && !(again && !data[at] && drawn[at] === ERASED)) ? 1 : 0;
      added[at] = marks[at] && !own ? 1 : 0;
    }
    this.undoable = mask.replace(marks);
    Object.assign(this, { kind, added, earlier: before, steps: mask.steps });
  }
}
