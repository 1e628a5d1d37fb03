"""People are reminded while there is time left, not at night, and of each moment once."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.core.model import Form
from bot.core.reminding import APART, QuietHours, ReminderPolicy, held_until, next_reminder
from tests.factories import make_form

BERLIN = ZoneInfo("Europe/Berlin")
HALF = Fraction(1, 2)
HOUR = timedelta(hours=1)
NIGHT = QuietHours(time(22), time(7))
DEFAULT = ReminderPolicy((HALF, HOUR))
ASKED = datetime(2026, 3, 2, 9, tzinfo=UTC)


def asked_for(span: timedelta, at: datetime = ASKED, **changes: Any) -> Form:
    """Return a form that waits for so long."""
    return make_form(**{"asked_at": at, "expires_at": at + span} | changes)


def all_reminders(form: Form, policy: ReminderPolicy) -> list[datetime]:
    """Return every moment at which people are reminded, if each one is posted when it is due."""
    assert form.asked_at is not None
    moments = [form.asked_at]
    while (moment := next_reminder(form, policy, moments[-1])) is not None:
        moments.append(moment)
    return moments[1:]


def berlin(*moment: int) -> datetime:
    return datetime(*moment, tzinfo=BERLIN).astimezone(UTC)  # type: ignore[misc, arg-type]


def night(*reminders: Fraction | timedelta) -> ReminderPolicy:
    return ReminderPolicy(reminders, NIGHT, BERLIN)


# --- without quiet hours ---------------------------------------------------------------------------------------------


def test_at_half_the_time_and_an_hour_before_the_deadline() -> None:
    form = asked_for(timedelta(hours=10))
    assert all_reminders(form, DEFAULT) == [ASKED + timedelta(hours=5), ASKED + timedelta(hours=9)]


@pytest.mark.parametrize("form", [asked_for(HOUR, expires_at=None), asked_for(HOUR, asked_at=None)])
def test_without_a_deadline_there_is_nothing_to_remind_of(form: Form) -> None:
    assert next_reminder(form, DEFAULT, ASKED) is None


def test_without_reminders_nobody_is_reminded() -> None:
    assert next_reminder(asked_for(HOUR), ReminderPolicy(), ASKED) is None


def test_a_span_longer_than_the_time_reminds_of_nothing() -> None:
    assert all_reminders(asked_for(timedelta(minutes=50)), DEFAULT) == [ASKED + timedelta(minutes=25)]


def test_a_form_that_was_just_asked_is_not_reminded_of() -> None:
    assert all_reminders(asked_for(timedelta(minutes=9)), DEFAULT) == []


def test_two_reminders_at_nearly_the_same_moment_are_one() -> None:
    assert all_reminders(asked_for(timedelta(hours=2, minutes=8)), DEFAULT) == [ASKED + timedelta(hours=1, minutes=4)]


def test_what_was_missed_is_not_made_up_for() -> None:
    form = asked_for(timedelta(hours=10))
    assert next_reminder(form, DEFAULT, ASKED + timedelta(hours=6)) == ASKED + timedelta(hours=9)


# --- quiet hours -----------------------------------------------------------------------------------------------------


def test_at_night_it_waits_for_the_morning() -> None:
    form = asked_for(timedelta(days=1), at=berlin(2026, 3, 2, 14))
    assert all_reminders(form, night(HALF)) == [berlin(2026, 3, 3, 7)]


def test_where_the_morning_is_too_late_it_comes_in_the_evening() -> None:
    form = asked_for(timedelta(hours=20), at=berlin(2026, 3, 2, 9))
    assert all_reminders(form, night(HOUR)) == [berlin(2026, 3, 2, 21, 59)]


def test_where_the_evening_has_passed_too_it_does_not_come() -> None:
    form = asked_for(timedelta(hours=4), at=berlin(2026, 3, 2, 23))
    assert all_reminders(form, night(HALF, HOUR)) == []


def test_two_reminders_of_one_night_are_one() -> None:
    form = asked_for(timedelta(hours=16), at=berlin(2026, 3, 2, 20))
    assert all_reminders(form, night(HALF, timedelta(hours=10))) == [berlin(2026, 3, 3, 7)]


@pytest.mark.parametrize(
    ("hours", "at", "quiet"),
    [
        (NIGHT, time(22), True),
        (NIGHT, time(6, 59), True),
        (NIGHT, time(7), False),
        (NIGHT, time(21, 59), False),
        (QuietHours(time(12), time(13)), time(12), True),
        (QuietHours(time(12), time(13)), time(13), False),
    ],
)
def test_quiet_hours_may_go_over_midnight(hours: QuietHours, at: time, quiet: bool) -> None:
    assert hours.include(at) is quiet


@pytest.mark.parametrize(
    ("day", "hours"),
    [
        ((2026, 3, 29), QuietHours(time(22), time(2, 30))),
        ((2026, 3, 29), QuietHours(time(2, 30), time(4))),
        ((2026, 10, 25), QuietHours(time(22), time(2, 30))),
        ((2026, 10, 25), QuietHours(time(2, 30), time(4))),
    ],
    ids=str,
)
@pytest.mark.parametrize("minutes", range(0, 300, 20))
def test_the_night_in_which_clocks_are_changed(day: tuple[int, int, int], hours: QuietHours, minutes: int) -> None:
    """In March half past two does not come, in October it comes twice."""
    policy = ReminderPolicy((HALF,), hours, BERLIN)
    form = asked_for(timedelta(hours=12), at=berlin(*day) + timedelta(minutes=minutes) - timedelta(hours=6))
    (moment,) = all_reminders(form, policy)
    assert not policy.quiet(moment)
    assert timedelta(0) <= moment - (berlin(*day) + timedelta(minutes=minutes)) <= timedelta(hours=5)


def test_one_that_comes_late_and_at_night_is_held() -> None:
    """The bot was off in the evening, and is started at night."""
    late = berlin(2026, 3, 2, 23)
    form = asked_for(timedelta(days=2), at=berlin(2026, 3, 2, 9))
    assert held_until(form, night(HALF), late) == berlin(2026, 3, 3, 7)
    assert held_until(form, DEFAULT, late) is None
    assert held_until(form, night(HALF), berlin(2026, 3, 3, 7)) is None


def test_it_is_held_no_longer_than_to_the_deadline() -> None:
    form = asked_for(timedelta(hours=18), at=berlin(2026, 3, 2, 9))
    assert held_until(form, night(HALF), berlin(2026, 3, 2, 23)) == form.expires_at


# --- whatever is asked for -------------------------------------------------------------------------------------------

_ZONES = st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata"])
_TIMES = st.times().map(lambda at: at.replace(second=0, microsecond=0))
_POLICIES = st.builds(
    ReminderPolicy,
    st.lists(
        st.integers(1, 99).map(lambda percent: Fraction(percent, 100))
        | st.timedeltas(timedelta(minutes=1), timedelta(days=2)),
        max_size=5,
    ).map(tuple),
    st.none()
    | st.tuples(_TIMES, _TIMES).filter(lambda hours: hours[0] != hours[1]).map(lambda hours: QuietHours(*hours)),
    _ZONES.map(ZoneInfo),
)
_FORMS = st.builds(
    asked_for,
    st.timedeltas(timedelta(0), timedelta(days=4)),
    # Around the nights in which clocks are changed, here and there.
    st.builds(
        lambda day, span: datetime(2026, *day, tzinfo=UTC) + span,
        st.sampled_from([(3, 27), (10, 23), (4, 3), (11, 1)]),
        st.timedeltas(timedelta(0), timedelta(days=3)),
    ),
)


@given(_FORMS, _POLICIES)
def test_reminders_come_in_time_apart_and_by_day(form: Form, policy: ReminderPolicy) -> None:
    moments = all_reminders(form, policy)
    assert form.asked_at is not None
    assert form.expires_at is not None
    assert len(moments) <= len(policy.reminders)
    assert all(later - earlier >= APART for earlier, later in zip([form.asked_at, *moments], moments, strict=False))
    assert all(moment < form.expires_at and not policy.quiet(moment) for moment in moments)


@given(_FORMS, _POLICIES, st.timedeltas(timedelta(0), timedelta(days=4)))
def test_whenever_it_is_asked_for_the_next_reminder_is_the_same_one(
    form: Form, policy: ReminderPolicy, passed: timedelta
) -> None:
    """However often a form is scheduled anew, no moment is named twice, and what passed does not come back."""
    assert form.asked_at is not None
    now = form.asked_at + passed
    ahead = [moment for moment in all_reminders(form, policy) if moment > now]
    assert next_reminder(form, policy, now) == (ahead[0] if ahead else None)


@given(_FORMS, _POLICIES, st.timedeltas(timedelta(0), timedelta(days=4)))
def test_a_late_reminder_is_held_to_a_moment_ahead_that_is_not_quiet(
    form: Form, policy: ReminderPolicy, passed: timedelta
) -> None:
    assert form.asked_at is not None
    assert form.expires_at is not None
    now = form.asked_at + passed
    if now < form.expires_at:
        held = held_until(form, policy, now)
        assert (held is not None) == policy.quiet(now)
        assert held is None or (held > now and (held == form.expires_at or not policy.quiet(held)))
