"""Documents are built when they change, and told together however often they do."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

from bot.playground.page.feed import Entry, Feed


class Shelf:
    """Texts that count how often they are built."""

    def __init__(self, **texts: str) -> None:
        self.texts = texts
        self.built = 0

    def __call__(self) -> Iterator[Entry]:
        """A document for each text, stamped by its length."""
        for key, text in self.texts.items():
            yield Entry(key, len(text), lambda text=text: self._build(text))  # type: ignore[misc]

    def _build(self, text: str) -> str:
        self.built += 1
        return text


async def told(subscription: Any) -> Any:
    return json.loads(await subscription.next())


async def test_the_first_message_holds_everything_and_later_ones_what_changed() -> None:
    shelf = Shelf(a="1", b="22")
    feed = Feed([shelf])
    with feed.subscribed() as subscription:
        assert await told(subscription) == {"first": True, "set": {"a": "1", "b": "22"}, "drop": []}
        shelf.texts |= {"b": "333", "c": "äöü \"'"}
        del shelf.texts["a"]
        feed.refresh()
        assert await told(subscription) == {"set": {"b": "333", "c": "äöü \"'"}, "drop": ["a"]}


async def test_what_does_not_change_is_not_built_again() -> None:
    """However many look, and however long it is."""
    shelf = Shelf(**{f"message{number}": "x" * 150_000 for number in range(300)})
    feed = Feed([shelf])
    with feed.subscribed(), feed.subscribed():
        assert shelf.built == 300
        shelf.texts["message7"] += "x"
        for _ in range(20):
            feed.refresh()
        assert shelf.built == 301


async def test_whoever_is_slow_is_told_how_things_stand_by_then() -> None:
    """Not every state in between; what came and went is only gone."""
    shelf = Shelf(a="1")
    feed = Feed([shelf])
    with feed.subscribed() as subscription:
        await told(subscription)
        for length in range(2, 10):
            shelf.texts |= {"a": "x" * length, "b": "here"}
            feed.refresh()
        del shelf.texts["b"]
        feed.refresh()
        assert await told(subscription) == {"set": {"a": "x" * 9}, "drop": ["b"]}


async def test_changes_close_together_are_told_together() -> None:
    """A hundred changes within a turn of the loop make one message."""
    shelf = Shelf(a="1")
    feed = Feed([shelf])
    running = asyncio.create_task(feed.run())
    with feed.subscribed() as subscription:
        await told(subscription)
        for length in range(2, 100):
            shelf.texts["a"] = "x" * length
            feed.changed()
        assert await told(subscription) == {"set": {"a": "x" * 99}, "drop": []}
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_what_changes_without_a_word_is_seen_all_the_same() -> None:
    """Such as a process that dies."""
    shelf = Shelf(a="1")
    feed = Feed([shelf])
    running = asyncio.create_task(feed.run())
    with feed.subscribed() as subscription:
        await told(subscription)
        shelf.texts["a"] = "22"
        assert await told(subscription) == {"set": {"a": "22"}, "drop": []}
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
