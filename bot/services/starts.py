"""The start window: opened where a command is not right yet, filled in, and saved as a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

import structlog

from bot.core import command as grammar
from bot.core import effects as do
from bot.core.model import AppMode, Command, Run
from bot.core.ports import AppDescription, Clock, Slack, StartPlace, StartWindow, Store
from bot.errors import DifyError, SlackError, TriggerUsed
from bot.services.descriptions import Descriptions, only_fit, why_not_described

log = structlog.get_logger(__name__)

OPENS_WITHIN = 1.2
"""Seconds to learn what an app takes before its window opens: a trigger lives for 3 s (slack-platform §4.1)."""
SENT_WITHIN = 2.0
"""Seconds for that when a window is sent: its ack is due in 3 s (slack-platform §4.1)."""
CHOSEN_WITHIN = 10.0
"""Seconds for that when an app is chosen, which is acked at once."""

NOT_OPENED = "I could not open the window, and nothing was started: press the button again."
GONE = "There is no app {app} any more."
CHANGED = "{app} was changed in Dify meanwhile: look over its values and press Start again."
REFUSED = "Dify did not start {app}: “{reason}”."

Read = Callable[[str, AppDescription], Mapping[str, str] | None]
"""Gives what was entered into the fields of an app; None where the window shows others."""


@dataclass(frozen=True, slots=True)
class Wrong:
    """What is wrong with what was entered, by field, a sentence each."""

    problems: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class NotNow:
    """Dify does not tell what the app takes; a sentence."""

    reason: str


class StartDesk:
    """Says what start windows show, and takes in what is entered there."""

    def __init__(
        self,
        store: Store,
        slack: Slack,
        descriptions: Descriptions,
        clock: Clock,
        wake: Callable[[], None],
        new_id: Callable[[], str],
    ) -> None:
        """`wake` is called when there is a new run to start; `new_id` gives the ids of runs."""
        self._store = store
        self._slack = slack
        self._descriptions = descriptions
        self._clock = clock
        self._wake = wake
        self._new_id = new_id

    async def open(self, command: Command, trigger_id: str) -> bool:
        """Open the window in which to complete a command; nothing is saved.

        False, and no window is open, where the command is right as it is, where no window would help, where Dify does
        not tell in time what the app takes, and where Slack opens none: then it is for the `CommandDesk`.
        """
        window = await self._window(command)
        return window is not None and await self._opened(trigger_id, window)

    async def _opened(self, trigger_id: str, window: StartWindow) -> bool:
        try:
            await self._slack.open_start(trigger_id, window)
        except TriggerUsed:
            log.info("a start window is open already")
        except SlackError as exc:
            log.warning("Slack opened no start window", error=str(exc))
            return False
        return True

    async def _window(self, command: Command) -> StartWindow | None:
        parsed = grammar.parse(command.text)
        if parsed.help_about is not None:
            return None
        names = self._descriptions.app_names
        place = StartPlace(self._new_id(), command.team_id, command.channel_id)
        if parsed.is_empty and len(names) > 1:
            return StartWindow(place, names)
        choice = grammar.choose_app(parsed, names)
        try:
            app = choice.app or await only_fit(parsed, names, self._soon)
            description = None if app is None else await self._soon(app)
        except DifyError:
            return None
        if app is None or description is None or grammar.obstacle(app, description):
            return None
        start = grammar.check(choice.parsed, description, command.name, app, choice.problems)
        if isinstance(start, grammar.CheckedStart) and not parsed.is_empty:
            return None
        draft = grammar.draft(choice.parsed, description, app, choice.problems)
        return StartWindow(replace(place, app=app), names, description, draft.texts, draft.problems)

    async def _soon(self, app: str) -> AppDescription:
        return await self._descriptions.within(OPENS_WITHIN, app)

    async def again(self, run_id: str, trigger_id: str) -> str | None:
        """Open the window in which to start once more what Dify refused to start, with what was given then.

        Returns why it is not opened, as a sentence; None where it is.

        Raises:
            UnknownHere: the bot does not know this run.
            StoreError: it cannot be looked up.
        """
        run = await self._store.run(run_id)
        if run.app not in self._descriptions.app_names:
            return GONE.format(app=run.app)
        try:
            # It may have been changed since, which may be why Dify refused.
            description = await self._descriptions.within(OPENS_WITHIN, run.app, anew=True)
        except DifyError as exc:
            return why_not_described(run.app, exc)
        if reason := grammar.obstacle(run.app, description):
            return reason
        texts = grammar.texts_of(grammar.CheckedStart(run.run_inputs, run.query), description)
        problems = (REFUSED.format(app=run.app, reason=run.error),) if run.error else ()
        place = StartPlace(self._new_id(), run.team_id, run.channel_id, run.app)
        window = StartWindow(place, self._descriptions.app_names, description, texts, problems)
        return None if await self._opened(trigger_id, window) else NOT_OPENED

    async def choose(self, view_id: str, seen: str, place: StartPlace, app: str, texts: Mapping[str, str]) -> None:
        """Let an open window show the fields of another app; what it takes of `texts` is kept.

        `seen` is the hash of what the window showed.
        """
        window = await self._chosen(place, app, texts)
        try:
            await self._slack.change_start(view_id, seen, window)
        except SlackError as exc:
            # It was closed, or another app was chosen since; else Start shows the fields.
            log.info("a start window is not changed", error=str(exc))

    async def _chosen(self, place: StartPlace, app: str, texts: Mapping[str, str]) -> StartWindow:
        window = StartWindow(replace(place, app=app), self._descriptions.app_names, texts=self._given(place, texts))
        if app not in window.app_names:
            return replace(window, problems=(GONE.format(app=app),))
        try:
            description = await self._descriptions.within(CHOSEN_WITHIN, app)
        except DifyError as exc:
            return replace(window, problems=(why_not_described(app, exc),))
        if reason := grammar.obstacle(app, description):
            return replace(window, problems=(reason,))
        return replace(window, description=description)

    async def submit(
        self, place: StartPlace, app: str, user_id: str, read: Read, carried: Mapping[str, str]
    ) -> StartWindow | Wrong | NotNow | None:
        """Save the run that a window asks for, once however often the window is sent; None where that is done.

        Otherwise return what is wrong, or the window to show instead, where the app has other fields than the window:
        what it takes of the texts `carried` is kept.

        Raises:
            StoreError: nothing was saved.
        """
        if app not in self._descriptions.app_names:
            return StartWindow(place, self._descriptions.app_names, problems=(GONE.format(app=app),))
        try:
            description = await self._descriptions.within(SENT_WITHIN, app)
        except DifyError as exc:
            return NotNow(why_not_described(app, exc))
        texts_kept = carried if place.app == app else self._given(place, carried)
        window = StartWindow(replace(place, app=app), self._descriptions.app_names, texts=texts_kept)
        if reason := grammar.obstacle(app, description):
            return replace(window, problems=(reason,))
        texts = read(app, description)
        if texts is None:
            changed = (CHANGED.format(app=app),) if place.app == app else ()
            return replace(window, description=description, problems=changed)
        start = grammar.check_texts(texts, description)
        if not isinstance(start, grammar.CheckedStart):
            return Wrong(start)
        run = new_run(
            place.run_id,
            app,
            description.mode,
            start,
            team_id=place.team_id,
            channel_id=place.channel_id,
            user_id=user_id,
            now=self._clock.now(),
        )
        await self._store.add_run(run, (do.PostRoot(),), run.created_at)
        self._wake()
        return None

    def _given(self, place: StartPlace, texts: Mapping[str, str]) -> Mapping[str, str]:
        """Leave out what nobody gave: the defaults of the app that the window showed are not those of another."""
        shown = self._descriptions.last(place.app)
        defaults = {field.variable: grammar.default_text(field) for field in grammar.fields(shown)} if shown else {}
        return {name: text for name, text in texts.items() if text != defaults.get(name)}


def new_run(
    run_id: str,
    app: str,
    mode: AppMode,
    start: grammar.CheckedStart,
    *,
    team_id: str,
    channel_id: str,
    user_id: str,
    now: datetime,
    response_url: str | None = None,
) -> Run:
    """Return the run that somebody asks for."""
    return Run(
        run_id=run_id,
        app=app,
        mode=mode,
        team_id=team_id,
        channel_id=channel_id,
        starter_id=user_id,
        # One user for run, uploads, submits and events: another one gets 404 on events, and a file of another
        # one fails the run after the form is used up (dify-api §2.3).
        dify_user=f"slack:{team_id}:{user_id}",
        run_inputs=start.run_inputs,
        query=start.query,
        created_at=now,
        response_url=response_url,
    )
