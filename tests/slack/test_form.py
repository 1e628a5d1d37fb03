"""Any form that is legal in Dify, at every point of its life."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from bot.core.model import FileField, Form, FormStatus, Paragraph, Run, RunStatus, Select, Submission, UserAction
from bot.core.submission import complete, problems
from bot.playground.slack.forms import state_values
from bot.slack import ids
from bot.slack.forms.form import form_message, form_messages, obstacle
from bot.slack.forms.layout import labels, text_alone
from bot.slack.messages import notices
from bot.slack.messages.message import Message
from bot.slack.payloads import ButtonClick
from tests.factories import NOW, make_form, make_run, make_submission
from tests.slack import strategies
from tests.slack.reading import Json, disguised_links, faults, pings, texts, wire

patient = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


def run_of(form: Form, status: RunStatus = RunStatus.PAUSED) -> Run:
    """Return a run that waits for this form."""
    return make_run(status=status, thread_ts="1700000000.000100", forms=(form,))


def shown(form: Form, status: RunStatus = RunStatus.PAUSED) -> Message:
    """Return the form's own message."""
    return form_message(run_of(form, status), form)


def elements(message: Message, kind: str) -> list[Json]:
    """Return the elements or blocks of a kind, in order."""
    return [
        element
        for block in wire(message)
        for element in [block, block.get("element") or {}, *block.get("elements", [])]
        if element.get("type") == kind
    ]


def pressed(message: Message, draft: dict[tuple[str, str], Json] | None = None) -> ButtonClick:
    """Return the click of somebody who filled in `draft` and left all else as it was."""
    return ButtonClick.model_validate(
        {
            "user": {"id": "U2"},
            "container": {"channel_id": "C1", "message_ts": "1.0"},
            "trigger_id": "1.2.abc",
            "actions": [{"action_id": "form.act.0", "value": "run-1/form-1/ok", "action_ts": "2.0"}],
            "state": {"values": state_values(wire(message), draft or {})},
        }
    )


def is_answerable(form: Form) -> bool:
    """Say whether the form has fields and buttons in Slack."""
    return form.form_token is not None and bool(form.user_actions) and len(form.inputs) <= 40


def actions_of(message: Message) -> list[str]:
    """Return the user actions that a message has buttons for."""
    buttons = elements(message, "button")
    return [ids.decode_action(each["value"]).action_id for each in buttons if each["action_id"] != ids.WINDOW]


def window_buttons(message: Message) -> list[Json]:
    """Return the buttons that open the form's window."""
    return [each for each in elements(message, "button") if each["action_id"] == ids.WINDOW]


# --- whatever the form ---------------------------------------------------------------------------------------------


@given(strategies.forms())
@patient
def test_any_form_is_posted_within_slacks_limits(form: Form) -> None:
    """Judged by the rules of the simulated Slack, which cite Slack's own."""
    for message in form_messages(run_of(form), form):
        assert not faults(message)


@given(strategies.forms())
@patient
def test_no_text_of_a_form_pings_or_disguises_a_link(form: Form) -> None:
    """Only the starter is mentioned; and of the marks that hold fields' places nothing is left."""
    for message in form_messages(run_of(form), form):
        assert pings(message) <= {"U1"}
        assert not disguised_links(message)
        assert not re.search("[\ufdd0-\ufdef]|%EF%B7%9", json.dumps(wire(message), ensure_ascii=False))


@given(strategies.forms())
@patient
def test_every_field_and_action_is_within_reach(form: Form) -> None:
    """Each text or select field once, each action once and in Dify's order."""
    message = shown(form)
    fields = [ids.decode_field(block["block_id"]) for block in elements(message, "input")]
    buttons = actions_of(message)
    assert len(window_buttons(message)) == (obstacle(form) is None)
    if is_answerable(form):
        expected = [index for index, field in enumerate(form.inputs) if not isinstance(field, FileField)]
        assert sorted(index for index in fields if index is not None) == expected
        assert buttons == [action.id for action in form.user_actions]
    else:
        assert not fields
        assert not buttons


@given(strategies.forms())
@patient
def test_an_untouched_form_sends_its_defaults(form: Form) -> None:
    """Also those too long to stand in their fields. Slack takes no control characters."""
    entered = pressed(shown(form)).entered(form)
    for field in form.inputs:
        if isinstance(field, Paragraph) and is_answerable(form) and len(field.default) > 3_000:
            assert entered[field.name] == field.default
        elif isinstance(field, Select):
            assert not entered.get(field.name)


