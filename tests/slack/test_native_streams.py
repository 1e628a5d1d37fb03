"""Texts that are streamed natively, against the simulated workspace, over real sockets."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from slack_sdk.web.async_client import AsyncWebClient

from bot.core import effects as do
from bot.core.model import Run, RunStatus
from bot.errors import SlackUnavailable
from bot.playground.slack import Message, SlackServer, Workspace
from bot.playground.slack.faults import LostResponse, RateLimited, Refuse, ServerError
from bot.playground.slack.rate_limits import RateLimits
from bot.slack.delivery.native_streams import ENDS, ROLLS_OVER
from bot.slack.gateway import SlackGateway
from tests.slack.hostile import HOSTILE, harm
from tests.slack.test_budget import HandClock
from tests.slack.test_gateway import NUMBERS, QUICK, methods, numbers, running, shows, thread

NATIVE = ("chat.startStream", "chat.appendStream", "chat.stopStream")


@pytest.fixture
async def workspace() -> AsyncIterator[Workspace]:
    """A workspace on the network that takes streams everywhere."""
    workspace = Workspace(people=["ann", "ben"], channels={"content": ["ann", "bot"]}, rate_limits=RateLimits.off())
    async with SlackServer(workspace):
        yield workspace


@pytest.fixture
def clock() -> HandClock:
    """The clock that the age of a stream goes by."""
    return HandClock()


@pytest.fixture
async def gateway(workspace: Workspace, clock: HandClock) -> AsyncIterator[SlackGateway]:
    """A gateway into the workspace that shows progress at once."""
    client = AsyncWebClient(token=workspace.bot_token, base_url=f"{workspace.url}/api/")
    async with SlackGateway(client, QUICK, monotonic=clock) as gateway:
        yield gateway


def another(workspace: Workspace) -> SlackGateway:
    """Return a gateway that knows nothing, as after a restart or in another process."""
    return SlackGateway(AsyncWebClient(token=workspace.bot_token, base_url=f"{workspace.url}/api/"), QUICK)


def paragraphs(size: int) -> str:
    """Return a text of about so many characters, numbers in paragraphs, each of which begins with a word."""
    words = NUMBERS[:size].split()
    return "\n\n".join(" ".join(["Next:", *words[start : start + 80]]) for start in range(0, len(words), 80))


def counted(text: str) -> list[str]:
    """Return the numbers in a text."""
    return [word for word in text.split() if word.isdigit()]


async def begun(gateway: SlackGateway, workspace: Workspace, text: str, post_id: str = "answer") -> Run:
    """Begin a text and return its run as it is followed."""
    run = await running(gateway, workspace)
    await gateway.show_answer(run, text)
    return replace(run, answer_ts=await gateway.carry_out(do.PostAnswer(), run, post_id, again=False))


async def shown(gateway: SlackGateway, workspace: Workspace, run: Run, text: str, until: str) -> None:
    """Have a text grow until this part of it is shown."""
    await gateway.show_answer(run, text)
    await workspace.wait_for(lambda: any(until in message.shown for message in thread(workspace, run)))


async def ended(gateway: SlackGateway, run: Run, *, again: bool = False, **changes: Any) -> None:
    """End the text of a run that pauses."""
    paused = replace(run, status=RunStatus.PAUSED, **changes)
    await gateway.carry_out(do.EndAnswer(0, str(run.answer_ts)), paused, "end", again=again)


def only(workspace: Workspace, run: Run) -> Message:
    """Return the only message of a thread."""
    (message,) = thread(workspace, run)
    return message


def check_over(workspace: Workspace, run: Run) -> None:
    """Check that nothing looks as if more were to come, and that everything would be found again."""
    for message in thread(workspace, run):
        assert not message.in_progress
        assert "✍️" not in message.shown
        assert message.metadata or message.content.files


async def test_a_text_is_streamed_and_ended(workspace: Workspace, gateway: SlackGateway) -> None:
    """With nothing redrawn; in the end it is found by its metadata as a post is."""
    run = await begun(gateway, workspace, "Once upon a")
    assert only(workspace, run).in_progress
    assert only(workspace, run).shown == "Once upon"
    await shown(gateway, workspace, run, "Once upon a time there **was** a", "was")
    await ended(gateway, run)
    assert methods(workspace)[1:] == [*NATIVE]
    message = only(workspace, run)
    assert message.ts == run.answer_ts
    assert message.shown == "Once upon a time there **was** a"
    assert message.metadata == {"event_type": "dify_slack_bot_post", "event_payload": {"post_id": "answer", "part": 0}}
    start = next(call for call in workspace.calls if call.method == "chat.startStream")
    assert start.arguments["recipient_user_id"] == run.starter_id
    check_over(workspace, run)


async def test_a_text_of_which_nothing_can_be_shown_yet_begins_as_before(
    workspace: Workspace, gateway: SlackGateway
) -> None:
    """A single word may become anything."""
    run = await begun(gateway, workspace, "**On")
    assert shows(workspace, run.answer_ts, "✍️ …")
    await shown(gateway, workspace, run, "**Once** upon a time", "Once")
    await ended(gateway, run)
    assert not set(methods(workspace)) & set(NATIVE)


@pytest.mark.parametrize(("text", "calls"), [("Once upon a time", 1), ("Twice", 2)])
async def test_a_result_takes_the_place_of_a_stream(
    workspace: Workspace, gateway: SlackGateway, text: str, calls: int
) -> None:
    """The same text adds nothing but its end; another one is drawn over it."""
    run = await begun(gateway, workspace, "Once upon a")
    ending = replace(run, status=RunStatus.SUCCEEDED, outputs={"text": text})
    await gateway.carry_out(do.RefreshRoot(), ending, "root", again=False)
    before = len(workspace.calls)
    await gateway.carry_out(do.PostResult(), ending, "result", again=False)
    assert methods(workspace)[before:] == ["chat.stopStream", "chat.update"][:calls]
    assert only(workspace, run).shown == text
    check_over(workspace, run)


async def test_a_streamed_text_of_100_000_characters_arrives_whole(workspace: Workspace, gateway: SlackGateway) -> None:
    """In streams that follow each other; only the last one is open at any time."""
    text = paragraphs(100_000)
    run = await begun(gateway, workspace, text[:1_000])
    for size in range(3_000, len(text) + 3_000, 3_000):
        await gateway.show_answer(run, text[:size])
        last = text[:size].split()[-3]
        await workspace.wait_for(lambda last=last: last in thread(workspace, run)[-1].shown.split())
        assert not any(message.in_progress for message in thread(workspace, run)[:-1])
    await ended(gateway, run)
    assert numbers(workspace, run) == counted(text)
    assert "chat.update" not in methods(workspace)
    assert 10 < len(thread(workspace, run)) <= 15
    check_over(workspace, run)


async def test_a_text_that_is_longer_than_messages_hold_ends_in_a_file(
    workspace: Workspace, gateway: SlackGateway
) -> None:
    """As one that is drawn does."""
    text = paragraphs(160_000)
    run = await begun(gateway, workspace, text[:1_000])
    await shown(gateway, workspace, run, text, "follows as a file")
    await ended(gateway, run)
    *messages, shared = thread(workspace, run)
    assert workspace.files.by_id[shared.content.files[0]["id"]].content == text.encode()
    assert "goes on in the file" in messages[-1].shown
    check_over(workspace, run)


@pytest.mark.parametrize("is_result", [False, True])
async def test_a_stream_that_becomes_old_is_rolled_over(
    workspace: Workspace, gateway: SlackGateway, clock: HandClock, is_result: bool
) -> None:
    """Before Slack ends it, the text goes on in another stream, at a place where it may; a result is one again."""
    text = "One two.\n\nThree four.\n\nFive six seven"
    run = await begun(gateway, workspace, text[:20])
    clock.time += ROLLS_OVER
    await shown(gateway, workspace, run, text, "Five")
    first, second = thread(workspace, run)
    assert "goes on below" in first.shown
    assert not first.in_progress
    assert second.in_progress
    if is_result:
        succeeded = replace(run, status=RunStatus.SUCCEEDED, outputs={"text": text})
        await gateway.carry_out(do.PostResult(), succeeded, "result", again=False)
    else:
        await ended(gateway, run)
        assert "chat.update" not in methods(workspace)
    words = [word for message in thread(workspace, run) for word in message.shown.split("⬇️")[0].split()]
    assert words == text.split()
    check_over(workspace, run)


async def test_a_stream_that_cannot_be_rolled_over_is_ended_in_time_and_goes_on(
    workspace: Workspace, gateway: SlackGateway, clock: HandClock
) -> None:
    """In the middle of code no message begins: this one is drawn from then on."""
    run = await begun(gateway, workspace, "```py\none\n")
    clock.time += ENDS
    await shown(gateway, workspace, run, "```py\none\ntwo\nthr", "two")
    await workspace.wait_for(lambda: "✍️" in only(workspace, run).shown)
    assert not only(workspace, run).in_progress
    await ended(gateway, run)
    assert methods(workspace).count("chat.startStream") == 1
    check_over(workspace, run)


@pytest.mark.parametrize("how", ["expired", "stopped", "conflict", "redrawn"])
async def test_a_stream_that_is_over_before_its_text_is_repaired(
    workspace: Workspace, gateway: SlackGateway, how: str
) -> None:
    """Slack ended it, or somebody pressed stop; or the text turned out otherwise."""
    run = await begun(gateway, workspace, "Once upon a")
    message = only(workspace, run)
    assert message.stream is not None
    text = "Once upon a time there was"
    if how == "expired":
        message.stream.ends_at = 0.0
    elif how == "stopped":
        message.stream.state = "stopped_by_user"
    elif how == "redrawn":
        text = "Twice upon a time there was"
    else:
        workspace.faults.add("chat.appendStream", Refuse("internal_mistake"))
    await shown(gateway, workspace, run, text, "there was" if how != "redrawn" else "Twice")
    await workspace.wait_for(lambda: "✍️" in message.shown)
    await ended(gateway, run)
    assert only(workspace, run).shown == text
    check_over(workspace, run)


@pytest.mark.parametrize("code", ["unknown_method", "missing_scope", "not_allowed_token_type", "invalid_arguments"])
async def test_where_slack_takes_no_stream_texts_are_drawn_for_a_while(
    workspace: Workspace, gateway: SlackGateway, clock: HandClock, code: str
) -> None:
    """The message is there at once; minutes later it is tried again."""
    workspace.faults.add("chat.startStream", Refuse(code))
    for _ in range(2):
        run = await begun(gateway, workspace, "Once upon a")
        assert shows(workspace, run.answer_ts, "✍️ …")
    assert methods(workspace).count("chat.startStream") == 1
    clock.time += 600
    assert only(workspace, await begun(gateway, workspace, "Once upon a")).in_progress


async def test_many_live_runs_exhaust_the_streams_and_are_drawn(workspace: Workspace) -> None:
    """Slack takes 20 of them a minute: the others are there at once all the same."""
    client = AsyncWebClient(token=workspace.bot_token, base_url=f"{workspace.url}/api/")
    workspace.rate_limits = RateLimits.real()
    async with SlackGateway(client) as gateway:
        run = await running(gateway, workspace)
        for number in range(24):
            each = replace(run, run_id=f"run-{number}")
            await gateway.show_answer(each, f"Once upon a time number {number}")
            await gateway.carry_out(do.PostAnswer(), each, f"answer-{number}", again=False)
    assert sum(message.in_progress for message in thread(workspace, run)) == 20
    assert len(thread(workspace, run)) == 24
    assert not [call for call in workspace.calls if call.status == 429]


async def test_a_start_that_slack_limits_is_posted_at_once(workspace: Workspace, gateway: SlackGateway) -> None:
    """Another process may have used what there was."""
    workspace.faults.add("chat.startStream", RateLimited(60))
    run = await begun(gateway, workspace, "Once upon a")
    assert shows(workspace, run.answer_ts, "✍️ …")


# --- what nobody heard of ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [LostResponse(), ServerError()])
@pytest.mark.parametrize("restarted", [False, True])
@pytest.mark.parametrize("paused", [False, True])
async def test_a_start_whose_answer_is_lost_is_there_once(
    workspace: Workspace, gateway: SlackGateway, fault: Any, restarted: bool, paused: bool
) -> None:
    """It has no metadata yet: that is what it is told by."""
    workspace.faults.add("chat.startStream", fault)
    run = await running(gateway, workspace)
    await gateway.show_answer(run, "Once upon a")
    with pytest.raises(SlackUnavailable) as lost:
        await gateway.carry_out(do.PostAnswer(), run, "answer", again=False)
    assert lost.value.sent
    later = replace(run, status=RunStatus.PAUSED) if paused else run
    async with another(workspace) as other:
        who = other if restarted else gateway
        ts = await who.carry_out(do.PostAnswer(), later, "answer", again=True)
        if ts is not None:
            await ended(who, replace(run, answer_ts=ts), again=True)
    assert len(thread(workspace, run)) == (0 if restarted and paused and fault == ServerError() else 1)
    check_over(workspace, run)
    if not restarted:
        assert "Once upon a" in only(workspace, run).shown
    elif fault == LostResponse():
        assert "Once upon" in only(workspace, run).shown
        assert "may not be complete" in only(workspace, run).shown


@pytest.mark.parametrize("parts", [1, 3])
@pytest.mark.parametrize("status", [RunStatus.PAUSED, RunStatus.SUCCEEDED])
async def test_a_stream_whose_process_died_does_not_look_alive(
    workspace: Workspace, gateway: SlackGateway, parts: int, status: RunStatus
) -> None:
    """The next one finds it, ends it, and says that its end may be missing, or puts the result in its place."""
    text = paragraphs(8_000 * parts - 4_000)
    run = await begun(gateway, workspace, text[:1_000])
    await shown(gateway, workspace, run, text, text.split()[-3])
    assert thread(workspace, run)[-1].in_progress
    outputs = {"text": text} if status is RunStatus.SUCCEEDED else {}
    later = replace(run, status=status, outputs=outputs)
    async with another(workspace) as other:
        effect = do.PostResult() if outputs else do.EndAnswer(0, str(run.answer_ts))
        await other.carry_out(effect, later, "later", again=False)
    assert len(thread(workspace, run)) == parts
    found = numbers(workspace, run)
    assert found == counted(text)[: len(found)]
    assert ("may not be complete" in thread(workspace, run)[-1].shown) is not bool(outputs)
    check_over(workspace, run)


async def test_a_lost_start_of_a_later_message_doubles_nothing(workspace: Workspace, gateway: SlackGateway) -> None:
    """It is looked for before another one is begun."""
    text = paragraphs(20_000)
    run = await begun(gateway, workspace, text[:1_000])
    workspace.faults.add("chat.startStream", LostResponse())
    await gateway.show_answer(run, text[:10_000])
    await workspace.wait_for(lambda: len(thread(workspace, run)) == 2)
    await shown(gateway, workspace, run, text, text.split()[-3])
    await ended(gateway, run)
    assert numbers(workspace, run) == counted(text)
    check_over(workspace, run)


@pytest.mark.parametrize("method", NATIVE[1:])
@pytest.mark.parametrize("fault", [LostResponse(), ServerError(), RateLimited(1)])
async def test_a_stream_arrives_whole_whatever_breaks(
    workspace: Workspace, gateway: SlackGateway, method: str, fault: Any
) -> None:
    """Added twice it would read twice: what is not known is drawn."""
    run = await begun(gateway, workspace, "Once upon a")
    workspace.faults.add(method, fault)
    await gateway.show_answer(run, "Once upon a time there was")
    if method == "chat.appendStream":
        await workspace.wait_for(lambda: not workspace.faults.left_for(method))
    again = False
    while True:
        try:
            await ended(gateway, run, again=again)
        except SlackUnavailable:
            again = True
        else:
            break
    assert only(workspace, run).shown == "Once upon a time there was"
    check_over(workspace, run)


async def test_who_leaves_a_run_ends_its_stream(workspace: Workspace, gateway: SlackGateway) -> None:
    """Nobody else could add to it; whoever goes on finds it as one that is drawn."""
    run = await begun(gateway, workspace, "Once upon a")
    await gateway.show_answer(run, "Once upon a time")
    await gateway.leave(run)
    message = only(workspace, run)
    assert not message.in_progress
    assert message.metadata
    assert "Once upon a time" in message.shown
    assert "✍️" in message.shown


async def test_the_stream_of_another_run_in_the_thread_is_left_alone(
    workspace: Workspace, gateway: SlackGateway
) -> None:
    """As long as an earlier message may still be answered, a later one neither streams nor takes one for its own."""
    run = await begun(gateway, workspace, "Once upon a")
    reply = replace(run, run_id="reply", root_ts="1.000000", answer_ts=None, team_id=run.team_id)
    await gateway.show_answer(reply, "Something else entirely")
    workspace.faults.add("chat.postMessage", ServerError())
    with pytest.raises(SlackUnavailable):
        await gateway.carry_out(do.PostAnswer(), reply, "reply", again=False, writes_alone=False)
    ts = await gateway.carry_out(do.PostAnswer(), reply, "reply", again=True, writes_alone=False)
    first, second = thread(workspace, run)
    assert first.in_progress
    assert second.ts == ts
    await ended(gateway, run)
    assert (first.shown, first.in_progress) == ("Once upon a", False)
    assert "Something else" in second.shown


async def test_one_run_streams_one_text_at_a_time(workspace: Workspace, gateway: SlackGateway) -> None:
    """The text of the next segment may begin before the end of the one before is drawn."""
    run = await begun(gateway, workspace, "Before the form")
    resumed = replace(run, segment=1, answer_ts=None)
    await gateway.show_answer(resumed, "After the form")
    ts = await gateway.carry_out(do.PostAnswer(1), resumed, "after", again=False)
    first, second = thread(workspace, run)
    assert not first.in_progress
    assert first.metadata
    assert first.shown == "Before the form"
    assert (second.ts, second.in_progress) == (ts, True)


# --- untrusted text ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
async def test_no_text_does_harm_wherever_it_is_cut(workspace: Workspace, gateway: SlackGateway, text: str) -> None:
    """At no moment of being streamed, whatever was added by then."""
    whole = f"Words before it. {text} and words after it\n\n{text}\n\nThe end"
    run = await begun(gateway, workspace, whole[:14])
    for size in range(15, len(whole) + 1):
        await gateway.show_answer(run, whole[:size])
        await gateway._board.settle((run.channel_id, str(run.answer_ts)), draw=True)
    await ended(gateway, run)
    for message in thread(workspace, run):
        for version in message.history:
            assert version.pings == frozenset()
            assert not harm(version.content.text, version.content.blocks)
    check_over(workspace, run)
