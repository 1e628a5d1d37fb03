"""The alarm clock. Deadlines are rows in the store; APScheduler only wakes us when the next one is due."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

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
        """Ring at this moment, unless it rings earlier anyway. A moment that has passed rings at once.

        The wait for it is measured in time that the machine is awake: where it slept, or its clock was put forward, the
        alarm is late until it is armed once more, for whatever moment.
        """
        if self._at is not None:
            if datetime.now(UTC) < self._at <= at:
                return
            at = min(at, self._at)
        self._at = at
        self._scheduler.add_job(
            self._fire,
            DateTrigger(at, timezone="UTC"),
            id=_JOB,
            replace_existing=True,
            # Else APScheduler drops a job that it finds a second late.
            misfire_grace_time=None,
            # Else it drops one that was armed by the ring before it.
            max_instances=2,
        )

    async def _fire(self) -> None:
        # A coroutine, because APScheduler runs plain functions in threads.
        self._at = None
        self._ring()
