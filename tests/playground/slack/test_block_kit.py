"""Slack's Block Kit limits, each at its edge: the last legal payload passes, the first illegal one is named."""

from __future__ import annotations

from typing import Any

import pytest
from slack_sdk.models import blocks as sdk

from bot.playground.slack import block_kit

Json = dict[str, Any]


def plain(text: str) -> Json:
    return {"type": "plain_text", "text": text}


def mrkdwn(text: str) -> Json:
    return {"type": "mrkdwn", "text": text}


def button(**changes: Any) -> Json:
    return {"type": "button", "action_id": "a", "text": plain("Go")} | changes


def actions(*elements: Json) -> Json:
    return {"type": "actions", "elements": list(elements)}


def section(**changes: Any) -> Json:
    return {"type": "section", "text": mrkdwn("text")} | changes


def field(element: Json, **changes: Any) -> Json:
    return {"type": "input", "label": plain("Label"), "element": element} | changes


def text_input(**changes: Any) -> Json:
    return {"type": "plain_text_input", "action_id": "a"} | changes


def option(value: str = "0", text: str = "One", **changes: Any) -> Json:
    return {"text": plain(text), "value": value} | changes


def select(**changes: Any) -> Json:
    return {"type": "static_select", "action_id": "s", "options": [option()]} | changes


def modal(*blocks: Json, **changes: Any) -> Json:
    return {"type": "modal", "title": plain("Title"), "submit": plain("Send"), "blocks": list(blocks)} | changes


def numbered(count: int) -> list[Json]:
    return [option(str(number)) for number in range(count)]


def buttons(count: int) -> list[Json]:
    return [button(action_id=str(number)) for number in range(count)]


LEGAL_IN_MESSAGES: dict[str, Json] = {
    "section text 3000": section(text=mrkdwn("x" * 3000)),
    "section fields": {"type": "section", "fields": [mrkdwn("x" * 2000)] * 10},
    "section accessory": section(accessory=button()),
    "header 150": {"type": "header", "text": plain("x" * 150)},
    "divider": {"type": "divider"},
    "context": {"type": "context", "elements": [mrkdwn("x")] * 10},
    "actions 25": actions(*buttons(25)),
    "button": actions(button(text=plain("x" * 75), value="x" * 2000, style="danger")),
    "confirm": actions(
        button(confirm={"title": plain("t"), "text": mrkdwn("x"), "confirm": plain("c"), "deny": plain("d")})
    ),
    "input": field(text_input(max_length=3000, multiline=True, placeholder=plain("x" * 150)), hint=plain("h")),
    "long initial value": field(text_input(initial_value="x" * 5000)),
    "empty initial value": field(text_input(initial_value="")),
    "select 100": field(select(options=numbered(100))),
    "select initial": field(select(initial_option=option())),
    "option groups": field(
        {"type": "static_select", "option_groups": [{"label": plain("g"), "options": numbered(100)}] * 100}
    ),
    "option edges": field(select(options=[option("v" * 150, "x" * 75, description=plain("x" * 75))])),
    "radio": field({"type": "radio_buttons", "action_id": "r", "options": numbered(10)}),
    "overflow": actions({"type": "overflow", "action_id": "o", "options": numbered(5)}),
    "datetimepicker": actions({"type": "datetimepicker", "action_id": "d"}),
    "image": {"type": "image", "image_url": "https://x.example/i.png", "alt_text": "i"},
    "markdown": {"type": "markdown", "text": "x" * 12_000},
    "rich text": {
        "type": "rich_text",
        "elements": [
            {"type": "rich_text_section", "elements": [{"type": "text", "text": "x", "style": {"bold": True}}]}
        ],
    },
    "table": {"type": "table", "rows": [[{"type": "raw_text", "text": "x"}] * 20] * 100},
}

