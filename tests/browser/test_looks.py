"""How the page looks and reads: light and dark, wide and narrow, and to a screen reader."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import expect
from slack_sdk.web.async_client import AsyncWebClient

from bot.playground.page.samples import sample_apps
from bot.playground.stage import Stage
from tests.acceptance.conftest import add_channel
from tests.browser.visitor import NARROW, WIDE, NewVisitor, Visitor

pytestmark = pytest.mark.asyncio(loop_scope="module")

ODD = '/dify fields title="Everything"'

COVERED = """() => [...document.querySelectorAll(".message-tools:not(:empty)")].flatMap(tools => {
    const box = tools.getBoundingClientRect();
    const texts = document.createTreeWalker(tools.parentElement, NodeFilter.SHOW_TEXT);
    const covered = [];
    while (texts.nextNode()) {
        const range = document.createRange();
        range.selectNodeContents(texts.currentNode);
        const isBelow = line => line.right > box.left && line.left < box.right && line.bottom > box.top + 1
            && line.top < box.bottom - 1;
        if ([...range.getClientRects()].some(isBelow)) covered.push(texts.currentNode.textContent);
    }
    return covered;
})"""
"""The texts of messages that lie below the buttons of their message."""


CROSSED = """graph => [...graph.querySelectorAll(".edge")].flatMap(edge => {
    const points = Array.from({ length: 200 }, (_, at) => edge.getPointAtLength(at / 199 * edge.getTotalLength()));
    return [...graph.querySelectorAll(".node")].filter(node => {
        const box = node.querySelector("rect").getBBox();
        const isIn = point => point.x > box.x + 1 && point.x < box.x + box.width - 1
            && point.y > box.y + 1 && point.y < box.y + box.height - 1;
        return points.some(isIn);
    }).map(node => node.querySelector("title").textContent);
})"""
"""The nodes of a graph that an edge runs through."""


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
async def test_every_pane_is_accessible(
    new_visitor: NewVisitor, channel: str, size: tuple[int, int], theme: str
) -> None:
    """axe-core finds nothing in any state, and nothing is wider than the screen."""
    visitor = await new_visitor(channel, size=size, theme=theme)
    name = f"{theme}-{size[0]}"

    async def check(state: str, *but: str) -> None:
        await visitor.shoot(f"{state}-{name}")
        await visitor.check_accessibility(*but)
        assert await visitor.overflow() == 0, f"the page can be scrolled sideways in the state {state!r}"

    await check("welcome")
    await visitor.page.get_by_role("textbox", name=f"Message #{channel}").click()
    await visitor.page.keyboard.type("/dify")
    await visitor.page.keyboard.press("ArrowDown")
    await expect(visitor.page.get_by_role("listbox").get_by_role("option", selected=True)).to_be_visible()
    # HTML lets no field of several lines be a combobox, and nothing but a combobox says that a list is open below it.
    await check("completion", "aria-allowed-role")
    await visitor.page.get_by_role("combobox", name=f"Message #{channel}").fill("")
    form = await visitor.start(channel, ODD)
    await check("fields")
    await form.get_by_role("button", name="Open in window").click()
    await expect(visitor.window).to_be_visible()
    await check("fields-window")
    await visitor.page.keyboard.press("Escape")
    await expect(visitor.page.get_by_role("dialog")).to_have_count(0)
    await visitor.show_places()
    await check("places")
    await visitor.show_behind()
    for tab in ("Dify", "Traffic", "Own form"):
        await visitor.behind.get_by_role("tab", name=tab).click()
        await check(tab.lower().replace(" ", "-"))


async def test_a_phone_leads_from_pane_to_pane(new_visitor: NewVisitor, channel: str) -> None:
    """On a narrow screen one pane is shown at a time; a review is answered there, too."""
    visitor = await new_visitor(channel, size=NARROW)
    form = await visitor.start(channel, '/dify review topic="Team calendars" language=English')
    await visitor.shoot("phone-form")
    await form.get_by_role("button", name="Approve").click()
    await expect(form).to_contain_text("✅ Approve · @ann")
    await visitor.thread.get_by_role("button", name=re.compile("Close thread|Back")).click()
    await expect(visitor.channel(channel)).to_be_visible()


async def test_the_buttons_of_a_message_cover_none_of_its_text(new_visitor: NewVisitor, channel: str) -> None:
    """Where nothing can hover, as on a phone, they are always there, beside the message's head."""
    visitor = await new_visitor(channel, size=NARROW, touch=True)
    assert await visitor.page.evaluate("matchMedia('(hover: none)').matches")
    await visitor.say(channel, ODD)
    root = visitor.messages(visitor.channel(channel), "started by")
    await expect(root).to_contain_text("Waiting for")
    await expect(root.get_by_role("button", name="Reply in thread")).to_be_visible()
    assert await visitor.page.evaluate(COVERED) == []
    bar = visitor.page.get_by_role("navigation", name="Parts of the page")
    height = await bar.evaluate("bar => bar.clientHeight")
    await visitor.open_thread(channel, "started by")
    await expect(visitor.messages(visitor.thread, "📝")).to_be_visible()
    assert await visitor.page.evaluate(COVERED) == []
    await visitor.show_behind()
    assert await bar.evaluate("bar => bar.clientHeight") == height, "the bar is as high whatever is shown"


