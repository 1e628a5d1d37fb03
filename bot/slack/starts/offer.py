"""The answer to a message that addresses the bot: how an app is started, and a button that starts one with it."""

from __future__ import annotations

from slack_sdk.models.blocks import ActionsBlock, ButtonElement

from bot.core.model import Addressed
from bot.slack import ids
from bot.slack.forms.room import MAX_BUTTON
from bot.slack.messages.message import Message, label, section
from bot.slack.starts.window import SHORTCUT
from bot.slack.text import mrkdwn

OFFER = "I run Dify apps: press the button to start one with your message, or type `{command} help`{where}."
OUTSIDE = " outside of this thread"
"""Slack takes no slash commands in threads (slack-platform §4.2)."""


def offer(message: Addressed, command: str) -> Message:
    """Offer to start an app with a message."""
    where = "" if message.thread_ts is None else OUTSIDE
    text = OFFER.format(command=mrkdwn.one_line(command), where=where)
    button = ButtonElement(
        text=label(SHORTCUT, MAX_BUTTON),
        action_id=ids.START_WITH_MESSAGE,
        value=ids.encode_message(message.channel_id, message.ts),
        style="primary",
    )
    return Message(text, (section(text), ActionsBlock(elements=[button])))
