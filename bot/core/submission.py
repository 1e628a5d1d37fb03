"""Checks of what a person entered into a form, before anything is sent (dify-api §10.4)."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from bot.core.files import as_value, attached
from bot.core.model import Accepts, Attachment, AttachmentStatus, FileField, Form, FormInput, Paragraph, Select

MAX_ENTERED = 100_000
"""What a person may enter into the window of a form in all, in characters of JSON: some 100,000 of English, 16,000 of
Chinese. Slack takes a window of 250 KB in all (slack-platform §2.5), and has to show all of it again."""

_NEEDS_FILE = "needs a file: reply to this thread with it, or choose it in the form's window."
_NEEDS_LINK = "needs a link: reply to this thread with nothing but that, or give it in the form's window."
_NEEDS_FILE_HERE = "needs a file: choose it here, or share it in the thread."
_NEEDS_LINK_HERE = "needs a link: give it here."


def complete(form: Form, entered: Mapping[str, str | None], attachments: Iterable[Attachment] = ()) -> dict[str, Any]:
    """Return a value for every declared input: Dify wants all of them with every action (recording 04).

    A paragraph left empty is "", a list of files is empty, and what is missing for good stays out, for `problems`
    to name. An option is sent to the letter, also an empty one. From what was typed NUL characters are dropped: Dify
    would deliver them into the outputs (recording 32). A file is named by our id of the attachment
    (`bot.core.files.as_sent`).
    """
    given = tuple(attachments)
    values: dict[str, Any] = {}
    for field in form.inputs:
        if isinstance(field, FileField):
            value = as_value(attached(given, form.form_id, field.name), many=field.many)
            if value is not None:
                values[field.name] = value
            continue
        value = entered.get(field.name)
        if isinstance(field, Select) and value in field.options:
            values[field.name] = value
        elif (text := (value or "").replace("\0", "")) or isinstance(field, Paragraph):
            values[field.name] = text
    return values


def problems(form: Form, values: Mapping[str, Any], *, in_window: bool = False) -> dict[str, str]:
    """Return what has to be mended, as a sentence per input's name; empty where the answer can be sent.

    It says how a file that is missing is given, which is another way for somebody who is `in_window` already.
    """
    return {
        field.name: problem for field in form.inputs if (problem := _problem(field, values.get(field.name), in_window))
    }


def _problem(field: FormInput, value: Any, in_window: bool) -> str | None:
    match field:
        case Select(takes_nothing=True):
            return "has no options, so that nobody can answer it: its builder has to add some in Dify."
        case Select(options=()):
            return None if value else "is empty: enter a value."
        case Select(options=options):
            if value is None:
                return "is empty: choose one of its options."
            return None if value in options else "has a value that is none of its options: choose again."
        case FileField(many=False) if value is None and not Accepts.of_field(field).takes_uploads:
            return _NEEDS_LINK_HERE if in_window else _NEEDS_LINK
        case FileField(many=False) if value is None:
            return _NEEDS_FILE_HERE if in_window else _NEEDS_FILE
        case _:
            return None


def unplaced(form: Form, attachments: Iterable[Attachment]) -> dict[str, str]:
    """Return which fields may be meant by a file that fits several, as a sentence per input's name."""
    return {
        place.field: f"may be for {each.name}: say in the list of files which field it is for, or remove it there."
        for each in attachments
        if each.status is AttachmentStatus.PLACING
        for place in [place for place in each.places if place.form_id == form.form_id][:1]
    }


def not_there(form: Form, attachments: Collection[Attachment]) -> dict[str, str]:
    """Return which fields wait for a file, as a sentence per input's name, where somebody is to see what they send."""
    pulling = {
        each.field: f"waits for {each.name}, which is on its way to Dify: press the button again in a moment."
        for each in attachments
        if each.form_id == form.form_id and each.field is not None and each.status is AttachmentStatus.PULLING
    }
    return unplaced(form, attachments) | pulling


def current(form: Form, name: str) -> str | None:
    """Return what a field holds at first: what was sent last, if Dify refused it, else the default."""
    if form.submission is not None and isinstance(form.submission.values.get(name), str):
        return str(form.submission.values[name])
    field = next(field for field in form.inputs if field.name == name)
    return field.default if isinstance(field, Paragraph) else None


def prefilled(form: Form) -> dict[str, str]:
    """Return by name the texts of the form's own that its window holds; one that is too long for that is left out."""
    room, found = MAX_ENTERED, {}
    for field in form.inputs:
        text = current(form, field.name) or ""
        if (size := json_size(text)) <= room:
            found[field.name] = text
            room -= size
    return found


def too_long(form: Form, changed: Mapping[str, str | None]) -> dict[str, str]:
    """Return which of the texts that a person has changed do not fit into the form's window, as a sentence per name."""
    room = MAX_ENTERED - sum(json_size(text) for name, text in prefilled(form).items() if name not in changed)
    found = {}
    for field in form.inputs:
        text = changed.get(field.name) or ""
        size = json_size(text)
        if size > room:
            found[field.name] = f"is {len(text):,} characters long, and there is room for {beginning(text, room):,}."
        else:
            room -= size
    return found


def json_size(text: str) -> int:
    """Return how many characters a text takes in JSON, without its quotation marks."""
    return len(json.dumps(text)) - 2


def beginning(text: str, room: int) -> int:
    """Return how many characters of a text fit, which take at most `room` of JSON."""
    for count, character in enumerate(text):
        room -= json_size(character)
        if room < 0:
            return count
    return len(text)
