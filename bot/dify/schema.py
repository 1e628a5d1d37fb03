"""Dify's wire: what its streams and answers look like, and what of it the core gets to see.

Only the fields that are read are modelled; everything else is ignored, because Dify adds keys and events freely.
Facts: dify-api §§5–10 and the recordings named there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, Json, TypeAdapter

from bot.core import events as saw
from bot.core.events import StreamEvent
from bot.core.files import MB
from bot.core.model import (
    Accepts,
    ButtonStyle,
    FileField,
    FileLimits,
    Form,
    FormInput,
    Paragraph,
    RunStatus,
    Select,
    StartInput,
    UserAction,
)
from bot.core.out_files import out_files
from bot.core.ports import LoggedRun, RunDetail


class Wire(BaseModel):
    """Base of all models: unknown keys are ignored, and an error never quotes the input, which may hold secrets."""

    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)


# --- forms -----------------------------------------------------------------------------------------------------------


class ParagraphDefault(Wire):
    """Where a paragraph's default comes from; `value` counts only for a constant (recording 35)."""

    type: str
    value: str = ""


class ParagraphInput(Wire):
    type: Literal["paragraph", "text_input"]
    """`text_input` is how 1.14.0 spelled it (dify-api §10.2)."""
    output_variable_name: str
    default: ParagraphDefault | None = None

    def to_core(self, resolved_defaults: Mapping[str, Any]) -> Paragraph:
        return Paragraph(self.output_variable_name, self._default(resolved_defaults))

    def _default(self, resolved_defaults: Mapping[str, Any]) -> str:
        if self.default is None:
            return ""
        if self.default.type == "variable":
            return _as_form_text(resolved_defaults.get(self.output_variable_name))
        return self.default.value


class OptionSource(Wire):
    type: str = "variable"
    value: list[str] = []


class SelectInput(Wire):
    type: Literal["select"]
    output_variable_name: str
    option_source: OptionSource

    def to_core(self, resolved_defaults: Mapping[str, Any]) -> Select:
        source = self.option_source
        return Select(self.output_variable_name, tuple(source.value), fixed=source.type == "constant")


class FileInput(Wire):
    type: Literal["file", "file-list"]
    output_variable_name: str
    number_limits: int = 0
    allowed_file_types: list[str] = []
    allowed_file_extensions: list[str] = []
    allowed_file_upload_methods: list[str] = []

    def to_core(self, resolved_defaults: Mapping[str, Any]) -> FileField:
        return FileField(
            self.output_variable_name,
            many=self.type == "file-list",
            limit=self.number_limits,
            allowed_types=tuple(self.allowed_file_types),
            allowed_extensions=tuple(self.allowed_file_extensions),
            allowed_methods=tuple(self.allowed_file_upload_methods),
        )


class UnknownInput(Wire):
    """A field of a type this bot has never heard of: its form has to be answered in Dify."""

    type: str

    def to_core(self, resolved_defaults: Mapping[str, Any]) -> None:
        return None


InputField = Annotated[ParagraphInput | SelectInput | FileInput | UnknownInput, Field(union_mode="left_to_right")]


class ActionButton(Wire):
    id: str
    title: str
    button_style: str = ButtonStyle.DEFAULT

    def to_core(self) -> UserAction:
        known = self.button_style in _BUTTON_STYLES
        return UserAction(self.id, self.title, ButtonStyle(self.button_style) if known else ButtonStyle.DEFAULT)


_BUTTON_STYLES = frozenset(ButtonStyle)


class FormDefinition(Wire):
    """What GET /form/human_input/{form_token} answers; the part of a form that every place spells alike."""

    form_content: str
    inputs: list[InputField] = []
    user_actions: list[ActionButton] = Field(default=[], validation_alias=AliasChoices("user_actions", "actions"))
    """`user_actions` when the form is read, `actions` in events (dify-api §16.2)."""
    resolved_default_values: dict[str, Any] = {}
    expiration_time: int | None = None
    """Unix seconds."""

    def complete(self, form: Form) -> Form:
        """Return the form as this definition shows it."""
        fields = [each.to_core(self.resolved_default_values) for each in self.inputs]
        known: tuple[FormInput, ...] = tuple(each for each in fields if each is not None)
        return replace(
            form,
            content=self.form_content,
            inputs=known,
            user_actions=tuple(button.to_core() for button in self.user_actions),
            expires_at=None if self.expiration_time is None else datetime.fromtimestamp(self.expiration_time, UTC),
            answerable=form.answerable and len(known) == len(fields),
        )


