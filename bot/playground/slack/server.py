"""The workspace on the network: Web API, Socket Mode, response URLs and files on one local port.

A second port of the same host is another of Slack's, to which a file's address may redirect (slack-platform §5.3).
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from types import TracebackType
from typing import Any, Self

from aiohttp import BodyPartReader, web

from bot.playground.bodies import Received
from bot.playground.slack import downloads, responses, web_api
from bot.playground.slack.delivery import HttpTransport, SocketTransport
from bot.playground.slack.faults import (
    CutBody,
    CutConnection,
    Fault,
    LostResponse,
    RateLimited,
    Refuse,
    ServerError,
    held_back,
)
from bot.playground.slack.refusals import Refusal
from bot.playground.slack.text import Json
from bot.playground.slack.workspace import Call, Workspace

_BODY_MAX = 2**20  # bytes
_CUT_AFTER_S = 0.05  # what is under way when the server goes down
# Bytes of an upload: more than aiohttp has ready at once, else it puts some back with a warning about itself.
_PIECE = 1024 * 1024

Answer = tuple[int, Json, dict[str, str]]
"""HTTP status, body and further headers."""
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class SlackServer:
    """Serves a workspace while it is entered; delivers over Socket Mode unless `deliver_over_http` was called.

    Slack can go away and come back (`down`, `up`), its sockets can end (`sockets`); failures of single calls and
    deliveries are ordered from `Workspace.faults`.
    """

    def __init__(self, workspace: Workspace, host: str = "127.0.0.1", port: int = 0) -> None:
        self.workspace = workspace
        self._host, self._port = host, port
        self._sites: list[web.TCPSite] = []
        self._cdn_port = 0
        self._outage: int | None = None
        app = web.Application(client_max_size=_BODY_MAX, middlewares=[self._unless_down])
        app.router.add_route("*", "/api/{method}", self._call)
        app.router.add_get("/link/", self._connect)
        app.router.add_post("/upload/v1/{secret}", self._upload)
        app.router.add_get("/files-pri/{key}/{name:.+}", self._download)
        app.router.add_get("/files/{rest:.+}", _sign_in)
        app.router.add_post("/{kind:actions|commands}/{number}/{secret}", self._respond)
        self._runner = web.AppRunner(app, shutdown_timeout=1)

    @property
    def api_url(self) -> str:
        """What to set `SLACK_API_URL` to."""
        return f"{self.workspace.url}/api/"

    @property
    def sockets(self) -> SocketTransport:
        """The Socket Mode connections, to announce their end (`disconnect`) or cut them (`cut`)."""
        return self.workspace.courier.sockets

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        await self._listen()
        self._port, self._cdn_port = (address[1] for address in self._runner.addresses)
        self.workspace.url = f"http://{self._host}:{self._port}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.workspace.courier.close()
        await self._runner.cleanup()
        self.workspace.files.close()

    async def _listen(self) -> None:
        self._sites = [web.TCPSite(self._runner, self._host, port) for port in (self._port, self._cdn_port)]
        for site in self._sites:
            await site.start()

    async def down(self, status: int | None = None) -> None:
        """Take Slack away: sockets and calls under way are cut, and connections refused or answered with `status`.

        Events raised meanwhile are kept for the next socket (slack-platform §4.3). All of it is done, also where the
        caller is cancelled.
        """
        going = asyncio.ensure_future(self._go_down(status))
        try:
            await asyncio.shield(going)
        finally:
            # A connection that is cut by half takes every further request and answers none.
            await going

    async def _go_down(self, status: int | None) -> None:
        assert self._runner.server
        self._outage = status
        if status is None:
            sites, self._sites = self._sites, []
            for site in sites:
                await site.stop()
        await self._runner.server.shutdown(_CUT_AFTER_S)

    async def up(self) -> None:
        """Bring Slack back at the same address."""
        self._outage = None
        if not self._sites:
            await self._listen()

    @web.middleware
    async def _unless_down(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if not self._sites:
            return _cut(request)  # was accepted just before
        if self._outage:
            answer = web.json_response({"ok": False, "error": "service_unavailable"}, status=self._outage)
            answer.force_close()  # no connection from an outage may outlive it: the next one could not cut it
            return answer
        return await handler(request)

    async def deliver_over_http(self, url: str, options_url: str | None = None) -> None:
        """Deliver everything to the app at `url` from now on, questions for options to `options_url`.

        Raises `RuntimeError` when the app fails the `url_verification` handshake.
        """
        transport = HttpTransport(self.workspace, url, options_url)
        try:
            await transport.verify()
        except BaseException:
            await transport.close()
            raise
        await self.workspace.courier.use(transport)

    # --- Web API -----------------------------------------------------------------------------------------------------

    async def _call(self, request: web.Request) -> web.StreamResponse:
        arrived = time.monotonic()
        method = request.match_info["method"]
        try:
            arguments = await _arguments(request)
        except Refusal as refusal:
            return web.json_response(refusal.to_json())
        token = request.headers.get("Authorization", "").removeprefix("Bearer ") or arguments.pop("token", None)

        def work(fault: Fault | None) -> Answer:
            answer = self._answer(method, arguments, token, fault)
            status, body, _ = answer
            call = Call(method, arguments, body, status, arrived, time.monotonic(), self.workspace.now())
            self.workspace.record(call)
            return answer

        scopes = ",".join(sorted(self.workspace.scopes))
        return await self._under_faults(request, method, arguments, work, {"x-oauth-scopes": scopes})

    def _answer(self, method: str, arguments: Json, token: str | None, fault: Fault | None) -> Answer:
        if failure := _failure(fault):
            return failure
        wait = self.workspace.rate_limits.retry_after(method, arguments.get("channel"), self.workspace.now())
        if wait:
            return _rate_limited(wait)
        if isinstance(fault, Refuse):
            return 200, Refusal(fault.code).to_json(), {}
        try:
            return 200, web_api.call(self.workspace, method, arguments, token), {}
        except Refusal as refusal:
            self.workspace.note_refusal(method, refusal)
            return 200, refusal.to_json(), {}

    async def _under_faults(
        self,
        request: web.Request,
        target: str,
        arguments: Json,
        work: Callable[[Fault | None], Answer],
        headers: dict[str, str],
    ) -> web.Response:
        """Do the work and answer, as far as the failure ordered for `target` lets it."""
        return await self._answered(request, self.workspace.faults.take(target, arguments), work, headers)

    async def _answered(
        self,
        request: web.Request,
        fault: Fault | None,
        work: Callable[[Fault | None], Answer],
        headers: dict[str, str],
    ) -> web.Response:
        await held_back(fault)
        if isinstance(fault, CutConnection):
            return _cut(request)
        status, body, more = work(fault)
        if isinstance(fault, LostResponse):
            return _cut(request)
        return web.json_response(body, status=status, headers=headers | more)

    # --- Socket Mode -------------------------------------------------------------------------------------------------

    async def _connect(self, request: web.Request) -> web.StreamResponse:
        if not self.workspace.tickets.take_socket(request.query.get("ticket", "")):
            raise web.HTTPForbidden(text="this ticket is used up, too old or unknown")
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        if len(self.sockets.connections) >= SocketTransport.CONNECTIONS_MAX:  # slack-platform §4.4
            await socket.send_json({"type": "disconnect", "reason": "too_many_websockets"})
            await socket.close()
        else:
            await self.sockets.serve(socket)
        return socket

    # --- files -------------------------------------------------------------------------------------------------------

    async def _upload(self, request: web.Request) -> web.StreamResponse:
        """Take a file, as its bytes or as the file of a form; failures of this are ordered for `upload`."""
        files, secret = self.workspace.files, request.match_info["secret"]
        file = files.announced(secret)
        fault = self.workspace.faults.take("upload", {"file_id": file.id, "name": file.name} if file else {})
        most = file.length if file else 0
        body = await _received(request, min(most, fault.after_bytes) if isinstance(fault, CutBody) else most)
        if isinstance(fault, CutBody):
            body.close()
            return _cut(request)

        def work(fault: Fault | None) -> Answer:
            if failure := _failure(fault):
                return failure
            stored = files.store(secret, body)
            return (200, {"ok": True}, {}) if stored else (400, {"ok": False, "error": "invalid_upload"}, {})

        try:
            return await self._answered(request, fault, work, {})
        finally:
            if file is None or file.body is not body:
                body.close()

    async def _download(self, request: web.Request) -> web.StreamResponse:
        """Send a file's bytes to who may have them; failures of this are ordered for `download`."""
        port = request.transport.get_extra_info("sockname")[1] if request.transport else None
        here, there = (self._cdn_port, self._port) if port == self._cdn_port else (self._port, self._cdn_port)
        host = "cdn" if here == self._cdn_port else "files"
        return await downloads.answer(self.workspace, request, host, f"http://{self._host}:{there}")

    # --- response URLs -----------------------------------------------------------------------------------------------

    async def _respond(self, request: web.Request) -> web.StreamResponse:
        arguments = await _arguments(request)

        def work(fault: Fault | None) -> Answer:
            if failure := _failure(fault):
                return failure
            if isinstance(fault, Refuse):
                return _response_url_refused(Refusal(fault.code))
            try:
                destination = self.workspace.tickets.use_response_url(request.path.lstrip("/"))
                responses.respond(self.workspace, destination, arguments)
            except Refusal as refusal:
                self.workspace.note_refusal("response_url", refusal)
                return _response_url_refused(refusal)
            return 200, {"ok": True}, {}

        return await self._under_faults(request, "response_url", arguments, work, {})


