"""The simulated Slack in a process of its own: one workspace with the bot, and one with the bare listener."""

from __future__ import annotations

import asyncio
import re
import time
from contextlib import AsyncExitStack
from typing import Any, Self

from bot.playground.slack import Message, Person, RateLimits, Result, SlackServer, Workspace
from bot.playground.slack.workspace import Call
from tests.benchmarks.children import serve
from tests.benchmarks.dify_side import QUESTION, RESULT, check_bodies

CHANNELS = 20
"""Enough for Slack's limit of one post a second and channel to matter little to the bot's own pacing."""
LANES = 100
"""Channels of those who work side by side, for the same reason one each."""
AT_ONCE = 20
QUIET_SECONDS, QUIET_AT_LAST = 0.03, 1.0
WAIT_SECONDS = 300.0


_SAID = re.compile("|".join(text.format(r"(case-\d+)") for text in (QUESTION, RESULT)))


class _Workspace(Workspace):
    """Tells at once of a call that says something about a topic: looking for it after every change takes too long."""

    def __init__(self, channels: dict[str, tuple[str, ...]]) -> None:
        super().__init__(people=("ann",), channels=channels, rate_limits=RateLimits.off(), ack_timeout=WAIT_SECONDS)
        self._awaited: dict[str, asyncio.Future[Call]] = {}
        self.arrivals: dict[str, float] = {}
        """When the call came in that first said a `QUESTION` or a `RESULT` whole, in seconds of the monotonic clock."""

    def next_saying(self, text: str) -> asyncio.Future[Call]:
        """Return the next call that says this, a `QUESTION` or a `RESULT`, as soon as there is one."""
        self._awaited[text] = asyncio.get_running_loop().create_future()
        return self._awaited[text]

    def record(self, call: Call) -> None:
        super().record(call)
        if not call.ok:
            return
        for said in _SAID.finditer(self._said(call)):
            self.arrivals.setdefault(said[0], call.arrived)
            if awaited := self._awaited.pop(said[0], None):
                awaited.set_result(call)

    def _said(self, call: Call) -> str:
        """Return what a call says; of a stream, what stands there by now, since a call brings only the next piece."""
        if not call.method.endswith("Stream"):
            return str(call.arguments)
        channel = self.channel_by_id(call.response["channel"])
        message = channel.message(call.response["ts"]) if channel else None
        return message.shown if message else ""