@given(strategies.forms(), st.data())
@patient
def test_every_option_can_be_chosen(form: Form, data: st.DataObject) -> None:
    """The real string comes back, however it had to be shortened; too many options are typed in."""
    message = shown(form)
    selects = [field for field in form.inputs if isinstance(field, Select) and field.options]
    if not is_answerable(form) or not selects:
        return
    field = data.draw(st.sampled_from(selects))
    option = data.draw(st.sampled_from(field.options))
    index = form.inputs.index(field)
    block = next(block for block in elements(message, "input") if ids.decode_field(block["block_id"]) == index)
    menu = block["element"]
    if menu["type"] == "static_select":
        groups = menu.get("option_groups") or [{"options": menu["options"]}]
        listed = [listed for group in groups for listed in group["options"]]
        state = {"type": "static_select", "selected_option": listed[field.options.index(option)]}
    else:
        state = {"type": "plain_text_input", "value": option}
    entered = pressed(message, {(block["block_id"], ids.FIELD): state}).entered(form)
    assert entered[field.name] == (option or None)


@given(strategies.forms(), st.sampled_from(FormStatus), st.sampled_from(RunStatus), st.data())
@patient
def test_any_form_stays_within_limits_while_it_is_decided(
    form: Form, status: FormStatus, run_status: RunStatus, data: st.DataObject
) -> None:
    """With any values, refused or not; the message must never become one that cannot be drawn."""
    values = {field.name: data.draw(strategies.long_text) for field in form.inputs}
    answer = data.draw(
        st.sampled_from([None, make_submission(values=values), make_submission(values=values, user_id=None)])
    )
    refusal = data.draw(st.sampled_from([None, "Invalid <!channel> " * 60])) if answer else None
    message = shown(replace(form, status=status, submission=answer, refusal=refusal, revision=1), run_status)
    assert not faults(message)
    assert pings(message) <= {"U1", "U2"}
    assert not disguised_links(message)


def test_the_fullest_form_stays_within_limits() -> None:
    """Everything at its longest at once."""
    options = tuple("an option " * 30 + str(number) for number in range(250))
    inputs = (
        *(Select(f"s{number}", options) for number in range(20)),
        *(Paragraph(f"p{number}") for number in range(20)),
    )
    values = {f"s{number}": options[number] for number in range(20)} | {
        f"p{number}": "&" * 4_000 for number in range(20)
    }
    form = make_form(
        node_title="<" * 100,
        content="\n\n".join("&" * 300 + f"\n{'<' * 150}\n\n{{{{#$output.{field.name}#}}}}" for field in inputs),
        inputs=inputs,
        user_actions=tuple(UserAction(f"a{number}", ">" * 100) for number in range(20)),
        expires_at=NOW,
        refusal="<" * 2_000,
        submission=make_submission(values=values),
    )
    for status in FormStatus:
        assert not faults(shown(replace(form, status=status)))


# --- the text and its fields -----------------------------------------------------------------------------------------


def outline(form: Form) -> list[str]:
    """Return the form's blocks between head and buttons, one word or text each."""
    return [
        f"[{block['label']['text']}]" if block["type"] == "input" else str(block["text"])
        for block in wire(shown(form))[1:-1]
    ]


def form_with(content: str, *names: str) -> Form:
    """Return a form with paragraphs of these names."""
    return make_form(content=content, inputs=tuple(Paragraph(name) for name in names))


@pytest.mark.parametrize(
    ("content", "names", "expected"),
    [
        ("Hi\n\nDraft:\n\n{{#$output.a#}}\n\nBye", ["a"], ["Hi", "[Draft]", "Bye"]),
        ("CSV only: {{#$output.csv#}}", ["csv"], ["[CSV only]"]),
        ("Remarks\n\n{{#$output.note#}}", ["note"], ["[Remarks]"]),
        ("Refund **40**?\n\n{{#$output.note#}}", ["note"], ["[Refund 40?]"]),
        ("Please check.\nRemarks &amp; more\n{{#$output.note#}}", ["note"], ["Please check.", "[Remarks & more]"]),
        ("- One\n\n  Remarks\n\n{{#$output.note#}}", ["note"], ["- One", "[Remarks]"]),
        ("- Remarks\n\n{{#$output.note#}}", ["note"], ["- Remarks", "[Remarks]"]),
        ("## Notes\n\n{{#$output.note#}}", ["note"], ["## Notes", "[Notes]"]),
        (
            "See [it](https://a.example):\n\n{{#$output.a#}}",
            ["a"],
            ["See [it](https://a.example) (a.example):", "[See it]"],
        ),
        ("Blob {{#$output.a_b#}}{{#$output.b#}}", ["a_b", "b"], ["[Blob]", "[B]"]),
        ("A\n\n{{#$output.b#}}", ["main_file", "b"], ["[A]", "[Main file]"]),
        ("A {{#$output.a#}} B {{#$output.a#}} C", ["a"], ["[A]", "B  C"]),
        ("A {{#$output.a#}}\n\nThe end:", ["a", "b"], ["[A]", "The end:", "[B]"]),
        ("A {{#$output.ghost#}} B", [], ["A  B"]),
        ("```\nx\n{{#$output.a#}}\ny\n```", ["a"], ["```\nx\n```", "[x]", "```\ny\n```"]),
        ("word " * 60 + "\n{{#$output.long_one#}}", ["long_one"], [("word " * 60).strip(), "[Long one]"]),
        ("", ["a"], ["[A]"]),
        ("---\n\n{{#$output.a#}}", ["a"], ["---", "[A]"]),
        ("In code: `{{#$output.a#}}`", ["a"], ["[In code]"]),
        ("**Draft: {{#$output.a#}}** x", ["a"], ["[Draft]", "x"]),
        ("*required\n\n{{#$output.a#}}", ["a"], ["*required", "[required]"]),
        ("Name*\n\n{{#$output.a#}}", ["a"], ["[Name*]"]),
        ("`x {{#$output.a#}}` y **z {{#$output.b#}}**", ["a", "b"], ["`x`", "[x]", "[y z]"]),
        ("__{{#$output.a_b#}}__", ["a_b"], ["[A b]"]),
        ("Text\n\n# {{#$output.a#}}\n\nBye", ["a"], ["[Text]", "Bye"]),
        ("\\{{#$output.a#}} b", ["a"], ["\\\\", "[A]", "b"]),
    ],
)
def test_fields_stand_where_the_builder_put_them(content: str, names: list[str], expected: list[str]) -> None:
    """Each once, named by the nearest text above; unknown markers disappear, fields without one come last.

    A line that the label repeats word for word is not shown twice.
    """
    assert outline(form_with(content, *names)) == expected


