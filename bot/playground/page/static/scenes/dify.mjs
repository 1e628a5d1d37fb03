/** The simulated Dify: its apps as graphs, its runs, the forms that wait, and what can be made to go wrong. */

import { h } from "../core/dom.mjs";
import { upload } from "../core/fields.mjs";
import { attempt } from "../core/notices.mjs";
import { change, goTo, messageOf, session } from "../core/session.mjs";
import { request } from "../core/socket.mjs";
import { all, read, userName } from "../core/store.mjs";
import { ago, span } from "../core/time.mjs";
import { ask } from "../workspace/confirm.mjs";
import { Ticking } from "../core/clock.mjs";
import { graph } from "./graph.mjs";

const SLOW_SECONDS = 3;
const STATUS = {
  running: "running",
  paused: "waits for a person",
  succeeded: "done",
  failed: "failed",
  stopped: "stopped",
  "partial-succeeded": "done in part",
};

/** What of Dify there is to see and to do. */
export function difyScene() {
  const apps = all("dify/apps/");
  const runs = all("dify/runs/").sort((one, other) => other.started - one.started);
  const run =
    runs.find((each) => each.id === session.run) ??
    (session.app ? runs.find((each) => each.app === session.app) : runs[0]);
  const app = apps.find((each) => each.name === (session.app ?? run?.app)) ?? apps[0];
  return h(
    "div",
    { class: "dify" },
    h(
      "section",
      { key: "forms", "aria-labelledby": "forms-title" },
      h("h3", { id: "forms-title" }, "Open forms"),
      forms(),
    ),
    h(
      "section",
      { key: "graph", "aria-labelledby": "apps-title" },
      h("h3", { id: "apps-title" }, "Steps"),
      h(
        "select",
        { class: "control", "aria-label": "App", onchange: ({ target }) => change({ app: target.value, run: null }) },
        apps.map((each) =>
          h("option", { key: each.name, value: each.name, selected: each.name === app?.name }, each.name),
        ),
      ),
      app && h("p", { class: "soft" }, app.says),
      app && graph(app, run?.app === app.name ? run.steps : {}),
      app && legend(),
    ),
    h(
      "section",
      { key: "runs", "aria-labelledby": "runs-title" },
      h("h3", { id: "runs-title" }, "Runs"),
      runList(runs, run),
    ),
    h(
      "section",
      { key: "faults", "aria-labelledby": "faults-title" },
      h("h3", { id: "faults-title" }, "Make trouble"),
      h(Faults, { slow: read("dify")?.slow ?? 0 }),
    ),
  );
}

function legend() {
  return h(
    "p",
    { class: "legend", "aria-hidden": "true" },
    ["running", "waiting", "done", "failed"].map((step) => h("span", { class: `is-${step}` }, step)),
  );
}

function forms() {
  const open = all("dify/forms/").reverse();
  if (!open.length) return h("p", { class: "soft" }, "None. A form opens when a run asks a person.");
  return h(
    "ul",
    { class: "cards", tabindex: 0, "aria-labelledby": "forms-title" },
    open.map((form) =>
      h(
        "li",
        { key: form.id, class: "card" },
        h("strong", {}, form.title),
        h(
          "p",
          { class: "soft" },
          [form.app, form.person && userName(form.person), ""].filter((part) => part !== null).join(" · "),
          h(Ticking, { key: form.expires, show: (now) => deadline(form.expires - now) }),
        ),
        h(
          "div",
          { class: "row" },
          h(
            "button",
            { type: "button", class: "button is-small", onclick: () => answerElsewhere(form) },
            "Answer elsewhere…",
          ),
          h(
            "button",
            {
              type: "button",
              class: "button is-small",
              onclick: () => attempt(() => request("expire", { form: form.id })),
            },
            "Let it expire",
          ),
          threadButton(messageOf(form, session.person)),
        ),
      ),
    ),
  );
}

function threadButton(message) {
  return (
    message &&
    h(
      "button",
      {
        key: "thread",
        type: "button",
        class: "button is-small",
        onclick: () => goTo(message.channel, message.thread_ts),
      },
      "Open thread",
    )
  );
}

