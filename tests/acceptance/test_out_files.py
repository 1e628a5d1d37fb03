"""Files that runs give out, in their threads."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from bot.playground.dify import App
from bot.playground.dify.graph import Answer, Code, End, HumanInput, Made, Template, Tool, action
from bot.playground.scenarios import DONE, Scene
from bot.playground.slack import Message
from bot.playground.slack.faults import Delay, LostResponse, ServerError
from bot.playground.stage import Stage
from tests.acceptance.conftest import apps

pytestmark = [pytest.mark.acceptance, pytest.mark.asyncio(loop_scope="module")]

COMPLETE = "files.completeUploadExternal"
ODD_NAME = '📎 emoji & <b> "q" .txt'
SOON, FOR_EVER = 1.0, 3600.0
"""Seconds for which Slack keeps the bot waiting."""
CHART = Tool("draw", "Draw", [Made("chart.png", b"\x89PNG\r\n\x1a\nnot much of a picture")])


def look(name: str, content: str = "Look:\n\n{{#draw.files#}}") -> HumanInput:
    """Return a form, by default one that shows the chart."""
    return HumanInput(name, f"Look at {name}", content=content, actions=(action("ok", f"{name} it", "primary"),))


def looks() -> App:
    """Return an app that asks twice at the same time about one chart, and a third time later."""
    return App(
        name="looks",
        nodes=(CHART, look("left"), look("right"), look("later"), End("end", "End", {"chart": ("draw", "files")})),
        edges=("start -> draw -> left", "draw -> right", "left.ok -> later", "right.ok -> end", "later.ok -> end"),
    )


def shown_before() -> App:
    """Return a chatflow that shows a chart, asks about something else, and then about the chart."""
    return App(
        name="shown_before",
        mode="advanced-chat",
        nodes=(CHART, Answer("tell", "Tell", "This is it: {{#draw.files#}}"), look("first", "Go on?"), look("second")),
        edges=("start -> draw -> tell -> first", "first.ok -> second"),
    )


def bare() -> App:
    """Return an app with a file deep in an output of which Dify gives no address."""
    lost = {
        "dify_model_identity": "__dify__file__",
        "type": "document",
        "transfer_method": "tool_file",
        "filename": "lost.pdf",
        "related_id": "1f6a2c4e-93b5-4d0f-8a77-5d1c3b9e0a42",
        "url": None,
    }
    return App(
        name="bare",
        nodes=(
            Code("report", "Put together", {"report": {"parts": [{"paper": lost}]}}),
            End("end", "End", {"report": ("report", "report")}),
        ),
        edges=("start -> report -> end",),
    )


@pytest.fixture(scope="module")
def sample_apps() -> dict[str, App]:
    """The sample apps, and some with files of other kinds; the odd name was recorded (recording 37)."""
    named = App(
        name="odd_name",
        nodes=(
            Tool("draw", "Draw", [Made(ODD_NAME, b"hello")]),
            Template("text", "Tell", "Here: {{#draw.files#}}"),
            End("end", "End", {"text": ("text", "output"), "files": ("draw", "files")}),
        ),
        edges=("start -> draw -> text -> end",),
    )
    return apps() | {app.name: app for app in (named, looks(), shown_before(), bare())}


def replies(scene: Scene, root: Message) -> list[Message]:
    """What stands in a run's thread."""
    return scene.workspace.channel(scene.channel).replies(root.ts)


def shared(scene: Scene, root: Message) -> list[list[str]]:
    """The names of the files in a thread that the bot shared, by message."""
    found = ([file["name"] for file in reply.content.files] for reply in replies(scene, root) if reply.author.bot_id)
    return [sorted(names) for names in found if names]


async def shares(scene: Scene, root: Message, *names: str) -> None:
    """Wait until the bot has shared these files, in one message."""
    await scene.until(lambda: shared(scene, root) == [sorted(names)], f"{', '.join(names)} are shared")


def check_no_address(stage: Stage) -> None:
    """An address that Dify signed is good for whoever reads it."""
    assert "sign=" not in json.dumps([call.arguments for call in stage.workspace.calls], default=str)


def images(message: Message) -> list[str]:
    """The images in a message."""
    return [block["alt_text"] for block in message.blocks if block["type"] == "image"]


async def test_outputs_are_followed_by_their_files(stage: Stage, scene: Scene) -> None:
    """Deep in an output, in a list and in a text, each once; the result first (recording 21)."""
    root = await scene.start("ann", "/dify file_report topic=tea")
    result = await scene.result(root, "The chart of tea: 📎 chart.png", "📎 film.mp4")
    await shares(scene, root, "chart.png", "letter.pdf", "film.mp4")
    assert replies(scene, root)[0] is result
    await scene.reads(root, DONE)
    check_no_address(stage)


