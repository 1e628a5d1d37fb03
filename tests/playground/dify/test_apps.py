"""The sample apps do what the demo and the acceptance tests expect of them."""

import pytest

from bot.playground.dify import Dify, apps
from bot.playground.dify.runs import RunStatus
from tests.playground.dify.client import Client, Follower, followed, playing
from tests.playground.dify.test_files import LINK, mapping, run


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
        async with client.ask("How?") as start:
            paused = await start.until("workflow_paused")
        follower = await follow_answer(dify, client, paused["workflow_run_id"], "send", reply="Like this.")
        answer = "".join(event["answer"] for event in follower.events if event["event"] == "message")
        assert (answer, follower.names[-2:]) == ("Like this.", ["message_end", "workflow_finished"])


async def test_a_long_report_is_streamed_whole_and_is_the_output_too() -> None:
    async with playing(apps.long_report()) as (_, client), client.start() as follower:
        await follower.to_end()
        outputs = follower.events[-1]["data"]["outputs"]
        assert len(outputs["report"]) == 100_000
        assert text_of(follower) == outputs["report"]
        assert follower.names.count("text_chunk") > 100


async def test_a_text_that_is_under_way_ends_once_it_is_let() -> None:
    async with playing(apps.long_report()) as (dify, client), client.start() as follower:
        with dify.texts_under_way():
            await follower.until("text_chunk")
            assert [run.status for run in dify.runs.values()] == [RunStatus.RUNNING]
        await follower.to_end()
        assert text_of(follower) == follower.events[-1]["data"]["outputs"]["report"]


async def test_a_long_form_stands_below_its_whole_text() -> None:
    async with playing(apps.long_form()) as (_, client):
        run_id, (form,) = await client.pause()
        assert len(form["form_content"].partition("\n\nRemarks\n\n{{#$output.remarks#}}")[0]) == 200_000
        # Whoever comes later is shown the raw template only (recording 05).
        async with client.events(run_id, include_state_snapshot="true") as follower:
            replayed = await follower.until("human_input_required")
        assert replayed["data"]["form_content"].startswith("{{#report.output#}}")


async def test_an_odd_form_comes_as_its_builder_made_it_and_can_be_answered() -> None:
    async with playing(apps.odd()) as (dify, client):
        run_id, (form,) = await client.pause()
        fields = {field["output_variable_name"]: field for field in form["inputs"]}
        options = fields["many"]["option_source"]["value"]
        assert (len(options), len(set(options)), max(map(len, options))) == (250, 248, 107)
        assert [fields[name]["option_source"]["value"] for name in ("none", "lost")] == [[], []]
        assert len(fields["long"]["default"]["value"]) == 10_000
        assert [len(action["title"]) for action in form["actions"]] == [100] * 20
        assert len({action["title"] for action in form["actions"]}) == 19
        assert form["resolved_default_values"] == {}
        text = form["form_content"]
        assert "ghost.value" in text
        assert "{{#$output.nobody#}}" in text
        assert text.count("{{#$output.note#}}") == 2
        values = dict.fromkeys(fields, "") | {"many": options[-3], "none": "anything"}
        follower = await follow_answer(dify, client, run_id, "decision_20", **values)
        blank = follower.events[-2]["data"]
        assert (blank["form_content"], len(blank["inputs"])) == ("", 1)
        await follow_answer(dify, client, run_id, "ok", answer="a")
        outputs = (await client.detail(run_id))["outputs"]
        assert (outputs["many"], outputs["none"], outputs["decision"]) == ("two\nlines", "anything", "decision_20")


ALL_INPUTS: dict[str, object] = {
    "name": "Ann",
    "biography": "b",
    "colour": "red",
    "priority": "low",
    "age": "41",
    "agree": "yes",
}


