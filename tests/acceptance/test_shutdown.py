"""SIGTERM: what is under way is finished and saved, the exit code is 0, and another process goes on at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.playground.bot_process import BotDied
from bot.playground.scenarios import DONE, Scene
from bot.playground.slack import RateLimits
from bot.playground.stage import CHANNEL, Stage
from tests.acceptance.conftest import SPEED, apps, open_stage

pytestmark = pytest.mark.acceptance

LONG_LEASE = {"LEASE_SECONDS": "600"}
"""Whoever waits for this one to lapse waits for longer than a test."""


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    """A bot over SQLite."""
    limits = RateLimits.scaled(SPEED)
    async with open_stage("socket", tmp_path, apps(), speed=SPEED, rate_limits=limits, settings=LONG_LEASE) as stage:
        yield stage


@pytest.fixture
async def pair(tmp_path: Path, postgres_url: str) -> AsyncIterator[Stage]:
    """Two processes over PostgreSQL."""
    async with open_stage(
        "socket",
        tmp_path,
        apps(),
        speed=SPEED,
        rate_limits=RateLimits.scaled(SPEED),
        processes=2,
        database_url=postgres_url,
        settings=LONG_LEASE,
    ) as stage:
        yield stage


async def test_submit_under_way_is_finished(stage: Stage) -> None:
    """Dify takes a second for its answer: the bot hears it out, and the restarted one has nothing to find out."""
    scene = Scene(stage, CHANNEL, lambda _: None, pace=0)
    root = await scene.start("ann", "/dify two_forms topic=tea")
    form = await scene.form(root, "No")
    stage.dify.delay_response("submit_form", SPEED)
    await scene.click("ben", form, "No")
    await stage.dify.wait_for(lambda: scene.submits)
    assert await stage.bot.terminate() == 0
    assert [each.status for each in scene.submits] == [200]
    before = len(stage.dify.requests)
    await stage.bot.start()
    await scene.reads(form, "✅ No", "@ben")
    await scene.reads(root, DONE)
    assert not [each for each in stage.dify.requests[before:] if "/form/human_input/" in each.path]
    assert len(scene.submits) == 1
    scene.check_posts()
    scene.check_manners()


async def test_submit_that_never_ends_does_not_hold_up_the_end(stage: Stage) -> None:
    """The bot leaves in time all the same; whether Dify took the answer is found out by the next one."""
    scene = Scene(stage, CHANNEL, lambda _: None, pace=0)
    root = await scene.start("ann", "/dify two_forms topic=tea")
    form = await scene.form(root, "No")
    stage.dify.delay_response("submit_form", 60 * SPEED)
    await scene.click("ben", form, "No")
    await stage.dify.wait_for(lambda: scene.submits)
    stage.dify.stop_worker()
    assert await stage.bot.terminate() == 0
    await stage.bot.start()
    await scene.reads(form, "✅ No", "@ben")
    stage.dify.start_worker()
    await scene.reads(root, DONE)
    assert len(scene.submits) == 1


@pytest.mark.postgres
async def test_the_other_process_goes_on_at_once(pair: Stage) -> None:
    """Runs that the leaving one followed come to their end with the other; no lease had to lapse for it."""
    scene = Scene(pair, CHANNEL, lambda _: None, pace=0)
    roots = [await scene.start("ann", f"/dify slow topic=tea{number}") for number in range(3)]
    root = await scene.start("ann", "/dify two_forms topic=tea")
    form = await scene.form(root, "No")
    pair.dify.delay_response("submit_form", SPEED)
    await scene.click("ben", form, "No")
    await pair.dify.wait_for(lambda: scene.submits)
    assert await pair.bots[0].terminate() == 0
    for each in (root, *roots):
        await scene.reads(each, DONE)
    await scene.reads(form, "✅ No", "@ben")
    assert len(scene.submits) == 1
    assert len(scene.starts) == 4
    scene.check_posts()
    scene.check_manners()


async def test_a_second_process_on_one_sqlite_file_is_refused(stage: Stage) -> None:
    """With one sentence that says what to do instead, once it has waited; the first one is not disturbed."""
    scene = Scene(stage, CHANNEL, lambda _: None, pace=0)
    root = await scene.start("ann", "/dify two_forms topic=tea")
    form = await scene.form(root, "No")
    second = stage.new_bot()
    with pytest.raises(BotDied, match=r"exit code 2\.") as died:
        await second.start()
    assert "waiting for another dify-slack-bot" in second.log.read_text()
    [refusal] = second.complaints()
    assert "another dify-slack-bot is using this database" in refusal
    assert "another dify-slack-bot" in str(died.value)
    assert "postgresql" in str(died.value).casefold()
    await scene.click("ben", form, "No")
    await scene.reads(form, "✅ No", "@ben")
    await scene.reads(root, DONE)
    scene.check_manners()


async def test_the_next_process_waits_for_one_that_drains(stage: Stage) -> None:
    """As a deployment does it that starts the new one while the old one ends: the new one takes the file over."""
    scene = Scene(stage, CHANNEL, lambda _: None, pace=0)
    root = await scene.start("ann", "/dify two_forms topic=tea")
    form = await scene.form(root, "No")
    stage.dify.delay_response("submit_form", 3 * SPEED)
    await scene.click("ben", form, "No")
    await stage.dify.wait_for(lambda: scene.submits)
    second = stage.new_bot()
    code, _ = await asyncio.gather(stage.bot.terminate(), second.start())
    assert code == 0
    await scene.reads(root, DONE)
    await scene.reads(form, "✅ No", "@ben")
    assert len(scene.submits) == 1
    assert await second.terminate() == 0
    scene.check_posts()
