"""Uploaded files, kept in memory, and the rules for using one in an input (recordings 08, 09, 11, 18, 37)."""

import base64
import hmac
import json
import mimetypes
import secrets
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import urlencode, urlsplit

from bot.playground.dify.errors import ApiError, InputError, invalid_param, not_found
from bot.playground.dify.graph import Json
from bot.playground.dify.variables import FILE_IDENTITY

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


@dataclass(frozen=True, slots=True)
class Upload:
    """A file somebody uploaded; it belongs to one app and one `user`."""

    id: str
    name: str
    extension: str
    mime_type: str
    content: bytes
    app_key: str
    user: str
    created_by: str
    created_at: int

    def as_file(self, kind: str, url: str) -> Json:
        """Return the file object that travels in outputs and submissions (recording 37)."""
        record = json.dumps({"record_id": self.id}, separators=(",", ":")).encode()
        return {
            "dify_model_identity": FILE_IDENTITY,
            "id": None,
            "type": kind,
            "transfer_method": "local_file",
            "remote_url": "",
            "reference": f"dify-file-ref:{base64.b64encode(record).decode()}",
            "filename": self.name,
            "extension": f".{self.extension}",
            "mime_type": self.mime_type,
            "size": len(self.content),
            "related_id": self.id,
            "url": url,
        }


def check_upload(name: str, size: int, mime_type: str | None, blacklist: frozenset[str]) -> tuple[str, str]:
    """Return the file's name and extension, or refuse it; sizes are in bytes."""
    if not name:
        raise ApiError(400, "filename_not_exists_error", "The specified filename does not exist.")
    if mime_type is None:
        raise ApiError(415, "unsupported_file_type", "File type not allowed.")  # recording 46
    if "/" in name or "\\" in name:
        raise invalid_param("Filename contains invalid characters")
    extension = _extension(name)
    if len(name) > _NAME_LIMIT:
        name = f"{name.rpartition('.')[0][:_NAME_LIMIT]}.{extension}"
    if extension in blacklist:
        raise invalid_param(f"File extension '.{extension}' is not allowed for security reasons")
    limit = next((limit for extensions, limit in _SIZE_LIMITS if extension in extensions), _OTHER_SIZE_LIMIT)
    if size > limit:
        raise ApiError(413, "file_too_large", "")
    return name, extension


def _extension(name: str) -> str:
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
    """Every uploaded file of the server, and the addresses it hands out; `now` gives Unix seconds."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._secret = secrets.token_bytes(32)
        self._uploads: dict[str, Upload] = {}
        self.origin = ""

    def signed_url(self, upload: Upload) -> str:
        """Return an address that anybody may open for 300 s (recordings 21, 30)."""
        timestamp, nonce = str(int(self._now())), secrets.token_hex(16)
        query = urlencode({"timestamp": timestamp, "nonce": nonce, "sign": self._sign(upload.id, timestamp, nonce)})
        return f"{self.origin}/files/{upload.id}/file-preview?{query}"

    def open_signed(self, upload_id: str, timestamp: str, nonce: str, sign: str) -> Upload:
        """Return the file of a signed address; one that is too old or altered is 404 (recordings 21, 30)."""
        upload = self._uploads.get(upload_id)
        genuine = hmac.compare_digest(sign.encode(), self._sign(upload_id, timestamp, nonce).encode())
        if upload is None or not genuine or self._now() - float(timestamp) > _URL_LIFETIME_S:
            raise not_found("File not found or signature is invalid")
        return upload

    def _sign(self, upload_id: str, timestamp: str, nonce: str) -> str:
        text = f"file-preview|{upload_id}|{timestamp}|{nonce}".encode()
        return base64.urlsafe_b64encode(hmac.digest(self._secret, text, "sha256")).decode()

    def add(self, upload: Upload) -> None:
        """Keep an upload."""
        self._uploads[upload.id] = upload

    def owned(self, upload_id: str, app_key: str, user: str) -> Upload:
        """Return a file of this app and user; anybody else's raises `InputError` (recording 10)."""
        upload = self._uploads.get(upload_id)
        if upload is None or (upload.app_key, upload.user) != (app_key, user):
            raise InputError("Invalid upload file")
        return upload

    def find(self, mapping: Json) -> tuple[str, str, str]:
        """Return name, extension and MIME type of the file a mapping speaks of, whoever owns it."""
        method = mapping.get("transfer_method")
        if not method:
            raise InputError("transfer_method is required in file mapping")
        if method == "remote_url":
            return _remote(mapping)
        if method != "local_file":
            raise InputError("ToolFile None not found")
        upload_id = str(mapping.get("upload_file_id"))
        try:
            uuid.UUID(upload_id)
        except ValueError:
            raise InputError("Invalid upload file id format") from None
        if upload_id not in self._uploads:
            raise InputError("Invalid upload file")
        upload = self._uploads[upload_id]
        return upload.name, upload.extension, upload.mime_type

    def check(self, mapping: Json, rules: Json) -> None:
        """Raise `InputError` unless the mapping names a file that `rules` (`allowed_file_…`) allow.

        The declared type must be the detected one; `custom` may always be claimed, and a missing type counts as it.
        """
        name, extension, mime_type = self.find(mapping)
        kind = mapping.get("type", "custom")
        if kind not in ("custom", detected_type(extension, mime_type)):
            raise InputError("Detected file type does not match the specified type. Please verify the file.")
        if not _allowed(kind, extension, mapping["transfer_method"], rules):
            raise InputError(f"File validation failed for file: {name}")

    def resolve(self, mapping: Json, app_key: str, user: str) -> Json:
        """Return the file object of a mapping, looked up as one user of one app; raises `InputError`."""
        kind = mapping.get("type", "custom")
        if mapping.get("transfer_method") == "local_file":
            upload = self.owned(str(mapping.get("upload_file_id")), app_key, user)
            return upload.as_file(kind, self.signed_url(upload))
        name, extension, mime_type = _remote(mapping)
        url = _remote_url(mapping)
        return {
            "dify_model_identity": FILE_IDENTITY,
            "id": None,
            "type": kind,
            "transfer_method": "remote_url",
            "remote_url": url,
            "reference": None,
            "filename": name,
            "extension": f".{extension}",
            "mime_type": mime_type,
            "size": -1,
            "related_id": None,
            "url": url,
        }


def _remote_url(mapping: Json) -> str:
    return str(mapping.get("url") or mapping.get("remote_url") or "")


def _remote(mapping: Json) -> tuple[str, str, str]:
    """Return name, extension and MIME type as the address tells them; nothing is fetched here."""
    url = _remote_url(mapping)
    if not url:
        raise InputError("Invalid file url")
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise InputError(f"Reached maximum retries (3) for URL {url}")  # recording 09
    name = PurePosixPath(parts.path).name
    return name, _extension(name), mimetypes.guess_type(name)[0] or ""


def _allowed(kind: str, extension: str, method: str, rules: Json) -> bool:
    types: Sequence[str] = rules["allowed_file_types"]
    extensions = {item.lstrip(".").lower() for item in rules["allowed_file_extensions"]}
    as_custom = "custom" in types and extension in extensions  # whatever type is declared (recordings 11, 18)
    as_declared = kind != "custom" and (not types or kind in types)
    methods = rules["allowed_file_upload_methods"]
    return (as_custom or as_declared) and (kind == "image" or not methods or method in methods)
