"""The bot's process as the page shows and drives it: killed as by a crash, and started again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Literal

from bot.playground.bot_process import BotProcess
from bot.playground.page.feed import Entry, plain
from bot.playground.page.protocol import BotDoc

_State = Literal["starting", "running", "stopped"]


class BotSide:
    """The document of the process."""

    def __init__(self, bot: BotProcess) -> None:
        self._bot = bot
        self._seen: tuple[_State, int | None] | None = None
        self._since = 0.0

    def __call__(self) -> Iterator[Entry]:
        """How the process stands now, and since when it was seen to."""
        bot = self._bot
        state: _State = "running" if bot.is_ready else "starting" if bot.is_running else "stopped"
        seen = state, bot.pid if bot.is_running else None
        if seen != self._seen:
            self._seen, self._since = seen, time.time()
        document: BotDoc = {"state": state, "pid": seen[1], "since": self._since, "error": bot.trouble}
        yield plain("bot", document)


class BotDesk:
    """Actions on the process."""

    def __init__(self, bot: BotProcess) -> None:
        self._bot = bot
        self._starting = asyncio.Lock()

    async def kill_bot(self) -> None:
        """End it at once (kill -9)."""
        if not self._bot.is_running:
            raise ValueError("The bot does not run.")
        await self._bot.kill()

    async def start_bot(self) -> None:
        """Start it again, and wait until it is ready."""
        if self._bot.is_running or self._starting.locked():
            raise ValueError("The bot runs already, or is about to.")
        async with self._starting:
            await self._bot.start()
