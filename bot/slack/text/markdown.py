"""Untrusted Markdown made safe for Slack's `markdown` block, and long texts cut into pieces.

A `markdown` block still obeys `<…>` control sequences (slack-platform §6.1), so a text of a model could ping a channel
or disguise a link. The text is therefore parsed and written anew: every character of it is escaped, links keep only
harmless schemes and show their host, images become links, raw HTML becomes text. Nothing that was not understood here
gets through as markup, and nothing of the text is swallowed: what only looks like markup is escaped with a backslash.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import pairwise
from textwrap import dedent, indent
from urllib.parse import quote

from markdown_it.tree import SyntaxTreeNode

from bot.slack.text.markdown_tree import (
    MAX_COLUMNS,
    STYLES,
    merged,
    numbered,
    parsed,
    parsed_inline,
    rows,
    shown_host,
    tells_host,
)
from bot.slack.text.mrkdwn import clean

_BARE = frozenset({"root", "paragraph", "inline", "text", "text_special", "strong", "em", "softbreak"})
_MAX_ROWS = 100
"""Of a table, with its head (slack-platform §2.1)."""

# Noncharacters, which `clean` takes out of every text, mark a place for a form's field and the links written here.
_PLACE_OPEN, _PLACE_CLOSE, _OWN = "\ufdd0", "\ufdd1", "\ufdd2"
_PLACE = re.compile(f"{_PLACE_OPEN}(\\d+){_PLACE_CLOSE}")
_PLACES = re.compile(f"({_PLACE_OPEN}\\d+{_PLACE_CLOSE})")
_PLACE_IN_ADDRESS = re.compile(f"{quote(_PLACE_OPEN)}(\\d+){quote(_PLACE_CLOSE)}")

_WORDS = re.compile(r"\S(?:.*\S)?", re.DOTALL)
_LOOKS_LIKE_ENTITY = re.compile(r"&(?=#?\w+;)")
_LINK_OF_TEXT = re.compile(r"(?<=\])(?=[(\[:])|(?<=!)(?=\[)")
# In code nothing is a link; but should Slack see no code where we see some, it still must not become one.
_LINK_OF_CODE = re.compile(r"(?<=\])(?=(?:\(\s*|:\s*)<?(?:[A-Za-z][\w+.-]*:|//))")
# Of what stands before an @, every reader thinks that it is the host (`https://bank.example@evil.example`).
_HIDDEN_HOST = re.compile(rf"https?://(?=[^\s/?#{_OWN}]*@)|(?<!\w)www\.(?=[^\s/?#{_OWN}]{{0,1000}}@)", re.IGNORECASE)
_BRACKETS = re.compile(r"[\[\]]")
_BACKSLASHES = re.compile(r"\\(?=[!-/:-@\[-`{-~])")
_MARKS = re.compile(r"(?<!\s)\*|\*(?!\s)|(?<![^\W_])_|_(?![^\W_])|~(?=~)|(?<=~)~|`")
"""What could be read as markup beside markup of our own."""
_LINE_START = re.compile(
    r"^(?P<number>0*1)?"
    r"(?P<mark>(?(number)[.)](?=\s)|(?:#{1,6}(?=\s|$)|[-+*](?=\s|$)|=+\s*$|-+\s*$|~~~|[-:|](?=[:|\s]*-[-:|\s]*$))))"
)
"""What would end a paragraph: the parser takes it for text only where it is indented or where a cut begins."""
_AT_LINE_START = frozenset("#+-=")
_TICKS_MAX = 10
_TOO_MANY_TICKS = re.compile(f"`{{{_TICKS_MAX},}}")
_FENCE = re.compile(r" {0,3}(?P<ticks>`{3,12}|~{3,12})(?![`~])(?P<word>[\w+#.-]{0,20})(?P<rest>[^\n]*)")
_FENCES_MAX = 50
"""Characters that opening a fence again and closing it can take in a piece."""
BEGINNING = re.compile(r"#{1,6} |\*\*[^\s*]|[^\W\d_]")
"""Of a heading, or of a paragraph that stands in nothing else."""
_CUT = "…"
_FIRST_SPACE = re.compile(r"\s")
_POINT = re.compile(r"^( *\d+)\.")
_NUMBER = re.compile(r"\d{1,9}[.)]\s")
_EMPTY_LINES = re.compile(r"(?:\n|^)(?:[\s>]*(?:[-*]|\d+\.|#{1,6})?[ \t]*(?:\n|$))+$")


def place(number: int) -> str:
    """Return the mark that keeps a place through `safe`, for `split_at_places`."""
    return f"{_PLACE_OPEN}{number}{_PLACE_CLOSE}"


def split_at_places(markdown: str) -> list[str | int]:
    """Return the texts between the places, without empty ones, and the places' numbers, in order.

    What a place cut off from the list that it stands in goes on at the left.
    """
    parts: list[str | int] = []
    for part in _PLACES.split(markdown):
        number = _PLACE.fullmatch(part)
        if number:
            parts.append(int(number[1]))
        elif text := _after_place(_EMPTY_LINES.sub("", part), is_first=not parts).strip():
            parts.append(text)
    return parts


@lru_cache(maxsize=100)
def ends_before_places(text: str, each: int) -> tuple[str | int, ...]:
    """Return of untrusted Markdown what stands right before each place, and the places' numbers, in order.

    That is the last blocks, safe and of about `each` characters at most. Of a longer block it is the end: code stays
    code there, and a table keeps its head. … stands for what is left out.
    """
    near, wanted = list[str](), 0
    for chapter in reversed([*_chapters(text, each)]):
        before, *marked = _PLACES.split(chapter)
        if marked or wanted > 0:
            near.append(chapter)
        wanted = each - len(before) if marked else wanted - len(chapter)
    ends, left = list[str | int](), 0
    for part in reversed(split_at_places(safe("".join(reversed(near))))):
        if isinstance(part, int):
            ends.append(part)
            left = each
        elif left > 0:
            ends.append(_end_of(part, left))
            left -= len(part)
    return tuple(reversed(ends))


def safe(text: str) -> str:
    """Return untrusted Markdown as Markdown for a `markdown` block. Marks of `place` in it stay where they are."""
    tree = parsed(text)
    if tree is None:
        return _finished(_escaped(text))
    return _finished("\n\n".join(_block(node) for node in tree.children))


def safe_pieces(text: str, limit: int) -> list[str]:
    """Return untrusted Markdown, made safe, in pieces of at most `limit` characters.

    A list keeps its numbers and a table its head in every piece, and a heading stays with what it is of.
    """
    text = clean(text)
    tree = parsed(text)
    if tree is None:
        return _written_pieces(text, safe, limit)
    lines = text.split("\n")
    parts = [(node.type == "heading", part) for node in tree.children for part in _parts(node, lines, limit)]
    return [_flush_left(piece) for piece in packed(_below_headings(parts, limit), limit)]


def safe_chapters(text: str, limit: int) -> list[str]:
    """Return the same of a long text that may still be written: as it grows, only its last piece does.

    It is written chapter by chapter, and those that were written lately are not written again. A chapter begins only
    where a piece has room for what it may grow to.
    """
    full, texts = limit * 5 // 6, list[str]()
    for chapter in _chapters(clean(text), limit // 16):
        for piece in _pieces_of(chapter, limit):
            if texts and len(texts[-1]) < full and len(texts[-1]) + 2 + len(piece) <= limit:
                texts[-1] += f"\n\n{piece}"
            else:
                texts.append(piece)
    return texts


@lru_cache(maxsize=2_000)
def _pieces_of(chapter: str, limit: int) -> tuple[str, ...]:
    return tuple(safe_pieces(chapter, limit))


def plain(text: str) -> str:
    """Return what a reader sees of Markdown, on one line and without its markup."""
    tree = parsed(text)
    if tree is None:
        return " ".join(text.split())
    seen = (
        " " if node.type in ("paragraph", "softbreak", "hardbreak") else node.content
        for node in tree.walk()
        if _is_seen(node)
    )
    return " ".join("".join(seen).replace("|", " ").split())


_SEEN = frozenset({"text", "text_special", "code_inline", "fence", "code_block", "paragraph", "softbreak", "hardbreak"})


def _is_seen(node: SyntaxTreeNode) -> bool:
    return node.type in _SEEN


def words(text: str) -> str:
    """Return untrusted words on one line, for use within Markdown of our own."""
    return _finished(_escaped(" ".join(clean(text).split())))


def literal(text: str) -> str:
    """Return an untrusted line of which no sign is markup, for use within Markdown of our own: what people may copy."""
    line = _without_markup(" ".join(clean(text).split()))
    return _finished(_escaped(_LINE_START.sub(r"\g<number>\\\g<mark>", line)))


def is_bare(text: str) -> bool:
    """Say whether Markdown is plain words: no heading, list, quote, link or line break of its own."""
    tree = parsed(text)
    return tree is not None and {node.type for node in tree.walk()} <= _BARE


def code(text: str, language: str = "") -> str:
    """Return text as a block of code."""
    return _finished(_code(clean(text), language))


# --- writing -------------------------------------------------------------------------------------------------------


def _escaped(text: str) -> str:
    """Escape for a `markdown` block; a bare & stays, since it may stand in an address (slack-platform §6.1)."""
    return _LOOKS_LIKE_ENTITY.sub("&amp;", text).replace("<", "&lt;").replace(">", "&gt;")


def _without_markup(text: str) -> str:
    return _MARKS.sub(r"\\\g<0>", _BACKSLASHES.sub(r"\\\\", text))


def _code_text(text: str) -> str:
    """Escape what is shown as code, and keep `_finished` from looking for links in it."""
    apart = _LINK_OF_CODE.sub(" ", _TOO_MANY_TICKS.sub(lambda ticks: " ".join(ticks[0]), text))
    return _own_host(re.sub(r"[\]!]", lambda sign: sign[0] + _OWN, _escaped(apart)))


def _finished(written: str) -> str:
    """Take apart what only looks like a link or an image, or would be a link with a hidden host, and unmark our own."""
    return _HIDDEN_HOST.sub(r"\g<0> ", _LINK_OF_TEXT.sub(" ", written)).replace(_OWN, "")


def _block(node: SyntaxTreeNode) -> str:
    match node.type:
        case "heading":
            return _heading(node, _inline(node))
        case "bullet_list" | "ordered_list":
            return _list(node)
        case "blockquote":
            return indent(_stacked(node, "\n\n"), "> ", lambda line: True).replace("> \n", ">\n")
        case "fence" | "code_block":
            return _code(node.content.removesuffix("\n"), node.info)
        case "table":
            return _table(node)
        case "hr":
            return "---"
        case _:
            return _inline(node)


def _stacked(node: SyntaxTreeNode, between: str) -> str:
    return between.join(_block(child) for child in node.children)


def _heading(node: SyntaxTreeNode, words: str) -> str:
    return f"{'#' * int(node.tag[1])} {words}".replace("\n", " ")


def _list(node: SyntaxTreeNode) -> str:
    """Write a list with an empty line wherever it has one, so that an item reads the same whatever follows it."""
    items = [_item(number, _spaced(item.children, map(_block, item.children))) for number, item in numbered(node)]
    return _spaced(node.children, items)


def _spaced(nodes: Sequence[SyntaxTreeNode], written: Iterable[str]) -> str:
    if not nodes:
        return ""
    gaps = ["\n\n" if _last_line(above) < _first_line(below) else "\n" for above, below in pairwise(nodes)]
    return "".join(part for pair in zip(written, [*gaps, ""], strict=True) for part in pair)


def _first_line(node: SyntaxTreeNode) -> int:
    return node.map[0] if node.map else 0


def _last_line(node: SyntaxTreeNode) -> int:
    """Return the line after the last one of a block; of what holds others, their last one's, without empty lines."""
    inner = [child for child in node.children if child.map and child.type != "inline"]
    return _last_line(inner[-1]) if inner else node.map[1] if node.map else 0


