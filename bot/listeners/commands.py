"""The slash command: answered at once, completed in a start window, or saved and carried out from the store."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from slack_bolt.app.async_app import AsyncApp
from slack_bolt.context.ack.async_ack import AsyncAck

from bot.core.command import parse
from bot.core.model import Command
from bot.services.commands import CommandDesk
from bot.services.starts import StartDesk
from bot.slack.messages import notices
from bot.slack.payloads import SlashCommand


def register(app: AsyncApp, command: str, desk: CommandDesk, starts: StartDesk, new_id: Callable[[], str]) -> None:
    """Take the command of this name."""

    async def handle_command(ack: AsyncAck, body: dict[str, Any]) -> None:
        payload = SlashCommand.model_validate(body)
        if parse(payload.text).wants_help:
            await ack(notices.usage(command, desk.app_names))
            return
        given = Command(
            command_id=new_id(),
            name=payload.command,
            text=payload.text,
            team_id=payload.team_id,
            channel_id=payload.channel_id,
            user_id=payload.user_id,
            response_url=payload.response_url,
        )
        if not await starts.open(given, payload.trigger_id):
            await desk.take_in(given, payload.delivery)
        await ack()

    app.command(command)(handle_command)
