/** A message: who, when, what it says, its files, its thread and its menu. */

import { drawBlocks } from "../blocks/blocks.mjs";
import { mrkdwn } from "../blocks/mrkdwn.mjs";
import { Ticking } from "../core/clock.mjs";
import { classes, h } from "../core/dom.mjs";
import { icon } from "../core/icons.mjs";
import { attempt } from "../core/notices.mjs";
import { change } from "../core/session.mjs";
import { request } from "../core/socket.mjs";
import { ago, clock, fullTime, secondsOf } from "../core/time.mjs";
import { avatar } from "./avatar.mjs";
import { filesOf } from "./files.mjs";
import { MenuButton } from "./menu.mjs";

/**
 * A message as one person sees it.
 *
 * Of the replies in its thread, `repliesCount` are for everybody, as Slack counts them, and `repliesPrivate` for this
 * person alone; `repliesLatest` is the `ts` of the newest of all, or null, and `repliesFresh` were not seen yet.
 * `isFollowing` says that a message of the same author stands just before it.
 */
export function Message({
  message,
  person,
  zone,
  draft,
  shortcuts,
  repliesCount,
  repliesPrivate,
  repliesLatest,
  repliesFresh,
  isFollowing,
  isInThread,
}) {
  const surface = `messages/${message.channel}/${message.ts}`;
  const context = { person, surface, draft, errors: {} };
  const { author } = message;
  const seconds = secondsOf(message.ts);
  return h(
    "article",
    {
      class: classes(
        "message",
        message.visible_to && "is-ephemeral",
        isFollowing && "is-following",
        message.streaming && "is-streaming",
      ),
      "aria-label": `${author.name}, ${clock(seconds, zone)}`,
      "aria-busy": message.streaming ? "true" : null,
      "data-ts": message.ts,
    },
    h("div", { class: "message-side" }, isFollowing ? null : avatar(author.id, author.name, author.is_app)),
    h(
      "div",
      { class: "message-body" },
      message.visible_to && h("p", { class: "only-you" }, icon("eye"), " Only visible to you"),
      h(
        "header",
        { class: "message-head" },
        h("strong", { class: "author" }, author.name),
        author.is_app && h("span", { class: "app-badge" }, "APP"),
        h(
          "time",
          { datetime: new Date(seconds * 1000).toISOString(), title: fullTime(seconds, zone) },
          clock(seconds, zone),
        ),
      ),
      message.blocks.length
        ? drawBlocks(message.blocks, context)
        : message.text && h("div", { class: "text" }, mrkdwn(message.text), edited(message)),
      message.blocks.length > 0 && edited(message),
      message.files.length > 0 && filesOf(message, person),
      message.streaming && h("span", { class: "writing" }, h("span", { class: "visually-hidden" }, "Still writing")),
      !isInThread &&
        repliesLatest &&
        repliesButton(message, repliesCount, repliesPrivate, repliesLatest, repliesFresh, zone),
    ),
    h("div", { class: "message-tools" }, tools(message, person, surface, shortcuts, isInThread)),
  );
}

function edited(message) {
  return message.edited && h("span", { class: "edited" }, " (edited)");
}

function repliesButton(message, count, hidden, latest, fresh, zone) {
  const counts = [count && `${count} ${count === 1 ? "reply" : "replies"}`, hidden && `${hidden} only visible to you`];
  return h(
    "button",
    { type: "button", class: classes("replies", fresh && "has-new"), onclick: () => openThread(message) },
    h("strong", {}, counts.filter(Boolean).join(", ")),
    fresh > 0 && h("span", { class: "new-count" }, `${fresh} new`),
    h(Ticking, {
      class: "soft",
      title: fullTime(secondsOf(latest), zone),
      show: (now) => `last ${ago(secondsOf(latest), now)}`,
    }),
  );
}

function tools(message, person, surface, shortcuts, isInThread) {
  if (message.visible_to) return null;
  const use = (callback_id) => () => attempt(() => request("shortcut", { person, surface, callback_id }));
  const items = shortcuts.map(({ callback_id: id, name }) => ({ id, text: name, choose: use(id) }));
  return [
    !isInThread &&
      h(
        "button",
        {
          key: "reply",
          type: "button",
          class: "quiet-button",
          "aria-label": "Reply in thread",
          title: "Reply in thread",
          onclick: () => openThread(message),
        },
        icon("chat"),
      ),
    items.length > 0 && h(MenuButton, { key: "menu", label: "More actions", sign: icon("more"), items }),
  ];
}

function openThread(message) {
  change({ thread: message.ts });
  requestAnimationFrame(() => document.getElementById("thread-title")?.focus());
}
