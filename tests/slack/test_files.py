"""Files on their way out of Slack and into it, against the simulated workspace over real sockets."""

from __future__ import annotations

import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from slack_sdk.web.async_client import AsyncWebClient

from bot.core.files import MB, PIECE
from bot.core.model import SharedFile
from bot.core.ports import FileContent
from bot.errors import (
    DifyUnavailable,
    FileUnavailable,
    SlackError,
    SlackRejected,
    SlackUnauthorized,
    SlackUnavailable,
)
from bot.playground.elsewhere import Elsewhere
from bot.playground.slack import File, LocalFile, SlackServer, Workspace
from bot.playground.slack.faults import (
    CutBody,
    CutConnection,
    RateLimited,
    Redirect,
    Refuse,
    ServerError,
    SignInPage,
    SlowBody,
    WrongLength,
)
from bot.playground.slack.rate_limits import RateLimits
from bot.slack.delivery import files as files_module
from bot.slack.delivery.files import Files, is_safe, is_slacks
from bot.slack.delivery.web_api import WebApi
from bot.slack.gateway import SlackGateway
from bot.slack.payloads import DELETED, EXTERNAL, HIDDEN, SLACKS_OWN
from tests.factories import file_of

SHORT = 0.05
"""Seconds after which a deadline under test passes; no test needs anything to happen sooner."""
LIMIT = 100 * MB
TOKEN = "xoxb-demo"
PNG = ("shot.png", b"\x89PNG" + bytes(range(256)) * 8)


@pytest.fixture
async def workspace() -> AsyncIterator[Workspace]:
    """A workspace on the network; the bot is in #content and not in #random."""
    workspace = Workspace(
        people=["ann"],
        channels={"content": ["ann", "bot"], "random": ["ann"]},
        rate_limits=RateLimits.off(),
    )
    async with SlackServer(workspace):
        yield workspace


@pytest.fixture
async def gateway(workspace: Workspace) -> AsyncIterator[SlackGateway]:
    """A gateway into the workspace."""
    async with SlackGateway(client(workspace.bot_token, f"{workspace.url}/api/"), 10_000.0) as gateway:
        yield gateway


def client(token: str, api_url: str) -> AsyncWebClient:
    return AsyncWebClient(token=token, base_url=api_url)


async def shared(workspace: Workspace, given: Any, channel: str = "content") -> File:
    """Let ann share a file."""
    (file,) = (await workspace.person("ann").share(channel, [given])).content.shared
    return file


async def read(content: FileContent) -> bytes:
    return b"".join([piece async for piece in content.chunks])


async def collect(content: FileContent, pieces: list[bytes]) -> None:
    async for piece in content.chunks:
        pieces.append(piece)  # noqa: PERF401 - kept although the body breaks off


async def downloaded(gateway: SlackGateway, file: File, max_size: int = LIMIT) -> bytes:
    async with gateway.download(file.id, max_size) as content:
        return await read(content)


async def refused(gateway: SlackGateway, file: File, max_size: int = LIMIT) -> SlackError:
    """Return why a file is not given, as it is told where it is asked for and where it is read."""
    with pytest.raises(SlackError) as caught:
        await downloaded(gateway, file, max_size)
    return caught.value


# --- what Slack knows ------------------------------------------------------------------------------------------------


async def test_a_file_is_what_slack_says_of_it_now(workspace: Workspace, gateway: SlackGateway) -> None:
    """Also one of which the message told nothing but an id: a stub of Slack Connect."""
    file = await shared(workspace, LocalFile("a\u202efdp.exe", b"theirs", "application/pdf", is_stub=True))
    assert await gateway.shared_file(file.id) == SharedFile(file.id, "afdp.exe", "application/pdf", 6)


async def test_a_file_is_read_piece_by_piece(workspace: Workspace, gateway: SlackGateway) -> None:
    file = await shared(workspace, ("film.mp4", (MB, b"frame")))
    async with gateway.download(file.id, LIMIT) as content:
        assert (content.size, content.mime_type) == (MB, "video/mp4")
        pieces = [piece async for piece in content.chunks]
    assert b"".join(pieces) == (b"frame" * MB)[:MB]
    assert max(map(len, pieces)) <= PIECE


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (LocalFile("plan.gdoc", mode="external", address="https://drive.example/plan"), EXTERNAL),
        (LocalFile("old.pdf", mode="hidden_by_limit"), HIDDEN),
        (LocalFile("Notes", b"<p>", "text/html", mode="post"), SLACKS_OWN),
        (LocalFile("Canvas", b"<p>", "application/vnd.slack-docs"), SLACKS_OWN),
    ],
    ids=["external", "hidden", "post", "canvas"],
)
async def test_what_is_no_normal_file_has_a_sentence_of_its_own(
    workspace: Workspace, gateway: SlackGateway, given: LocalFile, sentence: str
) -> None:
    """slack-platform §5.2. None of them is asked for."""
    file = await shared(workspace, given)
    for call in (gateway.shared_file(file.id), downloaded(gateway, file)):
        with pytest.raises(FileUnavailable) as caught:
            await call
        assert str(caught.value) == sentence
    assert workspace.files.downloads == []


