"""The workspace on the network: Web API, Socket Mode and response URLs on one local port."""

from __future__ import annotations

import asyncio
import json
import time
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from bot.playground.slack import responses, web_api
from bot.playground.slack.delivery import HttpTransport, SocketTransport
from bot.playground.slack.faults import Delay, Fault, LostResponse, RateLimited, Refuse, ServerError
from bot.playground.slack.refusals import Refusal
from bot.playground.slack.text import Json
from bot.playground.slack.workspace import Call, Workspace

_BODY_MAX = 2**20  # bytes


class SlackServer:
    """Serves a workspace while it is entered; delivers over Socket Mode unless `deliver_over_http` was called."""

    def __init__(self, workspace: Workspace, host: str = "127.0.0.1", port: int = 0) -> None:
        self.workspace = workspace
        self._host, self._port = host, port
        app = web.Application(client_max_size=_BODY_MAX)
        app.router.add_route("*", "/api/{method}", self._call)
        app.router.add_get("/link/", self._connect)
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
        await web.TCPSite(self._runner, self._host, self._port).start()
        port = self._runner.addresses[0][1]
        self.workspace.url = f"http://{self._host}:{port}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.workspace.courier.close()
        await self._runner.cleanup()

    async def deliver_over_http(self, url: str) -> None:
        """Deliver everything to the app at `url` from now on.

        Raises `RuntimeError` when the app fails the `url_verification` handshake.
        """
        transport = HttpTransport(self.workspace, url)
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
        fault = self.workspace.faults.take(method, arguments)
        if isinstance(fault, Delay):
            await asyncio.sleep(fault.seconds)
        status, answer, headers = self._answer(method, arguments, token, fault)
        call = Call(method, arguments, answer, status, arrived, time.monotonic(), self.workspace.now())
        self.workspace.record(call)
        if isinstance(fault, LostResponse) and request.transport:
            request.transport.abort()
        scopes = ",".join(sorted(self.workspace.scopes))
        return web.json_response(answer, status=status, headers={"x-oauth-scopes": scopes, **headers})

    def _answer(
        self, method: str, arguments: Json, token: str | None, fault: Fault | None
    ) -> tuple[int, Json, dict[str, str]]:
        """HTTP status, body and further headers."""
        match fault:
            case ServerError(status):
                return status, {"ok": False, "error": "internal_error"}, {}
            case RateLimited(seconds):
                return _rate_limited(seconds)
        wait = self.workspace.rate_limits.retry_after(method, arguments.get("channel"), self.workspace.now())
        if wait:
            return _rate_limited(wait)
        try:
            if isinstance(fault, Refuse):
                raise Refusal(fault.code)
            return 200, web_api.call(self.workspace, method, arguments, token), {}
        except Refusal as refusal:
            return 200, refusal.to_json(), {}

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

    # --- response URLs -----------------------------------------------------------------------------------------------

    async def _respond(self, request: web.Request) -> web.StreamResponse:
        arguments = await _arguments(request)
        try:
            destination = self.workspace.tickets.use_response_url(request.path.lstrip("/"))
            responses.respond(self.workspace, destination, arguments)
        except Refusal as refusal:
            gone = refusal.code in ("invalid_url", "expired_url", "used_url")
            return web.json_response(refusal.to_json(), status=404 if gone else 400)
        return web.json_response({"ok": True})


def _rate_limited(seconds: int) -> tuple[int, Json, dict[str, str]]:
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
