/** App Home, and the windows that the app opens over the workspace. */

import { drawBlocks } from "../blocks/blocks.mjs";
import { classes, h } from "../core/dom.mjs";
import { draftOf, settled } from "../core/fields.mjs";
import { icon } from "../core/icons.mjs";
import { explainSilence, saidOf } from "../core/notices.mjs";
import { request } from "../core/socket.mjs";
import { all, read } from "../core/store.mjs";

const FOCUSABLE = "a[href], button:not([disabled]), input:not([disabled]), textarea:not([disabled]), [tabindex='0']";

/** The pane of the app's Home tab. */
export function homePane(reader) {
  const view = all("views/").find((each) => each.kind === "home" && each.person === reader.id);
  const { app } = read("workspace");
  return h(
    "section",
    { class: "pane is-home", "aria-labelledby": "home-title" },
    h(
      "header",
      { class: "pane-head" },
      h("h2", { id: "home-title", tabindex: -1 }, app.name),
      h("span", { class: "soft" }, "Home"),
    ),
    h(
      "div",
      { class: "home", tabindex: 0, role: "region", "aria-label": "App Home" },
      view
        ? h(View, { key: view.id, view, draft: draftOf(reader.id, `views/${view.id}`), zone: reader.zone })
        : h("p", { class: "soft" }, nothingYet(app)),
    ),
  );
}

function nothingYet(app) {
  if (read("bot")?.state === "stopped") return "The bot is not running. Once it is, it fills this place.";
  return `${app.name} has not put anything here yet.`;
}

function View({ view, draft }) {
  return drawBlocks(view.blocks, {
    person: view.person,
    surface: `views/${view.id}`,
    draft,
    errors: view.errors ?? {},
  });
}

/** The window a person looks at: the top one of those open. */
export function topModal(reader) {
  const open = all("views/").filter((view) => view.kind === "modal" && view.person === reader.id);
  return open.sort((one, other) => one.depth - other.depth).at(-1);
}

/** A window of the app. Tab stays in it; Escape closes it, and the focus goes back to where it was. */
export function Modal({ view, draft, zone }, self) {
  self.before ??= document.activeElement;
  self.mounted = (node) => {
    focusFirst(node);
    document.addEventListener("keydown", self.onKey);
  };
  self.updated = (node) => {
    if (self.viewId !== view.id) focusFirst(node);
    else if (self.errors !== view.errors) focusWrong(node);
    Object.assign(self, { viewId: view.id, errors: view.errors });
  };
  self.gone = () => {
    document.removeEventListener("keydown", self.onKey);
    giveFocusBack(self.before);
  };
  self.viewId ??= view.id;
  self.errors ??= view.errors;
  const act = async (what) => {
    if (self.isBusy) return;
    Object.assign(self, { isBusy: true, problem: null });
    self.redraw();
    self.problem = await problemOf(what, view);
    self.isBusy = false;
    self.redraw();
  };
  const problem = saidOf(self.problem);
  const close = () => act("close");
  self.close = close;
  self.onKey ??= (event) => closeOn(event, self);
  return h(
    "div",
    { class: "modal-layer" },
    h(
      "div",
      {
        class: "modal",
        role: "dialog",
        "aria-modal": "true",
        "aria-labelledby": "modal-title",
        onkeydown: keepTab,
      },
      h(
        "div",
        { class: "modal-head" },
        h("h2", { id: "modal-title", tabindex: -1 }, view.depth > 0 && h("span", { class: "soft" }, "‹ "), view.title),
        h(
          "button",
          {
            type: "button",
            class: "quiet-button",
            "aria-label": "Close window",
            title: "Close window",
            onclick: close,
          },
          icon("close"),
        ),
      ),
      h(
        "div",
        { class: "modal-body", tabindex: 0, role: "group", "aria-label": "Content" },
        h(View, { key: view.id, view, draft, zone }),
      ),
      h(
        "div",
        { class: "modal-foot" },
        problem && h("p", { class: "field-error", role: "alert" }, problem),
        h("button", { key: "close", type: "button", class: "button", onclick: close }, view.close || "Cancel"),
        view.submit &&
          h(
            "button",
            {
              key: "submit",
              type: "button",
              class: classes("button is-primary", self.isBusy && "is-busy"),
              onclick: () => act("submit"),
            },
            view.submit,
          ),
      ),
    ),
  );
}

async function problemOf(what, view) {
  try {
    await settled();
    const { error } = await request(what, { person: view.person, view: view.id });
    if (error) explainSilence();
    return error ? new Error(error) : null;
  } catch (error) {
    return error;
  }
}

/** The first field has the focus, unless a text stands before it that is to be read first. */
function focusFirst(node) {
  const body = node.querySelector(".modal-body");
  const field = body.querySelector("[autofocus], input, textarea");
  const isInSight = field && field.getBoundingClientRect().bottom < body.getBoundingClientRect().bottom;
  (isInSight ? field : node.querySelector("h2")).focus({ preventScroll: true });
}

function focusWrong(node) {
  const field = node.querySelector(".has-error");
  field?.scrollIntoView({ block: "center" });
  field?.querySelector("input, textarea, button")?.focus();
}

function giveFocusBack(before) {
  requestAnimationFrame(() => {
    const target = before?.isConnected && before !== document.body ? before : document.querySelector(".pane h2");
    target?.focus();
  });
}

/** Escape closes the window wherever the focus is, unless it belongs to something that is open above the window. */
function closeOn(event, self) {
  if (event.key !== "Escape" || event.defaultPrevented || document.querySelector("dialog[open]")) return;
  event.preventDefault();
  self.close();
}

/** Tab goes round within the window. */
function keepTab(event) {
  if (event.key !== "Tab") return;
  const stops = [...event.currentTarget.querySelectorAll(FOCUSABLE)].filter(
    (each) => each.checkVisibility() && each.tabIndex >= 0,
  );
  const [first, last] = [stops[0], stops.at(-1)];
  const isOut = event.shiftKey
    ? document.activeElement === first || document.activeElement.tabIndex < 0
    : document.activeElement === last;
  if (!isOut) return;
  event.preventDefault();
  (event.shiftKey ? last : first).focus();
}