class AnnouncedForm(FormDefinition):
    """A form as an event announces it."""

    form_id: str
    node_id: str
    node_title: str
    form_token: str | None = Field(default=None, repr=False)
    display_in_ui: bool = False

    def to_core(self) -> Form:
        form = Form(
            form_id=self.form_id,
            node_id=self.node_id,
            node_title=self.node_title,
            content=self.form_content,
            inputs=(),
            user_actions=(),
            form_token=self.form_token,
            # Without web-app delivery there is a token all the same, and it answers 404 (recording 17).
            answerable=self.form_token is not None and self.display_in_ui,
        )
        return self.complete(form)


def _as_form_text(value: Any) -> str:
    """Spell a resolved default as reading the form does; events carry the raw JSON value (recording 35)."""
    match value:
        case None:
            return ""
        case str():
            return value
        case dict() | list():
            return json.dumps(value, ensure_ascii=False)
        case _:
            return str(value)


# --- events of a stream ----------------------------------------------------------------------------------------------


class StreamFrame(Wire):
    """One JSON object of a stream. Any of them may be the first to name the run (dify-api §9.2)."""

    task_id: str | None = None
    workflow_run_id: str | None = None
    conversation_id: str | None = None
    message_id: str | None = None

    def run_started(self) -> saw.RunStarted | None:
        """Return the run's ids, if this event carries them."""
        if self.workflow_run_id is None:
            return None
        return saw.RunStarted(self.workflow_run_id, self.task_id, self.conversation_id, self.message_id)

    def to_core(self) -> StreamEvent | None:
        """Return what the core makes of it, if anything."""
        return None


class StartReason(Wire):
    reason: str = "initial"


class WorkflowStarted(StreamFrame):
    event: Literal["workflow_started"]
    data: StartReason

    def to_core(self) -> StreamEvent | None:
        return saw.RunResumed() if self.data.reason == "resumption" else self.run_started()


class Step(Wire):
    node_id: str
    title: str


class StepStart(StreamFrame):
    event: Literal["node_started", "iteration_started", "loop_started"]
    data: Step

    def to_core(self) -> StreamEvent:
        return saw.StepStarted(self.data.node_id, self.data.title)


class StepOutcome(Step):
    status: str
    error: str | None = None


class StepEnd(StreamFrame):
    event: Literal["node_finished", "iteration_completed", "loop_completed"]
    data: StepOutcome

    def to_core(self) -> StreamEvent | None:
        if self.data.status not in _STEP_ENDINGS:
            return None
        failed = self.data.status != "succeeded"
        return saw.StepFinished(self.data.node_id, self.data.title, failed, self.data.error)


_STEP_ENDINGS = frozenset({"succeeded", "failed", "exception", "stopped", "partial-succeeded"})
"""A snapshot also reports nodes as finished that are `paused` or about to `retry` (dify-api §7.1)."""


class Text(Wire):
    text: str


class TextChunk(StreamFrame):
    event: Literal["text_chunk"]
    data: Text

    def to_core(self) -> StreamEvent | None:
        return saw.TextArrived(self.data.text) if self.data.text else None


class Message(StreamFrame):
    event: Literal["message", "message_replace"]
    answer: str

    def to_core(self) -> StreamEvent | None:
        replaces = self.event == "message_replace"
        return saw.TextArrived(self.answer, replaces) if self.answer or replaces else None


class HumanInputRequired(StreamFrame):
    event: Literal["human_input_required"]
    data: AnnouncedForm

    def to_core(self) -> StreamEvent:
        return saw.FormRequired(self.data.to_core())


class FormAnswer(Wire):
    node_id: str
    action_id: str
    submitted_data: dict[str, Any] | None = None
    """Missing before 1.15 (dify-api §14)."""


class HumanInputFormFilled(StreamFrame):
    event: Literal["human_input_form_filled"]
    data: FormAnswer

    def to_core(self) -> StreamEvent:
        return saw.FormFilled(self.data.node_id, self.data.action_id, self.data.submitted_data or {})


class NodeReference(Wire):
    node_id: str


class HumanInputFormTimeout(StreamFrame):
    event: Literal["human_input_form_timeout"]
    data: NodeReference

    def to_core(self) -> StreamEvent:
        return saw.FormTimedOut(self.data.node_id)


class PauseReason(Wire):
    type: str = Field(validation_alias="TYPE")
    """Upper case on the wire, unlike every other `type` (dify-api §7.3)."""
    form_id: str | None = None


class Pause(Wire):
    reasons: list[PauseReason]
    total_steps: int | None = None


