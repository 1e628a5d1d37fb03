"""Dify is asked how a run stands, and whatever it says moves the run (dify-api §15.2, §15.3)."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from bot.bootstrap import at_work
from bot.core.effects import Transition
from bot.core.model import FormStatus, Run, RunStatus
from bot.core.ports import RunDetail
from bot.dify.client import DifyClient
from bot.playground.dify import Dify as DifySimulator
from bot.playground.dify import DifyServer
from bot.playground.dify.apps import chat_review, two_forms
from bot.playground.dify.graph import App, End, HumanInput, Llm, action
from bot.services.limits import AT_ONCE
from bot.settings import AppSettings
from tests.services.stage import SPEED, Stage, open_stage

TWO_FORMS = "two_forms topic=tea"
CHAT = 'chat_review query="How is tea made?" audience=all'
CHAT_ACTION, CHAT_VALUES = "send", {"reply": "by mail"}
POLL = 40.0
"""Seconds after which a young pause was looked at: 30, and a tenth of it by chance."""
COMPARED = 340.0
"""Seconds after which its forms are compared at the next look, although nothing tells of a change."""


def writer(seconds: float) -> App:
    """A text that takes its time, and a form after it."""
    return App(
        name="writer",
        nodes=(
            Llm("write", "Write", "Once upon a time", seconds=seconds * SPEED),
            HumanInput("ask", "Ask", content="Is it good?", inputs=(), actions=(action("yes", "Yes"),)),
            End("end", "End", {"story": ("write", "text")}),
        ),
        edges=("start -> write -> ask", "ask.yes -> end"),
    )


def looks(stage: Stage) -> int:
    """How often Dify was asked how a run stands."""
    return len(stage.requests("GET", "/workflows/run/"))


async def looked(stage: Stage, **span: float) -> None:
    """Let time pass until Dify is asked once more, and wait for what that leads to."""
    before = looks(stage)
    await stage.later(**span)
    await stage.dify.wait_for(lambda: looks(stage) > before)
    await stage.looks_end()


# --- what a paused run may have become -------------------------------------------------------------------------------


async def test_a_form_that_was_answered_elsewhere_is_closed_and_the_end_is_told(bot: Stage) -> None:
    run = await bot.paused(TWO_FORMS)
    await bot.dify.answer_elsewhere(bot.dify.open_forms()[0], "no", {"note": "by mail"})
    await bot.dify.wait_for(lambda: all(each.status.ended for each in bot.dify.runs.values()))
    await bot.later(seconds=POLL)
    run = await bot.run_when(run.run_id, lambda run: run.status.ended and not run.open_forms)
    assert run.status is RunStatus.SUCCEEDED
    assert run.forms[0].status is FormStatus.ANSWERED_ELSEWHERE
    form, result = await bot.workspace.wait_for(lambda: len(bot.thread(run)) == 2 and bot.thread(run))
    await bot.reads(form, "answered")
    assert "by mail" in result.shown


async def test_of_two_forms_the_one_that_was_answered_elsewhere_is_closed(bot: Stage) -> None:
    run = await bot.paused("parallel topic=tea", forms=2)
    asked = bot.dify.open_forms()[0]
    await bot.dify.answer_elsewhere(asked, "ok", {"note": ""})
    await bot.dify.wait_for(lambda: [each for each in bot.dify.runs.values() if each.resumed and bot.dify.open_forms()])
    await bot.later(seconds=POLL)
    run = await bot.run_when(run.run_id, lambda run: len(run.open_forms) == 1)
    assert run.form(asked.id).status is FormStatus.ANSWERED_ELSEWHERE
    (open_form,) = run.open_forms
    assert open_form.status is FormStatus.OPEN


async def test_the_next_form_of_a_run_that_went_on_elsewhere_is_shown(bot: Stage) -> None:
    run = await bot.paused(TWO_FORMS)
    first = bot.dify.open_forms()[0]
    await bot.dify.answer_elsewhere(first, "ok", {"note": ""})
    await bot.dify.wait_for(lambda: [form for form in bot.dify.open_forms() if form is not first])
    await bot.later(seconds=POLL)
    await bot.workspace.wait_for(lambda: bot.workspace.find(thread=run.thread_ts, text="Second review"))
    run = await bot.run_when(run.run_id, lambda run: run.forms[0].status.closed and run.forms[1].message_ts)
    assert run.forms[0].status is FormStatus.ANSWERED_ELSEWHERE


async def test_a_run_that_went_on_elsewhere_is_followed(tmp_path: Path) -> None:
    async with open_stage(tmp_path, [writer(0.01), _two_texts()]) as stage, stage.working():
        run = await stage.paused("two_texts")
        await stage.dify.answer_elsewhere(stage.dify.open_forms()[0], "yes", {})
        await stage.dify.wait_for(lambda: not stage.dify.open_forms())
        await stage.dify.wait_for(lambda: [each for each in stage.dify.runs.values() if each.status == "running"])
        await stage.later(seconds=POLL)
        await stage.in_status(run.run_id, RunStatus.RUNNING)
        await stage.dify.wait_for(lambda: [each.status for each in stage.requests("GET", "/events")] == [200])
        assert stage.parts.streams.follows(run.run_id)


def _two_texts() -> App:
    return App(
        name="two_texts",
        nodes=(
            HumanInput("ask", "Ask", content="Shall I?", inputs=(), actions=(action("yes", "Yes"),)),
            Llm("talk", "Talk", "and so on " * 1000, seconds=10 * SPEED),
            End("end", "End", {"story": ("talk", "text")}),
        ),
        edges=("start -> ask", "ask.yes -> talk -> end"),
    )


async def test_an_expired_form_is_found_right_after_its_deadline(bot: Stage) -> None:
    """The look is set for the deadline itself, and Dify calls the form expired from then on (recording 14)."""
    run = await bot.paused("content_review topic=Tea language=English")
    deadline = run.forms[0].expires_at
    assert deadline is not None
    await bot.later(seconds=(deadline - bot.clock.now()).total_seconds() + 2)
    run = await bot.run_when(run.run_id, lambda run: not run.open_forms)
    assert run.forms[0].status is FormStatus.TIMED_OUT
    bot.dify.sweep()
    await bot.dify.wait_for(lambda: all(each.status.ended for each in bot.dify.runs.values()))
    await bot.later(seconds=POLL)
    run = await bot.in_status(run.run_id, RunStatus.SUCCEEDED)
    assert run.outputs["decision"] == "Nobody answered in time. Nothing was published."


async def test_an_expired_form_that_dify_goes_on_listing_is_closed_once(tmp_path: Path) -> None:
    """It cannot be read, so Dify says of it only that it is asked; nobody looks for passed deadlines (recording 14)."""
    mail = App(
        name="mail",
        nodes=(
            HumanInput("ask", "Ask", content="Is it good?", inputs=(), actions=(action("yes", "Yes"),), web_app=False),
            End("end", "End", {}),
        ),
        edges=("start -> ask", "ask.yes -> end"),
    )
    async with open_stage(tmp_path, [mail]) as bot, bot.working():
        bot.dify.stop_sweeper()
        run = await bot.paused("mail")
        deadline = run.forms[0].expires_at
        assert deadline is not None
        assert not run.forms[0].answerable
        await bot.later(seconds=(deadline - bot.clock.now()).total_seconds() + 2)
        run = await bot.in_status(run.run_id, RunStatus.RESUMING)
        assert run.forms[0].status is FormStatus.TIMED_OUT
        for _ in range(3):
            await looked(bot, minutes=2)
        await bot.settled()
        then = await bot.store.run(run.run_id)
        assert (then.status, then.since, then.told_stuck) == (RunStatus.RESUMING, run.since, True)


async def test_the_limit_for_all_forms_stops_the_run_without_any_event(bot: Stage) -> None:
    run = await bot.paused(TWO_FORMS)
    await bot.dify.expire_globally(bot.dify.open_forms()[0])
    await bot.later(seconds=POLL)
    run = await bot.run_when(run.run_id, lambda run: run.status.ended and not run.open_forms)
    assert run.status is RunStatus.STOPPED
    assert run.forms[0].status is FormStatus.TIMED_OUT
    assert run.error is not None
    assert "timeout" in run.error


async def test_the_error_of_a_run_that_failed_elsewhere_is_told(bot: Stage) -> None:
    run = await bot.paused("fails_after topic=tea")
    await bot.dify.answer_elsewhere(bot.dify.open_forms()[0], "ok", {"note": ""})
    await bot.dify.wait_for(lambda: all(each.status.ended for each in bot.dify.runs.values()))
    await bot.later(seconds=POLL)
    await bot.in_status(run.run_id, RunStatus.FAILED)
    await bot.workspace.wait_for(lambda: bot.workspace.find(thread=run.thread_ts, text="Connection refused"))


async def test_a_run_that_dify_does_not_know_any_more_is_lost(bot: Stage) -> None:
    run = await bot.paused(TWO_FORMS)
    bot.dify.forms.clear()
    bot.dify.runs.clear()
    await bot.later(seconds=POLL)
    run = await bot.run_when(run.run_id, lambda run: run.status.ended and not run.open_forms)
    assert run.status is RunStatus.LOST
    assert run.forms[0].status is FormStatus.VOID
    await bot.reads(bot.root(run), "no longer knows")


async def test_what_was_answered_elsewhere_in_a_chatflow_is_shown(tmp_path: Path) -> None:
    """Its history is the one place where such an answer can be read later (recordings 15, 31)."""
    async with open_stage(tmp_path, [chat_review()]) as bot, bot.working():
        run = await bot.paused(CHAT)
        asked = bot.dify.open_forms()[0]
        await bot.dify.answer_elsewhere(asked, CHAT_ACTION, CHAT_VALUES)
        await bot.dify.wait_for(lambda: not bot.dify.open_forms())
        await bot.later(seconds=POLL)
        run = await bot.run_when(run.run_id, lambda run: run.forms[0].status.closed)
        (form, *_) = run.forms
        assert form.status is FormStatus.ANSWERED_ELSEWHERE
        assert form.submission is not None
        assert (form.submission.action_id, dict(form.submission.values)) == (CHAT_ACTION, CHAT_VALUES)
        assert form.submission.user_id is None


async def test_an_answer_of_ours_that_came_second_is_told_from_the_one_that_counts(tmp_path: Path) -> None:
    async with open_stage(tmp_path, [chat_review()]) as bot, bot.working():
        run = await bot.paused(CHAT)
        bot.dify.stop_worker()
        await bot.dify.answer_elsewhere(bot.dify.open_forms()[0], CHAT_ACTION, CHAT_VALUES)
        await bot.choose(run, CHAT_ACTION, **{name: "mine" for name in CHAT_VALUES})
        run = await bot.run_when(run.run_id, lambda run: run.forms[0].status.closed)
        assert run.forms[0].status is FormStatus.ANSWERED_ELSEWHERE
        assert run.forms[0].submission is not None
        assert dict(run.forms[0].submission.values) == CHAT_VALUES


async def test_where_the_history_cannot_be_read_the_form_is_closed_all_the_same(tmp_path: Path) -> None:
    async with open_stage(tmp_path, [chat_review()]) as bot, bot.working():
        run = await bot.paused(CHAT)
        bot.dify.fail_next("messages", status=500)
        bot.dify.stop_worker()
        await bot.dify.answer_elsewhere(bot.dify.open_forms()[0], CHAT_ACTION, CHAT_VALUES)
        await bot.later(seconds=COMPARED)
        run = await bot.run_when(run.run_id, lambda run: run.forms[0].status.closed)
        assert (run.forms[0].status, run.forms[0].submission) == (FormStatus.ANSWERED_ELSEWHERE, None)


async def test_a_look_that_is_due_is_not_put_off_by_what_else_happens(bot: Stage) -> None:
    """Taking over a run makes a look due, and taking up its effects moves the run before anybody has looked."""
    run = await bot.paused(TWO_FORMS)
    due_at = run.poll_at
    assert due_at is not None
    bot.clock.advance(seconds=POLL)
    transition = await bot.parts.recorder.change(run.run_id, lambda run, now: Transition(run))
    assert transition is not None
    assert transition.run.poll_at == due_at


# --- what a look costs ---


async def test_a_look_at_a_run_that_waits_as_before_is_one_request(bot: Stage) -> None:
    """However often, and also after a restart: there may be a hundred thousand of them (dify-api §15.3)."""
    run = await bot.paused(TWO_FORMS)
    await looked(bot, minutes=60)
    await bot.settled()
    run = await bot.store.run(run.run_id)
    before = len(bot.dify.requests)
    for number in range(1, 4):
        await looked(bot, minutes=4)
        assert [each.path for each in bot.dify.requests[before:]] == [
            f"/v1/workflows/run/{run.workflow_run_id}" for _ in range(number)
        ]
    then = await bot.store.run(run.run_id)
    assert then.poll_at is not None
    assert then == replace(run, poll_at=then.poll_at, forms=then.forms)


async def test_a_run_that_went_on_and_paused_again_between_two_looks_is_found(bot: Stage) -> None:
    """It is paused at both of them: only the number of its steps tells (recordings 06, 07)."""
    run = await bot.paused("parallel topic=tea", forms=2)
    await looked(bot, minutes=60)
    compared = len(bot.requests("GET", "/events"))
    await looked(bot, minutes=4)
    assert len(bot.requests("GET", "/events")) == compared
    asked = bot.dify.open_forms()[0]
    await bot.dify.answer_elsewhere(asked, "ok", {"note": ""})
    await bot.dify.wait_for(lambda: [each for each in bot.dify.runs.values() if each.resumed and bot.dify.open_forms()])
    await looked(bot, minutes=4)
    run = await bot.run_when(run.run_id, lambda run: run.form(asked.id).status.closed)
    await looked(bot, seconds=POLL)
    run = await bot.in_status(run.run_id, RunStatus.PAUSED)
    await looked(bot, minutes=60)
    await bot.settled()
    compared = len(bot.requests("GET", "/events"))
    await looked(bot, minutes=4)
    assert len(bot.requests("GET", "/events")) == compared


# --- when Dify does not say ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [500, 503, 401, 403])
async def test_a_look_that_dify_does_not_allow_is_postponed(bot: Stage, status: int) -> None:
    """Neither an outage nor a key that was changed ends the runs that wait."""
    run = await bot.paused(TWO_FORMS)
    bot.dify.fail_next("run_detail", status=status)
    await bot.dify.answer_elsewhere(bot.dify.open_forms()[0], "no", {"note": ""})
    await bot.dify.wait_for(lambda: all(each.status.ended for each in bot.dify.runs.values()))
    await looked(bot, seconds=POLL)
    assert (await bot.store.run(run.run_id)).status is RunStatus.PAUSED
    await bot.later(seconds=2 * POLL)
    run = await bot.in_status(run.run_id, RunStatus.SUCCEEDED)
    assert run.failed_looks == 0


@pytest.mark.parametrize("off", ["revoke_key", "switch_api_off"])
async def test_people_are_told_once_that_the_key_is_refused_and_it_goes_on_when_it_is_taken_again(
    tmp_path: Path, off: str
) -> None:
    app = two_forms()
    async with open_stage(tmp_path, [app]) as bot, bot.working():
        run = await bot.paused(TWO_FORMS)
        getattr(bot.dify, off)(app)
        for failed in range(1, 5):
            await looked(bot, minutes=11)
            run = await bot.store.run(run.run_id)
            assert (run.failed_looks, run.told_refused, run.status) == (failed, True, RunStatus.PAUSED)
        await bot.settled()
        assert len(bot.workspace.find_all(thread=run.thread_ts, text="refuses the API key")) == 1
        bot.dify.restore_key(app)
        bot.dify.switch_api_on(app)
        await looked(bot, minutes=11)
        run = await bot.store.run(run.run_id)
        assert (run.failed_looks, run.told_refused) == (0, False)


async def test_of_many_runs_one_at_a_time_asks_a_server_that_does_not_answer(
    tmp_path: Path, logged: list[MutableMapping[str, Any]]
) -> None:
    async with open_stage(tmp_path, [two_forms()]) as stage:
        async with stage.working():
            runs = [await stage.paused(TWO_FORMS) for _ in range(3 * AT_ONCE)]
        stage.dify.lose_response("run_detail", times=AT_ONCE)
        before = looks(stage)
        async with stage.working():
            await looked(stage, seconds=POLL)
            asked = looks(stage) - before
            assert asked <= AT_ONCE
            # Only those who asked have failed: the others do not wait the longer for it.
            assert sum([(await stage.store.run(run.run_id)).failed_looks for run in runs]) == asked
            # Whoever finds that it answers again lets the others ask.
            for _ in range(AT_ONCE - asked + 2):
                await looked(stage, minutes=12)
            assert {(await stage.store.run(run.run_id)).failed_looks for run in runs} == {0}


async def test_of_many_due_runs_only_some_are_taken_out_of_the_store_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others cost no task and no memory; they are looked at as soon as those are done."""
    monkeypatch.setattr("bot.services.reconcile.DUE_LIMIT", 3)
    async with open_stage(tmp_path, [two_forms()]) as stage:
        async with stage.working():
            for _ in range(8):
                await stage.paused(TWO_FORMS)
        before = looks(stage)
        stage.clock.advance(seconds=POLL)
        while looks(stage) < before + 8:
            await stage.parts.due.do()
            await stage.parts.due.do()
            under_way = [task for task in asyncio.all_tasks() if task.get_name().startswith("look at run")]
            assert len(under_way) <= 3
            await stage.looks_end()
        assert looks(stage) == before + 8


