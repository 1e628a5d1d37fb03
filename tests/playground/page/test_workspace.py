"""The page shows what stands in the workspace and changes there, and does what a person does."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import aiohttp
import pytest
from slack_bolt.async_app import AsyncApp

from bot.playground.page.samples import EXAMPLES
from bot.playground.slack import Message
from bot.playground.slack.content import message_content
from bot.playground.slack.refusals import Refusal
from bot.playground.slack.responses import checked_view, show_view
from bot.playground.slack.state import Author, Content, Stream
from bot.playground.stage import SHORTCUT, SHORTCUT_NAME, Stage
from tests.playground.page.browser import Browser, Refused, opened
from tests.playground.slack.conftest import bolt

__all__ = ["bolt"]

Json = dict[str, Any]

ENTER = "on_enter_pressed"
ANN, BEN, CONTENT = "U0ANN", "U0BEN", "C0CONTENT"


def plain(text: str) -> Json:
    return {"type": "plain_text", "text": text}


def field(label: str, block_id: str, **element: Any) -> Json:
    element = {"action_id": "value"} | element
    return {"type": "input", "block_id": block_id, "label": plain(label), "element": element, "optional": True}


OPTIONS = [{"text": plain(text), "value": text.lower()} for text in ("Low", "High")]
FIELDS: list[Json] = [
    field("Remarks", "remarks", type="plain_text_input", max_length=10),
    field("Priority", "priority", type="static_select", options=OPTIONS),
    field("Topics", "topics", type="checkboxes", options=OPTIONS),
    field("Reviewer", "reviewer", type="users_select"),
    field("Day", "day", type="datepicker"),
    {"type": "actions", "block_id": "decide", "elements": [{"type": "button", "action_id": "ok", "text": plain("OK")}]},
]
MODAL: Json = {
    "type": "modal",
    "title": plain("A form"),
    "submit": plain("Send"),
    "blocks": [field("Reason", "reason", type="plain_text_input") | {"optional": False}],
}
FILES = field("Papers", "papers", type="file_input", max_files=1, filetypes=["pdf"])


def post(stage: Stage, blocks: list[Json] | None = None, **more: Any) -> Message:
    """A message of the bot in #content."""
    content = message_content({"text": "A form", "blocks": blocks or []}, stage.workspace.new_id)
    return stage.workspace.post(stage.workspace.channel("content"), content, stage.workspace.bot, **more)


def show(stage: Stage, view: Json, user_id: str = ANN) -> str:
    """Open a modal for somebody and return its id."""
    person = stage.workspace.person_by_id(user_id)
    assert person
    return show_view(stage.workspace, person, checked_view(stage.workspace, view, "modal")).id


def key_of(message: Message) -> str:
    return f"messages/{message.channel.id}/{message.ts}"


async def upload(page: Browser, name: str, content: bytes) -> str:
    """Drop a file on the page and return its id."""
    form = aiohttp.FormData()
    form.add_field("file", io.BytesIO(content), filename=name)
    async with page.session.post(f"{page.url}/upload", data=form) as answer:
        (taken,) = (await answer.json())["uploads"]
    assert (taken["name"], taken["size"]) == (name, len(content))
    return str(taken["id"])


# What is seen.


async def test_the_workspace_is_described(page: Browser) -> None:
    workspace = page.documents["workspace"]
    assert workspace["url"].startswith("http://127.0.0.1:")
    assert workspace["app"] == {"name": "Dify", "user_id": "U0BOT", "bot_id": "B0BOT"}
    assert workspace["people"][0] == {"id": ANN, "name": "ann", "zone": "UTC"}
    kinds = {channel["name"]: (channel["kind"], channel["members"]) for channel in workspace["channels"]}
    assert kinds["content"] == ("channel", [ANN, BEN, "U0BOT", "U0CLEO"])
    assert kinds["random"] == ("channel", [ANN])
    assert kinds["@ben"] == ("im", [BEN, "U0BOT"])
    assert workspace["commands"] == ["/dify"]
    assert workspace["shortcuts"] == [{"callback_id": SHORTCUT, "name": SHORTCUT_NAME}]
    assert workspace["examples"] == EXAMPLES
    assert page.updates[0]["first"] is True


