/** What Slack refused of the app, and what the page could not do: said at the edge until dismissed. */

import { h } from "../core/dom.mjs";
import { icon } from "../core/icons.mjs";
import { dismiss, notices } from "../core/notices.mjs";
import { change } from "../core/session.mjs";
import { under } from "../core/store.mjs";

const MOST = 4;
const dismissed = new Set();

/** The notices and refusals that were not dismissed. */
export function toasts() {
  const own = notices().map(({ id, text }) => ({ key: `notice ${id}`, title: null, text, close: () => dismiss(id) }));
  const refused = under("refusals/")
    .filter(([key, { at }]) => !dismissed.has(`${key} ${at}`))
    .map(([key, { at, what, code, messages }]) => ({
      key: `${key} ${at}`,
      title: `Slack refused ${what}: ${code}`,
      text: messages.join(" "),
      close: () => (dismissed.add(`${key} ${at}`), change()),
    }));
  return h(
    "div",
    { class: "toasts", role: "region", "aria-label": "Notices", "aria-live": "polite" },
    [...refused, ...own]
      .slice(-MOST)
      .map(({ key, title, text, close }) =>
        h(
          "div",
          { key, class: title ? "toast is-refusal" : "toast" },
          h("div", {}, title && h("strong", {}, title), text && h("p", {}, text)),
          h(
            "button",
            { type: "button", class: "quiet-button", "aria-label": "Dismiss", onclick: close },
            icon("close"),
          ),
        ),
      ),
  );
}
