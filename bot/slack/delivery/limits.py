"""Keeps to Slack's rate limits: per method and workspace, and per channel for new messages (slack-platform §8.1).

Whoever calls a method stands in its line first. Slack's own word, a 429, closes the line for as long as it asks; after
that calls go one by one, evenly spread, the important ones first.

A process counts its own calls alone. Several on one database take the whole limit each, so that Slack may have to say
its word; nothing is lost by that, since a refused call is made again.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from enum import IntEnum

from bot.errors import SlackUnavailable

_PER_MINUTE = {
    "chat.postMessage": 300,
    "chat.postEphemeral": 100,
    "files.info": 100,
    "chat.startStream": 20,
    "chat.appendStream": 100,
    "chat.stopStream": 20,
    "files.getUploadURLExternal": 100,
    "files.completeUploadExternal": 100,
    "views.publish": 100,
}
_TIER_3 = 50  # chat.update and what else is called here
_MINUTE = 60.0
_POSTS, _POSTS_WINDOW = 4, 4.0
"""New messages in one channel, and the seconds in which: one a second, a few at once."""

PATIENCE = 5.0
"""Seconds that a call waits in line; where it takes longer it is put back, and keeps its place."""
_GRACE = 5.0
"""Seconds that the place of one who was put back is kept beyond its time."""
_MANY_CHANNELS = 1_000


class Importance(IntEnum):
    """What goes first where not everything can; the number is the seconds for which others may go ahead of it."""

    DECISION = 0
    """What people wait for: forms, results, texts and what starts a thread."""
    REFRESH = 5
    """What only says how things stand."""
    REMINDER = 15
    COURTESY = 30


class Quota:
    """At most `limit` calls in any `period` of seconds, and none while Slack asked to be left alone."""

    def __init__(self, limit: int, period: float, now: Callable[[], float]) -> None:
        """`now` is a monotonic clock in seconds."""
        self._limit = limit
        self._period = period
        self._now = now
        self._called: deque[float] = deque()
        self._free_at = 0.0
        self._careful_until = 0.0

    def count(self) -> None:
        """Note a call that is being made."""
        self._called.append(self._now())
        if self._now() < self._careful_until:
            self._free_at = max(self._free_at, self._now() + self._period / self._limit)

    def hold(self, seconds: float) -> None:
        """Let no call pass for this long, and let them pass one by one for a while after it."""
        self._free_at = max(self._free_at, self._now() + seconds)
        self._careful_until = self._free_at + self._period

    def wait(self, ahead: int, reserve: int = 0) -> float:
        """Return the seconds until one may call that has so many ahead of it, and leaves so many calls to others."""
        now = self._now()
        while self._called and self._called[0] <= now - self._period:
            self._called.popleft()
        free_at = max(self._free_at, now)
        if now < self._careful_until:
            free_at += ahead * self._period / self._limit
        rounds, place = divmod(len(self._called) + ahead + reserve - self._limit, self._limit)
        if rounds >= 0:
            oldest = self._called[place] if place < len(self._called) else now
            free_at = max(free_at, oldest + (rounds + 1) * self._period)
        return max(free_at - now, 0.0)


@dataclass(slots=True)
class _Waiter:
    order: tuple[float, int]
    channel: str | None
    gives_up_at: float | None = None
    """Until when the place of one who was put back is kept."""


class Gate:
    """The lines of one workspace."""

    def __init__(
        self,
        rate_factor: float = 1.0,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`rate_factor` is how many times its published limits Slack is taken to allow."""
        self._rate_factor = rate_factor
        self._now = now
        self._sleep = sleep
        self._methods: dict[str, Quota] = {}
        self._channels: dict[str, Quota] = {}
        self._lines: dict[str, dict[str, _Waiter]] = {}
        self._numbers = itertools.count()

    async def turn(self, method: str, channel: str | None, importance: Importance, name: str) -> None:
        """Wait for the turn of a call; `name` tells it from others, also when it comes again.

        Calls of one name that wait at the same time stand in line as one.

        Raises:
            SlackUnavailable: it takes longer than `PATIENCE`. Nothing was sent; its place is kept until `retry_after`.
        """
        line = self._lines.setdefault(method, {})
        waiter = line.setdefault(name, _Waiter((self._now() + importance, next(self._numbers)), channel))
        waiter.gives_up_at = None
        try:
            while (wait := self._wait(method, waiter)) > 0:
                if wait > PATIENCE:
                    waiter.gives_up_at = self._now() + wait + _GRACE
                    text = f"{method} has to wait for {wait:.0f} s, or Slack would refuse it"
                    raise SlackUnavailable(text, code="ratelimited", retry_after=wait, sent=False)
                await self._sleep(wait)
            self.count(method, channel)
        finally:
            if waiter.gives_up_at is None:
                line.pop(name, None)

    def count(self, method: str, channel: str | None = None) -> None:
        """Note a call that is being made."""
        for quota in self._quotas(method, channel):
            quota.count()

    def hold(self, method: str, seconds: float) -> None:
        """Let no call of this method pass for this long: Slack asked for it."""
        self._method(method).hold(seconds)

    def wait(self, method: str, reserve: int = 0, channel: str | None = None) -> float:
        """Return the seconds until a call may be made that lets all others go first, and so many that may yet come."""
        waiting = list(self._waiting(method))
        wait = self._method(method).wait(len(waiting), reserve)
        if channel is not None:
            same = sum(other.channel == channel for other in waiting)
            wait = max(wait, self._channel(channel).wait(same))
        return wait

    def _wait(self, method: str, waiter: _Waiter) -> float:
        ahead = [other for other in self._waiting(method) if other.order < waiter.order]
        wait = self._method(method).wait(len(ahead))
        if waiter.channel is not None:
            same = sum(other.channel == waiter.channel for other in ahead)
            wait = max(wait, self._channel(waiter.channel).wait(same))
        return wait

    def _waiting(self, method: str) -> Iterator[_Waiter]:
        line, now = self._lines.get(method, {}), self._now()
        for name in [name for name, each in line.items() if each.gives_up_at is not None and each.gives_up_at < now]:
            del line[name]
        yield from line.values()

    def _quotas(self, method: str, channel: str | None) -> Iterator[Quota]:
        yield self._method(method)
        if channel is not None:
            yield self._channel(channel)

    def _method(self, method: str) -> Quota:
        if method not in self._methods:
            self._methods[method] = self._new_quota(_PER_MINUTE.get(method, _TIER_3), _MINUTE)
        return self._methods[method]

    def _channel(self, channel: str) -> Quota:
        quota = self._channels.pop(channel, None) or self._new_quota(_POSTS, _POSTS_WINDOW)
        self._channels[channel] = quota
        if len(self._channels) > _MANY_CHANNELS:
            del self._channels[next(iter(self._channels))]
        return quota

    def _new_quota(self, limit: int, period: float) -> Quota:
        return Quota(max(round(limit * self._rate_factor), 1), period, self._now)
