"""What the bot's streams are compared with: httpx-sse as it comes, with JSON decoding and nothing else."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
from httpx_sse import aconnect_sse

from tests.benchmarks.children import serve


class BareLoop:
    """Reads streams of events, each over a client of its own, as the bot does; they share one TLS context."""

    def __init__(self) -> None:
        self._tls = httpx.create_ssl_context()
        self._readers: list[asyncio.Task[None]] = []
        self._count = 0

    async def read(self, base_url: str, streams: list[dict[str, str]]) -> None:
        """Open the events of these runs (`run`, `user`, `key`); return once each stream was heard of."""
        heard_of = []
        for stream in streams:
            heard = asyncio.Event()
            heard_of.append(heard)
            self._readers.append(asyncio.create_task(self._read(base_url, stream, heard)))
        for heard in heard_of:
            await heard.wait()

    async def events(self) -> int:
        """Return how many events came so far, over all streams."""
        for reader in self._readers:
            if reader.done():
                raise RuntimeError("a stream ended before the measurement did") from reader.exception()
        return self._count

    async def _read(self, base_url: str, stream: dict[str, str], heard: asyncio.Event) -> None:
        url, query = f"{base_url}/workflow/{stream['run']}/events", {"user": stream["user"]}
        headers = {"Authorization": f"Bearer {stream['key']}"}
        async with (
            httpx.AsyncClient(headers=headers, verify=self._tls, timeout=60) as client,
            aconnect_sse(client, "GET", url, params=query) as source,
        ):
            async for message in source.aiter_sse():
                heard.set()
                if message.data:
                    self._take(json.loads(message.data))

    def _take(self, event: Any) -> None:
        self._count += 1


if __name__ == "__main__":
    asyncio.run(serve(BareLoop()))
