"""Every row of the table of attachments, and what follows from each of their moves."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import pytest

from bot.core import effects as do
from bot.core import events as saw
from bot.core.attaching import ATTACHMENT_MOVES, AttachmentMove, attachment_of, move_attachment
from bot.core.lifecycle import advance
from bot.core.model import (
    AttachmentStatus,
    FileField,
    FileKind,
    FileProblem,
    Form,
    FormStatus,
    Place,
    Run,
    RunStatus,
)
from bot.core.submission import unplaced
from bot.errors import IllegalTransition, UnknownHere
from tests.factories import NOW, make_attachment, make_form, make_run, make_submission

PULLING, READY, PLACING = AttachmentStatus.PULLING, AttachmentStatus.READY, AttachmentStatus.PLACING
REFUSED = saw.FileRefused("attachment-1", "it is too large.")
UPLOADED = saw.FileUploaded("attachment-1", "upload-9")


def form_of(status: FormStatus = FormStatus.OPEN, **changes: Any) -> Form:
    return make_form(inputs=(FileField("proof"),), content="{{#$output.proof#}}", status=status, **changes)


def paused(form: Form, *attachments: Any, **changes: Any) -> Run:
    return make_run(
        status=RunStatus.PAUSED, forms=(form,), attachments=attachments, thread_ts="1.1", root_ts="1.1", **changes
    )


def starting(*attachments: Any) -> Run:
    of_start = tuple(replace(each, form_id=None) for each in attachments)
    return make_run(status=RunStatus.STARTING, attachments=of_start, thread_ts="1.1", root_ts="1.1")


class TestTable:
    """What the table allows, and nothing else."""

    @pytest.mark.parametrize(("status", "move"), [*product(AttachmentStatus, AttachmentMove)])
    def test_an_attachment_moves_by_its_table_only(self, status: AttachmentStatus, move: AttachmentMove) -> None:
        attachment = make_attachment(status=status)
        target = ATTACHMENT_MOVES.get(status, {}).get(move)
        if target is not None:
            assert move_attachment(attachment, move).status is target
        elif status.counts:
            with pytest.raises(IllegalTransition):
                move_attachment(attachment, move)
        else:
            assert move_attachment(attachment, move) is attachment

    def test_what_was_never_given_is_unknown(self) -> None:
        with pytest.raises(UnknownHere):
            attachment_of(make_run(), "attachment-1")


class TestGiving:
    """Files that people give to a form."""

    def test_each_is_pulled_and_the_card_says_so(self) -> None:
        given = make_attachment(status=PULLING)
        transition = advance(paused(form_of()), saw.FilesGiven("form-1", "U1", (given,)), NOW)
        assert transition.run.attachments == (given,)
        assert transition.effects == (do.PostCard("form-1"), do.PullFile("attachment-1"))

    def test_a_card_that_is_there_is_redrawn(self) -> None:
        given = make_attachment(status=PULLING)
        form = form_of(card_ts="2.2")
        transition = advance(paused(form), saw.FilesGiven("form-1", "U1", (given,)), NOW)
        assert transition.effects == (do.RefreshCard("form-1"), do.PullFile("attachment-1"))

    def test_whoever_gives_what_does_not_fit_is_told(self) -> None:
        problem = FileProblem("a.exe", "takes an image.", "proof")
        run = paused(form_of())
        transition = advance(run, saw.FilesGiven("form-1", "U1", (), (problem,)), NOW)
        assert transition.run is run
        assert transition.effects == (do.TellNotAttached("U1", "form-1", (problem,)),)

    @pytest.mark.parametrize("status", [each for each in FormStatus if each not in (FormStatus.REQUIRED, "open")])
    def test_a_form_that_is_decided_takes_none(self, status: FormStatus) -> None:
        run = paused(form_of(status))
        transition = advance(run, saw.FilesGiven("form-1", "U1", (make_attachment(status=PULLING),)), NOW)
        assert transition.run is run
        assert transition.effects == (do.TellFilesTooLate("U1", "form-1", ("shot.png",)),)

    def test_the_field_that_somebody_chooses_gets_it(self) -> None:
        placing = make_attachment(status=PLACING, field=None, choices=("proof", "more"))
        run = paused(form_of(card_ts="2.2"), placing)
        transition = advance(run, saw.FilePlaced("attachment-1", "U2", Place("form-1", "proof"), FileKind.IMAGE), NOW)
        placed = transition.run.attachments[0]
        assert (placed.status, placed.field, placed.kind) == (PULLING, "proof", FileKind.IMAGE)
        assert transition.effects == (do.PullFile("attachment-1"), do.RefreshCard("form-1"))
        second = advance(
            transition.run, saw.FilePlaced("attachment-1", "U3", Place("form-1", "more"), FileKind.IMAGE), NOW
        )
        assert second.run is transition.run
        assert second.effects == (do.RefreshCard("form-1"), do.TellFileStands("U3", "attachment-1"))

    def test_a_link_is_there_as_soon_as_its_field_is_chosen(self) -> None:
        placing = make_attachment(status=PLACING, field=None, url="https://a.example/b.png", slack_file_id=None)
        run = paused(form_of(card_ts="2.2"), placing)
        transition = advance(run, saw.FilePlaced("attachment-1", "U2", Place("form-1", "proof"), FileKind.IMAGE), NOW)
        assert transition.run.attachments[0].status is READY
        assert transition.effects == (do.RefreshCard("form-1"),)

    def test_what_is_taken_back_is_not_there_any_more(self) -> None:
        run = paused(form_of(card_ts="2.2"), make_attachment(status=PULLING))
        removed = advance(run, saw.FileRemoved("attachment-1", "U2"), NOW)
        assert removed.effects == (do.RefreshCard("form-1"),)
        # Dify has it all the same; nobody asks for it.
        assert advance(removed.run, UPLOADED, NOW).run is removed.run
        assert advance(removed.run, REFUSED, NOW).effects == ()
        again = advance(removed.run, saw.FileRemoved("attachment-1", "U3"), NOW)
        assert again.effects == (do.RefreshCard("form-1"), do.TellFileStands("U3", "attachment-1"))

    @pytest.mark.parametrize("status", [each for each in FormStatus if not each.asks])
    def test_nothing_of_a_form_that_is_decided_moves(self, status: FormStatus) -> None:
        run = paused(form_of(status, card_ts="2.2"), make_attachment(status=PULLING))
        for event in (
            saw.FilePlaced("attachment-1", "U3", Place("form-1", "proof"), FileKind.IMAGE),
            saw.FileRemoved("attachment-1", "U3"),
        ):
            transition = advance(run, event, NOW)
            assert transition.run is run
            assert transition.effects == (do.TellFilesTooLate("U3", "form-1"),)

    def test_one_that_fits_several_forms_goes_to_the_form_that_somebody_chooses(self) -> None:
        """Also where the one whose card asks is decided meanwhile: the other one would wait for ever."""
        second = replace(form_of(card_ts="3.3"), form_id="form-2", node_id="other")
        elsewhere = (Place("form-2", "proof"),)
        placing = make_attachment(status=PLACING, field=None, choices=("proof",), elsewhere=elsewhere)
        chosen = saw.FilePlaced("attachment-1", "U2", elsewhere[0], FileKind.IMAGE)
        for status in (FormStatus.OPEN, FormStatus.TIMED_OUT):
            run = paused(form_of(status, card_ts="2.2"), placing)
            run = replace(run, forms=(*run.forms, second))
            assert unplaced(second, run.attachments).keys() == {"proof"}
            transition = advance(run, chosen, NOW)
            assert transition.run.attachments[0].form_id == "form-2"
            assert transition.effects == (
                do.PullFile("attachment-1"),
                do.RefreshCard("form-1"),
                do.RefreshCard("form-2"),
            )
            assert advance(run, saw.FileRemoved("attachment-1", "U2"), NOW).effects == (do.RefreshCard("form-1"),)

    def test_a_field_that_does_not_take_it_any_more_is_told(self) -> None:
        run = paused(form_of(card_ts="2.2"), make_attachment(status=PLACING, field=None, choices=("proof", "more")))
        problem = FileProblem("shot.png", "holds other.png already: remove that first.", "proof")
        transition = advance(run, saw.FilePlaced("attachment-1", "U2", Place("form-1", "proof"), None, (problem,)), NOW)
        assert transition.run is run
        assert transition.effects == (do.TellNotAttached("U2", "form-1", (problem,)),)

    def test_what_is_given_in_the_place_of_another_one_takes_that_back(self) -> None:
        run = paused(form_of(card_ts="2.2"), make_attachment())
        new = make_attachment(attachment_id="second", status=PULLING)
        transition = advance(run, saw.FilesGiven("form-1", "U1", (new,), taken_back=("attachment-1",)), NOW)
        assert [each.status for each in transition.run.attachments] == [AttachmentStatus.REMOVED, PULLING]
        assert transition.effects == (do.RefreshCard("form-1"), do.PullFile("second"))

    def test_one_that_is_refused_is_told_to_who_gave_it(self) -> None:
        run = paused(form_of(card_ts="2.2"), make_attachment(status=PULLING))
        transition = advance(run, REFUSED, NOW)
        told = do.TellNotAttached("U1", "form-1", (FileProblem("shot.png", "it is too large."),))
        assert transition.effects == (do.RefreshCard("form-1"), told)
        assert transition.run.attachments[0].reason == "it is too large."


class TestAnswers:
    """An answer waits for its files, and is not sent without them."""

    CLAIM = make_submission(values={"proof": {"attachment_id": "attachment-1"}}, at=NOW)

    def test_an_answer_whose_file_is_on_its_way_is_sent_when_it_is_there(self) -> None:
        run = paused(form_of(card_ts="2.2"), make_attachment(status=PULLING))
        claimed = advance(run, saw.ActionChosen("form-1", self.CLAIM), NOW)
        assert do.SubmitForm("form-1") not in claimed.effects
        uploaded = advance(claimed.run, UPLOADED, NOW)
        assert uploaded.run.form("form-1").status is FormStatus.SUBMITTING
        assert do.SubmitForm("form-1") in uploaded.effects

    def test_another_answer_does_not_wait_for_that(self) -> None:
        run = paused(form_of(card_ts="2.2"), make_attachment(status=PULLING))
        run = replace(run, forms=(*run.forms, make_form(form_id="form-2", node_id="other")))
        claimed = advance(run, saw.ActionChosen("form-1", self.CLAIM), NOW).run
        second = advance(claimed, saw.ActionChosen("form-2", make_submission()), NOW)
        assert do.SubmitForm("form-2") in second.effects

    def test_an_answer_whose_file_is_refused_opens_its_form_again(self) -> None:
        run = paused(form_of(card_ts="2.2"), make_attachment(status=PULLING))
        claimed = advance(run, saw.ActionChosen("form-1", self.CLAIM), NOW).run
        refused = advance(claimed, REFUSED, NOW)
        form = refused.run.form("form-1")
        assert (form.status, form.refusal) == (FormStatus.OPEN, "shot.png: it is too large.")
        assert do.TellRefused("U2", "form-1", "shot.png: it is too large.") in refused.effects
        assert do.SubmitForm("form-1") not in refused.effects

    def test_the_card_of_a_decided_form_is_drawn_anew(self) -> None:
        run = paused(form_of(card_ts="2.2"), make_attachment())
        assert do.RefreshCard("form-1") in advance(run, saw.ActionChosen("form-1", self.CLAIM), NOW).effects
        assert do.RefreshCard("form-1") in advance(run, saw.FormFoundClosed("form-1", expired=True), NOW).effects

    def test_a_card_that_was_posted_meanwhile_is_drawn_as_things_stand(self) -> None:
        posted = advance(paused(form_of(), make_attachment()), saw.CardPosted("form-1", "2.2"), NOW)
        assert posted.run.form("form-1").card_ts == "2.2"
        assert posted.effects == (do.RefreshCard("form-1"),)


class TestStarts:
    """A run starts once its files are there."""

    def test_the_files_of_a_start_are_pulled_once_its_root_message_is_there(self) -> None:
        run = replace(starting(make_attachment(status=PULLING)), status=RunStatus.REQUESTED)
        transition = advance(run, saw.RootPosted("1.1"), NOW)
        assert transition.effects == (do.PullFile("attachment-1"),)
        assert do.StartRun() in advance(transition.run, UPLOADED, NOW).effects

    def test_a_start_waits_for_the_last_of_them(self) -> None:
        run = starting(make_attachment(status=PULLING), make_attachment(status=PULLING, attachment_id="second"))
        first = advance(run, UPLOADED, NOW)
        assert first.effects == ()
        assert advance(first.run, saw.FileUploaded("second", "upload-2"), NOW).effects == (do.StartRun(),)

    def test_a_start_whose_file_is_refused_is_refused_with_the_reason(self) -> None:
        transition = advance(starting(make_attachment(status=PULLING)), REFUSED, NOW)
        assert transition.run.status is RunStatus.FAILED
        assert transition.run.error == "shot.png: it is too large."
        assert transition.effects == (do.RefreshRoot(), do.PostResult())

    def test_a_start_with_links_alone_waits_for_nothing(self) -> None:
        run = replace(starting(make_attachment(url="https://a.example/b.png")), status=RunStatus.REQUESTED)
        assert advance(run, saw.RootPosted("1.1"), NOW).effects == (do.StartRun(),)
