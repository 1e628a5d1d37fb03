"""Everything that decides how a run and its forms move lives in this file.

Two tables name every legal move, and those of files stand in `core.attaching` and, with their rules, in
`core.giving_out`. `advance` turns what happened into moves, looks them up, and says what has to be done about it.
Streams repeat themselves, lose events and overtake one another: a report of Dify that tells nothing new, and anything
that reaches a state that is terminal, changes nothing. A move that no table knows is refused with `IllegalTransition`:
then one of our own parts claims what cannot have happened.

A person's request that comes too late is neither: it is answered (`TellDecided`, `TellCannotStop`).

Two promises are kept here and nowhere else. A form is sent only out of `CLAIMED`, and the move out of it is taken
once, so it is never submitted twice without a look at Dify in between. And a form is sent only while no other form of
its run is on its way and the run is `PAUSED`, or was found still paused minutes after the last answer, because two
answers 50-120 ms apart leave a real server's run paused for good (recording 33).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from bot.core import effects as do
from bot.core import events as saw
from bot.core.attaching import (
    AttachmentMove,
    attachment_of,
    card,
    is_asked_for,
    is_under_way,
    move_attachment,
    pulls,
    refusal_of,
    shown_in,
    used_in,
    with_attachment,
)
from bot.core.effects import Effect, Transition
from bot.core.events import LifecycleEvent
from bot.core.giving_out import OUT_FILE_RULES, give_with_form, give_with_outputs
from bot.core.model import (
    AppMode,
    Attachment,
    AttachmentStatus,
    FileField,
    FileProblem,
    Form,
    FormInput,
    FormStatus,
    HeldOutcome,
    Paragraph,
    Run,
    RunStatus,
    Settlement,
    Submission,
    moment_of,
)
from bot.core.out_files import without_addresses
from bot.errors import IllegalTransition, UnknownHere


class RunMove(StrEnum):
    """The ways a run can move."""

    ROOT_POSTED = "root message posted"
    REFUSED = "start refused"
    STARTED = "Dify names the run"
    RELEASED = "held message to be sent"
    FORGOTTEN = "held message dropped"
    HELD_BACK = "conversation unknown to Dify"
    UNCONFIRMED = "start not confirmed"
    NOT_LOGGED = "not confirmed, and in no log"
    PAUSED = "waits for a form"
    ANSWERED = "a form got its answer, or its deadline passed"
    RESUMED = "seen to execute"
    SUCCEEDED = "succeeded"
    PARTIAL_SUCCEEDED = "succeeded in part"
    FAILED = "failed"
    STOPPED = "stopped"
    GONE = "unknown to Dify"


class FormMove(StrEnum):
    """The ways a form can move."""

    SHOWN = "message posted"
    CHOSEN = "a button pressed"
    SENT = "its turn to be sent"
    FILE_REFUSED = "a file of the answer not taken"
    ACCEPTED = "Dify took it"
    REFUSED = "Dify refused the values"
    RESPONSE_LOST = "response lost"
    FOUND_OPEN = "found open"
    FILLED_HERE = "found answered as sent"
    FILLED_ELSEWHERE = "another answer counted"
    EXPIRED = "deadline passed"
    VOIDED = "the run ended without it"


_ENDINGS: dict[RunMove, RunStatus] = {
    RunMove.SUCCEEDED: RunStatus.SUCCEEDED,
    RunMove.PARTIAL_SUCCEEDED: RunStatus.PARTIAL_SUCCEEDED,
    RunMove.FAILED: RunStatus.FAILED,
    RunMove.STOPPED: RunStatus.STOPPED,
    RunMove.GONE: RunStatus.LOST,
}

RUN_MOVES: dict[RunStatus, dict[RunMove, RunStatus]] = {
    RunStatus.REQUESTED: {
        RunMove.ROOT_POSTED: RunStatus.STARTING,
        RunMove.REFUSED: RunStatus.FAILED,
    },
    RunStatus.HELD: {
        RunMove.RELEASED: RunStatus.REQUESTED,
        RunMove.FORGOTTEN: RunStatus.STOPPED,
    },
    RunStatus.STARTING: {
        RunMove.HELD_BACK: RunStatus.HELD,
        RunMove.STARTED: RunStatus.RUNNING,
        RunMove.REFUSED: RunStatus.FAILED,
        RunMove.UNCONFIRMED: RunStatus.SOUGHT,
        # Dify logs no run of a Chatflow (dify-api §4.3).
        RunMove.NOT_LOGGED: RunStatus.LOST,
    },
    RunStatus.SOUGHT: {
        RunMove.STARTED: RunStatus.RUNNING,
        # A process that was taken for dead hears Dify's answer all the same.
        RunMove.REFUSED: RunStatus.FAILED,
        RunMove.NOT_LOGGED: RunStatus.LOST,
    },
    RunStatus.RUNNING: {
        RunMove.PAUSED: RunStatus.PAUSED,
        # The stream may report the resumed run before the submit's own response arrives.
        RunMove.ANSWERED: RunStatus.RUNNING,
        RunMove.RESUMED: RunStatus.RUNNING,
        **_ENDINGS,
    },
    RunStatus.PAUSED: {
        RunMove.ANSWERED: RunStatus.RESUMING,
        RunMove.RESUMED: RunStatus.RUNNING,
        RunMove.PAUSED: RunStatus.PAUSED,
        **_ENDINGS,
    },
    RunStatus.RESUMING: {
        RunMove.RESUMED: RunStatus.RUNNING,
        RunMove.PAUSED: RunStatus.PAUSED,
        RunMove.ANSWERED: RunStatus.RESUMING,
        **_ENDINGS,
    },
}

_CLOSED_OUTSIDE: dict[FormMove, FormStatus] = {
    FormMove.FILLED_ELSEWHERE: FormStatus.ANSWERED_ELSEWHERE,
    FormMove.EXPIRED: FormStatus.TIMED_OUT,
    FormMove.VOIDED: FormStatus.VOID,
}

FORM_MOVES: dict[FormStatus, dict[FormMove, FormStatus]] = {
    FormStatus.REQUIRED: {
        FormMove.SHOWN: FormStatus.OPEN,
        # Somebody is quicker than Slack's answer to our post.
        FormMove.CHOSEN: FormStatus.CLAIMED,
        FormMove.FOUND_OPEN: FormStatus.REQUIRED,
        **_CLOSED_OUTSIDE,
    },
    FormStatus.OPEN: {
        # An answer to the form was even refused before Slack's answer to our post.
        FormMove.SHOWN: FormStatus.OPEN,
        FormMove.CHOSEN: FormStatus.CLAIMED,
        FormMove.FOUND_OPEN: FormStatus.OPEN,
        **_CLOSED_OUTSIDE,
    },
    FormStatus.CLAIMED: {
        FormMove.SHOWN: FormStatus.CLAIMED,
        FormMove.SENT: FormStatus.SUBMITTING,
        FormMove.FILE_REFUSED: FormStatus.OPEN,
        FormMove.FOUND_OPEN: FormStatus.CLAIMED,
        **_CLOSED_OUTSIDE,
    },
    FormStatus.SUBMITTING: {
        FormMove.SHOWN: FormStatus.SUBMITTING,
        FormMove.ACCEPTED: FormStatus.SUBMITTED,
        FormMove.REFUSED: FormStatus.OPEN,
        FormMove.RESPONSE_LOST: FormStatus.SETTLING,
        FormMove.FILLED_HERE: FormStatus.SUBMITTED,
        # A reading that was under way when the answer went out tells nothing about the answer.
        FormMove.FOUND_OPEN: FormStatus.SUBMITTING,
        **_CLOSED_OUTSIDE,
    },
    FormStatus.SETTLING: {
        FormMove.SHOWN: FormStatus.SETTLING,
        FormMove.FILLED_HERE: FormStatus.SUBMITTED,
        FormMove.FOUND_OPEN: FormStatus.CLAIMED,
        **_CLOSED_OUTSIDE,
    },
    # Of several submits at the same moment more than one may get 200; the reported answer is the proof (recording 04).
    FormStatus.SUBMITTED: {FormMove.FILLED_ELSEWHERE: FormStatus.ANSWERED_ELSEWHERE},
}

IN_FLIGHT = frozenset({FormStatus.SUBMITTING, FormStatus.SETTLING})
"""While a form is in one of these, no other form of its run is sent."""

_DECIDED = IN_FLIGHT | {FormStatus.CLAIMED}

_NAMED = frozenset({RunStatus.RUNNING, RunStatus.PAUSED, RunStatus.RESUMING})
"""Dify named the run and it has not ended: here its reports tell something new."""

_LEAVES_FORMS = frozenset({RunStatus.FAILED, RunStatus.STOPPED, RunStatus.LOST})
"""A run succeeds only past all of its forms; one that ended like this may have left some unanswered."""

_MOVE_OF_ENDING: dict[RunStatus, RunMove] = {status: move for move, status in _ENDINGS.items()}


def move_run(run: Run, move: RunMove, now: datetime) -> Run:
    """Return the run after a move of `RUN_MOVES`.

    Raises:
        IllegalTransition: the table has no such move and the run has not ended.
    """
    if run.status.ended:
        return run
    target = RUN_MOVES[run.status].get(move)
    if target is None:
        raise IllegalTransition(f"run {run.run_id} is {run.status}: it cannot be moved by “{move}”")
    if target is run.status:
        return run
    return replace(run, status=target, since=now, ended_at=now if target.ended else None)


def move_form(form: Form, move: FormMove, **changes: Any) -> Form:
    """Return the form after a move of `FORM_MOVES`, with further fields changed along with it.

    Raises:
        IllegalTransition: the table has no such move and the form is not closed.
    """
    target = FORM_MOVES.get(form.status, {}).get(move)
    if target is None:
        if form.status.closed:
            return form
        raise IllegalTransition(f"form {form.form_id} is {form.status}: it cannot be moved by “{move}”")
    return replace(form, status=target, **changes)


def advance(run: Run, event: LifecycleEvent, now: datetime) -> Transition:
    """Return what follows from an event: the changed run and the effects to carry out.

    Raises:
        IllegalTransition: one of our own parts reports what cannot have happened.
        UnknownHere: the run never asked for the form that the event names.
    """
    return _RULES[type(event)](run, event, now)


# --- rules of the run ----------------------------------------------------------------------------------------------


def _root_posted(run: Run, event: saw.RootPosted, now: datetime) -> Transition:
    if run.status is not RunStatus.REQUESTED:
        return Transition(run)
    shown = replace(
        move_run(run, RunMove.ROOT_POSTED, now),
        root_ts=event.ts,
        thread_ts=run.thread_ts or event.ts,
        said_at=run.said_at or moment_of(event.ts),
    )
    return Transition(shown, (*pulls(run.start_attachments), *_start(shown)))


def _start(run: Run) -> tuple[Effect, ...]:
    """Start a run whose root message is there, once the files are there that it starts with."""
    return () if is_under_way(run.start_attachments) else (do.StartRun(),)


def _root_refused(run: Run, event: saw.RootRefused, now: datetime) -> Transition:
    if run.status is not RunStatus.REQUESTED:
        return Transition(run)
    refused = replace(move_run(run, RunMove.REFUSED, now), error=event.code)
    return Transition(refused, (do.TellNotStarted(event.code),))


def _run_started(run: Run, event: saw.RunStarted, now: datetime) -> Transition:
    if run.status is not RunStatus.STARTING:
        return Transition(run)
    started = replace(
        move_run(run, RunMove.STARTED, now),
        workflow_run_id=event.workflow_run_id,
        task_id=event.task_id,
        conversation_id=event.conversation_id,
        message_id=event.message_id,
        started_at=now,
    )
    return Transition(started, (do.RefreshRoot(),))


def _start_refused(run: Run, event: saw.StartRefused, now: datetime) -> Transition:
    if run.status.ended:
        return Transition(run)
    refused = replace(move_run(run, RunMove.REFUSED, now), error=without_addresses(event.message))
    return Transition(refused, (do.RefreshRoot(), do.PostResult()))


def _conversation_gone(run: Run, event: saw.ConversationGone, now: datetime) -> Transition:
    if run.status is not RunStatus.STARTING:
        return Transition(run)
    held = replace(move_run(run, RunMove.HELD_BACK, now), conversation_id="", question_ts=None, settlement=None)
    return Transition(held, (do.RefreshRoot(), do.AskAboutConversation()))


def _question_posted(run: Run, event: saw.QuestionPosted, now: datetime) -> Transition:
    return Transition(replace(run, question_ts=event.ts))


def _message_released(run: Run, event: saw.MessageReleased, now: datetime) -> Transition:
    if run.status is not RunStatus.HELD:
        return Transition(run)
    released = replace(
        move_run(run, RunMove.RELEASED, now),
        said_at=event.at,
        crowded=event.waits,
        settlement=Settlement(HeldOutcome.SENT, event.user_id),
    )
    if run.root_ts is None:
        return Transition(released, (do.RefreshQuestion(), do.PostRoot(event.waits)))
    started = move_run(released, RunMove.ROOT_POSTED, now)
    return Transition(started, (do.RefreshQuestion(), do.RefreshRoot(), *_start(started)))


def _message_forgotten(run: Run, event: saw.MessageForgotten, now: datetime) -> Transition:
    return _not_sent(run, Settlement(HeldOutcome.DROPPED, event.user_id), now)


def _message_used(run: Run, event: saw.MessageUsed, now: datetime) -> Transition:
    return _not_sent(run, Settlement(HeldOutcome.ANSWER, event.user_id, event.form_title), now)


def _message_lapsed(run: Run, event: saw.MessageLapsed, now: datetime) -> Transition:
    return _not_sent(run, Settlement(HeldOutcome.LAPSED), now)


def _not_sent(run: Run, settlement: Settlement, now: datetime) -> Transition:
    if run.status is not RunStatus.HELD:
        return Transition(run)
    ended = replace(move_run(run, RunMove.FORGOTTEN, now), settlement=settlement, stop_requested_by=settlement.user_id)
    refresh = (do.RefreshRoot(),) if run.root_ts is not None else ()
    return Transition(ended, (do.RefreshQuestion(), *refresh))


def _suggestions_read(run: Run, event: saw.SuggestionsRead, now: datetime) -> Transition:
    if not event.suggestions or run.suggestions:
        return Transition(run)
    return Transition(replace(run, suggestions=event.suggestions), (do.PostSuggestions(),))


def _suggestions_posted(run: Run, event: saw.SuggestionsPosted, now: datetime) -> Transition:
    return Transition(replace(run, suggestions_ts=event.ts))


def _asked_next(run: Run, event: saw.AskedNext, now: datetime) -> Transition:
    return Transition(run, (do.CloseSuggestions(),) if run.suggestions else ())


def _asked_meanwhile(run: Run, event: saw.AskedMeanwhile, now: datetime) -> Transition:
    return Transition(run if run.status.ended else replace(run, crowded=True))


def _answer_rated(run: Run, event: saw.AnswerRated, now: datetime) -> Transition:
    return Transition(run, (do.RateAnswer(event.user_id, event.rating),) if run.message_id is not None else ())


def _rating_taken(run: Run, event: saw.RatingTaken, now: datetime) -> Transition:
    return Transition(run, (do.TellRated(event.user_id, event.rating, event.taken),))


def _start_unconfirmed(run: Run, event: saw.StartUnconfirmed, now: datetime) -> Transition:
    if run.status is not RunStatus.STARTING:
        return Transition(run)
    if run.mode is AppMode.CHATFLOW:
        return _not_logged(run, now)
    return Transition(move_run(run, RunMove.UNCONFIRMED, now), (do.RefreshRoot(),))


def _run_found(run: Run, event: saw.RunFound, now: datetime) -> Transition:
    if run.status is not RunStatus.SOUGHT:
        return Transition(run)
    found = replace(
        move_run(run, RunMove.STARTED, now),
        workflow_run_id=event.workflow_run_id,
        started_at=min(event.started_at, now),
    )
    return Transition(found, (do.RefreshRoot(),))


def _run_not_found(run: Run, event: saw.RunNotFound, now: datetime) -> Transition:
    return _not_logged(run, now) if run.status is RunStatus.SOUGHT else Transition(run)


def _not_logged(run: Run, now: datetime) -> Transition:
    return Transition(move_run(run, RunMove.NOT_LOGGED, now), (do.RefreshRoot(), do.PostResult()))


def _run_resumed(run: Run, event: saw.RunResumed, now: datetime) -> Transition:
    if run.status not in (RunStatus.PAUSED, RunStatus.RESUMING):
        return Transition(run)
    # A new segment begins: its text gets a message of its own, below the form.
    resumed = replace(move_run(run, RunMove.RESUMED, now), segment=run.segment + 1, answer_ts=None, told_stuck=False)
    # Somebody elsewhere may have answered any form that is not decided here. Parallel ones are found open and stay so;
    # one that cannot be read is left to the next pause, which lists it or does not.
    decided_elsewhere = tuple(do.SettleForm(form.form_id) for form in _undecided(run) if form.answerable)
    return Transition(resumed, (do.RefreshRoot(), *decided_elsewhere))


def _run_paused(run: Run, event: saw.RunPaused, now: datetime) -> Transition:
    if run.status not in _NAMED:
        return Transition(run)
    if event.text is not None and event.text.segment not in {text.segment for text in run.texts}:
        run = replace(run, texts=(*run.texts, event.text))
    # Dify lists an expired form until its sweep, up to a minute later, but says so to whoever reads it (recording 14).
    closed = tuple(
        do.SettleForm(form.form_id)
        for form in _undecided(run)
        if form.form_id not in event.open_form_ids or (form.expires_at is not None and form.expires_at <= now)
    )
    listed = {form.status for form in run.forms if form.form_id in event.open_form_ids}
    if not listed.isdisjoint((FormStatus.SUBMITTED, FormStatus.ANSWERED_ELSEWHERE)):
        # Dify's snapshot still offers what it already took: the resume job has not begun (recording 25).
        return Transition(run, closed)
    if run.status is RunStatus.RUNNING and FormStatus.TIMED_OUT in listed:
        # A snapshot offers an expired form until the run resumes (recording 14): either this run has done so since, or
        # the deadline passed while it executed, and Dify resumes it within a minute (dify-api §11).
        return Transition(run)
    expired = {form.form_id for form in run.forms if form.status is FormStatus.TIMED_OUT}
    if run.status is RunStatus.RESUMING and event.open_form_ids <= expired:
        # Every form is decided and run detail still says paused: likewise not begun, or the race of recording 33.
        return Transition(run, closed)
    # A stop that was asked for came too late, and what the run does next it does unasked.
    paused = replace(
        move_run(run, RunMove.PAUSED, now),
        # One that waits for nobody is where it was.
        told_stuck=run.told_stuck and run.status is RunStatus.PAUSED and not run.open_forms,
        stop_requested_by=None,
        compared_at=now,
        compared_steps=event.steps,
    )
    refresh = (do.RefreshRoot(),) if paused.status is not run.status else ()
    written = _text_over(run) if run.status is RunStatus.RUNNING else ()
    told = (do.TellCannotStop(run.stop_requested_by),) if run.stop_requested_by is not None else ()
    return _send_next(Transition(paused, (*refresh, *written, *told, *closed)))


def _run_finished(run: Run, event: saw.RunFinished, now: datetime) -> Transition:
    if event.status not in _MOVE_OF_ENDING:
        raise IllegalTransition(f"run {run.run_id} cannot finish as {event.status}")
    return _end(
        run,
        _MOVE_OF_ENDING[event.status],
        now,
        outputs=event.outputs,
        error=event.error and without_addresses(event.error),
        failed_step=event.failed_step or run.failed_step,
    )


def _run_gone(run: Run, event: saw.RunGone, now: datetime) -> Transition:
    return _end(run, RunMove.GONE, now, error=event.reason)


def _end(run: Run, move: RunMove, now: datetime, **outcome: Any) -> Transition:
    if run.status not in _NAMED:
        return Transition(run)
    ended = replace(move_run(run, move, now), **outcome)
    # What is still open is read once more, so that its message can say what became of it; a form that Dify then
    # still offers belongs to a dead run (recording 44) and is closed by us.
    left = tuple(
        do.SettleForm(form.form_id) for form in run.open_forms if form.status.asks or form.status is FormStatus.CLAIMED
    )
    # It ended by itself before Dify got the stop, or heeded it.
    unheeded = run.stop_requested_by if ended.status is not RunStatus.STOPPED else None
    told = (do.TellCannotStop(unheeded),) if unheeded is not None else ()
    written = _text_over(run) if run.status is RunStatus.RUNNING and not ended.replaces_answer else ()
    asked_next = (do.ReadSuggestions(),) if ended.status.succeeded and run.message_id is not None else ()
    given = give_with_outputs(ended)
    effects = (do.RefreshRoot(), *written, do.PostResult(), *given.effects, *told, *left, *asked_next)
    return Transition(given.run, effects)


def _stop_requested(run: Run, event: saw.StopRequested, now: datetime) -> Transition:
    # A stop sent to a paused run answers success, stops nothing and cuts off a later resume (recordings 12, 27); nor
    # does one stop a run whose worker died (recording 39).
    if run.status is not RunStatus.RUNNING or run.task_id is None or run.told_stuck:
        return Transition(run, (do.TellCannotStop(event.user_id),))
    return Transition(replace(run, stop_requested_by=event.user_id), (do.StopRun(), do.RefreshRoot()))


def _stop_refused(run: Run, event: saw.StopRefused, now: datetime) -> Transition:
    if run.status is not RunStatus.RUNNING or run.stop_requested_by is None:
        return Transition(run)
    told = do.TellCannotStop(run.stop_requested_by)
    return Transition(replace(run, stop_requested_by=None), (do.RefreshRoot(), told))


def _answer_began(run: Run, event: saw.AnswerBegan, now: datetime) -> Transition:
    if run.status is not RunStatus.RUNNING or run.answer_ts is not None:
        return Transition(run)
    return Transition(run, (do.PostAnswer(run.segment),))


def _answer_posted(run: Run, event: saw.AnswerPosted, now: datetime) -> Transition:
    over = (do.EndAnswer(event.segment, event.ts),)
    if event.segment != run.segment:
        # The run went on before Slack's answer to the post.
        return Transition(run, over)
    is_written = run.status is RunStatus.RUNNING or run.replaces_answer
    return Transition(replace(run, answer_ts=event.ts), () if is_written else over)


def _text_shown(run: Run, event: saw.TextShown, now: datetime) -> Transition:
    texts = tuple(replace(text, shown=True) if text.segment == event.segment else text for text in run.texts)
    return Transition(replace(run, texts=texts))


def _result_not_shown(run: Run, event: saw.ResultNotShown, now: datetime) -> Transition:
    return Transition(run, (do.PostResultNotShown(),))


def _still_not_moving(run: Run, event: saw.StillNotMoving, now: datetime) -> Transition:
    # A run that two answers at once left paused for good may have been seen to execute, and even to pause, in between
    # (recording 33); but one that waits for people is where it should be.
    waits = run.status is RunStatus.PAUSED and bool(run.open_forms)
    if run.status not in _NAMED or waits:
        return Transition(run)
    if run.told_stuck:
        # What was on its way then may have got nowhere, and others may wait behind it.
        return _send_next(Transition(run))
    told: tuple[Effect, ...] = (do.PostStuck(), do.RefreshRoot())
    if run.stop_requested_by is not None:
        # Dify took the stop, and nobody there heeds it.
        told = (*told, do.TellCannotStop(run.stop_requested_by))
    return _send_next(Transition(replace(run, told_stuck=True, stop_requested_by=None), told))


def _look_failed(run: Run, event: saw.LookFailed, now: datetime) -> Transition:
    if run.status not in _NAMED and run.status is not RunStatus.SOUGHT:
        return Transition(run)
    failed = replace(run, failed_looks=run.failed_looks + 1)
    if not event.refused or run.told_refused:
        return Transition(failed)
    return Transition(replace(failed, told_refused=True), (do.PostKeyRefused(), do.RefreshRoot(), *_delayed(run)))


def _look_succeeded(run: Run, event: saw.LookSucceeded, now: datetime) -> Transition:
    refresh = (do.RefreshRoot(), *_delayed(run)) if run.told_refused else ()
    return Transition(replace(run, failed_looks=0, told_refused=False), refresh)


def _delayed(run: Run) -> tuple[Effect, ...]:
    """Redraw the forms that tell what their answers wait for."""
    return tuple(do.RefreshForm(form.form_id) for form in run.open_forms if form.submission and form.status in _DECIDED)


# --- rules of a form -----------------------------------------------------------------------------------------------


def _form_required(run: Run, event: saw.FormRequired, now: datetime) -> Transition:
    if run.status not in _NAMED or any(form.form_id == event.form.form_id for form in run.forms):
        # After the answer to one of several forms, Dify announces those still open again (recording 07).
        return Transition(run)
    given = give_with_form(run, event.form)
    asked = replace(event.form, asked_at=now, inputs=tuple(map(_without_addresses, event.form.inputs)))
    return Transition(replace(given.run, forms=(*run.forms, asked)), given.effects)


def _form_posted(run: Run, event: saw.FormPosted, now: datetime) -> Transition:
    form = run.form(event.form_id)
    shown = replace(move_form(form, FormMove.SHOWN), message_ts=event.ts)
    # Between the post and this moment the form may have been claimed or closed: draw it as it is.
    refresh = () if form.status is FormStatus.REQUIRED else (do.RefreshForm(form.form_id),)
    return Transition(_with_form(run, shown), refresh)


def _form_not_shown(run: Run, event: saw.FormNotShown, now: datetime) -> Transition:
    form = run.form(event.form_id)
    if form.status.closed or form.message_ts is not None or form.not_shown:
        return Transition(run)
    hidden = _with_form(run, replace(form, not_shown=True))
    return Transition(hidden, (do.PostFormNotShown(form.form_id), do.RefreshRoot()))


def _action_chosen(run: Run, event: saw.ActionChosen, now: datetime) -> Transition:
    form = run.form(event.form_id)
    if not run.asks_for(form):
        late = event.submission
        return Transition(run, (do.TellDecided(late.user_id, form.form_id, late.values),) if late.user_id else ())
    claimed = move_form(
        form, FormMove.CHOSEN, submission=event.submission, refusal=None, lost_responses=0, delayed=False
    )
    effects = (do.RefreshForm(form.form_id), *_card_again(run, form), do.RefreshRoot())
    return _send_next(Transition(_with_form(run, claimed), effects))


def _submit_accepted(run: Run, event: saw.SubmitAccepted, now: datetime) -> Transition:
    return _close(run, run.form(event.form_id), FormMove.ACCEPTED, now)


def _submit_refused(run: Run, event: saw.SubmitRefused, now: datetime) -> Transition:
    form = run.form(event.form_id)
    if run.status.ended:
        return _close(run, form, FormMove.VOIDED, now)
    return _refused(run, form, FormMove.REFUSED, event.message)


def _refused(run: Run, form: Form, move: FormMove, message: str) -> Transition:
    """Open a form again whose answer was not taken."""
    message = without_addresses(message)
    # Fresh fields, filled with what was sent: nothing typed is lost, and Slack forgets the old drafts.
    refused = move_form(form, move, refusal=message, revision=form.revision + 1)
    if refused is form:
        return Transition(run)
    told: tuple[Effect, ...] = ()
    if form.submission is not None and form.submission.user_id is not None:
        told = (do.TellRefused(form.submission.user_id, form.form_id, message),)
    effects: tuple[Effect, ...] = (do.RefreshForm(form.form_id), *_card_again(run, form), do.RefreshRoot(), *told)
    return _send_next(Transition(_with_form(run, refused), effects))


def _submit_uncertain(run: Run, event: saw.SubmitUncertain, now: datetime) -> Transition:
    form = run.form(event.form_id)
    unsure = move_form(form, FormMove.RESPONSE_LOST, lost_responses=form.lost_responses + 1)
    if unsure is form:
        return Transition(run)
    return Transition(_with_form(run, unsure), (do.SettleForm(form.form_id),))


def _submit_delayed(run: Run, event: saw.SubmitDelayed, now: datetime) -> Transition:
    form = run.form(event.form_id)
    if form.delayed or form.status not in IN_FLIGHT:
        return Transition(run)
    return Transition(_with_form(run, replace(form, delayed=True)), (do.RefreshForm(form.form_id), do.RefreshRoot()))


def _reminder_due(run: Run, event: saw.ReminderDue, now: datetime) -> Transition:
    form = run.form(event.form_id)
    if form.remind_at != event.claimed:
        # Somebody decided, or another process was quicker.
        return Transition(run)
    reminded = _with_form(run, replace(form, remind_at=None))
    passed = form.expires_at is not None and form.expires_at <= now
    if passed or not run.asks_for(form):
        return Transition(reminded)
    return Transition(reminded, (do.PostReminder(form.form_id),))


def _form_found_open(run: Run, event: saw.FormFoundOpen, now: datetime) -> Transition:
    form = run.form(event.form_id)
    if run.status.ended and form.status is not FormStatus.SUBMITTING:
        return _close(run, form, FormMove.VOIDED, now)
    return _send_next(Transition(_with_form(run, move_form(form, FormMove.FOUND_OPEN))))


def _form_found_closed(run: Run, event: saw.FormFoundClosed, now: datetime) -> Transition:
    form = run.form(event.form_id)
    if event.expired:
        return _close(run, form, FormMove.EXPIRED, now)
    if not form.answerable and run.status in _LEAVES_FORMS:
        # Reading it tells nothing (recording 17), so that nobody knows of an answer.
        return _close(run, form, FormMove.VOIDED, now)
    if form.status is FormStatus.SETTLING or (form.status is FormStatus.SUBMITTING and form.lost_responses):
        # Our answer went out whole, perhaps arriving only after a look found the form open; Workflow apps cannot tell
        # whose answer it was (recording 33).
        return _close(run, form, FormMove.FILLED_HERE, now)
    if form.status is FormStatus.SUBMITTED:
        return Transition(run)
    return _close(run, form, FormMove.FILLED_ELSEWHERE, now, submission=None)


def _form_unreachable(run: Run, event: saw.FormUnreachable, now: datetime) -> Transition:
    return _close(run, run.form(event.form_id), FormMove.VOIDED, now)


def _form_filled(run: Run, event: saw.FormFilled, now: datetime) -> Transition:
    form = run.form(event.form_id) if event.form_id else _form_of_node(run, event.node_id)
    if form is None:
        return Transition(run)
    sent = form.status in IN_FLIGHT or form.status is FormStatus.SUBMITTED
    if sent and form.submission is not None and _is_the_answer(form, form.submission, event):
        return _close(run, form, FormMove.FILLED_HERE, now)
    answer = Submission(action_id=event.action_id, values=event.values, user_id=None, at=now)
    if form.status is FormStatus.ANSWERED_ELSEWHERE and form.submission is None:
        # That the form was closed was known, and now what was decided.
        return Transition(_with_form(run, replace(form, submission=answer)), (do.RefreshForm(form.form_id),))
    return _close(run, form, FormMove.FILLED_ELSEWHERE, now, submission=answer)


def _form_timed_out(run: Run, event: saw.FormTimedOut, now: datetime) -> Transition:
    form = _form_of_node(run, event.node_id)
    return Transition(run) if form is None else _close(run, form, FormMove.EXPIRED, now)


# --- rules of files that people give -------------------------------------------------------------------------------


def _files_given(run: Run, event: saw.FilesGiven, now: datetime) -> Transition:
    form = run.form(event.form_id)
    told: tuple[Effect, ...] = ()
    if event.problems:
        told = (do.TellNotAttached(event.user_id, form.form_id, event.problems),)
    if not event.attachments and not event.taken_back:
        return Transition(run, told)
    if not run.asks_for(form):
        names = tuple(each.name for each in event.attachments)
        return Transition(run, (do.TellFilesTooLate(event.user_id, form.form_id, names),) if names else ())
    before = run
    for attachment_id in event.taken_back:
        removed = move_attachment(attachment_of(run, attachment_id), AttachmentMove.REMOVED)
        run = with_attachment(run, removed)
    given = replace(run, attachments=(*run.attachments, *event.attachments))
    drawn = card(form) if shown_in(given, form) != shown_in(before, form) else ()
    return Transition(given, (*drawn, *told, *pulls(event.attachments)))


def _file_placed(run: Run, event: saw.FilePlaced, now: datetime) -> Transition:
    attachment = attachment_of(run, event.attachment_id)
    before, form = _form_with(run, attachment), run.form(event.place.form_id)
    if attachment.status is not AttachmentStatus.PLACING and run.asks_for(before):
        return Transition(run, (*card(before), do.TellFileStands(event.user_id, attachment.attachment_id)))
    if not run.asks_for(form):
        return Transition(run, (do.TellFilesTooLate(event.user_id, form.form_id),))
    if event.kind is None:
        return Transition(run, (do.TellNotAttached(event.user_id, form.form_id, event.problems),))
    move = AttachmentMove.PLACED if attachment.url is None else AttachmentMove.LINK_PLACED
    placed = move_attachment(attachment, move, form_id=form.form_id, field=event.place.field, kind=event.kind)
    drawn = card(form) if form is before else (*card(before), *card(form))
    return Transition(with_attachment(run, placed), (*pulls((placed,)), *drawn))


def _file_removed(run: Run, event: saw.FileRemoved, now: datetime) -> Transition:
    attachment = attachment_of(run, event.attachment_id)
    form = _form_with(run, attachment)
    if not is_asked_for(run, attachment):
        return Transition(run, (do.TellFilesTooLate(event.user_id, form.form_id),))
    removed = move_attachment(attachment, AttachmentMove.REMOVED)
    if removed is attachment:
        return Transition(run, (*card(form), do.TellFileStands(event.user_id, attachment.attachment_id)))
    return Transition(with_attachment(run, removed), card(form))


def _form_with(run: Run, attachment: Attachment) -> Form:
    """Return the form that an attachment is for.

    Raises:
        UnknownHere: it is for the start of the run.
    """
    if attachment.form_id is None:
        raise UnknownHere(f"attachment {attachment.attachment_id} is not one of a form")
    return run.form(attachment.form_id)


def _file_uploaded(run: Run, event: saw.FileUploaded, now: datetime) -> Transition:
    return _settled(run, event.attachment_id, AttachmentMove.UPLOADED, now, upload_file_id=event.upload_file_id)


def _file_refused(run: Run, event: saw.FileRefused, now: datetime) -> Transition:
    return _settled(run, event.attachment_id, AttachmentMove.REFUSED, now, reason=event.reason)


def _settled(run: Run, attachment_id: str, move: AttachmentMove, now: datetime, **changes: Any) -> Transition:
    """Return what follows once it is known whether Dify has a file; one that was taken back meanwhile is over."""
    attachment = attachment_of(run, attachment_id)
    if attachment.status is not AttachmentStatus.PULLING:
        return Transition(run)
    settled = move_attachment(attachment, move, **changes)
    return _with_settled(with_attachment(run, settled), settled, now)


def _with_settled(run: Run, attachment: Attachment, now: datetime) -> Transition:
    """Return what follows for the answer, or the start, that the file is for."""
    if attachment.form_id is None:
        return _start_settled(run, now)
    form, reason = run.form(attachment.form_id), refusal_of((attachment,))
    if reason is not None and form.status is FormStatus.CLAIMED and attachment in used_in(run, form):
        return _refused(run, form, FormMove.FILE_REFUSED, reason)
    told: tuple[Effect, ...] = ()
    if reason is not None:
        problem = FileProblem(attachment.name, attachment.reason or "")
        told = (do.TellNotAttached(attachment.user_id, form.form_id, (problem,)),)
    return _send_next(Transition(run, (*card(form), *told)))


def _start_settled(run: Run, now: datetime) -> Transition:
    with_files = run.start_attachments
    if run.status is not RunStatus.STARTING or is_under_way(with_files):
        return Transition(run)
    if (reason := refusal_of(with_files)) is not None:
        return _start_refused(run, saw.StartRefused(reason), now)
    return Transition(run, _start(run))


def _card_posted(run: Run, event: saw.CardPosted, now: datetime) -> Transition:
    form = run.form(event.form_id)
    posted = _with_form(run, replace(form, card_ts=event.ts))
    # More may have been attached, or the form decided, before Slack's answer to the post.
    return Transition(posted, (do.RefreshCard(form.form_id),))


def _without_addresses(field: FormInput) -> FormInput:
    """Let a text be edited without the addresses in it, which are good for whoever reads them, and not for long."""
    return replace(field, default=without_addresses(field.default)) if isinstance(field, Paragraph) else field


# --- shared steps --------------------------------------------------------------------------------------------------


def _with_form(run: Run, form: Form) -> Run:
    return replace(run, forms=tuple(form if each.form_id == form.form_id else each for each in run.forms))


def _close(run: Run, form: Form, move: FormMove, now: datetime, **changes: Any) -> Transition:
    closed = move_form(form, move, **changes)
    if closed is form:
        return Transition(run)
    if closed.status is FormStatus.TIMED_OUT and closed.expires_at is not None:
        # Its deadline may have been brought forward in Dify, and is not to be told as one to come.
        closed = replace(closed, expires_at=min(closed.expires_at, now))
    moved = _with_form(run, closed)
    if closed.status is not FormStatus.VOID:
        # Whoever answered, and however late we learn of it: the run now has something to act upon, so no other
        # answer goes out before it has been seen to pause again.
        moved = move_run(moved, RunMove.ANSWERED, now)
    if closed.status is FormStatus.SUBMITTED and run.status is RunStatus.RESUMING:
        # Sent because nothing moved: this answer lets the run go on, and has the same time to do so.
        moved = replace(moved, since=now, told_stuck=False)
    effects: tuple[Effect, ...] = (do.RefreshForm(form.form_id), *_card_again(run, form), do.RefreshRoot())
    decided_here = form.status in (FormStatus.CLAIMED, *IN_FLIGHT, FormStatus.SUBMITTED)
    if decided_here and closed.status is not FormStatus.SUBMITTED and form.submission and form.submission.user_id:
        told = do.TellDecided(form.submission.user_id, form.form_id, form.submission.values)
        effects = (*effects, told)
    return Transition(moved, effects)


def _is_the_answer(form: Form, submission: Submission, filled: saw.FormFilled) -> bool:
    """Tell whether an answer is the one that Dify reports, by all that Dify says of it.

    Text comes back as it was sent (recording 32) and a file as an object of Dify's, which cannot be compared; before
    1.15 no value comes back (dify-api §14).
    """
    named = [field.name for field in form.inputs if not isinstance(field, FileField) and field.name in filled.values]
    same_values = all(filled.values[name] == submission.values.get(name) for name in named)
    return submission.action_id == filled.action_id and same_values


def _card_again(run: Run, form: Form) -> tuple[Effect, ...]:
    """Redraw the card of a form that is decided, or open again: nothing can be attached to a decided one."""
    return card(form) if form.card_ts is not None or shown_in(run, form) else ()


def _text_over(run: Run) -> tuple[Effect, ...]:
    return (do.EndAnswer(run.segment, run.answer_ts),) if run.answer_ts is not None else ()


def _undecided(run: Run) -> tuple[Form, ...]:
    return tuple(form for form in run.forms if form.status.asks)


def _form_of_node(run: Run, node_id: str) -> Form | None:
    """Return the form that a node's event speaks of: its newest, since a node asks again only once it is answered."""
    return next((form for form in reversed(run.forms) if form.node_id == node_id), None)


