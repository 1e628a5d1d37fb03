/** Block Kit's interactive elements, by type. */

import { classes, h } from "../core/dom.mjs";
import { addFiles, chosen, clicked, entered, fieldOf, removeFile, typed, uploadsOf } from "../core/fields.mjs";
import { icon } from "../core/icons.mjs";
import { reader } from "../core/session.mjs";
import { fromLocalInput, toLocalInput } from "../core/time.mjs";
import { confirmed } from "../workspace/confirm.mjs";
import { DropZone } from "../workspace/drop.mjs";
import { sizeOf } from "../workspace/files.mjs";
import { MenuButton } from "../workspace/menu.mjs";
import { chosenIn, optionsOf, stateWith, valueOf } from "./choices.mjs";
import { isSafe } from "./entities.mjs";
import { plainText, textObject } from "./mrkdwn.mjs";
import { plainOf } from "./rich_text.mjs";
import { Select } from "./select.mjs";

const FILE_INPUT_MAX = 10 * 1024 * 1024; // bytes, Slack's limit for a file_input
const FILE_INPUT_COUNT = 10;
const MOST_NAMED = 6; // file types that the note at a field lists

/**
 * An element in its block.
 *
 * `context` is `{person, surface, draft, errors}`; `labels` are the attributes by which a screen reader names a field.
 */
export function drawElement(element, block, context, labels = {}) {
  const draw = BY_TYPE[element.type] ?? (element.type.endsWith("_select") ? select : unknownElement);
  const named = { "aria-label": plainText(element.placeholder) || "Choose", ...labels };
  const state = element.action_id === undefined ? undefined : context.draft[fieldOf(block, element)];
  return draw({ key: element.action_id, element, block, context, state, labels: named });
}

function select(props) {
  return h(Select, props);
}

function unknownElement({ key, element }) {
  return h("span", { key, class: "unknown" }, `[${element.type}]`);
}

// --- buttons ---------------------------------------------------------------------------------------------------------

function Button({ element, block, context, field = fieldOf(block, element), sign, isQuiet }, self) {
  const press = async () => {
    if (self.isBusy || (element.confirm && !(await confirmed(element.confirm)))) return;
    self.isBusy = true;
    self.redraw();
    await clicked(context, field);
    self.isBusy = false;
    self.redraw();
  };
  const attributes = {
    class: classes(
      isQuiet ? "quiet-button" : "button",
      element.style && `is-${element.style}`,
      self.isBusy && "is-busy",
    ),
    "aria-label": element.accessibility_label ?? (sign ? plainText(element.text) : null),
    title: sign ? plainText(element.text) : null,
    "aria-busy": self.isBusy ? "true" : null,
    onclick: press,
  };
  const shown = h("span", { key: "text" }, sign ?? plainText(element.text));
  if (!element.url || !isSafe(element.url)) return h("button", { type: "button", ...attributes }, shown);
  return h("a", { href: element.url, target: "_blank", rel: "noopener noreferrer", ...attributes }, shown);
}

function button(props) {
  return h(Button, props);
}

function feedbackButtons({ key, element, block, context }) {
  const one = (part, sign) => {
    const look = { ...element[part], action_id: element.action_id, type: element.type };
    return h(Button, {
      key: part,
      element: look,
      block,
      context,
      field: `${fieldOf(block, element)}/${look.value}`,
      sign,
      isQuiet: true,
    });
  };
  return h(
    "span",
    { key, class: "feedback", role: "group", "aria-label": "Feedback" },
    one("positive_button", "👍"),
    one("negative_button", "👎"),
  );
}

function iconButton({ key, element, block, context }) {
  const isFor = !element.visible_to_user_ids || element.visible_to_user_ids.includes(context.person);
  return isFor && h(Button, { key, element, block, context, sign: icon("trash"), isQuiet: true });
}

