"""What holds whatever happens: any order, repetition or loss of events, and a Dify that answers as it likes."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from enum import Enum, auto
from typing import TypeVar

from hypothesis import given, note, settings
from hypothesis import strategies as st

from bot.core import effects as do
from bot.core import events as saw
from bot.core.effects import DifyEffect, Effect, SlackEffect
from bot.core.events import LifecycleEvent
from bot.core.lifecycle import IN_FLIGHT, advance
from bot.core.model import Form, FormStatus, Run, RunStatus, SegmentText, Submission
from bot.errors import IllegalTransition
from tests.factories import NOW, make_form, make_run, make_submission

T = TypeVar("T")

ENDINGS = [status for status in RunStatus if status.ended and status is not RunStatus.LOST]
PEOPLE = ["U1", "U2", "U3"]
ACTIONS = ["approve", "regenerate"]
VALUES = [{"feedback": "Looks good"}, {"feedback": "Too long"}]
OURS = frozenset({FormStatus.CLAIMED, *IN_FLIGHT, FormStatus.SUBMITTED})
"""While a form is in one of these, it holds the answer that was given here."""


def asked(form_id: str) -> Form:
    """Return a form as Dify's stream announces it, with one reminder that is due."""
    return make_form(
        form_id=form_id, node_id=f"node of {form_id}", status=FormStatus.REQUIRED, message_ts=None, remind_at=NOW
    )


class Witness:
    """Feeds a run with events, and holds every transition to what is promised of all of them."""

    def __init__(self) -> None:
        self.run = make_run()
        self.now = NOW
        self.sent: dict[str, bool] = {}
        """Per form that was sent: whether Dify has been looked at since."""
        self.asked_once: set[Effect] = set()

    def see(self, event: LifecycleEvent) -> tuple[Effect, ...]:
        """Advance the run and return the effects.

        Raises:
            IllegalTransition: the event was refused; the run stays as it was.
        """
        self.now += timedelta(seconds=1)
        before = self.run
        transition = advance(before, event, self.now)
        self.run = transition.run
        self._terminal_statuses_absorb(before)
        self._claims_stand(before, event)
        self._nobody_else_s_answer_is_ours(event)
        assert self.run.stop_requested_by is None or self.run.status is RunStatus.RUNNING or self.run.status.ended
        if isinstance(event, saw.SubmitRefused | saw.FormFoundOpen):
            self.sent[event.form_id] = True
        for effect in transition.effects:
            if isinstance(effect, do.SubmitForm):
                self._may_be_sent(effect.form_id)
            if isinstance(effect, do.PostReminder):
                assert self.run.form(effect.form_id).status.asks
            if isinstance(effect, do.StartRun | do.PostForm | do.PostReminder | do.PostResult | do.TellNotStarted):
                assert effect not in self.asked_once
                self.asked_once.add(effect)
        return transition.effects

    def _terminal_statuses_absorb(self, before: Run) -> None:
        if before.status.ended:
            assert self.run.status is before.status
            assert self.run.ended_at == before.ended_at
        for form in before.forms:
            then = self.run.form(form.form_id).status
            proven_wrong = form.status is FormStatus.SUBMITTED and then is FormStatus.ANSWERED_ELSEWHERE
            assert then is form.status or not form.status.closed or proven_wrong

    def _claims_stand(self, before: Run, event: LifecycleEvent) -> None:
        for form in before.forms:
            then = self.run.form(form.form_id)
            if form.status in OURS and then.status in OURS:
                assert then.submission == form.submission
            if form.status not in OURS and then.status in OURS:
                assert isinstance(event, saw.ActionChosen)
                assert then.submission is event.submission

    def _nobody_else_s_answer_is_ours(self, event: LifecycleEvent) -> None:
        if isinstance(event, saw.FormFilled):
            for form in self.run.forms:
                if form.node_id == event.node_id and form.status is FormStatus.SUBMITTED:
                    assert form.submission is not None
                    assert form.submission.action_id == event.action_id
                    assert event.values in ({}, form.submission.values)

    def _may_be_sent(self, form_id: str) -> None:
        after_a_grace = self.run.status is RunStatus.RESUMING and self.run.told_stuck
        assert self.run.status is RunStatus.PAUSED or after_a_grace
        assert [form.form_id for form in self.run.forms if form.status in IN_FLIGHT] == [form_id]
        assert self.run.form(form_id).status is FormStatus.SUBMITTING
        assert self.sent.get(form_id, True), "sent twice without a look in between"
        self.sent[form_id] = False


