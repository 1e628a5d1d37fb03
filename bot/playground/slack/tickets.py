"""Short-lived permissions Slack hands out: trigger ids, response URLs and tickets for a Socket Mode connection."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field

from bot.playground.slack.refusals import Refusal
from bot.playground.slack.state import Channel, Message

TRIGGER_SECONDS = 3  # slack-platform §4.1
RESPONSE_URL_SECONDS, RESPONSE_URL_USES = 30 * 60, 5  # slack-platform §4.1
_SOCKET_SECONDS = 30


@dataclass
class Trigger:
    """What a `trigger_id` stands for; `view_id` is set when it comes from inside a modal."""

    user_id: str
    view_id: str | None
    expires_at: float
    exchanged: bool = False


@dataclass(frozen=True)
class Destination:
    """Where an answer to something a person did goes."""

    channel: Channel
    user_id: str
    source: Message | None
    """The message whose button was pressed; None for a slash command or a shortcut."""
    may_thread: bool = True
    """Whether an answer may stand in a thread."""


@dataclass
class _ResponseUrl:
    destination: Destination
    expires_at: float
    uses: int = 0


@dataclass
class Tickets:
    """Every ticket handed out; `now` is the workspace's clock."""

    now: Callable[[], float]
    _triggers: dict[str, Trigger] = field(default_factory=dict)
    _response_urls: dict[str, _ResponseUrl] = field(default_factory=dict)
    _sockets: dict[str, float] = field(default_factory=dict)

    def new_trigger(self, user_id: str, view_id: str | None = None) -> str:
        """A `trigger_id` for what this person did just now."""
        trigger_id = f"{len(self._triggers) + 1}.{secrets.token_hex(16)}"
        self._triggers[trigger_id] = Trigger(user_id, view_id, self.now() + TRIGGER_SECONDS)
        return trigger_id

    def exchange(self, trigger_id: str) -> Trigger:
        """Use a `trigger_id` up. Raises `Refusal` when it is unknown, used or too old (slack-platform §4.1)."""
        trigger = self._triggers.get(trigger_id)
        if trigger is None:
            raise Refusal("invalid_trigger_id")
        if trigger.exchanged:
            raise Refusal("trigger_exchanged")
        if self.now() > trigger.expires_at:
            raise Refusal("trigger_expired")
        trigger.exchanged = True
        return trigger

    def new_response_url(self, destination: Destination) -> str:
        """The path of a `response_url`, below the server's own URL."""
        kind = "actions" if destination.source else "commands"
        path = f"{kind}/{len(self._response_urls) + 1}/{secrets.token_urlsafe(18)}"
        self._response_urls[path] = _ResponseUrl(destination, self.now() + RESPONSE_URL_SECONDS)
        return path

    def use_response_url(self, path: str) -> Destination:
        """Count one use and say where the answer goes. Raises `Refusal` when the URL is unknown, used up or too old."""
        url = self._response_urls.get(path)
        if url is None:
            raise Refusal("invalid_url")
        if self.now() > url.expires_at:
            raise Refusal("expired_url")
        if url.uses == RESPONSE_URL_USES:
            raise Refusal("used_url")
        url.uses += 1
        return url.destination

    def new_socket(self) -> str:
        """A ticket that opens one Socket Mode connection."""
        ticket = secrets.token_urlsafe(18)
        self._sockets[ticket] = self.now() + _SOCKET_SECONDS
        return ticket

    def take_socket(self, ticket: str) -> bool:
        """Whether the ticket is good for a connection; it is not a second time."""
        return self.now() <= self._sockets.pop(ticket, 0)
