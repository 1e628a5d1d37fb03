"""Carries out saved effects. What is here runs from the store alone, so a crash loses nothing of it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Iterator
from datetime import timedelta
from typing import Any

import structlog

from bot.core import effects as do
from bot.core import events as saw
from bot.core.effects import DifyEffect, Effect, SlackEffect
from bot.core.events import LifecycleEvent
from bot.core.model import FormStatus, Progress, Run, RunStatus
from bot.core.ports import Alarm, Clock, Dify, SavedEffect, Slack, Store
from bot.errors import (
    ChannelUnreachable,
    DifyError,
    DifyNotFound,
    DifyUnauthorized,
    DifyUnavailable,
    FormClosed,
    SlackError,
    SlackRejected,
    SlackUnauthorized,
    SlackUnavailable,
    StoreError,
)
from bot.services.commands import CommandDesk
from bot.services.limits import Urgency
from bot.services.recorder import Recorder
from bot.services.streams import NoPlace, StreamSupervisor

log = structlog.get_logger(__name__)

CLAIM_LIMIT = 100
"""Effects begun at one look into the outbox."""

ACK_FIRST = 0.015
"""Seconds before what was saved is carried out. Bolt looks for an ack every 10 ms (slack-platform §9.1): a click is
acked before what follows from it takes the loop."""

STORE_PAUSE = timedelta(seconds=2)
"""Pause before the database is tried again after it failed."""

FEW = 5
"""Tries of what must not hold up the answers behind it for longer."""

_COURTESIES = do.TellNotStarted | do.TellDecided | do.TellRefused | do.TellInvalid | do.TellCannotStop
"""What one person is told at once, or not at all."""


def pause_before(attempt: int) -> timedelta:
    """Return how long to wait before the next try: 1 s, doubled each time, at most 5 minutes."""
    return timedelta(seconds=min(2.0 ** min(attempt - 1, 10), 300.0))


class Outbox:
    """Begins every effect that is due, in its lane's order, and finishes it or puts it back."""

    def __init__(
        self,
        *,
        store: Store,
        slack: Slack,
        dify_of: Callable[[str], Dify],
        recorder: Recorder,
        streams: StreamSupervisor,
        commands: CommandDesk,
        clock: Clock,
        alarm: Alarm,
    ) -> None:
        self._store = store
        self._slack = slack
        self._dify_of = dify_of
        self._recorder = recorder
        self._streams = streams
        self._commands = commands
        self._clock = clock
        self._alarm = alarm
        self._wake = asyncio.Event()
        self._under_way: set[asyncio.Task[None]] = set()
        self._held: set[asyncio.Task[None]] = set()
        """Those that wait for a stream, and have sent nothing."""

    def wake(self) -> None:
        """Look into the outbox now."""
        self._wake.set()

    async def recover(self) -> None:
        """Take up what a process that is gone had begun.

        A start may have reached Dify and cannot be asked about, so it is never sent again; a submit is settled by
        reading the form; everything else finds out by itself what it has done already.
        """
        for saved in await self._store.interrupted_effects():
            await self._take_up(saved)
        self.wake()

    async def _take_up(self, saved: SavedEffect) -> None:
        event = _interrupted(saved.effect)
        if event is None or saved.run_id is None:
            await self._store.put_back_effect(saved.row_id, self._clock.now())
            return
        try:
            await self._recorder.record(saved.run_id, event, done=saved.row_id)
        except StoreError:
            raise
        except Exception as exc:
            # Neither the other effects nor the next start may fail because of this one.
            log.exception("effect given up", effect=type(saved.effect).__name__, run=saved.run_id)
            await self._store.give_up_effect(saved.row_id, _reason(exc))

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            await self._wake.wait()
            await asyncio.sleep(ACK_FIRST)
            self._wake.clear()
            # Whoever cancels this must not leave effects behind that are marked as begun and that nobody carries out.
            await asyncio.shield(self._spawn(self._begin_due(), "outbox"))

    async def drain(self, grace: float) -> None:
        """Wait up to `grace` seconds for the effects under way; what is left stands in the store."""
        for task in self._held:
            task.cancel()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace):
                while self._under_way:
                    await asyncio.wait(self._under_way)
        left = list(self._under_way)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name=name)
        self._under_way.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        if not task.cancelled() and (exc := task.exception()) is not None:
            log.error("work on the outbox died", task=task.get_name(), exc_info=exc)

    async def _begin_due(self) -> None:
        try:
            begun = await self._store.claim_effects(self._clock.now(), CLAIM_LIMIT)
        except StoreError:
            log.exception("the outbox cannot be read")
            self._alarm.arm(self._clock.now() + STORE_PAUSE)
            return
        for saved in begun:
            self._spawn(self._carry_out(saved), f"effect {saved.row_id}")

    async def _carry_out(self, saved: SavedEffect) -> None:
        log.debug("effect begun", effect=type(saved.effect).__name__, run=saved.run_id, attempt=saved.attempts)
        try:
            await self._attempt(saved)
        except StoreError:
            log.exception("what became of an effect is not saved", effect=type(saved.effect).__name__, run=saved.run_id)
            await self._take_up_once_saved(saved)
        # The next effect of this lane can begin.
        self.wake()

    async def _attempt(self, saved: SavedEffect) -> None:
        try:
            if isinstance(saved.effect, DifyEffect):
                await self._ask_dify(saved, saved.effect)
            else:
                await self._tell_slack(saved, saved.effect)
        except StoreError:
            raise
        except (SlackError, DifyError) as exc:
            if _is_worth_waiting(saved, exc):
                await self._put_back(saved, exc)
            else:
                await self._give_up(saved, exc)
        except Exception as exc:
            # A mistake of ours may not hold up the lane for ever.
            await self._give_up(saved, exc)

    async def _put_back(self, saved: SavedEffect, exc: SlackError | DifyError) -> None:
        log.warning(
            "effect put back",
            effect=type(saved.effect).__name__,
            run=saved.run_id,
            error=str(exc),
            remedy=_remedy(exc),
        )
        wish = exc.retry_after if isinstance(exc, SlackUnavailable) else None
        await self._postpone(saved, pause_before(saved.attempts) if wish is None else timedelta(seconds=wish))

    async def _postpone(self, saved: SavedEffect, pause: timedelta) -> None:
        due_at = self._clock.now() + pause
        await self._store.put_back_effect(saved.row_id, due_at)
        self._alarm.arm(due_at)

    async def _give_up(self, saved: SavedEffect, exc: Exception) -> None:
        """Keep the effect with the reason, and save along with it what it means for its run."""
        log.error("effect given up", effect=type(saved.effect).__name__, run=saved.run_id, exc_info=exc)
        reason = _reason(exc)
        try:
            if isinstance(saved.effect, do.CheckCommand):
                await self._commands.give_up(saved.effect.command, reason, done=saved.row_id)
            elif saved.run_id is not None and (event := _given_up(saved.effect, exc)) is not None:
                await self._recorder.record(saved.run_id, event, done=saved.row_id, reason=reason)
            else:
                await self._store.give_up_effect(saved.row_id, reason)
        except StoreError:
            raise
        except Exception:
            log.exception("what it means for the run is not saved", run=saved.run_id)
            await self._store.give_up_effect(saved.row_id, reason)

    async def _take_up_once_saved(self, saved: SavedEffect) -> None:
        """Treat the effect as one that a crash interrupted, as soon as the database takes that down."""
        while True:
            await asyncio.sleep(STORE_PAUSE.total_seconds())
            with contextlib.suppress(StoreError):
                await self._take_up(saved)
                return

    # --- Slack -------------------------------------------------------------------------------------------------------

    async def _tell_slack(self, saved: SavedEffect, effect: SlackEffect) -> None:
        run = await self._store.run(saved.run_id) if saved.run_id else None
        if run is not None and _is_pointless(effect, run):
            await self._store.finish_effect(saved.row_id)
            return
        try:
            ts = await self._slack.carry_out(effect, run, saved.post_id, again=saved.attempts > 1)
        except SlackRejected as exc:
            if not isinstance(effect, do.PostRoot):
                raise
            # The starter is told at once, and can try again.
            event: LifecycleEvent | None = saw.RootRefused(exc.code or "unknown_error")
        else:
            event = _posted(effect, ts)
        if run is None or event is None:
            await self._store.finish_effect(saved.row_id)
        else:
            await self._recorder.record(run.run_id, event, done=saved.row_id)

    # --- Dify --------------------------------------------------------------------------------------------------------

    async def _ask_dify(self, saved: SavedEffect, effect: DifyEffect) -> None:
        if isinstance(effect, do.CheckCommand):
            await self._commands.check(effect.command, done=saved.row_id)
            return
        assert saved.run_id is not None, "every other effect of the Dify lane belongs to a run"
        run = await self._store.run(saved.run_id)
        try:
            await self._ask_about_run(saved, effect, run)
        except NoPlace:
            await self._ask_in_turn(saved, effect, run)

    async def _ask_in_turn(self, saved: SavedEffect, effect: DifyEffect, run: Run) -> None:
        """Wait until the run's server can spare a stream, then begin anew: the run may be another one by then."""
        urgency = Urgency.START if isinstance(effect, do.StartRun) else Urgency.ANSWER
        await self._store.hold_effect(saved.row_id)
        await self._slack.show_progress(run, Progress(waiting_for_dify=True))
        async with contextlib.AsyncExitStack() as stack:
            with self._holding():
                await stack.enter_async_context(self._streams.place(run, urgency))
            await self._store.begin_effect(saved.row_id)
            await self._ask_dify(saved, effect)

    @contextlib.contextmanager
    def _holding(self) -> Iterator[None]:
        task = asyncio.current_task()
        assert task is not None
        self._held.add(task)
        try:
            yield
        finally:
            self._held.discard(task)

    async def _ask_about_run(self, saved: SavedEffect, effect: DifyEffect, run: Run) -> None:
        match effect:
            case do.StartRun():
                await self._start(saved, run)
            case do.SubmitForm(form_id=form_id):
                await self._submit(saved, run, form_id)
            case do.SettleForm(form_id=form_id):
                event = await self._settled(run, form_id)
                await self._recorder.record(run.run_id, event, done=saved.row_id)
            case do.StopRun():
                if run.status is RunStatus.RUNNING:
                    await self._dify_of(run.app).stop(run)
                await self._store.finish_effect(saved.row_id)

    async def _start(self, saved: SavedEffect, run: Run) -> None:
        await self._streams.start(run)
        run = await self._store.run(run.run_id)
        if run.status is RunStatus.STARTING:
            # The reader could not save what it read.
            await self._recorder.record(run.run_id, saw.StartUnconfirmed(), done=saved.row_id)
        else:
            await self._store.finish_effect(saved.row_id)

    async def _submit(self, saved: SavedEffect, run: Run, form_id: str) -> None:
        form = run.form(form_id)
        if form.lost_responses and saved.attempts == 1:
            # Dify answers badly just now: leave it some air before the answer goes out once more.
            await self._postpone(saved, pause_before(form.lost_responses))
            return
        if form.status is not FormStatus.SUBMITTING or form.submission is None:
            await self._store.finish_effect(saved.row_id)
            return
        if run.status.ended:
            # Dify would answer 200 to an answer that nobody waits for (recording 44).
            event = await self._settled(run, form_id)
            if isinstance(event, saw.FormFoundOpen):
                event = saw.FormUnreachable(form_id)
        else:
            event = await self._streams.submit(run, form, form.submission)
        await self._recorder.record(run.run_id, event, done=saved.row_id)

    async def _settled(self, run: Run, form_id: str) -> LifecycleEvent:
        """Read the form and name what was found."""
        form = run.form(form_id)
        if not form.answerable:
            # Its token reads nothing (recording 17): the clock is all there is to tell by.
            passed = form.expires_at is not None and form.expires_at <= self._clock.now()
            return saw.FormFoundClosed(form_id, expired=passed)
        try:
            await self._dify_of(run.app).check_open(form)
        except FormClosed as exc:
            return saw.FormFoundClosed(form_id, exc.expired)
        except DifyNotFound:
            return saw.FormUnreachable(form_id)
        return saw.FormFoundOpen(form_id)


