"""The fields we read from what Slack sends. Everything else in a payload is ignored."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from bot.core.command import default_text, must_be_given, plain
from bot.core.model import ChatMessage, Form, FormInput, Select
from bot.core.ports import AppDescription, StartPlace
from bot.slack import ids
from bot.slack.fields import Shown, TextField, initial, shown_fields, window_fields
from bot.slack.mrkdwn import unescape
from bot.slack.start_fields import StartShown, start_fields


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


class MessagePosted(_Payload):
    """A `message` event (slack-platform §4.3): of people and of apps, in threads and elsewhere."""

    channel: str
    ts: str
    thread_ts: str | None = None
    user: str | None = None
    text: str = ""
    subtype: str | None = None
    bot_id: str | None = None
    files: tuple[Any, ...] = ()

    @property
    def is_reply_of_person(self) -> bool:
        """Whether somebody said it in a thread; what is edited, deleted or said by an app is none of it."""
        said = self.subtype in (None, "file_share", "thread_broadcast") and self.bot_id is None
        return said and self.user is not None and self.thread_ts is not None and self.thread_ts != self.ts

    @property
    def delivery(self) -> str:
        """What this message has in common with its repetitions, and with no other."""
        return f"message:{self.channel}:{self.ts}"

    def to_core(self, team_id: str, bot_user_id: str | None) -> ChatMessage:
        """Return what was said, without the mention of the bot."""
        assert self.user is not None, "a reply of a person"
        assert self.thread_ts is not None, "in a thread"
        mention = f"<@{bot_user_id}>"
        return ChatMessage(
            text=plain(re.sub(rf"[ \t]*{mention}[ \t]*", " ", self.text)).strip(),
            team_id=team_id,
            channel_id=self.channel,
            thread_ts=self.thread_ts,
            user_id=self.user,
            has_files=bool(self.files),
            names_bot=mention in self.text,
            said_at=datetime.fromtimestamp(float(self.ts), UTC),
        )


class _Text(_Payload):
    text: str


class _Option(_Payload):
    value: str
    text: _Text = _Text(text="")


class _FieldState(_Payload):
    value: str | None = None
    selected_option: _Option | None = None
    selected_options: tuple[_Option, ...] = ()


class _State(_Payload):
    values: dict[str, dict[str, _FieldState]] = {}

    def entered(self, form: Form, shown: Mapping[str, Shown]) -> dict[str, str | None]:
        """Return what stands in a form's fields, by the input's name; None for what was left empty."""
        entered: dict[str, str | None] = {}
        for block_id, states in self.values.items():
            index = ids.decode_field(block_id)
            if index is not None and index < len(form.inputs) and ids.FIELD in states:
                field = form.inputs[index]
                entered[field.name] = _entered(field, shown.get(field.name), states[ids.FIELD])
        return entered

    def changed(self, form: Form, shown: Mapping[str, Shown]) -> dict[str, str | None]:
        """Return the same of the fields that do not hold what the form says."""
        says = {field.name: initial(form, field, shown.get(field.name)) for field in form.inputs}
        return {name: value for name, value in self.entered(form, shown).items() if value != says[name]}


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
    action_ts: float


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
        return datetime.fromtimestamp(self.actions[0].action_ts, UTC)

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
        if self.place.app != app or states.keys() != {each.block_id for each in shown}:
            return None
        texts = {each.field.variable: _start_text(each, states[each.block_id]) for each in shown}
        return {name: text for name, text in texts.items() if text is not None}

    def carried(self) -> Mapping[str, str]:
        """Return by variable what can be taken over into the fields of another app."""
        named = ((ids.decode_start_field(block_id), state) for block_id, state in self._states().items())
        return {field.name: text for field, state in named if field and (text := _as_shown(state)) is not None}

    def blocks_of(self, problems: Mapping[str, str]) -> Mapping[str, str]:
        """Return sentences that are about fields, here by variable, by block_id."""
        named = ((ids.decode_start_field(block_id), block_id) for block_id in self._states())
        return {block_id: problems[field.name] for field, block_id in named if field and field.name in problems}

    def _states(self) -> dict[str, _FieldState]:
        values = self.view.state.values.items()
        return {block_id: states[ids.FIELD] for block_id, states in values if ids.FIELD in states}


def _start_text(shown: StartShown, state: _FieldState) -> str | None:
    """Return the text that stands for what a field holds; None where nothing is to be sent for it."""
    field = shown.field
    if field.type == "checkbox":
        return "true" if state.selected_options else "false"
    if state.selected_option is not None:
        index = state.selected_option.value
        return field.options[int(index)] if index.isdecimal() and int(index) < len(field.options) else None
    if state.value:
        return state.value
    if shown.kept:
        # Where it may be left out, Dify fills it in itself.
        return default_text(field) if must_be_given(field) else None
    return "" if field.type != "select" and default_text(field) else None


def _as_shown(state: _FieldState) -> str | None:
    if state.selected_option is not None:
        return unescape(state.selected_option.text.text)
    return "true" if state.selected_options else state.value


def _entered(field: FormInput, shown: Shown | None, state: _FieldState) -> str | None:
    if isinstance(field, Select) and state.selected_option is not None:
        return _option(field, state.selected_option.value)
    # A text that is too long to stand in its field is meant by leaving the field empty; its hint says so.
    return state.value or (shown.kept if isinstance(shown, TextField) else None) or None


def _option(select: Select, value: str) -> str | None:
    """Return the option with this index; None for an index that the form does not have."""
    return select.options[int(value)] if value.isdecimal() and int(value) < len(select.options) else None
