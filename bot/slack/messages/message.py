"""What is put into Slack: a message as a value, and the few kinds of block it is made of."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from slack_sdk.models.blocks import (
    Block,
    ContextBlock,
    ImageBlock,
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
from slack_sdk.models.blocks.basic_components import SlackFile

from bot.slack import ids
from bot.slack.text.markdown import packed
from bot.slack.text.mrkdwn import clean, seen, shorten

MAX_BLOCKS = 50  # slack-platform §2.1
MAX_SECTION = 3_000
PART = 9_000
"""Characters of Markdown in one of several messages; Slack takes 12,000 of them (slack-platform §2.1)."""
BELOW_TITLE = PART - 500
"""Characters of a piece that is to stand below a title in the same message."""
MESSAGES = 15
"""Messages that a text takes in a thread; of a longer one the whole follows as a file."""
_MAX_PARTS = 100
"""Messages where there can be no file: for forms, and where Slack takes none."""
_MAX_STEM = 60
MAX_TEXT = 3_900  # slack-platform §2.7: chat.update refuses a text above 4,000


GOES_ON = "⬇️ The text goes on below."
IN_FILE = "📄 The text goes on in the file below, which holds the whole of it."
CUT = "… {size:,} more characters are left out here. The whole text is in Dify's log of this run."


@dataclass(frozen=True, slots=True)
class Message:
    """A message: `text` is its summary for notifications and screen readers, already escaped."""

    text: str
    blocks: tuple[Block, ...]

    def ending(self, block: Block) -> Message:
        """Return the message with one more block at its end."""
        return Message(self.text, (*self.blocks, block))

    def beginning(self, block: Block) -> Message:
        """Return the message with one more block at its beginning."""
        return Message(self.text, (block, *self.blocks))

    @property
    def has_images(self) -> bool:
        """Whether Slack has to know the images in it."""
        return any(isinstance(block, ImageBlock) for block in self.blocks)

    @property
    def markdown(self) -> str:
        """The safe Markdown it begins with; empty where it begins otherwise."""
        first = self.blocks[0] if self.blocks else None
        return str(first.text) if isinstance(first, MarkdownBlock) else ""

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


def image(file_id: str, name: str) -> ImageBlock:
    """Return an image that Slack has; to who cannot see it, its name says what it is."""
    return ImageBlock(slack_file=SlackFile(id=file_id), alt_text=seen(name) or "–")


def markdown(text: str) -> MarkdownBlock:
    """Return Markdown that `bot.slack.text.markdown` made safe."""
    return MarkdownBlock(text=text)


def markdown_messages(summary: str, parts: Sequence[str]) -> tuple[Message, ...]:
    """Return safe Markdown, in parts of at most `PART` characters, as few messages."""
    return text_messages(summary, packed(parts, PART))


def text_messages(summary: str, texts: Sequence[str]) -> tuple[Message, ...]:
    """Return texts of safe Markdown, of at most `PART` characters each, as a message each."""
    if len(texts) > _MAX_PARTS:
        missing = sum(len(text) for text in texts[_MAX_PARTS:])
        texts = [*texts[:_MAX_PARTS], CUT.format(size=missing)]
    return tuple(Message(summary, (markdown(text),)) for text in texts)


def going_on(messages: Sequence[Message]) -> tuple[Message, ...]:
    """Return messages of one text, each but the last with a line that says that it goes on."""
    return (*(message.ending(context(GOES_ON, ids.GOES_ON)) for message in messages[:-1]), *messages[-1:])


def shortened(messages: Sequence[Message]) -> tuple[Message, ...]:
    """Return the first `MESSAGES` of more that go on; the last one says that a file holds the whole text."""
    *first, last = messages[:MESSAGES]
    shown = Message(last.text, tuple(block for block in last.blocks if block.block_id != ids.GOES_ON))
    return (*first, shown.ending(context(IN_FILE, ids.IN_FILE)))


@dataclass(frozen=True, slots=True)
class TextFile:
    """A text as a file. Slack shows name and title as plain text; nothing in them can be taken for markup anyway."""

    stem: str
    """What its name begins with, as `file_stem` makes it."""
    extension: Literal["md", "json"]
    title: str
    text: str

    def name(self, post_id: str) -> str:
        """Return its name; a file has no metadata, so that it is found again by the post id in it."""
        return f"{self.stem}-{post_id}.{self.extension}"


def file_stem(name: str) -> str:
    """Return an untrusted name as the beginning of a file's: letters, digits and single hyphens."""
    return re.sub(r"[\W_]+", "-", clean(name)).strip("-")[:_MAX_STEM].rstrip("-") or "text"


def label(text: str, limit: int, otherwise: str = "–") -> PlainTextObject:
    """Return untrusted text as a label; `otherwise` where nothing of it can be seen."""
    return PlainTextObject(text=shorten(seen(text), limit) or otherwise, emoji=False)


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