def _between(node: SyntaxTreeNode) -> str:
    tight = all(child.hidden for item in node.children for child in item.children if child.type == "paragraph")
    return "\n" if tight else "\n\n"


def _item(number: int | None, written: str) -> str:
    bullet = "- " if number is None else f"{number}. "
    return bullet + indent(written, " " * len(bullet)).lstrip(" ")


def _table(node: SyntaxTreeNode) -> str:
    head, *body = rows(node)
    if len(head) > MAX_COLUMNS:
        return "\n".join(_record(head, row) for row in body or [head])
    return "\n\n".join(_tables(head, body))


def _tables(
    head: Sequence[SyntaxTreeNode], body: Iterable[Sequence[SyntaxTreeNode]], limit: int | None = None
) -> list[str]:
    """Write a table as one or several; fields whose places are in its cells come after it."""
    top = [_row(head), f"| {' | '.join(_ALIGNED[str(cell.attrs.get('style', ''))] for cell in head)} |"]
    found: list[list[str]] = [[]]
    size = room = 0 if limit is None else limit - sum(len(_finished(line)) + 1 for line in top)
    for line in map(_row, body):
        size -= len(_finished(line)) + 1
        if found[-1] and (len(found[-1]) == _MAX_ROWS - 1 or (limit is not None and size < 0)):
            found.append([])
            size = room - len(_finished(line)) - 1
        found[-1].append(line)
    written = ("\n".join([*top, *lines]) for lines in found)
    return ["\n".join([_PLACES.sub("", table), *_PLACES.findall(table)]) for table in written]


