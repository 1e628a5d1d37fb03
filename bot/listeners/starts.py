"""The start window: the choice of an app in it, its submit, the buttons that open it, and the shortcut."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import structlog
from slack_bolt.app.async_app import AsyncApp
from slack_bolt.context.ack.async_ack import AsyncAck
from slack_bolt.context.async_context import AsyncBoltContext
from slack_bolt.context.respond.async_respond import AsyncRespond

from bot.core.ports import StartWindow
from bot.errors import StoreError
from bot.services.starts import NotNow, StartDesk, Wrong
from bot.slack import ids
from bot.slack.payloads import ButtonClick, MessageShortcut, StartClick, StartEvent
from bot.slack.starts.window import NOT_SAVED, SILENT, errors_at, notice_view, start_view

log = structlog.get_logger(__name__)


def register(app: AsyncApp, starts: StartDesk) -> None:
    """Take what people do in start windows."""

    async def handle_submit(ack: AsyncAck, body: dict[str, Any]) -> None:
        event = StartEvent.model_validate(body)
        try:
            outcome = await starts.submit(
                event.place, event.app, event.user_id, event.entered, event.carried, event.chosen()
            )
        except StoreError:
            log.exception("a start could not be saved")
            await _refuse(ack, event, NOT_SAVED)
            return
        match outcome:
            case None:
                await ack()
            case Wrong(problems):
                await ack(response_action="errors", errors=errors_at(event.blocks_of(problems)))
            case NotNow(reason):
                await _refuse(ack, event, SILENT.format(reason=reason))
            case StartWindow():
                await ack(response_action="update", view=start_view(outcome))

    async def handle_choice(ack: AsyncAck, body: dict[str, Any]) -> None:
        event = StartEvent.model_validate(body)
        # Dify may take its time: Start shows the fields, too.
        await ack()
        await starts.choose(event.view_id, event.hash, event.place, event.app, event.carried, event.chosen())

    async def handle_leave_out(ack: AsyncAck, body: dict[str, Any]) -> None:
        click = StartClick.model_validate(body)
        kept = tuple(file for file in click.place.files if file.field != click.value)
        await ack()
        # Slack keeps what is chosen in the fields, which stay the same.
        await starts.choose(
            click.view_id, click.hash, replace(click.place, files=kept), click.app, click.carried, chosen={}
        )

    async def handle_again(ack: AsyncAck, body: dict[str, Any], respond: AsyncRespond) -> None:
        click = ButtonClick.model_validate(body)
        why_not = await starts.again(click.value, click.trigger_id)
        await ack()
        if why_not is not None:
            await respond(why_not, response_type="ephemeral", replace_original=False)

    async def handle_message_button(
        ack: AsyncAck, body: dict[str, Any], context: AsyncBoltContext, respond: AsyncRespond
    ) -> None:
        click = ButtonClick.model_validate(body)
        channel_id, ts = ids.decode_message(click.value)
        # There is nothing to save, and Slack and Dify may take their time.
        await ack()
        why_not = await starts.open_upon(
            channel_id, ts, click.trigger_id, team_id=context["team_id"], bot_user_id=context.bot_user_id
        )
        if why_not is not None:
            await respond(why_not, response_type="ephemeral", replace_original=False)

    async def handle_shortcut(ack: AsyncAck, body: dict[str, Any], respond: AsyncRespond) -> None:
        shortcut = MessageShortcut.model_validate(body)
        why_not = await starts.open_with(shortcut.to_core(), shortcut.trigger_id)
        await ack()
        if why_not is not None:
            await respond(why_not, response_type="ephemeral", replace_original=False)

    app.message_shortcut(ids.RUN_WITH_MESSAGE)(handle_shortcut)
    app.view_submission(ids.START_WINDOW)(handle_submit)
    app.action(ids.CHOOSE_APP)(handle_choice)
    app.action(ids.LEAVE_OUT)(handle_leave_out)
    app.action(ids.START_AGAIN)(handle_again)
    app.action(ids.START_WITH_MESSAGE)(handle_message_button)


async def _refuse(ack: AsyncAck, event: StartEvent, sentence: str) -> None:
    """Say that nothing was started, at the first field; a window without any has nothing to lose."""
    if event.first_input is None:
        await ack(response_action="update", view=notice_view(sentence))
    else:
        await ack(response_action="errors", errors=errors_at({event.first_input: sentence}))
