"""Untrusted Markdown read into a tree, for the two writers: of messages (`markdown`) and of windows (`rich_text`).

CommonMark with the tables, struck text, task lists and bare web addresses that models write. Raw HTML is text but for
its line breaks. What the parser would swallow is kept: cells beyond a table's columns, definitions of references, and
the text of a link to nowhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from markdown_it import MarkdownIt
from markdown_it.common.utils import unescapeAll
from markdown_it.rules_block import StateBlock
from markdown_it.rules_block.table import escapedSplit, table
from markdown_it.rules_core import StateCore
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token
from markdown_it.tree import SyntaxTreeNode

_MANY_BRACKETS = 300
"""More of them in one paragraph cost the parser quadratic time; it is shown without formatting."""
_DEEPEST = 40
"""Markup nested deeper than this says nothing to a reader, and following it down could exhaust Python's stack."""
MAX_COLUMNS = 20
"""Of a table; Slack shows no wider one (slack-platform §2.1)."""

STYLES = frozenset({"strong", "em", "s"})
_TASK = re.compile(r"\A\[([ xX])\](?= )")
_HOST = re.compile(r"[\w.-]+|\[[0-9a-fA-F:.]+\]")
_BREAKS = re.compile(r"(?:<br *(?:/ *)?>[ \t\n]*)+", re.IGNORECASE)
_SCHEME = re.compile(r"https?\Z", re.IGNORECASE)
# It ends where no address goes on, as at quotation marks and the punctuation of Chinese and Japanese, which writes no
# spaces; and at the place of a form's field, which `bot.slack.text.markdown` marks.
_ADDRESS = re.compile(
    r"(?:https?://|www\.(?=[^\s.]+\.\w))"
    r"(?:(?!&(?!amp;)#?\w+;)[^\s<>\"`“”„‘’«»\u3000-\u303f\uff01-\uff60\ufdd0-\ufdd2])+",
    re.IGNORECASE,
)
_AFTER_ADDRESS = frozenset("?!.,:;*_~'|[]\\")


def parsed(text: str) -> SyntaxTreeNode | None:
    """Return the tree of a Markdown text; None for one that is nested too deep to be followed."""
    return _tree(_PARSER.parse(text))


def parsed_inline(text: str) -> SyntaxTreeNode | None:
    """Return the tree of a part of a paragraph; None as for `parsed`."""
    return _tree(_PARSER.parseInline(text))


def _tree(tokens: list[Token]) -> SyntaxTreeNode | None:
    depths = (block.level + max((span.level for span in block.children or ()), default=0) for block in tokens)
    return SyntaxTreeNode(tokens) if max(depths, default=0) <= _DEEPEST else None


def rows(node: SyntaxTreeNode) -> list[list[SyntaxTreeNode]]:
    """Return the cells of a table by rows, the head's first."""
    return [row.children for part in node.children for row in part.children]


def numbered(node: SyntaxTreeNode) -> Iterator[tuple[int | None, SyntaxTreeNode]]:
    """Return the items of a list with their numbers; None for bullets."""
    first = int(node.attrs.get("start", 1)) if node.type == "ordered_list" else None
    for index, item in enumerate(node.children):
        yield None if first is None else first + index, item


def merged(spans: list[SyntaxTreeNode]) -> list[tuple[str, list[SyntaxTreeNode]]]:
    """Return the spans by type, with the children of adjacent ones of the same style together.

    `**a**__b__` is one bold text: its marks side by side would be read otherwise.
    """
    found: list[tuple[str, list[SyntaxTreeNode]]] = []
    for span in spans:
        if span.type == "text" and not span.content:
            continue
        if span.type in STYLES and found and found[-1][0] == span.type:
            found[-1][1].extend(span.children)
        elif span.type in STYLES:
            found.append((span.type, list(span.children)))
        else:
            found.append((span.type, [span]))
    return found


def shown_host(address: str) -> str | None:
    """Return the host a web address leads to, or the recipient of a mail address; None where it must not be a link."""
    try:
        parts = urlsplit(address)
        _ = parts.port  # which may be none
    except ValueError:
        return None
    if parts.scheme == "mailto":
        return parts.path or None
    # A name and password before the host (`https://bank.example@evil.example`) only serve to mislead.
    if parts.scheme not in ("http", "https") or "@" in parts.netloc or not _HOST.fullmatch(parts.hostname or ""):
        return None
    return parts.hostname


def tells_host(text: str, address: str) -> bool:
    """Tell whether the text of a link that may be one says where it leads."""
    if text.split() != [text]:
        return False  # `urlsplit` drops tabs and line ends, but a reader takes the host to end there
    named = f"http://{text}" if text.lower().startswith("www.") else text
    return text in (address, address.removeprefix("mailto:")) or shown_host(named) == shown_host(address)


