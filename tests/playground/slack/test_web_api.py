"""The Web API as slack_sdk's own client meets it: answers, and every refusal with Slack's code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import aiohttp
import pytest
from slack_sdk.errors import SlackApiError

from bot.playground.slack import RateLimits
from tests.playground.slack.conftest import Clock, Serve

Json = dict[str, Any]
ClientOf = Callable[..., Any]


async def refusal(call: Any) -> Json:
    """The body of the refusal that awaiting `call` meets."""
    with pytest.raises(SlackApiError) as caught:
        await call
    body: Json = caught.value.response.data
    return body


async def refused_with(call: Any) -> str:
    """The error code that awaiting `call` meets."""
    return str((await refusal(call))["error"])


async def test_auth_test_names_the_app_and_its_scopes(serve: Serve, client_of: ClientOf) -> None:
    """The granted scopes come in a header (slack-platform §7.2)."""
    _, server = await serve(scopes=["chat:write", "commands"])
    answer = await (await client_of(server)).auth_test()
    assert answer["user_id"] == "U0BOT"
    assert answer["bot_id"] == "B0BOT"
    assert answer.headers["x-oauth-scopes"] == "chat:write,commands"


@pytest.mark.parametrize(
    ("token", "code"), [("", "not_authed"), ("xoxb-other", "invalid_auth"), ("xapp-demo", "not_allowed_token_type")]
)
async def test_a_wrong_token_is_refused(serve: Serve, client_of: ClientOf, token: str, code: str) -> None:
    """Each kind of wrong token has its own code."""
    _, server = await serve()
    assert await refused_with((await client_of(server, token)).auth_test()) == code


async def test_the_bot_token_opens_no_socket(serve: Serve, client_of: ClientOf) -> None:
    """slack-platform §4.4: apps.connections.open takes the app-level token."""
    _, server = await serve()
    client = await client_of(server)
    assert await refused_with(client.apps_connections_open(app_token="xoxb-demo")) == "not_allowed_token_type"


async def test_an_unknown_method_is_refused(serve: Serve, client_of: ClientOf) -> None:
    """Methods the simulation does not know do not silently succeed."""
    _, server = await serve()
    assert await refused_with((await client_of(server)).api_call("chat.shout")) == "unknown_method"


async def test_a_missing_scope_says_what_is_needed(serve: Serve, client_of: ClientOf) -> None:
    """slack-platform §7.2: `needed` and `provided`."""
    _, server = await serve(scopes=["commands"])
    body = await refusal((await client_of(server)).chat_postMessage(channel="C0CONTENT", text="x"))
    assert (body["error"], body["needed"], body["provided"]) == ("missing_scope", "chat:write", "commands")


async def test_forms_and_json_bodies_mean_the_same(serve: Serve) -> None:
    """Blocks may come as JSON text in a form or as a list in a JSON body."""
    workspace, server = await serve()
    headers = {"Authorization": "Bearer xoxb-demo"}
    blocks = '[{"type": "divider"}]'
    async with aiohttp.ClientSession(server.api_url, headers=headers) as session:
        await session.post("chat.postMessage", data={"channel": "C0CONTENT", "text": "x", "blocks": blocks})
        await session.post(
            "chat.postMessage", json={"channel": "C0CONTENT", "text": "x", "blocks": [{"type": "divider"}]}
        )
        broken = await session.post("chat.postMessage", data={"channel": "C0CONTENT", "blocks": "[{"})
        no_json = await session.post("chat.postMessage", data="{", headers={"Content-Type": "application/json"})
        assert (await broken.json())["error"] == "invalid_blocks_format"
        assert (await no_json.json())["error"] == "invalid_json"
    first, second = workspace.channel("content").messages
    assert [block["type"] for block in first.blocks] == [block["type"] for block in second.blocks] == ["divider"]


async def test_a_post_comes_back_as_slack_stores_it(serve: Serve, client_of: ClientOf) -> None:
    """Ids are filled in, stray characters escaped, metadata echoed, `ts` unique."""
    _, server = await serve()
    client = await client_of(server)
    metadata = {"event_type": "post", "event_payload": {"id": "7"}}
    blocks = [
        {"type": "section", "text": {"type": "mrkdwn", "text": "a < b & <@U0ANN>"}},
        {"type": "actions", "elements": [{"type": "button", "text": {"type": "plain_text", "text": "R&D <!here>"}}]},
    ]
    first = await client.chat_postMessage(channel="C0CONTENT", text="a < b", blocks=blocks, metadata=metadata)
    second = await client.chat_postMessage(channel="C0CONTENT", text="again")
    message = first["message"]
    assert message["text"] == "a &lt; b"
    assert message["blocks"][0]["text"] == {"type": "mrkdwn", "text": "a &lt; b &amp; <@U0ANN>", "verbatim": False}
    assert message["blocks"][1]["elements"][0]["text"]["text"] == "R&amp;D &lt;!here&gt;"
    assert all(block["block_id"] for block in message["blocks"])
    assert message["blocks"][1]["elements"][0]["action_id"]
    assert (message["bot_id"], message["app_id"], message["metadata"]) == ("B0BOT", "A0APP", metadata)
    assert first["ts"] < second["ts"]
    assert len(first["ts"].partition(".")[2]) == 6


PRIVATE = {
    "channels": {"content": ["ann", "bot"], "random": ["ann"], "board": ["ann"], "old": ["ann", "bot"]},
    "private_channels": ["board"],
}
REFUSED_POSTS: dict[str, tuple[Json, str]] = {
    "unknown channel": ({"channel": "C0NOWHERE", "text": "x"}, "channel_not_found"),
    "private channel": ({"channel": "C0BOARD", "text": "x"}, "channel_not_found"),
    "channel by name": ({"channel": "content", "text": "x"}, "channel_not_found"),
    "not a member": ({"channel": "C0RANDOM", "text": "x"}, "not_in_channel"),
    "archived": ({"channel": "C0OLD", "text": "x"}, "is_archived"),
    "nothing to say": ({"text": ""}, "no_text"),
    "unknown thread": ({"text": "x", "thread_ts": "1.000000"}, "thread_not_found"),
    "illegal blocks": ({"text": "x", "blocks": [{"type": "section"}]}, "invalid_blocks"),
    "no list of blocks": ({"text": "x", "blocks": {"type": "divider"}}, "invalid_blocks_format"),
    "too much in all": (
        {"text": "x", "blocks": [{"type": "section", "text": {"type": "mrkdwn", "text": "x" * 2700}}] * 5},
        "msg_blocks_too_long",
    ),
    "metadata without type": ({"text": "x", "metadata": {"event_payload": {}}}, "invalid_metadata_format"),
    "metadata with more": (
        {"text": "x", "metadata": {"event_type": "t", "event_payload": {}, "more": 1}},
        "invalid_metadata_schema",
    ),
    "large metadata": (
        {"text": "x", "metadata": {"event_type": "t", "event_payload": {"x": "x" * 8000}}},
        "metadata_too_large",
    ),
    "markdown_text and text": ({"text": "x", "markdown_text": "x"}, "markdown_text_conflict"),
}


@pytest.mark.parametrize(("arguments", "code"), REFUSED_POSTS.values(), ids=REFUSED_POSTS.keys())
async def test_a_post_is_refused_with_slacks_code(
    serve: Serve, client_of: ClientOf, arguments: Json, code: str
) -> None:
    """slack-platform §2.7, §8.3, §12; what was refused left nothing behind."""
    workspace, server = await serve(**PRIVATE)
    workspace.channel("old").is_archived = True
    client = await client_of(server)
    post = client.api_call("chat.postMessage", json={"channel": "C0CONTENT"} | arguments)
    assert await refused_with(post) == code
    assert all(channel.messages == [] for channel in workspace.channels.values())
    assert [call.response["error"] for call in workspace.refused] == [code]


async def test_invalid_blocks_are_named_by_json_pointer(serve: Serve, client_of: ClientOf) -> None:
    """slack-platform §12: `response_metadata.messages`."""
    _, server = await serve()
    client = await client_of(server)
    body = await refusal(client.chat_postMessage(channel="C0CONTENT", text="x", blocks=[{"type": "header"}]))
    assert body["response_metadata"]["messages"] == ["[ERROR] missing required field: text [json-pointer:/blocks/0]"]


async def test_a_reply_is_no_thread(serve: Serve, client_of: ClientOf) -> None:
    """Threads hang below root messages only."""
    _, server = await serve()
    client = await client_of(server)
    root = await client.chat_postMessage(channel="C0CONTENT", text="root")
    reply = await client.chat_postMessage(channel="C0CONTENT", text="reply", thread_ts=root["ts"])
    post = client.chat_postMessage(channel="C0CONTENT", text="deeper", thread_ts=reply["ts"])
    assert await refused_with(post) == "cannot_reply_to_message"


async def test_chat_write_public_reaches_public_channels(serve: Serve, client_of: ClientOf) -> None:
    """slack-platform §4.6."""
    workspace, server = await serve(scopes=["chat:write", "chat:write.public"])
    await (await client_of(server)).chat_postMessage(channel="C0RANDOM", text="x")
    assert workspace.find(channel="random", text="x")


async def test_a_user_id_opens_direct_messages_for_posts_only(serve: Serve, client_of: ClientOf) -> None:
    """slack-platform §2.7, §4.6: updates need the returned `D…` id."""
    workspace, server = await serve()
    client = await client_of(server)
    posted = await client.chat_postMessage(channel="U0ANN", text="psst")
    opened = await client.conversations_open(users="U0ANN")
    assert posted["channel"] == opened["channel"]["id"] == "D0ANN"
    by_user = client.chat_update(channel="U0ANN", ts=posted["ts"], text="y")
    assert await refused_with(by_user) == "channel_not_found"
    assert [message.text for message in workspace.person("ann").sees("@ann")] == ["psst"]


async def test_an_update_replaces_text_and_blocks_but_keeps_metadata(serve: Serve, client_of: ClientOf) -> None:
    """slack-platform §2.7: text alone removes the blocks; every version stays on record."""
    workspace, server = await serve()
    client = await client_of(server)
    metadata = {"event_type": "post", "event_payload": {"id": "7"}}
    posted = await client.chat_postMessage(
        channel="C0CONTENT", text="one", blocks=[{"type": "divider"}], metadata=metadata
    )
    where = {"channel": "C0CONTENT", "ts": posted["ts"]}
    with_blocks = await client.api_call("chat.update", json=where | {"blocks": [{"type": "divider"}] * 2})
    without = await client.chat_update(**where, text="two")
    message = workspace.channel("content").messages[0]
    assert with_blocks["message"]["text"] == "one"
    assert "edited" not in with_blocks["message"]
    assert "blocks" not in without["message"]
    assert without["message"]["edited"]["user"] == "U0BOT"
    assert message.metadata == metadata
    assert [(version.content.text, len(version.content.blocks)) for version in message.history] == [
        ("one", 1),
        ("one", 2),
        ("two", 0),
    ]


async def test_an_update_is_refused_with_slacks_code(serve: Serve, client_of: ClientOf) -> None:
    """slack-platform §2.7: only own, existing, non-ephemeral messages, and at most 4,000 characters of text."""
    workspace, server = await serve()
    client = await client_of(server)
    by_ann = await workspace.person("ann").post("content", "hello")
    own = await client.chat_postMessage(channel="C0CONTENT", text="own")
    private = await client.chat_postEphemeral(channel="C0CONTENT", user="U0ANN", text="private")
    for ts, text, code in [
        (by_ann.ts, "x", "cant_update_message"),
        ("1.000000", "x", "message_not_found"),
        (private["message_ts"], "x", "message_not_found"),
        (own["ts"], "x" * 4001, "msg_too_long"),
        (own["ts"], "", "no_text"),
    ]:
        update = client.api_call("chat.update", json={"channel": "C0CONTENT", "ts": ts, "text": text})
        assert await refused_with(update) == code
    await client.chat_delete(channel="C0CONTENT", ts=own["ts"])
    assert await refused_with(client.chat_update(channel="C0CONTENT", ts=own["ts"], text="x")) == "message_not_found"
    assert await refused_with(client.chat_delete(channel="C0CONTENT", ts=by_ann.ts)) == "cant_delete_message"


async def test_an_ephemeral_message_is_seen_by_one_member_only(serve: Serve, client_of: ClientOf) -> None:
    """slack-platform §4.5: not readable by API, and only for members."""
    workspace, server = await serve(channels={"content": ["ann", "bot"]})
    client = await client_of(server)
    root = await client.chat_postMessage(channel="C0CONTENT", text="root")
    await client.chat_postEphemeral(channel="C0CONTENT", user="U0ANN", text="private", thread_ts=root["ts"])
    stranger = client.chat_postEphemeral(channel="C0CONTENT", user="U0BEN", text="x")
    assert await refused_with(stranger) == "user_not_in_channel"
    assert [message.text for message in workspace.person("ann").sees("content")] == ["root", "private"]
    replies = await client.conversations_replies(channel="C0CONTENT", ts=root["ts"])
    assert [message["text"] for message in replies["messages"]] == ["root"]


async def test_threads_and_history_are_read_in_pages(serve: Serve, client_of: ClientOf) -> None:
    """History is newest first and without replies; a thread starts with its root; metadata comes on request."""
    _, server = await serve()
    client = await client_of(server)
    metadata = {"event_type": "post", "event_payload": {"id": "7"}}
    root = await client.chat_postMessage(channel="C0CONTENT", text="root", metadata=metadata)
    replies = [
        await client.chat_postMessage(channel="C0CONTENT", text=str(number), thread_ts=root["ts"])
        for number in range(4)
    ]
    await client.chat_postMessage(channel="C0CONTENT", text="later")
    history = await client.conversations_history(channel="C0CONTENT")
    assert [message["text"] for message in history["messages"]] == ["later", "root"]
    assert history["messages"][1]["reply_count"] == 4
    assert "metadata" not in history["messages"][1]

    thread = {"channel": "C0CONTENT", "ts": root["ts"]}
    full = await client.conversations_history(channel="C0CONTENT", include_all_metadata=True)
    assert full["messages"][1]["metadata"] == metadata
    first = await client.conversations_replies(**thread, limit=3)
    assert [message["text"] for message in first["messages"]] == ["root", "0", "1", "2"]
    assert first["has_more"]
    second = await client.conversations_replies(**thread, limit=3, cursor=first["response_metadata"]["next_cursor"])
    assert [message["text"] for message in second["messages"]] == ["3"]
    assert not second["has_more"]
    since = await client.conversations_replies(**thread, oldest=replies[1]["ts"])
    assert [message["text"] for message in since["messages"]] == ["root", "2", "3"]
    assert await refused_with(client.conversations_replies(channel="C0CONTENT", ts="1.0")) == "thread_not_found"
    assert await refused_with(client.conversations_history(channel="C0RANDOM")) == "not_in_channel"


async def test_channels_and_people_are_described(serve: Serve, client_of: ClientOf) -> None:
    """conversations.info and users.info know what exists."""
    workspace, server = await serve(**PRIVATE)
    workspace.person("ann").zone = "Europe/Berlin"
    client = await client_of(server)
    channel = (await client.conversations_info(channel="C0RANDOM"))["channel"]
    assert (channel["name"], channel["is_member"]) == ("random", False)
    assert await refused_with(client.conversations_info(channel="C0BOARD")) == "channel_not_found"
    assert (await client.users_info(user="U0ANN"))["user"]["tz"] == "Europe/Berlin"
    assert (await client.users_info(user="U0BOT"))["user"]["is_bot"] is True
    assert await refused_with(client.users_info(user="U0NOBODY")) == "user_not_found"


async def test_calls_are_limited_per_method_and_tier(serve: Serve, client_of: ClientOf) -> None:
    """slack-platform §8.1: chat.update is Tier 3; the 51st within a minute gets 429 and how long to wait."""
    clock = Clock()
    workspace, server = await serve(rate_limits=RateLimits.real(), now=clock)
    client = await client_of(server)
    posted = await client.chat_postMessage(channel="C0CONTENT", text="0")
    for number in range(50):
        await client.chat_update(channel="C0CONTENT", ts=posted["ts"], text=str(number))
    clock.advance(20)
    with pytest.raises(SlackApiError) as caught:
        await client.chat_update(channel="C0CONTENT", ts=posted["ts"], text="late")
    assert caught.value.response.status_code == 429
    assert caught.value.response["error"] == "ratelimited"
    assert caught.value.response.headers["Retry-After"] == "40"
    clock.advance(40)
    await client.chat_update(channel="C0CONTENT", ts=posted["ts"], text="in time")
    assert [call.status for call in workspace.refused] == [429]


async def test_every_call_is_on_record(serve: Serve, client_of: ClientOf) -> None:
    """Method, arguments, answer, and the platform's own time."""
    workspace, server = await serve()
    await (await client_of(server)).chat_postMessage(channel="C0CONTENT", text="x")
    (call,) = workspace.calls
    assert (call.method, call.arguments["text"], call.status, call.ok) == ("chat.postMessage", "x", 200, True)
    assert call.arrived <= call.answered