# --- safety: anything at all may be reported -----------------------------------------------------------------------

_form_ids = st.sampled_from(["form-1", "form-2", "form-3"])
_nodes = _form_ids.map("node of {}".format)
_texts = st.sampled_from(["a", "b"])
_submissions = st.builds(
    make_submission,
    action_id=st.sampled_from(ACTIONS),
    values=st.sampled_from(VALUES),
    user_id=st.sampled_from(PEOPLE),
    at=st.integers(0, 99).map(lambda seconds: NOW + timedelta(seconds=seconds)),
)
_events: st.SearchStrategy[LifecycleEvent] = st.one_of(
    st.builds(saw.RootPosted, st.just("1700000000.000100")),
    st.builds(saw.RootRefused, _texts),
    st.builds(saw.RunStarted, _texts, st.none() | _texts, st.none() | _texts),
    st.builds(saw.StartRefused, _texts),
    st.builds(saw.StartUnconfirmed),
    st.builds(saw.RunFound, _texts, st.just(NOW)),
    st.builds(saw.RunNotFound),
    st.builds(saw.RunResumed),
    st.builds(saw.RunPaused, st.frozensets(_form_ids)),
    st.builds(
        saw.RunPaused,
        st.frozensets(_form_ids),
        text=st.builds(SegmentText.of, st.integers(0, 3), _texts),
    ),
    st.builds(saw.TextShown, st.integers(0, 3)),
    st.builds(saw.RunFinished, st.sampled_from(ENDINGS)),
    st.builds(saw.RunGone, _texts),
    st.builds(saw.StopRequested, st.sampled_from(PEOPLE)),
    st.builds(saw.StopRefused),
    st.builds(saw.AnswerBegan),
    st.builds(saw.AnswerPosted, _texts),
    st.builds(saw.ResultNotShown),
    st.builds(saw.StillNotMoving),
    st.builds(saw.LookFailed, st.booleans()),
    st.builds(saw.LookSucceeded),
    st.builds(saw.FormRequired, _form_ids.map(asked)),
    st.builds(saw.FormPosted, _form_ids, _texts),
    st.builds(saw.FormNotShown, _form_ids),
    st.builds(saw.ActionChosen, _form_ids, _submissions),
    st.builds(saw.SubmitAccepted, _form_ids),
    st.builds(saw.SubmitRefused, _form_ids, _texts),
    st.builds(saw.SubmitUncertain, _form_ids),
    st.builds(saw.SubmitDelayed, _form_ids),
    st.builds(saw.ReminderDue, _form_ids, st.just(NOW)),
    st.builds(saw.FormFoundOpen, _form_ids),
    st.builds(saw.FormFoundClosed, _form_ids, st.booleans()),
    st.builds(saw.FormUnreachable, _form_ids),
    st.builds(saw.FormFilled, _nodes, st.sampled_from(ACTIONS), st.sampled_from([{}, *VALUES])),
    st.builds(saw.FormTimedOut, _nodes),
)
_BEGINNING = (
    saw.RootPosted("1.1"),
    saw.RunStarted("wr-1", "task-1"),
    saw.FormRequired(asked("form-1")),
    saw.FormRequired(asked("form-2")),
    saw.RunPaused(frozenset({"form-1", "form-2"})),
)


@given(st.integers(0, len(_BEGINNING)), st.lists(_events, max_size=40))
@settings(max_examples=500)
def test_no_report_however_wrong_breaks_a_promise(heard_of_the_beginning: int, events: list[LifecycleEvent]) -> None:
    witness = Witness()
    for event in (*_BEGINNING[:heard_of_the_beginning], *events):
        form_id = getattr(event, "form_id", None)
        if form_id is None or any(form.form_id == form_id for form in witness.run.forms):
            try:
                witness.see(event)
            except IllegalTransition:
                assert form_id is not None or not witness.run.status.ended, "a run that has ended absorbs"


# --- liveness: a small model of Dify that answers our effects ------------------------------------------------------


class Truth(Enum):
    """Where a run really stands at Dify."""

    RUNNING = auto()
    PAUSED = auto()
    ENDED = auto()
    GONE = auto()


@dataclass(slots=True)
class AskedForm:
    """A form as Dify keeps it."""

    form: Form
    answer: Submission | None = None
    """The one that counts."""
    expired: bool = False
    consumed: bool = False
    """The run has gone on past it: no snapshot lists it any more."""

    @property
    def open(self) -> bool:
        return self.answer is None and not self.expired


