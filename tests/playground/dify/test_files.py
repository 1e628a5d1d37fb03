"""Files of the simulated Dify server: what is taken, what is checked, and how long an address lives (dify-api §12)."""

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from bot.playground.bodies import Body, Repeated
from bot.playground.dify import Dify, DifyServer, apps
from bot.playground.dify.faults import Route
from bot.playground.dify.graph import App, End, HumanInput, action, file, start_file
from bot.playground.elsewhere import Elsewhere
from tests.playground.dify.client import Client, playing

Json = dict[str, Any]
MB = 1024 * 1024
LINK = re.compile(r"(!?)\[([^\]]+)\]\(([^)]+)\)")


class Clock:
    """A clock that only moves when told to."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


async def pieces(body: Body) -> AsyncIterator[bytes]:
    for chunk in body.chunks():
        yield chunk


async def post(client: Client, name: str, content: bytes, mime_type: str, user: str = "u1") -> httpx.Response:
    files = {"file": (name, content, mime_type)}
    return await client.http.post("/files/upload", data={"user": user}, files=files)


async def mapping(client: Client, name: str, kind: str, user: str = "u1") -> Json:
    """Upload a file, and return how an input speaks of it."""
    response = await post(client, name, b"content of " + name.encode(), "application/octet-stream", user)
    return {"type": kind, "transfer_method": "local_file", "upload_file_id": response.raise_for_status().json()["id"]}


def remote(url: str, kind: str = "document") -> Json:
    return {"type": kind, "transfer_method": "remote_url", "url": url}


async def status(client: Client, url: str) -> int:
    """Ask for an address without a key."""
    async with httpx.AsyncClient(base_url=client.server.base_url.removesuffix("/v1"), verify=False) as anybody:
        return (await anybody.get(url)).status_code


async def run(client: Client, files: list[Json] | None = None, **inputs: Any) -> httpx.Response:
    body = {"inputs": inputs, "user": client.user, "response_mode": "blocking", "files": files}
    return await client.http.post("/workflows/run", json=body)


def one_file(rules: Json | None = None) -> App:
    """An app that asks for one file of any kind that Dify knows."""
    field = file("proof", types=["image", "document"]) | (rules or {})
    return App(
        name="one_file",
        nodes=(
            HumanInput("ask", "Ask", "{{#$output.proof#}}", (field,), (action("ok", "OK"),)),
            End("end", "End", {"proof": ("ask", "proof")}),
        ),
        edges=("start -> ask", "ask.ok -> end"),
    )


# --- uploads ---------------------------------------------------------------------------------------------------------


async def test_a_big_upload_is_taken_in_piece_by_piece_and_given_back() -> None:
    film = Repeated(60 * MB, b"frame")
    async with playing(apps.file_form()) as (dify, client):
        boundary = b"the-boundary"
        head = b'Content-Disposition: form-data; name="file"; filename="a.mp4"\r\nContent-Type: video/mp4\r\n\r\n'

        async def body() -> AsyncIterator[bytes]:
            yield b"--" + boundary + b"\r\n" + head
            async for chunk in pieces(film):
                yield chunk
            yield b'\r\n--%b\r\nContent-Disposition: form-data; name="user"\r\n\r\nu1\r\n--%b--\r\n' % (
                boundary,
                boundary,
            )

        headers = {"Content-Type": f"multipart/form-data; boundary={boundary.decode()}"}
        answer = (await client.http.post("/files/upload", content=body(), headers=headers)).raise_for_status().json()
        stored = dify.files.stored[answer["id"]]
        assert (answer["size"], stored.body.sha256, stored.user) == (film.size, film.sha256, "u1")
        async with client.http.stream("GET", answer["source_url"]) as response:
            sizes = [len(chunk) async for chunk in response.aiter_bytes()]
        assert sum(sizes) == film.size


@pytest.mark.parametrize("is_chunked", [False, True])
async def test_a_proxy_refuses_a_body_that_is_too_large(is_chunked: bool) -> None:
    """dify-api §2.4: as HTML, and without Dify's version."""
    dify = Dify([apps.file_form()], body_limit=MB)
    async with DifyServer(dify) as server, httpx.AsyncClient(base_url=server.base_url, verify=False) as http:
        http.headers["Authorization"] = f"Bearer {apps.file_form().key}"
        request = http.build_request("POST", "/files/upload", files={"file": ("a.bin", b"x" * 2 * MB, "x/y")})
        content = request.read()
        if is_chunked:
            request = http.build_request(
                "POST", "/files/upload", content=pieces(Repeated(len(content), content)), headers=_type_of(request)
            )
        response = await http.send(request)
        assert (response.status_code, response.headers["content-type"]) == (413, "text/html; charset=utf-8")
        assert "413 Request Entity Too Large" in response.text
        assert "x-version" not in response.headers
        assert not dify.files.stored


