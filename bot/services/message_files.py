"""The files of a message to a Chatflow: which of them go along with it, and what is said of the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from bot.core import effects as do
from bot.core.effects import Effect
from bot.core.files import why_unfit
from bot.core.model import Accepts, ChatMessage, FileLimits, SharedFile
from bot.core.ports import AppDescription, Slack
from bot.core.start_files import query_of, sorted_out
from bot.errors import DifyError
from bot.services.descriptions import LIMITS_WITHIN, Descriptions
from bot.services.shared_files import looked_at


@dataclass(frozen=True, slots=True)
class GoingAlong:
    """What goes along with a message."""

    text: str
    """What is said; where it is nothing but files, their names. Empty where there is nothing to be sent."""
    files: tuple[SharedFile, ...] = ()
    accepts: Accepts = field(default_factory=Accepts)
    """What the app takes."""
    told: tuple[Effect, ...] = ()
    """What whoever wrote it is told of the files that stay."""


class MessageFiles:
    """Sorts out the files of messages, by what their app takes."""

    def __init__(self, slack: Slack, descriptions: Descriptions) -> None:
        self._slack = slack
        self._descriptions = descriptions

    async def going_along(self, app: str, message: ChatMessage) -> GoingAlong:
        """Return what goes along with a message to an app."""
        if not message.files:
            return GoingAlong(message.text)
        description = await self._description(app)
        if description is not None and description.message_files is None:
            return GoingAlong(message.text, told=(do.TellFilesLeftOut(message.user_id, alone=not message.text),))
        # Where nobody knows what the app takes, Dify will say so itself.
        accepts = (description and description.message_files) or Accepts(limit=0)
        known, unknown = await looked_at(self._slack, message.files)
        limits = FileLimits() if description is None else description.file_limits
        files, unfit = sorted_out(known, accepts, limits)
        text = message.text or query_of(files)
        told: tuple[Effect, ...] = ()
        if problems := (*unknown, *unfit):
            told = (do.TellFilesUnfit(message.user_id, problems, alone=not text),)
        return GoingAlong(text, files, accepts, told)

    async def taken(self, app: str, files: Sequence[SharedFile]) -> tuple[SharedFile, ...]:
        """Return those of the files that an app takes with a message, each by itself."""
        description = await self._description(app)
        if description is None:
            return tuple(files)
        accepts = description.message_files
        if accepts is None:
            return ()
        return tuple(file for file in files if why_unfit(file, accepts, description.file_limits) is None)

    async def _description(self, app: str) -> AppDescription | None:
        try:
            return await self._descriptions.within(LIMITS_WITHIN, app)
        except DifyError:
            return self._descriptions.last(app)
