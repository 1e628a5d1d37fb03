"""Every row of the tables, and every rule of `advance` with what it asks to be done."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import pytest

from bot.core import effects as do
from bot.core import events as saw
from bot.core.effects import Effect, Transition
from bot.core.events import LifecycleEvent
from bot.core.lifecycle import FORM_MOVES, RUN_MOVES, FormMove, RunMove, advance, move_form, move_run
from bot.core.model import AppMode, FileField, Form, FormStatus, Paragraph, Run, RunStatus, Select
from bot.errors import IllegalTransition, UnknownHere
from tests.factories import NOW, make_form, make_run, make_submission

LATER = NOW + timedelta(minutes=5)
NAMED = (RunStatus.RUNNING, RunStatus.PAUSED, RunStatus.RESUMING)
UNNAMED = (RunStatus.REQUESTED, RunStatus.STARTING, RunStatus.SOUGHT)
ENDED = tuple(status for status in RunStatus if status.ended)
CLOSED = tuple(status for status in FormStatus if status.closed)
UNDECIDED = (FormStatus.REQUIRED, FormStatus.OPEN)
DECIDED = (FormStatus.CLAIMED, FormStatus.SUBMITTING, FormStatus.SETTLING)

CLAIM = make_submission(action_id="approve", user_id="U2", at=NOW)
OTHER = make_submission(action_id="regenerate", user_id="U3", at=LATER)


def run_in(status: RunStatus, *forms: Form, **changes: Any) -> Run:
    return make_run(status=status, forms=forms, thread_ts="1.1", root_ts="1.1", since=NOW, **changes)


def form_in(status: FormStatus, form_id: str = "form-1", **changes: Any) -> Form:
    decided = status in DECIDED or status is FormStatus.SUBMITTED
    return make_form(
        **{
            "form_id": form_id,
            "node_id": f"node of {form_id}",
            "status": status,
            "message_ts": None,
            "submission": CLAIM if decided else None,
        }
        | changes
    )


def after(run: Run, event: LifecycleEvent) -> Transition:
    return advance(run, event, LATER)


def form_after(run: Run, event: LifecycleEvent) -> tuple[Form, tuple[Effect, ...]]:
    transition = after(run, event)
    return transition.run.form("form-1"), transition.effects


def is_absorbed(run: Run, event: LifecycleEvent) -> bool:
    return after(run, event) == Transition(run)


class TestTables:
    """What the two tables allow, and nothing else."""

    @pytest.mark.parametrize(("status", "move"), [*product(RunStatus, RunMove)])
    def test_a_run_moves_by_its_table_only(self, status: RunStatus, move: RunMove) -> None:
        run = run_in(status)
        target = RUN_MOVES.get(status, {}).get(move)
        if target is not None:
            assert move_run(run, move, LATER).status is target
        elif status.ended:
            assert move_run(run, move, LATER) is run
        else:
            with pytest.raises(IllegalTransition, match=f"run-1 is {status}"):
                move_run(run, move, LATER)

    @pytest.mark.parametrize(("status", "move"), [*product(FormStatus, FormMove)])
    def test_a_form_moves_by_its_table_only(self, status: FormStatus, move: FormMove) -> None:
        form = form_in(status)
        target = FORM_MOVES.get(status, {}).get(move)
        if target is not None:
            assert move_form(form, move, refusal="no") == replace(form, status=target, refusal="no")
        elif status.closed:
            assert move_form(form, move, refusal="no") is form
        else:
            with pytest.raises(IllegalTransition, match=f"form-1 is {status}"):
                move_form(form, move)

    def test_a_run_that_has_ended_never_moves(self) -> None:
        assert not set(ENDED) & set(RUN_MOVES)

    def test_a_closed_form_moves_only_where_another_answer_proves_to_count(self) -> None:
        """Of several submits at the same moment more than one may get 200 (recording 04)."""
        assert {status: FORM_MOVES[status] for status in CLOSED if status in FORM_MOVES} == {
            FormStatus.SUBMITTED: {FormMove.FILLED_ELSEWHERE: FormStatus.ANSWERED_ELSEWHERE}
        }

    @pytest.mark.parametrize(
        ("moves", "first"), [(RUN_MOVES, RunStatus.REQUESTED), (FORM_MOVES, FormStatus.REQUIRED)], ids=["run", "form"]
    )
    def test_every_status_can_be_reached(self, moves: Any, first: Any) -> None:
        reached = [first]
        for status in reached:
            reached += [target for target in moves.get(status, {}).values() if target not in reached]
        assert set(reached) == set(type(first))

    @pytest.mark.parametrize("status", NAMED)
    def test_whatever_dify_says_of_the_end_is_taken_in_every_status_it_can_report_on(self, status: RunStatus) -> None:
        assert set(ENDED) <= set(RUN_MOVES[status].values())

    @pytest.mark.parametrize("status", [status for status in FormStatus if not status.closed])
    def test_a_form_can_be_closed_from_outside_in_every_status(self, status: FormStatus) -> None:
        assert {FormStatus.ANSWERED_ELSEWHERE, FormStatus.TIMED_OUT, FormStatus.VOID} <= set(
            FORM_MOVES[status].values()
        )

    def test_a_form_is_sent_out_of_its_claim_only(self) -> None:
        ways = [
            (status, move)
            for status, row in FORM_MOVES.items()
            for move, target in row.items()
            if target is FormStatus.SUBMITTING is not status
        ]
        assert ways == [(FormStatus.CLAIMED, FormMove.SENT)]

    def test_since_is_when_the_status_was_reached(self) -> None:
        paused = move_run(run_in(RunStatus.RUNNING), RunMove.PAUSED, LATER)
        assert (paused.since, paused.ended_at) == (LATER, None)
        assert move_run(paused, RunMove.PAUSED, LATER + timedelta(hours=1)) is paused

    @pytest.mark.parametrize("status", NAMED)
    def test_the_end_of_a_run_has_its_moment(self, status: RunStatus) -> None:
        assert move_run(run_in(status), RunMove.FAILED, LATER).ended_at == LATER


class TestStart:
    """From the command to Dify's name for the run."""

    def test_the_root_message_lets_the_run_start(self) -> None:
        transition = after(make_run(), saw.RootPosted("1.1"))
        said_at = datetime(1970, 1, 1, 0, 0, 1, 100_000, tzinfo=UTC)
        started = {"status": RunStatus.STARTING, "thread_ts": "1.1", "root_ts": "1.1", "since": LATER}
        assert transition.run == make_run(said_at=said_at, **started)
        assert transition.effects == (do.StartRun(),)

    def test_without_a_root_message_nothing_is_started(self) -> None:
        transition = after(make_run(), saw.RootRefused("not_in_channel"))
        assert (transition.run.status, transition.run.error) == (RunStatus.FAILED, "not_in_channel")
        assert transition.effects == (do.TellNotStarted("not_in_channel"),)

    def test_a_later_message_to_a_chatflow_stays_in_its_thread(self) -> None:
        posted = after(make_run(thread_ts="1.1"), saw.RootPosted("2.2")).run
        assert (posted.thread_ts, posted.root_ts) == ("1.1", "2.2")

    @pytest.mark.parametrize("status", [status for status in RunStatus if status is not RunStatus.REQUESTED])
    @pytest.mark.parametrize("event", [saw.RootPosted("9.9"), saw.RootRefused("is_archived")])
    def test_a_second_root_message_starts_nothing(self, status: RunStatus, event: LifecycleEvent) -> None:
        assert is_absorbed(run_in(status), event)

    def test_dify_names_the_run(self) -> None:
        run = run_in(RunStatus.STARTING)
        transition = after(run, saw.RunStarted("wr-1", "task-1", "conversation-1"))
        assert transition.run == replace(
            run,
            status=RunStatus.RUNNING,
            since=LATER,
            started_at=LATER,
            workflow_run_id="wr-1",
            task_id="task-1",
            conversation_id="conversation-1",
        )
        assert transition.effects == (do.RefreshRoot(),)

    @pytest.mark.parametrize("status", [status for status in RunStatus if status is not RunStatus.STARTING])
    @pytest.mark.parametrize("event", [saw.RunStarted("wr-2"), saw.StartUnconfirmed()])
    def test_the_name_is_given_once(self, status: RunStatus, event: LifecycleEvent) -> None:
        assert is_absorbed(run_in(status), event)

    @pytest.mark.parametrize("status", [RunStatus.STARTING, RunStatus.SOUGHT])
    def test_a_refused_start_ends_the_run(self, status: RunStatus) -> None:
        transition = after(run_in(status), saw.StartRefused("topic is required in input form"))
        assert transition.run.status is RunStatus.FAILED
        assert transition.run.error == "topic is required in input form"
        assert transition.effects == (do.RefreshRoot(), do.PostResult())

    def test_a_workflow_whose_start_is_not_confirmed_is_looked_for_and_never_started_again(self) -> None:
        transition = after(run_in(RunStatus.STARTING), saw.StartUnconfirmed())
        assert transition.run == replace(run_in(RunStatus.SOUGHT), since=LATER)
        assert transition.effects == (do.RefreshRoot(),)

    def test_a_chatflow_whose_start_is_not_confirmed_is_lost(self) -> None:
        """Its runs are in no log (dify-api §4.3)."""
        transition = after(run_in(RunStatus.STARTING, mode=AppMode.CHATFLOW), saw.StartUnconfirmed())
        assert transition.run.status is RunStatus.LOST
        assert transition.effects == (do.RefreshRoot(), do.PostResult())

    @pytest.mark.parametrize(("logged", "started"), [(NOW, NOW), (LATER + timedelta(hours=1), LATER)])
    def test_a_run_that_is_found_runs_since_dify_started_it(self, logged: datetime, started: datetime) -> None:
        """But not since a moment that is still to come, where Dify's clock is ahead."""
        run = run_in(RunStatus.SOUGHT)
        transition = after(run, saw.RunFound("wr-1", logged))
        assert transition.run == replace(
            run, status=RunStatus.RUNNING, since=LATER, started_at=started, workflow_run_id="wr-1"
        )
        assert transition.effects == (do.RefreshRoot(),)

    def test_a_run_that_was_found_cannot_be_stopped(self) -> None:
        """Only its stream would have told the id of its task."""
        found = after(run_in(RunStatus.SOUGHT), saw.RunFound("wr-1", NOW)).run
        assert after(found, saw.StopRequested("U2")) == Transition(found, (do.TellCannotStop("U2"),))

    def test_a_run_that_is_not_found_is_lost(self) -> None:
        transition = after(run_in(RunStatus.SOUGHT), saw.RunNotFound())
        assert (transition.run.status, transition.run.ended_at) == (RunStatus.LOST, LATER)
        assert transition.effects == (do.RefreshRoot(), do.PostResult())

    @pytest.mark.parametrize("status", [status for status in RunStatus if status is not RunStatus.SOUGHT])
    @pytest.mark.parametrize("event", [saw.RunFound("wr-2", NOW), saw.RunNotFound()])
    def test_only_what_is_looked_for_is_found_or_not(self, status: RunStatus, event: LifecycleEvent) -> None:
        assert is_absorbed(run_in(status), event)

    @pytest.mark.parametrize("status", [RunStatus.REQUESTED, RunStatus.STARTING, *ENDED])
    def test_a_look_at_what_is_not_looked_at_does_not_fail(self, status: RunStatus) -> None:
        assert is_absorbed(run_in(status), saw.LookFailed(refused=True))

    def test_a_search_that_fails_is_counted(self) -> None:
        """So that the next one comes later, and people learn of a key that Dify refuses."""
        transition = after(run_in(RunStatus.SOUGHT), saw.LookFailed(refused=True))
        assert (transition.run.failed_looks, transition.run.told_refused) == (1, True)
        assert transition.effects == (do.PostKeyRefused(), do.RefreshRoot())

    @pytest.mark.parametrize("status", NAMED)
    def test_a_run_with_a_name_cannot_be_refused(self, status: RunStatus) -> None:
        with pytest.raises(IllegalTransition):
            after(run_in(status), saw.StartRefused("no"))

    @pytest.mark.parametrize("status", ENDED)
    def test_a_late_refusal_changes_nothing(self, status: RunStatus) -> None:
        assert is_absorbed(run_in(status), saw.StartRefused("no"))

    @pytest.mark.parametrize("status", [*UNNAMED, *ENDED])
    @pytest.mark.parametrize(
        "event",
        [
            saw.RunResumed(),
            saw.RunPaused(frozenset({"form-1"})),
            saw.RunFinished(RunStatus.SUCCEEDED),
            saw.RunGone("not found"),
            saw.StillNotMoving(),
            saw.AnswerBegan(),
            saw.FormRequired(form_in(FormStatus.REQUIRED)),
        ],
        ids=lambda event: type(event).__name__,
    )
    def test_dify_reports_on_runs_that_it_named_and_that_have_not_ended(
        self, status: RunStatus, event: LifecycleEvent
    ) -> None:
        assert is_absorbed(run_in(status), event)


