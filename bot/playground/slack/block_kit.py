"""Block Kit's rules as tables: every problem Slack would find in the blocks of a message, a modal or an App Home.

`message_problems` and `view_problems` are the interface. A `Check` looks at one JSON value and names what is wrong with
it, by JSON pointer; the tables `ELEMENTS` and `BLOCKS` say which checks an element or block of a type has to pass and
where it may live. Numbers come from slack-platform §2.1 (blocks), §2.2 (elements), §2.3 (composition objects, views).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from bot.playground.slack.text import Json, escape


@dataclass(frozen=True)
class Problem:
    """One thing Slack refuses, written as its API writes it."""

    pointer: str
    text: str

    def __str__(self) -> str:
        return f"[ERROR] {self.text} [json-pointer:{self.pointer}]"


Check = Callable[[Any, str, str], Iterator[Problem]]
"""`check(value, pointer, surface)`, the surface being `message`, `modal` or `home`."""
Rule = Callable[[Json, str], Iterator[Problem]]
"""What several fields of one object have to satisfy together."""

MESSAGE, MODAL, HOME = "message", "modal", "home"
_EVERYWHERE = frozenset({MESSAGE, MODAL, HOME})
_MESSAGE_BLOCKS_MAX, _VIEW_BLOCKS_MAX = 50, 100  # slack-platform §2.1: any
_NUMBER = re.compile(r"-?\d+(\.\d+)?")
_MARKDOWN_SUM_MAX = 12_000  # slack-platform §2.1: markdown, summed over all blocks of one payload


@dataclass(frozen=True)
class Kind:
    """What is required of an element or block of one type, and the surfaces it may live on."""

    check: Check
    surfaces: frozenset[str] = _EVERYWHERE


def message_problems(blocks: list[Any]) -> list[Problem]:
    """What Slack refuses about the blocks of a message."""
    problems = list(_array(_by_type(BLOCKS), _MESSAGE_BLOCKS_MAX, least=0)(blocks, "/blocks", MESSAGE))
    return problems or [*unique_block_ids(blocks, "/blocks"), *_sums(blocks)]


def chunk_problems(chunks: list[Any]) -> list[Problem]:
    """What Slack refuses about the chunks of a streamed message; blocks inside are left to `message_problems`."""
    return list(_array(_by_type(CHUNKS), 10**6, least=0)(chunks, "/chunks", MESSAGE))


def suggestion_problems(answer: Any) -> list[Problem]:
    """What Slack refuses about the answer to a `block_suggestion`; none of the lists has to hold anything."""
    return list(_SUGGESTIONS(answer, "", MESSAGE))


def view_problems(view: Any) -> list[Problem]:
    """What Slack refuses about a modal or App Home."""
    problems = list(_by_type(VIEWS)(view, "/view", view.get("type", "") if isinstance(view, dict) else ""))
    return problems or [*unique_block_ids(view["blocks"], "/view/blocks"), *_whole_view(view)]


def unique_block_ids(blocks: list[Json], pointer: str) -> Iterator[Problem]:
    """The blocks whose `block_id` another one before has: unique within the payload (slack-platform §2.1)."""
    seen: set[str] = set()
    for index, block in enumerate(blocks):
        block_id = block.get("block_id")
        if block_id in seen:
            yield Problem(f"{pointer}/{index}/block_id", f"block_id must be unique: {block_id}")
        if block_id:
            seen.add(block_id)


def characters(value: Any) -> int:
    """How many characters of text `blocks` show or prefill."""
    if isinstance(value, list):
        return sum(characters(item) for item in value)
    if isinstance(value, dict):
        texts = (value[key] for key in ("text", "initial_value") if isinstance(value.get(key), str))
        return sum(len(text) for text in texts) + sum(characters(item) for item in value.values())
    return 0


# --- checks ----------------------------------------------------------------------------------------------------------


def _anything(value: Any, pointer: str, surface: str) -> Iterator[Problem]:
    yield from ()


def _boolean(value: Any, pointer: str, surface: str) -> Iterator[Problem]:
    if not isinstance(value, bool):
        yield Problem(pointer, "must provide a boolean")


def _string(longest: int, shortest: int = 1) -> Check:
    def check(value: Any, pointer: str, surface: str) -> Iterator[Problem]:
        if not isinstance(value, str):
            yield Problem(pointer, "must provide a string")
        elif len(value) > longest:
            yield Problem(pointer, f"must be less than {longest + 1} characters")
        elif len(value) < shortest:
            yield Problem(pointer, f"must be more than {shortest - 1} characters")

    return check


def _integer(least: int, most: int) -> Check:
    def check(value: Any, pointer: str, surface: str) -> Iterator[Problem]:
        if not isinstance(value, int) or isinstance(value, bool):
            yield Problem(pointer, "must provide an integer")
        elif not least <= value <= most:
            yield Problem(pointer, f"must be between {least} and {most}")

    return check


def _number(value: Any, pointer: str, surface: str) -> Iterator[Problem]:
    if not isinstance(value, str) or not _NUMBER.fullmatch(value):
        yield Problem(pointer, "must provide a number as a string")


def _word(*words: str) -> Check:
    def check(value: Any, pointer: str, surface: str) -> Iterator[Problem]:
        if value not in words:
            yield Problem(pointer, f"must be a valid enum value: {', '.join(words)}")

    return check


def _array(item: Check, most: int, least: int = 1) -> Check:
    def check(value: Any, pointer: str, surface: str) -> Iterator[Problem]:
        if not isinstance(value, list):
            yield Problem(pointer, "must provide an array")
            return
        if len(value) > most:
            yield Problem(pointer, f"no more than {most} items allowed")
        if len(value) < least:
            yield Problem(pointer, f"no less than {least} items allowed")
        for index, element in enumerate(value):
            yield from item(element, f"{pointer}/{index}", surface)

    return check


def _object(required: Mapping[str, Check], optional: Mapping[str, Check] | None = None, *rules: Rule) -> Check:
    known = {**(optional or {}), **required}

    def check(value: Any, pointer: str, surface: str) -> Iterator[Problem]:
        if not isinstance(value, dict):
            yield Problem(pointer, "must provide an object")
            return
        problems = [Problem(pointer, f"missing required field: {name}") for name in required if name not in value]
        for name, inner in value.items():
            if name not in known:
                problems.append(Problem(pointer, f"invalid additional property: {name}"))
            else:
                problems += known[name](inner, f"{pointer}/{name}", surface)
        yield from problems
        if not problems:
            for rule in rules:
                yield from rule(value, pointer)

    return check


def _by_type(table: Mapping[str, Kind], allowed: Iterable[str] | None = None) -> Check:
    types = frozenset(table if allowed is None else allowed)

    def check(value: Any, pointer: str, surface: str) -> Iterator[Problem]:
        if not isinstance(value, dict):
            yield Problem(pointer, "must provide an object")
        elif "type" not in value:
            yield Problem(pointer, "missing required field: type")
        elif value["type"] not in types or surface not in table[value["type"]].surfaces:
            yield Problem(f"{pointer}/type", f"unsupported type: {value['type']}")
        else:
            yield from table[value["type"]].check(value, pointer, surface)

    return check


# --- composition objects: slack-platform §2.3 ------------------------------------------------------------------------


def _escaped(longest: int) -> Check:
    """A text that Slack escapes itself, and counts afterwards as far as known (slack-platform §6.2)."""
    count = _string(longest)

    def check(value: Any, pointer: str, surface: str) -> Iterator[Problem]:
        yield from count(escape(value) if isinstance(value, str) else value, pointer, surface)

    return check


def _plain(longest: int) -> Check:
    return _object({"type": _word("plain_text"), "text": _escaped(longest)}, {"emoji": _boolean})


def _text(longest: int) -> Check:
    mrkdwn = _object({"type": _word("mrkdwn"), "text": _string(longest)}, {"verbatim": _boolean})
    return _by_type({"plain_text": Kind(_plain(longest)), "mrkdwn": Kind(mrkdwn)})


_STYLE = _word("primary", "danger")
_CONFIRM = _object(
    {"title": _plain(100), "text": _text(300), "confirm": _plain(30), "deny": _plain(30)},
    {"style": _STYLE},
)
_OPTION = _object({"text": _text(75), "value": _string(150)}, {"description": _text(75), "url": _string(3000)})
_OPTION_GROUP = _object({"label": _plain(75), "options": _array(_OPTION, 100)})
_DISPATCH_CONFIG = _object(
    {"trigger_actions_on": _array(_word("on_enter_pressed", "on_character_entered"), 2)},
)

# --- rules over several fields ---------------------------------------------------------------------------------------


def _exactly_one(*names: str) -> Rule:
    def rule(value: Json, pointer: str) -> Iterator[Problem]:
        if sum(name in value for name in names) != 1:
            yield Problem(pointer, f"must define exactly one of: {', '.join(names)}")

    return rule


def _at_least_one(*names: str) -> Rule:
    def rule(value: Json, pointer: str) -> Iterator[Problem]:
        if not any(name in value for name in names):
            yield Problem(pointer, f"must define at least one of: {', '.join(names)}")

    return rule


def _initial_among_options(element: Json, pointer: str) -> Iterator[Problem]:
    """slack-platform §2.2: `initial_option` must equal an option exactly."""
    groups = element.get("option_groups", [])
    options = [*element.get("options", []), *(option for group in groups for option in group["options"])]
    for index, initial in enumerate(element.get("initial_options", [])):
        if initial not in options:
            yield Problem(f"{pointer}/initial_options/{index}", "must be one of the options")
    if "initial_option" in element and element["initial_option"] not in options:
        yield Problem(f"{pointer}/initial_option", "must be one of the options")


def _distinct_values(element: Json, pointer: str) -> Iterator[Problem]:
    counts = Counter(option["value"] for option in element.get("options", []))
    for value, count in counts.items():
        if count > 1:
            yield Problem(f"{pointer}/options", f"option values must be unique: {value}")


def _lengths_agree(element: Json, pointer: str) -> Iterator[Problem]:
    longest = element.get("max_length")
    if longest is not None and element.get("min_length", 0) > longest:
        yield Problem(f"{pointer}/min_length", "must not be more than max_length")
    if longest is not None and len(element.get("initial_value", "")) > longest:
        yield Problem(f"{pointer}/initial_value", f"must be less than {longest + 1} characters")


def _unique_action_ids(block: Json, pointer: str) -> Iterator[Problem]:
    """slack-platform §2.3: unique within its block."""
    elements = [*block.get("elements", []), block.get("accessory"), block.get("element")]
    counts = Counter(element["action_id"] for element in elements if element and "action_id" in element)
    for action_id, count in counts.items():
        if count > 1:
            yield Problem(pointer, f"action_id must be unique within the block: {action_id}")


def _no_dispatch_of_files(block: Json, pointer: str) -> Iterator[Problem]:
    """slack-platform §2.2: `file_input` not with `dispatch_action: true`."""
    if block["element"]["type"] == "file_input" and block.get("dispatch_action"):
        yield Problem(f"{pointer}/dispatch_action", "not supported with file_input")


_SLACK_FILE = _object({}, {"id": _string(255), "url": _string(3000)}, _exactly_one("id", "url"))

# --- rich text -------------------------------------------------------------------------------------------------------

_ID = _string(255)


def _rich(required: Mapping[str, Check], optional: Mapping[str, Check] | None = None) -> Kind:
    return Kind(_object({"type": _anything, **required}, {"style": _anything, **(optional or {})}))


_RICH_TEXT_ELEMENTS: dict[str, Kind] = {
    "text": _rich({"text": _string(10**6)}),
    "link": _rich({"url": _string(3000)}, {"text": _string(10**6), "unsafe": _boolean}),
    "user": _rich({"user_id": _ID}),
    "usergroup": _rich({"usergroup_id": _ID}),
    "channel": _rich({"channel_id": _ID}),
    "broadcast": _rich({"range": _word("here", "channel", "everyone")}),
    "emoji": _rich({"name": _string(100)}, {"unicode": _string(100), "skin_tone": _integer(1, 6)}),
    "date": _rich(
        {"timestamp": _integer(0, 10**11), "format": _string(1000)}, {"url": _string(3000), "fallback": _string(1000)}
    ),
    "color": _rich({"value": _string(20)}),
    "team": _rich({"team_id": _ID}),
}
_RICH_LINE = {"elements": _array(_by_type(_RICH_TEXT_ELEMENTS), 10**6, least=0)}
_BORDER = {"border": _integer(0, 1)}
_RICH_TEXT_PARTS: dict[str, Kind] = {
    "rich_text_section": _rich(_RICH_LINE),
    "rich_text_quote": _rich(_RICH_LINE, _BORDER),
    "rich_text_preformatted": _rich(_RICH_LINE, {**_BORDER, "language": _string(100)}),
}
_RICH_TEXT_PARTS["rich_text_list"] = _rich(
    {"style": _word("bullet", "ordered"), "elements": _array(_by_type(_RICH_TEXT_PARTS, ["rich_text_section"]), 10**6)},
    {"indent": _integer(0, 8), "offset": _integer(0, 10**6), **_BORDER},
)
_RICH_TEXT = _array(_by_type(_RICH_TEXT_PARTS), 10**6)
_RICH_TEXT_OBJECT = _object({"type": _word("rich_text"), "elements": _RICH_TEXT}, {"block_id": _string(255)})


# --- elements: slack-platform §2.2 -----------------------------------------------------------------------------------


def _element(
    required: Mapping[str, Check] | None = None,
    optional: Mapping[str, Check] | None = None,
    *rules: Rule,
    on: Iterable[str] = _EVERYWHERE,
) -> Kind:
    common = {"action_id": _string(255), "focus_on_load": _boolean, "confirm": _CONFIRM}
    return Kind(_object({"type": _anything, **(required or {})}, {**common, **(optional or {})}, *rules), frozenset(on))


def _choices(most: int, initial: str, optional: Mapping[str, Check] | None = None) -> Kind:
    """An element with its options written out, without groups."""
    initial_check = _array(_OPTION, most) if initial == "initial_options" else _OPTION
    return _element(
        {"options": _array(_OPTION, most)},
        {initial: initial_check, **(optional or {})},
        _initial_among_options,
        _distinct_values,
    )


def _static_select(initial: str, optional: Mapping[str, Check] | None = None) -> Kind:
    initial_check = _array(_OPTION, 100) if initial == "initial_options" else _OPTION
    return _element(
        {},
        {
            "options": _array(_OPTION, 100),
            "option_groups": _array(_OPTION_GROUP, 100),
            "placeholder": _plain(150),
            initial: initial_check,
            **(optional or {}),
        },
        _exactly_one("options", "option_groups"),
        _initial_among_options,
        _distinct_values,
    )


def _listed_select(initial: str, check: Check, optional: Mapping[str, Check] | None = None) -> Kind:
    """A menu whose entries Slack (or the app's options endpoint) lists."""
    return _element({}, {"placeholder": _plain(150), initial: check, **(optional or {})})


_IDS = _array(_ID, 100)
_MULTI = {"max_selected_items": _integer(1, 100)}
_CONVERSATIONS = {"default_to_current_conversation": _boolean, "filter": _anything}
_IN_MESSAGE = {"response_url_enabled": _boolean}
_TEXT_INPUT = {"placeholder": _plain(150), "dispatch_action_config": _DISPATCH_CONFIG}

ELEMENTS: dict[str, Kind] = {
    "button": _element(
        {"text": _plain(75)},
        {"value": _string(2000), "url": _string(3000), "style": _STYLE, "accessibility_label": _string(75)},
    ),
    "workflow_button": _element(
        {"text": _plain(75), "workflow": _anything},
        {"style": _STYLE, "accessibility_label": _string(75)},
        on=[MESSAGE],
    ),
    "feedback_buttons": _element({"positive_button": _anything, "negative_button": _anything}, on=[MESSAGE]),
    "icon_button": _element(
        {"icon": _word("trash"), "text": _plain(75)},
        {"value": _string(2000), "visible_to_user_ids": _IDS, "accessibility_label": _string(75)},
        on=[MESSAGE],
    ),
    "image": Kind(
        _object(
            {"type": _anything, "alt_text": _string(2000)},
            {"image_url": _string(3000), "slack_file": _SLACK_FILE},
            _exactly_one("image_url", "slack_file"),
        )
    ),
    "overflow": _element({"options": _array(_OPTION, 5)}, {}, _distinct_values),
    "radio_buttons": _choices(10, "initial_option"),
    "checkboxes": _choices(10, "initial_options"),
    "static_select": _static_select("initial_option"),
    "multi_static_select": _static_select("initial_options", _MULTI),
    "external_select": _listed_select("initial_option", _OPTION, {"min_query_length": _integer(0, 3000)}),
    "multi_external_select": _listed_select(
        "initial_options", _array(_OPTION, 100), {"min_query_length": _integer(0, 3000), **_MULTI}
    ),
    "users_select": _listed_select("initial_user", _ID),
    "multi_users_select": _listed_select("initial_users", _IDS, _MULTI),
    "conversations_select": _listed_select("initial_conversation", _ID, {**_CONVERSATIONS, **_IN_MESSAGE}),
    "multi_conversations_select": _listed_select("initial_conversations", _IDS, {**_CONVERSATIONS, **_MULTI}),
    "channels_select": _listed_select("initial_channel", _ID, _IN_MESSAGE),
    "multi_channels_select": _listed_select("initial_channels", _IDS, _MULTI),
    "datepicker": _element({}, {"placeholder": _plain(150), "initial_date": _string(10, 10)}),
    "timepicker": _element({}, {"placeholder": _plain(150), "initial_time": _string(5, 5), "timezone": _string(100)}),
    "datetimepicker": _element({}, {"initial_date_time": _integer(10**9, 10**10 - 1)}, on=[MESSAGE, MODAL]),
    "plain_text_input": _element(
        {},
        {
            "multiline": _boolean,
            "initial_value": _string(10**6, 0),  # slack-platform §2.5: no documented cap
            "min_length": _integer(0, 3000),
            "max_length": _integer(1, 3000),
            **_TEXT_INPUT,
        },
        _lengths_agree,
    ),
    "rich_text_input": _element(
        {},
        {
            "initial_value": _RICH_TEXT_OBJECT,
            "min_lines": _integer(1, 100),
            "max_lines": _integer(1, 100),
            **_TEXT_INPUT,
        },
        on=[MODAL, HOME],
    ),
    "email_text_input": _element({}, {"initial_value": _string(3000), **_TEXT_INPUT}, on=[MODAL]),
    "url_text_input": _element({}, {"initial_value": _string(3000), **_TEXT_INPUT}, on=[MODAL]),
    "number_input": _element(
        {"is_decimal_allowed": _boolean},
        {"initial_value": _number, "min_value": _number, "max_value": _number, **_TEXT_INPUT},
        on=[MODAL],
    ),
    "file_input": _element({}, {"filetypes": _array(_string(100), 100), "max_files": _integer(1, 10)}, on=[MODAL]),
}
INTERACTIVE = frozenset(ELEMENTS) - {"image"}

_MENUS = {kind for kind in ELEMENTS if kind.endswith("_select") and not kind.startswith("multi_")}
_MULTI_MENUS = {kind for kind in ELEMENTS if kind.startswith("multi_")}
_PICKERS = {"radio_buttons", "checkboxes", "datepicker", "timepicker"}
_IN_ACTIONS = {"button", "workflow_button", "overflow", "datetimepicker", *_MENUS, *_PICKERS}
_IN_SECTION = {"button", "workflow_button", "overflow", "image", *_MENUS, *_MULTI_MENUS, *_PICKERS}
_IN_INPUT = {
    *_MENUS,
    *_MULTI_MENUS,
    *_PICKERS,
    *(kind for kind in ELEMENTS if kind.endswith("_input")),
    "datetimepicker",
}
# slack-platform §2.2: what `external_select` offers, at most 100 of either
_SUGGESTIONS = _object(
    {},
    {
        "options": _array(_OPTION, 100, least=0),
        "option_groups": _array(_object({"label": _plain(75), "options": _array(_OPTION, 100, least=0)}), 100, least=0),
    },
    _exactly_one("options", "option_groups"),
)
_IN_CONTEXT: dict[str, Kind] = {
    "image": ELEMENTS["image"],
    "plain_text": Kind(_text(3000)),
    "mrkdwn": Kind(_text(3000)),
}


# --- blocks: slack-platform §2.1 -------------------------------------------------------------------------------------


def _block(
    required: Mapping[str, Check] | None = None,
    optional: Mapping[str, Check] | None = None,
    *rules: Rule,
    on: Iterable[str] = _EVERYWHERE,
) -> Kind:
    check = _object(
        {"type": _anything, **(required or {})},
        {"block_id": _string(255), **(optional or {})},
        _unique_action_ids,
        *rules,
    )
    return Kind(check, frozenset(on))


_TABLE_CELL = _by_type(
    {
        "raw_text": Kind(_object({"type": _anything, "text": _string(10**6)})),
        "rich_text": Kind(_RICH_TEXT_OBJECT),
    }
)
_TASK_STATUS = _word("pending", "in_progress", "complete", "error")
_IMAGE_SOURCE = {"image_url": _string(3000), "slack_file": _SLACK_FILE}

BLOCKS: dict[str, Kind] = {
    "section": _block(
        {},
        {
            "text": _text(3000),
            "fields": _array(_text(2000), 10),
            "accessory": _by_type(ELEMENTS, _IN_SECTION),
            "expand": _boolean,
        },
        _at_least_one("text", "fields"),
    ),
    "header": _block({"text": _plain(150)}),
    "divider": _block(),
    "context": _block({"elements": _array(_by_type(_IN_CONTEXT), 10)}),
    "context_actions": _block(
        {"elements": _array(_by_type(ELEMENTS, ["feedback_buttons", "icon_button"]), 5)}, on=[MESSAGE]
    ),
    "actions": _block({"elements": _array(_by_type(ELEMENTS, _IN_ACTIONS), 25)}),
    "input": _block(
        {"label": _plain(2000), "element": _by_type(ELEMENTS, _IN_INPUT)},
        {"hint": _plain(2000), "optional": _boolean, "dispatch_action": _boolean},
        _no_dispatch_of_files,
    ),
    "image": _block(
        {"alt_text": _string(2000)},
        {"title": _plain(2000), **_IMAGE_SOURCE},
        _exactly_one("image_url", "slack_file"),
    ),
    "markdown": _block({"text": _string(_MARKDOWN_SUM_MAX)}, on=[MESSAGE]),
    "rich_text": _block({"elements": _RICH_TEXT}),
    "table": _block(
        {"rows": _array(_array(_TABLE_CELL, 20), 100)},
        {"column_settings": _array(_anything, 20)},
        on=[MESSAGE, HOME],
    ),
    "task_card": _block(
        {"task_id": _ID, "title": _string(256), "status": _TASK_STATUS},
        {"details": _RICH_TEXT_OBJECT, "output": _RICH_TEXT_OBJECT, "sources": _anything},
        on=[MESSAGE],
    ),
    "alert": _block(
        {"text": _text(200)}, {"level": _word("default", "info", "warning", "error", "success")}, on=[MODAL]
    ),
    "card": _block(
        {},
        {
            "title": _text(150),
            "subtitle": _text(150),
            "body": _text(200),
            "hero_image": _anything,
            "icon": _anything,
            "actions": _array(_by_type(ELEMENTS, ["button"]), 25),
        },
        _at_least_one("title", "body", "hero_image", "actions"),
    ),
    "file": _block({"external_id": _string(255), "source": _word("remote")}, on=[MESSAGE]),
}
# A carousel holds cards, a plan tasks. `video` needs a registered unfurl domain, `data_table` and `container` are too
# young to be modelled (slack-platform §0): all three are refused as unsupported.
BLOCKS["carousel"] = _block({"elements": _array(_by_type(BLOCKS, ["card"]), 10)})
BLOCKS["plan"] = _block(
    {"title": _string(256)}, {"tasks": _array(_by_type(BLOCKS, ["task_card"]), 50, least=0)}, on=[MESSAGE]
)


# --- chunks of streamed messages: slack-platform §3.1 ----------------------------------------------------------------

_CHUNK_FIELD = _string(256)  # as documented; a live probe took more [believed]
CHUNKS: dict[str, Kind] = {
    "markdown_text": Kind(_object({"type": _anything, "text": _string(10**6)})),
    "task_update": Kind(
        _object(
            {"type": _anything, "id": _CHUNK_FIELD, "title": _CHUNK_FIELD, "status": _TASK_STATUS},
            {"details": _CHUNK_FIELD, "output": _CHUNK_FIELD, "sources": _array(_anything, 50)},
        )
    ),
    "plan_update": Kind(_object({"type": _anything, "title": _CHUNK_FIELD})),
    "blocks": Kind(_object({"type": _anything, "blocks": _array(_anything, 10**6)})),
}


# --- whole payloads --------------------------------------------------------------------------------------------------

_VIEW = {
    "private_metadata": _string(3000, 0),
    "callback_id": _string(255, 0),
    "external_id": _string(255, 0),
}
_VIEW_BLOCKS = {"type": _anything, "blocks": _array(_by_type(BLOCKS), _VIEW_BLOCKS_MAX, least=0)}
VIEWS: dict[str, Kind] = {
    "modal": Kind(
        _object(
            {**_VIEW_BLOCKS, "title": _plain(24)},
            {
                "submit": _plain(24),
                "close": _plain(24),
                "clear_on_close": _boolean,
                "notify_on_close": _boolean,
                "submit_disabled": _boolean,
                **_VIEW,
            },
        )
    ),
    "home": Kind(_object(_VIEW_BLOCKS, _VIEW)),
}


def _sums(blocks: list[Json]) -> Iterator[Problem]:
    """slack-platform §2.1: what a message may hold only so much of."""
    if sum(len(block["text"]) for block in blocks if block["type"] == "markdown") > _MARKDOWN_SUM_MAX:
        yield Problem("/blocks", f"markdown blocks must add up to less than {_MARKDOWN_SUM_MAX + 1} characters")
    if sum(block["type"] == "table" for block in blocks) > 1:
        yield Problem("/blocks", "only one table allowed")


def _whole_view(view: Json) -> Iterator[Problem]:
    """slack-platform §2.3: `submit` is mandatory with an input block; one field at most has the focus."""
    inputs = [block for block in view["blocks"] if block["type"] == "input"]
    if view["type"] == "modal" and inputs and "submit" not in view:
        yield Problem("/view/submit", "missing required field: submit is needed with an input block")
    if sum(bool(block["element"].get("focus_on_load")) for block in inputs) > 1:
        yield Problem("/view/blocks", "focus_on_load must be true for one element only")