def _is_worth_waiting(saved: SavedEffect, exc: SlackError | DifyError) -> bool:
    """Tell whether an effect may work later: a key, a token or a membership can be put right by a person."""
    match exc:
        case SlackUnavailable():
            return True
        case SlackUnauthorized() | ChannelUnreachable():
            return saved.run_id is not None and not isinstance(saved.effect, _COURTESIES)
        case DifyUnavailable() | DifyUnauthorized():
            return not isinstance(saved.effect, do.StopRun) or saved.attempts < FEW
        case _:
            # Dify refuses to read a form, perhaps because of a quota.
            return isinstance(saved.effect, do.SettleForm) and isinstance(exc, DifyError) and saved.attempts < FEW


def _remedy(exc: SlackError | DifyError) -> str | None:
    """Tell who runs the bot what it takes for the effect to be carried out."""
    match exc:
        case SlackUnauthorized():
            return "give the bot a valid SLACK_BOT_TOKEN with the scopes of its manifest, and start it again"
        case ChannelUnreachable():
            return "invite the app into the channel, or let it write there"
        case DifyUnauthorized():
            return "give the bot a valid API key of the app, and start it again"
        case _:
            return None


def _reason(exc: Exception) -> str:
    return str(exc) or type(exc).__name__


def _interrupted(effect: Effect) -> LifecycleEvent | None:
    """Name what it means that an effect was begun and nobody knows what came of it; None where it may be repeated."""
    match effect:
        case do.StartRun():
            return saw.StartUnconfirmed()
        case do.SubmitForm(form_id=form_id):
            return saw.SubmitUncertain(form_id)
        case _:
            return None


