"""Files on their way to Dify and back: against servers that do what the test says, and against the simulated one."""

from __future__ import annotations

import asyncio
import json
import logging
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from bot.core.events import RunFinished, RunStarted
from bot.core.files import MB, PIECE, as_value
from bot.core.model import AppMode, Attachment, FileKind, Run, RunStatus
from bot.core.out_files import out_files
from bot.core.ports import FileContent
from bot.dify import sansio, schema
from bot.dify.client import Deadlines, DifyClient
from bot.errors import DifyNotFound, DifyRejected, DifyUnauthorized, DifyUnavailable, SlackUnavailable
from bot.playground.bodies import whole
from bot.playground.dify import Dify as Simulator
from bot.playground.dify import DifyServer
from bot.playground.dify.apps import (
    chat_review,
    content_review,
    file_chat,
    file_form,
    file_start,
    picture_form,
)
from bot.playground.elsewhere import Elsewhere
from tests.dify.recordings import FOLDER, exchange
from tests.dify.test_client import KEY, NO_TLS, SHORT, Handler, answering, client_of, never, refusing, serving
from tests.dify.test_playground import answered, paused, playing
from tests.factories import file_of, make_attachment, make_run

RUN = make_run(workflow_run_id="run-id", task_id="task-id")
SIGNATURE = "timestamp=1795187136&nonce=2a0e1baaa6f750cbf6d66092058e0990&sign=w_17tjDPnmvXMZxDNgU5zNPJAnxA8y1ezsRQ2E="
PATH = "/files/2ac4a416-d0e0-4212-bb70-6bdb0a7c9026/file-preview"
SIGNED = f"{PATH}?{SIGNATURE}"


async def read(content: FileContent) -> bytes:
    return b"".join([piece async for piece in content.chunks])


# --- up --------------------------------------------------------------------------------------------------------------


Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def on_the_wire(serve: Serve) -> AsyncIterator[DifyClient]:
    """Serve connections as they are on the wire, and yield a client of that server; at the end all of them are over."""
    async with asyncio.TaskGroup() as connections:

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await serve(reader, writer)
            writer.close()

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            connections.create_task(talk(reader, writer))

        server = await asyncio.start_server(accept, "127.0.0.1", 0, limit=MB)
        async with server:
            host, port = server.sockets[0].getsockname()[:2]
            async with DifyClient(f"http://{host}:{port}", KEY, ssl_context=NO_TLS) as client:
                yield client


@asynccontextmanager
async def recording(answer: bytes) -> AsyncIterator[tuple[DifyClient, list[bytes]]]:
    """Yield a client and the head and the body that its server got; only a body that is whole is answered."""
    arrived: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        arrived.append(await reader.readuntil(b"\r\n\r\n"))
        try:
            arrived.append(await reader.readexactly(_length(arrived[0])))
        except asyncio.IncompleteReadError as error:
            arrived.append(error.partial)
        else:
            writer.write(answer)

    async with on_the_wire(serve) as client:
        yield client, arrived


def _length(head: bytes) -> int:
    return int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])


TAKEN = b'HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: 11\r\n\r\n{"id": "u"}'


async def test_an_upload_says_how_long_it_is_and_has_one_part_with_a_type_and_the_starter() -> None:
    async with recording(TAKEN) as (client, arrived):
        assert await client.upload(RUN, "Grüße 🍵.txt", file_of(b"hel", b"lo")) == "u"
    head, body = arrived[0].decode(), arrived[1].decode()
    assert head.startswith("POST /v1/files/upload HTTP/1.1\r\n")
    assert "transfer-encoding" not in head.lower()
    assert f"Authorization: Bearer {KEY}\r\n" in head
    boundary = head.partition("boundary=")[2].partition("\r\n")[0]
    assert body == (
        f'--{boundary}\r\nContent-Disposition: form-data; name="user"\r\n\r\nslack:T1:U1\r\n'
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="Grüße 🍵.txt"\r\n'
        f"Content-Type: text/plain\r\n\r\nhello\r\n--{boundary}--\r\n"
    )


