"""Processes of a benchmark's own, asked over their standard input and output: one line of JSON there, one back."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from types import TracebackType
from typing import Any, Self

_LONGEST_LINE = 2**24
_END_SECONDS = 10.0


class Child:
    """Runs a module that calls `serve`, while it is entered."""

    def __init__(self, module: str) -> None:
        self._module = module
        self._child: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        self._child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", self._module),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=_LONGEST_LINE,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        child = self._running()
        assert child.stdin
        child.stdin.close()
        try:
            async with asyncio.timeout(_END_SECONDS):
                await child.wait()
        except TimeoutError:
            child.kill()
            await child.wait()

    @property
    def pid(self) -> int:
        """The operating system's number for it."""
        return self._running().pid

    async def call(self, method: str, **arguments: Any) -> Any:
        """Let the other side call this method and return what it returns; one call at a time.

        Raises:
            RuntimeError: it raised there, or the process ended; its standard error says why.
        """
        child = self._running()
        assert child.stdin
        assert child.stdout
        child.stdin.write(json.dumps([method, arguments]).encode() + b"\n")
        line = await child.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._module} ended while it was asked to {method}")
        return json.loads(line)

    def _running(self) -> asyncio.subprocess.Process:
        assert self._child is not None, "used before it was entered"
        return self._child


async def serve(side: object) -> None:
    """Answer the calls of a `Child` with the coroutine methods of `side`, until standard input is closed."""
    calls = asyncio.StreamReader(limit=_LONGEST_LINE)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(calls), sys.stdin)
    while line := await calls.readline():
        method, arguments = json.loads(line)
        answer = await getattr(side, method)(**arguments)
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def cpu_seconds(pid: int) -> float:
    """Return the CPU time, user and system, that all threads of a process have used.

    Read from the process's own CPU-time clock, whose number Linux makes of the pid (clock_getcpuclockid(3)): /proc
    counts in steps of 10 ms, and a single stream costs about as much in a second.
    """
    return time.clock_gettime((~pid << 3) | 2)
