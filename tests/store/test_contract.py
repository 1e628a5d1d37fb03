"""What every store keeps, whatever the database (`bot.core.ports.Store`)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import asyncpg
import pytest
from sqlalchemy import select, update

from bot.core.effects import (
    CheckCommand,
    Effect,
    EndAnswer,
    GiveBackDraft,
    PostAnswer,
    PostForm,
    PostResult,
    PostRoot,
    PostStuck,
    RefreshForm,
    RefreshRoot,
    StartRun,
    StopRun,
    TellDecided,
    TellNotStartable,
    Transition,
)
from bot.core.model import FormStatus, Run, RunStatus
from bot.core.ports import Decide, Draft, SavedEffect
from bot.errors import LeaseLost, StoreError, UnknownHere
from bot.store import sql
from bot.store.sql import SqlStore, open_store
from bot.store.tables import OutboxState, outbox
from tests.factories import NOW, make_command, make_form, make_run, make_submission
from tests.store.conftest import LEASE

LATER = NOW + timedelta(minutes=1)
LAPSED = timedelta(0)


def kept(run: Run) -> Transition:
    """Decide that nothing follows."""
    return Transition(run)


def then(*effects: Effect, **changes: Any) -> Decide:
    """Decide that these fields change and these effects follow."""
    return lambda run: Transition(replace(run, **changes), effects)


def effects_of(saved: Iterable[SavedEffect]) -> list[Effect]:
    """Return the effects themselves."""
    return [each.effect for each in saved]


async def left_behind(store: SqlStore) -> tuple[SavedEffect, ...]:
    """Let the process begin a new life, and return what it had begun in the one before."""
    await store.join(LEASE)
    return await store.take_over(NOW)


async def given_up(store: SqlStore) -> dict[str, str]:
    """Return the reason of each effect that was given up, by its kind."""
    query = select(outbox.c.kind, outbox.c.reason).where(outbox.c.state == OutboxState.FAILED)
    return await store._database.read(lambda connection: {kind: why for kind, why in connection.execute(query)})


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


# --- what somebody has started ---------------------------------------------------------------------------------------


async def test_what_a_person_has_started_is_given_with_what_goes_on_first(store: SqlStore) -> None:
    """Each with its forms; what others have started, here or in another workspace, is nobody else's business."""
    hours = [NOW + timedelta(hours=number) for number in range(6)]
    old = make_run(run_id="old", created_at=hours[0], status=RunStatus.PAUSED, forms=(make_form(),))
    new = make_run(run_id="new", created_at=hours[3])
    early = make_run(run_id="early", created_at=hours[2], status=RunStatus.FAILED, ended_at=hours[4])
    late = make_run(run_id="late", created_at=hours[1], status=RunStatus.SUCCEEDED, ended_at=hours[5])
    others = make_run(run_id="others", starter_id="U2"), make_run(run_id="elsewhere", team_id="T2")
    for run in (early, old, *others, late, new):
        await store.add_run(run, [], NOW)
    assert await store.started_by("T1", "U1", going=9, ended=9) == (new, old, late, early)
    assert await store.started_by("T1", "U1", going=1, ended=1) == (new, late)
    assert await store.started_by("T1", "U1", going=0, ended=9) == (late, early)
    assert await store.started_by("T1", "U3", going=9, ended=9) == ()


async def test_what_is_due_next_is_not_left_out_of_what_a_person_has_started(store: SqlStore) -> None:
    """However much was started since; a form that is decided is not due any more."""

    def waiting(number: int, days: int, status: FormStatus) -> Run:
        form = make_form(form_id=f"form-{number}", expires_at=NOW + timedelta(days=days), status=status)
        return make_run(run_id=f"run-{number}", created_at=NOW + timedelta(hours=number), forms=(form,))

    first, second = waiting(1, 2, FormStatus.OPEN), waiting(2, 1, FormStatus.REQUIRED)
    for run in (first, second, waiting(3, 0, FormStatus.SUBMITTED), make_run(run_id="run-4")):
        await store.add_run(run, [], NOW)
    assert await store.started_by("T1", "U1", going=1, ended=0) == (second,)
    assert await store.started_by("T1", "U1", going=2, ended=0) == (second, first)


# --- the one run of Dify's that is a run of ours ---------------------------------------------------------------------


async def test_the_store_knows_which_of_dify_s_runs_are_ours(store: SqlStore) -> None:
    await store.add_run(make_run(workflow_run_id="wr-1"), [], NOW)
    await store.add_run(make_run(run_id="run-2"), [], NOW)
    assert await store.named(["wr-0", "wr-1"]) == {"wr-1"}
    assert await store.named([]) == frozenset()


async def test_a_run_of_dify_s_is_taken_once(store: SqlStore) -> None:
    """Whoever asks for it again gets nothing, and nothing is changed."""
    for run_id in ("run-1", "run-2"):
        await store.add_run(make_run(run_id=run_id, status=RunStatus.SOUGHT), [], NOW)
    assert await store.change("run-1", then(RefreshRoot(), workflow_run_id="wr-1"), NOW, taking="wr-1") is not None
    assert await store.change("run-2", then(RefreshRoot(), workflow_run_id="wr-1"), NOW, taking="wr-1") is None
    assert await store.change("run-1", kept, NOW, taking="wr-1") is not None
    assert (await store.run("run-2")).workflow_run_id is None
    assert [saved.run_id for saved in await store.claim_effects(NOW, 10)] == ["run-1"]


