"""Text that appears word by word: streamed natively where the workspace takes it, once and whole whatever happens."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from itertools import pairwise
from pathlib import Path

import pytest

from bot.playground.dify import App
from bot.playground.scenarios import DONE, Scene
from bot.playground.slack import Message, RateLimits
from bot.playground.slack.faults import LostResponse
from bot.playground.stage import CHANNEL, Stage, open_stage
from tests.acceptance.conftest import SPEED, STORY, apps, story

pytestmark = [pytest.mark.acceptance, pytest.mark.asyncio(loop_scope="module")]


@pytest.fixture(scope="module")
def sample_apps() -> dict[str, App]:
    """The sample apps, and one with a text that takes its time even at this speed."""
    return apps() | {"story": story(3 * SPEED)}


async def begun(scene: Scene) -> tuple[Message, Message]:
    """Start a story and return its root message and its text as soon as some of it is there."""
    root = await scene.start("ann", "/dify story")
    form = await scene.form(root, "Go")
    await scene.click("ben", form, "Go")
    text = await scene.until(
        lambda: scene.workspace.find(channel=scene.channel, thread=root.ts, text="word1"), "text appears in the thread"
    )
    return root, text


async def ends_once(scene: Scene, root: Message) -> None:
    """Wait until the whole text stands in its thread once, and nothing looks as if more were to come."""
    await scene.reads(root, DONE)
    await scene.result(root, STORY)
    texts = [reply for reply in scene.workspace.channel(scene.channel).replies(root.ts) if "word" in reply.shown]
    assert len(texts) == 1
    (text,) = texts
    await scene.until(lambda: not text.in_progress and "✍️" not in text.shown, "the text is over")
    assert text.shown == STORY


async def test_a_text_is_streamed_and_never_redrawn(scene: Scene) -> None:
    """It grows at its end alone, and its result, which is the same, adds nothing."""
    with scene.dify.texts_under_way():
        root, text = await begun(scene)
        assert text.in_progress
    await ends_once(scene, root)
    versions = [version.shown for version in text.history]
    assert len(versions) > 2
    assert all(later.startswith(before) for before, later in pairwise(versions))
    redrawn = [call.arguments["ts"] for call in scene.workspace.calls if call.method == "chat.update"]
    assert text.ts not in redrawn


@pytest.mark.provokes("channel_type_not_supported")
async def test_where_nothing_is_streamed_a_text_is_redrawn(stage: Stage, new_scene: Callable[[], Scene]) -> None:
    """The refusal holds up nothing."""
    streams_in, stage.workspace.streams_in = stage.workspace.streams_in, frozenset()
    try:
        scene = new_scene()
        with scene.dify.texts_under_way():
            root, text = await begun(scene)
            assert text.stream is None
            assert "✍️" in text.shown
        await ends_once(scene, root)
    finally:
        stage.workspace.streams_in = streams_in


@pytest.mark.parametrize(
    "by",
    [
        pytest.param("slack", marks=pytest.mark.provokes("message_not_in_streaming_state"), id="slack"),
        pytest.param("somebody", marks=pytest.mark.provokes("stopped_by_user"), id="somebody"),
    ],
)
async def test_a_text_whose_stream_is_ended_goes_on(new_scene: Callable[[], Scene], by: str) -> None:
    """Slack ends one after five minutes, and people may stop it: nothing of the text is lost."""
    scene = new_scene()
    with scene.dify.texts_under_way():
        root, text = await begun(scene)
        assert text.stream is not None
        if by == "slack":
            text.stream.ends_at = 0.0
        else:
            text.stream.state = "stopped_by_user"
        with scene.dify.texts_under_way(0.9):
            await scene.reads(text, "✍️")
            assert not text.in_progress
    await ends_once(scene, root)


async def test_a_start_that_nobody_heard_of_is_found_again(stage: Stage, new_scene: Callable[[], Scene]) -> None:
    """It has no metadata yet, and is not begun twice."""
    stage.workspace.faults.add("chat.startStream", LostResponse())
    scene = new_scene()
    root, text = await begun(scene)
    await ends_once(scene, root)
    assert text.metadata


async def test_a_text_that_was_streamed_when_the_bot_was_killed_ends(scene: Scene) -> None:
    """Its result takes its place: the process that comes next finds it, though nothing marks it."""
    with scene.dify.texts_under_way():
        root, text = await begun(scene)
        assert text.in_progress
        await scene.kill("while the text is being streamed")
    await scene.restart()
    await ends_once(scene, root)
    assert text.metadata


@pytest.fixture
async def processes(tmp_path: Path, postgres_url: str) -> AsyncIterator[Stage]:
    """Two processes that share the work."""
    async with open_stage(
        "socket",
        tmp_path,
        apps() | {"story": story(3 * SPEED)},
        speed=SPEED,
        rate_limits=RateLimits.scaled(SPEED),
        processes=2,
        database_url=postgres_url,
    ) as stage:
        yield stage


@pytest.mark.postgres
@pytest.mark.asyncio(loop_scope="function")
async def test_another_process_ends_a_stream_whose_process_was_killed(processes: Stage) -> None:
    """Whichever of them it was."""
    scene = Scene(processes, CHANNEL, lambda _: None, pace=0)
    with scene.dify.texts_under_way():
        root, text = await begun(scene)
        assert text.in_progress
        for bot in processes.bots:
            await bot.kill()
    await processes.bots[1].start()
    await ends_once(scene, root)
    assert text.metadata
