"""The fields we read from what Slack sends. Everything else in a payload is ignored."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field

from bot.core.command import default_text, must_be_given, plain
from bot.core.files import clean_name, links_in
from bot.core.form_files import WindowFiles
from bot.core.model import (
    Addressed,
    ChatMessage,
    FileField,
    Form,
    FormInput,
    PickedMessage,
    Select,
    SharedFile,
    moment_of,
)
from bot.core.ports import AppDescription, StartPlace
from bot.slack import ids
from bot.slack.forms.fields import Shown, TextField, initial, shown_fields, window_fields
from bot.slack.starts.fields import StartShown, start_fields
from bot.slack.text.mrkdwn import unescape

EXTERNAL = "It is not kept in Slack but linked from elsewhere: download it there and share the file itself."
DELETED = "It was deleted in Slack: share it once more."
HIDDEN = "Slack hides it, since it is older than what this workspace's plan keeps: share it once more."
SLACKS_OWN = "It is a post, a canvas or a list of Slack's, which cannot be downloaded: share it as a PDF, for example."
_OF_MODE = {"external": EXTERNAL, "tombstone": DELETED, "hidden_by_limit": HIDDEN, "post": SLACKS_OWN}
_SLACKS_TYPES = "application/vnd.slack-"
"""How the MIME types of canvases and lists begin; what is downloaded of them is a page [believed]."""
_LABELLED_LINK = re.compile(r"<(https?://[^<>|]*)\|[^<>]*>")


class _Payload(BaseModel):
    # What people typed belongs in no log, which an error with its input would carry it into.
    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)


class SlashCommand(_Payload):
    """A slash command (slack-platform §4.2)."""

    command: str
    text: str = ""
    team_id: str
    channel_id: str
    user_id: str
    response_url: str = Field(repr=False)
    trigger_id: str

    @property
    def delivery(self) -> str:
        """What this delivery has in common with its repetitions, and with no other."""
        return f"command:{self.trigger_id}"


class _User(_Payload):
    id: str


class _Container(_Payload):
    channel_id: str
    message_ts: str


class _BlockAction(_Payload):
    action_id: str
    value: str
    action_ts: str


class FilePayload(_Payload):
    """A file object (slack-platform §5.1); of one from another workspace only its id is told (§5.2)."""

    id: str
    name: str | None = None
    mimetype: str | None = None
    size: int | None = None
    mode: str = ""
    is_external: bool = False

    def why_unavailable(self) -> str | None:
        """Return why Slack does not give the file, a sentence; None where nothing here says so (§5.2)."""
        if self.is_external:
            return EXTERNAL
        if (self.mimetype or "").startswith(_SLACKS_TYPES):
            return SLACKS_OWN
        return _OF_MODE.get(self.mode)

    def to_core(self) -> SharedFile:
        """Return what is told of the file."""
        name = clean_name(self.name) if self.name else ""
        return SharedFile(self.id, name, self.mimetype or "", self.size or 0, self.why_unavailable() or "")


class MessagePosted(_Payload):
    """A `message` event (slack-platform §4.3): of people and of apps, in threads and elsewhere."""

    channel: str
    ts: str
    thread_ts: str | None = None
    user: str | None = None
    text: str = ""
    subtype: str | None = None
    bot_id: str | None = None
    files: tuple[FilePayload, ...] = ()

    @property
    def is_of_person(self) -> bool:
        """Whether somebody said it; what is edited, deleted or said by an app is none of it."""
        said = self.subtype in (None, "file_share", "thread_broadcast") and self.bot_id is None
        return said and self.user is not None

    @property
    def is_reply(self) -> bool:
        """Whether it stands in a thread, of which it is not the root."""
        return self.thread_ts is not None and self.thread_ts != self.ts

    def addressed(self, bot_user_id: str | None) -> Addressed | None:
        """Return where it stands if it addresses the bot: it mentions it, or nobody else is there to be addressed."""
        assert self.user is not None, "a message of a person"
        message = Addressed(self.channel, self.ts, self.user, self.thread_ts if self.is_reply else None)
        alone = message.is_direct and not self.is_reply
        return message if alone or _mention(bot_user_id) in self.text else None

    @property
    def delivery(self) -> str:
        """What this message has in common with its repetitions, and with no other."""
        return f"message:{self.channel}:{self.ts}"

    def to_core(self, team_id: str, bot_user_id: str | None) -> ChatMessage:
        """Return what was said, without the mention of the bot."""
        assert self.user is not None, "a reply of a person"
        assert self.thread_ts is not None, "in a thread"
        return ChatMessage(
            text=said_to(bot_user_id, self.text),
            team_id=team_id,
            channel_id=self.channel,
            thread_ts=self.thread_ts,
            user_id=self.user,
            said_at=moment_of(self.ts),
            files=tuple(file.to_core() for file in self.files),
            names_bot=_mention(bot_user_id) in self.text,
            links=links_in(said_to(bot_user_id, _LABELLED_LINK.sub(r"<\1>", self.text))),
        )


def said_to(bot_user_id: str | None, text: str) -> str:
    """Return a text of Slack's as people wrote it, without the mention of the bot."""
    return plain(re.sub(rf"[ \t]*{_mention(bot_user_id)}[ \t]*", " ", text)).strip()


