/**
 * Messages below one another: days divided, the newest in view unless somebody scrolled up to read.
 *
 * What begins with messages that were not seen yet begins with the first of them.
 */

import { h } from "../core/dom.mjs";
import { draftOf } from "../core/fields.mjs";
import { isNew } from "../core/session.mjs";
import { read } from "../core/store.mjs";
import { dateKey, dayName, secondsOf } from "../core/time.mjs";
import { Message } from "./message.mjs";

const TOGETHER = 5 * 60; // seconds within which messages of one author stand together
const NEAR_END = 48; // pixels

/**
 * The messages of a pane; `threads` has the replies of each root by `ts`, and is null within a thread: root first.
 *
 * `firstNew` is the `ts` of the first one that is new to the reader, null where none is; `reach` is given a handle.
 */
export function Log({ label, messages, threads, reader, empty, firstNew, reach }, self) {
  reach({ toEnd: () => toEnd(self) });
  self.mounted = (node) => follow(node, self);
  self.isEmpty = messages.length === 0;
  self.updated = () => keepPlace(self);
  self.gone = () => self.observer.disconnect();
  const shown = messages.map((message, index) => entry(message, messages[index - 1], threads, reader, firstNew));
  return h(
    "div",
    { class: "log-frame" },
    h(
      "div",
      {
        class: "log",
        tabindex: 0,
        role: "log",
        "aria-label": label,
        "aria-live": "polite",
        "aria-relevant": "additions",
        onscroll: () => look(self),
      },
      h("div", { class: "log-content" }, shown.length ? shown : empty),
    ),
    self.isAway &&
      h("button", { type: "button", class: "to-end", onclick: () => toEnd(self) }, "↓ Newest messages"),
  );
}

function entry(message, before, threads, reader, firstNew) {
  const { zone, id: person } = reader;
  const seconds = secondsOf(message.ts);
  const isNewDay = !before || dateKey(secondsOf(before.ts), zone) !== dateKey(seconds, zone);
  const replies = threads?.get(message.ts) ?? [];
  const isFirstReply = threads === null && message.thread_ts && !before?.thread_ts;
  const isFirstNew = message.ts === firstNew;
  const isFollowing =
    !isNewDay &&
    !isFirstNew &&
    !isFirstReply &&
    before.author.id === message.author.id &&
    before.visible_to === message.visible_to &&
    seconds - secondsOf(before.ts) < TOGETHER &&
    !threads?.get(before.ts)?.length;
  return [
    isNewDay &&
      h(
        "div",
        { key: `day ${dateKey(seconds, zone)}`, class: "day", role: "separator", "aria-label": dayName(seconds, zone) },
        h("span", {}, dayName(seconds, zone)),
      ),
    isFirstNew &&
      h("div", { key: "new", class: "day is-new", role: "separator", "aria-label": "New" }, h("span", {}, "New")),
    h(Message, {
      key: `${person} ${message.ts}`,
      message,
      person,
      zone,
      draft: draftOf(person, `messages/${message.channel}/${message.ts}`),
      shortcuts: read("workspace").shortcuts,
      repliesCount: replies.filter((reply) => !reply.visible_to).length,
      repliesPrivate: replies.filter((reply) => reply.visible_to).length,
      repliesLatest: replies.at(-1)?.ts ?? null,
      repliesFresh: replies.filter((reply) => isNew(person, reply)).length,
      isFollowing,
      isInThread: threads === null,
    }),
  ];
}

/** See whether the end is in sight. What only grows, as by a picture that has come, is not left by that. */
function look(self) {
  const { scrollHeight, scrollTop, clientHeight } = self.log;
  const isNear = scrollHeight - scrollTop - clientHeight < NEAR_END;
  self.isAtEnd = isNear || (self.isAtEnd && scrollTop >= self.top);
  self.top = scrollTop;
  if (self.isAway === !self.isAtEnd) return;
  self.isAway = !self.isAtEnd;
  self.redraw();
}

function follow(node, self) {
  [self.log] = node.children;
  self.isAtEnd = true;
  const line = self.log.querySelector(".is-new");
  if (line) {
    self.log.scrollTop = line.offsetTop;
    look(self);
  }
  self.observer = new ResizeObserver(() => keepPlace(self));
  self.observer.observe(self.log);
  self.observer.observe(self.log.firstElementChild);
}

function keepPlace(self) {
  if (self.isAtEnd && !self.isEmpty) toEnd(self);
}

/** Go to the newest message, and stay with those that follow. */
function toEnd(self) {
  self.isAtEnd = true;
  self.log.scrollTop = self.log.scrollHeight;
}
