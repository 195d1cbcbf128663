// What is to be done with the picture: its task, the settings, what it would take, and the start.

import { get, post, put, set, suggestedFile } from "./api.js";
import { make } from "./dom.js";
import { atField, chosenSettings, control, fill, offerRare, otherRecipes, showFitting } from "./form.js";
import * as second from "./second.js";
import * as taskcards from "./taskcards.js";
import { duration, knows, recipeOf, say, told } from "./words.js";

const $ = (id) => document.getElementById(id);
let page, offers = [];
let touched = false;          // whether the user has chosen anything for this picture
let settled = false;          // whether its marks or an earlier job have told what is wrong
let planning = 0, plans = 0;
let remembering = Promise.resolve();

// `shared` has the stage, the painting, the current picture and the functions of the page.
export function begin(shared) {
  page = shared;
  second.begin(shared, () => { touched = true; maskChanged(); });
  taskcards.begin((another) => {
    touched = true;
    $("unsure").hidden = true;
    $("measuring").textContent = "";
    remember(taskcards.chosenCard());
    if (!another) { maskChanged(); return; }
    $("inspected").hidden = true;
    page.quieten();
    chooseTask();
  });
  $("paint-panel").addEventListener("input", () => { touched = true; page.quieten(); maskChanged(); });
  $("paint-panel").addEventListener("click", (event) => { if (event.target.closest("[data-option]")) { touched = true; maskChanged(); } });
  $("load-record").addEventListener("click", () => $("record-file").click());
  $("record-file").addEventListener("change", () => { if ($("record-file").files[0]) takeRecord($("record-file").files[0]).catch(page.complain); $("record-file").value = ""; });
  $("start").addEventListener("click", () => start());
  $("try").addEventListener("click", () => page.painting.setSelecting(!page.painting.selecting));
}

// The answer stays with the picture: it is there again after a reload, and where an earlier job is changed.
async function remember(answer) {
  const { uploading } = page.current;
  remembering = Promise.all([uploading, remembering.catch(() => {})]).then(([facts]) => facts && set(`/pictures/${facts.id}/answer`, { answer }));
  remembering.catch(() => {}); // it is asked again
}

const chosen = () => offers.find((one) => one.name === taskcards.chosenTask());

export async function loadOffers() {
  const { tasks, files, exports, machine } = await get("/tasks");
  offers = tasks;
  for (const option of $("format").options) option.hidden = option.disabled = !exports.includes(option.value);
  $("machine").textContent = machine.length ? say("form.machine", { reasons: machine.join("; ") }) : "";
  for (const id of ["file", "mask-file", "second-file", "clean-file"]) $(id).accept = ["image/*", ...files].join();
  taskcards.show(offers);
  if (!chosen()) taskcards.chooseNone();
}

// Begins with a new picture: with the task and settings of an earlier job, or the first task.
export function beginWith(wished) {
  $("inspected").hidden = $("unsure").hidden = true;
  $("measuring").textContent = "";
  taskcards.suggest([]);
  $("together").checked = false;
  if (offers.length) loadDevices().catch(() => {});
  touched = settled = wished !== null;
  taskcards.fold(settled);
  if (wished) { fillIn(wished); return; }
  taskcards.chooseNone();
  chooseTask();
}

// The first worker tells the devices of this machine some seconds after the start.
async function loadDevices() {
  const deviceOf = (offer) => offer.settings.find((one) => one.name === "device");
  if (deviceOf(offers[0]).choices.length > 1) return;
  await loadOffers();
  if (deviceOf(offers[0]).choices.length < 2) { setTimeout(() => loadDevices().catch(() => {}), 2000); return; }
  $("paint-panel").querySelector("[data-option=device]")?.closest("label").replaceWith(control(deviceOf(chosen())));
}

export function chooseTask() {
  const offer = chosen(), { painting, stage } = page;
  if (!offer) return;
  const about = `task.${taskcards.chosenCard()}-about`;
  $("task-about").textContent = knows(about) ? say(about) : offer.about;
  $("proposal").value = taskcards.chosenCard() === "writing" ? "text" : "auto";
  $("marks-part").hidden = offer.mask === "none";
  if (painting.mask) $("tools").hidden = offer.mask === "none";
  painting.use(offer.mask !== "none");
  stage.draw();
  const inPlace = (place) => offer.settings.filter((setting) => setting.place === place).map(control);
  $("options").replaceChildren(...inPlace("first"));
  $("marks-options").replaceChildren(...inPlace("marks"));
  const others = offer.settings.filter(({ rare }) => rare.length).map(otherRecipes);
  $("more-options").replaceChildren(...inPlace("more"), ...others);
  showFacts();
  maskChanged();
}

