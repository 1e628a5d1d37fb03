"""Live runs: what a stream tells is saved and shown, and a stream that is lost costs nothing but its text."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, MutableMapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from bot.core import effects as do
from bot.core.events import StreamEvent
from bot.core.lifecycle import Transition
from bot.core.model import FormStatus, Run, RunStatus
from bot.dify.client import DifyClient
from bot.playground.dify.apps import quick, two_forms
from bot.playground.dify.graph import App, End, HumanInput, Llm, action
from bot.services import streams
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
    monkeypatch.setattr(streams, "FIRST_PING", 0.01)
    run = await bot.paused(TWO_FORMS)
    bot.dify.delay_next("events", 3000)
    await bot.choose(run, "no")
    await bot.run_when(run.run_id, lambda run: run.forms[0].status is FormStatus.SUBMITTED)
    assert events_requests(bot) == [None]


async def test_nobody_listens_to_a_run_whose_answer_was_refused(bot: Stage) -> None:
    """Its form may stay open for days, and a Dify server has few connections (recording 22)."""
    run = await bot.paused(TWO_FORMS)
    bot.dify.fail_next("submit_form", status=429)
    await bot.choose(run, "no")
    await bot.told("ben", "Dify did not take your answer")
    assert not bot.parts.streams.follows(run.run_id)


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


@pytest.mark.parametrize("fault", ["server error", "cut before its first event"])
async def test_a_start_without_an_answer_is_not_confirmed_and_not_repeated(bot: Stage, fault: str) -> None:
    if fault == "server error":
        bot.dify.fail_next("run", status=500)
    else:
        bot.dify.drop_stream(after_bytes=30)
    run = await bot.in_status(await bot.ask(TWO_FORMS), RunStatus.LOST)
    await bot.reads(bot.root(run), "Not confirmed")
    assert len(bot.requests("POST", "/workflows/run")) == 1


# --- the course of a run ---------------------------------------------------------------------------------------------


async def test_a_run_is_followed_anew_where_its_stream_broke_off(bot: Stage) -> None:
    bot.dify.drop_stream(after_events=3)
    run_id = await bot.ask("slow topic=tea")
    await bot.in_status(run_id, RunStatus.SUCCEEDED)
    assert len(bot.requests("GET", "/workflows/run/")) == 1
    assert events_requests(bot) == [200]


async def test_a_pause_that_the_stream_did_not_tell_is_found(bot: Stage) -> None:
    """The stream ended in the middle without a word: run detail and snapshot tell the rest."""
    bot.dify.drop_stream(after_events=3)
    run = await bot.paused(TWO_FORMS)
    assert run.forms[0].content == "First review of **tea**\n\n{{#$output.note#}}"


async def test_a_stopped_run_is_what_run_detail_calls_it(bot: Stage) -> None:
    """Its stream says `failed` (recording 12)."""
    run = await bot.in_status(await bot.ask("slow topic=tea"), RunStatus.RUNNING)
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
