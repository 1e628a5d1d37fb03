"""The store over SQLAlchemy: every method is one transaction, or one statement."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from operator import attrgetter
from typing import Any

import structlog
from sqlalchemy import (
    Connection,
    Executable,
    Row,
    and_,
    bindparam,
    delete,
    exists,
    func,
    insert,
    select,
    union_all,
    update,
)

from bot.core.effects import CheckCommand, Effect
from bot.core.lifecycle import Transition
from bot.core.model import Command, Form, Run, RunStatus
from bot.core.ports import Decide, SavedEffect, Store
from bot.errors import UnknownHere
from bot.store.codec import effect_row, form_row, run_of, run_row, saved_effect_of
from bot.store.database import Database, connect
from bot.store.migrations import migrate
from bot.store.tables import OutboxState, forms, inbox, outbox, runs

log = structlog.get_logger(__name__)

# --- statements: built once, since building them anew takes longer than SQLite does --------------------------------

# A run is loaded with its forms by one statement, so that no form is of another moment than its run.
_RUN = (
    select(runs, forms)
    .join_from(runs, forms, isouter=True)
    .where(runs.c.run_id == bindparam("key"))
    .order_by(forms.c.position)
)
_RUNS_IN = (
    select(runs.c.run_id)
    .where(runs.c.status.in_(bindparam("statuses", expanding=True)))
    .order_by(runs.c.created_at, runs.c.run_id)
)
_due_runs = (
    select(runs.c.run_id)
    .where(runs.c.poll_at <= bindparam("now"))
    .order_by(runs.c.poll_at)
    .limit(bindparam("limit"))
    .with_for_update(skip_locked=True)
    .cte("due_runs")
)
_CLAIM_POLLS = (
    update(runs)
    .where(runs.c.run_id.in_(select(_due_runs.c.run_id)))
    .values(poll_at=bindparam("again_at"))
    .returning(runs.c.run_id)
)
_RUN_COLUMNS = runs.c.keys()
_FORM_COLUMNS = forms.c.keys()

_LOCK_RUN = select(runs.c.run_id).where(runs.c.run_id == bindparam("key")).with_for_update()
_CHANGE_RUN = update(runs).where(runs.c.run_id == bindparam("key"))
_ADD_FORM = insert(forms)
_CHANGE_FORM = update(forms).where(forms.c.form_id == bindparam("key"))

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
# The first of its lane, and not begun. An effect without a run is behind nobody.
_may_begin = and_(outbox.c.state == OutboxState.PENDING, ~_behind_another)
_due = (
    select(outbox.c.id)
    .where(_may_begin, outbox.c.due_at <= bindparam("now"))
    .order_by(outbox.c.id)
    .limit(bindparam("limit"))
    .with_for_update(of=outbox, skip_locked=True)
    .cte("due")
)
_BEGIN_EFFECTS = (
    update(outbox)
    .where(outbox.c.id.in_(select(_due.c.id)))
    .values(state=OutboxState.SENDING, attempts=outbox.c.attempts + 1)
    .returning(outbox)
)
_RELEASE_EFFECTS = update(outbox).where(outbox.c.state == OutboxState.HELD).values(state=OutboxState.PENDING)
_BEGUN_EFFECTS = select(outbox).where(outbox.c.state == OutboxState.SENDING).order_by(outbox.c.id)
_ADD_EFFECT = insert(outbox)
_CHANGE_EFFECT = update(outbox).where(outbox.c.id == bindparam("key"))
_FINISH_EFFECT = delete(outbox).where(outbox.c.id == bindparam("key"))

_moments = union_all(
    select(func.min(runs.c.poll_at).label("at")), select(func.min(outbox.c.due_at)).where(_may_begin)
).subquery()
_NEXT_DUE = select(func.min(_moments.c.at))

_FORGET = delete(inbox).where(inbox.c.received_at < bindparam("before"))


@asynccontextmanager
async def open_store(database_url: str) -> AsyncIterator[SqlStore]:
    """Open the database, bring its tables up to this version, and close it at the end.

    Raises:
        ConfigError: the URL cannot be used.
        StoreError: the database refused or could not be reached.
    """
    database = connect(database_url)
    try:
        await migrate(database)
        yield SqlStore(database)
    finally:
        await database.close()


class SqlStore(Store):
    """`bot.core.ports.Store` over SQLite or PostgreSQL.

    `decide` may be called in another thread, and must not wait for anything.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._add_run: Executable = database.insert(runs).on_conflict_do_nothing()
        self._add_delivery: Executable = database.insert(inbox).on_conflict_do_nothing()

    async def save_command(self, command: Command, delivery: str, now: datetime) -> bool:
        def work(connection: Connection) -> bool:
            if not self._is_first(connection, delivery, now):
                return False
            _add_effects(connection, [CheckCommand(command)], None, now)
            return True

        return await self._database.write(work)

    async def add_run(self, run: Run, effects: Sequence[Effect], now: datetime, *, done: int | None = None) -> None:
        def work(connection: Connection) -> None:
            if connection.execute(self._add_run, run_row(run)).rowcount:
                _save_forms(connection, run, ())
                _add_effects(connection, effects, run.run_id, now)
            _finish(connection, done)

        await self._database.write(work)

    async def add_effect(
        self, effect: Effect, now: datetime, *, done: int | None = None, reason: str | None = None
    ) -> None:
        def work(connection: Connection) -> None:
            _add_effects(connection, [effect], None, now)
            _finish(connection, done, reason)

        await self._database.write(work)

    async def run(self, run_id: str) -> Run:
        return await self._database.read(lambda connection: _load(connection, run_id))

    async def change(
        self,
        run_id: str,
        decide: Decide,
        now: datetime,
        *,
        delivery: str | None = None,
        done: int | None = None,
        reason: str | None = None,
    ) -> Transition | None:
        def work(connection: Connection) -> Transition | None:
            if delivery is not None and not self._is_first(connection, delivery, now):
                return None
            if self._database.many_writers:
                # Not part of the next statement: that would wait for the lock and still see the forms of before.
                connection.execute(_LOCK_RUN, {"key": run_id})
            run = _load(connection, run_id)
            transition = decide(run)
            _save_changes(connection, run, transition.run)
            _add_effects(connection, transition.effects, run_id, now)
            _finish(connection, done, reason)
            return transition

        return await self._database.write(work)

    async def runs_in(self, statuses: Collection[RunStatus]) -> tuple[str, ...]:
        found = {"statuses": list(statuses)}
        return await self._database.read(lambda connection: tuple(connection.scalars(_RUNS_IN, found)))

    async def claim_polls(self, now: datetime, again_at: datetime, limit: int) -> tuple[str, ...]:
        due = {"now": now, "again_at": again_at, "limit": limit}
        return await self._database.write(lambda connection: tuple(connection.scalars(_CLAIM_POLLS, due)))

    async def next_due(self) -> datetime | None:
        return await self._database.read(lambda connection: connection.scalar(_NEXT_DUE))

    async def claim_effects(self, now: datetime, limit: int) -> tuple[SavedEffect, ...]:
        begun = await self._database.write(
            lambda connection: _load_effects(connection, _BEGIN_EFFECTS, {"now": now, "limit": limit})
        )
        return tuple(sorted(begun, key=attrgetter("row_id")))

    async def hold_effect(self, row_id: int) -> None:
        changes = {"key": row_id, "state": OutboxState.HELD}
        await self._database.write(lambda connection: connection.execute(_CHANGE_EFFECT, changes))

    async def begin_effect(self, row_id: int) -> None:
        changes = {"key": row_id, "state": OutboxState.SENDING}
        await self._database.write(lambda connection: connection.execute(_CHANGE_EFFECT, changes))

    async def finish_effect(self, row_id: int) -> None:
        await self._database.write(lambda connection: _finish(connection, row_id))

    async def put_back_effect(self, row_id: int, due_at: datetime) -> None:
        changes = {"key": row_id, "state": OutboxState.PENDING, "due_at": due_at}
        await self._database.write(lambda connection: connection.execute(_CHANGE_EFFECT, changes))

    async def give_up_effect(self, row_id: int, reason: str) -> None:
        await self._database.write(lambda connection: _finish(connection, row_id, reason))

    async def interrupted_effects(self) -> tuple[SavedEffect, ...]:
        def work(connection: Connection) -> tuple[SavedEffect, ...]:
            connection.execute(_RELEASE_EFFECTS)
            return _load_effects(connection, _BEGUN_EFFECTS, {})

        return await self._database.write(work)

    async def forget_deliveries(self, before: datetime) -> None:
        await self._database.write(lambda connection: connection.execute(_FORGET, {"before": before}))

    def _is_first(self, connection: Connection, delivery: str, now: datetime) -> bool:
        return connection.execute(self._add_delivery, {"delivery": delivery, "received_at": now}).rowcount == 1


