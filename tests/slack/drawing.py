"""Messages and windows as text to read: what Slack shows of their blocks, as they are sent."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bot.slack.messages.message import Message, TextFile
from tests.slack.reading import Json, wire


def drawn_message(message: Message) -> str:
    """Return a message: its notification, and what stands on it."""
    return "\n".join([f"=== message · notifies “{message.text}”", *_drawn(wire(message))])


def drawn_window(view: Json) -> str:
    """Return a window: its title, what stands in it, and the buttons below it."""
    buttons = "  ".join(f"[ {view[name]['text']} ]" for name in ("close", "submit") if name in view)
    return "\n".join([f"=== window “{view['title']['text']}”", *_drawn(view["blocks"]), "", buttons])


def drawn_file(file: TextFile) -> str:
    """Return a file that follows below a text."""
    return f"=== file {file.name('id')} · “{file.title}”\n\n{file.text}"


def _drawn(blocks: list[Json]) -> Iterator[str]:
    for block in blocks:
        yield ""
        yield from _block(block)


def _block(block: Json) -> Iterator[str]:
    match block["type"]:
        case "section" | "header":
            yield block["text"]["text"]
        case "markdown":
            yield block["text"]
        case "context":
            yield from (f"({element['text']})" for element in block["elements"])
        case "divider":
            yield "─" * 20
        case "rich_text":
            for element in block["elements"]:
                yield from _rich(element)
        case "input":
            yield from _field(block)
        case "actions":
            yield from map(_button, block["elements"])
        case other:
            raise NotImplementedError(f"nobody has said how to draw a block {other}")


def _field(block: Json) -> Iterator[str]:
    element = block["element"]
    yield f"{block['label']['text']}{' (optional)' if block.get('optional') else ''}"
    match element["type"]:
        case "plain_text_input":
            lines = element.get("initial_value", "").split("\n")
            yield from (f"  ┃ {line}".rstrip() for line in lines)
        case "file_input":
            yield f"  📎 up to {element['max_files']}"
        case "static_select" | "radio_buttons":
            chosen = element.get("initial_option", {}).get("value")
            sign = "▾" if element["type"] == "static_select" else "○"
            groups = element.get("option_groups") or [element]
            for group in groups:
                if "label" in group:
                    yield f"  {group['label']['text']}"
                for option in group["options"]:
                    more = f" · {option['description']['text']}" if "description" in option else ""
                    mark = "●" if option["value"] == chosen else sign
                    yield f"  {mark} {option['text']['text']}{more}"
        case other:
            raise NotImplementedError(f"nobody has said how to draw a field {other}")
    if "hint" in block:
        yield f"  ({block['hint']['text']})"


def _button(button: Json) -> str:
    style = f" {button['style']}" if "style" in button else ""
    return f"[ {button['text']['text']} ]{style}"


def _rich(element: Json) -> Iterator[str]:
    inner = element["elements"]
    match element["type"]:
        case "rich_text_list":
            for number, item in enumerate(inner, 1 + element.get("offset", 0)):
                sign = f"{number}." if element["style"] == "ordered" else "•"
                yield f"{'  ' * element.get('indent', 0)}{sign} {_spans(item['elements'])}"
        case "rich_text_quote":
            yield from (f"│ {line}".rstrip() for line in _spans(inner).split("\n"))
        case "rich_text_preformatted":
            yield from (f"▒ {line}".rstrip() for line in _spans(inner).split("\n"))
        case _:
            yield _spans(inner)


_MARKS = {"bold": "*", "italic": "_", "strike": "~", "code": "`"}


def _spans(spans: list[dict[str, Any]]) -> str:
    found = ""
    for span in spans:
        marks = "".join(mark for style, mark in _MARKS.items() if span.get("style", {}).get(style))
        text = span.get("text", "")
        text = f"[{text}]({span['url']})" if span["type"] == "link" else text
        found += f"{marks}{text}{marks[::-1]}"
    return found.rstrip("\n")