@given(st.text(max_size=300), st.text(max_size=60))
def test_no_name_and_no_type_breaks_out_of_its_line(name: str, mime_type: str) -> None:
    """However odd they are, the part has the same lines, and its name ends where it should."""
    head = sansio.upload_body("slack:T1:U1", name, mime_type, "b0undary").head.decode()
    lines = head.split("\r\n")
    assert len(lines) == 9
    assert not any({"\r", "\n", "\0"} & set(line) for line in lines)
    disposition = lines[5]
    assert disposition.startswith('Content-Disposition: form-data; name="file"; filename="')
    assert disposition.count('"') == 4
    assert not {"/", "\\"} & set(disposition)
    assert lines[6].startswith("Content-Type: ")


@pytest.mark.parametrize(
    ("mime_type", "sent"),
    [
        ("image/svg+xml", "image/svg+xml"),
        ("application/vnd.ms-excel", "application/vnd.ms-excel"),
        ("", "application/octet-stream"),
        ("text/plain\r\nX: y", "application/octet-stream"),
        ("text", "application/octet-stream"),
    ],
)
def test_a_part_always_has_a_type(mime_type: str, sent: str) -> None:
    """Dify refuses one without (recording 46)."""
    head = sansio.upload_body("u", "a.bin", mime_type, "b0undary").head.decode()
    assert f"\r\nContent-Type: {sent}\r\n\r\n" in head


@pytest.mark.parametrize("announced", [4, 6, 2 * MB], ids=["more bytes", "fewer bytes", "far fewer bytes"])
async def test_a_file_of_another_length_than_its_source_said_does_not_arrive(announced: int) -> None:
    """It is tried again, and Dify keeps nothing of it."""
    async with recording(TAKEN) as (client, arrived):
        with pytest.raises(DifyUnavailable, match="more or fewer bytes"):
            await client.upload(RUN, "a.txt", file_of(b"hel", b"lo", size=announced))
    head, body = arrived
    assert len(body) < _length(head)


async def test_what_the_source_complains_of_is_not_taken_for_dify_s_fault() -> None:
    async def breaking() -> AsyncIterator[bytes]:
        yield b"hel"
        raise SlackUnavailable("Slack broke off")

    async with recording(TAKEN) as (client, _):
        with pytest.raises(SlackUnavailable, match="broke off"):
            await client.upload(RUN, "a.txt", FileContent(breaking(), 5))


async def test_a_file_that_dify_does_not_take_in_time_is_given_up() -> None:
    async with client_of(never, Deadlines(upload=SHORT)) as client:
        with pytest.raises(DifyUnavailable, match="in time"):
            await client.upload(RUN, "a.txt", file_of(b"hello"))


async def test_a_proxy_that_refuses_a_large_file_at_once_is_heard() -> None:
    """nginx answers before it has the body, and closes (dify-api §2.4)."""
    page = b"<html><head><title>413 Request Entity Too Large</title></head></html>"
    answer = b"HTTP/1.1 413 Request Entity Too Large\r\nContent-Type: text/html\r\nConnection: close\r\n"
    answer += b"Content-Length: %d\r\n\r\n%s" % (len(page), page)

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.write_eof()
        while await reader.read(PIECE):
            pass

    async with on_the_wire(refuse) as client:
        with pytest.raises(DifyRejected) as caught:
            await client.upload(RUN, "a.mp4", file_of(*[bytes(PIECE)] * 64))
    assert caught.value.status == 413


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (413, "file_too_large", DifyRejected),
        (415, "unsupported_file_type", DifyRejected),
        (400, "invalid_param", DifyRejected),
        (401, "unauthorized", DifyUnauthorized),
        (429, "too_many_requests", DifyUnavailable),
        (429, "rate_limit_error", DifyUnavailable),
        (500, "internal_server_error", DifyUnavailable),
    ],
)
async def test_a_refusal_says_whether_to_try_again(status: int, code: str, kind: type[Exception]) -> None:
    async with client_of(refusing(status, code)) as client:
        with pytest.raises(kind) as caught:
            await client.upload(RUN, "a.txt", file_of(b"hello"))
    assert type(caught.value) is kind
    assert (caught.value.status, caught.value.code) == (status, code)  # type: ignore[attr-defined]


