"""Plays the trials of one process; run as a program it prints a line of JSON for each."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import secrets
import signal
import sys
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from bot.playground.dify import Dify, DifyServer
from bot.playground.dify.faults import Faults as DifyFaults
from bot.playground.slack import Channel, RateLimits, SlackServer, Workspace
from bot.playground.slack.faults import Faults as SlackFaults
from bot.playground.stage import EVENTS, SCOPES
from tests.faults.bots import Bot, Fleet, Zygote
from tests.faults.databases import Database, open_database
from tests.faults.faults import ENDS_A_BOT, MOMENTS, Fault, Kind, draw, order
from tests.faults.judge import Judge, Problem
from tests.faults.people import People
from tests.faults.plays import PEOPLE, PLAYS, REMINDERS, Play, apps
from tests.faults.points import Point, Points
from tests.faults.victim import SPEED

HOST = "127.0.0.1"
QUIET = 0.15
"""Seconds without a call to either platform, after which nothing more is expected to happen by itself."""
DRAIN = 15.0
"""Seconds that a bot gets to end after SIGTERM."""
TRIALS_PER_STAGE = 50
LEASE = 2.0
"""Seconds after which a process that does not answer is taken for dead."""


@dataclass(frozen=True)
class Order:
    """What a worker is to do."""

    seeds: Sequence[int]
    database: str | None = None
    """URL of a PostgreSQL server; None for a SQLite file."""
    processes: int = 1
    sabotage: str | None = None
    logs: str | None = None
    """A folder for the bots' logs."""
    patience: float = 30.0
    """Seconds after which a play that is not over has come to nothing."""
    calm: bool = False
    """Play every play once without a fault, to count its points."""


@dataclass
class Outcome:
    """What came of one trial."""

    seed: int
    play: str
    fault: str
    family: str
    kind: Kind
    struck: bool
    seconds: float
    problems: list[Problem] = field(default_factory=list)
    excused: list[str] = field(default_factory=list)
    points: dict[str, int] = field(default_factory=dict)
    again: bool = False
    """Judged once more when its stage was closed: what came late."""


class Stage:
    """Both platforms and the bots, for some trials one after the other."""

    def __init__(
        self,
        slack: SlackServer,
        dify: Dify,
        dify_server: DifyServer,
        database: Database,
        fleet: Fleet,
        points: Points,
    ) -> None:
        self.workspace, self.slack = slack.workspace, slack
        self.dify, self.dify_server, self.database = dify, dify_server, database
        self.fleet, self.points = fleet, points

    def new_channel(self, name: str) -> Channel:
        """Add a channel with everybody and the bot in it."""
        members = {person.id for person in self.workspace.people.values()} | {self.workspace.bot.user_id}
        channel = self.workspace.channels[name] = Channel(self.workspace.new_id("C"), name, members)
        return channel

    async def quiet(self) -> None:
        """Wait until nobody has called either platform for a while."""
        seen = -1
        while (calls := len(self.workspace.calls) + len(self.dify.requests)) != seen:
            seen = calls
            await asyncio.sleep(QUIET)


@asynccontextmanager
async def open_stage(order_: Order, zygote: Zygote, folder: Path) -> AsyncIterator[Stage]:
    """Start everything, with an empty database, and end it with the context."""
    workspace = Workspace(
        people=PEOPLE,
        channels={"content": (*PEOPLE, "bot")},
        scopes=SCOPES,
        events=EVENTS,
        rate_limits=RateLimits.off(),
        ack_timeout=1.5,
    )
    dify = Dify(apps().values(), speed=SPEED)
    points = Points.create(folder / "points")
    async with (
        SlackServer(workspace, HOST) as slack,
        DifyServer(dify, HOST) as dify_server,
        open_database(order_.database, folder) as database,
    ):
        tables = (
            f'[apps.{name}]\napi_key = "{app.key}"\nbase_url = "{dify_server.base_url}"' for name, app in apps().items()
        )
        (folder / "apps.toml").write_text("\n".join(tables))
        environment = {
            "PATH": os.environ.get("PATH", ""),
            "SLACK_BOT_TOKEN": workspace.bot_token,
            "SLACK_APP_TOKEN": workspace.app_token,
            "SLACK_API_URL": slack.api_url,
            "BOT_CONFIG": str(folder / "apps.toml"),
            "DATABASE_URL": database.url,
            "SLACK_RATE_FACTOR": str(min(workspace.rate_limits.factor, 1_000.0)),
            "POLL_INTERVAL": "1",
            "LEASE_SECONDS": str(LEASE),
            "REMINDERS": REMINDERS,
            "LOG_FORMAT": "json",
            "LOG_LEVEL": "INFO",
        }
        fleet = Fleet(
            zygote, workspace, environment, folder, folder / "points", order_.processes, sabotage=order_.sabotage
        )
        try:
            await fleet.start()
            yield Stage(slack, dify, dify_server, database, fleet, points)
        finally:
            await fleet.close()
            points.close()


