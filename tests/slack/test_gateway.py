"""The gateway against the simulated workspace, over real sockets."""

from __future__ import annotations

import asyncio
import gc
import socket
import weakref
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from slack_sdk.web.async_client import AsyncWebClient

from bot.core import effects as do
from bot.core.model import Addressed, FormStatus, Progress, Run, RunStatus, SegmentText
from bot.errors import ChannelUnreachable, SlackRejected, SlackUnauthorized, SlackUnavailable
from bot.playground.slack import Message, SlackServer, Workspace
from bot.playground.slack.faults import Delay, LostResponse, RateLimited, Refuse, ServerError
from bot.playground.slack.rate_limits import RateLimits
from bot.playground.slack.state import Content
from bot.playground.slack.tickets import Destination
from bot.slack.delivery.limits import Gate
from bot.slack.gateway import SlackGateway
from bot.slack.messages.message import MESSAGES
from bot.slack.messages.result import answer_messages
from tests.factories import make_form, make_run, make_submission
from tests.slack.reading import texts

QUICK = 10_000.0
"""How many times its published limits the workspace allows, so that nothing waits."""


@pytest.fixture
async def workspace() -> AsyncIterator[Workspace]:
    """A workspace on the network; ann is everywhere, ben not in #content, the bot not in #random.

    It streams nothing: that is the matter of `test_native_streams`.
    """
    workspace = Workspace(
        people=["ann", "ben"],
        channels={"content": ["ann", "bot"], "random": ["ann", "ben"]},
        rate_limits=RateLimits.off(),
        streams_in=(),
    )
    async with SlackServer(workspace):
        yield workspace


@pytest.fixture
async def gateway(workspace: Workspace) -> AsyncIterator[SlackGateway]:
    """A gateway into the workspace that shows progress at once."""
    client = AsyncWebClient(token=workspace.bot_token, base_url=f"{workspace.url}/api/")
    async with SlackGateway(client, QUICK) as gateway:
        yield gateway


def run_in(workspace: Workspace, channel: str = "content", **changes: Any) -> Run:
    """Return ann's run in a channel."""
    place, ann = workspace.channel(channel), workspace.person("ann")
    return make_run(
        team_id=workspace.team_id, channel_id=place.id, starter_id=ann.id, created_at=datetime.now(UTC), **changes
    )


async def running(gateway: SlackGateway, workspace: Workspace, **changes: Any) -> Run:
    """Post a run's root message and return the run as it is followed."""
    run = run_in(workspace)
    ts = await gateway.carry_out(do.PostRoot(), run, "root-post", again=False)
    known = {"workflow_run_id": "w", "task_id": "t", "started_at": run.created_at, "since": run.created_at}
    return replace(run, **{"thread_ts": ts, "root_ts": ts, "status": RunStatus.RUNNING, **known, **changes})


def only(workspace: Workspace, **conditions: str) -> Message:
    """Return the only message like this."""
    (message,) = workspace.find_all(**conditions)
    return message


def response_url(workspace: Workspace, channel: str) -> str:
    """Return where a command of ann's may be answered."""
    destination = Destination(workspace.channel(channel), workspace.person("ann").id, None)
    return f"{workspace.url}/{workspace.tickets.new_response_url(destination)}"


def methods(workspace: Workspace) -> list[str]:
    """Return the calls so far."""
    return [call.method for call in workspace.calls]


# --- posting ---------------------------------------------------------------------------------------------------------


async def test_a_root_message_is_posted_with_its_post_id(workspace: Workspace, gateway: SlackGateway) -> None:
    """In the channel, without unfurling what a model may have written."""
    ts = await gateway.carry_out(do.PostRoot(), run_in(workspace), "post-1", again=False)
    message = only(workspace, channel="content")
    assert message.ts == ts
    assert message.is_root
    assert message.metadata == {
        "event_type": "dify_slack_bot_post",
        "event_payload": {"post_id": "post-1", "part": 0},
    }
    call = workspace.calls[-1]
    assert {call.arguments["unfurl_links"], call.arguments["unfurl_media"]} <= {False, "false", "0"}
    assert call.arguments["parse"] == "none"


async def test_a_form_stands_in_the_thread_and_mentions_who_is_asked(
    workspace: Workspace, gateway: SlackGateway
) -> None:
    """Its message's `ts` is the last part's."""
    form = make_form(message_ts=None, content="Draft\n\n" + "word " * 4_000 + "{{#$output.feedback#}}")
    run = await running(gateway, workspace, forms=(form,))
    ts = await gateway.carry_out(do.PostForm("form-1"), run, "form-post", again=False)
    replies = workspace.channel("content").replies(str(run.thread_ts))
    assert len(replies) > 2
    assert replies[-1].ts == ts
    assert replies[-1].buttons == ["Approve", "Regenerate with feedback", "Open in window"]
    assert replies[-1].pings == {"@ann"}


async def test_a_lost_response_is_found_again_instead_of_posted_twice(
    workspace: Workspace, gateway: SlackGateway
) -> None:
    """The post was carried out, its answer was cut off (slack-platform §8.3)."""
    run = run_in(workspace)
    workspace.faults.add("chat.postMessage", LostResponse())
    with pytest.raises(SlackUnavailable) as lost:
        await gateway.carry_out(do.PostRoot(), run, "post-1", again=False)
    assert lost.value.sent
    ts = await gateway.carry_out(do.PostRoot(), run, "post-1", again=True)
    assert only(workspace, channel="content").ts == ts


async def test_an_unknown_post_is_posted_at_the_second_try(workspace: Workspace, gateway: SlackGateway) -> None:
    """Another run's post does not pass for it."""
    await gateway.carry_out(do.PostRoot(), run_in(workspace), "other", again=False)
    ts = await gateway.carry_out(do.PostRoot(), run_in(workspace), "post-1", again=True)
    assert workspace.channel("content").roots[-1].ts == ts
    assert len(workspace.channel("content").roots) == 2


async def test_only_the_missing_parts_of_a_long_result_follow(workspace: Workspace, gateway: SlackGateway) -> None:
    """Even by another process: what is in the thread says which are there."""
    run = await running(gateway, workspace, status=RunStatus.SUCCEEDED, outputs={"text": "word " * 6_000})
    workspace.faults.add(
        "chat.postMessage", ServerError(), when=lambda call: "'part': 2" in str(call) or '"part": 2' in str(call)
    )
    with pytest.raises(SlackUnavailable):
        await gateway.carry_out(do.PostResult(), run, "result", again=False)
    async with SlackGateway(AsyncWebClient(token=workspace.bot_token, base_url=f"{workspace.url}/api/")) as second:
        await second.carry_out(do.PostResult(), run, "result", again=True)
    parts = [message.metadata or {} for message in workspace.channel("content").replies(str(run.thread_ts))]
    assert [part["event_payload"]["part"] for part in parts] == [0, 1, 2, 3]


async def test_after_a_429_nothing_is_looked_up(workspace: Workspace, gateway: SlackGateway) -> None:
    """Slack surely did nothing, and reading history is the scarcest call of all (slack-platform §8.1)."""
    run = run_in(workspace)
    workspace.faults.add("chat.postMessage", RateLimited(retry_after=1))
    with pytest.raises(SlackUnavailable) as limited:
        await gateway.carry_out(do.PostRoot(), run, "post-1", again=False)
    assert (limited.value.retry_after, limited.value.sent) == (1.0, False)
    await gateway.carry_out(do.PostRoot(), run, "post-1", again=True)
    assert methods(workspace) == ["chat.postMessage", "chat.postMessage"]