def _mention(bot_user_id: str | None) -> str:
    return f"<@{bot_user_id}>"


class _Text(_Payload):
    text: str


class _Option(_Payload):
    value: str
    text: _Text = _Text(text="")


class _FieldState(_Payload):
    value: str | None = None
    selected_option: _Option | None = None
    selected_options: tuple[_Option, ...] = ()
    files: tuple[FilePayload, ...] = ()
    """Of a `file_input` (slack-platform §4.1)."""


class _State(_Payload):
    values: dict[str, dict[str, _FieldState]] = {}

    def entered(self, form: Form, shown: Mapping[str, Shown]) -> dict[str, str | None]:
        """Return what stands in a form's fields, by the input's name; None for what was left empty."""
        entered: dict[str, str | None] = {}
        for block_id, states in self.values.items():
            index = ids.decode_field(block_id)
            if index is not None and index < len(form.inputs) and ids.FIELD in states:
                field = form.inputs[index]
                if isinstance(field, FileField):
                    continue
                entered[field.name] = _entered(field, shown.get(field.name), states[ids.FIELD])
        return entered

    def files(self, form: Form) -> dict[str, tuple[SharedFile, ...]]:
        """Return the files that were chosen for a form's fields, by the input's name."""
        chosen: dict[str, tuple[SharedFile, ...]] = {}
        for block_id, states in self.values.items():
            index = ids.decode_field(block_id)
            if index is not None and index < len(form.inputs) and (state := states.get(ids.FIELD)) and state.files:
                chosen[form.inputs[index].name] = tuple(file.to_core() for file in state.files)
        return chosen

    def links(self, form: Form) -> dict[str, str]:
        """Return the links that were given for a form's fields for files, by the input's name, as they were entered."""
        given: dict[str, str] = {}
        for block_id, states in self.values.items():
            index = ids.decode_link(block_id)
            if index is not None and index < len(form.inputs) and (state := states.get(ids.FIELD)) and state.value:
                given[form.inputs[index].name] = state.value
        return given

    def changed(self, form: Form, shown: Mapping[str, Shown]) -> dict[str, str | None]:
        """Return what stands in the fields that do not hold what the form says; of those for files it is links."""
        says = {field.name: initial(form, field, shown.get(field.name)) for field in form.inputs}
        entered = {name: value for name, value in self.entered(form, shown).items() if value != says[name]}
        return entered | self.links(form)


class ButtonClick(_Payload):
    """A `block_actions` payload of a click on a button of a message (slack-platform §2.6)."""

    user: _User
    container: _Container
    trigger_id: str
    actions: tuple[_BlockAction, ...] = Field(min_length=1)
    state: _State = _State()

    @property
    def value(self) -> str:
        """The value of the button."""
        return self.actions[0].value

    @property
    def user_id(self) -> str:
        """Who pressed it."""
        return self.user.id

    @property
    def at(self) -> datetime:
        """When they pressed it, by Slack's clock."""
        return moment_of(self.actions[0].action_ts)

    @property
    def delivery(self) -> str:
        """What this delivery has in common with its repetitions, and with no other."""
        pressed, place = self.actions[0], self.container
        return f"click:{place.channel_id}:{place.message_ts}:{pressed.action_id}:{pressed.action_ts}:{self.user.id}"

    def entered(self, form: Form) -> Mapping[str, str | None]:
        """Return what stood in the form's fields, by the input's name; None for what was left empty."""
        return self.state.entered(form, shown_fields(form))

    def changed(self, form: Form) -> Mapping[str, str | None]:
        """Return the same of the fields that this person has changed."""
        return self.state.changed(form, shown_fields(form))


class _Chosen(_Payload):
    block_id: str
    action_ts: str
    selected_option: _Option


class MenuChoice(_Payload):
    """A `block_actions` payload of a choice in a menu of a message (slack-platform §2.6)."""

    user: _User
    container: _Container
    actions: tuple[_Chosen, ...] = Field(min_length=1)

    @property
    def block_id(self) -> str:
        """The block of the menu."""
        return self.actions[0].block_id

    @property
    def index(self) -> int:
        """Which option was chosen."""
        value = self.actions[0].selected_option.value
        return int(value) if value.isdecimal() else -1

    @property
    def user_id(self) -> str:
        """Who chose it."""
        return self.user.id

    @property
    def delivery(self) -> str:
        """What this delivery has in common with its repetitions, and with no other."""
        chosen = self.actions[0]
        return f"choice:{self.container.channel_id}:{chosen.block_id}:{chosen.action_ts}:{self.user.id}"


