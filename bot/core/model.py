"""What the bot knows about a run and its forms. Frozen values, changed only by `core.lifecycle`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from bot.errors import UnknownHere


class RunStatus(StrEnum):
    """Where a run stands. The last five are terminal and, but for `LOST`, spelled as Dify spells them."""

    REQUESTED = "requested"
    """Saved; its root message is not in Slack yet."""
    HELD = "held"
    """A message to a Chatflow of which a person has to say what is to be done with it; nothing of it is sent."""
    STARTING = "starting"
    """The start request may have reached Dify; no `workflow_run_id` is known yet."""
    SOUGHT = "sought"
    """The start was sent, and nothing told whether the run exists: it is looked for in Dify's log."""
    RUNNING = "running"
    PAUSED = "paused"
    """Waits for a form; nothing executes and no connection is held."""
    RESUMING = "resuming"
    """Dify took an answer; the run has not been seen to move since."""
    SUCCEEDED = "succeeded"
    PARTIAL_SUCCEEDED = "partial-succeeded"
    FAILED = "failed"
    STOPPED = "stopped"
    LOST = "lost"
    """Dify never confirmed the start, or no longer knows the run."""

    @property
    def ended(self) -> bool:
        return self in _ENDED


_ENDED = frozenset(
    {RunStatus.SUCCEEDED, RunStatus.PARTIAL_SUCCEEDED, RunStatus.FAILED, RunStatus.STOPPED, RunStatus.LOST}
)


class FormStatus(StrEnum):
    """Where a form stands. The last four are terminal."""

    REQUIRED = "required"
    """Dify asks; the message is not in Slack yet."""
    OPEN = "open"
    """In Slack, waiting for somebody to decide."""
    CLAIMED = "claimed"
    """Somebody decided here; the answer waits for its turn to be sent."""
    SUBMITTING = "submitting"
    """The answer is on its way to Dify."""
    SETTLING = "settling"
    """The answer was sent, Dify's response was lost: reading the form will tell."""
    SUBMITTED = "submitted"
    """Dify took the answer given here."""
    ANSWERED_ELSEWHERE = "answered_elsewhere"
    TIMED_OUT = "timed_out"
    VOID = "void"
    """The run ended without this form."""

    @property
    def closed(self) -> bool:
        return self in _CLOSED


_CLOSED = frozenset({FormStatus.SUBMITTED, FormStatus.ANSWERED_ELSEWHERE, FormStatus.TIMED_OUT, FormStatus.VOID})


class AppMode(StrEnum):
    """The kinds of Dify app that can pause on a form (`mode` of GET /info)."""

    WORKFLOW = "workflow"
    CHATFLOW = "advanced-chat"


@dataclass(frozen=True, slots=True)
class StartInput:
    """One field of an app's Start node, as GET /parameters declares it (dify-api §3.4)."""

    variable: str
    label: str
    type: str
    """Dify's word: text-input, paragraph, select, number, checkbox, json_object, file, file-list, …"""
    required: bool
    default: Any = None
    max_length: int | None = None
    options: tuple[str, ...] = ()
    json_schema: str = ""
    """Of a JSON object, as text; Dify checks it only inside of the run."""


@dataclass(frozen=True, slots=True)
class Command:
    """A slash command as it arrived."""

    command_id: str
    """Our own id; the run that it starts takes it over, so that carrying it out again starts nothing twice."""
    name: str
    text: str
    team_id: str
    channel_id: str
    user_id: str
    response_url: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """What somebody says in the thread of a conversation with a Chatflow."""

    text: str
    """As people wrote it: no escapes, and names in place of ids."""
    team_id: str
    channel_id: str
    thread_ts: str
    user_id: str
    has_files: bool = False
    names_bot: bool = False
    """It mentions the bot."""
    said_at: datetime | None = None
    """By Slack's clock, which messages are put in order by: they may overtake one another on their way (slack-platform
    §4.3). None for what was said by pressing a button."""


class Rating(StrEnum):
    """What somebody thinks of an answer, as Dify spells it (dify-api §5.3)."""

    LIKE = "like"
    DISLIKE = "dislike"


@dataclass(frozen=True, slots=True)
class Progress:
    """What a live run is doing: the step's title and how many steps are done."""

    step: str | None = None
    done: int = 0
    waiting_for_dify: bool = False
    """The run waits for one of the connections that this Dify server can spare."""
    waiting_for_answer: bool = False
    """Its message to a Chatflow waits for the answer before it."""


class ButtonStyle(StrEnum):
    """Dify's styles of a user action."""

    PRIMARY = "primary"
    DEFAULT = "default"
    ACCENT = "accent"
    GHOST = "ghost"


@dataclass(frozen=True, slots=True)
class Paragraph:
    """Free text; `default` is what the field holds at first."""

    name: str
    default: str = ""


@dataclass(frozen=True, slots=True)
class Select:
    """One of `options`; any text where Dify could not resolve them and the tuple is empty."""

    name: str
    options: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FileField:
    """One file, or a list of up to `limit` files (0: any number) where `many` is set."""

    name: str
    many: bool = False
    limit: int = 0
    allowed_types: tuple[str, ...] = ()
    allowed_extensions: tuple[str, ...] = ()
    allowed_methods: tuple[str, ...] = ()


FormInput = Paragraph | Select | FileField


@dataclass(frozen=True, slots=True)
class UserAction:
    """A decision button of a form, in Dify's words."""

    id: str
    title: str
    style: ButtonStyle = ButtonStyle.DEFAULT