async def test_what_the_database_does_not_take_is_looked_at_again(
    bot: Stage, logged: list[MutableMapping[str, Any]]
) -> None:
    run = await bot.paused(TWO_FORMS)
    await bot.dify.answer_elsewhere(bot.dify.open_forms()[0], "no", {"note": ""})
    await bot.dify.wait_for(lambda: all(each.status.ended for each in bot.dify.runs.values()))
    with bot.refusing("INSERT ON outbox"):
        await bot.later(seconds=POLL)
        await bot.until(lambda: any("is not saved" in entry["event"] for entry in logged))
    await bot.later(minutes=1)
    await bot.in_status(run.run_id, RunStatus.SUCCEEDED)


async def test_a_mistake_of_ours_postpones_the_look(bot: Stage, logged: list[MutableMapping[str, Any]]) -> None:
    """Else it would be repeated at once and for ever, since the look stays due."""
    run = await bot.paused(TWO_FORMS)
    broken = iter([True])

    def break_once(transition: Any) -> None:
        if next(broken, False):
            raise RuntimeError("a mistake")

    bot.parts.recorder.watch(break_once)
    await looked(bot, seconds=POLL)
    run = await bot.store.run(run.run_id)
    assert run.poll_at is not None
    assert run.poll_at > bot.clock.now()
    assert [entry["log_level"] for entry in logged if "look failed" in entry["event"]] == ["error"]


