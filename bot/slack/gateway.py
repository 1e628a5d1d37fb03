"""The way to Slack's Web API for one workspace: renders effects, carries them there, and names what went wrong."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any

import aiohttp
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.web.async_slack_response import AsyncSlackResponse
from slack_sdk.webhook.async_client import AsyncWebhookClient

from bot.core import effects as do
from bot.core.effects import SlackEffect, TextEffect
from bot.core.model import Progress, Run, RunStatus
from bot.errors import SlackRejected, SlackUnavailable
from bot.slack import mrkdwn
from bot.slack.blocks import Post, Redraw, Reply, Tell, render
from bot.slack.budget import MessageKey, Pace, ProgressBoard
from bot.slack.failures import CONTENT_REFUSED, MESSAGE_GONE, PERSON_ABSENT, error_of, refusal_details, slack_error
from bot.slack.limits import Gate, Importance
from bot.slack.message import Message, section
from bot.slack.result import answer_message, cut_answer
from bot.slack.root import root_message

log = logging.getLogger(__name__)

POST_EVENT = "dify_slack_bot_post"
"""`event_type` of the metadata of everything that is posted; its payload holds `post_id` and `part`."""

_POST, _UPDATE = "chat.postMessage", "chat.update"
_TIMEOUT = aiohttp.ClientTimeout(total=30)  # seconds
_PAGE = 200
_CLOCKS_APART = timedelta(minutes=5)
"""How far our clock and Slack's may differ."""
_REMEMBERED = 1_000
"""Runs, and posts to be tried again, that are kept in mind."""

Draw = Callable[[], Message]
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

    posted: dict[int, str] = field(default_factory=dict)
    cursor: str | None = None


