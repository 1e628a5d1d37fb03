"""Live runs: what a stream tells is saved and shown, and a stream that is lost costs nothing but its text."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, MutableMapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from bot.core import effects as do
from bot.core.effects import Transition
from bot.core.events import StreamEvent, TextArrived
from bot.core.model import FormStatus, Run, RunStatus
from bot.dify.client import DifyClient
from bot.playground.dify.apps import quick, two_forms
from bot.playground.dify.graph import Answer, App, End, HumanInput, Llm, action
from bot.services import recorder, streams
from tests.factories import make_run
from tests.services.stage import CHANNEL, SPEED, Stage, open_stage

TWO_FORMS = "two_forms topic=tea"
Stream = AbstractAsyncContextManager[AsyncIterator[StreamEvent]]


def talker(seconds: float = 10) -> App:
    """A form, then a text that takes so long to be written here."""
    return App(
        name="talker",
        nodes=(
            HumanInput("ask", "Ask", content="Shall I?", inputs=(), actions=(action("yes", "Yes"),)),
            Llm("talk", "Talk", "Once upon a time " + "and so on " * 1000, seconds=seconds * SPEED),
            End("end", "End", {"story": ("talk", "text")}),
        ),
        edges=("start -> ask", "ask.yes -> talk -> end"),
    )


def events_requests(stage: Stage) -> list[int | None]:
    """The status of every events stream that was asked for; None until it is answered."""
    return [each.status for each in stage.requests("GET", "/events")]


# --- answers ---------------------------------------------------------------------------------------------------------


async def test_an_answer_goes_out_after_the_first_ping_of_the_runs_stream(bot: Stage) -> None:
    """Whoever listens late loses the resumed text (recording 25)."""
    run = await bot.paused(TWO_FORMS)
    bot.dify.delay_next("events", 5)
    await bot.choose(run, "no")
    assert await bot.dify.wait_for(lambda: bot.submits() and events_requests(bot)) == [200]
    await bot.in_status(run.run_id, RunStatus.SUCCEEDED)


async def test_the_resumed_text_appears_while_it_is_written(tmp_path: Path) -> None:
    async with open_stage(tmp_path, [talker()]) as stage, stage.working():
        run = await stage.paused("talker")
        await stage.choose(run, "yes")
        text = await stage.workspace.wait_for(lambda: stage.workspace.find(thread=run.thread_ts, text="Once upon"))
        run = await stage.run_when(run.run_id, lambda run: run.answer_ts)
        assert run.answer_ts == text.ts
        assert run.status is RunStatus.RUNNING


class SlowToClose(DifyClient):
    """A client whose start streams, read to their end, are not closed before `closing` is set."""

    closing: asyncio.Event

    def start(self, run: Run) -> Stream:
        return self._linger(super().start(run))

    @asynccontextmanager
    async def _linger(self, stream: Stream) -> AsyncIterator[AsyncIterator[StreamEvent]]:
        async with stream as events:
            yield events
        await self.closing.wait()


async def test_an_answer_that_comes_before_the_stream_of_the_pause_is_closed_is_listened_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That stream has told of the pause and hears nothing of what follows."""
    monkeypatch.setattr(SlowToClose, "closing", asyncio.Event(), raising=False)
    monkeypatch.setattr("bot.bootstrap.DifyClient", SlowToClose)
    async with open_stage(tmp_path, [talker()]) as stage, stage.working():
        run = await stage.paused("talker")
        await stage.choose(run, "yes")
        await stage.workspace.wait_for(lambda: stage.workspace.find(thread=run.thread_ts, text="Once upon"))
        SlowToClose.closing.set()
        assert events_requests(stage) == [200]
        assert stage.parts.streams.follows(run.run_id)


@pytest.mark.parametrize("status", [404, 500])
async def test_an_answer_goes_out_where_the_stream_cannot_be_had(bot: Stage, status: int) -> None:
    """Text is a courtesy, the answer is not."""
    run = await bot.paused(TWO_FORMS)
    bot.dify.fail_next("events", status=status)
    await bot.choose(run, "no")
    run = await bot.run_when(run.run_id, lambda run: run.forms[0].status is FormStatus.SUBMITTED)
    await bot.later(seconds=3)
    await bot.in_status(run.run_id, RunStatus.SUCCEEDED)
    assert [each.status for each in bot.submits()] == [200]


async def test_an_answer_goes_out_where_no_ping_comes(bot: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "FIRST_PING", 0.5)
    run = await bot.paused(TWO_FORMS)
    bot.dify.delay_next("events", 3000)
    await bot.choose(run, "no")
    await bot.run_when(run.run_id, lambda run: run.forms[0].status is FormStatus.SUBMITTED)
    assert events_requests(bot) == [None]


