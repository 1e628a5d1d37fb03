"""The start window, over the simulated Slack: opened by a command, filled in, refused at its fields, and saved once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from bot.core.model import Run, RunStatus
from bot.playground.dify.apps import pick, quick, ticker
from bot.playground.dify.graph import App, End, choice, text_input
from bot.playground.slack import Result
from bot.playground.slack.faults import Duplicate, Refuse
from bot.playground.slack.forms import find_field
from bot.playground.slack.people import Person
from bot.services import starts
from tests.listeners.conftest import connected
from tests.services.stage import CHANNEL, SPEED, Stage, open_stage

pytestmark = pytest.mark.usefixtures("app")


@asynccontextmanager
async def knowing(folder: Path, *apps: App) -> AsyncIterator[Stage]:
    """A bot at work that knows only these apps."""
    async with open_stage(folder, apps) as stage, stage.working():
        await connected(stage)
        yield stage


def ann(bot: Stage) -> Person:
    return bot.workspace.person("ann")


async def give(bot: Stage, line: str) -> Person:
    """Let ann enter a command that opens a window."""
    assert (await ann(bot).command(CHANNEL, line)).acked
    assert ann(bot).view.content["callback_id"] == "start.window"
    return ann(bot)


async def send(bot: Stage) -> Result:
    result = await ann(bot).submit_view()
    assert result.error is None
    return result


async def started(bot: Stage) -> Run:
    """Return the run that the window has started, once it is under way."""
    assert ann(bot).views == []
    with bot.sql() as database:
        ((run_id,),) = database.execute("SELECT run_id FROM runs").fetchall()
    return await bot.run_when(run_id, lambda run: run.status.ended or run.status is RunStatus.PAUSED)


def shown(bot: Stage) -> str:
    """Everything that stands in the window."""
    return repr(ann(bot).view.blocks)


async def test_a_missing_value_opens_the_window_with_what_was_given(bot: Stage) -> None:
    person = await give(bot, "/dify pick size=L")
    assert person.view.title == "Start pick"
    assert bot.outbox() == []
    person.fill(person.view, "title", "Spring menu")
    assert (await send(bot)).field_errors == {}
    run = await started(bot)
    assert run.run_inputs == {"title": "Spring menu", "size": "L", "copies": 1}
    assert run.starter_id == person.id
    assert run.dify_user == f"slack:{bot.workspace.team_id}:{person.id}"
    assert bot.root(run).author == bot.workspace.bot
    assert bot.workspace.find_all(visible_to="ann") == []


async def test_what_was_wrong_with_a_command_is_told_in_its_window(bot: Stage) -> None:
    await give(bot, '/dify pik titel="Spring menu" size=XXL')
    for problem in (
        "no app “pik”",
        "“titel” is no input of pick: its value stands in title now.",
        "“XXL” is no option of size",
    ):
        assert problem in shown(bot)
    await send(bot)
    assert (await started(bot)).run_inputs == {"title": "Spring menu", "size": "M", "copies": 1}


async def test_words_that_more_than_one_field_could_take_stand_in_the_first(tmp_path: Path) -> None:
    """And those that none takes are shown to be copied, however many."""
    many = "Dear all, we meet at noon in the kitchen, and everybody brings a cup."
    letter = App(
        name="letter",
        start=(text_input("subject", required=True), text_input("body", required=True)),
        nodes=(End("end", "End", {}),),
        edges=("start -> end",),
    )
    async with knowing(tmp_path, letter, ticker(seconds=1)) as bot:
        person = await give(bot, f"/dify letter {many}")
        assert "stands in subject now: look it over." in shown(bot)
        assert find_field(person.view.blocks, "subject").element["initial_value"] == many
        await give(bot, f"/dify ticker {many}")
        assert many in shown(bot)


async def test_errors_stand_at_their_fields_until_they_are_mended(bot: Stage) -> None:
    """The client lets no text through that is too long, but it does one that was given in the command."""
    person = await give(bot, f"/dify pick title={'x' * 41}")
    (wrong,) = (await send(bot)).field_errors.items()
    assert wrong[0].endswith(".title")
    assert wrong[1] == "title has 41 characters, 1 more than the 40 it may have."
    person.fill(person.view, "title", "x" * 40)
    assert (await send(bot)).field_errors == {}
    assert (await started(bot)).run_inputs["title"] == "x" * 40


async def test_every_kind_of_value_is_sent_as_it_was_entered(bot: Stage) -> None:
    person = await give(bot, "/dify all_inputs")
    view = person.view
    person.fill(view, "Full name", 'A "B" <c> & d')
    person.fill(view, "nickname", "")
    person.fill(view, "biography", "line\n  line  ")
    person.select(view, "colour", "blue")
    person.select(view, "priority", "low")
    person.fill(view, "age", "-4.50")
    person.fill(view, "score", "")
    person.select(view, "I agree", "Yes")
    person.select(view, "newsletter")
    person.fill(view, "settings", '{"mode": "draft", "tags": ["<&>"]}')
    assert (await send(bot)).field_errors == {}
    run = await bot.in_status((await started(bot)).run_id, RunStatus.SUCCEEDED)
    assert run.run_inputs == {
        "name": 'A "B" <c> & d',
        "nickname": "",
        "biography": "line\n  line  ",
        "notes": "line one\nline two",
        "colour": "blue",
        "priority": "low",
        "age": -4.5,
        "score": "",
        "agree": True,
        "newsletter": False,
        "settings": {"mode": "draft", "tags": ["<&>"]},
    }
    assert bot.requests("POST", "/workflows/run")[0].body["inputs"] == run.run_inputs


async def test_the_message_to_a_chatflow_stands_first(bot: Stage) -> None:
    person = await give(bot, "/dify chat_review audience=all")
    labels = [block["label"]["text"] for block in person.view.blocks if block["type"] == "input"]
    assert labels == ["App", "Your message", "Audience"]
    person.fill(person.view, "Your message", "Hello there")
    await send(bot)
    run = await started(bot)
    assert (run.query, run.run_inputs) == ("Hello there", {"audience": "all"})


async def test_the_command_alone_offers_all_apps_and_then_the_fields_of_the_chosen_one(bot: Stage) -> None:
    person = await give(bot, "/dify")
    assert person.view.title == "Start"
    assert bot.requests("GET", "/parameters") == []
    person.select(person.view, "App", "pick")
    await bot.workspace.wait_for(lambda: person.view.title == "Start pick")
    person.fill(person.view, "title", "Spring menu")
    person.select(person.view, "App", "every_field")
    await bot.workspace.wait_for(lambda: person.view.title == "Start every_field")
    assert "file_input" in shown(bot)
    await send(bot)
    run = await started(bot)
    assert run.app == "every_field"
    assert run.run_inputs["title"] == "Spring menu"


@pytest.mark.parametrize("typed", ["zzz", "Dear all, tea=good", "topic=tea", "help zzz", "Help me write a letter"])
async def test_what_is_typed_without_an_app_is_kept_for_the_one_that_is_chosen(bot: Stage, typed: str) -> None:
    person = await give(bot, f"/dify {typed}")
    assert "app" in person.view.blocks[0]["text"]["text"]
    assert find_field(person.view.blocks, "Text").element["initial_value"] == typed
    person.select(person.view, "App", "pick")
    await bot.workspace.wait_for(lambda: person.view.title == "Start pick")
    assert find_field(person.view.blocks, "title").element["initial_value"] == typed


async def test_words_are_shown_whole_where_the_app_that_is_chosen_for_them_takes_none(tmp_path: Path) -> None:
    words = "Dear all, we meet at noon in the kitchen, and everybody brings a cup of tea."
    async with knowing(tmp_path, quick(), ticker(seconds=1)) as bot:
        person = await give(bot, f"/dify {words}")
        person.select(person.view, "App", "ticker")
        await bot.workspace.wait_for(lambda: person.view.title == "Start ticker")
        assert words in shown(bot)


@pytest.mark.parametrize(("chosen", "kept"), [("L", "L"), ("M", None)])
async def test_another_app_takes_over_what_was_given_but_no_default(bot: Stage, chosen: str, kept: str | None) -> None:
    """M is what `pick` holds at first; `all_inputs` holds nothing there."""
    person = await give(bot, "/dify pick")
    person.select(person.view, "size", chosen)
    person.select(person.view, "App", "all_inputs")
    await bot.workspace.wait_for(lambda: person.view.title == "Start all_inputs")
    size = find_field(person.view.blocks, "size").answer({})
    assert (size and size["text"]["text"]) == kept


LONG_PLANS = [f"{'A rather long plan ' * 5}{number}" for number in range(3)]


@pytest.mark.parametrize("change", ["another app", "changed app"])
async def test_a_long_option_that_was_chosen_stays_chosen_in_a_window_drawn_anew(tmp_path: Path, change: str) -> None:
    def planner(name: str, *more: str) -> App:
        return App(
            name=name,
            start=(choice("plan", LONG_PLANS, default=LONG_PLANS[0]), *map(text_input, more)),
            nodes=(End("end", "End", {}),),
            edges=("start -> end",),
        )

    one, two = planner("one"), planner("two", "note")
    async with knowing(tmp_path, one, two) as bot:
        person = await give(bot, f'/dify one tea plan="{LONG_PLANS[2]}"')
        if change == "another app":
            person.select(person.view, "App", "two")
            await bot.workspace.wait_for(lambda: person.view.title == "Start two")
        else:
            bot.clock.advance(minutes=2)
            bot.dify.apps[one.key] = planner("one", "note")
            await send(bot)
            assert "one was changed in Dify meanwhile" in shown(bot)
        await send(bot)
        assert (await started(bot)).run_inputs["plan"] == LONG_PLANS[2]


async def test_what_another_app_has_no_field_for_is_shown_to_be_copied(bot: Stage) -> None:
    """Also where a field holds the same, but for what nobody has given."""
    person = await give(bot, "/dify pick size=L")
    person.fill(person.view, "title", "L")
    person.select(person.view, "App", "quick")
    await bot.workspace.wait_for(lambda: person.view.title == "Start quick")
    assert find_field(person.view.blocks, "topic").element["initial_value"] == "L"
    (frame,) = [block for block in person.view.blocks if block["type"] == "rich_text"]
    assert frame["elements"][0]["elements"] == [{"type": "text", "text": "size: L"}]


async def test_what_another_app_does_not_take_in_a_field_of_that_name_is_told(bot: Stage) -> None:
    person = await give(bot, "/dify pick")
    person.select(person.view, "size", "L")
    bot.clock.advance(minutes=2)
    before = pick()
    bot.dify.apps[before.key] = replace(before, start=(before.start[0], choice("size", ["S", "M"], default="M")))
    person.fill(person.view, "title", "Menu")
    await send(bot)
    assert "“L” is no option of size" in shown(bot)


async def test_start_shows_the_fields_where_the_choice_was_not_answered(bot: Stage) -> None:
    """Nothing is started that the person has not seen."""
    person = await give(bot, "/dify")
    bot.workspace.faults.add("views.update", Refuse("hash_conflict"))
    person.select(person.view, "App", "quick")
    await bot.workspace.wait_for(lambda: bot.workspace.refused)
    await send(bot)
    assert person.view.title == "Start quick"
    person.fill(person.view, "topic", "tea")
    await send(bot)
    assert (await started(bot)).run_inputs == {"topic": "tea"}


@pytest.mark.parametrize("line", ["/dify quick", "/dify quick tea and cake", "/dify pick title=Menu"])
async def test_a_command_that_is_right_opens_no_window(bot: Stage, line: str) -> None:
    assert (await ann(bot).command(CHANNEL, line)).acked
    assert ann(bot).views == []
    await bot.dify.wait_for(lambda: bot.requests("POST", "/workflows/run"))


async def test_the_window_of_the_only_app_opens_for_the_command_alone(tmp_path: Path) -> None:
    """Also where nothing has to be given."""
    async with knowing(tmp_path, quick()) as bot:
        person = await give(bot, "/dify")
        assert [block["type"] for block in person.view.blocks] == ["input"]
        await send(bot)
        assert (await started(bot)).run_inputs == {"topic": "something"}


async def test_an_app_without_values_is_started_by_its_window_all_the_same(tmp_path: Path) -> None:
    """The command alone says nothing of what to start."""
    async with knowing(tmp_path, ticker(seconds=1)) as bot:
        await give(bot, "/dify")
        assert "takes no values" in shown(bot)
        await send(bot)
        assert (await started(bot)).run_inputs == {}


async def test_an_app_that_cannot_be_started_gets_no_window(tmp_path: Path) -> None:
    """The answer to the command says why, as it does for whoever chooses the app in a window."""
    without_options = App(
        name="scan",
        start=(choice("page", [], required=True),),
        nodes=(End("end", "End", {}),),
        edges=("start -> end",),
    )
    async with knowing(tmp_path, without_options, quick()) as bot:
        assert (await ann(bot).command(CHANNEL, "/dify scan")).acked
        await bot.told("ann", "page is missing: it has no options")
        person = await give(bot, "/dify")
        person.select(person.view, "App", "scan")
        await bot.workspace.wait_for(lambda: "scan needs a choice from a list that has no options" in shown(bot))
        await send(bot)
        assert "scan needs a choice" in shown(bot)
        person.select(person.view, "App", "quick")
        await bot.workspace.wait_for(lambda: person.view.title == "Start quick")


# --- what goes wrong -------------------------------------------------------------------------------------------------


async def test_where_dify_is_slow_the_command_is_saved_and_answered_by_a_sentence(
    bot: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The window would come too late for its trigger (slack-platform §4.1); what is read meanwhile is known then."""
    monkeypatch.setattr(starts, "OPENS_WITHIN", 0.05)
    bot.dify.delay_next("info", 0.5 * SPEED)
    assert (await ann(bot).command(CHANNEL, "/dify pick")).acked
    monkeypatch.undo()
    assert ann(bot).views == []
    await bot.told("ann", "title is missing", "/dify pick")
    await give(bot, "/dify pick")


