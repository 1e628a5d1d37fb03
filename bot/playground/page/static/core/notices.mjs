/** What the page itself has to say: a click that did not work, a file that is too large. Shown beside the refusals. */

import { change, session } from "./session.mjs";
import { Unsent } from "./socket.mjs";
import { read } from "./store.mjs";

const NOBODY_ANSWERED = "Nobody answered, since the bot was not running. Start it behind the scenes, then try again.";

let count = 0;
const shown = [];

/** Say something until it is dismissed. */
export function say(text) {
  count += 1;
  if (shown.at(-1)?.text !== text) shown.push({ id: count, text });
  change();
}

/** Dismiss a notice. */
export function dismiss(id) {
  shown.splice(0, shown.length, ...shown.filter((notice) => notice.id !== id));
  change();
}

/** The notices to show, the newest last. */
export function notices() {
  return [...shown];
}

/** What to say of a problem: its sentence; null where there is none, or none any more since there is a connection. */
export function saidOf(problem) {
  const isOver = problem instanceof Unsent && session.connection === "open";
  return problem && !isOver ? problem.message : null;
}

/** Say why the app did not answer, where it is the bot that does not run: Slack itself cannot know that. */
export function explainSilence() {
  if (read("bot")?.state === "stopped") say(NOBODY_ANSWERED);
}

/** Do something that was asked for, and say so if it fails. */
export async function attempt(doing) {
  try {
    return await doing();
  } catch (error) {
    say(error.message);
    return null;
  }
}
