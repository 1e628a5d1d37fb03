"""Several processes that share the work: what one has begun is its own until its lease lapses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, MutableMapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from bot import bootstrap
from bot.bootstrap import at_work
from bot.core import effects as do
from bot.core.effects import Transition
from bot.core.model import FormStatus, RunStatus
from bot.errors import LeaseLost
from bot.playground.dify.apps import quick, slow, two_forms
from tests.services.stage import CHANNEL, LEASE, Stage, open_stage
from tests.store.conftest import postgres_url

__all__ = ["postgres_url"]

pytestmark = pytest.mark.postgres

LAPSED = timedelta(0)
APPS = (quick(), slow(seconds=60.0), two_forms())


@pytest.fixture
async def bots(tmp_path: Path, postgres_url: str) -> AsyncIterator[tuple[Stage, Stage]]:
    """Two processes over one database, neither of them at work."""
    async with AsyncExitStack() as stack:
        one = await stack.enter_async_context(open_stage(tmp_path, APPS, database_url=postgres_url))
        other = await stack.enter_async_context(one.reopened(*(app.name for app in APPS)))
        yield one, other


@asynccontextmanager
async def working(bot: Stage, lease: timedelta = LEASE) -> AsyncIterator[None]:
    """Let one of the processes work: with an alarm of its own, that rings at the start and at each beat."""
    async with at_work(replace(bot.parts, lease=lease), asyncio.Event()):
        yield


def streams(bot: Stage) -> int:
    """Return how often the events of a run were asked for."""
    return len(bot.requests("GET", "/events"))


async def test_what_a_process_that_lapsed_had_begun_is_taken_up_by_another(bots: tuple[Stage, Stage]) -> None:
    """And is finished by that one alone, however late the first comes back."""
    one, other = bots
    run_id = await one.ask("quick topic=tea")
    [check] = await one.begin()
    await one.store.stay(LAPSED)
    async with working(other):
        await other.in_status(run_id, RunStatus.SUCCEEDED)
    with pytest.raises(LeaseLost):
        await one.store.finish_effect(check.row_id)
    with pytest.raises(LeaseLost):
        await one.store.stay(LEASE)
    assert len(one.requests("POST", "/workflows/run")) == 1


async def test_an_answer_that_was_under_way_where_a_process_lapsed_is_settled_by_another(
    bots: tuple[Stage, Stage],
) -> None:
    one, other = bots
    async with working(one):
        run = await one.paused("two_forms topic=tea")
    await one.choose(run, "no", note="late")
    begun = await one.begin()
    assert do.SubmitForm(run.forms[0].form_id) in [saved.effect for saved in begun]
    await one.dify.answer_elsewhere(one.dify.open_forms()[0], "no", {"note": "late"})
    await one.store.stay(LAPSED)
    async with working(other):
        run = await other.run_when(run.run_id, lambda run: run.forms[0].status is FormStatus.SUBMITTED)
    assert run.forms[0].submission is not None
    assert one.submits() == []


@pytest.mark.parametrize("end", ["it drains", "it lapses"])
async def test_a_run_that_a_process_followed_is_followed_by_another(bots: tuple[Stage, Stage], end: str) -> None:
    one, other = bots
    async with AsyncExitStack() as life:
        await life.enter_async_context(working(one))
        run_id = await one.ask("slow topic=tea")
        await one.in_status(run_id, RunStatus.RUNNING)
        if end == "it drains":
            await life.aclose()
        else:
            await one.store.stay(LAPSED)
        async with working(other):
            await other.dify.wait_for(lambda: streams(other) == 1)
            assert other.parts.streams.follows(run_id)


async def test_a_run_that_a_living_process_follows_is_followed_by_nobody_else(bots: tuple[Stage, Stage]) -> None:
    """Else people would see it drawn by both."""
    one, other = bots
    async with working(one), working(other):
        run = await one.in_status(await one.ask("slow topic=tea"), RunStatus.RUNNING)
        [follower] = [bot for bot in bots if bot.parts.streams.follows(run.run_id)]
        [bystander] = [bot for bot in bots if bot is not follower]
        bystander.parts.reconciler.look_at(run.run_id)
        await bystander.looks_end()
        await asyncio.gather(*bystander.parts.streams._readers)
        assert streams(one) == 0
        assert not bystander.parts.streams.follows(run.run_id)


async def test_an_answer_is_listened_to_where_it_is_sent_from(bots: tuple[Stage, Stage]) -> None:
    """Whoever heard of the pause is of no use to a run that another process resumes."""
    one, other = bots
    async with working(one):
        run = await one.paused("two_forms topic=tea")
        assert await one.store.follow(run.run_id)
        async with working(other):
            await other.choose(run, "no")
            await other.in_status(run.run_id, RunStatus.SUCCEEDED)
    assert len(one.submits()) == 1


async def test_a_process_that_was_taken_for_dead_finishes_nothing_and_begins_anew(
    bots: tuple[Stage, Stage], logged: list[MutableMapping[str, Any]]
) -> None:
    """Say, because its machine slept: the start it was about is unconfirmed by then, and no second one goes out."""
    one, other = bots
    await other.store.join(LEASE)
    async with working(one, timedelta(seconds=1.5)):
        one.dify.delay_next("run", 3000)
        run_id = await one.ask("quick topic=tea")
        await one.dify.wait_for(lambda: one.requests("POST", "/workflows/run"))
        await one.store.stay(LAPSED)
        await other.parts.outbox.recover()
        await other.in_status(run_id, RunStatus.SOUGHT)
        await one.until(lambda: any(entry["event"].startswith("lease lost") for entry in logged))
        again = await one.ask("quick topic=coffee")
        await one.in_status(again, RunStatus.SUCCEEDED)
    assert (await one.store.run(run_id)).status is RunStatus.SOUGHT
    assert len(one.requests("POST", "/workflows/run")) == 2
    assert len(one.workspace.channel(CHANNEL).roots) == 2


async def test_a_run_that_another_process_than_its_follower_stopped_is_called_stopped(
    bots: tuple[Stage, Stage],
) -> None:
    """Its stream says `failed` (recording 12), and the follower did not hear of the click."""
    one, other = bots
    async with working(one):
        # From its first text on nothing that is heard is saved, which would tell of the click.
        run = await one.run_when(await one.ask("slow topic=tea"), lambda run: run.answer_ts)
        assert one.parts.streams.follows(run.run_id)
        async with working(other):
            await other.parts.decisions.stop(run.run_id, other.workspace.person("ben").id, delivery="stop")
            run = await other.run_when(run.run_id, lambda run: run.status.ended)
            assert run.status is RunStatus.STOPPED
            await one.reads(one.root(run), "Stopped by")


async def test_what_another_process_has_to_say_of_a_run_is_said_by_the_one_that_follows_it(
    bots: tuple[Stage, Stage], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Soon, although nobody wakes it: the other one knows nothing of what it has shown."""
    monkeypatch.setattr(bootstrap, "NEXT_LOOK", 0.05)
    one, other = bots
    async with working(one):
        run = await one.in_status(await one.ask("slow topic=tea"), RunStatus.RUNNING)
        await other.store.join(LEASE)
        said = (do.PostAnswer(), do.PostStuck())
        await other.parts.recorder.change(run.run_id, lambda run, now: Transition(run, said))
        assert await other.store.claim_effects(other.clock.now(), 10) == ()
        await one.workspace.wait_for(lambda: one.workspace.find(thread=run.thread_ts, text="has not moved"))
