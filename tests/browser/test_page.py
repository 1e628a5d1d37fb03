"""What a newcomer does on the playground's page, in a real browser."""

from __future__ import annotations

import asyncio
import json
import re
import struct
import zlib
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from playwright.async_api import Browser, FilePayload, WebSocket, expect
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from bot.playground.dify import App
from bot.playground.dify.graph import End, choice
from bot.playground.dify.simulator import RecordedRequest
from bot.playground.page.samples import EXAMPLES, sample_apps
from bot.playground.page.server import listen, open_page
from bot.playground.stage import CHANNEL, Stage
from tests.browser.visitor import NewVisitor, Visitor

pytestmark = pytest.mark.asyncio(loop_scope="module")

REVIEW = '/dify review topic="Team calendars" language=English'
PDF = b"%PDF-1.4\n%" + bytes(64)
OWN_FORM = {
    "form_content": "Which colour shall the door have?\n\nColour\n\n{{#$output.colour#}}\n",
    "inputs": [
        {
            "type": "paragraph",
            "output_variable_name": "colour",
            "default": {"type": "constant", "selector": [], "value": ""},
        }
    ],
    "resolved_default_values": {},
    "user_actions": [{"id": "paint", "title": "Paint it", "button_style": "primary"}],
    "expiration_time": 4102444800,
}


def picture(width: int, height: int) -> bytes:
    """A PNG of a clay roof below a grey sky."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    sky, clay = bytes((200, 208, 216)), bytes((168, 84, 60))
    rows = [b"\0" + (sky if row < height // 3 else clay) * width for row in range(height)]
    head = struct.pack(">2I5B", width, height, 8, 2, 0, 0, 0)  # eight bits each of red, green and blue
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        chunk(name, data) for name, data in ((b"IHDR", head), (b"IDAT", zlib.compress(b"".join(rows))), (b"IEND", b""))
    )


def submits(stage: Stage) -> list[RecordedRequest]:
    """The answers to forms that the bot has sent to Dify so far."""
    return [each for each in stage.dify.requests if each.method == "POST" and "/form/human_input/" in each.path]


async def test_a_content_review_from_the_first_look_to_its_result(new_visitor: NewVisitor) -> None:
    """The newcomer takes the first example, sends the draft back with a remark, and approves the next one."""
    visitor = await new_visitor(CHANNEL)
    await visitor.shoot("review-1-welcome")
    await visitor.channel(CHANNEL).get_by_role("button", name="/dify review").click()
    composer = visitor.page.get_by_role("textbox", name=f"Message #{CHANNEL}")
    await expect(composer).to_have_value(REVIEW)
    await composer.press("Enter")
    await visitor.open_thread(CHANNEL, "started by")
    draft = visitor.messages(visitor.thread, "Review draft").last
    await expect(draft.get_by_role("button", name="Approve")).to_be_visible()
    await expect(draft.locator("header")).to_be_visible()  # a reply is seen to be one: the root has its own
    await draft.get_by_role("textbox", name=re.compile("Feedback")).fill("Shorter, please.")
    await visitor.shoot("review-2-form")
    await draft.get_by_role("button", name="Regenerate").click()
    await expect(draft).to_contain_text("✅ Regenerate · @ann")
    await expect(draft).to_contain_text("Shorter, please.")
    await expect(draft.get_by_role("button", name="Approve")).to_have_count(0)
    revision = visitor.messages(visitor.thread, "Review revision").last
    await expect(revision.get_by_role("button", name="Approve")).to_be_visible()
    root = visitor.messages(visitor.channel(CHANNEL), "started by")
    await expect(root).to_contain_text("Waiting for @ann: Review revision")
    await visitor.shoot("review-3-revision")
    await revision.get_by_role("button", name="Approve").click()
    await expect(revision).to_contain_text("✅ Approve · @ann")
    await expect(root).to_contain_text("Done in")
    await visitor.shoot("review-4-approved")


async def test_the_composer_completes_commands_and_explains_them(visitor: Visitor, channel: str) -> None:
    """A command can be picked with the arrow keys; one that does not exist is told to whoever typed it."""
    composer = visitor.page.get_by_label(f"Message #{channel}", exact=True)
    await composer.click()
    await visitor.page.keyboard.type("/dify pa")
    await expect(visitor.page.get_by_role("option", name="/dify parallel")).to_be_visible()
    await visitor.shoot("completion")
    await visitor.page.keyboard.press("ArrowDown")
    await visitor.page.keyboard.press("Tab")
    await expect(composer).to_have_value(re.compile(r"^/dify pa"))
    await composer.fill("/dify in")
    await visitor.page.get_by_role("option", name="/dify intake").click()
    await visitor.page.get_by_role("option", name="note=").click()
    await expect(composer).to_have_value("/dify intake note=")
    await composer.fill('/dify pick title="Spring menu" si')
    await visitor.page.get_by_role("option", name=re.compile("^size=")).click()
    await visitor.page.get_by_role("option", name="size=L").click()
    await expect(composer).to_have_value('/dify pick title="Spring menu" size=L')
    await composer.fill("/nothing here")
    await composer.press("Enter")
    await expect(visitor.page.get_by_text("/nothing is not a valid command.")).to_be_visible()


async def test_the_composer_offers_what_an_app_still_takes(chromium: Browser, channel: str, stage: Stage) -> None:
    """Whatever other names end like a parameter's, and in quotation marks where a value has blanks in it."""
    start = (choice("size", ["S", "Very large"]), choice("oversize", ["yes", "no"]))
    order = App(name="order", start=start, nodes=(End("end", "Done", {}),), edges=("start -> end",))
    stage.dify.publish(order)
    apps = sample_apps() | {"order": order}
    async with open_page(stage, apps, EXAMPLES, listen(0)) as url, Visitor.of(chromium, url, None) as visitor:
        await visitor.go(channel)
        composer = visitor.page.get_by_label(f"Message #{channel}", exact=True)
        offers = visitor.page.get_by_role("listbox", name="Suggestions").get_by_role("option")
        await composer.fill('/dify order oversize=no title="size=S" s')
        await offers.filter(has_text="size=").click()
        await expect(offers).to_have_count(2)
        await composer.press_sequentially("Ve")
        await offers.filter(has_text="Very large").click()
        await expect(composer).to_have_value('/dify order oversize=no title="size=S" size="Very large"')
        await expect(offers).to_have_count(0)
        await composer.press_sequentially(" ")
        await expect(offers).to_have_count(0)


