"""What people do on the playground's page, through its socket: the browser's part of it is tested in a browser."""

from __future__ import annotations

import asyncio
import io
import json
import os
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from bot.playground.dify import App
from bot.playground.page.samples import EXAMPLES
from bot.playground.page.samples import sample_apps as page_apps
from bot.playground.page.server import listen, open_page
from bot.playground.stage import SHORTCUT, Stage
from tests.playground.page.browser import Browser, Refused, opened

pytestmark = [pytest.mark.acceptance, pytest.mark.asyncio(loop_scope="module")]

Json = dict[str, Any]

ANN, BEN = "U0ANN", "U0BEN"
DONE = "✅ Done"


@pytest.fixture(scope="module")
def sample_apps() -> dict[str, App]:
    """What the page offers."""
    return page_apps()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def page(stage: Stage, sample_apps: dict[str, App]) -> AsyncIterator[Browser]:
    """The page, open."""
    async with open_page(stage, sample_apps, EXAMPLES, listen(0)) as url, opened(url) as browser:
        yield browser


@dataclass
class Desk:
    """People at the page, in a channel of the test's own."""

    page: Browser
    channel: str

    async def command(self, text: str, person: str = ANN) -> Json:
        """Send a slash command, and return the root message of what it starts."""
        before = {message["ts"] for message in self.messages()}
        result = await self.page.do("command", person=person, channel=self.channel, text=text)
        assert result["error"] is None
        return await self.page.until(
            lambda: next((each for each in self.messages() if each["ts"] not in before and not each["thread_ts"]), None)
        )

    def messages(self, *parts: str) -> list[Json]:
        """The messages here that everyone sees, with all these texts."""
        there = [each for each in self.page.under(f"messages/{self.channel}/") if each["visible_to"] is None]
        return [each for each in there if all(part in json.dumps(each, ensure_ascii=False) for part in parts)]

    async def sees(self, *parts: str) -> Json:
        """Wait for a message with all these texts."""
        return (await self.page.until(lambda: self.messages(*parts)))[-1]

    async def told(self, person: str, part: str) -> Json:
        """Wait for what only this person sees."""

        def note() -> Json | None:
            there = self.page.under(f"messages/{self.channel}/")
            return next((each for each in there if each["visible_to"] == person and part in json.dumps(each)), None)

        return await self.page.until(note)

    async def form(self, button: str, title: str = "") -> str:
        """Wait for a form, and return its surface."""
        message = await self.sees(f'"text": "{button}"', title)
        return f"messages/{self.channel}/{message['ts']}"

    async def click(self, surface: str, button: str, person: str = BEN) -> Json:
        """Press a button."""
        field = self.page.field(surface, button)
        result: Json = await self.page.do("click", person=person, surface=surface, field=field)
        return result

    async def upload(self, *files: tuple[str, bytes]) -> list[str]:
        """Drop files on the page."""
        form = aiohttp.FormData()
        for name, content in files:
            form.add_field("file", io.BytesIO(content), filename=name)
        async with self.page.session.post(f"{self.page.url}/upload", data=form) as answer:
            return [taken["id"] for taken in (await answer.json())["uploads"]]

    async def open_form(self) -> str:
        """Wait for the form of the newest run to be open in Dify, and return its id."""

        def found() -> str | None:
            forms = self.page.under("dify/forms/")
            return next((form["id"] for form in forms if form["run"] == self.run()["id"]), None)

        return await self.page.until(found)

    def run(self) -> Json:
        """The newest run."""
        runs: list[Json] = sorted(self.page.under("dify/runs/"), key=lambda run: run["started"])
        return runs[-1]


@pytest_asyncio.fixture(loop_scope="module")
async def desk(page: Browser, stage: Stage, channel: str) -> Desk:
    """The page, showing this test's channel."""
    channel_id = stage.workspace.channel(channel).id
    stage.workspace.changed()
    await page.until(lambda: any(each["id"] == channel_id for each in page.documents["workspace"]["channels"]))
    return Desk(page, channel_id)


REVIEW = EXAMPLES[0]["command"]


async def test_a_content_review_is_sent_back_and_then_approved(desk: Desk) -> None:
    root = await desk.command(REVIEW)
    form = await desk.form("Regenerate")
    field = desk.page.field(form, "Feedback for another try, when you press Regenerate")
    await desk.page.do("fill", person=BEN, surface=form, field=field, value="Warmer, please.")
    assert (await desk.click(form, "Regenerate"))["error"] is None
    second = await desk.form("Approve", "Review revision")
    assert "Warmer, please." in json.dumps(desk.messages())
    assert (await desk.click(second, "Approve", ANN))["error"] is None
    done = await desk.page.until(lambda: (found := desk.messages(DONE, root["ts"])) and found[0])
    assert done["ts"] == root["ts"]
    assert desk.run()["steps"]["approved_revision"] == "done"


