/** Where files can be dropped, or chosen by a button. */

import { classes, h } from "../core/dom.mjs";

/** The handlers that make an element take dropped files: `isOver` is kept on `self` while some are held above it. */
export function dropHandlers(self, onFiles) {
  const show = (isOver) => {
    if (Boolean(self.isOver) === isOver) return;
    self.isOver = isOver;
    self.redraw();
  };
  return {
    ondragenter: (event) => hasFiles(event) && (event.preventDefault(), event.stopPropagation(), show(true)),
    ondragover: (event) => hasFiles(event) && (event.preventDefault(), event.stopPropagation(), show(true)),
    ondragleave: (event) => event.currentTarget.contains(event.relatedTarget) || show(false),
    ondrop: (event) => {
      if (!hasFiles(event)) return;
      event.preventDefault();
      event.stopPropagation();
      show(false);
      onFiles([...event.dataTransfer.files]);
    },
  };
}

/** A field for files: drop them on it, or choose them. */
export function DropZone({ onFiles, accept, several, labels, note }, self) {
  return h(
    "div",
    { class: classes("drop-zone", self.isOver && "is-over"), ...dropHandlers(self, onFiles) },
    h(FileButton, { onFiles, accept, several, labels, text: several ? "Choose files" : "Choose a file" }),
    h("small", {}, self.isOver ? "Drop to add" : `or drop here. ${note}.`),
  );
}

/** A button that opens the system's file dialog; the input behind it is what keyboard and screen readers use. */
export function FileButton({ onFiles, accept, several, labels, text, kind }) {
  return h(
    "label",
    { class: kind ?? "button" },
    h("span", { key: "text", title: labels?.["aria-label"] ?? null }, text),
    h("input", {
      type: "file",
      class: "visually-hidden",
      multiple: several,
      accept,
      ...labels,
      onchange: ({ target }) => {
        const files = [...target.files];
        target.value = "";
        if (files.length) onFiles(files);
      },
    }),
  );
}

/** Files dropped where nothing takes them do nothing; the browser would leave the page for them. */
export function ignoreStrayFiles() {
  for (const name of ["dragover", "drop"]) addEventListener(name, (event) => hasFiles(event) && event.preventDefault());
}

function hasFiles(event) {
  return event.dataTransfer?.types.includes("Files");
}
