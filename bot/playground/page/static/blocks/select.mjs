/** Menus with search: an input that lists what fits, for one choice or several. */

import { classes, h } from "../core/dom.mjs";
import { chosen, fieldOf } from "../core/fields.mjs";
import { icon } from "../core/icons.mjs";
import { say } from "../core/notices.mjs";
import { request } from "../core/socket.mjs";
import { hide, placeBelow } from "../workspace/popup.mjs";
import { chosenIn, isSearched, optionsOf, stateWith, takesSeveral } from "./choices.mjs";
import { plainText } from "./mrkdwn.mjs";

const SEARCH_PAUSE_MS = 250;
const DEFAULT_MIN_QUERY = 3; // of a menu that does not say
let count = 0;

/** A select menu of any kind. */
export function Select({ block, element, context, state, labels }, self) {
  self.id ??= `select-${(count += 1)}`;
  const menu = { block, element, context, chosen: chosenIn(element, state), self };
  const shown = self.isOpen ? fitting(menu) : [];
  const one = !takesSeveral(element) && menu.chosen[0]?.text;
  self.updated = (node) => showList(node, self.isOpen);
  return h(
    "div",
    { class: classes("select", self.isOpen && "is-open") },
    takesSeveral(element) &&
      h(
        "ul",
        { class: "chips", "aria-label": "Chosen" },
        menu.chosen.map((each) => chip(menu, each)),
      ),
    h("input", {
      class: "control",
      type: "text",
      role: "combobox",
      autocomplete: "off",
      spellcheck: "false",
      "aria-autocomplete": "list",
      "aria-expanded": String(Boolean(self.isOpen)),
      "aria-controls": `${self.id}-list`,
      "aria-activedescendant": self.isOpen && shown[self.at] ? `${self.id}-${self.at}` : null,
      placeholder: one || plainText(element.placeholder) || "Choose",
      value: self.isOpen ? (self.query ?? "") : one || "",
      onclick: () => (self.isOpen ? null : open(menu)),
      oninput: ({ target }) => search(menu, target.value),
      onkeydown: (event) => onKey(menu, shown, event),
      onblur: () => close(self),
      ...labels,
    }),
    h("span", { class: "select-arrow", "aria-hidden": "true" }, "▾"),
    h(
      "ul",
      {
        class: "listbox",
        role: "listbox",
        id: `${self.id}-list`,
        popover: "manual",
        "aria-label": labels["aria-label"],
        onmousedown: (event) => event.preventDefault(), // keeps the focus, and with it the list
      },
      self.isOpen && listed(menu, shown),
    ),
  );
}

function listed(menu, shown) {
  const { self } = menu;
  if (!shown.length) return h("li", { class: "listbox-note", role: "presentation" }, self.note ?? "Nothing fits.");
  return shown.flatMap((option, index) => [
    option.group && option.group !== shown[index - 1]?.group
      ? h("li", { key: `group ${option.group}`, class: "listbox-group", role: "presentation" }, option.group)
      : null,
    h(
      "li",
      {
        key: `option ${option.value}`,
        id: `${self.id}-${index}`,
        role: "option",
        class: index === self.at ? "is-active" : null,
        "aria-selected": String(isChosen(menu, option)),
        onclick: () => pick(menu, option),
      },
      option.text,
      option.description && h("small", {}, option.description),
    ),
  ]);
}

function chip(menu, option) {
  const remove = () =>
    put(
      menu,
      menu.chosen.filter((each) => each.value !== option.value),
    );
  return h(
    "li",
    { key: option.value, class: "chip" },
    option.text,
    h(
      "button",
      { type: "button", class: "chip-remove", "aria-label": `Remove ${option.text}`, onclick: remove },
      icon("close"),
    ),
  );
}

function fitting({ element, context, self }) {
  const query = (self.query ?? "").trim().toLowerCase();
  if (isSearched(element)) return self.found ?? [];
  return optionsOf(element, context.person).filter((option) => option.text.toLowerCase().includes(query));
}