class TestPauseAndResume:
    """A run between its segments."""

    def test_a_run_pauses(self) -> None:
        run = run_in(RunStatus.RUNNING, form_in(FormStatus.OPEN))
        transition = after(run, saw.RunPaused(frozenset({"form-1"})))
        assert transition.run.status is RunStatus.PAUSED
        assert transition.effects == (do.RefreshRoot(),)

    def test_hearing_of_a_pause_again_is_noted_and_changes_nothing(self) -> None:
        run = run_in(RunStatus.PAUSED, form_in(FormStatus.OPEN))
        compared = replace(run, compared_at=LATER, compared_steps=2)
        assert after(run, saw.RunPaused(frozenset({"form-1"}), steps=2)) == Transition(compared)

    def test_a_stale_report_of_a_pause_is_no_comparison(self) -> None:
        run = run_in(RunStatus.PAUSED, form_in(FormStatus.SUBMITTED))
        assert is_absorbed(run, saw.RunPaused(frozenset({"form-1"}), steps=2))

    @pytest.mark.parametrize("status", UNDECIDED)
    def test_a_form_that_dify_no_longer_lists_is_read(self, status: FormStatus) -> None:
        run = run_in(RunStatus.PAUSED, form_in(status), form_in(FormStatus.OPEN, "form-2"))
        transition = after(run, saw.RunPaused(frozenset({"form-2"})))
        assert transition == Transition(replace(run, compared_at=LATER), (do.SettleForm("form-1"),))

    @pytest.mark.parametrize("status", NAMED)
    @pytest.mark.parametrize("answered", [FormStatus.SUBMITTED, FormStatus.ANSWERED_ELSEWHERE])
    def test_a_pause_that_lists_an_answered_form_is_stale(self, status: RunStatus, answered: FormStatus) -> None:
        """Dify's snapshot offers it until the resume job begins (recording 25)."""
        run = run_in(status, form_in(answered), form_in(FormStatus.CLAIMED, "form-2"))
        assert is_absorbed(run, saw.RunPaused(frozenset({"form-1", "form-2"})))

    def test_a_pause_that_lists_an_expired_form_is_stale_once_the_run_executes(self) -> None:
        run = run_in(RunStatus.RUNNING, form_in(FormStatus.TIMED_OUT))
        assert is_absorbed(run, saw.RunPaused(frozenset({"form-1"})))

    def test_dify_lists_an_expired_form_until_it_looks_for_passed_deadlines(self) -> None:
        """Recording 14; other forms of the run can be answered meanwhile."""
        run = run_in(RunStatus.RESUMING, form_in(FormStatus.TIMED_OUT), form_in(FormStatus.CLAIMED, "form-2"))
        transition = after(run, saw.RunPaused(frozenset({"form-1", "form-2"})))
        assert transition.run.status is RunStatus.PAUSED
        assert transition.effects == (do.RefreshRoot(), do.SubmitForm("form-2"))

    def test_a_pause_without_forms_tells_nothing_of_a_run_that_is_to_resume(self) -> None:
        """Not begun to resume, or the race of recording 33."""
        assert is_absorbed(run_in(RunStatus.RESUMING, form_in(FormStatus.SUBMITTED)), saw.RunPaused(frozenset()))

    def test_nor_does_one_that_lists_expired_forms_alone(self) -> None:
        """Else the run would be called paused until Dify's sweep, with nothing to answer."""
        run = run_in(RunStatus.RESUMING, form_in(FormStatus.TIMED_OUT))
        assert is_absorbed(run, saw.RunPaused(frozenset({"form-1"})))

    @pytest.mark.parametrize("status", UNDECIDED)
    @pytest.mark.parametrize(("left", "read"), [(timedelta(0), True), (timedelta(seconds=1), False)])
    def test_a_form_that_is_listed_past_its_deadline_is_read(
        self, status: FormStatus, left: timedelta, read: bool
    ) -> None:
        """Dify says `expired` at once, and lists it until its sweep (recording 14)."""
        run = run_in(RunStatus.PAUSED, form_in(status, expires_at=LATER + left))
        assert after(run, saw.RunPaused(frozenset({"form-1"}))).effects == (do.SettleForm("form-1"),) * read

    @pytest.mark.parametrize("status", [RunStatus.PAUSED, RunStatus.RESUMING])
    def test_a_resumed_run_writes_into_a_new_message(self, status: RunStatus) -> None:
        transition = after(run_in(status, answer_ts="1.2"), saw.RunResumed())
        assert (transition.run.status, transition.run.segment, transition.run.answer_ts) == (RunStatus.RUNNING, 1, None)
        assert transition.effects == (do.RefreshRoot(),)

    @pytest.mark.parametrize("status", [RunStatus.PAUSED, RunStatus.RESUMING])
    @pytest.mark.parametrize("form_status", UNDECIDED)
    def test_a_form_that_nobody_here_decided_is_read_when_the_run_goes_on(
        self, status: RunStatus, form_status: FormStatus
    ) -> None:
        """A poll that finds the run executing says nothing of the answer that made it go on."""
        run = run_in(status, form_in(FormStatus.SUBMITTED), form_in(form_status, "form-2"))
        assert after(run, saw.RunResumed()).effects == (do.RefreshRoot(), do.SettleForm("form-2"))

    @pytest.mark.parametrize("form_status", [*DECIDED, *CLOSED])
    def test_a_form_that_is_decided_is_not(self, form_status: FormStatus) -> None:
        run = run_in(RunStatus.RESUMING, form_in(form_status))
        assert after(run, saw.RunResumed()).effects == (do.RefreshRoot(),)

    def test_nor_is_one_that_cannot_be_read(self) -> None:
        """Of such a form only the next pause tells whether it is still open."""
        run = run_in(RunStatus.PAUSED, form_in(FormStatus.OPEN, answerable=False))
        assert after(run, saw.RunResumed()).effects == (do.RefreshRoot(),)

    @pytest.mark.parametrize("form_status", UNDECIDED)
    def test_a_parallel_form_that_is_found_open_stays_open(self, form_status: FormStatus) -> None:
        assert is_absorbed(run_in(RunStatus.RUNNING, form_in(form_status)), saw.FormFoundOpen("form-1"))

    def test_a_running_run_is_not_resumed(self) -> None:
        assert is_absorbed(run_in(RunStatus.RUNNING, answer_ts="1.2"), saw.RunResumed())

    @pytest.mark.parametrize("status", NAMED)
    def test_people_are_told_once_that_a_run_does_not_move(self, status: RunStatus) -> None:
        """Be it paused with nothing left to answer (recording 33), or executing for ever (recording 39)."""
        told = after(run_in(status, form_in(FormStatus.ANSWERED_ELSEWHERE)), saw.StillNotMoving())
        assert told.effects == (do.PostStuck(), do.RefreshRoot())
        assert is_absorbed(told.run, saw.StillNotMoving())

    def test_a_run_that_waits_for_people_is_not_stuck(self) -> None:
        run = run_in(RunStatus.PAUSED, form_in(FormStatus.SUBMITTED), form_in(FormStatus.OPEN, "form-2"))
        assert is_absorbed(run, saw.StillNotMoving())

    def test_an_answer_that_waits_goes_out_once_the_run_is_known_not_to_move(self) -> None:
        """The resume of the answer before it got lost, and only another answer makes up for that."""
        run = run_in(RunStatus.RESUMING, form_in(FormStatus.SUBMITTED), form_in(FormStatus.CLAIMED, "form-2"))
        told = after(run, saw.StillNotMoving())
        assert told.effects == (do.PostStuck(), do.RefreshRoot(), do.SubmitForm("form-2"))

    def test_so_does_the_next_where_the_one_before_it_got_nowhere(self) -> None:
        forms = (form_in(FormStatus.ANSWERED_ELSEWHERE), form_in(FormStatus.CLAIMED, "form-2"))
        again = after(run_in(RunStatus.RESUMING, *forms, told_stuck=True), saw.StillNotMoving())
        assert again.effects == (do.SubmitForm("form-2"),)

    def test_who_asked_for_a_stop_is_told_that_a_run_that_does_not_move_heeds_none(self) -> None:
        """Dify answers success and nothing happens (recording 39)."""
        told = after(run_in(RunStatus.RUNNING, stop_requested_by="U2", task_id="task-1"), saw.StillNotMoving())
        assert told.effects == (do.PostStuck(), do.RefreshRoot(), do.TellCannotStop("U2"))
        assert told.run.stop_requested_by is None
        assert after(told.run, saw.StopRequested("U3")) == Transition(told.run, (do.TellCannotStop("U3"),))

    def test_a_run_that_is_paused_and_waits_for_nobody_is_told_of_once(self) -> None:
        """Its one form was answered elsewhere before the bot heard of it, and the resume got lost."""
        told = after(run_in(RunStatus.PAUSED), saw.StillNotMoving()).run
        looked_at = after(told, saw.RunPaused(frozenset())).run
        assert is_absorbed(looked_at, saw.StillNotMoving())

    def test_a_click_on_a_form_of_a_run_that_does_not_move_goes_out_at_once(self) -> None:
        forms = (form_in(FormStatus.SUBMITTED), form_in(FormStatus.OPEN, "form-2"))
        clicked = after(
            run_in(RunStatus.RESUMING, *forms, told_stuck=True), saw.ActionChosen("form-2", make_submission())
        )
        assert do.SubmitForm("form-2") in clicked.effects

    def test_what_was_sent_then_gets_the_same_time_to_move_the_run(self) -> None:
        """So that a third answer does not follow within milliseconds (recording 33)."""
        forms = [form_in(status, f"form-{n}") for n, status in enumerate((FormStatus.SUBMITTED, FormStatus.SUBMITTING))]
        run = run_in(RunStatus.RESUMING, *forms, form_in(FormStatus.CLAIMED, "third"), told_stuck=True)
        taken = after(run, saw.SubmitAccepted("form-1"))
        assert (taken.run.told_stuck, taken.run.since) == (False, LATER)
        assert do.SubmitForm("third") not in taken.effects

    def test_a_form_that_was_answered_elsewhere_shows_it_while_the_run_does_not_move(self) -> None:
        """Dify's snapshot still offers the answered one, and leaves out what cannot be read as open."""
        run = run_in(RunStatus.RESUMING, form_in(FormStatus.SUBMITTED), form_in(FormStatus.OPEN, "form-2"))
        assert after(run, saw.RunPaused(frozenset({"form-1"}))).effects == (do.SettleForm("form-2"),)
        assert after(run, saw.RunPaused(frozenset({"form-1", "form-2"}))).effects == ()

    @pytest.mark.parametrize("event", [saw.RunResumed(), saw.RunPaused(frozenset({"form-2"}))])
    def test_a_run_that_moved_may_be_found_stuck_once_more(self, event: LifecycleEvent) -> None:
        run = run_in(RunStatus.RESUMING, form_in(FormStatus.SUBMITTED), told_stuck=True)
        assert not after(run, event).run.told_stuck


