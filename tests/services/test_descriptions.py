"""What an app takes is read once for all who wait, remembered for a minute, and never waited for too long."""

from __future__ import annotations

import asyncio

import pytest

from bot.core.command import parse
from bot.errors import DifyUnauthorized, DifyUnavailable
from bot.playground.dify.apps import pick
from bot.services.descriptions import Descriptions, only_fit
from bot.services.limits import ServerLimits
from tests.services.stage import SPEED, Stage


@pytest.fixture
def descriptions(stage: Stage) -> Descriptions:
    limits = {app: ServerLimits(streams=8) for app in stage.settings.apps}
    return Descriptions(stage.parts.dify_of, limits, stage.clock)


async def test_all_who_wait_share_one_reading(stage: Stage, descriptions: Descriptions) -> None:
    found = await asyncio.gather(*(descriptions.within(10, "pick") for _ in range(5)))
    assert len(set(map(id, found))) == 1
    assert len(stage.requests("GET", "/parameters")) == 1


async def test_it_is_remembered_for_a_minute_unless_it_is_to_be_read_anew(
    stage: Stage, descriptions: Descriptions
) -> None:
    assert descriptions.last("pick") is None
    first = await descriptions.within(10, "pick")
    assert await descriptions.within(10, "pick") is first
    assert await descriptions.within(10, "pick", anew=True) is not first
    stage.clock.advance(seconds=61)
    await descriptions.within(10, "pick")
    assert len(stage.requests("GET", "/parameters")) == 3
    assert descriptions.last("pick") == first


async def test_a_clock_that_was_put_back_keeps_nothing_for_long(stage: Stage, descriptions: Descriptions) -> None:
    await descriptions.within(10, "pick")
    stage.clock.advance(hours=-1)
    await descriptions.within(10, "pick")
    assert len(stage.requests("GET", "/parameters")) == 2


async def test_what_takes_too_long_is_known_to_whoever_asks_next(stage: Stage, descriptions: Descriptions) -> None:
    stage.dify.delay_next("info", 0.3 * SPEED)
    with pytest.raises(DifyUnavailable, match="not described within"):
        await descriptions.within(0.01, "pick")
    await descriptions.within(10, "pick")
    assert len(stage.requests("GET", "/parameters")) == 1


async def test_a_refusal_is_told_and_not_remembered(stage: Stage, descriptions: Descriptions) -> None:
    stage.dify.fail_next("info", status=401)
    with pytest.raises(DifyUnauthorized):
        await descriptions.within(10, "pick")
    await descriptions.within(10, "pick")


async def test_nothing_is_read_once_it_is_closed(stage: Stage, descriptions: Descriptions) -> None:
    stage.dify.delay_next("info", 60 * SPEED)
    with pytest.raises(DifyUnavailable):
        await descriptions.within(0.01, "pick")
    await descriptions.close()
    assert not [task for task in asyncio.all_tasks() if task.get_name() == "description of pick"]


async def test_the_app_that_alone_takes_every_key_is_found_without_those_that_dify_does_not_describe(
    stage: Stage, descriptions: Descriptions
) -> None:
    names = ("pick", "every_field", "quick")
    assert await only_fit(parse("copies=2"), names, descriptions.read) is None
    stage.dify.revoke_key(pick())
    assert await only_fit(parse("copies=2"), names, descriptions.read) == "every_field"
    assert await only_fit(parse("some words"), names, descriptions.read) is None
