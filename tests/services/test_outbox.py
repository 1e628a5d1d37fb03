"""Saved effects are carried out in order, tried again, given up, and taken up after a crash: never twice."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bot import bootstrap
from bot.core import effects as do
from bot.core import events as saw
from bot.core.effects import Effect, SlackEffect, Transition
from bot.core.model import AppMode, FormStatus, Run, RunStatus
from bot.core.ports import AppDescription, SavedEffect
from bot.dify.client import DifyClient
from bot.playground.dify.apps import slow
from bot.playground.dify.forms import FormStatus as AtDify
from bot.playground.slack.faults import LostResponse, RateLimited, Refuse, ServerError
from bot.playground.slack.state import Content
from bot.services import outbox, outcomes, recorder
from bot.slack.gateway import SlackGateway
from bot.slack.messages.result import WRITING
from tests.factories import make_run
from tests.services.stage import CHANNEL, LEASE, PATIENCE, Stage, open_stage

TWO_FORMS = "two_forms topic=tea"


@pytest.fixture
def no_store_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try a database that refused again at once."""
    monkeypatch.setattr(recorder, "STORE_PAUSE", timedelta(0))
    monkeypatch.setattr(outbox, "STORE_PAUSE", timedelta(0))


async def requested(stage: Stage) -> Run:
    """Save a run whose root message is to be posted, while the bot does not work."""
    run = make_run(
        app="two_forms",
        mode=AppMode.WORKFLOW,
        channel_id=stage.workspace.channel(CHANNEL).id,
        starter_id=stage.workspace.person("ann").id,
        created_at=stage.clock.now(),
    )
    await stage.store.add_run(run, (do.PostRoot(),), stage.clock.now())
    return run


async def begun(stage: Stage) -> SavedEffect:
    """Begin the effect that is due, as a process does that then dies."""
    (saved,) = await stage.begin()
    return saved


async def add(stage: Stage, run: Run, *effects: Effect) -> None:
    """Have these effects carried out for a run."""
    await stage.parts.recorder.change(run.run_id, lambda run, now: Transition(run, effects))


async def retried(stage: Stage, kind: str, times: int) -> None:
    """Let time pass until an effect was tried again so often."""
    for attempt in range(1, times + 1):
        await stage.until(
            lambda attempt=attempt: (
                [(row.attempts, row.state) for row in stage.outbox() if row.kind == kind] == [(attempt, "pending")]
            )
        )
        await stage.later(seconds=outcomes.pause_before(attempt).total_seconds())


def statuses(stage: Stage) -> list[int | None]:
    return [each.status for each in stage.submits()]


# --- order and another try -------------------------------------------------------------------------------------------


async def test_what_slack_puts_off_is_done_when_slack_said_and_the_rest_of_its_lane_waits(bot: Stage) -> None:
    """`Retry-After` decides when, and nothing of the same run overtakes in Slack; Dify's lane goes its own way."""
    bot.workspace.faults.add("chat.postMessage", RateLimited(2), when=lambda call: "thread_ts" in call)
    run_id = await bot.ask(TWO_FORMS)
    put_back = await bot.put_back("PostForm")
    assert timedelta(seconds=1) < put_back.due_at - bot.clock.now() <= timedelta(seconds=2)

    run = await bot.in_status(run_id, RunStatus.PAUSED)
    await bot.choose(run, "no")
    await bot.in_status(run_id, RunStatus.SUCCEEDED)
    assert bot.thread(run) == []
    assert [row.attempts for row in bot.outbox() if row.kind != "PostForm"] == [0] * (len(bot.outbox()) - 1)

    await bot.later(seconds=2)
    await bot.settled()
    assert bot.outbox() == []
    form, result = bot.thread(run)
    assert "No" in form.shown
    assert "first" in result.shown


async def test_what_slack_put_off_counts_as_never_tried(bot: Stage) -> None:
    """Whoever tries next, perhaps another process, need not search for it."""
    bot.workspace.faults.add("chat.postMessage", RateLimited(2))
    run_id = await bot.ask("quick topic=tea")
    assert (await bot.put_back("PostRoot")).attempts == 0
    await bot.later(seconds=2)
    await bot.in_status(run_id, RunStatus.SUCCEEDED)
    assert "conversations.history" not in [call.method for call in bot.workspace.calls]


async def test_without_a_wish_of_slacks_the_pause_doubles(bot: Stage) -> None:
    bot.workspace.faults.add("chat.postMessage", ServerError(), times=2)
    run_id = await bot.ask("quick topic=tea")
    for seconds in (1, 2):
        put_back = await bot.put_back("PostRoot")
        assert put_back.due_at - bot.clock.now() <= timedelta(seconds=seconds)
        assert put_back.due_at - bot.clock.now() > timedelta(seconds=seconds - 1)
        await bot.later(seconds=seconds)
        await bot.until(lambda attempts=put_back.attempts: all(row.attempts != attempts for row in bot.outbox()))
    await bot.in_status(run_id, RunStatus.SUCCEEDED)
    assert len(bot.workspace.channel(CHANNEL).roots) == 1


