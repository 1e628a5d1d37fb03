/** What the elements that hold a value hold: under which name, with which start value, chosen from which options. */

import { channelsOf } from "../core/session.mjs";
import { channelName, read, userName } from "../core/store.mjs";
import { plainText } from "./mrkdwn.mjs";

// What an element's state carries, and the property that prefills it (docs.slack.dev: block_actions payload).
const STATES = {
  plain_text_input: ["value", "initial_value"],
  email_text_input: ["value", "initial_value"],
  url_text_input: ["value", "initial_value"],
  number_input: ["value", "initial_value"],
  rich_text_input: ["rich_text_value", "initial_value"],
  file_input: ["files", "initial_files"],
  static_select: ["selected_option", "initial_option"],
  external_select: ["selected_option", "initial_option"],
  radio_buttons: ["selected_option", "initial_option"],
  users_select: ["selected_user", "initial_user"],
  conversations_select: ["selected_conversation", "initial_conversation"],
  channels_select: ["selected_channel", "initial_channel"],
  multi_static_select: ["selected_options", "initial_options"],
  multi_external_select: ["selected_options", "initial_options"],
  checkboxes: ["selected_options", "initial_options"],
  multi_users_select: ["selected_users", "initial_users"],
  multi_conversations_select: ["selected_conversations", "initial_conversations"],
  multi_channels_select: ["selected_channels", "initial_channels"],
  datepicker: ["selected_date", "initial_date"],
  timepicker: ["selected_time", "initial_time"],
  datetimepicker: ["selected_date_time", "initial_date_time"],
};

/** What an element holds: what the person put in, else its start value, else null. */
export function valueOf(element, state) {
  const [name, initial] = STATES[element.type];
  return (state?.type === element.type ? state[name] : element[initial]) ?? null;
}

/** An element's entry in `state.values` when it holds `value`. */
export function stateWith(element, value) {
  return { type: element.type, [STATES[element.type][0]]: value };
}

/** Whether several can be chosen. */
export function takesSeveral(element) {
  return element.type.startsWith("multi_") || element.type === "checkboxes";
}

/** Whether the app itself lists the options when it is asked. */
export function isSearched(element) {
  return element.type.endsWith("external_select");
}

/** The options of a menu, as `{value, text, description, group, held}`; `held` is what its state carries for it. */
export function optionsOf(element, person) {
  if (element.type.endsWith("users_select")) return users();
  if (element.type.endsWith("conversations_select") || element.type.endsWith("channels_select"))
    return channels(person);
  const groups = element.option_groups ?? [{ options: element.options ?? [] }];
  return groups.flatMap((group) =>
    group.options.map((option) => written(option, group.label && plainText(group.label))),
  );
}

/** A menu option as the app writes it. */
export function written(option, group) {
  return {
    value: option.value,
    text: plainText(option.text),
    description: option.description ? plainText(option.description) : null,
    group: group ?? null,
    held: option,
  };
}

/** What is chosen in a menu, as options. */
export function chosenIn(element, state) {
  const value = valueOf(element, state);
  const held = Array.isArray(value) ? value : value === null ? [] : [value];
  return held.map((each) => {
    if (typeof each === "object") return written(each);
    const text = element.type.endsWith("users_select") ? userName(each) : `#${channelName(each)}`;
    return { value: each, text, held: each };
  });
}

function users() {
  const { people, app } = read("workspace");
  const everybody = [...people, { id: app.user_id, name: app.name }];
  return everybody.map(({ id, name }) => ({ value: id, text: name, held: id }));
}

function channels(person) {
  const open = channelsOf(person).filter((channel) => channel.kind !== "im");
  return open.map(({ id, name }) => ({ value: id, text: `#${name}`, held: id }));
}
