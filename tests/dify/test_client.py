"""The client against a server on a real socket that does what the test says."""

from __future__ import annotations

import asyncio
import json
import logging
import ssl
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import httpx
import httpx_sse
import pytest
from aiohttp import web

from bot.core.events import (
    FormFilled,
    FormRequired,
    Ping,
    RunFinished,
    RunPaused,
    RunStarted,
    StreamEvent,
    StreamFailed,
)
from bot.core.model import AppMode, FormStatus, Run, RunStatus
from bot.core.ports import LoggedRun, RunDetail
from bot.dify import client as client_module
from bot.dify.client import Deadlines, DifyClient, stream_events
from bot.dify.sansio import SegmentReader
from bot.errors import (
    BotError,
    ConfigError,
    DifyError,
    DifyNotFound,
    DifyRejected,
    DifyUnauthorized,
    DifyUnavailable,
    FormClosed,
    FormRefused,
)
from tests.dify.recordings import exchange, frames
from tests.factories import file_of, make_attachment, make_form, make_run, make_submission

KEY = "app-demo-key"
TOKEN = "form-token-demo"
RUN = make_run(workflow_run_id="run-id", task_id="task-id")
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Costs nothing to make, unlike one that trusts the world; the servers here speak plain HTTP."""
SHORT = 0.05
"""Seconds after which a deadline under test passes; no test needs anything to happen sooner."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[str]:
    """Serve every request with one handler and yield the base URL."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.01)  # aiohttp takes 0 for “no limit”
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    try:
        yield f"http://{host}:{port}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def client_of(handler: Handler, deadlines: Deadlines | None = None) -> AsyncIterator[DifyClient]:
    """Yield a client whose server is that handler."""
    async with (
        serving(handler) as base_url,
        DifyClient(base_url, KEY, deadlines=deadlines, ssl_context=NO_TLS) as client,
    ):
        yield client


def answering(status: int, body: Any = None, *, text: str | None = None, kind: str = "application/json") -> Handler:
    """Answer every request alike."""

    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(status=status, text=json.dumps(body) if text is None else text, content_type=kind)

    return answer


def refusing(status: int, code: str, message: str = "no") -> Handler:
    return answering(status, {"code": code, "message": message, "status": status})


async def open_stream(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8", "X-Version": "1.14.2"})
    await response.prepare(request)
    return response


def streaming(*chunks: bytes, then: str = "end") -> Handler:
    """Stream these chunks and then `end` the body, `wait` for ever, or `cut` it in the middle."""

    async def stream(request: web.Request) -> web.StreamResponse:
        response = await open_stream(request)
        for chunk in chunks:
            await response.write(chunk)
        if then == "wait":
            await asyncio.Event().wait()
        if then == "cut":
            assert request.transport is not None
            request.transport.close()
        return response

    return stream


async def never(request: web.Request) -> web.StreamResponse:
    await asyncio.Event().wait()
    raise AssertionError("unreachable")


async def hang_up(request: web.Request) -> web.StreamResponse:
    await request.read()
    assert request.transport is not None
    request.transport.close()
    return web.Response()


async def start(client: DifyClient) -> list[StreamEvent]:
    async with client.start(make_run()) as events:
        return [event async for event in events]


async def follow(client: DifyClient) -> list[StreamEvent]:
    async with client.follow(RUN) as events:
        return [event async for event in events]


PING = b"event: ping\n\n"
START_TO_PAUSE = exchange("01/0").stream
SNAPSHOT = next(
    each.stream
    for each in (exchange(f"05/{place}") for place in range(30))
    if each.chunks and b"snapshot=true" in each.path.encode() and b"human_input_required" in each.stream
)


# --- streams ---------------------------------------------------------------------------------------------------------


async def test_a_start_sends_one_request_with_the_key_and_leaves_at_the_pause() -> None:
    """The server closes about a second later; nobody waits for that (recording 01)."""
    seen: list[tuple[str, str, str, Any]] = []

    async def app(request: web.Request) -> web.StreamResponse:
        seen.append((request.method, request.path, request.headers["Authorization"], await request.json()))
        return await streaming(START_TO_PAUSE, then="wait")(request)

    async with client_of(app) as client:
        events = await start(client)
    assert [type(events[0]), type(events[1]), type(events[-2]), type(events[-1])] == [
        Ping,
        RunStarted,
        FormRequired,
        RunPaused,
    ]
    body = {"inputs": {"topic": "tea"}, "response_mode": "streaming", "user": "slack:T1:U1"}
    assert seen == [("POST", "/v1/workflows/run", f"Bearer {KEY}", body)]


async def test_following_asks_for_the_run_as_its_starter_and_leaves_at_the_end() -> None:
    seen: list[tuple[str, dict[str, str]]] = []

    async def app(request: web.Request) -> web.StreamResponse:
        seen.append((request.path, dict(request.query)))
        return await streaming(exchange("01/3").stream, then="wait")(request)

    async with client_of(app) as client:
        events = await follow(client)
    assert isinstance(events[-1], RunFinished)
    assert seen == [("/v1/workflow/run-id/events", {"user": "slack:T1:U1"})]


async def test_the_first_ping_comes_before_anything_else_happens() -> None:
    """Whoever submits a form waits for it first (dify-api §9.3)."""
    async with client_of(streaming(PING, then="wait")) as client, client.follow(RUN) as events:
        assert await anext(events) == Ping()


async def test_a_failed_start_is_told_and_left() -> None:
    """The server would keep the silent socket open for 300 s (recording 20)."""
    async with client_of(streaming(exchange("03/0").stream, then="wait")) as client:
        assert await start(client) == [Ping(), StreamFailed("language is required in input form")]


async def test_a_stream_that_ends_without_a_word_just_ends() -> None:
    async with client_of(streaming(PING, PING)) as client:
        assert await follow(client) == [Ping(), Ping()]


async def test_continue_on_pause_reads_over_a_pause() -> None:
    async with (
        client_of(streaming(START_TO_PAUSE, exchange("01/3").stream)) as client,
        client.follow(RUN, snapshot=True, continue_on_pause=True) as stream,
    ):
        kinds = [type(event) async for event in stream]
    assert RunPaused in kinds
    assert kinds[-1] is RunFinished


async def test_a_body_cut_in_the_middle_is_no_end() -> None:
    """That is how streams end when the API restarts (recording 45)."""
    async with client_of(streaming(PING, frames(START_TO_PAUSE)[1], then="cut")) as client:
        seen: list[StreamEvent] = []
        with pytest.raises(DifyUnavailable, match="broke") as caught:  # noqa: PT012 - what came before counts, too
            async with client.follow(RUN) as events:
                async for event in events:
                    seen.append(event)  # noqa: PERF401 - kept although the loop breaks off
    assert [type(event) for event in seen] == [Ping, RunStarted]
    assert caught.value.sent


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, "app_unavailable", DifyRejected),
        (401, "unauthorized", DifyUnauthorized),
        (404, "not_found", DifyNotFound),
        (500, "unknown", DifyUnavailable),
    ],
)
async def test_a_refused_stream_tells_dify_s_answer(status: int, code: str, kind: type[DifyError]) -> None:
    async with client_of(refusing(status, code, "Said so.")) as client:
        for read in (start, follow):
            with pytest.raises(DifyError, match=r"Said so\.") as caught:
                await read(client)
            assert type(caught.value) is kind
            assert (caught.value.status, caught.value.code) == (status, code)


async def test_a_refusal_that_never_ends_is_given_up() -> None:
    async def half_an_answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(status=500, headers={"Content-Type": "application/json"})
        await response.prepare(request)
        await response.write(b'{"code"')
        await asyncio.Event().wait()
        return response

    async with client_of(half_an_answer, Deadlines(silence=SHORT)) as client:
        with pytest.raises(DifyUnavailable, match="in time"):
            await follow(client)


async def test_a_page_instead_of_a_stream_is_no_stream() -> None:
    async with client_of(answering(200, text="<html>Log in</html>", kind="text/html")) as client:
        with pytest.raises(DifyUnavailable):
            await follow(client)


# --- deadlines -------------------------------------------------------------------------------------------------------


async def pinging(request: web.Request) -> web.StreamResponse:
    response = await open_stream(request)
    while True:
        await response.write(PING)
        await asyncio.sleep(SHORT / 10)


@pytest.mark.parametrize("handler", [never, streaming(PING, then="wait"), pinging])
async def test_a_start_that_says_nothing_but_pings_is_given_up(handler: Handler) -> None:
    """It may run all the same: the job stays queued (recording 38)."""
    async with client_of(handler, Deadlines(first_event=SHORT)) as client:
        with pytest.raises(DifyUnavailable, match="in time") as caught:
            await start(client)
    assert caught.value.sent


async def test_after_the_first_event_its_deadline_no_longer_counts() -> None:
    async def arriving() -> AsyncIterator[bytes]:
        for frame in frames(START_TO_PAUSE):
            for _ in range(3):
                await asyncio.sleep(0)  # long enough for a deadline that has passed to strike
            yield frame

    response = httpx.Response(200, headers={"Content-Type": "text/event-stream"}, content=arriving())
    reader = SegmentReader()
    reader.receive("message", '{"event": "message_end"}')
    long_ago = asyncio.get_running_loop().time() - 1
    events = [event async for event in stream_events(httpx_sse.EventSource(response), reader, long_ago)]
    assert isinstance(events[-1], RunPaused)


@pytest.mark.parametrize("handler", [never, streaming(PING, then="wait")])
async def test_a_followed_stream_without_a_byte_is_given_up(handler: Handler) -> None:
    async with client_of(handler, Deadlines(silence=SHORT)) as client:
        with pytest.raises(DifyUnavailable, match="in time"):
            await follow(client)


async def test_a_start_has_a_silence_of_its_own() -> None:
    deadlines = Deadlines(silence=1000, start_silence=SHORT)
    async with client_of(streaming(frames(START_TO_PAUSE)[1], then="wait"), deadlines) as client:
        with pytest.raises(DifyUnavailable, match="in time"):
            await start(client)


async def test_a_followed_stream_may_ping_for_as_long_as_it_likes() -> None:
    """A paused run brings nothing else (recording 05)."""
    async with client_of(pinging, Deadlines(first_event=SHORT)) as client, client.follow(RUN) as events:
        for _ in range(20):
            assert await anext(events) == Ping()


async def trickling(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    while True:
        await response.write(b" ")
        await asyncio.sleep(SHORT / 10)


@pytest.mark.parametrize("handler", [never, trickling])
async def test_a_short_call_is_given_up_as_a_whole(handler: Handler) -> None:
    async with client_of(handler, Deadlines(call=SHORT)) as client:
        with pytest.raises(DifyUnavailable, match="in time") as caught:
            await client.info()
    assert caught.value.sent


# --- the transport ---------------------------------------------------------------------------------------------------


async def unused_address() -> str:
    server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    return f"http://127.0.0.1:{port}"


async def test_a_refused_connection_was_surely_not_sent() -> None:
    async with DifyClient(await unused_address(), KEY) as client:
        for call in (start(client), follow(client), client.submit(RUN, make_form(), make_submission())):
            with pytest.raises(DifyUnavailable, match="could not be reached") as caught:
                await call
            assert not caught.value.sent


async def test_a_lost_response_may_have_been_taken() -> None:
    async with client_of(hang_up) as client:
        for call in (client.submit(RUN, make_form(), make_submission()), start(client)):
            with pytest.raises(DifyUnavailable) as caught:
                await call
            assert caught.value.sent


def _raised_by_the_libraries() -> list[type[Exception]]:
    exported = [getattr(library, name) for library in (httpx, httpx_sse) for name in library.__all__]
    return [each for each in exported if isinstance(each, type) and issubclass(each, Exception)]


@pytest.mark.parametrize("kind", _raised_by_the_libraries())
def test_every_exception_of_httpx_and_httpx_sse_is_mapped(kind: type[Exception]) -> None:
    """A new one in a later version fails here."""
    assert issubclass(kind, client_module._FAILURES)


@pytest.mark.parametrize(
    ("error", "sent"),
    [
        (httpx.ConnectError("no route"), False),
        (httpx.ConnectTimeout(""), False),
        (httpx.PoolTimeout(""), False),
        (httpx.ProxyError("403"), False),
        (httpx.UnsupportedProtocol(""), False),
        (httpx.ReadTimeout(""), True),
        (httpx.WriteTimeout(""), True),
        (httpx.ReadError(""), True),
        (httpx.WriteError(""), True),
        (httpx.RemoteProtocolError(""), True),
        (httpx.DecodingError(""), True),
        (httpx_sse.SSEError(""), True),
        (TimeoutError(), True),
    ],
)
def test_only_what_failed_before_the_request_is_surely_not_sent(error: Exception, sent: bool) -> None:
    assert client_module._unavailable(error).sent is sent


async def test_short_calls_do_not_queue_behind_streams() -> None:
    """More streams than any default pool has connections (design: each has its own)."""

    async def app(request: web.Request) -> web.StreamResponse:
        if request.path.endswith("/info"):
            return web.json_response({"name": "App", "mode": "workflow"})
        return await streaming(PING, then="wait")(request)

    async with client_of(app) as client, AsyncExitStack() as stack:
        for _ in range(120):
            await anext(await stack.enter_async_context(client.follow(RUN)))
        assert (await client.info()).name == "App"


async def test_leaving_a_stream_closes_its_connection() -> None:
    gone = asyncio.Event()

    async def app(request: web.Request) -> web.StreamResponse:
        response = await open_stream(request)
        try:
            while True:
                await response.write(PING)
                await asyncio.sleep(0)
        except ConnectionError:
            gone.set()
        return response

    async with client_of(app) as client:
        async with client.follow(RUN) as events:
            await anext(events)
        async with asyncio.timeout(10):
            await gone.wait()


async def test_what_a_reader_raises_passes_through_unchanged() -> None:
    async with client_of(streaming(PING, then="wait")) as client:
        with pytest.raises(TimeoutError, match="mine"):  # noqa: PT012 - the stream has to be open
            async with client.follow(RUN) as events:
                async for _ in events:
                    raise TimeoutError("mine")


# --- the app ---------------------------------------------------------------------------------------------------------


async def recorded_app(request: web.Request) -> web.StreamResponse:
    recorded = {"/v1/info": "02/0", "/v1/parameters": "02/1", "/v1/site": "02/2"}[request.path]
    headers = {"X-Version": "1.14.2"}
    return web.Response(text=exchange(recorded).body, content_type="application/json", headers=headers)


async def test_an_app_is_described() -> None:
    async with client_of(recorded_app) as client:
        description = await client.describe()
        assert (await client.site()).title == "content-review"
    assert (description.title, description.mode) == ("content-review", AppMode.WORKFLOW)
    assert [each.variable for each in description.start_inputs] == ["topic", "language"]


async def test_the_version_is_the_one_of_the_last_answer() -> None:
    async with client_of(recorded_app) as client:
        assert client.version is None
        await client.info()
        assert client.version == "1.14.2"


async def test_a_stream_tells_the_version_too() -> None:
    async with client_of(streaming(PING)) as client:
        await follow(client)
        assert client.version == "1.14.2"


async def test_an_app_that_cannot_pause_is_refused() -> None:
    async with client_of(answering(200, {"name": "Chatter", "mode": "agent-chat"})) as client:
        with pytest.raises(DifyRejected, match="agent-chat"):
            await client.describe()


@pytest.mark.parametrize("body", ["<html>", "{}", "[]", '{"name": 7, "mode": "workflow"}'])
async def test_an_answer_that_cannot_be_read_is_no_answer(body: str) -> None:
    async with client_of(answering(200, text=body)) as client:
        with pytest.raises(DifyUnavailable, match="AppInfo"):
            await client.info()


@pytest.mark.parametrize("key", ["", "app demo", "app-demo\n", "app-dèmo"])
def test_what_cannot_be_a_key_is_told_without_repeating_it(key: str) -> None:
    """httpx would quote the whole header in its complaint."""
    with pytest.raises(ConfigError, match="DIFY_API_KEY") as caught:
        DifyClient("http://127.0.0.1:1", key)
    assert not key or key not in str(caught.value)


@pytest.mark.parametrize("base_url", ["dify.example", "http://dify.example:port", "http://dify\x00.example"])
def test_what_is_no_address_is_told(base_url: str) -> None:
    with pytest.raises(ConfigError, match="DIFY_BASE_URL"):
        DifyClient(base_url, KEY)


# --- a run and its forms ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["running", "paused", "succeeded", "failed", "stopped", "partial-succeeded"])
async def test_run_detail_tells_dify_s_status(status: str) -> None:
    body = {"status": status, "inputs": '{"topic": "tea"}', "outputs": {"a": 1}, "error": None, "total_steps": 3}
    async with client_of(answering(200, body)) as client:
        detail = await client.run_detail(RUN)
    assert detail == RunDetail(RunStatus(status), {"a": 1}, None, steps=3)


@pytest.mark.parametrize("status", ["requested", "scheduled"])
async def test_run_detail_knows_no_other_status(status: str) -> None:
    async with client_of(answering(200, {"status": status})) as client:
        with pytest.raises(DifyUnavailable):
            await client.run_detail(RUN)


async def test_the_log_tells_the_oldest_run_first() -> None:
    entries = [{"workflow_run": {"id": name, "created_at": at}} for name, at in (("second", 1795188842), ("first", 1))]
    async with client_of(answering(200, {"data": entries, "has_more": False})) as client:
        logged = await client.logged_runs(RUN, RUN.created_at)
    assert logged == (
        LoggedRun("first", datetime.fromtimestamp(1, UTC)),
        LoggedRun("second", datetime(2026, 11, 20, 15, 34, 2, tzinfo=UTC)),
    )


@pytest.mark.parametrize(("topic", "alike"), [("tea", True), ("coffee", False)])
async def test_a_logged_run_is_compared_by_its_inputs(topic: str, alike: bool) -> None:
    """The declared defaults count for what was left out."""
    asked: list[str] = []

    async def app(request: web.Request) -> web.StreamResponse:
        asked.append(request.path)
        if request.path.endswith("/parameters"):
            style = {"variable": "style", "label": "Style", "type": "text-input", "default": "plain"}
            return web.json_response({"user_input_form": [{"text-input": style}]})
        return web.json_response({"status": "paused", "inputs": json.dumps({"topic": topic, "style": "plain"})})

    async with client_of(app) as client:
        assert await client.is_start_of(make_run(), "logged") is alike
    assert asked[0] == "/v1/workflows/run/logged"


@pytest.mark.parametrize(("upload_file_id", "alike"), [("upload-1", True), ("upload-2", False)])
async def test_a_logged_run_is_compared_by_its_files(upload_file_id: str, alike: bool) -> None:
    """By Dify's ids of them, which no two starts share: each has uploaded its own (recording 18)."""
    attachment = make_attachment(attachment_id="start-1", form_id=None, field="proof", upload_file_id="upload-1")
    run = make_run(run_inputs={"proof": {"attachment_id": "start-1"}}, attachments=(attachment,))

    async def app(request: web.Request) -> web.StreamResponse:
        if request.path.endswith("/parameters"):
            return web.json_response({"user_input_form": []})
        stored = {"dify_model_identity": "__dify__file__", "type": "image", "related_id": upload_file_id}
        return web.json_response({"status": "paused", "inputs": json.dumps({"proof": stored, "sys.files": []})})

    async with client_of(app) as client:
        assert await client.is_start_of(run, "logged") is alike