class Trial:
    """One play with one fault."""

    def __init__(
        self, stage: Stage, seed: int, play: Play, fault: Fault, chance: random.Random, patience: float
    ) -> None:
        self._stage, self._fault, self._patience = stage, fault, patience
        self._fleet, self._points = stage.fleet, stage.points
        word = f"w{seed}q{secrets.token_hex(2)}"
        channel = stage.new_channel(f"trial-{word}")
        self.people = People(stage.workspace, stage.dify, channel, play, fault, chance, word)
        self.judge = Judge(self.people)
        self.outcome = Outcome(seed, play.name, str(fault), fault.family, fault.kind, False, 0.0)
        self.broken = False
        """Whether its bots did not come back, so that there is no use in another trial with them."""
        self._armed = False
        """Whether the last point that is to be deadly has been made so."""
        self._asked_to_end: asyncio.Future[int] | None = None
        self._replaced: set[asyncio.Future[int]] = set()

    async def play(self) -> Outcome:
        """Play it and judge it."""
        began = time.monotonic()
        stage, fault = self._stage, self._fault
        stage.dify.faults, stage.workspace.faults = DifyFaults(), SlackFaults()
        self._points.disarm()
        happened = order(fault, stage.workspace, stage.dify)
        if fault.point is not None:
            self._points.arm(fault.point, fault.number)
        self._armed = fault.kind is Kind.KILL
        strike = asyncio.create_task(self._strike())
        helpers = [strike, *map(asyncio.create_task, map(self._nurse, self._fleet.bots))]

        def is_over() -> bool:
            # Whoever is frozen has not had its last word.
            return (strike.done() or fault.kind is not Kind.FREEZE) and not self.judge.unfinished()

        try:
            await self.people.act(is_over, self._patience)
        finally:
            for helper in helpers:
                helper.cancel()
            ends = await asyncio.gather(*helpers, return_exceptions=True)
        for end in ends:
            if isinstance(end, Exception):
                raise end
        self.outcome.points = {point.name: count for point, count in self._points.counts.items()}
        self.outcome.struck = self.outcome.struck or self.people.met or happened()
        if fault.point is not None:
            # Of a kill that is to be followed by another one, that is the other one.
            self.outcome.struck = self._armed and not self._points.armed
        self._points.disarm()
        for bot in self._fleet.bots:
            bot.signal(signal.SIGCONT)
            if bot.ended is self._asked_to_end is not None:
                await self._drained(bot)
            self._bury(bot)
        try:
            await self._fleet.start()
        except RuntimeError as error:
            self.broken = True
            self.outcome.problems.append(Problem("bots_died", str(error)))
        await stage.quiet()
        self.outcome.problems += self.judge.problems()
        self.outcome.excused = self.judge.excused()
        self.outcome.seconds = time.monotonic() - began
        return self.outcome

    async def _strike(self) -> None:
        """Do to the bots at its moment what is to be done to them."""
        fault, bot = self._fault, self._fleet.bots[self._fault.victim]
        if fault.kind not in MOMENTS:
            return
        await asyncio.sleep(fault.at)
        match fault.kind:
            case Kind.KILL_ANY_TIME:
                self._struck(bot.is_running)
                await bot.kill()
            case Kind.TERMINATE:
                self._struck(bot.is_running)
                self._asked_to_end = bot.ended
                bot.signal(signal.SIGTERM)
            case Kind.FREEZE:
                self._struck(bot.is_running)
                bot.signal(signal.SIGSTOP)
                await asyncio.sleep(2.5 * LEASE)
                bot.signal(signal.SIGCONT)
                # It may carry out now what people have done again meanwhile.
                await asyncio.sleep(LEASE)
            case Kind.JOIN:
                await self._join(bot)
            case Kind.DIFY_AWAY:
                await self._take_away(self._stage.dify_server)
            case Kind.SLACK_AWAY:
                await self._take_away(self._stage.slack)
            case Kind.DATABASE_AWAY:
                async with self._stage.database.away():
                    self._struck()
                    await asyncio.sleep(fault.away or 0.0)
            case Kind.CUT_SOCKET:
                sockets = self._stage.slack.sockets
                self._struck(bool(sockets.connections))
                await (sockets.disconnect() if fault.how == "announced" else sockets.cut())

    def _struck(self, happened: bool = True) -> None:
        """Note whether the fault has taken hold of anything."""
        self.outcome.struck = happened

    async def _join(self, like: Bot) -> None:
        """Let a further process take part, and die in the middle of its work."""
        guest = like.twin("guest")
        connected = len(self._stage.slack.sockets.connections)
        try:
            await guest.start()
            await self.people.until(lambda: len(self._stage.slack.sockets.connections) > connected)
            self._struck()
            await asyncio.sleep(QUIET)
        finally:
            await guest.kill()

    async def _take_away(self, server: DifyServer | SlackServer) -> None:
        """Let a platform be unreachable, or a proxy answer in its place, for a while."""
        try:
            await server.down(int(self._fault.how) if self._fault.how else None)
            self._struck()
            await asyncio.sleep(self._fault.away or 0.0)
        finally:
            await server.up()

    async def _drained(self, bot: Bot) -> None:
        """Wait until a bot that was asked to end has done so."""
        assert bot.ended is not None
        done, _ = await asyncio.wait({bot.ended}, timeout=DRAIN)
        if not done:
            self.outcome.problems.append(Problem("bots_died", f"{bot.name} did not end within {DRAIN:.0f} s."))
            await bot.kill()

    async def _nurse(self, bot: Bot) -> None:
        """Start a bot again whenever it has ended, after the time it is to stay away."""
        again = 1
        while True:
            assert bot.ended is not None
            await asyncio.shield(bot.ended)
            self._bury(bot)
            away = self._fault.away if self._fault.kind in ENDS_A_BOT else 0.0
            if away is None:
                return
            await asyncio.sleep(away)
            if self._fault.kind is Kind.KILL_TWICE and again:
                again -= 1
                self._armed = True
                point, number = self._fault.how.split()
                self._points.arm(Point[point], int(number))
            await bot.start()

    def _bury(self, bot: Bot) -> None:
        """Note how a bot ended, if it did so by itself."""
        if bot.ended is None or not bot.ended.done() or bot.ended in self._replaced:
            return
        self._replaced.add(bot.ended)
        code = bot.ended.result()
        if code != (0 if bot.ended is self._asked_to_end else -signal.SIGKILL):
            words = self._fleet.last_words(bot.name).splitlines()
            sentence = f"{bot.name} ended by itself with exit code {code}; its last words: {words[-1:]}"
            self.outcome.problems.append(Problem("bots_died", sentence))


