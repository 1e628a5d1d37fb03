"""What it means that an effect is carried out, put off, given up or interrupted. Pure: the outbox acts upon it."""

from __future__ import annotations

from datetime import datetime, timedelta

from bot.core import effects as do
from bot.core import events as saw
from bot.core.effects import Effect, FileEffect, SlackEffect
from bot.core.events import LifecycleEvent
from bot.core.giving_out import fetched, to_tell
from bot.core.model import Run
from bot.core.ports import SavedEffect
from bot.errors import (
    ChannelUnreachable,
    DifyError,
    DifyNotFound,
    DifyRejected,
    DifyUnauthorized,
    DifyUnavailable,
    FileNotReady,
    FileUnavailable,
    ImagesRefused,
    SlackError,
    SlackRejected,
    SlackUnauthorized,
    SlackUnavailable,
)

FEW = 5
"""Tries of what must not hold up the answers behind it for longer."""

LONGEST_PAUSE = timedelta(minutes=5)
"""Longest pause between two tries."""

CLOSED_DOOR_PAUSE = timedelta(hours=1)
"""The same where a person has to put something right at Slack: give back a token, or invite the app."""

FILE_PATIENCE = {do.PullFile: timedelta(minutes=30), do.FetchFile: timedelta(minutes=5)}
"""How long a file is tried to be carried: people wait for theirs, and Dify's addresses die (dify-api §12.6)."""

PROCESSING_PATIENCE = timedelta(minutes=3)
"""How long Slack is given to process a file; an empty one looks as if it never were (slack-platform §5.2)."""

FORM_PATIENCE = timedelta(seconds=15)
"""How long a form waits for an image that cannot be had at once; then the image is shared below it."""

FILE_SCOPES = {do.PullFile: "files:read", do.FetchFile: "files:write"}
SCOPE_NEEDED = (
    "Slack does not let the bot handle files: it lacks the scope {scope}, or was not installed again since it asks for "
    "it. Whoever looks after the bot can put that right."
)
STILL_PROCESSING = "Slack has not finished processing it, or it is empty. If it is not, share it once more in a while."

NOT_SHARED = "Slack does not show it. It is kept in Dify's log of this run."

NOT_CARRIED = {
    do.PullFile: "it could not be brought from Slack to Dify in time. Share it here once more to try again.",
    do.FetchFile: "it could not be brought from Dify to Slack while its address was valid. It is kept in Dify.",
}
"""What is said of one that could not be."""

CLOSED_DOOR_PATIENCE = timedelta(days=7)
"""How old an effect gets that waits for that."""