@dataclass(frozen=True, slots=True)
class Submission:
    """An answer: the chosen user action and a value per form input.

    `user_id` is the Slack user who decided; None for an answer given outside of Slack.
    """

    action_id: str
    values: Mapping[str, Any]
    user_id: str | None
    at: datetime


@dataclass(frozen=True, slots=True)
class Form:
    """One Human Input request of a run."""

    form_id: str
    node_id: str
    node_title: str
    content: str
    """The rendered Markdown, with `{{#$output.NAME#}}` where a field stands."""
    inputs: tuple[FormInput, ...]
    user_actions: tuple[UserAction, ...]
    form_token: str | None = field(repr=False)
    """Bearer secret for reading and submitting; None where the form is delivered by e-mail only."""
    asked_at: datetime | None = None
    """When the bot first heard of it; Dify may have asked minutes before (recording 34)."""
    expires_at: datetime | None = None
    answerable: bool = True
    """False where the Service API cannot submit it (no web-app delivery)."""
    status: FormStatus = FormStatus.REQUIRED
    message_ts: str | None = None
    revision: int = 0
    """Raised whenever the message's fields are drawn anew, so that Slack forgets old drafts."""
    submission: Submission | None = None
    refusal: str | None = None
    """Why Dify refused the last answer; cleared by the next one."""
    lost_responses: int = 0
    """How often a submission went out and no response came back."""
    delayed: bool = False
    """Dify does not answer, and people were told that the answer waits until it does."""
    not_shown: bool = False
    """Slack does not take the form's message; a notice stands in its place, which `message_ts` is then of."""
    remind_at: datetime | None = None
    """When people are to be reminded next; None where they are not."""

    def user_action(self, action_id: str) -> UserAction | None:
        """Return the action with this id, if the form has one."""
        return next((action for action in self.user_actions if action.id == action_id), None)


@dataclass(frozen=True, slots=True)
class Run:
    """One execution of a Dify app, started from Slack, with every form it asked for."""

    run_id: str
    """Our own id, safe to show; Dify's is `workflow_run_id`."""
    app: str
    mode: AppMode
    team_id: str
    channel_id: str
    starter_id: str
    dify_user: str
    """`user` of every Dify call of this run: `slack:<team>:<user>` of the starter."""
    run_inputs: Mapping[str, Any]
    created_at: datetime
    status: RunStatus = RunStatus.REQUESTED
    since: datetime | None = None
    """When `status` was reached; while resuming, when Dify took the last answer given here."""
    query: str = ""
    """The message that starts a Chatflow; empty for a Workflow."""
    response_url: str | None = field(default=None, repr=False)
    """Slack's short-lived reply URL, for telling the starter when the channel cannot be written to."""
    thread_ts: str | None = None
    """The thread in which everything is said; None before there is one."""
    root_ts: str | None = None
    """The message that shows how the run stands: the root of the thread; of a later message to a Chatflow a reply."""
    workflow_run_id: str | None = None
    task_id: str | None = None
    """Only for stopping."""
    conversation_id: str | None = None
    """Of a Chatflow; empty where the message is to begin a new one."""
    message_id: str | None = None
    """Dify's id of the message that the run answers; only of a Chatflow, for feedback and suggestions."""
    suggestions: tuple[str, ...] = ()
    """What Dify suggests to ask next, after the answer."""
    suggestions_ts: str | None = None
    """The message that offers them."""
    forms: tuple[Form, ...] = ()
    segment: int = 0
    """How often it was seen to go on after a form; the text of each segment has a message of its own."""
    answer_ts: str | None = None
    """The thread message that carries the streamed text of the present segment."""
    outputs: Mapping[str, Any] = field(default_factory=dict)
    error: str | None = None
    failed_step: str | None = None
    stop_requested_by: str | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    told_stuck: bool = False
    """People were told that the run does not move."""
    told_refused: bool = False
    """People were told that Dify refuses the app's key, and were not told since that it takes it again."""
    failed_looks: int = 0
    """Looks at the run that failed one after the other; the more, the longer the next one waits."""
    compared_at: datetime | None = None
    """When Dify last told every form that it holds open; None where it has not."""
    compared_steps: int | None = None
    """How many steps Dify had counted then: a run that has executed since has more (recordings 06, 07)."""
    poll_at: datetime | None = None
    """When Dify is to be asked next how the run stands; None where nothing is to be learnt by asking."""

    def form(self, form_id: str) -> Form:
        """Return the form with this id.

        Raises:
            UnknownHere: the run never asked for it.
        """
        for form in self.forms:
            if form.form_id == form_id:
                return form
        raise UnknownHere(f"run {self.run_id} never asked for form {form_id}")

    @property
    def is_reply(self) -> bool:
        """Whether it answers a later message to a Chatflow, and its root message is a reply in the thread."""
        is_later = self.thread_ts is not None and self.root_ts != self.thread_ts
        return is_later and self.mode is AppMode.CHATFLOW

    @property
    def replaces_answer(self) -> bool:
        """Whether its result takes the place of the streamed text; an error does not: what was written stays."""
        return bool(self.outputs) and self.status in (RunStatus.SUCCEEDED, RunStatus.PARTIAL_SUCCEEDED)

    @property
    def open_forms(self) -> tuple[Form, ...]:
        """The forms that are not closed yet."""
        return tuple(form for form in self.forms if not form.status.closed)
