"""Files that a run gave out, shared in its thread: in one message, once, whatever gets lost on the way."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from slack_sdk.web.async_client import AsyncWebClient

from bot.core import effects as do
from bot.core.model import FormStatus, OutFile, OutFileStatus, Run, RunStatus
from bot.core.ports import FileContent, WindowFill
from bot.errors import ChannelUnreachable, ImagesRefused, SlackRejected, SlackUnavailable
from bot.playground.slack import Message, SlackServer, Workspace
from bot.playground.slack.faults import LostResponse, Refuse, ServerError
from bot.playground.slack.rate_limits import RateLimits
from bot.slack.gateway import SlackGateway
from tests.factories import make_form, make_run

PNG = b"\x89PNG\r\n\x1a\nnot much of a picture"
COMPLETE = "files.completeUploadExternal"


@pytest.fixture
async def workspace() -> AsyncIterator[Workspace]:
    """A workspace on the network."""
    workspace = Workspace(people=["ann"], channels={"content": ["ann", "bot"]}, rate_limits=RateLimits.off())
    async with SlackServer(workspace):
        yield workspace


@pytest.fixture
async def gateway(workspace: Workspace) -> AsyncIterator[SlackGateway]:
    """A gateway into it."""
    client = AsyncWebClient(token=workspace.bot_token, base_url=f"{workspace.url}/api/")
    async with SlackGateway(client, 10_000.0) as gateway:
        yield gateway


async def uploaded(gateway: SlackGateway, name: str, content: bytes = PNG, **changes: Any) -> OutFile:
    """Return a file of the end of a run whose bytes Slack has."""

    async def chunks() -> AsyncIterator[bytes]:
        yield content

    file_id = await gateway.upload(name, FileContent(chunks(), len(content)))
    file = OutFile(f"/files/{name}", name, "secret", status=OutFileStatus.FETCHED, slack_file_id=file_id)
    return replace(file, **changes)


async def inline(gateway: SlackGateway, name: str, content: bytes = PNG) -> OutFile:
    """Return an image that is to stand in the text of a form."""
    file = await uploaded(gateway, name, content, form_id="form-1", is_image=True, inline=True)
    assert file.slack_file_id is not None
    await gateway.keep(file.slack_file_id, name)
    return file


async def ended(gateway: SlackGateway, workspace: Workspace, *files: OutFile, **changes: Any) -> Run:
    """Return a run with its root message, which has given out these files."""
    ann = workspace.person("ann").id
    run = make_run(channel_id=workspace.channel("content").id, starter_id=ann, created_at=datetime.now(UTC))
    ts = await gateway.carry_out(do.PostRoot(), run, "root", again=False)
    return replace(run, thread_ts=ts, root_ts=ts, status=RunStatus.SUCCEEDED, out_files=files, **changes)


def asked(name: str) -> Any:
    """Return a form whose text holds an image."""
    address = f"https://dify.example/files/{name}?timestamp=1&nonce=2&sign=3"
    return make_form(content=f"Look:\n\n![{name}]({address})", message_ts=None, status=FormStatus.REQUIRED)


def thread(workspace: Workspace, run: Run) -> list[Message]:
    """What stands below the root message."""
    return workspace.channel("content").replies(str(run.thread_ts))


def names(message: Message) -> list[str]:
    """The files that a message shares."""
    return [file["name"] for file in message.content.files]


async def test_all_files_stand_in_one_message_in_their_order(workspace: Workspace, gateway: SlackGateway) -> None:
    """With what they belong to, escaped."""
    files = [await uploaded(gateway, name) for name in ("a.png", "b.pdf", "c.txt")]
    run = replace(await ended(gateway, workspace, *files), app="<!here> & co")
    assert await gateway.carry_out(do.ShareFiles(None), run, "share", again=False) is None
    (message,) = thread(workspace, run)
    assert names(message) == ["a.png", "b.pdf", "c.txt"]
    assert message.shown == "📎 Files of *<!here> & co*"
    assert not message.pings


async def test_what_is_missing_is_told_with_its_name(workspace: Workspace, gateway: SlackGateway) -> None:
    """Also where nothing is left to share."""
    gone = OutFile(
        "/k", "plan <b>.pdf", "s", status=OutFileStatus.MISSED, reason="its address has expired. Look there."
    )
    run = await ended(gateway, workspace, await uploaded(gateway, "a.png"), gone)
    await gateway.carry_out(do.ShareFiles(None), run, "share", again=False)
    shared, told = thread(workspace, run)
    assert names(shared) == ["a.png"]
    assert told.shown == "⚠️ Not all files could be brought here:\n• plan <b>.pdf: its address has expired. Look there."
    alone = replace(run, out_files=(gone,))
    await gateway.carry_out(do.ShareFiles(None), alone, "share-2", again=False)
    assert [names(message) for message in thread(workspace, run)] == [["a.png"], [], []]


async def test_nothing_is_said_where_there_is_nothing_to_share(workspace: Workspace, gateway: SlackGateway) -> None:
    """What stands in the text of its form is there already."""
    run = await ended(gateway, workspace, await inline(gateway, "a.png"))
    await gateway.carry_out(do.ShareFiles("form-1"), run, "share", again=False)
    assert thread(workspace, run) == []


@pytest.mark.parametrize("lag", [0.0, 60.0], ids=["files.info tells", "only the thread tells"])
async def test_what_was_shared_and_not_heard_of_is_not_shared_again(
    workspace: Workspace, gateway: SlackGateway, lag: float
) -> None:
    """Slack says late where a file is shared (slack-platform §5.1)."""
    workspace.files.shares_lag_seconds = lag
    run = await ended(gateway, workspace, await uploaded(gateway, "a.png"), await uploaded(gateway, "b.pdf"))
    workspace.faults.add(COMPLETE, LostResponse())
    with pytest.raises(SlackUnavailable):
        await gateway.carry_out(do.ShareFiles(None), run, "share", again=False)
    await gateway.carry_out(do.ShareFiles(None), run, "share", again=True)
    assert [names(message) for message in thread(workspace, run)] == [["a.png", "b.pdf"]]
    assert [call.method for call in workspace.calls].count(COMPLETE) == 1


async def test_what_slack_is_still_sharing_is_not_shared_again(workspace: Workspace, gateway: SlackGateway) -> None:
    """It refuses to complete an upload twice, and the message follows."""
    file = await uploaded(gateway, "a.png")
    run = await ended(gateway, workspace, file)
    workspace.faults.add(COMPLETE, Refuse("file_not_found"))
    await gateway.carry_out(do.ShareFiles(None), run, "share", again=True)


async def test_what_was_surely_not_shared_is_shared_then(workspace: Workspace, gateway: SlackGateway) -> None:
    """An interrupted try may have ended before the call."""
    run = await ended(gateway, workspace, await uploaded(gateway, "a.png"))
    workspace.faults.add(COMPLETE, ServerError())
    with pytest.raises(SlackUnavailable):
        await gateway.carry_out(do.ShareFiles(None), run, "share", again=False)
    await gateway.carry_out(do.ShareFiles(None), run, "share", again=True)
    assert [names(message) for message in thread(workspace, run)] == [["a.png"]]


async def test_a_file_that_is_shared_elsewhere_is_not_taken_for_shared_here(
    workspace: Workspace, gateway: SlackGateway
) -> None:
    """The thread of another run has files of its own."""
    other = await ended(gateway, workspace, await uploaded(gateway, "a.png"))
    await gateway.carry_out(do.ShareFiles(None), other, "share", again=False)
    run = await ended(gateway, workspace, await uploaded(gateway, "a.png"))
    await gateway.carry_out(do.ShareFiles(None), run, "share-2", again=True)
    assert [names(message) for message in thread(workspace, run)] == [["a.png"]]


async def test_the_note_of_what_is_missing_stands_there_once(workspace: Workspace, gateway: SlackGateway) -> None:
    """Both parts of what is said are found again."""
    gone = OutFile("/k", "plan.pdf", "s", status=OutFileStatus.MISSED, reason="it is gone.")
    run = await ended(gateway, workspace, await uploaded(gateway, "a.png"), gone)
    workspace.faults.add("chat.postMessage", LostResponse())
    with pytest.raises(SlackUnavailable):
        await gateway.carry_out(do.ShareFiles(None), run, "share", again=False)
    await gateway.carry_out(do.ShareFiles(None), run, "share", again=True)
    assert [names(message) for message in thread(workspace, run)] == [["a.png"], []]


@pytest.mark.parametrize(
    ("code", "error"),
    [("missing_scope", SlackRejected), ("not_in_channel", ChannelUnreachable), ("file_not_found", SlackRejected)],
)
async def test_refusals_are_named(
    workspace: Workspace, gateway: SlackGateway, code: str, error: type[SlackRejected]
) -> None:
    """A missing scope must not hold up what follows in the thread, so it is no matter of waiting."""
    run = await ended(gateway, workspace, await uploaded(gateway, "a.png"))
    workspace.faults.add(COMPLETE, Refuse(code))
    with pytest.raises(error) as refused:
        await gateway.carry_out(do.ShareFiles(None), run, "share", again=False)
    assert type(refused.value) is error


# --- in the text of a form -------------------------------------------------------------------------------------------


async def test_a_form_shows_its_image(workspace: Workspace, gateway: SlackGateway) -> None:
    """Which nobody can see anywhere else."""
    form = asked("a.png")
    run = await ended(gateway, workspace, await inline(gateway, "a.png"), forms=(form,))
    await gateway.carry_out(do.PostForm("form-1"), replace(run, status=RunStatus.PAUSED), "form", again=False)
    (message,) = thread(workspace, run)
    assert [block["type"] for block in message.blocks][:3] == ["section", "markdown", "image"]
    assert [file.shares for file in workspace.files.by_id.values()] == [[]]


async def test_a_form_waits_a_moment_until_slack_has_processed_its_image(
    workspace: Workspace, gateway: SlackGateway
) -> None:
    """Until then Slack refuses the message."""
    workspace.files.processing_seconds = 1.0
    form = asked("a.png")
    run = await ended(gateway, workspace, await inline(gateway, "a.png"), forms=(form,))
    await gateway.carry_out(do.PostForm("form-1"), replace(run, status=RunStatus.PAUSED), "form", again=False)
    (message,) = thread(workspace, run)
    assert "image" in [block["type"] for block in message.blocks]
    assert message.buttons == ["Approve", "Regenerate with feedback", "Open in window"]


async def test_an_image_that_slack_does_not_show_is_told_and_the_form_can_be_posted_without(
    workspace: Workspace, gateway: SlackGateway
) -> None:
    """Nothing of it is posted before; the plain text that else takes the place of blocks would have no fields."""
    workspace.files.processing_seconds = 600.0
    form = asked("a.png")
    file = await inline(gateway, "a.png")
    run = replace(await ended(gateway, workspace, file, forms=(form,)), status=RunStatus.PAUSED)
    with pytest.raises(ImagesRefused) as refused:
        await gateway.carry_out(do.PostForm("form-1"), run, "form", again=False)
    assert not refused.value.sent
    assert thread(workspace, run) == []
    without = replace(run, out_files=(replace(file, inline=False),))
    await gateway.carry_out(do.PostForm("form-1"), without, "form", again=False)
    (message,) = thread(workspace, run)
    assert "📎 a.png" in message.shown
    assert message.buttons == ["Approve", "Regenerate with feedback", "Open in window"]


async def test_a_window_opens_without_an_image_that_slack_does_not_show(
    workspace: Workspace, gateway: SlackGateway
) -> None:
    """The trigger lives for three seconds: there is no time to wait."""
    workspace.files.processing_seconds = 600.0
    form = asked("a.png")
    run = await ended(gateway, workspace, await inline(gateway, "a.png"), forms=(form,))
    ann = workspace.person("ann")
    trigger = workspace.tickets.new_trigger(ann.id)
    await gateway.open_window(trigger, run, form, WindowFill())
    assert "image" not in [block["type"] for block in ann.views[-1].content["blocks"]]
    workspace.files.processing_seconds = 0.0
    await gateway.open_window(
        workspace.tickets.new_trigger(ann.id),
        replace(run, out_files=(await inline(gateway, "a.png"),)),
        form,
        WindowFill(),
    )
    assert "image" in [block["type"] for block in ann.views[-1].content["blocks"]]