async def test_of_many_that_take_the_same_run_at_once_one_gets_it(store: SqlStore) -> None:
    wanted = {f"run-{number}": f"wr-{number % 2}" for number in range(12)}
    for run_id in wanted:
        await store.add_run(make_run(run_id=run_id, status=RunStatus.SOUGHT), [], NOW)
    taken = await asyncio.gather(
        *(store.change(run_id, then(workflow_run_id=name), NOW, taking=name) for run_id, name in wanted.items())
    )
    assert sorted(each.run.workflow_run_id or "" for each in taken if each is not None) == ["wr-0", "wr-1"]


@pytest.mark.parametrize(
    ("rival", "may_be_its"),
    [
        ({}, True),
        ({"app": "the same app by another name"}, True),
        ({"run_inputs": {"topic": "coffee"}}, False),
        ({"dify_user": "slack:T1:U2"}, False),
        ({"status": RunStatus.RUNNING, "workflow_run_id": "wr-2"}, False),
        ({"status": RunStatus.REQUESTED}, False),
        ({"status": RunStatus.SOUGHT}, False),
    ],
)
async def test_a_run_that_dify_may_be_about_to_name_is_not_taken(
    store: SqlStore, rival: dict[str, Any], may_be_its: bool
) -> None:
    """The stream of an equal start may tell of it at any moment."""
    await store.add_run(make_run(run_id="run-1", status=RunStatus.SOUGHT), [], NOW)
    await store.add_run(make_run(**{"run_id": "run-2", "status": RunStatus.STARTING, **rival}), [], NOW)
    transition = await store.change("run-1", then(workflow_run_id="wr-1"), NOW, taking="wr-1")
    assert (transition is None) is may_be_its


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
    await store.add_effect(CheckCommand(make_command()), NOW, delivery="delivery-1")
    [check] = await store.claim_effects(NOW, 10)
    await store.add_run(make_run(), [], NOW)
    await store.add_run(make_run(), [PostRoot()], NOW, done=check.row_id)
    assert await left_behind(store) == ()


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
    assert await left_behind(store) == (root,)
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
    assert await left_behind(store) == ()
    assert effects_of(await store.claim_effects(NOW, 10)) == [StartRun()]


# --- commands and deliveries ---------------------------------------------------------------------------------------


async def test_a_command_is_saved_once_per_delivery(store: SqlStore) -> None:
    saved = await asyncio.gather(
        *(store.add_effect(CheckCommand(make_command()), NOW, delivery="delivery-1") for _ in range(4))
    )
    assert sorted(saved) == [False, False, False, True]
    [check] = await store.claim_effects(NOW, 10)
    assert (check.effect, check.run_id) == (CheckCommand(make_command()), None)


async def test_a_forgotten_delivery_counts_as_new(store: SqlStore) -> None:
    await store.add_effect(CheckCommand(make_command()), NOW, delivery="old")
    await store.add_effect(CheckCommand(make_command()), LATER, delivery="new")
    await store.forget_deliveries(before=LATER)
    assert await store.add_effect(CheckCommand(make_command()), LATER, delivery="old")
    assert not await store.add_effect(CheckCommand(make_command()), LATER, delivery="new")


async def test_an_effect_without_a_run_takes_the_place_of_the_one_it_answers(store: SqlStore) -> None:
    await store.add_effect(CheckCommand(make_command()), NOW, delivery="delivery-1")
    [check] = await store.claim_effects(NOW, 10)
    refusal = TellNotStartable("https://hooks.example/1", ("“count” is not a number.",), "/dify review count=3")
    await store.add_effect(refusal, NOW, done=check.row_id)
    assert await left_behind(store) == ()
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


async def test_the_end_of_a_text_goes_before_the_result_that_was_saved_earlier(store: SqlStore) -> None:
    """The result does not repeat what is known to stand above."""
    await store.add_run(make_run(), [PostAnswer(1), RefreshRoot(), PostResult(), PostStuck()], NOW)
    [answer] = await store.claim_effects(NOW, 10)
    await store.change("run-1", then(EndAnswer(1, "1.2")), NOW)
    assert await store.claim_effects(NOW, 10) == (), "its message is being posted"
    await store.finish_effect(answer.row_id)
    root, end = await store.claim_effects(NOW, 10)
    assert (root.effect, end.effect) == (RefreshRoot(), EndAnswer(1, "1.2"))
    await store.finish_effect(root.row_id)
    assert await store.claim_effects(NOW, 10) == ()
    await store.finish_effect(end.row_id)
    assert effects_of(await store.claim_effects(NOW, 10)) == [PostResult()]


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
        await store.add_effect(
            CheckCommand(make_command(command_id=f"run-{number}")), NOW, delivery=f"delivery-{number}"
        )
    assert len(await store.claim_effects(NOW, 10)) == 3


async def test_not_more_than_the_limit_are_begun_the_oldest_first(store: SqlStore) -> None:
    for number in range(3):
        await store.add_run(make_run(run_id=f"run-{number}"), [PostRoot()], NOW)
    assert [each.run_id for each in await store.claim_effects(NOW, 2)] == ["run-0", "run-1"]
    assert [each.run_id for each in await store.claim_effects(NOW, 2)] == ["run-2"]


async def test_claims_at_once_give_every_effect_to_one_of_them(store: SqlStore) -> None:
    for number in range(20):
        await store.add_run(make_run(run_id=f"run-{number}"), [PostRoot(), RefreshRoot(), StartRun()], NOW)
    claims = await asyncio.gather(*(store.claim_effects(NOW, limit) for limit in (1, 2, 3, 5, 8, 50)))
    claims.append(await store.claim_effects(NOW, 100))
    begun = [each for claim in claims for each in claim]
    assert len({each.row_id for each in begun}) == len(begun) == 40
    assert RefreshRoot() not in effects_of(begun)


@pytest.mark.postgres
async def test_a_claim_passes_over_what_another_process_is_claiming(postgres_url: str) -> None:
    """Else every process would wait for the slowest one."""
    async with open_store(postgres_url) as store:
        await store.join(LEASE)
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


