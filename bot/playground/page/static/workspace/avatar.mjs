/** The square with initials that stands for a person or the app. */

import { h } from "../core/dom.mjs";
import { icon } from "../core/icons.mjs";
import { read } from "../core/store.mjs";

const HUES = 6;

/** The square of the user with an id and a name. */
export function avatar(id, name, isApp = false) {
  const place = read("workspace").people.findIndex((person) => person.id === id);
  const hue = isApp ? "app" : Math.max(place, 0) % HUES;
  return h("span", { class: `avatar is-hue-${hue}`, "aria-hidden": "true" }, isApp ? icon("bolt") : initials(name));
}

function initials(name) {
  const words = name.split(/[\s_-]+/).filter(Boolean);
  return words
    .slice(0, 2)
    .map((word) => [...word][0].toUpperCase())
    .join("");
}
