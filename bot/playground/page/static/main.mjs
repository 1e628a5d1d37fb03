/** The page: connects to the playground and draws what it says. */

import { classes, h, render } from "./core/dom.mjs";
import { draftOf, sendAgain, settled } from "./core/fields.mjs";
import { icon } from "./core/icons.mjs";
import { change, channelOf, markSeen, onChange, reader, session, settleSession, unreadOf } from "./core/session.mjs";
import { connect } from "./core/socket.mjs";
import { read, take } from "./core/store.mjs";
import { panel } from "./scenes/panel.mjs";
import { ignoreStrayFiles } from "./workspace/drop.mjs";
import { channelPane, threadPane } from "./workspace/channel.mjs";
import { sidebar, unreadMark } from "./workspace/sidebar.mjs";
import { toasts } from "./workspace/toasts.mjs";
import { Modal, homePane, topModal } from "./workspace/views.mjs";

const THEMES = {
  system: "Theme: as the system has it",
  light: "Theme: light",
  dark: "Theme: dark",
};
const TABS = [
  ["places", "Places"],
  ["chat", "Chat"],
  ["scenes", "Behind the scenes"],
];

/** Where one part of the page is shown at a time; `css/layout.css` says the same. */
const narrow = matchMedia("(max-width: 720px)");

const root = document.getElementById("page");
let isDue = false;

/** Draw before the next frame, however many changes there are until then. */
function drawSoon() {
  if (isDue) return;
  isDue = true;
  const frame = document.hidden ? (task) => setTimeout(task, 50) : requestAnimationFrame;
  frame(() => {
    isDue = false;
    draw();
  });
}

function draw() {
  document.documentElement.dataset.theme = session.theme;
  const workspace = read("workspace");
  if (!workspace)
    return render(root, h("p", { class: "connecting", role: "status" }, "Connecting to the playground …"));
  settleSession();
  markSeen();
  const person = reader();
  const unread = workspace.people.reduce((sum, each) => sum + unreadOf(each.id), 0);
  document.title = `${unread ? `(${unread}) ` : ""}${workspace.name} · simulated Slack`;
  return render(root, page(workspace, person, unread));
}

function page(workspace, person, unread) {
  const channel = channelOf(session.place);
  const thread = channel && session.thread ? threadPane(channel, session.thread, person) : null;
  const modal = topModal(person);
  return h(
    "div",
    { class: classes("page", `shows-${session.tab}`, session.isPanelOpen && "has-panel", thread && "has-thread") },
    topBar(workspace),
    h("div", { key: "sidebar", class: "side", role: isMain("places") ? "main" : null }, sidebar(workspace)),
    h(
      "div",
      { key: "stage", class: "stage" },
      h(
        "main",
        { key: "main", class: "panes", inert: Boolean(modal) },
        channel ? channelPane(channel, person) : homePane(person),
        thread,
      ),
      modal &&
        h(Modal, {
          key: `modal of ${person.id}`,
          view: modal,
          draft: draftOf(person.id, `views/${modal.id}`),
          zone: person.zone,
        }),
    ),
    h("div", { key: "panel", class: "behind" }, panel(person, isMain("scenes"))),
    tabBar(unread),
    toasts(),
  );
}

/** Whether a part is all that is shown: it is then what a screen reader has to call the main one. */
function isMain(tab) {
  return narrow.matches && session.tab === tab;
}

function topBar(workspace) {
  const themes = Object.keys(THEMES);
  const label = THEMES[session.theme];
  const next = themes[(themes.indexOf(session.theme) + 1) % themes.length];
  return h(
    "header",
    { key: "top", class: "top-bar" },
    h("h1", { class: "visually-hidden" }, `${workspace.name}, a simulated Slack workspace`),
    h(
      "p",
      { class: "top-says" },
      h("strong", {}, "This is a simulation."),
      h(
        "span",
        { class: "top-more" },
        " Slack and Dify are simulated on this computer; the bot between them is the real one.",
      ),
    ),
    session.connection === "lost" &&
      h("p", { class: "lost", role: "alert" }, "Connection lost. Trying again … What you type is kept."),
    h(
      "button",
      {
        key: "theme",
        type: "button",
        class: "quiet-button",
        "aria-label": label,
        title: label,
        onclick: () => change({ theme: next }),
      },
      icon(session.theme),
    ),
    h(
      "button",
      {
        key: "scenes",
        type: "button",
        class: "button is-small scenes-button",
        "aria-pressed": String(session.isPanelOpen),
        onclick: () => change({ isPanelOpen: !session.isPanelOpen }),
      },
      "Behind the scenes",
    ),
  );
}

function tabBar(unread) {
  return h(
    "nav",
    { key: "tabs", class: "tab-bar", "aria-label": "Parts of the page" },
    TABS.map(([tab, name]) =>
      h(
        "button",
        {
          key: tab,
          type: "button",
          "aria-current": session.tab === tab ? "page" : null,
          onclick: () => change({ tab }),
        },
        icon(tab),
        name,
        tab === "places" && unreadMark(unread),
      ),
    ),
  );
}

ignoreStrayFiles();
onChange(drawSoon);
document.addEventListener("visibilitychange", drawSoon);
narrow.addEventListener("change", drawSoon);
// Whoever leaves a field, or the page, does not come back to type on: what is there is not held back any longer.
document.addEventListener("focusout", settled);
addEventListener("pagehide", settled);
connect(
  (documents) => {
    take(documents);
    drawSoon();
  },
  (connection) => {
    change({ connection });
    if (connection === "open") sendAgain();
  },
);
draw();
