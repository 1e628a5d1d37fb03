"""Files in the workspace: how people and the app bring them in, who may read them, and what they look like.

Everything here is slack-platform §5. Slack shares an uploaded file a moment after its answer, which does not say under
which `ts`; here it is shared at once, but `shares` may tell of it later (`Files.shares_lag_seconds`). The codes of what
is refused come from the pages of the methods, as far as they name any [believed].
"""

from __future__ import annotations

import math
import mimetypes
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from bot.playground.bodies import Body, Received, body_of, whole
from bot.playground.slack.block_kit import Problem
from bot.playground.slack.refusals import Refusal
from bot.playground.slack.text import Json

if TYPE_CHECKING:
    from bot.playground.slack.state import Message
    from bot.playground.slack.workspace import Workspace

LENGTH_MAX = 1024**3  # bytes; slack-platform §5.4 [believed]
SNIPPET_MAX = 1024**2  # bytes; slack-platform §5.2
ALT_TEXT_MAX = 1000  # characters; page of files.getUploadURLExternal
FILE_INPUT_MAX = 10 * 1024**2  # bytes of each; slack-platform §2.2
FILE_INPUT_COUNT = 10  # slack-platform §2.2: unless `max_files` says less

Mode = Literal["hosted", "snippet", "post", "external", "hidden_by_limit"]

# Slack's own names of the commonest types; others go by their extension, and unknown ones are binary [believed].
_TYPES = {
    "csv": ("csv", "CSV"),
    "docx": ("docx", "Word Document"),
    "gif": ("gif", "GIF"),
    "htm": ("html", "HTML"),
    "html": ("html", "HTML"),
    "jpeg": ("jpg", "JPEG"),
    "jpg": ("jpg", "JPEG"),
    "json": ("json", "JSON"),
    "log": ("text", "Plain Text"),
    "md": ("markdown", "Markdown (raw)"),
    "mp3": ("mp3", "MP3"),
    "mp4": ("mp4", "MPEG 4 Video"),
    "pdf": ("pdf", "PDF"),
    "png": ("png", "PNG"),
    "txt": ("text", "Plain Text"),
    "zip": ("zip", "Zip"),
}
_MIMETYPES = {"md": "text/markdown", "log": "text/plain"}
_IMAGES = ("png", "jpg", "gif")  # what image blocks can show


@dataclass(frozen=True)
class LocalFile:
    """A file as somebody has it before it is in Slack, and what is to be odd about it once it is (slack-platform §5.2).

    `content` is its bytes, or what stands for them where nobody wants them in memory: their number and the pattern that
    fills them, or a body.
    An `external` one lives at `address` on another host, and has no bytes here.
    """

    name: str
    content: bytes | tuple[int, bytes] | Body = b""
    mimetype: str = ""
    """By the name if empty."""
    title: str = ""
    mode: Mode = "hosted"
    address: str = ""
    is_stub: bool = False
    """It comes from another workspace, through Slack Connect: what it is, only `files.info` tells."""
    is_processed: bool = True
    """Else nothing but its name is known until `Files.process`."""

    @property
    def extension(self) -> str:
        """The end of its name, in lower case and without a dot."""
        return _extension(self.name)

    @property
    def size(self) -> int:
        """Bytes."""
        return body_of(self.content).size


Given: TypeAlias = LocalFile | tuple[str, bytes | tuple[int, bytes]] | tuple[str, bytes | tuple[int, bytes], str]
"""A local file, or just its name, its content and perhaps its MIME type."""


def local_file(given: Given) -> LocalFile:
    """Return the file that is written down in short."""
    return given if isinstance(given, LocalFile) else LocalFile(*given)


@dataclass(frozen=True)
class Download:
    """One request for a file's bytes."""

    file_id: str
    status: int
    was_shown: bool
    """Whether the bytes were sent, not a page to sign in on, an error or a redirect."""
    had_token: bool
    at: float
    """Seconds, workspace clock."""