@dataclass(slots=True)
class DifyModel:
    """One run at Dify, by the recordings: what is answered is offered until the run resumes, and a dead run's form
    can still be answered, to no effect (recordings 25, 44). What it ever reported can be heard at any time."""

    tells_values: bool
    """Since 1.15 Dify reports what was entered, too."""
    truth: Truth = Truth.RUNNING
    forms: dict[str, AskedForm] = field(default_factory=dict)
    stuck: bool = False
    """Two answers within a tenth of a second (recording 33)."""
    resume_lost: bool = False
    """The answers so far resume nothing; another one does (dify-api §10.5)."""
    reported: list[LifecycleEvent] = field(default_factory=list)

    @property
    def listed(self) -> list[AskedForm]:
        return [each for each in self.forms.values() if not each.consumed]

    @property
    def answerable(self) -> list[AskedForm]:
        return [each for each in self.forms.values() if each.open]

    def pause(self, new_forms: int) -> None:
        for _ in range(new_forms):
            form = asked(f"form-{len(self.forms) + 1}")
            self.forms[form.form_id] = AskedForm(form)
        self.truth = Truth.PAUSED
        self.stuck = not self.answerable
        self.reported += self.announced(self.listed)

    def announced(self, forms: list[AskedForm]) -> list[LifecycleEvent]:
        announced: list[LifecycleEvent] = [saw.FormRequired(each.form) for each in forms]
        return [*announced, saw.RunPaused(frozenset(each.form.form_id for each in forms))]

    @property
    def can_resume(self) -> bool:
        answered = any(not each.open for each in self.listed)
        return self.truth is Truth.PAUSED and not self.stuck and not self.resume_lost and answered

    def resume(self) -> None:
        self.truth = Truth.RUNNING
        self.reported.append(saw.RunResumed())
        for each in self.listed:
            if not each.open:
                each.consumed = True
                self.reported.append(self._ending(each))

    def _ending(self, each: AskedForm) -> LifecycleEvent:
        node = each.form.node_id
        if each.answer is None:
            return saw.FormTimedOut(node)
        return saw.FormFilled(node, each.answer.action_id, each.answer.values if self.tells_values else {})

    def end(self, status: RunStatus) -> None:
        self.truth = Truth.ENDED
        self.reported.append(saw.RunFinished(status))

    def submit(self, form_id: str, answer: Submission) -> LifecycleEvent:
        each = self.forms[form_id]
        if not each.open:
            return saw.FormFoundClosed(form_id, expired=each.expired)
        each.answer = answer
        self.resume_lost = False
        return saw.SubmitAccepted(form_id)

    def read(self, form_id: str) -> LifecycleEvent:
        each = self.forms[form_id]
        return saw.FormFoundOpen(form_id) if each.open else saw.FormFoundClosed(form_id, expired=each.expired)

    def look(self, run: Run) -> list[LifecycleEvent]:
        """What reconciliation finds: run detail, and where the run is paused its snapshot.

        Each form of it is read, but for those that we know to be answered; a closed one is left out.
        """
        match self.truth:
            case Truth.RUNNING:
                return [saw.RunResumed()]
            case Truth.PAUSED:
                known = _known_to_be_answered(run)
                return self.announced([each for each in self.listed if each.open or each.form.form_id in known])
            case Truth.ENDED:
                return [event for event in self.reported if isinstance(event, saw.RunFinished)]
            case Truth.GONE:
                return [saw.RunGone("workflow run not found")]


def _known_to_be_answered(run: Run) -> set[str]:
    answered = (FormStatus.SUBMITTED, FormStatus.ANSWERED_ELSEWHERE)
    return {form.form_id for form in run.forms if form.status in answered}


class Submit(Enum):
    """What may become of an answer on its way to Dify."""

    ANSWERED = auto()
    VALUES_REFUSED = auto()
    LOST_ON_THE_WAY = auto()
    RESPONSE_LOST = auto()
    RESPONSE_LOST_AND_LATE = auto()
    NOT_LET_IN = auto()


