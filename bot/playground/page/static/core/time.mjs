/** Times as the reader sees them: in their own zone, and as Slack's `<!date^…>` asks. */

const LOCALE = "en-US";
const MINUTE = 60;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** Seconds since the epoch of a Slack `ts`. */
export function secondsOf(ts) {
  return Number.parseFloat(ts);
}

/** The time of day, such as `2:05 PM`. */
export function clock(seconds, zone) {
  return show(seconds, zone, { hour: "numeric", minute: "2-digit" });
}

/** The day as a divider between messages reads: `Today`, `Yesterday`, or the date. */
export function dayName(seconds, zone) {
  return nearDay(seconds, zone) ?? show(seconds, zone, { weekday: "long", month: "long", day: "numeric" });
}

/** What tells the days of a zone apart: the date as `2026-03-07`. */
export function dateKey(seconds, zone) {
  const { year, month, day } = parts(seconds, zone);
  return `${year}-${month}-${day}`;
}

/** A date and time in full, for what a pointer or a screen reader wants to know. */
export function fullTime(seconds, zone) {
  return show(seconds, zone, { dateStyle: "full", timeStyle: "long" });
}

/** How long ago, or how far ahead: `now`, `5 minutes ago`, `in 3 days`. */
export function ago(seconds, now) {
  const distance = seconds - now;
  const [unit, size] =
    [
      ["day", DAY],
      ["hour", HOUR],
      ["minute", MINUTE],
    ].find(([, each]) => Math.abs(distance) >= each) ?? [];
  if (!unit) return distance > 0 ? "in less than a minute" : "just now";
  return new Intl.RelativeTimeFormat(LOCALE).format(Math.trunc(distance / size), unit);
}

/** A span of time that counts down: `2d 03h 11m`, `4m 09s`. */
export function span(seconds) {
  const left = Math.max(0, Math.floor(seconds));
  const two = (number) => String(number).padStart(2, "0");
  const [days, hours, minutes] = [left / DAY, (left % DAY) / HOUR, (left % HOUR) / MINUTE].map(Math.floor);
  if (days) return `${days}d ${two(hours)}h ${two(minutes)}m`;
  if (hours) return `${hours}h ${two(minutes)}m`;
  return `${minutes}m ${two(left % MINUTE)}s`;
}

const DATE_TOKENS = {
  date_num: (seconds, zone) => dateKey(seconds, zone),
  date_slash: (seconds, zone) => dateKey(seconds, zone).replaceAll("-", "/"),
  date: (seconds, zone) => show(seconds, zone, { month: "long", day: "numeric", year: "numeric" }),
  date_short: (seconds, zone) => show(seconds, zone, { month: "short", day: "numeric", year: "numeric" }),
  date_long: (seconds, zone) =>
    show(seconds, zone, { weekday: "long", month: "long", day: "numeric", year: "numeric" }),
  time: clock,
  time_secs: (seconds, zone) => show(seconds, zone, { hour: "numeric", minute: "2-digit", second: "2-digit" }),
  ago: (seconds) => ago(seconds, Date.now() / 1000),
};

/** A date in one of Slack's formats, such as `{date_short_pretty} {time}`. */
export function slackDate(seconds, format, zone) {
  return format.replace(/\{(\w+?)(_pretty)?\}/g, (whole, name, pretty) => {
    const token = DATE_TOKENS[name];
    if (!token) return whole;
    return (pretty && nearDay(seconds, zone)?.toLowerCase()) || token(seconds, zone);
  });
}

/** Seconds since the epoch as the value of a `datetime-local` input in a zone. */
export function toLocalInput(seconds, zone) {
  const { hour, minute } = parts(seconds, zone);
  return `${dateKey(seconds, zone)}T${hour}:${minute}`;
}

/** The reverse of `toLocalInput`. */
export function fromLocalInput(text, zone) {
  const asUtc = Date.parse(`${text}Z`) / 1000;
  const offset = (seconds) => Date.parse(`${toLocalInput(seconds, zone)}Z`) / 1000 - seconds;
  return asUtc - offset(asUtc - offset(asUtc)); // twice, since the offset may change between the two
}

function nearDay(seconds, zone) {
  const key = dateKey(seconds, zone);
  const now = Date.now() / 1000;
  return [
    ["Today", 0],
    ["Yesterday", -DAY],
    ["Tomorrow", DAY],
  ].find(([, off]) => dateKey(now + off, zone) === key)?.[0];
}

function show(seconds, zone, options) {
  return new Intl.DateTimeFormat(LOCALE, { timeZone: zone, ...options }).format(seconds * 1000);
}

function parts(seconds, zone) {
  const options = {
    year: "numeric",
    month: "2-digit",
    day: "2-digit",
    hour: "2-digit",
    minute: "2-digit",
    hourCycle: "h23",
  };
  const format = new Intl.DateTimeFormat(LOCALE, { timeZone: zone, ...options });
  return Object.fromEntries(format.formatToParts(seconds * 1000).map(({ type, value }) => [type, value]));
}
