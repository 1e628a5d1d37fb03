"""The root message: what a glance at the channel tells."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.core.model import FormStatus, Progress, Run, RunStatus
from bot.slack import ids
from bot.slack.messages.root import root_message
from tests.factories import NOW, make_form, make_run, make_submission
from tests.slack.reading import faults, pings, texts, wire
from tests.slack.strategies import long_text

STARTED = {"workflow_run_id": "w", "task_id": "t", "started_at": NOW, "thread_ts": "1.0"}
ENDED = {**STARTED, "ended_at": NOW + timedelta(seconds=192)}
OPEN, SENDING = (
    make_form(expires_at=NOW),
    make_form(form_id="f2", status=FormStatus.SUBMITTING, submission=make_submission()),
)
CLAIMED = replace(SENDING, status=FormStatus.CLAIMED)


def state_of(run: Run, progress: Progress | None = None) -> str:
    """Return the message's line about the state."""
    blocks = [block for block in wire(root_message(run, progress)) if block["type"] == "section"]
    return str(blocks[-1]["text"]["text"])


@pytest.mark.parametrize(
    ("changes", "progress", "state"),
    [
        ({"status": RunStatus.REQUESTED}, None, "⏳ Starting"),
        ({"status": RunStatus.STARTING}, None, "⏳ Starting"),
        ({"status": RunStatus.STARTING}, Progress(waiting_for_dify=True), "⏳ Waiting for a free connection to Dify"),
        ({"status": RunStatus.SOUGHT}, None, "⏳ Dify has not confirmed the start yet. I am looking for the run"),
        ({"status": RunStatus.RUNNING, **STARTED}, None, "⚙️ Running"),
        ({"status": RunStatus.RUNNING}, Progress("Write *it* <!here>"), "⚙️ Running: *Write ∗it∗ &lt;!here&gt;*"),
        ({"status": RunStatus.RUNNING}, Progress("Draft", 1), "⚙️ Running: *Draft* · 1 step done"),
        ({"status": RunStatus.RUNNING}, Progress("Draft", 3), "⚙️ Running: *Draft* · 3 steps done"),
        ({"status": RunStatus.RUNNING, "told_stuck": True, "stop_requested_by": "U2"}, None, "⚠️ The run does not move"),
        ({"status": RunStatus.RUNNING, "stop_requested_by": "U2"}, None, "⏹️ Stopping, as <@U2> asked"),
        ({"status": RunStatus.PAUSED, "forms": (OPEN,)}, None, "⏸️ Waiting for <@U1>: *Review* · until <!date^"),
        ({"status": RunStatus.PAUSED, "forms": (SENDING,)}, None, "⏳ *Review*: answered by <@U2>, on its way to Dify"),
        ({"status": RunStatus.PAUSED}, None, "⏸️ Paused in Dify"),
        ({"status": RunStatus.RESUMING}, None, "⏳ Answered; waiting for Dify to go on"),
        (
            {"status": RunStatus.PAUSED, "forms": (SENDING,)},
            Progress(waiting_for_dify=True),
            "⏳ *Review*: answered by <@U2>. Waiting for a free connection to Dify",
        ),
        (
            {"status": RunStatus.PAUSED, "forms": (CLAIMED,)},
            Progress(waiting_for_dify=True),
            "⏳ *Review*: answered by <@U2>, on its way to Dify",
        ),
        ({"status": RunStatus.RESUMING, "told_stuck": True}, None, "⚠️ Dify took the answer, but the run has not moved"),
        (
            {"status": RunStatus.RUNNING, "told_stuck": True},
            Progress("Draft", 3),
            "⚠️ The run does not move",
        ),
        ({"status": RunStatus.SUCCEEDED, **ENDED}, None, "✅ Done in 3 min 12 s"),
        ({"status": RunStatus.PARTIAL_SUCCEEDED, **ENDED}, None, "✅ Done, but some steps failed, in 3 min 12 s"),
        (
            {"status": RunStatus.FAILED, **ENDED, "failed_step": "LLM", "error": "no <quota>"},
            None,
            "❌ Failed at *LLM* after 3 min 12 s: no &lt;quota&gt;",
        ),
        ({"status": RunStatus.FAILED, "error": "topic is required"}, None, "❌ Failed: topic is required"),
        (
            {"status": RunStatus.STOPPED, **ENDED, "stop_requested_by": "U2"},
            None,
            "⏹️ Stopped by <@U2> after 3 min 12 s",
        ),
        ({"status": RunStatus.STOPPED, **ENDED}, None, "⏹️ Stopped in Dify after 3 min 12 s"),
        ({"status": RunStatus.LOST}, None, "❔ Not confirmed"),
        ({"status": RunStatus.LOST, "workflow_run_id": "w", "error": "No news"}, None, "❔ Lost sight of this run"),
        (
            {"status": RunStatus.LOST, "workflow_run_id": "w", "error": "Workflow run not found."},
            None,
            "❔ Dify no longer knows this run",
        ),
        (
            {"status": RunStatus.STOPPED, **ENDED, "error": "Human input global timeout at node review"},
            None,
            "⌛ Ended by Dify after 3 min 12 s: a form waited longer than any form may",
        ),
        (
            {"status": RunStatus.RESUMING, "forms": (OPEN, replace(OPEN, status=FormStatus.TIMED_OUT))},
            None,
            "⌛ A form was not answered in time; waiting for Dify to go on",
        ),
        (
            {"status": RunStatus.RESUMING, "told_stuck": True, "forms": (replace(OPEN, status=FormStatus.TIMED_OUT),)},
            None,
            "⚠️ A form was not answered in time, and the run has not moved since.",
        ),
        ({"status": RunStatus.RUNNING, "told_refused": True}, Progress("Draft"), "🔑 Dify refuses the key of this app"),
        ({"status": RunStatus.SUCCEEDED, "told_refused": True, **ENDED}, None, "✅ Done in"),
        (
            {"status": RunStatus.PAUSED, "forms": (replace(SENDING, delayed=True),)},
            Progress(waiting_for_dify=True),
            "⏳ *Review*: answered by <@U2>. Dify cannot take it now; it will be sent when Dify answers.",
        ),
        (
            {"status": RunStatus.PAUSED, "forms": (replace(SENDING, status=FormStatus.SETTLING, delayed=True),)},
            None,
            "⏳ *Review*: answered by <@U2> and sent, but Dify's confirmation was lost; it is checked",
        ),
    ],
)
def test_every_state_has_its_line(changes: dict[str, Any], progress: Progress | None, state: str) -> None:
    """Also as the summary for notifications."""
    run = make_run(**changes)
    assert state_of(run, progress).startswith(state)
    assert root_message(run, progress).text.startswith(f"review: {state}")