@pytest.mark.parametrize(
    "changes",
    [
        {"answerable": False},
        {"status": FormStatus.TIMED_OUT},
        {"status": FormStatus.SUBMITTED, "submission": make_submission(values={})},
        {"status": FormStatus.SUBMITTED, "submission": make_submission(values={"a": "40"})},
    ],
)
def test_no_text_of_the_builder_is_lost(changes: Json) -> None:
    """A line that is left out for a field's label is shown where there is no field."""
    form = replace(form_with("Draft\n\nRefund of **40** for tea?\n\n{{#$output.a#}}", "a"), **changes)
    assert "Refund of 40 for tea?" in texts(shown(form)).replace("*", "")


def test_a_label_that_had_to_be_shortened_leaves_the_text_above_it_whole() -> None:
    """Many fields share what labels may take up."""
    names = [f"field_{number}" for number in range(30)]
    lines = [f"Question number {number} which is longer than its label" for number in range(30)]
    pairs = zip(lines, names, strict=True)
    form = form_with("\n\n".join(f"{line}\n\n{{{{#$output.{name}#}}}}" for line, name in pairs), *names)
    everything = "\n".join(texts(message) for message in form_messages(run_of(form), form))
    assert all(line in everything for line in lines)


def test_problems_can_be_told_by_label() -> None:
    """People know a field by what stands above it."""
    assert labels(form_with("**Your draft:**\n\n{{#$output.a#}}", "a", "no_marker")) == {
        "a": "Your draft",
        "no_marker": "No marker",
    }


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("Your remarks:\n\n| Item | Price |\n|---|---|\n| Tea | 3 |\n\n{{#$output.comment#}}", "Your remarks"),
        ("| Item | Price |\n|---|---|\n| Tea | 3 |\n\n{{#$output.comment#}}", "Comment"),
        ("| Item | Price |\n|---|---|\n| Tea | {{#$output.comment#}} |", "Tea"),
        ("Menu\n\n| Item |\n|---|\n| {{#$output.comment#}} |", "Item"),
    ],
)
def test_a_field_is_named_by_a_row_of_a_table_only_within_it(content: str, named: str) -> None:
    """One that stands in the table is named by the cell before it, or above it."""
    assert labels(form_with(content, "comment"))["comment"] == named


@pytest.mark.parametrize(
    "content",
    [
        "- Trip\n  - Costs\n    - Hotel {{#$output.a#}}\n    - Train",
        "Trip\n\n    Hotel {{#$output.a#}}",
        "**The total of {{#$output.b#}} EUR** for\n**Hotel: {{#$output.a#}}**",
        "**{{#$output.b#}} Hotel** {{#$output.a#}}",
    ],
    ids=["deep in a list", "in code", "in bold", "after bold that another field stands in"],
)
def test_a_label_has_nothing_of_the_markup_that_its_marker_stands_in(content: str) -> None:
    assert labels(form_with(content, "a", "b"))["a"] == "Hotel"


def test_a_long_text_is_posted_whole_before_the_form() -> None:
    """200 KB of form content come through in Dify (recording 32); the form keeps the last words above each field."""
    form = form_with(
        "# Big\n\n" + "Long line number N. \n" * 9_752 + "\nYour answer:\n\n{{#$output.answer#}}", "answer"
    )
    *before, message = form_messages(run_of(form), form)
    assert len(before) > 15
    assert "".join(texts(part) for part in before).count("Long line number N.") == 9_752
    assert texts(before[-1]).rstrip().endswith("Your answer:\n\n▢")
    assert elements(message, "input")[0]["label"]["text"] == "Your answer"
    assert "messages above" in texts(message)
    assert not any(map(faults, (*before, message)))


