// Small things that several parts of the page use.

const $ = (id) => document.getElementById(id);

export function make(name, properties, ...children) {
  const element = Object.assign(document.createElement(name), properties);
  element.append(...children);
  return element;
}

export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg"), use = document.createElementNS(svg.namespaceURI, "use");
  use.setAttribute("href", `/static/icons.svg#${name}`);
  svg.append(use);
  return svg;
}

// The name of a picture, which may be written from right to left, and what is known of it.
export function showSubject(name, ...facts) {
  $("subject").replaceChildren(make("bdi", { textContent: name }), ...facts.map((fact) => ` · ${fact}`));
}

export function choose(group, button) {
  for (const one of group.querySelectorAll("[role=radio]")) {
    one.setAttribute("aria-checked", String(one === button));
    one.tabIndex = one === button ? 0 : -1;
  }
}

// Arrow keys move among the buttons of a group, as they do among radio buttons.
export function asRadios(group) {
  for (const one of group.querySelectorAll("[role=radio]")) one.tabIndex = one.getAttribute("aria-checked") === "true" ? 0 : -1;
  group.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!step) return;
    const all = [...group.querySelectorAll("[role=radio]:not([hidden])")];
    const next = all[(all.indexOf(event.target) + step + all.length) % all.length];
    next.focus();
    next.click();
    event.preventDefault();
  });
}

export function saveAs(blob, name) {
  const link = make("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

export function sure(text) {
  $("sure-text").textContent = text;
  $("sure").returnValue = "no";
  $("sure").showModal();
  return new Promise((resolve) => { $("sure").onclose = () => resolve($("sure").returnValue === "yes"); });
}
