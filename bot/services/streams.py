"""Live runs: one named task per open stream, as many as their Dify servers can spare."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime

import structlog

from bot.core import events as saw
from bot.core.effects import Transition
from bot.core.events import LifecycleEvent, StreamEvent
from bot.core.lifecycle import advance
from bot.core.model import Form, Progress, Run, RunStatus, SegmentText, Submission, repeated
from bot.core.out_files import GrowingText, out_files
from bot.core.ports import Dify, Slack, Store
from bot.errors import (
    BotError,
    DifyError,
    DifyNotFound,
    DifyRejected,
    DifyUnauthorized,
    DifyUnavailable,
    FormClosed,
    StoreError,
)
from bot.services.limits import ServerLimits, Urgency
from bot.services.recorder import Recorder, once_saved
from bot.services.settling import closed

log = structlog.get_logger(__name__)

FIRST_PING = 10.0
"""Seconds to wait for the first ping of a stream before the answer is sent without listening."""

_REMEMBERED = 1_000
"""Runs whose steps are kept in mind."""

OpenStream = AbstractAsyncContextManager[AsyncIterator[StreamEvent]]


class NoPlace(BotError):
    """Every stream that this Dify server can spare is in use; `StreamSupervisor.place` waits for one."""


class NotSent(BotError):
    """Surely nothing was sent to Dify, and the same may be begun anew."""


@dataclass(slots=True)
class LiveRun:
    """What a reader keeps of the stream that it reads; gone with the process."""

    run: Run
    """As it was last saved here: other processes may have changed it since."""
    progress: Progress = field(default_factory=Progress)
    text: str = ""
    shown: GrowingText = field(default_factory=GrowingText)
    """The text, as people may read it."""
    repeats: int | None = None
    """How much of its beginning was written before; None while that cannot be told."""
    left: str = ""
    """What follows that, and is shown."""
    whole: bool = False
    """The text is heard from its beginning. The rest of one would take the place of what is shown already."""
    settled: bool = False
    """It needs no look after its end: it said itself how the run stands, or was left."""
    heard_out: bool = False
    """Nothing of its text is missing."""
    sent: bool = True
    """The start was sent, where one was to be."""
    reader: asyncio.Task[None] | None = None
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    """Set as soon as the stream was heard of: a ping where one is listened for, the run's id where one is started."""

    def left_of(self, text: str) -> str:
        """Return what follows in a text after what was written before."""
        return "" if self.repeats is None else text[self.repeats :]