async def test_every_start_input_is_checked_defaulted_and_normalised() -> None:
    async with playing(apps.all_inputs()) as (_, client), client.start(**ALL_INPUTS) as follower:
        await follower.to_end()
        outputs = follower.events[-1]["data"]["outputs"]
    assert (outputs["age"], outputs["agree"], outputs["score"]) == (41, True, 4.5)
    assert (outputs["nickname"], outputs["size"], outputs["newsletter"]) == ("buddy", None, True)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": None}, "name is required in input form"),
        ({"name": "x" * 49}, "name in input form must be less than 48 characters"),
        ({"biography": 1}, "(type 'paragraph') biography in input form must be a string"),
        ({"colour": "pink"}, "colour in input form must be one of the following: ['red', 'green', 'blue']"),
        ({"priority": None}, "priority in input form must be one of the following: ['low', 'normal', 'high']"),
        ({"age": "old"}, "age in input form must be a valid number"),
        ({"agree": None}, "agree is required in input form"),
        ({"settings": "{}"}, "settings in input form must be a dict"),
    ],
)
async def test_a_bad_start_input_is_told_on_the_stream_or_as_a_400(changes: dict[str, object], words: str) -> None:
    """Recordings 03, 18 and 19: streaming says so after its 200 and falls silent, blocking is a 400."""
    async with playing(apps.all_inputs()) as (_, client):
        inputs = ALL_INPUTS | changes
        async with client.start(**inputs) as follower:
            assert await follower.next() == {"event": "error", "message": words, "status": 500}
        response = await client.http.post("/workflows/run", json={"inputs": inputs, "user": "u1"})
    assert (response.status_code, response.json()["message"]) == (400, words)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, "'mode' is a required property"),
        ({"mode": "draught"}, "'draught' is not one of ['draft', 'final']"),
        ({"mode": "draft", "retries": True}, "True is not of type 'integer'"),
        ({"mode": "draft", "tags": ["a", 1]}, "1 is not of type 'string'"),
        ({"mode": "draft", "retries": 2, "tags": ["a"]}, None),
    ],
)
async def test_an_object_that_breaks_its_schema_fails_the_run(settings: dict[str, object], words: str | None) -> None:
    """Recording 18: the start is taken, and its first step fails."""
    async with playing(apps.all_inputs()) as (_, client):
        async with client.start(**ALL_INPUTS, settings=settings) as follower:
            await follower.to_end()
        finished = follower.events[-1]["data"]
        start = next(event["data"] for event in follower.events if event["event"] == "node_finished")
    error = f"JSON object for 'settings' does not match schema: {words}" if words else None
    assert (finished["status"], finished["error"]) == ("failed" if words else "succeeded", error)
    assert (start["node_id"], start["error"]) == ("start", error)


async def test_every_app_has_a_key_of_its_own() -> None:
    keys = [app.key for app in apps.all_apps()]
    assert len(set(keys)) == len(keys)
    assert "app-demo-content-review" in keys


async def test_a_form_gives_the_files_back_that_it_was_given() -> None:
    async with playing(apps.file_form()) as (dify, client):
        run_id, (form,) = await client.pause(topic="the harbour")
        types = {item["output_variable_name"]: item.get("allowed_file_types") for item in form["inputs"]}
        assert types == {"contract": ["document"], "photos": ["image"], "remarks": None}
        paper, photo = await mapping(client, "a.pdf", "document"), await mapping(client, "b.png", "image")
        refused = await client.submit(form, "withdraw", photos=[], remarks="")
        assert refused.json()["message"] == "Missing required inputs: contract"
        too_many = await client.submit(form, "submit", contract=paper, photos=[photo] * 4, remarks="")
        assert too_many.json()["message"].endswith("Number of files exceeds the maximum limit 3")
        await follow_answer(dify, client, run_id, "submit", contract=paper, photos=[photo] * 2, remarks="Here")
        outputs = (await client.detail(run_id))["outputs"]
        assert (outputs["decision"], outputs["remarks"]) == ("Hand in", "Here")
        assert [each["filename"] for each in (outputs["contract"], *outputs["photos"])] == ["a.pdf", "b.png", "b.png"]


async def test_a_start_gives_the_files_back_that_it_was_given() -> None:
    async with playing(apps.file_start()) as (_, client):
        paper, photo = await mapping(client, "a.pdf", "document"), await mapping(client, "b.png", "image")
        outputs = (await run(client, contract=paper, photos=[photo], note="Here")).json()["data"]["outputs"]
        assert [outputs["contract"]["filename"], outputs["photos"][0]["filename"]] == ["a.pdf", "b.png"]
        refused = await run(client, contract=photo)
        assert refused.json()["message"] == "File validation failed for file: b.png"


async def test_a_form_shows_a_picture_and_links_to_a_document() -> None:
    async with playing(apps.picture_form()) as (dify, client):
        run_id, (form,) = await client.pause(topic="Tea")
        (image, *chart), (link, *letter) = LINK.findall(form["form_content"])
        assert (image, chart[0], link, letter[0]) == ("!", "chart.png", "", "letter.pdf")
        picture = await client.http.get(chart[1])
        assert (picture.headers["content-type"], picture.content[:4]) == ("image/png", b"\x89PNG")
        await follow_answer(dify, client, run_id, "accept", remarks="")
        assert (await client.detail(run_id))["outputs"]["chart"][0]["filename"] == "chart.png"


async def test_an_answer_shows_a_picture_and_links_to_documents() -> None:
    async with playing(apps.file_chat()) as (_, client):
        async with client.ask("tea") as follower:
            finished = await follower.until("workflow_finished")
        answer = "".join(event["answer"] for event in follower.events if event["event"] == "message")
        links = LINK.findall(answer)
        assert [(image, name) for image, name, _ in links] == [("!", "chart.png"), ("", "letter.pdf")]
        again = LINK.findall(finished["data"]["outputs"]["answer"])
        assert [link[:2] for link in again] == [link[:2] for link in links]
        assert not {link[2] for link in again} & {link[2] for link in links}  # every showing is signed anew (31)
