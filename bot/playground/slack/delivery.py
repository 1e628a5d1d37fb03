"""How the app learns of what people do: Socket Mode envelopes or signed HTTP requests, acknowledgements, redelivery."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import itertools
import json
import secrets
import time
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlencode

import aiohttp
from aiohttp import web

from bot.playground.slack.faults import Drop, Duplicate, Fault, Overtaken, held_back
from bot.playground.slack.text import Json

if TYPE_CHECKING:
    from bot.playground.slack.workspace import Workspace

COMMAND, INTERACTIVE, EVENT = "slash_commands", "interactive", "events_api"
"""The kinds of deliveries, as Socket Mode names them."""


@dataclass(eq=False)
class Delivery:
    """One payload on its way to the app, and what became of it."""

    kind: str
    payload: Json
    sent: float = field(default_factory=time.monotonic)
    """When it happened; seconds, monotonic clock."""
    acked: float | None = None
    """When the app acknowledged it; seconds, monotonic clock."""
    answer: Json | None = None
    """What the app sent along with its acknowledgement."""
    attempts: int = 0
    error: str | None = None
    """Slack's word for what went wrong; None while under way and when acknowledged."""

    @property
    def ack_ms(self) -> float | None:
        """Milliseconds from happening to acknowledgement, waiting for a connection and earlier attempts included."""
        return None if self.acked is None else (self.acked - self.sent) * 1000


class NotAcknowledged(Exception):
    """An attempt failed; the argument is Slack's `retry_reason`: `timeout`, `http_error` or `connection_failed`."""


@dataclass(frozen=True)
class Retry:
    """Marks a repeated attempt: how many came before, and why the last one failed."""

    number: int
    reason: str


class Transport(Protocol):
    """A way to the app."""

    async def ready(self) -> None:
        """Wait until an attempt makes sense."""

    async def attempt(self, delivery: Delivery, retry: Retry | None) -> tuple[float, Json | None]:
        """Deliver once: when it was acknowledged (monotonic seconds) and the answer. Raises `NotAcknowledged`."""

    def may_retry(self, delivery: Delivery) -> bool:
        """Whether the app did not ask for silence."""

    async def close(self) -> None:
        """Release what it holds."""


