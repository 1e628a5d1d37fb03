"""Rows give back the values they were made of, through the JSON that a database keeps."""

from __future__ import annotations

import json
from dataclasses import fields
from datetime import UTC
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.core.effects import DifyEffect, Effect, SlackEffect
from bot.core.model import Form, FormInput, Run, Submission
from bot.store import codec
from bot.store.tables import forms, outbox, runs
from tests.factories import NOW, make_run

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
mappings = st.dictionaries(st.text(), json_values, max_size=3)
moments = st.datetimes(timezones=st.just(UTC))
submissions = st.builds(Submission, values=mappings, at=moments)
form_inputs = st.one_of(*(st.builds(kind) for kind in get_args(FormInput)))
asked_forms = st.builds(
    Form,
    inputs=st.lists(form_inputs, max_size=3).map(tuple),
    expires_at=st.none() | moments,
    submission=st.none() | submissions,
)
any_runs = st.builds(
    Run,
    run_inputs=mappings,
    outputs=mappings,
    created_at=moments,
    since=st.none() | moments,
    started_at=st.none() | moments,
    ended_at=st.none() | moments,
    poll_at=st.none() | moments,
    forms=st.lists(asked_forms, max_size=2).map(tuple),
)
KINDS = get_args(Effect)


def through_json(row: dict[str, Any], columns: list[str]) -> dict[str, Any]:
    """Return the row after its JSON columns were written and read."""
    return {**row, **{column: json.loads(json.dumps(row[column])) for column in columns}}


@given(asked_forms)
def test_a_form_comes_back(form: Form) -> None:
    row = codec.form_row(form, "run-1", 0)
    assert codec.form_of(through_json(row, ["inputs", "user_actions", "submission"])) == form


@given(any_runs)
def test_a_run_comes_back_with_its_forms(run: Run) -> None:
    row = through_json(codec.run_row(run), ["run_inputs", "outputs"])
    assert codec.run_of(row, [codec.form_row(form, run.run_id, 0) for form in run.forms]) == run


def test_a_run_is_read_whatever_columns_an_older_process_left_out() -> None:
    """It still runs while another one has brought the database up to date."""
    row = codec.run_row(make_run()) | {column.name: None for column in runs.c if column.nullable}
    run = codec.run_of(row, [])
    assert (run.attachments, run.out_files, run.suggestions, run.texts) == ((), (), (), ())


@given(st.one_of(*(st.builds(kind) for kind in KINDS)))
def test_an_effect_comes_back(effect: Effect) -> None:
    row = through_json(codec.effect_row(effect, "run-1", NOW), ["payload"])
    saved = codec.saved_effect_of({**row, "id": 7})
    assert (saved.effect, saved.row_id, saved.run_id, saved.attempts) == (effect, 7, "run-1", 0)
    assert saved.post_id == row["post_id"]


@pytest.mark.parametrize(("lane", "kinds"), [("slack", get_args(SlackEffect)), ("dify", get_args(DifyEffect))])
@given(choice=st.data())
def test_an_effect_goes_into_the_lane_of_its_platform(
    lane: str, kinds: tuple[type, ...], choice: st.DataObject
) -> None:
    effect = choice.draw(st.one_of(*(st.builds(kind) for kind in kinds)))
    assert codec.effect_row(effect, None, NOW)["lane"] == lane


def test_no_field_of_a_run_or_a_form_is_left_out_of_the_tables() -> None:
    assert {column.name for column in runs.c} - {"is_answering"} == {field.name for field in fields(Run)} - {"forms"}
    assert {column.name for column in forms.c} == {field.name for field in fields(Form)} | {"run_id", "position"}


@given(asked_forms, st.builds(KINDS[0]))
def test_rows_name_every_column_that_the_database_does_not_fill(form: Form, effect: Effect) -> None:
    assert set(codec.form_row(form, "run-1", 0)) == {column.name for column in forms.c}
    assert set(codec.effect_row(effect, None, NOW)) == {column.name for column in outbox.c} - {"id"}
