"""What reaches the app, how it is acknowledged, and what comes again: Socket Mode and signed HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from urllib.parse import parse_qs

import aiohttp
import pytest
from aiohttp import web
from slack_bolt.async_app import AsyncAck, AsyncApp
from slack_sdk.errors import SlackApiError
from slack_sdk.signature import SignatureVerifier
from slack_sdk.socket_mode.aiohttp import SocketModeClient
from slack_sdk.socket_mode.async_client import AsyncBaseSocketModeClient
from slack_sdk.socket_mode.request import SocketModeRequest
from slack_sdk.socket_mode.response import SocketModeResponse
from slack_sdk.web.async_client import AsyncWebClient

from bot.playground.slack import RateLimits, SlackServer
from bot.playground.slack.faults import Drop, Duplicate, Overtaken
from tests.playground.slack.conftest import Clock, Serve

Json = dict[str, Any]
AT_ONCE = {"event_retry_delays": (0.0, 0.0, 0.0), "events": ["message.channels"]}
"""Retries follow each other without a pause."""
IMPATIENT = AT_ONCE | {"ack_timeout": 0.05}
"""And Slack waits 50 ms instead of 3 s: for apps that never acknowledge."""


@asynccontextmanager
async def socket_to(server: SlackServer) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    """A bare Socket Mode connection, past its `hello`."""
    async with aiohttp.ClientSession() as session:
        client = AsyncWebClient(base_url=server.api_url, session=session)
        url = (await client.apps_connections_open(app_token="xapp-demo"))["url"]
        async with session.ws_connect(url) as socket:
            hello = await socket.receive_json()
            assert hello["type"] == "hello"
            yield socket


async def test_envelopes_carry_the_payload_and_take_an_answer(serve: Serve) -> None:
    """slack-platform §4.4: only what accepts an answer says so; the answer to a command is shown to its sender."""
    workspace, server = await serve()
    async with socket_to(server) as socket:
        asked = asyncio.create_task(workspace.person("ann").command("content", "/dify help"))
        envelope = await socket.receive_json()
        await socket.send_json({"envelope_id": envelope["envelope_id"], "payload": {"text": "Here is help"}})
        result = await asked
    assert (envelope["type"], envelope["accepts_response_payload"]) == ("slash_commands", True)
    assert envelope["payload"]["text"] == "help"
    assert envelope["payload"]["user_id"] == "U0ANN"
    assert result.acked
    assert workspace.find(visible_to="ann", text="Here is help")


async def test_a_command_nobody_acknowledges_fails_for_its_sender_alone(serve: Serve) -> None:
    """slack-platform §4.1: an error line after 3 s, and no second delivery."""
    workspace, server = await serve(**IMPATIENT)
    async with socket_to(server) as socket:
        result = await workspace.person("ann").command("content", "/dify help")
        assert (await socket.receive_json())["type"] == "slash_commands"
    assert not result.acked
    assert result.error == "/dify did not respond (operation_timeout)"
    assert [message.text for message in workspace.person("ann").sees("content")] == [result.error]
    assert workspace.person("ben").sees("content") == []
    assert [delivery.attempts for delivery in workspace.deliveries] == [1]


async def test_a_command_without_any_connection_fails_at_once(serve: Serve) -> None:
    """Interactions are not kept for later."""
    workspace, _ = await serve()
    result = await workspace.person("ann").command("content", "/dify help")
    assert result.error == "/dify failed (dispatch_failed)"


async def test_an_unacknowledged_event_comes_again(serve: Serve) -> None:
    """slack-platform §4.3: same event_id, with the number of the attempt and the reason."""
    workspace, server = await serve(**(AT_ONCE | {"ack_timeout": 0.5}))
    async with socket_to(server) as socket:
        await workspace.person("ann").post("content", "hello")
        first = await socket.receive_json()
        second = await socket.receive_json()
        await socket.send_json({"envelope_id": second["envelope_id"]})
        await workspace.wait_for(lambda: workspace.deliveries[0].acked)
    assert first["payload"] == second["payload"]
    assert [(envelope["retry_attempt"], envelope["retry_reason"]) for envelope in (first, second)] == [
        (0, ""),
        (1, "timeout"),
    ]
    assert workspace.deliveries[0].attempts == 2


async def test_an_event_is_given_up_after_three_retries(serve: Serve) -> None:
    """slack-platform §4.3."""
    workspace, server = await serve(**IMPATIENT)
    async with socket_to(server):
        await workspace.person("ann").post("content", "hello")
        await workspace.wait_for(lambda: workspace.deliveries[0].attempts == 4 and workspace.deliveries[0].error)
    assert workspace.deliveries[0].error == "timeout"


async def test_events_raised_while_no_socket_was_open_are_delivered_later(serve: Serve) -> None:
    """slack-platform §4.3."""
    workspace, server = await serve(events=["message.channels"])
    await workspace.person("ann").post("content", "anybody there?")
    async with socket_to(server) as socket:
        envelope = await socket.receive_json()
        await socket.send_json({"envelope_id": envelope["envelope_id"]})
        await workspace.wait_for(lambda: workspace.deliveries[0].acked)
    assert envelope["payload"]["event"]["text"] == "anybody there?"


async def test_each_envelope_goes_to_one_connection(serve: Serve) -> None:
    """slack-platform §4.4: any one of them; an acknowledgement counts over any of them."""
    workspace, server = await serve(events=["message.channels"])
    async with socket_to(server) as one, socket_to(server) as other:
        await workspace.person("ann").post("content", "first")
        await workspace.person("ann").post("content", "second")
        texts = []
        for socket, answering in ((one, other), (other, one)):
            envelope = await socket.receive_json()
            texts.append(envelope["payload"]["event"]["text"])
            await answering.send_json({"envelope_id": envelope["envelope_id"]})
        await workspace.wait_for(lambda: all(delivery.acked for delivery in workspace.deliveries))
    assert sorted(texts) == ["first", "second"]


async def test_a_socket_ticket_opens_one_connection_and_grows_old(serve: Serve) -> None:
    """A client that reuses its address is turned away (slack-platform §9.3: known defect of the SDK)."""
    clock = Clock()
    _, server = await serve(now=clock)
    async with aiohttp.ClientSession() as session:
        client = AsyncWebClient(base_url=server.api_url, session=session)
        used, old = [(await client.apps_connections_open(app_token="xapp-demo"))["url"] for _ in range(2)]
        async with session.ws_connect(used):
            clock.advance(31)
            for url in (used, old):
                with pytest.raises(aiohttp.WSServerHandshakeError):
                    await session.ws_connect(url)


async def test_the_eleventh_connection_is_turned_away(serve: Serve) -> None:
    """slack-platform §4.4: ten at most."""
    _, server = await serve()
    async with AsyncExitStack() as stack:
        for _ in range(10):
            await stack.enter_async_context(socket_to(server))
        session = await stack.enter_async_context(aiohttp.ClientSession())
        client = AsyncWebClient(base_url=server.api_url, session=session)
        url = (await client.apps_connections_open(app_token="xapp-demo"))["url"]
        socket = await stack.enter_async_context(session.ws_connect(url))
        assert (await socket.receive_json())["reason"] == "too_many_websockets"


async def test_connections_are_opened_sparingly(serve: Serve) -> None:
    """slack-platform §4.4: apps.connections.open is Tier 1."""
    _, server = await serve(rate_limits=RateLimits.real(), now=Clock())
    async with aiohttp.ClientSession() as session:
        client = AsyncWebClient(base_url=server.api_url, session=session)
        for _ in range(10):
            await client.apps_connections_open(app_token="xapp-demo")
        with pytest.raises(SlackApiError) as caught:
            await client.apps_connections_open(app_token="xapp-demo")
    assert caught.value.response.headers["Retry-After"] == "60"


@pytest.mark.parametrize("how", ["announced", "cut"])
async def test_slacks_own_client_comes_back_after_a_lost_connection(serve: Serve, how: str) -> None:
    """Events of the gap arrive once it is back; over the old connection nothing new comes."""
    workspace, server = await serve(events=["message.channels"])
    received: asyncio.Queue[str] = asyncio.Queue()

    async def listen(client: AsyncBaseSocketModeClient, request: SocketModeRequest) -> None:
        await client.send_socket_mode_response(SocketModeResponse(envelope_id=request.envelope_id))
        received.put_nowait(request.payload["event"]["text"])

    web_client = AsyncWebClient(base_url=server.api_url)
    client = SocketModeClient(app_token="xapp-demo", web_client=web_client, ping_interval=0.05)
    client.socket_mode_request_listeners.append(listen)
    try:
        await client.connect()
        await workspace.person("ann").post("content", "before")
        assert await received.get() == "before"
        await (server.sockets.disconnect("refresh_requested") if how == "announced" else server.sockets.cut())
        await workspace.person("ann").post("content", "in the gap")
        assert await received.get() == "in the gap"
        assert len(server.sockets.connections) == 1
    finally:
        await client.close()
        await client.aiohttp_client_session.close()


@pytest.mark.parametrize(
    ("events", "scopes", "names"),
    [
        (["app_mention", "message.channels"], ["app_mentions:read", "channels:history"], ["app_mention", "message"]),
        (["app_mention", "message.channels"], ["channels:history"], ["message"]),
        (["message.groups", "message.im"], ["groups:history", "im:history"], []),
        ([], ["app_mentions:read", "channels:history"], []),
    ],
)
async def test_events_need_a_subscription_and_a_scope(
    serve: Serve, events: list[str], scopes: list[str], names: list[str]
) -> None:
    """slack-platform §7.3."""
    workspace, _ = await serve(events=events, scopes=scopes)
    await workspace.person("ann").post("content", "@Dify hello")
    await workspace.person("ann").post("random", "@Dify hello where you are not")
    assert sorted(delivery.payload["event"]["type"] for delivery in workspace.deliveries) == names
    assert all(delivery.payload["event"]["text"] == "<@U0BOT> hello" for delivery in workspace.deliveries)


async def test_updates_and_deletions_raise_events(serve: Serve) -> None:
    """Also those of the bot's own messages; ephemeral ones raise none."""
    workspace, server = await serve(events=["message.channels"])
    async with aiohttp.ClientSession() as session:
        client = AsyncWebClient("xoxb-demo", base_url=server.api_url, session=session)
        posted = await client.chat_postMessage(channel="C0CONTENT", text="one")
        await client.chat_postEphemeral(channel="C0CONTENT", user="U0ANN", text="private")
        await client.chat_update(channel="C0CONTENT", ts=posted["ts"], text="two")
        await client.chat_delete(channel="C0CONTENT", ts=posted["ts"])
    events = [delivery.payload["event"] for delivery in workspace.deliveries]
    assert [event.get("subtype") for event in events] == [None, "message_changed", "message_deleted"]
    assert events[0]["bot_id"] == "B0BOT"
    assert (events[1]["previous_message"]["text"], events[1]["message"]["text"]) == ("one", "two")


