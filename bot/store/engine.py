"""How the two databases are opened, and the few places where they differ."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, event, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from bot.errors import ConfigError, StoreError

_BUSY_SECONDS = 30
"""How long SQLite waits for a writer of another process."""


def connect(database_url: str) -> AsyncEngine:
    """Return the engine for `sqlite:///FILE` or `postgresql://…`; a new SQLite file is readable by its owner alone.

    Raises:
        ConfigError: the URL is none of these, the file cannot be made, or the driver is not installed.
    """
    try:
        url = make_url(database_url)
    except ArgumentError as exc:
        raise ConfigError("DATABASE_URL is not a database URL: write sqlite:///FILE or postgresql://…") from exc
    match url.get_backend_name():
        case "sqlite":
            return _connect_sqlite(url)
        case "postgresql" | "postgres":
            return _connect_postgresql(url)
        case other:
            raise ConfigError(f"DATABASE_URL names {other}: the bot keeps its state in sqlite or postgresql")


def _connect_sqlite(url: URL) -> AsyncEngine:
    if not url.database or url.database == ":memory:":
        raise ConfigError("DATABASE_URL names no file: write sqlite:///FILE, since what is in memory is lost")
    try:
        # SQLite gives its companion files the mode of the database; form tokens and reply URLs are in there.
        os.close(os.open(Path(url.database), os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as exc:
        raise ConfigError(f"DATABASE_URL: {url.database} cannot be opened: {exc.strerror}") from exc
    engine = create_async_engine(
        url.set(drivername="sqlite+aiosqlite"), hide_parameters=True, connect_args={"timeout": _BUSY_SECONDS}
    )
    event.listen(engine.sync_engine, "connect", _prepare_sqlite)
    return engine


def _prepare_sqlite(connection: Any, record: Any) -> None:
    # The driver begins nothing by itself: a lone SELECT needs no transaction, the others begin in `writing`.
    # https://docs.sqlalchemy.org/en/20/dialects/sqlite.html#sqlite-transactions
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode = WAL")
    # In WAL mode, NORMAL would let a power cut take back what was acknowledged.
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _connect_postgresql(url: URL) -> AsyncEngine:
    # Hosts hand out libpq's spelling; asyncpg calls the same setting `ssl`.
    query = {"ssl" if name == "sslmode" else name: value for name, value in url.query.items()}
    try:
        # A connection that died with the server's restart is noticed before it is used, not by the first click.
        return create_async_engine(
            url.set(drivername="postgresql+asyncpg", query=query), hide_parameters=True, pool_pre_ping=True
        )
    except ImportError as exc:
        raise ConfigError(
            "DATABASE_URL names PostgreSQL, whose driver is not installed: pip install 'dify-slack-bot[postgres]'"
        ) from exc


def is_postgresql(engine: AsyncEngine) -> bool:
    """Tell PostgreSQL from SQLite."""
    return engine.dialect.name == "postgresql"


def reading(engine: AsyncEngine) -> AsyncEngine:
    """Return the engine for single SELECTs, each of which sees one moment of the database."""
    return engine.execution_options(isolation_level="AUTOCOMMIT") if is_postgresql(engine) else engine


def writing(engine: AsyncEngine) -> AsyncEngine:
    """Return the engine for transactions that write."""
    writer = engine.execution_options()
    if not is_postgresql(engine):
        event.listen(writer.sync_engine, "begin", _begin_immediate)
    return writer


def _begin_immediate(connection: Connection) -> None:
    # Taking the write lock first leaves nothing to upgrade: a transaction that reads and then writes would
    # fail at once, without waiting, where another one wrote in between.
    connection.exec_driver_sql("BEGIN IMMEDIATE")


@asynccontextmanager
async def store_errors() -> AsyncIterator[None]:
    """Turn what SQLAlchemy and the drivers raise into `StoreError`."""
    try:
        yield
    except SQLAlchemyError as exc:
        raise StoreError(f"the database refused: {getattr(exc, 'orig', None) or exc}") from exc
    except OSError as exc:
        raise StoreError(f"the database cannot be reached: {exc}") from exc