@asynccontextmanager
async def open_zygote(logs: str | None = None) -> AsyncIterator[Zygote]:
    """Start the process that forks the bots of all stages; its log is kept in the folder `logs`, if there is one."""
    with TemporaryDirectory(prefix="faults-") as scratch:
        async with Zygote(Path(logs or scratch) / f"zygote-{os.getpid()}.log") as zygote:
            yield zygote


async def play(order_: Order, zygote: Zygote) -> AsyncGenerator[Outcome, None]:
    """Play all trials of an order and judge each at its end, and once more when its stage closes."""
    with TemporaryDirectory(prefix="faults-") as scratch:
        seeds = deque(order_.seeds)
        while seeds:
            folder = Path(order_.logs or scratch) / f"stage-{os.getpid()}-{seeds[0]}"
            folder.mkdir()
            async with aclosing(_play_some(order_, zygote, folder, seeds)) as outcomes:
                async for outcome in outcomes:
                    yield outcome


async def _play_some(order_: Order, zygote: Zygote, folder: Path, seeds: deque[int]) -> AsyncGenerator[Outcome, None]:
    trials: list[Trial] = []
    async with open_stage(order_, zygote, folder) as stage:
        while seeds and len(trials) < TRIALS_PER_STAGE and not (trials and trials[-1].broken):
            seed = seeds.popleft()
            drawn, fault, chance = draw(seed, order_.processes)
            if order_.calm:
                drawn, fault = PLAYS[seed % len(PLAYS)], Fault(Kind.NOTHING)
            trial = Trial(stage, seed, drawn, fault, chance, order_.patience)
            trials.append(trial)
            yield await trial.play()
        for trial in trials:
            known = set(trial.outcome.problems)
            later = [each for each in trial.judge.problems() if each not in known]
            if later and not known:
                yield replace(trial.outcome, problems=later, excused=[], again=True)


def main() -> None:
    """Do what the only argument says, an `Order` as JSON."""
    with contextlib.suppress(KeyboardInterrupt, BrokenPipeError):
        asyncio.run(_main(Order(**json.loads(sys.argv[1]))))


async def _main(order_: Order) -> None:
    async with open_zygote(order_.logs) as zygote, aclosing(play(order_, zygote)) as outcomes:
        async for outcome in outcomes:
            sys.stdout.write(json.dumps(asdict(outcome)) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
