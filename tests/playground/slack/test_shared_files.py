"""Files that people share: what the app hears of them, who may fetch them, what can go wrong (slack-platform §5)."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import httpx
import pytest

from bot.playground.bodies import Repeated
from bot.playground.elsewhere import Elsewhere
from bot.playground.slack import File, LocalFile, Workspace
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
from bot.playground.slack.workspace import SCOPES
from tests.playground.slack.conftest import Clock, Serve
from tests.playground.slack.test_web_api import ClientOf, refused_with

Json = dict[str, Any]
PDF = ("Contract 2.pdf", b"%PDF-1.7 the contract")
TOKEN = "xoxb-demo"
MB = 1024 * 1024


async def get(url: str, token: str | None = TOKEN) -> httpx.Response:
    """Ask for an address without following anything."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with httpx.AsyncClient(headers=headers, verify=False) as client:
        return await client.get(url)


async def is_sign_in_page(url: str, token: str | None = TOKEN) -> bool:
    """Whether the answer is the page that looks like success (slack-platform §5.3)."""
    answer = await get(url, token)
    is_page = answer.headers["content-type"].startswith("text/html") and answer.text.startswith("<!DOCTYPE html>")
    return answer.status_code == 200 and is_page


def events(workspace: Workspace) -> list[Json]:
    """Everything the app was told."""
    return [delivery.payload["event"] for delivery in workspace.deliveries]


async def shared(workspace: Workspace, *files: Any, channel: str = "content") -> list[File]:
    """Let ann share files, and return them."""
    message = await workspace.person("ann").share(channel, files)
    return list(message.content.shared)


# --- sharing ---------------------------------------------------------------------------------------------------------


async def test_a_message_with_files_tells_the_app_three_times(serve: Serve) -> None:
    """slack-platform §5.1: `file_share`, its twin for a mention, and `file_shared`, which tells hardly anything."""
    workspace, _ = await serve(events=["message.channels", "app_mention", "file_shared"])
    root = await workspace.person("ben").post("content", "root")
    await workspace.person("ann").share("content", [PDF, ("a.png", b"\x89PNG")], "@Dify look", root.ts)
    _, message, mention, *told = events(workspace)
    assert (message["subtype"], message["thread_ts"], message["channel_type"]) == ("file_share", root.ts, "channel")
    assert "subtype" not in mention
    assert (mention["type"], mention["ts"]) == ("app_mention", message["ts"])
    assert mention["files"] == message["files"]
    assert [event["file_id"] for event in told] == [file["id"] for file in message["files"]]
    assert told[0].keys() == {"type", "file_id", "file", "channel_id", "user_id", "event_ts"}
    contract, picture = message["files"]
    assert contract["url_private"] == f"{workspace.url}/files-pri/T0DEMO-{contract['id']}/contract_2.pdf"
    assert (
        contract["url_private_download"] == f"{workspace.url}/files-pri/T0DEMO-{contract['id']}/download/contract_2.pdf"
    )
    assert {name: contract[name] for name in ("name", "title", "mimetype", "filetype", "pretty_type", "size")} == {
        "name": "Contract 2.pdf",
        "title": "Contract 2.pdf",
        "mimetype": "application/pdf",
        "filetype": "pdf",
        "pretty_type": "PDF",
        "size": len(PDF[1]),
    }
    assert (contract["user"], contract["mode"], contract["is_external"], contract["is_public"]) == (
        "U0ANN",
        "hosted",
        False,
        True,
    )
    assert (picture["mimetype"], picture["filetype"]) == ("image/png", "png")


async def test_without_subscription_or_scope_there_is_no_file_shared(serve: Serve) -> None:
    workspace, _ = await serve(events=["message.channels", "file_shared"], scopes=["channels:history"])
    await shared(workspace, PDF)
    assert [event["type"] for event in events(workspace)] == ["message"]


async def test_history_shows_the_files(serve: Serve, client_of: ClientOf) -> None:
    workspace, server = await serve()
    root = await workspace.person("ann").share("content", [PDF], "the contract")
    page = await (await client_of(server)).conversations_history(channel=root.channel.id)
    (message,) = page["messages"]
    assert (message["subtype"], message["files"][0]["name"]) == ("file_share", "Contract 2.pdf")


