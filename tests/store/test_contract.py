"""What every store keeps, whatever the database (`bot.core.ports.Store`)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import asyncpg
import pytest
from sqlalchemy import update

from bot.core.effects import (
    CheckCommand,
    Effect,
    PostForm,
    PostResult,
    PostRoot,
    RefreshRoot,
    StartRun,
    StopRun,
    TellDecided,
    TellNotStartable,
)
from bot.core.lifecycle import Transition
from bot.core.model import FormStatus, Run, RunStatus
from bot.core.ports import Decide, SavedEffect
from bot.errors import StoreError, UnknownHere
from bot.store.sql import SqlStore, open_store
from bot.store.tables import outbox
from tests.factories import NOW, make_command, make_form, make_run, make_submission

LATER = NOW + timedelta(minutes=1)


def kept(run: Run) -> Transition:
    """Decide that nothing follows."""
    return Transition(run)


def then(*effects: Effect, **changes: Any) -> Decide:
    """Decide that these fields change and these effects follow."""
    return lambda run: Transition(replace(run, **changes), effects)


def effects_of(saved: Iterable[SavedEffect]) -> list[Effect]:
    """Return the effects themselves."""
    return [each.effect for each in saved]


# --- runs ----------------------------------------------------------------------------------------------------------


async def test_a_run_comes_back_as_it_was_saved(store: SqlStore) -> None:
    run = make_run(
        status=RunStatus.PAUSED,
        since=NOW,
        run_inputs={"topic": "tea", "count": 3, "nested": [{"a": None}]},
        outputs={"text": "naïve 🍵", "score": 0.5},
        forms=(make_form(submission=make_submission()), make_form(form_id="form-2", expires_at=LATER)),
        told_stuck=True,
    )
    await store.add_run(run, [], NOW)
    assert await store.run(run.run_id) == run


async def test_an_unknown_run_is_an_error_of_its_own(store: SqlStore) -> None:
    for missing in (store.run("run-0"), store.change("run-0", kept, NOW)):
        with pytest.raises(UnknownHere):
            await missing


async def test_a_run_is_added_once_and_its_effects_with_it(store: SqlStore) -> None:
    await store.add_run(make_run(), [PostRoot()], NOW)
    await store.add_run(make_run(app="other"), [PostRoot()], NOW)
    assert (await store.run("run-1")).app == "review"
    assert effects_of(await store.claim_effects(NOW, 10)) == [PostRoot()]


async def test_a_checked_command_is_finished_even_where_its_run_was_there_already(store: SqlStore) -> None:
    await store.save_command(make_command(), "delivery-1", NOW)
    [check] = await store.claim_effects(NOW, 10)
    await store.add_run(make_run(), [], NOW)
    await store.add_run(make_run(), [PostRoot()], NOW, done=check.row_id)
    assert await store.interrupted_effects() == ()


async def test_runs_are_found_by_where_they_stand_the_oldest_first(store: SqlStore) -> None:
    for number, status in enumerate(RunStatus):
        created_at = NOW - timedelta(minutes=number)
        await store.add_run(make_run(run_id=status.value, status=status, created_at=created_at), [], NOW)
    assert await store.runs_in({RunStatus.RUNNING, RunStatus.STOPPED}) == ("stopped", "running")
    assert await store.runs_in([]) == ()


async def test_forms_stay_with_their_run_in_the_order_they_were_asked(store: SqlStore) -> None:
    first = make_run(forms=(make_form(form_id="z"), make_form(form_id="a")))
    second = make_run(run_id="run-2", forms=(make_form(form_id="m"),))
    for run in (first, second, make_run(run_id="run-3")):
        await store.add_run(run, [], NOW)
    runs = [await store.run(run_id) for run_id in ("run-1", "run-2", "run-3")]
    assert [[form.form_id for form in run.forms] for run in runs] == [["z", "a"], ["m"], []]


async def test_text_that_a_database_cannot_hold_is_mended_and_loses_nothing_else(store: SqlStore) -> None:
    """Dify delivers NUL characters (recording 32); JSON can spell half a surrogate pair."""
    form = make_form(content="a\0b \ud83d c", submission=make_submission(values={"feedback": "x\0\ud83d"}))
    await store.add_run(make_run(forms=(form,), outputs={"text": "\0\ud83d"}), [], NOW)
    run = await store.run("run-1")
    assert run.forms[0].content == "ab ? c"
    assert run.forms[0].submission == form.submission
    assert run.outputs == {"text": "\0\ud83d"}


async def test_moments_come_back_in_utc_whatever_zone_they_were_given_in(store: SqlStore) -> None:
    elsewhere = NOW.astimezone(timezone(timedelta(hours=5, minutes=30)))
    await store.add_run(make_run(since=elsewhere, created_at=elsewhere), [], elsewhere)
    run = await store.run("run-1")
    assert (run.since, run.created_at) == (NOW, NOW)
    assert run.created_at.utcoffset() == timedelta(0)


# --- change --------------------------------------------------------------------------------------------------------


async def test_change_saves_the_run_its_forms_and_its_effects(store: SqlStore) -> None:
    await store.add_run(make_run(forms=(make_form(),)), [], NOW)
    answered = make_form(status=FormStatus.CLAIMED, submission=make_submission())
    asked = make_form(form_id="form-2")
    decide = then(PostForm("form-2"), status=RunStatus.PAUSED, forms=(answered, asked))
    transition = await store.change("run-1", decide, NOW)
    assert transition is not None
    assert await store.run("run-1") == transition.run
    assert effects_of(await store.claim_effects(NOW, 10)) == [PostForm("form-2")]


async def test_a_field_can_be_emptied_again(store: SqlStore) -> None:
    form = make_form(submission=make_submission(), refusal="too long")
    await store.add_run(make_run(forms=(form,), poll_at=NOW, answer_ts="1.2"), [], NOW)
    emptied = make_run(forms=(replace(form, submission=None, refusal=None),))
    await store.change("run-1", lambda run: Transition(emptied), NOW)
    assert await store.run("run-1") == emptied


async def test_changes_of_one_run_at_once_see_one_another(store: SqlStore) -> None:
    """Whoever comes second decides on what the first one saved: nothing is lost."""
    await store.add_run(make_run(forms=(make_form(),)), [], NOW)

    def add_revision(run: Run) -> Transition:
        form = replace(run.forms[0], revision=run.forms[0].revision + 1)
        more = make_form(form_id=f"form-{form.revision + 1}")
        return Transition(replace(run, query=run.query + "x", forms=(form, *run.forms[1:], more)), (RefreshRoot(),))

    await asyncio.gather(*(store.change("run-1", add_revision, NOW) for _ in range(12)))
    run = await store.run("run-1")
    assert (run.query, run.forms[0].revision, len(run.forms)) == ("x" * 12, 12, 13)


async def test_two_processes_that_change_one_run_at_once_lose_nothing(database_url: str, store: SqlStore) -> None:
    await store.add_run(make_run(), [], NOW)
    async with open_store(database_url) as other:
        await asyncio.gather(
            *(
                each.change("run-1", lambda run: Transition(replace(run, query=run.query + "x")), NOW)
                for _ in range(10)
                for each in (store, other)
            )
        )
    assert (await store.run("run-1")).query == "x" * 20


async def test_the_same_delivery_changes_a_run_once(store: SqlStore) -> None:
    await store.add_run(make_run(), [], NOW)
    first, second = await asyncio.gather(
        store.change("run-1", then(RefreshRoot(), query="a"), NOW, delivery="delivery-1"),
        store.change("run-1", then(RefreshRoot(), query="a"), NOW, delivery="delivery-1"),
    )
    assert sorted([first is None, second is None]) == [False, True]
    assert len(await store.claim_effects(NOW, 10)) == 1


async def test_nothing_is_saved_where_the_decision_fails(store: SqlStore) -> None:
    await store.add_run(make_run(), [PostRoot()], NOW)
    [root] = await store.claim_effects(NOW, 10)

    def refuse(run: Run) -> Transition:
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        await store.change("run-1", refuse, NOW, delivery="delivery-1", done=root.row_id)
    assert await store.interrupted_effects() == (root,)
    assert await store.change("run-1", kept, NOW, delivery="delivery-1") is not None


async def test_nothing_is_saved_where_the_database_refuses_a_part(store: SqlStore) -> None:
    """A form belongs to one run; the refusal tells nothing of the form's secret."""
    await store.add_run(make_run(forms=(make_form(),)), [], NOW)
    await store.add_run(make_run(run_id="run-2"), [], NOW)
    with pytest.raises(StoreError) as refusal:
        await store.change("run-2", then(PostForm("form-1"), query="x", forms=(make_form(),)), NOW)
    assert "form-token-demo" not in f"{refusal.value} {refusal.value.__cause__}"
    assert (await store.run("run-2")).query == ""
    assert await store.claim_effects(NOW, 10) == ()