async def test_an_answer_is_followed_by_its_files(stage: Stage, scene: Scene) -> None:
    """Images and links in its text, which `files` lists once more (recording 31)."""
    root = await scene.start("ann", "/dify file_chat Tea?")
    await scene.result(root, "📎 chart.png", "The letter: 📎 letter.pdf")
    await shares(scene, root, "chart.png", "letter.pdf")
    check_no_address(stage)


async def test_a_file_keeps_its_name(stage: Stage, scene: Scene) -> None:
    """Whatever is in it (recording 37)."""
    root = await scene.start("ann", "/dify odd_name")
    await shares(scene, root, ODD_NAME)
    (file,) = (file for file in stage.workspace.files.by_id.values() if file.name == ODD_NAME and file.shares)
    assert file.content == b"hello"


async def test_what_people_gave_comes_back_where_a_run_gives_it_out(stage: Stage, scene: Scene) -> None:
    """As the outputs of the recorded review do (recordings 21, 30)."""
    root = await scene.start("ann", "/dify file_form topic=tea")
    form = await scene.form(root, "Hand in")
    await scene.share("ben", root, ("contract.pdf", b"%PDF-1.4 signed"), ("site.png", b"\x89PNG\r\n\x1a\n"))
    card = await scene.reply(root, "contract.pdf", "site.png")
    await scene.until(lambda: scene.text(card).count("✅ attached") == 2, "the card says that Dify has both")
    await scene.click("ben", form, "Hand in")
    await scene.reads(root, DONE)
    await shares(scene, root, "contract.pdf", "site.png")
    check_no_address(stage)


async def test_a_form_shows_its_image_where_it_stands(stage: Stage, scene: Scene) -> None:
    """With its fields; the letter that it links to stands below, and both stay once it is decided."""
    root = await scene.start("ann", "/dify picture_form topic=tea")
    form = await scene.form(root, "Accept")
    assert images(form) == ["chart.png"]
    assert form.fields == ["Remarks"]
    await shares(scene, root, "letter.pdf")
    await scene.fill("ben", form, "remarks", "Well drawn")
    await scene.click("ben", form, "Accept")
    await scene.reads(form, "✅ Accept", "Well drawn")
    assert images(form) == ["chart.png"]
    await scene.result(root, "Well drawn")
    scene.check_answers(1)
    assert shared(scene, root) == [["letter.pdf"]]
    check_no_address(stage)


async def test_every_form_that_asks_about_an_image_shows_it(stage: Stage, scene: Scene) -> None:
    """Two at the same time, and a later one, while it is fetched once and shared nowhere else."""
    before = len(stage.dify.requests)
    root = await scene.start("ann", "/dify looks")
    left, right = await scene.form(root, "left it"), await scene.form(root, "right it")
    await scene.click("ben", left, "left it")
    await scene.click("ben", right, "right it")
    later = await scene.form(root, "later it")
    assert [images(form) for form in (left, right, later)] == [["chart.png"]] * 3
    await scene.click("ben", later, "later it")
    await scene.result(root, "chart.png")
    await scene.reads(later, "✅ later it")
    assert [images(form) for form in (left, right, later)] == [["chart.png"]] * 3
    assert shared(scene, root) == []
    assert len([each for each in stage.dify.requests[before:] if "/files/tools/" in each.path]) == 1
    check_no_address(stage)


async def test_a_form_shows_an_image_that_stands_in_the_thread_already(stage: Stage, scene: Scene) -> None:
    """It was shared below the text that told of it, and is neither fetched nor shared again."""
    before = len(stage.dify.requests)
    root = await scene.start("ann", "/dify shown_before Well?")
    first = await scene.form(root, "first it")
    await shares(scene, root, "chart.png")
    await scene.click("ben", first, "first it")
    second = await scene.form(root, "second it")
    assert (images(first), images(second)) == ([], ["chart.png"])
    await scene.click("ben", second, "second it")
    await scene.reads(root, DONE)
    assert shared(scene, root) == [["chart.png"]]
    assert len([each for each in stage.dify.requests[before:] if "/files/tools/" in each.path]) == 1
    check_no_address(stage)


