"""How the files move that a run gives out: named by Dify, fetched while their addresses are valid, and shown once.

A table names every legal move, and the rules of `core.lifecycle` that are about these files alone stand here. A form
waits for the images that stand in its text, and is posted once each of them is there or is not to be had.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from bot.core import effects as do
from bot.core import events as saw
from bot.core.effects import Effect, Transition
from bot.core.model import Form, OutFile, OutFileStatus, Paragraph, Run
from bot.core.out_files import out_files
from bot.errors import UnknownHere

MAX_INLINE = 10
"""Images that stand in the text of a form: people decide there, so it is not to be all pictures."""


class OutFileMove(StrEnum):
    """The ways a file that a run gives out can move."""

    FETCHED = "Slack has its bytes"
    FETCHED_IN_VAIN = "not shown as an image"
    SHARED = "shown in the thread"
    MISSED = "not to be had any more"


OUT_FILE_MOVES: dict[OutFileStatus, dict[OutFileMove, OutFileStatus]] = {
    OutFileStatus.SEEN: {
        OutFileMove.FETCHED: OutFileStatus.FETCHED,
        OutFileMove.MISSED: OutFileStatus.MISSED,
    },
    OutFileStatus.FETCHED: {
        # What Slack keeps to be shown in messages cannot be shared below them: it is fetched once more for that.
        OutFileMove.FETCHED_IN_VAIN: OutFileStatus.SEEN,
        OutFileMove.SHARED: OutFileStatus.SHARED,
        # Slack does not share it after all.
        OutFileMove.MISSED: OutFileStatus.MISSED,
    },
}


def move_out_file(file: OutFile, move: OutFileMove, **changes: Any) -> OutFile:
    """Return the file after a move of `OUT_FILE_MOVES`; one that a move does not fit was told twice, and stays."""
    target = OUT_FILE_MOVES.get(file.status, {}).get(move)
    return file if target is None else replace(file, status=target, **changes)


def out_file_of(run: Run, key: str) -> OutFile:
    """Return the file that a run gives out under this key.

    Raises:
        UnknownHere: the run never gave it out.
    """
    for each in run.out_files:
        if each.key == key:
            return each
    raise UnknownHere(f"run {run.run_id} never gave out file {key}")


def with_out_file(run: Run, file: OutFile) -> Run:
    """Return the run with this file in the place of the one that it was."""
    return replace(run, out_files=tuple(file if each.key == file.key else each for each in run.out_files))


def of_form(run: Run, form_id: str | None) -> tuple[OutFile, ...]:
    """Return the files in the text of a form, or for None those in what a run said and ended with."""
    return tuple(each for each in run.out_files if each.form_id == form_id)


def are_settled(files: Iterable[OutFile]) -> bool:
    """Tell whether of each file is known whether it can be had."""
    return all(each.status is not OutFileStatus.SEEN for each in files)


def waits_for_image(run: Run, form_id: str) -> bool:
    """Tell whether a form waits for an image that is to stand in its text."""
    return any(each.stands_in(form_id) and each.status is OutFileStatus.SEEN for each in run.out_files)


def posting(run: Run, form_id: str) -> tuple[Effect, ...]:
    """Return what has a form posted that waits for nothing: before it, the images in it are shared that are to be.

    Slack shows none whose upload is not completed, which sharing does (slack-platform §5.4).
    """
    unshared = (
        do.ShareFiles(each.form_id)
        for each in run.out_files
        if each.stands_in(form_id) and each.status is OutFileStatus.FETCHED and not each.inline
    )
    return (*dict.fromkeys(unshared), do.PostForm(form_id))


def fetched(run: Run, form_id: str | None) -> tuple[OutFile, ...]:
    """Return those of the files of a form, or of the run itself (None), that Slack has and nobody was shown yet."""
    return tuple(each for each in of_form(run, form_id) if each.status is OutFileStatus.FETCHED)


def without_images(run: Run) -> Run:
    """Return the run as it is to be shown where Slack shows none of the images in the texts of its forms."""
    return replace(run, out_files=tuple(map(_standing_nowhere, run.out_files)))


def to_share(run: Run, form_id: str | None) -> tuple[OutFile, ...]:
    """Return what of them is to be shared in the thread."""
    return tuple(each for each in fetched(run, form_id) if not each.inline)


def to_tell(run: Run, form_id: str | None) -> tuple[OutFile, ...]:
    """Return what the thread is yet to be told to be missing; a form's text tells it of what it waited for."""
    missed = (each for each in of_form(run, form_id) if each.status is OutFileStatus.MISSED)
    return tuple(each for each in missed if not (each.inline or each.told))