async def test_a_message_is_shown_as_it_was_posted_and_changes_with_it(page: Browser, stage: Stage) -> None:
    message = post(stage, FIELDS)
    key = key_of(message)
    shown = await page.until(lambda: page.documents.get(key))
    assert shown["blocks"] == message.blocks
    assert shown["author"] == {"id": "U0BOT", "name": "Dify", "is_app": True}
    assert (shown["text"], shown["thread_ts"], shown["visible_to"]) == ("A form", None, None)
    assert (shown["edited"], shown["streaming"], shown["files"]) == (False, False, [])
    stage.workspace.edit(message, Content(text="Over"))
    changed = await page.until(lambda: page.documents[key]["text"] == "Over" and page.documents[key])
    assert (changed["blocks"], changed["edited"]) == ([], True)
    stage.workspace.delete(message)
    await page.until(lambda: key not in page.documents)
    assert key in page.updates[-1]["drop"]


async def test_threads_ephemeral_messages_and_streams_say_what_they_are(page: Browser, stage: Stage) -> None:
    root = post(stage)
    private = key_of(post(stage, thread_ts=root.ts, visible_to=ANN))
    stream = Stream(ends_at=stage.workspace.now() + 60, is_plan=False)
    written = post(stage, thread_ts=root.ts, stream=stream)
    await page.until(lambda: key_of(written) in page.documents)
    assert (page.documents[private]["thread_ts"], page.documents[private]["visible_to"]) == (root.ts, ANN)
    assert page.documents[key_of(written)]["streaming"] is True
    stage.workspace.extend(written, replace(written.content, text="A form, and more"))
    await page.until(lambda: page.documents[key_of(written)]["text"] == "A form, and more")
    stream.state = "completed"
    stage.workspace.changed()
    await page.until(lambda: page.documents[key_of(written)]["streaming"] is False)


async def test_windows_stand_with_their_person_and_say_what_is_wrong(page: Browser, stage: Stage) -> None:
    """slack-platform §2.6: the client finds missing fields itself."""
    view = show(stage, MODAL)
    shown = await page.until(lambda: page.documents.get(f"views/{view}"))
    assert (shown["person"], shown["kind"], shown["depth"], shown["errors"]) == (ANN, "modal", 0, {})
    assert (shown["title"], shown["submit"], shown["close"]) == ("A form", "Send", None)
    result = await page.do("submit", person=ANN, view=view)
    assert result["field_errors"] == {"reason": "Please complete this required field."}
    await page.until(lambda: page.documents[f"views/{view}"]["errors"] == result["field_errors"])
    await page.do("fill", person=ANN, surface=f"views/{view}", field="reason/value", value="So")
    await page.until(lambda: f"drafts/{ANN}/views/{view}" in page.documents)
    await page.do("close", person=ANN, view=view)
    await page.until(lambda: f"views/{view}" not in page.documents)
    assert f"drafts/{ANN}/views/{view}" not in page.documents


async def test_what_slack_refused_is_told(page: Browser, stage: Stage) -> None:
    stage.workspace.note_refusal("chat.postMessage", Refusal("invalid_blocks", "[ERROR] too long"))
    refusal = await page.until(lambda: page.documents.get("refusals/0"))
    assert (refusal["what"], refusal["code"]) == ("chat.postMessage", "invalid_blocks")
    assert refusal["messages"] == ["[ERROR] too long"]
    assert refusal["at"] == pytest.approx(stage.workspace.now(), abs=60)


async def test_every_page_sees_the_same(page: Browser, url: str, stage: Stage) -> None:
    """One that is opened later begins with all of it."""
    key = key_of(post(stage))
    await page.until(lambda: key in page.documents)
    async with opened(url) as other:
        await other.until(lambda: key in other.documents)
        assert other.documents[key] == page.documents[key]


# What people do.


async def test_messages_are_written_as_one_of_several_people(page: Browser, stage: Stage) -> None:
    """Mentions become links, as in Slack's composer."""
    root = (await page.do("post", person=ANN, channel=CONTENT, text="Hello @ben"))["ts"]
    await page.do("post", person=BEN, channel=CONTENT, text="Hello", thread_ts=root)
    reply = await page.until(lambda: page.message("Hello", f'"thread_ts": "{root}"'))
    assert reply["author"] == {"id": BEN, "name": "ben", "is_app": False}
    assert page.documents[f"messages/{CONTENT}/{root}"]["text"] == f"Hello <@{BEN}>"


