"""The page over a workspace and a Dify whose bot was never started: what is seen does not depend on it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from bot.playground.bot_process import BotProcess
from bot.playground.dify import App, Dify, DifyServer
from bot.playground.page.samples import EXAMPLES
from bot.playground.page.server import listen, open_page
from bot.playground.slack import RateLimits, SlackServer, Workspace
from bot.playground.stage import SHORTCUT, Stage
from tests.playground.page.browser import Browser, opened


async def _never() -> None:
    raise AssertionError("nobody starts this bot")


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    """Closes, in reverse, what the other fixtures opened."""
    async with AsyncExitStack() as stack:
        yield stack


@pytest.fixture
def sample_apps() -> dict[str, App]:
    """The apps under the names people type; a module may override it."""
    return {}


@pytest.fixture
async def stage(stack: AsyncExitStack, sample_apps: dict[str, App], tmp_path: Path) -> Stage:
    """Both platforms; everyone and the bot are in #content, ann alone is in #random."""
    workspace = Workspace(
        people=["ann", "ben", "cleo"],
        channels={"content": ["ann", "ben", "cleo", "bot"], "random": ["ann"]},
        shortcuts=(SHORTCUT,),
        rate_limits=RateLimits.off(),
        ack_timeout=0.01,
    )
    slack = await stack.enter_async_context(SlackServer(workspace))
    dify = Dify(sample_apps.values(), speed=20.0)
    dify_server = await stack.enter_async_context(DifyServer(dify))
    bot = BotProcess({}, tmp_path, _never)
    return Stage("socket", workspace, slack, dify, dify_server, (bot,), "", lambda: bot)


@pytest.fixture
async def url(stack: AsyncExitStack, stage: Stage, sample_apps: dict[str, App]) -> str:
    """Where the page is."""
    return await stack.enter_async_context(open_page(stage, sample_apps, EXAMPLES, listen(0)))


@pytest.fixture
async def page(stack: AsyncExitStack, url: str) -> Browser:
    """The page, open."""
    return await stack.enter_async_context(opened(url))
