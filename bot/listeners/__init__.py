"""The edge to Bolt: read the payload, make one service call that saves, ack. Every listener is named here."""

from __future__ import annotations

from collections.abc import Callable

from slack_bolt.app.async_app import AsyncApp

from bot.listeners import commands, errors, files, forms, home, messages, runs, starts
from bot.listeners import windows as form_windows
from bot.services.commands import CommandDesk
from bot.services.conversations import ConversationDesk
from bot.services.form_files import FormFileDesk
from bot.services.forms import DecisionDesk
from bot.services.homes import HomeDesk
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
    file_desk: FormFileDesk,
    homes: HomeDesk,
    new_id: Callable[[], str],
) -> None:
    """Register every listener. The first that matches a payload takes it, so the ones for the rest come last."""
    commands.register(app, command, desk, start_desk, new_id)
    starts.register(app, start_desk)
    forms.register(app, decisions)
    form_windows.register(app, windows)
    runs.register(app, decisions)
    messages.register(app, command, conversations, windows, file_desk, start_desk)
    files.register(app, file_desk)
    home.register(app, homes)
    errors.register(app)