async def test_people_are_told_once_that_a_run_does_not_move_after_an_answer(bot: Stage) -> None:
    """Dify's worker is away (recording 38): the answer is safe, and the run goes on when the worker is back."""
    run = await bot.paused(TWO_FORMS)
    bot.dify.stop_worker()
    await bot.choose(run, "no")
    run = await bot.in_status(run.run_id, RunStatus.RESUMING)
    for _ in range(3):
        await looked(bot, minutes=3)
    await bot.settled()
    assert len(bot.workspace.find_all(thread=run.thread_ts, text="has not moved since")) == 1
    bot.dify.start_worker()
    await bot.dify.wait_for(lambda: all(each.status.ended for each in bot.dify.runs.values()))
    await bot.later(seconds=POLL)
    await bot.in_status(run.run_id, RunStatus.SUCCEEDED)
    assert [each.status for each in bot.submits()] == [200]


async def test_people_are_told_where_two_answers_elsewhere_left_the_run_paused_for_good(bot: Stage) -> None:
    """Every form is answered and nothing resumes the run any more (recording 33)."""
    run = await bot.paused("parallel topic=tea", forms=2)
    bot.dify.lose_resume(2)
    for asked in bot.dify.open_forms():
        await bot.dify.answer_elsewhere(asked, "ok", {"note": ""})
    await bot.later(seconds=COMPARED)
    run = await bot.run_when(run.run_id, lambda run: not run.open_forms)
    assert {form.status for form in run.forms} == {FormStatus.ANSWERED_ELSEWHERE}
    for _ in range(3):
        await looked(bot, minutes=3)
    await bot.settled()
    assert len(bot.workspace.find_all(thread=run.thread_ts, text="has not moved since")) == 1