def test_the_pause_ends_at_five_minutes() -> None:
    pauses = [outcomes.pause_before(attempt).total_seconds() for attempt in (1, 2, 3, 9, 10, 50)]
    assert pauses == [1, 2, 4, 256, 300, 300]


async def test_an_answer_that_surely_was_not_sent_is_sent_later(bot: Stage) -> None:
    """Back-pressure of Dify (recording 24) decides nothing: the form stays claimed for who pressed first."""
    run = await bot.paused(TWO_FORMS)
    bot.dify.fail_next("submit_form", status=400)
    await bot.choose(run, "no")
    await bot.put_back("SubmitForm")
    assert (await bot.store.run(run.run_id)).forms[0].status is FormStatus.SUBMITTING
    await bot.later(seconds=1)
    run = await bot.in_status(run.run_id, RunStatus.SUCCEEDED)
    assert statuses(bot) == [400, 200]
    assert run.forms[0].status is FormStatus.SUBMITTED


async def test_a_start_waits_for_a_free_stream_and_says_so(tmp_path: Path) -> None:
    async with open_stage(tmp_path, dify_max_streams=1) as stage, stage.working():
        first = await stage.in_status(await stage.ask("slow topic=tea"), RunStatus.RUNNING)
        second = await stage.in_status(await stage.ask("quick topic=tea"), RunStatus.STARTING)
        await stage.reads(stage.root(second), "Waiting for a free connection")
        assert [(row.kind, row.state, row.attempts) for row in stage.outbox()] == [("StartRun", "held", 1)]
        await stage.in_status(first.run_id, RunStatus.SUCCEEDED)
        await stage.in_status(second.run_id, RunStatus.SUCCEEDED)
        assert len(stage.requests("POST", "/workflows/run")) == 2


async def test_an_answer_that_dify_refuses_for_another_reason_leaves_the_form_open(bot: Stage) -> None:
    """A server that takes no request of this size says 413: whoever answered is told and can press again."""
    run = await bot.paused(TWO_FORMS)
    bot.dify.fail_next("submit_form", status=413)
    await bot.choose(run, "no", note="kept")
    await bot.told("ben", "Dify did not take your answer")
    run = await bot.store.run(run.run_id)
    assert run.forms[0].status is FormStatus.OPEN
    await bot.choose(run, "no", note="kept")
    await bot.in_status(run.run_id, RunStatus.SUCCEEDED)
    assert statuses(bot) == [413, 200]


async def test_an_answer_beyond_a_quota_is_kept_and_sent_again(bot: Stage) -> None:
    """A quota that is used up (429) is no fault of the values, and nobody has to press again."""
    run = await bot.paused(TWO_FORMS)
    bot.dify.fail_next("submit_form", status=429, times=2)
    await bot.choose(run, "no", note="kept")
    await retried(bot, "SubmitForm", 2)
    await bot.in_status(run.run_id, RunStatus.SUCCEEDED)
    assert statuses(bot) == [429, 429, 200]


async def test_what_slack_puts_off_time_and_again_makes_no_other_pause_longer(bot: Stage) -> None:
    """Slack's own wishes are no failures."""
    bot.workspace.faults.add("chat.postMessage", RateLimited(2), times=4)
    run_id = await bot.ask("quick topic=tea")
    for number in range(1, 5):
        row = await bot.put_back("PostRoot")
        assert row.attempts == 0
        if number == 4:
            bot.workspace.faults.add("chat.postMessage", ServerError())
        await bot.later(seconds=2)
        await bot.until(lambda due_at=row.due_at: all(each.due_at != due_at for each in bot.outbox()))
    row = await bot.put_back("PostRoot")
    assert row.due_at - bot.clock.now() <= timedelta(seconds=2)
    await bot.later(seconds=2)
    await bot.in_status(run_id, RunStatus.SUCCEEDED)
    assert len(bot.workspace.channel(CHANNEL).roots) == 1


async def test_a_root_that_slack_puts_off_holds_up_no_form(bot: Stage) -> None:
    """A later redrawing shows what it would have shown."""
    bot.workspace.faults.add("chat.update", RateLimited(300))
    run_id = await bot.ask(TWO_FORMS)
    await bot.put_back("RefreshRoot")
    run = await bot.run_when(run_id, lambda run: run.forms and run.forms[0].message_ts)
    assert "First review" in bot.thread(run)[0].shown
    assert [row.kind for row in bot.outbox()] == ["RefreshRoot"]


