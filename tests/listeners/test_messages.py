"""What people say in threads: saved before the ack, once, and only where the thread is a conversation."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from slack_bolt.app.async_app import AsyncApp

from bot.core.model import Run, RunStatus
from bot.manifest import EVENTS
from bot.playground.dify.apps import chat
from bot.playground.dify.graph import HumanInput, constant, paragraph
from bot.playground.slack import Message
from bot.playground.slack.faults import LostResponse
from bot.slack import ids
from bot.slack.messages import chat as sentences
from tests.listeners.conftest import connected, dispatch, message_event
from tests.services.stage import CHANNEL, Stage, open_stage

pytestmark = pytest.mark.usefixtures("app")

QUERY = 'chat query="Where is my order?"'
REFUND = 'chat query="money back"'


@pytest.fixture
def stage(stage: Stage) -> Stage:
    """The workspace tells the app of messages, too."""
    stage.workspace.events = frozenset(EVENTS)
    return stage


@pytest.fixture
async def begun(bot: Stage) -> Run:
    """A conversation whose first message is answered."""
    run = await bot.in_status(await bot.ask(QUERY), RunStatus.SUCCEEDED)
    await bot.settled()
    return run


async def conversation(stage: Stage, run: Run) -> tuple[Run, ...]:
    assert run.thread_ts is not None
    return await stage.store.conversation(run.channel_id, run.thread_ts)


async def say(stage: Stage, run: Run, text: str, user: str = "ann") -> Message:
    return await stage.workspace.person(user).post(CHANNEL, text, run.thread_ts)


async def asked(stage: Stage, run: Run) -> Message:
    """Wait for the question about a message that is held, and return it."""
    return await stage.workspace.wait_for(
        lambda: next((each for each in stage.thread(run) if "is it the answer" in each.shown.lower()), None)
    )


def pressed(stage: Stage) -> dict[str, Any]:
    """Return the last click as it was delivered."""
    return next(each.payload for each in reversed(stage.workspace.deliveries) if "actions" in each.payload)


def queries(stage: Stage) -> set[str]:
    """Return every message that is kept."""
    with stage.sql() as database:
        return {query for (query,) in database.execute("SELECT query FROM runs")}


def event(stage: Stage, run: Run, **changes: Any) -> dict[str, Any]:
    """Return a `message` event in the thread of a run, as Slack sends it."""
    said = {"channel": run.channel_id, "text": "And &lt;now&gt;, <@U0ANN>?", "thread_ts": run.thread_ts, **changes}
    return message_event(stage, **said)


async def test_a_reply_is_saved_before_it_is_acked(stage: Stage, app: AsyncApp) -> None:
    """Nothing works that could have sent it: what the ack promises stands in the database."""
    async with stage.working():
        run = await stage.in_status(await stage.ask(QUERY), RunStatus.SUCCEEDED)
        await stage.settled()
    assert (await dispatch(app, event(stage, run))).status == 200
    _, said = await conversation(stage, run)
    assert said.query == "And <now>, @U0ANN?"
    assert (said.starter_id, said.dify_user) == (stage.workspace.person("ben").id, run.dify_user)
    assert (said.status, said.thread_ts) == (RunStatus.REQUESTED, run.thread_ts)
    assert "PostRoot" in [row.kind for row in stage.outbox()]
    assert len(stage.requests("POST", "/chat-messages")) == 1


async def test_a_reply_that_cannot_be_saved_is_not_acked_and_comes_again(bot: Stage, begun: Run, app: AsyncApp) -> None:
    with bot.refusing("INSERT ON inbox"):
        assert (await dispatch(app, event(bot, begun))).status == 500
    assert (await dispatch(app, event(bot, begun))).status == 200
    assert (await dispatch(app, event(bot, begun))).status == 200
    await bot.settled()
    assert len(bot.requests("POST", "/chat-messages")) == 2


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"thread_ts": None}, id="outside of threads"),
        pytest.param({"thread_ts": "1800000000.000100"}, id="the root of a thread"),
        pytest.param({"thread_ts": "1700000000.000100"}, id="another thread"),
        pytest.param({"channel": "C0RANDOM"}, id="another channel"),
        pytest.param({"subtype": "message_changed", "hidden": True, "user": None}, id="an edit"),
        pytest.param({"subtype": "message_deleted", "hidden": True, "user": None}, id="a deletion"),
        pytest.param({"subtype": "channel_join"}, id="somebody joined"),
        pytest.param({"subtype": "bot_message", "bot_id": "B0OTHER", "user": None}, id="another bot"),
        pytest.param({"bot_id": "B0OTHER"}, id="another app"),
        pytest.param({"text": " "}, id="nothing"),
    ],
)
async def test_what_is_no_reply_of_a_person_is_acked_and_left(
    bot: Stage, begun: Run, app: AsyncApp, changes: dict[str, Any]
) -> None:
    assert (await dispatch(app, event(bot, begun, **changes))).status == 200
    assert await conversation(bot, begun) == (await bot.store.run(begun.run_id),)


@pytest.mark.parametrize("subtype", ["file_share", "thread_broadcast"])
async def test_a_reply_with_files_or_to_the_channel_is_a_message(
    bot: Stage, begun: Run, app: AsyncApp, subtype: str
) -> None:
    files = [{"id": "F1"}] if subtype == "file_share" else None
    assert (await dispatch(app, event(bot, begun, subtype=subtype, files=files))).status == 200
    await bot.settled()
    assert len(bot.requests("POST", "/chat-messages")) == 2
    told = bot.workspace.find(visible_to="ben", text="do not go along with yours")
    assert (told is not None) == (files is not None)


async def test_files_without_a_word_are_not_sent_and_that_is_told(bot: Stage, begun: Run, app: AsyncApp) -> None:
    files = [{"id": "F1"}]
    assert (await dispatch(app, event(bot, begun, subtype="file_share", text="", files=files))).status == 200
    await bot.told("ben", "nothing was sent")
    assert len(bot.requests("POST", "/chat-messages")) == 1


async def test_a_question_is_settled_once(bot: Stage, app: AsyncApp) -> None:
    """Both buttons pressed: the first counts, and the second changes nothing; it may be of somebody else."""
    run = await bot.paused(REFUND)
    await say(bot, run, "And now?")
    question = await asked(bot, run)
    assert (await bot.workspace.person("ann").click(question, sentences.SEND_NEW)).acked
    await bot.reads(question, "had this sent as a new message", "And now?")
    click = pressed(bot)
    ben = {"id": bot.workspace.person("ben").id}
    forget = {**click, "user": ben, "actions": [{**click["actions"][0], "action_id": ids.FORGET_MESSAGE}]}
    assert (await dispatch(app, forget)).status == 200
    await bot.told("ben", "had this sent as a new message", sentences.ALREADY_SETTLED)
    await bot.settled()
    assert len(bot.requests("POST", "/chat-messages")) == 2


@pytest.mark.parametrize(
    ("button", "outcome"),
    [
        (sentences.SEND_NEW, "sent as a new message"),
        (sentences.FORGET, "had this dropped"),
        ("Use it as the answer", "took this for the answer"),
    ],
)
async def test_a_click_on_a_question_that_comes_twice_is_answered_as_once(
    bot: Stage, app: AsyncApp, button: str, outcome: str
) -> None:
    run = await bot.paused(REFUND)
    await say(bot, run, "And now?")
    question = await asked(bot, run)
    assert (await bot.workspace.person("ann").click(question, button)).acked
    await bot.reads(question, outcome)
    assert (await dispatch(app, pressed(bot))).status == 200
    await bot.settled()
    assert bot.workspace.find_all(visible_to="ann", text=sentences.ALREADY_SETTLED) == []
    assert outcome in question.shown


async def test_a_question_is_posted_once_whatever_comes_in_between(bot: Stage) -> None:
    """It is found again by its metadata, as everything else that is posted."""
    run = await bot.paused(REFUND)
    bot.workspace.faults.add("chat.postMessage", LostResponse())
    await say(bot, run, "And now?")
    await asked(bot, run)
    retry = await bot.put_back("AskAboutMessage")
    await bot.later(seconds=(retry.due_at - bot.clock.now()).total_seconds())
    await bot.settled()
    assert len([message for message in bot.thread(run) if "is it the answer" in message.shown.lower()]) == 1


async def test_a_question_that_nobody_answers_lapses_with_its_message(bot: Stage) -> None:
    """It says so, and the message is deleted; no conversation keeps it for ever."""
    run = await bot.paused(REFUND)
    await say(bot, run, "And now?")
    question = await asked(bot, run)
    await bot.settled()
    await bot.later(days=31)
    await bot.reads(question, "Nobody said what to do with this", "And now?")
    assert question.buttons == []
    await bot.settled()
    await bot.later(hours=2)
    await bot.until(lambda: "And now?" not in queries(bot))


@pytest.mark.provokes("trigger_exchanged")
async def test_a_message_that_became_an_answer_is_settled_once_that_can_be_saved(bot: Stage, app: AsyncApp) -> None:
    """The window opened with the click, which counts when it comes again although it opens no second one."""
    run = await bot.paused(REFUND)
    await say(bot, run, "And now?")
    question = await asked(bot, run)
    ann = bot.workspace.person("ann")
    with bot.refusing("INSERT ON inbox"):
        assert not (await ann.click(question, "Use it as the answer")).acked
    assert (await dispatch(app, pressed(bot))).status == 200
    await bot.reads(question, "took this for the answer to", "And now?")
    assert len(ann.views) == 1
    assert [each.status for each in await conversation(bot, run)] == [RunStatus.PAUSED]


async def test_a_mention_that_says_nothing_is_answered_as_elsewhere(bot: Stage, begun: Run, app: AsyncApp) -> None:
    """Nothing is sent to Dify, and without the mention nobody waits for an answer."""
    for text in (f"<@{bot.workspace.bot.user_id}>", ""):
        assert (await dispatch(app, event(bot, begun, text=text))).status == 200
    await bot.told("ben", "I run Dify apps")
    await bot.settled()
    assert len(bot.workspace.find_all(visible_to="ben")) == 1
    assert len(bot.requests("POST", "/chat-messages")) == 1


async def test_a_message_that_is_too_long_for_the_window_stays_held(tmp_path: Path) -> None:
    """It would stand nowhere else: no window is opened, no draft is kept, and who pressed is told why."""
    app = chat()
    long = (paragraph("message"), paragraph("letter", constant("x" * 60_000)))
    nodes = tuple(replace(node, inputs=long) if isinstance(node, HumanInput) else node for node in app.nodes)
    async with open_stage(tmp_path, [replace(app, nodes=nodes)]) as stage, stage.working():
        await connected(stage)
        stage.workspace.events = frozenset(EVENTS)
        run = await stage.paused(REFUND)
        await say(stage, run, "茶" * 10_000)
        question = await asked(stage, run)
        ann = stage.workspace.person("ann")
        assert (await ann.click(question, "Use it as the answer")).acked
        await stage.told("ann", "is 10,000 characters long, and there is room for 6,666", "the message is kept")
        assert ann.views == []
        assert await stage.store.draft(run.forms[0].form_id, ann.id) is None
        assert [each.status for each in await conversation(stage, run)] == [RunStatus.PAUSED, RunStatus.HELD]
        assert (await ann.click(question, sentences.FORGET)).acked
        await stage.reads(question, "had this dropped")


async def test_a_suggestion_is_asked_once_and_who_comes_second_is_told_so(
    bot: Stage, begun: Run, app: AsyncApp
) -> None:
    """Two people press at the same time: one message. A click that comes twice is told nothing, or the same, once."""
    (offered,) = [message for message in bot.thread(begun) if "Where is my order?" in message.buttons]
    ben, cleo = (bot.workspace.person(name) for name in ("ben", "cleo"))
    assert (await ben.click(offered, "Where is my order?")).acked
    first = pressed(bot)
    assert (await cleo.click(offered, "How long")).acked
    second = pressed(bot)
    for click in (first, second):
        assert (await dispatch(app, click)).status == 200
    await bot.settled()
    assert bot.workspace.find_all(visible_to="ben", text="was not sent") == []
    (told,) = bot.workspace.find_all(visible_to="cleo", text="was not sent")
    assert f"<@{ben.id}> asked “Where is my order?” just before" in told.shown
    assert [each.body["query"] for each in bot.requests("POST", "/chat-messages")][1:] == ["Where is my order?"]


async def test_no_suggestions_where_the_app_has_them_switched_off(tmp_path: Path) -> None:
    async with open_stage(tmp_path, [replace(chat(), suggests_questions=False)]) as stage, stage.working():
        run = await stage.in_status(await stage.ask(QUERY), RunStatus.SUCCEEDED)
        await stage.settled()
        assert stage.requests("GET", "/suggested") == []
        assert len(stage.thread(run)) == 1


async def test_what_is_suggested_twice_is_offered_once(tmp_path: Path) -> None:
    """And what nobody can see is not offered at all."""
    app = replace(chat(), next_questions=("Why?", " ", "Why? ", "\u200b\x00", "When?", "Why?"))
    async with open_stage(tmp_path, [app]) as stage, stage.working():
        run = await stage.in_status(await stage.ask(QUERY), RunStatus.SUCCEEDED)
        await stage.settled()
        assert stage.thread(run)[-1].buttons == ["Why?", "When?"]


async def test_suggestions_that_dify_cannot_make_are_not_missed(tmp_path: Path, logged: list[Any]) -> None:
    """Without a model Dify answers 500 (recording 31); it is asked once."""
    async with open_stage(tmp_path, [replace(chat(), next_questions=None)]) as stage, stage.working():
        run = await stage.in_status(await stage.ask(QUERY), RunStatus.SUCCEEDED)
        await stage.settled()
        assert len(stage.requests("GET", "/suggested")) == 1
        assert len(stage.thread(run)) == 1
    assert [entry for entry in logged if entry["log_level"] in ("warning", "error")] == []


async def test_a_thumb_that_dify_does_not_take_is_told(bot: Stage, begun: Run) -> None:
    bot.dify.conversations.clear()
    (answered,) = [message for message in bot.thread(begun) if "👍" in message.buttons]
    assert (await bot.workspace.person("ben").click(answered, "👎")).acked
    await bot.told("ben", "did not take your rating")