async def test_what_one_sends_is_in_sight(visitor: Visitor, channel: str, app: AsyncWebClient, stage: Stage) -> None:
    """In a channel and in a thread, also for who has scrolled up there to read."""
    root = await app.chat_postMessage(channel=stage.workspace.channel(channel).id, text="First")
    for number in range(30):
        await app.chat_postMessage(channel=root["channel"], text=f"Message {number}\nand a line more")
        await app.chat_postMessage(channel=root["channel"], thread_ts=root["ts"], text=f"Reply {number}")
    await visitor.open_thread(channel, "First")
    for pane, label in ((visitor.channel(channel), f"Message #{channel}"), (visitor.thread, "Reply")):
        await pane.get_by_role("article").first.scroll_into_view_if_needed()
        await expect(pane.get_by_role("button", name="Newest messages")).to_be_visible()
        await pane.get_by_role("textbox", name=label).fill("Mine")
        await pane.get_by_role("textbox", name=label).press("Enter")
        await expect(visitor.messages(pane, "Mine")).to_be_in_viewport()
        await expect(pane.get_by_role("button", name="Newest messages")).to_have_count(0)


async def test_a_thread_opens_where_its_reader_has_to_go_on(
    visitor: Visitor, channel: str, app: AsyncWebClient, stage: Stage
) -> None:
    """At a line above the first reply they have not seen; one they have read ends with its newest reply."""
    root = await app.chat_postMessage(channel=stage.workspace.channel(channel).id, text="First")
    where = {"channel": root["channel"], "thread_ts": root["ts"]}
    for number in range(20):
        await app.chat_postMessage(**where, text=f"Old {number}\nand a line more")
    await visitor.open_thread(channel, "First")
    await expect(visitor.messages(visitor.thread, "Old 0")).to_be_in_viewport()
    await visitor.thread.get_by_role("button", name="Newest messages").click()
    await expect(visitor.messages(visitor.thread, "Old 19")).to_be_in_viewport()
    await visitor.thread.get_by_role("button", name="Close thread").click()
    for number in range(20):
        await app.chat_postMessage(**where, text=f"New {number}\nand a line more")
    await expect(visitor.messages(visitor.channel(channel), "First")).to_contain_text("20 new")
    await visitor.open_thread(channel, "First")
    await expect(visitor.thread.get_by_role("separator", name="New")).to_be_in_viewport()
    await expect(visitor.messages(visitor.thread, "New 0")).to_be_in_viewport()
    await expect(visitor.messages(visitor.thread, "New 19")).not_to_be_in_viewport()
    await visitor.shoot("thread-new")
    await visitor.thread.get_by_role("button", name="Close thread").click()
    await visitor.open_thread(channel, "First")
    await expect(visitor.messages(visitor.thread, "New 19")).to_be_in_viewport()
    await expect(visitor.thread.get_by_role("separator", name="New")).to_have_count(0)


async def test_two_people_race_for_a_button(
    visitor: Visitor, channel: str, new_visitor: NewVisitor, stage: Stage
) -> None:
    """Both click at once in browsers of their own; one of them decides, and the other is told."""
    form = await visitor.start(channel, REVIEW)
    other = await new_visitor(channel)
    await other.be("ben")
    await other.open_thread(channel, "started by")
    same = other.messages(other.thread, "📝").last
    before = len(submits(stage))
    await asyncio.gather(
        form.get_by_role("button", name="Approve").click(),
        same.get_by_role("button", name="Regenerate").click(),
    )
    await expect(form).to_contain_text(re.compile("✅ (Approve · @ann|Regenerate · @ben)"))
    decided = await form.inner_text()
    late, winner = (other, "@ann") if "@ann ·" in decided else (visitor, "@ben")
    # By whom, unless the button was gone when the second click reached the workspace: then the page says that.
    note = late.messages(late.thread, "Only visible to you").or_(late.page.get_by_text("no longer there"))
    await expect(note.first).to_contain_text(re.compile(f"{winner}|no longer there"))
    await late.shoot("race")
    assert len(submits(stage)) == before + 1


