"""Failures on order: each hits the calls it was ordered for, and no other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest
from slack_sdk.errors import SlackApiError

from bot.playground.slack.faults import (
    CallFault,
    CutConnection,
    Delay,
    Drop,
    Hold,
    LostResponse,
    RateLimited,
    Refuse,
    ServerError,
)
from tests.playground.slack.conftest import Serve

ClientOf = Callable[..., Any]


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        (ServerError(503), 503, "internal_error"),
        (RateLimited(retry_after=7), 429, "ratelimited"),
        (Refuse("fatal_error"), 200, "fatal_error"),
    ],
)
async def test_a_refused_call_does_nothing(
    serve: Serve, client_of: ClientOf, fault: CallFault, status: int, code: str
) -> None:
    """The next call works again."""
    workspace, server = await serve()
    client = await client_of(server)
    workspace.faults.add("chat.postMessage", fault)
    with pytest.raises(SlackApiError) as caught:
        await client.chat_postMessage(channel="C0CONTENT", text="x")
    assert (caught.value.response.status_code, caught.value.response["error"]) == (status, code)
    assert workspace.channel("content").messages == []
    if isinstance(fault, RateLimited):
        assert caught.value.response.headers["Retry-After"] == "7"
    await client.chat_postMessage(channel="C0CONTENT", text="x")


async def test_a_lost_response_leaves_the_work_done(serve: Serve, client_of: ClientOf) -> None:
    """slack-platform §8.3: the message stands, the caller does not know."""
    workspace, server = await serve()
    client = await client_of(server)
    workspace.faults.add("chat.postMessage", LostResponse())
    with pytest.raises(aiohttp.ClientError):
        await client.chat_postMessage(channel="C0CONTENT", text="x")
    assert [message.text for message in workspace.channel("content").messages] == ["x"]
    assert workspace.calls[0].ok


async def test_a_cut_connection_leaves_the_work_undone(serve: Serve, client_of: ClientOf) -> None:
    """The caller sees what it sees of a lost response."""
    workspace, server = await serve()
    client = await client_of(server)
    workspace.faults.add("chat.postMessage", CutConnection())
    with pytest.raises(aiohttp.ClientError):
        await client.chat_postMessage(channel="C0CONTENT", text="x")
    assert workspace.channel("content").messages == []
    await client.chat_postMessage(channel="C0CONTENT", text="x")


@pytest.mark.parametrize("status", [None, 503])
async def test_calls_fail_while_slack_is_down(serve: Serve, client_of: ClientOf, status: int | None) -> None:
    """By a refused connection or an error; afterwards everything is at its address again."""
    workspace, server = await serve()
    client = await client_of(server)
    await server.down(status)
    if status is None:
        with pytest.raises(aiohttp.ClientConnectorError):
            await client.chat_postMessage(channel="C0CONTENT", text="meanwhile")
    else:
        with pytest.raises(SlackApiError) as caught:
            await client.chat_postMessage(channel="C0CONTENT", text="meanwhile")
        assert caught.value.response.status_code == status
    await server.up()
    await client.chat_postMessage(channel="C0CONTENT", text="after")
    assert [message.text for message in workspace.channel("content").messages] == ["after"]


@pytest.mark.parametrize("status", [None, 503])
async def test_an_outage_that_is_called_off_leaves_no_connection_that_answers_nothing(
    serve: Serve, client_of: ClientOf, status: int | None
) -> None:
    """Whoever takes Slack away may be cancelled while connections are being cut."""
    workspace, server = await serve()
    client = await client_of(server)
    await client.chat_postMessage(channel="C0CONTENT", text="before")
    async with aiohttp.ClientSession() as session:
        url = (await client.apps_connections_open(app_token="xapp-demo"))["url"]
        async with session.ws_connect(url):
            await workspace.wait_for(lambda: server.sockets.connections)
            outage = asyncio.create_task(server.down(status))
            for _ in range(5):
                await asyncio.sleep(0)  # a turn of the loop for each task that takes part
            outage.cancel()
            with pytest.raises(asyncio.CancelledError):
                await outage
            await server.up()
            await workspace.wait_for(lambda: not server.sockets.connections)
    await client.chat_postMessage(channel="C0CONTENT", text="after")
    assert [message.text for message in workspace.channel("content").messages] == ["before", "after"]


async def test_a_fault_hits_only_the_calls_it_is_meant_for(serve: Serve, client_of: ClientOf) -> None:
    """By method, by arguments, and so many times."""
    workspace, server = await serve()
    client = await client_of(server)
    workspace.faults.add(
        "chat.postMessage", Refuse("fatal_error"), times=2, when=lambda arguments: "thread_ts" in arguments
    )
    root = await client.chat_postMessage(channel="C0CONTENT", text="root")
    outcomes = []
    for _ in range(3):
        try:
            await client.chat_postMessage(channel="C0CONTENT", text="reply", thread_ts=root["ts"])
            outcomes.append("ok")
        except SlackApiError as error:
            outcomes.append(error.response["error"])
    await client.chat_update(channel="C0CONTENT", ts=root["ts"], text="x")
    assert outcomes == ["fatal_error", "fatal_error", "ok"]


async def test_a_delayed_call_works(serve: Serve, client_of: ClientOf) -> None:
    """Late, and the wait counts as the platform's own time."""
    workspace, server = await serve()
    workspace.faults.add("chat.postMessage", Delay(0.02))
    await (await client_of(server)).chat_postMessage(channel="C0CONTENT", text="x")
    (call,) = workspace.calls
    assert call.answered - call.arrived >= 0.02


async def test_a_held_call_works_once_it_is_let_go(serve: Serve, client_of: ClientOf) -> None:
    """What was called after it does not wait for it."""
    workspace, server = await serve()
    released = asyncio.Event()
    workspace.faults.add("chat.postMessage", Hold(released), when=lambda call: call["text"] == "held")
    client = await client_of(server)
    held = asyncio.create_task(client.chat_postMessage(channel="C0CONTENT", text="held"))
    await client.chat_postMessage(channel="C0CONTENT", text="later")
    assert not held.done()
    released.set()
    await held
    assert [root.shown for root in workspace.channel("content").roots] == ["later", "held"]


@pytest.mark.parametrize(("target", "fault"), [("interactive", ServerError()), ("chat.update", Drop())])
async def test_an_impossible_fault_is_not_accepted(serve: Serve, target: str, fault: ServerError | Drop) -> None:
    """Otherwise a test would wait for a failure that never comes."""
    workspace, _ = await serve()
    with pytest.raises(ValueError, match="cannot happen to"):
        workspace.faults.add(target, fault)
