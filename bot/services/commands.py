"""A slash command: checked against the app's own parameters, then saved as a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bot.core import command as grammar
from bot.core import effects as do
from bot.core.model import Command, Run
from bot.core.ports import Clock, Dify, Store
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
        """Save the run that a command asks for, or the answer that says what is wrong with it.

        Raises:
            StoreError: neither was saved.
        """
        now = self._clock.now()
        wanted = await self._wanted(command)
        if isinstance(wanted, Run):
            await self._store.add_run(wanted, (do.PostRoot(),), now, done=done)
        else:
            answer = do.TellNotStartable(command.response_url, wanted.problems, wanted.corrected)
            await self._store.add_effect(answer, now, done=done)

    async def give_up(self, command: Command, reason: str, *, done: int) -> None:
        """Save that a command could not be checked, and the answer that says so.

        Raises:
            StoreError: neither was saved.
        """
        answer = do.TellNotStartable(command.response_url, (WENT_WRONG,))
        await self._store.add_effect(answer, self._clock.now(), done=done, reason=reason)

    async def _wanted(self, command: Command) -> Run | grammar.NotStartable:
        parsed = grammar.parse(command.text)
        app = grammar.choose_app(parsed, self.app_names, command.name)
        if isinstance(app, grammar.NotStartable):
            return app
        try:
            async with self._limits[app].checks:
                description = await self._dify_of(app).describe()
        except DifyError as exc:
            return grammar.NotStartable((_why_not_described(app, exc),))
        start = grammar.check(parsed, description, command.name, app)
        if isinstance(start, grammar.NotStartable):
            return start
        return Run(
            run_id=command.command_id,
            app=app,
            mode=description.mode,
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


def _why_not_described(app: str, exc: DifyError) -> str:
    if isinstance(exc, DifyUnauthorized):
        return f"Dify refuses the API key of {app}: ask whoever runs this bot to check it. Nothing was started."
    if isinstance(exc, DifyUnavailable):
        return "Dify does not answer just now. Nothing was started: try again in a minute."
    return f"Dify cannot start {app}: {exc.message} Nothing was started."
