"""What the bot knows about a run and its forms. Frozen values, changed only by `core.lifecycle`."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from itertools import takewhile
from typing import Any

from bot.errors import UnknownHere


def moment_of(ts: str) -> datetime:
    """Return the moment that a `ts` of Slack's names: seconds of its clock."""
    return datetime.fromtimestamp(float(ts), UTC)


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

    @property
    def succeeded(self) -> bool:
        """Whether it ended with what was asked for, even if not every step of it worked."""
        return self in (RunStatus.SUCCEEDED, RunStatus.PARTIAL_SUCCEEDED)


_EXECUTES = frozenset({RunStatus.REQUESTED, RunStatus.STARTING, RunStatus.RUNNING, RunStatus.RESUMING})
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
    def asks(self) -> bool:
        """Whether it waits for somebody to decide."""
        return self in _ASKS

    @property
    def closed(self) -> bool:
        return self in _CLOSED


_ASKS = frozenset({FormStatus.REQUIRED, FormStatus.OPEN})
_CLOSED = frozenset({FormStatus.SUBMITTED, FormStatus.ANSWERED_ELSEWHERE, FormStatus.TIMED_OUT, FormStatus.VOID})


class FileKind(StrEnum):
    """What Dify takes a file for (dify-api §12.3)."""

    IMAGE = "image"
    DOCUMENT = "document"
    AUDIO = "audio"
    VIDEO = "video"
    CUSTOM = "custom"


LOCAL_FILE, REMOTE_URL = "local_file", "remote_url"
"""Dify's words for a file that is uploaded and for a link (dify-api §12.2)."""


@dataclass(frozen=True, slots=True)
class Accepts:
    """What a place for files takes: a field of a form, a start input, or the files of a message to a Chatflow."""

    types: tuple[str, ...] = ()
    """Dify's types; empty for any."""
    extensions: tuple[str, ...] = ()
    """What `custom` means, with or without dot and in any case."""
    methods: tuple[str, ...] = ()
    """How a file may be given; empty for any way."""
    limit: int = 1
    """How many files there may be; 0 for any number."""

    @property
    def takes_uploads(self) -> bool:
        """Whether a file can be given as such."""
        return not self.methods or LOCAL_FILE in self.methods

    @property
    def takes_links(self) -> bool:
        """Whether a file can be given by a link."""
        return not self.methods or REMOTE_URL in self.methods

    def has_room_for(self, count: int) -> bool:
        """Tell whether there may be so many files in all."""
        return not self.limit or count <= self.limit

    @classmethod
    def of_field(cls, field: FileField) -> Accepts:
        """Return what a field of a form takes."""
        return cls(
            field.allowed_types, field.allowed_extensions, field.allowed_methods, field.limit if field.many else 1
        )


@dataclass(frozen=True, slots=True)
class FileLimits:
    """How large a file may be, in bytes, by the limit that Dify measures its kind by (dify-api §12.1)."""

    image: int = 10 * 1024 * 1024
    video: int = 100 * 1024 * 1024
    audio: int = 50 * 1024 * 1024
    other: int = 15 * 1024 * 1024

    def of(self, kind: FileKind) -> int:
        """Return the limit of a kind."""
        match kind:
            case FileKind.IMAGE:
                return self.image
            case FileKind.VIDEO:
                return self.video
            case FileKind.AUDIO:
                return self.audio
            case _:
                return self.other


class AttachmentStatus(StrEnum):
    """Where an attachment stands. The last two are terminal."""

    PLACING = "placing"
    """It fits several fields: a person has to say which one is meant."""
    PULLING = "pulling"
    """It is to be pulled from Slack and uploaded to Dify."""
    READY = "ready"
    """Dify has it, or it is a link."""
    REFUSED = "refused"
    REMOVED = "removed"

    @property
    def counts(self) -> bool:
        """Whether it stays attached."""
        return self in (AttachmentStatus.PLACING, AttachmentStatus.PULLING, AttachmentStatus.READY)


