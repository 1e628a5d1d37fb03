"""The whole bot in this process: it comes up, works, says what keeps it from that, and goes down."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator, MutableMapping
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import AnyHttpUrl, SecretStr

from bot.bootstrap import at_work, healthy, migrate, serve
from bot.errors import ConfigError, SlackUnavailable
from bot.playground.bot_process import free_port
from bot.playground.dify import Dify as DifySimulator
from bot.playground.dify import DifyServer
from bot.playground.dify.apps import quick, two_forms
from bot.playground.slack import RateLimits, SlackServer, Workspace
from bot.playground.slack.faults import CallFault, LostResponse, RateLimited, ServerError
from bot.settings import AppSettings, Settings
from tests.services.conftest import logged, stage
from tests.services.stage import Stage

__all__ = ["logged", "stage"]

HOST = "127.0.0.1"
APPS = (quick(), two_forms())


@dataclass(frozen=True)
class World:
    """Both platforms, and settings that fit them."""

    workspace: Workspace
    slack: SlackServer
    dify: DifySimulator
    settings: Settings
    file: Path

    def changed(self, **changes: Any) -> Settings:
        """The settings with changes."""
        return self.settings.model_copy(update=changes)

    @asynccontextmanager
    async def served(self, **changes: Any) -> AsyncIterator[None]:
        """Run the bot with these changes of its settings, until the context ends."""
        stop = asyncio.Event()
        bot = asyncio.create_task(serve(self.changed(**changes), stop))
        connected = asyncio.create_task(self.workspace.wait_for(lambda: self.slack.sockets.connections))
        await asyncio.wait({bot, connected}, return_when=asyncio.FIRST_COMPLETED)
        try:
            connected.cancel()
            yield
        finally:
            stop.set()
            await bot


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """Both platforms, without the bot."""
    workspace = Workspace(
        people=["ann", "ben"], channels={"content": ["ann", "ben", "bot"]}, rate_limits=RateLimits.off()
    )
    dify = DifySimulator(APPS, speed=50)
    file = tmp_path / "bot.sqlite3"
    async with SlackServer(workspace) as slack, DifyServer(dify) as server:
        settings = Settings(
            _env_file=None,
            slack_bot_token=workspace.bot_token,
            slack_app_token=workspace.app_token,
            slack_signing_secret=workspace.signing_secret,
            slack_api_url=slack.api_url,
            database_url=f"sqlite:///{file}",
            host=HOST,
            port=0,
        ).with_apps({app.name: AppSettings(api_key=app.key, base_url=server.base_url) for app in APPS})
        yield World(workspace, slack, dify, settings, file)


@contextmanager
def sql(file: Path) -> Iterator[sqlite3.Connection]:
    """The database as an admin reaches it."""
    with closing(sqlite3.connect(file, timeout=10)) as database, database:
        yield database


async def test_the_bot_works_from_a_command_to_the_result(world: World) -> None:
    async with world.served():
        assert (await world.workspace.person("ann").command("content", "/dify quick topic=tea")).acked
        root = await world.workspace.wait_for(lambda: world.workspace.find(channel="content", text="Done"))
        await world.workspace.wait_for(lambda: world.workspace.find(thread=root.ts, text="tea"))
    assert world.workspace.refused == []
    assert world.slack.sockets.connections == []


async def test_the_alarm_rings_for_runs_that_wait(world: World) -> None:
    """Nobody presses anything in Slack: what was answered elsewhere is learnt by asking, when it is time to."""
    async with world.served(poll_interval=0.05):
        await world.workspace.person("ann").command("content", "/dify two_forms topic=tea")
        form = await world.workspace.wait_for(lambda: world.workspace.find(channel="content", button="OK"))
        await world.dify.answer_elsewhere(world.dify.open_forms()[0], "no", {"note": ""})
        await world.workspace.wait_for(lambda: "answered" in form.shown)


# --- what keeps it from starting -------------------------------------------------------------------------------------


async def test_a_bot_token_that_slack_refuses_is_a_wrong_setting(world: World) -> None:
    with pytest.raises(
        ConfigError, match=r"^SLACK_BOT_TOKEN is refused by Slack \(invalid_auth\): .*OAuth & Permissions"
    ):
        await serve(world.changed(slack_bot_token=SecretStr("xoxb-revoked")), asyncio.Event())


@pytest.mark.parametrize("fault", [ServerError(503), RateLimited(1), LostResponse()], ids=repr)
async def test_an_outage_of_slack_is_no_wrong_setting(world: World, fault: CallFault) -> None:
    """The same command works later."""
    world.workspace.faults.add("auth.test", fault, times=5)
    with pytest.raises(SlackUnavailable, match=f"^Slack cannot be reached at {world.slack.api_url}"):
        await serve(world.settings, asyncio.Event())


async def test_a_slack_that_nobody_answers_for_is_no_wrong_setting(world: World) -> None:
    nowhere = AnyHttpUrl(f"http://{HOST}:{free_port(HOST)}/api/")
    with pytest.raises(SlackUnavailable, match=f"^Slack cannot be reached at {nowhere}"):
        await serve(world.changed(slack_api_url=nowhere), asyncio.Event())


async def test_a_second_bot_over_one_file_is_a_wrong_setting(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would carry out what the first one is about; nothing of that is disturbed."""
    monkeypatch.setattr("bot.store.database._SUCCESSION", 0.1)
    async with world.served():
        with pytest.raises(ConfigError, match="another dify-slack-bot is using this database"):
            await serve(world.settings, asyncio.Event())
        assert (await world.workspace.person("ann").command("content", "/dify quick topic=tea")).acked
        await world.workspace.wait_for(lambda: world.workspace.find(channel="content", text="Done"))


