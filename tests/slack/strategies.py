"""Any form that is legal in Dify, with the texts a model or a careless builder may put into it."""

from __future__ import annotations

import string
from datetime import timedelta

from hypothesis import strategies as st

from bot.core.model import ButtonStyle, FileField, Form, FormInput, Paragraph, Select, UserAction
from tests.factories import NOW, make_form
from tests.slack.hostile import HOSTILE, INJECTIONS

EVERY_PLANE = "".join(chr(plane * 0x10000 + 0x0123) for plane in range(17))
CONTROLS = "".join(map(chr, (*range(32), *range(0x7F, 0xA0), 0x200B, 0x200E, 0x202E, 0x2028, 0x2066, 0xFDD0, 0xFEFF)))
_UNBALANCED = (
    "**a",
    "a_",
    "~~ a `b",
    "```\na",
    "[a](https://a.example",
    "![a",
    "> > a",
    "| a |\n|---|\n| b",
    "\\",
    "- [",
    "<a",
)

odd_text = st.one_of(
    st.text(max_size=40),
    st.sampled_from(INJECTIONS),
    st.sampled_from(["", " ", "\n", "é日本🙂", "a" * 60, EVERY_PLANE, f"a{CONTROLS}b", *_UNBALANCED]),
)


def _repeated(texts: st.SearchStrategy[str], most: int) -> st.SearchStrategy[str]:
    return st.builds(lambda text, times: text * times, texts, st.integers(1, most))


names = st.from_regex(r"[a-z_][a-z0-9_]{0,29}", fullmatch=True)
titles = st.one_of(
    st.text(min_size=1, max_size=100),
    st.text(min_size=100, max_size=100),
    st.sampled_from(
        [*(text[:100] for text in INJECTIONS), "x" * 100, "x" * 99 + "y", "<" * 100, "\u200b", "\u3164\u2800"]
    ),
)
long_text = st.one_of(
    odd_text, _repeated(odd_text, 20), st.sampled_from(["Long line. \n" * 400, "<" * 3_100, "word " * 900])
)


# Letters, marks, symbols and unassigned characters of every plane; ASCII punctuation is for the marks below.
_sign = st.characters(exclude_categories=["Cs", "Cc", "Zs", "Zl", "Zp"], exclude_characters=string.punctuation)
_word = st.text(_sign, min_size=1, max_size=8)
_marks = st.sampled_from(
    [
        "*",
        "**",
        "_",
        "__",
        "~~",
        "`",
        "``",
        "[",
        "]",
        "](",
        ")",
        "![",
        "<",
        ">",
        "|",
        "\\",
        "#",
        "-",
        "1.",
        "&",
        "&lt;",
        "!",
        "<br>",
    ]
)
_controls = st.characters(categories=["Cc", "Cf", "Zl", "Zp", "Cn"])
_loose = st.lists(st.one_of(_word, _word, _marks, _controls, st.sampled_from([" ", "\n"])), max_size=12).map(" ".join)


_link = st.builds("{}[{}](https://{}.example/x)".format, st.sampled_from(["", "!"]), _word, st.sampled_from("ab"))
_address = st.builds("{}a.example/{}{}".format, st.sampled_from(["https://", "http://", "www."]), _marks, _word)
_style = st.sampled_from(["*", "**", "_", "__", "~~", "***", "`"])


def _styled(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Put spans into spans, and side by side."""
    return st.one_of(
        st.builds("{1}{0}{1}".format, inner, _style), st.lists(inner, min_size=2, max_size=4).map(" ".join)
    )


_spans_of_text = st.recursive(
    st.one_of(_word, _loose, _link, _address, st.sampled_from(HOSTILE)), _styled, max_leaves=8
)
_line = _spans_of_text.map(lambda text: " ".join(text.split("\n")))
_cell = st.one_of(_word, _link, st.builds("{1}{0}{1}".format, _word, _style))


def _indented(text: str, first: str, others: str) -> str:
    return first + text.replace("\n", f"\n{others}")


def _nested(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Put blocks into blocks."""
    bullets = st.sampled_from(["- ", "* ", "1. ", "7) ", "10. ", "0. ", "- [ ] ", "- [x] "])
    return st.one_of(
        st.builds(lambda text, mark: _indented(text, mark, " " * (2 if "[" in mark else len(mark))), inner, bullets),
        inner.map(lambda text: _indented(text, "> ", "> ")),
        st.builds(
            lambda parts, between: between.join(parts), st.lists(inner, max_size=4), st.sampled_from(["\n", "\n\n"])
        ),
    )


def _as_table(rows: list[list[str]]) -> str:
    width = len(rows[0])
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * width, *lines[1:]])


