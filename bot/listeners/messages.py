"""What people say in threads and to the bot, and the buttons of a conversation."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import structlog
from slack_bolt.app.async_app import AsyncApp
from slack_bolt.context.ack.async_ack import AsyncAck
from slack_bolt.context.async_context import AsyncBoltContext
from slack_bolt.context.respond.async_respond import AsyncRespond

from bot.core.model import Form
from bot.core.start_files import MESSAGE_FILES, given_to
from bot.errors import SlackError
from bot.services.conversations import ConversationDesk, as_entered
from bot.services.form_files import FILES_OF, FormFileDesk
from bot.services.starts import StartDesk
from bot.services.windows import DoesNotFit, WindowDesk
from bot.slack import ids
from bot.slack.forms.window import NOT_OPENED
from bot.slack.messages.chat import does_not_fit
from bot.slack.payloads import ButtonClick, MessagePosted, said_to

log = structlog.get_logger(__name__)


def register(
    app: AsyncApp,
    command: str,
    desk: ConversationDesk,
    windows: WindowDesk,
    files: FormFileDesk,
    starts: StartDesk,
) -> None:
    """Take messages in threads and those that address the bot, and every button of a conversation.

    `command` is the slash command.
    """

    async def take_message(
        body: dict[str, Any], context: AsyncBoltContext, next: Callable[[], Awaitable[None]]
    ) -> None:
        # Before the listener, since Bolt acks an event before it calls one, saved or not (slack-platform §9.1).
        posted = MessagePosted.model_validate(body["event"])
        if posted.is_of_person and not (posted.is_reply and await taken(posted, context)):
            addressed = posted.addressed(context.bot_user_id)
            if addressed is not None:
                text = said_to(context.bot_user_id, posted.text)
                # Named like what became of its files: if they were taken, and it comes once more when no form asks any
                # longer, there is nothing new to answer.
                await starts.answer(addressed, text, command, delivery=FILES_OF.format(posted.delivery))
        await next()

    async def taken(posted: MessagePosted, context: AsyncBoltContext) -> bool:
        """Tell whether a reply is taken, as files for the form that asks there or as what is said in a conversation."""
        message = posted.to_core(context["team_id"], context.bot_user_id)
        left = await files.take_in(message, delivery=posted.delivery)
        return left is None or await desk.take_in(left, delivery=posted.delivery)

    async def handle_message() -> None:
        """Nothing is left to do."""

    async def handle_send(ack: AsyncAck, body: dict[str, Any]) -> None:
        click = ButtonClick.model_validate(body)
        await desk.release(click.value, click.user_id, click.at, delivery=click.delivery)
        await ack()

    async def handle_forget(ack: AsyncAck, body: dict[str, Any]) -> None:
        click = ButtonClick.model_validate(body)
        await desk.forget(click.value, click.user_id, delivery=click.delivery)
        await ack()

    async def handle_use_as_answer(ack: AsyncAck, body: dict[str, Any], respond: AsyncRespond) -> None:
        click = ButtonClick.model_validate(body)
        chosen = ids.decode_action(click.value)
        held = await desk.held(chosen.run_id)
        if held is None:
            await desk.use_as_answer(chosen.run_id, "", click.user_id, delivery=click.delivery)
            await ack()
            return
        entered = partial(as_entered, text=held.query)
        try:
            # The value names the run of the form as its action.
            opened = await windows.open(
                chosen.action_id,
                chosen.form_id,
                click.user_id,
                click.trigger_id,
                entered,
                delivery=click.delivery,
                kept_at=click.at,
            )
        except SlackError as exc:
            log.warning("Slack opened no window", error=str(exc))
            await ack()
            await respond(NOT_OPENED, response_type="ephemeral", replace_original=False)
            return
        if isinstance(opened, Form):
            along = given_to(held).get(MESSAGE_FILES, ())
            await files.take_along(chosen.action_id, opened.form_id, along, click.user_id, delivery=click.delivery)
            await desk.use_as_answer(chosen.run_id, opened.node_title, click.user_id, delivery=click.delivery)
        await ack()
        if isinstance(opened, DoesNotFit):
            said = does_not_fit(opened.form, opened.problems)
            await respond(said.text, said.blocks, response_type="ephemeral", replace_original=False)

    async def handle_suggestion(ack: AsyncAck, body: dict[str, Any]) -> None:
        click = ButtonClick.model_validate(body)
        run_id, index = ids.decode_suggestion(click.value)
        await desk.ask_suggested(run_id, index, click.user_id, click.at, delivery=click.delivery)
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
