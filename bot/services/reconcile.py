"""The one way a run moves after anything unusual: ask Dify how it stands, and record the answer (dify-api §15.3).

Idempotent: it runs after a stream that ended without a word, after a restart, and whenever a poll is due; of a run that
is followed, too, since a stream that was opened late knows nothing of the pause that came before it.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar

import structlog

from bot.core import events as saw
from bot.core.effects import Transition
from bot.core.events import LifecycleEvent
from bot.core.lifecycle import advance
from bot.core.model import Run, RunStatus
from bot.core.polling import EXECUTION_GRACE, GRACE_AFTER_ANSWER, SOUGHT_FOR, look_urgency, must_compare_forms
from bot.core.ports import Clock, Dify, RunDetail, Store
from bot.errors import DifyError, DifyNotFound, DifyUnauthorized, DifyUnavailable, StoreError
from bot.services.limits import ServerLimits
from bot.services.recorder import Recorder
from bot.services.streams import NoPlace, StreamSupervisor

log = structlog.get_logger(__name__)

Answer = TypeVar("Answer")

DUE_LIMIT = 100
"""Runs of one server that are taken out of the store to be looked at; more wait there until some of these are done."""

LOOK_TIME = timedelta(minutes=1)
"""A look that has not moved its run's next one by then, because it failed or hangs, is due again."""

GIVEN_UP = timedelta(days=1)
"""A run that executes so much longer than Dify allows is taken for lost: whatever executed it died (recording 39).

So is one that was looked for as long in a log that cannot be read.
"""

CLOCKS_APART = timedelta(minutes=1)
"""How far Dify's clock may be behind: what it has logged so much before a run was asked for may be its start."""

_LOST = "Dify has called it running for more than a day, longer than it lets any run execute: what executed it has died"
_LIVE = (RunStatus.SOUGHT, RunStatus.RUNNING, RunStatus.RESUMING, RunStatus.PAUSED)


