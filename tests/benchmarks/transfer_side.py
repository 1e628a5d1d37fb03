"""The bot's way for files in a process of its own: what carries them, between both adapters, and nothing else."""

from __future__ import annotations

import asyncio
import gc
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from slack_sdk.web.async_client import AsyncWebClient

from bot.bootstrap import SystemClock
from bot.core import events as saw
from bot.core.model import Attachment, AttachmentStatus, FileKind, OutFile, Run
from bot.core.out_files import key_of
from bot.dify.client import DifyClient
from bot.services.descriptions import Descriptions
from bot.services.file_carrier import FileCarrier
from bot.services.limits import ServerLimits
from bot.slack.gateway import SlackGateway
from tests.benchmarks.children import serve
from tests.factories import make_attachment, make_run


class TransferSide:
    """What the benchmark asks of the process that carries files."""

    def __init__(self) -> None:
        self._open = AsyncExitStack()
        self._run: Run = make_run(workflow_run_id="run-id")

    async def __aenter__(self) -> TransferSide:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()

    async def connect(self, slack: dict[str, str], dify_url: str, dify_key: str) -> None:
        """Get to know both platforms."""
        api = AsyncWebClient(token=slack["token"], base_url=slack["api_url"])
        self._gateway = await self._open.enter_async_context(SlackGateway(api, 1000.0))
        self._client = await self._open.enter_async_context(DifyClient(dify_url, dify_key))
        self._descriptions = Descriptions(lambda _: self._client, {self._run.app: ServerLimits(8)}, SystemClock())
        self._open.push_async_callback(self._descriptions.close)
        self._carrier = self._new_carrier()

    def _new_carrier(self) -> FileCarrier:
        return FileCarrier(self._gateway, lambda _: self._client, self._descriptions)

    async def pull(self, files: list[dict[str, Any]], together: bool) -> dict[str, Any]:
        """Carry files from Slack to Dify, all asked for at the same time.

        With `together` each has a carrier of its own, so that none waits for another.
        """
        carriers = [self._new_carrier() if together else self._carrier for _ in files]
        pulls = (carrier.pull(self._run, _attachment(file)) for carrier, file in zip(carriers, files, strict=True))
        return await _measured(asyncio.gather(*pulls))

    async def fetch(self, name: str, url: str) -> dict[str, Any]:
        """Carry a file from Dify to Slack."""
        return await _measured(asyncio.gather(self._carrier.fetch(self._run, OutFile(key_of(url), name, url))))

    async def carry(self, files: list[dict[str, Any]], urls: list[str]) -> dict[str, Any]:
        """Carry files both ways at the same time; of those from Dify, every other one is an image."""
        pulls = [self._carrier.pull(self._run, _attachment(file)) for file in files]
        given = [OutFile(key_of(url), "film.mp4", url, is_image=number % 2 == 0) for number, url in enumerate(urls)]
        return await _measured(asyncio.gather(*pulls, *(self._carrier.fetch(self._run, file) for file in given)))


async def _measured(work: asyncio.Future[list[Any]]) -> dict[str, Any]:
    """Return the ids that the files got, and what carrying them took of memory, time and disk."""
    gc.collect()
    before, written = _forget_peak(), _written()
    began = time.monotonic()
    events = await work
    took = time.monotonic() - began
    return {
        "ids": [each.upload_file_id if isinstance(each, saw.FileUploaded) else each.slack_file_id for each in events],
        "peak_mb": (_status("VmHWM") - before) / 1024,
        "seconds": took,
        "written": _written() - written,
    }


def _forget_peak() -> int:
    """Let the peak of the resident memory be what it is now, and return that in KB (proc(5), clear_refs)."""
    Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def _status(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))


def _written() -> int:
    """Return the bytes that this process wrote to any file, also to one in memory: sockets do not count (proc(5), io).

    Only the reset of the peak does, which is before the first look.
    """
    lines = Path("/proc/self/io").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("wchar:"))


def _attachment(file: dict[str, Any]) -> Attachment:
    return make_attachment(
        name=file["name"],
        slack_file_id=file["id"],
        mime_type="",
        kind=FileKind.CUSTOM,
        upload_file_id=None,
        status=AttachmentStatus.PULLING,
    )


async def _main() -> None:
    async with TransferSide() as side:
        await serve(side)


if __name__ == "__main__":
    asyncio.run(_main())
