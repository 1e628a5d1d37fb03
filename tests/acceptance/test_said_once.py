"""What a run wrote before a form stands in the thread once, and its result goes on after it."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.playground.dify import App
from bot.playground.dify.apps import chat
from bot.playground.dify.graph import Answer, End, HumanInput, Llm, action
from bot.playground.scenarios import Scene
from bot.playground.slack import Message, RateLimits
from bot.playground.stage import CHANNEL, Stage, open_stage
from tests.acceptance.conftest import SPEED

pytestmark = [pytest.mark.acceptance, pytest.mark.asyncio(loop_scope="module")]

FIRST = "A colleague decides about refunds. I am asking now."
DRAFT = "# A draft\n\nTea is a drink.\n\n```py\ntea = True\n```"


def go(name: str) -> HumanInput:
    return HumanInput(name, f"Ask {name}", content="Shall we?", actions=(action("go", "Go", "primary"),))


@pytest.fixture(scope="module")
def sample_apps() -> dict[str, App]:
    """A Chatflow with one form, one with two, and a Workflow whose way to an output is decided before its form."""
    steps = App(
        name="steps",
        mode="advanced-chat",
        nodes=(
            Answer("a", "One", "Step one.\n\n"),
            go("first"),
            Answer("b", "Two", "Step two.\n\n"),
            go("second"),
            Answer("c", "Three", "Step three."),
        ),
        edges=("start -> a -> first", "first.go -> b -> second", "second.go -> c"),
    )
    drafts = App(
        name="drafts",
        nodes=(
            Llm("write", "Write", DRAFT, seconds=1.0),
            go("ask"),
            Llm("polish", "Polish", "Tea is *the* drink.", seconds=1.0),
            End("end", "End", {"draft": ("write", "text"), "final": ("polish", "text")}),
        ),
        edges=("start -> write -> end", "start -> ask", "ask.go -> polish -> end"),
    )
    return {"chat": chat(), "steps": steps, "drafts": drafts}


def saying(scene: Scene, root: Message, text: str) -> list[Message]:
    """Return the messages of a thread that say a text, or ever said it."""
    replies = scene.workspace.channel(scene.channel).replies(root.ts)
    return [each for each in replies if any(text in version.shown for version in each.history)]


@pytest.mark.parametrize("restarts", [False, True])
async def test_a_text_before_a_form_is_not_said_again(stage: Stage, scene: Scene, *, restarts: bool) -> None:
    """Dify sends it again after the form, and in the whole answer (recording 16); another process knows it, too."""
    root = await scene.start("ann", "/dify chat money back, please")
    form = await scene.form(root, "Approve")
    await scene.until(lambda: saying(scene, root, FIRST), "the text before the form stands there")
    if restarts:
        await stage.bot.kill()
        await stage.bot.start()
    await scene.click("ben", form, "Approve")
    answer = await scene.reply(root, "Your money is on its way.", "👍")
    assert not scene.shows(answer, "I am asking")
    assert len(saying(scene, root, FIRST)) == 1


async def test_texts_between_several_forms_are_said_once(scene: Scene) -> None:
    root = await scene.start("ann", "/dify steps go")
    for name in ("first", "second"):
        form = await scene.form(root, "Go", f"Ask {name}")
        await scene.click("ben", form, "Go")
    await scene.reply(root, "Step three.", "👍")
    for step in ("Step one.", "Step two.", "Step three."):
        assert len(saying(scene, root, step)) == 1, step


async def test_an_output_that_stands_above_a_form_is_named_alone(scene: Scene) -> None:
    """The stream of a Workflow is a second copy of its outputs."""
    root = await scene.start("ann", "/dify drafts")
    form = await scene.form(root, "Go")
    (above,) = await scene.until(lambda: saying(scene, root, "Tea is a drink."), "the draft stands there")
    await scene.click("ben", form, "Go")
    result = await scene.result(root, "draft:", "stands above", "Tea is _the_ drink.")
    assert len(saying(scene, root, "Tea is a drink.")) == 1
    assert result.ts > above.ts


@pytest.mark.postgres
async def test_several_processes_know_of_one_another_what_stands_above(
    sample_apps: dict[str, App], tmp_path: Path, postgres_url: str
) -> None:
    """Whoever ends a text, or goes on after a form, may have heard nothing of it."""
    shared = {"processes": 3, "database_url": postgres_url, "rate_limits": RateLimits.scaled(SPEED)}
    async with open_stage("http", tmp_path, sample_apps, speed=SPEED, **shared) as stage:
        for _ in range(4):
            scene = Scene(stage, CHANNEL, lambda _: None, pace=0)
            root = await scene.start("ann", "/dify chat money back, please")
            await scene.click("ben", await scene.form(root, "Approve"), "Approve")
            await scene.reply(root, "Your money is on its way.", "👍")
            assert len(saying(scene, root, FIRST)) == 1
