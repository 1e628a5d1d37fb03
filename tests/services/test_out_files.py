"""Files that runs give out: fetched while their addresses are valid, and shown once."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, MutableMapping
from pathlib import Path
from typing import Any

import pytest

from bot.core.model import OutFileStatus, Run, RunStatus
from bot.playground.dify import App
from bot.playground.dify.apps import all_apps
from bot.playground.dify.graph import Answer, End, HumanInput, Made, Template, Tool, action
from bot.playground.slack import Message
from bot.playground.slack.faults import LostResponse, Refuse, ServerError
from tests.services.stage import Stage, open_stage

PNG = b"\x89PNG\r\n\x1a\nnot much of a picture"
COMPLETE = "files.completeUploadExternal"


def drawing(name: str, made: Made, content: str = "{{#draw.files#}}") -> App:
    """Return an app that makes a file and asks about it."""
    return App(
        name=name,
        nodes=(
            Tool("draw", "Draw", [made]),
            HumanInput("ask", "Look", content=content, actions=(action("ok", "OK", "primary"),)),
            End("end", "End", {"done": ("ask", "__action_value")}),
        ),
        edges=("start -> draw -> ask", "ask.ok -> end"),
    )


def told_before() -> App:
    """Return a chatflow that shows a picture and then asks about it."""
    return App(
        name="told_before",
        mode="advanced-chat",
        nodes=(
            Tool("draw", "Draw", [Made("chart.png", PNG)]),
            Answer("told", "Tell", "This is it: {{#draw.files#}}"),
            HumanInput("ask", "Look", content="Is it fine?", actions=(action("ok", "OK", "primary"),)),
            Answer("thanks", "Thank", "Thank you."),
        ),
        edges=("start -> draw -> told -> ask", "ask.ok -> thanks"),
    )


def told_twice() -> App:
    """Return a chatflow that shows a picture before it asks, and a letter after it."""
    return App(
        name="told_twice",
        mode="advanced-chat",
        nodes=(
            Tool("draw", "Draw", [Made("chart.png", PNG)]),
            Answer("told", "Tell", "This is it: {{#draw.files#}}"),
            HumanInput("ask", "Go on", content="Shall we?", actions=(action("ok", "OK", "primary"),)),
            Tool("write", "Write", [Made("letter.pdf", b"%PDF-1.4")]),
            Answer("thanks", "Thank", "And a letter: {{#write.files#}}"),
        ),
        edges=("start -> draw -> told -> ask", "ask.ok -> write -> thanks"),
    )


def linking() -> App:
    """Return a chatflow whose text ends with a link before it asks."""
    return App(
        name="linking",
        mode="advanced-chat",
        nodes=(
            Answer("told", "Tell", "More at https://example.com"),
            HumanInput("ask", "Look", content="Is it fine?", actions=(action("ok", "OK", "primary"),)),
            Answer("thanks", "Thank", "Thank you."),
        ),
        edges=("start -> told -> ask", "ask.ok -> thanks"),
    )


def making(name: str, made: Made) -> App:
    """Return an app that makes a file and ends with it."""
    return App(
        name=name,
        nodes=(
            Tool("draw", "Draw", [made]),
            Template("text", "Tell", "Here."),
            End("end", "End", {"text": ("text", "output"), "files": ("draw", "files")}),
        ),
        edges=("start -> draw -> text -> end",),
    )


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    """Both platforms and the bot, which does not work yet; with apps that make other files than the sample apps."""
    apps = [
        *all_apps(),
        drawing("vector", Made("chart.svg", b"<svg/>")),
        drawing("unnamed", Made("chart", PNG, "image/png")),
        told_before(),
        told_twice(),
        linking(),
        making("empty", Made("nothing.txt", b"")),
    ]
    async with open_stage(tmp_path, apps) as stage:
        yield stage


def files_of(message: Message) -> list[str]:
    """The names of the files that a message shares."""
    return [file["name"] for file in message.content.files]


def shared(bot: Stage, run: Run) -> list[list[str]]:
    """The names of the files in a thread, by message."""
    return [names for message in bot.thread(run) if (names := files_of(message))]


def images(message: Message) -> int:
    """How many images stand in a message."""
    return [block["type"] for block in message.blocks].count("image")


async def done(bot: Stage, run_id: str, status: OutFileStatus = OutFileStatus.SHARED) -> Run:
    """Wait until the run has ended and all of its files stand like this."""
    return await bot.run_when(
        run_id, lambda run: run.status.ended and {file.status for file in run.out_files} == {status} and run.out_files
    )


async def tried(bot: Stage, times: int, seconds: float) -> None:
    """Let what is put back be tried again and again."""
    for _ in range(times):
        await bot.settled()
        await bot.later(seconds=seconds)


def slack_saw(bot: Stage) -> str:
    """Everything that was sent to Slack but for the bytes of files."""
    return json.dumps([call.arguments for call in bot.workspace.calls])


async def test_a_result_is_followed_by_all_of_its_files(bot: Stage) -> None:
    """Those that lie deep in an output and in a text among them, each once; no address of Dify's gets to Slack."""
    run = await done(bot, await bot.ask("file_report topic=tea"))
    await bot.settled()
    result, files = bot.thread(run)
    assert "The chart of tea: 📎 chart.png" in result.shown
    assert sorted(files_of(files)) == ["chart.png", "film.mp4", "letter.pdf"]
    assert files.shown == "📎 Files of *file_report*"
    contents = {file.name: file.content for file in bot.workspace.files.by_id.values()}
    assert contents["film.mp4"] == bytes(20_000)
    assert "sign=" not in slack_saw(bot)
    assert "Done" in bot.root(run).shown