def _send_next(transition: Transition) -> Transition:
    """Send the answer that was given first, if the run can take one now."""
    run = transition.run
    # Long after the last answer its resume has got lost or not begun, and that of another answer does for both.
    takes_one = run.status is RunStatus.PAUSED or (run.status is RunStatus.RESUMING and run.told_stuck)
    if not takes_one or any(form.status in IN_FLIGHT for form in run.forms):
        return transition
    # One whose files are on their way to Dify lets others go first.
    claimed = [form for form in run.forms if form.status is FormStatus.CLAIMED and not is_under_way(used_in(run, form))]
    if not claimed:
        return transition
    form = min(claimed, key=_given_at)
    sent = _with_form(run, move_form(form, FormMove.SENT))
    return Transition(sent, (*transition.effects, do.SubmitForm(form.form_id)))


def _given_at(form: Form) -> datetime:
    assert form.submission is not None, "a claimed form holds its answer"
    return form.submission.at


_RULES: dict[type, Callable[[Run, Any, datetime], Transition]] = {
    saw.RootPosted: _root_posted,
    saw.RootRefused: _root_refused,
    saw.RunStarted: _run_started,
    saw.StartRefused: _start_refused,
    saw.ConversationGone: _conversation_gone,
    saw.QuestionPosted: _question_posted,
    saw.MessageReleased: _message_released,
    saw.MessageForgotten: _message_forgotten,
    saw.MessageUsed: _message_used,
    saw.MessageLapsed: _message_lapsed,
    saw.SuggestionsRead: _suggestions_read,
    saw.SuggestionsPosted: _suggestions_posted,
    saw.AskedNext: _asked_next,
    saw.AskedMeanwhile: _asked_meanwhile,
    saw.AnswerRated: _answer_rated,
    saw.RatingTaken: _rating_taken,
    saw.StartUnconfirmed: _start_unconfirmed,
    saw.RunFound: _run_found,
    saw.RunNotFound: _run_not_found,
    saw.RunResumed: _run_resumed,
    saw.RunPaused: _run_paused,
    saw.RunFinished: _run_finished,
    saw.RunGone: _run_gone,
    saw.StopRequested: _stop_requested,
    saw.StopRefused: _stop_refused,
    saw.AnswerBegan: _answer_began,
    saw.AnswerPosted: _answer_posted,
    saw.TextShown: _text_shown,
    saw.ResultNotShown: _result_not_shown,
    saw.StillNotMoving: _still_not_moving,
    saw.LookFailed: _look_failed,
    saw.LookSucceeded: _look_succeeded,
    saw.FormRequired: _form_required,
    saw.FormPosted: _form_posted,
    saw.FormNotShown: _form_not_shown,
    saw.ActionChosen: _action_chosen,
    saw.SubmitAccepted: _submit_accepted,
    saw.SubmitRefused: _submit_refused,
    saw.SubmitUncertain: _submit_uncertain,
    saw.SubmitDelayed: _submit_delayed,
    saw.ReminderDue: _reminder_due,
    saw.FormFoundOpen: _form_found_open,
    saw.FormFoundClosed: _form_found_closed,
    saw.FormUnreachable: _form_unreachable,
    saw.FormFilled: _form_filled,
    saw.FormTimedOut: _form_timed_out,
    saw.FilesGiven: _files_given,
    saw.FilePlaced: _file_placed,
    saw.FileRemoved: _file_removed,
    saw.FileUploaded: _file_uploaded,
    saw.FileRefused: _file_refused,
    saw.CardPosted: _card_posted,
    **OUT_FILE_RULES,
}