async def test_what_another_process_posted_between_two_tries_is_found(workspace: Workspace) -> None:
    """Slack refused the first try, so this process knows of no post; the other one died before it could say so."""
    client = AsyncWebClient(token=workspace.bot_token, base_url=f"{workspace.url}/api/")
    async with SlackGateway(client, QUICK, shared=True) as one, SlackGateway(client, QUICK, shared=True) as other:
        run = run_in(workspace)
        workspace.faults.add("chat.postMessage", RateLimited(retry_after=0))
        with pytest.raises(SlackUnavailable) as limited:
            await one.carry_out(do.PostRoot(), run, "post-1", again=False)
        assert not limited.value.sent
        ts = await other.carry_out(do.PostRoot(), run, "post-1", again=False)
        assert await one.carry_out(do.PostRoot(), run, "post-1", again=True) == ts
    assert only(workspace, channel="content").ts == ts


async def test_a_429_in_the_middle_of_a_long_result_does_not_pass_for_nothing_sent(
    workspace: Workspace, gateway: SlackGateway
) -> None:
    """Whoever tries next has to look which parts are there."""
    run = await running(gateway, workspace, status=RunStatus.SUCCEEDED, outputs={"text": "word " * 6_000})
    workspace.faults.add(
        "chat.postMessage", RateLimited(1), when=lambda call: "'part': 2" in str(call) or '"part": 2' in str(call)
    )
    with pytest.raises(SlackUnavailable) as limited:
        await gateway.carry_out(do.PostResult(), run, "result", again=False)
    assert (limited.value.retry_after, limited.value.sent) == (1.0, True)


async def test_a_dropped_connection_is_not_tried_again_by_itself(workspace: Workspace, gateway: SlackGateway) -> None:
    """The SDK's default would post twice (slack-platform §8.2)."""
    workspace.faults.add("chat.postMessage", LostResponse(), times=2)
    with pytest.raises(SlackUnavailable):
        await gateway.carry_out(do.PostRoot(), run_in(workspace), "post-1", again=False)
    assert len(workspace.channel("content").roots) == 1


async def test_no_connection_means_nothing_was_sent(workspace: Workspace) -> None:
    """So it can be sent again without a look."""
    with socket.socket() as nobody_listens:
        nobody_listens.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{nobody_listens.getsockname()[1]}/api/"
        async with SlackGateway(AsyncWebClient(token="xoxb-demo", base_url=address)) as gateway:
            with pytest.raises(SlackUnavailable) as unreachable:
                await gateway.carry_out(do.PostRoot(), run_in(workspace), "post-1", again=False)
    assert not unreachable.value.sent


async def test_a_channel_without_the_bot_is_unreachable(workspace: Workspace, gateway: SlackGateway) -> None:
    """The starter is told through the command's own reply URL, which works there."""
    with pytest.raises(ChannelUnreachable) as unreachable:
        await gateway.carry_out(do.PostRoot(), run_in(workspace, "random"), "post-1", again=False)
    assert unreachable.value.code == "not_in_channel"
    run = run_in(workspace, "random", response_url=response_url(workspace, "random"))
    await gateway.carry_out(do.TellNotStarted("not_in_channel"), run, "post-2", again=False)
    assert "Type `/invite`" in only(workspace, channel="random", visible_to="ann").shown


async def test_without_a_reply_url_the_starter_gets_a_direct_message(
    workspace: Workspace, gateway: SlackGateway
) -> None:
    """It lives for half an hour only."""
    run = run_in(workspace, "random", response_url=f"{workspace.url}/commands/99/gone")
    await gateway.carry_out(do.TellNotStarted("not_in_channel"), run, "post-1", again=False)
    assert "Type `/invite`" in only(workspace, channel="@ann").shown


async def test_a_wrong_command_is_answered_privately(workspace: Workspace, gateway: SlackGateway) -> None:
    """Through its reply URL, without unfurling what somebody may have written."""

    def is_quiet(body: dict[str, Any]) -> bool:
        return body["unfurl_links"] is False and body["unfurl_media"] is False

    workspace.faults.add("response_url", Delay(0), when=is_quiet)
    effect = do.TellNotStartable(response_url(workspace, "random"), ("“topik” is unknown.",), "/dify review topic=tea")
    await gateway.carry_out(effect, None, "post-1", again=False)
    assert not workspace.faults.left_for("response_url")
    assert "/dify review topic=tea" in only(workspace, channel="random", visible_to="ann").shown
    with pytest.raises(SlackRejected):
        await gateway.carry_out(
            replace(effect, response_url=f"{workspace.url}/commands/99/gone"), None, "p", again=False
        )


async def test_in_a_channel_an_answer_is_seen_by_one_person(workspace: Workspace, gateway: SlackGateway) -> None:
    """In the thread of their message, if it stands in one."""
    ann, place = workspace.person("ann"), workspace.channel("content")
    root = await ann.post("content", "Lunch?")
    for thread_ts in (None, root.ts):
        effect = do.OfferStart(Addressed(place.id, root.ts, ann.id, thread_ts), "/dify")
        assert await gateway.carry_out(effect, None, f"post-{thread_ts}", again=False) is None
    answers = workspace.find_all(visible_to="ann", button="Run a Dify app")
    assert [each.thread_ts for each in answers] == [None, root.ts]
    assert place.messages == [root]


@pytest.mark.parametrize("in_thread", [False, True])
async def test_in_direct_messages_an_answer_is_posted_once_and_stays(
    workspace: Workspace, gateway: SlackGateway, in_thread: bool
) -> None:
    """Whatever comes in between, and whatever else was answered there."""
    ann, place = workspace.person("ann"), workspace.direct_messages(workspace.person("ann"))
    first, second = await ann.post("@ann", "Hi"), await ann.post("@ann", "Hi")
    thread_ts = first.ts if in_thread else None
    other, effect = (
        do.OfferStart(Addressed(place.id, message.ts, ann.id, thread_ts), "/dify") for message in (first, second)
    )
    await gateway.carry_out(other, None, "other", again=False)
    workspace.faults.add("chat.postMessage", LostResponse())
    with pytest.raises(SlackUnavailable):
        await gateway.carry_out(effect, None, "post-1", again=False)
    await gateway.carry_out(effect, None, "post-1", again=True)
    answers = workspace.find_all(channel="@ann", button="Run a Dify app")
    assert [each.thread_ts for each in answers] == [thread_ts] * 2


async def test_a_message_is_read_wherever_it_stands(workspace: Workspace, gateway: SlackGateway) -> None:
    """Also one with replies, of which none is taken for it."""
    ann, place = workspace.person("ann"), workspace.channel("content")
    root = await ann.share("content", [("a.png", b"PNG")], "@Dify look")
    reply = await ann.post("content", "And <here>", root.ts)
    whose = {"team_id": workspace.team_id, "bot_user_id": workspace.bot.user_id}
    read = await gateway.picked(place.id, root.ts, **whose)
    assert read is not None
    assert (read.text, read.team_id, read.channel_id) == ("look", workspace.team_id, place.id)
    assert [file.name for file in read.files] == ["a.png"]
    below = await gateway.picked(place.id, reply.ts, **whose)
    assert below is not None
    assert (below.text, below.files) == ("And <here>", ())


async def test_a_message_that_is_gone_is_told_from_one_that_cannot_be_read(
    workspace: Workspace, gateway: SlackGateway
) -> None:
    whose = {"team_id": workspace.team_id, "bot_user_id": workspace.bot.user_id}
    message = await workspace.person("ann").post("content", "Hi")
    workspace.delete(message)
    assert await gateway.picked(message.channel.id, message.ts, **whose) is None
    for channel_id in ("C0NOWHERE", workspace.channel("random").id):
        with pytest.raises(ChannelUnreachable):
            await gateway.picked(channel_id, message.ts, **whose)