async def test_an_answer_is_followed_by_its_files(bot: Stage) -> None:
    """Named in the text and listed beside it, they are shared once."""
    run = await done(bot, await bot.ask("file_chat Tea?"))
    await bot.settled()
    assert sorted(map(sorted, shared(bot, run))) == [["chart.png", "letter.pdf"]]
    assert "sign=" not in slack_saw(bot)


async def test_a_form_shows_its_image_and_is_followed_by_its_other_files(bot: Stage) -> None:
    """At the end the image is not shown once more."""
    run = await bot.paused("picture_form topic=tea")
    await bot.settled()
    form, files = sorted(bot.thread(run), key=lambda message: bool(files_of(message)))
    assert images(form) == 1
    assert form.fields == ["Remarks"]
    assert files_of(files) == ["letter.pdf"]
    await bot.choose(run, "accept")
    await done(bot, run.run_id)
    await bot.settled()
    assert shared(bot, run) == [["letter.pdf"]]
    assert images(form) == 1
    assert "sign=" not in slack_saw(bot)


async def test_what_is_said_before_a_form_can_be_seen_before_it_is_answered(bot: Stage) -> None:
    """The text names its picture, which is shared at the pause, and not once more at the end."""
    run = await bot.paused("told_before Tea?")
    run = await bot.run_when(run.run_id, lambda run: [file.status for file in run.out_files] == [OutFileStatus.SHARED])
    assert shared(bot, run) == [["chart.png"]]
    assert any("This is it: 📎 chart.png" in message.shown for message in bot.thread(run))
    await bot.choose(run, "ok")
    await bot.in_status(run.run_id, RunStatus.SUCCEEDED)
    await bot.settled()
    assert shared(bot, run) == [["chart.png"]]
    assert "sign=" not in slack_saw(bot)


async def test_a_pause_is_saved_along_with_the_files_of_the_text_before_it(
    bot: Stage, logged: list[MutableMapping[str, Any]]
) -> None:
    """Whoever takes over a run that is paused hears nothing of its text, so there is no moment between the two."""
    with bot.refusing("INSERT ON outbox WHEN NEW.kind = 'FetchFile'"):
        run_id = await bot.ask("told_before Tea?")
        await bot.until(lambda: [entry for entry in logged if "takes nothing down" in entry["event"]])
        assert (await bot.store.run(run_id)).status is RunStatus.RUNNING
    await bot.run_when(run_id, lambda run: [file.status for file in run.out_files] == [OutFileStatus.SHARED])
    assert (await bot.store.run(run_id)).status is RunStatus.PAUSED


