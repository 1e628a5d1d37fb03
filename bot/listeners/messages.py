"""What people say in threads, and the buttons of a conversation."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import structlog
from slack_bolt.app.async_app import AsyncApp
from slack_bolt.context.ack.async_ack import AsyncAck
from slack_bolt.context.async_context import AsyncBoltContext
from slack_bolt.context.respond.async_respond import AsyncRespond

from bot.errors import SlackError
from bot.services.conversations import ConversationDesk, as_entered
from bot.services.windows import WindowDesk
from bot.slack import chat, ids
from bot.slack.message import Message
from bot.slack.payloads import ButtonClick, MessagePosted
from bot.slack.window import NOT_OPENED

log = structlog.get_logger(__name__)


def register(app: AsyncApp, desk: ConversationDesk, windows: WindowDesk) -> None:
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
        text = await desk.held(chosen.run_id)
        if text is None:
            await ack()
            await _replace(respond, chat.settled(chat.ALREADY_SETTLED))
            return
        entered = partial(as_entered, text=text)
        trigger = click.trigger_id
        try:
            # The value names the run of the form as its action.
            form = await windows.open(
                chosen.action_id, chosen.form_id, click.user_id, trigger, entered, delivery=click.delivery
            )
        except SlackError as exc:
            log.warning("Slack opened no window", error=str(exc))
            await ack()
            await respond(NOT_OPENED, response_type="ephemeral", replace_original=False)
            return
        if form is not None:
            await desk.forget(chosen.run_id, click.user_id, delivery=click.delivery)
        await ack()
        if form is not None:
            await _replace(respond, chat.in_window(form, text))

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