async def test_a_bot_that_stops_leaves_its_place_to_the_next_at_once(world: World) -> None:
    for _ in range(2):
        async with world.served():
            pass
    with sql(world.file) as database:
        assert database.execute("SELECT count(*) FROM processes").fetchone() == (0,)


async def test_the_beat_takes_up_what_the_alarm_does_not_know_of(stage: Stage) -> None:
    """Say, what another process left behind, or a moment that passed while the machine slept."""
    async with at_work(replace(stage.parts, lease=timedelta(seconds=0.3)), asyncio.Event()):
        with stage.sql() as database:
            database.execute(
                "INSERT INTO outbox (post_id, lane, kind, payload, state, owner, attempts, due_at, created_at) "
                "VALUES ('p', 'dify', 'CheckCommand', '{}', 'sending', 'gone', 1, '2026-01-01', '2026-01-01')"
            )
        await stage.until(lambda: [row.state for row in stage.outbox()] == ["failed"])


async def test_what_fails_late_leaves_nothing_running(world: World) -> None:
    """The app-level token is tried last, when everything else is at work."""
    with pytest.raises(ConfigError, match="SLACK_APP_TOKEN"):
        await serve(world.changed(slack_app_token=SecretStr("xapp-revoked")), asyncio.Event())
    assert {task.get_name() for task in asyncio.all_tasks()}.isdisjoint({"outbox", "alarm", "beat", "progress writer"})


async def test_a_worker_that_dies_takes_the_bot_with_it(world: World) -> None:
    """Without it nothing would be carried out any more, and nobody would notice."""
    await migrate(world.settings.database_url)
    with sql(world.file) as database:
        database.execute(
            "INSERT INTO outbox (post_id, lane, kind, payload, state, attempts, due_at, created_at) "
            "VALUES ('p', 'slack', 'PostRoot', '{}', 'pending', 0, '2026 no date', '2026-01-01')"
        )
    with pytest.raises(ValueError, match="no date"):
        async with asyncio.timeout(10):
            await serve(world.settings, asyncio.Event())


# --- what may be away for a while ------------------------------------------------------------------------------------


async def test_the_bot_is_healthy_while_its_database_answers(stage: Stage) -> None:
    assert await healthy(stage.store)
    with sql(stage.file) as database:
        database.execute("ALTER TABLE runs RENAME TO gone")
    assert not await healthy(stage.store)
    with sql(stage.file) as database:
        database.execute("ALTER TABLE gone RENAME TO runs")
    assert await healthy(stage.store)


async def test_deliveries_are_forgotten_after_a_day_even_if_the_database_refuses_at_first(
    stage: Stage, logged: list[MutableMapping[str, Any]]
) -> None:
    """Slack's last retry comes within minutes; nobody else needs them."""

    def remembered() -> int:
        with sql(stage.file) as database:
            (count,) = database.execute("SELECT count(*) FROM inbox").fetchone()
            return int(count)

    async with stage.working():
        await stage.paused("two_forms topic=tea")
        await stage.settled()
        with stage.refusing("DELETE ON inbox"):
            await stage.later(days=1, minutes=1)
            await stage.until(lambda: any(entry["event"] == "the database is away" for entry in logged))
        assert remembered() == 1
        await stage.later(seconds=5)
        await stage.until(lambda: remembered() == 0)


async def test_migrate_brings_a_database_up_to_date(tmp_path: Path) -> None:
    """As often as one likes."""
    for _ in range(2):
        await migrate(f"sqlite:///{tmp_path / 'bot.sqlite3'}")
    with sql(tmp_path / "bot.sqlite3") as database:
        tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert {"runs", "forms", "outbox", "inbox", "processes", "follows"} <= tables


async def test_a_database_that_cannot_be_opened_is_a_wrong_setting(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="DATABASE_URL"):
        await migrate(f"sqlite:///{tmp_path / 'nowhere' / 'bot.sqlite3'}")