@dataclass(frozen=True, slots=True)
class SharedFile:
    """A file as Slack tells of it in a payload or by `files.info` (slack-platform §5.1); its address is not kept."""

    file_id: str
    name: str
    mime_type: str = ""
    size: int = 0
    """Bytes, as Slack says; 0 while Slack still looks at it."""
    unavailable: str = ""
    """Why Slack does not give it, a sentence; empty where nothing says so yet."""


@dataclass(frozen=True, slots=True)
class Place:
    """A field for files of a form."""

    form_id: str
    field: str


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file, or a link to one, that a person gives to a field of a form, to a start input, or along with a message."""

    attachment_id: str
    """Our own id."""
    name: str
    """A name is data: no path, no control characters."""
    user_id: str
    """The Slack user who gave it."""
    form_id: str | None = None
    """The form that it is for; None where it is for the start."""
    field: str | None = None
    """The input that it is for; None while that is to be chosen, and for the files of a message to a Chatflow."""
    choices: tuple[str, ...] = ()
    """The inputs of its form that it fits, where a person has to choose."""
    elsewhere: tuple[Place, ...] = ()
    """Those of other forms that it fits as well."""
    status: AttachmentStatus = AttachmentStatus.PULLING
    slack_file_id: str | None = None
    """None for a link."""
    url: str | None = None
    """Of a link, which Dify fetches by itself."""
    view_id: str | None = None
    """The form's window that it was chosen in (`core.form_files.WINDOW_RULES`); None where it came from elsewhere."""
    chosen_at: datetime | None = None
    """When it was first seen there, by Slack's clock: what is told from before does not know of it."""
    mime_type: str = ""
    size: int = 0
    kind: FileKind = FileKind.CUSTOM
    """What is sent as its `type`."""
    upload_file_id: str | None = None
    """Dify's id, once it is uploaded."""
    reason: str | None = None
    """Why it was refused, a sentence."""

    @property
    def places(self) -> tuple[Place, ...]:
        """All that a person has to choose from; none where nobody has to."""
        own = () if self.form_id is None else (Place(self.form_id, each) for each in self.choices)
        return (*own, *self.elsewhere)


@dataclass(frozen=True, slots=True)
class FileProblem:
    """Why a file that somebody gave is not attached."""

    name: str
    """The file's."""
    reason: str
    """A sentence; about a field, its rest after the field's name."""
    field: str | None = None
    """The input that it is about; None where it is about the file alone."""


class OutFileStatus(StrEnum):
    """Where a file that a run gives out stands. The last two are terminal."""

    SEEN = "seen"
    """Dify named it; it is to be fetched while its address is valid."""
    FETCHED = "fetched"
    """Slack has its bytes, and nobody sees it yet."""
    SHARED = "shared"
    """It stands in the thread, or in its form."""
    MISSED = "missed"
    """It cannot be had any more."""


@dataclass(frozen=True, slots=True)
class OutFile:
    """A file that a run gives out: in its outputs, its answer, or the text of a form."""

    key: str
    """The path of its address: the same in every address that Dify signs for it (dify-api §12.6).

    Of a file without an address it is what Dify calls it.
    """
    name: str
    url: str = field(repr=False)
    """A bearer secret while it is valid."""
    form_id: str | None = None
    """The form in whose text it stands; None for what the run ended with."""
    is_image: bool = False
    """A text shows it as an image; once Slack has it: messages can show it as one."""
    inline: bool = False
    """It is to stand as an image in the text of its form, which waits for it; every other file is shared below."""
    status: OutFileStatus = OutFileStatus.SEEN
    slack_file_id: str | None = None
    reason: str | None = None
    """Why it was missed, a sentence."""
    also_in: tuple[str, ...] = ()
    """Further forms in whose texts it is to stand as an image, and which wait for it."""
    told: bool = False
    """The thread was told that it could not be had, and is not told again."""

    def stands_in(self, form_id: str) -> bool:
        """Tell whether it is to stand as an image in the text of a form."""
        return form_id in self.also_in or (self.inline and form_id == self.form_id)

    @property
    def can_stand(self) -> bool:
        """Whether a form may show it as an image, as far as is known."""
        is_there = self.slack_file_id is not None and self.status is not OutFileStatus.MISSED
        return self.status is OutFileStatus.SEEN or (is_there and self.is_image)


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
    accepts: Accepts | None = None
    """What a file or a list of files takes; None for what is no file."""


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
class PickedMessage:
    """A message with which somebody wants to start an app."""

    text: str
    """As people wrote it: no escapes, and names in place of ids."""
    team_id: str
    channel_id: str
    files: tuple[SharedFile, ...] = ()