@pytest.mark.parametrize("why", ["it is decided", "the run has ended", "its deadline has passed"])
async def test_nobody_is_reminded_of_what_cannot_or_need_not_be_answered_any_more(stage: Stage, why: str) -> None:
    """A reminder may have had to wait for long."""
    async with stage.working():
        run = await stage.paused(TWO_FORMS)
        await stage.settled()
    await add(stage, run, do.PostReminder(run.forms[0].form_id))
    if why == "it is decided":
        await stage.choose(run, "no")
    elif why == "the run has ended":
        await stage.parts.recorder.record(run.run_id, saw.RunFinished(RunStatus.STOPPED))
    else:
        stage.clock.advance(days=30)
    async with stage.working():
        await stage.settled()
        assert [message.shown for message in stage.thread(run) if "still waits" in message.shown] == []


# --- what cannot be done ---------------------------------------------------------------------------------------------


@pytest.mark.provokes("not_in_channel")
async def test_a_run_whose_root_is_refused_is_not_started_and_its_starter_is_told(bot: Stage) -> None:
    """There is no place for its result: the answer goes through the command's own response_url."""
    run_id = await bot.ask("quick topic=tea", channel="random")
    run = await bot.in_status(run_id, RunStatus.FAILED)
    assert run.error == "not_in_channel"
    note = await bot.told("ann", "/invite", "Nothing was sent to Dify")
    assert note.channel.name == "random"
    assert bot.requests("POST", "/workflows/run") == []


@pytest.mark.parametrize(
    ("code", "remedy"),
    [("not_in_channel", "invite the app"), ("is_archived", "invite the app"), ("token_revoked", "SLACK_BOT_TOKEN")],
)
async def test_what_a_person_can_put_right_in_slack_is_waited_for(
    bot: Stage, logged: list[MutableMapping[str, Any]], code: str, remedy: str
) -> None:
    """The bot was removed from the channel, or its token was changed: no form and no result is lost."""
    bot.workspace.faults.add("chat.postMessage", Refuse(code), when=lambda call: "thread_ts" in call)
    run = await bot.in_status(await bot.ask(TWO_FORMS), RunStatus.PAUSED)
    await bot.put_back("PostForm")
    (warning,) = (entry for entry in logged if entry["event"] == "effect put back")
    assert warning["log_level"] == "warning"
    assert remedy in warning["remedy"]
    await bot.later(seconds=1)
    await bot.run_when(run.run_id, lambda run: run.forms[0].status is FormStatus.OPEN)
    assert "First review" in bot.thread(run)[0].shown


async def test_a_channel_that_stays_closed_is_tried_ever_more_rarely_and_given_up_after_a_week(bot: Stage) -> None:
    """Whoever archived it will hardly want it back; nothing else of the run waits for ever."""
    bot.workspace.faults.add(
        "chat.postMessage", Refuse("is_archived"), when=lambda call: "thread_ts" in call, times=1_000
    )
    run = await bot.in_status(await bot.ask(TWO_FORMS), RunStatus.PAUSED)
    pauses: list[int] = []
    row = await bot.put_back("PostForm")
    for _ in range(14):
        pauses.append(round((row.due_at - bot.clock.now()).total_seconds()))
        await bot.later(seconds=pauses[-1])
        attempts = row.attempts
        row = await bot.until(
            lambda attempts=attempts: next(
                (
                    each
                    for each in bot.outbox()
                    if (each.kind, each.state) == ("PostForm", "pending") and each.attempts > attempts
                ),
                None,
            )
        )
    assert pauses == [*(2**attempt for attempt in range(12)), 3600, 3600]
    await bot.later(days=7)
    given_up = await bot.until(lambda: [each for each in bot.outbox() if each.state == "failed"])
    assert given_up[0].kind == "PostForm"
    assert "is_archived" in (given_up[0].reason or "")
    assert (await bot.store.run(run.run_id)).forms[0].message_ts is None


async def test_who_cannot_be_told_in_private_holds_up_nobody(bot: Stage) -> None:
    """A note to one person is of the moment: it is not worth a lane that stands still."""
    run = await bot.paused(TWO_FORMS)
    bot.workspace.faults.add("chat.postEphemeral", Refuse("is_archived"))
    await add(bot, run, do.TellCannotStop(run.starter_id), do.PostStuck())
    await bot.workspace.wait_for(lambda: bot.workspace.find(thread=run.thread_ts, text="has not moved"))
    await bot.settled()
    assert [(row.kind, row.state) for row in bot.outbox()] == [("TellCannotStop", "failed")]


async def test_what_slack_refuses_is_given_up_with_the_reason_and_blocks_nobody(bot: Stage) -> None:
    bot.workspace.faults.add("chat.postMessage", Refuse("invalid_arguments"), when=lambda call: "thread_ts" in call)
    run = await bot.in_status(await bot.ask(TWO_FORMS), RunStatus.PAUSED)
    await bot.reads(bot.root(run), "Waiting for")
    await bot.settled()
    (failed,) = bot.outbox()
    assert (failed.kind, failed.state) == ("PostForm", "failed")
    assert failed.reason is not None
    assert "invalid_arguments" in failed.reason


