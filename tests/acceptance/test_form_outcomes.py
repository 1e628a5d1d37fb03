"""Everything that can become of a form, as people see it where they were asked."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta

import pytest

from bot.playground.dify import App
from bot.playground.dify.apps import two_forms
from bot.playground.dify.forms import FormStatus
from bot.playground.dify.graph import End, HttpRequest, HumanInput, action, paragraph
from bot.playground.dify.runs import RunStatus
from bot.playground.scenarios import DONE, Scene
from bot.playground.slack import Message
from bot.playground.stage import Stage, Transport
from tests.acceptance.conftest import apps
from tests.acceptance.passing_time import let_time_pass

pytestmark = [pytest.mark.acceptance, pytest.mark.asyncio(loop_scope="module")]

NOT_MOVING = "has not moved since"
A_WHILE = timedelta(minutes=5)
"""Longer than a run takes to move after an answer."""


@pytest.fixture(scope="module")
def transport() -> Transport:
    """Forms are the same over both."""
    return "socket"


@pytest.fixture(scope="module")
def sample_apps() -> dict[str, App]:
    """The sample apps, and one in which a step fails beside a form."""
    beside = App(
        name="beside",
        nodes=(
            HumanInput("ask", "Ask", content="Go on?", inputs=(paragraph("note"),), actions=(action("ok", "OK"),)),
            HttpRequest("call", "Call the printer", seconds=1.0, error="[Errno 111] Connection refused"),
            End("end", "End", {"note": ("ask", "note")}),
        ),
        edges=("start -> ask", "start -> call -> end", "ask.ok -> end"),
    )
    return apps() | {"beside": beside}


async def asked(scene: Scene, line: str = "/dify two_forms topic=tea", button: str = "OK") -> tuple[Message, Message]:
    """Start a run; return its root and its first form."""
    root = await scene.start("ann", line)
    return root, await scene.form(root, button)


def notices(scene: Scene, root: Message, text: str) -> list[Message]:
    """What in a run's thread says this."""
    return scene.workspace.find_all(channel=scene.channel, thread=root.ts, text=text)


def is_closed(form: Message) -> bool:
    """Whether nothing can be entered or pressed any more."""
    return not form.buttons and not form.fields


async def test_answered_elsewhere(stage: Stage, scene: Scene) -> None:
    """The form says so, and the next form of the run is shown."""
    root, form = await asked(scene)
    await stage.dify.answer_elsewhere(scene.asked, "ok", {"note": "by mail"})
    await scene.reads(form, "✅", "answered")
    assert is_closed(form)
    await scene.form(root, "OK", "Second review")


async def test_answered_elsewhere_while_the_run_is_followed(stage: Stage, scene: Scene) -> None:
    """Where Dify tells on the stream with what a form was answered, the form says that, too."""
    root = await scene.start("ann", "/dify parallel topic=tea")
    legal = await scene.form(root, "OK", "Legal review")
    brand = await scene.form(root, "OK", "Brand review")
    other = next(form for form in stage.dify.open_forms() if form.node_id == "brand" and form.run_id == run_id(scene))
    stage.dify.delay_next("submit_form", 10)
    await scene.click("ben", legal, "OK")
    await stage.dify.wait_for(lambda: scene.submits)
    await stage.dify.answer_elsewhere(other, "no", {"note": "by mail"})
    await scene.reads(brand, "✅", "answered")
    await scene.reads(legal, "✅ OK", "@ben")
    assert is_closed(brand)


def run_id(scene: Scene) -> str:
    """Dify's id of the run that was started last."""
    return list(scene.dify.runs)[-1]


@pytest.mark.parametrize("branch", [True, False], ids=["timeout branch", "no timeout branch"])
async def test_expired(stage: Stage, scene: Scene, branch: bool) -> None:
    """The form says that nobody answered in time, and the run ends as its builder decided."""
    line = "/dify review topic=Tea language=English" if branch else "/dify two_forms topic=tea"
    root, form = await asked(scene, line, "Approve" if branch else "OK")
    await stage.dify.expire(scene.asked)
    await scene.reads(form, "⌛ Expired")
    await scene.reads(root, DONE)
    assert is_closed(form)
    if branch:
        await scene.result(root, "Nobody answered in time. Nothing was published.")


async def test_click_after_the_deadline(stage: Stage, scene: Scene) -> None:
    """Dify refuses it before its own sweep: the person learns it and gets back what was entered."""
    root, form = await asked(scene)
    await scene.fill("ben", form, "note", "almost there")
    await stage.dify.expire(scene.asked, sweep=False)
    await scene.click("ben", form, "OK", hesitates=False)
    await scene.told("ben", "expired", "almost there")
    await scene.reads(form, "⌛ Expired")
    stage.dify.sweep()
    await scene.reads(root, DONE)
    scene.check_answers(0)


async def test_stopped_by_the_limit_for_all_forms(stage: Stage, scene: Scene) -> None:
    """Dify sends no event (recording 14); the form and the root say why the run is over."""
    root, form = await asked(scene)
    await stage.dify.expire_globally(scene.asked)
    await scene.reads(form, "⌛", "time limit")
    await scene.reads(root, "a form waited longer than any form may")
    assert is_closed(form)


async def test_run_failed_while_a_form_was_open(stage: Stage, scene: Scene) -> None:
    """An answer given in Dify to the form beside it broke the run (recording 40): this form is closed and says so."""
    root = await scene.start("ann", "/dify parallel topic=tea")
    legal = await scene.form(root, "OK", "Legal review")
    brand = await scene.form(root, "OK", "Brand review")
    other = next(form for form in stage.dify.open_forms() if form.run_id == run_id(scene) and form.node_id == "legal")
    await stage.dify.answer_elsewhere(other, "ok", {"note": ["no text"]})
    await scene.reads(root, "Failed")
    await scene.reads(brand, "the run failed before this form was answered")
    await scene.reads(legal, "✅", "answered")
    assert is_closed(brand)


