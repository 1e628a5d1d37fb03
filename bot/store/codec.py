"""Values of the core as rows, and back.

Effects and form inputs are kept under the name of their class: renaming one of those classes takes a migration.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import fields
from datetime import datetime
from functools import cache
from typing import Any, get_args

from pydantic import TypeAdapter

from bot.core.effects import Effect, FetchFile, PullFile, SlackEffect
from bot.core.model import Attachment, Form, FormInput, OutFile, Run, SegmentText, Settlement, Submission, UserAction
from bot.core.ports import SavedEffect
from bot.store.tables import OutboxState, runs

Row = dict[str, Any]
"""Column name → value, as the tables' types take and give it."""

_CLASSES: dict[str, type] = {kind.__name__: kind for kind in (*get_args(Effect), *get_args(FormInput))}
_SLACK_EFFECTS = get_args(SlackEffect)

SLACK_LANE, DIFY_LANE = "slack", "dify"


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def _plain(value: Any, kind: Any) -> Any:
    return _adapter(kind).dump_python(value, mode="json")


def run_row(run: Run) -> Row:
    """Return the row of `runs`."""
    return {
        **{column.name: getattr(run, column.name) for column in runs.c},
        "attachments": _plain(run.attachments, tuple[Attachment, ...]),
        "texts": _plain(run.texts, tuple[SegmentText, ...]),
        "settlement": _plain(run.settlement, Settlement | None),
        "out_files": _plain(run.out_files, tuple[OutFile, ...]),
    }


def form_row(form: Form, run_id: str, position: int) -> Row:
    """Return the row of `forms`."""
    return {
        **{field.name: getattr(form, field.name) for field in fields(Form)},
        "run_id": run_id,
        "position": position,
        "inputs": [{"kind": type(field).__name__, **_plain(field, type(field))} for field in form.inputs],
        "user_actions": _plain(form.user_actions, tuple[UserAction, ...]),
        "submission": _plain(form.submission, Submission | None),
    }


def effect_row(effect: Effect, run_id: str | None, now: datetime) -> Row:
    """Return the row of `outbox` for an effect that is due at once."""
    return {
        "post_id": secrets.token_hex(16),
        "run_id": run_id,
        "lane": _lane(effect),
        "kind": type(effect).__name__,
        "payload": _plain(effect, type(effect)),
        "state": OutboxState.PENDING,
        "owner": None,
        "attempts": 0,
        "due_at": now,
        "reason": None,
        "created_at": now,
    }


def _lane(effect: Effect) -> str:
    match effect:
        case PullFile(attachment_id=name) | FetchFile(key=name):
            return f"file {name}"
        case _:
            return SLACK_LANE if isinstance(effect, _SLACK_EFFECTS) else DIFY_LANE


def run_of(row: Row, form_rows: Iterable[Row]) -> Run:
    """Return the run of a row of `runs` and its rows of `forms`, in their order."""
    # A process of an older version, which still runs while others are new, leaves out columns that it does not know.
    known = {name: value for name, value in row.items() if value is not None}
    run: Run = _adapter(Run).validate_python({**known, "forms": tuple(form_of(each) for each in form_rows)})
    return run


def form_of(row: Row) -> Form:
    """Return the form of a row of `forms`."""
    inputs = tuple(_adapter(_CLASSES[field["kind"]]).validate_python(field) for field in row["inputs"])
    form: Form = _adapter(Form).validate_python({**row, "inputs": inputs})
    return form


def saved_effect_of(row: Row) -> SavedEffect:
    """Return the effect of a row of `outbox`."""
    return SavedEffect(
        row_id=row["id"],
        post_id=row["post_id"],
        run_id=row["run_id"],
        effect=_adapter(_CLASSES[row["kind"]]).validate_python(row["payload"]),
        attempts=row["attempts"],
        created_at=row["created_at"],
    )
