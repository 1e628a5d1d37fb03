"""What people do in a trial, with which app."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from bot.playground.dify import App
from bot.playground.dify.apps import (
    chat_review,
    content_review,
    fails_after,
    file_form,
    file_report,
    file_start,
    parallel,
    pick,
    picture_form,
    quick,
    slow,
    two_forms,
)
from bot.playground.dify.graph import End, HumanInput, Node
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
    shares: tuple[tuple[str, bytes], ...] = ()
    """Files that they reply with before they press, each of which the form's card is to list as attached."""


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
    chosen: Mapping[str, tuple[tuple[str, bytes], ...]] = field(default_factory=dict)
    """Files, by field, that are chosen in the start window, which the command then opens."""
    files: tuple[str, ...] = ()
    """The names of those that the run gives out, each of which the thread is to show once."""
    writes: bool = False
    """Its app writes text, which is streamed."""
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


_PAPERS = (("contract.pdf", b"%PDF-1.7"), ("roof.png", b"\x89PNG\r\n\x1a\n"))
_OK = Decision("OK", "ben", {"note": "looks good"})

PLAYS: tuple[Play, ...] = (
    Play(
        "sequence",
        "/dify two_forms topic={word}",
        {"First review": _OK, "Second review": Decision("OK", "ann", {"note": "so be it"})},
        {"First review": "No", "Second review": "No"},
        seconds=0.8,
        points=_points(65, 7, 14, 23, 16),
    ),
    Play(
        "parallel",
        "/dify parallel topic={word}",
        {"Legal review": _OK, "Brand review": Decision("No", "cleo", {"note": "too loud"})},
        {"Legal review": "No", "Brand review": "OK"},
        seconds=0.7,
        points=_points(62, 7, 14, 28, 16),
    ),
    Play(
        "approve",
        "/dify review topic={word} language=English",
        {"Review draft": Decision("Approve")},
        {"Review draft": "Apply edit"},
        writes=True,
        seconds=1.2,
        points=_points(58, 5, 17, 400, 15),
    ),
    Play(
        "edit",
        "/dify review topic={word} language=German",
        {"Review draft": Decision("Apply edit", "ann", {"edits": "One calendar for all of us. Starts on Monday."})},
        {"Review draft": "Approve"},
        writes=True,
        seconds=1.2,
        points=_points(56, 5, 12, 36, 14),
    ),
    Play(
        "regenerate",
        "/dify review topic={word} language=French",
        {
            "Review draft": Decision("Regenerate", "ben", {"feedback": "Warmer, please, and half as long."}),
            "Review revision": Decision("Approve", "ann"),
        },
        {"Review draft": "Approve", "Review revision": "Apply edit"},
        writes=True,
        seconds=1.4,
        points=_points(74, 7, 17, 37, 20),
    ),
    Play(
        "fields",
        "/dify pick title={word} size=S",
        {"Decide": Decision("Accept", "ben", {"remarks": "Less garlic"}, {"priority": "high"})},
        {"Decide": "Dismiss"},
        seconds=0.6,
        points=_points(43, 5, 9, 20, 10),
    ),
    Play(
        "chatflow",
        '/dify chat_review query="What about {word}?" audience=all',
        {"Review reply": Decision("Send", "cleo", {"reply": "We are on it."})},
        {"Review reply": "Drop"},
        writes=True,
        seconds=0.6,
        points=_points(50, 6, 12, 24, 14),
    ),
    Play("quick", "/dify quick topic={word}", seconds=0.3, points=_points(18, 3, 4, 8, 4)),
    Play(
        "expiring",
        "/dify hasty topic={word} language=English",
        writes=True,
        seconds=6.0,
        points=_points(155, 20, 11, 85, 11),
    ),
    Play(
        "failing",
        "/dify fails_after topic={word}",
        {"Doomed review": _OK},
        seconds=0.6,
        points=_points(45, 5, 10, 16, 12),
    ),
    Play(
        "report",
        "/dify file_report topic={word}",
        files=("chart.png", "letter.pdf", "film.mp4"),
        seconds=0.6,
        points=_points(26, 6, 12, 22, 6),
    ),
    Play(
        "picture",
        "/dify picture_form topic={word}",
        {"Review the chart": Decision("Accept", "ben", {"remarks": "Well drawn"})},
        {"Review the chart": "Reject"},
        files=("chart.png", "letter.pdf"),
        seconds=0.8,
        points=_points(52, 7, 16, 22, 13),
    ),
    Play(
        "papers",
        "/dify papers topic={word}",
        {"Hand in": Decision("Hand in", "ben", {"remarks": "signed"}, shares=_PAPERS)},
        seconds=1.2,
        points=_points(54, 7, 16, 16, 15),
    ),
    Play(
        "intake",
        "/dify file_start note={word}",
        chosen={"Contract": _PAPERS[:1], "Photos": _PAPERS[1:]},
        files=("contract.pdf", "roof.png"),
        seconds=0.9,
        points=_points(33, 9, 14, 12, 8),
    ),
    Play("stop", "/dify slow topic={word}", stops=True, seconds=1.1, points=_points(37, 5, 10, 15, 11)),
)


def apps() -> dict[str, App]:
    """Return what the plays start, by the name people type."""
    review = content_review()
    hasty = replace(review, name="hasty_review", nodes=[_hurried(node) for node in review.nodes])
    # What it is given is not given back: whoever counts the files of the thread would count it twice.
    papers = file_form()
    kept = [
        replace(node, outputs={"remarks": ("documents", "remarks")}) if isinstance(node, End) else node
        for node in papers.nodes
    ]
    others = (two_forms(), parallel(), pick(), chat_review(), quick(), fails_after())
    with_files = (file_report(), file_start(), picture_form())
    named = {app.name: app for app in (*others, *with_files)}
    named["papers"] = replace(papers, name="papers", nodes=kept)
    return {**named, "slow": slow(steps=10, seconds=8.0), "review": review, "hasty": hasty}


def _hurried(node: Node) -> Node:
    return replace(node, timeout_seconds=DEADLINE) if isinstance(node, HumanInput) else node