/** Dify closes a form only when it looks for those that are over, which it does now and then. */
function deadline(left) {
  return left > 0 ? `expires in ${span(left)}` : "its time is over, and Dify is about to notice";
}

/** Answer a form as somebody who has it open in Dify's own web page would. */
function answerElsewhere(form) {
  return ask({
    title: `Answer “${form.title}” in Dify`,
    body: [
      h(
        "p",
        { class: "soft" },
        "As somebody does who has the form open on Dify's own page, while it is open in Slack.",
      ),
      form.inputs.map((input) =>
        h("label", { class: "field" }, h("span", { class: "label" }, input.output_variable_name), answerField(input)),
      ),
      h(
        "fieldset",
        { class: "choices" },
        h("legend", { class: "label" }, "Decision"),
        form.actions.map((action, index) =>
          h(
            "label",
            { class: "choice" },
            h("input", { type: "radio", name: "action", value: action.id, checked: index === 0 }),
            h("span", {}, action.title),
          ),
        ),
      ),
    ],
    yes: "Answer",
    send: (answer) => sendElsewhere(form, answer),
  });
}

/** Send an answer; what was left empty is left as Dify's page offers it. */
async function sendElsewhere(form, answer) {
  const values = {};
  const uploads = {};
  for (const input of form.inputs) {
    const name = input.output_variable_name;
    const given = answer.getAll(nameOf(input));
    const files = given.filter((each) => each instanceof File && each.name);
    if (files.length) uploads[name] = (await upload(files)).map(({ id }) => id);
    else if (given[0] && !isForFiles(input)) [values[name]] = given;
  }
  await request("answer_elsewhere", { form: form.id, action: answer.get("action"), values, uploads });
}

function answerField(input) {
  const name = nameOf(input);
  if (isForFiles(input))
    return h("input", { class: "control", type: "file", name, multiple: input.type === "file-list" });
  const options = input.option_source?.value;
  if (!Array.isArray(options))
    return h("textarea", { class: "control", name, rows: 2, placeholder: "As Dify's page offers it" });
  return h(
    "select",
    { class: "control", name },
    options.map((option) => h("option", { value: option }, option)),
  );
}

function nameOf(input) {
  return `value ${input.output_variable_name}`;
}

function isForFiles({ type }) {
  return type === "file" || type === "file-list";
}

function runList(runs, shown) {
  if (!runs.length) return h("p", { class: "soft" }, "None yet.");
  return h(
    "ul",
    { class: "runs" },
    runs.map((run) =>
      h(
        "li",
        { key: run.id },
        h(
          "button",
          {
            type: "button",
            class: "run",
            "aria-pressed": String(run.id === shown?.id),
            onclick: () => change({ run: run.id, app: run.app }),
          },
          h("span", { class: `status is-${run.status}` }, STATUS[run.status] ?? run.status),
          h("strong", {}, run.app),
          h(
            "span",
            { class: "soft" },
            run.person ? `${userName(run.person)} · ` : "",
            h(Ticking, { key: run.started, show: (now) => ago(run.started, now) }),
          ),
        ),
      ),
    ),
  );
}

function Faults({ slow }, self) {
  const button = ([text, what, told, details, isOn]) =>
    h(
      "button",
      {
        key: what,
        type: "button",
        class: "button is-small",
        "aria-pressed": isOn === undefined ? null : String(isOn),
        onclick: () =>
          attempt(async () => {
            self.told = told(await request(what, details));
            self.redraw();
          }),
      },
      text,
    );
  return h(
    "div",
    {},
    h(
      "div",
      { class: "row" },
      [
        ["Drop the stream", "drop_stream", dropped],
        ["Make the next call fail", "fail_next", () => "The next call that starts a run or answers a form fails."],
        ["Slow Dify down", "slow", () => null, { seconds: slow ? 0 : SLOW_SECONDS }, slow > 0],
      ].map(button),
    ),
    h(
      "p",
      { class: "soft", role: "status" },
      self.told ?? (slow ? `Every call to Dify waits ${slow} s.` : "The bot has to cope, and nobody may lose anything."),
    ),
  );
}

function dropped({ dropped: count }) {
  if (!count) return "No stream was open, so the next one breaks off.";
  return count === 1 ? "The open stream was broken off." : `The ${count} open streams were broken off.`;
}
