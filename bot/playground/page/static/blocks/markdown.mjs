/** Standard Markdown as the `markdown` block shows it: headings, lists, tasks, tables, quotes, code, links. */

import { h } from "../core/dom.mjs";
import { withEmoji } from "./emoji.mjs";
import { control, decoded, link } from "./entities.mjs";

const FENCE = /^( {0,3})(`{3,}|~{3,})\s*([^`]*)$/;
const HEADING = /^ {0,3}(#{1,6})(?:\s+(.*?))?(?:\s+#+)?\s*$/;
const RULE = /^ {0,3}(?:(?:-\s*){3,}|(?:\*\s*){3,}|(?:_\s*){3,})$/;
const QUOTE = /^ {0,3}> ?/;
const ITEM = /^( *)([-*+]|\d{1,9}[.)])(\s+|$)(.*)$/;
const TASK = /^\[([ xX])\]\s+/;
const HIGHEST_LEVEL = 3; // of a heading in a message; panes have 2
const DELIMITERS = /^\s*\|?\s*:?-+:?\s*(?:\|\s*:?-+:?\s*)*\|?\s*$/;

/** A Markdown text. */
export function markdown(text) {
  const blocks = blocksOf(text.replaceAll("\r\n", "\n").replaceAll("\t", "    ").split("\n"));
  return h("div", { class: "markdown" }, levelled(blocks));
}

/** The highest heading of a text comes right below that of its pane, whatever its number of signs. */
function levelled(blocks) {
  const isHeading = (block) => block.type === "h6";
  const looks = [...new Set(blocks.filter(isHeading).map((block) => block.props.class))].sort();
  const levelOf = (block) => Math.min(HIGHEST_LEVEL + looks.indexOf(block.props.class), 6);
  return blocks.map((block) => (isHeading(block) ? { ...block, type: `h${levelOf(block)}` } : block));
}

function blocksOf(lines) {
  const shown = [];
  for (let at = 0; at < lines.length;) {
    const [block, next] = blockAt(lines, at);
    if (block) shown.push(block);
    at = next;
  }
  return shown;
}

/** The block that begins at a line, and the line after it. */
function blockAt(lines, at) {
  const line = lines[at];
  if (!line.trim()) return [null, at + 1];
  const fence = FENCE.exec(line);
  if (fence) return fenced(lines, at, fence);
  const heading = HEADING.exec(line);
  if (heading) return [h("h6", { class: `h${heading[1].length}` }, inline(heading[2] ?? "")), at + 1];
  if (RULE.test(line)) return [h("hr"), at + 1];
  if (QUOTE.test(line)) return quote(lines, at);
  if (ITEM.test(line)) return list(lines, at);
  if (isTable(lines, at)) return table(lines, at);
  return paragraph(lines, at);
}

