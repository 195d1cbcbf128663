// Opening a picture: from a file, an example, the studio's folder, or to change an earlier job.

import * as asking from "./asking.js";
import { bitmap, get, masked, post, set, upload } from "./api.js";
import * as cards from "./cards.js";
import { showSubject } from "./dom.js";
import { taskOf } from "./taskcards.js";
import { knows, say } from "./words.js";

const $ = (id) => document.getElementById(id);
const EXAMPLE_CARDS = { portrait: "writing" }; // of those whose task has several
let page;
let wished = null;    // task and settings of a job that is to be changed, or of an example, and perhaps the card
let dropped = 0;      // counts dropped files
let opened = 0;       // counts what was opened, so that late answers for an earlier picture are ignored

// `shared` has the stage, the painting, the job, the current picture and the functions of the page.
export function begin(shared) {
  page = shared;
  $("pages-part").addEventListener("submit", (event) => { event.preventDefault(); choosePage($("page-number").value); });
}

// Answers for what was opened before are ignored from now on.
export function leave() { return ++opened; }

export const hasBegun = () => opened > 0 || dropped > 0;

// The picture is shown as soon as the browser has decoded it, while it is uploaded. What is on the page stays there if
// the file turns out to be no picture.
export async function openFile(file) {
  const drop = ++dropped, { current } = page, name = file.name || say("home.pasted");
  page.quieten();
  const sent = upload(`/pictures?name=${encodeURIComponent(name)}`, file);
  sent.catch(() => {});
  const decoded = /\.tiff?$/i.test(name) ? null : await createImageBitmap(file).catch(() => null);
  if (drop !== dropped) return;
  const turn = decoded ? leave() : opened, subject = [...$("subject").childNodes];
  if (decoded) {
    current.picture = null;
    current.uploading = sent;
    await paint(decoded, decoded.width, decoded.height, name);
  } else {
    $("subject").textContent = say("picture.reading", { name });
  }
  try {
    const facts = await sent;
    if (turn !== opened) return;
    current.uploading = sent;
    if (!decoded || decoded.width !== facts.width || decoded.height !== facts.height) {
      if (!await paint(await bitmap(`/pictures/${facts.id}/view`), facts.width, facts.height, facts.name)) return;
    } else if (facts.depth !== "uint8") { // the browser shows another range
      await page.stage.setBefore(await bitmap(`/pictures/${facts.id}/view`));
      if (turn !== opened) return;
    }
    took(facts);
  } catch (error) {
    if (turn !== opened) return;
    if (decoded) await page.arrive(); // back to what the address names
    else $("subject").replaceChildren(...subject);
    page.complain(error);
  }
}

// Opens the first of several files; the others wait under “Your pictures”.
export async function openFiles([first, ...others]) {
  if (!first) return;
  await openFile(first);
  const together = page.current.together = { first: page.current.picture?.id, others: [] };
  for (const file of others) {
    try {
      together.others.push(await upload(`/pictures?name=${encodeURIComponent(file.name)}`, file));
      asking.showTogether();
    } catch (error) {
      page.complain(new Error(`${file.name}: ${error.message}`));
    }
  }
  if (others.length && document.body.dataset.mode === "empty") cards.showPictures().catch(page.complain);
}

export async function openExample(name, task) {
  const turn = leave();
  page.quieten();
  try {
    const facts = await post(`/examples/${name}`);
    if (turn !== opened) return;
    wished = { task, settings: {}, card: EXAMPLE_CARDS[name] };
    set(`/pictures/${facts.id}/answer`, { answer: EXAMPLE_CARDS[name] ?? task }).catch(() => {});
    await openStored(facts.id);
  } catch (error) {
    page.complain(error);
  }
}

export async function openStored(identity) {
  const turn = leave(), { painting, current } = page;
  try {
    await painting.left; // strokes that the picture may still get
    const facts = await get(`/pictures/${identity}`), answered = taskOf(facts.answer);
    // Both before painting begins: a mask that came later would replace what the user paints.
    const [shown, mask] = await Promise.all([bitmap(`/pictures/${identity}/view`), masked(identity)]);
    if (turn !== opened) return;
    if (answered) wished ??= { task: answered, settings: {}, card: facts.answer };
    if (!await paint(shown, facts.width, facts.height, facts.name)) return;
    if (mask) painting.restore(mask.bitmap);
    current.uploading = Promise.resolve(facts);
    took({ ...facts, mask: mask?.version ?? "" });
  } catch (error) {
    if (turn !== opened) return;
    wished = null;
    page.setMode("empty");
    page.complain(error);
  }
}

// Shows the picture with an empty mask, then the tools. Returns false if something else was opened meanwhile.
async function paint(shown, width, height, name) {
  const { job, painting, stage } = page;
  job.close();
  painting.end(); // the old marks are not for this picture
  stage.view = "single";
  if (!await stage.open(shown, width, height)) return false;
  painting.begin(width, height);
  page.setMode("paint");
  $("pages-part").hidden = true;
  showSubject(name.replace(/\.[^.]*$/, ""), `${width} × ${height}`);
  stage.onStroke = painting.stroke;
  painting.setTool("brush");
  asking.beginWith(wished);
  wished = null;
  return true;
}

function took(facts) {
  const { painting } = page;
  page.current.picture = facts;
  showFacts(facts);
  showPages(facts);
  asking.showFacts();
  history.replaceState(null, "", `#picture=${facts.id}`);
  cards.showCurrent();
  painting.marks.begin(facts.id, facts.mask).catch(() => {});
  asking.maskChanged();
  if (!painting.mask.missing) asking.inspect(facts.id);
}

function showFacts(facts) {
  const depth = `depth.${facts.depth}`, range = facts.depth !== "uint8" && facts.shown?.map((end) => Number(end.toPrecision(4)));
  const told = [facts.pages && say("page.shown", facts), knows(depth) ? say(depth) : facts.depth, range && say("picture.range", { low: range[0], high: range[1] }), ![1, 3].includes(facts.channels) && say("picture.channels", { channels: facts.channels, shown: facts.channels > 3 ? 3 : 1 })].filter(Boolean);
  showSubject(facts.name, `${facts.width} × ${facts.height}`, ...told);
}

// The picture that is open has another name.
export function renamed({ name }) {
  page.current.picture = { ...page.current.picture, name };
  showFacts(page.current.picture);
}

function showPages({ page: number, pages }) {
  $("pages-part").hidden = !pages;
  if (!pages) return;
  $("pages-about").textContent = say("page.about", { pages });
  $("pages").textContent = say("page.of", { pages });
  $("page-number").max = pages;
  $("page-number").value = number;
}

async function choosePage(number) {
  const { current, painting } = page, turn = opened;
  page.quieten();
  try {
    await painting.marks.save();
    const { id } = await post(`/pictures/${current.picture.id}/pages/${number}`);
    if (turn === opened) page.go(`picture=${id}`);
  } catch (error) {
    page.complain(error);
  }
}

// Back to the picture of a job, with the task and settings of that job, to change them.
export async function paintAgain({ picture: identity, task, settings }) {
  const { answer } = await get(`/pictures/${identity}`);
  wished = { task, settings, card: answer };
  page.go(`picture=${identity}`);
}
