"""Kill -9 wherever it hurts: what was taken in is done once, and what stands in Slack stands there once."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

import pytest

from bot.playground.dify import App
from bot.playground.dify.forms import FormStatus
from bot.playground.scenarios import DONE, Scene
from bot.playground.slack import Message
from bot.playground.slack.faults import Delay
from bot.playground.stage import Stage, Transport
from tests.acceptance.conftest import SPEED, STORY, apps, story

pytestmark = [pytest.mark.acceptance, pytest.mark.asyncio(loop_scope="module")]

FOR_EVER = 60.0
"""Seconds, longer than any test here."""

SOON = 0.5
"""Seconds that a call takes in which the bot is killed."""


@pytest.fixture(scope="module")
def transport() -> Transport:
    """The scenario `crash` is played over both."""
    return "socket"


@pytest.fixture(scope="module")
def sample_apps() -> dict[str, App]:
    """The sample apps, and one that goes on for a while after its form."""
    return apps() | {"story": story(8 * SPEED)}


async def crash(stage: Stage) -> None:
    """Kill the bot and start it again."""
    await stage.bot.kill()
    await stage.bot.start()


async def test_click_that_was_acked_and_not_sent_is_sent(stage: Stage, scene: Scene) -> None:
    """The bot was killed before the answer went out: it goes out after the restart, without another click."""
    root = await scene.start("ann", "/dify two_forms topic=tea")
    form = await scene.form(root, "No")
    await scene.fill("ben", form, "note", "not today")
    stage.dify.delay_next("events", FOR_EVER * SPEED)
    before = len(stage.dify.requests)
    await scene.click("ben", form, "No")
    await stage.dify.wait_for(lambda: [each for each in stage.dify.requests[before:] if each.path.endswith("/events")])
    assert scene.submits == []
    await crash(stage)
    await scene.reads(form, "✅ No", "@ben", "not today")
    await scene.result(root, "first: not today")
    scene.check_answers(1)
    assert scene.notes("ben") == []


async def test_answer_whose_response_nobody_heard_counts_once(stage: Stage, scene: Scene) -> None:
    """Dify took it while the bot was dead: the restarted bot finds that out and sends nothing."""
    root = await scene.start("ann", "/dify two_forms topic=tea")
    form = await scene.form(root, "No")
    asked = scene.asked
    stage.dify.delay_next("submit_form", SOON * SPEED)
    await scene.click("ben", form, "No")
    await stage.dify.wait_for(lambda: scene.submits)
    await stage.bot.kill()
    await stage.dify.wait_for(lambda: asked.status is FormStatus.SUBMITTED)
    await stage.bot.start()
    await scene.reads(form, "✅ No", "@ben")
    await scene.reads(root, DONE)
    scene.check_answers(1)


async def test_answer_that_never_reached_dify_is_sent_again(stage: Stage, scene: Scene) -> None:
    """The request died with the bot: reading the form shows it open, so a second request is no second answer."""
    root = await scene.start("ann", "/dify two_forms topic=tea")
    form = await scene.form(root, "No")
    stage.dify.delay_next("submit_form", FOR_EVER * SPEED)
    await scene.click("ben", form, "No")
    await stage.dify.wait_for(lambda: scene.submits)
    await crash(stage)
    await scene.reads(form, "✅ No", "@ben")
    await scene.reads(root, DONE)
    assert [each.status for each in scene.submits].count(200) == 1


async def test_run_that_dify_had_not_named_is_found_and_goes_on(stage: Stage, scene: Scene) -> None:
    """The start had reached Dify, whose worker was busy: it is not sent again, and its run is no other one."""
    stage.dify.stop_worker()
    root = await scene.start("ann", "/dify two_forms topic=tea")
    await stage.dify.wait_for(lambda: scene.starts)
    await stage.bot.kill()
    stage.dify.start_worker()
    await stage.dify.wait_for(stage.dify.open_forms)
    await stage.bot.start()
    await answer_with_no(scene, root)
    assert len(scene.starts) == 1
    scene.check_answers(1)


async def test_run_is_followed_on_from_the_middle_of_its_stream(stage: Stage, scene: Scene) -> None:
    """The restarted bot follows the run to its end and the thread shows the whole text, once."""
    root = await scene.start("ann", "/dify story")
    form = await scene.form(root, "Go")
    await scene.click("ben", form, "Go")
    await scene.until(
        lambda: scene.workspace.find(channel=scene.channel, thread=root.ts, text="word3"), "the text begins to appear"
    )
    await crash(stage)
    await scene.result(root, STORY)
    await scene.reads(form, "✅ Go", "@ben")
    scene.check_answers(1)


async def test_run_that_ended_while_no_bot_was_there_is_reported(stage: Stage, scene: Scene) -> None:
    """Nobody heard how the resumed stream went on: the result comes from Dify's record of the run."""
    root = await scene.start("ann", "/dify two_forms topic=tea")
    form = await scene.form(root, "No")
    run = stage.dify.runs[scene.asked.run_id]
    await scene.fill("ben", form, "note", "not today")
    stage.dify.stop_worker()
    await scene.click("ben", form, "No")
    await scene.reads(form, "✅ No", "@ben")
    await stage.bot.kill()
    stage.dify.start_worker()
    await stage.dify.wait_for(lambda: run.status.ended)
    await stage.bot.start()
    await scene.result(root, "first: not today")
    scene.check_answers(1)


