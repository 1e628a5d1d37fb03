"""The Slack app's manifest, for both transports from one source.

`manifest.yml` at the top level is the one for Socket Mode.
"""

from __future__ import annotations

from typing import Any, Literal

import yaml

Mode = Literal["socket", "http"]

REQUEST_URL = "https://YOUR-HOST/slack/events"
"""Stands in the HTTP manifest where Slack wants to know the bot's own address."""

BOT_SCOPES: dict[str, str] = {
    "channels:history": "what is said in threads and to the bot; conversations.replies, .history: in public channels",
    "chat:write": "chat.postMessage, chat.update, chat.delete, chat.postEphemeral, and the calls that stream a text",
    "commands": "the slash command, and the shortcut on messages",
    "files:read": "files.info and private addresses: files that people share for a form or a start",
    "files:write": "files.getUploadURLExternal, files.completeUploadExternal: what a run gives out, and long texts",
    "groups:history": "the same as channels:history, in private channels",
    "im:history": "the same, in the direct messages of a person and the bot",
    "mpim:history": "the same, in direct messages of several people",
}
"""Every scope the bot asks for, and the calls that need it."""

SHORTCUT_ID, SHORTCUT = "start.message", "Run a Dify app"
"""The shortcut in the menu of every message: how Slack names it to the bot, and to people."""

EVENTS: tuple[str, ...] = ("app_home_opened", "message.channels", "message.groups", "message.im", "message.mpim")
"""Every event the bot listens to: what people say in threads, of which a conversation with a Chatflow is made, and to
the bot elsewhere; and that somebody looks at the app's Home, which is told of without any scope."""


def manifest(mode: Mode, command: str = "/dify") -> dict[str, Any]:
    """Return the manifest as Slack's schema wants it; Socket Mode leaves every address out (slack-platform §7.1)."""
    over_http = mode == "http"
    slash_command: dict[str, Any] = {
        "command": command,
        "description": "Start a Dify app",
        "usage_hint": 'APP words | APP key=value other="with spaces" | help',
        # Mentions and links arrive as tokens with an id instead of as text that cannot be resolved (§4.2).
        "should_escape": True,
    }
    interactivity: dict[str, Any] = {"is_enabled": True}
    if over_http:
        slash_command["url"] = REQUEST_URL
        interactivity["request_url"] = REQUEST_URL
    settings: dict[str, Any] = {
        "interactivity": interactivity,
        "org_deploy_enabled": False,
        "socket_mode_enabled": not over_http,
        "token_rotation_enabled": False,
    }
    if EVENTS:
        subscriptions: dict[str, Any] = {"bot_events": list(EVENTS)}
        settings["event_subscriptions"] = {**subscriptions, **({"request_url": REQUEST_URL} if over_http else {})}
    return {
        "_metadata": {"major_version": 2, "minor_version": 1},
        "display_information": {
            "name": "Dify",
            "description": "Run Dify workflows and answer their forms without leaving Slack",
            "background_color": "#1c3fa8",
        },
        "features": {
            # People write in the threads of the Messages tab, so it is not read-only.
            "app_home": {
                "home_tab_enabled": True,
                "messages_tab_enabled": True,
                "messages_tab_read_only_enabled": False,
            },
            "bot_user": {"display_name": "dify", "always_online": True},
            "shortcuts": [
                {
                    "name": SHORTCUT,
                    "type": "message",
                    "callback_id": SHORTCUT_ID,
                    "description": "Start a Dify app with this message and its files",
                }
            ],
            "slash_commands": [slash_command],
        },
        "oauth_config": {"scopes": {"bot": sorted(BOT_SCOPES)}},
        "settings": settings,
    }


def as_yaml(mode: Mode, command: str = "/dify") -> str:
    """Return the manifest as text to paste into Slack's “Create an app from a manifest”."""
    return yaml.safe_dump(manifest(mode, command), sort_keys=False, allow_unicode=True)
