"""Modals in depth: what a person can do in one, what the app hears of it, and what Slack does not let through."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from slack_bolt.async_app import AsyncApp
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from bot.playground.slack import Person, Workspace
from bot.playground.slack.faults import Drop
from bot.playground.slack.transcript import transcript
from tests.playground.slack.conftest import Serve

Json = dict[str, Any]


def plain(text: str) -> Json:
    return {"type": "plain_text", "text": text}


def field(label: str, block_id: str, kind: str = "plain_text_input", **element: Any) -> Json:
    """An input block with one element, `value`."""
    inner = {"type": kind, "action_id": "value"} | element
    return {"type": "input", "block_id": block_id, "label": plain(label), "element": inner}


def modal(*blocks: Json, **changes: Any) -> Json:
    """A modal that tells when it is closed."""
    basics = {"type": "modal", "callback_id": "form", "title": plain("Review"), "submit": plain("Send")}
    return basics | {"notify_on_close": True, "blocks": list(blocks)} | changes


REASON, NOTE = field("Reason", "reason"), field("Note", "note") | {"optional": True}


class ModalBot:
    """Keeps what it is told; answers submissions with `answer`."""

    def __init__(self, workspace: Workspace, client: AsyncWebClient) -> None:
        self.workspace, self.client = workspace, client
        self.answer: Json = {}
        self.submitted: list[Json] = []
        self.closed: list[Json] = []
        self.actions: list[Json] = []

    def register(self, app: AsyncApp) -> None:
        """Add the listeners."""

        @app.action("value")
        async def _(ack: Any, body: Json) -> None:
            self.actions.append(body)
            await ack()

        @app.view("form")
        async def _(ack: Any, body: Json) -> None:
            self.submitted.append(body)
            await ack(self.answer)

        @app.view_closed("form")
        async def _(ack: Any, body: Json) -> None:
            self.closed.append(body)
            await ack()

    async def open(self, view: Json) -> Person:
        """Open a modal for ann; returns her."""
        await self.client.views_open(trigger_id=self.workspace.tickets.new_trigger("U0ANN"), view=view)
        return self.workspace.person("ann")

    async def push(self, view: Json) -> None:
        """Put a modal on top of ann's."""
        ann = self.workspace.person("ann")
        trigger_id = self.workspace.tickets.new_trigger(ann.id, ann.view.id)
        await self.client.views_push(trigger_id=trigger_id, view=view)

    async def update(self, view: Json) -> None:
        """Change ann's modal."""
        await self.client.views_update(view_id=self.workspace.person("ann").view.id, view=view)


@pytest.fixture
def connected(serve: Serve, bolt: Callable[..., Any], client_of: Callable[..., Any]) -> Callable[..., Any]:
    """Connect the bot to a workspace with these changes to the defaults."""

    async def connect(**changes: Any) -> ModalBot:
        workspace, server = await serve(**changes)
        modal_bot = ModalBot(workspace, await client_of(server))
        await bolt(server, modal_bot.register)
        return modal_bot

    return connect


# --- closing ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kept", "values"), [(False, {}), (True, {"reason": {"value": {"value": "Too long"}}})])
async def test_a_closed_modal_may_or_may_not_tell_what_was_typed(
    connected: Callable[..., Any], kept: bool, values: Json
) -> None:
    """slack-platform §4.1 says nothing of it: an app may not rely on it, and a workspace can be either way."""
    modal_bot = await connected(closed_views_keep_values=kept)
    ann = await modal_bot.open(modal(REASON))
    ann.fill(ann.view, "Reason", "Too long")
    assert (await ann.close_view()).acked
    (closed,) = modal_bot.closed
    assert (closed["type"], closed["is_cleared"], closed["view"]["callback_id"]) == ("view_closed", False, "form")
    told = closed["view"]["state"]["values"]
    assert {key: {"value": {"value": told[key]["value"]["value"]}} for key in told} == values


@pytest.mark.parametrize("by_the_view", [True, False])
async def test_a_whole_stack_is_closed_at_once(connected: Callable[..., Any], by_the_view: bool) -> None:
    """slack-platform §4.1: by the cross or with `clear_on_close`; told of those that want it, the top one first."""
    modal_bot = await connected()
    ann = await modal_bot.open(modal(REASON, private_metadata="bottom"))
    await modal_bot.push(modal(REASON, notify_on_close=False))
    await modal_bot.push(modal(REASON, private_metadata="top", clear_on_close=by_the_view))
    await ann.close_view(all_views=not by_the_view)
    assert ann.views == []
    assert [(closed["view"]["private_metadata"], closed["is_cleared"]) for closed in modal_bot.closed] == [
        ("top", True),
        ("bottom", True),
    ]


