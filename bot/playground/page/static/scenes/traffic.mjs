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

/** The list of `entries`, newest first. */
export function Traffic({ entries }, self) {
  self.hidden ??= new Set(["poll"]);
  self.text ??= "";
  const wanted = self.text.toLowerCase();
  const ofKinds = entries.filter((entry) => !self.hidden.has(entry.kind));
  const shown = ofKinds.filter((entry) =>
    `${entry.title} ${entry.about} ${entry.status}`.toLowerCase().includes(wanted),
  );
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
        oninput: ({ target }) => ((self.text = target.value), self.redraw()),
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
      ),
    ),
    h("p", { class: "soft", role: "status" }, `${shown.length} of ${ofKinds.length}`),
    h(
      "ul",
      { class: "entries", "aria-label": "Traffic" },
      shown.map((entry) => h(Entry, { key: entry.n, entry })),
    ),
  );
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
