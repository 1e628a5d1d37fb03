"""The one way a run changes: an event is put to the core, and what it decides is saved."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

from bot.core.events import LifecycleEvent
from bot.core.lifecycle import Transition, advance
from bot.core.model import Run
from bot.core.polling import next_poll
from bot.core.ports import Alarm, Clock, Store


class Recorder:
    """Saves what happened and what follows from it, then tells those who act upon it."""

    def __init__(self, store: Store, clock: Clock, poll_interval: timedelta) -> None:
        self._store = store
        self._clock = clock
        self._poll_interval = poll_interval
        self._watchers: list[Callable[[Transition], None]] = []

    def watch(self, watcher: Callable[[Transition], None]) -> None:
        """Call this with every transition, right after it was saved."""
        self._watchers.append(watcher)

    async def record(
        self, run_id: str, event: LifecycleEvent, *, done: int | None = None, reason: str | None = None
    ) -> Run:
        """Save what follows from an event and return the run as it now stands.

        The outbox row `done` is finished along with it, or given up where there is a `reason`.

        Raises:
            IllegalTransition: the event cannot have happened.
            StoreError: nothing was saved.
        """
        transition = await self.change(run_id, lambda run, now: advance(run, event, now), done=done, reason=reason)
        assert transition is not None, "only a delivery can be refused as seen before"
        return transition.run

    async def change(
        self,
        run_id: str,
        decide: Callable[[Run, datetime], Transition],
        *,
        delivery: str | None = None,
        done: int | None = None,
        reason: str | None = None,
    ) -> Transition | None:
        """Save what `decide` makes of a run; None where this Slack delivery was seen before.

        Raises:
            UnknownHere: there is no such run.
            StoreError: nothing was saved.
        """
        now = self._clock.now()

        def decide_and_schedule(run: Run) -> Transition:
            transition = decide(run, now)
            poll_at = next_poll(transition.run, now, self._poll_interval, random.random())
            return replace(transition, run=replace(transition.run, poll_at=poll_at))

        transition = await self._store.change(
            run_id, decide_and_schedule, now, delivery=delivery, done=done, reason=reason
        )
        if transition is not None:
            for watcher in self._watchers:
                watcher(transition)
        return transition


def arm_alarm(alarm: Alarm) -> Callable[[Transition], None]:
    """Return a watcher that sets the alarm for the next look at a run."""

    def arm(transition: Transition) -> None:
        if transition.run.poll_at is not None:
            alarm.arm(transition.run.poll_at)

    return arm
