"""Untrusted Markdown made safe for Slack's `markdown` block, and long texts cut into pieces.

A `markdown` block still obeys `<…>` control sequences (slack-platform §6.1), so a text of a model could ping a channel
or disguise a link. The text is therefore parsed and written anew: every character of it is escaped, links keep only
harmless schemes and show their host, images become links, raw HTML becomes text. Nothing that was not understood here
gets through as markup.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from textwrap import indent
from urllib.parse import urlsplit

from markdown_it import MarkdownIt
from markdown_it.tree import SyntaxTreeNode

from bot.slack.mrkdwn import clean

_PARSER = MarkdownIt("commonmark", {"html": False, "maxNesting": 100})
_PARSER.enable(["table", "strikethrough"])
_PARSER.disable("reference")  # it would swallow lines like “[INFO]: started”
_MANY_BRACKETS = 300
"""More of them in one piece cost the parser quadratic time; such a text is shown without formatting."""
_DEEPEST = 40
"""Markup nested deeper than this says nothing to a reader, and following it down could exhaust Python's stack."""

_BARE = frozenset({"root", "paragraph", "inline", "text", "strong", "em", "softbreak", "hardbreak"})

# Noncharacters, which `clean` takes out of every text, mark a place for a form's field and the links written here.
_PLACE_OPEN, _PLACE_CLOSE, _OWN = "\ufdd0", "\ufdd1", "\ufdd2"
_PLACE = re.compile(f"{_PLACE_OPEN}(\\d+){_PLACE_CLOSE}")
_PLACES = re.compile(f"({_PLACE_OPEN}\\d+{_PLACE_CLOSE})")

_WORDS = re.compile(r"\S(?:.*\S)?", re.DOTALL)
_LOOKS_LIKE_ENTITY = re.compile(r"&(?=#?\w+;)")
_LINK_OF_TEXT = re.compile(r"(?<=\])(?=[(\[:])|(?<=!)(?=\[)")
# In code nothing is a link; but should Slack see no code where we see some, it still must not become one.
_LINK_OF_CODE = re.compile(r"(?<=\])(?=(?:\(\s*|:\s*)<?(?:[A-Za-z][\w+.-]*:|//))")
_HOST = re.compile(r"[\w.-]+|\[[0-9a-fA-F:.]+\]")
_TICKS_MAX = 10
_TOO_MANY_TICKS = re.compile(f"`{{{_TICKS_MAX},}}")
_FENCE = re.compile(r" {0,3}(?P<ticks>`{3,12}|~{3,12})(?![`~])(?P<word>[\w+#.-]{0,20})(?P<rest>[^\n]*)")
_FENCES_MAX = 50
"""Characters that opening a fence again and closing it can take in a piece."""
_EMPTY_LINES = re.compile(r"(?:\n|^)(?:[\s>]*(?:[-*]|\d+\.)?[ \t]*(?:\n|$))+$")


def place(number: int) -> str:
    """Return the mark that keeps a place through `safe`, for `split_at_places`."""
    return f"{_PLACE_OPEN}{number}{_PLACE_CLOSE}"


def split_at_places(markdown: str) -> list[str | int]:
    """Return the texts between the places, without empty ones, and the places' numbers, in order."""
    parts: list[str | int] = []
    for part in _PLACES.split(markdown):
        number = _PLACE.fullmatch(part)
        if number:
            parts.append(int(number[1]))
        elif text := _EMPTY_LINES.sub("", part).strip():
            parts.append(text)
    return parts


def safe(text: str) -> str:
    """Return untrusted Markdown as Markdown for a `markdown` block. Marks of `place` in it stay where they are."""
    tree = _parsed(text)
    if tree is None:
        return _finished(_escaped(text))
    return _finished("\n\n".join(_block(node) for node in tree.children))


def safe_pieces(text: str, limit: int) -> list[str]:
    """Return untrusted Markdown, made safe, in pieces of at most `limit` characters."""
    return _safe_pieces(clean(text), limit, limit)