class TestAnswer:
    """The message that carries streamed text."""

    def test_the_first_text_of_a_segment_asks_for_a_message(self) -> None:
        run = run_in(RunStatus.RUNNING)
        assert after(run, saw.AnswerBegan()) == Transition(run, (do.PostAnswer(0),))

    def test_further_text_goes_into_the_same_message(self) -> None:
        posted = after(run_in(RunStatus.RUNNING), saw.AnswerPosted(0, "1.2"))
        assert (posted.run.answer_ts, posted.effects) == ("1.2", ())
        assert is_absorbed(posted.run, saw.AnswerBegan())

    @pytest.mark.parametrize(
        "event",
        [saw.RunPaused(frozenset({"form-1"})), saw.RunFinished(RunStatus.FAILED), saw.RunFinished(RunStatus.SUCCEEDED)],
    )
    def test_a_text_that_is_over_is_ended(self, event: LifecycleEvent) -> None:
        """Whatever else is drawn of the run, and whoever draws it."""
        written = run_in(RunStatus.RUNNING, form_in(FormStatus.OPEN), segment=2, answer_ts="1.2")
        assert do.EndAnswer(2, "1.2") in after(written, event).effects
        assert not any(
            isinstance(each, do.EndAnswer) for each in after(replace(written, answer_ts=None), event).effects
        )

    def test_a_result_takes_the_place_of_the_text_instead(self) -> None:
        finished = after(run_in(RunStatus.RUNNING, answer_ts="1.2"), saw.RunFinished(RunStatus.SUCCEEDED, {"a": "b"}))
        assert finished.run.answer_ts == "1.2"
        assert finished.effects == (do.RefreshRoot(), do.PostResult())
        late = after(replace(finished.run, answer_ts=None), saw.AnswerPosted(0, "1.2"))
        assert (late.run.answer_ts, late.effects) == ("1.2", ())

    @pytest.mark.parametrize(
        ("status", "segment"), [(RunStatus.PAUSED, 0), (RunStatus.FAILED, 0), (RunStatus.RUNNING, 1)]
    )
    def test_a_text_whose_message_comes_after_its_end_is_ended(self, status: RunStatus, segment: int) -> None:
        """And it is not taken for that of the next segment."""
        posted = after(run_in(status, segment=segment), saw.AnswerPosted(0, "1.2"))
        assert posted.effects == (do.EndAnswer(0, "1.2"),)
        assert posted.run.answer_ts == ("1.2" if segment == 0 else None)

    @pytest.mark.parametrize("status", [RunStatus.PAUSED, RunStatus.RESUMING])
    def test_text_heard_of_after_the_segment_needs_no_message(self, status: RunStatus) -> None:
        assert is_absorbed(run_in(status), saw.AnswerBegan())


