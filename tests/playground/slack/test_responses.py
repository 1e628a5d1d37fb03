"""What an app says through a `response_url`."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest
from slack_sdk.webhook.async_client import AsyncWebhookClient

from bot.playground.slack import Message, Workspace
from bot.playground.slack.content import message_content
from bot.playground.slack.faults import (
    CallFault,
    CutConnection,
    LostResponse,
    RateLimited,
    Refuse,
    ServerError,
)
from bot.playground.slack.tickets import Destination
from tests.playground.slack.conftest import Clock, Serve

Json = dict[str, Any]


def url_of(workspace: Workspace, source: Message | None = None, channel: str = "content") -> str:
    """A fresh response_url for something ann did."""
    place = source.channel if source else workspace.channel(channel)
    return f"{workspace.url}/{workspace.tickets.new_response_url(Destination(place, 'U0ANN', source))}"


def post(workspace: Workspace, **changes: Any) -> Message:
    """A message of the bot with a block."""
    content = message_content({"text": "original", "blocks": [{"type": "divider"}]}, workspace.new_id)
    return workspace.post(workspace.channel("content"), content, workspace.bot, **changes)


async def send(url: str, **body: Any) -> tuple[int, Json]:
    """HTTP status and answer."""
    async with aiohttp.ClientSession() as session, session.post(url, json=body) as response:
        return response.status, await response.json()


async def test_an_answer_is_ephemeral_unless_it_says_otherwise(serve: Serve) -> None:
    """slack-platform §4.1; it also works where the bot is not a member."""
    workspace, _ = await serve()
    client = AsyncWebhookClient(url_of(workspace, channel="random"))
    assert (await client.send(text="for you")).status_code == 200
    assert (await client.send(text="for all", response_type="in_channel")).status_code == 200
    private, public = workspace.person("ann").sees("random")
    assert (private.text, private.visible_to) == ("for you", "U0ANN")
    assert (public.text, public.visible_to) == ("for all", None)


async def test_a_url_works_five_times(serve: Serve) -> None:
    """slack-platform §4.1."""
    workspace, _ = await serve()
    url = url_of(workspace)
    assert [(await send(url, text=str(use)))[0] for use in range(5)] == [200] * 5
    assert await send(url, text="6") == (404, {"ok": False, "error": "used_url"})
    assert len(workspace.person("ann").sees("content")) == 5


@pytest.mark.parametrize(
    ("fault", "status"), [(ServerError(503), 503), (RateLimited(7), 429), (Refuse("invalid_blocks"), 400)]
)
async def test_an_answer_can_be_refused(serve: Serve, fault: CallFault, status: int) -> None:
    """Nothing is said, and no use of the address is counted."""
    workspace, _ = await serve()
    url = url_of(workspace)
    workspace.faults.add("response_url", fault)
    assert (await send(url, text="x"))[0] == status
    assert [(await send(url, text=str(use)))[0] for use in range(5)] == [200] * 5


@pytest.mark.parametrize(("fault", "said"), [(LostResponse(), ["x"]), (CutConnection(), [])])
async def test_an_answer_can_be_lost_with_or_without_its_work(serve: Serve, fault: CallFault, said: list[str]) -> None:
    workspace, _ = await serve()
    workspace.faults.add("response_url", fault)
    with pytest.raises(aiohttp.ClientError):
        await send(url_of(workspace), text="x")
    assert [message.text for message in workspace.person("ann").sees("content")] == said


async def test_a_url_works_for_half_an_hour(serve: Serve) -> None:
    """slack-platform §4.1."""
    clock = Clock()
    workspace, _ = await serve(now=clock)
    url = url_of(workspace)
    clock.advance(1800)
    assert (await send(url, text="in time"))[0] == 200
    clock.advance(1)
    assert await send(url, text="late") == (404, {"ok": False, "error": "expired_url"})


async def test_the_original_can_be_replaced_and_deleted(serve: Serve) -> None:
    """Also an ephemeral one, which chat.update cannot reach (slack-platform §2.7)."""
    workspace, _ = await serve()
    for source in (post(workspace), post(workspace, visible_to="U0ANN")):
        url = url_of(workspace, source)
        await send(url, text="replaced", replace_original=True)
        assert (source.text, source.blocks) == ("replaced", [])
        await send(url, delete_original=True)
        assert source.deleted


async def test_an_answer_goes_to_a_thread_when_told(serve: Serve) -> None:
    """slack-platform §4.1: `thread_ts`; without it to the channel."""
    workspace, _ = await serve()
    root = post(workspace)
    reply = post(workspace, thread_ts=root.ts)
    await send(url_of(workspace, reply), text="there", thread_ts=root.ts)
    await send(url_of(workspace, reply), text="outside")
    assert [message.thread_ts for message in workspace.find_all(visible_to="ann")] == [root.ts, None]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"text": ""}, "no_text"),
        ({"text": "x", "blocks": [{"type": "header"}]}, "invalid_blocks"),
        ({"text": "x", "thread_ts": "1.0"}, "thread_not_found"),
    ],
)
async def test_illegal_answers_are_refused(serve: Serve, body: Json, code: str) -> None:
    """The same rules as for messages of the Web API."""
    workspace, _ = await serve()
    status, answer = await send(url_of(workspace), **body)
    assert (status, answer["error"]) == (400, code)


async def test_an_invented_url_is_refused(serve: Serve) -> None:
    """The secret in the path counts."""
    workspace, _ = await serve()
    assert (await send(url_of(workspace) + "x", text="x"))[0] == 404
