"""What is put into Slack: a message as a value, and the few kinds of block it is made of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from slack_sdk.models.blocks import (
    Block,
    ContextBlock,
    MarkdownBlock,
    MarkdownTextObject,
    PlainTextObject,
    RichTextBlock,
    RichTextElement,
    RichTextElementParts,
    RichTextPreformattedElement,
    RichTextQuoteElement,
    RichTextSectionElement,
    SectionBlock,
)

from bot.slack.markdown import packed
from bot.slack.mrkdwn import clean, shorten

MAX_BLOCKS = 50  # slack-platform §2.1
MAX_SECTION = 3_000
PART = 9_000
"""Characters of Markdown in one of several messages; Slack takes 12,000 of them (slack-platform §2.1)."""
BELOW_TITLE = PART - 500
"""Characters of a piece that is to stand below a title in the same message."""
_MAX_PARTS = 25  # some 200 KB, the longest form content in the recordings (32)
MAX_TEXT = 3_900  # slack-platform §2.7: chat.update refuses a text above 4,000


CUT = "… {size:,} more characters are left out here. The whole text is in Dify's log of this run."


@dataclass(frozen=True, slots=True)
class Message:
    """A message: `text` is its summary for notifications and screen readers, already escaped."""

    text: str
    blocks: tuple[Block, ...]

    @property
    def plain(self) -> str:
        """The message without blocks, for when Slack refuses them."""
        words = "\n".join(words for block in self.blocks for words in _formatted_texts(block.to_dict()))
        return f"{self.text}\n{words}"[:MAX_TEXT]


def _formatted_texts(value: Any) -> Iterator[str]:
    """Find the texts that are escaped already."""
    if isinstance(value, dict):
        if value.get("type") in ("mrkdwn", "markdown"):
            yield value["text"]
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _formatted_texts(item)


def section(text: str) -> SectionBlock:
    """Return a paragraph of mrkdwn. `verbatim`: names and addresses in it are not turned into links or mentions."""
    return SectionBlock(text=MarkdownTextObject(text=text[:MAX_SECTION], verbatim=True))


def context(text: str, block_id: str | None = None) -> ContextBlock:
    """Return a line of mrkdwn in small print."""
    return ContextBlock(elements=[MarkdownTextObject(text=text[:MAX_SECTION], verbatim=True)], block_id=block_id)


def markdown(text: str) -> MarkdownBlock:
    """Return Markdown that `bot.slack.markdown` made safe."""
    return MarkdownBlock(text=text)


def markdown_messages(summary: str, parts: Sequence[str]) -> tuple[Message, ...]:
    """Return safe Markdown, in parts of at most `PART` characters, as messages."""
    texts = packed(parts, PART)
    if len(texts) > _MAX_PARTS:
        missing = sum(len(text) for text in texts[_MAX_PARTS:])
        texts = [*texts[:_MAX_PARTS], CUT.format(size=missing)]
    return tuple(Message(summary, (markdown(text),)) for text in texts)


def label(text: str, limit: int, otherwise: str = "–") -> PlainTextObject:
    """Return untrusted text as a label; `otherwise` where nothing of it can be seen."""
    return PlainTextObject(text=shorten(" ".join(clean(text).split()), limit) or otherwise, emoji=False)


def quote(title: str, value: str, note: str = "") -> RichTextBlock:
    """Return a value between its title and a note on it.

    Rich text shows untrusted text as it is (slack-platform §6.1).
    """
    bold, italic = RichTextElementParts.TextStyle(bold=True), RichTextElementParts.TextStyle(italic=True)
    below = [RichTextSectionElement(elements=[RichTextElementParts.Text(text=note, style=italic)])] if note else []
    return _rich_text(
        RichTextSectionElement(elements=[RichTextElementParts.Text(text=title, style=bold)]),
        RichTextQuoteElement(elements=[RichTextElementParts.Text(text=value)]),
        *below,
    )


def verbatim(text: str) -> RichTextBlock:
    """Return untrusted text in a frame, as it is: errors, and commands to copy."""
    return _rich_text(RichTextPreformattedElement(elements=[RichTextElementParts.Text(text=text or "–")]))


def _rich_text(*elements: RichTextElement) -> RichTextBlock:
    return RichTextBlock(elements=list(elements))