def _given_up(effect: Effect, exc: Exception) -> LifecycleEvent | None:
    """Name what it means for the run that an effect is not carried out; None where nothing waits for it."""
    match effect:
        case do.PostRoot():
            return saw.RootRefused("unknown_error")
        case do.StopRun():
            return saw.StopRefused()
        case do.SettleForm(form_id=form_id) if isinstance(exc, DifyError):
            return saw.FormUnreachable(form_id)
        case _:
            return _interrupted(effect)


def _posted(effect: SlackEffect, ts: str | None) -> LifecycleEvent | None:
    """Name what happened when a message was posted; None where nobody waits for it."""
    if ts is None:
        return None
    match effect:
        case do.PostRoot():
            return saw.RootPosted(ts)
        case do.PostForm(form_id=form_id) | do.RefreshForm(form_id=form_id):
            # A form whose message somebody deleted is posted anew when it is redrawn.
            return saw.FormPosted(form_id, ts)
        case do.PostAnswer():
            return saw.AnswerPosted(ts)
        case _:
            return None


def _is_pointless(effect: SlackEffect, run: Run) -> bool:
    """Tell whether nobody would see the effect: the message it draws is not there, or is drawn by a later one."""
    match effect:
        case do.PostAnswer():
            return run.status is not RunStatus.RUNNING or run.answer_ts is not None
        case do.RefreshForm(form_id=form_id):
            return run.form(form_id).message_ts is None
        case _:
            return False