async def test_nobody_listens_to_a_run_whose_answer_was_refused(bot: Stage) -> None:
    """Its form may stay open for days, and a Dify server has few connections (recording 22)."""
    run = await bot.paused(TWO_FORMS)
    bot.dify.fail_next("submit_form", status=413)
    await bot.choose(run, "no")
    await bot.told("ben", "Dify did not take your answer")
    assert not bot.parts.streams.follows(run.run_id)
    await bot.until(lambda: followers(bot) == [])


async def test_nobody_follows_a_run_whose_answer_waits_for_dify(bot: Stage) -> None:
    """Else no other process could speak for it meanwhile."""
    run = await bot.paused(TWO_FORMS)
    bot.dify.fail_next("submit_form", status=400)  # back-pressure (recording 24)
    await bot.choose(run, "no")
    await bot.put_back("SubmitForm")
    await bot.until(lambda: followers(bot) == [])


async def test_nobody_follows_a_run_that_was_left(bot: Stage) -> None:
    """Also where the database is away just then."""
    run = await bot.in_status(await bot.ask("endless topic=tea"), RunStatus.RUNNING)
    assert followers(bot) == [run.run_id]
    with bot.refusing("DELETE ON follows"):
        bot.parts.streams.leave(run.run_id)
        await bot.until(lambda: not bot.parts.streams._readers)
    await bot.until(lambda: followers(bot) == [])


# --- starts ----------------------------------------------------------------------------------------------------------


async def save_start(stage: Stage, **changes: Any) -> Run:
    """Save a run that is to be started, whatever a command would have been told."""
    run = make_run(
        **{
            "app": "pick",
            "channel_id": stage.workspace.channel(CHANNEL).id,
            "starter_id": stage.workspace.person("ann").id,
            "created_at": stage.clock.now(),
        }
        | changes
    )
    await stage.store.add_run(run, (do.PostRoot(),), stage.clock.now())
    stage.parts.outbox.wake()
    return run


async def test_a_start_that_fails_on_its_stream_says_why_in_the_thread(bot: Stage) -> None:
    """Dify answers 200 and tells of wrong inputs afterwards (recording 03)."""
    run = await save_start(bot, run_inputs={"size": "XXL"})
    run = await bot.in_status(run.run_id, RunStatus.FAILED)
    assert run.error is not None
    assert "title" in run.error
    assert await bot.workspace.wait_for(lambda: bot.workspace.find(thread=run.thread_ts, text=run.error))
    await bot.reads(bot.root(run), "Failed")
    assert not bot.parts.streams.follows(run.run_id)


async def test_a_start_that_dify_turns_away_says_why_in_the_thread(bot: Stage) -> None:
    """Nothing runs, so the person can simply try again."""
    bot.dify.fail_next("run", status=400)
    run = await bot.in_status(await bot.ask(TWO_FORMS), RunStatus.FAILED)
    await bot.workspace.wait_for(lambda: bot.workspace.find(thread=run.thread_ts, text="Too many requests"))


async def test_a_start_beyond_a_quota_says_why_and_is_not_repeated(bot: Stage) -> None:
    bot.dify.fail_next("run", status=429)
    run = await bot.in_status(await bot.ask(TWO_FORMS), RunStatus.FAILED)
    await bot.workspace.wait_for(lambda: bot.workspace.find(thread=run.thread_ts, text="Too many requests"))
    await bot.settled()
    assert len(bot.requests("POST", "/workflows/run")) == 1


async def test_a_start_that_dify_named_is_not_lost_because_the_database_fails(
    bot: Stage, monkeypatch: pytest.MonkeyPatch, logged: list[MutableMapping[str, Any]]
) -> None:
    """Its ids are told once."""
    monkeypatch.setattr(recorder, "STORE_PAUSE", timedelta(seconds=0.05))
    with bot.refusing("UPDATE OF workflow_run_id ON runs WHEN NEW.workflow_run_id IS NOT NULL"):
        run_id = await bot.ask(TWO_FORMS)
        await bot.until(lambda: [entry for entry in logged if entry["event"].startswith("the database takes nothing")])
    run = await bot.in_status(run_id, RunStatus.PAUSED)
    assert run.workflow_run_id in bot.dify.runs
    assert len(bot.requests("POST", "/workflows/run")) == 1


# --- the course of a run ---------------------------------------------------------------------------------------------


