"""The Stop button."""

from __future__ import annotations

import pytest

from bot.core.model import RunStatus
from tests.services.stage import Stage

pytestmark = pytest.mark.usefixtures("app")


async def test_a_click_on_stop_stops_the_run_in_the_name_of_who_clicked(bot: Stage) -> None:
    run = await bot.in_status(await bot.ask("endless topic=tea"), RunStatus.RUNNING)
    root = await bot.workspace.wait_for(lambda: bot.workspace.find(button="Stop"))
    assert (await bot.workspace.person("cleo").click(root, "Stop")).acked
    run = await bot.in_status(run.run_id, RunStatus.STOPPED)
    assert run.stop_requested_by == bot.workspace.person("cleo").id


async def test_a_click_on_stop_is_saved_before_it_is_acked(stage: Stage) -> None:
    async with stage.working():
        run = await stage.in_status(await stage.ask("endless topic=tea"), RunStatus.RUNNING)
        root = await stage.workspace.wait_for(lambda: stage.workspace.find(button="Stop"))
    assert (await stage.workspace.person("cleo").click(root, "Stop")).acked
    assert "StopRun" in [row.kind for row in stage.outbox()]
    assert (await stage.store.run(run.run_id)).stop_requested_by == stage.workspace.person("cleo").id
