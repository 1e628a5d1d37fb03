"""The way to Slack's Web API for one workspace: renders effects, carries them there, and names what went wrong."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from types import TracebackType

from slack_sdk.web.async_client import AsyncWebClient

from bot.core import effects as do
from bot.core.effects import SlackEffect, TextEffect
from bot.core.model import Progress, Run, RunStatus
from bot.errors import SlackRejected, SlackUnavailable
from bot.slack import mrkdwn
from bot.slack.blocks import Post, Redraw, Reply, Tell, render
from bot.slack.budget import MessageKey, Pace, ProgressBoard
from bot.slack.failures import MESSAGE_GONE, PERSON_ABSENT
from bot.slack.followed import Board, Drawing, FollowedRuns, Growth, is_newer, since_of
from bot.slack.limits import Importance
from bot.slack.message import Message, section
from bot.slack.posted import Finder
from bot.slack.posts import Poster
from bot.slack.root import root_message
from bot.slack.texts import Texts
from bot.slack.views import Views
from bot.slack.web_api import POST, QUIET, UPDATE, Errand, WebApi

log = logging.getLogger(__name__)

_TELL = "chat.postEphemeral"


class SlackGateway(Views):
    """Implements `bot.core.ports.Slack` over a Web API client. Use it as an asynchronous context manager."""

    def __init__(
        self,
        client: AsyncWebClient,
        rate_factor: float = 1.0,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        may_send: Callable[[], bool] = lambda: True,
        *,
        shared: bool = False,
    ) -> None:
        """`rate_factor` is how many times its published limits Slack is taken to allow; `now` tells what time it is.

        `may_send` is asked right before each call; where it says no, another process may be sending the same.
        `shared` says that another one may try between two tries of this one: what was known of a post then is not.
        """
        web = WebApi(client, rate_factor, may_send)
        super().__init__(web)
        self._now = now
        self._shared = shared
        pace = Pace.times(rate_factor)
        self._board: Board = ProgressBoard(self._draw_progress, pace, held=lambda: web.gate.wait(UPDATE, pace.reserve))
        self._followed = FollowedRuns()
        self._finder = Finder(web, shared=shared)
        self._poster = Poster(web, self._finder, self._followed, self._board, shared=shared)
        self._texts = Texts(web, self._finder, self._poster, self._followed, self._board)
        self._open = AsyncExitStack()

    async def __aenter__(self) -> SlackGateway:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._web)
            writer = asyncio.create_task(self._board.draw_forever(), name="progress writer")
            stack.push_async_callback(_cancel, writer)
            self._open = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._open.aclose()

    # --- effects -----------------------------------------------------------------------------------------------------

    async def carry_out(self, effect: SlackEffect, run: Run | None, post_id: str, *, again: bool) -> str | None:
        """Carry out an effect and return the `ts` of the message it posted; None where it posted none.

        A message that somebody deleted may be posted anew instead of redrawn: its `ts` is the new one.

        Raises:
            SlackUnavailable: no answer, 5xx or 429. Its `sent` is False only if nothing of the effect is posted.
            ChannelUnreachable: the bot cannot write there.
            SlackRejected: any other refusal.
        """
        errand = Errand(post_id, again, _importance(effect))
        if isinstance(effect, TextEffect):
            assert run is not None, "only a reply belongs to no run"
            return await self._write_text(run, effect, errand)
        # Rendering a long text takes its time: not in the loop that acks.
        rendered = await asyncio.to_thread(
            render, effect, run, self._now(), self._followed.progress_of(run) if run else None
        )
        if isinstance(rendered, Reply):
            await self._reply(rendered, errand)
            return None
        assert run is not None, "only a reply belongs to no run"
        match rendered:
            case Post():
                return await self._poster.post(run, rendered, errand)
            case Redraw():
                if isinstance(effect, do.RefreshRoot):
                    self._followed.of(run).drawn = None if run.status.ended else run
                return await self._redraw(run, rendered, errand)
            case Tell():
                return await self._tell(run, rendered, errand)

    async def _write_text(self, run: Run, effect: TextEffect, errand: Errand) -> str | None:
        match effect:
            case do.PostAnswer(segment):
                return await self._texts.post(run, segment, errand)
            case do.EndAnswer(segment, ts):
                await self._texts.end(run, segment, ts, errand)
                return None

    async def _redraw(self, run: Run, redraw: Redraw, errand: Errand) -> str | None:
        if redraw.ts is None:
            return None
        try:
            await self._poster.update((run.channel_id, redraw.ts), redraw.message, errand)
        except SlackRejected as error:
            if not (redraw.anew and error.code in MESSAGE_GONE):
                raise
        else:
            return None
        return await self._poster.post(run, Post((redraw.message,)), errand)

    async def _tell(self, run: Run, tell: Tell, errand: Errand) -> str | None:
        try:
            await self._web.turn(_TELL, errand)
            await self._web.send(
                _TELL,
                tell.message,
                channel=run.channel_id,
                user=tell.user_id,
                thread_ts=run.thread_ts,
            )
        except SlackRejected as error:
            if error.code not in PERSON_ABSENT:
                raise
        else:
            return None
        name = mrkdwn.mention(tell.user_id)
        named = Message(f"{name} {tell.message.text}", (section(name), *tell.message.blocks))
        return await self._poster.post(run, Post((named,)), errand)

    async def _reply(self, reply: Reply, errand: Errand) -> None:
        """Answer through the `response_url`, which works in channels the bot is not in and lives for 30 minutes."""
        error = SlackRejected("there is no response_url to answer to")
        if reply.response_url:
            try:
                await self._web.respond(reply.response_url, reply.message)
            except SlackRejected as refused:
                error = refused
            else:
                return
        if reply.user_id is None:
            raise error
        await self._web.turn(POST, errand, reply.user_id)
        await self._web.send(POST, reply.message, channel=reply.user_id, **QUIET)

    async def forget(self) -> None:
        """Forget all runs, and what waits to be drawn of them; at the end nothing of it is under way."""
        await self._board.forget()
        for memory in (self._followed, self._poster, self._finder):
            memory.forget()

    # --- progress ----------------------------------------------------------------------------------------------------

    async def show_progress(self, run: Run, progress: Progress) -> None:
        """Have the root message redrawn in its turn; the newest state counts."""
        followed = self._followed.of(run)
        if followed.ended:
            return
        if followed.drawn is not None and is_newer(followed.drawn, run):
            run = followed.drawn
        followed.progress = (since_of(run), progress)
        # A run that pauses does nothing; but an answer may have to wait until it can be sent.
        if run.root_ts is not None and (run.status is not RunStatus.PAUSED or progress.waiting_for_dify):
            self._board.note((run.channel_id, run.root_ts), lambda: root_message(run, progress))

    async def show_answer(self, run: Run, text: str) -> None:
        """Have the message of the streamed text redrawn in its turn; until it is posted the text is kept for it."""
        self._texts.show(run, text)

    async def lose_answer(self, run: Run) -> None:
        """Have the text of the present segment end with a note that it may not be complete."""
        self._texts.lose(run)

    async def leave(self, run: Run) -> None:
        """Draw what was heard of a run for the last time: until this is done no other process draws it."""
        if self._followed.known(run) is None:
            return
        if self._shared and run.root_ts is not None:
            await self._board.settle((run.channel_id, run.root_ts), draw=False)
        await self._texts.leave(run)

    async def _draw_progress(self, key: MessageKey, drawing: Drawing) -> None:
        """Draw one state; whatever goes wrong, only this state is lost, and a newer one follows."""
        if not self._web.may_send():
            return
        try:
            if isinstance(drawing, Growth):
                await self._texts.draw(key, drawing)
            else:
                message = await asyncio.to_thread(drawing)
                self._web.gate.count(UPDATE)
                await self._web.send(UPDATE, message, channel=key[0], ts=key[1])
        except SlackUnavailable as error:
            if not error.sent:
                # It may be the last word on this message for long.
                self._board.note_unless_newer(key, drawing)
            log.info("progress not shown: %s", error)
        except SlackRejected as error:
            log.info("progress not shown: %s", error)
        except Exception:
            log.exception("progress not shown")


def _importance(effect: SlackEffect) -> Importance:
    match effect:
        case (
            do.PostRoot()
            | do.PostForm()
            | do.PostFormNotShown()
            | do.PostAnswer()
            | do.PostResult()
            | do.PostResultNotShown()
            | do.AskAboutMessage()
            | do.AskAboutConversation()
        ):
            return Importance.DECISION
        case (
            do.RefreshForm()
            | do.RefreshRoot()
            | do.EndAnswer()
            | do.CloseSuggestions()
            | do.PostStuck()
            | do.PostKeyRefused()
        ):
            return Importance.REFRESH
        case do.PostReminder():
            return Importance.REMINDER
        case _:
            return Importance.COURTESY


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])
