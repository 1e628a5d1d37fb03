"""What goes to and fro between the platforms and the bot, as a builder or an operator wants to read it."""

from __future__ import annotations

import itertools
import json
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, Protocol

from bot.playground.dify import Dify, RecordedRequest
from bot.playground.page.feed import Entry
from bot.playground.page.protocol import Json, TrafficDoc, TrafficSummary
from bot.playground.page.secrecy import Secrecy
from bot.playground.slack import Workspace
from bot.playground.slack.delivery import COMMAND, Delivery
from bot.playground.slack.workspace import Call

KEPT = 500
POLLS_KEPT = 50
"""A bot that waits for people asks again every second or so, which would leave no room for anything else."""
_ABOUT = 120
"""Characters."""
_POLLED = ("/v1/workflows/run/", "/v1/form/human_input/")
"""Where the bot looks again whether a run has moved, and whether a form is still open."""
_SNAPSHOT = "include_state_snapshot"
"""What it asks for to be told again all that has happened in a run so far (dify-api §9.1)."""
_PIECES = ("text_chunk", "message")
"""The events that carry a piece of a text each: those that follow one another are one entry."""


class Exchange(Protocol):
    """One entry: something that was sent, and its answer as soon as there is one."""

    @property
    def at(self) -> float:
        """Unix seconds."""

    @property
    def stamp(self) -> object:
        """Another one whenever the entry looks different."""

    def summary(self) -> TrafficSummary:
        """The entry's document, but for its number and time."""

    def body(self) -> tuple[Any, Any]:
        """All that was sent, and all of the answer."""


@dataclass(frozen=True)
class _Payload:
    """Slack told the bot something."""

    delivery: Delivery
    at: float

    @property
    def stamp(self) -> object:
        return self.delivery.acked, self.delivery.error, self.delivery.attempts

    def summary(self) -> TrafficSummary:
        delivery = self.delivery
        event = delivery.payload.get("event", {})
        title = "slash command" if delivery.kind == COMMAND else event.get("type") or delivery.payload["type"]
        status = delivery.error or ("ack" if delivery.acked is not None else None)
        return {
            "kind": "payload",
            "direction": "in",
            "title": ".".join(filter(None, (title, event.get("subtype")))),
            "about": _about_payload(delivery.payload),
            "ok": delivery.error is None,
            "status": status,
            "ms": delivery.ack_ms,
        }

    def body(self) -> tuple[Any, Any]:
        return self.delivery.payload, self.delivery.answer


@dataclass(frozen=True)
class _Call:
    """The bot called Slack's Web API."""

    call: Call
    at: float

    @property
    def stamp(self) -> object:
        return None

    def summary(self) -> TrafficSummary:
        call = self.call
        return {
            "kind": "call",
            "direction": "out",
            "title": call.method,
            "about": " ".join(str(call.arguments[key]) for key in ("channel", "text", "ts") if call.arguments.get(key)),
            "ok": call.ok,
            "status": call.status if call.ok else str(call.response.get("error", call.status)),
            "ms": (call.answered - call.arrived) * 1000,
        }

    def body(self) -> tuple[Any, Any]:
        return self.call.arguments, self.call.response


@dataclass(frozen=True)
class _Request:
    """The bot asked Dify for something; a poll asks again what was asked before."""

    request: RecordedRequest
    at: float
    kind: Literal["dify", "poll"]

    @property
    def stamp(self) -> object:
        return self.request.answered_at

    def summary(self) -> TrafficSummary:
        request = self.request
        took = None if request.answered_at is None else (request.answered_at - request.at) * 1000
        body = request.body if isinstance(request.body, dict) else {}
        said = body.get("query") or body.get("action") or body.get("inputs") or dict(request.query)
        return {
            "kind": self.kind,
            "direction": "out",
            "title": f"{request.method} {request.path.removeprefix('/v1')}",
            "about": said if isinstance(said, str) else json.dumps(said, ensure_ascii=False) if said else "",
            "ok": request.status is None or request.status < 400,
            "status": request.status,
            "ms": took,
        }

    def body(self) -> tuple[Any, Any]:
        asked = {"query": dict(self.request.query), "body": self.request.body}
        return asked, json.loads(self.request.answer) if self.request.answer else None


@dataclass
class _Events:
    """Dify sent the bot an event on a stream, or a piece of a text and more that follow it.

    An event that was sent before belongs to a poll.
    """

    name: str
    at: float
    kind: Literal["dify", "poll"]
    frames: list[bytes] = field(default_factory=list)

    @property
    def stamp(self) -> object:
        return len(self.frames)

    def summary(self) -> TrafficSummary:
        return {
            "kind": self.kind,
            "direction": "in",
            "title": f"event {self.name}",
            "about": self._about(),
            "ok": self.name != "error",
            "status": None,
            "ms": None,
        }

    def body(self) -> tuple[Any, Any]:
        events = [json.loads(frame.removeprefix(b"data: ")) for frame in self.frames]
        return (events if len(events) > 1 else events[0]), None

    def _about(self) -> str:
        if self.name in _PIECES:
            count = len(self.frames)
            return f"{count} piece{'s' if count > 1 else ''} of text"
        event = self.body()[0]
        told = event.get("data") or event
        return str(told.get("title") or told.get("node_title") or told.get("status") or told.get("message") or "")