async def test_a_deleted_file_is_told_from_one_that_the_bot_may_not_see(
    workspace: Workspace, gateway: SlackGateway
) -> None:
    gone, unseen = await shared(workspace, PNG), await shared(workspace, PNG, channel="random")
    workspace.person("ann").delete_file(gone.id)
    assert [str(await refused(gateway, file)) for file in (gone, unseen)] == [
        DELETED,
        files_module.NOT_SEEN,
    ]


@asynccontextmanager
async def slack_that_says(**info: Any) -> AsyncIterator[SlackGateway]:
    """A gateway to a Slack that says this of every file, and serves none."""

    async def files_info(_: web.Request) -> web.Response:
        return web.json_response({"ok": True, "file": {"id": "F1", "name": "a.pdf"} | info})

    app = web.Application()
    app.router.add_get("/api/files.info", files_info)
    runner = web.AppRunner(app, shutdown_timeout=0.01)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        async with SlackGateway(client(TOKEN, f"http://127.0.0.1:{runner.addresses[0][1]}/api/")) as gateway:
            yield gateway
    finally:
        await runner.cleanup()


PDF: dict[str, Any] = {"mimetype": "application/pdf", "size": 5}


@pytest.mark.parametrize(
    ("info", "sentence"),
    [
        ({"mode": "tombstone"}, DELETED),
        ({"mode": "file_access", "file_access": "check_file_info"}, files_module.FOREIGN),
        (PDF | {"mode": "hosted"}, files_module.FOREIGN),
        (PDF | {"is_external": True, "url_private": "https://drive.example/x"}, EXTERNAL),
        (PDF | {"url_private": "https://files.slack.com.evil.example/x"}, EXTERNAL),
        (PDF | {"url_private": "ftp://files.slack.com/x"}, files_module.NOT_REACHED),
        (PDF | {"url_private": "https://user:pass@files.slack.com/x"}, files_module.NOT_REACHED),
    ],
    ids=["tombstone", "stub stays a stub", "no address", "external", "not Slack's", "no TLS", "with a password"],
)
async def test_what_slack_says_may_leave_nothing_to_ask_for(info: dict[str, Any], sentence: str) -> None:
    async with slack_that_says(**info) as gateway:
        with pytest.raises(FileUnavailable) as caught:
            async with gateway.download("F1", LIMIT):
                pass
    assert str(caught.value) == sentence


async def test_a_file_that_slack_has_not_looked_at_yet_is_asked_for_again(
    workspace: Workspace, gateway: SlackGateway
) -> None:
    file = await shared(workspace, LocalFile(*PNG, is_processed=False))
    error = await refused(gateway, file)
    assert isinstance(error, SlackUnavailable)
    assert error.retry_after is not None
    assert error.retry_after < 10
    workspace.files.process(file.id)
    assert await downloaded(gateway, file) == PNG[1]


# --- where the token goes --------------------------------------------------------------------------------------------

API = "https://slack.com/api/"


@pytest.mark.parametrize(
    ("address", "slacks"),
    [
        ("https://files.slack.com/files-pri/T1-F1/a.png", True),
        ("https://files-origin.slack.com/a.png", True),
        ("https://acme.enterprise.slack.com/files-pri/a.png", True),
        ("https://a.slack-edge.com/a.png", True),
        ("https://FILES.SLACK.COM/a.png", True),
        ("https://slack.com.evil.example/a.png", False),
        ("https://evilslack.com/a.png", False),
        ("https://files.slack.com@evil.example/a.png", False),
        ("https://evil.example/files.slack.com", False),
        ("https://slack-files.com/a.png", False),
        ("", False),
    ],
)
def test_which_hosts_are_slacks(address: str, slacks: bool) -> None:
    assert is_slacks(address, API) is slacks


