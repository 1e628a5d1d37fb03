"""The builder's text with the form's fields in their places, and what people call them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from bot.core.model import Form, FormInput, OutFile, OutFileStatus
from bot.core.out_files import LINKED, SignedLink, with_links, without_addresses
from bot.slack import ids
from bot.slack.forms.room import MAX_FIELDS, MAX_LABEL, label_room, text_room
from bot.slack.messages.message import MAX_BLOCKS, PART
from bot.slack.text import mrkdwn
from bot.slack.text.markdown import ends_before_places, is_bare, place, plain, safe, safe_pieces, split_at_places

BUTTONS_PER_BLOCK = 25  # slack-platform §2.2
MISSED = f"{LINKED} ({{reason}})"
"""What stands in the text in the place of a file that cannot be had."""

_MARKER = re.compile(r"\{\{#\$output\.([^#{}]+)#\}\}")
_LOOSE_MARKS = re.compile(r"`+|\*\*+|(?<!\S)[*_~]+(?=\S|$)")
"""What is left of markup that a marker stands in."""
_BRIEF_SHARE, _MIN_BRIEF = 750, 60
"""Characters of the text beside the fields, where the whole of it stands in messages of its own."""
_ALT_TEXT = 100
"""Characters of what stands for an image: where there are ten, these count, too."""


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
class Picture:
    """Where an image stands that Slack has."""

    file_id: str
    """Slack's."""
    name: str


@dataclass(frozen=True, slots=True)
class Layout:
    """Safe Markdown, images and the spots of inputs, in the builder's order.

    `whole` where nothing of the text, and none of its images, is missing.
    """

    parts: tuple[str | Spot | Picture, ...]
    whole: bool

    @property
    def size(self) -> int:
        """The characters of the text."""
        return sum(map(_size, self.parts))


def _size(part: str | Spot | Picture) -> int:
    match part:
        case Spot(caption=caption):
            return len(caption)
        case Picture(name=name):
            return len(name)
        case text:
            return len(text)


def slots(form: Form) -> list[Slot]:
    """Return a slot per input, in the order of the inputs; its label is the nearest text above its marker."""
    above: dict[str, str] = {}
    text, *marked = _MARKER.split(with_links(mrkdwn.clean(form.content), lambda _: ""))
    for name, following in zip(marked[::2], marked[1::2], strict=True):
        above.setdefault(name.strip(), _last_line(text))
        text = following
    names = (mrkdwn.seen(above.get(field.name, "")) or mrkdwn.readable(field.name) for field in form.inputs)
    room = label_room(form)
    return [Slot(index, form.inputs[index], mrkdwn.shorten(name, room)) for index, name in enumerate(names)]


def labels(form: Form) -> dict[str, str]:
    """Return what people call each input: the nearest text above it, or else its variable's name as words."""
    return {slot.field.name: slot.label for slot in slots(form)}


def layout(form: Form, files: Sequence[OutFile] = ()) -> Layout:
    """Return the form's text whole, or only what is next to each field, or none of it, as it fits into a message.

    Of the links in it that Dify signed, those to one of `files` become what is to be had of them. The choice depends on
    nothing that changes while the form is answered.
    """
    room = text_room(form)
    blocks = MAX_BLOCKS - 5 - len(form.user_actions) // BUTTONS_PER_BLOCK
    for each in layouts(form, room, files):
        shown = [
            part for part in each.parts if len(form.inputs) <= MAX_FIELDS or not isinstance(part, Spot) or part.caption
        ]
        if each.size <= room and len(shown) <= blocks:
            break
    return each


