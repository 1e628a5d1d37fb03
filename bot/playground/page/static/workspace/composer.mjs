/** Where a message is written: completion of commands and names, files as chips, Enter sends. */

import { classes, h } from "../core/dom.mjs";
import { upload } from "../core/fields.mjs";
import { icon } from "../core/icons.mjs";
import { attempt, explainSilence, saidOf } from "../core/notices.mjs";
import { composerKey, keepLetter, letter } from "../core/session.mjs";
import { request } from "../core/socket.mjs";
import { all, read } from "../core/store.mjs";
import { sizeOf } from "./files.mjs";
import { FileButton } from "./drop.mjs";

const MOST_OFFERS = 8;
const waitingFiles = new Map();
let count = 0;

/** A composer of a channel, or of a thread in it; `reach` is given a handle, `onSent` called after each message. */
export function Composer({ person, channel, thread, label, reach, onSent }, self) {
  self.id ??= `composer-${(count += 1)}`;
  const key = composerKey(person, channel.id, thread);
  const box = { person, channel, thread, key, self, onSent };
  const files = waitingFiles.get(key) ?? [];
  const text = letter(key);
  const offers = self.isQuiet ? [] : offersFor(box, text, self.caret ?? text.length);
  const problem = saidOf(self.problem);
  const at = offers.length ? Math.min(self.at ?? -1, offers.length - 1) : -1;
  reach({ addFiles: (added) => addFiles(box, added) });
  return h(
    "form",
    { class: "composer", onsubmit: (event) => (event.preventDefault(), send(box)) },
    offers.length > 0 && offerList(box, offers, at),
    files.length > 0 &&
      h(
        "ul",
        { key: "files", class: "chips", "aria-label": "Files to send" },
        files.map((file) => fileChip(box, file)),
      ),
    h(
      "div",
      { key: "row", class: "composer-row" },
      h(FileButton, {
        key: "add",
        onFiles: (added) => addFiles(box, added),
        several: true,
        text: icon("plus"),
        kind: "quiet-button add-files",
        labels: { "aria-label": "Add files" },
      }),
      h("textarea", {
        key: "text",
        rows: 1,
        placeholder: thread ? label : `Message or ${read("workspace").commands[0]} …`,
        "aria-label": label,
        role: offers.length ? "combobox" : null,
        "aria-autocomplete": "list",
        "aria-expanded": offers.length ? "true" : null,
        "aria-controls": offers.length ? `${self.id}-offers` : null,
        "aria-activedescendant": at >= 0 ? `${self.id}-${at}` : null,
        "aria-describedby": `${self.id}-help`,
        value: text,
        oninput: ({ target }) => write(box, target.value, target.selectionStart),
        onkeydown: (event) => onKey(box, offers, at, event),
        onblur: () => quiet(self, true),
        onfocus: () => quiet(self, false),
      }),
      h(
        "button",
        {
          key: "send",
          type: "submit",
          class: "button is-primary send",
          disabled: self.isBusy || (!text.trim() && !files.length),
        },
        "Send",
      ),
    ),
    h(
      "p",
      { key: "help", class: "composer-help", id: `${self.id}-help` },
      problem
        ? h("span", { class: "field-error", role: "alert" }, problem)
        : "Enter sends, Shift+Enter starts a line.",
    ),
  );
}

function write({ key, self }, text, caret) {
  keepLetter(key, text);
  Object.assign(self, { caret, at: -1, isQuiet: false, problem: null });
  self.redraw();
}

function quiet(self, isQuiet) {
  self.isQuiet = isQuiet;
  self.redraw();
}

// --- sending ---------------------------------------------------------------------------------------------------------

async function send(box) {
  const { person, channel, thread, key, self } = box;
  const text = letter(key).trim();
  const files = waitingFiles.get(key) ?? [];
  if (self.isBusy || (!text && !files.length)) return;
  const isCommand = text.startsWith("/");
  const problem =
    isCommand &&
    (thread
      ? `As in Slack, ${text.split(" ")[0]} does not work in threads. Send it in the channel.`
      : files.length && "A command takes no files. Take them out, or send them first.");
  Object.assign(self, { isBusy: !problem, problem: problem ? new Error(problem) : null });
  self.redraw();
  if (problem) return;
  self.problem = await problemOf(
    async () => {
      const place = { person, channel: channel.id };
      if (isCommand) {
        const { error } = await request("command", { ...place, text });
        return error && explainSilence();
      }
      return request("post", {
        ...place,
        text,
        ...(thread && { thread_ts: thread }),
        uploads: files.map(({ id }) => id),
      });
    },
    box,
    text,
  );
  self.isBusy = false;
  self.redraw();
}

/**
 * Send, and empty the composer once it is sent; what went wrong is said below it, with the text kept.
 *
 * Of a command that the app did not take the workspace itself tells the person, in a line that only they see.
 */
async function problemOf(sending, { key, onSent }, text) {
  try {
    await sending();
    onSent();
    if (letter(key).trim() === text) keepLetter(key, "");
    waitingFiles.delete(key);
    return null;
  } catch (error) {
    return error;
  }
}

async function addFiles({ key, self }, files) {
  const uploads = await attempt(() => upload(files));
  if (uploads) waitingFiles.set(key, [...(waitingFiles.get(key) ?? []), ...uploads]);
  self.redraw();
}

