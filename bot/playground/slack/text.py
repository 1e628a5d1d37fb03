"""How Slack reads text: control sequences, entities, and whom a text pings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

Json = dict[str, Any]

# slack-platform §6.1: what `<…>` may mean in message text, mrkdwn objects and markdown blocks.
CONTROL = re.compile(
    r"<(?:"
    r"@(?P<user>[UW][A-Z0-9]+)(?:\|[^<>]*)?"
    r"|\#(?P<channel>[CDG][A-Z0-9]+)(?:\|[^<>]*)?"
    r"|!(?P<broadcast>channel|here|everyone)(?:\|[^<>]*)?"
    r"|!subteam\^(?P<group>[A-Z0-9]+)(?:\|[^<>]*)?"
    r"|!date\^(?P<unix>\d+)\^(?P<format>[^^|<>]+)(?:\^[^|<>]*)?\|(?P<fallback>[^<>]*)"
    r"|(?P<url>(?:https?://|mailto:)[^|<>\s]+)(?:\|(?P<label>[^<>]*))?"
    r")>"
)
_BARE_BROADCAST = re.compile(r"(?<![\w@<!])@(channel|here|everyone)\b")
_BARE_AMPERSAND = re.compile(r"&(?!(?:amp|lt|gt);)")


def escape(text: str) -> str:
    """Replace what is not an entity yet, so that `text` shows as it is written."""
    return _BARE_AMPERSAND.sub("&amp;", text).replace("<", "&lt;").replace(">", "&gt;")


def unescape(text: str) -> str:
    """Turn Slack's three entities back into the characters a reader sees."""
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def normalise(text: str) -> str:
    """Escape stray `&`, `<` and `>` as Slack does when it stores a text, leaving control sequences alone."""
    parts: list[str] = []
    end = 0
    for control in CONTROL.finditer(text):
        parts += escape(text[end : control.start()]), control.group()
        end = control.end()
    return "".join(parts) + escape(text[end:])


def text_objects(value: Any) -> Iterator[Json]:
    """Every plain_text and mrkdwn object, markdown block, rich text element and task title, in reading order."""
    if isinstance(value, list):
        for item in value:
            yield from text_objects(item)
    elif isinstance(value, dict):
        if value.get("type") in ("plain_text", "mrkdwn", "markdown", "text") and isinstance(value.get("text"), str):
            yield value
            return
        if (
            value.get("type") in ("task_card", "plan") and value["title"]
        ):  # their titles are bare texts; as markdown in the worst case
            yield {"type": "markdown", "text": value["title"]}
        for key, item in value.items():
            if key not in ("value", "url"):
                yield from text_objects(item)


def shown(text: str, blocks: list[Json]) -> str:
    """What a reader finds on the message: its blocks' texts, or `text` where there are no blocks."""
    texts = [found["text"] for found in text_objects(blocks)] if blocks else [text]
    return unescape("\n".join(texts))


def pinged_ids(text: str, blocks: list[Json], *, link_names: bool = False) -> Iterator[str]:
    """Ids of the people and groups a message notifies, and the words channel, here and everyone.

    Counts what Slack would notify in the worst case: the notification text as well as the blocks, and bare `@here` in a
    mrkdwn object that is not `verbatim` (slack-platform §6.1).
    """
    yield from _control_pings(text)
    if link_names:
        yield from _BARE_BROADCAST.findall(text)
    for found in text_objects(blocks):
        if found["type"] in ("mrkdwn", "markdown"):
            yield from _control_pings(found["text"])
        if found["type"] == "mrkdwn" and not found.get("verbatim"):
            yield from _BARE_BROADCAST.findall(found["text"])
    yield from _rich_text_pings(blocks)


def _control_pings(text: str) -> Iterator[str]:
    for control in CONTROL.finditer(text):
        pinged = control["user"] or control["broadcast"] or control["group"]
        if pinged:
            yield pinged


def _rich_text_pings(value: Any) -> Iterator[str]:
    """Pings of rich_text, where they are elements of their own."""
    if isinstance(value, list):
        for item in value:
            yield from _rich_text_pings(item)
    elif isinstance(value, dict):
        for kind, key in (("user", "user_id"), ("usergroup", "usergroup_id"), ("broadcast", "range")):
            if value.get("type") == kind and isinstance(value.get(key), str):
                yield value[key]
        for item in value.values():
            yield from _rich_text_pings(item)