async def test_an_effect_put_back_may_count_as_begun_less_often(store: SqlStore) -> None:
    await store.add_run(make_run(), [PostRoot()], NOW)
    [root] = await store.claim_effects(NOW, 10)
    await store.put_back_effect(root.row_id, NOW, attempts=0)
    assert await store.claim_effects(NOW, 10) == (root,)
    await store.put_back_effect(root.row_id, NOW)
    assert await store.claim_effects(NOW, 10) == (replace(root, attempts=2),)


async def test_a_redrawing_takes_the_place_of_the_one_before_that_has_not_begun(store: SqlStore) -> None:
    """One that is put off holds up nothing behind it; what it may have posted is still to be found."""
    await store.add_run(make_run(), [RefreshRoot(), RefreshForm("form-1"), RefreshForm("form-2")], NOW)
    [root] = await store.claim_effects(NOW, 10)
    await store.put_back_effect(root.row_id, LATER)
    assert await store.claim_effects(NOW, 10) == ()
    await store.change("run-1", then(PostForm("form-3"), RefreshRoot(), RefreshForm("form-1")), NOW)
    begun: list[SavedEffect] = []
    while claim := await store.claim_effects(NOW, 10):
        begun += claim
        await store.finish_effect(claim[0].row_id)
    assert effects_of(begun) == [RefreshForm("form-2"), PostForm("form-3"), RefreshRoot(), RefreshForm("form-1")]
    assert [(saved.post_id == root.post_id, saved.attempts) for saved in begun] == [
        (False, 1),
        (False, 1),
        (True, 2),
        (False, 1),
    ]


async def test_a_redrawing_that_is_put_back_gives_way_to_a_later_one(store: SqlStore) -> None:
    """It had begun when that was asked for, and would hold up what stands between the two."""
    await store.add_run(make_run(), [RefreshRoot()], NOW)
    [root] = await store.claim_effects(NOW, 10)
    await store.change("run-1", then(PostForm("form-1"), RefreshRoot()), NOW)
    await store.put_back_effect(root.row_id, LATER)
    [form] = await store.claim_effects(NOW, 10)
    assert form.effect == PostForm("form-1")
    await store.finish_effect(form.row_id)
    [again] = await store.claim_effects(NOW, 10)
    assert (again.effect, again.post_id, again.attempts) == (RefreshRoot(), root.post_id, 2)
    await store.finish_effect(again.row_id)
    assert await store.claim_effects(LATER, 10) == ()


async def test_a_redrawing_that_is_put_back_gives_way_to_none_of_another_message(store: SqlStore) -> None:
    """Each form has a message of its own, and so has each run."""
    await store.add_run(make_run(), [RefreshForm("form-1")], NOW)
    [form] = await store.claim_effects(NOW, 10)
    await store.change("run-1", then(RefreshForm("form-2"), RefreshRoot()), NOW)
    await store.put_back_effect(form.row_id, LATER)
    assert await store.claim_effects(NOW, 10) == ()
    assert effects_of(await store.claim_effects(LATER, 10)) == [RefreshForm("form-1")]


async def test_a_redrawing_that_has_begun_or_is_of_another_run_keeps_its_place(store: SqlStore) -> None:
    """What it draws may be older than the change."""
    await store.add_run(make_run(), [RefreshRoot()], NOW)
    await store.add_run(make_run(run_id="run-2"), [RefreshRoot()], NOW)
    begun, _ = await store.claim_effects(NOW, 10)
    await store.add_run(make_run(run_id="run-3"), [RefreshRoot()], NOW)
    await store.change("run-1", then(RefreshRoot()), NOW)
    assert len(await store.claim_effects(NOW, 10)) == 1
    await store.finish_effect(begun.row_id)
    assert effects_of(await store.claim_effects(NOW, 10)) == [RefreshRoot()]


async def test_an_effect_given_up_lets_the_next_one_go(store: SqlStore) -> None:
    await store.add_run(make_run(), [PostRoot(), RefreshRoot()], NOW)
    [root] = await store.claim_effects(NOW, 10)
    await store.give_up_effect(root.row_id, "channel_not_found")
    assert effects_of(await store.claim_effects(NOW, 10)) == [RefreshRoot()]
    assert effects_of(await left_behind(store)) == [RefreshRoot()]


async def test_an_effect_is_given_up_along_with_what_that_means(store: SqlStore) -> None:
    await store.add_run(make_run(), [PostRoot()], NOW)
    await store.add_effect(CheckCommand(make_command()), NOW, delivery="delivery-1")
    root, check = await store.claim_effects(NOW, 10)
    await store.change("run-1", then(RefreshRoot(), error="no"), NOW, done=root.row_id, reason="refused")
    await store.add_effect(TellNotStartable("https://hooks.example/1", ()), NOW, done=check.row_id, reason="a mistake")
    assert await left_behind(store) == ()
    assert effects_of(await store.claim_effects(NOW, 10)) == [
        RefreshRoot(),
        TellNotStartable("https://hooks.example/1", ()),
    ]
    assert await given_up(store) == {"PostRoot": "refused", "CheckCommand": "a mistake"}


async def test_an_effect_that_cannot_be_read_is_given_up_and_holds_up_nobody(store: SqlStore) -> None:
    """Say, of a newer version of the bot: else it would stop the outbox at each look, and each start."""
    await store.add_run(make_run(), [PostForm("form-1"), RefreshRoot(), StartRun()], NOW)
    await _spoil(store, "PostForm", "PostPoem")
    await _spoil(store, "StartRun", "SubmitForm")
    assert await store.claim_effects(NOW, 10) == ()
    [refresh] = await store.claim_effects(NOW, 10)
    assert refresh.effect == RefreshRoot()
    await _spoil(store, "RefreshRoot", "PostPoem")
    assert await left_behind(store) == ()
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
    assert await left_behind(store) == (turn_came,)
    [again] = await store.claim_effects(NOW, 10)
    assert again == replace(waiting, attempts=2)


