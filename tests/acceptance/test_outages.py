"""Dify is away: people are told, what they decided is kept, and nothing is sent twice when it is back."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio

from bot.playground.scenarios import DONE, Scene
from bot.playground.stage import Stage, Transport

pytestmark = [pytest.mark.acceptance, pytest.mark.asyncio(loop_scope="module")]

HOW = pytest.mark.parametrize("status", [None, 502], ids=["no connection", "only its proxy answers"])

PROMISES = {None: "will be sent when Dify answers", 502: "checked when Dify answers"}
"""A proxy does not tell whether Dify got the answer."""


@pytest.fixture(scope="module")
def transport() -> Transport:
    """Slack has no part in it."""
    return "socket"


@pytest_asyncio.fixture(loop_scope="module")
async def scene(stage: Stage, new_scene: Callable[[], Scene]) -> AsyncIterator[Scene]:
    """A scene at whose end Dify is up again."""
    scene = new_scene()
    yield scene
    await stage.dify_server.up()
    stage.dify.start_worker()
    scene.check_posts()
    scene.check_manners()


@HOW
async def test_click_is_kept_until_dify_answers(stage: Stage, scene: Scene, status: int | None) -> None:
    """The form says that the answer will be sent; it is sent once Dify is back, without another click."""
    root = await scene.start("ann", "/dify two_forms topic=tea")
    form = await scene.form(root, "No")
    await scene.fill("ben", form, "note", "not today")
    await stage.dify_server.down(status)
    await scene.click("ben", form, "No")
    await scene.reads(form, "No", "@ben", PROMISES[status])
    await scene.reads(root, "@ben", PROMISES[status])
    await stage.dify_server.up()
    await scene.reads(form, "✅ No", "@ben", "not today")
    await scene.result(root, "first: not today")
    assert [each.status for each in scene.submits].count(200) == 1
    assert "when Dify" not in form.shown + root.shown


async def test_dify_going_down_during_a_submit_is_no_second_answer(stage: Stage, scene: Scene) -> None:
    """It took the answer, then went away before it said so: that is found out when it is back."""
    root = await scene.start("ann", "/dify two_forms topic=tea")
    form = await scene.form(root, "No")
    asked = scene.asked
    # Nothing of the run reaches its stream, either.
    stage.dify.stop_worker()
    stage.dify.delay_response("submit_form", 600)
    await scene.click("ben", form, "No")
    await stage.dify.wait_for(lambda: asked.answered)
    await stage.dify_server.down()
    await scene.reads(form, "No", "@ben", "confirmation was lost")
    await stage.dify_server.up()
    await scene.reads(form, "✅ No", "@ben")
    stage.dify.start_worker()
    await scene.reads(root, DONE)
    assert len(scene.submits) == 1


@HOW
async def test_start_while_dify_is_away_is_told_and_not_made_up_for(
    stage: Stage, scene: Scene, status: int | None
) -> None:
    """Whoever starts a run decides whether it is still wanted later; when Dify is back, a new command works."""
    await stage.dify_server.down(status)
    await scene.command("ann", "/dify quick topic=tea")
    await scene.told("ann", "Nothing was started")
    await stage.dify_server.up()
    root = await scene.start("ann", "/dify quick topic=coffee")
    await scene.result(root, "coffee")
    assert len(scene.starts) == 1
    assert len(stage.workspace.channel(scene.channel).roots) == 1


async def test_run_whose_stream_is_cut_by_an_outage_is_followed_to_its_end(stage: Stage, scene: Scene) -> None:
    """Dify's worker goes on while its API is away: the bot catches up."""
    root = await scene.start("ann", "/dify slow topic=tea")
    await scene.reads(root, "Running")
    await stage.dify_server.down()
    run = list(stage.dify.runs.values())[-1]
    await stage.dify.wait_for(lambda: run.status.ended)
    await stage.dify_server.up()
    await scene.reads(root, DONE)
    assert len(scene.starts) == 1


async def test_form_answered_elsewhere_during_an_outage_shows_who_was_first(stage: Stage, scene: Scene) -> None:
    """The answer that waited for Dify does not count: its author is told, and gets back what was entered."""
    root = await scene.start("ann", "/dify two_forms topic=tea")
    form = await scene.form(root, "No")
    asked = scene.asked
    await scene.fill("ben", form, "note", "not today")
    await stage.dify_server.down()
    await scene.click("ben", form, "No")
    await scene.reads(form, "will be sent when Dify answers")
    await stage.dify.answer_elsewhere(asked, "no", {"note": "by mail"})
    await stage.dify_server.up()
    await scene.reads(form, "✅", "answered")
    await scene.told("ben", "did not count", "not today")
    await scene.result(root, "first: by mail")
    assert [each.status for each in scene.submits].count(200) == 0