async def test_each_person_has_drafts_of_their_own(page: Browser, stage: Stage) -> None:
    surface = key_of(post(stage, FIELDS))
    for person, text in ((ANN, "from ann"), (BEN, "from ben")):
        await page.do("fill", person=person, surface=surface, field="remarks/value", value=text)
    await page.do("choose", person=ANN, surface=surface, field="priority/value", values=["high"])
    await page.do("choose", person=ANN, surface=surface, field="topics/value", values=["low", "high"])
    await page.do("choose", person=ANN, surface=surface, field="reviewer/value", values=[BEN])
    await page.do("choose", person=ANN, surface=surface, field="day/value", values=["2026-12-24"])
    await page.until(lambda: "day/value" in page.documents.get(f"drafts/{ANN}/{surface}", {}))
    anns, bens = page.documents[f"drafts/{ANN}/{surface}"], page.documents[f"drafts/{BEN}/{surface}"]
    assert anns["remarks/value"] == {"type": "plain_text_input", "value": "from ann"}
    assert anns["priority/value"]["selected_option"]["value"] == "high"
    assert [option["value"] for option in anns["topics/value"]["selected_options"]] == ["low", "high"]
    assert anns["reviewer/value"]["selected_user"] == BEN
    assert anns["day/value"]["selected_date"] == "2026-12-24"
    assert list(bens) == ["remarks/value"]


async def test_files_are_dropped_shared_and_deleted(page: Browser, stage: Stage) -> None:
    uploads = [await upload(page, "roof.png", b"\x89PNG"), await upload(page, "notes.txt", b"Notes")]
    await page.do("post", person=ANN, channel=CONTENT, text="", uploads=uploads)
    message = await page.until(lambda: page.message("roof.png"))
    picture, notes = message["files"]
    assert (picture["name"], picture["mimetype"], picture["size"]) == ("roof.png", "image/png", 4)
    assert (picture["is_image"], notes["is_image"], notes["deleted"]) == (True, False, False)
    with pytest.raises(Refused, match="ben has no file"):
        await page.do("delete_file", person=BEN, file=notes["id"])
    await page.do("delete_file", person=ANN, file=notes["id"])
    await page.until(lambda: page.documents[page.key(page.message("roof.png") or {})]["files"][1]["deleted"])


async def test_files_are_chosen_in_a_window(page: Browser, stage: Stage) -> None:
    """As Slack's client takes them: by number and kind."""
    view = show(stage, MODAL | {"blocks": [FILES]})
    surface = f"views/{view}"
    pdf, log = await upload(page, "a.pdf", b"%PDF"), await upload(page, "a.log", b"log")
    choose: Json = {"person": ANN, "surface": surface, "field": "papers/value"}
    with pytest.raises(Refused, match=r"takes pdf, not a\.log"):
        await page.do("choose_files", **choose, uploads=[log])
    with pytest.raises(Refused, match="at most 1 files"):
        await page.do("choose_files", **choose, uploads=[pdf, pdf])
    await page.do("choose_files", **choose, uploads=[pdf])
    draft = await page.until(lambda: page.documents.get(f"drafts/{ANN}/{surface}"))
    assert [file["name"] for file in draft["papers/value"]["files"]] == ["a.pdf"]


async def test_a_large_file_is_shared_whole(page: Browser, stage: Stage) -> None:
    """More than is kept in memory."""
    content = b"0123456789" * 400_000
    await page.do("post", person=ANN, channel=CONTENT, uploads=[await upload(page, "large.bin", content)])
    message = await page.until(lambda: page.message("large.bin"))
    async with page.session.get(f"{page.url}/files/{message['files'][0]['id']}?download") as answer:
        assert await answer.read() == content
        assert answer.headers["Content-Disposition"] == "attachment; filename*=UTF-8''large.bin"


async def test_home_of_an_app_that_has_none_stays_empty(page: Browser, stage: Stage) -> None:
    assert await page.do("open_home", person=ANN) == {}
    assert page.under("views/") == []