async def test_blocks_slack_refuses_go_once_more_as_plain_text(
    workspace: Workspace, gateway: SlackGateway, caplog: pytest.LogCaptureFixture
) -> None:
    """And the log says where Slack saw the fault."""
    workspace.faults.add("chat.postMessage", Refuse("invalid_blocks"))
    await gateway.carry_out(do.PostRoot(), run_in(workspace), "post-1", again=False)
    message = only(workspace, channel="content")
    assert not message.blocks
    assert "⏳ Starting" in message.shown
    assert "topic" in message.shown
    assert "invalid_blocks" in caplog.text


# --- redrawing -------------------------------------------------------------------------------------------------------


async def test_a_decided_form_is_redrawn(workspace: Workspace, gateway: SlackGateway) -> None:
    """Fields and buttons give way to the outcome."""
    form = make_form(message_ts=None)
    run = await running(gateway, workspace, status=RunStatus.PAUSED, forms=(form,))
    ts = await gateway.carry_out(do.PostForm("form-1"), run, "form-post", again=False)
    answer = make_submission(user_id=workspace.person("ann").id)
    decided = replace(form, message_ts=ts, status=FormStatus.SUBMITTED, submission=answer)
    posted = await gateway.carry_out(do.RefreshForm("form-1"), replace(run, forms=(decided,)), "refresh", again=False)
    assert posted is None, "no message was posted"
    message = workspace.channel("content").message(ts)
    assert message is not None
    assert not message.buttons
    assert not message.fields
    assert "✅ *Approve*" in message.shown
    assert [len(version.buttons) for version in message.history] == [3, 0]


async def test_a_form_that_somebody_deleted_is_posted_anew(workspace: Workspace, gateway: SlackGateway) -> None:
    """Its outcome is told nowhere else; a deleted root message is left alone.

    The new message's `ts` comes back, so that the next redraw finds it; tried again it is not posted twice.
    """
    form = make_form(message_ts="1.000000", status=FormStatus.SUBMITTED, submission=make_submission())
    run = await running(gateway, workspace, forms=(form,))
    ts = await gateway.carry_out(do.RefreshForm("form-1"), run, "refresh", again=False)
    assert await gateway.carry_out(do.RefreshForm("form-1"), run, "refresh", again=True) == ts
    assert only(workspace, channel="content", thread=str(run.thread_ts)).ts == ts
    with pytest.raises(SlackRejected) as gone:
        await gateway.carry_out(do.RefreshRoot(), replace(run, root_ts="1.000000"), "root", again=False)
    assert gone.value.code == "message_not_found"


async def test_the_result_takes_the_place_of_the_streamed_text(workspace: Workspace, gateway: SlackGateway) -> None:
    """A long one goes on below; doing it again adds nothing."""
    run = await running(gateway, workspace)
    answer_ts = await gateway.carry_out(do.PostAnswer(), run, "answer", again=False)
    ended = replace(run, status=RunStatus.SUCCEEDED, answer_ts=answer_ts, outputs={"text": "word " * 3_000})
    await gateway.carry_out(do.PostResult(), ended, "result", again=False)
    await gateway.carry_out(do.PostResult(), ended, "result", again=True)
    first, second = workspace.channel("content").replies(str(run.thread_ts))
    assert first.ts == answer_ts
    assert (first.shown + second.shown).count("word") == 3_000


async def test_a_private_notice_goes_to_one_person_in_the_thread(workspace: Workspace, gateway: SlackGateway) -> None:
    """Nobody else sees it."""
    run = await running(gateway, workspace)
    await gateway.carry_out(do.TellCannotStop(workspace.person("ann").id), run, "tell", again=False)
    assert only(workspace, channel="content", visible_to="ann", thread=str(run.thread_ts))
    assert not workspace.channel("content").replies(str(run.thread_ts))


async def test_who_cannot_be_told_privately_is_told_in_the_thread(workspace: Workspace, gateway: SlackGateway) -> None:
    """By a mention; done again it is not doubled."""
    run = await running(gateway, workspace)
    effect = do.TellCannotStop(workspace.person("ben").id)
    await gateway.carry_out(effect, run, "tell", again=False)
    await gateway.carry_out(effect, run, "tell", again=True)
    message = only(workspace, channel="content", thread=str(run.thread_ts))
    assert message.pings == {"@ben"}


# --- progress --------------------------------------------------------------------------------------------------------


def shows(workspace: Workspace, ts: str | None, text: str) -> bool:
    """Say whether a message reads like this now."""
    message = workspace.channel("content").message(ts)
    return message is not None and text in message.shown


async def test_progress_is_drawn_on_the_root_message(workspace: Workspace, gateway: SlackGateway) -> None:
    """The newest state, whatever came between."""
    run = await running(gateway, workspace)
    for done in range(100):
        await gateway.show_progress(run, Progress("Draft", done))
    await workspace.wait_for(lambda: shows(workspace, run.thread_ts, "99 steps done"))
    assert methods(workspace).count("chat.update") < 50


async def test_progress_that_is_heard_while_the_root_message_is_redrawn_is_not_forgotten(
    workspace: Workspace, gateway: SlackGateway
) -> None:
    """The next step may be minutes away."""
    run = await running(gateway, workspace)
    redrawing = asyncio.create_task(gateway.carry_out(do.RefreshRoot(), run, "refresh", again=False))
    await asyncio.sleep(0)  # it has read what was heard until now
    await gateway.show_progress(run, Progress("Draft", 1))
    await redrawing
    await workspace.wait_for(lambda: shows(workspace, run.root_ts, "Draft"))


async def test_progress_is_not_drawn_once_the_run_left_its_state(workspace: Workspace, gateway: SlackGateway) -> None:
    """A late word of the stream, about a run that has paused since, changes nothing."""
    run = await running(gateway, workspace)
    paused = replace(run, status=RunStatus.PAUSED, since=run.created_at + timedelta(seconds=5))
    await gateway.carry_out(do.RefreshRoot(), paused, "refresh", again=False)
    await gateway.show_progress(run, Progress("Draft", 1))
    other = await running(gateway, workspace)
    await gateway.show_progress(replace(other, run_id="run-2"), Progress("Other", 1))
    await workspace.wait_for(lambda: shows(workspace, other.thread_ts, "Other"))
    assert shows(workspace, run.thread_ts, "Paused in Dify")


async def test_an_answer_that_waits_for_a_connection_is_seen_to(workspace: Workspace, gateway: SlackGateway) -> None:
    """Though the root message was drawn before the answer was given."""
    run = await running(gateway, workspace, status=RunStatus.PAUSED, forms=(make_form(),))
    await gateway.carry_out(do.RefreshRoot(), run, "refresh", again=False)
    answered = make_form(status=FormStatus.SUBMITTING, submission=make_submission())
    await gateway.show_progress(replace(run, forms=(answered,)), Progress(waiting_for_dify=True))
    await workspace.wait_for(lambda: shows(workspace, run.thread_ts, "Waiting for a free connection"))


async def test_late_words_change_nothing_about_a_run_that_ended(workspace: Workspace, gateway: SlackGateway) -> None:
    """Whoever says them may not have heard of the end."""
    run = await running(gateway, workspace)
    answer_ts = await gateway.carry_out(do.PostAnswer(), run, "answer", again=False)
    ended = replace(run, status=RunStatus.SUCCEEDED, answer_ts=answer_ts, outputs={"text": "The end"})
    await gateway.carry_out(do.RefreshRoot(), ended, "refresh", again=False)
    await gateway.carry_out(do.PostResult(), ended, "result", again=False)
    late = replace(run, answer_ts=answer_ts)
    await gateway.show_progress(late, Progress("Late", 1))
    await gateway.show_answer(late, "The middle")
    other = replace(await running(gateway, workspace), run_id="run-2")
    await gateway.show_progress(other, Progress("Other", 1))
    await workspace.wait_for(lambda: shows(workspace, other.thread_ts, "Other"))
    assert shows(workspace, run.thread_ts, "✅ Done")
    assert shows(workspace, answer_ts, "The end")