# --- downloading: slack-platform §5.3 --------------------------------------------------------------------------------


@pytest.mark.parametrize("address", ["url_private", "url_private_download"])
async def test_a_private_address_wants_the_token(serve: Serve, address: str) -> None:
    workspace, _ = await serve()
    (file,) = await shared(workspace, PDF)
    url = file.to_json()[address]
    answer = await get(url)
    assert (answer.status_code, answer.headers["content-type"], answer.content) == (200, "application/pdf", PDF[1])
    assert [await is_sign_in_page(url, token) for token in (None, "xoxb-other", "xapp-demo")] == [True] * 3
    assert [download.was_shown for download in workspace.files.downloads] == [True, False, False, False]


async def test_it_wants_a_scope_and_a_place_where_the_bot_is(serve: Serve) -> None:
    workspace, _ = await serve()
    elsewhere, here = await shared(workspace, PDF, channel="random"), await shared(workspace, PDF)
    assert await is_sign_in_page(elsewhere[0].url_private)
    workspace.scopes = frozenset({*SCOPES} - {"files:read"})
    assert await is_sign_in_page(here[0].url_private)


async def test_it_is_no_more_when_the_message_is_gone(serve: Serve) -> None:
    workspace, _ = await serve()
    message = await workspace.person("ann").share("content", [PDF])
    workspace.delete(message)
    assert await is_sign_in_page(message.content.shared[0].url_private)


async def test_a_file_page_is_always_a_sign_in_page(serve: Serve) -> None:
    workspace, _ = await serve()
    (file,) = await shared(workspace, PDF)
    assert await is_sign_in_page(file.permalink)


async def test_a_video_of_100_mb_is_streamed(serve: Serve) -> None:
    """Written down as a pattern, it takes up no memory here."""
    workspace, _ = await serve()
    (file,) = await shared(workspace, ("film.mp4", (100 * MB, b"frame")))
    count = 0
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with aiohttp.ClientSession() as session, session.get(file.url_private, headers=headers) as answer:
        async for chunk in answer.content.iter_chunked(MB):
            count += len(chunk)
    assert (answer.content_type, count) == ("video/mp4", 100 * MB)
    assert file.body == Repeated(100 * MB, b"frame")


async def test_the_other_host_of_slack_wants_the_token_again(serve: Serve) -> None:
    """slack-platform §5.3: another port of the same host."""
    workspace, _ = await serve()
    (file,) = await shared(workspace, PDF)
    workspace.faults.add("download", Redirect())
    answer = await get(file.url_private)
    target = answer.headers["Location"]
    assert (answer.status_code, target.startswith(workspace.url)) == (302, False)
    assert target.startswith("http://127.0.0.1:")
    assert await is_sign_in_page(target, None)
    assert (await get(target)).content == PDF[1]


async def test_a_redirect_may_be_a_loop(serve: Serve) -> None:
    workspace, _ = await serve()
    (file,) = await shared(workspace, PDF)
    workspace.faults.add("download", Redirect(), times=10)
    urls = [file.url_private]
    for _ in range(4):
        urls.append((await get(urls[-1])).headers["Location"])
    assert urls[0] == urls[2] == urls[4] != urls[1] == urls[3]


async def test_a_foreign_host_sees_the_token_of_who_brings_it_there(serve: Serve) -> None:
    workspace, _ = await serve()
    (file,) = await shared(workspace, PDF)
    async with Elsewhere() as elsewhere:
        workspace.faults.add("download", Redirect(elsewhere.put("/a.pdf", b"trap"), status=307), times=2)
        for token in (None, TOKEN):
            answer = await get((await get(file.url_private)).headers["Location"], token)
            assert (answer.status_code, answer.content) == (200, b"trap")
            assert elsewhere.saw(TOKEN) == bool(token)
    assert not elsewhere.url.startswith("http://127.0.0.1")


