"""The Home tab of the app: shown when somebody looks at it, and the button in it that starts an app."""

from __future__ import annotations

from typing import Any

from slack_bolt.app.async_app import AsyncApp
from slack_bolt.context.ack.async_ack import AsyncAck
from slack_bolt.context.async_context import AsyncBoltContext

from bot.services.homes import HomeDesk
from bot.slack import ids
from bot.slack.payloads import HomeClick, HomeOpened


def register(app: AsyncApp, desk: HomeDesk) -> None:
    """Take what people do in their Homes."""

    async def handle_opened(body: dict[str, Any], context: AsyncBoltContext) -> None:
        # Acked before, as Bolt does with every event (slack-platform §9.1); it comes for the other tab, too.
        opened = HomeOpened.model_validate(body["event"])
        if opened.tab == "home":
            desk.opened(context["team_id"], opened.user, opened.channel)

    async def handle_start(ack: AsyncAck, body: dict[str, Any], context: AsyncBoltContext) -> None:
        click = HomeClick.model_validate(body)
        await desk.start(context["team_id"], click.user.id, click.value, click.trigger_id)
        await ack()

    app.event("app_home_opened")(handle_opened)
    app.action(ids.START_HERE)(handle_start)
