"""A fresh database per test, of both kinds."""

from __future__ import annotations

import os
import uuid
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import asyncpg
import pytest

from bot.store.sql import SqlStore, open_store

LEASE = timedelta(minutes=5)
TEST_POSTGRES_URL = os.environ.get("TEST_POSTGRES_URL", "postgresql://postgres@127.0.0.1:5432/postgres")


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """The URL of a file that does not exist yet."""
    return f"sqlite:///{tmp_path / 'bot.sqlite3'}"


@pytest.fixture
async def postgres_url() -> AsyncIterator[str]:
    """The URL of an empty database, dropped after the test."""
    try:
        server = await asyncpg.connect(TEST_POSTGRES_URL)
    except (OSError, asyncpg.PostgresError) as exc:
        pytest.skip(f"no PostgreSQL server answers at TEST_POSTGRES_URL: {exc}")
    name = f"bot_test_{uuid.uuid4().hex}"
    try:
        await server.execute(f"CREATE DATABASE {name}")
        yield TEST_POSTGRES_URL.rpartition("/")[0] + f"/{name}"
        await server.execute(f"DROP DATABASE {name} WITH (FORCE)")
    finally:
        await server.close()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def database_url(request: pytest.FixtureRequest) -> str:
    """The URL of an empty database, once of each kind."""
    url: str = request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgres_url")
    return url


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[SqlStore]:
    """An empty store, once over each kind of database, of a process that works."""
    async with open_store(database_url) as opened:
        await opened.join(LEASE)
        yield opened
