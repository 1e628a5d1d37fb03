"""What one Dify server can spare for the bot: a server has few connections, and other clients (recording 22)."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from enum import IntEnum

AT_ONCE = 4
"""Calls of one kind that a server gets at the same time; the rest wait, so that one with few connections stays free."""


class Urgency(IntEnum):
    """Who goes first where a stream has to be waited for."""

    ANSWER = 0
    """Somebody has decided, and a run waits for it."""
    START = 1


class StreamPlaces:
    """The open streams of one Dify server, at most `limit`.

    Ten open streams block every other request of a server with the default of ten connections (recording 22).
    """

    def __init__(self, limit: int) -> None:
        self._free = limit
        self._waiting: list[tuple[Urgency, int, asyncio.Future[None]]] = []
        self._numbers = itertools.count()

    def take(self) -> bool:
        """Take a place, if one is free; while somebody waits none is."""
        if not self._free:
            return False
        self._free -= 1
        return True

    async def wait(self, urgency: Urgency) -> None:
        """Take a place as soon as it is one's turn: the more urgent first, then whoever came first."""
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

    def give_back(self) -> None:
        """Hand a place that was taken to the next who waits, or free it."""
        while self._waiting:
            _, _, turn = heapq.heappop(self._waiting)
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1


class ServerLimits:
    """What all apps of one Dify server share, so that a server that does not answer holds up no other."""

    def __init__(self, streams: int) -> None:
        self.places = StreamPlaces(streams)
        self.looks = asyncio.Semaphore(AT_ONCE)
        """For asking how runs stand."""
        self.checks = asyncio.Semaphore(AT_ONCE)
        """For checking commands: a person waits for each, so they do not queue behind the looks."""
