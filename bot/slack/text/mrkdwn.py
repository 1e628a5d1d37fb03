"""Text for Slack's mrkdwn and plain_text: untrusted text made harmless, dates, mentions, shortening."""

from __future__ import annotations

import re
from collections import Counter
from datetime import UTC, datetime, timedelta

# Control characters, lone surrogates, the noncharacters that `bot.slack.text.markdown` marks places with, and the bidi
# overrides and isolates, with which a text could turn round what stands beside it, such as the host of a link.
_UNWANTED = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufdd0-\ufdef]")


def clean(text: str) -> str:
    """Return the text without what nobody can see but what could harm; line ends become \\n."""
    return _UNWANTED.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))


# What takes no ink: white space, Unicode's characters that are to be ignored where they are not known, and an empty
# Braille cell.
_BLANK = re.compile(
    "[\\s\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u2800\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]*"
)


def seen(text: str) -> str:
    """Return on one line what people see of a text; empty where that is nothing."""
    return "" if _BLANK.fullmatch(text := clean(text)) else " ".join(text.split())


def escape(text: str) -> str:
    """Return the text so that mrkdwn shows it as it is written (slack-platform §6.1: exactly these three)."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


# What Slack takes for formatting where it comes in pairs: within a word it does not, unless it is a backtick.
_MARK = re.compile(r"`|(?<![^\W_])[*_~]|[*_~](?![^\W_])")
_LOOKALIKES = str.maketrans({"`": "ˋ", "*": "∗", "_": "ˍ", "~": "∼"})


def as_written(text: str) -> str:
    """Return the text with formatting marks that may be a pair replaced by characters that only look like them.

    So that they are seen, and nothing between them is formatted: mrkdwn has no way to escape one.
    """
    found = Counter(_MARK.findall(text))
    return _MARK.sub(lambda mark: mark[0].translate(_LOOKALIKES) if found[mark[0]] > 1 else mark[0], text)


_ESCAPED_SIZE = {character: len(escape(character)) for character in "&<>"}


def unescape(text: str) -> str:
    """Return the text that was escaped."""
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def shorten(text: str, limit: int) -> str:
    """Return at most `limit` characters of the text, with … where something is missing.

    Counted after escaping, as Slack does as far as known (slack-platform §6.2).
    """
    if len(escape(text)) <= limit:
        return text
    size = 0
    for end, character in enumerate(text):
        size += _ESCAPED_SIZE.get(character, 1)
        if size >= limit:
            return text[:end].rstrip() + "…"
    return text


def one_line(text: str, limit: int = 150) -> str:
    """Return the text on one line, shortened, escaped and without formatting: for names and titles in a sentence."""
    return escape(as_written(shorten(seen(text), limit)))


def bold(text: str, limit: int = 150) -> str:
    """Return an untrusted name in bold; its own asterisks would end the bold early."""
    return f"*{one_line(text.replace('*', '∗'), limit) or '–'}*"


def mention(user_id: str) -> str:
    """Return a mention of a user; the id is Slack's own."""
    return f"<@{user_id}>"


def date(at: datetime) -> str:
    """Return a moment that every reader sees in their own time zone (slack-platform §6.3)."""
    fallback = f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    return f"<!date^{int(at.timestamp())}^{{date_short_pretty}} {{time}}|{fallback}>"


def duration(span: timedelta) -> str:
    """Return a span of time in its two largest units, as what comes after “in”."""
    seconds = int(span.total_seconds())
    if seconds < 1:
        return "less than a second"
    units = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))
    parts = [
        f"{seconds % larger // size} {unit}"
        for larger, (size, unit) in zip((10**12, 86_400, 3_600, 60), units, strict=True)
    ]
    first = next(index for index, part in enumerate(parts) if not part.startswith("0 "))
    return " ".join(part for part in parts[first : first + 2] if part == parts[first] or not part.startswith("0 "))


def roughly(span: timedelta) -> str:
    """Return a span of time in words, to the minute and in its two largest units: “1 day and 12 hours”."""
    minutes = max(round(span.total_seconds() / 60), 0)
    counts = {"day": minutes // 1440, "hour": minutes // 60 % 24, "minute": minutes % 60}
    words = [f"{count} {unit}{'' if count == 1 else 's'}" for unit, count in counts.items() if count]
    # Nobody wants to know the minutes of days.
    return " and ".join(words[: 2 if not counts["day"] or counts["hour"] else 1]) or "less than a minute"


def readable(name: str) -> str:
    """Return a variable's name as words: `main_file` is “Main file”."""
    words = " ".join(clean(name).replace("_", " ").split())
    return words[:1].upper() + words[1:] if words else name
