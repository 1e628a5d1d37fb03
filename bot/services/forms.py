"""What people decide on: the buttons of a form, and Stop."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from datetime import datetime

from bot.core import effects as do
from bot.core import events as saw
from bot.core.effects import Transition
from bot.core.files import file_fields
from bot.core.lifecycle import advance
from bot.core.model import Form, Run, Submission
from bot.core.ports import Draft, Store, WindowFill
from bot.core.submission import complete, not_there, problems
from bot.errors import UnknownHere
from bot.services.recorder import Recorder

ReadEntered = Callable[[Form], Mapping[str, str | None]]
"""Gives what stands in a form's fields, by the input's name; None or nothing for what was left empty."""


class DecisionDesk:
    """Takes in what people press. What it returned from is saved; nothing has been sent yet."""

    def __init__(self, store: Store, recorder: Recorder) -> None:
        self._store = store
        self._recorder = recorder

    async def choose(
        self,
        run_id: str,
        form_id: str,
        action_id: str,
        user_id: str,
        read: ReadEntered,
        *,
        typed: ReadEntered,
        delivery: str,
    ) -> None:
        """Claim the form for this answer, or leave word for the person why not; once per delivery.

        `typed` gives what of it they have changed. Nothing is decided where their draft in the form's window says
        something else: nobody could tell which of the two they mean.

        Raises:
            UnknownHere: the bot does not know this form, or the form has no such user action.
            StoreError: nothing was saved.
        """
        draft = await self._store.draft(form_id, user_id)

        def decide(run: Run, now: datetime) -> Transition:
            form = run.form(form_id)
            if form.user_action(action_id) is None:
                raise UnknownHere(f"form {form_id} has no user action {action_id!r}")
            entered = read(form)
            values = complete(form, entered, run.attachments)
            if run.asks_for(form):
                drafted = {**entered, **fill_of(draft, typed(form)).values}
                # A link stands in a window alone, and is nothing of the answer before it is sent there.
                has_links = any(drafted.get(place.name) for place in file_fields(form))
                if has_links or complete(form, drafted, run.attachments) != values:
                    return Transition(run, (do.TellDraftWaits(user_id, form_id),))
                if found := problems(form, values) | not_there(form, run.attachments):
                    return Transition(run, (do.TellInvalid(user_id, form_id, tuple(found.items())),))
            answer = Submission(action_id, values, user_id, now)
            return advance(run, saw.ActionChosen(form_id, answer), now)

        await self._recorder.change(run_id, decide, delivery=delivery)

    async def stop(self, run_id: str, user_id: str, *, delivery: str) -> None:
        """Have a run stopped, or leave word why that is not possible; once per delivery.

        Raises:
            UnknownHere: the bot does not know this run.
            StoreError: nothing was saved.
        """

        def decide(run: Run, now: datetime) -> Transition:
            return advance(run, saw.StopRequested(user_id), now)

        await self._recorder.change(run_id, decide, delivery=delivery)


def fill_of(draft: Draft | None, typed: Mapping[str, str | None]) -> WindowFill:
    """Return what a form's window is to hold for a person who has `typed` this elsewhere."""
    typed_before = _digest(typed)
    if draft is None:
        return WindowFill(typed, typed_before=typed_before)
    newer = {} if draft.typed_before == typed_before else typed
    drafted_at = draft.saved_at if draft.values else None
    return WindowFill({**draft.values, **newer}, drafted_at, typed_before, draft.generation)


def _digest(typed: Mapping[str, str | None]) -> str:
    if not typed:
        return ""
    return hashlib.sha256(json.dumps(typed, sort_keys=True).encode()).hexdigest()[:16]
