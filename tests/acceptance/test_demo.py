"""The demo as somebody runs it who has just cloned the repository."""

from __future__ import annotations

import asyncio
import io
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import psutil
import pytest

from bot.playground import demo
from bot.playground.scenarios import SCENARIOS, Scenario, Scene, Unexpected
from tests.playground.page.browser import opened

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


async def served(child: asyncio.subprocess.Process) -> tuple[str, str]:
    """Read what is printed up to the page's address; return that, and all that was printed."""
    assert child.stdout
    printed = ""
    while not (found := re.search(r"Open (http://127\.0\.0\.1:\d+) ", printed)):
        line = await child.stdout.readline()
        assert line, printed
        printed += line.decode()
    return found[1], printed


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_demo_prints_where_things_are_and_cleans_up_when_asked_to_end(
    start: Start, tmp_path: Path, number: signal.Signals
) -> None:
    """Whenever the end is asked for, the bot's process and every file are gone, and the exit code is 0."""
    child = await start("--port", "0")
    _, printed = await served(child)
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


async def test_a_newcomer_gets_a_content_review_approved_on_the_page(start: Start) -> None:
    """With the first line that the page offers, and one click; the end is asked for while the page is open."""
    child = await start("--no-browser", "--port", "0")
    url, _ = await served(child)
    async with opened(url) as page:
        workspace = page.documents["workspace"]
        ann, ben, _ = (person["id"] for person in workspace["people"])
        channel, example = workspace["channels"][0], workspace["examples"][0]
        assert (await page.do("command", person=ann, channel=channel["id"], text=example["command"]))["error"] is None
        form = page.key(await page.until(lambda: page.message("Approve")))
        pressed = await page.do("click", person=ben, surface=form, field=page.field(form, "Approve"))
        assert pressed["error"] is None
        root = await page.until(lambda: page.message("review: ", "Done"))
        assert root["channel"] == channel["id"]
        assert [run["status"] for run in page.under("dify/runs/")] == ["succeeded"]
        assert page.under("refusals/") == []
        child.send_signal(signal.SIGINT)
        _, err = await child.communicate()
    assert (child.returncode, err) == (0, b"")


async def test_a_scenario_is_to_be_seen_on_the_page(start: Start) -> None:
    """It comes to its end, of which the terminal tells, and stays there to look at."""
    child = await start("--play", "race", "--page", "--port", "0")
    url, _ = await served(child)
    async with opened(url) as page:
        await page.until(lambda: page.message("Approve"))
        assert child.stdout
        while (line := (await child.stdout.readline()).decode()) and not line.startswith("ok: "):
            pass
        assert line == f"ok: {SCENARIOS['race'].outcome}\n"
        assert child.returncode is None
        child.send_signal(signal.SIGTERM)
        await child.communicate()
    assert child.returncode == 0


async def test_a_port_that_is_taken_is_told_before_anything_is_started(start: Start) -> None:
    """With what to do about it."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        child = await start("--port", str(port))
        out, err = await child.communicate()
    assert (child.returncode, err) == (1, b"")
    assert out.decode().strip() == (
        f"FAILED: Port {port} is in use. Choose another one with --port, or any free one with --port 0."
    )


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
