/** A button that opens a menu. */

import { h } from "../core/dom.mjs";
import { hide, placeBelow } from "./popup.mjs";

/** A menu of `items`, each `{id, text, danger, choose}`, behind a button that reads `sign` and is called `label`. */
export function MenuButton({ label, sign, items, kind }, self) {
  self.updated = (node) => show(node, self);
  const close = () => {
    self.isOpen = false;
    self.redraw();
  };
  const choose = (item) => {
    close();
    self.button.focus();
    item.choose();
  };
  return h(
    "div",
    { class: "menu", onkeydown: (event) => onKey(event, self, close) },
    h(
      "button",
      {
        type: "button",
        class: kind ?? "quiet-button",
        "aria-haspopup": "menu",
        "aria-expanded": String(Boolean(self.isOpen)),
        "aria-label": label,
        title: label,
        onclick: () => {
          self.isOpen = !self.isOpen;
          self.isFresh = self.isOpen;
          self.redraw();
        },
      },
      sign,
    ),
    h(
      "div",
      { class: "menu-list", role: "menu", popover: "manual", "aria-label": label },
      self.isOpen &&
        items.map((item) =>
          h(
            "button",
            {
              key: item.id,
              type: "button",
              role: "menuitem",
              tabindex: -1,
              class: item.danger ? "is-danger" : null,
              onclick: () => choose(item),
              onblur: ({ relatedTarget }) =>
                self.list.contains(relatedTarget) || relatedTarget === self.button || close(),
            },
            item.text,
          ),
        ),
    ),
  );
}

function show(node, self) {
  [self.button, self.list] = node.children;
  if (!self.isOpen) return hide(self.list);
  placeBelow(self.list, self.button);
  if (self.isFresh) self.list.firstElementChild?.focus();
  self.isFresh = false;
}

function onKey(event, self, close) {
  if (!self.isOpen) return;
  const items = [...self.list.children];
  const at = items.indexOf(document.activeElement);
  const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: -1 }[event.key];
  if (to === undefined && event.key !== "Escape") return;
  event.preventDefault();
  event.stopPropagation();
  if (event.key === "Escape") {
    close();
    self.button.focus();
  } else {
    items.at(to % items.length)?.focus();
  }
}
