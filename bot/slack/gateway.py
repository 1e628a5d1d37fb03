"""The way to Slack's Web API for one workspace: renders effects, carries them there, and names what went wrong."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any

import aiohttp
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.web.async_slack_response import AsyncSlackResponse
from slack_sdk.webhook.async_client import AsyncWebhookClient

from bot.core import effects as do
from bot.core.effects import SlackEffect
from bot.core.model import Progress, Run, RunStatus
from bot.errors import SlackRejected, SlackUnavailable
from bot.slack import mrkdwn
from bot.slack.blocks import Post, Redraw, Reply, Tell, render
from bot.slack.budget import MessageKey, Pace, ProgressBoard
from bot.slack.failures import CONTENT_REFUSED, MESSAGE_GONE, PERSON_ABSENT, error_of, refusal_details, slack_error
from bot.slack.message import Message, section
from bot.slack.result import answer_message
from bot.slack.root import root_message

log = logging.getLogger(__name__)

POST_EVENT = "dify_slack_bot_post"
"""`event_type` of the metadata of everything that is posted; its payload holds `post_id` and `part`."""

_TIMEOUT = aiohttp.ClientTimeout(total=30)  # seconds
_PAGE = 200
_CLOCKS_APART = timedelta(minutes=5)
"""How far our clock and Slack's may differ."""
_REMEMBERED = 1_000
"""Runs, and posts to be tried again, that are kept in mind."""

Draw = Callable[[], Message]
_Call = Callable[..., Awaitable[AsyncSlackResponse]]


@dataclass(slots=True)
class _Answer:
    """The streamed text of one segment of a run: the newest text, and the message once it is posted."""

    since: datetime | None
    text: str = ""
    ts: str | None = None


@dataclass(slots=True)
class _Followed:
    """What is known of a run that is being followed; losing it costs a redraw, nothing else."""

    drawn: Run | None = None
    """The run as its root message was last drawn with what matters."""
    progress: tuple[datetime, Progress] | None = None
    """What it was last seen doing, and since when it had been in the state it did it in."""
    answer: _Answer | None = None
    ended: bool = False
    """It ended, so whatever is still heard of it is late."""


