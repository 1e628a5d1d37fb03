"""How a start window shows what an app takes, as far as reading what was entered depends on it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace

from bot.core.command import QUERY, default_text, fields
from bot.core.model import StartInput
from bot.core.ports import AppDescription
from bot.core.start_files import accepts_of, takes_files
from bot.core.submission import json_size
from bot.slack import ids
from bot.slack.forms.fields import Menu, menu_size, window_menu

_TEXTS_SHARE, _MENUS_SHARE = 50_000, 60_000
"""Characters of JSON that defaults, and options, may take up in a window, which holds 250 KB (slack-platform §2.5)."""


@dataclass(frozen=True, slots=True)
class StartShown:
    """A field of a start window."""

    block_id: str
    field: StartInput
    menu: Menu | None = None
    """Of a select: what its options read. None where they are more than a window holds: one of them is to be typed."""
    kept: bool = False
    """Its default is too long to be put into the field, which is left empty to mean it."""
    holds_files: bool = False
    """Files are chosen in it."""


def start_fields(app: str, description: AppDescription) -> tuple[StartShown, ...]:
    """Return the fields of an app's start window in their order; one for files may be two: for these, and for links."""
    shape = _shape(app, description)
    taken = sorted(fields(description), key=lambda field: field is not QUERY)
    texts_room, menus_room = _TEXTS_SHARE, _MENUS_SHARE
    shown: list[StartShown] = []
    for index, field in enumerate(taken):
        place = ids.StartField(shape, index, field.variable)
        if takes_files(field):
            shown += _for_files(place, field)
            continue
        menu, kept = None, False
        if field.type == "select":
            menu = window_menu(field.options, menus_room) if field.options else None
            menus_room -= menu_size(menu) if menu else 0
        else:
            size = json_size(default_text(field))
            kept = size > texts_room
            texts_room -= 0 if kept else size
        shown.append(StartShown(ids.start_block_id(place), field, menu, kept))
    return tuple(shown)


def _for_files(place: ids.StartField, field: StartInput) -> Iterator[StartShown]:
    accepts = accepts_of(field)
    if accepts.takes_uploads:
        yield StartShown(ids.start_block_id(place), field, holds_files=True)
    if accepts.takes_links:
        yield StartShown(ids.start_block_id(replace(place, holds_links=True)), field)


def _shape(app: str, description: AppDescription) -> str:
    """Return what tells these fields from those of another app, and from those it had before it was changed."""
    told = repr((app, description.mode, description.start_inputs, description.message_files))
    return hashlib.blake2s(told.encode(errors="surrogatepass"), digest_size=6).hexdigest()