async def test_a_large_file_is_never_all_in_memory() -> None:
    """Neither on its way up nor on its way down."""
    size = 24 * MB

    async def app(request: web.Request) -> web.StreamResponse:
        if request.method == "POST":
            async for _ in request.content.iter_chunked(PIECE):
                pass
            return web.json_response({"id": "u"}, status=201)
        response = web.StreamResponse(headers={"Content-Length": str(size)})
        await response.prepare(request)
        for _ in range(size // PIECE):
            await response.write(bytes(PIECE))
        return response

    async def made() -> AsyncIterator[bytes]:
        for _ in range(size // PIECE):
            yield bytes(PIECE)

    async with client_of(app) as client:
        await client.upload(RUN, "warm.mp4", file_of(b"up"))
        tracemalloc.start()
        try:
            await client.upload(RUN, "a.mp4", FileContent(made(), size))
            async with client.download(RUN, SIGNED) as content:
                assert content.size == size
                read_bytes = 0
                async for piece in content.chunks:
                    assert len(piece) <= PIECE
                    read_bytes += len(piece)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert read_bytes == size
    assert peak < 3 * MB, f"{peak} bytes, of both sides"


def _recorded_uploads() -> list[Any]:
    """Return the files of the recorded uploads that are ones of this client: with a part `file`, a type and a user."""
    found = []
    for number in ("08", "31", "37"):
        (path,) = FOLDER.glob(f"{number}-*.json")
        for each in json.loads(path.read_text())["exchanges"]:
            if each["request"]["path"] != "/v1/files/upload" or "multipart" not in (each["request"]["body"] or {}):
                continue
            sent = each["request"]["body"]["multipart"]
            (file,) = sent["files"]
            if file["field"] == "file" and file["content_type"] and sent["fields"].get("user"):
                found.append(pytest.param(file, each["response"], id=f"{number} {each['label']}"))
    return found


_OTHERWISE_NAMED = {
    # Dify refuses the path, shortens the long one by its own rule, and keeps what its client made of the controls.
    "a/b\\c.png": "c.png",
    "n" * 300 + ".png": "n" * 196 + ".png",
    "ctl\a\ttab.txt": "ctltab.txt",
}


@pytest.mark.parametrize(("file", "response"), _recorded_uploads())
async def test_recorded_uploads_are_taken_and_refused_as_they_were(
    file: dict[str, Any], response: dict[str, Any]
) -> None:
    """Under the name that Dify gave back (recordings 08, 31, 37), but for names that no client should send."""
    name, size = file["filename"], file["bytes"]
    content = FileContent(_zeros(size), size, file["content_type"])
    clean = _OTHERWISE_NAMED.get(name)
    app = content_review()
    async with playing(app) as (simulator, client):
        if response["status"] in (201, 400):
            upload = simulator.files.owned(await client.upload(RUN, name, content), app.key, RUN.dify_user)
            assert upload.name == clean or json.loads(response["body"])["name"]
            assert upload.body.size == size
            assert (response["status"] == 400) <= (clean is not None)
        elif response["status"] == 413:
            with pytest.raises(DifyRejected) as caught:
                await client.upload(RUN, name, content)
            assert (caught.value.status, caught.value.code) == (413, "file_too_large")
        else:
            async with DifyClient(client._root, "app-wrong", ssl_context=NO_TLS) as stranger:
                with pytest.raises(DifyUnauthorized):
                    await stranger.upload(RUN, name, content)


async def _zeros(size: int) -> AsyncIterator[bytes]:
    for start in range(0, size, PIECE):
        yield bytes(min(PIECE, size - start))


async def test_an_uploaded_file_belongs_to_the_starter_of_the_run_and_to_the_app() -> None:
    """Another's uses the form up and fails the run (recording 10)."""
    app = content_review()
    async with playing(app) as (simulator, client):
        upload_id = await client.upload(RUN, "notes.txt", file_of(b"hello"))
        upload = simulator.files.owned(upload_id, app.key, "slack:T1:U1")
    assert (upload.name, upload.mime_type, whole(upload.body)) == ("notes.txt", "text/plain", b"hello")


# --- addresses -------------------------------------------------------------------------------------------------------

API = "https://dify.example"


@pytest.mark.parametrize(
    ("url", "files_url", "opened"),
    [
        (f"{API}{SIGNED}", None, f"{API}{SIGNED}"),
        (SIGNED, None, f"{API}{SIGNED}"),
        (f"https://Dify.Example:443{SIGNED}", None, f"{API}{SIGNED}"),
        (f"{API}/files/tools/2ac4a416.tar.gz?{SIGNATURE}", None, f"{API}/files/tools/2ac4a416.tar.gz?{SIGNATURE}"),
        (f"{API}{SIGNED}&as_attachment=true", None, f"{API}{SIGNED}&as_attachment=true"),
        (f"http://files.example:8080/dify{SIGNED}", "http://files.example:8080/dify/", None),
        (f"{API}{SIGNED}", "http://files.example:8080", f"{API}{SIGNED}"),
        (SIGNED, "http://files.example:8080", f"http://files.example:8080{SIGNED}"),
    ],
)
def test_what_dify_signed_is_opened(url: str, files_url: str | None, opened: str | None) -> None:
    servers = sansio.file_servers(f"{API}/v1", files_url)
    assert sansio.signed_address(url, servers) == (opened or url)


def test_the_files_of_dify_s_own_cloud_are_on_a_host_of_their_own() -> None:
    servers = sansio.file_servers(sansio.api_root("https://api.dify.ai/v1"), None)
    for host in ("https://upload.dify.ai", "https://api.dify.ai"):
        assert sansio.signed_address(f"{host}{SIGNED}", servers) == f"{host}{SIGNED}"


@pytest.mark.parametrize(
    "url",
    [
        f"https://elsewhere.example{SIGNED}",
        f"https://dify.example.evil.example{SIGNED}",
        f"https://dify.example@evil.example{SIGNED}",
        f"https://dify.example:443@evil.example{SIGNED}",
        f"https://evil.example\\@dify.example{SIGNED}",
        f"//evil.example{SIGNED}",
        f"http://dify.example{SIGNED}",
        f"https://dify.example:8443{SIGNED}",
        f"ftp://dify.example{SIGNED}",
        f"{API}{PATH}",
        f"{API}{PATH}?timestamp=1&nonce=2",
        f"{API}/files/../v1/info?{SIGNATURE}",
        f"{API}/files/%2e%2e/v1/info?{SIGNATURE}",
        f"{API}/files//evil.example/x?{SIGNATURE}",
        f"{API}/v1/info?{SIGNATURE}",
        f"{API}/files?{SIGNATURE}",
        f"{API}{SIGNED}#x",
        f"{API}{SIGNED}\r\nX: y",
        "file:///files/etc/passwd",
        "",
    ],
)
async def test_nothing_else_is_opened(url: str) -> None:
    """Not even by a model that knows how Dify signs: what is opened is on Dify's own host, and below `/files/`."""
    async with DifyClient(API, KEY, ssl_context=NO_TLS) as client:
        with pytest.raises(DifyRejected, match="DIFY_FILES_URL"):
            async with client.download(RUN, url):
                pass


@pytest.mark.parametrize("number", ["21/1", "21/6", "30/4", "31/3"])
def test_every_recorded_address_is_one_that_is_opened(number: str) -> None:
    recorded = exchange(number)
    urls = [recorded.path] if recorded.path.startswith("/files/") else []
    if not urls:
        urls = [url for message in schema.History.model_validate_json(recorded.body).data
                for url in message.addresses()]  # fmt: skip
    assert urls
    servers = sansio.file_servers("http://127.0.0.1:5001/v1", None)
    for url in urls:
        assert sansio.signed_address(url, servers).startswith("http://127.0.0.1:5001/files/")


# --- down ------------------------------------------------------------------------------------------------------------


async def test_a_file_is_read_without_the_key_and_without_compression() -> None:
    seen: list[Any] = []

    async def app(request: web.Request) -> web.StreamResponse:
        seen.append((request.path_qs, dict(request.headers)))
        return web.Response(body=b"hello", content_type="image/png")

    async with client_of(app) as client, client.download(RUN, SIGNED) as content:
        assert (content.size, content.mime_type) == (5, "image/png")
        assert await read(content) == b"hello"
    ((path, headers),) = seen
    assert path.partition("?")[0] == PATH
    assert "Authorization" not in headers
    assert KEY not in str(headers)
    assert headers["Accept-Encoding"] == "identity"


async def test_a_file_whose_length_is_not_told_can_be_read() -> None:
    async def app(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        response.enable_chunked_encoding()
        await response.prepare(request)
        await response.write(b"hello")
        return response

    async with client_of(app) as client, client.download(RUN, SIGNED) as content:
        assert content.size is None
        assert await read(content) == b"hello"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_no_redirect_is_followed(status: int) -> None:
    followed: list[str] = []

    async def elsewhere(request: web.Request) -> web.StreamResponse:
        followed.append(request.path)
        return web.Response(text="secret")

    async with serving(elsewhere) as other:

        async def app(request: web.Request) -> web.StreamResponse:
            return web.Response(status=status, headers={"Location": f"{other}{SIGNED}"})

        async with client_of(app) as client:
            with pytest.raises(DifyRejected) as caught:
                async with client.download(RUN, SIGNED):
                    pass
    assert caught.value.status == status
    assert followed == []


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (refusing(404, "not_found", "File not found or signature is invalid"), DifyNotFound),
        (refusing(403, "forbidden", "Invalid request."), DifyNotFound),
        (refusing(401, "unauthorized"), DifyRejected),
        (refusing(415, "unsupported_file_type"), DifyRejected),
        (answering(404, text="<html>nginx</html>", kind="text/html"), DifyUnavailable),
        (answering(502, text="<html>nginx</html>", kind="text/html"), DifyUnavailable),
    ],
    ids=["expired", "expired, of a tool", "401", "415", "proxy does not know", "proxy does not reach"],
)
async def test_a_file_that_is_not_given_says_whether_to_try_again(answer: Handler, kind: type[Exception]) -> None:
    """A key is not refused, since none was sent."""
    async with client_of(answer) as client:
        with pytest.raises(kind) as caught:
            async with client.download(RUN, SIGNED):
                pass
    assert type(caught.value) is kind


async def _silent(request: web.Request, response: web.StreamResponse) -> None:
    await asyncio.Event().wait()


async def _cut(request: web.Request, response: web.StreamResponse) -> None:
    assert request.transport is not None
    request.transport.close()


@pytest.mark.parametrize(("then", "said"), [(_silent, "in time"), (_cut, "broke")])
async def test_a_body_that_falls_silent_or_breaks_off_is_tried_again(then: Callable[..., Any], said: str) -> None:
    async def app(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "10"})
        await response.prepare(request)
        await response.write(b"hello")
        await then(request, response)
        return response

    async with client_of(app, Deadlines(download=SHORT)) as client:
        with pytest.raises(DifyUnavailable, match=said):
            async with client.download(RUN, SIGNED) as content:
                await read(content)