class TestEnd:
    """How a run ends, and what becomes of its forms."""

    @pytest.mark.parametrize("status", NAMED)
    @pytest.mark.parametrize("ending", [status for status in ENDED if status is not RunStatus.LOST])
    def test_the_outcome_is_difys(self, status: RunStatus, ending: RunStatus) -> None:
        run = run_in(status)
        transition = after(run, saw.RunFinished(ending, {"text": "tea"}, "no model", "LLM"))
        assert transition.run == replace(
            run,
            status=ending,
            since=LATER,
            ended_at=LATER,
            outputs={"text": "tea"},
            error="no model",
            failed_step="LLM",
        )
        assert transition.effects == (do.RefreshRoot(), do.PostResult())

    def test_a_step_that_failed_earlier_is_remembered(self) -> None:
        run = run_in(RunStatus.RUNNING, failed_step="LLM")
        assert after(run, saw.RunFinished(RunStatus.FAILED)).run.failed_step == "LLM"

    @pytest.mark.parametrize("status", [status for status in RunStatus if not status.ended])
    def test_a_run_cannot_finish_as_something_that_goes_on(self, status: RunStatus) -> None:
        with pytest.raises(IllegalTransition):
            after(run_in(RunStatus.RUNNING), saw.RunFinished(status))

    @pytest.mark.parametrize("status", NAMED)
    def test_a_run_that_dify_forgot_is_lost(self, status: RunStatus) -> None:
        transition = after(run_in(status), saw.RunGone("workflow run not found"))
        assert (transition.run.status, transition.run.error) == (RunStatus.LOST, "workflow run not found")
        assert transition.effects == (do.RefreshRoot(), do.PostResult())

    @pytest.mark.parametrize("status", [*UNDECIDED, FormStatus.CLAIMED])
    def test_a_form_left_open_is_read_once_more(self, status: FormStatus) -> None:
        transition = after(run_in(RunStatus.RUNNING, form_in(status)), saw.RunFinished(RunStatus.FAILED))
        assert transition.effects == (do.RefreshRoot(), do.PostResult(), do.SettleForm("form-1"))

    @pytest.mark.parametrize("status", [FormStatus.SUBMITTING, FormStatus.SETTLING, *CLOSED])
    def test_a_form_whose_fate_is_known_or_on_its_way_is_not(self, status: FormStatus) -> None:
        transition = after(run_in(RunStatus.RUNNING, form_in(status)), saw.RunFinished(RunStatus.FAILED))
        assert transition.effects == (do.RefreshRoot(), do.PostResult())

    @pytest.mark.parametrize("status", UNDECIDED)
    def test_a_form_that_dify_still_offers_is_void_after_the_end(self, status: FormStatus) -> None:
        """It belongs to a dead run (recording 44)."""
        run = run_in(RunStatus.FAILED, form_in(status))
        form, effects = form_after(run, saw.FormFoundOpen("form-1"))
        assert form.status is FormStatus.VOID
        assert effects == (do.RefreshForm("form-1"), do.RefreshRoot())

    @pytest.mark.parametrize("status", UNDECIDED)
    @pytest.mark.parametrize(
        ("ended", "closed"),
        [
            (RunStatus.SUCCEEDED, FormStatus.ANSWERED_ELSEWHERE),
            (RunStatus.PARTIAL_SUCCEEDED, FormStatus.ANSWERED_ELSEWHERE),
            (RunStatus.FAILED, FormStatus.VOID),
            (RunStatus.STOPPED, FormStatus.VOID),
            (RunStatus.LOST, FormStatus.VOID),
        ],
    )
    def test_only_success_proves_that_a_form_was_answered_that_cannot_be_read(
        self, status: FormStatus, ended: RunStatus, closed: FormStatus
    ) -> None:
        """It was sent by e-mail alone (recording 17): nothing else tells that somebody answered it."""
        run = run_in(ended, form_in(status, answerable=False))
        form, effects = form_after(run, saw.FormFoundClosed("form-1", expired=False))
        assert form.status is closed
        assert effects == (do.RefreshForm("form-1"), do.RefreshRoot())

    @pytest.mark.parametrize("ended", ENDED)
    def test_the_deadline_of_a_form_that_cannot_be_read_passes_all_the_same(self, ended: RunStatus) -> None:
        run = run_in(ended, form_in(FormStatus.OPEN, answerable=False))
        assert form_after(run, saw.FormFoundClosed("form-1", expired=True))[0].status is FormStatus.TIMED_OUT

    @pytest.mark.parametrize("status", [FormStatus.CLAIMED, FormStatus.SETTLING])
    def test_who_decided_in_vain_is_told(self, status: FormStatus) -> None:
        form, effects = form_after(run_in(RunStatus.FAILED, form_in(status)), saw.FormFoundOpen("form-1"))
        assert form.status is FormStatus.VOID
        assert effects == (do.RefreshForm("form-1"), do.RefreshRoot(), do.TellDecided("U2", "form-1", CLAIM.values))

    def test_an_answer_under_way_at_the_end_says_itself_what_becomes_of_it(self) -> None:
        run = run_in(RunStatus.FAILED, form_in(FormStatus.SUBMITTING))
        assert is_absorbed(run, saw.FormFoundOpen("form-1"))
        assert form_after(run, saw.SubmitAccepted("form-1"))[0].status is FormStatus.SUBMITTED
        assert form_after(run, saw.SubmitUncertain("form-1"))[1] == (do.SettleForm("form-1"),)

    def test_an_answer_refused_after_the_end_voids_the_form(self) -> None:
        run = run_in(RunStatus.FAILED, form_in(FormStatus.SUBMITTING))
        form, effects = form_after(run, saw.SubmitRefused("form-1", "no such action"))
        assert form.status is FormStatus.VOID
        assert effects == (do.RefreshForm("form-1"), do.RefreshRoot(), do.TellDecided("U2", "form-1", CLAIM.values))


