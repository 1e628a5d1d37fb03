"""The kinds of faults, and how a trial's one is drawn from its seed."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from bot.playground.dify.faults import Delay as DifyDelay
from bot.playground.dify.faults import Failure, Route
from bot.playground.dify.faults import LostResponse as DifyLostResponse
from bot.playground.dify.streams import Cut
from bot.playground.slack import faults as slack
from bot.playground.slack.delivery import COMMAND, INTERACTIVE
from tests.faults.plays import PLAYS, Play
from tests.faults.points import Point

if TYPE_CHECKING:
    from collections.abc import Callable

    from bot.playground.dify import Dify
    from bot.playground.slack import Workspace

MOST_OF_A_KIND = 70
"""More points of one kind in one play than this are not all swept."""


class Kind(StrEnum):
    """What goes wrong."""

    NOTHING = "nothing"
    KILL = "kill at a point"
    KILL_TWICE = "kill at a point, and again on recovery"
    KILL_ANY_TIME = "kill at any time"
    TERMINATE = "SIGTERM at any time"
    FREEZE = "freeze a process at any time"
    JOIN = "a further process"
    CUT_STREAM = "cut stream"
    DIFY_AWAY = "Dify away for a while"
    SLACK_AWAY = "Slack away for a while"
    DATABASE_AWAY = "database away for a while"
    DIFY_LOST = "Dify's response lost"
    DIFY_ERROR = "Dify answers an error"
    SLACK_LOST = "Slack's response lost"
    SLACK_ERROR = "Slack answers an error"
    CUT_SOCKET = "Socket Mode cut"
    DELIVERY = "delivery redelivered, late or lost"
    TWO_CLICKERS = "two clickers at once"
    ELSEWHERE = "answered elsewhere at once"


@dataclass(frozen=True)
class Fault:
    """One fault, drawn; what does not belong to its kind is empty."""

    kind: Kind
    point: Point | None = None
    number: int = 1
    """Which of the points, requests, calls, streams, deliveries or forms is struck."""
    target: str = ""
    """Which endpoint, method or delivery."""
    how: str = ""
    """What exactly; for a second kill, the point and its number."""
    at: float = 0.0
    """Seconds after the start, where it is a moment."""
    away: float | None = 0.0
    """Seconds that a bot which was ended stays away; None: until the play is over."""
    victim: int = 0
    """Which of the bots, where it is not a point that decides."""

    @property
    def family(self) -> str:
        """What a table calls it."""
        return f"kill: {self.point.name_for_people}" if self.kind is Kind.KILL and self.point is not None else self.kind

    def __str__(self) -> str:
        parts = [str(self.kind)]
        if self.point is not None:
            parts.append(f"“{self.point.name_for_people}”")
        if self.kind in MOMENTS:
            parts.append(f"after {self.at:.2f} s")
        elif self.kind is not Kind.NOTHING:
            parts.append(f"no. {self.number}")
        parts += [part for part in (self.target, self.how) if part]
        if self.kind in ENDS_A_BOT | AWAY:
            parts.append("away until the play is over" if self.away is None else f"away {self.away:.1f} s")
        return ", ".join(parts)


AWAY = frozenset({Kind.DIFY_AWAY, Kind.SLACK_AWAY, Kind.DATABASE_AWAY})
"""Something that the bot needs goes away and comes back."""
MOMENTS = AWAY | {Kind.KILL_ANY_TIME, Kind.TERMINATE, Kind.FREEZE, Kind.JOIN, Kind.CUT_SOCKET}
"""They strike at a moment."""
ENDS_A_BOT = frozenset({Kind.KILL, Kind.KILL_TWICE, Kind.KILL_ANY_TIME, Kind.TERMINATE})

_WEIGHTS: Mapping[Kind, int] = {
    Kind.NOTHING: 1,
    Kind.KILL: 90,
    Kind.KILL_TWICE: 6,
    Kind.KILL_ANY_TIME: 6,
    Kind.TERMINATE: 5,
    Kind.CUT_STREAM: 8,
    Kind.DIFY_AWAY: 6,
    Kind.SLACK_AWAY: 5,
    Kind.DATABASE_AWAY: 5,
    Kind.DIFY_LOST: 8,
    Kind.DIFY_ERROR: 8,
    Kind.SLACK_LOST: 8,
    Kind.SLACK_ERROR: 6,
    Kind.CUT_SOCKET: 4,
    Kind.DELIVERY: 7,
    Kind.TWO_CLICKERS: 5,
    Kind.ELSEWHERE: 4,
}
_OF_SEVERAL: Mapping[Kind, int] = {Kind.FREEZE: 6, Kind.JOIN: 3}
"""Kinds that there are only where several processes share the work."""

_POST, _UPDATE, _TELL, _SEARCH = "chat.postMessage", "chat.update", "chat.postEphemeral", "conversations.replies"
_STREAMED = ("chat.startStream", "chat.startStream", "chat.appendStream", "chat.stopStream")
_AGAIN = (Point.BEFORE_SAVE, Point.AFTER_SAVE, Point.BEFORE_DIFY, Point.AFTER_DIFY, Point.AFTER_SLACK)
"""Where a bot that has just come back is killed again."""


def draw(seed: int, processes: int) -> tuple[Play, Fault, random.Random]:
    """Return the play and the fault of a trial, and what further chance it has.

    The points of all plays are swept: consecutive seeds take one after the other, in an order that is shuffled once.
    """
    chance = random.Random(f"trial {seed}")
    weights = {**_WEIGHTS, **(_OF_SEVERAL if processes > 1 else {})}
    kind = chance.choices(list(weights), list(weights.values()))[0]
    if kind is Kind.KILL:
        play, point, number = _SWEEP[seed % len(_SWEEP)]
        return play, Fault(kind, point, number, **_absence(chance, processes)), chance
    fitting = [play for play in PLAYS if play.others] if kind in (Kind.TWO_CLICKERS, Kind.ELSEWHERE) else PLAYS
    play = chance.choice(fitting)
    if kind in ENDS_A_BOT | MOMENTS:
        return play, _of_bots(kind, play, chance, processes), chance
    return play, _of_calls(kind, play, chance), chance


def _absence(chance: random.Random, processes: int) -> dict[str, Any]:
    away = (0.0, 0.0, 0.3, 1.0) if processes == 1 else (0.0, 0.5, 3.0, None)
    return {"away": chance.choice(away), "victim": chance.randrange(processes)}


def _of_bots(kind: Kind, play: Play, chance: random.Random, processes: int) -> Fault:
    at = chance.random() * play.seconds
    absence = _absence(chance, processes)
    match kind:
        case Kind.KILL_TWICE:
            point = chance.choice(list(Point))
            again = chance.choice(_AGAIN)
            further = 4 if again in (Point.BEFORE_SAVE, Point.AFTER_SAVE) else 1
            # Not at the end of the play, where nothing is left to recover.
            first = chance.randint(1, 1 + play.points[point] // 2)
            return Fault(kind, point, first, how=f"{again.name} {chance.randint(1, further)}", **absence)
        case Kind.JOIN:
            return Fault(kind, at=at / 3, **absence)
        case Kind.DIFY_AWAY | Kind.SLACK_AWAY:
            return Fault(kind, at=at, how=chance.choice(("", "502", "503")), away=chance.choice((0.3, 1.0, 2.5)))
        case Kind.DATABASE_AWAY:
            return Fault(kind, at=at, away=chance.choice((0.3, 1.0, 2.0)))
        case Kind.CUT_SOCKET:
            return Fault(kind, at=at, how=chance.choice(("announced", "without a word")))
        case _:
            return Fault(kind, at=at, **absence)


def _of_calls(kind: Kind, play: Play, chance: random.Random) -> Fault:
    decisions = max(len(play.decisions), 1)
    match kind:
        case Kind.CUT_STREAM:
            streams = 1 + len(play.decisions)
            how = chance.choice(("after_events", "after_bytes"))
            # No more than the shortest stream of the play has, or it would not be cut.
            most = min(15, play.points[Point.STREAM_EVENT] // streams // 3)
            size = chance.randint(0, most) if how == "after_events" else chance.choice((0, 1, chance.randint(2, 1500)))
            return Fault(kind, number=chance.randint(1, streams), how=f"{how}={size}")
        case Kind.DIFY_LOST | Kind.DIFY_ERROR:
            how = "" if kind is Kind.DIFY_LOST else chance.choice(("500", "500", "502", "429"))
            route, most = chance.choice(_routes(play))
            return Fault(kind, number=chance.randint(1, most), target=route, how=how)
        case Kind.SLACK_LOST | Kind.SLACK_ERROR:
            how = "" if kind is Kind.SLACK_LOST else chance.choice(("500", "429", "cut"))
            written = _STREAMED if play.writes else ()
            method = chance.choice((_POST, _POST, _UPDATE, _SEARCH, *written, *([_TELL] if play.others else [])))
            most = {_POST: 2 + len(play.decisions), _UPDATE: 2 + 2 * len(play.decisions)}.get(method, 1)
            return Fault(kind, number=chance.randint(1, most), target=method, how=how)
        case Kind.DELIVERY:
            target = chance.choice((COMMAND, INTERACTIVE, INTERACTIVE)) if play.decisions or play.stops else COMMAND
            most = decisions if target == INTERACTIVE else 1
            how = chance.choice(("twice", "lost", "late", "overtaken"))
            return Fault(kind, number=chance.randint(1, most), target=target, how=how)
        case _:
            return Fault(kind, number=chance.randint(1, decisions))


def _routes(play: Play) -> list[tuple[Route, int]]:
    """The endpoints that a play asks, and how often; the last two only where a stream has broken off before."""
    start = Route.CHAT if play.is_chatflow else Route.RUN
    routes = [(start, 1), (Route.INFO, 1), (Route.PARAMETERS, 1), (Route.RUN_DETAIL, 1)]
    if play.decisions:
        answers = len(play.decisions)
        routes += [(Route.SUBMIT_FORM, answers)] * 3 + [(Route.EVENTS, answers), (Route.READ_FORM, 1)]
    return routes + ([(Route.STOP, 1)] * 2 if play.stops else [])


def _sweep() -> list[tuple[Play, Point, int]]:
    every = [(play, point, number) for play in PLAYS for point in Point for number in _numbers(play.points[point])]
    random.Random("sweep").shuffle(every)
    return every


def _numbers(count: int) -> range:
    """All of the points of a kind, but of hundreds of stream events only some, evenly spread."""
    return range(1, count + 1, 1 + count // MOST_OF_A_KIND)


_SWEEP = _sweep()


def order(fault: Fault, workspace: Workspace, dify: Dify) -> Callable[[], bool]:
    """Order what the platforms do wrong; returns how to ask whether it happened."""
    match fault.kind:
        case Kind.CUT_STREAM:
            name, _, size = fault.how.partition("=")
            cut = Cut(**{name: int(size)})
            _cut_stream(dify, fault.number, cut)
            return lambda: cut.happened
        case Kind.DIFY_LOST | Kind.DIFY_ERROR:
            route = Route(fault.target)
            if route in (Route.READ_FORM, Route.RUN_DETAIL):
                # Nobody looks as long as the streams tell everything.
                _cut_stream(dify, 1, Cut(after_events=3))
            dify.faults.add(route, DifyDelay(0), fault.number - 1)
            dify.faults.add(route, Failure(int(fault.how)) if fault.how else DifyLostResponse())
            return lambda: not dify.faults.left_for(route)
        case Kind.SLACK_LOST | Kind.SLACK_ERROR:
            if fault.target == _SEARCH:
                # Nobody searches a thread for a post that went well.
                workspace.faults.add(_POST, slack.Delay(0), times=1)
                workspace.faults.add(_POST, slack.LostResponse())
            return _order_of_slack(workspace, fault, _WRONG_CALLS[fault.how])
        case Kind.DELIVERY:
            return _order_of_slack(workspace, fault, _WRONG_DELIVERIES[fault.how])
    return lambda: False


_WRONG_CALLS: Mapping[str, slack.Fault] = {
    "": slack.LostResponse(),
    "500": slack.ServerError(),
    "429": slack.RateLimited(1),
    "cut": slack.CutConnection(),
}
_WRONG_DELIVERIES: Mapping[str, slack.Fault] = {
    "twice": slack.Duplicate(),
    "lost": slack.Drop(),
    "late": slack.Delay(0.4),
    "overtaken": slack.Overtaken(),
}


def _cut_stream(dify: Dify, number: int, cut: Cut) -> None:
    for _ in range(number - 1):
        dify.faults.add_cut(Cut(after_events=10**9))
    dify.faults.add_cut(cut)


def _order_of_slack(workspace: Workspace, fault: Fault, wrong: slack.Fault) -> Callable[[], bool]:
    if fault.number > 1:
        workspace.faults.add(fault.target, slack.Delay(0), times=fault.number - 1)
    workspace.faults.add(fault.target, wrong)
    return lambda: not workspace.faults.left_for(fault.target)