def _standing_nowhere(file: OutFile) -> OutFile:
    """Let a file stand in no form as an image."""
    return replace(file, inline=False, also_in=())


# --- what is named ---------------------------------------------------------------------------------------------------


def give_with_form(run: Run, form: Form) -> Transition:
    """Return what follows for the files that a new form names, which is posted at once unless it waits for an image."""
    images = _images_in(form)
    in_text = tuple(replace(each, inline=each.key in images) for each in _new(run, form.content, form.form_id))
    known = _with_named(_showing_again(run, form.form_id, images), in_text)
    defaults = [field.default for field in form.inputs if isinstance(field, Paragraph)]
    beside = _new(known, defaults, form.form_id)
    known = _with_named(known, beside)
    posted = () if waits_for_image(known, form.form_id) else posting(known, form.form_id)
    # Their addresses are valid for minutes (dify-api §12.6).
    return Transition(known, (*_fetches((*in_text, *beside)), *posted))


def give_with_outputs(run: Run) -> Transition:
    """Return what follows for the files that a run names as it ends: where there is none to fetch, they are told of."""
    named = _new(run, run.outputs, None)
    known = _with_named(run, named)
    told = (do.ShareFiles(None),) if named and are_settled(of_form(known, None)) else ()
    return Transition(known, (*_fetches(named), *told))


def _answer_written(run: Run, event: saw.AnswerWritten, now: datetime) -> Transition:
    named = _new(run, event.text, None)
    return Transition(_with_named(run, named), _fetches(named))


def _new(run: Run, value: Any, form_id: str | None) -> tuple[OutFile, ...]:
    """Return the files in a value that were not seen before, or not to be had then: it brings a new address of them."""
    known = {each.key: each for each in run.out_files}
    found = (
        replace(each, told=each.key in known and known[each.key].told)
        for each in out_files(value, form_id)
        if each.key not in known or known[each.key].status is OutFileStatus.MISSED
    )
    return tuple(found)


def _images_in(form: Form) -> tuple[str, ...]:
    """Return the keys of the first images in the text of a form, which stand in it; the others are shared below."""
    return tuple(file.key for file in out_files(form.content, form.form_id) if file.is_image)[:MAX_INLINE]


def _showing_again(run: Run, form_id: str, images: tuple[str, ...]) -> Run:
    """Let those of these images stand in a form that were seen before."""
    return replace(
        run,
        out_files=tuple(
            replace(file, also_in=(*file.also_in, form_id)) if file.key in images and file.can_stand else file
            for file in run.out_files
        ),
    )


def _with_named(run: Run, files: tuple[OutFile, ...]) -> Run:
    """Return the run with these files, each of them once."""
    again = {each.key for each in files}
    return replace(run, out_files=(*(each for each in run.out_files if each.key not in again), *files))


def _fetches(files: Iterable[OutFile]) -> tuple[Effect, ...]:
    return tuple(do.FetchFile(each.key) for each in files if each.status is OutFileStatus.SEEN)


# --- what becomes of it ----------------------------------------------------------------------------------------------


