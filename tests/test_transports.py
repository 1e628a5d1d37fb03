"""Both ways Slack reaches the bot: who is let in, what comes back by itself, and how it ends."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import socket
import time
from collections.abc import MutableMapping
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import pytest
from slack_bolt.app.async_app import AsyncApp
from slack_sdk.web.async_client import AsyncWebClient

from bot import transports
from bot.errors import ConfigError, SlackUnavailable
from bot.playground.bot_process import free_port
from bot.playground.slack.faults import RateLimited, ServerError
from tests.services.conftest import logged, stage
from tests.services.stage import CHANNEL, Stage

HOST = "127.0.0.1"
__all__ = ["logged", "stage"]


async def healthy() -> bool:
    return True


class Gate:
    """A listener that acks when it may."""

    def __init__(self, app: AsyncApp) -> None:
        self.entered, self.open = asyncio.Event(), asyncio.Event()
        app.command("/dify")(self.pass_through)

    async def pass_through(self, ack: Any) -> None:
        self.entered.set()
        await self.open.wait()
        await ack("Passed.")


@pytest.fixture
def app(stage: Stage) -> AsyncApp:
    """A bare app that knows the workspace's secrets."""
    return AsyncApp(client=stage.client, signing_secret=stage.workspace.signing_secret)


@pytest.fixture
def gate(app: AsyncApp) -> Gate:
    """Its only listener."""
    return Gate(app)


async def end_before_the_ack(stack: AsyncExitStack, gate: Gate) -> None:
    """Close the transport while a payload is under way, and let that one pass once it waits for nothing else."""
    await gate.entered.wait()
    ending = asyncio.create_task(stack.aclose())
    for _ in range(20):
        await asyncio.sleep(0)
    assert not ending.done()
    gate.open.set()
    await ending


# --- HTTP ------------------------------------------------------------------------------------------------------------


def signed(secret: str, body: str, at: float) -> dict[str, str]:
    """Return the headers that Slack sends along (slack-platform §4.3)."""
    digest = hmac.new(secret.encode(), f"v0:{int(at)}:{body}".encode(), hashlib.sha256).hexdigest()
    return {
        "Content-Type": "application/json",
        "X-Slack-Request-Timestamp": str(int(at)),
        "X-Slack-Signature": f"v0={digest}",
    }


@pytest.mark.parametrize(
    ("secret", "age", "status"),
    [("demo-signing-secret", 0, 200), ("another-secret", 0, 401), ("demo-signing-secret", 301, 401)],
    ids=["signed by Slack", "signed by somebody else", "recorded five minutes ago"],
)
async def test_only_fresh_requests_that_slack_signed_are_taken(
    app: AsyncApp, secret: str, age: float, status: int
) -> None:
    body = json.dumps({"type": "url_verification", "challenge": "abc"})
    async with transports.http(app, HOST, 0, healthy) as port, aiohttp.ClientSession() as session:
        headers = signed(secret, body, time.time() - age)
        async with session.post(f"http://{HOST}:{port}/slack/events", data=body, headers=headers) as answer:
            assert answer.status == status


async def test_what_people_do_arrives_over_http(stage: Stage, app: AsyncApp, gate: Gate) -> None:
    gate.open.set()
    async with transports.http(app, HOST, 0, healthy) as port:
        await stage.slack.deliver_over_http(f"http://{HOST}:{port}/slack/events")
        assert (await stage.workspace.person("ann").command(CHANNEL, "/dify x")).acked
    assert stage.workspace.find(visible_to="ann", text="Passed.")


@pytest.mark.parametrize(("database", "status"), [(True, 200), (False, 503)])
async def test_health_is_the_databases(app: AsyncApp, database: bool, status: int) -> None:
    """It is asked by whoever restarts the bot, so it needs no signature."""

    async def reachable() -> bool:
        return database

    async with (
        transports.http(app, HOST, 0, reachable) as port,
        aiohttp.ClientSession() as session,
        session.get(f"http://{HOST}:{port}/healthz") as answer,
    ):
        assert answer.status == status


async def test_a_port_in_use_is_a_wrong_setting(app: AsyncApp) -> None:
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"^PORT {port} on HOST {HOST} cannot be listened on .*another PORT.$"):
            async with transports.http(app, HOST, port, healthy):
                pass


async def test_a_request_under_way_is_answered_before_the_end(stage: Stage, app: AsyncApp, gate: Gate) -> None:
    stack = AsyncExitStack()
    port = await stack.enter_async_context(transports.http(app, HOST, 0, healthy))
    await stage.slack.deliver_over_http(f"http://{HOST}:{port}/slack/events")
    asked = asyncio.create_task(stage.workspace.person("ann").command(CHANNEL, "/dify x"))
    await end_before_the_ack(stack, gate)
    assert (await asked).acked


