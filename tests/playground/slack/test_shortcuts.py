"""Message shortcuts: who can use one on what, and what the app is told (slack-platform §4.2)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import aiohttp
import pytest
from slack_bolt.async_app import AsyncApp

from bot.playground.slack import Workspace
from bot.playground.slack.faults import Drop
from bot.playground.slack.state import Content
from tests.playground.slack.conftest import Serve

Json = dict[str, Any]
SHORTCUT = "run_on_this"


@pytest.fixture
def connected(serve: Serve, bolt: Callable[..., Any]) -> Callable[..., Any]:
    """Connect a bot that keeps what it is told to a workspace that declares the shortcut."""

    async def connect(**changes: Any) -> tuple[Workspace, list[Json]]:
        workspace, server = await serve(**({"shortcuts": [SHORTCUT]} | changes))
        told: list[Json] = []

        def register(app: AsyncApp) -> None:
            @app.message_shortcut(SHORTCUT)
            async def _(ack: Any, body: Json) -> None:
                told.append(body)
                await ack()

        await bolt(server, register)
        return workspace, told

    return connect


async def test_the_app_gets_the_whole_message(connected: Callable[..., Any]) -> None:
    """With its thread and files, and what an answer needs."""
    workspace, told = await connected()
    root = await workspace.person("ben").post("content", "root")
    message = await workspace.person("ben").share("content", [("a.pdf", b"%PDF")], "the contract", root.ts)
    assert (await workspace.person("ann").use_shortcut(message, SHORTCUT)).acked
    (body,) = told
    assert (body["type"], body["callback_id"], body["user"]["id"]) == ("message_action", SHORTCUT, "U0ANN")
    assert body["channel"] == {"id": message.channel.id, "name": "content"}
    assert (body["message_ts"], body["message"]) == (message.ts, message.to_json())
    assert (body["message"]["thread_ts"], body["message"]["files"][0]["name"]) == (root.ts, "a.pdf")
    assert workspace.tickets.exchange(body["trigger_id"]).user_id == "U0ANN"


async def test_its_response_url_cannot_write_into_the_thread(connected: Callable[..., Any]) -> None:
    workspace, told = await connected()
    message = await workspace.person("ben").post("content", "root")
    await workspace.person("ann").use_shortcut(message, SHORTCUT)
    said = {"text": "Started", "thread_ts": message.ts, "response_type": "in_channel"}
    async with aiohttp.ClientSession() as session, session.post(told[0]["response_url"], json=said) as answer:
        assert answer.status == 200
    found = workspace.find(text="Started")
    assert found
    assert found.thread_ts is None


async def test_there_is_no_shortcut_that_the_manifest_does_not_declare(connected: Callable[..., Any]) -> None:
    workspace, told = await connected(shortcuts=[])
    message = await workspace.person("ann").post("content", "root")
    with pytest.raises(LookupError, match="no shortcut"):
        await workspace.person("ann").use_shortcut(message, SHORTCUT)
    assert not told


async def test_it_needs_the_scope_a_message_for_everyone_and_somebody_there(connected: Callable[..., Any]) -> None:
    workspace, told = await connected(channels={"content": ["ann", "bot"]})
    channel, ann = workspace.channel("content"), workspace.person("ann")
    message = await ann.post("content", "root")
    private = workspace.post(channel, Content("for ann"), workspace.bot, visible_to="U0ANN")
    for person, where in ((ann, private), (workspace.person("ben"), message)):
        with pytest.raises(LookupError):
            await person.use_shortcut(where, SHORTCUT)
    workspace.scopes = frozenset({"chat:write"})
    with pytest.raises(LookupError):
        await ann.use_shortcut(message, SHORTCUT)
    assert not told


async def test_one_that_is_lost_is_told_to_the_person(connected: Callable[..., Any]) -> None:
    """slack-platform §4.1: it is not delivered again."""
    workspace, told = await connected(ack_timeout=0.05)
    message = await workspace.person("ann").post("content", "root")
    workspace.faults.add("interactive", Drop())
    result = await workspace.person("ann").use_shortcut(message, SHORTCUT)
    assert (result.acked, result.error) == (False, f"{SHORTCUT} did not respond (operation_timeout)")
    assert not told
