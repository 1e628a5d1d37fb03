"""Messages that are written while people read along: chat.startStream, .appendStream, .stopStream."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from bot.playground.slack import Message, RateLimits, Workspace
from bot.playground.slack.content import message_content
from bot.playground.slack.streams import STREAM_SECONDS, TASKS_MAX
from bot.playground.slack.transcript import transcript
from tests.playground.slack.conftest import Clock, Serve

Json = dict[str, Any]

READER = {"recipient_user_id": "U0ANN", "recipient_team_id": "T0DEMO"}
DIVIDER: Json = {"type": "divider"}


def text(markdown: str) -> Json:
    return {"type": "markdown_text", "text": markdown}


def task(number: int, title: str, status: str = "in_progress", **more: str) -> Json:
    return {"type": "task_update", "id": str(number), "title": title, "status": status, **more}


@dataclass
class Stage:
    """A workspace with a root message of the bot in #content, and the bot's client."""

    workspace: Workspace
    client: AsyncWebClient
    clock: Clock
    root_ts: str

    async def start(self, **arguments: Any) -> Message:
        """Begin a streamed message in the thread."""
        where = {"channel": "C0CONTENT", "thread_ts": self.root_ts}
        answer = await self.client.api_call("chat.startStream", json=where | READER | arguments)
        message = self.workspace.channel("content").message(answer["ts"])
        assert message is not None
        return message

    async def call(self, method: str, message: Message, **arguments: Any) -> Any:
        """Call one of the other methods about a message."""
        return await self.client.api_call(method, json={"channel": message.channel.id, "ts": message.ts} | arguments)

    async def append(self, message: Message, *chunks: Json) -> None:
        """Add chunks."""
        await self.call("chat.appendStream", message, chunks=list(chunks))


@pytest.fixture
def stage(serve: Serve, client_of: Callable[..., Any]) -> Callable[..., Any]:
    """Serve a workspace with these changes to the defaults."""

    async def build(**changes: Any) -> Stage:
        clock = Clock()
        workspace, server = await serve(now=clock, **changes)
        root = workspace.post(workspace.channel("content"), message_content({"text": "Run"}, str), workspace.bot)
        return Stage(workspace, await client_of(server), clock, root.ts)

    return build


async def refused_with(call: Any) -> str:
    """The error code that awaiting `call` meets."""
    with pytest.raises(SlackApiError) as caught:
        await call
    return str(caught.value.response["error"])


# --- what readers see ------------------------------------------------------------------------------------------------


async def test_text_grows_under_the_readers_eyes(stage: Callable[..., Any]) -> None:
    """slack-platform §3.1: the sum of all calls, in its thread, first as something that is being written."""
    it = await stage()
    message = await it.start(markdown_text="The **panda")
    before = transcript(it.workspace, "content", "ann")
    await it.call("chat.appendStream", message, markdown_text="** eats ")
    await it.append(message, text("bamboo"), text("."))
    assert (message.shown, message.in_progress, message.thread_ts) == ("The **panda** eats bamboo.", True, it.root_ts)
    stopped = await it.call("chat.stopStream", message, markdown_text=" Daily.")
    assert (message.shown, message.in_progress) == ("The **panda** eats bamboo. Daily.", False)
    assert stopped["message"]["text"] == "The **panda** eats bamboo. Daily."
    after = transcript(it.workspace, "content", "ann")
    assert "writing…" in before
    assert "writing…" not in after
    assert "The panda eats bamboo. Daily." in after
    assert it.workspace.find(text="bamboo. daily") is message


async def test_the_sdks_helper_streams(stage: Callable[..., Any]) -> None:
    """slack-platform §3.3: chunks of a buffer; the first flush starts, `stop` brings the rest with blocks."""
    it = await stage()
    helper = await it.client.chat_stream(channel="C0CONTENT", thread_ts=it.root_ts, buffer_size=4, **READER)
    await helper.append(markdown_text="One ")
    await helper.append(markdown_text="two")
    await helper.stop(blocks=[DIVIDER])
    message = it.workspace.find(text="One two")
    assert message is not None
    assert (message.ts, [block["type"] for block in message.blocks]) == (helper.ts, ["markdown", "divider"])


