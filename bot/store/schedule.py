"""What is due, and what is past."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Select,
    and_,
    bindparam,
    case,
    delete,
    exists,
    func,
    or_,
    select,
    true,
    union_all,
    update,
)
from sqlalchemy.sql.dml import ReturningUpdate

from bot.core.model import RunStatus
from bot.store.tables import UNDECIDED, Moment, OutboxState, drafts, follows, forms, inbox, outbox, runs

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


DIGITS = "0123456789abcdef"
_poll_anew = update(runs).values(
    poll_at=case(
        *(
            (func.substr(runs.c.run_id, func.length(runs.c.run_id)) == digit, bindparam(f"at_{digit}", type_=Moment))
            for digit in DIGITS[1:]
        ),
        else_=bindparam("at_0", type_=Moment),
    )
)
"""By the last digit of a run's id, so that they are not due all at once."""
POLL_ALL_SOON = _poll_anew.where(runs.c.status == RunStatus.PAUSED, runs.c.poll_at > bindparam("at_f", type_=Moment))
POLL_STRAY_SOON = _poll_anew.where(runs.c.poll_at > bindparam("latest", type_=Moment))
STRAY_EFFECTS_NOW = (
    update(outbox)
    .where(outbox.c.state == OutboxState.PENDING, outbox.c.due_at > bindparam("latest", type_=Moment))
    .values(due_at=bindparam("now", type_=Moment))
)
CLAIM_POLLS = _claiming_polls(runs.c.app.in_(_apps))
CLAIM_OTHER_POLLS = _claiming_polls(runs.c.app.not_in(_apps))
_due_forms = (
    select(forms.c.form_id)
    .where(forms.c.remind_at <= bindparam("now"))
    .order_by(forms.c.remind_at)
    .limit(bindparam("limit"))
    .with_for_update(skip_locked=True)
    .cte("due_forms")
)
CLAIM_REMINDERS = (
    update(forms)
    .where(forms.c.form_id.in_(select(_due_forms.c.form_id)))
    .values(remind_at=bindparam("again_at"))
    .returning(forms.c.run_id, forms.c.form_id)
)
FORGET = delete(inbox).where(inbox.c.received_at < bindparam("before"))
PAST_HELD = (
    select(runs.c.run_id)
    .where(runs.c.status == RunStatus.HELD, runs.c.created_at < bindparam("before"))
    .order_by(runs.c.created_at)
    .limit(bindparam("limit"))
)
PAST_RUNS = (
    select(runs.c.run_id)
    .where(
        or_(
            runs.c.ended_at < bindparam("before"),
            # A message that was held and not sent is as old as when it was written.
            and_(
                runs.c.status == RunStatus.STOPPED,
                runs.c.workflow_run_id.is_(None),
                runs.c.created_at < bindparam("before"),
            ),
        ),
        ~exists().where(outbox.c.run_id == runs.c.run_id, outbox.c.state != OutboxState.FAILED).correlate(runs),
    )
    .order_by(runs.c.ended_at)
    .limit(bindparam("limit"))
    .with_for_update(skip_locked=True)
)
_past_ids: BindParameter[str] = bindparam("run_ids", expanding=True)
_past_forms = select(forms.c.form_id).where(forms.c.run_id.in_(_past_ids))
PURGE_RUNS = (
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
PURGE_ANSWERS = delete(outbox).where(outbox.c.id.in_(select(_past_answers.c.id))).returning(outbox.c.id)


def earliest(may_begin: ColumnElement[bool]) -> Select[Any]:
    """Return the statement that finds the earliest moment at which a look, a reminder or an effect is due."""
    moments = union_all(
        select(func.min(runs.c.poll_at).label("at")),
        select(func.min(forms.c.remind_at)),
        select(func.min(outbox.c.due_at)).where(may_begin),
    ).subquery()
    return select(func.min(moments.c.at))
