"""The store over SQLAlchemy: every method is one transaction, or one statement."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from datetime import datetime
from itertools import groupby
from operator import attrgetter, itemgetter
from typing import Any

from sqlalchemy import (
    ColumnElement,
    and_,
    delete,
    exists,
    func,
    insert,
    select,
    union_all,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from bot.core.effects import CheckCommand, Effect
from bot.core.lifecycle import Transition
from bot.core.model import Command, Form, Run, RunStatus
from bot.core.ports import Decide, SavedEffect, Store
from bot.store.codec import effect_row, form_row, run_of, run_row, saved_effect_of
from bot.store.engine import connect, is_postgresql, reading, store_errors, writing
from bot.store.migrations import migrate
from bot.store.tables import OutboxState, forms, inbox, outbox, runs

_UNFINISHED = [status for status in RunStatus if not status.ended]
_earlier = outbox.alias("earlier")
_behind_another = (
    exists()
    .where(
        _earlier.c.run_id == outbox.c.run_id,
        _earlier.c.lane == outbox.c.lane,
        _earlier.c.id < outbox.c.id,
        _earlier.c.state != OutboxState.FAILED,
    )
    .correlate(outbox)
)
"""True of an effect that waits for an earlier one of its lane; one without a run has nobody before it."""
_is_waiting_head = and_(outbox.c.state == OutboxState.PENDING, ~_behind_another)

_RUN_COLUMNS = runs.c.keys()
_FORM_COLUMNS = forms.c.keys()


@asynccontextmanager
async def open_store(database_url: str) -> AsyncIterator[SqlStore]:
    """Open the database, bring its tables up to this version, and close it at the end.

    Raises:
        ConfigError: the URL cannot be used.
        StoreError: the database refused or could not be reached.
    """
    engine = connect(database_url)
    try:
        await migrate(engine)
        yield SqlStore(engine)
    finally:
        await engine.dispose()


class SqlStore(Store):
    """`bot.core.ports.Store` over SQLite or PostgreSQL."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._reader = reading(engine)
        self._writer = writing(engine)
        self._many_writers = is_postgresql(engine)
        # SQLite knows one writer at a time and lets the others sleep and try again; here they queue, in order.
        self._turn: AbstractAsyncContextManager[None] = nullcontext() if self._many_writers else asyncio.Lock()
        self._insert: Any = postgresql.insert if self._many_writers else sqlite.insert

    async def save_command(self, command: Command, delivery: str, now: datetime) -> bool:
        async with self._transaction() as connection:
            if not await self._is_first(connection, delivery, now):
                return False
            await _add_effects(connection, [CheckCommand(command)], None, now)
            return True

    async def add_run(self, run: Run, effects: Sequence[Effect], now: datetime, *, done: int | None = None) -> None:
        async with self._transaction() as connection:
            added = await connection.execute(self._insert(runs).values(run_row(run)).on_conflict_do_nothing())
            if added.rowcount:
                await _save_forms(connection, (), run)
                await _add_effects(connection, effects, run.run_id, now)
            await _finish(connection, done)

    async def add_effect(self, effect: Effect, now: datetime, *, done: int | None = None) -> None:
        async with self._transaction() as connection:
            await _add_effects(connection, [effect], None, now)
            await _finish(connection, done)

    async def run(self, run_id: str) -> Run:
        async with self._statement() as connection:
            return await _load_one(connection, run_id, runs.c.run_id == run_id)

    async def run_of_form(self, form_id: str) -> Run:
        asked = select(forms.c.run_id).where(forms.c.form_id == form_id).scalar_subquery()
        async with self._statement() as connection:
            return await _load_one(connection, form_id, runs.c.run_id == asked)

    async def change(
        self, run_id: str, decide: Decide, now: datetime, *, delivery: str | None = None, done: int | None = None
    ) -> Transition | None:
        async with self._transaction() as connection:
            if delivery is not None and not await self._is_first(connection, delivery, now):
                return None
            if self._many_writers:
                # A statement of its own: the one that waits for this lock would still see the forms of before.
                await connection.execute(select(runs.c.run_id).where(runs.c.run_id == run_id).with_for_update())
            run = await _load_one(connection, run_id, runs.c.run_id == run_id)
            transition = decide(run)
            await _save_run(connection, run, transition.run)
            await _add_effects(connection, transition.effects, run_id, now)
            await _finish(connection, done)
            return transition

    async def unfinished_runs(self) -> tuple[Run, ...]:
        async with self._statement() as connection:
            return await _load(connection, runs.c.status.in_(_UNFINISHED), runs.c.created_at)

    async def due_polls(self, now: datetime, limit: int) -> tuple[Run, ...]:
        due = select(runs.c.run_id).where(runs.c.poll_at <= now).order_by(runs.c.poll_at).limit(limit)
        async with self._statement() as connection:
            return await _load(connection, runs.c.run_id.in_(due), runs.c.poll_at)

    async def next_due(self) -> datetime | None:
        moments = union_all(
            select(func.min(runs.c.poll_at).label("at")),
            select(func.min(outbox.c.due_at)).where(_is_waiting_head),
        ).subquery()
        async with self._statement() as connection:
            earliest: datetime | None = await connection.scalar(select(func.min(moments.c.at)))
            return earliest

    async def claim_effects(self, now: datetime, limit: int) -> tuple[SavedEffect, ...]:
        due = (
            select(outbox.c.id)
            .where(_is_waiting_head, outbox.c.due_at <= now)
            .order_by(outbox.c.id)
            .limit(limit)
            .with_for_update(of=outbox, skip_locked=True)
            .cte("due")
        )
        begin = (
            update(outbox)
            .where(outbox.c.id.in_(select(due.c.id)))
            .values(state=OutboxState.SENDING, attempts=outbox.c.attempts + 1)
            .returning(outbox)
        )
        async with self._transaction() as connection:
            begun = [saved_effect_of(dict(row)) for row in (await connection.execute(begin)).mappings()]
        return tuple(sorted(begun, key=attrgetter("row_id")))

    async def finish_effect(self, row_id: int) -> None:
        async with self._transaction() as connection:
            await _finish(connection, row_id)

    async def put_back_effect(self, row_id: int, due_at: datetime) -> None:
        async with self._transaction() as connection:
            await _update_effect(connection, row_id, state=OutboxState.PENDING, due_at=due_at)

    async def give_up_effect(self, row_id: int, reason: str) -> None:
        async with self._transaction() as connection:
            await _update_effect(connection, row_id, state=OutboxState.FAILED, reason=reason)

    async def interrupted_effects(self) -> tuple[SavedEffect, ...]:
        begun = select(outbox).where(outbox.c.state == OutboxState.SENDING).order_by(outbox.c.id)
        async with self._statement() as connection:
            return tuple(saved_effect_of(dict(row)) for row in (await connection.execute(begun)).mappings())

    async def forget_deliveries(self, before: datetime) -> None:
        async with self._transaction() as connection:
            await connection.execute(delete(inbox).where(inbox.c.received_at < before))

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[AsyncConnection]:
        async with self._turn, store_errors(), self._writer.begin() as connection:
            yield connection

    @asynccontextmanager
    async def _statement(self) -> AsyncIterator[AsyncConnection]:
        async with store_errors(), self._reader.connect() as connection:
            yield connection

    async def _is_first(self, connection: AsyncConnection, delivery: str, now: datetime) -> bool:
        received = self._insert(inbox).values(delivery=delivery, received_at=now).on_conflict_do_nothing()
        return (await connection.execute(received)).rowcount == 1


