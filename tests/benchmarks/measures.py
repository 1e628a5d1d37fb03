"""What is measured, each measure on a rig of its own; the method is told in the package's `__main__`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory

import psutil

from bot.playground.bot_process import free_port
from tests.benchmarks.children import cpu_seconds
from tests.benchmarks.effort import Effort, Row
from tests.benchmarks.lasting import restart, throughput, waiting
from tests.benchmarks.long import long
from tests.benchmarks.rig import HOST, Rig, open_platforms, open_rig
from tests.benchmarks.transfers import transfers

_WARM_UP = 10
_SETTLING_SECONDS = 2.0


async def startup(effort: Effort) -> list[Row]:
    """Time from the start of the process until `/healthz` answers."""
    fresh: list[float] = []
    again: list[float] = []
    async with open_platforms() as platforms:
        for _ in range(effort.starts):
            with TemporaryDirectory(prefix="benchmark-") as folder:
                bot = platforms.new_bot(Path(folder), free_port(HOST))
                for times in (fresh, again):
                    began = time.monotonic()
                    await bot.start()
                    times.append(time.monotonic() - began)
                    await bot.terminate()
    return [
        Row("startup_s", median(fresh), "process start → first healthy answer, empty database (all migrations)"),
        Row("startup_again_s", median(again), "the same on a database that is up to date"),
    ]


async def ack(effort: Effort) -> list[Row]:
    """Acknowledgement of clicks and commands beside a bare listener."""
    rows = []
    for runs, name in ((0, "idle"), (200, "200_runs")):
        async with open_rig() as rig:
            await rig.platforms.slack.call("open_forms", count=effort.samples + _WARM_UP)
            await rig.platforms.stream("ticker20", runs)
            await rig.platforms.slack.call("acks", count=_WARM_UP)
            used, began = cpu_seconds(rig.bot.pid), time.monotonic()
            times = await rig.platforms.slack.call("acks", count=effort.samples)
            busy = (cpu_seconds(rig.bot.pid) - used) / (time.monotonic() - began)
        situation = f"{runs} live runs"
        rows += _ack_rows(times, name, situation)
        rows.append(Row(f"ack_cores_bot_{name}", busy, f"cores the bot kept busy meanwhile, {situation}; it can use 1"))
    return rows


def _ack_rows(times: dict[str, dict[str, list[float]]], name: str, situation: str) -> list[Row]:
    bot, bare = times["bot"], times["bare"]
    rows = [
        Row(
            f"ack_p{percent}_ratio_{name}",
            _percentile(_all(bot), percent) / _percentile(_all(bare), percent),
            f"bot / bare Bolt, p{percent} of clicks and commands together, {situation}",
        )
        for percent in (99, 50)
    ]
    for who, of_kind in (("bot", bot), ("bare", bare)):
        for kind, sample in of_kind.items():
            for percent in (50, 99):
                key = f"ack_{kind}_p{percent}_{who}_{name}_ms"
                rows.append(Row(key, _percentile(sample, percent), f"{kind} sent → acked, {who}, {situation}"))
    return rows


def _all(times: dict[str, list[float]]) -> list[float]:
    return [each for sample in times.values() for each in sample]


async def cpu(effort: Effort) -> list[Row]:
    """CPU per stream event beside a bare loop that reads the same events."""
    rows = []
    for runs, rate in ((1, 20), (100, 20), (1000, 2)):
        async with open_rig() as rig:
            streams = await rig.platforms.stream(f"ticker{rate}", runs)
            await rig.bare_loop.call("read", base_url=rig.platforms.dify_url, streams=streams)
            await asyncio.sleep(_SETTLING_SECONDS)
            bot, bare = await _cpu_per_event(rig, effort.window * (2 if runs == 1 else 1))
        situation = f"{runs} streams of {rate} events a second" if runs > 1 else f"1 stream of {rate} events a second"
        rows += [
            Row(f"cpu_per_event_ratio_{runs}", bot / bare, f"bot / bare httpx-sse loop, {situation}"),
            Row(f"cpu_per_event_bot_{runs}_us", bot * 1e6, "CPU time of the bot's process per event"),
            Row(f"cpu_per_event_bare_{runs}_us", bare * 1e6, "CPU time of the bare loop's process per event"),
        ]
    return rows


async def _cpu_per_event(rig: Rig, seconds: float) -> tuple[float, float]:
    """Return the CPU seconds per event of the bot and of the bare loop, over the same window."""
    pids = (rig.bot.pid, rig.bare_loop.pid)
    events = await rig.bare_loop.call("events")
    used = [cpu_seconds(pid) for pid in pids]
    await asyncio.sleep(seconds)
    used = [cpu_seconds(pid) - before for pid, before in zip(pids, used, strict=True)]
    events = await rig.bare_loop.call("events") - events
    return used[0] / events, used[1] / events


async def latency(effort: Effort) -> list[Row]:
    """Click → submit and event → post, without the platforms' own time."""
    async with open_rig() as rig:
        await rig.platforms.slack.call("reviews", count=_WARM_UP)
        seen = await rig.platforms.slack.call("reviews", count=effort.reviews)
        moments = {each["topic"]: each for each in await rig.platforms.dify.call("moments")}
    to_submit, to_post = [], []
    for review in seen:
        moment = moments[review["topic"]]
        calls = review["calls"]
        to_submit.append(moment["submitted"] - review["clicked"])
        for sent, posted in ((moment["form_sent"], review["form"]), (moment["end_sent"], review["result"])):
            to_post.append(posted - sent - _slacks_share(calls, sent, posted))
    rows = []
    for name, sample, meaning in (
        ("click_to_submit", to_submit, "click sent by Slack → the answer arrives at Dify"),
        ("event_to_post", to_post, "form or end told by Dify → its post arrives at Slack, without Slack's answers"),
    ):
        rows += [Row(f"{name}_p{percent}_ms", _percentile(sample, percent) * 1000, meaning) for percent in (50, 95)]
    return rows


def _slacks_share(calls: Sequence[Sequence[float]], begin: float, end: float) -> float:
    """Return for how many of these seconds the simulated Slack was at work on a call."""
    return sum(max(min(answered, end) - max(arrived, begin), 0.0) for arrived, answered in calls)


async def memory(effort: Effort) -> list[Row]:
    """Resident memory of the bot's process."""
    async with open_rig() as rig:
        await rig.platforms.slack.call("open_forms", count=1)
        idle = _resident_mb(rig)
        await rig.platforms.stream("ticker2", 500)
        await asyncio.sleep(_SETTLING_SECONDS)
        busy = _resident_mb(rig)
    return [
        Row("rss_mb_0_runs", idle, "resident memory of the bot's process at rest, after a first run"),
        Row("rss_mb_500_runs", busy, "the same with 500 live runs streaming"),
    ]


def _resident_mb(rig: Rig) -> float:
    return psutil.Process(rig.bot.pid).memory_info().rss / 2**20


def _percentile(sample: Sequence[float], percent: int) -> float:
    return quantiles(sample, n=100, method="inclusive")[percent - 1]


MEASURES: dict[str, Callable[[Effort], Awaitable[list[Row]]]] = {
    measure.__name__: measure
    for measure in (startup, memory, latency, ack, cpu, restart, waiting, throughput, long, transfers)
}
