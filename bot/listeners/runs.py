"""The Stop button of a run."""

from __future__ import annotations

from typing import Any

from slack_bolt.app.async_app import AsyncApp
from slack_bolt.context.ack.async_ack import AsyncAck

from bot.services.forms import DecisionDesk
from bot.slack import ids
from bot.slack.payloads import ButtonClick


def register(app: AsyncApp, decisions: DecisionDesk) -> None:
    """Take a click on Stop."""

    async def handle_stop(ack: AsyncAck, body: dict[str, Any]) -> None:
        click = ButtonClick.model_validate(body)
        await decisions.stop(click.value, click.user_id, delivery=click.delivery)
        await ack()

    app.action(ids.STOP_RUN)(handle_stop)
