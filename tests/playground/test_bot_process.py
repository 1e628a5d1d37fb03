"""The bot as a child: a start that goes wrong is told, and nothing is left running."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from bot.playground.bot_process import BotDied, BotProcess

PATIENCE_SECONDS = 60.0
"""How long a demo may take to start its bot, and a bot to notice that its demo is gone."""


async def never() -> None:
    """Wait for something that does not happen."""
    await asyncio.Event().wait()


async def test_bot_that_ends_at_once_is_told_with_its_last_words(tmp_path: Path) -> None:
    """An environment made from scratch names no token, whatever this test's own environment holds."""
    bot = BotProcess({}, tmp_path, never)
    with pytest.raises(BotDied, match=r"exit code 2\. Its last words: .*SLACK_BOT_TOKEN"):
        await bot.start()
    assert not bot.is_running


async def test_the_end_of_the_bot_is_told_to_who_waits(tmp_path: Path) -> None:
    """With its exit code, also when it comes before anybody waits."""
    bot = BotProcess({}, tmp_path, never)
    with pytest.raises(BotDied):
        await bot.start()
    assert await bot.ended() == 2
    assert "exit code 2. Its last words:" in (bot.trouble or "")
    await bot.kill()
    assert "exit code 2. Its last words:" in (bot.trouble or "")


async def test_an_end_that_was_asked_for_is_no_trouble(tmp_path: Path) -> None:
    """Killed while it starts: whoever started it is told, and nothing is wrong with the bot."""
    begun = asyncio.Event()

    async def begin() -> None:
        begun.set()
        await never()

    bot = BotProcess({}, tmp_path, begin)
    starting = asyncio.create_task(bot.start())
    await begun.wait()
    await bot.kill()
    with pytest.raises(BotDied, match="exit code -9"):
        await starting
    assert bot.trouble is None


async def test_bot_that_does_not_get_ready_is_ended(tmp_path: Path) -> None:
    """Waiting has an end, and the child does not outlive it."""
    bot = BotProcess({}, tmp_path, never, start_seconds=0.0)
    with pytest.raises(BotDied, match="was not ready within"):
        await bot.start()
    assert not bot.is_running
    assert "was not ready within" in (bot.trouble or "")


async def test_trouble_while_waiting_is_passed_on(tmp_path: Path) -> None:
    """What goes wrong in the readiness check is not taken for a death of the bot."""

    async def fail() -> None:
        raise ConnectionError("no such host")

    bot = BotProcess({}, tmp_path, fail)
    with pytest.raises(ConnectionError):
        await bot.start()
    assert not bot.is_running


async def test_the_bot_does_not_outlive_a_demo_that_is_killed(tmp_path: Path) -> None:
    """By `kill -9`, after which nobody is left to end it."""
    command = (sys.executable, "-m", "bot", "demo", "--no-browser", "--port", "0")
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    demo = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, env=environment)
    assert demo.stdout
    bots: list[psutil.Process] = []
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not (found := re.search(rb"its own process, number (\d+)", line := await demo.stdout.readline())):
                assert line, "the demo ended before it told of its bot"
        bots = [psutil.Process(int(found[1]))]
        demo.kill()
        await demo.wait()
        _, alive = await asyncio.to_thread(psutil.wait_procs, bots, PATIENCE_SECONDS)
        assert not alive
    finally:
        if demo.returncode is None:
            bots = psutil.Process(demo.pid).children()
            demo.kill()
            await demo.wait()
        for bot in bots:
            with suppress(psutil.NoSuchProcess):
                bot.kill()


async def test_only_what_tells_of_an_error_is_a_complaint(tmp_path: Path) -> None:
    """Tracebacks are no JSON and count, too."""
    bot = BotProcess({}, tmp_path, never)
    lines = [json.dumps({"level": level, "event": level}) for level in ("info", "warning", "error", "critical")]
    bot.log.write_text("\n".join([*lines, "Traceback (most recent call last):"]))
    assert bot.complaints() == [*lines[2:], "Traceback (most recent call last):"]


def test_what_was_never_started_has_no_number(tmp_path: Path) -> None:
    """Asking for it is a mistake of the caller."""
    with pytest.raises(RuntimeError):
        _ = BotProcess({}, tmp_path, never).pid
