"""The card of a form: the menu that says which field a file is for, and the button that takes it back."""

from __future__ import annotations

from typing import Any

from slack_bolt.app.async_app import AsyncApp
from slack_bolt.context.ack.async_ack import AsyncAck

from bot.services.form_files import FormFileDesk
from bot.slack import ids
from bot.slack.payloads import ButtonClick, MenuChoice


def register(app: AsyncApp, files: FormFileDesk) -> None:
    """Take what people do with the card of any form."""

    async def handle_place(ack: AsyncAck, body: dict[str, Any]) -> None:
        choice = MenuChoice.model_validate(body)
        run_id, attachment_id = ids.decode_place_block(choice.block_id)
        await files.place(run_id, attachment_id, choice.index, choice.user_id, delivery=choice.delivery)
        await ack()

    async def handle_remove(ack: AsyncAck, body: dict[str, Any]) -> None:
        click = ButtonClick.model_validate(body)
        run_id, attachment_id = ids.decode_attachment(click.value)
        await files.remove(run_id, attachment_id, click.user_id, delivery=click.delivery)
        await ack()

    app.action(ids.PLACE_FILE)(handle_place)
    app.action(ids.REMOVE_FILE)(handle_remove)
