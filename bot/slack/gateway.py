"""The way to Slack's Web API for one workspace: renders effects, carries them there, and names what went wrong."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any

import aiohttp
from slack_sdk.errors import SlackApiError
from slack_sdk.models.views import View
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.web.async_slack_response import AsyncSlackResponse
from slack_sdk.webhook.async_client import AsyncWebhookClient

from bot.core import effects as do
from bot.core.effects import SlackEffect, TextEffect
from bot.core.model import Form, Progress, Run, RunStatus
from bot.core.ports import StartWindow, WindowFill
from bot.errors import ChannelUnreachable, SlackError, SlackRejected, SlackUnauthorized, SlackUnavailable
from bot.slack import mrkdwn
from bot.slack.answers import Chain, Part, Step, found, lose, next_step, take, text_id
from bot.slack.blocks import Post, Redraw, Reply, Tell, render, text_post
from bot.slack.budget import MessageKey, Pace, ProgressBoard
from bot.slack.failures import (
    CONTENT_REFUSED,
    MESSAGE_GONE,
    PERSON_ABSENT,
    SCOPE_MISSING,
    error_of,
    refusal_details,
    slack_error,
)
from bot.slack.limits import Gate, Importance
from bot.slack.message import Message, TextFile, section
from bot.slack.outcome import outcome
from bot.slack.result import answer_file, answer_messages, cut_answer
from bot.slack.root import root_message
from bot.slack.start_window import start_view
from bot.slack.window import notice_of, window

log = logging.getLogger(__name__)

POST_EVENT = "dify_slack_bot_post"
"""`event_type` of the metadata of everything that is posted; its payload holds `post_id` and `part`."""

_POST, _UPDATE, _DELETE, _REPLIES = "chat.postMessage", "chat.update", "chat.delete", "conversations.replies"
_TIMEOUT = aiohttp.ClientTimeout(total=30)  # seconds
_TRIGGER_LIVES = 2.0
"""Seconds: three in all, of which Slack has used some, and the ack is to come in time too (slack-platform §4.1)."""
_PAGE = 200
_CLOCKS_APART = timedelta(minutes=5)
"""How far our clock and Slack's may differ."""
_REMEMBERED = 1_000
"""Runs, and posts to be tried again, that are kept in mind."""

_Call = Callable[..., Awaitable[AsyncSlackResponse]]


@dataclass(frozen=True, slots=True)
class _Errand:
    """What is being carried out, as far as every call on the way needs to know."""

    post_id: str
    again: bool
    importance: Importance


@dataclass(slots=True)
class _Search:
    """What was found of a post so far, and where to go on."""

    posted: dict[int, dict[str, Any]] = field(default_factory=dict)
    """By part, the messages as Slack gives them back."""
    has_file: bool = False
    cursor: str | None = None

    def chain(self, post_id: str) -> Chain:
        """Return what was found as a chain."""
        return found(post_id, {part: str(each["ts"]) for part, each in self.posted.items()}, has_file=self.has_file)


@dataclass(slots=True)
class _Answer:
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
    left: Run | None = None
    """The run as it was left to other processes before the first message was there."""


@dataclass(frozen=True, slots=True)
class _Growth:
    """That the text of an answer has grown."""

    run: Run
    answer: _Answer


_Drawing = Callable[[], Message] | _Growth


@dataclass(slots=True)
class _Followed:
    """What is known of a run that is being followed; losing it costs a redraw, nothing else."""

    drawn: Run | None = None
    """The run as its root message was last drawn with what matters."""
    progress: tuple[datetime, Progress] | None = None
    """What it was last seen doing, and since when it had been in the state it did it in."""
    answers: dict[int, _Answer] = field(default_factory=dict)
    """By segment, of those whose text is not known to stand there to its end."""
    ended: bool = False
    """It ended, so whatever is still heard of it is late."""


