"""How a start window shows what an app takes, as far as reading what was entered depends on it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from bot.core.command import QUERY, default_text, fields, is_file
from bot.core.model import StartInput
from bot.core.ports import AppDescription
from bot.core.submission import json_size
from bot.slack import ids
from bot.slack.fields import Menu, menu_size, window_menu

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


def start_fields(app: str, description: AppDescription) -> tuple[StartShown, ...]:
    """Return the fields of an app's start window in their order; files are given in none."""
    shape = _shape(app, description)
    taken = sorted(fields(description), key=lambda field: field is not QUERY)
    texts_room, menus_room = _TEXTS_SHARE, _MENUS_SHARE
    shown = []
    for index, field in enumerate(taken):
        if is_file(field):
            continue
        menu, kept = None, False
        if field.type == "select":
            menu = window_menu(field.options, menus_room) if field.options else None
            menus_room -= menu_size(menu) if menu else 0
        else:
            size = json_size(default_text(field))
            kept = size > texts_room
            texts_room -= 0 if kept else size
        block_id = ids.start_block_id(ids.StartField(shape, index, field.variable))
        shown.append(StartShown(block_id, field, menu, kept))
    return tuple(shown)


def block_of(shown: tuple[StartShown, ...]) -> Mapping[str, str]:
    """Return the block_id of each field by its variable."""
    return {each.field.variable: each.block_id for each in shown}


def _shape(app: str, description: AppDescription) -> str:
    """Return what tells these fields from those of another app, and from those it had before it was changed."""
    told = repr((app, description.mode, description.start_inputs))
    return hashlib.blake2s(told.encode(errors="surrogatepass"), digest_size=6).hexdigest()