async def test_what_was_begun_and_not_finished_is_found_by_the_next_process(database_url: str) -> None:
    async with open_store(database_url) as store:
        await store.join(LEASE)
        await store.add_run(make_run(), [PostRoot(), StartRun(), RefreshRoot()], NOW)
        root, start = await store.claim_effects(NOW, 10)
        await store.finish_effect(start.row_id)
        await store.stay(LAPSED)
    async with open_store(database_url) as reopened:
        await reopened.join(LEASE)
        assert await reopened.take_over(NOW) == (root,)
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
    with pytest.raises(LeaseLost):
        await store.finish_effect(first.row_id)
    assert effects_of(await store.claim_effects(NOW, 10)) == [RefreshRoot()]


# --- what is due ---------------------------------------------------------------------------------------------------


async def test_runs_that_wait_are_looked_at_soon_where_nobody_worked(store: SqlStore) -> None:
    """A form may have been answered elsewhere meanwhile; who executes is looked at soon anyway."""
    paused = [f"run-{digit}" for digit in "0123456789abcdef"]
    for run_id in paused:
        poll_at = NOW + timedelta(hours=1)
        await store.add_run(make_run(run_id=run_id, status=RunStatus.PAUSED, poll_at=poll_at), [], NOW)
    sooner = NOW + timedelta(seconds=1)
    await store.add_run(make_run(run_id="soon", status=RunStatus.PAUSED, poll_at=sooner), [], NOW)
    await store.catch_up(NOW, timedelta(minutes=16), timedelta(hours=2))
    moments = [(await store.run(run_id)).poll_at for run_id in paused]
    assert moments == [NOW + timedelta(minutes=number) for number in range(1, 17)]
    assert (await store.run("soon")).poll_at == sooner


@pytest.mark.postgres
async def test_what_a_clock_that_was_put_back_left_far_ahead_is_drawn_in(processes: Processes) -> None:
    """What waits no longer than anything may stays as it is while another process works."""
    one, _, _ = processes
    near, far = NOW + timedelta(hours=1), NOW + timedelta(days=1)
    for run_id, moment in (("run-1", near), ("run-2", far)):
        await one.add_run(make_run(run_id=run_id, status=RunStatus.PAUSED, poll_at=moment), [RefreshRoot()], moment)
    await one.catch_up(NOW, timedelta(minutes=16), timedelta(hours=2))
    assert (await one.run("run-1")).poll_at == near
    assert (await one.run("run-2")).poll_at == NOW + timedelta(minutes=3)
    assert [each.run_id for each in await one.claim_effects(NOW, 10)] == ["run-2"]


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


async def test_polls_of_runs_that_move_come_first_then_those_past_a_deadline_then_the_longest_overdue(
    store: SqlStore,
) -> None:
    """Behind a backlog of runs that wait, nobody is to wait who need not."""
    for number in range(3):
        waits = make_run(run_id=f"waits-{number}", status=RunStatus.PAUSED, poll_at=NOW - timedelta(hours=9 - number))
        await store.add_run(replace(waits, forms=(make_form(form_id=f"form-{number}", expires_at=LATER),)), [], NOW)
    decided = make_form(form_id="decided", status=FormStatus.SUBMITTED, expires_at=NOW)
    await store.add_run(make_run(run_id="decided", status=RunStatus.PAUSED, poll_at=NOW, forms=(decided,)), [], NOW)
    late = tuple(make_form(form_id=f"late-{number}", expires_at=NOW) for number in (1, 2))
    await store.add_run(make_run(run_id="late", status=RunStatus.PAUSED, poll_at=NOW, forms=late), [], NOW)
    for status in (RunStatus.SOUGHT, RunStatus.RUNNING, RunStatus.RESUMING):
        await store.add_run(make_run(run_id=str(status), status=status, poll_at=NOW), [], NOW)
    in_turn = [await store.claim_polls(NOW, LATER, 1) for _ in range(9)]
    assert set(in_turn[:3]) == {("sought",), ("running",), ("resuming",)}
    assert in_turn[3:] == [("late",), ("waits-0",), ("waits-1",), ("waits-2",), ("decided",), ()]


async def test_polls_are_given_by_the_apps_that_are_asked_about(store: SqlStore) -> None:
    for app in ("one", "two", "three"):
        await store.add_run(make_run(run_id=app, app=app, poll_at=NOW), [], NOW)
    assert await store.claim_polls(NOW, LATER, 9, apps=()) == ()
    assert await store.claim_polls(NOW, LATER, 9, apps=("two", "none")) == ("two",)
    assert await store.claim_polls(NOW, LATER, 9, but_for=("one", "two")) == ("three",)
    assert await store.claim_polls(NOW, LATER, 9) == ("one",)


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
    [root] = await store.claim_effects(LATER, 10)
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


async def test_a_due_reminder_is_given_once_until_the_moment_it_was_moved_to(store: SqlStore) -> None:
    forms = (make_form(remind_at=NOW), make_form(form_id="form-2", remind_at=LATER), make_form(form_id="form-3"))
    await store.add_run(make_run(forms=forms), [], NOW)
    assert await store.next_due() == NOW
    assert await store.claim_reminders(NOW, LATER, 10) == (("run-1", "form-1"),)
    assert await store.next_due() == LATER
    assert await store.claim_reminders(NOW, LATER, 10) == ()
    assert set(await store.claim_reminders(LATER, LATER, 10)) == {("run-1", "form-1"), ("run-1", "form-2")}


