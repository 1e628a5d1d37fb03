"""A start that Dify did not confirm: its run is looked for in Dify's log, and the start is never sent again (§4.3)."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from bot.core.effects import Transition
from bot.core.model import Run, RunStatus
from bot.dify.client import DifyClient
from tests.factories import make_run
from tests.services.stage import LEASE, Stage

TWO_FORMS = "two_forms topic=tea"
SOON = 1.2
"""Seconds after which it was looked for once: 1, and a tenth of it by chance."""
TOO_LONG = 70.0
"""Seconds after which a run that is in no log is not looked for any more."""

NOT_CONFIRMED = "⏳ Dify has not confirmed the start yet"


async def unconfirmed(stage: Stage, text: str = TWO_FORMS) -> Run:
    """Start a run whose stream breaks off in its first event; return it when Dify has it."""
    runs = len(stage.dify.runs)
    stage.dify.drop_stream(after_bytes=30)
    run = await stage.in_status(await stage.ask(text), RunStatus.SOUGHT)
    await stage.dify.wait_for(lambda: len(stage.dify.runs) > runs)
    return run


async def never_arrived(stage: Stage, text: str = TWO_FORMS) -> Run:
    """Start a run of which Dify knows nothing, and does not say so."""
    stage.dify.fail_next("run", status=500)
    return await stage.in_status(await stage.ask(text), RunStatus.SOUGHT)


def searches(stage: Stage) -> int:
    """How often Dify's log was asked for."""
    return len(stage.requests("GET", "/workflows/logs"))


def starts(stage: Stage) -> int:
    """How often Dify was asked to start something."""
    return len(stage.requests("POST", "/workflows/run"))


async def searched(stage: Stage, seconds: float) -> None:
    """Let time pass until the log is asked for once more, and wait for what that leads to."""
    before = searches(stage)
    await stage.later(seconds=seconds)
    await stage.dify.wait_for(lambda: searches(stage) > before)
    await stage.looks_end()


@pytest.mark.parametrize("fault", ["lost response", "cut before its first event"])
async def test_a_run_whose_start_was_not_confirmed_is_found_and_goes_on(bot: Stage, fault: str) -> None:
    """Each of its forms is posted, its answer counts, and its end is told."""
    if fault == "lost response":
        bot.dify.lose_response("run")
    else:
        bot.dify.drop_stream(after_bytes=30)
    run = await bot.in_status(await bot.ask(TWO_FORMS), RunStatus.SOUGHT)
    await bot.reads(bot.root(run), NOT_CONFIRMED)
    await bot.dify.wait_for(bot.dify.open_forms)
    await bot.later(seconds=SOON)
    run = await bot.run_when(run.run_id, lambda run: run.forms and run.forms[0].message_ts)
    await bot.choose(run, "no")
    run = await bot.in_status(run.run_id, RunStatus.SUCCEEDED)
    await bot.reads(bot.root(run), "Done")
    assert starts(bot) == 1


async def test_a_run_that_ended_before_it_was_found_tells_its_result(bot: Stage) -> None:
    run = await unconfirmed(bot, "quick topic=tea")
    await bot.dify.wait_for(lambda: all(each.status.ended for each in bot.dify.runs.values()))
    await bot.later(seconds=SOON)
    run = await bot.in_status(run.run_id, RunStatus.SUCCEEDED)
    assert run.outputs
    assert run.started_at is not None
    assert run.started_at.timestamp() == pytest.approx(bot.dify.runs[run.workflow_run_id or ""].created_at, abs=1)


async def test_a_run_that_is_found_while_it_executes_is_followed_to_its_end(bot: Stage) -> None:
    run = await unconfirmed(bot, "slow topic=tea")
    await bot.later(seconds=SOON)
    run = await bot.in_status(run.run_id, RunStatus.RUNNING)
    await bot.parts.decisions.stop(run.run_id, bot.workspace.person("ben").id, delivery="stop")
    await bot.told("ben", "cannot be stopped")
    await bot.in_status(run.run_id, RunStatus.SUCCEEDED)
    assert len(bot.requests("GET", "/events")) == 1
    assert bot.requests("POST", "/stop") == []


async def test_each_of_two_equal_starts_gets_a_run_of_its_own(bot: Stage) -> None:
    runs = [await unconfirmed(bot) for _ in range(2)]
    await bot.later(seconds=SOON)
    found = {(await bot.in_status(run.run_id, RunStatus.PAUSED)).workflow_run_id for run in runs}
    assert found == set(bot.dify.runs)
    assert starts(bot) == 2


async def test_a_start_that_waits_in_dify_s_queue_is_found_once_it_is_executed(bot: Stage) -> None:
    """Before that it is in no list (recording 38)."""
    bot.dify.stop_worker()
    bot.dify.drop_stream(after_bytes=5)
    run = await bot.in_status(await bot.ask(TWO_FORMS), RunStatus.SOUGHT)
    for seconds in (SOON, 4, 16):
        await searched(bot, seconds)
    assert (await bot.store.run(run.run_id)).status is RunStatus.SOUGHT
    bot.dify.start_worker()
    await bot.dify.wait_for(bot.dify.open_forms)
    await bot.later(seconds=45)
    await bot.in_status(run.run_id, RunStatus.PAUSED)
    assert starts(bot) == 1


