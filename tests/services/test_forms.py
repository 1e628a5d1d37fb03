"""What people press: checked, saved once, and answered where it comes too late."""

from __future__ import annotations

import asyncio

import pytest

from bot.core.model import FormStatus, RunStatus
from bot.errors import StoreError, UnknownHere
from tests.services.stage import Stage

TWO_FORMS = "two_forms topic=tea"


async def test_every_input_is_sent_with_every_action(bot: Stage) -> None:
    """Dify wants all of them (recording 04): what was left empty is an empty text, and NUL is dropped (32)."""
    run = await bot.paused("content_review topic=Tea language=English")
    await bot.choose(run, "approve", edits="less\0 tea")
    await bot.dify.wait_for(bot.submits)
    (submit,) = bot.submits()
    assert submit.body == {
        "inputs": {"edits": "less tea", "feedback": ""},
        "action": "approve",
        "user": run.dify_user,
    }


async def test_who_left_a_menu_empty_is_told_privately_and_nothing_is_decided(bot: Stage) -> None:
    run = await bot.paused("pick title=Menu")
    form = run.forms[0].form_id
    await bot.choose(run, "accept", remarks="Less garlic", priority=None)
    note = await bot.told("ben", "Priority", "is empty", "Nothing was decided")
    assert note.thread_ts == run.thread_ts
    await bot.settled()
    assert bot.submits() == []
    assert (await bot.store.run(run.run_id)).form(form).status is FormStatus.OPEN

    await bot.choose(run, "accept", remarks="Less garlic", priority="high")
    run = await bot.in_status(run.run_id, RunStatus.SUCCEEDED)
    assert (run.outputs["remarks"], run.outputs["priority"]) == ("Less garlic", "high")


async def test_the_second_clicker_is_told_who_decided_what(bot: Stage) -> None:
    """Ten answers at one moment: one is sent, nine people learn that they were too late."""
    run = await bot.paused(TWO_FORMS)
    form = run.forms[0].form_id
    await asyncio.gather(*(bot.choose(run, "no", user) for user in ("ben", "cleo")))
    run = await bot.in_status(run.run_id, RunStatus.SUCCEEDED)
    submission = run.form(form).submission
    assert submission is not None
    winner = next(name for name in ("ben", "cleo") if bot.workspace.person(name).id == submission.user_id)
    loser = {"ben": "cleo", "cleo": "ben"}[winner]
    note = await bot.told(loser, "Too late", "No")
    assert f"<@{submission.user_id}>" in note.shown
    await bot.settled()
    assert bot.workspace.find_all(visible_to=winner) == []
    assert len(bot.submits()) == 1


async def test_a_click_on_an_expired_form_is_told(bot: Stage) -> None:
    """Dify refuses it with 412, and the claim is given up."""
    run = await bot.paused("content_review topic=Tea language=English")
    await bot.dify.expire(bot.dify.open_forms()[0], sweep=False)
    await bot.choose(run, "approve")
    await bot.told("ben", "did not count")
    run = await bot.run_when(run.run_id, lambda run: not run.open_forms)
    assert run.forms[0].status is FormStatus.TIMED_OUT


async def test_a_click_that_was_overtaken_in_dify_is_told(bot: Stage) -> None:
    run = await bot.paused(TWO_FORMS)
    await bot.dify.answer_elsewhere(bot.dify.open_forms()[0], "no", {"note": "by mail"})
    await bot.choose(run, "no", note="by chat")
    await bot.told("ben", "answered")
    run = await bot.run_when(run.run_id, lambda run: not run.open_forms)
    assert run.forms[0].status is FormStatus.ANSWERED_ELSEWHERE


async def test_a_delivery_that_comes_twice_counts_once_and_tells_nobody_off(bot: Stage) -> None:
    run = await bot.paused(TWO_FORMS)
    ben = bot.workspace.person("ben").id
    for _ in range(2):
        await bot.parts.decisions.choose(
            run.run_id, run.forms[0].form_id, "no", ben, lambda form: {}, typed=lambda form: {}, delivery="click:once"
        )
    await bot.in_status(run.run_id, RunStatus.SUCCEEDED)
    await bot.settled()
    assert len(bot.submits()) == 1
    assert bot.workspace.find_all(visible_to="ben") == []


