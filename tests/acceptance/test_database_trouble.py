"""The database takes nothing in: people are told at once, and nothing is acked that is not saved."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager

import pytest
from sqlalchemy import make_url

from bot.playground.scenarios import DONE, Scene
from bot.playground.stage import Stage, Transport

pytestmark = [pytest.mark.acceptance, pytest.mark.asyncio(loop_scope="module")]

NOT_SAVED = "could not save"


@pytest.fixture(scope="module")
def transport() -> Transport:
    """What the bot tells goes the same way over both."""
    return "http"


@contextmanager
def locked(stage: Stage) -> Iterator[None]:
    """Another program holds the database's write lock."""
    with closing(_connection(stage)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield


@contextmanager
def full(stage: Stage) -> Iterator[None]:
    """There is no room left for what is new."""
    tables = ("runs", "outbox", "inbox")
    with closing(_connection(stage)) as connection:
        for table in tables:
            connection.execute(
                f"CREATE TRIGGER full_{table} BEFORE INSERT ON {table} "
                "BEGIN SELECT RAISE(ROLLBACK, 'database or disk is full'); END"
            )
        try:
            yield
        finally:
            for table in tables:
                connection.execute(f"DROP TRIGGER full_{table}")


def _connection(stage: Stage) -> sqlite3.Connection:
    return sqlite3.connect(make_url(stage.database_url).database or "", isolation_level=None, timeout=10)


@pytest.fixture
def scene(new_scene: Callable[[], Scene]) -> Scene:
    """A scene in which the bot has reason to complain."""
    return new_scene()


TROUBLE = pytest.mark.parametrize("trouble", [full, locked], ids=["full", "locked"])
Trouble = Callable[[Stage], AbstractContextManager[None]]


@TROUBLE
async def test_command_is_refused_with_a_sentence(stage: Stage, scene: Scene, trouble: Trouble) -> None:
    """Nothing is started, now or later; the same command works afterwards."""
    with trouble(stage):
        result = await stage.workspace.person("ann").command(scene.channel, "/dify quick topic=tea")
        assert not result.acked
        await scene.told("ann", NOT_SAVED)
    root = await scene.start("ann", "/dify quick topic=coffee")
    await scene.reads(root, DONE, "coffee")
    assert len(stage.workspace.channel(scene.channel).roots) == len(scene.starts) == 1


@TROUBLE
async def test_click_is_refused_with_a_sentence(stage: Stage, scene: Scene, trouble: Trouble) -> None:
    """The form stays as it is, with what was entered; the same click works afterwards."""
    root = await scene.start("ann", "/dify two_forms topic=tea")
    form = await scene.form(root, "No")
    await scene.fill("ben", form, "note", "not today")
    with trouble(stage):
        result = await stage.workspace.person("ben").click(form, "No")
        assert not result.acked
        await scene.told("ben", NOT_SAVED)
        assert "No" in form.buttons
    assert scene.submits == []
    await scene.click("ben", form, "No")
    await scene.reads(form, "✅ No", "@ben", "not today")
    await scene.result(root, "first: not today")
    scene.check_answers(1)


async def test_run_goes_on_once_the_database_works(stage: Stage, scene: Scene) -> None:
    """What Dify says meanwhile is caught up with."""
    root = await scene.start("ann", "/dify two_forms topic=tea")
    form = await scene.form(root, "OK")
    with full(stage):
        await stage.dify.answer_elsewhere(scene.asked, "ok", {"note": "by mail"})
        await scene.until(lambda: stage.bot.complaints(), "the bot complains")
    await scene.reads(form, "✅", "answered")
    await scene.form(root, "OK", "Second review")
    scene.check_posts()