async def test_a_text_that_is_over_ends_with_what_might_have_become_an_address(bot: Stage) -> None:
    """While it was written, its last word waited."""
    run = await bot.paused("linking Tea?")
    await bot.settled()
    assert any("More at [https://example.com](https://example.com)" in message.shown for message in bot.thread(run))


async def test_an_image_without_an_extension_gets_the_one_of_its_kind(bot: Stage) -> None:
    """Slack tells by it what it is."""
    run = await bot.paused("unnamed")
    (form,) = bot.thread(run)
    assert images(form) == 1
    assert [file.name for file in bot.workspace.files.by_id.values()] == ["chart.png"]


async def test_an_image_that_slack_shows_in_no_message_is_shared_below_the_form(bot: Stage) -> None:
    """The form names it."""
    run = await bot.paused("vector")
    await bot.settled()
    form, files = bot.thread(run)
    assert "📎 chart.svg" in form.shown
    assert files_of(files) == ["chart.svg"]


@pytest.mark.provokes("invalid_blocks")
async def test_an_image_that_slack_does_not_process_is_shared_below_the_form(bot: Stage) -> None:
    """The form is there with its fields all the same."""
    bot.workspace.files.processing_seconds = 3600.0
    run_id = await bot.ask("picture_form topic=tea")
    await bot.until(lambda: [row for row in bot.outbox() if row.kind == "PostForm" and row.due_at > bot.clock.now()])
    await bot.later(seconds=2)
    run = await bot.run_when(run_id, lambda run: run.forms and run.forms[0].message_ts)
    run = await bot.run_when(run_id, lambda run: {file.status for file in run.out_files} == {OutFileStatus.SHARED})
    form = next(message for message in bot.thread(run) if message.fields)
    assert form.fields == ["Remarks"]
    assert form.buttons == ["Accept", "Reject", "Open in window"]
    assert "📎 chart.png" in form.shown
    assert sorted(name for names in shared(bot, run) for name in names) == ["chart.png", "letter.pdf"]


async def test_a_form_is_posted_without_an_image_that_dify_does_not_give(bot: Stage) -> None:
    """After a few tries; the image follows as soon as it can be had."""
    bot.dify.fail_next("download_made", 503, times=14)
    run_id = await bot.ask("picture_form topic=tea")
    await tried(bot, times=4, seconds=8)
    run = await bot.run_when(run_id, lambda run: run.forms and run.forms[0].message_ts)
    (form,) = bot.thread(run)
    assert images(form) == 0
    await tried(bot, times=5, seconds=50)
    run = await bot.run_when(run_id, lambda run: {file.status for file in run.out_files} == {OutFileStatus.SHARED})
    assert sorted(name for names in shared(bot, run) for name in names) == ["chart.png", "letter.pdf"]
    assert images(form) == 0


async def test_a_file_that_slack_does_not_take_for_a_while_is_shared_then(bot: Stage) -> None:
    """The result and everything else is there meanwhile."""
    bot.workspace.faults.add("upload", ServerError(), times=2)
    run_id = await bot.ask("file_report topic=tea")
    run = await bot.in_status(run_id, RunStatus.SUCCEEDED)
    await bot.put_back("FetchFile")
    await bot.until(lambda: [row.kind for row in bot.outbox()] == ["FetchFile"] * len(bot.outbox()))
    assert "The chart of tea" in bot.thread(run)[0].shown
    await bot.later(seconds=5)
    await done(bot, run_id)
    assert sorted(map(sorted, shared(bot, run))) == [["chart.png", "film.mp4", "letter.pdf"]]


