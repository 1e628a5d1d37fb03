"""The one way a run moves after anything unusual: ask Dify how it stands, and record the answer (dify-api §15.3).

Idempotent: it runs after a stream that ended without a word, after a restart, and whenever a poll is due; of a run that
is followed, too, since a stream that was opened late knows nothing of the pause that came before it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

import structlog

from bot.core import events as saw
from bot.core.lifecycle import Transition, advance
from bot.core.model import Run, RunStatus
from bot.core.polling import GRACE_AFTER_ANSWER
from bot.core.ports import Clock, Dify, Store
from bot.errors import DifyError, DifyNotFound, StoreError
from bot.services.limits import ServerLimits
from bot.services.recorder import Recorder
from bot.services.streams import NoPlace, StreamSupervisor

log = structlog.get_logger(__name__)

DUE_LIMIT = 200
"""Runs that one look into the store takes up."""

LOOK_TIME = timedelta(minutes=1)
"""A look that has not moved its run's next one by then, because it failed or hangs, is due again."""

_MOVING = (RunStatus.RUNNING, RunStatus.RESUMING)
_LIVE = (*_MOVING, RunStatus.PAUSED)


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
    ) -> None:
        """`dify_of` gives the client of an app, `limits` what its server can spare."""
        self._store = store
        self._dify_of = dify_of
        self._limits = limits
        self._recorder = recorder
        self._streams = streams
        self._clock = clock
        self._looks: dict[str, asyncio.Task[None]] = {}

    def look_at(self, run_id: str) -> None:
        """Reconcile a run in the background, unless that is under way."""
        if run_id not in self._looks:
            task = asyncio.create_task(self._look(run_id), name=f"look at run {run_id}")
            self._looks[run_id] = task
            task.add_done_callback(lambda _: self._looks.pop(run_id, None))

    async def look_at_due(self) -> None:
        """Reconcile every run whose poll is due."""
        now = self._clock.now()
        for run_id in await self._store.claim_polls(now, now + LOOK_TIME, DUE_LIMIT):
            self.look_at(run_id)

    async def recover(self) -> None:
        """Look at every run that was moving when the process before this one ended."""
        for run_id in await self._store.runs_in(_MOVING):
            self.look_at(run_id)

    async def close(self) -> None:
        """Break off; a look that is not finished is due again."""
        looks = list(self._looks.values())
        for task in looks:
            task.cancel()
        await asyncio.gather(*looks, return_exceptions=True)

    async def _look(self, run_id: str) -> None:
        try:
            run = await self._store.run(run_id)
            await self._look_at_live(run)
        except StoreError:
            log.exception("what was seen of a run is not saved; the look is due again", run=run_id)
        except Exception:
            log.exception("look failed; it is due again", run=run_id)

    async def _look_at_live(self, run: Run) -> None:
        try:
            dify = self._dify_of(run.app)
            async with self._limits[run.app].looks:
                # It may have moved on while others were looked at.
                run = await self._store.run(run.run_id)
                if run.status in _LIVE:
                    await self._reconcile(run, dify)
        except (DifyError, NoPlace) as exc:
            # A refusal is no news of the run: a key that Dify does not take any more can be put right.
            log.warning("look postponed", run=run.run_id, error=str(exc))
            await self._look_later(run)

    async def _look_later(self, run: Run) -> None:
        await self._recorder.change(run.run_id, lambda run, now: Transition(run))

    async def _reconcile(self, run: Run, dify: Dify) -> None:
        try:
            detail = await dify.run_detail(run)
        except DifyNotFound as exc:
            await self._recorder.record(run.run_id, saw.RunGone(exc.message))
            return
        if detail.status is RunStatus.PAUSED:
            await self._paused(run, dify)
        elif detail.status is RunStatus.RUNNING:
            await self._running(run)
        else:
            await self._recorder.record(run.run_id, saw.RunFinished(detail.status, detail.outputs, detail.error))

    async def _running(self, asked: Run) -> None:
        def decide(run: Run, now: datetime) -> Transition:
            # A stream may have told of a pause while Dify was being asked.
            return advance(run, saw.RunResumed(), now) if run.since == asked.since else Transition(run)

        transition = await self._recorder.change(asked.run_id, decide)
        if transition is not None and transition.run.status is RunStatus.RUNNING:
            await self._streams.attach(transition.run)

    async def _paused(self, run: Run, dify: Dify) -> None:
        forms = await dify.open_forms(run)
        for form in forms:
            await self._recorder.record(run.run_id, saw.FormRequired(form))
        ids = frozenset(form.form_id for form in forms)
        run = await self._recorder.record(run.run_id, saw.RunPaused(ids))
        waited = self._clock.now() - (run.since or run.created_at)
        if run.status is not RunStatus.PAUSED and waited > GRACE_AFTER_ANSWER:
            await self._recorder.record(run.run_id, saw.StillNotMoving())