async def test_closing_the_top_one_shows_the_one_below_as_it_was(connected: Callable[..., Any]) -> None:
    """slack-platform §2.3: a stack; the same goes for submitting it (§4.1)."""
    modal_bot = await connected()
    ann = await modal_bot.open(modal(REASON))
    ann.fill(ann.view, "Reason", "Too long")
    await modal_bot.push(modal(NOTE))
    await ann.close_view()
    await modal_bot.push(modal(NOTE))
    await ann.submit_view()
    assert len(ann.views) == 1
    assert ann.draft(ann.view)["reason", "value"]["value"] == "Too long"
    assert modal_bot.submitted[0]["view"]["previous_view_id"] == ann.view.id
    assert modal_bot.submitted[0]["view"]["root_view_id"] == ann.view.id


# --- filling in ------------------------------------------------------------------------------------------------------

NUMBER = {"kind": "number_input", "is_decimal_allowed": False, "min_value": "1", "max_value": "9"}


@pytest.mark.parametrize(
    ("element", "text", "error"),
    [
        (NUMBER, "7", None),
        (NUMBER, "seven", "enter a number"),
        (NUMBER, "NaN", "enter a number"),
        (NUMBER, "1.5", "whole number"),
        (NUMBER, "0", "at least 1"),
        (NUMBER, "10", "at most 9"),
        (NUMBER | {"is_decimal_allowed": True}, "1.5", None),
        ({"kind": "email_text_input"}, "ann@x.example", None),
        ({"kind": "email_text_input"}, "ann", "an email address"),
        ({"kind": "url_text_input"}, "https://x.example", None),
        ({"kind": "url_text_input"}, "x.example", "a URL"),
    ],
)
async def test_the_client_checks_the_kind_of_a_text(
    connected: Callable[..., Any], element: Json, text: str, error: str | None
) -> None:
    """slack-platform §2.2, §2.6: on modals the client's business, before the app is asked."""
    modal_bot = await connected()
    ann = await modal_bot.open(modal(field("Value", "it", **element)))
    ann.fill(ann.view, "Value", text)
    result = await ann.submit_view()
    assert (error or "") in result.field_errors.get("it", "")
    assert (result.acked, len(modal_bot.submitted)) == ((True, 1) if error is None else (False, 0))


async def test_enter_tells_the_app_where_it_wants_to_know(connected: Callable[..., Any]) -> None:
    """slack-platform §2.3: `dispatch_action` goes by Enter unless `dispatch_action_config` says otherwise."""
    modal_bot = await connected()
    on_characters = {"dispatch_action_config": {"trigger_actions_on": ["on_character_entered"]}}
    by_enter = field("By Enter", "enter") | {"dispatch_action": True}
    by_character = field("By character", "character", **on_characters) | {"dispatch_action": True}
    ann = await modal_bot.open(modal(REASON, by_enter, by_character))
    ann.fill(ann.view, "Reason", "Too long")
    ann.fill(ann.view, "By Enter", "one")
    ann.press_enter(ann.view, "By Enter")
    await modal_bot.workspace.wait_for(lambda: len(modal_bot.actions) == 1)
    ann.fill(ann.view, "By character", "two")
    await modal_bot.workspace.wait_for(lambda: len(modal_bot.actions) == 2)
    for name in ("Reason", "By character"):
        with pytest.raises(LookupError, match="Enter does nothing"):
            ann.press_enter(ann.view, name)
    told = [(action["actions"][0]["block_id"], action["actions"][0]["value"]) for action in modal_bot.actions]
    assert told == [("enter", "one"), ("character", "two")]
    first = modal_bot.actions[0]
    assert first["view"]["state"]["values"]["reason"]["value"]["value"] == "Too long"
    assert first["trigger_id"]


async def test_a_dispatched_menu_can_change_the_form(connected: Callable[..., Any]) -> None:
    """slack-platform §2.3: a choice tells the app at once, which then changes the modal around it."""
    modal_bot = await connected()
    kinds = [{"text": plain(text), "value": text} for text in ("short", "long")]
    kind = field("Kind", "kind", "static_select", options=kinds) | {"dispatch_action": True}
    ann = await modal_bot.open(modal(kind))
    ann.select(ann.view, "Kind", "long")
    await modal_bot.workspace.wait_for(lambda: modal_bot.actions)
    await modal_bot.update(modal(kind, REASON))
    assert ann.draft(ann.view)["kind", "value"]["selected_option"]["value"] == "long"
    ann.fill(ann.view, "Reason", "Because")


