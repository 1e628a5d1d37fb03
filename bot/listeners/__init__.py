"""The edge to Bolt: read the payload, make one service call that saves, ack. Every listener is named here."""

from __future__ import annotations

from collections.abc import Callable

from slack_bolt.app.async_app import AsyncApp

from bot.listeners import commands, errors, forms, runs
from bot.services.commands import CommandDesk
from bot.services.forms import DecisionDesk


def register(
    app: AsyncApp, command: str, desk: CommandDesk, decisions: DecisionDesk, new_id: Callable[[], str]
) -> None:
    """Register every listener. The first that matches a payload takes it, so the ones for the rest come last."""
    commands.register(app, command, desk, new_id)
    forms.register(app, decisions)
    runs.register(app, decisions)
    errors.register(app)