async def test_a_file_that_trickles_in_has_an_end() -> None:
    """Each piece comes in time, and the whole of it does not."""

    async def app(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": str(MB)})
        await response.prepare(request)
        while True:
            await response.write(b"x")
            await asyncio.sleep(SHORT / 10)

    async with client_of(app, Deadlines(transfer=SHORT)) as client:
        with pytest.raises(DifyUnavailable, match="in time"):
            async with client.download(RUN, SIGNED) as content:
                await read(content)


async def test_a_compressed_body_that_nobody_asked_for_is_not_unpacked() -> None:
    async def app(request: web.Request) -> web.StreamResponse:
        return web.Response(body=b"x" * 100, headers={"Content-Encoding": "gzip"})

    async with client_of(app) as client:
        with pytest.raises(DifyUnavailable, match="another form"):
            async with client.download(RUN, SIGNED):
                pass


async def test_no_signature_is_logged_or_told(caplog: pytest.LogCaptureFixture) -> None:
    """An address that Dify signed is good for whoever has it."""
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, logger="httpx")
    told = []
    async with client_of(refusing(404, "not_found")) as client:
        for url in (SIGNED, f"https://elsewhere.example{SIGNED}"):
            with pytest.raises(DifyRejected) as caught:
                async with client.download(RUN, url):
                    pass
            told.append(f"{caught.value!s} {vars(caught.value)}")
    assert "w_17tjDPnmvXMZxDNgU5" not in caplog.text + "".join(told)


