/** The one WebSocket to the server: documents come in, what people do goes out, and a lost connection comes back. */

const FIRST_WAIT_MS = 300;
const LONGEST_WAIT_MS = 5000;
const LOST = "The connection to the playground was lost before it answered. Look whether it was done, then try again.";
const OFFLINE = "Nothing was sent, since there was no connection to the playground. What you typed is kept.";

/** Why a request was not answered: there is no connection, or it broke. Its message is a sentence to show. */
export class Unconnected extends Error {}

/** Why a request was not even sent: it can be made again as soon as there is a connection. */
export class Unsent extends Unconnected {}

let socket = null;
let wait = FIRST_WAIT_MS;
let number = 0;
const waiting = new Map();

/** Connect, and connect again for as long as the page is open. `onDocuments(message)`, `onState("open" | "lost")`. */
export function connect(onDocuments, onState) {
  const scheme = location.protocol === "https:" ? "wss:" : "ws:";
  socket = new WebSocket(`${scheme}//${location.host}/socket`);
  socket.onmessage = ({ data }) => {
    const message = JSON.parse(data);
    if ("id" in message) return settle(message);
    onDocuments(message);
    if (message.first) {
      wait = FIRST_WAIT_MS;
      onState("open");
    }
  };
  socket.onclose = () => {
    for (const { reject } of waiting.values()) reject(new Unconnected(LOST));
    waiting.clear();
    onState("lost");
    setTimeout(() => connect(onDocuments, onState), wait);
    wait = Math.min(wait * 2, LONGEST_WAIT_MS);
  };
}

/** Ask the server to do something and return its result. Rejects with an `Error` whose message is a sentence. */
export function request(what, details = {}) {
  if (socket?.readyState !== WebSocket.OPEN) return Promise.reject(new Unsent(OFFLINE));
  number += 1;
  const id = number;
  const answer = new Promise((resolve, reject) => waiting.set(id, { resolve, reject }));
  socket.send(JSON.stringify({ ...details, id, do: what }));
  return answer;
}

function settle({ id, ok, result, error }) {
  const { resolve, reject } = waiting.get(id) ?? {};
  waiting.delete(id);
  if (ok) resolve?.(result ?? {});
  else reject?.(new Error(error));
}