async def test_a_form_that_slack_refuses_leaves_a_notice_of_where_it_can_be_answered(bot: Stage) -> None:
    """It is redrawn like the form would be, and reminded of as what it is."""
    bot.workspace.faults.add(
        "chat.postMessage", Refuse("msg_too_long"), when=lambda call: "thread_ts" in call, times=2
    )  # with its blocks, and as plain text
    run = await bot.paused(TWO_FORMS)
    await bot.reads(bot.root(run), "Waiting for", "First review", "The thread says what to do")
    (notice,) = bot.thread(run)
    assert "Slack does not take the form" in notice.shown
    assert run.forms[0].remind_at is not None
    await bot.later(seconds=(run.forms[0].remind_at - bot.clock.now()).total_seconds())
    reminder = await bot.workspace.wait_for(
        lambda: bot.workspace.find(thread=run.thread_ts, text="still waits for an answer")
    )
    assert "cannot be answered here" in reminder.shown
    await bot.dify.answer_elsewhere(bot.dify.open_forms()[0], "no", {"note": ""})
    await bot.later(seconds=2 * 60 * 60)
    await bot.reads(notice, "First review", "Answered outside of Slack")


async def test_nobody_is_reminded_of_a_form_of_which_not_even_a_notice_is_there(bot: Stage) -> None:
    """Neither is tried for ever."""
    bot.workspace.faults.add("chat.postMessage", Refuse("msg_too_long"), when=lambda call: "thread_ts" in call, times=4)
    run = await bot.in_status(await bot.ask(TWO_FORMS), RunStatus.PAUSED)
    await bot.reads(bot.root(run), "Waiting for", "cannot be answered in Slack")
    await bot.settled()
    assert [(row.kind, row.state) for row in bot.outbox()] == [("PostForm", "failed"), ("PostFormNotShown", "failed")]
    await add(bot, run, do.PostReminder(run.forms[0].form_id))
    await bot.settled()
    assert bot.thread(run) == []


async def test_a_result_that_slack_refuses_leaves_a_notice_of_where_it_is_kept(bot: Stage) -> None:
    bot.workspace.faults.add(
        "chat.postMessage", Refuse("invalid_blocks"), when=lambda call: "thread_ts" in call, times=2
    )
    run = await bot.in_status(await bot.ask("quick topic=tea"), RunStatus.SUCCEEDED)
    await bot.workspace.wait_for(lambda: bot.workspace.find(thread=run.thread_ts, text="Look at Dify's log"))
    await bot.settled()
    assert [(row.kind, row.state) for row in bot.outbox()] == [("PostResult", "failed")]


@pytest.mark.parametrize("impossible", [do.RefreshForm("nobody"), do.SettleForm("nobody")], ids=["slack", "dify"])
async def test_a_mistake_of_ours_holds_up_no_lane(bot: Stage, impossible: Effect) -> None:
    """Whatever one effect raises, it is kept with the reason, and those behind it are carried out."""
    run = await bot.paused(TWO_FORMS)
    await add(bot, run, impossible, do.PostStuck(), do.SettleForm(run.forms[0].form_id))
    await bot.workspace.wait_for(lambda: bot.workspace.find(thread=run.thread_ts, text="has not moved"))
    await bot.settled()
    assert [(row.kind, row.state, row.reason) for row in bot.outbox()] == [
        (type(impossible).__name__, "failed", f"run {run.run_id} never asked for form nobody")
    ]


@pytest.mark.parametrize(("status", "times"), [(429, 1), (500, outcomes.FEW)], ids=["refused", "no answer"])
async def test_a_stop_that_dify_does_not_take_is_told_and_holds_up_no_answer(
    bot: Stage, status: int, times: int
) -> None:
    run = await bot.in_status(await bot.ask("endless topic=tea"), RunStatus.RUNNING)
    bot.dify.fail_next("stop", status=status, times=times)
    await bot.parts.decisions.stop(run.run_id, bot.workspace.person("ben").id, delivery="stop")
    await retried(bot, "StopRun", times - 1)
    await bot.told("ben", "Dify did not take the stop")
    assert (await bot.store.run(run.run_id)).stop_requested_by is None
    assert [(row.kind, row.state) for row in bot.outbox() if row.reason] == [("StopRun", "failed")]


async def test_a_form_that_dify_refuses_to_read_for_good_holds_up_no_other(bot: Stage) -> None:
    """Nothing can be learnt of it any more, and no other form of the run is sent before its fate is known."""
    run = await bot.paused(TWO_FORMS)
    bot.dify.lose_response("submit_form")
    bot.dify.stop_worker()
    bot.dify.fail_next("read_form", status=429, times=outcomes.FEW)
    await bot.choose(run, "no")
    await retried(bot, "SettleForm", outcomes.FEW - 1)
    run = await bot.run_when(run.run_id, lambda run: not run.open_forms)
    assert run.forms[0].status is FormStatus.VOID
    await bot.told("ben", "did not count")


