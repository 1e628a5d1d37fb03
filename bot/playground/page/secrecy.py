"""Keeps secrets out of what the page shows: the simulated ones stand for real ones, which nobody may print either."""

from __future__ import annotations

import json
import re
from typing import Any

from bot.playground.dify import Dify
from bot.playground.slack import Workspace

HIDDEN = "•••"

# What Slack and Dify call a value that is the right to do something, and the ticket in a Socket Mode address.
_NAMED = re.compile(r'("(?:token|form_token|trigger_id|response_url|upload_url)": )"(?:[^"\\]|\\.)*"')
_TICKET = re.compile(r"\bticket=[\w-]+")


class Secrecy:
    """Knows the secrets of both platforms, those of forms included."""

    def __init__(self, workspace: Workspace, dify: Dify) -> None:
        self._workspace, self._dify = workspace, dify

    def text(self, text: str) -> str:
        """A text without them."""
        workspace = self._workspace
        known = (workspace.bot_token, workspace.app_token, workspace.signing_secret, *self._dify.apps)
        for secret in (*known, *self._dify.forms):
            text = text.replace(secret, HIDDEN)
        return text

    def value(self, value: Any) -> Any:
        """A JSON value without them."""
        text = self.text(json.dumps(value, ensure_ascii=False))
        return json.loads(_TICKET.sub(f"ticket={HIDDEN}", _NAMED.sub(rf'\1"{HIDDEN}"', text)))