async def test_files_are_dropped_on_a_form_and_on_the_channel(visitor: Visitor, channel: str) -> None:
    """A file that is dropped on the thread is put into the field it fits, and the answer goes through with it."""
    form = await visitor.start(channel, '/dify papers topic="The roof"')
    contract = PDF.ljust(200 * 1024)
    await visitor.drop(
        visitor.thread, {"contract.pdf": ("application/pdf", contract), "roof.png": ("image/png", picture(240, 120))}
    )
    await expect(visitor.thread.get_by_text("contract.pdf").first).to_be_visible()
    await expect(visitor.thread.get_by_text("200 kB")).to_be_visible()
    await visitor.thread.get_by_role("button", name="Send").click()
    card = visitor.messages(visitor.thread, "📎 Files for")
    await expect(card).to_contain_text(re.compile(r"contract\.pdf.*✅ attached.*roof\.png.*✅ attached", re.DOTALL))
    shown = visitor.thread.get_by_role("img", name="roof.png").first
    await expect(shown).to_have_js_property("naturalWidth", 240)
    await visitor.shoot("files")
    await form.get_by_role("button").first.click()
    await expect(form).to_contain_text("contract.pdf")
    await expect(visitor.messages(visitor.channel(channel), "started by")).to_contain_text("Done in")


async def test_a_window_keeps_what_was_typed_when_it_is_closed(visitor: Visitor, channel: str) -> None:
    """What somebody types into a window is there again when they open it anew, for them alone, and can be sent."""
    form = await visitor.start(channel, '/dify pick title="Spring menu" size=M')
    await form.get_by_role("button", name="Open in window").click()
    remarks = visitor.window.get_by_role("textbox", name=re.compile("Remarks"))
    await remarks.fill("Less salt.")
    await visitor.shoot("window")
    await visitor.page.keyboard.press("Escape")
    await expect(visitor.page.get_by_role("dialog")).to_have_count(0)
    await form.get_by_role("button", name="Open in window").click()
    await expect(remarks).to_have_value("Less salt.")
    await visitor.window.get_by_role("button", name="Send").click()
    await expect(visitor.window.get_by_role("alert").first).to_be_visible()
    await visitor.shoot("window-error")
    await visitor.window.get_by_role("combobox", name=re.compile("Priority")).click()
    await visitor.page.get_by_role("option", name="high").click()
    await visitor.window.get_by_role("radio", name="Accept").check()
    await visitor.window.get_by_role("button", name="Send").click()
    await expect(visitor.page.get_by_role("dialog")).to_have_count(0)
    await expect(form).to_contain_text("✅ Accept · @ann")
    await expect(form).to_contain_text("Less salt.")


async def test_drafts_are_each_persons_own(visitor: Visitor, channel: str) -> None:
    """What ann types into a form is not seen by ben, and is there when it is ann again, after a reload, too."""
    form = await visitor.start(channel, REVIEW)
    feedback = form.get_by_role("textbox", name=re.compile("Feedback"))
    await feedback.fill("Mine.")
    await visitor.be("ben")
    await expect(feedback).to_have_value("")
    await visitor.be("ann")
    await expect(feedback).to_have_value("Mine.")
    await feedback.fill("Mine, and typed just now.")
    await visitor.page.reload()
    await visitor.go(channel)
    await visitor.open_thread(channel, "started by")
    await expect(feedback).to_have_value("Mine, and typed just now.")


async def test_what_is_new_in_a_thread_is_among_what_is_counted(
    visitor: Visitor, channel: str, app: AsyncWebClient, stage: Stage
) -> None:
    """Notes that only one person sees are counted for them, and apart from the replies."""
    place = stage.workspace.channel(channel).id
    root = await app.chat_postMessage(channel=place, text="A question")
    for number in range(2):
        await app.chat_postMessage(channel=place, thread_ts=root["ts"], text=f"Reply {number}")
        await app.chat_postEphemeral(channel=place, thread_ts=root["ts"], user="U0ANN", text=f"Note {number}")
    question = visitor.messages(visitor.channel(channel), "A question")
    await expect(question).to_contain_text(re.compile("2 replies, 2 only visible to you.*4 new"))
    await visitor.be("ben")
    await expect(question).to_contain_text(re.compile("2 replies.*2 new"))
    await expect(question).not_to_contain_text("only visible")


async def test_a_form_expires(visitor: Visitor, channel: str) -> None:
    """Its message says so and has no buttons any more, and the run goes on the way it has for that."""
    form = await visitor.start(channel, REVIEW)
    opened = visitor.behind.get_by_role("region", name="Open forms").get_by_role("listitem").first
    await expect(opened).to_contain_text("expires in 2d 23h")
    await visitor.page.clock.set_system_time(datetime.now(UTC) + timedelta(days=4))  # for the page alone
    await expect(opened).to_contain_text("its time is over")
    await visitor.page.clock.set_system_time(datetime.now(UTC))
    await opened.get_by_role("button", name="Let it expire").click()
    await expect(form).to_contain_text("⌛")
    await expect(form.get_by_role("button", name="Approve")).to_have_count(0)
    await visitor.shoot("expired")