async def test_the_text_of_a_run_that_ended_is_forgotten(workspace: Workspace, gateway: SlackGateway) -> None:
    """Of long texts and many runs, only what somebody still writes stays in memory."""

    class Text(str):
        """A text that can be watched."""

    run = await running(gateway, workspace)
    text = Text("Once upon a time")
    watched = weakref.ref(text)
    await gateway.show_answer(run, text)
    del text
    answer_ts = await gateway.carry_out(do.PostAnswer(), run, "answer", again=False)
    assert watched() is not None
    ended = replace(run, status=RunStatus.FAILED, error="no quota", answer_ts=answer_ts)
    await gateway.carry_out(do.EndAnswer(0, str(answer_ts)), ended, "end", again=False)
    gc.collect()
    assert watched() is None
    assert shows(workspace, answer_ts, "Once upon a time")


async def test_text_that_comes_before_its_message_is_in_it(workspace: Workspace, gateway: SlackGateway) -> None:
    """And what comes after goes there, too, before the run is known to have it."""
    run = await running(gateway, workspace)
    await gateway.show_answer(run, "Once")
    ts = await gateway.carry_out(do.PostAnswer(), run, "answer", again=False)
    assert shows(workspace, ts, "Once")
    await gateway.show_answer(run, "Once upon")
    await workspace.wait_for(lambda: shows(workspace, ts, "Once upon"))
    await gateway.show_answer(replace(run, answer_ts=ts), "Once upon a time")
    await workspace.wait_for(lambda: shows(workspace, ts, "a time"))


async def test_the_text_of_a_new_segment_starts_afresh(workspace: Workspace, gateway: SlackGateway) -> None:
    """After each form the run writes below it."""
    run = await running(gateway, workspace)
    await gateway.show_answer(run, "before the form")
    first = await gateway.carry_out(do.PostAnswer(), run, "answer-1", again=False)
    resumed = replace(run, segment=1)
    second = await gateway.carry_out(do.PostAnswer(1), resumed, "answer-2", again=False)
    await gateway.show_answer(resumed, "after the form")
    await workspace.wait_for(lambda: shows(workspace, second, "after the form"))
    assert shows(workspace, first, "before the form")


async def test_a_text_that_was_heard_whole_is_shown_whole_once_the_run_waits(
    workspace: Workspace, gateway: SlackGateway
) -> None:
    """Even where Slack took no progress: it does not look as if more were to come."""
    run = await running(gateway, workspace)
    ts = await gateway.carry_out(do.PostAnswer(), run, "answer", again=False)
    assert shows(workspace, ts, "✍️ …")
    workspace.faults.add("chat.update", Refuse("internal_error"))
    await gateway.show_answer(replace(run, answer_ts=ts), "Once upon a time")
    await workspace.wait_for(lambda: "chat.update" in methods(workspace))
    heard = (SegmentText.of(0, "Once upon a time"),)
    paused = replace(run, status=RunStatus.PAUSED, answer_ts=ts, texts=heard)
    assert await gateway.carry_out(do.EndAnswer(0, str(ts)), paused, "end", again=False) == ts
    assert shows(workspace, ts, "Once upon a time")
    assert not shows(workspace, ts, "✍️")


async def test_it_is_known_whether_a_text_stands_there_whole(workspace: Workspace, gateway: SlackGateway) -> None:
    """Then the result need not say it again. Who has not heard it goes by the marks that it bears."""
    run = await running(gateway, workspace)
    ts = await gateway.carry_out(do.PostAnswer(), run, "answer", again=False)
    paused = replace(run, status=RunStatus.PAUSED, answer_ts=ts, texts=(SegmentText.of(0, "Once upon a time"),))
    end = do.EndAnswer(0, str(ts))
    client = AsyncWebClient(token=workspace.bot_token, base_url=f"{workspace.url}/api/")
    async with SlackGateway(client, QUICK, shared=True) as other:
        assert await other.carry_out(end, paused, "end", again=False) is None
        assert shows(workspace, ts, "may not be complete")
        assert await other.carry_out(end, paused, "end", again=True) is None
        await gateway.show_answer(replace(run, answer_ts=ts), "Once")
        assert await gateway.carry_out(end, paused, "end", again=False) is None
        await gateway.show_answer(replace(run, answer_ts=ts), "Once upon a time")
        assert await gateway.carry_out(end, paused, "end", again=False) == ts
        assert await other.carry_out(end, paused, "end", again=True) == ts
        assert not shows(workspace, ts, "may not be complete")
    await gateway.show_answer(replace(run, answer_ts=ts), "Once upon a time")
    await gateway.lose_answer(replace(run, answer_ts=ts))
    assert await gateway.carry_out(end, paused, "end", again=False) is None


async def test_a_text_that_is_over_before_its_message_is_posted_is_posted_whole(
    workspace: Workspace, gateway: SlackGateway
) -> None:
    """A run may write and pause within a moment; that the text has ended needs no word then."""
    run = await running(gateway, workspace)
    await gateway.show_answer(run, "Once upon a time")
    paused = replace(run, status=RunStatus.PAUSED)
    ts = await gateway.carry_out(do.PostAnswer(), paused, "answer", again=False)
    assert shows(workspace, ts, "Once upon a time")
    assert not shows(workspace, ts, "✍️")
    before = len(workspace.calls)
    await gateway.carry_out(do.EndAnswer(0, str(ts)), paused, "end", again=False)
    assert len(workspace.calls) == before


@pytest.mark.parametrize("text", [" ", "\n\n"])
async def test_a_text_that_shows_nothing_leaves_no_message(
    workspace: Workspace, gateway: SlackGateway, text: str
) -> None:
    """A template may write out an answer that was left empty; it must not look for ever as if more were to come."""
    run = await running(gateway, workspace)
    paused = replace(run, status=RunStatus.PAUSED)
    await gateway.show_answer(run, text)
    assert await gateway.carry_out(do.PostAnswer(), paused, "never", again=False) is None
    ts = await gateway.carry_out(do.PostAnswer(), run, "answer", again=False)
    assert shows(workspace, ts, "✍️ …")
    await gateway.carry_out(do.EndAnswer(0, str(ts)), replace(paused, answer_ts=ts), "end", again=False)
    assert workspace.channel("content").replies(str(run.thread_ts)) == []


async def test_a_text_nobody_here_heard_is_not_posted_once_it_is_over(
    workspace: Workspace, gateway: SlackGateway
) -> None:
    """An earlier try may have posted it, and is found."""
    run = await running(gateway, workspace)
    paused = replace(run, status=RunStatus.PAUSED)
    assert await gateway.carry_out(do.PostAnswer(), paused, "never", again=True) is None
    ts = await gateway.carry_out(do.PostAnswer(), run, "answer", again=False)
    assert await gateway.carry_out(do.PostAnswer(), paused, "answer", again=True) == ts
    assert [message.ts for message in workspace.channel("content").replies(str(run.thread_ts))] == [ts]


async def test_progress_that_is_forgotten_is_not_drawn(workspace: Workspace, gateway: SlackGateway) -> None:
    """Others have taken the runs over, and drawn them since."""
    run = await running(gateway, workspace)
    other = replace(await running(gateway, workspace), run_id="run-2")
    await gateway.show_progress(run, Progress("Old", 1))
    await gateway.forget()
    await gateway.show_progress(other, Progress("New", 1))
    await workspace.wait_for(lambda: shows(workspace, other.thread_ts, "New"))
    assert not shows(workspace, run.thread_ts, "Old")