class WorkflowPaused(StreamFrame):
    event: Literal["workflow_paused"]
    data: Pause

    def to_core(self) -> StreamEvent:
        asking = (reason for reason in self.data.reasons if reason.type == "human_input_required")
        form_ids = frozenset(reason.form_id for reason in asking if reason.form_id is not None)
        return saw.RunPaused(form_ids, self.data.total_steps)


class Outcome(Wire):
    status: Literal["succeeded", "failed", "stopped", "partial-succeeded"]
    outputs: dict[str, Any] | None = None
    error: str | None = None


class WorkflowFinished(StreamFrame):
    event: Literal["workflow_finished"]
    data: Outcome

    def to_core(self) -> StreamEvent:
        return saw.RunFinished(RunStatus(self.data.status), self.data.outputs or {}, self.data.error or None)


class ErrorFrame(StreamFrame):
    event: Literal["error"]
    message: str
    code: str | None = None

    def to_core(self) -> StreamEvent:
        return saw.StreamFailed(self.message, self.code)


class UnusedFrame(StreamFrame):
    """Events that are known and of which the bot makes nothing (dify-api §7)."""

    event: Literal[
        "agent_log",
        "iteration_next",
        "loop_next",
        "message_end",
        "message_file",
        "node_retry",
        "reasoning_chunk",
        "tts_message",
        "tts_message_end",
    ]


class UnreadableFrame(StreamFrame):
    """An event that is unknown, or known and of another shape than Dify has ever sent it."""

    event: str = ""


FRAMES: TypeAdapter[StreamFrame] = TypeAdapter(
    Annotated[
        WorkflowStarted
        | StepStart
        | StepEnd
        | TextChunk
        | Message
        | HumanInputRequired
        | HumanInputFormFilled
        | HumanInputFormTimeout
        | WorkflowPaused
        | WorkflowFinished
        | ErrorFrame
        | UnusedFrame,
        Field(discriminator="event"),
    ]
)


# --- answers ---------------------------------------------------------------------------------------------------------


class ErrorBody(Wire):
    """What every refusal carries, unless a proxy or the framework answered (dify-api §2.4)."""

    code: str | None = None
    message: str = ""


class AppInfo(Wire):
    """GET /info."""

    name: str
    mode: str


class Site(Wire):
    """GET /site."""

    title: str
    default_language: str | None = None


class StartVariable(Wire):
    """One field of the Start node."""

    variable: str
    label: str
    type: str
    required: bool = False
    default: Any = None
    max_length: int | None = None
    options: list[str] | None = None
    json_schema: Any = None
    allowed_file_types: list[str] | None = None
    allowed_file_extensions: list[str] | None = None
    allowed_file_upload_methods: list[str] | None = None

    def to_core(self) -> StartInput:
        schema = self.json_schema or ""
        return StartInput(
            variable=self.variable,
            label=self.label,
            type=self.type,
            required=self.required,
            default=self.default,
            max_length=self.max_length,
            options=tuple(self.options or ()),
            json_schema=schema if isinstance(schema, str) else json.dumps(schema, ensure_ascii=False),
            accepts=self._accepts(),
        )

    def _accepts(self) -> Accepts | None:
        """Return what a file, or a list of up to `max_length` files, takes (dify-api §3.4)."""
        if self.type not in ("file", "file-list"):
            return None
        return Accepts(
            tuple(self.allowed_file_types or ()),
            tuple(self.allowed_file_extensions or ()),
            tuple(self.allowed_file_upload_methods or ()),
            1 if self.type == "file" else self.max_length or 0,
        )


class Switch(Wire):
    enabled: bool = False


class FileUpload(Switch):
    """What `files` beside the inputs of a start takes; Dify does not hold to `number_limits` (recordings 31, 37)."""

    allowed_file_types: list[str] = []
    allowed_file_extensions: list[str] = []
    allowed_file_upload_methods: list[str] = []
    number_limits: int = 0

    def to_core(self) -> Accepts | None:
        if not self.enabled:
            # Dify would ignore them without a word (recording 41).
            return None
        return Accepts(
            tuple(self.allowed_file_types),
            tuple(self.allowed_file_extensions),
            tuple(self.allowed_file_upload_methods),
            self.number_limits,
        )


class SystemParameters(Wire):
    """How large a file may be, in MB; where Dify does not say, as large as by its default (dify-api §12.1)."""

    image_file_size_limit: int = 10
    video_file_size_limit: int = 100
    audio_file_size_limit: int = 50
    file_size_limit: int = 15

    def to_core(self) -> FileLimits:
        return FileLimits(
            image=self.image_file_size_limit * MB,
            video=self.video_file_size_limit * MB,
            audio=self.audio_file_size_limit * MB,
            other=self.file_size_limit * MB,
        )


