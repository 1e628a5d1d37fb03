"""A slash command is saved once, and comes to a run or to one answer that says all that is wrong with it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import AnyHttpUrl

from bot.core.model import RunStatus
from bot.errors import LeaseLost, StoreError
from bot.playground.dify.apps import quick, two_forms
from tests.services.stage import CHANNEL, Stage, open_stage


async def test_a_command_becomes_a_run_of_the_person_who_gave_it(bot: Stage) -> None:
    """One Dify user for everything of the run: another one would not even see its events (dify-api §2.3)."""
    run = await bot.in_status(await bot.ask('pick title="Spring menu" size=S'), RunStatus.PAUSED)
    ann = bot.workspace.person("ann").id
    assert run.starter_id == ann
    assert run.dify_user == f"slack:{bot.workspace.team_id}:{ann}"
    assert run.run_inputs == {"title": "Spring menu", "size": "S"}
    assert {each.body["user"] for each in bot.requests("POST", "/workflows/run")} == {run.dify_user}


async def test_all_that_is_wrong_is_told_at_once_with_a_command_to_copy(bot: Stage) -> None:
    await bot.ask('pick titel="Spring menu" size=XXL')
    note = await bot.told("ann", "titel", "XXL")
    assert '/dify pick title="Spring menu"' in note.shown.splitlines()
    await bot.settled()
    assert bot.requests("POST", "/workflows/run") == []
    assert bot.workspace.channel(CHANNEL).roots == []


async def test_an_app_that_is_not_there_is_named(bot: Stage) -> None:
    await bot.ask("zzz")
    note = await bot.told("ann", "There is no app “zzz”: there is all_inputs, chat", "more.")
    assert "/dify" not in note.shown
    assert bot.dify.requests == []


async def test_all_that_is_wrong_is_told_at_once_where_the_name_of_the_app_is_guessed(bot: Stage) -> None:
    """So the corrected command works: what the nearest app needs is in it, too."""
    await bot.ask("pik size=S")
    note = await bot.told("ann", "There is no app “pik”: did you mean pick?", "title is missing", "Fill in the …")
    assert '/dify pick title="…" size=S' in note.shown.splitlines()


@pytest.mark.parametrize("app", ["", "zzz "])
async def test_the_one_app_that_takes_every_key_is_offered(bot: Stage, app: str) -> None:
    """Where the command names none, or one that is not there; an app that Dify does not describe is left out."""
    bot.dify.fail_next("info", status=500)
    await bot.ask(f"{app}urgent=yes title=Menu")
    note = await bot.told("ann", "every_field", "This would work")
    assert "/dify every_field title=Menu urgent=yes" in note.shown.splitlines()
    assert bot.requests("POST", "/workflows/run") == []


async def test_no_app_is_offered_where_several_take_every_key(bot: Stage) -> None:
    await bot.ask("topic=tea")
    note = await bot.told("ann", "Say which app to start")
    assert "/dify" not in note.shown


@pytest.mark.parametrize("text", ["help pick", "Pick help"])
async def test_what_an_app_takes_is_told_on_request(bot: Stage, text: str) -> None:
    await bot.ask(text)
    note = await bot.told("ann", "*pick* takes these values", "title: a text of at most 40 characters; required.")
    assert "size: choose S, M or L; optional, “M” where it is left out." in note.shown
    assert '/dify pick title="…"' in note.shown.splitlines()
    await bot.settled()
    assert bot.requests("POST", "/workflows/run") == []


async def test_help_about_a_misspelt_app_tells_what_the_nearest_takes(tmp_path: Path) -> None:
    async with open_stage(tmp_path, [quick()]) as stage, stage.working():
        await stage.ask("help quik")
        await stage.told(
            "ann", "There is no app “quik”: did you mean quick?\n*quick* takes these values", "topic: a text"
        )
        await stage.settled()
        assert stage.requests("POST", "/workflows/run") == []


async def test_help_about_an_app_that_is_not_there_names_those_that_are(bot: Stage) -> None:
    await bot.ask("help zzz")
    await bot.told("ann", "There is no app “zzz”: there is all_inputs, chat", "more.")


async def test_words_are_not_taken_for_the_name_of_the_only_app(tmp_path: Path) -> None:
    async with open_stage(tmp_path, [quick()]) as stage, stage.working():
        run = await stage.in_status(await stage.ask("some words"), RunStatus.SUCCEEDED)
    assert run.run_inputs == {"topic": "some words"}


async def test_words_to_the_only_app_may_begin_with_help(tmp_path: Path) -> None:
    async with open_stage(tmp_path, [quick()]) as stage, stage.working():
        for words in ("help me", "Help me write a letter"):
            run = await stage.in_status(await stage.ask(words), RunStatus.SUCCEEDED)
            assert run.run_inputs == {"topic": words}


async def test_words_are_the_message_to_a_chatflow(bot: Stage) -> None:
    run = await bot.run_when(
        await bot.ask("chat_review Is it &lt;ready&gt;, @ben?"), lambda run: run.status.ended or run.forms
    )
    assert run.query == "Is it <ready>, @ben?"
    assert bot.requests("POST", "/chat-messages")[0].body["query"] == run.query


async def test_the_only_app_needs_no_name(tmp_path: Path) -> None:
    async with open_stage(tmp_path, [quick()]) as stage, stage.working():
        run = await stage.in_status(await stage.ask("topic=tea"), RunStatus.SUCCEEDED)
    assert run.app == "quick"


@pytest.mark.parametrize(
    ("status", "sentence"),
    [
        (401, "refuses the API key of two_forms"),
        (500, "does not answer just now"),
        (404, "Dify cannot start two_forms: Failure on request."),
    ],
)
async def test_nothing_is_started_where_dify_does_not_describe_the_app(bot: Stage, status: int, sentence: str) -> None:
    bot.dify.fail_next("info", status=status)
    await bot.ask("two_forms topic=tea")
    note = await bot.told("ann", sentence)
    assert note.shown.count("Nothing was started") == 1
    assert bot.requests("POST", "/workflows/run") == []


async def test_an_address_without_a_dify_is_told(stage: Stage) -> None:
    """A web server that knows nothing of Dify answers 404 without Dify's error code."""
    app = stage.settings.apps["quick"]
    elsewhere = app.model_copy(update={"base_url": AnyHttpUrl(f"{app.base_url}/elsewhere")})
    moved = replace(stage, settings=stage.settings.with_apps({"quick": elsewhere}))
    async with moved.reopened("quick") as astray, astray.working():
        await astray.ask("quick topic=tea")
        await astray.told("ann", "There is no Dify at the address that is set for quick: ask whoever runs this bot")


