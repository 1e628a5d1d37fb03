"""How the two databases are opened and asked, and the few places where they differ.

All SQL of the store is written once, as plain functions of a connection. PostgreSQL runs them over asyncpg. SQLite runs
each of them as a whole in a thread: an asynchronous driver would change threads three or four times for every
statement, and that made saving a click three times as slow as the SQL itself.
"""

from __future__ import annotations

import asyncio
import fcntl
import math
import os
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar

import structlog
from sqlalchemy import URL, ColumnElement, Connection, Engine, create_engine, event, false, func, make_url, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.ext.asyncio import create_async_engine

from bot.errors import ConfigError, StoreError
from bot.store.tables import processes

log = structlog.get_logger(__name__)

T = TypeVar("T")
Work = Callable[[Connection], T]
_Line = deque[Callable[[], None]]

_ACK_SECONDS = 1.5
"""How long what is acked once it is saved may take, or wait: Slack wants its ack within 3 s (slack-platform §9.1)."""

_ANSWER_SECONDS = 15.0
"""How long a database gets for the rest, from connection to commit: a partition must hang no beat for ever."""

_MIGRATION_SECONDS = 600.0
"""How long PostgreSQL gets to change every row, or to let others do so that have begun."""

_SUCCESSION = 15.0
"""Seconds that a process waits for the one before it to drain and to leave an SQLite database."""

_TURNS = 150
"""How often it looks meanwhile."""


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
    lapsed: ColumnElement[bool]
    """Of a row of `processes`: whether its lease has lapsed, by a clock that all processes share."""

    @abstractmethod
    async def read(self, work: Work[T]) -> T:
        """Let `work` execute one SELECT, which sees one moment of the database.

        Raises:
            StoreError: the database refused or could not be reached.
        """

    @abstractmethod
    async def write(self, work: Work[T], *, before_ack: bool = False) -> T:
        """Let `work` execute statements in one transaction: all of them count, or none where it raises.

        `before_ack` says that Slack waits for it: it goes ahead of what can wait, and is refused in time for somebody
        to be told. Only of a commit that was sent and not answered is unknown whether it counts.

        Raises:
            StoreError: the database refused, could not be reached or took too long.
        """

    @abstractmethod
    async def migrate(self, work: Work[None]) -> None:
        """Like `write`, with the time that changing every row takes, or waiting for another process that is at it."""

    @abstractmethod
    def lock(self, connection: Connection, number: int) -> None:
        """Make other processes that ask for the same number wait until this transaction ends."""

    @abstractmethod
    async def occupy(self) -> None:
        """Keep other processes out until `vacate`, where the database is for one process at a time.

        Raises:
            ConfigError: another one is in, and does not leave.
        """

    @abstractmethod
    async def vacate(self) -> None:
        """Let another process in."""

    @abstractmethod
    async def close(self) -> None:
        """Close every connection, after what is under way, and let another process in."""


