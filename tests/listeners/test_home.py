"""The Home, over the simulated Slack: shown to who looks at it, and anew while it moves."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

import pytest

from bot.core.model import RunStatus
from bot.manifest import EVENTS
from bot.playground.slack import payloads
from bot.playground.slack.faults import RateLimited, Refuse, ServerError
from bot.playground.slack.state import View
from bot.playground.slack.text import shown
from bot.services import homes
from bot.services.homes import KEPT_FRESH
from bot.services.starts import NOT_OPENED_NOW
from tests.services.stage import Stage

pytestmark = pytest.mark.usefixtures("app")

PICK = 'pick title="Spring menu"'


@pytest.fixture
def stage(stage: Stage) -> Stage:
    """The workspace tells the app who looks at its Home, too."""
    stage.workspace.events = frozenset(EVENTS)
    return stage


def published(bot: Stage) -> list[str]:
    """Return whose Homes were shown, in order."""
    return [call.arguments["user_id"] for call in bot.workspace.calls if call.method == "views.publish" and call.ok]


async def opened(bot: Stage, name: str) -> View:
    """Let somebody look at their Home, and return it as it is shown then."""
    person = bot.workspace.person(name)
    before = len(published(bot))
    await person.open_home()
    await bot.workspace.wait_for(lambda: person.id in published(bot)[before:])
    assert person.home is not None
    return person.home


async def reads(bot: Stage, home: View, *parts: str) -> None:
    await bot.workspace.wait_for(lambda: all(part in shown("", home.blocks) for part in parts))


async def test_only_the_home_tab_is_a_home(bot: Stage) -> None:
    """The other tab of the app is that of its direct messages."""
    ann = bot.workspace.person("ann")
    name, event = payloads.home_opened_event(ann, bot.workspace.direct_messages(ann), "1.0")
    bot.workspace.raise_event(name, event | {"tab": "messages"})
    await bot.workspace.wait_for(lambda: bot.workspace.deliveries[-1].acked)
    await opened(bot, "ben")
    assert published(bot) == [bot.workspace.person("ben").id]
    assert ann.home is None


async def test_a_home_moves_with_what_it_shows(bot: Stage) -> None:
    """For who has looked at it, and nobody else."""
    home = await opened(bot, "ann")
    run = await bot.paused(PICK)
    await reads(bot, home, "📝", "title:* Spring menu")
    await bot.choose(run, "accept", priority="low", remarks="")
    await bot.in_status(run.run_id, RunStatus.SUCCEEDED)
    await reads(bot, home, "Nothing waits for you.", "✅ Done")
    assert set(published(bot)) == {bot.workspace.person("ann").id}


async def test_a_look_at_dify_that_learns_nothing_shows_no_home_anew(
    bot: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A form may wait for days, and its run is looked at all the time."""
    monkeypatch.setattr(homes, "APART", 0.0)
    run = await bot.paused(PICK)
    await bot.settled()
    await opened(bot, "ann")
    before, looked_at = published(bot), bot.clock.now()
    await bot.later(minutes=20)
    await bot.run_when(run.run_id, lambda run: run.compared_at is not None and run.compared_at > looked_at)
    home = await opened(bot, "ben")
    assert published(bot) == [*before, bot.workspace.person("ben").id]
    assert "Nothing waits for you." in shown("", home.blocks)


async def test_a_home_that_was_looked_at_long_ago_stays_as_it_is(bot: Stage) -> None:
    home = await opened(bot, "ann")
    bot.clock.advance(seconds=KEPT_FRESH.total_seconds())
    await bot.paused(PICK)
    await opened(bot, "ben")
    assert "Nothing waits for you." in shown("", home.blocks)
    await opened(bot, "ann")
    assert "Spring menu" in shown("", home.blocks)


async def test_no_more_homes_are_kept_in_mind_than_may_be(bot: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that was looked at longest ago stays as it is."""
    monkeypatch.setattr(homes, "MOST_KEPT_FRESH", 2)
    first, _, last = [await opened(bot, name) for name in ("ann", "ben", "cleo")]
    for name in ("ann", "cleo"):
        await bot.ask(PICK, name)
    await reads(bot, last, "Spring menu")
    assert "Nothing waits for you." in shown("", first.blocks)


async def test_whose_home_waits_to_be_shown_is_kept_in_mind(bot: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many look at theirs meanwhile."""
    monkeypatch.setattr(homes, "MOST_KEPT_FRESH", 2)
    bot.workspace.faults.add("views.publish", RateLimited(1))
    people = [bot.workspace.person(name) for name in ("ann", "ben", "cleo")]
    for person in people:
        await person.open_home()
    await bot.workspace.wait_for(lambda: set(published(bot)) == {person.id for person in people})


async def test_a_home_that_cannot_be_shown_is_logged_and_shown_at_the_next_look(
    bot: Stage, logged: list[MutableMapping[str, Any]]
) -> None:
    ann = bot.workspace.person("ann")
    bot.workspace.faults.add("views.publish", ServerError())
    await ann.open_home()
    await bot.workspace.wait_for(lambda: any(call.method == "views.publish" for call in bot.workspace.calls))
    await opened(bot, "ann")
    assert [entry["user"] for entry in logged if entry["event"] == "a Home is not shown"] == [ann.id]


async def test_a_home_that_has_to_wait_its_turn_is_shown_then(bot: Stage) -> None:
    """Slack's limit was reached; nobody has to look again."""
    bot.workspace.faults.add("views.publish", RateLimited(1))
    await opened(bot, "ann")


async def test_a_window_that_slack_does_not_open_is_told_in_the_home(bot: Stage) -> None:
    """Until the next try: nothing else could tell there."""
    home = await opened(bot, "ann")
    bot.workspace.faults.add("views.open", Refuse("internal_error"))
    assert (await bot.workspace.person("ann").click(home, "Start an app")).acked
    await reads(bot, home, NOT_OPENED_NOW)
    assert (await bot.workspace.person("ann").click(home, "Start an app")).acked
    assert bot.workspace.person("ann").view.title == "Start"
    await bot.workspace.wait_for(lambda: NOT_OPENED_NOW not in shown("", home.blocks))
