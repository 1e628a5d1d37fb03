"""The app's windows, in a real browser: what is put into them, and how they are closed."""

from __future__ import annotations

import pytest
from playwright.async_api import FilePayload, Locator, expect

from tests.browser.visitor import NewVisitor, Visitor

pytestmark = pytest.mark.asyncio(loop_scope="module")

FIELDS = '/dify fields title="Everything"'
LOW = (1280, 620)
"""A screen on which a window with every field has to be scrolled."""


async def open_window(visitor: Visitor, channel: str, line: str) -> Locator:
    """Start an app, and open its form in a window."""
    form = await visitor.start(channel, line)
    await form.get_by_role("button", name="Open in window").click()
    await expect(visitor.window).to_be_visible()
    return visitor.window


async def test_the_page_stays_where_it_is_whatever_gets_the_focus(new_visitor: NewVisitor, channel: str) -> None:
    """A file is chosen by mouse and reached by keyboard, errors are led to, a form is loaded: only parts scroll."""
    visitor = await new_visitor(channel, size=LOW)
    window = await open_window(visitor, channel, FIELDS)
    choose = window.get_by_text("Choose files")
    async with visitor.page.expect_file_chooser() as chooser:
        await choose.last.click()
    await (await chooser.value).set_files(FilePayload(name="a.pdf", mimeType="application/pdf", buffer=b"%PDF-1.4"))
    await expect(window.get_by_role("list", name="Files")).to_contain_text("a.pdf")
    await window.get_by_role("button", name="Send").click()
    await expect(window.get_by_role("alert").first).to_be_visible()
    await visitor.shoot("window-low")
    await visitor.page.keyboard.press("Escape")
    await expect(visitor.page.get_by_role("dialog")).to_have_count(0)
    await visitor.behind.get_by_role("tab", name="Own form").click()
    await visitor.behind.get_by_label("Load a form from a file").focus()
    assert await visitor.page.evaluate("document.documentElement.scrollTop") == 0


async def test_escape_closes_a_window_wherever_the_focus_is(visitor: Visitor, channel: str) -> None:
    """Also after a click beside it; but a dialog above it closes first."""
    await open_window(visitor, channel, FIELDS)
    await visitor.behind.get_by_role("tab", name="Dify").focus()
    opened = visitor.behind.get_by_role("region", name="Open forms").get_by_role("listitem").first
    await opened.get_by_role("button", name="Answer elsewhere").click()
    await expect(visitor.page.get_by_role("dialog")).to_have_count(2)
    await visitor.page.keyboard.press("Escape")
    await expect(visitor.page.get_by_role("dialog")).to_have_count(1)
    await visitor.behind.get_by_role("tab", name="Dify").click()
    await visitor.page.keyboard.press("Escape")
    await expect(visitor.page.get_by_role("dialog")).to_have_count(0)


async def test_what_a_field_does_not_take_is_said_at_the_field(visitor: Visitor, channel: str) -> None:
    """Until it is given something that it does take, or something is taken out of it."""
    window = await open_window(visitor, channel, '/dify papers topic="The roof"')
    photos = window.get_by_role("button", name="Photos of the site")
    png = [FilePayload(name=f"{number}.png", mimeType="image/png", buffer=b"\x89PNG") for number in range(4)]
    await photos.set_input_files(png)
    await expect(window.get_by_role("alert")).to_have_text("This field takes 3 files at most.")
    await visitor.shoot("window-files-refused")
    await expect(visitor.page.get_by_role("region", name="Notices")).not_to_contain_text("This field")
    await photos.set_input_files(png[:2])
    await expect(window.get_by_role("list", name="Files")).to_contain_text("1.png")
    await expect(window.get_by_role("alert")).to_have_count(0)
    await photos.set_input_files(png[2:])
    await expect(window.get_by_role("alert")).to_have_text("This field takes 3 files at most.")
    await window.get_by_role("button", name="Remove 1.png").click()
    await expect(window.get_by_role("list", name="Files")).not_to_contain_text("1.png")
    await expect(window.get_by_role("alert")).to_have_count(0)
