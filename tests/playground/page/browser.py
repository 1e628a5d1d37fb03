"""A page without a browser: it keeps the documents that it is sent, and asks for what a person does on it."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import aiohttp

Found = TypeVar("Found")
Json = dict[str, Any]


class Refused(Exception):
    """The server answered `ok: false`; the argument is its sentence."""


class Browser:
    """One open page."""

    def __init__(self, session: aiohttp.ClientSession, url: str, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.session, self.url = session, url
        self._socket = socket
        self._ids = itertools.count(1)
        self._replies: dict[int, asyncio.Future[Json]] = {}
        self._change = asyncio.Event()
        self.documents: dict[str, Any] = {}
        self.updates: list[Json] = []
        """Every message with documents, in order."""

    async def listen(self) -> None:
        """Take in what the server sends until it hangs up."""
        async for message in self._socket:
            told = json.loads(message.data)
            if "set" in told:
                self.updates.append(told)
                self.documents |= told["set"]
                for key in told["drop"]:
                    self.documents.pop(key, None)
                change, self._change = self._change, asyncio.Event()
                change.set()
            else:
                self._replies.pop(told["id"]).set_result(told)

    async def do(self, do: str, **arguments: Any) -> Any:
        """Ask for an action and return its result. Raises `Refused`."""
        number = next(self._ids)
        self._replies[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": number, "do": do, **arguments})
        async with asyncio.timeout(30):
            reply = await self._replies[number]
        if not reply["ok"]:
            raise Refused(reply["error"])
        return reply["result"]

    async def until(self, condition: Callable[[], Found | None], timeout: float = 30) -> Found:
        """Return the first true value, asked again after every update. Raises `TimeoutError`."""
        async with asyncio.timeout(timeout):
            while not (found := condition()):
                await self._change.wait()
            return found

    def under(self, prefix: str) -> list[Any]:
        """The documents whose keys begin so, in order."""
        return [self.documents[key] for key in sorted(self.documents) if key.startswith(prefix)]

    def key(self, document: Json) -> str:
        """The key of a document."""
        return next(key for key, each in self.documents.items() if each is document)

    def message(self, *parts: str) -> Json | None:
        """The newest message whose JSON has all these texts."""
        found = [each for each in self.under("messages/") if all(part in json.dumps(each) for part in parts)]
        return found[-1] if found else None

    def field(self, surface: str, text: str) -> str:
        """The field of the block or button that has this text or id in it."""
        for block in self.documents[surface]["blocks"]:
            for element in (*block.get("elements", ()), block.get("accessory"), block.get("element")):
                if element and "action_id" in element and _has(block, element, text):
                    return f"{block['block_id']}/{element['action_id']}"
        raise LookupError(text)


def _has(block: Json, element: Json, text: str) -> bool:
    label = (block.get("label") or {}).get("text", "")
    return text in (block["block_id"], element["action_id"], (element.get("text") or {}).get("text"), label)


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Browser]:
    """Open the page at an address and wait for its first documents."""
    async with aiohttp.ClientSession() as session, session.ws_connect(f"{url}/socket", max_msg_size=0) as socket:
        browser = Browser(session, url, socket)
        listening = asyncio.create_task(browser.listen())
        try:
            await browser.until(lambda: browser.documents)
            yield browser
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
