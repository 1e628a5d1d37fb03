"""Somebody in front of the page: reads it as a screen reader would, and does what a mouse and a keyboard can."""

from __future__ import annotations

import base64
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal, Self

from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Locator, Page, expect

WIDE, NARROW = (1280, 800), (390, 844)
"""The sizes at which the page has to be readable, in CSS pixels."""

_DROP = """(zone, files) => {
    const carried = new DataTransfer();
    for (const [name, type, data] of files) {
        const bytes = Uint8Array.from(atob(data), letter => letter.charCodeAt(0));
        carried.items.add(new File([bytes], name, { type }));
    }
    for (const type of ["dragenter", "dragover", "drop"])
        zone.dispatchEvent(new DragEvent(type, { bubbles: true, cancelable: true, dataTransfer: carried }));
}"""

_TELL_OF_SCROLLING = """addEventListener("scroll", ({ target }) => {
    if (target === document) console.error(`the document was scrolled by ${document.documentElement.scrollTop} px`);
}, { capture: true });"""
"""Parts of the page scroll, the page itself never does: its head would be gone and nothing would bring it back."""


class Visitor:
    """One browser on the page; `page` is Playwright's."""

    def __init__(self, page: Page, screenshots: Path | None) -> None:
        self.page = page
        self._screenshots = screenshots
        self._is_narrow = page.viewport_size is not None and page.viewport_size["width"] < WIDE[0]
        self.trouble: list[str] = []
        """Lines of the console that tell of an error, and requests that failed."""
        page.on("console", lambda said: self._note(said.text) if said.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: self._note(str(error)))
        page.on("requestfailed", lambda request: self._note(f"{request.method} {request.url}: {request.failure}"))
        page.on("response", lambda answer: self._note(f"{answer.status} {answer.url}") if answer.status > 399 else None)

    @classmethod
    @asynccontextmanager
    async def of(
        cls,
        browser: Browser,
        url: str,
        screenshots: Path | None,
        *,
        size: tuple[int, int] = WIDE,
        theme: Literal["light", "dark"] = "light",
        touch: bool = False,
    ) -> AsyncIterator[Self]:
        """Open the page, with `touch` by a finger that cannot hover.

        Fails in the end if the browser ever complained, or if the document was scrolled.
        """
        width, height = size
        context = await browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=theme, has_touch=touch, is_mobile=touch
        )
        try:
            await context.add_init_script(_TELL_OF_SCROLLING)
            visitor = cls(await context.new_page(), screenshots)
            await visitor.page.goto(url)
            yield visitor
        finally:
            await context.close()
        assert not visitor.trouble, f"the browser complains: {visitor.trouble}"

    def _note(self, trouble: str) -> None:
        self.trouble.append(trouble)

    # --- where things are --------------------------------------------------------------------------------------------

    @property
    def sidebar(self) -> Locator:
        """People, channels and the app."""
        return self.page.get_by_role("navigation", name="Workspace")

    @property
    def thread(self) -> Locator:
        """The pane of the open thread."""
        return self.page.get_by_role("region", name="Thread", exact=True)

    @property
    def window(self) -> Locator:
        """The window on top."""
        return self.page.get_by_role("dialog").last

    @property
    def behind(self) -> Locator:
        """The panel beside the workspace."""
        role: Literal["main", "complementary"] = "main" if self._is_narrow else "complementary"
        return self.page.get_by_role(role, name="Behind the scenes")

    def messages(self, place: Locator, text: str) -> Locator:
        """The messages in a pane that say something."""
        return place.get_by_role("article").filter(has_text=text)

    # --- doing -------------------------------------------------------------------------------------------------------

    async def go(self, channel: str) -> None:
        """Look at a channel."""
        await self.show_places()
        await self.sidebar.get_by_role("button", name=re.compile(rf"^{re.escape(channel)}\b")).click()
        await expect(self.channel(channel)).to_be_visible()

    def channel(self, name: str) -> Locator:
        """The pane of a channel."""
        return self.page.get_by_role("region", name=f"#{name}", exact=True)

    async def be(self, person: str) -> None:
        """Go on as somebody else."""
        await self.sidebar.get_by_role("list", name="You are").get_by_role("button", name=person).click()

    async def say(self, channel: str, line: str) -> None:
        """Type a line into a channel and send it."""
        composer = self.page.get_by_role("textbox", name=f"Message #{channel}")
        await composer.click()
        await self.page.keyboard.type(line)
        await self.page.keyboard.press("Enter")

    async def open_thread(self, channel: str, text: str) -> None:
        """Open the thread of a message in a channel."""
        root = self.messages(self.channel(channel), text)
        await root.get_by_role("button", name=re.compile(r"^\d+ repl")).click()
        await expect(self.thread).to_be_visible()

    async def show_places(self) -> None:
        """Have people, channels and the app on the screen."""
        await self._turn_to("Places")
        await expect(self.sidebar).to_be_visible()

    async def show_behind(self) -> None:
        """Have the panel beside the workspace on the screen."""
        await self._turn_to("Behind the scenes")
        await expect(self.behind).to_be_visible()

    async def _turn_to(self, part: str) -> None:
        """Show a part of the page, where the screen has room for one at a time."""
        button = self.page.get_by_role("navigation", name="Parts of the page").get_by_role("button", name=part)
        if self._is_narrow:
            await button.click()

    async def start(self, channel: str, line: str) -> Locator:
        """Start an app by its command, and return the form that it asks in its thread."""
        await self.say(channel, line)
        await self.open_thread(channel, "started by")
        form = self.messages(self.thread, "📝").last
        await expect(form.get_by_role("button", name="Open in window")).to_be_visible()
        return form

    async def drop(self, place: Locator, files: Mapping[str, tuple[str, bytes]]) -> None:
        """Drag files from the desktop into a place, and let go; each has a type and bytes."""
        carried = [[name, kind, base64.b64encode(data).decode()] for name, (kind, data) in files.items()]
        await place.evaluate(_DROP, carried)

    async def focused(self) -> str:
        """What a screen reader says of the element that has the focus, without what stands in it."""
        element = self.page.locator(":focus")
        return (await element.aria_snapshot()).partition("\n")[0] if await element.count() else ""

    # --- judging -----------------------------------------------------------------------------------------------------

    async def shoot(self, name: str) -> None:
        """Write a screenshot where the tests were asked for some."""
        if self._screenshots:
            await self.page.screenshot(path=self._screenshots / f"{name}.png")

    async def overflow(self) -> int:
        """By how many pixels the page is wider than the screen."""
        width = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        return int(await self.page.evaluate(width))

    async def check_accessibility(self, *but: str) -> None:
        """Fail on everything that axe-core calls a violation, be it a moderate or minor one, `but` by these rules."""
        found: list[dict[str, Any]] = (await Axe().run(self.page)).response["violations"]
        bad = [
            f"{each['id']}: {each['help']} ({'; '.join(node['html'][:120] for node in each['nodes'][:3])})"
            for each in found
            if each["id"] not in but
        ]
        assert not bad, "\n".join(bad)


NewVisitor = Callable[..., Awaitable[Visitor]]
"""Opens the page in a browser of its own, at a channel, with the options of `Visitor.of`."""
