/** What goes over the wires: Slack's payloads, the bot's calls, Dify's events; the newest first. */

import { classes, h } from "../core/dom.mjs";
import { request } from "../core/socket.mjs";
import { reader } from "../core/session.mjs";

const KINDS = [
  ["payload", "Payloads", "What Slack sends to the bot"],
  ["call", "API calls", "What the bot asks of Slack"],
  ["dify", "Dify", "What the bot asks of Dify, and Dify's events"],
  ["poll", "Polls", "What the bot asks Dify again and again while it waits"],
];

const PAUSE_MS = 250; // between two searches, and after the last letter typed
const AGAIN_MS = 2000; // after a search that failed

/** The list of `entries`, newest first; it stands still while a pointer is on it, and while it is paused. */
export function Traffic({ entries }, self) {
  self.hidden ??= new Set(["poll"]);
  self.text ??= "";
  self.looks ??= new Map();
  const newest = entries[0]?.n ?? 0;
  const hold = (change) => {
    Object.assign(self, change);
    self.until = self.isPaused || self.isPointedAt ? (self.until ?? newest) : null;
    self.redraw();
  };
  const ofKinds = entries.filter((entry) => !self.hidden.has(entry.kind));
  const inSight = ofKinds.filter((entry) => entry.n <= (self.until ?? newest));
  if (self.text) lookSoon(self, inSight);
  const shown = self.text ? inSight.filter((entry) => self.looks.get(entry.n)?.isFound) : inSight;
  const isSearching = self.text && self.due.length && !self.looks.size;
  const waiting = ofKinds.length - inSight.length;
  return h(
    "div",
    { class: "traffic" },
    h(
      "div",
      { class: "traffic-filter" },
      h("input", {
        type: "search",
        class: "control",
        "aria-label": "Filter the traffic",
        placeholder: "Filter, such as views.open",
        value: self.text,
        oninput: ({ target }) => {
          clearTimeout(self.timer);
          Object.assign(self, { text: target.value, looks: new Map(), timer: null, pause: PAUSE_MS });
          self.redraw();
        },
      }),
      h(
        "div",
        { class: "row", role: "group", "aria-label": "Kinds" },
        KINDS.map(([kind, name, says]) =>
          h(
            "button",
            {
              key: kind,
              type: "button",
              class: `toggle is-${kind}`,
              title: says,
              "aria-pressed": String(!self.hidden.has(kind)),
              onclick: () => toggle(self, kind),
            },
            name,
          ),
        ),
        h(
          "button",
          {
            key: "pause",
            type: "button",
            class: "toggle",
            "aria-pressed": String(Boolean(self.isPaused)),
            onclick: () => hold({ isPaused: !self.isPaused }),
          },
          "Pause",
        ),
      ),
    ),
    h(
      "p",
      { class: "soft", role: "status" },
      isSearching
        ? "Searching …"
        : `${shown.length} of ${inSight.length}${waiting ? `, and ${waiting} more since it stands still` : ""}`,
    ),
    h(
      "ul",
      {
        class: "entries",
        "aria-label": "Traffic",
        onpointerenter: () => hold({ isPointedAt: true }),
        onpointerleave: () => hold({ isPointedAt: false }),
      },
      shown.map((entry) => h(Entry, { key: entry.n, entry })),
    ),
  );
}

/** Have the entries searched that are new to the text, and those that changed, unless the list stands still. */
function lookSoon(self, inSight) {
  const isStill = self.isPaused || self.isPointedAt;
  self.due = inSight.filter((entry) => {
    const look = self.looks.get(entry.n);
    return isStill ? !look : look?.entry !== entry;
  });
  if (self.due.length) self.timer ??= setTimeout(() => look(self), self.pause);
}

/** Ask which of the entries that are due have the text in them; those that come meanwhile are asked about next. */
async function look(self) {
  const { text, looks, due } = self;
  const answer = await request("find_traffic", { text, among: due.map(({ n }) => n) }).catch(() => null);
  if (self.looks !== looks) return; // another text was typed meanwhile
  const found = new Set(answer?.found);
  if (answer) for (const entry of due) looks.set(entry.n, { entry, isFound: found.has(entry.n) });
  Object.assign(self, { timer: null, pause: answer ? PAUSE_MS : AGAIN_MS });
  self.redraw();
}

function toggle(self, kind) {
  if (!self.hidden.delete(kind)) self.hidden.add(kind);
  self.redraw();
}

function Entry({ entry }, self) {
  const toggleBody = async () => {
    self.isOpen = !self.isOpen;
    self.redraw();
    if (!self.isOpen) return;
    self.shown = await request("body", { n: entry.n }).then(written, (error) => error.message);
    self.redraw();
  };
  const direction = entry.direction === "in" ? "to the bot" : "from the bot";
  return h(
    "li",
    { class: classes("entry", `is-${entry.kind}`, !entry.ok && "is-refused") },
    h(
      "button",
      { type: "button", class: "entry-head", "aria-expanded": String(Boolean(self.isOpen)), onclick: toggleBody },
      h(
        "span",
        { class: "entry-way", role: "img", "aria-label": direction, title: direction },
        entry.direction === "in" ? "→" : "←",
      ),
      h("strong", {}, entry.title),
      h("span", { class: "entry-end" }, entry.status),
      h("span", { class: "entry-about" }, entry.about),
      h("span", { class: "entry-end" }, entry.ms !== null && `${Math.round(entry.ms)} ms `, timeOf(entry.at)),
    ),
    self.isOpen && h("pre", { class: "code", tabindex: 0, "aria-label": `Body of ${entry.title}` }, self.shown ?? "…"),
  );
}

function written({ body, response }) {
  const text = (value) => (typeof value === "string" ? value : JSON.stringify(value, null, 2));
  return response === undefined || response === null ? text(body) : `${text(body)}\n\n— answer —\n\n${text(response)}`;
}

function timeOf(seconds) {
  return new Date(seconds * 1000).toLocaleTimeString("en-GB", { timeZone: reader()?.zone });
}
