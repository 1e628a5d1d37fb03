"""The sample apps do what the demo and the acceptance tests expect of them."""

import pytest

from bot.playground.dify import Dify, apps
from tests.playground.dify.client import Client, Follower, followed, playing


async def follow_answer(dify: Dify, client: Client, run_id: str, action: str, **values: object) -> Follower:
    """Answer the open form with a stream open, and read the stream to its end."""
    async with client.events(run_id) as follower:
        await followed(dify, run_id)
        await dify.answer_elsewhere(dify.open_forms()[0], action, values)
        await follower.to_end()
    return follower


def text_of(follower: Follower) -> str:
    return "".join(event["data"]["text"] for event in follower.events if event["event"] == "text_chunk")


async def test_an_approved_draft_is_published_as_it_was_shown() -> None:
    async with playing(apps.content_review()) as (dify, client):
        run_id, (form,) = await client.pause(topic="Tea", language="German")
        draft = form["resolved_default_values"]["edits"]
        assert 2000 <= len(draft) <= 2400
        assert draft in form["form_content"]
        follower = await follow_answer(dify, client, run_id, "approve", edits=draft, feedback="")
        outputs = (await client.detail(run_id))["outputs"]
        assert outputs == {"post": draft, "decision": "Approve"}
        assert text_of(follower) == f"{draft}\nApprove"
        assert follower.names.count("text_chunk") > 100


async def test_edits_replace_the_draft() -> None:
    async with playing(apps.content_review()) as (dify, client):
        run_id, _ = await client.pause(topic="Tea", language="French")
        await follow_answer(dify, client, run_id, "edit", edits="Mine.", feedback="")
        assert (await client.detail(run_id))["outputs"] == {"post": "Mine.", "decision": "Apply edit"}


async def test_a_regenerated_draft_is_reviewed_once_more() -> None:
    async with playing(apps.content_review()) as (dify, client):
        run_id, _ = await client.pause(topic="Tea", language="English")
        follower = await follow_answer(dify, client, run_id, "regenerate", edits="", feedback="shorter")
        second = follower.events[-2]["data"]
        assert (second["node_title"], [action["title"] for action in second["actions"]]) == (
            "Review revision",
            ["Approve", "Apply edit", "Regenerate"],
        )
        assert "> shorter" in second["form_content"]
        await follow_answer(dify, client, run_id, "approve", edits="", feedback="")
        outputs = (await client.detail(run_id))["outputs"]
        assert outputs["post"] == second["resolved_default_values"]["edits"]


@pytest.mark.parametrize("first", [True, False])
async def test_a_review_that_nobody_answers_ends_without_a_post(first: bool) -> None:
    async with playing(apps.content_review()) as (dify, client):
        run_id, _ = await client.pause(topic="Tea", language="English")
        if not first:
            await follow_answer(dify, client, run_id, "regenerate", edits="", feedback="")
        await dify.expire(dify.open_forms()[0])
        await dify.wait_for(lambda: dify.runs[run_id].status == "succeeded")
        assert list((await client.detail(run_id))["outputs"]) == ["decision"]


async def test_every_kind_of_field_is_there_with_its_default() -> None:
    async with playing(apps.every_field()) as (_, client):
        _, (form,) = await client.pause(title="T")
        kinds = [field["type"] for field in form["inputs"]]
        assert kinds == ["paragraph", "paragraph", "paragraph", "select", "select", "file", "file-list"]
        assert form["inputs"][4]["option_source"]["value"] == ["Ann", "Bob", "Cé & co"]
        assert form["resolved_default_values"] == {"title": "T"}
        styles = [action["button_style"] for action in form["actions"]]
        assert styles == ["primary", "default", "accent", "ghost"]


async def test_a_failure_after_the_form_names_its_step() -> None:
    async with playing(apps.fails_after()) as (dify, client):
        run_id, _ = await client.pause()
        follower = await follow_answer(dify, client, run_id, "ok", note="")
        failed = next(event["data"] for event in follower.events if event.get("data", {}).get("status") == "failed")
        assert failed["title"] == "Call the printer"
        assert (await client.detail(run_id))["status"] == "failed"


async def test_two_forms_follow_each_other() -> None:
    async with playing(apps.two_forms()) as (dify, client):
        run_id, _ = await client.pause()
        await follow_answer(dify, client, run_id, "ok", note="1")
        await follow_answer(dify, client, run_id, "ok", note="2")
        assert (await client.detail(run_id))["outputs"] == {"first": "1", "second": "2"}


async def test_the_ticker_streams_as_many_events_as_asked() -> None:
    async with playing(apps.ticker(rate=20, seconds=5)) as (_, client), client.start() as follower:
        names = await follower.to_end()
        # One more: the End node's own text, the count.
        assert names.count("text_chunk") == 101


async def test_a_reviewed_reply_is_streamed_as_message_deltas() -> None:
    async with playing(apps.chat_review()) as (dify, client):
        body = {"query": "How?", "inputs": {}, "user": client.user, "response_mode": "streaming"}
        async with client.stream("POST", "/chat-messages", json=body) as start:
            paused = await start.until("workflow_paused")
        follower = await follow_answer(dify, client, paused["workflow_run_id"], "send", reply="Like this.")
        answer = "".join(event["answer"] for event in follower.events if event["event"] == "message")
        assert (answer, follower.names[-2:]) == ("Like this.", ["message_end", "workflow_finished"])


async def test_every_app_has_a_key_of_its_own() -> None:
    keys = [app.key for app in apps.all_apps()]
    assert len(set(keys)) == len(keys)
    assert "app-demo-content-review" in keys
