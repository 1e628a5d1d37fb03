"""Reads rendered messages as Slack and its readers do."""

from __future__ import annotations

import re
import string
from collections.abc import Iterator
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.token import Token
from markdown_it.tree import SyntaxTreeNode

from bot.playground.slack import block_kit
from bot.playground.slack.content import MESSAGE_CHARACTERS_MAX, UPDATE_TEXT_MAX
from bot.playground.slack.text import pinged_ids
from bot.slack.messages.message import Message
from bot.slack.text.mrkdwn import clean, unescape

Json = dict[str, Any]


def wire(message: Message) -> list[Json]:
    """Return the blocks as they are sent."""
    return [block.to_dict() for block in message.blocks]


def faults(message: Message) -> list[str]:
    """Return everything Slack would refuse about a message."""
    blocks = wire(message)
    found = [str(problem) for problem in block_kit.message_problems(blocks)]
    if block_kit.characters(blocks) > MESSAGE_CHARACTERS_MAX:
        found.append(f"msg_blocks_too_long: {block_kit.characters(blocks)}")
    if not message.text.strip() or len(message.text) > UPDATE_TEXT_MAX:
        found.append(f"text of {len(message.text)} characters")
    return found


def pings(message: Message) -> set[str]:
    """Return whom a message notifies."""
    return set(pinged_ids(message.text, wire(message)))


_HIDDEN_HOST = re.compile(r"(?:https?://|www\.)[^\s/?#]*@\S+", re.IGNORECASE)


def disguised_links(message: Message) -> list[str]:
    """Return the addresses of links that do not show their host, as any Markdown reader would find them.

    And bare ones, which Slack makes links, with a name and password before the host.
    """
    parser = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    found: list[str] = []
    for block in wire(message):
        if block["type"] == "markdown":
            for token in parser.parse(block["text"]):
                found += _disguised(token.children or [])
                found += ["image"] * sum(child.type == "image" for child in token.children or [])
                found += _HIDDEN_HOST.findall("".join(_bare_texts(token.children or [])))
                found += ["html"] * (token.type in ("html_block", "html_inline"))
    return found


def _disguised(spans: list[Token]) -> list[str]:
    found: list[str] = []
    for start, span in enumerate(spans):
        if span.type != "link_open":
            continue
        address = str(span.attrs["href"])
        end = next(index for index in range(start, len(spans)) if spans[index].type == "link_close")
        label = "".join(inner.content for inner in spans[start + 1 : end])
        after = spans[end + 1].content if end + 1 < len(spans) else ""
        if not tells_host(label, address, after):
            found.append(f"[{label}]({address}){after[:30]}")
    return found


def _bare_texts(spans: list[Token]) -> Iterator[str]:
    """Return the texts that are neither code nor the labels of links."""
    depth = 0
    for span in spans:
        depth += (span.type == "link_open") - (span.type == "link_close")
        yield span.content if span.type == "text" and not depth else " "


def tells_host(label: str, address: str, after: str) -> bool:
    """Say whether the label of a link begins with its host, or the text after it does so in brackets."""
    host = re.sub(r":\d+$", "", re.split("[/?#]", address.partition("://")[2])[0]) or address.removeprefix("mailto:")
    begins = re.compile(rf"(?:https?://)?{re.escape(host)}(?::\d+)?(?![^/?#])", re.IGNORECASE)
    is_beside = after.lower().startswith(f" ({host})".lower())
    return address.removeprefix("mailto:") == label or bool(begins.match(label)) or is_beside


def texts(message: Message) -> str:
    """Return everything a reader finds on a message, as it is sent."""
    return "\n".join(_texts(wire(message)))


def _texts(value: Any) -> list[str]:
    if isinstance(value, list):
        return [text for item in value for text in _texts(item)]
    if isinstance(value, dict):
        own = [value["text"]] if isinstance(value.get("text"), str) else []
        return own + [text for item in value.values() for text in _texts(item)]
    return []


# --- what a reader sees of Markdown -----------------------------------------------------------------------------------

_PARSER = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"]).disable("reference")


_TASK = re.compile(r"^\[[xX]\](?: |$)")
"""A mark, too: it is shown as a box."""


_BREAK = re.compile(r"<br *(?:/ *)?>", re.IGNORECASE)
"""A mark as well: it is shown as what it is in HTML."""


def read(text: str, *, made_safe: bool = False) -> list[tuple[str, bool]]:
    """Return what a reader of the Markdown sees, in order, and of each text whether it stands in the head of a table.

    `made_safe`: Slack shows the entities in its code as the characters they stand for (slack-platform §6.1).
    """
    found: list[tuple[str, bool]] = []
    for node in SyntaxTreeNode(_PARSER.parse(clean(text))).walk():
        if node.type in ("text", "code_inline", "fence", "code_block"):
            content = node.content if made_safe else _TASK.sub("", node.content)
            content = _BREAK.sub(" ", content) if node.type == "text" and not made_safe else content
            content = unescape(content) if made_safe and node.type != "text" else content
            found.append((content, _in_head(node)))
    return found


def read_whole(text: str, *, made_safe: bool = False) -> str:
    """Return the same as one text."""
    return "".join(part for part, _ in read(text, made_safe=made_safe))


def _in_head(node: SyntaxTreeNode) -> bool:
    while node.parent is not None:
        node = node.parent
        if node.type == "thead":
            return True
    return False


def seen(value: Any) -> str:
    """Return the texts of rich text."""
    if isinstance(value, list):
        return "".join(map(seen, value))
    if isinstance(value, dict):
        return value["text"] if "text" in value else seen(value.get("elements", []))
    return ""


def lost(text: str, shown: str) -> str:
    """Return what of a Markdown text's words is not shown in their order; empty where nothing is.

    Counted is what a reader of the Markdown sees, without space and ASCII punctuation: the marks of Markdown are
    punctuation, and unbalanced ones are read differently by every reader. `shown` may hold more, as hosts and bullets,
    and the names of a table's columns may stand with each row, so that they are looked for each by itself.
    """
    parts = read(text)
    body = words("".join(part for part, in_head in parts if not in_head))
    names = [words(part) for part, in_head in parts if in_head]
    return "".join(missing(part, iter(shown)) for part in (body, *names))


def missing(expected: str, shown: Iterator[str]) -> str:
    """Return the rest of a text from its first sign on that does not follow."""
    return next((expected[at:] for at, sign in enumerate(expected) if sign not in shown), "")


def words(text: str) -> str:
    return "".join(sign for sign in clean(text) if not sign.isspace() and sign not in string.punctuation)
