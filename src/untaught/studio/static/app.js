// The page as a whole. It is in one of three modes: empty, painting a mask, or showing a job. The address names the
// picture or job (#picture=..., #job=...), so a reload shows it again.

import { follow, order, post, put, set } from "./api.js";
import * as asking from "./asking.js";
import * as cards from "./cards.js";
import { asRadios, saveAs, sure } from "./dom.js";
import { clearField } from "./form.js";
import { JobView } from "./job.js";
import { listenForKeys } from "./keys.js";
import * as opening from "./opening.js";
import { Painting } from "./painting.js";
import { Stage } from "./stage.js";
import { Storage } from "./storage.js";
import { fillPage, say } from "./words.js";

const $ = (id) => document.getElementById(id);
fillPage();
const stage = new Stage($("canvas"));
const painting = new Painting(stage, { onChange: asking.maskChanged, onSelect: (box) => asking.start(box), onError: complain });
const storage = new Storage({ sure, onError: complain, onChange: () => { if (document.body.dataset.mode === "empty") cards.showPictures().catch(complain); } });
const job = new JobView(stage, { onError: complain, onGone: () => go("") });
// The facts from the server about the picture that is painted on, and during its upload a promise of them.
const current = { picture: null, uploading: null };
const page = { stage, painting, job, current, go, complain, quieten, setMode, arrive };

asking.begin(page);
opening.begin(page);
cards.begin({ go, complain, removeOne: job.remove, openExample: opening.openExample });

let moving = false; // whether the page itself goes to another place

// Modes ------------------------------------------------------------------------------------------------------------

function setMode(mode) {
  const changes = document.body.dataset.mode !== mode;
  document.body.dataset.mode = mode;
  $("empty").hidden = mode !== "empty";
  $("panel").hidden = mode === "empty";
  $("paint-panel").hidden = $("tools").hidden = mode !== "paint";
  $("job-panel").hidden = mode !== "job";
  $("zoom").hidden = $("rename").hidden = mode === "empty";
  $("canvas").tabIndex = mode === "empty" ? -1 : 0; // under the first page it is not seen
  if (mode !== "job") job.close();
  if (mode !== "paint") painting.end();
  if (mode === "empty") {
    cards.showPictures().catch(complain);
    cards.showBatch().catch(() => {});
    stage.close();
    stage.onStroke = null;
    $("subject").textContent = "";
  }
  $("panel").scrollTop = 0;
  scrollTo(0, 0); // on a phone, where the page scrolls as a whole
  // What was pressed may be gone: the focus goes to what is worked on now.
  const { activeElement: held } = document, isGone = held === document.body ? moving : !held?.checkVisibility();
  if (changes && isGone) $({ empty: "choose", paint: "canvas", job: "job-title" }[mode]).focus({ preventScroll: true });
  moving = false;
}

function go(address) {
  moving = true;
  if (location.hash.slice(1) === address) arrive();
  else location.hash = address;
}

async function arrive() {
  const [, kind, identity] = /^#(picture|job)=([0-9a-f]{16})$/.exec(location.hash) ?? [];
  quieten();
  cards.showCurrent();
  if (kind === "job") {
    opening.leave();
    setMode("job");
    await job.open(identity);
  } else if (kind === "picture") {
    if (current.picture?.id !== identity || document.body.dataset.mode !== "paint") await opening.openStored(identity);
  } else {
    opening.leave();
    current.picture = current.uploading = null;
    setMode("empty");
  }
}

function complain(error) {
  if (asking.toldAtField(error)) return;
  const where = document.body.dataset.mode === "empty" ? $("empty-notice") : $("notice");
  where.textContent = error.message || String(error);
  where.hidden = false;
  where.scrollIntoView({ block: "nearest" }); // on a phone it is above what was pressed
}

// Takes notices away: all, or only one that says this.
function quieten(text) {
  if (!text) clearField();
  for (const id of ["notice", "empty-notice"]) if (!text || $(id).textContent === text) $(id).hidden = true;
}

// The picture or the job that is open gets another name.
async function rename() {
  const isJob = document.body.dataset.mode === "job", { id, name } = isJob ? job.facts : current.picture;
  $("new-name").value = name;
  $("naming").returnValue = "no";
  $("naming").showModal();
  $("new-name").select();
  $("naming").onclose = async () => {
    if ($("naming").returnValue !== "yes") return;
    try {
      const facts = await (await set(`/${isJob ? "jobs" : "pictures"}/${id}/name`, { name: $("new-name").value })).json();
      if (!isJob && current.picture?.id === id) opening.renamed(facts);
    } catch (error) {
      complain(error);
    }
  };
}

// What the user does -----------------------------------------------------------------------------------------------

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  stage.draw();
  job.chart.draw();
}

function listen() {
  addEventListener("hashchange", arrive);
  addEventListener("visibilitychange", () => { if (!document.hidden) document.title = say("page.title"); });
  // Before its upload is done, a picture is nowhere else.
  addEventListener("beforeunload", (event) => { if (current.uploading && !current.picture && painting.mask) event.preventDefault(); });
  $("home").addEventListener("click", (event) => { event.preventDefault(); go(""); });
  $("theme").addEventListener("click", () => {
    const theme = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
    localStorage.setItem("theme", theme);
    setTheme(theme);
  });
  $("rename").addEventListener("click", () => { if (document.body.dataset.mode === "job" ? job.facts : current.picture) rename(); });
  $("naming-no").addEventListener("click", () => $("naming").close());
  $("log-out").addEventListener("click", () => { $("leaving").returnValue = "no"; $("leaving").showModal(); });
  $("leaving").addEventListener("close", logOut);
  for (const name of ["again", "change"]) $(name).addEventListener("click", () => opening.paintAgain(job.facts).catch(complain));
  $("use").addEventListener("click", () => post(`/jobs/${job.id}/picture`).then(({ id }) => go(`picture=${id}`)).catch(complain));
  $("whole").addEventListener("click", () => job.whole().then(go).catch(complain));
  $("compare").querySelectorAll("[role=radiogroup]").forEach((group) => asRadios(group));
  listenForFiles();
  listenForMasks();
  listenForZoom();
  listenForKeys();
}

