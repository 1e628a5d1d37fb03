"""How far a Markdown text that is still being written can be shown for good.

A native stream of Slack's only ever adds (slack-platform §3.1), so what comes later must not change how what was added
is to be read. This is a guess that is nearly always right: a text may still surprise, as by a line of dashes that makes
a heading of the paragraph above. Whoever appends compares, and draws a message anew where the guess was wrong.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise

from bot.slack.text.markdown import BEGINNING, fence_after

_WORD = r"[^\s*_`~\[\]!<>|\\&]+"
_PLAIN = r"[^*_`~\[\]<>|\\&]"
_TOKEN = re.compile(
    rf"(?P<space>\s+)|{_WORD}(?:_+{_WORD})*|!(?!\[)|"
    rf"(?:`[^`]+`|\*\*(?!\s){_PLAIN}+(?<!\s)\*\*|\*(?!\s){_PLAIN}+(?<!\s)\*|\[{_PLAIN}+\]\([^\s()<>\\]+\))(?![\w*`(])"
)
"""What surely reads the same whatever follows on its line: words, and spans of markup that are closed."""
_ITEM = re.compile(r"\s*(?:[-*+]|\d{1,9}[.)])\s+")
_FIRST_WORD = re.compile(r"[^\W_]|[\"'“„«(*`\[]")
_LONE_NUMBER = re.compile(r"\s*\d{1,9}[.)]?\s*$")
_BELOW_HEAD = re.compile(r"\s*\|?\s*:?-+:?\s*(?:\|\s*:?-+:?\s*)*\|?\s*$")
_CLOSED_CODE = re.compile(r"\n *`{3,}$")
_EMPTY_LINE = re.compile(r"\n[ \t]*\n[ \t\n]*$")


@dataclass(frozen=True, slots=True)
class Settled:
    """How much of a text may be shown for good."""

    end: int
    """Characters from its beginning."""
    in_code: bool = False
    """It ends within a block of code, which goes on."""


def settled(text: str) -> Settled:
    """Return how much of a text that is still being written may be shown for good.

    That is its complete lines, and of the last one what surely reads the same whatever comes: no markup that may still
    be closed. A line that may turn out to be the head of a table waits for the one below it.
    """
    complete = text.rfind("\n") + 1
    fence, begins, block = "", 0, list[str]()
    for line in text[:complete].split("\n")[:-1]:
        # Within a list, a fence stands further to the right.
        was_open, fence = fence, fence_after(line.lstrip(" "), fence)
        begins += len(line) + 1
        block = [*block, line] if fence or (line.strip() and not was_open) else []
    if fence:
        return Settled(complete, in_code=True)
    if any("|" in head and _BELOW_HEAD.match(line) for head, line in pairwise(block)):
        return Settled(complete)
    if block and "|" in block[-1]:
        return Settled(complete - len(block[-1]) - 1)
    return Settled(complete + _settled_words(text[complete:], is_item=bool(block and _ITEM.match(block[0]))))


def without_closing(markdown: str, *, in_code: bool) -> str:
    """Return safe Markdown that goes on: of code, the fence that would close it is left out."""
    return _CLOSED_CODE.sub("", markdown) if in_code else markdown


def may_break(text: str, at: int) -> bool:
    """Tell whether a message may begin there: no list, table, quote or code goes on, and what begins is prose."""
    before, after = text[:at], text[at:]
    rest = after.lstrip()
    if not BEGINNING.match(rest) or settled(before).in_code:
        return False
    gap = before[len(before.rstrip()) :] + after[: len(after) - len(rest)]
    if "\n" in gap:
        return _EMPTY_LINE.search(gap) is not None and gap.endswith("\n")
    paragraph = re.split(r"\n[ \t]*\n", before.rstrip())[-1]
    return all(BEGINNING.match(line) and not line.startswith("#") for line in paragraph.strip("\n").split("\n"))


def _settled_words(line: str, *, is_item: bool) -> int:
    """Return how much of an incomplete line may be shown: up to a space, before any markup that is not closed."""
    item = _ITEM.match(line)
    start = item.end() if item else len(line) - len(line.lstrip())
    indented = len(line) - len(line.lstrip())
    if (indented > 3 and not is_item) or _LONE_NUMBER.match(line) or not _FIRST_WORD.match(line[start:]):
        return 0
    end = 0
    while (token := _TOKEN.match(line, start)) is not None and token.end() < len(line):
        if token["space"]:
            end = token.start()
        start = token.end()
    return end
