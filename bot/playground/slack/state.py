"""What a Slack workspace holds: channels, messages in all their versions, and views."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from bot.playground.slack import forms
from bot.playground.slack.text import Json, shown

if TYPE_CHECKING:
    from bot.playground.slack.files import File


@dataclass(frozen=True)
class Content:
    """What a message says."""

    text: str = ""
    blocks: list[Json] = field(default_factory=list)
    metadata: Json | None = None
    link_names: bool = False
    shared: tuple[File, ...] = ()
    """The files it shares (slack-platform §5)."""

    @property
    def files(self) -> list[Json]:
        """The files it shares as a reader finds them now: deleted ones as tombstones."""
        return [file.in_message() for file in self.shared]


@dataclass(frozen=True)
class Version:
    """A message as it stood from `at` (seconds, workspace clock) until the next version."""

    content: Content
    pings: frozenset[str]
    at: float

    @cached_property
    def shown(self) -> str:
        """The text a reader finds: the blocks', or the message's own where there are none."""
        return shown(self.content.text, self.content.blocks)

    @cached_property
    def buttons(self) -> list[str]:
        """The texts of its buttons."""
        return [button.label for button in forms.buttons(self.content.blocks)]


@dataclass(frozen=True)
class Author:
    """Who wrote a message; `bot_id` and `app_id` only for apps."""

    user_id: str
    bot_id: str | None = None
    app_id: str | None = None


@dataclass
class Stream:
    """What Slack knows of a message that is written while people read along (slack-platform §3)."""

    ends_at: float
    """Seconds, workspace clock; from then on nothing can be added."""
    is_plan: bool
    """Whether its tasks stand together in a plan, not each in its place between the texts."""
    state: Literal["in_progress", "stopped_by_user", "completed"] = "in_progress"
    """A stream that ran out stays `in_progress` until the message is repaired (slack-platform §3.2)."""


@dataclass(eq=False)
class Message:
    """One message. It keeps its identity through updates; `history` has every version, the present one last."""

    ts: str
    channel: Channel = field(repr=False)
    author: Author
    thread_ts: str | None
    visible_to: str | None
    """Id of the only person who sees it (an ephemeral message), or None."""
    history: list[Version]
    stream: Stream | None = None
    """Set for a streamed message."""
    edited_at: float | None = None
    deleted: bool = False

    @property
    def content(self) -> Content:
        """What it says now."""
        return self.history[-1].content

    @property
    def text(self) -> str:
        """The message's `text`; where there are blocks it is only the notification."""
        return self.content.text

    @property
    def blocks(self) -> list[Json]:
        """Its blocks as Slack stores them, block_ids included."""
        return self.content.blocks

    @property
    def metadata(self) -> Json | None:
        """Its message metadata (`event_type`, `event_payload`)."""
        return self.content.metadata

    @property
    def shown(self) -> str:
        """The text a reader finds on it, entities decoded."""
        return self.history[-1].shown

    @property
    def pings(self) -> frozenset[str]:
        """Everyone any version of it notified: `@ann`, `@channel`, `@here`, `@everyone`, `@S…` of a user group."""
        return frozenset().union(*(version.pings for version in self.history))

    @property
    def buttons(self) -> list[str]:
        """The texts of its buttons."""
        return self.history[-1].buttons

    @property
    def fields(self) -> list[str]:
        """The labels of its input fields."""
        return [control.label for control in forms.controls(self.blocks) if control.is_field]

    @property
    def in_progress(self) -> bool:
        """Whether it looks to its readers as if more were to come: also when its stream ran out unfinished."""
        return self.stream is not None and self.stream.state == "in_progress"

    @property
    def is_public(self) -> bool:
        """Whether everyone in the channel sees it."""
        return not self.deleted and not self.visible_to

    @property
    def is_root(self) -> bool:
        """Whether it stands in the channel itself, not in a thread."""
        return self.thread_ts is None

    def to_json(self, *, with_metadata: bool = True) -> Json:
        """The message as Slack's API and payloads spell it."""
        replies = self.channel.replies(self.ts) if self.is_root else []
        content: Json = {"type": "message", "user": self.author.user_id, "ts": self.ts, "text": self.text}
        if self.author.bot_id:
            content |= {"bot_id": self.author.bot_id, "app_id": self.author.app_id}
        if self.blocks:
            content["blocks"] = self.blocks
        if self.content.shared:
            content |= {"subtype": "file_share", "files": self.content.files, "upload": False, "display_as_bot": False}
        if self.thread_ts:
            content |= {"thread_ts": self.thread_ts, "parent_user_id": self.channel.log[self.thread_ts].author.user_id}
        elif replies:
            repliers = list(dict.fromkeys(reply.author.user_id for reply in replies))
            content |= {"thread_ts": self.ts, "reply_count": len(replies), "latest_reply": replies[-1].ts}
            content |= {"reply_users": repliers, "reply_users_count": len(repliers)}
        if self.edited_at and not self.blocks:  # slack-platform §2.7: no "(edited)" on messages with blocks
            content["edited"] = {"user": self.author.user_id, "ts": f"{self.edited_at:.6f}"}
        if self.stream:  # the key and its values [believed]
            content["streaming_state"] = "in_progress" if self.in_progress else "completed"
        if with_metadata and self.metadata:
            content["metadata"] = self.metadata
        return content


