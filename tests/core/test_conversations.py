"""What a message in a conversation with a Chatflow goes through besides the life of any run."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from bot.core import effects as do
from bot.core import events as saw
from bot.core.effects import Transition
from bot.core.lifecycle import advance
from bot.core.model import AppMode, HeldOutcome, Rating, RunStatus, SegmentText, Settlement, repeated
from tests.factories import NOW, make_run

MESSAGE = make_run(mode=AppMode.CHATFLOW, thread_ts="1.0", query="And now?")
LATER = NOW + timedelta(minutes=5)
RELEASED = saw.MessageReleased("U2", LATER)
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
    released = advance(HELD, saw.MessageReleased("U2", LATER, waits), NOW)
    assert (released.run.status, released.run.said_at) == (RunStatus.REQUESTED, LATER)
    assert released.run.settlement == Settlement(HeldOutcome.SENT, "U2")
    assert released.effects == (do.RefreshQuestion(), do.PostRoot(waits))


@pytest.mark.parametrize("waits", [False, True])
def test_a_message_that_waits_is_named_by_its_answer(waits: bool) -> None:
    assert advance(HELD, saw.MessageReleased("U2", LATER, waits), NOW).run.crowded is waits


def test_so_is_one_after_which_others_were_written_before_its_answer() -> None:
    assert advance(RUNNING, saw.AskedMeanwhile(), NOW) == Transition(replace(RUNNING, crowded=True))
    assert advance(DONE, saw.AskedMeanwhile(), NOW) == Transition(DONE)


@pytest.mark.parametrize(
    ("event", "settlement"),
    [
        (saw.MessageForgotten("U2"), Settlement(HeldOutcome.DROPPED, "U2")),
        (saw.MessageUsed("U2", "Review"), Settlement(HeldOutcome.ANSWER, "U2", "Review")),
        (saw.MessageLapsed(), Settlement(HeldOutcome.LAPSED)),
    ],
)
def test_a_held_message_that_is_settled_otherwise_is_never_sent(
    event: saw.LifecycleEvent, settlement: Settlement
) -> None:
    settled = advance(HELD, event, NOW)
    assert (settled.run.status, settled.run.settlement) == (RunStatus.STOPPED, settlement)
    assert settled.effects == (do.RefreshQuestion(),)
    assert advance(settled.run, RELEASED, NOW) == Transition(settled.run)


def test_the_question_about_a_held_message_is_known_by_its_message() -> None:
    assert advance(HELD, saw.QuestionPosted("2.0"), NOW) == Transition(replace(HELD, question_ts="2.0"))


@pytest.mark.parametrize(
    "event",
    [RELEASED, saw.MessageForgotten("U2"), saw.MessageUsed("U2", ""), saw.MessageLapsed(), saw.ConversationGone()],
)
@pytest.mark.parametrize("run", [MESSAGE, RUNNING, DONE])
def test_only_a_message_that_is_held_can_be_settled(run: object, event: saw.LifecycleEvent) -> None:
    assert advance(run, event, NOW) == Transition(run)  # type: ignore[arg-type]


def test_a_message_to_a_conversation_that_is_gone_is_held_and_asked_about() -> None:
    gone = advance(STARTING, saw.ConversationGone(), NOW)
    assert (gone.run.status, gone.run.conversation_id) == (RunStatus.HELD, "")
    assert gone.effects == (do.RefreshRoot(), do.AskAboutConversation())
    anew = advance(gone.run, RELEASED, NOW)
    assert anew.run.status is RunStatus.STARTING
    assert anew.effects == (do.RefreshQuestion(), do.RefreshRoot(), do.StartRun())
    forgotten = advance(gone.run, saw.MessageForgotten("U2"), NOW)
    assert forgotten.effects == (do.RefreshQuestion(), do.RefreshRoot())


def test_a_message_that_is_held_once_more_is_asked_about_anew() -> None:
    """It was sent while a form was open, and then Dify does not know the conversation."""
    asked = replace(STARTING, question_ts="3.0", settlement=Settlement(HeldOutcome.SENT, "U2"))
    gone = advance(asked, saw.ConversationGone(), NOW).run
    assert (gone.question_ts, gone.settlement) == (None, None)


def test_suggestions_are_read_after_an_answer_alone() -> None:
    """Also where a step failed on the way to it."""
    for status in (RunStatus.SUCCEEDED, RunStatus.PARTIAL_SUCCEEDED):
        end = advance(RUNNING, saw.RunFinished(status, {"answer": "So."}), NOW)
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


def test_what_was_written_before_a_pause_is_kept_to_be_known_again() -> None:
    text = SegmentText.of(0, "Let me check.")
    paused = advance(replace(RUNNING, answer_ts="3.0"), saw.RunPaused(frozenset(), text=text), NOW)
    assert paused.run.texts == (text,)
    assert do.EndAnswer(0, "3.0") in paused.effects
    assert paused.run.texts_above == ()
    shown = advance(paused.run, saw.TextShown(0), NOW).run
    assert shown.texts_above == (replace(text, shown=True),)
    assert advance(shown, saw.RunPaused(frozenset(), text=text), NOW).run.texts == shown.texts
    assert advance(shown, saw.TextShown(1), NOW) == Transition(shown)


def test_only_what_stands_there_from_the_beginning_on_stands_above() -> None:
    first, second = (SegmentText.of(segment, "Some") for segment in range(2))
    assert replace(RUNNING, texts=(first, replace(second, shown=True))).texts_above == ()
    blank = SegmentText.of(0, " \n")
    assert replace(RUNNING, texts=(blank, replace(second, shown=True))).texts_above == (
        blank,
        replace(second, shown=True),
    )


LONG = "And so on. " * 50


@pytest.mark.parametrize(
    ("text", "texts", "found"),
    [
        ("", (), 0),
        ("Any", (), 0),
        ("", ("Some",), None),
        ("So", ("Some",), None),
        ("Some", ("Some",), 4),
        ("Some more", ("Some",), 4),
        ("Sons", ("Some",), 0),
        ("Something", ("Some", "thing"), 9),
        ("Something", ("Some", "times"), 4),
        ("Somet", ("Some", "times"), None),
        (LONG[:-1], (LONG,), None),
        (LONG[:-1] + "!", (LONG,), 0),
        (LONG + "!", (LONG,), len(LONG)),
        ("\ud800!", ("\ud800",), 1),
    ],
)
def test_a_text_is_known_again_at_the_beginning_of_another(
    text: str, texts: tuple[str, ...], found: int | None
) -> None:
    assert repeated(text, [SegmentText.of(segment, each) for segment, each in enumerate(texts)]) == found
