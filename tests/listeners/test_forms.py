"""A form's buttons: what stood in its fields is read and saved before the ack."""

from __future__ import annotations

import pytest

from bot.core.model import FormStatus, RunStatus
from bot.playground.slack.faults import Duplicate
from bot.slack.messages import notices
from tests.services.stage import Stage

pytestmark = pytest.mark.usefixtures("app")


async def test_a_click_is_saved_with_all_values_before_it_is_acked(stage: Stage) -> None:
    """Nothing works that could have sent it: what the ack promises stands in the database."""
    async with stage.working():
        run = await stage.paused('pick title="Spring menu"')
        await stage.settled()
    ben = stage.workspace.person("ben")
    form = stage.thread(run)[0]
    ben.fill(form, "remarks", "Less garlic")
    ben.select(form, "priority", "high")
    assert (await ben.click(form, "Accept")).acked
    run = await stage.store.run(run.run_id)
    submission = run.forms[0].submission
    assert submission is not None
    assert (submission.action_id, submission.user_id) == ("accept", ben.id)
    assert submission.values == {"remarks": "Less garlic", "priority": "high"}
    assert "SubmitForm" in [row.kind for row in stage.outbox()]
    assert stage.submits() == []


async def test_each_button_stands_for_its_action(bot: Stage) -> None:
    run = await bot.paused("two_forms topic=tea")
    assert (await bot.workspace.person("ben").click(bot.thread(run)[0], "No")).acked
    run = await bot.in_status(run.run_id, RunStatus.SUCCEEDED)
    assert run.forms[0].submission is not None
    assert run.forms[0].submission.action_id == "no"


async def test_a_click_that_comes_twice_is_acked_twice_and_counts_once(bot: Stage) -> None:
    run = await bot.paused("two_forms topic=tea")
    bot.workspace.faults.add("interactive", Duplicate())
    assert (await bot.workspace.person("ben").click(bot.thread(run)[0], "No")).acked
    await bot.in_status(run.run_id, RunStatus.SUCCEEDED)
    await bot.settled()
    assert [each.acked is not None for each in bot.workspace.deliveries] == [True, True]
    assert bot.workspace.find_all(visible_to="ben") == []
    assert len(bot.submits()) == 1


async def test_a_click_that_cannot_be_saved_is_not_acked_and_told(bot: Stage) -> None:
    run = await bot.paused("two_forms topic=tea")
    await bot.settled()
    with bot.refusing("INSERT ON inbox"):
        result = await bot.workspace.person("ben").click(bot.thread(run)[0], "No")
    assert not result.acked
    assert bot.workspace.find(visible_to="ben", text=notices.NOT_SAVED)
    assert (await bot.store.run(run.run_id)).forms[0].status is FormStatus.OPEN