class TestStop:
    """Stop acts on what executes."""

    def test_a_running_run_is_stopped(self) -> None:
        transition = after(run_in(RunStatus.RUNNING, task_id="task-1"), saw.StopRequested("U3"))
        assert transition.run.stop_requested_by == "U3"
        assert transition.run.status is RunStatus.RUNNING
        assert transition.effects == (do.StopRun(), do.RefreshRoot())

    @pytest.mark.parametrize("status", [status for status in RunStatus if status is not RunStatus.RUNNING])
    def test_any_other_run_is_not(self, status: RunStatus) -> None:
        """A stop sent to a paused run stops nothing and cuts off a later resume (recordings 12, 27)."""
        run = run_in(status, task_id="task-1")
        assert after(run, saw.StopRequested("U3")) == Transition(run, (do.TellCannotStop("U3"),))

    def test_a_stop_that_dify_did_not_take_is_forgotten_and_told(self) -> None:
        run = run_in(RunStatus.RUNNING, task_id="task-1", stop_requested_by="U3")
        transition = after(run, saw.StopRefused())
        assert transition.run == replace(run, stop_requested_by=None)
        assert transition.effects == (do.RefreshRoot(), do.TellCannotStop("U3"))

    @pytest.mark.parametrize("status", [RunStatus.PAUSED, RunStatus.STOPPED])
    def test_the_refusal_of_a_stop_that_is_over_changes_nothing(self, status: RunStatus) -> None:
        run = run_in(status, task_id="task-1")
        assert after(run, saw.StopRefused()) == Transition(run)

    def test_a_stop_that_comes_too_late_is_forgotten_at_the_pause(self) -> None:
        """Else the run would be called stopping, and its end be taken for the stop's, after the next answer."""
        run = run_in(RunStatus.RUNNING, form_in(FormStatus.OPEN), task_id="task-1", stop_requested_by="U3")
        paused = after(run, saw.RunPaused(frozenset({"form-1"})))
        assert (paused.run.status, paused.run.stop_requested_by) == (RunStatus.PAUSED, None)
        assert do.TellCannotStop("U3") in paused.effects

    @pytest.mark.parametrize("ending", ENDED)
    def test_who_asked_for_a_stop_is_told_where_the_run_ended_otherwise(self, ending: RunStatus) -> None:
        run = run_in(RunStatus.RUNNING, task_id="task-1", stop_requested_by="U3")
        event = saw.RunGone("purged") if ending is RunStatus.LOST else saw.RunFinished(ending)
        told = do.TellCannotStop("U3") in after(run, event).effects
        assert told == (ending is not RunStatus.STOPPED)

    @pytest.mark.parametrize("listed", [frozenset({"form-1"}), frozenset({"form-1", "form-2"})])
    def test_an_old_report_of_a_pause_forgets_no_stop(self, listed: frozenset[str]) -> None:
        run = run_in(RunStatus.RUNNING, form_in(FormStatus.SUBMITTED), task_id="task-1", stop_requested_by="U3")
        assert is_absorbed(run, saw.RunPaused(listed))

    def test_without_a_task_there_is_nothing_to_stop(self) -> None:
        run = run_in(RunStatus.RUNNING)
        assert after(run, saw.StopRequested("U3")) == Transition(run, (do.TellCannotStop("U3"),))


class TestFormShown:
    """From Dify's question to its message."""

    @pytest.mark.parametrize("status", NAMED)
    def test_a_new_form_is_posted(self, status: RunStatus) -> None:
        run = run_in(status)
        transition = after(run, saw.FormRequired(form_in(FormStatus.REQUIRED)))
        asked = form_in(FormStatus.REQUIRED, asked_at=LATER)
        assert transition == Transition(replace(run, forms=(asked,)), (do.PostForm("form-1"),))

    @pytest.mark.parametrize("status", FormStatus)
    def test_a_form_announced_again_is_not(self, status: FormStatus) -> None:
        """Dify announces the forms that are still open again after each answer (recording 07)."""
        run = run_in(RunStatus.RUNNING, form_in(status))
        assert is_absorbed(run, saw.FormRequired(form_in(FormStatus.REQUIRED)))

    def test_a_posted_form_is_open(self) -> None:
        run = run_in(RunStatus.PAUSED, form_in(FormStatus.REQUIRED))
        assert form_after(run, saw.FormPosted("form-1", "1.2")) == (form_in(FormStatus.OPEN, message_ts="1.2"), ())

    @pytest.mark.parametrize("status", [*DECIDED, *CLOSED])
    def test_a_form_decided_before_its_post_was_confirmed_is_drawn_as_it_is(self, status: FormStatus) -> None:
        run = run_in(RunStatus.PAUSED, form_in(status))
        assert form_after(run, saw.FormPosted("form-1", "1.2")) == (
            form_in(status, message_ts="1.2"),
            (do.RefreshForm("form-1"),),
        )

    def test_so_is_a_form_whose_answer_was_refused_by_then(self) -> None:
        run = run_in(RunStatus.PAUSED, form_in(FormStatus.OPEN, refusal="tone is missing", revision=1))
        assert form_after(run, saw.FormPosted("form-1", "1.2"))[1] == (do.RefreshForm("form-1"),)


class TestFormNotShown:
    """Slack does not take a form's message."""

    @pytest.mark.parametrize("status", UNDECIDED)
    def test_people_are_told_once(self, status: FormStatus) -> None:
        run = run_in(RunStatus.PAUSED, form_in(status))
        told = after(run, saw.FormNotShown("form-1"))
        assert told.run.forms == (form_in(status, not_shown=True),)
        assert told.effects == (do.PostFormNotShown("form-1"), do.RefreshRoot())
        assert is_absorbed(told.run, saw.FormNotShown("form-1"))

    def test_the_notice_stands_in_the_forms_place(self) -> None:
        run = run_in(RunStatus.PAUSED, form_in(FormStatus.REQUIRED, not_shown=True))
        opened = form_in(FormStatus.OPEN, message_ts="1.2", not_shown=True)
        assert form_after(run, saw.FormPosted("form-1", "1.2")) == (opened, ())

    @pytest.mark.parametrize("changes", [{"status": FormStatus.VOID}, {"status": FormStatus.OPEN, "message_ts": "1.2"}])
    def test_what_is_over_or_shown_needs_no_notice(self, changes: dict[str, Any]) -> None:
        run = run_in(RunStatus.PAUSED, form_in(**changes))
        assert is_absorbed(run, saw.FormNotShown("form-1"))

    def test_a_result_that_is_not_shown_is_told(self) -> None:
        run = run_in(RunStatus.SUCCEEDED)
        assert after(run, saw.ResultNotShown()) == Transition(run, (do.PostResultNotShown(),))