class Mistaken(DifyClient):
    """A client with a mistake."""

    async def describe(self) -> AppDescription:
        raise RuntimeError("a mistake")


async def test_who_gave_a_command_that_cannot_be_checked_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.bootstrap.DifyClient", Mistaken)
    async with open_stage(tmp_path) as stage, stage.working():
        await stage.ask("quick topic=tea")
        await stage.told("ann", "Nothing was started", "went wrong on my side")
        await stage.settled()
        assert [(row.kind, row.reason) for row in stage.outbox()] == [("CheckCommand", "a mistake")]


class Clumsy(SlackGateway):
    """A gateway that cannot post a root message."""

    async def carry_out(
        self, effect: SlackEffect, run: Run | None, post_id: str, *, again: bool, writes_alone: bool = True
    ) -> str | None:
        if isinstance(effect, do.PostRoot):
            raise RuntimeError("a mistake")
        return await super().carry_out(effect, run, post_id, again=again, writes_alone=writes_alone)


async def test_who_started_a_run_whose_root_message_cannot_be_posted_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.bootstrap.SlackGateway", Clumsy)
    async with open_stage(tmp_path) as stage, stage.working():
        run_id = await stage.ask("quick topic=tea")
        await stage.told("ann", "I could not start", "Nothing was sent to Dify")
        await stage.in_status(run_id, RunStatus.FAILED)


async def test_a_start_whose_app_was_taken_out_of_the_settings_fails_with_the_reason(stage: Stage) -> None:
    """Nothing was sent, so whoever started it can start another app; it does not say for ever that it starts."""
    run = await requested(stage)
    async with stage.reopened() as without, without.working():
        run = await without.in_status(run.run_id, RunStatus.FAILED)
        await without.workspace.wait_for(
            lambda: without.workspace.find(thread=run.thread_ts, text="not configured any more")
        )
        await without.reads(without.root(run), "Failed", "not configured any more")
        await without.settled()
        assert [(row.kind, row.state) for row in without.outbox()] == [("StartRun", "failed")]
    assert stage.requests("POST", "/workflows/run") == []


async def test_an_answer_to_a_run_that_ended_meanwhile_is_not_sent(stage: Stage) -> None:
    """Dify would answer 200 to it (recording 44), and the form would be called answered."""
    async with stage.working():
        run = await stage.paused(TWO_FORMS)
        await stage.settled()
    await stage.choose(run, "no")
    await stage.parts.recorder.record(run.run_id, saw.RunFinished(RunStatus.STOPPED))
    async with stage.working():
        await stage.told("ben", "did not count")
        await stage.settled()
    run = await stage.store.run(run.run_id)
    assert run.forms[0].status is FormStatus.VOID
    assert stage.submits() == []


@pytest.mark.provokes("message_not_found")
async def test_a_form_message_that_was_deleted_is_posted_anew_once(bot: Stage) -> None:
    """The bot goes on with the new message."""
    run = await bot.paused(TWO_FORMS)
    bot.workspace.delete(bot.thread(run)[0])
    await add(bot, run, do.RefreshForm(run.forms[0].form_id))
    before = run.forms[0].message_ts
    run = await bot.run_when(run.run_id, lambda run: run.forms[0].message_ts != before)
    await bot.settled()
    assert [message.ts for message in bot.thread(run) if not message.deleted] == [run.forms[0].message_ts]


async def test_the_text_of_a_segment_has_one_message(bot: Stage) -> None:
    """A stream that was opened anew tells of its first text once more."""
    run = await bot.in_status(await bot.ask("endless topic=tea"), RunStatus.RUNNING)
    await add(bot, run, do.PostAnswer(), do.PostAnswer())
    await bot.settled()
    run = await bot.store.run(run.run_id)
    assert [message.ts for message in bot.thread(run)] == [run.answer_ts]


async def test_a_text_whose_post_was_not_confirmed_is_found_after_the_end(tmp_path: Path) -> None:
    """It would look for ever as if more of it were to come."""
    async with open_stage(tmp_path, [slow(seconds=60.0)]) as stage, stage.working():
        run = await stage.in_status(await stage.ask("slow topic=tea"), RunStatus.RUNNING)
        await stage.settled()
        stage.workspace.faults.add("chat.postMessage", LostResponse())
        await add(stage, run, do.PostAnswer())
        await stage.put_back("PostAnswer")
        await stage.parts.recorder.record(run.run_id, saw.RunFinished(RunStatus.STOPPED))
        await stage.later(seconds=2)
        await stage.settled()
        run = await stage.store.run(run.run_id)
        text, _ = stage.thread(run)
        assert text.ts == run.answer_ts
        assert WRITING not in text.shown