async def test_a_bot_hears_of_everything_that_fires(page: Browser, stage: Stage, bolt: Callable[..., Any]) -> None:
    """Searched menus, menus without a form, "more" menus, thumbs and Enter, each by its ids."""
    heard: list[Json] = []

    def register(app: AsyncApp) -> None:
        @app.options("city")
        async def _(ack: Any, body: Json) -> None:
            found = [text for text in ("Berlin", "Bern & more") if body["value"] in text]
            await ack(options=[{"text": plain(text), "value": text.lower()} for text in found])

        @app.action(re.compile(".*"))
        async def _(ack: Any, body: Json) -> None:
            heard.extend(body["actions"])
            await ack()

    stage.workspace.ack_timeout = 3.0
    await bolt(stage.slack, register)
    thumbs = {f"{way}_button": {"text": plain(way), "value": way} for way in ("positive", "negative")}
    line = field("Line", "line", type="plain_text_input", dispatch_action_config={"trigger_actions_on": [ENTER]})
    blocks: list[Json] = [
        {
            "type": "actions",
            "block_id": "menus",
            "elements": [
                {"type": "external_select", "action_id": "city", "min_query_length": 1},
                {"type": "overflow", "action_id": "more", "options": OPTIONS},
            ],
        },
        {
            "type": "context_actions",
            "block_id": "rating",
            "elements": [{"type": "feedback_buttons", "action_id": "rate", **thumbs}],
        },
        line | {"dispatch_action": True},
    ]
    where: Json = {"person": ANN, "surface": key_of(post(stage, blocks))}
    found = await page.do("search", **where, field="menus/city", text="Bern")
    assert found == {"options": [{"text": "Bern & more", "value": "bern & more"}]}
    await page.do("choose", **where, field="menus/city", values=["bern & more"])
    await stage.workspace.wait_for(lambda: heard)
    await page.do("choose", **where, field="menus/more", values=["high"])
    await stage.workspace.wait_for(lambda: heard[1:])
    assert (await page.do("click", **where, field="rating/rate/negative"))["error"] is None
    await page.do("fill", **where, field="line/value", value="Hello")
    await page.do("enter", **where, field="line/value")
    await stage.workspace.wait_for(lambda: heard[3:])
    chosen = [(each.get("selected_option") or {}).get("value") or each["value"] for each in heard]
    assert chosen == ["bern & more", "high", "negative", "Hello"]
    with pytest.raises(Refused, match="searched from 1 characters on"):
        await page.do("search", **where, field="menus/city", text="")


# What is not possible is told in a sentence.


@pytest.mark.parametrize(
    ("do", "arguments", "error"),
    [
        ("dance", {}, "There is no action 'dance'."),
        (None, {}, "There is no action None."),
        ("post", {"person": ANN, "channel": CONTENT}, "There is nothing to send."),
        ("post", {"person": ANN}, "post: channel: Missing required argument."),
        ("post", {"person": ANN, "channel": CONTENT, "text": 3}, "post: text: Input should be a valid string."),
        ("post", {"person": "U9", "channel": CONTENT, "text": "x"}, "There is nobody with the id 'U9'."),
        ("post", {"person": ANN, "channel": "C9", "text": "x"}, "There is no channel with the id 'C9'."),
        ("post", {"person": BEN, "channel": "C0RANDOM", "text": "x"}, "ben is not in #random"),
        ("post", {"person": ANN, "channel": CONTENT, "text": "x", "thread_ts": "1.0"}, "no thread 1.0 in #content"),
        ("post", {"person": ANN, "channel": CONTENT, "uploads": ["x"]}, "There is no upload 'x'."),
        ("click", {"person": ANN, "surface": "views/V1", "field": "a/b"}, "This window is not open any more."),
        ("click", {"person": ANN, "surface": "messages/C1/1.0", "field": "a/b"}, "This message is not there any more."),
        ("fill", {"person": ANN, "surface": "nowhere", "field": "a/b", "value": ""}, "neither a message nor a view"),
        ("submit", {"person": ANN, "view": "V1"}, "This window is not on top any more."),
        ("close", {"person": ANN, "view": "V1"}, "This window is not on top any more."),
        ("delete_file", {"person": ANN, "file": "F1"}, "ann has no file F1"),
        ("body", {"n": 99}, "Entry 99 is not kept any more."),
        ("kill_bot", {}, "The bot does not run."),
        ("reply", {}, "There is no action 'reply'."),
        ("_person", {"user_id": ANN}, "There is no action '_person'."),
    ],
)
async def test_what_cannot_be_done_is_told(page: Browser, do: str, arguments: Json, error: str) -> None:
    with pytest.raises(Refused) as refused:
        await page.do(do, **arguments)
    assert error in str(refused.value)