async def test_a_change_that_is_given_up_halfway_leaves_the_store_usable(store: SqlStore) -> None:
    await store.add_run(make_run(), [], NOW)
    given_up = asyncio.create_task(store.change("run-1", then(query="x"), NOW))
    await asyncio.sleep(0)
    given_up.cancel()
    await asyncio.gather(given_up, return_exceptions=True)
    await store.change("run-1", then(app="y"), NOW)
    assert (await store.run("run-1")).app == "y"


async def test_the_effect_that_led_to_a_change_is_finished_with_it(store: SqlStore) -> None:
    await store.add_run(make_run(), [PostRoot()], NOW)
    [root] = await store.claim_effects(NOW, 10)
    await store.change("run-1", then(StartRun()), NOW, done=root.row_id)
    assert await store.interrupted_effects() == ()
    assert effects_of(await store.claim_effects(NOW, 10)) == [StartRun()]


# --- commands and deliveries ---------------------------------------------------------------------------------------


async def test_a_command_is_saved_once_per_delivery(store: SqlStore) -> None:
    saved = await asyncio.gather(*(store.save_command(make_command(), "delivery-1", NOW) for _ in range(4)))
    assert sorted(saved) == [False, False, False, True]
    [check] = await store.claim_effects(NOW, 10)
    assert (check.effect, check.run_id) == (CheckCommand(make_command()), None)


