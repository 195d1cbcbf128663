// Keeps the marks of one picture the same here and at the server: each stroke is saved at once, and what another window
// has marked is taken over. A stroke that could not be sent before the page closed waits in the browser's storage.

import { get, masked, put } from "./api.js";
import { say } from "./words.js";

const RETRY = 3000;
const LARGEST_KEPT_ALIVE = 60_000; // bytes; browsers refuse more in a request that outlives its page

export class Marks {
  // `show` is called with a sentence about what is saved, and whether it is bad news; `changed` after marks were taken over.
  constructor(mask, { show, changed }) {
    this.mask = mask;
    this.show = show;
    this.changed = changed;
    this.identity = null;
    this.version = this.heard = "";                 // of the marks at the server: known, and last heard of
    this.base = new Uint8Array(mask.data.length);   // these marks
    this.saved = mask.steps;
    this.open = true;
    this.drafts = [];                               // names of what waits in the browser's storage and is here, too
    addEventListener("pagehide", this.#leave);
  }

  get unsaved() { return this.mask.steps !== this.saved || this.mask.box !== null; }

  // The picture is at the server, with the marks that the mask shows now, or with none.
  begin(identity, version) {
    this.identity = identity;
    this.version = this.heard = version;
    if (version) { this.base = this.mask.data.slice(); this.saved = this.mask.steps; }
    this.drafts = Object.keys(localStorage).filter((name) => name.startsWith(`marks:${identity}`));
    for (const name of this.drafts) if (this.mask.apply(JSON.parse(localStorage.getItem(name) ?? "[]"))) this.changed();
    return this.save();
  }

  // Resolves when what is being sent has arrived.
  end() {
    this.open = false;
    if (!this.unsaved) removeEventListener("pagehide", this.#leave);
    return this.going?.catch(() => {});
  }

  // Another window has changed the marks.
  hear(version) {
    this.heard = version;
    return this.save();
  }

  // Makes the marks here and at the server the same. Resolves when they are; fails if the server refuses.
  save() {
    clearTimeout(this.retry);
    if (!this.identity) return Promise.resolve(); // not at the server yet
    if (this.mask.steps !== this.saved) this.show(say("marks.saving")); // also while another window's are taken over
    this.going ??= this.#settle().finally(() => { this.going = null; });
    return this.going;
  }

  // One step after the other, so that no answer is about marks that are no longer there.
  async #settle() {
    try {
      while (this.mask.steps !== this.saved || (this.open && this.heard !== this.version)) {
        if (this.open && this.heard !== this.version) await this.#takeOver();
        else await this.#send();
      }
    } catch (error) {
      if (error.status !== 404) this.retry = setTimeout(() => this.save().catch(() => {}), RETRY);
      this.show(say("marks.not-saved", { reason: error.message }), true);
      throw error;
    }
    for (const name of this.drafts.splice(0)) localStorage.removeItem(name);
    if (!this.open) removeEventListener("pagehide", this.#leave);
    this.show(this.version ? say("marks.saved") : "");
  }

  async #send() {
    this.show(say("marks.saving"));
    const { steps } = this.mask, data = this.mask.data.slice(), body = await this.mask.toBlob();
    try {
      const answer = await put(`/pictures/${this.identity}/mask?after=${this.version}`, body, body.size < LARGEST_KEPT_ALIVE);
      if (this.heard === this.version) this.heard = answer.mask;
      this.version = answer.mask;
      this.base = data;
      this.saved = steps;
    } catch (error) {
      if (error.status !== 412) throw error;
      await this.#takeOver();
    }
  }

  // Where nothing has changed here since the last time, the marks of the server count.
  async #takeOver() {
    const [, found] = await Promise.all([get(`/pictures/${this.identity}`), masked(this.identity)]);
    const theirs = found ? this.mask.read(found.bitmap) : new Uint8Array(this.mask.data.length);
    const { data } = this.mask, { base } = this, merged = theirs.slice();
    for (let at = 0; at < data.length; at++) if (data[at] !== base[at]) merged[at] = data[at];
    const unsaved = merged.some((value, at) => value !== theirs[at]);
    this.mask.replace(merged);
    this.heard = this.version = found?.version ?? "";
    this.base = theirs;
    if (!unsaved) this.saved = this.mask.steps;
    this.changed();
  }

  // Synchronous, because nothing else is done for a page that closes.
  #leave = () => {
    if (!this.identity || !this.unsaved) return;
    this.mask.commit();
    // Under a name of its own: another window, which does not have this stroke, may be about to take its own away.
    const name = `marks:${this.identity}:${Date.now()}-${Math.random()}`;
    this.drafts.push(name); // for a page that the browser keeps and brings back
    try {
      localStorage.setItem(name, JSON.stringify(this.mask.differences(this.base)));
    } catch { /* the browser's storage is full or forbidden */ }
  };
}
