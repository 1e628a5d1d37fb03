"""The benchmarks can be run; how fast anything is, no test asks."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

CHECKOUT = Path(__file__).parents[1]


async def test_one_measure_prints_one_json_object_and_nothing_else() -> None:
    """What reads the output of `--json` finds the documented keys in it."""
    command = (sys.executable, "-m", "tests.benchmarks", "--json", "--quick", "--only", "startup")
    child = await asyncio.create_subprocess_exec(
        *command, cwd=CHECKOUT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    printed, complaints = await child.communicate()
    assert child.returncode == 0, complaints.decode()
    measured = json.loads(printed)
    assert measured["startup_s"] > 0
    assert measured["machine"]["cores"] >= 1
