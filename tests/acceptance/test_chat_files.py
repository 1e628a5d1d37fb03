"""Files in a conversation with a Chatflow: with a message, for a form, or for neither."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bot.playground.dify import App
from bot.playground.dify.apps import chat
from bot.playground.dify.graph import HumanInput, file
from bot.playground.elsewhere import Elsewhere
from bot.playground.scenarios import DONE, Scene
from bot.playground.slack import Message
from bot.playground.stage import CHANNEL
from tests.acceptance.conftest import SPEED, open_stage

pytestmark = [pytest.mark.acceptance, pytest.mark.asyncio(loop_scope="module")]

PICTURE = ("a.png", b"\x89PNG\r\n\x1a\n and more")
REPORT = ("report.pdf", b"%PDF-1.7")
ARCHIVE = ("x.zip", b"PK\x03\x04")
REFUND = "money back, please"


@pytest.fixture(scope="module")
def sample_apps() -> dict[str, App]:
    """Chatflows that take files with a message, in a form, or both."""
    return _apps()


def _apps() -> dict[str, App]:
    asking = [
        replace(
            node,
            inputs=(*node.inputs, file("receipt", types=["image"])),
            content=f"{node.content}\n\nThe receipt\n\n{{{{#$output.receipt#}}}}",
        )
        if isinstance(node, HumanInput)
        else node
        for node in chat().nodes
    ]
    own = (
        replace(chat(), name="with_messages", file_upload=True),
        replace(chat(), name="with_both", nodes=tuple(asking), file_upload=True),
        replace(chat(), name="with_forms", nodes=tuple(asking)),
    )
    linked = [
        replace(node, inputs=(file("receipt") | {"allowed_file_upload_methods": ["remote_url"]},))
        if isinstance(node, HumanInput)
        else node
        for node in own[-1].nodes
    ]
    own = (*own, replace(own[-1], name="with_links", nodes=tuple(linked)))
    return {app.name: app for app in own}


async def begin(scene: Scene, app: str) -> tuple[Message, Message]:
    """Begin a conversation that asks for a decision; return its root and its form."""
    root = await scene.start("ann", f"/dify {app} query='{REFUND}'")
    return root, await scene.form(root, "Approve")


async def test_a_message_that_is_taken_for_the_answer_says_which_files_stay_out_of_it(scene: Scene) -> None:
    root, _ = await begin(scene, "with_messages")
    await scene.share("ben", root, PICTURE, text="Tell them tomorrow")
    question = await scene.reply(root, "is it the answer", "Tell them tomorrow")
    await scene.click("cleo", question, "Use it as the answer")
    await scene.told("cleo", "not attached to Approve the refund", "a.png", "asks for no files")
    await scene.reads(question, "@cleo took this for the answer")


async def test_a_message_that_is_taken_for_the_answer_brings_its_files_along(scene: Scene) -> None:
    """The form had no room for this one when it was shared."""
    root, form = await begin(scene, "with_both")
    await scene.share("ben", root, ("old.png", b"\x89PNG old"))
    card = await scene.reply(root, "Files for Approve the refund", "old.png", "✅ attached")
    await scene.share("ben", root, PICTURE, text="Tell them tomorrow")
    question = await scene.reply(root, "is it the answer", "Tell them tomorrow")
    await scene.click("ben", card, "Remove old.png")
    await scene.reads(card, "No file is attached")
    await scene.click("ben", question, "Use it as the answer")
    await scene.reads(card, "a.png → The receipt", "✅ attached")
    await scene.select("ben", scene.window("ben"), "Decision", "Approve")
    assert not (await scene.submit("ben")).field_errors
    await scene.reads(form, "✅ Approve", "@ben", "a.png")
    assert len(scene.messages) == 1


async def test_a_link_that_is_taken_for_the_answer_goes_where_the_form_asks_for_one(scene: Scene) -> None:
    """As its message says: reply to this thread with one."""
    async with Elsewhere() as elsewhere:
        url = elsewhere.put("/receipt.png", PICTURE[1], "image/png")
        root, form = await begin(scene, "with_links")
        assert scene.shows(form, "reply to this thread with nothing but a link")
        await scene.say("ben", root, url)
        question = await scene.reply(root, "is it the answer")
        await scene.click("ben", question, "Use it as the answer: Approve the refund")
        window = scene.window("ben")
        assert url in str(window.blocks)
        await scene.select("ben", window, "Decision", "Approve")
        assert not (await scene.submit("ben")).field_errors
        await scene.reads(root, DONE)
    assert scene.submits[-1].body["inputs"]["receipt"]["url"] == url


async def test_of_each_file_one_note_tells_what_becomes_of_it(scene: Scene) -> None:
    """One fits the form, one goes along with the text, one does neither."""
    root, _ = await begin(scene, "with_both")
    await scene.share("ben", root, PICTURE, REPORT, ARCHIVE, text="Here you are")
    card = await scene.reply(root, "Files for Approve the refund")
    await scene.reads(card, "a.png → The receipt")
    note = await scene.told("ben", "not attached", "x.zip", "takes an image")
    question = await scene.reply(root, "is it the answer", "Here you are")
    await scene.click("ann", question, "Send as a new message")
    await scene.reply(root, "You asked: Here you are")
    assert [each["type"] for each in scene.messages[1].body["files"]] == ["document"]
    assert scene.notes("ben") == [note]
    assert not scene.shows(note, "report.pdf")


async def test_an_unfit_file_beside_a_text_is_told_where_the_app_takes_none_with_messages(scene: Scene) -> None:
    root, _ = await begin(scene, "with_forms")
    await scene.share("ben", root, REPORT, text="Here you are")
    note = await scene.told("ben", "not attached", "report.pdf", "takes an image")
    await scene.reply(root, "is it the answer", "Here you are")
    assert scene.notes("ben") == [note]


async def test_where_only_mentions_count_a_file_is_for_the_form_or_told(tmp_path: Path) -> None:
    """What is said among people goes nowhere, but no file that is shared where a form asks is passed over."""
    settings = {"CHAT_REPLIES": "mentions"}
    async with open_stage("socket", tmp_path, _apps(), speed=SPEED, settings=settings) as stage:
        scene = Scene(stage, CHANNEL, lambda _: None, pace=0)
        root, _ = await begin(scene, "with_both")
        await scene.share("ben", root, REPORT, text="Is this what they want, ann?")
        await scene.told("ben", "not attached", "report.pdf", "takes an image")
        await scene.share("ben", root, REPORT, text="@Dify Please read this")
        await scene.reply(root, "is it the answer", "Please read this")
        assert len(scene.notes("ben")) == 1


async def test_the_first_message_takes_its_files_along_from_the_start_window(scene: Scene) -> None:
    """Recording 31."""
    window = await scene.open_window("ann", "/dify")
    await scene.select("ann", window, "App", "with_messages")
    await scene.until(lambda: window.title == "Start with_messages", "the window shows what it takes")
    await scene.fill("ann", window, "Your message", "What is this?")
    await scene.choose_files("ann", window, "Files", PICTURE, REPORT)
    root = await scene.start_by_window("ann")
    await scene.result(root, "You asked: What is this?")
    body = scene.messages[0].body
    assert body["query"] == "What is this?"
    assert [each["type"] for each in body["files"]] == ["image", "document"]
    assert {each.user for each in scene.dify.files.stored.values() if each.name == "report.pdf"} >= {body["user"]}


async def test_the_first_message_takes_its_files_along_from_the_shortcut(scene: Scene) -> None:
    message = await scene.share("ben", None, PICTURE, ARCHIVE, text="What is this?")
    window = await scene.use_shortcut("ann", message)
    await scene.select("ann", window, "App", "with_messages")
    await scene.until(lambda: window.title == "Start with_messages", "the window shows what it takes")
    assert "x.zip" in str(window.blocks), "it says that this one does not fit"
    root = await scene.start_by_window("ann")
    await scene.result(root, "You asked: What is this?")
    body = scene.messages[0].body
    assert body["user"].endswith(scene.workspace.person("ann").id)
    assert [each["type"] for each in body["files"]] == ["image"]
