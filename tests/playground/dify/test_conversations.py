"""Chatflows remember, and their conversations can be listed, renamed, rated and deleted."""

from dataclasses import replace
from typing import Any

import httpx
import pytest

from bot.playground.dify import App, apps
from tests.playground.dify.client import Client, Follower, followed, playing


async def ask(client: Client, query: str, conversation_id: str = "") -> Follower:
    """Ask, and read the stream to its end."""
    async with client.ask(query, conversation_id) as follower:
        await follower.to_end()
    return follower


def said(follower: Follower) -> str:
    return "".join(event["answer"] for event in follower.events if event["event"] == "message")


async def history(client: Client, conversation_id: str) -> list[dict[str, Any]]:
    query = {"conversation_id": conversation_id, "user": client.user}
    response = await client.http.get("/messages", params=query)
    data: list[dict[str, Any]] = response.raise_for_status().json()["data"]
    return data


async def test_a_conversation_remembers_what_was_asked_before() -> None:
    async with playing(apps.chat()) as (_, client):
        first = await ask(client, "Where is my order?")
        conversation = first.events[0]["conversation_id"]
        assert "message 1 of our conversation. Before it you asked: nothing yet" in said(first)
        second = await ask(client, "Can I change the address?", conversation)
        assert "message 2 of our conversation. Before it you asked: Where is my order?" in said(second)
        assert {event["conversation_id"] for event in second.events} == {conversation}
        shown = await history(client, conversation)
        assert [message["answer"] for message in shown] == [said(first), said(second)]
        # Another conversation knows nothing of it.
        assert "nothing yet" in said(await ask(client, "And me?"))


async def test_a_refund_waits_for_a_person_and_only_the_outputs_have_the_whole_answer() -> None:
    """Recording 16: what is answered after the form reaches neither the stream nor the stored answer."""
    async with playing(apps.chat()) as (dify, client):
        first = await ask(client, "I would like a refund.")
        before = "A colleague decides about refunds. I am asking now.\n\n"
        assert (said(first), first.names[-2:]) == (before, ["human_input_required", "workflow_paused"])
        run_id, conversation = first.events[0]["workflow_run_id"], first.events[0]["conversation_id"]
        # A message in between is answered on its own, and without the one that waits (recording 15).
        assert "Before it you asked: nothing yet" in said(await ask(client, "Still there?", conversation))
        async with client.events(run_id) as follower:
            await followed(dify, run_id)
            await dify.answer_elsewhere(dify.open_forms()[0], "approve", {"message": "It is on its way."})
            await follower.to_end()
        assert said(follower) == ""
        assert follower.names[-2:] == ["message_end", "workflow_finished"]
        assert follower.events[-1]["data"]["outputs"]["answer"] == before + "It is on its way."
        shown, _ = await history(client, conversation)
        assert (shown["answer"], len(shown["extra_contents"])) == (before, 1)


async def test_parameters_tell_how_a_conversation_begins_and_goes_on() -> None:
    async with playing(apps.chat()) as (_, client):
        shown = (await client.http.get("/parameters")).json()
    assert shown["opening_statement"] == "Hello! Ask me about your order, or for a refund."
    assert shown["suggested_questions"] == ["Where is my order?", "I would like a refund."]
    assert shown["suggested_questions_after_answer"] == {"enabled": True}


@pytest.mark.parametrize(
    ("app", "status", "body"),
    [
        (apps.chat(), 200, {"result": "success", "data": list(apps.chat().next_questions or ())}),
        (replace(apps.chat(), suggests_questions=False), 400, "Suggested Questions Is Disabled."),
        (replace(apps.chat(), next_questions=None), 500, None),
    ],
    ids=["on", "off", "no-model"],
)
async def test_next_questions_are_suggested_if_the_app_has_them(app: App, status: int, body: object) -> None:
    """Recordings 31 and 44; what a model answers is as documented."""
    async with playing(app) as (_, client):
        message = (await ask(client, "Hi")).events[0]["message_id"]
        response = await client.http.get(f"/messages/{message}/suggested", params={"user": client.user})
        assert response.status_code == status
        if body is not None:
            assert body in (response.json(), response.json().get("message"))
        other = await client.http.get(f"/messages/{message}/suggested", params={"user": "u2"})
        assert (other.status_code, other.json()["message"]) == (404, "Message Not Exists.")


