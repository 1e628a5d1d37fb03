"""Plays many trials, each with one fault, and counts what went wrong: `python -m tests.faults`."""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.faults.bots import CHECKOUT
from tests.faults.judge import BESIDES, COUNTS, most_excused
from tests.faults.victim import SABOTAGE
from tests.faults.worker import Order

_LONGEST_LINE = 2**20


def main() -> None:
    """Play and print; the exit code is 1 where anything was counted, excused too often, or not played."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.faults",
        description="Play sample apps through the simulated platforms, one fault per trial, and count what went wrong.",
    )
    parser.add_argument("--trials", type=_positive, default=2000, metavar="N", help="how many plays (default: 2000)")
    parser.add_argument(
        "--database",
        metavar="URL",
        help="postgresql://… of a server on which scratch databases may be made (default: a temporary SQLite file)",
    )
    parser.add_argument("--processes", type=_positive, metavar="N", help="bots on one database (default: 1, or 3)")
    parser.add_argument("--seed", type=int, metavar="S", help="of the first trial; the next one has S + 1")
    parser.add_argument(
        "--workers", type=_positive, default=4, metavar="W", help="trials at the same time (default: 4)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    parser.add_argument("--logs", metavar="FOLDER", help="keep the bots' logs there")
    parser.add_argument("--sabotage", choices=SABOTAGE, help="play with a bad bot: to see that it is found out")
    options = parser.parse_args()
    on_server = bool(options.database and options.database.startswith("postgres"))
    if options.database and not on_server:
        parser.error("--database takes the URL of a PostgreSQL server; without it a temporary SQLite file is used")
    processes = options.processes or (3 if on_server else 1)
    if processes > 1 and not on_server:
        parser.error("several processes need PostgreSQL: a SQLite file is for one at a time")
    first = random.randrange(10**6) if options.seed is None else options.seed
    seeds = range(first, first + options.trials)
    workers = min(options.workers, options.trials)
    orders = [
        Order(list(seeds[number::workers]), options.database, processes, options.sabotage, options.logs)
        for number in range(workers)
    ]
    if options.logs:
        Path(options.logs).mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    outcomes = asyncio.run(_play(orders, quiet=options.json))
    tally = Tally(outcomes, first, processes, "PostgreSQL" if on_server else "SQLite")
    print(tally.as_json() if options.json else tally.as_table(time.monotonic() - began))  # noqa: T201
    sys.exit(1 if tally.failed or tally.excused_too_often or tally.played < options.trials else 0)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("give a whole number from 1")
    return number


async def _play(orders: Sequence[Order], *, quiet: bool) -> list[dict[str, Any]]:
    """Let a process work on each order; every failed trial is told at once, with what repeats it."""
    outcomes: list[dict[str, Any]] = []

    async def work(order: Order) -> None:
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.faults.worker", json.dumps(asdict(order))),
            cwd=CHECKOUT,
            stdout=asyncio.subprocess.PIPE,
            limit=_LONGEST_LINE,
        )
        assert child.stdout
        while line := await child.stdout.readline():
            outcome = json.loads(line)
            outcomes.append(outcome)
            for problem in outcome["problems"]:
                _tell(outcome, problem, order)
            if not quiet and len(outcomes) % 100 == 0:
                print(f"{len(outcomes)} trials …", file=sys.stderr)  # noqa: T201
        if await child.wait():
            raise RuntimeError(f"a worker ended with exit code {child.returncode}: see above")

    async with asyncio.TaskGroup() as workers:
        for order in orders:
            workers.create_task(work(order))
    return outcomes


def _tell(outcome: dict[str, Any], problem: dict[str, str], order: Order) -> None:
    again = f"--seed {outcome['seed']} --trials 1 --processes {order.processes}"
    if order.database:
        again += f" --database {order.database}"
    what = f"{problem['count']}: {problem['sentence']} Play “{outcome['play']}”, fault: {outcome['fault']}."
    print(f"{what} Again: python -m tests.faults {again}", file=sys.stderr)  # noqa: T201


class Tally:
    """What all trials together came to."""

    def __init__(self, outcomes: Sequence[dict[str, Any]], seed: int, processes: int, database: str) -> None:
        self._outcomes = outcomes
        self._facts = {"seed": seed, "processes": processes, "database": database}
        self._families: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for outcome in outcomes:
            self._families[outcome["family"]].append(outcome)

    @property
    def played(self) -> int:
        """How many trials were played."""
        return len(_first(self._outcomes))

    @property
    def excused_too_often(self) -> list[str]:
        """The kinds of faults that excuse more than chance makes of them."""
        return [
            f"{family}: {count} × {excuse}, at most {most}"
            for family, excuse, count, most in self._excused()
            if count > most
        ]

    @property
    def failed(self) -> list[int]:
        """The seeds of the trials in which something was wrong."""
        return sorted({outcome["seed"] for outcome in self._outcomes if outcome["problems"]})

    def as_json(self) -> str:
        """Return the counts, and the seeds that repeat what went wrong."""
        counts = {name: _count(self._outcomes, name) for name in (*COUNTS, *BESIDES)}
        excused: dict[str, dict[str, int]] = defaultdict(dict)
        for family, excuse, count, _ in self._excused():
            excused[excuse][family] = count
        more = {"excused": excused, "excused_too_often": self.excused_too_often, "failed_seeds": self.failed}
        struck = _struck(self._outcomes)
        return json.dumps({"trials": self.played, "struck": struck, **counts, **more, **self._facts})

    def as_table(self, seconds: float) -> str:
        """Return a table for people: a line per kind of fault."""
        heads = ("fault", "trials", "struck", *(name.replace("_", " ") for name in (*COUNTS, *BESIDES)))
        rows = [self._row(family, self._families[family]) for family in sorted(self._families)]
        lines = [heads, *rows, self._row("all", self._outcomes)]
        widths = [max(len(str(line[column])) for line in lines) for column in range(len(heads))]
        table = "\n".join(
            "  ".join(
                str(cell).ljust(width) if not column else str(cell).rjust(width)
                for column, (cell, width) in enumerate(zip(line, widths, strict=True))
            )
            for line in lines
        )
        legal = [
            f"  {family}: {count} × {excuse}, at most {most}{' – TOO OFTEN' if count > most else ''}"
            for family, excuse, count, most in self._excused()
        ]
        facts = ", ".join(f"{name} {value}" for name, value in self._facts.items())
        ends = "\n".join(["Ends that a platform makes unavoidable:", *(legal or ["  none"])])
        return f"{table}\n\n{ends}\n\n{facts}; {seconds:.0f} s"

    def _excused(self) -> list[tuple[str, str, int, int]]:
        """Return what was excused: the faults, what, how often, and how often at most."""
        found = []
        for family, outcomes in sorted(self._families.items()):
            trials = _first(outcomes)
            excused = Counter(excuse for outcome in trials for excuse in outcome["excused"])
            for excuse, count in sorted(excused.items()):
                found.append((family, excuse, count, most_excused(excuse, family, len(trials))))
        return found

    def _row(self, name: str, outcomes: Sequence[dict[str, Any]]) -> tuple[Any, ...]:
        counts = (_count(outcomes, count) for count in (*COUNTS, *BESIDES))
        return (name, len(_first(outcomes)), _struck(outcomes), *counts)


def _first(outcomes: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Leave out what was judged once more."""
    return [outcome for outcome in outcomes if not outcome["again"]]


def _struck(outcomes: Sequence[dict[str, Any]]) -> int:
    return sum(outcome["struck"] for outcome in _first(outcomes))


def _count(outcomes: Sequence[dict[str, Any]], name: str) -> int:
    return sum(problem["count"] == name for outcome in outcomes for problem in outcome["problems"])


if __name__ == "__main__":
    main()
