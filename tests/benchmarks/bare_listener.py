"""What the bot's listeners are compared with: Bolt as it comes, with listeners that ack and nothing else."""

from __future__ import annotations

import asyncio
import re

from aiohttp import web
from slack_bolt.app.async_app import AsyncApp
from slack_bolt.context.ack.async_ack import AsyncAck
from slack_sdk.web.async_client import AsyncWebClient

from tests.benchmarks.children import serve


class BareListener:
    """Listens as the bot does: Bolt's own web application, without an access log."""

    async def listen(self, api_url: str, token: str, signing_secret: str) -> str:
        """Start, and return the address to deliver to."""
        app = AsyncApp(client=AsyncWebClient(token=token, base_url=api_url), signing_secret=signing_secret)
        app.command("/dify")(_ack_only)
        app.action(re.compile(r".*"))(_ack_only)
        runner = web.AppRunner(app.web_app("/slack/events"), access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{runner.addresses[0][1]}/slack/events"


async def _ack_only(ack: AsyncAck) -> None:
    await ack()


if __name__ == "__main__":
    asyncio.run(serve(BareListener()))