async def test_a_duplicated_interaction_reaches_the_app_twice(serve: Serve, bolt: Callable[..., Any]) -> None:
    """slack-platform §13.8: treat redelivered interactions as possible."""
    workspace, server = await serve()
    seen: list[str] = []

    def register(app: AsyncApp) -> None:
        @app.command("/dify")
        async def _(ack: AsyncAck, command: Json) -> None:
            seen.append(command["trigger_id"])
            await ack()

    await bolt(server, register)
    workspace.faults.add("slash_commands", Duplicate())
    await workspace.person("ann").command("content", "/dify help")
    await workspace.wait_for(lambda: all(delivery.acked for delivery in workspace.deliveries))
    assert len(seen) == 2
    assert len(set(seen)) == 1


async def test_a_duplicate_goes_to_another_process_when_there_is_one(serve: Serve) -> None:
    """slack-platform §4.4: each envelope may go to any connection, so both processes see the same click."""
    workspace, server = await serve()
    workspace.faults.add("slash_commands", Duplicate())
    async with socket_to(server) as one, socket_to(server) as other:
        asking = asyncio.create_task(workspace.person("ann").command("content", "/dify help"))
        envelopes = [await socket.receive_json() for socket in (one, other)]
        assert envelopes[0]["payload"] == envelopes[1]["payload"]
        assert envelopes[0]["envelope_id"] != envelopes[1]["envelope_id"]
        for socket, envelope in zip((one, other), envelopes, strict=True):
            await socket.send_json({"envelope_id": envelope["envelope_id"]})
        assert (await asking).acked


