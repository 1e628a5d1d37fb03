"""Files that the app uploads, as slack_sdk's own client meets them (slack-platform §5.4)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import httpx
import pytest

from bot.playground.bodies import Body, Repeated, whole
from bot.playground.slack import Workspace
from bot.playground.slack.faults import CutBody, ServerError
from bot.playground.slack.state import Content
from bot.playground.slack.transcript import transcript
from tests.playground.slack.conftest import Clock, Serve
from tests.playground.slack.test_web_api import ClientOf, refusal, refused_with

Json = dict[str, Any]
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


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        ({"length": 0}, "missing_argument"),
        ({"length": -1}, "invalid_arguments"),
        ({"length": "x"}, "invalid_arguments"),
        ({"length": 1024**3 + 1}, "file_upload_size_restricted"),
        ({"length": 1024**2 + 1, "snippet_type": "python"}, "snippet_too_large"),
        ({"length": 1, "alt_txt": "x" * 1001}, "alt_txt_too_large"),
    ],
)
async def test_an_upload_that_cannot_be_is_refused_when_it_is_announced(
    serve: Serve, client_of: ClientOf, sent: Json, code: str
) -> None:
    """An empty file cannot be uploaded at all."""
    _, server = await serve()
    assert await refused_with((await client_of(server)).files_getUploadURLExternal(filename="a.md", **sent)) == code


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


async def test_a_big_file_is_taken_in_piece_by_piece(serve: Serve, client_of: ClientOf) -> None:
    """It is there again byte by byte, as raw bytes and as the file of a form."""
    workspace, server = await serve()
    client = await client_of(server)
    film = Repeated(20 * 1024 * 1024, b"frame")
    ways: list[Json] = [{"content": pieces(film)}, {"files": {"filename": ("b.mp4", whole(film))}}]
    for sent in ways:
        ticket = await client.files_getUploadURLExternal(filename="a.mp4", length=film.size)
        async with httpx.AsyncClient(verify=False) as http:
            assert (await http.post(ticket["upload_url"], **sent)).status_code == 200
        body = workspace.files.by_id[ticket["file_id"]].body
        assert body
        assert (body.size, body.sha256) == (film.size, film.sha256)


async def pieces(body: Body) -> AsyncIterator[bytes]:
    for chunk in body.chunks():
        yield chunk


async def test_an_upload_can_be_cut_in_the_middle(serve: Serve, client_of: ClientOf) -> None:
    workspace, server = await serve()
    ticket = await (await client_of(server)).files_getUploadURLExternal(filename="a.md", length=len(TEXT))
    workspace.faults.add("upload", CutBody(3), when=lambda asked: asked["file_id"] == ticket["file_id"])
    with pytest.raises(aiohttp.ClientError):
        await send(ticket["upload_url"])
    assert await send(ticket["upload_url"]) == 200


async def test_several_files_share_one_message(serve: Serve, client_of: ClientOf) -> None:
    """With a comment, in a thread; `files.info` tells where (slack-platform §5.1)."""
    workspace, server = await serve()
    root = root_in(workspace)
    channel = workspace.channel("content")
    client = await client_of(server)
    ids = [await uploaded(client, name) for name in ("a.md", "b.pdf")]
    await client.files_completeUploadExternal(
        files=[{"id": file_id} for file_id in ids], channel_id=channel.id, thread_ts=root, initial_comment="Both"
    )
    (message,) = channel.replies(root)
    page = await client.conversations_replies(channel=channel.id, ts=root)
    assert page["messages"][-1] == message.to_json()
    assert (message.text, message.to_json()["subtype"]) == ("Both", "file_share")
    assert [file["name"] for file in message.content.files] == ["a.md", "b.pdf"]
    for file_id in ids:
        (share,) = (await client.files_info(file=file_id))["file"]["shares"]["public"][channel.id]
        assert (share["ts"], share["thread_ts"]) == (message.ts, root)


async def test_the_same_file_cannot_be_listed_twice(serve: Serve, client_of: ClientOf) -> None:
    _, server = await serve()
    client = await client_of(server)
    file_id = await uploaded(client)
    twice = client.files_completeUploadExternal(files=[{"id": file_id}, {"id": file_id}])
    assert await refused_with(twice) == "file_not_found"


async def test_an_own_file_can_be_read_back(serve: Serve, client_of: ClientOf) -> None:
    """Shared or not, with what it says to those who cannot see it."""
    _, server = await serve()
    client = await client_of(server)
    ticket = await client.files_getUploadURLExternal(filename="a.png", length=len(TEXT), alt_txt="A cat")
    await send(ticket["upload_url"])
    assert await refused_with(client.files_info(file=ticket["file_id"])) == "file_not_found"
    await client.files_completeUploadExternal(files=[{"id": ticket["file_id"]}])
    file = (await client.files_info(file=ticket["file_id"]))["file"]
    assert (file["alt_txt"], file["is_public"], file["shares"]) == ("A cat", False, {})


# --- images in blocks: slack-platform §2.1 ---------------------------------------------------------------------------


def picture(**named: str) -> Json:
    return {"type": "image", "alt_text": "A cat", "slack_file": named}


async def image(client: Any, name: str = "cat.png") -> str:
    """Upload an image that is shared nowhere, and return its id."""
    file_id = await uploaded(client, name)
    await client.files_completeUploadExternal(files=[{"id": file_id}])
    return file_id


async def test_a_block_shows_an_uploaded_image(serve: Serve, client_of: ClientOf) -> None:
    """By id or address, in a message, a section and a modal; the transcript names it."""
    workspace, server = await serve()
    client = await client_of(server)
    file = workspace.files.by_id[await image(client)]
    channel = workspace.channel("content").id
    for named in ({"id": file.id}, {"url": file.url_private}, {"url": file.permalink}):
        await client.chat_postMessage(channel=channel, text="A cat", blocks=[picture(**named)])
    section = {"type": "section", "text": {"type": "mrkdwn", "text": "Look"}, "accessory": picture(id=file.id)}
    message = await client.chat_postMessage(channel=channel, text="A cat", blocks=[section])
    await client.chat_update(channel=channel, ts=message["ts"], text="A cat", blocks=[picture(id=file.id)])
    view = {"type": "modal", "title": {"type": "plain_text", "text": "Cat"}, "blocks": [picture(id=file.id)]}
    await client.views_open(trigger_id=workspace.tickets.new_trigger("U0ANN"), view=view)
    assert transcript(workspace, "content").count("[image: A cat, cat.png]") == 4


async def test_what_is_no_image_of_the_app_is_refused(serve: Serve, client_of: ClientOf) -> None:
    """Unknown, another kind of file, somebody else's, deleted or not completed: an invalid slack file."""
    workspace, server = await serve()
    client = await client_of(server)
    theirs = (await workspace.person("ann").share("random", [("cat.png", b"png")])).content.shared[0].id
    gone = await image(client)
    workspace.files.delete(gone)
    channel = workspace.channel("content").id
    for file_id in ("F0", await image(client, "a.pdf"), theirs, gone, await uploaded(client, "b.png")):
        call = client.chat_postMessage(channel=channel, text="A cat", blocks=[picture(id=file_id)])
        refused = await refusal(call)
        assert refused["error"] == "invalid_blocks"
        assert refused["response_metadata"]["messages"] == [
            "[ERROR] invalid slack file [json-pointer:/blocks/0/slack_file]"
        ]
    view = {"type": "modal", "title": {"type": "plain_text", "text": "Cat"}, "blocks": [picture(id="F0")]}
    opened = client.views_open(trigger_id=workspace.tickets.new_trigger("U0ANN"), view=view)
    assert "/view/blocks/0/slack_file" in (await refusal(opened))["response_metadata"]["messages"][0]


async def test_an_image_is_one_once_it_is_processed(serve: Serve, client_of: ClientOf) -> None:
    """slack-platform §5.2: right after its upload a file has neither size nor type."""
    clock = Clock()
    workspace, server = await serve(now=clock)
    workspace.files.processing_seconds = 3
    client = await client_of(server)
    file_id = await image(client)
    say = {"channel": workspace.channel("content").id, "text": "A cat", "blocks": [picture(id=file_id)]}
    assert await refused_with(client.chat_postMessage(**say)) == "invalid_blocks"
    assert "mimetype" not in (await client.files_info(file=file_id))["file"]
    clock.advance(3)
    assert (await client.files_info(file=file_id))["file"]["mimetype"] == "image/png"
    await client.chat_postMessage(**say)