def test_what_stands_beside_the_fields_of_a_long_text_is_what_it_is_in_the_text() -> None:
    """Code stays code and goes no further than its fence, a table stays a table; the whole is in the thread."""
    code = "```py\n" + "".join(f"value = {number}\n" for number in range(900)) + "```"
    table = "| name | size |\n|---|---|\n" + "".join(f"| row {number} | {number} |\n" for number in range(400))
    below = "{{#$output.a#}}\n\nCheck *this*.\n\n**Verdict**\n\n{{#$output.b#}}"
    text = f"{code}\n\n{below}\n\n{table}\n{{{{#$output.c#}}}}"
    form = form_with(text, "a", "b", "c")
    *before, message = form_messages(run_of(form), form)
    first, second, third = (block["text"] for block in wire(message) if block["type"] == "markdown")
    assert first.startswith("…\n\n```py\nvalue = ")
    assert first.endswith("\nvalue = 899\n```")
    assert second == "Check _this_."
    assert third.startswith("…\n\n| name | size |\n| --- | --- |\n| row ")
    assert third.endswith("\n| row 399 | 399 |")
    assert "".join(map(texts, before)).count("value = ") == 900


def test_endless_text_ends_with_a_word_about_the_rest() -> None:
    """A thread is no place for a megabyte."""
    form = form_with("word " * 200_000 + "{{#$output.a#}}", "a")
    *before, _ = form_messages(run_of(form), form)
    assert len(before) == 101
    assert "more characters are left out here" in texts(before[-1])


def test_a_default_that_the_form_asks_about_is_posted_once() -> None:
    """A draft that is shown to be edited does not follow again as the field's present text."""
    draft = "".join(f"{number}. word\n" for number in range(2_000))
    asked = make_form(content=f"Read this.\n\n{draft}\n\nNote\n\n{{{{#$output.a#}}}}", inputs=(Paragraph("a", draft),))
    assert "\n".join(map(texts, form_messages(run_of(asked), asked))).count("1234. word") == 1

    other = replace(asked, inputs=(Paragraph("a", f"{draft}the end"),))
    posted = "\n".join(map(texts, form_messages(run_of(other), other)))
    assert "Note: the present text" in posted
    assert posted.count("1234. word") == 2


def test_a_default_too_long_for_a_field_is_kept_by_leaving_it_empty() -> None:
    """Its hint says so, and the thread shows it whole (slack-platform §2.5: prefills hold 3,000 characters)."""
    draft = "Dear all, " * 400
    form = make_form(inputs=(Paragraph("feedback", draft),))
    *before, message = form_messages(run_of(form), form)
    (field,) = elements(message, "input")
    assert "initial_value" not in field["element"]
    assert field["hint"]["text"].startswith(
        "Empty keeps the 4,000 characters of now; open in window to edit them: Dear all,"
    )
    assert texts(before[0]).count("Dear all,") == 400
    assert complete(form, pressed(message).entered(form)) == {"feedback": draft}
    typed = {(field["block_id"], ids.FIELD): {"type": "plain_text_input", "value": "Short"}}
    assert complete(form, pressed(message, typed).entered(form)) == {"feedback": "Short"}


def test_a_default_too_long_for_the_window_too_is_not_promised_there() -> None:
    """A window holds 100,000 characters of JSON."""
    form = make_form(inputs=(Paragraph("feedback", "日本語" * 6_000),))
    (field,) = elements(shown(form), "input")
    assert field["hint"]["text"].startswith("Empty keeps the 18,000 characters of now, which are too many for a window")


def test_a_default_that_fits_stands_in_its_field() -> None:
    """Up to 3,000 characters; emptying the field then means an empty text."""
    form = make_form(inputs=(Paragraph("feedback", "x" * 3_000),))
    (field,) = elements(shown(form), "input")
    assert field["element"]["initial_value"] == "x" * 3_000
    emptied = {(field["block_id"], ids.FIELD): {"type": "plain_text_input", "value": None}}
    assert complete(form, pressed(shown(form), emptied).entered(form)) == {"feedback": ""}


def test_long_options_are_numbered_and_listed_whole() -> None:
    """An option of a menu holds 75 characters."""
    options = tuple(f"{'long ' * 30}{letter}" for letter in "abc")
    form = make_form(inputs=(Select("feedback", options),))
    *before, message = form_messages(run_of(form), form)
    listed = elements(message, "static_select")[0]["options"]
    assert [option["text"]["text"][:8] for option in listed] == ["1. long ", "2. long ", "3. long "]
    assert texts(before[0]).count("long ") == 90


