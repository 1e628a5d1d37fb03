"""Images and other files in the text of any form: shown where they stand, or named there."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import chain

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.core.giving_out import MAX_INLINE
from bot.core.model import Form, FormStatus, OutFile, OutFileStatus, Paragraph, Run, RunStatus, UserAction
from bot.core.ports import WindowFill
from bot.playground.slack import block_kit
from bot.slack.forms.form import form_message, form_messages, obstacle
from bot.slack.forms.layout import labels
from bot.slack.forms.window import window
from bot.slack.messages.message import Message
from tests.factories import make_form, make_run, make_submission
from tests.slack import strategies
from tests.slack.reading import Json, disguised_links, faults, texts, wire

patient = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


def linked(name: str, *, shown: str | None = None, image: bool = True) -> str:
    """Return a link to a file in the text of a form."""
    address = f"https://dify.example/files/{name}/file-preview?timestamp=1&nonce=2&sign=secret"
    return f"{'!' * image}[{name if shown is None else shown}]({address})"


def picture(name: str, **changes: object) -> OutFile:
    """Return an image that Slack has and that stands in the text of its form."""
    file = OutFile(
        f"/files/{name}/file-preview", name, "secret", "form-1", True, True, OutFileStatus.SHARED, f"F{name}"
    )
    return replace(file, **changes)  # type: ignore[arg-type]


def run_of(form: Form, *files: OutFile) -> Run:
    """Return a run that waits for a form and has given out these files."""
    return make_run(status=RunStatus.PAUSED, thread_ts="1.0", forms=(form,), out_files=files)


def shown(content: str, *files: OutFile, **changes: object) -> list[str]:
    """Return the message of a form with one field as lines: its texts, its images and its field."""
    form = make_form(content=content, **changes)
    return [_line(block) for block in wire(form_message(run_of(form, *files), form))[1:-1]]


def _line(block: Json) -> str:
    match block["type"]:
        case "image":
            return f"<{block['slack_file']['id']} {block['alt_text']}>"
        case "input":
            return f"[{block['label']['text']}]"
        case _:
            return str(block["text"])


def images_of(blocks: list[Json]) -> list[str]:
    """Return the ids of the images among blocks."""
    return [block["slack_file"]["id"] for block in blocks if block["type"] == "image"]


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        (f"A\n\n{linked('a')}\n\nB", ["A", "<Fa a>", "B", "[Feedback]"]),
        (f"A {linked('a')} B", ["A", "<Fa a>", "B", "[Feedback]"]),
        (f"{linked('a')}{linked('b')}", ["<Fa a>", "<Fb b>", "[Feedback]"]),
        (f"Name it\n\n{linked('a')}\n\n{{{{#$output.feedback#}}}}", ["Name it", "<Fa a>", "[Name it]"]),
        (f"{linked('a')}\n\nName it\n\n{{{{#$output.feedback#}}}}", ["<Fa a>", "[Name it]"]),
        (f"{linked('a')} and again {linked('a')}", ["<Fa a>", "and again 📎 a", "[Feedback]"]),
        (f"{linked('a', shown='Figure 1')}", ["<Fa Figure 1>", "[Feedback]"]),
        (f"{linked('a', image=False)}", ["📎 a", "[Feedback]"]),
        (f"{linked('unknown')}", ["📎 unknown", "[Feedback]"]),
    ],
)
def test_images_stand_where_they_are_linked(content: str, lines: list[str]) -> None:
    """Each once; everything else is named."""
    assert shown(content, picture("a"), picture("b")) == lines


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"status": OutFileStatus.FETCHED}, "<Fa a>"),
        ({"status": OutFileStatus.SEEN, "slack_file_id": None}, "📎 a"),
        ({"inline": False}, "📎 a"),
        ({"form_id": "form-9"}, "📎 a"),
        ({"form_id": None, "inline": False, "also_in": ("form-1",)}, "<Fa a>"),
        (
            {"status": OutFileStatus.MISSED, "slack_file_id": None, "reason": "it is *gone*."},
            "📎 a (it is _gone_.)",
        ),
    ],
)
def test_what_is_not_there_is_named(changes: dict[str, object], line: str) -> None:
    """And why it cannot be had, if that is known."""
    assert shown(linked("a"), picture("a", **changes)) == [line, "[Feedback]"]


def test_a_field_is_called_the_same_with_and_without_the_image_above_it() -> None:
    """What is told of a form calls its fields by the text of the form alone."""
    form = make_form(content=f"Name it\n\n{linked('a')}\n\n{{{{#$output.feedback#}}}}")
    assert labels(form) == {"feedback": "Name it"}


def test_the_text_of_a_long_form_has_its_images_above() -> None:
    """Where they stand in it; the message with the fields names them."""
    form = make_form(content=f"{'word ' * 3_000}\n\n{linked('a')}\n\nThe end {{{{#$output.feedback#}}}}")
    *before, message = form_messages(run_of(form, picture("a")), form)
    assert [images_of(wire(each)) for each in before] == [[], ["Fa"], []]
    assert images_of(wire(message)) == []


def test_a_form_with_as_many_fields_and_images_as_there_can_be_shows_all_of_them() -> None:
    """The images stand in messages of their own where one cannot hold everything."""
    names = [f"p{number}" for number in range(MAX_INLINE)]
    fields = tuple(Paragraph(f"field_{number}") for number in range(40))
    form = make_form(
        content="\n\n".join(map(linked, names)),
        inputs=fields,
        user_actions=tuple(UserAction(f"a{number}", "Go") for number in range(30)),
    )
    messages = form_messages(run_of(form, *map(picture, names)), form)
    assert not [fault for message in messages for fault in faults(message)]
    assert [*chain(*(images_of(wire(message)) for message in messages))] == [f"F{name}" for name in names]


def test_a_window_shows_the_images_of_a_form() -> None:
    """As its message does."""
    form = make_form(content=f"A\n\n{linked('a')}\n\nB")
    view = window(run_of(form, picture("a")), form, WindowFill())
    assert images_of(view["blocks"]) == ["Fa"]
    assert not list(block_kit.view_problems(view))


_name = st.text("ab <>&*_`|é\U0001f642", max_size=12)


@st.composite
def forms_with_files(draw: st.DrawFn) -> tuple[Form, tuple[OutFile, ...]]:
    """Return any form, with links to files anywhere in its text."""
    form = draw(strategies.forms())
    names = [f"n{number}" for number in range(draw(st.integers(1, MAX_INLINE)))]
    content = form.content
    places = sorted((draw(st.integers(0, len(content))) for _ in names), reverse=True)
    for name, place in zip(names, places, strict=True):
        link = linked(name, shown=draw(_name), image=draw(st.booleans()))
        content = f"{content[:place]}{draw(st.sampled_from(['', ' ', chr(10) * 2]))}{link} {content[place:]}"
    statuses = st.sampled_from(OutFileStatus)
    files = tuple(
        picture(name, inline=draw(st.booleans()), status=draw(statuses), reason="it is gone.") for name in names
    )
    return replace(form, content=content), files


@patient
@given(forms_with_files())
def test_slack_takes_any_form_with_files_and_sees_no_address(drawn: tuple[Form, tuple[OutFile, ...]]) -> None:
    """Open and decided, in messages and in a window."""
    form, files = drawn
    decided = replace(
        form,
        status=FormStatus.SUBMITTED,
        submission=make_submission(values={}, action_id=form.user_actions[0].id if form.user_actions else "x"),
    )
    messages: list[Message] = [
        *form_messages(run_of(form, *files), form),
        form_message(run_of(decided, *files), decided),
    ]
    for message in messages:
        assert not faults(message)
        assert not disguised_links(message)
        assert "sign=secret" not in texts(message)
    if obstacle(form) is None:
        view = window(run_of(form, *files), form, WindowFill())
        assert not list(block_kit.view_problems(view))
        assert "sign=secret" not in json.dumps(view)
