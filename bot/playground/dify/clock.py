"""Time of the simulated server: the wall clock for what it writes down, scaled seconds for what it waits."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Clock:
    """`now` gives Unix seconds; every duration of the server passes `speed` times faster than on a real one."""

    now: Callable[[], float]
    speed: float

    def scaled(self, seconds: float) -> float:
        """Return how long `seconds` of a real server last here."""
        return seconds / self.speed

    async def sleep(self, seconds: float) -> None:
        """Wait `seconds` of a real server."""
        await asyncio.sleep(seconds / self.speed)

    def timestamp(self) -> int:
        """Return the present as whole Unix seconds, the form of every time on the wire."""
        return int(self.now())
