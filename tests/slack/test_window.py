"""The window of any form that is legal in Dify, with whatever people have entered into it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.core.model import FileField, Form, FormStatus, Paragraph, Run, RunStatus, Select, UserAction
from bot.core.ports import WindowFill
from bot.core.submission import too_long
from bot.playground.slack import block_kit
from bot.playground.slack.forms import state_values
from bot.playground.slack.text import pinged_ids
from bot.slack import ids
from bot.slack.forms.fields import TextField, window_fields
from bot.slack.forms.form import obstacle
from bot.slack.forms.window import notice_of, window
from bot.slack.messages.notices import decided
from bot.slack.payloads import WindowEvent
from bot.slack.text.mrkdwn import clean
from tests.factories import NOW, make_form, make_run, make_submission
from tests.slack import strategies
from tests.slack.reading import Json

patient = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
VIEW_MAX = 250_000
"""Characters of a view as it is sent (slack-platform §2.5)."""
GOLDEN = Path(__file__).parent / "golden"
answerable = strategies.forms().filter(lambda form: obstacle(form) is None)
typed_text = st.one_of(strategies.long_text, st.sampled_from(["", "日本" * 3_000, "🍵" * 9_000, "x" * 60_000]))


def run_of(form: Form) -> Run:
    """Return a run that waits for this form."""
    return make_run(status=RunStatus.PAUSED, thread_ts="1700000000.000100", forms=(form,))


def view_of(form: Form, fill: WindowFill | None = None) -> Json:
    """Return the form's window."""
    return window(run_of(form), form, fill or WindowFill())


def faults(view: Json) -> list[str]:
    """Return everything Slack would refuse about a view."""
    found = [str(problem) for problem in block_kit.view_problems(view)]
    return found + ([f"view_too_large: {size}"] if (size := len(json.dumps(view))) > VIEW_MAX else [])


def inputs_of(view: Json) -> list[Json]:
    """Return the input blocks of a view, in order."""
    return [block for block in view["blocks"] if block["type"] == "input"]


def options_of(menu: Json) -> list[Json]:
    """Return the options of a menu or of radio buttons, in order."""
    return [option for group in menu.get("option_groups", [menu]) for option in group["options"]]


def sent(view: Json, draft: Mapping[tuple[str, str], Json] | None = None) -> WindowEvent:
    """Return what arrives from somebody who entered `draft` and left all else as it was."""
    stored = [{"block_id": f"b{index}", **block} for index, block in enumerate(view["blocks"])]
    state = {"values": state_values(stored, draft or {})}
    return WindowEvent.model_validate(
        {"user": {"id": "U2"}, "view": {**view, "blocks": stored, "id": "V1", "hash": "1.a", "state": state}}
    )


def entered_into(view: Json, form: Form, values: Mapping[str, str]) -> dict[tuple[str, str], Json]:
    """Return the state of fields into which a person entered these values: options are picked where there is a menu."""
    draft: dict[tuple[str, str], Json] = {}
    for block in inputs_of(view):
        index = ids.decode_field(block["block_id"])
        if index is None or (name := form.inputs[index].name) not in values:
            continue
        element, state = block["element"], {"type": block["element"]["type"], "value": values[name] or None}
        if element["type"] == "static_select":
            field = form.inputs[index]
            assert isinstance(field, Select)
            state = {
                "type": "static_select",
                "selected_option": options_of(element)[field.options.index(values[name])],
            }
        draft[block["block_id"], element["action_id"]] = state
    return draft


def values_for(form: Form, data: st.DataObject) -> dict[str, str]:
    """Draw something to enter into each field but for files."""
    return {
        field.name: data.draw(
            st.sampled_from(field.options) if isinstance(field, Select) and field.options else typed_text
        )
        for field in form.inputs
        if not isinstance(field, FileField)
    }


# --- whatever the form ---------------------------------------------------------------------------------------------


@given(answerable, st.data())
@patient
def test_any_form_opens_within_slacks_limits_whatever_was_entered(form: Form, data: st.DataObject) -> None:
    """Judged by the rules of the simulated Slack, which cite Slack's own; nobody is pinged."""
    fill = WindowFill(values_for(form, data), data.draw(st.sampled_from([None, NOW])), "0" * 16, generation=3)
    answer = data.draw(st.sampled_from([None, make_submission(values=values_for(form, data))]))
    view = view_of(replace(form, submission=answer, refusal="Invalid <!channel> " * 60 if answer else None), fill)
    assert not faults(view)
    assert not set(pinged_ids("", view["blocks"]))


