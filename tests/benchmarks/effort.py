"""What a measure is told and what it gives."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One measured value; `key` ends in its unit, unless it is a ratio or a count."""

    key: str
    value: float
    meaning: str


@dataclass(frozen=True)
class Effort:
    """How often, how much, and for how many seconds is measured."""

    samples: int
    """Clicks, and as many commands."""
    reviews: int
    starts: int
    window: float
    """Of the steady stream; twice as long for a single one."""
    live_runs: int
    """That the bot follows when it is killed."""
    restart_forms: int
    """That wait when it is killed."""
    lease: float
    """Seconds after which another process takes over from one that was killed, where they share a database."""
    waiting_forms: tuple[int, ...]
    """That wait while its memory is measured, one measurement each."""
    polling: float
    """Seconds of polling after which the memory is read."""
    processes: tuple[int, ...]
    """That share one database, one measurement each."""
    lanes: int
    """People who start a run, decide on its form, wait for its result, and begin anew."""
    large_file: int = 100_000_000
    """Bytes of the one file that is carried alone."""
    file: int = 15_000_000
    """Bytes of each of ten files that are carried at once."""
    rate_factor: float = 1.0
    """How many times its published limits Slack is taken to allow, where calls are counted."""


FULL = Effort(
    samples=300,
    reviews=30,
    starts=3,
    window=10.0,
    live_runs=200,
    restart_forms=10_000,
    lease=30.0,
    waiting_forms=(0, 10_000, 100_000),
    polling=60.0,
    processes=(1, 2, 3),
    lanes=60,
)
QUICK = Effort(
    samples=60,
    reviews=10,
    starts=1,
    window=3.0,
    live_runs=20,
    restart_forms=1_000,
    lease=5.0,
    waiting_forms=(0, 1_000),
    polling=8.0,
    processes=(1, 2, 3),
    lanes=20,
    large_file=20_000_000,
    file=3_000_000,
)
