"""Texts of any length arrive whole: streamed, as a result, above a form."""

from __future__ import annotations

import re

import pytest

from bot.playground.dify import App
from bot.playground.dify.apps import long_form, long_report
from bot.playground.dify.graph import Answer, HumanInput, Llm, action
from bot.playground.scenarios import DONE, Scene
from bot.playground.slack import Message
from bot.playground.slack.faults import LostResponse
from bot.playground.stage import Stage
from bot.slack.messages.message import MESSAGES
from tests.acceptance.conftest import SPEED, apps

pytestmark = [pytest.mark.acceptance, pytest.mark.asyncio(loop_scope="module")]

SECTION = re.compile(r"Section (\d+)\n")
BELOW, IN_FILE = "The text goes on below", "The text goes on in the file below"


@pytest.fixture(scope="module")
def sample_apps() -> dict[str, App]:
    """The sample apps, and some whose texts are longer than what messages hold."""
    return apps() | {
        "long_report": long_report(seconds=2 * SPEED),
        "slow_report": long_report(seconds=6 * SPEED),
        "longer_report": long_report(250_000, seconds=2 * SPEED),
        "long_form": long_form(),
        "told_then_asked": told_then_asked(),
    }


def told_then_asked() -> App:
    """A chatflow that answers at length, asks, and says one thing more."""
    (write,) = (node for node in long_report(60_000).nodes if isinstance(node, Llm))
    return App(
        name="told_then_asked",
        mode="advanced-chat",
        nodes=(
            Llm("write", "Write", write.text, seconds=2 * SPEED, words=40),
            Answer("told", "Answer", "{{#write.text#}}"),
            HumanInput("ask", "Agree", content="Do you agree?", actions=(action("yes", "Yes", "primary"),)),
            Answer("thanked", "Thank", "Thank you."),
        ),
        edges=("start -> write -> told -> ask", "ask.yes -> thanked"),
    )


def replies(scene: Scene, root: Message) -> list[Message]:
    """Return the thread below a root message."""
    return scene.workspace.channel(scene.channel).replies(root.ts)


def is_over(scene: Scene, root: Message) -> bool:
    """Tell whether nothing in a thread looks as if more of it were to come."""
    shown = replies(scene, root)
    is_open = any(message.in_progress or "✍️" in message.shown for message in shown)
    return not is_open and BELOW not in shown[-1].shown


def sections(messages: list[Message]) -> list[int]:
    """Return the numbers of the sections in the order in which a reader finds them."""
    return [int(number) for message in messages for number in SECTION.findall(f"{message.shown}\n")]


async def test_a_streamed_text_of_100_000_characters_stands_there_once_and_whole(scene: Scene) -> None:
    """It is read from its beginning while it is written; the same text as output adds nothing."""
    root = await scene.start("ann", "/dify slow_report topic=tea")
    first = await scene.until(lambda: next(iter(replies(scene, root)), None), "the text appears")
    await scene.reads(first, "The long report", BELOW)
    scene.expect(not scene.shows(root, DONE), "the run is still writing when the first message is full")
    await scene.reads(root, DONE)
    await scene.until(lambda: is_over(scene, root), "the text is over")
    shown = replies(scene, root)
    found = sections(shown)
    assert found == [*range(1, max(found) + 1)]
    assert max(found) > 200
    assert [BELOW in message.shown for message in shown] == [True] * (len(shown) - 1) + [False]
    assert 10 < len(shown) <= MESSAGES


async def test_a_longer_text_ends_in_a_file_that_holds_the_whole(stage: Stage, scene: Scene) -> None:
    """Its messages show the beginning."""
    root = await scene.start("ann", "/dify longer_report topic=tea")
    await scene.reads(root, DONE)
    shared = await scene.until(
        lambda: next((message for message in replies(scene, root) if message.content.files), None), "the file is there"
    )
    *messages, last = replies(scene, root)
    assert last is shared
    assert len(messages) == MESSAGES
    assert IN_FILE in messages[-1].shown
    found = sections(messages)
    assert found == [*range(1, max(found) + 1)]
    content = stage.workspace.files.by_id[shared.content.files[0]["id"]].content
    run = list(scene.dify.runs.values())[-1]
    assert content == str(run.outputs["report"]).encode()
    assert len(content) >= 250_000


async def test_a_file_whose_sharing_nobody_heard_of_is_there_once(stage: Stage, scene: Scene) -> None:
    """It is found again in the thread by its name."""
    stage.workspace.faults.add("files.completeUploadExternal", LostResponse())
    root = await scene.start("ann", "/dify longer_report topic=tea")
    await scene.reads(root, DONE)
    await scene.until(lambda: not stage.workspace.faults.left_for("files.completeUploadExternal"), "it got lost")
    lost = [call for call in stage.workspace.calls if call.method == "conversations.replies"]
    await scene.until(
        lambda: (
            len([call for call in stage.workspace.calls if call.method == "conversations.replies"]) > len(lost) - 1
            and IN_FILE in replies(scene, root)[-2].shown
        ),
        "the thread was looked at",
    )
    await scene.until(lambda: stage.workspace.calls[-1].method != "files.completeUploadExternal", "and that is all")
    assert sum(bool(message.content.files) for message in replies(scene, root)) == 1


async def test_a_long_text_before_a_form_stands_above_it_whole(scene: Scene) -> None:
    """Nothing takes its place; it is told whole before the form is asked."""
    root = await scene.start("ann", "/dify told_then_asked query=tea")
    form = await scene.form(root, "Yes")
    await scene.until(lambda: is_over(scene, root), "the text is over")
    *text, last = replies(scene, root)
    assert last is form
    found = sections(text)
    assert found == [*range(1, max(found) + 1)]
    assert max(found) > 120
    await scene.click("ben", form, "Yes")
    await scene.reads(root, DONE)
    assert sections(text) == found


async def test_a_text_that_a_crash_cut_off_says_so_and_a_result_takes_its_place(stage: Stage, scene: Scene) -> None:
    """Half of it is written when the bot is killed: in the end the whole stands there, once."""
    root = await scene.start("ann", "/dify long_report topic=tea")
    await scene.until(lambda: len(replies(scene, root)) > 3, "some messages of the text are there")
    await scene.kill("while the text is being written")
    await scene.restart()
    await scene.reads(root, DONE)
    await scene.until(lambda: is_over(scene, root), "the text is over")
    await scene.until(lambda: max(sections(replies(scene, root))) > 200, "the result is whole")
    found = sections(replies(scene, root))
    assert found == [*range(1, max(found) + 1)]
    assert len(replies(scene, root)) <= MESSAGES


async def test_a_form_of_200_000_characters_can_be_read_and_answered(scene: Scene) -> None:
    """All of its text stands above its fields and buttons."""
    root = await scene.start("ann", "/dify long_form topic=tea")
    form = await scene.form(root, "Accept")
    *text, last = replies(scene, root)
    assert last is form
    found = sections(text)
    assert found == [*range(1, max(found) + 1)]
    assert max(found) > 400
    await scene.fill("ben", form, "remarks", "Long.")
    await scene.click("ben", form, "Accept")
    await scene.result(root, "Long.")
    scene.check_answers(1)
