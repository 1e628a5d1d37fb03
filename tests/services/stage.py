"""The bot in this process between both simulated platforms, with one clock for all three that is moved by hand."""

from __future__ import annotations

import asyncio
import itertools
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from slack_sdk.web.async_client import AsyncWebClient
from sqlalchemy import URL, make_url

from bot.bootstrap import Parts, assemble, at_work
from bot.core.model import Command, Run, RunStatus
from bot.core.ports import SavedEffect, Store
from bot.errors import UnknownHere
from bot.manifest import SHORTCUT_ID
from bot.playground.dify import App, DifyServer
from bot.playground.dify import Dify as DifySimulator
from bot.playground.dify.apps import all_apps, slow
from bot.playground.dify.simulator import RecordedRequest
from bot.playground.slack import Message, RateLimits, SlackServer, Workspace
from bot.playground.slack.tickets import Destination
from bot.settings import AppSettings, Settings
from bot.store.database import Database, PostgresqlDatabase, SqliteDatabase, Work
from bot.store.migrations import migrate
from bot.store.sql import SqlStore
from tests.refusals import watched

Found = TypeVar("Found")

SPEED = 50.0
"""How many times faster than a real server the simulated Dify is."""
CHANNEL = "content"
PATIENCE = 60.0
LEASE = timedelta(minutes=5)


class HandClock:
    """`Clock` and `Alarm` of the bot, and what both platforms go by.

    It stands still but for a millisecond at each look, so that no two moments are the same.
    """

    def __init__(self) -> None:
        self._now = datetime.now(UTC)
        self.ringing = asyncio.Event()
        self.armed: datetime | None = None

    def now(self) -> datetime:
        """Return the present moment."""
        self._now += timedelta(milliseconds=1)
        return self._now

    def seconds(self) -> float:
        """Return the present moment in Unix seconds."""
        return self.now().timestamp()

    def arm(self, at: datetime) -> None:
        """Ring at this moment, unless it rings earlier anyway."""
        self.armed = at if self.armed is None else min(at, self.armed)
        self._ring_if_due()

    def advance(self, **span: float) -> None:
        """Let time pass: `minutes=2`."""
        self._now += timedelta(**span)
        self._ring_if_due()

    def _ring_if_due(self) -> None:
        if self.armed is not None and self.armed <= self._now:
            self.armed = None
            self.ringing.set()


class WatchedDatabase(Database):
    """A database that tells of everything that is written into it."""

    def __init__(self, url: URL, written: asyncio.Event) -> None:
        super().__init__(url)  # type: ignore[call-arg]
        self.written = written
        self.writing = asyncio.Event()
        self.unhurried = 0
        """How many writes were in no hurry, since nobody waited for an ack."""

    async def write(self, work: Work[Found], *, before_ack: bool = False) -> Found:
        """Write, and tell."""
        self.writing.set()
        self.unhurried += not before_ack
        try:
            return await super().write(work, before_ack=before_ack)
        finally:
            self.writing.clear()
            self.written.set()


class WatchedFile(WatchedDatabase, SqliteDatabase):
    """A file that does so."""


class WatchedServer(WatchedDatabase, PostgresqlDatabase):
    """A server that does so."""


@dataclass(frozen=True)
class Row:
    """An effect in the outbox."""

    kind: str
    state: str
    attempts: int
    due_at: datetime
    reason: str | None


