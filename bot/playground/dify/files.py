"""Uploaded files, kept in memory, and the rules for using one in an input (recordings 08, 09, 11, 18, 37)."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import urlsplit

from bot.playground.dify.errors import ApiError, InputError, invalid_param
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

    def source_url(self, origin: str) -> str:
        """Return the signed address of the file; signatures are not checked by anybody here."""
        return f"{origin}/files/{self.id}/file-preview?timestamp={self.created_at}&nonce={self.id}&sign=demo"

    def as_file(self, kind: str, origin: str) -> Json:
        """Return the file object that travels in outputs and submissions (recording 37)."""
        return {
            "dify_model_identity": FILE_IDENTITY,
            "id": None,
            "type": kind,
            "transfer_method": "local_file",
            "remote_url": self.source_url(origin),
            "reference": self.id,
            "filename": self.name,
            "extension": f".{self.extension}",
            "mime_type": self.mime_type,
            "size": len(self.content),
            "related_id": self.id,
            "url": self.source_url(origin),
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
    """Every uploaded file of the server."""

    def __init__(self) -> None:
        self._uploads: dict[str, Upload] = {}

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

    def resolve(self, mapping: Json, app_key: str, user: str, origin: str) -> Json:
        """Return the file object of a mapping that was checked before, looked up as the run's own user."""
        kind = mapping.get("type", "custom")
        if mapping["transfer_method"] == "local_file":
            return self.owned(mapping["upload_file_id"], app_key, user).as_file(kind, origin)
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
    parts = urlsplit(_remote_url(mapping))
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise InputError("Invalid file url")
    name = PurePosixPath(parts.path).name
    return name, _extension(name), ""


def _allowed(kind: str, extension: str, method: str, rules: Json) -> bool:
    types: Sequence[str] = rules["allowed_file_types"]
    if types and kind not in types:
        return False
    if kind == "custom":
        extensions = {item.lstrip(".").lower() for item in rules["allowed_file_extensions"]}
        if extension not in extensions:
            return False
    methods = rules["allowed_file_upload_methods"]
    return kind == "image" or not methods or method in methods
