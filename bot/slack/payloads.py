"""The fields we read from what Slack sends. Everything else in a payload is ignored."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, Field

from bot.core.model import Form, FormInput, Select
from bot.slack import ids
from bot.slack.fields import Shown, TextField, shown_fields


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


class _Option(_Payload):
    value: str


class _FieldState(_Payload):
    value: str | None = None
    selected_option: _Option | None = None


class _State(_Payload):
    values: dict[str, dict[str, _FieldState]] = {}


class ButtonClick(_Payload):
    """A `block_actions` payload of a click on a button of a message (slack-platform §2.6)."""

    user: _User
    container: _Container
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
        shown = shown_fields(form)
        entered: dict[str, str | None] = {}
        for block_id, states in self.state.values.items():
            index = ids.decode_field(block_id)
            if index is not None and index < len(form.inputs) and ids.FIELD in states:
                field = form.inputs[index]
                entered[field.name] = _entered(field, shown.get(field.name), states[ids.FIELD])
        return entered


def _entered(field: FormInput, shown: Shown | None, state: _FieldState) -> str | None:
    if isinstance(field, Select) and state.selected_option is not None:
        return _option(field, state.selected_option.value)
    # A text that is too long to stand in its field is meant by leaving the field empty; its hint says so.
    return state.value or (shown.kept if isinstance(shown, TextField) else None) or None


def _option(select: Select, value: str) -> str | None:
    """Return the option with this index; None for an index that the form does not have."""
    return select.options[int(value)] if value.isdecimal() and int(value) < len(select.options) else None
