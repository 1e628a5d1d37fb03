"""Reads rendered messages as Slack and its readers do."""

from __future__ import annotations

import re
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.token import Token

from bot.playground.slack import block_kit
from bot.playground.slack.content import MESSAGE_CHARACTERS_MAX, UPDATE_TEXT_MAX
from bot.playground.slack.text import pinged_ids
from bot.slack.message import Message

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


def disguised_links(message: Message) -> list[str]:
    """Return the addresses of links that do not show their host, as any Markdown reader would find them."""
    parser = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    found: list[str] = []
    for block in wire(message):
        if block["type"] == "markdown":
            for token in parser.parse(block["text"]):
                found += _disguised(token.children or [])
                found += ["image"] * sum(child.type == "image" for child in token.children or [])
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
        host = re.sub(r":\d+$", "", address.partition("://")[2].partition("/")[0]) or address.removeprefix("mailto:")
        if label not in (address, address.removeprefix("mailto:")) and not after.startswith(f" ({host}"):
            found.append(f"[{label}]({address}){after[:30]}")
    return found


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
