/** What the page itself has to say: a click that did not work, a file that is too large. Shown beside the refusals. */

import { change } from "./session.mjs";

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

/** Do something that was asked for, and say so if it fails. */
export async function attempt(doing) {
  try {
    return await doing();
  } catch (error) {
    say(error.message);
    return null;
  }
}
