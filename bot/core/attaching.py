"""How the files move that people give to a run and its forms.

A table names every legal move, as in `core.lifecycle`, which makes them. An answer or a start that needs a file waits
until the file is there or refused; both are decided there.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from enum import StrEnum
from typing import Any

from bot.core import effects as do
from bot.core.effects import Effect
from bot.core.files import attachment_ids
from bot.core.model import Attachment, AttachmentStatus, Form, Run
from bot.errors import IllegalTransition, UnknownHere


class AttachmentMove(StrEnum):
    """The ways an attachment can move."""

    PLACED = "a field chosen"
    LINK_PLACED = "a field chosen for a link"
    UPLOADED = "Dify has it"
    REFUSED = "not taken, or not to be had"
    REMOVED = "taken back"


ATTACHMENT_MOVES: dict[AttachmentStatus, dict[AttachmentMove, AttachmentStatus]] = {
    AttachmentStatus.PLACING: {
        AttachmentMove.PLACED: AttachmentStatus.PULLING,
        # Dify fetches a link by itself.
        AttachmentMove.LINK_PLACED: AttachmentStatus.READY,
        AttachmentMove.REMOVED: AttachmentStatus.REMOVED,
    },
    AttachmentStatus.PULLING: {
        AttachmentMove.UPLOADED: AttachmentStatus.READY,
        AttachmentMove.REFUSED: AttachmentStatus.REFUSED,
        AttachmentMove.REMOVED: AttachmentStatus.REMOVED,
    },
    AttachmentStatus.READY: {AttachmentMove.REMOVED: AttachmentStatus.REMOVED},
}


def move_attachment(attachment: Attachment, move: AttachmentMove, **changes: Any) -> Attachment:
    """Return the attachment after a move of `ATTACHMENT_MOVES`, with further fields changed along with it.

    Raises:
        IllegalTransition: the table has no such move and the attachment is not over.
    """
    target = ATTACHMENT_MOVES.get(attachment.status, {}).get(move)
    if target is None:
        if not attachment.status.counts:
            return attachment
        raise IllegalTransition(f"attachment {attachment.attachment_id} is {attachment.status}: no “{move}”")
    return replace(attachment, status=target, **changes)


def attachment_of(run: Run, attachment_id: str) -> Attachment:
    """Return the attachment with this id.

    Raises:
        UnknownHere: the run never got it.
    """
    for each in run.attachments:
        if each.attachment_id == attachment_id:
            return each
    raise UnknownHere(f"run {run.run_id} never got attachment {attachment_id}")


def with_attachment(run: Run, attachment: Attachment) -> Run:
    """Return the run with this attachment in the place of the one that it was."""
    return replace(
        run,
        attachments=tuple(
            attachment if each.attachment_id == attachment.attachment_id else each for each in run.attachments
        ),
    )


def pulls(attachments: Iterable[Attachment]) -> tuple[Effect, ...]:
    """Return what is to be done for attachments that Dify does not have yet."""
    return tuple(do.PullFile(each.attachment_id) for each in attachments if each.status is AttachmentStatus.PULLING)


def used_in(run: Run, form: Form) -> tuple[Attachment, ...]:
    """Return the attachments that the answer to a form holds."""
    values = form.submission.values.values() if form.submission is not None else ()
    named = {name for value in values for name in attachment_ids(value)}
    return tuple(each for each in run.attachments if each.attachment_id in named)


def is_under_way(attachments: Iterable[Attachment]) -> bool:
    """Tell whether one of them is neither there nor refused yet."""
    return any(each.status in (AttachmentStatus.PLACING, AttachmentStatus.PULLING) for each in attachments)


def refusal_of(attachments: Iterable[Attachment]) -> str | None:
    """Return why one of them cannot be used, as a sentence that names it; None where all can be."""
    return next(
        (f"{each.name}: {each.reason}" for each in attachments if each.status is AttachmentStatus.REFUSED), None
    )


def is_asked_for(run: Run, attachment: Attachment) -> bool:
    """Tell whether a file of a form can still be moved or taken back: the form, or one that it may be for, is open."""
    forms = {attachment.form_id}
    if attachment.status is AttachmentStatus.PLACING:
        forms |= {place.form_id for place in attachment.places}
    return any(run.asks_for(run.form(form_id)) for form_id in forms if form_id is not None)


def shown_in(run: Run, form: Form) -> tuple[Attachment, ...]:
    """Return what the card of a form lists: everything that was given to it and stays."""
    return tuple(each for each in run.attachments if each.form_id == form.form_id and each.status.counts)


def card(form: Form) -> tuple[Effect, ...]:
    """Return what has a form's card show how its attachments stand; its message is posted by the first one."""
    return (do.RefreshCard(form.form_id),) if form.card_ts is not None else (do.PostCard(form.form_id),)