REFUSED_IN_MESSAGES: dict[str, tuple[Json, str]] = {
    "section text 3001": (section(text=mrkdwn("x" * 3001)), "/blocks/0/text/text"),
    "empty text": (section(text=mrkdwn("")), "/blocks/0/text/text"),
    "section without text": ({"type": "section"}, "/blocks/0"),
    "section field 2001": ({"type": "section", "fields": [mrkdwn("x" * 2001)]}, "/blocks/0/fields/0/text"),
    "section 11 fields": ({"type": "section", "fields": [mrkdwn("x")] * 11}, "/blocks/0/fields"),
    "input in section": (section(accessory=text_input()), "/blocks/0/accessory/type"),
    "header 151": ({"type": "header", "text": plain("x" * 151)}, "/blocks/0/text/text"),
    "header mrkdwn": ({"type": "header", "text": mrkdwn("x")}, "/blocks/0/text/type"),
    "context 11": ({"type": "context", "elements": [mrkdwn("x")] * 11}, "/blocks/0/elements"),
    "button in context": ({"type": "context", "elements": [button()]}, "/blocks/0/elements/0/type"),
    "actions 26": (actions(*buttons(26)), "/blocks/0/elements"),
    "actions empty": (actions(), "/blocks/0/elements"),
    "same action_id twice": (actions(button(), button()), "/blocks/0"),
    "input element in actions": (actions(text_input()), "/blocks/0/elements/0/type"),
    "button in input": (field(button()), "/blocks/0/element/type"),
    "button text 76": (actions(button(text=plain("x" * 76))), "/blocks/0/elements/0/text/text"),
    "button text 73, 76 escaped": (actions(button(text=plain("x" * 72 + "<"))), "/blocks/0/elements/0/text/text"),
    "button text empty": (actions(button(text=plain(""))), "/blocks/0/elements/0/text/text"),
    "button text mrkdwn": (actions(button(text=mrkdwn("x"))), "/blocks/0/elements/0/text/type"),
    "button value 2001": (actions(button(value="x" * 2001)), "/blocks/0/elements/0/value"),
    "button style default": (actions(button(style="default")), "/blocks/0/elements/0/style"),
    "button url 3001": (actions(button(url="x" * 3001)), "/blocks/0/elements/0/url"),
    "action_id 256": (actions(button(action_id="x" * 256)), "/blocks/0/elements/0/action_id"),
    "block_id 256": (section(block_id="x" * 256), "/blocks/0/block_id"),
    "confirm title 101": (
        actions(
            button(confirm={"title": plain("x" * 101), "text": mrkdwn("x"), "confirm": plain("c"), "deny": plain("d")})
        ),
        "/blocks/0/elements/0/confirm/title/text",
    ),
    "confirm without deny": (
        actions(button(confirm={"title": plain("x"), "text": mrkdwn("x"), "confirm": plain("c")})),
        "/blocks/0/elements/0/confirm",
    ),
    "label 2001": (field(text_input(), label=plain("x" * 2001)), "/blocks/0/label/text"),
    "hint 2001": (field(text_input(), hint=plain("x" * 2001)), "/blocks/0/hint/text"),
    "max_length 3001": (field(text_input(max_length=3001)), "/blocks/0/element/max_length"),
    "max_length 0": (field(text_input(max_length=0)), "/blocks/0/element/max_length"),
    "min above max": (field(text_input(min_length=5, max_length=4)), "/blocks/0/element/min_length"),
    "initial above max": (field(text_input(initial_value="xxx", max_length=2)), "/blocks/0/element/initial_value"),
    "placeholder 151": (field(text_input(placeholder=plain("x" * 151))), "/blocks/0/element/placeholder/text"),
    "no options": (field(select(options=[])), "/blocks/0/element/options"),
    "options missing": (field({"type": "static_select", "action_id": "s"}), "/blocks/0/element"),
    "options 101": (field(select(options=numbered(101))), "/blocks/0/element/options"),
    "options and groups": (
        field(select(option_groups=[{"label": plain("g"), "options": [option()]}])),
        "/blocks/0/element",
    ),
    "initial_option unknown": (field(select(initial_option=option("9"))), "/blocks/0/element/initial_option"),
    "initial_option differs": (
        field(select(initial_option=option("0", "Other text"))),
        "/blocks/0/element/initial_option",
    ),
    "same option value twice": (field(select(options=[option(), option()])), "/blocks/0/element/options"),
    "option text 76": (field(select(options=[option(text="x" * 76)])), "/blocks/0/element/options/0/text/text"),
    "option text empty": (field(select(options=[option(text="")])), "/blocks/0/element/options/0/text/text"),
    "option value 151": (field(select(options=[option("x" * 151)])), "/blocks/0/element/options/0/value"),
    "option description 76": (
        field(select(options=[option(description=plain("x" * 76))])),
        "/blocks/0/element/options/0/description/text",
    ),
    "radio 11": (field({"type": "radio_buttons", "options": numbered(11)}), "/blocks/0/element/options"),
    "overflow 6": (actions({"type": "overflow", "options": numbered(6)}), "/blocks/0/elements/0/options"),
    "file input": (field({"type": "file_input", "action_id": "f"}), "/blocks/0/element/type"),
    "email input": (field({"type": "email_text_input", "action_id": "f"}), "/blocks/0/element/type"),
    "url input": (field({"type": "url_text_input", "action_id": "f"}), "/blocks/0/element/type"),
    "number input": (
        field({"type": "number_input", "is_decimal_allowed": True, "action_id": "f"}),
        "/blocks/0/element/type",
    ),
    "rich text input": (field({"type": "rich_text_input", "action_id": "f"}), "/blocks/0/element/type"),
    "alert": ({"type": "alert", "text": plain("x")}, "/blocks/0/type"),
    "image without alt": ({"type": "image", "image_url": "https://x.example"}, "/blocks/0"),
    "image without source": ({"type": "image", "alt_text": "x"}, "/blocks/0"),
    "markdown 12001": ({"type": "markdown", "text": "x" * 12_001}, "/blocks/0/text"),
    "markdown empty": ({"type": "markdown", "text": ""}, "/blocks/0/text"),
    "table 101 rows": ({"type": "table", "rows": [[{"type": "raw_text", "text": "x"}]] * 101}, "/blocks/0/rows"),
    "table 21 columns": ({"type": "table", "rows": [[{"type": "raw_text", "text": "x"}] * 21]}, "/blocks/0/rows/0"),
    "unknown block": ({"type": "form"}, "/blocks/0/type"),
    "unknown property": (section(colour="red"), "/blocks/0"),
    "no type": ({"text": plain("x")}, "/blocks/0"),
}

