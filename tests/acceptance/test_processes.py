"""Three processes over one PostgreSQL database, killed at random: nothing is lost and nothing happens twice."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

import pytest

from bot.playground.dify.forms import FormStatus
from bot.playground.scenarios import DONE, Scene
from bot.playground.slack import Message, RateLimits
from bot.playground.slack.faults import Duplicate, Overtaken
from bot.playground.stage import CHANNEL, PEOPLE, Stage, Transport
from tests.acceptance.conftest import SPEED, apps, open_stage

pytestmark = [pytest.mark.acceptance, pytest.mark.postgres]

Found = TypeVar("Found")

PROCESSES = 3
RUNS = 8
KILLS = 5
LIVES = (0.2, 1.5)
"""Seconds that all processes live on before one is killed, at least and at most."""
UNCONFIRMED_AT_MOST = RUNS // 2
"""More starts than this are not under way in the processes that are killed."""

UNCONFIRMED = "Not confirmed"
"""A start that a crash interrupted before Dify had it: nothing is in Dify's log, so people are told to look."""

LOOK_YOURSELF = "did not confirm"
"""What the thread says then, and nothing else."""

NAMED = ("⚙️", "⏸️", "✅", "❌", "⏹️", "⌛", "⚠️", "Answered")
"""What a root shows only of a run that Dify has named."""

TITLES = ("First review", "Second review", "Legal review", "Brand review", "Review draft", "Review revision")
"""What the forms are called of those apps that people start here."""

WINDOW = "Open in window"
"""The button of a form that decides nothing."""

PATIENCE = 120.0
"""Seconds; a start that was interrupted is looked for for a minute."""


@pytest.fixture(params=["socket", "http"])
async def stage(request: pytest.FixtureRequest, tmp_path: Path, postgres_url: str) -> AsyncIterator[Stage]:
    """Three processes that share the work."""
    transport: Transport = request.param
    limits = RateLimits.scaled(SPEED)
    async with open_stage(
        transport,
        tmp_path,
        apps(),
        speed=SPEED,
        rate_limits=limits,
        ack_timeout=3.0,
        processes=PROCESSES,
        database_url=postgres_url,
        settings={"LEASE_SECONDS": "10"},
    ) as stage:
        yield stage


@dataclass
class Crowd:
    """People who start runs and answer whatever they are asked, several at once and in no order."""

    scene: Scene
    chance: random.Random
    started: dict[str, bool] = field(default_factory=dict)
    """By the topic of a command: whether it was acknowledged."""
    clicks: list[tuple[str, Message]] = field(default_factory=list)
    """Who clicked in which form and was acknowledged."""

    async def run(self, number: int) -> None:
        """Start a run and see it through; whoever is not answered tries again."""
        app = self.chance.choice(["two_forms", "parallel", "review"])
        for attempt in range(100):
            topic = f"topic{number}-{attempt:02}"
            more = " language=English" if app == "review" else ""
            starter = self.chance.choice(PEOPLE)
            result = await self.scene.workspace.person(starter).command(CHANNEL, f'/dify {app} topic="{topic}"{more}')
            self.started[topic] = result.acked
            if result.acked:
                break
            await asyncio.sleep(0.2)
        await self.see_through(await self.wait_for(lambda: self.root(topic), f"a root for {topic}"))

    async def see_through(self, root: Message) -> None:
        """Answer everything that a run asks until it ends."""
        topic = root.shown.splitlines()[1]
        while await self.wait_for(lambda: is_over(root) or self.open_forms(root), f"{topic} to move") is not True:
            await self.answer(self.chance.choice(self.open_forms(root)))

    async def answer(self, form: Message) -> None:
        """Let two people press a button of a form at once, and again until one of them is acknowledged."""
        pair = self.chance.sample(PEOPLE, 2)
        pressed = await asyncio.gather(*(self.press(person, form) for person in pair))
        if any(pressed):
            await self.wait_for(lambda: not form.buttons, "a form to take a click")
        else:
            await asyncio.sleep(0.2)

    async def press(self, person: str, form: Message) -> bool:
        """Press one of a form's buttons; return whether that was acknowledged."""
        if not form.buttons:
            return True
        decision = self.chance.choice([button for button in form.buttons if button != WINDOW])
        result = await self.scene.workspace.person(person).click(form, decision)
        if result.acked:
            self.clicks.append((person, form))
        return result.acked

    def root(self, topic: str) -> Message | None:
        """The root of the run about this."""
        return next((root for root in self.scene.workspace.channel(CHANNEL).roots if topic in root.shown), None)

    def open_forms(self, root: Message) -> list[Message]:
        """The forms in a run's thread that can be answered."""
        return self.scene.workspace.find_all(channel=CHANNEL, thread=root.ts, button="")

    async def wait_for(self, predicate: Callable[[], Found | None], what: str) -> Found:
        """Wait until something is so; the error says for what."""
        try:
            return await self.scene.workspace.wait_for(predicate, timeout=PATIENCE)
        except TimeoutError:
            channel = self.scene.workspace.channel(CHANNEL)
            unfinished = [
                [self.scene.text(message) for message in (root, *channel.replies(root.ts))]
                for root in channel.roots
                if not is_over(root)
            ]
            raise AssertionError(f"waited in vain for {what}; these runs have not ended: {unfinished}") from None