@given(answerable)
@patient
def test_every_field_and_action_is_within_reach(form: Form) -> None:
    """Each field once, also those for files, each action once and in Dify's order."""
    view = view_of(form)
    blocks = inputs_of(view)
    fields = [index for block in blocks if (index := ids.decode_field(block["block_id"])) is not None]
    assert sorted(fields) == [*range(len(form.inputs))]
    decision = [block for block in blocks if block["block_id"] == ids.DECISION]
    if len(form.user_actions) == 1:
        assert not decision
        assert sent(view).chosen(form) == form.user_actions[0].id
        return
    options = options_of(decision[0]["element"])
    assert sent(view).chosen(form) is None
    kind = decision[0]["element"]["type"]
    picked = [
        sent(view, {(ids.DECISION, ids.DECISION): {"type": kind, "selected_option": option}}).chosen(form)
        for option in options
    ]
    assert picked == [action.id for action in form.user_actions]


@given(answerable, st.data())
@patient
def test_a_draft_stands_in_the_window_again(form: Form, data: st.DataObject) -> None:
    """What was changed and fits is what the window then holds; control characters Slack does not take."""
    view = view_of(form)
    changed = sent(view, entered_into(view, form, values_for(form, data))).changed(form)
    left_out = too_long(form, changed)
    again = sent(view_of(form, WindowFill(changed, NOW))).entered(form)
    for name in changed.keys() - left_out.keys():
        kept = window_fields(form)[name]
        whole = changed[name] or (kept.kept if isinstance(kept, TextField) else "")
        assert clean(again[name] or "") == clean(whole)


@given(answerable)
@patient
def test_an_untouched_window_says_what_the_form_says(form: Form) -> None:
    """Nothing of it is anybody's draft."""
    assert sent(view_of(form)).changed(form) == {}


@given(answerable, st.data())
@patient
def test_what_was_entered_in_vain_is_given_back_within_slacks_limits(form: Form, data: st.DataObject) -> None:
    view = notice_of(form, "*Review*: ⌛ Expired", values_for(form, data))
    assert not faults(view)
    assert "submit" not in view


# --- what a window reads -------------------------------------------------------------------------------------------

REVIEW = make_form(
    node_title="Review the draft of the newsletter",
    content="# Tea\n\n- one\n- two\n\nEdits:\n\n{{#$output.edits#}}\n\nWhich **tone**?\n\n{{#$output.tone#}}\n\nBye.",
    inputs=(Paragraph("edits", "Tea is a drink."), Select("tone", ("Formal", "Friendly", "Formal"))),
    expires_at=NOW,
)
LONG = make_form(
    node_title="Long",
    content="# Report\n\n" + "A long line of it. \n" * 2_000 + "\n\nRemarks\n\n{{#$output.remarks#}}",
    inputs=(Paragraph("remarks", "x" * 120_000),),
    user_actions=(UserAction("ok", "Approve this and send it to everybody who asked"),),
)
ODD = make_form(
    node_title="<!channel>",
    content="Code:\n\n```\na < b {{#$output.a#}}\nc\n```\n\n"
    "| x | y |\n|---|---|\n| {{#$output.b#}} | z |\n\n{{#$output.c#}}",
    inputs=(
        Paragraph("a"),
        Select("b", ()),
        Select("c", tuple(f"{'option ' * 12}{number}" for number in range(2))),
        FileField("d", many=True),
    ),
    user_actions=(
        UserAction("one", "Same"),
        UserAction("two", "Same"),
        UserAction(
            "three", "A title of a hundred characters, as Dify lets builders write, of which a button shows a part"
        ),
        UserAction("four", " "),
        *(UserAction(f"more_{number}", f"More {number}") for number in range(8)),
    ),
    submission=make_submission(values={"a": "sent", "b": "typed", "c": "", "d": []}),
    refusal="Invalid <value>",
)
WINDOWS: dict[str, tuple[Form, WindowFill]] = {
    "window": (REVIEW, WindowFill()),
    "window-draft": (REVIEW, WindowFill({"edits": "Tea is *my* drink.", "tone": "Formal"}, NOW, "0123456789abcdef", 2)),
    "window-long": (LONG, WindowFill()),
    "window-odd": (ODD, WindowFill({"a": "x" * 150_000})),
}


def written(case: str) -> str:
    """Return the golden file's text as it should be."""
    return json.dumps(view_of(*WINDOWS[case]), ensure_ascii=False, indent=2) + "\n"


@pytest.mark.parametrize("case", WINDOWS)
def test_windows_are_rendered_as_agreed(case: str) -> None:
    """A change of what people see is a change of a golden file."""
    assert not faults(view_of(*WINDOWS[case]))
    assert written(case) == (GOLDEN / f"{case}.json").read_text(encoding="utf-8")


def words(view: Json) -> str:
    """Return everything a reader finds in a view."""
    return "\n".join(found for block in view["blocks"] for found in _texts(block))


def _texts(value: Any) -> list[str]:
    if isinstance(value, list):
        return [text for item in value for text in _texts(item)]
    if isinstance(value, dict):
        own = [value["text"]] if isinstance(value.get("text"), str) else []
        return own + [text for item in value.values() for text in _texts(item)]
    return []