def test_an_option_of_which_nothing_can_be_seen_reads_so_wherever_it_stands() -> None:
    """In the menu as in the list of all options."""
    form = make_form(inputs=(Select("feedback", ("long " * 30, "", " \n")),))
    *before, message = form_messages(run_of(form), form)
    assert [option["text"]["text"] for option in elements(message, "static_select")[0]["options"][1:]] == [
        "2. (empty)",
        "3. (empty)",
    ]
    assert texts(before[0]).endswith("2. (empty)\n3. (empty)")


@pytest.mark.parametrize("blank", ["", " ", "\u200b", "\u2800\u2800", "\u3164"])
def test_nothing_to_press_or_to_choose_is_blank(blank: str) -> None:
    """Where nothing can be seen of a title or an option, something stands for it; what is sent stays what it is."""
    form = make_form(
        node_title=blank,
        content=f"{blank}\n\n{{{{#$output.feedback#}}}}",
        inputs=(Select("feedback", ("full", blank)),),
        user_actions=(UserAction("go_on", blank), UserAction("stop", "Stop")),
    )
    message = shown(form)
    assert [button["text"]["text"] for button in elements(message, "button")] == ["go_on", "Stop", "Open in window"]
    (field,) = elements(message, "input")
    assert field["label"]["text"] == "Feedback"
    assert [option["text"]["text"] for option in field["element"]["options"]] == ["full", "(empty)"]
    assert "*–*" in texts(message)
    state = {"type": "static_select", "selected_option": field["element"]["options"][1]}
    click = pressed(message, {(field["block_id"], ids.FIELD): state})
    assert complete(form, click.entered(form)) == {"feedback": blank}


def test_an_empty_option_that_is_chosen_is_told_from_none() -> None:
    """Dify gets it, and the decided message says what was chosen."""
    form = make_form(inputs=(Select("feedback", ("", "full")),))
    (field,) = elements(shown(form), "input")
    state = {"type": "static_select", "selected_option": field["element"]["options"][0]}
    chosen = complete(form, pressed(shown(form), {(field["block_id"], ids.FIELD): state}).entered(form))
    assert chosen == {"feedback": ""}
    assert complete(form, pressed(shown(form)).entered(form)) == {}
    sent = replace(form, status=FormStatus.SUBMITTED, submission=make_submission(values=chosen))
    assert quoted(shown(sent, RunStatus.RUNNING)) == ["(empty)"]


def test_250_options_come_in_groups_and_500_are_typed() -> None:
    """A menu holds 100 options, or 100 groups of 100; a message has room for some 350 short ones."""
    many = make_form(inputs=(Select("feedback", tuple(f"Option {number:03}" for number in range(250))),))
    groups = elements(shown(many), "static_select")[0]["option_groups"]
    assert [group["label"]["text"] for group in groups] == ["1 to 100", "101 to 200", "201 to 250"]
    too_many = make_form(inputs=(Select("feedback", tuple(f"A longer option {number:03}" for number in range(500))),))
    (field,) = elements(shown(too_many), "plain_text_input")
    assert field["multiline"] is False


def test_a_select_without_options_takes_any_text() -> None:
    """Dify could not resolve them and accepts any string (recording 15)."""
    form = make_form(inputs=(Select("feedback", ()),))
    (field,) = elements(shown(form), "input")
    assert field["element"]["type"] == "plain_text_input"
    assert field["optional"] is False
    assert problems(form, complete(form, pressed(shown(form)).entered(form))) == {
        "feedback": "is empty: enter a value."
    }


def test_a_field_for_files_says_how_they_are_given() -> None:
    """And what fits, since a message has no place for them: a reply with files, or the window."""
    inputs = (
        FileField("contract", allowed_types=("document",)),
        FileField("photos", many=True, limit=3, allowed_types=("image",), allowed_methods=("local_file",)),
        FileField("source", allowed_methods=("remote_url",)),
    )
    content = "".join(f"{each.name}\n\n{{{{#$output.{each.name}#}}}}\n\n" for each in inputs)
    message = shown(make_form(content=content, inputs=inputs))
    said = texts(message)
    contract = "📎 *contract*: reply to this thread with a document, or choose it in the window."
    assert f"{contract} A link will do, too: reply with nothing but that." in said
    assert "📎 *photos*: reply to this thread with up to 3 files, each an image, or choose it in the window." in said
    assert "📎 *source*: reply to this thread with nothing but a link, or give it in the window." in said
    assert not elements(message, "input")
    assert [button["action_id"] for button in elements(message, "button")] == ["form.act.0", "form.act.1", ids.WINDOW]


def test_buttons_keep_difys_order_and_styles() -> None:
    """Primary is primary; the others have no counterpart, and an accent is no danger."""
    form = make_form(
        user_actions=tuple(
            UserAction(style, style.title(), style) for style in make_form().user_actions[0].style.__class__
        )
    )
    assert [(button["text"]["text"], button.get("style")) for button in elements(shown(form), "button")] == [
        ("Primary", "primary"),
        ("Default", None),
        ("Accent", None),
        ("Ghost", None),
        ("Open in window", None),
    ]


