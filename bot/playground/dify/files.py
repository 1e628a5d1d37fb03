"""Files that were uploaded or made, and the rules for using one in an input (recordings 08, 09, 11, 18, 37)."""

import base64
import hmac
import json
import mimetypes
import re
import secrets
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, TypeAlias, TypeVar
from urllib.parse import urlencode, urlsplit

import aiohttp

from bot.playground.bodies import Body, Received
from bot.playground.dify.clock import Clock
from bot.playground.dify.errors import (
    ApiError,
    InputError,
    file_too_large,
    invalid_param,
    unsupported_file_type,
)
from bot.playground.dify.graph import Json
from bot.playground.dify.variables import FILE_IDENTITY, is_file

T = TypeVar("T")

MB = 1024 * 1024
_IMAGES = frozenset({"jpg", "jpeg", "png", "webp", "gif", "svg"})
_VIDEOS = frozenset({"mp4", "mov", "mpeg", "webm"})
_AUDIOS = frozenset({"mp3", "m4a", "wav", "amr", "mpga"})
_DOCUMENTS = frozenset(
    {
        "txt",
        "markdown",
        "md",
        "mdx",
        "pdf",
        "html",
        "htm",
        "xlsx",
        "xls",
        "vtt",
        "properties",
        "doc",
        "docx",
        "csv",
        "eml",
        "msg",
        "ppt",
        "pptx",
        "xml",
        "epub",
    }
)
_SIZE_LIMITS = ((_IMAGES, 10 * MB), (_VIDEOS, 100 * MB), (_AUDIOS, 50 * MB))
_OTHER_SIZE_LIMIT = 15 * MB
_NAME_LIMIT = 200
_URL_LIFETIME_S = 300
_ADDRESS = re.compile(
    r"(?:https?://[^\s/()]+)?/files/(?:tools/)?(?P<id>[0-9a-f-]{36})(?:/file-preview|\.\w*)\?timestamp=[^\s()\"]*"
)
_RETRIES_S = (0.5, 1.0, 2.0)  # recording 09
_ASKED_AGAIN = frozenset({429, 500, 502, 503, 504})  # dify-api §12.5
_HEAD_TIMEOUT = aiohttp.ClientTimeout(total=10)


@dataclass(frozen=True, slots=True)
class Stored:
    """A file that somebody uploaded, or that a tool made; it belongs to one app and one `user`."""

    id: str
    name: str
    extension: str
    mime_type: str
    body: Body
    app_key: str
    user: str
    created_by: str
    created_at: int
    by_tool: bool = False

    def as_file(self, kind: str, url: str) -> Json:
        """Return the file object that travels in outputs and submissions (recording 37)."""
        record = json.dumps({"record_id": self.id}, separators=(",", ":")).encode()
        return {
            "dify_model_identity": FILE_IDENTITY,
            "id": None,
            "type": kind,
            "transfer_method": "tool_file" if self.by_tool else "local_file",
            "remote_url": "",
            "reference": f"dify-file-ref:{base64.b64encode(record).decode()}",
            "filename": self.name,
            "extension": f".{self.extension}",
            "mime_type": self.mime_type,
            "size": self.body.size,
            "related_id": self.id,
            "url": url,
        }


@dataclass(frozen=True, slots=True)
class Remote:
    """What the server found out about a file on another host; a `size` of -1 is unknown."""

    name: str
    extension: str
    mime_type: str
    size: int


Remotes: TypeAlias = dict[str, Remote | InputError]
"""By address: what is known of the remote files that a start or a submission names, or why nothing is."""


class Unseen(Exception):
    """A check came upon a remote file that nobody has looked up yet."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.url = url


def check_upload(name: str, size: int, mime_type: str | None, blacklist: frozenset[str]) -> tuple[str, str]:
    """Return the file's name and extension, or refuse it; sizes are in bytes."""
    if not name:
        raise ApiError(400, "filename_not_exists_error", "The specified filename does not exist.")
    if mime_type is None:
        raise unsupported_file_type()  # recording 46
    if "/" in name or "\\" in name:
        raise invalid_param("Filename contains invalid characters")
    extension = extension_of(name)
    if len(name) > _NAME_LIMIT:
        name = f"{name.rpartition('.')[0][:_NAME_LIMIT]}.{extension}"
    if extension in blacklist:
        raise invalid_param(f"File extension '.{extension}' is not allowed for security reasons")
    limit = next((limit for extensions, limit in _SIZE_LIMITS if extension in extensions), _OTHER_SIZE_LIMIT)
    if size > limit:
        raise file_too_large()
    return name, extension


