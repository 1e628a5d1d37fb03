"""The playground's page on a socket: its files, one WebSocket, and the files that people share.

Only pages of this server may use it: another site that somebody has open in the same browser can send requests to
loopback addresses, too, under its own origin or, by DNS rebinding, under its own host name.
"""

from __future__ import annotations

import asyncio
import errno
import json
import logging
import socket as sockets
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from aiohttp import web

from bot.playground.dify import App
from bot.playground.page.actions import Actions
from bot.playground.page.dify_desk import DifyDesk, OwnFormDesk
from bot.playground.page.dify_side import DifySide
from bot.playground.page.feed import Feed, Subscription
from bot.playground.page.people_desk import PeopleDesk
from bot.playground.page.protocol import Example
from bot.playground.page.secrecy import Secrecy
from bot.playground.page.slack_side import SlackSide
from bot.playground.page.supervision import BotDesk, BotSide
from bot.playground.page.traffic import Traffic, TrafficDesk
from bot.playground.page.uploads import UPLOAD_MAX, Uploads, picture, shared_file
from bot.playground.stage import HOST, SHORTCUT, SHORTCUT_NAME, Stage

STATIC = Path(__file__).parent / "static"

_LOOPBACK = {"127.0.0.1", "localhost", "::1"}
_HEARTBEAT_SECONDS = 30.0
_POLICY = (
    "default-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-cache"}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_log = logging.getLogger(__name__)


class PortTaken(Exception):
    """Somebody listens on the page's port; the message is a sentence."""


def listen(port: int) -> sockets.socket:
    """Take a port, any free one for 0. Raises `PortTaken`."""
    try:
        return sockets.create_server((HOST, port))
    except OSError as error:
        if error.errno not in (errno.EADDRINUSE, errno.EACCES):
            raise
        why = "is in use" if error.errno == errno.EADDRINUSE else "needs more rights than you have"
        raise PortTaken(f"Port {port} {why}. Choose another one with --port, or any free one with --port 0.") from None


@asynccontextmanager
async def open_page(
    stage: Stage, apps: Mapping[str, App], examples: Sequence[Example], listening: sockets.socket
) -> AsyncIterator[str]:
    """Serve the page of a stage on a socket while the context is open, and yield its address.

    `apps` are those of the stage under the names people type.
    """
    page = _Page(stage, apps, examples)
    runner = web.AppRunner(page.app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.SockSite(runner, listening).start()
        yield f"http://{HOST}:{listening.getsockname()[1]}"
    finally:
        await runner.cleanup()


class _Page:
    """The application, and what it does as long as it is served."""

    def __init__(self, stage: Stage, apps: Mapping[str, App], examples: Sequence[Example]) -> None:
        workspace, dify = stage.workspace, stage.dify
        for person in workspace.people.values():
            workspace.direct_messages(person)
        self._workspace, self._dify = workspace, dify
        self._dify_origin = stage.dify_server.base_url.removesuffix("/v1")
        self._uploads = Uploads()
        traffic = Traffic(workspace, dify, Secrecy(workspace, dify))
        people = PeopleDesk(workspace, self._uploads)
        own = OwnFormDesk(dify, people, min(workspace.commands))
        elsewhere = DifyDesk(dify, self._uploads)
        self._actions = Actions(people, own, elsewhere, BotDesk(stage.bot), TrafficDesk(traffic))
        self._feed = Feed(
            (
                SlackSide(workspace, {SHORTCUT: SHORTCUT_NAME}, examples),
                DifySide(dify, {app.key: name for name, app in apps.items()}),
                BotSide(stage.bot),
                traffic,
            )
        )
        self._sockets: set[web.WebSocketResponse] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.app = web.Application(middlewares=[_only_own_pages], client_max_size=UPLOAD_MAX)
        self.app.router.add_get("/", _index)
        self.app.router.add_static("/static", STATIC)
        self.app.router.add_get("/socket", self._connect)
        self.app.router.add_post("/upload", self._uploads.take)
        self.app.router.add_get("/files/{file_id}", partial(shared_file, workspace))
        self.app.router.add_get("/picture", self._picture)
        self.app.cleanup_ctx.append(self._running)
        self.app.on_shutdown.append(self._hang_up)

    async def _running(self, app: web.Application) -> AsyncIterator[None]:
        """Watch both platforms as long as the page is served."""
        self._begin(self._feed.run())
        self._begin(self._watch(self._workspace.next_change))
        self._begin(self._watch(self._dify.changes.next))
        async with aiohttp.ClientSession() as self._session:
            yield
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._uploads.close()

    async def _watch(self, next_change: Callable[[], Coroutine[Any, Any, None]]) -> None:
        while True:
            await next_change()
            self._feed.changed()

    async def _hang_up(self, app: web.Application) -> None:
        for socket in tuple(self._sockets):
            await socket.close(code=aiohttp.WSCloseCode.GOING_AWAY)

    async def _picture(self, request: web.Request) -> web.Response:
        return await picture(self._session, self._dify_origin, request)

    # --- one connection ----------------------------------------------------------------------------------------------

    async def _connect(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(heartbeat=_HEARTBEAT_SECONDS, compress=False)
        await socket.prepare(request)
        self._sockets.add(socket)
        with self._feed.subscribed() as subscription:
            telling = asyncio.create_task(_tell(socket, subscription))
            try:
                async for message in socket:
                    if message.type is aiohttp.WSMsgType.TEXT:
                        self._begin(self._act(socket, message.data))
            finally:
                telling.cancel()
                self._sockets.discard(socket)
        return socket

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        """Work beside whatever else goes on: what one person waits for holds nobody up, and outlives their page."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception():
            _log.error("the page failed at something", exc_info=task.exception())

    async def _act(self, socket: web.WebSocketResponse, text: str) -> None:
        try:
            request = json.loads(text)
        except ValueError:
            request = None
        reply = await self._actions.reply(request)
        self._feed.changed()
        with suppress(ConnectionError):
            await socket.send_json(reply)


async def _tell(socket: web.WebSocketResponse, subscription: Subscription) -> None:
    with suppress(ConnectionError):
        while True:
            await socket.send_str(await subscription.next())


async def _index(request: web.Request) -> web.FileResponse:
    return web.FileResponse(STATIC / "index.html", headers={"Content-Security-Policy": _POLICY})


@web.middleware
async def _only_own_pages(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse what another site asks for, and send headers that keep the page to itself."""
    origin = request.headers.get("Origin")
    if not _is_loopback(request.host) or origin not in (None, f"http://{request.host}"):
        raise web.HTTPForbidden(text="This page is for the browser on this machine only.")
    response = await handler(request)
    if not response.prepared:
        for name, value in _HEADERS.items():
            response.headers.setdefault(name, value)
    return response


def _is_loopback(host: str) -> bool:
    """Whether a Host header names this machine, whatever its port."""
    try:
        return urlsplit(f"//{host}").hostname in _LOOPBACK
    except ValueError:
        return False
