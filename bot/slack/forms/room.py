"""How many characters of its message each part of a form may take, so that it never outgrows it while it is answered.

A message of some 13,200 characters was refused (slack-platform §2.1). Labels, hints, values and titles share what is
set aside for them; the text gets what is left after everything else at its longest. Nothing here depends on what
changes while a form is answered.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from bot.core.model import FileField, Form, FormInput, Select
from bot.slack.forms.fields import FIELDS_SHARE, MAX_OPTION, MAX_PREFILL
from bot.slack.text import mrkdwn

MAX_FIELDS = 40
"""Fields of a message; a form with more of them has none there."""
MAX_BUTTON = 75  # slack-platform §2.2
MAX_LABEL, _MIN_LABEL, _LABELS_SHARE = 150, 20, 1_200
MAX_HINT, _MIN_HINT, _HINTS_SHARE = 150, 46, 1_840
_MAX_VALUE, _MIN_VALUE, _VALUES_SHARE = 600, 60, 4_000
"""What is set aside for the values at least; they get all that the text leaves them."""
_MIN_BUTTON, _BUTTONS_SHARE = 20, 1_500
OPEN_WINDOW = "Open in window"
"""What the button beside those of the form reads."""
_TITLES_SHARE = 1_000

_MESSAGE_SHARE = 12_500
_AROUND_SHARE = 1_500
"""Head, deadline, refusal and outcome."""


def label_room(form: Form) -> int:
    """Return how long the label of a field may be."""
    return _each(form, _MIN_LABEL, MAX_LABEL, _LABELS_SHARE)


def hint_room(form: Form) -> int:
    """Return how long the hint below a field may be."""
    return _each(form, _MIN_HINT, MAX_HINT, _HINTS_SHARE)


def value_room(form: Form, text_size: int, sizes: Iterable[int]) -> int:
    """Return how long each value may be once all of them, of these sizes, take the places of their fields.

    A note on what is missing takes the place of a hint.
    """
    room = _MESSAGE_SHARE - _AROUND_SHARE - text_size - len(form.inputs) * (label_room(form) + hint_room(form))
    return shared_room(room, sizes)


def shared_room(room: int, sizes: Iterable[int]) -> int:
    """Return how long each of several texts of these sizes may be to share a room; short ones leave some to others."""
    waiting = sorted(sizes, reverse=True)
    while len(waiting) > 1 and waiting[-1] <= room // len(waiting):
        room -= waiting.pop()
    return room // max(len(waiting), 1)


def button_room(form: Form) -> int:
    """Return how long the title on a button may be."""
    return max(min(MAX_BUTTON, _BUTTONS_SHARE // max(len(form.user_actions), 1)), _MIN_BUTTON)


def text_room(form: Form) -> int:
    """Return how long the builder's text may be."""
    if len(form.inputs) > MAX_FIELDS:
        return _MESSAGE_SHARE - _AROUND_SHARE
    fields = sum(_field_room(field) for field in form.inputs)
    values = len(form.inputs) * _each(form, _MIN_VALUE, _MAX_VALUE, _VALUES_SHARE)
    labels = len(form.inputs) * (label_room(form) + hint_room(form))
    buttons = len(form.user_actions) * button_room(form)
    titles = min(_titles_size(form), _TITLES_SHARE)
    return _MESSAGE_SHARE - _AROUND_SHARE - max(min(fields, FIELDS_SHARE), values) - labels - buttons - titles


def action_titles(form: Form) -> list[str]:
    """Return what people call each user action: its title, or its id where nothing of that can be seen."""
    return [mrkdwn.seen(action.title) or action.id for action in form.user_actions]


def button_titles(form: Form) -> list[str]:
    """Return what the buttons read, to be cut to their room: numbered where they are cut or read like another."""
    titles = action_titles(form)
    counts, room = Counter([*titles, OPEN_WINDOW]), button_room(form)
    return [
        f"{number}. {title}" if counts[title] > 1 or len(mrkdwn.escape(title)) > room else title
        for number, title in enumerate(titles, 1)
    ]


def long_titles(form: Form) -> list[tuple[int, str]]:
    """Return the titles that are too long for their buttons, with the buttons' numbers."""
    room = button_room(form)
    return [
        (number, action.title)
        for number, (action, title) in enumerate(zip(form.user_actions, button_titles(form), strict=True), 1)
        if len(mrkdwn.escape(title)) > room
    ]


def titles_fit(form: Form) -> bool:
    """Tell whether the long titles can be spelled out beside the buttons."""
    return _titles_size(form) <= _TITLES_SHARE


def _titles_size(form: Form) -> int:
    return sum(len(mrkdwn.escape(title)) + 5 for _, title in long_titles(form))


def _field_room(field: FormInput) -> int:
    match field:
        case Select(options=options) if options:
            return sum(min(len(option) + 1, MAX_OPTION) for option in options)
        case FileField():
            return 0
        case _:
            return MAX_PREFILL


def _each(form: Form, least: int, most: int, share: int) -> int:
    return max(min(most, share // max(len(form.inputs), 1)), least)
