"""The alarm clock. Deadlines are rows in the store; APScheduler only wakes us when the next one is due."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.date import DateTrigger

_JOB = "wake"


class AlarmClock:
    """Implements `core.ports.Alarm`: one job, always for the earliest moment asked for."""

    def __init__(self, ring: Callable[[], None]) -> None:
        self._ring = ring
        self._scheduler = AsyncIOScheduler(timezone="UTC")
        self._at: datetime | None = None

    def start(self) -> None:
        """Begin to run; needs a running event loop."""
        self._scheduler.start()

    def stop(self) -> None:
        """Forget what was armed: the store still knows it."""
        self._scheduler.shutdown(wait=False)

    def arm(self, at: datetime) -> None:
        """Ring at this moment, unless it rings earlier anyway. A moment that has passed rings at once."""
        if self._at is not None and self._at <= at:
            return
        self._at = at
        # Without a grace time APScheduler drops a job that it finds a second late, say after the machine slept.
        self._scheduler.add_job(
            self._fire, DateTrigger(at, timezone="UTC"), id=_JOB, replace_existing=True, misfire_grace_time=None
        )

    async def _fire(self) -> None:
        # A coroutine, because APScheduler runs plain functions in threads.
        self._at = None
        self._ring()
