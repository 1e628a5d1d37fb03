/** Files shared in the workspace: cards, and pictures where they are pictures. */

import { h } from "../core/dom.mjs";
import { icon } from "../core/icons.mjs";
import { attempt } from "../core/notices.mjs";
import { request } from "../core/socket.mjs";
import { MenuButton } from "./menu.mjs";

const UNITS = ["B", "kB", "MB", "GB"];

/** A size in bytes as people read it; a MB is one of the limits' and the bot's, 1024 times 1024 bytes. */
export function sizeOf(bytes) {
  const power = Math.min(Math.floor(Math.log2(Math.max(bytes, 1)) / 10), UNITS.length - 1);
  return `${Number((bytes / 1024 ** power).toFixed(power && 1))} ${UNITS[power]}`;
}

/** Where the bytes of a file are. */
export function fileAddress(id) {
  return `/files/${encodeURIComponent(id)}`;
}

/** The files of a message; `owner` may delete them. */
export function filesOf(message, person) {
  const isOwner = message.author.id === person;
  return h(
    "ul",
    { class: "files", "aria-label": "Files" },
    message.files.map((file) => h("li", { key: file.id }, fileCard(file, isOwner, person))),
  );
}

function fileCard(file, isOwner, person) {
  if (file.deleted) return h("div", { class: "file-card is-deleted" }, "This file was deleted.");
  const remove = {
    id: "delete",
    text: "Delete file",
    danger: true,
    choose: () => attempt(() => request("delete_file", { person, file: file.id })),
  };
  return h(
    "div",
    { class: "file-card" },
    file.is_image
      ? h(
          "a",
          { href: fileAddress(file.id), target: "_blank", rel: "noopener", "aria-label": `Open ${file.name}` },
          h("img", { class: "file-image", src: fileAddress(file.id), alt: file.name, loading: "lazy" }),
        )
      : h("span", { class: "file-sign", "aria-hidden": "true" }, endingOf(file.name)),
    h(
      "div",
      { class: "file-about" },
      h("a", { class: "file-name", href: `${fileAddress(file.id)}?download`, download: file.name }, file.name),
      h("small", {}, `${sizeOf(file.size)} · ${file.mimetype}`),
    ),
    isOwner && h(MenuButton, { key: "menu", label: `Actions for ${file.name}`, sign: icon("more"), items: [remove] }),
  );
}

function endingOf(name) {
  return name.includes(".") ? name.split(".").at(-1).slice(0, 4).toUpperCase() : "FILE";
}