async def test_people_are_told_of_a_resume_that_dify_lost(bot: Stage) -> None:
    run = await bot.paused(TWO_FORMS)
    bot.dify.lose_resume()
    await bot.choose(run, "no")
    run = await bot.in_status(run.run_id, RunStatus.RESUMING)
    for _ in range(3):
        await looked(bot, minutes=3)
    await bot.settled()
    assert len(bot.workspace.find_all(thread=run.thread_ts, text="has not moved since")) == 1
    assert [each.status for each in bot.submits()] == [200]


async def test_a_run_whose_worker_died_is_left_and_told_and_in_the_end_lost(tmp_path: Path) -> None:
    """Dify says `running` for ever (recording 39), and a stream of it would be waited on for as long."""
    async with open_stage(tmp_path, [_two_texts()], dify_max_execution_minutes=20) as bot, bot.working():
        run = await bot.paused("two_texts")
        await bot.choose(run, "yes")
        run = await bot.in_status(run.run_id, RunStatus.RUNNING)
        bot.dify.kill_worker()
        await looked(bot, minutes=19)
        assert not (await bot.store.run(run.run_id)).told_stuck
        await looked(bot, minutes=4)
        await bot.settled()
        assert (await bot.store.run(run.run_id)).told_stuck
        assert not bot.parts.streams.follows(run.run_id)
        opened = len(bot.requests("GET", "/events"))
        for _ in range(3):
            await looked(bot, minutes=10)
        assert len(bot.requests("GET", "/events")) == opened
        assert len(bot.workspace.find_all(thread=run.thread_ts, text="longer than a run may take")) == 1
        await looked(bot, days=1)
        run = await bot.in_status(run.run_id, RunStatus.LOST)
        assert run.error is not None
        assert "has died" in run.error