class TestClaim:
    """The first click counts."""

    @pytest.mark.parametrize("status", UNDECIDED)
    @pytest.mark.parametrize("run_status", [RunStatus.RUNNING, RunStatus.RESUMING])
    def test_a_click_claims_the_form(self, status: FormStatus, run_status: RunStatus) -> None:
        run = run_in(run_status, form_in(status, refusal="too long", lost_responses=2, delayed=True))
        assert form_after(run, saw.ActionChosen("form-1", OTHER)) == (
            form_in(FormStatus.CLAIMED, submission=OTHER, refusal=None, lost_responses=0, delayed=False),
            (do.RefreshForm("form-1"), do.RefreshRoot()),
        )

    @pytest.mark.parametrize("status", UNDECIDED)
    def test_the_answer_to_a_paused_run_is_sent_at_once(self, status: FormStatus) -> None:
        assert form_after(run_in(RunStatus.PAUSED, form_in(status)), saw.ActionChosen("form-1", CLAIM)) == (
            form_in(FormStatus.SUBMITTING),
            (do.RefreshForm("form-1"), do.RefreshRoot(), do.SubmitForm("form-1")),
        )

    @pytest.mark.parametrize("status", [*DECIDED, *CLOSED])
    def test_a_second_click_changes_nothing_and_is_answered(self, status: FormStatus) -> None:
        run = run_in(RunStatus.PAUSED, form_in(status))
        assert after(run, saw.ActionChosen("form-1", OTHER)) == Transition(
            run, (do.TellDecided("U3", "form-1", OTHER.values),)
        )

    @pytest.mark.parametrize("status", ENDED)
    def test_a_click_after_the_end_of_the_run_is_answered(self, status: RunStatus) -> None:
        run = run_in(status, form_in(FormStatus.OPEN))
        assert after(run, saw.ActionChosen("form-1", OTHER)) == Transition(
            run, (do.TellDecided("U3", "form-1", OTHER.values),)
        )

    def test_an_answer_of_nobody_in_slack_is_answered_to_nobody(self) -> None:
        run = run_in(RunStatus.PAUSED, form_in(FormStatus.CLAIMED))
        assert is_absorbed(run, saw.ActionChosen("form-1", replace(OTHER, user_id=None)))

    def test_a_form_that_was_never_asked_for_cannot_be_answered(self) -> None:
        with pytest.raises(UnknownHere):
            after(run_in(RunStatus.PAUSED), saw.ActionChosen("form-1", CLAIM))


class TestSerialisation:
    """One answer at a time, and only to a run that waits (recording 33)."""

    @pytest.mark.parametrize("in_flight", [FormStatus.SUBMITTING, FormStatus.SETTLING])
    def test_an_answer_waits_while_another_is_on_its_way(self, in_flight: FormStatus) -> None:
        run = run_in(RunStatus.PAUSED, form_in(FormStatus.OPEN), form_in(in_flight, "form-2"))
        form, effects = form_after(run, saw.ActionChosen("form-1", CLAIM))
        assert (form.status, effects) == (FormStatus.CLAIMED, (do.RefreshForm("form-1"), do.RefreshRoot()))

    @pytest.mark.parametrize("status", [RunStatus.RUNNING, RunStatus.RESUMING])
    def test_an_answer_waits_for_the_next_pause(self, status: RunStatus) -> None:
        run = run_in(status, form_in(FormStatus.CLAIMED))
        form, effects = form_after(run, saw.RunPaused(frozenset({"form-1"})))
        assert (form.status, effects) == (FormStatus.SUBMITTING, (do.RefreshRoot(), do.SubmitForm("form-1")))

    def test_the_answer_given_first_goes_first(self) -> None:
        earlier = replace(CLAIM, at=NOW - timedelta(seconds=1))
        run = run_in(
            RunStatus.RUNNING, form_in(FormStatus.CLAIMED), form_in(FormStatus.CLAIMED, "form-2", submission=earlier)
        )
        transition = after(run, saw.RunPaused(frozenset({"form-1", "form-2"})))
        assert [form.status for form in transition.run.forms] == [FormStatus.CLAIMED, FormStatus.SUBMITTING]
        assert transition.effects == (do.RefreshRoot(), do.SubmitForm("form-2"))

    def test_an_accepted_answer_holds_the_next_back(self) -> None:
        run = run_in(RunStatus.PAUSED, form_in(FormStatus.SUBMITTING), form_in(FormStatus.CLAIMED, "form-2"))
        transition = after(run, saw.SubmitAccepted("form-1"))
        assert transition.run.status is RunStatus.RESUMING
        assert transition.run.form("form-2").status is FormStatus.CLAIMED
        assert transition.effects == (do.RefreshForm("form-1"), do.RefreshRoot())

    def test_a_refused_answer_lets_the_next_one_go(self) -> None:
        run = run_in(RunStatus.PAUSED, form_in(FormStatus.SUBMITTING), form_in(FormStatus.CLAIMED, "form-2"))
        transition = after(run, saw.SubmitRefused("form-1", "no"))
        assert transition.run.form("form-2").status is FormStatus.SUBMITTING
        assert transition.effects[-1] == do.SubmitForm("form-2")

    @pytest.mark.parametrize(
        "event", [saw.FormFoundClosed("form-1", expired=False), saw.FormFoundClosed("form-1", expired=True)]
    )
    def test_an_answer_given_elsewhere_holds_the_next_back(self, event: LifecycleEvent) -> None:
        run = run_in(RunStatus.PAUSED, form_in(FormStatus.OPEN), form_in(FormStatus.CLAIMED, "form-2"))
        transition = after(run, event)
        assert transition.run.status is RunStatus.RESUMING
        assert transition.run.form("form-2").status is FormStatus.CLAIMED


class TestSubmitted:
    """What Dify makes of an answer."""

    @pytest.mark.parametrize(
        ("before", "then"),
        [
            (RunStatus.PAUSED, RunStatus.RESUMING),
            (RunStatus.RESUMING, RunStatus.RESUMING),
            # The stream may be quicker than the response.
            (RunStatus.RUNNING, RunStatus.RUNNING),
        ],
    )
    def test_an_accepted_answer_closes_the_form(self, before: RunStatus, then: RunStatus) -> None:
        transition = after(run_in(before, form_in(FormStatus.SUBMITTING)), saw.SubmitAccepted("form-1"))
        assert transition.run.form("form-1") == form_in(FormStatus.SUBMITTED)
        assert transition.run.status is then
        assert transition.effects == (do.RefreshForm("form-1"), do.RefreshRoot())

    def test_a_refused_answer_opens_fresh_fields_and_tells_who_gave_it(self) -> None:
        run = run_in(RunStatus.PAUSED, form_in(FormStatus.SUBMITTING, revision=1))
        assert form_after(run, saw.SubmitRefused("form-1", "tone is missing")) == (
            form_in(FormStatus.OPEN, submission=CLAIM, revision=2, refusal="tone is missing"),
            (do.RefreshForm("form-1"), do.RefreshRoot(), do.TellRefused("U2", "form-1", "tone is missing")),
        )

    def test_a_lost_response_is_settled_by_reading(self) -> None:
        run = run_in(RunStatus.PAUSED, form_in(FormStatus.SUBMITTING))
        assert form_after(run, saw.SubmitUncertain("form-1")) == (
            form_in(FormStatus.SETTLING, lost_responses=1),
            (do.SettleForm("form-1"),),
        )

    @pytest.mark.parametrize("status", [FormStatus.SUBMITTING, FormStatus.SETTLING])
    def test_people_are_told_once_that_an_answer_waits_for_dify(self, status: FormStatus) -> None:
        run = run_in(RunStatus.PAUSED, form_in(status))
        told = after(run, saw.SubmitDelayed("form-1"))
        assert told.run.form("form-1") == form_in(status, delayed=True)
        assert told.effects == (do.RefreshForm("form-1"), do.RefreshRoot())
        assert is_absorbed(told.run, saw.SubmitDelayed("form-1"))

    @pytest.mark.parametrize("status", [*UNDECIDED, FormStatus.CLAIMED, *CLOSED])
    def test_an_answer_that_is_not_on_its_way_is_not_delayed(self, status: FormStatus) -> None:
        assert is_absorbed(run_in(RunStatus.PAUSED, form_in(status)), saw.SubmitDelayed("form-1"))

    @pytest.mark.parametrize("status", CLOSED)
    @pytest.mark.parametrize(
        "event",
        [
            saw.SubmitAccepted("form-1"),
            saw.SubmitRefused("form-1", "no"),
            saw.SubmitUncertain("form-1"),
            saw.FormFoundOpen("form-1"),
            saw.FormFoundClosed("form-1", expired=True),
            saw.FormUnreachable("form-1"),
            saw.FormTimedOut("node of form-1"),
        ],
        ids=lambda event: type(event).__name__,
    )
    def test_a_closed_form_takes_no_more_news(self, status: FormStatus, event: LifecycleEvent) -> None:
        assert is_absorbed(run_in(RunStatus.PAUSED, form_in(status)), event)

    @pytest.mark.parametrize("status", [*UNDECIDED, FormStatus.CLAIMED, FormStatus.SETTLING])
    @pytest.mark.parametrize(
        "event",
        [saw.SubmitAccepted("form-1"), saw.SubmitRefused("form-1", "no"), saw.SubmitUncertain("form-1")],
        ids=lambda event: type(event).__name__,
    )
    def test_what_was_not_sent_cannot_be_answered(self, status: FormStatus, event: LifecycleEvent) -> None:
        with pytest.raises(IllegalTransition):
            after(run_in(RunStatus.PAUSED, form_in(status)), event)


