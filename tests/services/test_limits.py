"""The streams of one Dify server: no more than it can spare, answers before starts, nobody overtaken.

A server that does not answer: asked by one at a time.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta

from bot.services.limits import OUTAGE_PAUSE, Outage, Places, Urgency
from tests.factories import NOW


async def _turn(places: Places, urgency: Urgency, name: str, served: list[str]) -> None:
    await places.wait(urgency)
    served.append(name)


async def _queue(places: Places, served: list[str], **urgencies: Urgency) -> dict[str, asyncio.Task[None]]:
    """Have these wait, in this order."""
    tasks = {name: asyncio.create_task(_turn(places, urgency, name, served)) for name, urgency in urgencies.items()}
    await asyncio.sleep(0)
    return tasks


async def _freed(places: Places) -> None:
    places.give_back()
    await asyncio.sleep(0)


async def test_a_server_has_so_many_places_and_no_more() -> None:
    places = Places(2)
    assert [places.take(), places.take(), places.take()] == [True, True, False]
    places.give_back()
    await places.wait(Urgency.START)
    assert not places.take()


async def test_answers_go_before_starts_and_otherwise_who_came_first() -> None:
    places, served = Places(1), list[str]()
    assert places.take()
    await _queue(
        places,
        served,
        start_1=Urgency.START,
        start_2=Urgency.START,
        answer_1=Urgency.ANSWER,
        answer_2=Urgency.ANSWER,
    )
    for number in range(1, 5):
        await _freed(places)
        assert len(served) == number
    assert served == ["answer_1", "answer_2", "start_1", "start_2"]


async def test_a_place_that_is_freed_belongs_to_who_waits() -> None:
    """Whoever asks in the same moment does not get in between."""
    places, served = Places(1), list[str]()
    assert places.take()
    await _queue(places, served, start=Urgency.START)
    places.give_back()
    assert not places.take()
    await asyncio.sleep(0)
    assert served == ["start"]


async def test_who_leaves_the_queue_takes_no_place_along() -> None:
    """Neither while waiting nor in the moment in which the turn comes."""
    places, served = Places(1), list[str]()
    assert places.take()
    tasks = await _queue(places, served, first=Urgency.START, second=Urgency.START, third=Urgency.START)
    tasks["first"].cancel()
    await asyncio.sleep(0)
    places.give_back()
    tasks["second"].cancel()
    await asyncio.wait(tasks.values())
    assert served == ["third"]
    places.give_back()
    assert places.take()


def test_a_server_that_answers_may_be_asked_by_everybody() -> None:
    outage = Outage()
    assert [outage.may_ask(NOW), outage.may_ask(NOW)] == [True, True]


def test_a_server_that_is_silent_is_asked_by_one_after_each_pause() -> None:
    outage = Outage()
    outage.silent(NOW)
    assert not outage.may_ask(NOW + OUTAGE_PAUSE - timedelta(seconds=1))
    for pauses in (1, 2):
        then = NOW + pauses * OUTAGE_PAUSE
        assert [outage.may_ask(then), outage.may_ask(then)] == [True, False]


def test_whoever_gets_an_answer_lets_all_the_others_ask() -> None:
    outage = Outage()
    outage.silent(NOW)
    outage.over()
    assert [outage.may_ask(NOW), outage.may_ask(NOW)] == [True, True]


def test_a_clock_that_was_put_back_does_not_lengthen_an_outage() -> None:
    outage = Outage()
    outage.silent(NOW)
    assert outage.may_ask(NOW - timedelta(days=1))