def _type_of(request: httpx.Request) -> dict[str, str]:
    return {"Content-Type": request.headers["Content-Type"]}


async def test_the_proxy_of_an_untouched_installation_takes_100_mib() -> None:
    """dify-api §12.1: no more than Dify's own limit of a video, its multipart frame included."""
    assert Dify([]).body_limit == 100 * MB


@pytest.mark.parametrize(("number", "code"), [(413, "file_too_large"), (415, "unsupported_file_type")])
async def test_refusals_of_an_upload_can_be_ordered(number: int, code: str) -> None:
    """In Dify's own words (recordings 08, 46)."""
    async with playing(apps.file_form()) as (dify, client):
        dify.fail_next(Route.UPLOAD, number)
        first, second = [await post(client, "a.txt", b"a", "text/plain") for _ in range(2)]
        assert (first.status_code, first.json()["code"], second.status_code) == (number, code, 201)


async def test_files_can_be_cut_on_both_ways() -> None:
    async with playing(apps.file_form()) as (dify, client):
        dify.cut_file("upload", 10)
        with pytest.raises(httpx.HTTPError):
            await post(client, "a.txt", b"a" * MB, "text/plain")
        assert not dify.files.stored
        url = (await post(client, "a.txt", b"a" * MB, "text/plain")).json()["source_url"]
        dify.cut_file("download", 1000)
        with pytest.raises(httpx.RemoteProtocolError):
            await status(client, url)
        assert await status(client, url) == 200
        for order in (lambda: dify.cut_file("events", 1), lambda: dify.slow_file("upload", 1)):
            with pytest.raises(ValueError, match="files"):
                order()


async def test_a_download_can_be_slow() -> None:
    async with playing(apps.file_form()) as (dify, client):
        url = (await post(client, "a.txt", b"a" * MB, "text/plain")).json()["source_url"]
        dify.slow_file(Route.DOWNLOAD, 600)
        async with client.http.stream("GET", url) as response:
            chunks = response.aiter_bytes(MB // 2)
            assert len(await anext(chunks)) == MB // 2
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(chunks), 0.2)


# --- addresses -------------------------------------------------------------------------------------------------------


async def test_what_a_tool_makes_has_an_address_of_its_own_kind() -> None:
    """dify-api §12.6: with the file's type and extension, and another word when it is too old."""
    clock = Clock()
    dify = Dify([apps.file_report()], speed=20, now=clock)
    async with DifyServer(dify) as server, _client(server, apps.file_report()) as client:
        outputs = (await run(client, topic="Tea")).json()["data"]["outputs"]
        (film,) = outputs["film"]
        assert (film["transfer_method"], film["type"], film["size"]) == ("tool_file", "video", 20_000)
        assert re.search(r"/files/tools/[0-9a-f-]{36}\.mp4\?timestamp=", film["url"])
        response = await client.http.get(film["url"])
        assert (response.headers["content-type"], response.content) == ("video/mp4", b"\0" * 20_000)
        for late, expected in ((300, 200), (301, 403)):
            clock.now = 1_800_000_000 + late
            assert (await client.http.get(film["url"])).status_code == expected
        altered = film["url"][:-3] + "xx%3D"
        assert (await client.http.get(altered)).json()["code"] == "forbidden"


def _client(server: DifyServer, app: App) -> Any:
    headers = {"Authorization": f"Bearer {app.key}"}
    http = httpx.AsyncClient(base_url=server.base_url, headers=headers, timeout=20, verify=False)
    return _Entered(http, server)


class _Entered:
    def __init__(self, http: httpx.AsyncClient, server: DifyServer) -> None:
        self._http, self._server = http, server

    async def __aenter__(self) -> Client:
        return Client(await self._http.__aenter__(), "u1", self._server)

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()


async def test_files_lie_deep_in_outputs_and_are_listed_beside_them() -> None:
    async with playing(apps.file_report()) as (_, client):
        async with client.start(topic="Tea") as follower:
            finished = await follower.until("workflow_finished")
        outputs = finished["data"]["outputs"]
        chart, letter = outputs["report"]["parts"]
        names = [chart["chart"][0]["filename"], letter[0]["filename"], outputs["film"][0]["filename"]]
        assert names == ["chart.png", "letter.pdf", "film.mp4"]
        assert [each["filename"] for each in finished["data"]["files"]] == names
        ((image, name, url),) = LINK.findall(outputs["text"])
        assert (image, name, await status(client, url)) == ("!", "chart.png", 200)


