"""What people are told of files that could not be carried from one platform to the other."""

from __future__ import annotations

from datetime import timedelta

import pytest

from bot.core import effects as do
from bot.core.effects import FileEffect
from bot.core.ports import SavedEffect
from bot.errors import DifyRejected, FileNotReady, SlackUnauthorized, SlackUnavailable
from bot.services.outcomes import is_worth_waiting, why_not_carried
from tests.factories import NOW

PULL, FETCH = do.PullFile("attachment-1"), do.FetchFile("/files/a")


@pytest.mark.parametrize(
    ("effect", "exc", "sentence"),
    [
        (PULL, SlackUnauthorized("no", code="missing_scope"), "it lacks the scope files:read,"),
        (FETCH, SlackUnauthorized("no", code="missing_scope"), "it lacks the scope files:write,"),
        (PULL, SlackUnauthorized("no", code="token_revoked"), "whoever looks after the bot can put that right."),
        (PULL, FileNotReady("not yet"), "Slack has not finished processing it, or it is empty."),
        (PULL, SlackUnavailable("no answer"), "could not be brought from Slack to Dify in time."),
        (PULL, DifyRejected("It is blocked.", status=400), "Dify does not take it: “It is blocked”."),
        (PULL, DifyRejected("", status=415), "Dify does not take a file like it."),
    ],
)
def test_each_reason_says_whose_it_is_and_what_to_do(effect: FileEffect, exc: Exception, sentence: str) -> None:
    assert sentence in why_not_carried(effect, exc)


@pytest.mark.parametrize(
    ("exc", "minutes", "waits"),
    [
        (FileNotReady("not yet"), 2, True),
        (FileNotReady("not yet"), 4, False),
        (SlackUnavailable("no answer"), 4, True),
        (SlackUnavailable("no answer"), 31, False),
    ],
)
def test_an_empty_file_is_waited_for_less_long_than_an_outage(exc: SlackUnavailable, minutes: int, waits: bool) -> None:
    """Slack tells of it what it tells of one that it still processes, and the form's answer waits for it."""
    saved = SavedEffect(1, "post-1", "run-1", PULL, attempts=1, created_at=NOW)
    assert is_worth_waiting(saved, exc, NOW + timedelta(minutes=minutes)) is waits
