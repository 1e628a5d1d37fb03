"""Carries files from one platform to the other, piece by piece: nothing of them is kept here."""

from __future__ import annotations

import asyncio
import mimetypes
from collections.abc import Callable
from dataclasses import replace

from bot.core import events as saw
from bot.core.events import LifecycleEvent
from bot.core.files import MB, extension, size_limit
from bot.core.model import Attachment, AttachmentStatus, OutFile, OutFileStatus, Run
from bot.core.ports import Dify, FileContent, Slack
from bot.services.descriptions import Descriptions

AT_ONCE = 2
"""Files that a process carries at the same time of each sort: those from Slack, those from Dify, and images from Dify;
the rest wait. None waits for another sort: addresses of Dify die while a slow file of Slack's is pulled, and large
files are not to keep people from a form that waits for its image. Each takes a few pieces of memory, however large it
is, and one of the connections of its Dify server, of which streams leave few (recording 22)."""
MAX_SIZE = 1024 * MB
"""Bytes of a file that Slack takes (slack-platform §5.4)."""
SHOWN_INLINE = frozenset({"png", "jpg", "jpeg", "gif"})
"""Images that Slack shows in blocks; it refuses a message with any other one [believed]."""

EMPTY = "it is empty, and Slack takes no empty files."
TOO_LARGE = "it is larger than the 1 GB that Slack takes. It is kept in Dify's log of this run."


class FileCarrier:
    """Pulls what people give into Dify, and fetches what runs give out into Slack."""

    def __init__(self, slack: Slack, dify_of: Callable[[str], Dify], descriptions: Descriptions) -> None:
        """`dify_of` gives the client of an app."""
        self._slack = slack
        self._dify_of = dify_of
        self._descriptions = descriptions
        self._pulls = asyncio.Semaphore(AT_ONCE)
        self._fetches = asyncio.Semaphore(AT_ONCE)
        self._fetches_of_images = asyncio.Semaphore(AT_ONCE)

    async def pull(self, run: Run, attachment: Attachment) -> LifecycleEvent | None:
        """Pull a file from Slack and upload it to Dify; None where that is not wanted any more.

        What an earlier try may have uploaded is of no use to anybody and belongs to no run (dify-api §12.1).

        Raises:
            SlackError: Slack does not give it.
            DifyError: Dify does not take it.
        """
        if attachment.status is not AttachmentStatus.PULLING or run.status.ended:
            return None
        assert attachment.slack_file_id is not None, "a link is not pulled"
        largest = size_limit(attachment.name, await self._descriptions.file_limits(run.app))
        dify = self._dify_of(run.app)
        # A place first: what is read while it waits may be cut off, and an address that Dify signed expires.
        async with self._pulls, self._slack.download(attachment.slack_file_id, largest) as content:
            typed = replace(content, mime_type=attachment.mime_type or content.mime_type)
            upload_id = await dify.upload(run, attachment.name, typed)
        return saw.FileUploaded(attachment.attachment_id, upload_id)

    async def fetch(self, run: Run, file: OutFile) -> LifecycleEvent | None:
        """Fetch a file from Dify and give it to Slack, where nobody sees it yet; None where that is done.

        What an earlier try may have given to Slack is seen by nobody.

        Raises:
            DifyError: Dify does not give it.
            SlackError: Slack does not take it.
        """
        if file.status is not OutFileStatus.SEEN:
            return None
        dify = self._dify_of(run.app)
        places = self._fetches_of_images if file.is_image else self._fetches
        async with places, dify.download(run, file.url) as content:
            if content.size is None:
                # Slack wants to know it beforehand, and nothing is kept here: such a file is read twice.
                content = replace(content, size=await _size(dify, run, file))
            if not content.size:
                return saw.OutFileMissed(file.key, EMPTY)
            if content.size > MAX_SIZE:
                return saw.OutFileMissed(file.key, TOO_LARGE)
            return await self._give(file, content)

    async def _give(self, file: OutFile, content: FileContent) -> LifecycleEvent:
        name = _with_extension(file.name, content.mime_type)
        slack_file_id = await self._slack.upload(name, content, file.name if file.is_image else "")
        is_image = extension(name) in SHOWN_INLINE
        inline = file.inline and is_image
        if inline:
            await self._slack.keep(slack_file_id, file.name)
        return saw.OutFileFetched(file.key, slack_file_id, inline, is_image)


async def _size(dify: Dify, run: Run, file: OutFile) -> int:
    size = 0
    async with dify.download(run, file.url) as content:
        async for piece in content.chunks:
            size += len(piece)
            if size > MAX_SIZE:
                break
    return size


def _with_extension(name: str, mime_type: str) -> str:
    """Return a name by which Slack can tell what a file is: what a text calls an image has often no extension."""
    return name if extension(name) else name + (mimetypes.guess_extension(mime_type) or "")
