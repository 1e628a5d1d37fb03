"""The windows of a workspace: opened for whoever pressed something, and changed while they are open."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from slack_sdk.models.views import View
from slack_sdk.web.async_slack_response import AsyncSlackResponse

from bot.core.giving_out import without_images
from bot.core.model import Form, Run
from bot.core.ports import Home, StartWindow, WindowFill
from bot.errors import SlackRejected, SlackUnavailable
from bot.slack.delivery.limits import Importance
from bot.slack.delivery.web_api import PUBLISH, WebApi
from bot.slack.forms.window import notice_of, window
from bot.slack.home import home_view
from bot.slack.messages.outcome import outcome
from bot.slack.starts.window import start_view
from bot.slack.text import mrkdwn

_TRIGGER_LIVES = 2.0
"""Seconds: three in all, of which Slack has used some, and the ack is to come in time too (slack-platform §4.1)."""

_VIEW_REFUSED = "invalid_arguments"
"""Slack's code for a view that holds what it does not show [believed]."""


class Views:
    """Calls for windows stand in no line: what somebody waits for is shown at once or not at all."""

    def __init__(self, web: WebApi) -> None:
        self._web = web

    async def open_start(self, trigger_id: str, window: StartWindow) -> None:
        """Open a start window for the person whose trigger this is, at once or not at all.

        Raises:
            SlackUnavailable: no answer while the trigger lives, of which asking Dify has used a part; 5xx or 429.
            SlackRejected: any other refusal.
        """
        await self._open_view(trigger_id, await asyncio.to_thread(start_view, window), _TRIGGER_LIVES / 2)

    async def change_start(self, view_id: str, seen: str, window: StartWindow) -> None:
        """Let an open start window show this, if it still shows what has the hash `seen`.

        Raises:
            SlackUnavailable: no answer, 5xx or 429.
            SlackRejected: it shows something else, or is closed; or any other refusal.
        """
        await self._web.ask(
            "views.update", view_id=view_id, hash=seen, view=await asyncio.to_thread(start_view, window)
        )

    async def publish_home(self, home: Home) -> None:
        """Let somebody's Home tab show this from now on.

        Raises:
            SlackUnavailable: no answer, 5xx or 429, or its turn does not come soon.
            SlackRejected: any other refusal.
        """
        await self._web.gate.turn(PUBLISH, None, Importance.REFRESH, home.user_id)
        workspace_url = await self._web.workspace_url()
        view = await asyncio.to_thread(home_view, home, workspace_url)
        await self._web.ask(PUBLISH, user_id=home.user_id, view=view)

    async def open_window(self, trigger_id: str, run: Run, form: Form, fill: WindowFill) -> str:
        """Open a form's window for the person whose trigger this is, at once or not at all; return the view's id.

        Raises:
            SlackUnavailable: no answer while the trigger lives (slack-platform §4.1), 5xx or 429.
            SlackRejected: any other refusal.
        """
        opened = await self._window("views.open", run, form, fill, trigger_id=trigger_id)
        return str(opened["view"]["id"])

    async def refill_window(self, view_id: str, run: Run, form: Form, fill: WindowFill) -> None:
        """Let an open window hold this instead of what it holds, at once or not at all.

        Raises:
            SlackUnavailable: no answer while the ack of the click is due (slack-platform §4.1), 5xx or 429.
            SlackRejected: any other refusal.
        """
        await self._window("views.update", run, form, fill, view_id=view_id)

    async def end_window(self, view_id: str, run: Run, form: Form, values: Mapping[str, str | None]) -> None:
        """Say in an open window what became of its form, and give back what was entered there in vain."""
        said = f"{mrkdwn.bold(form.node_title)}: {outcome(run, form)}"
        await self._web.ask(
            "views.update", view_id=view_id, view=await asyncio.to_thread(notice_of, form, said, values)
        )

    async def _open_view(self, trigger_id: str, view: View | dict[str, Any], within: float) -> str:
        opened = await self._at_once("views.open", within, trigger_id=trigger_id, view=view)
        return str(opened["view"]["id"])

    async def _window(self, method: str, run: Run, form: Form, fill: WindowFill, **where: str) -> AsyncSlackResponse:
        """Show a form's window, with names in the places of its images where Slack does not show these."""
        view = await asyncio.to_thread(window, run, form, fill)
        has_images = any(block["type"] == "image" for block in view["blocks"])
        try:
            return await self._at_once(method, _TRIGGER_LIVES, view=view, **where)
        except SlackRejected as refused:
            if not has_images or refused.code != _VIEW_REFUSED:
                raise
        without = await asyncio.to_thread(window, without_images(run), form, fill)
        return await self._at_once(method, _TRIGGER_LIVES, view=without, **where)

    async def _at_once(self, method: str, within: float, **arguments: Any) -> AsyncSlackResponse:
        try:
            async with asyncio.timeout(within):
                return await self._web.ask(method, **arguments)
        except TimeoutError as exc:
            raise SlackUnavailable("Slack did not show the window in time") from exc
