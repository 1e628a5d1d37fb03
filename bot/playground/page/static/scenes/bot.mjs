/** The bot's process: whether it runs, and the buttons that kill and start it. */

import { h } from "../core/dom.mjs";
import { attempt } from "../core/notices.mjs";
import { session } from "../core/session.mjs";
import { request } from "../core/socket.mjs";
import { span } from "../core/time.mjs";
import { Ticking } from "../core/clock.mjs";

const SAYS = { starting: "The bot is starting …", running: "The bot is running", stopped: "The bot is not running" };
const UNKNOWN = "No word of the bot: the demo has ended, or cannot be reached.";

/** What of the bot there is to see and to do. */
export function botBox(bot) {
  if (!bot) return null;
  if (session.connection === "lost")
    return h(
      "section",
      { class: "bot-box", "aria-label": "The bot" },
      h("p", { class: "bot-state" }, h("span", { class: "dot", "aria-hidden": "true" }), h("strong", {}, UNKNOWN)),
    );
  const isStopped = bot.state === "stopped";
  return h(
    "section",
    { class: "bot-box", "aria-label": "The bot" },
    h(
      "p",
      { class: `bot-state is-${bot.state}` },
      h("span", { class: "dot", "aria-hidden": "true" }),
      h("strong", { role: "status" }, SAYS[bot.state]),
      bot.pid &&
        h(
          "span",
          { class: "soft" },
          `process ${bot.pid}, `,
          h(Ticking, { key: bot.since, show: (now) => span(now - bot.since) }),
        ),
    ),
    h(
      "button",
      {
        key: isStopped ? "start" : "kill",
        type: "button",
        class: isStopped ? "button is-primary is-small" : "button is-danger is-small",
        disabled: bot.state === "starting",
        onclick: () => attempt(() => request(isStopped ? "start_bot" : "kill_bot")),
      },
      isStopped ? "Start the bot" : "Kill the bot (kill −9)",
    ),
    bot.error && h("p", { key: "error", class: "field-error" }, bot.error),
    isStopped &&
      h(
        "p",
        { key: "note", class: "soft" },
        "Nothing is lost: runs and forms go on when it starts. Until then Slack tells people that it does not answer.",
      ),
  );
}
