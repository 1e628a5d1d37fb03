"""What of a form does not fit into its message, as safe Markdown for messages of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bot.core.model import Form, OutFile, Select
from bot.slack.forms.fields import Menu, Shown, TextField, visible
from bot.slack.forms.layout import Picture, Slot, layout, slots, text_alone
from bot.slack.forms.room import action_titles, titles_fit
from bot.slack.messages.message import BELOW_TITLE, PART
from bot.slack.text import mrkdwn
from bot.slack.text.markdown import headed, literal, packed, safe_pieces, words

PRESENT_TEXT = "{label}: the present text"
ALL_OPTIONS = "{label}: all options"
ALL_BUTTONS = "The buttons in full"


def overflowing_text(form: Form, files: Sequence[OutFile] = ()) -> list[str | Picture]:
    """Return the builder's text, with the images in it, if its message does not hold the whole of it."""
    return [] if layout(form, files).whole else text_alone(form, files)


def overflowing_fields(form: Form, shown: Mapping[str, Shown]) -> list[str]:
    """Return what people could not read otherwise of the fields and buttons: long values, options and titles.

    A value that is the very text, or a part of it, that the form asks about is not repeated.
    """
    content = mrkdwn.clean(form.content)
    parts = [part for slot in slots(form) for part in _of_field(slot, shown.get(slot.field.name), content)]
    if not titles_fit(form):
        parts += _listed(ALL_BUTTONS, action_titles(form))
    return parts


def _of_field(slot: Slot, shown: Shown | None, content: str) -> list[str]:
    options = slot.field.options if isinstance(slot.field, Select) else ()
    match shown:
        case Menu(numbered=True) | TextField(of_options=True):
            return _listed(ALL_OPTIONS.format(label=slot.label), [visible(option) for option in options])
        case TextField(kept=kept) if kept and mrkdwn.clean(kept).strip() not in content:
            return headed(words(PRESENT_TEXT.format(label=slot.label)), safe_pieces(kept, BELOW_TITLE))
        case _:
            return []


def _listed(title: str, items: Sequence[str]) -> list[str]:
    if not items:
        return []
    lines = (f"{number}. {literal(mrkdwn.shorten(item, PART // 2))}" for number, item in enumerate(items, 1))
    return headed(words(title), packed(lines, BELOW_TITLE, between="\n"))