def extension_of(name: str) -> str:
    """Return the end of a file's name, in lower case and without a dot; it may be empty."""
    return PurePosixPath(name).suffix.lstrip(".").lower()


def detected_type(extension: str, mime_type: str) -> str:
    """Return what kind of file this is: by extension, else by MIME type, else `custom`."""
    for kind, extensions in (("image", _IMAGES), ("video", _VIDEOS), ("audio", _AUDIOS), ("document", _DOCUMENTS)):
        if extension in extensions:
            return kind
    for kind in ("image", "video", "audio"):
        if kind in mime_type:
            return kind
    return "document" if "text" in mime_type or "pdf" in mime_type else "custom"


class FileStore:
    """Every file the server keeps, and the addresses it hands out."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._secret = secrets.token_bytes(32)
        self.stored: dict[str, Stored] = {}
        """By id, in the order in which they came."""
        self.origin = ""
        """What addresses begin with (`FILES_URL`); empty as where nobody has set it (dify-api §12.6)."""

    def close(self) -> None:
        """Give back what uploads take up outside memory."""
        for file in self.stored.values():
            if isinstance(file.body, Received):
                file.body.close()

    # Addresses.

    def signed_url(self, file: Stored) -> str:
        """Return an address that anybody may open for 300 s (recordings 21, 30)."""
        timestamp, nonce = str(int(self._clock.now())), secrets.token_hex(16)
        query = urlencode({"timestamp": timestamp, "nonce": nonce, "sign": self._sign(file.id, timestamp, nonce)})
        path = f"tools/{file.id}.{file.extension}" if file.by_tool else f"{file.id}/file-preview"
        return f"{self.origin}/files/{path}?{query}"

    def open_signed(self, file_id: str, query: Mapping[str, str], *, by_tool: bool) -> Stored | None:
        """Return the file of a signed address, None for one that is too old or altered."""
        timestamp, nonce, sign = (query.get(name, "") for name in ("timestamp", "nonce", "sign"))
        file = self.stored.get(file_id)
        genuine = hmac.compare_digest(sign.encode(), self._sign(file_id, timestamp, nonce).encode())
        if file is None or file.by_tool != by_tool or not genuine:
            return None
        return file if self._clock.now() - float(timestamp) <= _URL_LIFETIME_S else None

    def _sign(self, file_id: str, timestamp: str, nonce: str) -> str:
        text = f"file-preview|{file_id}|{timestamp}|{nonce}".encode()
        return base64.urlsafe_b64encode(hmac.digest(self._secret, text, "sha256")).decode()

    def signed_anew(self, value: Any) -> Any:
        """Return a value in which every file object has a fresh address: a file is signed whenever it is shown."""
        if is_file(value):
            file = self.stored.get(str(value.get("related_id")))  # one that is shown bare has none
            return value | {"url": self.signed_url(file)} if file else value
        if isinstance(value, dict):
            return {name: self.signed_anew(item) for name, item in value.items()}
        return [self.signed_anew(item) for item in value] if isinstance(value, list) else value

    def text_signed_anew(self, text: str) -> str:
        """Return a text with fresh addresses of the files it links to (recording 31)."""

        def fresh(found: re.Match[str]) -> str:
            file = self.stored.get(found["id"])
            return self.signed_url(file) if file else found[0]

        return _ADDRESS.sub(fresh, text)

    # Remote files.

    async def looking_up(self, work: Callable[[Remotes], T]) -> T:
        """Return what `work` returns, once every remote file that it asks for has been looked up, one at a time."""
        remotes: Remotes = {}
        while True:
            try:
                return work(remotes)
            except Unseen as unseen:
                remotes[unseen.url] = await self._look_up(unseen.url)

    async def _look_up(self, url: str) -> Remote | InputError:
        """Ask for a remote file's headers: whoever does not answer is asked again, for 3.5 s (recording 09)."""
        for wait in (*_RETRIES_S, None):
            try:
                async with (
                    aiohttp.ClientSession() as session,
                    session.head(url, allow_redirects=True, timeout=_HEAD_TIMEOUT) as answer,
                ):
                    if answer.status not in _ASKED_AGAIN:
                        return _remote(url, answer)
            except (aiohttp.ClientError, ValueError, TimeoutError):
                pass
            if wait is not None:
                await self._clock.sleep(wait)
        return InputError(f"Reached maximum retries ({len(_RETRIES_S)}) for URL {url}")

    # Mappings.

    def add(self, file: Stored) -> None:
        """Keep a file."""
        self.stored[file.id] = file

    def owned(self, upload_id: str, app_key: str, user: str) -> Stored:
        """Return a file of this app and user; anybody else's raises `InputError` (recording 10)."""
        upload = self.stored.get(upload_id)
        if upload is None or (upload.app_key, upload.user) != (app_key, user):
            raise InputError("Invalid upload file")
        return upload

    def find(self, mapping: Json, remotes: Remotes) -> tuple[str, str, str]:
        """Return name, extension and MIME type of the file a mapping speaks of, whoever owns it."""
        method = mapping.get("transfer_method")
        if not method:
            raise InputError("transfer_method is required in file mapping")
        if method == "remote_url":
            remote = _known(mapping, remotes)
            return remote.name, remote.extension, remote.mime_type
        if method != "local_file":
            raise InputError("ToolFile None not found")
        upload_id = str(mapping.get("upload_file_id"))
        try:
            uuid.UUID(upload_id)
        except ValueError:
            raise InputError("Invalid upload file id format") from None
        if upload_id not in self.stored:
            raise InputError("Invalid upload file")
        upload = self.stored[upload_id]
        return upload.name, upload.extension, upload.mime_type

    def check(self, mapping: Json, rules: Json, remotes: Remotes) -> None:
        """Raise `InputError` unless the mapping names a file that `rules` (`allowed_file_…`) allow.

        The declared type must be the detected one; `custom` may always be claimed, and a missing type counts as it.
        """
        name, extension, mime_type = self.find(mapping, remotes)
        kind = mapping.get("type", "custom")
        if kind not in ("custom", detected_type(extension, mime_type)):
            raise InputError("Detected file type does not match the specified type. Please verify the file.")
        if not _allowed(kind, extension, mapping["transfer_method"], rules):
            raise InputError(f"File validation failed for file: {name}")

    def resolve(self, mapping: Json, app_key: str, user: str, remotes: Remotes) -> Json:
        """Return the file object of a mapping, looked up as one user of one app; raises `InputError`."""
        kind = mapping.get("type", "custom")
        if mapping.get("transfer_method") == "local_file":
            upload = self.owned(str(mapping.get("upload_file_id")), app_key, user)
            return upload.as_file(kind, self.signed_url(upload))
        remote, url = _known(mapping, remotes), _remote_url(mapping)
        return {
            "dify_model_identity": FILE_IDENTITY,
            "id": None,
            "type": kind,
            "transfer_method": "remote_url",
            "remote_url": url,
            "reference": None,
            "filename": remote.name,
            "extension": f".{remote.extension}",
            "mime_type": remote.mime_type,
            "size": remote.size,
            "related_id": None,
            "url": url,
        }


