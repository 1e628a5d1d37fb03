"""A form's window: opened with what people have entered, kept as a draft, sent once."""

from __future__ import annotations

import json
from collections.abc import MutableMapping
from typing import Any

import pytest
from slack_bolt.app.async_app import AsyncApp

from bot.core.model import FormStatus, Run, RunStatus
from bot.playground.slack import Message
from bot.playground.slack.faults import Delay, Duplicate, Refuse
from bot.playground.slack.people import Person
from bot.playground.slack.state import View
from bot.slack.delivery import views
from bot.slack.forms import window
from tests.listeners.conftest import dispatch
from tests.services.stage import Stage
from tests.slack.test_payloads import SUBMITTED

pytestmark = pytest.mark.usefixtures("app")

OPEN = "Open in window"
REMARKS, PRIORITY, DECISION = "Remarks", "Priority", "Decision"
PICK = 'pick title="Spring menu"'


async def form_of(stage: Stage, text: str = PICK) -> tuple[Run, Message]:
    """Start a run, let everything about it be said, and return it with its form's message."""
    run = await stage.paused(text)
    await stage.settled()
    return run, stage.thread(run)[0]


async def opened(person: Person, form: Message) -> View:
    """Open the form's window."""
    assert (await person.click(form, OPEN)).acked
    return person.view


async def type_into(stage: Stage, person: Person, field: str, text: str) -> None:
    """Type into a field of the open window, and wait until the draft holds it."""
    before = drafts(stage)
    person.fill(person.view, field, text)
    await stage.until(lambda: drafts(stage) != before)


def drafts(stage: Stage) -> dict[str, dict[str, Any]]:
    """What people have entered into windows and not sent."""
    with stage.sql() as database:
        rows = database.execute("SELECT user_id, entered FROM drafts").fetchall()
    return {user_id: json.loads(entered)["values"] for user_id, entered in rows}


def held(person: Person, field: str) -> Any:
    """What a field of the open window holds."""
    blocks = person.view.blocks
    inputs = (block for block in blocks if block["type"] == "input")
    element = next(block["element"] for block in inputs if field in (block["label"]["text"], block["block_id"][-4:]))
    option = element.get("initial_option")
    return option["text"]["text"] if option else element.get("initial_value")


def words(view: View) -> str:
    """What a window says."""
    return str(view.blocks)


async def test_the_whole_form_is_sent_once_as_it_was_entered(bot: Stage) -> None:
    """Every declared input goes with the decision, and the window closes."""
    run, form = await form_of(bot)
    ben = bot.workspace.person("ben")
    view = await opened(ben, form)
    ben.fill(view, REMARKS, "Less\n*garlic* <!channel>")
    ben.select(view, PRIORITY, "high")
    ben.select(view, DECISION, "Accept")
    result = await ben.submit_view()
    assert (result.acked, result.error, result.field_errors, ben.views) == (True, None, {}, [])
    run = await bot.in_status(run.run_id, RunStatus.SUCCEEDED)
    (submit,) = bot.submits()
    assert submit.body["inputs"] == {"remarks": "Less\n*garlic* <!channel>", "priority": "high"}
    assert submit.body["action"] == "accept"
    await bot.reads(form, "✅", "Accept", f"<@{ben.id}>")


async def test_a_submit_is_saved_before_it_is_acked(stage: Stage) -> None:
    """Nothing works that could have sent it: what the ack promises stands in the database, and no draft any more."""
    async with stage.working():
        run, form = await form_of(stage, "two_forms topic=tea")
    ben = stage.workspace.person("ben")
    await opened(ben, form)
    await type_into(stage, ben, "Note", "typed")
    ben.select(ben.view, DECISION, "No")
    assert (await ben.submit_view()).acked
    submission = (await stage.store.run(run.run_id)).forms[0].submission
    assert submission is not None
    assert (submission.action_id, submission.user_id, submission.values) == ("no", ben.id, {"note": "typed"})
    assert drafts(stage) == {}
    assert stage.submits() == []


