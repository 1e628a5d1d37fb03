"""The store over SQLAlchemy: every method is one transaction, or one statement."""

from __future__ import annotations

import math
import secrets
import time
from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from operator import attrgetter
from typing import Any

import structlog
from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    Executable,
    Row,
    Select,
    Update,
    and_,
    bindparam,
    case,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
    true,
    type_coerce,
    union,
    union_all,
    update,
)
from sqlalchemy.sql.dml import ReturningUpdate

from bot.core.effects import CheckCommand, Effect, EndAnswer, PostAnswer, PostResult, RefreshForm, RefreshRoot, StartRun
from bot.core.lifecycle import Transition
from bot.core.model import AppMode, Command, Form, FormStatus, Run, RunStatus
from bot.core.ports import Decide, Draft, SavedEffect, Store
from bot.errors import LeaseLost, StoreError, UnknownHere
from bot.store.codec import SLACK_LANE, effect_row, form_row, run_of, run_row, saved_effect_of
from bot.store.database import Database, Work, connect
from bot.store.migrations import migrate
from bot.store.tables import UNDECIDED, Moment, OutboxState, drafts, follows, forms, inbox, outbox, processes, runs

log = structlog.get_logger(__name__)

_ROOM_TO_SEND = 1 / 3
"""Of a lease, the part that has to be left for what is sent: an answer to it may take long."""

# Linux stops the monotonic clock while the machine sleeps, others do not.
_BOOT_CLOCK: int = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)

# --- statements: built once, since building them anew takes longer than SQLite does --------------------------------

# A run is loaded with its forms by one statement, so that no form is of another moment than its run.
_RUN = (
    select(runs, forms)
    .join_from(runs, forms, isouter=True)
    .where(runs.c.run_id == bindparam("key"))
    .order_by(forms.c.position)
)
_ASKED = (
    select(runs.c.run_id, runs.c.ended_at, runs.c.conversation_id)
    .where(
        runs.c.channel_id == bindparam("channel"),
        runs.c.thread_ts == bindparam("thread"),
        runs.c.mode == AppMode.CHATFLOW,
    )
    .order_by(runs.c.created_at)
)
_POSTS_ROOT = (
    select(runs.c.run_id)
    .where(
        runs.c.channel_id == bindparam("channel"),
        runs.c.thread_ts.is_(None),
        runs.c.mode == AppMode.CHATFLOW,
        runs.c.status == RunStatus.REQUESTED,
        runs.c.created_at >= bindparam("since"),
    )
    .limit(1)
)
_moves = runs.c.status.in_((RunStatus.SOUGHT, RunStatus.RUNNING, RunStatus.RESUMING))
_past_deadline = runs.c.run_id.in_(select(forms.c.run_id).where(forms.c.expires_at <= bindparam("now"), UNDECIDED))
_apps: BindParameter[str] = bindparam("apps", expanding=True)


def _claiming_polls(of_apps: ColumnElement[bool]) -> tuple[ReturningUpdate[Any], ...]:
    """Return the statements that claim the polls of these apps, the most urgent first."""
    due = select(runs.c.run_id).where(runs.c.poll_at <= bindparam("now"), of_apps)
    return tuple(
        update(runs)
        .where(
            runs.c.run_id.in_(
                select(
                    due.where(urgent)
                    .order_by(runs.c.poll_at)
                    .limit(bindparam("limit"))
                    .with_for_update(of=runs, skip_locked=True)
                    .cte("due_runs")
                )
            )
        )
        .values(poll_at=bindparam("again_at"))
        .returning(runs.c.run_id)
        for urgent in (_moves, _past_deadline, true())
    )


