"""The recordings of a real Dify server, as the tests of the client read them (tests/data/dify/README.md)."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import httpx
from httpx_sse import EventSource

from bot.core.events import StreamEvent
from bot.dify.client import stream_events
from bot.dify.sansio import SegmentReader

FOLDER = Path(__file__).parents[1] / "data" / "dify"


@dataclass(frozen=True)
class Exchange:
    """One recorded request and what came back."""

    number: str
    method: str
    path: str
    status: int | None
    """None where no answer came."""
    body: str
    chunks: tuple[bytes, ...] | None
    """The chunks of a stream as they came."""

    @property
    def route(self) -> str:
        """The method and the path with its ids replaced by `*`."""
        path = re.sub(r"(human_input|run|tasks|chat-messages|workflow)/[^/]+", r"\1/*", self.path.partition("?")[0])
        return f"{self.method} {path}"

    @property
    def stream(self) -> bytes:
        assert self.chunks is not None
        return b"".join(self.chunks)


def _exchange(number: str, recorded: dict[str, Any]) -> Exchange:
    request, response = recorded["request"], recorded["response"]
    chunks = response.get("sse_chunks")
    return Exchange(
        number,
        request["method"],
        request["path"],
        response.get("status"),
        response.get("body") or "",
        None if chunks is None else tuple(chunk["data"].encode() for chunk in chunks),
    )


@cache
def exchanges() -> tuple[Exchange, ...]:
    """Return every recorded exchange; `number` is like `01/3`: the file and the place in it."""
    return tuple(
        _exchange(f"{path.name[:2]}/{place}", recorded)
        for path in sorted(FOLDER.glob("*.json"))
        for place, recorded in enumerate(json.loads(path.read_text())["exchanges"])
    )


def exchange(number: str) -> Exchange:
    return next(each for each in exchanges() if each.number == number)


def streams() -> list[Exchange]:
    return [each for each in exchanges() if each.chunks is not None]


@cache
def different_streams() -> tuple[bytes, ...]:
    """Return the recorded streams, with one for those that differ only in ids, moments and durations."""
    return tuple(sorted({_with_made_up_ids(each.stream) for each in streams()}))


def _with_made_up_ids(body: bytes) -> bytes:
    for pattern, made_up in _MADE_UP:
        body = re.sub(pattern, made_up, body)
    return body


_MADE_UP = (
    (rb"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", b"00000000-0000-0000-0000-000000000000"),
    (rb"\b1[0-9]{9}\b", b"1111111111"),
    (rb'"form_token":"\w{22}"', b'"form_token":"xxxxxxxxxxxxxxxxxxxxxx"'),
    (rb'"elapsed_time":[0-9.e-]+', b'"elapsed_time":0.123456'),
)


def frames(body: bytes) -> list[bytes]:
    """Return the frames of a stream, each with the blank line that ends it; a cut-off rest is left out."""
    return [frame + b"\n\n" for frame in body.split(b"\n\n")[:-1]]


async def read(chunks: Iterable[bytes], reader: SegmentReader) -> list[StreamEvent]:
    """Read a stream that arrives in these chunks, the way the client does."""

    async def arriving() -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk

    response = httpx.Response(200, headers={"Content-Type": "text/event-stream; charset=utf-8"}, content=arriving())
    return [event async for event in stream_events(EventSource(response), reader)]
