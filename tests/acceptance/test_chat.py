"""A thread is a conversation with a Chatflow: memory, forms in between, suggestions, thumbs, and what goes wrong."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from bot.playground.dify.apps import chat
from bot.playground.dify.forms import FormStatus
from bot.playground.scenarios import OPEN_WINDOW, Scene
from bot.playground.slack import Message
from bot.playground.slack.faults import Duplicate
from bot.playground.stage import CHANNEL, Stage
from tests.acceptance.conftest import SPEED, open_stage

pytestmark = [pytest.mark.acceptance, pytest.mark.asyncio(loop_scope="module")]

SLOWLY = 4.0
"""Seconds that Dify takes to begin an answer, in which more is written."""

REFUND = "money back, please"


async def begin(scene: Scene, query: str = "Where is my order?") -> Message:
    """Start a conversation and return its root message."""
    return await scene.start("ann", f"/dify chat query='{query}'")


async def test_three_messages_are_one_conversation(scene: Scene) -> None:
    """Each reply is the next message, of whomever, and Dify remembers what was said before it."""
    root = await begin(scene)
    await scene.result(root, "message 1 of our conversation")
    await scene.say("ben", root, "And <b> & co?")
    await scene.reply(root, "You asked: And <b> & co?", "message 2", "Before it you asked: Where is my order?")
    await scene.say("ann", root, "Thanks")
    await scene.reply(root, "message 3", "Before it you asked: And <b> & co?")
    assert len({each.body["user"] for each in scene.messages}) == 1
    assert [each.body["query"] for each in scene.messages] == ["Where is my order?", "And <b> & co?", "Thanks"]


async def test_a_form_pauses_the_conversation_and_the_answer_is_whole(scene: Scene) -> None:
    """Dify's stream and stored answer lose what follows the form (recording 16); the run's outputs have it."""
    root = await begin(scene)
    await scene.result(root, "message 1")
    await scene.say("ann", root, REFUND)
    form = await scene.form(root, "Approve")
    assert scene.shows(form, REFUND, "Before it: Where is my order?")
    await scene.reply(root, "I am asking now")
    await scene.click("ben", form, "Approve")
    answer = await scene.reply(root, "Your money is on its way.", "👍")
    assert not scene.shows(answer, "I am asking now")
    await scene.say("ann", root, "Thanks")
    await scene.reply(root, f"Before it you asked: {REFUND}")
    scene.check_answers(1)


async def test_a_message_while_a_form_is_open_is_sent_when_its_author_says_so(scene: Scene) -> None:
    """It is not sent blindly; the thread is asked, the first click counts, and the form stays open."""
    root = await begin(scene, REFUND)
    await scene.form(root, "Approve")
    await scene.say("ben", root, "What about my order?")
    asked = await scene.reply(root, "@ben", "an answer to Approve the refund", "What about my order?")
    assert len(scene.messages) == 1
    await scene.until(lambda: asked.buttons, "it can be answered")
    await scene.click("ann", asked, "Send as a new message")
    await scene.reply(root, "You asked: What about my order?")
    await scene.reads(asked, "@ann had this sent as a new message", "What about my order?")
    assert asked.buttons == []
    assert len(scene.messages) == 2
    assert scene.asked.status is FormStatus.WAITING


async def test_a_message_that_is_the_answer_is_filled_into_the_window_of_the_form(scene: Scene) -> None:
    """Nothing is decided before the window is sent, and no new message is sent."""
    root = await begin(scene, REFUND)
    form = await scene.form(root, "Approve")
    await scene.say("ann", root, "Tell them <tomorrow>")
    asked = await scene.reply(root, "is it the answer")
    await scene.click("ann", asked, "Use it as the answer")
    await scene.reads(asked, "@ann took this for the answer to Approve the refund", "Tell them <tomorrow>")
    assert scene.submits == []
    ann = scene.workspace.person("ann")
    # Closed by accident, it holds the same when it is opened again.
    await ann.close_view()
    await scene.click("ann", form, "Open in window")
    await scene.until(lambda: ann.views, "the window is open again")
    ann.select(ann.view, "Decision", "Approve")
    assert (await ann.submit_view()).acked
    await scene.reads(form, "✅ Approve", "@ann")
    await scene.reply(root, "Tell them <tomorrow>", "👍")
    assert len(scene.messages) == 1
    scene.check_answers(1)


async def test_a_message_that_is_the_answer_stands_below_what_somebody_entered_before(scene: Scene) -> None:
    """Neither their draft is lost, nor one of two messages."""
    root = await begin(scene, REFUND)
    form = await scene.form(root, "Approve")
    await scene.click("ann", form, OPEN_WINDOW)
    await scene.type_into_window("ann", "What to tell the customer", "Dear customer,")
    await scene.close_window("ann")
    for text in ("it comes tomorrow.", "Yours, Ann"):
        await scene.say("ben", root, text)
        asked = await scene.reply(root, "is it the answer", text)
        await scene.click("ann", asked, "Use it as the answer")
        await scene.reads(asked, "@ann took this for the answer")
        await scene.close_window("ann")
    await scene.click("ann", form, OPEN_WINDOW)
    await scene.select("ann", scene.window("ann"), "Decision", "Approve")
    await scene.submit("ann")
    await scene.reads(form, "✅ Approve", "@ann")
    (submit,) = scene.submits
    assert submit.body["inputs"] == {"message": "Dear customer,\n\nit comes tomorrow.\n\nYours, Ann"}


async def test_a_message_can_be_forgotten(scene: Scene) -> None:
    """Then nothing is sent, and the conversation goes on without it."""
    root = await begin(scene, REFUND)
    form = await scene.form(root, "Approve")
    await scene.say("ann", root, "Never mind")
    asked = await scene.reply(root, "is it the answer")
    await scene.click("ann", asked, "Forget it")
    await scene.reads(asked, "@ann had this dropped", "Never mind")
    await scene.click("ben", form, "Decline")
    await scene.reply(root, "cannot be refunded")
    await scene.say("ann", root, "And now?")
    await scene.reply(root, f"Before it you asked: {REFUND}")
    assert [each.body["query"] for each in scene.messages] == [REFUND, "And now?"]


async def test_messages_wait_for_the_answer_before_them(scene: Scene) -> None:
    """Each is sent once the one before it is answered, in the order in which they were written."""
    scene.dify.delay_next("chat", SLOWLY * SPEED)
    root = await begin(scene)
    await scene.say("ben", root, "Second")
    await scene.say("cleo", root, "Third")
    await scene.reply(root, "Waits for the answer before it", "Second")
    await scene.reply(root, "Waits for the answer before it", "Third")
    await scene.reply(root, "message 3", "Before it you asked: Second")
    await scene.reply(root, "message 2", "Before it you asked: Where is my order?")
    assert [each.body["query"] for each in scene.messages] == ["Where is my order?", "Second", "Third"]
    # Below the other messages nobody could tell otherwise which answer is whose.
    await scene.reply(root, "↩️ @ann: “Where is my order?”", "message 1")
    await scene.reply(root, "↩️ @ben: “Second”", "message 2")
    await scene.reply(root, "↩️ @cleo: “Third”", "message 3")
    await scene.say("ann", root, "Thanks")
    alone = await scene.reply(root, "You asked: Thanks")
    assert not scene.shows(alone, "↩️")


async def test_a_suggestion_is_the_next_message_of_whoever_presses_it(scene: Scene) -> None:
    """Its buttons go away then, and it is sent once."""
    root = await begin(scene, "Hello")
    offered = await scene.form(root, "How long does a refund take?")
    await scene.click("ben", offered, "Can I change the address?")
    await scene.reply(root, "You asked: Can I change the address?", "message 2")
    await scene.until(lambda: not offered.buttons, "the buttons go away")
    await scene.form(root, "How long does a refund take?")
    await scene.say("ann", root, "Something else")
    await scene.reply(root, "You asked: Something else", "message 3")
    assert len(scene.messages) == 3


async def test_whoever_presses_a_suggestion_second_is_told_what_was_asked(scene: Scene) -> None:
    """Two people press at the same moment: one message is sent, and nobody waits for another."""
    root = await begin(scene, "Hello")
    offered = await scene.form(root, "How long does a refund take?")
    choices = {"ann": "Where is my order?", "ben": "Can I change the address?"}
    await asyncio.gather(*(scene.click(name, offered, choice) for name, choice in choices.items()))
    second = await scene.until(
        lambda: next(
            (name for name in choices if any("was not sent" in each.shown for each in scene.notes(name))), None
        ),
        "the one who came second is told so",
    )
    (first,) = choices.keys() - {second}
    await scene.told(second, f"@{first} asked “{choices[first]}” just before")
    await scene.reply(root, f"You asked: {choices[first]}")
    assert len(scene.messages) == 2


async def test_a_thumb_reaches_dify_and_can_be_changed(scene: Scene) -> None:
    """Whoever presses it is told so privately; the last one counts."""
    root = await begin(scene)
    shown = await scene.reply(root, "message 1")
    await scene.until(lambda: "👍" in shown.buttons, "there are thumbs below the answer")
    await scene.click("ben", shown, "👍")
    await scene.told("ben", "👍", "your rating")
    await scene.click("ben", shown, "👎")
    await scene.told("ben", "👎", "your rating")
    assert [each.body["rating"] for each in scene.posted("/feedbacks")] == ["like", "dislike"]


async def test_an_event_that_comes_twice_is_one_message(scene: Scene) -> None:
    """Slack may deliver each event more than once."""
    root = await begin(scene)
    await scene.result(root, "message 1")
    scene.workspace.faults.add("events_api", Duplicate())
    await scene.say("ann", root, "Once, please")
    await scene.reply(root, "You asked: Once, please")
    await scene.say("ann", root, "Next")
    await scene.reply(root, "message 3", "Next")
    assert [each.body["query"] for each in scene.messages] == ["Where is my order?", "Once, please", "Next"]


async def test_a_conversation_that_dify_forgot_begins_anew_only_if_somebody_says_so(scene: Scene) -> None:
    """Dify would answer the message as the first of a new one without a word (recording 15)."""
    root = await begin(scene)
    await scene.result(root, "message 1")
    scene.dify.conversations.clear()
    await scene.say("ann", root, "Still there?")
    asked = await scene.reply(root, "does not know this conversation", "Still there?")
    assert len(scene.messages) == 1
    await scene.click("ben", asked, "Begin a new conversation")
    await scene.reply(root, "You asked: Still there?", "message 1 of our conversation")
    await scene.say("ann", root, "Good")
    await scene.reply(root, "message 2", "Before it you asked: Still there?")


async def test_other_threads_are_left_alone(scene: Scene) -> None:
    """What people say elsewhere is none of the bot's business."""
    root = await begin(scene)
    await scene.result(root, "message 1")
    other = await scene.workspace.person("ann").post(scene.channel, "Lunch?")
    await scene.say("ben", other, "Yes")
    await scene.say("ann", root, "Last")
    await scene.reply(root, "You asked: Last", "message 2")
    assert scene.workspace.find_all(channel=scene.channel, thread=other.ts)[-1].shown == "Yes"
    assert len(scene.messages) == 2


