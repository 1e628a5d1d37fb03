"""Has posts stand in a thread: once each, whole, and in order, whatever earlier tries have left there."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from typing import Any

from slack_sdk.models.blocks import Block

from bot.core.files import PIECE
from bot.core.model import Run
from bot.core.ports import FileContent
from bot.errors import ChannelUnreachable, SlackRejected, SlackUnauthorized, SlackUnavailable
from bot.slack.delivery.budget import MessageKey
from bot.slack.delivery.chain import Chain, Part, Step, Stream, begin, lose, next_step, take
from bot.slack.delivery.failures import MESSAGE_GONE, SCOPE_MISSING, STREAMING
from bot.slack.delivery.files import Files
from bot.slack.delivery.followed import Board, FollowedRuns, StreamedText
from bot.slack.delivery.memory import remember
from bot.slack.delivery.native_streams import NativeStreams
from bot.slack.delivery.posted import Finder, Place, metadata_of
from bot.slack.delivery.web_api import APPEND, DELETE, POST, QUIET, START, STOP, UPDATE, Errand, WebApi
from bot.slack.messages.blocks import Post
from bot.slack.messages.message import Message, TextFile
from bot.slack.messages.result import STILL_WRITING

log = logging.getLogger(__name__)


class Poster:
    """Posts, one message after the other."""

    def __init__(
        self,
        web: WebApi,
        files: Files,
        finder: Finder,
        followed: FollowedRuns,
        board: Board,
        streams: NativeStreams,
        *,
        shared: bool,
    ) -> None:
        """`shared` is that of the `SlackGateway`."""
        self._web = web
        self._files = files
        self._streams = streams
        self._finder = finder
        self._followed = followed
        self._board = board
        self._shared = shared
        self._posted: dict[str, Chain] = {}
        """By `post_id`, of posts that Slack surely left unfinished: what is there of them."""

    def forget(self) -> None:
        """Look anew for what is there of a post."""
        self._posted.clear()

    async def post(self, run: Run, post: Post, errand: Errand, *, anew: bool = True) -> str:
        """Have every part stand in the thread, and return the `ts` of the last one.

        What somebody deleted is posted `anew` or left out.
        """
        async with AsyncExitStack() as stack:
            if post.into is not None:
                await stack.enter_async_context(self._board.important((run.channel_id, post.into)))
            streamed = self._followed.text_at(run, post.into)
            chain = await self._chain_of(run, post, errand, streamed)
            try:
                await self._write_chain(run, chain, post, errand, anew=anew)
            except SlackUnavailable as error:
                unsure = error.sent or self._shared
                if streamed is not None:
                    streamed.chain = None if unsure else chain
                if not unsure:
                    remember(self._posted, errand.post_id, chain)
                error.sent = error.sent or bool(chain.parts)
                raise
        return chain.last_ts

    async def say(self, place: Place, message: Message, errand: Errand) -> None:
        """Have one message stand in a place that is no run's."""
        if errand.again and (await self._finder.find(place, errand)).posted:
            return
        await self._web.turn(POST, errand, place.channel_id)
        await self._post_part(place.channel_id, place.thread_ts, message, (errand.post_id, 0))

    async def update(
        self, key: MessageKey, message: Message, errand: Errand, metadata: dict[str, Any] | None = None
    ) -> None:
        """Redraw one message with what matters, and with new `metadata`."""
        more = {"metadata": metadata} if metadata else {}
        await self._web.turn(UPDATE, errand)
        async with self._board.important(key):
            await self._web.send(UPDATE, message, channel=key[0], ts=key[1], **more)

    async def take_step(self, run: Run, chain: Chain, step: Step, *, anew: bool) -> None:
        """Take one step, whose turn has come."""
        part = part_of(chain, step)
        method = method_of(chain, step)
        if method == START:
            await self._start(run, chain, step)
        elif method == APPEND:
            await self._append(run, chain, step, part)
        elif method == STOP:
            await self._stop(run, chain, step, part, anew=anew)
        elif method == POST and step.message is not None:
            mark = chain.mark_of(step.number)
            take(chain, step, await self._post_part(run.channel_id, run.thread_ts, step.message, mark))
        else:
            await self._redraw(run, chain, step, part, anew=anew)

    async def _redraw(self, run: Run, chain: Chain, step: Step, part: Part, *, anew: bool) -> None:
        if step.ts is None:
            take(chain, step, "")
            return
        where: dict[str, Any] = {"channel": run.channel_id, "ts": step.ts}
        try:
            if step.message is None:
                await self._web.ask(DELETE, **where)
            else:
                mark = {} if part.marked else {"metadata": metadata_of(*chain.mark_of(step.number))}
                await self._web.send(UPDATE, step.message, **where, **mark)
        except SlackRejected as error:
            if error.code == STREAMING and not part.stopped:
                part.stream, part.drawn = Stream(None), None
                return
            if error.code == STREAMING:
                raise SlackUnavailable(f"a stream goes on that is over: {error}", code=error.code) from error
            if error.code not in MESSAGE_GONE:
                raise
            lose(chain, step, for_good=not anew)
        else:
            take(chain, step, step.ts)

    async def _start(self, run: Run, chain: Chain, step: Step) -> None:
        """Begin a stream; where Slack refuses it, the message is left to be posted."""
        assert step.message is not None, "a stream begins with something"
        begun_at = self._streams.now()
        ts = await self._streams.start(run, step.message.markdown)
        if ts is not None:
            begin(chain, step.number, ts, Stream(step.message.markdown, begun_at))

    async def _append(self, run: Run, chain: Chain, step: Step, part: Part) -> None:
        assert part.stream is not None, "it is being streamed"
        assert step.message is not None, "it grows"
        before = part.stream.appended or ""
        try:
            if await self._streams.append((run.channel_id, str(part.ts)), step.message.markdown[len(before) :]):
                part.stream.appended = step.message.markdown
            else:
                part.stream = None
        except SlackRejected as error:
            if error.code not in MESSAGE_GONE:
                raise
            lose(chain, step, for_good=True)

    async def _stop(self, run: Run, chain: Chain, step: Step, part: Part, *, anew: bool) -> None:
        """End a stream, with the rest of its message if that goes on with what is there; otherwise it is redrawn."""
        assert part.stream is not None, "it is being streamed"
        message, before = step.message, part.stream.appended or ""
        below: Sequence[Block] = (STILL_WRITING,)
        rest, fits = "", False
        if message is not None and before and message.markdown.startswith(before):
            rest, below, fits = message.markdown[len(before) :], message.blocks[1:], True
        try:
            mark = metadata_of(*chain.mark_of(step.number))
            took = await self._streams.stop((run.channel_id, str(part.ts)), rest, below, mark)
        except SlackRejected as error:
            if error.code not in MESSAGE_GONE:
                raise
            lose(chain, step, for_good=not anew)
            return
        part.stream, part.stopped, part.marked = None, True, took
        if took and fits and message is not None:
            chain.shows_at(step.number, message)

    async def _chain_of(self, run: Run, post: Post, errand: Errand, streamed: StreamedText | None) -> Chain:
        """Return what is there already of a post, by what is known or else by what stands in the thread."""
        if (kept := self._posted.pop(errand.post_id, None)) is not None:
            return kept
        if streamed is not None and streamed.chain is not None:
            return streamed.chain
        if post.into is not None:
            return await self._finder.find_text(run, post.into, errand)
        if not errand.again:
            return Chain(errand.post_id)
        chain = (await self._finder.find(run, errand)).chain(errand.post_id)
        if post.file is None:
            # Each message is posted once, as it is to stay: somebody may be typing in the last one.
            chain.shows(post.messages)
        return chain

    async def _write_chain(self, run: Run, chain: Chain, post: Post, errand: Errand, *, anew: bool) -> None:
        was_refused = len(chain.parts) > len(post.messages)
        messages = post.instead if post.file is not None and was_refused else post.messages
        await self._write_messages(run, chain, messages, errand, anew=anew)
        if post.file is None or was_refused or chain.has_file:
            return
        try:
            await self._share(run, post.file, errand)
        except SlackRejected as refused:
            closed_door = isinstance(refused, SlackUnauthorized) and refused.code not in SCOPE_MISSING
            if closed_door or isinstance(refused, ChannelUnreachable):
                raise
            log.warning("Slack takes no file, so that the whole text goes into messages: %s", refused)
            await self._write_messages(run, chain, post.instead, errand, anew=anew)
        else:
            chain.has_file = True

    async def _write_messages(
        self, run: Run, chain: Chain, messages: tuple[Message, ...], errand: Errand, *, anew: bool
    ) -> None:
        while (step := next_step(chain, messages)) is not None:
            method = method_of(chain, step)
            await self._web.turn(method, errand, run.channel_id if method == POST else None)
            await self.take_step(run, chain, step, anew=anew)

    async def _post_part(self, channel: str, thread_ts: str | None, message: Message, mark: tuple[str, int]) -> str:
        response = await self._web.send(
            POST, message, channel=channel, thread_ts=thread_ts, metadata=metadata_of(*mark), **QUIET
        )
        return str(response["ts"])

    async def _share(self, run: Run, file: TextFile, errand: Errand) -> None:
        """Upload a file and share it in the thread (slack-platform §5.4)."""
        file_id = await self._files.upload(file.name(errand.post_id), _content_of(file), "", errand)
        await self._files.complete({file_id: file.title}, errand, channel_id=run.channel_id, thread_ts=run.thread_ts)


def _content_of(file: TextFile) -> FileContent:
    content = file.text.encode()

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(content), PIECE):
            yield content[start : start + PIECE]

    return FileContent(pieces(), len(content))


def part_of(chain: Chain, step: Step) -> Part:
    """Return the part that a step is about; an empty one where it is to begin."""
    return chain.parts[step.number] if step.number < len(chain.parts) else Part(None)


def method_of(chain: Chain, step: Step) -> str:
    """Return the method by which a step is taken."""
    stream = part_of(chain, step).stream
    if stream is not None:
        before = stream.appended
        goes_on = step.grows and before is not None and step.message and step.message.markdown.startswith(before)
        return APPEND if goes_on else STOP
    if step.message is None:
        return DELETE
    if step.ts is None:
        return START if step.grows else POST
    return UPDATE
