"""A real Bolt app lives in the workspace: commands, forms, answers, over both transports."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from slack_bolt.async_app import AsyncAck, AsyncApp

from tests.playground.slack.conftest import Serve

FORM: list[dict[str, Any]] = [
    {"type": "section", "text": {"type": "mrkdwn", "text": "*A draft* about pandas"}},
    {
        "type": "input",
        "block_id": "feedback",
        "label": {"type": "plain_text", "text": "Feedback"},
        "element": {"type": "plain_text_input", "action_id": "value", "initial_value": "none yet"},
    },
    {
        "type": "input",
        "block_id": "tone",
        "label": {"type": "plain_text", "text": "Tone"},
        "element": {
            "type": "static_select",
            "action_id": "value",
            "options": [
                {"text": {"type": "plain_text", "text": "Friendly"}, "value": "0"},
                {"text": {"type": "plain_text", "text": "Formal"}, "value": "1"},
            ],
        },
    },
    {
        "type": "actions",
        "elements": [
            {"type": "button", "action_id": "approve", "text": {"type": "plain_text", "text": "Approve"}, "value": "7"}
        ],
    },
]


class ReviewBot:
    """Posts a root message and a form, and closes the form with what was put in."""

    def __init__(self) -> None:
        self.actions: list[dict[str, Any]] = []

    def register(self, app: AsyncApp) -> None:
        """Add the listeners."""
        app.command("/dify")(self.start)
        app.action("approve")(self.approve)

    async def start(self, ack: AsyncAck, command: dict[str, Any], client: Any) -> None:
        """Answer the command."""
        await ack(text=f"Starting {command['text']}")
        channel = command["channel_id"]
        root = await client.chat_postMessage(channel=channel, text=f"Review for <@{command['user_id']}>")
        await client.chat_postMessage(channel=channel, thread_ts=root["ts"], text="Please review", blocks=FORM)

    async def approve(self, ack: AsyncAck, body: dict[str, Any], client: Any, respond: Any) -> None:
        """Close the form."""
        await ack()
        self.actions.append(body)
        await client.chat_update(channel=body["channel"]["id"], ts=body["message"]["ts"], text="Approved")
        await respond("Thank you")


@pytest.mark.parametrize("http", [False, True], ids=["socket", "http"])
async def test_a_form_is_filled_and_sent_with_a_click(serve: Serve, bolt: Callable[..., Any], http: bool) -> None:
    """The click carries every field as this person left it, the app's answers show up, and acks are timed."""
    workspace, server = await serve()
    review_bot = ReviewBot()
    await bolt(server, review_bot.register, http=http)
    ann = workspace.person("ann")

    started = await ann.command("content", "/dify review topic=Launch")
    root = await workspace.wait_for(lambda: workspace.find(channel="content", text="review for"))
    form = await workspace.wait_for(lambda: workspace.find(channel="content", thread=root.ts, button="Approve"))
    ann.fill(form, "feedback", "shorter")
    ann.select(form, "tone", "Formal")
    clicked = await ann.click(form, "Approve")
    await workspace.wait_for(lambda: workspace.find(visible_to="ann", text="Thank you"))

    assert started.acked
    assert clicked.acked
    assert clicked.error is None
    assert workspace.find(visible_to="ann", text="Starting review topic=Launch")
    assert workspace.find(visible_to="ben") is None
    assert review_bot.actions[0]["state"]["values"] == {
        "feedback": {"value": {"type": "plain_text_input", "value": "shorter"}},
        "tone": {
            "value": {
                "type": "static_select",
                "selected_option": {"text": {"type": "plain_text", "text": "Formal", "emoji": True}, "value": "1"},
            }
        },
    }
    assert review_bot.actions[0]["actions"][0]["value"] == "7"
    assert form.text == "Approved"
    assert form.blocks == []
    assert [version.content.text for version in form.history] == ["Please review", "Approved"]
    assert all(delivery.ack_ms is not None for delivery in workspace.courier.deliveries)
    assert workspace.refused == []