async def test_a_forgotten_delivery_counts_as_new(store: SqlStore) -> None:
    await store.save_command(make_command(), "old", NOW)
    await store.save_command(make_command(), "new", LATER)
    await store.forget_deliveries(before=LATER)
    assert await store.save_command(make_command(), "old", LATER)
    assert not await store.save_command(make_command(), "new", LATER)


async def test_an_effect_without_a_run_takes_the_place_of_the_one_it_answers(store: SqlStore) -> None:
    await store.save_command(make_command(), "delivery-1", NOW)
    [check] = await store.claim_effects(NOW, 10)
    refusal = TellNotStartable("https://hooks.example/1", ("“count” is not a number.",), "/dify review count=3")
    await store.add_effect(refusal, NOW, done=check.row_id)
    assert await store.interrupted_effects() == ()
    assert effects_of(await store.claim_effects(NOW, 10)) == [refusal]


# --- the outbox ----------------------------------------------------------------------------------------------------


async def test_a_lane_gives_one_effect_at_a_time_in_the_order_they_were_saved(store: SqlStore) -> None:
    await store.add_run(make_run(), [PostRoot(), RefreshRoot(), PostResult()], NOW)
    for expected in (PostRoot(), RefreshRoot(), PostResult()):
        [saved] = await store.claim_effects(NOW, 10)
        assert saved.effect == expected
        assert await store.claim_effects(NOW, 10) == ()
        await store.finish_effect(saved.row_id)
    assert await store.claim_effects(NOW, 10) == ()


async def test_the_lanes_of_a_run_and_of_other_runs_do_not_wait_for_each_other(store: SqlStore) -> None:
    await store.add_run(make_run(), [PostRoot(), StartRun(), RefreshRoot()], NOW)
    await store.add_run(make_run(run_id="run-2"), [PostRoot()], NOW)
    begun = await store.claim_effects(NOW, 10)
    assert [(each.run_id, each.effect) for each in begun] == [
        ("run-1", PostRoot()),
        ("run-1", StartRun()),
        ("run-2", PostRoot()),
    ]


async def test_effects_without_a_run_wait_for_nobody(store: SqlStore) -> None:
    for number in range(3):
        await store.save_command(make_command(command_id=f"run-{number}"), f"delivery-{number}", NOW)
    assert len(await store.claim_effects(NOW, 10)) == 3


async def test_not_more_than_the_limit_are_begun_the_oldest_first(store: SqlStore) -> None:
    for number in range(3):
        await store.add_run(make_run(run_id=f"run-{number}"), [PostRoot()], NOW)
    assert [each.run_id for each in await store.claim_effects(NOW, 2)] == ["run-0", "run-1"]
    assert [each.run_id for each in await store.claim_effects(NOW, 2)] == ["run-2"]


async def test_claims_at_once_give_every_effect_to_one_of_them(database_url: str, store: SqlStore) -> None:
    for number in range(20):
        await store.add_run(make_run(run_id=f"run-{number}"), [PostRoot(), RefreshRoot(), StartRun()], NOW)
    async with open_store(database_url) as other:
        claims = await asyncio.gather(
            *(each.claim_effects(NOW, limit) for limit in (1, 2, 3, 5, 8, 50) for each in (store, other))
        )
        claims.append(await store.claim_effects(NOW, 100))
    begun = [each for claim in claims for each in claim]
    assert len({each.row_id for each in begun}) == len(begun) == 40
    assert RefreshRoot() not in effects_of(begun)


