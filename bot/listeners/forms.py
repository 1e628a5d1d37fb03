"""The buttons of a form."""

from __future__ import annotations

from typing import Any

from slack_bolt.app.async_app import AsyncApp
from slack_bolt.context.ack.async_ack import AsyncAck

from bot.services.forms import DecisionDesk
from bot.slack import ids
from bot.slack.payloads import ButtonClick


def register(app: AsyncApp, decisions: DecisionDesk) -> None:
    """Take a click on any action of any form."""

    async def handle_user_action(ack: AsyncAck, body: dict[str, Any]) -> None:
        click = ButtonClick.model_validate(body)
        chosen = ids.decode_action(click.value)
        await decisions.choose(
            chosen.run_id,
            chosen.form_id,
            chosen.action_id,
            click.user_id,
            click.entered,
            typed=click.changed,
            delivery=click.delivery,
        )
        await ack()

    app.action(ids.CHOOSE_ACTION)(handle_user_action)
