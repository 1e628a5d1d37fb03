"""Replays a recording of a real Dify server against the simulated one and lists the differences.

Requests are sent in the recorded order. One is sent as soon as everything has happened that had happened before it on
the real server: exchanges that were over are over, streams that were open have shown the same number of events, and the
pause since then, divided by the simulated server's speed, has passed.
"""

import asyncio
import json
import re
from collections import defaultdict
from collections.abc import Awaitable, Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from bot.playground.dify import Dify, DifyServer

RECORDINGS = Path(__file__).parents[2] / "data" / "dify"
_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|[0-9A-Za-z]{22}")
_TELLING = frozenset(
    {
        *("event", "status", "error", "code", "message", "text", "answer", "reason", "action_id", "action_text"),
        *("form_content", "rendered_content", "title", "node_id", "node_type", "paused_nodes", "TYPE"),
        *(
            "display_in_ui",
            "exceptions_count",
            "default_language",
        ),
    }
)
_PYDANTIC = re.compile(r"errors\.pydantic\.dev/[0-9.]+|input_value=.*?, (?=input_type)")
_ADDRESS = re.compile(r"https?://(?:127\.0\.0\.1|localhost):\d+[^\s)\"]*")
_REMOTE_FILES = "http://127.0.0.1:5002"


@dataclass
class Frame:
    """A recorded event and the second in which it came, counted from the start of the recording."""

    at: float
    event: dict[str, Any]


@dataclass
class Exchange:
    """One recorded request and its answer."""

    index: int
    label: str
    app: str
    started_at: float
    ended_at: float
    request: dict[str, Any]
    response: dict[str, Any]
    frames: list[Frame] = field(default_factory=list)

    @property
    def is_stream(self) -> bool:
        """Tell whether the answer was a stream of events."""
        return "sse_chunks" in self.response

    @property
    def closed_by_client(self) -> bool:
        """Tell whether the client went away before the server had ended the answer."""
        return str(self.response["ended"]).startswith("client")


def load(name: str, left_out: Container[int]) -> list[Exchange]:
    """Return the exchanges of the recording whose file name starts with `name`, but for some."""
    (path,) = RECORDINGS.glob(f"{name}-*.json")
    recorded = json.loads(path.read_text(encoding="utf-8"))["exchanges"]
    return [_exchange(index, item) for index, item in enumerate(recorded) if index not in left_out]


def _exchange(index: int, item: dict[str, Any]) -> Exchange:
    response = item["response"]
    started_at = item["started_at_s"]
    frames = [
        Frame(started_at + chunk["t"], json.loads(line[6:]))
        for chunk in response.get("sse_chunks") or []
        for line in chunk["data"].split("\n\n")
        if line.startswith("data: ")
    ]
    ended_at = started_at + response["ended_at_s"]
    return Exchange(index, item["label"], item["app"], started_at, ended_at, item["request"], response, frames)


Step = Callable[[Dify], Awaitable[None]]
_STEP_S = 0.6
_ROUNDING_S = 0.005


