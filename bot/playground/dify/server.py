"""The simulated Dify server on a socket."""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from typing import Any, Literal, Self

from aiohttp import web

from bot.playground.dify.api import BODY_FAULT, LOST, Api
from bot.playground.dify.errors import ApiError, BodyTooLarge
from bot.playground.dify.faults import BodyFault, CutBody, Delay, Failure, Hold, LateResponse, LostResponse, Route
from bot.playground.dify.simulator import Dify, RecordedRequest

VERSION = "1.14.2"
_RECORD = web.RequestKey("record", RecordedRequest)
_SHUTDOWN_S = 0.05  # then streams that are still open are cut off
_UPLOAD_LIMIT_BYTES = 110 * 1024 * 1024
_TOO_LARGE = 413
_PROXY_ERRORS = {502: "502 Bad Gateway", 503: "503 Service Temporarily Unavailable", 504: "504 Gateway Time-out"}
_PROXY_TITLES = _PROXY_ERRORS | {_TOO_LARGE: "413 Request Entity Too Large"}
_PAGE = "<!doctype html>\n<html lang=en>\n<title>{title}</title>\n<h1>{heading}</h1>\n<p>{text}</p>\n"
_NOT_FOUND = _PAGE.format(
    title="404 Not Found",
    heading="Not Found",
    text="The requested URL was not found on the server. "
    "If you entered the URL manually please check your spelling and try again.",
)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class _ProxyError(web.Response):
    """What a proxy answers that cannot or will not ask Dify: HTML, without Dify's headers (dify-api §2.4)."""

    def __init__(self, status: int) -> None:
        title = _PROXY_TITLES[status]
        page = f"<html>\r\n<head><title>{title}</title></head>\r\n<body><h1>{title}</h1></body>\r\n</html>"
        super().__init__(status=status, text=page, content_type="text/html")
        self.force_close()  # no connection from an outage may outlive it: the next one could not cut it