# --- after a crash ---------------------------------------------------------------------------------------------------


async def test_an_interrupted_start_is_not_sent_again(stage: Stage) -> None:
    """Dify has no idempotency key: the run is looked for instead, and this one is not there."""
    run = await requested(stage)
    root = stage.workspace.post(stage.workspace.channel(CHANNEL), Content("root"), stage.workspace.bot)
    await stage.store.finish_effect((await begun(stage)).row_id)
    await stage.store.change(
        run.run_id,
        lambda run: Transition(
            replace(run, status=RunStatus.STARTING, thread_ts=root.ts, root_ts=root.ts), (do.StartRun(),)
        ),
        stage.clock.now(),
    )
    await begun(stage)
    async with stage.working():
        await stage.in_status(run.run_id, RunStatus.SOUGHT)
        await stage.later(seconds=70)
        await stage.in_status(run.run_id, RunStatus.LOST)
        await stage.reads(root, "Not confirmed")
        await stage.settled()
    assert stage.requests("POST", "/workflows/run") == []
    assert stage.outbox() == []


async def test_a_start_that_waited_for_a_stream_goes_out_in_the_next_process(tmp_path: Path) -> None:
    """Nothing of it was sent, so nothing about it is unconfirmed. The end does not wait for its turn either."""
    async with open_stage(tmp_path, dify_max_streams=1) as stage:
        async with stage.working():
            await stage.in_status(await stage.ask("slow topic=tea"), RunStatus.RUNNING)
            waiting = await stage.ask("quick topic=tea")
            await stage.until(lambda: [row.kind for row in stage.outbox() if row.state == "held"] == ["StartRun"])
        assert (await stage.store.run(waiting)).status is RunStatus.STARTING
        async with stage.working():
            await stage.in_status(waiting, RunStatus.SUCCEEDED)
        assert len(stage.requests("POST", "/workflows/run")) == 2


async def test_a_start_that_surely_was_not_sent_goes_out_later(tmp_path: Path) -> None:
    """The database failed before it was: nothing about it is unconfirmed."""
    async with open_stage(tmp_path, dify_max_streams=1) as stage, stage.working():
        first = await stage.in_status(await stage.ask("slow topic=tea"), RunStatus.RUNNING)
        with stage.refusing("UPDATE OF state ON outbox WHEN NEW.state = 'held'"):
            second = await stage.ask("quick topic=tea")
            await stage.put_back("StartRun")
        await stage.in_status(first.run_id, RunStatus.SUCCEEDED)
        await stage.later(seconds=2)
        await stage.in_status(second, RunStatus.SUCCEEDED)
        assert len(stage.requests("POST", "/workflows/run")) == 2


