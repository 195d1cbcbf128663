// The page as a whole. It is in one of three modes: empty, painting a mask, or showing a job. The address names the
// picture or job (#picture=..., #job=...), so a reload shows it again.

import { bitmap, follow, get, masked, order, post, upload } from "./api.js";
import * as cards from "./cards.js";
import { asRadios, make, sure } from "./dom.js";
import { atField, chosenSettings, clearField, control, fill } from "./form.js";
import { duration, JobView } from "./job.js";
import { Painting } from "./painting.js";
import { Stage } from "./stage.js";
import { Storage } from "./storage.js";

const $ = (id) => document.getElementById(id);
const stage = new Stage($("canvas"));
const painting = new Painting(stage, { onChange: maskChanged, onSelect: (box) => start(box), onError: complain });
const storage = new Storage({ sure, onError: complain, onChange: () => { if (document.body.dataset.mode === "empty") cards.showPictures().catch(complain); } });
const job = new JobView(stage, { onError: complain, onGone: () => go(""), onSubject: (text) => { $("subject").textContent = text; } });

cards.begin({ go, complain, removeOne: job.remove });

let offers = [];
let picture = null;   // the facts from the server about the picture that is painted on
let uploading = null; // a promise of these facts during the upload
let wished = null;    // task and settings of a job that is to be changed
let touched = false;  // whether the user has chosen anything for this picture
let planning = 0, plans = 0;
let dropped = 0;      // counts dropped files
let opened = 0;       // counts what was opened, so that late answers for an earlier picture are ignored

// Modes ------------------------------------------------------------------------------------------------------------

function setMode(mode) {
  document.body.dataset.mode = mode;
  $("empty").hidden = mode !== "empty";
  $("panel").hidden = mode === "empty";
  $("paint-panel").hidden = $("tools").hidden = mode !== "paint";
  $("job-panel").hidden = $("compare").hidden = mode !== "job";
  $("zoom").hidden = mode === "empty";
  if (mode !== "job") job.close();
  if (mode !== "paint") painting.end();
  if (mode === "empty") {
    cards.showPictures().catch(complain);
    stage.close();
    stage.onStroke = null;
    $("subject").textContent = "";
  }
  $("panel").scrollTop = 0;
}

function go(address) {
  if (location.hash.slice(1) === address) arrive();
  else location.hash = address;
}

async function arrive() {
  const [, kind, identity] = /^#(picture|job)=([0-9a-f]{16})$/.exec(location.hash) ?? [];
  quieten();
  cards.showCurrent();
  if (kind === "job") {
    opened++;
    setMode("job");
    await job.open(identity);
  } else if (kind === "picture") {
    if (picture?.id !== identity || document.body.dataset.mode !== "paint") await openStored(identity);
  } else {
    opened++;
    picture = uploading = null;
    setMode("empty");
  }
}

function complain(error) {
  const wrong = error.field && $("paint-panel").querySelector(`[data-option="${error.field}"]`);
  if (wrong && document.body.dataset.mode === "paint") { atField(wrong, error.message); return; }
  const where = document.body.dataset.mode === "empty" ? $("empty-notice") : $("notice");
  where.textContent = error.message || String(error);
  where.hidden = false;
  $("panel").scrollTop = 0;
}

function quieten() {
  clearField();
  for (const id of ["notice", "empty-notice"]) $(id).hidden = true;
}

// Opening a picture ------------------------------------------------------------------------------------------------

// The picture is shown as soon as the browser has decoded it, while it is uploaded. What is on the page stays there if
// the file turns out to be no picture.
async function openFile(file) {
  const drop = ++dropped;
  quieten();
  const sent = upload(`/pictures?name=${encodeURIComponent(file.name || "pasted.png")}`, file);
  sent.catch(() => {});
  const decoded = /\.tiff?$/i.test(file.name) ? null : await createImageBitmap(file).catch(() => null);
  if (drop !== dropped) return;
  const turn = decoded ? ++opened : opened;
  if (decoded) {
    picture = null;
    uploading = sent;
    await paint(decoded, decoded.width, decoded.height, file.name || "pasted.png");
  }
  try {
    const facts = await sent;
    if (turn !== opened) return;
    uploading = sent;
    if (!decoded || decoded.width !== facts.width || decoded.height !== facts.height) {
      if (!await paint(await bitmap(`/pictures/${facts.id}/view`), facts.width, facts.height, facts.name)) return;
    }
    took(facts);
  } catch (error) {
    if (turn !== opened) return;
    if (decoded) await arrive(); // back to what the address names
    complain(error);
  }
}

