"""What stands in a thread already of a post that may have been tried before (slack-platform §8.3)."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

from bot.core.model import Run
from bot.errors import SlackUnavailable
from bot.slack.delivery.chain import Chain, Part, found, text_id
from bot.slack.delivery.memory import remember
from bot.slack.delivery.web_api import REPLIES, Errand, WebApi

POST_EVENT = "dify_slack_bot_post"
"""`event_type` of the metadata of everything that is posted; its payload holds `post_id` and `part`."""

_PAGE = 200
_CLOCKS_APART = timedelta(minutes=5)
"""How far our clock and Slack's may differ."""


def metadata_of(post_id: str, part: int) -> dict[str, Any]:
    """Return the metadata by which a part of a post is found."""
    return {"event_type": POST_EVENT, "event_payload": {"post_id": post_id, "part": part}}


class Place(Protocol):
    """Where something is posted: a run's thread, or the channel of one that has none yet; or beside a message."""

    @property
    def channel_id(self) -> str:
        """The channel."""

    @property
    def thread_ts(self) -> str | None:
        """The thread; None where it is posted in the channel itself."""

    @property
    def created_at(self) -> datetime:
        """Since when it may have been posted."""


@dataclass(slots=True)
class Search:
    """What was found of a post so far, and where to go on."""

    posted: dict[int, dict[str, Any]] = field(default_factory=dict)
    """By part, the messages as Slack gives them back."""
    has_file: bool = False
    file_ids: set[str] = field(default_factory=set)
    """Of all that is shared there."""
    cursor: str | None = None
    unmarked: set[int] = field(default_factory=set)
    """Of the parts, those without metadata: streams that nobody ended."""
    lost: list[dict[str, Any]] = field(default_factory=list)
    """Such messages, as they were come across."""

    def chain(self, post_id: str) -> Chain:
        """Return what was found as a chain."""
        ts_by_part = {part: str(each["ts"]) for part, each in self.posted.items()}
        return found(post_id, ts_by_part, has_file=self.has_file, unmarked=self.unmarked)

    def take_in(self, message: dict[str, Any], part: int) -> None:
        """Note a part."""
        self.posted[part] = message
        if not _is_marked(message):
            self.unmarked.add(part)


class Finder:
    """Looks for what earlier tries posted."""

    def __init__(self, web: WebApi, *, shared: bool) -> None:
        """`shared` is that of the `SlackGateway`."""
        self._web = web
        self._shared = shared
        self._searched: dict[str, Search] = {}
        """By `post_id`, of searches that Slack interrupted."""

    def forget(self) -> None:
        """Begin every search anew."""
        self._searched.clear()

    async def find(self, place: Place, errand: Errand, into: str | None = None) -> Search:
        """Look for what earlier tries posted: the parts that are there, and the file (slack-platform §8.3).

        With `into`, the parts of the text whose first message has this `ts`. A stream that nobody ended is the next
        part of what `adopts` it.

        Some apps get one page of 15 messages a minute (slack-platform §8.1), so a search that Slack interrupts is gone
        on with, not begun anew.
        """
        method = "conversations.history"
        where: dict[str, Any] = {"oldest": f"{(place.created_at - _CLOCKS_APART).timestamp():.6f}"}
        if place.thread_ts is not None:
            method, where = REPLIES, {"ts": place.thread_ts}
        if into is not None:
            where |= {"oldest": into, "inclusive": True}
        post_id = errand.post_id if into is None else text_id(into)
        search = self._searched.pop(errand.post_id, None) or Search()
        while search.cursor != "":
            try:
                await self._web.turn(method, errand)
                page = await self._web.ask(
                    method,
                    channel=place.channel_id,
                    include_all_metadata=True,
                    limit=_PAGE,
                    cursor=search.cursor,
                    **where,
                )
            except SlackUnavailable:
                # A thread is read from its beginning, a channel from its end: a later post is on a page that is behind.
                if place.thread_ts is not None or not self._shared:
                    remember(self._searched, errand.post_id, search)
                raise
            for message in page["messages"]:
                part = 0 if message["ts"] == into else _part_of(message, post_id)
                if part is not None:
                    search.take_in(message, part)
                elif errand.adopts and await self._is_lost(place, message):
                    search.lost.append(message)
                search.file_ids.update(str(file.get("id")) for file in message.get("files") or ())
                search.has_file = search.has_file or _holds_file(message, errand.post_id)
            search.cursor = (page.get("response_metadata") or {}).get("next_cursor") or ""
        if into is not None or not search.posted:
            for message in search.lost:
                search.take_in(message, max(search.posted, default=-1) + 1)
        search.lost.clear()
        return search

    async def _is_lost(self, place: Place, message: dict[str, Any]) -> bool:
        """Tell whether a message is a stream of ours that nobody ended: it has neither metadata nor a file."""
        is_a_bots = bool(message.get("bot_id")) and message["ts"] != place.thread_ts
        unmarked = is_a_bots and not message.get("files") and not _is_marked(message)
        return unmarked and message["bot_id"] == await self._web.bot_id()

    async def find_text(self, run: Run, ts: str, errand: Errand) -> Chain:
        """Look for the messages of the text whose first one has this `ts`."""
        chain = (await self.find(run, errand, into=ts)).chain(text_id(ts))
        # The first one may be gone: then this is found out when it is redrawn.
        return chain if chain.parts else Chain(chain.post_id, [Part(ts)], chain.has_file)


def _is_marked(message: dict[str, Any]) -> bool:
    return (message.get("metadata") or {}).get("event_type") == POST_EVENT


def _part_of(message: dict[str, Any], post_id: str) -> int | None:
    metadata = message.get("metadata") or {}
    payload = metadata.get("event_payload") or {}
    if metadata.get("event_type") != POST_EVENT or payload.get("post_id") != post_id:
        return None
    return int(payload["part"])


def _holds_file(message: dict[str, Any], post_id: str) -> bool:
    """Tell whether a message shares the file of a post: its name is all that can say so."""
    return any(post_id in str(file.get("name") or "") for file in message.get("files") or ())
