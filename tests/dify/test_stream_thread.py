"""Streams that are read in a thread of their own come out as they went in, only in bundles."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest

from bot.core.events import Ping, RunPaused, StepStarted, StreamEvent, TextArrived
from bot.dify.stream_thread import StreamThread
from bot.errors import DifyUnavailable

PAUSED = RunPaused(frozenset({"form-1"}))


@pytest.fixture
async def thread() -> AsyncIterator[StreamThread]:
    async with StreamThread() as opened:
        yield opened


class Source:
    """A stream of the given events; it notes in which thread it was read, and that it was closed."""

    def __init__(self, *events: StreamEvent, error: Exception | None = None, endless: bool = False) -> None:
        self._events, self._error, self._endless = events, error, endless
        self.read_in: threading.Thread | None = None
        self.closed = False

    @asynccontextmanager
    async def stream(self) -> AsyncIterator[AsyncIterator[StreamEvent]]:
        self.read_in = threading.current_thread()
        try:
            yield self._each()
        finally:
            self.closed = True

    async def _each(self) -> AsyncIterator[StreamEvent]:
        for event in self._events:
            yield event
        if self._error is not None:
            raise self._error
        if self._endless:
            await asyncio.Event().wait()


def read(thread: StreamThread, source: Source) -> AbstractAsyncContextManager[AsyncIterator[StreamEvent]]:
    return thread.carry(source.stream())


async def test_events_arrive_in_order_from_another_thread(thread: StreamThread) -> None:
    source = Source(Ping(), StepStarted("a", "A"), PAUSED)
    async with read(thread, source) as events:
        assert [event async for event in events] == [Ping(), StepStarted("a", "A"), PAUSED]
    assert source.closed
    assert source.read_in is not threading.current_thread()


async def test_no_piece_of_a_text_is_lost_and_what_replaces_it_stays_apart(thread: StreamThread) -> None:
    pieces = [TextArrived(str(number)) for number in range(100)]
    source = Source(*pieces, TextArrived("anew", replace=True), TextArrived("!"), PAUSED)
    async with read(thread, source) as events:
        *texts, last = [event async for event in events]
    assert last == PAUSED
    shown = ""
    for text in texts:
        assert isinstance(text, TextArrived)
        shown = text.text if text.replace else shown + text.text
    assert shown == "anew!"
    assert len(texts) < len(pieces), "pieces cross as one"


async def test_what_waits_in_a_bundle_crosses_without_anything_after_it(thread: StreamThread) -> None:
    source = Source(TextArrived("a"), TextArrived("b"), endless=True)
    shown = ""
    async with read(thread, source) as events:
        async for event in events:
            assert isinstance(event, TextArrived)
            shown += event.text
            if shown == "ab":
                break
    assert source.closed


async def test_an_error_comes_after_the_events_before_it(thread: StreamThread) -> None:
    seen: list[StreamEvent] = []
    source = Source(Ping(), TextArrived("a"), error=DifyUnavailable("broke"))

    async def follow() -> None:
        async with read(thread, source) as events:
            async for event in events:
                seen.append(event)  # noqa: PERF401 - what came before the error counts

    with pytest.raises(DifyUnavailable, match="broke"):
        await follow()
    assert seen == [Ping(), TextArrived("a")]


async def test_leaving_early_closes_the_stream_over_there(thread: StreamThread) -> None:
    source = Source(Ping(), endless=True)
    async with read(thread, source) as events:
        assert await anext(events) == Ping()
    assert source.closed


async def test_a_cancelled_reader_closes_the_stream_over_there(thread: StreamThread) -> None:
    source = Source(Ping(), endless=True)
    began = asyncio.Event()

    async def follow() -> None:
        async with read(thread, source) as events:
            async for _ in events:
                began.set()

    task = asyncio.create_task(follow())
    await began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert source.closed