async def test_a_run_that_is_not_found_is_lost_and_people_are_told_to_look(bot: Stage) -> None:
    run = await never_arrived(bot)
    await searched(bot, SOON)
    assert (await bot.store.run(run.run_id)).status is RunStatus.SOUGHT
    await bot.later(seconds=TOO_LONG)
    await bot.in_status(run.run_id, RunStatus.LOST)
    await bot.reads(bot.root(run), "Not confirmed")
    await bot.settled()
    assert len(bot.workspace.find_all(thread=run.thread_ts, text="did not confirm")) == 1
    assert (starts(bot), searches(bot)) == (1, 2)
    await bot.later(hours=1)
    assert searches(bot) == 2


async def test_a_chatflow_is_lost_at_once(bot: Stage) -> None:
    """Its runs are in no log."""
    bot.dify.drop_stream(after_bytes=30)
    run = await bot.in_status(await bot.ask('chat_review query="How is tea made?" audience=all'), RunStatus.LOST)
    await bot.reads(bot.root(run), "Not confirmed")
    assert searches(bot) == 0
    assert len(bot.requests("POST", "/chat-messages")) == 1


async def test_a_log_that_is_closed_to_us_is_asked_once(bot: Stage) -> None:
    run = await never_arrived(bot)
    bot.dify.fail_next("logs", status=422)
    await bot.later(seconds=SOON)
    await bot.in_status(run.run_id, RunStatus.LOST)
    assert searches(bot) == 1


async def test_a_log_that_cannot_be_read_for_a_day_is_given_up(bot: Stage) -> None:
    """A proxy may let nobody read it, for ever."""
    run = await never_arrived(bot)
    bot.dify.fail_next("logs", status=503, times=2)
    await searched(bot, TOO_LONG)
    assert (await bot.store.run(run.run_id)).status is RunStatus.SOUGHT
    await bot.later(days=1)
    await bot.in_status(run.run_id, RunStatus.LOST)


async def test_a_run_is_looked_for_until_dify_answers(bot: Stage) -> None:
    """Dify fell silent with the start: that it lists nothing then says nothing."""
    run = await unconfirmed(bot)
    bot.dify.fail_next("logs", status=503, times=3)
    for seconds in (SOON, 30, 300):
        await searched(bot, seconds)
    run = await bot.store.run(run.run_id)
    assert (run.status, run.failed_looks) == (RunStatus.SOUGHT, 3)
    await bot.later(minutes=12)
    run = await bot.run_when(run.run_id, lambda run: run.status is RunStatus.PAUSED and not run.failed_looks)


async def test_a_run_is_looked_for_again_once_dify_takes_the_key(bot: Stage) -> None:
    run = await unconfirmed(bot)
    bot.dify.fail_next("logs", status=401)
    await searched(bot, SOON)
    await bot.reads(bot.root(run), "refuses the key")
    await bot.later(minutes=2)
    await bot.in_status(run.run_id, RunStatus.PAUSED)


async def started_elsewhere(stage: Stage, user: str, topic: str) -> None:
    """Start a run of the same app past the bot, and wait until it is paused."""
    app = stage.settings.apps["two_forms"]
    run = make_run(dify_user=user, run_inputs={"topic": topic})
    async with (
        DifyClient(str(app.base_url), app.api_key.get_secret_value()) as client,
        client.start(run) as events,
    ):
        async for _ in events:
            pass


async def test_a_run_of_others_or_of_before_or_with_other_inputs_is_not_taken(bot: Stage) -> None:
    ann = f"slack:{bot.workspace.team_id}:{bot.workspace.person('ann').id}"
    await started_elsewhere(bot, ann, "tea")
    await bot.later(minutes=5)
    await bot.paused(TWO_FORMS)
    await started_elsewhere(bot, "somebody else", "tea")
    await started_elsewhere(bot, ann, "coffee")
    run = await never_arrived(bot)
    await bot.later(seconds=TOO_LONG)
    await bot.in_status(run.run_id, RunStatus.LOST)
    assert (await bot.store.run(run.run_id)).workflow_run_id is None


async def test_a_run_that_may_be_of_an_equal_start_is_left_until_that_one_is_named(bot: Stage) -> None:
    """Its first event may be on the way, and Dify's log has it already."""
    rival = await bot.paused(TWO_FORMS)

    def unnamed(run: Run) -> Transition:
        return Transition(replace(run, status=RunStatus.STARTING, workflow_run_id=None))

    await bot.store.change(rival.run_id, unnamed, bot.clock.now())
    run = await never_arrived(bot)
    await searched(bot, TOO_LONG)
    assert (await bot.store.run(run.run_id)).status is RunStatus.SOUGHT
    await bot.store.change(rival.run_id, lambda run: Transition(rival), bot.clock.now())
    await bot.later(seconds=TOO_LONG)
    await bot.in_status(run.run_id, RunStatus.LOST)


async def test_a_start_that_was_begun_when_the_process_died_is_found_by_the_next(stage: Stage) -> None:
    """However much later: the search begins when the next process takes the start up."""
    stage.dify.stop_worker()
    await stage.store.join(LEASE)
    worker = asyncio.create_task(stage.parts.outbox.run())
    run_id = await stage.ask(TWO_FORMS)
    await stage.dify.wait_for(lambda: starts(stage))
    worker.cancel()
    await asyncio.wait({worker})
    await stage.parts.outbox.drain(0)
    await stage.parts.streams.close()
    stage.dify.start_worker()
    await stage.dify.wait_for(stage.dify.open_forms)
    stage.clock.advance(hours=1)
    async with stage.working():
        await stage.in_status(run_id, RunStatus.SOUGHT)
        await stage.later(seconds=SOON)
        await stage.in_status(run_id, RunStatus.PAUSED)
    assert starts(stage) == 1
