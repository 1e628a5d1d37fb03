"""Files that an app uploads and shares: an address to send them to, the bytes, the message that shows them.

Everything here is slack-platform §5.4. Slack shares a file a moment after its answer, which does not say under which
`ts`; here it is shared at once. The codes of what is refused come from the pages of the methods, as far as they name
any [believed].
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bot.playground.slack.refusals import Refusal
from bot.playground.slack.text import Json

if TYPE_CHECKING:
    from bot.playground.slack.workspace import Workspace

_KINDS = {"md": ("text/markdown", "markdown"), "json": ("application/json", "json")}


@dataclass
class File:
    """A file from the moment its upload was announced."""

    id: str
    name: str
    length: int
    """Bytes that were announced."""
    title: str = ""
    content: bytes | None = None
    """None until they arrived."""
    completed: bool = False

    def to_json(self) -> Json:
        """The file as messages carry it."""
        ending = self.name.rpartition(".")[2]
        mimetype, filetype = _KINDS.get(ending, ("text/plain", "text"))
        about = {"id": self.id, "name": self.name, "title": self.title or self.name, "size": self.length}
        return about | {"mimetype": mimetype, "filetype": filetype, "mode": "hosted"}


@dataclass
class Files:
    """The files of a workspace."""

    by_id: dict[str, File] = field(default_factory=dict)
    _announced: dict[str, File] = field(default_factory=dict)
    """By the secret part of the address to which each is to be sent."""

    def announce(self, workspace: Workspace, name: str, length: Any) -> Json:
        """Answer `files.getUploadURLExternal`. Raises `Refusal`."""
        if not str(length or "").isdecimal() or int(length) < 1:
            raise Refusal("invalid_arguments", "[ERROR] must be a number of bytes [json-pointer:/length]")
        file = File(workspace.new_id("F"), name, int(length))
        secret = secrets.token_hex(16)
        self.by_id[file.id] = self._announced[secret] = file
        return {"upload_url": f"{workspace.url}/upload/v1/{secret}", "file_id": file.id}

    def store(self, secret: str, content: bytes) -> bool:
        """Take the bytes sent to an address; False where it is unknown or used, or they are not as many as announced.

        No token is asked for: the address is the key.
        """
        file = self._announced.get(secret)
        if file is None or len(content) != file.length:
            return False
        del self._announced[secret]
        file.content = content
        return True

    def complete(self, listed: list[Any]) -> list[File]:
        """Return the files that `files.completeUploadExternal` names, with their titles. Raises `Refusal`."""
        if not listed:
            raise Refusal("invalid_arguments", "[ERROR] must have at least one item [json-pointer:/files]")
        found = []
        for each in listed:
            file = self.by_id.get(str(each.get("id"))) if isinstance(each, dict) else None
            if file is None or file.content is None or file.completed:
                raise Refusal("file_not_found")
            found.append(file)
        for file, each in zip(found, listed, strict=True):
            file.title, file.completed = str(each.get("title") or ""), True
        return found