MODAL_ONLY_ELEMENTS: list[Json] = [
    {"type": "file_input", "action_id": "f", "max_files": 10, "filetypes": ["pdf"]},
    {"type": "email_text_input", "action_id": "f"},
    {"type": "url_text_input", "action_id": "f"},
    {"type": "number_input", "action_id": "f", "is_decimal_allowed": False},
    {"type": "rich_text_input", "action_id": "f", "max_lines": 100},
]

REFUSED_VIEWS: dict[str, tuple[Json, str]] = {
    "markdown block": (modal({"type": "markdown", "text": "x"}), "/view/blocks/0/type"),
    "input without submit": (
        {"type": "modal", "title": plain("Title"), "blocks": [field(text_input())]},
        "/view/submit",
    ),
    "no title": ({"type": "modal", "blocks": []}, "/view"),
    "title 25": (modal(title=plain("x" * 25)), "/view/title/text"),
    "title mrkdwn": (modal(title=mrkdwn("x")), "/view/title/type"),
    "submit 25": (modal(submit=plain("x" * 25)), "/view/submit/text"),
    "close 25": (modal(close=plain("x" * 25)), "/view/close/text"),
    "101 blocks": (modal(*[{"type": "divider"}] * 101), "/view/blocks"),
    "private_metadata 3001": (modal(private_metadata="x" * 3001), "/view/private_metadata"),
    "callback_id 256": (modal(callback_id="x" * 256), "/view/callback_id"),
    "same block_id twice": (modal(section(block_id="b"), section(block_id="b")), "/view/blocks/1/block_id"),
    "two focused": (
        modal(field(text_input(focus_on_load=True)), field(text_input(focus_on_load=True))),
        "/view/blocks",
    ),
    "file input max_files 11": (
        modal(field({"type": "file_input", "max_files": 11})),
        "/view/blocks/0/element/max_files",
    ),
    "file input with dispatch_action": (
        modal(field({"type": "file_input"}, dispatch_action=True)),
        "/view/blocks/0/dispatch_action",
    ),
    "max_lines 101": (modal(field({"type": "rich_text_input", "max_lines": 101})), "/view/blocks/0/element/max_lines"),
    "rich text input without elements": (
        modal(field({"type": "rich_text_input", "initial_value": {"type": "rich_text"}})),
        "/view/blocks/0/element/initial_value",
    ),
    "number input from a word": (
        modal(field({"type": "number_input", "is_decimal_allowed": True, "min_value": "one"})),
        "/view/blocks/0/element/min_value",
    ),
    "external_id 256": (modal(external_id="x" * 256), "/view/external_id"),
    "alert 201": (modal({"type": "alert", "text": plain("x" * 201)}), "/view/blocks/0/text/text"),
    "datetimepicker at home": (
        {"type": "home", "blocks": [actions({"type": "datetimepicker"})]},
        "/view/blocks/0/elements/0/type",
    ),
    "title at home": ({"type": "home", "title": plain("x"), "blocks": []}, "/view"),
    "unknown type": ({"type": "panel", "blocks": []}, "/view/type"),
    "not a view": ({}, "/view"),
}


