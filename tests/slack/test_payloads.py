"""What Slack sends, read as far as it matters."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from bot.core.model import Paragraph, Select
from bot.slack.payloads import ButtonClick, SlashCommand
from tests.factories import make_form

# In the shapes Slack documents (slack-platform §2.6, §4.2), with more than is read.
COMMAND: dict[str, Any] = {
    "token": "ignored",
    "team_id": "T1",
    "team_domain": "demo",
    "channel_id": "C1",
    "channel_name": "content",
    "user_id": "U1",
    "user_name": "ann",
    "command": "/dify",
    "text": "review topic=tea",
    "api_app_id": "A1",
    "is_enterprise_install": "false",
    "response_url": "https://hooks.example/commands/1",
    "trigger_id": "1.2.abc",
}
CLICK: dict[str, Any] = {
    "type": "block_actions",
    "user": {"id": "U2", "username": "ben", "name": "ben", "team_id": "T1"},
    "api_app_id": "A1",
    "token": "ignored",
    "container": {
        "type": "message",
        "message_ts": "1.1",
        "channel_id": "C1",
        "is_ephemeral": False,
        "thread_ts": "1.0",
    },
    "trigger_id": "1.2.abc",
    "team": None,
    "enterprise": {"id": "E1", "name": "Org"},
    "is_enterprise_install": True,
    "channel": {"id": "C1", "name": "content"},
    "message": {"ts": "1.1", "thread_ts": "1.0", "text": "…", "blocks": []},
    "state": {
        "values": {
            "form.field.0.0.note": {"form.field": {"type": "plain_text_input", "value": "typed"}},
            "form.field.0.1.tone": {
                "form.field": {
                    "type": "static_select",
                    "selected_option": {"text": {"type": "plain_text", "text": "Formal", "emoji": False}, "value": "1"},
                }
            },
            "form.field.0.2.other": {"form.field": {"type": "plain_text_input", "value": None}},
            "form.field.0.9.gone": {"form.field": {"type": "plain_text_input", "value": "no such field"}},
            "foreign": {"form.field": {"type": "plain_text_input", "value": "not ours"}},
            "form.field.0.3.last": {"foreign": {"type": "datepicker", "selected_date": "2026-01-01"}},
        }
    },
    "response_url": "https://hooks.example/actions/1",
    "actions": [
        {
            "type": "button",
            "block_id": "b1",
            "action_id": "form.act.0",
            "text": {"type": "plain_text", "text": "Approve", "emoji": True},
            "value": "run-1/form-1/approve",
            "style": "primary",
            "action_ts": "9.9",
        }
    ],
}
FORM = make_form(
    inputs=(
        Paragraph("note"),
        Select("tone", ("Friendly", "Formal")),
        Paragraph("other", "x" * 4_000),
        Paragraph("last"),
    )
)


def test_a_command_is_read() -> None:
    """Unknown fields are ignored; its trigger tells it from every other."""
    command = SlashCommand.model_validate(COMMAND)
    assert (command.command, command.text, command.user_id) == ("/dify", "review topic=tea", "U1")
    assert command.delivery == "command:1.2.abc"
    assert "hooks.example" not in repr(command)


def test_a_click_tells_who_pressed_what() -> None:
    """Also in an organisation-wide installation, where `team` is null."""
    click = ButtonClick.model_validate(CLICK)
    assert (click.user_id, click.value) == ("U2", "run-1/form-1/approve")
    assert click.delivery == "click:C1:1.1:form.act.0:9.9:U2"


def test_a_click_holds_what_stood_in_the_fields() -> None:
    """By the input's name: the real option, a long default kept by an empty field; foreign blocks are ignored."""
    assert ButtonClick.model_validate(CLICK).entered(FORM) == {"note": "typed", "tone": "Formal", "other": "x" * 4_000}


@pytest.mark.parametrize("value", ["7", "-1", "one", "²", ""])
def test_an_option_the_form_does_not_have_is_none(value: str) -> None:
    """Nothing is guessed from a foreign index."""
    option = {"text": {"type": "plain_text", "text": "Formal", "emoji": False}, "value": value}
    state = {"form.field.0.1.tone": {"form.field": {"type": "static_select", "selected_option": option}}}
    click = ButtonClick.model_validate({**CLICK, "state": {"values": state}})
    assert click.entered(FORM) == {"tone": None}


def test_a_message_without_fields_has_no_state() -> None:
    """Slack then leaves it out."""
    assert ButtonClick.model_validate({key: CLICK[key] for key in CLICK if key != "state"}).entered(FORM) == {}


@pytest.mark.parametrize("missing", ["user", "container", "trigger_id", "actions"])
def test_a_payload_that_is_no_click_is_refused(missing: str) -> None:
    """With an error, not a guess."""
    with pytest.raises(ValidationError):
        ButtonClick.model_validate({key: CLICK[key] for key in CLICK if key != missing})


def test_an_error_does_not_hold_what_people_typed() -> None:
    """It goes into the log."""
    with pytest.raises(ValidationError) as refused:
        SlashCommand.model_validate({**COMMAND, "text": ["my secret"]})
    assert "secret" not in str(refused.value)
