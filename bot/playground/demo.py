"""The playground in a terminal: one play to watch, or a named scenario with its verdict."""

from __future__ import annotations

import asyncio
import math
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import TextIO

from rich.console import Console
from rich.text import Text

from bot.playground.bot_process import BotDied
from bot.playground.scenarios import SCENARIOS, Scenario, Unexpected, play_scenario, scenario_apps
from bot.playground.slack.state import Message
from bot.playground.slack.transcript import WIDTH, message_lines, transcript
from bot.playground.slack.workspace import Workspace
from bot.playground.stage import CHANNEL, Stage, Transport, open_stage

WATCHED = "regenerate"
"""The scenario that `demo` shows."""

_ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_MARGIN = 2


def scenario_list() -> str:
    """Return the scenarios' names and what happens in them, a line each."""
    longest = max(len(name) for name in SCENARIOS)
    return "\n".join(f"{scenario.name:<{longest}}  {scenario.description}" for scenario in SCENARIOS.values())


async def demo(transport: Transport, out: TextIO, pace: float) -> bool:
    """Show the content review from command to result, then stay up until the terminal or the system asks for an end.

    People take `pace` seconds before everything they do. Returns whether the review went as it should.
    """
    terminal = _Terminal(out)
    try:
        with _cancelled_by_signals():
            async with _playground(transport, terminal) as stage:
                terminal.places(stage)
                async with _narrated(stage.workspace, terminal):
                    problem = await _problem(SCENARIOS[WATCHED], stage, terminal, pace)
                if not _verdict(SCENARIOS[WATCHED], problem, stage, terminal):
                    return False
                terminal.say("\nEverything stays up. Leave with Ctrl-C; then nothing of it is kept.")
                await asyncio.Event().wait()
    except asyncio.CancelledError:
        terminal.say("Everything has ended.")
    except BotDied as died:
        terminal.fail(str(died))
        return False
    return True


async def play(name: str, transport: Transport, out: TextIO, pace: float) -> bool:
    """Play a scenario, print what people did and the channel as it stands then, and say whether it went as it should.

    Raises `KeyError` when there is no scenario of this name.
    """
    scenario, terminal = SCENARIOS[name], _Terminal(out)
    try:
        with _cancelled_by_signals():
            async with _playground(transport, terminal) as stage:
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
async def _playground(transport: Transport, terminal: _Terminal) -> AsyncIterator[Stage]:
    terminal.say("Starting a simulated Slack workspace, a simulated Dify server, and the bot between them …")
    with tempfile.TemporaryDirectory(prefix="dify-slack-bot-") as folder:
        async with open_stage(transport, Path(folder), scenario_apps()) as stage:
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

    def draw(self, lines: list[str], indent: int = 0) -> None:
        """Print lines that are laid out already."""
        for line in lines:
            self._console.print(Text.from_ansi((" " * indent + line).rstrip()), soft_wrap=True)

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


@asynccontextmanager
async def _narrated(workspace: Workspace, terminal: _Terminal) -> AsyncIterator[None]:
    """Print what appears and changes in the channel while the context is open."""
    narrator = _Narrator(workspace, terminal)
    narrating = asyncio.create_task(narrator.follow(), name="narrator")
    try:
        yield
    finally:
        narrating.cancel()
        with suppress(asyncio.CancelledError):
            await narrating
        narrator.catch_up()


class _Narrator:
    """Knows what of the channel was printed already."""

    def __init__(self, workspace: Workspace, terminal: _Terminal) -> None:
        self._workspace, self._terminal = workspace, terminal
        self._printed: dict[str, list[str]] = {}

    async def follow(self) -> None:
        """Print every change until cancelled."""
        while True:
            self._print(await self._workspace.wait_for(self._news, timeout=math.inf))

    def catch_up(self) -> None:
        """Print what has not been printed yet."""
        self._print(self._news())

    def _print(self, news: list[tuple[Message, list[str]]]) -> None:
        for message, lines in news:
            self._terminal.say("")
            self._terminal.draw(lines, indent=_margin(message))

    def _news(self) -> list[tuple[Message, list[str]]]:
        news = []
        for message in self._workspace.channel(CHANNEL).log.values():
            width = WIDTH - _margin(message)
            lines = message_lines(self._workspace, message, width, self._terminal.color)
            before = self._printed.get(message.ts)
            fresh = lines if before is None else _added(before, lines)
            self._printed[message.ts] = lines
            if fresh:
                news.append((message, fresh))
        return news


def _added(before: list[str], lines: list[str]) -> list[str]:
    """The head of a message and the lines it did not have; nothing where it only lost some."""
    added = [line for line in lines if line.strip() and line not in before]
    return [f"{lines[0]}  (changed)", *added] if added else []


def _margin(message: Message) -> int:
    return _MARGIN if message.is_root else 3 * _MARGIN
