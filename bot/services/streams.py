"""Live runs: one named task per open stream, as many as their Dify servers can spare."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace

import structlog

from bot.core import events as saw
from bot.core.events import LifecycleEvent, StreamEvent
from bot.core.lifecycle import Transition
from bot.core.model import Form, Progress, Run, RunStatus, Submission
from bot.core.ports import Dify, Slack
from bot.errors import (
    BotError,
    DifyError,
    DifyNotFound,
    DifyRejected,
    DifyUnauthorized,
    DifyUnavailable,
    FormClosed,
)
from bot.services.limits import ServerLimits, Urgency
from bot.services.recorder import Recorder

log = structlog.get_logger(__name__)

FIRST_PING = 10.0
"""Seconds to wait for the first ping of a stream before the answer is sent without listening."""

OpenStream = AbstractAsyncContextManager[AsyncIterator[StreamEvent]]


class NoPlace(BotError):
    """Every stream that this Dify server can spare is in use; `StreamSupervisor.place` waits for one."""


@dataclass(slots=True)
class LiveRun:
    """What a reader keeps of the stream that it reads; gone with the process."""

    run: Run
    progress: Progress = field(default_factory=Progress)
    text: str = ""
    whole: bool = False
    """The text is heard from its beginning. The rest of one would take the place of what is shown already."""
    settled: bool = False
    """The stream said itself how it ended."""
    reader: asyncio.Task[None] | None = None
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    """Set as soon as the stream was heard of: a ping where one is listened for, the run's id where one is started."""


class StreamSupervisor:
    """Opens streams, reads them in tasks of its own, and has a run reconciled when a stream ends without a word."""

    def __init__(
        self, dify_of: Callable[[str], Dify], limits: Mapping[str, ServerLimits], slack: Slack, recorder: Recorder
    ) -> None:
        """`dify_of` gives the client of an app, `limits` what its server can spare."""
        self._dify_of = dify_of
        self._slack = slack
        self._recorder = recorder
        self._limits = limits
        self._kept: set[str] = set()
        """Runs for whose next stream a place is kept."""
        self._live: dict[str, LiveRun] = {}
        self._steps_done: dict[str, int] = {}
        """Of runs that have not ended: a run's streams count on, one after the other."""
        self._readers: set[asyncio.Task[None]] = set()
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
        """
        live = self._open(run, self._dify_of(run.app).start(run))
        await live.ready.wait()

    async def attach(self, run: Run) -> None:
        """Read a running run's stream in the background, unless it is read already.

        Raises:
            NoPlace: every place is taken.
        """
        if not self.follows(run.run_id):
            self._open(run, self._dify_of(run.app).follow(run))

    async def submit(self, run: Run, form: Form, submission: Submission) -> LifecycleEvent:
        """Listen to the run, then send the answer; return what Dify made of it.

        The resumed text is lost to whoever listens late (recording 25), so the answer waits for the stream's first
        ping. Text is a courtesy, the answer is not: where no stream can be had it goes out all the same.

        Raises:
            NoPlace: nothing was sent.
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
            event = await _submitted(dify, run, form, submission)
        except DifyError:
            self._leave(live)
            raise
        if isinstance(event, saw.SubmitRefused):
            # The form stays open, maybe for days: nobody listens meanwhile.
            self._leave(live)
        return event

    async def close(self) -> None:
        """Leave every stream. The runs go on at Dify; the store knows which they are."""
        for reader in self._readers:
            reader.cancel()
        await asyncio.gather(*self._readers, return_exceptions=True)

    def _open(self, run: Run, stream: OpenStream) -> LiveRun:
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
        live.reader = asyncio.create_task(self._read(live, stream), name=f"stream of run {run.run_id}")
        self._readers.add(live.reader)
        live.reader.add_done_callback(self._readers.discard)
        live.reader.add_done_callback(lambda _: places.give_back())
        return live

    def _leave(self, live: LiveRun) -> None:
        self._forget(live)
        if live.reader is not None:
            live.reader.cancel()

    def _forget(self, live: LiveRun) -> None:
        """Let a stream that has nothing more to say close by itself; the run may be followed anew meanwhile."""
        if self._live.get(live.run.run_id) is live:
            del self._live[live.run.run_id]

    async def _read(self, live: LiveRun, stream: OpenStream) -> None:
        try:
            await self._read_on(live, stream)
        except Exception:
            log.exception("a stream's reader died", run=live.run.run_id)
        finally:
            self._forget(live)
            live.ready.set()
        if not live.settled:
            self._reconcile(live.run.run_id)

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
        live.run = await self._recorder.record(live.run.run_id, event)
        live.settled = True

    async def _take(self, live: LiveRun, event: StreamEvent) -> None:
        match event:
            case saw.Ping():
                if live.run.status is not RunStatus.STARTING:
                    live.ready.set()
            case saw.StepStarted(node_id=node_id) if any(form.node_id == node_id for form in live.run.forms):
                # A resumed run begins with the step of the form it waited for, which people know to be over.
                return
            case saw.StepStarted(title=title):
                await self._show(live, replace(live.progress, step=title))
            case saw.StepFinished():
                self._steps_done[live.run.run_id] = live.progress.done + 1
                await self._show(live, replace(live.progress, done=live.progress.done + 1))
            case saw.TextArrived(text=text, replace=True):
                live.whole = True
                await self._answer(live, text)
            case saw.TextArrived(text=text) if live.whole:
                await self._answer(live, live.text + text)
            case saw.TextArrived():
                return
            case saw.StreamFailed(message=message):
                if live.run.status is RunStatus.STARTING:
                    await self._end_of_start(live, saw.StartRefused(message))
            case saw.RunFinished() if live.run.stop_requested_by is not None:
                # A stopped run says `failed` on its stream and `stopped` in run detail, which is right (recording 12).
                return
            case _:
                live.run = await self._recorder.record(live.run.run_id, event)
                live.ready.set()
                if isinstance(event, saw.RunResumed):
                    # What is said from here on goes into a message of its own.
                    live.text, live.whole = "", True
                if isinstance(event, saw.RunPaused | saw.RunFinished):
                    live.settled = True
                    # The answer to this pause may be due before the connection is closed, and this one is deaf to it.
                    self._forget(live)

    async def _show(self, live: LiveRun, progress: Progress) -> None:
        live.progress = progress
        await self._slack.show_progress(live.run, progress)

    async def _answer(self, live: LiveRun, text: str) -> None:
        first = not live.text
        live.text = text
        await self._slack.show_answer(live.run, text)
        if first:
            live.run = await self._recorder.record(live.run.run_id, saw.AnswerBegan())

    def _on_transition(self, transition: Transition) -> None:
        run = transition.run
        if run.status.ended:
            self._steps_done.pop(run.run_id, None)
        live = self._live.get(run.run_id)
        if live is not None:
            live.run = run


async def _submitted(dify: Dify, run: Run, form: Form, submission: Submission) -> LifecycleEvent:
    """Send the answer and name what became of it."""
    try:
        await dify.submit(run, form, submission)
    except FormClosed as exc:
        return saw.FormFoundClosed(form.form_id, exc.expired)
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
