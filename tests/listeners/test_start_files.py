"""Files that runs start with, over the simulated Slack: chosen in the window, by a link, or taken from a message."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bot.core.model import Run, RunStatus
from bot.manifest import EVENTS, SHORTCUT_ID
from bot.playground.dify.apps import chat, quick, ticker
from bot.playground.dify.graph import App, End, start_file, start_file_list, text_input
from bot.playground.elsewhere import Elsewhere
from bot.playground.slack import LocalFile, Message, Result
from bot.playground.slack.faults import SignInPage
from bot.playground.slack.people import Person
from bot.slack.payloads import MessageShortcut
from tests.listeners.conftest import connected
from tests.services.stage import CHANNEL, Stage, open_stage

PICTURE = ("a.png", b"\x89PNG and more")
SECOND = ("b.jpg", b"JPEG")
REPORT = ("report.pdf", b"%PDF-1.7")
ARCHIVE = ("x.zip", b"PK")


def scan(**changes: Any) -> App:
    """One page, which is needed and cannot be given by a link, and pictures besides."""
    page = start_file("page", label="Page", required=True, types=["document"])
    page |= {"allowed_file_upload_methods": ["local_file"]}
    return replace(
        App(
            name="scan",
            start=(text_input("title"), page, start_file_list("pictures", types=["image"], max_length=2)),
            nodes=(End("end", "End", {"title": ("start", "title")}),),
            edges=("start -> end",),
        ),
        **changes,
    )


def inbox(**changes: Any) -> App:
    """Takes files beside its inputs, of which it has none."""
    return replace(
        App(name="inbox", nodes=(End("end", "End", {}),), edges=("start -> end",), file_upload=True), **changes
    )


class Desk:
    """Ann at work with a bot."""

    def __init__(self, bot: Stage) -> None:
        self.bot = bot
        self.ann: Person = bot.workspace.person("ann")

    async def command(self, line: str) -> None:
        assert (await self.ann.command(CHANNEL, line)).acked

    async def pick(self, message: Message) -> None:
        assert (await self.ann.use_shortcut(message, SHORTCUT_ID)).acked

    def choose(self, field: str, *files: Any) -> None:
        self.ann.choose_files(self.ann.view, field, files)

    async def send(self) -> Result:
        result = await self.ann.submit_view()
        assert result.error is None
        return result

    @property
    def shown(self) -> str:
        return repr(self.ann.view.blocks)

    async def started(self, status: RunStatus = RunStatus.SUCCEEDED, number: int = 1) -> Run:
        """Return the last of so many runs once it stands so."""
        assert self.ann.views == []
        await self.bot.until(lambda: len(self._run_ids()) == number)
        return await self.bot.in_status(self._run_ids()[-1], status)

    def _run_ids(self) -> list[str]:
        with self.bot.sql() as database:
            return [run_id for (run_id,) in database.execute("SELECT run_id FROM runs ORDER BY created_at")]

    def sent(self, number: int = -1) -> dict[str, Any]:
        """Return the body of a start."""
        bodies = [each.body for each in self.bot.requests("POST", "/workflows/run")]
        body: dict[str, Any] = bodies[number]
        return body

    def uploads(self) -> list[tuple[str, str]]:
        """Return name and user of everything that Dify has got."""
        return [(each.name, each.user) for each in self.bot.dify.files.stored.values()]


@pytest.fixture
async def desk(tmp_path: Path) -> Any:
    """A bot at work that knows apps with files and one without."""
    async with open_stage(tmp_path, [scan(), inbox(), quick()]) as stage, stage.working():
        stage.workspace.events = frozenset(EVENTS)
        await connected(stage)
        yield Desk(stage)


# --- the window ------------------------------------------------------------------------------------------------------


async def test_files_that_are_chosen_in_the_window_are_uploaded_as_the_user_of_the_run(desk: Desk) -> None:
    await desk.command("/dify scan title=Tea")
    desk.choose("Page", REPORT)
    desk.choose("Pictures", PICTURE, SECOND)
    assert (await desk.send()).field_errors == {}
    run = await desk.started()
    inputs = desk.sent()["inputs"]
    assert inputs["title"] == "Tea"
    assert (inputs["page"]["type"], inputs["page"]["transfer_method"]) == ("document", "local_file")
    assert [each["type"] for each in inputs["pictures"]] == ["image", "image"]
    assert desk.uploads() == [(name, run.dify_user) for name in ("report.pdf", "a.png", "b.jpg")]
    assert "📎 report.pdf" in desk.bot.root(run).shown


async def test_the_root_message_says_that_files_are_on_their_way(desk: Desk) -> None:
    desk.bot.dify.fail_next("upload", status=503)
    await desk.command("/dify scan")
    desk.choose("Page", REPORT)
    await desk.send()
    root = await desk.bot.workspace.wait_for(
        lambda: desk.bot.workspace.find(channel=CHANNEL, text="on the way to Dify")
    )
    assert "📎 report.pdf: on the way to Dify. It starts by itself" in root.shown
    await desk.bot.put_back("PullFile")
    desk.bot.clock.advance(minutes=1)
    await desk.started()


async def test_what_does_not_fit_is_told_at_its_field_before_anything_starts(desk: Desk) -> None:
    """Slack's client filters by extension only, and not what is given by a link."""
    await desk.command("/dify scan title=Tea")
    desk.choose("Page", LocalFile("report.pdf", (9 * 1024 * 1024, b"x")))
    desk.choose("Pictures", PICTURE, SECOND)
    desk.ann.fill(desk.ann.view, "Links to Pictures", "https://example.com/c.png")
    ((block_id, sentence),) = (await desk.send()).field_errors.items()
    assert block_id.endswith(".pictures")
    assert sentence == "pictures takes 2 at most, and these are 3."
    desk.ann.fill(desk.ann.view, "Links to Pictures", "")
    await desk.send()
    await desk.started()


