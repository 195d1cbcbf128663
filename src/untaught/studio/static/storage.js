// The dialog about what is stored. Nothing is removed without it.

import { get, post, set } from "./api.js";
import { say } from "./words.js";

const $ = (id) => document.getElementById(id);
const GB = 1e9;

export class Storage {
  // `sure` asks the user and resolves to an answer; `onChange` is called after a removal.
  constructor({ sure, onError, onChange }) {
    this.sure = sure;
    this.onError = onError;
    this.onChange = onChange;
    $("storage-open").addEventListener("click", () => this.open());
    $("storage-close").addEventListener("click", () => $("storage").close());
    $("storage-remove").addEventListener("click", () => this.#remove());
    $("storage-limit").addEventListener("change", () => this.#setLimit());
    $("storage-entries").addEventListener("change", () => this.#count());
  }

  async open() {
    $("storage").showModal();
    await this.look();
  }

  // Reads how much there is; the button in the header tells when it is more than the user wants.
  async look() {
    try {
      this.facts = await get("/storage");
    } catch (error) {
      $("storage-sum").textContent = error.message;
      return;
    }
    const { bytes, largest, free, entries, damaged, folder } = this.facts, over = bytes > largest;
    $("storage-open").classList.toggle("reminding", over);
    $("storage-open").textContent = over ? say("storage.over", { size: size(bytes) }) : say("page.storage");
    $("storage-sum").textContent = say("storage.sum", { size: size(bytes), number: entries.length, free: size(free), folder });
    $("storage-limit").value = Math.round(largest / GB);
    $("storage-damaged").textContent = damaged.length ? say("storage.damaged", { names: damaged.join(", ") }) : "";
    $("storage-entries").replaceChildren(...entries.map((entry) => this.#row(entry)));
    this.#count();
  }

  #row(entry) {
    const row = document.createElement("tr"), box = document.createElement("input");
    box.type = "checkbox";
    box.disabled = entry.in_use;
    box.value = entry.id;
    box.dataset.kind = entry.kind;
    box.dataset.bytes = entry.bytes;
    box.setAttribute("aria-label", say("picture.remove", entry));
    const what = say(entry.kind === "jobs" ? "storage.result" : "storage.picture");
    const texts = [entry.name, entry.in_use ? say("storage.in-use", { what }) : what, new Date(1000 * entry.changed).toLocaleDateString(), size(entry.bytes)];
    for (const content of [box, ...texts]) row.insertCell().append(content);
    return row;
  }

  #chosen() { return [...$("storage-entries").querySelectorAll("input:checked")]; }

  #count() {
    const chosen = this.#chosen(), bytes = chosen.reduce((sum, box) => sum + Number(box.dataset.bytes), 0);
    $("storage-remove").disabled = !chosen.length;
    $("storage-remove").textContent = chosen.length ? say("storage.remove-some", { number: chosen.length, size: size(bytes) }) : say("storage.remove");
  }

  async #remove() {
    const names = (kind) => this.#chosen().filter((box) => box.dataset.kind === kind).map((box) => box.value);
    const wanted = { pictures: names("pictures"), jobs: names("jobs") };
    if (!await this.sure(say("storage.remove-sure", { pictures: wanted.pictures.length, jobs: wanted.jobs.length }))) return;
    await this.#tell(() => post("/storage/remove", wanted));
    this.onChange();
  }

  #setLimit() {
    const largest = Math.max(0, Math.round(Number($("storage-limit").value) * GB));
    return this.#tell(() => set("/storage", { largest }));
  }

  async #tell(act) {
    try {
      await act();
      await this.look();
    } catch (error) {
      $("storage").close();
      this.onError(error);
    }
  }
}

function size(bytes) {
  for (const [least, unit, digits] of [[1e9, "GB", 1], [1e6, "MB", 0], [0, "kB", 0]]) {
    if (bytes >= least) return `${(bytes / (least || 1e3)).toFixed(digits)} ${unit}`;
  }
}
