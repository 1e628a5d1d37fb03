"""The slash command: answered in the ack, or saved before it."""

from __future__ import annotations

import pytest
from slack_bolt.app.async_app import AsyncApp

from bot.playground.slack.faults import Duplicate
from bot.slack.messages import notices
from tests.services.stage import CHANNEL, Stage

pytestmark = pytest.mark.usefixtures("app")


async def test_help_is_answered_in_the_ack(stage: Stage) -> None:
    """Only the person who asked sees it, and nothing is saved for it."""
    result = await stage.workspace.person("ann").command(CHANNEL, "/dify help")
    assert result.acked
    (note,) = stage.workspace.find_all(visible_to="ann")
    assert note.text == notices.usage("/dify", sorted(stage.settings.apps))
    assert stage.outbox() == []


@pytest.mark.parametrize("text", ["help quick", "quick help", "help quik"])
async def test_help_about_an_app_is_saved_before_it_is_acked(stage: Stage, text: str) -> None:
    """Only Dify knows what the app takes."""
    assert (await stage.workspace.person("ann").command(CHANNEL, f"/dify {text}")).acked
    assert stage.workspace.find_all(visible_to="ann") == []
    assert [row.kind for row in stage.outbox()] == ["CheckCommand"]


async def test_words_that_begin_with_help_are_no_question(stage: Stage) -> None:
    ann = stage.workspace.person("ann")
    assert (await ann.command(CHANNEL, "/dify Help me write a letter")).acked
    assert stage.workspace.find_all(visible_to="ann") == []
    assert ann.view.content["callback_id"] == "start.window"


async def test_a_command_is_saved_before_it_is_acked(stage: Stage) -> None:
    """Nothing works yet that could have done more than save it."""
    result = await stage.workspace.person("ann").command(CHANNEL, "/dify quick topic=tea")
    assert result.acked
    assert [(row.kind, row.state) for row in stage.outbox()] == [("CheckCommand", "pending")]


async def test_a_command_that_comes_twice_is_acked_twice_and_saved_once(stage: Stage) -> None:
    stage.workspace.faults.add("slash_commands", Duplicate())
    assert (await stage.workspace.person("ann").command(CHANNEL, "/dify quick topic=tea")).acked
    await stage.workspace.wait_for(lambda: len([each for each in stage.workspace.deliveries if each.acked]) == 2)
    assert len(stage.outbox()) == 1


async def test_a_command_that_cannot_be_saved_is_not_acked_and_told(stage: Stage) -> None:
    with stage.refusing("INSERT ON outbox"):
        result = await stage.workspace.person("ann").command(CHANNEL, "/dify quick topic=tea")
    assert not result.acked
    assert stage.workspace.find(visible_to="ann", text=notices.NOT_SAVED)
    assert stage.outbox() == []


async def test_mentions_in_a_command_arrive_as_names(bot: Stage) -> None:
    """Slack escapes them on our wish; nothing of it pings anybody later (slack-platform §4.2)."""
    await bot.workspace.person("ann").command(CHANNEL, "/dify quick topic=@ben")
    await bot.dify.wait_for(lambda: bot.requests("POST", "/workflows/run"))
    assert bot.requests("POST", "/workflows/run")[0].body["inputs"] == {"topic": "@ben"}


async def test_another_command_is_not_ours(stage: Stage, app: AsyncApp) -> None:
    """It is acked all the same: Slack would repeat it else."""
    stage.workspace.commands |= {"/other"}
    assert (await stage.workspace.person("ann").command(CHANNEL, "/other help")).acked
    assert stage.outbox() == []