# --- the simulated Dify ----------------------------------------------------------------------------------------------


async def test_an_address_of_a_workflow_expires_for_good() -> None:
    """Recordings 21 and 30: 200 after 280 s, 404 after 310 s."""
    now = 1_795_187_136.0
    simulator = Simulator(apps=[content_review()], now=lambda: now)
    async with (
        DifyServer(simulator) as server,
        DifyClient(server.base_url, content_review().key, ssl_context=NO_TLS) as client,
    ):
        upload_id = await client.upload(RUN, "red dot.png", file_of(b"\x89PNG", mime_type="image/png"))
        url = simulator.files.signed_url(simulator.files.owned(upload_id, content_review().key, RUN.dify_user))
        now += 280
        async with client.download(RUN, url) as content:
            assert (content.size, await read(content)) == (4, b"\x89PNG")
        now += 30
        with pytest.raises(DifyNotFound):
            async with client.download(RUN, url):
                pass


async def test_a_file_of_a_chatflow_is_read_by_an_address_that_is_signed_anew() -> None:
    """The history signs whenever it is read (recording 31)."""
    app = replace(chat_review(), file_upload=True)
    async with playing(app) as (simulator, client):
        start = make_run(mode=AppMode.CHATFLOW, query="Why?", run_inputs={})
        upload_id = await client.upload(start, "shot.png", file_of(b"\x89PNG", mime_type="image/png"))
        attached = make_attachment(form_id=None, field=None, upload_file_id=upload_id)
        run, (form,) = await paused(client, replace(start, attachments=(attached,)))
        await answered(client, run, form, "send", reply="Because.")
        ((message,),) = (await client.messages(run),)
        (url,) = message.addresses()
        expired = url.replace("timestamp=", "timestamp=1")
        async with client.download(run, expired) as content:
            assert await read(content) == b"\x89PNG"
        with pytest.raises(DifyNotFound):
            async with client.download(run, expired.replace(upload_id, "another")):
                pass
        with pytest.raises(DifyNotFound):
            async with client.download(replace(run, conversation_id="00000000-0000-0000-0000-000000000000"), expired):
                pass
    assert any(each.path.startswith("/files/") for each in simulator.requests)
    assert all(each.status != 401 for each in simulator.requests)


