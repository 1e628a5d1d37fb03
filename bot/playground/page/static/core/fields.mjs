/**
 * What people put into the fields of messages and windows, and the clicks that send it.
 *
 * The server keeps every person's drafts; here stands only what it has not confirmed yet. A click waits until
 * everything typed before it has arrived. What could not be sent for want of a connection is sent when there is one.
 */

import { attempt, explainSilence, say } from "./notices.mjs";
import { change } from "./session.mjs";
import { Unconnected, request } from "./socket.mjs";
import { read } from "./store.mjs";

const PAUSE_MS = 250;

const NOTHING = {};

/** What the server has not confirmed, by person, surface and field. */
const unsent = new Map();
/** Goes up with every change of `unsent`. */
let version = 0;
const drafts = new Map();
const timers = new Map();
const sending = new Set();
const uploaded = new Map();

/** The name of a field on a surface: what `drafts/…` documents and the server call it. */
export function fieldOf(block, element) {
  return `${block.block_id}/${element.action_id}`;
}

/** What a person put into the fields of a surface, as `state.values` has it; the same object until it changes. */
export function draftOf(person, surface) {
  const key = `${person}\n${surface}`;
  const document = read(`drafts/${person}/${surface}`);
  dropConfirmed(key, document);
  const cached = drafts.get(key);
  if (cached && cached.document === document && cached.version === version) return cached.draft;
  const mine = [...unsent].filter(([each]) => each.startsWith(`${key}\n`));
  const draft = mine.length
    ? { ...document, ...Object.fromEntries(mine.map(([each, { state }]) => [each.slice(key.length + 1), state])) }
    : (document ?? NOTHING);
  const isSame = cached && JSON.stringify(cached.draft) === JSON.stringify(draft);
  drafts.set(key, { document, version, draft: isSame ? cached.draft : draft });
  return drafts.get(key).draft;
}

/** What the server has confirmed is ours no longer once its document says so, too. */
function dropConfirmed(key, document) {
  for (const [each, entry] of unsent) {
    if (!entry.confirmedBefore || !each.startsWith(`${key}\n`)) continue;
    const said = document?.[each.slice(key.length + 1)];
    const isSaid = JSON.stringify(said) === JSON.stringify(entry.state);
    if (isSaid || entry.confirmedBefore.document !== document) forget(each, entry);
  }
}

function confirm(key, entry) {
  const [person, surface] = key.split("\n");
  delete entry.details;
  entry.confirmedBefore = { document: read(`drafts/${person}/${surface}`) };
}

function forget(key, entry) {
  if (unsent.get(key) !== entry) return;
  unsent.delete(key);
  version += 1;
}

function hold(key, entry) {
  unsent.set(key, entry);
  version += 1;
}

/** A person has typed into a field; it is sent when they pause. */
export function typed({ person, surface }, field, state, value) {
  const key = keyOf(person, surface, field);
  hold(key, { state, details: { person, surface, field, value } });
  clearTimeout(timers.get(key));
  timers.set(
    key,
    setTimeout(() => sendTyped(key), PAUSE_MS),
  );
}

/** A person has chosen something; it is shown at once and sent. */
export async function chosen({ person, surface }, field, state, values) {
  const key = keyOf(person, surface, field);
  const mine = { state };
  hold(key, mine);
  change();
  await settled();
  const result = await track(attempt(() => request("choose", { person, surface, field, values })));
  if (result) confirm(key, mine);
  else forget(key, mine);
  change();
}

/** A person has pressed Enter in a field that tells the app. */
export async function entered({ person, surface }, field) {
  await settled();
  await attempt(() => request("enter", { person, surface, field }));
}

/**
 * A person has clicked; resolves when the app has acknowledged it, or it was said why not.
 *
 * Of a click on a message the workspace itself tells the person, in a line that only they see.
 */
export async function clicked({ person, surface }, field) {
  await settled();
  const result = await attempt(() => request("click", { person, surface, field }));
  if (result?.error && surface.startsWith("views/")) say(result.error);
  if (result?.error) explainSilence();
}

/** Send what was typed and wait until all of it has arrived. */
export async function settled() {
  for (const key of [...timers.keys()]) sendTyped(key);
  await Promise.all(sending);
}

/** Send again what a lost connection kept back. */
export function sendAgain() {
  for (const [key, { details }] of unsent) if (details && !timers.has(key)) sendTyped(key);
}

/** Bring files to the server; returns `[{id, name, size}]`. Rejects with a sentence. */
export async function upload(files) {
  const body = new FormData();
  for (const file of files) body.append("file", file, file.name);
  const answer = await fetch("/upload", { method: "POST", body }).catch(() => null);
  if (answer === null) throw new Error("The files could not be handed over: there is no connection to the playground.");
  const { uploads, error } = await answer.json().catch(() => ({ error: `The files were refused (${answer.status}).` }));
  if (error) throw new Error(error);
  return uploads;
}

/** Put files into a `file_input`, beside those this page has put there before. Rejects with a sentence. */
export async function addFiles(context, field, files) {
  const before = uploadsOf(context, field);
  await choose(context, field, [...before, ...(await upload(files))]);
}

/** Take one of the files this page has put into a `file_input` out again. */
export async function removeFile(context, field, id) {
  await attempt(() =>
    choose(
      context,
      field,
      uploadsOf(context, field).filter((each) => each.id !== id),
    ),
  );
}

/** The files that this page has put into a `file_input`, as `[{id, name, size}]`. */
export function uploadsOf({ person, surface }, field) {
  return uploaded.get(keyOf(person, surface, field)) ?? [];
}

async function choose({ person, surface }, field, uploads) {
  await request("choose_files", { person, surface, field, uploads: uploads.map(({ id }) => id) });
  uploaded.set(keyOf(person, surface, field), uploads);
  change();
}

function sendTyped(key) {
  clearTimeout(timers.get(key));
  timers.delete(key);
  const entry = unsent.get(key);
  if (!entry?.details) return;
  track(
    request("fill", entry.details).then(
      () => confirm(key, entry),
      (error) => keep(entry, error),
    ),
  );
}

/** What was typed stays in its field; unless the connection was at fault, sending it again would not help. */
function keep(entry, error) {
  if (error instanceof Unconnected) return;
  delete entry.details;
  say(error.message);
}

function track(promise) {
  sending.add(promise);
  return promise.finally(() => sending.delete(promise));
}

function keyOf(person, surface, field) {
  return [person, surface, field].join("\n");
}
