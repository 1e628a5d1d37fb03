"""The start window: the choice of an app in it, its submit, and the button that opens it again."""

from __future__ import annotations

from typing import Any

import structlog
from slack_bolt.app.async_app import AsyncApp
from slack_bolt.context.ack.async_ack import AsyncAck
from slack_bolt.context.respond.async_respond import AsyncRespond

from bot.core.ports import StartWindow
from bot.errors import StoreError
from bot.services.starts import NotNow, StartDesk, Wrong
from bot.slack import ids
from bot.slack.payloads import ButtonClick, StartEvent
from bot.slack.start_window import NOT_SAVED, SILENT, errors_at, notice_view, start_view

log = structlog.get_logger(__name__)


def register(app: AsyncApp, starts: StartDesk) -> None:
    """Take what people do in start windows."""

    async def handle_submit(ack: AsyncAck, body: dict[str, Any]) -> None:
        event = StartEvent.model_validate(body)
        try:
            outcome = await starts.submit(event.place, event.app, event.user_id, event.entered, event.carried())
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
        await starts.choose(event.view_id, event.hash, event.place, event.app, event.carried())

    async def handle_again(ack: AsyncAck, body: dict[str, Any], respond: AsyncRespond) -> None:
        click = ButtonClick.model_validate(body)
        why_not = await starts.again(click.value, click.trigger_id)
        await ack()
        if why_not is not None:
            await respond(why_not, response_type="ephemeral", replace_original=False)

    app.view_submission(ids.START_WINDOW)(handle_submit)
    app.action(ids.CHOOSE_APP)(handle_choice)
    app.action(ids.START_AGAIN)(handle_again)


async def _refuse(ack: AsyncAck, event: StartEvent, sentence: str) -> None:
    """Say that nothing was started, at the first field; a window without any has nothing to lose."""
    if event.first_input is None:
        await ack(response_action="update", view=notice_view(sentence))
    else:
        await ack(response_action="errors", errors=errors_at({event.first_input: sentence}))
