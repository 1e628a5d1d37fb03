"""The bot as it is shipped, in processes that can be killed at a counted point.

Run as a program this is a zygote: it imports everything once, in one thread, and forks a bot whenever it is told to, so
that a start takes a tenth of the time. It reads one line of JSON per bot and tells when one has ended:

    {"name": …, "environment": {…}, "folder": …, "points": FILE, "sabotage": null}   →   {"started": NAME, "pid": …}
                                                                                     …   {"ended": PID, "status": …}

The code of the bot is not changed for this. Around its database, its HTTP clients, its Socket Mode client and its
stream reader, `watch` puts calls that count; `hurry` shortens what the bot waits, named constants all of them, so that
thousands of trials can be played; `SABOTAGE` holds the faults of a bad bot, by which the judge is judged.
"""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import json
import os
import random
import select
import signal
import sys
import tempfile
import threading
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg  # noqa: F401  # the driver that SQLAlchemy imports at the first connection
import httpx
from slack_sdk.socket_mode.aiohttp import SocketModeClient

from bot import bootstrap, cli, transports
from bot.core import effects, polling, reminding
from bot.core.effects import Transition
from bot.core.giving_out import to_share
from bot.core.model import Run, RunStatus
from bot.core.ports import FileContent
from bot.dify.client import DifyClient
from bot.dify.sansio import SegmentReader
from bot.errors import StoreError
from bot.services import due, limits, outbox, reconcile, recorder, streams
from bot.services.commands import CommandDesk
from bot.services.forms import DecisionDesk
from bot.slack.delivery import texts
from bot.slack.delivery.posts import Poster
from bot.slack.delivery.shares import Shares
from bot.slack.delivery.texts import Texts
from bot.slack.gateway import SlackGateway
from bot.slack.messages import message, notices
from bot.store import database
from tests.faults.points import Point, Points

SPEED = 50.0
"""How much faster than a real one the simulated Dify is, and roughly how much less the bot waits."""


def main() -> None:
    """Fork bots until standard input is closed, then end all of them."""
    _import_the_rest()
    children: dict[int, str] = {}
    wakes, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    _say(ready=True)
    orders = b""
    while True:
        readable, _, _ = select.select([0, wakes], [], [])
        if wakes in readable:
            os.read(wakes, 4096)
            _bury(children)
        if 0 in readable:
            read = os.read(0, 65536)
            if not read:
                break
            *lines, orders = (orders + read).split(b"\n")
            for line in lines:
                order = json.loads(line)
                pid = _fork(order)
                children[pid] = order["name"]
                _say(started=order["name"], pid=pid)
    for pid in children:
        os.kill(pid, signal.SIGKILL)


def _import_the_rest() -> None:
    """Use the database once: much of SQLAlchemy and Alembic is only imported then."""
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(bootstrap.migrate(f"sqlite:///{folder}/warm.sqlite3"))
    assert threading.active_count() == 1, "only one thread may fork"


def _bury(children: dict[int, str]) -> None:
    while children:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        del children[pid]
        _say(ended=pid, status=os.waitstatus_to_exitcode(status))


def _say(**what: Any) -> None:
    os.write(1, json.dumps(what).encode() + b"\n")


def _fork(order: dict[str, Any]) -> int:
    pid = os.fork()
    if pid:
        return pid
    code = 70
    try:
        _become_bot(**order)
        code = 0
    except SystemExit as exit_:
        code = exit_.code if isinstance(exit_.code, int) else 1
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        # Nothing of the zygote is to be tidied up here.
        sys.stderr.flush()
        os._exit(code)