async def _received(request: web.Request, most: int) -> Received:
    """Take in a body, but not much more of it than so many bytes."""
    body = Received()
    stream: AsyncIterator[bytes] = request.content.iter_chunked(_PIECE)
    if request.content_type.startswith("multipart/"):
        part = await (await request.multipart()).next()
        assert isinstance(part, BodyPartReader)
        stream = _pieces(part)
    try:
        async for chunk in stream:
            body.write(chunk)
            if body.size > most:
                break
    except BaseException:
        body.close()
        raise
    return body


async def _pieces(part: BodyPartReader) -> AsyncIterator[bytes]:
    while chunk := await part.read_chunk(_PIECE):
        yield chunk


async def _sign_in(request: web.Request) -> web.Response:
    """Answer a file's page: nobody is signed in here."""
    return downloads.sign_in_page()


def _cut(request: web.Request) -> web.Response:
    if request.transport:
        request.transport.abort()
    return web.Response()


def _failure(fault: Fault | None) -> Answer | None:
    match fault:
        case ServerError(status):
            return status, {"ok": False, "error": "internal_error"}, {}
        case RateLimited(seconds):
            return _rate_limited(seconds)
    return None


def _response_url_refused(refusal: Refusal) -> Answer:
    gone = refusal.code in ("invalid_url", "expired_url", "used_url")
    return 404 if gone else 400, refusal.to_json(), {}


def _rate_limited(seconds: int) -> Answer:
    return 429, {"ok": False, "error": "ratelimited"}, {"Retry-After": str(seconds)}


async def _arguments(request: web.Request) -> Json:
    """Arguments as clients send them: in the query, as a form, or as a JSON object. Raises `Refusal`."""
    arguments: dict[str, Any] = dict(request.query)
    if request.content_type == "application/json":
        try:
            sent = json.loads(await request.text() or "{}")
        except ValueError:
            raise Refusal("invalid_json") from None
        if not isinstance(sent, dict):
            raise Refusal("json_not_object")
        return arguments | sent
    return arguments | dict(await request.post())
