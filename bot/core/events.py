"""What happened: facts in the past tense, from Dify's streams and answers, from Slack, and from our own effects.

`LifecycleEvent`s move a run or a form and go through `core.lifecycle.advance`. The rest of a stream (`Ping`, steps,
text) is progress: shown while it lasts, never stored.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from bot.core.model import Attachment, FileKind, FileProblem, Form, Place, Rating, RunStatus, SegmentText, Submission

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
class QuestionPosted:
    """The message that asks what is to be done with the one that is held is in the thread."""

    ts: str


@dataclass(frozen=True, slots=True)
class MessageReleased:
    """The message that was held is to be sent after all."""

    user_id: str
    at: datetime
    """By Slack's clock: it is sent as if it were said then."""
    waits: bool = False
    """There will be an answer before it."""


@dataclass(frozen=True, slots=True)
class MessageForgotten:
    """The message that was held is not to be sent."""

    user_id: str


@dataclass(frozen=True, slots=True)
class MessageUsed:
    """The message that was held is to be the answer to a form, and stands in its window."""

    user_id: str
    form_title: str


@dataclass(frozen=True, slots=True)
class MessageLapsed:
    """Nobody said what is to be done with the message that was held, for as long as runs are kept."""


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
class AskedMeanwhile:
    """Somebody asked something before the answer was there."""


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
    text: SegmentText | None = None
    """What the run wrote since it went on; None where that was not heard whole, or is nothing."""


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
class TextShown:
    """The streamed text of a segment that is over stands whole in the thread."""

    segment: int


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


# --- files -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FilesGiven:
    """Somebody gave files, or links, to a form; `problems` are of those that do not fit."""

    form_id: str
    user_id: str
    attachments: tuple[Attachment, ...]
    problems: tuple[FileProblem, ...] = ()
    taken_back: tuple[str, ...] = ()
    """The ids of the attachments that are not wanted any more: in their place are these, or nothing."""


@dataclass(frozen=True, slots=True)
class FilePlaced:
    """Somebody chose the field that a file is for; `kind` is what it is sent as there.

    It is None where the field does not take the file any more, and `problems` say why.
    """

    attachment_id: str
    user_id: str
    place: Place
    kind: FileKind | None
    problems: tuple[FileProblem, ...] = ()


@dataclass(frozen=True, slots=True)
class FileRemoved:
    """Somebody took a file back."""

    attachment_id: str
    user_id: str


@dataclass(frozen=True, slots=True)
class FileUploaded:
    """Dify has a file that somebody gave."""

    attachment_id: str
    upload_file_id: str


@dataclass(frozen=True, slots=True)
class FileRefused:
    """A file that somebody gave cannot be had from Slack, or Dify does not take it; `reason` is a sentence."""

    attachment_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class CardPosted:
    """The message that lists what is attached to a form is in the thread."""

    form_id: str
    ts: str


@dataclass(frozen=True, slots=True)
class AnswerWritten:
    """The text of a segment is over, and was heard from its beginning."""

    text: str


@dataclass(frozen=True, slots=True)
class OutFileFetched:
    """Slack has the bytes of a file that the run gives out."""

    key: str
    slack_file_id: str
    inline: bool = False
    """It is kept to stand in the texts of forms, and cannot be shared."""
    is_image: bool = False
    """Messages can show it as an image."""


@dataclass(frozen=True, slots=True)
class OutFileDelayed:
    """A file that the run gives out is not to be had at once; it is tried on."""

    key: str


@dataclass(frozen=True, slots=True)
class OutFileMissed:
    """A file that the run gives out cannot be had any more; `reason` is a sentence."""

    key: str
    reason: str


@dataclass(frozen=True, slots=True)
class ImagesRefused:
    """Slack does not show the images in the text of a form, whose message it would not take because of them."""

    form_id: str


@dataclass(frozen=True, slots=True)
class FilesShared:
    """These files stand in the thread, or in the text of their form."""

    keys: tuple[str, ...]
    missing: tuple[str, ...] = ()
    """Those which the thread was told to be missing."""


@dataclass(frozen=True, slots=True)
class FilesNotShared:
    """Slack does not share what was fetched of the files of a form, or of the run itself (None)."""

    form_id: str | None
    reason: str
    """A sentence."""


RunEvent = (
    RootPosted
    | RootRefused
    | RunStarted
    | StartRefused
    | ConversationGone
    | QuestionPosted
    | MessageReleased
    | MessageForgotten
    | MessageUsed
    | MessageLapsed
    | SuggestionsRead
    | SuggestionsPosted
    | AskedNext
    | AskedMeanwhile
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
    | TextShown
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
FileEvent = (
    FilesGiven
    | FilePlaced
    | FileRemoved
    | FileUploaded
    | FileRefused
    | CardPosted
    | AnswerWritten
    | OutFileFetched
    | OutFileDelayed
    | OutFileMissed
    | ImagesRefused
    | FilesShared
    | FilesNotShared
)
LifecycleEvent = RunEvent | FormEvent | FileEvent

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
