"""A served workspace, and a real Bolt app connected to it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any, Protocol

import aiohttp
import pytest
from aiohttp import web
from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler
from slack_bolt.async_app import AsyncApp
from slack_sdk.web.async_client import AsyncWebClient

from bot.playground.slack import RateLimits, SlackServer, Workspace


class Clock:
    """A clock that only moves when told to."""

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds


def make_workspace(**changes: Any) -> Workspace:
    """A small workspace: everyone and the bot in #content, ann alone in #random, nobody limited."""
    settings: dict[str, Any] = {
        "people": ["ann", "ben", "cleo"],
        "channels": {"content": ["ann", "ben", "cleo", "bot"], "random": ["ann"]},
        "rate_limits": RateLimits.off(),
    }
    return Workspace(**(settings | changes))


class Serve(Protocol):
    """Starts a workspace's server for the length of a test."""

    async def __call__(self, **changes: Any) -> tuple[Workspace, SlackServer]: ...


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    """Closes, in reverse, what the other fixtures opened."""
    async with AsyncExitStack() as stack:
        yield stack


@pytest.fixture
def serve(stack: AsyncExitStack) -> Serve:
    """Start a workspace with these changes to the defaults."""

    async def start(**changes: Any) -> tuple[Workspace, SlackServer]:
        workspace = make_workspace(**changes)
        return workspace, await stack.enter_async_context(SlackServer(workspace))

    return start


@pytest.fixture
def client_of(stack: AsyncExitStack) -> Callable[..., Any]:
    """An `AsyncWebClient` for a server, without retries."""

    async def connect(server: SlackServer, token: str = "xoxb-demo") -> AsyncWebClient:
        session = await stack.enter_async_context(aiohttp.ClientSession())
        return AsyncWebClient(token=token, base_url=server.api_url, session=session, retry_handlers=[])

    return connect


@pytest.fixture
def bolt(stack: AsyncExitStack) -> Callable[..., Any]:
    """Run a Bolt app against a server, over Socket Mode or HTTP, with listeners that `register` adds."""

    async def run(server: SlackServer, register: Callable[[AsyncApp], None], *, http: bool = False) -> AsyncApp:
        client = AsyncWebClient(token="xoxb-demo", base_url=server.api_url)
        app = AsyncApp(client=client, signing_secret=server.workspace.signing_secret)
        register(app)
        if http:
            runner = web.AppRunner(app.web_app(path="/slack/events"))
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            await server.deliver_over_http(f"http://127.0.0.1:{runner.addresses[0][1]}/slack/events")
        else:
            handler = AsyncSocketModeHandler(app, "xapp-demo")
            await handler.connect_async()
            stack.push_async_callback(handler.close_async)
        return app

    return run
