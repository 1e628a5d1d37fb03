"""The client against the simulated Dify server: whole lives of runs, with what can go wrong on the way."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from bot.core.events import (
    FormFilled,
    FormRequired,
    Ping,
    RunFinished,
    RunPaused,
    RunResumed,
    RunStarted,
    StreamEvent,
    TextArrived,
)
from bot.core.model import AppMode, Form, Paragraph, Rating, Run, RunStatus, Select
from bot.dify.client import DifyClient
from bot.errors import DifyNotFound, DifyUnauthorized, DifyUnavailable, FormClosed, FormRefused
from bot.playground.dify import App, DifyServer
from bot.playground.dify import Dify as Simulator
from bot.playground.dify.apps import chat, chat_review, content_review, every_field, fails_after, parallel, slow
from tests.factories import make_run, make_submission

SPEED = 50.0
"""How many times faster than a real server the simulated one is."""


@asynccontextmanager
async def playing(app: App) -> AsyncIterator[tuple[Simulator, DifyClient]]:
    """Serve one sample app and yield the simulator and a client of the app."""
    simulator = Simulator(apps=[app], speed=SPEED)
    no_tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    async with DifyServer(simulator) as server, DifyClient(server.base_url, app.key, ssl_context=no_tls) as client:
        yield simulator, client


REVIEW = make_run(run_inputs={"topic": "Tea", "language": "English"})


async def paused(client: DifyClient, run: Run) -> tuple[Run, tuple[Form, ...]]:
    """Start the run and read it to its pause."""
    async with client.start(run) as stream:
        events = [event async for event in stream]
    started = next(event for event in events if isinstance(event, RunStarted))
    forms = tuple(event.form for event in events if isinstance(event, FormRequired))
    named = replace(
        run,
        workflow_run_id=started.workflow_run_id,
        task_id=started.task_id,
        conversation_id=started.conversation_id,
    )
    assert events[-1] == RunPaused(frozenset(form.form_id for form in forms), (await client.run_detail(named)).steps)
    return named, forms


async def answered(client: DifyClient, run: Run, form: Form, action_id: str, **values: Any) -> list[StreamEvent]:
    """Subscribe, submit at the first ping, and read on to the next pause or the end."""
    async with client.follow(run) as stream:
        assert await anext(stream) == Ping()
        await client.submit(run, form, make_submission(action_id=action_id, values=values))
        return [event async for event in stream]


async def test_a_review_is_started_answered_and_finished() -> None:
    async with playing(content_review()) as (simulator, client):
        description = await client.describe()
        assert description.mode is AppMode.WORKFLOW
        assert [each.variable for each in description.start_inputs] == ["topic", "language"]
        run, (form,) = await paused(client, REVIEW)
        draft, feedback = form.inputs
        assert isinstance(draft, Paragraph)
        assert draft.default
        assert draft.default in form.content
        assert feedback == Paragraph("feedback")
        assert [each.title for each in form.user_actions] == ["Approve", "Apply edit", "Regenerate"]
        assert (await client.run_detail(run)).status is RunStatus.PAUSED
        await client.check_open(form)

        events = await answered(client, run, form, "approve", edits="x", feedback="")
        assert RunResumed() in events
        assert any(isinstance(event, FormFilled) and event.action_id == "approve" for event in events)
        assert any(isinstance(event, TextArrived) for event in events)
        finished = events[-1]
        assert isinstance(finished, RunFinished)
        assert finished.status is RunStatus.SUCCEEDED
        assert finished.outputs["post"] == draft.default
        assert (await client.run_detail(run)).outputs == finished.outputs
        assert [each.path for each in simulator.requests if each.method == "POST"].count("/v1/workflows/run") == 1


async def test_a_regenerated_draft_is_reviewed_once_more() -> None:
    async with playing(content_review()) as (_, client):
        run, (form,) = await paused(client, REVIEW)
        again = await answered(client, run, form, "regenerate", edits="", feedback="Shorter.")
        required = [event.form for event in again if isinstance(event, FormRequired)]
        assert again[-1] == RunPaused(frozenset({required[0].form_id}), (await client.run_detail(run)).steps)
        assert isinstance((await answered(client, run, required[0], "approve", edits="", feedback=""))[-1], RunFinished)


async def test_a_paused_run_shows_its_forms_with_rendered_content() -> None:
    async with playing(content_review()) as (_, client):
        run, forms = await paused(client, REVIEW)
        assert await client.open_forms(run) == forms


async def test_a_form_with_every_field_is_read_alike_from_event_and_snapshot() -> None:
    async with playing(every_field()) as (_, client):
        run, forms = await paused(client, make_run(run_inputs={"title": "Tea", "size": "M"}))
        (form,) = forms
        assert Select("reviewer", ("Ann", "Bob", "Cé & co")) in form.inputs
        assert await client.open_forms(run) == forms


async def test_parallel_forms_are_announced_again_while_one_is_open() -> None:
    async with playing(parallel()) as (_, client):
        run, (first, second) = await paused(client, make_run(run_inputs={}))
        events = await answered(client, run, first, "ok", note="")
        assert events[-1] == RunPaused(frozenset({second.form_id}), (await client.run_detail(run)).steps)
        assert isinstance((await answered(client, run, second, "ok", note=""))[-1], RunFinished)


async def test_a_chatflow_is_reviewed_and_its_history_tells_the_answer() -> None:
    async with playing(chat_review()) as (_, client):
        run, (form,) = await paused(client, make_run(mode=AppMode.CHATFLOW, query="Why?", run_inputs={}))
        assert run.conversation_id
        events = await answered(client, run, form, "send", reply="Because.")
        finished = events[-1]
        assert isinstance(finished, RunFinished)
        assert "".join(event.text for event in events if isinstance(event, TextArrived)) == finished.outputs["answer"]
        (message,) = await client.messages(run)
        (told,) = message.extra_contents
        assert told.submitted
        assert told.form_submission_data is not None
        assert told.form_submission_data.action_id == "send"


async def test_a_failed_run_names_its_step() -> None:
    async with playing(fails_after()) as (_, client):
        run, (form,) = await paused(client, make_run(run_inputs={}))
        finished = (await answered(client, run, form, "ok", note=""))[-1]
        assert isinstance(finished, RunFinished)
        assert (finished.status, finished.failed_step) == (RunStatus.FAILED, "Call the printer")
        assert finished.error == "[Errno 111] Connection refused"


async def test_a_form_answered_elsewhere_is_closed() -> None:
    async with playing(content_review()) as (simulator, client):
        run, (form,) = await paused(client, REVIEW)
        await simulator.answer_elsewhere(simulator.open_forms()[0], "approve", {"edits": "", "feedback": ""})
        with pytest.raises(FormClosed) as caught:
            await client.submit(run, form, make_submission(action_id="approve", values={"edits": "", "feedback": ""}))
        assert not caught.value.expired


async def test_an_expired_form_is_closed_before_the_run_moves_on() -> None:
    async with playing(content_review()) as (simulator, client):
        run, (form,) = await paused(client, REVIEW)
        await simulator.expire(simulator.open_forms()[0], sweep=False)
        with pytest.raises(FormClosed) as caught:
            await client.check_open(form)
        assert caught.value.expired
        assert await client.open_forms(run) == ()


async def test_a_refused_answer_leaves_the_form_open() -> None:
    async with playing(content_review()) as (_, client):
        run, (form,) = await paused(client, REVIEW)
        with pytest.raises(FormRefused, match="feedback"):
            await client.submit(run, form, make_submission(action_id="approve", values={"edits": ""}))
        await client.check_open(form)


async def test_a_lost_response_is_settled_by_reading_the_form() -> None:
    async with playing(content_review()) as (simulator, client):
        run, (form,) = await paused(client, REVIEW)
        simulator.lose_response("submit_form")
        with pytest.raises(DifyUnavailable) as caught:
            await client.submit(run, form, make_submission(action_id="approve", values={"edits": "", "feedback": ""}))
        assert caught.value.sent
        with pytest.raises(FormClosed):
            await client.check_open(form)


@pytest.mark.parametrize("status", [400, 500, 503])
async def test_a_failing_or_overrun_server_is_unavailable(status: int) -> None:
    async with playing(content_review()) as (simulator, client):
        simulator.fail_next("run", status=status)
        with pytest.raises(DifyUnavailable) as caught:
            async with client.start(REVIEW):
                pass
        assert caught.value.status == status


async def test_a_dropped_stream_is_no_end_and_the_snapshot_tells_the_rest() -> None:
    async with playing(content_review()) as (simulator, client):
        simulator.drop_stream(after_events=3)
        seen: list[StreamEvent] = []
        with pytest.raises(DifyUnavailable):  # noqa: PT012 - what came before counts, too
            async with client.start(REVIEW) as stream:
                async for event in stream:
                    seen.append(event)  # noqa: PERF401 - kept although the loop breaks off
        started = next(event for event in seen if isinstance(event, RunStarted))
        await simulator.wait_for(simulator.open_forms)
        run = replace(REVIEW, workflow_run_id=started.workflow_run_id)
        assert len(await client.open_forms(run)) == 1


async def test_a_running_run_can_be_stopped() -> None:
    async with playing(slow()) as (_, client):
        async with client.start(make_run(run_inputs={})) as stream:
            async for event in stream:
                if isinstance(event, RunStarted):
                    await client.stop(make_run(task_id=event.task_id))
        assert isinstance(event, RunFinished)
        assert event.status in (RunStatus.STOPPED, RunStatus.FAILED)  # the stream may say either (dify-api §13)


async def test_another_user_does_not_see_the_run() -> None:
    async with playing(content_review()) as (_, client):
        run, _ = await paused(client, REVIEW)
        with pytest.raises(DifyNotFound):
            async with client.follow(replace(run, dify_user="slack:T1:U9")):
                pass


async def test_a_wrong_key_is_unauthorized() -> None:
    simulator = Simulator(apps=[content_review()], speed=SPEED)
    async with DifyServer(simulator) as server, DifyClient(server.base_url, "app-demo-wrong") as client:
        with pytest.raises(DifyUnauthorized):
            await client.describe()


async def test_the_version_is_known_after_the_first_answer() -> None:
    async with playing(content_review()) as (_, client):
        await client.info()
        assert client.version == "1.14.2"


async def test_a_conversation_remembers_suggests_and_takes_thumbs() -> None:
    async with playing(chat()) as (simulator, client):
        first = make_run(mode=AppMode.CHATFLOW, run_inputs={}, query="Where is my order?")
        named = await answered_message(client, first)
        assert await client.knows_conversation(named)
        assert await client.suggestions(named) == simulator.apps[chat().key].next_questions
        await client.rate(named, Rating.DISLIKE)
        await client.rate(named, Rating.LIKE)
        assert [message.rating for message in simulator.conversations[named.conversation_id or ""].messages] == ["like"]

        second = await answered_message(client, replace(first, query="Thanks", conversation_id=named.conversation_id))
        assert second.conversation_id == named.conversation_id
        answer = (await client.run_detail(second)).outputs["answer"]
        assert "Before it you asked: Where is my order?" in answer


async def test_a_conversation_that_is_gone_or_of_somebody_else_is_not_known() -> None:
    """Dify itself would begin a new one without a word (recording 15)."""
    async with playing(chat()) as (simulator, client):
        named = await answered_message(client, make_run(mode=AppMode.CHATFLOW, run_inputs={}, query="Hello"))
        assert not await client.knows_conversation(replace(named, dify_user="slack:T1:U9"))
        simulator.conversations.clear()
        assert not await client.knows_conversation(named)
        with pytest.raises(DifyNotFound):
            await client.rate(named, Rating.LIKE)


async def test_suggestions_that_are_switched_off_are_not_asked_for() -> None:
    async with playing(replace(chat(), suggests_questions=False)) as (simulator, client):
        named = await answered_message(client, make_run(mode=AppMode.CHATFLOW, run_inputs={}, query="Hello"))
        assert await client.suggestions(named) == ()
        assert not any("suggested" in each.path for each in simulator.requests)


async def answered_message(client: DifyClient, run: Run) -> Run:
    """Send a message to a Chatflow, read its answer to the end, and return the run with Dify's ids."""
    async with client.start(run) as stream:
        events = [event async for event in stream]
    assert isinstance(events[-1], RunFinished)
    started = next(event for event in events if isinstance(event, RunStarted))
    return replace(
        run,
        workflow_run_id=started.workflow_run_id,
        conversation_id=started.conversation_id,
        message_id=started.message_id,
    )