class Reconciler:
    """Looks at runs, a few of each server at a time, each by one look at once."""

    def __init__(
        self,
        store: Store,
        dify_of: Callable[[str], Dify],
        limits: Mapping[str, ServerLimits],
        recorder: Recorder,
        streams: StreamSupervisor,
        clock: Clock,
        max_execution: timedelta,
    ) -> None:
        """`dify_of` gives the client of an app, `limits` what its server can spare.

        `max_execution` is how long Dify lets a run execute between two forms.
        """
        self._store = store
        self._dify_of = dify_of
        self._limits = limits
        self._recorder = recorder
        self._streams = streams
        self._clock = clock
        self._max_execution = max_execution
        self._looks: dict[str, asyncio.Task[None]] = {}
        self._apps_of_server = _by_server(limits)
        self._due_looks: Counter[ServerLimits | None] = Counter()

    def look_at(self, run_id: str) -> None:
        """Reconcile a run in the background, unless that is under way."""
        self._look_in_background(run_id)

    async def look_at_due(self) -> None:
        """Reconcile the runs whose poll is due, as many of each server at once as are worth a task.

        The others stay due. A server that answers slowly takes no room from the runs of another.
        """
        for server, apps in self._apps_of_server.items():
            await self._look_at_due_of(server, apps=apps)
        # Those of apps that are left out now wait for them to come back.
        await self._look_at_due_of(None, but_for=self._limits)

    async def _look_at_due_of(self, server: ServerLimits | None, **which: Collection[str]) -> None:
        room = DUE_LIMIT - self._due_looks[server]
        if room <= 0:
            return
        now = self._clock.now()
        for run_id in await self._store.claim_polls(now, now + LOOK_TIME, room, **which):
            self._due_looks[server] += 1
            self._look_in_background(run_id).add_done_callback(lambda _: self._due_looks.subtract([server]))

    def _look_in_background(self, run_id: str) -> asyncio.Task[None]:
        if run_id not in self._looks:
            task = asyncio.create_task(self._look(run_id), name=f"look at run {run_id}")
            self._looks[run_id] = task
            task.add_done_callback(lambda _: self._looks.pop(run_id, None))
        return self._looks[run_id]

    async def close(self) -> None:
        """Break off; a look that is not finished is due again."""
        looks = list(self._looks.values())
        for task in looks:
            task.cancel()
        await asyncio.gather(*looks, return_exceptions=True)

    async def _look(self, run_id: str) -> None:
        try:
            await self._look_at_live(await self._store.run(run_id))
        except StoreError:
            log.exception("what was seen of a run is not saved; the look is due again", run=run_id)
        except Exception:
            log.exception("look failed; it is due again", run=run_id)

    async def _look_at_live(self, run: Run) -> None:
        if run.status not in _LIVE:
            return
        try:
            dify = self._dify_of(run.app)
            async with self._limits[run.app].looks.one(look_urgency(run, self._clock.now())):
                if run.status is not RunStatus.PAUSED:
                    # It may have moved on while others were looked at.
                    run = await self._store.run(run.run_id)
                if run.status not in _LIVE:
                    return
                if self._limits[run.app].outage.may_ask(self._clock.now()):
                    await self._reconcile_once_named(run, dify)
                else:
                    # One asks for all whether the server answers again; this look has not failed.
                    await self._look_later(run)
        except NoPlace as exc:
            log.info("look postponed", run=run.run_id, error=str(exc))
            await self._look_later(run)
        except DifyError as exc:
            # A refusal is no news of the run: a key that Dify does not take any more can be put right.
            log.warning("look postponed", run=run.run_id, error=str(exc))
            await self._recorder.record(run.run_id, saw.LookFailed(refused=isinstance(exc, DifyUnauthorized)))

    async def _look_later(self, run: Run) -> None:
        await self._recorder.change(run.run_id, lambda run, now: Transition(run))

    async def _reconcile_once_named(self, run: Run, dify: Dify) -> None:
        if run.status is RunStatus.SOUGHT:
            run = await self._seek(run, dify)
        if run.status in _LIVE and run.status is not RunStatus.SOUGHT:
            await self._reconcile(run, dify)

    async def _seek(self, run: Run, dify: Dify) -> Run:
        """Look for a run whose start was not confirmed, and return it as it then stands (dify-api §4.3)."""
        try:
            logged = await self._heard(run, dify.logged_runs(run, run.created_at - CLOCKS_APART))
            named = await self._store.named([each.workflow_run_id for each in logged])
            alike = [
                each
                for each in logged
                if each.workflow_run_id not in named and await dify.is_start_of(run, each.workflow_run_id)
            ]
        except DifyError as exc:
            may_open = isinstance(exc, DifyUnavailable | DifyUnauthorized) and self._waited(run) < GIVEN_UP
            if may_open:
                raise
            log.warning("the log is closed to us", run=run.run_id, error=str(exc))
            return await self._recorder.record(run.run_id, saw.RunNotFound())
        for each in alike:
            # Of several that are alike each belongs to a start that is alike, and it makes no difference to which.
            found = saw.RunFound(each.workflow_run_id, each.started_at)
            transition = await self._recorder.change(run.run_id, partial(_advanced, found), taking=each.workflow_run_id)
            if transition is not None:
                return transition.run
        if not alike and self._waited(run) >= SOUGHT_FOR:
            return await self._recorder.record(run.run_id, saw.RunNotFound())
        return await self._recorder.record(run.run_id, saw.LookSucceeded())

    async def _reconcile(self, run: Run, dify: Dify) -> None:
        try:
            detail = await self._heard(run, dify.run_detail(run))
        except DifyNotFound as exc:
            await self._recorder.record(run.run_id, saw.RunGone(exc.message))
            return
        if run.failed_looks or run.told_refused:
            run = await self._recorder.record(run.run_id, saw.LookSucceeded())
        if detail.status is RunStatus.PAUSED:
            if must_compare_forms(run, detail.steps, self._clock.now()):
                await self._compare_forms(run, detail, dify)
            else:
                await self._look_later(run)
        elif detail.status is RunStatus.RUNNING:
            await self._running(run)
        else:
            await self._recorder.record(run.run_id, saw.RunFinished(detail.status, detail.outputs, detail.error))

    async def _heard(self, run: Run, asking: Awaitable[Answer]) -> Answer:
        """Ask, and take down whether the run's server answers."""
        outage = self._limits[run.app].outage
        try:
            answer = await asking
        except DifyError as exc:
            if isinstance(exc, DifyUnavailable) and exc.status is None:
                outage.silent(self._clock.now())
            else:
                outage.over()
            raise
        outage.over()
        return answer

    async def _running(self, asked: Run) -> None:
        if asked.status is RunStatus.RUNNING:
            too_long = self._waited(asked) - self._max_execution
            if too_long > GIVEN_UP:
                await self._recorder.record(asked.run_id, saw.RunGone(_LOST))
                return
            if too_long > EXECUTION_GRACE:
                # Nothing is heard of it any more: its stream's place is of more use to others.
                self._streams.leave(asked.run_id)
                await self._recorder.record(asked.run_id, saw.StillNotMoving())
                return

        def decide(run: Run, now: datetime) -> Transition:
            # A stream may have told of a pause while Dify was being asked.
            return advance(run, saw.RunResumed(), now) if run.since == asked.since else Transition(run)

        transition = await self._recorder.change(asked.run_id, decide)
        if transition is not None and transition.run.status is RunStatus.RUNNING:
            await self._streams.attach(transition.run)

    async def _compare_forms(self, asked: Run, detail: RunDetail, dify: Dify) -> None:
        # Read anew: what was answered here meanwhile must not be taken for a form that Dify closed.
        run = await self._store.run(asked.run_id)
        forms = await dify.open_forms(run)
        known = {form.form_id for form in run.forms}
        for form in forms:
            if form.form_id not in known:
                await self._recorder.record(run.run_id, saw.FormRequired(form))
        ids = frozenset(form.form_id for form in forms)
        run = await self._recorder.record(run.run_id, saw.RunPaused(ids, detail.steps))
        if (run.status is not RunStatus.PAUSED or not run.open_forms) and self._waited(run) > GRACE_AFTER_ANSWER:
            await self._recorder.record(run.run_id, saw.StillNotMoving())

    def _waited(self, run: Run) -> timedelta:
        return self._clock.now() - (run.since or run.created_at)


def _advanced(event: LifecycleEvent, run: Run, now: datetime) -> Transition:
    return advance(run, event, now)


def _by_server(limits: Mapping[str, ServerLimits]) -> dict[ServerLimits, frozenset[str]]:
    """Return the apps of each server, which all have the same limits."""
    return {
        server: frozenset(app for app, its_server in limits.items() if its_server is server)
        for server in limits.values()
    }
