"""Runs that start with files, as recorded in 18, 31 and 37: every file is uploaded as the user of its run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from bot.playground.dify import App
from bot.playground.dify.apps import chat
from bot.playground.dify.graph import End, long_text, start_file, start_file_list, text_input
from bot.playground.elsewhere import Elsewhere
from bot.playground.scenarios import DONE, Scene
from bot.playground.slack import Message
from bot.playground.slack.faults import Duplicate
from bot.playground.slack.people import Person
from bot.playground.stage import Stage
from tests.acceptance.conftest import add_channel

pytestmark = [pytest.mark.acceptance, pytest.mark.asyncio(loop_scope="module")]

PICTURE = ("a.png", b"\x89PNG\r\n\x1a\n and more")
NOTES = ("cv.md", b"# Me")
REPORT = ("report.pdf", b"%PDF-1.7")
ARCHIVE = ("x.zip", b"PK\x03\x04")


@pytest.fixture(scope="module")
def sample_apps() -> dict[str, App]:
    """Apps with the inputs of the recordings, which give out no files."""
    all_files = App(
        name="all_files",
        start=(
            text_input("name", label="Full name", required=True, max_length=48),
            long_text("bio", label="Biography"),
            start_file("avatar", label="Avatar", required=True),
            start_file("cv", label="CV", types=["custom"], extensions=[".pdf", ".md"]),
            start_file_list("photos", label="Photos", required=True, types=["image"], max_length=3),
        ),
        nodes=(End("end", "End", {"name": ("start", "name")}),),
        edges=("start -> end",),
    )
    run_files = App(name="run_files", nodes=(End("end", "End", {}),), edges=("start -> end",), file_upload=True)
    chat_files = replace(chat(), name="chat_files", file_upload=True)
    return {app.name: app for app in (all_files, run_files, chat_files)}


def person(scene: Scene, name: str = "ann") -> Person:
    return scene.workspace.person(name)


def owners(scene: Scene, *names: str) -> set[str]:
    """Return the users as which these files were uploaded since the scene began."""
    uploads = [each for each in scene.dify.files.stored.values() if each.name in names]
    assert {each.name for each in uploads} == set(names)
    return {each.user for each in uploads}


async def choose_app(scene: Scene, app: str) -> None:
    window = scene.window("ann")
    await scene.select("ann", window, "App", app)
    await scene.until(lambda: window.title == f"Start {app}", f"the window shows what {app} takes")


async def test_inputs_of_every_kind_of_file(scene: Scene) -> None:
    """Recording 18: `type` is the detected one, or `custom` where only the extension is allowed."""
    window = await scene.open_window("ann", "/dify all_files")
    await scene.fill("ann", window, "Full name", "Ann")
    await scene.choose_files("ann", window, "Avatar", PICTURE)
    await scene.choose_files("ann", window, "CV", NOTES)
    async with Elsewhere() as elsewhere:
        url = elsewhere.put("/photo.png", b"PNG", "image/png")
        await scene.choose_files("ann", window, "Photos", ("b.png", b"PNG"), ("c.png", b"PNG"), ("d.png", b"PNG"))
        await scene.fill("ann", window, "Links to Photos", url)
        ((block_id, sentence),) = (await scene.submit("ann")).field_errors.items()
        assert block_id.endswith(".photos")
        assert sentence == "photos takes 3 at most, and these are 4."
        assert scene.starts == []
        await scene.choose_files("ann", window, "Photos", ("b.png", b"PNG"), ("c.png", b"PNG"))
        root = await scene.start_by_window("ann")
        await scene.reads(root, DONE)
    body = scene.starts[0].body
    inputs = body["inputs"]
    assert inputs["avatar"]["type"] == "image"
    assert inputs["cv"]["type"] == "custom"
    assert [each["type"] for each in inputs["photos"]] == ["image"] * 3
    assert inputs["photos"][-1] == {"type": "image", "transfer_method": "remote_url", "url": url}
    assert owners(scene, "a.png", "cv.md", "b.png", "c.png") == {body["user"]}
    assert scene.shows(root, "📎 a.png", "📎 cv.md", "📎 b.png, 📎 c.png, 📎 photo.png")


async def test_files_beside_the_inputs_of_a_workflow(scene: Scene) -> None:
    """Recording 37."""
    await scene.use_shortcut("ann", await scene.share("ann", None, PICTURE, REPORT, ARCHIVE, text="Look"))
    await choose_app(scene, "run_files")
    root = await scene.start_by_window("ann")
    await scene.reads(root, DONE)
    body = scene.starts[0].body
    assert body["inputs"] == {}
    assert [each["type"] for each in body["files"]] == ["image", "document"]
    assert owners(scene, "report.pdf") == {body["user"]}


async def test_a_message_becomes_a_run_by_the_shortcut(scene: Scene) -> None:
    """Its text and its files are filled in where they fit, and others can be chosen instead."""
    window = await scene.use_shortcut("ann", await scene.share("ben", None, PICTURE, REPORT, text="Ann & Söhne"))
    await choose_app(scene, "all_files")
    assert "📎 a.png, from the message" in repr(window.blocks)
    assert "📎 report.pdf, from the message" in repr(window.blocks)
    await scene.choose_files("ann", window, "Photos", ("p.png", b"PNG"))
    root = await scene.start_by_window("ann")
    await scene.reads(root, DONE)
    body = scene.starts[0].body
    assert body["inputs"]["name"] == "Ann & Söhne"
    assert body["user"].endswith(person(scene).id)
    assert owners(scene, "p.png") == {body["user"]}
    assert root.thread_ts is None


@pytest.mark.provokes("not_in_channel")
async def test_the_shortcut_where_the_bot_is_not_a_member(
    new_scene: Callable[[], Scene], stage: Stage, channel: str
) -> None:
    """As with a command, nothing is started and the person is told."""
    scene = new_scene()
    name = f"{channel}-without"
    add_channel(stage, name, with_bot=False)
    await scene.use_shortcut("ann", await person(scene).post(name, "Only words"))
    await choose_app(scene, "run_files")
    await scene.submit("ann")
    direct = stage.workspace.direct_messages(person(scene))
    note = await scene.until(
        lambda: next((root for root in direct.roots if name in scene.text(root) or "not a member" in root.shown), None),
        "ann is told that the bot is not a member there",
    )
    assert "Nothing was sent to Dify" in note.shown


async def test_a_start_whose_window_is_sent_twice_and_whose_bot_is_killed_runs_once(scene: Scene, stage: Stage) -> None:
    window = await scene.open_window("ann", "/dify")
    await choose_app(scene, "run_files")
    await scene.choose_files("ann", window, "field.", PICTURE)
    stage.workspace.faults.add("interactive", Duplicate())
    await scene.submit("ann")
    await scene.kill("after the window was sent")
    await scene.restart()
    root = await scene.until(
        lambda: next(iter(scene.workspace.channel(scene.channel).roots), None), "a root message for the run appears"
    )
    await scene.reads(root, DONE)
    assert len(scene.starts) == 1
    assert len(scene.starts[0].body["files"]) == 1


async def test_a_file_that_dify_refuses_is_told_and_the_rest_is_kept(scene: Scene) -> None:
    scene.dify.fail_next("upload", status=415)
    window = await scene.open_window("ann", "/dify all_files name=Ann")
    await scene.choose_files("ann", window, "Avatar", PICTURE)
    await scene.choose_files("ann", window, "Photos", ("p.png", b"PNG"))
    root = await scene.start_by_window("ann")
    told = await scene.until(
        lambda: scene.workspace.find(channel=scene.channel, thread=root.ts, button="Try again"), "the thread tells why"
    )
    assert scene.shows(told, "was not started", ".png: Dify does not take")
    await scene.click("ann", told, "Try again")
    window = scene.window("ann")
    kept = repr(window.blocks)
    refused = "Photos" if "📎 a.png, from" in kept else "Avatar"
    await scene.choose_files("ann", window, refused, ("other.png", b"PNG"))
    root = await scene.start_by_window("ann")
    await scene.reads(root, DONE)
    assert len(scene.starts) == 1
    assert scene.starts[0].body["inputs"]["name"] == "Ann"


async def test_messages_to_a_chatflow_take_their_files_along(scene: Scene) -> None:
    """Recording 31: as the user of the conversation, whoever writes; what does not fit is told to who wrote it."""
    root = await scene.start("ann", "/dify chat_files Hello")
    await scene.result(root, "message 1")
    await scene.share("ben", root, PICTURE, REPORT, ARCHIVE, text="Look at this 🙂")
    await scene.reply(root, "You asked: Look at this")
    await scene.told("ben", "do not go along with your message", "x.zip", "takes an image or a document.")
    first, second = scene.messages
    assert [each["type"] for each in second.body["files"]] == ["image", "document"]
    assert first.body["user"] == second.body["user"]
    assert owners(scene, "report.pdf") == {second.body["user"]}
    await scene.share("ann", root, ("only.png", b"PNG"))
    await scene.reply(root, "You asked: only.png")
    assert len(scene.messages[2].body["files"]) == 1


async def test_a_message_that_is_held_keeps_its_files(scene: Scene) -> None:
    root = await scene.start("ann", "/dify chat_files money back, please")
    await scene.form(root, "Approve")
    await scene.share("ann", root, PICTURE, text="The receipt")
    question: Message = await scene.reply(root, "is it the answer")
    await scene.click("ann", question, "Send as a new message")
    await scene.reply(root, "You asked: The receipt")
    assert [each["type"] for each in scene.messages[1].body["files"]] == ["image"]


async def test_a_file_of_the_message_can_be_left_out(scene: Scene) -> None:
    """What else was given, entered and chosen stays, and what is needed then is asked for."""
    window = await scene.use_shortcut("ann", await scene.share("ben", None, PICTURE, REPORT, text="Ann"))
    await choose_app(scene, "all_files")
    await scene.fill("ann", window, "Biography", "Born.")
    await scene.choose_files("ann", window, "Photos", ("p.png", b"PNG"))
    await person(scene).click(window, "Leave out a.png")
    await scene.until(lambda: "a.png" not in repr(window.blocks), "the window does not hold it any more")
    assert "report.pdf" in repr(window.blocks)
    (sentence,) = (await scene.submit("ann")).field_errors.values()
    assert "avatar" in sentence
    await scene.choose_files("ann", window, "Avatar", ("own.png", b"PNG"))
    root = await scene.start_by_window("ann")
    await scene.reads(root, DONE)
    inputs = scene.starts[0].body["inputs"]
    assert (inputs["name"], inputs["bio"]) == ("Ann", "Born.")
    assert owners(scene, "own.png", "p.png", "report.pdf") == {scene.starts[0].body["user"]}
    assert len(scene.uploads) == 3