async def test_a_duplicated_event_says_that_it_comes_again(serve: Serve) -> None:
    """slack-platform §4.3: as one whose acknowledgement came too late."""
    workspace, server = await serve(**AT_ONCE)
    workspace.faults.add("events_api", Duplicate())
    async with socket_to(server) as one, socket_to(server) as other:
        await workspace.person("ann").post("content", "hello")
        envelopes = [await socket.receive_json() for socket in (one, other)]
        for socket, envelope in zip((one, other), envelopes, strict=True):
            await socket.send_json({"envelope_id": envelope["envelope_id"]})
        await workspace.wait_for(lambda: all(delivery.acked for delivery in workspace.deliveries))
    assert len({envelope["payload"]["event_id"] for envelope in envelopes}) == 1
    marks = [(envelope["retry_attempt"], envelope["retry_reason"]) for envelope in envelopes]
    assert sorted(marks) == [(0, ""), (1, "timeout")]


async def test_a_delivery_can_be_overtaken_by_the_next_one(serve: Serve) -> None:
    """slack-platform §4.3: the order is not guaranteed."""
    workspace, server = await serve()
    workspace.faults.add("slash_commands", Overtaken(seconds=10))
    async with socket_to(server) as socket:
        first = asyncio.create_task(workspace.person("ann").command("content", "/dify first"))
        await asyncio.sleep(0)
        second = asyncio.create_task(workspace.person("ben").command("content", "/dify second"))
        texts = []
        for _ in range(2):
            envelope = await socket.receive_json()
            texts.append(envelope["payload"]["text"])
            await socket.send_json({"envelope_id": envelope["envelope_id"]})
        assert (await first).acked
        assert (await second).acked
    assert texts == ["second", "first"]