@pytest.mark.parametrize(
    ("do", "arguments", "error"),
    [
        ("click", {"field": "decide/no"}, "This button is no longer there"),
        ("fill", {"field": "remarks/value", "value": "x" * 11}, "'Remarks' takes at most 10 characters, not 11"),
        ("fill", {"field": "priority/value", "value": "x"}, "'Priority' is a static_select, not a field to type into"),
        ("choose", {"field": "priority/value", "values": ["middle"]}, "no option 'middle' here"),
        ("choose", {"field": "reviewer/value", "values": ["U9"]}, "no person 'U9' here"),
        ("search", {"field": "priority/value", "text": "x"}, "'Priority' is no menu to search"),
        ("enter", {"field": "remarks/value"}, "Enter does nothing in 'Remarks'"),
        ("choose_files", {"field": "remarks/value", "uploads": []}, "Files are chosen in a window."),
        ("shortcut", {"callback_id": "dance"}, "the message's menu has no shortcut 'dance'"),
    ],
)
async def test_what_a_message_does_not_have_is_told(
    page: Browser, stage: Stage, do: str, arguments: Json, error: str
) -> None:
    surface = key_of(post(stage, FIELDS))
    with pytest.raises(Refused) as refused:
        await page.do(do, person=ANN, surface=surface, **arguments)
    assert error in str(refused.value)


async def test_nobody_uses_what_only_somebody_else_sees(page: Browser, stage: Stage) -> None:
    surface = key_of(post(stage, FIELDS, visible_to=ANN))
    window = show(stage, MODAL)
    for where, named in ((surface, "remarks/value"), (f"views/{window}", "reason/value")):
        with pytest.raises(Refused, match="ben does not"):
            await page.do("fill", person=BEN, surface=where, field=named, value="x")
    with pytest.raises(Refused, match="ben does not"):
        await page.do("click", person=BEN, surface=surface, field="decide/ok")
    with pytest.raises(Refused, match="not on top"):
        await page.do("submit", person=BEN, view=window)


async def test_a_bot_that_does_not_answer_is_told_as_slack_tells_it(page: Browser, stage: Stage) -> None:
    """By the result, and by a line that only this person sees."""
    surface = key_of(post(stage, FIELDS))
    result = await page.do("click", person=BEN, surface=surface, field="decide/ok")
    assert result == {"error": "OK failed (dispatch_failed)", "ack_ms": None}
    line = await page.until(lambda: page.message("dispatch_failed"))
    assert (line["author"]["name"], line["visible_to"]) == ("Slackbot", BEN)
    told = await page.do("command", person=ANN, channel=CONTENT, text="/dance now")
    assert told["error"] == "/dance is not a valid command."


async def test_what_is_no_request_is_told_and_the_page_goes_on(page: Browser, stage: Stage) -> None:
    async with page.session.ws_connect(f"{page.url}/socket") as socket:
        await socket.receive_json()
        for sent in ("nonsense", "[1]"):
            await socket.send_str(sent)
            assert await socket.receive_json() == {"id": None, "ok": False, "error": "A request is a JSON object."}
        await socket.send_json({"id": 5, "do": "post", "person": ANN, "channel": CONTENT, "text": "Hello"})
        replies = [await socket.receive_json() for _ in range(2)]
        assert [reply["ok"] for reply in replies if reply.get("id") == 5] == [True]


async def test_authors_outside_are_named_by_their_id(page: Browser, stage: Stage) -> None:
    stage.workspace.post(stage.workspace.channel("content"), Content(text="From afar"), Author("U0STRANGER"))
    message = await page.until(lambda: page.message("From afar"))
    assert message["author"] == {"id": "U0STRANGER", "name": "U0STRANGER", "is_app": False}
