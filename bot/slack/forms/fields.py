"""How a form's fields are shown in a message and in a window, as far as reading the answer depends on it.

Rendering and reading a click have to agree on these rules, so both ask here; every rule depends on the form alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from bot.core.model import Form, FormInput, Paragraph, Select
from bot.core.submission import current, json_size, prefilled
from bot.slack.text.mrkdwn import clean, escape, seen, shorten

MAX_PREFILL = 3_000  # slack-platform §2.5: longer ones are accepted by some clients only
FIELDS_SHARE = 5_000
"""Characters of a message that prefilled texts and options may take up together."""
MAX_OPTION = 75  # slack-platform §2.3
_MIN_OPTION = 14
_MAX_OPTIONS = 10_000  # 100 groups of 100
_OPTIONS_SHARE, _OF_OPTION, _OF_FIELD, _OF_ACTION = 97_000, 80, 900, 950
"""Characters of JSON of a window: what options may take up together with all fields and user actions but for what is
entered, and what one of each takes besides its texts."""


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
    """A select menu: what its options read, in their order. `numbered` where they had to be shortened.

    `rests`: how each goes on in its description, where there is room for that; empty where it is whole.
    """

    texts: tuple[str, ...]
    numbered: bool
    rests: tuple[str, ...] = ()


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


def window_fields(form: Form) -> Mapping[str, Shown]:
    """Return by name how every text and select field is shown in the form's window.

    Texts are prefilled whole as long as they may be entered there (`bot.core.submission.MAX_ENTERED`).
    """
    shown: dict[str, Shown] = {}
    options_room = _OPTIONS_SHARE - len(form.inputs) * _OF_FIELD - len(form.user_actions) * _OF_ACTION
    prefills = prefilled(form)
    for field in form.inputs:
        match field:
            case Select(name=name, options=options) if options and (menu := window_menu(options, options_room)):
                shown[name] = menu
                options_room -= menu_size(menu)
            case Select(name=name) | Paragraph(name=name):
                kept = "" if name in prefills else current(form, name) or ""
                of_options = isinstance(field, Select) and bool(field.options)
                shown[name] = TextField(clean(prefills.get(name, "")), kept, of_options)
            case _:
                continue
    return shown


def initial(form: Form, field: FormInput, shown: Shown | None) -> str | None:
    """Return what an untouched field gives; None for nothing."""
    match shown:
        case TextField(prefill=prefill, kept=kept):
            return prefill or kept or None
        case Menu():
            value = current(form, field.name)
            return value if isinstance(field, Select) and value in field.options else None
        case None:
            return None


def _text_field(text: str, room: int, *, of_options: bool = False) -> TextField:
    if len(text) > min(room, MAX_PREFILL):
        return TextField(kept=text, of_options=of_options)
    # Slack takes no control characters; a text that has some is the same to the person who edits it.
    return TextField(prefill=clean(text), of_options=of_options)


def _menu(options: tuple[str, ...], room: int) -> Menu | None:
    texts = tuple(map(visible, options))
    if all(len(escape(text)) <= MAX_OPTION for text in texts) and sum(len(text) for text in texts) <= room:
        return Menu(texts, numbered=False)
    each = min(MAX_OPTION, room // len(texts))
    return None if each < _MIN_OPTION or len(texts) > _MAX_OPTIONS else _numbered(texts, each)


def window_menu(options: tuple[str, ...], room: int) -> Menu | None:
    """Return how a window shows options in `room` characters of JSON; None where that is too little."""
    texts = tuple(map(visible, options))
    whole = Menu(texts, numbered=False)
    if all(len(escape(text)) <= MAX_OPTION for text in texts) and menu_size(whole) <= room:
        return whole
    if len(texts) > _MAX_OPTIONS:
        return None
    shortened = [_numbered(texts, each) for each in (MAX_OPTION, 2 * _MIN_OPTION, _MIN_OPTION)]
    tries = (_described(texts, shortened[0]), *shortened)
    return next((menu for menu in tries if menu_size(menu) <= room), None)


def visible(option: str) -> str:
    """Return what people read of an option."""
    return seen(option) or "(empty)"


def _numbered(texts: tuple[str, ...], each: int) -> Menu:
    return Menu(tuple(shorten(f"{number}. {text}", each) for number, text in enumerate(texts, 1)), numbered=True)


def _described(texts: tuple[str, ...], menu: Menu) -> Menu:
    whole = (f"{number}. {text}" for number, text in enumerate(texts, 1))
    return replace(menu, rests=tuple(map(rest_of, menu.texts, whole)))


def rest_of(shown: str, whole: str) -> str:
    """Return how the description of an option goes on with a text that is too long for it; empty where it is whole."""
    return "" if shown == whole else shorten(f"…{whole[len(shown) - 1 :].strip()}", MAX_OPTION)


def menu_size(menu: Menu) -> int:
    """Return how many characters of JSON a menu takes in a window."""
    return sum(_OF_OPTION + json_size(text) for text in (*menu.texts, *filter(None, menu.rests)))


def _size(shown: Shown) -> int:
    match shown:
        case Menu(texts=texts):
            return sum(len(text) for text in texts)
        case TextField(prefill=prefill):
            return len(prefill)