def _load(connection: Connection, run_id: str) -> Run:
    if joined := connection.execute(_RUN, {"key": run_id}).all():
        return _run_of_joined(joined)
    raise UnknownHere(f"there is no run {run_id}")


def _run_of_joined(joined: Sequence[Row[Any]]) -> Run:
    """Return the run of its rows: one per form, or one with an empty form."""
    width = len(_RUN_COLUMNS)
    form_rows = [dict(zip(_FORM_COLUMNS, row[width:], strict=True)) for row in joined]
    return run_of(dict(zip(_RUN_COLUMNS, joined[0][:width], strict=True)), [row for row in form_rows if row["form_id"]])


def _load_effects(connection: Connection, query: Executable, parameters: dict[str, Any]) -> tuple[SavedEffect, ...]:
    """Return the effects of these rows. One that cannot be read is given up: it would stop all the others for ever."""
    saved: list[SavedEffect] = []
    for row in connection.execute(query, parameters).mappings().all():
        try:
            saved.append(saved_effect_of(dict(row)))
        except (LookupError, TypeError, ValueError) as exc:
            # Not the text of the error: it repeats what the row holds.
            reason = f"the row cannot be read: {type(exc).__name__}"
            log.error("effect given up", effect=row["kind"], run=row["run_id"], reason=reason)
            _finish(connection, row["id"], reason)
    return tuple(saved)