async def test_answers_to_two_forms_of_a_run_go_out_one_after_the_other(bot: Stage) -> None:
    """Two at once leave a real server's run paused for good (recording 33)."""
    run = await bot.paused("parallel topic=tea", forms=2)
    _, second = run.forms
    bot.dify.delay_next("submit_form", 5)
    await asyncio.gather(bot.choose(run, "ok", "ben"), bot.choose(run, "ok", "cleo", form_id=second.form_id))
    await bot.dify.wait_for(bot.submits)
    run = await bot.store.run(run.run_id)
    assert sorted(form.status for form in run.forms) == [FormStatus.CLAIMED, FormStatus.SUBMITTING]
    await bot.in_status(run.run_id, RunStatus.SUCCEEDED)
    assert [each.status for each in bot.submits()] == [200, 200]


async def test_the_root_message_tells_of_an_answer_that_waits_its_turn(bot: Stage) -> None:
    """Its form is no longer what the run waits for somebody to answer."""
    run = await bot.paused("parallel topic=tea", forms=2)
    bot.dify.delay_next("submit_form", 60)
    await bot.choose(run, "ok", "ben")
    await bot.choose(run, "ok", "cleo", form_id=run.forms[1].form_id)
    ben, cleo = (bot.workspace.person(name).id for name in ("ben", "cleo"))
    await bot.reads(bot.root(run), f"answered by <@{ben}>, on its way", f"answered by <@{cleo}>, on its way")
    assert "Waiting for" not in bot.root(run).shown
    await bot.in_status(run.run_id, RunStatus.SUCCEEDED)


async def test_the_root_message_waits_for_an_answer_again_once_dify_refused_one(bot: Stage) -> None:
    """It does not go on saying that the answer is on its way."""
    run = await bot.paused(TWO_FORMS)
    bot.dify.fail_next("submit_form", status=400)
    bot.dify.fail_next("submit_form", status=413)
    await bot.choose(run, "no")
    await bot.put_back("SubmitForm")
    await bot.reads(bot.root(run), "answered by")
    await bot.later(seconds=1)
    await bot.told("ben", "did not take")
    await bot.reads(bot.root(run), "Waiting for", "First review")
    assert "answered by" not in bot.root(run).shown


async def test_what_is_not_saved_is_not_decided(bot: Stage) -> None:
    run = await bot.paused(TWO_FORMS)
    await bot.settled()
    with bot.refusing("INSERT ON inbox"), pytest.raises(StoreError):
        await bot.choose(run, "no")
    assert bot.submits() == []
    assert (await bot.store.run(run.run_id)).forms[0].status is FormStatus.OPEN


async def test_a_run_form_or_user_action_that_the_bot_does_not_know_is_an_error_of_its_own(bot: Stage) -> None:
    run = await bot.paused(TWO_FORMS)
    with pytest.raises(UnknownHere):
        await bot.choose(run, "no", form_id="nobody")
    with pytest.raises(UnknownHere):
        await bot.choose(run, "maybe")
    with pytest.raises(UnknownHere):
        await bot.parts.decisions.stop("nobody", "U1", delivery="stop")
    assert (await bot.store.run(run.run_id)).forms[0].status is FormStatus.OPEN


@pytest.mark.parametrize(
    ("text", "status", "sentence"),
    [(TWO_FORMS, RunStatus.PAUSED, "cannot stop"), ("quick topic=tea", RunStatus.SUCCEEDED, "already ended")],
)
async def test_a_stop_that_would_do_nothing_is_answered(
    bot: Stage, text: str, status: RunStatus, sentence: str
) -> None:
    """A stop sent to a paused run answers success and cuts off a later resume (recordings 12, 27)."""
    run = await bot.in_status(await bot.ask(text), status)
    await bot.parts.decisions.stop(run.run_id, bot.workspace.person("ben").id, delivery="stop")
    await bot.told("ben", sentence)
    assert bot.requests("POST", "/stop") == []
