"""Messages that address the bot outside of any conversation: answered once, with a button that opens a window."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from slack_bolt.app.async_app import AsyncApp

from bot.core import events as saw
from bot.core.model import RunStatus
from bot.manifest import EVENTS
from bot.playground.dify.apps import file_form, quick
from bot.playground.slack import Message
from bot.playground.slack.faults import Delay, Refuse, ServerError
from bot.services import starts
from bot.slack.starts.window import SHORTCUT
from tests.listeners.conftest import connected, dispatch, message_event
from tests.services.stage import CHANNEL, Stage, open_stage

pytestmark = pytest.mark.usefixtures("app")

READ = "conversations.replies"


@pytest.fixture
def stage(stage: Stage) -> Stage:
    """The workspace tells the app of messages, too."""
    stage.workspace.events = frozenset(EVENTS)
    return stage


def event(stage: Stage, **changes: Any) -> dict[str, Any]:
    """Return a `message` event of ben's that mentions the bot in a channel, as Slack sends it."""
    said = {"text": f"<@{stage.workspace.bot.user_id}> summarise this", **changes}
    return message_event(stage, **said)


@contextmanager
def without_tables(stage: Stage) -> Iterator[None]:
    """Let every look into the database fail meanwhile, as well as every change."""
    renamed = ("inbox", "outbox", "runs")
    with stage.sql() as database:
        for table in renamed:
            database.execute(f"ALTER TABLE {table} RENAME TO hidden_{table}")
    yield
    with stage.sql() as database:
        for table in renamed:
            database.execute(f"ALTER TABLE hidden_{table} RENAME TO {table}")


async def answered(bot: Stage, text: str = "@Dify tea") -> Message:
    """Let ann address the bot, and return its answer."""
    await bot.workspace.person("ann").post(CHANNEL, text)
    return await bot.told("ann", "I run Dify apps")


async def test_what_is_acked_is_saved_and_answered_later(stage: Stage, app: AsyncApp) -> None:
    """Nothing works that could have answered it: what the ack promises stands in the database, without the words."""
    assert (await dispatch(app, event(stage))).status == 200
    assert [row.kind for row in stage.outbox()] == ["OfferStart"]
    with stage.sql() as database:
        assert "summarise" not in repr(database.execute("SELECT * FROM outbox").fetchall())
    async with stage.working():
        await stage.told("ben", "I run Dify apps", "/dify help")
        await stage.settled()


async def test_what_cannot_be_saved_is_not_acked_and_is_answered_once_when_it_comes_again(
    bot: Stage, app: AsyncApp
) -> None:
    with bot.refusing("INSERT ON outbox"):
        assert (await dispatch(app, event(bot))).status == 500
    for _ in range(2):
        assert (await dispatch(app, event(bot))).status == 200
    await bot.settled()
    assert len(bot.workspace.find_all(visible_to="ben")) == 1


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"text": "Hello"}, id="nobody is mentioned"),
        pytest.param({"subtype": "message_changed", "hidden": True, "user": None}, id="an edit"),
        pytest.param({"subtype": "message_deleted", "hidden": True, "user": None}, id="a deletion"),
        pytest.param({"subtype": "channel_join"}, id="somebody joined"),
        pytest.param({"subtype": "bot_message", "bot_id": "B0OTHER", "user": None}, id="another bot"),
        pytest.param({"bot_id": "B0OTHER"}, id="another app"),
        pytest.param({"user": "U0BOT"}, id="the bot itself"),
        pytest.param({"channel": "D0BEN", "user": "U0BOT", "channel_type": "im"}, id="its own direct message"),
    ],
)
async def test_what_does_not_address_the_bot_is_left_without_a_look_into_the_database(
    stage: Stage, app: AsyncApp, changes: dict[str, Any]
) -> None:
    """An app gets every message of every channel that it is in."""
    with without_tables(stage):
        assert (await dispatch(app, event(stage))).status == 500
        assert (await dispatch(app, event(stage, **changes))).status == 200
    assert stage.outbox() == []


async def test_among_several_people_it_is_answered_as_in_a_channel(stage: Stage, app: AsyncApp) -> None:
    """A group has a channel like another, whose messages are other events (slack-platform §7.3)."""
    for number, text in enumerate(("Hello", f"Hello <@{stage.workspace.bot.user_id}>")):
        said = event(stage, channel="G0GROUP", channel_type="mpim", text=text, ts=f"1800000000.00010{number}")
        assert (await dispatch(app, said)).status == 200
    assert [row.kind for row in stage.outbox()] == ["OfferStart"]


async def test_the_window_of_the_only_app_opens_with_what_was_said(tmp_path: Path) -> None:
    async with open_stage(tmp_path, [quick()]) as bot, bot.working():
        bot.workspace.events = frozenset(EVENTS)
        await connected(bot)
        answer = await answered(bot, "@Dify Earl Grey")
        ann = bot.workspace.person("ann")
        assert (await ann.click(answer, SHORTCUT)).acked
        await bot.workspace.wait_for(lambda: ann.views)
        assert ann.view.title == "Start quick"
        assert "Earl Grey" in repr(ann.view.blocks)
        assert bot.outbox() == []


@pytest.mark.parametrize("fault", [Delay(60), ServerError(), Refuse("not_in_channel")])
async def test_a_message_that_slack_does_not_show_in_time_is_told_and_can_be_asked_for_again(
    bot: Stage, monkeypatch: pytest.MonkeyPatch, fault: Delay | ServerError | Refuse
) -> None:
    """The window would come too late for its trigger (slack-platform §4.1)."""
    answer, ann = await answered(bot), bot.workspace.person("ann")
    monkeypatch.setattr(starts, "READ_WITHIN", 0.1)
    bot.workspace.faults.add(READ, fault)
    assert (await ann.click(answer, SHORTCUT)).acked
    await bot.told("ann", "Slack does not show me the message just now")
    assert ann.views == []
    monkeypatch.undo()
    assert (await ann.click(answer, SHORTCUT)).acked
    await bot.workspace.wait_for(lambda: ann.views)


async def test_a_window_that_slack_does_not_open_is_told(bot: Stage) -> None:
    answer, ann = await answered(bot), bot.workspace.person("ann")
    bot.workspace.faults.add("views.open", Refuse("trigger_expired"))
    assert (await ann.click(answer, SHORTCUT)).acked
    await bot.told("ann", starts.NOT_OPENED_NOW)
    assert ann.views == []


async def test_a_mention_whose_files_were_taken_is_not_answered_when_it_comes_again(tmp_path: Path) -> None:
    """Slack missed the ack, and meanwhile the form that asked for them is over."""
    async with open_stage(tmp_path, [file_form()]) as bot, bot.working():
        bot.workspace.events = frozenset(EVENTS)
        app = await connected(bot)
        run = await bot.paused("file_form topic=Roof")
        ann = bot.workspace.person("ann")
        await ann.share(CHANNEL, [("roof.png", b"\x89PNG\r\n\x1a\n roof")], "@Dify here it is", run.thread_ts)
        run = await bot.run_when(run.run_id, lambda run: run.attachments)
        [said] = [each.payload for each in bot.workspace.deliveries if each.payload.get("event", {}).get("files")]
        await bot.parts.recorder.record(run.run_id, saw.RunFinished(RunStatus.STOPPED))
        assert (await dispatch(app, said)).status == 200
        await bot.settled()
        assert bot.workspace.find_all(visible_to="ann") == []
