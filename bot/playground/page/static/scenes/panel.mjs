/** "Behind the scenes": the bot's process, the simulated Dify, the traffic between all three, and own forms. */

import { h } from "../core/dom.mjs";
import { icon } from "../core/icons.mjs";
import { change, session } from "../core/session.mjs";
import { botBox } from "./bot.mjs";
import { difyScene } from "./dify.mjs";
import { OwnForm } from "./own_form.mjs";
import { Traffic } from "./traffic.mjs";
import { all, read } from "../core/store.mjs";

const SCENES = [
  ["dify", "Dify"],
  ["traffic", "Traffic"],
  ["own", "Own form"],
];

/** The panel: beside the workspace, or in its place (`isMain`). */
export function panel(reader, isMain) {
  return h(
    "section",
    { class: "panel", role: isMain ? "main" : "complementary", "aria-labelledby": "panel-title" },
    h(
      "header",
      { class: "pane-head" },
      h("h2", { id: "panel-title", tabindex: -1 }, "Behind the scenes"),
      h(
        "button",
        {
          type: "button",
          class: "quiet-button close",
          "aria-label": "Close Behind the scenes",
          title: "Close",
          onclick: () => change({ isPanelOpen: false }),
        },
        icon("close"),
      ),
    ),
    botBox(read("bot")),
    h(
      "div",
      { class: "tabs", role: "tablist", "aria-label": "Behind the scenes", onkeydown: onKey },
      SCENES.map(([id, name]) =>
        h(
          "button",
          {
            key: id,
            type: "button",
            role: "tab",
            id: `tab-${id}`,
            "aria-selected": String(session.scene === id),
            "aria-controls": "scene",
            tabindex: session.scene === id ? 0 : -1,
            onclick: () => change({ scene: id }),
          },
          name,
        ),
      ),
    ),
    h(
      "div",
      { class: "scene", id: "scene", role: "tabpanel", tabindex: 0, "aria-labelledby": `tab-${session.scene}` },
      scene(reader),
    ),
  );
}

function scene(reader) {
  if (session.scene === "traffic") return h(Traffic, { key: "traffic", entries: newest(all("traffic/")) });
  if (session.scene === "own")
    return h(OwnForm, {
      key: "own",
      person: reader.id,
      channel: session.place === "home" ? null : session.place,
    });
  return difyScene();
}

let cached = { entries: [], from: [] };

/** Newest first; the same list as long as no entry has changed, so that it is not drawn again. */
function newest(entries) {
  const isSame = entries.length === cached.from.length && entries.every((entry, index) => entry === cached.from[index]);
  if (!isSame) cached = { from: entries, entries: [...entries].sort((one, other) => other.n - one.n) };
  return cached.entries;
}

function onKey(event) {
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (!step) return;
  event.preventDefault();
  const at = SCENES.findIndex(([id]) => id === session.scene);
  const [id] = SCENES.at((at + step) % SCENES.length);
  change({ scene: id });
  document.getElementById(`tab-${id}`).focus();
}
