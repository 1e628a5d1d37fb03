"""How often messages are redrawn: Slack takes 50 updates a minute from the whole workspace (slack-platform §8.1).

Updates that matter always go, and count. Progress takes what is left, evenly spread: one writer draws the newest state
of one message after the other, in the order they asked, so each waits longer the more runs there are.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Generic, TypeVar
from weakref import WeakValueDictionary

Drawing = TypeVar("Drawing")
MessageKey = tuple[str, str]
"""Channel and `ts` of a message."""

_WINDOW = 60.0  # seconds


@dataclass(frozen=True, slots=True)
class Pace:
    """The limits progress keeps to."""

    per_minute: int = 50
    """Updates Slack takes (`chat.update`, Tier 3)."""
    reserve: int = 15
    """Of these, kept free for updates that matter."""
    per_message: float = 3.0
    """Seconds between two progress updates of one message (slack-platform §3.5)."""


class UpdateBudget:
    """Counts the updates of the last minute; `now` is a monotonic clock in seconds."""

    def __init__(self, pace: Pace, now: Callable[[], float]) -> None:
        self._share = pace.per_minute - pace.reserve
        self._now = now
        self._sent: deque[float] = deque()
        self._next_progress = 0.0

    def count(self) -> None:
        """Note an update that is being sent."""
        self._forget()
        self._sent.append(self._now())

    def count_progress(self) -> None:
        """Note a progress update that is being sent."""
        self.count()
        self._next_progress = max(self._next_progress, self._now() + _WINDOW / self._share)

    def hold(self, seconds: float) -> None:
        """Send no progress for this long: Slack asked for it."""
        self._next_progress = max(self._next_progress, self._now() + seconds)

    def wait(self) -> float:
        """Return the seconds until progress may be sent; 0 where it may now."""
        self._forget()
        full = len(self._sent) >= self._share
        free_at = self._sent[-self._share] + _WINDOW if full else 0.0
        return max(free_at - self._now(), self._next_progress - self._now(), 0.0)

    def _forget(self) -> None:
        while self._sent and self._sent[0] <= self._now() - _WINDOW:
            self._sent.popleft()


class ProgressBoard(Generic[Drawing]):
    """Holds the newest state of each message that shows progress, and draws them as the budget allows."""

    def __init__(
        self,
        draw: Callable[[MessageKey, Drawing], Awaitable[None]],
        pace: Pace | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        pace = pace or Pace()
        self.budget = UpdateBudget(pace, now)
        self._draw = draw
        self._per_message = pace.per_message
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

    @asynccontextmanager
    async def important(self, key: MessageKey) -> AsyncIterator[None]:
        """Hold a message while an update of it that matters is sent: progress that is older is not drawn over it."""
        lock = self._lock(key)
        async with lock:
            self._pending.pop(key, None)
            self.budget.count()
            yield

    def next_due(self) -> tuple[MessageKey | None, float]:
        """Return whose turn it is and the seconds until then; None where nothing is to be drawn."""
        now = self._now()
        self._drawn_at = {key: at for key, at in self._drawn_at.items() if now - at < self._per_message}
        waits = {
            key: self._drawn_at.get(key, now - self._per_message) + self._per_message - now for key in self._pending
        }
        if not waits:
            return None, 0.0
        key = min(waits, key=waits.__getitem__)  # the first of equals: who has been waiting longest
        return key, max(waits[key], self.budget.wait())

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
            self.budget.count_progress()
            self._drawn_at[key] = self._now()
            await self._draw(key, drawing)

    def _lock(self, key: MessageKey) -> asyncio.Lock:
        return self._locks.setdefault(key, asyncio.Lock())