// What is known of the picture decides which options mean something. Values of 8 bits are black and white as they are; of
// others the range is shown, and can be set.
export function showFacts() {
  const { picture } = page.current, deep = Boolean(picture?.shown) && picture.depth !== "uint8";
  showFitting({ pages: picture?.pages > 1, depth: deep });
  if (!deep) return;
  $("paint-panel").querySelectorAll("[data-option=value_range] input").forEach((input, index) => { input.placeholder = Number(picture.shown[index].toPrecision(6)); });
}

// Chooses the task that suits the picture, unless the user has begun with another one.
export async function inspect(identity) {
  const { painting, current } = page, isOpen = () => current.picture?.id === identity && painting.mask;
  if (touched) return;
  $("measuring").textContent = say("task.measuring"); // above the cards: on a low screen what is below them is out of sight
  const answer = await get(`/pictures/${identity}/inspection`).catch(() => null); // what cannot be inspected is restored all the same
  if (!isOpen()) return;
  $("measuring").textContent = "";
  if (!answer || painting.mask.missing || touched) return;
  const { task, settings, sentences, doubt, damage } = answer;
  const found = !damage.length && offers.some((one) => one.name === task);
  $("findings").replaceChildren(...sentences.map((text) => make("li", { textContent: text })));
  $("inspected-title").textContent = say(found ? "task.chosen" : "task.measured");
  $("inspected").hidden = false;
  $("unsure").hidden = false;
  const maybe = offers.map(({ name }) => name).filter((name) => name === task || doubt.match(/[a-z]+/g)?.includes(name)); // it names commands
  const cards = [...damage, ...maybe.flatMap(taskcards.cardsOf)];
  taskcards.suggest(found ? [] : cards);
  const likely = damage[0] ?? (found ? task : maybe.length === 1 ? maybe[0] : null); // else all that may be wrong is told by the cards
  const more = found ? null : damage.length ? (cards.length > 1 ? "task.several" : "task.damage") : maybe.length ? (likely ? "task.try" : "task.perhaps") : doubt ? "task.doubt" : "task.unsure";
  $("unsure").textContent = [likely && say("task.probably", { what: taskcards.titleOf(likely) }), more && say(more, { doubt })].filter(Boolean).join(" ");
  if (found) fillIn({ task, settings });
  else if (damage.length) fillIn({ task: taskcards.taskOf(damage[0]), settings: {}, card: damage[0] });
  else if (likely) fillIn({ task: likely, settings: {} });
}

// Fills the form with what a record says of an earlier run, here or on the command line.
async function takeRecord(file) {
  page.quieten();
  const record = await file.text().then(JSON.parse).catch(() => null), offer = offers.find(({ name }) => name === record?.task);
  if (!offer || !record.recipe?.name) throw new Error(say("form.no-record"));
  const counts = ["iterations", "runs"].map((name) => [name, new RegExp(` --${name} (\\d+)`).exec(record.command)?.[1]]);
  const told = { ...record.options, seed: record.seed, time_budget: record.time_budget, recipe: record.recipe.name, ...Object.fromEntries(counts) };
  const settings = offer.settings.filter(({ name }) => (told[name] ?? null) !== null).map(({ name }) => [name, told[name]]);
  touched = true;
  fillIn({ task: record.task, settings: Object.fromEntries(settings), card: taskcards.chosenCard() });
}

function fillIn({ task, settings, card }) {
  taskcards.choose(task, card);
  chooseTask();
  fill(settings);
}

