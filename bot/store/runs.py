"""Runs with their forms, and what people have entered into the windows of these."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime
from itertools import groupby
from typing import Any

from sqlalchemy import (
    Connection,
    Executable,
    Row,
    String,
    and_,
    bindparam,
    cast,
    delete,
    func,
    insert,
    or_,
    select,
    union_all,
    update,
)

from bot.core.effects import GiveBackDraft
from bot.core.model import AppMode, FileField, Form, FormStatus, Run, RunStatus
from bot.core.ports import Draft
from bot.errors import UnknownHere
from bot.store.codec import form_row, run_of, run_row
from bot.store.database import Database
from bot.store.tables import UNDECIDED, drafts, forms, runs

# A run is loaded with its forms by one statement, so that no form is of another moment than its run.
_RUN = (
    select(runs, forms)
    .join_from(runs, forms, isouter=True)
    .where(runs.c.run_id == bindparam("key"))
    .order_by(forms.c.position)
)
_in_conversation = select(runs.c.run_id).where(
    runs.c.channel_id == bindparam("channel"),
    runs.c.thread_ts == bindparam("thread"),
    runs.c.mode == AppMode.CHATFLOW,
)
_counts = union_all(
    select(_in_conversation.order_by(runs.c.said_at).limit(1).subquery()),
    select(_in_conversation.where(runs.c.conversation_id != "").order_by(runs.c.said_at.desc()).limit(1).subquery()),
    _in_conversation.where(runs.c.ended_at.is_(None)),
)
CONVERSATION = (
    select(runs, forms)
    .join_from(runs, forms, isouter=True)
    .where(runs.c.run_id.in_(_counts))
    .order_by(runs.c.said_at, runs.c.run_id, forms.c.position)
)
POSTS_ROOT = (
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
ASKING = (
    select(runs.c.run_id)
    .join_from(runs, forms)
    .where(
        runs.c.channel_id == bindparam("channel"),
        runs.c.thread_ts == bindparam("thread"),
        runs.c.ended_at.is_(None),
        forms.c.status.in_((FormStatus.REQUIRED, FormStatus.OPEN)),
        # The name of the class, as `bot.store.codec` keeps it; whoever asks looks at the fields themselves.
        cast(forms.c.inputs, String).contains(FileField.__name__),
    )
    .order_by(forms.c.asked_at.desc())
    .limit(1)
)
WORKFLOW_IN = select(runs.c.run_id).where(
    runs.c.channel_id == bindparam("channel"),
    runs.c.thread_ts == bindparam("thread"),
    runs.c.mode == AppMode.WORKFLOW,
)
_started_by = select(runs.c.run_id).where(
    runs.c.team_id == bindparam("team"), runs.c.starter_id == bindparam("starter")
)
_next_deadline = (
    select(func.min(forms.c.expires_at)).where(forms.c.run_id == runs.c.run_id, UNDECIDED).scalar_subquery()
)
_goes_on_of = (
    _started_by.where(runs.c.ended_at.is_(None))
    .order_by(_next_deadline.nulls_last(), runs.c.created_at.desc())
    .limit(bindparam("going"))
)
_ended_of = _started_by.where(runs.c.ended_at.is_not(None)).order_by(runs.c.ended_at.desc()).limit(bindparam("ended"))
STARTED_BY = (
    select(runs, forms)
    .join_from(runs, forms, isouter=True)
    .where(runs.c.run_id.in_(union_all(select(_goes_on_of.subquery()), select(_ended_of.subquery()))))
    .order_by(runs.c.ended_at.desc().nulls_first(), runs.c.created_at.desc(), runs.c.run_id, forms.c.position)
)
_RUN_COLUMNS = runs.c.keys()
_FORM_COLUMNS = forms.c.keys()
NAMED = select(runs.c.workflow_run_id).where(runs.c.workflow_run_id.in_(bindparam("ids", expanding=True)))
TAKING = 4_318_279_606
"""The advisory lock of whoever takes one of Dify's runs, so that no two take the same."""
# By one statement: a run that Dify names meanwhile has one of the two.
_RIVALS = select(runs.c.workflow_run_id, runs.c.run_inputs).where(
    runs.c.run_id != bindparam("key"),
    or_(
        runs.c.workflow_run_id == bindparam("wanted"),
        and_(runs.c.status == RunStatus.STARTING, runs.c.dify_user == bindparam("dify_user")),
    ),
)
LOCK_RUN = select(runs.c.run_id).where(runs.c.run_id == bindparam("key")).with_for_update()
_CHANGE_RUN = update(runs).where(runs.c.run_id == bindparam("key"))
_ADD_FORM = insert(forms)
_CHANGE_FORM = update(forms).where(forms.c.form_id == bindparam("key"))
DRAFT = select(drafts.c.entered, drafts.c.saved_at).where(
    drafts.c.form_id == bindparam("form_id"), drafts.c.user_id == bindparam("user_id")
)
_DROP_DRAFT = delete(drafts).where(drafts.c.form_id == bindparam("of_form"), drafts.c.user_id == bindparam("of_user"))
_DROP_DRAFTS = (
    delete(drafts)
    .where(drafts.c.form_id == bindparam("of_form"), drafts.c.user_id.not_in(bindparam("looking", expanding=True)))
    .returning(drafts.c.user_id, drafts.c.entered, drafts.c.saved_at)
)