function overflow({ key, element, block, context }) {
  const items = element.options.map((option) => ({
    id: option.value,
    text: plainText(option.text),
    choose: async () => {
      if (element.confirm && !(await confirmed(element.confirm))) return;
      if (option.url && isSafe(option.url)) open(option.url, "_blank", "noopener");
      await chosen(context, fieldOf(block, element), { type: "overflow", selected_option: option }, [option.value]);
    },
  }));
  return h(MenuButton, { key, label: "More options", sign: icon("more"), items, kind: "button" });
}

// --- texts -----------------------------------------------------------------------------------------------------------

function TextField({ element, block, context, state, labels }, self) {
  const field = fieldOf(block, element);
  const isRich = element.type === "rich_text_input";
  const kept = valueOf(element, state);
  const value = (isRich ? plainOf(kept) : kept) ?? "";
  const on = dispatchedOn(element, block);
  self.length ??= value.length;
  if (self.value !== value) Object.assign(self, { value, length: value.length });
  const type = { email_text_input: "email", url_text_input: "url", number_input: "number" }[element.type];
  const isLong = element.multiline || isRich;
  const attributes = {
    class: classes("control", isLong && "is-long"),
    value,
    placeholder: plainText(element.placeholder) || null,
    minlength: element.min_length ?? null,
    maxlength: element.max_length ?? null,
    min: element.min_value ?? null,
    max: element.max_value ?? null,
    step: type === "number" ? (element.is_decimal_allowed ? "any" : "1") : null,
    autofocus: element.focus_on_load ?? null,
    ...labels,
    oninput: ({ target }) => {
      self.length = target.value.length;
      typed(
        context,
        field,
        isRich ? stateWith(element, richOf(target.value)) : stateWith(element, target.value || null),
        target.value,
      );
      self.redraw();
    },
    onkeydown: (event) => {
      if (event.key !== "Enter" || event.isComposing || !on.includes("on_enter_pressed")) return;
      if (isLong && event.shiftKey) return;
      event.preventDefault();
      entered(context, field);
    },
  };
  return h(
    "div",
    { class: "text-field" },
    isLong
      ? h("textarea", { key: "long", rows: isRich ? (element.min_lines ?? 3) : 3, ...attributes })
      : h("input", { key: "short", type: type ?? "text", ...attributes }),
    counter(element, self.length),
  );
}

function counter({ min_length: least = 0, max_length: most = 0 }, length) {
  if (length < least) return h("small", { class: "counter" }, `${least - length} more to go`);
  if (!most || length < most * 0.8) return null;
  return h("small", { class: "counter", role: "status" }, `${length} of ${most} characters`);
}

function richOf(text) {
  const elements = text ? [{ type: "text", text }] : [];
  return { type: "rich_text", elements: [{ type: "rich_text_section", elements }] };
}

/** What of typing the app hears at once; Slack's default is Enter. */
function dispatchedOn(element, block) {
  if (block.type === "input" && !block.dispatch_action) return [];
  return element.dispatch_action_config?.trigger_actions_on ?? ["on_enter_pressed"];
}

function textField(props) {
  return h(TextField, props);
}

// --- choices and dates -----------------------------------------------------------------------------------------------

function radioButtons(props) {
  return choiceList(props, "radio", (options, option) => [option]);
}

function checkboxes(props) {
  const toggled = (options, option) => {
    const rest = options.filter((each) => each.value !== option.value);
    return rest.length === options.length ? [...options, option] : rest;
  };
  return choiceList(props, "checkbox", toggled);
}

function choiceList({ key, element, block, context, state, labels }, type, next) {
  const field = fieldOf(block, element);
  const already = chosenIn(element, state);
  const choose = (option) => {
    const options = next(already, option);
    const held = options.map((each) => each.held);
    chosen(
      context,
      field,
      stateWith(element, type === "radio" ? held[0] : held),
      options.map((each) => each.value),
    );
  };
  return h(
    "div",
    { key, class: "choices", role: type === "radio" ? "radiogroup" : "group", ...labels },
    optionsOf(element, context.person).map((option) =>
      h(
        "label",
        { key: option.value, class: "choice" },
        h("input", {
          type,
          name: `${context.person}/${context.surface}/${field}`,
          value: option.value,
          checked: already.some((each) => each.value === option.value),
          onchange: () => choose(option),
        }),
        h(
          "span",
          {},
          textObject(option.held.text),
          option.held.description && h("small", {}, textObject(option.held.description)),
        ),
      ),
    ),
  );
}

