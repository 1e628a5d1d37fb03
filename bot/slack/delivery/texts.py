"""The streamed texts of runs: one of each segment, shown while it is written, whole once it is over."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace

from bot.core.model import Run
from bot.errors import ChannelUnreachable, SlackError, SlackRejected, SlackUnauthorized, SlackUnavailable
from bot.slack.delivery.budget import MessageKey
from bot.slack.delivery.chain import Chain, Part, next_step, text_id
from bot.slack.delivery.followed import Board, Followed, FollowedRuns, Growth, StreamedText, is_replaced, is_writing
from bot.slack.delivery.limits import Importance
from bot.slack.delivery.native_streams import ENDS, Drawing, NativeStreams, drawing, next_break
from bot.slack.delivery.posted import Finder, Search, metadata_of
from bot.slack.delivery.posts import Poster, method_of
from bot.slack.delivery.web_api import APPEND, POST, REPLIES, START, STOP, Errand, WebApi
from bot.slack.messages.blocks import Post, text_post
from bot.slack.messages.message import Message
from bot.slack.messages.result import answer_file, answer_messages, cut_answer, was_cut

log = logging.getLogger(__name__)


class Texts:
    """Shows them: as they grow in turn with what else is drawn, and for the last time with what matters."""

    def __init__(
        self,
        web: WebApi,
        finder: Finder,
        poster: Poster,
        followed: FollowedRuns,
        board: Board,
        streams: NativeStreams,
    ) -> None:
        """`board` has to give each `Growth` to `draw`."""
        self._web = web
        self._streams = streams
        self._finder = finder
        self._poster = poster
        self._followed = followed
        self._board = board

    def show(self, run: Run, text: str) -> None:
        """Have the message of the streamed text redrawn in its turn; until it is posted the text is kept for it."""
        if self._followed.of(run).ended:
            return
        streamed = self._followed.text_of(run, run.segment)
        if not text.startswith(streamed.text):
            streamed.breaks = ()
        streamed.text, streamed.cut, streamed.left = text, False, None
        if ts := run.answer_ts or streamed.ts:
            streamed.ts = ts
            self._note(run, ts, streamed)

    def lose(self, run: Run) -> None:
        """Have the text of the present segment end with a note that it may not be complete."""
        if not self._followed.of(run).ended:
            self._followed.text_of(run, run.segment).cut = True

    async def leave(self, run: Run) -> None:
        """Draw what was heard of the texts of a run that is left to others."""
        followed = self._followed.known(run)
        for segment, streamed in list(followed.texts.items()) if followed is not None else ():
            await self._leave_one(run, segment, streamed)

    async def post(self, run: Run, segment: int, errand: Errand) -> str | None:
        """Post the beginning of the streamed text of a segment; the rest follows in its turn, or with `EndAnswer`.

        One that is over and was not heard, or has nothing to show, is only looked for: an earlier try may have posted
        it.
        """
        writing = is_writing(run, segment)
        streamed = self._followed.text_of(run, segment)
        streamed.adopts, shown = errand.adopts, streamed.text
        if writing and shown and not errand.again and await self._begin(run, segment, streamed, errand):
            assert streamed.ts is not None, "it has begun"
            self._note(run, streamed.ts, streamed)
        else:
            if errand.again and not shown:
                # Who heard nothing of it must not draw over what is there; if it is a stream, its end repairs it.
                found = (await self._finder.find(run, errand)).chain(errand.post_id).last_ts
                if found or not writing:
                    return found or None
                errand = replace(errand, again=False)
            messages: tuple[Message, ...] = ()
            if writing or (shown and not is_replaced(run, segment)):
                cut = streamed.cut and not writing
                messages = await asyncio.to_thread(answer_messages, shown, writing=writing, cut=cut)
            if not messages:
                if not errand.again:
                    return None
                return (await self._finder.find(run, errand)).chain(errand.post_id).last_ts or None
            first, *rest = messages
            streamed.ts = await self._poster.post(run, Post((first,)), errand)
            if not errand.again:
                streamed.chain = Chain(text_id(streamed.ts), [Part(streamed.ts)])
                streamed.chain.shows((first,))
            if writing and (streamed.text != shown or rest or errand.again):
                self._note(run, streamed.ts, streamed)
        if streamed.left is not None:
            # As soon as it is known that the message is there, others may have the last word on it.
            await self._leave_one(streamed.left, segment, streamed)
        return streamed.ts

    async def _begin(self, run: Run, segment: int, streamed: StreamedText, errand: Errand) -> bool:
        """Begin a text as a stream of Slack's; tell whether there is one now."""
        if not (errand.adopts and self._streams.may_start(run.channel_id)):
            return False
        nothing = Chain(errand.post_id)
        wanted = await asyncio.to_thread(drawing, streamed.text, (), nothing, natively=True)
        if not wanted.grows or len(wanted.messages) > 1:
            return False
        for before, other in list(self._followed.of(run).texts.items()):
            if before != segment and other.ts is not None and other.chain is not None and other.chain.streaming:
                # Of two streams without metadata nobody could tell whose they are.
                await self._finish(run, other, replace(errand, post_id=text_id(other.ts)))
        step = next_step(nothing, wanted.messages, grows=True)
        assert step is not None, "nothing is there yet"
        await self._poster.take_step(run, nothing, step, anew=False)
        if nothing.streaming is None:
            return False
        streamed.ts = nothing.last_ts
        self._has_grown((run.channel_id, streamed.ts), Growth(run, streamed), nothing, wanted.end)
        streamed.chain = Chain(text_id(streamed.ts), nothing.parts, first_post_id=errand.post_id)
        streamed.natively = True
        return True

    async def end(self, run: Run, segment: int, ts: str, errand: Errand) -> bool:
        """Show the text of a segment that is over whole, or let it not look as if more of it were to come.

        Tells whether it stands there whole.
        """
        followed = self._followed.known(run) or Followed()
        streamed = followed.texts.get(segment) or StreamedText()
        # Whoever leaves the run shares the same file, which is to be found by its name.
        errand = replace(errand, post_id=text_id(ts))
        if streamed.text or streamed.over:
            streamed.ts = ts
            await self._finish(run, streamed, errand)
            whole = streamed.whole
        else:
            # Whoever only posted the message for another process has heard no text.
            whole = await self._cut(run, ts, errand)
        followed.texts.pop(segment, None)
        return whole

    async def draw(self, key: MessageKey, growth: Growth) -> None:
        """Take the next step for a text to be shown as far as it is written; what is left has its turn later."""
        run, streamed = growth.run, growth.streamed
        text = streamed.text
        if not text:
            return  # the result takes its place, or it is over
        if streamed.chain is None:
            if run.is_reply and not streamed.adopts:
                return  # it may not be told from what another answer has left in the thread; it is shown at its end
            if self._web.gate.wait(REPLIES) > 0:
                self._board.note_unless_newer(key, growth)
                return
            errand = _errand(run, key[1], streamed)
            streamed.chain = await self._finder.find_text(run, key[1], errand)
        chain = streamed.chain
        wanted = await self._wanted(run, streamed, chain, text)
        step = next_step(chain, wanted.messages, grows=wanted.grows)
        if step is None:
            return
        method = method_of(chain, step)
        is_native = method in (START, APPEND, STOP)
        channel = run.channel_id if method == POST else None
        out_of_turn, streamed.natively = streamed.natively and not is_native, is_native
        if out_of_turn or self._web.gate.wait(method, channel=channel) > 0:
            self._board.note_unless_newer(key, growth)
            return
        if method != START:
            self._web.gate.count(method, channel)
        try:
            await self._poster.take_step(run, chain, step, anew=False)
        except SlackUnavailable as error:
            if error.sent and method == APPEND and chain.streaming and chain.streaming.stream:
                chain.streaming.stream.appended = None
            elif error.sent:
                streamed.chain = None
            raise
        if method in (START, APPEND):
            self._has_grown(key, growth, chain, wanted.end)
        if next_step(chain, wanted.messages, grows=wanted.grows) is not None:
            self._board.note_unless_newer(key, growth)

    async def _wanted(self, run: Run, streamed: StreamedText, chain: Chain, text: str) -> Drawing:
        """Lay out a text that is being written: as a stream as long as Slack takes one."""
        now, breaks = self._streams.now(), streamed.breaks
        at = next_break(text, breaks, chain, now)
        if at is not None:
            breaks = streamed.breaks = (*breaks, at)
        natively = streamed.adopts and not (chain.streaming is not None and self._streams.is_due(chain.streaming))
        wanted = await asyncio.to_thread(drawing, text, breaks, chain, natively=natively)
        step = next_step(chain, wanted.messages, grows=wanted.grows)
        if step is not None and method_of(chain, step) == START and not self._streams.may_start(run.channel_id):
            return await asyncio.to_thread(drawing, text, breaks, chain, natively=False)
        return wanted

    def _has_grown(self, key: MessageKey, growth: Growth, chain: Chain, end: int) -> None:
        """Note how much of a text stands there by now; a stream that has just begun is to be looked after."""
        part = chain.streaming
        if part is None or part.stream is None:
            return
        if not part.stream.upto:
            asyncio.get_running_loop().call_later(ENDS, self._board.note_unless_newer, key, growth)
        part.stream.upto = end

    async def _leave_one(self, run: Run, segment: int, streamed: StreamedText) -> None:
        if streamed.ts is None:
            streamed.left = run
            return
        writing = is_writing(run, segment)
        await self._board.settle((run.channel_id, streamed.ts), draw=writing)
        last_word = _errand(run, streamed.ts, streamed)
        try:
            if writing:
                await self._end_stream(run, streamed, last_word)
            elif not is_replaced(run, segment):
                await self._finish(run, streamed, last_word)
        except SlackError as error:
            log.info("the end of a text is left to others: %s", error)

    async def _end_stream(self, run: Run, streamed: StreamedText, errand: Errand) -> None:
        """Leave a text that is still written as one that is drawn: a stream is ended by who began it."""
        if streamed.ts is None or streamed.chain is None or streamed.chain.streaming is None:
            return
        shown = await asyncio.to_thread(answer_messages, streamed.text, breaks=streamed.breaks)
        async with self._board.important((run.channel_id, streamed.ts)):
            while streamed.chain.streaming is not None and (step := next_step(streamed.chain, shown)) is not None:
                method = method_of(streamed.chain, step)
                await self._web.turn(method, errand, run.channel_id if method == POST else None)
                await self._poster.take_step(run, streamed.chain, step, anew=False)

    async def _finish(self, run: Run, streamed: StreamedText, errand: Errand) -> None:
        if streamed.over or streamed.ts is None:
            return
        messages = await asyncio.to_thread(
            answer_messages, streamed.text, writing=False, cut=streamed.cut, breaks=streamed.breaks
        )
        post = text_post(messages, lambda: answer_file(run, streamed.text), into=streamed.ts)
        try:
            await self._poster.post(run, post, errand, anew=False)
        except (SlackUnauthorized, ChannelUnreachable):
            raise
        except SlackRejected as error:
            log.info("the end of a text not shown: %s", error)
        else:
            streamed.whole = not streamed.cut and any(text.is_of(streamed.text) for text in run.texts)
        streamed.over, streamed.text = True, ""

    async def _cut(self, run: Run, ts: str, errand: Errand) -> bool:
        """Mark a text that was not heard to its end by this process, perhaps because another one died.

        Tells whether it needs no mark, and has none: then whoever heard its end has written it.
        """
        try:
            search = await self._finder.find(run, errand, into=ts)
        except SlackRejected as error:
            log.info("whether a text was cut off is not known: %s", error)
            return False
        if not search.posted:
            return False
        last = max(search.posted)
        is_done = cut_answer(search.posted[last], has_file=search.has_file) is None
        if is_done and not search.unmarked:
            return not was_cut(search.posted[last])
        try:
            for number in sorted(search.unmarked | {last}):
                await self._cut_one(run, search, number, errand)
        except SlackRejected as error:
            # Somebody deleted it, for example. The root message matters more.
            log.info("the end of a text not shown: %s", error)
        return False

    async def _cut_one(self, run: Run, search: Search, number: int, errand: Errand) -> None:
        shown, streamed = search.posted[number], number in search.unmarked
        key, mark = (run.channel_id, str(shown["ts"])), metadata_of(errand.post_id, number)
        message = cut_answer(shown, has_file=search.has_file, streamed=streamed)
        if message is None:
            return
        if streamed:
            await self._web.turn(STOP, errand)
            if await self._streams.stop(key, "", message.blocks[-1:], mark):
                return
        await self._poster.update(key, message, errand, mark if streamed else None)

    def _note(self, run: Run, ts: str, streamed: StreamedText) -> None:
        self._board.note((run.channel_id, ts), Growth(run, streamed))


def _errand(run: Run, ts: str, streamed: StreamedText) -> Errand:
    """Return what concerns a text that is not over; what others answer in its thread only the store knows."""
    return Errand(text_id(ts), again=False, importance=Importance.REFRESH, adopts=streamed.adopts or not run.is_reply)
