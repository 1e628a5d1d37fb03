"""Measures the bot beside a bare Bolt listener and a bare httpx-sse loop: `python -m tests.benchmarks`.

Everything is measured in one run on one machine, and what counts are the ratios. The bot is the one that is shipped,
started as its own process with its own settings; the simulated Slack, the simulated Dify, the bare listener and the
bare loop are a process each, and the one that measures only waits. Everything talks over loopback. Each measure starts
all of them anew, the bot with an empty SQLite database in the folder for temporary files, on whose disk every
acknowledged click is synced.

`ack`: from the moment the simulated Slack hands a signed HTTP request to its client until it has read the answer. Both
the bot and the bare listener (Bolt's own web application, listeners that do nothing but `ack()`) get the same requests
from the same process: clicks on “OK” of a form that is open, with a text and a select (for the bot, each on another
form, which it decides; for the bare listener, on a copy of one), and `/dify quick topic=launch`, which the bot saves
and runs. They take turns, the bare listener first, since it leaves no work behind; then it is waited until the bot has
called Slack no more for 30 ms, so that both meet a machine at rest, or under the load of the 200 runs alone (20 events
a second each, which only the bot reads). The ratio is of the 99th percentiles of clicks and commands taken together.
Bolt itself looks every 10 ms whether a listener has acked, so both take at least that.
The machine's cores are shared by the simulators, too: with two cores the 200 runs alone leave little of them.

`cpu`: user and system time of the bot's whole process per stream event, beside the bare loop's, over one window in
which all streams are open and the work of starting them is done; start-up and connecting are therefore not in it. The
loop reads the same events of the same runs at the same time, each stream over an `httpx.AsyncClient` of its own with
a shared TLS context, and decodes each event's JSON. The bot's share contains all that it does meanwhile, such as
redrawing messages within Slack's budget for updates, which one stream pays for alone. 1 and 100 streams carry 20 events
a second each; 1,000 carry 2, as 20,000 events a second are more than the simulated server can write.

`latency`: runs with one form, one after the other. Click → submit: from handing the click to the client until the
answer's request arrives at Dify; subscribing to the run's events and waiting for Dify's first ping is part of it, and
the simulated Dify sends that at once. Event → post: from writing the event of the form, or of the run's end, until the
call of chat.postMessage or chat.update that shows it arrives, less the time the simulated Slack took for other calls.

`startup`: from starting the process until `/healthz` answers, over HTTP transport. `memory`: resident set of the bot's
process after one run paused on its form, and with 500 runs that stream 2 events a second each.

`restart`: the bot runs, follows 200 runs and has posted two forms, then is killed (SIGKILL). Meanwhile 10,000 copies of
the first form's run are written into its database, with the bot's own codec; the simulated Dify makes up the same run
whenever it is asked about one of them. They have been waiting for up to a week, and a look at each is overdue, as when
the bot was down for long. Then the bot is started again. Ready: `/healthz` answers. Submitted: the second form is
answered right then, while the looks go on; from handing the click to the client until the answer arrives at Dify.
Followed: a request for the events of each of the 200 runs was answered. Measured on SQLite and on PostgreSQL, there
with the time until the lease of the killed process lapses, which is 30 s by default: it could still be alive.

`waiting`: 0, 10,000 and 100,000 of the same copies, and the bot started on them, over HTTP and with SQLite. For a
minute, while it looks at as many of them as it gets to, its resident memory and its TCP sockets are read every second;
the most counts. Dify answers at once and never moves a run.

`throughput`: 1, 2 and 3 processes over Socket Mode on one PostgreSQL database; Slack hands each payload to one of them
in turn. 60 people in a channel each start a run of `ask`, answer its form and wait for the result, over and over; the
runs that are finished within a window count. The simulators and the database run on the same cores as the bots: what
limits the number is told by the cores that each kept busy. Where `cores_machine_…` comes near the number of cores, the
machine is full, and more processes can only share it.

`long`: the time to render the messages of a form below 200,000 characters of Markdown, and of a streamed text of
100,000, in a process of its own without a bot around it. The text is also drawn 50 times while it grows, as the bot
does: what stands far above its end is not written again. Then the calls to Slack: a run of each in a workspace that is
taken to have Slack's published limits; the text is written within 20 s and is the run's output, too.

`transfers`: the bot's carrier of files and both of its adapters in a process of their own, between the simulated
platforms. One file of 100,000,000 bytes each way (the request around one of 100 MiB the proxy in front of Dify would
refuse), then ten of 15,000,000 asked for at once, of which two are carried at the same time; the same ten back, five of
them as images, while ten others come, of which six are carried at the same time; and ten with a carrier for each. Peak:
the resident memory at its highest (VmHWM, set back before) above that right before, after a first transfer of small
files. Written: what the process wrote to any file, also to one that is in memory only (`wchar` of /proc/self/io, which
leaves out sockets). The bytes that arrive are compared with those that were shared.

PostgreSQL is the server at `TEST_POSTGRES_URL`, or at 127.0.0.1:5432; without one its rows are left out.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import sys
from collections.abc import Sequence

from tests.benchmarks.effort import FULL, QUICK, Effort, Row
from tests.benchmarks.measures import MEASURES


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks",
        description="Measure the bot beside a bare Bolt listener and a bare httpx-sse loop.",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    parser.add_argument("--quick", action="store_true", help="fewer samples: to see that it works, not how fast")
    parser.add_argument("--only", choices=MEASURES, help="one measure alone")
    options = parser.parse_args()
    names = [options.only] if options.only else list(MEASURES)
    rows = asyncio.run(_measure(names, QUICK if options.quick else FULL))
    facts = {"cores": os.cpu_count(), "python": platform.python_version(), "system": platform.platform()}
    if options.json:
        print(json.dumps({row.key: round(row.value, 4) for row in rows} | {"machine": facts}))  # noqa: T201
    else:
        print(_table(rows), "", *(f"{name}: {fact}" for name, fact in facts.items()), sep="\n")  # noqa: T201


async def _measure(names: Sequence[str], effort: Effort) -> list[Row]:
    rows = []
    for name in names:
        print(f"measuring {name} …", file=sys.stderr)  # noqa: T201
        rows += await MEASURES[name](effort)
    return rows


def _table(rows: Sequence[Row]) -> str:
    width = max(len(row.key) for row in rows)
    return "\n".join(f"{row.key:<{width}}  {row.value:>9.2f}  {row.meaning}" for row in rows)


if __name__ == "__main__":
    main()