class _Block(_Payload):
    type: str
    block_id: str = ""


class _View(_Payload):
    id: str
    hash: str = ""
    private_metadata: str
    blocks: tuple[_Block, ...] = ()
    state: _State = _State()


class _Pressed(_Payload):
    action_ts: str


class WindowEvent(_Payload):
    """A change, a click, a submit or the closing of a form's window (slack-platform §2.6, §4.1)."""

    user: _User
    view: _View
    actions: tuple[_Pressed, ...] = ()

    @property
    def window(self) -> ids.WindowOf:
        """What the window is of.

        Raises:
            UnknownHere: it is none of ours.
        """
        return ids.decode_window(self.view.private_metadata)

    @property
    def user_id(self) -> str:
        """Who looks at it."""
        return self.user.id

    @property
    def view_id(self) -> str:
        """Slack's id of this one window."""
        return self.view.id

    @property
    def first_field(self) -> str | None:
        """The block_id of its first field, a place for an error that is of none; None where it has no field."""
        return next((block.block_id for block in self.view.blocks if block.type == "input"), None)

    @property
    def at(self) -> datetime:
        """When somebody changed or clicked something, by Slack's clock."""
        return moment_of(self.actions[0].action_ts)

    @property
    def delivery(self) -> str:
        """What this submit has in common with its repetitions, and, once one was taken, with no other."""
        return f"window:{self.view.id}:{self.view.hash}"

    def chosen(self, form: Form) -> str | None:
        """Return the id of the user action to be submitted: the only one, or the one that was chosen, if any."""
        if len(form.user_actions) == 1:
            return form.user_actions[0].id
        option = self.view.state.values.get(ids.DECISION, {}).get(ids.DECISION, _FieldState()).selected_option
        index = int(option.value) if option is not None and option.value.isdecimal() else len(form.user_actions)
        return form.user_actions[index].id if index < len(form.user_actions) else None

    def entered(self, form: Form) -> Mapping[str, str | None]:
        """Return what stands in the form's fields, by the input's name; None for what was left empty."""
        return self.view.state.entered(form, window_fields(form))

    def changed(self, form: Form) -> Mapping[str, str | None]:
        """Return the same of the fields that do not hold what the form says."""
        return self.view.state.changed(form, window_fields(form))

    @property
    def tells_values(self) -> bool:
        """Whether it says what the window holds: where one is closed, Slack may leave that out [believed]."""
        return bool(self.view.state.values)

    def holding(self, form: Form) -> WindowFiles:
        """Return the files and links that the window holds."""
        state = self.view.state
        links = {name: tuple(text.split()) for name, text in state.links(form).items()}
        return WindowFiles(self.view_id, state.files(form), links, self.at if self.actions else None)


class _Place(_Payload):
    id: str


class _PickedMessage(_Payload):
    text: str = ""
    files: tuple[FilePayload, ...] = ()


class MessageRead(_PickedMessage):
    """A message as `conversations.replies` gives it."""

    ts: str
    subtype: str | None = None

    @property
    def is_gone(self) -> bool:
        """Whether it was deleted, and only stands for the replies below it [believed]."""
        return self.subtype == "tombstone"

    def to_core(self, team_id: str, channel_id: str, bot_user_id: str | None) -> PickedMessage:
        """Return the message, without the mention of the bot."""
        files = tuple(file.to_core() for file in self.files)
        return PickedMessage(said_to(bot_user_id, self.text), team_id, channel_id, files)


class MessageShortcut(_Payload):
    """A shortcut on a message, of a person or an app (slack-platform §4.2)."""

    team: _Place
    channel: _Place
    user: _User
    message: _PickedMessage
    trigger_id: str

    def to_core(self) -> PickedMessage:
        """Return the message."""
        files = tuple(file.to_core() for file in self.message.files)
        return PickedMessage(plain(self.message.text).strip(), self.team.id, self.channel.id, files)


class _StartView(_View):
    blocks: tuple[_Block, ...]


