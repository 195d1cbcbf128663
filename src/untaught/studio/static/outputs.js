// What a job gives: downloads in several formats, the clipboard, and the command line.

import { say } from "./words.js";

const $ = (id) => document.getElementById(id);

export class Outputs {
  constructor({ onError }) {
    this.onError = onError;
    for (const id of ["format", "quality"]) $(id).addEventListener("input", () => this.#showExport());
    $("copy").addEventListener("click", () => this.#copy("copy", "job.copy", () => navigator.clipboard.writeText(this.facts.command)
      .catch(() => getSelection().selectAllChildren($("command")))));
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
    $("download-record").parentElement.hidden = $("export-part").hidden = $("copy-picture").hidden = $("use").hidden = !done;
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
