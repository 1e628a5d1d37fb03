"""A long text in a thread: a chain of messages that read one after the other, and what is left to do about them.

Pure: the gateway takes the steps, one call to Slack each.

The messages are written in order, and each but the last says that the text goes on below. So at every moment, also
after a crash, a chain shows the text from its beginning, and its last message tells whether that is all: one that says
that more is coming, or goes on below where nothing stands, was left unfinished.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from slack_sdk.models.blocks import MarkdownBlock

from bot.slack.messages.message import Message


def text_id(ts: str) -> str:
    """Return the post id of the messages that go on with the text whose first message has this `ts`.

    Everybody who knows the first one finds the others by it (slack-platform §8.3).
    """
    return f"text-{ts}"


@dataclass(slots=True)
class Stream:
    """How far a message has come that is being streamed, or may be."""

    appended: str | None
    """All of the safe Markdown in it; None where that is not known, as of one that somebody else began."""
    begun_at: float = 0.0
    """Seconds, monotonic clock."""
    upto: int = 0
    """Characters of the run's text that it and those before it show."""


@dataclass(slots=True)
class Part:
    """One message of a chain; without a `ts` it is not there, or not any more."""

    ts: str | None
    drawn: int | None = None
    """What it surely shows, as `_look` tells it from others."""
    left_out: bool = False
    """Somebody deleted it, and it is not to come back."""
    stream: Stream | None = None
    """Set while it is being streamed."""
    marked: bool = True
    """It has the metadata by which it is found; a stream gets them only at its end (slack-platform §8.3)."""
    stopped: bool = False
    """Slack was told, or said, that its stream is over."""

    def shows(self, message: Message, *, grows: bool) -> bool:
        """Tell whether it surely shows a message, which is streamed on where it `grows`."""
        if grows:
            return self.stream is not None and self.stream.appended == message.markdown
        return self.drawn == _look(message)


@dataclass(slots=True)
class Chain:
    """What is known to stand in the thread of a text."""

    post_id: str
    """In the metadata of the messages to come."""
    parts: list[Part] = field(default_factory=list)
    has_file: bool = False
    """The whole text stands below them as a file."""
    first_post_id: str | None = None
    """In the metadata of the first message, where that still is to get them; None where it is the same."""

    def mark_of(self, number: int) -> tuple[str, int]:
        """Return the post id and the number that a message is found by."""
        return (self.first_post_id or self.post_id) if number == 0 else self.post_id, number

    @property
    def streaming(self) -> Part | None:
        """The last part, if it is being streamed."""
        return self.parts[-1] if self.parts and self.parts[-1].stream is not None else None

    @property
    def last_ts(self) -> str:
        """The `ts` of its last message; empty where none is there."""
        return next((part.ts for part in reversed(self.parts) if part.ts), "")

    def shows(self, messages: Iterable[Message]) -> None:
        """Take for sure that the parts that are there show these messages, but for streams that nobody ended."""
        for part, message in zip(self.parts, messages, strict=False):
            if part.marked:
                part.drawn = _look(message)

    def shows_at(self, number: int, message: Message) -> None:
        """Take for sure that a part shows this message."""
        self.parts[number].drawn = _look(message)


@dataclass(frozen=True, slots=True)
class Step:
    """One call: post `message`, or draw it over the one with this `ts`; without a message, delete that one.

    A message that `grows` is streamed. One whose stream is open is ended, or added to, first of all.
    """

    number: int
    ts: str | None
    message: Message | None
    grows: bool = False


def next_step(chain: Chain, wanted: Sequence[Message], *, grows: bool = False) -> Step | None:
    """Return what is to be done next for a chain to read as wanted; None where it does.

    The last message is streamed on where it `grows`.
    """
    for number, message in enumerate(wanted):
        part = chain.parts[number] if number < len(chain.parts) else Part(None)
        is_growing = grows and number == len(wanted) - 1
        if not part.left_out and not part.shows(message, grows=is_growing):
            return Step(number, part.ts, message, is_growing)
    if len(chain.parts) > len(wanted):
        return Step(len(chain.parts) - 1, chain.parts[-1].ts, None)
    return None


def take(chain: Chain, step: Step, ts: str | None) -> None:
    """Note that a step was taken; its message has this `ts` now."""
    if step.message is None:
        chain.parts.pop()
        return
    _put(chain, step.number, Part(ts, _look(step.message)))


def begin(chain: Chain, number: int, ts: str, stream: Stream) -> None:
    """Note that a part is being streamed now."""
    _put(chain, number, Part(ts, stream=stream, marked=False))


def _put(chain: Chain, number: int, part: Part) -> None:
    if number < len(chain.parts):
        chain.parts[number] = part
    else:
        chain.parts.append(part)


def lose(chain: Chain, step: Step, *, for_good: bool) -> None:
    """Note that the message of a step was deleted; unless `for_good` it is to be posted anew."""
    if step.message is None:
        chain.parts.pop()
    else:
        chain.parts[step.number] = Part(None, left_out=for_good)


def found(post_id: str, ts_by_part: dict[int, str], *, has_file: bool, unmarked: Collection[int] = ()) -> Chain:
    """Return the chain whose parts were found in the thread; what they show is not known.

    The `unmarked` ones were begun as streams, which may still be open.
    """
    parts = [Part(ts_by_part.get(number)) for number in range(max(ts_by_part, default=-1) + 1)]
    for number in unmarked:
        parts[number].stream, parts[number].marked = Stream(None), False
    return Chain(post_id, parts, has_file)


def _look(message: Message) -> int:
    # Nearly all of a message is one long text, of which a string keeps the hash.
    return hash(
        tuple(
            block.text if isinstance(block, MarkdownBlock) else json.dumps(block.to_dict()) for block in message.blocks
        )
    )
