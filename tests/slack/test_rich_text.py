"""Markdown of others as rich text, and what both writers promise of any Markdown."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bot.playground.slack.block_kit import message_problems, view_problems
from bot.slack.text import markdown
from bot.slack.text.mrkdwn import clean
from bot.slack.text.rich_text import MAX_CHARACTERS, rich_text_blocks
from tests.slack.hostile import harm
from tests.slack.reading import Json, lost, read_whole, seen
from tests.slack.strategies import any_markdown

patient = settings(max_examples=200, deadline=None)


def blocks_of(text: str, *, made_safe: bool = False) -> list[Json]:
    """Return the blocks as they are sent."""
    return [block.to_dict() for block in rich_text_blocks(text, made_safe=made_safe)]


def written(text: str) -> list[str]:
    """Return each element on a line: its kind, and its spans with their styles as letters and their addresses."""
    return [_element(element) for block in blocks_of(text) for element in block["elements"]]


def _element(element: Json) -> str:
    kind = element["type"].removeprefix("rich_text_")
    if kind != "list":
        return f"{kind}: {_spans(element)}"
    mark = "-" if element["style"] == "bullet" else f"{element.get('offset', 0) + 1}."
    return f"{'  ' * element['indent']}{mark} " + " / ".join(map(_spans, element["elements"]))


def _spans(line: Json) -> str:
    return "".join(
        "".join(sorted(style[0] for style in span.get("style", {})))
        + ("{" if span.get("style") else "")
        + (f"<{span['url']}|{span['text']}>" if span["type"] == "link" else span["text"])
        + ("}" if span.get("style") else "")
        for span in line["elements"]
    )


@pytest.mark.parametrize(
    ("text", "elements"),
    [
        ("", []),
        (" \n\n\t", []),
        ("a\nb\n\nc", ["section: a\nb\n\nc"]),
        ("# A *b*\n\nc", ["section: b{A }bi{b}\n\nc"]),
        ("**a** _b_ ~~c~~ `d` ***e***", ["section: b{a} i{b} s{c} c{d} bi{e}"]),
        ("a\n\n---\n\nb", ["section: a\n\n──────────\n\nb"]),
        ("- a\n  - b\n    1. c\n- d", ["- a", "  - b", "    1. c", "- d"]),
        ("- a\n- b", ["- a / b"]),
        ("3. a\n3. b\n   - c\n\n   more\n4. d", ["3. a / b", "  - c", "section: more", "5. d"]),
        ("1. a\n\n   ```\n   x\n   ```\n2. b", ["1. a", "preformatted: x", "2. b"]),
        ("- a\n\n  b", ["- a\nb"]),
        ("0. a\n1. b", ["- 0. a", "1. b"]),
        ("20261121. a", ["- 20261121. a"]),
        ("1. - a", ["1. –", "  - a"]),
        ("- - a", ["  - a"]),
        ("- [ ] a\n- [x] b", ["- ☐ a / ☑ b"]),
        ("> a\n>\n> - b\n>   1. c\n>\n> > d\n> e", ["quote: a\n• b\n    1. c\n> d\n> e"]),
        ("> ```\n> x\n> ```", ["quote: c{x}"]),
        ("```py\nx  = '<b>'\n\ny\n```", ["preformatted: x  = '<b>'\n\ny"]),
        ("<b>a</b> &amp; &lt;c&gt; \\*d\\*", ["section: <b>a</b> & <c> *d*"]),
        ("[a](https://a.example/x)", ["section: <https://a.example/x|a> (a.example)"]),
        ("[**a** b](https://a.example)", ["section: b{<https://a.example|a>}<https://a.example| b> (a.example)"]),
        ("<https://a.example/x>", ["section: <https://a.example/x|https://a.example/x>"]),
        ("a<br>b <br/>c<br>", ["section: a\nb\nc"]),
        ("| a | b |\n|---|---|\n| c<br>d | e |", ["preformatted: a   │ b\n────┼──\nc d │ e"]),
        ("See https://a.example/_b_c.", ["section: See <https://a.example/_b_c|https://a.example/_b_c>."]),
        ("www.a.example", ["section: <http://www.a.example|www.a.example>"]),
        ("![https://b.example](https://a.example)", ["section: <https://a.example|https://b.example> (a.example)"]),
        ("https://bank.example@evil.example", ["section: https://bank.example@evil.example"]),
        ("[mail](mailto:ann@a.example)", ["section: <mailto:ann@a.example|mail> (ann@a.example)"]),
        ("![a *b*](https://a.example)", ["section: <https://a.example|a >i{<https://a.example|b>} (a.example)"]),
        ("![](https://a.example/p.png)", ["section: <https://a.example/p.png|image> (a.example)"]),
        ("[![ci](https://i.example/c.svg)](https://a.example)", ["section: <https://a.example|ci> (a.example)"]),
        (
            "[https://good.example\n.evil.example](https://good.example.evil.example)",
            [
                "section: <https://good.example.evil.example|https://good.example\n.evil.example>"
                " (good.example.evil.example)"
            ],
        ),
        (
            "[https://good.example&#9;.evil.example](https://good.example.evil.example)",
            [
                "section: <https://good.example.evil.example|https://good.example\t.evil.example>"
                " (good.example.evil.example)"
            ],
        ),
        ("[a](ftp://a.example)", ["section: [a](ftp://a.example)"]),
        ("[a](https://bank.example@evil.example)", ["section: [a](https://bank.example@evil.example)"]),
        ("| a | 日本 |\n|---|---|\n| bcd | e |", ["preformatted: a   │ 日本\n────┼─────\nbcd │ e"]),
        ("| a |\n|---|\n| b | c |", ["preformatted: a\n─────\nb | c"]),
        (
            "| a | b |\n|---|---|\n| **x** | [y](https://y.example) |",
            ["- b{a: }b{x}\nb{b: }<https://y.example|y> (y.example)"],
        ),
    ],
)
def test_markdown_is_written_as_rich_text(text: str, elements: list[str]) -> None:
    """Lists keep their numbers and depth, links show where they lead, everything else is text."""
    assert written(text) == elements


def test_a_wide_table_is_written_row_by_row() -> None:
    """Each value after the name of its column; the names alone where there is no row."""
    head = f"| name | {'w' * 60} |\n|---|---|\n"
    assert written(f"{head}| a | *b* |\n| c | |") == [
        f"- b{{name: }}a\nb{{{'w' * 60}: }}i{{b}} / b{{name: }}c\nb{{{'w' * 60}: }}"
    ]
    assert written(head) == [f"- b{{name}}\nb{{{'w' * 60}}}"]


def test_lists_go_no_deeper_than_slack_shows_them() -> None:
    """Eight steps; the text of deeper ones stands there, too."""
    text = "\n".join(f"{'  ' * depth}- {depth}" for depth in range(12))
    assert [element["indent"] for block in blocks_of(text) for element in block["elements"]] == list(range(9))
    assert all(str(depth) in seen(blocks_of(text)) for depth in range(12))


def test_what_is_nested_too_deep_is_shown_as_it_was_written() -> None:
    """Without formatting, and whole."""
    text = "> " * 60 + "y"
    assert written(text) == [f"section: {text}"]


@pytest.mark.parametrize(
    "text",
    [
        "word " * 5_000,
        "x" * 20_000,
        "```\n" + "line\n" * 5_000 + "```",
        "> " + "q " * 9_000,
        f"7. {'i ' * 9_000}\n8. j",
    ],
    ids=["paragraph", "one word", "code", "quote", "item"],
)
def test_a_long_text_takes_several_blocks(text: str) -> None:
    """Nothing of it is lost; what goes on with an item has no second number."""
    blocks = blocks_of(text)
    assert len(blocks) > 3
    assert all(len(seen([block])) <= MAX_CHARACTERS for block in blocks)
    assert "".join(seen(blocks).split()) == "".join(read_whole(text).split())
    assert sum(element["type"] == "rich_text_list" for block in blocks for element in block["elements"]) <= 2


@pytest.mark.parametrize(
    "text",
    [
        "`a <b> &lt;c>` &lt;d>",
        "```\na <b> &amp;\n```",
        "- [a](https://a.example/x) b <https://a.example>",
        "a <b> & \\*c\\* [INFO](relative)",
        "https://a.example/__init__.py?b[c]=d, www.a.example/日本",
        "| `<a>` | b |\n|---|---|\n| ![c](https://a.example) | d |",
    ],
)
def test_what_was_made_safe_for_a_message_reads_the_same_in_a_window(text: str) -> None:
    """No character is escaped twice, and no host shown twice."""
    made_safe = seen(blocks_of(markdown.safe(text), made_safe=True))
    assert "".join(made_safe.split()) == "".join(seen(blocks_of(text)).split())


# --- what both writers promise of any Markdown ---------------------------------------------------------------------


@given(any_markdown)
@patient
@example("*a\u2028b*\n\n| a |\n|---|\n| [b](https://a.example) | c |")
def test_any_markdown_makes_legal_and_harmless_rich_text_that_holds_all_its_words(text: str) -> None:
    blocks = blocks_of(text)
    view = {"type": "modal", "title": {"type": "plain_text", "text": "Form"}, "blocks": blocks[:100]}
    assert not view_problems(view)
    assert all(len(seen([block])) <= MAX_CHARACTERS for block in blocks)
    assert not harm("", blocks)
    assert lost(text, seen(blocks)) == ""


@given(any_markdown)
@patient
def test_any_markdown_makes_a_legal_and_harmless_message_that_holds_all_its_words(text: str) -> None:
    """As another reader of Markdown reads what is written; `&lt;` in code is shown as what it stands for."""
    written = markdown.safe(clean(text))
    blocks: list[Json] = [{"type": "markdown", "text": written}] if written.strip() else []
    assert not message_problems(blocks)
    assert not harm("", blocks)
    assert lost(text, read_whole(written, made_safe=True)) == ""


@given(any_markdown, st.integers(300, 600))
@patient
def test_any_markdown_cut_into_pieces_keeps_all_its_words(text: str, limit: int) -> None:
    pieces = markdown.safe_pieces(text, limit)
    assert all(0 < len(piece) <= limit for piece in pieces)
    assert not harm("", [{"type": "markdown", "text": piece} for piece in pieces])
    assert lost(text, "".join(read_whole(piece, made_safe=True) for piece in pieces)) == ""


@given(any_markdown, st.integers(60, 200))
@patient
def test_the_end_of_any_markdown_before_a_place_is_harmless(text: str, each: int) -> None:
    ends = markdown.ends_before_places(f"{clean(text)}\n\n{markdown.place(0)}\n\nEnd", each)
    assert ends[-1] == 0
    assert not harm("", [{"type": "markdown", "text": end} for end in ends if isinstance(end, str)])
    assert sum(len(end) for end in ends if isinstance(end, str)) <= each + 80
