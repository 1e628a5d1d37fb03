/** The page's own signs, drawn in the colour of the text around them. */

import { h } from "./dom.mjs";

const PATHS = {
  back: "M19 12H5M11 6l-6 6 6 6",
  bolt: "M13 3 5 14h6l-1 7 8-11h-6z",
  chat: "M4 5h16v11H11l-5 4v-4H4z",
  close: "M6 6l12 12M18 6 6 18",
  dark: "M20 14.5A8.5 8.5 0 1 1 9.5 4 7 7 0 0 0 20 14.5z",
  eye: "M2 12s4-6.5 10-6.5S22 12 22 12s-4 6.5-10 6.5S2 12 2 12zM12 9.5a2.5 2.5 0 1 0 0 5 2.5 2.5 0 1 0 0-5",
  home: "M4 11l8-7 8 7v9h-5v-6H9v6H4z",
  light:
    "M12 8a4 4 0 1 0 0 8 4 4 0 1 0 0-8M12 2v2M12 20v2M4.9 4.9l1.4 1.4M17.7 17.7l1.4 1.4M2 12h2M20 12h2M4.9 19.1l1.4-1.4M17.7 6.3l1.4-1.4",
  more: "M12 5v.01M12 12v.01M12 19v.01",
  places: "M4 6h16M4 12h16M4 18h16",
  plus: "M12 5v14M5 12h14",
  scenes: "M4 8h9M19 8h1M4 16h1M11 16h9M16 5v6M8 13v6",
  system: "M12 3a9 9 0 1 0 0 18 9 9 0 1 0 0-18M12 3v18M12 7h4.5M12 11h6M12 15h5.5",
  trash: "M4 7h16M9 7V4h6v3M6 7l1 13h10l1-13",
};

/** A sign by its name. */
export function icon(name) {
  return h("svg", { class: "icon", viewBox: "0 0 24 24", "aria-hidden": "true" }, h("path", { d: PATHS[name] }));
}