// Opens the first of several files; the others wait under “Your pictures”.
async function openFiles([first, ...others]) {
  if (!first) return;
  await openFile(first);
  for (const file of others) {
    await upload(`/pictures?name=${encodeURIComponent(file.name)}`, file).catch((error) => complain(new Error(`${file.name}: ${error.message}`)));
  }
  if (others.length && document.body.dataset.mode === "empty") cards.showPictures().catch(complain);
}

async function openExample(name, task) {
  const turn = ++opened;
  quieten();
  try {
    const facts = await post(`/examples/${name}`);
    if (turn !== opened) return;
    wished = { task, settings: {} };
    await openStored(facts.id);
  } catch (error) {
    complain(error);
  }
}

async function openStored(identity) {
  const turn = ++opened;
  try {
    await painting.left; // strokes that the picture may still get
    const facts = await get(`/pictures/${identity}`);
    // Both before painting begins: a mask that came later would replace what the user paints.
    const [shown, mask] = await Promise.all([bitmap(`/pictures/${identity}/view`), masked(identity)]);
    if (turn !== opened) return;
    if (!await paint(shown, facts.width, facts.height, facts.name)) return;
    if (mask) painting.restore(mask.bitmap);
    uploading = Promise.resolve(facts);
    took({ ...facts, mask: mask?.version ?? "" });
  } catch (error) {
    if (turn !== opened) return;
    setMode("empty");
    complain(error);
  }
}

// Shows the picture with an empty mask, then the tools. Returns false if something else was opened meanwhile.
async function paint(shown, width, height, name) {
  job.close();
  painting.end(); // the old marks are not for this picture
  stage.view = "single";
  if (!await stage.open(shown, width, height)) return false;
  painting.begin(width, height);
  setMode("paint");
  $("subject").textContent = `${name.replace(/\.[^.]*$/, "")} · ${width} × ${height}`;
  stage.onStroke = painting.stroke;
  painting.setTool("brush");
  $("inspected").hidden = true;
  // The first worker tells the devices of this machine some seconds after the start.
  if (offers.length && !offers[0].settings.find((one) => one.name === "device").choices.length) {
    loadOffers().then(() => { if (!touched) chooseTask(); }).catch(() => {});
  }
  touched = wished !== null;
  if (wished) fillIn(wished);
  else chooseTask();
  wished = null;
  return true;
}

function took(facts) {
  picture = facts;
  const depth = { uint8: "8 bits", uint16: "16 bits", float32: "floats", float64: "floats" }[facts.depth] ?? facts.depth;
  $("subject").textContent = `${facts.name} · ${facts.width} × ${facts.height} · ${depth}`;
  history.replaceState(null, "", `#picture=${facts.id}`);
  cards.showCurrent();
  painting.marks.begin(facts.id, facts.mask).catch(() => {});
  maskChanged();
  if (!painting.mask.missing) inspect(facts.id).catch(() => {}); // what cannot be inspected is restored all the same
}

// The task and its options -----------------------------------------------------------------------------------------

function chooseTask() {
  const offer = offers.find((one) => one.name === $("task").value);
  if (!offer) return;
  $("task-about").textContent = offer.about;
  $("marks-part").hidden = offer.mask === "none";
  if (painting.mask) $("tools").hidden = offer.mask === "none";
  stage.overlay = painting.mask && offer.mask !== "none" ? painting.mask.canvas : null;
  painting.used = offer.mask !== "none";
  stage.draw();
  $("options").replaceChildren(...offer.settings.filter((setting) => setting.common).map(control));
  $("more-options").replaceChildren(...offer.settings.filter((setting) => !setting.common).map(control));
  maskChanged();
}

async function loadOffers() {
  const chosen = $("task").value;
  offers = (await get("/tasks")).tasks;
  $("task").replaceChildren(...offers.map((offer) => make("option", { value: offer.name, textContent: offer.title })));
  if (chosen) $("task").value = chosen;
}

// Chooses the task that suits the picture, unless the user has begun with another one.
async function inspect(identity) {
  const { task, settings, sentences } = await get(`/pictures/${identity}/inspection`);
  if (picture?.id !== identity || !painting.mask || painting.mask.missing || touched) return;
  if (!offers.some((one) => one.name === task)) return;
  $("findings").replaceChildren(...sentences.map((text) => make("li", { textContent: text })));
  $("inspected").hidden = false;
  fillIn({ task, settings });
}