export function maskChanged() {
  const offer = chosen(), { mask } = page.painting, marked = mask?.missing ?? 0;
  if (offer) second.show(offer.files);
  page.painting.setSoft(Number($("paint-panel").querySelector("[data-option=feather]")?.value ?? 0));
  if (marked && offer && offer.mask !== "none" && !settled) { settled = true; taskcards.choose(offer.name, taskcards.chosenCard()); taskcards.fold(true); }
  const find = say(taskcards.isChosen() ? "start.mark-first" : "start.choose-first");
  const wrong = !offer ? "" : second.isMissing(offer.files) ? say("start.second-first") : mask && marked === mask.data.length ? say("start.all-marked") : offer.mask === "needed" && !marked ? find : null;
  $("start").disabled = $("try").disabled = wrong !== null;
  $("find-for-me").hidden = wrong !== find;
  $("try").hidden = wrong === find;
  $("task-about").hidden = !taskcards.isChosen();
  $("plan").textContent = wrong ?? "";
  showTogether();
  plan(wrong === null);
}

// Pictures that were dropped together can be treated alike, unless each needs something of its own.
export function showTogether() {
  const { together, picture } = page.current, offer = chosen();
  const alike = offer && !offer.files.some(({ required }) => required) && (offer.mask !== "needed" || page.painting.found);
  const others = alike && together && together.first === picture?.id ? together.others : [];
  $("together-part").hidden = !others.length;
  $("together-text").textContent = say(offer?.mask === "needed" ? "start.together-find" : "start.together", { number: others.length });
  return $("together").checked ? others : [];
}

// Starts a job for a picture that came with this one; where marks are needed, what was looked for here is found there.
async function startAlike({ id, name }, found) {
  try {
    if (found && !(await get(`/pictures/${id}`)).has_mask) { // else the user has marked it already
      const mask = await suggestedFile(id, found.kind, found.strength);
      if (!mask) throw new Error(say("start.nothing-found"));
      await put(`/pictures/${id}/mask`, mask);
    }
    await post("/jobs", { picture: id, task: taskcards.chosenTask(), settings: chosenSettings() });
  } catch (error) {
    throw new Error(`${name}: ${error.message}`);
  }
}

// Says what the job would take, some time after the last change.
function plan(ready) {
  clearTimeout(planning);
  const turn = ++plans, { painting, current } = page;
  if (!ready || !current.picture) return;
  $("plan").textContent = say("start.planning");
  planning = setTimeout(async () => {
    const { marks } = painting, { picture } = current;
    if (!marks || !picture) return;
    try {
      await marks.save();
      const wanted = { picture: picture.id, task: taskcards.chosenTask(), settings: chosenSettings(), mask: marks.version };
      const { seconds, iterations, places, notes } = await post("/jobs/plan", wanted);
      if (turn !== plans) return;
      const time = seconds === null ? "" : say(places > 1 ? "start.plan-places" : "start.plan", { time: duration(seconds), places });
      $("plan").title = seconds === null ? "" : say("start.iterations", { iterations });
      offerRare(notes.map(recipeOf));
      $("plan").textContent = [time, ...notes.map(told)].filter(Boolean).join(" ");
    } catch (error) {
      if (turn === plans) $("plan").textContent = error.status === 409 ? "" : error.message;
    }
  }, 1000);
}

// Returns whether an error was told at the field that it is about.
export function toldAtField(error) {
  const wrong = error.field && $("paint-panel").querySelector(`[data-option="${error.field}"]`);
  if (!wrong || document.body.dataset.mode !== "paint") return false;
  atField(wrong, error.message);
  return true;
}

export async function start(region = null) {
  const { painting, current } = page, { marks } = painting;
  if (!marks) return;
  page.quieten();
  $("start").disabled = true;
  $("start").textContent = say("start.starting");
  if (window.Notification?.permission === "default") Notification.requestPermission().catch(() => {});
  try {
    const facts = await current.uploading;
    await marks.save();
    const crop = region && [region.left, region.top, region.right - region.left, region.bottom - region.top];
    const added = await post("/jobs", { picture: facts.id, task: taskcards.chosenTask(), settings: chosenSettings(), crop, mask: marks.version });
    const failed = [], found = chosen().mask === "needed" ? painting.found : null;
    for (const other of region ? [] : showTogether()) await startAlike(other, found).catch((error) => failed.push(error.message));
    if (failed.length) addEventListener("hashchange", () => page.complain(new Error(failed.join(" "))), { once: true });
    page.go(`job=${added.id}`);
  } catch (error) {
    page.complain(error);
    painting.setSelecting(false);
  }
  $("start").textContent = say("start.start");
  if (painting.mask) maskChanged();
}