async def rate(client: Client, message: str, rating: str | None, user: str = "u1") -> httpx.Response:
    return await client.http.post(f"/messages/{message}/feedbacks", json={"rating": rating, "user": user})


async def test_a_rating_is_replaced_and_withdrawn() -> None:
    async with playing(apps.chat()) as (_, client):
        follower = await ask(client, "Hi")
        message, conversation = follower.events[0]["message_id"], follower.events[0]["conversation_id"]
        for rating, shown in (("like", {"rating": "like"}), ("dislike", {"rating": "dislike"}), (None, None)):
            assert (await rate(client, message, rating)).json() == {"result": "success"}
            assert (await history(client, conversation))[0]["feedback"] == shown
        assert (await rate(client, message, None)).status_code == 400
        assert (await rate(client, message, "great")).status_code == 400
        assert (await rate(client, message, "like", user="u2")).status_code == 404


async def test_conversations_are_listed_newest_first_and_paged() -> None:
    async with playing(apps.chat()) as (_, client):
        ids = [(await ask(client, query)).events[0]["conversation_id"] for query in ("a", "b", "c")]

        async def page(**query: str) -> tuple[list[str], bool]:
            response = await client.http.get("/conversations", params={"user": client.user, **query})
            body = response.raise_for_status().json()
            return [item["id"] for item in body["data"]], body["has_more"]

        assert await page(limit="2") == ([ids[2], ids[1]], True)
        assert await page(limit="2", last_id=ids[1]) == ([ids[0]], False)
        assert await page(sort_by="created_at") == (ids, False)
        unknown = await client.http.get("/conversations", params={"user": client.user, "last_id": "nope"})
        assert unknown.status_code == 404


@pytest.mark.parametrize("begins_anew", [True, False])
@pytest.mark.parametrize("whose", ["deleted", "foreign"])
async def test_a_message_to_a_lost_conversation_begins_a_new_one_or_is_refused(whose: str, begins_anew: bool) -> None:
    """The former as recorded (15), the latter as documented for other releases."""
    async with playing(apps.chat()) as (dify, client):
        conversation = (await ask(client, "Hi")).events[0]["conversation_id"]
        dify.release.lost_conversations_begin_anew = begins_anew
        if whose == "deleted":
            url = f"/conversations/{conversation}"
            assert (await client.http.request("DELETE", url, json={"user": client.user})).status_code == 204
        else:
            client.user = "u2"
        if begins_anew:
            again = await ask(client, "Hi again", conversation)
            assert again.events[0]["conversation_id"] != conversation
            assert "message 1 of our conversation" in said(again)
        else:
            body = {"inputs": {}, "query": "Hi again", "user": client.user, "conversation_id": conversation}
            response = await client.http.post("/chat-messages", json=body | {"response_mode": "streaming"})
            assert (response.status_code, response.json()["message"]) == (404, "Conversation Not Exists.")


async def test_a_start_can_be_refused_for_what_parameters_do_not_tell() -> None:
    app = apps.quick()
    async with playing(app) as (dify, client):
        dify.refuse_starts(app, "topic is required in input form")
        async with client.start(topic="x") as follower:
            error = await follower.next()
        assert error == {"event": "error", "message": "topic is required in input form", "status": 500}
        response = await client.http.post("/workflows/run", json={"inputs": {"topic": "x"}, "user": "u1"})
        assert (response.status_code, response.json()["code"]) == (400, "invalid_param")
        dify.take_starts(app)
        async with client.start(topic="x") as follower:
            assert (await follower.to_end())[-1] == "workflow_finished"
