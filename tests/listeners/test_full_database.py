"""The database is full: who did something gets a sentence, nothing is acked, and the next click works."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, closing
from pathlib import Path

import pytest
from sqlalchemy import Connection

from bot import transports
from bot.core.model import FormStatus, RunStatus
from bot.playground.dify.apps import all_apps, slow
from bot.playground.slack import Result
from bot.slack.messages import notices
from tests.listeners.conftest import bolt_app_of
from tests.services.stage import CHANNEL, PATIENCE, SPEED, Stage, open_stage

HOST = "127.0.0.1"
NO_LIMIT = 2**30
CONNECTIONS = 10
"""More than the bot keeps open to its database."""


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    """Both platforms, with an app that takes its time."""
    apps = [app for app in all_apps() if app.name != "slow"]
    async with open_stage(tmp_path, [*apps, slow(steps=2, seconds=60 * SPEED)]) as stage:
        yield stage


@pytest.fixture(params=["socket", "http"])
async def bot(stage: Stage, request: pytest.FixtureRequest) -> AsyncIterator[Stage]:
    """The bot at work, which Slack reaches over the network."""
    app = bolt_app_of(stage)
    async with AsyncExitStack() as stack:
        if request.param == "socket":
            await stack.enter_async_context(transports.socket_mode(app, stage.workspace.app_token, stage.client))
        else:
            port = await stack.enter_async_context(transports.http(app, HOST, 0, healthy))
            await stage.slack.deliver_over_http(f"http://{HOST}:{port}/slack/events")
        await stack.enter_async_context(stage.working())
        yield stage


async def healthy() -> bool:
    return True


async def limit_pages(stage: Stage, pages: int) -> None:
    """Let the bot's database grow to so many pages, and not beyond."""

    def limit(connection: Connection) -> None:
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")

    for _ in range(CONNECTIONS):
        await stage.database.write(limit)


@asynccontextmanager
async def full(stage: Stage) -> AsyncIterator[None]:
    """Fill the database to the last byte that a delivery could take, and empty it again."""
    # Each row is a transaction of its own: SQLite may undo the whole of the one that finds it full.
    with closing(sqlite3.connect(stage.file, timeout=10, isolation_level=None)) as database:
        (pages,) = database.execute("PRAGMA page_count").fetchone()
        await limit_pages(stage, pages)
        database.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(sqlite3.OperationalError, match="full"):
            fill(database)
        yield
        await limit_pages(stage, NO_LIMIT)
        database.execute("DELETE FROM inbox WHERE delivery LIKE '~%'")


def fill(database: sqlite3.Connection) -> None:
    """Take note of made-up deliveries until there is no room for another one."""
    for number in itertools.count():
        database.execute("INSERT INTO inbox VALUES (?, '2026-01-01 00:00:00.000000')", (f"~{number:04}",))


async def tried_while_full(stage: Stage, user: str, act: Callable[[], Awaitable[Result]]) -> None:
    """Act: it is not acked, and the person is told."""
    async with full(stage):
        stage.workspace.ack_timeout = 3.0
        assert not (await act()).acked
        stage.workspace.ack_timeout = PATIENCE
        await stage.told(user, notices.NOT_SAVED)


async def test_a_command(bot: Stage) -> None:
    ann = bot.workspace.person("ann")
    # Longer than what a page that is not quite full may have left.
    long_command = f"/dify quick {' ' * 5_000}topic=tea"
    await tried_while_full(bot, "ann", lambda: ann.command(CHANNEL, long_command))
    assert bot.requests("POST", "/workflows/run") == []
    assert (await ann.command(CHANNEL, "/dify quick topic=tea")).acked
    await bot.workspace.wait_for(lambda: bot.workspace.find(channel=CHANNEL, text="Done"))
    assert len(bot.requests("POST", "/workflows/run")) == 1


async def test_a_click_on_a_form(bot: Stage) -> None:
    run = await bot.paused("two_forms topic=tea")
    await bot.settled()
    ben, form = bot.workspace.person("ben"), bot.thread(run)[0]
    await tried_while_full(bot, "ben", lambda: ben.click(form, "No"))
    assert (await bot.store.run(run.run_id)).forms[0].status is FormStatus.OPEN
    assert (await ben.click(form, "No")).acked
    await bot.in_status(run.run_id, RunStatus.SUCCEEDED)
    assert len(bot.submits()) == 1


async def test_a_click_on_stop(bot: Stage) -> None:
    run = await bot.in_status(await bot.ask("slow topic=tea"), RunStatus.RUNNING)
    root = await bot.workspace.wait_for(lambda: bot.workspace.find(button="Stop"))
    await bot.settled()
    cleo = bot.workspace.person("cleo")
    await tried_while_full(bot, "cleo", lambda: cleo.click(root, "Stop"))
    assert (await bot.store.run(run.run_id)).stop_requested_by is None
    assert (await cleo.click(root, "Stop")).acked
    await bot.in_status(run.run_id, RunStatus.STOPPED)