async def test_a_logged_run_that_was_deleted_is_nobody_s() -> None:
    async with client_of(refusing(404, "not_found")) as client:
        assert not await client.is_start_of(make_run(), "logged")


async def test_the_history_of_a_conversation_tells_answers_given_elsewhere() -> None:
    answered = {
        "submitted": True,
        "form_definition": {"form_id": "f"},
        "form_submission_data": {"action_id": "send", "submitted_data": {"reply": "x"}},
    }
    body = {"data": [{"id": "m", "answer": "Hi", "status": "normal", "error": None, "extra_contents": [answered]}]}
    async with client_of(answering(200, body)) as client:
        (message,) = await client.messages(make_run(conversation_id="talk"), limit=1)
    assert message.extra_contents[0].form_submission_data is not None
    assert message.extra_contents[0].form_submission_data.action_id == "send"


def _history(**form: Any) -> Handler:
    asked = {"submitted": True, "form_definition": {"form_id": "form-1"}} | form
    message = {"id": "m", "answer": "Hi", "status": "normal", "error": None}
    return answering(200, {"data": [message, message | {"extra_contents": [asked]}]})


CHAT = make_run(mode=AppMode.CHATFLOW, conversation_id="talk", workflow_run_id="run-id")


async def test_the_answer_that_closed_a_form_of_a_chatflow_can_be_read() -> None:
    answer = {"action_id": "send", "submitted_data": {"reply": "x"}}
    async with client_of(_history(form_submission_data=answer)) as client:
        assert await client.answer_given(CHAT, make_form()) == FormFilled(
            "node-review", "send", {"reply": "x"}, "form-1"
        )


