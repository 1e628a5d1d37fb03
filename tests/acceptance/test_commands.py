"""What people type: help, mistakes that are all named at once, and commands that work when copied."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bot.playground.dify.apps import quick
from bot.playground.scenarios import DONE, Scene, corrected_command
from bot.playground.stage import CHANNEL, Stage, Transport, open_stage
from tests.acceptance.conftest import SPEED, add_channel

pytestmark = [pytest.mark.acceptance, pytest.mark.asyncio(loop_scope="module")]

LONG = "x" * 45


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
    assert corrected_command(note) == '/dify pick title="…"'
    assert scene.notes("ben") == []
    assert scene.starts == []


@pytest.mark.parametrize(
    ("line", "named"),
    [
        pytest.param(f"/dify pick titel={LONG} size=XXL", ["titel", "title", "45", "40", "XXL"], id="three mistakes"),
        pytest.param("/dify review topic=Tea", ["language", "English", "German"], id="missing select"),
        pytest.param("/dify pick title=Spring menu size=M", ["menu", 'title="Spring menu"'], id="missing quotes"),
        pytest.param("/dify pik title=Menu", ["pik", "did you mean pick"], id="unknown app"),
        pytest.param("/dify reviw topic=Tea", ["reviw", "review", "language", "English"], id="unknown app and more"),
        pytest.param("/dify pick title=Menu copies=many", ["copies must be a number", "left out"], id="no number"),
    ],
)
async def test_mistakes_are_all_named_with_a_command_that_works(scene: Scene, line: str, named: list[str]) -> None:
    """One private answer lists them; its corrected command starts the run when it is pasted."""
    await scene.command("ann", line)
    note = await scene.told("ann", *named)
    assert len(scene.notes("ann")) == 1
    assert scene.starts == []
    corrected = corrected_command(note)
    assert corrected is not None
    root = await scene.start("ann", corrected)
    await scene.reads(root, "Waiting for @ann")


@pytest.mark.parametrize(
    ("line", "named", "left"),
    [
        pytest.param("/dify pick size=L", ["title is missing", "Fill in the …"], 'title="…"', id="missing text"),
        pytest.param("/dify pik size=L", ["pick", "title is missing", "Fill in"], 'title="…"', id="unknown app, too"),
    ],
)
async def test_what_only_the_person_knows_is_left_to_fill_in(
    scene: Scene, line: str, named: list[str], left: str
) -> None:
    """The corrected command keeps every right value and marks the place of the missing one."""
    await scene.command("ann", line)
    note = await scene.told("ann", *named)
    assert left in (corrected_command(note) or "")
    assert scene.starts == []


async def test_nothing_typed_can_ping_anybody(scene: Scene) -> None:
    """Mentions and Slack's control sequences in a value are shown as they were typed."""
    root = await scene.start("ann", '/dify quick topic="<!channel> @here @ben *bold*"')
    await scene.reads(root, DONE, "@here")
    await scene.command("ann", "/dify quick tpic=<!everyone>")
    await scene.told("ann", "<!everyone>")


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
        root = await scene.start("ann", "/dify topic=tea")
        await scene.result(root, "tea")
        scene.check_manners()
