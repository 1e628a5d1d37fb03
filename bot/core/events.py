"""What happened: facts in the past tense, from Dify's streams and answers, from Slack, and from our own effects.

`LifecycleEvent`s move a run or a form and go through `core.lifecycle.advance`. The rest of a stream (`Ping`, steps,
text) is progress: shown while it lasts, never stored.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from bot.core.model import Form, Rating, RunStatus, Submission

# --- the run -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RootPosted:
    """The run's root message is in Slack."""

    ts: str


@dataclass(frozen=True, slots=True)
class RootRefused:
    """Slack will not take the root message; `code` is Slack's."""

    code: str


@dataclass(frozen=True, slots=True)
class RunStarted:
    """Dify named the run: the first event of a stream that carried its ids."""

    workflow_run_id: str
    task_id: str | None = None
    conversation_id: str | None = None
    message_id: str | None = None


@dataclass(frozen=True, slots=True)
class StartRefused:
    """Dify will not start the run."""

    message: str


@dataclass(frozen=True, slots=True)
class ConversationGone:
    """Dify does not know the conversation any more in which a message is to be sent."""


@dataclass(frozen=True, slots=True)
class MessageReleased:
    """The message that was held is to be sent after all."""

    waits: bool = False
    """There will be an answer before it."""


@dataclass(frozen=True, slots=True)
class MessageForgotten:
    """The message that was held is not to be sent."""

    user_id: str


@dataclass(frozen=True, slots=True)
class SuggestionsRead:
    """Dify suggests what to ask next."""

    suggestions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SuggestionsPosted:
    """The message that offers the suggestions is in the thread."""

    ts: str


@dataclass(frozen=True, slots=True)
class AskedNext:
    """Somebody asked something after the answer."""


@dataclass(frozen=True, slots=True)
class AnswerRated:
    """Somebody pressed a thumb below the answer."""

    user_id: str
    rating: Rating


@dataclass(frozen=True, slots=True)
class RatingTaken:
    """Dify was given what somebody thinks of the answer; `taken` is False where it did not take it."""

    user_id: str
    rating: Rating
    taken: bool = True


@dataclass(frozen=True, slots=True)
class StartUnconfirmed:
    """The start was sent and no answer told whether the run exists."""


@dataclass(frozen=True, slots=True)
class RunFound:
    """Dify's log has a run that is the one whose start was not confirmed; `started_at` is by Dify's clock."""

    workflow_run_id: str
    started_at: datetime


@dataclass(frozen=True, slots=True)
class RunNotFound:
    """Dify's log has no such run, or is closed to us, and it is not looked for any more."""


@dataclass(frozen=True, slots=True)
class RunResumed:
    """The run was seen to execute again (`workflow_started` with reason `resumption`, or run detail)."""


@dataclass(frozen=True, slots=True)
class RunPaused:
    """The run waits; `open_form_ids` are all the forms that Dify holds open."""

    open_form_ids: frozenset[str]
    steps: int | None = None
    """How many steps Dify has counted by now; None where it did not say."""


@dataclass(frozen=True, slots=True)
class RunFinished:
    """The run ended, in Dify's words."""

    status: RunStatus
    outputs: Mapping[str, Any] = field(default_factory=dict)
    error: str | None = None
    failed_step: str | None = None


@dataclass(frozen=True, slots=True)
class RunGone:
    """Dify no longer knows the run."""

    reason: str


@dataclass(frozen=True, slots=True)
class StopRequested:
    """Somebody pressed Stop."""

    user_id: str


@dataclass(frozen=True, slots=True)
class StopRefused:
    """Dify did not take the stop."""


@dataclass(frozen=True, slots=True)
class AnswerBegan:
    """The present segment of the run produced its first text."""


@dataclass(frozen=True, slots=True)
class AnswerPosted:
    """The message for the streamed text of a segment is in the thread."""

    segment: int
    ts: str


@dataclass(frozen=True, slots=True)
class ResultNotShown:
    """Slack does not take the run's result, or not all of it."""


@dataclass(frozen=True, slots=True)
class StillNotMoving:
    """A poll found the run where it was, longer than a run can be."""


@dataclass(frozen=True, slots=True)
class LookFailed:
    """Dify did not say how the run stands; `refused` where it takes neither the key nor any other question of ours."""

    refused: bool = False


