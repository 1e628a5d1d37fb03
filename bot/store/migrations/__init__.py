"""Brings a database up to the tables of this version: numbered steps, forward only, each applied once."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection

from bot.store.database import Database

_LOCK = 4_318_279_605
"""Any number that no other program in the same PostgreSQL database takes for its own advisory lock."""


async def migrate(database: Database) -> None:
    """Apply the steps that are missing, all or none; of several that come at once, one works and the others wait.

    Raises:
        StoreError: the database refused or could not be reached.
    """

    def upgrade(connection: Connection) -> None:
        database.lock(connection, _LOCK)
        config = Config(attributes={"connection": connection})
        config.set_main_option("script_location", str(Path(__file__).parent))
        command.upgrade(config, "head")

    await database.migrate(upgrade)
