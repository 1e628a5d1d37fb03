"""Ways to make the server misbehave, each used up by the requests it strikes."""

import asyncio
from collections import defaultdict, deque
from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

from bot.playground.dify.errors import (
    ApiError,
    file_too_large,
    internal_server_error,
    invalid_param,
    unsupported_file_type,
)
from bot.playground.dify.streams import Cut


class Route(StrEnum):
    """The endpoints by name."""

    INFO = "info"
    PARAMETERS = "parameters"
    SITE = "site"
    META = "meta"
    RUN = "run"
    CHAT = "chat"
    EVENTS = "events"
    RUN_DETAIL = "run_detail"
    LOGS = "logs"
    MESSAGES = "messages"
    NEXT_QUESTIONS = "next_questions"
    FEEDBACK = "feedback"
    CONVERSATIONS = "conversations"
    RENAME_CONVERSATION = "rename_conversation"
    DELETE_CONVERSATION = "delete_conversation"
    READ_FORM = "read_form"
    SUBMIT_FORM = "submit_form"
    UPLOAD = "upload"
    DOWNLOAD = "download"
    DOWNLOAD_MADE = "download_made"
    PREVIEW = "preview"
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class Delay:
    """Wait `seconds` (of a real server) before the request is looked at."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Hold:
    """Wait until this is set before the request is looked at."""

    released: asyncio.Event


@dataclass(frozen=True, slots=True)
class Failure:
    """Answer an error instead of doing the work; 502, 503 and 504 are a proxy's, as Dify itself answers none."""

    status: int

    def error(self) -> ApiError:
        """Return Dify's answer: an app with too many runs says so with 400 (recording 24), Cloud's quota with 429."""
        if self.status == 400:
            return invalid_param("Too many requests. Please try again later. The current maximum is 1.")
        if self.status == 429:
            return ApiError(429, "rate_limit_error", "Too many requests. Please try again later.")
        known = {413: file_too_large, 415: unsupported_file_type, 500: internal_server_error}
        if self.status in known:
            return known[self.status]()
        return ApiError(self.status, "unknown", "Failure on request")


@dataclass(frozen=True, slots=True)
class LostResponse:
    """Do the work, then cut the connection instead of answering."""


@dataclass(frozen=True, slots=True)
class LateResponse:
    """Do the work, then wait `seconds` (of a real server) before answering."""

    seconds: float


class BodyFault:
    """Something that happens to a file under way."""


@dataclass(frozen=True, slots=True)
class CutBody(BodyFault):
    """Cut the connection after so many bytes of a file, be it sent or taken."""

    after_bytes: int


@dataclass(frozen=True, slots=True)
class SlowBody(BodyFault):
    """Wait `seconds` (of a real server) in the middle of a file that is sent."""

    seconds: float


Fault = Delay | Hold | Failure | LostResponse | LateResponse | CutBody | SlowBody
SENDS_FILES = (Route.DOWNLOAD, Route.DOWNLOAD_MADE, Route.PREVIEW)


class Faults:
    """What is still going to go wrong, by endpoint and in order."""

    def __init__(self) -> None:
        self._faults: defaultdict[Route, deque[Fault]] = defaultdict(deque)
        self._shared: list[tuple[frozenset[Route], Fault]] = []
        self._cuts: list[tuple[Route | None, Cut]] = []

    def add(self, route: Route, fault: Fault, times: int = 1) -> None:
        """Let `fault` strike the next `times` requests of an endpoint."""
        self._faults[route].extend([fault] * times)

    def add_to_one(self, routes: Collection[Route], fault: Fault) -> None:
        """Let `fault` strike the next request of any of these endpoints."""
        self._shared.append((frozenset(routes), fault))

    def add_cut(self, cut: Cut, route: Route | None = None) -> None:
        """Let the next stream that opens, of this endpoint if one is named, break off at `cut`."""
        self._cuts.append((route, cut))

    def next_for(self, route: str | None) -> Fault | None:
        """Return the fault that strikes this request, if any."""
        if route not in list(Route):
            return None
        for position, (routes, fault) in enumerate(self._shared):
            if route in routes:
                del self._shared[position]
                return fault
        waiting = self._faults[Route(route)]
        return waiting.popleft() if waiting else None

    def left_for(self, route: Route) -> int:
        """Return how many of its requests are still going to be struck."""
        return len(self._faults[route])

    def next_cut(self, route: str | None) -> Cut | None:
        """Return where the stream that this endpoint opens now breaks off, if at all."""
        for position, (wanted, cut) in enumerate(self._cuts):
            if wanted in (None, route):
                del self._cuts[position]
                return cut
        return None


class Changes:
    """Lets somebody wait until a condition on the server's state holds."""

    def __init__(self) -> None:
        self._waiting: set[asyncio.Event] = set()

    def notify(self) -> None:
        """Wake everybody who waits."""
        for event in self._waiting:
            event.set()

    async def next(self) -> None:
        """Wait for the next change."""
        event = asyncio.Event()
        self._waiting.add(event)
        try:
            await event.wait()
        finally:
            self._waiting.discard(event)
