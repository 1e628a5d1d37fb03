"""The card of a form: Slack takes it whatever files are called, and everything in it can be told apart."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.core.model import AttachmentStatus, FileField, FileProblem, Form, FormStatus, Run, RunStatus
from bot.errors import UnknownHere
from bot.slack import ids
from bot.slack.forms.card import card_message, not_attached
from bot.slack.forms.form import form_message
from tests.factories import NOW, make_attachment, make_form, make_run, make_submission
from tests.slack.reading import faults, pings, texts, wire
from tests.slack.strategies import long_text, titles

FIELDS = (FileField("proof", allowed_types=("image",)), FileField("more", many=True, limit=3))
CONTENT = "The proof\n\n{{#$output.proof#}}\n\nEverything else\n\n{{#$output.more#}}"


def shown(*attachments: object, status: FormStatus = FormStatus.OPEN, **changes: object) -> tuple[Run, Form]:
    form = make_form(inputs=FIELDS, content=CONTENT, status=status, **changes)
    run = make_run(status=RunStatus.PAUSED, forms=(form,), attachments=attachments, thread_ts="1.1", root_ts="1.1")
    return run, form


def words(run: Run, form: Form) -> str:
    return texts(card_message(run, form))


def buttons(run: Run, form: Form) -> list[str]:
    found = []
    for block in wire(card_message(run, form)):
        found += [
            each["action_id"]
            for each in (*block.get("elements", ()), block.get("accessory", {}))
            if "action_id" in each
        ]
    return found


@given(long_text, titles, st.integers(0, 40), st.sampled_from(AttachmentStatus), st.sampled_from(FormStatus))
def test_slack_takes_the_card_whatever_files_and_forms_are_called(
    name: str, title: str, count: int, status: AttachmentStatus, form_status: FormStatus
) -> None:
    given = (
        make_attachment(
            attachment_id=f"a{number}",
            name=name or "file",
            status=status,
            field=None if status is AttachmentStatus.PLACING else "more",
            choices=("proof", "more"),
        )
        for number in range(count)
    )
    run, form = shown(*given, status=form_status, node_title=title, submission=make_submission())
    card = card_message(run, form)
    assert not faults(card)
    assert pings(card) <= {"U1"}
    told = not_attached(form, [FileProblem(name, name, "proof"), FileProblem(name, name)] * 15)
    assert not faults(told)
    assert not pings(told)


def test_the_card_says_what_is_attached_to_which_field_by_whom_and_how_it_stands() -> None:
    on_its_way = make_attachment(attachment_id="b", name="roof.mp4", status=AttachmentStatus.PULLING, field="more")
    link = make_attachment(attachment_id="c", name="plan.pdf", url="https://a.example/plan.pdf", field="more")
    run, form = shown(make_attachment(), on_its_way, link)
    assert "*shot.png* → The proof\n✅ attached · <@U1>" in words(run, form)
    assert "*roof.mp4* → Everything else\n⏳ on its way to Dify · <@U1>" in words(run, form)
    assert "*plan.pdf* → Everything else\n🔗 a link, which Dify opens by itself · <@U1>" in words(run, form)
    assert buttons(run, form) == [ids.REMOVE_FILE] * 3


def test_a_file_that_fits_several_fields_has_a_menu_of_them() -> None:
    placing = make_attachment(status=AttachmentStatus.PLACING, field=None, choices=("proof", "more"))
    run, form = shown(placing)
    (actions,) = (block for block in wire(card_message(run, form)) if block["type"] == "actions")
    menu = actions["elements"][0]
    assert [option["text"]["text"] for option in menu["options"]] == ["The proof", "Everything else"]
    assert ids.decode_place_block(actions["block_id"]) == ("run-1", "attachment-1")
    assert buttons(run, form) == [ids.PLACE_FILE, ids.REMOVE_FILE]


@pytest.mark.parametrize("status", [AttachmentStatus.REFUSED, AttachmentStatus.REMOVED])
def test_what_is_not_attached_any_more_is_not_listed(status: AttachmentStatus) -> None:
    run, form = shown(make_attachment(status=status))
    assert "No file is attached" in words(run, form)
    assert buttons(run, form) == []


def test_the_card_of_a_decided_form_has_no_buttons() -> None:
    answer = make_submission(values={"proof": {"attachment_id": "attachment-1"}})
    run, form = shown(make_attachment(), status=FormStatus.SUBMITTED, submission=answer)
    assert "*shot.png* → The proof" in words(run, form)
    assert buttons(run, form) == []


@pytest.mark.parametrize("status", [FormStatus.TIMED_OUT, FormStatus.VOID, FormStatus.ANSWERED_ELSEWHERE])
def test_the_card_of_a_form_that_was_not_answered_here_says_that_nothing_was_sent(status: FormStatus) -> None:
    """Nor is a field asked for any more."""
    placing = make_attachment(attachment_id="b", status=AttachmentStatus.PLACING, field=None, choices=("proof", "more"))
    run, form = shown(make_attachment(), placing, status=status)
    assert words(run, form).count("not sent") == 2
    assert buttons(run, form) == []


def test_of_many_files_those_that_wait_for_a_field_come_first() -> None:
    many = [make_attachment(attachment_id=f"a{number}", field="more") for number in range(25)]
    placing = make_attachment(attachment_id="b", status=AttachmentStatus.PLACING, field=None, choices=("proof", "more"))
    run, form = shown(*many, placing)
    assert buttons(run, form)[:2] == [ids.PLACE_FILE, ids.REMOVE_FILE]
    assert "and 6 more" in words(run, form)


def test_each_file_that_is_not_attached_has_a_line_with_all_reasons() -> None:
    form = shown()[1]
    problems = [FileProblem("a.exe", "takes an image.", "proof"), FileProblem("a.exe", "is full.", "more")]
    said = texts(not_attached(form, [*problems, *(FileProblem(f"{n}.exe", "no.") for n in range(30))]))
    assert "• *a.exe*: “The proof” takes an image. “Everything else” is full." in said
    assert "and 11 more" in said


def test_a_decided_form_names_its_files() -> None:
    """Those that were given here by our ids, and those of an answer in Dify as Dify tells of them."""
    values = {
        "proof": {"attachment_id": "attachment-1"},
        "more": [{"dify_model_identity": "__dify__file__", "filename": "elsewhere.txt"}],
    }
    answer = make_submission(values=values, at=NOW)
    run, form = shown(make_attachment(), status=FormStatus.SUBMITTED, submission=answer)
    decided = texts(form_message(run, form))
    assert "📎 shot.png" in decided
    assert "📎 elsewhere.txt" in decided


@pytest.mark.parametrize("value", ["", "run-1", "run-1/", "/a", "a/b/c", "run 1/a"])
def test_foreign_values_are_refused(value: str) -> None:
    with pytest.raises(UnknownHere):
        ids.decode_attachment(value)
    with pytest.raises(UnknownHere):
        ids.decode_place_block(ids.place_block_id(value))