_DIGITS = "0123456789abcdef"
_poll_anew = update(runs).values(
    poll_at=case(
        *(
            (func.substr(runs.c.run_id, func.length(runs.c.run_id)) == digit, bindparam(f"at_{digit}", type_=Moment))
            for digit in _DIGITS[1:]
        ),
        else_=bindparam("at_0", type_=Moment),
    )
)
"""By the last digit of a run's id, so that they are not due all at once."""
_POLL_ALL_SOON = _poll_anew.where(runs.c.status == RunStatus.PAUSED, runs.c.poll_at > bindparam("at_f", type_=Moment))
_POLL_STRAY_SOON = _poll_anew.where(runs.c.poll_at > bindparam("latest", type_=Moment))
_STRAY_EFFECTS_NOW = (
    update(outbox)
    .where(outbox.c.state == OutboxState.PENDING, outbox.c.due_at > bindparam("latest", type_=Moment))
    .values(due_at=bindparam("now", type_=Moment))
)
_CLAIM_POLLS = _claiming_polls(runs.c.app.in_(_apps))
_CLAIM_OTHER_POLLS = _claiming_polls(runs.c.app.not_in(_apps))
_due_forms = (
    select(forms.c.form_id)
    .where(forms.c.remind_at <= bindparam("now"))
    .order_by(forms.c.remind_at)
    .limit(bindparam("limit"))
    .with_for_update(skip_locked=True)
    .cte("due_forms")
)
_CLAIM_REMINDERS = (
    update(forms)
    .where(forms.c.form_id.in_(select(_due_forms.c.form_id)))
    .values(remind_at=bindparam("again_at"))
    .returning(forms.c.run_id, forms.c.form_id)
)
_RUN_COLUMNS = runs.c.keys()
_FORM_COLUMNS = forms.c.keys()

_NAMED = select(runs.c.workflow_run_id).where(runs.c.workflow_run_id.in_(bindparam("ids", expanding=True)))
_TAKING = 4_318_279_606
"""The advisory lock of whoever takes one of Dify's runs, so that no two take the same."""
# By one statement: a run that Dify names meanwhile has one of the two.
_RIVALS = select(runs.c.workflow_run_id, runs.c.run_inputs).where(
    runs.c.run_id != bindparam("key"),
    or_(
        runs.c.workflow_run_id == bindparam("wanted"),
        and_(runs.c.status == RunStatus.STARTING, runs.c.dify_user == bindparam("dify_user")),
    ),
)
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
_asked, _asked_before = runs.alias("asked"), runs.alias("asked_before")
_ANSWERED_HERE = (FormStatus.CLAIMED, FormStatus.SUBMITTING, FormStatus.SETTLING)
_EXECUTE = (RunStatus.REQUESTED, RunStatus.STARTING, RunStatus.RUNNING, RunStatus.RESUMING)
# The answer to a message that is sent while an earlier one is answered would not know of it (dify-api §5.1).
_before_its_answer = and_(
    outbox.c.kind == StartRun.__name__,
    exists()
    .where(
        _asked.c.run_id == outbox.c.run_id,
        _asked.c.mode == AppMode.CHATFLOW,
        _asked_before.c.channel_id == _asked.c.channel_id,
        _asked_before.c.thread_ts == _asked.c.thread_ts,
        _asked_before.c.created_at < _asked.c.created_at,
        or_(
            and_(_asked_before.c.status.in_(_EXECUTE), ~_asked_before.c.told_stuck),
            and_(
                _asked_before.c.status == RunStatus.PAUSED,
                exists()
                .where(forms.c.run_id == _asked_before.c.run_id, forms.c.status.in_(_ANSWERED_HERE))
                .correlate(_asked_before),
            ),
        ),
    )
    .correlate(outbox),
)
# The first of its lane, and not begun. An effect without a run is behind nobody.
_may_begin = and_(outbox.c.state == OutboxState.PENDING, ~_behind_another, ~_before_its_answer)
_ADD_EFFECT = insert(outbox)
_TAKE_ITS_PLACE = (
    delete(outbox)
    .where(
        outbox.c.run_id == bindparam("of_run"),
        outbox.c.lane == SLACK_LANE,
        outbox.c.state == OutboxState.PENDING,
        outbox.c.kind == bindparam("same"),
    )
    .returning(outbox.c.post_id, outbox.c.attempts)
)
_TAKE_ITS_PLACE_BY = {
    RefreshRoot: _TAKE_ITS_PLACE,
    RefreshForm: _TAKE_ITS_PLACE.where(outbox.c.payload["form_id"].as_string() == bindparam("form_id")),
}
"""Of a redrawing that has not begun, by the one that will show the same and more: it holds up nothing any more."""
_DRAWN_BY_FOLLOWER = tuple(kind.__name__ for kind in (RefreshRoot, PostAnswer, EndAnswer, PostResult))
_begun_here = and_(outbox.c.id == bindparam("key"), outbox.c.owner == bindparam("me"))
_CHANGE_EFFECT = update(outbox).where(_begun_here)
_FINISH_EFFECT = delete(outbox).where(_begun_here)

