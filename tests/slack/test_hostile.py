"""No text of others mentions anybody, hides where a link leads, or breaks a block, wherever it is put."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from typing import Any

import pytest

from bot.core.effects import DrawnEffect
from bot.core.model import AppMode, Progress, Run
from bot.core.ports import AppDescription, StartWindow, WindowFill
from bot.playground.slack.block_kit import view_problems
from bot.slack.forms.window import notice_of, window
from bot.slack.messages.blocks import Post, render
from bot.slack.messages.chat import does_not_fit
from bot.slack.messages.message import Message
from bot.slack.messages.notices import usage
from bot.slack.messages.result import answer_messages
from bot.slack.starts.window import notice_view, start_view
from bot.slack.text.rich_text import rich_text_blocks
from tests.factories import NOW
from tests.slack.hostile import HOSTILE, harm, harm_of
from tests.slack.reading import faults, texts
from tests.slack.test_blocks import CASES, RUN
from tests.slack.test_start_window import PLACE, start_input

OURS = frozenset(
    {
        *("run_id", "team_id", "channel_id", "starter_id", "user_id", "stop_requested_by", "dify_user"),
        *("response_url", "thread_ts", "root_ts", "answer_ts", "suggestions_ts", "message_ts", "ts", "code"),
        *("question_ts", "asker_id"),
        *("workflow_run_id", "task_id", "conversation_id", "message_id", "form_id", "node_id", "form_token", "id"),
        *("name", "action_id"),
    }
)
"""Ids, codes and names that Dify or the bot itself makes; a field of Dify's forms is called by an identifier."""


def poisoned(value: Any, text: str, name: str = "") -> Any:
    """Return a value of the core with this text in every place where others may write."""
    match value:
        case str() if name in OURS or type(value) is not str:
            return value
        case str() if name == "content":
            return f"{text}\n\n{value}\n\n{text}"
        case str():
            return text
        case dict() if name == "values":
            return {key: poisoned(item, text) for key, item in value.items()}
        case dict():
            return {text: {text: [text]}, "text": text, "said": f"{text} {text}"}
        case tuple() if name in ("problems", "forms") and value and isinstance(value[0], tuple):
            return tuple((*item[:-1], text) for item in value)
        case tuple():
            return tuple(poisoned(item, text) for item in value)
        case _ if is_dataclass(value) and not isinstance(value, type):
            changes = {each.name: poisoned(getattr(value, each.name), text, each.name) for each in fields(value)}
            return replace(value, **changes)
        case _:
            return value


def messages_of(effect: DrawnEffect, run: Run | None, text: str) -> tuple[Message, ...]:
    """Return what is shown of a case in which others have written nothing but this text."""
    progress = Progress(step=text) if "step" in {each.name for each in fields(Progress)} else None
    rendered = render(poisoned(effect, text), poisoned(run, text), NOW, progress)
    return rendered.messages if isinstance(rendered, Post) else (rendered.message,)


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.parametrize("mode", AppMode)
def test_no_text_does_harm_in_any_message(text: str, mode: AppMode) -> None:
    """Contents, defaults, options, titles, inputs, outputs, errors, refusals, names, reminders and notices."""
    for case, (effect, run) in CASES.items():
        for message in messages_of(effect, run and replace(run, mode=mode), text):
            assert not harm_of(message), case
            assert not faults(message), case


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_no_text_does_harm_in_rich_text(text: str) -> None:
    """Alone, and in every construct."""
    for around in (
        "{}",
        "# {}",
        "- {}",
        "1. {}",
        "> {}",
        "**{}**",
        "[{}](https://a.example)",
        "![{}](https://a.example)",
    ):
        blocks = [block.to_dict() for block in rich_text_blocks(around.replace("{}", text))]
        assert not harm("", blocks), around
        view = {"type": "modal", "title": {"type": "plain_text", "text": "Form"}, "blocks": blocks}
        assert not view_problems(view), around


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_no_text_does_harm_in_a_forms_window(text: str) -> None:
    """Content, titles, options, defaults, drafts, and what is given back when the window comes too late."""
    run = poisoned(RUN, text)
    form = run.forms[0]
    values = {field.name: text for field in form.inputs}
    for view in (window(run, form, WindowFill()), window(run, form, WindowFill(values)), notice_of(form, "–", values)):
        assert not view_problems(view)
        assert not harm("", [view["title"], *view["blocks"]])


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_no_text_does_harm_where_a_message_does_not_fit_into_a_window(text: str) -> None:
    form = poisoned(RUN, text).forms[0]
    said = does_not_fit(form, {field.name: "is too long." for field in form.inputs})
    assert not harm_of(said)
    assert not faults(said)


TYPES = ("text-input", "paragraph", "select", "number", "checkbox", "json_object", "file-list")


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_no_text_does_harm_in_a_start_window(text: str) -> None:
    """Titles, labels, options, defaults, schemas, what was given, and what is wrong with it."""
    variables = [f"field_{number}" for number in range(len(TYPES))]
    changes = {"label": text, "default": text, "options": (text, f"{text}!"), "json_schema": {text: text}}
    fields = [start_input(name, type, **changes) for name, type in zip(variables, TYPES, strict=True)]
    described = AppDescription(text, AppMode.CHATFLOW, tuple(fields))
    for given in ({}, dict.fromkeys(variables, text)):
        window = StartWindow(PLACE, ("other", "review"), described, texts=given, problems=(text,))
        view = start_view(window).to_dict()
        assert not view_problems(view)
        assert not harm("", [view["title"], *view["blocks"]])
    assert not harm("", notice_view(text).to_dict()["blocks"])


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_no_text_does_harm_while_it_is_written(text: str) -> None:
    """Whole, and at every character where it may stand still."""
    for end in range(len(text) + 1):
        for message in answer_messages(text[:end] or "…"):
            assert not harm_of(message), end
            assert not faults(message), end


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_no_text_does_harm_in_the_answer_to_a_command(text: str) -> None:
    """`usage` is sent as mrkdwn."""
    shown = usage("/dify", [text])
    assert not harm(shown, [])


def test_the_text_of_others_is_put_where_it_is_looked_for() -> None:
    """But for the few messages that hold none."""
    without = {
        case
        for case, (effect, run) in CASES.items()
        if not any("zebra" in texts(message) for message in messages_of(effect, run, "zebra"))
    }
    assert without == set()