async def test_a_form_is_answered_elsewhere(visitor: Visitor, channel: str) -> None:
    """The panel answers a form as Dify's own page would; its message says that it was answered there."""
    form = await visitor.start(channel, '/dify pick title="Elsewhere" size=M')
    opened = visitor.behind.get_by_role("region", name="Open forms").get_by_role("listitem").first
    await opened.get_by_role("button", name="Answer elsewhere").click()
    await visitor.shoot("elsewhere")
    await visitor.window.get_by_role("textbox", name="remarks").fill("From the other page.")
    await visitor.window.get_by_role("radio", name="Dismiss").check()
    await visitor.window.get_by_role("button", name="Answer").click()
    await expect(form).to_contain_text("✅ Answered outside of Slack")
    await expect(form.get_by_role("button", name="Accept")).to_have_count(0)


async def test_a_form_that_wants_files_is_answered_elsewhere(visitor: Visitor, channel: str) -> None:
    """What Dify refuses is told in the dialog, which keeps what was entered; with the files it goes through."""
    form = await visitor.start(channel, '/dify papers topic="The roof"')
    opened = visitor.behind.get_by_role("region", name="Open forms").get_by_role("listitem").first
    await opened.get_by_role("button", name="Answer elsewhere").click()
    await visitor.window.get_by_role("textbox", name="remarks").fill("No, thank you.")
    await visitor.window.get_by_role("radio", name="Withdraw").check()
    await visitor.window.get_by_role("button", name="Answer").click()
    reason = visitor.window.get_by_role("alert")
    await expect(reason).to_have_text("Dify refuses: Missing required inputs: contract")
    await visitor.shoot("elsewhere-refused")
    await expect(visitor.window.get_by_role("textbox", name="remarks")).to_have_value("No, thank you.")
    await expect(visitor.window.get_by_role("radio", name="Withdraw")).to_be_checked()
    await visitor.window.get_by_label("contract").set_input_files(
        FilePayload(name="contract.pdf", mimeType="application/pdf", buffer=PDF)
    )
    await visitor.window.get_by_role("button", name="Answer").click()
    await expect(form).to_contain_text("✅ Answered outside of Slack")
    await expect(visitor.messages(visitor.channel(channel), "started by")).to_contain_text("Done in")


async def test_open_forms_are_told_apart(visitor: Visitor, channel: str) -> None:
    """The newest comes first, with who started its run, and leads to its thread."""
    await visitor.be("ben")
    await visitor.say(channel, '/dify papers topic="The roof"')
    opened = visitor.behind.get_by_role("region", name="Open forms").get_by_role("listitem")
    await expect(opened.first).to_contain_text("papers · ben")
    await visitor.be("ann")
    await visitor.say(channel, '/dify pick title="The menu" size=M')
    await expect(opened.first).to_contain_text("pick · ann")
    await opened.nth(1).get_by_role("button", name="Open thread").click()
    await expect(visitor.messages(visitor.thread, "The roof").first).to_be_visible()
    await opened.first.get_by_role("button", name="Open thread").click()
    await expect(visitor.messages(visitor.thread, "The menu").first).to_be_visible()
    await visitor.shoot("open-forms")


async def test_a_message_is_not_taken_for_that_of_a_form(
    visitor: Visitor, channel: str, app: AsyncWebClient, stage: Stage
) -> None:
    """Because a button has something in its value that the form's id is a part of."""
    place = stage.workspace.channel(channel).id
    other = await app.chat_postMessage(channel=place, text="Another one")
    form = await visitor.start(channel, REVIEW)
    opened = stage.dify.open_forms()[-1]
    button = {"type": "button", "text": {"type": "plain_text", "text": "Look"}, "value": f"1/old-{opened.id}/2"}
    blocks = [{"type": "actions", "elements": [button]}]
    await app.chat_update(channel=place, ts=other["ts"], text="Another one", blocks=blocks)
    await expect(visitor.channel(channel).get_by_role("button", name="Look")).to_be_visible()
    await visitor.thread.get_by_role("button", name="Close thread").click()
    listed = visitor.behind.get_by_role("region", name="Open forms").get_by_role("listitem").first
    await listed.get_by_role("button", name="Open thread").click()
    await expect(form).to_be_visible()


async def test_a_dialog_holds_fields_of_any_width(visitor: Visitor, channel: str) -> None:
    """However long an option is."""
    await visitor.start(channel, "/dify odd")
    opened = visitor.behind.get_by_role("region", name="Open forms").get_by_role("listitem").first
    await opened.get_by_role("button", name="Answer elsewhere").click()
    await expect(visitor.window.get_by_role("combobox").first).to_be_visible()
    await visitor.shoot("elsewhere-odd")
    assert await visitor.window.evaluate("dialog => dialog.scrollWidth - dialog.clientWidth") == 0
    await visitor.window.get_by_role("button", name="Cancel").click()


