"""A stage of each test's own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, MutableMapping
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.services.stage import PATIENCE, Stage, open_stage

LIMITS = (
    "bot.services.descriptions.LIMITS_WITHIN",
    "bot.services.message_files.LIMITS_WITHIN",
    "bot.services.shared_files.LOOKED_AT_WITHIN",
    "bot.services.starts.OPENS_WITHIN",
    "bot.services.starts.READ_WITHIN",
    "bot.slack.delivery.views._TRIGGER_LIVES",
    "bot.store.database._ACK_SECONDS",
)
"""What the bot allows the platforms and the database while a person waits for an ack or a window."""


@pytest.fixture(autouse=True)
def unhurried() -> Iterator[None]:
    """A machine that is busy with something else changes nothing; a test that is about one of `LIMITS` sets it."""
    with pytest.MonkeyPatch.context() as patched:
        for limit in LIMITS:
            patched.setattr(limit, PATIENCE)
        yield


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    """Both platforms and the bot, which does not work yet."""
    async with open_stage(tmp_path) as stage:
        yield stage


@pytest.fixture
async def bot(stage: Stage) -> AsyncIterator[Stage]:
    """The same, with the bot at work."""
    async with stage.working():
        yield stage


@pytest.fixture(autouse=True)
def logged() -> Iterator[list[MutableMapping[str, Any]]]:
    """What the bot logs, in place of printing it."""
    with capture_logs() as entries:
        yield entries
