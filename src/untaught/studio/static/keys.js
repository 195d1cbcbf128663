// The keys of the page, in a dialog.

import { make } from "./dom.js";
import { say } from "./words.js";

const $ = (id) => document.getElementById(id);
const KEYS = [
  ["B", "tools.brush"], ["E", "tools.eraser"], ["R", "tools.rectangle"], ["L", "tools.lasso"], ["W", "tools.wand"],
  ["K", "tools.pick"], ["M", "tools.hand"], ["[ ]", "tools.size"], ["{ }", "option.feather"], ["Shift", "keys.straight"], ["Alt", "keys.erase"],
  ["← ↑ → ↓ ⏎", "keys.dab"], ["H", "tools.hide"], ["Ctrl Z", "tools.undo"], ["Ctrl Shift Z", "tools.redo"],
  ["+ −", "keys.zoom"], ["0", "zoom.fit"], ["1", "keys.pixels"], ["B", "keys.before"], ["L", "keys.loupe"], ["G", "keys.histogram"], ["?", "keys.keys"],
];

export function listenForKeys() {
  $("keys-list").append(...KEYS.flatMap(([key, what]) => [make("dt", {}, make("kbd", { textContent: key })), make("dd", { textContent: say(what) })]));
  $("show-keys").addEventListener("click", () => $("keys").showModal());
  addEventListener("keydown", (event) => {
    if (event.key === "?" && !event.target.closest("input:not([type=range], [type=checkbox]), select, dialog, textarea")) $("keys").showModal();
  });
}
