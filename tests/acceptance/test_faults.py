"""Either platform misbehaves: a run still comes to its end, and nothing happens twice."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bot.playground.dify.forms import FormStatus
from bot.playground.scenarios import DONE, Scene
from bot.playground.slack.faults import CallFault, LostResponse, RateLimited, ServerError
from bot.playground.stage import Stage, Transport

pytestmark = [pytest.mark.acceptance, pytest.mark.asyncio(loop_scope="module")]


@pytest.fixture(scope="module")
def transport() -> Transport:
    """Calls fail alike over both."""
    return "socket"


@pytest.fixture
def scene(new_scene: Callable[[], Scene]) -> Scene:
    """A scene in which calls fail on purpose."""
    return new_scene()


def texts(scene: Scene, root_ts: str) -> list[str]:
    """What the messages of a thread say, each once per message."""
    return [scene.text(message) for message in scene.workspace.channel(scene.channel).replies(root_ts)]


async def test_dropped_stream_is_reconciled(stage: Stage, scene: Scene) -> None:
    """The run's stream breaks off in its middle: the form is found all the same, and so is the result."""
    stage.dify.drop_stream(after_events=4)
    root = await scene.start("ann", "/dify review topic=Tea language=German")
    form = await scene.form(root, "Approve")
    stage.dify.drop_stream(after_events=3)
    await scene.click("ben", form, "Approve")
    await scene.result(root, "Tea: less waiting", "decision")
    scene.check_answers(1)


async def test_lost_response_of_a_submit_is_settled(stage: Stage, scene: Scene) -> None:
    """Dify took the answer, its response got lost: it is not sent again, and the form says who decided."""
    root = await scene.start("ann", "/dify two_forms topic=tea")
    form = await scene.form(root, "No")
    asked = scene.asked
    stage.dify.lose_response("submit_form")
    await scene.click("ben", form, "No")
    await scene.reads(form, "✅ No", "@ben")
    await scene.reads(root, DONE)
    assert asked.status is FormStatus.SUBMITTED
    assert len(scene.submits) == 1


async def test_submit_that_fails_in_dify_is_sent_again(stage: Stage, scene: Scene) -> None:
    """A server error decides nothing: the answer goes out until Dify takes it, once."""
    root = await scene.start("ann", "/dify two_forms topic=tea")
    form = await scene.form(root, "No")
    stage.dify.fail_next("submit_form", 500)
    await scene.click("ben", form, "No")
    await scene.reads(form, "✅ No", "@ben")
    await scene.reads(root, DONE)
    assert [each.status for each in scene.submits] == [500, 200]


async def test_submit_beyond_the_quota_is_kept_and_sent_again(stage: Stage, scene: Scene) -> None:
    """Dify says so with 429: whoever answered has done so, and it is sent once Dify takes it."""
    root = await scene.start("ann", "/dify two_forms topic=tea")
    form = await scene.form(root, "No")
    await scene.fill("ben", form, "note", "not today")
    stage.dify.fail_next("submit_form", 429)
    await scene.click("ben", form, "No")
    await scene.reads(form, "✅ No", "@ben", "not today")
    await scene.result(root, "first: not today")
    assert [each.status for each in scene.submits] == [429, 200]


async def test_start_without_an_answer_is_not_sent_again(stage: Stage, scene: Scene) -> None:
    """Dify has no idempotency key: the run is found in Dify's log instead."""
    stage.dify.drop_stream(after_bytes=1)
    root = await scene.start("ann", "/dify quick topic=tea")
    await scene.reads(root, DONE)
    assert len(scene.starts) == 1


async def test_chatflow_without_an_answer_is_not_sent_again(stage: Stage, scene: Scene) -> None:
    """Its run is in no log: people are told to look instead of getting two."""
    before = len(stage.dify.requests)
    stage.dify.drop_stream(after_bytes=1)
    root = await scene.start("ann", '/dify chat_review query="How is tea made?" audience=all')
    await scene.reads(root, "not confirmed")
    sent = [each for each in stage.dify.requests[before:] if each.path.endswith("/chat-messages")]
    assert len(sent) == 1


@pytest.mark.parametrize("status", [500, 429])
async def test_app_that_cannot_be_described_is_told(stage: Stage, scene: Scene, status: int) -> None:
    """Nothing is started while Dify does not answer, and the starter learns it."""
    stage.dify.fail_next("parameters", status)
    await scene.command("ann", "/dify two_forms topic=tea")
    await scene.told("ann", "Nothing was started")
    assert scene.starts == []


@pytest.mark.parametrize(
    "fault", [ServerError(), RateLimited(1), LostResponse()], ids=["server error", "rate limit", "lost response"]
)
async def test_every_message_stands_once_whatever_happens_to_its_post(
    stage: Stage, scene: Scene, fault: CallFault
) -> None:
    """Root, form and result are posted again when Slack failed, and adopted when only its answer got lost."""
    here = stage.workspace.channel(scene.channel).id
    stage.workspace.faults.add("chat.postMessage", fault, when=lambda call: call["channel"] == here)
    root = await scene.start("ann", "/dify two_forms topic=tea")
    stage.workspace.faults.add("chat.postMessage", fault, when=lambda call: call["channel"] == here)
    form = await scene.form(root, "No")
    stage.workspace.faults.add("chat.update", fault, times=2, when=lambda call: call["channel"] == here)
    await scene.click("ben", form, "No")
    await scene.reads(form, "✅ No", "@ben")
    await scene.reads(root, DONE)
    await scene.until(lambda: len(texts(scene, root.ts)) == 2, "the result is posted")
    assert len(stage.workspace.channel(scene.channel).roots) == 1
    scene.check_answers(1)
