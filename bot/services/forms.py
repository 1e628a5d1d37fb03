"""What people decide on: the buttons of a form, and Stop."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from bot.core import effects as do
from bot.core import events as saw
from bot.core.lifecycle import Transition, advance
from bot.core.model import Form, FormStatus, Run, Submission
from bot.core.submission import complete, problems
from bot.errors import UnknownHere
from bot.services.recorder import Recorder

ReadEntered = Callable[[Form], Mapping[str, str | None]]
"""Gives what stands in a form's fields, by the input's name; None or nothing for what was left empty."""


class DecisionDesk:
    """Takes in what people press. What it returned from is saved; nothing has been sent yet."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    async def choose(
        self, run_id: str, form_id: str, action_id: str, user_id: str, read: ReadEntered, *, delivery: str
    ) -> None:
        """Claim the form for this answer, or leave word for the person why not; once per delivery.

        Raises:
            UnknownHere: the bot does not know this form, or the form has no such user action.
            StoreError: nothing was saved.
        """

        def decide(run: Run, now: datetime) -> Transition:
            form = run.form(form_id)
            if form.user_action(action_id) is None:
                raise UnknownHere(f"form {form_id} has no user action {action_id!r}")
            values = complete(form, read(form))
            found = problems(form, values)
            if found and form.status in (FormStatus.REQUIRED, FormStatus.OPEN) and not run.status.ended:
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
