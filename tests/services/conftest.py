"""A stage of each test's own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, MutableMapping
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.services.stage import Stage, open_stage


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
