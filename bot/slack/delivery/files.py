"""Files on their way out of Slack and into it, piece by piece and never on a disk (slack-platform §5)."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from http import HTTPStatus
from typing import Any
from urllib.parse import urljoin, urlsplit

import aiohttp
from pydantic import ValidationError

from bot.core.files import MB, PIECE, clean_name, extension
from bot.core.model import SharedFile
from bot.core.ports import FileContent
from bot.errors import FileNotReady, FileUnavailable, SlackRejected, SlackUnauthorized, SlackUnavailable
from bot.slack.delivery.failures import SCOPE_MISSING, error_of, slack_error
from bot.slack.delivery.limits import Importance
from bot.slack.delivery.web_api import Errand, WebApi
from bot.slack.payloads import DELETED, EXTERNAL, FilePayload

INFO, BEGIN_UPLOAD, COMPLETE_UPLOAD = "files.info", "files.getUploadURLExternal", "files.completeUploadExternal"

_SLACKS = ("slack.com", "slack-edge.com")
"""Domains whose every host is Slack's, Enterprise and CDN among them (slack-platform §5.3 [believed])."""
_MOST_REDIRECTS = 3
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_BEGINNING = 512
"""Bytes in which a page shows that it is one."""
_PAGE = (b"<!doctype html", b"<html")
_BLANK = b"\xef\xbb\xbf \t\r\n"
_HTML = frozenset({"html", "htm", "xhtml"})
_LOOKS_AGAIN = 3.0
"""Seconds after which Slack may have looked at a new file."""
_MAX_ALT_TEXT = 1000

_NO_SCOPE = (
    "Slack shows its sign-in page instead of the file: the app lacks the scope files:read, "
    "or was not installed again since it asks for it"
)
FOREIGN = "It belongs to another organization, and Slack does not give it to the bot: share a copy of your own."
NOT_SEEN = "Slack does not show it to the bot: share it in a channel that the bot is in."
NOT_REACHED = "Slack leads to no address from which it can be fetched safely: share it once more."
TOO_LARGE = "It is larger than the {size} MB that can be taken."

_NOT_GIVEN = {
    "file_not_found": NOT_SEEN,
    "file_deleted": DELETED,
    "access_denied": NOT_SEEN,
    "file_not_visible": NOT_SEEN,
}
"""Codes of files.info (slack-platform §12)."""


class _Info(FilePayload):
    """What files.info says of a file: with a fresh address, also where a payload had none (slack-platform §5.2)."""

    url_private: str | None = None
    url_private_download: str | None = None

    @property
    def address(self) -> str | None:
        return self.url_private_download or self.url_private

    @property
    def is_html(self) -> bool:
        return self.mimetype == "text/html" or extension(self.name or "") in _HTML

    def why_unavailable(self) -> str | None:
        """Return why Slack does not give the file, a sentence; None where it does, now or soon."""
        if (reason := super().why_unavailable()) is not None:
            return reason
        # A payload that says so asks to look here (slack-platform §5.2), and here nothing more can be said.
        if self.mode == "file_access":
            return FOREIGN
        return None if self.address or not self.is_processed else FOREIGN

    @property
    def is_processed(self) -> bool:
        """Whether Slack has looked at it; before that it tells neither size nor type (slack-platform §5.2)."""
        return bool(self.size and self.mimetype)


