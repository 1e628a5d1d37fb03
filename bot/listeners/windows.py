"""A form's window: the button that opens it, what people do in it, and its submit."""

from __future__ import annotations

from typing import Any

import structlog
from slack_bolt.app.async_app import AsyncApp
from slack_bolt.context.ack.async_ack import AsyncAck
from slack_bolt.context.respond.async_respond import AsyncRespond

from bot.core.ports import WindowFill
from bot.errors import SlackError, StoreError, UnknownHere
from bot.services.windows import NotSent, TooLate, WindowDesk
from bot.slack import ids
from bot.slack.forms.window import NOT_OPENED, NOT_SAVED, NOT_SENT, error_block_id, notice, notice_of
from bot.slack.messages import notices
from bot.slack.payloads import ButtonClick, WindowEvent

log = structlog.get_logger(__name__)


def register(app: AsyncApp, windows: WindowDesk) -> None:
    """Take what people do with the windows of forms."""

    async def handle_open(ack: AsyncAck, body: dict[str, Any], respond: AsyncRespond) -> None:
        click = ButtonClick.model_validate(body)
        of = ids.decode_window(click.value)
        not_opened = False
        try:
            await windows.open(
                of.run_id, of.form_id, click.user_id, click.trigger_id, click.changed, delivery=click.delivery
            )
        except SlackError as exc:
            log.warning("Slack opened no window", error=str(exc))
            not_opened = True
        await ack()
        if not_opened:
            await respond(NOT_OPENED, response_type="ephemeral", replace_original=False)

    async def handle_change(ack: AsyncAck, body: dict[str, Any]) -> None:
        if _is_of_form(body):
            event = WindowEvent.model_validate(body)
            of = event.window
            try:
                await windows.keep(
                    of.run_id,
                    of.form_id,
                    event.user_id,
                    event.changed,
                    event.at,
                    typed_before=of.typed_before,
                    generation=of.generation,
                )
                await windows.see(of.run_id, of.form_id, event.user_id, event.holding)
            except (StoreError, UnknownHere) as exc:
                # The window holds it, and the next change brings it again.
                log.warning("a draft is not kept", form=of.form_id, error=str(exc))
        await ack()

    async def handle_begin_anew(ack: AsyncAck, body: dict[str, Any]) -> None:
        event = WindowEvent.model_validate(body)
        of = event.window
        fill = WindowFill(typed_before=of.typed_before, generation=of.generation + 1)
        # Whatever fails, the button stays there to be pressed again.
        try:
            await windows.begin_anew(of.run_id, of.form_id, event.user_id, event.view_id, event.at, fill)
        except (StoreError, UnknownHere) as exc:
            log.warning("a draft is not dropped", form=of.form_id, error=str(exc))
            await ack()
            return
        # What is left is to show it, for which Slack may take its time.
        await ack()
        try:
            await windows.refill(of.run_id, of.form_id, event.view_id, fill)
        except (StoreError, SlackError, UnknownHere) as exc:
            log.warning("a window is not begun anew", form=of.form_id, error=str(exc))

    async def handle_submit(ack: AsyncAck, body: dict[str, Any]) -> None:
        event = WindowEvent.model_validate(body)
        of = event.window
        try:
            outcome = await windows.submit(
                of.run_id,
                of.form_id,
                event.user_id,
                event.view_id,
                event,
                delivery=event.delivery,
            )
        except StoreError:
            log.exception("an answer could not be saved")
            await _refuse(ack, event, NOT_SAVED)
            return
        except UnknownHere:
            await ack(response_action="update", view=notice(NOT_SENT, notices.UNKNOWN_HERE))
            return
        match outcome:
            case None:
                await ack()
            case NotSent():
                await ack(response_action="errors", errors=_errors(of.generation, outcome))
            case TooLate(run, form, in_vain):
                said = notices.decided_in_window(run, form, event.user_id, in_vain)
                await ack(response_action="update", view=notice_of(form, said, event.changed(form)))

    async def handle_closed(ack: AsyncAck, body: dict[str, Any]) -> None:
        event = WindowEvent.model_validate(body)
        of = event.window
        try:
            await windows.closed(of.run_id, of.form_id, event.user_id, event.view_id)
            if event.tells_values:
                await windows.see(of.run_id, of.form_id, event.user_id, event.holding, closed=True)
        except (StoreError, UnknownHere) as exc:
            # Nobody looks at the window any more who could be told.
            log.warning("what a window held that was closed is not seen to", form=of.form_id, error=str(exc))
        await ack()

    app.action(ids.WINDOW)(handle_open)
    app.action(ids.FIELD)(handle_change)
    app.action(ids.BEGIN_ANEW)(handle_begin_anew)
    app.view_submission(ids.WINDOW)(handle_submit)
    app.view_closed(ids.WINDOW)(handle_closed)


def _is_of_form(body: dict[str, Any]) -> bool:
    """Tell a field in a form's window from the same in a message, which tells nobody of its changes."""
    return (body.get("view") or {}).get("callback_id") == ids.WINDOW


def _errors(generation: int, outcome: NotSent) -> dict[str, str]:
    errors = {
        error_block_id(outcome.form, name, generation): f"This {problem}" for name, problem in outcome.problems.items()
    }
    return errors | ({ids.DECISION: outcome.no_decision} if outcome.no_decision else {})


async def _refuse(ack: AsyncAck, event: WindowEvent, sentence: str) -> None:
    """Say that nothing was saved, at the first field; a window without any has nothing to lose."""
    if event.first_field is None:
        await ack(response_action="update", view=notice(NOT_SENT, sentence))
    else:
        await ack(response_action="errors", errors={event.first_field: sentence})
