"""The store over SQLAlchemy: every method is one transaction, or one statement.

Its statements stand in `runs`, `outbox`, `processes` and `schedule`. They are built once, since building them anew
takes longer than SQLite does.
"""

from __future__ import annotations

import math
import secrets
import time
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from operator import attrgetter
from typing import Any

import structlog
from sqlalchemy import Connection, Executable, Select, and_, exists

from bot.core.effects import Effect, Transition
from bot.core.model import Run
from bot.core.ports import Decide, Draft, SavedEffect, Store
from bot.errors import LeaseLost, StoreError
from bot.store import outbox, processes, runs, schedule
from bot.store.codec import run_row, saved_effect_of
from bot.store.database import Database, Work, connect
from bot.store.migrations import migrate
from bot.store.tables import OutboxState, inbox

log = structlog.get_logger(__name__)

_ROOM_TO_SEND = 1 / 3
"""Of a lease, the part that has to be left for what is sent: an answer to it may take long."""

# Linux stops the monotonic clock while the machine sleeps, others do not.
_BOOT_CLOCK: int = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


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
        self._add_run = runs.adding(database)
        self._add_delivery: Executable = database.insert(inbox).on_conflict_do_nothing()
        self._alive, self._others = processes.alive(database), processes.others(database)
        self._sends_until = -math.inf
        self._refuses_signs_of_life = False
        may_begin_here = and_(outbox.MAY_BEGIN, ~outbox.drawn_by_another(database))
        self._begin_effects = outbox.beginning(may_begin_here).where(exists(self._alive))
        self._next_due = schedule.earliest(may_begin_here)
        self._leave_before_joining = processes.leaving_before_joining(database)
        self._bury = processes.burying(database)
        self._save_draft = runs.saving_draft(database)
        self._follow = processes.following(database, instead_of_others=False)
        self._follow_instead = processes.following(database, instead_of_others=True)

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
                runs.save_forms(connection, run, ())
                outbox.add(connection, effects, run.run_id, now)
            self._finish(connection, done)
            return True

        return await self._database.write(work, before_ack=delivery is not None)

    async def add_effect(
        self,
        effect: Effect,
        now: datetime,
        *,
        delivery: str | None = None,
        done: int | None = None,
        reason: str | None = None,
    ) -> bool:
        def work(connection: Connection) -> bool:
            if delivery is not None and not self._is_first(connection, delivery, now):
                return False
            outbox.add(connection, [effect], None, now)
            self._finish(connection, done, reason)
            return True

        return await self._database.write(work, before_ack=delivery is not None)

    async def conversation(self, channel_id: str, thread_ts: str) -> tuple[Run, ...]:
        return await self._database.read(lambda connection: runs.load_conversation(connection, channel_id, thread_ts))

    async def asking(self, channel_id: str, thread_ts: str) -> Run | None:
        return await self._found_in(runs.ASKING, channel_id, thread_ts)

    async def workflow_in(self, channel_id: str, thread_ts: str) -> Run | None:
        return await self._found_in(runs.WORKFLOW_IN, channel_id, thread_ts)

    async def _found_in(self, find: Select[Any], channel_id: str, thread_ts: str) -> Run | None:
        def work(connection: Connection) -> Run | None:
            run_id = connection.scalar(find, {"channel": channel_id, "thread": thread_ts})
            return None if run_id is None else runs.load(connection, run_id)

        return await self._database.read(work)

    async def writes_alone(self, run: Run) -> bool:
        before = {"channel": run.channel_id, "thread": run.thread_ts, "said_at": run.said_at}
        return await self._database.read(
            lambda connection: connection.execute(outbox.WRITES_BEFORE, before).first() is None
        )

    async def posts_root(self, channel_id: str, since: datetime) -> bool:
        where = {"channel": channel_id, "since": since}
        return await self._database.read(
            lambda connection: connection.execute(runs.POSTS_ROOT, where).first() is not None
        )

    async def run(self, run_id: str) -> Run:
        return await self._database.read(lambda connection: runs.load(connection, run_id))

    async def started_by(self, team_id: str, user_id: str, *, going: int, ended: int) -> tuple[Run, ...]:
        return await self._database.read(
            lambda connection: runs.load_started_by(connection, team_id, user_id, going, ended)
        )

    async def named(self, workflow_run_ids: Collection[str]) -> frozenset[str]:
        ids = {"ids": list(workflow_run_ids)}
        return await self._database.read(lambda connection: frozenset(connection.scalars(runs.NAMED, ids)))

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
        looking: Collection[tuple[str, str]] = (),
        before_ack: bool = False,
    ) -> Transition | None:
        def work(connection: Connection) -> Transition | None:
            if delivery is not None and not self._is_first(connection, delivery, now):
                return None
            if taking is not None:
                self._database.lock(connection, runs.TAKING)
            if self._database.many_writers:
                # Not part of the next statement: that would wait for the lock and still see the forms of before.
                connection.execute(runs.LOCK_RUN, {"key": run_id})
            run = runs.load(connection, run_id)
            if taking is not None and runs.is_taken(connection, taking, run):
                return None
            transition = decide(run)
            runs.save_changes(connection, run, transition.run)
            given_back = runs.give_back(connection, run, transition.run, looking)
            transition = replace(transition, effects=(*transition.effects, *given_back))
            outbox.add(connection, transition.effects, run_id, now)
            self._finish(connection, done, reason)
            return transition

        return await self._database.write(work, before_ack=before_ack or delivery is not None)

    async def draft(self, form_id: str, user_id: str) -> Draft | None:
        whose = {"form_id": form_id, "user_id": user_id}
        row = await self._database.read(lambda connection: connection.execute(runs.DRAFT, whose).first())
        return None if row is None else runs.draft_of(row.entered, row.saved_at)

    async def save_draft(self, form_id: str, user_id: str, draft: Draft) -> None:
        entered = {
            "values": dict(draft.values),
            "typed_before": draft.typed_before,
            "generation": draft.generation,
        }
        row = {"form": form_id, "user": user_id, "entered": entered, "saved_at": draft.saved_at}
        await self._database.write(lambda connection: connection.execute(self._save_draft, row), before_ack=True)

    async def catch_up(self, now: datetime, spread: timedelta, longest_wait: timedelta) -> None:
        step = spread / len(schedule.DIGITS)
        anew = {f"at_{digit}": now + step * number for number, digit in enumerate(schedule.DIGITS, 1)}
        latest = now + longest_wait

        def work(connection: Connection) -> None:
            if connection.execute(self._others, {"me": self._process_id}).first() is None:
                connection.execute(schedule.POLL_ALL_SOON, anew)
            connection.execute(schedule.POLL_STRAY_SOON, {**anew, "latest": latest})
            connection.execute(schedule.STRAY_EFFECTS_NOW, {"now": now, "latest": latest})

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
        statements = schedule.CLAIM_OTHER_POLLS if apps is None else schedule.CLAIM_POLLS
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
            lambda connection: tuple(
                (run_id, form_id) for run_id, form_id in connection.execute(schedule.CLAIM_REMINDERS, due)
            )
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
            lease_until = processes.present(connection) + lease
            connection.execute(processes.JOIN, {"process_id": self._process_id, "lease_until": lease_until})

        await self._hold_lease(lease, work)

    async def stay(self, lease: timedelta) -> None:
        def work(connection: Connection) -> None:
            renewed = {"me": self._process_id, "until": processes.present(connection) + lease}
            if not connection.execute(processes.STAY, renewed).rowcount:
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
            connection.execute(processes.LEAVE, {"me": self._process_id})
            processes.free(connection, {"dead": [self._process_id], "me": None, "under_way": ()}, now)

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
            theirs = {**me, "dead": list(connection.scalars(processes.DEAD)), "under_way": list(under_way)}
            processes.free(connection, theirs, now)
            return self._effects(connection, processes.TAKE_OVER_EFFECTS, theirs)

        return await self._database.write(work)

    async def follow(self, run_id: str, *, instead_of_others: bool = False) -> bool:
        statement = self._follow_instead if instead_of_others else self._follow
        row = {"run_id": run_id, "process_id": self._process_id}
        return await self._database.write(lambda connection: connection.execute(statement, row).rowcount == 1)

    async def unfollow(self, run_id: str) -> None:
        ours = {"key": run_id, "me": self._process_id}
        await self._database.write(lambda connection: connection.execute(processes.UNFOLLOW, ours))

    async def hold_effect(self, row_id: int) -> None:
        await self._change_effect(row_id, state=OutboxState.HELD)

    async def begin_effect(self, row_id: int) -> None:
        await self._change_effect(row_id, state=OutboxState.SENDING)

    async def finish_effect(self, row_id: int) -> None:
        await self._database.write(lambda connection: self._finish(connection, row_id))

    async def put_back_effect(self, row_id: int, due_at: datetime, *, attempts: int | None = None) -> None:
        counted = {} if attempts is None else {"attempts": attempts}

        def work(connection: Connection) -> None:
            put_back = {"state": OutboxState.PENDING, "due_at": due_at, "owner": None, **counted}
            self._change_begun(connection, row_id, put_back)
            outbox.give_way(connection, row_id)

        await self._database.write(work)

    async def give_up_effect(self, row_id: int, reason: str) -> None:
        await self._database.write(lambda connection: self._finish(connection, row_id, reason))

    async def forget_deliveries(self, before: datetime) -> None:
        await self._database.write(lambda connection: connection.execute(schedule.FORGET, {"before": before}))

    async def held_since(self, before: datetime, limit: int) -> tuple[str, ...]:
        past = {"before": before, "limit": limit}
        return await self._database.read(lambda connection: tuple(connection.scalars(schedule.PAST_HELD, past)))

    async def purge(self, before: datetime, limit: int) -> int:
        past = {"before": before, "limit": limit}

        def work(connection: Connection) -> int:
            run_ids = list(connection.scalars(schedule.PAST_RUNS, past))
            for statement in schedule.PURGE_RUNS if run_ids else ():
                connection.execute(statement, {"run_ids": run_ids})
            return len(run_ids) + len(connection.scalars(schedule.PURGE_ANSWERS, past).all())

        return await self._database.write(work)

    async def _change_effect(self, row_id: int, **changes: Any) -> None:
        await self._database.write(lambda connection: self._change_begun(connection, row_id, changes))

    def _change_begun(self, connection: Connection, row_id: int, changes: dict[str, Any] | None) -> None:
        """Change an effect that was begun here, or delete it."""
        statement = outbox.FINISH if changes is None else outbox.CHANGE
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


def _new_process_id() -> str:
    return secrets.token_hex(8)


def _seconds() -> float:
    """Return the seconds of a clock that nobody sets, and that goes on while the machine sleeps."""
    return time.clock_gettime(_BOOT_CLOCK)