class DifyServer:
    """Serves a `Dify` in the running event loop: `async with DifyServer(dify) as server: server.base_url`.

    The API can go away and come back (`down`, `up`) and have few connections (`limit_connections`); whatever else can
    go wrong is ordered from the `Dify`. Addresses of files begin with the API's own host, with another one
    (`localhost`, on another port) or, where nobody has set `FILES_URL`, with their path (dify-api §12.6).
    """

    def __init__(
        self,
        dify: Dify,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        files_url: Literal["own", "other", "hostless"] = "own",
    ) -> None:
        self._dify = dify
        self._files_url = files_url
        self._origin = ""
        self._files_port = 0
        self._host = host
        self._port = port
        self._runner: web.AppRunner | None = None
        self._sites: list[web.TCPSite] = []
        self._proxy_error: int | None = None
        self._room = asyncio.Semaphore(sys.maxsize)

    @property
    def base_url(self) -> str:
        """Return the API's root, a value for `DIFY_BASE_URL`."""
        return f"{self._origin}/v1"

    async def __aenter__(self) -> Self:
        app = web.Application(middlewares=[self._serve], client_max_size=_UPLOAD_LIMIT_BYTES)
        app.add_routes([*Api(self._dify).routes(), web.get("/v1", _redirect)])
        app.on_response_prepare.append(self._sign)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=_SHUTDOWN_S)
        await self._runner.setup()
        await self._listen()
        host, self._port = self._runner.addresses[0][:2]
        self._files_port = self._runner.addresses[-1][1]
        self._origin = f"http://{host}:{self._port}"
        origins = {"own": self._origin, "other": f"http://localhost:{self._files_port}", "hostless": ""}
        self._dify.files.origin = origins[self._files_url]
        self._dify.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._runner
        await self._runner.cleanup()
        await self._dify.close()

    async def _listen(self) -> None:
        assert self._runner
        ports = (self._port, self._files_port) if self._files_url == "other" else (self._port,)
        self._sites = [web.TCPSite(self._runner, self._host, port) for port in ports]
        for site in self._sites:
            await site.start()

    async def down(self, status: int | None = None) -> None:
        """Take the API away: streams are cut inside their bodies, runs and forms untouched (recording 45).

        Connections are refused meanwhile; with a `status` (502, 503 or 504) a proxy answers it to every request. All of
        it is done, also where the caller is cancelled.
        """
        going = asyncio.ensure_future(self._go_down(status))
        try:
            await asyncio.shield(going)
        finally:
            # A connection that is cut by half takes every further request and answers none.
            await going

    async def _go_down(self, status: int | None) -> None:
        assert self._runner
        assert self._runner.server
        self._proxy_error = status
        if status is None:
            sites, self._sites = self._sites, []
            for site in sites:
                await site.stop()
        await self._runner.server.shutdown(_SHUTDOWN_S)

    async def up(self) -> None:
        """Bring the API back at the same address."""
        self._proxy_error = None
        if not self._sites:
            await self._listen()

    def limit_connections(self, count: int) -> None:
        """Look at so many requests at once from now on, streams included; others get no answer (recording 22)."""
        self._room = asyncio.Semaphore(count)

    @web.middleware
    async def _serve(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if not self._sites and request.transport:
            request.transport.abort()  # was accepted just before
            return web.Response()
        record = RecordedRequest(
            request.method, request.path, dict(request.query), await _recorded_body(request), self._dify.clock.now()
        )
        request[_RECORD] = record
        self._dify.requests.append(record)
        self._dify.changes.notify()
        if self._proxy_error:
            return _ProxyError(self._proxy_error)
        if (request.content_length or 0) > self._dify.body_limit:
            return _ProxyError(_TOO_LARGE)
        async with self._room:
            return await self._respond(request, handler)

    async def _sign(self, request: web.Request, response: web.StreamResponse) -> None:
        """Put the version on every answer, errors and streams included (recordings 02, 29)."""
        if not isinstance(response, _ProxyError):
            response.headers["X-Version"] = VERSION
            response.headers["X-Env"] = "PRODUCTION"
        if record := request.get(_RECORD):
            record.status, record.answered_at = response.status, self._dify.clock.now()
            if isinstance(response, web.Response) and response.content_type == "application/json":
                record.answer = response.text
            self._dify.changes.notify()

    async def _respond(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if self._dify.slow_seconds:
            await self._dify.clock.sleep(self._dify.slow_seconds)
        fault = self._dify.faults.next_for(request.match_info.route.name)
        if isinstance(fault, Delay):
            await self._dify.clock.sleep(fault.seconds)
        if isinstance(fault, Hold):
            await fault.released.wait()
        if isinstance(fault, LostResponse):
            request[LOST] = True
        if isinstance(fault, BodyFault):
            request[BODY_FAULT] = fault
        try:
            if isinstance(fault, Failure):
                if fault.status in _PROXY_ERRORS:
                    return _ProxyError(fault.status)
                raise fault.error()
            if isinstance(fault, CutBody) and request.match_info.route.name == Route.UPLOAD:
                return await _cut(request, fault.after_bytes)
            response = await handler(request)
        except BodyTooLarge:
            return _ProxyError(_TOO_LARGE)
        except ApiError as error:
            response = web.json_response(error.body(), status=error.status)
        except web.HTTPNotFound:
            response = web.Response(status=404, text=_NOT_FOUND, content_type="text/html")
        except web.HTTPMethodNotAllowed:
            body = ApiError(405, "method_not_allowed", "The method is not allowed for the requested URL.").body()
            response = web.json_response(body, status=405)
        if isinstance(fault, LateResponse):
            await self._dify.clock.sleep(fault.seconds)
        if isinstance(fault, LostResponse) and request.transport:
            request.transport.close()
        return response


async def _cut(request: web.Request, after_bytes: int) -> web.Response:
    while after_bytes > 0 and (chunk := await request.content.read(after_bytes)):
        after_bytes -= len(chunk)
    if request.transport:
        request.transport.abort()
    return web.Response()


async def _recorded_body(request: web.Request) -> Any:
    if request.content_type != "application/json":
        return None
    try:
        return json.loads(await request.read())
    except ValueError:
        return None


async def _redirect(request: web.Request) -> web.Response:
    """Answer `/v1` as the real server does: with the way to a page that does not exist (recording 29)."""
    target = f"{request.url.origin()}/v1/"
    link = f'<a href="{target}">{target}</a>'
    text = f"You should be redirected automatically to the target URL: {link}. If not, click the link."
    page = _PAGE.format(title="Redirecting...", heading="Redirecting...", text=text)
    return web.Response(status=308, text=page, content_type="text/html", headers={"Location": target})
