/** Emoji by their short names in Slack: those that apps of this kind use. Any other stays as it is written. */

const EMOJI = {
  "+1": "👍",
  "-1": "👎",
  alarm_clock: "⏰",
  arrow_right: "➡️",
  bell: "🔔",
  bulb: "💡",
  calendar: "📅",
  chart_with_upwards_trend: "📈",
  clap: "👏",
  clipboard: "📋",
  eyes: "👀",
  fire: "🔥",
  gear: "⚙️",
  grey_question: "❔",
  heart: "❤️",
  heavy_check_mark: "✔️",
  hourglass: "⌛",
  hourglass_flowing_sand: "⏳",
  information_source: "ℹ️",
  key: "🔑",
  link: "🔗",
  lock: "🔒",
  mag: "🔍",
  memo: "📝",
  no_entry: "⛔",
  octagonal_sign: "🛑",
  page_facing_up: "📄",
  paperclip: "📎",
  pencil2: "✏️",
  pray: "🙏",
  question: "❓",
  robot_face: "🤖",
  rocket: "🚀",
  rotating_light: "🚨",
  slightly_smiling_face: "🙂",
  smile: "😄",
  sparkles: "✨",
  speech_balloon: "💬",
  star: "⭐",
  tada: "🎉",
  thumbsdown: "👎",
  thumbsup: "👍",
  timer_clock: "⏲️",
  warning: "⚠️",
  wastebasket: "🗑️",
  wave: "👋",
  white_check_mark: "✅",
  x: "❌",
  zap: "⚡",
};

const SHORT_NAME = /:([a-z0-9_+'-]+):/g;

/** The character of a short name, or the name between its colons. */
export function emoji(name) {
  return EMOJI[name] ?? `:${name}:`;
}

/** A plain text with its short names replaced. */
export function withEmoji(text) {
  return text.replace(SHORT_NAME, (whole, name) => EMOJI[name] ?? whole);
}
