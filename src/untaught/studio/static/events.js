// A shared worker: one stream of events for all tabs, because a browser keeps six connections to a server and no more.

const NAMES = ["jobs", "masks", "progress"];
const ports = new Set(), told = new Map();
let source = null, connected = true;

function connect() {
  source = new EventSource("/api/events");
  for (const name of NAMES) source.addEventListener(name, ({ data }) => tell(name, data));
  source.addEventListener("open", () => tell("connection", true));
  source.addEventListener("error", () => {
    tell("connection", false);
    if (source?.readyState !== EventSource.CLOSED) return; // the browser tries again by itself
    source = null;
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