@pytest.mark.postgres
async def test_a_claim_passes_over_what_another_process_is_claiming(postgres_url: str) -> None:
    """Else every process would wait for the slowest one."""
    async with open_store(postgres_url) as store:
        await store.add_run(make_run(), [PostRoot(), StartRun()], NOW)
        other = await asyncpg.connect(postgres_url)
        async with other.transaction():
            await other.execute("SELECT id FROM outbox WHERE kind = 'PostRoot' FOR UPDATE")
            assert effects_of(await store.claim_effects(NOW, 10)) == [StartRun()]
        await other.close()
        assert effects_of(await store.claim_effects(NOW, 10)) == [PostRoot()]


async def test_an_effect_put_back_holds_up_its_lane_until_its_moment(store: SqlStore) -> None:
    await store.add_run(make_run(), [PostRoot(), RefreshRoot(), StartRun()], NOW)
    root, start = await store.claim_effects(NOW, 10)
    await store.finish_effect(start.row_id)
    await store.put_back_effect(root.row_id, LATER)
    assert await store.claim_effects(NOW, 10) == ()
    [again] = await store.claim_effects(LATER, 10)
    assert again == replace(root, attempts=2)


async def test_an_effect_given_up_lets_the_next_one_go(store: SqlStore) -> None:
    await store.add_run(make_run(), [PostRoot(), RefreshRoot()], NOW)
    [root] = await store.claim_effects(NOW, 10)
    await store.give_up_effect(root.row_id, "channel_not_found")
    assert effects_of(await store.claim_effects(NOW, 10)) == [RefreshRoot()]
    assert effects_of(await store.interrupted_effects()) == [RefreshRoot()]


async def test_an_effect_is_given_up_along_with_what_that_means(store: SqlStore, database_url: str) -> None:
    await store.add_run(make_run(), [PostRoot()], NOW)
    await store.save_command(make_command(), "delivery-1", NOW)
    root, check = await store.claim_effects(NOW, 10)
    await store.change("run-1", then(RefreshRoot(), error="no"), NOW, done=root.row_id, reason="refused")
    await store.add_effect(TellNotStartable("https://hooks.example/1", ()), NOW, done=check.row_id, reason="a mistake")
    assert await store.interrupted_effects() == ()
    assert effects_of(await store.claim_effects(NOW, 10)) == [
        RefreshRoot(),
        TellNotStartable("https://hooks.example/1", ()),
    ]
    async with open_store(database_url) as reopened:
        await reopened.put_back_effect(root.row_id, NOW)
        await reopened.put_back_effect(check.row_id, NOW)
        assert {each.row_id for each in await reopened.claim_effects(NOW, 10)} == {root.row_id, check.row_id}


async def test_an_effect_that_cannot_be_read_is_given_up_and_holds_up_nobody(store: SqlStore) -> None:
    """Say, of a newer version of the bot: else it would stop the outbox at each look, and each start."""
    await store.add_run(make_run(), [PostForm("form-1"), RefreshRoot(), StartRun()], NOW)
    await _spoil(store, "PostForm", "PostPoem")
    await _spoil(store, "StartRun", "SubmitForm")
    assert await store.claim_effects(NOW, 10) == ()
    [refresh] = await store.claim_effects(NOW, 10)
    assert refresh.effect == RefreshRoot()
    await _spoil(store, "RefreshRoot", "PostPoem")
    assert await store.interrupted_effects() == ()
    assert await store.next_due() is None


async def _spoil(store: SqlStore, kind: str, becomes: str) -> None:
    statement = update(outbox).where(outbox.c.kind == kind).values(kind=becomes)
    await store._database.write(lambda connection: connection.execute(statement))


async def test_what_waits_for_its_turn_is_not_interrupted_but_due_again(store: SqlStore) -> None:
    """Nothing of it was sent: a start that waited for a stream when the bot ended can go out."""
    await store.add_run(make_run(), [StartRun(), StopRun()], NOW)
    await store.add_run(make_run(run_id="run-2"), [StartRun()], NOW)
    waiting, turn_came = await store.claim_effects(NOW, 10)
    await store.hold_effect(waiting.row_id)
    await store.hold_effect(turn_came.row_id)
    assert await store.claim_effects(NOW, 10) == ()
    assert await store.next_due() is None
    await store.begin_effect(turn_came.row_id)
    assert await store.interrupted_effects() == (turn_came,)
    [again] = await store.claim_effects(NOW, 10)
    assert again == replace(waiting, attempts=2)