def test_a_long_title_is_spelled_out() -> None:
    """Dify's titles may have 100 characters, a button 75."""
    title = "Approve " * 12
    message = shown(make_form(user_actions=(UserAction("ok", title),)))
    assert elements(message, "button")[0]["text"]["text"].endswith("…")
    assert f"1. {title.strip()}" in texts(message)


def test_a_button_that_would_read_like_that_of_the_window_is_numbered() -> None:
    """It decides, which whoever wants to see the window does not mean."""
    actions = tuple(UserAction(title, title) for title in ("Approve", "Open in window"))
    titles = [button["text"]["text"] for button in elements(shown(make_form(user_actions=actions)), "button")]
    assert titles == ["Approve", "2. Open in window", "Open in window"]


def test_buttons_that_would_read_alike_are_numbered() -> None:
    """Dify tells actions apart by their ids only; a title that is cut has the number under which it is spelled out."""
    titles = ["Same", "Other", "Same ", "x" * 100, "x" * 99 + "y", " "]
    actions = tuple(UserAction(f"id_{number}", title) for number, title in enumerate(titles))
    message = shown(make_form(user_actions=actions))
    *buttons, _ = [button["text"]["text"] for button in elements(message, "button")]
    assert buttons == ["1. Same", "Other", "3. Same", f"4. {'x' * 71}…", f"5. {'x' * 71}…", "id_5"]
    assert f"4. {titles[3]}\n5. {titles[4]}" in texts(message)


def test_listed_options_are_read_to_the_letter() -> None:
    """Nothing in them is markup: somebody may have to enter one as it is listed."""
    options = ("*a*", "`b`", "_c_", "1. d", "# e", "\\*f", "~~g~~", "h" * 100)
    before, _ = form_messages(run_of(form := make_form(inputs=(Select("feedback", options),))), form)
    listed = MarkdownIt("commonmark").enable("strikethrough").parse(texts(before))
    assert [each.children[0].content for each in listed if each.type == "inline" and each.children][1:] == [*options]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"form_token": None}, "add *Web app* to the delivery methods of this node in Dify, and publish the app"),
        ({"answerable": False}, "lacks the delivery method *Web app*"),
        ({"user_actions": ()}, "add a button to this Human Input node in Dify, and publish the app"),
        ({"inputs": tuple(Paragraph(f"p{number}") for number in range(81))}, "has 81 fields"),
        (
            {"content": "A draft.\n\n*Pick*:\n\n{{#$output.tone#}}", "inputs": (Select("tone", (), fixed=True),)},
            "its menu “Pick” is without options to choose from, and Dify takes nothing else there.",
        ),
        (
            {"inputs": (Paragraph("note"), *(Select(name, (), fixed=True) for name in ("tone", "size")))},
            "its menus “Tone”, “Size” are without options",
        ),
    ],
)
def test_a_form_that_cannot_be_answered_here_says_what_to_do(change: Json, sentence: str) -> None:
    """No fields, no buttons and no window, the builder's text, and what the builder has to change."""
    message = shown(make_form(**change))
    assert sentence in texts(message)
    assert "A draft." in texts(message)
    assert not elements(message, "input")
    assert not elements(message, "actions")


def test_nobody_is_asked_to_decide_who_cannot() -> None:
    """Whoever started the run is told that it waits, and for what."""
    said = shown(make_form(answerable=False)).text
    assert said == "<@U1>, this run waits for *Review*, which cannot be answered here."


def test_a_form_with_more_fields_than_a_message_holds_is_answered_in_its_window() -> None:
    """The message has the text, and what of the fields a window does not hold; nothing can be decided in it."""
    long_options = Select("level", tuple("an option " * 12 + str(number) for number in range(3)))
    inputs = (long_options, *(Paragraph(f"p{number}") for number in range(40)))
    form = make_form(inputs=inputs)
    *before, message = form_messages(run_of(form), form)
    assert "This form has 41 fields, more than a message can hold. Open it in its window" in texts(message)
    assert "A draft." in texts(message)
    assert not elements(message, "input")
    assert not actions_of(message)
    assert len(window_buttons(message)) == 1
    assert texts(before[0]).count("an option") == 36


def test_in_a_text_of_its_own_a_field_is_named_where_nothing_above_names_it() -> None:
    """The words that stand right above it need not be said again."""
    content = "Question?\n\n{{#$output.a#}}{{#$output.b_c#}} Again {{#$output.a#}}"
    assert text_alone(form_with(content, "a", "b_c")) == ["Question?\n\n▢▢ B c Again ▢ Question?"]


def test_options_that_are_typed_in_a_message_are_chosen_in_the_window() -> None:
    form = make_form(inputs=(Select("feedback", tuple(f"A longer option {number:03}" for number in range(500))),))
    (field,) = elements(shown(form), "input")
    assert field["hint"]["text"] == "Choose it in the window, or enter one of the options listed in the thread."


