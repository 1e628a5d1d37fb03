"""A thread is a conversation with a Chatflow: memory, forms in between, suggestions, thumbs, and what goes wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from bot.playground.dify.apps import chat
from bot.playground.dify.forms import FormStatus
from bot.playground.scenarios import DONE, Scene
from bot.playground.slack import Message
from bot.playground.slack.faults import Duplicate
from bot.playground.stage import CHANNEL, Stage, open_stage
from tests.acceptance.conftest import SPEED

pytestmark = [pytest.mark.acceptance, pytest.mark.asyncio(loop_scope="module")]

REFUND = "money back, please"


async def begin(scene: Scene, query: str = "Where is my order?") -> Message:
    """Start a conversation and return its root message."""
    return await scene.start("ann", f"/dify chat query='{query}'")


async def answer(scene: Scene, root: Message, *parts: str) -> Message:
    """Wait for an answer in the thread."""
    return await scene.until(
        lambda: next(
            (each for each in scene.workspace.find_all(channel=scene.channel, thread=root.ts) if scene.shows(each, *parts)),
            None,
        ),
        f"the thread shows {parts}",
    )


async def test_three_messages_are_one_conversation(scene: Scene) -> None:
    """Each reply is the next message, of whomever, and Dify remembers what was said before it."""
    root = await begin(scene)
    await scene.result(root, "message 1 of our conversation")
    await scene.say("ben", root, "And <b> & co?")
    await answer(scene, root, "You asked: And <b> & co?", "message 2", "Before it you asked: Where is my order?")
    await scene.say("ann", root, "Thanks")
    await answer(scene, root, "message 3", "Before it you asked: And <b> & co?")
    assert len({each.body["user"] for each in scene.messages}) == 1
    assert [each.body["query"] for each in scene.messages] == ["Where is my order?", "And <b> & co?", "Thanks"]
