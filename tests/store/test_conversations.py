"""What the store keeps of conversations with Chatflows, over both kinds of database."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import Connection, Executable

from bot.core.effects import PostResult, PostRoot, StartRun, Transition
from bot.core.events import MessageLapsed
from bot.core.lifecycle import advance
from bot.core.model import AppMode, FormStatus, HeldOutcome, Run, RunStatus, SegmentText, Settlement
from bot.errors import UnknownHere
from bot.store.runs import CONVERSATION
from bot.store.sql import SqlStore
from tests.factories import NOW, make_form, make_run, make_submission

ROOT = make_run(
    run_id="first",
    mode=AppMode.CHATFLOW,
    status=RunStatus.SUCCEEDED,
    thread_ts="1.0",
    root_ts="1.0",
    conversation_id="c",
    said_at=NOW,
    ended_at=NOW,
)


def reply(run_id: str, minutes: float, **changes: object) -> Run:
    """Return a later message of the conversation, which waits to be sent."""
    asked = {"run_id": run_id, "root_ts": run_id, "said_at": NOW + timedelta(minutes=minutes)}
    waiting = {"status": RunStatus.STARTING, "conversation_id": None, "ended_at": None}
    return replace(ROOT, **{**asked, **waiting, **changes})


async def add(store: SqlStore, *runs: Run) -> None:
    for run in runs:
        await store.add_run(run, (), NOW)


async def ids(store: SqlStore, channel_id: str = "C1", thread_ts: str = "1.0") -> list[str]:
    return [run.run_id for run in await store.conversation(channel_id, thread_ts)]


async def plan(store: SqlStore, query: Executable, channel: str, thread: str) -> list[str]:
    """Return how the database goes about a query, a line per step."""

    def work(connection: Connection) -> list[str]:
        where = {"channel": channel, "thread": thread}
        bound = query.params(where).compile(connection.engine, compile_kwargs={"literal_binds": True})  # type: ignore[attr-defined]
        if store.shared:
            # A table of so few rows is read as a whole sooner than an index.
            connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        explain = "EXPLAIN" if store.shared else "EXPLAIN QUERY PLAN"
        return [str(row[-1]) for row in connection.exec_driver_sql(f"{explain} {bound}")]

    return await store._database.write(work)


async def begun(store: SqlStore) -> list[str | None]:
    return [saved.run_id for saved in await store.claim_effects(NOW, 10)]


async def test_a_conversation_is_what_counts_of_a_thread(store: SqlStore) -> None:
    """Its first message, the last one that Dify named, and those that have not ended, with their forms."""
    asking = reply("asking", 3, status=RunStatus.PAUSED, conversation_id="c", forms=(make_form(),))
    await add(
        store,
        reply("last", 5, conversation_id="d", status=RunStatus.SUCCEEDED, ended_at=NOW),
        ROOT,
        reply("past", 1, conversation_id="c", status=RunStatus.SUCCEEDED, ended_at=NOW),
        asking,
        reply("waits", 6),
    )
    assert await ids(store) == ["first", "asking", "last", "waits"]
    assert (await store.conversation("C1", "1.0"))[1] == asking


async def test_a_message_is_answered_alone_once_nothing_before_it_is(store: SqlStore) -> None:
    """No run that may go on is before it, nor a text that is still to be put into Slack."""
    second = reply("second", 1)
    paused = replace(ROOT, status=RunStatus.PAUSED, ended_at=None)
    await add(store, paused, reply("held", 0.5, status=RunStatus.HELD), second, reply("third", 2))
    assert not await store.writes_alone(second)
    ended = replace(ROOT, status=RunStatus.SUCCEEDED, ended_at=NOW)
    await store.change("first", lambda run: Transition(ended, (PostResult(),)), NOW)
    assert not await store.writes_alone(second)
    for effect in await store.claim_effects(NOW, 9):
        await store.finish_effect(effect.row_id)
    assert await store.writes_alone(second)
    assert await store.writes_alone(ROOT)


async def test_of_a_long_thread_no_more_is_read_than_counts(store: SqlStore) -> None:
    """By Slack's order, in which no two processes differ; the rows of what is past are not touched."""
    past = {"conversation_id": "c", "status": RunStatus.SUCCEEDED, "ended_at": NOW}
    await add(store, ROOT, *(reply(f"past-{number}", 1 + number, **past) for number in range(500)))
    # Saved by a process whose clock is ahead.
    await add(store, reply("waits", 502, created_at=NOW - timedelta(days=1)), reply("asking", 501))
    assert await ids(store) == ["first", "past-499", "asking", "waits"]
    assert not [step for step in await plan(store, CONVERSATION, "C1", "1.0") if re.search(r"SCAN runs|Seq Scan", step)]


async def test_other_threads_and_workflows_are_no_conversations(store: SqlStore) -> None:
    await add(store, ROOT, make_run(run_id="workflow", thread_ts="2.0"))
    assert await ids(store, thread_ts="2.0") == []
    assert await ids(store, thread_ts="3.0") == []
    assert await ids(store, channel_id="C2") == []