async def test_a_message_that_was_acked_survives_a_crash(stage: Stage, scene: Scene) -> None:
    """The bot dies right after the ack: after its restart the message is sent, once."""
    root = await begin(scene)
    await scene.result(root, "message 1")
    before = len(scene.workspace.deliveries)
    await scene.say("ann", root, "After the crash")
    await scene.until(
        lambda: all(each.acked for each in scene.workspace.deliveries[before:]) and scene.workspace.deliveries[before:],
        "the event is acked",
    )
    await stage.bot.kill()
    await stage.bot.start()
    await scene.reply(root, "You asked: After the crash", "message 2")
    assert len(scene.messages) == 2


async def test_only_mentions_where_that_is_set(tmp_path: Path) -> None:
    """Then what does not mention the bot is for people; the mention itself is not part of the message."""
    settings = {"CHAT_REPLIES": "mentions"}
    async with open_stage("socket", tmp_path, {"chat": chat()}, speed=SPEED, settings=settings) as stage:
        scene = Scene(stage, CHANNEL, lambda _: None, pace=0)
        root = await begin(scene)
        await scene.result(root, "message 1")
        await scene.say("ben", root, "What do you think, ann?")
        await scene.say("ann", root, "@Dify And <me>?")
        await scene.reply(root, "You asked: And <me>?", "message 2")
        assert len(scene.messages) == 2