class Courier:
    """Takes payloads to the app over the transport in use, and keeps a record of each."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.sockets = SocketTransport(workspace)
        self.transport: Transport = self.sockets
        self.deliveries: list[Delivery] = []
        self._tasks: set[asyncio.Task[Any]] = set()
        self._next_answer = asyncio.Event()

    async def ask(self, kind: str, payload: Json) -> Delivery:
        """Deliver a command or interaction and wait for the answer, 3 s at most.

        slack-platform §4.1: these are not retried.
        """
        fault = self.workspace.faults.take(kind, payload)
        await self._hold_back(fault)
        if isinstance(fault, Duplicate):
            self.spawn(self._attempt(self._new(kind, payload), None))
        delivery = self._new(kind, payload)
        if isinstance(fault, Drop):
            await asyncio.sleep(self.workspace.ack_timeout)
            delivery.attempts, delivery.error = 1, "operation_timeout"
        else:
            await self._attempt(delivery, None)
        return delivery

    def tell(self, payload: Json) -> Delivery:
        """Deliver an event in the background, and again while the app does not acknowledge it (slack-platform §4.3)."""
        delivery = self._new(EVENT, payload)
        fault = self.workspace.faults.take(EVENT, payload)
        self.spawn(self._insist(delivery, fault))
        if isinstance(fault, Duplicate):
            self.spawn(self._insist(self._new(EVENT, payload), None, Retry(1, "timeout")))
        return delivery

    def spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        """Run `work` until it is done or the server stops."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def use(self, transport: Transport) -> None:
        """Deliver over this transport from now on; an app is in one mode at a time (slack-platform §7.1)."""
        previous, self.transport = self.transport, transport
        await previous.close()

    async def close(self) -> None:
        """Drop what is under way and close the transport."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.transport.close()

    def _new(self, kind: str, payload: Json) -> Delivery:
        delivery = Delivery(kind, payload)
        self.deliveries.append(delivery)
        self.workspace.changed()
        return delivery

    async def _hold_back(self, fault: Fault | None) -> None:
        await held_back(fault)
        if isinstance(fault, Overtaken):
            with suppress(TimeoutError):
                async with asyncio.timeout(fault.seconds):
                    await self._next_answer.wait()

    async def _insist(self, delivery: Delivery, fault: Fault | None, retry: Retry | None = None) -> None:
        """Attempt an event until it is acknowledged or the retries are used up; `fault` hits the first attempt."""
        await self._hold_back(fault)
        for number, delay in enumerate((0.0, *self.workspace.event_retry_delays)):
            await asyncio.sleep(delay)
            await self.transport.ready()
            if number == 0 and isinstance(fault, Drop):
                delivery.attempts, delivery.error = 1, "timeout"
            else:
                await self._attempt(delivery, retry)
            if delivery.acked is not None or not self.transport.may_retry(delivery):
                return
            retry = Retry(number + 1, str(delivery.error))

    async def _attempt(self, delivery: Delivery, retry: Retry | None) -> None:
        delivery.attempts += 1
        try:
            delivery.acked, delivery.answer = await self.transport.attempt(delivery, retry)
            delivery.error = None
        except NotAcknowledged as failure:
            reason = str(failure)
            for_person = "operation_timeout" if reason == "timeout" else "dispatch_failed"
            delivery.error = reason if delivery.kind == EVENT else for_person
        answered, self._next_answer = self._next_answer, asyncio.Event()
        answered.set()
        self.workspace.changed()


# --- Socket Mode -----------------------------------------------------------------------------------------------------

_ANSWERABLE = ("view_submission", "block_suggestion")


class SocketTransport:
    """Envelopes over WebSockets, each to one connection in turn; acknowledged over any (slack-platform §4.4)."""

    CONNECTIONS_MAX = 10

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.connections: list[web.WebSocketResponse] = []
        """Open connections that still get envelopes."""
        self._retiring: list[web.WebSocketResponse] = []
        self._connected = asyncio.Event()
        self._turn = itertools.count()
        self._awaited: dict[str, asyncio.Future[tuple[float, Json | None]]] = {}

    async def serve(self, socket: web.WebSocketResponse) -> None:
        """Talk to one connected app until it goes away."""
        self.connections.append(socket)
        await socket.send_json(self._hello())
        self._connected.set()
        self.workspace.changed()
        try:
            with suppress(ConnectionError):  # a ping may come when the connection has just been cut
                async for frame in socket:
                    if frame.type is aiohttp.WSMsgType.TEXT:
                        self._acknowledge(json.loads(frame.data))
        finally:
            self._forget(socket)
            self.workspace.changed()

    async def ready(self) -> None:
        """Wait for a connection: events raised while none is open are kept (slack-platform §4.3)."""
        await self._connected.wait()

    async def attempt(self, delivery: Delivery, retry: Retry | None) -> tuple[float, Json | None]:
        """Send one envelope and wait for its acknowledgement."""
        if not self.connections:
            raise NotAcknowledged("connection_failed")
        socket = self.connections[next(self._turn) % len(self.connections)]
        envelope = self._envelope(delivery, retry)
        acknowledged: asyncio.Future[tuple[float, Json | None]] = asyncio.get_running_loop().create_future()
        self._awaited[envelope["envelope_id"]] = acknowledged
        try:
            async with asyncio.timeout(self.workspace.ack_timeout):
                await socket.send_json(envelope)
                return await acknowledged
        except TimeoutError:
            raise NotAcknowledged("timeout") from None
        except ConnectionError:
            raise NotAcknowledged("connection_failed") from None
        finally:
            del self._awaited[envelope["envelope_id"]]

    def may_retry(self, delivery: Delivery) -> bool:
        """Always: Socket Mode has no way to refuse a retry."""
        return True

    async def disconnect(self, reason: str = "refresh_requested") -> None:
        """Announce to every connection that it will end: it gets no more envelopes, but its late acks still count."""
        retiring, self.connections = self.connections, []
        self._retiring += retiring
        self._connected.clear()
        for socket in retiring:
            await socket.send_json({"type": "disconnect", "reason": reason, "debug_info": {"host": "playground"}})

    async def cut(self) -> None:
        """Close every connection without a word."""
        cut = [*self.connections, *self._retiring]
        self.connections = []
        self._connected.clear()
        for socket in cut:
            await socket.close(code=aiohttp.WSCloseCode.GOING_AWAY)

    async def close(self) -> None:
        """Close every connection."""
        await self.cut()

    def _forget(self, socket: web.WebSocketResponse) -> None:
        for sockets in (self.connections, self._retiring):
            if socket in sockets:
                sockets.remove(socket)
        if not self.connections:
            self._connected.clear()

    def _acknowledge(self, frame: Json) -> None:
        acknowledged = self._awaited.get(frame.get("envelope_id", ""))
        if acknowledged and not acknowledged.done():
            acknowledged.set_result((time.monotonic(), frame.get("payload") or None))

    def _envelope(self, delivery: Delivery, retry: Retry | None) -> Json:
        answerable = delivery.kind == COMMAND or delivery.payload.get("type") in _ANSWERABLE
        envelope: Json = {
            "envelope_id": secrets.token_hex(16),
            "type": delivery.kind,
            "accepts_response_payload": answerable,
            "payload": delivery.payload,
        }
        if delivery.kind == EVENT:
            envelope |= {"retry_attempt": retry.number if retry else 0, "retry_reason": retry.reason if retry else ""}
        return envelope

    def _hello(self) -> Json:
        return {
            "type": "hello",
            "num_connections": len(self.connections),
            "debug_info": {"host": "playground", "build_number": 1, "approximate_connection_time": 18060},
            "connection_info": {"app_id": self.workspace.bot.app_id},
        }


# --- HTTP ------------------------------------------------------------------------------------------------------------


class HttpTransport:
    """Signed requests to the app's URLs (slack-platform §4.3): forms for commands and interactions, JSON for events.

    `options_url` is the manifest's `message_menu_options_url` (slack-platform §7.1); without it nobody can be asked for
    the options of an `external_select`.
    """

    def __init__(self, workspace: Workspace, url: str, options_url: str | None = None) -> None:
        self.workspace, self.url, self.options_url = workspace, url, options_url
        # A connection per request: one kept alive would fail the first delivery after the app restarted.
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True))
        self._silenced: set[Delivery] = set()

    async def verify(self) -> None:
        """Do the `url_verification` handshake. Raises `RuntimeError` when the app does not return the challenge."""
        challenge = secrets.token_hex(16)
        body = json.dumps({"type": "url_verification", "token": "demo", "challenge": challenge})
        async with self._post(self.url, body, "application/json", {}) as response:
            answer = await response.text()
        if response.status != 200 or challenge not in answer:
            raise RuntimeError(f"{self.url} did not return the challenge: HTTP {response.status} {answer[:200]!r}")

    async def ready(self) -> None:
        """At once: over HTTP Slack just tries."""

    async def attempt(self, delivery: Delivery, retry: Retry | None) -> tuple[float, Json | None]:
        """Send one request; any answer but 200 within 3 s fails it."""
        url = self.options_url if delivery.payload.get("type") == "block_suggestion" else self.url
        if url is None:
            raise NotAcknowledged("connection_failed")
        body, content_type = _encoded(delivery)
        headers = _retry_headers(retry) if retry else {}
        try:
            async with (
                asyncio.timeout(self.workspace.ack_timeout),
                self._post(url, body, content_type, headers) as response,
            ):
                answer = await response.text()
        except TimeoutError:
            raise NotAcknowledged("timeout") from None
        except aiohttp.ClientError:
            raise NotAcknowledged("connection_failed") from None
        if response.headers.get("x-slack-no-retry") == "1":
            self._silenced.add(delivery)
        if response.status != 200:
            raise NotAcknowledged("http_error")
        return time.monotonic(), _answer(answer, response.content_type)

    def may_retry(self, delivery: Delivery) -> bool:
        """Unless the app answered `x-slack-no-retry: 1`."""
        return delivery not in self._silenced

    async def close(self) -> None:
        """Close the client session."""
        await self._session.close()

    def _post(self, url: str, body: str, content_type: str, headers: Json) -> Any:
        timestamp = str(int(self.workspace.now()))
        base = f"v0:{timestamp}:{body}".encode()
        digest = hmac.new(self.workspace.signing_secret.encode(), base, hashlib.sha256).hexdigest()
        signed = {
            **headers,
            "Content-Type": content_type,
            "X-Slack-Request-Timestamp": timestamp,
            "X-Slack-Signature": f"v0={digest}",
        }
        return self._session.post(url, data=body.encode(), headers=signed)


def _retry_headers(retry: Retry) -> dict[str, str]:
    reason = "http_timeout" if retry.reason == "timeout" else retry.reason
    return {"x-slack-retry-num": str(retry.number), "x-slack-retry-reason": reason}


def _encoded(delivery: Delivery) -> tuple[str, str]:
    if delivery.kind == EVENT:
        return json.dumps(delivery.payload), "application/json"
    form = delivery.payload if delivery.kind == COMMAND else {"payload": json.dumps(delivery.payload)}
    return urlencode(form), "application/x-www-form-urlencoded"


def _answer(body: str, content_type: str) -> Json | None:
    """What the app said while acknowledging; a bare text is a message. Raises `NotAcknowledged` for broken JSON."""
    if not body:
        return None
    if content_type != "application/json":
        return {"text": body}
    try:
        answer = json.loads(body)
    except ValueError:
        raise NotAcknowledged("http_error") from None
    return answer if isinstance(answer, dict) else None
