"""Days and deadlines, without waiting for them: what the bot saved is moved into the past."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import Table, make_url, select, update
from sqlalchemy.engine import create_engine

from bot.playground.stage import Stage
from bot.store.tables import Moment, forms, runs


def let_time_pass(stage: Stage, span: timedelta) -> None:
    """Make everything that the bot remembers of its runs and their forms as much older.

    The bot finds it so at its next look into the database, as after a night in which its machine slept. Dify's own
    deadlines stay where they are.
    """
    engine = create_engine(make_url(stage.database_url))
    try:
        with engine.begin() as connection:
            for table in (runs, forms):
                for row in connection.execute(select(table)).mappings().all():
                    moments = {name: row[name] - span for name in _moments(table) if row[name] is not None}
                    key = [column == row[column.name] for column in table.primary_key]
                    connection.execute(update(table).where(*key).values(moments))
    finally:
        engine.dispose()


def _moments(table: Table) -> list[str]:
    return [column.name for column in table.columns if isinstance(column.type, Moment)]