@pytest.mark.parametrize("status", [404, 410, 500, 503])
async def test_a_download_can_fail(serve: Serve, status: int) -> None:
    workspace, _ = await serve()
    (file,) = await shared(workspace, PDF)
    workspace.faults.add("download", ServerError(status))
    assert [(await get(file.url_private)).status_code for _ in range(2)] == [status, 200]


async def test_failures_are_ordered_for_one_file_on_one_host(serve: Serve) -> None:
    workspace, _ = await serve()
    (one, other) = await shared(workspace, PDF, ("b.txt", b"b"))
    workspace.faults.add("download", RateLimited(7), when=lambda asked: asked["file_id"] == other.id)
    workspace.faults.add("download", SignInPage(), when=lambda asked: asked["host"] == "files")
    assert await is_sign_in_page(one.url_private)
    answer = await get(other.url_private)
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "7")
    with pytest.raises(ValueError, match="cannot happen"):
        workspace.faults.add("download", Refuse("file_not_found"))


@pytest.mark.parametrize("fault", [CutBody(5), CutBody(0), WrongLength(10), CutConnection()])
async def test_a_body_can_be_cut(serve: Serve, fault: Any) -> None:
    """Before its first byte, in the middle of it, or because it was said to be longer than it is."""
    workspace, _ = await serve()
    (file,) = await shared(workspace, PDF)
    workspace.faults.add("download", fault)
    with pytest.raises(httpx.HTTPError):
        await get(file.url_private)
    assert (await get(file.url_private)).status_code == 200


async def test_a_length_can_be_too_short_or_missing(serve: Serve) -> None:
    workspace, _ = await serve()
    (file,) = await shared(workspace, PDF)
    workspace.faults.add("download", WrongLength(-4))
    workspace.faults.add("download", WrongLength())
    short, unsaid = await get(file.url_private), await get(file.url_private)
    assert (short.headers["content-length"], short.content) == (str(len(PDF[1]) - 4), PDF[1][:-4])
    assert ("content-length" in unsaid.headers, unsaid.content) == (False, PDF[1])