@dataclass(frozen=True, slots=True)
class LookSucceeded:
    """Dify says again how the run stands."""


# --- a form --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FormRequired:
    """Dify asks for a form: new, or announced again while it is still open."""

    form: Form


@dataclass(frozen=True, slots=True)
class FormPosted:
    """The form's message is in the thread."""

    form_id: str
    ts: str


@dataclass(frozen=True, slots=True)
class FormNotShown:
    """Slack does not take the form's message."""

    form_id: str


@dataclass(frozen=True, slots=True)
class ActionChosen:
    """Somebody pressed a button of the form; the values have been checked."""

    form_id: str
    submission: Submission


@dataclass(frozen=True, slots=True)
class SubmitAccepted:
    """Dify answered 200 to our submission."""

    form_id: str


@dataclass(frozen=True, slots=True)
class SubmitRefused:
    """Dify refused the values (400); the form stays open."""

    form_id: str
    message: str


@dataclass(frozen=True, slots=True)
class SubmitUncertain:
    """The submission was sent and its response was lost."""

    form_id: str


@dataclass(frozen=True, slots=True)
class SubmitDelayed:
    """Dify does not answer: the submission, or the look at what became of it, is tried again later."""

    form_id: str


@dataclass(frozen=True, slots=True)
class ReminderDue:
    """It is time to remind people of the form."""

    form_id: str
    claimed: datetime
    """The form's `remind_at` since this reminder was claimed, by which two that claimed it are told apart."""


@dataclass(frozen=True, slots=True)
class FormFoundOpen:
    """Reading the form answered 200."""

    form_id: str


@dataclass(frozen=True, slots=True)
class FormFoundClosed:
    """Reading or submitting the form answered 412: its deadline passed, or it holds an answer."""

    form_id: str
    expired: bool


@dataclass(frozen=True, slots=True)
class FormUnreachable:
    """Dify does not know the form any more (404)."""

    form_id: str


@dataclass(frozen=True, slots=True)
class FormFilled:
    """Dify reported an answer, never who gave it."""

    node_id: str
    action_id: str
    values: Mapping[str, Any] = field(default_factory=dict)
    form_id: str | None = None
    """None on a live stream, which names the node alone."""


@dataclass(frozen=True, slots=True)
class FormTimedOut:
    """A live stream reported that the deadline of a node's form passed."""

    node_id: str


RunEvent = (
    RootPosted
    | RootRefused
    | RunStarted
    | StartRefused
    | ConversationGone
    | MessageReleased
    | MessageForgotten
    | SuggestionsRead
    | SuggestionsPosted
    | AskedNext
    | AnswerRated
    | RatingTaken
    | StartUnconfirmed
    | RunFound
    | RunNotFound
    | RunResumed
    | RunPaused
    | RunFinished
    | RunGone
    | StopRequested
    | StopRefused
    | AnswerBegan
    | AnswerPosted
    | ResultNotShown
    | StillNotMoving
    | LookFailed
    | LookSucceeded
)
FormEvent = (
    FormRequired
    | FormPosted
    | FormNotShown
    | ActionChosen
    | SubmitAccepted
    | SubmitRefused
    | SubmitUncertain
    | SubmitDelayed
    | ReminderDue
    | FormFoundOpen
    | FormFoundClosed
    | FormUnreachable
    | FormFilled
    | FormTimedOut
)
LifecycleEvent = RunEvent | FormEvent

# --- progress: lossy by design ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ping:
    """The stream lives."""


@dataclass(frozen=True, slots=True)
class StepStarted:
    """A node began."""

    node_id: str
    title: str


@dataclass(frozen=True, slots=True)
class StepFinished:
    """A node ended; `error` is Dify's text where it failed."""

    node_id: str
    title: str
    failed: bool = False
    error: str | None = None


@dataclass(frozen=True, slots=True)
class TextArrived:
    """A piece of streamed text; `replace` says that it takes the place of all before it."""

    text: str
    replace: bool = False


@dataclass(frozen=True, slots=True)
class StreamFailed:
    """An `error` event. It ends nothing by itself: the stream stays open and the reader has to leave."""

    message: str
    code: str | None = None


ProgressEvent = Ping | StepStarted | StepFinished | TextArrived | StreamFailed
StreamEvent = (
    RunStarted | RunResumed | RunPaused | RunFinished | FormRequired | FormFilled | FormTimedOut | ProgressEvent
)