function picker(type) {
  return ({ key, element, block, context, state, labels }) => {
    const value = valueOf(element, state);
    const isMoment = type === "datetime-local";
    return h("input", {
      key,
      type,
      class: "control is-picker",
      value: value === null ? "" : isMoment ? toLocalInput(value, reader()?.zone) : value,
      ...labels,
      onchange: ({ target }) => {
        const picked = target.value && (isMoment ? fromLocalInput(target.value, reader()?.zone) : target.value);
        chosen(context, fieldOf(block, element), stateWith(element, picked || null), picked ? [String(picked)] : []);
      },
    });
  };
}

// --- files -----------------------------------------------------------------------------------------------------------

function FileInput({ element, block, context, state, labels }, self) {
  const field = fieldOf(block, element);
  const held = valueOf(element, state) ?? [];
  const mine = uploadsOf(context, field);
  const most = element.max_files ?? FILE_INPUT_COUNT;
  const take = async (files) => {
    self.problem =
      problemWith(element, files, held.length, most) ??
      (await addFiles(context, field, files).then(() => null, ({ message }) => message));
    self.redraw();
  };
  const remove = (file, index) => {
    const upload = mine[index];
    return (
      upload &&
      h(
        "button",
        {
          type: "button",
          class: "chip-remove",
          "aria-label": `Remove ${file.name}`,
          onclick: () => {
            self.problem = null;
            self.redraw();
            removeFile(context, field, upload.id);
          },
        },
        icon("close"),
      )
    );
  };
  return h(
    "div",
    { class: classes("file-input", self.problem && "has-error") },
    held.length > 0 &&
      h(
        "ul",
        { class: "chips", "aria-label": "Files" },
        held.map((file, index) =>
          h(
            "li",
            { key: file.id, class: "chip" },
            `📎 ${file.name} `,
            h("small", {}, sizeOf(file.size)),
            remove(file, index),
          ),
        ),
      ),
    h(DropZone, { onFiles: take, accept: accepted(element), several: most > 1, labels, note: noteOf(element, most) }),
    self.problem && h("p", { key: "problem", class: "field-error", role: "alert" }, self.problem),
  );
}

function fileInput(props) {
  return h(FileInput, props);
}

function problemWith(element, files, already, most) {
  if (files.length + already > most) return `This field takes ${most === 1 ? "one file" : `${most} files at most`}.`;
  const large = files.find((file) => file.size > FILE_INPUT_MAX);
  if (large) return `${large.name} is larger than the 10 MB that a window takes. Share it in the thread instead.`;
  const endings = (element.filetypes ?? []).map((ending) => ending.toLowerCase());
  const odd = endings.length && files.find((file) => !endings.includes(file.name.split(".").at(-1).toLowerCase()));
  return odd ? `${odd.name} does not fit: this field takes ${endings.join(", ")}.` : null;
}

function accepted({ filetypes = [] }) {
  return filetypes.length ? filetypes.map((ending) => `.${ending}`).join(",") : null;
}

function noteOf({ filetypes = [] }, most) {
  const count = most === 1 ? "One file" : `Up to ${most} files`;
  const kinds = filetypes.length && filetypes.length <= MOST_NAMED ? ` (${filetypes.join(", ")})` : "";
  return `${count}${kinds}, at most 10 MB${most === 1 ? "" : " each"}`;
}

const BY_TYPE = {
  button,
  workflow_button: button,
  feedback_buttons: feedbackButtons,
  icon_button: iconButton,
  overflow,
  plain_text_input: textField,
  email_text_input: textField,
  url_text_input: textField,
  number_input: textField,
  rich_text_input: textField,
  radio_buttons: radioButtons,
  checkboxes,
  datepicker: picker("date"),
  timepicker: picker("time"),
  datetimepicker: picker("datetime-local"),
  file_input: fileInput,
};
