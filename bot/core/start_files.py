"""The files that a run is started with: which inputs take them, which files fit there, and how they are attached."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import count
from typing import Any

from bot.core.files import (
    GivenFile,
    as_value,
    given_as,
    given_by,
    kind_to_send,
    name_of,
    why_unfit,
)
from bot.core.model import (
    Accepts,
    Attachment,
    AttachmentStatus,
    FileLimits,
    FileProblem,
    Run,
    SharedFile,
    StartInput,
)
from bot.core.ports import AppDescription

MESSAGE_FILES = "sys.files"
"""What Dify calls the files beside the inputs, those of a message to a Chatflow among them; no input is called so."""

FITS_NOWHERE = "{app} does not take it: {reasons}"
TAKES_NO_FILES = "{app} takes no files."
FULL = "has no room for more."


def takes_files(field: StartInput) -> bool:
    """Tell whether a start input is one for files."""
    return field.accepts is not None


def message_files(app: AppDescription) -> StartInput | None:
    """Return, as if it were a start input, what an app takes beside its inputs; None where that is switched off."""
    if app.message_files is None:
        return None
    return StartInput(MESSAGE_FILES, "Files", "file-list", required=False, accepts=app.message_files)


def file_inputs(app: AppDescription) -> tuple[StartInput, ...]:
    """Return everything of an app that takes files, what it takes beside its inputs last."""
    beside = message_files(app)
    return (*filter(takes_files, app.start_inputs), *((beside,) if beside else ()))


def accepts_of(field: StartInput) -> Accepts:
    """Return what an input for files takes."""
    assert field.accepts is not None, "an input for files"
    return field.accepts


def sorted_out(
    files: Iterable[SharedFile], accepts: Accepts, limits: FileLimits
) -> tuple[tuple[SharedFile, ...], tuple[FileProblem, ...]]:
    """Return what an app takes of the files of a message, the first ones if not all, and why not the others."""
    taken: list[SharedFile] = []
    problems = []
    for file in files:
        reason = why_unfit(file, accepts, limits)
        if reason is None and not accepts.has_room_for(len(taken) + 1):
            reason = f"takes {accepts.limit} at most." if accepts.limit > 1 else "takes one only."
        if reason is None:
            taken.append(file)
        else:
            problems.append(FileProblem(file.name, reason, MESSAGE_FILES))
    return tuple(taken), tuple(problems)


def placed(
    app_name: str, app: AppDescription, files: Iterable[tuple[SharedFile, str | None]]
) -> tuple[Mapping[str, tuple[SharedFile, ...]], tuple[FileProblem, ...]]:
    """Put files into the inputs that they fit, and tell of each other one why it fits nowhere.

    Each comes with the input that it is meant for, if any; where it does not fit there, the first takes it that does
    and has room.
    """
    inputs = {field.variable: accepts_of(field) for field in file_inputs(app)}
    found: dict[str, tuple[SharedFile, ...]] = {}
    problems = []
    for file, meant_for in files:
        reasons = []
        for name in sorted(inputs, key=lambda each: each != meant_for):
            held, accepts = found.get(name, ()), inputs[name]
            reason = why_unfit(file, accepts, app.file_limits)
            if reason is None and not accepts.has_room_for(len(held) + 1):
                reason = FULL
            if reason is None:
                found[name] = (*held, file)
                break
            reasons.append(f"{name} {reason}")
        else:
            problems.append(FileProblem(file.name, _fits_nowhere(app_name, reasons)))
    return found, tuple(problems)


def _fits_nowhere(app_name: str, reasons: Sequence[str]) -> str:
    if not reasons:
        return TAKES_NO_FILES.format(app=app_name)
    return FITS_NOWHERE.format(app=app_name, reasons="; ".join(reason.removesuffix(".") for reason in reasons) + ".")


def with_files(run: Run, app: AppDescription, given: Mapping[str, tuple[GivenFile, ...]]) -> Run:
    """Return a run that is not started yet with files and links for its inputs and beside them, all of which fit.

    The ids count from 1 in each run, so that starts with the same inputs look the same.
    """
    numbers = count(1)
    found: list[Attachment] = []
    values: dict[str, Any] = {}
    for field in file_inputs(app):
        name = None if field.variable == MESSAGE_FILES else field.variable
        new = [
            _attachment(f"start-{next(numbers)}", each, accepts_of(field), run.starter_id, name)
            for each in given.get(field.variable, ())
        ]
        if new and name is not None:
            values[name] = as_value(new, many=field.type == "file-list")
        found += new
    return replace(run, run_inputs={**run.run_inputs, **values}, attachments=tuple(found))


def with_message_files(run: Run, first: Run, files: Iterable[SharedFile], accepts: Accepts) -> Run:
    """Return the next message of a conversation with its own files, and those that the inputs of the first one hold.

    Dify takes the inputs again where it begins a conversation anew. What it has is not pulled again: it belongs to
    nothing but the user, who is the same (dify-api §12.1, §12.4).
    """
    kept = [_anew(each) for each in first.start_attachments if each.field is not None]
    own = [
        _attachment(f"message-{number}", each, accepts, run.starter_id, None) for number, each in enumerate(files, 1)
    ]
    return replace(run, attachments=(*kept, *own))


def _attachment(attachment_id: str, given: GivenFile, accepts: Accepts, user_id: str, field: str | None) -> Attachment:
    kind = kind_to_send(given, accepts)
    assert kind is not None, "the place takes it"
    new = Attachment(attachment_id, name_of(given), user_id, field=field, kind=kind)
    return given_by(new, given)


def _anew(attachment: Attachment) -> Attachment:
    is_there = attachment.upload_file_id is not None or attachment.url is not None
    return replace(attachment, status=AttachmentStatus.READY if is_there else AttachmentStatus.PULLING, reason=None)


def given_to(run: Run) -> Mapping[str, tuple[GivenFile, ...]]:
    """Return what a run was given to start with, by input, but for what was refused."""
    given: dict[str, tuple[GivenFile, ...]] = {}
    for each in run.start_attachments:
        if each.status.counts:
            name = each.field or MESSAGE_FILES
            given[name] = (*given.get(name, ()), given_as(each))
    return given


def names_in(run: Run, field: str | None) -> tuple[str, ...]:
    """Return the names of what was given to an input, or beside the inputs (None)."""
    return tuple(each.name for each in run.start_attachments if each.field == field)


def query_of(files: Sequence[SharedFile]) -> str:
    """Return what is said where somebody sends nothing but files: Dify wants words (dify-api §5.1)."""
    return ", ".join(file.name for file in files)