@dataclass
class Stage:
    """Both platforms and the parts of the bot, which work only within `working`."""

    settings: Settings
    workspace: Workspace
    slack: SlackServer
    dify: DifySimulator
    client: AsyncWebClient
    parts: Parts
    clock: HandClock
    file: Path
    database: WatchedDatabase
    _numbers: Iterable[int] = field(default_factory=lambda: itertools.count(1))

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Let the bot take up what is in its store, and work until the context ends."""
        async with at_work(self.parts, self.clock.ringing):
            yield

    @asynccontextmanager
    async def reopened(self, *apps: str) -> AsyncIterator[Stage]:
        """Put the bot together once more, on the same database, now knowing only these apps."""
        settings = self.settings.with_apps({name: self.settings.apps[name] for name in apps})
        surroundings = (self.workspace, self.slack, self.dify, self.clock, self.file, self.database.written)
        async with _bot_between(settings, *surroundings) as stage:
            yield stage

    async def begin(self) -> tuple[SavedEffect, ...]:
        """Begin what is due, as a process does that then dies."""
        await self.store.join(LEASE)
        return await self.store.claim_effects(self.clock.now(), 10)

    @property
    def store(self) -> Store:
        """The store that the parts use."""
        return self.parts.store

    # --- what people do ----------------------------------------------------------------------------------------------

    def command(self, text: str, user: str = "ann", channel: str = CHANNEL) -> Command:
        """Return a slash command as it arrives; its id is the id of the run it starts."""
        person, place = self.workspace.person(user), self.workspace.channel(channel)
        path = self.workspace.tickets.new_response_url(Destination(place, person.id, None))
        return Command(
            command_id=f"run-{next(iter(self._numbers))}",
            name="/dify",
            text=text,
            team_id=self.workspace.team_id,
            channel_id=place.id,
            user_id=person.id,
            response_url=f"{self.workspace.url}/{path}",
        )

    async def ask(self, text: str, user: str = "ann", channel: str = CHANNEL) -> str:
        """Take in a command and return the id of the run it asks for."""
        command = self.command(text, user, channel)
        await self.parts.commands.take_in(command, f"command:{command.command_id}")
        return command.command_id

    async def choose(
        self, run: Run, action_id: str, user: str = "ben", *, form_id: str | None = None, **values: str | None
    ) -> None:
        """Press a button of a run's first form, or of another, with these values in its fields."""
        await self.parts.decisions.choose(
            run.run_id,
            form_id or run.forms[0].form_id,
            action_id,
            self.workspace.person(user).id,
            lambda form: values,
            typed=lambda form: values,
            delivery=f"click:{next(iter(self._numbers))}",
        )

    async def later(self, **span: float) -> None:
        """Let time pass, once nothing is being looked at any more: a look moves the next one of its run."""
        await self.looks_end()
        self.clock.advance(**span)

    async def looks_end(self) -> None:
        """Wait until no run is being looked at."""
        await asyncio.gather(*(task for task in asyncio.all_tasks() if task.get_name().startswith("look at run")))

    # --- what comes of it --------------------------------------------------------------------------------------------

    async def until(self, holds: Callable[[], Found]) -> Found:
        """Return the first true value of `holds`, asked again whenever the bot saved something."""
        async with asyncio.timeout(PATIENCE):
            while not (found := holds()):
                self.database.written.clear()
                await self.database.written.wait()
            return found

    async def run_when(self, run_id: str, holds: Callable[[Run], Any]) -> Run:
        """Wait until a run is as it should be, and return it."""
        async with asyncio.timeout(PATIENCE):
            while True:
                self.database.written.clear()
                try:
                    run = await self.store.run(run_id)
                except UnknownHere:
                    pass  # its command is not checked yet
                else:
                    if holds(run):
                        return run
                await self.database.written.wait()

    async def in_status(self, run_id: str, status: RunStatus) -> Run:
        """Wait until a run stands so, and return it."""
        return await self.run_when(run_id, lambda run: run.status is status)

    async def paused(self, text: str, forms: int = 1) -> Run:
        """Start a run and wait until it is paused and its forms are posted."""
        run_id = await self.ask(text)
        return await self.run_when(
            run_id,
            lambda run: (
                run.status is RunStatus.PAUSED and [bool(form.message_ts) for form in run.forms] == [True] * forms
            ),
        )

    async def settled(self) -> None:
        """Wait until the outbox holds nothing but what is tried later and what was given up."""
        await self.until(lambda: all(row.state == "failed" or row.due_at > self.clock.now() for row in self.outbox()))

    def outbox(self) -> list[Row]:
        """What stands in the outbox, in order."""
        with self.sql() as database:
            rows = database.execute("SELECT kind, state, attempts, due_at, reason FROM outbox ORDER BY id").fetchall()
        return [
            Row(kind, state, n, datetime.fromisoformat(at).replace(tzinfo=UTC), why) for kind, state, n, at, why in rows
        ]

    async def put_back(self, kind: str) -> Row:
        """Wait until an effect of this kind waits to be tried again."""

        def tried() -> Row | None:
            now = self.clock.now()
            rows = (row for row in self.outbox() if row.kind == kind and row.state == "pending" and row.due_at > now)
            return next(rows, None)

        return await self.until(tried)

    @contextmanager
    def refusing(self, *statements: str) -> Iterator[None]:
        """Let the database refuse statements such as `DELETE ON outbox`, as a full disk would, meanwhile."""
        with self.sql() as database:
            for number, statement in enumerate(statements):
                refusal = "BEGIN SELECT RAISE(ABORT, 'disk full'); END"
                database.execute(f"CREATE TRIGGER refusal_{number} BEFORE {statement} {refusal}")
        yield
        with self.sql() as database:
            for number, _ in enumerate(statements):
                database.execute(f"DROP TRIGGER refusal_{number}")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep every writer waiting meanwhile."""
        with self.sql() as database:
            database.execute("BEGIN IMMEDIATE")
            yield

    @contextmanager
    def sql(self) -> Iterator[sqlite3.Connection]:
        """Look into the database, or change it, in one transaction."""
        database = sqlite3.connect(self.file, timeout=PATIENCE)
        with database:
            yield database
        database.close()

    def thread(self, run: Run) -> list[Message]:
        """The messages in a run's thread."""
        assert run.thread_ts is not None
        return self.workspace.channel(CHANNEL).replies(run.thread_ts)

    def root(self, run: Run) -> Message:
        """The root message of a run."""
        message = self.workspace.channel(CHANNEL).message(run.thread_ts)
        assert message is not None
        return message

    async def reads(self, message: Message, *parts: str) -> None:
        """Wait until a message shows all these texts."""
        await self.workspace.wait_for(lambda: all(part.casefold() in message.shown.casefold() for part in parts))

    async def told(self, user: str, *parts: str) -> Message:
        """Wait until somebody is told these texts in private."""
        return await self.workspace.wait_for(
            lambda: next(
                (
                    note
                    for note in self.workspace.find_all(visible_to=user)
                    if all(part.casefold() in note.shown.casefold() for part in parts)
                ),
                None,
            )
        )

    def requests(self, method: str, path: str) -> list[RecordedRequest]:
        """The requests that Dify got, by method and a part of their path."""
        return [each for each in self.dify.requests if each.method == method and path in each.path]

    def submits(self) -> list[RecordedRequest]:
        """The answers that Dify got."""
        return self.requests("POST", "/form/human_input/")


