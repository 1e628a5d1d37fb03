"""Several processes: who lives, who follows which run, and what the dead leave behind.

Rows are locked in the order processes, follows, runs, outbox: nobody waits in a ring.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    Delete,
    Executable,
    Select,
    and_,
    bindparam,
    delete,
    func,
    insert,
    or_,
    select,
    type_coerce,
    union,
    update,
)

from bot.store.database import Database
from bot.store.tables import Moment, OutboxState, follows, outbox, processes, runs

_CLOCK = select(type_coerce(func.now(), Moment))
JOIN = insert(processes)
STAY = update(processes).where(processes.c.process_id == bindparam("me")).values(lease_until=bindparam("until"))
LEAVE = delete(processes).where(processes.c.process_id == bindparam("me"))
_living = select(processes.c.process_id)
# By name: a row that a quicker process takes over meanwhile has another one's by the time it is locked.
DEAD = union(
    select(outbox.c.owner).where(
        outbox.c.state.in_((OutboxState.SENDING, OutboxState.HELD)), outbox.c.owner.not_in(_living)
    ),
    select(follows.c.process_id).where(follows.c.process_id.not_in(_living)),
)
_the_dead: BindParameter[str] = bindparam("dead", expanding=True)
_UNFOLLOW_THEIRS = (
    delete(follows)
    .where(
        follows.c.run_id.in_(
            select(follows.c.run_id).where(follows.c.process_id.in_(_the_dead)).with_for_update(skip_locked=True)
        )
    )
    .returning(follows.c.run_id)
)
_LOOK_AT = (
    update(runs)
    .where(runs.c.run_id.in_(bindparam("run_ids", expanding=True)), runs.c.ended_at.is_(None))
    .values(poll_at=bindparam("now"))
)
_forgotten = and_(
    outbox.c.owner == bindparam("me"), outbox.c.id.not_in(bindparam("under_way", expanding=True, value=()))
)


def _left_behind(state: OutboxState) -> ColumnElement[bool]:
    rows = select(outbox.c.id).where(outbox.c.state == state, or_(outbox.c.owner.in_(_the_dead), _forgotten))
    return outbox.c.id.in_(rows.with_for_update(skip_locked=True))


_RELEASE_EFFECTS = update(outbox).where(_left_behind(OutboxState.HELD)).values(state=OutboxState.PENDING, owner=None)
TAKE_OVER_EFFECTS = (
    update(outbox).where(_left_behind(OutboxState.SENDING)).values(owner=bindparam("me")).returning(outbox)
)
UNFOLLOW = delete(follows).where(follows.c.run_id == bindparam("key"), follows.c.process_id == bindparam("me"))


def present(connection: Connection) -> datetime:
    """Return the present moment by the database's clock, which all processes share."""
    now: datetime = connection.execute(_CLOCK).scalar_one()
    return now


def free(connection: Connection, left: dict[str, Any], now: datetime) -> None:
    """Make due what the dead followed, and what was held and is left behind."""
    if run_ids := list(connection.scalars(_UNFOLLOW_THEIRS, {"dead": left["dead"]})):
        connection.execute(_LOOK_AT, {"run_ids": run_ids, "now": now})
    connection.execute(_RELEASE_EFFECTS, left)


def alive(database: Database) -> Select[Any]:
    """Return the statement that finds this process where its lease has not lapsed."""
    return select(processes.c.process_id).where(processes.c.process_id == bindparam("me"), ~database.lapsed)


def others(database: Database) -> Select[Any]:
    """Return the statement that finds the other processes that live."""
    return select(processes.c.process_id).where(processes.c.process_id != bindparam("me"), ~database.lapsed)


def leaving_before_joining(database: Database) -> Delete:
    """Return the statement that removes whoever this process was before."""
    # Whoever may occupy a database that is for one process is alone in it.
    return LEAVE if database.many_writers else delete(processes)


def burying(database: Database) -> Delete:
    """Return the statement that removes the other processes whose lease has lapsed."""
    lapsed = (
        select(processes.c.process_id)
        .where(processes.c.process_id != bindparam("me"), database.lapsed)
        .with_for_update(skip_locked=True)
    )
    return delete(processes).where(processes.c.process_id.in_(lapsed))


def following(database: Database, *, instead_of_others: bool) -> Executable:
    """Return the statement by which a process follows a run: unless another one that lives does, or instead of it."""
    follow = database.insert(follows)
    ours = follow.excluded.process_id
    may_follow = or_(follows.c.process_id == ours, follows.c.process_id.not_in(_living))
    statement: Executable = follow.on_conflict_do_update(
        index_elements=["run_id"], set_={"process_id": ours}, where=None if instead_of_others else may_follow
    )
    return statement