@pytest.mark.parametrize(
    ("run", "form"),
    [
        (CHAT, {"form_submission_data": None}),
        (CHAT, {"form_definition": {"form_id": "another"}, "form_submission_data": {"action_id": "send"}}),
        (make_run(workflow_run_id="run-id"), {"form_submission_data": {"action_id": "send"}}),
    ],
    ids=["not answered", "another form", "workflow"],
)
async def test_dify_does_not_tell_of_every_answer(run: Run, form: dict[str, Any]) -> None:
    async with client_of(_history(**form)) as client:
        assert await client.answer_given(run, make_form()) is None


def paused_server(form: Handler, snapshot: bytes = SNAPSHOT) -> Handler:
    async def app(request: web.Request) -> web.StreamResponse:
        if "/form/" in request.path:
            return await form(request)
        assert request.query["include_state_snapshot"] == "true"
        return await streaming(snapshot)(request)

    return app


async def test_open_forms_carry_the_rendered_text() -> None:
    """The snapshot itself has the raw template (recording 05)."""
    definition = {"form_content": "Rendered.", "user_actions": [{"id": "yes", "title": "Yes"}], "inputs": []}
    async with client_of(paused_server(answering(200, definition))) as client:
        (form,) = await client.open_forms(RUN)
    assert form.content == "Rendered."
    assert [each.id for each in form.user_actions] == ["yes"]
    assert form.form_token
    assert form.answerable


