"""Whoever addresses the bot outside of any conversation gets one answer, with a button that starts an app with that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from bot.playground.dify import App
from bot.playground.dify.apps import chat, file_form
from bot.playground.dify.graph import End, long_text, start_file
from bot.playground.scenarios import DONE, Scene
from bot.playground.slack import Message
from bot.playground.slack.faults import Delay, Duplicate
from bot.playground.slack.state import Author, Content, View
from bot.playground.stage import SHORTCUT_NAME, Stage

pytestmark = [pytest.mark.acceptance, pytest.mark.asyncio(loop_scope="module")]

PICTURE = ("a.png", b"\x89PNG\r\n\x1a\n and more")
OFFER = "I run Dify apps"


@pytest.fixture(scope="module")
def sample_apps() -> dict[str, App]:
    """One that takes a text and a picture, one whose form asks for files, and a Chatflow."""
    summary = App(
        name="summary",
        start=(long_text("topic", label="Topic", required=True), start_file("picture", label="Picture")),
        nodes=(End("end", "End", {"topic": ("start", "topic")}),),
        edges=("start -> end",),
    )
    return {app.name: app for app in (summary, replace(file_form(), name="papers"), chat())}


@pytest.fixture
def direct(stage: Stage) -> Scene:
    """Ann's direct messages with the bot."""
    stage.workspace.direct_messages(stage.workspace.person("ann"))
    return Scene(stage, "@ann", lambda _: None, pace=0)


async def write(scene: Scene, text: str, root: Message | None = None) -> Message:
    """Let ann write in the scene's channel, or in a thread there."""
    return await scene.share("ann", root, text=text)


def answers(scene: Scene) -> list[Message]:
    """What the bot answered to those who addressed it, in private or in direct messages."""
    everywhere = scene.workspace.channel(scene.channel).messages
    return [each for each in (*everywhere, *scene.notes("ann")) if scene.shows(each, OFFER)]


async def answer(scene: Scene, message: Message) -> Message:
    """Wait for the answer to a message of ann's, whose button names it."""
    return await scene.until(
        lambda: next((each for each in answers(scene) if message.ts in repr(each.blocks)), None),
        f"“{message.text}” is answered",
    )


async def press(scene: Scene, message: Message) -> View:
    """Let ann press the button of an answer, and return the window that it opens."""
    await scene.click("ann", message, SHORTCUT_NAME)
    return await scene.until(lambda: next(iter(scene.workspace.person("ann").views), None), "the window opens")


async def start(scene: Scene, window: View) -> Message:
    """Let ann choose the app in the window and start it; return the run's root message."""
    await scene.select("ann", window, "App", "summary")
    await scene.until(lambda: window.title == "Start summary", "the window shows what the app takes")
    root = await scene.start_by_window("ann")
    await scene.reads(root, DONE)
    return root


async def test_a_mention_in_a_channel_becomes_a_run_there(scene: Scene) -> None:
    said = await write(scene, "@Dify summarise <this> & that, please")
    told = await answer(scene, said)
    assert told.visible_to == scene.workspace.person("ann").id
    assert told.is_root
    assert scene.shows(told, "/dify help")
    root = await start(scene, await press(scene, told))
    assert root.is_root
    (started,) = scene.starts
    assert started.body["inputs"]["topic"] == "summarise <this> & that, please"
    assert started.body["user"].endswith(scene.workspace.person("ann").id)


async def test_words_in_the_direct_messages_become_a_run_there(direct: Scene) -> None:
    said = await write(direct, "summarise this")
    told = await answer(direct, said)
    assert told.visible_to is None
    assert told.is_root
    root = await start(direct, await press(direct, told))
    assert direct.starts[0].body["inputs"]["topic"] == "summarise this"
    await write(direct, "Thanks", root)
    said = await write(direct, "@Dify now this", root)
    told = await answer(direct, said)
    assert (told.visible_to, told.thread_ts) == (None, root.ts)
    assert len(answers(direct)) == 2
    direct.check_posts()
    direct.check_manners()


async def test_help_in_the_direct_messages_is_that_of_the_command(direct: Scene) -> None:
    await write(direct, "Help")

    def usage() -> Message | None:
        roots = direct.workspace.channel("@ann").roots
        return next((each for each in roots if direct.shows(each, "Apps: chat, papers, summary", "/dify help")), None)

    await direct.until(usage, "the bot tells how it is used")


