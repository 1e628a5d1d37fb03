"""The bot between the two simulated platforms, each of the three a process of its own."""

from __future__ import annotations

import os
import sys
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import asyncpg

from bot.playground.bot_process import BotProcess, free_port
from bot.playground.stage import until_healthy
from tests.benchmarks import bare_listener, bare_loop, dify_side, slack_side
from tests.benchmarks.children import Child
from tests.benchmarks.dify_side import APPS

HOST = "127.0.0.1"
START_SECONDS = 300.0
"""A start that takes longer is given up."""
_POSTGRES = "postgresql://postgres@127.0.0.1:5432/postgres"
_STARTED_AT_ONCE = 50
_LOOK_EVERY = 0.005
"""Seconds between two looks for a bot that comes up: the start-up time is known to this."""


@dataclass(frozen=True)
class Platforms:
    """The simulated platforms, and what the bot has to know to reach them."""

    slack: Child
    dify: Child
    dify_url: str
    slack_of: dict[str, dict[str, str]]
    """For the workspaces `bot` and `bare`: `api_url`, `token`, `app_token`, `signing_secret`."""

    def new_bot(self, folder: Path, port: int, **settings: str) -> BotProcess:
        """Return a bot over HTTP that is not started yet, and keeps its database in `folder` unless set otherwise."""
        transport = {"SLACK_SIGNING_SECRET": self.slack_of["bot"]["signing_secret"], "HOST": HOST, "PORT": str(port)}
        ready = partial(until_healthy, f"http://{HOST}:{port}/healthz", _LOOK_EVERY)
        return self._new_bot(folder, {**transport, **settings}, ready)

    def new_bot_over_socket(self, folder: Path, database_url: str, number: int) -> BotProcess:
        """Return a bot that is not started yet, as the `number`-th to take its share of what people do."""
        settings = {"SLACK_APP_TOKEN": self.slack_of["bot"]["app_token"], "DATABASE_URL": database_url}
        return self._new_bot(folder, settings, partial(self.slack.call, "connected", count=number))

    def _new_bot(self, folder: Path, settings: Mapping[str, str], ready: Callable[[], Awaitable[object]]) -> BotProcess:
        apps = folder / "apps.toml"
        apps.write_text("\n".join(f'[apps.{app.name}]\napi_key = "{app.key}"' for app in APPS))
        slack = self.slack_of["bot"]
        environment = {
            "SLACK_BOT_TOKEN": slack["token"],
            "SLACK_API_URL": slack["api_url"],
            # The simulated workspace sets no limits: what is measured is the bot.
            "SLACK_RATE_FACTOR": "1000",
            "BOT_CONFIG": str(apps),
            "DIFY_BASE_URL": self.dify_url,
            "DIFY_MAX_STREAMS": "2000",
            "DATABASE_URL": sqlite_in(folder),
            "LOG_FORMAT": "json",
            **settings,
        }
        return BotProcess(environment, folder, ready, START_SECONDS)

    async def stream(self, app: str, runs: int) -> list[dict[str, str]]:
        """Start runs that stream for the rest of the measurement, and wait until the bot has got over that."""
        streams: list[dict[str, str]] = []
        while len(streams) < runs:
            more = min(_STARTED_AT_ONCE, runs - len(streams))
            await self.slack.call("start_runs", app=app, count=more)
            streams = await self.dify.call("running", count=len(streams) + more)
        await self.slack.call("settled")
        return streams


@dataclass(frozen=True)
class Rig:
    """The platforms and a bot that takes what people do over HTTP."""

    platforms: Platforms
    bot: BotProcess
    bare_listener: Child
    bare_loop: Child


def sqlite_in(folder: Path) -> str:
    """Return the URL of the database that a bot keeps in its folder."""
    return f"sqlite:///{folder / 'bot.sqlite3'}"


def check_bot(bot: BotProcess) -> None:
    """Refuse the numbers of a bot that logged an error: they may be those of a broken one.

    Raises:
        RuntimeError: with the first one.
    """
    if complaints := bot.complaints():
        raise RuntimeError(f"measured a bot in trouble: {complaints[0]}")


@asynccontextmanager
async def open_postgres() -> AsyncIterator[str | None]:
    """Give the URL of an empty database of its own; None where no server answers at `TEST_POSTGRES_URL`."""
    url = os.environ.get("TEST_POSTGRES_URL", _POSTGRES)
    try:
        server = await asyncpg.connect(url)
    except (OSError, asyncpg.PostgresError) as exc:
        print(f"left out, since no PostgreSQL server answers at TEST_POSTGRES_URL: {exc}", file=sys.stderr)  # noqa: T201
        yield None
        return
    name = f"bot_benchmark_{uuid.uuid4().hex}"
    try:
        await server.execute(f"CREATE DATABASE {name}")
        try:
            yield f"{url.rpartition('/')[0]}/{name}"
        finally:
            await server.execute(f"DROP DATABASE {name} WITH (FORCE)")
    finally:
        await server.close()


@asynccontextmanager
async def open_platforms() -> AsyncIterator[Platforms]:
    """Start both platforms."""
    async with Child(slack_side.__name__) as slack, Child(dify_side.__name__) as dify:
        yield Platforms(slack, dify, await dify.call("base_url"), await slack.call("addresses"))


@asynccontextmanager
async def open_rig() -> AsyncIterator[Rig]:
    """Start everything anew: platforms, a bot with an empty database, and what it is compared with.

    Raises:
        RuntimeError: the bot logged an error meanwhile, so that its numbers may be those of a broken one.
    """
    with TemporaryDirectory(prefix="benchmark-") as folder:
        async with (
            open_platforms() as platforms,
            Child(bare_listener.__name__) as listener,
            Child(bare_loop.__name__) as loop,
        ):
            port = free_port(HOST)
            async with platforms.new_bot(Path(folder), port) as bot:
                slack = platforms.slack
                await slack.call("deliver", name="bot", url=f"http://{HOST}:{port}/slack/events")
                await slack.call(
                    "deliver", name="bare", url=await listener.call("listen", **platforms.slack_of["bare"])
                )
                yield Rig(platforms, bot, listener, loop)
                check_bot(bot)