# --- Socket Mode -----------------------------------------------------------------------------------------------------


async def test_what_people_do_arrives_over_socket_mode(stage: Stage, app: AsyncApp, gate: Gate) -> None:
    gate.open.set()
    async with transports.socket_mode(app, "xapp-demo", stage.client):
        await stage.workspace.wait_for(lambda: stage.slack.sockets.connections)
        assert (await stage.workspace.person("ann").command(CHANNEL, "/dify x")).acked
    assert stage.workspace.find(visible_to="ann", text="Passed.")
    await stage.workspace.wait_for(lambda: not stage.slack.sockets.connections)


@pytest.mark.provokes("invalid_auth")
async def test_an_app_token_that_slack_refuses_is_a_wrong_setting(stage: Stage, app: AsyncApp) -> None:
    with pytest.raises(
        ConfigError, match=r"^SLACK_APP_TOKEN is refused by Slack \(invalid_auth\): .*connections:write"
    ):
        async with transports.socket_mode(app, "xapp-revoked", stage.client):
            pass


@pytest.mark.parametrize("fault", [ServerError(503), RateLimited(30)], ids=["outage", "rate limit"])
async def test_a_slack_that_is_away_is_no_wrong_setting(
    stage: Stage, app: AsyncApp, fault: ServerError | RateLimited
) -> None:
    stage.workspace.faults.add("apps.connections.open", fault, times=5)
    with pytest.raises(SlackUnavailable, match=r"^Socket Mode cannot be reached"):
        async with transports.socket_mode(app, "xapp-demo", stage.client):
            pass


async def test_a_slack_that_cannot_be_reached_is_no_wrong_setting(app: AsyncApp) -> None:
    nowhere = AsyncWebClient(base_url=f"http://{HOST}:{free_port(HOST)}/api/")
    with pytest.raises(SlackUnavailable, match=r"^Socket Mode cannot be reached"):
        async with transports.socket_mode(app, "xapp-demo", nowhere):
            pass


@pytest.mark.parametrize("end", ["disconnect", "cut"])
async def test_a_connection_that_slack_ends_is_replaced(stage: Stage, app: AsyncApp, gate: Gate, end: str) -> None:
    """Announced (`refresh_requested`), or without a word."""
    gate.open.set()
    sockets = stage.slack.sockets
    async with transports.socket_mode(app, "xapp-demo", stage.client):
        (first,) = await stage.workspace.wait_for(lambda: sockets.connections)
        await getattr(sockets, end)()
        (second,) = await stage.workspace.wait_for(lambda: sockets.connections)
        assert second is not first
        assert (await stage.workspace.person("ann").command(CHANNEL, "/dify x")).acked


async def test_a_connection_that_slacks_client_does_not_bring_back_is_built_anew(
    stage: Stage, app: AsyncApp, gate: Gate, monkeypatch: pytest.MonkeyPatch, logged: list[MutableMapping[str, Any]]
) -> None:
    """The client stays closed for good here; the watchdog notices, and gives up neither when Slack is away, too, nor
    when the old client fails in being closed."""

    async def gone() -> None:
        raise OSError("it is gone")

    gate.open.set()
    monkeypatch.setattr(transports, "WATCH_INTERVAL", 0.01)
    made: list[Any] = []
    monkeypatch.setattr(transports, "_DrainableHandler", _noting(transports._DrainableHandler, made))
    async with transports.socket_mode(app, "xapp-demo", stage.client):
        stage.workspace.faults.add("apps.connections.open", ServerError(503))
        await made[0].client.close()
        monkeypatch.setattr(made[0].client, "close", gone)
        await stage.workspace.wait_for(lambda: stage.slack.sockets.connections)
        assert (await stage.workspace.person("ann").command(CHANNEL, "/dify x")).acked
    assert [entry["event"] for entry in logged].count("Socket Mode stays down") == 2


def _noting(kind: Any, made: list[Any]) -> Any:
    def make(*arguments: Any) -> Any:
        made.append(kind(*arguments))
        return made[-1]

    return make


async def test_a_payload_under_way_is_acked_before_the_end(stage: Stage, app: AsyncApp, gate: Gate) -> None:
    """Whoever pressed something right before a restart sees no error."""
    stack = AsyncExitStack()
    await stack.enter_async_context(transports.socket_mode(app, "xapp-demo", stage.client))
    await stage.workspace.wait_for(lambda: stage.slack.sockets.connections)
    asked = asyncio.create_task(stage.workspace.person("ann").command(CHANNEL, "/dify x"))
    await end_before_the_ack(stack, gate)
    assert (await asked).acked
    assert stage.workspace.find(visible_to="ann", text="Passed.")
