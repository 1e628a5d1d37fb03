"""When to ask Dify next how a run stands, and how closely (dify-api §15.3).

Dense where something is about to happen, sparse else; and of a run that waits no more than how it stands, unless that
tells of a change, because there may be a hundred thousand of them.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import IntEnum

from bot.core.model import Run, RunStatus

GRACE_AFTER_ANSWER = timedelta(minutes=2)
"""A run that has not moved this long after Dify took an answer will hardly move by itself (recording 33)."""

SOUGHT_FOR = timedelta(minutes=1)
"""How long a run whose start was not confirmed may take to be in Dify's log: it may wait in a queue (recording 38)."""

EXECUTION_GRACE = timedelta(minutes=2)
"""What Dify may take to say that it broke off a run at its execution limit."""

_OF_AGE = 20
"""The pause between two looks is this part of a state's age: nobody waits for it longer than 5 % more."""
_WAITING_AT_MOST = timedelta(hours=1)
_MOVING_AT_MOST = timedelta(minutes=5)
_COMPARED_OF_AGE = 5
"""Of a pause's age, the part after which its forms are compared although nothing tells of a change."""
_COMPARED_AT_MOST = timedelta(hours=6)

_AT_ONCE = timedelta(seconds=1)
_SOON = timedelta(seconds=2)
_FOLLOWED = timedelta(minutes=1)
_DEADLINE_WINDOW = timedelta(minutes=2)
"""Dify's sweep for passed deadlines runs once a minute (dify-api §11)."""
_BACK_OFF = timedelta(minutes=10)
"""The longest pause between two looks that is owed to failed ones."""


class LookUrgency(IntEnum):
    """Who is looked at first, where many looks are due at once; the order in which the store hands them out."""

    MOVES = 0
    """People wait for what it does next, or nobody hears of it any more."""
    PAST_DEADLINE = 1
    WAITS = 2


def look_urgency(run: Run, now: datetime) -> LookUrgency:
    """Tell how urgent a look at the run is that is due."""
    if run.status is not RunStatus.PAUSED:
        return LookUrgency.MOVES
    return LookUrgency.PAST_DEADLINE if _past_deadline(run, now) else LookUrgency.WAITS


def must_compare_forms(run: Run, steps: int | None, now: datetime) -> bool:
    """Tell whether a run that Dify calls paused is to be asked which forms it holds open.

    That takes a snapshot and a reading of each form, so it is done only where something tells of a change: we do not
    have the run down as waiting, an answer is on its way, a deadline has passed, or Dify has counted other `steps` than
    when the forms were compared last. Each time a run goes on that count grows, by the form's own step at least, so
    that neither a pause that followed another between two looks nor the answer to one of several forms goes unseen
    (recordings 06, 07, 14, 25). Nothing tells of an answer given elsewhere that Dify took and lost (recording 33):
    for that the forms are compared again each time a fifth of the pause's age has passed, at most 6 hours. A young
    pause is so compared at each look, and one of a week fewer than a hundred times.
    """
    if run.status is not RunStatus.PAUSED or run.compared_at is None:
        return True
    undecided = all(form.status.asks for form in run.open_forms)
    if not run.open_forms or not undecided or _past_deadline(run, now):
        return True
    if steps is None or steps != run.compared_steps:
        return True
    pause = min(_age(run, now) / _COMPARED_OF_AGE, _COMPARED_AT_MOST)
    # A clock that was put back makes it look as if they were compared in the future.
    return not run.compared_at <= now < run.compared_at + pause


def next_poll(run: Run, now: datetime, interval: timedelta, spread: float = 0.5) -> datetime | None:
    """Return when to look at the run again; None where its present state is not learnt by looking.

    `interval` is the time between two looks at a young pause; an old one waits for up to an hour. `spread`, from 0 to
    1, moves the moment by up to a tenth either way, so that many runs do not ask at once. Each look that failed doubles
    the wait, up to 10 minutes.
    """
    wait = _wait(run, now, interval)
    if wait is None:
        return None
    wait = max(wait, min(wait * 2.0 ** min(run.failed_looks, 10), _BACK_OFF))
    moment = now + wait * (0.9 + 0.2 * spread)
    ahead = [form.expires_at for form in run.open_forms if form.expires_at and form.expires_at > now]
    return min([moment, *(deadline + timedelta(seconds=1) for deadline in ahead)])


def _wait(run: Run, now: datetime, interval: timedelta) -> timedelta | None:
    age = _age(run, now)
    match run.status:
        case RunStatus.SOUGHT:
            # After 1, 3, 9, 27 and 60 s: most are in the log at once.
            return max(_AT_ONCE, min(age * 2, SOUGHT_FOR - age), age / _OF_AGE)
        case RunStatus.RUNNING if run.failed_looks and not run.told_stuck:
            # The outage that the look ran into has most likely cut the run's stream, too: nobody follows it.
            return _SOON
        case RunStatus.RUNNING:
            return max(_FOLLOWED, interval * 10) if run.told_stuck else _FOLLOWED
        case RunStatus.RESUMING if age < timedelta(minutes=1):
            return _SOON
        case RunStatus.PAUSED if _deadline_just_passed(run, now):
            return min(_SOON, interval)
        case RunStatus.RESUMING:
            return max(interval, min(age / _OF_AGE, _MOVING_AT_MOST))
        case RunStatus.PAUSED:
            return max(interval, min(age / _OF_AGE, _WAITING_AT_MOST))
        case _:
            return None


def _age(run: Run, now: datetime) -> timedelta:
    return now - (run.since or run.created_at)


def _past_deadline(run: Run, now: datetime) -> bool:
    return any(form.expires_at and form.expires_at <= now for form in run.open_forms)


def _deadline_just_passed(run: Run, now: datetime) -> bool:
    return any(form.expires_at and now - _DEADLINE_WINDOW < form.expires_at <= now for form in run.open_forms)