@dataclass(slots=True)
class _Answer:
    """The streamed text of one segment of a run: the newest text, and the message once it is posted."""

    text: str = ""
    ts: str | None = None
    cut: bool = False
    """A part of it was not heard."""
    over: bool = False
    """Drawn for the last time."""


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
        self._board: ProgressBoard[Draw] = ProgressBoard(
            self._draw_progress, pace, held=lambda: self._gate.wait(_UPDATE, pace.reserve)
        )
        self._followed: dict[str, _Followed] = {}
        """By `run_id`."""
        self._posted: dict[str, dict[int, str]] = {}
        """By `post_id`, of posts that Slack surely left unfinished: the `ts` of the parts that are there."""
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

    async def _post(self, run: Run, post: Post, errand: _Errand) -> str:
        """Post every part that is not there yet, and return the `ts` of the last one."""
        posted = self._posted.pop(errand.post_id, None)
        if posted is None:
            posted = await self._find_posted(run, errand) if errand.again else {}
        ts = ""
        for part, message in enumerate(post.messages):
            try:
                ts = posted.get(part) or await self._post_part(run, message, errand, part, post.into)
            except SlackUnavailable as error:
                if not error.sent and not self._shared:
                    _remember(self._posted, errand.post_id, posted)
                error.sent = error.sent or bool(posted)
                raise
            posted[part] = ts
        return ts

    async def _post_part(self, run: Run, message: Message, errand: _Errand, part: int, into: str | None) -> str:
        if part == 0 and into is not None:
            try:
                await self._update((run.channel_id, into), message, errand)
            except SlackRejected as error:
                if error.code not in MESSAGE_GONE:
                    raise
            else:
                return into
        return await self._post_message(run.channel_id, run.thread_ts, message, errand, part)

    async def _post_answer(self, run: Run, segment: int, errand: _Errand) -> str | None:
        """Post the streamed text of a segment; of one that is over and was not heard, only look for an earlier post."""
        writing = _is_writing(run, segment)
        answer = self._answer_of(run, segment)
        if not writing and (not answer.text or run.replaces_answer):
            return (await self._find_posted(run, errand)).get(0) if errand.again else None
        shown = answer.text
        message = await asyncio.to_thread(answer_message, shown, writing=writing, cut=answer.cut and not writing)
        answer.ts = await self._post(run, Post((message,)), errand)
        if not writing and not errand.again:
            answer.over, answer.text = True, ""
        if writing and (answer.text != shown or errand.again):
            self._note_answer(run, answer.ts, answer)
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
        answer.text, answer.cut = text, False
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
        if not self._shared or followed is None:
            return
        if run.root_ts is not None:
            await self._board.settle((run.channel_id, run.root_ts), draw=False)
        for segment, answer in list(followed.answers.items()):
            if answer.ts is None:
                continue
            last_word = _Errand(f"{run.run_id} {segment}", again=False, importance=Importance.REFRESH)
            writing = _is_writing(run, segment)
            await self._board.settle((run.channel_id, answer.ts), draw=writing)
            if not writing and not run.replaces_answer:
                try:
                    await self._finish_answer(run, answer, last_word)
                except SlackUnavailable as error:
                    log.info("the end of a text is left to others: %s", error)

    def _note_answer(self, run: Run, ts: str, answer: _Answer) -> None:
        self._board.note((run.channel_id, ts), lambda: answer_message(answer.text))

    async def _end_answer(self, run: Run, segment: int, ts: str, errand: _Errand) -> None:
        """Let the text of a segment that is over not look as if more of it were to come."""
        followed = self._followed.get(run.run_id) or _Followed()
        answer = followed.answers.get(segment) or _Answer()
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
        message = await asyncio.to_thread(answer_message, answer.text, writing=False, cut=answer.cut)
        await self._redraw_answer(run, answer.ts, message, errand)
        answer.over, answer.text = True, ""

    async def _cut_answer(self, run: Run, ts: str, errand: _Errand) -> None:
        """Mark a text that was not heard to its end by this process, perhaps because another one died."""
        where = {"ts": run.thread_ts, "oldest": ts, "latest": ts, "inclusive": True, "limit": 1}
        await self._gate.turn("conversations.replies", None, errand.importance, errand.post_id)
        try:
            page = await self._ask("conversations.replies", channel=run.channel_id, **where)
        except SlackRejected as error:
            log.info("whether a text was cut off is not known: %s", error)
            return
        shown: dict[str, Any] = next((message for message in page["messages"] if message.get("ts") == ts), {})
        if (message := cut_answer(shown)) is not None:
            await self._redraw_answer(run, ts, message, errand)

    async def _redraw_answer(self, run: Run, ts: str, message: Message, errand: _Errand) -> None:
        try:
            await self._update((run.channel_id, ts), message, errand)
        except SlackRejected as error:
            # Somebody deleted it, for example. The root message matters more.
            log.info("the end of a text not shown: %s", error)

    def _answer_of(self, run: Run, segment: int) -> _Answer:
        return self._follow(run).answers.setdefault(segment, _Answer())

    def _follow(self, run: Run) -> _Followed:
        """Return what is known of a run; of one that ended, the text that may still have to be drawn and no more."""
        followed = self._followed.get(run.run_id) or _Followed()
        if run.status.ended:
            followed = _Followed(answers={} if run.replaces_answer else followed.answers, ended=True)
        _remember(self._followed, run.run_id, followed)
        return followed

    async def _draw_progress(self, key: MessageKey, draw: Draw) -> None:
        """Draw one state; whatever goes wrong, only this state is lost, and a newer one follows."""
        if not self._may_send():
            return
        try:
            message = await asyncio.to_thread(draw)
            self._gate.count(_UPDATE)
            await self._call(_UPDATE, message, channel=key[0], ts=key[1])
        except SlackUnavailable as error:
            if not error.sent:
                # It may be the last word on this message for long.
                self._board.note_unless_newer(key, draw)
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

    async def _post_message(
        self, channel: str, thread_ts: str | None, message: Message, errand: _Errand, part: int
    ) -> str:
        metadata = {"event_type": POST_EVENT, "event_payload": {"post_id": errand.post_id, "part": part}}
        response = await self._write(
            _POST, message, errand, channel=channel, thread_ts=thread_ts, metadata=metadata, **_QUIET
        )
        return str(response["ts"])

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

    async def _find_posted(self, run: Run, errand: _Errand) -> dict[int, str]:
        """Look for what an earlier try posted: the `ts` of each part that is there (slack-platform §8.3).

        Some apps get one page of 15 messages a minute (slack-platform §8.1), so a search that Slack interrupts is gone
        on with, not begun anew.
        """
        method = "conversations.history"
        where: dict[str, Any] = {"oldest": f"{(run.created_at - _CLOCKS_APART).timestamp():.6f}"}
        if run.thread_ts is not None:
            method, where = "conversations.replies", {"ts": run.thread_ts}
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
                part = _part_of(message, errand.post_id)
                if part is not None:
                    search.posted[part] = str(message["ts"])
            search.cursor = (page.get("response_metadata") or {}).get("next_cursor") or ""
        return search.posted


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
        ):
            return Importance.DECISION
        case do.RefreshForm() | do.RefreshRoot() | do.EndAnswer() | do.PostStuck() | do.PostKeyRefused():
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


def _is_writing(run: Run, segment: int) -> bool:
    """Tell whether more of the text of a segment may come."""
    return run.status is RunStatus.RUNNING and run.segment == segment


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