def endless() -> App:
    """A run that lasts for as long as a test does, however busy the machine is."""
    return replace(slow(seconds=3_600.0), name="endless")


@asynccontextmanager
async def open_stage(
    folder: Path, apps: Iterable[App] | None = None, *, speed: float = SPEED, **changes: Any
) -> AsyncIterator[Stage]:
    """Start everything but the bot's work; `apps` are known under their own names, `changes` are settings.

    What looks into the database or refuses to write into it is for a file, which is the database by default.
    """
    async with AsyncExitStack() as stack:
        clock = HandClock()
        apps = list(apps or (*all_apps(), endless()))
        workspace = Workspace(
            people=("ann", "ben", "cleo"),
            channels={CHANNEL: ("ann", "ben", "cleo", "bot"), "random": ("ann",)},
            shortcuts=(SHORTCUT_ID,),
            rate_limits=RateLimits.off(),
            now=clock.seconds,
            ack_timeout=PATIENCE,
        )
        stack.enter_context(watched(workspace))
        slack = await stack.enter_async_context(SlackServer(workspace))
        dify = DifySimulator(apps, speed=speed, now=clock.seconds)
        server = await stack.enter_async_context(DifyServer(dify))
        file = folder / "bot.sqlite3"
        settings = Settings(
            _env_file=None,
            slack_bot_token=workspace.bot_token,
            slack_signing_secret=workspace.signing_secret,
            slack_api_url=slack.api_url,
            slack_rate_factor=1_000,
            **{"database_url": f"sqlite:///{file}"} | changes,
        ).with_apps({app.name: AppSettings(api_key=app.key, base_url=server.base_url) for app in apps})
        bot = _bot_between(settings, workspace, slack, dify, clock, file, asyncio.Event())
        yield await stack.enter_async_context(bot)


@asynccontextmanager
async def _bot_between(
    settings: Settings,
    workspace: Workspace,
    slack: SlackServer,
    dify: DifySimulator,
    clock: HandClock,
    file: Path,
    written: asyncio.Event,
) -> AsyncIterator[Stage]:
    async with AsyncExitStack() as stack:
        url = make_url(settings.database_url)
        kind = WatchedFile if url.get_backend_name() == "sqlite" else WatchedServer
        database = kind(url, written)
        stack.push_async_callback(database.close)
        await migrate(database)
        client = AsyncWebClient(token=workspace.bot_token, base_url=slack.api_url)
        parts = await assemble(settings, SqlStore(database), client, stack, clock, clock)
        yield Stage(settings, workspace, slack, dify, client, parts, clock, file, database)
