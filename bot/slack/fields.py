"""How a form's fields are shown in a message, as far as reading the answer depends on it.

Rendering and reading a click have to agree on these rules, so both ask here; every rule depends on the form alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bot.core.model import Form, Paragraph, Select
from bot.slack.mrkdwn import clean, escape, shorten

MAX_PREFILL = 3_000  # slack-platform §2.5: longer ones are accepted by some clients only
FIELDS_SHARE = 5_000
"""Characters of a message that prefilled texts and options may take up together."""
MAX_OPTION = 75  # slack-platform §2.3
_MIN_OPTION = 14
_MAX_OPTIONS = 10_000  # 100 groups of 100


@dataclass(frozen=True, slots=True)
class TextField:
    """Free text. It holds `prefill`; left empty it means `kept`, a text too long to be put into the field.

    `of_options`: one of a select's options is to be typed in, of which there are more than a message can hold.
    """

    prefill: str = ""
    kept: str = ""
    of_options: bool = False


@dataclass(frozen=True, slots=True)
class Menu:
    """A select menu: what its options read, in their order. `numbered` where they had to be shortened."""

    texts: tuple[str, ...]
    numbered: bool


Shown = TextField | Menu


def shown_fields(form: Form) -> Mapping[str, Shown]:
    """Return by name how every text and select field is shown; files are not fields of a message."""
    shown: dict[str, Shown] = {}
    room = FIELDS_SHARE
    for field in form.inputs:
        match field:
            case Select(name=name, options=options) if options and (menu := _menu(options, room)):
                shown[name] = menu
            case Select(name=name, options=options):
                shown[name] = _text_field(current(form, name) or "", room, of_options=bool(options))
            case Paragraph(name=name):
                shown[name] = _text_field(current(form, name) or "", room)
            case _:
                continue
        room -= _size(shown[name])
    return shown


def current(form: Form, name: str) -> str | None:
    """Return what a field holds at first: what was sent last, if Dify refused it, else the default."""
    if form.submission is not None and isinstance(form.submission.values.get(name), str):
        return str(form.submission.values[name])
    field = next(field for field in form.inputs if field.name == name)
    return field.default if isinstance(field, Paragraph) else None


def _text_field(text: str, room: int, *, of_options: bool = False) -> TextField:
    if len(text) > min(room, MAX_PREFILL):
        return TextField(kept=text, of_options=of_options)
    # Slack takes no control characters; a text that has some is the same to the person who edits it.
    return TextField(prefill=clean(text), of_options=of_options)


def _menu(options: tuple[str, ...], room: int) -> Menu | None:
    texts = tuple(" ".join(clean(option).split()) or "(empty)" for option in options)
    if all(len(escape(text)) <= MAX_OPTION for text in texts) and sum(len(text) for text in texts) <= room:
        return Menu(texts, numbered=False)
    each = min(MAX_OPTION, room // len(texts))
    if each < _MIN_OPTION or len(texts) > _MAX_OPTIONS:
        return None
    return Menu(tuple(shorten(f"{number}. {text}", each) for number, text in enumerate(texts, 1)), numbered=True)


def _size(shown: Shown) -> int:
    match shown:
        case Menu(texts=texts):
            return sum(len(text) for text in texts)
        case TextField(prefill=prefill):
            return len(prefill)