_COURTESIES = (
    do.TellNotStarted
    | do.TellDecided
    | do.GiveBackDraft
    | do.TellRefused
    | do.TellInvalid
    | do.TellDraftWaits
    | do.TellCannotStop
    | do.TellFilesLeftOut
    | do.TellFilesUnfit
    | do.TellSettled
    | do.TellAskedBefore
    | do.TellRated
    | do.PostSuggestions
    | do.CloseSuggestions
    | do.TellNotAttached
    | do.TellNothingAsks
    | do.TellFilesTooLate
    | do.TellFileStands
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
        case FileNotReady():
            return now - saved.created_at < PROCESSING_PATIENCE
        case SlackUnavailable() | DifyUnavailable() if (patience := FILE_PATIENCE.get(type(saved.effect))) is not None:
            return now - saved.created_at < patience
        case _ if type(saved.effect) in FILE_PATIENCE:
            return False
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


def delayed(saved: SavedEffect, exc: SlackError | DifyError, now: datetime) -> LifecycleEvent | None:
    """Name what it means for the run that an effect is tried again later; None where nobody needs to know."""
    match saved.effect, exc:
        case do.SubmitForm(form_id=form_id) | do.SettleForm(form_id=form_id), DifyUnavailable() | DifyUnauthorized():
            return saw.SubmitDelayed(form_id)
        case do.PostForm(form_id=form_id) | do.RefreshForm(form_id=form_id), ImagesRefused():
            return saw.ImagesRefused(form_id)
        case do.FetchFile(key=key), _ if now - saved.created_at > FORM_PATIENCE:
            return saw.OutFileDelayed(key)
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
        case do.PullFile(attachment_id=attachment_id):
            return saw.FileRefused(attachment_id, why_not_carried(effect, exc))
        case do.FetchFile(key=key):
            return saw.OutFileMissed(key, why_not_carried(effect, exc))
        case do.PostForm() | do.PostResult() | do.ShareFiles() if isinstance(exc, _CLOSED_DOOR):
            # No notice of it would get in either.
            return None
        case do.PostForm(form_id=form_id):
            return saw.FormNotShown(form_id)
        case do.PostResult():
            return saw.ResultNotShown()
        case do.ShareFiles(form_id=of_form):
            return saw.FilesNotShared(of_form, NOT_SHARED)
        case _:
            return interrupted(effect)


def why_not_carried(effect: FileEffect, exc: Exception) -> str:
    """Return why a file was not carried from one platform to the other, as a sentence for people."""
    match exc:
        case FileUnavailable():
            return str(exc)
        case DifyUnauthorized():
            return "Dify refuses the key of this app; whoever looks after the bot can put that right."
        case SlackUnauthorized(code="missing_scope"):
            return SCOPE_NEEDED.format(scope=FILE_SCOPES[type(effect)])
        case SlackUnauthorized():
            return "Slack does not let the bot handle files; whoever looks after the bot can put that right."
        case FileNotReady():
            return STILL_PROCESSING
        case DifyNotFound():
            return "its address in Dify has expired. It is kept in Dify's log of this run."
        case DifyRejected(status=413):
            return "Dify takes no file that large."
        case DifyRejected() if isinstance(effect, do.PullFile):
            said = exc.message.removesuffix(".")
            return f"Dify does not take it: “{said}”." if said else "Dify does not take a file like it."
        case DifyRejected():
            return "Dify does not give it. It may be found in Dify's log of this run."
        case SlackRejected() if isinstance(effect, do.FetchFile):
            return "Slack does not take a file like it. It is kept in Dify's log of this run."
        case _:
            return NOT_CARRIED[type(effect)]


def posted(effect: SlackEffect, run: Run | None, ts: str | None) -> LifecycleEvent | None:
    """Name what happened when a message was posted of a run as it was then; None where nobody waits for it."""
    match effect:
        case do.ShareFiles(form_id=of_form) if run is not None:
            keys, missing = fetched(run, of_form), to_tell(run, of_form)
            return saw.FilesShared(tuple(file.key for file in keys), tuple(file.key for file in missing))
        case _ if ts is None:
            return None
        case do.PostRoot():
            return saw.RootPosted(ts)
        case do.PostForm(form_id=form_id) | do.PostFormNotShown(form_id=form_id) | do.RefreshForm(form_id=form_id):
            # A form whose message somebody deleted is posted anew when it is redrawn.
            return saw.FormPosted(form_id, ts)
        case do.PostAnswer(segment=segment):
            return saw.AnswerPosted(segment, ts)
        case do.PostCard(form_id=form_id) | do.RefreshCard(form_id=form_id):
            return saw.CardPosted(form_id, ts)
        case do.EndAnswer(segment=segment):
            return saw.TextShown(segment)
        case do.PostSuggestions():
            return saw.SuggestionsPosted(ts)
        case do.AskAboutMessage() | do.AskAboutConversation():
            return saw.QuestionPosted(ts)
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
        case do.RefreshCard(form_id=form_id):
            return run.form(form_id).card_ts is None
        case do.PostCard(form_id=form_id):
            return run.form(form_id).card_ts is not None
        case do.PostReminder(form_id=form_id):
            form = run.form(form_id)
            passed = form.expires_at is not None and form.expires_at <= now
            return form.message_ts is None or passed or run.status.ended or not form.status.asks
        case _:
            return False