def _row(cells: Sequence[SyntaxTreeNode]) -> str:
    return f"| {' | '.join(_cell(cell) for cell in cells)} |"


def _cell(cell: SyntaxTreeNode) -> str:
    return _inline(cell).replace("|", "\\|").replace("\n", " ")


_ALIGNED = {"": "---", "text-align:left": ":---", "text-align:center": ":-:", "text-align:right": "---:"}


def _record(head: Sequence[SyntaxTreeNode], row: Sequence[SyntaxTreeNode]) -> str:
    """Write the row of a table that is too wide: each value after the name of its column."""
    names = [_inline(cell) for cell in head] if row is not head else [""] * len(head)
    cells = zip(names, map(_inline, row), strict=True)
    lines = [f"{_around(f'{name}:', '**')} {value}".rstrip() if name else value for name, value in cells]
    return _item(None, "\n".join(line for line in lines if line))


def _code(content: str, language: str) -> str:
    """Write code; at a place in it the fence is closed and opened again."""
    parts = [part for part in _PLACES.split(content) if part.strip()] or [""]
    return "\n".join(part if _PLACE.fullmatch(part) else _fence(_code_text(part), language) for part in parts)


def _fence(content: str, language: str) -> str:
    ticks = "`" * max(3, _longest_ticks(content) + 1)
    word = re.match(r"[\w+#.-]{0,20}", language)
    return f"{ticks}{word[0] if word else ''}\n{content.strip(chr(10))}\n{ticks}"


