"""A small client of the simulated server, for tests that look at one behaviour."""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import httpx

from bot.playground.dify import App, Dify, DifyServer

SPEED = 20.0


class Follower:
    """An open event stream that is read line by line."""

    def __init__(self, response: httpx.Response) -> None:
        self._lines = response.aiter_lines()
        self.events: list[dict[str, Any]] = []
        self.pings = 0

    async def next(self) -> dict[str, Any] | None:
        """Return the next event, or None at the end of the stream."""
        async for line in self._lines:
            if line.startswith("data: "):
                self.events.append(json.loads(line[6:]))
                return self.events[-1]
            self.pings += line == "event: ping"
        return None

    async def next_ping(self) -> None:
        """Read up to the next ping."""
        seen = self.pings
        while self.pings == seen:
            line = await anext(self._lines)
            if line.startswith("data: "):
                self.events.append(json.loads(line[6:]))
            self.pings += line == "event: ping"

    async def until(self, name: str) -> dict[str, Any]:
        """Return the next event of this name."""
        while event := await self.next():
            if event["event"] == name:
                return event
        raise EOFError(f"no {name}; the stream had {self.names}")

    async def to_end(self) -> list[str]:
        """Read to the end of the stream; return the names of all its events."""
        while await self.next():
            pass
        return self.names

    @property
    def names(self) -> list[str]:
        """Return the names of the events read so far."""
        return [event["event"] for event in self.events]


class Client:
    """Talks to one app of `server` as one user."""

    def __init__(self, http: httpx.AsyncClient, user: str, server: DifyServer) -> None:
        self.http = http
        self.server = server
        self.user = user

    @asynccontextmanager
    async def stream(self, method: str, path: str, **options: Any) -> AsyncIterator[Follower]:
        """Open a stream and read its first ping."""
        async with self.http.stream(method, path, **options) as response:
            assert response.status_code == 200, await response.aread()
            yield Follower(response)

    def start(self, **inputs: Any) -> Any:
        """Start a run as a stream."""
        body = {"inputs": inputs, "user": self.user, "response_mode": "streaming"}
        return self.stream("POST", "/workflows/run", json=body)

    def ask(self, query: str, conversation_id: str = "", **inputs: Any) -> Any:
        """Ask a chatflow, answered as a stream."""
        body = {"inputs": inputs, "query": query, "user": self.user, "conversation_id": conversation_id}
        return self.stream("POST", "/chat-messages", json=body | {"response_mode": "streaming"})

    def events(self, run_id: str, **query: str) -> Any:
        """Follow a run."""
        return self.stream("GET", f"/workflow/{run_id}/events", params={"user": self.user, **query})

    async def pause(self, **inputs: Any) -> tuple[str, list[dict[str, Any]]]:
        """Start a run and return its id and forms once it is paused."""
        async with self.start(**inputs) as follower:
            paused = await follower.until("workflow_paused")
        return paused["workflow_run_id"], [
            event["data"] for event in follower.events if event["event"] == "human_input_required"
        ]

    async def submit(self, form: dict[str, Any], action: str, **values: Any) -> httpx.Response:
        """Answer a form."""
        body = {"inputs": values, "action": action, "user": self.user}
        return await self.http.post(f"/form/human_input/{form['form_token']}", json=body)

    async def detail(self, run_id: str) -> dict[str, Any]:
        """Return how a run stands."""
        response = await self.http.get(f"/workflows/run/{run_id}")
        return dict(response.raise_for_status().json())


@asynccontextmanager
async def playing(app: App, *, speed: float = SPEED, user: str = "u1") -> AsyncIterator[tuple[Dify, Client]]:
    """Serve one app; yield the server's state and a client."""
    async with AsyncExitStack() as stack:
        dify = Dify([app], speed=speed)
        server = await stack.enter_async_context(DifyServer(dify))
        headers = {"Authorization": f"Bearer {app.key}"}
        http = httpx.AsyncClient(base_url=server.base_url, headers=headers, timeout=20, verify=False)
        yield dify, Client(await stack.enter_async_context(http), user, server)


async def followed(dify: Dify, run_id: str) -> None:
    """Wait until a stream of this run is open, so that no live event is missed."""
    await dify.wait_for(lambda: not dify.runs[run_id].bus.silent)