def test_no_token_and_no_dify_id_stands_in_a_form() -> None:
    """Everybody in the channel can read what a button carries."""
    assert "form-token-demo" not in str(wire(shown(make_form())))


# --- afterwards ------------------------------------------------------------------------------------------------------

AT = "<!date^1772600767^{date_short_pretty} {time}|2026-03-04 05:06 UTC>"
ELSEWHERE = make_submission(user_id=None)


@pytest.mark.parametrize(
    ("status", "answer", "run_status", "line"),
    [
        (FormStatus.CLAIMED, make_submission(), RunStatus.PAUSED, "⏳ *Approve* · <@U2> · waits its turn to be sent"),
        (FormStatus.SUBMITTING, make_submission(), RunStatus.PAUSED, "⏳ Sending *Approve* · <@U2>"),
        (FormStatus.SETTLING, make_submission(), RunStatus.PAUSED, "confirmation was lost: checking"),
        (FormStatus.SUBMITTED, make_submission(), RunStatus.RESUMING, f"✅ *Approve* · <@U2> · {AT}"),
        (FormStatus.ANSWERED_ELSEWHERE, ELSEWHERE, RunStatus.RUNNING, f"✅ *Approve* · answered in Dify · {AT}"),
        (FormStatus.ANSWERED_ELSEWHERE, None, RunStatus.RUNNING, "✅ Answered outside of Slack."),
        (FormStatus.TIMED_OUT, None, RunStatus.RUNNING, "⌛ Expired: nobody answered in time."),
        (
            FormStatus.TIMED_OUT,
            make_submission(),
            RunStatus.RUNNING,
            "⌛ Expired before *Approve* · <@U2> could be sent.",
        ),
        (FormStatus.TIMED_OUT, None, RunStatus.STOPPED, "⌛ Expired: nobody answered in time."),
        (FormStatus.VOID, None, RunStatus.STOPPED, "⏹️ The run was stopped before this form was answered."),
        (FormStatus.VOID, None, RunStatus.FAILED, "⏹️ The run failed before this form was answered."),
        (FormStatus.VOID, None, RunStatus.LOST, "⏹️ The run of this form was lost."),
        (FormStatus.VOID, None, RunStatus.SUCCEEDED, "⏹️ The run ended without this form."),
        (FormStatus.VOID, None, RunStatus.PAUSED, "⏹️ Dify no longer offers this form."),
        (FormStatus.OPEN, None, RunStatus.STOPPED, "⏹️ The run was stopped before this form was answered."),
    ],
)
def test_the_outcome_takes_the_place_of_the_buttons(
    status: FormStatus, answer: Submission | None, run_status: RunStatus, line: str
) -> None:
    """Who decided what, and when; nothing is left to press or to fill in."""
    message = shown(make_form(status=status, submission=answer), run_status)
    assert line in wire(message)[-1]["text"]["text"]
    assert line in message.text
    assert not elements(message, "button")
    assert not elements(message, "input")


LONG_TITLE = "Approve it as it stands, and send it to everybody who asked for it before the end of"


@pytest.mark.parametrize(
    ("titles", "outcomes"),
    [
        (("Yes", "Yes", "No"), ("*1. Yes*", "*2. Yes*", "*No*")),
        ((f"{LONG_TITLE} May", f"{LONG_TITLE} June"), (f"*1. {LONG_TITLE} May*", f"*2. {LONG_TITLE} June*")),
        (("<" * 100, "_" * 100), (f"*1. {'&lt;' * 100}*", f"*2. {'ˍ' * 100}*")),
    ],
)
def test_titles_that_read_alike_are_told_apart_once_decided(titles: Sequence[str], outcomes: Sequence[str]) -> None:
    """Each by its button's number, and in full: the decided message, and what whoever came second is told."""
    actions = tuple(UserAction(f"a{number}", title) for number, title in enumerate(titles))
    for action, called in zip(actions, outcomes, strict=True):
        answer = make_submission(action_id=action.id)
        form = make_form(user_actions=actions, status=FormStatus.SUBMITTED, submission=answer)
        assert f"✅ {called} · <@U2>" in texts(shown(form))
        assert f"already chose {called} for" in texts(notices.decided(run_of(form), form, "U3", {}))


def test_an_expired_form_says_when() -> None:
    """In the reader's zone."""
    form = make_form(status=FormStatus.TIMED_OUT, expires_at=NOW + timedelta(seconds=1))
    assert "<!date^1772600768^" in texts(shown(form))


