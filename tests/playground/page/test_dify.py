"""The page shows the simulated Dify and lets things go wrong there, and lists what goes to and fro."""

from __future__ import annotations

import json
from typing import Any

import aiohttp
import pytest

from bot.playground.dify import App
from bot.playground.dify.apps import chat, content_review, file_form, long_report, parallel, pick, quick, slow
from bot.playground.page.secrecy import HIDDEN
from bot.playground.page.traffic import KEPT, POLLS_KEPT
from bot.playground.stage import Stage
from tests.playground.page.browser import Browser, Refused

Json = dict[str, Any]

REVIEW = {"topic": "Tea", "language": "English"}
USER = "slack:T0DEMO:U0ANN"


@pytest.fixture
def sample_apps() -> dict[str, App]:
    """The apps under the names people type."""
    return {
        "review": content_review(),
        "pick": pick(),
        "parallel": parallel(),
        "papers": file_form(),
        "chat": chat(),
        "quick": quick(),
        "slow": slow(steps=1, seconds=600.0),
        "long": long_report(100_000, seconds=1.0),
    }


class Client:
    """Starts runs and answers forms as the bot does."""

    def __init__(self, page: Browser, stage: Stage, apps: dict[str, App]) -> None:
        self._session, self._url, self._apps = page.session, stage.dify_server.base_url, apps

    async def start(self, app: str, **inputs: Any) -> list[Json]:
        """Start a run and return the events of its stream."""
        body = {"inputs": inputs, "user": USER, "response_mode": "streaming"}
        async with self.post(app, "/workflows/run", body) as answer:
            text = await answer.text()
        return [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: ")]

    def post(self, app: str, path: str, body: Json) -> Any:
        """Ask for something with an app's key."""
        return self._session.post(f"{self._url}{path}", json=body, headers=self._headers(app))

    def get(self, app: str, path: str) -> Any:
        """Look at something with an app's key."""
        return self._session.get(f"{self._url}{path}", headers=self._headers(app))

    def _headers(self, app: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._apps[app].key}"}


@pytest.fixture
def client(page: Browser, stage: Stage, sample_apps: dict[str, App]) -> Client:
    """Talks to Dify in the bot's place."""
    return Client(page, stage, sample_apps)


def under(page: Browser, title: str) -> list[Json]:
    """The exchanges with this in their title, in order."""
    return sorted((each for each in page.under("traffic/") if title in each["title"]), key=lambda each: each["n"])


async def test_apps_are_shown_as_graphs(page: Browser) -> None:
    review = page.documents["dify/apps/review"]
    assert review["says"] == content_review().description
    assert {"id": "review", "title": "Review draft", "type": "human-input"} in review["nodes"]
    assert {"source": "review", "target": "publish", "handle": "approve"} in review["edges"]
    assert {"source": "draft", "target": "review", "handle": None} in review["edges"]


async def test_a_run_and_its_form_are_shown_until_the_end(page: Browser, client: Client) -> None:
    await client.start("review", **REVIEW)
    form = (await page.until(lambda: page.under("dify/forms/")))[0]
    run = page.documents[f"dify/runs/{form['run']}"]
    assert (run["app"], run["status"], run["person"]) == ("review", "paused", "U0ANN")
    assert (run["steps"]["draft"], run["steps"]["review"]) == ("done", "waiting")
    assert (form["app"], form["title"], form["node"]) == ("review", "Review draft", "review")
    assert [action["id"] for action in form["actions"]] == ["approve", "edit", "regenerate"]
    await page.do("answer_elsewhere", form=form["id"], action="approve")
    await page.until(lambda: page.documents[f"dify/runs/{form['run']}"]["status"] == "succeeded")
    assert page.documents[f"dify/runs/{form['run']}"]["steps"]["publish"] == "done"
    assert page.under("dify/forms/") == []


async def test_an_answer_elsewhere_leaves_fields_as_dify_offers_them(
    page: Browser, client: Client, stage: Stage
) -> None:
    """What the page names is taken instead; a file it cannot make up."""
    await client.start("pick", title="Spring", size="M", copies=1)
    form = (await page.until(lambda: page.under("dify/forms/")))[0]
    await page.do("answer_elsewhere", form=form["id"], action="accept", values={"remarks": "Fine"})
    (run,) = stage.dify.runs.values()
    await page.until(lambda: page.documents[f"dify/runs/{run.id}"]["status"] == "succeeded")
    assert (run.outputs["remarks"], run.outputs["priority"]) == ("Fine", "low")
    await client.start("papers")
    form = (await page.until(lambda: page.under("dify/forms/")))[0]
    with pytest.raises(Refused, match="Dify refuses: Missing required inputs: contract"):
        await page.do("answer_elsewhere", form=form["id"], action="submit")
    with pytest.raises(Refused, match="not open any more"):
        await page.do("answer_elsewhere", form="F1", action="submit")


async def test_an_answer_elsewhere_brings_files(page: Browser, client: Client, stage: Stage) -> None:
    """As Dify's own page uploads them; a kind that a field does not take is refused."""
    data = aiohttp.FormData()
    data.add_field("file", b"%PDF-1.4", filename="contract.pdf")
    data.add_field("file", b"GIF89a", filename="roof.gif")
    async with page.session.post(f"{page.url}/upload", data=data) as answer:
        contract, photo = (each["id"] for each in (await answer.json())["uploads"])
    await client.start("papers")
    form = (await page.until(lambda: page.under("dify/forms/")))[0]["id"]
    with pytest.raises(Refused, match="Dify refuses: Invalid value for file input 'contract'"):
        await page.do("answer_elsewhere", form=form, action="submit", uploads={"contract": [photo]})
    files = {"contract": [contract], "photos": [photo]}
    await page.do("answer_elsewhere", form=form, action="submit", uploads=files)
    (run,) = stage.dify.runs.values()
    await page.until(lambda: page.documents[f"dify/runs/{run.id}"]["status"] == "succeeded")
    assert run.outputs["contract"]["filename"] == "contract.pdf"
    assert [each["filename"] for each in run.outputs["photos"]] == ["roof.gif"]


async def test_a_form_expires_when_told_to(page: Browser, client: Client) -> None:
    await client.start("review", **REVIEW)
    form = (await page.until(lambda: page.under("dify/forms/")))[0]
    await page.do("expire", form=form["id"])
    await page.until(lambda: page.documents[f"dify/runs/{form['run']}"]["steps"].get("late") == "done")
    with pytest.raises(Refused, match="not open any more"):
        await page.do("expire", form=form["id"])


async def test_calls_fail_and_slow_down_when_told_to(page: Browser, client: Client, stage: Stage) -> None:
    """The failure strikes a call that people see, whichever comes first."""
    await page.do("fail_next")
    async with client.post("quick", "/workflows/run", {"inputs": {}, "user": USER}) as answer:
        assert answer.status == 500
    assert (await client.start("quick"))[-1]["event"] == "workflow_finished"
    await page.do("slow", seconds=0.5)
    await page.until(lambda: page.documents["dify"] == {"slow": 0.5})
    await page.do("slow", seconds=0)
    await page.until(lambda: page.documents["dify"]["slow"] == 0)
    for seconds in (-1, 1_000, "soon"):
        with pytest.raises(Refused, match="slow: seconds: Input should be"):
            await page.do("slow", seconds=seconds)
    assert stage.dify.slow_seconds == 0


async def test_streams_are_dropped_now_or_the_next_one(page: Browser, client: Client, stage: Stage) -> None:
    assert await page.do("drop_stream") == {"dropped": 0}
    with pytest.raises(aiohttp.ClientPayloadError):
        await client.start("quick")
    body = {"inputs": {}, "user": USER, "response_mode": "streaming"}
    async with client.post("slow", "/workflows/run", body) as answer:
        await stage.dify.wait_for(lambda: any(not run.bus.silent for run in stage.dify.runs.values()))
        assert await page.do("drop_stream") == {"dropped": 1}
        with pytest.raises(aiohttp.ClientPayloadError):
            await answer.read()


async def test_only_the_newest_runs_are_kept(page: Browser, client: Client, stage: Stage) -> None:
    for _ in range(22):
        await client.start("quick")
    newest = {f"dify/runs/{run}" for run in list(stage.dify.runs)[-20:]}
    await page.until(lambda: {key for key in page.documents if key.startswith("dify/runs/")} == newest)


async def test_requests_and_events_are_listed_with_their_bodies(page: Browser, client: Client, stage: Stage) -> None:
    """Pieces of text that follow one another are one entry; no token is told."""
    await client.start("review", **REVIEW)
    asked = (await page.until(lambda: under(page, "event human_input_required")))[0]
    (form,) = stage.dify.open_forms()
    (started,) = under(page, "POST /workflows/run")
    assert (started["direction"], started["kind"], started["status"], started["ok"]) == ("out", "dify", 200, True)
    assert started["about"] == json.dumps(REVIEW)
    assert (await page.do("body", n=started["n"]))["body"]["body"]["inputs"] == REVIEW
    assert (asked["direction"], asked["about"], asked["status"]) == ("in", "Review draft", None)
    told = (await page.do("body", n=asked["n"]))["body"]
    assert (told["data"]["form_id"], told["data"]["form_token"]) == (form.id, HIDDEN)
    path = f"/form/human_input/{form.token}"
    async with client.post("review", path, {"inputs": {}, "action": "approve", "user": USER}) as answer:
        assert answer.status == 400
    refused = (await page.until(lambda: [each for each in under(page, "/form/") if each["status"]]))[0]
    assert (refused["title"], refused["ok"]) == (f"POST /form/human_input/{HIDDEN}", False)
    assert refused["ms"] >= 0
    assert (await page.do("body", n=refused["n"]))["response"]["code"] == "invalid_form_data"
    assert form.token not in json.dumps(page.updates)


async def test_pieces_of_text_that_follow_one_another_are_one_entry(page: Browser, client: Client) -> None:
    events = await client.start("long")
    pieces = [event for event in events if event["event"] == "text_chunk"]
    (entry,) = await page.until(lambda: under(page, "event workflow_finished") and under(page, "event text_chunk"))
    assert entry["about"] == f"{len(pieces)} pieces of text"
    assert (await page.do("body", n=entry["n"]))["body"] == pieces


async def test_calls_of_slack_and_its_payloads_are_listed(page: Browser, stage: Stage) -> None:
    """Whatever became of them."""
    for token, ok in (("xoxb-demo", True), ("xoxb-other", False)):
        arguments = {"channel": "C0CONTENT", "text": "Hello there", "token": token}
        async with page.session.post(f"{stage.slack.api_url}chat.postMessage", json=arguments) as answer:
            assert (await answer.json())["ok"] is ok
    posted, refused = await page.until(lambda: (found := under(page, "chat.postMessage"))[1:] and found)
    assert (posted["kind"], posted["direction"], posted["status"], posted["ok"]) == ("call", "out", 200, True)
    assert posted["about"] == "C0CONTENT Hello there"
    assert (refused["status"], refused["ok"]) == ("invalid_auth", False)
    assert (await page.do("body", n=posted["n"]))["response"]["message"]["text"] == "Hello there"

    await page.do("command", person="U0ANN", channel="C0CONTENT", text="/dify help me")
    (entry,) = await page.until(lambda: [each for each in under(page, "slash command") if each["status"]])
    assert (entry["kind"], entry["direction"], entry["status"], entry["ok"]) == (
        "payload",
        "in",
        "dispatch_failed",
        False,
    )
    assert entry["about"] == "ann /dify help me"
    body = (await page.do("body", n=entry["n"]))["body"]
    assert (body["text"], body["response_url"], body["trigger_id"], body["token"]) == ("help me", *[HIDDEN] * 3)


async def test_a_text_is_found_in_the_bodies_of_exchanges(page: Browser, client: Client, stage: Stage) -> None:
    """Whatever its case, among those that are asked about; what is kept secret is not found."""
    await client.start("review", topic="A rare word", language="English")
    asked = (await page.until(lambda: under(page, "event human_input_required")))[0]
    (started,) = under(page, "POST /workflows/run")
    every = [each["n"] for each in page.under("traffic/")]
    found = (await page.do("find_traffic", text="a RARE word", among=every))["found"]
    assert {started["n"], asked["n"]} <= set(found)
    assert (await page.do("find_traffic", text="a RARE word", among=[asked["n"]]))["found"] == [asked["n"]]
    (form,) = stage.dify.open_forms()
    assert (await page.do("find_traffic", text=form.token, among=every))["found"] == []


async def test_only_the_newest_exchanges_are_kept(page: Browser, stage: Stage) -> None:
    for _ in range(KEPT + 10):
        async with page.session.post(f"{stage.slack.api_url}api.test") as answer:
            await answer.read()
    await page.until(lambda: f"traffic/{KEPT + 10}" in page.documents)
    assert len(page.under("traffic/")) == KEPT
    with pytest.raises(Refused, match="Entry 1 is not kept any more"):
        await page.do("body", n=1)


async def test_polls_are_kept_apart(page: Browser, client: Client, stage: Stage) -> None:
    """The first look at a run is an exchange like others; those after it push nothing else out, and few are kept."""
    run = (await client.start("quick"))[0]["workflow_run_id"]
    for _ in range(POLLS_KEPT + 11):
        async with client.get("quick", f"/workflows/run/{run}") as answer:
            assert answer.status == 200
    looks = await page.until(
        lambda: (
            len(found := under(page, f"GET /workflows/run/{run}")) == POLLS_KEPT + 1 and found[-1]["status"] and found
        )
    )
    assert [each["kind"] for each in looks] == ["dify", *["poll"] * POLLS_KEPT]
    assert under(page, "POST /workflows/run")
    assert (await page.do("body", n=looks[-1]["n"]))["response"]["id"] == run


async def test_what_a_poll_tells_again_is_no_news(page: Browser, client: Client) -> None:
    """Where two forms are open the bot asks for all that has happened, time and again, in the same words."""
    live = await client.start("parallel", topic="Roof")
    run = live[0]["workflow_run_id"]
    for _ in range(4):
        path = f"/workflow/{run}/events?user={USER}&include_state_snapshot=true"
        async with client.get("parallel", path) as answer:
            assert "human_input_required" in await answer.text()
    looks = await page.until(lambda: (found := under(page, f"/workflow/{run}/events"))[3:] and found)
    assert [each["kind"] for each in looks] == ["dify", "poll", "poll", "poll"]
    asked = await page.until(lambda: (found := under(page, "event human_input_required"))[9:] and found)
    # Two as they happened, and two in the first snapshot, which words them anew.
    assert [each["kind"] for each in asked] == [*["dify"] * 4, *["poll"] * 6]