async def test_a_form_that_cannot_be_found_is_not_answerable() -> None:
    async with client_of(paused_server(refusing(404, "not_found"))) as client:
        (form,) = await client.open_forms(RUN)
    assert not form.answerable


async def test_a_form_that_cannot_be_answered_is_not_read() -> None:
    async def unread(request: web.Request) -> web.StreamResponse:
        raise AssertionError("read")

    snapshot = SNAPSHOT.replace(b'"display_in_ui":true', b'"display_in_ui":false')
    async with client_of(paused_server(unread, snapshot)) as client:
        (form,) = await client.open_forms(RUN)
    assert not form.answerable


async def test_a_form_found_closed_is_left_out() -> None:
    async with client_of(paused_server(refusing(412, "human_input_form_submitted"))) as client:
        assert await client.open_forms(RUN) == ()


@pytest.mark.parametrize("status", [FormStatus.SUBMITTED, FormStatus.ANSWERED_ELSEWHERE])
async def test_a_form_that_is_known_to_be_answered_stays_in_while_dify_still_offers_it(status: FormStatus) -> None:
    """The snapshot is stale then (recording 25); without the form the lifecycle would take the pause for a new one."""
    async with client_of(paused_server(refusing(412, "human_input_form_submitted"))) as client:
        offered = [event async for event in _events(client) if isinstance(event, FormRequired)]
        answered = make_form(form_id=offered[0].form.form_id, status=status)
        forms = await client.open_forms(make_run(workflow_run_id="run-id", forms=(answered,)))
    assert [form.form_id for form in forms] == [answered.form_id]


