"""When to remind people of a form that waits: at parts of its time and at spans before its deadline, not at night."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from fractions import Fraction
from zoneinfo import ZoneInfo

from bot.core.model import Form

APART = timedelta(minutes=5)
"""The least time between a form's question and its reminders, and between two reminders of it."""

UNIVERSAL = ZoneInfo("UTC")

_BEFORE_QUIET = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class QuietHours:
    """The hours of each day from `begin` to before `end`, over midnight where `end` is the earlier one."""

    begin: time
    end: time

    def include(self, at: time) -> bool:
        """Tell whether a time of day lies within them."""
        if self.begin < self.end:
            return self.begin <= at < self.end
        return at >= self.begin or at < self.end


@dataclass(frozen=True, slots=True)
class ReminderPolicy:
    """When an app's forms are reminded of."""

    reminders: tuple[Fraction | timedelta, ...] = ()
    """Parts of the time from the question to the deadline, and spans before the deadline."""
    quiet_hours: QuietHours | None = None
    zone: ZoneInfo = UNIVERSAL
    """Where the clock stands that the quiet hours go by."""

    def quiet(self, moment: datetime) -> bool:
        """Tell whether nobody is to be reminded at this moment."""
        return self.quiet_hours is not None and self.quiet_hours.include(_time_of_day(moment, self.zone))


def next_reminder(form: Form, policy: ReminderPolicy, now: datetime) -> datetime | None:
    """Return the first moment after `now` at which to remind of the form; None where there is none.

    A form without a deadline waits for nobody in particular. A moment within the quiet hours moves to their end, or to
    just before them where their end would be too late.
    """
    return next((moment for moment in _moments(form, policy) if moment > now), None)


def held_until(form: Form, policy: ReminderPolicy, now: datetime) -> datetime | None:
    """Return the end of the quiet hours for a reminder that comes due late, within them; None where it may be posted.

    Where the form's deadline is earlier than that, it is the deadline, at which nobody is reminded any more.
    """
    if not policy.quiet(now):
        return None
    awake = _after_quiet(policy, now)
    return awake if form.expires_at is None else min(awake, form.expires_at)


def _moments(form: Form, policy: ReminderPolicy) -> Iterator[datetime]:
    if form.asked_at is None or form.expires_at is None:
        return
    last = form.asked_at
    for moment in sorted(_wanted(form.asked_at, form.expires_at, policy)):
        if moment - last >= APART:
            yield moment
            last = moment


def _wanted(asked_at: datetime, deadline: datetime, policy: ReminderPolicy) -> Iterator[datetime]:
    for reminder in policy.reminders:
        if isinstance(reminder, timedelta):
            moment = deadline - reminder
        else:
            moment = asked_at + (deadline - asked_at) * float(reminder)
        if moment < asked_at:
            continue
        if policy.quiet(moment):
            awake = _after_quiet(policy, moment)
            moment = awake if awake < deadline else _before_quiet(policy, moment)
        if moment < deadline:
            yield moment


def _after_quiet(policy: ReminderPolicy, moment: datetime) -> datetime:
    assert policy.quiet_hours is not None, "a moment is quiet within quiet hours only"
    ends = _readings(policy.quiet_hours.end, _days(moment, policy, (0, 1, 2)), policy.zone)
    return min(end for end in ends if end > moment and not policy.quiet(end))


def _before_quiet(policy: ReminderPolicy, moment: datetime) -> datetime:
    assert policy.quiet_hours is not None, "a moment is quiet within quiet hours only"
    begins = _readings(policy.quiet_hours.begin, _days(moment, policy, (-2, -1, 0)), policy.zone)
    before = (begin - _BEFORE_QUIET for begin in begins)
    return max(each for each in before if each < moment and not policy.quiet(each))


def _days(moment: datetime, policy: ReminderPolicy, offsets: Iterable[int]) -> list[date]:
    today = moment.astimezone(policy.zone).date()
    return [today + timedelta(days=offset) for offset in offsets]


def _readings(at: time, days: Iterable[date], zone: ZoneInfo) -> Iterator[datetime]:
    """Give the moments at which a clock shows this time: when clocks are put back it does so twice a night.

    A time that is left out when clocks are put forward is read by the clock before and by the one after.
    """
    for day in days:
        for fold in (0, 1):
            yield datetime.combine(day, at.replace(fold=fold), tzinfo=zone).astimezone(UTC)


def _time_of_day(moment: datetime, zone: ZoneInfo) -> time:
    return moment.astimezone(zone).time()
