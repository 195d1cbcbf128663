// The fields of a task: made from what the server offers, read, filled, and marked as wrong.

import { asRadios, choose, make } from "./dom.js";

const $ = (id) => document.getElementById(id);

export function control(option) {
  if (option.kind === "choice" && option.name === "device") {
    const list = make("select", {}, ...option.choices.map((choice) => make("option", { value: choice, textContent: choice })));
    list.dataset.option = option.name;
    return make("label", { className: "field", title: option.about }, make("span", { textContent: option.title }), list);
  }
  if (option.kind === "choice") {
    const group = make("div", { className: "field" }, make("span", { textContent: option.title, id: `${option.name}-title` }));
    const segments = make("div", { className: "segments", title: option.about });
    segments.setAttribute("role", "radiogroup");
    segments.setAttribute("aria-labelledby", `${option.name}-title`);
    segments.dataset.option = option.name;
    for (const choice of option.choices) {
      const button = make("button", { type: "button", textContent: choice[0].toUpperCase() + choice.slice(1), value: choice });
      button.setAttribute("role", "radio");
      button.setAttribute("aria-checked", String(choice === option.default));
      button.addEventListener("click", () => choose(segments, button));
      segments.append(button);
    }
    asRadios(segments);
    group.append(segments);
    return group;
  }
  if (option.kind === "flag") {
    const box = make("input", { type: "checkbox", checked: option.default });
    box.dataset.option = option.name;
    return make("label", { className: "check", title: option.about }, box, option.title);
  }
  const input = make("input", { type: "text", value: option.default ?? "", placeholder: "as needed", autocomplete: "off" });
  input.dataset.option = option.name;
  return make("label", { className: "field", title: option.about }, make("span", { textContent: option.title }), input);
}

export function chosenSettings() {
  const options = {};
  for (const element of $("paint-panel").querySelectorAll("[data-option]")) {
    const value = element.matches("[type=checkbox]") ? element.checked : element.matches("input, select") ? element.value.trim() : element.querySelector("[aria-checked=true]")?.value;
    if (value !== "" && value !== undefined) options[element.dataset.option] = value;
  }
  return options;
}

// Fills the fields with the settings of an earlier job.
export function fill(settings) {
  for (const [name, value] of Object.entries(settings)) {
    const element = $("paint-panel").querySelector(`[data-option="${name}"]`);
    if (!element) continue;
    if (element.matches("[type=checkbox]")) element.checked = value;
    else if (element.matches("input, select")) element.value = value;
    else {
      const button = [...element.children].find((one) => one.value === String(value));
      if (button) choose(element, button);
    }
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
  (element.querySelector("[tabindex='0']") ?? element).focus();
}

export function clearField() {
  $("wrong")?.remove();
  $("paint-panel").querySelector("[aria-invalid]")?.removeAttribute("aria-invalid");
}
