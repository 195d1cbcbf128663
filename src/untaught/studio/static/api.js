// Calls of the HTTP interface under /api.

import { plain, say } from "./words.js";

export class Refusal extends Error {
  constructor(status, message, field) { super(message); this.status = status; this.field = field; }
}

async function ask(path, options = {}) {
  let answer;
  try {
    answer = await fetch(`/api${path}`, { credentials: "same-origin", ...options });
  } catch {
    throw new Refusal(0, say("error.silent"));
  }
  if (answer.ok) return answer;
  if ([401, 421].includes(answer.status)) throw new Refusal(answer.status, say("page.ended"));
  const body = await answer.json().catch(() => ({}));
  const detail = Array.isArray(body.detail) ? body.detail.map((one) => one.msg).join("; ") : body.detail;
  throw new Refusal(answer.status, sentence(detail || say("error.refused", { status: answer.status })), body.field);
}

function sentence(text) {
  return text[0].toUpperCase() + plain(text).slice(1) + (/[.!?]$/.test(text) ? "" : ".");
}

const json = (content) => ({ headers: { "content-type": "application/json" }, body: JSON.stringify(content) });

export const get = async (path) => (await ask(path)).json();
export const order = (path) => ask(path, { method: "POST" });
export const remove = (path) => ask(path, { method: "DELETE" });
export const put = async (path, body, keepalive = false) => (await ask(path, { method: "PUT", body, keepalive })).json();
export const set = (path, content) => ask(path, { method: "PUT", ...json(content) });
export const upload = async (path, body) => (await ask(path, { method: "POST", body })).json();
export const post = async (path, content) =>
  (await ask(path, { method: "POST", ...json(content ?? {}) })).json();

// Returns a picture from the server, decoded off the main thread, or null if it does not exist (yet) or is damaged.
export async function bitmap(path) {
  const answer = await fetch(`/api${path}`, { credentials: "same-origin" }).catch(() => null);
  return answer?.ok ? createImageBitmap(await answer.blob()).catch(() => null) : null;
}

// Returns the marks of a picture and their version, null if it has none.
export async function masked(identity) {
  const answer = await ask(`/pictures/${identity}/mask`).catch((error) => { if (error.status !== 404) throw error; });
  return answer ? { version: answer.headers.get("x-mask"), bitmap: await createImageBitmap(await answer.blob()) } : null;
}

// Returns suggested marks as a file, null if there are none.
export async function suggestedFile(identity, kind, strength) {
  const answer = await ask(`/pictures/${identity}/proposal?kind=${kind}&strength=${strength}`);
  return Number(answer.headers.get("x-missing")) ? answer.blob() : null;
}

export async function suggested(identity, kind, strength) {
  const file = await suggestedFile(identity, kind, strength);
  return file && createImageBitmap(file);
}

// Follows the events of the server: `handlers` has a function for each name. One stream serves all tabs, where the browser
// has shared workers.
export function follow(handlers) {
  const handle = (name, data) => handlers[name](typeof data === "string" ? JSON.parse(data) : data);
  if (!window.SharedWorker) {
    const source = new EventSource("/api/events");
    for (const name of ["jobs", "masks", "progress"]) source.addEventListener(name, ({ data }) => handle(name, data));
    source.addEventListener("open", () => handlers.connection("open"));
    source.addEventListener("error", () => {
      handlers.connection("silent");
      if (source.readyState === EventSource.CLOSED) setTimeout(() => follow(handlers), 1500); // it was refused
    });
    return;
  }
  const { port } = new SharedWorker("/static/events.js");
  port.onmessage = ({ data: [name, data] }) => { if (name === "connection") handlers.connection(data); else handle(name, data); };
  port.postMessage("hello");
  addEventListener("pagehide", () => port.postMessage("bye"));
  addEventListener("pageshow", (event) => { if (event.persisted) port.postMessage("hello"); });
}
