/** What belongs to this page alone: who is looking, where, and what they have seen and begun to write. */

import { all, personOf, read } from "./store.mjs";

const KEPT_FOR_TAB = "dify-slack-bot:tab";
const KEPT = "dify-slack-bot:page";

let redraw = () => {};

/** The page's own state. Change it through `change`. */
export const session = {
  /** User id of the person whose eyes the page looks through. */
  person: null,
  /** The id of a channel, or `home`. */
  place: null,
  /** `ts` of the root of the open thread, or null. */
  thread: null,
  /** On a narrow screen: `places`, `chat` or `scenes`. */
  tab: "chat",
  /** Whether "Behind the scenes" is open beside the chat. */
  isPanelOpen: globalThis.innerWidth >= 1200,
  /** The part of "Behind the scenes" that is shown. */
  scene: "dify",
  /** The app and the run of Dify that the reader chose to see, by name and id. */
  app: null,
  run: null,
  /** `system`, `light` or `dark`. */
  theme: "system",
  /** `connecting`, `open` or `lost`. */
  connection: "connecting",
  ...load(localStorage, KEPT),
  ...load(sessionStorage, KEPT_FOR_TAB),
};

/** Texts of composers that were not sent yet, by `composerKey`. */
const letters = load(sessionStorage, `${KEPT_FOR_TAB}:letters`);
/** The newest `ts` each person has seen, by `person/channel` or `person/channel/thread`. */
const seen = load(sessionStorage, `${KEPT_FOR_TAB}:seen`);

/** The parts of the values of a message's buttons, by its document. */
const named = new WeakMap();
/** The ids of those whom a message mentions, by its document. */
const mentioned = new WeakMap();

/** Have `draw` called whenever the page should be drawn anew. */
export function onChange(draw) {
  redraw = draw;
}

/** Change the page's own state and draw. */
export function change(part = {}) {
  Object.assign(session, part);
  const { theme, isPanelOpen, person, place, thread, scene } = session;
  save(localStorage, KEPT, { theme });
  save(sessionStorage, KEPT_FOR_TAB, { isPanelOpen, person, place, thread, scene });
  redraw();
}

/** Look through another person's eyes: at the same channel where they are a member, else at their first. */
export function becomePerson(id) {
  const channels = channelsOf(id);
  const wasDirect = channelOf(session.place)?.kind === "im";
  const same = channels.find((channel) => channel.id === session.place);
  const place =
    session.place === "home" ? "home" : (same ?? channels.find((each) => !wasDirect || each.kind === "im"))?.id;
  change({ person: id, place: place ?? null, thread: same ? session.thread : null });
}

/** Go to a channel, there to a thread if one is named, or to `home`. */
export function goTo(place, thread = place === session.place ? session.thread : null) {
  change({ place, thread, tab: "chat" });
}

/** Choose a person and a place if there are none, or if they have gone. */
export function settleSession() {
  const workspace = read("workspace");
  if (!workspace) return;
  if (!workspace.people.some((person) => person.id === session.person))
    session.person = workspace.people[0]?.id ?? null;
  const channels = channelsOf(session.person);
  const isThere = session.place === "home" || channels.some((channel) => channel.id === session.place);
  if (!isThere) Object.assign(session, { place: channels[0]?.id ?? "home", thread: null });
}

/** The person whose eyes the page looks through. */
export function reader() {
  return personOf(session.person);
}

/** The channels and direct messages a person is a member of. */
export function channelsOf(person) {
  return (read("workspace")?.channels ?? []).filter((channel) => channel.members.includes(person));
}

/** A channel by id, or undefined. */
export function channelOf(id) {
  return read("workspace")?.channels.find((channel) => channel.id === id);
}

/** What a person sees in a channel and its threads, in order. */
export function messagesFor(person, channel) {
  return all(`messages/${channel}/`)
    .filter((message) => !message.visible_to || message.visible_to === person)
    .sort((one, other) => (one.ts < other.ts ? -1 : 1));
}

/**
 * The message that asks a form of Dify, as the bot posted it in a place where a person is a member, or undefined.
 *
 * The bot puts a form's id into the values of its buttons, with a slash on either side.
 */