class StartEvent(_Payload):
    """A change or a submit of a start window (slack-platform §2.6, §4.1)."""

    user: _User
    view: _StartView

    @property
    def place(self) -> StartPlace:
        """What the window stands for.

        Raises:
            UnknownHere: it is none of ours.
        """
        return ids.decode_place(self.view.private_metadata)

    @property
    def app(self) -> str:
        """The app that is chosen; empty where none is."""
        option = self.view.state.values.get(ids.CHOOSE_APP, {}).get(ids.CHOOSE_APP, _FieldState()).selected_option
        return option.value if option else self.place.app or ""

    @property
    def user_id(self) -> str:
        """Who looks at it."""
        return self.user.id

    @property
    def view_id(self) -> str:
        """Slack's id of this one window."""
        return self.view.id

    @property
    def hash(self) -> str:
        """What tells the window as it was then from what it has become since."""
        return self.view.hash

    @property
    def first_input(self) -> str | None:
        """The block_id of its first field: what is wrong with the window as a whole can only be told there."""
        return next((block.block_id for block in self.view.blocks if block.type == "input"), None)

    def entered(self, app: str, description: AppDescription) -> Mapping[str, str] | None:
        """Return the texts entered into the fields of an app; None where the window shows others."""
        shown, states = start_fields(app, description), self._states()
        # Where no file is chosen, Slack may leave out the field [believed].
        told = [each for each in shown if not each.holds_files or each.block_id in states]
        if self.place.app != app or states.keys() != {each.block_id for each in told}:
            return None
        texts = {each.field.variable: _start_text(each, states[each.block_id]) for each in told if not each.holds_files}
        return {name: text for name, text in texts.items() if text is not None}

    def chosen(self) -> Mapping[str, tuple[SharedFile, ...]]:
        """Return by variable the files that are chosen in the window."""
        named = ((ids.decode_start_field(block_id), state) for block_id, state in self._states().items())
        return {
            field.name: tuple(each.to_core() for each in state.files) for field, state in named if field and state.files
        }

    def carried(self, description: AppDescription | None) -> Mapping[str, str]:
        """Return by variable what can be taken over into the fields of another app.

        `description` is of the app whose fields the window shows, None where nobody knows it; without it a long option
        is known by its beginning only.
        """
        app, found = self.place.app, {}
        shown = {each.block_id: each for each in start_fields(app, description)} if app and description else {}
        for block_id, state in self._states().items():
            field = ids.decode_start_field(block_id)
            text = _as_shown(shown.get(block_id), state)
            if field is not None and text is not None:
                found[field.name] = text
        return found

    def blocks_of(self, problems: Mapping[str, str]) -> Mapping[str, str]:
        """Return sentences that are about fields, here by variable, by block_id."""
        # One for files may have two blocks, of which the first says what is wrong.
        first: dict[str, str] = {}
        for block in self.view.blocks:
            if (field := ids.decode_start_field(block.block_id)) is not None:
                first.setdefault(field.name, block.block_id)
        return {first[name]: problem for name, problem in problems.items() if name in first}

    def _states(self) -> dict[str, _FieldState]:
        values = self.view.state.values.items()
        return {block_id: states[ids.FIELD] for block_id, states in values if ids.FIELD in states}


class HomeOpened(_Payload):
    """An `app_home_opened` event: somebody looks at a tab of the app (slack-platform §7.3)."""

    user: str
    channel: str
    """Their direct messages with the bot."""
    tab: str


class _Clicked(_Payload):
    value: str = ""


class StartClick(StartEvent):
    """A click on a button of a start window."""

    actions: tuple[_Clicked, ...] = Field(min_length=1)

    @property
    def value(self) -> str:
        """The value of the button."""
        return self.actions[0].value


class HomeClick(_Payload):
    """A click on a button of a Home (slack-platform §4.1)."""

    user: _User
    trigger_id: str
    actions: tuple[_Clicked, ...] = Field(min_length=1)

    @property
    def value(self) -> str:
        """The value of the button."""
        return self.actions[0].value


def _start_text(shown: StartShown, state: _FieldState) -> str | None:
    """Return the text that stands for what a field holds; None where nothing is to be sent for it."""
    field = shown.field
    if field.type == "checkbox":
        return "true" if state.selected_options else "false"
    if state.selected_option is not None:
        return _option(field.options, state.selected_option.value)
    if state.value:
        return state.value
    if shown.kept:
        # Where it may be left out, Dify fills it in itself.
        return default_text(field) if must_be_given(field) else None
    return "" if field.type != "select" and default_text(field) else None


def _as_shown(shown: StartShown | None, state: _FieldState) -> str | None:
    if (chosen := state.selected_option) is not None:
        whole = None if shown is None else _option(shown.field.options, chosen.value)
        return unescape(chosen.text.text) if whole is None else whole
    return "true" if state.selected_options else state.value


def _entered(field: FormInput, shown: Shown | None, state: _FieldState) -> str | None:
    if isinstance(field, Select) and state.selected_option is not None:
        return _option(field.options, state.selected_option.value)
    # A text that is too long to stand in its field is meant by leaving the field empty; its hint says so.
    return state.value or (shown.kept if isinstance(shown, TextField) else None) or None


def _option(options: Sequence[str], value: str) -> str | None:
    """Return the option with this index; None for an index that none of them has."""
    return options[int(value)] if value.isdecimal() and int(value) < len(options) else None