class SlackGateway:
    """Implements `bot.core.ports.Slack` over a Web API client. Use it as an asynchronous context manager.

    A post must never be sent again by itself, so the client's retry handlers are not used (slack-platform §8.2): the
    outbox tries again, and looks into the thread first.
    """

    def __init__(self, client: AsyncWebClient, pace: Pace | None = None) -> None:
        self._client = client
        self._session: aiohttp.ClientSession | None = None
        self._web = client
        self._board: ProgressBoard[Draw] = ProgressBoard(self._draw_progress, pace)
        self._followed: dict[str, _Followed] = {}
        """By `run_id`."""
        self._posted: dict[str, dict[int, str]] = {}
        """By `post_id`, of posts that Slack surely left unfinished: the `ts` of the parts that are there."""
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
            SlackUnavailable: no answer, 5xx or 429.
            ChannelUnreachable: the bot cannot write there.
            SlackRejected: any other refusal.
        """
        if isinstance(effect, do.PostAnswer) and run is not None:
            return await self._post_answer(run, post_id, again=again)
        # Rendering a long text takes its time: not in the loop that acks.
        rendered = await asyncio.to_thread(render, effect, run, self._progress_of(run) if run else None)
        if isinstance(rendered, Reply):
            await self._reply(rendered)
            return None
        assert run is not None, "only a reply belongs to no run"
        match rendered:
            case Post():
                return await self._post(run, rendered, post_id, again=again)
            case Redraw():
                if isinstance(effect, do.RefreshRoot):
                    self._follow(run).drawn = None if run.status.ended else run
                return await self._redraw(run, rendered, post_id, again=again)
            case Tell():
                return await self._tell(run, rendered, post_id, again=again)

    async def _post(self, run: Run, post: Post, post_id: str, *, again: bool) -> str:
        """Post every part that is not there yet, and return the `ts` of the last one."""
        posted = self._posted.pop(post_id, None)
        if posted is None:
            posted = await self._find_posted(run, post_id) if again else {}
        ts = ""
        for part, message in enumerate(post.messages):
            try:
                ts = posted.get(part) or await self._post_part(run, message, post_id, part, post.into)
            except SlackUnavailable as error:
                if not error.sent:
                    _remember(self._posted, post_id, posted)
                raise
            posted[part] = ts
        return ts

    async def _post_part(self, run: Run, message: Message, post_id: str, part: int, into: str | None) -> str:
        if part == 0 and into is not None:
            try:
                await self._update((run.channel_id, into), message)
            except SlackRejected as error:
                if error.code not in MESSAGE_GONE:
                    raise
            else:
                return into
        return await self._post_message(run.channel_id, run.thread_ts, message, post_id, part)

    async def _post_answer(self, run: Run, post_id: str, *, again: bool) -> str:
        answer = self._answer_of(run)
        shown = answer.text
        message = await asyncio.to_thread(answer_message, shown)
        answer.ts = await self._post(run, Post((message,)), post_id, again=again)
        if answer.text != shown or again:
            self._note_answer(run, answer.ts, answer)
        return answer.ts

    async def _redraw(self, run: Run, redraw: Redraw, post_id: str, *, again: bool) -> str | None:
        if redraw.ts is None:
            return None
        try:
            await self._update((run.channel_id, redraw.ts), redraw.message)
        except SlackRejected as error:
            if not (redraw.anew and error.code in MESSAGE_GONE):
                raise
        else:
            return None
        return await self._post(run, Post((redraw.message,)), post_id, again=again)

    async def _tell(self, run: Run, tell: Tell, post_id: str, *, again: bool) -> str | None:
        try:
            await self._write(
                self._web.chat_postEphemeral,
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
        return await self._post(run, Post((named,)), post_id, again=again)

    async def _reply(self, reply: Reply) -> None:
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
        await self._write(self._web.chat_postMessage, reply.message, channel=reply.user_id, **_QUIET)

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
        if run.thread_ts is not None and (run.status is not RunStatus.PAUSED or progress.waiting_for_dify):
            self._board.note((run.channel_id, run.thread_ts), lambda: root_message(run, progress))

    def _progress_of(self, run: Run) -> Progress | None:
        """Return what a run was last seen doing in its present state, so that a redraw does not forget it."""
        since, progress = self._follow(run).progress or (None, None)
        return progress if since == _since(run) else None

    async def show_answer(self, run: Run, text: str) -> None:
        """Have the message of the streamed text redrawn in its turn; until it is posted the text is kept for it."""
        if self._follow(run).ended:
            return
        answer = self._answer_of(run)
        answer.text = text
        if ts := run.answer_ts or answer.ts:
            self._note_answer(run, ts, answer)

    def _note_answer(self, run: Run, ts: str, answer: _Answer) -> None:
        self._board.note((run.channel_id, ts), lambda: answer_message(answer.text))

    def _answer_of(self, run: Run) -> _Answer:
        """Return the text of the present segment; each resumption begins a new one."""
        followed = self._follow(run)
        if followed.answer is None or followed.answer.since != run.since:
            followed.answer = _Answer(since=run.since)
        return followed.answer

    def _follow(self, run: Run) -> _Followed:
        """Return what is known of a run; of one that ended, that it did and nothing else."""
        followed = self._followed.get(run.run_id) or _Followed()
        if run.status.ended:
            followed = _Followed(ended=True)
        _remember(self._followed, run.run_id, followed)
        return followed

    async def _draw_progress(self, key: MessageKey, draw: Draw) -> None:
        """Draw one state; whatever goes wrong, only this state is lost, and a newer one follows."""
        try:
            message = await asyncio.to_thread(draw)
            await self._write(self._web.chat_update, message, channel=key[0], ts=key[1])
        except SlackUnavailable as error:
            self._board.budget.hold(error.retry_after or 0.0)
            log.info("progress not shown: %s", error)
        except SlackRejected as error:
            log.info("progress not shown: %s", error)
        except Exception:
            log.exception("progress not shown")

    # --- calls -------------------------------------------------------------------------------------------------------

    async def _update(self, key: MessageKey, message: Message) -> None:
        async with self._board.important(key):
            try:
                await self._write(self._web.chat_update, message, channel=key[0], ts=key[1])
            except SlackUnavailable as error:
                self._board.budget.hold(error.retry_after or 0.0)
                raise

    async def _post_message(
        self, channel: str, thread_ts: str | None, message: Message, post_id: str, part: int
    ) -> str:
        metadata = {"event_type": POST_EVENT, "event_payload": {"post_id": post_id, "part": part}}
        response = await self._write(
            self._web.chat_postMessage, message, channel=channel, thread_ts=thread_ts, metadata=metadata, **_QUIET
        )
        return str(response["ts"])

    async def _write(self, method: _Call, message: Message, **where: Any) -> AsyncSlackResponse:
        """Send a message; one whose blocks Slack refuses goes once more as plain text."""
        try:
            return await method(text=message.text, blocks=_wire(message), parse="none", **where)
        except SlackApiError as refused:
            error = slack_error(refused)
            if error.code not in CONTENT_REFUSED:
                raise error from refused
            log.error("Slack refused a message: %s %s", error.code, refusal_details(refused))
        except (aiohttp.ClientError, TimeoutError) as failure:
            raise slack_error(failure) from failure
        return await self._ask(method, text=message.plain, parse="none", **where)

    async def _ask(self, method: _Call, **arguments: Any) -> AsyncSlackResponse:
        try:
            return await method(**arguments)
        except (SlackApiError, aiohttp.ClientError, TimeoutError) as failure:
            raise slack_error(failure) from failure

    async def _respond(self, response_url: str, message: Message) -> None:
        webhook = AsyncWebhookClient(response_url, session=self._session, retry_handlers=[])
        try:
            answer = await webhook.send(
                text=message.text, blocks=_wire(message), response_type="ephemeral", replace_original=False
            )
        except (aiohttp.ClientError, TimeoutError) as failure:
            raise slack_error(failure) from failure
        if answer.status_code != 200:
            raise error_of(answer.status_code, answer.body[:100] or "no_answer", answer.headers.get("Retry-After"))

    async def _find_posted(self, run: Run, post_id: str) -> dict[int, str]:
        """Look for what an earlier try posted: the `ts` of each part that is there (slack-platform §8.3)."""
        method: _Call = self._web.conversations_history
        where: dict[str, Any] = {"oldest": f"{(run.created_at - _CLOCKS_APART).timestamp():.6f}"}
        if run.thread_ts is not None:
            method, where = self._web.conversations_replies, {"ts": run.thread_ts}
        posted: dict[int, str] = {}
        cursor: str | None = None
        while cursor != "":
            page = await self._ask(
                method, channel=run.channel_id, include_all_metadata=True, limit=_PAGE, cursor=cursor, **where
            )
            for message in page["messages"]:
                part = _part_of(message, post_id)
                if part is not None:
                    posted[part] = str(message["ts"])
            cursor = (page.get("response_metadata") or {}).get("next_cursor") or ""
        return posted


# An unfurl is a fetch of an address that a model may have chosen (slack-platform §6.1).
_QUIET: dict[str, Any] = {"unfurl_links": False, "unfurl_media": False}


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