@pytest.mark.parametrize("heard_again", [False, True])
async def test_a_text_of_which_a_part_was_not_heard_says_so_once_it_is_over(
    workspace: Workspace, gateway: SlackGateway, heard_again: bool
) -> None:
    """Unless the whole of it is heard after all."""
    run = await running(gateway, workspace)
    await gateway.show_answer(run, "Once upon")
    ts = await gateway.carry_out(do.PostAnswer(), run, "answer", again=False)
    await gateway.lose_answer(run)
    assert not shows(workspace, ts, "may not be complete")
    if heard_again:
        await gateway.show_answer(run, "Once upon a time")
    paused = replace(run, status=RunStatus.PAUSED, answer_ts=ts)
    await gateway.carry_out(do.EndAnswer(0, str(ts)), paused, "end", again=False)
    assert shows(workspace, ts, "Once upon")
    assert not shows(workspace, ts, "✍️")
    assert shows(workspace, ts, "may not be complete") is not heard_again


async def test_nothing_is_sent_where_another_process_may_be_sending_the_same(workspace: Workspace) -> None:
    """Progress is dropped; what matters is tried again, without a search where surely nothing was sent."""
    client = AsyncWebClient(token=workspace.bot_token, base_url=f"{workspace.url}/api/")
    lease = [True]
    async with SlackGateway(client, QUICK, may_send=lambda: lease[0]) as gateway:
        run = await running(gateway, workspace)
        lease[0], before = False, len(workspace.calls)
        await gateway.show_progress(run, Progress("Late", 1))
        path = workspace.tickets.new_response_url(
            Destination(workspace.channel("content"), workspace.person("ann").id, None)
        )
        reply = do.TellNotStartable(f"{workspace.url}/{path}", ("No topic.",))
        for effect, its in ((do.PostStuck(), run), (do.RefreshRoot(), run), (reply, None)):
            with pytest.raises(SlackUnavailable) as refusal:
                await gateway.carry_out(effect, its, "post", again=False)
            assert not refusal.value.sent
        assert len(workspace.calls) == before
        assert workspace.find(visible_to="ann", text="No topic.") is None
        lease[0] = True
        await gateway.carry_out(do.PostStuck(), run, "post", again=True)
        assert methods(workspace)[before:] == ["chat.postMessage"]


async def test_a_lease_that_lapses_while_a_call_waits_its_turn_keeps_it_back(workspace: Workspace) -> None:
    client = AsyncWebClient(token=workspace.bot_token, base_url=f"{workspace.url}/api/")
    lease = [True]

    async def lapse(seconds: float) -> None:
        lease[0] = False
        await asyncio.sleep(seconds)

    async with SlackGateway(client, QUICK, may_send=lambda: lease[0]) as gateway:
        run = await running(gateway, workspace)
        gateway._web.gate = Gate(QUICK, sleep=lapse)
        gateway._web.gate.hold("chat.postMessage", 0.1)
        before = len(workspace.calls)
        with pytest.raises(SlackUnavailable) as refusal:
            await gateway.carry_out(do.PostStuck(), run, "post", again=False)
        assert not refusal.value.sent
        assert len(workspace.calls) == before


@pytest.mark.parametrize("status", [RunStatus.PAUSED, RunStatus.FAILED])
async def test_a_text_that_another_process_left_half_written_does_not_look_alive(
    workspace: Workspace, gateway: SlackGateway, status: RunStatus
) -> None:
    """It stays, with a word that its end may be missing."""
    run = await running(gateway, workspace)
    ts = await gateway.carry_out(do.PostAnswer(), run, "answer", again=False)
    await gateway.show_answer(replace(run, answer_ts=ts), "Once upon")
    await workspace.wait_for(lambda: shows(workspace, ts, "Once upon"))
    later = replace(run, status=status, answer_ts=ts)
    async with SlackGateway(
        AsyncWebClient(token=workspace.bot_token, base_url=f"{workspace.url}/api/"), QUICK
    ) as restarted:
        await restarted.carry_out(do.EndAnswer(0, str(ts)), later, "end", again=True)
    assert shows(workspace, ts, "Once upon")
    assert shows(workspace, ts, "may not be complete")
    assert not shows(workspace, ts, "✍️")


async def test_who_only_posted_a_text_for_another_process_does_not_wipe_it_out(
    workspace: Workspace, gateway: SlackGateway
) -> None:
    """The one that follows the run wrote it."""
    run = await running(gateway, workspace)
    async with SlackGateway(
        AsyncWebClient(token=workspace.bot_token, base_url=f"{workspace.url}/api/"), QUICK
    ) as other:
        ts = await other.carry_out(do.PostAnswer(), run, "answer", again=False)
        await gateway.show_answer(replace(run, answer_ts=ts), "Once upon")
        await workspace.wait_for(lambda: shows(workspace, ts, "Once upon"))
        paused = replace(run, status=RunStatus.PAUSED, answer_ts=ts)
        await other.carry_out(do.EndAnswer(0, str(ts)), paused, "end", again=False)
    assert shows(workspace, ts, "Once upon")


async def test_nothing_is_drawn_of_a_run_that_was_left_to_other_processes(workspace: Workspace) -> None:
    """What they draw then stays: progress that waited its turn is dropped, and a text is drawn to its end before."""
    client = AsyncWebClient(token=workspace.bot_token, base_url=f"{workspace.url}/api/")
    async with SlackGateway(client, rate_factor=1.0, shared=True) as gateway, SlackGateway(client, QUICK) as other:
        run = await running(gateway, workspace)
        ts = await gateway.carry_out(do.PostAnswer(), run, "answer", again=False)
        await gateway.show_answer(replace(run, answer_ts=ts), "Once")
        await workspace.wait_for(lambda: shows(workspace, ts, "Once"))
        # Seconds have to pass before these are drawn.
        await gateway.show_answer(replace(run, answer_ts=ts), "Once upon a time")
        await gateway.show_progress(run, Progress("Draft", 1))
        paused = replace(run, status=RunStatus.PAUSED, since=datetime.now(UTC), answer_ts=ts)
        await gateway.leave(paused)
        assert shows(workspace, ts, "Once upon a time")
        assert not shows(workspace, ts, "✍️")
        before = len(workspace.calls)
        await other.carry_out(do.EndAnswer(0, str(ts)), paused, "end", again=False)
        assert methods(workspace)[before:] == ["conversations.replies"]
        assert gateway._board.next_due() == (None, 0.0)


