"""The playground: its page to try everything on, and named scenarios with their verdicts, there or in the terminal."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
import tempfile
import webbrowser
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from rich.console import Console
from rich.text import Text

from bot.playground.bot_process import BotDied
from bot.playground.dify import App
from bot.playground.page.samples import CHANNELS, EXAMPLES, sample_apps, settle
from bot.playground.page.server import PortTaken, listen, open_page
from bot.playground.scenarios import SCENARIOS, Scenario, Unexpected, play_scenario, scenario_apps
from bot.playground.slack.transcript import WIDTH, transcript
from bot.playground.stage import CHANNEL, Stage, Transport, open_stage

_ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True)
class Page:
    """How the page is to be served: on `port` (0: any free one), and shown in a browser at once or not."""

    port: int
    in_browser: bool


def scenario_list() -> str:
    """Return the scenarios' names and what happens in them, a line each."""
    longest = max(len(name) for name in SCENARIOS)
    return "\n".join(f"{scenario.name:<{longest}}  {scenario.description}" for scenario in SCENARIOS.values())


async def demo(transport: Transport, out: TextIO, page: Page) -> bool:
    """Serve the page with nothing going on, until the terminal or the system asks for an end.

    Returns whether it came to that.
    """
    return await _on_page(None, transport, _Terminal(out), page, pace=0)


async def play(name: str, transport: Transport, out: TextIO, pace: float, page: Page | None = None) -> bool:
    """Play a scenario, and say whether it went as it should.

    People take `pace` seconds before everything they do. What came of it is printed; with a `page` it is to be seen
    there instead, until an end is asked for. Raises `KeyError` when there is no scenario of this name.
    """
    scenario, terminal = SCENARIOS[name], _Terminal(out)
    if page:
        return await _on_page(scenario, transport, terminal, page, pace)
    try:
        with _cancelled_by_signals():
            async with _playground(transport, terminal, scenario_apps()) as stage:
                terminal.say(f"{scenario.name}: {scenario.description}")
                problem = await _problem(scenario, stage, terminal, pace)
                terminal.say("")
                terminal.draw(transcript(stage.workspace, CHANNEL, color=terminal.color).splitlines())
                return _verdict(scenario, problem, stage, terminal)
    except asyncio.CancelledError:
        terminal.fail("it was interrupted")
    except BotDied as died:
        terminal.fail(str(died))
    return False


async def _on_page(
    scenario: Scenario | None, transport: Transport, terminal: _Terminal, page: Page, pace: float
) -> bool:
    """Serve the page, play a scenario on it if there is one, and stay up if that went well."""
    apps = sample_apps()
    try:
        with _cancelled_by_signals(), listen(page.port) as listening:
            async with (
                _playground(transport, terminal, apps) as stage,
                open_page(stage, apps, EXAMPLES, listening) as url,
            ):
                settle(stage.workspace)
                terminal.places(stage)
                terminal.say(f"\nOpen {url} – a Slack workspace and a Dify, both simulated. Ctrl-C ends everything.")
                if page.in_browser and _has_screen():
                    await asyncio.to_thread(webbrowser.open, url)
                if scenario:
                    terminal.say(f"\n{scenario.name}: {scenario.description}")
                    problem = await _problem(scenario, stage, terminal, pace)
                    if not _verdict(scenario, problem, stage, terminal):
                        return False
                await asyncio.Event().wait()
    except asyncio.CancelledError:
        terminal.say("Everything has ended.")
    except (BotDied, PortTaken) as trouble:
        terminal.fail(str(trouble))
        return False
    return True


def _has_screen() -> bool:
    """Whether a browser would have a window of its own: one in the terminal would hide what is printed there."""
    return sys.platform != "linux" or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


async def _problem(scenario: Scenario, stage: Stage, terminal: _Terminal, pace: float) -> str | None:
    """Play a scenario and return what was not as it should have been."""
    try:
        await play_scenario(scenario, stage, CHANNEL, terminal.act, pace)
    except Unexpected as unexpected:
        return str(unexpected)
    return None


def _verdict(scenario: Scenario, problem: str | None, stage: Stage, terminal: _Terminal) -> bool:
    """Print whether a scenario went well; of one that did not, the bot's log is kept."""
    if problem is None:
        terminal.succeed(scenario.outcome)
        return True
    kept = Path(tempfile.mkdtemp(prefix="dify-slack-bot-")) / stage.bot.log.name
    shutil.copy(stage.bot.log, kept)
    terminal.fail(f"{problem} The bot's log is kept in {kept}.")
    return False


@asynccontextmanager
async def _playground(transport: Transport, terminal: _Terminal, apps: Mapping[str, App]) -> AsyncIterator[Stage]:
    terminal.say("Starting a simulated Slack workspace, a simulated Dify server, and the bot between them …")
    with tempfile.TemporaryDirectory(prefix="dify-slack-bot-") as folder:
        async with open_stage(transport, Path(folder), apps, channels=CHANNELS) as stage:
            yield stage


@contextmanager
def _cancelled_by_signals() -> Iterator[None]:
    """Cancel the present task when its end is asked for, so that everything it opened is closed."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None, "only called from within a task"
    for number in _ENDING_SIGNALS:
        loop.add_signal_handler(number, task.cancel)
    try:
        yield
    finally:
        for number in _ENDING_SIGNALS:
            loop.remove_signal_handler(number)


class _Terminal:
    """Writes to a terminal, or without colours to something else."""

    def __init__(self, out: TextIO) -> None:
        self._console = Console(file=out, width=WIDTH, markup=False, highlight=False, soft_wrap=True)
        self.color = self._console.is_terminal

    def say(self, line: str, style: str = "") -> None:
        """Print a line of our own."""
        self._console.print(Text(line, style), soft_wrap=True)

    def act(self, line: str) -> None:
        """Print what somebody does."""
        self.say(f"\n▶ {line}", "bold magenta")

    def succeed(self, outcome: str) -> None:
        """Print that all is well."""
        self.say(f"\nok: {outcome}", "bold green")

    def fail(self, problem: str) -> None:
        """Print what is wrong."""
        self.say(f"\nFAILED: {problem}", "bold red")

    def draw(self, lines: list[str]) -> None:
        """Print lines that are laid out already."""
        for line in lines:
            self._console.print(Text.from_ansi(line.rstrip()), soft_wrap=True)

    def places(self, stage: Stage) -> None:
        """Print where things are."""
        how = "over Socket Mode" if stage.transport == "socket" else "by signed HTTP requests"
        places = {
            "Slack API": stage.slack.api_url,
            "Dify API": stage.dify_server.base_url,
            "Bot": f"its own process, number {stage.bot.pid}, which Slack reaches {how}",
            "Database": stage.database_url,
            "Log": str(stage.bot.log),
        }
        self.say("")
        for name, place in places.items():
            self.say(f"  {name:<9}  {place}", "dim")