class TestSettled:
    """What reading a form tells."""

    def test_an_answer_that_did_not_arrive_is_sent_again(self) -> None:
        run = run_in(RunStatus.PAUSED, form_in(FormStatus.SETTLING, lost_responses=1))
        assert form_after(run, saw.FormFoundOpen("form-1")) == (
            form_in(FormStatus.SUBMITTING, lost_responses=1),
            (do.SubmitForm("form-1"),),
        )

    @pytest.mark.parametrize("status", [RunStatus.RUNNING, RunStatus.RESUMING])
    def test_it_waits_for_the_next_pause_like_any_other(self, status: RunStatus) -> None:
        form, effects = form_after(run_in(status, form_in(FormStatus.SETTLING)), saw.FormFoundOpen("form-1"))
        assert (form.status, effects) == (FormStatus.CLAIMED, ())

    @pytest.mark.parametrize("status", [*UNDECIDED, FormStatus.SUBMITTING])
    def test_an_open_form_is_no_news(self, status: FormStatus) -> None:
        assert is_absorbed(run_in(RunStatus.PAUSED, form_in(status)), saw.FormFoundOpen("form-1"))

    def test_an_answer_that_was_sent_whole_and_closed_the_form_is_ours(self) -> None:
        run = run_in(RunStatus.PAUSED, form_in(FormStatus.SETTLING))
        assert form_after(run, saw.FormFoundClosed("form-1", expired=False)) == (
            form_in(FormStatus.SUBMITTED),
            (do.RefreshForm("form-1"), do.RefreshRoot()),
        )

    def test_an_answer_that_arrived_after_the_look_is_ours_too(self) -> None:
        """The look found the form open, the answer was sent again, and then Dify says: answered."""
        run = run_in(RunStatus.PAUSED, form_in(FormStatus.SUBMITTING, lost_responses=1))
        form, _ = form_after(run, saw.FormFoundClosed("form-1", expired=False))
        assert form == form_in(FormStatus.SUBMITTED, lost_responses=1)

    @pytest.mark.parametrize("status", UNDECIDED)
    def test_somebody_answered_elsewhere(self, status: FormStatus) -> None:
        run = run_in(RunStatus.PAUSED, form_in(status))
        assert form_after(run, saw.FormFoundClosed("form-1", expired=False)) == (
            form_in(FormStatus.ANSWERED_ELSEWHERE),
            (do.RefreshForm("form-1"), do.RefreshRoot()),
        )

    @pytest.mark.parametrize("status", [FormStatus.CLAIMED, FormStatus.SUBMITTING])
    def test_somebody_elsewhere_was_quicker_than_somebody_here(self, status: FormStatus) -> None:
        run = run_in(RunStatus.PAUSED, form_in(status))
        assert form_after(run, saw.FormFoundClosed("form-1", expired=False)) == (
            form_in(FormStatus.ANSWERED_ELSEWHERE),
            (do.RefreshForm("form-1"), do.RefreshRoot(), do.TellDecided("U2", "form-1", CLAIM.values)),
        )

    @pytest.mark.parametrize("status", [*UNDECIDED, *DECIDED])
    @pytest.mark.parametrize(
        "event",
        [saw.FormFoundClosed("form-1", expired=True), saw.FormTimedOut("node of form-1")],
        ids=["read", "heard"],
    )
    def test_a_passed_deadline_closes_the_form(self, status: FormStatus, event: LifecycleEvent) -> None:
        transition = after(run_in(RunStatus.PAUSED, form_in(status)), event)
        assert transition.run.form("form-1").status is FormStatus.TIMED_OUT
        assert transition.run.status is RunStatus.RESUMING
        told = (do.TellDecided("U2", "form-1", CLAIM.values),) if status in DECIDED else ()
        assert transition.effects == (do.RefreshForm("form-1"), do.RefreshRoot(), *told)

    @pytest.mark.parametrize("days", [-1, 3])
    def test_what_expired_is_not_said_to_expire_in_days_to_come(self, days: int) -> None:
        """A deadline can be brought forward in Dify."""
        expires_at = LATER + timedelta(days=days)
        run = run_in(RunStatus.PAUSED, form_in(FormStatus.REQUIRED, expires_at=expires_at))
        form = after(run, saw.FormFoundClosed("form-1", expired=True)).run.form("form-1")
        assert form.expires_at == min(expires_at, LATER)

    @pytest.mark.parametrize("status", [*UNDECIDED, *DECIDED])
    def test_a_form_that_cannot_be_read_is_void_and_the_run_stays(self, status: FormStatus) -> None:
        transition = after(run_in(RunStatus.PAUSED, form_in(status)), saw.FormUnreachable("form-1"))
        assert transition.run.form("form-1").status is FormStatus.VOID
        assert transition.run.status is RunStatus.PAUSED