async def test_what_is_entered_is_there_again_after_the_window_was_closed(bot: Stage) -> None:
    """For this person alone, with a word on whose it is; and nothing is decided."""
    run, form = await form_of(bot)
    ben, cleo = bot.workspace.person("ben"), bot.workspace.person("cleo")
    await opened(ben, form)
    await type_into(bot, ben, REMARKS, "Less garlic")
    before = drafts(bot)
    ben.select(ben.view, PRIORITY, "low")
    await bot.until(lambda: drafts(bot) != before)
    assert (await ben.close_view()).acked
    view = await opened(ben, form)
    assert (held(ben, REMARKS), held(ben, PRIORITY)) == ("Less garlic", "low")
    assert "Your draft of" in words(view)
    await opened(cleo, form)
    assert (held(cleo, REMARKS), held(cleo, PRIORITY)) == (None, None)
    assert "Your draft of" not in words(cleo.view)
    assert (await bot.store.run(run.run_id)).forms[0].status is FormStatus.OPEN


async def test_what_was_typed_in_the_message_goes_on_in_the_window(bot: Stage) -> None:
    """And what was typed in the window after that stays, until something else is typed in the message."""
    _, form = await form_of(bot)
    ben = bot.workspace.person("ben")
    ben.fill(form, REMARKS, "Less garlic")
    await opened(ben, form)
    assert held(ben, REMARKS) == "Less garlic"
    assert "Your draft of" not in words(ben.view)
    await type_into(bot, ben, REMARKS, "Less garlic, more dill")
    await ben.close_view()
    await opened(ben, form)
    assert held(ben, REMARKS) == "Less garlic, more dill"
    await ben.close_view()
    ben.fill(form, REMARKS, "No garlic")
    ben.select(form, PRIORITY, "high")
    await opened(ben, form)
    assert (held(ben, REMARKS), held(ben, PRIORITY)) == ("No garlic", "high")


async def test_a_draft_can_be_begun_anew(bot: Stage) -> None:
    """The fields hold what the form says, and the draft does not come back."""
    _, form = await form_of(bot)
    ben = bot.workspace.person("ben")
    await opened(ben, form)
    await type_into(bot, ben, REMARKS, "Less garlic")
    await ben.close_view()
    view = await opened(ben, form)
    ben.fill(view, REMARKS, "Less garlic and")
    assert (await ben.click(view, window.BEGIN_ANEW)).acked
    await bot.workspace.wait_for(lambda: held(ben, REMARKS) is None)
    assert ben.draft(view) == {}
    await ben.close_view()
    await opened(ben, form)
    assert held(ben, REMARKS) is None
    assert "Your draft of" not in words(ben.view)


