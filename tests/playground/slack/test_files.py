"""Files that the app uploads, as slack_sdk's own client meets them (slack-platform §5.4)."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest

from bot.playground.slack import Workspace
from bot.playground.slack.faults import ServerError
from bot.playground.slack.state import Content
from tests.playground.slack.conftest import Serve
from tests.playground.slack.test_web_api import ClientOf, refused_with

TEXT = "Größe".encode()


async def send(url: str, content: bytes = TEXT) -> int:
    """Send bytes to an address as anybody could, and return the HTTP status."""
    async with aiohttp.ClientSession() as session, session.post(url, data=content) as answer:
        return answer.status


async def uploaded(client: Any, name: str = "a.md") -> str:
    """Upload a file that is shared nowhere yet, and return its id."""
    ticket = await client.files_getUploadURLExternal(filename=name, length=len(TEXT))
    assert await send(ticket["upload_url"]) == 200
    return str(ticket["file_id"])


def root_in(workspace: Workspace) -> str:
    """Write a message, and return its `ts`."""
    return workspace.post(workspace.channel("content"), Content("root"), workspace.bot).ts


async def test_the_sdk_shares_a_file_in_a_thread(serve: Serve, client_of: ClientOf) -> None:
    """`files_upload_v2` takes all three steps; history names the file, the answer not the message."""
    workspace, server = await serve()
    root = root_in(workspace)
    channel = workspace.channel("content")
    client = await client_of(server)
    answer = await client.files_upload_v2(
        content=TEXT.decode(), filename="a.md", title="A & B", channel=channel.id, thread_ts=root, initial_comment="<x>"
    )
    assert "ts" not in answer.data
    (message,) = channel.replies(root)
    (file,) = message.content.files
    assert (file["name"], file["title"], file["size"]) == ("a.md", "A & B", len(TEXT))
    assert workspace.files.by_id[file["id"]].content == TEXT
    page = await client.conversations_replies(channel=channel.id, ts=root)
    assert page["messages"][-1]["files"] == [file]


async def test_without_a_channel_a_file_stays_private(serve: Serve, client_of: ClientOf) -> None:
    workspace, server = await serve()
    client = await client_of(server)
    await client.files_completeUploadExternal(files=[{"id": await uploaded(client)}])
    assert not workspace.channel("content").messages


async def test_an_address_takes_exactly_the_bytes_announced_and_once(serve: Serve, client_of: ClientOf) -> None:
    _, server = await serve()
    ticket = await (await client_of(server)).files_getUploadURLExternal(filename="a.md", length=len(TEXT))
    assert [await send(ticket["upload_url"], content) for content in (TEXT + b"!", TEXT, TEXT)] == [400, 200, 400]


async def test_only_what_was_uploaded_can_be_shared_and_once(serve: Serve, client_of: ClientOf) -> None:
    workspace, server = await serve()
    client = await client_of(server)
    channel = workspace.channel("content").id
    announced = (await client.files_getUploadURLExternal(filename="a.md", length=3))["file_id"]
    shared = await uploaded(client)
    await client.files_completeUploadExternal(files=[{"id": shared}], channel_id=channel)
    for file_id in ("F0", announced, shared):
        refused = client.files_completeUploadExternal(files=[{"id": file_id}], channel_id=channel)
        assert await refused_with(refused) == "file_not_found"
    assert await refused_with(client.files_completeUploadExternal(files=[])) == "invalid_arguments"
    assert len(workspace.channel("content").messages) == 1


@pytest.mark.parametrize("length", [0, -1, "x"])
async def test_a_length_is_a_number_of_bytes(serve: Serve, client_of: ClientOf, length: Any) -> None:
    _, server = await serve()
    call = (await client_of(server)).files_getUploadURLExternal(filename="a.md", length=length)
    assert await refused_with(call) == "invalid_arguments"


async def test_files_need_their_scope_and_a_channel_of_the_bot(serve: Serve, client_of: ClientOf) -> None:
    """slack-platform §7.2."""
    workspace, server = await serve()
    client = await client_of(server)
    file_id = await uploaded(client)
    random = workspace.channel("random").id
    refused = client.files_completeUploadExternal(files=[{"id": file_id}], channel_id=random)
    assert await refused_with(refused) == "not_in_channel"
    workspace.scopes = frozenset({"chat:write"})
    assert await refused_with(client.files_getUploadURLExternal(filename="a.md", length=1)) == "missing_scope"
    assert await refused_with(client.files_completeUploadExternal(files=[{"id": file_id}])) == "missing_scope"


async def test_an_upload_can_fail(serve: Serve, client_of: ClientOf) -> None:
    """Nothing is stored then; the same address works later."""
    workspace, server = await serve()
    ticket = await (await client_of(server)).files_getUploadURLExternal(filename="a.md", length=len(TEXT))
    workspace.faults.add("upload", ServerError())
    assert [await send(ticket["upload_url"]) for _ in range(2)] == [500, 200]


async def test_an_update_keeps_the_files(serve: Serve, client_of: ClientOf) -> None:
    """Of a message that shows some."""
    workspace, server = await serve()
    client = await client_of(server)
    channel = workspace.channel("content")
    await client.files_completeUploadExternal(files=[{"id": await uploaded(client)}], channel_id=channel.id)
    (message,) = channel.messages
    await client.chat_update(channel=channel.id, ts=message.ts, text="Look")
    assert (message.text, len(message.content.files)) == ("Look", 1)
