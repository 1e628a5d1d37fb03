"""The benchmarks can be run; how fast anything is, no test asks."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import pytest

from tests.benchmarks.effort import Effort
from tests.benchmarks.lasting import restart, throughput, waiting
from tests.benchmarks.long import long
from tests.benchmarks.rig import open_postgres
from tests.benchmarks.transfers import transfers
from tests.benchmarks.waiting import copied_run_id, copied_token, number_of

CHECKOUT = Path(__file__).parents[1]
TINY = Effort(
    samples=2,
    reviews=2,
    starts=1,
    window=1.0,
    live_runs=2,
    restart_forms=5,
    lease=1.0,
    waiting_forms=(5,),
    polling=1.0,
    processes=(2,),
    lanes=2,
    large_file=1_000_000,
    file=100_000,
    rate_factor=100.0,
)
"""Too little to tell anything by."""


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


def test_either_side_knows_a_copy_of_a_run_by_its_number() -> None:
    """A run that is no copy has an id that Dify made, and none of the numbers."""
    assert number_of(copied_run_id(99_999)) == number_of(copied_token(99_999)) == 99_999
    assert number_of("0190a6c5-8d3e-7b52-9f1e-2f6a8c1d4e57") is None


@pytest.mark.acceptance
async def test_a_restart_is_timed_until_every_live_run_is_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The measure itself refuses a bot that logs an error or loses one of the forms that wait."""
    monkeypatch.chdir(CHECKOUT)
    keys = {row.key for row in await restart(TINY)}
    assert keys >= {f"restart_5_forms_2_runs_{what}_s" for what in ("ready", "submitted", "followed")}


@pytest.mark.acceptance
async def test_waiting_forms_are_looked_at_while_the_memory_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the looks, the forms would cost nothing anyhow."""
    monkeypatch.chdir(CHECKOUT)
    values = {row.key: row.value for row in await waiting(TINY)}
    assert values.keys() == {f"{what}_5_forms" for what in ("rss_mb", "connections", "looks_per_s", "cores_bot")}
    assert values["looks_per_s_5_forms"] > 0


@pytest.mark.acceptance
async def test_long_texts_are_rendered_and_their_calls_counted(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A form of 25 messages cannot be posted with fewer calls, and none breaks down where it is counted."""
    monkeypatch.chdir(CHECKOUT)
    values = {row.key: row.value for row in await long(TINY)}
    what = ("render_ms", "calls", "posts", "updates", "streams", "appends")
    # The text is the same, whichever way it is shown.
    counted = {f"long_{name}_{each}" for name in ("form", "stream", "drawn") for each in what} - {
        "long_drawn_render_ms"
    }
    assert values.keys() == {*counted, "long_stream_draw_ms", "long_drawn_draw_ms"}
    assert values["long_form_calls"] >= values["long_form_posts"] > 20
    assert values["long_stream_calls"] >= values["long_stream_streams"] > 0
    assert values["long_drawn_calls"] >= values["long_drawn_posts"] > 10
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.acceptance
async def test_files_are_carried_without_being_written_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """The measure itself refuses a file that does not arrive as it was shared."""
    monkeypatch.chdir(CHECKOUT)
    values = {row.key: row.value for row in await transfers(TINY)}
    situations = ("1_in", "1_out", "10_in", "10_both_ways", "10_together")
    assert values.keys() == {
        f"files_{each}_{what}" for each in situations for what in ("peak_mb", "written_bytes", "s")
    }
    assert {values[f"files_{each}_written_bytes"] for each in situations} == {0}


@pytest.mark.acceptance
@pytest.mark.postgres
async def test_processes_that_share_a_database_are_measured_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """What they share beside the work, the cores, is told along with it."""
    monkeypatch.chdir(CHECKOUT)
    async with open_postgres() as url:
        if url is None:
            pytest.skip("no PostgreSQL server answers at TEST_POSTGRES_URL")
    keys = {row.key for row in await throughput(TINY)}
    shared = {f"cores_{who}_2_processes" for who in ("bots", "slack", "dify", "machine")}
    assert keys == {"runs_per_s_2_processes", *shared}