@dataclass(eq=False)
class File:
    """A file, from the moment its upload was announced or a person picked it."""

    id: str
    name: str
    length: int
    """Bytes, as they were announced."""
    user_id: str
    workspace: Workspace = field(repr=False)
    created: int
    mimetype: str
    mode: Mode = "hosted"
    title: str = ""
    alt_text: str = ""
    address: str = ""
    is_stub: bool = False
    body: Body | None = None
    """None until the bytes arrived, and where there are none in Slack."""
    completed: bool = False
    """An upload that is not can be used for nothing (slack-platform §5.4)."""
    is_deleted: bool = False
    is_for_app: bool = False
    """It was put into a `file_input` of the app, so both it and that person may read it (§4.1 [believed])."""
    ready_at: float = 0
    """When it is processed; seconds, workspace clock."""
    messages: list[Message] = field(default_factory=list, repr=False)
    """Those that shared it, deleted ones included."""

    @property
    def content(self) -> bytes | None:
        """All of its bytes, None until they arrived."""
        return None if self.body is None else whole(self.body)

    @property
    def extension(self) -> str:
        """The end of its name, in lower case and without a dot."""
        return _extension(self.name)

    @property
    def is_processed(self) -> bool:
        """Whether Slack knows by now what it is."""
        return self.workspace.now() >= self.ready_at

    @property
    def is_image(self) -> bool:
        """Whether an image block can show it."""
        return self.filetype[0] in _IMAGES and self.is_processed and self.mode == "hosted"

    @property
    def filetype(self) -> tuple[str, str]:
        """Slack's word for its type, and what people read."""
        known = self.extension and mimetypes.guess_type(self.name)[0]
        other = (self.extension, self.extension.upper()) if known else ("binary", "Binary")
        return _TYPES.get(self.extension, other)

    @property
    def url_private(self) -> str:
        """Where its bytes are, for who brings a token; an external one's address is not Slack's."""
        return self.address or f"{self._home}/{_slug(self.name)}"

    @property
    def permalink(self) -> str:
        """Where people look at it, signed in."""
        return f"{self.workspace.url}/files/{self.user_id}/{self.id}/{_slug(self.name)}"

    @property
    def _home(self) -> str:
        return f"{self.workspace.url}/files-pri/{self.workspace.team_id}-{self.id}"

    @property
    def shares(self) -> list[Message]:
        """The messages that show it to the members of their channels."""
        return [message for message in self.messages if message.is_public]

    @property
    def is_open_to_app(self) -> bool:
        """Whether the app may read it: it is its own, was given to it, or its bot is where it is shared (§5.3)."""
        bot = self.workspace.bot.user_id
        here = any(bot in message.channel.members for message in self.shares)
        return self.completed and (here or self.is_for_app or self.user_id == bot)

    def to_json(self) -> Json:
        """The file as messages, views and `files.info` have it, or what is left of it."""
        if self.is_deleted:
            return {"id": self.id, "mode": "tombstone"}
        if self.mode == "hidden_by_limit":
            return {"id": self.id, "mode": "hidden_by_limit"}
        times = {"created": self.created, "timestamp": self.created}
        return {
            "id": self.id,
            **times,
            "name": self.name,
            "title": self.title or self.name,
            **self._type(),
            "user": self.user_id,
            "user_team": self.workspace.team_id,
            "editable": self.mode == "snippet",
            "mode": self.mode,
            "is_external": self.mode == "external",
            "external_type": "gdrive" if self.mode == "external" else "",
            "is_public": any(message.channel.kind == "channel" for message in self.shares),
            "public_url_shared": False,
            "display_as_bot": False,
            "username": "",
            "url_private": self.url_private,
            **({} if self.address else {"url_private_download": f"{self._home}/download/{_slug(self.name)}"}),
            "media_display_type": "unknown",
            "permalink": self.permalink,
            "is_starred": False,
            "has_rich_preview": False,
            "file_access": "visible",
            **({"alt_txt": self.alt_text} if self.alt_text else {}),
        }

    def in_message(self) -> Json:
        """The file as messages have it: of a file of another workspace hardly anything (slack-platform §5.2)."""
        if not self.is_stub or self.is_deleted:
            return self.to_json()
        known = {"id": self.id, "created": self.created, "timestamp": self.created, "user": self.user_id}
        return known | {"mode": "file_access", "file_access": "check_file_info"}

    def info(self) -> Json:
        """The file as `files.info` has it: with where it is shared, as far as Slack has noted it (§5.1)."""
        noted = [message for message in self.shares if self.workspace.files.is_noted(message)]
        found: dict[str, dict[str, list[Json]]] = {}
        for message in noted:
            kind = "public" if message.channel.kind == "channel" else "private"
            where = {"ts": message.ts} | ({"thread_ts": message.thread_ts} if message.thread_ts else {})
            where |= {"channel_name": message.channel.name, "team_id": self.workspace.team_id}
            where |= {"share_user_id": message.author.user_id}
            found.setdefault(kind, {}).setdefault(message.channel.id, []).append(where)
        by_kind = {
            name: [message.channel.id for message in noted if message.channel.kind == kind]
            for name, kind in (("channels", "channel"), ("groups", "group"), ("ims", "im"))
        }
        return {**self.to_json(), "shares": found, **by_kind}

    def _type(self) -> Json:
        if not self.is_processed:
            return {"size": 0}  # slack-platform §5.2
        filetype, pretty = ("text", "Post") if self.mode == "post" else self.filetype
        return {"size": self.length, "mimetype": self.mimetype, "filetype": filetype, "pretty_type": pretty}


