"""A slash command: checked against the app's own parameters, then saved as a run."""

from __future__ import annotations

from collections.abc import Callable

from bot.core import command as grammar
from bot.core import effects as do
from bot.core.model import Command, Run
from bot.core.ports import Clock, Store
from bot.errors import DifyError
from bot.services.descriptions import Descriptions, only_fit, why_not_described
from bot.services.starts import new_run

WENT_WRONG = "Something went wrong on my side. Try again, and if that does not help tell whoever runs this bot."


class CommandDesk:
    """Takes commands in, and later carries them out."""

    def __init__(self, store: Store, descriptions: Descriptions, clock: Clock, wake: Callable[[], None]) -> None:
        """`wake` is called when there is a new command to check."""
        self._store = store
        self._descriptions = descriptions
        self._clock = clock
        self._wake = wake

    @property
    def app_names(self) -> tuple[str, ...]:
        """The apps that can be started."""
        return self._descriptions.app_names

    async def take_in(self, command: Command, delivery: str) -> None:
        """Save a command, once per delivery; it is carried out from the store.

        Raises:
            StoreError: nothing was saved.
        """
        if await self._store.add_effect(do.CheckCommand(command), self._clock.now(), delivery=delivery):
            self._wake()

    async def check(self, command: Command, *, done: int) -> None:
        """Save the run that a command asks for, or the answer to it: what is wrong with it, or what an app takes.

        Raises:
            StoreError: neither was saved.
        """
        now = self._clock.now()
        outcome = await self._outcome(command)
        if isinstance(outcome, Run):
            await self._store.add_run(outcome, (do.PostRoot(),), now, done=done)
        else:
            await self._store.add_effect(outcome, now, done=done)

    async def give_up(self, command: Command, reason: str, *, done: int) -> None:
        """Save that a command could not be checked, and the answer that says so.

        Raises:
            StoreError: neither was saved.
        """
        left_over = grammar.parse(command.text).typed
        answer = do.TellNotStartable(command.response_url, (WENT_WRONG,), left_over=left_over)
        await self._store.add_effect(answer, self._clock.now(), done=done, reason=reason)

    async def _outcome(self, command: Command) -> Run | do.TellNotStartable | do.TellInputs:
        parsed = grammar.parse(command.text)
        about = parsed.help_about(self.app_names)
        choice = about or grammar.choose_app(parsed, self.app_names)
        app = choice.app or await only_fit(parsed, self.app_names, self._descriptions.read)
        if app is None:
            return do.TellNotStartable(command.response_url, choice.problems, left_over=parsed.typed)
        try:
            description = await self._descriptions.read(app)
        except DifyError as exc:
            problems = (*choice.problems, why_not_described(app, exc))
            return do.TellNotStartable(command.response_url, problems, left_over=choice.parsed.words)
        if about:
            inputs, example = grammar.inputs(description), grammar.example(description, command.name, app)
            return do.TellInputs(command.response_url, app, inputs, example, about.problems)
        start = grammar.check(choice.parsed, description, command.name, app, choice.problems)
        if isinstance(start, grammar.NotStartable):
            return do.TellNotStartable(command.response_url, start.problems, start.corrected, start.left_over)
        return new_run(
            command.command_id,
            app,
            description,
            start,
            team_id=command.team_id,
            channel_id=command.channel_id,
            user_id=command.user_id,
            now=self._clock.now(),
            response_url=command.response_url,
        )