async def test_the_window_of_a_form_shows_its_image(scene: Scene) -> None:
    """As the message does."""
    root = await scene.start("ann", "/dify picture_form topic=tea")
    form = await scene.form(root, "Accept")
    await scene.click("ben", form, "Open in window")
    assert "image" in [block["type"] for block in scene.window("ben").blocks]


async def test_what_has_expired_is_told_with_its_name(stage: Stage, new_scene: Callable[[], Scene]) -> None:
    """A Workflow's addresses are signed once (recording 30)."""
    scene = new_scene()
    stage.dify.fail_next("download_made", 403, times=3)
    root = await scene.start("ann", "/dify file_report topic=tea")
    for name in ("chart.png", "letter.pdf", "film.mp4"):
        await scene.reply(root, f"{name}: its address in Dify has expired. It is kept in Dify's log of this run.")
    assert shared(scene, root) == []


async def test_what_has_no_address_is_told_with_its_name(stage: Stage, scene: Scene) -> None:
    """Once, below the result, which names it, too."""
    root = await scene.start("ann", "/dify bare")
    result = await scene.result(root, "📎 lost.pdf")
    told = await scene.reply(root, "Not all files", "lost.pdf: Dify gives no address from which it could be fetched.")
    assert replies(scene, root) == [result, told]


async def test_what_has_expired_of_a_chatflow_is_signed_anew(stage: Stage, scene: Scene) -> None:
    """Whenever its messages are read (recording 31)."""
    stage.dify.fail_next("download_made", 403, times=2)
    root = await scene.start("ann", "/dify file_chat Tea?")
    await shares(scene, root, "chart.png", "letter.pdf")


async def test_files_wait_until_slack_takes_them(stage: Stage, new_scene: Callable[[], Scene]) -> None:
    """The run comes to its end meanwhile."""
    stage.workspace.faults.add("upload", ServerError(), times=5)
    scene = new_scene()
    root = await scene.start("ann", "/dify file_report topic=tea")
    await scene.reads(root, DONE)
    await shares(scene, root, "chart.png", "letter.pdf", "film.mp4")


async def test_files_are_shared_once_where_slacks_answer_is_lost(stage: Stage, new_scene: Callable[[], Scene]) -> None:
    """Completing an upload has no idempotency key."""
    stage.workspace.faults.add(COMPLETE, LostResponse())
    scene = new_scene()
    root = await scene.start("ann", "/dify file_report topic=tea")
    await stage.workspace.wait_for(lambda: [call for call in stage.workspace.calls if call.method == "files.info"])
    await shares(scene, root, "chart.png", "letter.pdf", "film.mp4")


@pytest.mark.parametrize(
    "seconds",
    [
        pytest.param(SOON, id="share that arrives"),
        # Slack is asked for files that nobody completed.
        pytest.param(FOR_EVER, id="share that is lost", marks=pytest.mark.provokes("file_not_found")),
    ],
)
async def test_a_crash_between_fetching_and_sharing(
    stage: Stage, new_scene: Callable[[], Scene], seconds: float
) -> None:
    """The bot is killed while Slack takes `seconds` to share: in the end the files stand there once."""
    scene = new_scene()
    sharing: list[object] = []

    def is_share(call: dict[str, object]) -> bool:
        if call.get("channel_id"):
            sharing.append(call)
            stage.workspace.changed()
        return bool(call.get("channel_id"))

    stage.workspace.faults.add(COMPLETE, Delay(seconds), when=is_share)
    root = await scene.start("ann", "/dify file_report topic=tea")
    await scene.until(lambda: sharing, "Slack is asked to share")
    await stage.bot.kill()
    if seconds < FOR_EVER:
        await shares(scene, root, "chart.png", "letter.pdf", "film.mp4")
    await stage.bot.start()
    await shares(scene, root, "chart.png", "letter.pdf", "film.mp4")
    await scene.reads(root, DONE)


async def test_a_crash_while_a_file_is_fetched(stage: Stage, new_scene: Callable[[], Scene]) -> None:
    """It is fetched anew after the restart, and the form that waits for its image is posted then."""
    scene = new_scene()
    stage.dify.delay_next("download_made", FOR_EVER, times=2)
    before = len(stage.dify.requests)
    root = await scene.start("ann", "/dify picture_form topic=tea")
    await stage.dify.wait_for(
        lambda: len([each for each in stage.dify.requests[before:] if "/files/tools/" in each.path]) == 2
    )
    await stage.bot.kill()
    await stage.bot.start()
    form = await scene.form(root, "Accept")
    assert images(form) == ["chart.png"]
    await shares(scene, root, "letter.pdf")
