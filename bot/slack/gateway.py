"""The way to Slack's Web API for one workspace: renders effects, carries them there, and names what went wrong."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime
from types import TracebackType

from slack_sdk.web.async_client import AsyncWebClient

from bot.core import effects as do
from bot.core.effects import SlackEffect, TextEffect
from bot.core.model import PickedMessage, Progress, Run, RunStatus, SharedFile
from bot.core.ports import FileContent
from bot.errors import SlackRejected, SlackUnavailable
from bot.slack.delivery.budget import Lane, MessageKey, Pace, ProgressBoard
from bot.slack.delivery.failures import MESSAGE_GONE, PERSON_ABSENT, THREAD_GONE
from bot.slack.delivery.files import Files, transfer
from bot.slack.delivery.followed import Board, Drawing, FollowedRuns, Growth, is_newer, since_of
from bot.slack.delivery.limits import Importance
from bot.slack.delivery.native_streams import NativeStreams
from bot.slack.delivery.posted import Finder, Place
from bot.slack.delivery.posts import Poster
from bot.slack.delivery.shares import Shares
from bot.slack.delivery.texts import Texts
from bot.slack.delivery.views import Views
from bot.slack.delivery.web_api import APPEND, POST, QUIET, REPLIES, UPDATE, Errand, WebApi
from bot.slack.messages.blocks import Answer, Post, Redraw, Reply, Tell, render
from bot.slack.messages.message import Message, section
from bot.slack.messages.root import root_message
from bot.slack.payloads import MessageRead
from bot.slack.text import mrkdwn

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
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`rate_factor` is how many times its published limits Slack is taken to allow; `now` tells what time it is.

        `may_send` is asked right before each call; where it says no, another process may be sending the same.
        `shared` says that another one may try between two tries of this one: what was known of a post then is not.
        `monotonic` is the clock that the age of streams goes by.
        """
        web = WebApi(client, rate_factor, may_send)
        super().__init__(web)
        self._now = now
        self._shared = shared
        pace = Pace.times(rate_factor)
        added = Lane(Pace.of_streams(rate_factor), held=lambda: web.gate.wait(APPEND))
        self._board: Board = ProgressBoard(
            self._draw_progress,
            pace,
            held=lambda: web.gate.wait(UPDATE, pace.reserve),
            lane_of=lambda drawing: added if isinstance(drawing, Growth) and drawing.streamed.natively else None,
        )
        self._followed = FollowedRuns()
        self._finder = Finder(web, shared=shared)
        self._files = Files(web)
        streams = NativeStreams(web, monotonic)
        self._poster = Poster(web, self._files, self._finder, self._followed, self._board, streams, shared=shared)
        self._texts = Texts(web, self._finder, self._poster, self._followed, self._board, streams)
        self._shares = Shares(web, self._files, self._finder, self._poster)
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

    async def carry_out(
        self, effect: SlackEffect, run: Run | None, post_id: str, *, again: bool, writes_alone: bool = True
    ) -> str | None:
        """Carry out an effect and return the `ts` of the message it posted; None where it posted none.

        Of a text that is over it is that of its first message, if the text stands there whole.
        A message that somebody deleted may be posted anew instead of redrawn: its `ts` is the new one.

        Raises:
            SlackUnavailable: no answer, 5xx or 429. Its `sent` is False only if nothing of the effect is posted.
            ChannelUnreachable: the bot cannot write there.
            SlackRejected: any other refusal.
        """
        errand = Errand(post_id, again, _importance(effect))
        if isinstance(effect, TextEffect):
            assert run is not None, "only a reply belongs to no run"
            return await self._write_text(run, effect, replace(errand, adopts=writes_alone))
        if isinstance(effect, do.ShareFiles):
            assert run is not None, "only a reply belongs to no run"
            await self._shares.share(run, effect.form_id, errand)
            return None
        progress = self._followed.progress_of(run) if run is not None else None
        # Rendering a long text takes its time: not in the loop that acks.
        rendered = await asyncio.to_thread(render, effect, run, self._now(), progress)
        if isinstance(rendered, Reply):
            await self._reply(rendered, errand)
            return None
        if isinstance(rendered, Answer):
            await self._answer(rendered, errand)
            return None
        assert run is not None, "only a reply belongs to no run"
        match rendered:
            case Post():
                # What is no text's end has nothing to do with streams.
                adopts = writes_alone and rendered.into is not None
                return await self._poster.post(run, rendered, replace(errand, adopts=adopts))
            case Redraw():
                if not isinstance(effect, do.RefreshRoot):
                    return await self._redraw(run, rendered, errand)
                self._followed.of(run).drawn = None if run.status.ended else run
                ts = await self._redraw(run, rendered, errand)
                # What was heard while this waited its turn is newer, and this is drawn over it.
                if (heard := self._followed.progress_of(run)) is not None and heard != progress:
                    await self.show_progress(run, heard)
                return ts
            case Tell():
                return await self._tell(run, rendered, errand)

    async def _write_text(self, run: Run, effect: TextEffect, errand: Errand) -> str | None:
        match effect:
            case do.PostAnswer(segment):
                return await self._texts.post(run, segment, errand)
            case do.EndAnswer(segment, ts):
                return ts if await self._texts.end(run, segment, ts, errand) else None

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
            await self._whisper(run, tell.user_id, tell.message, errand)
        except SlackRejected as error:
            if error.code not in PERSON_ABSENT:
                raise
        else:
            return None
        name = mrkdwn.mention(tell.user_id)
        named = Message(f"{name} {tell.message.text}", (section(name), *tell.message.blocks))
        return await self._poster.post(run, Post((named,)), errand)

    async def _whisper(self, place: Place, user_id: str, message: Message, errand: Errand) -> None:
        await self._web.turn(_TELL, errand)
        await self._web.send(_TELL, message, channel=place.channel_id, user=user_id, thread_ts=place.thread_ts)

    async def _answer(self, answer: Answer, errand: Errand) -> None:
        if answer.to.is_direct:
            await self._poster.say(answer.to, answer.message, errand)
        else:
            await self._whisper(answer.to, answer.to.user_id, answer.message, errand)

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

    # --- messages of people ------------------------------------------------------------------------------------------

    async def picked(self, channel_id: str, ts: str, *, team_id: str, bot_user_id: str | None) -> PickedMessage | None:
        """Read a message, in a thread or not, without the mention of the bot; None where it is not there any more.

        Stands in no line, since somebody waits for it.

        Raises:
            SlackUnavailable: no answer, 5xx or 429.
            ChannelUnreachable: the bot is not there any more.
            SlackRejected: any other refusal.
        """
        self._web.gate.count(REPLIES)
        try:
            # A reply is found by its own `ts`, without its thread (slackapi/bolt-python#783).
            page = await self._web.ask(REPLIES, channel=channel_id, ts=ts, limit=1)
        except SlackRejected as error:
            if error.code not in THREAD_GONE:
                raise
            return None
        found = (MessageRead.model_validate(each) for each in page["messages"])
        message = next((each for each in found if each.ts == ts and not each.is_gone), None)
        return None if message is None else message.to_core(team_id, channel_id, bot_user_id)

    # --- files -------------------------------------------------------------------------------------------------------

    async def shared_file(self, file_id: str) -> SharedFile:
        """Read what Slack knows of a file now; raises what `Files` does."""
        return await self._files.shared_file(file_id)

    def download(self, file_id: str, max_size: int) -> AbstractAsyncContextManager[FileContent]:
        """Read a file from Slack, piece by piece, and no more than `max_size` bytes of it; raises what `Files` does."""
        return self._files.download(file_id, max_size)

    async def upload(self, name: str, content: FileContent, alt_text: str = "") -> str:
        """Give Slack a file, piece by piece, and return its id there; nobody sees it yet. Raises what `Files` does."""
        return await self._files.upload(name, content, alt_text, transfer(name))

    async def keep(self, file_id: str, title: str) -> None:
        """Let messages and windows show an uploaded file as an image, and nothing else; raises what `Files` does."""
        await self._files.complete({file_id: title}, transfer(file_id))

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
            | do.PostCard()
            | do.ShareFiles()
        ):
            return Importance.DECISION
        case (
            do.RefreshForm()
            | do.RefreshRoot()
            | do.RefreshCard()
            | do.EndAnswer()
            | do.RefreshQuestion()
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