class Replay:
    """One recording played once; `differences` are sentences for people.

    `steps` are what somebody did to the real server itself, 0.6 s after the request with that index was sent.
    `longest_pause` (seconds of the real server) cuts pauses in which nothing happened. `remote_files` is the address
    of a web server that has the remote files of the recordings.
    """

    def __init__(
        self,
        exchanges: Sequence[Exchange],
        dify: Dify,
        server: DifyServer,
        *,
        steps: Mapping[int, Step],
        longest_pause: float,
        ids: Mapping[str, str],
        remote_files: str,
    ) -> None:
        self._exchanges = exchanges
        self._dify = dify
        self._origin = server.base_url.removesuffix("/v1")
        self._steps = steps
        self._longest_pause = longest_pause
        self._ids = dict(ids)
        self._remote_files = remote_files
        self._addresses: dict[str, str] = {}
        self._seen: defaultdict[int, list[dict[str, Any]]] = defaultdict(list)
        self._news = asyncio.Condition()
        self._open: set[int] = set()
        self._over: set[int] = set()
        self.differences: list[str] = []

    async def play(self) -> None:
        """Send every request and compare every answer."""
        async with asyncio.TaskGroup() as group:
            for exchange in self._exchanges:
                await self._wait_for_turn(exchange)
                group.create_task(self._play(exchange))
                if step := self._steps.get(exchange.index):
                    async with self._news:
                        await self._news.wait_for(lambda: exchange.index in self._open | self._over)  # noqa: B023
                    await self._dify.clock.sleep(_STEP_S)
                    await step(self._dify)

    async def _wait_for_turn(self, exchange: Exchange) -> None:
        begun = [other for other in self._exchanges if other.index < exchange.index]
        over = {other.index for other in begun if other.ended_at <= exchange.started_at + _ROUNDING_S}
        streams = {
            other.index: sum(frame.at <= exchange.started_at for frame in other.frames)
            for other in begun
            if other.index not in over and other.is_stream
        }

        def happened() -> bool:
            shown = all(len(self._seen[index]) >= count for index, count in streams.items())
            return shown and over <= self._over and streams.keys() <= self._open | self._over

        async with self._news:
            await asyncio.wait_for(self._news.wait_for(happened), timeout=20)
        latest = max((other.ended_at if other.index in over else other.started_at for other in begun), default=0.0)
        await self._dify.clock.sleep(min(max(0.0, exchange.started_at - latest), self._longest_pause))

    async def _play(self, exchange: Exchange) -> None:
        # A client of its own: nothing is shared between exchanges, as in the recordings.
        async with (
            httpx.AsyncClient(base_url=self._origin, timeout=20, verify=False) as client,
            client.stream(**self._request(exchange)) as response,
        ):
            await self._compare(exchange, response)
        await self._note(self._over, exchange)

    async def _note(self, happened: set[int], exchange: Exchange) -> None:
        async with self._news:
            happened.add(exchange.index)
            self._news.notify_all()

    def _request(self, exchange: Exchange) -> dict[str, Any]:
        request = exchange.request
        headers = {name: value for name, value in request["headers"].items()}
        key = next(app.key for app in self._dify.apps.values() if app.name == exchange.app)
        if "Authorization" in headers:
            headers["Authorization"] = headers["Authorization"].replace("app-REDACTED", key)
        head, files, address = request["path"].partition("/files/")
        path = f"{head}{files}{self._addresses[address]}" if address in self._addresses else self._live(request["path"])
        sent: dict[str, Any] = {"method": request["method"], "url": path, "headers": headers}
        body = request.get("body")
        if isinstance(body, dict) and "multipart" in body:
            sent |= _multipart(body["multipart"])
        elif isinstance(body, str):
            sent["content"] = body.encode("utf-8", "surrogatepass")
        elif body is not None:
            sent["content"] = self._live(json.dumps(body))
        return sent

    def _live(self, text: str) -> str:
        with_ids = _ID.sub(lambda match: self._ids.get(match.group(0), match.group(0)), text)
        return with_ids.replace(_REMOTE_FILES, self._remote_files)

    async def _compare(self, exchange: Exchange, response: httpx.Response) -> None:
        recorded = exchange.response
        if "status" not in recorded:
            return None  # the client did not wait for the answer
        if response.status_code != recorded["status"]:
            await response.aread()
            return self._differ(exchange, "status", recorded["status"], f"{response.status_code} {response.text}")
        for header in ("x-version", "x-env"):
            if response.headers.get(header) != recorded["headers"].get(header):
                self._differ(exchange, header, recorded["headers"].get(header), response.headers.get(header))
        expected_type = recorded["headers"]["content-type"].partition(";")[0]
        if response.headers["content-type"].partition(";")[0] != expected_type:
            return self._differ(exchange, "content type", expected_type, response.headers["content-type"])
        if exchange.is_stream:
            await self._compare_stream(exchange, response)
        else:
            await response.aread()
            self._compare_body(exchange, response)

    def _compare_body(self, exchange: Exchange, response: httpx.Response) -> None:
        if exchange.response["body"] and response.headers["content-type"].startswith("application/json"):
            recorded, live = json.loads(exchange.response["body"]), response.json()
            self._learn(recorded, live)
            self._compare_json(exchange, "", recorded, live)

    async def _compare_stream(self, exchange: Exchange, response: httpx.Response) -> None:
        seen = self._seen[exchange.index]
        async for line in response.aiter_lines():
            if line.startswith("data: "):
                await self._see(exchange, json.loads(line[6:]))
            elif line.startswith("event: ping"):
                await self._note(self._open, exchange)
            if exchange.closed_by_client and len(seen) >= len(exchange.frames):
                break
        expected, got = _told(frame.event for frame in exchange.frames), _told(iter(seen))
        if sorted(expected) != sorted(got) if _parallel(exchange) else expected != got:
            self._differ(exchange, "events", expected, got)
            return
        for recorded, live in _pairs([frame.event for frame in exchange.frames], seen):
            self._compare_json(exchange, recorded["event"], recorded, live)

    async def _see(self, exchange: Exchange, event: dict[str, Any]) -> None:
        async with self._news:
            self._seen[exchange.index].append(event)
            for recorded, live in _pairs([frame.event for frame in exchange.frames], self._seen[exchange.index]):
                self._learn(recorded, live)
            self._news.notify_all()

    def _learn(self, recorded: Any, live: Any) -> None:
        match recorded, live:
            case dict(), dict():
                for name in recorded.keys() & live.keys():
                    self._learn(recorded[name], live[name])
            case list(), list():
                for one, other in zip(_aligned(recorded), _aligned(live), strict=False):
                    self._learn(one, other)
            case str(), str():
                if _ID.fullmatch(recorded) and _ID.fullmatch(live):
                    self._ids[recorded] = live
                elif "/files/" in recorded and "/files/" in live:
                    self._addresses[recorded.partition("/files/")[2]] = live.partition("/files/")[2]

    def _compare_json(self, exchange: Exchange, path: str, recorded: Any, live: Any) -> None:
        match recorded, live:
            case dict(), dict():
                if recorded.keys() != live.keys():
                    only = f"-{sorted(recorded.keys() - live.keys())} +{sorted(live.keys() - recorded.keys())}"
                    self._differ(exchange, path, "keys", only)
                for name in recorded.keys() & live.keys():
                    self._compare_json(exchange, f"{path}.{name}", recorded[name], live[name])
            case list(), list():
                if len(recorded) != len(live):
                    self._differ(exchange, path, f"{len(recorded)} items", f"{len(live)} items")
                for index, (one, other) in enumerate(zip(_aligned(recorded), _aligned(live), strict=False)):
                    self._compare_json(exchange, f"{path}[{index}]", one, other)
            case _:
                self._compare_leaf(exchange, path, recorded, live)

    def _compare_leaf(self, exchange: Exchange, path: str, recorded: Any, live: Any) -> None:
        if _json_type(recorded) != _json_type(live) or (
            path.rpartition(".")[2].partition("[")[0] in _TELLING and self._plain(recorded) != _plain(live)
        ):
            self._differ(exchange, path, recorded, live)

    def _plain(self, value: Any) -> Any:
        return _plain(self._live(value)) if isinstance(value, str) else value

    def _differ(self, exchange: Exchange, where: str, recorded: Any, live: Any) -> None:
        self.differences.append(f"[{exchange.index}] {exchange.label}: {where}: recorded {recorded!r}, got {live!r}")


