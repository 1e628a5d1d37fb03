"""What is due by the clock: looks at runs, reminders, and the clean-up of what nobody needs any more."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

import structlog

from bot.core import events as saw
from bot.core.ports import Clock, Store
from bot.errors import StoreError
from bot.services.reconcile import Reconciler
from bot.services.recorder import Recorder

log = structlog.get_logger(__name__)

DELIVERIES_KEPT = timedelta(days=1)
"""How long a Slack delivery is remembered; its last retry comes within minutes (slack-platform §4.3)."""

CLEAN_UP_PAUSE = timedelta(hours=1)

BATCH = 100
"""Reminders, or rows to delete, that are taken out of the store at once."""

REMIND_TIME = timedelta(minutes=1)
"""A reminder that is not saved by then, because the process died, is due again."""


class DueWork:
    """Does what is due whenever the alarm rings; rung too often, it finds nothing to do."""

    def __init__(
        self, store: Store, reconciler: Reconciler, recorder: Recorder, clock: Clock, retention: timedelta
    ) -> None:
        """`retention` is how long a run is kept after its end."""
        self._store = store
        self._reconciler = reconciler
        self._recorder = recorder
        self._clock = clock
        self._retention = retention
        self._cleaned_at: datetime | None = None

    async def do(self) -> None:
        """Do all that is due; what fails holds up nothing else, and stays due.

        Raises:
            StoreError: the database failed at some of it; the rest is done.
        """
        failures = [
            failure
            for part in (self._reconciler.look_at_due, self._remind, self._clean_up)
            if (failure := await self._failure_of(part)) is not None
        ]
        if failures:
            raise failures[0]

    async def _failure_of(self, part: Callable[[], Awaitable[None]]) -> StoreError | None:
        try:
            await part()
        except StoreError as exc:
            return exc
        except Exception:
            log.exception("what is due is not done", part=part.__name__)
        return None

    async def _remind(self) -> None:
        now = self._clock.now()
        again_at = now + REMIND_TIME
        for run_id, form_id in await self._store.claim_reminders(now, again_at, BATCH):
            try:
                await self._recorder.remind(run_id, form_id, again_at)
            except Exception:
                log.exception("a reminder is not saved; it is due again", run=run_id)

    async def _clean_up(self) -> None:
        now = self._clock.now()
        if self._cleaned_at is not None and self._cleaned_at <= now < self._cleaned_at + CLEAN_UP_PAUSE:
            return
        await self._store.forget_deliveries(now - DELIVERIES_KEPT)
        lapsed = await self._store.held_since(now - self._retention, BATCH)
        for run_id in lapsed:
            # Its question says so before it is deleted.
            try:
                await self._recorder.record(run_id, saw.MessageLapsed())
            except Exception:
                log.exception("a held message is not dropped; it is due again", run=run_id)
        if max(len(lapsed), await self._store.purge(now - self._retention, BATCH)) < BATCH:
            # Else the rest goes when the alarm rings next, so that nothing waits for a long deletion.
            self._cleaned_at = now
