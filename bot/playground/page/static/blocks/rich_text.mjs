/** Rich text: Slack's text as a tree, in which every element says what it is and nothing else is read into it. */

import { h } from "../core/dom.mjs";
import { channelName } from "../core/store.mjs";
import { emoji } from "./emoji.mjs";
import { broadcast, date, link, mention } from "./entities.mjs";
import { lines } from "./mrkdwn.mjs";

/** A `rich_text` block or object. */
export function richText(block) {
  return h("div", { class: "rich-text" }, parts(block.elements ?? []));
}

/** The characters of a rich text, for a field that edits them as plain text. */
export function plainOf(block) {
  const texts = (block?.elements ?? []).map((part) => (part.elements ?? [part]).map(characters).join(""));
  return texts.join("\n");
}

function characters(element) {
  return element.elements ? element.elements.map(characters).join("") : (element.text ?? element.url ?? "");
}

/** Lists that follow each other are one list: deeper ones stand inside the item above them. */
function parts(elements) {
  const shown = [];
  for (let index = 0; index < elements.length;) {
    if (elements[index].type !== "rich_text_list") {
      shown.push(part(elements[index]));
      index += 1;
      continue;
    }
    const run = [];
    while (elements[index]?.type === "rich_text_list") run.push(elements[index++]);
    shown.push(...lists(run));
  }
  return shown;
}

function lists(run) {
  const level = Math.min(...run.map((list) => list.indent ?? 0));
  const shown = [];
  const ahead = []; // deeper ones with no item above them
  let items = null;
  for (let index = 0; index < run.length;) {
    const list = run[index];
    if ((list.indent ?? 0) === level) {
      items = list.elements.map((item) => ({ own: spans(item.elements), nested: [] }));
      shown.push({ list, items });
      index += 1;
      continue;
    }
    const deeper = [];
    while (index < run.length && (run[index].indent ?? 0) > level) deeper.push(run[index++]);
    (items?.at(-1)?.nested ?? ahead).push(...lists(deeper));
  }
  const drawn = shown.map(({ list, items: all }) =>
    h(
      list.style === "ordered" ? "ol" : "ul",
      { start: list.style === "ordered" && list.offset ? list.offset + 1 : null },
      all.map((item) => h("li", {}, item.own, item.nested)),
    ),
  );
  return [...ahead, ...drawn];
}

function part(element) {
  if (element.type === "rich_text_quote") return h("blockquote", {}, spans(element.elements));
  if (element.type === "rich_text_preformatted") {
    return h("pre", { class: "code", tabindex: 0 }, h("code", {}, element.elements.map(characters).join("")));
  }
  return h("p", {}, spans(element.elements ?? []));
}

function spans(elements) {
  return elements.map((element) => styled(span(element), element.style ?? {}));
}

function span(element) {
  if (element.type === "text") return lines(element.text);
  if (element.type === "link") return link(element.url, element.text ?? element.url);
  if (element.type === "user") return mention(element.user_id);
  if (element.type === "channel") return h("span", { class: "mention" }, `#${channelName(element.channel_id)}`);
  if (element.type === "usergroup") return h("span", { class: "mention" }, `@${element.usergroup_id}`);
  if (element.type === "broadcast") return broadcast(element.range);
  if (element.type === "emoji") return emoji(element.name);
  if (element.type === "date") return date(element.timestamp, element.format, element.url);
  return element.value ?? element.text ?? `[${element.type}]`;
}

function styled(shown, style) {
  const tags = [
    ["code", "code"],
    ["strike", "s"],
    ["italic", "em"],
    ["bold", "strong"],
  ];
  return tags.reduce((inner, [name, tag]) => (style[name] ? h(tag, {}, inner) : inner), shown);
}