async def test_a_body_can_be_slow(serve: Serve) -> None:
    """Its first half is there long before the second."""
    workspace, _ = await serve()
    (file,) = await shared(workspace, ("film.mp4", (MB, b"frame")))
    workspace.faults.add("download", SlowBody(600))
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with aiohttp.ClientSession() as session, session.get(file.url_private, headers=headers) as answer:
        assert len(await answer.content.readexactly(MB // 2)) == MB // 2
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(answer.content.readexactly(MB // 2), 0.2)


# --- files that are none: slack-platform §5.2 ------------------------------------------------------------------------


async def info(client: Any, file: File) -> Json:
    """What `files.info` says."""
    answer: Json = (await client.files_info(file=file.id))["file"]
    return answer


async def test_only_files_info_knows_a_file_of_another_workspace(serve: Serve, client_of: ClientOf) -> None:
    workspace, server = await serve()
    (file,) = await shared(workspace, LocalFile("a.pdf", b"theirs", is_stub=True))
    (seen,) = file.messages[0].to_json()["files"]
    assert (seen["mode"], seen["file_access"]) == ("file_access", "check_file_info")
    assert not {"url_private", "name", "mimetype", "size"} & seen.keys()
    whole = await info(await client_of(server), file)
    assert (whole["mode"], whole["name"], whole["file_access"]) == ("hosted", "a.pdf", "visible")
    assert (await get(whole["url_private_download"])).content == b"theirs"


async def test_an_external_file_has_a_foreign_address(serve: Serve, client_of: ClientOf) -> None:
    workspace, server = await serve()
    async with Elsewhere() as elsewhere:
        address = elsewhere.put("/doc")
        (file,) = await shared(workspace, LocalFile("Plan", mode="external", address=address))
    seen = await info(await client_of(server), file)
    assert (seen["mode"], seen["is_external"], seen["external_type"], seen["size"]) == ("external", True, "gdrive", 0)
    assert seen["url_private"] == address
    assert "url_private_download" not in seen


async def test_a_deleted_file_leaves_a_tombstone(serve: Serve, client_of: ClientOf) -> None:
    workspace, server = await serve(events=["message.channels"])
    (file,) = await shared(workspace, PDF)
    with pytest.raises(LookupError):
        workspace.person("ben").delete_file(file.id)
    workspace.person("ann").delete_file(file.id)
    assert file.messages[0].to_json()["files"] == [{"id": file.id, "mode": "tombstone"}]
    assert events(workspace)[-1]["subtype"] == "message_changed"
    assert await refused_with((await client_of(server)).files_info(file=file.id)) == "file_deleted"
    assert (await get(file.url_private)).status_code == 404


async def test_a_file_beyond_the_plan_is_hidden(serve: Serve, client_of: ClientOf) -> None:
    workspace, server = await serve()
    (file,) = await shared(workspace, LocalFile("old.pdf", b"old", mode="hidden_by_limit"))
    hidden = {"id": file.id, "mode": "hidden_by_limit"}
    assert file.messages[0].to_json()["files"] == [hidden]
    assert hidden.items() <= (await info(await client_of(server), file)).items()


async def test_a_file_that_is_processed_has_neither_size_nor_type_yet(serve: Serve, client_of: ClientOf) -> None:
    workspace, server = await serve()
    client = await client_of(server)
    (file,) = await shared(workspace, LocalFile("a.pdf", b"new", is_processed=False))
    early = await info(client, file)
    assert (early["size"], "mimetype" in early) == (0, False)
    assert (await get(file.url_private)).status_code == 404
    workspace.files.process(file.id)
    late = await info(client, file)
    assert (late["size"], late["mimetype"]) == (3, "application/pdf")
    assert (await get(file.url_private)).status_code == 200


async def test_snippets_and_posts_are_texts(serve: Serve, client_of: ClientOf) -> None:
    workspace, server = await serve()
    files = [LocalFile("run.log", b"ok", mode="snippet"), LocalFile("Notes", b"{}", "text/plain", mode="post")]
    snippet, post = [await info(await client_of(server), file) for file in await shared(workspace, *files)]
    assert (snippet["mode"], snippet["filetype"], snippet["editable"]) == ("snippet", "text", True)
    assert (post["mode"], post["pretty_type"]) == ("post", "Post")


# --- files.info ------------------------------------------------------------------------------------------------------


async def test_files_info_tells_where_a_file_is_shared(serve: Serve, client_of: ClientOf) -> None:
    """slack-platform §5.1: in `shares`, which may lag."""
    clock = Clock()
    workspace, server = await serve(
        channels={"content": ["ann", "bot"], "secret": ["ann", "bot"]}, private_channels=["secret"], now=clock
    )
    workspace.files.shares_lag_seconds = 2
    root = await workspace.person("ann").post("secret", "root")
    client = await client_of(server)
    message = await workspace.person("ann").share("secret", [PDF], thread_ts=root.ts)
    (file,) = message.content.shared
    assert (await info(client, file))["shares"] == {}
    clock.advance(3)
    seen = await info(client, file)
    (share,) = seen["shares"]["private"][message.channel.id]
    assert (share["ts"], share["thread_ts"]) == (message.ts, root.ts)
    assert (seen["is_public"], seen["groups"], seen["channels"]) == (False, [message.channel.id], [])


async def test_files_info_knows_what_the_app_may_see(serve: Serve, client_of: ClientOf) -> None:
    workspace, server = await serve()
    client = await client_of(server)
    (file,) = await shared(workspace, PDF, channel="random")
    for file_id in ("F0", file.id):
        assert await refused_with(client.files_info(file=file_id)) == "file_not_found"
    workspace.scopes = frozenset({"files:write"})
    assert await refused_with(client.files_info(file=file.id)) == "missing_scope"


def test_a_message_without_files_has_no_word_about_them() -> None:
    workspace = Workspace(people=["ann"], channels={"content": ["ann"]})
    message = asyncio.run(workspace.person("ann").post("content", "hello"))
    assert not {"files", "subtype", "upload"} & message.to_json().keys()