def is_direct(channel_id: str) -> bool:
    """Tell whether a channel is the direct messages of a person and the bot, which have no name to be mentioned by."""
    return channel_id.startswith("D")


@dataclass(frozen=True, slots=True)
class Addressed:
    """A message in which somebody addresses the bot outside of any conversation, by its place alone."""

    channel_id: str
    ts: str
    user_id: str
    """Who wrote it."""
    thread_ts: str | None = None
    """Of the thread in which it stands; None of one in the channel itself."""

    @property
    def is_direct(self) -> bool:
        """Whether it stands in the direct messages of a person and the bot."""
        return is_direct(self.channel_id)

    @property
    def created_at(self) -> datetime:
        """When it was written, by Slack's clock."""
        return moment_of(self.ts)


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """What somebody says in the thread of a conversation with a Chatflow."""

    text: str
    """As people wrote it: no escapes, and names in place of ids."""
    team_id: str
    channel_id: str
    thread_ts: str
    user_id: str
    said_at: datetime
    """By Slack's clock, which messages are put in order by: they may overtake one another on their way (slack-platform
    §4.3)."""
    files: tuple[SharedFile, ...] = ()
    names_bot: bool = False
    """It mentions the bot."""
    links: tuple[str, ...] = ()
    """Where it says nothing else: the addresses of its links."""


class HeldOutcome(StrEnum):
    """What became of a message that was held."""

    SENT = "sent"
    ANSWER = "answer"
    """Put into the window of a form, and not sent as a message."""
    DROPPED = "dropped"
    LAPSED = "lapsed"
    """Nobody said anything for as long as runs are kept."""


@dataclass(frozen=True, slots=True)
class Settlement:
    """What became of a message that was held, and who said so; nobody did where it lapsed."""

    outcome: HeldOutcome
    user_id: str | None = None
    form_title: str = ""
    """Of the form whose answer it was taken for."""


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


@dataclass(frozen=True, slots=True)
class SegmentText:
    """What a run wrote in one segment, as far as it is needed to know the text again.

    Without the addresses that Dify signed, as it is shown.
    """

    segment: int
    length: int
    digest: str
    beginning: str
    """By which another text is told apart before so much of it is there."""
    shown: bool = False
    """It stands whole in the thread."""

    @classmethod
    def of(cls, segment: int, text: str) -> SegmentText:
        """Return what is kept of a text; one of which nothing can be seen needs no message to stand in."""
        return cls(segment, len(text), _digest(text), text[:_BEGINNING], shown=not text.strip())

    def is_of(self, text: str) -> bool:
        """Tell whether it is kept of this text."""
        return len(text) == self.length and _digest(text) == self.digest


_BEGINNING = 200


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:32]


