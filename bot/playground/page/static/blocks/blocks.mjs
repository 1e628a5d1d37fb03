/** Block Kit's blocks, by type. One that is not known is shown as a box with its name and its texts. */

import { h } from "../core/dom.mjs";
import { fileAddress } from "../workspace/files.mjs";
import { drawElement } from "./elements.mjs";
import { isSafe, link } from "./entities.mjs";
import { markdown } from "./markdown.mjs";
import { plainText, textObject } from "./mrkdwn.mjs";
import { richText } from "./rich_text.mjs";

let count = 0;

/** The blocks of a message or view; `context` as `drawElement` takes it. */
export function drawBlocks(blocks, context) {
  return h(
    "div",
    { class: "blocks" },
    blocks.map((block, index) => {
      const draw = BY_TYPE[block.type] ?? unknown;
      return h("div", { key: block.block_id ?? index, class: `block is-${block.type}` }, draw(block, context));
    }),
  );
}

function section(block, context) {
  return [
    h(
      "div",
      { class: "section-text" },
      block.text && h("div", { class: "text" }, textObject(block.text)),
      block.fields &&
        h(
          "div",
          { class: "section-fields" },
          block.fields.map((field) => h("div", { class: "text" }, textObject(field))),
        ),
    ),
    block.accessory && h("div", { class: "accessory" }, part(block.accessory, block, context)),
  ];
}

