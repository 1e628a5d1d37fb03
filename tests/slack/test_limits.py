"""The lines before Slack's methods."""

from __future__ import annotations

import asyncio

import pytest

from bot.errors import SlackUnavailable
from bot.playground.slack.rate_limits import RateLimits
from bot.slack.delivery.limits import PATIENCE, Gate, Importance

POST, UPDATE = "chat.postMessage", "chat.update"


class HandClock:
    """A monotonic clock that goes to the next sleeper whenever nobody else has anything to do."""

    def __init__(self) -> None:
        self.time = 1_000.0
        self._sleepers: list[tuple[float, asyncio.Future[None]]] = []

    def now(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sleepers.append((self.time + seconds, woken))
        await woken

    async def until_all_slept(self, *tasks: asyncio.Task[None]) -> None:
        """Let time pass until these are done."""
        while not all(task.done() for task in tasks):
            for _ in range(len(tasks) + 1):
                await asyncio.sleep(0)
            self._sleepers.sort(key=lambda sleeper: sleeper[0])
            if self._sleepers:
                at, woken = self._sleepers.pop(0)
                self.time = max(self.time, at)
                woken.set_result(None)


class Caller:
    """Calls through a gate, comes back when it is put back, and notes what went out when."""

    def __init__(self, rate_factor: float = 1.0) -> None:
        self.clock = HandClock()
        self.gate = Gate(rate_factor, self.clock.now, self.clock.sleep)
        self.called: list[tuple[float, str]] = []
        self.put_back: list[tuple[str, float]] = []

    def call(
        self, name: str, importance: Importance = Importance.REFRESH, method: str = UPDATE, channel: str | None = None
    ) -> asyncio.Task[None]:
        """Call in a task, as often as it takes."""

        async def persist() -> None:
            while True:
                try:
                    await self.gate.turn(method, channel, importance, name)
                except SlackUnavailable as held:
                    seconds = held.retry_after or 0.0
                    self.put_back.append((name, seconds))
                    await self.clock.sleep(seconds)
                else:
                    self.called.append((self.clock.time - 1_000, name))
                    return

        return asyncio.create_task(persist())

    async def all(self, *tasks: asyncio.Task[None]) -> None:
        """Let time pass until these went out."""
        async with asyncio.timeout(10):
            await self.clock.until_all_slept(*tasks)

    @property
    def names(self) -> list[str]:
        """What went out, in order."""
        return [name for _, name in self.called]


async def test_what_slack_allows_goes_at_once() -> None:
    """Fifty updates a minute; the next ones wait for the oldest to be a minute old."""
    caller = Caller()
    await caller.all(*(caller.call(f"update {number}") for number in range(120)))
    times = [at for at, _ in caller.called]
    assert times[:50] == [0.0] * 50
    assert times[50:100] == pytest.approx([60.0] * 50)
    assert times[100:] == pytest.approx([120.0] * 20)
    assert caller.names == [f"update {number}" for number in range(120)]


async def test_one_channel_gets_a_message_a_second_and_holds_up_no_other() -> None:
    """After a burst of four (slack-platform §8.1)."""
    caller = Caller()
    posts = [caller.call(f"{channel}{number}", method=POST, channel=channel) for channel in "ab" for number in range(9)]
    await caller.all(*posts)
    for channel in "ab":
        times = [at for at, name in caller.called if name.startswith(channel)]
        assert times == pytest.approx([0.0] * 4 + [4.0] * 4 + [8.0])


async def test_nothing_goes_before_slacks_time_and_then_one_by_one() -> None:
    """No herd when the hold is over: fifty a minute are one in 1.2 seconds."""
    caller = Caller()
    caller.gate.hold(UPDATE, 30)
    await caller.all(*(caller.call(f"update {number}") for number in range(5)), caller.call("post", method=POST))
    assert caller.called[0] == (0.0, "post")
    assert [at for at, _ in caller.called[1:]] == pytest.approx([30.0, 31.2, 32.4, 33.6, 34.8])


async def test_what_is_important_goes_first() -> None:
    """However late it came, up to a point: nobody is overtaken for ever."""
    caller = Caller()
    caller.gate.hold(UPDATE, 20)
    kinds = (Importance.COURTESY, Importance.REMINDER, Importance.REFRESH, Importance.DECISION)
    early = [caller.call(kind.name.lower(), kind) for kind in kinds]
    for _ in range(5):
        await asyncio.sleep(0)
    caller.clock.time += 10
    late = [caller.call(f"late {kind.name.lower()}", kind) for kind in kinds]
    await caller.all(*early, *late)
    assert caller.names == [
        "decision",
        "refresh",
        "late decision",
        "reminder",
        "late refresh",
        "late reminder",
        "courtesy",
        "late courtesy",
    ]


async def test_who_is_put_back_keeps_the_place_and_is_told_its_own_time() -> None:
    """A hundred that are put back do not all come again at the same moment."""
    caller = Caller()
    caller.gate.hold(UPDATE, 30)
    await caller.all(*(caller.call(f"update {number}") for number in range(100)))
    assert caller.names == [f"update {number}" for number in range(100)]
    first_told = dict(reversed(caller.put_back))
    assert first_told["update 0"] == pytest.approx(30.0)
    assert first_told["update 10"] == pytest.approx(42.0)
    assert len(caller.put_back) < 250, "hardly anybody is put back twice"


async def test_a_short_wait_is_waited_in_line() -> None:
    """It costs no way through the database."""
    caller = Caller()
    caller.gate.hold(UPDATE, PATIENCE)
    await caller.all(caller.call("update"))
    assert caller.called == [(PATIENCE, "update")]
    assert caller.put_back == []


async def test_who_does_not_come_back_blocks_nobody() -> None:
    """Another process may have carried it out, or nobody needs it any more."""
    caller = Caller()
    caller.gate.hold(UPDATE, 10)
    for number in range(20):
        with pytest.raises(SlackUnavailable):
            await caller.gate.turn(UPDATE, None, Importance.REFRESH, f"gone {number}")
    assert caller.gate.wait(UPDATE, 0) == pytest.approx(10 + 20 * 1.2)
    caller.clock.time += 60
    assert caller.gate.wait(UPDATE, 0) == 0


async def test_who_leaves_the_line_makes_room() -> None:
    """A stop of the bot ends its wait."""
    caller = Caller()
    caller.gate.hold(UPDATE, 3)
    waiting = caller.call("update")
    await asyncio.sleep(0)
    assert caller.gate.wait(UPDATE, 0) == pytest.approx(3 + 1.2)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert caller.gate.wait(UPDATE, 0) == pytest.approx(3)


async def test_a_workspace_may_allow_more() -> None:
    """Ten times as much, all along."""
    caller = Caller(rate_factor=10)
    await caller.all(*(caller.call(f"post {number}", method=POST, channel="a") for number in range(50)))
    assert [at for at, _ in caller.called] == pytest.approx([0.0] * 40 + [4.0] * 10)


class Workspace:
    """Slack's real limits, and processes that call it, each through a gate of its own."""

    def __init__(self, processes: int = 1) -> None:
        self.clock = HandClock()
        self.limits = RateLimits.real()
        self.gates = [Gate(1.0, self.clock.now, self.clock.sleep) for _ in range(processes)]
        self.log: list[tuple[float, int, str, str, int]] = []
        """When which process called what method, for what, and the Retry-After if it was refused."""
        self.asked: dict[str, float] = {}
        """Since when each call wanted to be made."""

    async def carry_out(self, process: int, method: str, channel: str, importance: Importance, name: str) -> None:
        """Call as the outbox does: until it is done, as late as it is told to."""
        gate = self.gates[process]
        self.asked[name] = self.clock.time
        while True:
            try:
                await gate.turn(method, channel if method == POST else None, importance, name)
            except SlackUnavailable as held:
                await self.clock.sleep(held.retry_after or 0.0)
                continue
            refused = self.limits.retry_after(method, channel, self.clock.time)
            self.log.append((self.clock.time, process, method, name, refused))
            if not refused:
                return
            gate.hold(method, refused)
            await self.clock.sleep(refused)

    async def run(self, process: int, number: int, channel: str) -> None:
        """Do what a run has Slack do until it waits for a form, and remind people of it at once."""
        steps = (
            (POST, Importance.DECISION, "root"),
            (UPDATE, Importance.REFRESH, "started"),
            (POST, Importance.DECISION, "form"),
            (UPDATE, Importance.REFRESH, "paused"),
            (POST, Importance.REMINDER, "reminder"),
        )
        for method, importance, name in steps:
            await self.carry_out(process, method, channel, importance, f"{name} {number}")

    def broken_holds(self) -> list[tuple[float, str]]:
        """Calls that went out though their process had been told to wait."""
        held: dict[tuple[int, str], float] = {}
        broken = []
        for at, process, method, name, refused in self.log:
            if at < held.get((process, method), 0.0) - 1e-6:
                broken.append((at, name))
            if refused:
                held[process, method] = at + refused
        return broken


@pytest.mark.parametrize("channels", [1, 10])
async def test_thirty_runs_at_once_are_never_refused(channels: int) -> None:
    """By a workspace that counts as Slack does; all of it is posted, forms ahead of reminders."""
    slack = Workspace()
    runs = [asyncio.create_task(slack.run(0, number, f"C{number % channels}")) for number in range(30)]
    async with asyncio.timeout(20):
        await slack.clock.until_all_slept(*runs)
    assert len(slack.log) == 30 * 5
    assert [name for *_, name, refused in slack.log if refused] == []
    posted = {name: at for at, _, method, name, _ in slack.log if method == POST}
    pairs = [(form, reminder) for form in range(30) for reminder in range(30) if (form - reminder) % channels == 0]
    overtaken = 0
    for form, reminder in pairs:
        asked, reminded = slack.asked[f"form {form}"], slack.asked[f"reminder {reminder}"]
        if asked < posted[f"reminder {reminder}"] and asked < reminded + Importance.REMINDER:
            assert posted[f"form {form}"] <= posted[f"reminder {reminder}"]
            overtaken += asked > reminded
    assert overtaken or channels > 1, "some forms came later and went first"


async def test_processes_that_share_a_workspace_obey_what_each_is_told() -> None:
    """They do not know of each other's calls, so Slack refuses some; nobody calls again before its time."""
    slack = Workspace(processes=3)
    runs = [asyncio.create_task(slack.run(number % 3, number, "C1")) for number in range(30)]
    async with asyncio.timeout(20):
        await slack.clock.until_all_slept(*runs)
    refused = [each for each in slack.log if each[-1]]
    assert refused
    assert slack.broken_holds() == []
    assert len(slack.log) - len(refused) == 30 * 5


# --- what is left to what matters ------------------------------------------------------------------------------------


def test_updates_that_matter_use_up_the_share_of_the_rest() -> None:
    """They always go; who leaves 15 of 50 to them waits until the last minute had fewer than 35."""
    clock = HandClock()
    gate = Gate(now=clock.now)
    for _ in range(34):
        gate.count(UPDATE)
    assert gate.wait(UPDATE, 15) == 0
    clock.time += 10
    gate.count(UPDATE)
    assert gate.wait(UPDATE, 15) == pytest.approx(50)
    assert gate.wait(UPDATE, 0) == 0
    clock.time += 50
    assert gate.wait(UPDATE, 15) == 0


def test_a_post_has_to_wait_for_its_channel_too() -> None:
    """One a second, a few at once; other channels and other methods are not held up by it."""
    clock = HandClock()
    gate = Gate(now=clock.now)
    for _ in range(4):
        assert gate.wait(POST, channel="C1") == 0
        gate.count(POST, "C1")
    assert gate.wait(POST, channel="C1") == pytest.approx(4)
    assert gate.wait(POST, channel="C2") == gate.wait(POST) == gate.wait(UPDATE) == 0


def test_an_hour_of_both_stays_within_slacks_limit() -> None:
    """With up to 15 updates that matter in any minute, never more than 50 in all."""
    clock = HandClock()
    gate = Gate(now=clock.now)
    sent: list[float] = []
    for second in range(3_600):
        clock.time += 1
        for goes in (second % 60 < 15, gate.wait(UPDATE, 15) == 0):
            if goes:
                gate.count(UPDATE)
                sent.append(clock.time)
    assert max(sum(start <= at < start + 60 for at in sent) for start in sent) <= 50


async def test_calls_of_one_name_that_wait_at_the_same_time_are_both_made() -> None:
    """Such as for a file that two forms want."""
    caller = Caller()
    for number in range(50):
        caller.gate.count(UPDATE)
        caller.clock.time += 1.0 if number == 0 else 0.0
    caller.clock.time = 1_000.0 + 58.0
    await caller.all(caller.call("same"), caller.call("same"), caller.call("other"))
    assert sorted(name for _, name in caller.called) == ["other", "same", "same"]