async def test_blocks_and_metadata_come_with_the_end(stage: Callable[..., Any]) -> None:
    """slack-platform §3.1, §8.3: blocks at the bottom, their buttons work; metadata only at the end."""
    it = await stage()
    message = await it.start(markdown_text="Done")
    metadata = {"event_type": "post", "event_payload": {"id": "7"}}
    button = {"type": "button", "action_id": "again", "text": {"type": "plain_text", "text": "Again"}}
    blocks = [DIVIDER, {"type": "actions", "elements": [button]}]
    await it.call("chat.stopStream", message, blocks=blocks, metadata=metadata, chunks=[text("!")])
    assert [block["type"] for block in message.blocks] == ["markdown", "divider", "actions"]
    assert all(block["block_id"] for block in message.blocks)
    assert (message.shown.split("\n")[0], message.buttons, message.metadata) == ("Done!", ["Again"], metadata)


async def test_a_thread_gives_the_text_back(stage: Callable[..., Any]) -> None:
    """A restarted app finds what it had written, and whether it still looks unfinished."""
    it = await stage()
    message = await it.start(markdown_text="One & ")
    await it.call("chat.appendStream", message, markdown_text="two")
    replies = await it.client.conversations_replies(channel="C0CONTENT", ts=it.root_ts)
    found = replies["messages"][1]
    assert (found["ts"], found["text"], found["streaming_state"]) == (message.ts, "One &amp; two", "in_progress")
    await it.call("chat.stopStream", message)
    replies = await it.client.conversations_replies(channel="C0CONTENT", ts=it.root_ts)
    assert replies["messages"][1]["streaming_state"] == "completed"
    assert "streaming_state" not in replies["messages"][0]


async def test_tasks_stand_in_their_place_and_are_updated(stage: Callable[..., Any]) -> None:
    """slack-platform §3.1: the same id updates; title and status replace, details append."""
    it = await stage()
    message = await it.start(chunks=[text("First"), task(1, "Search", details="Looking"), text("then")])
    await it.append(message, task(2, "Write", "pending"), task(1, "Searched", "complete", details=" up", output="12"))
    assert [block["type"] for block in message.blocks] == ["markdown", "task_card", "markdown", "task_card"]
    assert message.shown == "First\nSearched\nLooking up\n12\nthen\nWrite"
    assert message.text == "First\nthen"
    assert "✓ Searched" in transcript(it.workspace, "content", "ann")


async def test_a_plan_holds_the_tasks_together(stage: Callable[..., Any]) -> None:
    """slack-platform §3.1: `task_display_mode`, `plan_update`."""
    it = await stage()
    message = await it.start(task_display_mode="plan", chunks=[task(1, "Search"), text("Found."), task(2, "Write")])
    await it.append(message, {"type": "plan_update", "title": "The plan"}, task(2, "Written", "complete"))
    assert message.shown == "The plan\nSearch\nWritten\nFound."
    plan = message.blocks[0]
    assert [block["type"] for block in message.blocks] == ["plan", "markdown"]
    assert (plan["title"], [found["title"] for found in plan["tasks"]]) == ("The plan", ["Search", "Written"])
    assert "The plan\n◐ Search\n✓ Written" in transcript(it.workspace, "content").replace("│", "").replace("    ", "")


async def test_blocks_can_stand_between_the_texts(stage: Callable[..., Any]) -> None:
    """slack-platform §3.1: `blocks` chunks [believed]."""
    it = await stage()
    message = await it.start(chunks=[text("a"), {"type": "blocks", "blocks": [DIVIDER]}, text("b")])
    assert [block["type"] for block in message.blocks] == ["markdown", "divider", "markdown"]


async def test_streamed_text_can_ping(stage: Callable[..., Any]) -> None:
    """slack-platform §3.2: the same exposure as a markdown block, also when the parts came one by one."""
    it = await stage()
    message = await it.start(markdown_text="Hello <!chan")
    assert message.pings == frozenset()
    await it.call("chat.appendStream", message, markdown_text="nel> and &lt;!here&gt;")
    assert message.pings == {"@channel"}
    tasked = await it.start(chunks=[task(1, "Ask <@U0BEN>")])
    assert tasked.pings == {"@ben"}


# --- how a stream ends -----------------------------------------------------------------------------------------------


