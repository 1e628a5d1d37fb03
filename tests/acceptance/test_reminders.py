"""People are reminded of a form that waits: in its thread, each time once, whatever happens to the bot."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
import pytest_asyncio

from bot.playground.dify.apps import two_forms
from bot.playground.scenarios import DONE, Scene
from bot.playground.slack import Message, RateLimits
from bot.playground.stage import Stage, Transport
from tests.acceptance.conftest import SPEED, open_stage
from tests.acceptance.passing_time import let_time_pass

pytestmark = [pytest.mark.acceptance, pytest.mark.asyncio(loop_scope="module")]

HALF = timedelta(hours=36, minutes=1)
"""A bit more than half of the three days that Dify gives by default."""

NEARLY_ALL = timedelta(hours=34, minutes=59)
"""So much later it is a bit less than an hour before the deadline."""


@pytest.fixture(scope="module")
def transport() -> Transport:
    """Nothing here comes from Slack."""
    return "socket"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(transport: Transport, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    """A bot that reminds of one app, and not of another."""
    folder: Path = tmp_path_factory.mktemp("bot")
    limits = RateLimits.scaled(SPEED)
    told = 'reminders = ["50%", "1h"]'
    async with open_stage(
        transport, folder, {"two_forms": two_forms()}, speed=SPEED, rate_limits=limits, app_settings=told
    ) as stage:
        yield stage


def reminders(scene: Scene, root: Message) -> list[Message]:
    """What reminds people in a run's thread."""
    return scene.workspace.find_all(channel=scene.channel, thread=root.ts, text="still waits for an answer")


async def reminded(scene: Scene, root: Message, times: int) -> None:
    """Wait until people were reminded so often."""
    await scene.until(lambda: len(reminders(scene, root)) >= times, f"people are reminded {times} time(s)")


async def all_due_is_done(scene: Scene) -> None:
    """Wait until the bot, which does whatever is due at once, has looked twice at a run that is new."""
    await scene.form(await scene.start("cleo", "/dify two_forms topic=coffee"), "OK")
    path = f"/v1/workflows/run/{list(scene.dify.runs)[-1]}"
    await scene.dify.wait_for(lambda: [each.path for each in scene.dify.requests].count(path) >= 2)


async def test_reminded_at_half_of_the_time_and_an_hour_before_the_deadline(stage: Stage, scene: Scene) -> None:
    """Once each, with the time that is left; the form itself is not redrawn, since somebody may be typing in it."""
    root = await scene.start("ann", "/dify two_forms topic=tea")
    form = await scene.form(root, "OK")
    drawn = len(form.history)
    await all_due_is_done(scene)
    assert reminders(scene, root) == []
    let_time_pass(stage, HALF)
    await reminded(scene, root, 1)
    assert scene.shows(reminders(scene, root)[0], "@ann", "First review", "1 day and 11 hours left")
    await all_due_is_done(scene)
    assert len(reminders(scene, root)) == 1
    let_time_pass(stage, NEARLY_ALL)
    await reminded(scene, root, 2)
    assert scene.shows(reminders(scene, root)[1], "59 minutes left") or scene.shows(reminders(scene, root)[1], "1 hour")
    await all_due_is_done(scene)
    assert len(reminders(scene, root)) == 2
    assert len(form.history) == drawn


async def test_what_fell_due_while_the_bot_was_dead_is_made_up_for_once(stage: Stage, scene: Scene) -> None:
    """Killed before the reminder and right after it: people get one."""
    root = await scene.start("ann", "/dify two_forms topic=tea")
    await scene.form(root, "OK")
    await stage.bot.kill()
    let_time_pass(stage, HALF)
    await stage.bot.start()
    await reminded(scene, root, 1)
    await stage.bot.kill()
    await stage.bot.start()
    await all_due_is_done(scene)
    assert len(reminders(scene, root)) == 1


async def test_nobody_is_reminded_of_a_form_that_is_decided(stage: Stage, scene: Scene) -> None:
    """Neither of one that was answered here nor of one that was answered elsewhere; of the next one, people are."""
    root = await scene.start("ann", "/dify two_forms topic=tea")
    form = await scene.form(root, "OK")
    await scene.click("ben", form, "OK")
    second = await scene.form(root, "No", "Second review")
    let_time_pass(stage, HALF)
    await reminded(scene, root, 1)
    assert scene.shows(reminders(scene, root)[0], "Second review")
    await scene.click("ben", second, "No")
    await scene.reads(root, DONE)
    let_time_pass(stage, NEARLY_ALL)
    await all_due_is_done(scene)
    assert len(reminders(scene, root)) == 1
