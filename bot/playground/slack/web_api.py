"""Slack's Web API methods, as functions from arguments to an answer; what Slack refuses is raised as `Refusal`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bot.playground.slack import payloads, responses, streams
from bot.playground.slack.content import (
    UPDATE_TEXT_MAX,
    checked_content,
    checked_thread,
    flag,
    parsed,
)
from bot.playground.slack.refusals import Refusal
from bot.playground.slack.state import Channel, Content, Message, View
from bot.playground.slack.text import Json, normalise

if TYPE_CHECKING:
    from bot.playground.slack.people import Person
    from bot.playground.slack.workspace import Workspace

_HISTORY_MAX = 1000  # objects per page, slack-platform §8.1 (an app a customer builds for itself)
_HISTORY_DEFAULT = 100


@dataclass(frozen=True)
class _Method:
    answer: Callable[[Workspace, Json], Json]
    scope: str | None


_METHODS: dict[str, _Method] = {}


def call(workspace: Workspace, method: str, arguments: Json, token: str | None) -> Json:
    """Answer one Web API call. Raises `Refusal`."""
    if method not in _METHODS:
        raise Refusal("unknown_method", req_method=method)
    _authenticate(workspace, method, token)
    known = _METHODS[method]
    if known.scope:
        _require_scope(workspace, known.scope)
    return {"ok": True, **known.answer(workspace, arguments)}


def _method(name: str, scope: str | None = None) -> Callable[[Callable[[Workspace, Json], Json]], None]:
    def register(answer: Callable[[Workspace, Json], Json]) -> None:
        _METHODS[name] = _Method(answer, scope)

    return register


def _authenticate(workspace: Workspace, method: str, token: str | None) -> None:
    if not token:
        raise Refusal("not_authed")
    if token not in (workspace.bot_token, workspace.app_token):
        raise Refusal("invalid_auth")
    # slack-platform §4.4: the app-level token opens connections and nothing else
    if (token == workspace.app_token) != (method == "apps.connections.open"):
        raise Refusal("not_allowed_token_type")


def _require_scope(workspace: Workspace, scope: str) -> None:
    if scope not in workspace.scopes:  # slack-platform §7.2
        raise Refusal("missing_scope", needed=scope, provided=",".join(sorted(workspace.scopes)))


def _required(arguments: Json, name: str) -> str:
    value = arguments.get(name)
    if value in (None, ""):
        raise Refusal("invalid_arguments", f"[ERROR] missing required field: {name}")
    return str(value)


# --- app and people --------------------------------------------------------------------------------------------------


@_method("auth.test")
def _auth_test(workspace: Workspace, arguments: Json) -> Json:
    return {
        "url": f"{workspace.url}/",
        "team": workspace.name,
        "user": workspace.app_name.lower(),
        "team_id": workspace.team_id,
        "user_id": workspace.bot.user_id,
        "bot_id": workspace.bot.bot_id,
        "is_enterprise_install": False,
    }


@_method("apps.connections.open")
def _connections_open(workspace: Workspace, arguments: Json) -> Json:
    socket_url = workspace.url.replace("http", "ws", 1)
    return {"url": f"{socket_url}/link/?ticket={workspace.tickets.new_socket()}"}


@_method("users.info", scope="users:read")
def _users_info(workspace: Workspace, arguments: Json) -> Json:
    user_id = _required(arguments, "user")
    person = workspace.person_by_id(user_id)
    if person is None and user_id != workspace.bot.user_id:
        raise Refusal("user_not_found")
    name, zone = (person.name, person.zone) if person else (workspace.app_name, "UTC")
    profile = {"real_name": name.title(), "display_name": name}
    user = {"id": user_id, "team_id": workspace.team_id, "name": name, "real_name": name.title(), "deleted": False}
    return {"user": user | {"tz": zone, "is_bot": person is None, "is_app_user": False, "profile": profile}}


# --- channels --------------------------------------------------------------------------------------------------------


def _visible_channel(workspace: Workspace, arguments: Json) -> Channel:
    """The channel named by id. One the bot cannot see does not exist for it (slack-platform §4.2, §12)."""
    channel = workspace.channel_by_id(_required(arguments, "channel"))
    if channel is None or (channel.is_private and workspace.bot.user_id not in channel.members):
        raise Refusal("channel_not_found")
    return channel


def _writable_channel(workspace: Workspace, arguments: Json) -> Channel:
    channel = _visible_channel(workspace, arguments)
    if channel.is_archived:
        raise Refusal("is_archived")
    # slack-platform §4.6: chat:write.public reaches public channels without joining
    if workspace.bot.user_id not in channel.members and "chat:write.public" not in workspace.scopes:
        raise Refusal("not_in_channel")
    return channel


def _history_channel(workspace: Workspace, arguments: Json) -> Channel:
    channel = _visible_channel(workspace, arguments)
    _require_scope(workspace, {"im": "im:history", "group": "groups:history"}.get(channel.kind, "channels:history"))
    if workspace.bot.user_id not in channel.members:
        raise Refusal("not_in_channel")
    return channel


@_method("conversations.info")
def _conversations_info(workspace: Workspace, arguments: Json) -> Json:
    channel = _visible_channel(workspace, arguments)
    _require_scope(workspace, {"im": "im:read", "group": "groups:read"}.get(channel.kind, "channels:read"))
    described = {
        "id": channel.id,
        "name": channel.name,
        "is_channel": not channel.is_im,
        "is_im": channel.is_im,
        "is_private": channel.is_private,
        "is_archived": channel.is_archived,
        "is_member": workspace.bot.user_id in channel.members,
        "context_team_id": workspace.team_id,
    }
    if flag(arguments, "include_num_members"):
        described["num_members"] = len(channel.members)
    return {"channel": described}


@_method("conversations.open", scope="im:write")
def _conversations_open(workspace: Workspace, arguments: Json) -> Json:
    users = _required(arguments, "users").split(",")
    if len(users) > 1:
        raise Refusal("method_not_supported_for_channel_type")  # group direct messages are not modelled
    return {"channel": {"id": workspace.direct_messages(_member(workspace, users[0])).id}}


def _member(workspace: Workspace, user_id: str) -> Person:
    person = workspace.person_by_id(user_id)
    if person is None:
        raise Refusal("user_not_found")
    return person


@_method("conversations.history")
def _conversations_history(workspace: Workspace, arguments: Json) -> Json:
    channel = _history_channel(workspace, arguments)
    return _page(list(reversed(channel.roots)), arguments)


@_method("conversations.replies")
def _conversations_replies(workspace: Workspace, arguments: Json) -> Json:
    channel = _history_channel(workspace, arguments)
    asked_for = channel.message(_required(arguments, "ts"))
    if asked_for is None:
        raise Refusal("thread_not_found")
    if not asked_for.is_root:  # a reply's own ts finds that reply alone
        return _page([asked_for], arguments)
    return _page(channel.replies(asked_for.ts), arguments, always=asked_for)


def _page(messages: list[Message], arguments: Json, always: Message | None = None) -> Json:
    """The messages between `oldest` and `latest`, from `cursor` on; `always` (a thread's root) leads the first page."""
    oldest, latest = _number(arguments, "oldest", 0), _number(arguments, "latest", 1e10)
    inclusive = flag(arguments, "inclusive")
    found = [
        message
        for message in messages
        if oldest < float(message.ts) < latest or (inclusive and float(message.ts) in (oldest, latest))
    ]
    start = _cursor(arguments)
    limit = min(int(_number(arguments, "limit", _HISTORY_DEFAULT)), _HISTORY_MAX)
    rest = found[start + limit :]
    with_metadata = flag(arguments, "include_all_metadata")  # slack-platform §8.3
    page = [always, *found[:limit]] if always and not start else found[start : start + limit]
    return {
        "messages": [message.to_json(with_metadata=with_metadata) for message in page],
        "has_more": bool(rest),
        "response_metadata": {"next_cursor": f"next:{start + limit}" if rest else ""},
    }


def _number(arguments: Json, name: str, default: float) -> float:
    try:
        return float(arguments.get(name) or default)
    except (TypeError, ValueError):
        raise Refusal("invalid_arguments", f"[ERROR] must be a number: {name}") from None


def _cursor(arguments: Json) -> int:
    cursor = str(arguments.get("cursor") or "next:0")
    if not cursor.removeprefix("next:").isdecimal():
        raise Refusal("invalid_cursor")
    return int(cursor.removeprefix("next:"))


# --- messages --------------------------------------------------------------------------------------------------------


@_method("chat.postMessage", scope="chat:write")
def _post_message(workspace: Workspace, arguments: Json) -> Json:
    person = workspace.person_by_id(_required(arguments, "channel"))
    if person:  # slack-platform §4.6: a user id opens a direct message
        arguments = arguments | {"channel": workspace.direct_messages(person).id}
    channel = _writable_channel(workspace, arguments)
    content = checked_content(workspace, arguments)
    thread_ts = checked_thread(channel, arguments.get("thread_ts"))
    message = workspace.post(channel, content, workspace.bot, thread_ts=thread_ts)
    return {"channel": channel.id, "ts": message.ts, "message": message.to_json()}


@_method("chat.postEphemeral", scope="chat:write")
def _post_ephemeral(workspace: Workspace, arguments: Json) -> Json:
    """slack-platform §4.5: the user must be in the channel; nothing can be found or updated later."""
    channel = _writable_channel(workspace, arguments)
    user_id = _required(arguments, "user")
    if user_id not in channel.members:
        raise Refusal("user_not_in_channel")
    content = checked_content(workspace, arguments)
    thread_ts = checked_thread(channel, arguments.get("thread_ts"))
    message = workspace.post(channel, content, workspace.bot, thread_ts=thread_ts, visible_to=user_id)
    return {"message_ts": message.ts}


@_method("chat.update", scope="chat:write")
def _update(workspace: Workspace, arguments: Json) -> Json:
    """slack-platform §2.7: `text` without `blocks` removes the blocks, `blocks` without `text` keeps the text."""
    message = _own_message(workspace, arguments, "cant_update_message")
    if streams.is_open(workspace, message):
        raise Refusal("streaming_state_conflict")  # slack-platform §3.2
    said = {"text": message.text, **arguments} if arguments.get("blocks") else arguments
    content = checked_content(workspace, said, text_max=UPDATE_TEXT_MAX)
    workspace.edit(message, content)
    return {"channel": message.channel.id, "ts": message.ts, "text": message.text, "message": message.to_json()}


@_method("chat.delete", scope="chat:write")
def _delete(workspace: Workspace, arguments: Json) -> Json:
    message = _own_message(workspace, arguments, "cant_delete_message")
    workspace.delete(message)
    return {"channel": message.channel.id, "ts": message.ts}


def _own_message(workspace: Workspace, arguments: Json, not_own: str) -> Message:
    channel = _visible_channel(workspace, arguments)
    if channel.is_archived:
        raise Refusal("is_archived")
    message = channel.message(_required(arguments, "ts"))
    if message is None:  # ephemeral ones, too: slack-platform §2.7
        raise Refusal("message_not_found")
    if message.author != workspace.bot:
        raise Refusal(not_own)
    return message


# --- streamed messages: slack-platform §3 ---------------------------------------------------------------------------


@_method("chat.startStream", scope="chat:write")
def _start_stream(workspace: Workspace, arguments: Json) -> Json:
    channel = _writable_channel(workspace, arguments)
    if any(arguments.get(name) for name in ("username", "icon_emoji", "icon_url")):
        _require_scope(workspace, "chat:write.customize")
    thread_ts = checked_thread(channel, _required(arguments, "thread_ts"))
    message = streams.start(workspace, channel, thread_ts, arguments)
    return {"channel": channel.id, "ts": message.ts}


@_method("chat.appendStream", scope="chat:write")
def _append_stream(workspace: Workspace, arguments: Json) -> Json:
    message = _own_message(workspace, arguments, "message_not_owned_by_app")
    streams.append(workspace, message, arguments)
    return {"channel": message.channel.id, "ts": message.ts}


@_method("chat.stopStream", scope="chat:write")
def _stop_stream(workspace: Workspace, arguments: Json) -> Json:
    message = _own_message(workspace, arguments, "message_not_owned_by_app")
    streams.stop(workspace, message, arguments)
    return {"channel": message.channel.id, "ts": message.ts, "message": message.to_json()}


# --- files: slack-platform §5 ----------------------------------------------------------------------------------------


@_method("files.info", scope="files:read")
def _files_info(workspace: Workspace, arguments: Json) -> Json:
    file = workspace.files.seen(_required(arguments, "file"))
    return {"file": file.info(), "comments": [], "response_metadata": {"next_cursor": ""}}


@_method("files.getUploadURLExternal", scope="files:write")
def _get_upload_url(workspace: Workspace, arguments: Json) -> Json:
    names = ("alt_txt", "snippet_type")
    alt_text, snippet_type = (str(arguments.get(name) or "") for name in names)
    name = _required(arguments, "filename")
    return workspace.files.announce(name, arguments.get("length", ""), alt_text, snippet_type)


@_method("files.completeUploadExternal", scope="files:write")
def _complete_upload(workspace: Workspace, arguments: Json) -> Json:
    """Without a channel the files stay private to the app; with one, a message shows them, whose `ts` is not told."""
    listed = parsed(arguments, "files", list, "invalid_arguments")
    channel = (
        _writable_channel(workspace, {"channel": arguments["channel_id"]}) if arguments.get("channel_id") else None
    )
    thread_ts = checked_thread(channel, arguments.get("thread_ts")) if channel else None
    files = workspace.files.complete(listed or [])
    if channel:
        comment = normalise(str(arguments.get("initial_comment") or ""))
        workspace.post(channel, Content(comment, shared=tuple(files)), workspace.bot, thread_ts=thread_ts)
    return {"files": [{"id": file.id, "title": file.title or file.name} for file in files]}


# --- views -----------------------------------------------------------------------------------------------------------


@_method("views.open")
def _views_open(workspace: Workspace, arguments: Json) -> Json:
    content = responses.checked_view(workspace, _view_argument(arguments), "modal")
    trigger = workspace.tickets.exchange(_required(arguments, "trigger_id"))
    person = _member(workspace, trigger.user_id)
    return _view_answer(workspace, person, responses.show_view(workspace, person, content))


@_method("views.push")
def _views_push(workspace: Workspace, arguments: Json) -> Json:
    """slack-platform §4.1: needs a `trigger_id` from inside the modal."""
    content = responses.checked_view(workspace, _view_argument(arguments), "modal")
    trigger = workspace.tickets.exchange(_required(arguments, "trigger_id"))
    person = _member(workspace, trigger.user_id)
    if not person.views or trigger.view_id not in [view.id for view in person.views]:
        raise Refusal("invalid_trigger_id")
    return _view_answer(workspace, person, responses.show_view(workspace, person, content, on_top_of=person.views[-1]))


@_method("views.update")
def _views_update(workspace: Workspace, arguments: Json) -> Json:
    content = _view_argument(arguments)
    if arguments.get("view_id"):
        view = workspace.view(str(arguments["view_id"]))
    else:
        view = workspace.view_by_external_id(_required(arguments, "external_id"))
    if view is None:
        raise Refusal("not_found")
    if arguments.get("hash") and arguments["hash"] != view.hash:
        raise Refusal("hash_conflict")
    responses.change_view(workspace, view, content)
    return _view_answer(workspace, _member(workspace, view.user_id), view)


@_method("views.publish")
def _views_publish(workspace: Workspace, arguments: Json) -> Json:
    person = _member(workspace, _required(arguments, "user_id"))
    content = _view_argument(arguments)
    if arguments.get("hash") and person.home and arguments["hash"] != person.home.hash:
        raise Refusal("hash_conflict")
    if person.home:
        responses.change_view(workspace, person.home, content)
    else:
        stored = responses.checked_view(workspace, content, "home")
        view_id = workspace.new_id("V")
        person.home = View(view_id, person.id, stored, responses.new_hash(workspace), view_id, None)
        workspace.changed()
    return _view_answer(workspace, person, person.home)


def _view_argument(arguments: Json) -> Json:
    _required(arguments, "view")
    view: Json = parsed(arguments, "view", dict, "invalid_arguments")
    return view


def _view_answer(workspace: Workspace, person: Person, view: View) -> Json:
    answer: dict[str, Any] = payloads.view_json(workspace, person, view)
    return {"view": answer}