async def test_a_text_that_is_left_while_its_message_is_posted_gets_its_last_word_with_it(workspace: Workspace) -> None:
    """Once the post is saved others may say that the text is over, and nothing may be drawn over that."""
    client = AsyncWebClient(token=workspace.bot_token, base_url=f"{workspace.url}/api/")
    meanwhile: list[Callable[[], Coroutine[Any, Any, None]]] = []
    tasks: list[asyncio.Task[None]] = []

    def may_send() -> bool:
        tasks.extend(asyncio.create_task(work()) for work in meanwhile)
        meanwhile.clear()
        return True

    async with (
        SlackGateway(client, QUICK, shared=True, may_send=may_send) as gateway,
        SlackGateway(client, QUICK, shared=True) as other,
    ):
        run = await running(gateway, workspace)
        paused = replace(run, status=RunStatus.PAUSED)

        async def go_on_and_leave() -> None:
            await gateway.show_answer(run, "Once upon a time")
            await gateway.leave(paused)

        await gateway.show_answer(run, "Once")
        meanwhile.append(go_on_and_leave)
        ts = await gateway.carry_out(do.PostAnswer(), run, "answer", again=False)
        await asyncio.gather(*tasks)
        assert shows(workspace, ts, "Once upon a time")
        assert not shows(workspace, ts, "✍️")
        assert gateway._board.next_due() == (None, 0.0)
        await other.carry_out(do.EndAnswer(0, str(ts)), replace(paused, answer_ts=ts), "end", again=False)
        assert not shows(workspace, ts, "may not be complete")


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("ended", [False, True])
async def test_a_text_that_is_heard_after_its_end_was_drawn_has_an_end_too(
    workspace: Workspace, shared: bool, ended: bool
) -> None:
    """A look at the run may find it waiting before its stream is read to there; the result replaces a later text."""
    client = AsyncWebClient(token=workspace.bot_token, base_url=f"{workspace.url}/api/")
    async with SlackGateway(client, QUICK, shared=shared) as gateway:
        run = await running(gateway, workspace)
        await gateway.show_answer(run, "Once")
        ts = await gateway.carry_out(do.PostAnswer(), run, "answer", again=False)
        paused = replace(run, status=RunStatus.PAUSED, answer_ts=ts)
        await gateway.carry_out(do.EndAnswer(0, str(ts)), paused, "end", again=False)
        await gateway.show_answer(replace(run, answer_ts=ts), "Once upon a time")
        await workspace.wait_for(lambda: shows(workspace, ts, "Once upon a time"))
        later = {"status": RunStatus.SUCCEEDED, "segment": 1, "answer_ts": None, "outputs": {"text": "The end"}}
        left = replace(paused, **later) if ended else paused
        await gateway.carry_out(do.RefreshRoot(), left, "refresh", again=False)
        await gateway.leave(left)
        assert shows(workspace, ts, "Once upon a time")
        assert not shows(workspace, ts, "✍️")


async def test_a_text_whose_message_was_deleted_holds_up_nothing(workspace: Workspace, gateway: SlackGateway) -> None:
    """Whether this process heard it or not, its end is no failure."""
    run = await running(gateway, workspace)
    paused = replace(run, status=RunStatus.PAUSED, answer_ts="1.000000")
    await gateway.carry_out(do.EndAnswer(0, "1.000000"), paused, "end", again=False)
    await gateway.show_answer(run, "Once upon a time")
    await gateway.carry_out(do.EndAnswer(0, "1.000000"), paused, "end", again=False)


# --- long texts ------------------------------------------------------------------------------------------------------

NUMBERS = " ".join(map(str, range(30_000)))
"""168,889 characters: more than messages hold."""


def thread(workspace: Workspace, run: Run) -> list[Message]:
    """Return what stands in a run's thread, without its root message."""
    return workspace.channel("content").replies(str(run.thread_ts))


def numbers(workspace: Workspace, run: Run) -> list[str]:
    """Return the numbers of a text in the order in which a reader of the thread finds them."""
    return [word for message in thread(workspace, run) for word in message.shown.split() if word.isdigit()]


def another(workspace: Workspace) -> SlackGateway:
    """Return a gateway that knows nothing, as after a restart or in another process."""
    return SlackGateway(AsyncWebClient(token=workspace.bot_token, base_url=f"{workspace.url}/api/"), QUICK)


def refuses_part(part: int) -> Any:
    """Return what tells a call that posts this part."""
    return lambda call: f"'part': {part}" in str(call) or f'"part": {part}' in str(call)


async def written(gateway: SlackGateway, workspace: Workspace, text: str) -> Run:
    """Stream a text until it is shown as far as messages hold it."""
    run = await running(gateway, workspace)
    await gateway.show_answer(run, text[:20_000])
    run = replace(run, answer_ts=await gateway.carry_out(do.PostAnswer(), run, "answer", again=False))
    for size in range(30_000, len(text) + 20_000, 20_000):
        await gateway.show_answer(run, text[:size])
        await workspace.wait_for(lambda heard=text[:size]: is_shown(workspace, run, heard))
    return run


def is_shown(workspace: Workspace, run: Run, text: str) -> bool:
    """Tell whether a text that is being written is shown as far as messages hold it."""
    wanted = [word for message in answer_messages(text) for word in texts(message).split() if word.isdigit()]
    *full, last = thread(workspace, run)
    marks = ["✍️" in message.shown for message in full]
    return numbers(workspace, run) == wanted and "✍️" in last.shown and not any(marks)


async def test_a_streamed_text_of_100_000_characters_arrives_whole(workspace: Workspace, gateway: SlackGateway) -> None:
    """In messages that follow each other while it is written; at its end next to nothing has to be moved."""
    text = NUMBERS[:100_000]
    run = await written(gateway, workspace, text)
    assert numbers(workspace, run) == text.split()
    paused, before = replace(run, status=RunStatus.PAUSED), len(workspace.calls)
    await gateway.carry_out(do.EndAnswer(0, str(run.answer_ts)), paused, "end", again=False)
    assert methods(workspace)[before:] == ["chat.update"]
    assert numbers(workspace, run) == text.split()
    assert len(thread(workspace, run)) == 12
    assert "✍️" not in "".join(message.shown for message in thread(workspace, run))


async def test_the_same_text_as_result_is_not_shown_twice(workspace: Workspace, gateway: SlackGateway) -> None:
    """It stands there already, but for the word that more is coming."""
    text = NUMBERS[:50_000]
    run = await written(gateway, workspace, text)
    ended, before = replace(run, status=RunStatus.SUCCEEDED, outputs={"text": text}), len(workspace.calls)
    await gateway.carry_out(do.RefreshRoot(), ended, "root", again=False)
    await gateway.carry_out(do.PostResult(), ended, "result", again=False)
    assert methods(workspace)[before:] == ["chat.update", "chat.update"]
    assert numbers(workspace, run) == text.split()


async def test_a_text_that_waits_to_be_drawn_when_the_run_ends_wipes_nothing_out(workspace: Workspace) -> None:
    """Before its result is posted nothing of it is to be forgotten, and afterwards nothing drawn."""
    client = AsyncWebClient(token=workspace.bot_token, base_url=f"{workspace.url}/api/")
    async with SlackGateway(client) as gateway:
        run = await running(gateway, workspace)
        await gateway.show_answer(run, "Once")
        ts = await gateway.carry_out(do.PostAnswer(), run, "answer", again=False)
        run = replace(run, answer_ts=ts)
        await gateway.show_answer(run, "Once upon a time")
        ended = replace(run, status=RunStatus.SUCCEEDED, outputs={"text": "Once upon a time"})
        await gateway.carry_out(do.RefreshRoot(), ended, "root", again=False)
        await gateway._board.settle((run.channel_id, str(ts)), draw=True)
        assert shows(workspace, ts, "Once")
        await gateway.carry_out(do.PostResult(), ended, "result", again=False)
        assert shows(workspace, ts, "Once upon a time")


@pytest.mark.parametrize("restarted", [False, True])
async def test_a_shorter_result_takes_the_place_of_all_messages_of_a_text(
    workspace: Workspace, gateway: SlackGateway, restarted: bool
) -> None:
    """What it has no use for goes away, also where nobody remembers it."""
    run = await written(gateway, workspace, NUMBERS[:30_000])
    assert len(thread(workspace, run)) == 4
    ended = replace(run, status=RunStatus.SUCCEEDED, outputs={"text": "12345"})
    async with another(workspace) as other:
        await (other if restarted else gateway).carry_out(do.PostResult(), ended, "result", again=False)
    assert numbers(workspace, run) == ["12345"]
    assert [message.ts for message in thread(workspace, run)] == [run.answer_ts]


