"""Files that go through the bot: what it takes of memory, time and disk."""

from __future__ import annotations

from typing import Any

from tests.benchmarks import transfer_side
from tests.benchmarks.children import Child
from tests.benchmarks.dify_side import APPS
from tests.benchmarks.effort import Effort, Row
from tests.benchmarks.rig import open_platforms

_MANY = 10


async def transfers(effort: Effort) -> list[Row]:
    """Peak memory of one large file each way, of ten at once, and of ten each way; bytes written to files."""
    async with open_platforms() as platforms, Child(transfer_side.__name__) as carrier:
        slack, dify = platforms.slack, platforms.dify
        await carrier.call(
            "connect", slack=platforms.slack_of["bot"], dify_url=platforms.dify_url, dify_key=APPS[0].key
        )

        async def pulled(count: int, size: int, *, together: bool = False) -> dict[str, Any]:
            files = await slack.call("share", names=[f"{number}.mp4" for number in range(count)], size=size)
            carried = await carrier.call("pull", files=files, together=together)
            await dify.call("check_files", ids=carried["ids"], size=size)
            return dict(carried)

        # What is loaded at the first transfer stays.
        await pulled(2, 100_000)
        alone = await pulled(1, effort.large_file)
        url = await dify.call("signed_url", upload_id=alone["ids"][0])
        out = await carrier.call("fetch", name="film.mp4", url=url)
        await slack.call("check_files", ids=out["ids"], size=effort.large_file)
        many = await pulled(_MANY, effort.file)
        urls = [await dify.call("signed_url", upload_id=each) for each in many["ids"]]
        files = await slack.call("share", names=[f"{number}.mp4" for number in range(_MANY)], size=effort.file)
        both = await carrier.call("carry", files=files, urls=urls)
        await dify.call("check_files", ids=both["ids"][:_MANY], size=effort.file)
        await slack.call("check_files", ids=both["ids"][_MANY:], size=effort.file)
        together = await pulled(_MANY, effort.file, together=True)
    large, small = (f"{size / 1e6:g} MB" for size in (effort.large_file, effort.file))
    return [
        *_rows("files_1_in", alone, f"one file of {large}, Slack → Dify"),
        *_rows("files_1_out", out, f"one file of {large}, Dify → Slack"),
        *_rows(f"files_{_MANY}_in", many, f"{_MANY} files of {small} at once, Slack → Dify, of which some wait"),
        *_rows(f"files_{_MANY}_both_ways", both, f"{_MANY} files of {small} each way at once, of which most wait"),
        *_rows(f"files_{_MANY}_together", together, f"the same {_MANY} if none waited"),
    ]


def _rows(key: str, carried: dict[str, Any], situation: str) -> list[Row]:
    return [
        Row(f"{key}_peak_mb", carried["peak_mb"], f"resident memory at its peak, above that before; {situation}"),
        Row(f"{key}_written_bytes", carried["written"], "bytes written to files meanwhile, on any disk or in memory"),
        Row(f"{key}_s", carried["seconds"], "from the first request to the last answer"),
    ]
