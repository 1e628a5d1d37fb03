"""The steps lead to the tables that the code expects, however often and from wherever they are applied."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, ForeignKeyConstraint, UniqueConstraint, inspect, select

from bot.core.effects import PostAnswer
from bot.errors import StoreError
from bot.store.database import connect
from bot.store.migrations import migrate
from bot.store.sql import open_store
from bot.store.tables import metadata, runs
from tests.factories import NOW, make_run
from tests.store.conftest import LEASE

EARLIER = Path(__file__).parents[1] / "data" / "store"
"""Databases as the bot left them whose last step was the one that a file is named after."""


def differences(connection: Connection) -> list[object]:
    """Return what Alembic would change to turn the database's tables into ours."""
    context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
    return list(compare_metadata(context, metadata))


def constraint_names(connection: Connection) -> set[str | None]:
    """Return the names by which a later step can change a constraint; Alembic does not compare them."""
    inspector = inspect(connection)
    return {
        constraint["name"]
        for table in metadata.tables
        for constraint in (*inspector.get_foreign_keys(table), *inspector.get_unique_constraints(table))
    }


async def test_the_steps_lead_to_the_tables_of_this_version(database_url: str) -> None:
    database = connect(database_url)
    await migrate(database)
    assert await database.read(differences) == []
    assert await database.read(constraint_names) == {
        constraint.name
        for table in metadata.tables.values()
        for constraint in table.constraints
        if isinstance(constraint, ForeignKeyConstraint | UniqueConstraint)
    }
    await database.close()


async def test_steps_that_were_applied_are_not_applied_again(database_url: str) -> None:
    async with open_store(database_url) as store:
        await store.add_run(make_run(), [], NOW)
    async with open_store(database_url) as store:
        assert await store.run("run-1") == make_run()


async def test_a_database_of_an_earlier_version_is_brought_up_with_what_is_in_it(tmp_path: Path) -> None:
    """A step that an installed database has behind it is never changed: what it lacks takes a step of its own."""
    path = tmp_path / "bot.sqlite3"
    with closing(sqlite3.connect(path)) as earlier:
        earlier.executescript((EARLIER / "0002.sql").read_text(encoding="utf-8"))
    database = connect(f"sqlite:///{path}")
    await migrate(database)
    assert await database.read(differences) == []
    await database.close()
    async with open_store(f"sqlite:///{path}") as store:
        await store.join(LEASE)
        run = await store.run("run-1")
        assert (run.root_ts, run.suggestions, [form.form_id for form in run.forms]) == (run.thread_ts, (), ["form-1"])
        assert (run.said_at, run.is_answering) == (run.created_at, True)
        assert await store._database.read(lambda connection: connection.scalar(select(runs.c.is_answering)))
        assert await store.conversation("C1", "1700000000.000100") == (run,)
        assert [saved.effect for saved in await store.claim_effects(NOW, 10)] == [PostAnswer()]


async def test_processes_that_start_at_once_apply_the_steps_once(database_url: str) -> None:
    async def start() -> None:
        async with open_store(database_url) as store:
            await store.add_run(make_run(), [], NOW)

    async with asyncio.TaskGroup() as processes:
        for _ in range(4):
            processes.create_task(start())
    async with open_store(database_url) as store:
        assert await store.run("run-1") == make_run()


async def test_steps_are_applied_all_or_none(database_url: str) -> None:
    """A table that is in the way stops the last step of all; the others leave nothing behind."""
    database = connect(database_url)
    await database.write(lambda connection: connection.exec_driver_sql("CREATE TABLE inbox (other INTEGER)"))
    with pytest.raises(StoreError, match="inbox"):
        await migrate(database)
    assert await database.read(lambda connection: inspect(connection).get_table_names()) == ["inbox"]
    await database.close()