async def test_a_stream_ends_five_minutes_after_its_start(stage: Callable[..., Any]) -> None:
    """slack-platform §3.2: whatever is appended; the message looks unfinished until chat.update repairs it."""
    it = await stage()
    message = await it.start(markdown_text="One")
    it.clock.advance(STREAM_SECONDS - 1)
    await it.call("chat.appendStream", message, markdown_text=", two")
    it.clock.advance(1)
    for method in ("chat.appendStream", "chat.stopStream"):
        assert await refused_with(it.call(method, message, markdown_text=", 3")) == "message_not_in_streaming_state"
    assert (message.shown, message.in_progress) == ("One, two", True)
    await it.call("chat.update", message, text="One, two, three")
    assert (message.shown, message.in_progress) == ("One, two, three", False)
    assert await refused_with(it.call("chat.appendStream", message, markdown_text="x")) == (
        "message_not_in_streaming_state"
    )


async def test_a_message_is_not_updated_while_it_streams(stage: Callable[..., Any]) -> None:
    """slack-platform §3.2."""
    it = await stage()
    message = await it.start(markdown_text="One")
    assert await refused_with(it.call("chat.update", message, text="Two")) == "streaming_state_conflict"
    await it.call("chat.stopStream", message)
    await it.call("chat.update", message, text="Two")
    assert message.shown == "Two"


async def test_a_person_can_stop_a_stream(stage: Callable[..., Any]) -> None:
    """slack-platform §3.2: the app learns of it when it appends; the text stays and can be updated."""
    it = await stage()
    ann = it.workspace.person("ann")
    message = await it.start(markdown_text="One")
    ann.stop_stream(message)
    assert not message.in_progress
    assert await refused_with(it.call("chat.appendStream", message, markdown_text="x")) == "stopped_by_user"
    assert await refused_with(it.call("chat.stopStream", message)) == "message_not_in_streaming_state"
    assert message.shown == "One"
    with pytest.raises(LookupError, match="not being written"):
        ann.stop_stream(message)
    await it.call("chat.update", message, text="One (stopped)")
    assert message.shown == "One (stopped)"


async def test_what_is_no_stream_takes_nothing(stage: Callable[..., Any]) -> None:
    """slack-platform §3.2: finished streams, plain messages, those of others, and none at all."""
    it = await stage()
    finished = await it.start(markdown_text="One")
    await it.call("chat.stopStream", finished)
    root = it.workspace.channel("content").message(it.root_ts)
    by_ann = await it.workspace.person("ann").post("content", "hello")
    gone = await it.start(markdown_text="x")
    await it.call("chat.delete", gone)
    for message, code in [
        (finished, "message_not_in_streaming_state"),
        (root, "message_not_in_streaming_state"),
        (by_ann, "message_not_owned_by_app"),
        (gone, "message_not_found"),
    ]:
        for method in ("chat.appendStream", "chat.stopStream"):
            assert await refused_with(it.call(method, message, markdown_text="x")) == code


# --- what is refused -------------------------------------------------------------------------------------------------

REFUSED_STARTS: dict[str, tuple[Json, str]] = {
    "no reader": ({"recipient_user_id": None}, "missing_recipient_user_id"),
    "no team": ({"recipient_team_id": None}, "missing_recipient_team_id"),
    "unknown reader": ({"recipient_user_id": "U0NOBODY"}, "user_not_found"),
    "unknown team": ({"recipient_team_id": "T0OTHER"}, "team_not_found"),
    "no thread": ({"thread_ts": None}, "invalid_arguments"),
    "unknown thread": ({"thread_ts": "1.000000"}, "thread_not_found"),
    "unknown channel": ({"channel": "C0NONE"}, "channel_not_found"),
    "channel without the bot": ({"channel": "C0RANDOM"}, "not_in_channel"),
    "unknown display": ({"task_display_mode": "cloud"}, "invalid_arguments"),
    "own icon without the scope": ({"icon_emoji": ":bear:"}, "missing_scope"),
}


@pytest.mark.parametrize(("arguments", "code"), REFUSED_STARTS.values(), ids=REFUSED_STARTS.keys())
async def test_a_stream_is_not_started(stage: Callable[..., Any], arguments: Json, code: str) -> None:
    """slack-platform §3.1, §3.2; nothing is posted."""
    it = await stage()
    assert await refused_with(it.start(**arguments)) == code
    assert len(it.workspace.channel("content").messages) == 1