@pytest.mark.parametrize(
    ("address", "api_url", "safe"),
    [
        ("https://files.slack.com/a", API, True),
        ("http://files.slack.com/a", API, False),
        ("http://127.0.0.1:9000/a", "http://127.0.0.1:9000/api/", True),
        ("https://127.0.0.1:9000/a", "http://127.0.0.1:9000/api/", True),
        ("file:///etc/passwd", "http://127.0.0.1:9000/api/", False),
        ("https://me@files.slack.com/a", API, False),
        ("https:///a", API, False),
        ("/a", API, False),
    ],
)
def test_which_addresses_are_opened(address: str, api_url: str, safe: bool) -> None:
    """Plain HTTP only where the Web API itself is a simulated one."""
    assert is_safe(address, api_url) is safe


async def test_slacks_other_host_gets_the_token_again(workspace: Workspace, gateway: SlackGateway) -> None:
    file = await shared(workspace, PNG)
    workspace.faults.add("download", Redirect(), times=3)
    assert await downloaded(gateway, file) == PNG[1]
    assert [each.had_token for each in workspace.files.downloads] == [True] * 4


async def test_more_than_three_redirects_are_not_followed(workspace: Workspace, gateway: SlackGateway) -> None:
    file = await shared(workspace, PNG)
    workspace.faults.add("download", Redirect(), times=10)
    assert str(await refused(gateway, file)) == files_module.NOT_REACHED
    assert len(workspace.files.downloads) == 4


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_another_host_is_followed_without_the_token(
    workspace: Workspace, gateway: SlackGateway, status: int
) -> None:
    file = await shared(workspace, PNG)
    async with Elsewhere() as elsewhere:
        workspace.faults.add("download", Redirect(elsewhere.put("/a.png", PNG[1], "image/png"), status=status))
        assert await downloaded(gateway, file) == PNG[1]
        assert len(elsewhere.visits) == 1
        assert not elsewhere.saw(TOKEN)


async def test_a_cookie_of_another_host_goes_nowhere(workspace: Workspace, gateway: SlackGateway) -> None:
    file = await shared(workspace, PNG)
    async with Elsewhere() as elsewhere:
        to = elsewhere.put("/a.png", PNG[1], "image/png", headers={"Set-Cookie": "track=me; Path=/"})
        workspace.faults.add("download", Redirect(to), times=2)
        assert [await downloaded(gateway, file) for _ in range(2)] == [PNG[1]] * 2
        assert not any("Cookie" in visit.headers for visit in elsewhere.visits)


async def test_a_way_back_from_another_host_gets_no_token_either(workspace: Workspace, gateway: SlackGateway) -> None:
    """Whoever is there could lead to a call of the Web API that does more than giving a file."""
    file = await shared(workspace, PNG)
    async with Elsewhere() as elsewhere:
        back = elsewhere.put("/back", status=302, headers={"Location": file.url_private})
        workspace.faults.add("download", Redirect(back))
        assert isinstance(await refused(gateway, file), SlackUnauthorized)
    assert [each.had_token for each in workspace.files.downloads] == [True, False]


@pytest.mark.parametrize("to", ["file:///etc/passwd", "ftp://files.slack.com/a", "javascript:alert(1)"])
async def test_what_is_no_web_address_is_not_followed(workspace: Workspace, gateway: SlackGateway, to: str) -> None:
    file = await shared(workspace, PNG)
    workspace.faults.add("download", Redirect(to))
    assert str(await refused(gateway, file)) == files_module.NOT_REACHED


# --- what is not the file --------------------------------------------------------------------------------------------

SOURCE = b"<!DOCTYPE html><html><body>ours</body></html>"


async def test_the_sign_in_page_is_told_from_the_file_and_names_the_scope(
    workspace: Workspace, gateway: SlackGateway
) -> None:
    file = await shared(workspace, PNG)
    workspace.faults.add("download", SignInPage())
    error = await refused(gateway, file)
    assert isinstance(error, SlackUnauthorized)
    assert "files:read" in str(error)


@pytest.mark.parametrize("name", ["page.html", "source.txt"])
async def test_a_page_that_somebody_shared_is_no_sign_in_page(
    workspace: Workspace, gateway: SlackGateway, name: str
) -> None:
    """It is as long as Slack says, and the sign-in page is not."""
    file = await shared(workspace, (name, SOURCE))
    assert await downloaded(gateway, file) == SOURCE
    workspace.faults.add("download", SignInPage())
    assert isinstance(await refused(gateway, file), SlackUnauthorized)


@pytest.mark.parametrize(("size", "whole"), [(len(SOURCE), True), (len(SOURCE) + 1, False)])
async def test_a_page_whose_length_is_not_told_is_known_by_its_end(
    workspace: Workspace, gateway: SlackGateway, size: int, whole: bool
) -> None:
    file = await shared(workspace, ("page.html", SOURCE))
    file.length = size
    workspace.faults.add("download", WrongLength())
    if whole:
        assert await downloaded(gateway, file) == SOURCE
    else:
        assert isinstance(await refused(gateway, file), SlackUnauthorized)


