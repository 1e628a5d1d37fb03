"""A long text in a thread: a chain of messages that read one after the other, and what is left to do about them.

Pure: the gateway takes the steps, one call to Slack each.

The messages are written in order, and each but the last says that the text goes on below. So at every moment, also
after a crash, a chain shows the text from its beginning, and its last message tells whether that is all: one that says
that more is coming, or goes on below where nothing stands, was left unfinished.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from bot.slack.message import Message


def text_id(ts: str) -> str:
    """Return the post id of the messages that go on with the text whose first message has this `ts`.

    Everybody who knows the first one finds the others by it (slack-platform §8.3).
    """
    return f"text-{ts}"


@dataclass(slots=True)
class Part:
    """One message of a chain; without a `ts` it is not there, or not any more."""

    ts: str | None
    drawn: int | None = None
    """What it surely shows, as `_look` tells it from others."""
    left_out: bool = False
    """Somebody deleted it, and it is not to come back."""


@dataclass(slots=True)
class Chain:
    """What is known to stand in the thread of a text."""

    post_id: str
    """In the metadata of the messages to come."""
    parts: list[Part] = field(default_factory=list)
    has_file: bool = False
    """The whole text stands below them as a file."""

    @property
    def last_ts(self) -> str:
        """The `ts` of its last message; empty where none is there."""
        return next((part.ts for part in reversed(self.parts) if part.ts), "")

    def shows(self, messages: Iterable[Message]) -> None:
        """Take for sure that the parts that are there show these messages."""
        for part, message in zip(self.parts, messages, strict=False):
            part.drawn = _look(message)


@dataclass(frozen=True, slots=True)
class Step:
    """One call: post `message`, or draw it over the one with this `ts`; without a message, delete that one."""

    number: int
    ts: str | None
    message: Message | None


def next_step(chain: Chain, wanted: Sequence[Message]) -> Step | None:
    """Return what is to be done next for a chain to read as wanted; None where it does."""
    for number, message in enumerate(wanted):
        part = chain.parts[number] if number < len(chain.parts) else Part(None)
        if not part.left_out and part.drawn != _look(message):
            return Step(number, part.ts, message)
    if len(chain.parts) > len(wanted):
        return Step(len(chain.parts) - 1, chain.parts[-1].ts, None)
    return None


def take(chain: Chain, step: Step, ts: str | None) -> None:
    """Note that a step was taken; its message has this `ts` now."""
    if step.message is None:
        chain.parts.pop()
        return
    part = Part(ts, _look(step.message))
    if step.number < len(chain.parts):
        chain.parts[step.number] = part
    else:
        chain.parts.append(part)


def lose(chain: Chain, step: Step, *, for_good: bool) -> None:
    """Note that the message of a step was deleted; unless `for_good` it is to be posted anew."""
    if step.message is None:
        chain.parts.pop()
    else:
        chain.parts[step.number] = Part(None, left_out=for_good)


def found(post_id: str, ts_by_part: dict[int, str], *, has_file: bool) -> Chain:
    """Return the chain whose parts were found in the thread; what they show is not known."""
    parts = [Part(ts_by_part.get(number)) for number in range(max(ts_by_part, default=-1) + 1)]
    return Chain(post_id, parts, has_file)


def _look(message: Message) -> int:
    return hash(json.dumps([block.to_dict() for block in message.blocks]))
