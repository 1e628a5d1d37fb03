"""The alarm rings at the earliest moment asked for, and once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta, tzinfo

import pytest

from bot.timers import AlarmClock


class Jumping(datetime):
    """The wall clock, which can be put forward and back; what measures time otherwise does not notice."""

    by = timedelta(0)

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Jumping:
        return super().now(tz) + cls.by


@pytest.fixture
def wall_clock(monkeypatch: pytest.MonkeyPatch) -> type[Jumping]:
    monkeypatch.setattr(Jumping, "by", timedelta(0))
    monkeypatch.setattr("bot.timers.datetime", Jumping)
    monkeypatch.setattr("apscheduler.schedulers.base.datetime", Jumping)
    return Jumping


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


async def test_it_can_be_armed_by_its_own_ring() -> None:
    bell = Bell()

    def ring() -> None:
        bell.ring()
        if bell.rung < 3:
            clock.arm(datetime.now(UTC))

    clock = AlarmClock(ring)
    clock.start()
    clock.arm(datetime.now(UTC))
    while bell.rung < 3:
        await bell.heard()
    clock.stop()


async def test_after_the_machine_slept_whatever_arms_it_makes_it_ring(
    alarm: AlarmClock, bell: Bell, wall_clock: type[Jumping]
) -> None:
    """The wait does not notice that its moment has passed; the next change of any run does."""
    alarm.arm(wall_clock.now(UTC) + timedelta(hours=1))
    wall_clock.by = timedelta(hours=2)
    alarm.arm(wall_clock.now(UTC) + timedelta(days=1))
    await bell.heard()
    assert bell.rung == 1


async def test_a_clock_that_is_put_back_keeps_it_from_nothing(
    alarm: AlarmClock, bell: Bell, wall_clock: type[Jumping]
) -> None:
    alarm.arm(wall_clock.now(UTC) + timedelta(milliseconds=50))
    wall_clock.by = -timedelta(hours=1)
    alarm.arm(wall_clock.now(UTC) + timedelta(milliseconds=50))
    await bell.heard()
    assert bell.rung == 1
