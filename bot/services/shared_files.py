"""What Slack tells of files whose payload leaves it out."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import structlog

from bot.core.model import FileProblem, SharedFile
from bot.core.ports import Slack
from bot.errors import FileNotReady, FileUnavailable, SlackError
from bot.services.outcomes import STILL_PROCESSING

log = structlog.get_logger(__name__)

LOOKED_AT_WITHIN = 1.0
"""Seconds for Slack to say what a file is: whoever shared or chose it waits for an ack."""

_NAMELESS = "A file"
_NOT_LOOKED_AT = "Slack did not say what it is: share it here once more to try again."


async def looked_at(
    slack: Slack, files: Iterable[SharedFile]
) -> tuple[tuple[SharedFile, ...], tuple[FileProblem, ...]]:
    """Return the files with what Slack left out of its payload (slack-platform §5.2), and why others cannot be had."""
    answers = await asyncio.gather(*(_known_soon(slack, file) for file in files))
    found = tuple(each for each in answers if isinstance(each, SharedFile))
    return found, tuple(each for each in answers if isinstance(each, FileProblem))


async def known(slack: Slack, file: SharedFile) -> SharedFile | FileProblem:
    """Return a file with what Slack left out of its payload, or why it cannot be had.

    Raises:
        SlackError: Slack does not say what it is.
    """
    if file.unavailable:
        return FileProblem(file.name or _NAMELESS, file.unavailable)
    if file.name:
        return file
    try:
        return await slack.shared_file(file.file_id)
    except FileUnavailable as exc:
        return FileProblem(_NAMELESS, str(exc))


async def _known_soon(slack: Slack, file: SharedFile) -> SharedFile | FileProblem:
    try:
        async with asyncio.timeout(LOOKED_AT_WITHIN):
            return await known(slack, file)
    except FileNotReady:
        return FileProblem(_NAMELESS, STILL_PROCESSING)
    except (SlackError, TimeoutError) as exc:
        log.warning("a file is not known", error=str(exc))
        return FileProblem(_NAMELESS, _NOT_LOOKED_AT)