async def test_what_a_workflow_ended_with_long_ago_has_expired(stage: Stage) -> None:
    """Its addresses are signed once and for all (recording 30): each file is told with its name."""
    stage.dify.fail_next("download_made", 503, times=3)
    async with stage.working():
        run_id = await stage.ask("file_report topic=tea")
        await stage.in_status(run_id, RunStatus.SUCCEEDED)
        await stage.until(lambda: [row.kind for row in stage.outbox() if row.attempts] == ["FetchFile"] * 3)
    stage.clock.advance(seconds=310)
    async with stage.working():
        run = await done(stage, run_id, OutFileStatus.MISSED)
        await stage.settled()
    _, told = stage.thread(run)
    for name in ("chart.png", "letter.pdf", "film.mp4"):
        assert f"{name}: its address in Dify has expired. It is kept in Dify's log of this run." in told.shown


async def test_what_cannot_be_had_is_told_once(bot: Stage) -> None:
    """Though the answer names it once more, and other files are shared then."""
    bot.dify.fail_next("download_made", 403, times=2)
    run = await bot.paused("told_twice Tea?")
    await bot.run_when(run.run_id, lambda run: [file.told for file in run.out_files] == [True])
    bot.dify.files.stored.clear()
    await bot.choose(run, "ok")
    await bot.in_status(run.run_id, RunStatus.SUCCEEDED)
    await bot.settled()
    assert shared(bot, run) == [["letter.pdf"]]
    assert len([message for message in bot.thread(run) if "chart.png: its address" in message.shown]) == 1


async def test_what_a_chatflow_answered_long_ago_is_still_to_be_had(stage: Stage) -> None:
    """Its history has addresses that are signed anew (recording 31)."""
    stage.dify.fail_next("download_made", 503, times=2)
    async with stage.working():
        run_id = await stage.ask("file_chat Tea?")
        await stage.in_status(run_id, RunStatus.SUCCEEDED)
        await stage.until(lambda: [row.kind for row in stage.outbox() if row.attempts] == ["FetchFile"] * 2)
    stage.clock.advance(seconds=310)
    async with stage.working():
        run = await done(stage, run_id)
    assert sorted(map(sorted, shared(stage, run))) == [["chart.png", "letter.pdf"]]


async def test_a_restart_between_fetching_and_sharing_shares_once(stage: Stage) -> None:
    """Whether an interrupted share arrived is found out first."""
    stage.workspace.faults.add(COMPLETE, LostResponse())
    async with stage.working():
        run_id = await stage.ask("file_report topic=tea")
        await stage.put_back("ShareFiles")
    stage.clock.advance(seconds=5)
    async with stage.working():
        run = await done(stage, run_id)
    assert sorted(map(sorted, shared(stage, run))) == [["chart.png", "film.mp4", "letter.pdf"]]


async def test_what_slack_does_not_share_is_told(bot: Stage) -> None:
    """Nothing of the run waits for it."""
    bot.workspace.faults.add(COMPLETE, Refuse("invalid_arguments"))
    run = await done(bot, await bot.ask("file_report topic=tea"), OutFileStatus.MISSED)
    await bot.settled()
    assert "chart.png: Slack does not show it." in bot.thread(run)[-1].shown
    assert shared(bot, run) == []


async def test_an_empty_file_is_told(bot: Stage) -> None:
    """Slack takes none."""
    run = await done(bot, await bot.ask("empty"), OutFileStatus.MISSED)
    await bot.settled()
    assert "nothing.txt: it is empty, and Slack takes no empty files." in bot.thread(run)[-1].shown


async def test_a_file_that_dify_gives_in_vain_for_too_long_is_told(bot: Stage) -> None:
    """Its address is valid for five minutes."""
    bot.dify.fail_next("download_made", 503, times=1_000)
    run_id = await bot.ask("file_report topic=tea")
    await tried(bot, times=10, seconds=64)
    run = await done(bot, run_id, OutFileStatus.MISSED)
    await bot.settled()
    assert "film.mp4: it could not be brought from Dify to Slack" in bot.thread(run)[-1].shown