async def test_files_come_along(scene: Scene) -> None:
    said = await scene.share("ann", None, PICTURE, text="Look at this, @Dify")
    window = await press(scene, await answer(scene, said))
    assert "📎 a.png" in repr(window.blocks)
    await start(scene, window)
    inputs = scene.starts[0].body["inputs"]
    assert inputs["topic"] == "Look at this,"
    assert inputs["picture"]["type"] == "image"


async def test_a_mention_in_a_thread_that_is_nobodys_is_answered_there(scene: Scene) -> None:
    root = await scene.workspace.person("ben").post(scene.channel, "Lunch?")
    await write(scene, "Where?", root)
    said = await write(scene, "@Dify what do you think?", root)
    told = await answer(scene, said)
    assert told.thread_ts == root.ts
    await start(scene, await press(scene, told))
    assert scene.starts[0].body["inputs"]["topic"] == "what do you think?"


async def test_a_mention_in_the_thread_of_a_workflow_is_answered_where_nothing_takes_it(scene: Scene) -> None:
    root = await scene.start("ann", "/dify summary topic=Tea")
    await scene.reads(root, DONE)
    await write(scene, "Not bad", root)
    said = await scene.share("ann", root, PICTURE, text="@Dify now this")
    told = await answer(scene, said)
    assert told.thread_ts == root.ts
    assert len(scene.notes("ann")) == 1
    window = await press(scene, told)
    assert "📎 a.png" in repr(window.blocks)
    await start(scene, window)
    assert scene.starts[1].body["inputs"]["topic"] == "now this"


async def test_a_mention_with_the_files_that_a_form_asks_for_is_not_answered(scene: Scene) -> None:
    root = await scene.start("ann", "/dify papers topic=Roof")
    await scene.form(root, "Hand in")
    await scene.share("ann", root, PICTURE, text="@Dify here it is")
    await scene.reply(root, "Files for Hand in documents", "a.png")
    said = await write(scene, "@Dify and how long will it take?", root)
    await answer(scene, said)
    assert len(answers(scene)) == 1


async def test_a_mention_in_the_thread_of_a_chatflow_is_its_next_message(scene: Scene) -> None:
    root = await scene.start("ann", "/dify chat query=Hello")
    await scene.result(root, "message 1")
    await write(scene, "@Dify And now?", root)
    await scene.reply(root, "You asked: And now?")
    said = await write(scene, "@Dify")
    await answer(scene, said)
    assert len(answers(scene)) == 1


async def test_the_same_message_delivered_twice_is_answered_once(scene: Scene) -> None:
    scene.workspace.faults.add("events_api", Duplicate())
    said = await write(scene, "@Dify once")
    await answer(scene, said)
    said = await write(scene, "@Dify and no more")
    await answer(scene, said)
    assert len(answers(scene)) == 2


async def test_what_nobody_says_to_the_bot_is_not_answered(scene: Scene) -> None:
    """What other apps say, and what is edited, deleted or not addressed to it."""
    workspace = scene.workspace
    place = workspace.channel(scene.channel)
    workspace.post(place, Content(f"<@{workspace.bot.user_id}> hello"), Author("U0OTHER", "B0OTHER", "A0OTHER"))
    edited = await write(scene, "Hello")
    workspace.edit(edited, Content(f"<@{workspace.bot.user_id}> hello"))
    workspace.delete(edited)
    await write(scene, "Hello, @ben")
    said = await write(scene, "@Dify hello")
    await answer(scene, said)
    assert len(answers(scene)) == 1


@pytest.mark.provokes("thread_not_found")
async def test_a_message_that_is_gone_before_the_click(new_scene: Callable[[], Scene]) -> None:
    scene = new_scene()
    said = await write(scene, "@Dify never mind")
    told = await answer(scene, said)
    scene.workspace.delete(said)
    await scene.click("ann", told, SHORTCUT_NAME)
    await scene.told("ann", "is not there any more")
    assert scene.workspace.person("ann").views == []


async def test_the_answer_and_its_button_survive_a_crash(scene: Scene) -> None:
    """Killed once the message was taken in, and again once it was answered."""
    scene.workspace.faults.add("chat.postEphemeral", Delay(5))
    before = len(scene.workspace.deliveries)
    said = await write(scene, "@Dify after all")
    await scene.until(lambda: [each for each in scene.workspace.deliveries[before:] if each.acked], "it is taken in")
    await scene.kill("before it answers")
    await scene.restart()
    told = await answer(scene, said)
    await scene.kill("before the button is pressed")
    await scene.restart()
    await start(scene, await press(scene, told))
    assert scene.starts[0].body["inputs"]["topic"] == "after all"
