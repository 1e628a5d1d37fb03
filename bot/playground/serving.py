"""How both platforms send a file's bytes: piece by piece, and as badly as they were told to."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web

from bot.playground.bodies import Body


async def send(
    request: web.Request,
    response: web.StreamResponse,
    body: Body,
    *,
    cut_after: int | None = None,
    pause: Callable[[], Awaitable[None]] | None = None,
) -> web.StreamResponse:
    """Answer with `response`, whose headers are set, and a body; a HEAD request with the headers only.

    The connection is cut after so many bytes of it; `pause` is awaited in its middle.
    """
    await response.prepare(request)
    if request.method == "HEAD":
        await response.write_eof()
        return response
    sent = 0
    for chunk in body.chunks():
        piece = chunk if cut_after is None else chunk[: cut_after - sent]
        sent += len(piece)
        if piece:
            await response.write(piece)
        if pause and sent >= body.size // 2:
            await pause()
            pause = None
    if cut_after is None:
        await response.write_eof()
    elif request.transport:
        request.transport.close()
    return response
