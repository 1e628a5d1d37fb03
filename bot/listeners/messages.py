"""What people say in threads, and the buttons of a conversation."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from slack_bolt.app.async_app import AsyncApp
from slack_bolt.context.ack.async_ack import AsyncAck
from slack_bolt.context.async_context import AsyncBoltContext
from slack_bolt.context.respond.async_respond import AsyncRespond

from bot.services.conversations import ConversationDesk
from bot.slack import chat, ids
from bot.slack.message import Message
from bot.slack.payloads import ButtonClick, MessagePosted

log = structlog.get_logger(__name__)


def register(app: AsyncApp, desk: ConversationDesk) -> None:
    """Take messages in threads, and every button of a conversation."""

    async def take_message(
        body: dict[str, Any], context: AsyncBoltContext, next: Callable[[], Awaitable[None]]
    ) -> None:
        # Before the listener, since Bolt acks an event before it calls one, saved or not (slack-platform §9.1).
        posted = MessagePosted.model_validate(body["event"])
        if posted.is_reply_of_person:
            await desk.take_in(posted.to_core(context["team_id"], context.bot_user_id), delivery=posted.delivery)
        await next()

    async def handle_message() -> None:
        """Nothing is left to do."""

    async def handle_send(ack: AsyncAck, body: dict[str, Any], respond: AsyncRespond) -> None:
        click = ButtonClick.model_validate(body)
        sent = await desk.release(click.value, delivery=click.delivery)
        await ack()
        await _replace(respond, chat.settled(chat.SENT_NEW if sent else chat.ALREADY_SETTLED))

    async def handle_forget(ack: AsyncAck, body: dict[str, Any], respond: AsyncRespond) -> None:
        click = ButtonClick.model_validate(body)
        forgotten = await desk.forget(click.value, click.user_id, delivery=click.delivery)
        await ack()
        await _replace(respond, chat.settled(chat.FORGOTTEN if forgotten else chat.ALREADY_SETTLED))

    async def handle_use_as_answer(ack: AsyncAck, body: dict[str, Any], respond: AsyncRespond) -> None:
        click = ButtonClick.model_validate(body)
        chosen = ids.decode_action(click.value)
        used = await desk.use_as_answer(
            chosen.run_id, chosen.action_id, chosen.form_id, click.user_id, delivery=click.delivery
        )
        await ack()
        await _replace(respond, chat.settled(chat.ALREADY_SETTLED) if used is None else chat.paste(*used))

    async def handle_suggestion(ack: AsyncAck, body: dict[str, Any]) -> None:
        click = ButtonClick.model_validate(body)
        await desk.ask_suggested(*ids.decode_suggestion(click.value), click.user_id)
        await ack()

    async def handle_thumb(ack: AsyncAck, body: dict[str, Any]) -> None:
        click = ButtonClick.model_validate(body)
        await desk.rate(*ids.decode_rating(click.value), click.user_id, delivery=click.delivery)
        await ack()

    app.event("message", middleware=[take_message])(handle_message)
    app.action(ids.SEND_MESSAGE)(handle_send)
    app.action(ids.FORGET_MESSAGE)(handle_forget)
    app.action(ids.USE_AS_ANSWER)(handle_use_as_answer)
    app.action(ids.SUGGESTION)(handle_suggestion)
    app.action(ids.RATE)(handle_thumb)


async def _replace(respond: AsyncRespond, message: Message) -> None:
    """Put what became of a question in its place. What was decided is saved, whether this can be shown or not."""
    try:
        await respond(message.text, blocks=list(message.blocks), replace_original=True)
    except Exception:
        log.exception("the outcome of a question could not be shown")