_block = st.one_of(
    _spans_of_text,
    st.builds("{} {}".format, st.sampled_from(["#", "##", "######"]), _line),
    st.builds("{0}\n{1}\n{0}".format, st.sampled_from(["```", "~~~~"]), _loose),
    _loose.map(lambda text: _indented(text, "    ", "    ")),
    st.lists(st.lists(_cell, min_size=1, max_size=22), min_size=1, max_size=4).map(_as_table),
    st.sampled_from(["---", "***", "<div>\n<b>x</b>\n</div>", "<!-- c -->", "[a]: https://a.example", ""]),
)
any_markdown = st.recursive(_block, _nested, max_leaves=10)


@st.composite
def inputs(draw: st.DrawFn) -> tuple[FormInput, ...]:
    """Draw up to 60 inputs."""
    found: list[FormInput] = []
    count = draw(st.one_of(st.integers(0, 4), st.sampled_from([0, 20, 40, 41])))
    # A single file makes the whole form one that cannot be answered here.
    kinds = st.sampled_from(["paragraph", "select", "files", *draw(st.sampled_from([[], [], ["file"]]))])
    known = draw(st.lists(names, max_size=4, unique=True))
    for name in [*known, *(f"field_{number}" for number in range(60))][:count]:
        kind = draw(kinds)
        if kind == "paragraph":
            found.append(Paragraph(name, draw(long_text)))
        elif kind == "select":
            found.append(Select(name, draw(options())))
        else:
            found.append(FileField(name, many=kind == "files"))
    return tuple(found)


@st.composite
def options(draw: st.DrawFn) -> tuple[str, ...]:
    """Draw up to 1,250 options, some of them alike."""
    found = draw(st.lists(odd_text, max_size=5))
    times = draw(st.sampled_from([1, 1, 50, 250]))
    alike = draw(st.booleans())
    return tuple(option if alike else f"{option}{index}" for index in range(times) for option in found)


def _marked(draw: st.DrawFn, text: str, markers: list[str]) -> str:
    """Put a marker anywhere into some of the texts: into a word, an address, a fence, beside any mark."""
    if not draw(st.booleans()):
        return text
    at = draw(st.integers(0, min(len(text), 200)))
    return text[:at] + draw(st.sampled_from(markers)) + text[at:]


@st.composite
def forms(draw: st.DrawFn) -> Form:
    """Draw a form that Dify would ask for."""
    fields = draw(inputs())
    markers = [f"{{{{#$output.{field.name}#}}}}" for field in fields] + ["{{#$output.nobody#}}"]
    texts = draw(st.lists(st.one_of(long_text, any_markdown), max_size=4))
    pieces = [_marked(draw, text.replace("{m}", draw(st.sampled_from(markers))), markers) for text in texts]
    placed = draw(st.lists(st.sampled_from(markers), max_size=8))
    content = draw(st.sampled_from(["\n\n", " ", "\n"])).join(draw(st.permutations(pieces + placed)))
    if draw(st.integers(0, 39)) == 20:  # not at an end of the range, which is drawn more often
        content += "\n\n" + "A line of 200,000 characters. \n" * ((200_000 - len(content)) // 31)
    count = draw(st.one_of(st.integers(0, 4), st.sampled_from([19, 20])))
    actions = draw(st.lists(st.tuples(titles, st.sampled_from(ButtonStyle)), min_size=count, max_size=count))
    return make_form(
        node_title=draw(titles),
        content=content,
        inputs=fields,
        user_actions=tuple(UserAction(f"action_{number}", *action) for number, action in enumerate(actions)),
        expires_at=draw(st.one_of(st.none(), st.just(NOW + timedelta(days=3)))),
        form_token=draw(st.sampled_from(["form-token-demo", "form-token-demo", None])),
    )


_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | long_text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(long_text, inner, max_size=3),
    max_leaves=6,
)
_texts = st.one_of(any_markdown, long_text)
outputs = st.dictionaries(long_text, st.one_of(_texts, _values), max_size=4)
"""What a workflow may put out."""
