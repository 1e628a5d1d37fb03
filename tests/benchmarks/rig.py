"""The bot between the two simulated platforms, each of the three a process of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from bot.playground.bot_process import BotProcess, free_port
from bot.playground.stage import until_healthy
from tests.benchmarks import bare_listener, bare_loop, dify_side, slack_side
from tests.benchmarks.children import Child
from tests.benchmarks.dify_side import APPS

HOST = "127.0.0.1"
_LOOK_EVERY = 0.005
"""Seconds between two looks for a bot that comes up: the start-up time is known to this."""


@dataclass(frozen=True)
class Platforms:
    """The simulated platforms, and what the bot has to know to reach them."""

    slack: Child
    dify: Child
    dify_url: str
    slack_of: dict[str, dict[str, str]]
    """For the workspaces `bot` and `bare`: `api_url`, `token`, `signing_secret`."""

    def new_bot(self, folder: Path, port: int) -> BotProcess:
        """Return a bot that is not started yet, and keeps its database in `folder`."""
        apps = folder / "apps.toml"
        apps.write_text("\n".join(f'[apps.{app.name}]\napi_key = "{app.key}"' for app in APPS))
        slack = self.slack_of["bot"]
        environment = {
            "SLACK_BOT_TOKEN": slack["token"],
            "SLACK_SIGNING_SECRET": slack["signing_secret"],
            "SLACK_API_URL": slack["api_url"],
            "BOT_CONFIG": str(apps),
            "DIFY_BASE_URL": self.dify_url,
            "DIFY_MAX_STREAMS": "2000",
            "DATABASE_URL": f"sqlite:///{folder / 'bot.sqlite3'}",
            "HOST": HOST,
            "PORT": str(port),
            "LOG_FORMAT": "json",
        }
        return BotProcess(environment, folder, lambda: until_healthy(f"http://{HOST}:{port}/healthz", _LOOK_EVERY))


@dataclass(frozen=True)
class Rig:
    """The platforms and a bot that takes what people do over HTTP."""

    slack: Child
    dify: Child
    dify_url: str
    bot: BotProcess
    bare_listener: Child
    bare_loop: Child


@asynccontextmanager
async def open_platforms() -> AsyncIterator[Platforms]:
    """Start both platforms."""
    async with Child(slack_side.__name__) as slack, Child(dify_side.__name__) as dify:
        yield Platforms(slack, dify, await dify.call("base_url"), await slack.call("addresses"))


@asynccontextmanager
async def open_rig() -> AsyncIterator[Rig]:
    """Start everything anew: platforms, a bot with an empty database, and what it is compared with.

    Raises:
        RuntimeError: the bot logged an error meanwhile, so that its numbers may be those of a broken one.
    """
    with TemporaryDirectory(prefix="benchmark-") as folder:
        async with (
            open_platforms() as platforms,
            Child(bare_listener.__name__) as listener,
            Child(bare_loop.__name__) as loop,
        ):
            port = free_port(HOST)
            async with platforms.new_bot(Path(folder), port) as bot:
                slack = platforms.slack
                await slack.call("deliver", name="bot", url=f"http://{HOST}:{port}/slack/events")
                await slack.call(
                    "deliver", name="bare", url=await listener.call("listen", **platforms.slack_of["bare"])
                )
                yield Rig(slack, platforms.dify, platforms.dify_url, bot, listener, loop)
                if complaints := bot.complaints():
                    raise RuntimeError(f"measured a bot in trouble: {complaints[0]}")