async def test_where_dify_is_down_the_command_is_answered_by_a_sentence(bot: Stage) -> None:
    bot.dify.fail_next("info", status=500, times=2)
    assert (await ann(bot).command(CHANNEL, "/dify pick")).acked
    await bot.told("ann", "Dify does not answer just now")
    assert ann(bot).views == []


async def test_what_was_typed_is_given_back_where_there_is_neither_a_window_nor_a_start(bot: Stage) -> None:
    words = "Dear all, we meet at noon in the kitchen, and everybody brings a cup of tea."
    bot.workspace.faults.add("views.open", Refuse("trigger_expired"))
    assert (await ann(bot).command(CHANNEL, f"/dify {words}")).acked
    await bot.told("ann", "There is no app “Dear”", words)
    bot.dify.fail_next("info", status=500, times=2)
    assert (await ann(bot).command(CHANNEL, f"/dify pick {words}")).acked
    await bot.told("ann", "Dify does not answer just now", words)


@pytest.mark.parametrize("code", ["trigger_expired", "invalid_arguments"])
async def test_a_window_that_slack_does_not_open_is_made_up_for_by_a_sentence(bot: Stage, code: str) -> None:
    bot.workspace.faults.add("views.open", Refuse(code))
    assert (await ann(bot).command(CHANNEL, "/dify pick")).acked
    await bot.told("ann", "title is missing", "/dify pick")