// Back to the picture of a job, with the task and settings of that job, to change them.
async function paintAgain({ picture: identity, task, settings }) {
  await get(`/pictures/${identity}`);
  wished = { task, settings };
  go(`picture=${identity}`);
}

// Fills the form with the settings of an earlier job.
function fillIn({ task, settings }) {
  $("task").value = task;
  chooseTask();
  fill(settings);
}

function maskChanged() {
  const offer = offers.find((one) => one.name === $("task").value), marked = painting.mask?.missing ?? 0;
  const all = painting.mask && marked === painting.mask.data.length;
  const ready = offer && !all && (marked || offer.mask !== "needed");
  $("start").disabled = $("try").disabled = !ready;
  $("start").title = ready ? "" : "Mark what is missing first";
  plan(ready);
}

// Says what the job would take, some time after the last change.
function plan(ready) {
  clearTimeout(planning);
  const turn = ++plans;
  if (!ready || !picture) { $("plan").textContent = ""; return; }
  planning = setTimeout(async () => {
    const { marks } = painting;
    if (!marks || !picture) return;
    try {
      await marks.save();
      const wanted = { picture: picture.id, task: $("task").value, settings: chosenSettings(), mask: marks.version };
      const { seconds, iterations, places, notes } = await post("/jobs/plan", wanted);
      if (turn !== plans) return;
      const where = places > 1 ? ` around ${places} marked places` : "";
      const time = seconds === null ? "" : `At most about ${duration(seconds)} on this machine${where} (${iterations} iterations).`;
      $("plan").textContent = [time, ...notes.map((note) => `${note[0].toUpperCase()}${note.slice(1)}.`)].filter(Boolean).join(" ");
    } catch (error) {
      if (turn === plans) $("plan").textContent = error.status === 409 ? "" : error.message;
    }
  }, 1000);
}

async function start(region = null) {
  const { marks } = painting;
  if (!marks) return;
  quieten();
  $("start").disabled = true;
  $("start").textContent = "Starting…";
  if (window.Notification?.permission === "default") Notification.requestPermission().catch(() => {});
  try {
    const facts = await uploading;
    await marks.save();
    const crop = region && [region.left, region.top, region.right - region.left, region.bottom - region.top];
    const added = await post("/jobs", { picture: facts.id, task: $("task").value, settings: chosenSettings(), crop, mask: marks.version });
    go(`job=${added.id}`);
  } catch (error) {
    complain(error);
    painting.setSelecting(false);
  }
  $("start").textContent = "Start";
  if (painting.mask) maskChanged();
}

// Helpers ----------------------------------------------------------------------------------------------------------

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  stage.draw();
  job.chart.draw();
}