@pytest.mark.parametrize("block", LEGAL_IN_MESSAGES.values(), ids=LEGAL_IN_MESSAGES.keys())
def test_a_message_block_at_its_limit_is_legal(block: Json) -> None:
    """slack-platform §2.1–2.3, upper edges."""
    assert block_kit.message_problems([block]) == []


@pytest.mark.parametrize(("block", "pointer"), REFUSED_IN_MESSAGES.values(), ids=REFUSED_IN_MESSAGES.keys())
def test_a_message_block_beyond_its_limit_is_named_by_pointer(block: Json, pointer: str) -> None:
    """slack-platform §2.1–2.4, including what the SDK's models let through."""
    assert [problem.pointer for problem in block_kit.message_problems([block])] == [pointer]


@pytest.mark.parametrize("element", MODAL_ONLY_ELEMENTS, ids=lambda element: element["type"])
def test_modal_only_inputs_are_legal_in_modals(element: Json) -> None:
    """slack-platform §2.2: files, e-mails, numbers, URLs and rich text are asked for in modals."""
    assert block_kit.view_problems(modal(field(element))) == []


@pytest.mark.parametrize(("view", "pointer"), REFUSED_VIEWS.values(), ids=REFUSED_VIEWS.keys())
def test_a_view_beyond_its_limits_is_named_by_pointer(view: Json, pointer: str) -> None:
    """slack-platform §2.1–2.3 for modals and App Homes."""
    assert [problem.pointer for problem in block_kit.view_problems(view)] == [pointer]


def test_a_message_has_at_most_fifty_blocks() -> None:
    """slack-platform §2.1: any."""
    assert block_kit.message_problems([{"type": "divider"}] * 50) == []
    assert [str(problem) for problem in block_kit.message_problems([{"type": "divider"}] * 51)] == [
        "[ERROR] no more than 50 items allowed [json-pointer:/blocks]"
    ]


def test_block_ids_are_unique_within_a_message() -> None:
    """slack-platform §2.1: any."""
    (problem,) = block_kit.message_problems([section(block_id="b"), {"type": "divider", "block_id": "b"}])
    assert problem.pointer == "/blocks/1/block_id"


def test_markdown_blocks_are_limited_in_sum() -> None:
    """slack-platform §2.1: 12,000 characters over all markdown blocks of a payload."""
    half = {"type": "markdown", "text": "x" * 6000}
    assert block_kit.message_problems([half, half]) == []
    assert block_kit.message_problems([half, half, {"type": "markdown", "text": "x"}])


def test_a_message_has_at_most_one_table() -> None:
    """slack-platform §2.1: table."""
    table = {"type": "table", "rows": [[{"type": "raw_text", "text": "x"}]]}
    assert block_kit.message_problems([table, table])


def test_what_the_sdk_models_build_is_legal() -> None:
    """The typed models write no property the validator does not know."""
    built = [
        sdk.SectionBlock(text=sdk.MarkdownTextObject(text="*x*", verbatim=True), expand=True),
        sdk.HeaderBlock(text=sdk.PlainTextObject(text="x", emoji=False)),
        sdk.ContextBlock(elements=[sdk.MarkdownTextObject(text="x")]),
        sdk.MarkdownBlock(text="x"),
        sdk.InputBlock(
            label="Label",
            optional=True,
            element=sdk.StaticSelectElement(
                action_id="s",
                placeholder="Choose",
                options=[sdk.Option(value="0", text="One", description="First")],
                initial_option=sdk.Option(value="0", text="One", description="First"),
            ),
        ),
        sdk.InputBlock(
            label="Text", element=sdk.PlainTextInputElement(action_id="t", multiline=True, initial_value="x")
        ),
        sdk.ActionsBlock(
            elements=[
                sdk.ButtonElement(
                    action_id="b",
                    text="Go",
                    style="primary",
                    value="1",
                    confirm=sdk.ConfirmObject(title="Sure?", text="Really", confirm="Yes", deny="No", style="danger"),
                )
            ]
        ),
    ]
    assert block_kit.message_problems([block.to_dict() for block in built]) == []
