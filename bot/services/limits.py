"""What one Dify server can spare for the bot: a server has few connections, and other clients (recording 22)."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from enum import IntEnum

AT_ONCE = 4
"""Calls of one kind that a server gets at the same time; the rest wait, so that one with few connections stays free."""


OUTAGE_PAUSE = timedelta(seconds=5)
"""Pause before a server that did not answer is asked again."""


class Urgency(IntEnum):
    """Who goes first where a stream has to be waited for."""

    ANSWER = 0
    """Somebody has decided, and a run waits for it."""
    START = 1


class Places:
    """What one Dify server can spare of one kind, at most `limit` at the same time."""

    def __init__(self, limit: int) -> None:
        self._free = limit
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._numbers = itertools.count()

    def take(self) -> bool:
        """Take a place, if one is free; while somebody waits none is."""
        if not self._free:
            return False
        self._free -= 1
        return True

    async def wait(self, urgency: int) -> None:
        """Take a place as soon as it is one's turn: the lower `urgency` first, then whoever came first."""
        if self.take():
            return
        turn = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (urgency, next(self._numbers), turn))
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():
                self.give_back()
            raise

    @asynccontextmanager
    async def one(self, urgency: int) -> AsyncIterator[None]:
        """Wait for a place like `wait`, and give it back at the end."""
        await self.wait(urgency)
        try:
            yield
        finally:
            self.give_back()

    def give_back(self) -> None:
        """Hand a place that was taken to the next who waits, or free it."""
        while self._waiting:
            _, _, turn = heapq.heappop(self._waiting)
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1


class Outage:
    """Whether a server answers; while it does not, it is asked once after each pause, and nobody else asks."""

    def __init__(self) -> None:
        self._asked_at: datetime | None = None

    def may_ask(self, now: datetime) -> bool:
        """Tell whether to ask the server; who is told yes during an outage is the one who asks."""
        if self._asked_at is None:
            return True
        # A clock that was put back must not keep the server from being asked.
        if self._asked_at <= now < self._asked_at + OUTAGE_PAUSE:
            return False
        self._asked_at = now
        return True

    def silent(self, now: datetime) -> None:
        """The server gave no answer."""
        self._asked_at = now

    def over(self) -> None:
        """The server answered, whatever it said."""
        self._asked_at = None


class ServerLimits:
    """What all apps of one Dify server share, so that a server that does not answer holds up no other."""

    def __init__(self, streams: int) -> None:
        self.places = Places(streams)
        """For open streams: ten of them block every other request of a server with its default of ten connections
        (recording 22)."""
        self.looks = Places(AT_ONCE)
        """For asking how runs stand, by `bot.core.polling.LookUrgency`."""
        self.outage = Outage()
        """As those find it who ask how runs stand."""
        self.checks = asyncio.Semaphore(AT_ONCE)
        """For checking commands: a person waits for each, so they do not queue behind the looks."""