async def test_a_file_that_is_missing_is_told_with_how_to_add_it(desk: Desk) -> None:
    """By the command that opens the window; there Slack itself does not send without it."""
    await desk.command("/dify scan title=Tea page=https://example.com/a.pdf")
    assert "page takes no link, only a file." in desk.shown
    (sentence,) = (await desk.ann.submit_view()).field_errors.values()
    assert sentence
    assert desk.bot.requests("POST", "/workflows/run") == []


async def test_files_beside_the_inputs_are_sent_as_such(desk: Desk) -> None:
    """Recording 37."""
    await desk.command("/dify inbox sys.files=nonsense")
    assert "takes a link that begins with https://" in desk.shown
    desk.choose("field.", PICTURE, REPORT)
    desk.ann.fill(desk.ann.view, "Links", "")
    await desk.send()
    run = await desk.started()
    assert [each["type"] for each in desk.sent()["files"]] == ["image", "document"]
    assert desk.sent()["inputs"] == {}
    assert "*files:* 📎 a.png, 📎 report.pdf" in repr(desk.bot.root(run).blocks)


async def test_what_was_chosen_stays_where_another_app_is_chosen(desk: Desk) -> None:
    """A place for files cannot be filled in by us, so it is told what stands for it."""
    await desk.command("/dify scan")
    desk.choose("Page", REPORT)
    desk.ann.select(desk.ann.view, "App", "inbox")
    await desk.bot.workspace.wait_for(lambda: desk.ann.view.title == "Start inbox")
    assert "📎 report.pdf, from the message or chosen before." in desk.shown
    await desk.send()
    await desk.started()
    assert [each["type"] for each in desk.sent()["files"]] == ["document"]


# --- by a command ----------------------------------------------------------------------------------------------------


async def test_a_link_in_a_command_starts_at_once_where_links_are_taken(desk: Desk) -> None:
    async with Elsewhere() as elsewhere:
        url = elsewhere.put("/a.png", b"PNG", "image/png")
        await desk.command(f"/dify inbox sys.files={url}")
        run = await desk.started()
    assert desk.sent()["files"] == [{"type": "image", "transfer_method": "remote_url", "url": url}]
    assert run.attachments[0].name == "a.png"


# --- by a shortcut ---------------------------------------------------------------------------------------------------


async def test_the_shortcut_opens_the_window_with_what_the_message_says_and_holds(desk: Desk) -> None:
    message = await desk.ann.share(CHANNEL, [PICTURE, REPORT, ARCHIVE], "Look at <this> & *that*")
    await desk.pick(message)
    assert "a.png, report.pdf, x.zip: put into the fields of the app that you choose" in desk.shown
    desk.ann.select(desk.ann.view, "App", "scan")
    await desk.bot.workspace.wait_for(lambda: desk.ann.view.title == "Start scan")
    assert "📎 report.pdf, from the message" in desk.shown
    assert "📎 a.png, from the message" in desk.shown
    assert "x.zip: scan does not take it: page takes a document; pictures takes an image." in desk.shown
    assert (await desk.send()).field_errors == {}
    run = await desk.started()
    assert run.run_inputs["title"] == "Look at <this> & *that*"
    assert desk.uploads() == [("report.pdf", run.dify_user), ("a.png", run.dify_user)]


async def test_files_of_a_message_are_replaced_by_others(desk: Desk) -> None:
    await desk.pick(await desk.ann.share(CHANNEL, [REPORT], "Tea"))
    desk.ann.select(desk.ann.view, "App", "scan")
    await desk.bot.workspace.wait_for(lambda: desk.ann.view.title == "Start scan")
    desk.choose("Page", ("other.pdf", b"%PDF"))
    await desk.send()
    await desk.started()
    assert [name for name, _ in desk.uploads()] == ["other.pdf"]


