"""Everything a scenario needs: both simulated platforms on loopback, and the bot between them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import aiohttp

from bot.playground.bot_process import BotProcess, free_port
from bot.playground.dify import App, Dify, DifyServer
from bot.playground.slack import RateLimits, SlackServer, Workspace

Transport = Literal["socket", "http"]

HOST = "127.0.0.1"
PEOPLE = ("ann", "ben", "cleo")
CHANNEL = "content"
SCOPES = ("channels:history", "chat:write", "commands", "groups:history", "im:history", "mpim:history")
"""What the bot's manifest asks for, and no more."""

_RETRY_SECONDS = 0.05


@dataclass(frozen=True)
class Stage:
    """The platforms and the bot, as long as they are up."""

    transport: Transport
    workspace: Workspace
    slack: SlackServer
    dify: Dify
    dify_url: str
    bot: BotProcess
    database: Path


@asynccontextmanager
async def open_stage(
    transport: Transport,
    folder: Path,
    apps: Mapping[str, App],
    *,
    channels: Iterable[str] = (CHANNEL,),
    speed: float = 1.0,
    rate_limits: RateLimits | None = None,
) -> AsyncIterator[Stage]:
    """Start everything, the bot knowing `apps` under these names, and end it with the context.

    Everybody and the bot are in every one of `channels`. Files are kept in `folder`, `speed` is Dify's, `rate_limits`
    are Slack's (its real ones by default). Raises `BotDied` when the bot does not come up.
    """
    workspace = Workspace(
        people=PEOPLE,
        channels={channel: (*PEOPLE, "bot") for channel in channels},
        scopes=SCOPES,
        rate_limits=rate_limits,
    )
    dify = Dify(apps.values(), speed=speed)
    async with SlackServer(workspace, HOST) as slack, DifyServer(dify, HOST) as dify_server:
        port = free_port(HOST)
        database = folder / "bot.sqlite3"
        environment = {
            "SLACK_BOT_TOKEN": workspace.bot_token,
            "SLACK_API_URL": slack.api_url,
            "BOT_CONFIG": str(_apps_file(folder, apps, dify_server.base_url)),
            "DATABASE_URL": f"sqlite:///{database}",
            "HOST": HOST,
            "PORT": str(port),
            "POLL_INTERVAL": "1",
            "LOG_FORMAT": "json",
        }

        async def connected() -> None:
            await workspace.wait_for(lambda: workspace.courier.sockets.connections, timeout=60)

        async def healthy() -> None:
            await until_healthy(f"http://{HOST}:{port}/healthz")

        if transport == "socket":
            bot = BotProcess({**environment, "SLACK_APP_TOKEN": workspace.app_token}, folder, connected)
        else:
            bot = BotProcess({**environment, "SLACK_SIGNING_SECRET": workspace.signing_secret}, folder, healthy)
        async with bot:
            if transport == "http":
                await slack.deliver_over_http(f"http://{HOST}:{port}/slack/events")
            yield Stage(transport, workspace, slack, dify, dify_server.base_url, bot, database)


def _apps_file(folder: Path, apps: Mapping[str, App], base_url: str) -> Path:
    file = folder / "apps.toml"
    tables = (f'[apps.{name}]\napi_key = "{app.key}"\nbase_url = "{base_url}"\n' for name, app in apps.items())
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