async def test_a_longer_text_ends_in_a_file_of_the_whole(workspace: Workspace, gateway: SlackGateway) -> None:
    """Below its first messages, the last of which says so."""
    run = await written(gateway, workspace, NUMBERS)
    paused = replace(run, status=RunStatus.PAUSED)
    *_, last = thread(workspace, run)
    assert "the whole of it follows as a file" in last.shown
    await gateway.carry_out(do.EndAnswer(0, str(run.answer_ts)), paused, "end", again=False)
    *messages, shared = thread(workspace, run)
    (file,) = shared.content.files
    assert (file["name"], file["title"]) == (f"review-text-{run.answer_ts}.md", "Text of review")
    assert workspace.files.by_id[file["id"]].content == NUMBERS.encode()
    assert len(messages) == MESSAGES
    assert "The text goes on in the file below" in messages[-1].shown
    assert "✍️" not in "".join(message.shown for message in messages)
    before = len(workspace.calls)
    async with another(workspace) as other:
        await other.carry_out(do.EndAnswer(0, str(run.answer_ts)), paused, "end", again=True)
    assert methods(workspace)[before:] == ["conversations.replies"], "nothing is amiss"


async def test_a_file_that_was_shared_when_the_run_was_left_is_found_by_others(
    workspace: Workspace, gateway: SlackGateway
) -> None:
    """Whoever ends the text then finds that nothing is amiss."""
    run = await written(gateway, workspace, NUMBERS)
    paused = replace(run, status=RunStatus.PAUSED)
    await gateway.leave(paused)
    assert len(thread(workspace, run)) == MESSAGES + 1
    before = len(workspace.calls)
    async with another(workspace) as other:
        await other.carry_out(do.EndAnswer(0, str(run.answer_ts)), paused, "end", again=False)
    assert methods(workspace)[before:] == ["conversations.replies"]


@pytest.mark.parametrize(
    ("method", "fault", "where"),
    [
        ("files.getUploadURLExternal", LostResponse(), None),
        ("upload", LostResponse(), None),
        ("upload", ServerError(), None),
        ("files.completeUploadExternal", LostResponse(), None),
        ("files.completeUploadExternal", RateLimited(1), None),
        ("files.completeUploadExternal", ServerError(), None),
        ("chat.postMessage", LostResponse(), 7),
        ("chat.postMessage", RateLimited(1), 7),
        ("chat.postMessage", ServerError(), 0),
    ],
)
@pytest.mark.parametrize("restarted", [False, True])
@pytest.mark.parametrize("streamed", [False, True])
async def test_a_long_result_arrives_once_whatever_breaks(
    workspace: Workspace,
    gateway: SlackGateway,
    method: str,
    fault: Any,
    where: int | None,
    restarted: bool,
    streamed: bool,
) -> None:
    """Tried again by the same process or another one: every message and the file stand there once, in order."""
    run = await (written(gateway, workspace, NUMBERS[:18_000]) if streamed else running(gateway, workspace))
    ended = replace(run, status=RunStatus.SUCCEEDED, outputs={"text": NUMBERS})
    if streamed and where == 0:
        where = 3
    workspace.faults.add(method, fault, when=(lambda _: True) if where is None else refuses_part(where))
    async with another(workspace) as other:
        with pytest.raises(SlackUnavailable) as failed:
            await gateway.carry_out(do.PostResult(), ended, "result", again=False)
        again = failed.value.sent or restarted
        await (other if restarted else gateway).carry_out(do.PostResult(), ended, "result", again=again)
    *messages, shared = thread(workspace, run)
    assert [len(message.content.files) for message in (*messages, shared)] == [0] * MESSAGES + [1]
    assert workspace.files.by_id[shared.content.files[0]["id"]].content == NUMBERS.encode()
    shown = numbers(workspace, run)
    assert shown == NUMBERS.split()[: len(shown)]


@pytest.mark.parametrize("code", ["missing_scope", "file_uploads_disabled"])
@pytest.mark.parametrize("restarted", [False, True])
async def test_where_slack_takes_no_file_the_rest_goes_into_messages(
    workspace: Workspace, gateway: SlackGateway, code: str, restarted: bool
) -> None:
    """Also where another process has to go on with it."""
    run = await running(gateway, workspace)
    ended = replace(run, status=RunStatus.SUCCEEDED, outputs={"text": NUMBERS})
    workspace.faults.add("files.getUploadURLExternal", Refuse(code))
    if restarted:
        workspace.faults.add("chat.postMessage", LostResponse(), when=refuses_part(MESSAGES + 3))
        with pytest.raises(SlackUnavailable):
            await gateway.carry_out(do.PostResult(), ended, "result", again=False)
    async with another(workspace) as other:
        await (other if restarted else gateway).carry_out(do.PostResult(), ended, "result", again=restarted)
    assert numbers(workspace, run) == NUMBERS.split()
    assert "file" not in "".join(message.shown for message in thread(workspace, run))


async def test_a_revoked_token_is_no_reason_to_go_without_the_file(workspace: Workspace, gateway: SlackGateway) -> None:
    """Somebody gives the bot a new one, and then it is tried again."""
    run = await running(gateway, workspace)
    ended = replace(run, status=RunStatus.SUCCEEDED, outputs={"text": NUMBERS})
    workspace.faults.add("files.getUploadURLExternal", Refuse("token_revoked"))
    with pytest.raises(SlackUnauthorized):
        await gateway.carry_out(do.PostResult(), ended, "result", again=False)
    await gateway.carry_out(do.PostResult(), ended, "result", again=True)
    assert len(thread(workspace, run)) == MESSAGES + 1


@pytest.mark.parametrize("method", ["chat.update", "chat.postMessage", "files.completeUploadExternal"])
@pytest.mark.parametrize("fault", [LostResponse(), ServerError(), RateLimited(1)])
async def test_the_end_of_a_text_arrives_once_whatever_breaks(
    workspace: Workspace, gateway: SlackGateway, method: str, fault: Any
) -> None:
    """As long as somebody lives who heard it."""
    run = await written(gateway, workspace, NUMBERS[:18_000])
    paused = replace(run, status=RunStatus.PAUSED)
    await gateway.show_answer(run, NUMBERS)
    workspace.faults.add(method, fault, when=refuses_part(7) if method == "chat.postMessage" else lambda _: True)
    again = False
    while True:
        try:
            await gateway.carry_out(do.EndAnswer(0, str(run.answer_ts)), paused, "end", again=again)
        except SlackUnavailable:
            again = True
        else:
            break
    *messages, shared = thread(workspace, run)
    assert [len(message.content.files) for message in (*messages, shared)] == [0] * MESSAGES + [1]
    shown = numbers(workspace, run)
    assert shown == NUMBERS.split()[: len(shown)]


@pytest.mark.parametrize("part", [1, 5])
async def test_a_text_that_a_crash_cut_off_between_two_messages_says_so(
    workspace: Workspace, gateway: SlackGateway, part: int
) -> None:
    """Whoever ends it heard nothing: its last message must not promise that it goes on below."""
    run = await running(gateway, workspace)
    await gateway.show_answer(run, NUMBERS[:80_000])
    run = replace(run, answer_ts=await gateway.carry_out(do.PostAnswer(), run, "answer", again=False))
    paused = replace(run, status=RunStatus.PAUSED)
    workspace.faults.add("chat.postMessage", ServerError(), times=100, when=refuses_part(part))
    with pytest.raises(SlackUnavailable):
        await gateway.carry_out(do.EndAnswer(0, str(run.answer_ts)), paused, "end", again=False)
    assert "goes on below" in thread(workspace, run)[-1].shown
    async with another(workspace) as other:
        await other.carry_out(do.EndAnswer(0, str(run.answer_ts)), paused, "end", again=True)
    *full, last = thread(workspace, run)
    assert len(full) == part - 1
    assert "may not be complete" in last.shown
    assert "goes on below" not in last.shown
    assert not any("may not be complete" in message.shown for message in full)