async function logOut() {
  const { returnValue } = $("leaving");
  if (returnValue === "no") return;
  try {
    await painting.marks?.save();
    await order(returnValue === "everywhere" ? "/logout/everywhere" : "/logout");
    location.reload();
  } catch (error) {
    complain(error);
  }
}

function listenForFiles() {
  $("choose").addEventListener("click", () => $("file").click());
  $("file").addEventListener("change", () => { opening.openFiles([...$("file").files]); $("file").value = ""; });
  addEventListener("dragover", (event) => { event.preventDefault(); $("drop-hint").hidden = false; });
  addEventListener("dragleave", (event) => { if (!event.relatedTarget) $("drop-hint").hidden = true; });
  addEventListener("drop", (event) => {
    event.preventDefault();
    $("drop-hint").hidden = true;
    opening.openFiles([...event.dataTransfer.files]);
  });
  addEventListener("paste", (event) => {
    const file = [...event.clipboardData.files].find((one) => one.type.startsWith("image/"));
    if (file) opening.openFile(file);
  });
}

function listenForMasks() {
  const propose = async (moving) => { if (current.uploading) painting.propose((await current.uploading).id, moving); };
  $("propose").addEventListener("click", () => { quieten(); propose(false); });
  $("find-for-me").addEventListener("click", () => { $("propose").scrollIntoView({ block: "center" }); $("propose").focus({ preventScroll: true }); $("propose").click(); });
  for (const [name, moving] of [["input", true], ["change", false]]) {
    $("strength").addEventListener(name, () => { if (painting.suggestion?.kind) propose(moving); });
  }
  $("load-mask").addEventListener("click", () => $("mask-file").click());
  $("mask-file").addEventListener("change", () => { if ($("mask-file").files[0]) loadMask($("mask-file").files[0]); $("mask-file").value = ""; });
  $("export-mask").addEventListener("click", exportMask);
}

async function loadMask(file) {
  quieten();
  const { mask } = painting, decoded = await createImageBitmap(file).catch(() => null);
  if (!mask || mask !== painting.mask) return; // another picture has been opened meanwhile
  if (decoded) { painting.load(decoded); return; }
  try { // the server reads more formats
    const { id } = await current.uploading;
    await painting.marks.save();
    await painting.marks.hear((await put(`/pictures/${id}/mask`, file)).mask);
  } catch (error) {
    complain(error);
  }
}

async function exportMask() {
  if (!painting.mask) return;
  saveAs(await painting.mask.toBlob(), `${current.picture?.name ?? "picture"}-mask.png`);
}

function listenForZoom() {
  addEventListener("keydown", (event) => {
    if (event.target.closest("input:not([type=range], [type=checkbox]), select, dialog, textarea")) return;
    if (event.key === " " && !event.target.closest("button, a, summary")) { stage.space = true; stage.canvas.classList.add("moving"); event.preventDefault(); }
    if (event.key === "0" && !event.ctrlKey && !event.metaKey) stage.fit();
    if (event.key === "1" && !event.ctrlKey && !event.metaKey) stage.zoomToPixels();
    if (event.key === "+" || event.key === "=") stage.zoom(1.25, stage.canvas.clientWidth / 2, stage.canvas.clientHeight / 2);
    if (event.key === "-") stage.zoom(0.8, stage.canvas.clientWidth / 2, stage.canvas.clientHeight / 2);
  });
  const release = () => { stage.space = false; stage.canvas.classList.remove("moving"); };
  addEventListener("keyup", (event) => { if (event.key === " ") release(); });
  addEventListener("blur", release); // the key is let go elsewhere
  $("fit").addEventListener("click", () => stage.fit());
  $("pixels").addEventListener("click", () => stage.zoomToPixels());
  stage.onChange = () => {
    $("zoom-shown").value = `${Math.round(100 * stage.camera.scale * devicePixelRatio)} %`;
    if (stage.cursor?.radius) stage.draw();
  };
}

async function begin() {
  setTheme(localStorage.getItem("theme") ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light"));
  listen();
  try {
    await asking.loadOffers();
    asking.chooseTask();
    cards.showExamples().catch(() => {});
    storage.look();
    // A picture that was dropped before the server answered stays open.
    if (!opening.hasBegun()) await arrive();
  } catch (error) {
    setMode("empty");
    complain(error);
  }
  const showMasks = (masks) => { if (current.picture && painting.marks) painting.marks.hear(masks[current.picture.id] ?? painting.marks.heard).catch(() => {}); };
  follow({
    jobs: (jobs) => { cards.showJobs(jobs); cards.tellEnds(jobs); job.hear(jobs); },
    masks: showMasks,
    progress: (news) => job.progress(news),
    connection: (state) => {
      $("connection").hidden = state === "open";
      $("connection").textContent = say(state === "ended" ? "page.ended" : "page.silent");
      if (state === "open") quieten(say("error.silent"));
    },
  });
}

begin();
