// What a job gives: downloads in several formats, the clipboard, and the command line.

import { say } from "./words.js";

const $ = (id) => document.getElementById(id);

export class Outputs {
  constructor({ onError }) {
    this.onError = onError;
    for (const id of ["format", "quality"]) $(id).addEventListener("input", () => this.#showExport());
    $("copy").addEventListener("click", () => this.#copy("copy", "job.copy", () => copyText($("command"))));
    $("copy-picture").addEventListener("click", () => this.#copy("copy-picture", "job.copy-picture", () => {
      const picture = fetch(`/api/jobs/${this.facts.id}/export?format=png`).then((answer) => answer.blob());
      return navigator.clipboard.write([new ClipboardItem({ "image/png": picture })]);
    }));
  }

  show(facts) {
    const { state, result } = facts, path = `/api/jobs/${facts.id}`, done = state === "done";
    this.facts = facts;
    $("downloads").hidden = !done && state !== "failed";
    $("download").href = `${path}/files/result?download=1`;
    for (const name of ["mask", "layer", "uncertainty", "record", "log"]) $(`download-${name}`).href = `${path}/files/${name}?download=1`;
    $("download-film").href = `${path}/film`;
    $("download-record").parentElement.hidden = $("export-part").hidden = $("use").hidden = !done;
    $("copy-picture").hidden = !done || !navigator.clipboard?.write; // which browsers have for HTTPS and this machine only
    $("download-mask").parentElement.hidden = !facts.has_mask;
    $("download-layer").parentElement.hidden = !facts.has_layer;
    $("download-uncertainty").parentElement.hidden = !facts.has_uncertainty;
    $("command").textContent = facts.command;
    $("command-about").textContent = say(result?.repeatable === false ? "job.command-differs" : "job.command");
    this.#showExport();
  }

  #showExport() {
    const format = $("format").value, quality = $("quality").value;
    $("quality-part").hidden = format !== "jpeg" && format !== "webp";
    $("quality-shown").value = quality;
    $("export").href = `/api/jobs/${this.facts?.id}/export?format=${format}&quality=${quality}`;
  }

  async #copy(id, title, act) {
    try {
      await act();
      $(id).textContent = say("job.copied");
      setTimeout(() => { $(id).textContent = say(title); }, 1500);
    } catch (error) {
      this.onError(error);
    }
  }
}

// Copies the text of an element, also where the browser has no clipboard for scripts, as without HTTPS.
async function copyText(element) {
  try {
    await navigator.clipboard.writeText(element.textContent);
  } catch {
    getSelection().selectAllChildren(element);
    if (!document.execCommand("copy")) throw new Error(say("job.copy-by-hand"));
  }
}