async def test_a_form_is_signed_when_it_is_made_and_outputs_at_the_end() -> None:
    """dify-api §12.6: neither when the file came, and neither again."""
    clock = Clock()
    app = App(
        name="late",
        start=(start_file("paper", types=["document"]),),
        nodes=(
            HumanInput("first", "First", "First: {{#start.paper#}}", (), (action("ok", "OK"),)),
            HumanInput("second", "Second", "Second: {{#start.paper#}}", (), (action("ok", "OK"),)),
            End("end", "End", {"paper": ("start", "paper")}),
        ),
        edges=("start -> first", "first.ok -> second", "second.ok -> end"),
    )
    dify = Dify([app], speed=20, now=clock)
    async with DifyServer(dify) as server, _client(server, app) as client:
        run_id, (first,) = await client.pause(paper=await mapping(client, "a.pdf", "document"))
        assert await _opens(client, first["form_content"]) == 200
        clock.now += 3600
        assert await _opens(client, first["form_content"]) == 404
        await client.submit(first, "ok")
        await dify.wait_for(lambda: dify.open_forms() and dify.open_forms()[0].node_id == "second")
        read = await client.http.get(f"/form/human_input/{dify.open_forms()[0].token}")
        assert await _opens(client, read.json()["form_content"]) == 200
        clock.now += 3600
        await client.submit({"form_token": dify.open_forms()[0].token}, "ok")
        await dify.wait_for(lambda: dify.runs[run_id].status.ended)
        paper = (await client.detail(run_id))["outputs"]["paper"]
        assert await status(client, paper["url"]) == 200
        clock.now += 301
        assert (await client.detail(run_id))["outputs"]["paper"] == paper
        assert await status(client, paper["url"]) == 404


async def _opens(client: Client, text: str) -> int:
    """The status that the first link in a text answers with."""
    return await status(client, LINK.findall(text)[0][2])


@pytest.mark.parametrize("where", ["other", "hostless"])
async def test_files_may_have_a_host_of_their_own_or_none(where: Any) -> None:
    app = apps.picture_form()
    dify = Dify([app], speed=20)
    async with DifyServer(dify, files_url=where) as server, _client(server, app) as client:
        _, (form,) = await client.pause(topic="Tea")
        url = LINK.findall(form["form_content"])[0][2]
        host = url.partition("/files/")[0]
        assert host != server.base_url.removesuffix("/v1")
        assert host.startswith("http://localhost:") if where == "other" else host == ""
        assert await status(client, url) == 200


async def test_history_signs_anew_and_has_no_images_in_its_answers() -> None:
    """Recording 31: the image is in `message_files` only; what somebody attached is there, too."""
    clock = Clock()
    app = apps.file_chat()
    dify = Dify([app], speed=20, now=clock)
    async with DifyServer(dify) as server, _client(server, app) as client:
        paper, photo = await mapping(client, "a.pdf", "document"), await mapping(client, "b.png", "image")
        body = {"inputs": {}, "query": "tea", "user": "u1", "response_mode": "blocking", "files": [paper, photo]}
        said = (await client.http.post("/chat-messages", json=body)).raise_for_status().json()
        clock.now += 3600
        query = {"user": "u1", "conversation_id": said["conversation_id"]}
        (message,) = (await client.http.get("/messages", params=query)).json()["data"]
        links = LINK.findall(message["answer"])
        assert [(image, name) for image, name, _ in links] == [("", "letter.pdf"), ("", "a.pdf")]
        assert [await status(client, url) for *_, url in links] == [200, 200]
        shown = [(each["belongs_to"], each["filename"]) for each in message["message_files"]]
        mine = [("user", "a.pdf"), ("user", "b.png")]
        assert shown == [*mine, *(("assistant", name) for name in ("chart.png", "letter.pdf", "a.pdf", "b.png"))]
        assert {await status(client, each["url"]) for each in message["message_files"]} == {200}
        preview = await client.http.get(f"/files/{photo['upload_file_id']}/preview")
        assert (preview.status_code, preview.content) == (200, b"content of b.png")


async def test_a_chatflow_without_attachments_ignores_them() -> None:
    """Recording 41."""
    async with playing(apps.chat()) as (dify, client):
        photo = await mapping(client, "b.png", "image")
        body = {"inputs": {}, "query": "tea", "user": "u1", "response_mode": "blocking", "files": [photo]}
        (await client.http.post("/chat-messages", json=body)).raise_for_status()
        (conversation,) = dify.conversations.values()
        assert conversation.messages[0].files == []


# --- who may use which file ------------------------------------------------------------------------------------------


