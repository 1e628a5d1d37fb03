"""What the bot costs with many forms that wait, after a crash, and with several processes on one database."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil

from bot.playground.bot_process import free_port
from tests.benchmarks.children import cpu_seconds
from tests.benchmarks.effort import Effort, Row
from tests.benchmarks.rig import HOST, check_bot, open_platforms, open_postgres, sqlite_in
from tests.benchmarks.waiting import add_waiting_forms, check_waiting

_SETTLING_SECONDS = 2.0
_LONGER = 3
"""A run takes seconds on a full machine, a stream event does not: this many windows in one."""


async def restart(effort: Effort) -> list[Row]:
    """A start after kill -9, with forms that wait and runs that were followed."""
    with TemporaryDirectory(prefix="benchmark-") as folder:
        rows = await _restart(effort, Path(folder), sqlite_in(Path(folder)), "")
    async with open_postgres() as database_url:
        if database_url is not None:
            with TemporaryDirectory(prefix="benchmark-") as folder:
                rows += await _restart(effort, Path(folder), database_url, "_postgresql")
    return rows


async def _restart(effort: Effort, folder: Path, database_url: str, suffix: str) -> list[Row]:
    port = free_port(HOST)
    settings = {"DATABASE_URL": database_url, "LEASE_SECONDS": str(effort.lease)}
    async with open_platforms() as platforms, platforms.new_bot(folder, port, **settings) as bot:
        await platforms.slack.call("deliver", name="bot", url=f"http://{HOST}:{port}/slack/events")
        # One to copy, one to answer.
        await platforms.slack.call("open_forms", count=2)
        await platforms.stream("ticker2", effort.live_runs)
        await bot.kill()
        await add_waiting_forms(database_url, effort.restart_forms)
        began = time.monotonic()
        await bot.start()
        ready = time.monotonic() - began
        clicked = await platforms.slack.call("decide")
        submitted = await platforms.dify.call("submitted") - clicked
        followed = await platforms.dify.call("followed", since=began) - began
        check_bot(bot)
        await check_waiting(database_url, effort.restart_forms)
    begin = f"restart_{effort.restart_forms}_forms_{effort.live_runs}_runs"
    situation = f"{effort.restart_forms} waiting forms, a look at each overdue, and {effort.live_runs} live runs"
    return [
        Row(f"{begin}_ready{suffix}_s", ready, f"process start after kill -9 → first healthy answer; {situation}"),
        Row(f"{begin}_submitted{suffix}_s", submitted, "click sent by Slack right then → the answer arrives at Dify"),
        Row(
            f"{begin}_followed{suffix}_s",
            followed,
            "process start → the stream of every live run is open again"
            + (f", a lease of {effort.lease:g} s having lapsed" if suffix else ""),
        ),
    ]


async def waiting(effort: Effort) -> list[Row]:
    """What the bot's process takes while forms wait."""
    rows = []
    for forms in effort.waiting_forms:
        rows += await _waiting(effort, forms)
    return rows


async def _waiting(effort: Effort, forms: int) -> list[Row]:
    with TemporaryDirectory(prefix="benchmark-") as name:
        folder, port = Path(name), free_port(HOST)
        async with open_platforms() as platforms, platforms.new_bot(folder, port) as bot:
            await platforms.slack.call("deliver", name="bot", url=f"http://{HOST}:{port}/slack/events")
            await platforms.slack.call("open_forms", count=1)
            await bot.terminate()
            await add_waiting_forms(sqlite_in(folder), forms)
            await bot.start()
            process, began = psutil.Process(bot.pid), time.monotonic()
            used, looks = cpu_seconds(bot.pid), await platforms.dify.call("looks")
            resident, connections = 0.0, 0
            while (passed := time.monotonic() - began) < effort.polling:
                await asyncio.sleep(min(1.0, effort.polling - passed))
                resident = max(resident, process.memory_info().rss / 2**20)
                connections = max(connections, len(process.net_connections("tcp")))
            used = cpu_seconds(bot.pid) - used
            looks = await platforms.dify.call("looks") - looks
            check_bot(bot)
            await check_waiting(sqlite_in(folder), forms)
    situation = f"{forms} waiting forms, a look at each overdue at the start"
    return [
        Row(f"rss_mb_{forms}_forms", resident, f"most resident memory within {effort.polling:.0f} s; {situation}"),
        Row(
            f"connections_{forms}_forms",
            connections,
            "most TCP sockets of the process, the listening one too",
        ),
        Row(f"looks_per_s_{forms}_forms", looks / effort.polling, "times that Dify was asked how a run stands"),
        Row(f"cores_bot_{forms}_forms", used / effort.polling, "cores the bot kept busy with that; it can use 1"),
    ]


async def throughput(effort: Effort) -> list[Row]:
    """Whole runs per second of several processes on one PostgreSQL database."""
    rows = []
    for processes in effort.processes:
        async with open_postgres() as database_url:
            if database_url is not None:
                rows += await _throughput(effort, database_url, processes)
    return rows


async def _throughput(effort: Effort, database_url: str, processes: int) -> list[Row]:
    async with AsyncExitStack() as stack:
        platforms = await stack.enter_async_context(open_platforms())
        bots = []
        for number in range(1, processes + 1):
            folder = stack.enter_context(TemporaryDirectory(prefix="benchmark-"))
            bot = platforms.new_bot_over_socket(Path(folder), database_url, number)
            bots.append(await stack.enter_async_context(bot))
        await platforms.slack.call("work", lanes=effort.lanes)
        await asyncio.sleep(_SETTLING_SECONDS)
        groups = {"bots": [bot.pid for bot in bots], "slack": [platforms.slack.pid], "dify": [platforms.dify.pid]}
        used, began = _used(groups), time.monotonic()
        finished = await platforms.slack.call("finished")
        await asyncio.sleep(effort.window * _LONGER)
        finished = await platforms.slack.call("finished") - finished
        cores = {who: (now - used[who]) / (time.monotonic() - began) for who, now in _used(groups).items()}
        passed = time.monotonic() - began
        await platforms.slack.call("wind_down")
        for bot in bots:
            check_bot(bot)
    name = "1_process" if processes == 1 else f"{processes}_processes"
    what = f"runs from the command over a decision to the result; {effort.lanes} people side by side"
    return [
        Row(f"runs_per_s_{name}", finished / passed, f"{what}, {name.replace('_', ' ')}"),
        *(
            Row(f"cores_{who}_{name}", cores[who], f"cores kept busy meanwhile by {meaning}")
            for who, meaning in (
                ("bots", "the bot, all processes together"),
                ("slack", "the simulated Slack, which can use 1"),
                ("dify", "the simulated Dify, which can use 1"),
                ("machine", f"everything, the database too, of {psutil.cpu_count()}"),
            )
        ),
    ]


def _used(groups: Mapping[str, list[int]]) -> dict[str, float]:
    """Return the CPU seconds that each group of processes has used, and all of the machine."""
    times = psutil.cpu_times()
    idle = times.idle + getattr(times, "iowait", 0.0)
    return {who: sum(map(cpu_seconds, pids)) for who, pids in groups.items()} | {"machine": sum(times) - idle}