function open(menu) {
  const { self } = menu;
  const options = fitting(menu);
  Object.assign(self, {
    isOpen: true,
    query: "",
    at: Math.max(
      0,
      options.findIndex((each) => isChosen(menu, each)),
    ),
  });
  if (isSearched(menu.element)) ask(menu);
  self.redraw();
}

function close(self) {
  Object.assign(self, { isOpen: false, query: "" });
  self.redraw();
}

function search(menu, query) {
  Object.assign(menu.self, { isOpen: true, query, at: 0 });
  if (isSearched(menu.element)) ask(menu);
  menu.self.redraw();
}

/** Ask the app for the options of a menu that it lists itself, once typing pauses. */
function ask({ block, element, context, self }) {
  const least = element.min_query_length ?? DEFAULT_MIN_QUERY;
  const text = self.query ?? "";
  clearTimeout(self.timer);
  if (text.length < least) {
    Object.assign(self, { found: [], note: `Type at least ${least} character${least === 1 ? "" : "s"}.` });
    return;
  }
  Object.assign(self, { found: [], note: "Searching…" });
  self.timer = setTimeout(async () => {
    try {
      const details = { person: context.person, surface: context.surface, field: fieldOf(block, element), text };
      const { options, error } = await request("search", details);
      if (self.query !== text) return; // what is asked for by now has an answer of its own
      self.found = (options ?? []).map((each) => ({ ...each, held: heldOf(each) }));
      self.note = error ?? "Nothing fits.";
    } catch (error) {
      Object.assign(self, { found: [], note: error.message });
    }
    self.redraw();
  }, SEARCH_PAUSE_MS);
}

function heldOf({ value, text }) {
  return { value, text: { type: "plain_text", text } };
}

function onKey(menu, shown, event) {
  const { self } = menu;
  const keys = {
    ArrowDown: () => (self.isOpen ? (self.at = Math.min(self.at + 1, shown.length - 1)) : open(menu)),
    ArrowUp: () => (self.isOpen ? (self.at = Math.max(self.at - 1, 0)) : open(menu)),
    Home: () => self.isOpen && (self.at = 0),
    End: () => self.isOpen && (self.at = shown.length - 1),
    Enter: () => (self.isOpen ? shown[self.at] && pick(menu, shown[self.at]) : open(menu)),
    Escape: () => close(self),
    Backspace: () => put(menu, menu.chosen.slice(0, -1)),
  };
  if (event.key === "Escape" && !self.isOpen) return;
  if (event.key === "Backspace" && (self.query || !menu.chosen.length)) return;
  if (!keys[event.key]) return;
  event.preventDefault();
  event.stopPropagation();
  keys[event.key]();
  self.redraw();
}

function isChosen({ chosen: already }, option) {
  return already.some((each) => each.value === option.value);
}

function pick(menu, option) {
  const { element, self } = menu;
  if (!takesSeveral(element)) {
    put(menu, [option]);
    return close(self);
  }
  const rest = menu.chosen.filter((each) => each.value !== option.value);
  const most = element.max_selected_items;
  if (rest.length === menu.chosen.length && most && rest.length >= most)
    return say(`At most ${most} can be chosen here.`);
  Object.assign(self, { query: "" });
  return put(menu, rest.length === menu.chosen.length ? [...rest, option] : rest);
}

function put({ block, element, context }, options) {
  const held = options.map((each) => each.held);
  const state = stateWith(element, takesSeveral(element) ? held : (held[0] ?? null));
  chosen(
    context,
    fieldOf(block, element),
    state,
    options.map((each) => each.value),
  );
}

function showList(node, isOpen) {
  const list = node.querySelector(".listbox");
  if (!isOpen) return hide(list);
  placeBelow(list, node.querySelector("input"));
  return list.querySelector(".is-active")?.scrollIntoView({ block: "nearest" });
}