class StreamSupervisor:
    """Opens streams, reads them in tasks of its own, and has a run reconciled when a stream ends without a word."""

    def __init__(
        self,
        store: Store,
        dify_of: Callable[[str], Dify],
        limits: Mapping[str, ServerLimits],
        slack: Slack,
        recorder: Recorder,
    ) -> None:
        """`dify_of` gives the client of an app, `limits` what its server can spare."""
        self._store = store
        self._dify_of = dify_of
        self._slack = slack
        self._recorder = recorder
        self._limits = limits
        self._kept: set[str] = set()
        """Runs for whose next stream a place is kept."""
        self._live: dict[str, LiveRun] = {}
        self._steps_done: dict[str, int] = {}
        """A run's streams count on, one after the other; losing a count costs nothing else."""
        self._readers: set[asyncio.Task[None]] = set()
        self._farewells: set[asyncio.Task[None]] = set()
        self._reconcile: Callable[[str], None] = lambda run_id: None
        recorder.watch(self._on_transition)

    def on_lost_sight(self, reconcile: Callable[[str], None]) -> None:
        """Call this with the run's id whenever a stream ended without saying how the run stands."""
        self._reconcile = reconcile

    def follows(self, run_id: str) -> bool:
        """Tell whether a stream of this run is open here."""
        return run_id in self._live

    @asynccontextmanager
    async def place(self, run: Run, urgency: Urgency) -> AsyncIterator[None]:
        """Wait for a place and keep it for the next stream of this run."""
        places = self._limits[run.app].places
        await places.wait(urgency)
        self._kept.add(run.run_id)
        try:
            yield
        finally:
            if run.run_id in self._kept:
                self._kept.remove(run.run_id)
                places.give_back()

    async def start(self, run: Run) -> None:
        """Send the start and read on in the background; return once Dify named the run, or its start was refused.

        Raises:
            NoPlace: nothing was sent.
            NotSent: the lease may have lapsed.
        """
        live = self._open(run, self._dify_of(run.app).start(run))
        await live.ready.wait()
        if not live.sent:
            raise NotSent("the lease may have lapsed: another process may send the start")

    async def attach(self, run: Run) -> None:
        """Read a running run's stream in the background, unless it is read already, here or by another process.

        Raises:
            NoPlace: every place is taken.
        """
        if not self.follows(run.run_id):
            self._open(run, self._dify_of(run.app).follow(run), instead_of_others=False)

    async def submit(self, run: Run, form: Form, submission: Submission) -> LifecycleEvent:
        """Listen to the run, then send the answer; return what Dify made of it.

        The resumed text is lost to whoever listens late (recording 25), so the answer waits for the stream's first
        ping. Text is a courtesy, the answer is not: where no stream can be had it goes out all the same.

        Raises:
            NoPlace: nothing was sent.
            NotSent: the lease may have lapsed.
            DifyUnavailable: nothing was sent.
            DifyUnauthorized: nothing was decided.
        """
        dify = self._dify_of(run.app)
        live = self._live.get(run.run_id) or self._open(run, dify.follow(run))
        try:
            async with asyncio.timeout(FIRST_PING):
                await live.ready.wait()
        except TimeoutError:
            log.warning("no ping before the submit", run=run.run_id)
        try:
            if not self._store.holds_lease():
                raise NotSent("the lease may have lapsed: another process may send the answer")
            event = await _submitted(dify, run, form, submission)
        except (DifyError, NotSent):
            self._leave(live)
            raise
        if isinstance(event, saw.SubmitRefused):
            # The form stays open, maybe for days: nobody listens meanwhile.
            self._leave(live)
        return event

    def leave(self, run_id: str) -> None:
        """Stop reading the stream of a run, if one is read here, and free its place."""
        live = self._live.get(run_id)
        if live is not None:
            self._leave(live)

    async def close(self) -> None:
        """Read no more. The runs go on at Dify; the store knows which of them were followed to the last."""
        while tasks := self._readers | self._farewells:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _open(self, run: Run, stream: OpenStream, *, instead_of_others: bool = True) -> LiveRun:
        places = self._limits[run.app].places
        if run.run_id in self._kept:
            self._kept.remove(run.run_id)
        elif not places.take():
            raise NoPlace(f"all streams of the server of “{run.app}” are in use")
        # A stream that is opened while the run executes knows nothing of what was said before.
        live = LiveRun(
            run, Progress(done=self._steps_done.get(run.run_id, 0)), whole=run.status is not RunStatus.RUNNING
        )
        self._live[run.run_id] = live
        live.reader = asyncio.create_task(
            self._read(live, stream, instead_of_others), name=f"stream of run {run.run_id}"
        )
        self._readers.add(live.reader)
        live.reader.add_done_callback(self._readers.discard)
        live.reader.add_done_callback(lambda _: places.give_back())
        return live

    def _leave(self, live: LiveRun) -> None:
        self._forget(live)
        if live.reader is not None and not live.reader.done():
            live.settled = True
            live.reader.cancel()
            self._say_farewell(live)

    def _forget(self, live: LiveRun) -> None:
        """Let a stream that has nothing more to say close by itself; the run may be followed anew meanwhile."""
        if self._live.get(live.run.run_id) is live:
            del self._live[live.run.run_id]

    async def _read(self, live: LiveRun, stream: OpenStream, instead_of_others: bool) -> None:
        run_id = live.run.run_id
        try:
            if not await self._follow(run_id, instead_of_others):
                live.settled = True
            elif live.run.status is RunStatus.STARTING and not self._store.holds_lease():
                live.sent, live.settled = False, True
            else:
                await self._read_on(live, stream)
        except Exception:
            log.exception("a stream's reader died", run=run_id)
        finally:
            if live.text and not live.heard_out:
                if live.left and (left := live.left_of(live.shown.whole())) != live.left:
                    await self._slack.show_answer(live.run, left)
                await self._slack.lose_answer(live.run)
            self._forget(live)
            live.ready.set()
        # Where it was cancelled, whoever did so sees to it.
        self._say_farewell(live)

    def _say_farewell(self, live: LiveRun) -> None:
        farewell = asyncio.create_task(self._end(live), name=f"end of a stream of run {live.run.run_id}")
        self._farewells.add(farewell)
        farewell.add_done_callback(self._farewells.discard)

    async def _end(self, live: LiveRun) -> None:
        """Tell the other processes that a stream is not read any more, and have its run looked at where need be."""
        assert live.reader is not None, "a stream that is opened has a reader"
        await asyncio.wait({live.reader})
        if not self.follows(live.run.run_id):
            await self._slack.leave(live.run)
        await once_saved(lambda: self._unfollow(live.run.run_id))
        if not live.settled:
            self._reconcile(live.run.run_id)

    async def _follow(self, run_id: str, instead_of_others: bool) -> bool:
        """Tell the other processes, and tell whether to read: a database that is away is no reason not to."""
        try:
            return await self._store.follow(run_id, instead_of_others=instead_of_others)
        except StoreError:
            log.warning("the others do not know that the run is followed", run=run_id, exc_info=True)
            return True

    async def _unfollow(self, run_id: str) -> None:
        if not self.follows(run_id):
            await self._store.unfollow(run_id)
            if self.follows(run_id):
                # A new stream was opened meanwhile, and what it said may have been taken back here.
                await self._store.follow(run_id)

    async def _read_on(self, live: LiveRun, stream: OpenStream) -> None:
        try:
            async with stream as stream_events:
                async for event in stream_events:
                    await self._take(live, event)
            if live.run.status is RunStatus.STARTING and not live.settled:
                await self._end_of_start(live, saw.StartUnconfirmed())
        except DifyError as exc:
            await self._broken(live, exc)

    async def _broken(self, live: LiveRun, exc: DifyError) -> None:
        """Record what a failed start means; any other stream may break without consequence."""
        log.info("stream broke", run=live.run.run_id, error=str(exc))
        if live.run.status is RunStatus.STARTING:
            refused = isinstance(exc, DifyRejected) or (isinstance(exc, DifyUnavailable) and not exc.sent)
            await self._end_of_start(live, saw.StartRefused(exc.message) if refused else saw.StartUnconfirmed())

    async def _end_of_start(self, live: LiveRun, event: saw.StartRefused | saw.StartUnconfirmed) -> None:
        live.run = await once_saved(lambda: self._recorder.record(live.run.run_id, event))
        live.settled = True

    async def _take(self, live: LiveRun, event: StreamEvent) -> None:
        match event:
            case saw.Ping() if live.run.status is not RunStatus.STARTING and not live.ready.is_set():
                live.ready.set()
                if not live.whole:
                    # Nobody hears of an end or a pause between the look that found it running and this (recording 05).
                    self._reconcile(live.run.run_id)
            case saw.Ping():
                return
            case saw.StepStarted(node_id=node_id) if any(form.node_id == node_id for form in live.run.forms):
                # A resumed run begins with the step of the form it waited for, which people know to be over.
                return
            case saw.StepStarted(title=title):
                await self._show(live, replace(live.progress, step=title))
            case saw.StepFinished():
                self._count_step(live)
                await self._show(live, replace(live.progress, done=live.progress.done + 1))
            case saw.TextArrived(text=text, replace=True):
                live.whole, live.shown, live.repeats = True, GrowingText(), None
                await self._answer(live, text, text)
            case saw.TextArrived(text=text) if live.whole:
                await self._answer(live, live.text + text, text)
            case saw.TextArrived():
                await self._slack.lose_answer(live.run)
            case saw.StreamFailed(message=message):
                if live.run.status is RunStatus.STARTING:
                    await self._end_of_start(live, saw.StartRefused(message))
            case _:
                over = isinstance(event, saw.RunPaused | saw.RunFinished)
                if over and live.text:
                    # Its end might have become an address.
                    await self._show_text(live, live.shown.whole(), whole=isinstance(event, saw.RunPaused))
                if isinstance(event, saw.RunPaused) and live.whole and live.left:
                    event = replace(event, text=SegmentText.of(live.run.segment, live.left))
                told: list[LifecycleEvent] = [event]
                if over and live.whole and out_files(live.text, None):
                    # Nobody hears the text again.
                    told.append(saw.AnswerWritten(live.text))
                live.run = await self._told(live.run.run_id, *told)
                live.ready.set()
                if isinstance(event, saw.RunResumed):
                    # What is said from here on goes into a message of its own.
                    live.text, live.shown, live.whole = "", GrowingText(), True
                    live.repeats, live.left = None, ""
                if not over:
                    return
                live.heard_out = True
                if isinstance(event, saw.RunPaused) or live.run.status.ended:
                    live.settled = True
                    # The answer to this pause may be due before the connection is closed, and this one is deaf to it.
                    self._forget(live)

    async def _told(self, run_id: str, *events: LifecycleEvent) -> Run:
        """Save what a stream told, all of it or nothing. It is told once, so a database that is away is waited for."""

        def decide(run: Run, now: datetime) -> Transition:
            transition = Transition(run)
            for event in events:
                step = _as_told(transition.run, event, now)
                transition = Transition(step.run, (*transition.effects, *step.effects))
            return transition

        transition = await once_saved(lambda: self._recorder.change(run_id, decide))
        assert transition is not None, "only a delivery can be refused as seen before"
        return transition.run

    def _count_step(self, live: LiveRun) -> None:
        # Its end may be seen by another process alone, so the oldest are forgotten.
        self._steps_done.pop(live.run.run_id, None)
        self._steps_done[live.run.run_id] = live.progress.done + 1
        if len(self._steps_done) > _REMEMBERED:
            del self._steps_done[next(iter(self._steps_done))]

    async def _show(self, live: LiveRun, progress: Progress) -> None:
        live.progress = progress
        await self._slack.show_progress(live.run, progress)

    async def _answer(self, live: LiveRun, text: str, new: str) -> None:
        live.text = text
        await self._show_text(live, live.shown.add(new))

    async def _show_text(self, live: LiveRun, text: str, *, whole: bool = False) -> None:
        """Show what follows in a text after what was written before; `whole` where no more of it comes."""
        if live.repeats is None:
            # After a form Dify begins anew with a text that it has not sent to its end (recordings 07, 16). Whether it
            # stands there whole may not be known yet; the result, which comes last, goes by that.
            live.repeats = repeated(text, live.run.texts)
            if live.repeats is None and whole:
                live.repeats = 0
        left = live.left_of(text)
        if left in ("", live.left):
            return
        first, live.left = not live.left, left
        await self._slack.show_answer(live.run, left)
        if first:
            live.run = await self._told(live.run.run_id, saw.AnswerBegan())

    def _on_transition(self, transition: Transition) -> None:
        run = transition.run
        if run.status.ended:
            self._steps_done.pop(run.run_id, None)
        live = self._live.get(run.run_id)
        if live is not None:
            live.run = run


def _as_told(run: Run, event: LifecycleEvent, now: datetime) -> Transition:
    """Decide what follows from what a stream tells of a run as it is saved."""
    if isinstance(event, saw.RunFinished) and run.stop_requested_by is not None:
        # A stopped run says `failed` on its stream and `stopped` in run detail, which is right (recording 12).
        return Transition(run)
    return advance(run, event, now)


async def _submitted(dify: Dify, run: Run, form: Form, submission: Submission) -> LifecycleEvent:
    """Send the answer and name what became of it."""
    try:
        await dify.submit(run, form, submission)
    except FormClosed as exc:
        return await closed(dify, run, form, exc)
    except DifyNotFound:
        return saw.FormUnreachable(form.form_id)
    except DifyUnauthorized:
        raise
    except DifyRejected as exc:
        return saw.SubmitRefused(form.form_id, exc.message)
    except DifyUnavailable as exc:
        if not exc.sent:
            raise
        return saw.SubmitUncertain(form.form_id)
    return saw.SubmitAccepted(form.form_id)
