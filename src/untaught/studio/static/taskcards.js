// The question what is wrong: a card for each answer, with a small picture of the damage and of what becomes of it.
// `benchmarks/task_cards.py` makes the pictures. Once it is answered, only the chosen card stays in sight.

import { asRadios, choose as check, make } from "./dom.js";
import { knows, say, taskTitle } from "./words.js";

const $ = (id) => document.getElementById(id);
const ANSWERS = { inpaint: ["inpaint", "writing"] }; // where a task treats more than one damage
let first = null; // the card that the form is made for while none is chosen

// `onChoose` is called when the user chooses a card, with whether it is another one.
export function begin(onChoose) {
  $("task").addEventListener("click", (event) => {
    const card = event.target.closest("[data-card]");
    if (!card) return;
    if (folded()) { fold(false); return; }
    if (event.isTrusted) fold(true); // an arrow key moves on to the next card; a click or Enter has chosen
    const another = card !== meant();
    check($("task"), card);
    onChoose(another);
  });
  $("task-other").addEventListener("click", () => { fold(false); meant()?.focus(); });
}

// Makes the cards of the tasks that the server offers; those that need a second picture come last.
export function show(offers) {
  if ($("task").children.length) return;
  const needsMore = ({ files }) => files.some(({ required }) => required);
  const tasks = [...offers.filter((one) => !needsMore(one)), ...offers.filter(needsMore)].map(({ name }) => name);
  $("task").append(...tasks.flatMap((task) => cardsOf(task).map((answer) => {
    const picture = make("img", { src: `/static/cards/${answer}.webp`, alt: "", width: 192, height: 128 });
    picture.addEventListener("error", () => picture.remove()); // a task of the user's own has none
    const title = `card.${answer}`, card = make("button", { type: "button", value: task }, picture, make("span", { textContent: knows(title) ? say(title) : taskTitle(task) }));
    card.setAttribute("role", "radio");
    card.dataset.card = answer;
    return card;
  })));
  asRadios($("task"));
}

const checked = () => $("task").querySelector("[aria-checked=true]");
const meant = () => checked() ?? first;

// The names of the cards of a task.
export const cardsOf = (task) => ANSWERS[task] ?? [task];

// Marks the cards that may be right.
export function suggest(cards) {
  for (const card of $("task").children) {
    card.querySelector("i")?.remove();
    if (cards.includes(card.dataset.card)) card.append(make("i", { textContent: say("task.maybe") }));
  }
}

// The name of the chosen task, or of the first one; undefined while there are none.
export const chosenTask = () => meant()?.value;

// The name of its card.
export const chosenCard = () => meant()?.dataset.card;

// No card is chosen: the first one counts until then.
export function chooseNone() {
  [first] = $("task").children;
  check($("task"), null);
  if (first) first.tabIndex = 0;
}

export const isChosen = () => Boolean(checked());

// What a card says, within a sentence.
export const titleOf = (card) => { const title = named(card).querySelector("span").textContent; return title[0].toLowerCase() + title.slice(1); };

const named = (name) => [...$("task").children].find(({ dataset }) => dataset.card === name);

// The task of a card, undefined if there is no such card.
export const taskOf = (card) => named(card)?.value;

// Chooses a task, by this card if it is one of its own, or by its first one.
export function choose(task, card) { check($("task"), taskOf(card) === task ? named(card) : named(cardsOf(task)[0])); }

const folded = () => $("task").classList.contains("folded");

// Leaves only the chosen card in sight, or shows all.
export function fold(wanted) {
  $("task").classList.toggle("folded", wanted);
  $("task-other").hidden = !wanted;
  document.body.classList.toggle("asking", !wanted);
}
