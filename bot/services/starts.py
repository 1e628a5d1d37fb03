"""The start window: opened where a command is not right yet, filled in, and saved as a run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import structlog

from bot.core import command as grammar
from bot.core import effects as do
from bot.core.attaching import refusal_of
from bot.core.files import attachment_ids
from bot.core.model import Addressed, Command, FileProblem, PickedMessage, Run, SharedFile
from bot.core.ports import AppDescription, CarriedFile, Clock, Slack, StartPlace, StartWindow, Store
from bot.core.start_files import accepts_of, file_inputs, given_to, placed, with_files
from bot.errors import DifyError, SlackError, TriggerUsed
from bot.services.descriptions import Descriptions, only_fit, why_not_described
from bot.services.shared_files import known, looked_at

log = structlog.get_logger(__name__)

OPENS_WITHIN = 1.2
"""Seconds to learn what an app takes before its window opens: a trigger lives for 3 s (slack-platform §4.1)."""
READ_WITHIN = 0.8
"""Seconds to read the message that a window is to hold, before that."""
SENT_WITHIN = 2.0
"""Seconds for that when a window is sent: its ack is due in 3 s (slack-platform §4.1)."""
CHOSEN_WITHIN = 10.0
"""Seconds for that when an app is chosen, which is acked at once."""
MOST_CARRIED = 20
"""Files that a window is given at most: their ids stand in its `private_metadata` (slack-platform §2.3)."""

NOT_OPENED_NOW = "I could not open the window, and nothing was started: try again in a moment."
NOT_OPENED = "I could not open the window, and nothing was started: press the button again."
MESSAGE_GONE = (
    "The message is not there any more, so there is nothing to start an app with. Write it once more, and I answer "
    "with a new button."
)
MESSAGE_NOT_READ = (
    "Slack does not show me the message just now, and nothing was started: press the button again in a moment, or "
    "choose “Run a Dify app” in the “…” of the message."
)
GONE = "There is no app {app} any more."
CHANGED = "{app} was changed in Dify meanwhile: look over its values and press Start again."
REFUSED = "Dify did not start {app}: “{reason}”."
FILE_REFUSED = "{app} was not started. {reason}"
TOO_MANY_FILES = f"I cannot take along more than {MOST_CARRIED} files."
SLACK_SILENT = "Slack does not say just now what the files are."
CHOOSE_AGAIN = f"{SLACK_SILENT} Choose the app once more in a moment."

Read = Callable[[str, AppDescription], Mapping[str, str] | None]
"""Gives what was entered into the fields of an app; None where the window shows others."""

Carried = Callable[[AppDescription | None], Mapping[str, str]]
"""Gives what another app may take of what was entered, by what is known of the app whose fields the window shows."""

Chosen = Mapping[str, tuple[SharedFile, ...]]
"""The files that are chosen in a window, by field."""

_Meant = tuple[SharedFile, str | None]
"""A file, and the field that it is meant for, if any."""


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
        names = self._descriptions.app_names
        if parsed.help_about(names) is not None:
            return None
        place = StartPlace(self._new_id(), command.team_id, command.channel_id)
        choice = grammar.choose_app(parsed, names)
        try:
            app = choice.app or await only_fit(parsed, names, self._soon)
            description = None if app is None else await self._soon(app)
        except DifyError:
            return None
        if app is None or description is None:
            if parsed.is_empty:
                return StartWindow(place, names)
            return StartWindow(place, names, texts={grammar.QUERY.variable: parsed.typed}, problems=choice.problems)
        if grammar.obstacle(app, description):
            return None
        start = grammar.check(choice.parsed, description, command.name, app, choice.problems)
        if isinstance(start, grammar.CheckedStart) and not parsed.is_empty:
            return None
        draft = grammar.draft(choice.parsed, description, app, choice.problems)
        return StartWindow(
            replace(place, app=app),
            names,
            description,
            draft.texts,
            problems=draft.problems,
            left_over=draft.left_over,
        )

    async def answer(self, message: Addressed, text: str, command: str, *, delivery: str) -> None:
        """Have whoever addressed the bot told how an app is started with their message, once per delivery.

        `text` is what they say, which may only ask for help; `command` is the slash command.

        Raises:
            StoreError: nothing was saved.
        """
        effect: do.OfferStart | do.TellUsage = do.OfferStart(message, command)
        if text.casefold() == "help":
            effect = do.TellUsage(message, command, self._descriptions.app_names)
        if await self._store.add_effect(effect, self._clock.now(), delivery=delivery):
            self._wake()

    async def open_upon(
        self, channel_id: str, ts: str, trigger_id: str, *, team_id: str, bot_user_id: str | None
    ) -> str | None:
        """Open the window in which to start an app with a message that addresses the bot, as it now stands.

        Returns why it is not opened, as a sentence; None where it is.
        """
        try:
            async with asyncio.timeout(READ_WITHIN):
                message = await self._slack.picked(channel_id, ts, team_id=team_id, bot_user_id=bot_user_id)
        except (SlackError, TimeoutError) as exc:
            log.warning("a message is not read", error=str(exc) or type(exc).__name__)
            return MESSAGE_NOT_READ
        return MESSAGE_GONE if message is None else await self.open_with(message, trigger_id)

    async def open_with(self, message: PickedMessage, trigger_id: str) -> str | None:
        """Open the window in which to start an app with what a message says and holds; nothing is saved.

        Returns why it is not opened, as a sentence; None where it is.
        """
        names = self._descriptions.app_names
        only = names[0] if len(names) == 1 else None
        # Side by side: the trigger lives for 3 s (slack-platform §4.1).
        (files, unknown), described = await asyncio.gather(looked_at(self._slack, message.files), self._described(only))
        place = StartPlace(self._new_id(), message.team_id, message.channel_id)
        texts = {grammar.QUERY.variable: message.text} if message.text else {}
        meant, told = [(file, None) for file in files], _told(unknown)
        if only is None or described is None:
            window = self._without_fields(place, texts, meant, told)
        elif isinstance(described, DifyError):
            window = self._without_fields(place, texts, meant, (*told, why_not_described(only, described)))
        else:
            window = self._with_fields(place, only, described, texts, meant, told)
        return None if await self._opened(trigger_id, window) else NOT_OPENED_NOW

    async def _described(self, app: str | None) -> AppDescription | DifyError | None:
        """Return what an app takes, or why that is not known; None for no app."""
        try:
            return None if app is None else await self._soon(app)
        except DifyError as exc:
            return exc

    def _without_fields(
        self, place: StartPlace, texts: Mapping[str, str], files: Sequence[_Meant], problems: Sequence[str] = ()
    ) -> StartWindow:
        """Return the window to show while nobody knows what there is to fill in; it keeps what was given."""
        kept = files[:MOST_CARRIED]
        place = replace(place, files=tuple(CarriedFile(file.file_id, meant_for) for file, meant_for in kept))
        shown = {"": tuple(file for file, _ in kept)} if kept else {}
        told = (*problems, *_too_many(files))
        return StartWindow(place, self._descriptions.app_names, texts=texts, files=shown, problems=told)

    def _with_fields(
        self,
        place: StartPlace,
        app: str,
        description: AppDescription,
        texts: Mapping[str, str],
        files: Sequence[_Meant],
        problems: Sequence[str] = (),
    ) -> StartWindow:
        """Return the window that shows the fields of an app, with what they take of what was given."""
        given = self._given(place, texts)
        if reason := grammar.obstacle(app, description):
            return self._without_fields(replace(place, app=app), given, files, (*problems, reason))
        if place.app in (None, app):
            moved, left = grammar.moved_text(texts, None, description)
        else:
            moved, left = grammar.moved_text(given, self._descriptions.last(place.app), description)
        kept = files[:MOST_CARRIED]
        found, nowhere = placed(app, description, kept)
        fields = {file.file_id: name for name, held in found.items() for file in held}
        carried = tuple(CarriedFile(file.file_id, fields.get(file.file_id)) for file, _ in kept)
        return StartWindow(
            replace(place, app=app, files=carried),
            self._descriptions.app_names,
            description,
            moved,
            found,
            (*problems, *grammar.unfit(moved, description), *_told(nowhere), *_too_many(files)),
            _left_over({name: text for name, text in left.items() if name in given}),
        )

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
        given = given_to(run)
        values = {name: value for name, value in run.run_inputs.items() if not attachment_ids(value)}
        texts = grammar.texts_of(grammar.CheckedStart(values, run.query, given), description)
        files = [(each, name) for name, held in given.items() for each in held if isinstance(each, SharedFile)]
        place = StartPlace(self._new_id(), run.team_id, run.channel_id, run.app)
        window = self._with_fields(place, run.app, description, texts, files, _why_refused(run))
        return None if await self._opened(trigger_id, window) else NOT_OPENED

    async def choose(
        self, view_id: str, seen: str, place: StartPlace, app: str, carried: Carried, chosen: Chosen
    ) -> None:
        """Let an open window show the fields of another app; what it takes of what was given is kept.

        `seen` is the hash of what the window showed.
        """
        window = await self._chosen(place, app, carried(self._descriptions.last(place.app)), chosen)
        try:
            await self._slack.change_start(view_id, seen, window)
        except SlackError as exc:
            # It was closed, or another app was chosen since; else Start shows the fields.
            log.info("a start window is not changed", error=str(exc))

    async def _chosen(self, place: StartPlace, app: str, texts: Mapping[str, str], chosen: Chosen) -> StartWindow:
        given, shown = self._given(place, texts), replace(place, app=app)
        try:
            files, gone = await self._files(place, chosen)
        except SlackError:
            return self._without_fields(shown, given, _meant(place, chosen), (CHOOSE_AGAIN,))
        if app not in self._descriptions.app_names:
            return self._without_fields(replace(place, app=None), given, files, (*_told(gone), GONE.format(app=app)))
        try:
            description = await self._descriptions.within(CHOSEN_WITHIN, app)
        except DifyError as exc:
            return self._without_fields(shown, given, files, (*_told(gone), why_not_described(app, exc)))
        return self._with_fields(place, app, description, texts, files, _told(gone))

    async def submit(
        self, place: StartPlace, app: str, user_id: str, read: Read, carried: Carried, chosen: Chosen
    ) -> StartWindow | Wrong | NotNow | None:
        """Save the run that a window asks for, once however often the window is sent; None where that is done.

        Its files are pulled afterwards. Otherwise return what is wrong, or the window to show instead, where the app
        has other fields than the window, or Slack does not have a file any more: what it takes of the texts and of the
        files is kept.

        Raises:
            StoreError: nothing was saved.
        """
        names = self._descriptions.app_names
        # As the window shows it; it may be read anew below.
        texts = carried(self._descriptions.last(place.app))
        if not app and len(names) == 1:
            # It was not described when the window was opened, so that this shows no fields of it.
            app = names[0]
        if app not in names:
            try:
                return await asyncio.wait_for(self._chosen(place, app, texts, chosen), SENT_WITHIN)
            except TimeoutError:
                return NotNow(SLACK_SILENT)
        try:
            (files, gone), description = await asyncio.gather(
                asyncio.wait_for(self._files(place, chosen), SENT_WITHIN),
                self._descriptions.within(SENT_WITHIN, app),
            )
        except DifyError as exc:
            return NotNow(why_not_described(app, exc))
        except (SlackError, TimeoutError):
            return NotNow(SLACK_SILENT)
        if reason := grammar.obstacle(app, description):
            given = self._given(place, texts)
            return self._without_fields(replace(place, app=app), given, files, (reason, *_told(gone)))
        entered = read(app, description)
        if entered is None or gone:
            changed = [CHANGED.format(app=app)] if place.app == app and not gone else []
            return self._with_fields(place, app, description, texts, files, (*changed, *_told(gone)))
        if not _fit_where_shown(app, description, place, files):
            return self._with_fields(place, app, description, texts, files)
        start = grammar.check_texts(entered, description, _by_field(description, entered, files, chosen))
        if not isinstance(start, grammar.CheckedStart):
            return Wrong(start)
        run = new_run(
            place.run_id,
            app,
            description,
            start,
            team_id=place.team_id,
            channel_id=place.channel_id,
            user_id=user_id,
            now=self._clock.now(),
        )
        await self._store.add_run(run, (do.PostRoot(),), run.created_at, delivery=f"start:{run.run_id}")
        self._wake()
        return None

    async def _files(self, place: StartPlace, chosen: Chosen) -> tuple[list[_Meant], list[FileProblem]]:
        """Return the files of a window, and those that Slack does not have any more.

        Raises:
            SlackError: Slack does not say what one of them is.
        """
        meant = _meant(place, chosen)
        found, gone = [], []
        for answer, (_, name) in zip(
            await asyncio.gather(*(known(self._slack, file) for file, _ in meant)), meant, strict=True
        ):
            if isinstance(answer, SharedFile):
                found.append((answer, name))
            else:
                gone.append(answer)
        return found, gone

    def _given(self, place: StartPlace, texts: Mapping[str, str]) -> Mapping[str, str]:
        """Leave out what nobody gave: the defaults of the app that the window showed are not those of another."""
        shown = self._descriptions.last(place.app)
        defaults = {field.variable: grammar.default_text(field) for field in grammar.fields(shown)} if shown else {}
        return {name: text for name, text in texts.items() if text != defaults.get(name)}


def _meant(place: StartPlace, chosen: Chosen) -> list[_Meant]:
    """Return the files of a window: what is chosen for a field takes the place of what the window was given for it.

    Of the latter nothing but the id is known.
    """
    given = [(SharedFile(each.file_id, ""), each.field) for each in place.files if each.field not in chosen]
    return [*given, *((file, name) for name, held in chosen.items() for file in held)]


def _told(problems: Iterable[FileProblem]) -> tuple[str, ...]:
    return tuple(f"{each.name}: {each.reason}" for each in problems)


def _left_over(texts: Mapping[str, str]) -> str:
    """Return what was given and stands in no field, a line each; words for whichever app have no name."""
    left = {name: text for name, text in texts.items() if text.strip()}
    return "\n".join(text if name == grammar.QUERY.variable else f"{name}: {text}" for name, text in left.items())


def _too_many(files: Sequence[_Meant]) -> tuple[str, ...]:
    return _told(FileProblem(file.name, TOO_MANY_FILES) for file, _ in files[MOST_CARRIED:])


def _why_refused(run: Run) -> tuple[str, ...]:
    if (reason := refusal_of(run.start_attachments)) is not None:
        return (FILE_REFUSED.format(app=run.app, reason=reason),)
    return (REFUSED.format(app=run.app, reason=run.error.removesuffix(".")),) if run.error else ()


def _fit_where_shown(app: str, description: AppDescription, place: StartPlace, files: Sequence[_Meant]) -> bool:
    """Tell whether the files that a window was given still fit where it shows them: Slack may know them better now."""
    given = {each.file_id for each in place.files if each.field is not None}
    shown = [(file, name) for file, name in files if file.file_id in given]
    found, _ = placed(app, description, shown)
    return all(name is not None and file in found.get(name, ()) for file, name in shown)


def _by_field(
    description: AppDescription, texts: Mapping[str, str], files: Sequence[_Meant], chosen: Chosen
) -> Mapping[str, tuple[SharedFile, ...]]:
    """Return the files to start with; a link that is entered for a single one takes the place of one given before."""
    held: dict[str, tuple[SharedFile, ...]] = {}
    for field in file_inputs(description):
        name = field.variable
        replaced = accepts_of(field).limit == 1 and name not in chosen and bool(texts.get(name, "").strip())
        held[name] = () if replaced else tuple(file for file, meant_for in files if meant_for == name)
    return held


def new_run(
    run_id: str,
    app: str,
    description: AppDescription,
    start: grammar.CheckedStart,
    *,
    team_id: str,
    channel_id: str,
    user_id: str,
    now: datetime,
    response_url: str | None = None,
) -> Run:
    """Return the run that somebody asks for."""
    run = Run(
        run_id=run_id,
        app=app,
        mode=description.mode,
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
    return with_files(run, description, start.files)
