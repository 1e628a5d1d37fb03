"""Reminders, looks and the clean-up, by the clock."""

from __future__ import annotations

from collections.abc import MutableMapping
from datetime import datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from bot.core import events as saw
from bot.core.model import Run, RunStatus
from bot.core.reminding import QuietHours
from bot.errors import StoreError
from bot.playground.slack.faults import ServerError
from tests.factories import make_submission
from tests.services.stage import Stage, open_stage

TWO_FORMS = "two_forms topic=tea"
DAY = timedelta(days=1)


def reminders(stage: Stage, run: Run) -> int:
    """How many reminders stand in the thread of a run."""
    return len(stage.workspace.find_all(thread=run.thread_ts, text="still waits for an answer"))


async def asked(stage: Stage) -> tuple[Run, datetime]:
    """Start a run that asks for one form, and return it with the moment of the first reminder."""
    run = await stage.paused(TWO_FORMS)
    moment = run.forms[0].remind_at
    assert moment is not None
    return run, moment


async def at(stage: Stage, moment: datetime) -> None:
    """Let time pass up to a moment, and wait until what is due is done."""
    await stage.later(seconds=(moment - stage.clock.now()).total_seconds() + 1)
    await stage.parts.due.do()
    await stage.looks_end()
    await stage.settled()


# --- reminders -------------------------------------------------------------------------------------------------------


async def test_people_are_reminded_at_half_the_time_and_an_hour_before_the_deadline(bot: Stage) -> None:
    run, first = await asked(bot)
    form = run.forms[0]
    assert form.asked_at is not None
    assert form.expires_at is not None
    assert first == form.asked_at + (form.expires_at - form.asked_at) / 2
    await at(bot, first)
    assert reminders(bot, run) == 1
    second = (await bot.store.run(run.run_id)).forms[0].remind_at
    assert second == form.expires_at - timedelta(hours=1)
    await at(bot, second)
    assert reminders(bot, run) == 2
    assert (await bot.store.run(run.run_id)).forms[0].remind_at is None


async def test_nobody_is_reminded_of_what_is_decided(bot: Stage) -> None:
    run, moment = await asked(bot)
    bot.dify.stop_worker()
    await bot.choose(run, "no")
    run = await bot.in_status(run.run_id, RunStatus.RESUMING)
    assert run.forms[0].remind_at is None
    await at(bot, moment)
    assert reminders(bot, run) == 0


async def test_a_form_that_is_open_again_is_reminded_of_again(stage: Stage) -> None:
    async with stage.working():
        run, moment = await asked(stage)
    form_id = run.forms[0].form_id
    run = await stage.parts.recorder.record(run.run_id, saw.ActionChosen(form_id, make_submission()))
    assert run.forms[0].remind_at is None
    run = await stage.parts.recorder.record(run.run_id, saw.SubmitRefused(form_id, "note is too long"))
    assert run.forms[0].remind_at == moment


async def test_reminders_that_were_missed_are_one(stage: Stage) -> None:
    """The bot was off for all of them, and the deadline is still ahead."""
    async with stage.working():
        run, _ = await asked(stage)
    deadline = run.forms[0].expires_at
    assert deadline is not None
    stage.clock.advance(seconds=(deadline - stage.clock.now()).total_seconds() - 60)
    async with stage.working():
        await stage.run_when(run.run_id, lambda run: run.forms[0].remind_at is None)
        await stage.settled()
        assert reminders(stage, run) == 1


async def test_a_reminder_that_was_missed_altogether_is_not_made_up_for(stage: Stage) -> None:
    async with stage.working():
        run, _ = await asked(stage)
    stage.clock.advance(days=30)
    async with stage.working():
        await stage.run_when(run.run_id, lambda run: run.forms[0].status.closed and run.forms[0].remind_at is None)
        await stage.settled()
        assert reminders(stage, run) == 0


async def test_a_reminder_that_nobody_saved_is_due_again(bot: Stage, logged: list[MutableMapping[str, Any]]) -> None:
    run, moment = await asked(bot)
    await bot.later(seconds=(moment - bot.clock.now()).total_seconds() + 1)
    with bot.refusing("INSERT ON outbox"):
        await bot.until(lambda: any("a reminder is not saved" in entry["event"] for entry in logged))
    assert reminders(bot, run) == 0
    await at(bot, bot.clock.now() + timedelta(minutes=2))
    assert reminders(bot, run) == 1


async def test_a_reminder_that_two_processes_claimed_is_posted_by_the_later_one(bot: Stage) -> None:
    """The first was stopped in between for longer than it may take."""
    run, moment = await asked(bot)
    form_id = run.forms[0].form_id
    first, second = moment + timedelta(minutes=1), moment + timedelta(minutes=2)
    assert await bot.store.claim_reminders(moment, first, 9) == ((run.run_id, form_id),)
    assert await bot.store.claim_reminders(first, second, 9) == ((run.run_id, form_id),)
    for claimed in (second, first, second):
        await bot.parts.recorder.remind(run.run_id, form_id, claimed)
    await bot.settled()
    assert reminders(bot, run) == 1