REFUSED_CHUNKS: dict[str, tuple[Json, str]] = {
    "nothing": ({}, "no_text"),
    "markdown_text and chunks": ({"markdown_text": "x", "chunks": [text("x")]}, "invalid_arguments"),
    "12,001 characters": ({"markdown_text": "x" * 12_001}, "msg_too_long"),
    "12,001 characters in chunks": ({"chunks": [text("x" * 12_000), text("x")]}, "msg_too_long"),
    "no list": ({"chunks": "{}"}, "invalid_chunks"),
    "unknown type": ({"chunks": [{"type": "image"}]}, "invalid_chunks"),
    "no text": ({"chunks": [{"type": "markdown_text"}]}, "invalid_chunks"),
    "unknown status": ({"chunks": [task(1, "x", "done")]}, "invalid_chunks"),
    "long title": ({"chunks": [task(1, "x" * 257)]}, "invalid_chunks"),
    "long details": ({"chunks": [task(1, "x", details="x" * 257)]}, "invalid_chunks"),
    "long plan": ({"chunks": [{"type": "plan_update", "title": "x" * 257}]}, "invalid_chunks"),
    "illegal block": ({"chunks": [{"type": "blocks", "blocks": [{"type": "header"}]}]}, "invalid_blocks"),
    "same block_id": ({"chunks": [{"type": "blocks", "blocks": [DIVIDER | {"block_id": "b"}]}] * 2}, "invalid_blocks"),
    "51 blocks": ({"chunks": [{"type": "blocks", "blocks": [DIVIDER] * 51}]}, "msg_blocks_too_many"),
}


@pytest.mark.parametrize(("arguments", "code"), REFUSED_CHUNKS.values(), ids=REFUSED_CHUNKS.keys())
async def test_an_append_is_refused(stage: Callable[..., Any], arguments: Json, code: str) -> None:
    """slack-platform §3.1: the message stays as it was, and goes on."""
    it = await stage()
    message = await it.start(markdown_text="One")
    assert await refused_with(it.call("chat.appendStream", message, **arguments)) == code
    await it.call("chat.appendStream", message, markdown_text="x" * 12_000)
    assert message.shown == "One" + "x" * 12_000


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({"blocks": [{"type": "header"}]}, "invalid_blocks"),
        ({"blocks": [DIVIDER] * 51}, "msg_blocks_too_many"),
        ({"metadata": {"event_type": "post"}}, "invalid_metadata_format"),
        ({"markdown_text": "x" * 12_001}, "msg_too_long"),
    ],
)
async def test_a_refused_stop_leaves_the_stream_open(stage: Callable[..., Any], arguments: Json, code: str) -> None:
    """slack-platform §3.1."""
    it = await stage()
    message = await it.start(markdown_text="One")
    assert await refused_with(it.call("chat.stopStream", message, **arguments)) == code
    assert (message.shown, message.in_progress) == ("One", True)
    await it.call("chat.stopStream", message, blocks=[DIVIDER] * 50)
    assert len(message.blocks) == 51


async def test_the_tasks_of_a_message_are_limited_in_sum(stage: Callable[..., Any]) -> None:
    """slack-platform §3.1: `msg_too_long` from about 10.6 KB of UTF-8 on [believed]."""
    it = await stage()
    message = await it.start(chunks=[task(1, "é" * 100)])
    fitting = (TASKS_MAX - 200) // 512
    for number in range(fitting):
        await it.append(message, task(2 + number, "x" * 256, details="x" * 256))
    assert await refused_with(it.append(message, task(99, "x" * 256, details="x" * 256))) == "msg_too_long"
    assert len(message.blocks) == 1 + fitting


async def test_streams_can_be_unavailable(stage: Callable[..., Any]) -> None:
    """slack-platform §3.2: `channel_type_not_supported`; here outside direct messages."""
    it = await stage(streams_in=["im"])
    assert await refused_with(it.start(markdown_text="x")) == "channel_type_not_supported"
    hello = await it.workspace.person("ann").post("@ann", "hello")
    await it.client.chat_startStream(channel="D0ANN", thread_ts=hello.ts, markdown_text="Hi")
    assert it.workspace.find(channel="@ann", text="Hi")


async def test_streaming_needs_chat_write(stage: Callable[..., Any]) -> None:
    """slack-platform §3.1: scope."""
    it = await stage(scopes=["commands"])
    assert await refused_with(it.start(markdown_text="x")) == "missing_scope"


async def test_starts_are_limited_per_minute(stage: Callable[..., Any]) -> None:
    """slack-platform §8.1: chat.startStream is Tier 2."""
    it = await stage(rate_limits=RateLimits.real())
    for _ in range(20):
        await it.start()
    assert await refused_with(it.start()) == "ratelimited"
