"""Server-sent events as the real server writes them, and the bus that carries a run's events to whoever listens.

Nothing is kept for later: an event that is published while nobody listens is gone (recordings 05, 06).
"""

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from aiohttp import web

PING = b"event: ping\n\n"
_SLOW_READER_BYTES = 4 * 1024 * 1024

Told: TypeAlias = Callable[[str, bytes], None]
"""Gets the name and the frame of every event that goes out."""


def live_frame(event: Mapping[str, Any]) -> bytes:
    """Return an event as it goes out live and in snapshots: compact JSON, no ASCII escapes."""
    return b"data: " + json.dumps(event, separators=(",", ":"), ensure_ascii=False).encode() + b"\n\n"


def replay_frame(event: Mapping[str, Any]) -> bytes:
    """Return the one event of a finished run, whose JSON has spaces (recording 05)."""
    return b"data: " + json.dumps(event).encode() + b"\n\n"


class Cut:
    """Where a stream is to break off: after so many events, or after so many bytes; 0 bytes is at once.

    A `clean` one ends as if the server had nothing more to say, any other inside its body (recording 45).
    """

    def __init__(self, *, after_events: int | None = None, after_bytes: int | None = None, clean: bool = False) -> None:
        if (after_events is None) == (after_bytes is None):
            raise ValueError("give after_events or after_bytes")
        self._events = after_events
        self._bytes = after_bytes
        self.clean = clean
        self.happened = False
        """The stream broke off."""

    def shorten(self, frame: bytes, *, is_event: bool) -> tuple[bytes, bool]:
        """Return what of the frame is still sent, and whether the stream breaks off after it."""
        if self._bytes is not None:
            sent = frame[: self._bytes]
            self._bytes -= len(sent)
            return sent, self._bytes == 0
        if self._events is not None and is_event:
            self._events -= 1
        return frame, self._events is not None and self._events <= 0


class EventStream:
    """One open event stream; `ended` is set when the server has nothing more to say on it."""

    def __init__(
        self,
        response: web.StreamResponse,
        transport: asyncio.Transport,
        cut: Cut | None = None,
        told: Told = lambda name, frame: None,
    ) -> None:
        self._response = response
        self._transport = transport
        self._cut = cut
        self._told = told
        # The writes below must never wait for a slow reader: it loses events, as behind the real server's queues.
        transport.set_write_buffer_limits(high=2 * _SLOW_READER_BYTES)
        self.closes_on: frozenset[str] = frozenset()
        self.ended = asyncio.Event()
        self.broken = False
        self.last_event_at = asyncio.get_running_loop().time()

    async def ping(self) -> None:
        """Send a ping: an event without data."""
        await self._write(PING, is_event=False)

    async def send(self, name: str, frame: bytes) -> None:
        """Send a frame; the event `name` may be one that ends the stream."""
        if self.ended.is_set() or self._transport.get_write_buffer_size() > _SLOW_READER_BYTES:
            return
        self._told(name, frame)
        await self._write(frame, is_event=True)
        self.last_event_at = asyncio.get_running_loop().time()
        if name in self.closes_on:
            self.ended.set()

    def break_off(self) -> None:
        """End it inside its body, as when the API goes away (recording 45)."""
        self.broken = True
        self.ended.set()
        self._transport.close()

    async def _write(self, frame: bytes, *, is_event: bool) -> None:
        cut = False
        if self._cut:
            frame, cut = self._cut.shorten(frame, is_event=is_event)
            self._cut.happened |= cut
        try:
            await self._response.write(frame)
        except ConnectionError:
            self.broken = True
        if cut:
            self.broken = not (self._cut and self._cut.clean)
        if cut or self.broken:
            self.ended.set()
        if self.broken:
            self._transport.close()


class Bus:
    """The live events of one run."""

    def __init__(self) -> None:
        self._streams: set[EventStream] = set()

    def join(self, stream: EventStream) -> None:
        """Send what is published from now on to `stream`, too."""
        self._streams.add(stream)

    def leave(self, stream: EventStream) -> None:
        """Stop sending to `stream`."""
        self._streams.discard(stream)

    def break_off(self) -> int:
        """Break off whatever listens now, and return how many streams that were."""
        streams = tuple(self._streams)
        for stream in streams:
            stream.break_off()
        return len(streams)

    @property
    def silent(self) -> bool:
        """Tell whether nobody listens."""
        return not self._streams

    async def publish(self, name: str, frame: bytes) -> None:
        """Send a frame to everybody who listens now."""
        for stream in tuple(self._streams):
            await stream.send(name, frame)
