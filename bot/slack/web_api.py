"""Slack's Web API: one call each, in its turn, and what goes wrong named as the bot's own errors."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import aiohttp
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.web.async_slack_response import AsyncSlackResponse
from slack_sdk.webhook.async_client import AsyncWebhookClient

from bot.errors import SlackRejected, SlackUnavailable
from bot.slack.failures import CONTENT_REFUSED, error_of, refusal_details, slack_error
from bot.slack.limits import Gate, Importance
from bot.slack.message import Message

log = logging.getLogger(__name__)

POST, UPDATE, DELETE, REPLIES = "chat.postMessage", "chat.update", "chat.delete", "conversations.replies"
QUIET: dict[str, Any] = {"unfurl_links": False, "unfurl_media": False}
"""Of what is posted: an unfurl is a fetch of an address that a model may have chosen (slack-platform §6.1)."""
_TIMEOUT = aiohttp.ClientTimeout(total=30)  # seconds

_Call = Callable[..., Awaitable[AsyncSlackResponse]]


@dataclass(frozen=True, slots=True)
class Errand:
    """What is being carried out, as far as every call on the way needs to know."""

    post_id: str
    again: bool
    importance: Importance


class WebApi:
    """The calls of one workspace. Use it as an asynchronous context manager.

    A post must never be sent again by itself, so the client's retry handlers are not used (slack-platform §8.2): the
    outbox tries again, and looks into the thread first.
    """

    def __init__(self, client: AsyncWebClient, rate_factor: float, may_send: Callable[[], bool]) -> None:
        """`rate_factor` and `may_send` are those of the `SlackGateway`."""
        self.gate = Gate(rate_factor)
        self.may_send = may_send
        self._client = client
        self._session: aiohttp.ClientSession | None = None
        self._web = client
        self._open = AsyncExitStack()

    async def __aenter__(self) -> WebApi:
        self._session = await self._open.enter_async_context(aiohttp.ClientSession(timeout=_TIMEOUT))
        self._web = AsyncWebClient(
            token=self._client.token,
            base_url=self._client.base_url,
            ssl=self._client.ssl,
            proxy=self._client.proxy,
            session=self._session,
            retry_handlers=[],
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._open.aclose()

    async def turn(self, method: str, errand: Errand, channel: str | None = None) -> None:
        """Wait for the turn of a call, in its `channel` where it posts into one.

        Raises:
            SlackUnavailable: it takes too long.
        """
        await self.gate.turn(method, channel, errand.importance, errand.post_id)

    async def send(self, method: str, message: Message, **where: Any) -> AsyncSlackResponse:
        """Send a message whose turn has come; one whose blocks Slack refuses goes once more as plain text."""
        try:
            return await self.ask(method, text=message.text, blocks=_wire(message), parse="none", **where)
        except SlackRejected as refused:
            if refused.code not in CONTENT_REFUSED:
                raise
        self.gate.count(method)
        return await self.ask(method, text=message.plain, parse="none", **where)

    async def ask(self, method: str, **arguments: Any) -> AsyncSlackResponse:
        """Make a call whose turn has come.

        Raises:
            SlackError: Slack refused it or did not answer, or another process may be making the same by now.
        """
        self._check_may_send()
        call: _Call = getattr(self._web, method.replace(".", "_"))
        try:
            return await call(**arguments)
        except (SlackApiError, aiohttp.ClientError, TimeoutError) as failure:
            error = slack_error(failure)
            if isinstance(error, SlackUnavailable) and error.retry_after is not None:
                self.gate.hold(method, error.retry_after)
            if error.code in CONTENT_REFUSED and isinstance(failure, SlackApiError):
                log.error("Slack refused a message: %s %s", error.code, refusal_details(failure))
            raise error from failure

    async def upload(self, url: str, content: bytes) -> None:
        """Send a file where Slack said; without a token, which the address holds for (slack-platform §5.4)."""
        self._check_may_send()
        assert self._session is not None, "the gateway is open"
        tls = True if self._client.ssl is None else self._client.ssl
        try:
            async with self._session.post(url, data=content, proxy=self._client.proxy, ssl=tls) as answer:
                if answer.status != 200:
                    raise error_of(answer.status, "upload_failed", answer.headers.get("Retry-After"))
        except (aiohttp.ClientError, TimeoutError) as failure:
            raise slack_error(failure) from failure

    async def respond(self, response_url: str, message: Message) -> None:
        """Answer a command, for its sender alone."""
        self._check_may_send()
        webhook = AsyncWebhookClient(response_url, session=self._session, retry_handlers=[])
        try:
            answer = await webhook.send(
                text=message.text, blocks=_wire(message), response_type="ephemeral", replace_original=False
            )
        except (aiohttp.ClientError, TimeoutError) as failure:
            raise slack_error(failure) from failure
        if answer.status_code != 200:
            raise error_of(answer.status_code, answer.body[:100] or "no_answer", answer.headers.get("Retry-After"))

    def _check_may_send(self) -> None:
        if not self.may_send():
            raise SlackUnavailable("another process may be sending the same by now", sent=False)


def _wire(message: Message) -> list[dict[str, Any]]:
    return [block.to_dict() for block in message.blocks]