async def test_a_form_is_handed_in_with_its_files_and_gives_them_back() -> None:
    """Recordings 09 and 10: each under the type that it is, uploaded as the starter of the run."""
    async with playing(file_form()) as (_, client):
        run, (form,) = await paused(client, make_run(run_inputs={"topic": "the roof"}))
        contract = await uploaded(client, run, "contract", "signed.pdf", b"%PDF-1.7", FileKind.DOCUMENT)
        photo = await uploaded(client, run, "photos", "roof.png", b"\x89PNG", FileKind.IMAGE)
        run = replace(run, attachments=(contract, photo))
        values = {"contract": as_value([contract], many=False), "photos": as_value([photo], many=True), "remarks": ""}
        (finished,) = [
            event for event in await answered(client, run, form, "submit", **values) if isinstance(event, RunFinished)
        ]
        assert finished.status is RunStatus.SUCCEEDED
        given_back = out_files(finished.outputs, None)
        assert [file.name for file in given_back] == ["signed.pdf", "roof.png"]
        for file, content in zip(given_back, (b"%PDF-1.7", b"\x89PNG"), strict=True):
            async with client.download(run, file.url) as read_back:
                assert await read(read_back) == content


async def test_a_start_with_files_is_known_among_those_in_dify_s_log() -> None:
    """Dify keeps file objects where mappings were sent (recording 18)."""
    async with playing(file_start()) as (_, client), Elsewhere() as elsewhere:
        start = make_run(run_inputs={})
        contract = await uploaded(client, start, "contract", "signed.pdf", b"%PDF-1.7", FileKind.DOCUMENT)
        other = await uploaded(client, start, "contract", "other.pdf", b"%PDF-1.7", FileKind.DOCUMENT)
        link = replace(contract, attachment_id="link", url=elsewhere.put("/roof.png", b"\x89PNG", "image/png"))
        link = replace(link, kind=FileKind.IMAGE)
        inputs = {"contract": as_value([contract], many=False), "photos": as_value([link], many=True), "note": "x"}
        run = replace(start, run_inputs=inputs, attachments=(contract, link))
        async with client.start(run) as stream:
            started = next(event for event in [event async for event in stream] if isinstance(event, RunStarted))
        assert await client.is_start_of(run, started.workflow_run_id)
        for changed in (replace(contract, upload_file_id=other.upload_file_id), replace(link, url="https://x.example")):
            others = tuple(changed if each.attachment_id == changed.attachment_id else each for each in run.attachments)
            assert not await client.is_start_of(replace(run, attachments=others), started.workflow_run_id)