@pytest.mark.provokes("trigger_exchanged")
async def test_a_command_that_comes_twice_opens_one_window(bot: Stage) -> None:
    bot.workspace.faults.add("slash_commands", Duplicate())
    await give(bot, "/dify pick")
    await bot.workspace.wait_for(lambda: len([each for each in bot.workspace.deliveries if each.acked]) == 2)
    assert len(ann(bot).views) == 1
    assert bot.outbox() == []


async def test_a_window_that_is_sent_twice_starts_one_run(bot: Stage) -> None:
    await give(bot, "/dify pick title=Menu size=XL")
    bot.workspace.faults.add("interactive", Duplicate())
    await send(bot)
    await bot.workspace.wait_for(lambda: len([each for each in bot.workspace.deliveries if each.acked]) == 3)
    await started(bot)
    await bot.settled()
    assert len(bot.requests("POST", "/workflows/run")) == 1


async def test_a_start_goes_ahead_of_what_can_wait(stage: Stage) -> None:
    """Whoever presses Start waits for the ack."""
    person = await give(stage, "/dify pick")
    person.fill(person.view, "title", "Menu")
    before = stage.database.unhurried
    await send(stage)
    assert stage.database.unhurried == before
    with stage.sql() as database:
        assert database.execute("SELECT status FROM runs").fetchall() == [("requested",)]


