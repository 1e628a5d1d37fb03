"""What people do in a trial, with which app."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from bot.playground.dify import App
from bot.playground.dify.apps import chat_review, content_review, fails_after, parallel, pick, quick, slow, two_forms
from bot.playground.dify.graph import HumanInput, Node
from tests.faults.points import Point

PEOPLE = ("ann", "ben", "cleo")
DEADLINE = 8
"""Seconds that people get in the app `hasty`: more than any outage lasts, or nobody could learn of its form."""
REMINDERS = "25%"
"""The setting of the bots: in the app `hasty` people are reminded once, and late enough even after an outage."""


@dataclass(frozen=True)
class Decision:
    """How somebody answers a form."""

    button: str
    person: str = "ben"
    fills: Mapping[str, str] = field(default_factory=dict)
    selects: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Play:
    """What is started, and what is done about the forms it asks for."""

    name: str
    command: str
    """With `{word}` where a word stands that nothing else in the workspace has."""
    decisions: Mapping[str, Decision] = field(default_factory=dict)
    """By (part of) the title of the form; a form that is not among them is left to its deadline."""
    others: Mapping[str, str] = field(default_factory=dict)
    """Another button of some of the forms, by title: for the faults in which two people decide."""
    stops: bool = False
    """Somebody presses Stop."""
    seconds: float = 1.0
    """About how long it takes; moments are drawn from this time."""
    points: Mapping[Point, int] = field(default_factory=dict)
    """About how many points of each kind one process passes in it: faults are drawn from these."""

    @property
    def app(self) -> str:
        """What is started, by the name people type."""
        return self.command.split()[1]

    @property
    def is_chatflow(self) -> bool:
        """Whether its runs are in no log of Dify's (dify-api §4.3)."""
        return self.name == "chatflow"


def _points(save: int, dify: int, slack: int, event: int, delivery: int) -> dict[Point, int]:
    return {
        Point.BEFORE_SAVE: save,
        Point.AFTER_SAVE: save,
        Point.BEFORE_DIFY: dify,
        Point.AFTER_DIFY: dify,
        Point.BEFORE_SLACK: slack,
        Point.AFTER_SLACK: slack,
        Point.STREAM_EVENT: event,
        Point.DELIVERY: delivery,
        Point.BEFORE_ACK: delivery,
        Point.AFTER_ACK: delivery,
    }


_OK = Decision("OK", "ben", {"note": "looks good"})

PLAYS: tuple[Play, ...] = (
    Play(
        "sequence",
        "/dify two_forms topic={word}",
        {"First review": _OK, "Second review": Decision("OK", "ann", {"note": "so be it"})},
        {"First review": "No", "Second review": "No"},
        seconds=0.8,
        points=_points(55, 7, 12, 23, 3),
    ),
    Play(
        "parallel",
        "/dify parallel topic={word}",
        {"Legal review": _OK, "Brand review": Decision("No", "cleo", {"note": "too loud"})},
        {"Legal review": "No", "Brand review": "OK"},
        seconds=0.7,
        points=_points(58, 7, 12, 28, 3),
    ),
    Play(
        "approve",
        "/dify review topic={word} language=English",
        {"Review draft": Decision("Approve")},
        {"Review draft": "Apply edit"},
        seconds=1.2,
        points=_points(50, 5, 16, 400, 2),
    ),
    Play(
        "edit",
        "/dify review topic={word} language=German",
        {"Review draft": Decision("Apply edit", "ann", {"edits": "One calendar for all of us. Starts on Monday."})},
        {"Review draft": "Approve"},
        seconds=1.2,
        points=_points(46, 5, 12, 36, 2),
    ),
    Play(
        "regenerate",
        "/dify review topic={word} language=French",
        {
            "Review draft": Decision("Regenerate", "ben", {"feedback": "Warmer, please, and half as long."}),
            "Review revision": Decision("Approve", "ann"),
        },
        {"Review draft": "Approve", "Review revision": "Apply edit"},
        seconds=1.4,
        points=_points(66, 7, 16, 37, 3),
    ),
    Play(
        "fields",
        "/dify pick title={word} size=S",
        {"Decide": Decision("Accept", "ben", {"remarks": "Less garlic"}, {"priority": "high"})},
        {"Decide": "Dismiss"},
        seconds=0.6,
        points=_points(37, 5, 8, 20, 2),
    ),
    Play(
        "chatflow",
        '/dify chat_review query="What about {word}?" audience=all',
        {"Review reply": Decision("Send", "cleo", {"reply": "We are on it."})},
        {"Review reply": "Drop"},
        seconds=0.6,
        points=_points(39, 5, 10, 24, 2),
    ),
    Play("quick", "/dify quick topic={word}", seconds=0.3, points=_points(17, 3, 4, 8, 1)),
    Play("expiring", "/dify hasty topic={word} language=English", seconds=6.0, points=_points(115, 16, 10, 70, 1)),
    Play(
        "failing",
        "/dify fails_after topic={word}",
        {"Doomed review": _OK},
        seconds=0.6,
        points=_points(36, 5, 8, 16, 2),
    ),
    Play("stop", "/dify slow topic={word}", stops=True, seconds=1.1, points=_points(32, 5, 10, 15, 2)),
)


def apps() -> dict[str, App]:
    """Return what the plays start, by the name people type."""
    review = content_review()
    hasty = replace(review, name="hasty_review", nodes=[_hurried(node) for node in review.nodes])
    named = {app.name: app for app in (two_forms(), parallel(), pick(), chat_review(), quick(), fails_after())}
    return {**named, "slow": slow(steps=10, seconds=8.0), "review": review, "hasty": hasty}


def _hurried(node: Node) -> Node:
    return replace(node, timeout_seconds=DEADLINE) if isinstance(node, HumanInput) else node