async def test_a_server_that_does_not_answer_holds_up_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the looks at the runs of another, nor the commands for it."""
    monkeypatch.setattr("bot.bootstrap.DRAIN", 0)
    app = writer(0.01)
    other = DifySimulator([app], speed=SPEED)
    async with DifyServer(other) as server, open_stage(tmp_path, [two_forms()]) as first:
        there = {app.name: AppSettings(api_key=app.key, base_url=server.base_url)}
        first.settings = first.settings.with_apps({**first.settings.apps, **there})
        async with first.reopened(*first.settings.apps) as stage, stage.working():
            for _ in range(AT_ONCE):
                await stage.paused(TWO_FORMS)
            run = await stage.paused("writer")
            stage.dify.delay_next("run_detail", 3000, times=AT_ONCE)
            stage.dify.delay_next("info", 3000, times=AT_ONCE)
            for _ in range(AT_ONCE):
                await stage.ask(TWO_FORMS)
            await stage.paused("writer")
            await other.answer_elsewhere(other.open_forms()[0], "yes", {})
            await other.wait_for(lambda: [each for each in other.runs.values() if each.status.ended])
            stage.clock.advance(seconds=POLL)
            await stage.in_status(run.run_id, RunStatus.SUCCEEDED)
            assert len([each for each in stage.requests("GET", "/workflows/run/") if each.status is None]) == AT_ONCE


async def test_a_slow_server_takes_no_room_from_the_looks_at_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many of its runs are due, and for longer."""
    monkeypatch.setattr("bot.bootstrap.DRAIN", 0)
    monkeypatch.setattr("bot.services.reconcile.DUE_LIMIT", AT_ONCE)
    app = writer(0.01)
    other = DifySimulator([app], speed=SPEED)
    async with DifyServer(other) as server, open_stage(tmp_path, [two_forms()]) as first:
        there = {app.name: AppSettings(api_key=app.key, base_url=server.base_url)}
        first.settings = first.settings.with_apps({**first.settings.apps, **there})
        async with first.reopened(*first.settings.apps) as stage, stage.working():
            for _ in range(2 * AT_ONCE):
                await stage.paused(TWO_FORMS)
            run = await stage.paused("writer")
            await other.answer_elsewhere(other.open_forms()[0], "yes", {})
            await other.wait_for(lambda: [each for each in other.runs.values() if each.status.ended])
            stage.dify.delay_next("run_detail", 3000, times=2 * AT_ONCE)
            stage.clock.advance(seconds=POLL)
            await stage.in_status(run.run_id, RunStatus.SUCCEEDED)
            assert looks(stage) == AT_ONCE