LOST_OR_NOT = pytest.mark.parametrize("seconds", [SOON, FOR_EVER], ids=["post that arrives", "post that is lost"])


@LOST_OR_NOT
async def test_crash_while_the_root_is_posted(stage: Stage, scene: Scene, seconds: float) -> None:
    """The command was acked: its run is started once, under one root."""
    await crash_in_post(stage, scene, seconds, scene.command("ann", "/dify two_forms topic=tea"))
    root = await scene.until(lambda: next(iter(stage.workspace.channel(scene.channel).roots), None), "a root appears")
    await answer_with_no(scene, root)
    assert len(stage.workspace.channel(scene.channel).roots) == len(scene.starts) == 1


@LOST_OR_NOT
async def test_crash_while_a_form_is_posted(stage: Stage, scene: Scene, seconds: float) -> None:
    """The form stands in the thread once, and can be answered."""
    root = await scene.start("ann", "/dify two_forms topic=tea")
    first = await scene.form(root, "OK")
    await crash_in_post(stage, scene, seconds, scene.click("ben", first, "OK"))
    await answer_with_no(scene, root, "Second review")
    assert len(thread(scene, root)) == 3
    scene.check_answers(2)


@LOST_OR_NOT
async def test_crash_while_the_result_is_posted(stage: Stage, scene: Scene, seconds: float) -> None:
    """The result stands in the thread once, and whole."""
    root = await scene.start("ann", "/dify two_forms topic=tea")
    form = await scene.form(root, "No")
    await scene.fill("ann", form, "note", "not today")
    await crash_in_post(stage, scene, seconds, scene.click("ann", form, "No"))
    await scene.result(root, "first: not today")
    await scene.reads(form, "✅ No", "@ann")
    assert len(thread(scene, root)) == 2
    scene.check_answers(1)


async def crash_in_post(stage: Stage, scene: Scene, seconds: float, act: Awaitable[object]) -> None:
    """Do something that makes the bot post here, kill it while Slack takes `seconds` for that, and start it again."""
    here, posts = stage.workspace.channel(scene.channel).id, []

    def is_here(call: dict[str, Any]) -> bool:
        if call["channel"] == here:
            posts.append(call)
            stage.workspace.changed()
        return call["channel"] == here

    stage.workspace.faults.add("chat.postMessage", Delay(seconds), when=is_here)
    await act
    await scene.until(lambda: posts, "the bot posts")
    shown = len(stage.workspace.channel(scene.channel).log)
    await stage.bot.kill()
    if seconds < FOR_EVER:
        await scene.until(lambda: len(stage.workspace.channel(scene.channel).log) > shown, "Slack takes the post")
    await stage.bot.start()


async def answer_with_no(scene: Scene, root: Message, title: str = "First review") -> None:
    """Answer a form of `two_forms` so that the run ends, and wait for its end and the result."""
    form = await scene.form(root, "No", title)
    await scene.fill("cleo", form, "note", "not today")
    await scene.click("cleo", form, "No")
    await scene.reads(form, "✅ No", "@cleo")
    await scene.result(root, ": not today")


def thread(scene: Scene, root: Message) -> list[Message]:
    """What stands in a run's thread."""
    return scene.workspace.channel(scene.channel).replies(root.ts)