def repeated(text: str, texts: Sequence[SegmentText]) -> int | None:
    """Return how many characters at the beginning of a text are the first of `texts`, one after the other.

    None where `text` is too short to tell, and may go on like them.
    """
    beginning = texts[0].beginning if texts else ""
    told = min(len(text), len(beginning))
    if not texts or text[:told] != beginning[:told]:
        return 0
    end = 0
    for each in texts:
        if len(text) < end + each.length:
            return None
        if not each.is_of(text[end : end + each.length]):
            break
        end += each.length
    return end


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
    fixed: bool = False
    """The options are the builder's own: Dify takes nothing else, also where there are none (dify-api §10.4)."""

    @property
    def takes_nothing(self) -> bool:
        """Whether there is nothing that Dify would take."""
        return self.fixed and not self.options


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
    card_ts: str | None = None
    """The message that lists what is attached to it."""
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
    said_at: datetime | None = None
    """When that was said by Slack's clock, which all processes share: the order of a conversation. Of its first message
    it is when the root message was posted, which no reply comes before; None until then."""
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
    crowded: bool = False
    """Other messages of the conversation stand between it and its answer, which then says what it answers."""
    question_ts: str | None = None
    """The message that asks what is to be done with one that was held, and then says what was."""
    settlement: Settlement | None = None
    """What became of it; None while it is held, or where it never was."""
    message_id: str | None = None
    """Dify's id of the message that the run answers; only of a Chatflow, for feedback and suggestions."""
    suggestions: tuple[str, ...] = ()
    """What Dify suggests to ask next, after the answer."""
    suggestions_ts: str | None = None
    """The message that offers them."""
    forms: tuple[Form, ...] = ()
    attachments: tuple[Attachment, ...] = ()
    """What people gave to it and to its forms, the oldest first."""
    out_files: tuple[OutFile, ...] = ()
    """What it gave out, in the order in which it was seen."""
    segment: int = 0
    """How often it was seen to go on after a form; the text of each segment has a message of its own."""
    answer_ts: str | None = None
    """The thread message that carries the streamed text of the present segment."""
    texts: tuple[SegmentText, ...] = ()
    """What it wrote in earlier segments, of those that were heard whole."""
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

    @property
    def start_attachments(self) -> tuple[Attachment, ...]:
        """What people gave to it to start with, the files of a message to a Chatflow among it."""
        return tuple(each for each in self.attachments if each.form_id is None)

    def form(self, form_id: str) -> Form:
        """Return the form with this id.

        Raises:
            UnknownHere: the run never asked for it.
        """
        for form in self.forms:
            if form.form_id == form_id:
                return form
        raise UnknownHere(f"run {self.run_id} never asked for form {form_id}")

    def asks_for(self, form: Form) -> bool:
        """Tell whether one of its forms still waits for somebody to decide."""
        return form.status.asks and not self.status.ended

    @property
    def is_reply(self) -> bool:
        """Whether it answers a later message to a Chatflow, and its root message is a reply in the thread."""
        is_later = self.thread_ts is not None and self.root_ts != self.thread_ts
        return is_later and self.mode is AppMode.CHATFLOW

    @property
    def replaces_answer(self) -> bool:
        """Whether its result takes the place of the streamed text; an error does not: what was written stays."""
        return bool(self.outputs) and self.status.succeeded

    @property
    def texts_above(self) -> tuple[SegmentText, ...]:
        """What it wrote first, up to a text that does not stand whole in the thread."""
        return tuple(takewhile(lambda text: text.shown, self.texts))

    @property
    def open_forms(self) -> tuple[Form, ...]:
        """The forms that are not closed yet."""
        return tuple(form for form in self.forms if not form.status.closed)

    @property
    def is_answering(self) -> bool:
        """Whether a later message of the conversation has to wait for the answer to this one.

        An answer that Dify writes meanwhile would not know of this one (dify-api §5.1). A run that waits for people
        holds up nobody. Saved along with the run, as what the store goes by: another rule takes a migration.
        """
        is_sent_on = self.status is RunStatus.PAUSED and any(not form.status.asks for form in self.open_forms)
        return is_sent_on or (self.status in _EXECUTES and not self.told_stuck)
