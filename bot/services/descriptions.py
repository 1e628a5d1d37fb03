"""What the apps take, as Dify describes it: read anew where it counts, remembered where a person waits for a window."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from datetime import datetime, timedelta

from bot.core import command as grammar
from bot.core.model import FileLimits
from bot.core.ports import AppDescription, Clock, Dify
from bot.errors import DifyError, DifyUnauthorized, DifyUnavailable
from bot.services.limits import ServerLimits

LIMITS_WITHIN = 1.0
"""Seconds to learn how large files may be: whoever shares one waits for an ack."""

REMEMBERED = timedelta(minutes=1)
"""An app that is published anew may take other values."""

Describe = Callable[[str], Awaitable[AppDescription]]


class Descriptions:
    """Reads the descriptions of the apps that can be started."""

    def __init__(self, dify_of: Callable[[str], Dify], limits: Mapping[str, ServerLimits], clock: Clock) -> None:
        """`dify_of` gives the client of an app, `limits` what its server can spare, for every app."""
        self._dify_of = dify_of
        self._limits = limits
        self._clock = clock
        self._known: dict[str, tuple[datetime, AppDescription]] = {}
        self._reading: dict[str, asyncio.Task[AppDescription]] = {}

    @property
    def app_names(self) -> tuple[str, ...]:
        """The apps that can be started."""
        return tuple(sorted(self._limits))

    async def read(self, app: str) -> AppDescription:
        """Read what an app takes now.

        Raises:
            DifyError: Dify does not tell.
        """
        dify = self._dify_of(app)
        async with self._limits[app].checks:
            description = await dify.describe()
        self._known[app] = (self._clock.now(), description)
        return description

    async def within(self, seconds: float, app: str, *, anew: bool = False) -> AppDescription:
        """Return what an app takes, as it is remembered unless it is to be read `anew`, in at most so many seconds.

        What takes longer is read to its end all the same, and is then known to whoever asks next.

        Raises:
            DifyError: Dify does not tell, or not in time.
        """
        if not anew and (known := self._remembered(app)):
            return known
        reading = self._reading.get(app)
        if reading is None:
            reading = self._reading[app] = asyncio.create_task(self.read(app), name=f"description of {app}")
            reading.add_done_callback(lambda task: self._ended(app, task))
        try:
            async with asyncio.timeout(seconds):
                return await asyncio.shield(reading)
        except TimeoutError as exc:
            raise DifyUnavailable(f"{app} was not described within {seconds} s", sent=True) from exc

    async def file_limits(self, app: str) -> FileLimits:
        """Return how large files may be on the server of an app; the documented defaults where Dify does not tell."""
        try:
            return (await self.within(LIMITS_WITHIN, app)).file_limits
        except DifyError:
            known = self.last(app)
            return known.file_limits if known is not None else FileLimits()

    def last(self, app: str | None) -> AppDescription | None:
        """Return what an app took when it was last read, however long ago; None where that is not known."""
        return self._known[app][1] if app in self._known else None

    def _remembered(self, app: str) -> AppDescription | None:
        known = self._known.get(app)
        # A clock that was put back makes nothing younger.
        return known[1] if known and timedelta() <= self._clock.now() - known[0] < REMEMBERED else None

    def _ended(self, app: str, task: asyncio.Task[AppDescription]) -> None:
        del self._reading[app]
        if not task.cancelled():
            # Whoever still waits is told of it; nobody else misses it.
            task.exception()

    async def close(self) -> None:
        """Read nothing any more."""
        reading = list(self._reading.values())
        for task in reading:
            task.cancel()
        await asyncio.gather(*reading, return_exceptions=True)


async def only_fit(parsed: grammar.ParsedCommand, app_names: Iterable[str], describe: Describe) -> str | None:
    """Find the one app that takes every key of a command that does not say which it means."""
    if not parsed.pairs:
        return None

    async def described(app: str) -> AppDescription | None:
        with suppress(DifyError):
            return await describe(app)
        return None

    names = tuple(app_names)
    found = zip(names, await asyncio.gather(*map(described, names)), strict=True)
    return grammar.only_fit(parsed, {app: description for app, description in found if description})


def why_not_described(app: str, exc: DifyError) -> str:
    """Return why Dify does not tell what an app takes, as a sentence that says what to do."""
    match exc:
        case DifyUnauthorized():
            return f"Dify refuses the API key of {app}: ask whoever runs this bot to check it."
        case DifyUnavailable(status=404):
            return f"There is no Dify at the address that is set for {app}: ask whoever runs this bot to check it."
        case DifyUnavailable():
            return "Dify does not answer just now: try again in a minute."
        case _:
            return f"Dify cannot start {app}: {exc.message.removesuffix('.')}."
