/** Slack's own markup: the texts of messages, sections and contexts. */

import { h } from "../core/dom.mjs";
import { emoji, withEmoji } from "./emoji.mjs";
import { control, decoded } from "./entities.mjs";

const FENCE = /```\n?([\s\S]+?)```/;
const QUOTE = /^(?:&gt;|>) ?/;
const INLINE = new RegExp(
  [
    "`([^`\\n]+)`",
    "<([^<>\\n]+)>",
    "(?<![\\w*])\\*(\\S(?:[^*\\n]*[^\\s*])?)\\*(?![\\w*])",
    "(?<![\\w_])_(\\S(?:[^_\\n]*[^\\s_])?)_(?![\\w_])",
    "(?<![\\w~])~(\\S(?:[^~\\n]*[^\\s~])?)~(?![\\w~])",
    ":([a-z0-9_+'-]+):",
  ].join("|"),
);

/** A text object: mrkdwn or plain. */
export function textObject(text) {
  if (!text) return null;
  if (text.type === "mrkdwn") return mrkdwn(text.text);
  return lines(plainText(text));
}

/** The characters of a plain text object. */
export function plainText(text) {
  const shown = decoded(text?.text ?? "");
  return text?.emoji === false ? shown : withEmoji(shown);
}

/** A mrkdwn text. */
export function mrkdwn(text) {
  const fence = FENCE.exec(text);
  if (!fence) return withQuotes(text);
  const before = text.slice(0, fence.index).replace(/\n$/, "");
  const after = text.slice(fence.index + fence[0].length).replace(/^\n/, "");
  return [
    before && withQuotes(before),
    h("pre", { class: "code", tabindex: 0 }, h("code", {}, decoded(fence[1].replace(/\n$/, "")))),
    after && mrkdwn(after),
  ];
}

function withQuotes(text) {
  const parts = [];
  for (const line of text.split("\n")) {
    const isQuote = QUOTE.test(line);
    if (parts.at(-1)?.isQuote !== isQuote) parts.push({ isQuote, lines: [] });
    parts.at(-1).lines.push(line.replace(isQuote ? QUOTE : "", ""));
  }
  return parts.map((part) => {
    const shown = inline(part.lines.join("\n"));
    return part.isQuote ? h("blockquote", {}, shown) : shown;
  });
}

function inline(text) {
  const found = INLINE.exec(text);
  if (!found) return lines(decoded(text));
  const [whole, code, sequence, bold, italic, struck, name] = found;
  const rest = text.slice(found.index + whole.length);
  const here = () => {
    if (code !== undefined) return h("code", {}, decoded(code));
    if (sequence !== undefined) return control(sequence) ?? decoded(whole);
    if (bold !== undefined) return h("strong", {}, inline(bold));
    if (italic !== undefined) return h("em", {}, inline(italic));
    if (struck !== undefined) return h("s", {}, inline(struck));
    return emoji(name);
  };
  return [lines(decoded(text.slice(0, found.index))), here(), inline(rest)];
}

/** A text whose line ends are line breaks. */
export function lines(text) {
  return text.split("\n").flatMap((line, index) => (index ? [h("br"), line] : [line]));
}
