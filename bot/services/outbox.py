"""Carries out saved effects. What is here runs from the store alone, so a crash loses nothing of it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from datetime import timedelta
from typing import Any

import structlog

from bot.core import effects as do
from bot.core import events as saw
from bot.core.attaching import attachment_of
from bot.core.effects import DifyEffect, FileEffect, SlackEffect
from bot.core.events import LifecycleEvent
from bot.core.giving_out import out_file_of
from bot.core.model import FormStatus, Progress, Run, RunStatus
from bot.core.ports import Alarm, Clock, Dify, SavedEffect, Slack, Store
from bot.errors import (
    DifyError,
    DifyNotFound,
    DifyRejected,
    DifyUnauthorized,
    FileUnavailable,
    FormClosed,
    LeaseLost,
    SlackError,
    SlackRejected,
    SlackUnavailable,
    StoreError,
)
from bot.services.commands import CommandDesk
from bot.services.conversations import in_conversation, was_asked_next
from bot.services.file_carrier import FileCarrier
from bot.services.limits import Urgency
from bot.services.outcomes import (
    delayed,
    given_up,
    interrupted,
    is_pointless,
    is_worth_waiting,
    pause_before,
    posted,
    remedy,
)
from bot.services.recorder import STORE_PAUSE, Recorder, once_saved
from bot.services.settling import closed
from bot.services.streams import NoPlace, NotSent, StreamSupervisor

log = structlog.get_logger(__name__)

CLAIM_LIMIT = 100
"""Effects begun at one look into the outbox."""

ACK_FIRST = 0.015
"""Seconds before what was saved is carried out. Bolt looks for an ack every 10 ms (slack-platform §9.1): a click is
acked before what follows from it takes the loop."""


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
        files: FileCarrier,
        clock: Clock,
        alarm: Alarm,
    ) -> None:
        self._store = store
        self._slack = slack
        self._dify_of = dify_of
        self._recorder = recorder
        self._streams = streams
        self._commands = commands
        self._files = files
        self._clock = clock
        self._alarm = alarm
        self._wake = asyncio.Event()
        self._under_way: dict[asyncio.Task[None], int | None] = {}
        """All tasks, with the outbox row that each works on."""
        self._claiming = asyncio.Lock()
        """While rows are claimed, nobody can tell which of them are under way."""
        self._held: set[asyncio.Task[None]] = set()
        """Those that wait for a stream, and have sent nothing."""

    def wake(self) -> None:
        """Look into the outbox now."""
        self._wake.set()

    async def recover(self) -> None:
        """Take up what was begun and is not under way: by a process that is gone, or here and lost sight of.

        A start may have reached Dify, so it is never sent again and its run is looked for; a submit is settled by
        reading the form; everything else finds out by itself what it has done already.

        Raises:
            StoreError: the database refused or could not be reached.
        """
        async with self._claiming:
            under_way = {row_id for row_id in self._under_way.values() if row_id is not None}
            for saved in await self._store.take_over(self._clock.now(), under_way):
                self._spawn(self._once_saved(self._take_up, saved), f"taken over effect {saved.row_id}", saved.row_id)
        self.wake()

    async def _take_up(self, saved: SavedEffect) -> None:
        event = interrupted(saved.effect)
        if event is None or saved.run_id is None:
            await self._store.put_back_effect(saved.row_id, self._clock.now())
            return
        try:
            await self._recorder.record(saved.run_id, event, done=saved.row_id)
        except (StoreError, LeaseLost):
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
            await asyncio.wait({self._spawn(self._begin_due(), "outbox")})

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

    def _spawn(self, work: Coroutine[Any, Any, None], name: str, row_id: int | None = None) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name=name)
        self._under_way[task] = row_id
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._under_way[task]
        if not task.cancelled() and (exc := task.exception()) is not None:
            log.error("work on the outbox died", task=task.get_name(), exc_info=exc)

    async def _begin_due(self) -> None:
        async with self._claiming:
            try:
                begun = await self._store.claim_effects(self._clock.now(), CLAIM_LIMIT)
            except StoreError:
                log.exception("the outbox cannot be read")
                self._alarm.arm(self._clock.now() + STORE_PAUSE)
                return
            for saved in begun:
                self._spawn(self._carry_out(saved), f"effect {saved.row_id}", saved.row_id)

    async def _carry_out(self, saved: SavedEffect) -> None:
        log.debug("effect begun", effect=type(saved.effect).__name__, run=saved.run_id, attempt=saved.attempts)
        try:
            await self._attempt(saved)
        except LeaseLost:
            log.warning("another process took over an effect", effect=type(saved.effect).__name__, run=saved.run_id)
        except NotSent as exc:
            log.warning("effect not sent", effect=type(saved.effect).__name__, run=saved.run_id, error=str(exc))
            await self._once_saved(self._begin_anew, saved)
        except StoreError:
            log.exception("what became of an effect is not saved", effect=type(saved.effect).__name__, run=saved.run_id)
            await asyncio.sleep(STORE_PAUSE.total_seconds())
            await self._once_saved(self._take_up, saved)
        # The next effect of this lane can begin.
        self.wake()

    async def _attempt(self, saved: SavedEffect) -> None:
        try:
            if isinstance(saved.effect, DifyEffect):
                await self._ask_dify(saved, saved.effect)
            elif isinstance(saved.effect, FileEffect):
                await self._carry_file(saved, saved.effect)
            else:
                await self._tell_slack(saved, saved.effect)
        except (StoreError, LeaseLost, NotSent):
            raise
        except (SlackError, DifyError) as exc:
            if is_worth_waiting(saved, exc, self._clock.now()):
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
            remedy=remedy(exc),
        )
        if isinstance(exc, SlackUnavailable) and exc.retry_after is not None:
            # Not a failure that would lengthen the pauses; and what Slack surely has nothing of need not be looked for.
            attempts = max(saved.attempts - 1, 1 if exc.sent else 0)
            await self._postpone(saved, timedelta(seconds=exc.retry_after), attempts=attempts)
        else:
            await self._postpone(saved, pause_before(saved.attempts, exc))
        if saved.run_id is not None and (event := delayed(saved, exc, self._clock.now())) is not None:
            await self._recorder.record(saved.run_id, event)

    async def _postpone(self, saved: SavedEffect, pause: timedelta, attempts: int | None = None) -> None:
        due_at = self._clock.now() + pause
        await self._store.put_back_effect(saved.row_id, due_at, attempts=attempts)
        self._alarm.arm(due_at)

    async def _give_up(self, saved: SavedEffect, exc: Exception) -> None:
        """Keep the effect with the reason, and save along with it what it means for its run."""
        log.error("effect given up", effect=type(saved.effect).__name__, run=saved.run_id, exc_info=exc)
        reason = _reason(exc)
        try:
            if isinstance(saved.effect, do.CheckCommand):
                await self._commands.give_up(saved.effect.command, reason, done=saved.row_id)
            elif saved.run_id is not None and (event := given_up(saved.effect, exc)) is not None:
                await self._recorder.record(saved.run_id, event, done=saved.row_id, reason=reason)
            else:
                await self._store.give_up_effect(saved.row_id, reason)
        except (StoreError, LeaseLost):
            raise
        except Exception:
            log.exception("what it means for the run is not saved", run=saved.run_id)
            await self._store.give_up_effect(saved.row_id, reason)

    async def _begin_anew(self, saved: SavedEffect) -> None:
        await self._postpone(saved, STORE_PAUSE)

    async def _once_saved(self, save: Callable[[SavedEffect], Awaitable[None]], saved: SavedEffect) -> None:
        """Save what became of an effect as soon as the database takes it down."""
        try:
            await once_saved(lambda: save(saved))
        except LeaseLost:
            # It was saved after all, or another process has it.
            log.info("effect is in other hands", effect=type(saved.effect).__name__, run=saved.run_id)
        # It, or the next effect of its lane, can begin.
        self.wake()

    # --- Slack -------------------------------------------------------------------------------------------------------

    async def _tell_slack(self, saved: SavedEffect, effect: SlackEffect) -> None:
        run = await self._store.run(saved.run_id) if saved.run_id else None
        if run is not None and is_pointless(effect, run, self._clock.now(), again=saved.attempts > 1):
            await self._store.finish_effect(saved.row_id)
            return
        # Only a conversation has several runs in one thread.
        asks_store = run is not None and run.is_reply and isinstance(effect, do.TextEffect | do.PostResult)
        writes_alone = run is None or not asks_store or await self._store.writes_alone(run)
        try:
            again = saved.attempts > 1
            ts = await self._slack.carry_out(effect, run, saved.post_id, again=again, writes_alone=writes_alone)
        except SlackRejected as exc:
            if not isinstance(effect, do.PostRoot):
                raise
            # The starter is told at once, and can try again.
            event: LifecycleEvent | None = saw.RootRefused(exc.code or "unknown_error")
        else:
            event = posted(effect, run, ts)
        if run is not None and run.status.ended:
            # One that was opened too late hears nothing of the end, and keeps its place for long (recording 05).
            self._streams.leave(run.run_id)
        if run is None or event is None:
            await self._store.finish_effect(saved.row_id)
        else:
            await self._recorder.record(run.run_id, event, done=saved.row_id)

    # --- files -------------------------------------------------------------------------------------------------------

    async def _carry_file(self, saved: SavedEffect, effect: FileEffect) -> None:
        assert saved.run_id is not None, "a file belongs to a run"
        run = await self._store.run(saved.run_id)
        try:
            event = await self._carried(run, effect)
        except DifyUnauthorized:
            raise
        except (DifyRejected, FileUnavailable) as exc:
            # An answer and no failure: the file is not taken, or not to be had any more, which people are told.
            log.info("a file is not carried", effect=type(effect).__name__, run=run.run_id, reason=str(exc))
            event = given_up(effect, exc)
        if event is None:
            await self._store.finish_effect(saved.row_id)
        else:
            await self._recorder.record(run.run_id, event, done=saved.row_id)

    async def _carried(self, run: Run, effect: FileEffect) -> LifecycleEvent | None:
        match effect:
            case do.PullFile(attachment_id=attachment_id):
                return await self._files.pull(run, attachment_of(run, attachment_id))
            case do.FetchFile(key=key):
                return await self._files.fetch(run, out_file_of(run, key))

    # --- Dify --------------------------------------------------------------------------------------------------------

    async def _ask_dify(self, saved: SavedEffect, effect: DifyEffect) -> None:
        if isinstance(effect, do.CheckCommand):
            await self._commands.check(effect.command, done=saved.row_id)
            return
        assert saved.run_id is not None, "every other effect of the Dify lane belongs to a run"
        with _before_anything_is_sent():
            run = await self._store.run(saved.run_id)
        try:
            await self._ask_about_run(saved, effect, run)
        except NoPlace:
            await self._ask_in_turn(saved, effect, run)

    async def _ask_in_turn(self, saved: SavedEffect, effect: DifyEffect, run: Run) -> None:
        """Wait until the run's server can spare a stream, then begin anew: the run may be another one by then."""
        urgency = Urgency.START if isinstance(effect, do.StartRun) else Urgency.ANSWER
        with _before_anything_is_sent():
            await self._store.hold_effect(saved.row_id)
        await self._slack.show_progress(run, Progress(waiting_for_dify=True))
        async with contextlib.AsyncExitStack() as stack:
            with self._holding():
                await stack.enter_async_context(self._streams.place(run, urgency))
            with _before_anything_is_sent():
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
            case do.ReadSuggestions():
                await self._read_suggestions(saved, run)
            case do.RateAnswer(user_id=user_id, rating=rating):
                await self._dify_of(run.app).rate(run, rating)
                await self._recorder.record(run.run_id, saw.RatingTaken(user_id, rating), done=saved.row_id)
            case do.StopRun():
                if not self._store.holds_lease():
                    # Once the run pauses, a stop cuts off its resume (recording 27).
                    raise NotSent("the lease may have lapsed: another process may send the stop")
                if run.status is RunStatus.RUNNING:
                    await self._dify_of(run.app).stop(run)
                await self._store.finish_effect(saved.row_id)

    async def _start(self, saved: SavedEffect, run: Run) -> None:
        if run.is_reply and run.status is RunStatus.STARTING:
            placed = await self._in_conversation(saved, run)
            if placed is None:
                await self._recorder.record(run.run_id, saw.ConversationGone(), done=saved.row_id)
                return
            run = placed
        await self._streams.start(run)
        run = await self._store.run(run.run_id)
        if run.status is RunStatus.STARTING:
            # The reader died of a mistake of ours.
            await self._recorder.record(run.run_id, saw.StartUnconfirmed(), done=saved.row_id)
        else:
            await self._store.finish_effect(saved.row_id)

    async def _in_conversation(self, saved: SavedEffect, run: Run) -> Run | None:
        """Find the conversation in which a message is to be sent; nothing of it is sent meanwhile."""
        with _before_anything_is_sent():
            await self._store.hold_effect(saved.row_id)
            with self._holding():
                placed = await in_conversation(self._store, self._dify_of(run.app), run)
            await self._store.begin_effect(saved.row_id)
        return placed

    async def _read_suggestions(self, saved: SavedEffect, run: Run) -> None:
        """Read what Dify suggests to ask next: a courtesy, which nobody misses where it fails."""
        event = saw.SuggestionsRead(())
        try:
            suggestions = await self._dify_of(run.app).suggestions(run)
        except DifyError as exc:
            log.info("suggestions not read", run=run.run_id, error=str(exc))
        else:
            if not await was_asked_next(self._store, run):
                # A model may say the same twice.
                event = saw.SuggestionsRead(tuple(dict.fromkeys(filter(_can_be_read, map(str.strip, suggestions)))))
        await self._recorder.record(run.run_id, event, done=saved.row_id)

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
        dify = self._dify_of(run.app)
        try:
            await dify.check_open(form)
        except FormClosed as exc:
            return await closed(dify, run, form, exc)
        except DifyNotFound:
            return saw.FormUnreachable(form_id)
        return saw.FormFoundOpen(form_id)


def _can_be_read(text: str) -> bool:
    return any(character.isprintable() and not character.isspace() for character in text)


def _reason(exc: Exception) -> str:
    return str(exc) or type(exc).__name__


@contextlib.contextmanager
def _before_anything_is_sent() -> Iterator[None]:
    """Let a failure of the database not look as if something might have been sent."""
    try:
        yield
    except StoreError as exc:
        raise NotSent(str(exc)) from exc
