"""The page is for the browser on this machine only, and sends nothing that could do harm there."""

from __future__ import annotations

import io
import os
from pathlib import Path

import aiohttp
import pytest

from bot.playground.dify import App
from bot.playground.dify.apps import picture_form
from bot.playground.page import server, uploads
from bot.playground.page.server import PortTaken, listen
from bot.playground.slack import LocalFile
from bot.playground.stage import Stage
from tests.playground.page.browser import Browser


@pytest.fixture
def sample_apps() -> dict[str, App]:
    """One whose form shows a picture."""
    return {"picture": picture_form()}


async def test_the_page_and_its_parts_come_from_here_and_from_nowhere_else(page: Browser) -> None:
    async with page.session.get(page.url) as answer:
        assert (answer.status, answer.content_type) == (200, "text/html")
        policy = answer.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'self'; img-src 'self' data:; connect-src 'self';")
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
    kinds = {".mjs": "javascript", ".css": "css", ".svg": "svg+xml"}
    parts = [path for path in server.STATIC.rglob("*") if path.suffix in kinds]
    assert {path.suffix for path in parts} == set(kinds)
    for path in parts:
        async with page.session.get(f"{page.url}/static/{path.relative_to(server.STATIC)}") as answer:
            assert (answer.status, answer.content_type.partition("/")[2]) == (200, kinds[path.suffix])


@pytest.mark.parametrize("path", ["/", "/socket", "/static/main.mjs", "/picture", "/files/F1"])
@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "evil.example:8000", "Origin": "http://evil.example:8000"},
        {"Host": "127.0.0.1.evil.example"},
        {"Host": "["},
        {"Origin": "https://evil.example"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "null"},
    ],
    ids=lambda headers: " ".join(headers.values()),
)
async def test_another_site_gets_nothing(page: Browser, path: str, headers: dict[str, str]) -> None:
    async with page.session.get(f"{page.url}{path}", headers=headers) as answer:
        assert answer.status in (400, 403)
        assert "workspace" not in await answer.text()


async def test_another_site_cannot_open_the_socket_nor_upload(page: Browser) -> None:
    headers = {"Origin": "http://localhost:3000"}
    with pytest.raises(aiohttp.WSServerHandshakeError, match="403"):
        await page.session.ws_connect(f"{page.url}/socket", headers=headers)
    async with page.session.post(f"{page.url}/upload", data={"file": io.BytesIO(b"x")}, headers=headers) as answer:
        assert answer.status == 403


async def test_the_page_itself_may_open_the_socket_under_each_of_its_names(page: Browser) -> None:
    for url in (page.url, page.url.replace("127.0.0.1", "localhost")):
        async with page.session.ws_connect(f"{url}/socket", headers={"Origin": url}) as socket:
            assert (await socket.receive_json())["first"]


async def test_files_get_no_rights_in_the_browser(page: Browser, stage: Stage) -> None:
    """One may be a page with a script in it."""
    ann = stage.workspace.person("ann")
    message = await ann.share("content", [LocalFile("a “b”.html", b"<script>")])
    (file,) = message.content.shared
    async with page.session.get(f"{page.url}/files/{file.id}") as answer:
        assert (await answer.read(), answer.content_type) == (b"<script>", "text/html")
        assert answer.headers["Content-Security-Policy"] == "sandbox; default-src 'none'"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Content-Disposition"] == "inline; filename*=UTF-8''a%20%E2%80%9Cb%E2%80%9D.html"
    ann.delete_file(file.id)
    for gone in (file.id, "F999"):
        async with page.session.get(f"{page.url}/files/{gone}") as answer:
            assert (answer.status, await answer.text()) == (404, "This file is not there any more.")


async def test_too_large_an_upload_is_told(page: Browser, tmp_path: Path) -> None:
    """Whether its size is announced or not."""
    large = tmp_path / "large.bin"
    with large.open("wb") as file:
        os.truncate(file.fileno(), uploads.UPLOAD_MAX + 1)
    with large.open("rb") as file:
        async with page.session.post(f"{page.url}/upload", data={"file": file}) as answer:
            assert (answer.status, await answer.json()) == (413, {"error": uploads.TOO_LARGE})


async def test_what_is_no_form_is_no_upload(page: Browser) -> None:
    async with page.session.post(f"{page.url}/upload", json={}) as answer:
        assert (answer.status, await answer.text()) == (400, "Send the files as a form (multipart/form-data).")


async def test_names_of_uploads_are_no_paths(page: Browser) -> None:
    form = aiohttp.FormData(quote_fields=False)
    form.add_field("file", io.BytesIO(b"x"), filename="../../etc/passwd")
    form.add_field("file", io.BytesIO(b"y"), filename="")
    async with page.session.post(f"{page.url}/upload", data=form) as answer:
        assert [each["name"] for each in (await answer.json())["uploads"]] == ["passwd", "file"]


async def test_pictures_of_dify_are_shown_and_no_others(page: Browser, stage: Stage) -> None:
    """Else the page would fetch for anybody what listens on this machine."""
    origin = stage.dify_server.base_url.removesuffix("/v1")
    app = picture_form()
    run = {"inputs": {}, "user": "u", "response_mode": "streaming"}
    async with page.session.post(
        f"{origin}/v1/workflows/run", json=run, headers={"Authorization": f"Bearer {app.key}"}
    ) as answer:
        await answer.read()
    (form,) = stage.dify.open_forms()
    address = form.content.partition("![")[2].partition("](")[2].partition(")")[0]
    async with page.session.get(f"{page.url}/picture", params={"url": address}) as answer:
        assert (answer.status, answer.content_type) == (200, "image/png")
        assert answer.headers["Content-Security-Policy"] == "sandbox; default-src 'none'"
        assert (await answer.read()).startswith(b"\x89PNG")
    for url, status in (
        ("", 403),
        ("nonsense", 403),
        (f"{origin}@example.com/x.png", 403),
        (f"{origin}/v1/info", 404),
        (f"{origin}/files/tools/none.png", 404),
        (f"{page.url}/", 403),
        (stage.workspace.url, 403),
        ("https://example.com/x.png", 403),
        ("file:///etc/passwd", 403),
    ):
        async with page.session.get(f"{page.url}/picture", params={"url": url}) as answer:
            assert (url, answer.status) == (url, status)


def test_a_port_that_is_taken_is_named() -> None:
    with listen(0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortTaken, match=f"Port {port} is in use. Choose another one with --port"):
            listen(port)