class Files:
    """The files of one workspace."""

    def __init__(self, web: WebApi) -> None:
        self._web = web

    async def shared_file(self, file_id: str) -> SharedFile:
        """Read what Slack knows of a file now.

        Raises:
            FileUnavailable: it cannot be had from Slack; its message says why, and what to do.
            SlackUnauthorized: the app lacks the scope for it.
            FileNotReady: Slack has not looked at it yet.
            SlackUnavailable: Slack does not answer.
        """
        return (await self._info(file_id)).to_core()

    @asynccontextmanager
    async def download(self, file_id: str, max_size: int) -> AsyncIterator[FileContent]:
        """Read a file, piece by piece, and no more than `max_size` bytes of it (slack-platform §5.3).

        Raises:
            FileUnavailable: it cannot be had from Slack, also where it turns out larger only while it is read.
            SlackUnauthorized: the app lacks the scope for it.
            SlackUnavailable: Slack does not answer, has not looked at it yet, or gave another number of bytes than it
                said.
        """
        info = await self._info(file_id)
        assert info.size is not None, "Slack has looked at it"
        assert info.address is not None, "Slack gives it"
        if info.size > max_size:
            raise _too_large(max_size)
        async with self._opened(info.address) as answer, aclosing(_pieces(answer)) as pieces:
            beginning = await _beginning(pieces)
            said = answer.content_length
            if _is_sign_in_page(info, answer.content_type, beginning, said):
                raise SlackUnauthorized(_NO_SCOPE, code="missing_scope")
            if said is not None and said < info.size:
                raise SlackUnavailable(f"Slack gave {said} of {info.size} bytes")
            # Neither number is to be trusted; it is the length of the body that another request is made of.
            size = said or info.size
            if size > max_size:
                raise _too_large(max_size)
            # Of a page whose length is not told, the end alone tells whether it is the file.
            doubted = said is None and info.is_html
            async with aclosing(_capped(beginning, pieces, size, max_size, doubted=doubted)) as chunks:
                yield FileContent(chunks, size, info.mimetype or "")

    async def upload(self, name: str, content: FileContent, alt_text: str, errand: Errand) -> str:
        """Give Slack a file, piece by piece, and return its id there; nobody sees it yet (slack-platform §5.4).

        `content.size` has to be known and right.

        Raises:
            SlackRejected: Slack takes no such file.
            SlackUnavailable: no answer; or more or fewer bytes than `content.size`, and Slack has no file then.
        """
        if content.size == 0:
            raise SlackRejected("Slack takes no empty file")
        about = {"alt_txt": alt_text[:_MAX_ALT_TEXT]} if alt_text else {}
        await self._web.turn(BEGIN_UPLOAD, errand)
        ticket = await self._web.ask(BEGIN_UPLOAD, filename=clean_name(name), length=content.size, **about)
        await self._web.upload(str(ticket["upload_url"]), content)
        return str(ticket["file_id"])

    async def complete(self, titles: Mapping[str, str], errand: Errand, **where: Any) -> None:
        """Complete uploads, each of which has a title; Slack does that once (slack-platform §5.4).

        Without a place they stand in no message, and can be shown by blocks alone.

        Raises:
            SlackUnavailable: no answer, 5xx or 429.
            SlackRejected: any other refusal.
        """
        await self._web.turn(COMPLETE_UPLOAD, errand)
        files = [{"id": file_id, "title": title} for file_id, title in titles.items()]
        await self._web.ask(COMPLETE_UPLOAD, files=files, **where)

    async def _info(self, file_id: str) -> _Info:
        await self._web.turn(INFO, transfer(file_id))
        try:
            answer = await self._web.ask(INFO, file=file_id)
        except SlackUnauthorized as error:
            if error.code in SCOPE_MISSING:
                raise SlackUnauthorized(_NO_SCOPE, code=error.code) from error
            raise
        except SlackRejected as error:
            if error.code in _NOT_GIVEN:
                raise FileUnavailable(_NOT_GIVEN[error.code], code=error.code) from error
            raise
        try:
            info = _Info.model_validate(answer["file"])
        except ValidationError as error:
            raise SlackUnavailable("Slack's answer about a file is not what it should be") from error
        if (reason := info.why_unavailable()) is not None:
            raise FileUnavailable(reason)
        if not info.is_processed:
            raise FileNotReady("Slack has not looked at the file yet", retry_after=_LOOKS_AGAIN, sent=False)
        return info

    @asynccontextmanager
    async def _opened(self, address: str) -> AsyncIterator[aiohttp.ClientResponse]:
        """Ask for a file, and follow up to three redirects by hand.

        The first address has to be Slack's own: it comes from a payload. The token goes to Slack's hosts only, which
        want it again after a redirect. Where Slack leads elsewhere, it is followed without one, and from then on none
        is sent any more: who is there might lead back to a call of Slack's that does more than giving a file.
        """
        api_url = self._web.base_url
        if not is_slacks(address, api_url):
            raise FileUnavailable(EXTERNAL)
        with_token = True
        for _ in range(1 + _MOST_REDIRECTS):
            if not is_safe(address, api_url):
                break
            with_token = with_token and is_slacks(address, api_url)
            async with self._web.get(address, with_token=with_token) as answer:
                if answer.status not in _REDIRECTS:
                    _check(answer)
                    yield answer
                    return
            address = urljoin(address, answer.headers.get("Location", ""))
        raise FileUnavailable(NOT_REACHED)


