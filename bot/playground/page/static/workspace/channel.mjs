/** The pane of a channel or of the app's direct messages, and the pane of one of its threads. */

import { classes, h } from "../core/dom.mjs";
import { icon } from "../core/icons.mjs";
import { change, composerKey, firstNew, keepLetter, messagesFor, session } from "../core/session.mjs";
import { read } from "../core/store.mjs";
import { channelTitle } from "./sidebar.mjs";
import { Composer } from "./composer.mjs";
import { dropHandlers } from "./drop.mjs";
import { Log } from "./log.mjs";

/** The channel pane. */
export function channelPane(channel, reader) {
  const messages = messagesFor(reader.id, channel.id);
  const threads = new Map();
  for (const reply of messages.filter((message) => message.thread_ts)) {
    if (!threads.has(reply.thread_ts)) threads.set(reply.thread_ts, []);
    threads.get(reply.thread_ts).push(reply);
  }
  const title = channelTitle(channel);
  return h(Pane, {
    key: `${reader.id} ${channel.id}`,
    name: "channel",
    title,
    reader,
    channel,
    thread: null,
    messages: messages.filter((message) => !message.thread_ts),
    threads,
    empty: welcome(channel, reader),
  });
}

/** The thread pane, or null when its root is gone. */
export function threadPane(channel, ts, reader) {
  const messages = messagesFor(reader.id, channel.id);
  const root = messages.find((message) => message.ts === ts);
  if (!root) return null;
  return h(Pane, {
    key: `${reader.id} ${ts}`,
    name: "thread",
    title: "Thread",
    reader,
    channel,
    thread: ts,
    messages: [root, ...messages.filter((message) => message.thread_ts === ts)],
    threads: null,
    empty: null,
  });
}

function Pane({ name, title, reader, channel, thread, messages, threads, empty }, self) {
  const drop = dropHandlers(self, (files) => self.composer.addFiles(files));
  const headId = `${name}-title`;
  return h(
    "section",
    { class: classes("pane", `is-${name}`, self.isOver && "is-over"), "aria-labelledby": headId, ...drop },
    h(
      "header",
      { class: "pane-head" },
      thread &&
        h(
          "button",
          {
            key: "back",
            type: "button",
            class: "quiet-button back",
            "aria-label": "Back to the channel",
            onclick: closeThread,
          },
          icon("back"),
        ),
      h("h2", { key: "title", id: headId, tabindex: -1 }, title),
      h("span", { key: "about", class: "soft" }, thread ? channelTitle(channel) : about(channel)),
      thread &&
        h(
          "button",
          {
            key: "close",
            type: "button",
            class: "quiet-button close",
            "aria-label": "Close thread",
            title: "Close thread",
            onclick: closeThread,
          },
          icon("close"),
        ),
    ),
    h(Log, {
      key: "log",
      label: thread ? "Messages in the thread" : `Messages in ${title}`,
      messages,
      threads,
      reader,
      empty,
      firstNew: thread && firstNew(),
      reach: (log) => {
        self.log = log;
      },
    }),
    h(Composer, {
      key: "composer",
      person: reader.id,
      channel,
      thread,
      label: thread ? "Reply" : `Message ${title}`,
      reach: (composer) => {
        self.composer = composer;
      },
      onSent: () => self.log.toEnd(),
    }),
    self.isOver &&
      h(
        "div",
        { key: "over", class: "drop-hint", "aria-hidden": "true" },
        h("span", {}, `Drop to share in ${thread ? "this thread" : title}`),
      ),
  );
}

/** Close the thread; the focus goes back to the message it hangs on. */
function closeThread() {
  const root = `.is-channel [data-ts="${session.thread}"] button`;
  change({ thread: null });
  requestAnimationFrame(() => document.querySelector(root)?.focus());
}

function about(channel) {
  if (channel.kind === "im") return "Direct messages with the app";
  return `${channel.members.length} members`;
}

function welcome(channel, reader) {
  const { app, examples } = read("workspace");
  const key = composerKey(reader.id, channel.id, null);
  const take = (command) => {
    keepLetter(key, command);
    change();
    document.querySelector(".is-channel .composer textarea").focus();
  };
  return h(
    "div",
    { class: "welcome" },
    h("h3", {}, channel.kind === "im" ? `This is where ${app.name} writes to you` : `Welcome to #${channel.name}`),
    h(
      "p",
      {},
      `${app.name} runs Dify apps here and asks people to decide where they talk. Choose one and press Enter; what happens next stands in the thread below its message.`,
    ),
    h(
      "ul",
      { class: "examples" },
      examples.map(({ command, says }) =>
        h(
          "li",
          { key: command },
          h(
            "button",
            { type: "button", class: "example", onclick: () => take(command) },
            h("code", {}, command),
            h("span", {}, says),
          ),
        ),
      ),
    ),
  );
}