@pytest.mark.provokes("file_deleted")
async def test_a_file_that_was_deleted_meanwhile_is_told_and_the_rest_is_kept(desk: Desk) -> None:
    message = await desk.ann.share(CHANNEL, [REPORT, PICTURE], "Tea")
    await desk.pick(message)
    desk.ann.select(desk.ann.view, "App", "scan")
    await desk.bot.workspace.wait_for(lambda: desk.ann.view.title == "Start scan")
    desk.ann.delete_file(message.content.shared[0].id)
    await desk.send()
    assert "A file: " in desk.shown
    assert "📎 a.png, from the message" in desk.shown
    desk.choose("Page", ("other.pdf", b"%PDF"))
    await desk.send()
    run = await desk.started()
    assert run.run_inputs["title"] == "Tea"
    assert sorted(name for name, _ in desk.uploads()) == ["a.png", "other.pdf"]


async def test_files_for_an_app_that_is_left_out_of_the_settings_meanwhile_are_kept(tmp_path: Path) -> None:
    async with open_stage(tmp_path, [scan(), inbox()]) as stage:
        stage.workspace.events = frozenset(EVENTS)
        async with stage.working():
            await connected(stage)
            await Desk(stage).command("/dify scan title=Tea")
            Desk(stage).choose("Page", REPORT)
        async with stage.reopened("inbox") as again, again.working():
            await connected(again)
            desk = Desk(again)
            await desk.send()
            assert "There is no app scan any more." in desk.shown
            assert "📎 report.pdf: put into the fields of the app that you choose." in desk.shown
            await desk.send()
            assert desk.ann.view.title == "Start inbox"
            assert "📎 report.pdf, from the message or chosen before" in desk.shown


async def test_the_only_app_needs_no_choice(tmp_path: Path) -> None:
    """A message of an app, or without a word or a file, is one, too."""
    async with open_stage(tmp_path, [scan()]) as stage, stage.working():
        await connected(stage)
        desk = Desk(stage)
        await desk.pick(await desk.ann.post(CHANNEL, "Only words"))
        assert desk.ann.view.title == "Start scan"
        assert "Only words" in desk.shown


async def test_an_app_that_takes_no_text_and_no_files_says_so(tmp_path: Path) -> None:
    async with open_stage(tmp_path, [ticker()]) as stage, stage.working():
        await connected(stage)
        desk = Desk(stage)
        await desk.pick(await desk.ann.share(CHANNEL, [REPORT], "Some words"))
        assert "No field here takes this" in desk.shown
        assert "Some words" in desk.shown
        assert "report.pdf: ticker takes no files." in desk.shown


async def test_where_dify_is_down_the_window_keeps_the_message(tmp_path: Path) -> None:
    async with open_stage(tmp_path, [scan()]) as stage, stage.working():
        await connected(stage)
        desk = Desk(stage)
        stage.dify.fail_next("info", status=500)
        await desk.pick(await desk.ann.share(CHANNEL, [REPORT], "Some words"))
        assert "Dify does not answer just now" in desk.shown
        await desk.send()
        assert desk.ann.view.title == "Start scan"
        assert "was changed" not in desk.shown
        assert "📎 report.pdf, from the message" in desk.shown
        await desk.send()
        assert (await desk.started()).run_inputs["title"] == "Some words"


def test_a_shortcut_is_read_from_what_slack_sends() -> None:
    shortcut = MessageShortcut.model_validate(
        {
            "team": {"id": "T1"},
            "channel": {"id": "C1", "name": "x"},
            "user": {"id": "U1"},
            "message": {
                "text": "&lt;b&gt; <@U2>",
                "ts": "1.2",
                "files": [{"id": "F1"}],
            },
            "trigger_id": "1",
        }
    ).to_core()
    assert (shortcut.text, shortcut.channel_id, shortcut.files[0].name) == ("<b> @U2", "C1", "")


# --- what goes wrong -------------------------------------------------------------------------------------------------