def _multipart(body: dict[str, Any]) -> dict[str, Any]:
    files = [
        (
            part["field"],
            (part["filename"], b"x" * part["bytes"], *([part["content_type"]] if part["content_type"] else [])),
        )
        for part in body["files"]
    ]
    return {"data": body["fields"], "files": files}


def _plain(value: Any) -> Any:
    """Return a text without what differs from server to server: addresses, ids and the version of pydantic."""
    return _ADDRESS.sub("URL", _PYDANTIC.sub("", value)) if isinstance(value, str) else value


def _aligned(items: list[Any]) -> list[Any]:
    """Return lists of nodes and their forms in the order of ids: what is made side by side has no fixed order."""
    if all(isinstance(item, str) for item in items):
        return sorted(items)
    if all(isinstance(item, dict) and "node_id" in item for item in items):
        return sorted(items, key=lambda item: str(item["node_id"]))
    return items


def _json_type(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return type(value).__name__
    return "number" if isinstance(value, int | float) else type(value).__name__


def _key(event: dict[str, Any]) -> tuple[str, str]:
    fields = event.get("data") or event
    selector = fields.get("from_variable_selector") or []
    return event["event"], str(fields.get("node_id") or ".".join(selector))


def _told(events: Iterator[dict[str, Any]]) -> list[tuple[str, str]]:
    return [_key(event) for event in events]


def _parallel(exchange: Exchange) -> bool:
    """Tell whether branches of this app run side by side, so that the order of their events is not fixed."""
    return exchange.app.startswith(("parallel", "two-forms", "fail-next", "fail-with"))


def _pairs(
    recorded: list[dict[str, Any]], live: list[dict[str, Any]]
) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Yield every recorded event with the live one of the same kind and node, in the order of each kind."""
    waiting: defaultdict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for event in live:
        waiting[_key(event)].append(event)
    for event in recorded:
        if same := waiting[_key(event)]:
            yield event, same.pop(0)