class Bridge:
    """People, Slack, Dify and a connection that loses and repeats what it likes; the outbox alone is reliable.

    The effects of a lane are carried out in order, and each reports once (`Store.change` finishes its row along
    with the report). Everything else may come at any time, again, or never.
    """

    def __init__(self, chances: bytes) -> None:
        """`chances` decides everything that is left to chance; when it is used up, the story is over."""
        self.chances = iter(chances)
        self.witness = Witness()
        self.dify = DifyModel(tells_values=self.choose([True, False]))
        self.slack_lane: deque[SlackEffect] = deque()
        self.dify_lane: deque[DifyEffect] = deque()
        self.late: list[tuple[str, Submission]] = []
        """Answers that Dify gets only after we gave them up."""
        self.posts = 0
        self.see(saw.RootPosted("1.0"))
        assert self.dify_lane.popleft() == do.StartRun()
        self.see(saw.RunStarted("wr-1", "task-1"))

    @property
    def run(self) -> Run:
        return self.witness.run

    def choose(self, among: Sequence[T]) -> T:
        return among[next(self.chances) % len(among)]

    def see(self, event: LifecycleEvent) -> None:
        note(f"{event!r:.100}")
        for effect in self.witness.see(event):
            if isinstance(effect, do.SubmitForm):
                self._nothing_known_is_pending()
            if isinstance(effect, DifyEffect):
                self.dify_lane.append(effect)
            else:
                self.slack_lane.append(effect)
        # A form in flight never waits for nothing: an effect will tell what became of it.
        pending = {effect.form_id for effect in self.dify_lane if isinstance(effect, do.SubmitForm | do.SettleForm)}
        assert {form.form_id for form in self.run.forms if form.status in IN_FLIGHT} <= pending

    def _nothing_known_is_pending(self) -> None:
        """No answer that we know of is one that Dify has still to act upon (recording 33).

        An old report of a pause is told from a new one by the answers known of the forms that it lists, so this is
        promised only where no answer has escaped us that the run has gone on from; nor is it after minutes in which
        nothing moved.
        """
        if self.run.told_stuck:
            return
        known = _known_to_be_answered(self.run)
        consumed = {each.form.form_id for each in self.dify.forms.values() if each.consumed}
        if consumed <= known:
            assert known == consumed

    def live(self) -> None:
        """Let one thing after the other happen until the chances are used up."""
        with contextlib.suppress(StopIteration):
            while True:
                self.choose(self._what_can_happen())()

    def _what_can_happen(self) -> list[Callable[[], None]]:
        dify = self.dify
        # What stands twice happens twice as often.
        return [
            self.look,
            *[self.carry_out_slack] * bool(self.slack_lane),
            *[self.carry_out_dify] * bool(self.dify_lane) * 2,
            *[self.late_answer_arrives] * bool(self.late),
            *[self.click] * bool(self.run.forms) * 2,
            *[self.remind, self.fail_a_look, self.delay] * bool(self.run.forms),
            *[self.answer_elsewhere, self.pass_a_deadline] * bool(dify.answerable),
            *[self.hear] * bool(dify.reported) * 2,
            *[self.pause] * (dify.truth is Truth.RUNNING and len(dify.forms) < 6) * 2,
            *[dify.resume] * dify.can_resume * 2,
            *[self.lose_the_resume] * dify.can_resume,
            *[self.end] * (dify.truth is Truth.RUNNING and len(dify.forms) > 2),
        ]

    # --- our effects ---

    def carry_out_slack(self) -> None:
        effect = self.slack_lane.popleft()
        self.posts += 1
        if isinstance(effect, do.PostForm):
            self.see(saw.FormPosted(effect.form_id, f"1.{self.posts}"))

    def carry_out_dify(self) -> None:
        outcome = self.choose([Submit.ANSWERED, Submit.ANSWERED, Submit.ANSWERED, *Submit])
        self.answer_effect(outcome)

    def answer_effect(self, outcome: Submit) -> None:
        """Carry out the effect whose turn it is in the Dify lane, and report."""
        match self.dify_lane.popleft():
            case do.SettleForm(form_id=form_id):
                self.see(saw.FormUnreachable(form_id) if outcome is Submit.NOT_LET_IN else self.dify.read(form_id))
            case do.SubmitForm(form_id=form_id) if self.run.form(form_id).status is FormStatus.SUBMITTING:
                self.see(self._submitted(form_id, outcome))

    def _submitted(self, form_id: str, outcome: Submit) -> LifecycleEvent:
        submission = self.run.form(form_id).submission
        assert submission is not None
        match outcome:
            case Submit.ANSWERED:
                return self.dify.submit(form_id, submission)
            case Submit.VALUES_REFUSED if self.dify.forms[form_id].open:
                return saw.SubmitRefused(form_id, "tone is missing")
            case Submit.VALUES_REFUSED:
                return self.dify.read(form_id)
            case Submit.NOT_LET_IN:
                return saw.FormUnreachable(form_id)
            case Submit.RESPONSE_LOST:
                self.dify.submit(form_id, submission)
            case Submit.RESPONSE_LOST_AND_LATE:
                self.late.append((form_id, submission))
        return saw.SubmitUncertain(form_id)

    def late_answer_arrives(self) -> None:
        self.dify.submit(*self.late.pop(0))

    # --- people and deadlines ---

    def click(self) -> None:
        form = self.choose(self.run.forms)
        self.see(saw.ActionChosen(form.form_id, self._any_answer(of=self.choose(PEOPLE))))

    def remind(self) -> None:
        self.see(saw.ReminderDue(self.choose(self.run.forms).form_id, NOW))

    def fail_a_look(self) -> None:
        self.see(saw.LookFailed(refused=self.choose([True, False])))

    def delay(self) -> None:
        self.see(saw.SubmitDelayed(self.choose(self.run.forms).form_id))

    def _any_answer(self, of: str | None) -> Submission:
        return make_submission(
            action_id=self.choose(ACTIONS),
            values=self.choose(VALUES),
            user_id=of,
            at=self.witness.now + timedelta(seconds=1),
        )

    def answer_elsewhere(self) -> None:
        self.choose(self.dify.answerable).answer = self._any_answer(of=None)

    def pass_a_deadline(self) -> None:
        self.choose(self.dify.answerable).expired = True

    # --- Dify ---

    def pause(self) -> None:
        self.dify.pause(self.choose([0, 1, 2, 3] if self.dify.listed else [1, 2, 3]))

    def lose_the_resume(self) -> None:
        self.dify.resume_lost = True

    def end(self) -> None:
        self.dify.end(self.choose(ENDINGS))

    # --- what we hear of it ---

    def hear(self) -> None:
        """Hear anything that Dify ever said: late, out of order, or again."""
        self.see(self.choose(self.dify.reported[::-1]))

    def look(self) -> None:
        for event in self.dify.look(self.run):
            self.see(event)

    def settle(self) -> None:
        """Let everything that is under way come to rest, and look at Dify until that tells nothing new."""
        before = None
        while replace(self.run, compared_at=None) != before:
            before = replace(self.run, compared_at=None)
            if self.dify.resume_lost and (self.run.status is not RunStatus.PAUSED or not self.run.open_forms):
                self.see(saw.StillNotMoving())
            while self.slack_lane or self.dify_lane:
                if self.slack_lane:
                    self.carry_out_slack()
                if self.dify_lane:
                    self.answer_effect(Submit.ANSWERED)
            if self.dify.can_resume:
                self.dify.resume()
            self.look()