function part(element, block, context) {
  if (element.type === "image") return picture(element, "small-image");
  const about = block.text ? plainText({ ...block.text, text: block.text.text.replace(/[*_~`]/g, "") }) : null;
  const labels = about && element.type !== "button" ? { "aria-label": about } : {};
  return drawElement(element, block, context, labels);
}

function header(block) {
  return h("h3", { class: "header" }, plainText(block.text));
}

function contextBlock(block) {
  return block.elements.map((element) =>
    element.type === "image" ? picture(element, "tiny-image") : h("span", { class: "text" }, textObject(element)),
  );
}

function actions(block, context) {
  return block.elements.map((element) => drawElement(element, block, context));
}

function input(block, context) {
  return h(Input, { block, context });
}

function Input({ block, context }, self) {
  self.id ??= `field-${(count += 1)}`;
  const error = context.errors?.[block.block_id];
  const described = [block.hint && `${self.id}-hint`, error && `${self.id}-error`].filter(Boolean).join(" ");
  const labels = {
    "aria-label": plainText(block.label),
    "aria-describedby": described || null,
    "aria-invalid": error ? "true" : null,
    "aria-required": block.optional || ["radio_buttons", "checkboxes"].includes(block.element.type) ? null : "true",
  };
  return h(
    "div",
    { class: error ? "field has-error" : "field" },
    h(
      "div",
      { class: "label", "aria-hidden": "true", onclick: focusField },
      h("span", {}, plainText(block.label)),
      block.optional && h("span", { class: "optional" }, " (optional)"),
    ),
    drawElement(block.element, block, context, labels),
    error && h("p", { class: "field-error", id: `${self.id}-error`, role: "alert" }, error),
    block.hint && h("p", { class: "hint", id: `${self.id}-hint` }, plainText(block.hint)),
  );
}

function focusField({ currentTarget }) {
  currentTarget.parentNode.querySelector("input, textarea")?.focus();
}

function image(block) {
  return h("figure", {}, block.title && h("figcaption", {}, plainText(block.title)), picture(block, "large-image"));
}

/** An image by the id of a file in the workspace or by its address; elsewhere in the world it stays a link. */
function picture({ slack_file: file, image_url: url, alt_text: alt }, name) {
  const address = file
    ? fileAddress(file.id ?? idIn(file.url))
    : isLoopback(url) && `/picture?url=${encodeURIComponent(url)}`;
  if (!address) return h("span", { class: "unknown" }, "Image: ", link(url, alt || url));
  return h("img", { class: name, src: address, alt, loading: "lazy" });
}

function idIn(url) {
  return url.split("/").find((each) => /^F[A-Z0-9]+$/.test(each)) ?? url;
}

function isLoopback(url) {
  return URL.canParse(url) && ["127.0.0.1", "localhost", "[::1]"].includes(new URL(url).hostname);
}

function markdownBlock(block) {
  return markdown(block.text);
}

function table(block) {
  const [head = [], ...rows] = block.rows;
  const sides = (block.column_settings ?? []).map((each) => ({ right: "end", center: "center" })[each?.align] ?? null);
  const row = (cells, tag) =>
    h(
      "tr",
      {},
      cells.map((cell, at) =>
        h(tag, { class: sides[at] ?? null }, cell.type === "rich_text" ? richText(cell) : cell.text),
      ),
    );
  return h(
    "div",
    { class: "table", tabindex: 0, role: "region", "aria-label": "Table" },
    h(
      "table",
      {},
      h("thead", {}, row(head, "th")),
      h(
        "tbody",
        {},
        rows.map((cells) => row(cells, "td")),
      ),
    ),
  );
}

function video(block) {
  return h(
    "div",
    { class: "card" },
    block.title &&
      h(
        "strong",
        {},
        isSafe(block.title_url ?? "") ? link(block.title_url, plainText(block.title)) : plainText(block.title),
      ),
    block.description && h("p", {}, plainText(block.description)),
    h("p", {}, "▶ ", link(block.video_url, block.alt_text || "Watch the video")),
  );
}

function file(block) {
  return h("div", { class: "card" }, `📄 Remote file ${block.external_id}`);
}

function alert(block) {
  return h("div", { class: `alert is-${block.level ?? "default"}`, role: "note" }, textObject(block.text));
}

function card(block, context) {
  return h(
    "div",
    { class: "card" },
    block.hero_image && picture(block.hero_image, "large-image"),
    block.title && h("strong", {}, textObject(block.title)),
    block.subtitle && h("p", { class: "soft" }, textObject(block.subtitle)),
    block.body && h("p", {}, textObject(block.body)),
    block.actions && h("div", { class: "block is-actions" }, actions({ ...block, elements: block.actions }, context)),
  );
}

function carousel(block, context) {
  return block.elements.map((each, index) => h("div", { key: index }, card(each, context)));
}

const STATUS = {
  pending: ["○", "pending"],
  in_progress: ["◐", "in progress"],
  complete: ["✓", "complete"],
  error: ["✕", "failed"],
};

function taskCard(block) {
  const [sign, name] = STATUS[block.status] ?? ["○", block.status];
  return h(
    "div",
    { class: `task-card is-${block.status}` },
    h("span", { class: "task-sign", role: "img", "aria-label": name }, sign),
    h(
      "div",
      {},
      h("span", {}, block.title),
      block.details && taskText(block.details),
      block.output && taskText(block.output),
    ),
  );
}

function taskText(text) {
  return h("div", { class: "soft" }, typeof text === "string" ? text : richText(text));
}

function plan(block) {
  return h(
    "div",
    { class: "card" },
    h("strong", {}, block.title),
    (block.tasks ?? []).map((task, at) => h("div", { key: task.task_id ?? at }, taskCard(task))),
  );
}

function unknown(block) {
  return h(
    "div",
    { class: "unknown" },
    h("strong", {}, `A block of type “${block.type}”`),
    h("p", {}, textsIn(block).join(" ")),
  );
}

function textsIn(value) {
  if (Array.isArray(value)) return value.flatMap(textsIn);
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([name, each]) =>
    typeof each === "string" && ["text", "title"].includes(name) ? [each] : textsIn(each),
  );
}

const BY_TYPE = {
  section,
  header,
  context: contextBlock,
  actions,
  context_actions: actions,
  input,
  image,
  markdown: markdownBlock,
  rich_text: richText,
  table,
  divider: () => h("hr"),
  video,
  file,
  alert,
  card,
  carousel,
  task_card: taskCard,
  plan,
};
