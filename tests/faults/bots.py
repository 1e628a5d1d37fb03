"""The bots of a stage: forked by the zygote, killed, frozen and started again."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from bot.playground.slack import Workspace

CHECKOUT = Path(__file__).parents[2]
_START_SECONDS = 30.0
_LOOK_AGAIN = 0.02


class Zygote:
    """The process that forks bots (`tests.faults.victim`), while it is entered."""

    def __init__(self, complaints: Path) -> None:
        """What it writes to its standard error goes into the file `complaints`."""
        self._complaints = complaints
        self._child: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._started: dict[str, asyncio.Future[int]] = {}
        self._ended: dict[int, asyncio.Future[int]] = {}

    async def __aenter__(self) -> Self:
        with self._complaints.open("ab") as complaints:
            self._child = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "tests.faults.victim"),
                cwd=CHECKOUT,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=complaints,
                start_new_session=True,
            )
        assert self._child.stdout
        if not await self._child.stdout.readline():
            raise RuntimeError(f"the zygote did not come up: {self._complaints.read_text()[-2000:]}")
        self._reader = asyncio.create_task(self._read())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._child
        assert self._child.stdin
        self._child.stdin.close()
        await self._child.wait()
        if self._reader:
            self._reader.cancel()
            await asyncio.gather(self._reader, return_exceptions=True)

    async def start(self, name: str, **order: Any) -> tuple[int, asyncio.Future[int]]:
        """Fork a bot: its pid, and its exit code once it has ended (negative: the signal that ended it)."""
        assert self._child
        assert self._child.stdin
        started = self._started[name] = asyncio.get_running_loop().create_future()
        self._child.stdin.write(json.dumps({"name": name, **order}).encode() + b"\n")
        pid = await started
        return pid, self._ended[pid]

    async def _read(self) -> None:
        assert self._child
        assert self._child.stdout
        while line := await self._child.stdout.readline():
            said = json.loads(line)
            if "started" in said:
                self._ended[said["pid"]] = asyncio.get_running_loop().create_future()
                self._started.pop(said["started"]).set_result(said["pid"])
            else:
                self._ended.pop(said["ended"]).set_result(said["status"])


class Bot:
    """One bot: a place for one process after the other, all with the same settings."""

    def __init__(self, zygote: Zygote, name: str, **order: Any) -> None:
        self._zygote, self.name, self._order = zygote, name, order
        self._pid = 0
        self._starting = asyncio.Lock()
        self.ended: asyncio.Future[int] | None = None
        """The exit code of the present process, once it has one."""

    def twin(self, name: str) -> Bot:
        """Another bot with the same settings, not started."""
        return Bot(self._zygote, name, **self._order)

    @property
    def is_running(self) -> bool:
        """Whether it was started and has not ended."""
        return self.ended is not None and not self.ended.done()

    async def start(self) -> None:
        """Start it, unless it runs; returns before it is ready."""
        # Whoever is cancelled meanwhile must not leave a process behind that nobody knows of.
        await asyncio.shield(asyncio.ensure_future(self._start()))

    async def _start(self) -> None:
        async with self._starting:
            if not self.is_running:
                self._pid, self.ended = await self._zygote.start(self.name, **self._order)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, unless it has ended."""
        if self.is_running:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, number)

    async def kill(self) -> None:
        """End it at once."""
        async with self._starting:
            self.signal(signal.SIGKILL)
            if self.ended is not None:
                # Whoever is cancelled while waiting must not cancel the news for everybody else.
                await asyncio.wait({self.ended})


class Fleet:
    """All bots of a stage, on one database and in one workspace."""

    def __init__(
        self,
        zygote: Zygote,
        workspace: Workspace,
        environment: Mapping[str, str],
        folder: Path,
        points: Path,
        processes: int,
        sabotage: str | None = None,
    ) -> None:
        self._workspace = workspace
        self.bots = [
            Bot(
                zygote,
                f"bot{number}",
                environment=dict(environment),
                folder=str(folder),
                points=str(points),
                sabotage=sabotage,
            )
            for number in range(1, processes + 1)
        ]
        self._folder = folder

    async def start(self) -> None:
        """Start all that do not run, and wait until each takes deliveries.

        Raises:
            RuntimeError: one does not come up.
        """
        try:
            async with asyncio.timeout(_START_SECONDS):
                while not self._all_connected():
                    for bot in self.bots:
                        await bot.start()
                    await asyncio.sleep(_LOOK_AGAIN)
        except TimeoutError:
            raise RuntimeError(f"not every bot came up; the first one's last words: {self.last_words()}") from None

    def _all_connected(self) -> bool:
        running = all(bot.is_running for bot in self.bots)
        return running and len(self._workspace.courier.sockets.connections) >= len(self.bots)

    def last_words(self, name: str = "bot1") -> str:
        """The end of a bot's log."""
        log = self._folder / f"{name}.log"
        return log.read_text()[-3000:] if log.exists() else "none"

    async def close(self) -> None:
        """End all of them."""
        for bot in self.bots:
            await bot.kill()