class SlackSide:
    """What the benchmark asks of the simulated workspaces, and of the people in them."""

    def __init__(self) -> None:
        self._bot, self._bare = _workspace(), _workspace()
        self._servers = {"bot": SlackServer(self._bot), "bare": SlackServer(self._bare)}
        self._open = AsyncExitStack()
        self._topics = 0
        self._finished = 0
        self._lanes: set[asyncio.Task[None]] = set()
        self._winding_down = False

    async def __aenter__(self) -> Self:
        for server in self._servers.values():
            await self._open.enter_async_context(server)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()

    async def addresses(self) -> dict[str, dict[str, str]]:
        """Return what the bot and the bare listener have to know."""
        return {
            name: {
                "api_url": server.api_url,
                "token": server.workspace.bot_token,
                "app_token": server.workspace.app_token,
                "signing_secret": server.workspace.signing_secret,
            }
            for name, server in self._servers.items()
        }

    async def deliver(self, name: str, url: str) -> None:
        """Deliver what people do to the bot (or the bare listener) at this address."""
        await self._servers[name].deliver_over_http(url)

    async def connected(self, count: int) -> None:
        """Wait until the bot has this many Socket Mode connections."""
        sockets = self._bot.courier.sockets
        await self._bot.wait_for(lambda: len(sockets.connections) >= count, timeout=WAIT_SECONDS)

    async def start_runs(self, app: str, count: int) -> None:
        """Start runs as people do, a few at a time, spread over the channels."""
        few = asyncio.Semaphore(AT_ONCE)

        async def start(number: int) -> None:
            async with few:
                _acked(await self._ann.command(_channel(number), f"/dify {app}"))

        await asyncio.gather(*(start(number) for number in range(count)))

    async def settled(self) -> None:
        """Wait until nothing but progress is being posted."""

        def posts() -> int:
            return sum(call.method != "chat.update" for call in self._bot.calls)

        async with asyncio.timeout(WAIT_SECONDS):
            before = -1
            while before < (now := posts()):
                before = now
                await asyncio.sleep(1)

    async def decide(self) -> float:
        """Answer one of the open forms; return when that was, in seconds of the monotonic clock."""
        form = self._forms.pop()
        self._ann.select(form, "tone", "formal")
        at = time.monotonic()
        _acked(await self._ann.click(form, "OK"))
        return at

    # --- throughput --------------------------------------------------------------------------------------------------

    async def work(self, lanes: int) -> None:
        """Let this many people play runs of `ask`, each one after the other; return once each has finished one."""
        self._lanes = {asyncio.create_task(self._work(_lane(number))) for number in range(lanes)}
        await self._bot.wait_for(lambda: self._finished >= lanes or self._fallen(), timeout=WAIT_SECONDS)

    async def finished(self) -> int:
        """Return how many runs have been finished so far: their results stand in Slack."""
        if fallen := self._fallen():
            raise RuntimeError("somebody could not go on") from fallen
        return self._finished

    async def wind_down(self) -> None:
        """Let everybody finish what they are at, and begin nothing."""
        self._winding_down = True
        await asyncio.gather(*self._lanes)

    def _fallen(self) -> BaseException | None:
        return next((lane.exception() for lane in self._lanes if lane.done() and not self._winding_down), None)

    async def _work(self, channel: str) -> None:
        while not self._winding_down:
            async with asyncio.timeout(WAIT_SECONDS):
                await self._finish_one(channel)
            self._finished += 1
            self._bot.changed()

    async def _finish_one(self, channel: str) -> None:
        topic = self._new_topic()
        question = self._bot.next_saying(QUESTION.format(topic))
        result = self._bot.next_saying(RESULT.format(topic))
        _acked(await self._ann.command(channel, f"/dify ask topic={topic}"))
        form = self._bot.channel(channel).message((await question).response["ts"])
        assert form is not None, "what Slack has just shown"
        self._ann.select(form, "tone", "formal")
        _acked(await self._ann.click(form, "OK"))
        await result

    # --- acknowledgements --------------------------------------------------------------------------------------------

    async def open_forms(self, count: int) -> None:
        """Have `count` forms posted that nobody has answered."""
        topics = [self._new_topic() for _ in range(count)]
        for number, topic in enumerate(topics):
            _acked(await self._ann.command(_channel(number), f"/dify ask topic={topic}"))
        self._forms = [await self._form(topic, _channel(number)) for number, topic in enumerate(topics)]
        content = self._forms[0].history[-1].content
        self._copy = self._bare.post(self._bare.channel(_channel(0)), content, self._bare.bot)

    async def acks(self, count: int) -> dict[str, dict[str, list[float]]]:
        """Return what `count` clicks and as many commands took to be acked, in ms, beside the bare listener's.

        Click, command, click, command …, each first at the bare listener, which leaves nothing to do, then at the
        bot; the next pair waits until the bot has worked off what this one gave it to do.
        """
        times: dict[str, dict[str, list[float]]] = {name: {"click": [], "command": []} for name in self._servers}
        bare_ann = self._bare.person("ann")
        for number in range(count):
            form = self._forms.pop()
            channel, command = _channel(number), "/dify quick topic=launch"
            bare_ann.select(self._copy, "tone", "formal")
            times["bare"]["click"].append(_acked(await bare_ann.click(self._copy, "OK")))
            self._ann.select(form, "tone", "formal")
            times["bot"]["click"].append(_acked(await self._ann.click(form, "OK")))
            await self._quiet()
            times["bare"]["command"].append(_acked(await bare_ann.command(channel, command)))
            times["bot"]["command"].append(_acked(await self._ann.command(channel, command)))
            await self._quiet()
        return times

    async def _quiet(self) -> None:
        """Wait until the bot has called nothing for a moment; under load, that may never be."""
        before, waited = -1, 0.0
        while before < len(self._bot.calls) and waited < QUIET_AT_LAST:
            before = len(self._bot.calls)
            await asyncio.sleep(QUIET_SECONDS)
            waited += QUIET_SECONDS

    # --- latencies ---------------------------------------------------------------------------------------------------

    async def reviews(self, count: int) -> list[dict[str, Any]]:
        """Play runs of `ask` from the command to the result, one after the other.

        Each gives its `topic` and, in seconds of the monotonic clock, `clicked`, and `form` and `result`: the moment
        at which the call that posted it came in, and the `answered` moments of the calls that came before.
        """
        return [await self._review(_channel(number)) for number in range(count)]

    async def _review(self, channel: str) -> dict[str, Any]:
        topic, first_call = self._new_topic(), len(self._bot.calls)
        question, result = QUESTION.format(topic), RESULT.format(topic)
        _acked(await self._ann.command(channel, f"/dify ask topic={topic}"))
        form = await self._form(topic, channel)
        self._ann.select(form, "tone", "formal")
        await self._quiet()
        _acked(await self._ann.click(form, "OK"))
        clicked = self._bot.deliveries[-1].sent
        await self._bot.wait_for(lambda: result in self._bot.arrivals, timeout=WAIT_SECONDS)
        await self._quiet()
        return {
            "topic": topic,
            "clicked": clicked,
            "form": self._bot.arrivals[question],
            "result": self._bot.arrivals[result],
            "calls": [(call.arrived, call.answered) for call in self._bot.calls[first_call:]],
        }

    # --- long texts --------------------------------------------------------------------------------------------------

    async def long(self, app: str, natively: bool) -> list[str]:
        """Start a run of an app with a long text, and return the methods called until its form or result is there.

        The workspace takes streams where `natively`.

        Raises:
            RuntimeError: the bot says that it cannot be started.
        """
        # Where streams are refused it is not tried again for a while, so that each way has a channel of its own.
        first_call, channel = len(self._bot.calls), _lane(not natively)
        self._bot.streams_in = frozenset({"channel"} if natively else ())
        before = len(self._bot.channel(channel).roots)
        _acked(await self._ann.command(channel, f"/dify {app} topic={self._new_topic()}"))

        def is_there() -> bool:
            roots = self._bot.channel(channel).roots[before:]
            replies = self._bot.channel(channel).replies(roots[0].ts) if roots else []
            if not replies:
                return False
            last = replies[-1]
            goes_on = last.in_progress or "✍️" in last.shown or "goes on below" in last.shown
            return bool(last.buttons) or ("Done in" in roots[0].shown and not goes_on)

        await self._bot.wait_for(is_there, timeout=WAIT_SECONDS)
        await self.settled()
        return [call.method for call in self._bot.calls[first_call:]]

    # --- files -------------------------------------------------------------------------------------------------------

    async def share(self, names: list[str], size: int) -> list[dict[str, str]]:
        """Let somebody share files of this many bytes, none of which is in memory."""
        message = await self._ann.share(_channel(0), [(name, (size, b"benchmark ")) for name in names])
        return [{"id": file.id, "name": file.name} for file in message.content.shared]

    async def check_files(self, ids: list[str], size: int) -> None:
        """Refuse the numbers where a file did not arrive as it was shared.

        Raises:
            RuntimeError: one did not.
        """
        check_bodies([self._bot.files.by_id[each].body for each in ids], size)

    # --- shared ------------------------------------------------------------------------------------------------------

    @property
    def _ann(self) -> Person:
        return self._bot.person("ann")

    def _new_topic(self) -> str:
        self._topics += 1
        return f"case-{self._topics:04}"

    async def _form(self, topic: str, channel: str) -> Message:
        text = QUESTION.format(topic)
        return await self._bot.wait_for(
            lambda: self._bot.find(channel=channel, text=text, button="OK"), timeout=WAIT_SECONDS
        )


def _workspace() -> _Workspace:
    channels = (*map(_channel, range(CHANNELS)), *map(_lane, range(LANES)))
    return _Workspace(dict.fromkeys(channels, ("ann", "bot")))


def _channel(number: int) -> str:
    return f"c{number % CHANNELS:02}"


def _lane(number: int) -> str:
    return f"lane{number:02}"


def _acked(result: Result) -> float:
    """Return how long it took, in ms."""
    if not result.acked or result.ack_ms is None:
        raise RuntimeError(f"not acknowledged: {result.error}")
    return result.ack_ms


async def _main() -> None:
    async with SlackSide() as side:
        await serve(side)


if __name__ == "__main__":
    asyncio.run(_main())
