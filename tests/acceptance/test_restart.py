"""The bot goes away and comes back: nothing is lost and nothing happens twice."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.playground.dify.forms import FormStatus
from bot.playground.scenarios import DONE, Scene
from bot.playground.slack import RateLimits
from bot.playground.stage import CHANNEL, Stage, Transport
from tests.acceptance.conftest import SPEED, apps, open_stage

pytestmark = pytest.mark.acceptance


OVER_BOTH = pytest.mark.parametrize("transport", ["socket", "http"], indirect=True)


@pytest.fixture
def transport(request: pytest.FixtureRequest) -> Transport:
    """Socket Mode, unless a test wants both."""
    chosen: Transport = getattr(request, "param", "socket")
    return chosen


@pytest.fixture
async def stage(transport: Transport, tmp_path: Path) -> AsyncIterator[Stage]:
    """A bot of this test's own."""
    async with open_stage(transport, tmp_path, apps(), speed=SPEED, rate_limits=RateLimits.scaled(SPEED)) as stage:
        yield stage


@pytest.fixture
def scene(stage: Stage) -> Scene:
    """People in the channel."""
    return Scene(stage, CHANNEL, lambda _: None, pace=0)


@OVER_BOTH
async def test_form_is_answered_after_a_restart(stage: Stage, scene: Scene) -> None:
    """SIGTERM ends the bot with exit code 0 while a form is open; started again it takes the click."""
    root = await scene.start("ann", "/dify two_forms topic=tea")
    form = await scene.form(root, "OK", "First review")
    assert await stage.bot.terminate() == 0
    await stage.bot.start()
    await scene.click("ben", form, "OK")
    await scene.reads(form, "✅ OK", "@ben")
    second = await scene.form(root, "OK", "Second review")
    await scene.click("ann", second, "OK")
    await scene.reads(root, DONE)
    scene.check_answers(2)
    scene.check_manners()


@OVER_BOTH
async def test_form_is_answered_after_a_crash(stage: Stage, scene: Scene) -> None:
    """Kill -9 loses nothing either: what was typed before it is in the answer given after it."""
    root = await scene.start("ann", "/dify pick title=Menu size=S")
    form = await scene.form(root, "Accept")
    await scene.fill("ben", form, "remarks", "Less garlic")
    await scene.select("ben", form, "priority", "high")
    await stage.bot.kill()
    await stage.bot.start()
    await scene.click("ben", form, "Accept")
    await scene.result(root, "Less garlic", "high")
    scene.check_answers(1)
    scene.check_manners()


async def test_crash_while_an_answer_is_on_its_way(stage: Stage, scene: Scene) -> None:
    """The answer was acked and sent, its response never arrived: after a crash it counts once."""
    root = await scene.start("ann", "/dify pick title=Menu")
    form = await scene.form(root, "Accept")
    await scene.select("ben", form, "priority", "low")
    asked = scene.asked
    stage.dify.delay_next("submit_form", 60 * SPEED)
    await scene.click("ben", form, "Accept")
    await stage.dify.wait_for(lambda: scene.submits)
    await stage.bot.kill()
    await stage.bot.start()
    await scene.reads(form, "✅ Accept", "@ben")
    await scene.reads(root, DONE)
    assert asked.status is FormStatus.SUBMITTED
    assert [each.status for each in scene.submits].count(200) == 1


async def test_what_happened_meanwhile_is_caught_up_with(stage: Stage, scene: Scene) -> None:
    """A form answered elsewhere while no bot was running is shown as decided, and so is the run's end."""
    root = await scene.start("ann", "/dify two_forms topic=tea")
    form = await scene.form(root, "OK", "First review")
    await stage.bot.terminate()
    await stage.dify.answer_elsewhere(scene.asked, "no", {"note": "by mail"})
    await stage.bot.start()
    await scene.reads(form, "✅", "answered")
    await scene.reads(root, DONE)
    scene.check_answers(0)
    scene.check_manners()


async def test_run_is_followed_on_after_a_restart(stage: Stage, scene: Scene) -> None:
    """A run that was executing when the bot ended comes to its end in the thread."""
    root = await scene.start("ann", "/dify slow topic=tea")
    await scene.reads(root, "Running")
    assert await stage.bot.terminate() == 0
    await stage.bot.start()
    await scene.reads(root, DONE)
    assert len(scene.starts) == 1
    scene.check_manners()