def _safe_pieces(text: str, limit: int, size: int) -> list[str]:
    """Cut first and write then: a cut through what is written could part a link from its host."""
    found: list[str] = []
    for piece in pieces(text, size):
        written = safe(piece)
        found += [written] if len(written) <= limit else _safe_pieces(piece, limit, size // 2)
    return [written for written in found if written.strip()]


def safe_tail(text: str, limit: int) -> str:
    """Return the end of a text that is still being written, made safe: at most `limit` characters of whole lines."""
    text, size = clean(text), limit
    while len(written := safe(_tail(text, size))) > limit:
        size //= 2
    return written


def plain(text: str) -> str:
    """Return what a reader sees of Markdown, on one line and without its markup."""
    tree = _parsed(text)
    if tree is None:
        return " ".join(text.split())
    seen = (
        " " if node.type in ("paragraph", "softbreak", "hardbreak") else node.content
        for node in tree.walk()
        if _is_seen(node)
    )
    return " ".join("".join(seen).replace("|", " ").split())


def _is_seen(node: SyntaxTreeNode) -> bool:
    return node.type in ("text", "code_inline", "fence", "code_block", "paragraph", "softbreak", "hardbreak")


def words(text: str) -> str:
    """Return untrusted words on one line, for use within Markdown of our own."""
    return _finished(_escaped(" ".join(clean(text).split())))


def is_bare(text: str) -> bool:
    """Say whether Markdown is plain words: no heading, list, quote or link."""
    tree = _parsed(text)
    return tree is not None and {node.type for node in tree.walk()} <= _BARE


def code(text: str, language: str = "") -> str:
    """Return text as a block of code."""
    return _finished(_code(clean(text), language))


def _parsed(text: str) -> SyntaxTreeNode | None:
    """Return the tree of a Markdown text; None for one that would take too much time or too deep a stack."""
    if text.count("[") > _MANY_BRACKETS:
        return None
    tokens = _PARSER.parse(text)
    depths = (block.level + max((span.level for span in block.children or ()), default=0) for block in tokens)
    return SyntaxTreeNode(tokens) if max(depths, default=0) <= _DEEPEST else None


# --- writing -------------------------------------------------------------------------------------------------------


def _escaped(text: str) -> str:
    """Escape for a `markdown` block; a bare & stays, since it may stand in an address (slack-platform §6.1)."""
    return _LOOKS_LIKE_ENTITY.sub("&amp;", text).replace("<", "&lt;").replace(">", "&gt;")


def _code_text(text: str) -> str:
    """Escape what is shown as code, and keep `_finished` from looking for links in it."""
    apart = _LINK_OF_CODE.sub(" ", _TOO_MANY_TICKS.sub("`" * _TICKS_MAX, text))
    return re.sub(r"[\]!]", lambda sign: sign[0] + _OWN, _escaped(apart))


def _finished(written: str) -> str:
    """Take apart what only looks like a link or an image, and take out the marks of our own ones."""
    return _LINK_OF_TEXT.sub(" ", written).replace(_OWN, "")


def _block(node: SyntaxTreeNode) -> str:
    match node.type:
        case "heading":
            return f"{'#' * int(node.tag[1])} {_inline(node)}".replace("\n", " ")
        case "bullet_list" | "ordered_list":
            return _list(node)
        case "blockquote":
            return "\n".join(f"> {line}".rstrip() for line in _stacked(node, "\n\n").split("\n"))
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


def _list(node: SyntaxTreeNode) -> str:
    first = int(node.attrs.get("start", 1))
    tight = all(child.hidden for item in node.children for child in item.children if child.type == "paragraph")
    between = "\n" if tight else "\n\n"
    items = []
    for number, item in enumerate(node.children, first):
        bullet = f"{number}. " if node.type == "ordered_list" else "- "
        items.append(bullet + indent(_stacked(item, between), " " * len(bullet)).lstrip(" "))
    return between.join(items)


def _table(node: SyntaxTreeNode) -> str:
    """Write a table; fields whose places are in its cells come after it."""
    rows = [
        [_inline(cell).replace("|", "\\|") for cell in row.children] for part in node.children for row in part.children
    ]
    lines = [f"| {' | '.join(row)} |" for row in rows]
    lines.insert(1, "|" + " --- |" * len(rows[0]))
    table = "\n".join(lines)
    return "\n".join([_PLACES.sub("", table), *_PLACES.findall(table)])


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
    return "".join(_span(child) for child in node.children)


def _span(node: SyntaxTreeNode) -> str:
    match node.type:
        case "softbreak" | "hardbreak":
            return "\n"
        case "strong":
            return _around(_inline(node), "**")
        case "em":
            return _around(_inline(node), "_")
        case "s":
            return _around(_inline(node), "~~")
        case "code_inline":
            inner = _code_text(node.content)
            marks = "`" * (_longest_ticks(inner) + 1)
            padding = " " if inner.startswith("`") or inner.endswith("`") else ""
            return _around(inner, marks + padding, padding + marks)
        case "link":
            return _link(_inline(node), str(node.attrs.get("href", "")), automatic=node.info == "auto")
        case "image":
            return _link(_escaped(node.content) or "image", str(node.attrs.get("src", "")))
        case "inline":
            return _inline(node)
        case _:
            return _escaped(node.content)


def _around(inner: str, opening: str, closing: str | None = None) -> str:
    """Put marks around a text, but not around the places and the space in it."""
    return "".join(
        part if _PLACE.fullmatch(part) else _WORDS.sub(lambda found: opening + found[0] + (closing or opening), part)
        for part in _PLACES.split(inner)
    )


def _link(label: str, address: str, *, automatic: bool = False) -> str:
    """Write a link that shows where it leads; an address of another kind becomes text."""
    places, address = "".join(_PLACES.findall(label)), clean(address)
    label = " ".join(_PLACES.sub("", label).replace("[", "(").replace("]", ")").split())
    host = _shown_host(address)
    if host is None:
        return f"[{label}]({_escaped(address)}){places}"  # no link once `_finished` took it apart
    target = address.replace("(", "%28").replace(")", "%29").replace("<", "%3C").replace(">", "%3E")
    if automatic or label in ("", address):
        return f"[{_escaped(address)}]{_OWN}({target}){places}"
    return f"[{label}]{_OWN}({target}) ({host}){places}"


def _shown_host(address: str) -> str | None:
    """Return the host a web address leads to, or the recipient of a mail address; None where it must not be a link."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return None
    if parts.scheme == "mailto":
        return _escaped(parts.path) if parts.path else None
    # A name and password before the host (`https://bank.example@evil.example`) only serve to mislead.
    if parts.scheme not in ("http", "https") or "@" in parts.netloc or not _HOST.fullmatch(parts.hostname or ""):
        return None
    return _escaped(parts.hostname or "")


# --- cutting -------------------------------------------------------------------------------------------------------


def pieces(text: str, limit: int) -> list[str]:
    """Cut Markdown into pieces of at most `limit` characters: at paragraphs, else lines, else words.

    A fence that a cut goes through is closed, and opened again in the next piece.
    """
    found: list[str] = []
    piece, fence = "", ""
    for line in _short_lines(text, limit - _FENCES_MAX):
        closing = f"\n{_ticks(fence)}" if fence else ""
        if piece and len(piece) + len(line) + 1 + len(closing) > limit:
            head, rest = _at_paragraph(piece) if not fence else (piece, "")
            found.append(head + closing)
            piece = f"{fence}\n{line}" if fence else "\n".join(part for part in (rest, line) if part)
        else:
            piece = f"{piece}\n{line}" if piece else line
        fence = _fence_after(line, fence)
    return [piece.strip("\n") for piece in (*found, piece) if piece.strip()]


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


def _fence_after(line: str, fence: str) -> str:
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


def _tail(text: str, limit: int) -> str:
    """Return whole lines from the end of a text, with an open fence opened again."""
    lines = text.split("\n")
    size, start = 0, len(lines)
    while start and size + len(lines[start - 1]) + 1 <= limit - _FENCES_MAX:
        start -= 1
        size += len(lines[start]) + 1
    if start == len(lines):
        return lines[-1][-limit:]
    fence = ""
    for line in lines[:start]:
        fence = _fence_after(line, fence)
    return "\n".join([fence, *lines[start:]] if fence else lines[start:])


def headed(title: str, pieces_below: Iterable[str], between: str = "\n\n") -> list[str]:
    """Put a title, in safe Markdown, above the first of some pieces, so that no cut parts them; – stands for none."""
    first, *rest = [*pieces_below] or ["–"]
    return [f"**{title}**{between}{first}", *rest]


def packed(parts: Iterable[str], limit: int, between: str = "\n\n") -> list[str]:
    """Join parts, each of at most `limit` characters, to as few texts of at most `limit` as their order lets."""
    texts: list[str] = []
    for part in parts:
        if texts and len(texts[-1]) + len(between) + len(part) <= limit:
            texts[-1] += between + part
        else:
            texts.append(part)
    return texts
