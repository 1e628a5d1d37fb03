"""What is promised of any form and of any outputs that are legal in Dify: nothing of them is lost on its way.

That what is shown is legal in Slack and harmless, and every field and button within reach, is proved of the same forms
and outputs in `test_form`, `test_window` and `test_result`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from bot.core import effects as do
from bot.core.model import FileField, Form, Paragraph, RunStatus, Select
from bot.core.submission import complete
from bot.dify.sansio import submit_form
from bot.slack.forms.fields import Menu, Shown, shown_fields, window_fields
from bot.slack.forms.form import form_message, form_messages
from bot.slack.forms.window import LONG_FORM
from bot.slack.messages.blocks import Post, render
from bot.slack.messages.message import Message
from bot.slack.text.mrkdwn import unescape
from tests.factories import NOW, make_form, make_run, make_submission
from tests.slack import strategies
from tests.slack.reading import Json, lost, missing, read_whole, seen, wire, words
from tests.slack.test_form import pressed
from tests.slack.test_window import answerable, entered_into, run_of, sent, values_for, view_of

patient = settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
MARKER = re.compile(r"\{\{#\$output\.([^#{}]+)#\}\}")


def read(blocks: Iterable[Json]) -> str:
    """Return what somebody reads of blocks, from the first to the last."""
    return "".join(text for block in blocks for text in _read(block))


def _read(block: Json) -> Iterator[str]:
    match block["type"]:
        case "markdown":
            yield read_whole(block["text"], made_safe=True)
        case "section":
            yield unescape(block["text"]["text"])
        case "context":
            yield from (unescape(element["text"]) for element in block["elements"])
        case "rich_text":
            yield seen(block)
        case "input":
            yield block["label"]["text"]
        case _:
            return


def read_all(messages: Iterable[Message]) -> str:
    """Return what somebody reads of messages, from the first to the last."""
    return "".join(read(wire(message)) for message in messages)


def text_of(form: Form) -> str:
    """Return the builder's text; a sign that is not counted stands where a field does."""
    left = {field.name for field in form.inputs}

    def mark(marker: re.Match[str]) -> str:
        name = marker[1].strip()
        is_first = name in left
        left.discard(name)
        return "%" if is_first else ""

    return MARKER.sub(mark, form.content)


# --- nothing is lost -------------------------------------------------------------------------------------------------


@given(strategies.forms())
@example(make_form(content="# Long\n\n" + "One of many lines. \n" * 10_000 + "{{#$output.feedback#}} End."))
@patient
def test_no_character_of_a_forms_text_is_lost(form: Form) -> None:
    """It stands in the form's message, or before it in messages of its own."""
    shown = read_all(form_messages(run_of(form), form))
    assert lost(text_of(form), shown) == ""


@given(answerable)
@patient
def test_no_character_of_a_forms_text_is_lost_in_its_window(form: Form) -> None:
    """Where the window says that the thread has the whole of it, the thread has."""
    shown = read(view_of(form)["blocks"])
    assert LONG_FORM in shown or lost(text_of(form), shown) == ""


@given(answerable)
@patient
def test_every_option_can_be_read_whole(form: Form) -> None:
    """In its menu, or in the thread where the menu has only its beginning."""
    thread = read_all(form_messages(run_of(form), form))
    assume("are left out here" not in thread)
    for field in form.inputs:
        listed = shown_fields(form).get(field.name) if len(form.inputs) <= 40 else window_fields(form).get(field.name)
        if isinstance(field, Select):
            menu = "".join(listed.texts) if isinstance(listed, Menu) and not listed.numbered else thread
            assert missing(words("".join(field.options)), iter(menu)) == ""


@given(strategies.outputs, st.sampled_from([RunStatus.SUCCEEDED, RunStatus.PARTIAL_SUCCEEDED]))
@example({"text": "0. a\n~~b~~||\n---|---\n`c`||||d"}, RunStatus.SUCCEEDED)  # no table until its lines are indented
@patient
def test_no_character_of_an_output_is_lost(outputs: dict[str, Any], status: RunStatus) -> None:
    """It is shown in messages; where they are too many, a file below them has it to the letter."""
    run = make_run(status=status, outputs=outputs, workflow_run_id="w", thread_ts="1.0")
    post = render(do.PostResult(), run, NOW)
    assert isinstance(post, Post)
    shown = read_all(post.instead if post.file else post.messages)
    for value in outputs.values():
        if isinstance(value, str):
            assert lost(value, shown) == ""
            assert post.file is None or value in post.file.text
        for text in leaves(value):
            assert missing(words(text), iter(shown)) == ""


def leaves(value: Any) -> Iterator[str]:
    """Return every text in a JSON value that is no text itself."""
    inner = [*value, *value.values()] if isinstance(value, dict) else value if isinstance(value, list) else []
    for each in inner:
        yield from [each] if isinstance(each, str) else leaves(each)


# --- Dify gets what was entered --------------------------------------------------------------------------------------


def received(form: Form, entered: Mapping[str, str | None]) -> Any:
    """Return the inputs that Dify gets of what somebody entered, as the body of the request has them."""
    submission = make_submission(values=complete(form, entered))
    body = submit_form(run_of(form), "token", submission).body
    assert body is not None
    return json.loads(body)["inputs"]


def meant(form: Form, fields: Mapping[str, Shown], values: Mapping[str, str]) -> dict[str, Any]:
    """Return what these values, entered into the fields, are to be for Dify.

    An option is sent to the letter, also an empty one that is picked. A field that holds no text because it is too long
    for it keeps that text if it is left empty; what has to be entered and was not is left out, as is a NUL.
    """
    found: dict[str, Any] = {}
    for field in form.inputs:
        if isinstance(field, FileField):
            # Nothing was shared: a list may stay empty, and a single file is asked for.
            found |= {field.name: []} if field.many else {}
            continue
        shown, value = fields[field.name], values[field.name]
        if isinstance(shown, Menu):
            found[field.name] = value
            continue
        text = value or shown.kept
        if not (isinstance(field, Select) and text in field.options):
            text = text.replace("\0", "")
        if text or isinstance(field, Paragraph):
            found[field.name] = text
    return found


@given(answerable.filter(lambda form: len(form.inputs) <= 40), st.data())
@patient
def test_dify_gets_exactly_what_was_entered_into_the_message(form: Form, data: st.DataObject) -> None:
    message, values = form_message(run_of(form), form), values_for(form, data)
    draft = entered_into({"blocks": wire(message)}, form, values)
    assert received(form, pressed(message, draft).entered(form)) == meant(form, shown_fields(form), values)


@given(answerable, st.data())
@patient
def test_dify_gets_exactly_what_was_entered_into_the_window(form: Form, data: st.DataObject) -> None:
    view, values = view_of(form), values_for(form, data)
    entered = sent(view, entered_into(view, form, values)).entered(form)
    assert received(form, entered) == meant(form, window_fields(form), values)