async def test_a_delivery_that_comes_twice_starts_one_run(bot: Stage) -> None:
    """Slack repeats a command whose ack it did not get (slack-platform §9.1)."""
    command = bot.command("quick topic=tea")
    for _ in range(2):
        await bot.parts.commands.take_in(command, "command:1")
    await bot.in_status(command.command_id, RunStatus.SUCCEEDED)
    await bot.settled()
    assert len(bot.requests("POST", "/workflows/run")) == 1
    assert len(bot.workspace.channel(CHANNEL).roots) == 1


async def test_a_check_that_is_carried_out_again_starts_nothing_twice(stage: Stage) -> None:
    """Whoever is too late saves nothing: another process may have taken it for dead and checked the command itself."""
    command = stage.command("quick topic=tea")
    await stage.parts.commands.take_in(command, "command:1")
    (saved,) = await stage.begin()
    await stage.parts.commands.check(command, done=saved.row_id)
    with pytest.raises(LeaseLost):
        await stage.parts.commands.check(command, done=saved.row_id)
    async with stage.working():
        await stage.in_status(command.command_id, RunStatus.SUCCEEDED)
        await stage.settled()
    assert len(stage.requests("POST", "/workflows/run")) == 1
    assert len(stage.workspace.channel(CHANNEL).roots) == 1


async def test_what_is_not_saved_is_not_taken_in(stage: Stage) -> None:
    """Neither is its delivery remembered: the person can try again."""
    command = stage.command("quick topic=tea")
    with stage.refusing("INSERT ON outbox"), pytest.raises(StoreError, match="disk full"):
        await stage.parts.commands.take_in(command, "command:1")
    await stage.parts.commands.take_in(command, "command:1")
    assert [row.kind for row in stage.outbox()] == ["CheckCommand"]


async def test_the_runs_of_an_app_that_is_left_out_wait_until_it_is_back(tmp_path: Path) -> None:
    """Leaving an app out of the settings by mistake ends nothing."""
    async with open_stage(tmp_path, [two_forms(), quick()]) as stage:
        async with stage.working():
            run = await stage.paused("two_forms topic=tea")
        async with stage.reopened("quick") as without, without.working():
            await without.choose(run, "no")
            await without.put_back("SubmitForm")
            await without.later(seconds=40)
            assert (await without.store.run(run.run_id)).status is RunStatus.PAUSED
        async with stage.reopened("two_forms", "quick") as again, again.working():
            await again.later(minutes=5)
            await again.in_status(run.run_id, RunStatus.SUCCEEDED)
        assert [each.status for each in stage.submits()] == [200]