async def test_a_run_is_followed_anew_where_its_stream_broke_off(bot: Stage) -> None:
    """It is looked at before its stream is opened and after: what happens in between no stream tells (recording 05)."""
    bot.dify.drop_stream(after_events=3)
    run_id = await bot.ask("slow topic=tea")
    await bot.in_status(run_id, RunStatus.SUCCEEDED)
    assert len(bot.requests("GET", "/workflows/run/")) == 2
    assert events_requests(bot) == [200]


async def test_a_pause_that_the_stream_did_not_tell_is_found(bot: Stage) -> None:
    """The stream ended in the middle without a word: run detail and snapshot tell the rest."""
    bot.dify.drop_stream(after_events=3)
    run = await bot.paused(TWO_FORMS)
    assert run.forms[0].content == "First review of **tea**\n\n{{#$output.note#}}"


async def test_a_stopped_run_is_what_run_detail_calls_it(bot: Stage) -> None:
    """Its stream says `failed` (recording 12)."""
    run = await bot.in_status(await bot.ask("endless topic=tea"), RunStatus.RUNNING)
    await bot.parts.decisions.stop(run.run_id, bot.workspace.person("ben").id, delivery="stop")
    run = await bot.in_status(run.run_id, RunStatus.STOPPED)
    await bot.reads(bot.root(run), "Stopped by")
    assert len(bot.requests("POST", "/stop")) == 1


async def test_a_run_whose_reader_died_is_followed_anew(bot: Stage, logged: list[MutableMapping[str, Any]]) -> None:
    """At once, not at the next look that is due."""
    broken = iter([True])

    def break_once(transition: Transition) -> None:
        if transition.run.status is RunStatus.RUNNING and next(broken, False):
            raise RuntimeError("a mistake")

    bot.parts.recorder.watch(break_once)
    await bot.in_status(await bot.ask("slow topic=tea"), RunStatus.SUCCEEDED)
    assert events_requests(bot) == [200]
    assert [entry["log_level"] for entry in logged if entry["event"] == "a stream's reader died"] == ["error"]


async def test_text_that_is_shown_is_not_overwritten_by_the_rest_of_it(tmp_path: Path) -> None:
    """A stream that is opened in the middle of a text tells nothing of its beginning."""
    async with open_stage(tmp_path, [talker(2)]) as stage, stage.working():
        run = await stage.paused("talker")
        stage.dify.drop_stream(after_events=20)
        await stage.choose(run, "yes")
        text = await stage.workspace.wait_for(lambda: stage.workspace.find(thread=run.thread_ts, text="Once upon"))
        await stage.dify.wait_for(lambda: events_requests(stage) == [200, 200])
        run = await stage.in_status(run.run_id, RunStatus.SUCCEEDED)
        await stage.settled()
        assert [version.shown for version in text.history if "Once upon" not in version.shown] == []


async def test_text_of_which_a_part_was_not_heard_says_so_once_the_run_waits(tmp_path: Path) -> None:
    app = App(
        name="talker",
        nodes=(
            *talker(2).nodes[:2],
            Answer("say", "Say", "{{#talk.text#}}"),
            HumanInput("again", "Again", content="And now?", inputs=(), actions=(action("yes", "Yes"),)),
            Answer("bye", "Bye", "Bye."),
        ),
        edges=("start -> ask", "ask.yes -> talk -> say -> again", "again.yes -> bye"),
        mode="advanced-chat",
    )
    async with open_stage(tmp_path, [app]) as stage, stage.working():
        run = await stage.paused("talker query=Tell")
        stage.dify.drop_stream(after_events=20)
        await stage.choose(run, "yes")
        text = await stage.workspace.wait_for(lambda: stage.workspace.find(thread=run.thread_ts, text="Once upon"))
        await stage.run_when(run.run_id, lambda run: len(run.forms) == 2 and run.status is RunStatus.PAUSED)
        await stage.reads(text, "Once upon", "may not be complete")


async def test_a_reader_that_dies_is_logged_and_gives_its_place_back(
    tmp_path: Path, logged: list[MutableMapping[str, Any]]
) -> None:
    """A mistake of ours costs one stream and nothing else: the run is found again by asking."""
    async with open_stage(tmp_path, [two_forms(), quick()], dify_max_streams=1) as stage, stage.working():
        broken = True

        def break_at_pause(transition: Transition) -> None:
            if broken and transition.run.status is RunStatus.PAUSED:
                raise RuntimeError("a mistake")

        stage.parts.recorder.watch(break_at_pause)
        run = await stage.paused(TWO_FORMS)
        broken = False
        await stage.choose(run, "no")
        await stage.in_status(run.run_id, RunStatus.SUCCEEDED)
    assert [entry["log_level"] for entry in logged if entry["event"] == "a stream's reader died"] == ["error"]


