"""The database that the bots of a stage share, and how it goes away for a moment."""

from __future__ import annotations

import secrets
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing, contextmanager
from pathlib import Path

import asyncpg

_TABLES = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'"
_CHANGES = ("INSERT", "UPDATE", "DELETE")


class Database(ABC):
    """An empty database."""

    def __init__(self, url: str) -> None:
        self.url = url
        """What the bots are told."""

    @abstractmethod
    def away(self) -> AbstractAsyncContextManager[None]:
        """Let nobody write meanwhile."""


class File(Database):
    """A SQLite file, which takes nothing down meanwhile, like one on a full disk."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"sqlite:///{path}")
        self._path = path

    @asynccontextmanager
    async def away(self) -> AsyncIterator[None]:
        # Waits for no more than one transaction of a bot.
        with closing(sqlite3.connect(self._path, timeout=5, isolation_level=None)) as connection:
            found = connection.execute(_TABLES).fetchall()
            refusals = [(f"refuse_{verb}_{table}", verb, table) for (table,) in found for verb in _CHANGES]
            refusal = "BEGIN SELECT RAISE(ABORT, 'disk full'); END"
            try:
                with _transaction(connection):
                    for name, verb, table in refusals:
                        connection.execute(f"CREATE TRIGGER {name} BEFORE {verb} ON {table} {refusal}")
                yield
            finally:
                with _transaction(connection):
                    for name, _, _ in refusals:
                        connection.execute(f"DROP TRIGGER IF EXISTS {name}")


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    with connection:
        connection.execute("BEGIN IMMEDIATE")
        yield


class Server(Database):
    """A database of a PostgreSQL server, which may close the connections to it and take none."""

    def __init__(self, url: str, name: str, server: asyncpg.Connection) -> None:
        super().__init__(url)
        self._name, self._server = name, server

    @asynccontextmanager
    async def away(self) -> AsyncIterator[None]:
        try:
            await self._server.execute(f"ALTER DATABASE {self._name} ALLOW_CONNECTIONS false")
            await self._server.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", self._name
            )
            yield
        finally:
            await self._server.execute(f"ALTER DATABASE {self._name} ALLOW_CONNECTIONS true")


@asynccontextmanager
async def open_database(server_url: str | None, folder: Path) -> AsyncIterator[Database]:
    """Make a file in a folder, or a database beside the one that is named; it is dropped at the end."""
    if server_url is None:
        yield File(folder / "bot.sqlite3")
        return
    name = f"bot_faults_{secrets.token_hex(8)}"
    server = await asyncpg.connect(server_url)
    try:
        await server.execute(f"CREATE DATABASE {name}")
        try:
            yield Server(server_url.rpartition("/")[0] + f"/{name}", name, server)
        finally:
            await server.execute(f"DROP DATABASE {name} WITH (FORCE)")
    finally:
        await server.close()
