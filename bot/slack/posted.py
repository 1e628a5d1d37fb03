"""What stands in a thread already of a post that may have been tried before (slack-platform §8.3)."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from bot.core.model import Run
from bot.errors import SlackUnavailable
from bot.slack.answers import Chain, Part, found, text_id
from bot.slack.memory import remember
from bot.slack.web_api import REPLIES, Errand, WebApi

POST_EVENT = "dify_slack_bot_post"
"""`event_type` of the metadata of everything that is posted; its payload holds `post_id` and `part`."""

_PAGE = 200
_CLOCKS_APART = timedelta(minutes=5)
"""How far our clock and Slack's may differ."""


def metadata_of(post_id: str, part: int) -> dict[str, Any]:
    """Return the metadata by which a part of a post is found."""
    return {"event_type": POST_EVENT, "event_payload": {"post_id": post_id, "part": part}}


@dataclass(slots=True)
class Search:
    """What was found of a post so far, and where to go on."""

    posted: dict[int, dict[str, Any]] = field(default_factory=dict)
    """By part, the messages as Slack gives them back."""
    has_file: bool = False
    cursor: str | None = None

    def chain(self, post_id: str) -> Chain:
        """Return what was found as a chain."""
        return found(post_id, {part: str(each["ts"]) for part, each in self.posted.items()}, has_file=self.has_file)


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

    async def find(self, run: Run, errand: Errand, into: str | None = None) -> Search:
        """Look for what earlier tries posted: the parts that are there, and the file (slack-platform §8.3).

        With `into`, the parts of the text whose first message has this `ts`.

        Some apps get one page of 15 messages a minute (slack-platform §8.1), so a search that Slack interrupts is gone
        on with, not begun anew.
        """
        method = "conversations.history"
        where: dict[str, Any] = {"oldest": f"{(run.created_at - _CLOCKS_APART).timestamp():.6f}"}
        if run.thread_ts is not None:
            method, where = REPLIES, {"ts": run.thread_ts}
        if into is not None:
            where |= {"oldest": into, "inclusive": True}
        post_id = errand.post_id if into is None else text_id(into)
        search = self._searched.pop(errand.post_id, None) or Search()
        while search.cursor != "":
            try:
                await self._web.turn(method, errand)
                page = await self._web.ask(
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
                    remember(self._searched, errand.post_id, search)
                raise
            for message in page["messages"]:
                part = 0 if message["ts"] == into else _part_of(message, post_id)
                if part is not None:
                    search.posted[part] = message
                search.has_file = search.has_file or _holds_file(message, errand.post_id)
            search.cursor = (page.get("response_metadata") or {}).get("next_cursor") or ""
        return search

    async def find_text(self, run: Run, ts: str, errand: Errand) -> Chain:
        """Look for the messages of the text whose first one has this `ts`."""
        chain = (await self.find(run, errand, into=ts)).chain(text_id(ts))
        # The first one may be gone: then this is found out when it is redrawn.
        return chain if chain.parts else Chain(chain.post_id, [Part(ts)], chain.has_file)


def _part_of(message: dict[str, Any], post_id: str) -> int | None:
    metadata = message.get("metadata") or {}
    payload = metadata.get("event_payload") or {}
    if metadata.get("event_type") != POST_EVENT or payload.get("post_id") != post_id:
        return None
    return int(payload["part"])


def _holds_file(message: dict[str, Any], post_id: str) -> bool:
    """Tell whether a message shares the file of a post: its name is all that can say so."""
    return any(post_id in str(file.get("name") or "") for file in message.get("files") or ())
