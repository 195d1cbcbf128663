// A shared worker: one stream of events for all tabs, because a browser keeps six connections to a server and no more.

const NAMES = ["jobs", "masks", "progress"];
const ports = new Set(), told = new Map();
let source = null, connected = "open"; // or "silent", or "ended" where the session is over

function connect() {
  source = new EventSource("/api/events");
  for (const name of NAMES) source.addEventListener(name, ({ data }) => tell(name, data));
  source.addEventListener("open", () => tell("connection", "open"));
  source.addEventListener("error", async () => {
    const refused = source?.readyState === EventSource.CLOSED; // otherwise the browser tries again by itself
    if (refused) source = null;
    const answer = refused && await fetch("/api/tasks").catch(() => null);
    tell("connection", [401, 421].includes(answer?.status) ? "ended" : "silent");
    if (!refused) return;
    setTimeout(() => { if (ports.size && !source) connect(); }, 1500);
  });
}

function tell(name, data) {
  if (name === "connection") connected = data;
  else if (name !== "progress") told.set(name, data);
  for (const port of ports) port.postMessage([name, data]);
}

self.onconnect = ({ ports: [port] }) => {
  port.onmessage = ({ data }) => {
    if (data === "bye") {
      ports.delete(port);
      if (!ports.size) { source?.close(); source = null; told.clear(); }
      return;
    }
    ports.add(port);
    if (source) for (const one of told) port.postMessage(one);
    port.postMessage(["connection", connected]);
    if (!source) connect();
  };
  port.start();
};