async def test_the_bot_is_killed_with_a_form_open(visitor: Visitor, channel: str) -> None:
    """A click while it is dead fails visibly; once it is started again, the same form takes the answer.

    What is visible to one person alone is no reply to the thread.
    """
    form = await visitor.start(channel, REVIEW)
    root = visitor.messages(visitor.channel(channel), "started by")
    bot = visitor.behind.get_by_role("region", name="The bot")
    await bot.get_by_role("button", name=re.compile("^Kill the bot")).click()
    await expect(bot).to_contain_text("The bot is not running")
    await form.get_by_role("button", name="Approve").click()
    await expect(visitor.messages(visitor.thread, "Only visible to you")).to_be_visible()
    await expect(root.get_by_role("button", name=re.compile("^1 reply"))).to_be_visible()
    notices = visitor.page.get_by_role("region", name="Notices")
    await expect(notices).to_contain_text("the bot was not running")
    await notices.get_by_role("button", name="Dismiss").click()
    await visitor.shoot("killed")
    await visitor.be("cleo")
    await visitor.sidebar.get_by_role("button", name="Dify Home").click()
    await expect(visitor.page.get_by_role("region", name="App Home")).to_contain_text("The bot is not running.")
    await visitor.be("ann")
    await visitor.go(channel)
    await visitor.open_thread(channel, "started by")
    await bot.get_by_role("button", name="Start the bot").click()
    await expect(bot).to_contain_text("The bot is running")
    await form.get_by_role("button", name="Approve").click()
    await expect(form).to_contain_text("✅ Approve · @ann")
    await expect(root).to_contain_text("Done in")


async def test_an_own_form_is_shown_by_the_bot(visitor: Visitor, channel: str) -> None:
    """A builder pastes a form, sees it as the bot posts it, answers it and sees the outcome; a bad one is explained."""
    await visitor.behind.get_by_role("tab", name="Own form").click()
    pasted = visitor.behind.get_by_role("textbox", name="Dify form or DSL")
    await pasted.fill("{")
    await visitor.behind.get_by_role("button", name="Show in Slack").click()
    await expect(visitor.behind.get_by_role("tabpanel")).to_contain_text("JSON")
    await pasted.fill(json.dumps(OWN_FORM))
    await visitor.behind.get_by_role("button", name="Show in Slack").click()
    await expect(visitor.behind.get_by_role("status").last).to_contain_text("stands in the thread")
    form = visitor.messages(visitor.thread, "Which colour shall the door have?").last
    await form.get_by_role("textbox", name=re.compile("Colour", re.I)).fill("Green")
    await visitor.shoot("own-form")
    await form.get_by_role("button", name="Paint it").click()
    await expect(form).to_contain_text("✅ Paint it · @ann")
    await expect(form).to_contain_text("Green")
    await visitor.sidebar.get_by_role("button", name="Dify Home").click()
    await visitor.behind.get_by_role("button", name="Show in Slack").click()
    await expect(visitor.behind.get_by_role("status").last).to_contain_text("Go to a channel and type /dify own")


async def test_the_thread_of_an_own_form_does_not_open_long_after_it_was_asked_for(
    visitor: Visitor, channel: str
) -> None:
    """Shown to a bot that is not running, the form is not there; a later one is the reader's to open."""
    bot = visitor.behind.get_by_role("region", name="The bot")
    await bot.get_by_role("button", name=re.compile("^Kill the bot")).click()
    await expect(bot).to_contain_text("The bot is not running")
    await visitor.behind.get_by_role("tab", name="Own form").click()
    await visitor.behind.get_by_role("textbox", name="Dify form or DSL").fill(json.dumps(OWN_FORM))
    await visitor.behind.get_by_role("button", name="Show in Slack").click()
    await expect(visitor.messages(visitor.channel(channel), "Only visible to you")).to_be_visible()
    await bot.get_by_role("button", name="Start the bot").click()
    await expect(bot).to_contain_text("The bot is running")
    await visitor.page.clock.set_system_time(datetime.now(UTC) + timedelta(minutes=2))  # for the page alone
    await visitor.say(channel, "/dify own")
    root = visitor.messages(visitor.channel(channel), "started by")
    await expect(root.get_by_role("button", name=re.compile("^1 reply"))).to_be_visible()
    await expect(visitor.thread).to_have_count(0)
    await visitor.open_thread(channel, "started by")
    await expect(visitor.messages(visitor.thread, "Which colour shall the door have?")).to_be_visible()


async def test_a_file_that_is_no_form_by_its_size_is_refused(visitor: Visitor) -> None:
    """One that is too large is not even read; one that the browser has no room to keep is shown all the same."""
    await visitor.behind.get_by_role("tab", name="Own form").click()
    load = visitor.behind.get_by_label("Load a form from a file")
    scene = visitor.behind.get_by_role("tabpanel")
    await load.set_input_files(FilePayload(name="dump.json", mimeType="application/json", buffer=b"x" * 6 * 1024**2))
    await expect(scene).to_contain_text("dump.json has 6 MB; a form of up to 4 MB is read.")
    # Each of these becomes six characters where it is kept, and there is room for five million.
    await load.set_input_files(FilePayload(name="odd.txt", mimeType="text/plain", buffer=b"\x01" * 1024**2))
    await expect(scene.get_by_role("alert")).to_have_count(0)
    await expect(scene.get_by_role("textbox")).to_have_value(re.compile("\x01{99}"))