class TestFilled:
    """A live stream reports an answer by its node."""

    SENT = saw.FormFilled("node of form-1", "approve", CLAIM.values)
    FILLED = saw.FormFilled("node of form-1", "approve", {"feedback": "fine"})

    @pytest.mark.parametrize("status", [FormStatus.SUBMITTING, FormStatus.SETTLING])
    def test_the_answer_on_its_way_is_confirmed_before_its_own_response(self, status: FormStatus) -> None:
        run = run_in(RunStatus.RUNNING, form_in(status))
        assert form_after(run, self.SENT) == (
            form_in(FormStatus.SUBMITTED),
            (do.RefreshForm("form-1"), do.RefreshRoot()),
        )

    def test_a_confirmed_answer_is_no_news(self) -> None:
        assert is_absorbed(run_in(RunStatus.RUNNING, form_in(FormStatus.SUBMITTED)), self.SENT)

    @pytest.mark.parametrize("status", [FormStatus.SUBMITTING, FormStatus.SETTLING, FormStatus.SUBMITTED])
    def test_the_action_alone_tells_where_dify_reports_no_values(self, status: FormStatus) -> None:
        """As before 1.15 (dify-api §14)."""
        run = run_in(RunStatus.RUNNING, form_in(status))
        assert form_after(run, replace(self.SENT, values={}))[0] == form_in(FormStatus.SUBMITTED)

    @pytest.mark.parametrize("status", [FormStatus.SUBMITTING, FormStatus.SETTLING, FormStatus.SUBMITTED])
    @pytest.mark.parametrize(("tone", "ours"), [("Friendly", True), ("Formal", False)])
    def test_texts_and_options_tell_whose_answer_it_is_and_files_do_not(
        self, status: FormStatus, tone: str, ours: bool
    ) -> None:
        """Dify reports a file as an object of its own (recording 31)."""
        claim = replace(CLAIM, values={"feedback": "fine", "tone": "Friendly", "proof": [{"upload_file_id": "1"}]})
        fields = (Paragraph("feedback"), Select("tone", ("Friendly", "Formal")), FileField("proof", many=True))
        run = run_in(RunStatus.RUNNING, form_in(status, inputs=fields, submission=claim))
        reported = {"feedback": "fine", "tone": tone, "proof": [{"dify_model_identity": "__dify__file__"}]}
        form, _ = form_after(run, replace(self.SENT, values=reported))
        assert form.status is (FormStatus.SUBMITTED if ours else FormStatus.ANSWERED_ELSEWHERE)

    @pytest.mark.parametrize("status", [*DECIDED, FormStatus.SUBMITTED])
    @pytest.mark.parametrize("action_id", ["approve", "regenerate"])
    def test_another_answer_than_the_one_sent_was_given_elsewhere(self, status: FormStatus, action_id: str) -> None:
        """Of several submits at the same moment more than one may get 200 (recording 04)."""
        run = run_in(RunStatus.RUNNING, form_in(status))
        elsewhere = make_submission(action_id=action_id, values={"feedback": "fine"}, user_id=None, at=LATER)
        form, effects = form_after(run, replace(self.FILLED, action_id=action_id))
        assert form == form_in(FormStatus.ANSWERED_ELSEWHERE, submission=elsewhere)
        assert effects == (do.RefreshForm("form-1"), do.RefreshRoot(), do.TellDecided("U2", "form-1", CLAIM.values))

    def test_the_refusal_of_the_answer_that_came_second_changes_nothing_more(self) -> None:
        run = run_in(RunStatus.RUNNING, form_in(FormStatus.SUBMITTING))
        filled = after(run, self.FILLED).run
        assert is_absorbed(filled, saw.FormFoundClosed("form-1", expired=False))

    @pytest.mark.parametrize("status", [*UNDECIDED, FormStatus.CLAIMED])
    def test_what_was_not_sent_from_here_was_given_elsewhere(self, status: FormStatus) -> None:
        form, _ = form_after(run_in(RunStatus.RUNNING, form_in(status)), self.FILLED)
        assert form.status is FormStatus.ANSWERED_ELSEWHERE
        assert form.submission == make_submission(values={"feedback": "fine"}, user_id=None, at=LATER)

    def test_a_form_found_answered_learns_what_was_decided(self) -> None:
        run = run_in(RunStatus.RESUMING, form_in(FormStatus.ANSWERED_ELSEWHERE))
        form, effects = form_after(run, self.FILLED)
        assert form.submission == make_submission(values={"feedback": "fine"}, user_id=None, at=LATER)
        assert (form.status, effects) == (FormStatus.ANSWERED_ELSEWHERE, (do.RefreshForm("form-1"),))
        assert is_absorbed(run_in(RunStatus.RESUMING, form), self.FILLED)

    @pytest.mark.parametrize("status", [FormStatus.TIMED_OUT, FormStatus.VOID])
    def test_any_other_closed_form_stays_as_it_is(self, status: FormStatus) -> None:
        assert is_absorbed(run_in(RunStatus.RUNNING, form_in(status)), self.FILLED)

    @pytest.mark.parametrize("event", [saw.FormFilled("node x", "approve"), saw.FormTimedOut("node x")])
    def test_an_unknown_node_is_no_news(self, event: LifecycleEvent) -> None:
        assert is_absorbed(run_in(RunStatus.RUNNING, form_in(FormStatus.OPEN)), event)

    def test_an_answer_that_was_read_names_its_form(self) -> None:
        """A node in a loop asks again, and the older form's answer is read later than that."""
        run = run_in(
            RunStatus.PAUSED,
            form_in(FormStatus.OPEN, node_id="node-review"),
            form_in(FormStatus.OPEN, "form-2", node_id="node-review"),
        )
        forms = after(run, saw.FormFilled("node-review", "approve", form_id="form-1")).run.forms
        assert [form.status for form in forms] == [FormStatus.ANSWERED_ELSEWHERE, FormStatus.OPEN]

    def test_a_node_that_asked_twice_speaks_of_its_newest_form(self) -> None:
        run = run_in(
            RunStatus.RUNNING,
            form_in(FormStatus.SUBMITTED, node_id="node-review"),
            form_in(FormStatus.OPEN, "form-2", node_id="node-review"),
        )
        forms = after(run, saw.FormTimedOut("node-review")).run.forms
        assert [form.status for form in forms] == [FormStatus.SUBMITTED, FormStatus.TIMED_OUT]


class TestLooks:
    """Whether Dify says how a run stands."""

    @pytest.mark.parametrize("status", NAMED)
    def test_failed_looks_are_counted_until_one_succeeds(self, status: RunStatus) -> None:
        run = run_in(status)
        failed = after(after(run, saw.LookFailed()).run, saw.LookFailed())
        assert failed == Transition(replace(run, failed_looks=2))
        assert after(failed.run, saw.LookSucceeded()) == Transition(run)

    def test_people_are_told_once_that_the_key_is_refused(self) -> None:
        told = after(run_in(RunStatus.PAUSED), saw.LookFailed(refused=True))
        assert told.run == run_in(RunStatus.PAUSED, failed_looks=1, told_refused=True)
        assert told.effects == (do.PostKeyRefused(), do.RefreshRoot())
        assert after(told.run, saw.LookFailed(refused=True)).effects == ()

    def test_a_server_that_is_away_is_no_refusal(self) -> None:
        run = run_in(RunStatus.PAUSED, told_refused=True, failed_looks=1)
        assert after(run, saw.LookFailed()) == Transition(replace(run, failed_looks=2))

    def test_a_key_that_was_put_right_is_shown_and_may_be_refused_once_more(self) -> None:
        refused = after(run_in(RunStatus.PAUSED), saw.LookFailed(refused=True)).run
        assert after(refused, saw.LookSucceeded()) == Transition(run_in(RunStatus.PAUSED), (do.RefreshRoot(),))

    @pytest.mark.parametrize("status", [FormStatus.CLAIMED, FormStatus.SUBMITTING, FormStatus.SETTLING])
    def test_a_form_whose_answer_waits_says_what_it_waits_for(self, status: FormStatus) -> None:
        run = run_in(RunStatus.PAUSED, form_in(status, submission=make_submission()))
        refused = after(run, saw.LookFailed(refused=True))
        assert refused.effects == (do.PostKeyRefused(), do.RefreshRoot(), do.RefreshForm("form-1"))
        assert after(refused.run, saw.LookSucceeded()).effects == (do.RefreshRoot(), do.RefreshForm("form-1"))


class TestReminder:
    """People are reminded of what still waits for them."""

    DUE = saw.ReminderDue("form-1", claimed=LATER)

    @pytest.mark.parametrize("status", UNDECIDED)
    def test_a_reminder_is_posted_once(self, status: FormStatus) -> None:
        run = run_in(RunStatus.PAUSED, form_in(status, remind_at=LATER, expires_at=LATER + timedelta(hours=1)))
        reminded = after(run, self.DUE)
        assert reminded.run.form("form-1").remind_at is None
        assert reminded.effects == (do.PostReminder("form-1"),)
        assert is_absorbed(reminded.run, self.DUE)

    def test_one_that_another_process_claimed_since_is_that_one_s_to_post(self) -> None:
        run = run_in(RunStatus.PAUSED, form_in(FormStatus.OPEN, remind_at=LATER + timedelta(minutes=1)))
        assert is_absorbed(run, self.DUE)

    @pytest.mark.parametrize(
        "run",
        [
            *(run_in(RunStatus.PAUSED, form_in(status, remind_at=LATER)) for status in (*DECIDED, *CLOSED)),
            *(run_in(status, form_in(FormStatus.OPEN, remind_at=LATER)) for status in ENDED),
            run_in(RunStatus.PAUSED, form_in(FormStatus.OPEN, remind_at=LATER, expires_at=LATER)),
        ],
        ids=lambda run: f"{run.status}-{run.forms[0].status}",
    )
    def test_nobody_is_reminded_of_what_is_decided_or_over(self, run: Run) -> None:
        reminded = after(run, self.DUE)
        assert (reminded.run.form("form-1").remind_at, reminded.effects) == (None, ())
