"""Untrusted Markdown as rich text, for windows: they know no `markdown` block (slack-platform §2.1, §2.8).

Rich text is inert (slack-platform §6.1): a text mentions nobody unless an element of its own does, and none is written
here. Links keep only harmless schemes and show their host, as in messages.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from itertools import groupby
from unicodedata import combining, east_asian_width

from markdown_it.tree import SyntaxTreeNode
from slack_sdk.models.blocks import (
    RichTextBlock,
    RichTextElement,
    RichTextElementParts,
    RichTextListElement,
    RichTextPreformattedElement,
    RichTextQuoteElement,
    RichTextSectionElement,
)

from bot.slack.text.markdown_tree import numbered, parsed, rows, shown_host, tells_host
from bot.slack.text.mrkdwn import clean, unescape

MAX_CHARACTERS = 3_000
"""Of a block: as many as a section holds. Rich text has no documented limit (slack-platform §2.1)."""
MAX_WIDTH = 60
"""Characters of a line of code that a window shows without breaking it."""
_MAX_ELEMENTS = 100
_MAX_INDENT = 8
_MAX_NUMBER = 10**6
"""Of an item that Slack counts itself, from 1; it could not start with 0 or with a date."""
_MAX_URL = 3_000  # slack-platform §2.2
_RULE = "─" * 10
_BETWEEN = "\n\n"


class _Kind(Enum):
    SECTION = "section"
    BULLET = "bullet"
    ORDERED = "ordered"
    QUOTE = "quote"
    CODE = "code"


@dataclass(frozen=True, slots=True)
class _Span:
    """Text of one style; a link where it has an address."""

    text: str
    styles: frozenset[str] = frozenset()
    address: str | None = None
    shows_host: bool = False
    """It says where the link before it leads, and stays with it."""


@dataclass(frozen=True, slots=True)
class _Line:
    """What becomes one element of a block, or one item of a list."""

    kind: _Kind
    spans: tuple[_Span, ...]
    indent: int = 0
    number: int = 0
    """Of an item of an ordered list."""

    @property
    def size(self) -> int:
        """The characters that it counts for."""
        return sum(len(span.text) for span in self.spans)


def rich_text_blocks(markdown: str, *, made_safe: bool = False) -> tuple[RichTextBlock, ...]:
    """Return untrusted Markdown as blocks of at most `MAX_CHARACTERS` each, however many; none for an empty text.

    No character of the text is lost but for the marks that are obeyed, the language of code, the titles of links and
    the addresses of images within links. A table that is too wide is written row by row, with the names of its columns
    in each. `made_safe`: `bot.slack.text.markdown` wrote it, which escapes code, too.
    """
    text = clean(markdown)
    tree = _unescaped(parsed(text)) if made_safe else parsed(text)
    lines = [_Line(_Kind.SECTION, (_Span(text),))] if tree is None else list(_blocks(tree.children, 0))
    short = [part for line in lines if _seen(line.spans) for part in _cut(line)]
    return tuple(RichTextBlock(elements=_elements(group)) for group in _grouped(short))


def _unescaped(tree: SyntaxTreeNode | None) -> SyntaxTreeNode | None:
    """Turn the entities in code back into the characters they stand for; the parser has done so everywhere else."""
    for node in tree.walk() if tree else ():
        if node.type in _CODE and node.token is not None:
            node.token.content = unescape(node.content)
    return tree


_CODE = frozenset({"code_inline", "fence", "code_block"})


# --- blocks ----------------------------------------------------------------------------------------------------------


def _blocks(nodes: Iterable[SyntaxTreeNode], indent: int) -> Iterator[_Line]:
    for node in nodes:
        match node.type:
            case "bullet_list" | "ordered_list":
                for number, item in numbered(node):
                    yield from _item(number, item, indent)
            case "blockquote":
                yield _Line(_Kind.QUOTE, _flat(node.children))
            case "fence" | "code_block":
                yield _Line(_Kind.CODE, (_Span(node.content.strip("\n")),))
            case "table":
                yield from _table(node, indent)
            case _:
                yield _Line(_Kind.SECTION, _paragraph(node))


def _paragraph(node: SyntaxTreeNode) -> tuple[_Span, ...]:
    match node.type:
        case "heading":
            return tuple(_spans(node, frozenset({"bold"})))
        case "hr":
            return (_Span(_RULE),)
        case _:
            return tuple(_spans(node))


def _item(number: int | None, item: SyntaxTreeNode, indent: int) -> Iterator[_Line]:
    """Write an item: its paragraphs up to another block are its own, what follows stands on lines of its own."""
    own = next((at for at, child in enumerate(item.children) if child.type not in _PARAGRAPHS), len(item.children))
    spans = _joined((_paragraph(child) for child in item.children[:own]), "\n")
    if number is None:
        yield _Line(_Kind.BULLET, spans, min(indent, _MAX_INDENT))
    elif 1 <= number <= _MAX_NUMBER:
        yield _Line(_Kind.ORDERED, spans if _seen(spans) else (_Span("–"),), min(indent, _MAX_INDENT), number)
    else:
        yield _Line(_Kind.BULLET, (_bullet(number), *spans), min(indent, _MAX_INDENT))
    yield from _blocks(item.children[own:], indent + 1)


_PARAGRAPHS = frozenset({"paragraph", "heading", "hr"})


def _flat(nodes: Sequence[SyntaxTreeNode]) -> tuple[_Span, ...]:
    """Write blocks as one text: a quote holds nothing else."""
    return _joined((_flat_block(node) for node in nodes), "\n")


def _flat_block(node: SyntaxTreeNode) -> tuple[_Span, ...]:
    match node.type:
        case "bullet_list" | "ordered_list":
            items = ((_bullet(number), *_shifted(_flat(item.children), "    ")) for number, item in numbered(node))
            return _joined(items, "\n")
        case "blockquote":
            return (_Span("> "), *_shifted(_flat(node.children), "> "))
        case "fence" | "code_block":
            return (_Span(node.content.strip("\n"), frozenset({"code"})),)
        case "table":
            return _joined((_record(head, row) for head, row in _records(node)), "\n")
        case _:
            return _paragraph(node)


def _bullet(number: int | None) -> _Span:
    return _Span("• " if number is None else f"{number}. ")


def _shifted(spans: Iterable[_Span], margin: str) -> Iterator[_Span]:
    for span in spans:
        yield replace(span, text=span.text.replace("\n", f"\n{margin}"))


def _joined(texts: Iterable[Iterable[_Span]], between: str) -> tuple[_Span, ...]:
    found: list[_Span] = []
    for spans in texts:
        if found:
            found.append(_Span(between))
        found.extend(spans)
    return tuple(found)


def _seen(spans: Iterable[_Span]) -> bool:
    return any(span.text.strip() for span in spans)


# --- tables ----------------------------------------------------------------------------------------------------------


def _table(node: SyntaxTreeNode, indent: int) -> Iterator[_Line]:
    """Write a table in columns, or row by row where it is too wide or has links."""
    texts = [["".join(span.text for span in _spans(cell)).replace("\n", " ") for cell in row] for row in rows(node)]
    widths = [max(_width(row[column]) for row in texts) for column in range(len(texts[0]))]
    if sum(widths) + 3 * (len(widths) - 1) > MAX_WIDTH or any(each.type in ("link", "image") for each in node.walk()):
        for head, row in _records(node):
            yield _Line(_Kind.BULLET, _record(head, row), min(indent, _MAX_INDENT))
        return
    lines = [" │ ".join(map(_padded, row, widths)).rstrip() for row in texts]
    lines.insert(1, "─┼─".join("─" * width for width in widths))
    yield _Line(_Kind.CODE, (_Span("\n".join(lines)),))


_Cells = Sequence[SyntaxTreeNode]


def _records(node: SyntaxTreeNode) -> list[tuple[_Cells | None, _Cells]]:
    """Return each row with the names of its columns; the names alone where there is no row."""
    head, *body = rows(node)
    return [(head, row) for row in body] or [(None, head)]


def _record(head: _Cells | None, row: _Cells) -> tuple[_Span, ...]:
    """Write “column: value” lines; the name of a column stands above no value, too, or it might stand nowhere."""
    names = (tuple(_spans(cell, frozenset({"bold"}))) for cell in head or ())
    if head is None:
        return _joined((tuple(_spans(cell, frozenset({"bold"}))) for cell in row), "\n")
    pairs = ((name, tuple(_spans(cell))) for name, cell in zip(names, row, strict=True))
    lines = ((*name, _Span(": ", frozenset({"bold"})), *value) if _seen(name) else value for name, value in pairs)
    return _joined((line for line in lines if _seen(line)), "\n")


def _width(text: str) -> int:
    return sum(0 if combining(sign) else 2 if east_asian_width(sign) in "WF" else 1 for sign in text)


def _padded(text: str, width: int) -> str:
    return text + " " * (width - _width(text))


# --- spans -----------------------------------------------------------------------------------------------------------

_STYLED = {"strong": "bold", "em": "italic", "s": "strike"}


def _spans(node: SyntaxTreeNode, styles: frozenset[str] = frozenset(), *, in_link: bool = False) -> Iterator[_Span]:
    """Write spans. An image within a link is its label: no link of its own may stand there."""
    children = node.children
    for index, child in enumerate(children, 1):
        match child.type:
            case "strong" | "em" | "s":
                yield from _spans(child, styles | {_STYLED[child.type]}, in_link=in_link)
            case "inline":
                yield from _spans(child, styles, in_link=in_link)
            case "softbreak" | "hardbreak":
                yield _Span("\n", styles)
            case "code_inline":
                yield _Span(child.content, styles | {"code"})
            case "image" if in_link:
                yield from _spans(child, styles, in_link=True)
            case "link" if in_link and child.info == "auto":
                yield from _spans(child, styles, in_link=True)
            case "link" | "image":
                following = children[index].content if index < len(children) and not children[index].children else ""
                yield from _link(child, styles, following)
            case _:
                yield _Span(clean(child.content).replace("\n", " "), styles)


def _link(node: SyntaxTreeNode, styles: frozenset[str], following: str) -> Iterator[_Span]:
    """Write a link that shows where it leads, unless what follows does; an address of another kind becomes text."""
    address = clean(str(node.attrs.get("href" if node.type == "link" else "src", "")))
    inner = [span for span in _spans(node, styles, in_link=True) if span.text]
    if not _seen(inner):
        inner = [_Span("image" if node.type == "image" else address, styles)]
    host = shown_host(address)
    if (host is None or len(address) > _MAX_URL) and node.info == "auto":
        yield from inner
        return
    if host is None or len(address) > _MAX_URL:
        yield from (_Span("[", styles), *inner, _Span(f"]({address})", styles))
        return
    yield from (replace(span, address=address) for span in inner)
    label = "".join(span.text for span in inner)
    if not tells_host(label, address) and not following.startswith(f" ({host})"):
        yield _Span(f" ({host})", styles, shows_host=True)


# --- cutting ---------------------------------------------------------------------------------------------------------


def _cut(line: _Line) -> Iterator[_Line]:
    """Cut a line that is longer than a block: at the last line end, else space, of what fits."""
    half = MAX_CHARACTERS // 2
    while line.size > MAX_CHARACTERS:
        text = "".join(span.text for span in line.spans)
        end = max(text.rfind("\n", half, MAX_CHARACTERS), 0) or max(text.rfind(" ", half, MAX_CHARACTERS), 0)
        fitting, left = _split(line.spans, _before_link(line.spans, end or MAX_CHARACTERS))
        yield replace(line, spans=fitting)
        # The rest of an item has no bullet or number of its own.
        line = replace(line, spans=left, kind=_Kind.SECTION if line.kind in _ITEMS else line.kind)
    yield line


def _before_link(spans: Sequence[_Span], end: int) -> int:
    """Return where to cut instead, if a cut parted a link from its host."""
    start = at = 0
    for span in spans:
        if span.address is None and not span.shows_host:
            start = at + len(span.text)
        if at + len(span.text) >= end:
            break
        at += len(span.text)
    return start if 0 < start < end else end


_ITEMS = (_Kind.BULLET, _Kind.ORDERED)


def _split(spans: Sequence[_Span], end: int) -> tuple[tuple[_Span, ...], tuple[_Span, ...]]:
    for index, span in enumerate(spans):
        if len(span.text) > end:
            head, rest = replace(span, text=span.text[:end]), replace(span, text=span.text[end:])
            return (*spans[:index], head), (rest, *spans[index + 1 :])
        end -= len(span.text)
    return tuple(spans), ()


def _grouped(lines: Iterable[_Line]) -> Iterator[list[_Line]]:
    group: list[_Line] = []
    size = 0
    for line in lines:
        size += line.size + len(_BETWEEN)
        if group and (size > MAX_CHARACTERS or len(group) == _MAX_ELEMENTS):
            yield group
            group, size = [], line.size + len(_BETWEEN)
        group.append(line)
    if group:
        yield group


def _elements(lines: Iterable[_Line]) -> list[RichTextElement]:
    found: list[RichTextElement] = []
    for (kind, indent, _), group in groupby(_with_runs(lines), key=lambda pair: pair[0]):
        same = [line for _, line in group]
        match kind:
            case _Kind.SECTION:
                found.append(_section(_joined((line.spans for line in same), _BETWEEN)))
            case _Kind.QUOTE:
                found.append(RichTextQuoteElement(elements=_parts(_joined((line.spans for line in same), _BETWEEN))))
            case _Kind.CODE:
                found += (RichTextPreformattedElement(elements=_parts(line.spans)) for line in same)
            case _Kind.BULLET | _Kind.ORDERED:
                found.append(_list(kind, indent, same))
    return found


def _with_runs(lines: Iterable[_Line]) -> Iterator[tuple[tuple[_Kind, int, int], _Line]]:
    """Return the lines with what those of one element have in common: in ordered lists, numbers that follow up."""
    for index, line in enumerate(lines):
        yield (line.kind, line.indent, line.number - index if line.kind is _Kind.ORDERED else 0), line


def _list(kind: _Kind, indent: int, items: Sequence[_Line]) -> RichTextListElement:
    return RichTextListElement(
        elements=[_section(item.spans) for item in items],
        style=kind.value,
        indent=indent,
        offset=(items[0].number - 1 if items[0].number > 1 else None),
    )


def _section(spans: Iterable[_Span]) -> RichTextSectionElement:
    return RichTextSectionElement(elements=_parts(spans))


def _parts(spans: Iterable[_Span]) -> list[RichTextElement]:
    """Write spans, adjacent ones of one style together."""
    found: list[RichTextElement] = []
    for (styles, address), group in groupby(spans, key=lambda span: (span.styles, span.address)):
        text = "".join(span.text for span in group)
        style = RichTextElementParts.TextStyle(**dict.fromkeys(sorted(styles), True)) if styles else None
        if text and address is None:
            found.append(RichTextElementParts.Text(text=text, style=style))
        elif text:
            found.append(RichTextElementParts.Link(url=address, text=text, style=style))
    return found