def is_over(root: Message) -> bool:
    """Whether a root says that its run has ended."""
    return any(text.casefold() in root.shown.casefold() for text in (DONE, UNCONFIRMED))


def is_unconfirmed(root: Message) -> bool:
    """Whether a root says that Dify did not confirm the start of its run."""
    return UNCONFIRMED in root.shown


def check_unconfirmed(stage: Stage, root: Message) -> None:
    """Dify may have been asked once, and nothing was ever heard of the run."""
    topic = root.shown.splitlines()[1]
    assert not any(name in version.shown for version in root.history for name in NAMED), topic
    assert [LOOK_YOURSELF in reply.shown for reply in root.channel.replies(root.ts)] == [True], topic
    word = topic.split()[-1]
    starts = [each for each in stage.dify.requests if each.path.endswith("/workflows/run") and word in str(each.body)]
    assert len(starts) <= 1, f"{topic} was started {len(starts)} times"


def is_answered(scene: Scene, person: str, form: Message) -> bool:
    """Whether the form names this person as who decided, or the person was told in private what became of the form."""
    title = next(title for title in TITLES if title in form.history[0].shown)
    notes = scene.workspace.find_all(channel=CHANNEL, thread=form.thread_ts, visible_to=person, text=title)
    return scene.shows(form, f"@{person}") or bool(notes)


async def kill_at_random(stage: Stage, chance: random.Random) -> None:
    """Kill one process after the other, and start each again."""
    for _ in range(KILLS):
        await asyncio.sleep(chance.uniform(*LIVES))
        victim = chance.choice(stage.bots)
        await victim.kill()
        await victim.start()


async def test_processes_that_are_killed_at_random_lose_and_double_nothing(stage: Stage) -> None:
    """Every run ends, every form has one outcome, every decision counts once, every message stands once.

    No click and no command that was acknowledged is left without an answer.
    """
    chance = random.Random(os.environ.get("TEST_SEED", "1"))
    scene = Scene(stage, CHANNEL, lambda _: None, pace=0)
    stage.workspace.faults.add("slash_commands", Duplicate(), times=RUNS // 2)
    stage.workspace.faults.add("interactive", Overtaken(0.5), times=2)
    stage.workspace.faults.add("interactive", Duplicate(), times=RUNS)
    crowd = Crowd(scene, chance)
    killing = asyncio.create_task(kill_at_random(stage, chance))
    await asyncio.gather(*(crowd.run(number) for number in range(RUNS)))
    await killing
    # What was started by a command whose acknowledgement got lost is a run like any other.
    await asyncio.gather(*(crowd.see_through(root) for root in stage.workspace.channel(CHANNEL).roots))

    roots = stage.workspace.channel(CHANNEL).roots
    unconfirmed = [root for root in roots if is_unconfirmed(root)]
    assert len(unconfirmed) <= UNCONFIRMED_AT_MOST
    for root in unconfirmed:
        check_unconfirmed(stage, root)
    for topic, acked in crowd.started.items():
        count = sum(topic in root.shown for root in roots)
        assert count == 1 or (not acked and not count), f"{topic}: {count} roots"
    for form in stage.dify.forms.values():
        posts = [each.status for each in scene.submits if each.path.endswith(form.token)]
        assert posts.count(200) == (form.status is FormStatus.SUBMITTED), f"answers to one form: {posts}"
    for person, message in crowd.clicks:
        answered = partial(is_answered, scene, person, message)
        await crowd.wait_for(answered, f"an answer to {person}'s click in {message.shown}")
    assert stage.workspace.find_all(channel=CHANNEL, button="") == []
    scene.check_posts()