class Traffic:
    """The newest exchanges, and apart from them the newest polls; the older ones are forgotten."""

    def __init__(self, workspace: Workspace, dify: Dify, secrecy: Secrecy) -> None:
        self._workspace, self._dify, self._secrecy = workspace, dify, secrecy
        self._numbers = itertools.count(1)
        self._kept: deque[tuple[int, Exchange]] = deque(maxlen=KEPT)
        self._polls: deque[tuple[int, Exchange]] = deque(maxlen=POLLS_KEPT)
        self._looked_at: set[str] = set()
        self._heard: set[int] = set()
        self._seen = {"deliveries": 0, "calls": 0, "requests": 0}
        self._told: list[_Events] = []
        dify.told = self._tell

    def __call__(self) -> Iterator[Entry]:
        """The documents of the exchanges that are kept."""
        for exchange in sorted(self._news(), key=lambda exchange: exchange.at):
            if not self._joined(exchange):
                is_poll = isinstance(exchange, _Request | _Events) and exchange.kind == "poll"
                (self._polls if is_poll else self._kept).append((next(self._numbers), exchange))
        for number, exchange in (*self._kept, *self._polls):
            yield Entry(f"traffic/{number}", exchange.stamp, partial(self._document, number, exchange))

    def body(self, number: int) -> tuple[Any, Any]:
        """What was sent and answered, without secrets. Raises `LookupError` when it is not kept (any more)."""
        for kept, exchange in (*self._kept, *self._polls):
            if kept == number:
                sent, answered = exchange.body()
                return self._secrecy.value(sent), self._secrecy.value(answered)
        raise LookupError(f"Entry {number} is not kept any more.")

    def find(self, text: str, among: set[int]) -> list[int]:
        """The numbers, `among` some, of the exchanges in which a text stands, whatever its case, secrets left out."""
        wanted = text.lower()
        kept = ((number, exchange) for number, exchange in (*self._kept, *self._polls) if number in among)
        return [number for number, exchange in kept if wanted in self._written(number, exchange).lower()]

    def _written(self, number: int, exchange: Exchange) -> str:
        summary = self._document(number, exchange)
        bodies = (json.dumps(self._secrecy.value(body), ensure_ascii=False) for body in exchange.body())
        return "\n".join((summary["title"], summary["about"], str(summary["status"]), *bodies))

    def _tell(self, name: str, frame: bytes) -> None:
        self._told.append(_Events(name, time.time(), self._kind_of_event(name, frame), [frame]))
        self._dify.changes.notify()

    def _news(self) -> Iterator[Exchange]:
        since = time.time() - time.monotonic()
        told, self._told = self._told, []
        yield from told
        yield from (_Payload(each, since + each.sent) for each in self._new("deliveries", self._workspace.deliveries))
        yield from (_Call(each, since + each.arrived) for each in self._new("calls", self._workspace.calls))
        yield from (_Request(each, each.at, self._kind(each)) for each in self._new("requests", self._dify.requests))

    def _new(self, name: str, records: list[Any]) -> list[Any]:
        new = records[self._seen[name] :]
        self._seen[name] = len(records)
        return new

    def _kind(self, request: RecordedRequest) -> Literal["dify", "poll"]:
        """The first look at a run or a form tells a builder something; a poll is every one after it."""
        is_look = request.path.startswith(_POLLED) or request.query.get(_SNAPSHOT) == "true"
        if request.method != "GET" or not is_look:
            return "dify"
        if request.path in self._looked_at:
            return "poll"
        self._looked_at.add(request.path)
        return "dify"

    def _kind_of_event(self, name: str, frame: bytes) -> Literal["dify", "poll"]:
        """A snapshot has the events word for word as they were; a text may say the same twice."""
        mark = hash(frame)
        if name not in _PIECES and mark in self._heard:
            return "poll"
        self._heard.add(mark)
        return "dify"

    def _joined(self, exchange: Exchange) -> bool:
        """Whether a piece of text was added to the entry that it follows."""
        last = self._kept[-1][1] if self._kept else None
        if not (isinstance(exchange, _Events) and isinstance(last, _Events) and exchange.name in _PIECES):
            return False
        if last.name == exchange.name:
            last.frames += exchange.frames
        return last.name == exchange.name

    def _document(self, number: int, exchange: Exchange) -> TrafficDoc:
        summary = exchange.summary()
        summary["title"] = self._secrecy.text(summary["title"])
        summary["about"] = self._secrecy.text(" ".join(summary["about"].split()))[:_ABOUT]
        return {"n": number, "at": exchange.at, **summary}


class TrafficDesk:
    """Actions on the exchanges."""

    def __init__(self, traffic: Traffic) -> None:
        self._traffic = traffic

    async def body(self, n: int) -> Json:
        """Give all of an exchange."""
        sent, answered = self._traffic.body(n)
        return {"body": sent, "response": answered}

    async def find_traffic(self, text: str, among: set[int]) -> Json:
        """Give the numbers, `among` some, of the exchanges in which a text stands, in their bodies, too."""
        return {"found": self._traffic.find(text, among)}


def _about_payload(payload: Json) -> str:
    """The words by which a reader recognises a payload: who, where, what."""
    user = payload.get("user", {})
    who = payload.get("user_name") or (user.get("name") if isinstance(user, dict) else None)
    action: Json = next(iter(payload.get("actions", [])), {})
    event, view = payload.get("event", {}), payload.get("view", {})
    typed = f"{payload['command']} {payload['text']}" if "command" in payload else ""
    what = typed or action.get("action_id") or payload.get("callback_id") or view.get("callback_id")
    what = what or event.get("text") or event.get("message", {}).get("text") or event.get("file_id")
    return " ".join(str(word) for word in (who, what, payload.get("value")) if word)