def _become_bot(name: str, environment: dict[str, str], folder: str, points: str, sabotage: str | None) -> None:
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    log = os.open(Path(folder) / f"{name}.log", os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    # A fork has the zygote's state, and jitter is for processes that must not all do the same.
    random.seed()
    hurry()
    watch(Points(Path(points)), environment["SLACK_API_URL"])
    if sabotage:
        SABOTAGE[sabotage]()
    sys.argv = ["dify-slack-bot", "run"]
    cli.main()


# --- waiting less --------------------------------------------------------------------------------------------------


def hurry() -> None:
    """Shorten what the bot waits for; what it does after waiting stays as it is."""
    for module in (outbox, recorder):
        _set(module, "STORE_PAUSE", timedelta(seconds=0.2))
    usual_pause = outbox.pause_before
    outbox.pause_before = lambda *arguments: usual_pause(*arguments) / 5
    _set(limits, "OUTAGE_PAUSE", timedelta(seconds=0.5))
    _set(reconcile, "LOOK_TIME", timedelta(seconds=3))
    _set(reconcile, "GRACE_AFTER_ANSWER", timedelta(seconds=8))
    for module in (polling, reconcile):
        _set(module, "SOUGHT_FOR", timedelta(seconds=3))
    _set(polling, "_AT_ONCE", timedelta(seconds=0.1))
    _set(polling, "_SOON", timedelta(seconds=0.3))
    _set(polling, "_FOLLOWED", timedelta(seconds=1.5))
    _set(streams, "FIRST_PING", 2.0)
    for module in (reminding, recorder):
        _set(module, "APART", timedelta(seconds=0.2))
    _set(due, "REMIND_TIME", timedelta(seconds=0.5))
    _set(transports, "WATCH_INTERVAL", 0.3)
    usual_client = SocketModeClient.__init__

    def client(self: SocketModeClient, *arguments: Any, **named: Any) -> None:
        usual_client(self, *arguments, **{**named, "ping_interval": 0.5})

    SocketModeClient.__init__ = client  # type: ignore[method-assign]


def _set(module: Any, name: str, value: Any) -> None:
    if not isinstance(getattr(module, name), type(value)):
        raise TypeError(f"{module.__name__}.{name} is no {type(value).__name__} any more")
    setattr(module, name, value)


# --- counting ------------------------------------------------------------------------------------------------------


def watch(points: Points, slack_url: str) -> None:
    """Count every save, every request that is sent or answered, every stream event, every delivery and its ack."""
    slack = slack_url.split("/api")[0]

    for kind in (database.SqliteDatabase, database.PostgresqlDatabase):
        _around(kind, "write", lambda *_: (Point.BEFORE_SAVE, Point.AFTER_SAVE), points)

    def ends_of(url: Any) -> tuple[Point, Point]:
        to_slack = str(url).startswith(slack) or str(url).startswith(slack.replace("http", "ws"))
        return (Point.BEFORE_SLACK, Point.AFTER_SLACK) if to_slack else (Point.BEFORE_DIFY, Point.AFTER_DIFY)

    # All of Slack and the streams of Dify go through aiohttp, Dify's short calls through httpx's own transport.
    _around(aiohttp.ClientSession, "_request", lambda method, url, *_: ends_of(url), points)
    _around(httpx.AsyncHTTPTransport, "handle_async_request", lambda request: ends_of(request.url), points)

    usual_receive = SegmentReader.receive

    def receive(self: SegmentReader, *arguments: Any) -> Any:
        points.passed(Point.STREAM_EVENT)
        return usual_receive(self, *arguments)

    SegmentReader.receive = receive  # type: ignore[method-assign]

    usual_enqueue = SocketModeClient.enqueue_message

    async def enqueue(self: SocketModeClient, message: str) -> None:
        if '"envelope_id"' in message:
            points.passed(Point.DELIVERY)
        await usual_enqueue(self, message)

    SocketModeClient.enqueue_message = enqueue  # type: ignore[method-assign]
    _around(SocketModeClient, "send_message", lambda *_: (Point.BEFORE_ACK, Point.AFTER_ACK), points)


def _around(owner: type, name: str, which: Callable[..., tuple[Point, Point]], points: Points) -> None:
    """Let a method pass one point before it is carried out and one after it."""
    usual = getattr(owner, name)

    @functools.wraps(usual)
    async def counted(self: Any, *arguments: Any, **named: Any) -> Any:
        before, after = which(*arguments)
        points.passed(before)
        result = await usual(self, *arguments, **named)
        points.passed(after)
        return result

    setattr(owner, name, counted)


# --- a bad bot -----------------------------------------------------------------------------------------------------


def _post_twice() -> None:
    usual = Poster._post_part

    async def post(self: Poster, *arguments: Any) -> str:
        await usual(self, *arguments)
        return await usual(self, *arguments)

    Poster._post_part = post  # type: ignore[method-assign]


def _share_twice() -> None:
    usual = Shares.share

    async def share(self: Shares, run: Run, form_id: str | None, errand: Any) -> None:
        await usual(self, run, form_id, errand)
        for file in to_share(run, form_id):
            again = await self._files.upload(file.name, FileContent(_bytes(b"again"), 5), "", errand)
            await self._files.complete({again: file.name}, errand, channel_id=run.channel_id, thread_ts=run.thread_ts)

    Shares.share = share  # type: ignore[method-assign]


async def _bytes(content: bytes) -> AsyncIterator[bytes]:
    yield content


def _leave_out(kind: type) -> None:
    usual = SlackGateway.carry_out

    async def carry_out(self: SlackGateway, effect: Any, *arguments: Any, **named: Any) -> Any:
        return None if isinstance(effect, kind) else await usual(self, effect, *arguments, **named)

    SlackGateway.carry_out = carry_out  # type: ignore[method-assign]


def _ignore_clicks() -> None:
    async def choose(self: DecisionDesk, *arguments: Any, **named: Any) -> None:
        return None

    DecisionDesk.choose = choose  # type: ignore[method-assign]


def _send_twice() -> None:
    usual = streams._submitted

    async def submitted(dify: Any, run: Any, form: Any, submission: Any) -> Any:
        event = await usual(dify, run, form, submission)
        await usual(dify, run, form, submission)
        return event

    streams._submitted = submitted


def _change_answers() -> None:
    usual = streams._submitted

    async def submitted(dify: Any, run: Any, form: Any, submission: Any) -> Any:
        values = {name: f"{value}, or so" for name, value in submission.values.items()}
        return await usual(dify, run, form, dataclasses.replace(submission, values=values))

    streams._submitted = submitted


def _lose_named() -> None:
    """Whatever is found in the database at the start is given up, as a start that was not confirmed."""
    usual = outbox.Outbox.recover
    recovered: list[outbox.Outbox] = []

    async def recover(self: outbox.Outbox) -> None:
        if not recovered:
            recovered.append(self)
            now = self._clock.now()
            for run_id in await self._store.claim_polls(now + timedelta(days=1), now, 1000, but_for=()):
                await self._recorder.change(run_id, lambda run, _: lost(run))
        await usual(self)

    def lost(run: Run) -> Transition:
        gone = dataclasses.replace(run, status=RunStatus.LOST, workflow_run_id=None)
        return Transition(gone, (effects.RefreshRoot(), effects.PostResult()))

    outbox.Outbox.recover = recover  # type: ignore[method-assign]


def _never_stop() -> None:
    async def stop(self: DifyClient, run: Run) -> None:
        return None

    DifyClient.stop = stop  # type: ignore[method-assign]


def _refuse_commands() -> None:
    async def take_in(self: CommandDesk, *arguments: Any) -> None:
        raise StoreError("I would rather not")

    CommandDesk.take_in = take_in  # type: ignore[method-assign]


def _leave_texts() -> None:
    async def leave_it(self: Texts, *arguments: Any) -> None:
        return None

    Texts._finish = leave_it  # type: ignore[method-assign]
    Texts._cut = leave_it  # type: ignore[method-assign]
    # Also where the run is done with a text before its message is posted.
    texts.is_writing = lambda run, segment: True  # type: ignore[attr-defined]


def _write_texts_twice() -> None:
    usual = Texts.post

    async def post(self: Texts, run: Run, segment: int, errand: Any) -> str | None:
        await usual(self, run, segment, dataclasses.replace(errand, post_id=f"{errand.post_id}-too"))
        return await usual(self, run, segment, errand)

    Texts.post = post  # type: ignore[method-assign]


def _remind_twice() -> None:
    usual = Poster._post_part

    async def post(self: Poster, channel: Any, thread: Any, what: message.Message, *arguments: Any) -> str:
        if what.text.startswith("⏰"):
            again = message.section(f"{what.text} Again.")
            await usual(self, channel, thread, dataclasses.replace(what, blocks=(again,)), *arguments)
        return await usual(self, channel, thread, what, *arguments)

    Poster._post_part = post  # type: ignore[method-assign]


def _say_nothing_of_use() -> None:
    vague = message.Message("Hm.", (message.section("Hm, who knows?"),))
    notices.decided = lambda *_: vague


SABOTAGE: dict[str, Callable[[], None]] = {
    "post twice": _post_twice,
    "lose files": lambda: _leave_out(effects.ShareFiles),
    "share files twice": _share_twice,
    "lose results": lambda: _leave_out(effects.PostResult),
    "leave forms": lambda: _leave_out(effects.RefreshForm),
    "tell nobody": lambda: _leave_out(effects.TellDecided),
    "ignore clicks": _ignore_clicks,
    "send twice": _send_twice,
    "change answers": _change_answers,
    "lose named": _lose_named,
    "never stop": _never_stop,
    "refuse commands": _refuse_commands,
    "leave texts": _leave_texts,
    "write texts twice": _write_texts_twice,
    "never remind": lambda: _leave_out(effects.PostReminder),
    "remind twice": _remind_twice,
    "say nothing of use": _say_nothing_of_use,
}
"""Ways to be a bad bot, by name."""


if __name__ == "__main__":
    main()
