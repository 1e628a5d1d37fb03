"""What people type: help, mistakes that are all named at once, and commands that work when copied."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bot.playground.dify.apps import quick
from bot.playground.scenarios import DONE, Scene
from bot.playground.slack import Message
from bot.playground.slack.text import shown
from bot.playground.stage import CHANNEL, Stage, Transport
from tests.acceptance.conftest import SPEED, add_channel, open_stage

pytestmark = [pytest.mark.acceptance, pytest.mark.asyncio(loop_scope="module")]

LONG = "x" * 45


def command_to_copy(note: Message) -> str | None:
    """Return the command that a private answer offers for copying, as the person would copy it."""
    return next((line for line in note.shown.splitlines() if line.startswith("/dify ")), None)


@pytest.fixture(scope="module")
def transport() -> Transport:
    """The scenarios prove that commands arrive over both."""
    return "socket"


async def test_help_tells_what_can_be_typed(scene: Scene) -> None:
    """Only the person who asked sees it, and nothing is started."""
    await scene.command("ann", "/dify help")
    await scene.told("ann", "/dify", "review", "pick", "key=value")
    assert scene.notes("ben") == []
    assert scene.workspace.channel(scene.channel).roots == []
    assert scene.starts == []


async def test_help_about_an_app_lists_what_it_takes(scene: Scene) -> None:
    """In private, with a command to copy; nothing is started."""
    await scene.command("ann", "/dify help pick")
    note = await scene.told("ann", "title: a text of at most 40 characters; required.", "size: choose S, M or L")
    assert command_to_copy(note) == '/dify pick title="…"'
    assert scene.notes("ben") == []
    assert scene.starts == []


@pytest.mark.parametrize(
    ("line", "named"),
    [
        pytest.param(
            f"/dify pick titel={LONG} size=XXL",
            ["its value stands in title now", "45", "40", "XXL"],
            id="three mistakes",
        ),
        pytest.param(
            "/dify pick title=Spring menu size=M", ["“menu” was taken for a part of title"], id="missing quotes"
        ),
        pytest.param("/dify pik title=Menu", ["pik", "did you mean pick"], id="unknown app"),
        pytest.param("/dify pick title=Menu copies=many", ["copies must be a number", "left out"], id="no number"),
    ],
)
async def test_mistakes_are_all_named_in_a_window_that_can_be_mended(scene: Scene, line: str, named: list[str]) -> None:
    """What was right is filled in."""
    window = await scene.open_window("ann", line)
    assert all(part in shown("", window.blocks) for part in named)
    assert scene.starts == []
    await scene.fill("ann", window, "title", "Spring menu")
    root = await scene.start_by_window("ann")
    await scene.reads(root, "Waiting for @ann", "Spring menu")


async def test_what_only_the_person_knows_is_asked_for(scene: Scene) -> None:
    """The client itself does not let a window go in which it is missing."""
    window = await scene.open_window("ann", "/dify pik size=L")
    assert "did you mean pick" in shown("", window.blocks)
    (sentence,) = (await scene.workspace.person("ann").submit_view()).field_errors.values()
    assert sentence == "Please complete this required field."
    assert scene.starts == []
    await scene.fill("ann", window, "title", "Menu")
    await scene.reads(await scene.start_by_window("ann"), "Waiting for @ann")


async def test_words_without_an_app_are_kept_in_a_window_that_asks_for_one(scene: Scene) -> None:
    """It names the apps that there are."""
    words = "Dear all, we meet at noon in the kitchen."
    window = await scene.open_window("ann", f"/dify {words}")
    assert "There is no app “Dear”: there is " in shown("", window.blocks)
    await scene.select("ann", window, "App", "quick")
    await scene.until(lambda: window.title == "Start quick", "the window shows what quick takes")
    root = await scene.start_by_window("ann")
    await scene.reads(root, DONE)
    assert scene.starts[0].body["inputs"]["topic"] == words


async def test_nothing_typed_can_ping_anybody(scene: Scene) -> None:
    """Mentions and Slack's control sequences in a value are shown as they were typed."""
    root = await scene.start("ann", '/dify quick topic="<!channel> @here @ben *bold*"')
    await scene.reads(root, DONE, "@here")
    window = await scene.open_window("ann", "/dify quick tpic=<!everyone>")
    assert "“tpic” is no input of quick" in shown("", window.blocks)
    await scene.reads(await scene.start_by_window("ann"), DONE, "<!everyone>")


@pytest.mark.provokes("not_in_channel")
async def test_bot_that_is_no_member_says_how_to_invite_it(stage: Stage, new_scene: Callable[[], Scene]) -> None:
    """The starter learns it in private, nothing is started, and after the invitation the same command works."""
    scene = new_scene()
    scene.channel = add_channel(stage, "not-invited", with_bot=False)
    await scene.command("ann", "/dify quick topic=tea")
    await scene.told("ann", "/invite", "not a member")
    assert scene.starts == []
    stage.workspace.channel(scene.channel).members.add(stage.workspace.bot.user_id)
    root = await scene.start("ann", "/dify quick topic=tea")
    await scene.reads(root, DONE)


async def test_only_app_needs_no_name(tmp_path: Path) -> None:
    """Where one app is configured, its inputs are enough."""
    async with open_stage("socket", tmp_path, {"quick": quick()}, speed=SPEED) as stage:
        scene = Scene(stage, CHANNEL, lambda _: None, pace=0)
        for line in ("/dify topic=tea", "/dify green tea"):
            root = await scene.start("ann", line)
            await scene.result(root, "tea")
        scene.check_manners()
