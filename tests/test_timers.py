"""The alarm rings at the earliest moment asked for, and once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from bot.timers import AlarmClock


class Bell:
    def __init__(self) -> None:
        self.rung = 0
        self._heard = asyncio.Event()

    def ring(self) -> None:
        self.rung += 1
        self._heard.set()

    async def heard(self) -> None:
        async with asyncio.timeout(10):
            await self._heard.wait()
        self._heard.clear()


@pytest.fixture
def bell() -> Bell:
    return Bell()


@pytest.fixture
async def alarm(bell: Bell) -> AsyncIterator[AlarmClock]:
    clock = AlarmClock(bell.ring)
    clock.start()
    yield clock
    clock.stop()


async def test_a_moment_that_has_passed_rings_at_once(alarm: AlarmClock, bell: Bell) -> None:
    alarm.arm(datetime.now(UTC) - timedelta(days=1))
    await bell.heard()
    assert bell.rung == 1


async def test_an_earlier_moment_takes_the_place_of_a_later_one(alarm: AlarmClock, bell: Bell) -> None:
    alarm.arm(datetime.now(UTC) + timedelta(days=1))
    alarm.arm(datetime.now(UTC) + timedelta(milliseconds=50))
    await bell.heard()
    assert bell.rung == 1


async def test_a_later_moment_does_not_put_off_an_earlier_one(alarm: AlarmClock, bell: Bell) -> None:
    alarm.arm(datetime.now(UTC) + timedelta(milliseconds=50))
    alarm.arm(datetime.now(UTC) + timedelta(days=1))
    await bell.heard()


async def test_it_can_be_armed_again_after_it_rang(alarm: AlarmClock, bell: Bell) -> None:
    for _ in range(2):
        alarm.arm(datetime.now(UTC))
        await bell.heard()
    assert bell.rung == 2