async def test_the_traffic_is_listed_and_opened(visitor: Visitor, channel: str) -> None:
    """What the bot posted is found by a word, and opens to the JSON that was sent."""
    await visitor.start(channel, REVIEW)
    await visitor.behind.get_by_role("tab", name="Traffic").click()
    await visitor.behind.get_by_role("searchbox").fill("chat.postMessage")
    entries = visitor.behind.get_by_role("list", name="Traffic").get_by_role("listitem")
    call = entries.first
    await expect(call).to_contain_text("chat.postMessage")
    await call.get_by_role("button").first.click()
    await expect(call).to_contain_text('"blocks"')
    await visitor.shoot("traffic")
    # A word of its body, and what comes meanwhile moves nothing below the pointer.
    await visitor.behind.get_by_role("searchbox").fill("POST /workflows/run")
    await expect(entries.first).to_contain_text("/workflows/run")
    before = await entries.count()
    await entries.first.hover()
    composer = visitor.page.get_by_label(f"Message #{channel}", exact=True)
    await composer.fill('/dify pick title="A rare word" size=M')
    await composer.press("Enter")
    await expect(visitor.behind.get_by_role("tabpanel").get_by_role("status")).to_contain_text("more since it stands")
    await expect(entries).to_have_count(before)
    await visitor.behind.get_by_role("searchbox").click()
    await visitor.behind.get_by_role("searchbox").fill("a rare word")
    await expect(entries.filter(has_text="chat.postMessage").first).to_be_visible()
    polls = visitor.behind.get_by_role("list", name="Traffic").locator(".is-poll")
    await visitor.behind.get_by_role("searchbox").fill("GET /workflows/run/")
    await expect(polls).to_have_count(0)
    await visitor.behind.get_by_role("button", name="Polls").click()
    await expect(polls).not_to_have_count(0)


async def test_the_traffic_is_searched_while_more_of_it_comes(
    visitor: Visitor, channel: str, app: AsyncWebClient, stage: Stage
) -> None:
    """The server is asked about what is new since it was last asked, and about nothing while the list is paused."""
    told: dict[str, Any] = {}
    asked: Counter[int] = Counter()

    def note_sent(data: str | bytes) -> None:
        request = json.loads(data)
        if request["do"] == "find_traffic" and request["text"] == "auth.test":
            asked.update(request["among"])

    def listen(socket: WebSocket) -> None:
        socket.on("framereceived", lambda data: told.update(json.loads(data).get("set", {})))
        socket.on("framesent", note_sent)

    def tests() -> set[int]:
        """The calls of `auth.test` that the page has been told of."""
        return {each["n"] for key, each in told.items() if key.startswith("traffic/") and each["title"] == "auth.test"}

    async def call_all_the_time() -> None:
        while True:
            await app.auth_test()

    visitor.page.on("websocket", listen)
    await visitor.page.reload()
    await visitor.behind.get_by_role("tab", name="Traffic").click()
    search = visitor.behind.get_by_role("searchbox")
    pause = visitor.behind.get_by_role("button", name="Pause")
    status = visitor.behind.get_by_role("tabpanel").get_by_role("status")
    entries = visitor.behind.get_by_role("list", name="Traffic").get_by_role("listitem")
    place = stage.workspace.channel(channel).id
    await app.chat_postMessage(channel=place, text="Before")
    await search.fill("chat.postMessage")
    await expect(entries.filter(has_text="Before")).to_be_visible()
    calling = asyncio.create_task(call_all_the_time())
    try:
        await search.fill("auth.test")
        await expect(entries.filter(has_text="auth.test").first).to_be_visible()
        await expect(entries.filter(has_text="Before")).to_have_count(0)
        await pause.click()
        await expect(status).to_contain_text("more since it stands still")
        newer = max(tests())
        await expect(status).to_contain_text(re.compile(r"and \d{3} more"))
    finally:
        calling.cancel()
    assert max(asked) <= newer
    await pause.click()
    await app.chat_postMessage(channel=place, text="After auth.test")
    await expect(entries.filter(has_text="After").first).to_be_visible()
    assert max(asked) > newer
    assert max(asked[number] for number in tests()) == 1


async def test_a_streamed_text_grows(visitor: Visitor, channel: str, app: AsyncWebClient, stage: Stage) -> None:
    """It is read while it is written, piece by piece, and marked as unfinished until it is whole."""
    place = stage.workspace.channel(channel).id
    root = await app.chat_postMessage(channel=place, text="A story")
    where = {"channel": place, "thread_ts": root["ts"]}
    streamed = await app.chat_startStream(
        **where, recipient_user_id="U0ANN", recipient_team_id="T0DEMO", markdown_text="Once **upon"
    )
    await visitor.open_thread(channel, "A story")
    message = visitor.messages(visitor.thread, "Once").last
    await expect(message).to_have_attribute("aria-busy", "true")
    await app.chat_appendStream(channel=place, ts=streamed["ts"], markdown_text=" a time** there was a form")
    await expect(message).to_contain_text("Once upon a time there was a form")
    await expect(message).to_have_attribute("aria-busy", "true")
    await visitor.shoot("streaming")
    await app.chat_stopStream(channel=place, ts=streamed["ts"], markdown_text=", and it was answered.")
    await expect(message).to_contain_text("there was a form, and it was answered.")
    await expect(message).not_to_have_attribute("aria-busy", "true")


