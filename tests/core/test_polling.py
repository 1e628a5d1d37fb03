"""When Dify is asked next how a run stands, and how closely (dify-api §15.3)."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.core.model import FormStatus, Run, RunStatus
from bot.core.polling import SOUGHT_FOR, LookUrgency, look_urgency, must_compare_forms, next_poll
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
        (RunStatus.PAUSED, timedelta(minutes=10), 30),
        (RunStatus.PAUSED, timedelta(hours=1), 180),
        (RunStatus.PAUSED, timedelta(hours=20), 3600),
        (RunStatus.PAUSED, timedelta(days=6), 3600),
        (RunStatus.RESUMING, timedelta(0), 2),
        (RunStatus.RESUMING, timedelta(seconds=59), 2),
        (RunStatus.RESUMING, timedelta(minutes=1), 30),
        (RunStatus.RESUMING, timedelta(hours=1), 180),
        (RunStatus.RESUMING, timedelta(days=1), 300),
        (RunStatus.RUNNING, timedelta(days=1), 60),
    ],
)
def test_the_pause_grows_with_the_age_of_a_state(status: RunStatus, age: timedelta, seconds: float) -> None:
    assert wait(since(age, status), NOW) == seconds


def test_a_run_that_executes_for_ever_is_looked_at_seldom() -> None:
    """Dify's worker died, and Dify says `running` until somebody cleans up (recording 39)."""
    run = make_run(status=RunStatus.RUNNING, since=NOW - timedelta(hours=1), told_stuck=True)
    assert wait(run, NOW) == 300


@pytest.mark.parametrize(
    ("status", "age", "failed", "seconds"),
    [
        (RunStatus.PAUSED, timedelta(0), 1, 60),
        (RunStatus.PAUSED, timedelta(0), 4, 480),
        (RunStatus.PAUSED, timedelta(0), 5, 600),
        (RunStatus.PAUSED, timedelta(0), 5000, 600),
        (RunStatus.PAUSED, timedelta(days=1), 1, 3600),
        (RunStatus.RESUMING, timedelta(0), 3, 16),
        (RunStatus.RUNNING, timedelta(0), 1, 4),
        (RunStatus.RUNNING, timedelta(0), 9, 600),
    ],
)
def test_each_look_that_fails_doubles_the_pause_before_the_next(
    status: RunStatus, age: timedelta, failed: int, seconds: float
) -> None:
    assert wait(replace(since(age, status), failed_looks=failed), NOW) == seconds


def test_a_run_whose_start_was_not_confirmed_is_looked_for_for_a_minute() -> None:
    """At first it is most likely there; later on it may wait in Dify's queue."""
    age, ages = timedelta(0), []
    while age < SOUGHT_FOR:
        seconds = wait(since(age, RunStatus.SOUGHT), NOW)
        assert seconds is not None
        age += timedelta(seconds=seconds)
        ages.append(age.total_seconds())
    assert ages == [1, 3, 9, 27, 60]


def test_a_search_that_takes_longer_because_dify_is_away_gets_sparse() -> None:
    run = since(timedelta(minutes=2), RunStatus.SOUGHT)
    assert [wait(replace(run, failed_looks=failed), NOW) for failed in (0, 1, 5, 20)] == [6, 12, 192, 600]


def test_no_failed_look_shortens_a_pause() -> None:
    run = replace(since(timedelta(0)), failed_looks=1)
    assert next_poll(run, NOW, timedelta(hours=1)) == NOW + timedelta(hours=1)


@pytest.mark.parametrize(
    "status", [status for status in RunStatus if status.ended or status in (RunStatus.REQUESTED, RunStatus.STARTING)]
)
def test_nothing_is_learnt_by_asking_about_a_run_without_a_name_or_after_its_end(status: RunStatus) -> None:
    assert wait(since(timedelta(0), status), NOW) is None


def test_a_run_that_was_never_moved_is_as_old_as_itself() -> None:
    assert wait(make_run(status=RunStatus.PAUSED, since=None), NOW + timedelta(hours=2)) == 360


def test_the_look_comes_right_after_a_deadline_that_is_near() -> None:
    """Then Dify calls the form expired, even before its own sweep (recording 14)."""
    assert wait(since(timedelta(days=1), expires_at=NOW + timedelta(seconds=10)), NOW) == 11
    assert wait(since(timedelta(0), expires_at=NOW + timedelta(hours=1)), NOW) == 30


@pytest.mark.parametrize(("passed", "seconds"), [(0, 2), (119, 2), (120, 3600)])
def test_looks_are_dense_until_difys_sweep_has_passed(passed: float, seconds: float) -> None:
    """It runs once a minute (dify-api §11); a deadline of long ago promises nothing any more."""
    run = since(timedelta(days=1), expires_at=NOW - timedelta(seconds=passed))
    assert wait(run, NOW) == seconds