async def test_two_people_race_for_a_button_on_two_pages(desk: Desk) -> None:
    """One decides; the other is told who."""
    await desk.command(REVIEW)
    form = await desk.form("Approve")
    async with opened(desk.page.url) as other:
        await other.until(lambda: form in other.documents)
        field = desk.page.field(form, "Approve")
        results = await asyncio.gather(
            desk.page.do("click", person=ANN, surface=form, field=field),
            other.do("click", person=BEN, surface=form, field=field),
        )
    assert [result["error"] for result in results] == [None, None]
    await desk.sees(DONE)
    assert len(desk.messages("✅ *Approve* ·")) == 1
    there = desk.page.under(f"messages/{desk.channel}/")
    assert len([each for each in there if each["visible_to"] in (ANN, BEN)]) == 1


async def test_what_was_typed_into_a_window_is_found_again(desk: Desk) -> None:
    """The bot is told of it as of Slack: when the person stops typing."""
    await desk.command(REVIEW)
    form = await desk.form("Open in window")
    await desk.click(form, "Open in window", ANN)
    window = await desk.page.until(lambda: next(iter(desk.page.under("views/")), None))
    surface = f"views/{window['id']}"
    field = desk.page.field(surface, "Feedback for another try, when you press Regenerate")
    before = len([each for each in desk.page.under("traffic/") if each["title"] == "block_actions"])
    await desk.page.do("fill", person=ANN, surface=surface, field=field, value="Half as long")

    def saved() -> bool:
        actions = [each for each in desk.page.under("traffic/") if each["title"] == "block_actions"]
        return len(actions) > before and all(each["status"] == "ack" for each in actions)

    await desk.page.until(saved)
    await desk.page.do("close", person=ANN, view=window["id"])
    await desk.page.until(lambda: surface not in desk.page.documents)
    await desk.click(form, "Open in window", ANN)
    again = await desk.page.until(lambda: next(iter(desk.page.under("views/")), None))
    assert "Half as long" in json.dumps(again["blocks"])
    await desk.page.do("close", person=ANN, view=again["id"])


async def test_nothing_is_lost_when_the_bot_is_killed_with_a_form_open(desk: Desk) -> None:
    await desk.command(REVIEW)
    form = await desk.form("Approve")
    before = desk.page.documents["bot"]["pid"]
    await desk.page.do("kill_bot")
    stopped = await desk.page.until(lambda: (bot := desk.page.documents["bot"])["state"] == "stopped" and bot)
    assert (stopped["pid"], stopped["error"]) == (None, None), "that is what was asked for"
    assert (await desk.click(form, "Approve"))["error"] == "Approve failed (dispatch_failed)"
    with pytest.raises(Refused, match="The bot does not run"):
        await desk.page.do("kill_bot")
    await desk.page.do("start_bot")
    with pytest.raises(Refused, match="The bot runs already"):
        await desk.page.do("start_bot")
    running = await desk.page.until(lambda: (bot := desk.page.documents["bot"])["state"] == "running" and bot)
    assert running["pid"] not in (None, before)
    assert (await desk.click(form, "Approve"))["error"] is None
    await desk.sees(DONE)
    assert len(desk.messages("✅ *Approve* ·")) == 1


async def test_a_bot_that_dies_by_itself_is_shown_with_the_reason(desk: Desk) -> None:
    os.kill(desk.page.documents["bot"]["pid"], signal.SIGKILL)
    stopped = await desk.page.until(lambda: (bot := desk.page.documents["bot"])["state"] == "stopped" and bot)
    assert stopped["error"].startswith("The bot ended with exit code -9.")
    await desk.page.do("start_bot")
    await desk.page.until(lambda: desk.page.documents["bot"]["state"] == "running")
    assert desk.page.documents["bot"]["error"] is None


async def test_a_form_is_answered_elsewhere(desk: Desk) -> None:
    await desk.command(REVIEW)
    await desk.form("Approve")
    await desk.page.do("answer_elsewhere", form=await desk.open_form(), action="approve")
    await desk.sees(DONE)


async def test_a_form_that_expires_says_so(desk: Desk) -> None:
    await desk.command(REVIEW)
    form = await desk.form("Approve")
    await desk.page.do("expire", form=await desk.open_form())
    await desk.sees("Nobody answered in time. Nothing was published.")
    await desk.page.until(lambda: '"text": "Approve"' not in json.dumps(desk.page.documents[form]))


async def test_a_failing_and_slow_dify_loses_no_answer(desk: Desk) -> None:
    await desk.command(REVIEW)
    form = await desk.form("Approve")
    await desk.page.do("slow", seconds=2.0)
    await desk.page.do("fail_next")
    assert (await desk.click(form, "Approve"))["error"] is None
    await desk.sees(DONE)
    await desk.page.do("slow", seconds=0)


