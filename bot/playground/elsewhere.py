"""A web server of somebody else: neither Slack nor Dify, and told no secret of theirs if all is well."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from aiohttp import web

from bot.playground.bodies import Body, body_of
from bot.playground.serving import send


@dataclass(frozen=True)
class Visit:
    """One request as it came in."""

    method: str
    path: str
    headers: Mapping[str, str]


@dataclass(frozen=True)
class _Page:
    body: Body
    content_type: str
    status: int
    headers: Mapping[str, str] = field(default_factory=dict)


class Elsewhere:
    """Serves what was `put` while it is entered, and keeps every visit.

    Its host is called `localhost`, by which no address of the simulated platforms goes.
    """

    def __init__(self) -> None:
        self.visits: list[Visit] = []
        self.url = ""
        """Where it listens, without a slash at the end; set when it is entered."""
        self._pages: dict[str, _Page] = {}
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://localhost:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    def put(
        self,
        path: str,
        content: bytes | tuple[int, bytes] = b"",
        content_type: str = "application/octet-stream",
        *,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
    ) -> str:
        """Answer `path` (which begins with a slash) like this from now on, and return its address; others are 404."""
        self._pages[path] = _Page(body_of(content), content_type, status, headers or {})
        return self.url + path

    def saw(self, secret: str) -> bool:
        """Whether any visit carried `secret`, in its address or a header."""
        return any(secret in text for visit in self.visits for text in (visit.path, *visit.headers.values()))

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.visits.append(Visit(request.method, request.path_qs, dict(request.headers)))
        page = self._pages.get(request.path)
        if page is None:
            raise web.HTTPNotFound
        response = web.StreamResponse(status=page.status, headers=page.headers)
        response.content_type, response.content_length = page.content_type, page.body.size
        return await send(request, response, page.body)