async def test_a_window_can_be_sent_after_a_restart(stage: Stage) -> None:
    """Everything that it stands for is in it; what the app takes is read anew."""
    async with stage.working():
        await give(stage, "/dify pick")
    async with stage.reopened("pick", "quick") as again, again.working():
        await connected(again)
        person = ann(again)
        person.fill(person.view, "title", "Menu")
        await send(again)
        assert (await started(again)).run_inputs == {"title": "Menu", "size": "M", "copies": 1}


async def test_a_window_that_is_sent_while_dify_is_down_says_so_and_can_be_sent_again(bot: Stage) -> None:
    person = await give(bot, "/dify pick size=S")
    person.fill(person.view, "title", "Menu")
    bot.clock.advance(minutes=2)
    bot.dify.fail_next("info", status=500)
    (sentence,) = (await send(bot)).field_errors.values()
    assert sentence == "Dify does not answer just now: try again in a minute. Nothing is lost: press Start again then."
    await send(bot)
    assert (await started(bot)).run_inputs["size"] == "S"


async def test_a_start_that_cannot_be_saved_is_told_and_can_be_sent_again(bot: Stage) -> None:
    person = await give(bot, "/dify pick")
    person.fill(person.view, "title", "Menu")
    with bot.refusing("INSERT ON runs"):
        (sentence,) = (await send(bot)).field_errors.values()
    assert "nothing was started" in sentence
    await send(bot)
    await started(bot)


