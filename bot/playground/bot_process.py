"""The bot as a child of its own, started from an environment made from scratch."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

STOP_SECONDS = 15.0
_PACKAGE = Path(__file__).parents[2]
_LAST_LINES = 15


class BotDied(Exception):
    """The bot ended, or did not do in time what it was asked to; the end of its log is added as a note."""

    def __init__(self, what: str, log: Path) -> None:
        lines = log.read_text().splitlines()
        super().__init__(f"{what} Its last words: {lines[-1]!r}" if lines else what)
        self.add_note("\n".join(lines[-_LAST_LINES:]))


class BotProcess:
    """Runs `python -m bot run` while it is entered, and leaves nothing running behind, not even by `kill -9`.

    `environment` is all the bot gets to know, but for the path to programs and to this package. `folder` is where it
    runs and where its log is kept, `ready` returns as soon as it can be talked to, after `start_seconds` at most.
    """

    def __init__(
        self,
        environment: Mapping[str, str],
        folder: Path,
        ready: Callable[[], Awaitable[object]],
        start_seconds: float = 120.0,
    ) -> None:
        self._environment = {"PATH": os.environ.get("PATH", ""), "PYTHONPATH": str(_PACKAGE), **environment}
        self._folder = folder
        self._ready = ready
        self._start_seconds = start_seconds
        self._child: asyncio.subprocess.Process | None = None
        self._was_ready = False
        self._ended_on_purpose = False
        self._failed_start = ""
        self.log = folder / "bot.log"
        """What the bot wrote to its standard error, over all its starts."""

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.is_running:
            await self.terminate()

    @property
    def pid(self) -> int:
        """The operating system's number for it. Raises `RuntimeError` before the first start."""
        return self._started().pid

    @property
    def is_running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._child is not None and self._child.returncode is None

    @property
    def is_ready(self) -> bool:
        """Whether it runs and could be talked to after this start."""
        return self._was_ready and self.is_running

    @property
    def trouble(self) -> str | None:
        """Why it does not run although nobody ended it, as a sentence; None where all is as it should be."""
        if self._child is None or self._child.returncode is None or self._ended_on_purpose:
            return None
        return self._failed_start or str(self._death(self._child.returncode))

    async def start(self) -> None:
        """Start it, on the database it had before, and wait until it is ready. Raises `BotDied`."""
        self._was_ready, self._ended_on_purpose, self._failed_start = False, False, ""
        # A folder of its own keeps a developer's `.env` out, a session of its own the terminal's Ctrl-C.
        with self.log.open("ab") as log:
            self._child = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "bot.playground.tied", "bot", "run"),
                env=self._environment,
                cwd=self._folder,
                stdin=asyncio.subprocess.PIPE,  # its other end closes with this process
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            await self._get_ready(self._child)
        except BaseException as error:
            await self._kill(self._child)
            self._failed_start = str(error)
            raise
        self._was_ready = True

    async def terminate(self) -> int:
        """Ask it to end (SIGTERM) and return its exit code. Raises `BotDied` when it does not end in time."""
        child = self._started()
        self._ended_on_purpose = True
        child.terminate()
        try:
            async with asyncio.timeout(STOP_SECONDS):
                return await child.wait()
        except TimeoutError:
            raise BotDied(f"The bot did not end within {STOP_SECONDS:.0f} s of SIGTERM.", self.log) from None
        finally:
            await self.kill()

    async def kill(self) -> None:
        """End it at once (SIGKILL), as a crash would; nothing happens when it has ended."""
        child = self._started()
        self._ended_on_purpose |= self.is_running
        await self._kill(child)

    @staticmethod
    async def _kill(child: asyncio.subprocess.Process) -> None:
        if child.returncode is None:
            child.kill()
        await child.wait()

    async def ended(self) -> int:
        """Wait until it has ended, for whatever reason, and return its exit code (negative: the signal's number)."""
        return await self._started().wait()

    def complaints(self) -> list[str]:
        """The lines of its log that tell of an error: a bug of ours, whatever the platforms did."""
        return [line for line in self.log.read_text().splitlines() if _level(line) in ("error", "critical")]

    async def _get_ready(self, child: asyncio.subprocess.Process) -> None:
        ready = asyncio.ensure_future(self._ready())
        ended = asyncio.ensure_future(child.wait())
        try:
            await asyncio.wait((ready, ended), timeout=self._start_seconds, return_when=asyncio.FIRST_COMPLETED)
            if ended.done():
                raise self._death(ended.result())
            if not ready.done():
                raise BotDied(f"The bot was not ready within {self._start_seconds:.0f} s.", self.log)
            await ready
        finally:
            for waiting in (ready, ended):
                waiting.cancel()
            await asyncio.gather(ready, ended, return_exceptions=True)

    def _death(self, exit_code: int) -> BotDied:
        return BotDied(f"The bot ended with exit code {exit_code}.", self.log)

    def _started(self) -> asyncio.subprocess.Process:
        if self._child is None:
            raise RuntimeError("the bot was never started")
        return self._child


def _level(line: str) -> str:
    """The level of a line of the JSON log; what is no JSON was not logged on purpose, such as a traceback."""
    try:
        entry: Any = json.loads(line)
    except ValueError:
        return "error"
    return str(entry.get("level", "")) if isinstance(entry, dict) else "error"


def free_port(host: str) -> int:
    """Return a port nobody listens on."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])
