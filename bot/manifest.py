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
    "channels:history": "replies in threads; conversations.replies and .history: own posts, in public channels",
    "chat:write": "chat.postMessage, chat.update, chat.postEphemeral",
    "commands": "the slash command",
    "files:write": "files.getUploadURLExternal, files.completeUploadExternal: the whole of a text that is too long",
    "groups:history": "the same as channels:history, in private channels",
    "im:history": "the same, in the direct messages of a person and the bot",
    "mpim:history": "the same, in direct messages of several people",
}
"""Every scope the bot asks for, and the calls that need it."""

EVENTS: tuple[str, ...] = ("message.channels", "message.groups", "message.im", "message.mpim")
"""Every event the bot listens to: what people say in threads, of which a conversation with a Chatflow is made."""


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
            "bot_user": {"display_name": "dify", "always_online": True},
            "slash_commands": [slash_command],
        },
        "oauth_config": {"scopes": {"bot": sorted(BOT_SCOPES)}},
        "settings": settings,
    }


def as_yaml(mode: Mode, command: str = "/dify") -> str:
    """Return the manifest as text to paste into Slack's “Create an app from a manifest”."""
    return yaml.safe_dump(manifest(mode, command), sort_keys=False, allow_unicode=True)