async def _events(client: DifyClient) -> AsyncIterator[StreamEvent]:
    async with client.follow(RUN, snapshot=True) as events:
        async for event in events:
            yield event


@pytest.mark.parametrize("answer", [refusing(500, "unknown"), answering(404, text="404 page not found")])
async def test_any_other_answer_about_a_form_is_an_error(answer: Handler) -> None:
    """Above all, a proxy that does not find Dify makes no form unanswerable."""
    async with client_of(paused_server(answer)) as client:
        with pytest.raises(DifyUnavailable):
            await client.open_forms(RUN)


async def test_a_run_that_ended_meanwhile_waits_for_no_form() -> None:
    async with client_of(paused_server(never, exchange("01/3").stream)) as client:
        assert await client.open_forms(RUN) == ()


async def test_a_snapshot_without_a_pause_is_given_up() -> None:
    """It goes on live when the run is running again (dify-api §9.1)."""
    async with client_of(pinging, Deadlines(call=SHORT)) as client:
        with pytest.raises(DifyUnavailable, match="no pause in time"):
            await client.open_forms(RUN)


async def test_an_answer_is_sent_once() -> None:
    seen: list[tuple[str, str, Any]] = []

    async def app(request: web.Request) -> web.StreamResponse:
        seen.append((request.method, request.path, await request.json()))
        return web.json_response({})

    async with client_of(app) as client:
        await client.submit(RUN, make_form(), make_submission(action_id="approve", values={"feedback": "Grüße 🍵"}))
    body = {"inputs": {"feedback": "Grüße 🍵"}, "action": "approve", "user": "slack:T1:U1"}
    assert seen == [("POST", f"/v1/form/human_input/{TOKEN}", body)]