def draft_of(entered: dict[str, Any], saved_at: datetime) -> Draft:
    """Return the draft that is kept so."""
    return Draft(saved_at=saved_at, **entered)


def saving_draft(database: Database) -> Executable:
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


def load(connection: Connection, run_id: str) -> Run:
    """Load a run with its forms.

    Raises:
        UnknownHere: there is none with this id.
    """
    if joined := connection.execute(_RUN, {"key": run_id}).all():
        return _run_of_joined(joined)
    raise UnknownHere(f"there is no run {run_id}")


def load_conversation(connection: Connection, channel_id: str, thread_ts: str) -> tuple[Run, ...]:
    """Load what counts of the conversation in a thread, in its order (`Store.conversation`)."""
    return _runs_of_joined(connection.execute(CONVERSATION, {"channel": channel_id, "thread": thread_ts}).all())


def load_started_by(connection: Connection, team_id: str, user_id: str, going: int, ended: int) -> tuple[Run, ...]:
    """Load what a person has started (`Store.started_by`)."""
    whose = {"team": team_id, "starter": user_id, "going": going, "ended": ended}
    return _runs_of_joined(connection.execute(STARTED_BY, whose).all())


def _runs_of_joined(joined: Sequence[Row[Any]]) -> tuple[Run, ...]:
    by_run = groupby(joined, key=lambda row: row[0])
    return tuple(_run_of_joined(list(rows)) for _, rows in by_run)


def _run_of_joined(joined: Sequence[Row[Any]]) -> Run:
    """Return the run of its rows: one per form, or one with an empty form."""
    width = len(_RUN_COLUMNS)
    form_rows = [dict(zip(_FORM_COLUMNS, row[width:], strict=True)) for row in joined]
    return run_of(dict(zip(_RUN_COLUMNS, joined[0][:width], strict=True)), [row for row in form_rows if row["form_id"]])


def is_taken(connection: Connection, workflow_run_id: str, run: Run) -> bool:
    """Tell whether one of Dify's runs is, or may be, another one of ours."""
    sought = {"key": run.run_id, "wanted": workflow_run_id, "dify_user": run.dify_user}
    return any(
        name == workflow_run_id or run_inputs == run.run_inputs
        for name, run_inputs in connection.execute(_RIVALS, sought)
    )


def save_changes(connection: Connection, before: Run, run: Run) -> None:
    """Save what has changed of a run and its forms."""
    known = run_row(before)
    changes = {column: value for column, value in run_row(run).items() if value != known[column]}
    if changes:
        connection.execute(_CHANGE_RUN, {"key": run.run_id, **changes})
    save_forms(connection, run, before.forms)


def save_forms(connection: Connection, run: Run, before: Iterable[Form]) -> None:
    """Save the forms that are new or have changed; an answer drops the draft of who gave it."""
    known = {form.form_id: form for form in before}
    for position, form in enumerate(run.forms):
        if form.form_id not in known:
            connection.execute(_ADD_FORM, form_row(form, run.run_id, position))
        elif form != known[form.form_id]:
            connection.execute(_CHANGE_FORM, {"key": form.form_id, **form_row(form, run.run_id, position)})
            if form.submission is not None and form.submission != known[form.form_id].submission:
                connection.execute(_DROP_DRAFT, {"of_form": form.form_id, "of_user": form.submission.user_id})


def give_back(
    connection: Connection, before: Run, run: Run, looking: Collection[tuple[str, str]]
) -> Iterator[GiveBackDraft]:
    """Drop the drafts of forms that are closed now, and return what gives them back (`Store.change`)."""
    was_closed = {form.form_id for form in before.forms if form.status.closed}
    for form in run.forms:
        if form.status.closed and form.form_id not in was_closed:
            told = [user_id for form_id, user_id in looking if form_id == form.form_id]
            for row in connection.execute(_DROP_DRAFTS, {"of_form": form.form_id, "looking": told}).all():
                draft = draft_of(row.entered, row.saved_at)
                if not draft.is_blank:
                    yield GiveBackDraft(row.user_id, form.form_id, draft.values)


def adding(database: Database) -> Executable:
    """Return the statement that adds a run that is not there yet."""
    statement: Executable = database.insert(runs).on_conflict_do_nothing()
    return statement
