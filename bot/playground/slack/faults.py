"""Failures a test or a demo may order: of Web API calls, of files on their way, and of deliveries to the app."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class ServerError:
    """Answer HTTP `status` without doing the work."""

    status: int = 500


@dataclass(frozen=True)
class RateLimited:
    """Answer HTTP 429 with `Retry-After: retry_after` seconds without doing the work."""

    retry_after: int = 1


@dataclass(frozen=True)
class Refuse:
    """Answer `ok: false` with this error code without doing the work."""

    code: str


@dataclass(frozen=True)
class Delay:
    """Wait this many seconds, then work as usual."""

    seconds: float


@dataclass(frozen=True)
class Hold:
    """Wait until this is set, then work as usual."""

    released: asyncio.Event


@dataclass(frozen=True)
class LostResponse:
    """Do the work, then cut the connection instead of answering."""


@dataclass(frozen=True)
class CutConnection:
    """Cut the connection before Slack looks at the call."""


@dataclass(frozen=True)
class SignInPage:
    """Answer 200 with a page to sign in on instead of a file, whoever asks (slack-platform §5.3)."""


@dataclass(frozen=True)
class Redirect:
    """Send who wants a file `to` another address: without one, to Slack's other host, which wants the token again.

    Ordered for several requests without an address it is a loop between the two (slack-platform §5.3).
    """

    to: str = ""
    status: int = 302


@dataclass(frozen=True)
class CutBody:
    """Cut the connection after so many bytes of a file's body, be it sent or taken."""

    after_bytes: int


@dataclass(frozen=True)
class WrongLength:
    """Say that a file's body is `off_by` bytes longer than it is (or shorter), or None: do not say how long it is.

    Of a body that is said to be shorter no more than that arrives.
    """

    off_by: int | None = None


@dataclass(frozen=True)
class SlowBody:
    """Wait this many seconds in the middle of a file's body."""

    seconds: float


@dataclass(frozen=True)
class Duplicate:
    """Deliver the payload twice at the same time, whatever its kind; over two connections where there are two.

    The copy of an event is marked as a repeated attempt (slack-platform §4.3).
    """


@dataclass(frozen=True)
class Drop:
    """Lose the delivery on its way to the app."""


@dataclass(frozen=True)
class Overtaken:
    """Hold the delivery back until the app has answered another one, `seconds` at most (slack-platform §4.3)."""

    seconds: float = 1.0


CallFault = ServerError | RateLimited | Refuse | Delay | Hold | LostResponse | CutConnection
UploadFault = ServerError | RateLimited | Delay | Hold | LostResponse | CutConnection | CutBody
DownloadFault = (
    ServerError | RateLimited | Delay | Hold | CutConnection | SignInPage | Redirect | CutBody | WrongLength | SlowBody
)
DeliveryFault = Duplicate | Drop | Delay | Hold | Overtaken
Fault = CallFault | UploadFault | DownloadFault | DeliveryFault


async def held_back(fault: Fault | None) -> None:
    """Wait as a `Delay` or a `Hold` says; any other failure waits for nothing."""
    match fault:
        case Delay(seconds):
            await asyncio.sleep(seconds)
        case Hold(released):
            await released.wait()


_KINDS: dict[str, Any] = {
    "upload": UploadFault,
    "download": DownloadFault,
    **dict.fromkeys(("slash_commands", "interactive", "events_api"), DeliveryFault),
}


@dataclass
class _Order:
    fault: Fault
    times: int
    when: Callable[[dict[str, Any]], bool]


@dataclass
class Faults:
    """The failures still to come: of a Web API method (`chat.update`), of `response_url`, a file, or a delivery kind.

    A file's are those of its `upload` by the app and of its `download`, whose arguments are `file_id`, `name` and
    `host` (`files`, or `cdn` after a `Redirect`). The delivery kinds are `slash_commands`, `interactive` and
    `events_api`.
    """

    _orders: dict[str, list[_Order]] = field(default_factory=dict)

    def add(
        self, target: str, fault: Fault, *, times: int = 1, when: Callable[[dict[str, Any]], bool] = lambda _: True
    ) -> None:
        """Let the next `times` calls (or deliveries) of `target` whose arguments (or payload) satisfy `when` fail.

        Raises `ValueError` for a fault that cannot happen to `target`.
        """
        if not isinstance(fault, _KINDS.get(target, CallFault)):
            raise ValueError(f"{fault} cannot happen to {target}")
        self._orders.setdefault(target, []).append(_Order(fault, times, when))

    def left_for(self, target: str) -> int:
        """How many failures ordered for `target` have not happened yet."""
        return sum(order.times for order in self._orders.get(target, []))

    def take(self, target: str, arguments: dict[str, Any]) -> Fault | None:
        """The failure ordered for this call or delivery, used up by asking; the oldest order comes first."""
        for order in self._orders.get(target, []):
            if order.times > 0 and order.when(arguments):
                order.times -= 1
                return order.fault
        return None