export function messageOf(form, person) {
  const places = new Set(channelsOf(person).map((channel) => channel.id));
  return all("messages/").find((message) => places.has(message.channel) && namedIn(message).has(form.id));
}

function namedIn(message) {
  if (!named.has(message)) {
    const elements = message.blocks.filter((block) => block.type === "actions").flatMap((block) => block.elements);
    named.set(message, new Set(elements.flatMap((element) => element.value?.split("/") ?? [])));
  }
  return named.get(message);
}

// --- texts not sent yet ----------------------------------------------------------------------------------------------

/** What a composer's text is kept under. */
export function composerKey(person, channel, thread) {
  return [person, channel, thread ?? ""].join("/");
}

/** The text in a composer that was not sent yet. */
export function letter(key) {
  return letters[key] ?? "";
}

/** Keep the text of a composer. */
export function keepLetter(key, text) {
  if (text) letters[key] = text;
  else delete letters[key];
  save(sessionStorage, `${KEPT_FOR_TAB}:letters`, letters);
}

// --- unread marks ----------------------------------------------------------------------------------------------------

/** The open thread, and the `ts` of the first reply that its reader had not seen when they opened it. */
let opened = { key: null, firstNew: null };

/** Where a reader of the open thread has to go on: the `ts` of a reply, null for one that has seen them all. */
export function firstNew() {
  return opened.firstNew;
}

/** Note that the reader has seen everything in the open channel and thread. */
export function markSeen() {
  const { person, place, thread } = session;
  if (!person || !place || place === "home" || document.hidden) return;
  const messages = messagesFor(person, place);
  see(
    `${person}/${place}`,
    messages.filter((message) => !message.thread_ts),
  );
  const key = `${person}/${place}/${thread}`;
  const replies = messages.filter((message) => thread && message.thread_ts === thread);
  if (opened.key !== key) opened = { key, firstNew: replies.find((reply) => isNew(person, reply))?.ts ?? null };
  if (thread) see(key, replies);
  save(sessionStorage, `${KEPT_FOR_TAB}:seen`, seen);
}

/** How many messages in a channel are new to a person; of threads only those that concern them. */
export function unreadIn(person, channel) {
  const messages = messagesFor(person, channel);
  const roots = messages.filter((message) => !message.thread_ts && isNew(person, message));
  const threads = new Set(messages.filter((message) => concerns(person, message)).map(threadOf));
  const replies = messages.filter((each) => each.thread_ts && threads.has(each.thread_ts) && isNew(person, each));
  return roots.length + replies.length;
}

/** How many messages a person has not seen, everywhere. */
export function unreadOf(person) {
  return channelsOf(person).reduce((sum, channel) => sum + unreadIn(person, channel.id), 0);
}

/** Whether a person has not seen a message yet. */
export function isNew(person, message) {
  const place = message.thread_ts ? `${message.channel}/${message.thread_ts}` : message.channel;
  return message.author.id !== person && message.ts > (seen[`${person}/${place}`] ?? "");
}

function see(key, messages) {
  const newest = messages.at(-1)?.ts ?? "";
  if (newest > (seen[key] ?? "")) seen[key] = newest;
}

function concerns(person, message) {
  return message.author.id === person || message.visible_to === person || mentionedIn(message).has(person);
}

function mentionedIn(message) {
  if (!mentioned.has(message)) {
    const text = JSON.stringify([message.text, message.blocks]);
    mentioned.set(message, new Set([...text.matchAll(/<@(\w+)/g)].map(([, id]) => id)));
  }
  return mentioned.get(message);
}

function threadOf(message) {
  return message.thread_ts ?? message.ts;
}

// --- keeping ---------------------------------------------------------------------------------------------------------

/** What `save` has kept under a key; an empty object where there is nothing. */
export function load(storage, key) {
  try {
    return JSON.parse(storage.getItem(key) ?? "{}");
  } catch {
    return {}; // an unreadable or forbidden storage is an empty one
  }
}

/** Keep a value for a reload, as well as there is room for it. */
export function save(storage, key, value) {
  try {
    storage.setItem(key, JSON.stringify(value));
  } catch {
    // a full or forbidden storage only means that a reload forgets
  }
}