async def test_of_many_due_reminders_the_longest_overdue_are_given(store: SqlStore) -> None:
    forms = tuple(make_form(form_id=f"form-{n}", remind_at=NOW - timedelta(minutes=n)) for n in (1, 3, 2))
    await store.add_run(make_run(forms=forms), [], NOW)
    assert {form_id for _, form_id in await store.claim_reminders(NOW, LATER, 2)} == {"form-3", "form-2"}


# --- what is past --------------------------------------------------------------------------------------------------


async def test_runs_that_ended_long_ago_are_deleted_with_all_that_belongs_to_them(store: SqlStore) -> None:
    old = make_run(status=RunStatus.SUCCEEDED, ended_at=NOW, forms=(make_form(),))
    young = make_run(run_id="run-2", status=RunStatus.SUCCEEDED, ended_at=LATER, forms=(make_form(form_id="form-2"),))
    waiting = make_run(run_id="run-3", status=RunStatus.PAUSED)
    for run in (old, young, waiting):
        await store.add_run(run, [PostRoot()], NOW)
        await store.follow(run.run_id)
    for saved in await store.claim_effects(NOW, 10):
        await store.give_up_effect(saved.row_id, "channel_not_found")
    assert await store.purge(LATER, 10) == 1
    assert await store.purge(LATER, 10) == 0
    with pytest.raises(UnknownHere):
        await store.run("run-1")
    assert (await store.run("run-2"), await store.run("run-3")) == (young, waiting)


async def test_a_run_is_kept_while_something_of_it_is_still_to_be_said(store: SqlStore) -> None:
    await store.add_run(make_run(status=RunStatus.SUCCEEDED, ended_at=NOW), [PostResult()], NOW)
    assert await store.purge(LATER, 10) == 0
    [result] = await store.claim_effects(NOW, 10)
    assert await store.purge(LATER, 10) == 0
    await store.finish_effect(result.row_id)
    assert await store.purge(LATER, 10) == 1


async def test_answers_that_were_given_up_long_ago_are_deleted(store: SqlStore) -> None:
    for number, moment in enumerate((NOW, NOW, LATER)):
        await store.add_effect(
            CheckCommand(make_command(command_id=f"run-{number}")), moment, delivery=f"delivery-{number}"
        )
    await store.add_run(make_run(), [PostRoot()], NOW)
    waiting, *checks, root = await store.claim_effects(LATER, 10)
    for saved in (*checks, root):
        await store.give_up_effect(saved.row_id, "channel_not_found")
    assert await store.purge(LATER, 10) == 1
    assert await given_up(store) == {"CheckCommand": "channel_not_found", "PostRoot": "channel_not_found"}
    await store.finish_effect(waiting.row_id)


async def test_not_more_than_the_limit_are_deleted_at_once_the_oldest_first(store: SqlStore) -> None:
    for minutes in (1, 3, 2):
        ended_at = NOW - timedelta(minutes=minutes)
        await store.add_run(make_run(run_id=f"run-{minutes}", status=RunStatus.STOPPED, ended_at=ended_at), [], NOW)
    assert await store.purge(NOW, 2) == 2
    assert (await store.run("run-1")).run_id == "run-1"


# --- one process after the other -----------------------------------------------------------------------------------


async def test_what_a_process_that_is_gone_had_begun_and_held_is_taken_up_by_the_next(database_url: str) -> None:
    """What it had sent, or not, is to be found out; what it held has certainly not been sent."""
    async with open_store(database_url) as store:
        await store.join(LEASE)
        await store.add_run(make_run(), [PostRoot(), StartRun()], NOW)
        root, start = await store.claim_effects(NOW, 10)
        await store.hold_effect(start.row_id)
        await store.stay(LAPSED)
    async with open_store(database_url) as successor:
        await successor.join(LEASE)
        assert await successor.claim_effects(NOW, 10) == ()
        assert await successor.take_over(NOW) == (root,)
        assert await successor.take_over(NOW, [root.row_id]) == ()
        assert await successor.claim_effects(NOW, 10) == (replace(start, attempts=2),)
        await successor.finish_effect(root.row_id)


async def test_what_a_process_has_lost_sight_of_is_taken_up_by_itself(store: SqlStore) -> None:
    """Say, because the answer to its claim was lost on the way."""
    await store.add_run(make_run(), [PostRoot(), StartRun(), RefreshRoot()], NOW)
    await store.add_run(make_run(run_id="run-2"), [PostRoot()], NOW)
    known, lost, held = await store.claim_effects(NOW, 10)
    await store.hold_effect(held.row_id)
    assert await store.take_over(NOW, [known.row_id, held.row_id]) == (lost,)
    assert await store.claim_effects(NOW, 10) == ()
    assert await store.take_over(NOW, [known.row_id, lost.row_id]) == ()
    assert await store.claim_effects(NOW, 10) == (replace(held, attempts=2),)


async def test_what_is_taken_over_and_cannot_be_read_is_given_up(database_url: str) -> None:
    async with open_store(database_url) as store:
        await store.join(LEASE)
        await store.add_run(make_run(), [RefreshRoot(), PostRoot()], NOW)
        await store.claim_effects(NOW, 10)
        await _spoil(store, "RefreshRoot", "PostPoem")
        await store.stay(LAPSED)
    async with open_store(database_url) as successor:
        await successor.join(LEASE)
        assert await successor.take_over(NOW) == ()
        assert effects_of(await successor.claim_effects(NOW, 10)) == [PostRoot()]