async def test_a_text_of_which_the_announced_file_is_not_there_says_so(
    workspace: Workspace, gateway: SlackGateway
) -> None:
    """The process died before it was uploaded."""
    run = await written(gateway, workspace, NUMBERS)
    paused = replace(run, status=RunStatus.PAUSED)
    workspace.faults.add("files.getUploadURLExternal", ServerError())
    with pytest.raises(SlackUnavailable):
        await gateway.carry_out(do.EndAnswer(0, str(run.answer_ts)), paused, "end", again=False)
    async with another(workspace) as other:
        await other.carry_out(do.EndAnswer(0, str(run.answer_ts)), paused, "end", again=True)
    last = thread(workspace, run)[-1]
    assert "may not be complete" in last.shown
    assert "file" not in last.shown


async def test_a_lost_response_while_a_text_is_written_doubles_nothing(
    workspace: Workspace, gateway: SlackGateway
) -> None:
    """The message is looked for before another one is posted."""
    run = await running(gateway, workspace)
    await gateway.show_answer(run, NUMBERS[:5_000])
    run = replace(run, answer_ts=await gateway.carry_out(do.PostAnswer(), run, "answer", again=False))
    workspace.faults.add("chat.postMessage", LostResponse(), when=refuses_part(1))
    await gateway.show_answer(run, NUMBERS[:15_000])
    await workspace.wait_for(lambda: len(thread(workspace, run)) == 2)
    await gateway.show_answer(run, NUMBERS[:30_000])
    await workspace.wait_for(lambda: numbers(workspace, run) == NUMBERS[:30_000].split())
    assert len(thread(workspace, run)) == 4


async def test_a_text_that_is_replaced_by_a_shorter_one_leaves_nothing_behind(
    workspace: Workspace, gateway: SlackGateway
) -> None:
    """Dify may take back what a model said."""
    run = await written(gateway, workspace, NUMBERS[:30_000])
    await gateway.show_answer(run, "This answer was taken back. 1")
    await workspace.wait_for(lambda: numbers(workspace, run) == ["1"])
    assert len(thread(workspace, run)) == 1


async def test_a_message_of_a_text_that_somebody_deleted_stays_away_and_comes_back_with_a_result(
    workspace: Workspace, gateway: SlackGateway
) -> None:
    """A result is the only thing that says what it says."""
    run = await written(gateway, workspace, NUMBERS[:30_000])
    workspace.delete(thread(workspace, run)[3])
    paused = replace(run, status=RunStatus.PAUSED)
    ended = replace(run, status=RunStatus.SUCCEEDED, outputs={"text": NUMBERS[:30_000]})
    await gateway.carry_out(do.EndAnswer(0, str(run.answer_ts)), paused, "end", again=False)
    assert len(thread(workspace, run)) == 3
    await gateway.carry_out(do.PostResult(), ended, "result", again=False)
    assert numbers(workspace, run) == NUMBERS[:30_000].split()


# --- progress and limits ---------------------------------------------------------------------------------------------


async def test_progress_slack_does_not_take_is_dropped(workspace: Workspace, gateway: SlackGateway) -> None:
    """A newer state follows; the writer lives on."""
    run = await running(gateway, workspace)
    workspace.faults.add("chat.update", Refuse("cant_update_message"))
    await gateway.show_progress(run, Progress("Draft", 1))
    await workspace.wait_for(lambda: "chat.update" in methods(workspace))
    await gateway.show_progress(run, Progress("Draft", 2))
    await workspace.wait_for(lambda: shows(workspace, run.thread_ts, "2 steps done"))


async def test_a_state_that_cannot_be_drawn_costs_no_other(
    workspace: Workspace, gateway: SlackGateway, caplog: pytest.LogCaptureFixture
) -> None:
    """Progress may be lost; the writer of all runs' progress may not."""
    odd, run = await running(gateway, workspace), await running(gateway, workspace)
    await gateway.show_progress(replace(odd, run_id="run-2", run_inputs={"topic": object()}), Progress("Odd", 1))
    await gateway.show_progress(run, Progress("Draft", 1))
    await workspace.wait_for(lambda: shows(workspace, run.thread_ts, "1 step done"))
    assert "not JSON serializable" in caplog.text


async def test_after_a_429_nobody_calls_the_method_until_slack_allows(
    workspace: Workspace, gateway: SlackGateway
) -> None:
    """Neither progress nor what matters, which is told when to come again; other methods go on."""
    run = await running(gateway, workspace)
    workspace.faults.add("chat.update", RateLimited(retry_after=60))
    await gateway.show_progress(run, Progress("Draft", 1))
    await workspace.wait_for(lambda: "chat.update" in methods(workspace))
    await gateway.show_progress(run, Progress("Draft", 2))
    for name in ("first", "second"):
        with pytest.raises(SlackUnavailable) as held:
            await gateway.carry_out(do.RefreshRoot(), run, name, again=False)
        assert 55 < (held.value.retry_after or 0) <= 61
        assert not held.value.sent
    await gateway.carry_out(do.PostStuck(), run, "stuck", again=False)
    assert methods(workspace).count("chat.update") == 1
    assert workspace.find(thread=str(run.thread_ts), text="Dify took the answer")


async def test_a_search_that_slack_interrupts_goes_on_where_it_was(workspace: Workspace, gateway: SlackGateway) -> None:
    """Some apps may read one page a minute (slack-platform §8.1): begun anew it would never end."""
    run = await running(gateway, workspace)
    for number in range(250):
        workspace.post(workspace.channel("content"), Content(f"{number}"), workspace.bot, thread_ts=run.thread_ts)
    ts = await gateway.carry_out(do.PostStuck(), run, "stuck", again=False)
    asked = len(workspace.calls)
    workspace.faults.add("conversations.replies", RateLimited(retry_after=1), when=lambda call: "cursor" in call)
    with pytest.raises(SlackUnavailable):
        await gateway.carry_out(do.PostStuck(), run, "stuck", again=True)
    assert await gateway.carry_out(do.PostStuck(), run, "stuck", again=True) == ts
    pages = [call.arguments.get("cursor") for call in workspace.calls[asked:]]
    assert len(pages) == 3
    assert pages[0] is None
    assert pages[1] == pages[2] is not None


async def test_a_stop_of_the_bot_leaves_no_writer_behind(workspace: Workspace) -> None:
    """Its task and its connections end with it."""
    client = AsyncWebClient(token=workspace.bot_token, base_url=f"{workspace.url}/api/")
    async with SlackGateway(client) as gateway:
        await gateway.show_progress(await running(gateway, workspace), Progress("Draft", 1))
    assert not [task for task in asyncio.all_tasks() if task.get_name() == "progress writer"]


async def test_a_method_is_not_called_while_slack_holds_it() -> None:
    """Told by the call log of a workspace that counts as Slack does, to a bot that believes it allows three times more.

    Everything is posted, once.
    """
    workspace = Workspace(people=["ann"], channels={"content": ["ann", "bot"]}, rate_limits=RateLimits.real())

    async def post(gateway: SlackGateway, number: int) -> None:
        run, again = run_in(workspace), False
        while True:
            try:
                await gateway.carry_out(do.PostRoot(), run, f"post-{number}", again=again)
            except SlackUnavailable as held:
                again = True
                await asyncio.sleep(held.retry_after or 0.0)
            else:
                return

    async with SlackServer(workspace):
        client = AsyncWebClient(token=workspace.bot_token, base_url=f"{workspace.url}/api/")
        async with SlackGateway(client, 3.0) as gateway:
            await asyncio.gather(*(post(gateway, number) for number in range(9)))
    refused = [call for call in workspace.calls if call.status == 429]
    assert refused
    last = max(call.answered for call in refused)
    assert not [call for call in workspace.calls if last < call.arrived < last + 0.9]
    posted = [message.metadata or {} for message in workspace.channel("content").roots]
    assert sorted(each["event_payload"]["post_id"] for each in posted) == [f"post-{number}" for number in range(9)]
    assert set(methods(workspace)) == {"chat.postMessage"}
