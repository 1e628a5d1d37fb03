"""When Dify is asked next how a run stands: dense where something is about to happen, sparse else (dify-api §15.3)."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.core.model import FormStatus, Run, RunStatus
from bot.core.polling import next_poll
from tests.factories import NOW, make_form, make_run

INTERVAL = timedelta(seconds=30)


def wait(run: Run, now: datetime, spread: float = 0.5) -> float | None:
    """Return the seconds until the next look."""
    at = next_poll(run, now, INTERVAL, spread)
    return None if at is None else (at - now).total_seconds()


def since(age: timedelta, status: RunStatus = RunStatus.PAUSED, **form: Any) -> Run:
    """Return a run that has stood so for this long, with one open form, or one as told."""
    return make_run(status=status, since=NOW - age, forms=(make_form(**form),))


@pytest.mark.parametrize(
    ("status", "age", "seconds"),
    [
        (RunStatus.PAUSED, timedelta(0), 30),
        (RunStatus.PAUSED, timedelta(minutes=59), 30),
        (RunStatus.PAUSED, timedelta(hours=1), 60),
        (RunStatus.PAUSED, timedelta(hours=23), 60),
        (RunStatus.PAUSED, timedelta(days=1), 300),
        (RunStatus.RESUMING, timedelta(0), 2),
        (RunStatus.RESUMING, timedelta(seconds=59), 2),
        (RunStatus.RESUMING, timedelta(minutes=1), 30),
        (RunStatus.RUNNING, timedelta(days=1), 60),
    ],
)
def test_the_pause_grows_with_the_age_of_a_state(status: RunStatus, age: timedelta, seconds: float) -> None:
    assert wait(since(age, status), NOW) == seconds


@pytest.mark.parametrize(
    "status", [status for status in RunStatus if status.ended or status in (RunStatus.REQUESTED, RunStatus.STARTING)]
)
def test_nothing_is_learnt_by_asking_about_a_run_without_a_name_or_after_its_end(status: RunStatus) -> None:
    assert wait(since(timedelta(0), status), NOW) is None


def test_a_run_that_was_never_moved_is_as_old_as_itself() -> None:
    assert wait(make_run(status=RunStatus.PAUSED, since=None), NOW + timedelta(hours=2)) == 60


def test_the_look_comes_right_after_a_deadline_that_is_near() -> None:
    """Then Dify calls the form expired, even before its own sweep (recording 14)."""
    assert wait(since(timedelta(days=1), expires_at=NOW + timedelta(seconds=10)), NOW) == 11
    assert wait(since(timedelta(0), expires_at=NOW + timedelta(hours=1)), NOW) == 30


@pytest.mark.parametrize(("passed", "seconds"), [(0, 2), (119, 2), (120, 300)])
def test_looks_are_dense_until_difys_sweep_has_passed(passed: float, seconds: float) -> None:
    """It runs once a minute (dify-api §11); a deadline of long ago promises nothing any more."""
    run = since(timedelta(days=1), expires_at=NOW - timedelta(seconds=passed))
    assert wait(run, NOW) == seconds


def test_a_closed_form_has_no_deadline() -> None:
    closed = make_form(status=FormStatus.SUBMITTED, expires_at=NOW + timedelta(seconds=10))
    run = make_run(status=RunStatus.PAUSED, since=NOW - timedelta(days=1), forms=(closed,))
    assert wait(run, NOW) == 300


def test_looks_after_a_deadline_are_no_sparser_than_asked_for() -> None:
    run = since(timedelta(0), expires_at=NOW)
    assert next_poll(run, NOW, timedelta(seconds=1)) == NOW + timedelta(seconds=1)


@given(spread=st.floats(0, 1), age=st.timedeltas(timedelta(0), timedelta(days=9)))
def test_many_runs_do_not_ask_at_once(spread: float, age: timedelta) -> None:
    """The moment moves by up to a tenth either way, and is always ahead."""
    run = since(age)
    middle, moved = wait(run, NOW), wait(run, NOW, spread)
    assert middle is not None
    assert moved is not None
    assert moved > 0
    assert abs(moved - middle) <= middle * 0.1 + 1e-6


def test_the_spread_is_used_in_full() -> None:
    run = since(timedelta(0))
    assert [wait(run, NOW, spread) for spread in (0.0, 0.5, 1.0)] == [27, 30, 33]