async def test_a_refused_answer_says_why() -> None:
    async with client_of(refusing(400, "invalid_form_data", "Missing required inputs: note")) as client:
        with pytest.raises(FormRefused, match="note"):
            await client.submit(RUN, make_form(), make_submission())


@pytest.mark.parametrize("code", ["rate_limit_error", "too_many_requests"])
async def test_an_answer_beyond_a_quota_may_be_taken_later(code: str) -> None:
    """dify-api §2.4: 429 says nothing of the answer, whatever its code; a start is not asked for again."""
    async with client_of(refusing(429, code, "Too many requests.")) as client:
        with pytest.raises(DifyUnavailable, match="Too many requests") as caught:
            await client.submit(RUN, make_form(), make_submission())
    assert (caught.value.sent, caught.value.status, caught.value.code) == (False, 429, code)


async def test_a_start_beyond_a_quota_is_refused() -> None:
    async with client_of(refusing(429, "rate_limit_error", "Too many requests.")) as client:
        with pytest.raises(DifyRejected, match="Too many requests"):
            await start(client)


@pytest.mark.parametrize(
    ("code", "expired"), [("human_input_form_submitted", False), ("human_input_form_expired", True)]
)
async def test_a_closed_form_takes_no_answer_and_is_not_open(code: str, expired: bool) -> None:
    async with client_of(refusing(412, code)) as client:
        for call in (client.submit(RUN, make_form(), make_submission()), client.check_open(make_form())):
            with pytest.raises(FormClosed) as caught:
                await call
            assert caught.value.expired is expired


