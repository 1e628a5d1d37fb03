"""What no listener took, and what went wrong in one."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

import pytest
from slack_bolt.app.async_app import AsyncApp
from slack_bolt.response import BoltResponse

from bot.core.effects import Transition
from bot.core.model import FormStatus
from bot.playground.bot_process import free_port
from bot.playground.slack import Message, payloads
from bot.playground.slack.state import Content
from bot.slack.messages import notices
from tests.listeners.conftest import dispatch
from tests.services.stage import CHANNEL, Stage

Json = dict[str, Any]


def click(stage: Stage, message: Message, **action: str) -> Json:
    """Return the payload of something that ben did with a block of a message."""
    pressed = {"type": "button", "block_id": "b", "action_ts": "1.1", **action}
    return payloads.message_action(stage.workspace, stage.workspace.person("ben"), message, pressed)


def some_message(stage: Stage) -> Message:
    return stage.workspace.post(stage.workspace.channel(CHANNEL), Content("A message"), stage.workspace.bot)


@pytest.mark.parametrize(
    "action",
    [
        pytest.param({"action_id": "form.act.0", "value": "nobody/nobody/ok"}, id="form of a lost database"),
        pytest.param({"action_id": "form.act.0", "value": "something else"}, id="button of another version"),
        pytest.param({"action_id": "run.stop", "value": "nobody"}, id="run of a lost database"),
    ],
)
async def test_a_click_on_what_the_bot_does_not_know_is_told(stage: Stage, app: AsyncApp, action: Json) -> None:
    response = await dispatch(app, click(stage, some_message(stage), **action))
    assert response.status != 200
    note = await stage.told("ben", notices.UNKNOWN_HERE)
    assert note.channel.name == CHANNEL


async def test_a_choice_in_a_field_is_acked_and_decides_nothing(bot: Stage, app: AsyncApp) -> None:
    """What a field holds is read when a button is pressed."""
    run = await bot.paused("pick title=Menu")
    chosen = {"type": "static_select", "action_id": "form.field", "block_id": "form.field.0.1.priority"}
    assert (await dispatch(app, click(bot, bot.thread(run)[0], **chosen))).status == 200
    assert (await bot.store.run(run.run_id)).forms[0].status is FormStatus.OPEN


@pytest.mark.parametrize(
    "payload",
    [
        {"type": "event_callback", "team_id": "T0DEMO", "event": {"type": "app_mention", "text": "hello"}},
        {"type": "shortcut", "callback_id": "other", "user": {"id": "U0ANN"}, "team": {"id": "T0DEMO"}},
        {"type": "view_closed", "view": {"id": "V1", "type": "modal"}, "user": {"id": "U0ANN"}},
    ],
    ids=lambda payload: payload["type"],
)
async def test_what_no_listener_takes_is_acked(
    stage: Stage, app: AsyncApp, payload: Json, logged: list[MutableMapping[str, Any]]
) -> None:
    """Slack would send an event three times more (slack-platform §9.1)."""
    assert (await dispatch(app, payload)).status == 200
    assert logged == []
    assert stage.outbox() == []


async def broken_click(bot: Stage, app: AsyncApp, mistake: Exception, **changes: str) -> BoltResponse:
    """Press a button while a mistake of ours lets every transition fail."""
    run = await bot.paused("two_forms topic=tea")
    await bot.settled()

    def fail(transition: Transition) -> None:
        raise mistake

    bot.parts.recorder.watch(fail)
    value = f"{run.run_id}/{run.forms[0].form_id}/no"
    return await dispatch(app, click(bot, bot.thread(run)[0], action_id="form.act.1", value=value) | changes)


@pytest.mark.parametrize(
    "mistake", [RuntimeError("a mistake"), KeyError("a mistake"), ValueError("a mistake")], ids=repr
)
async def test_a_mistake_of_ours_is_logged_and_told(
    bot: Stage, app: AsyncApp, logged: list[MutableMapping[str, Any]], mistake: Exception
) -> None:
    """Nobody is told that their run is unknown because of it."""
    assert (await broken_click(bot, app, mistake)).status != 200
    await bot.told("ben", notices.WENT_WRONG)
    # What the click led to fails as well, in its own time.
    (entry,) = [entry for entry in logged if entry["event"] == "a payload could not be taken in"]
    assert (entry["log_level"], entry["kind"], entry["exc_info"]) == ("error", "block_actions", mistake)


async def test_where_even_that_cannot_be_told_it_is_logged(
    bot: Stage, app: AsyncApp, logged: list[MutableMapping[str, Any]]
) -> None:
    nowhere = f"http://127.0.0.1:{free_port('127.0.0.1')}/actions/1/x"
    assert (await broken_click(bot, app, RuntimeError("a mistake"), response_url=nowhere)).status != 200
    assert [entry["log_level"] for entry in logged if "could not be told" in entry["event"]] == ["error"]