async def test_a_text_that_was_heard_until_the_run_was_stopped_is_whole(tmp_path: Path) -> None:
    async with open_stage(tmp_path, [talker(2)]) as stage, stage.working():
        run = await stage.paused("talker")
        await stage.choose(run, "yes")
        text = await stage.workspace.wait_for(lambda: stage.workspace.find(thread=run.thread_ts, text="Once upon"))
        await stage.parts.decisions.stop(run.run_id, stage.workspace.person("ben").id, delivery="stop")
        await stage.in_status(run.run_id, RunStatus.STOPPED)
        await stage.settled()
        assert "Once upon" in text.shown
        assert "may not be complete" not in text.shown


async def test_a_stream_that_does_not_tell_of_the_end_of_its_run_is_left_once_a_look_does(tmp_path: Path) -> None:
    """Dify keeps it open for long, and others wait for its place."""
    async with open_stage(tmp_path, dify_max_streams=1) as stage, stage.working():
        run = await stage.in_status(await stage.ask("endless topic=tea"), RunStatus.RUNNING)
        stage.dify.kill_worker()
        (there,) = stage.dify.runs.values()
        await stage.dify.wait_for(lambda: not stage.dify.executes(there))
        stage.dify.purge(there)
        stage.parts.reconciler.look_at(run.run_id)
        await stage.in_status(run.run_id, RunStatus.LOST)
        await stage.settled()
        assert not stage.parts.streams.follows(run.run_id)
        stage.dify.start_worker()
        await stage.in_status(await stage.ask("quick topic=tea"), RunStatus.SUCCEEDED)


# --- who follows a run -----------------------------------------------------------------------------------------------


def followers(stage: Stage) -> list[str]:
    """The runs that somebody follows, as the other processes see it."""
    with stage.sql() as database:
        return [run_id for (run_id,) in database.execute("SELECT run_id FROM follows")]


async def test_a_run_is_followed_as_long_as_its_stream_is_read(bot: Stage) -> None:
    run_id = await bot.ask("slow topic=tea")
    await bot.in_status(run_id, RunStatus.RUNNING)
    assert followers(bot) == [run_id]
    await bot.in_status(run_id, RunStatus.SUCCEEDED)
    await bot.until(lambda: followers(bot) == [])


async def test_a_run_is_followed_even_if_the_database_does_not_take_that_down(bot: Stage) -> None:
    with bot.refusing("INSERT ON follows"):
        await bot.in_status(await bot.ask("quick topic=tea"), RunStatus.SUCCEEDED)
    assert len(bot.requests("POST", "/workflows/run")) == 1


# --- what stands above -----------------------------------------------------------------------------------------------


class Short(DifyClient):
    """A client that hears no more of each text after a form than four characters."""

    @asynccontextmanager
    async def follow(self, run: Run) -> AsyncIterator[AsyncIterator[StreamEvent]]:
        async with super().follow(run) as events:
            yield self._shortened(events)

    async def _shortened(self, events: AsyncIterator[StreamEvent]) -> AsyncIterator[StreamEvent]:
        heard = 0
        async for event in events:
            if not isinstance(event, TextArrived):
                yield event
            elif heard == 0:
                heard += 1
                yield TextArrived(event.text[:4])


async def test_a_text_that_ends_before_it_is_the_one_above_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until then it might have been the same once more, which is not shown (recording 16)."""
    monkeypatch.setattr("bot.bootstrap.DifyClient", Short)
    steps = App(
        name="steps",
        mode="advanced-chat",
        nodes=(
            Answer("before", "Before", "Well, let me see."),
            HumanInput("ask", "Ask", content="Shall I?", inputs=(), actions=(action("yes", "Yes"),)),
            HumanInput("again", "Ask again", content="Surely?", inputs=(), actions=(action("yes", "Yes"),)),
            Answer("after", "After", "Done."),
        ),
        edges=("start -> before -> ask", "ask.yes -> again", "again.yes -> after"),
    )
    async with open_stage(tmp_path, [steps]) as stage, stage.working():
        run = await stage.paused("steps now")
        await stage.choose(run, "yes")
        run = await stage.run_when(run.run_id, lambda run: len(run.texts_above) == 2)
        assert run.texts_above[1].is_of("Well")
        shown = [message.shown for message in stage.thread(run)]
        assert (shown.count("Well, let me see."), shown.count("Well")) == (1, 1)