async def test_at_night_people_are_left_alone(tmp_path: Path) -> None:
    """Even if the bot was off when it was time, and is started at night."""
    async with open_stage(tmp_path, reminders=(Fraction(1, 2),)) as stage:
        async with stage.working():
            run, moment = await asked(stage)
        begin, end = moment + timedelta(hours=1), moment + timedelta(hours=9)
        night = QuietHours(begin.time().replace(microsecond=0), end.time().replace(microsecond=0))
        settings = stage.settings.model_copy(update={"quiet_hours": night})
        stage.settings = settings.with_apps(stage.settings.apps)
        stage.clock.advance(seconds=(moment - stage.clock.now()).total_seconds() + 2 * 3600)
        async with stage.reopened(*stage.settings.apps) as woken, woken.working():
            held = await woken.run_when(run.run_id, lambda run: run.forms[0].remind_at != moment)
            morning = end.replace(microsecond=0)
            await woken.run_when(run.run_id, lambda run: run.forms[0].remind_at == morning)
            assert reminders(woken, held) == 0
            await at(woken, morning)
            assert reminders(woken, held) == 1


# --- what is not needed any more -------------------------------------------------------------------------------------


async def test_runs_that_ended_are_kept_for_a_while(tmp_path: Path) -> None:
    async with open_stage(tmp_path, retention_days=2) as stage, stage.working():
        ended = await stage.in_status(await stage.ask("quick"), RunStatus.SUCCEEDED)
        waiting = await stage.paused(TWO_FORMS)
        await stage.settled()
        await at(stage, stage.clock.now() + DAY)
        assert (await stage.store.run(ended.run_id)).status is RunStatus.SUCCEEDED
        await at(stage, stage.clock.now() + DAY)
        with stage.sql() as database:
            assert database.execute("SELECT run_id FROM runs").fetchall() == [(waiting.run_id,)]


async def test_the_clean_up_goes_on_in_batches_until_nothing_is_left(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = iter([100, 100, 40, 1000])
    monkeypatch.setattr(stage.store, "purge", _counting(purged := [], left))
    for _ in range(9):
        await stage.parts.due.do()
    assert purged == [100, 100, 40]
    stage.clock.advance(minutes=61)
    await stage.parts.due.do()
    assert purged == [100, 100, 40, 1000]


def _counting(purged: list[int], left: Any) -> Any:
    async def purge(before: datetime, limit: int) -> int:
        purged.append(next(left))
        return purged[-1]

    return purge


async def test_a_clock_that_was_put_back_does_not_put_off_the_clean_up(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage.store, "purge", _counting(purged := [], iter([0, 0])))
    await stage.parts.due.do()
    stage.clock.advance(days=-10)
    await stage.parts.due.do()
    assert purged == [0, 0]


# --- when one of them fails ------------------------------------------------------------------------------------------


@pytest.fixture
async def due(stage: Stage) -> Stage:
    """A bot that does not work, with a run whose look and reminder are due."""
    async with stage.working():
        _, moment = await asked(stage)
    stage.clock.advance(seconds=(moment - stage.clock.now()).total_seconds() + 1)
    return stage


@pytest.mark.parametrize("failing", ["claim_polls", "claim_reminders", "forget_deliveries", "purge"])
@pytest.mark.parametrize("error", [StoreError("disk full"), RuntimeError("a mistake")])
async def test_what_fails_holds_up_nothing_else(
    due: Stage, monkeypatch: pytest.MonkeyPatch, failing: str, error: Exception
) -> None:
    """The database's failures are passed on all the same: then it is tried again soon."""
    stage = due

    async def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(stage.store, failing, fail)
    if isinstance(error, StoreError):
        with pytest.raises(StoreError):
            await stage.parts.due.do()
    else:
        await stage.parts.due.do()
    await stage.looks_end()
    assert len(stage.requests("GET", "/workflows/run/")) == (failing != "claim_polls")
    posted = [row for row in stage.outbox() if row.kind == "PostReminder"]
    assert len(posted) == (failing != "claim_reminders")


async def test_nor_does_it_hold_up_what_is_tried_again(bot: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: Any) -> None:
        raise StoreError("disk full")

    monkeypatch.setattr(bot.store, "purge", fail)
    bot.clock.advance(hours=2)
    bot.workspace.faults.add("chat.postMessage", ServerError())
    run_id = await bot.ask("quick")
    await bot.put_back("PostRoot")
    bot.clock.advance(minutes=1)
    await bot.in_status(run_id, RunStatus.SUCCEEDED)
