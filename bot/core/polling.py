"""When to ask Dify next how a run stands (dify-api §15.3): dense where something is about to happen, sparse else."""

from __future__ import annotations

from datetime import datetime, timedelta

from bot.core.model import Run, RunStatus

GRACE_AFTER_ANSWER = timedelta(minutes=2)
"""A run that has not moved this long after Dify took an answer will hardly move by itself (recording 33)."""

_SOON = timedelta(seconds=2)
_FOLLOWED = timedelta(minutes=1)
_DEADLINE_WINDOW = timedelta(minutes=2)
"""Dify's sweep for passed deadlines runs once a minute (dify-api §11)."""


def next_poll(run: Run, now: datetime, interval: timedelta, spread: float = 0.5) -> datetime | None:
    """Return when to look at the run again; None where its present state is not learnt by looking.

    `interval` is the pause between two looks at a young pause. `spread`, from 0 to 1, moves the moment by up to a
    tenth either way, so that many runs do not ask at once.
    """
    wait = _wait(run, now, interval)
    if wait is None:
        return None
    moment = now + wait * (0.9 + 0.2 * spread)
    ahead = [form.expires_at for form in run.open_forms if form.expires_at and form.expires_at > now]
    return min([moment, *(deadline + timedelta(seconds=1) for deadline in ahead)])


def _wait(run: Run, now: datetime, interval: timedelta) -> timedelta | None:
    age = now - (run.since or run.created_at)
    match run.status:
        case RunStatus.RUNNING:
            return _FOLLOWED
        case RunStatus.RESUMING:
            return _SOON if age < timedelta(minutes=1) else interval
        case RunStatus.PAUSED if _deadline_just_passed(run, now):
            return min(_SOON, interval)
        case RunStatus.PAUSED if age < timedelta(hours=1):
            return interval
        case RunStatus.PAUSED:
            return interval * (2 if age < timedelta(days=1) else 10)
        case _:
            return None


def _deadline_just_passed(run: Run, now: datetime) -> bool:
    return any(form.expires_at and now - _DEADLINE_WINDOW < form.expires_at <= now for form in run.open_forms)
