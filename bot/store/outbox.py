"""The outbox: which of its effects may begin, and what takes the place of what."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, Update, and_, bindparam, delete, exists, insert, or_, select, update

from bot.core.effects import Effect, EndAnswer, PostAnswer, PostResult, RefreshForm, RefreshRoot, StartRun
from bot.core.model import AppMode, FormStatus, RunStatus
from bot.store.codec import SLACK_LANE, effect_row
from bot.store.database import Database
from bot.store.tables import OutboxState, follows, forms, outbox, processes, runs

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
MAY_BEGIN = and_(outbox.c.state == OutboxState.PENDING, ~_behind_another, ~_before_its_answer)
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
CHANGE = update(outbox).where(_begun_here)
FINISH = delete(outbox).where(_begun_here)


def drawn_by_another(database: Database) -> ColumnElement[bool]:
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


def beginning(may_begin: ColumnElement[bool]) -> Update:
    """Return the statement that begins what is due and may begin, in order."""
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


def add(connection: Connection, effects: Sequence[Effect], run_id: str | None, now: datetime) -> None:
    """Add effects that are due at once, and delete what they take the place of."""
    rows = [effect_row(effect, run_id, now) for effect in effects]
    for effect, row in zip(effects, rows, strict=True):
        if (take_its_place := _TAKE_ITS_PLACE_BY.get(type(effect))) is not None:
            same = {"of_run": run_id, "same": row["kind"], **row["payload"]}
            for earlier in connection.execute(take_its_place, same).mappings():
                # An earlier try may have posted a message that somebody had deleted: it is to be found.
                row.update(earlier)
    if rows:
        connection.execute(_ADD_EFFECT, rows)
