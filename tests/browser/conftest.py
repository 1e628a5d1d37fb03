"""Chromium on the playground's page: a real bot, both simulated platforms, and people who look at it all."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, async_playwright, expect
from slack_sdk.web.async_client import AsyncWebClient

from bot.playground.page.samples import CHANNELS, EXAMPLES, sample_apps, settle
from bot.playground.page.server import listen, open_page
from bot.playground.slack import RateLimits
from bot.playground.stage import Stage
from tests.acceptance.conftest import SPEED, add_channel, open_stage
from tests.browser.visitor import NewVisitor, Visitor

PATIENCE_SECONDS = 30.0
"""How long anything may take to appear on a machine that does other things, too."""

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_ARGUMENTS = (
    "--no-sandbox",  # a check in a container has no other user to be
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here looks at the page in Chromium."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.browser)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def chromium() -> AsyncIterator[Browser]:
    """Chromium without a window."""
    program = os.environ.get("TEST_CHROMIUM") or next(filter(None, map(shutil.which, _NAMES)), None)
    if program is None:
        pytest.skip("no Chromium is installed, nor named by TEST_CHROMIUM")
    expect.set_options(timeout=PATIENCE_SECONDS * 1000)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=_ARGUMENTS)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    """Both platforms and the bot, for all tests of a module."""
    folder = tmp_path_factory.mktemp("bot")
    limits = RateLimits.scaled(SPEED)
    async with open_stage("socket", folder, sample_apps(), channels=CHANNELS, speed=SPEED, rate_limits=limits) as stage:
        settle(stage.workspace)
        yield stage


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def url(stage: Stage) -> AsyncIterator[str]:
    """Where the page is."""
    async with open_page(stage, sample_apps(), EXAMPLES, listen(0)) as url:
        yield url


@pytest.fixture
def channel(stage: Stage, request: pytest.FixtureRequest) -> str:
    """A channel of this test's own, with everybody and the bot in it."""
    return add_channel(stage, request.node.name.removeprefix("test_").replace("_", "-")[:24].strip("-"))


@pytest.fixture
def app(stage: Stage) -> AsyncWebClient:
    """The app's own client of Slack, for what the bot would not do at a test's word."""
    return AsyncWebClient(stage.workspace.bot_token, base_url=stage.slack.api_url)


@pytest_asyncio.fixture(loop_scope="module")
async def new_visitor(chromium: Browser, url: str, request: pytest.FixtureRequest) -> AsyncIterator[NewVisitor]:
    """Open the page in a browser of its own; in the end, none of them may have had any trouble."""
    folder: Path | None = request.config.getoption("--screenshots")
    async with AsyncExitStack() as stack:

        async def new(channel: str, **options: Any) -> Visitor:
            visitor = await stack.enter_async_context(Visitor.of(chromium, url, folder, **options))
            await visitor.go(channel)
            return visitor

        yield new


@pytest_asyncio.fixture(loop_scope="module")
async def visitor(new_visitor: NewVisitor, channel: str) -> Visitor:
    """Somebody who looks at the test's channel, as ann."""
    return await new_visitor(channel)