async def test_what_tools_made_is_read_from_the_text_of_a_form() -> None:
    """Its addresses were signed when the form was made, and are never renewed (dify-api §12.6)."""
    async with playing(picture_form()) as (_, client):
        run, (form,) = await paused(client, make_run(run_inputs={"topic": "sales"}))
        chart, letter = out_files(form.content, form.form_id)
        assert (chart.name, chart.is_image, letter.name, letter.is_image) == ("chart.png", True, "letter.pdf", False)
        async with client.download(run, letter.url) as content:
            assert content.mime_type == "application/pdf"
            assert (await read(content)).startswith(b"%PDF-1.4")
        with pytest.raises(DifyNotFound):
            async with client.download(run, chart.url.replace("sign=", "sign=x")):
                pass


async def test_what_a_chatflow_answered_with_is_read_also_later() -> None:
    """Pictures are cut out of the answer that Dify keeps, and stand beside it (recording 31)."""
    async with playing(file_chat()) as (_, client):
        run = make_run(mode=AppMode.CHATFLOW, query="Sales?", run_inputs={})
        async with client.start(run) as stream:
            events = [event async for event in stream]
        started = next(event for event in events if isinstance(event, RunStarted))
        run = replace(run, conversation_id=started.conversation_id)
        (finished,) = [event for event in events if isinstance(event, RunFinished)]
        files = out_files(finished.outputs["answer"], None)
        assert [file.name for file in files] == ["chart.png", "letter.pdf"]
        for file in files:
            async with client.download(run, file.url.replace("timestamp=", "timestamp=1")) as content:
                assert content.size == len(await read(content)) > 0


async def uploaded(client: DifyClient, run: Run, field: str, name: str, content: bytes, kind: FileKind) -> Attachment:
    """Upload a file and return it as it is attached to a field."""
    upload_id = await client.upload(run, name, file_of(content, mime_type="application/octet-stream"))
    return make_attachment(attachment_id=name, name=name, field=field, kind=kind, upload_file_id=upload_id)
