"""Keeps the page's documents, and gives each connection what has changed since it was last told."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

_REST_SECONDS = 0.05
"""Between two looks at the state: changes that are closer together are told together."""
_REST_FACTOR = 4
"""So many times as long as a look takes is the rest after it at least: everything else runs in the same loop."""
_LOOK_SECONDS = 1.0
"""What changes without a word, such as a process that dies, is seen after so long."""


class Entry(NamedTuple):
    """A document that exists now: it is built only when its stamp is another one than before."""

    key: str
    stamp: object
    build: Callable[[], Any]


Source = Callable[[], Iterable[Entry]]


def plain(key: str, document: Any) -> Entry:
    """A document that costs nothing to build."""
    return Entry(key, document, lambda: document)


class Subscription:
    """What one connection has not been told yet; whatever is told late is told as it stands by then."""

    def __init__(self, documents: dict[str, str]) -> None:
        self._pending: dict[str, str | None] = dict(documents)
        self._is_first = True
        self._something = asyncio.Event()
        self._something.set()

    def note(self, changes: dict[str, str | None]) -> None:
        """Add changes: a document's JSON by its key, None for one that is gone."""
        self._pending.update(changes)
        self._something.set()

    async def next(self) -> str:
        """Wait until there is something to tell, and return it as the `Update` to send."""
        await self._something.wait()
        self._something.clear()
        pending, self._pending = self._pending, {}
        first, self._is_first = ('"first":true,' if self._is_first else ""), False
        documents = ",".join(f"{json.dumps(key)}:{text}" for key, text in pending.items() if text is not None)
        gone = json.dumps([key for key, text in pending.items() if text is None])
        return f'{{{first}"set":{{{documents}}},"drop":{gone}}}'


class Feed:
    """The documents of all sources, each encoded once per change, however many pages look."""

    def __init__(self, sources: Iterable[Source]) -> None:
        self._sources = tuple(sources)
        self._stamps: dict[str, object] = {}
        self._documents: dict[str, str] = {}
        self._subscriptions: set[Subscription] = set()
        self._changed = asyncio.Event()

    def changed(self) -> None:
        """Look at the state soon."""
        self._changed.set()

    async def run(self) -> None:
        """Look at the state after every change, until cancelled."""
        while True:
            self._changed.clear()
            began = time.perf_counter()
            self.refresh()
            await asyncio.sleep(max(_REST_SECONDS, _REST_FACTOR * (time.perf_counter() - began)))
            try:
                async with asyncio.timeout(_LOOK_SECONDS):
                    await self._changed.wait()
            except TimeoutError:
                continue

    def refresh(self) -> None:
        """Look at the state now."""
        stamps: dict[str, object] = {}
        changes: dict[str, str | None] = {}
        for source in self._sources:
            for key, stamp, build in source():
                stamps[key] = stamp
                if key not in self._stamps or self._stamps[key] != stamp:
                    changes[key] = self._documents[key] = json.dumps(build(), ensure_ascii=False, separators=(",", ":"))
        for key in self._stamps.keys() - stamps.keys():
            changes[key] = None
            del self._documents[key]
        self._stamps = stamps
        if changes:
            for subscription in self._subscriptions:
                subscription.note(changes)

    @contextmanager
    def subscribed(self) -> Iterator[Subscription]:
        """Begin with every document there is."""
        self.refresh()
        subscription = Subscription(self._documents)
        self._subscriptions.add(subscription)
        try:
            yield subscription
        finally:
            self._subscriptions.discard(subscription)
