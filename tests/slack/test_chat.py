"""What is said in a conversation besides its answers: Slack takes it, whatever people and models write."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.core.model import AppMode, FileProblem, HeldOutcome, Progress, Rating, Run, RunStatus, Settlement
from bot.errors import UnknownHere
from bot.slack import ids
from bot.slack.messages import chat
from bot.slack.messages.result import result_messages
from bot.slack.messages.root import root_message
from tests.factories import make_run
from tests.slack.reading import faults, pings, texts, wire
from tests.slack.strategies import long_text, titles

MESSAGE = make_run(
    mode=AppMode.CHATFLOW, status=RunStatus.SUCCEEDED, thread_ts="1.0", root_ts="2.0", message_id="m", query="Why?"
)


@given(long_text, st.lists(titles, min_size=1, max_size=30), st.booleans())
def test_slack_takes_every_question_about_a_message(text: str, names: list[str], takes_text: bool) -> None:
    """With up to ten forms to choose from, and nobody pinged but who wrote it."""
    run = replace(MESSAGE, app=text, query=text)
    forms = [(f"run-{place}", f"form-{place}", name) for place, name in enumerate(names)] if takes_text else []
    message = chat.ask_about_message(run, names, forms)
    assert not faults(message)
    assert pings(message) == {"U1"}
    assert pings(chat.ask_about_conversation(run)) == {"U1"}
    assert not faults(chat.ask_about_conversation(run))


@given(st.lists(long_text, min_size=1, max_size=20), long_text)
def test_slack_takes_every_suggestion_and_every_answer(suggestions: list[str], text: str) -> None:
    run = replace(MESSAGE, suggestions=tuple(suggestions), app=text, outputs={"answer": text})
    messages = (
        chat.suggestions(run),
        chat.closed_suggestions(run),
        chat.without_files(run, alone=False),
        chat.unfit_files(run, [FileProblem(each, each) for each in suggestions], alone=False),
        chat.rated(run, Rating.LIKE, taken=True),
        *chat.with_thumbs(run, result_messages(run)),
    )
    assert [found for message in messages for found in faults(message)] == []
    assert not any(map(pings, messages))
    named, *others = chat.with_question(replace(run, query=text, crowded=True), result_messages(run))
    assert not faults(named)
    assert (pings(named), set().union(*map(pings, others))) == ({"U1"}, set())


def test_a_suggestion_that_is_too_long_for_its_button_can_be_read_whole() -> None:
    """Two that begin alike can be told apart; a short one is not said twice."""
    question = "Which papers do I have to hand in for an order that came broken more than thirty days ago"
    message = chat.suggestions(replace(MESSAGE, suggestions=("Why?", f"{question}?", f"{question}, and where?")))
    said, actions = wire(message)
    assert said["elements"][0]["text"].split("\n")[1:] == [f"2. {question}?", f"3. {question}, and where?"]
    first, *cut = [button["text"]["text"] for button in actions["elements"]]
    assert first == "Why?"
    assert [(text[:9], text[-1]) for text in cut] == [("2. Which ", "…"), ("3. Which ", "…")]


@given(long_text, titles, st.sampled_from(HeldOutcome), st.booleans())
def test_slack_takes_whatever_became_of_a_message(text: str, title: str, outcome: HeldOutcome, anew: bool) -> None:
    """It names who said so, whom a message that is redrawn does not notify."""
    settlement = Settlement(outcome, "U2", title)
    run = replace(MESSAGE, app=text, query=text, settlement=settlement, conversation_id="" if anew else None)
    for message in (chat.settled(run), chat.settled_before(run)):
        assert not faults(message)
        assert pings(message) == (set() if outcome is HeldOutcome.LAPSED else {"U2"})


@given(long_text, st.sampled_from(RunStatus))
def test_any_message_has_one_line_that_slack_takes(query: str, status: RunStatus) -> None:
    """It names who asked, which a suggestion that was pressed does not."""
    message = root_message(replace(MESSAGE, status=status, query=query), Progress(waiting_for_answer=True))
    assert not faults(message)
    assert pings(message) == {"U1"}
    assert len(message.blocks) == 1


@pytest.mark.parametrize(
    ("status", "progress", "state"),
    [
        (RunStatus.REQUESTED, Progress(waiting_for_answer=True), "⏳ Waits for the answer before it, and is sent then"),
        (RunStatus.STARTING, Progress(), "⏳ Starting"),
        (RunStatus.HELD, Progress(), "⏸️ Not sent. The thread says why."),
        (RunStatus.STOPPED, Progress(), "⏹️ Stopped in Dify"),
    ],
)
def test_a_message_says_how_it_stands(status: RunStatus, progress: Progress, state: str) -> None:
    assert texts(root_message(replace(MESSAGE, status=status), progress)) == f"{state} · <@U1>: “Why?”"


def test_a_message_that_is_answered_now_can_be_stopped() -> None:
    running = replace(MESSAGE, status=RunStatus.RUNNING, workflow_run_id="w", task_id="t")
    (line,) = wire(root_message(running))
    assert (line["accessory"]["action_id"], line["accessory"]["value"]) == (ids.STOP_RUN, "run-1")


@pytest.mark.parametrize(
    "changes",
    [{"status": RunStatus.FAILED, "error": "no"}, {"outputs": {}}, {"message_id": None}],
    ids=["failed", "no answer", "a workflow"],
)
def test_only_an_answer_has_thumbs(changes: dict[str, object]) -> None:
    """Dify can be told of nothing else."""
    answered = replace(MESSAGE, outputs={"answer": "So."})
    for status in (RunStatus.SUCCEEDED, RunStatus.PARTIAL_SUCCEEDED):
        assert "feedback_buttons" in str(list(map(wire, shown(replace(answered, status=status)))))
    assert "feedback_buttons" not in str(list(map(wire, shown(replace(answered, **changes)))))  # type: ignore[arg-type]


def shown(run: Run) -> tuple[chat.Message, ...]:
    return chat.with_thumbs(run, result_messages(run))


@pytest.mark.parametrize("value", ["", "run-1", "/0", "run-1/x", "run-1/-1", "run-1/²"])
def test_other_buttons_are_no_suggestions(value: str) -> None:
    with pytest.raises(UnknownHere):
        ids.decode_suggestion(value)


@pytest.mark.parametrize("value", ["", "run-1", "/like", "run-1/love"])
def test_other_buttons_are_no_thumbs(value: str) -> None:
    with pytest.raises(UnknownHere):
        ids.decode_rating(value)


def test_values_of_buttons_are_read_back() -> None:
    assert ids.decode_suggestion(ids.encode_suggestion("run-1", 3)) == ("run-1", 3)
    assert ids.decode_rating(ids.encode_rating("run-1", Rating.DISLIKE)) == ("run-1", Rating.DISLIKE)
    assert ids.SUGGESTION.fullmatch(ids.suggestion_id(3))
    assert ids.USE_AS_ANSWER.fullmatch(ids.use_as_answer_id(3))