class SlackGateway:
    """Implements `bot.core.ports.Slack` over a Web API client. Use it as an asynchronous context manager.

    A post must never be sent again by itself, so the client's retry handlers are not used (slack-platform §8.2): the
    outbox tries again, and looks into the thread first.
    """

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
        self._client = client
        self._may_send = may_send
        self._shared = shared
        self._now = now
        self._session: aiohttp.ClientSession | None = None
        self._web = client
        self._gate = Gate(rate_factor)
        pace = Pace.times(rate_factor)
        self._board: ProgressBoard[_Drawing] = ProgressBoard(
            self._draw_progress, pace, held=lambda: self._gate.wait(_UPDATE, pace.reserve)
        )
        self._followed: dict[str, _Followed] = {}
        """By `run_id`."""
        self._posted: dict[str, Chain] = {}
        """By `post_id`, of posts that Slack surely left unfinished: what is there of them."""
        self._searched: dict[str, _Search] = {}
        """By `post_id`, of searches that Slack interrupted."""
        self._open = AsyncExitStack()

    async def __aenter__(self) -> SlackGateway:
        async with AsyncExitStack() as stack:
            self._session = await stack.enter_async_context(aiohttp.ClientSession(timeout=_TIMEOUT))
            self._web = AsyncWebClient(
                token=self._client.token,
                base_url=self._client.base_url,
                ssl=self._client.ssl,
                proxy=self._client.proxy,
                session=self._session,
                retry_handlers=[],
            )
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
        errand = _Errand(post_id, again, _importance(effect))
        if isinstance(effect, TextEffect):
            assert run is not None, "only a reply belongs to no run"
            return await self._write_text(run, effect, errand)
        # Rendering a long text takes its time: not in the loop that acks.
        rendered = await asyncio.to_thread(render, effect, run, self._now(), self._progress_of(run) if run else None)
        if isinstance(rendered, Reply):
            await self._reply(rendered, errand)
            return None
        assert run is not None, "only a reply belongs to no run"
        match rendered:
            case Post():
                return await self._post(run, rendered, errand)
            case Redraw():
                if isinstance(effect, do.RefreshRoot):
                    self._follow(run).drawn = None if run.status.ended else run
                return await self._redraw(run, rendered, errand)
            case Tell():
                return await self._tell(run, rendered, errand)

    async def _write_text(self, run: Run, effect: TextEffect, errand: _Errand) -> str | None:
        match effect:
            case do.PostAnswer(segment):
                return await self._post_answer(run, segment, errand)
            case do.EndAnswer(segment, ts):
                await self._end_answer(run, segment, ts, errand)
                return None

    async def _post(self, run: Run, post: Post, errand: _Errand, *, anew: bool = True) -> str:
        """Have every part stand in the thread, and return the `ts` of the last one.

        What somebody deleted is posted `anew` or left out.
        """
        async with AsyncExitStack() as stack:
            if post.into is not None:
                await stack.enter_async_context(self._board.important((run.channel_id, post.into)))
            answer = self._answer_at(run, post.into)
            chain = await self._chain_of(run, post, errand, answer)
            try:
                await self._write_chain(run, chain, post, errand, anew=anew)
            except SlackUnavailable as error:
                unsure = error.sent or self._shared
                if answer is not None:
                    answer.chain = None if unsure else chain
                if not unsure:
                    _remember(self._posted, errand.post_id, chain)
                error.sent = error.sent or bool(chain.parts)
                raise
        return chain.last_ts

    async def _chain_of(self, run: Run, post: Post, errand: _Errand, answer: _Answer | None) -> Chain:
        """Return what is there already of a post, by what is known or else by what stands in the thread."""
        if (kept := self._posted.pop(errand.post_id, None)) is not None:
            return kept
        if answer is not None and answer.chain is not None:
            return answer.chain
        if post.into is not None:
            return await self._find_text(run, post.into, errand)
        if not errand.again:
            return Chain(errand.post_id)
        chain = (await self._find_posted(run, errand)).chain(errand.post_id)
        if post.file is None:
            # Each message is posted once, as it is to stay: somebody may be typing in the last one.
            chain.shows(post.messages)
        return chain

    async def _write_chain(self, run: Run, chain: Chain, post: Post, errand: _Errand, *, anew: bool) -> None:
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
        self, run: Run, chain: Chain, messages: tuple[Message, ...], errand: _Errand, *, anew: bool
    ) -> None:
        while (step := next_step(chain, messages)) is not None:
            if step.message is None:
                await self._gate.turn(_DELETE, None, errand.importance, errand.post_id)
            elif step.ts is None:
                await self._gate.turn(_POST, run.channel_id, errand.importance, errand.post_id)
            else:
                await self._gate.turn(_UPDATE, None, errand.importance, errand.post_id)
            await self._take_step(run, chain, step, anew=anew)

    async def _take_step(self, run: Run, chain: Chain, step: Step, *, anew: bool) -> None:
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
                await self._ask(_DELETE, **where)
            else:
                await self._call(_UPDATE, step.message, **where)
        except SlackRejected as error:
            if error.code not in MESSAGE_GONE:
                raise
            lose(chain, step, for_good=not anew)
        else:
            take(chain, step, step.ts)

    async def _post_part(self, channel: str, thread_ts: str | None, message: Message, post_id: str, part: int) -> str:
        metadata = {"event_type": POST_EVENT, "event_payload": {"post_id": post_id, "part": part}}
        response = await self._call(_POST, message, channel=channel, thread_ts=thread_ts, metadata=metadata, **_QUIET)
        return str(response["ts"])

    async def _share(self, run: Run, file: TextFile, errand: _Errand) -> None:
        """Upload a file and share it in the thread (slack-platform §5.4)."""
        content = file.text.encode()
        begin, complete = "files.getUploadURLExternal", "files.completeUploadExternal"
        await self._gate.turn(begin, None, errand.importance, errand.post_id)
        ticket = await self._ask(begin, filename=file.name(errand.post_id), length=len(content))
        await self._upload(str(ticket["upload_url"]), content)
        await self._gate.turn(complete, None, errand.importance, errand.post_id)
        files = [{"id": ticket["file_id"], "title": file.title}]
        await self._ask(complete, files=files, channel_id=run.channel_id, thread_ts=run.thread_ts)

    async def _post_answer(self, run: Run, segment: int, errand: _Errand) -> str | None:
        """Post the beginning of the streamed text of a segment; the rest follows in its turn, or with `EndAnswer`.

        One that is over and was not heard, or has nothing to show, is only looked for: an earlier try may have posted
        it.
        """
        writing = _is_writing(run, segment)
        answer = self._answer_of(run, segment)
        shown = answer.text
        messages: tuple[Message, ...] = ()
        if writing or (shown and not _is_replaced(run, segment)):
            cut = answer.cut and not writing
            messages = await asyncio.to_thread(answer_messages, shown, writing=writing, cut=cut)
        if not messages:
            if not errand.again:
                return None
            return (await self._find_posted(run, errand)).chain(errand.post_id).last_ts or None
        first, *rest = messages
        answer.ts = await self._post(run, Post((first,)), errand)
        if not errand.again:
            answer.chain = Chain(text_id(answer.ts), [Part(answer.ts)])
            answer.chain.shows((first,))
        if writing and (answer.text != shown or rest or errand.again):
            self._note_answer(run, answer.ts, answer)
        if answer.left is not None:
            # As soon as it is known that the message is there, others may have the last word on it.
            await self._leave_answer(answer.left, segment, answer)
        return answer.ts

    async def _redraw(self, run: Run, redraw: Redraw, errand: _Errand) -> str | None:
        if redraw.ts is None:
            return None
        try:
            await self._update((run.channel_id, redraw.ts), redraw.message, errand)
        except SlackRejected as error:
            if not (redraw.anew and error.code in MESSAGE_GONE):
                raise
        else:
            return None
        return await self._post(run, Post((redraw.message,)), errand)

    async def _tell(self, run: Run, tell: Tell, errand: _Errand) -> str | None:
        try:
            await self._write(
                "chat.postEphemeral",
                tell.message,
                errand,
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
        return await self._post(run, Post((named,)), errand)

    async def _reply(self, reply: Reply, errand: _Errand) -> None:
        """Answer through the `response_url`, which works in channels the bot is not in and lives for 30 minutes."""
        error = SlackRejected("there is no response_url to answer to")
        if reply.response_url:
            try:
                await self._respond(reply.response_url, reply.message)
            except SlackRejected as refused:
                error = refused
            else:
                return
        if reply.user_id is None:
            raise error
        await self._write(_POST, reply.message, errand, channel=reply.user_id, **_QUIET)

    # --- windows -----------------------------------------------------------------------------------------------------

    async def open_start(self, trigger_id: str, window: StartWindow) -> None:
        """Open a start window for the person whose trigger this is, at once or not at all.

        Raises:
            SlackUnavailable: no answer while the trigger lives, of which asking Dify has used a part; 5xx or 429.
            SlackRejected: any other refusal.
        """
        await self._open_view(trigger_id, await asyncio.to_thread(start_view, window), _TRIGGER_LIVES / 2)

    async def change_start(self, view_id: str, seen: str, window: StartWindow) -> None:
        """Let an open start window show this, if it still shows what has the hash `seen`.

        Raises:
            SlackUnavailable: no answer, 5xx or 429.
            SlackRejected: it shows something else, or is closed; or any other refusal.
        """
        await self._ask("views.update", view_id=view_id, hash=seen, view=await asyncio.to_thread(start_view, window))

    async def open_window(self, trigger_id: str, run: Run, form: Form, fill: WindowFill) -> str:
        """Open a form's window for the person whose trigger this is, at once or not at all; return the view's id.

        Raises:
            SlackUnavailable: no answer while the trigger lives (slack-platform §4.1), 5xx or 429.
            SlackRejected: any other refusal.
        """
        view = await asyncio.to_thread(window, run, form, fill)
        return await self._open_view(trigger_id, view, _TRIGGER_LIVES)

    async def _open_view(self, trigger_id: str, view: View | dict[str, Any], within: float) -> str:
        try:
            async with asyncio.timeout(within):
                opened = await self._ask("views.open", trigger_id=trigger_id, view=view)
        except TimeoutError as exc:
            raise SlackUnavailable("Slack did not open the window in time") from exc
        return str(opened["view"]["id"])

    async def refill_window(self, view_id: str, run: Run, form: Form, fill: WindowFill) -> None:
        """Let an open window hold this instead of what it holds."""
        await self._ask("views.update", view_id=view_id, view=await asyncio.to_thread(window, run, form, fill))

    async def end_window(self, view_id: str, run: Run, form: Form, values: Mapping[str, str | None]) -> None:
        """Say in an open window what became of its form, and give back what was entered there in vain."""
        said = f"{mrkdwn.bold(form.node_title)}: {outcome(run, form)}"
        await self._ask("views.update", view_id=view_id, view=await asyncio.to_thread(notice_of, form, said, values))

    async def forget(self) -> None:
        """Forget all runs, and what waits to be drawn of them; at the end nothing of it is under way."""
        await self._board.forget()
        for memory in (self._followed, self._posted, self._searched):
            memory.clear()

    # --- progress ----------------------------------------------------------------------------------------------------

    async def show_progress(self, run: Run, progress: Progress) -> None:
        """Have the root message redrawn in its turn; the newest state counts."""
        followed = self._follow(run)
        if followed.ended:
            return
        if followed.drawn is not None and _is_newer(followed.drawn, run):
            run = followed.drawn
        followed.progress = (_since(run), progress)
        # A run that pauses does nothing; but an answer may have to wait until it can be sent.
        if run.root_ts is not None and (run.status is not RunStatus.PAUSED or progress.waiting_for_dify):
            self._board.note((run.channel_id, run.root_ts), lambda: root_message(run, progress))

    def _progress_of(self, run: Run) -> Progress | None:
        """Return what a run was last seen doing in its present state, so that a redraw does not forget it."""
        since, progress = self._follow(run).progress or (None, None)
        return progress if since == _since(run) else None

    async def show_answer(self, run: Run, text: str) -> None:
        """Have the message of the streamed text redrawn in its turn; until it is posted the text is kept for it."""
        if self._follow(run).ended:
            return
        answer = self._answer_of(run, run.segment)
        answer.text, answer.cut, answer.left = text, False, None
        if ts := run.answer_ts or answer.ts:
            answer.ts = ts
            self._note_answer(run, ts, answer)

    async def lose_answer(self, run: Run) -> None:
        """Have the text of the present segment end with a note that it may not be complete."""
        if not self._follow(run).ended:
            self._answer_of(run, run.segment).cut = True

    async def leave(self, run: Run) -> None:
        """Draw what was heard of a run for the last time: until this is done no other process draws it."""
        followed = self._followed.get(run.run_id)
        if followed is None:
            return
        if self._shared and run.root_ts is not None:
            await self._board.settle((run.channel_id, run.root_ts), draw=False)
        for segment, answer in list(followed.answers.items()):
            await self._leave_answer(run, segment, answer)

    async def _leave_answer(self, run: Run, segment: int, answer: _Answer) -> None:
        if answer.ts is None:
            answer.left = run
            return
        writing = _is_writing(run, segment)
        await self._board.settle((run.channel_id, answer.ts), draw=writing)
        if writing or _is_replaced(run, segment):
            return
        last_word = _Errand(text_id(answer.ts), again=False, importance=Importance.REFRESH)
        try:
            await self._finish_answer(run, answer, last_word)
        except SlackError as error:
            log.info("the end of a text is left to others: %s", error)

    def _note_answer(self, run: Run, ts: str, answer: _Answer) -> None:
        self._board.note((run.channel_id, ts), _Growth(run, answer))

    async def _draw_growth(self, key: MessageKey, growth: _Growth) -> None:
        """Take the next step for a text to be shown as far as it is written; what is left has its turn later."""
        run, answer = growth.run, growth.answer
        if answer.chain is None:
            if self._gate.wait(_REPLIES) > 0:
                self._board.note_unless_newer(key, growth)
                return
            errand = _Errand(text_id(key[1]), again=False, importance=Importance.REFRESH)
            answer.chain = await self._find_text(run, key[1], errand)
        text = answer.text
        if not text:
            return  # the result takes its place
        wanted = await asyncio.to_thread(answer_messages, text)
        step = next_step(answer.chain, wanted)
        if step is None:
            return
        method = _DELETE if step.message is None else _POST if step.ts is None else _UPDATE
        channel = run.channel_id if method == _POST else None
        if self._gate.wait(method, channel=channel) > 0:
            self._board.note_unless_newer(key, growth)
            return
        self._gate.count(method, channel)
        try:
            await self._take_step(run, answer.chain, step, anew=False)
        except SlackUnavailable as error:
            if error.sent:
                answer.chain = None
            raise
        if next_step(answer.chain, wanted) is not None:
            self._board.note_unless_newer(key, growth)

    async def _end_answer(self, run: Run, segment: int, ts: str, errand: _Errand) -> None:
        """Show the text of a segment that is over whole, or let it not look as if more of it were to come."""
        followed = self._followed.get(run.run_id) or _Followed()
        answer = followed.answers.get(segment) or _Answer()
        # Whoever leaves the run shares the same file, which is to be found by its name.
        errand = replace(errand, post_id=text_id(ts))
        if answer.text or answer.over:
            answer.ts = ts
            await self._finish_answer(run, answer, errand)
        else:
            # Whoever only posted the message for another process has heard no text.
            await self._cut_answer(run, ts, errand)
        followed.answers.pop(segment, None)

    async def _finish_answer(self, run: Run, answer: _Answer, errand: _Errand) -> None:
        if answer.over or answer.ts is None:
            return
        messages = await asyncio.to_thread(answer_messages, answer.text, writing=False, cut=answer.cut)
        post = text_post(messages, lambda: answer_file(run, answer.text), into=answer.ts)
        try:
            await self._post(run, post, errand, anew=False)
        except (SlackUnauthorized, ChannelUnreachable):
            raise
        except SlackRejected as error:
            log.info("the end of a text not shown: %s", error)
        answer.over, answer.text = True, ""

    async def _cut_answer(self, run: Run, ts: str, errand: _Errand) -> None:
        """Mark a text that was not heard to its end by this process, perhaps because another one died."""
        try:
            search = await self._find_posted(run, errand, into=ts)
        except SlackRejected as error:
            log.info("whether a text was cut off is not known: %s", error)
            return
        last = search.posted[max(search.posted)] if search.posted else {}
        message = cut_answer(last, has_file=search.has_file)
        if message is None:
            return
        try:
            await self._update((run.channel_id, str(last["ts"])), message, errand)
        except SlackRejected as error:
            # Somebody deleted it, for example. The root message matters more.
            log.info("the end of a text not shown: %s", error)

    async def _find_text(self, run: Run, ts: str, errand: _Errand) -> Chain:
        """Look for the messages of the text whose first one has this `ts`."""
        chain = (await self._find_posted(run, errand, into=ts)).chain(text_id(ts))
        # The first one may be gone: then this is found out when it is redrawn.
        return chain if chain.parts else Chain(chain.post_id, [Part(ts)], chain.has_file)

    def _answer_at(self, run: Run, ts: str | None) -> _Answer | None:
        """Return the text whose first message has this `ts`, if it was heard here."""
        followed = self._followed.get(run.run_id)
        answers = followed.answers.values() if followed is not None and ts is not None else ()
        return next((answer for answer in answers if answer.ts == ts), None)

    def _answer_of(self, run: Run, segment: int) -> _Answer:
        return self._follow(run).answers.setdefault(segment, _Answer())

    def _follow(self, run: Run) -> _Followed:
        """Return what is known of a run; of one that ended, the texts that may still have to be drawn and no more."""
        followed = self._followed.get(run.run_id) or _Followed()
        if run.status.ended:
            for segment, answer in followed.answers.items():
                if _is_replaced(run, segment):
                    answer.text = ""
            followed = _Followed(answers=followed.answers, ended=True)
        _remember(self._followed, run.run_id, followed)
        return followed

    async def _draw_progress(self, key: MessageKey, drawing: _Drawing) -> None:
        """Draw one state; whatever goes wrong, only this state is lost, and a newer one follows."""
        if not self._may_send():
            return
        try:
            if isinstance(drawing, _Growth):
                await self._draw_growth(key, drawing)
            else:
                message = await asyncio.to_thread(drawing)
                self._gate.count(_UPDATE)
                await self._call(_UPDATE, message, channel=key[0], ts=key[1])
        except SlackUnavailable as error:
            if not error.sent:
                # It may be the last word on this message for long.
                self._board.note_unless_newer(key, drawing)
            log.info("progress not shown: %s", error)
        except SlackRejected as error:
            log.info("progress not shown: %s", error)
        except Exception:
            log.exception("progress not shown")

    # --- calls -------------------------------------------------------------------------------------------------------

    async def _update(self, key: MessageKey, message: Message, errand: _Errand) -> None:
        await self._gate.turn(_UPDATE, None, errand.importance, errand.post_id)
        async with self._board.important(key):
            await self._call(_UPDATE, message, channel=key[0], ts=key[1])

    async def _write(self, method: str, message: Message, errand: _Errand, **where: Any) -> AsyncSlackResponse:
        """Send a message in its turn."""
        channel = where["channel"] if method == _POST else None
        await self._gate.turn(method, channel, errand.importance, errand.post_id)
        return await self._call(method, message, **where)

    async def _call(self, method: str, message: Message, **where: Any) -> AsyncSlackResponse:
        """Send a message; one whose blocks Slack refuses goes once more as plain text."""
        try:
            return await self._ask(method, text=message.text, blocks=_wire(message), parse="none", **where)
        except SlackRejected as refused:
            if refused.code not in CONTENT_REFUSED:
                raise
        self._gate.count(method)
        return await self._ask(method, text=message.plain, parse="none", **where)

    async def _ask(self, method: str, **arguments: Any) -> AsyncSlackResponse:
        self._check_may_send()
        call: _Call = getattr(self._web, method.replace(".", "_"))
        try:
            return await call(**arguments)
        except (SlackApiError, aiohttp.ClientError, TimeoutError) as failure:
            error = slack_error(failure)
            if isinstance(error, SlackUnavailable) and error.retry_after is not None:
                self._gate.hold(method, error.retry_after)
            if error.code in CONTENT_REFUSED and isinstance(failure, SlackApiError):
                log.error("Slack refused a message: %s %s", error.code, refusal_details(failure))
            raise error from failure

    def _check_may_send(self) -> None:
        if not self._may_send():
            raise SlackUnavailable("another process may be sending the same by now", sent=False)

    async def _upload(self, url: str, content: bytes) -> None:
        """Send a file where Slack said; without a token, which the address holds for (slack-platform §5.4)."""
        self._check_may_send()
        assert self._session is not None, "the gateway is open"
        tls = True if self._client.ssl is None else self._client.ssl
        try:
            async with self._session.post(url, data=content, proxy=self._client.proxy, ssl=tls) as answer:
                if answer.status != 200:
                    raise error_of(answer.status, "upload_failed", answer.headers.get("Retry-After"))
        except (aiohttp.ClientError, TimeoutError) as failure:
            raise slack_error(failure) from failure

    async def _respond(self, response_url: str, message: Message) -> None:
        self._check_may_send()
        webhook = AsyncWebhookClient(response_url, session=self._session, retry_handlers=[])
        try:
            answer = await webhook.send(
                text=message.text, blocks=_wire(message), response_type="ephemeral", replace_original=False
            )
        except (aiohttp.ClientError, TimeoutError) as failure:
            raise slack_error(failure) from failure
        if answer.status_code != 200:
            raise error_of(answer.status_code, answer.body[:100] or "no_answer", answer.headers.get("Retry-After"))

    async def _find_posted(self, run: Run, errand: _Errand, into: str | None = None) -> _Search:
        """Look for what earlier tries posted: the parts that are there, and the file (slack-platform §8.3).

        With `into`, the parts of the text whose first message has this `ts`.

        Some apps get one page of 15 messages a minute (slack-platform §8.1), so a search that Slack interrupts is gone
        on with, not begun anew.
        """
        method = "conversations.history"
        where: dict[str, Any] = {"oldest": f"{(run.created_at - _CLOCKS_APART).timestamp():.6f}"}
        if run.thread_ts is not None:
            method, where = _REPLIES, {"ts": run.thread_ts}
        if into is not None:
            where |= {"oldest": into, "inclusive": True}
        post_id = errand.post_id if into is None else text_id(into)
        search = self._searched.pop(errand.post_id, None) or _Search()
        while search.cursor != "":
            try:
                await self._gate.turn(method, None, errand.importance, errand.post_id)
                page = await self._ask(
                    method,
                    channel=run.channel_id,
                    include_all_metadata=True,
                    limit=_PAGE,
                    cursor=search.cursor,
                    **where,
                )
            except SlackUnavailable:
                # A thread is read from its beginning, a channel from its end: a later post is on a page that is behind.
                if run.thread_ts is not None or not self._shared:
                    _remember(self._searched, errand.post_id, search)
                raise
            for message in page["messages"]:
                part = 0 if message["ts"] == into else _part_of(message, post_id)
                if part is not None:
                    search.posted[part] = message
                search.has_file = search.has_file or _holds_file(message, errand.post_id)
            search.cursor = (page.get("response_metadata") or {}).get("next_cursor") or ""
        return search


# An unfurl is a fetch of an address that a model may have chosen (slack-platform §6.1).
_QUIET: dict[str, Any] = {"unfurl_links": False, "unfurl_media": False}


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


def _wire(message: Message) -> list[dict[str, Any]]:
    return [block.to_dict() for block in message.blocks]


def _part_of(message: dict[str, Any], post_id: str) -> int | None:
    metadata = message.get("metadata") or {}
    payload = metadata.get("event_payload") or {}
    if metadata.get("event_type") != POST_EVENT or payload.get("post_id") != post_id:
        return None
    return int(payload["part"])


def _holds_file(message: dict[str, Any], post_id: str) -> bool:
    """Tell whether a message shares the file of a post: its name is all that can say so."""
    return any(post_id in str(file.get("name") or "") for file in message.get("files") or ())


def _is_writing(run: Run, segment: int) -> bool:
    """Tell whether more of the text of a segment may come."""
    return run.status is RunStatus.RUNNING and run.segment == segment


def _is_replaced(run: Run, segment: int) -> bool:
    """Tell whether the result takes the place of the text of a segment."""
    return run.replaces_answer and run.segment == segment


def _since(run: Run) -> datetime:
    return run.since or run.created_at


def _is_newer(drawn: Run, run: Run) -> bool:
    """Tell whether what was drawn is newer than a run; while it pauses, forms change that no root message shows."""
    if run.status is RunStatus.PAUSED:
        return _since(drawn) > _since(run)
    return _since(drawn) >= _since(run)


def _remember(memory: dict[str, Any], key: str, value: Any) -> None:
    """Put into a memory that forgets its oldest."""
    memory.pop(key, None)
    memory[key] = value
    if len(memory) > _REMEMBERED:
        del memory[next(iter(memory))]
