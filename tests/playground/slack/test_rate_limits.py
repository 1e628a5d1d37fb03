"""How many calls fit, by Slack's tiers."""

from __future__ import annotations

import pytest

from bot.playground.slack import RateLimits


def admitted(limits: RateLimits, method: str, count: int, now: float = 0, channel: str | None = "C1") -> int:
    """How many of `count` calls at one moment are let through."""
    return sum(limits.retry_after(method, channel, now) == 0 for _ in range(count))


@pytest.mark.parametrize(
    ("method", "limit"),
    [
        ("chat.update", 50),
        ("chat.postEphemeral", 100),
        ("views.open", 100),
        ("conversations.replies", 50),
        ("chat.startStream", 20),
        ("chat.appendStream", 100),
        ("chat.stopStream", 20),
    ],
)
def test_a_method_has_its_tier(method: str, limit: int) -> None:
    """slack-platform §8.1: Tier 2 is 20, Tier 3 is 50, Tier 4 is 100 a minute; other methods are not affected."""
    limits = RateLimits.real()
    assert admitted(limits, method, 200) == limit
    assert admitted(limits, method, 200, now=59) == 0
    assert admitted(limits, method, 200, now=60) == limit
    assert admitted(limits, "users.info", 1) == 1


def test_posts_are_limited_per_channel_with_short_bursts() -> None:
    """slack-platform §3.5: about one a second and channel."""
    limits = RateLimits.real()
    assert admitted(limits, "chat.postMessage", 20) == 5
    assert limits.retry_after("chat.postMessage", "C1", 0) == 1
    assert admitted(limits, "chat.postMessage", 20, now=3) == 3
    assert admitted(limits, "chat.postMessage", 20, now=3, channel="C2") == 5


def test_limits_can_be_scaled_or_off() -> None:
    """A demo may be more generous than Slack."""
    assert admitted(RateLimits.scaled(2), "chat.update", 200) == 100
    assert admitted(RateLimits.off(), "chat.update", 1000) == 1000


def test_an_unknown_method_is_not_limited() -> None:
    """It is refused as unknown instead."""
    assert admitted(RateLimits.real(), "chat.shout", 1000) == 1000
