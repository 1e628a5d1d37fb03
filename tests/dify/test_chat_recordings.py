"""The known defects of recorded Chatflows: the answer that people see is taken from where Dify has it right."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bot.core.events import RunFinished, RunStarted, TextArrived
from bot.core.lifecycle import advance
from bot.core.model import AppMode, Run, RunStatus
from bot.dify import schema
from bot.dify.sansio import SegmentReader
from bot.slack.messages.result import result_messages
from tests.dify.recordings import exchange, read
from tests.factories import NOW, make_run
from tests.slack.reading import texts

RUNNING = make_run(
    mode=AppMode.CHATFLOW,
    status=RunStatus.RUNNING,
    thread_ts="1.0",
    root_ts="1.0",
    workflow_run_id="w",
    started_at=NOW,
)


async def end_of(number: str) -> RunFinished:
    """Return the end that a recorded stream tells of."""
    events = await read([exchange(number).stream], SegmentReader(names_run=True))
    end = events[-1]
    assert isinstance(end, RunFinished)
    return end


def shown(run: Run) -> str:
    """Return what people see of the end of a run."""
    return "\n".join(map(texts, result_messages(run)))


def history(number: str) -> str:
    """Return the newest answer that Dify stored."""
    return schema.History.model_validate_json(exchange(number).body).data[-1].answer


def detail(number: str) -> RunFinished:
    """Return the end as run detail tells of it, which is read after a restart."""
    read_run = schema.RunAnswer.model_validate_json(exchange(number).body).to_core()
    return RunFinished(read_run.status, read_run.outputs, read_run.error)


async def test_an_answer_around_a_form_is_shown_whole() -> None:
    """Recording 16: the stream says the text before the form twice and the one after it never; so does the history."""
    before, after = "Let me check that with a person.", "Reviewed reply: All fine, thanks!"
    events = await read([exchange("16/2").stream], SegmentReader())
    assert after not in "".join(event.text for event in events if isinstance(event, TextArrived))
    assert history("16/5").count(before) == 2
    assert after not in history("16/5")
    for end in (await end_of("16/2"), detail("16/6")):
        said = shown(advance(RUNNING, end, NOW).run)
        assert said.count(before) == 1
        assert after in said


async def test_an_answer_after_a_form_is_the_same_wherever_it_is_read() -> None:
    """Recording 15, where nothing stands before the form."""
    streamed, polled = (shown(advance(RUNNING, end, NOW).run) for end in (await end_of("15/8"), detail("15/13")))
    assert streamed == polled
    assert "Reviewed reply: All fine, thanks! (by Bob" in streamed


async def test_images_that_the_history_cuts_out_stay_named() -> None:
    """Recording 31: the run's outputs still have them."""
    assert "proof.png" not in history("31/10")
    said = shown(advance(RUNNING, await end_of("31/7"), NOW).run)
    assert "proof.png" in said
    assert "shot é.png" in said


async def test_an_answer_without_a_form_and_a_failure_are_told() -> None:
    """Recording 46: `message_end` before the end and no text in the history of a failed message."""
    assert "You said: Hi é 🙂" in shown(advance(RUNNING, await end_of("46/0"), NOW).run)
    assert history("46/4") == ""
    failed = shown(advance(RUNNING, await end_of("46/2"), NOW).run)
    assert "Broken call" in failed
    assert "[Errno 111] Connection refused" in failed


async def test_an_answer_after_a_timeout_is_shown_and_the_global_limit_named() -> None:
    """Recording 47: the history calls a message `normal` whose run the global limit ended."""
    assert "Nobody answered in time." in shown(advance(RUNNING, await end_of("47/1"), NOW).run)
    ended = advance(replace(RUNNING, status=RunStatus.PAUSED), detail("47/7"), NOW).run
    assert ended.status is RunStatus.STOPPED
    assert "global timeout" in shown(ended)


def test_a_message_that_the_history_calls_paused_has_ended_where_its_run_has() -> None:
    """Recording 48: run detail counts, not the status of the message."""
    assert schema.History.model_validate_json(exchange("48/4").body).data[-1].status == "paused"
    assert advance(replace(RUNNING, status=RunStatus.PAUSED), detail("48/5"), NOW).run.status is RunStatus.STOPPED


@pytest.mark.parametrize("number", ["15/0", "16/0", "31/2", "46/0", "46/2"])
async def test_the_first_event_names_the_message(number: str) -> None:
    """By its id the answer is rated, and suggestions are read."""
    events = await read([exchange(number).stream], SegmentReader(names_run=True))
    started = next(event for event in events if isinstance(event, RunStarted))
    assert started.message_id is not None
    assert started.conversation_id is not None
    starting = replace(RUNNING, status=RunStatus.STARTING, workflow_run_id=None)
    assert advance(starting, started, NOW).run.message_id == started.message_id
