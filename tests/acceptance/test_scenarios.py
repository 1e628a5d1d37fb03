"""Every scenario of the demo comes to its right end, over both transports."""

from __future__ import annotations

import pytest

from bot import manifest
from bot.manifest import BOT_SCOPES
from bot.playground.scenarios import SCENARIOS, play_scenario
from bot.playground.stage import EVENTS, SCOPES, Stage

pytestmark = [pytest.mark.acceptance, pytest.mark.asyncio(loop_scope="module")]

COMMANDS = {
    *("approve", "edit", "regenerate", "race", "elsewhere", "expired", "crash", "invalid", "long"),
    *("chat", "start-window", "window", "parallel", "odd", "files", "files-window", "files-wrong", "start-files"),
}


@pytest.mark.parametrize("name", SCENARIOS)
async def test_scenario_comes_to_its_right_end(name: str, stage: Stage, channel: str) -> None:
    """People get the outcome the scenario promises, with the right number of answers sent to Dify."""
    await play_scenario(SCENARIOS[name], stage, channel, lambda _: None, pace=0)


async def test_there_is_a_scenario_for_everything_promised() -> None:
    """`demo --list` names what the documentation names."""
    assert SCENARIOS.keys() == COMMANDS


async def test_the_simulated_workspace_grants_what_the_manifest_asks_for() -> None:
    """A call the bot has no scope for fails in the playground as it would in Slack."""
    assert set(SCOPES) == set(BOT_SCOPES)
    assert set(EVENTS) == set(manifest.EVENTS)