async def test_step_beside_an_open_form_failed(stage: Stage, scene: Scene) -> None:
    """Dify asks all the same and fails the run after the answer (recording 41): the thread says which step it was."""
    root, form = await asked(scene, "/dify beside")
    await scene.click("ben", form, "OK")
    await scene.reads(form, "✅ OK", "@ben")
    await scene.reads(root, "Failed", "Connection refused")
    scene.check_answers(1)


async def test_key_revoked_and_put_right(stage: Stage, scene: Scene) -> None:
    """The thread says it once, with what an admin can do; an answer given meanwhile is sent when the key works."""
    app = two_forms()
    root, form = await asked(scene)
    await scene.fill("ben", form, "note", "not today")
    stage.dify.revoke_key(app)
    try:
        await scene.until(lambda: notices(scene, root, "refuses the API key"), "the thread tells of the key")
        await scene.reads(root, "refuses the key")
        await scene.click("ben", form, "No")
        await scene.reads(form, "No", "@ben", "Dify refuses this app's key")
        await scene.reads(root, "@ben", "sent once Dify takes a key")
    finally:
        stage.dify.restore_key(app)
    await scene.reads(form, "✅ No", "@ben", "not today")
    await scene.result(root, "first: not today")
    assert len(notices(scene, root, "refuses the API key")) == 1
    assert [each.status for each in scene.submits].count(200) == 1


async def test_run_purged(stage: Stage, scene: Scene) -> None:
    """Dify deleted the run with its form: both messages say so."""
    root, form = await asked(scene)
    stage.dify.purge(stage.dify.runs[run_id(scene)])
    await scene.reads(root, "Dify no longer knows this run")
    await scene.until(lambda: is_closed(form), "the form is closed")


async def test_resume_lost_after_the_answer(stage: Stage, scene: Scene) -> None:
    """Dify took the answer and its resume job got lost: people are told once, and the answer is not sent again."""
    root, form = await asked(scene)
    stage.dify.lose_resume()
    await scene.click("ben", form, "OK")
    await scene.reads(form, "✅ OK", "@ben")
    await scene.reads(root, "waiting for Dify to go on")
    let_time_pass(stage, A_WHILE)
    await scene.until(lambda: notices(scene, root, NOT_MOVING), "the thread says that nothing moves")
    await scene.reads(root, NOT_MOVING)
    for _ in range(2):
        await looked_at_again(stage, scene)
    assert len(notices(scene, root, NOT_MOVING)) == 1
    assert len(scene.submits) == 1


async def looked_at_again(stage: Stage, scene: Scene) -> None:
    """Let time pass until the bot has asked Dify once more how the scene's run stands.

    A look that is under way plans the next one by the time at which it began, so time has to pass again after it.
    """
    path, before = f"/v1/workflows/run/{run_id(scene)}", len(scene.dify.requests)
    async with asyncio.timeout(20):
        while True:
            let_time_pass(stage, A_WHILE)
            with suppress(TimeoutError):
                await scene.dify.wait_for(lambda: path in [each.path for each in scene.dify.requests[before:]], 2)
                return


async def test_worker_away_and_back(stage: Stage, scene: Scene) -> None:
    """The run goes on by itself when the worker is back (recording 38), and the root says no more that it does not."""
    root, form = await asked(scene)
    stage.dify.stop_worker()
    try:
        await scene.click("ben", form, "OK")
        await scene.reads(form, "✅ OK", "@ben")
        let_time_pass(stage, A_WHILE)
        await scene.until(lambda: notices(scene, root, NOT_MOVING), "the thread says that nothing moves")
    finally:
        stage.dify.start_worker()
    await scene.form(root, "OK", "Second review")
    await scene.reads(root, "Waiting for @ann: Second review")
    assert len(notices(scene, root, NOT_MOVING)) == 1
    scene.check_answers(1)


async def test_race_of_two_answers_in_dify(stage: Stage, scene: Scene) -> None:
    """Two forms answered at once outside of Slack leave the run paused for good (recording 33): people are told."""
    root = await scene.start("ann", "/dify parallel topic=tea")
    forms = [await scene.form(root, "OK", title) for title in ("Legal review", "Brand review")]
    mine = [form for form in stage.dify.open_forms() if form.run_id == run_id(scene)]
    stage.dify.lose_resume(2)
    for form in mine:
        await stage.dify.answer_elsewhere(form, "ok", {"note": ""})
    for message in forms:
        await scene.reads(message, "✅", "answered")
    let_time_pass(stage, A_WHILE)
    await scene.until(lambda: notices(scene, root, NOT_MOVING), "the thread says that nothing moves")
    assert stage.dify.runs[run_id(scene)].status is RunStatus.PAUSED
    scene.check_answers(0)


async def test_two_answers_at_once_here_go_out_one_after_the_other(stage: Stage, scene: Scene) -> None:
    """The bot leaves no run of its own paused for good, however quickly people click."""
    root = await scene.start("ann", "/dify parallel topic=tea")
    legal = await scene.form(root, "OK", "Legal review")
    brand = await scene.form(root, "OK", "Brand review")
    await scene.click("ann", legal, "OK", hesitates=False)
    await scene.click("ben", brand, "No", hesitates=False)
    await scene.reads(legal, "✅ OK", "@ann")
    await scene.reads(brand, "✅ No", "@ben")
    await scene.reads(root, DONE)
    scene.check_answers(2)
    assert all(
        form.status is FormStatus.SUBMITTED for form in stage.dify.forms.values() if form.run_id == run_id(scene)
    )
