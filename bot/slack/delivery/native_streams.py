"""Slack's native streams: messages that are added to while people read along (slack-platform §3).

A stream is only another way of drawing the last message of a chain while it grows; whatever goes wrong with one, the
message is drawn by chat.update from then on. What is not certain about Slack's streams is here and nowhere else.

A stream gets no metadata before its end, so that one whose beginning nobody heard of, or whose process died, is told by
their absence: every other message of the bot has them, or holds a file. For that to be certain at most one run streams
into a thread at a time (`bot.core.ports.Store.writes_alone`), and one message after the other.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from slack_sdk.models.blocks import Block

from bot.core.model import Run
from bot.errors import ChannelUnreachable, SlackRejected, SlackUnavailable
from bot.slack.delivery.chain import Chain, Part
from bot.slack.delivery.failures import MESSAGE_GONE
from bot.slack.delivery.memory import remember
from bot.slack.delivery.web_api import APPEND, START, STOP, WebApi
from bot.slack.messages.message import Message, markdown
from bot.slack.messages.result import announces_file, answer_messages
from bot.slack.text.growing import may_break, settled, without_closing

log = logging.getLogger(__name__)

ROLLS_OVER = 240.0
"""Seconds after its start in which a stream is ended where its text can go on in another one.

Slack ends it after some 300, whatever is added (slack-platform §3.2).
"""
ENDS = 275.0
"""Seconds after its start in which it is ended wherever its text stands."""
_TRIED_AGAIN = 600.0
"""Seconds for which no stream is started where Slack refused one."""
_OF_THE_CHANNEL = "channel_type_not_supported"


@dataclass(frozen=True, slots=True)
class Drawing:
    """What a text is to look like while it is written."""

    messages: tuple[Message, ...]
    grows: bool = False
    """The last message is to be streamed."""
    end: int = 0
    """How many characters of the text it then shows."""


def drawing(text: str, breaks: Sequence[int], chain: Chain, *, natively: bool) -> Drawing:
    """Lay out a text that is being written: its last message streamed where `natively`, if it is not drawn already."""
    whole = answer_messages(text, breaks=breaks)
    if not natively:
        return Drawing(whole)
    last_break = breaks[-1] if breaks else 0
    stable = settled(text[last_break:])
    end = last_break + stable.end
    *full, last = answer_messages(text[:end], breaks=breaks)
    part = chain.parts[len(full)] if len(full) < len(chain.parts) else None
    is_known = part is None or (part.stream is not None and part.stream.appended is not None)
    if last.markdown and is_known and not announces_file(last):
        shown = without_closing(last.markdown, in_code=stable.in_code)
        return Drawing((*full, Message(last.text, (markdown(shown),))), grows=True, end=end)
    # What is not settled of a message that is still to begin waits; the one before it says that it goes on.
    return Drawing(whole[: max(len(full) + 1, len(chain.parts))])


def next_break(text: str, breaks: Sequence[int], chain: Chain, now: float) -> int | None:
    """Return where in the text the next message is to begin because the stream of the last one has become old."""
    part = chain.streaming
    if part is None or part.stream is None or part.stream.appended is None or now < part.stream.begun_at + ROLLS_OVER:
        return None
    upto = part.stream.upto
    has_more = bool(text[upto:].strip()) and upto > (breaks[-1] if breaks else 0)
    return upto if has_more and may_break(text, upto) else None


class NativeStreams:
    """Starts, extends and ends them in one workspace, as long as it lets."""

    def __init__(self, web: WebApi, now: Callable[[], float] = time.monotonic) -> None:
        """`now` is a monotonic clock in seconds."""
        self._web = web
        self.now = now
        self._refused_until = 0.0
        self._refused_in: dict[str, float] = {}
        """Until when it is not tried in a channel."""

    def may_start(self, channel: str) -> bool:
        """Tell whether a stream can be started right now: Slack has not refused one lately, and allows one more."""
        refused_until = max(self._refused_until, self._refused_in.get(channel, 0.0))
        return self.now() >= refused_until and self._web.gate.wait(START) <= 0

    def is_due(self, part: Part) -> bool:
        """Tell whether the stream of a message has to be ended now."""
        return part.stream is not None and self.now() >= part.stream.begun_at + ENDS

    async def start(self, run: Run, text: str) -> str | None:
        """Begin a message with safe Markdown and return its `ts`; None where Slack wants it posted otherwise.

        Raises:
            SlackUnavailable: it may have begun.
            ChannelUnreachable: the bot cannot write there at all.
        """
        self._web.gate.count(START)
        try:
            answer = await self._web.ask(
                START,
                channel=run.channel_id,
                thread_ts=run.thread_ts,
                markdown_text=text,
                recipient_user_id=run.starter_id,
                recipient_team_id=run.team_id,
            )
        except ChannelUnreachable:
            raise
        except SlackRejected as refused:
            log.info("Slack takes no stream there, so that texts are drawn for a while: %s", refused)
            until = self.now() + _TRIED_AGAIN
            if refused.code == _OF_THE_CHANNEL:
                remember(self._refused_in, run.channel_id, until)
            else:
                self._refused_until = until
            return None
        except SlackUnavailable as error:
            if error.sent:
                raise
            return None
        return str(answer["ts"])

    async def append(self, key: tuple[str, str], text: str) -> bool:
        """Add safe Markdown to a message; tell whether it was added: its stream may be over.

        Raises:
            SlackUnavailable: it may have been added.
            SlackRejected: the message is gone.
        """
        return await self._extend(APPEND, key, markdown_text=text)

    async def stop(self, key: tuple[str, str], text: str, below: Sequence[Block], metadata: dict[str, Any]) -> bool:
        """End a message with safe Markdown and blocks `below` all of it; tell whether Slack took that.

        Raises:
            SlackUnavailable: it may have ended.
            SlackRejected: the message is gone.
        """
        more: dict[str, Any] = {"markdown_text": text} if text else {}
        if below:
            more["blocks"] = [block.to_dict() for block in below]
        return await self._extend(STOP, key, metadata=metadata, **more)

    async def _extend(self, method: str, key: tuple[str, str], **arguments: Any) -> bool:
        try:
            await self._web.ask(method, channel=key[0], ts=key[1], **arguments)
        except ChannelUnreachable:
            raise
        except SlackRejected as refused:
            if refused.code in MESSAGE_GONE:
                raise
            # It ran out of time, or somebody stopped it, or Slack does not take this: chat.update repairs it.
            log.info("a stream is over: %s", refused)
            return False
        return True
