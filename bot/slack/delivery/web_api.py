"""Slack's Web API: one call each, in its turn, and what goes wrong named as the bot's own errors."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import aiohttp
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.web.async_slack_response import AsyncSlackResponse
from slack_sdk.webhook.async_client import AsyncWebhookClient

from bot.core.ports import FileContent
from bot.errors import BotError, ImagesRefused, SlackRejected, SlackUnavailable
from bot.slack.delivery.failures import CONTENT_REFUSED, error_of, refusal_details, slack_error
from bot.slack.delivery.limits import Gate, Importance
from bot.slack.messages.message import Message

log = logging.getLogger(__name__)

POST, UPDATE, DELETE, REPLIES = "chat.postMessage", "chat.update", "chat.delete", "conversations.replies"
PUBLISH = "views.publish"
START, APPEND, STOP = "chat.startStream", "chat.appendStream", "chat.stopStream"
QUIET: dict[str, Any] = {"unfurl_links": False, "unfurl_media": False}
"""Of what is posted: an unfurl is a fetch of an address that a model may have chosen (slack-platform §6.1)."""
_IMAGES_TAKE = (0.5, 1.0, 2.0)
"""Seconds between tries to send a message with images, which Slack refuses until it has processed them [believed]."""
_TIMEOUT = aiohttp.ClientTimeout(total=30)  # seconds
TRANSFER = aiohttp.ClientTimeout(total=600, sock_connect=10, sock_read=60)
"""Of a file as a whole, of a connection, and of its next piece or the answer to the last one."""

_Call = Callable[..., Awaitable[AsyncSlackResponse]]


@dataclass(frozen=True, slots=True)
class Errand:
    """What is being carried out, as far as every call on the way needs to know."""

    post_id: str
    again: bool
    importance: Importance
    adopts: bool = False
    """A message of the bot without metadata that stands in the thread belongs to it: a stream that nobody ended."""


class WebApi:
    """The calls of one workspace. Use it as an asynchronous context manager.

    A post must never be sent again by itself, so the client's retry handlers are not used (slack-platform §8.2): the
    outbox tries again, and looks into the thread first.
    """

    def __init__(
        self,
        client: AsyncWebClient,
        rate_factor: float,
        may_send: Callable[[], bool],
        transfer: aiohttp.ClientTimeout = TRANSFER,
    ) -> None:
        """`rate_factor` and `may_send` are those of the `SlackGateway`; `transfer` is how long a file may take."""
        self.gate = Gate(rate_factor)
        self.may_send = may_send
        self._client = client
        self._session: aiohttp.ClientSession | None = None
        tls = True if client.ssl is None else client.ssl
        self._transfer = transfer
        self._way: dict[str, Any] = {"proxy": client.proxy, "ssl": tls}
        self._web = client
        self._own: AsyncSlackResponse | None = None
        self._open = AsyncExitStack()

    async def __aenter__(self) -> WebApi:
        # No cookie that the page of one host sets is any business of another one.
        session = aiohttp.ClientSession(timeout=_TIMEOUT, cookie_jar=aiohttp.DummyCookieJar())
        self._session = await self._open.enter_async_context(session)
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

    @property
    def base_url(self) -> str:
        """Where the Web API is."""
        return self._client.base_url

    async def turn(self, method: str, errand: Errand, channel: str | None = None) -> None:
        """Wait for the turn of a call, in its `channel` where it posts into one.

        Raises:
            SlackUnavailable: it takes too long.
        """
        await self.gate.turn(method, channel, errand.importance, errand.post_id)

    async def send(self, method: str, message: Message, **where: Any) -> AsyncSlackResponse:
        """Send a message whose turn has come; one whose blocks Slack refuses goes once more as plain text.

        Raises:
            ImagesRefused: nothing of it was taken: Slack does not show the images in it, also after a while.
            SlackError: Slack refused it or did not answer.
        """
        pauses = iter(_IMAGES_TAKE if message.has_images else ())
        while True:
            try:
                return await self.ask(method, text=message.text, blocks=_wire(message), parse="none", **where)
            except SlackRejected as refused:
                if refused.code not in CONTENT_REFUSED:
                    raise
                if (pause := next(pauses, None)) is None:
                    break
            await asyncio.sleep(pause)
            self.gate.count(method)
        if message.has_images:
            raise ImagesRefused("Slack does not show the images of a message", retry_after=1.0, sent=False)
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

    async def bot_id(self) -> str:
        """Return whose messages are our own: the `bot_id` of their author.

        Raises:
            SlackError: Slack did not say.
        """
        return str((await self._identity())["bot_id"])

    async def workspace_url(self) -> str:
        """Return the address that those of its messages begin with.

        Raises:
            SlackError: Slack did not say.
        """
        return str((await self._identity())["url"])

    async def _identity(self) -> AsyncSlackResponse:
        self._own = self._own or await self.ask("auth.test")
        return self._own

    @asynccontextmanager
    async def get(self, url: str, *, with_token: bool) -> AsyncIterator[aiohttp.ClientResponse]:
        """Ask for a file; an answer that leads on to another address is an answer like any other.

        Raises:
            SlackUnavailable: no answer.
        """
        headers = {"Accept-Encoding": "identity"}
        if with_token:
            headers["Authorization"] = f"Bearer {self._client.token}"
        assert self._session is not None, "the gateway is open"
        request = self._session.get(
            url, headers=headers, allow_redirects=False, auto_decompress=False, timeout=self._transfer, **self._way
        )
        async with AsyncExitStack() as stack:
            try:
                answer = await stack.enter_async_context(request)
            except (aiohttp.ClientError, TimeoutError) as failure:
                raise slack_error(failure) from failure
            yield answer

    async def upload(self, url: str, content: FileContent) -> None:
        """Send a file where Slack said, piece by piece; without a token, which the address holds for (§5.4).

        Raises:
            SlackUnavailable: no answer; or more or fewer bytes than `content.size`.
            SlackRejected: any other answer than that Slack has it.
        """
        self._check_may_send()
        failures: list[BotError] = []

        async def pieces() -> AsyncIterator[bytes]:
            otherwise = SlackUnavailable("the file had more or fewer bytes than its source said", sent=False)
            try:
                async for piece in content.exactly(otherwise):
                    yield piece
            except BotError as failure:
                # aiohttp lets the request fail, and does not say of what.
                failures.append(failure)
                raise

        headers = {"Content-Length": str(content.size), "Content-Type": "application/octet-stream"}
        assert self._session is not None, "the gateway is open"
        request = self._session.post(
            url, data=pieces(), headers=headers, allow_redirects=False, timeout=self._transfer, **self._way
        )
        try:
            async with request as answer:
                if answer.status != 200:
                    raise error_of(answer.status, "upload_failed", answer.headers.get("Retry-After"))
        except (aiohttp.ClientError, TimeoutError) as failure:
            raise (failures[0] if failures else slack_error(failure)) from failure

    async def respond(self, response_url: str, message: Message) -> None:
        """Answer a command, for its sender alone."""
        self._check_may_send()
        webhook = AsyncWebhookClient(response_url, session=self._session, retry_handlers=[])
        try:
            answer = await webhook.send(
                text=message.text,
                blocks=_wire(message),
                response_type="ephemeral",
                replace_original=False,
                **QUIET,
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
