"""What the page is sent of the simulated workspace."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Literal, cast

from bot.playground.page.feed import Entry, plain
from bot.playground.page.protocol import (
    ChannelDoc,
    Example,
    FileDoc,
    Json,
    MessageDoc,
    RefusalDoc,
    ViewDoc,
    WorkspaceDoc,
)
from bot.playground.slack import File, Message, Person, View, Workspace
from bot.playground.slack.people import Surface
from bot.playground.slack.workspace import Refused


def surface_key(surface: Surface) -> str:
    """Return the key of a message's or view's document."""
    if isinstance(surface, View):
        return f"views/{surface.id}"
    return f"messages/{surface.channel.id}/{surface.ts}"


def find_surface(workspace: Workspace, key: str) -> Surface:
    """Return the message or view with this key. Raises `LookupError` when it is gone or never was."""
    match key.split("/"):
        case ["messages", channel_id, ts]:
            channel = workspace.channel_by_id(channel_id)
            message = channel.log.get(ts) if channel else None
            if message and not message.deleted:
                return message
            raise LookupError("This message is not there any more.")
        case ["views", view_id]:
            if view := workspace.view(view_id):
                return view
            raise LookupError("This window is not open any more.")
    raise LookupError(f"{key!r} is neither a message nor a view.")


class SlackSide:
    """The documents of a workspace; `shortcuts` are the names of its shortcuts by their `callback_id`."""

    def __init__(self, workspace: Workspace, shortcuts: Mapping[str, str], examples: Sequence[Example]) -> None:
        self._workspace = workspace
        self._shortcuts, self._examples = shortcuts, examples

    def __call__(self) -> Iterator[Entry]:
        """Every document that exists now."""
        yield plain("workspace", self._described())
        for channel in self._workspace.channels.values():
            for message in channel.log.values():
                if not message.deleted:
                    yield Entry(surface_key(message), _stamp(message), partial(self._message, message))
        for person in self._workspace.people.values():
            yield from _views(person)
            yield from _drafts(person)
        for number, refused in enumerate(self._workspace.refusals):
            yield Entry(f"refusals/{number}", refused, partial(_refusal, refused))

    def _described(self) -> WorkspaceDoc:
        workspace = self._workspace
        return {
            "name": workspace.name,
            "url": f"{workspace.url}/",
            "app": {
                "name": workspace.app_name,
                "user_id": workspace.bot.user_id,
                "bot_id": workspace.bot.bot_id or "",
            },
            "people": [{"id": each.id, "name": each.name, "zone": each.zone} for each in workspace.people.values()],
            "channels": [
                ChannelDoc(
                    id=channel.id,
                    name=channel.name,
                    kind=cast(Literal["channel", "group", "im"], channel.kind),
                    members=sorted(channel.members),
                )
                for channel in workspace.channels.values()
            ],
            "commands": sorted(workspace.commands),
            "shortcuts": [
                {"callback_id": callback_id, "name": self._shortcuts.get(callback_id, callback_id)}
                for callback_id in sorted(workspace.shortcuts)
            ],
            "examples": list(self._examples),
        }

    def _message(self, message: Message) -> MessageDoc:
        author = message.author
        return {
            "channel": message.channel.id,
            "ts": message.ts,
            "thread_ts": message.thread_ts,
            "author": {
                "id": author.user_id,
                "name": self._workspace.user_name(author.user_id),
                "is_app": author.bot_id is not None,
            },
            "visible_to": message.visible_to,
            "text": message.text,
            "blocks": message.blocks,
            "files": [_file(file) for file in message.content.shared],
            "edited": message.edited_at is not None and not message.blocks,  # slack-platform §2.7
            "streaming": message.in_progress,
        }


def _stamp(message: Message) -> object:
    """Another one whenever the message looks different."""
    files = tuple((file.is_deleted, file.is_image, file.mimetype) for file in message.content.shared)
    return len(message.history), message.in_progress, files


def _file(file: File) -> FileDoc:
    return {
        "id": file.id,
        "name": file.name,
        "mimetype": file.mimetype,
        "size": file.length,
        "is_image": file.is_image,
        "deleted": file.is_deleted,
    }


def _views(person: Person) -> Iterator[Entry]:
    home = [(0, person.home)] if person.home else []
    for depth, view in (*enumerate(person.views), *home):
        stamp = view.hash, depth, dict(view.field_errors)
        yield Entry(surface_key(view), stamp, partial(_view, view, depth))


def _view(view: View, depth: int) -> ViewDoc:
    return {
        "id": view.id,
        "person": view.user_id,
        "kind": view.content["type"],
        "title": view.title,
        "submit": _text(view.content.get("submit")),
        "close": _text(view.content.get("close")),
        "blocks": view.blocks,
        "depth": depth,
        "errors": view.field_errors,
    }


def _text(text_object: Json | None) -> str | None:
    return text_object["text"] if text_object else None


def _drafts(person: Person) -> Iterator[Entry]:
    for surface, draft in person.drafts.items():
        if draft and not (isinstance(surface, Message) and surface.deleted):
            document = {"/".join(key): entry for key, entry in draft.items()}
            yield plain(f"drafts/{person.id}/{surface_key(surface)}", document)


def _refusal(refused: Refused) -> RefusalDoc:
    return {"at": refused.at, "what": refused.what, "code": refused.code, "messages": list(refused.messages)}