def test_nobody_is_waited_for_who_cannot_answer() -> None:
    """A form that is sent by e-mail alone, or that has no buttons, is not for the starter to answer."""
    for form in (make_form(answerable=False), make_form(user_actions=())):
        text = texts(root_message(make_run(status=RunStatus.PAUSED, forms=(form,))))
        assert "which cannot be answered in Slack" in text
        assert "Waiting for <@" not in text


@pytest.mark.parametrize("status", RunStatus)
def test_stop_is_offered_only_while_it_can_act(status: RunStatus) -> None:
    """A stop sent to a paused run would cut off its resumption (recordings 12, 27)."""
    run = make_run(status=status, **STARTED)
    buttons = [block for block in wire(root_message(run)) if block["type"] == "actions"]
    assert bool(buttons) == (status is RunStatus.RUNNING)
    assert not any(
        "actions" in str(wire(root_message(replace(run, **missing))))
        for missing in ({"task_id": None}, {"stop_requested_by": "U2"}, {"told_stuck": True})
    )


def test_stop_asks_before_it_acts() -> None:
    """It cannot be undone."""
    (button,) = wire(root_message(make_run(status=RunStatus.RUNNING, **STARTED)))[-1]["elements"]
    assert (button["action_id"], button["value"], button["style"]) == (ids.STOP_RUN, "run-1", "danger")
    assert button["confirm"]["title"]["text"] == "Stop this run?"


def test_inputs_are_shortened() -> None:
    """Ten of them, and what a Chatflow was asked first."""
    inputs = {"topic": "tea " * 100, "count": 3, "flag": True, **{f"more_{number}": "x" for number in range(10)}}
    message = texts(root_message(make_run(query="Why?", run_inputs=inputs)))
    assert "*query:* Why?\n*topic:* tea tea" in message
    assert "*count:* 3\n*flag:* true" in message
    assert "… and 4 more" in message
    assert message.count("tea") < 60


@given(st.dictionaries(long_text, long_text, max_size=12), long_text, long_text, st.sampled_from(RunStatus))
def test_any_run_has_a_root_message_slack_takes(
    inputs: dict[str, str], app: str, error: str, status: RunStatus
) -> None:
    """And pings nobody but the starter."""
    forms = tuple(make_form(form_id=f"f{number}", node_title=error) for number in range(20))
    run = make_run(app=app, run_inputs=inputs, error=error, failed_step=app, forms=forms, **{**ENDED, "status": status})
    message = root_message(run, Progress(step=error))
    assert not faults(message)
    assert pings(message) <= {"U1"}