@pytest.mark.parametrize("beginning", [b"<!doctype HTML>", b"\xef\xbb\xbf\r\n <HTML lang=en>"])
async def test_a_page_under_a_false_type_is_told_too(
    workspace: Workspace, gateway: SlackGateway, beginning: bytes
) -> None:
    file = await shared(workspace, PNG)
    async with Elsewhere() as elsewhere:
        page = beginning + bytes(len(PNG[1]) - len(beginning))
        workspace.faults.add("download", Redirect(elsewhere.put("/a.png", page, "image/png")))
        assert isinstance(await refused(gateway, file), SlackUnauthorized)


async def test_a_missing_scope_is_told_before_anything_is_asked_for(
    workspace: Workspace, gateway: SlackGateway
) -> None:
    file = await shared(workspace, PNG)
    workspace.scopes -= {"files:read"}
    for call in (gateway.shared_file(file.id), downloaded(gateway, file)):
        with pytest.raises(SlackUnauthorized, match="files:read"):
            await call


# --- how much there is -----------------------------------------------------------------------------------------------


async def test_a_file_that_is_too_large_is_not_asked_for(workspace: Workspace, gateway: SlackGateway) -> None:
    file = await shared(workspace, ("film.mp4", (3 * MB, b"frame")))
    error = await refused(gateway, file, 2 * MB)
    assert isinstance(error, FileUnavailable)
    assert "2 MB" in str(error)
    assert workspace.files.downloads == []
    assert len(await downloaded(gateway, file, 3 * MB)) == 3 * MB


@pytest.mark.parametrize("fault", [None, WrongLength()], ids=["told", "not told"])
async def test_a_file_that_turns_out_too_large_is_not_read_to_its_end(
    workspace: Workspace, gateway: SlackGateway, fault: WrongLength | None
) -> None:
    """Slack's `size` is not to be trusted (slack-platform §5.3)."""
    file = await shared(workspace, ("film.mp4", (40 * MB, b"frame")))
    file.length = MB
    if fault:
        workspace.faults.add("download", fault)
    pieces: list[bytes] = []
    with pytest.raises(FileUnavailable):
        async with gateway.download(file.id, 2 * MB) as content:
            await collect(content, pieces)
    assert sum(map(len, pieces)) <= 2 * MB


async def test_the_length_of_the_body_counts_where_it_is_more_than_slack_said(
    workspace: Workspace, gateway: SlackGateway
) -> None:
    file = await shared(workspace, PNG)
    file.length -= 10
    async with gateway.download(file.id, LIMIT) as content:
        assert (content.size, await read(content)) == (len(PNG[1]), PNG[1])


@pytest.mark.parametrize(
    "fault",
    [CutBody(0), CutBody(100), WrongLength(-4), WrongLength(10), ServerError(503), RateLimited(7)],
    ids=str,
)
async def test_what_breaks_off_or_is_not_answered_is_tried_again(
    workspace: Workspace, gateway: SlackGateway, fault: Any
) -> None:
    file = await shared(workspace, PNG)
    workspace.faults.add("download", fault)
    error = await refused(gateway, file)
    assert isinstance(error, SlackUnavailable)
    assert (error.retry_after == 7) is isinstance(fault, RateLimited)
    assert await downloaded(gateway, file) == PNG[1]


async def test_a_body_without_a_length_that_ends_early_is_tried_again(
    workspace: Workspace, gateway: SlackGateway
) -> None:
    file = await shared(workspace, PNG)
    file.length += 10
    workspace.faults.add("download", WrongLength())
    assert isinstance(await refused(gateway, file), SlackUnavailable)


async def test_a_body_that_falls_silent_is_given_up(workspace: Workspace) -> None:
    file = await shared(workspace, ("film.mp4", (MB, b"frame")))
    workspace.faults.add("download", SlowBody(60))
    timeout = aiohttp.ClientTimeout(total=60, sock_read=SHORT)
    api = client(workspace.bot_token, f"{workspace.url}/api/")
    async with WebApi(api, 10_000.0, lambda: True, timeout) as web_api:
        with pytest.raises(SlackUnavailable):
            async with Files(web_api).download(file.id, LIMIT) as content:
                await read(content)


