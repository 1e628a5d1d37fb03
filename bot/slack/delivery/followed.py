"""What is known of the runs that are followed: losing it costs a redraw, nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from bot.core.model import Progress, Run, RunStatus
from bot.slack.delivery.budget import ProgressBoard
from bot.slack.delivery.chain import Chain
from bot.slack.delivery.memory import remember
from bot.slack.messages.message import Message


@dataclass(slots=True)
class StreamedText:
    """The streamed text of one segment of a run: the newest text, and its messages once they are posted."""

    text: str = ""
    ts: str | None = None
    """Of the first one."""
    chain: Chain | None = None
    """All of them; None where that has to be looked up."""
    cut: bool = False
    """A part of it was not heard."""
    over: bool = False
    """Drawn for the last time."""
    whole: bool = False
    """And thereby all that the run wrote in this segment stands there."""
    adopts: bool = False
    """What stands in the thread without metadata belongs to it, as `Errand.adopts` says; so it may be streamed."""
    natively: bool = False
    """Its last message is streamed, or the next one is to be."""
    breaks: tuple[int, ...] = ()
    """Where in the text a message begins because the stream of the one before had become old."""
    left: Run | None = None
    """The run as it was left to other processes before the first message was there."""


@dataclass(frozen=True, slots=True)
class Growth:
    """That a streamed text has grown."""

    run: Run
    streamed: StreamedText


Drawing = Callable[[], Message] | Growth
Board = ProgressBoard[Drawing]


@dataclass(slots=True)
class Followed:
    """What is known of a run that is being followed."""

    drawn: Run | None = None
    """The run as its root message was last drawn with what matters."""
    progress: tuple[datetime, Progress] | None = None
    """What it was last seen doing, and since when it had been in the state it did it in."""
    texts: dict[int, StreamedText] = field(default_factory=dict)
    """By segment, of those whose text is not known to stand there to its end."""
    ended: bool = False
    """It ended, so whatever is still heard of it is late."""


class FollowedRuns:
    """What is known of each of them."""

    def __init__(self) -> None:
        self._runs: dict[str, Followed] = {}
        """By `run_id`."""

    def forget(self) -> None:
        """Forget all of them."""
        self._runs.clear()

    def known(self, run: Run) -> Followed | None:
        """Return what is known of a run; None where nothing is."""
        return self._runs.get(run.run_id)

    def of(self, run: Run) -> Followed:
        """Return what is known of a run; of one that ended, the texts that may still have to be drawn and no more."""
        followed = self._runs.get(run.run_id) or Followed()
        if run.status.ended:
            for segment, streamed in followed.texts.items():
                if is_replaced(run, segment):
                    streamed.text = ""
            followed = Followed(texts=followed.texts, ended=True)
        remember(self._runs, run.run_id, followed)
        return followed

    def progress_of(self, run: Run) -> Progress | None:
        """Return what a run was last seen doing in its present state, so that a redraw does not forget it."""
        since, progress = self.of(run).progress or (None, None)
        return progress if since == since_of(run) else None

    def text_of(self, run: Run, segment: int) -> StreamedText:
        """Return the streamed text of a segment."""
        return self.of(run).texts.setdefault(segment, StreamedText())

    def text_at(self, run: Run, ts: str | None) -> StreamedText | None:
        """Return the text whose first message has this `ts`, if it was heard here."""
        followed = self._runs.get(run.run_id)
        answers = followed.texts.values() if followed is not None and ts is not None else ()
        return next((streamed for streamed in answers if streamed.ts == ts), None)


def is_writing(run: Run, segment: int) -> bool:
    """Tell whether more of the text of a segment may come."""
    return run.status is RunStatus.RUNNING and run.segment == segment


def is_replaced(run: Run, segment: int) -> bool:
    """Tell whether the result takes the place of the text of a segment."""
    return run.replaces_answer and run.segment == segment


def since_of(run: Run) -> datetime:
    """Return since when a run has been in its state."""
    return run.since or run.created_at


def is_newer(drawn: Run, run: Run) -> bool:
    """Tell whether what was drawn is newer than a run; while it pauses, forms change that no root message shows."""
    if run.status is RunStatus.PAUSED:
        return since_of(drawn) > since_of(run)
    return since_of(drawn) >= since_of(run)
