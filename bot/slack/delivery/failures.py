"""What goes wrong on the way to Slack, as the bot's own errors (slack-platform §12)."""

from __future__ import annotations

import re

import aiohttp
from slack_sdk.errors import SlackApiError

from bot.errors import ChannelUnreachable, SlackError, SlackRejected, SlackUnauthorized, SlackUnavailable, TriggerUsed

SlackFailure = SlackApiError | aiohttp.ClientError | TimeoutError

_UNREACHABLE = frozenset({"not_in_channel", "channel_not_found", "is_archived"})
_UNREACHABLE_PREFIX = "restricted_action"
_UNAUTHORIZED = frozenset(
    {
        "account_inactive",
        "invalid_auth",
        "missing_scope",
        "no_permission",
        "not_allowed_token_type",
        "not_authed",
        "team_access_not_granted",
        "token_expired",
        "token_revoked",
    }
)
_ADDRESS = re.compile(r"https?://\S+")
_TRIGGER_USED = frozenset({"trigger_exchanged", "exchanged_trigger_id"})
_PASSING = frozenset({"internal_error", "fatal_error", "service_unavailable", "request_timeout"})
_DEFAULT_RETRY_AFTER = 30.0  # seconds; Slack always says itself

CONTENT_REFUSED = frozenset({"msg_too_long", "msg_blocks_too_long", "invalid_blocks", "invalid_blocks_format"})
"""Codes that speak of what a message holds: another rendering of it may be taken."""
MESSAGE_GONE = frozenset({"message_not_found", "cant_update_message", "edit_window_closed"})
"""Codes that say a message can no longer be redrawn."""
THREAD_GONE = frozenset({"thread_not_found", "message_not_found"})
"""Codes of conversations.replies that say that nothing stands there."""
STREAMING = "streaming_state_conflict"
"""Code that says that a message cannot be redrawn before its stream is ended."""
SCOPE_MISSING = frozenset({"missing_scope", "no_permission", "not_allowed_token_type"})
"""Codes that say that a method is not allowed to this app, whatever else is."""
PERSON_ABSENT = frozenset({"user_not_in_channel", "user_not_found", "channel_not_found"})
"""Codes of chat.postEphemeral that say this person cannot be told there."""


def slack_error(failure: SlackFailure) -> SlackError:
    """Return the error that a failed call means for us."""
    if isinstance(failure, SlackApiError):
        return _answered(failure)
    # Without a connection Slack cannot have seen anything.
    unsent = isinstance(failure, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError)
    # An address may be a secret: whoever has that of an upload, or of an answer to a command, may use it.
    said = _ADDRESS.sub("…", str(failure)) or type(failure).__name__
    return SlackUnavailable(f"Slack did not answer: {said}", sent=not unsent)


def refusal_details(failure: SlackApiError) -> list[str]:
    """Return where Slack saw a fault, as JSON pointers."""
    metadata = _body(failure).get("response_metadata")
    messages = metadata.get("messages") if isinstance(metadata, dict) else None
    return [str(message) for message in messages] if isinstance(messages, list) else []


def _answered(failure: SlackApiError) -> SlackError:
    response = failure.response
    # An answer that is no JSON comes as aiohttp's response, all others as the SDK's.
    status = response.status if isinstance(response, aiohttp.ClientResponse) else response.status_code
    return error_of(status, str(_body(failure).get("error", "")), response.headers.get("Retry-After"))


def error_of(status: int, code: str, retry_after: str | None = None) -> SlackError:
    """Return the error that an answer means: its HTTP status, Slack's code if any, and the header Retry-After."""
    text = f"Slack answered {status} {code}".strip()
    if status == 429 or code == "ratelimited":
        seconds = float(retry_after) if retry_after and retry_after.isdecimal() else _DEFAULT_RETRY_AFTER
        return SlackUnavailable(text, code="ratelimited", retry_after=seconds, sent=False)
    if status >= 500 or code in _PASSING or not code:
        return SlackUnavailable(text, code=code or None)
    if code in _UNREACHABLE or code.startswith(_UNREACHABLE_PREFIX):
        return ChannelUnreachable(text, code=code)
    if code in _UNAUTHORIZED:
        return SlackUnauthorized(text, code=code)
    if code in _TRIGGER_USED:
        return TriggerUsed(text, code=code)
    return SlackRejected(text, code=code)


def _body(failure: SlackApiError) -> dict[str, object]:
    body = getattr(failure.response, "data", None)
    return body if isinstance(body, dict) else {}