function listen() {
  addEventListener("hashchange", arrive);
  addEventListener("visibilitychange", () => { if (!document.hidden) document.title = "untaught studio"; });
  // Before its upload is done, a picture is nowhere else.
  addEventListener("beforeunload", (event) => { if (uploading && !picture && painting.mask) event.preventDefault(); });
  $("home").addEventListener("click", (event) => { event.preventDefault(); go(""); });
  $("theme").addEventListener("click", () => {
    const theme = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
    localStorage.setItem("theme", theme);
    setTheme(theme);
  });
  $("log-out").addEventListener("click", () => { $("leaving").returnValue = "no"; $("leaving").showModal(); });
  $("leaving").addEventListener("close", async () => {
    const { returnValue } = $("leaving");
    if (returnValue === "no") return;
    try {
      await painting.marks?.save();
      await order(returnValue === "everywhere" ? "/logout/everywhere" : "/logout");
      location.reload();
    } catch (error) {
      complain(error);
    }
  });
  $("choose").addEventListener("click", () => $("file").click());
  $("file").addEventListener("change", () => { openFiles([...$("file").files]); $("file").value = ""; });

  addEventListener("dragover", (event) => { event.preventDefault(); $("drop-hint").hidden = false; });
  addEventListener("dragleave", (event) => { if (!event.relatedTarget) $("drop-hint").hidden = true; });
  addEventListener("drop", (event) => {
    event.preventDefault();
    $("drop-hint").hidden = true;
    openFiles([...event.dataTransfer.files]);
  });
  addEventListener("paste", (event) => {
    const file = [...event.clipboardData.files].find((one) => one.type.startsWith("image/"));
    if (file) openFile(file);
  });

  addEventListener("keydown", (event) => {
    if (event.target.closest("input:not([type=range], [type=checkbox]), select, dialog, textarea")) return;
    if (event.key === " " && !event.target.closest("button, a, summary")) { stage.space = true; stage.canvas.classList.add("moving"); event.preventDefault(); }
    if (event.key === "0" && !event.ctrlKey && !event.metaKey) stage.fit();
    if (event.key === "+" || event.key === "=") stage.zoom(1.25, stage.canvas.clientWidth / 2, stage.canvas.clientHeight / 2);
    if (event.key === "-") stage.zoom(0.8, stage.canvas.clientWidth / 2, stage.canvas.clientHeight / 2);
  });
  addEventListener("keyup", (event) => { if (event.key === " ") { stage.space = false; stage.canvas.classList.remove("moving"); } });
  $("fit").addEventListener("click", () => stage.fit());
  stage.onChange = () => {
    $("zoom-shown").value = `${Math.round(100 * stage.camera.scale * devicePixelRatio)} %`;
    const size = 2 * stage.cursor?.radius;
    if (size) stage.draw();
  };

  $("task").addEventListener("change", () => { quieten(); chooseTask(); });
  $("paint-panel").addEventListener("input", () => { touched = true; quieten(); maskChanged(); });
  $("paint-panel").addEventListener("click", (event) => { if (event.target.closest("[data-option]")) { touched = true; maskChanged(); } });
  $("start").addEventListener("click", () => start());
  $("try").addEventListener("click", () => painting.setSelecting(!painting.selecting));
  $("propose").addEventListener("click", async () => { quieten(); if (uploading) painting.propose((await uploading).id); });
  $("strength").addEventListener("change", async () => { if (painting.proposed && uploading) painting.propose((await uploading).id); });
  $("load-mask").addEventListener("click", () => $("mask-file").click());
  $("mask-file").addEventListener("change", () => { if ($("mask-file").files[0]) loadMask($("mask-file").files[0]); $("mask-file").value = ""; });
  $("export-mask").addEventListener("click", exportMask);
  $("whole").addEventListener("click", () => job.whole().then(go).catch(complain));
  for (const name of ["again", "change"]) $(name).addEventListener("click", () => paintAgain(job.facts).catch(complain));
  $("compare").querySelectorAll("[role=radiogroup]").forEach((group) => asRadios(group));
}

async function loadMask(file) {
  quieten();
  const { mask } = painting, decoded = await createImageBitmap(file).catch(() => null);
  if (!mask || mask !== painting.mask) return; // another picture has been opened meanwhile
  if (decoded) painting.load(decoded);
  else complain(new Error("This mask could not be read. Use a PNG, JPEG or WebP of the picture's size."));
}

async function exportMask() {
  if (!painting.mask) return;
  const link = make("a", { href: URL.createObjectURL(await painting.mask.toBlob()), download: `${picture?.name ?? "picture"}-mask.png` });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

async function showExamples() {
  const { complete, examples } = await get("/examples");
  $("examples-part").hidden = !examples.length;
  $("examples").replaceChildren(...examples.map(({ name, title, task }) => {
    const button = make("button", {}, make("img", { src: `/api/examples/${name}/thumbnail`, alt: "", width: 192, height: 192 }), title);
    button.dataset.example = name;
    button.addEventListener("click", () => openExample(name, task));
    return make("li", {}, button);
  }));
  if (!complete) setTimeout(() => showExamples().catch(() => {}), 1000);
}

async function begin() {
  setTheme(localStorage.getItem("theme") ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light"));
  listen();
  try {
    await loadOffers();
    chooseTask();
    showExamples().catch(() => {});
    storage.look();
    // A picture that was dropped before the server answered stays open.
    if (!opened && !dropped) await arrive();
  } catch (error) {
    setMode("empty");
    complain(error);
  }
  const showMasks = (masks) => { if (picture && painting.marks) painting.marks.hear(masks[picture.id] ?? painting.marks.heard).catch(() => {}); };
  follow({
    jobs: (jobs) => { cards.showJobs(jobs); cards.tellEnds(jobs); job.hear(jobs); },
    masks: showMasks,
    progress: (news) => job.progress(news),
    connection: (connected) => { $("connection").hidden = connected; },
  });
}

begin();
