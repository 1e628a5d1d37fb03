"""The one way a run changes: an event is put to the core, and what it decides is saved."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Collection
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TypeVar

import structlog

from bot.core import events as saw
from bot.core.effects import Transition
from bot.core.events import LifecycleEvent
from bot.core.lifecycle import advance
from bot.core.model import Form, Run
from bot.core.polling import next_poll
from bot.core.ports import Alarm, Clock, Store
from bot.core.reminding import APART, ReminderPolicy, held_until, next_reminder
from bot.errors import StoreError

log = structlog.get_logger(__name__)

Saved = TypeVar("Saved")

STORE_PAUSE = timedelta(seconds=2)
"""Pause before the database is tried again after it failed."""


async def once_saved(save: Callable[[], Awaitable[Saved]]) -> Saved:
    """Save what must not get lost, as soon as the database takes it down."""
    while True:
        try:
            return await save()
        except StoreError as exc:
            log.warning("the database takes nothing down; it is tried again", error=str(exc))
            await asyncio.sleep(STORE_PAUSE.total_seconds())


class Recorder:
    """Saves what happened and what follows from it, then tells those who act upon it."""

    def __init__(
        self, store: Store, clock: Clock, poll_interval: timedelta, reminder_policy: Callable[[str], ReminderPolicy]
    ) -> None:
        """`reminder_policy` tells when the forms of an app are reminded of."""
        self._store = store
        self._clock = clock
        self._poll_interval = poll_interval
        self._reminder_policy = reminder_policy
        self._watchers: list[Callable[[Transition], None]] = []
        self._looking: Callable[[], Collection[tuple[str, str]]] = tuple

    def watch(self, watcher: Callable[[Transition], None]) -> None:
        """Call this with every transition, right after it was saved."""
        self._watchers.append(watcher)

    def ask_who_looks(self, looking: Callable[[], Collection[tuple[str, str]]]) -> None:
        """Ask this who looks at the window of which form, and is told there what becomes of it (`Store.change`)."""
        self._looking = looking

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
        taking: str | None = None,
        done: int | None = None,
        reason: str | None = None,
        before_ack: bool = False,
    ) -> Transition | None:
        """Save what `decide` makes of a run.

        `before_ack` says that Slack waits for it, as for that of a delivery. None where this delivery was seen before,
        or where Dify's run `taking` is, or may be, another one of ours.

        Raises:
            UnknownHere: there is no such run.
            StoreError: nothing was saved.
        """
        now = self._clock.now()

        def decide_and_schedule(run: Run) -> Transition:
            transition = decide(run, now)
            return replace(transition, run=self._scheduled(transition.run, now))

        transition = await self._store.change(
            run_id,
            decide_and_schedule,
            now,
            delivery=delivery,
            taking=taking,
            done=done,
            reason=reason,
            looking=self._looking(),
            before_ack=before_ack,
        )
        if transition is not None:
            for watcher in self._watchers:
                watcher(transition)
        return transition

    async def remind(self, run_id: str, form_id: str, claimed: datetime) -> None:
        """Have people reminded of a form whose reminder is due; after their quiet hours, where it comes due late.

        `claimed` is the `remind_at` that the form got when the reminder was claimed.

        Raises:
            UnknownHere: there is no such form.
            StoreError: nothing was saved.
        """

        def decide(run: Run, now: datetime) -> Transition:
            form = run.form(form_id)
            held = held_until(form, self._reminder_policy(run.app), now)
            if held is None or form.remind_at != claimed:
                return advance(run, saw.ReminderDue(form_id, claimed), now)
            return Transition(_with_forms(run, lambda each: replace(each, remind_at=held) if each is form else each))

        await self.change(run_id, decide)

    def _scheduled(self, run: Run, now: datetime) -> Run:
        """Return the run with the moments at which it and its forms are due next."""
        policy = self._reminder_policy(run.app)

        def schedule(form: Form) -> Form:
            waits = run.asks_for(form)
            if waits == (form.remind_at is not None):
                return form
            # What follows hard upon a reminder that came late is merged into it.
            return replace(form, remind_at=next_reminder(form, policy, now + APART) if waits else None)

        poll_at = next_poll(run, now, self._poll_interval, random.random())
        if poll_at is not None and run.poll_at is not None and run.poll_at <= self._clock.now():
            # Who claims a look moves it; nothing else puts off one that is due, such as that at a run nobody follows.
            poll_at = run.poll_at
        return replace(_with_forms(run, schedule), poll_at=poll_at)


def _with_forms(run: Run, change: Callable[[Form], Form]) -> Run:
    return replace(run, forms=tuple(change(form) for form in run.forms))


def arm_alarm(alarm: Alarm) -> Callable[[Transition], None]:
    """Return a watcher that sets the alarm for the next look at a run, and the next reminders of its forms."""

    def arm(transition: Transition) -> None:
        run = transition.run
        for moment in (run.poll_at, *(form.remind_at for form in run.forms)):
            if moment is not None:
                alarm.arm(moment)

    return arm
