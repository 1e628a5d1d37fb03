"""The proof under faults is run, shortly; and what it counts is counted: a bad bot is found out."""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
from collections.abc import AsyncIterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from tests.faults.bots import Zygote
from tests.faults.faults import Fault, Kind, draw
from tests.faults.judge import COUNTS, NOTE_AGAIN, UNCONFIRMED, most_excused
from tests.faults.plays import PLAYS
from tests.faults.points import Point, Points
from tests.faults.worker import Order, open_zygote, play
from tests.store.conftest import TEST_POSTGRES_URL

CHECKOUT = Path(__file__).parents[1]
FEW = 12
"""Trials of a short run."""
MISSED = 2
"""Trials of a short run whose fault may find nothing to strike."""

pytestmark = pytest.mark.acceptance
with_zygote = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def zygote() -> AsyncIterator[Zygote]:
    """What forks the bots of all tests, so that the bot is imported once."""
    async with open_zygote() as zygote:
        yield zygote


async def run_shortly(*options: str) -> dict[str, Any]:
    """Play a few trials, and return what was printed."""
    command = (sys.executable, "-m", "tests.faults", "--json", "--trials", str(FEW), "--workers", "2", *options)
    child = await asyncio.create_subprocess_exec(
        *command, cwd=CHECKOUT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    printed, complaints = await child.communicate()
    assert child.returncode == 0, complaints.decode()
    counted: dict[str, Any] = json.loads(printed)
    return counted


def counts_of(counted: dict[str, Any]) -> dict[str, int]:
    return {name: counted[name] for name in COUNTS}


async def test_nothing_is_lost_or_doubled_with_one_process() -> None:
    """A few trials over a SQLite file end with zeros alone."""
    counted = await run_shortly("--seed", "1")
    assert counted["trials"] == FEW
    assert counted["struck"] >= FEW - MISSED
    assert counts_of(counted) == dict.fromkeys(COUNTS, 0)


@pytest.mark.postgres
async def test_nothing_is_lost_or_doubled_with_three_processes() -> None:
    """So they do over PostgreSQL, shared by three."""
    try:
        await (await asyncpg.connect(TEST_POSTGRES_URL)).close()
    except (OSError, asyncpg.PostgresError) as exc:
        pytest.skip(f"no PostgreSQL server answers at TEST_POSTGRES_URL: {exc}")
    counted = await run_shortly("--seed", "1", "--database", TEST_POSTGRES_URL, "--processes", "3")
    assert counted["trials"] == FEW
    assert counted["struck"] >= FEW - MISSED
    assert counts_of(counted) == dict.fromkeys(COUNTS, 0)


async def counted_of(zygote: Zygote, order: Order) -> set[str]:
    """Play an order's trials and return what was counted in them."""
    return {problem.count async for outcome in play(order, zygote) for problem in outcome.problems}


def calm(*names: str) -> Sequence[int]:
    """Return the numbers of these plays, to be played without a fault."""
    return [number for number, each in enumerate(PLAYS) if each.name in names]


@with_zygote
@pytest.mark.parametrize(
    ("sabotage", "played", "found"),
    [
        ("post twice", "failing", "posts_doubled"),
        ("lose results", "failing", "posts_lost"),
        ("lose files", "report", "posts_lost"),
        ("share files twice", "report", "posts_doubled"),
        ("leave forms", "failing", "forms_without_outcome"),
        ("leave forms", "failing", "clicks_without_answer"),
        ("ignore clicks", "failing", "decisions_lost"),
        ("send twice", "failing", "decisions_sent_twice"),
        ("change answers", "failing", "decisions_lost"),
        ("refuse commands", "quick", "clicks_without_answer"),
        ("never stop", "stop", "decisions_lost"),
        ("leave texts", "failing", "posts_lost"),
        ("write texts twice", "approve", "posts_doubled"),
        ("never remind", "expiring", "posts_lost"),
        ("remind twice", "expiring", "posts_doubled"),
    ],
)
async def test_bad_bot_is_found_out(zygote: Zygote, sabotage: str, played: str, found: str) -> None:
    """Whatever it does wrong is counted as that, even where no fault strikes."""
    # What is doubled ends all the same; what is lost is waited for in vain.
    ends = found in ("posts_doubled", "decisions_sent_twice")
    patience = 14.0 if ends or played == "expiring" else 4.0
    assert found in await counted_of(zygote, Order(calm(played), sabotage=sabotage, calm=True, patience=patience))


@with_zygote
@pytest.mark.parametrize("sabotage", ["tell nobody", "say nothing of use"])
async def test_loser_of_a_race_who_is_not_told_is_found_out(zygote: Zygote, sabotage: str) -> None:
    """Of two who click at once, one decides; the other one has to learn it, and not just anything."""
    seed = next(seed for seed in itertools.count() if draw(seed, 1)[1].kind is Kind.TWO_CLICKERS)
    assert "clicks_without_answer" in await counted_of(zygote, Order([seed], sabotage=sabotage, patience=4.0))


@with_zygote
async def test_run_that_is_given_up_after_a_restart_is_not_excused(zygote: Zygote) -> None:
    """A kill may lose the answer to a start; but not to one of a run whose form has been answered."""

    def strikes_at(number: int, seed: int) -> bool:
        played, fault, _ = draw(seed, 1)
        at_save = fault.kind is Kind.KILL and fault.point is Point.BEFORE_SAVE and fault.number == number
        return at_save and played.name == "sequence"

    # Which saves lie between the first form's answer and the second one's depends on how much each of them holds.
    numbers = (37, 40, 43)
    seeds = [next(filter(partial(strikes_at, number), itertools.count())) for number in numbers]
    outcomes = [outcome async for outcome in play(Order(seeds, sabotage="lose named", patience=4.0), zygote)]
    assert [(outcome.struck, outcome.excused) for outcome in outcomes] == [(True, [])] * len(numbers)
    assert "forms_without_outcome" in {problem.count for outcome in outcomes for problem in outcome.problems}


def test_excuses_have_a_ceiling() -> None:
    """What may be excused for each kind of fault is a small part of its trials; for most kinds it is nothing."""
    assert most_excused(UNCONFIRMED, Fault(Kind.KILL, Point.BEFORE_DIFY).family, 1000) < 300
    assert most_excused(UNCONFIRMED, Fault(Kind.KILL, Point.STREAM_EVENT).family, 1000) < 50
    assert most_excused(UNCONFIRMED, Fault(Kind.KILL, Point.DELIVERY).family, 1000) == 0
    assert most_excused(UNCONFIRMED, Kind.DATABASE_AWAY, 1000) == 0
    assert most_excused(NOTE_AGAIN, Kind.NOTHING, 1000) == 0


@with_zygote
async def test_good_bot_is_not_accused(zygote: Zygote) -> None:
    """Without a fault nothing is counted."""
    calm_plays = calm("fields", "chatflow", "quick", "approve", "stop", "expiring")
    assert await counted_of(zygote, Order(calm_plays, calm=True)) == set()


def test_trial_follows_from_its_seed_alone() -> None:
    """The same seed draws the same play and fault, and many seeds draw every kind."""
    drawn = [draw(seed, 3)[:2] for seed in range(2000)]
    assert drawn == [draw(seed, 3)[:2] for seed in range(2000)]
    assert {fault.kind for _, fault in drawn} == set(Kind)
    assert {fault.point for _, fault in drawn} == {None, *Point}
    assert {play.name for play, _ in drawn} == {play.name for play in PLAYS}


def test_points_are_counted_over_all_who_share_the_file(tmp_path: Path) -> None:
    """Two sides of one file count together, and what is armed is seen by both."""
    here = Points.create(tmp_path / "points")
    there = Points(tmp_path / "points")
    here.passed(Point.AFTER_SAVE)
    there.passed(Point.AFTER_SAVE)
    there.passed(Point.DELIVERY)
    assert here.counts[Point.AFTER_SAVE] == 2
    assert here.counts[Point.DELIVERY] == 1
    here.arm(Point.AFTER_ACK, 2)
    there.passed(Point.AFTER_ACK)
    assert there.armed
    here.disarm()
    assert not there.armed
    assert set(there.counts.values()) == {0}
    here.close()
    there.close()