async def test_a_conversation_that_just_begins_is_known_to(store: SqlStore) -> None:
    await add(store, make_run(mode=AppMode.CHATFLOW))
    assert await store.posts_root("C1", NOW)
    assert not await store.posts_root("C1", NOW + timedelta(seconds=1))
    assert not await store.posts_root("C2", NOW)


@pytest.mark.parametrize("status", [RunStatus.REQUESTED, RunStatus.STARTING, RunStatus.RUNNING, RunStatus.RESUMING])
async def test_a_message_waits_while_an_earlier_one_is_answered(store: SqlStore, status: RunStatus) -> None:
    """In order: the third waits for the second, which waits for the first. None of them is due meanwhile."""
    await add(store, replace(ROOT, status=status, ended_at=None))
    await store.add_run(reply("second", 1), (StartRun(),), NOW)
    await store.add_run(reply("third", 2), (StartRun(),), NOW)
    assert await begun(store) == []
    assert await store.next_due() is None
    await store.change("first", lambda run: Transition(replace(run, status=RunStatus.PAUSED)), NOW)
    assert await begun(store) == ["second"]
    await store.change("second", lambda run: Transition(replace(run, status=RunStatus.FAILED, ended_at=NOW)), NOW)
    assert await begun(store) == ["third"]


async def test_a_message_waits_for_an_answer_that_is_on_its_way_to_a_form(store: SqlStore) -> None:
    sending = make_form(status=FormStatus.SUBMITTING, submission=make_submission())
    await add(store, replace(ROOT, status=RunStatus.PAUSED, ended_at=None, forms=(sending,)))
    await store.add_run(reply("second", 1), (StartRun(),), NOW)
    assert await begun(store) == []
    refused = replace(sending, status=FormStatus.OPEN)
    await store.change("first", lambda run: Transition(replace(run, forms=(refused,))), NOW)
    assert await begun(store) == ["second"]


async def test_a_message_waits_neither_for_a_run_that_is_stuck_nor_for_one_that_is_held(store: SqlStore) -> None:
    stuck = replace(ROOT, status=RunStatus.RUNNING, ended_at=None, told_stuck=True)
    await add(store, stuck, reply("held", 1, status=RunStatus.HELD))
    await store.add_run(reply("second", 2), (StartRun(),), NOW)
    assert await begun(store) == ["second"]


async def test_workflows_and_other_threads_wait_for_nothing(store: SqlStore) -> None:
    await add(store, replace(ROOT, status=RunStatus.RUNNING, ended_at=None))
    await store.add_run(reply("elsewhere", 1, thread_ts="9.0"), (StartRun(),), NOW)
    assert await begun(store) == ["elsewhere"]


async def test_a_message_is_saved_once_per_delivery(store: SqlStore) -> None:
    assert await store.add_run(reply("one", 1), (PostRoot(),), NOW, delivery="message:C1:5.0")
    assert not await store.add_run(reply("two", 1), (PostRoot(),), NOW, delivery="message:C1:5.0")
    assert await begun(store) == ["one"]
    with pytest.raises(UnknownHere):
        await store.run("two")


async def test_a_held_message_that_nobody_settled_for_long_goes_once_that_is_said(store: SqlStore) -> None:
    soon = NOW + timedelta(seconds=1)
    await add(store, reply("held", 0, root_ts=None, status=RunStatus.HELD), reply("waits", 0))
    assert await store.held_since(NOW, 10) == ()
    assert await store.held_since(soon, 10) == ("held",)
    assert await store.purge(soon, 10) == 0
    await store.change("held", lambda run: advance(run, MessageLapsed(), NOW + timedelta(days=30)), NOW)
    assert await store.purge(soon, 10) == 0
    (said,) = await store.claim_effects(NOW, 10)
    await store.finish_effect(said.row_id)
    assert await store.purge(NOW, 10) == 0
    assert await store.purge(soon, 10) == 1
    assert await ids(store) == ["waits"]


async def test_what_became_of_a_held_message_is_kept(store: SqlStore) -> None:
    settled = reply(
        "settled", 1, crowded=True, question_ts="4.0", settlement=Settlement(HeldOutcome.ANSWER, "U2", "“Ünïcode”?")
    )
    await add(store, ROOT, settled)
    assert await store.run("settled") == settled
    assert (await store.run("first")).settlement is None


async def test_what_was_written_is_known_again_after_a_restart(store: SqlStore) -> None:
    text = "“Ünïcode”, NUL \0 and half a pair \ud800"
    await add(store, replace(ROOT, texts=(SegmentText.of(0, "First."), SegmentText.of(1, text))))
    kept = (await store.run("first")).texts
    assert (kept[0], kept[1].is_of(text)) == (SegmentText.of(0, "First."), True)


async def test_suggestions_are_kept(store: SqlStore) -> None:
    await add(store, replace(ROOT, suggestions=("Why?", "“Ünïcode”?"), suggestions_ts="3.0"))
    run = await store.run("first")
    assert (run.suggestions, run.suggestions_ts) == (("Why?", "“Ünïcode”?"), "3.0")