def _save_changes(connection: Connection, before: Run, run: Run) -> None:
    known = run_row(before)
    changes = {column: value for column, value in run_row(run).items() if value != known[column]}
    if changes:
        connection.execute(_CHANGE_RUN, {"key": run.run_id, **changes})
    _save_forms(connection, run, before.forms)


def _save_forms(connection: Connection, run: Run, before: Iterable[Form]) -> None:
    known = {form.form_id: form for form in before}
    for position, form in enumerate(run.forms):
        if form.form_id not in known:
            connection.execute(_ADD_FORM, form_row(form, run.run_id, position))
        elif form != known[form.form_id]:
            connection.execute(_CHANGE_FORM, {"key": form.form_id, **form_row(form, run.run_id, position)})


def _add_effects(connection: Connection, effects: Sequence[Effect], run_id: str | None, now: datetime) -> None:
    if effects:
        connection.execute(_ADD_EFFECT, [effect_row(effect, run_id, now) for effect in effects])


def _finish(connection: Connection, row_id: int | None, reason: str | None = None) -> None:
    if row_id is not None and reason is None:
        connection.execute(_FINISH_EFFECT, {"key": row_id})
    elif row_id is not None:
        connection.execute(_CHANGE_EFFECT, {"key": row_id, "state": OutboxState.FAILED, "reason": reason})
