"""The listeners in a real Bolt app, which people reach without a network in between."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from slack_bolt.app.async_app import AsyncApp
from slack_bolt.authorization import AuthorizeResult
from slack_bolt.request.async_request import AsyncBoltRequest
from slack_bolt.response import BoltResponse

from bot.bootstrap import bolt_app
from bot.playground.slack.delivery import Delivery, NotAcknowledged, Retry
from tests.services.conftest import bot, logged, stage, unhurried
from tests.services.stage import CHANNEL, PATIENCE, Stage

__all__ = ["bot", "logged", "stage", "unhurried"]


async def dispatch(app: AsyncApp, payload: dict[str, Any]) -> BoltResponse:
    """Let the app answer a payload as it comes over Socket Mode."""
    return await app.async_dispatch(AsyncBoltRequest(mode="socket_mode", body=payload))


def message_event(stage: Stage, **said: Any) -> dict[str, Any]:
    """Return a `message` event of ben's in a channel, as Slack sends it; what is None is left out."""
    message = {
        "type": "message",
        "channel": stage.workspace.channel(CHANNEL).id,
        "user": stage.workspace.person("ben").id,
        "ts": "1800000000.000100",
        "channel_type": "channel",
    }
    return {
        "type": "event_callback",
        "team_id": stage.workspace.team_id,
        "event_id": "Ev1",
        "event": {key: value for key, value in {**message, **said}.items() if value is not None},
    }


class Dispatch:
    """Delivers what people do straight to the app; only an answer of 200 is an ack, as in Socket Mode."""

    def __init__(self, app: AsyncApp) -> None:
        self._app = app

    async def ready(self) -> None:
        """At once."""

    async def attempt(self, delivery: Delivery, retry: Retry | None) -> tuple[float, dict[str, Any] | None]:
        """Dispatch once."""
        response = await dispatch(self._app, delivery.payload)
        if response.status != 200:
            raise NotAcknowledged("http_error")
        if not response.body:
            return time.monotonic(), None
        is_json = response.body.startswith("{")
        return time.monotonic(), json.loads(response.body) if is_json else {"text": response.body}

    def may_retry(self, delivery: Delivery) -> bool:
        """Nothing here is repeated."""
        return False

    async def close(self) -> None:
        """Nothing is held."""


def bolt_app_of(stage: Stage) -> AsyncApp:
    """Return the bot's app, which nothing reaches yet."""
    bot_user = stage.workspace.bot
    identity = AuthorizeResult(
        enterprise_id=None,
        team_id=stage.workspace.team_id,
        bot_id=bot_user.bot_id,
        bot_user_id=bot_user.user_id,
        bot_token=stage.workspace.bot_token,
    )
    app = bolt_app(stage.settings, stage.client, identity, stage.parts)
    for listener in app._async_listeners:
        listener.ack_timeout = int(PATIENCE)
    return app


async def connected(stage: Stage) -> AsyncApp:
    """Return the bot's app; everything people do goes there."""
    app = bolt_app_of(stage)
    await stage.workspace.courier.use(Dispatch(app))
    return app


@pytest.fixture
async def app(stage: Stage) -> AsyncApp:
    """The bot's app; everything people do goes there."""
    return await connected(stage)