async def test_runs_that_a_process_that_is_gone_followed_are_to_be_looked_at(database_url: str) -> None:
    async with open_store(database_url) as store:
        await store.join(LEASE)
        await store.add_run(make_run(poll_at=LATER), [], NOW)
        await store.add_run(make_run(run_id="run-2", poll_at=LATER), [], NOW)
        await store.add_run(make_run(run_id="run-3", status=RunStatus.SUCCEEDED, ended_at=NOW), [], NOW)
        for run_id in ("run-1", "run-3"):
            assert await store.follow(run_id)
        await store.stay(LAPSED)
    async with open_store(database_url) as successor:
        await successor.join(LEASE)
        assert await successor.take_over(NOW) == ()
        assert await successor.claim_polls(NOW, LATER, 10) == ("run-1",)
        assert await successor.follow("run-1")


async def test_what_a_process_leaves_is_free_at_once(database_url: str) -> None:
    async with open_store(database_url) as store:
        await store.join(LEASE)
        await store.add_run(make_run(poll_at=LATER), [PostRoot(), StartRun()], NOW)
        root, start = await store.claim_effects(NOW, 10)
        await store.hold_effect(start.row_id)
        assert await store.follow("run-1")
        await store.leave(NOW)
        assert await store.claim_effects(LATER, 10) == ()
        async with open_store(database_url) as successor:
            await successor.join(LEASE)
            assert await successor.claim_polls(NOW, LATER, 10) == ("run-1",)
            assert await successor.take_over(NOW) == (root,)
            assert effects_of(await successor.claim_effects(NOW, 10)) == [StartRun()]
            with pytest.raises(LeaseLost):
                await store.finish_effect(root.row_id)
            with pytest.raises(LeaseLost):
                await store.stay(LEASE)


async def test_nothing_is_saved_along_with_an_effect_that_another_process_took_over(database_url: str) -> None:
    async with open_store(database_url) as store:
        await store.join(LEASE)
        await store.add_run(make_run(), [PostRoot()], NOW)
        await store.add_effect(CheckCommand(make_command()), NOW, delivery="delivery-1")
        root, check = await store.claim_effects(NOW, 10)
        await store.leave(NOW)
        async with open_store(database_url) as successor:
            await successor.join(LEASE)
            assert await successor.take_over(NOW) == (root, check)
            for late in (
                store.change("run-1", then(StartRun(), query="x"), NOW, delivery="delivery-2", done=root.row_id),
                store.change("run-1", then(StartRun(), query="x"), NOW, done=root.row_id, reason="refused"),
                store.add_run(make_run(run_id="run-2"), [PostRoot()], NOW, done=check.row_id),
                store.add_effect(TellNotStartable("https://hooks.example/1", ()), NOW, done=check.row_id),
                store.hold_effect(root.row_id),
                store.begin_effect(root.row_id),
                store.finish_effect(root.row_id),
                store.put_back_effect(root.row_id, NOW),
                store.give_up_effect(root.row_id, "no"),
            ):
                with pytest.raises(LeaseLost):
                    await late
            assert await successor.run("run-1") == make_run()
            with pytest.raises(UnknownHere):
                await successor.run("run-2")
            assert await successor.claim_effects(NOW, 10) == ()
            assert await successor.change("run-1", kept, NOW, delivery="delivery-2", done=root.row_id) is not None
            await successor.finish_effect(check.row_id)


async def test_a_process_that_has_not_joined_begins_and_takes_over_nothing(database_url: str) -> None:
    async with open_store(database_url) as store:
        await store.join(LEASE)
        await store.add_run(make_run(), [PostRoot(), StartRun()], NOW)
        [begun] = await store.claim_effects(NOW, 1)
        await store.leave(NOW)
        assert await store.claim_effects(NOW, 10) == ()
        assert await store.take_over(NOW) == ()
        await store.join(LEASE)
        assert await store.take_over(NOW) == (begun,)
        assert effects_of(await store.claim_effects(NOW, 10)) == [StartRun()]


async def test_a_run_is_followed_until_it_is_not(store: SqlStore) -> None:
    """By the same process as often as it likes; a run that ends elsewhere meanwhile may be deleted."""
    await store.add_run(make_run(), [], NOW)
    for _ in range(2):
        assert await store.follow("run-1")
    for _ in range(2):
        await store.unfollow("run-1")
    with pytest.raises(StoreError):
        await store.follow("run-0")


# --- several processes at once: PostgreSQL -------------------------------------------------------------------------


@pytest.fixture
async def processes(postgres_url: str) -> AsyncIterator[tuple[SqlStore, SqlStore, SqlStore]]:
    """Three processes that share a database."""
    async with AsyncExitStack() as stack:
        stores = [await stack.enter_async_context(open_store(postgres_url)) for _ in range(3)]
        for each in stores:
            await each.join(LEASE)
        one, two, three = stores
        yield one, two, three


Processes = tuple[SqlStore, SqlStore, SqlStore]


@pytest.mark.postgres
async def test_processes_that_claim_at_once_share_what_is_due(processes: Processes) -> None:
    for number in range(30):
        form = make_form(form_id=f"form-{number}", remind_at=NOW)
        await processes[0].add_run(make_run(run_id=f"run-{number}", poll_at=NOW, forms=(form,)), [PostRoot()], NOW)
    three_times = [each for each in processes for _ in range(3)]
    effects = await asyncio.gather(*(each.claim_effects(NOW, 9) for each in three_times))
    polls = await asyncio.gather(*(each.claim_polls(NOW, LATER, 9) for each in three_times))
    reminders = await asyncio.gather(*(each.claim_reminders(NOW, LATER, 9) for each in three_times))
    begun = [saved.row_id for claim in effects for saved in claim]
    looks = [run_id for claim in polls for run_id in claim]
    reminded = [form_id for claim in reminders for _, form_id in claim]
    # A claim that passes over what others are claiming may find less than there is, but nothing twice.
    for given in (begun, looks, reminded):
        assert len(set(given)) == len(given) >= 9