async def test_a_form_that_can_be_read_is_open() -> None:
    async with client_of(answering(200, {"form_content": "", "user_actions": []})) as client:
        await client.check_open(make_form())


async def test_a_form_that_dify_does_not_know_is_not_open() -> None:
    async with client_of(refusing(404, "not_found")) as client:
        with pytest.raises(DifyNotFound):
            await client.check_open(make_form())


async def test_stopping_names_the_task() -> None:
    seen: list[tuple[str, Any]] = []

    async def app(request: web.Request) -> web.StreamResponse:
        seen.append((request.path, await request.json()))
        return web.json_response({"result": "success"})

    async with client_of(app) as client:
        await client.stop(RUN)
    assert seen == [("/v1/workflows/tasks/task-id/stop", {"user": "slack:T1:U1"})]


# --- secrets ---------------------------------------------------------------------------------------------------------


async def _every_call(client: DifyClient) -> list[BotError]:
    """Make every call there is and return what they raised."""
    errors: list[BotError] = []
    for call in (
        start(client),
        follow(client),
        client.describe(),
        client.run_detail(RUN),
        client.open_forms(RUN),
        client.check_open(make_form()),
        client.submit(RUN, make_form(), make_submission()),
        client.upload(RUN, "a.txt", file_of(b"hello")),
        client.stop(RUN),
    ):
        try:
            await call
        except BotError as error:
            errors.append(error)
    return errors


@pytest.mark.parametrize(
    "handler",
    [
        refusing(404, "not_found", f"You have requested this URI [/v1/form/human_input/{TOKEN}] but did you mean …"),
        answering(502, text=f"<html>{TOKEN}</html>", kind="text/html"),
        answering(200, {"form_content": 7, "form_token": TOKEN}),
        hang_up,
        streaming(b'data: {"event": "node_started", "data": "' + TOKEN.encode() + b'"}\n\n'),
    ],
)
async def test_neither_key_nor_form_token_is_logged_or_told(handler: Handler, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, logger="httpx")
    async with client_of(handler) as client:
        errors = await _every_call(client)
    assert errors
    told = caplog.text + "".join("".join(traceback.format_exception(error)) + repr(vars(error)) for error in errors)
    assert KEY not in told
    assert TOKEN not in told
