"""The demo as somebody runs it who has just cloned the repository."""

from __future__ import annotations

import asyncio
import io
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import psutil
import pytest

from bot.playground import demo
from bot.playground.scenarios import SCENARIOS, Scenario, Scene, Unexpected

pytestmark = pytest.mark.acceptance

Start = Callable[..., Coroutine[Any, Any, asyncio.subprocess.Process]]


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    """Start `dify-slack-bot demo …` in an empty folder, with an environment that knows nothing."""
    started: list[asyncio.subprocess.Process] = []

    async def start(*arguments: str) -> asyncio.subprocess.Process:
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "bot", "demo", *arguments),
            env={"PATH": os.environ["PATH"], "TMPDIR": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)},
            cwd=tmp_path,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        started.append(child)
        return child

    yield start
    for child in started:
        if child.returncode is None:
            child.kill()
            await child.wait()


async def test_play_ends_well(start: Start, tmp_path: Path) -> None:
    """The thread is printed, the last line says what was right, the exit code is 0, nothing is left behind."""
    child = await start("--play", "approve", "--transport", "http")
    out, err = (part.decode() for part in await child.communicate())
    assert child.returncode == 0, out + err
    assert "ben clicks [Approve]" in out
    assert "#content" in out
    assert "✅ Approve · @ben" in out
    assert out.splitlines()[-1] == f"ok: {SCENARIOS['approve'].outcome}"
    assert err == ""
    assert max(len(line) for line in out.splitlines()) <= 100
    assert os.listdir(tmp_path) == []


async def test_list_names_every_scenario(start: Start) -> None:
    """A line each, nothing is started for it."""
    child = await start("--list")
    out, _ = await child.communicate()
    assert [line.split()[0] for line in out.decode().splitlines()] == list(SCENARIOS)
    assert child.returncode == 0


async def test_unknown_scenario_is_refused(start: Start) -> None:
    """The answer names those there are."""
    child = await start("--play", "nonsense")
    _, err = await child.communicate()
    assert child.returncode == 2
    assert "approve" in err.decode()
    assert "Traceback" not in err.decode()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_demo_prints_where_things_are_and_cleans_up_when_asked_to_end(
    start: Start, tmp_path: Path, number: signal.Signals
) -> None:
    """Whenever the end is asked for, the bot's process and every file are gone, and the exit code is 0."""
    child = await start()
    assert child.stdout
    printed = ""
    while "▶ ann: /dify" not in printed:
        line = await child.stdout.readline()
        assert line, printed
        printed += line.decode()
    children = psutil.Process(child.pid).children()
    assert len(children) == 1
    child.send_signal(number)
    out, err = await child.communicate()
    assert child.returncode == 0
    assert err == b""
    assert out.decode().splitlines()[-1] == "Everything has ended."
    assert all(place in printed for place in ("Slack API", "Dify API", "bot.sqlite3", "bot.log"))
    assert not any(bot.is_running() for bot in children)
    assert os.listdir(tmp_path) == []


async def test_a_wrong_outcome_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The verdict is a sentence that says what was expected, and the bot's log is kept."""

    async def act(scene: Scene) -> None:
        await scene.command("ann", "/dify help")
        raise Unexpected("It should be that pigs fly, and it is not.")

    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setitem(SCENARIOS, "pigs", Scenario("pigs", "Pigs fly.", "they did", 0, act))
    out = io.StringIO()
    went_well = await demo.play("pigs", "socket", out, 0)
    assert not went_well
    verdict = out.getvalue().splitlines()[-1]
    said, _, kept = verdict.partition(" The bot's log is kept in ")
    assert said == "FAILED: It should be that pigs fly, and it is not."
    assert os.listdir(tmp_path) == [Path(kept).parent.name]
