"""Homes: what somebody has started, shown to them alone when they look at it, and while it moves soon after that."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog

from bot.core.effects import Transition
from bot.core.model import PickedMessage, Run
from bot.core.ports import Clock, Home, Slack, Store
from bot.errors import BotError, SlackUnavailable
from bot.services.starts import StartDesk

log = structlog.get_logger(__name__)

MOST_GOING, MOST_ENDED = 100, 5
"""Runs of a person that are looked at: those that go on, and those that have ended."""

KEPT_FRESH = timedelta(minutes=30)
"""After it was looked at, a Home is shown anew for so long; Slack does not tell when somebody looks away."""

MOST_KEPT_FRESH = 200
"""Homes at a time; beyond that, those that were looked at longest ago stay as they are."""

APART = 2.0
"""Seconds between two showings of one Home: what moves meanwhile is shown together."""


@dataclass(frozen=True, slots=True)
class _Viewer:
    team_id: str
    user_id: str
    channel_id: str
    looked_at: datetime
    problem: str = ""


class HomeDesk:
    """Shows people their Homes, and lets them start something there.

    Who looks at one is kept in mind, no more: what moves after the process has ended, or in another one, is shown at
    the next look. Until then a Home says as of when it is.
    """

    def __init__(
        self, store: Store, slack: Slack, starts: StartDesk, clock: Clock, command: str, app_names: tuple[str, ...]
    ) -> None:
        """`command` is the name of the slash command, `app_names` are the apps that can be started."""
        self._store = store
        self._slack = slack
        self._starts = starts
        self._clock = clock
        self._command = command
        self._app_names = app_names
        self._viewers: dict[str, _Viewer] = {}
        self._shown: dict[str, tuple[_Viewer, tuple[Run, ...]]] = {}
        """For which look a Home was shown last, and what it was made of."""
        self._stale: set[str] = set()
        self._showing: dict[str, asyncio.Task[None]] = {}

    def opened(self, team_id: str, user_id: str, channel_id: str) -> None:
        """Show somebody their Home; `channel_id` is their direct messages with the bot."""
        self._look(_Viewer(team_id, user_id, channel_id, self._clock.now()))

    async def start(self, team_id: str, user_id: str, channel_id: str, trigger_id: str) -> None:
        """Open the window in which to start an app in these direct messages; the Home says why it is not opened."""
        why_not = await self._starts.open_with(PickedMessage("", team_id, channel_id), trigger_id)
        self._look(_Viewer(team_id, user_id, channel_id, self._clock.now(), why_not or ""))

    def watch(self, transition: Transition) -> None:
        """Show the Home of whoever has started this run anew, if they have looked at it lately."""
        viewer = self._viewers.get(transition.run.starter_id)
        if viewer is not None and self._clock.now() - viewer.looked_at < KEPT_FRESH:
            self._show(viewer)

    async def close(self) -> None:
        """Show nothing any more."""
        showing = list(self._showing.values())
        for task in showing:
            task.cancel()
        await asyncio.gather(*showing, return_exceptions=True)

    def _look(self, viewer: _Viewer) -> None:
        self._viewers.pop(viewer.user_id, None)
        self._viewers[viewer.user_id] = viewer
        if len(self._viewers) > MOST_KEPT_FRESH:
            forgotten = next(iter(self._viewers))
            del self._viewers[forgotten]
            self._shown.pop(forgotten, None)
        self._show(viewer)

    def _show(self, viewer: _Viewer) -> None:
        user_id = viewer.user_id
        self._stale.add(user_id)
        if user_id not in self._showing:
            self._showing[user_id] = asyncio.create_task(self._show_while_stale(viewer), name=f"Home of {user_id}")

    async def _show_while_stale(self, viewer: _Viewer) -> None:
        """One after the other, so that nothing older is shown last; also to who is not kept in mind any more."""
        user_id = viewer.user_id
        try:
            while user_id in self._stale:
                self._stale.discard(user_id)
                await asyncio.sleep(await self._publish(self._viewers.get(user_id, viewer)))
        finally:
            del self._showing[user_id]

    async def _publish(self, viewer: _Viewer) -> float:
        """Show a Home as things stand, and return the seconds until it may be shown again."""
        try:
            runs = await self._store.started_by(viewer.team_id, viewer.user_id, going=MOST_GOING, ended=MOST_ENDED)
            shown = viewer, tuple(map(_visible, runs))
            if shown == self._shown.get(viewer.user_id):
                return APART
            going = sum(not run.status.ended for run in runs)
            await self._slack.publish_home(
                Home(
                    user_id=viewer.user_id,
                    channel_id=viewer.channel_id,
                    runs=runs,
                    is_cut=going == MOST_GOING,
                    command=self._command,
                    app_names=self._app_names,
                    at=self._clock.now(),
                    problem=viewer.problem,
                )
            )
            if viewer.user_id in self._viewers:
                self._shown[viewer.user_id] = shown
        except BotError as exc:
            log.warning("a Home is not shown", user=viewer.user_id, error=str(exc))
            if isinstance(exc, SlackUnavailable) and exc.retry_after is not None:
                # Too many at once are no reason to show somebody nothing.
                self._stale.add(viewer.user_id)
                return exc.retry_after
        except Exception:
            log.exception("a Home is not shown", user=viewer.user_id)
        return APART


def _visible(run: Run) -> Run:
    """Return the run without what is noted of the looks at it: one that learns nothing shows nobody's Home anew."""
    return replace(run, failed_looks=0, compared_at=None, compared_steps=None, poll_at=None)
