"""The simulated Slack workspace: who is in it, what stands in its channels, and what happened."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from bot.playground.slack import payloads
from bot.playground.slack.delivery import Courier, Delivery
from bot.playground.slack.faults import Faults
from bot.playground.slack.files import Files
from bot.playground.slack.people import Person
from bot.playground.slack.rate_limits import RateLimits
from bot.playground.slack.refusals import Refusal
from bot.playground.slack.state import Author, Channel, Content, Message, Stream, Version, View
from bot.playground.slack.text import Json, pinged_ids
from bot.playground.slack.tickets import Tickets

Found = TypeVar("Found")

SCOPES = (
    "app_mentions:read",
    "channels:history",
    "channels:read",
    "chat:write",
    "commands",
    "files:read",
    "files:write",
    "groups:history",
    "groups:read",
    "im:history",
    "im:read",
    "im:write",
    "users:read",
)


@dataclass(frozen=True)
class Call:
    """One Web API call and its answer."""

    method: str
    arguments: Json
    response: Json
    status: int
    """HTTP status."""
    arrived: float
    """Seconds, monotonic clock."""
    answered: float
    """Seconds, monotonic clock; `answered - arrived` is the platform's own time."""
    at: float
    """Seconds, workspace clock."""

    @property
    def ok(self) -> bool:
        """Whether Slack did what was asked."""
        return bool(self.response.get("ok"))


@dataclass(frozen=True)
class Refused:
    """Something the app sent and Slack did not take: a call, a message to a `response_url`, an answer to a payload."""

    what: str
    code: str
    messages: tuple[str, ...]
    at: float
    """Seconds, workspace clock."""

    def __str__(self) -> str:
        return f"{self.what}: {self.code} {' '.join(self.messages)}".rstrip()


