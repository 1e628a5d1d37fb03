"""Slack delivers twice, or its connections go away: everything counts once."""

from __future__ import annotations

import pytest

from bot.playground.scenarios import DONE, Scene
from bot.playground.slack.faults import Duplicate
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
