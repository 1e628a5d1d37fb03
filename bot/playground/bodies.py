"""The bytes of files, none of which has to fit into memory: what people and platforms send, store and serve."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from tempfile import TemporaryFile
from typing import IO, Protocol

_CHUNK = 64 * 1024  # bytes
_IN_MEMORY_MAX = 1024 * 1024  # bytes of one received file


class Body(Protocol):
    """So many bytes, to be read as often as you like."""

    @property
    def size(self) -> int:
        """Their number."""

    @property
    def sha256(self) -> str:
        """Their digest, in hexadecimal digits."""

    def chunks(self) -> Iterator[bytes]:
        """They, piece by piece."""


@dataclass(frozen=True)
class Repeated:
    """`pattern` again and again, `size` bytes of it: takes up no more memory than the pattern."""

    size: int
    pattern: bytes = b"\0"

    @cached_property
    def sha256(self) -> str:
        """The digest, in hexadecimal digits."""
        return _digest(self)

    def chunks(self) -> Iterator[bytes]:
        """The bytes, piece by piece."""
        unit = self.pattern * -(-_CHUNK // len(self.pattern))
        sent = 0
        while sent < self.size:
            start = sent % len(unit)
            chunk = unit[start : start + min(_CHUNK, self.size - sent)]
            sent += len(chunk)
            yield chunk


class Received:
    """What somebody sends piece by piece; what is big waits on disk, in a file without a name, until `close`."""

    def __init__(self) -> None:
        self._file: IO[bytes] = BytesIO()
        self._digest = hashlib.sha256()
        self.size = 0

    def write(self, chunk: bytes) -> None:
        """Take the next piece."""
        if self.size <= _IN_MEMORY_MAX < self.size + len(chunk):
            self._move_to_disk()
        self._file.seek(self.size)
        self._file.write(chunk)
        self._digest.update(chunk)
        self.size += len(chunk)

    def _move_to_disk(self) -> None:
        begun, self._file = self._file, TemporaryFile()  # noqa: SIM115  (closed by `close`)
        begun.seek(0)
        self._file.write(begun.read())

    @property
    def sha256(self) -> str:
        """The digest, in hexadecimal digits; known without reading the bytes again, and after `close`, too."""
        return self._digest.hexdigest()

    def chunks(self) -> Iterator[bytes]:
        """The bytes, piece by piece."""
        position = 0
        while position < self.size:
            self._file.seek(position)  # somebody else may read, too
            chunk = self._file.read(_CHUNK)
            position += len(chunk)
            yield chunk

    def close(self) -> None:
        """Give the disk back, if it is used; what is small can still be read."""
        if self.size > _IN_MEMORY_MAX:
            self._file.close()


def body_of(content: bytes | tuple[int, bytes] | Body) -> Body:
    """Return the body that `content` writes down: itself, its bytes, or so many bytes of a pattern."""
    match content:
        case bytes():
            return Repeated(len(content), content or b"\0")
        case (size, pattern):
            return Repeated(size, pattern)
    return content


def whole(body: Body) -> bytes:
    """All bytes of a body at once; for small ones."""
    return b"".join(body.chunks())


def _digest(body: Body) -> str:
    digest = hashlib.sha256()
    for chunk in body.chunks():
        digest.update(chunk)
    return digest.hexdigest()
