// Second pictures, for the tasks that need one: a guide, another mixture, a blur kernel.

import { put, remove } from "./api.js";
import { make } from "./dom.js";
import { knows, say } from "./words.js";

const $ = (id) => document.getElementById(id);
let page, role;

// `shared` has the current picture; `changed` is called when a picture was added or removed.
export function begin(shared, changed) {
  page = { ...shared, changed };
  $("second-file").addEventListener("change", () => {
    const [file] = $("second-file").files;
    $("second-file").value = "";
    if (file) act(() => page.current.uploading.then(({ id }) => put(`/pictures/${id}/files/${role}?name=${encodeURIComponent(file.name)}`, file)));
  });
}

// Shows what a task takes besides the picture.
export function show(files) {
  const given = page.current.picture?.files ?? {};
  $("second-part").hidden = !files.length;
  $("second-title").textContent = say(files.some((file) => file.required) ? "second.title" : "second.optional");
  $("second-files").replaceChildren(...files.flatMap((file) => {
    const key = `second.${file.role}`, name = given[file.role];
    const choose = make("button", { textContent: say("second.choose") });
    choose.dataset.second = file.role;
    choose.addEventListener("click", () => { ({ role } = file); $("second-file").click(); });
    const away = make("button", { textContent: say("second.remove"), hidden: !name });
    away.addEventListener("click", () => act(async () => {
      ({ role } = file);
      const { picture } = page.current, { [file.role]: gone, ...files } = picture.files;
      await remove(`/pictures/${picture.id}/files/${file.role}`);
      return { ...picture, files };
    }));
    const shown = make("bdi", { className: "share", textContent: name ?? say(file.required ? "second.needed" : "second.none") });
    return [make("p", { className: "muted", textContent: knows(key) ? say(key) : file.about }), make("div", { className: "propose" }, shown, choose, away)];
  }));
}

// Whether a picture is missing that the task cannot do without.
export const isMissing = (files) => files.some(({ role: wanted, required }) => required && !page.current.picture?.files?.[wanted]);

async function act(change) {
  page.quieten();
  try {
    const facts = await change();
    if (page.current.picture?.id === facts.id) page.current.picture = { ...page.current.picture, files: facts.files };
  } catch (error) {
    page.complain(error);
  }
  page.changed();
  document.querySelector(`[data-second="${role}"]`)?.focus();
}
