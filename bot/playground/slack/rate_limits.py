"""Slack's rate limits: per method and workspace by tier, and per channel for new messages (slack-platform §8.1)."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field

_TIER_1, _TIER_2, _TIER_3, _TIER_4 = 1, 20, 50, 100
PER_MINUTE = {
    "apps.connections.open": _TIER_1,
    "auth.test": 600,  # special: "hundreds of requests per minute"
    "chat.startStream": _TIER_2,
    "chat.appendStream": _TIER_4,
    "chat.stopStream": _TIER_2,
    "chat.postMessage": 300,  # special: "several hundred messages per minute" per workspace
    "chat.update": _TIER_3,
    "chat.delete": _TIER_3,
    "chat.postEphemeral": _TIER_4,
    "conversations.history": _TIER_3,
    "files.info": _TIER_4,
    "files.getUploadURLExternal": _TIER_4,
    "files.completeUploadExternal": _TIER_4,
    "conversations.info": _TIER_3,
    "conversations.open": _TIER_3,
    "conversations.replies": _TIER_3,
    "users.info": _TIER_4,
    "views.open": _TIER_4,
    "views.publish": _TIER_4,
    "views.push": _TIER_4,
    "views.update": _TIER_4,
}
_POSTS_PER_SECOND, _POST_BURST = 1.0, 5  # slack-platform §3.5: about 1/s per channel with short bursts
# slack-platform §4.4: apps.connections.open is "1+" a minute; a few in a row are a normal start with several sockets.
_CONNECTION_BURST = 10


@dataclass
class _Window:
    """At most `limit` calls in any 60 seconds."""

    limit: float
    _calls: deque[float] = field(default_factory=deque)

    def wait(self, now: float) -> float:
        """Seconds until one more call fits; 0 counts it."""
        while self._calls and self._calls[0] <= now - 60:
            self._calls.popleft()
        if len(self._calls) < self.limit:
            self._calls.append(now)
            return 0
        return self._calls[0] + 60 - now


@dataclass
class _Bucket:
    """`per_second` calls in the long run, `burst` at once."""

    per_second: float
    burst: float
    _full_at: float = 0

    def wait(self, now: float) -> float:
        """Seconds until one more call fits; 0 counts it."""
        owed = max(self._full_at - now, 0) * self.per_second
        if owed + 1 > self.burst:
            return (owed + 1 - self.burst) / self.per_second
        self._full_at = max(self._full_at, now) + 1 / self.per_second
        return 0


@dataclass
class RateLimits:
    """Counts calls of one workspace; `factor` times as generous as Slack."""

    factor: float
    _limits: dict[str, _Window | _Bucket] = field(default_factory=dict)

    @classmethod
    def real(cls) -> RateLimits:
        """Slack's own numbers."""
        return cls(1)

    @classmethod
    def scaled(cls, factor: float) -> RateLimits:
        """Slack's numbers times `factor`."""
        return cls(factor)

    @classmethod
    def off(cls) -> RateLimits:
        """No limits."""
        return cls(math.inf)

    def retry_after(self, method: str, channel: str | None, now: float) -> int:
        """Whole seconds to wait before calling `method` again; 0 lets this call through and counts it."""
        if self.factor == math.inf:
            return 0
        wait = self._limit(method).wait(now)
        if not wait and method == "chat.postMessage":
            wait = self._limit(f"{method} {channel}").wait(now)
        return math.ceil(wait)

    def _limit(self, key: str) -> _Window | _Bucket:
        if key not in self._limits:
            self._limits[key] = self._new_limit(key)
        return self._limits[key]

    def _new_limit(self, key: str) -> _Window | _Bucket:
        if " " in key:
            return _Bucket(_POSTS_PER_SECOND * self.factor, _POST_BURST * self.factor)
        if key == "apps.connections.open":
            return _Bucket(_TIER_1 / 60 * self.factor, _CONNECTION_BURST)
        return _Window(PER_MINUTE.get(key, math.inf) * self.factor)  # an unknown method is refused anyway