@dataclass(eq=False)
class Channel:
    """A channel, or the direct messages of a person with the bot (`D…`)."""

    id: str
    name: str
    members: set[str]
    """User ids."""
    is_private: bool = False
    is_archived: bool = False
    log: dict[str, Message] = field(default_factory=dict, repr=False)
    """Every message ever written here by `ts`, deleted and ephemeral ones included, in order."""
    _threads: dict[str, list[Message]] = field(default_factory=dict, repr=False)

    @property
    def is_im(self) -> bool:
        """Whether these are direct messages."""
        return self.id.startswith("D")

    @property
    def kind(self) -> str:
        """`channel_type` of Slack's message events."""
        return "im" if self.is_im else "group" if self.is_private else "channel"

    @property
    def messages(self) -> list[Message]:
        """What stands here for everyone, threads included, in order."""
        return [message for message in self.log.values() if message.is_public]

    @property
    def roots(self) -> list[Message]:
        """The messages outside threads."""
        return [message for message in self.messages if message.is_root]

    def replies(self, thread_ts: str) -> list[Message]:
        """The messages in a thread, without its root."""
        return [message for message in self._threads.get(thread_ts, []) if message.is_public]

    def message(self, ts: str | None) -> Message | None:
        """The message everyone here sees under this `ts`, if there is one."""
        message = self.log.get(ts or "")
        return message if message and message.is_public else None

    def add(self, message: Message) -> None:
        """Append a message."""
        self.log[message.ts] = message
        if message.thread_ts:
            self._threads.setdefault(message.thread_ts, []).append(message)


@dataclass(eq=False)
class View:
    """A modal or an App Home as it stands with one person."""

    id: str
    user_id: str
    content: Json
    """What the app sent: type, title, blocks, callback_id, private_metadata, …"""
    hash: str
    root_id: str
    previous_id: str | None
    field_errors: dict[str, str] = field(default_factory=dict)
    """What stands at its fields since the last submission that was not accepted: block_id → message."""

    @property
    def blocks(self) -> list[Json]:
        """Its blocks, block_ids included."""
        blocks: list[Json] = self.content["blocks"]
        return blocks

    @property
    def title(self) -> str:
        """The modal's title; empty for an App Home."""
        return str(self.content.get("title", {}).get("text", ""))

    def to_json(self, values: dict[str, dict[str, Json]], **common: Any) -> Json:
        """The view as Slack's API and payloads spell it, with `values` as its state."""
        return {
            "private_metadata": "",
            "callback_id": "",
            "external_id": "",
            "title": None,
            "submit": None,
            "close": None,
            "clear_on_close": False,
            "notify_on_close": False,
            **self.content,
            "id": self.id,
            "hash": self.hash,
            "state": {"values": values},
            "root_view_id": self.root_id,
            "previous_view_id": self.previous_id,
            **common,
        }