def is_safe(address: str, api_url: str) -> bool:
    """Tell whether an address may be opened: by TLS, or like the Web API itself, which may be a simulated one."""
    parts = urlsplit(address)
    return parts.scheme in {"https", urlsplit(api_url).scheme} and bool(parts.hostname) and "@" not in parts.netloc


def is_slacks(address: str, api_url: str) -> bool:
    """Tell whether an address is on one of Slack's hosts, which alone may see the token."""
    host = urlsplit(address).hostname or ""
    return host == urlsplit(api_url).hostname or any(host == each or host.endswith(f".{each}") for each in _SLACKS)


def transfer(name: str) -> Errand:
    """Return what is being carried out where a file is: somebody waits for it."""
    return Errand(name, again=False, importance=Importance.DECISION)


def _check(answer: aiohttp.ClientResponse) -> None:
    match answer.status:
        case HTTPStatus.OK:
            if answer.headers.get("Content-Encoding", "identity") != "identity":
                raise SlackUnavailable("Slack sent the file in another form than was asked for")
        case HTTPStatus.UNAUTHORIZED:
            raise SlackUnauthorized(_NO_SCOPE, code="missing_scope")
        case HTTPStatus.FORBIDDEN:
            raise FileUnavailable(NOT_SEEN)
        case HTTPStatus.NOT_FOUND | HTTPStatus.GONE:
            raise FileUnavailable(DELETED)
        case _:
            raise error_of(answer.status, "download_failed", answer.headers.get("Retry-After"))


async def _pieces(answer: aiohttp.ClientResponse) -> AsyncGenerator[bytes, None]:
    try:
        while piece := await answer.content.read(PIECE):
            yield piece
    except (aiohttp.ClientError, TimeoutError) as failure:
        raise slack_error(failure) from failure


async def _beginning(pieces: AsyncIterator[bytes]) -> list[bytes]:
    read: list[bytes] = []
    while sum(map(len, read)) < _BEGINNING and (piece := await anext(pieces, b"")):
        read.append(piece)
    return read


def _is_sign_in_page(info: _Info, kind: str, beginning: list[bytes], said: int | None) -> bool:
    """Tell Slack's sign-in page, which comes with 200 where a file is not given, from the file (slack-platform §5.3).

    A file that is a page itself, or a text that may be the source of one, is told from it by its length.
    """
    starts_page = b"".join(beginning).lstrip(_BLANK).lower().startswith(_PAGE)
    if kind == "text/html":
        may_be_file = info.is_html
    elif starts_page:
        may_be_file = info.is_html or (info.mimetype or "").startswith("text/")
    else:
        return False
    return not may_be_file or (said is not None and said != info.size)


async def _capped(
    beginning: list[bytes], pieces: AsyncIterator[bytes], size: int, max_size: int, *, doubted: bool
) -> AsyncGenerator[bytes, None]:
    """Give the pieces on; they have to be `size` bytes in the end, and are never more than `max_size`."""
    total = 0
    async for piece in _chained(beginning, pieces):
        total += len(piece)
        if total > max_size:
            raise _too_large(max_size)
        yield piece
    if total != size:
        if doubted:
            raise SlackUnauthorized(_NO_SCOPE, code="missing_scope")
        raise SlackUnavailable(f"Slack gave {total} of {size} bytes")


async def _chained(beginning: list[bytes], pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    for piece in beginning:
        yield piece
    async for piece in pieces:
        yield piece


def _too_large(max_size: int) -> FileUnavailable:
    return FileUnavailable(TOO_LARGE.format(size=max_size // MB))