async def test_a_delivery_that_nothing_overtakes_comes_after_all(serve: Serve) -> None:
    workspace, server = await serve()
    workspace.faults.add("slash_commands", Overtaken(seconds=0.01))
    async with socket_to(server) as socket:
        asking = asyncio.create_task(workspace.person("ann").command("content", "/dify help"))
        envelope = await socket.receive_json()
        await socket.send_json({"envelope_id": envelope["envelope_id"]})
        assert (await asking).acked


async def test_an_event_whose_process_died_comes_again_to_another_one(serve: Serve) -> None:
    """slack-platform §4.3, §4.4: unacknowledged, it is sent over whichever connection is open then."""
    workspace, server = await serve(**(AT_ONCE | {"ack_timeout": 0.2}))
    async with socket_to(server) as survivor:
        async with socket_to(server) as other:
            await workspace.person("ann").post("content", "one")
            await workspace.person("ann").post("content", "two")
            lost = await other.receive_json()
            kept = await survivor.receive_json()
            await survivor.send_json({"envelope_id": kept["envelope_id"]})
        again = await survivor.receive_json()
        await survivor.send_json({"envelope_id": again["envelope_id"]})
        await workspace.wait_for(lambda: all(delivery.acked for delivery in workspace.deliveries))
    assert again["payload"] == lost["payload"]
    assert again["retry_attempt"] == 1


@pytest.mark.parametrize("status", [None, 503])
async def test_events_wait_until_slack_is_back(serve: Serve, status: int | None) -> None:
    """Its sockets are cut, and none can be opened meanwhile; the event comes over the next one."""
    workspace, server = await serve(events=["message.channels"])
    async with socket_to(server) as socket:
        await server.down(status)
        assert (await socket.receive()).type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED)
    with pytest.raises((aiohttp.ClientConnectorError, SlackApiError)):
        async with socket_to(server):
            pass
    await workspace.person("ann").post("content", "anybody there?")
    await server.up()
    async with socket_to(server) as socket:
        envelope = await socket.receive_json()
        await socket.send_json({"envelope_id": envelope["envelope_id"]})
        await workspace.wait_for(lambda: workspace.deliveries[0].acked)
    assert envelope["payload"]["event"]["text"] == "anybody there?"


async def test_a_dropped_event_comes_again(serve: Serve) -> None:
    """A delivery lost on the way is one that was not acknowledged."""
    workspace, server = await serve(**AT_ONCE)
    workspace.faults.add("events_api", Drop())
    async with socket_to(server) as socket:
        await workspace.person("ann").post("content", "hello")
        assert (await socket.receive_json())["retry_attempt"] == 1


# --- HTTP ------------------------------------------------------------------------------------------------------------

Answer = Callable[[web.Request, bytes], Awaitable[web.StreamResponse]]


@pytest.fixture
def receive(stack: AsyncExitStack) -> Callable[[Answer], Awaitable[str]]:
    """Run a bare HTTP app that answers with `answer` and passes the handshake; returns its URL."""

    async def start(answer: Answer) -> str:
        async def handle(request: web.Request) -> web.StreamResponse:
            body = await request.read()
            if request.content_type == "application/json" and json.loads(body)["type"] == "url_verification":
                return web.Response(text=json.loads(body)["challenge"])
            return await answer(request, body)

        app = web.Application()
        app.router.add_post("/slack/events", handle)
        runner = web.AppRunner(app)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{runner.addresses[0][1]}/slack/events"

    return start