async def test_the_way_back_to_the_newest_message_is_one_line(
    visitor: Visitor, channel: str, stage: Stage, app: AsyncWebClient
) -> None:
    """Also in a pane that has a thread beside it; it leads to the end."""
    root = await app.chat_postMessage(channel=stage.workspace.channel(channel).id, text="First")
    for number in range(30):
        await app.chat_postMessage(channel=root["channel"], text=f"Message {number}\nand a line more")
    await app.chat_postMessage(channel=root["channel"], thread_ts=root["ts"], text="Reply")
    await visitor.open_thread(channel, "First")
    back = visitor.page.get_by_role("button", name="Newest messages")
    assert await back.evaluate("button => button.clientHeight") < 40
    await back.click()
    await expect(back).to_have_count(0)


async def test_direct_messages_can_be_looked_at(visitor: Visitor) -> None:
    """A command works there, too."""
    await visitor.sidebar.get_by_role("button", name="Dify Messages").click()
    # By its name: until the direct messages are drawn, the channel's stands there.
    composer = visitor.page.get_by_role("textbox", name="Message Dify")
    await composer.fill("/dify help")
    await composer.press("Enter")
    await expect(visitor.page.get_by_role("main")).to_contain_text("Only visible to you")
    await visitor.shoot("direct-messages")


@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
async def test_a_home_leads_to_what_waits_and_starts_more(
    new_visitor: NewVisitor, stage: Stage, size: tuple[int, int]
) -> None:
    """What waits for an answer is one click away, each person's own; what has become of it stands below."""
    channel = add_channel(stage, f"home-{size[0]}")
    visitor = await new_visitor(channel, size=size)
    await visitor.show_places()
    # Nobody else starts anything as ben here.
    await visitor.be("ben")
    await visitor.go(channel)
    await visitor.start(channel, '/dify review topic="Team calendars" language=English')
    home = visitor.page.get_by_role("region", name="App Home")

    async def go_home(person: str) -> None:
        await visitor.show_places()
        await visitor.be(person)
        await visitor.show_places()
        await visitor.sidebar.get_by_role("button", name="Dify Home").click()

    async def check(state: str) -> None:
        await visitor.shoot(f"{state}-{size[0]}")
        await visitor.check_accessibility()
        assert await visitor.overflow() == 0, f"the page can be scrolled sideways in the state {state!r}"

    await go_home("cleo")
    await expect(home).to_contain_text("Nothing waits for you.")
    await check("home-empty")
    await go_home("ben")
    await expect(home.get_by_role("link", name="Answer it")).to_be_visible()
    await check("home-waiting")
    await home.get_by_role("link", name="Answer it").click()
    await expect(visitor.thread.get_by_role("heading", name="Thread")).to_be_focused()
    await visitor.thread.get_by_role("button", name="Approve").click()
    await expect(visitor.thread).to_contain_text("✅ Approve · @ben")
    await go_home("ben")
    await expect(home).to_contain_text("Nothing waits for you.")
    await expect(home).to_contain_text("Nothing of yours is running.")
    await expect(home).to_contain_text("Done in")
    await check("home-ended")
    await home.get_by_role("button", name="Start an app").click()
    await expect(visitor.window).to_contain_text("Choose what to start")
    await check("home-start")
    await visitor.page.keyboard.press("Escape")
    await expect(visitor.page.get_by_role("dialog")).to_have_count(0)


async def test_no_edge_of_a_graph_runs_through_a_node(visitor: Visitor) -> None:
    """Whichever app is looked at."""
    chosen = visitor.behind.get_by_label("App", exact=True)
    for app in sample_apps():
        await chosen.select_option(app)
        graph = visitor.behind.get_by_role("img", name=f"The steps of {app}:")
        await expect(graph).to_be_visible()
        assert await graph.evaluate(CROSSED) == [], app


async def test_the_theme_can_be_chosen(visitor: Visitor) -> None:
    """The switch goes from the system's theme, here a light one, to each of the two, and the choice is remembered."""
    background = "rgb(255, 255, 255)"
    body = visitor.page.locator("body")
    await expect(body).to_have_css("background-color", background)
    await visitor.page.get_by_role("button", name="Theme: as the system has it").click()
    await visitor.page.get_by_role("button", name="Theme: light").click()
    dark = visitor.page.get_by_role("button", name="Theme: dark")
    await expect(dark).to_be_visible()
    await expect(body).not_to_have_css("background-color", background)
    await visitor.page.reload()
    await expect(dark).to_be_visible()
    await expect(body).not_to_have_css("background-color", background)
    await dark.click()
    await expect(body).to_have_css("background-color", background)