async def test_what_was_begun_and_not_finished_is_found_by_the_next_process(database_url: str) -> None:
    async with open_store(database_url) as store:
        await store.add_run(make_run(), [PostRoot(), StartRun(), RefreshRoot()], NOW)
        root, start = await store.claim_effects(NOW, 10)
        await store.finish_effect(start.row_id)
    async with open_store(database_url) as reopened:
        assert await reopened.interrupted_effects() == (root,)
        assert await reopened.claim_effects(LATER, 10) == ()


async def test_every_effect_has_an_id_of_its_own_that_stays(store: SqlStore) -> None:
    await store.add_run(make_run(), [PostRoot(), RefreshRoot()], NOW)
    await store.add_run(make_run(run_id="run-2"), [PostRoot()], NOW)
    one, two = await store.claim_effects(NOW, 10)
    await store.put_back_effect(one.row_id, NOW)
    [again] = await store.claim_effects(NOW, 10)
    assert one.post_id == again.post_id != two.post_id


async def test_a_row_id_is_not_given_again(store: SqlStore) -> None:
    """A late finish must not hit another effect."""
    await store.add_run(make_run(), [TellDecided("U1", "form-1")], NOW)
    [first] = await store.claim_effects(NOW, 10)
    await store.finish_effect(first.row_id)
    await store.change("run-1", then(RefreshRoot()), NOW)
    await store.finish_effect(first.row_id)
    assert effects_of(await store.claim_effects(NOW, 10)) == [RefreshRoot()]


# --- what is due ---------------------------------------------------------------------------------------------------


async def test_a_due_poll_is_given_once_until_the_moment_it_was_moved_to(store: SqlStore) -> None:
    """A look that hangs is not repeated at once, and one that never ended is repeated some time."""
    for run_id, minutes in (("run-1", -1), ("run-2", 2), ("run-3", None)):
        poll_at = None if minutes is None else NOW + timedelta(minutes=minutes)
        await store.add_run(make_run(run_id=run_id, poll_at=poll_at), [], NOW)
    assert await store.claim_polls(NOW, LATER, 10) == ("run-1",)
    assert (await store.run("run-1")).poll_at == LATER
    assert await store.claim_polls(NOW, LATER, 10) == ()
    assert await store.claim_polls(LATER, LATER, 10) == ("run-1",)


async def test_of_many_due_polls_the_longest_overdue_are_given(store: SqlStore) -> None:
    for run_id, minutes in (("run-1", -1), ("run-2", -3), ("run-3", -2)):
        await store.add_run(make_run(run_id=run_id, poll_at=NOW + timedelta(minutes=minutes)), [], NOW)
    assert set(await store.claim_polls(NOW, LATER, 2)) == {"run-2", "run-3"}
    assert await store.claim_polls(NOW, LATER, 2) == ("run-1",)


async def test_nothing_is_due_in_an_empty_store(store: SqlStore) -> None:
    assert await store.next_due() is None
    assert await store.claim_polls(NOW, LATER, 10) == ()
    assert await store.claim_effects(NOW, 10) == ()


async def test_next_due_is_the_earlier_of_a_poll_and_a_waiting_effect(store: SqlStore) -> None:
    await store.add_run(make_run(poll_at=LATER), [], NOW)
    assert await store.next_due() == LATER
    await store.change("run-1", then(RefreshRoot()), NOW)
    assert await store.next_due() == NOW


async def test_next_due_passes_over_effects_that_cannot_begin_anyway(store: SqlStore) -> None:
    """Else the alarm would ring for ever while a lane waits for its first effect."""
    await store.add_run(make_run(), [PostRoot(), RefreshRoot()], NOW)
    [root] = await store.claim_effects(NOW, 10)
    assert await store.next_due() is None
    await store.put_back_effect(root.row_id, LATER)
    assert await store.next_due() == LATER
    await store.give_up_effect(root.row_id, "channel_not_found")
    assert await store.next_due() == NOW


async def test_moments_are_compared_as_moments_not_as_text(store: SqlStore) -> None:
    """Whole seconds and fractions of them order rightly."""
    whole = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
    await store.add_run(make_run(poll_at=whole), [], NOW)
    await store.add_run(make_run(run_id="run-2", poll_at=whole + timedelta(microseconds=1)), [], NOW)
    await store.add_run(make_run(run_id="run-2", poll_at=whole + timedelta(microseconds=1)), [], NOW)
    assert await store.claim_polls(whole, whole, 10) == ("run-1",)
    assert set(await store.claim_polls(whole + timedelta(seconds=1), LATER, 10)) == {"run-1", "run-2"}