function fileChip({ key, self }, file) {
  const remove = () => {
    waitingFiles.set(
      key,
      waitingFiles.get(key).filter((each) => each.id !== file.id),
    );
    self.redraw();
  };
  return h(
    "li",
    { key: file.id, class: "chip" },
    `📎 ${file.name} `,
    h("small", {}, sizeOf(file.size)),
    h(
      "button",
      { type: "button", class: "chip-remove", "aria-label": `Remove ${file.name}`, onclick: remove },
      icon("close"),
    ),
  );
}

// --- completion ------------------------------------------------------------------------------------------------------

/** What fits what is being typed: command lines in a channel, names after `@`. */
function offersFor({ thread }, text, caret) {
  const { people, app } = read("workspace");
  if (text.startsWith("/") && !thread) return [...linesFor(text), ...parametersFor(text)];
  const name = /(?:^|\s)@([\w-]*)$/.exec(text.slice(0, caret))?.[1];
  if (name === undefined) return [];
  const start = text.slice(0, caret - name.length);
  return [app.name, ...people.map((person) => person.name)]
    .filter((each) => each.toLowerCase().startsWith(name.toLowerCase()) && each !== name)
    .map((each) => ({
      shown: `@${each}`,
      says: "",
      text: `${start}${each} ${text.slice(caret)}`,
      caret: start.length + each.length + 1,
    }))
    .slice(0, MOST_OFFERS);
}

/** Whole lines: the examples, the other apps, and the command alone. */
function linesFor(text) {
  const { commands, examples } = read("workspace");
  const [first] = commands;
  const isShown = ({ name }) => examples.some(({ command }) => `${command} `.startsWith(`${first} ${name} `));
  const others = all("dify/apps/").filter((app) => !isShown(app));
  const lines = [
    ...examples,
    ...others.map(({ name, says }) => ({ command: `${first} ${name} `, says })),
    ...commands.map((command) => ({ command: `${command} `, says: "Choose an app in a window" })),
  ];
  return lines
    .filter(({ command }) => command.startsWith(text) && command !== text)
    .map(({ command, says }) => ({ shown: command, says, text: command, caret: command.length }));
}

/** The parameters that the app named in a line still takes, and what one of them can be. */
function parametersFor(text) {
  const [, name, rest] = /^\/\S+ +(\S+) +(.*)$/s.exec(text) ?? [];
  const app = name && all("dify/apps/").find((each) => each.name === name);
  if (!app || rest.split('"').length % 2 === 0) return [];
  const word = /\S*$/.exec(rest)[0];
  const before = text.slice(0, text.length - word.length);
  const pairs = rest.slice(0, rest.length - word.length).matchAll(/(?<!\S)([^\s=]+)=(?:"[^"]*")?/g);
  const given = new Set([...pairs].map(([, key]) => key));
  return app.parameters
    .filter((each) => !given.has(each.name))
    .flatMap(({ name: parameter, label, required, options }) => {
      const says = required ? label : `${label} (optional)`;
      const typed = `${parameter}=`;
      const isBegun = word.startsWith(typed) && options.length > 0;
      const values = isBegun ? options : [""];
      return values.map((value) => ({ plain: `${typed}${value}`, line: `${typed}${quoted(value)}`, says }));
    })
    .filter(({ plain, line }) => plain.startsWith(word) && ![plain, line].includes(word))
    .map(({ line, says }) => ({ shown: line, says, text: before + line, caret: before.length + line.length }));
}

/** A value as it has to stand in a command, in quotation marks where it would not be read as one otherwise. */
function quoted(value) {
  return /^(?:[^\s"“”'‘’…]\S*)?$/.test(value) ? value : `"${value.replace(/[\\"“”]/g, "\\$&")}"`;
}

function offerList(box, offers, at) {
  return h(
    "ul",
    {
      key: "offers",
      class: "offers",
      role: "listbox",
      id: `${box.self.id}-offers`,
      "aria-label": "Suggestions",
      onmousedown: (event) => event.preventDefault(),
    },
    offers.map((offer, index) =>
      h(
        "li",
        {
          key: offer.shown,
          id: `${box.self.id}-${index}`,
          role: "option",
          class: classes("offer", index === at && "is-active"),
          "aria-selected": String(index === at),
          onclick: (event) => take(box, offer, event.currentTarget.closest("form")),
        },
        h("code", {}, offer.shown),
        h("span", {}, offer.says),
      ),
    ),
  );
}

function take({ key, self }, offer, form) {
  keepLetter(key, offer.text);
  Object.assign(self, { caret: offer.caret, at: -1 });
  self.redraw();
  form.querySelector("textarea").setSelectionRange(offer.caret, offer.caret);
}

function onKey(box, offers, at, event) {
  const { self } = box;
  const form = event.target.form;
  const move = (to) => {
    self.at = (to + offers.length) % offers.length;
    self.redraw();
    form.querySelector(".offer.is-active")?.scrollIntoView({ block: "nearest" });
  };
  const keys = {
    ArrowDown: offers.length && (() => move(at + 1)),
    ArrowUp: offers.length && (() => move(at < 0 ? offers.length - 1 : at - 1)),
    Tab: offers.length && !event.shiftKey && at >= 0 && (() => take(box, offers[at], form)),
    Escape: offers.length && (() => quiet(self, true)),
    Enter: !event.shiftKey && !event.isComposing && (() => (at >= 0 ? take(box, offers[at], form) : send(box))),
  };
  if (!keys[event.key]) return;
  event.preventDefault();
  event.stopPropagation();
  keys[event.key]();
}