@pytest.mark.parametrize("what", ["start", "answer", "stop"])
async def test_what_another_process_may_be_sending_by_now_is_not_sent(
    bot: Stage, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Say, because this one was frozen for longer than its lease lasts. It goes out once the lease is renewed."""
    path = {"start": "/workflows/run", "answer": "/form/human_input/", "stop": "/stop"}[what]
    if what == "answer":
        run_id = (await bot.paused(TWO_FORMS)).run_id
    elif what == "stop":
        run_id = (await bot.in_status(await bot.ask("endless topic=tea"), RunStatus.RUNNING)).run_id
    with monkeypatch.context() as lapsed:
        lapsed.setattr(bot.store, "holds_lease", lambda: False)
        if what == "start":
            run_id = await bot.ask("quick topic=tea")
        elif what == "answer":
            await bot.choose(await bot.store.run(run_id), "no")
        else:
            await bot.parts.decisions.stop(run_id, bot.workspace.person("ben").id, delivery="stop")
        await bot.put_back({"start": "StartRun", "answer": "SubmitForm", "stop": "StopRun"}[what])
        assert bot.requests("POST", path) == []
    await bot.later(seconds=2)
    run = await bot.run_when(run_id, lambda run: run.status.ended)
    assert run.status is (RunStatus.STOPPED if what == "stop" else RunStatus.SUCCEEDED)
    assert len(bot.requests("POST", path)) == 1


async def test_no_row_keeps_the_bot_from_starting(stage: Stage, logged: list[MutableMapping[str, Any]]) -> None:
    """Neither an effect nor a run of another version: what cannot be read is logged and left alone."""
    async with stage.working():
        run = await stage.in_status(await stage.ask("endless topic=tea"), RunStatus.RUNNING)
        await stage.settled()
    await add(stage, run, do.SubmitForm("nobody"), do.RefreshRoot())
    await stage.begin()
    with stage.sql() as database:
        database.execute("UPDATE runs SET mode = 'dream'")
    await stage.later(minutes=2)
    async with stage.working():
        run_id = await stage.ask("quick topic=tea")
        await stage.in_status(run_id, RunStatus.SUCCEEDED)
        await stage.settled()
    assert [(row.kind, row.state) for row in stage.outbox()] == [("SubmitForm", "failed"), ("RefreshRoot", "failed")]
    assert [entry["run"] for entry in logged if "look failed" in entry["event"]] == [run.run_id]


@pytest.mark.parametrize("arrived", [True, False], ids=["Dify took it", "it never went out"])
async def test_an_interrupted_answer_is_settled_by_reading_the_form(stage: Stage, arrived: bool) -> None:
    """It counts exactly once, for the person who gave it, wherever the crash came."""
    async with stage.working():
        run = await stage.paused(TWO_FORMS)
        await stage.settled()
    await stage.choose(run, "no", note="late")
    begun = await stage.begin()
    assert do.SubmitForm(run.forms[0].form_id) in [saved.effect for saved in begun]
    if arrived:
        asked = stage.dify.open_forms()[0]
        await stage.dify.answer_elsewhere(asked, "no", {"note": "late"})
    async with stage.working():
        if not arrived:
            await stage.put_back("SubmitForm")
            await stage.later(seconds=1)
        run = await stage.run_when(run.run_id, lambda run: run.forms[0].status is FormStatus.SUBMITTED)
        assert run.forms[0].submission is not None
        assert run.forms[0].submission.user_id == stage.workspace.person("ben").id
        await stage.later(seconds=3)
        await stage.in_status(run.run_id, RunStatus.SUCCEEDED)
    assert statuses(stage) == ([] if arrived else [200])


async def test_an_interrupted_post_is_looked_for_before_it_is_sent_again(stage: Stage) -> None:
    """The message's metadata tell that it is there already."""
    run = await requested(stage)
    saved = await begun(stage)
    async with SlackGateway(stage.client) as gateway:
        assert isinstance(saved.effect, do.PostRoot)
        ts = await gateway.carry_out(saved.effect, run, saved.post_id, again=False)
    async with stage.working():
        run = await stage.run_when(run.run_id, lambda run: run.thread_ts)
    assert run.thread_ts == ts
    assert len(stage.workspace.channel(CHANNEL).roots) == 1


@pytest.mark.usefixtures("no_store_pause")
async def test_a_post_that_could_not_be_saved_is_found_once_the_database_is_back(bot: Stage) -> None:
    with bot.refusing("UPDATE ON runs"):
        run_id = await bot.ask("quick topic=tea")
        await bot.workspace.wait_for(lambda: bot.workspace.find(channel=CHANNEL))
        await bot.until(lambda: any(row.attempts > 1 for row in bot.outbox()))
    await bot.in_status(run_id, RunStatus.SUCCEEDED)
    assert len(bot.workspace.channel(CHANNEL).roots) == 1


@pytest.mark.usefixtures("no_store_pause")
async def test_an_answer_that_dify_took_and_nobody_saved_is_settled(bot: Stage, logged: list[Any]) -> None:
    """What the database did not take down counts as interrupted by a crash."""
    run = await bot.paused(TWO_FORMS)
    bot.dify.stop_worker()  # no event of a resumed run tells of the answer
    bot.dify.delay_next("submit_form", 5)
    await bot.choose(run, "no")
    await bot.dify.wait_for(bot.submits)
    with bot.refusing("UPDATE ON forms"):
        await bot.dify.wait_for(lambda: statuses(bot) == [200])
        await bot.until(lambda: any(entry["event"] == "what became of an effect is not saved" for entry in logged))
    run = await bot.run_when(run.run_id, lambda run: run.forms[0].status is FormStatus.SUBMITTED)
    assert statuses(bot) == [200]
    assert len(bot.requests("GET", "/form/human_input/")) == 1


# --- answers whose fate is unknown -----------------------------------------------------------------------------------


async def test_a_lost_response_is_settled_without_a_second_answer(bot: Stage) -> None:
    run = await bot.paused(TWO_FORMS)
    bot.dify.lose_response("submit_form")
    await bot.choose(run, "no")
    run = await bot.in_status(run.run_id, RunStatus.SUCCEEDED)
    assert len(bot.submits()) == 1
    assert run.forms[0].status is FormStatus.SUBMITTED
    assert run.forms[0].submission is not None
    assert run.forms[0].submission.user_id == bot.workspace.person("ben").id


async def test_an_answer_that_a_server_error_met_is_read_and_sent_again_after_a_pause(bot: Stage) -> None:
    run = await bot.paused(TWO_FORMS)
    asked = bot.dify.open_forms()[0]
    bot.dify.fail_next("submit_form", status=500)
    await bot.choose(run, "no")
    put_back = await bot.put_back("SubmitForm")
    assert put_back.due_at > bot.clock.now()
    assert statuses(bot) == [500]
    assert len(bot.requests("GET", "/form/human_input/")) == 1
    await bot.later(seconds=1)
    await bot.in_status(run.run_id, RunStatus.SUCCEEDED)
    assert statuses(bot) == [500, 200]
    assert asked.status is AtDify.SUBMITTED


async def test_people_are_told_of_an_answer_that_waits_until_dify_takes_the_key_again(bot: Stage) -> None:
    run = await bot.paused(TWO_FORMS)
    app = next(app for app in bot.dify.apps.values() if app.name == "two_forms")
    bot.dify.revoke_key(app)
    await bot.choose(run, "no")
    run = await bot.run_when(run.run_id, lambda run: run.forms[0].delayed)
    row = await bot.put_back("SubmitForm")
    assert run.forms[0].status is FormStatus.SUBMITTING
    bot.dify.restore_key(app)
    await bot.later(seconds=(row.due_at - bot.clock.now()).total_seconds())
    await bot.in_status(run.run_id, RunStatus.SUCCEEDED)


async def test_a_form_that_cannot_be_read_for_now_is_settled_later(bot: Stage) -> None:
    """And people are told that this is why nothing happens."""
    run = await bot.paused(TWO_FORMS)
    bot.dify.stop_worker()  # no event of a resumed run tells of the answer
    bot.dify.lose_response("submit_form")
    bot.dify.fail_next("read_form", status=503)
    await bot.choose(run, "no")
    await bot.put_back("SettleForm")
    run = await bot.run_when(run.run_id, lambda run: run.forms[0].delayed)
    assert run.forms[0].status is FormStatus.SETTLING
    await bot.later(seconds=1)
    await bot.run_when(run.run_id, lambda run: run.forms[0].status is FormStatus.SUBMITTED)
    assert len(bot.submits()) == 1


# --- the end ---------------------------------------------------------------------------------------------------------


async def test_a_start_under_way_at_the_end_is_waited_for(stage: Stage) -> None:
    """SIGTERM while Dify is still thinking: its answer names the run, and the next process goes on from there."""
    async with stage.working():
        stage.dify.delay_next("run", 10)
        run_id = await stage.ask(TWO_FORMS)
        await stage.dify.wait_for(lambda: stage.requests("POST", "/workflows/run"))
    assert (await stage.store.run(run_id)).workflow_run_id is not None
    async with stage.working():
        await stage.in_status(run_id, RunStatus.PAUSED)
    assert len(stage.requests("POST", "/workflows/run")) == 1


async def test_nothing_is_left_marked_as_begun_when_the_end_comes_while_the_outbox_is_read(stage: Stage) -> None:
    """Else a start that never went out would count as lost."""
    told = do.TellNotStartable(stage.command("").response_url, ("Too much tea.",))
    await stage.store.add_effect(told, stage.clock.now())
    await stage.store.join(LEASE)
    worker = asyncio.create_task(stage.parts.outbox.run())
    with stage.locked():
        stage.parts.outbox.wake()
        await stage.database.writing.wait()
        worker.cancel()
        await asyncio.wait({worker})
    await stage.parts.outbox.drain(10)
    assert stage.outbox() == []
    assert stage.workspace.find(visible_to="ann", text="Too much tea.")


async def test_what_does_not_end_in_time_is_left_to_the_next_process(stage: Stage) -> None:
    """A start that Dify does not answer counts as unconfirmed then."""
    stage.dify.delay_next("run", 3000)
    await stage.store.join(LEASE)
    worker = asyncio.create_task(stage.parts.outbox.run())
    run_id = await stage.ask(TWO_FORMS)
    await stage.dify.wait_for(lambda: stage.requests("POST", "/workflows/run"))
    worker.cancel()
    await asyncio.wait({worker})
    await stage.parts.outbox.drain(0)
    await stage.parts.streams.close()
    assert [row.state for row in stage.outbox() if row.kind == "StartRun"] == ["sending"]
    async with stage.working():
        await stage.in_status(run_id, RunStatus.SOUGHT)
    assert len(stage.requests("POST", "/workflows/run")) == 1


async def test_the_end_does_not_wait_for_a_database_that_hangs(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, logged: list[MutableMapping[str, Any]]
) -> None:
    """What is left is free for others when the lease lapses."""

    async def hang(now: datetime) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(bootstrap, "LEAVE", 0.05)
    monkeypatch.setattr(stage.store, "leave", hang)
    async with asyncio.timeout(PATIENCE), stage.working():
        pass
    assert [entry["event"] for entry in logged if entry["log_level"] == "error"] == [
        "the database is away; what is left here is free when the lease lapses"
    ]


async def test_an_outbox_that_cannot_be_read_is_read_again(bot: Stage) -> None:
    with bot.refusing("UPDATE OF state ON outbox"):
        run_id = await bot.ask("quick topic=tea")
        await bot.until(lambda: bot.clock.armed)
    await bot.later(seconds=2)
    await bot.in_status(run_id, RunStatus.SUCCEEDED)