def _out_file_fetched(run: Run, event: saw.OutFileFetched, now: datetime) -> Transition:
    file = out_file_of(run, event.key)
    if event.inline and not file.inline and file.status is OutFileStatus.SEEN:
        # Its form has stopped waiting for it meanwhile; see `OutFileMove.FETCHED_IN_VAIN`.
        return Transition(run, (do.FetchFile(file.key),))
    changes = {
        "slack_file_id": event.slack_file_id,
        "inline": event.inline,
        "is_image": event.is_image,
        "also_in": file.also_in if event.is_image else (),
    }
    return _changed(run, file, move_out_file(file, OutFileMove.FETCHED, **changes))


def _out_file_delayed(run: Run, event: saw.OutFileDelayed, now: datetime) -> Transition:
    file = out_file_of(run, event.key)
    if file.status is not OutFileStatus.SEEN:
        return Transition(run)
    return _changed(run, file, _standing_nowhere(file))


def _out_file_missed(run: Run, event: saw.OutFileMissed, now: datetime) -> Transition:
    file = out_file_of(run, event.key)
    if file.status is not OutFileStatus.SEEN:
        return Transition(run)
    return _changed(run, file, move_out_file(file, OutFileMove.MISSED, reason=event.reason))


def _changed(run: Run, before: OutFile, file: OutFile) -> Transition:
    """Return what follows once more is known of a file: forms that waited for it are posted, and its kin is shared."""
    if file == before:
        return Transition(run)
    changed = with_out_file(run, file)
    released = [
        form.form_id
        for form in run.forms
        if waits_for_image(run, form.form_id) and not waits_for_image(changed, form.form_id)
    ]
    settled = (do.ShareFiles(file.form_id),) if are_settled(of_form(changed, file.form_id)) else ()
    # What is not shown in a form stands below it.
    own = [effect for form_id in released if form_id == file.form_id for effect in posting(changed, form_id)]
    others = [effect for form_id in released if form_id != file.form_id for effect in posting(changed, form_id)]
    return Transition(changed, tuple(dict.fromkeys((*own, *settled, *others))))


def _images_refused(run: Run, event: saw.ImagesRefused, now: datetime) -> Transition:
    again = []
    for file in run.out_files:
        if not file.stands_in(event.form_id):
            continue
        if file.inline and file.form_id == event.form_id:
            # One that stood there before was deleted, and is not to come back.
            left = move_out_file(_standing_nowhere(file), OutFileMove.FETCHED_IN_VAIN, slack_file_id=None)
            again += [left] if left.status is OutFileStatus.SEEN else []
        else:
            left = replace(file, also_in=tuple(each for each in file.also_in if each != event.form_id))
        run = with_out_file(run, left)
    return Transition(run, _fetches(again))


def _files_shared(run: Run, event: saw.FilesShared, now: datetime) -> Transition:
    for file in run.out_files:
        if file.key in event.keys:
            run = with_out_file(run, move_out_file(file, OutFileMove.SHARED))
        elif file.key in event.missing and file.status is OutFileStatus.MISSED:
            run = with_out_file(run, replace(file, told=True))
    return Transition(run)


def _files_not_shared(run: Run, event: saw.FilesNotShared, now: datetime) -> Transition:
    files = to_share(run, event.form_id)
    for file in files:
        run = with_out_file(run, move_out_file(file, OutFileMove.MISSED, reason=event.reason))
    return Transition(run, (do.ShareFiles(event.form_id),) if files else ())


OUT_FILE_RULES: dict[type, Callable[[Run, Any, datetime], Transition]] = {
    saw.AnswerWritten: _answer_written,
    saw.OutFileFetched: _out_file_fetched,
    saw.OutFileDelayed: _out_file_delayed,
    saw.OutFileMissed: _out_file_missed,
    saw.ImagesRefused: _images_refused,
    saw.FilesShared: _files_shared,
    saw.FilesNotShared: _files_not_shared,
}
"""What `core.lifecycle.advance` does about the events that concern these files alone."""