async def test_a_chat_answers_in_its_thread(visitor: Visitor, channel: str) -> None:
    """The answer stands there once and whole, with the app's suggestions for what to ask next."""
    await visitor.say(channel, '/dify chat query="Where is my order?"')
    await visitor.open_thread(channel, "Where is my order?")
    await expect(visitor.thread.get_by_role("button", name="How long does a refund take?")).to_be_visible()
    await expect(visitor.messages(visitor.thread, "This is message 1 of our conversation.")).to_have_count(1)
    await visitor.shoot("chat")


async def test_a_form_shows_a_picture(visitor: Visitor, channel: str) -> None:
    """Between its texts, where Dify has it."""
    form = await visitor.start(channel, '/dify picture topic="Rain"')
    await expect(form.get_by_role("img")).to_have_js_property("naturalWidth", 240)
    await visitor.shoot("picture")


async def test_a_chat_takes_files(visitor: Visitor, channel: str) -> None:
    """What is dropped on its thread goes along with the message, and comes back with the answer."""
    await visitor.say(channel, '/dify desk query="Have a look"')
    await visitor.open_thread(channel, "Have a look")
    await visitor.drop(visitor.thread, {"roof.png": ("image/png", picture(240, 120))})
    await visitor.thread.get_by_label("Reply", exact=True).fill("And this?")
    await visitor.thread.get_by_role("button", name="Send").click()
    answer = visitor.messages(visitor.thread, "What you sent").last
    await expect(answer).to_contain_text("And this?")
    await expect(answer).to_be_in_viewport()
    await visitor.shoot("chat-files")


async def test_trouble_is_told_when_it_is_made(visitor: Visitor, channel: str) -> None:
    """A stream that breaks off loses nothing; a start that fails is told where it was asked for."""
    trouble = visitor.behind.get_by_role("region", name="Make trouble")
    await trouble.get_by_role("button", name="Drop the stream").click()
    await expect(trouble.get_by_role("status")).to_contain_text(re.compile("broken off|breaks off"))
    await visitor.say(channel, '/dify chat query="Is it broken?"')
    await expect(visitor.messages(visitor.channel(channel), "Is it broken?")).to_contain_text("Done in")
    await trouble.get_by_role("button", name="Make the next call fail").click()
    await expect(trouble.get_by_role("status")).to_contain_text("The next call that starts a run")
    await visitor.say(channel, '/dify chat query="Does it fail?"')
    await expect(visitor.messages(visitor.channel(channel), "Does it fail?")).to_contain_text("Not confirmed")
    await visitor.shoot("trouble")


def items(style: str, indent: int, *texts: str) -> dict[str, object]:
    """A list in a rich text."""
    sections = [{"type": "rich_text_section", "elements": [{"type": "text", "text": text}]} for text in texts]
    return {"type": "rich_text_list", "style": style, "indent": indent, "elements": sections}


async def test_blocks_that_the_bot_may_come_to_use(
    visitor: Visitor, channel: str, app: AsyncWebClient, stage: Stage
) -> None:
    """Each is drawn with all it says, and a button that asks first asks first."""
    place = stage.workspace.channel(channel).id
    plain = {"type": "plain_text", "text": "Pick"}
    cells = [[{"type": "raw_text", "text": f"{row}{column}"} for column in "AB"] for row in (1, 2)]
    option = {"text": {"type": "plain_text", "text": "Archive"}, "value": "archive"}
    confirm = {"title": plain, "text": {"type": "mrkdwn", "text": "*Really?*"}, "confirm": plain, "deny": plain}
    button = {"type": "button", "action_id": "b", "text": {"type": "plain_text", "text": "Delete"}, "style": "danger"}
    deep = [items("bullet", 1, "deep first"), items("ordered", 0, "one", "two"), items("bullet", 1, "below two")]
    blocks = [
        {"type": "header", "text": {"type": "plain_text", "text": "Gallery"}},
        {
            "type": "section",
            "fields": [{"type": "mrkdwn", "text": f"*Field {number}*\n`code`"} for number in (1, 2)],
            "accessory": {"type": "overflow", "action_id": "o", "options": [option]},
        },
        {"type": "context", "elements": [{"type": "mrkdwn", "text": "<!date^0^{date_num}|then> _in passing_"}]},
        {"type": "divider"},
        {"type": "rich_text", "elements": deep},
        {"type": "table", "rows": cells},
        {"type": "actions", "elements": [button | {"confirm": confirm}, {"type": "datepicker", "action_id": "d"}]},
    ]
    await app.chat_postMessage(channel=place, text="Gallery", blocks=blocks)
    message = visitor.messages(visitor.channel(channel), "Gallery").last
    await expect(message.get_by_role("heading", name="Gallery")).to_be_visible()
    await expect(message.get_by_role("cell", name="2B")).to_be_visible()
    for text in ("Field 2", "1970-01-01", "in passing", "deep first", "below two"):
        await expect(message).to_contain_text(text)
    await message.get_by_role("button", name="More options").click()
    await expect(visitor.page.get_by_role("menuitem", name="Archive")).to_be_focused()
    await visitor.page.keyboard.press("Escape")
    await message.get_by_role("button", name="Delete").click()
    await expect(visitor.window).to_contain_text("Really?")
    await visitor.page.keyboard.press("Escape")
    await expect(visitor.page.get_by_role("dialog")).to_have_count(0)
    await visitor.check_accessibility()
    await visitor.shoot("blocks")


