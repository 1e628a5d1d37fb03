"""A form's window: opened, kept as a draft while somebody fills it in, and sent once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

import structlog

from bot.core import effects as do
from bot.core import events as saw
from bot.core.effects import Transition
from bot.core.files import file_fields
from bot.core.form_files import Chosen, WindowFiles, chosen_in_window
from bot.core.lifecycle import advance
from bot.core.model import FileLimits, FileProblem, Form, Run, Submission
from bot.core.ports import Draft, Slack, Store, WindowFill
from bot.core.submission import complete, problems, too_long, unplaced
from bot.errors import SlackError, StoreError, TriggerUsed, UnknownHere
from bot.services.forms import ReadEntered, fill_of
from bot.services.recorder import Recorder

log = structlog.get_logger(__name__)

NO_DECISION = "Choose what to send."

Holding = Callable[[Form], WindowFiles]
"""Gives what a window holds for the fields for files of its form."""

_NOT_ENDED = "a window does not say that its form is closed"

_REMEMBERED = 1_000
"""Windows that are told when their form is closed; who sends an older one learns it then."""


@dataclass(frozen=True, slots=True)
class NotSent:
    """Nothing was decided: sentences by the input's name, and one on the decision."""

    form: Form
    problems: Mapping[str, str]
    no_decision: str | None


@dataclass(frozen=True, slots=True)
class TooLate:
    """The form is decided, or its run over."""

    run: Run
    form: Form
    in_vain: tuple[str, ...] = ()
    """The names of the files that were chosen in the window and are not attached."""


@dataclass(frozen=True, slots=True)
class DoesNotFit:
    """A form's window holds less than it was to be opened with: sentences by the input's name."""

    form: Form
    problems: Mapping[str, str]


class Entries(Protocol):
    """What a window held when it was submitted."""

    def chosen(self, form: Form) -> str | None:
        """Return the id of the user action, if one was chosen."""

    def entered(self, form: Form) -> Mapping[str, str | None]:
        """Return what stood in the form's fields, by the input's name; None for what was left empty."""

    def changed(self, form: Form) -> Mapping[str, str | None]:
        """Return the same of the fields that do not hold what the form says; of those for files it is links."""

    def holding(self, form: Form) -> WindowFiles:
        """Return the files and links that it holds."""


class _Unsaved(Exception):
    def __init__(self, why: NotSent | TooLate) -> None:
        super().__init__()
        self.why = why


