/** A form of one's own: pasted or loaded, and shown in Slack by the bot itself. */

import { h } from "../core/dom.mjs";
import { change, load, messageOf, save, session } from "../core/session.mjs";
import { request } from "../core/socket.mjs";
import { under, until } from "../core/store.mjs";
import { FileButton, dropHandlers } from "../workspace/drop.mjs";
import { sizeOf } from "../workspace/files.mjs";

const KEPT = "dify-slack-bot:own-form";
const FILE_MAX = 4 * 1024 * 1024; // bytes of the longest text that is read, in whatever script
const PATIENCE_MS = 60_000; // after which nobody expects a thread to open by itself any more
const EXAMPLE = {
  form_content:
    "# Travel request\n\nMira asks for a ticket to **Lisbon**, 3 to 5 March.\n\nYour remark:\n\n{{#$output.remark#}}\n\nClass:\n\n{{#$output.class#}}",
  inputs: [
    { type: "paragraph", output_variable_name: "remark", default: { type: "constant", selector: [], value: "" } },
    {
      type: "select",
      output_variable_name: "class",
      option_source: { type: "constant", selector: [], value: ["Economy", "Business"] },
    },
  ],
  resolved_default_values: {},
  user_actions: [
    { id: "approve", title: "Approve", button_style: "primary" },
    { id: "decline", title: "Decline", button_style: "default" },
  ],
};

/** The place where a form is given; `channel` is where it is shown, null while the reader looks at no channel. */
export function OwnForm({ person, channel }, self) {
  self.text ??= load(sessionStorage, KEPT).text ?? "";
  const write = (text) => {
    save(sessionStorage, KEPT, { text });
    Object.assign(self, { text, problem: null, shown: null });
    self.redraw();
  };
  const read = async ([file]) => {
    if (file.size <= FILE_MAX) return write(await file.text());
    self.problem = `${file.name} has ${sizeOf(file.size)}; a form of up to ${sizeOf(FILE_MAX)} is read.`;
    return self.redraw();
  };
  const problem = self.problem;
  const others = self.shown?.others ?? [];
  return h(
    "form",
    {
      class: "own-form",
      onsubmit: (event) => (event.preventDefault(), show(self, person, channel)),
      ...dropHandlers(self, read),
    },
    h(
      "p",
      {},
      "See a form of your own as people will see it in Slack: the bot itself posts it, opens its window and shows its outcome.",
    ),
    h(
      "label",
      { class: "field" },
      h("span", { class: "label" }, "Dify form or DSL"),
      h("textarea", {
        class: "control is-code",
        rows: 12,
        spellcheck: "false",
        "aria-describedby": problem ? "own-problem own-hint" : "own-hint",
        "aria-invalid": problem ? "true" : null,
        value: self.text,
        oninput: ({ target }) => write(target.value),
      }),
    ),
    problem && h("p", { class: "field-error", id: "own-problem", role: "alert" }, problem),
    h(
      "p",
      { class: "hint", id: "own-hint" },
      "JSON as Dify answers it for a form, a human_input_required event, or an app's DSL file with a Human Input node. Drop a file here, too.",
    ),
    h(
      "div",
      { class: "row" },
      h(
        "button",
        { type: "submit", class: "button is-primary", disabled: !self.text.trim() || self.isBusy },
        "Show in Slack",
      ),
      h(FileButton, {
        onFiles: read,
        text: "Load a file",
        accept: ".json,.yml,.yaml,.txt",
        labels: { "aria-label": "Load a form from a file" },
      }),
      h(
        "button",
        { type: "button", class: "button", onclick: () => write(JSON.stringify(EXAMPLE, null, 2)) },
        "Use an example",
      ),
    ),
    h("p", { role: "status" }, self.shown ? told(self.shown) : ""),
    others.length > 0 &&
      h(
        "div",
        { key: "others", class: "row" },
        h("p", {}, "The file has more forms:"),
        others.map((node) =>
          h(
            "button",
            {
              key: node.id,
              type: "button",
              class: "button is-small",
              onclick: () => show(self, person, channel, node.id),
            },
            node.title,
          ),
        ),
      ),
  );
}

/** What became of a form that was read. */
function told({ title, command, isAsked }) {
  if (!isAsked) return `Loaded: “${title}”. Go to a channel and type ${command} to see it.`;
  return `Shown: “${title}” stands in the thread that opens. Type ${command} for it again.`;
}

/** Have a form shown, and its thread opened; of a file with several the first, or that of `node`. */
async function show(self, person, channel, node) {
  const before = new Set(under("dify/forms/").map(([key]) => key));
  Object.assign(self, { isBusy: true, problem: null, shown: null });
  self.redraw();
  const details = { text: self.text, ...(channel && { person, channel }), ...(node && { node }) };
  try {
    self.shown = { ...(await request("load_form", details)), isAsked: channel !== null };
    if (channel) {
      change({ tab: "chat", thread: null });
      openThread(self.shown.title, person, channel, before);
    }
  } catch (error) {
    self.problem = error.message;
  }
  self.isBusy = false;
  self.redraw();
}

/** Open the thread of the form that is new, unless its reader has gone elsewhere, or it comes too late. */
async function openThread(title, person, channel, before) {
  const end = Date.now() + PATIENCE_MS;
  const isHere = () => session.person === person && session.place === channel && session.thread === null;
  const isAwaited = () => isHere() && Date.now() < end;
  const message = await until(() => {
    if (!isAwaited()) return {};
    const isIt = ([key, form]) => form.title === title && form.person === person && !before.has(key);
    const [, form] = under("dify/forms/").find(isIt) ?? [];
    return form && messageOf(form, person);
  });
  if (isAwaited()) change({ thread: message.thread_ts });
}