@pytest.mark.postgres
async def test_a_delivery_that_reaches_several_processes_is_saved_once(processes: Processes) -> None:
    saved = await asyncio.gather(
        *(each.add_effect(CheckCommand(make_command()), NOW, delivery="delivery-1") for each in processes)
    )
    assert sorted(saved) == [False, False, True]
    await processes[0].add_run(make_run(), [], NOW)
    clicks = await asyncio.gather(
        *(each.change("run-1", then(RefreshRoot()), NOW, delivery="delivery-2") for each in processes)
    )
    assert [click is None for click in clicks].count(False) == 1
    assert len(await processes[1].claim_effects(NOW, 10)) == 2


@pytest.mark.postgres
async def test_while_a_lease_lasts_nothing_is_taken_over(processes: Processes) -> None:
    one, two, _ = processes
    await one.add_run(make_run(poll_at=LATER), [PostRoot(), StartRun()], NOW)
    root, start = await one.claim_effects(NOW, 10)
    await one.hold_effect(start.row_id)
    assert await one.follow("run-1")
    assert await two.take_over(NOW) == ()
    assert await two.claim_effects(NOW, 10) == ()
    assert await two.claim_polls(NOW, LATER, 10) == ()
    assert not await two.follow("run-1")
    await two.unfollow("run-1")
    assert not await two.follow("run-1")
    for theirs in (two.finish_effect(root.row_id), two.begin_effect(start.row_id)):
        with pytest.raises(LeaseLost):
            await theirs
    await one.finish_effect(root.row_id)


@pytest.mark.postgres
async def test_a_run_may_be_followed_instead_of_the_process_that_did(processes: Processes) -> None:
    """An answer goes out through the process that was clicked in, whoever listened before."""
    one, two, _ = processes
    await one.add_run(make_run(), [], NOW)
    assert await one.follow("run-1")
    assert await two.follow("run-1", instead_of_others=True)
    await one.unfollow("run-1")
    assert not await one.follow("run-1")


@pytest.mark.postgres
@pytest.mark.parametrize("end", ["unfollows", "leaves", "lapses"])
async def test_slack_hears_of_a_run_from_the_process_that_follows_it_while_that_lives(
    processes: Processes, end: str
) -> None:
    """It alone knows what it has shown of texts and steps. All else, and whatever Dify is told, anybody may tell."""
    one, two, three = processes
    await one.add_run(make_run(), [PostStuck(), RefreshRoot(), PostForm("form-1"), StartRun()], NOW)
    await one.add_run(make_run(run_id="run-2"), [RefreshRoot()], NOW)
    assert await one.follow("run-1")
    begun = await two.claim_effects(NOW, 10)
    assert [(saved.run_id, saved.effect) for saved in begun] == [
        ("run-1", PostStuck()),
        ("run-1", StartRun()),
        ("run-2", RefreshRoot()),
    ]
    for saved in begun:
        await two.finish_effect(saved.row_id)
    assert await two.next_due() is None
    assert await one.next_due() == NOW
    if end == "unfollows":
        await one.unfollow("run-1")
    elif end == "leaves":
        await one.leave(NOW)
    else:
        await one.stay(LAPSED)
    assert await three.next_due() == NOW
    assert effects_of(await three.claim_effects(NOW, 10)) == [RefreshRoot()]


