"""Both manifests, and that they ask for what the code uses: no more, no less."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from slack_sdk.web.async_client import AsyncWebClient

from bot.manifest import BOT_SCOPES, EVENTS, REQUEST_URL, Mode, as_yaml, manifest
from bot.slack import ids
from bot.slack.starts import window

ROOT = Path(__file__).parent.parent

HISTORY = {"channels:history", "groups:history", "im:history", "mpim:history"}
SCOPES_OF_CALL = {
    # slack-platform §7.2
    "chat_postMessage": {"chat:write"},
    "chat_update": {"chat:write"},
    "chat_postEphemeral": {"chat:write"},
    "chat_delete": {"chat:write"},
    "chat_startStream": {"chat:write"},
    "chat_appendStream": {"chat:write"},
    "chat_stopStream": {"chat:write"},
    "files_info": {"files:read"},
    "files_getUploadURLExternal": {"files:write"},
    "files_completeUploadExternal": {"files:write"},
    "conversations_replies": HISTORY,
    "conversations_history": HISTORY,
    "auth_test": set(),
    "views_open": set(),
    "views_publish": set(),
    "views_update": set(),
}


def sources() -> str:
    return "\n".join(
        path.read_text(encoding="utf-8")
        for path in sorted((ROOT / "bot").rglob("*.py"))
        if "playground" not in path.parts
    )


def test_the_committed_manifest_is_the_one_for_socket_mode() -> None:
    assert (ROOT / "manifest.yml").read_text(encoding="utf-8") == as_yaml("socket")


def test_the_scopes_are_those_of_the_calls_in_the_code() -> None:
    # By the client's own method, or by Slack's name of it.
    found = re.findall(r"[.\"]((?:chat|conversations|auth|views|users|files|reactions)[_.]\w+)\b", sources())
    calls = {call.replace(".", "_") for call in found}
    # What else is called alike is no call: a setting, or a function of a module `files`.
    calls = {call for call in calls if hasattr(AsyncWebClient, call)}
    unknown = calls - SCOPES_OF_CALL.keys()
    assert not unknown, f"say in SCOPES_OF_CALL which scopes these calls need: {sorted(unknown)}"
    needed = set().union(*(SCOPES_OF_CALL[call] for call in calls)) | {"commands"}
    assert set(BOT_SCOPES) == needed


def test_the_events_are_those_that_the_listeners_take() -> None:
    taken = set(re.findall(r"app\.event\(\s*\"([\w.]+)\"", sources()))
    assert {event.partition(".")[0] for event in EVENTS} == taken


def test_each_event_has_the_scope_that_it_needs() -> None:
    """slack-platform §7.3: a message event comes by the history scope of its kind of channel."""
    kinds = {event.removeprefix("message.") for event in EVENTS} - {"app_home_opened"}
    assert {f"{kind}:history" for kind in kinds} == HISTORY


@pytest.mark.parametrize("mode", ["socket", "http"])
def test_the_manifest_keeps_slacks_limits(mode: Mode) -> None:
    """slack-platform §7.1."""
    made = manifest(mode, "/review")
    assert len(made["display_information"]["name"]) <= 35
    assert len(made["display_information"]["description"]) <= 140
    (command,) = made["features"]["slash_commands"]
    assert command["command"] == "/review"
    assert len(command["usage_hint"]) <= 1000
    assert command["should_escape"] is True
    assert yaml.safe_load(as_yaml(mode, "/review")) == made


def test_the_shortcut_is_the_one_that_the_listener_takes() -> None:
    """Its name has at most 24 characters (slack-platform §7.1)."""
    for mode in ("socket", "http"):
        (shortcut,) = manifest(mode)["features"]["shortcuts"]
        assert (shortcut["type"], shortcut["callback_id"]) == ("message", ids.RUN_WITH_MESSAGE)
        assert shortcut["name"] == window.SHORTCUT
        assert len(shortcut["name"]) <= 24
        assert len(shortcut["description"]) <= 150


def test_socket_mode_names_no_address_and_http_names_each() -> None:
    assert REQUEST_URL not in as_yaml("socket")
    over_http = manifest("http")
    assert over_http["settings"]["socket_mode_enabled"] is False
    assert over_http["settings"]["interactivity"]["request_url"] == REQUEST_URL
    assert over_http["features"]["slash_commands"][0]["url"] == REQUEST_URL
