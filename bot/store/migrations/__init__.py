"""Brings a database up to the tables of this version: numbered steps, forward only, each applied once."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncEngine

from bot.store.engine import is_postgresql, store_errors, writing

_LOCK = 4_318_279_605
"""Any number that no other program in the same PostgreSQL database takes for its own advisory lock."""


async def migrate(engine: AsyncEngine) -> None:
    """Apply the steps that are missing, all or none; of several that come at once, one works and the others wait.

    Raises:
        StoreError: the database refused or could not be reached.
    """
    async with store_errors(), writing(engine).begin() as connection:
        if is_postgresql(engine):
            await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        await connection.run_sync(_upgrade)


def _upgrade(connection: Connection) -> None:
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(Path(__file__).parent))
    command.upgrade(config, "head")
