"""Files that are carried between the two simulated platforms."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass

import pytest
from aiohttp import web
from slack_sdk.web.async_client import AsyncWebClient

from bot.bootstrap import SystemClock
from bot.core import events as saw
from bot.core.files import MB
from bot.core.model import Attachment, AttachmentStatus, FileKind, OutFile, OutFileStatus
from bot.core.out_files import key_of
from bot.dify.client import DifyClient
from bot.errors import SlackUnavailable
from bot.playground.bodies import whole
from bot.playground.dify import Dify as Simulator
from bot.playground.dify import DifyServer
from bot.playground.dify.apps import content_review
from bot.playground.slack import SlackServer, Workspace
from bot.playground.slack.faults import CutBody, Delay, SlowBody
from bot.playground.slack.rate_limits import RateLimits
from bot.services.descriptions import Descriptions
from bot.services.file_carrier import AT_ONCE, FileCarrier
from bot.services.limits import ServerLimits
from bot.slack.gateway import SlackGateway
from tests.dify.test_client import serving
from tests.factories import file_of, make_attachment, make_run

RUN = make_run(workflow_run_id="run-id")
APP = content_review()
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
SIGNATURE = "timestamp=1&nonce=2&sign=3"


@dataclass(frozen=True)
class Rig:
    """A carrier between two simulated platforms."""

    workspace: Workspace
    simulator: Simulator
    gateway: SlackGateway
    client: DifyClient
    carrier: FileCarrier

    async def shared(self, name: str, content: bytes | tuple[int, bytes]) -> Attachment:
        """Let ann share a file for a form."""
        message = await self.workspace.person("ann").share("content", [(name, content)])
        (file,) = message.content.shared
        return make_attachment(
            name=name,
            slack_file_id=file.id,
            mime_type=file.mimetype,
            size=file.length,
            kind=FileKind.DOCUMENT,
            upload_file_id=None,
            status=AttachmentStatus.PULLING,
        )


def carrier_of(gateway: SlackGateway, client: DifyClient, stack: AsyncExitStack) -> FileCarrier:
    descriptions = Descriptions(lambda _: client, {RUN.app: ServerLimits(8)}, SystemClock())
    stack.push_async_callback(descriptions.close)
    return FileCarrier(gateway, lambda _: client, descriptions)


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    workspace = Workspace(people=["ann"], channels={"content": ["ann", "bot"]}, rate_limits=RateLimits.off())
    simulator = Simulator(apps=[APP])
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(SlackServer(workspace))
        server = await stack.enter_async_context(DifyServer(simulator))
        api = AsyncWebClient(token=workspace.bot_token, base_url=f"{workspace.url}/api/")
        gateway = await stack.enter_async_context(SlackGateway(api, 10_000.0))
        client = await stack.enter_async_context(DifyClient(server.base_url, APP.key, ssl_context=NO_TLS))
        yield Rig(workspace, simulator, gateway, client, carrier_of(gateway, client, stack))


async def test_a_file_goes_from_slack_to_dify(rig: Rig) -> None:
    attachment = await rig.shared("notes.md", (3 * MB, b"a line\n"))
    event = await rig.carrier.pull(RUN, attachment)
    assert isinstance(event, saw.FileUploaded)
    assert event.attachment_id == attachment.attachment_id
    stored = rig.simulator.files.owned(event.upload_file_id, APP.key, RUN.dify_user)
    assert (stored.name, stored.mime_type, stored.body.size) == ("notes.md", "text/markdown", 3 * MB)
    sent = rig.workspace.files.by_id[attachment.slack_file_id or ""].body
    assert sent is not None
    assert stored.body.sha256 == sent.sha256


async def test_a_file_that_breaks_off_on_its_way_is_not_in_dify(rig: Rig) -> None:
    attachment = await rig.shared("notes.md", (3 * MB, b"a line\n"))
    rig.workspace.faults.add("download", CutBody(MB))
    with pytest.raises(SlackUnavailable):
        await rig.carrier.pull(RUN, attachment)
    assert rig.simulator.files.stored == {}
    assert await rig.carrier.pull(RUN, attachment) is not None


async def test_a_file_goes_from_dify_to_slack(rig: Rig) -> None:
    upload_id = await rig.client.upload(RUN, "red dot.png", file_of(b"\x89PNG", mime_type="image/png"))
    url = rig.simulator.files.signed_url(rig.simulator.files.stored[upload_id])
    event = await rig.carrier.fetch(RUN, OutFile(key_of(url), "red dot.png", url, is_image=True))
    assert isinstance(event, saw.OutFileFetched)
    file = rig.workspace.files.by_id[event.slack_file_id]
    assert file.body is not None
    assert (file.name, file.alt_text, whole(file.body)) == ("red dot.png", "red dot.png", b"\x89PNG")


async def test_a_file_whose_length_dify_does_not_tell_is_read_twice(rig: Rig) -> None:
    asked = 0

    async def app(request: web.Request) -> web.StreamResponse:
        nonlocal asked
        asked += 1
        response = web.StreamResponse()
        response.enable_chunked_encoding()
        await response.prepare(request)
        await response.write(b"hello")
        return response

    url = f"/files/tools/x.txt?{SIGNATURE}"
    async with AsyncExitStack() as stack:
        base_url = await stack.enter_async_context(serving(app))
        client = await stack.enter_async_context(DifyClient(base_url, APP.key, ssl_context=NO_TLS))
        carrier = carrier_of(rig.gateway, client, stack)
        event = await carrier.fetch(RUN, OutFile(key_of(url), "x.txt", url))
    assert isinstance(event, saw.OutFileFetched)
    assert rig.workspace.files.by_id[event.slack_file_id].content == b"hello"
    assert asked == 2


async def test_what_is_done_already_is_not_carried_again(rig: Rig) -> None:
    done = OutFile("/files/x", "x", f"/files/x?{SIGNATURE}", status=OutFileStatus.SHARED)
    assert await rig.carrier.fetch(RUN, done) is None
    assert await rig.carrier.pull(RUN, make_attachment()) is None
    assert rig.simulator.requests == []
    assert rig.workspace.calls == []


async def test_only_a_few_files_are_carried_at_once(rig: Rig) -> None:
    """The next one begins when one is done: not even its address is asked for before."""
    attachments = [await rig.shared(f"{number}.md", (MB, b"a line\n")) for number in range(AT_ONCE + 2)]
    rig.workspace.faults.add("download", SlowBody(60), times=AT_ONCE)
    async with asyncio.TaskGroup() as group:
        pulls = [group.create_task(rig.carrier.pull(RUN, attachment)) for attachment in attachments]
        await rig.workspace.wait_for(lambda: len(rig.workspace.files.downloads) == AT_ONCE)
        # The others would have asked for theirs before this is answered.
        await rig.gateway.shared_file(attachments[0].slack_file_id or "")
        assert [call.method for call in rig.workspace.calls] == ["files.info"] * (AT_ONCE + 1)
        for pull in pulls[:AT_ONCE]:
            pull.cancel()
    assert all(pull.result() is not None for pull in pulls[AT_ONCE:])


async def test_slow_files_of_slack_hold_up_none_of_dify(rig: Rig) -> None:
    """An address that Dify signed expires while it waits (dify-api §12.6)."""
    attachments = [await rig.shared(f"{number}.md", (MB, b"a line\n")) for number in range(AT_ONCE)]
    upload_id = await rig.client.upload(RUN, "a.pdf", file_of(b"%PDF"))
    url = rig.simulator.files.signed_url(rig.simulator.files.stored[upload_id])
    rig.workspace.faults.add("download", SlowBody(60), times=AT_ONCE)
    async with asyncio.TaskGroup() as group:
        pulls = [group.create_task(rig.carrier.pull(RUN, attachment)) for attachment in attachments]
        await rig.workspace.wait_for(lambda: len(rig.workspace.files.downloads) == AT_ONCE)
        assert isinstance(await rig.carrier.fetch(RUN, OutFile(key_of(url), "a.pdf", url)), saw.OutFileFetched)
        assert not any(pull.done() for pull in pulls)
        for pull in pulls:
            pull.cancel()


async def test_large_files_of_dify_hold_up_no_image(rig: Rig) -> None:
    """A form may wait for it."""
    upload_ids = [await rig.client.upload(RUN, name, file_of(b"?" * 100)) for name in ("a.mp4", "b.mp4", "c.png")]
    urls = [rig.simulator.files.signed_url(rig.simulator.files.stored[upload_id]) for upload_id in upload_ids]
    films = [OutFile(key_of(url), "film.mp4", url) for url in urls[:2]]
    image = OutFile(key_of(urls[2]), "c.png", urls[2], is_image=True)
    rig.workspace.faults.add("upload", Delay(60), times=AT_ONCE, when=lambda body: body["name"] == "film.mp4")
    async with asyncio.TaskGroup() as group:
        fetches = [group.create_task(rig.carrier.fetch(RUN, film)) for film in films]
        await rig.workspace.wait_for(lambda: len(rig.workspace.calls) == AT_ONCE)
        assert isinstance(await rig.carrier.fetch(RUN, image), saw.OutFileFetched)
        for fetch in fetches:
            fetch.cancel()
