"""What a thread shows while a run is on its way: steps, text, forms in a row and beside each other, failures."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bot.playground.dify import App
from bot.playground.dify.apps import slow
from bot.playground.dify.runs import RunStatus
from bot.playground.scenarios import DONE, Scene
from bot.playground.slack.faults import Hold
from bot.playground.stage import Stage, Transport
from tests.acceptance.conftest import SPEED, STORY, apps, story

pytestmark = [pytest.mark.acceptance, pytest.mark.asyncio(loop_scope="module")]


@pytest.fixture(scope="module")
def transport() -> Transport:
    """Nothing here depends on it."""
    return "http"


@pytest.fixture(scope="module")
def sample_apps() -> dict[str, App]:
    """The sample apps, one with steps and one with a text that take their time even at this speed."""
    return apps() | {"slow": slow(steps=20, seconds=SPEED), "story": story(4 * SPEED)}


async def test_steps_are_shown_and_stop_stops(scene: Scene) -> None:
    """The root names the present step and counts those done; Stop ends the run and says who pressed it."""
    root = await scene.start("ann", "/dify slow topic=tea")
    await scene.reads(root, "Running: Step ", "steps done")
    assert root.buttons == ["Stop"]
    states = [line for version in root.history for line in version.shown.splitlines() if "⚙️ Running" in line]
    assert "⚙️ Running" not in states[1:], "no redraw forgets the step"
    await scene.click("ben", root, "Stop")
    await scene.reads(root, "Stopped by @ben")
    assert root.buttons == []
    run = list(scene.dify.runs.values())[-1]
    assert run.status is RunStatus.STOPPED
    assert len(scene.starts) == 1


async def test_stop_is_not_offered_while_a_form_is_open(scene: Scene) -> None:
    """Dify cannot stop a paused run (recordings 12 and 27)."""
    root = await scene.start("ann", "/dify two_forms topic=tea")
    await scene.form(root, "OK")
    await scene.reads(root, "Waiting for @ann: First review")
    assert root.buttons == []


async def test_resumed_text_appears_while_it_is_written(scene: Scene) -> None:
    """A part of it stands in the thread while the run still executes, the whole of it at the end."""
    root = await scene.start("ann", "/dify story")
    form = await scene.form(root, "Go")
    with scene.dify.texts_under_way():
        await scene.click("ben", form, "Go")
        answer = await scene.until(
            lambda: scene.workspace.find(channel=scene.channel, thread=root.ts, text="word1"),
            "text appears in the thread",
        )
        assert "word60" not in answer.shown
        assert list(scene.dify.runs.values())[-1].status is RunStatus.RUNNING
    await scene.reads(answer, STORY)
    await scene.reads(root, DONE)
    assert len(scene.workspace.channel(scene.channel).replies(root.ts)) == 2


async def test_form_shows_at_once_that_it_is_being_sent(stage: Stage, scene: Scene) -> None:
    """Who pressed what is to be seen while Dify has not answered yet, and nothing is left to press."""
    root = await scene.start("ann", "/dify two_forms topic=tea")
    form = await scene.form(root, "No")
    submit = stage.dify.hold_next("submit_form")
    await scene.click("ben", form, "No")
    await scene.reads(form, "⏳ Sending No · @ben")
    assert form.buttons == []
    submit.set()
    await scene.reads(form, "✅ No · @ben")
    await scene.reads(root, DONE)
    scene.check_answers(1)


async def test_failed_run_shows_the_error_and_the_step(scene: Scene) -> None:
    """Dify's own words and the step's title are in the thread and on the root."""
    root = await scene.start("ann", "/dify fails_after topic=tea")
    form = await scene.form(root, "OK")
    await scene.click("ann", form, "OK")
    await scene.reads(root, "Failed at Call the printer")
    await scene.until(
        lambda: scene.workspace.find(channel=scene.channel, thread=root.ts, text="Connection refused"),
        "the error is in the thread",
    )
    await scene.reads(form, "✅ OK · @ann")


async def test_forms_in_a_row_stay_in_one_thread(scene: Scene) -> None:
    """The second form follows the first answer, in a message of its own; the outputs name both answers."""
    root = await scene.start("ann", "/dify two_forms topic=tea")
    first = await scene.form(root, "OK", "First review")
    await scene.fill("ann", first, "note", "fine")
    await scene.click("ann", first, "OK")
    second = await scene.form(root, "OK", "Second review")
    assert second is not first
    await scene.fill("ben", second, "note", "fine, too")
    await scene.click("ben", second, "OK")
    await scene.result(root, "first: fine", "second: fine, too")
    scene.check_answers(2)


async def test_what_slack_is_late_to_confirm_is_not_said_again(scene: Scene) -> None:
    """The run ends before Slack answers the post of its text; the result waits to know whether that stands there."""
    root = await scene.start("ann", "/dify parallel topic=tea")
    legal = await scene.form(root, "OK", "Legal review")
    brand = await scene.form(root, "OK", "Brand review")
    await scene.fill("ann", legal, "note", "allowed")
    await scene.fill("ben", brand, "note", "beautiful")
    late: list[Any] = []

    def is_the_text(body: dict[str, Any]) -> bool:
        """Tell it from what comes later, whichever call posts it."""
        if "allowed" in str(body):
            late.append(body)
        return late == [body]

    answering = asyncio.Event()
    for method in ("chat.startStream", "chat.postMessage"):
        scene.workspace.faults.add(method, Hold(answering), when=is_the_text)
    await scene.click("ann", legal, "OK", hesitates=False)
    await scene.click("ben", brand, "OK", hesitates=False)
    await scene.dify.wait_for(lambda: list(scene.dify.runs.values())[-1].status is RunStatus.SUCCEEDED)
    answering.set()
    await scene.result(root, "legal: ⬆️ stands above", "brand: beautiful")
    assert late
    scene.check_answers(2)


async def test_parallel_forms_are_answered_one_after_the_other(scene: Scene) -> None:
    """Two forms of one run, answered at the same moment, both count: Dify would lose a run otherwise (recording 33)."""
    root = await scene.start("ann", "/dify parallel topic=tea")
    legal = await scene.form(root, "OK", "Legal review")
    brand = await scene.form(root, "OK", "Brand review")
    await scene.fill("ann", legal, "note", "allowed")
    await scene.fill("ben", brand, "note", "beautiful")
    await scene.click("ann", legal, "OK", hesitates=False)
    await scene.click("ben", brand, "OK", hesitates=False)
    await scene.reads(legal, "✅ OK · @ann")
    await scene.reads(brand, "✅ OK · @ben")
    # What was written before the second form stands there already.
    await scene.result(root, "legal: ⬆️ stands above", "brand: beautiful")
    scene.check_answers(2)
