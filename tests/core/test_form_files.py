"""The files that people give to a form: what becomes of those in its thread, and of those that a window holds."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import count
from typing import Any

import pytest

from bot.core import effects as do
from bot.core import events as saw
from bot.core.form_files import WINDOW_RULES, Chosen, InWindow, WindowFiles, chosen_in_window, given_in_thread
from bot.core.lifecycle import advance
from bot.core.model import Attachment, AttachmentStatus, FileField, FileLimits, Form, FormStatus, Run, SharedFile
from tests.factories import NOW, make_attachment, make_form, make_run

FIRST, SECOND, THIRD = (SharedFile(f"F{number}", f"{number}.png", "image/png", 100) for number in (1, 2, 3))
PHOTOS = FileField("photos", many=True, limit=2, allowed_types=("image",))
PROOF = FileField("proof", allowed_types=("image",))
READY, REMOVED, REFUSED = AttachmentStatus.READY, AttachmentStatus.REMOVED, AttachmentStatus.REFUSED


def form_of(*fields: FileField) -> Form:
    return make_form(inputs=fields, content="", status=FormStatus.OPEN, card_ts="2.2")


def of(file: SharedFile, field: FileField, status: AttachmentStatus = READY, **changes: Any) -> Attachment:
    """A file that was chosen in the window `V1`."""
    known = {"attachment_id": f"of-{file.file_id}", "slack_file_id": file.file_id, "name": file.name}
    return make_attachment(**known, field=field.name, status=status, view_id="V1", chosen_at=NOW, **changes)


def seen(
    field: FileField, attachments: tuple[Attachment, ...], *files: SharedFile, **window: Any
) -> tuple[Run, Chosen]:
    """Let the window `V1` hold these files; return the run afterwards and what they meant."""
    form = form_of(field)
    run = make_run(forms=(form,), attachments=attachments)
    numbers = count(1)
    holding = WindowFiles("V1", {field.name: files} if files else {}, **window)
    chosen = chosen_in_window(run, form, holding, "U1", FileLimits(), lambda: f"new-{next(numbers)}")
    given = saw.FilesGiven(form.form_id, "U1", chosen.added, taken_back=chosen.taken_back)
    return advance(run, given, NOW).run, chosen


def names(run: Run) -> list[str]:
    return [each.name for each in run.attachments if each.status.counts]


def test_of_two_files_of_one_name_the_one_that_goes_nowhere_is_told() -> None:
    """Phones call every picture the same."""
    run = make_run(forms=(form_of(PROOF),))
    small, large = (SharedFile(file_id, "notes.pdf", size=size) for file_id, size in (("F1", 100), ("F2", 10**9)))
    ((_, given),) = given_in_thread(
        run, (small, large), "U1", FileLimits(), lambda: "new", asked="form-1", go_along=(small,)
    )
    assert given.attachments == ()
    assert [each.name for each in given.problems] == ["notes.pdf"]


def test_whoever_shares_a_file_is_told_where_its_form_is_decided_before_it_is_attached() -> None:
    """Slack may take a second to say what the file is."""
    run = make_run(forms=(replace(form_of(PROOF), status=FormStatus.SUBMITTED),))
    ((form, given),) = given_in_thread(run, (FIRST,), "U1", FileLimits(), lambda: "new", asked="form-1")
    told = advance(run, saw.FilesGiven(form.form_id, "U1", given.attachments, given.problems), NOW)
    assert told.effects == (do.TellFilesTooLate("U1", "form-1", ("1.png",)),)
    assert told.run.attachments == ()


@pytest.mark.parametrize("is_sent", [False, True], ids=["seen", "sent"])
@pytest.mark.parametrize(
    ("stands", "before", "holds", "names_after"),
    [
        (InWindow.CHOSEN, (), (FIRST,), (["1.png"], ["1.png"])),
        (InWindow.ATTACHED, (of(FIRST, PHOTOS),), (FIRST,), (["1.png"], ["1.png"])),
        (InWindow.REFUSED, (of(FIRST, PHOTOS, REFUSED),), (FIRST,), ([], ["1.png"])),
        (InWindow.REMOVED, (of(FIRST, PHOTOS, REMOVED),), (FIRST,), ([], [])),
        (InWindow.TAKEN_OUT, (of(FIRST, PHOTOS),), (), ([], [])),
    ],
    ids=[each.name for each in WINDOW_RULES],
)
def test_each_row_of_the_table(
    stands: InWindow, before: Any, holds: Any, names_after: tuple[list[str], list[str]], *, is_sent: bool
) -> None:
    run, chosen = seen(PHOTOS, before, *holds, is_sent=is_sent, at=None if is_sent else NOW + timedelta(seconds=1))
    assert names(run) == names_after[is_sent]
    assert bool(chosen.problems) == (stands is InWindow.REMOVED and is_sent)


def test_what_is_attached_from_elsewhere_stays() -> None:
    other = replace(of(SECOND, PHOTOS), view_id="V0")
    run, _ = seen(PHOTOS, (of(FIRST, PHOTOS), other), is_sent=True)
    assert names(run) == ["2.png"]


def test_a_change_from_before_a_file_was_chosen_takes_nothing_back() -> None:
    """Changes may overtake one another."""
    run, _ = seen(PHOTOS, (of(FIRST, PHOTOS),), at=NOW - timedelta(seconds=1))
    assert names(run) == ["1.png"]


def test_of_a_window_that_is_seen_what_fits_is_attached_and_the_rest_told_once() -> None:
    run, chosen = seen(PHOTOS, (), FIRST, SECOND, THIRD, at=NOW)
    assert names(run) == ["1.png", "2.png"]
    assert [(each.name, each.reason) for each in chosen.problems] == [
        ("3.png", "takes 2 at most, and with these there would be 3.")
    ]
    again, chosen = seen(PHOTOS, run.attachments, FIRST, SECOND, THIRD, at=NOW + timedelta(seconds=1))
    assert chosen == Chosen()
    assert again == run


def test_a_window_that_is_sent_with_too_many_attaches_none_of_the_new_ones() -> None:
    _, chosen = seen(PHOTOS, (), FIRST, SECOND, THIRD, is_sent=True)
    assert not any(each.status.counts for each in chosen.added)
    assert [each.reason for each in chosen.problems] == ["takes 2 at most, and these are 3."]


def test_a_single_file_takes_the_place_of_another_one() -> None:
    run, _ = seen(PROOF, (replace(of(FIRST, PROOF), view_id=None),), SECOND, at=NOW)
    assert names(run) == ["2.png"]


def test_a_link_is_attached_once_the_window_is_sent() -> None:
    """Also one that was removed before: somebody has just entered it."""
    url = "https://a.example/4.png"
    link = replace(of(FIRST, PROOF, REMOVED), url=url, slack_file_id=None)
    run, _ = seen(PROOF, (link,), links={"proof": (url,)}, at=NOW)
    assert names(run) == []
    run, _ = seen(PROOF, (link,), links={"proof": (url,)}, is_sent=True)
    assert names(run) == ["4.png"]