def _longest_ticks(text: str) -> int:
    return max((len(ticks) for ticks in re.findall(r"`+", text)), default=0)


def _inline(node: SyntaxTreeNode) -> str:
    beside_markup = any(each.type in _MARKUP for each in node.walk())
    lines = (line.lstrip(" \t") for line in _spans(node.children, beside_markup).split("\n"))
    return "\n".join(_LINE_START.sub(r"\g<number>\\\g<mark>", line) for line in lines)


_MARKUP = STYLES | {"code_inline", "text_special", "hardbreak"}


def _spans(spans: list[SyntaxTreeNode], beside_markup: bool, mark: str = "") -> str:
    """Write the spans between two marks, beside which or other markup their text may be read otherwise."""
    written = ""
    groups = merged(spans)
    for index, (kind, group) in enumerate(groups, 1):
        follower = _first_of(*groups[index]) if index < len(groups) else mark
        match kind:
            case "strong" | "s":
                own = "**" if kind == "strong" else "~~"
                written += _around(_spans(group, True, own[0]), own)
            case "em":
                beside_word = _in_word((written or mark)[-1:]) or _in_word(follower)
                own = "*" if beside_word or mark == "_" else "_"
                written += _around(_spans(group, True, own), own)
            case "text":
                text = group[0].content
                written += _escaped(_MARKS.sub(r"\\\g<0>", text) if beside_markup else text)
            case "inline":
                written += _spans(group[0].children, beside_markup)
            case "text_special":
                written += _literal(group[0].content, written.rpartition("\n")[2].strip())
            case _:
                written += _span(group[0])
    return written