async def test_http_requests_are_signed_and_encoded_by_kind(serve: Serve, receive: Callable[..., Any]) -> None:
    """slack-platform §4.3: v0 signature over the raw body; commands as forms, events as JSON."""
    workspace, server = await serve(events=["message.channels"], signing_secret="very-secret")
    verifier = SignatureVerifier("very-secret")
    received: list[tuple[str, str]] = []

    async def answer(request: web.Request, body: bytes) -> web.Response:
        assert verifier.is_valid_request(body, dict(request.headers))
        received.append((request.content_type, body.decode()))
        return web.json_response({"text": "Done", "response_type": "in_channel"} if b"command" in body else {})

    await server.deliver_over_http(await receive(answer))
    await workspace.person("ann").command("content", "/dify review topic=<b>")
    await workspace.wait_for(lambda: all(delivery.acked for delivery in workspace.deliveries))
    (form_type, form), (json_type, event) = received
    assert form_type == "application/x-www-form-urlencoded"
    assert parse_qs(form)["text"] == ["review topic=&lt;b&gt;"]
    assert json_type == "application/json"
    assert json.loads(event)["event"]["text"] == "Done"
    assert workspace.find(channel="content", text="Done")


async def test_http_events_are_retried_with_number_and_reason(serve: Serve, receive: Callable[..., Any]) -> None:
    """slack-platform §4.3: three retries, unless the app acknowledges one."""
    workspace, server = await serve(**AT_ONCE)
    retries: list[tuple[str | None, str | None]] = []

    async def answer(request: web.Request, body: bytes) -> web.Response:
        retries.append((request.headers.get("x-slack-retry-num"), request.headers.get("x-slack-retry-reason")))
        return web.Response(status=200 if len(retries) == 3 else 500)

    await server.deliver_over_http(await receive(answer))
    await workspace.person("ann").post("content", "hello")
    await workspace.wait_for(lambda: workspace.deliveries[0].acked)
    assert retries == [(None, None), ("1", "http_error"), ("2", "http_error")]


async def test_an_http_event_that_comes_twice_has_the_headers_of_a_retry(
    serve: Serve, receive: Callable[..., Any]
) -> None:
    """slack-platform §4.3: as one whose answer came too late."""
    workspace, server = await serve(**AT_ONCE)
    retries: list[tuple[str | None, str | None]] = []

    async def answer(request: web.Request, body: bytes) -> web.Response:
        retries.append((request.headers.get("x-slack-retry-num"), request.headers.get("x-slack-retry-reason")))
        return web.Response()

    await server.deliver_over_http(await receive(answer))
    workspace.faults.add("events_api", Duplicate())
    await workspace.person("ann").post("content", "hello")
    await workspace.wait_for(lambda: all(delivery.acked for delivery in workspace.deliveries))
    assert sorted(retries, key=str) == [("1", "http_timeout"), (None, None)]


async def test_an_app_may_ask_for_no_retry(serve: Serve, receive: Callable[..., Any]) -> None:
    """slack-platform §4.3: `x-slack-no-retry: 1`."""
    workspace, server = await serve(**AT_ONCE)

    async def answer(request: web.Request, body: bytes) -> web.Response:
        return web.Response(status=500, headers={"x-slack-no-retry": "1"})

    await server.deliver_over_http(await receive(answer))
    await workspace.person("ann").post("content", "first")
    await workspace.wait_for(lambda: workspace.deliveries[0].error)
    await workspace.person("ann").post("content", "second")
    await workspace.wait_for(lambda: workspace.deliveries[1].error)
    assert [delivery.attempts for delivery in workspace.deliveries] == [1, 1]


async def test_a_restarted_app_is_reached_at_its_address(serve: Serve, receive: Callable[..., Any]) -> None:
    """No delivery is lost to a connection left over from before."""
    workspace, server = await serve()
    ports: list[object] = []

    async def answer(request: web.Request, body: bytes) -> web.Response:
        assert request.transport
        ports.append(request.transport.get_extra_info("peername")[1])
        return web.Response()

    await server.deliver_over_http(await receive(answer))
    for _ in range(2):
        await workspace.person("ann").command("content", "/dify help")
    assert len(set(ports)) == 2


async def test_a_slow_http_answer_is_a_timeout_for_the_person(serve: Serve, receive: Callable[..., Any]) -> None:
    """slack-platform §4.1: 3 s to answer."""
    workspace, server = await serve(ack_timeout=0.05)
    never = asyncio.Event()

    async def answer(request: web.Request, body: bytes) -> web.Response:
        await never.wait()
        return web.Response()

    await server.deliver_over_http(await receive(answer))
    result = await workspace.person("ann").command("content", "/dify help")
    never.set()
    assert result.error == "/dify did not respond (operation_timeout)"


async def test_an_app_that_fails_the_handshake_gets_nothing(serve: Serve) -> None:
    """url_verification comes first."""
    _, server = await serve()
    with pytest.raises(RuntimeError, match="did not return the challenge"):
        await server.deliver_over_http(f"{server.api_url}chat.shout")