async def test_a_stream_that_is_dropped_loses_no_run(desk: Desk) -> None:
    await desk.page.do("drop_stream")
    await desk.command(REVIEW)
    form = await desk.form("Approve")
    await desk.click(form, "Approve")
    await desk.sees(DONE)


async def test_files_are_dropped_into_the_thread_of_a_form(desk: Desk) -> None:
    root = await desk.command('/dify papers topic="The roof"')
    form = await desk.form("Hand in")
    uploads = await desk.upload(("contract.pdf", b"%PDF-1.7 signed"), ("roof.png", b"\x89PNG\r\n\x1a\n roof"))
    await desk.page.do("post", person=ANN, channel=desk.channel, text="", thread_ts=root["ts"], uploads=uploads)
    for name in ("contract.pdf", "roof.png"):
        await desk.sees("attached", name)
    assert (await desk.click(form, "Hand in"))["error"] is None
    await desk.sees(DONE)


async def test_a_shortcut_and_a_window_start_a_run(desk: Desk) -> None:
    """The message becomes the first text."""
    written = await desk.page.do("post", person=ANN, channel=desk.channel, text="Winter menu")
    surface = f"messages/{desk.channel}/{written['ts']}"
    await desk.page.until(lambda: surface in desk.page.documents)
    used = await desk.page.do("shortcut", person=ANN, surface=surface, callback_id=SHORTCUT)
    assert used["error"] is None
    window = await desk.page.until(lambda: next(iter(desk.page.under("views/")), None))
    assert "Winter menu" in json.dumps(window["blocks"])
    key = f"views/{window['id']}"
    app = {"person": ANN, "surface": key, "field": desk.page.field(key, "App")}
    await desk.page.do("choose", **app, values=["review"])
    await desk.page.until(lambda: "Language" in json.dumps(desk.page.documents[key]))
    sent = await desk.page.do("submit", person=ANN, view=window["id"])
    assert list(sent["field_errors"].values()) == ["Please complete this required field."]
    language = desk.page.field(key, "Language")
    with pytest.raises(Refused, match="no option 'Klingon' here"):
        await desk.page.do("choose", person=ANN, surface=key, field=language, values=["Klingon"])
    blocks = desk.page.documents[key]["blocks"]
    (menu,) = [each["element"] for each in blocks if language.startswith(f"{each['block_id']}/")]
    await desk.page.do("choose", person=ANN, surface=key, field=language, values=[menu["options"][0]["value"]])
    sent = await desk.page.do("submit", person=ANN, view=window["id"])
    assert (sent["error"], sent["field_errors"]) == (None, {})
    await desk.form("Approve")
    assert "Winter menu" in json.dumps(desk.messages())


OWN = {
    "form_content": "## Lunch?\n\nWhat\n\n{{#$output.dish#}}\n",
    "inputs": [{"type": "paragraph", "output_variable_name": "dish", "default": None}],
    "user_actions": [{"id": "eat", "title": "Eat", "button_style": "primary"}],
    "resolved_default_values": {},
    "expiration_time": 0,
}


async def test_an_own_form_is_asked_as_soon_as_it_is_loaded(desk: Desk) -> None:
    """By the bot itself: message, fields, buttons and outcome. The next one that is loaded changes no open form."""
    first = await desk.command("/dify own")
    await desk.form("All right")
    loaded = await desk.page.do("load_form", text=json.dumps(OWN), person=ANN, channel=desk.channel)
    assert loaded["title"] == "Your form"
    form = await desk.form("Eat")
    field = desk.page.field(form, "What")
    await desk.page.do("fill", person=BEN, surface=form, field=field, value="Soup")
    assert (await desk.click(form, "Eat"))["error"] is None
    await desk.sees("Soup", "dish")
    assert (await desk.click(await desk.form("All right"), "All right"))["error"] is None
    await desk.page.until(lambda: any(each["ts"] == first["ts"] for each in desk.messages(DONE)))


async def test_no_secret_reaches_the_page(desk: Desk, stage: Stage, sample_apps: dict[str, App]) -> None:
    """After all of the above: neither in what it was sent nor in the bodies that it can ask for."""
    await desk.command(REVIEW)
    await desk.form("Approve")
    seen = json.dumps(desk.page.updates)
    exchanges = [each for each in desk.page.under("traffic/") if each["kind"] != "poll"]
    newest = sorted(each["n"] for each in exchanges)[-250:]  # the oldest are on their way out, and polls are soon
    for number in newest:
        seen += json.dumps(await desk.page.do("body", n=number))
    assert "human_input_required" in seen
    workspace = stage.workspace
    secrets = [workspace.bot_token, workspace.app_token, workspace.signing_secret, *stage.dify.forms]
    secrets += [app.key for app in sample_apps.values()]
    assert len(secrets) > 10
    assert [secret for secret in secrets if secret in seen] == []
    assert f"{workspace.url}/commands/" not in seen
    assert f"{workspace.url}/actions/" not in seen