class Workspace:
    """One Slack workspace with one installed app.

    `channels` maps names to members; the member `bot` is the app's bot user. `scopes` are those granted to the bot,
    `events` those the app subscribed to, `shortcuts` the `callback_id`s of its message shortcuts, `should_escape` says
    how its slash commands get mentions, all spelled as in an app manifest (`message.channels`). `streams_in` are the
    kinds of channels (`channel`, `group`, `im`) messages can be streamed to; to others
    `channel_type_not_supported` is answered (slack-platform §3.2). `closed_views_keep_values` says whether
    `view_closed` carries what was typed: the platform's pages do not tell [believed: not to rely on].
    `now` is the clock that expiry, rate limits and message times go by. `ack_timeout` and `event_retry_delays` are in
    seconds (slack-platform §4.1, §4.3).
    """

    def __init__(
        self,
        *,
        people: Sequence[str],
        channels: Mapping[str, Iterable[str]],
        team_id: str = "T0DEMO",
        name: str = "Demo",
        private_channels: Iterable[str] = (),
        commands: Iterable[str] = ("/dify",),
        shortcuts: Iterable[str] = (),
        app_name: str = "Dify",
        bot_token: str = "xoxb-demo",
        app_token: str = "xapp-demo",
        signing_secret: str = "demo-signing-secret",
        scopes: Iterable[str] = SCOPES,
        events: Iterable[str] = (),
        should_escape: bool = True,
        streams_in: Iterable[str] = ("channel", "group", "im"),
        closed_views_keep_values: bool = False,
        rate_limits: RateLimits | None = None,
        now: Callable[[], float] = time.time,
        ack_timeout: float = 3.0,
        event_retry_delays: Sequence[float] = (0.0, 60.0, 300.0),
    ) -> None:
        self.team_id, self.name, self.domain = team_id, name, name.lower()
        self.app_name, self.bot_token, self.app_token, self.signing_secret = (
            app_name,
            bot_token,
            app_token,
            signing_secret,
        )
        self.commands, self.scopes, self.events = frozenset(commands), frozenset(scopes), frozenset(events)
        self.shortcuts = frozenset(shortcuts)
        self.should_escape = should_escape
        self.streams_in, self.closed_views_keep_values = frozenset(streams_in), closed_views_keep_values
        self.rate_limits = rate_limits or RateLimits.real()
        self.now, self.ack_timeout, self.event_retry_delays = now, ack_timeout, tuple(event_retry_delays)
        self.bot = Author(user_id="U0BOT", bot_id="B0BOT", app_id="A0APP")
        self.slackbot = Author(user_id="USLACKBOT")
        self.url = ""
        """Where the server listens, e.g. `http://127.0.0.1:8123`; set when it starts."""
        self.people = {person: Person(self, person) for person in people}
        private = set(private_channels)
        self.channels = {
            channel: Channel(
                _id("C0", channel), channel, {self._member_id(member) for member in members}, channel in private
            )
            for channel, members in channels.items()
        }
        self.calls: list[Call] = []
        """Every Web API call that was answered or, with a fault, should have been."""
        self.refusals: list[Refused] = []
        """Whatever Slack itself refused; neither limits of rate nor failures that were ordered."""
        self.faults = Faults()
        self.tickets = Tickets(now)
        self.files = Files(self)
        self.courier = Courier(self)
        self._log: list[Message] = []
        self._serial = itertools.count(1)
        self._last_ts = 0
        self._next_change = asyncio.Event()

    # --- who and where -----------------------------------------------------------------------------------------------

    def person(self, name: str) -> Person:
        """The person of this name. Raises `LookupError`."""
        if name not in self.people:
            raise LookupError(f"nobody is called {name!r} here; there are: {', '.join(self.people)}")
        return self.people[name]

    def person_by_id(self, user_id: str) -> Person | None:
        """The person with this user id, if there is one."""
        return next((person for person in self.people.values() if person.id == user_id), None)

    def user_name(self, user_id: str) -> str:
        """What the workspace calls a user: a person's name, the app's for its bot user, else the id."""
        person = self.person_by_id(user_id)
        names = {self.bot.user_id: self.app_name, self.slackbot.user_id: "Slackbot"}
        return person.name if person else names.get(user_id, user_id)

    def channel(self, name: str) -> Channel:
        """The channel of this name; ann's direct messages with the bot are `@ann`. Raises `LookupError`."""
        if name.startswith("@"):
            return self.direct_messages(self.person(name[1:]))
        if name not in self.channels:
            raise LookupError(f"no channel {name!r} here; there are: {', '.join(self.channels)}")
        return self.channels[name]

    def channel_by_id(self, channel_id: str) -> Channel | None:
        """The channel with this id, if there is one."""
        return next((channel for channel in self.channels.values() if channel.id == channel_id), None)

    def direct_messages(self, person: Person) -> Channel:
        """The bot's direct messages with a person, opened on first use."""
        name = f"@{person.name}"
        members = {person.id, self.bot.user_id}
        return self.channels.setdefault(name, Channel(_id("D0", person.name), name, members, is_private=True))

    def view(self, view_id: str) -> View | None:
        """The modal or App Home with this id, if somebody still has it."""
        return next((view for view in self._views() if view.id == view_id), None)

    def view_by_external_id(self, external_id: str) -> View | None:
        """The modal or App Home with this (non-empty) `external_id`, if somebody still has it."""
        return next(
            (view for view in self._views() if external_id and view.content.get("external_id") == external_id), None
        )

    def _views(self) -> list[View]:
        people = self.people.values()
        return [view for person in people for view in (*person.views, person.home) if view]

    def new_id(self, prefix: str) -> str:
        """An id nothing else in the workspace has."""
        return f"{prefix}{next(self._serial):06d}"

    # --- messages ----------------------------------------------------------------------------------------------------

    def post(
        self,
        channel: Channel,
        content: Content,
        author: Author,
        *,
        thread_ts: str | None = None,
        visible_to: str | None = None,
        stream: Stream | None = None,
    ) -> Message:
        """Write a message, or with `stream` its beginning; `visible_to` (a user id) makes it ephemeral.

        The files in its content are shared by it.
        """
        message = Message(
            ts=self._new_ts(),
            channel=channel,
            author=author,
            thread_ts=thread_ts,
            visible_to=visible_to,
            history=[self._version(content)],
            stream=stream,
        )
        channel.add(message)
        self._log.append(message)
        for file in content.shared:
            file.messages.append(message)
        self.changed()
        if message.is_public:
            for name, event in payloads.posted_events(self, message):
                self.raise_event(name, event)
        return message

    def edit(self, message: Message, content: Content) -> None:
        """Replace what a message says; its metadata stays unless `content` has new.

        A stream that ran out is repaired by it (slack-platform §3.2).
        """
        kept = message.content
        content = replace(
            content, metadata=content.metadata or kept.metadata, shared=kept.shared
        )  # slack-platform §2.7
        before = message.to_json()
        message.history.append(self._version(content))
        message.edited_at = self.now()
        if message.stream:
            message.stream.state = "completed"
        self.raise_changed(message, before)

    def extend(self, message: Message, content: Content) -> None:
        """Let a streamed message say more: no edit, and no event [believed]."""
        message.history.append(self._version(content))
        self.changed()

    def delete(self, message: Message) -> None:
        """Take a message away; it stays in its channel's `log`."""
        before = message.to_json()
        message.deleted = True
        self.raise_changed(message, before)

    def raise_event(self, name: str, event: Json) -> None:
        """Tell the app, if it subscribed to the event, was granted its scope, and its bot is where it happened."""
        scope = payloads.EVENT_SCOPES[name]
        channel = self.channel_by_id(event.get("channel") or event["channel_id"])
        present = channel is not None and self.bot.user_id in channel.members
        if name in self.events and present and (scope is None or scope in self.scopes):
            self.courier.tell(payloads.event_callback(self, event))

    def raise_changed(self, message: Message, before: Json) -> None:
        """Tell the app that a message is no longer what it was `before`."""
        self.changed()
        if not message.visible_to:
            self.raise_event(*payloads.changed_event(self, message, before, self._new_ts()))

    def _version(self, content: Content) -> Version:
        ids = pinged_ids(content.text, content.blocks, link_names=content.link_names)
        return Version(content, frozenset(f"@{self.user_name(pinged)}" for pinged in ids), self.now())

    def _new_ts(self) -> str:
        self._last_ts = max(int(self.now() * 10_000), self._last_ts + 1)  # Slack's last two digits are mostly zero, too
        seconds, fraction = divmod(self._last_ts, 10_000)
        return f"{seconds}.{fraction:04d}00"

    def _member_id(self, name: str) -> str:
        return self.bot.user_id if name == "bot" else self.person(name).id

    # --- observing ---------------------------------------------------------------------------------------------------

    @property
    def refused(self) -> list[Call]:
        """The Web API calls that were answered `ok: false`."""
        return [call for call in self.calls if not call.ok]

    @property
    def deliveries(self) -> list[Delivery]:
        """Every payload sent to the app, with its acknowledgement."""
        return self.courier.deliveries

    def find(self, **conditions: str | None) -> Message | None:
        """The newest message that satisfies every condition given, or None.

        `channel` is a name, `text` part of what a reader finds on the message (upper and lower case alike), `thread`
        the `ts` of its root, `button` (part of) a button's text; `visible_to` looks at that person's ephemeral messages
        instead of everyone's.
        """
        return next(self._found(reversed(self._log), **conditions), None)

    def find_all(self, **conditions: str | None) -> list[Message]:
        """The messages that satisfy the conditions of `find`, oldest first."""
        return list(self._found(self._log, **conditions))

    def _found(
        self,
        messages: Iterable[Message],
        *,
        channel: str | None = None,
        text: str | None = None,
        thread: str | None = None,
        button: str | None = None,
        visible_to: str | None = None,
    ) -> Iterator[Message]:
        person_id = self.person(visible_to).id if visible_to else None
        place = self.channel(channel) if channel else None
        for message in messages:
            if (
                not message.deleted
                and message.visible_to == person_id
                and place in (None, message.channel)
                and (thread is None or message.thread_ts == thread)
                and (button is None or any(button.casefold() in label.casefold() for label in message.buttons))
                and (text is None or text.casefold() in message.shown.casefold())
            ):
                yield message

    async def wait_for(self, predicate: Callable[[], Found | None], timeout: float = 60.0) -> Found:
        """The first true value of `predicate`, asked again after every change.

        Raises `TimeoutError`, with the calls Slack refused meanwhile, after `timeout` seconds.
        """
        try:
            async with asyncio.timeout(timeout):
                while not (found := predicate()):
                    await self.next_change()
                return found
        except TimeoutError:
            refused = [f"{call.method}: {call.response}" for call in self.refused]
            raise TimeoutError(f"did not come about within {timeout} s; refused calls: {refused or 'none'}") from None

    async def next_change(self) -> None:
        """Wait until anything in the workspace changes."""
        await self._next_change.wait()

    def changed(self) -> None:
        """Wake everyone in `wait_for` and `next_change`."""
        change, self._next_change = self._next_change, asyncio.Event()
        change.set()

    def record(self, call: Call) -> None:
        """Note an answered Web API call."""
        self.calls.append(call)
        self.changed()

    def note_refusal(self, what: str, refusal: Refusal) -> None:
        """Note what Slack refused."""
        self.refusals.append(Refused(what, refusal.code, refusal.messages, self.now()))
        self.changed()


def _id(prefix: str, name: str) -> str:
    return prefix + "".join(letter for letter in name.upper() if letter.isalnum())