def usable(mappings: Iterable[Json]) -> list[Json]:
    """Return the mappings of a list that Dify looks at: it drops, without a word, those that name nothing (§12.3)."""
    return [
        mapping
        for mapping in mappings
        if mapping.get("transfer_method") and (mapping["transfer_method"] != "remote_url" or _remote_url(mapping))
    ]


def _remote_url(mapping: Json) -> str:
    return str(mapping.get("url") or mapping.get("remote_url") or "")


def _known(mapping: Json, remotes: Remotes) -> Remote:
    url = _remote_url(mapping)
    if not url:
        raise InputError("Invalid file url")
    if url not in remotes:
        raise Unseen(url)
    found = remotes[url]
    if isinstance(found, InputError):
        raise found
    return found


def _remote(url: str, answer: aiohttp.ClientResponse) -> Remote:
    """Return what an answer tells of a file; one that is no success tells nothing but what its address says."""
    name = PurePosixPath(urlsplit(url).path).name
    guessed = mimetypes.guess_type(name)[0] or ""
    if answer.status != 200:
        return Remote(name, extension_of(name), guessed, -1)
    told = answer.content_disposition.filename if answer.content_disposition else None
    name = told or name
    size = int(answer.headers.get("Content-Length", -1))
    return Remote(name, extension_of(name), answer.content_type or guessed, size)


def _allowed(kind: str, extension: str, method: str, rules: Json) -> bool:
    types: Sequence[str] = rules["allowed_file_types"]
    extensions = {item.lstrip(".").lower() for item in rules["allowed_file_extensions"]}
    as_custom = "custom" in types and extension in extensions  # whatever type is declared (recordings 11, 18)
    as_declared = kind != "custom" and (not types or kind in types)
    methods = rules["allowed_file_upload_methods"]
    return (as_custom or as_declared) and (kind == "image" or not methods or method in methods)
