// The fields of a task: made from what the server offers, read, filled, and marked as wrong.

import { asRadios, choose, make } from "./dom.js";
import { knows, named, optionTitle, recipeTitle, say } from "./words.js";

const $ = (id) => document.getElementById(id);

// An option that means something for some pictures only is hidden until `showFitting` knows the picture.
export function control(described) {
  const made = controlOf(described);
  if (described.where) { made.dataset.where = described.where; made.hidden = true; }
  return made;
}

// Shows the options that mean something for a picture: whether it has several pages, or more than 8 bits.
export function showFitting(fits) {
  for (const part of $("paint-panel").querySelectorAll("[data-where]")) part.hidden = !fits[part.dataset.where];
}

function controlOf(described) {
  const told = `option.${described.name}-about`;
  const option = { ...described, title: optionTitle(described.name), about: knows(told) ? say(told) : described.about };
  if (option.kind === "choice" && option.name === "device") {
    const list = make("select", {}, ...option.choices.map((choice) => make("option", { value: choice, textContent: choice })));
    mark(list, option);
    return make("label", { className: "field", title: option.about }, make("span", { textContent: option.title }), list);
  }
  if (option.kind === "choice") {
    const group = make("div", { className: "field" }, make("span", { textContent: option.title, id: `${option.name}-title` }));
    const segments = make("div", { className: "segments", title: option.about });
    segments.setAttribute("role", "radiogroup");
    segments.setAttribute("aria-labelledby", `${option.name}-title`);
    mark(segments, option);
    for (const choice of option.choices) {
      const button = make("button", { type: "button", textContent: option.name === "recipe" ? recipeTitle(choice) : named(choice), value: choice, hidden: option.rare.includes(choice) });
      button.setAttribute("role", "radio");
      if (button.hidden) button.dataset.rare = "";
      button.setAttribute("aria-checked", String(choice === option.default));
      button.addEventListener("click", () => { choose(segments, button); showOther(segments); });
      segments.append(button);
    }
    asRadios(segments);
    group.append(segments);
    return group;
  }
  if (option.kind === "flag") {
    const box = make("input", { type: "checkbox", checked: option.default });
    mark(box, option);
    return make("label", { className: "check", title: option.about }, box, option.title);
  }
  if (option.kind === "range") {
    const shown = make("output", { value: option.default });
    const slider = make("input", { type: "range", min: option.least, max: option.most, step: option.step, value: option.default });
    mark(slider, option);
    slider.setAttribute("aria-label", option.title); // a label around an output is the output's
    slider.addEventListener("input", () => { shown.value = slider.value; });
    return make("label", { className: "field", title: option.about }, make("span", {}, `${option.title} `, shown), slider);
  }
  if (option.kind === "ends") {
    const part = make("fieldset", { className: "field", title: option.about }, make("legend", { textContent: option.title }));
    mark(part, option);
    part.append(make("div", { className: "ends" }, ...["form.black", "form.white"].map((key) => {
      const input = make("input", { type: "text", inputMode: "decimal", autocomplete: "off" });
      input.setAttribute("aria-label", say(key));
      return input;
    })), make("p", { className: "muted", textContent: say("form.range-about") }));
    return part;
  }
  const input = make("input", { type: "text", value: option.kind === "words" ? "" : option.default ?? "", placeholder: say(option.kind === "words" ? "form.none" : "form.automatic"), autocomplete: "off" });
  mark(input, option);
  if (option.kind === "words") input.dataset.several = "";
  return make("label", { className: "field", title: option.about }, make("span", { textContent: option.title }), input);
}

// A list of the recipes that are no qualities. The one that is chosen stands among the qualities, too.
export function otherRecipes({ rare }) {
  const options = rare.map((name) => make("option", { value: name, textContent: recipeTitle(name) }));
  const list = make("select", { id: "other-recipe" }, make("option", { value: "", textContent: say("form.no-other") }), ...options);
  list.addEventListener("change", () => {
    const segments = recipeGroup(), wanted = list.value || segments.dataset.default;
    choose(segments, [...segments.children].find(({ value }) => value === wanted));
    offerRare([]);
  });
  return make("label", { className: "field", title: say("form.other-about") }, make("span", { textContent: say("form.other") }), list);
}

const recipeGroup = () => $("paint-panel").querySelector("[data-option=recipe]");

function showOther(segments) {
  const chosen = segments.querySelector("[aria-checked=true]");
  if (segments.dataset.option === "recipe" && $("other-recipe")) $("other-recipe").value = "rare" in chosen.dataset ? chosen.value : "";
}

function mark(element, { name, default: value }) {
  element.dataset.option = name;
  element.dataset.default = value ?? "";
}

// The quality, and what differs from the defaults.
export function chosenSettings() {
  const options = {};
  for (const element of $("paint-panel").querySelectorAll("[data-option]")) {
    if (element.closest("[data-where]")?.hidden) continue;
    const value = "several" in element.dataset ? element.value.trim().split(/[\s,;]+/).filter(Boolean) : element.matches("fieldset") ? endsOf(element) : element.matches("[type=checkbox]") ? element.checked : element.matches("input, select") ? element.value.trim() : element.querySelector("[aria-checked=true]")?.value;
    if (value === undefined || (String(value) === element.dataset.default && element.dataset.option !== "recipe")) continue;
    if (value !== "" && value.length !== 0) options[element.dataset.option] = value;
  }
  return options;
}

// Black and white, or nothing; one alone stands beside the one that is shown.
function endsOf(element) {
  const inputs = [...element.querySelectorAll("input")];
  return inputs.some((input) => input.value.trim()) ? inputs.map((input) => input.value.trim() || input.placeholder) : undefined;
}

// Fills the fields with the settings of an earlier job.
export function fill(settings) {
  for (const [name, value] of Object.entries(settings)) {
    const element = $("paint-panel").querySelector(`[data-option="${name}"]`);
    if (!element) continue;
    if (element.matches("fieldset")) element.querySelectorAll("input").forEach((input, index) => { input.value = value[index]; });
    else if (element.matches("[type=checkbox]")) element.checked = value;
    else if (Array.isArray(value)) element.value = value.join(" ");
    else if (element.matches("input, select")) { element.value = value; element.dispatchEvent(new Event("input")); }
    else {
      const button = [...element.children].find((one) => one.value === String(value));
      if (button) { button.hidden = false; choose(element, button); showOther(element); }
    }
  }
}

// Shows the choices of a recipe that are rarely meant where they are named, or chosen.
export function offerRare(recipes) {
  for (const button of recipeGroup()?.querySelectorAll("[data-rare]") ?? []) {
    button.hidden = !recipes.includes(button.value) && button.getAttribute("aria-checked") !== "true";
  }
}

// Says at a field what is wrong with it.
export function atField(element, message) {
  const group = element.closest(".field, .check"), details = element.closest("details");
  if (details) details.open = true;
  const said = make("p", { className: "wrong", id: "wrong", textContent: message });
  said.setAttribute("role", "alert");
  group.after(said);
  element.setAttribute("aria-invalid", "true");
  element.setAttribute("aria-describedby", "wrong");
  said.scrollIntoView({ block: "nearest" });
  (element.querySelector("[tabindex='0'], input") ?? element).focus();
}

export function clearField() {
  $("wrong")?.remove();
  $("paint-panel").querySelector("[aria-invalid]")?.removeAttribute("aria-invalid");
}