async def test_a_field_that_went_away_comes_back_empty(connected: Callable[..., Any]) -> None:
    """slack-platform §2.7: kept is what stays under its block_id and action_id, and only that."""
    modal_bot = await connected()
    ann = await modal_bot.open(modal(REASON, NOTE))
    ann.fill(ann.view, "Reason", "Too long")
    ann.fill(ann.view, "Note", "Sorry")
    await modal_bot.update(modal(REASON))
    await modal_bot.update(modal(REASON, NOTE, field("New", "reason-2") | {"optional": True}))
    await ann.submit_view()
    values = modal_bot.submitted[0]["view"]["state"]["values"]
    assert {key: entry["value"]["value"] for key, entry in values.items()} == {
        "reason": "Too long",
        "note": None,
        "reason-2": None,
    }


# --- submitting ------------------------------------------------------------------------------------------------------


async def test_errors_stand_at_their_fields_until_the_next_try(connected: Callable[..., Any]) -> None:
    """slack-platform §4.1: what was typed stays, and the person reads what is wrong."""
    modal_bot = await connected()
    ann = await modal_bot.open(modal(REASON, NOTE, close=plain("Cancel")))
    await ann.submit_view()
    assert ann.view.field_errors == {"reason": "Please complete this required field."}
    ann.fill(ann.view, "Reason", "Too long")
    modal_bot.answer = {"response_action": "errors", "errors": {"note": "Say more & faster"}}
    result = await ann.submit_view()
    assert result.field_errors == ann.view.field_errors == {"note": "Say more & faster"}
    seen = transcript(modal_bot.workspace, "content", "ann")
    assert [part in seen for part in ("Too long", "⚠ Say more & faster", "[Cancel]  [Send]")] == [True] * 3
    assert "Say more" not in transcript(modal_bot.workspace, "content", "ben")
    modal_bot.answer = {}
    view = ann.view
    await ann.submit_view()
    assert (ann.views, view.field_errors) == ([], {})


@pytest.mark.parametrize("errors", [{}, {"reason": ""}, {"reason": None}, {"buttons": "x"}])
async def test_errors_that_make_no_sense_are_not_shown(connected: Callable[..., Any], errors: Json) -> None:
    """slack-platform §4.1: keys are block_ids of input blocks; the modal stays open with Slack's apology."""
    modal_bot = await connected()
    buttons = {"type": "button", "action_id": "value", "text": plain("Try")}
    ann = await modal_bot.open(modal(NOTE, REASON, {"type": "actions", "block_id": "buttons", "elements": [buttons]}))
    ann.fill(ann.view, "Reason", "Too long")
    modal_bot.answer = {"response_action": "errors", "errors": errors}
    result = await ann.submit_view()
    assert result.acked
    assert "trouble connecting" in str(result.error)
    assert (len(ann.views), ann.view.field_errors) == (1, {})


async def test_a_submission_that_is_not_acknowledged_loses_nothing(connected: Callable[..., Any]) -> None:
    """slack-platform §4.1: 3 s; the modal stays as it is, and the person can try again."""
    modal_bot = await connected(ack_timeout=0.5)
    ann = await modal_bot.open(modal(REASON))
    ann.fill(ann.view, "Reason", "Too long")
    modal_bot.workspace.faults.add("interactive", Drop())
    result = await ann.submit_view()
    assert (result.acked, modal_bot.submitted) == (False, [])
    assert "trouble connecting" in str(result.error)
    assert (await ann.submit_view()).acked
    assert modal_bot.submitted[0]["view"]["state"]["values"]["reason"]["value"]["value"] == "Too long"


async def test_a_push_needs_a_trigger_from_inside_a_modal(connected: Callable[..., Any]) -> None:
    """slack-platform §4.1."""
    modal_bot = await connected()
    ann = await modal_bot.open(modal(REASON))
    outside = modal_bot.workspace.tickets.new_trigger("U0ANN")
    closed = modal_bot.workspace.tickets.new_trigger("U0ANN", ann.view.id)
    with pytest.raises(SlackApiError, match="invalid_trigger_id"):
        await modal_bot.client.views_push(trigger_id=outside, view=modal(NOTE))
    await ann.close_view()
    with pytest.raises(SlackApiError, match="invalid_trigger_id"):
        await modal_bot.client.views_push(trigger_id=closed, view=modal(NOTE))


async def test_a_new_modal_replaces_the_stack(connected: Callable[..., Any]) -> None:
    """What was typed into the old ones is gone with them."""
    modal_bot = await connected()
    ann = await modal_bot.open(modal(REASON))
    old = ann.view
    ann.fill(old, "Reason", "Too long")
    await modal_bot.open(modal(NOTE, title=plain("New")))
    assert [view.title for view in ann.views] == ["New"]
    assert ann.draft(old) == {}
    with pytest.raises(LookupError, match="does not look at this view"):
        ann.fill(old, "Reason", "x")