def layouts(form: Form, longest: int, files: Sequence[OutFile] = ()) -> Iterator[Layout]:
    """Return the layouts that a form can have, each with less text than the one before: the last one has none.

    A text of more characters than `longest` is not laid out whole.
    """
    pictures: list[Picture] = []
    text = _with_files(form, files, lambda picture: _mark(form, pictures, picture))
    if len(text) <= longest:
        yield Layout(tuple(_laid_out(form, text, lambda marked: split_at_places(safe(marked)), pictures)), whole=True)
    each = max(_BRIEF_SHARE // max(len(form.inputs), 1), _MIN_BRIEF)
    ends = _laid_out(form, _with_files(form, files), lambda marked: ends_before_places(marked, each))
    brief = Layout(tuple(ends), whole=False)
    yield brief
    yield replace(brief, parts=tuple(Spot(part.index) for part in brief.parts if isinstance(part, Spot)))


def beginning(form: Form, limit: int) -> str:
    """Return the first words of the form's text as safe Markdown, without fields."""
    text = without_addresses(mrkdwn.clean(form.content))
    return next(iter(safe_pieces(_MARKER.sub("", text[: 2 * limit]), limit)), "")


def text_alone(form: Form, files: Sequence[OutFile] = ()) -> list[str | Picture]:
    """Return the whole text for messages of its own, in safe pieces; where nothing above names a field, it is named."""
    pictures: list[Picture] = []
    known = labels(form)
    above, *marked = _MARKER.split(_with_files(form, files, lambda picture: _mark(form, pictures, picture)))
    text = above
    for name, following in zip(map(str.strip, marked[::2]), marked[1::2], strict=True):
        if name in known:
            text += "▢" if _last_line(above) == known[name] else f"▢ {known[name]}"
        text += following
        above = following
    found: list[str | Picture] = []
    for part in split_at_places(text) if pictures else [text]:
        found += safe_pieces(part, PART) if isinstance(part, str) else [pictures[part - len(form.inputs)]]
    return found


def _named(picture: Picture) -> str:
    return LINKED.format(name=picture.name)


def _with_files(form: Form, files: Sequence[OutFile], show: Callable[[Picture], str] = _named) -> str:
    """Return the form's text with what is to be had in the places of the links that Dify signed.

    An image stands where it is linked first; `show` returns what is written for it.
    """
    by_key = {file.key: file for file in files}
    shown = set()

    def put(link: SignedLink) -> str:
        file = by_key.get(link.key)
        if file is not None and file.status is OutFileStatus.MISSED:
            return MISSED.format(name=link.name, reason=file.reason)
        stands = file is not None and file.stands_in(form.form_id) and link.is_image and file.key not in shown
        if file is None or file.slack_file_id is None or not stands:
            return LINKED.format(name=link.name)
        shown.add(file.key)
        return show(Picture(file.slack_file_id, mrkdwn.shorten(link.name, _ALT_TEXT)))

    return with_links(mrkdwn.clean(form.content), put)


def _mark(form: Form, pictures: list[Picture], picture: Picture) -> str:
    """Mark the place of an image; the places of fields have the numbers before."""
    pictures.append(picture)
    return place(len(form.inputs) + len(pictures) - 1)


def _laid_out(
    form: Form, text: str, split: Callable[[str], Sequence[str | int]], pictures: Sequence[Picture] = ()
) -> Iterator[str | Spot | Picture]:
    """Place each input where its first marker stands, or at the end."""
    left = {field.name: index for index, field in enumerate(form.inputs)}

    def mark(match: re.Match[str]) -> str:
        index = left.pop(match[1].strip(), None)
        return "" if index is None else place(index)

    parts = [*split(_MARKER.sub(mark, text))]
    parts += sorted(set(range(len(form.inputs))).difference(part for part in parts if isinstance(part, int)))
    return _with_captions(parts, slots(form), pictures)


def _with_captions(
    parts: list[str | int], named: list[Slot], pictures: Sequence[Picture]
) -> Iterator[str | Spot | Picture]:
    """Take the last line before a field out of the text where the field's label says the same."""
    caption = ""
    for part, following in pairwise((*parts, "")):
        if isinstance(part, int) and part >= len(named):
            yield pictures[part - len(named)]
        elif isinstance(part, int):
            yield Spot(part, caption)
            caption = ""
        elif isinstance(following, str) or following >= len(named):
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
    """Return the last line with a word in it; empty where there is none, or where it is too long to be a label.

    The rows of a table name nothing but what stands in it.
    """
    *above, last = text[-2_000:].split("\n")
    for line in (last, *(line for line in reversed(above) if _is_row(last) or not _is_row(line))):
        seen = " ".join(_LOOSE_MARKS.sub("", _as_label(line)).split()).strip(" :：")
        if re.search(r"[^\W_]", seen):
            return seen if len(seen) <= MAX_LABEL else ""
    return ""


def _is_row(line: str) -> bool:
    return line.lstrip().startswith("|")


def _as_label(line: str) -> str:
    # Not indented, which would make it code: it may stand in a list.
    return plain(line.strip()).strip(" :：")