async def test_a_slack_that_hangs_keeps_no_ack_waiting(bot: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not waited for as long as it hangs: the draft is dropped, and the button is there to be pressed again."""
    _, form = await form_of(bot)
    ben = bot.workspace.person("ben")
    await opened(ben, form)
    await type_into(bot, ben, REMARKS, "Less garlic")
    await ben.close_view()
    view = await opened(ben, form)
    bot.workspace.faults.add("views.update", Delay(60))
    monkeypatch.setattr(views, "_TRIGGER_LIVES", 0.1)
    assert (await ben.click(view, window.BEGIN_ANEW)).acked
    monkeypatch.undo()
    assert drafts(bot) == {ben.id: {}}
    assert held(ben, REMARKS) == "Less garlic"
    assert (await ben.click(view, window.BEGIN_ANEW)).acked
    await bot.workspace.wait_for(lambda: held(ben, REMARKS) is None)


async def test_what_is_wrong_is_said_at_its_field_and_nothing_is_lost(bot: Stage) -> None:
    """The same window is then sent with what was mended."""
    run, form = await form_of(bot, "two_forms topic=tea")
    ben = bot.workspace.person("ben")
    view = await opened(ben, form)
    ben.select(view, DECISION, "No")
    ben.fill(view, "Note", "x" * 100_001)
    result = await ben.submit_view()
    assert list(result.field_errors.values()) == ["This is 100,001 characters long, and there is room for 100,000."]
    assert ben.view is view
    assert (await bot.store.run(run.run_id)).forms[0].status is FormStatus.OPEN
    ben.fill(view, "Note", "x" * 100_000)
    result = await ben.submit_view()
    assert (result.acked, result.field_errors, ben.views) == (True, {}, [])
    await bot.in_status(run.run_id, RunStatus.SUCCEEDED)
    assert bot.submits()[0].body["inputs"] == {"note": "x" * 100_000}


async def test_a_submit_that_comes_twice_counts_once(bot: Stage) -> None:
    run, form = await form_of(bot, "two_forms topic=tea")
    ben = bot.workspace.person("ben")
    view = await opened(ben, form)
    ben.select(view, DECISION, "No")
    bot.workspace.faults.add("interactive", Duplicate(), when=lambda payload: payload["type"] == "view_submission")
    assert (await ben.submit_view()).acked
    await bot.in_status(run.run_id, RunStatus.SUCCEEDED)
    await bot.settled()
    assert bot.workspace.find_all(visible_to="ben") == []
    assert len(bot.submits()) == 1


@pytest.mark.provokes("trigger_exchanged")
async def test_a_click_that_comes_twice_opens_one_window(bot: Stage) -> None:
    """The second use of a trigger is refused, which nobody needs to know."""
    _, form = await form_of(bot)
    ben = bot.workspace.person("ben")
    bot.workspace.faults.add("interactive", Duplicate())
    await opened(ben, form)
    await bot.settled()
    assert len(ben.views) == 1
    assert bot.workspace.find_all(visible_to="ben") == []


async def test_who_comes_too_late_is_told_in_the_window_and_gets_back_what_was_entered(stage: Stage) -> None:
    """Who decided, and when; there is no second word on it in the thread."""
    async with stage.working():
        run, form = await form_of(stage)
    ben, cleo = stage.workspace.person("ben"), stage.workspace.person("cleo")
    await opened(ben, form)
    await type_into(stage, ben, REMARKS, "Less garlic")
    ben.select(ben.view, PRIORITY, "low")
    ben.select(ben.view, DECISION, "Dismiss")
    cleo.select(form, PRIORITY, "high")
    assert (await cleo.click(form, "Accept")).acked
    result = await ben.submit_view()
    assert (result.acked, result.error, result.field_errors) == (True, None, {})
    view = ben.view
    assert f"Too late: <@{cleo.id}> already chose *Accept*" in words(view)
    assert "Less garlic" in words(view)
    assert "submit" not in view.content
    submission = (await stage.store.run(run.run_id)).forms[0].submission
    assert submission is not None
    assert submission.user_id == cleo.id
    assert "GiveBackDraft" not in [row.kind for row in stage.outbox()]
    async with stage.working():
        await stage.in_status(run.run_id, RunStatus.SUCCEEDED)
        await stage.settled()
    assert stage.workspace.find_all(visible_to="ben") == []


async def test_who_left_a_draft_is_given_it_back_when_somebody_else_answers(bot: Stage) -> None:
    """The window kept it for them alone, and opens no more; who answered is told nothing."""
    run, form = await form_of(bot)
    ben, cleo = bot.workspace.person("ben"), bot.workspace.person("cleo")
    for person in (ben, cleo):
        await opened(person, form)
        await type_into(bot, person, REMARKS, f"Less garlic, says {person.name}")
        await person.close_view()
    await opened(cleo, form)
    cleo.select(cleo.view, PRIORITY, "high")
    cleo.select(cleo.view, DECISION, "Accept")
    assert (await cleo.submit_view()).acked
    await bot.in_status(run.run_id, RunStatus.SUCCEEDED)
    await bot.told("ben", "What you left in the window of", "✅ *Accept*", "Less garlic, says ben")
    await bot.settled()
    assert len(bot.workspace.find_all(visible_to="ben")) == 1
    assert bot.workspace.find_all(visible_to="cleo") == []
    assert drafts(bot) == {}


async def test_who_looks_at_a_window_that_slack_does_not_change_is_given_back_their_draft(bot: Stage) -> None:
    """They may have closed it where nobody heard of that; if they close it now, they are told nothing more."""
    run, form = await form_of(bot)
    ben = bot.workspace.person("ben")
    await opened(ben, form)
    await type_into(bot, ben, REMARKS, "Less garlic")
    bot.workspace.faults.add("views.update", Refuse("not_found"))
    await bot.dify.answer_elsewhere(bot.dify.open_forms()[0], "accept", {"remarks": "", "priority": "low"})
    await bot.later(hours=2)
    await bot.run_when(run.run_id, lambda run: not run.open_forms)
    await bot.told("ben", "What you left in the window of", "Less garlic")
    await ben.close_view()
    await bot.settled()
    assert len(bot.workspace.find_all(visible_to="ben")) == 1


async def test_an_open_window_says_that_its_form_was_answered_elsewhere(bot: Stage) -> None:
    """As soon as the bot knows, with what was entered in it in vain."""
    run, form = await form_of(bot)
    ben = bot.workspace.person("ben")
    await opened(ben, form)
    await type_into(bot, ben, REMARKS, "Less garlic")
    await bot.dify.answer_elsewhere(bot.dify.open_forms()[0], "accept", {"remarks": "", "priority": "low"})
    await bot.later(hours=2)
    await bot.run_when(run.run_id, lambda run: not run.open_forms)
    await bot.workspace.wait_for(lambda: "✅" in words(ben.view))
    assert "Less garlic" in words(ben.view)
    assert "submit" not in ben.view.content
    await bot.settled()
    assert bot.workspace.find_all(visible_to="ben") == []


async def test_opening_a_window_finds_out_that_its_form_has_expired(bot: Stage) -> None:
    """The bot does not wait for its next look."""
    _, form = await form_of(bot, "content_review topic=Tea language=English")
    await bot.dify.expire(bot.dify.open_forms()[0])
    ben = bot.workspace.person("ben")
    await opened(ben, form)
    await bot.workspace.wait_for(lambda: "⌛ Expired" in words(ben.view))


async def test_what_stands_in_a_window_that_did_not_end_with_its_form_is_given_back_when_it_is_closed(
    stage: Stage,
) -> None:
    """As where the bot was stopped before it could say there that the form is closed."""
    ben, cleo = stage.workspace.person("ben"), stage.workspace.person("cleo")
    async with stage.working():
        run, form = await form_of(stage)
        await opened(ben, form)
        await type_into(stage, ben, REMARKS, "Less garlic")
        stage.workspace.faults.add("views.update", Delay(60))
        cleo.select(form, PRIORITY, "high")
        await cleo.click(form, "Accept")
        await stage.in_status(run.run_id, RunStatus.SUCCEEDED)
    await ben.close_view()
    async with stage.working():
        await stage.told("ben", "What you left in the window of", f"✅ *Accept* · <@{cleo.id}>", "Less garlic")
        await stage.settled()
    assert len(stage.workspace.find_all(visible_to="ben")) == 1


async def test_the_window_of_a_decided_form_does_not_open(stage: Stage) -> None:
    """Its message may not be redrawn yet: who clicks is told as after any late click."""
    async with stage.working():
        run, form = await form_of(stage, "two_forms topic=tea")
    ben, cleo = stage.workspace.person("ben"), stage.workspace.person("cleo")
    await cleo.click(form, "No")
    assert (await ben.click(form, OPEN)).acked
    assert ben.views == []
    assert "TellDecided" in [row.kind for row in stage.outbox()]
    async with stage.working():
        await stage.told("ben", "Too late", "No")
        await stage.in_status(run.run_id, RunStatus.SUCCEEDED)


@pytest.mark.parametrize("fault", [Refuse("trigger_expired"), Delay(60)], ids=["trigger expired", "Slack hangs"])
async def test_who_gets_no_window_is_told_to_click_again(
    bot: Stage, monkeypatch: pytest.MonkeyPatch, fault: Refuse | Delay
) -> None:
    _, form = await form_of(bot)
    ben = bot.workspace.person("ben")
    bot.workspace.faults.add("views.open", fault)
    monkeypatch.setattr(views, "_TRIGGER_LIVES", 0.1)
    assert (await ben.click(form, OPEN)).acked
    monkeypatch.undo()
    await bot.told("ben", "Slack did not open the window", "press “Open in window” again")
    await opened(ben, form)


async def test_a_submit_that_cannot_be_saved_is_said_in_the_window(bot: Stage) -> None:
    """Nothing is lost: it is sent again from the same window."""
    run, form = await form_of(bot, "two_forms topic=tea")
    ben = bot.workspace.person("ben")
    view = await opened(ben, form)
    ben.fill(view, "Note", "typed")
    ben.select(view, DECISION, "No")
    with bot.refusing("INSERT ON inbox"):
        result = await ben.submit_view()
    assert list(result.field_errors.values()) == [window.NOT_SAVED]
    assert (await bot.store.run(run.run_id)).forms[0].status is FormStatus.OPEN
    assert (await ben.submit_view()).field_errors == {}
    await bot.in_status(run.run_id, RunStatus.SUCCEEDED)
    assert bot.submits()[0].body["inputs"] == {"note": "typed"}


async def test_a_change_that_cannot_be_saved_is_acked_all_the_same(
    bot: Stage, logged: list[MutableMapping[str, Any]]
) -> None:
    """The next one brings it again."""
    _, form = await form_of(bot)
    ben = bot.workspace.person("ben")
    view = await opened(ben, form)
    before = len(bot.workspace.deliveries)
    with bot.refusing("INSERT ON drafts"):
        ben.fill(view, REMARKS, "Less")
        await bot.workspace.wait_for(
            lambda: [each.acked for each in bot.workspace.deliveries[before:]] not in ([], [None])
        )
        assert any(entry["event"] == "a draft is not kept" for entry in logged)
    await type_into(bot, ben, REMARKS, "Less garlic")
    assert drafts(bot) == {ben.id: {"remarks": "Less garlic"}}


async def test_what_dify_refused_stands_in_the_window_again(bot: Stage) -> None:
    """There is no draft of it any more; what was sent is what the form now says."""
    _, form = await form_of(bot, "two_forms topic=tea")
    ben = bot.workspace.person("ben")
    view = await opened(ben, form)
    ben.fill(view, "Note", "typed")
    ben.select(view, DECISION, "No")
    bot.dify.fail_next("submit_form", status=413)
    assert (await ben.submit_view()).acked
    await bot.told("ben", "did not take")
    await bot.settled()
    view = await opened(ben, form)
    assert held(ben, "note") == "typed"
    assert "Dify did not take the last answer" in words(view)
    assert "Your draft of" not in words(view)


async def test_a_window_of_a_form_that_was_purged_says_so(bot: Stage) -> None:
    _, form = await form_of(bot, "two_forms topic=tea")
    ben = bot.workspace.person("ben")
    view = await opened(ben, form)
    ben.select(view, DECISION, "No")
    with bot.sql() as database:
        for table in ("drafts", "forms", "outbox", "follows", "runs"):
            database.execute(f"DELETE FROM {table}")
    await ben.submit_view()
    assert "I do not know this run or form any more" in words(ben.view)


async def test_a_submit_of_a_window_without_fields_that_cannot_be_saved_is_said_all_the_same(
    bot: Stage, app: AsyncApp
) -> None:
    """Slack takes errors at fields only; here nothing was entered that could be lost."""
    run, _ = await form_of(bot, "two_forms topic=tea")
    metadata = f"{run.run_id}/{run.forms[0].form_id}/0/"
    view = {**SUBMITTED["view"], "private_metadata": metadata, "blocks": []}
    with bot.refusing("INSERT ON inbox"):
        response = await dispatch(app, {**SUBMITTED, "view": view})
    answer = json.loads(response.body)
    assert (response.status, answer["response_action"]) == (200, "update")
    assert "nothing was decided" in str(answer["view"]["blocks"])