def _first_of(kind: str, spans: list[SyntaxTreeNode]) -> str:
    """Return the character that spans begin with, as far as it matters to what stands before it."""
    return spans[0].content[:1] if kind in ("text", "text_special") and spans else "*"


def _in_word(character: str) -> bool:
    return bool(character) and not character.isspace() and (character.isalnum() or not character.isascii())


def _literal(text: str, line: str) -> str:
    """Write a character that the text escapes or names, at the end of a line, so that it is no markup here either."""
    if text == f"\\{_PLACE_OPEN}":
        return f"\\\\{_PLACE_OPEN}"
    character = clean(text).replace("\n", " ")
    if (
        character in _ALWAYS
        or (character in _AT_LINE_START and not line)
        or (character in (".", ")") and line.isdigit())
    ):
        return f"\\{character}"
    return "&amp;" if character == "&" else _escaped(character)


_FIRST_EMPTY_LINES = re.compile(r"\A(?:[ \t]*\n)+")
_ALWAYS = frozenset("*_`~\\")


def _span(node: SyntaxTreeNode) -> str:
    match node.type:
        case "softbreak" | "hardbreak":
            return "\n"
        case "code_inline":
            inner = _code_text(node.content)
            marks = "`" * (_longest_ticks(inner) + 1)
            padding = " " if "`" in inner else ""
            return _around(inner, marks + padding, padding + _OWN + marks)
        case "link" if node.info == "auto":
            text = _escaped(_without_markup(node.children[0].content))
            return text if _in_link(node) else _address(text, str(node.attrs.get("href", "")))
        case "link":
            return _link(_spans(node.children, True), str(node.attrs.get("href", "")))
        case "image":
            label = _spans(node.children, True) or "image"
            return label if _in_link(node) else _link(label, str(node.attrs.get("src", "")))
        case _:
            return _escaped(node.content)


def _in_link(node: SyntaxTreeNode) -> bool:
    """Say whether a span is the label of a link or an image; there, no link of its own may stand."""
    while node.parent is not None:
        node = node.parent
        if node.type in ("link", "image"):
            return True
    return False


def _around(inner: str, opening: str, closing: str | None = None) -> str:
    """Put marks around a text, but not around the places and the space in it."""
    return "".join(
        part if _PLACE.fullmatch(part) else _WORDS.sub(lambda found: opening + found[0] + (closing or opening), part)
        for part in _PLACES.split(inner)
    )


def _link(label: str, address: str) -> str:
    """Write a link that shows where it leads; an address of another kind becomes text."""
    places = "".join(dict.fromkeys((*_PLACES.findall(label), *map(place, _PLACE_IN_ADDRESS.findall(address)))))
    address = clean(_PLACE_IN_ADDRESS.sub("", address))
    label = " ".join(_PLACES.sub("", label).replace("[", "(").replace("]", ")").split())
    host = shown_host(address)
    if host is None:
        return f"[{label}]({_escaped(address)}){places}"  # no link once `_finished` took it apart
    label = label or _escaped(_without_markup(address.removeprefix("mailto:")))
    shown = "" if tells_host(label, address) else f" ({_escaped(host)})"
    return f"[{label}]{_target(address)}{shown}{places}"


def _address(text: str, address: str) -> str:
    """Write an address that is its own label; one of another kind, or that hides its host, as text."""
    places = "".join(_PLACES.findall(text))
    text, address = _PLACES.sub("", text), clean(_PLACE_IN_ADDRESS.sub("", address))
    host = shown_host(address)
    if host is None:
        return text + places
    shown = "" if tells_host(text, address) else f" ({_escaped(host)})"
    label = _BRACKETS.sub(rf"\\\g<0>{_OWN}", _own_host(text))
    return f"[{label}]{_target(address)}{shown}{places}"


