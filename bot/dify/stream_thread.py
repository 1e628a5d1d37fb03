"""Live streams are read in a thread of their own: thousands of events a second must not keep a click from its ack.

Only what somebody waits for crosses over at once: pings, forms, pauses, endings. Text and steps are shown every few
seconds at best, so they cross in bundles, and the pieces of a text as one.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from types import TracebackType
from typing import Self

from bot.core.events import StepFinished, StepStarted, StreamEvent, TextArrived

BUNDLE = 0.2
"""Seconds within which text and steps of one stream wait for more of their kind. The first after a silence does not."""

TURN = 0.0005
"""Seconds after which a thread lets another one run, a tenth of Python's own: a click waits for as many of these as
its ack has steps."""

OpenStream = AbstractAsyncContextManager[AsyncIterator[StreamEvent]]


class StreamThread:
    """A thread with an event loop of its own, for reading streams. Use it as a context manager."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="streams", daemon=True)

    async def __aenter__(self) -> Self:
        self._usual_turn = sys.getswitchinterval()
        sys.setswitchinterval(TURN)
        self._thread.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        await asyncio.to_thread(self._thread.join)
        self._loop.close()
        sys.setswitchinterval(self._usual_turn)

    @asynccontextmanager
    async def carry(self, stream: OpenStream) -> AsyncIterator[AsyncIterator[StreamEvent]]:
        """Open and read a stream over there; its events, and what it raises, come out of the iterator here."""
        crossing = _Crossing(here=asyncio.get_running_loop(), there=self._loop)
        reading = asyncio.run_coroutine_threadsafe(crossing.read(stream), self._loop)
        events = crossing.events()
        try:
            yield events
        finally:
            await events.aclose()
            reading.cancel()
            await crossing.closed.wait()


class _Crossing:
    """One stream's way from the thread that reads it to the one that acts upon it."""

    def __init__(self, here: asyncio.AbstractEventLoop, there: asyncio.AbstractEventLoop) -> None:
        self._here = here
        self._there = there
        self._bundle: list[StreamEvent] = []
        self._due: asyncio.TimerHandle | None = None
        self._crossed_at = float("-inf")
        self._arrived: deque[StreamEvent] = deque()
        self._news = asyncio.Event()
        self._error: Exception | None = None
        self.closed = asyncio.Event()
        """Set here once the stream is closed over there."""

    async def events(self) -> AsyncGenerator[StreamEvent, None]:
        """Give what has crossed, here, until the stream is closed; then raise what it raised."""
        while True:
            while self._arrived:
                yield self._arrived.popleft()
            if self.closed.is_set():
                break
            await self._news.wait()
            self._news.clear()
        if self._error is not None:
            raise self._error

    async def read(self, stream: OpenStream) -> None:
        """Read the stream to its end, over there."""
        error: Exception | None = None
        try:
            async with stream as events:
                async for event in events:
                    self._put(event)
        except Exception as exc:
            error = exc
        finally:
            self._cross()
            with suppress(RuntimeError):  # nobody is left over here
                self._here.call_soon_threadsafe(self._close, error)

    def _put(self, event: StreamEvent) -> None:
        last = self._bundle[-1] if self._bundle else None
        if isinstance(event, TextArrived) and isinstance(last, TextArrived) and not event.replace:
            self._bundle[-1] = TextArrived(last.text + event.text, last.replace)
        else:
            self._bundle.append(event)
        if not isinstance(event, TextArrived | StepStarted | StepFinished):
            self._cross()
        elif self._due is None:
            wait = self._crossed_at + BUNDLE - self._there.time()
            if wait <= 0:
                self._cross()
            else:
                self._due = self._there.call_later(wait, self._cross)

    def _cross(self) -> None:
        if self._due is not None:
            self._due.cancel()
            self._due = None
        if self._bundle:
            bundle, self._bundle = self._bundle, []
            self._crossed_at = self._there.time()
            with suppress(RuntimeError):  # nobody is left over here
                self._here.call_soon_threadsafe(self._arrive, bundle)

    def _arrive(self, bundle: list[StreamEvent]) -> None:
        self._arrived.extend(bundle)
        self._news.set()

    def _close(self, error: Exception | None) -> None:
        self._error = error
        self.closed.set()
        self._news.set()