async def test_a_file_that_dify_does_not_take_ends_the_start_and_can_be_replaced(desk: Desk) -> None:
    """Everything else is filled in again."""
    desk.bot.dify.fail_next("upload", status=413)
    await desk.command("/dify scan title=Tea")
    desk.choose("Page", REPORT)
    desk.choose("Pictures", PICTURE)
    await desk.send()
    run = await desk.started(RunStatus.FAILED)
    await desk.bot.settled()
    note = desk.bot.thread(run)[-1]
    assert "was not started, and nothing has been run" in note.shown
    refused = next(each.name for each in run.attachments if each.reason)
    assert f"{refused}: Dify takes no file that large." in note.shown
    assert (await desk.ann.click(note, "Try again")).error is None
    assert f"scan was not started. {refused}: Dify takes no file that large." in desk.shown
    kept = {"report.pdf", "a.png"} - {refused}
    assert f"📎 {kept.pop()}, from the message or chosen before." in desk.shown
    desk.choose("Page", ("smaller.pdf", b"%PDF"))
    await desk.send()
    assert (await desk.started(number=2)).run_inputs["title"] == "Tea"
    assert desk.sent()["inputs"]["page"]["type"] == "document"
    assert len(desk.bot.requests("POST", "/workflows/run")) == 1


async def test_a_file_that_slack_does_not_give_ends_the_start_with_the_reason(desk: Desk) -> None:
    """It was there when the window was sent."""
    await desk.command("/dify scan")
    desk.choose("Page", REPORT)
    desk.bot.workspace.faults.add("download", SignInPage(), times=10)
    await desk.send()
    run = await desk.started(RunStatus.FAILED)
    await desk.bot.settled()
    note = desk.bot.thread(run)[-1]
    assert "report.pdf: " in note.shown
    assert "Try again" in note.buttons
    assert desk.uploads() == []


async def test_a_start_with_files_whose_answer_is_lost_is_found(desk: Desk) -> None:
    """In Dify's log, by its inputs, the files among them."""
    desk.bot.dify.lose_response("run")
    await desk.command("/dify scan title=Tea")
    desk.choose("Page", REPORT)
    await desk.send()
    run = await desk.started(RunStatus.SOUGHT)
    await desk.bot.later(seconds=1.2)
    await desk.bot.in_status(run.run_id, RunStatus.SUCCEEDED)
    assert len(desk.bot.requests("POST", "/workflows/run")) == 1


# --- messages to a Chatflow ------------------------------------------------------------------------------------------


@pytest.fixture
async def talk(tmp_path: Path) -> Any:
    """A conversation with an app that takes files, and its desk."""
    async with open_stage(tmp_path, [replace(chat(), file_upload=True)]) as stage, stage.working():
        stage.workspace.events = frozenset(EVENTS)
        await connected(stage)
        run = await stage.in_status(await stage.ask('chat query="Where is my order?"'), RunStatus.SUCCEEDED)
        await stage.settled()
        yield Desk(stage), run


async def test_a_reply_with_files_sends_those_along_that_fit(talk: tuple[Desk, Run]) -> None:
    """Uploaded as the user of the conversation, whoever wrote it (recording 31)."""
    desk, run = talk
    ben = desk.bot.workspace.person("ben")
    await ben.share(CHANNEL, [PICTURE, ARCHIVE], "Look at this", run.thread_ts)
    await desk.bot.told("ben", "do not go along with your message", "x.zip", "takes an image or a document.")
    await desk.bot.settled()
    body = desk.bot.requests("POST", "/chat-messages")[-1].body
    assert (body["query"], body["user"]) == ("Look at this", run.dify_user)
    assert [each["type"] for each in body["files"]] == ["image"]
    assert desk.uploads() == [("a.png", run.dify_user)]


async def test_files_without_a_word_are_sent_with_their_names(talk: tuple[Desk, Run]) -> None:
    desk, run = talk
    await desk.ann.share(CHANNEL, [PICTURE, REPORT], thread_ts=run.thread_ts)
    await desk.bot.workspace.wait_for(lambda: len(desk.bot.requests("POST", "/chat-messages")) == 2)
    body = desk.bot.requests("POST", "/chat-messages")[-1].body
    assert body["query"] == "a.png, report.pdf"
    assert len(body["files"]) == 2


async def test_nothing_is_sent_where_no_file_fits_and_there_is_no_word(talk: tuple[Desk, Run]) -> None:
    desk, run = talk
    await desk.ann.share(CHANNEL, [ARCHIVE], thread_ts=run.thread_ts)
    await desk.bot.told("ann", "Nothing was sent", "x.zip")
    await desk.bot.settled()
    assert len(desk.bot.requests("POST", "/chat-messages")) == 1


async def test_a_file_of_a_reply_that_dify_does_not_take_is_told(talk: tuple[Desk, Run]) -> None:
    desk, run = talk
    desk.bot.dify.fail_next("upload", status=413)
    await desk.ann.share(CHANNEL, [PICTURE], "Look", run.thread_ts)
    await desk.bot.workspace.wait_for(
        lambda: desk.bot.workspace.find(channel=CHANNEL, thread=run.thread_ts, text="This message was not sent")
    )
    assert len(desk.bot.requests("POST", "/chat-messages")) == 1