async def test_somebody_elses_file_fails_the_run_after_the_submit() -> None:
    """dify-api §12.4, recording 10: another user's, and another app's of the same user."""
    form, other = one_file(), apps.file_form()
    dify = Dify([form, other], speed=20)
    async with DifyServer(dify) as server, _client(server, form) as mine, _client(server, other) as others:
        theirs = await mapping(mine, "a.pdf", "document", user="u2")
        for proof in (theirs, await mapping(others, "a.pdf", "document")):
            run_id, (asked,) = await mine.pause()
            assert (await mine.submit(asked, "ok", proof=proof)).status_code == 200
            await dify.wait_for(lambda: dify.runs[run_id].status.ended)  # noqa: B023
            detail = await mine.detail(run_id)
            assert (detail["status"], detail["error"]) == ("failed", "Invalid upload file")


async def test_a_list_loses_what_names_nothing() -> None:
    """dify-api §12.3: without a word."""
    async with playing(apps.file_start()) as (_, client):
        paper, photo = await mapping(client, "a.pdf", "document"), await mapping(client, "b.png", "image")
        nothing = [{"type": "image"}, {"type": "image", "transfer_method": "remote_url"}]
        response = await run(client, contract=paper, photos=[*nothing, photo])
        assert [each["filename"] for each in response.json()["data"]["outputs"]["photos"]] == ["b.png"]


# --- remote files: dify-api §12.5 ------------------------------------------------------------------------------------


async def test_a_remote_file_is_looked_at_at_the_submit_and_on_the_resume() -> None:
    """By its headers; what it is called and how big it is, they tell."""
    async with playing(one_file()) as (dify, client), Elsewhere() as elsewhere:
        named = {"Content-Disposition": 'attachment; filename="report.pdf"'}
        url = elsewhere.put("/download", b"%PDF", "application/pdf", headers=named)
        run_id, (form,) = await client.pause()
        assert (await client.submit(form, "ok", proof=remote(url))).status_code == 200
        await dify.wait_for(lambda: dify.runs[run_id].status.ended)
        proof = (await client.detail(run_id))["outputs"]["proof"]
        assert (proof["filename"], proof["size"], proof["url"]) == ("report.pdf", 4, url)
        assert [visit.method for visit in elsewhere.visits] == ["HEAD", "HEAD"]


async def test_an_answer_that_is_no_success_tells_nothing() -> None:
    """The type is guessed by the address then."""
    async with playing(one_file()) as (_, client), Elsewhere() as elsewhere:
        _, (form,) = await client.pause()
        gone = elsewhere.put("/a.png", b"png", "image/png", status=404)
        refused = await client.submit(form, "ok", proof=remote(gone))
        assert "does not match the specified type" in refused.json()["message"]
        assert (await client.submit(form, "ok", proof=remote(gone, "image"))).status_code == 200


@pytest.mark.parametrize("number", [429, 503])
async def test_a_busy_host_is_asked_four_times_and_then_refused(number: int) -> None:
    async with playing(one_file()) as (_, client), Elsewhere() as elsewhere:
        _, (form,) = await client.pause()
        url = elsewhere.put("/a.pdf", status=number)
        refused = await client.submit(form, "ok", proof=remote(url))
        assert (refused.status_code, refused.json()["code"]) == (400, "invalid_form_data")
        assert refused.json()["message"].endswith(f"Reached maximum retries (3) for URL {url}")
        assert len(elsewhere.visits) == 4
        assert (await client.http.get(f"/form/human_input/{form['form_token']}")).status_code == 200


async def test_a_remote_file_that_is_gone_by_then_fails_the_run() -> None:
    """After the submit was accepted."""
    async with playing(one_file()) as (dify, client):
        run_id, (form,) = await client.pause()
        async with Elsewhere() as elsewhere:
            url = elsewhere.put("/a.pdf", b"%PDF", "application/pdf")
            dify.stop_worker()
            assert (await client.submit(form, "ok", proof=remote(url))).status_code == 200
        dify.start_worker()
        await dify.wait_for(lambda: dify.runs[run_id].status.ended)
        detail = await client.detail(run_id)
        assert (detail["status"], detail["error"]) == ("failed", f"Reached maximum retries (3) for URL {url}")


async def test_a_start_looks_at_remote_files_too() -> None:
    async with playing(apps.file_start()) as (_, client), Elsewhere() as elsewhere:
        url = elsewhere.put("/a.pdf", b"%PDF", "application/pdf")
        response = await run(client, contract=remote(url))
        assert response.json()["data"]["outputs"]["contract"]["remote_url"] == url
        nowhere = "http://127.0.0.1:9/a.pdf"
        refused = await run(client, contract=remote(nowhere))
        assert refused.json()["message"] == f"Reached maximum retries (3) for URL {nowhere}"
