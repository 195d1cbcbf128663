// The cards of jobs at the bottom, and of pictures on the first page.

import { get, remove } from "./api.js";
import { icon, make, sure } from "./dom.js";
import { aboutJob, duration, say } from "./words.js";

const $ = (id) => document.getElementById(id);
const states = new Map(); // of the jobs, by name, as last heard
let go, complain, removeOne, openExample;

// What the cards need of the page: `go` to an address, `complain` of an error, `removeOne` job, `openExample`.
export function begin(page) { ({ go, complain, removeOne, openExample } = page); }

// Existing cards are updated, not replaced: one of them may have the keyboard focus.
export function showJobs(jobs) {
  const list = $("jobs"), old = new Map([...list.querySelectorAll("[data-job]")].map((button) => [button.dataset.job, button.closest("li")]));
  $("queue").hidden = !jobs.length;
  $("zip").hidden = jobs.filter(({ state }) => state === "done").length < 2;
  if (!list.children.length) list.append(newCard());
  jobs.forEach((facts, index) => {
    const item = old.get(facts.id) ?? card(facts);
    old.delete(facts.id);
    update(item, facts);
    if (list.children[index + 1] !== item) list.insertBefore(item, list.children[index + 1] ?? null);
  });
  for (const item of old.values()) item.remove();
  showCurrent();
}

// Tells of jobs that have ended while the user was elsewhere: in the tab's title, and by a notification if it is allowed.
export function tellEnds(jobs) {
  for (const { id, name, state } of jobs) {
    const before = states.get(id);
    states.set(id, state);
    if (!["running", "queued"].includes(before) || !["done", "failed"].includes(state) || !document.hidden) continue;
    const text = say(`job.told-${state}`, { name });
    document.title = say("job.told-title", { text });
    if (window.Notification?.permission === "granted") {
      try { new Notification(say("page.title"), { body: text, tag: id }); } catch { /* on phones a page may not */ }
    }
  }
}

function newCard() {
  const add = make("button", { className: "new", title: say("picture.new") }, icon("plus"));
  add.setAttribute("aria-label", add.title);
  add.addEventListener("click", () => go(""));
  return make("li", {}, add);
}

function card(facts) {
  const thumbnail = make("img", { alt: "", width: 44, height: 44 });
  const words = make("span", {}, make("b", { textContent: facts.name, dir: "auto" }), make("small"));
  const button = make("button", { className: "job" }, thumbnail, words);
  button.dataset.job = facts.id;
  button.addEventListener("click", () => go(`job=${facts.id}`));
  const away = make("button", { className: "icon remove", title: say("picture.away") }, icon("close"));
  away.addEventListener("click", () => removeJob({ ...facts, name: words.firstChild.textContent }));
  return make("li", {}, button, away);
}

function update(item, facts) {
  const { progress, state, settings } = facts, share = progress ? Math.round(100 * progress.iteration / progress.until) : 0;
  const source = `/api/jobs/${facts.id}/files/thumbnail?at=${[progress?.iteration, state, settings.strength].join("-")}`, image = item.querySelector("img");
  item.firstElementChild.dataset.state = state;
  item.querySelector("b").textContent = facts.name;
  item.querySelector(".remove").setAttribute("aria-label", say("picture.remove", facts));
  item.firstElementChild.title = aboutJob(facts);
  item.querySelector("small").textContent = told(facts, share);
  item.querySelector("small").title = facts.message;
  if (image.getAttribute("src") !== source) image.src = source;
}

function told(facts, share) {
  const { state, progress, place, result } = facts;
  if (state === "running" && progress) return say("state.running-share", { share });
  if (place) return say("state.queued-place", { place: place[0] });
  return state === "done" && result?.seconds ? say("state.done-time", { time: duration(result.seconds), about: aboutJob(facts, true) }) : say(`state.${state}`);
}

async function removeJob(facts) {
  if (await sure(say("job.removed-sure", facts))) removeOne(facts.id).catch(complain);
}

export async function showPictures() {
  const { pictures } = await get("/pictures");
  $("pictures-part").hidden = !pictures.length;
  $("pictures").replaceChildren(...pictures.map((facts) => {
    const image = make("img", { src: `/api/pictures/${facts.id}/thumbnail`, alt: "", width: 192, height: 192, loading: "lazy" });
    const button = make("button", {}, image, make("span", { textContent: facts.name, dir: "auto" }));
    button.dataset.picture = facts.id;
    button.addEventListener("click", () => go(`picture=${facts.id}`));
    const away = make("button", { className: "icon remove", title: say("picture.away") }, icon("close"));
    away.setAttribute("aria-label", say("picture.remove", facts));
    away.addEventListener("click", async () => {
      if (!await sure(say("picture.remove-sure", facts))) return;
      await remove(`/pictures/${facts.id}`).catch(complain);
      showPictures().catch(complain);
    });
    return make("li", {}, button, away);
  }));
}

// The results of a batch of the command line, where the studio was started with its folder.
export async function showBatch() {
  const { name, ready } = await get("/batch");
  $("batch-part").hidden = !name;
  $("batch").textContent = ready ? say("home.batch", { name }) : "";
  $("batch-works").textContent = ready ? "" : say("home.batch-works", { name });
}

export async function showExamples() {
  const { complete, examples } = await get("/examples");
  $("examples-part").hidden = !examples.length;
  $("examples").replaceChildren(...examples.map(({ name, task }) => {
    const button = make("button", {}, make("img", { src: `/api/examples/${name}/thumbnail`, alt: "", width: 192, height: 192 }), say(`example.${name}`));
    button.dataset.example = name;
    button.addEventListener("click", () => openExample(name, task));
    return make("li", {}, button);
  }));
  if (!complete) setTimeout(() => showExamples().catch(() => {}), 1000);
}

export function showCurrent() {
  for (const button of document.querySelectorAll("[data-job]")) {
    const isCurrent = location.hash === `#job=${button.dataset.job}`, was = button.hasAttribute("aria-current");
    if (isCurrent) button.setAttribute("aria-current", "true");
    else button.removeAttribute("aria-current");
    if (isCurrent && !was) bringIntoSight(button.closest("li"));
  }
}

// By the list alone: on a phone the page would scroll, too.
function bringIntoSight(item) {
  const list = $("queue"), { left, right } = item.getBoundingClientRect(), { scrollPaddingRight } = getComputedStyle(list);
  const box = list.getBoundingClientRect(), end = box.right - (parseFloat(scrollPaddingRight) || 0);
  if (right > end) list.scrollLeft += right - end;
  if (left < box.left) list.scrollLeft += left - box.left - 20;
}
