"""The bot as its own process between the two simulated platforms, shared by the tests of a module."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import pytest_asyncio

from bot.playground import stage as playground
from bot.playground.dify import App
from bot.playground.dify.apps import all_apps
from bot.playground.dify.graph import End, HumanInput, Llm, action
from bot.playground.scenarios import Scene, scenario_apps
from bot.playground.slack import Channel, RateLimits
from bot.playground.stage import Stage, Transport
from tests.refusals import watched
from tests.store.conftest import postgres_url

__all__ = ["postgres_url"]

SPEED = 20.0
"""How much faster than a real one the simulated Dify is."""

ACK_TIMEOUT = 30.0
"""Seconds; a real Slack's 3 s are for the tests that are about them."""


def apps() -> dict[str, App]:
    """Every sample app under the name people type."""
    return scenario_apps() | {app.name: app for app in all_apps() if app.name not in ("content_review", "pick")}


STORY = " ".join(f"word{number}" for number in range(1, 61))


def story(seconds: float) -> App:
    """A form, and after it `STORY`, written for so long (of a real server)."""
    return App(
        name="story",
        nodes=(
            HumanInput("ask", "Begin", content="Shall we?", actions=(action("go", "Go", "primary"),)),
            Llm("write", "Write", STORY, seconds=seconds),
            End("end", "End", {"story": ("write", "text")}),
        ),
        edges=("start -> ask", "ask.go -> write -> end"),
    )


@asynccontextmanager
async def open_stage(*given: Any, **settings: Any) -> AsyncIterator[Stage]:
    """Open a stage whose workspace refuses nothing (`tests.refusals`), and waits for an ack on a busy machine, too."""
    async with playground.open_stage(*given, **{"ack_timeout": ACK_TIMEOUT, **settings}) as stage:
        with watched(stage.workspace):
            yield stage


@pytest.fixture(scope="module", params=["socket", "http"])
def transport(request: pytest.FixtureRequest) -> Transport:
    """Both ways Slack reaches the bot; a module for which it makes no difference overrides it."""
    chosen: Transport = request.param
    return chosen


@pytest.fixture(scope="module")
def sample_apps() -> dict[str, App]:
    """What people can start; a module may override it."""
    return apps()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(
    transport: Transport, sample_apps: dict[str, App], tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Stage]:
    """Both platforms and the bot, for all tests of a module."""
    folder = tmp_path_factory.mktemp("bot")
    # Dify is many times faster than a real one, so Slack's limits per minute are stretched likewise.
    async with open_stage(transport, folder, sample_apps, speed=SPEED, rate_limits=RateLimits.scaled(SPEED)) as stage:
        yield stage


@pytest.fixture
def channel(stage: Stage, request: pytest.FixtureRequest) -> str:
    """A channel of this test's own, with everybody and the bot in it."""
    return add_channel(stage, re.sub(r"\W+", "-", request.node.name).strip("-"))


def add_channel(stage: Stage, name: str, *, with_bot: bool = True) -> str:
    """Add a channel with everybody in it, return its name."""
    members = {person.id for person in stage.workspace.people.values()}
    members |= {stage.workspace.bot.user_id} if with_bot else set()
    stage.workspace.channels[name] = Channel(stage.workspace.new_id("C"), name, members)
    return name


@pytest.fixture
def new_scene(stage: Stage, channel: str) -> Callable[[], Scene]:
    """Begin a scene in this test's channel."""
    return lambda: Scene(stage, channel, lambda _: None, pace=0)


@pytest.fixture
def scene(new_scene: Callable[[], Scene]) -> Iterator[Scene]:
    """A scene in which nothing may go wrong: no post twice, nobody pinged by accident, no call refused, no error."""
    scene = new_scene()
    yield scene
    scene.check_posts()
    scene.check_manners()