def _target(address: str) -> str:
    """Write where a link leads, and let `_finished` read no host across its end."""
    address = address.replace("(", "%28").replace(")", "%29").replace("<", "%3C").replace(">", "%3E")
    return f"{_OWN}({_own_host(address)}{_OWN})"


def _own_host(text: str) -> str:
    """Keep `_finished` from taking apart what may stand in an address."""
    return text.replace("@", f"{_OWN}@")


# --- cutting -------------------------------------------------------------------------------------------------------


def _parts(node: SyntaxTreeNode, lines: list[str], limit: int) -> list[str]:
    """Write a block of the text that has these lines, in as many parts as the limit asks for."""
    written = _finished(_block(node))
    if len(written) <= limit:
        return [written]
    match node.type:
        case "bullet_list" | "ordered_list":
            items = (_item_parts(number, item, lines, limit) for number, item in numbered(node))
            return packed((part for parts in items for part in parts), limit, _between(node))
        case "table":
            return _table_parts(node, limit)
        case "fence" | "code_block":
            return _written_pieces(node.content, lambda text: code(text, node.info), limit)
        case "heading":
            return _written_pieces(_source(node), lambda text: _heading(node, _safe_inline(text)), limit)
        case "paragraph":
            return _written_pieces(_source(node), _safe_inline, limit)
        case _:
            return _written_pieces(_lines_of(node, lines), safe, limit)