async def test_pickers_menus_and_cards_that_the_bot_may_come_to_use(
    visitor: Visitor, channel: str, app: AsyncWebClient, stage: Stage
) -> None:
    """Each can be found by its role, and what is picked becomes the person's draft."""

    def plain(text: str) -> dict[str, str]:
        return {"type": "plain_text", "text": text}

    def asked(label: str, element: dict[str, object]) -> dict[str, object]:
        return {"type": "input", "label": plain(label), "element": {"action_id": label, **element}, "optional": True}

    options = [{"text": plain(name), "value": name.lower()} for name in ("Red", "Green", "Blue")]
    task = {"type": "task_card", "task_id": "t1", "title": "Collect facts", "status": "in_progress"}
    card = {"type": "card", "title": plain("A card"), "body": {"type": "mrkdwn", "text": "with a *body*"}}
    blocks = [
        asked("Hour", {"type": "timepicker", "initial_time": "09:30"}),
        asked("Moment", {"type": "datetimepicker", "initial_date_time": 1_790_000_000}),
        asked("Colours", {"type": "multi_static_select", "options": options}),
        asked("Who", {"type": "users_select"}),
        asked("Found elsewhere", {"type": "external_select", "min_query_length": 0}),
        asked("One of them", {"type": "radio_buttons", "options": options}),
        asked("Some of them", {"type": "checkboxes", "options": options}),
        asked("Address", {"type": "plain_text_input"}),
        {"type": "plan", "title": "The plan", "tasks": [task]},
        {"type": "carousel", "elements": [card]},
    ]
    await app.chat_postMessage(channel=stage.workspace.channel(channel).id, text="More", blocks=blocks)
    message = visitor.messages(visitor.channel(channel), "The plan").last
    await expect(message.get_by_label("Hour")).to_have_value("09:30")
    await expect(message.get_by_label("Moment")).to_have_value(re.compile("^2026-09-2"))
    await message.get_by_role("combobox", name="Colours").click()
    await visitor.page.get_by_role("option", name="Green").click()
    await expect(message.get_by_role("list", name="Chosen")).to_contain_text("Green")
    await visitor.page.keyboard.press("Escape")
    await message.get_by_role("combobox", name="Who").click()
    await visitor.page.get_by_role("option", name="cleo").click()
    await expect(message).to_match_aria_snapshot('- combobox "Who": cleo')
    await expect(message.get_by_role("combobox", name="Found elsewhere")).to_be_visible()
    await message.get_by_role("radio", name="Blue").check()
    await message.get_by_role("checkbox", name="Red").check()
    await message.get_by_role("textbox", name="Address").fill("https://example.com")
    for text in ("Collect facts", "A card", "with a body"):
        await expect(message).to_contain_text(text)
    await visitor.shoot("pickers")
    await visitor.check_accessibility()
    await visitor.be("ben")
    await expect(message.get_by_role("textbox", name="Address")).to_have_value("")
    await visitor.be("ann")
    await expect(message.get_by_role("textbox", name="Address")).to_have_value("https://example.com")
    await expect(message.get_by_role("radio", name="Blue")).to_be_checked()


@pytest.mark.provokes("channel_not_found")
async def test_a_refused_call_is_told_until_it_is_dismissed(visitor: Visitor, app: AsyncWebClient) -> None:
    """What Slack refuses of the app is told at the edge of the page."""
    with pytest.raises(SlackApiError, match="channel_not_found"):
        await app.chat_postMessage(channel="C0NOWHERE", text="Is anybody there?")
    notices = visitor.page.get_by_role("region", name="Notices")
    await expect(notices).to_contain_text("Slack refused chat.postMessage: channel_not_found")
    await visitor.shoot("refused")
    await notices.get_by_role("button", name="Dismiss").click()
    await expect(notices).not_to_contain_text("chat.postMessage")


async def test_with_the_keyboard_alone(visitor: Visitor, channel: str) -> None:
    """From the first Tab to an approved draft without a mouse: the focus is always somewhere, and can be seen."""
    press = visitor.page.keyboard.press

    async def reach(name: str, *, key: str = "Tab", most: int = 120) -> None:
        for _ in range(most):
            if name in await visitor.focused():
                return
            await press(key)
        pytest.fail(f"{most} presses of {key} did not lead to {name!r}")

    await reach(f"Message #{channel}")
    await visitor.page.keyboard.type(REVIEW)
    await press("Enter")
    root = visitor.messages(visitor.channel(channel), "started by")
    await expect(root.get_by_role("button", name=re.compile("^1 reply"))).to_be_visible()
    await reach("1 reply", key="Shift+Tab")
    await press("Enter")
    draft = visitor.messages(visitor.thread, "Review draft").last
    await expect(draft.get_by_role("button", name="Approve")).to_be_visible()
    await reach("Open in window")
    await press("Enter")
    await expect(visitor.window).to_be_visible()
    await visitor.shoot("keyboard")
    await press("Escape")
    await expect(visitor.page.get_by_role("dialog")).to_have_count(0)
    # The focus returns to where the window was opened.
    await expect(draft.get_by_role("button", name="Open in window")).to_be_focused()
    await reach("Approve", key="Shift+Tab")
    await press("Enter")
    await expect(draft).to_contain_text("✅ Approve · @ann")
