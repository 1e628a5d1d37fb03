"""Files that people have dropped on the page and not shared yet, and the bytes of those that stand in the workspace."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Iterable
from pathlib import PurePath
from urllib.parse import quote

from aiohttp import BodyPartReader, ClientError, ClientSession, web

from bot.playground.bodies import Received
from bot.playground.page.protocol import Json
from bot.playground.serving import send
from bot.playground.slack import LocalFile, Workspace

UPLOAD_MAX = 100 * 1024 * 1024  # bytes of one request
PICTURE_MAX = 20 * 1024 * 1024  # bytes
TOO_LARGE = "Files of up to 100 MB in all can be shared at a time here."
_PIECE = 1024 * 1024

# What somebody has uploaded may be a page with a script in it: it gets no rights and is taken for nothing else.
_HARMLESS = {"Content-Security-Policy": "sandbox; default-src 'none'", "X-Content-Type-Options": "nosniff"}


class Uploads:
    """Files by the ids that the page names them by."""

    def __init__(self) -> None:
        self._files: dict[str, LocalFile] = {}
        self._bodies: list[Received] = []

    async def take(self, request: web.Request) -> web.Response:
        """Answer a form with files: `{"uploads": [{"id", "name", "size"}]}`, or 413 and a sentence."""
        taken: list[Json] = []
        room = UPLOAD_MAX
        async for part in _parts(request):
            body = Received()
            self._bodies.append(body)
            while chunk := await part.read_chunk(_PIECE):
                room -= len(chunk)
                if room < 0:
                    return web.json_response({"error": TOO_LARGE}, status=413)
                body.write(chunk)
            file = LocalFile(PurePath(part.filename or "").name or "file", body)
            self._files[id := secrets.token_hex(8)] = file
            taken.append({"id": id, "name": file.name, "size": file.size})
        return web.json_response({"uploads": taken})

    def named(self, ids: Iterable[str]) -> list[LocalFile]:
        """The files with these ids. Raises `LookupError`."""
        files = []
        for id in ids:
            if id not in self._files:
                raise LookupError(f"There is no upload {id!r}.")
            files.append(self._files[id])
        return files

    def close(self) -> None:
        """Give back what they take up outside memory."""
        for body in self._bodies:
            body.close()


async def _parts(request: web.Request) -> AsyncIterator[BodyPartReader]:
    """The files of a form. Raises `HTTPBadRequest` for anything else."""
    if not request.content_type.startswith("multipart/"):
        raise web.HTTPBadRequest(text="Send the files as a form (multipart/form-data).")
    async for part in await request.multipart():
        if not isinstance(part, BodyPartReader):
            raise web.HTTPBadRequest(text="Send the files as a form (multipart/form-data).")
        yield part


async def shared_file(workspace: Workspace, request: web.Request) -> web.StreamResponse:
    """Answer with the bytes of a file of the workspace, to look at, or with `?download` to keep."""
    file = workspace.files.by_id.get(request.match_info["file_id"])
    if file is None or file.is_deleted or file.body is None:
        raise web.HTTPNotFound(text="This file is not there any more.")
    how = "attachment" if "download" in request.query else "inline"
    response = web.StreamResponse(headers=_HARMLESS)
    response.headers["Content-Disposition"] = f"{how}; filename*=UTF-8''{quote(file.name, safe='')}"
    response.content_type, response.content_length = file.mimetype, file.body.size
    return await send(request, response, file.body)


async def picture(session: ClientSession, origin: str, request: web.Request) -> web.Response:
    """Answer with an image below `origin` (without a slash at the end): the page shows none of anybody else's."""
    url = request.query.get("url", "")
    if not url.startswith(f"{origin}/"):
        raise web.HTTPForbidden(text=f"Only pictures of {origin} are shown here.")
    try:
        async with session.get(url, allow_redirects=False) as answer:
            content = await answer.content.read(PICTURE_MAX)
            if answer.status != 200 or not answer.content_type.startswith("image/"):
                raise web.HTTPNotFound(text="There is no picture at this address.")
            return web.Response(body=content, content_type=answer.content_type, headers=_HARMLESS)
    except ClientError:
        raise web.HTTPBadGateway(text="The picture could not be fetched.") from None
