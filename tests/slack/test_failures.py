"""What goes wrong on the way to Slack, by kind."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.web.async_slack_response import AsyncSlackResponse

from bot.errors import ChannelUnreachable, SlackError, SlackRejected, SlackUnauthorized, SlackUnavailable
from bot.slack.delivery.failures import SlackFailure, refusal_details, slack_error


def failure(status: int, body: Any, headers: dict[str, str] | None = None) -> SlackApiError:
    """Return what the SDK raises for an answer."""
    response = AsyncSlackResponse(
        client=AsyncWebClient(),
        http_verb="POST",
        api_url="http://127.0.0.1/api/chat.postMessage",
        req_args={},
        data=body,
        headers=headers or {},
        status_code=status,
    )
    return SlackApiError("refused", response)


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (200, "not_in_channel", ChannelUnreachable),
        (200, "channel_not_found", ChannelUnreachable),
        (200, "is_archived", ChannelUnreachable),
        (200, "restricted_action", ChannelUnreachable),
        (200, "restricted_action_thread_only_channel", ChannelUnreachable),
        (200, "invalid_blocks", SlackRejected),
        (200, "missing_scope", SlackUnauthorized),
        (200, "invalid_auth", SlackUnauthorized),
        (200, "message_not_found", SlackRejected),
        (200, "internal_error", SlackUnavailable),
        (200, "fatal_error", SlackUnavailable),
        (200, "service_unavailable", SlackUnavailable),
        (200, "request_timeout", SlackUnavailable),
        (200, "ratelimited", SlackUnavailable),
        (503, "", SlackUnavailable),
    ],
)
def test_every_code_has_its_class(status: int, code: str, expected: type[SlackError]) -> None:
    """slack-platform §12; the code stays readable, nothing is guessed from a text."""
    error = slack_error(failure(status, {"ok": False, "error": code} if code else {}))
    assert type(error) is expected
    assert error.code == (code or None)


def test_a_429_says_how_long_to_wait_and_that_nothing_was_done() -> None:
    """So it can be sent again without a look."""
    error = slack_error(failure(429, {"ok": False, "error": "ratelimited"}, {"Retry-After": "7"}))
    assert isinstance(error, SlackUnavailable)
    assert (error.retry_after, error.sent) == (7.0, False)


@pytest.mark.parametrize("body", [{}, "<html>", None])
def test_an_answer_that_is_no_json_may_have_been_carried_out(body: Any) -> None:
    """A proxy's page, for example."""
    error = slack_error(failure(502, body))
    assert isinstance(error, SlackUnavailable)
    assert error.sent


@pytest.mark.parametrize(
    ("cause", "sent"),
    [
        (aiohttp.ServerDisconnectedError(), True),
        (aiohttp.ClientPayloadError("cut"), True),
        (TimeoutError(), True),
        (aiohttp.ConnectionTimeoutError("no connection"), False),
    ],
)
def test_a_lost_answer_is_told_from_a_missing_connection(cause: SlackFailure, sent: bool) -> None:
    """Only without a connection is it sure that nothing was done."""
    error = slack_error(cause)
    assert isinstance(error, SlackUnavailable)
    assert error.sent is sent


def test_the_address_of_an_upload_is_not_told() -> None:
    """aiohttp puts it into its complaint, and it is good for whoever has it (slack-platform §5.4)."""
    error = slack_error(
        aiohttp.ClientOSError(32, "Can not write request body for https://files.slack.com/upload/v1/x9")
    )
    assert "x9" not in str(error)
    assert "Can not write" in str(error)


def test_slacks_pointers_are_kept_for_the_log() -> None:
    """They name the block at fault."""
    body = {
        "ok": False,
        "error": "invalid_blocks",
        "response_metadata": {"messages": ["[ERROR] … [json-pointer:/blocks/0]"]},
    }
    assert refusal_details(failure(200, body)) == ["[ERROR] … [json-pointer:/blocks/0]"]
    assert refusal_details(failure(200, {"ok": False, "error": "no_text"})) == []
