/** What every kind of Slack's text has in common: entities, links, mentions, dates. */

import { h } from "../core/dom.mjs";
import { goTo, reader } from "../core/session.mjs";
import { channelName, read, userName } from "../core/store.mjs";
import { fullTime, slackDate } from "../core/time.mjs";

const CONTROL = new RegExp(
  [
    "^(?:@(?<user>[UWB][A-Z0-9]+)(?:\\|[^|]*)?",
    "#(?<channel>[CDG][A-Z0-9]+)(?:\\|[^|]*)?",
    "!(?<broadcast>channel|here|everyone)(?:\\|[^|]*)?",
    "!subteam\\^(?<group>[A-Z0-9]+)(?:\\|[^|]*)?",
    "!date\\^(?<unix>\\d+)\\^(?<format>[^^|]+)(?:\\^(?<target>[^|]*))?\\|(?<fallback>.*)",
    "(?<url>(?:https?:\\/\\/|mailto:)[^|\\s]+)(?:\\|(?<label>.*))?)$",
  ].join("|"),
);
const ENTITIES = { "&lt;": "<", "&gt;": ">", "&amp;": "&" };

/** Slack's three entities back into the characters a reader sees. */
export function decoded(text) {
  return text.replace(/&(?:lt|gt|amp);/g, (entity) => ENTITIES[entity]);
}

/** What stands between `<` and `>` in Slack's texts, or null where it is no control sequence. */
export function control(inside) {
  const found = CONTROL.exec(inside)?.groups;
  if (!found) return null;
  if (found.user) return mention(found.user);
  if (found.channel) return h("span", { class: "mention" }, `#${channelName(found.channel)}`);
  if (found.broadcast) return broadcast(found.broadcast);
  if (found.group) return h("span", { class: "mention" }, `@${found.group}`);
  if (found.unix) return date(Number(found.unix), found.format, found.target);
  return link(decoded(found.url), decoded(found.label ?? found.url.replace(/^mailto:/, "")));
}

/** A person or app that is mentioned; one's own name stands out. */
export function mention(id) {
  const isReader = reader()?.id === id;
  return h("span", { class: isReader ? "mention mention-of-reader" : "mention" }, `@${userName(id)}`);
}

/** Everybody in a channel, here or everywhere. */
export function broadcast(range) {
  return h("span", { class: "mention mention-of-reader" }, `@${range}`);
}

/** A date in the reader's zone, in one of Slack's formats. */
export function date(seconds, format, target) {
  const zone = reader()?.zone;
  const shown = slackDate(seconds, format, zone);
  const time = h("time", { datetime: new Date(seconds * 1000).toISOString(), title: fullTime(seconds, zone) }, shown);
  return target ? link(decoded(target), time) : time;
}

/** A link that opens beside the page, or leads to a message here; what is neither http(s) nor mailto stays text. */
export function link(url, ...label) {
  if (!isSafe(url)) return h("span", {}, label);
  const here = placeOf(url);
  if (here) return h("a", { href: url, onclick: (event) => follow(event, here) }, label);
  return h("a", { href: url, target: "_blank", rel: "noopener noreferrer" }, label);
}

/** The channel and the thread of a message of this workspace by its address, as Slack's client knows it [believed]. */
function placeOf(url) {
  if (!url.startsWith(`${read("workspace").url}archives/`)) return null;
  const { pathname, searchParams } = new URL(url);
  return { channel: pathname.split("/")[2], thread: searchParams.get("thread_ts") };
}

function follow(event, { channel, thread }) {
  event.preventDefault();
  goTo(channel, thread);
  requestAnimationFrame(() => document.getElementById(thread ? "thread-title" : "channel-title")?.focus());
}

/** Whether an address may be a link. */
export function isSafe(url) {
  return /^(?:https?:\/\/|mailto:)/i.test(url);
}