def _item_parts(number: int | None, item: SyntaxTreeNode, lines: list[str], limit: int) -> list[str]:
    bullet = _item(number, "")
    inner = [
        f"\n{part}" if index and child.type == "paragraph" else part
        for index, child in enumerate(item.children)
        for part in _parts(child, lines, limit * 2 // 3)
    ]
    written = [
        _item(number, part) if not index else indent(part, " " * len(bullet)) for index, part in enumerate(inner)
    ]
    if not written or any(len(part) > limit for part in written):
        return _written_pieces(_lines_of(item, lines), safe, limit)
    return written


def _flush_left(piece: str) -> str:
    """Move what goes on with an item of the piece before to the left; indented, it could be read as something else.

    There it stands beside the list around it: of two ordered lists, one has brackets, or Markdown would count them as
    one.
    """
    margin, levels = len(piece), list[list[str]]()
    for line in piece.strip("\n").split("\n"):
        indented = len(line) - len(line.lstrip(" "))
        if not levels or (line.strip() and indented < margin):
            levels.append([])
            margin = indented
        levels[-1].append(line[margin:])
    outer = margin > 0
    written = ["\n".join(lines) for lines in levels]
    for index in range(len(written) - 2 + outer, -1, -2):
        written[index] = _with_brackets(written[index])
    return "".join(text + _gap(text, below) for text, below in pairwise([*written, ""]))


def _after_place(part: str, *, is_first: bool) -> str:
    """Move the same of what follows a place: how far its first line would be indented is not known."""
    end = 0 if is_first or part.startswith("\n") else f"{part}\n".index("\n")
    line, below = part[:end].strip(), _flush_left(part[end:])
    if not line:
        return below
    return line + ("\n\n" if part[end:].startswith("\n\n") else _gap(line, below)) + below


def _gap(text: str, below: str) -> str:
    """Return what parts a text from what stands further to the left: a number may not be read as its next line."""
    if not below or text.endswith("\n"):
        return "\n" if below else ""
    return "\n\n" if _NUMBER.match(below) else "\n"


def _with_brackets(markdown: str) -> str:
    """Return Markdown in which the numbers of its ordered lists, but not of those in others, have brackets."""
    tree, lines = parsed(markdown), markdown.split("\n")
    for node in tree.children if tree else ():
        for item in node.children if node.type == "ordered_list" else ():
            lines[_first_line(item)] = _POINT.sub(r"\1)", lines[_first_line(item)])
    return "\n".join(lines)


def _table_parts(node: SyntaxTreeNode, limit: int) -> list[str]:
    head, *body = rows(node)
    if len(head) <= MAX_COLUMNS:
        tables = [_finished(part) for part in _tables(head, body, limit)]
        if all(len(part) <= limit for part in tables):
            return tables
    return [part for row in body or [head] for part in _record_parts(head, row, limit)]


def _record_parts(head: Sequence[SyntaxTreeNode], row: Sequence[SyntaxTreeNode], limit: int) -> Iterator[str]:
    record = _finished(_record(head, row))
    if len(record) <= limit:
        yield record
        return
    for name, value in zip(head, row, strict=True):
        for cell in (value,) if row is head else (name, value):
            yield from _written_pieces(_source(cell), _safe_inline, limit)


def _source(node: SyntaxTreeNode) -> str:
    return "".join(child.content for child in node.children)


def _lines_of(node: SyntaxTreeNode, lines: list[str]) -> str:
    first, end = node.map or (0, len(lines))
    return dedent("\n".join(lines[first:end]))


def _safe_inline(text: str) -> str:
    tree = parsed_inline(text)
    return _finished(_escaped(text) if tree is None else _inline(tree))


def _written_pieces(text: str, write: Callable[[str], str], limit: int, size: int = 0) -> list[str]:
    """Cut first and write then: a cut through what is written could part a link from its host."""
    found: list[str] = []
    size = size or limit
    for piece in pieces(text, size):
        written = write(piece)
        found += [written] if len(written) <= limit else _written_pieces(piece, write, limit, size // 2)
    return found


def pieces(text: str, limit: int) -> list[str]:
    """Cut Markdown into pieces of at most `limit` characters: at paragraphs, else lines, else words.

    A fence that a cut goes through is closed, and opened again in the next piece.
    """
    found: list[str] = []
    piece, fence = "", ""
    for line in _short_lines(text, max(limit - _FENCES_MAX, limit // 2, 1)):
        closing = f"\n{_ticks(fence)}" if fence else ""
        if piece and len(piece) + len(line) + 1 + len(closing) > limit:
            head, rest = _at_paragraph(piece) if not fence else (piece, "")
            found.append(head + closing)
            piece = f"{fence}\n{line}" if fence else "\n".join(part for part in (rest, line) if part)
        else:
            piece = f"{piece}\n{line}" if piece else line
        fence = fence_after(line, fence)
    return [piece.strip("\n") for piece in (*found, piece) if piece.strip()]


def _end_of(markdown: str, limit: int) -> str:
    """Return the end of safe Markdown, of about `limit` characters at most: whole blocks, and the end of a long one."""
    tree = parsed(markdown)
    if len(markdown) <= limit or tree is None:
        return markdown if len(markdown) <= limit else _last_words(markdown, limit)
    lines = markdown.split("\n")
    start = _first_whole(tree.children, lines, limit)
    size = len("\n".join(lines[start:]))
    if size > limit // 2:
        return _below_cut(lines[start:])
    above = [node for node in tree.children if _first_line(node) < start]
    end = _end_of_last(above, "\n".join(lines[:start]).rstrip().split("\n"), limit - size)
    return "\n\n".join(part for part in (end, "\n".join(lines[start:])) if part)


def _end_of_last(blocks: Sequence[SyntaxTreeNode], lines: Sequence[str], limit: int) -> str:
    """Return the end of the last of some blocks, with which the text with these lines ends and which is too long."""
    start = _first_whole(blocks, lines, limit)
    if lines[start:]:
        return _below_cut(lines[start:])
    last, own = blocks[-1], lines[_first_line(blocks[-1]) :]
    match last.type:
        case "bullet_list" | "ordered_list" | "list_item" | "blockquote" if last.children:
            return _end_of_last(last.children, lines, limit)
        case "fence":
            head, *content, closing = own
            content = content[_first_fitting(content, limit - len(head) - len(closing) - 2) :] or [content[-1][-limit:]]
            return _below_cut([head, *content, closing])
        case "table":
            head_lines, body = own[:2], own[2:]
            body = body[_first_fitting(body, limit - len("\n".join(head_lines)) - 1) :]
            return _below_cut([*head_lines, *body]) if body else _CUT
        case _:
            return _last_words("\n".join(line.strip() for line in own), limit)


def _first_whole(blocks: Sequence[SyntaxTreeNode], lines: Sequence[str], limit: int) -> int:
    """Return the line with which the first of the last blocks begins that fit."""
    fitting = _first_fitting(lines, limit)
    return next((_first_line(node) for node in blocks if _first_line(node) >= fitting), len(lines))


def _first_fitting(lines: Sequence[str], limit: int) -> int:
    """Return the first line that fits together with all below it."""
    size = -1
    for index in range(len(lines) - 1, -1, -1):
        size += len(lines[index]) + 1
        if size > limit:
            return index + 1
    return 0


def _last_words(text: str, limit: int) -> str:
    words = text[-limit:]
    return f"{_CUT} {''.join(_FIRST_SPACE.split(words, maxsplit=1)[1:]) or words}"


def _below_cut(lines: Sequence[str]) -> str:
    return f"{_CUT}\n\n{_flush_left(chr(10).join(lines))}"


def begun_anew(before: str, text: str) -> str:
    """Return Markdown that goes on after other Markdown as it reads alone: a fence that is open is opened again."""
    fence = ""
    for line in before.split("\n"):
        fence = fence_after(line, fence)
    text = _FIRST_EMPTY_LINES.sub("", text)
    return f"{fence}\n{text}" if fence else text


def _at_paragraph(piece: str) -> tuple[str, str]:
    """Split a full piece at its last empty line, if that leaves it at least half full."""
    head, _, rest = piece.rpartition("\n\n")
    if len(head) < len(piece) // 2 or any(_FENCE.match(line) for line in rest.split("\n")):
        return piece, ""
    return head, rest


def _short_lines(text: str, limit: int) -> Iterator[str]:
    for line in text.split("\n"):
        while len(line) > limit:
            space = line.rfind(" ", limit // 2, limit)
            end = space if space > 0 else limit
            yield line[:end]
            line = line[end:].lstrip(" ")
        yield line


def fence_after(line: str, fence: str) -> str:
    """Return how the fence that is open after `line` was opened; empty where none is."""
    match = _FENCE.match(line)
    if match is None:
        return fence
    if not fence:
        return "" if "`" in match["rest"] and match["ticks"].startswith("`") else match["ticks"] + match["word"]
    closes = match["ticks"].startswith(_ticks(fence)) and not match["word"] and not match["rest"].strip()
    return "" if closes else fence


def _ticks(fence: str) -> str:
    return fence.rstrip(fence.lstrip("`~"))


def _chapters(text: str, size: int) -> Iterator[str]:
    """Cut a text where surely no list, table, quote or code goes on, into chapters of at least so many characters."""
    start = end = 0
    fence, above, is_after_empty = "", "", False
    for line in text.split("\n"):
        is_below_heading = above.startswith("#")
        if end - start >= size and is_after_empty and not (fence or is_below_heading) and BEGINNING.match(line):
            yield text[start:end]
            start = end
        fence, above, is_after_empty = fence_after(line, fence), line.strip() or above, not line.strip()
        end += len(line) + 1
    yield text[start:]


def headed(title: str, pieces_below: Iterable[str], between: str = "\n\n") -> list[str]:
    """Put a title, in safe Markdown, above the first of some pieces, so that no cut parts them; – stands for none."""
    first, *rest = [*pieces_below] or ["–"]
    return [f"**{title}**{between}{first}", *rest]


def _below_headings(parts: Iterable[tuple[bool, str]], limit: int) -> Iterator[str]:
    """Make one part of each heading and the part below it, where they fit; each part says if it is a heading."""
    heading = ""
    for is_heading, part in parts:
        if not part.strip():
            continue
        if heading and len(heading) + 2 + len(part) > limit:
            yield heading
        elif heading:
            part = f"{heading}\n\n{part}"
        heading = part if is_heading else ""
        if not is_heading:
            yield part
    if heading:
        yield heading


def packed(parts: Iterable[str], limit: int, between: str = "\n\n") -> list[str]:
    """Join parts, each of at most `limit` characters, to as few texts of at most `limit` as their order lets."""
    texts: list[str] = []
    for part in parts:
        if texts and len(texts[-1]) + len(between) + len(part) <= limit:
            texts[-1] += between + part
        else:
            texts.append(part)
    return texts
