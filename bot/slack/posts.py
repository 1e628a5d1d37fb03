"""Has posts stand in a thread: once each, whole, and in order, whatever earlier tries have left there."""

from __future__ import annotations

import logging
from contextlib import AsyncExitStack

from bot.core.model import Run
from bot.errors import ChannelUnreachable, SlackRejected, SlackUnauthorized, SlackUnavailable
from bot.slack.answers import Chain, Step, lose, next_step, take
from bot.slack.blocks import Post
from bot.slack.budget import MessageKey
from bot.slack.failures import MESSAGE_GONE, SCOPE_MISSING
from bot.slack.followed import Answer, Board, FollowedRuns
from bot.slack.memory import remember
from bot.slack.message import Message, TextFile
from bot.slack.posted import Finder, metadata_of
from bot.slack.web_api import DELETE, POST, QUIET, UPDATE, Errand, WebApi

log = logging.getLogger(__name__)


class Poster:
    """Posts, one message after the other."""

    def __init__(self, web: WebApi, finder: Finder, followed: FollowedRuns, board: Board, *, shared: bool) -> None:
        """`shared` is that of the `SlackGateway`."""
        self._web = web
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
            answer = self._followed.answer_at(run, post.into)
            chain = await self._chain_of(run, post, errand, answer)
            try:
                await self._write_chain(run, chain, post, errand, anew=anew)
            except SlackUnavailable as error:
                unsure = error.sent or self._shared
                if answer is not None:
                    answer.chain = None if unsure else chain
                if not unsure:
                    remember(self._posted, errand.post_id, chain)
                error.sent = error.sent or bool(chain.parts)
                raise
        return chain.last_ts

    async def update(self, key: MessageKey, message: Message, errand: Errand) -> None:
        """Redraw one message with what matters."""
        await self._web.turn(UPDATE, errand)
        async with self._board.important(key):
            await self._web.send(UPDATE, message, channel=key[0], ts=key[1])

    async def take_step(self, run: Run, chain: Chain, step: Step, *, anew: bool) -> None:
        """Take one step, whose turn has come."""
        if step.ts is None:
            ts = ""
            if step.message is not None:
                ts = await self._post_part(run.channel_id, run.thread_ts, step.message, chain.post_id, step.number)
            take(chain, step, ts)
            return
        where = {"channel": run.channel_id, "ts": step.ts}
        try:
            if step.message is None:
                await self._web.ask(DELETE, **where)
            else:
                await self._web.send(UPDATE, step.message, **where)
        except SlackRejected as error:
            if error.code not in MESSAGE_GONE:
                raise
            lose(chain, step, for_good=not anew)
        else:
            take(chain, step, step.ts)

    async def _chain_of(self, run: Run, post: Post, errand: Errand, answer: Answer | None) -> Chain:
        """Return what is there already of a post, by what is known or else by what stands in the thread."""
        if (kept := self._posted.pop(errand.post_id, None)) is not None:
            return kept
        if answer is not None and answer.chain is not None:
            return answer.chain
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
            method = method_of(step)
            await self._web.turn(method, errand, run.channel_id if method == POST else None)
            await self.take_step(run, chain, step, anew=anew)

    async def _post_part(self, channel: str, thread_ts: str | None, message: Message, post_id: str, part: int) -> str:
        response = await self._web.send(
            POST, message, channel=channel, thread_ts=thread_ts, metadata=metadata_of(post_id, part), **QUIET
        )
        return str(response["ts"])

    async def _share(self, run: Run, file: TextFile, errand: Errand) -> None:
        """Upload a file and share it in the thread (slack-platform §5.4)."""
        content = file.text.encode()
        begin, complete = "files.getUploadURLExternal", "files.completeUploadExternal"
        await self._web.turn(begin, errand)
        ticket = await self._web.ask(begin, filename=file.name(errand.post_id), length=len(content))
        await self._web.upload(str(ticket["upload_url"]), content)
        await self._web.turn(complete, errand)
        files = [{"id": ticket["file_id"], "title": file.title}]
        await self._web.ask(complete, files=files, channel_id=run.channel_id, thread_ts=run.thread_ts)


def method_of(step: Step) -> str:
    """Return the method by which a step is taken."""
    if step.message is None:
        return DELETE
    return POST if step.ts is None else UPDATE
