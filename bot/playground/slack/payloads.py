"""The payloads Slack sends to an app, in the shapes of slack-platform §2.6 and §4."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from bot.playground.slack import forms
from bot.playground.slack.forms import Control
from bot.playground.slack.state import Channel, Message, View
from bot.playground.slack.text import Json
from bot.playground.slack.tickets import Destination

if TYPE_CHECKING:
    from bot.playground.slack.people import Person
    from bot.playground.slack.workspace import Workspace

_VERIFICATION_TOKEN = "demo"

# slack-platform §7.3: what an app needs to be told of an event it subscribed to.
EVENT_SCOPES = {
    "app_mention": "app_mentions:read",
    "message.channels": "channels:history",
    "message.groups": "groups:history",
    "message.im": "im:history",
    "file_shared": "files:read",
    "app_home_opened": None,
}
_MESSAGE_EVENTS = {"channel": "message.channels", "group": "message.groups", "im": "message.im"}


def slash_command(workspace: Workspace, person: Person, channel: Channel, command: str, text: str) -> Json:
    """A slash command; every value is a string."""
    path = workspace.tickets.new_response_url(Destination(channel, person.id, None))
    return {
        "token": _VERIFICATION_TOKEN,
        "team_id": workspace.team_id,
        "team_domain": workspace.domain,
        "channel_id": channel.id,
        "channel_name": _shown_name(channel),
        "user_id": person.id,
        "user_name": person.name,
        "command": command,
        "text": text,
        "api_app_id": workspace.bot.app_id,
        "is_enterprise_install": "false",
        "response_url": f"{workspace.url}/{path}",
        "trigger_id": workspace.tickets.new_trigger(person.id),
    }


def message_action(workspace: Workspace, person: Person, message: Message, action: Json) -> Json:
    """`block_actions` of a message: `state.values` has all its fields as this person sees it (slack-platform §2.6)."""
    path = workspace.tickets.new_response_url(Destination(message.channel, person.id, message))
    return _interaction(workspace, person, "block_actions") | {
        **_on_message(message),
        "trigger_id": workspace.tickets.new_trigger(person.id),
        "state": {"values": forms.state_values(message.blocks, person.draft(message))},
        "response_url": f"{workspace.url}/{path}",
        "actions": [action],
    }


def message_shortcut(workspace: Workspace, person: Person, message: Message, callback_id: str) -> Json:
    """`message_action`: a shortcut in the menu of a message, whole as it stands (slack-platform §4.2).

    What is sent to its `response_url` can stand in no thread.
    """
    path = workspace.tickets.new_response_url(Destination(message.channel, person.id, None, may_thread=False))
    return _interaction(workspace, person, "message_action") | {
        "action_ts": f"{workspace.now():.6f}",
        "callback_id": callback_id,
        "trigger_id": workspace.tickets.new_trigger(person.id),
        "response_url": f"{workspace.url}/{path}",
        "channel": {"id": message.channel.id, "name": _shown_name(message.channel)},
        "message_ts": message.ts,
        "message": message.to_json(),
    }


def block_suggestion(
    workspace: Workspace, person: Person, surface: Message | View, control: Control, text: str
) -> Json:
    """`text` was typed into an `external_select` (slack-platform §2.2); neither trigger nor response_url come along."""
    block_id, action_id = control.key
    where = _on_view(workspace, person, surface) if isinstance(surface, View) else _on_message(surface)
    asked = {"block_id": block_id, "action_id": action_id, "value": text}
    return _interaction(workspace, person, "block_suggestion") | where | asked


def view_action(workspace: Workspace, person: Person, view: View, action: Json) -> Json:
    """`block_actions` of a modal or App Home; there is no response_url."""
    return _interaction(workspace, person, "block_actions") | {
        **_on_view(workspace, person, view),
        "trigger_id": workspace.tickets.new_trigger(person.id, view.id),
        "actions": [action],
    }


def view_submission(workspace: Workspace, person: Person, view: View) -> Json:
    """The submit button of a modal."""
    return _interaction(workspace, person, "view_submission") | {
        "trigger_id": workspace.tickets.new_trigger(person.id, view.id),
        "view": view_json(workspace, person, view),
        "response_urls": [],
    }


def view_closed(workspace: Workspace, person: Person, view: View, *, is_cleared: bool) -> Json:
    """A modal with `notify_on_close` was closed; `is_cleared` with the whole stack.

    The platform's pages do not say whether it carries what was typed [believed: not to rely on], so it does only in a
    workspace that was told so.
    """
    closed = view_json(workspace, person, view)
    if not workspace.closed_views_keep_values:
        closed["state"] = {"values": {}}
    return _interaction(workspace, person, "view_closed") | {"view": closed, "is_cleared": is_cleared}


def view_json(workspace: Workspace, person: Person, view: View) -> Json:
    """A view with what the person put into it."""
    values = forms.state_values(view.blocks, person.draft(view))
    return view.to_json(
        values,
        team_id=workspace.team_id,
        app_id=workspace.bot.app_id,
        app_installed_team_id=workspace.team_id,
        bot_id=workspace.bot.bot_id,
    )


def event_callback(workspace: Workspace, event: Json) -> Json:
    """The envelope every event comes in."""
    return {
        "token": _VERIFICATION_TOKEN,
        "team_id": workspace.team_id,
        "context_team_id": workspace.team_id,
        "context_enterprise_id": None,
        "api_app_id": workspace.bot.app_id,
        "event": event,
        "type": "event_callback",
        "event_id": workspace.new_id("Ev"),
        "event_time": int(workspace.now()),
        "authorizations": [
            {
                "enterprise_id": None,
                "team_id": workspace.team_id,
                "user_id": workspace.bot.user_id,
                "is_bot": True,
                "is_enterprise_install": False,
            }
        ],
        "is_ext_shared_channel": False,
        "event_context": workspace.new_id("4-"),
    }


def posted_events(workspace: Workspace, message: Message) -> list[tuple[str, Json]]:
    """The events a new message raises, each with the name an app subscribes to.

    `app_mention` if it names the bot, and `file_shared` for each of its files, which tells hardly anything (§5.1).
    """
    event = message.to_json() | _where(workspace, message.channel, message.ts)
    if message.author.bot_id is None:
        event["client_msg_id"] = str(uuid.uuid4())
    events = [(_MESSAGE_EVENTS[message.channel.kind], event)]
    if f"<@{workspace.bot.user_id}>" in message.text and not message.channel.is_im:
        mention = {key: value for key, value in event.items() if key not in ("channel_type", "subtype")}
        events.append(("app_mention", mention | {"type": "app_mention"}))
    return [*events, *(("file_shared", _file_shared(message, file.id)) for file in message.content.shared)]


def _file_shared(message: Message, file_id: str) -> Json:
    where = {"channel_id": message.channel.id, "user_id": message.author.user_id, "event_ts": message.ts}
    return {"type": "file_shared", "file_id": file_id, "file": {"id": file_id}, **where}


def changed_event(workspace: Workspace, message: Message, before: Json, event_ts: str) -> tuple[str, Json]:
    """The event an updated or deleted message raises."""
    event = {"type": "message", "hidden": True, "ts": event_ts, "previous_message": before}
    if message.deleted:
        event |= {"subtype": "message_deleted", "deleted_ts": message.ts}
    else:
        event |= {"subtype": "message_changed", "message": message.to_json()}
    return _MESSAGE_EVENTS[message.channel.kind], event | _where(workspace, message.channel, event_ts)


def home_opened_event(person: Person, channel: Channel, event_ts: str) -> tuple[str, Json]:
    """Somebody looks at the App Home."""
    event = {"type": "app_home_opened", "user": person.id, "channel": channel.id, "tab": "home", "event_ts": event_ts}
    return "app_home_opened", event


def _shown_name(channel: Channel) -> str:
    """slack-platform §4.2: display only; outside public channels it says no more than the kind."""
    return {"im": "directmessage", "group": "privategroup"}.get(channel.kind, channel.name)


def _where(workspace: Workspace, channel: Channel, event_ts: str) -> Json:
    return {"team": workspace.team_id, "channel": channel.id, "channel_type": channel.kind, "event_ts": event_ts}


def _on_message(message: Message) -> Json:
    """Where on a message something was used; ephemeral ones are not sent along."""
    container = {
        "type": "message",
        "message_ts": message.ts,
        "channel_id": message.channel.id,
        "is_ephemeral": message.visible_to is not None,
    }
    if message.thread_ts:
        container["thread_ts"] = message.thread_ts
    channel = {"id": message.channel.id, "name": _shown_name(message.channel)}
    sent = {"message": message.to_json()} if message.visible_to is None else {}
    return {"container": container, "channel": channel, **sent}


def _on_view(workspace: Workspace, person: Person, view: View) -> Json:
    return {"container": {"type": "view", "view_id": view.id}, "view": view_json(workspace, person, view)}


def _interaction(workspace: Workspace, person: Person, kind: str) -> Json:
    return {
        "type": kind,
        "token": _VERIFICATION_TOKEN,
        "user": {"id": person.id, "username": person.name, "name": person.name, "team_id": workspace.team_id},
        "team": {"id": workspace.team_id, "domain": workspace.domain},
        "api_app_id": workspace.bot.app_id,
        "enterprise": None,
        "is_enterprise_install": False,
    }