async def test_runs_of_an_app_that_is_left_out_are_looked_at_seldom_and_kept(
    stage: Stage, logged: list[MutableMapping[str, Any]]
) -> None:
    async with stage.working():
        run = await stage.paused(TWO_FORMS)
    stage.clock.advance(seconds=POLL)
    async with stage.reopened() as without, without.working():
        run = await without.run_when(run.run_id, lambda run: run.failed_looks)
        assert (run.status, run.failed_looks) == (RunStatus.PAUSED, 1)


# --- runs that execute -----------------------------------------------------------------------------------------------


async def test_a_look_at_a_run_that_is_followed_changes_nothing(bot: Stage) -> None:
    run = await bot.in_status(await bot.ask("slow topic=tea"), RunStatus.RUNNING)
    await looked(bot, minutes=2)
    await bot.in_status(run.run_id, RunStatus.SUCCEEDED)
    assert bot.requests("GET", "/events") == []


async def test_a_pause_that_a_late_stream_missed_is_found_while_it_is_open(tmp_path: Path) -> None:
    """Run detail said `running`, and the run paused before its stream was open: that one stays silent for minutes."""
    async with open_stage(tmp_path, [writer(0.5)]) as stage, stage.working():
        stage.dify.drop_stream(after_events=3)
        stage.dify.delay_next("events", SPEED)
        run = await stage.in_status(await stage.ask("writer"), RunStatus.RUNNING)
        await stage.dify.wait_for(lambda: [each for each in stage.requests("GET", "/events") if each.status])
        assert stage.dify.open_forms()
        await stage.later(minutes=2)
        await stage.in_status(run.run_id, RunStatus.PAUSED)
        assert stage.parts.streams.follows(run.run_id)


