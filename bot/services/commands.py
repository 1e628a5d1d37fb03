"""A slash command: checked against the app's own parameters, then saved as a run."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping

from bot.core import command as grammar
from bot.core import effects as do
from bot.core.model import AppMode, Command, Run
from bot.core.ports import AppDescription, Clock, Dify, Store
from bot.errors import DifyError, DifyUnauthorized, DifyUnavailable
from bot.services.limits import ServerLimits

WENT_WRONG = "Something went wrong on my side. Try again, and if that does not help tell whoever runs this bot."


class CommandDesk:
    """Takes commands in, and later carries them out."""

    def __init__(
        self,
        store: Store,
        dify_of: Callable[[str], Dify],
        limits: Mapping[str, ServerLimits],
        clock: Clock,
        wake: Callable[[], None],
    ) -> None:
        """`dify_of` gives the client of an app, `limits` what its server can spare, for every app that can be started.

        `wake` is called when there is a new command to check.
        """
        self._store = store
        self._dify_of = dify_of
        self._limits = limits
        self._clock = clock
        self._wake = wake

    @property
    def app_names(self) -> tuple[str, ...]:
        """The apps that can be started."""
        return tuple(sorted(self._limits))

    async def take_in(self, command: Command, delivery: str) -> None:
        """Save a command, once per delivery; it is carried out from the store.

        Raises:
            StoreError: nothing was saved.
        """
        if await self._store.save_command(command, delivery, self._clock.now()):
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
        answer = do.TellNotStartable(command.response_url, (WENT_WRONG,))
        await self._store.add_effect(answer, self._clock.now(), done=done, reason=reason)

    async def _outcome(self, command: Command) -> Run | do.TellNotStartable | do.TellInputs:
        parsed = grammar.parse(command.text)
        about = parsed.help_about
        choice = grammar.choose_app(grammar.ParsedCommand(about) if about else parsed, self.app_names)
        app = choice.app or await self._only_fit(parsed)
        if app is None:
            return do.TellNotStartable(command.response_url, choice.problems)
        try:
            description = await self._describe(app)
        except DifyError as exc:
            return do.TellNotStartable(command.response_url, (*choice.problems, _why_not_described(app, exc)))
        if about:
            inputs, example = grammar.inputs(description), grammar.example(description, command.name, app)
            return do.TellInputs(command.response_url, app, inputs, example)
        start = grammar.check(choice.parsed, description, command.name, app, choice.problems)
        if isinstance(start, grammar.NotStartable):
            return do.TellNotStartable(command.response_url, start.problems, start.corrected)
        return self._run(command, app, description.mode, start)

    def _run(self, command: Command, app: str, mode: AppMode, start: grammar.CheckedStart) -> Run:
        return Run(
            run_id=command.command_id,
            app=app,
            mode=mode,
            team_id=command.team_id,
            channel_id=command.channel_id,
            starter_id=command.user_id,
            # One user for run, uploads, submits and events: another one gets 404 on events, and a file of another
            # one fails the run after the form is used up (dify-api §2.3).
            dify_user=f"slack:{command.team_id}:{command.user_id}",
            run_inputs=start.run_inputs,
            query=start.query,
            created_at=self._clock.now(),
            response_url=command.response_url,
        )

    async def _only_fit(self, parsed: grammar.ParsedCommand) -> str | None:
        """Find the one app that takes every key of a command that does not say which it means."""
        if not parsed.pairs:
            return None
        found = await asyncio.gather(*map(self._described, self.app_names))
        described = zip(self.app_names, found, strict=True)
        return grammar.only_fit(parsed, {app: description for app, description in described if description})

    async def _described(self, app: str) -> AppDescription | None:
        with contextlib.suppress(DifyError):
            return await self._describe(app)
        return None

    async def _describe(self, app: str) -> AppDescription:
        async with self._limits[app].checks:
            return await self._dify_of(app).describe()


def _why_not_described(app: str, exc: DifyError) -> str:
    match exc:
        case DifyUnauthorized():
            return f"Dify refuses the API key of {app}: ask whoever runs this bot to check it."
        case DifyUnavailable(status=404):
            return f"There is no Dify at the address that is set for {app}: ask whoever runs this bot to check it."
        case DifyUnavailable():
            return "Dify does not answer just now: try again in a minute."
        case _:
            return f"Dify cannot start {app}: {exc.message.removesuffix('.')}."
