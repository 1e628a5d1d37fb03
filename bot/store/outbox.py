"""The outbox: which of its effects may begin, and what takes the place of what."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, Update, and_, bindparam, delete, exists, insert, or_, select, update

from bot.core.effects import Effect, EndAnswer, PostAnswer, PostResult, RefreshCard, RefreshForm, RefreshRoot, StartRun
from bot.core.model import AppMode, RunStatus
from bot.store.codec import SLACK_LANE, effect_row
from bot.store.database import Database
from bot.store.tables import OutboxState, follows, outbox, processes, runs

_other = outbox.alias("other")
# The end of a text waits only for what has begun, and the result for it, however late Slack confirmed the message of
# the text: what is known to stand above is not said again.
_goes_first = or_(
    and_(_other.c.id < outbox.c.id, or_(outbox.c.kind != EndAnswer.__name__, _other.c.state != OutboxState.PENDING)),
    and_(outbox.c.kind == PostResult.__name__, _other.c.kind == EndAnswer.__name__),
)
_behind_another = (
    exists()
    .where(
        _other.c.run_id == outbox.c.run_id,
        _other.c.lane == outbox.c.lane,
        _other.c.state != OutboxState.FAILED,
        _goes_first,
    )
    .correlate(outbox)
)
_asked, _asked_before = runs.alias("asked"), runs.alias("asked_before")
# Whether an earlier message holds it up is for the core to say.
_before_its_answer = and_(
    outbox.c.kind == StartRun.__name__,
    exists()
    .where(
        _asked.c.run_id == outbox.c.run_id,
        _asked.c.mode == AppMode.CHATFLOW,
        _asked_before.c.channel_id == _asked.c.channel_id,
        _asked_before.c.thread_ts == _asked.c.thread_ts,
        _asked_before.c.said_at < _asked.c.said_at,
        _asked_before.c.ended_at.is_(None),
        _asked_before.c.is_answering,
    )
    .correlate(outbox),
)
_writes = outbox.alias("writes")
WRITES_BEFORE = (
    select(_asked_before.c.run_id)
    .where(
        _asked_before.c.channel_id == bindparam("channel"),
        _asked_before.c.thread_ts == bindparam("thread"),
        _asked_before.c.said_at < bindparam("said_at"),
        # One that is held is sent as if it were said when somebody says so.
        _asked_before.c.status != RunStatus.HELD,
        or_(
            _asked_before.c.ended_at.is_(None),
            exists()
            .where(
                _writes.c.run_id == _asked_before.c.run_id,
                _writes.c.kind.in_([PostAnswer.__name__, EndAnswer.__name__, PostResult.__name__]),
                _writes.c.state != OutboxState.FAILED,
            )
            .correlate(_asked_before),
        ),
    )
    .limit(1)
)
"""Finds a run that was asked for before another one in a thread, and may still write there."""
# Not begun, and not behind another one of its lane. An effect without a run is behind nobody.
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
_TAKE_ITS_PLACE_OF_FORM = _TAKE_ITS_PLACE.where(outbox.c.payload["form_id"].as_string() == bindparam("form_id"))
_TAKE_ITS_PLACE_BY = {
    RefreshRoot: _TAKE_ITS_PLACE,
    RefreshForm: _TAKE_ITS_PLACE_OF_FORM,
    RefreshCard: _TAKE_ITS_PLACE_OF_FORM,
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


def give_way(connection: Connection, row_id: int) -> None:
    """Delete a redrawing that is put back where a later one will show the same and more: it would hold up its lane."""
    row = connection.execute(select(outbox).where(outbox.c.id == row_id)).mappings().one()
    redraws = [kind for kind in _TAKE_ITS_PLACE_BY if kind.__name__ == row["kind"]]
    if not redraws:
        return
    same = [outbox.c[name] == row[name] for name in ("run_id", "lane", "kind", "state")]
    if redraws != [RefreshRoot]:
        same.append(outbox.c.payload["form_id"].as_string() == row["payload"]["form_id"])
    later = connection.scalar(select(outbox.c.id).where(outbox.c.id > row_id, *same).limit(1))
    if later is not None:
        connection.execute(delete(outbox).where(outbox.c.id == row_id))
        # The earlier try may have posted a message that somebody had deleted: it is to be found.
        tried = {name: row[name] for name in ("post_id", "attempts")}
        connection.execute(update(outbox).where(outbox.c.id == later).values(tried))


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
