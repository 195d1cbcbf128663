// The sentences of the page: `say` returns one, `fillPage` writes those that never change.

import { STRINGS } from "./strings.js";

export const knows = (key) => key in STRINGS;

export function say(key, values = {}) {
  return STRINGS[key].replace(/\{(\w+)\}/g, (_, name) => values[name]);
}

// A name of the program as a title: words, and a capital letter.
export function named(name) {
  return name[0].toUpperCase() + name.slice(1).replaceAll("_", " ");
}

export const recipeTitle = (name) => (knows(`recipe.${name}`) ? say(`recipe.${name}`) : named(name));

// What the program advises to those who use Python or the command line, in the words of the page.
export function plain(text) {
  const options = text.replace(/\b\w+=('[^']*'|[^\s,;:]+),? (or )?(?=--)/g, "");
  const titled = (found, name) => (knows(`option.${name.replaceAll("-", "_")}`) ? `“${optionTitle(name.replaceAll("-", "_"))}”` : found);
  const titles = options.replace(/--([a-z][a-z-]+)/g, titled).replace(/\b([a-z_]+)=[\w.]+/g, titled);
  return titles.replace(/, and more: docs\S+;/, ";");
}

// A note of the program as a sentence; one that names a recipe says instead what to choose here.
export function told(note) {
  if (!note) return "";
  const recipe = recipeOf(note);
  return recipe && knows(`note.${recipe}`) ? say(`note.${recipe}`) : `${note[0].toUpperCase()}${plain(note).slice(1)}.`;
}

export const recipeOf = (note) => /the recipe ([\w-]+)/.exec(note)?.[1];

export const optionTitle = (name) => (knows(`option.${name}`) ? say(`option.${name}`) : named(name));

// What a job does, with the settings that were changed; on a narrow card the task comes last.
export function aboutJob({ task, settings, crop }, narrow = false) {
  const changed = Object.entries(settings).map(([name, value]) => (name === "recipe" ? recipeTitle(value) : value === true ? optionTitle(name) : `${optionTitle(name)}: ${value === false ? say("form.no") : [value].flat().join(say(name === "value_range" ? "form.to" : "form.and"))}`));
  const words = [...changed, crop && say("job.part")];
  return (narrow ? [...words, taskTitle(task)] : [taskTitle(task), ...words]).filter(Boolean).join(" · ");
}

export const taskTitle = (name) => (knows(`task.${name}`) ? say(`task.${name}`) : named(name));

export function duration(seconds) {
  if (seconds < 90) return say("time.seconds", { number: Math.ceil(seconds) });
  if (seconds < 5400) return say("time.minutes", { number: Math.round(seconds / 60) });
  return say("time.hours", { number: (seconds / 3600).toFixed(1) });
}

// `data-text` names the content of an element, `data-label` what a screen reader says, `data-tip` what a pointer shows.
export function fillPage() {
  document.title = say("page.title");
  for (const [attribute, write] of [
    ["text", (element, text) => { element.textContent = text; }],
    ["label", (element, text) => { element.setAttribute("aria-label", text); }],
    ["tip", (element, text) => { element.title = text; }],
  ]) for (const element of document.querySelectorAll(`[data-${attribute}]`)) write(element, say(element.dataset[attribute]));
}