@given(st.binary(min_size=60, max_size=300))
@settings(max_examples=400, deadline=None)
def test_what_comes_to_rest_agrees_with_dify_and_ends_with_it(chances: bytes) -> None:
    """Nobody's answer is left lying where Dify would take it, and every run can be brought to its end."""
    bridge = Bridge(chances)
    bridge.live()
    bridge.settle()
    forms = bridge.run.forms
    match bridge.dify:
        case DifyModel(truth=Truth.RUNNING):
            assert bridge.run.status is RunStatus.RUNNING
            bridge.dify.end(RunStatus.SUCCEEDED)
        case DifyModel(truth=Truth.PAUSED, stuck=True):
            bridge.see(saw.StillNotMoving())
            assert bridge.run.told_stuck
            bridge.dify.truth = Truth.GONE
        case DifyModel(truth=Truth.PAUSED, resume_lost=True):
            waits_for_people = bridge.run.status is RunStatus.PAUSED and bridge.run.open_forms
            assert bridge.run.told_stuck or waits_for_people
            if bridge.run.status is RunStatus.RESUMING:
                answerable = {each.form.form_id for each in bridge.dify.answerable}
                assert {form.form_id for form in bridge.run.open_forms} <= answerable
                assert all(form.status is not FormStatus.CLAIMED for form in forms)
            bridge.dify.truth = Truth.GONE
        case DifyModel(truth=Truth.PAUSED):
            assert bridge.run.status is RunStatus.PAUSED
            assert all(form.status is not FormStatus.CLAIMED for form in forms)
            bridge.dify.truth = Truth.GONE
        case _:
            assert bridge.run.status.ended
    bridge.settle()
    assert bridge.run.status.ended
    assert all(form.status.closed for form in bridge.run.forms)
