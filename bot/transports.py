"""How Slack reaches the bot: over a WebSocket that the bot opens (Socket Mode), or by signed HTTP requests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import structlog
from aiohttp import ClientError, web
from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler
from slack_bolt.app.async_app import AsyncApp
from slack_sdk.errors import SlackApiError
from slack_sdk.socket_mode.async_client import AsyncBaseSocketModeClient
from slack_sdk.socket_mode.request import SocketModeRequest
from slack_sdk.web.async_client import AsyncWebClient

from bot.errors import ConfigError, SlackUnavailable
from bot.settings import HOW_TO
from bot.slack.delivery.failures import slack_error

log = structlog.get_logger(__name__)

EVENTS_PATH = "/slack/events"
HEALTH_PATH = "/healthz"

CONNECT_TIMEOUT = 30.0
WATCH_INTERVAL = 5.0
MISSES = 3
"""Looks at a dead socket before the connection is built anew. Slack's own client comes first: it reconnects by itself,
but never out of an expired address or a closed session (python-slack-sdk#1922)."""
LAST_ACKS = 3.0
"""Seconds that payloads under way get to be acked at the end: Slack gives them no more."""


class _DrainableHandler(AsyncSocketModeHandler):
    """Bolt's handler, which can stop taking payloads and wait for those it has."""

    def __init__(self, app: AsyncApp, app_token: str, web_client: AsyncWebClient) -> None:
        super().__init__(app, app_token, web_client=web_client)
        self._under_way: set[asyncio.Task[None] | None] = set()

    async def handle(self, client: AsyncBaseSocketModeClient, req: SocketModeRequest) -> None:
        task = asyncio.current_task()
        self._under_way.add(task)
        try:
            await super().handle(client, req)  # type: ignore[arg-type]
        finally:
            self._under_way.discard(task)

    async def drain(self) -> None:
        """Take no further payload (Slack delivers it elsewhere or again) and wait for the acks under way."""
        self.client.socket_mode_request_listeners.clear()
        waiting = [task for task in self._under_way if task is not None]
        if waiting:
            await asyncio.wait(waiting, timeout=LAST_ACKS)
        await self.client.close()


@asynccontextmanager
async def socket_mode(app: AsyncApp, app_token: str, web_client: AsyncWebClient) -> AsyncIterator[None]:
    """Take payloads over Socket Mode while the context is open; drained when it closes.

    Raises:
        ConfigError: Slack refuses the app-level token.
        SlackUnavailable: no connection could be opened.
    """
    connection = _Connection(app, app_token, web_client)
    await connection.open()
    watchdog = asyncio.create_task(connection.watch(), name="socket mode watchdog")
    try:
        yield
    finally:
        watchdog.cancel()
        await asyncio.gather(watchdog, return_exceptions=True)
        await connection.close()


class _Connection:
    """The present handler and its watchdog."""

    def __init__(self, app: AsyncApp, app_token: str, web_client: AsyncWebClient) -> None:
        self._app = app
        self._app_token = app_token
        self._web_client = web_client
        self._handler: _DrainableHandler | None = None

    async def open(self) -> None:
        handler = _DrainableHandler(self._app, self._app_token, self._web_client)
        try:
            await self._connect(handler)
        except BaseException:
            await handler.client.close()
            raise
        self._handler = handler

    async def _connect(self, handler: _DrainableHandler) -> None:
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                # Slack's client would try for ever with a token that is refused: the address is asked for here.
                answer = await self._web_client.apps_connections_open(app_token=self._app_token)
                handler.client.wss_uri = answer["url"]
                await handler.client.connect()
        except (SlackApiError, ClientError, TimeoutError) as exc:
            error = slack_error(exc)
            if isinstance(error, SlackUnavailable):
                raise SlackUnavailable(f"Socket Mode cannot be reached: {error}", sent=False) from exc
            raise ConfigError(
                f"SLACK_APP_TOKEN is refused by Slack ({error.code}): {HOW_TO['slack_app_token']}, "
                "and switch Socket Mode on."
            ) from exc

    async def close(self) -> None:
        if self._handler is not None:
            await self._handler.drain()

    async def watch(self) -> None:
        """Build the connection anew whenever Slack's client did not bring it back by itself."""
        misses = 0
        while True:
            await asyncio.sleep(WATCH_INTERVAL)
            misses = 0 if await self._is_connected() else misses + 1
            if misses >= MISSES:
                misses = 0
                await self._renew()

    async def _is_connected(self) -> bool:
        try:
            return self._handler is not None and await self._handler.client.is_connected()
        except Exception:
            log.exception("Socket Mode does not say whether it is up")
            return False

    async def _renew(self) -> None:
        log.warning("Socket Mode is down, connecting anew")
        handler, self._handler = self._handler, None
        try:
            if handler is not None:
                await handler.client.close()
            await self.open()
        except Exception:
            # Whatever it is, a later look tries again: without a connection the bot is deaf.
            log.exception("Socket Mode stays down")


@asynccontextmanager
async def http(app: AsyncApp, host: str, port: int, healthy: Callable[[], Awaitable[bool]]) -> AsyncIterator[int]:
    """Take signed payloads at `/slack/events` while the context is open, and answer `/healthz`; gives the port.

    Raises:
        ConfigError: the address cannot be listened on.
    """
    web_app = app.web_app(EVENTS_PATH)

    async def health(_: web.Request) -> web.Response:
        if await healthy():
            return web.json_response({"status": "ok"})
        return web.json_response({"status": "database unreachable"}, status=503)

    web_app.router.add_get(HEALTH_PATH, health)
    runner = web.AppRunner(web_app, access_log=None, shutdown_timeout=LAST_ACKS)
    await runner.setup()
    site = web.TCPSite(runner, host, port)
    try:
        await site.start()
    except OSError as exc:
        await runner.cleanup()
        raise ConfigError(
            f"PORT {port} on HOST {host} cannot be listened on ({exc.strerror}): "
            "stop what listens there, or give another PORT."
        ) from exc
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()