def test_a_closed_form_has_no_deadline() -> None:
    closed = make_form(status=FormStatus.SUBMITTED, expires_at=NOW + timedelta(seconds=10))
    run = make_run(status=RunStatus.PAUSED, since=NOW - timedelta(days=1), forms=(closed,))
    assert wait(run, NOW) == 3600


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


def test_a_hundred_thousand_forms_of_all_ages_take_less_than_fifty_looks_a_second() -> None:
    """Dify lets a form wait for a week (dify-api §11), and one process looks at some hundred runs a second."""
    ages = [timedelta(days=7) * (number + 0.5) / 1000 for number in range(1000)]
    assert sum(100 / (wait(since(age), NOW) or 1) for age in ages) < 50


# --- who is looked at first ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("run", "urgency"),
    [
        (since(timedelta(0), RunStatus.RUNNING), LookUrgency.MOVES),
        (since(timedelta(0), RunStatus.RESUMING, expires_at=NOW), LookUrgency.MOVES),
        (since(timedelta(0), expires_at=NOW), LookUrgency.PAST_DEADLINE),
        (since(timedelta(0), expires_at=NOW + timedelta(seconds=1)), LookUrgency.WAITS),
        (
            make_run(status=RunStatus.PAUSED, forms=(make_form(expires_at=NOW, status=FormStatus.TIMED_OUT),)),
            LookUrgency.WAITS,
        ),
    ],
)
def test_who_waits_comes_after_who_moves_and_who_is_out_of_time(run: Run, urgency: LookUrgency) -> None:
    assert look_urgency(run, NOW) is urgency
    assert sorted(LookUrgency) == [LookUrgency.MOVES, LookUrgency.PAST_DEADLINE, LookUrgency.WAITS]


# --- whether its forms are compared ----------------------------------------------------------------------------------


def compared(age: timedelta = timedelta(hours=1), ago: timedelta = timedelta(minutes=1), **changes: Any) -> Run:
    """Return a run that has waited for this long, and whose forms were compared when Dify had counted two steps."""
    return replace(since(age), compared_at=NOW - ago, compared_steps=2, **changes)


@pytest.mark.parametrize("status", [FormStatus.REQUIRED, FormStatus.OPEN])
def test_of_a_run_that_waits_as_before_nothing_else_is_asked(status: FormStatus) -> None:
    assert not must_compare_forms(compared(forms=(make_form(status=status),)), 2, NOW)


@pytest.mark.parametrize(
    "run",
    [
        compared(status=RunStatus.RUNNING),
        compared(status=RunStatus.RESUMING),
        replace(compared(), compared_at=None),
        compared(forms=()),
        compared(forms=(make_form(status=FormStatus.SUBMITTED),)),
        compared(forms=(make_form(), make_form(form_id="form-2", status=FormStatus.CLAIMED))),
        compared(forms=(make_form(), make_form(form_id="form-2", status=FormStatus.SUBMITTING))),
        compared(forms=(make_form(), make_form(form_id="form-2", status=FormStatus.SETTLING))),
        compared(forms=(make_form(), make_form(form_id="form-2", expires_at=NOW))),
    ],
)
def test_forms_are_compared_where_we_know_of_something_else_than_waiting(run: Run) -> None:
    assert must_compare_forms(run, 2, NOW)


@pytest.mark.parametrize("steps", [1, 3, None])
def test_forms_are_compared_where_dify_has_counted_other_steps_or_does_not_say(steps: int | None) -> None:
    assert must_compare_forms(compared(), steps, NOW)


@pytest.mark.parametrize(
    ("age", "pause"),
    [
        (timedelta(minutes=5), timedelta(minutes=1)),
        (timedelta(hours=1), timedelta(minutes=12)),
        (timedelta(hours=10), timedelta(hours=2)),
        (timedelta(days=6), timedelta(hours=6)),
    ],
)
def test_forms_are_compared_from_time_to_time_without_any_sign(age: timedelta, pause: timedelta) -> None:
    """Of an answer given elsewhere that Dify lost, nothing tells (recording 33)."""
    assert not must_compare_forms(compared(age, pause - timedelta(seconds=1)), 2, NOW)
    assert must_compare_forms(compared(age, pause), 2, NOW)


@pytest.mark.parametrize("age", [timedelta(seconds=30), timedelta(minutes=2)])
def test_the_forms_of_a_young_pause_are_compared_at_each_look(age: timedelta) -> None:
    """An answer given elsewhere whose resume Dify lost leaves no buttons for long (recording 33)."""
    assert must_compare_forms(compared(age, INTERVAL), 2, NOW)


def test_forms_that_were_compared_in_the_future_are_compared_now() -> None:
    """The clock was put back."""
    assert must_compare_forms(compared(ago=timedelta(days=-1)), 2, NOW)