class SqliteDatabase(Database):
    """One file, one thread that writes and one that reads meanwhile."""

    insert = staticmethod(sqlite.insert)
    many_writers = False
    # The lock on the file beside it is the lease.
    lapsed = false()

    def __init__(self, url: URL) -> None:
        # Not the database itself: closing that once would drop all of SQLite's own locks on it (POSIX locks).
        self._lock_file = f"{url.database}.lock"
        self._lock: int | None = None
        self._engine = _sqlite_engine(url)
        # Only writers begin: a lone SELECT is a transaction of its own.
        self._writing_engine = self._engine.execution_options()
        event.listen(self._writing_engine, "begin", _begin_immediate)
        # SQLite lets a second writer sleep and try again; in a queue, nobody waits longer than needed.
        self._writer = ThreadPoolExecutor(1, "store-write")
        self._reader = ThreadPoolExecutor(1, "store-read")
        self._before_acks: _Line = deque()
        self._others: _Line = deque()
        self._lining_up = Lock()
        """Held so that there are as many turns as there are takers, also where no taker is let in any more."""

    async def read(self, work: Work[T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._reader, self._read, work)

    async def write(self, work: Work[T], *, before_ack: bool = False) -> T:
        line, seconds = (self._before_acks, _ACK_SECONDS) if before_ack else (self._others, _ANSWER_SECONDS)
        # Nobody waits longer for another program, since who waits for an ack may stand behind.
        return await self._write_within(seconds, _ACK_SECONDS, line, work)

    async def migrate(self, work: Work[None]) -> None:
        await self._write_within(_ANSWER_SECONDS, _ANSWER_SECONDS, self._others, work)

    async def _write_within(self, seconds: float, lock_seconds: float, line: _Line, work: Work[T]) -> T:
        """Write, unless the line and the lock together take longer; what has begun then may take its time."""
        until = time.monotonic() + seconds
        written: Future[T] = Future()

        def turn() -> None:
            if not written.set_running_or_notify_cancel():
                return
            try:
                written.set_result(self._write(work, until, lock_seconds))
            except BaseException as exc:
                written.set_exception(exc)

        with self._lining_up:
            self._writer.submit(self._take_turn)
            line.append(turn)
        return await asyncio.wrap_future(written)

    def _take_turn(self) -> None:
        with self._lining_up:
            turn = (self._before_acks or self._others).popleft()
        turn()

    def lock(self, connection: Connection, number: int) -> None:
        """Nothing to do: the transaction holds the only write lock."""

    async def occupy(self) -> None:
        if self._lock is None:
            self._lock = await _taken(self._lock_file)

    async def vacate(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    async def close(self) -> None:
        for thread in (self._reader, self._writer):
            await asyncio.to_thread(thread.shutdown)
        self._engine.dispose()
        await self.vacate()

    def _read(self, work: Work[T]) -> T:
        with _store_errors(), self._engine.connect() as connection:
            return work(connection)

    def _write(self, work: Work[T], until: float, lock_seconds: float) -> T:
        wait = min(until - time.monotonic(), lock_seconds)
        if wait <= 0:
            raise StoreError("the database is busy: this stood in line for too long")
        with _store_errors(), self._writing_engine.connect() as connection:
            # Nothing stops a thread that waits for a lock, so it must give up by itself.
            connection.execution_options(lock_wait=wait)
            with connection.begin():
                return work(connection)


class PostgresqlDatabase(Database):
    """A server that any number of processes share."""

    insert = staticmethod(postgresql.insert)
    many_writers = True
    lapsed = processes.c.lease_until <= func.now()

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
        self._under_way: set[asyncio.Task[Any]] = set()

    async def read(self, work: Work[T]) -> T:
        return await self._within(_ANSWER_SECONDS, self._read(work))

    async def write(self, work: Work[T], *, before_ack: bool = False) -> T:
        return await self._within(_ACK_SECONDS if before_ack else _ANSWER_SECONDS, self._write(work))

    async def migrate(self, work: Work[None]) -> None:
        await self._within(_MIGRATION_SECONDS, self._write(work))

    def lock(self, connection: Connection, number: int) -> None:
        """Take the advisory lock of the transaction."""
        connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": number})

    async def occupy(self) -> None:
        """Nothing to do: there is room for many."""

    async def vacate(self) -> None:
        """Nothing to do."""

    async def close(self) -> None:
        await asyncio.gather(*self._under_way, return_exceptions=True)
        await self._engine.dispose()

    async def _read(self, work: Work[T]) -> T:
        async with self._reading_engine.connect() as connection:
            return await connection.run_sync(work)

    async def _write(self, work: Work[T]) -> T:
        async with self._engine.begin() as connection:
            return await connection.run_sync(work)

    async def _within(self, seconds: float, asking: Coroutine[Any, Any, T]) -> T:
        """Ask, and cancel what takes longer.

        A task of its own, since taking leave of a server that does not answer takes the driver another 2 s.
        """
        task = asyncio.create_task(asking, name="database")
        self._under_way.add(task)
        task.add_done_callback(self._done)
        try:
            await asyncio.wait({task}, timeout=seconds)
            if not task.done():
                raise StoreError(f"the database does not answer within {seconds:g} s")
        finally:
            task.cancel()
        with _store_errors():
            return task.result()

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._under_way.discard(task)
        if not task.cancelled():
            task.exception()  # of one that nobody waits for any more, nobody wants to know


def _sqlite_engine(url: URL) -> Engine:
    if not url.database or url.database == ":memory:":
        raise ConfigError("DATABASE_URL names no file: write sqlite:///FILE, since what is in memory is lost")
    try:
        # Form tokens are in there. SQLite gives its companion files the mode of the database.
        os.close(os.open(Path(url.database), os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as exc:
        raise ConfigError(f"DATABASE_URL: {url.database} cannot be opened: {exc.strerror}") from exc
    engine = create_engine(url.set(drivername="sqlite"), hide_parameters=True, connect_args={"timeout": _ACK_SECONDS})
    event.listen(engine, "connect", _prepare_sqlite)
    return engine


async def _taken(lock_file: str) -> int:
    """Wait for the lock and return its descriptor. Closing that gives it back; so does the end of the process."""
    try:
        lock = os.open(lock_file, os.O_CREAT | os.O_RDWR, 0o600)
    except OSError as exc:
        raise ConfigError(f"DATABASE_URL: {lock_file} cannot be opened: {exc.strerror}") from exc
    try:
        for turn in range(_TURNS):
            if _is_free(lock):
                return lock
            if turn == 0:
                log.info("waiting for another dify-slack-bot that uses this database", seconds=_SUCCESSION)
            await asyncio.sleep(_SUCCESSION / _TURNS)
        raise ConfigError(
            f"DATABASE_URL: another dify-slack-bot is using this database ({lock_file} is locked): "
            "stop it, or use PostgreSQL for several"
        )
    except BaseException:
        os.close(lock)
        raise


def _is_free(lock: int) -> bool:
    """Take the lock, unless another process has it."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


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
    milliseconds = math.ceil(connection.get_execution_options()["lock_wait"] * 1000)
    connection.exec_driver_sql(f"PRAGMA busy_timeout = {milliseconds}")
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