@pytest.mark.parametrize(("status", "sentence"), [(404, DELETED), (410, DELETED), (403, files_module.NOT_SEEN)])
async def test_a_file_that_is_gone_since_is_told(
    workspace: Workspace, gateway: SlackGateway, status: int, sentence: str
) -> None:
    file = await shared(workspace, PNG)
    workspace.faults.add("download", ServerError(status))
    error = await refused(gateway, file)
    assert isinstance(error, FileUnavailable)
    assert str(error) == sentence


async def test_any_other_refusal_is_no_word_about_the_file(workspace: Workspace, gateway: SlackGateway) -> None:
    file = await shared(workspace, PNG)
    workspace.faults.add("files.info", Refuse("token_revoked"))
    error = await refused(gateway, file)
    assert isinstance(error, SlackUnauthorized)
    assert "files:read" not in str(error)
    workspace.faults.add("files.info", Refuse("invalid_arguments"))
    assert type(await refused(gateway, file)) is SlackRejected


# --- into Slack ------------------------------------------------------------------------------------------------------


async def test_a_file_is_given_to_slack_and_nobody_sees_it(workspace: Workspace, gateway: SlackGateway) -> None:
    file_id = await gateway.upload("../Grüße\r\n.png", file_of(b"\x89P", b"NG", mime_type="image/png"), "A red dot")
    file = workspace.files.by_id[file_id]
    assert (file.name, file.content, file.alt_text) == ("Grüße.png", b"\x89PNG", "A red dot")
    assert not file.completed
    assert file.messages == []


@pytest.mark.parametrize("size", [4, 6, 2 * MB], ids=["more bytes", "fewer bytes", "far fewer bytes"])
async def test_a_file_of_another_length_than_its_source_said_is_not_in_slack(
    workspace: Workspace, gateway: SlackGateway, size: int
) -> None:
    with pytest.raises(SlackUnavailable, match="more or fewer bytes"):
        await gateway.upload("a.txt", file_of(b"hel", b"lo", size=size))
    assert [file.body for file in workspace.files.by_id.values()] == [None]


async def test_what_the_source_complains_of_is_not_taken_for_slacks_fault(gateway: SlackGateway) -> None:
    async def breaking() -> AsyncIterator[bytes]:
        yield b"hel"
        raise DifyUnavailable("Dify broke off")

    with pytest.raises(DifyUnavailable, match="broke off"):
        await gateway.upload("a.txt", FileContent(breaking(), 5))


@pytest.mark.parametrize("fault", [CutBody(2), CutConnection(), ServerError(503), RateLimited(7)], ids=str)
async def test_an_upload_that_fails_is_tried_again(workspace: Workspace, gateway: SlackGateway, fault: Any) -> None:
    workspace.faults.add("upload", fault)
    with pytest.raises(SlackUnavailable) as caught:
        await gateway.upload("a.txt", file_of(b"hello"))
    assert (caught.value.retry_after == 7) is isinstance(fault, RateLimited)
    assert workspace.files.by_id[await gateway.upload("a.txt", file_of(b"hello"))].content == b"hello"


async def test_an_empty_file_is_refused_without_asking(workspace: Workspace, gateway: SlackGateway) -> None:
    with pytest.raises(SlackRejected, match="empty"):
        await gateway.upload("a.txt", file_of())
    assert workspace.calls == []


async def test_an_upload_says_how_long_it_is_and_shows_no_token(gateway: SlackGateway, workspace: Workspace) -> None:
    """The address holds for it (slack-platform §5.4)."""
    async with Elsewhere() as elsewhere:
        api = client(workspace.bot_token, f"{workspace.url}/api/")
        async with WebApi(api, 10_000.0, lambda: True) as web_api:
            await web_api.upload(elsewhere.put("/upload"), file_of(b"hel", b"lo"))
        ((visit,),) = (elsewhere.visits,)
        assert visit.headers["Content-Length"] == "5"
        assert "Transfer-Encoding" not in visit.headers
        assert not elsewhere.saw(TOKEN)


async def test_a_large_file_is_never_all_in_memory(workspace: Workspace, gateway: SlackGateway) -> None:
    """Neither on its way out nor on its way in; the workspace keeps what is large on disk."""
    size = 24 * MB
    file = await shared(workspace, ("film.mp4", (size, b"frame")))
    await downloaded(gateway, await shared(workspace, PNG))
    tracemalloc.start()
    try:
        async with gateway.download(file.id, LIMIT) as content:
            file_id = await gateway.upload("film.mp4", content)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    body = workspace.files.by_id[file_id].body
    assert body is not None
    assert file.body is not None
    assert (body.size, body.sha256) == (size, file.body.sha256)
    assert peak < 5 * MB, f"{peak} bytes, of both sides"