class WindowDesk:
    """Takes in what people do with the windows of forms. What they enter is saved as they enter it."""

    def __init__(
        self,
        store: Store,
        slack: Slack,
        recorder: Recorder,
        look_at: Callable[[str], None],
        file_limits: Callable[[str], Awaitable[FileLimits]],
        new_id: Callable[[], str],
    ) -> None:
        """`look_at` has a run reconciled in the background: whether its form is still open may not be known yet.

        `file_limits` tells how large files may be for an app; `new_id` gives ids that nobody has.
        """
        self._file_limits = file_limits
        self._new_id = new_id
        self._store = store
        self._slack = slack
        self._recorder = recorder
        self._look_at = look_at
        self._open: dict[str, tuple[str, str]] = {}
        """The form and the person of each open window, by the id of the view."""
        self._told: set[tuple[str, str]] = set()
        """Those who sent a window too late, of forms of which it is not known yet that they are closed for good."""
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(
        self,
        run_id: str,
        form_id: str,
        user_id: str,
        trigger_id: str,
        typed: ReadEntered,
        *,
        delivery: str,
        kept_at: datetime | None = None,
    ) -> Form | DoesNotFit | None:
        """Open a form's window, filled with what this person has entered, or leave word why it is not open any more.

        Returns the form where it is open.

        `typed` gives what they have entered elsewhere, in the form's message for example. That goes before their draft
        where they entered it after the window was opened last. Where it stands nowhere else it is `kept_at` this moment
        in their draft, below what stands there already, and closing the window leaves it alone; where the window has no
        room for all of it, none is opened.

        Raises:
            UnknownHere: the bot does not know this form.
            StoreError: the form could not be read.
            SlackError: Slack did not open it.
        """
        run = await self._store.run(run_id)
        form = run.form(form_id)
        if not run.asks_for(form):
            await self._recorder.change(run_id, lambda run, now: _told(run, form_id, user_id), delivery=delivery)
            return None
        entered, draft = typed(form), await self._store.draft(form_id, user_id)
        if kept_at is not None and draft is not None:
            entered = {name: _below(draft.values.get(name), text) for name, text in entered.items()}
        fill = fill_of(draft, entered)
        if kept_at is not None and (left_out := too_long(form, fill.values)):
            return DoesNotFit(form, left_out)
        try:
            view_id = await self._slack.open_window(trigger_id, run, form, fill)
        except TriggerUsed:
            log.info("a form's window is open already", form=form_id)
        else:
            self._watch_over(view_id, run_id, form_id, user_id)
        if kept_at is not None:
            kept = Draft(fill.values, kept_at, fill.typed_before, fill.generation)
            await self._store.save_draft(form_id, user_id, kept)
        return form

    def _watch_over(self, view_id: str, run_id: str, form_id: str, user_id: str) -> None:
        self._remember(view_id, form_id, user_id)
        self._look_at(run_id)
        # It may have been closed before it was known that somebody looks at it.
        self._spawn(self._end_if_closed(run_id, form_id, {view_id: user_id}))

    async def keep(
        self,
        run_id: str,
        form_id: str,
        user_id: str,
        read: ReadEntered,
        at: datetime,
        *,
        typed_before: str,
        generation: int,
    ) -> None:
        """Keep what stands in a window as the draft of this person; `at` is when they entered it.

        One that has become too long to be shown again, and thereby to be sent, is not kept.

        Raises:
            UnknownHere: the bot does not know this form.
            StoreError: it is not saved.
        """
        form = (await self._store.run(run_id)).form(form_id)
        values = read(form)
        if not too_long(form, values):
            await self._store.save_draft(form_id, user_id, Draft(values, at, typed_before, generation))

    async def see(self, run_id: str, form_id: str, user_id: str, holding: Holding, *, closed: bool = False) -> None:
        """Attach the files that a window holds, so that nothing is lost where it is closed, and tell of the others.

        Raises:
            UnknownHere: the bot does not know this form.
            StoreError: it is not saved.
        """
        run = await self._store.run(run_id)
        form = run.form(form_id)
        # Whoever still has the window open is told when they send it, or the window says so itself.
        if not file_fields(form) or not (closed or run.asks_for(form)):
            return
        limits = await self._file_limits(run.app)

        def decide(run: Run, now: datetime) -> Transition:
            chosen = chosen_in_window(run, form, holding(form), user_id, limits, self._new_id)
            return advance(run, _given(form_id, user_id, chosen, chosen.problems), now)

        # Every letter that somebody enters comes this way.
        if decide(run, run.created_at) != Transition(run):
            await self._recorder.change(run_id, decide, before_ack=True)

    async def begin_anew(
        self, run_id: str, form_id: str, user_id: str, view_id: str, at: datetime, fill: WindowFill
    ) -> None:
        """Drop the draft; `fill`, which the window is then to hold, is of the next generation.

        The files that were chosen in it are taken back; what was attached before stays.

        Raises:
            UnknownHere: the bot does not know this form.
            StoreError: the draft is kept.
        """
        # Not deleted: a change of before that comes late must not bring it back.
        await self._store.save_draft(form_id, user_id, Draft({}, at, fill.typed_before, fill.generation))
        await self.see(run_id, form_id, user_id, lambda _: WindowFiles(view_id))

    async def refill(self, run_id: str, form_id: str, view_id: str, fill: WindowFill) -> None:
        """Let a window hold this.

        Raises:
            UnknownHere: the bot does not know this form.
            StoreError: the form could not be read.
            SlackError: the window still shows what it showed.
        """
        run = await self._store.run(run_id)
        await self._slack.refill_window(view_id, run, run.form(form_id), fill)

    async def submit(
        self,
        run_id: str,
        form_id: str,
        user_id: str,
        view_id: str,
        entries: Entries,
        *,
        delivery: str,
    ) -> NotSent | TooLate | None:
        """Claim the form for this answer, once per delivery, or return why nothing was saved.

        Raises:
            UnknownHere: the bot does not know this form.
            StoreError: nothing was saved.
        """
        run = await self._store.run(run_id)
        # Not asked for in vain: whoever sends it waits.
        limits = await self._file_limits(run.app) if file_fields(run.form(form_id)) else FileLimits()

        def decide(run: Run, now: datetime) -> Transition:
            form = run.form(form_id)
            holding = replace(entries.holding(form), is_sent=True)
            chosen = chosen_in_window(run, form, holding, user_id, limits, self._new_id)
            if not run.asks_for(form):
                raise _Unsaved(TooLate(run, form, tuple(each.name for each in chosen.added)))
            given = advance(run, _given(form_id, user_id, chosen), now)
            attachments = given.run.attachments
            action_id, values = entries.chosen(form), complete(form, entries.entered(form), attachments)
            found = (
                problems(form, values, in_window=True)
                | too_long(form, entries.changed(form))
                | unplaced(form, attachments)
                | {each.field: each.reason for each in chosen.problems if each.field is not None}
            )
            if found or action_id is None:
                raise _Unsaved(NotSent(form, found, NO_DECISION if action_id is None else None))
            answer = Submission(action_id, values, user_id, now)
            sent = advance(given.run, saw.ActionChosen(form_id, answer), now)
            return Transition(sent.run, (*given.effects, *sent.effects))

        try:
            await self._recorder.change(run_id, decide, delivery=delivery)
        except _Unsaved as unsaved:
            if isinstance(unsaved.why, TooLate):
                self.forget(view_id)
                if not unsaved.why.form.status.closed:
                    self._told.add((form_id, user_id))
            return unsaved.why
        self.forget(view_id)
        return None

    def forget(self, view_id: str) -> None:
        """A window is not open any more."""
        self._open.pop(view_id, None)

    async def closed(self, run_id: str, form_id: str, user_id: str, view_id: str) -> None:
        """Somebody has closed a window; where its form was closed before, they get back what is left of it.

        Raises:
            UnknownHere: the bot does not know this form.
            StoreError: it is not given back.
        """
        self.forget(view_id)
        if (await self._store.run(run_id)).form(form_id).status.closed:
            await self._give_back(run_id, form_id, user_id, await self._store.draft(form_id, user_id))

    def looking(self) -> frozenset[tuple[str, str]]:
        """Return who looks at the window of which form, or was given back there what they sent too late."""
        return frozenset((*self._open.values(), *self._told))

    def watch(self, transition: Transition) -> None:
        """End the windows of a form that is closed: nothing in them can be sent any more."""
        closed = {form.form_id for form in transition.run.forms if form.status.closed}
        self._told = {each for each in self._told if each[0] not in closed}
        for form_id in closed & {form_id for form_id, _ in self._open.values()}:
            self._spawn(self._end_if_closed(transition.run.run_id, form_id, self._looking_at(form_id)))

    async def close(self) -> None:
        """Break off; whoever sends a window then learns what became of its form."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _end_if_closed(self, run_id: str, form_id: str, views: Mapping[str, str]) -> None:
        try:
            run = await self._store.run(run_id)
            form = run.form(form_id)
            if not form.status.closed:
                return
        except (StoreError, UnknownHere) as exc:
            log.info(_NOT_ENDED, form=form_id, error=str(exc))
            return
        for view_id, user_id in views.items():
            # Once only: it may just be sent or closed.
            if self._open.pop(view_id, None) is None:
                continue
            try:
                await self._end(view_id, run, form, user_id)
            except StoreError as exc:
                log.info(_NOT_ENDED, form=form_id, error=str(exc))
            except Exception:
                log.exception(_NOT_ENDED, form=form_id)

    async def _end(self, view_id: str, run: Run, form: Form, user_id: str) -> None:
        draft = await self._store.draft(form.form_id, user_id)
        try:
            await self._slack.end_window(view_id, run, form, draft.values if draft else {})
        except SlackError as exc:
            log.info(_NOT_ENDED, form=form.form_id, error=str(exc))
            await self._give_back(run.run_id, form.form_id, user_id, draft)

    async def _give_back(self, run_id: str, form_id: str, user_id: str, draft: Draft | None) -> None:
        if draft is not None and not draft.is_blank:
            told = do.GiveBackDraft(user_id, form_id, draft.values)
            await self._recorder.change(
                run_id, lambda run, now: Transition(run, (told,)), delivery=f"draft:{form_id}:{user_id}"
            )

    def _looking_at(self, form_id: str) -> dict[str, str]:
        return {view_id: user_id for view_id, (of, user_id) in self._open.items() if of == form_id}

    def _remember(self, view_id: str, form_id: str, user_id: str) -> None:
        self._open[view_id] = (form_id, user_id)
        self._told.discard((form_id, user_id))
        if len(self._open) > _REMEMBERED:
            del self._open[next(iter(self._open))]

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work, name="end of windows")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _below(before: str | None, text: str | None) -> str | None:
    """Put a text below another one, unless it stands there already: a click may come twice."""
    if not before or not text or before == text or before.endswith(f"\n\n{text}"):
        return before or text
    return f"{before}\n\n{text}"


def _given(form_id: str, user_id: str, chosen: Chosen, told: tuple[FileProblem, ...] = ()) -> saw.FilesGiven:
    return saw.FilesGiven(form_id, user_id, chosen.added, told, chosen.taken_back)


def _told(run: Run, form_id: str, user_id: str) -> Transition:
    form = run.form(form_id)
    # Dify may have refused the answer just now; then the next click opens it.
    return Transition(run, () if run.asks_for(form) else (do.TellDecided(user_id, form_id),))
