"""What Slack sends, read as far as it matters."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from bot.core.model import Addressed, Paragraph, PickedMessage, Select, UserAction
from bot.slack.ids import WindowOf
from bot.slack.payloads import ButtonClick, FilePayload, MessagePosted, MessageRead, SlashCommand, WindowEvent
from tests.factories import NOW, make_form

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


# --- windows -------------------------------------------------------------------------------------------------------

SUBMITTED: dict[str, Any] = {
    "type": "view_submission",
    "team": {"id": "T1", "domain": "demo"},
    "user": {"id": "U2", "username": "ben", "name": "ben", "team_id": "T1"},
    "trigger_id": "1.2.abc",
    "view": {
        "id": "V1",
        "type": "modal",
        "callback_id": "form.window",
        "hash": "1.abc",
        "private_metadata": "run-1/form-1/2/0123456789abcdef",
        "blocks": [
            {"type": "section", "block_id": "b1", "text": {"type": "mrkdwn", "text": "…", "verbatim": True}},
            {"type": "input", "block_id": "form.field.2.0.note"},
        ],
        "state": {
            "values": {
                **CLICK["state"]["values"],
                "form.decision": {
                    "form.decision": {
                        "type": "radio_buttons",
                        "selected_option": {"text": {"type": "plain_text", "text": "Regenerate"}, "value": "1"},
                    }
                },
            }
        },
    },
    "response_urls": [],
}


def submitted(**state: Any) -> WindowEvent:
    """Return the submit of a window whose fields hold this."""
    view = SUBMITTED["view"]
    values = {**view["state"]["values"], **state}
    return WindowEvent.model_validate({**SUBMITTED, "view": {**view, "state": {"values": values}}})


def test_a_submit_tells_what_was_decided_about_which_form() -> None:
    """A text that a message keeps for being too long stands in the window: left empty there it is empty."""
    event = submitted()
    assert event.window == WindowOf("run-1", "form-1", 2, "0123456789abcdef")
    assert (event.user_id, event.view_id, event.first_field) == ("U2", "V1", "form.field.2.0.note")
    assert event.delivery == "window:V1:1.abc"
    assert event.chosen(FORM) == "regenerate"
    assert event.entered(FORM) == {"note": "typed", "tone": "Formal", "other": None}
    assert event.changed(FORM) == {"note": "typed", "tone": "Formal", "other": None}


@pytest.mark.parametrize("value", ["2", "-1", "one", ""])
def test_a_decision_that_the_form_does_not_have_is_none(value: str) -> None:
    """Nothing is guessed from a foreign index."""
    option = {"text": {"type": "plain_text", "text": "Approve"}, "value": value}
    decision = {"form.decision": {"type": "radio_buttons", "selected_option": option}}
    assert submitted(**{"form.decision": decision}).chosen(FORM) is None


def test_the_only_action_of_a_form_needs_no_choice() -> None:
    """The submit button stands for it."""
    assert submitted(**{"form.decision": {}}).chosen(make_form(user_actions=(UserAction("ok", "OK"),))) == "ok"


def test_a_change_tells_when_it_was_made() -> None:
    """By Slack's clock: changes may arrive in any order."""
    event = WindowEvent.model_validate({**SUBMITTED, "actions": [{"action_ts": "1772600767.890123"}]})
    assert abs(event.at - NOW) < timedelta(milliseconds=1)


def test_what_was_changed_in_a_message_is_told_from_what_stands_there() -> None:
    """An untouched default and an empty field that keeps a long one are nobody's entry."""
    form = make_form(inputs=(Paragraph("note", "typed"), Select("tone", ("Friendly", "Formal")), *FORM.inputs[2:]))
    assert ButtonClick.model_validate(CLICK).changed(form) == {"tone": "Formal"}


HERE, ROOT = "1795248995.500000", "1795248990.000100"


@pytest.mark.parametrize(
    ("changes", "thread_ts"),
    [
        pytest.param({"channel": "D1"}, None, id="direct message"),
        pytest.param({"channel": "D1", "text": "", "files": [{"id": "F1"}]}, None, id="nothing but a file"),
        pytest.param({"text": "Hi <@U0BOT>!"}, None, id="mention"),
        pytest.param({"channel": "G1", "text": "<@U0BOT>", "channel_type": "mpim"}, None, id="among several people"),
        pytest.param({"text": "<@U0BOT> hi", "thread_ts": ROOT}, ROOT, id="mention in a thread"),
        pytest.param({"text": "<@U0BOT> hi", "thread_ts": HERE}, None, id="root of a thread"),
        pytest.param({"channel": "D1", "text": "<@U0BOT> hi", "thread_ts": ROOT}, ROOT, id="thread of direct messages"),
    ],
)
def test_a_message_that_addresses_the_bot(changes: dict[str, Any], thread_ts: str | None) -> None:
    posted = MessagePosted.model_validate({"channel": "C1", "ts": HERE, "user": "U1", "text": "Hi", **changes})
    assert posted.is_of_person
    assert posted.addressed("U0BOT") == Addressed(changes.get("channel", "C1"), HERE, "U1", thread_ts)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({}, id="in a channel"),
        pytest.param({"text": "Hi <@U0ANN>"}, id="a mention of somebody else"),
        pytest.param({"channel": "D1", "thread_ts": ROOT}, id="a reply in direct messages"),
        pytest.param({"text": "&lt;@U0BOT&gt;"}, id="a mention that is typed out"),
    ],
)
def test_a_message_that_does_not_address_the_bot(changes: dict[str, Any]) -> None:
    posted = MessagePosted.model_validate({"channel": "C1", "ts": HERE, "user": "U1", "text": "Hi", **changes})
    assert posted.addressed("U0BOT") is None


def test_a_message_that_is_read_is_as_people_wrote_it() -> None:
    files = [{"id": "F1", "name": "a.png", "mimetype": "image/png", "size": 3}]
    read = MessageRead.model_validate({"ts": HERE, "text": "<@U0BOT> ask <@U0ANN> &amp; me", "files": files})
    (file,) = (FilePayload.model_validate(each).to_core() for each in files)
    assert read.to_core("T1", "C1", "U0BOT") == PickedMessage("ask @U0ANN & me", "T1", "C1", (file,))
    assert not read.is_gone
    assert MessageRead.model_validate({"ts": HERE, "subtype": "tombstone", "text": "This message was deleted."}).is_gone


def test_a_reply_is_as_old_as_slack_says() -> None:
    """Messages may overtake one another on their way, and are answered in the order in which they were written."""
    event = {"channel": "C1", "ts": "1795248995.500000", "thread_ts": "1795248990.000100", "user": "U1", "text": "Hi"}
    said = MessagePosted.model_validate(event).to_core("T1", "U0BOT")
    assert said.said_at == datetime(2026, 11, 21, 8, 16, 35, 500_000, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "said", "links"),
    [
        ("<https://a.example/q3|our plan>", "our plan (https://a.example/q3)", ("https://a.example/q3",)),
        ("<@U0BOT> <https://a.example/q3>", "https://a.example/q3", ("https://a.example/q3",)),
        ("See <https://a.example/q3|our plan>", "See our plan (https://a.example/q3)", ()),
    ],
)
def test_a_reply_keeps_the_words_of_its_links_and_tells_where_it_is_nothing_else(
    text: str, said: str, links: tuple[str, ...]
) -> None:
    event = {"channel": "C1", "ts": HERE, "thread_ts": HERE, "user": "U1", "text": text}
    message = MessagePosted.model_validate(event).to_core("T1", "U0BOT")
    assert (message.text, message.links) == (said, links)
