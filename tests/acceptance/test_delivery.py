"""Slack delivers twice, or its connections go away: everything counts once."""

from __future__ import annotations

import pytest

from bot.playground.scenarios import DONE, Scene
from bot.playground.slack.faults import Duplicate, Overtaken
from bot.playground.stage import Stage

pytestmark = [pytest.mark.acceptance, pytest.mark.asyncio(loop_scope="module")]


async def test_duplicate_deliveries_count_once(stage: Stage, scene: Scene) -> None:
    """A command that arrives twice starts one run, a click that arrives twice sends one answer and tells nobody off."""
    stage.workspace.faults.add("slash_commands", Duplicate())
    root = await scene.start("ann", "/dify two_forms topic=tea")
    form = await scene.form(root, "No")
    stage.workspace.faults.add("interactive", Duplicate())
    await scene.click("ben", form, "No")
    await scene.reads(form, "✅ No", "@ben")
    await scene.result(root, "first")
    assert len(stage.workspace.channel(scene.channel).roots) == len(scene.starts) == 1
    assert len(scene.submits) == 1
    assert scene.notes("ben") == []


async def test_lost_connections_come_back(stage: Stage, scene: Scene) -> None:
    """Slack announces the end of a connection, then cuts one without a word: clicks arrive over the next one."""
    if stage.transport == "http":
        pytest.skip("there are no connections over HTTP")
    root = await scene.start("ann", "/dify two_forms topic=tea")
    sockets = stage.slack.sockets
    for title, end in (("First review", sockets.disconnect), ("Second review", sockets.cut)):
        form = await scene.form(root, "OK", title)
        await end()
        await stage.workspace.wait_for(lambda: sockets.connections, timeout=30)
        await scene.click("ben", form, "OK")
        await scene.reads(form, "✅ OK", "@ben")
    await scene.reads(root, DONE)
    scene.check_answers(2)


async def test_reordered_clicks_count_as_they_arrive(stage: Stage, scene: Scene) -> None:
    """Ben is first to click and last to arrive: cleo's answer counts, and ben is told."""
    root = await scene.start("ann", "/dify two_forms topic=tea")
    form = await scene.form(root, "No")
    asked = scene.asked
    stage.workspace.faults.add("interactive", Overtaken(60.0))
    await scene.click_at_once(form, ben="OK", cleo="No")
    await scene.reads(form, "✅ No", "@cleo")
    await scene.told("ben", "@cleo", "No")
    await scene.reads(root, DONE)
    assert asked.answered is not None
    assert asked.answered.action["id"] == "no"
    scene.check_answers(1)
    scene.check_posts()


async def test_delivery_that_comes_again_after_a_crash_counts_once(stage: Stage, scene: Scene) -> None:
    """What was taken in before the bot was killed is known to the next one."""
    root = await scene.start("ann", "/dify two_forms topic=tea")
    command = stage.workspace.deliveries[-1]
    form = await scene.form(root, "No")
    await scene.click("ben", form, "No")
    click = stage.workspace.deliveries[-1]
    await scene.reads(form, "✅ No", "@ben")
    await scene.result(root, "first")
    await stage.bot.kill()
    await stage.bot.start()
    for delivery in (command, click):
        again = await stage.workspace.courier.ask(delivery.kind, delivery.payload)
        assert again.acked is not None
    other = await scene.start("ann", "/dify quick topic=coffee")
    await scene.reads(other, DONE)
    assert len(stage.workspace.channel(scene.channel).roots) == len(scene.starts) == 2
    assert scene.notes("ben") == []
    scene.check_answers(1)
    scene.check_posts()