def test_the_values_given_stay_readable() -> None:
    """Where their fields were: as they are, and no control sequence obeyed."""
    inputs = (Paragraph("a"), Paragraph("b"), Paragraph("c"), FileField("d", many=True))
    values = {"a": "*as* <!channel> is", "b": "", "c": "x" * 5_000, "d": []}
    form = make_form(
        content="Above\n\n{{#$output.a#}}",
        inputs=inputs,
        status=FormStatus.SUBMITTED,
        submission=make_submission(values=values),
    )
    message = shown(form)
    assert quoted(message) == ["*as* <!channel> is", "(left empty)", "x" * 5_000, "(no files)"]
    assert not pings(message) - {"U2"}


def decided(status: FormStatus = FormStatus.SUBMITTED, content: str = "", **values: str) -> Message:
    """Return the message of a form that was answered with these values."""
    inputs = tuple(Paragraph(name) for name in values)
    answer = make_submission(values=values)
    return shown(make_form(content=content, inputs=inputs, status=status, submission=answer))


def quoted(message: Message) -> list[str]:
    """Return the values that a message shows."""
    return [quote["elements"][0]["text"] for quote in elements(message, "rich_text_quote")]


def test_long_values_share_what_the_text_and_the_short_ones_leave() -> None:
    """Some 10,000 characters of a message that holds little else."""
    first, note, last = quoted(decided(a="a" * 20_000, b="short", c="c" * 20_000))
    assert note == "short"
    assert len(first) == len(last) > 4_500
    (alone,) = quoted(decided(content="word " * 1_000, a="a" * 20_000))
    assert len(alone) > 5_000


@pytest.mark.parametrize(
    ("status", "note"),
    [
        (FormStatus.SUBMITTING, "and {:,} more characters"),
        (FormStatus.SUBMITTED, "and {:,} more characters; Dify has them all"),
        (FormStatus.TIMED_OUT, "and {:,} more characters"),
    ],
)
def test_what_of_a_value_does_not_fit_is_counted(status: FormStatus, note: str) -> None:
    """And only what Dify took is called its own; a value that fits has no note."""
    message = decided(status, a="a" * 200_000)
    (value,) = quoted(message)
    assert note.format(200_000 - value.count("a")) in texts(message).split("\n")
    assert "more characters" not in texts(decided(status, a="a" * 9_000))


def test_a_default_that_nobody_changed_and_that_stands_nowhere_else_is_shown_whole() -> None:
    """Its field showed it, and is gone."""
    inputs = (Paragraph("draft", "word " * 500),)
    answer = make_submission(values={"draft": "word " * 500})
    form = make_form(content="", inputs=inputs, status=FormStatus.SUBMITTED, submission=answer)
    assert quoted(shown(form)) == ["(unchanged) " + ("word " * 500).strip()]


@pytest.mark.parametrize(("draft", "content"), [("word " * 500, "{}"), ("word " * 1_000, "")])
def test_a_default_that_nobody_changed_is_not_repeated(draft: str, content: str) -> None:
    """The builder's text has it, or a message above the form since it was too long for its field."""
    inputs = (Paragraph("draft", draft),)
    answer = make_submission(values={"draft": draft})
    form = make_form(content=content.format(draft), inputs=inputs, status=FormStatus.OPEN)
    assert any(draft.strip() in texts(message) for message in form_messages(run_of(form), form))
    (value,) = quoted(shown(replace(form, status=FormStatus.SUBMITTED, submission=answer)))
    assert value.startswith("(unchanged) word word")
    assert len(value) <= 100


def test_the_values_that_somebody_changed_are_told_from_the_others() -> None:
    """Line ends make no difference."""
    draft = "Dear <all>,\r\n\r\n" + "the canteen is closed. " * 40
    inputs = (Paragraph("draft", draft), Paragraph("note", "As planned."), Paragraph("title", "Canteen"))
    values = {"draft": draft.replace("\r\n", "\n"), "note": "As planned!", "title": "Canteen"}
    form = make_form(
        content=draft, inputs=inputs, status=FormStatus.SUBMITTED, submission=make_submission(values=values)
    )
    draft_quote, *quotes = quoted(shown(form))
    assert draft_quote.startswith("(unchanged) Dear <all>, the canteen is closed.")
    assert len(draft_quote) <= 100
    assert quotes == ["As planned!", "(unchanged) Canteen"]


def test_a_refused_answer_loses_nothing() -> None:
    """The reason is shown, the fields are new ones to Slack and hold what was sent (slack-platform §2.7)."""
    inputs = (Paragraph("note", "default"), Select("tone", ("Formal", "Friendly")))
    values = {"note": "typed", "tone": "Friendly"}
    form = make_form(inputs=inputs, submission=make_submission(values=values), refusal="Invalid <tone>", revision=1)
    message = shown(form)
    assert "⚠️ Dify did not take the last answer: “Invalid &lt;tone&gt;”." in texts(message)
    assert {block["block_id"] for block in elements(message, "input")} == {"form.field.1.0.note", "form.field.1.1.tone"}
    assert complete(form, pressed(message).entered(form)) == values
    assert elements(message, "button")