class SlowDetail(DifyClient):
    """A client that hands an answer to GET run detail over only when `handing_over` is set."""

    handing_over: asyncio.Event

    async def run_detail(self, run: Run) -> RunDetail:
        detail = await super().run_detail(run)
        await self.handing_over.wait()
        return detail


async def test_a_pause_is_not_undone_by_an_answer_from_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dify said `running`, then the run's stream told of the pause."""
    monkeypatch.setattr(SlowDetail, "handing_over", asyncio.Event(), raising=False)
    monkeypatch.setattr("bot.bootstrap.DifyClient", SlowDetail)
    async with open_stage(tmp_path, [writer(0.5)]) as stage, stage.working():
        run = await stage.in_status(await stage.ask("writer"), RunStatus.RUNNING)
        await stage.later(minutes=2)
        await stage.dify.wait_for(lambda: looks(stage))
        run = await stage.in_status(run.run_id, RunStatus.PAUSED)
        before = run.poll_at
        SlowDetail.handing_over.set()
        run = await stage.run_when(run.run_id, lambda run: run.poll_at != before)
        assert run.status is RunStatus.PAUSED
        assert not stage.parts.streams.follows(run.run_id)


async def test_runs_that_executed_when_the_process_ended_are_followed_by_the_next(stage: Stage) -> None:
    async with stage.working():
        run = await stage.in_status(await stage.ask("slow topic=tea"), RunStatus.RUNNING)
    async with stage.working():
        await stage.in_status(run.run_id, RunStatus.SUCCEEDED)
    assert len(stage.requests("POST", "/workflows/run")) == 1
    assert len(stage.requests("GET", "/events")) == 1


# --- after a time in which nobody looked -----------------------------------------------------------------------------


async def far_ahead(bot: Stage, **span: float) -> Run:
    """Return a run that waits and is looked at again only after this time."""
    run = await bot.paused(TWO_FORMS)
    await bot.settled()
    now = bot.clock.now()
    assert await bot.store.claim_polls(now + timedelta(hours=1), now + timedelta(**span), 10) == (run.run_id,)
    return run


async def test_a_form_answered_while_no_bot_ran_is_found_soon_after_the_start(tmp_path: Path) -> None:
    """However long its run has waited, and however seldom it is looked at for that."""
    async with open_stage(tmp_path) as bot:
        async with bot.working():
            run = await far_ahead(bot, hours=1)
        await bot.dify.answer_elsewhere(bot.dify.open_forms()[0], "ok", {"note": ""})
        async with bot.working():
            await bot.later(minutes=11)
            await bot.run_when(run.run_id, lambda run: run.forms[0].status is FormStatus.ANSWERED_ELSEWHERE)


async def test_a_clock_that_was_put_back_puts_off_no_look(tmp_path: Path) -> None:
    """The beat sees it, by a clock that nobody sets."""
    async with (
        open_stage(tmp_path) as bot,
        at_work(replace(bot.parts, lease=timedelta(seconds=0.3)), bot.clock.ringing),
    ):
        run = await far_ahead(bot, hours=3)
        bot.clock.advance(hours=-2)
        latest = bot.clock.now() + timedelta(minutes=11)
        await bot.run_when(run.run_id, lambda run: run.poll_at is not None and run.poll_at < latest)
