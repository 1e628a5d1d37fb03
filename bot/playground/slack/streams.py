"""Messages that are written while people read along: what may be streamed, in what order it stands, when it ends.

Everything here is slack-platform §3.1 and §3.2; the codes of what is refused come from the pages of the three methods.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from bot.playground.slack import block_kit
from bot.playground.slack.content import (
    MARKDOWN_TEXT_MAX,
    MESSAGE_CHARACTERS_MAX,
    checked_metadata,
    parsed,
    refuse_problems,
    stored_blocks,
)
from bot.playground.slack.refusals import Refusal
from bot.playground.slack.state import Channel, Content, Message, Stream
from bot.playground.slack.text import Json, normalise

if TYPE_CHECKING:
    from bot.playground.slack.workspace import Workspace

STREAM_SECONDS = 300  # after its start, whatever is appended: "about 5 min", 306 s measured [believed]
TASKS_MAX = 10_600  # bytes of all tasks of a message together [believed]
_BLOCKS_MAX = 50  # from chunks; those of chat.stopStream are counted apart
_DISPLAY_MODES = ("timeline", "plan")


def start(workspace: Workspace, channel: Channel, thread_ts: str | None, arguments: Json) -> Message:
    """Begin a streamed message. Raises `Refusal`."""
    _check_recipient(workspace, channel, arguments)
    mode = arguments.get("task_display_mode") or "timeline"
    if mode not in _DISPLAY_MODES:
        raise Refusal("invalid_arguments", "[ERROR] must be timeline or plan [json-pointer:/task_display_mode]")
    stream = Stream(workspace.now() + STREAM_SECONDS, is_plan=mode == "plan")
    content = _extended(workspace, Content(), stream, _chunks(workspace, arguments))
    return workspace.post(channel, content, workspace.bot, thread_ts=thread_ts, stream=stream)


def append(workspace: Workspace, message: Message, arguments: Json) -> None:
    """Add to a streamed message. Raises `Refusal`."""
    stream = _open_stream(workspace, message, "stopped_by_user")
    chunks = _chunks(workspace, arguments)
    if not chunks:
        raise Refusal("no_text")
    workspace.extend(message, _extended(workspace, message.content, stream, chunks))


def stop(workspace: Workspace, message: Message, arguments: Json) -> None:
    """Finish a streamed message; its `blocks` stand at the bottom. Raises `Refusal`."""
    # `stopped_by_user` is about appends only: the page of chat.stopStream does not list it
    stream = _open_stream(workspace, message, "message_not_in_streaming_state")
    content = _extended(workspace, message.content, stream, _chunks(workspace, arguments))
    blocks = parsed(arguments, "blocks", list, "invalid_blocks_format") or []
    _check_blocks(workspace, blocks)
    content = replace(
        content,
        blocks=_unique([*content.blocks, *stored_blocks(blocks, workspace.new_id)]),
        metadata=checked_metadata(arguments),
    )
    stream.state = "completed"
    workspace.extend(message, content)


def is_open(workspace: Workspace, message: Message) -> bool:
    """Whether a message is being streamed right now: neither finished nor stopped nor past its time."""
    return message.stream is not None and message.in_progress and workspace.now() < message.stream.ends_at


def _check_recipient(workspace: Workspace, channel: Channel, arguments: Json) -> None:
    if channel.kind not in workspace.streams_in:
        raise Refusal("channel_type_not_supported")
    user_id, team_id = arguments.get("recipient_user_id"), arguments.get("recipient_team_id")
    if not channel.is_im and not user_id:
        raise Refusal("missing_recipient_user_id")
    if not channel.is_im and not team_id:
        raise Refusal("missing_recipient_team_id")
    if user_id and workspace.person_by_id(user_id) is None:
        raise Refusal("user_not_found")
    if team_id and team_id != workspace.team_id:
        raise Refusal("team_not_found")


def _open_stream(workspace: Workspace, message: Message, after_stop: str) -> Stream:
    if message.stream and message.stream.state == "stopped_by_user":
        raise Refusal(after_stop)
    if message.stream is None or not is_open(workspace, message):
        raise Refusal("message_not_in_streaming_state")
    return message.stream


# --- chunks ----------------------------------------------------------------------------------------------------------


def _chunks(workspace: Workspace, arguments: Json) -> list[Json]:
    """The chunks of a call; a `markdown_text` stands for one. Raises `Refusal`."""
    markdown: str = arguments.get("markdown_text") or ""
    chunks: list[Json] = parsed(arguments, "chunks", list, "invalid_chunks") or []
    if markdown and chunks:
        raise Refusal("invalid_arguments", "[ERROR] markdown_text and chunks exclude each other")  # [believed]
    if markdown:
        chunks = [{"type": "markdown_text", "text": markdown}]
    refuse_problems("invalid_chunks", block_kit.chunk_problems(chunks))
    if sum(len(chunk["text"]) for chunk in chunks if chunk["type"] == "markdown_text") > MARKDOWN_TEXT_MAX:
        raise Refusal("msg_too_long")
    for chunk in chunks:
        if chunk["type"] == "blocks":
            _check_blocks(workspace, chunk["blocks"])
    return chunks


def _check_blocks(workspace: Workspace, blocks: list[Json]) -> None:
    if len(blocks) > _BLOCKS_MAX:
        raise Refusal("msg_blocks_too_many")
    refuse_problems("invalid_blocks", block_kit.message_problems(blocks))
    refuse_problems("invalid_blocks", list(workspace.files.image_problems(blocks, "/blocks")))
    if block_kit.characters(blocks) > MESSAGE_CHARACTERS_MAX:
        raise Refusal("msg_blocks_too_long")


def _extended(workspace: Workspace, content: Content, stream: Stream, chunks: list[Json]) -> Content:
    """What a message says once the chunks are added. Raises `Refusal` when it is too much for one message."""
    blocks = copy.deepcopy(content.blocks)
    for chunk in chunks:
        match chunk["type"]:
            case "markdown_text":
                _add_text(workspace, blocks, chunk["text"])
            case "task_update":
                _update_task(workspace, blocks, stream, chunk)
            case "plan_update":
                _plan(workspace, blocks)["title"] = chunk["title"]
            case "blocks":
                blocks += stored_blocks(chunk["blocks"], workspace.new_id)
    if sum(block["type"] not in ("markdown", "task_card", "plan") for block in blocks) > _BLOCKS_MAX:
        raise Refusal("msg_blocks_too_many")
    if sum(map(_size, _tasks(blocks))) > TASKS_MAX:
        raise Refusal("msg_too_long")
    prose = "\n".join(block["text"] for block in blocks if block["type"] == "markdown")
    return replace(content, text=normalise(prose), blocks=_unique(blocks))


def _unique(blocks: list[Json]) -> list[Json]:
    """The blocks themselves. Raises `Refusal` when two have the same `block_id`."""
    refuse_problems("invalid_blocks", list(block_kit.unique_block_ids(blocks, "/blocks")))
    return blocks


def _add_text(workspace: Workspace, blocks: list[Json], text: str) -> None:
    if blocks and blocks[-1]["type"] == "markdown":
        blocks[-1]["text"] += text
    else:
        blocks.append({"type": "markdown", "block_id": workspace.new_id("b"), "text": text})


def _update_task(workspace: Workspace, blocks: list[Json], stream: Stream, chunk: Json) -> None:
    """The same id updates: title, status, output and sources replace, details append [believed]."""
    task = next((task for task in _tasks(blocks) if task["task_id"] == chunk["id"]), None)
    if task is None:
        task = {"type": "task_card", "block_id": workspace.new_id("b"), "task_id": chunk["id"]}
        (_plan(workspace, blocks)["tasks"] if stream.is_plan else blocks).append(task)
    task |= {key: chunk[key] for key in ("title", "status", "sources") if key in chunk}
    if "output" in chunk:
        task["output"] = _rich_text(chunk["output"])
    if "details" in chunk:
        task["details"] = _rich_text(_text_of(task.get("details")) + chunk["details"])


def _plan(workspace: Workspace, blocks: list[Json]) -> Json:
    """The message's only plan, begun where there is none yet."""
    plan = next((block for block in blocks if block["type"] == "plan"), None)
    if plan is None:
        plan = {"type": "plan", "block_id": workspace.new_id("b"), "title": "", "tasks": []}
        blocks.append(plan)
    return plan


def _tasks(blocks: list[Json]) -> Iterator[Json]:
    for block in blocks:
        if block["type"] == "task_card":
            yield block
        elif block["type"] == "plan":
            yield from block.get("tasks", [])


def _size(task: Json) -> int:
    """Bytes of a task's texts."""
    texts = (task["title"], _text_of(task.get("details")), _text_of(task.get("output")))
    return sum(len(text.encode()) for text in texts)


def _rich_text(text: str) -> Json:
    return {
        "type": "rich_text",
        "elements": [{"type": "rich_text_section", "elements": [{"type": "text", "text": text}]}],
    }


def _text_of(rich_text: Json | None) -> str:
    return rich_text["elements"][0]["elements"][0]["text"] if rich_text else ""
