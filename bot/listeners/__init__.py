"""The edge to Bolt: read the payload, make one service call that saves, ack. Every listener is named here."""

from __future__ import annotations

from collections.abc import Callable

from slack_bolt.app.async_app import AsyncApp

from bot.listeners import commands, errors, forms, messages, runs, starts
from bot.listeners import windows as form_windows
from bot.services.commands import CommandDesk
from bot.services.conversations import ConversationDesk
from bot.services.forms import DecisionDesk
from bot.services.starts import StartDesk
from bot.services.windows import WindowDesk


def register(
    app: AsyncApp,
    command: str,
    desk: CommandDesk,
    start_desk: StartDesk,
    decisions: DecisionDesk,
    windows: WindowDesk,
    conversations: ConversationDesk,
    new_id: Callable[[], str],
) -> None:
    """Register every listener. The first that matches a payload takes it, so the ones for the rest come last."""
    commands.register(app, command, desk, start_desk, new_id)
    starts.register(app, start_desk)
    forms.register(app, decisions)
    form_windows.register(app, windows)
    runs.register(app, decisions)
    messages.register(app, conversations, windows)
    errors.register(app)
