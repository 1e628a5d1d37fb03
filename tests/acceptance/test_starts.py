"""Starting by a window and by a few words, over both ways to Slack, also where the bot or Dify is away meanwhile."""

from __future__ import annotations

import pytest

from bot.playground.dify.apps import pick
from bot.playground.scenarios import DONE, Scene
from bot.playground.slack import Message
from bot.playground.slack.faults import Duplicate
from bot.playground.slack.text import shown
from bot.playground.stage import Stage

pytestmark = [pytest.mark.acceptance, pytest.mark.asyncio(loop_scope="module")]


async def decide(scene: Scene, root: Message) -> None:
    """Answer the form of a run of `pick`, and see it end."""
    form = await scene.form(root, "Accept")
    await scene.select("ben", form, "priority", "low")
    await scene.click("ben", form, "Accept")
    await scene.reads(root, DONE)


async def test_what_is_entered_into_the_window_is_what_dify_gets(scene: Scene) -> None:
    """Of every kind, and of two apps one after the other."""
    window = await scene.open_window("ann", "/dify")
    await scene.select("ann", window, "App", "pick")
    await scene.until(lambda: window.title == "Start pick", "the window shows what pick takes")
    await scene.select("ann", window, "App", "all_inputs")
    await scene.until(lambda: window.title == "Start all_inputs", "the window shows what all_inputs takes")
    await scene.fill("ann", window, "Full name", "Ann <b> & Söhne 🍵")
    await scene.fill("ann", window, "biography", "Born.\n\n  Lived.")
    await scene.select("ann", window, "priority", "high")
    await scene.fill("ann", window, "age", "41")
    await scene.fill("ann", window, "settings", "{mode}")
    ((block_id, sentence),) = (await scene.submit("ann")).field_errors.items()
    assert block_id.endswith(".settings")
    assert "must be a JSON object" in sentence
    await scene.fill("ann", window, "settings", '{"mode": "final"}')
    root = await scene.start_by_window("ann")
    await scene.reads(root, DONE)
    assert scene.starts[0].body["inputs"] == {
        "name": "Ann <b> & Söhne 🍵",
        "nickname": "buddy",
        "biography": "Born.\n\n  Lived.",
        "notes": "line one\nline two",
        "colour": "green",
        "priority": "high",
        "age": 41,
        "score": 4.5,
        "agree": False,
        "newsletter": True,
        "settings": {"mode": "final"},
    }
    assert len(scene.starts) == 1


async def test_a_few_words_start_a_workflow_and_a_chatflow(scene: Scene) -> None:
    root = await scene.start("ann", '/dify pick Ann\'s "green" menu')
    await scene.form(root, "Accept")
    assert scene.starts[0].body["inputs"] == {"title": 'Ann\'s "green" menu'}
    await decide(scene, root)
    root = await scene.start("ann", "/dify chat_review Is the kitchen open?")
    await scene.form(root, "Send")
    assert scene.messages[0].body["query"] == "Is the kitchen open?"


async def test_a_window_outlives_the_bot_that_opened_it(scene: Scene) -> None:
    """Killed while it is open, and again right after it was sent: one run comes of it."""
    window = await scene.open_window("ann", "/dify pick size=L")
    await scene.fill("ann", window, "title", "Spring menu")
    await scene.kill("while the window is open")
    await scene.restart()
    await scene.submit("ann")
    await scene.kill("after the window was sent")
    await scene.restart()
    root = await scene.until(
        lambda: next(iter(scene.workspace.channel(scene.channel).roots), None), "a root message for the run appears"
    )
    await decide(scene, root)
    assert [each.body["inputs"] for each in scene.starts] == [{"title": "Spring menu", "size": "L", "copies": 1}]


async def test_a_window_that_is_sent_twice_at_once_starts_one_run(scene: Scene, stage: Stage) -> None:
    window = await scene.open_window("ann", "/dify pick size=L")
    await scene.fill("ann", window, "title", "Spring menu")
    stage.workspace.faults.add("interactive", Duplicate())
    await decide(scene, await scene.start_by_window("ann"))
    assert len(scene.starts) == 1
    assert len(scene.workspace.channel(scene.channel).roots) == 1


async def test_a_start_that_dify_refuses_late_is_told_in_the_thread_and_tried_again(scene: Scene) -> None:
    """The window comes with what was given; what is mended there is what is sent then (recording 03)."""
    scene.dify.refuse_starts(pick(), "title in input form must be one of this week's")
    try:
        root = await scene.start("ann", "/dify pick title=Winter size=S")
        told = await scene.until(
            lambda: scene.workspace.find(channel=scene.channel, thread=root.ts, button="Try again"), "the thread tells"
        )
    finally:
        scene.dify.take_starts(pick())
    assert scene.shows(told, "Nothing has been run", "must be one of this week's")
    await scene.click("ann", told, "Try again")
    window = scene.window("ann")
    assert "must be one of this week's" in shown("", window.blocks)
    await scene.fill("ann", window, "title", "Spring")
    await decide(scene, await scene.start_by_window("ann"))
    assert [each.body["inputs"]["title"] for each in scene.starts] == ["Winter", "Spring"]
    assert scene.starts[1].body["inputs"]["size"] == "S"
