"""How the two databases are opened and asked, and the few places where they differ.

All SQL of the store is written once, as plain functions of a connection. PostgreSQL runs them over asyncpg. SQLite runs
each of them as a whole in a thread: an asynchronous driver would change threads three or four times for every
statement, and that made saving a click three times as slow as the SQL itself.
"""

from __future__ import annotations

import asyncio
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.ext.asyncio import create_async_engine

from bot.errors import ConfigError, StoreError

T = TypeVar("T")
Work = Callable[[Connection], T]

_BUSY_SECONDS = 30
"""How long SQLite waits for a writer of another process."""


def connect(database_url: str) -> Database:
    """Return the database of `sqlite:///FILE` or `postgresql://…`; a new file is readable by its owner alone.

    Raises:
        ConfigError: the URL is none of these, the file cannot be made, or the driver is not installed.
    """
    try:
        url = make_url(database_url)
    except ArgumentError as exc:
        raise ConfigError("DATABASE_URL is not a database URL: write sqlite:///FILE or postgresql://…") from exc
    match url.get_backend_name():
        case "sqlite":
            return SqliteDatabase(url)
        case "postgresql" | "postgres":
            return PostgresqlDatabase(url)
        case other:
            raise ConfigError(f"DATABASE_URL names {other}: the bot keeps its state in sqlite or postgresql")


class Database(ABC):
    """A database of one of the two kinds."""

    insert: Callable[..., Any]
    """The dialect's INSERT, which knows ON CONFLICT."""
    many_writers: bool
    """Other transactions may write while one does: a row that is read to be changed has to be locked."""

    @abstractmethod
    async def read(self, work: Work[T]) -> T:
        """Let `work` execute one SELECT, which sees one moment of the database.

        Raises:
            StoreError: the database refused or could not be reached.
        """

    @abstractmethod
    async def write(self, work: Work[T]) -> T:
        """Let `work` execute statements in one transaction: all of them count, or none where it raises.

        Raises:
            StoreError: the database refused or could not be reached.
        """

    @abstractmethod
    def lock(self, connection: Connection, number: int) -> None:
        """Make other processes that ask for the same number wait until this transaction ends."""

    @abstractmethod
    async def close(self) -> None:
        """Close every connection, after what is under way."""


class SqliteDatabase(Database):
    """One file, one thread that writes and one that reads meanwhile."""

    insert = staticmethod(sqlite.insert)
    many_writers = False

    def __init__(self, url: URL) -> None:
        self._engine = _sqlite_engine(url)
        # Only writers begin: a lone SELECT is a transaction of its own.
        self._writing_engine = self._engine.execution_options()
        event.listen(self._writing_engine, "begin", _begin_immediate)
        # SQLite lets a second writer sleep and try again; in a queue, nobody waits longer than needed.
        self._writer = ThreadPoolExecutor(1, "store-write")
        self._reader = ThreadPoolExecutor(1, "store-read")

    async def read(self, work: Work[T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._reader, self._read, work)

    async def write(self, work: Work[T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._writer, self._write, work)

    def lock(self, connection: Connection, number: int) -> None:
        """Nothing to do: the transaction holds the only write lock."""

    async def close(self) -> None:
        for thread in (self._reader, self._writer):
            await asyncio.to_thread(thread.shutdown)
        self._engine.dispose()

    def _read(self, work: Work[T]) -> T:
        with _store_errors(), self._engine.connect() as connection:
            return work(connection)

    def _write(self, work: Work[T]) -> T:
        with _store_errors(), self._writing_engine.begin() as connection:
            return work(connection)


class PostgresqlDatabase(Database):
    """A server that any number of processes share."""

    insert = staticmethod(postgresql.insert)
    many_writers = True

    def __init__(self, url: URL) -> None:
        # Hosts hand out libpq's spelling; asyncpg calls the same setting `ssl`.
        query = {"ssl" if name == "sslmode" else name: value for name, value in url.query.items()}
        try:
            self._engine = create_async_engine(
                url.set(drivername="postgresql+asyncpg", query=query),
                hide_parameters=True,
                # A connection that died with the server's restart is noticed here, not by the first click.
                pool_pre_ping=True,
            )
        except ImportError as exc:
            raise ConfigError(
                "DATABASE_URL names PostgreSQL, whose driver is missing: pip install 'dify-slack-bot[postgres]'"
            ) from exc
        self._reading_engine = self._engine.execution_options(isolation_level="AUTOCOMMIT")

    async def read(self, work: Work[T]) -> T:
        with _store_errors():
            async with self._reading_engine.connect() as connection:
                return await connection.run_sync(work)

    async def write(self, work: Work[T]) -> T:
        with _store_errors():
            async with self._engine.begin() as connection:
                return await connection.run_sync(work)

    def lock(self, connection: Connection, number: int) -> None:
        """Take the advisory lock of the transaction."""
        connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": number})

    async def close(self) -> None:
        await self._engine.dispose()


def _sqlite_engine(url: URL) -> Engine:
    if not url.database or url.database == ":memory:":
        raise ConfigError("DATABASE_URL names no file: write sqlite:///FILE, since what is in memory is lost")
    try:
        # Form tokens are in there. SQLite gives its companion files the mode of the database.
        os.close(os.open(Path(url.database), os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as exc:
        raise ConfigError(f"DATABASE_URL: {url.database} cannot be opened: {exc.strerror}") from exc
    engine = create_engine(url.set(drivername="sqlite"), hide_parameters=True, connect_args={"timeout": _BUSY_SECONDS})
    event.listen(engine, "connect", _prepare_sqlite)
    return engine


def _prepare_sqlite(connection: Any, record: Any) -> None:
    # The driver begins nothing by itself, `_begin_immediate` does.
    # https://docs.sqlalchemy.org/en/20/dialects/sqlite.html#sqlite-transactions
    connection.isolation_level = None
    connection.execute("PRAGMA journal_mode = WAL")
    # In WAL mode, NORMAL would let a power cut take back what was acknowledged.
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")


def _begin_immediate(connection: Connection) -> None:
    # Taking the write lock first leaves nothing to upgrade: a transaction that reads and then writes fails at once,
    # without waiting, where another process wrote in between.
    connection.exec_driver_sql("BEGIN IMMEDIATE")


@contextmanager
def _store_errors() -> Iterator[None]:
    """Turn what SQLAlchemy and the drivers raise into `StoreError`, without the values of the statement."""
    try:
        yield
    except SQLAlchemyError as exc:
        raise StoreError(f"the database refused: {getattr(exc, 'orig', None) or exc}") from exc
    except OSError as exc:
        raise StoreError(f"the database cannot be reached: {exc}") from exc