# --- what the parser does otherwise --------------------------------------------------------------------------------


def _table_with_all_cells(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """Read a table, with the cells beyond its columns in the last one: the parser alone would drop them."""
    known = len(state.tokens)
    if not table(state, start, end, silent):
        return False
    last: Token | None = None
    columns = 0
    for token in state.tokens[known:]:
        columns += token.type == "th_open"
        if token.type == "inline":
            last = token
        elif token.type == "tr_close" and last is not None and last.map:
            line = last.map[0]
            begin, stop = state.bMarks[line] + state.tShift[line], state.eMarks[line]
            cells = escapedSplit(state.src[begin:stop].strip())
            cells = cells[not cells[0] : len(cells) - (len(cells) > 1 and not cells[-1])]
            if extra := cells[columns:]:
                last.content = " | ".join(cell.strip() for cell in (last.content, *extra))
    return True


def _inline(state: StateCore) -> None:
    """Read the spans of every paragraph, with a box for a task's `[ ]` at the beginning of a list's item."""
    for index, token in enumerate(state.tokens):
        if token.type != "inline":
            continue
        if index > 1 and state.tokens[index - 2].type == "list_item_open":
            token.content = _TASK.sub(lambda task: "☐" if task[1] == " " else "☑", token.content)
        token.children = []
        if token.content.count("[") > _MANY_BRACKETS:
            token.children.append(Token("text", "", 0, content=token.content))
        else:
            state.md.inline.parse(token.content, state.md, state.env, token.children)


def _html_break(state: StateInline, silent: bool) -> bool:
    """Read `<br>`, the only line break that Markdown knows in a table's cell, as one; several are one, too.

    As Markdown's own, it is none at the beginning or the end, and takes the space around it.
    """
    found = _BREAKS.match(state.src, state.pos, state.posMax)
    if found is None:
        return False
    if not silent:
        state.pending = state.pending.rstrip(" \t")
        last = state.tokens[-1] if state.tokens and not state.pending else None
        if last is not None and last.type in ("softbreak", "hardbreak"):
            last.type = "hardbreak"
        elif found.end() < state.posMax and (last is not None or state.pending):
            state.push("hardbreak", "br", 0)
    state.pos = found.end()
    return True


def _bare_address(state: StateInline, silent: bool) -> bool:
    """Read a bare web address as GitHub does, as a link (https://github.github.com/gfm/#autolinks-extension-).

    No sign in it is markup, nor is one in the label of a link. What is escaped in it is read as everywhere.
    """
    if silent:
        return False
    scheme = _SCHEME.search(state.pending[-5:]) if state.src[state.pos] == ":" else None
    begun = scheme[0] if scheme else ""
    start = state.pos - len(begun)
    before = state.src[start - 1 : start]
    if before.isascii() and before.isalnum():  # asked first: to match an address is to read it to its end
        return False
    found = _ADDRESS.match(state.src, start, state.posMax)
    if found is None:
        return False
    text = _without_punctuation(found[0])
    if not _ADDRESS.fullmatch(text):
        return False
    state.pending = state.pending[: len(state.pending) - len(begun)]
    shown = unescapeAll(text)
    if state.linkLevel:
        state.push("text", "", 0).content = shown
    else:
        target = shown if begun else f"http://{shown}"
        opening = state.push("link_open", "a", 1)
        opening.attrs, opening.info = {"href": state.md.normalizeLink(target)}, "auto"
        state.push("text", "", 0).content = shown
        state.push("link_close", "a", -1).info = "auto"
    state.pos = start + len(text)
    return True


def _without_punctuation(address: str) -> str:
    """Leave out what ends the sentence or the brackets that an address stands in."""
    end, unbalanced = len(address), address.count(")") - address.count("(")
    while end and (address[end - 1] in _AFTER_ADDRESS or (address[end - 1] == ")" and unbalanced > 0)):
        end -= 1
        unbalanced -= address[end] == ")"
    return address[:end]


class _Parser(MarkdownIt):
    def normalizeLinkText(self, link: str) -> str:
        """Show an address as it is written."""
        return link


def _parser() -> MarkdownIt:
    parser = _Parser("commonmark", {"html": False, "maxNesting": 100})
    parser.enable(["table", "strikethrough"])
    parser.disable("reference")  # it would swallow lines like “[INFO]: started”
    parser.disable("text_join")  # so that what was escaped can be told from what was not
    parser.block.ruler.at("table", _table_with_all_cells, {"alt": ["paragraph", "reference"]})
    parser.core.ruler.at("inline", _inline)
    parser.inline.ruler.before("autolink", "html_break", _html_break)
    parser.inline.add_terminator_char("w")  # that www. begins with
    parser.inline.ruler.push("bare_address", _bare_address)
    return parser


_PARSER = _parser()
