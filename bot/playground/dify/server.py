"""The simulated Dify server on a socket."""

import json
from collections.abc import Awaitable, Callable
from typing import Any, Self

from aiohttp import web

from bot.playground.dify.api import Api
from bot.playground.dify.errors import ApiError
from bot.playground.dify.faults import Delay, Failure, LostResponse
from bot.playground.dify.simulator import Dify, RecordedRequest

VERSION = "1.14.2"
_RECORD = web.RequestKey("record", RecordedRequest)
_SHUTDOWN_S = 0.05  # then streams that are still open are cut off
_UPLOAD_LIMIT_BYTES = 110 * 1024 * 1024
_PAGE = "<!doctype html>\n<html lang=en>\n<title>{title}</title>\n<h1>{heading}</h1>\n<p>{text}</p>\n"
_NOT_FOUND = _PAGE.format(
    title="404 Not Found",
    heading="Not Found",
    text="The requested URL was not found on the server. "
    "If you entered the URL manually please check your spelling and try again.",
)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class DifyServer:
    """Serves a `Dify` in the running event loop: `async with DifyServer(dify) as server: server.base_url`."""

    def __init__(self, dify: Dify, host: str = "127.0.0.1", port: int = 0) -> None:
        self._dify = dify
        self._host = host
        self._port = port
        self._runner: web.AppRunner | None = None

    @property
    def base_url(self) -> str:
        """Return the API's root, a value for `DIFY_BASE_URL`."""
        return f"{self._dify.files.origin}/v1"

    async def __aenter__(self) -> Self:
        app = web.Application(middlewares=[self._serve], client_max_size=_UPLOAD_LIMIT_BYTES)
        app.add_routes([*Api(self._dify).routes(), web.get("/v1", _redirect)])
        app.on_response_prepare.append(self._sign)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=_SHUTDOWN_S)
        await self._runner.setup()
        await web.TCPSite(self._runner, self._host, self._port).start()
        host, port = self._runner.addresses[0][:2]
        self._dify.files.origin = f"http://{host}:{port}"
        self._dify.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._runner
        await self._runner.cleanup()
        await self._dify.close()

    @web.middleware
    async def _serve(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        record = RecordedRequest(
            request.method, request.path, dict(request.query), await _recorded_body(request), self._dify.clock.now()
        )
        request[_RECORD] = record
        self._dify.requests.append(record)
        self._dify.changes.notify()
        return await self._respond(request, handler)

    async def _sign(self, request: web.Request, response: web.StreamResponse) -> None:
        """Put the version on every answer, errors and streams included (recordings 02, 29)."""
        response.headers["X-Version"] = VERSION
        response.headers["X-Env"] = "PRODUCTION"
        if record := request.get(_RECORD):
            record.status = response.status
            self._dify.changes.notify()

    async def _respond(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        fault = self._dify.faults.next_for(request.match_info.route.name)
        if isinstance(fault, Delay):
            await self._dify.clock.sleep(fault.seconds)
        try:
            if isinstance(fault, Failure):
                raise fault.error()
            response = await handler(request)
        except ApiError as error:
            response = web.json_response(error.body(), status=error.status)
        except web.HTTPNotFound:
            response = web.Response(status=404, text=_NOT_FOUND, content_type="text/html")
        except web.HTTPMethodNotAllowed:
            body = ApiError(405, "method_not_allowed", "The method is not allowed for the requested URL.").body()
            response = web.json_response(body, status=405)
        if isinstance(fault, LostResponse) and request.transport:
            request.transport.close()
        return response


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
