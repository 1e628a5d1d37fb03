"""What the store keeps of conversations with Chatflows, over both kinds of database."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from bot.core.effects import PostRoot, StartRun
from bot.core.lifecycle import Transition
from bot.core.model import AppMode, FormStatus, Run, RunStatus
from bot.errors import UnknownHere
from bot.store.sql import SqlStore
from tests.factories import NOW, make_form, make_run, make_submission

ROOT = make_run(
    run_id="first",
    mode=AppMode.CHATFLOW,
    status=RunStatus.SUCCEEDED,
    thread_ts="1.0",
    root_ts="1.0",
    conversation_id="c",
    ended_at=NOW,
)


def reply(run_id: str, minutes: int, **changes: object) -> Run:
    """Return a later message of the conversation, which waits to be sent."""
    asked = {"run_id": run_id, "root_ts": run_id, "created_at": NOW + timedelta(minutes=minutes)}
    waiting = {"status": RunStatus.STARTING, "conversation_id": None, "ended_at": None}
    return replace(ROOT, **{**asked, **waiting, **changes})


async def add(store: SqlStore, *runs: Run) -> None:
    for run in runs:
        await store.add_run(run, (), NOW)


async def ids(store: SqlStore, channel_id: str = "C1", thread_ts: str = "1.0") -> list[str]:
    return [run.run_id for run in await store.conversation(channel_id, thread_ts)]


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


async def test_a_held_message_goes_when_nobody_settled_it_for_long(store: SqlStore) -> None:
    await add(store, reply("held", 0, status=RunStatus.HELD), reply("waits", 0))
    assert await store.purge(NOW, 10) == 0
    assert await store.purge(NOW + timedelta(seconds=1), 10) == 1
    assert await ids(store) == ["waits"]


async def test_suggestions_are_kept(store: SqlStore) -> None:
    await add(store, replace(ROOT, suggestions=("Why?", "“Ünïcode”?"), suggestions_ts="3.0"))
    run = await store.run("first")
    assert (run.suggestions, run.suggestions_ts) == (("Why?", "“Ünïcode”?"), "3.0")
