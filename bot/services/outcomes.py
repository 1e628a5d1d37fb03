"""What it means that an effect is carried out, put off, given up or interrupted. Pure: the outbox acts upon it."""

from __future__ import annotations

from datetime import datetime, timedelta

from bot.core import effects as do
from bot.core import events as saw
from bot.core.effects import Effect, SlackEffect
from bot.core.events import LifecycleEvent
from bot.core.model import FormStatus, Run
from bot.core.ports import SavedEffect
from bot.errors import (
    ChannelUnreachable,
    DifyError,
    DifyUnauthorized,
    DifyUnavailable,
    SlackError,
    SlackUnauthorized,
    SlackUnavailable,
)

FEW = 5
"""Tries of what must not hold up the answers behind it for longer."""

LONGEST_PAUSE = timedelta(minutes=5)
"""Longest pause between two tries."""

CLOSED_DOOR_PAUSE = timedelta(hours=1)
"""The same where a person has to put something right at Slack: give back a token, or invite the app."""

CLOSED_DOOR_PATIENCE = timedelta(days=7)
"""How old an effect gets that waits for that."""

_COURTESIES = (
    do.TellNotStarted
    | do.TellDecided
    | do.TellRefused
    | do.TellInvalid
    | do.TellDraftWaits
    | do.TellCannotStop
    | do.TellFilesLeftOut
    | do.TellRated
    | do.PostSuggestions
    | do.CloseSuggestions
)
"""What is said at once, or not at all."""

_CLOSED_DOOR = (SlackUnauthorized, ChannelUnreachable)


def pause_before(attempt: int, exc: Exception | None = None) -> timedelta:
    """Return how long to wait before the next try after an error: 1 s, doubled each time up to a longest pause."""
    longest = CLOSED_DOOR_PAUSE if isinstance(exc, _CLOSED_DOOR) else LONGEST_PAUSE
    return min(timedelta(seconds=2 ** min(attempt - 1, 20)), longest)


def is_worth_waiting(saved: SavedEffect, exc: SlackError | DifyError, now: datetime) -> bool:
    """Tell whether an effect may work later: a key, a token or a membership can be put right by a person."""
    match exc:
        case SlackUnavailable():
            return True
        case SlackUnauthorized() | ChannelUnreachable():
            is_for_many = saved.run_id is not None and not isinstance(saved.effect, _COURTESIES)
            return is_for_many and now - saved.created_at < CLOSED_DOOR_PATIENCE
        case DifyUnavailable() if isinstance(saved.effect, do.StartRun):
            # Its app is not configured any more: what a server says of a start is told by the start's stream.
            return False
        case DifyUnavailable() | DifyUnauthorized():
            return not isinstance(saved.effect, do.StopRun | do.RateAnswer) or saved.attempts < FEW
        case _:
            # Dify refuses to read a form, perhaps because of a quota.
            return isinstance(saved.effect, do.SettleForm) and isinstance(exc, DifyError) and saved.attempts < FEW


def remedy(exc: SlackError | DifyError) -> str | None:
    """Tell who runs the bot what it takes for the effect to be carried out."""
    match exc:
        case SlackUnauthorized():
            return "give the bot a valid SLACK_BOT_TOKEN with the scopes of its manifest, and start it again"
        case ChannelUnreachable():
            return "invite the app into the channel, or let it write there"
        case DifyUnauthorized():
            return "give the bot a valid API key of the app, and start it again"
        case _:
            return None


def interrupted(effect: Effect) -> LifecycleEvent | None:
    """Name what it means that an effect was begun and nobody knows what came of it; None where it may be repeated."""
    match effect:
        case do.StartRun():
            return saw.StartUnconfirmed()
        case do.SubmitForm(form_id=form_id):
            return saw.SubmitUncertain(form_id)
        case _:
            return None


def delayed(effect: Effect, exc: SlackError | DifyError) -> LifecycleEvent | None:
    """Name what it means for the run that an effect is tried again later; None where nobody needs to know."""
    match effect, exc:
        case do.SubmitForm(form_id=form_id) | do.SettleForm(form_id=form_id), DifyUnavailable() | DifyUnauthorized():
            return saw.SubmitDelayed(form_id)
        case _:
            return None


def given_up(effect: Effect, exc: Exception) -> LifecycleEvent | None:
    """Name what it means for the run that an effect is not carried out; None where nothing waits for it."""
    match effect:
        case do.PostRoot():
            return saw.RootRefused("unknown_error")
        case do.StartRun() if isinstance(exc, DifyUnavailable) and not exc.sent:
            return saw.StartRefused(exc.message)
        case do.StopRun():
            return saw.StopRefused()
        case do.RateAnswer(user_id=user_id, rating=rating):
            return saw.RatingTaken(user_id, rating, taken=False)
        case do.SettleForm(form_id=form_id) if isinstance(exc, DifyError):
            return saw.FormUnreachable(form_id)
        case do.PostForm() | do.PostResult() if isinstance(exc, _CLOSED_DOOR):
            # No notice of it would get in either.
            return None
        case do.PostForm(form_id=form_id):
            return saw.FormNotShown(form_id)
        case do.PostResult():
            return saw.ResultNotShown()
        case _:
            return interrupted(effect)


def posted(effect: SlackEffect, ts: str | None) -> LifecycleEvent | None:
    """Name what happened when a message was posted; None where nobody waits for it."""
    if ts is None:
        return None
    match effect:
        case do.PostRoot():
            return saw.RootPosted(ts)
        case do.PostForm(form_id=form_id) | do.PostFormNotShown(form_id=form_id) | do.RefreshForm(form_id=form_id):
            # A form whose message somebody deleted is posted anew when it is redrawn.
            return saw.FormPosted(form_id, ts)
        case do.PostAnswer(segment=segment):
            return saw.AnswerPosted(segment, ts)
        case do.PostSuggestions():
            return saw.SuggestionsPosted(ts)
        case _:
            return None


def is_pointless(effect: SlackEffect, run: Run, now: datetime, *, again: bool) -> bool:
    """Tell whether the effect is of use to nobody: what it is about is not there, or over, or said by another one.

    `again` says that an earlier try may have been carried out.
    """
    match effect:
        case do.PostAnswer(segment=segment) if segment == run.segment:
            # A message that may be there has to be found, or it looks for ever as if more of the text were to come.
            return run.answer_ts is not None or (run.replaces_answer and not again)
        case do.RefreshForm(form_id=form_id):
            return run.form(form_id).message_ts is None
        case do.PostReminder(form_id=form_id):
            form = run.form(form_id)
            passed = form.expires_at is not None and form.expires_at <= now
            return (
                form.message_ts is None
                or passed
                or run.status.ended
                or form.status not in (FormStatus.REQUIRED, FormStatus.OPEN)
            )
        case _:
            return False