async def _load(
    connection: AsyncConnection, condition: ColumnElement[bool], order: ColumnElement[Any]
) -> tuple[Run, ...]:
    """Load runs with their forms: by one statement, so that no form is of another moment than its run."""
    query = (
        select(runs, forms)
        .join_from(runs, forms, isouter=True)
        .where(condition)
        .order_by(order, runs.c.run_id, forms.c.position)
    )
    rows = await connection.execute(query)
    return tuple(_run_of_joined(list(joined)) for _, joined in groupby(rows, key=itemgetter(0)))


def _run_of_joined(joined: list[Any]) -> Run:
    form_rows = (dict(zip(_FORM_COLUMNS, row[len(_RUN_COLUMNS) :], strict=True)) for row in joined)
    return run_of(
        dict(zip(_RUN_COLUMNS, joined[0], strict=False)), [row for row in form_rows if row["form_id"] is not None]
    )


async def _load_one(connection: AsyncConnection, key: str, condition: ColumnElement[bool]) -> Run:
    for run in await _load(connection, condition, runs.c.run_id):
        return run
    raise KeyError(key)


async def _save_run(connection: AsyncConnection, before: Run, run: Run) -> None:
    """Write what differs."""
    known = run_row(before)
    changes = {column: value for column, value in run_row(run).items() if value != known[column]}
    if changes:
        await connection.execute(update(runs).where(runs.c.run_id == run.run_id).values(changes))
    await _save_forms(connection, before.forms, run)


async def _save_forms(connection: AsyncConnection, before: Sequence[Form], run: Run) -> None:
    known = {form.form_id: form for form in before}
    for position, form in enumerate(run.forms):
        if form.form_id not in known:
            await connection.execute(insert(forms).values(form_row(form, run.run_id, position)))
        elif form != known[form.form_id]:
            row = form_row(form, run.run_id, position)
            await connection.execute(update(forms).where(forms.c.form_id == form.form_id).values(row))


async def _add_effects(
    connection: AsyncConnection, effects: Sequence[Effect], run_id: str | None, now: datetime
) -> None:
    if effects:
        await connection.execute(insert(outbox), [effect_row(effect, run_id, now) for effect in effects])


async def _update_effect(connection: AsyncConnection, row_id: int, **changes: Any) -> None:
    await connection.execute(update(outbox).where(outbox.c.id == row_id).values(changes))


async def _finish(connection: AsyncConnection, row_id: int | None) -> None:
    if row_id is not None:
        await connection.execute(delete(outbox).where(outbox.c.id == row_id))