class Files:
    """The files of a workspace."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self.by_id: dict[str, File] = {}
        self.downloads: list[Download] = []
        """Every request for a private URL, in order."""
        self.processing_seconds = 0.0
        """How long Slack takes to process a new file; until then it has neither size nor type (§5.2)."""
        self.shares_lag_seconds = 0.0
        """How long `files.info` takes to tell where a file is shared (§5.1)."""
        self._announced: dict[str, File] = {}
        """By the secret part of the address to which each is to be sent."""

    def close(self) -> None:
        """Give back what received files take up outside memory."""
        for file in self.by_id.values():
            if isinstance(file.body, Received):
                file.body.close()

    def is_noted(self, message: Message) -> bool:
        """Whether `files.info` tells already what this message shares."""
        return self._workspace.now() >= float(message.ts) + self.shares_lag_seconds

    # --- people ------------------------------------------------------------------------------------------------------

    def bring_in(self, given: Given, user_id: str) -> File:
        """Store a person's file, which nobody else sees yet."""
        local = local_file(given)
        body = None if local.mode in ("external", "hidden_by_limit") else body_of(local.content)
        file = self._new(local.name, body.size if body else 0, user_id)
        file.mimetype = local.mimetype or file.mimetype
        file.mode, file.title, file.address = local.mode, local.title, local.address
        file.is_stub, file.body, file.completed = local.is_stub, body, True
        if not local.is_processed:
            file.ready_at = math.inf
        return file

    def process(self, file_id: str) -> None:
        """Let Slack have processed a file now."""
        self.by_id[file_id].ready_at = 0
        self._workspace.changed()

    def delete(self, file_id: str) -> None:
        """Delete a file: its messages show a tombstone, and say so in an event [believed]."""
        file = self.by_id[file_id]
        before = {message: message.to_json() for message in file.shares}
        file.is_deleted = True
        for message, earlier in before.items():
            self._workspace.raise_changed(message, earlier)

    # --- uploads of the app: slack-platform §5.4 ---------------------------------------------------------------------

    def announce(self, name: str, length: Any, alt_text: str = "", snippet_type: str = "") -> Json:
        """Answer `files.getUploadURLExternal`. Raises `Refusal`."""
        if not str(length).isdecimal():
            raise Refusal("invalid_arguments", "[ERROR] must be a number of bytes [json-pointer:/length]")
        if int(length) == 0:
            raise Refusal("missing_argument")  # an empty file cannot be uploaded at all
        if int(length) > LENGTH_MAX:
            raise Refusal("file_upload_size_restricted")
        if snippet_type and int(length) > SNIPPET_MAX:
            raise Refusal("snippet_too_large")
        if len(alt_text) > ALT_TEXT_MAX:
            raise Refusal("alt_txt_too_large")
        file = self._new(name, int(length), self._workspace.bot.user_id)
        file.alt_text, file.mode = alt_text, "snippet" if snippet_type else "hosted"
        secret = secrets.token_hex(16)
        self._announced[secret] = file
        return {"upload_url": f"{self._workspace.url}/upload/v1/{secret}", "file_id": file.id}

    def announced(self, secret: str) -> File | None:
        """The file that is awaited at an address, if there is one: an address works until it has worked once.

        No token is asked for: the address is the key.
        """
        return self._announced.get(secret)

    def store(self, secret: str, body: Body) -> bool:
        """Take what was sent to an address; False where it is unknown or used, or not as long as it was announced."""
        file = self._announced.get(secret)
        if file is None or body.size != file.length:
            return False
        del self._announced[secret]
        file.body = body
        return True

    def complete(self, listed: list[Any]) -> list[File]:
        """Return the files that `files.completeUploadExternal` names, with their titles. Raises `Refusal`."""
        if not listed:
            raise Refusal("invalid_arguments", "[ERROR] must have at least one item [json-pointer:/files]")
        found: list[File] = []
        for each in listed:
            file = self.by_id.get(str(each.get("id"))) if isinstance(each, dict) else None
            if file is None or file.body is None or file.completed or file in found:
                raise Refusal("file_not_found")
            found.append(file)
        for file, each in zip(found, listed, strict=True):
            file.title, file.completed = str(each.get("title") or ""), True
            file.ready_at = self._workspace.now() + self.processing_seconds
        return found

    # --- what the app may see ----------------------------------------------------------------------------------------

    def seen(self, file_id: str) -> File:
        """The file with this id. Raises `Refusal` where it is deleted, unknown or none of the app's business."""
        file = self.by_id.get(file_id)
        if file is None or not file.is_open_to_app:
            raise Refusal("file_not_found")
        if file.is_deleted:
            raise Refusal("file_deleted")
        return file

    def image_problems(self, value: Any, pointer: str) -> Iterator[Problem]:
        """What Slack refuses about the images in blocks: `slack_file` has to be an image the app may read.

        Right after its upload a file is none yet: Slack has to process it first.
        """
        if isinstance(value, list):
            for index, item in enumerate(value):
                yield from self.image_problems(item, f"{pointer}/{index}")
        elif isinstance(value, dict):
            if "slack_file" in value and self.image(value["slack_file"]) is None:
                yield Problem(f"{pointer}/slack_file", "invalid slack file")
            for name, item in value.items():
                yield from self.image_problems(item, f"{pointer}/{name}")

    def image(self, named: Json) -> File | None:
        """The image that a `slack_file` names by its id or an address, if an image block can show it."""
        if "id" in named:
            file = self.by_id.get(named["id"])
        else:
            url = named.get("url")
            file = next((each for each in self.by_id.values() if url in (each.url_private, each.permalink)), None)
        return file if file and file.is_image and file.is_open_to_app and not file.is_deleted else None

    def _new(self, name: str, length: int, user_id: str) -> File:
        workspace = self._workspace
        file = File(workspace.new_id("F"), name, length, user_id, workspace, int(workspace.now()), "")
        kind = _MIMETYPES.get(file.extension) or mimetypes.guess_type(name)[0]
        file.mimetype = kind or "application/octet-stream"
        file.ready_at = workspace.now() + self.processing_seconds
        self.by_id[file.id] = file
        return file


def _extension(name: str) -> str:
    return name.rpartition(".")[2].lower() if "." in name else ""


def _slug(name: str) -> str:
    """A file's name as its addresses have it."""
    return re.sub(r"[^a-z0-9.]+", "_", name.lower())
