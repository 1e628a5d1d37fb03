"""What no listener took, and what went wrong in one."""

from __future__ import annotations

import re
from typing import Any

import structlog
from slack_bolt.app.async_app import AsyncApp
from slack_bolt.context.ack.async_ack import AsyncAck
from slack_bolt.context.respond.async_respond import AsyncRespond
from slack_bolt.error import BoltUnhandledRequestError
from slack_bolt.response import BoltResponse

from bot.errors import StoreError, UnknownHere
from bot.slack.messages import notices

log = structlog.get_logger(__name__)


def register(app: AsyncApp) -> None:
    """Answer for everything else. A payload that nobody acks is sent three times more (slack-platform §9.1)."""
    app.action(re.compile(r".*"))(handle_other_block_action)
    app.error(handle_error)


async def handle_other_block_action(ack: AsyncAck) -> None:
    """Ack a change in a field: what it holds is read when a button is pressed."""
    await ack()


async def handle_error(error: Exception, body: dict[str, Any], respond: AsyncRespond) -> BoltResponse | None:
    """Say in a sentence what happened, to the person who did something.

    Nothing is acked that is not saved: Slack then marks the click as failed, besides the sentence.
    """
    if isinstance(error, BoltUnhandledRequestError):
        return BoltResponse(status=200)
    log.error("a payload could not be taken in", kind=body.get("type") or body.get("command"), exc_info=error)
    if isinstance(error, UnknownHere):
        sentence = notices.UNKNOWN_HERE
    elif isinstance(error, StoreError):
        sentence = notices.NOT_SAVED
    else:
        sentence = notices.WENT_WRONG
    if body.get("response_url"):
        try:
            await respond(sentence, response_type="ephemeral", replace_original=False)
        except Exception:
            log.exception("and that could not be told either")
    return None
