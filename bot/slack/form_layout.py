"""The builder's text with the form's fields in their places, and what people call them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

from bot.core.model import Form, FormInput
from bot.slack import ids, mrkdwn
from bot.slack.form_room import MAX_FIELDS, MAX_LABEL, label_room, text_room
from bot.slack.markdown import is_bare, place, plain, safe, safe_pieces, split_at_places
from bot.slack.message import MAX_BLOCKS, PART

BUTTONS_PER_BLOCK = 25  # slack-platform §2.2

_MARKER = re.compile(r"\{\{#\$output\.([^#{}]+)#\}\}")
_OPEN_MARKS = re.compile(r"^[*_~`]+(?=\S)|(?:(?<=\s)|^)[*_~`]+$")
"""What begins markup that a marker stands in."""
_BRIEF_SHARE, _MIN_BRIEF = 1_500, 60
"""The text beside the fields, where the whole of it stands in messages of its own."""


@dataclass(frozen=True, slots=True)
class Slot:
    """An input of the form, and what people call it."""

    index: int
    field: FormInput
    label: str

    def block_id(self, revision: int) -> str:
        """Return the id of the block that shows the field."""
        return ids.field_block_id(revision, self.index, self.field.name)


@dataclass(frozen=True, slots=True)
class Spot:
    """Where the input with this index stands."""

    index: int
    caption: str = ""
    """The builder's line above it, in safe Markdown, if it says what the label says: shown where the label is not."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Safe Markdown and the spots of inputs, in the builder's order; `whole` where none of the text is missing."""

    parts: tuple[str | Spot, ...]
    whole: bool

    @property
    def size(self) -> int:
        """The characters of the text."""
        return sum(len(part.caption if isinstance(part, Spot) else part) for part in self.parts)


def slots(form: Form) -> list[Slot]:
    """Return a slot per input, in the order of the inputs; its label is the nearest text above its marker."""
    above: dict[str, str] = {}
    text, *marked = _MARKER.split(mrkdwn.clean(form.content))
    for name, following in zip(marked[::2], marked[1::2], strict=True):
        above.setdefault(name.strip(), _last_line(text))
        text = following
    names = (above.get(field.name) or mrkdwn.readable(field.name) for field in form.inputs)
    room = label_room(form)
    return [Slot(index, form.inputs[index], mrkdwn.shorten(name, room)) for index, name in enumerate(names)]


def labels(form: Form) -> dict[str, str]:
    """Return what people call each input: the nearest text above it, or else its variable's name as words."""
    return {slot.field.name: slot.label for slot in slots(form)}


def layout(form: Form) -> Layout:
    """Return the form's text whole, or only what is next to each field, or none of it, as it fits into a message.

    The choice depends on nothing that changes while the form is answered.
    """
    room = text_room(form)
    blocks = MAX_BLOCKS - 5 - len(form.user_actions) // BUTTONS_PER_BLOCK
    for each in layouts(form, room):
        shown = [part for part in each.parts if len(form.inputs) <= MAX_FIELDS or isinstance(part, str) or part.caption]
        if each.size <= room and len(shown) <= blocks:
            break
    return each


def layouts(form: Form, longest: int) -> Iterator[Layout]:
    """Return the layouts that a form can have, each with less text than the one before: the last one has none.

    A text of more characters than `longest` is not laid out whole.
    """
    if len(form.content) <= longest:
        yield _laid_out(form, form.content)
    brief = replace(_laid_out(form, _brief(form)), whole=False)
    yield brief
    yield replace(brief, parts=tuple(Spot(part.index) for part in brief.parts if isinstance(part, Spot)))


def beginning(form: Form, limit: int) -> str:
    """Return the first words of the form's text as safe Markdown, without fields."""
    return next(iter(safe_pieces(_MARKER.sub("", form.content)[: 2 * limit], limit)), "")


def text_alone(form: Form) -> list[str]:
    """Return the whole text for messages of its own, in safe pieces; the fields in it are named."""
    names = {slot.field.name: f"▢ {slot.label}" for slot in slots(form)}
    return safe_pieces(_MARKER.sub(lambda match: names.get(match[1].strip(), ""), form.content), PART)


def _laid_out(form: Form, content: str) -> Layout:
    """Place each input where its first marker stands, or at the end."""
    left = {field.name: index for index, field in enumerate(form.inputs)}

    def mark(match: re.Match[str]) -> str:
        index = left.pop(match[1].strip(), None)
        return "" if index is None else place(index)

    parts = split_at_places(safe(_MARKER.sub(mark, mrkdwn.clean(content))))
    parts += sorted(set(range(len(form.inputs))).difference(part for part in parts if isinstance(part, int)))
    return Layout(tuple(_with_captions(parts, slots(form))), whole=True)


def _with_captions(parts: list[str | int], named: list[Slot]) -> Iterator[str | Spot]:
    """Take the last line before a field out of the text where the field's label says the same."""
    caption = ""
    for part, following in pairwise((*parts, "")):
        if isinstance(part, int):
            yield Spot(part, caption)
            caption = ""
        elif isinstance(following, str):
            yield part
        else:
            text, caption = _caption_apart(part, named[following].label)
            if text:
                yield text


def _caption_apart(text: str, label: str) -> tuple[str, str]:
    """Split off the last line if it says what the label says and nothing more; a heading stays, it may head others."""
    paragraph = text.rpartition("\n\n")[2]
    line = paragraph.rpartition("\n")[2]
    if is_bare(paragraph) and _as_label(line) == label:
        return text.removesuffix(line).rstrip(), line
    return text, ""


def _last_line(text: str) -> str:
    """Return the last line with a word in it; empty where there is none, or where it is too long to be a label."""
    for line in reversed(text[-2_000:].split("\n")):
        seen = _as_label(_OPEN_MARKS.sub("", plain(line)))
        if re.search(r"\w", seen):
            return seen if len(seen) <= MAX_LABEL else ""
    return ""


def _as_label(line: str) -> str:
    return plain(line).strip(" :：")


def _brief(form: Form) -> str:
    """Return the form's text with only the last words before each marker."""
    *parts, _ = _MARKER.split(mrkdwn.clean(form.content))
    room = max(_BRIEF_SHARE // max(len(parts), 1), _MIN_BRIEF)
    return "\n\n".join(
        f"{{{{#$output.{part}#}}}}" if index % 2 else _end(part, room) for index, part in enumerate(parts)
    )


def _end(text: str, room: int) -> str:
    text = text.strip()
    return text if len(text) <= room else "… " + text[-room:].partition(" ")[2]
