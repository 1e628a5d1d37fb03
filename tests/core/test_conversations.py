"""What a message in a conversation with a Chatflow goes through besides the life of any run."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bot.core import effects as do
from bot.core import events as saw
from bot.core.lifecycle import Transition, advance
from bot.core.model import AppMode, Rating, RunStatus
from tests.factories import NOW, make_run

MESSAGE = make_run(mode=AppMode.CHATFLOW, thread_ts="1.0", query="And now?")
HELD = replace(MESSAGE, status=RunStatus.HELD)
STARTING = replace(MESSAGE, status=RunStatus.STARTING, root_ts="2.0")
RUNNING = replace(STARTING, status=RunStatus.RUNNING, workflow_run_id="w", conversation_id="c", message_id="m")
DONE = advance(RUNNING, saw.RunFinished(RunStatus.SUCCEEDED, {"answer": "So."}), NOW).run


def test_a_reply_gets_a_message_of_its_own_in_the_thread() -> None:
    posted = advance(MESSAGE, saw.RootPosted("2.0"), NOW)
    assert (posted.run.thread_ts, posted.run.root_ts) == ("1.0", "2.0")
    assert posted.run.is_reply
    assert posted.effects == (do.StartRun(),)


def test_the_first_message_is_no_reply_and_neither_is_a_workflow() -> None:
    assert not replace(MESSAGE, thread_ts=None).is_reply
    assert not replace(MESSAGE, root_ts="1.0").is_reply
    assert not replace(MESSAGE, mode=AppMode.WORKFLOW).is_reply


@pytest.mark.parametrize("waits", [False, True])
def test_a_held_message_is_posted_and_sent_once_it_is_released(waits: bool) -> None:
    released = advance(HELD, saw.MessageReleased(waits), NOW)
    assert released.run.status is RunStatus.REQUESTED
    assert released.effects == (do.PostRoot(waits),)


def test_a_held_message_that_is_forgotten_is_never_sent() -> None:
    forgotten = advance(HELD, saw.MessageForgotten("U2"), NOW)
    assert (forgotten.run.status, forgotten.run.stop_requested_by) == (RunStatus.STOPPED, "U2")
    assert forgotten.effects == ()
    assert advance(forgotten.run, saw.MessageReleased(), NOW) == Transition(forgotten.run)


@pytest.mark.parametrize("event", [saw.MessageReleased(), saw.MessageForgotten("U2"), saw.ConversationGone()])
@pytest.mark.parametrize("run", [MESSAGE, RUNNING, DONE])
def test_only_a_message_that_is_held_can_be_settled(run: object, event: saw.LifecycleEvent) -> None:
    assert advance(run, event, NOW) == Transition(run)  # type: ignore[arg-type]


def test_a_message_to_a_conversation_that_is_gone_is_held_and_asked_about() -> None:
    gone = advance(STARTING, saw.ConversationGone(), NOW)
    assert (gone.run.status, gone.run.conversation_id) == (RunStatus.HELD, "")
    assert gone.effects == (do.RefreshRoot(), do.AskAboutConversation())
    anew = advance(gone.run, saw.MessageReleased(), NOW)
    assert anew.run.status is RunStatus.STARTING
    assert anew.effects == (do.RefreshRoot(), do.StartRun())
    forgotten = advance(gone.run, saw.MessageForgotten("U2"), NOW)
    assert forgotten.effects == (do.RefreshRoot(),)


def test_suggestions_are_read_after_an_answer_alone() -> None:
    end = advance(RUNNING, saw.RunFinished(RunStatus.SUCCEEDED, {"answer": "So."}), NOW)
    assert end.effects[-1] == do.ReadSuggestions()
    failed = advance(RUNNING, saw.RunFinished(RunStatus.FAILED, error="no"), NOW)
    workflow = advance(replace(RUNNING, message_id=None), saw.RunFinished(RunStatus.SUCCEEDED, {"a": "b"}), NOW)
    assert do.ReadSuggestions() not in (*failed.effects, *workflow.effects)


def test_suggestions_are_offered_once_and_taken_away_when_something_is_asked() -> None:
    offered = advance(DONE, saw.SuggestionsRead(("Why?", "When?")), NOW)
    assert offered.effects == (do.PostSuggestions(),)
    assert advance(offered.run, saw.SuggestionsRead(("Else?",)), NOW) == Transition(offered.run)
    posted = advance(offered.run, saw.SuggestionsPosted("3.0"), NOW).run
    assert (posted.suggestions, posted.suggestions_ts) == (("Why?", "When?"), "3.0")
    assert advance(posted, saw.AskedNext(), NOW).effects == (do.CloseSuggestions(),)


def test_no_suggestions_are_not_offered() -> None:
    assert advance(DONE, saw.SuggestionsRead(()), NOW) == Transition(DONE)
    assert advance(DONE, saw.AskedNext(), NOW) == Transition(DONE)


def test_a_thumb_is_given_to_dify_and_its_fate_told() -> None:
    assert advance(DONE, saw.AnswerRated("U2", Rating.LIKE), NOW).effects == (do.RateAnswer("U2", Rating.LIKE),)
    for taken in (True, False):
        told = advance(DONE, saw.RatingTaken("U2", Rating.DISLIKE, taken), NOW)
        assert told.effects == (do.TellRated("U2", Rating.DISLIKE, taken),)
    assert advance(replace(DONE, message_id=None), saw.AnswerRated("U2", Rating.LIKE), NOW).effects == ()
