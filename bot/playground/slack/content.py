"""Judges what an app wants a message or view to say, and stores it the way Slack echoes it."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from bot.playground.slack import block_kit
from bot.playground.slack.refusals import Refusal
from bot.playground.slack.state import Channel, Content
from bot.playground.slack.text import Json, escape, normalise

if TYPE_CHECKING:
    from bot.playground.slack.workspace import Workspace

POST_TEXT_MAX = 40_000  # slack-platform §2.7: cut above
UPDATE_TEXT_MAX = 4_000  # slack-platform §2.7: refused above
MARKDOWN_TEXT_MAX = 12_000  # slack-platform §6.2
MESSAGE_CHARACTERS_MAX = 13_200  # slack-platform §2.1, payload-wide [believed as to the number]
METADATA_MAX = 8_000  # slack-platform §8.3 names the error without a number; 8,000 characters [believed]
_VIEW_MAX = 250_000  # characters; `view_too_large` of views.open [believed as to the number]

NewId = Callable[[str], str]


def message_content(arguments: Mapping[str, Any], new_id: NewId, *, text_max: int | None = None) -> Content:
    """The content of a new or updated message.

    A text above `text_max` is refused, without `text_max` it is cut at 40,000 characters.
    Raises `Refusal` as Slack does.
    """
    text, blocks = str(arguments.get("text") or ""), parsed(arguments, "blocks", list, "invalid_blocks_format") or []
    if arguments.get("markdown_text"):
        blocks = _from_markdown_text(str(arguments["markdown_text"]), text, blocks)
    if not text.strip() and not blocks:
        raise Refusal("no_text")
    if text_max and len(text) > text_max:
        raise Refusal("msg_too_long")
    refuse_problems("invalid_blocks", block_kit.message_problems(blocks))
    if block_kit.characters(blocks) > MESSAGE_CHARACTERS_MAX:
        raise Refusal("msg_blocks_too_long")
    return Content(
        text=normalise(text[:POST_TEXT_MAX]),
        blocks=stored_blocks(blocks, new_id),
        metadata=checked_metadata(arguments),
        link_names=flag(arguments, "link_names") or arguments.get("parse") == "full",
    )


def checked_content(workspace: Workspace, arguments: Mapping[str, Any], *, text_max: int | None = None) -> Content:
    """The content of a message as above, whose images are files that the app may show. Raises `Refusal`."""
    content = message_content(arguments, workspace.new_id, text_max=text_max)
    refuse_problems("invalid_blocks", list(workspace.files.image_problems(content.blocks, "/blocks")))
    return content


def checked_thread(channel: Channel, thread_ts: Any) -> str | None:
    """The `thread_ts` to post under, None outside threads. Raises `Refusal` when there is no such root message."""
    if not thread_ts:
        return None
    root = channel.message(thread_ts)
    if root is None:
        raise Refusal("thread_not_found")
    if not root.is_root:
        raise Refusal("cannot_reply_to_message")
    return root.ts


def view_content(view: Json, new_id: NewId) -> Json:
    """A view as Slack stores it. Raises `Refusal` (`invalid_arguments`, with one line per problem)."""
    refuse_problems("invalid_arguments", block_kit.view_problems(view))
    if len(json.dumps(view)) > _VIEW_MAX:
        raise Refusal("view_too_large")
    return {**view, "blocks": stored_blocks(view["blocks"], new_id)}


def parsed(arguments: Mapping[str, Any], name: str, kind: type, code: str) -> Any:
    """An argument that is a list or object, sent as such or as JSON text. Raises `Refusal(code)` when it is neither."""
    value = arguments.get(name)
    if value is None or value == "":
        return None
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            raise Refusal(code) from None
    if not isinstance(value, kind):
        raise Refusal(code)
    return value


def flag(arguments: Mapping[str, Any], name: str) -> bool:
    """A boolean argument in any of the spellings clients use."""
    return str(arguments.get(name, "")).lower() in ("true", "1")


def refuse_problems(code: str, problems: list[block_kit.Problem]) -> None:
    """Raise `Refusal(code)` when there are problems."""
    if problems:
        raise Refusal(code, *(str(problem) for problem in problems))


def stored_blocks(blocks: list[Json], new_id: NewId) -> list[Json]:
    """A copy of `blocks` with the ids and defaults Slack fills in, and its texts escaped as Slack echoes them."""
    return [_stored_block(block, new_id) for block in copy.deepcopy(blocks)]


def stored_texts(value: Json) -> Json:
    """A copy of `value` with its texts escaped as Slack echoes them."""
    stored = copy.deepcopy(value)
    _store_texts(stored)
    return stored


def _stored_block(block: Json, new_id: NewId) -> Json:
    if block["type"] == "markdown":
        return {**block, "block_id": new_id("b")}  # slack-platform §2.1: its block_id is not kept
    block.setdefault("block_id", new_id("b"))
    if block["type"] == "input":
        block = {"optional": False, "dispatch_action": False, **block}
    for element in [*block.get("elements", []), block.get("accessory"), block.get("element")]:
        if element and element["type"] in block_kit.INTERACTIVE:
            element.setdefault("action_id", new_id("a"))
    _store_texts(block)
    return block


def _store_texts(value: Any) -> None:
    if isinstance(value, list):
        for item in value:
            _store_texts(item)
    elif isinstance(value, dict):
        if value.get("type") == "plain_text":
            value |= {"text": escape(value["text"]), "emoji": value.get("emoji", True)}
        elif value.get("type") == "mrkdwn":
            value |= {"text": normalise(value["text"]), "verbatim": value.get("verbatim", False)}
        else:
            for item in value.values():
                _store_texts(item)


def _from_markdown_text(markdown: str, text: str, blocks: list[Json]) -> list[Json]:
    if text or blocks:
        raise Refusal("markdown_text_conflict")  # slack-platform §2.7
    if len(markdown) > MARKDOWN_TEXT_MAX:
        raise Refusal("msg_too_long")
    return [{"type": "markdown", "text": markdown}]


def checked_metadata(arguments: Mapping[str, Any]) -> Json | None:
    """The `metadata` argument; `event_type` and `event_payload` are both required (slack-platform §8.3, §12).

    Raises `Refusal`.
    """
    metadata: Json | None = parsed(arguments, "metadata", dict, "invalid_metadata_format")
    if metadata is None:
        return None
    event_type, payload = metadata.get("event_type"), metadata.get("event_payload")
    if not isinstance(event_type, str) or not event_type or not isinstance(payload, dict):
        raise Refusal("invalid_metadata_format")
    if metadata.keys() - {"event_type", "event_payload"}:
        raise Refusal("invalid_metadata_schema")
    if len(json.dumps(metadata)) > METADATA_MAX:
        raise Refusal("metadata_too_large")
    return metadata
