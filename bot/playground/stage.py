"""Everything a scenario needs: both simulated platforms on loopback, and the bot between them."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import aiohttp

from bot.playground.bot_process import BotProcess, free_port
from bot.playground.dify import App, Dify, DifyServer
from bot.playground.slack import RateLimits, SlackServer, Workspace
from bot.playground.slack.delivery import Delivery, HttpTransport, NotAcknowledged, Retry
from bot.playground.slack.text import Json

Transport = Literal["socket", "http"]

HOST = "127.0.0.1"
PEOPLE = ("ann", "ben", "cleo")
CHANNEL = "content"
SCOPES = (
    "channels:history",
    "chat:write",
    "commands",
    "files:read",
    "files:write",
    "groups:history",
    "im:history",
    "mpim:history",
)
"""What the bot's manifest asks for, and no more."""

EVENTS = ("app_home_opened", "message.channels", "message.groups", "message.im", "message.mpim")
"""What it subscribes to, and no more."""

SHORTCUT = "start.message"
"""What it puts into the menu of every message."""
SHORTCUT_NAME = "Run a Dify app"
"""What that reads."""

LEASE_SECONDS = 2
"""After so long without a sign of life a process is taken for dead by the others."""

_RETRY_SECONDS = 0.05


@dataclass(frozen=True)
class Stage:
    """The platforms and the bot, as long as they are up."""

    transport: Transport
    workspace: Workspace
    slack: SlackServer
    dify: Dify
    dify_server: DifyServer
    bots: tuple[BotProcess, ...]
    """The processes that share the work, all of them started."""
    database_url: str
    new_bot: Callable[[], BotProcess]
    """Gives one more process over the same database, not started; over HTTP Slack delivers nothing to it."""

    @property
    def bot(self) -> BotProcess:
        """The only process, or the first of several."""
        return self.bots[0]


@asynccontextmanager
async def open_stage(
    transport: Transport,
    folder: Path,
    apps: Mapping[str, App],
    *,
    channels: Iterable[str] = (CHANNEL,),
    speed: float = 1.0,
    rate_limits: RateLimits | None = None,
    ack_timeout: float = 3.0,
    processes: int = 1,
    database_url: str | None = None,
    settings: Mapping[str, str] | None = None,
    app_settings: str = "",
) -> AsyncIterator[Stage]:
    """Start everything, the bot knowing `apps` under these names, and end it with the context.

    Everybody and the bot are in every one of `channels`. Files are kept in `folder`, `speed` is Dify's, `rate_limits`
    and `ack_timeout` (in seconds) are Slack's, its real ones by default. Several `processes` need a `database_url` they
    can share; without one the database is a file in `folder`. `settings` go into the bot's environment, `app_settings`
    are lines of TOML for every app. Raises `BotDied` when the bot does not come up.
    """
    workspace = Workspace(
        people=PEOPLE,
        channels={channel: (*PEOPLE, "bot") for channel in channels},
        scopes=SCOPES,
        events=EVENTS,
        shortcuts=(SHORTCUT,),
        rate_limits=rate_limits,
        ack_timeout=ack_timeout,
    )
    dify = Dify(apps.values(), speed=speed)
    database_url = database_url or f"sqlite:///{folder / 'bot.sqlite3'}"
    async with SlackServer(workspace, HOST) as slack, DifyServer(dify, HOST) as dify_server:
        environment = {
            "SLACK_BOT_TOKEN": workspace.bot_token,
            "SLACK_API_URL": slack.api_url,
            "BOT_CONFIG": str(_apps_file(folder, apps, dify_server.base_url, app_settings)),
            "DATABASE_URL": database_url,
            "HOST": HOST,
            "SLACK_RATE_FACTOR": str(min(workspace.rate_limits.factor, 1_000.0)),
            "POLL_INTERVAL": "1",
            "LEASE_SECONDS": str(LEASE_SECONDS),
            "LOG_FORMAT": "json",
            **(settings or {}),
        }
        addresses: dict[BotProcess, str] = {}
        numbers = itertools.count(1)

        def new_bot() -> BotProcess:
            home = folder / f"process{next(numbers)}"
            home.mkdir()
            if transport == "socket":
                own = {"SLACK_APP_TOKEN": workspace.app_token}
                return BotProcess(environment | own, home, lambda: _connected(workspace))
            own = {"SLACK_SIGNING_SECRET": workspace.signing_secret, "PORT": str(port := free_port(HOST))}
            bot = BotProcess(environment | own, home, lambda: until_healthy(f"{addresses[bot]}/healthz"))
            addresses[bot] = f"http://{HOST}:{port}"
            return bot

        async with AsyncExitStack() as stack:
            bots = [await stack.enter_async_context(new_bot()) for _ in range(processes)]
            if transport == "http":
                urls = [f"{addresses[bot]}/slack/events" for bot in bots]
                if processes == 1:
                    await slack.deliver_over_http(urls[0])
                else:
                    await workspace.courier.use(_InTurn(workspace, list(zip(bots, urls, strict=True))))
            yield Stage(transport, workspace, slack, dify, dify_server, tuple(bots), database_url, new_bot)


async def _connected(workspace: Workspace) -> None:
    """Wait for a connection that is not there yet."""
    sockets = workspace.courier.sockets
    there = list(sockets.connections)
    await workspace.wait_for(lambda: [each for each in sockets.connections if each not in there], timeout=60)


class _InTurn:
    """Takes each payload to one of several processes, as a load balancer that knows which of them are up."""

    def __init__(self, workspace: Workspace, processes: Sequence[tuple[BotProcess, str]]) -> None:
        self._ways = [(bot, HttpTransport(workspace, url)) for bot, url in processes]
        self._turn = itertools.count()

    async def ready(self) -> None:
        """At once: over HTTP Slack just tries."""

    async def attempt(self, delivery: Delivery, retry: Retry | None) -> tuple[float, Json | None]:
        """Deliver once, to the next process that is up."""
        up = [way for bot, way in self._ways if bot.is_ready]
        if not up:
            raise NotAcknowledged("connection_failed")
        return await up[next(self._turn) % len(up)].attempt(delivery, retry)

    def may_retry(self, delivery: Delivery) -> bool:
        """Unless a process answered `x-slack-no-retry: 1`."""
        return all(way.may_retry(delivery) for _, way in self._ways)

    async def close(self) -> None:
        """Close the client sessions."""
        for _, way in self._ways:
            await way.close()


def _apps_file(folder: Path, apps: Mapping[str, App], base_url: str, more: str) -> Path:
    file = folder / "apps.toml"
    tables = (f'[apps.{name}]\napi_key = "{app.key}"\nbase_url = "{base_url}"\n{more}\n' for name, app in apps.items())
    file.write_text("\n".join(tables))
    return file


async def until_healthy(url: str, pause: float = _RETRY_SECONDS) -> None:
    """Ask every `pause` seconds until the answer is 200: nothing announces that a port is listened on."""
    async with aiohttp.ClientSession() as session:
        while True:
            try:
                async with session.get(url) as answer:
                    if answer.status == 200:
                        return
            except aiohttp.ClientConnectionError:
                pass
            await asyncio.sleep(pause)
