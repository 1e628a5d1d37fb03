"""Private addresses of files: who gets the bytes, who a page to sign in on, and what can go wrong on the way (§5.3)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiohttp import web

from bot.playground.bodies import Body
from bot.playground.serving import send
from bot.playground.slack.faults import (
    CutBody,
    CutConnection,
    Fault,
    RateLimited,
    Redirect,
    ServerError,
    SignInPage,
    SlowBody,
    WrongLength,
    held_back,
)
from bot.playground.slack.files import Download, File

if TYPE_CHECKING:
    from bot.playground.slack.workspace import Workspace

_SIGN_IN = """\
<!DOCTYPE html><html lang="en-US"><head><title>Sign in to Demo | Slack</title></head>
<body><h1>Sign in to Demo</h1><form action="/" method="post"><input type="email"></form></body></html>
"""


def sign_in_page() -> web.Response:
    """What everybody gets who may not see a file: 200, and HTML."""
    return web.Response(text=_SIGN_IN, content_type="text/html")


async def answer(workspace: Workspace, request: web.Request, host: str, other_host: str) -> web.StreamResponse:
    """Answer a request for a private address, as far as the failure ordered for it lets it.

    `host` is the one that was asked, `files` or `cdn`, `other_host` the beginning of an address on the other one.
    """
    file = workspace.files.by_id.get(request.match_info["key"].partition("-")[2])
    if file is None:
        raise web.HTTPNotFound
    known = {"file_id": file.id, "name": file.name, "host": host}
    fault = workspace.faults.take("download", known)
    await held_back(fault)
    if isinstance(fault, CutConnection) and request.transport:
        request.transport.abort()
        return web.Response()
    token = request.headers.get("Authorization", "").removeprefix("Bearer ")
    refused = _refused(workspace, file, token, fault, f"{other_host}{request.path_qs}")
    status = refused.status if refused else 200
    noted = Download(file.id, status, refused is None, bool(token), workspace.now())
    workspace.files.downloads.append(noted)
    workspace.changed()
    if refused or file.body is None:
        return refused or web.Response(status=404)
    return await _send(request, file, file.body, fault)


def _refused(workspace: Workspace, file: File, token: str, fault: Fault | None, elsewhere: str) -> web.Response | None:
    """What is answered instead of the bytes, if anything."""
    match fault:
        case ServerError(status):
            return web.Response(status=status)
        case RateLimited(seconds):
            return web.Response(status=429, headers={"Retry-After": str(seconds)})
        case SignInPage():
            return sign_in_page()
    may_read = token == workspace.bot_token and "files:read" in workspace.scopes
    if not may_read or not file.is_open_to_app:
        return sign_in_page()
    if isinstance(fault, Redirect):
        return web.Response(status=fault.status, headers={"Location": fault.to or elsewhere})
    if file.body is None or file.is_deleted or not file.is_processed:
        return web.Response(status=404)
    return None


async def _send(request: web.Request, file: File, body: Body, fault: Fault | None) -> web.StreamResponse:
    response = web.StreamResponse()
    response.content_type = file.mimetype
    if "/download/" in request.path:
        response.headers["Content-Disposition"] = "attachment"
    if not isinstance(fault, WrongLength):
        response.content_length = body.size
    elif fault.off_by is not None:
        response.content_length = body.size + fault.off_by
        response.force_close()
    return await send(
        request,
        response,
        body,
        cut_after=fault.after_bytes if isinstance(fault, CutBody) else None,
        pause=(lambda: asyncio.sleep(fault.seconds)) if isinstance(fault, SlowBody) else None,
    )
