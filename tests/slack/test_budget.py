"""The budget for redrawing messages."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from bot.slack.delivery.budget import Lane, MessageKey, Pace, ProgressBoard

A, B, C = ("C1", "1.0"), ("C1", "2.0"), ("C1", "3.0")


class HandClock:
    """A monotonic clock moved by hand, in seconds."""

    def __init__(self) -> None:
        self.time = 1_000.0

    def __call__(self) -> float:
        return self.time


class Wall:
    """Where states are drawn."""

    def __init__(self) -> None:
        self.drawn: list[tuple[MessageKey, str]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.reached = asyncio.Event()
        self.changed = asyncio.Event()

    async def draw(self, key: MessageKey, drawing: str) -> None:
        self.reached.set()
        await self.gate.wait()
        self.drawn.append((key, drawing))
        self.changed.set()

    async def shows(self, count: int) -> None:
        """Wait until so many states were drawn."""
        while len(self.drawn) < count:
            self.changed.clear()
            await self.changed.wait()


QUICK = Pace(reserve=0, between=0.001, per_message=0.0)


@pytest.fixture
def clock() -> HandClock:
    """A clock that stands still."""
    return HandClock()


async def test_progress_is_spread_evenly_over_what_is_not_reserved(clock: HandClock) -> None:
    """50 a minute, 15 of them for what matters: one progress update each 60/35 s."""
    wall = Wall()
    board = ProgressBoard(wall.draw, Pace(), clock)
    board.note(A, "one")
    board.note(B, "two")
    await drawn(board, wall, 1)
    assert board.next_due() == (B, pytest.approx(60 / 35))
    clock.time += 60 / 35
    assert board.next_due() == (B, 0.0)


async def test_progress_waits_as_long_as_it_is_held(clock: HandClock) -> None:
    """By Slack, or by updates that matter and wait themselves."""
    board = ProgressBoard(Wall().draw, Pace(), clock, held=lambda: 30.0)
    board.note(A, "one")
    assert board.next_due() == (A, 30.0)


async def test_a_state_that_could_not_be_drawn_waits_again_unless_there_is_a_newer_one() -> None:
    """It may be the last for long."""
    wall = Wall()
    board = ProgressBoard(wall.draw, QUICK)
    board.note_unless_newer(A, "failed")
    board.note(B, "newer")
    board.note_unless_newer(B, "failed")
    await drawn(board, wall, 2)
    assert wall.drawn == [(A, "failed"), (B, "newer")]


async def test_one_message_is_redrawn_every_three_seconds_at_most(clock: HandClock) -> None:
    """However much happens in it (slack-platform §3.5)."""
    wall = Wall()
    board = ProgressBoard(wall.draw, Pace(), clock)
    board.note(A, "one")
    await drawn(board, wall, 1)
    board.note(A, "two")
    board.note(A, "three")
    assert board.next_due() == (A, 3.0)
    clock.time += 3
    assert board.next_due() == (A, 0.0)
    await drawn(board, wall, 2)
    assert wall.drawn == [(A, "one"), (A, "three")]


@asynccontextmanager
async def writing(board: ProgressBoard[str]) -> AsyncIterator[None]:
    """Have the board draw meanwhile."""
    async with asyncio.timeout(5):
        writer = asyncio.create_task(board.draw_forever())
        yield
        writer.cancel()
        await asyncio.gather(writer, return_exceptions=True)


async def drawn(board: ProgressBoard[str], wall: Wall, count: int) -> None:
    """Let the board draw until `count` states are on the wall."""
    async with writing(board):
        await wall.shows(count)


async def test_messages_take_turns(clock: HandClock) -> None:
    """Who waits longest comes first, so a busy message starves no other."""
    wall = Wall()
    board = ProgressBoard(wall.draw, Pace(), clock)
    for key in (A, B, C):
        board.note(key, "new")
    board.note(A, "newer")
    assert board.next_due() == (A, 0.0)
    await drawn(board, wall, 1)
    board.note(A, "newest")
    clock.time += 60 / 35
    assert board.next_due() == (B, 0.0)


async def test_progress_is_never_drawn_over_what_matters_and_is_newer() -> None:
    """What waits is dropped, and what is being drawn is waited for."""
    wall = Wall()
    board = ProgressBoard(wall.draw, QUICK)
    async with writing(board):
        wall.gate.clear()
        board.note(A, "running")
        await wall.reached.wait()
        board.note(A, "still running")
        important = asyncio.create_task(draw_important(board, wall))
        await asyncio.sleep(0)
        assert not wall.drawn
        wall.gate.set()
        await important
        board.note(B, "other")
        await wall.shows(3)
    assert wall.drawn == [(A, "running"), (A, "done"), (B, "other")]


async def draw_important(board: ProgressBoard[str], wall: Wall) -> None:
    """Draw the end of A."""
    async with board.important(A):
        wall.drawn.append((A, "done"))


async def test_the_writer_rests_until_something_is_noted() -> None:
    """And then draws it at once."""
    wall = Wall()
    board = ProgressBoard(wall.draw, QUICK)
    async with writing(board):
        await asyncio.sleep(0)
        board.note(A, "one")
        await wall.shows(1)


async def test_a_message_is_settled_before_its_turn_comes() -> None:
    """Drawn at once, or not at all; what is being drawn of it is over by then."""
    drawn: list[str] = []
    began, goes_on = asyncio.Event(), asyncio.Event()

    async def draw(key: MessageKey, drawing: str) -> None:
        began.set()
        await goes_on.wait()
        drawn.append(drawing)

    board: ProgressBoard[str] = ProgressBoard(draw, Pace(per_message=1_000.0))
    writer = asyncio.create_task(board.draw_forever())
    board.note(A, "first")
    await began.wait()
    board.note(A, "second")
    settling = asyncio.create_task(board.settle(A, draw=True))
    goes_on.set()
    await settling
    assert drawn == ["first", "second"]
    board.note(A, "third")
    await board.settle(A, draw=False)
    assert board.next_due() == (None, 0.0)
    writer.cancel()


async def test_drawings_with_a_budget_of_their_own_wait_for_no_other(clock: HandClock) -> None:
    """What is added to streams is counted apart from what is redrawn (slack-platform §8.1)."""
    wall, streams = Wall(), Lane(Pace.of_streams(1.0))
    board = ProgressBoard(
        wall.draw, Pace(), clock, held=lambda: 30.0, lane_of=lambda drawing: streams if drawing == "added" else None
    )
    board.note(A, "redrawn")
    board.note(B, "added")
    assert board.next_due() == (B, 0.0)
    await drawn(board, wall, 1)
    board.note(B, "added")
    assert board.next_due() == (B, 1.0)
    board.note(C, "added")
    assert board.next_due() == (C, pytest.approx(60 / 95))
    streams.held = lambda: 60.0
    assert board.next_due() == (A, 30.0)
