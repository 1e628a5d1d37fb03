"""What the page says while nothing can be heard of the demo."""

from __future__ import annotations

import json
from contextlib import AsyncExitStack
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Browser, WebSocketRoute, expect

from bot.playground.page.samples import EXAMPLES, sample_apps
from bot.playground.page.server import listen, open_page
from bot.playground.stage import CHANNEL, Stage
from tests.browser.visitor import Visitor

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_demo_that_has_ended_is_not_said_to_run(chromium: Browser, stage: Stage) -> None:
    """What could not be sent is said until there is a connection again, and can be sent then."""
    async with AsyncExitStack() as first, AsyncExitStack() as browsing:
        url = await first.enter_async_context(open_page(stage, sample_apps(), EXAMPLES, listen(0)))
        visitor = await browsing.enter_async_context(Visitor.of(chromium, url, None))
        bot = visitor.behind.get_by_role("region", name="The bot")
        await visitor.go(CHANNEL)
        await expect(bot).to_contain_text("The bot is running")
        await first.aclose()
        await expect(bot).to_contain_text("the demo has ended")
        await expect(bot).not_to_contain_text("running")
        composer = visitor.page.get_by_label(f"Message #{CHANNEL}", exact=True)
        await composer.fill("Is anybody there?")
        await composer.press("Enter")
        said = visitor.page.get_by_role("main").get_by_role("alert")
        await expect(said).to_contain_text("Nothing was sent")
        async with open_page(stage, sample_apps(), EXAMPLES, listen(urlsplit(url).port or 0)):
            await expect(bot).to_contain_text("The bot is running")
            await expect(said).to_have_count(0)
            await composer.press("Enter")
            await expect(visitor.messages(visitor.channel(CHANNEL), "Is anybody there?")).to_be_visible()
            assert all("WebSocket" in each for each in visitor.trouble), visitor.trouble
            visitor.trouble.clear()
            await browsing.aclose()


async def test_a_search_that_was_lost_is_made_again(visitor: Visitor) -> None:
    """The connection breaks with its request under way: the hits are there once there is a connection again."""
    lost: list[str | bytes] = []

    def connect(page: WebSocketRoute) -> None:
        server = page.connect_to_server()

        async def pass_on(data: str | bytes) -> None:
            if lost or json.loads(data)["do"] != "find_traffic":
                server.send(data)
            else:
                lost.append(data)
                await server.close()
                await page.close()

        page.on_message(pass_on)

    await visitor.page.route_web_socket("**/socket", connect)
    await visitor.page.reload()
    await visitor.behind.get_by_role("tab", name="Traffic").click()
    entries = visitor.behind.get_by_role("list", name="Traffic").get_by_role("listitem")
    await visitor.behind.get_by_role("searchbox").fill("auth.test")
    await expect(entries.first).to_contain_text("auth.test")
    assert lost