def test_a_default_of_any_length_up_to_the_bound_stands_in_its_field() -> None:
    """A message holds 3,000 characters of it, a window all that may be entered (slack-platform §2.5)."""
    form = make_form(inputs=(Paragraph("feedback", "ten chars." * 1_000),))
    (field, _) = inputs_of(view_of(form))
    assert field["element"]["initial_value"] == "ten chars." * 1_000
    assert "max_length" not in field["element"]
    assert sent(view_of(form)).entered(form) == {"feedback": "ten chars." * 1_000}


def test_1000_options_are_chosen_from_a_menu() -> None:
    form = make_form(inputs=(Select("feedback", tuple(f"Option {number:03}" for number in range(1_000))),))
    menu, _ = inputs_of(view_of(form))
    assert [option["text"]["text"] for option in options_of(menu["element"])][999] == "Option 999"


def test_of_equal_options_each_is_the_same_answer() -> None:
    """A builder's list may repeat itself; values are indexes."""
    form = make_form(inputs=(Select("feedback", ("yes", "yes", "no")),))
    view = view_of(form)
    for index, expected in enumerate(("yes", "yes", "no")):
        menu, _ = inputs_of(view)
        state = {"type": "static_select", "selected_option": options_of(menu["element"])[index]}
        assert sent(view, {(menu["block_id"], ids.FIELD): state}).entered(form) == {"feedback": expected}


@pytest.mark.parametrize("blank", ["", "\u200b", "\u2800\u2800", "\u3164"])
def test_no_title_of_a_window_is_blank(blank: str) -> None:
    """Nor its submit, nor what there is to choose."""
    form = make_form(node_title=blank, user_actions=(UserAction("ok", blank),))
    view = view_of(form)
    assert (view["title"]["text"], view["submit"]["text"]) == ("–", "Send")
    decision = inputs_of(view_of(replace(form, user_actions=(UserAction("ok", blank), UserAction("no", "No")))))[-1]
    assert [option["text"]["text"] for option in options_of(decision["element"])] == ["ok", "No"]


def test_begun_anew_every_field_is_a_new_one_to_slack() -> None:
    """Else it would keep what was typed (slack-platform §2.7)."""
    before, after = (
        {block["block_id"] for block in inputs_of(view_of(REVIEW, WindowFill(generation=number)))} for number in (0, 1)
    )
    assert before & after == {ids.DECISION}


def test_what_is_too_long_to_be_taken_over_from_the_message_is_named() -> None:
    view = view_of(ODD, WindowFill({"a": "x" * 150_000}))
    assert "*a &lt; b*: what you entered is too long for a window. It still stands in the form's message." in words(
        view
    )


def test_a_form_whose_token_dify_refuses_is_said_so_with_what_the_builder_has_to_change() -> None:
    """Reading or submitting it answers 404 (dify-api §10.1): known only once somebody has sent the window."""
    refused = replace(REVIEW, status=FormStatus.VOID, submission=make_submission(values={}))
    view = notice_of(refused, decided(run_of(refused), refused, "U2", {}).text, {"edits": "my words"})
    assert "Dify no longer offers this form" in words(view)
    assert "needs the delivery method *Web app*" in words(view)
    assert "my words" in words(view)
    assert "submit" not in view


def test_no_token_stands_in_a_window() -> None:
    assert "form-token-demo" not in str(view_of(REVIEW))


def test_what_was_entered_in_vain_is_given_back_whole() -> None:
    """30,000 characters of it, which no message holds."""
    view = notice_of(REVIEW, "*Review*: ⌛ Expired", {"edits": "my own words " * 2_300, "tone": None})
    assert words(view).count("my own words") == 2_300
    assert "Which" not in words(view)


def test_of_fields_that_are_called_the_same_each_is_given_back() -> None:
    content = "Comment:\n\n{{#$output.a#}}\n\nComment:\n\n{{#$output.b#}}"
    form = make_form(content=content, inputs=(Paragraph("a"), Paragraph("b")))
    view = notice_of(form, "*Review*: ⌛ Expired", {"a": "mine", "b": "mine, too"})
    assert words(view).endswith("Comment\nmine\nComment\nmine, too")


def test_a_window_says_what_becomes_of_files_and_links_in_it() -> None:
    """Slack tells nobody of a chosen file (slack-platform §2.2), so that closing the window may lose it."""
    links = FileField("source", allowed_methods=("remote_url",))
    one, many = FileField("contract"), FileField("photos", many=True)
    told = {field.name: json.dumps(view_of(make_form(inputs=(field,)))) for field in (links, one, many)}
    assert [name for name, said in told.items() if "closed before that, it is not attached" in said] == [
        "contract",
        "photos",
    ]
    assert [name for name, said in told.items() if "One on each line." in said] == ["photos"]
    assert all("so it has to be public" in said for said in told.values())