@pytest.mark.postgres
async def test_a_lease_is_held_until_it_may_have_lapsed(
    processes: Processes, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a clock that no machine stops, from before it was asked for; an SQLite database cannot be taken over.

    A third of it is for what was sent before.
    """
    one, two, _ = processes
    started = sql._seconds()
    assert one.holds_lease()
    monkeypatch.setattr(sql, "_seconds", lambda: started + LEASE.total_seconds() * 0.6)
    assert one.holds_lease()
    monkeypatch.setattr(sql, "_seconds", lambda: started + LEASE.total_seconds() * 0.7)
    assert not one.holds_lease()
    monkeypatch.undo()
    await one.stay(LAPSED)
    assert not one.holds_lease()
    await one.stay(LEASE)
    assert one.holds_lease()
    monkeypatch.setattr(sql, "_seconds", lambda: started + 2 * LEASE.total_seconds())
    assert not one.holds_lease()
    monkeypatch.undo()
    await one.stay(LAPSED)
    await two.take_over(NOW)
    monkeypatch.setattr(sql, "_seconds", lambda: 0.0)
    with pytest.raises(LeaseLost):
        await one.stay(LEASE)
    assert not one.holds_lease()
    await one.join(LEASE)
    assert one.holds_lease()
    await one.leave(NOW)
    assert not one.holds_lease()
    async with open_store(sqlite_url) as alone:
        await alone.join(LAPSED)
        assert alone.holds_lease()


@pytest.mark.postgres
async def test_a_process_that_lapsed_is_taken_over_by_one_of_the_others(processes: Processes) -> None:
    dead, *others = processes
    for number in range(20):
        await dead.add_run(make_run(run_id=f"run-{number}", poll_at=LATER), [PostRoot()], NOW)
        assert await dead.follow(f"run-{number}")
    begun = await dead.claim_effects(NOW, 100)
    await dead.stay(LAPSED)
    shares = await asyncio.gather(*(each.take_over(NOW) for each in others))
    assert sorted(saved.row_id for share in shares for saved in share) == [saved.row_id for saved in begun]
    assert len(await others[0].claim_polls(NOW, LATER, 100)) == 20
    with pytest.raises(LeaseLost):
        await dead.stay(LEASE)
    with pytest.raises(LeaseLost):
        await dead.finish_effect(begun[0].row_id)
    await dead.join(LEASE)
    assert await dead.take_over(NOW) == ()


@pytest.mark.postgres
async def test_a_process_that_lapsed_begins_nothing_until_it_has_renewed_its_lease(processes: Processes) -> None:
    """Else another one would take over what it has just begun: say, after its machine slept."""
    one, two, _ = processes
    await one.add_run(make_run(), [PostRoot()], NOW)
    await one.stay(LAPSED)
    assert await one.claim_effects(NOW, 10) == ()
    assert await one.take_over(NOW) == ()
    await one.stay(LEASE)
    assert len(await one.claim_effects(NOW, 10)) == 1
    assert await two.take_over(NOW) == ()


@pytest.mark.postgres
async def test_the_dead_are_buried_without_waiting_for_one_who_does_so_already(
    postgres_url: str, processes: Processes
) -> None:
    """A process that hangs in the middle holds up nobody."""
    dead, other, _ = processes
    await dead.add_run(make_run(), [PostRoot()], NOW)
    await dead.claim_effects(NOW, 10)
    await dead.stay(LAPSED)
    hanging = await asyncpg.connect(postgres_url)
    async with hanging.transaction():
        await hanging.execute("SELECT * FROM processes WHERE lease_until <= now() FOR UPDATE")
        assert await other.take_over(NOW) == ()
    await hanging.close()
    assert effects_of(await other.take_over(NOW)) == [PostRoot()]


# --- drafts --------------------------------------------------------------------------------------------------------


def draft(at: datetime = NOW, typed_before: str = "", generation: int = 0, **values: str | None) -> Draft:
    """Return what somebody has entered into a window."""
    return Draft(values, at, typed_before, generation)


@pytest.fixture
async def asked(store: SqlStore) -> SqlStore:
    """A store with a run that waits for a form."""
    await store.add_run(make_run(status=RunStatus.PAUSED, forms=(make_form(),)), [], NOW)
    return store


async def test_a_draft_is_each_persons_own(asked: SqlStore) -> None:
    await asked.save_draft("form-1", "U1", draft(feedback="mine\n🍵\0", tone=None, typed_before="digest"))
    await asked.save_draft("form-1", "U2", draft(feedback="yours"))
    assert await asked.draft("form-1", "U1") == draft(feedback="mine\n🍵\0", tone=None, typed_before="digest")
    assert await asked.draft("form-1", "U2") == draft(feedback="yours")
    assert await asked.draft("form-1", "U3") is None


async def test_the_newest_draft_is_kept_however_late_an_older_one_comes(asked: SqlStore) -> None:
    """Slack delivers what is typed quickly in any order."""
    for at, text in ((LATER, "new"), (NOW, "old")):
        await asked.save_draft("form-1", "U1", draft(at, feedback=text))
    assert await asked.draft("form-1", "U1") == draft(LATER, feedback="new")


async def test_what_was_begun_anew_is_not_brought_back_by_a_change_of_before(asked: SqlStore) -> None:
    """Slack tells of what is typed a while after it was, and of a click at once."""
    await asked.save_draft("form-1", "U1", draft(feedback="typed"))
    await asked.save_draft("form-1", "U1", draft(generation=1))
    await asked.save_draft("form-1", "U1", draft(LATER, feedback="typed and"))
    assert await asked.draft("form-1", "U1") == draft(generation=1)


async def test_whose_answer_is_claimed_has_no_draft_of_it_any_more(asked: SqlStore) -> None:
    """Others keep theirs; and no draft of a form is kept that comes after the decision."""
    for user in ("U1", "U2"):
        await asked.save_draft("form-1", user, draft(feedback="typed"))
    claimed = make_form(status=FormStatus.CLAIMED, submission=make_submission(user_id="U2"))
    await asked.change("run-1", then(forms=(claimed,)), NOW)
    for user in ("U2", "U3"):
        await asked.save_draft("form-1", user, draft(LATER, feedback="late"))
    found = [await asked.draft("form-1", user) for user in ("U1", "U2", "U3")]
    assert found == [draft(feedback="typed"), None, None]


async def test_drafts_of_a_form_that_is_closed_are_given_back_once(asked: SqlStore) -> None:
    """To each who left one, but not to who answered, nor to who looks at the window, which tells them."""
    for user, text in {"U1": "one", "U2": "two", "U3": "three", "U4": None, "U5": " \n"}.items():
        await asked.save_draft("form-1", user, draft(feedback=text))
    answer, given_back = make_submission(user_id="U2"), (GiveBackDraft("U1", "form-1", {"feedback": "one"}),)
    expected = {FormStatus.CLAIMED: (), FormStatus.SUBMITTED: given_back}
    for status, effects in (*expected.items(), (FormStatus.SUBMITTED, ())):
        decided = then(forms=(make_form(status=status, submission=answer),))
        transition = await asked.change("run-1", decided, NOW, looking={("form-1", "U3"), ("form-2", "U1")})
        assert transition is not None
        assert transition.effects == effects
    assert effects_of(await asked.claim_effects(NOW, 10)) == [*given_back]
    found = [await asked.draft("form-1", user) for user in ("U1", "U2", "U3", "U4", "U5")]
    assert found == [None, None, draft(feedback="three"), None, None]


async def test_a_draft_of_a_form_that_nobody_knows_is_not_kept(asked: SqlStore) -> None:
    await asked.save_draft("form-0", "U1", draft(feedback="typed"))
    assert await asked.draft("form-0", "U1") is None


async def test_a_draft_goes_with_its_run(asked: SqlStore) -> None:
    await asked.save_draft("form-1", "U1", draft(feedback="typed"))
    await asked.change("run-1", then(status=RunStatus.STOPPED, ended_at=NOW), NOW)
    assert await asked.purge(LATER, 10) == 1
    assert await asked.draft("form-1", "U1") is None