async def test_an_app_that_was_changed_meanwhile_shows_its_new_fields_with_what_was_entered(bot: Stage) -> None:
    """Nothing is started that the person has not seen."""
    person = await give(bot, "/dify pick size=L")
    person.fill(person.view, "title", "Menu")
    bot.clock.advance(minutes=2)
    before = pick()
    bot.dify.apps[before.key] = replace(before, start=(*before.start[:2], text_input("place", required=True)))
    await send(bot)
    assert "pick was changed in Dify meanwhile" in shown(bot)
    person.fill(person.view, "place", "Kitchen")
    await send(bot)
    assert (await started(bot)).run_inputs == {"title": "Menu", "size": "L", "place": "Kitchen"}


@pytest.mark.parametrize("left", [("quick", "all_inputs"), ("all_inputs",)])
async def test_what_was_entered_for_an_app_that_is_left_out_of_the_settings_meanwhile_is_kept(
    stage: Stage, left: tuple[str, ...]
) -> None:
    """For another one, which takes what it has a field for."""
    async with stage.working():
        person = await give(stage, "/dify pick size=L")
        person.fill(person.view, "title", "Menu")
    async with stage.reopened(*left) as again, again.working():
        await connected(again)
        await send(again)
        view = person.view
        assert "There is no app pick any more." in repr(view.blocks)
        assert find_field(view.blocks, "title").element["initial_value"] == "Menu"
        if len(left) > 1:
            person.select(view, "App", "all_inputs")
            await again.workspace.wait_for(lambda: view.title == "Start all_inputs")
        else:
            await send(again)
        chosen = find_field(view.blocks, "size").answer({})
        assert chosen is not None
        assert chosen["text"]["text"] == "L"


@pytest.mark.provokes("not_in_channel")
async def test_who_starts_in_a_channel_without_the_bot_is_told_directly(bot: Stage) -> None:
    """A window has no response_url (slack-platform §4.1)."""
    assert (await ann(bot).command("random", "/dify pick title=Menu size=XL")).acked
    await send(bot)
    direct = bot.workspace.direct_messages(ann(bot))
    note = await bot.workspace.wait_for(lambda: next(iter(direct.roots), None))
    channel = bot.workspace.channel("random").id
    assert f"I am not a member of <#{channel}>" in note.shown
    assert bot.requests("POST", "/workflows/run") == []


# --- once more -------------------------------------------------------------------------------------------------------


async def refused_late(bot: Stage) -> Run:
    """Start a run that Dify refuses in its stream (recording 03), and wait until that is told."""
    bot.dify.refuse_starts(pick(), "title in input form is not allowed today")
    run = await bot.in_status(await bot.ask("pick title=Menu size=L copies=2.5"), RunStatus.FAILED)
    await bot.settled()
    return run


async def test_what_dify_refuses_late_can_be_started_again_with_what_was_given(bot: Stage) -> None:
    """The reason is told in the thread, and again in the window; whoever presses the button is the starter then."""
    first = await refused_late(bot)
    note = bot.thread(first)[-1]
    assert "title in input form is not allowed today" in note.shown
    bot.dify.take_starts(pick())
    ben = bot.workspace.person("ben")
    assert (await ben.click(note, "Try again")).error is None
    assert "title in input form is not allowed today" in repr(ben.view.blocks)
    assert (await ben.submit_view()).field_errors == {}
    with bot.sql() as database:
        ids = [run_id for (run_id,) in database.execute("SELECT run_id FROM runs")]
    run = await bot.in_status(next(run_id for run_id in ids if run_id != first.run_id), RunStatus.PAUSED)
    assert run.run_inputs == first.run_inputs
    assert run.starter_id == ben.id


async def test_a_window_that_cannot_be_opened_again_is_told(bot: Stage) -> None:
    first = await refused_late(bot)
    note = bot.thread(first)[-1]
    bot.dify.fail_next("info", status=500)
    assert (await ann(bot).click(note, "Try again")).error is None
    await bot.told("ann", "Dify does not answer just now")
    bot.workspace.faults.add("views.open", Refuse("trigger_expired"))
    assert (await ann(bot).click(note, "Try again")).error is None
    await bot.told("ann", "I could not open the window, and nothing was started")
    assert ann(bot).views == []
