"""Countable points in the life of a bot, and a small file shared with it in which one of them is made deadly."""

from __future__ import annotations

import fcntl
import mmap
import os
import signal
import struct
import threading
from enum import IntEnum
from pathlib import Path

_ARMED = struct.Struct("<qq")
_COUNT = struct.Struct("<q")
_NONE = -1


class Point(IntEnum):
    """Where a bot can be killed. The numbers are those of the shared file."""

    BEFORE_SAVE = 0
    """A transaction that changes something is about to begin."""
    AFTER_SAVE = 1
    """It is committed, and nobody has been told."""
    BEFORE_DIFY = 2
    """A request to Dify is about to go out."""
    AFTER_DIFY = 3
    """Dify has answered it; the answer is not read."""
    BEFORE_SLACK = 4
    """A call of Slack is about to go out."""
    AFTER_SLACK = 5
    """Slack has answered it; the answer is not read."""
    STREAM_EVENT = 6
    """A stream brought a message that has not been looked at."""
    DELIVERY = 7
    """A command, a click or an event has arrived, and nothing has been done about it."""
    BEFORE_ACK = 8
    """It is saved, and about to be acknowledged."""
    AFTER_ACK = 9
    """It is acknowledged."""

    @property
    def name_for_people(self) -> str:
        """What a table calls it."""
        return self.name.lower().replace("_", " ")


class Points:
    """The shared file, opened on one side of it. All processes of a trial pass the same points."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("r+b")
        self._map = mmap.mmap(self._file.fileno(), _ARMED.size + _COUNT.size * len(Point))
        self._turn = threading.Lock()

    @classmethod
    def create(cls, path: Path) -> Points:
        """Make the file, with nothing armed."""
        path.write_bytes(_ARMED.pack(_NONE, 0) + bytes(_COUNT.size * len(Point)))
        return cls(path)

    def arm(self, point: Point, number: int) -> None:
        """Kill whoever passes the `number`-th of these points from now on; nobody else."""
        with self._turn:
            self._lock()
            _ARMED.pack_into(self._map, 0, point, number)
            self._unlock()

    def disarm(self) -> None:
        """Kill nobody any more, and count from zero again."""
        with self._turn:
            self._lock()
            _ARMED.pack_into(self._map, 0, _NONE, 0)
            self._map[_ARMED.size :] = bytes(len(self._map) - _ARMED.size)
            self._unlock()

    @property
    def armed(self) -> bool:
        """Whether nobody has reached the armed point yet."""
        point, _ = _ARMED.unpack_from(self._map, 0)
        return bool(point != _NONE)

    @property
    def counts(self) -> dict[Point, int]:
        """How often each point was passed since the last `disarm`."""
        return {point: _COUNT.unpack_from(self._map, _place(point))[0] for point in Point}

    def passed(self, point: Point) -> None:
        """Count a point; does not return where it is the armed one."""
        with self._turn:
            # Freed by the system when its holder is killed.
            self._lock()
            (count,) = _COUNT.unpack_from(self._map, _place(point))
            _COUNT.pack_into(self._map, _place(point), count + 1)
            armed, left = _ARMED.unpack_from(self._map, 0)
            if armed == point:
                left -= 1
                _ARMED.pack_into(self._map, 0, point if left else _NONE, left)
                if not left:
                    os.kill(os.getpid(), signal.SIGKILL)
            self._unlock()

    def close(self) -> None:
        """Let go of the file."""
        self._map.close()
        self._file.close()

    def _lock(self) -> None:
        fcntl.flock(self._file, fcntl.LOCK_EX)

    def _unlock(self) -> None:
        fcntl.flock(self._file, fcntl.LOCK_UN)


def _place(point: Point) -> int:
    return _ARMED.size + _COUNT.size * point