_DRAFT = select(drafts.c.entered, drafts.c.saved_at).where(
    drafts.c.form_id == bindparam("form_id"), drafts.c.user_id == bindparam("user_id")
)
_DROP_DRAFT = delete(drafts).where(drafts.c.form_id == bindparam("of_form"), drafts.c.user_id == bindparam("of_user"))

# --- several processes; rows are locked in the order processes, follows, runs, outbox: nobody waits in a ring ------

_CLOCK = select(type_coerce(func.now(), Moment))
_JOIN = insert(processes)
_STAY = update(processes).where(processes.c.process_id == bindparam("me")).values(lease_until=bindparam("until"))
_LEAVE = delete(processes).where(processes.c.process_id == bindparam("me"))
_living = select(processes.c.process_id)
# By name: a row that a quicker process takes over meanwhile has another one's by the time it is locked.
_DEAD = union(
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
_TAKE_OVER_EFFECTS = (
    update(outbox).where(_left_behind(OutboxState.SENDING)).values(owner=bindparam("me")).returning(outbox)
)
_UNFOLLOW = delete(follows).where(follows.c.run_id == bindparam("key"), follows.c.process_id == bindparam("me"))

# --- what is due, and what is past ---------------------------------------------------------------------------------

_FORGET = delete(inbox).where(inbox.c.received_at < bindparam("before"))
_PAST_RUNS = (
    select(runs.c.run_id)
    .where(
        or_(
            runs.c.ended_at < bindparam("before"),
            # Nobody says any more what is to be done with it.
            and_(runs.c.status == RunStatus.HELD, runs.c.created_at < bindparam("before")),
        ),
        ~exists().where(outbox.c.run_id == runs.c.run_id, outbox.c.state != OutboxState.FAILED).correlate(runs),
    )
    .order_by(runs.c.ended_at)
    .limit(bindparam("limit"))
    .with_for_update(skip_locked=True)
)
_past_ids: BindParameter[str] = bindparam("run_ids", expanding=True)
_past_forms = select(forms.c.form_id).where(forms.c.run_id.in_(_past_ids))
_PURGE_RUNS = (
    delete(drafts).where(drafts.c.form_id.in_(_past_forms)),
    *(delete(table).where(table.c.run_id.in_(_past_ids)) for table in (follows, forms, outbox, runs)),
)
_past_answers = (
    select(outbox.c.id)
    .where(outbox.c.run_id.is_(None), outbox.c.state == OutboxState.FAILED, outbox.c.created_at < bindparam("before"))
    .limit(bindparam("limit"))
    .with_for_update(skip_locked=True)
    .cte("past_answers")
)
_PURGE_ANSWERS = delete(outbox).where(outbox.c.id.in_(select(_past_answers.c.id))).returning(outbox.c.id)


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
        self.shared = database.many_writers
        self._process_id = _new_process_id()
        self._add_run: Executable = database.insert(runs).on_conflict_do_nothing()
        self._add_delivery: Executable = database.insert(inbox).on_conflict_do_nothing()
        self._alive = select(processes.c.process_id).where(processes.c.process_id == bindparam("me"), ~database.lapsed)
        self._others = select(processes.c.process_id).where(processes.c.process_id != bindparam("me"), ~database.lapsed)
        self._sends_until = -math.inf
        self._refuses_signs_of_life = False
        may_begin_here = and_(_may_begin, ~_drawn_by_another(database))
        self._begin_effects = _begin(may_begin_here).where(exists(self._alive))
        self._next_due = _earliest(may_begin_here)
        # Whoever may occupy a database that is for one process is alone in it.
        self._leave_before_joining = _LEAVE if database.many_writers else delete(processes)
        self._bury = delete(processes).where(
            processes.c.process_id.in_(
                select(processes.c.process_id)
                .where(processes.c.process_id != bindparam("me"), database.lapsed)
                .with_for_update(skip_locked=True)
            )
        )
        self._save_draft = _saving_draft(database)
        follow = database.insert(follows)
        self._follow_instead = follow.on_conflict_do_update(
            index_elements=["run_id"], set_={"process_id": follow.excluded.process_id}
        )
        self._follow = follow.on_conflict_do_update(
            index_elements=["run_id"],
            set_={"process_id": follow.excluded.process_id},
            where=or_(follows.c.process_id == follow.excluded.process_id, follows.c.process_id.not_in(_living)),
        )

    async def save_command(self, command: Command, delivery: str, now: datetime) -> bool:
        def work(connection: Connection) -> bool:
            if not self._is_first(connection, delivery, now):
                return False
            _add_effects(connection, [CheckCommand(command)], None, now)
            return True

        return await self._database.write(work, before_ack=True)

    async def add_run(
        self,
        run: Run,
        effects: Sequence[Effect],
        now: datetime,
        *,
        delivery: str | None = None,
        done: int | None = None,
    ) -> bool:
        def work(connection: Connection) -> bool:
            if delivery is not None and not self._is_first(connection, delivery, now):
                return False
            if connection.execute(self._add_run, run_row(run)).rowcount:
                _save_forms(connection, run, ())
                _add_effects(connection, effects, run.run_id, now)
            self._finish(connection, done)
            return True

        return await self._database.write(work, before_ack=delivery is not None)

    async def add_effect(
        self, effect: Effect, now: datetime, *, done: int | None = None, reason: str | None = None
    ) -> None:
        def work(connection: Connection) -> None:
            _add_effects(connection, [effect], None, now)
            self._finish(connection, done, reason)

        await self._database.write(work)

    async def conversation(self, channel_id: str, thread_ts: str) -> tuple[Run, ...]:
        def work(connection: Connection) -> tuple[Run, ...]:
            asked = connection.execute(_ASKED, {"channel": channel_id, "thread": thread_ts}).all()
            named = [run_id for run_id, _, conversation_id in asked if conversation_id]
            going_on = [run_id for run_id, ended_at, _ in asked if ended_at is None]
            counts = {*(run_id for run_id, *_ in asked[:1]), *named[-1:], *going_on}
            return tuple(_load(connection, run_id) for run_id, *_ in asked if run_id in counts)

        return await self._database.read(work)

    async def posts_root(self, channel_id: str, since: datetime) -> bool:
        where = {"channel": channel_id, "since": since}
        return await self._database.read(lambda connection: connection.execute(_POSTS_ROOT, where).first() is not None)

    async def run(self, run_id: str) -> Run:
        return await self._database.read(lambda connection: _load(connection, run_id))

    async def named(self, workflow_run_ids: Collection[str]) -> frozenset[str]:
        ids = {"ids": list(workflow_run_ids)}
        return await self._database.read(lambda connection: frozenset(connection.scalars(_NAMED, ids)))

    async def change(
        self,
        run_id: str,
        decide: Decide,
        now: datetime,
        *,
        delivery: str | None = None,
        taking: str | None = None,
        done: int | None = None,
        reason: str | None = None,
    ) -> Transition | None:
        def work(connection: Connection) -> Transition | None:
            if delivery is not None and not self._is_first(connection, delivery, now):
                return None
            if taking is not None:
                self._database.lock(connection, _TAKING)
            if self._database.many_writers:
                # Not part of the next statement: that would wait for the lock and still see the forms of before.
                connection.execute(_LOCK_RUN, {"key": run_id})
            run = _load(connection, run_id)
            if taking is not None and _is_taken(connection, taking, run):
                return None
            transition = decide(run)
            _save_changes(connection, run, transition.run)
            _add_effects(connection, transition.effects, run_id, now)
            self._finish(connection, done, reason)
            return transition

        return await self._database.write(work, before_ack=delivery is not None)

    async def draft(self, form_id: str, user_id: str) -> Draft | None:
        whose = {"form_id": form_id, "user_id": user_id}
        row = await self._database.read(lambda connection: connection.execute(_DRAFT, whose).first())
        return None if row is None else Draft(saved_at=row.saved_at, **row.entered)

    async def save_draft(self, form_id: str, user_id: str, draft: Draft) -> None:
        entered = {
            "values": dict(draft.values),
            "typed_before": draft.typed_before,
            "generation": draft.generation,
        }
        row = {"form": form_id, "user": user_id, "entered": entered, "saved_at": draft.saved_at}
        await self._database.write(lambda connection: connection.execute(self._save_draft, row), before_ack=True)

    async def catch_up(self, now: datetime, spread: timedelta, longest_wait: timedelta) -> None:
        step = spread / len(_DIGITS)
        anew = {f"at_{digit}": now + step * number for number, digit in enumerate(_DIGITS, 1)}
        latest = now + longest_wait

        def work(connection: Connection) -> None:
            if connection.execute(self._others, {"me": self._process_id}).first() is None:
                connection.execute(_POLL_ALL_SOON, anew)
            connection.execute(_POLL_STRAY_SOON, {**anew, "latest": latest})
            connection.execute(_STRAY_EFFECTS_NOW, {"now": now, "latest": latest})

        await self._database.write(work)

    async def claim_polls(
        self,
        now: datetime,
        again_at: datetime,
        limit: int,
        *,
        apps: Collection[str] | None = None,
        but_for: Collection[str] = (),
    ) -> tuple[str, ...]:
        statements = _CLAIM_OTHER_POLLS if apps is None else _CLAIM_POLLS
        due = {"now": now, "again_at": again_at, "apps": list(but_for if apps is None else apps)}

        def work(connection: Connection) -> tuple[str, ...]:
            claimed: list[str] = []
            for statement in statements:
                if len(claimed) < limit:
                    claimed += connection.scalars(statement, {**due, "limit": limit - len(claimed)})
            return tuple(claimed)

        return await self._database.write(work)

    async def claim_reminders(self, now: datetime, again_at: datetime, limit: int) -> tuple[tuple[str, str], ...]:
        due = {"now": now, "again_at": again_at, "limit": limit}
        return await self._database.write(
            lambda connection: tuple((run_id, form_id) for run_id, form_id in connection.execute(_CLAIM_REMINDERS, due))
        )

    async def next_due(self) -> datetime | None:
        me = {"me": self._process_id}
        return await self._database.read(lambda connection: connection.scalar(self._next_due, me))

    async def claim_effects(self, now: datetime, limit: int) -> tuple[SavedEffect, ...]:
        due = {"now": now, "limit": limit, "me": self._process_id}
        return await self._database.write(lambda connection: self._effects(connection, self._begin_effects, due))

    async def join(self, lease: timedelta) -> None:
        await self._database.occupy()
        former, self._process_id = self._process_id, _new_process_id()

        def work(connection: Connection) -> None:
            connection.execute(self._leave_before_joining, {"me": former})
            lease_until = _now(connection) + lease
            connection.execute(_JOIN, {"process_id": self._process_id, "lease_until": lease_until})

        await self._hold_lease(lease, work)

    async def stay(self, lease: timedelta) -> None:
        def work(connection: Connection) -> None:
            renewed = {"me": self._process_id, "until": _now(connection) + lease}
            if not connection.execute(_STAY, renewed).rowcount:
                raise LeaseLost("another process took this one for dead")

        await self._hold_lease(lease, work)

    def holds_lease(self) -> bool:
        return not self.shared or _seconds() < self._sends_until

    async def check(self) -> None:
        await self.next_due()
        if self._refuses_signs_of_life:
            raise StoreError("the database answers, but did not take the last sign of life")
        if not self.holds_lease():
            raise StoreError("the lease has lapsed")

    async def _hold_lease(self, lease: timedelta, work: Work[None]) -> None:
        # From before the statement is sent: the database counts from when it gets it.
        asked_at = _seconds()
        try:
            await self._database.write(work)
        except LeaseLost:
            self._sends_until = -math.inf
            raise
        except StoreError:
            self._refuses_signs_of_life = True
            raise
        self._sends_until = asked_at + lease.total_seconds() * (1 - _ROOM_TO_SEND)
        self._refuses_signs_of_life = False

    async def leave(self, now: datetime) -> None:
        def work(connection: Connection) -> None:
            connection.execute(_LEAVE, {"me": self._process_id})
            _free(connection, {"dead": [self._process_id], "me": None, "under_way": ()}, now)

        self._sends_until = -math.inf
        try:
            await self._database.write(work)
        finally:
            await self._database.vacate()

    async def take_over(self, now: datetime, under_way: Collection[int] = ()) -> tuple[SavedEffect, ...]:
        me = {"me": self._process_id}

        def work(connection: Connection) -> tuple[SavedEffect, ...]:
            if connection.execute(self._alive, me).first() is None:
                return ()
            connection.execute(self._bury, me)
            theirs = {**me, "dead": list(connection.scalars(_DEAD)), "under_way": list(under_way)}
            _free(connection, theirs, now)
            return self._effects(connection, _TAKE_OVER_EFFECTS, theirs)

        return await self._database.write(work)

    async def follow(self, run_id: str, *, instead_of_others: bool = False) -> bool:
        statement = self._follow_instead if instead_of_others else self._follow
        row = {"run_id": run_id, "process_id": self._process_id}
        return await self._database.write(lambda connection: connection.execute(statement, row).rowcount == 1)

    async def unfollow(self, run_id: str) -> None:
        ours = {"key": run_id, "me": self._process_id}
        await self._database.write(lambda connection: connection.execute(_UNFOLLOW, ours))

    async def hold_effect(self, row_id: int) -> None:
        await self._change_effect(row_id, state=OutboxState.HELD)

    async def begin_effect(self, row_id: int) -> None:
        await self._change_effect(row_id, state=OutboxState.SENDING)

    async def finish_effect(self, row_id: int) -> None:
        await self._database.write(lambda connection: self._finish(connection, row_id))

    async def put_back_effect(self, row_id: int, due_at: datetime, *, attempts: int | None = None) -> None:
        counted = {} if attempts is None else {"attempts": attempts}
        await self._change_effect(row_id, state=OutboxState.PENDING, due_at=due_at, owner=None, **counted)

    async def give_up_effect(self, row_id: int, reason: str) -> None:
        await self._database.write(lambda connection: self._finish(connection, row_id, reason))

    async def forget_deliveries(self, before: datetime) -> None:
        await self._database.write(lambda connection: connection.execute(_FORGET, {"before": before}))

    async def purge(self, before: datetime, limit: int) -> int:
        past = {"before": before, "limit": limit}

        def work(connection: Connection) -> int:
            run_ids = list(connection.scalars(_PAST_RUNS, past))
            for statement in _PURGE_RUNS if run_ids else ():
                connection.execute(statement, {"run_ids": run_ids})
            return len(run_ids) + len(connection.scalars(_PURGE_ANSWERS, past).all())

        return await self._database.write(work)

    async def _change_effect(self, row_id: int, **changes: Any) -> None:
        await self._database.write(lambda connection: self._change_begun(connection, row_id, changes))

    def _change_begun(self, connection: Connection, row_id: int, changes: dict[str, Any] | None) -> None:
        """Change an effect that was begun here, or delete it."""
        statement = _FINISH_EFFECT if changes is None else _CHANGE_EFFECT
        ours = {"key": row_id, "me": self._process_id}
        if not connection.execute(statement, {**ours, **(changes or {})}).rowcount:
            raise LeaseLost(f"effect {row_id} is not this process's any more")

    def _finish(self, connection: Connection, row_id: int | None, reason: str | None = None) -> None:
        if row_id is not None:
            given_up = {"state": OutboxState.FAILED, "reason": reason, "owner": None}
            self._change_begun(connection, row_id, None if reason is None else given_up)

    def _effects(
        self, connection: Connection, query: Executable, parameters: dict[str, Any]
    ) -> tuple[SavedEffect, ...]:
        """Return the effects of these rows, in order. One that cannot be read is given up: it would stop all others."""
        saved: list[SavedEffect] = []
        for row in connection.execute(query, parameters).mappings().all():
            try:
                saved.append(saved_effect_of(dict(row)))
            except (LookupError, TypeError, ValueError) as exc:
                # Not the text of the error: it repeats what the row holds.
                reason = f"the row cannot be read: {type(exc).__name__}"
                log.error("effect given up", effect=row["kind"], run=row["run_id"], reason=reason)
                self._finish(connection, row["id"], reason)
        return tuple(sorted(saved, key=attrgetter("row_id")))

    def _is_first(self, connection: Connection, delivery: str, now: datetime) -> bool:
        return connection.execute(self._add_delivery, {"delivery": delivery, "received_at": now}).rowcount == 1


def _saving_draft(database: Database) -> Executable:
    """Return the statement that keeps a draft of a form that nobody has decided, unless a newer one is kept."""
    undecided = select(
        forms.c.form_id,
        bindparam("user", type_=drafts.c.user_id.type),
        bindparam("entered", type_=drafts.c.entered.type),
        bindparam("saved_at", type_=drafts.c.saved_at.type),
    ).where(forms.c.form_id == bindparam("form"), UNDECIDED)
    save = database.insert(drafts).from_select(["form_id", "user_id", "entered", "saved_at"], undecided)
    kept, new = drafts.c.entered["generation"].as_integer(), save.excluded.entered["generation"].as_integer()
    newer: Executable = save.on_conflict_do_update(
        index_elements=["form_id", "user_id"],
        set_={"entered": save.excluded.entered, "saved_at": save.excluded.saved_at},
        where=or_(kept < new, and_(kept == new, drafts.c.saved_at <= save.excluded.saved_at)),
    )
    return newer


def _drawn_by_another(database: Database) -> ColumnElement[bool]:
    """Tell of a row whether Slack is to see it from another process: the one that lives and follows the run.

    That is what goes into messages that it draws by what it hears; the rest anybody may say, in the order of its lane.
    """
    follower = follows.join(processes, processes.c.process_id == follows.c.process_id)
    follows_it = (
        exists()
        .select_from(follower)
        .where(follows.c.run_id == outbox.c.run_id, follows.c.process_id != bindparam("me"), ~database.lapsed)
        .correlate(outbox)
    )
    return and_(outbox.c.kind.in_(_DRAWN_BY_FOLLOWER), follows_it)


def _begin(may_begin: ColumnElement[bool]) -> Update:
    due = (
        select(outbox.c.id)
        .where(may_begin, outbox.c.due_at <= bindparam("now"))
        .order_by(outbox.c.id)
        .limit(bindparam("limit"))
        .with_for_update(of=outbox, skip_locked=True)
        .cte("due")
    )
    begun = {"state": OutboxState.SENDING, "attempts": outbox.c.attempts + 1, "owner": bindparam("me")}
    return update(outbox).where(outbox.c.id.in_(select(due.c.id))).values(begun).returning(outbox)


def _earliest(may_begin: ColumnElement[bool]) -> Select[Any]:
    moments = union_all(
        select(func.min(runs.c.poll_at).label("at")),
        select(func.min(forms.c.remind_at)),
        select(func.min(outbox.c.due_at)).where(may_begin),
    ).subquery()
    return select(func.min(moments.c.at))


def _new_process_id() -> str:
    return secrets.token_hex(8)


def _seconds() -> float:
    """Return the seconds of a clock that nobody sets, and that goes on while the machine sleeps."""
    return time.clock_gettime(_BOOT_CLOCK)


def _now(connection: Connection) -> datetime:
    """Return the present moment by the database's clock, which all processes share."""
    now: datetime = connection.execute(_CLOCK).scalar_one()
    return now


def _free(connection: Connection, left: dict[str, Any], now: datetime) -> None:
    """Make due what the dead followed, and what was held and is left behind."""
    if run_ids := list(connection.scalars(_UNFOLLOW_THEIRS, {"dead": left["dead"]})):
        connection.execute(_LOOK_AT, {"run_ids": run_ids, "now": now})
    connection.execute(_RELEASE_EFFECTS, left)


def _load(connection: Connection, run_id: str) -> Run:
    if joined := connection.execute(_RUN, {"key": run_id}).all():
        return _run_of_joined(joined)
    raise UnknownHere(f"there is no run {run_id}")


def _run_of_joined(joined: Sequence[Row[Any]]) -> Run:
    """Return the run of its rows: one per form, or one with an empty form."""
    width = len(_RUN_COLUMNS)
    form_rows = [dict(zip(_FORM_COLUMNS, row[width:], strict=True)) for row in joined]
    return run_of(dict(zip(_RUN_COLUMNS, joined[0][:width], strict=True)), [row for row in form_rows if row["form_id"]])


def _is_taken(connection: Connection, workflow_run_id: str, run: Run) -> bool:
    """Tell whether one of Dify's runs is, or may be, another one of ours."""
    sought = {"key": run.run_id, "wanted": workflow_run_id, "dify_user": run.dify_user}
    return any(
        name == workflow_run_id or run_inputs == run.run_inputs
        for name, run_inputs in connection.execute(_RIVALS, sought)
    )


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
            if form.submission is not None and form.submission != known[form.form_id].submission:
                connection.execute(_DROP_DRAFT, {"of_form": form.form_id, "of_user": form.submission.user_id})


def _add_effects(connection: Connection, effects: Sequence[Effect], run_id: str | None, now: datetime) -> None:
    rows = [effect_row(effect, run_id, now) for effect in effects]
    for effect, row in zip(effects, rows, strict=True):
        if (take_its_place := _TAKE_ITS_PLACE_BY.get(type(effect))) is not None:
            same = {"of_run": run_id, "same": row["kind"], **row["payload"]}
            for earlier in connection.execute(take_its_place, same).mappings():
                # An earlier try may have posted a message that somebody had deleted: it is to be found.
                row.update(earlier)
    if rows:
        connection.execute(_ADD_EFFECT, rows)
