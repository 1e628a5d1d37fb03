"""Fields and buttons on a message or view, and the `state.values` made of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

from bot.playground.slack.text import Json, unescape

Candidate = TypeVar("Candidate")
Draft = Mapping[tuple[str, str], Json]

# What an element's state carries, and the property of the element that prefills it (slack-platform §2.6).
STATEFUL: dict[str, tuple[str, str]] = {
    "plain_text_input": ("value", "initial_value"),
    "email_text_input": ("value", "initial_value"),
    "url_text_input": ("value", "initial_value"),
    "number_input": ("value", "initial_value"),
    "rich_text_input": ("rich_text_value", "initial_value"),
    "file_input": ("files", "initial_files"),
    "static_select": ("selected_option", "initial_option"),
    "external_select": ("selected_option", "initial_option"),
    "radio_buttons": ("selected_option", "initial_option"),
    "users_select": ("selected_user", "initial_user"),
    "conversations_select": ("selected_conversation", "initial_conversation"),
    "channels_select": ("selected_channel", "initial_channel"),
    "multi_static_select": ("selected_options", "initial_options"),
    "multi_external_select": ("selected_options", "initial_options"),
    "checkboxes": ("selected_options", "initial_options"),
    "multi_users_select": ("selected_users", "initial_users"),
    "multi_conversations_select": ("selected_conversations", "initial_conversations"),
    "multi_channels_select": ("selected_channels", "initial_channels"),
    "datepicker": ("selected_date", "initial_date"),
    "timepicker": ("selected_time", "initial_time"),
    "datetimepicker": ("selected_date_time", "initial_date_time"),
}
LISTS = ("selected_options", "selected_users", "selected_conversations", "selected_channels", "files")


@dataclass(frozen=True)
class Exactly:
    """Names something as a machine does, where a bare text names it as a reader would.

    A field or button by `<block_id>/<action_id>` (each of `feedback_buttons` by that and `/<value>`), an option by its
    value, a person or channel by id.
    """

    id: str

    def __str__(self) -> str:
        return self.id


Name: TypeAlias = str | Exactly


@dataclass(frozen=True)
class Control:
    """An interactive element and the block it stands in."""

    block: Json
    element: Json

    @property
    def key(self) -> tuple[str, str]:
        """`(block_id, action_id)`: where its value stands in `state.values`."""
        return self.block["block_id"], self.element["action_id"]

    @property
    def id(self) -> str:
        """Both of that in one text."""
        return "/".join(self.key)

    @property
    def label(self) -> str:
        """What a reader calls it: the input's label, the button's text, else its placeholder."""
        for text in (self.block.get("label"), self.element.get("text"), self.element.get("placeholder")):
            if text:
                return unescape(text["text"])
        return str(self.element["action_id"])

    @property
    def is_field(self) -> bool:
        """Whether it keeps a value until something is submitted."""
        return self.element["type"] in STATEFUL

    @property
    def fires(self) -> bool:
        """A change is a block action of its own: in inputs only with `dispatch_action` (slack-platform §2.6)."""
        return self.block["type"] != "input" or bool(self.block.get("dispatch_action"))

    def value(self, draft: Draft) -> Json:
        """Its entry in `state.values`: what the person put in, else its initial value, else null."""
        if self.key in draft and draft[self.key]["type"] == self.element["type"]:
            return draft[self.key]
        name, prefill = STATEFUL[self.element["type"]]
        return self.with_value(self.element.get(prefill, [] if name in LISTS else None))

    def answer(self, draft: Draft) -> Any:
        """The bare value of that entry: a text, an option, a list of options, …"""
        return self.value(draft)[STATEFUL[self.element["type"]][0]]

    def with_value(self, value: Any) -> Json:
        """Its entry in `state.values` when it holds `value`."""
        return {"type": self.element["type"], STATEFUL[self.element["type"]][0]: value}

    @property
    def options(self) -> list[Json]:
        """The options written out in it, those of groups included."""
        return listed_options(self.element)


def listed_options(choice: Json) -> list[Json]:
    """The options of a menu, or of what an app offers for one; those of groups included."""
    groups = choice.get("option_groups", [])
    return [*choice.get("options", []), *(option for group in groups for option in group["options"])]


def controls(blocks: list[Json]) -> Iterator[Control]:
    """Every interactive element on a surface, in reading order."""
    for block in blocks:
        elements = [*block.get("elements", []), block.get("accessory"), block.get("element")]
        for element in elements:
            if element and "action_id" in element:
                yield Control(block, element)


def state_values(blocks: list[Json], draft: Draft) -> dict[str, dict[str, Json]]:
    """`state.values` of a surface: every stateful element of it, whichever of them was used (slack-platform §2.6)."""
    values: dict[str, dict[str, Json]] = {}
    for control in controls(blocks):
        if control.is_field:
            block_id, action_id = control.key
            values.setdefault(block_id, {})[action_id] = control.value(draft)
    return values


def find_field(blocks: list[Json], name: Name) -> Control:
    """The field a person means by `name`: (part of) its label, block_id or action_id, or exactly that one.

    Raises `LookupError` when none or several fit.
    """
    fields = [control for control in controls(blocks) if control.is_field or control.element["type"] == "overflow"]
    return _the_one(fields, name, "field", lambda field: [field.label, *field.key], lambda field: [field.id])


def find_button(blocks: list[Json], name: Name) -> Control:
    """The button that reads `name`, or is read out so, or else the only one that has it as a part, or exactly that one.

    Raises `LookupError` as above.
    """
    return _the_one(list(buttons(blocks)), name, "button", _names_of_button, _ids_of_button)


def _names_of_button(button: Control) -> list[str]:
    return [button.label, button.element.get("accessibility_label", button.label)]


def _ids_of_button(button: Control) -> list[str]:
    return [button.id, f"{button.id}/{button.element.get('value')}"]


def find_option(options: list[Json], name: Name) -> Json:
    """The option that reads `name`, or exactly that one. Raises `LookupError` as above."""
    return _the_one(
        options, name, "option", lambda option: [option_name(option)], lambda option: [option.get("value", "")]
    )


def option_name(option: Json) -> str:
    """What an option reads."""
    return unescape(option["text"]["text"])


def buttons(blocks: list[Json]) -> Iterator[Control]:
    """The buttons on a surface, in reading order; of `feedback_buttons` both."""
    for control in controls(blocks):
        if control.element["type"] == "button":
            yield control
        elif control.element["type"] == "feedback_buttons":
            what = {key: control.element[key] for key in ("type", "action_id")}
            yield Control(control.block, {**control.element["positive_button"], **what})
            yield Control(control.block, {**control.element["negative_button"], **what})


def _the_one(
    candidates: list[Candidate],
    wanted: Name,
    kind: str,
    names: Callable[[Candidate], list[str]],
    ids: Callable[[Candidate], list[str]],
) -> Candidate:
    if isinstance(wanted, Exactly):
        found = [candidate for candidate in candidates if wanted.id in ids(candidate)]
    else:
        part = wanted.casefold()
        found = [candidate for candidate in candidates if wanted in names(candidate)] or [
            candidate for candidate in candidates if any(part in name.casefold() for name in names(candidate))
        ]
    if len(found) == 1:
        return found[0]
    there = ", ".join(repr(names(candidate)[0]) for candidate in candidates) or "none"
    raise LookupError(f"{'no' if not found else 'more than one'} {kind} {str(wanted)!r} here; there are: {there}")