class Parameters(Wire):
    """GET /parameters; each field of the form is an object with one key, the field's type."""

    suggested_questions_after_answer: Switch = Switch()
    file_upload: FileUpload = FileUpload()
    system_parameters: SystemParameters = SystemParameters()

    user_input_form: list[dict[str, StartVariable]]

    def start_inputs(self) -> tuple[StartInput, ...]:
        return tuple(variable.to_core() for field in self.user_input_form for variable in field.values())


class RunAnswer(Wire):
    """GET /workflows/run/{workflow_run_id}."""

    status: Literal["running", "paused", "succeeded", "failed", "stopped", "partial-succeeded"]
    outputs: dict[str, Any] | None = None
    error: str | None = None
    total_steps: int | None = None

    def to_core(self) -> RunDetail:
        return RunDetail(RunStatus(self.status), self.outputs or {}, self.error or None, self.total_steps)


class StartedRun(Wire):
    """The same answer, for what the run was started with."""

    inputs: Json[dict[str, Any]]
    """A string on the wire (dify-api §4.3)."""

    def is_start_of(self, run_inputs: Mapping[str, Any], declared: Mapping[str, Any]) -> bool:
        """Tell whether these inputs made it what it is, for an app that declares these start inputs and defaults.

        Dify adds its own variables, whose names begin with `sys.` (recording 01), and what was left out.
        """
        sent = {**declared, **run_inputs}
        kept = {name: value for name, value in self.inputs.items() if not name.startswith("sys.")}
        return all(_is_stored_as(sent.get(name), kept.get(name)) for name in run_inputs.keys() | kept.keys())


def _is_stored_as(sent: Any, stored: Any) -> bool:
    match sent, stored:
        case None | "", _:
            # What is left out is stored as its type has it, and an empty number as none (dify-api §3.4).
            return stored in (None, "", [], {}) or stored is False
        case str(), str():
            # NUL is stripped (recording 32), and half a surrogate pair was never sent.
            return sent.replace("\0", "").encode(errors="replace").decode() == stored
        case str(), int() | float():
            return _is_number(sent, stored)
        # A file comes back as an object of Dify's, and so does a link (recording 18).
        case {"upload_file_id": upload}, {"related_id": file}:
            return bool(upload == file)
        case {"url": link}, {"remote_url": file}:
            return bool(link == file)
        case list(), list():
            return len(sent) == len(stored) and all(map(_is_stored_as, sent, stored))
        case _:
            return bool(sent == stored)


def _is_number(text: str, number: float) -> bool:
    """Tell whether a text is how a number was sent, or its default declared (recording 18)."""
    try:
        return float(text) == number
    except ValueError:
        return False


class LogEntryRun(Wire):
    id: str
    created_at: int
    """Unix seconds."""


class LogEntry(Wire):
    workflow_run: LogEntryRun


class Log(Wire):
    """GET /workflows/logs, newest first."""

    data: list[LogEntry]

    def to_core(self) -> tuple[LoggedRun, ...]:
        runs = (entry.workflow_run for entry in reversed(self.data))
        return tuple(LoggedRun(run.id, datetime.fromtimestamp(run.created_at, UTC)) for run in runs)


class FormSubmission(Wire):
    action_id: str
    submitted_data: dict[str, Any] | None = None


class FormReference(Wire):
    form_id: str


class HistoryForm(Wire):
    """A form in a Chatflow's history: the one place where an answer given elsewhere can be read later."""

    submitted: bool
    form_definition: FormReference
    form_submission_data: FormSubmission | None = None


class MessageFile(Wire):
    """A file of a message or its answer; the address is signed whenever the history is read (recording 31)."""

    url: str | None = Field(default=None, repr=False)


class HistoryMessage(Wire):
    id: str
    answer: str
    status: str
    error: str | None = None
    message_files: list[MessageFile] = []
    extra_contents: list[HistoryForm] = []

    def addresses(self) -> tuple[str, ...]:
        """Return the addresses that Dify signed anew: images stand beside the answer, other files in it, too."""
        beside = tuple(file.url for file in self.message_files if file.url)
        return beside + tuple(file.url for file in out_files(self.answer, None))


class History(Wire):
    """GET /messages, oldest first."""

    data: list[HistoryMessage]


class Suggestions(Wire):
    """GET /messages/{message_id}/suggested."""

    data: list[str]


class UploadedFile(Wire):
    """POST /files/upload."""

    id: str
