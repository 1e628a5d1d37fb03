"""The streamed texts of runs: one of each segment, shown while it is written, whole once it is over."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace

from bot.core.model import Run
from bot.errors import ChannelUnreachable, SlackError, SlackRejected, SlackUnauthorized, SlackUnavailable
from bot.slack.answers import Chain, Part, next_step, text_id
from bot.slack.blocks import Post, text_post
from bot.slack.budget import MessageKey
from bot.slack.followed import Answer, Board, Followed, FollowedRuns, Growth, is_replaced, is_writing
from bot.slack.limits import Importance
from bot.slack.message import Message
from bot.slack.posted import Finder
from bot.slack.posts import Poster, method_of
from bot.slack.result import answer_file, answer_messages, cut_answer
from bot.slack.web_api import POST, REPLIES, Errand, WebApi

log = logging.getLogger(__name__)


class Texts:
    """Shows them: as they grow in turn with what else is drawn, and for the last time with what matters."""

    def __init__(self, web: WebApi, finder: Finder, poster: Poster, followed: FollowedRuns, board: Board) -> None:
        """`board` has to give each `Growth` to `draw`."""
        self._web = web
        self._finder = finder
        self._poster = poster
        self._followed = followed
        self._board = board

    def show(self, run: Run, text: str) -> None:
        """Have the message of the streamed text redrawn in its turn; until it is posted the text is kept for it."""
        if self._followed.of(run).ended:
            return
        answer = self._followed.answer_of(run, run.segment)
        answer.text, answer.cut, answer.left = text, False, None
        if ts := run.answer_ts or answer.ts:
            answer.ts = ts
            self._note(run, ts, answer)

    def lose(self, run: Run) -> None:
        """Have the text of the present segment end with a note that it may not be complete."""
        if not self._followed.of(run).ended:
            self._followed.answer_of(run, run.segment).cut = True

    async def leave(self, run: Run) -> None:
        """Draw what was heard of the texts of a run that is left to others."""
        followed = self._followed.known(run)
        for segment, answer in list(followed.answers.items()) if followed is not None else ():
            await self._leave_one(run, segment, answer)

    async def post(self, run: Run, segment: int, errand: Errand) -> str | None:
        """Post the beginning of the streamed text of a segment; the rest follows in its turn, or with `EndAnswer`.

        One that is over and was not heard, or has nothing to show, is only looked for: an earlier try may have posted
        it.
        """
        writing = is_writing(run, segment)
        answer = self._followed.answer_of(run, segment)
        shown = answer.text
        messages: tuple[Message, ...] = ()
        if writing or (shown and not is_replaced(run, segment)):
            cut = answer.cut and not writing
            messages = await asyncio.to_thread(answer_messages, shown, writing=writing, cut=cut)
        if not messages:
            if not errand.again:
                return None
            return (await self._finder.find(run, errand)).chain(errand.post_id).last_ts or None
        first, *rest = messages
        answer.ts = await self._poster.post(run, Post((first,)), errand)
        if not errand.again:
            answer.chain = Chain(text_id(answer.ts), [Part(answer.ts)])
            answer.chain.shows((first,))
        if writing and (answer.text != shown or rest or errand.again):
            self._note(run, answer.ts, answer)
        if answer.left is not None:
            # As soon as it is known that the message is there, others may have the last word on it.
            await self._leave_one(answer.left, segment, answer)
        return answer.ts

    async def end(self, run: Run, segment: int, ts: str, errand: Errand) -> None:
        """Show the text of a segment that is over whole, or let it not look as if more of it were to come."""
        followed = self._followed.known(run) or Followed()
        answer = followed.answers.get(segment) or Answer()
        # Whoever leaves the run shares the same file, which is to be found by its name.
        errand = replace(errand, post_id=text_id(ts))
        if answer.text or answer.over:
            answer.ts = ts
            await self._finish(run, answer, errand)
        else:
            # Whoever only posted the message for another process has heard no text.
            await self._cut(run, ts, errand)
        followed.answers.pop(segment, None)

    async def draw(self, key: MessageKey, growth: Growth) -> None:
        """Take the next step for a text to be shown as far as it is written; what is left has its turn later."""
        run, answer = growth.run, growth.answer
        if answer.chain is None:
            if self._web.gate.wait(REPLIES) > 0:
                self._board.note_unless_newer(key, growth)
                return
            errand = Errand(text_id(key[1]), again=False, importance=Importance.REFRESH)
            answer.chain = await self._finder.find_text(run, key[1], errand)
        text = answer.text
        if not text:
            return  # the result takes its place
        wanted = await asyncio.to_thread(answer_messages, text)
        step = next_step(answer.chain, wanted)
        if step is None:
            return
        method = method_of(step)
        channel = run.channel_id if method == POST else None
        if self._web.gate.wait(method, channel=channel) > 0:
            self._board.note_unless_newer(key, growth)
            return
        self._web.gate.count(method, channel)
        try:
            await self._poster.take_step(run, answer.chain, step, anew=False)
        except SlackUnavailable as error:
            if error.sent:
                answer.chain = None
            raise
        if next_step(answer.chain, wanted) is not None:
            self._board.note_unless_newer(key, growth)

    async def _leave_one(self, run: Run, segment: int, answer: Answer) -> None:
        if answer.ts is None:
            answer.left = run
            return
        writing = is_writing(run, segment)
        await self._board.settle((run.channel_id, answer.ts), draw=writing)
        if writing or is_replaced(run, segment):
            return
        last_word = Errand(text_id(answer.ts), again=False, importance=Importance.REFRESH)
        try:
            await self._finish(run, answer, last_word)
        except SlackError as error:
            log.info("the end of a text is left to others: %s", error)

    async def _finish(self, run: Run, answer: Answer, errand: Errand) -> None:
        if answer.over or answer.ts is None:
            return
        messages = await asyncio.to_thread(answer_messages, answer.text, writing=False, cut=answer.cut)
        post = text_post(messages, lambda: answer_file(run, answer.text), into=answer.ts)
        try:
            await self._poster.post(run, post, errand, anew=False)
        except (SlackUnauthorized, ChannelUnreachable):
            raise
        except SlackRejected as error:
            log.info("the end of a text not shown: %s", error)
        answer.over, answer.text = True, ""

    async def _cut(self, run: Run, ts: str, errand: Errand) -> None:
        """Mark a text that was not heard to its end by this process, perhaps because another one died."""
        try:
            search = await self._finder.find(run, errand, into=ts)
        except SlackRejected as error:
            log.info("whether a text was cut off is not known: %s", error)
            return
        last = search.posted[max(search.posted)] if search.posted else {}
        message = cut_answer(last, has_file=search.has_file)
        if message is None:
            return
        try:
            await self._poster.update((run.channel_id, str(last["ts"])), message, errand)
        except SlackRejected as error:
            # Somebody deleted it, for example. The root message matters more.
            log.info("the end of a text not shown: %s", error)

    def _note(self, run: Run, ts: str, answer: Answer) -> None:
        self._board.note((run.channel_id, ts), Growth(run, answer))
