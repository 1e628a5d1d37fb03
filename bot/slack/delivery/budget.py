"""How often progress is drawn: Slack takes 50 updates a minute from the whole workspace (slack-platform §8.1).

Progress takes what updates that matter leave, evenly spread: one writer draws the newest state of one message after the
other, in the order they asked, so each waits longer the more runs there are.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Generic, TypeVar
from weakref import WeakValueDictionary

Drawing = TypeVar("Drawing")
MessageKey = tuple[str, str]
"""Channel and `ts` of a message."""


@dataclass(frozen=True, slots=True)
class Pace:
    """The limits progress keeps to."""

    reserve: int = 15
    """Updates a minute that are left to what matters."""
    between: float = 60 / 35
    """Seconds between two progress updates: the rest of the minute's 50 (`chat.update`, Tier 3), evenly spread."""
    per_message: float = 3.0
    """Seconds between two progress updates of one message (slack-platform §3.5)."""

    @classmethod
    def times(cls, rate_factor: float) -> Pace:
        """Return the pace for a workspace that allows so many times as much."""
        once = cls()
        return cls(round(once.reserve * rate_factor), once.between / rate_factor, once.per_message / rate_factor)

    @classmethod
    def of_streams(cls, rate_factor: float) -> Pace:
        """Return the pace of what is added to streams, which is counted apart (`chat.appendStream`, Tier 4)."""
        return cls(0, 60 / 95 / rate_factor, 1.0 / rate_factor)


@dataclass(eq=False, slots=True)
class Lane:
    """Drawings that share a budget of their own."""

    pace: Pace
    held: Callable[[], float] = lambda: 0.0
    """Tells the seconds for which what matters, or Slack, keeps them waiting."""
    next_at: float = 0.0
    """Seconds, monotonic clock."""


class ProgressBoard(Generic[Drawing]):
    """Holds the newest state of each message that shows progress, and draws them as the budget allows."""

    def __init__(
        self,
        draw: Callable[[MessageKey, Drawing], Awaitable[None]],
        pace: Pace | None = None,
        now: Callable[[], float] = time.monotonic,
        held: Callable[[], float] = lambda: 0.0,
        lane_of: Callable[[Drawing], Lane | None] = lambda drawing: None,
    ) -> None:
        """`pace` and `held` are those of the usual lane; `lane_of` names another one for some drawings."""
        self._draw = draw
        self._usual = Lane(pace or Pace(), held)
        self._lane_of = lane_of
        self._now = now
        self._pending: dict[MessageKey, Drawing] = {}
        self._drawn_at: dict[MessageKey, float] = {}
        self._locks: WeakValueDictionary[MessageKey, asyncio.Lock] = WeakValueDictionary()
        self._noted = asyncio.Event()

    def note(self, key: MessageKey, drawing: Drawing) -> None:
        """Have this drawn in its turn; it takes the place of an older state of the message."""
        if key not in self._pending:
            # A newer state changes nothing about whose turn it is, and finding that out takes longer than an event.
            self._noted.set()
        self._pending[key] = drawing

    def note_unless_newer(self, key: MessageKey, drawing: Drawing) -> None:
        """Have a state drawn that could not be drawn, unless a newer one waits by now."""
        if key not in self._pending:
            self.note(key, drawing)

    async def forget(self) -> None:
        """Draw nothing of what waits to be drawn, and see to the end what is under way."""
        self._pending.clear()
        for lock in list(self._locks.values()):
            async with lock:
                self._pending.clear()

    async def settle(self, key: MessageKey, *, draw: bool) -> None:
        """Draw what waits to be drawn of a message at once, or drop it; afterwards nothing of it is under way."""
        async with self._lock(key):
            drawing = self._pending.pop(key, None)
            if drawing is not None and draw:
                await self._draw(key, drawing)
            self._pending.pop(key, None)

    @asynccontextmanager
    async def important(self, key: MessageKey) -> AsyncIterator[None]:
        """Hold a message while an update of it that matters is sent: progress that is older is not drawn over it."""
        lock = self._lock(key)
        async with lock:
            self._pending.pop(key, None)
            yield

    def next_due(self) -> tuple[MessageKey | None, float]:
        """Return whose turn it is and the seconds until then; None where nothing is to be drawn."""
        now = self._now()
        self._drawn_at = {key: at for key, at in self._drawn_at.items() if now - at < self._usual.pace.per_message}
        waits: dict[MessageKey, tuple[float, float]] = {}
        held = dict[Lane, float]()
        for key, drawing in self._pending.items():
            lane = self._lane(drawing)
            if lane not in held:
                held[lane] = max(lane.next_at - now, lane.held())
            own = max(self._drawn_at.get(key, -math.inf) + lane.pace.per_message - now, 0.0)
            waits[key] = (max(own, held[lane], 0.0), own)
        if not waits:
            return None, 0.0
        key = min(waits, key=waits.__getitem__)  # the first of equals: who has been waiting longest
        return key, waits[key][0]

    async def draw_forever(self) -> None:
        """Draw until cancelled."""
        while True:
            self._noted.clear()
            key, wait = self.next_due()
            if key is None:
                await self._noted.wait()
            elif wait > 0:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._noted.wait(), wait)
            else:
                await self._draw_one(key)

    async def _draw_one(self, key: MessageKey) -> None:
        lock = self._lock(key)
        async with lock:
            drawing = self._pending.pop(key, None)
            if drawing is None:
                return  # something that matters was drawn meanwhile
            self._drawn_at[key] = self._now()
            lane = self._lane(drawing)
            lane.next_at = self._now() + lane.pace.between
            await self._draw(key, drawing)

    def _lane(self, drawing: Drawing) -> Lane:
        return self._lane_of(drawing) or self._usual

    def _lock(self, key: MessageKey) -> asyncio.Lock:
        return self._locks.setdefault(key, asyncio.Lock())