function fenced(lines, at, [, indent, marks]) {
  const end = new RegExp(`^ {0,3}${marks[0] === "~" ? "~" : "`"}{${marks.length},}\\s*$`);
  let next = at + 1;
  while (next < lines.length && !end.test(lines[next])) next += 1;
  const code = lines.slice(at + 1, next).map((line) => line.replace(new RegExp(`^ {0,${indent.length}}`), ""));
  return [h("pre", { class: "code", tabindex: 0 }, h("code", {}, decoded(code.join("\n")))), next + 1];
}

function quote(lines, at) {
  let next = at;
  while (next < lines.length && QUOTE.test(lines[next])) next += 1;
  const inner = lines.slice(at, next).map((line) => line.replace(QUOTE, ""));
  return [h("blockquote", {}, blocksOf(inner)), next];
}

function list(lines, at) {
  const [, indent, marker] = ITEM.exec(lines[at]);
  const isOrdered = /\d/.test(marker);
  const items = [];
  let next = at;
  while (next < lines.length) {
    const found = ITEM.exec(lines[next]);
    const isItem =
      found && found[1].length === indent.length && /\d/.test(found[2]) === isOrdered && !RULE.test(lines[next]);
    if (!isItem) break;
    const [item, after] = itemAt(lines, next, found);
    items.push(item);
    next = after;
  }
  const start = isOrdered && Number.parseInt(marker, 10) !== 1 ? Number.parseInt(marker, 10) : null;
  return [h(isOrdered ? "ol" : "ul", { start }, items), next];
}

/** An item reaches as far as lines are indented below it, blank ones between them included. */
function itemAt(lines, at, [, indent, marker, space, first]) {
  const inner = [first];
  const depth = indent.length + marker.length + Math.min(space.length || 1, 4);
  let next = at + 1;
  while (next < lines.length) {
    const line = lines[next];
    const isBlank = !line.trim();
    const isDeeper = line.search(/\S/) > indent.length;
    const goesOn = isBlank ? lines[next + 1]?.search(/\S/) > indent.length : isDeeper || !startsBlock(lines, next);
    if (!goesOn || (!isBlank && !isDeeper && !lines[next - 1].trim())) break;
    inner.push(line.replace(new RegExp(`^ {0,${depth}}`), ""));
    next += 1;
  }
  while (next < lines.length && !lines[next].trim() && ITEM.test(lines[next + 1] ?? "")) next += 1;
  const task = TASK.exec(inner[0]);
  if (task) inner[0] = inner[0].slice(task[0].length);
  const blocks = tight(blocksOf(inner));
  if (!task) return [h("li", {}, blocks), next];
  const isDone = task[1] !== " ";
  const box = h(
    "span",
    { class: "task-box", role: "img", "aria-label": isDone ? "done" : "to do" },
    isDone ? "☑" : "☐",
  );
  return [h("li", { class: "task" }, box, " ", blocks), next];
}

/** The paragraph an item begins with stands on the line of its mark. */
function tight(blocks) {
  const [first, ...rest] = blocks;
  return first?.type === "p" ? [h("span", {}, first.children), rest] : blocks;
}

function isTable(lines, at) {
  return lines[at].includes("|") && DELIMITERS.test(lines[at + 1] ?? "") && (lines[at + 1] ?? "").includes("-");
}

function table(lines, at) {
  const sides = cells(lines[at + 1]).map((each) => {
    if (/^:-*:$/.test(each)) return "center";
    return each.endsWith(":") ? "end" : null;
  });
  let next = at + 2;
  while (next < lines.length && lines[next].includes("|") && lines[next].trim()) next += 1;
  const row = (line, tag) =>
    h(
      "tr",
      {},
      cells(line)
        .slice(0, sides.length)
        .map((each, index) => h(tag, { class: sides[index] }, inline(each))),
    );
  const body = lines.slice(at + 2, next).map((line) => row(line, "td"));
  return [
    h(
      "div",
      { class: "table", tabindex: 0, role: "region", "aria-label": "Table" },
      h("table", {}, h("thead", {}, row(lines[at], "th")), h("tbody", {}, body)),
    ),
    next,
  ];
}

function cells(line) {
  const inner = line
    .trim()
    .replace(/^\|/, "")
    .replace(/(?<!\\)\|$/, "");
  return inner.split(/(?<!\\)\|/).map((cell) => cell.trim().replaceAll("\\|", "|"));
}

function paragraph(lines, at) {
  let next = at + 1;
  while (next < lines.length && lines[next].trim() && !startsBlock(lines, next)) next += 1;
  return [h("p", {}, inline(lines.slice(at, next).join("\n"))), next];
}

function startsBlock(lines, at) {
  const line = lines[at];
  return [FENCE, HEADING, RULE, QUOTE, ITEM].some((begin) => begin.test(line)) || isTable(lines, at);
}

// --- inside a line ---------------------------------------------------------------------------------------------------

const MARKS = [
  [/^\\([\\`*_{}[\]()#+\-.!|~>])/, ([, character]) => character],
  [/^(`+)(?!`)([\s\S]*?[^`])\1(?!`)/, ([, , code]) => h("code", {}, decoded(code.trim() || code))],
  [
    /^!\[([^\]]*)\]\(\s*<?([^\s)>]+)>?[^)]*\)/,
    ([, alt, url]) => ["🖼 ", link(decoded(url), decoded(alt) || decoded(url))],
  ],
  [
    /^\[((?:[^[\]]|\[[^\]]*\])*)\]\(\s*<?((?:[^\s()<>]|\([^\s()]*\))+)>?(?:\s+["'][^)]*)?\)/,
    ([, label, url]) => link(decoded(url), inline(label)),
  ],
  [/^<([^<>\s][^<>\n]*)>/, ([whole, inside]) => control(inside) ?? decoded(whole)],
  [/^(\*\*\*|___)(?=\S)([\s\S]*?\S)\1/, ([, , inner]) => h("strong", {}, h("em", {}, inline(inner)))],
  [/^(\*\*|__)(?=\S)([\s\S]*?\S[*_]?)\1(?![*_])/, ([, , inner]) => h("strong", {}, inline(inner))],
  [/^~~(?=\S)([\s\S]*?\S)~~/, ([, inner]) => h("s", {}, inline(inner))],
  [/^\*(?=[^\s*])((?:\*\*[^*]+\*\*|[^*])*?[^\s*])\*(?!\*)/, ([, inner]) => h("em", {}, inline(inner))],
  [/^_(?=[^\s_])((?:__[^_]+__|[^_])*?[^\s_])_(?![\w_])/, ([, inner]) => h("em", {}, inline(inner)), /\w$/],
  [/^https?:\/\/[^\s<>)\]]*[^\s<>)\].,;:!?'"*_~]/, ([url]) => link(decoded(url), decoded(url)), /\w$/],
  [/^(?: {2,}|\\)?\n */, () => h("br")],
];
const PLAIN = /^(?:[^\\`![<*_~h \n]+|[\s\S])/;

/** A line of Markdown: each mark at its place, the rest as text. Some marks do not begin inside a word. */
function inline(text) {
  const shown = [];
  let before = "";
  for (let at = 0; at < text.length;) {
    const rest = text.slice(at);
    const [found, draw] = markAt(rest, before);
    const taken = found ? found[0] : PLAIN.exec(rest)[0];
    if (found) shown.push(draw(found));
    else if (typeof shown.at(-1) === "string") shown.push(shown.pop() + taken);
    else shown.push(taken);
    before = taken;
    at += taken.length;
  }
  return shown.map((each) => (typeof each === "string" ? withEmoji(decoded(each)) : each));
}

function markAt(rest, before) {
  for (const [pattern, draw, notAfter] of MARKS) {
    const found = notAfter?.test(before) ? null : pattern.exec(rest);
    if (found) return [found, draw];
  }
  return [null, null];
}
