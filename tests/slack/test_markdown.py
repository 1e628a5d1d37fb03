"""Markdown of others in Slack's markdown block."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bot.slack import markdown
from bot.slack.message import Message
from bot.slack.message import markdown as block
from bot.slack.mrkdwn import clean
from tests.slack.reading import disguised_links, pings
from tests.slack.strategies import INJECTIONS, long_text, odd_text


def message_of(text: str) -> Message:
    """Put safe Markdown into a message."""
    return Message("summary", (block(text),))


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("# Hi **you** and _me_ and ~~us~~", "# Hi **you** and _me_ and ~~us~~"),
        ("- a\n- b\n  1. c\n  2. d", "- a\n- b\n  1. c\n  2. d"),
        ("3. a\n4. b", "3. a\n4. b"),
        ("- a\n\n  more", "- a\n\n  more"),
        ("> a\n>\n> b", "> a\n>\n> b"),
        ("a\nb", "a\nb"),
        ("---", "---"),
        ("[INFO]: started", "[INFO] : started"),
        ("```py x\na <b>\n```", "```py\na &lt;b&gt;\n```"),
        ("    indented", "```\nindented\n```"),
        ("~~~\n```\n~~~", "````\n```\n````"),
        ("`a <b>` and `` ` ``", "`a &lt;b&gt;` and `` ` ``"),
        ("| a | b |\n|--|--|\n| 1 | 2 \\| 3 |", "| a | b |\n| --- | --- |\n| 1 | 2 \\| 3 |"),
        ("a <b>x</b> & c &copy; &lt;", "a &lt;b&gt;x&lt;/b&gt; & c © &lt;"),
        ("[text](https://a.example/x?a=1&b=2)", "[text](https://a.example/x?a=1&b=2) (a.example)"),
        ("[a](https://a.example/(x))", "[a](https://a.example/%28x%29) (a.example)"),
        ("<https://a.example/?a=1&b=2>", "[https://a.example/?a=1&b=2](https://a.example/?a=1&b=2)"),
        ("[mail](mailto:ann@a.example)", "[mail](mailto:ann@a.example) (ann@a.example)"),
        ("![pic](https://a.example/p.png)", "[pic](https://a.example/p.png) (a.example)"),
        ("![](https://a.example/p.png)", "[image](https://a.example/p.png) (a.example)"),
        ("[file](ftp://a.example/x)", "[file] (ftp://a.example/x)"),
        ("[here](/relative)", "[here] (/relative)"),
        ("x[0](y)", "x[0] (y)"),
        ("`x[0](y)`", "`x[0](y)`"),
        ("\\[forged\\](https://evil.example)", "[forged] (https://evil.example)"),
        ("\\![a](https://a.example)", "! [a](https://a.example) (a.example)"),
        ("`[a](https://evil.example)`", "`[a] (https://evil.example)`"),
        ("[me](https://bank.example@evil.example)", "[me] (https://bank.example@evil.example)"),
    ],
)
def test_markup_is_written_anew(text: str, written: str) -> None:
    """Known markup stays, links show where they lead, everything else is text."""
    assert markdown.safe(text) == written


@pytest.mark.parametrize("text", INJECTIONS)
def test_no_known_injection_survives(text: str) -> None:
    """Alone, in code, in a list, in a quote and in a table."""
    for around in ("{}", "```\n{}\n```", "- {}", "> {}", "| a |\n|---|\n| {} |", "[{}](https://a.example)", "**{}**"):
        written = message_of(markdown.safe(clean(around.format(text))) or "–")
        assert not pings(written)
        assert not disguised_links(written)


@given(st.lists(odd_text, max_size=6).map("".join))
@settings(max_examples=300)
@example("`" * 5 + "[a](https://evil.example)" + "`" * 4)
@example("[" * 400 + "](https://evil.example)")
def test_no_mixture_of_markup_becomes_an_injection(text: str) -> None:
    """Whatever stands beside what."""
    written = message_of(markdown.safe(clean(text)) or "–")
    assert not pings(written)
    assert not disguised_links(written)


nestings = st.builds(
    lambda opening, closing, times: f"{opening} x " * times + f"y{closing} " * times,
    st.sampled_from(["*a", "**a", "*a **b", "~~a *b", "_a", "[a", "![a", ">", "-", "> -", "*"]),
    st.sampled_from(["*", "**", "** c*", "* d~~", "_", "](https://a.example)", ""]),
    st.integers(1, 200),
)


@given(nestings)
@settings(max_examples=60, deadline=None)
@example("*a " * 300 + "y* " * 300)
@example("*a **b " * 200 + "c** y* " * 200)
@example("> " * 300 + "y")
def test_markup_may_be_nested_as_deep_as_it_likes(text: str) -> None:
    """What is nested deeper than a reader follows is shown without formatting; no word of it is lost."""
    written = message_of(markdown.safe(text) or "–")
    assert not pings(written)
    assert not disguised_links(written)
    assert markdown.safe(text).count("y") == text.count("y")
    assert isinstance(markdown.is_bare(text), bool)
    assert markdown.plain(text).count("x") >= text.count(" x ")


@given(long_text, st.integers(200, 2_000))
@settings(max_examples=60, deadline=None)
def test_pieces_fit_and_are_safe(text: str, limit: int) -> None:
    """Each piece stands for itself."""
    for piece in markdown.safe_pieces(text, limit):
        assert len(piece) <= limit
        assert not pings(message_of(piece))
        assert not disguised_links(message_of(piece))


@given(st.lists(st.text("abc \n", min_size=1, max_size=80), max_size=20).map("\n\n".join), st.integers(100, 400))
def test_cutting_loses_no_word(text: str, limit: int) -> None:
    """Only space between words goes."""
    joined = "".join("".join(markdown.pieces(text, limit)).split())
    assert joined == "".join(text.split())


def test_a_text_is_cut_at_its_paragraphs() -> None:
    """Rather than in the middle of one."""
    assert markdown.pieces("a" * 60 + "\n\n" + "b" * 60 + "\n\n" + "c" * 60, 150) == [
        "a" * 60 + "\n\n" + "b" * 60,
        "c" * 60,
    ]


def test_a_fence_is_closed_and_opened_again() -> None:
    """So that code stays code in every piece."""
    pieces = markdown.pieces("```py\n" + "\n".join(["x = 1"] * 40) + "\n```\nend", 120)
    assert len(pieces) > 2
    assert all(piece.startswith("```py\n") for piece in pieces)
    assert all(piece.rstrip().endswith("```") for piece in pieces[:-1])
    assert pieces[-1].endswith("```\nend")


def test_the_tail_of_a_growing_text_starts_at_a_line() -> None:
    """And an open fence is opened again."""
    text = "start\n```py\n" + "\n".join(f"line {number}" for number in range(100))
    shown = markdown.safe_tail(text, 200)
    assert shown.startswith("```py\nline ")
    assert "line 99" in shown
    assert len(shown) <= 200


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a {0} b", ["a", 0, "b"]),
        ("**a {0} b**", ["**a**", 0, "**b**"]),
        ("`{0}`", [0]),
        ("```py\na\n{0}\nb\n```", ["```py\na\n```", 0, "```py\nb\n```"]),
        ("| a | b |\n|---|---|\n| x | {0} |", ["| a | b |\n| --- | --- |\n| x |  |", 0]),
        ("- {0}\n- b", [0, "- b"]),
        ("> {0}", [0]),
        ("[a {0}](https://a.example)", ["[a](https://a.example) (a.example)", 0]),
        ("{0}{1}", [0, 1]),
        ("{0}\n\n---\n\n{1}", [0, "---", 1]),
    ],
)
def test_places_keep_their_order_in_the_text(text: str, parts: list[str | int]) -> None:
    """Whatever markup they stand in; markup around them is closed before and opened after."""
    marked = text.replace("{0}", markdown.place(0)).replace("{1}", markdown.place(1))
    assert markdown.split_at_places(markdown.safe(marked)) == parts


def test_words_are_no_markup() -> None:
    """Names within our own Markdown."""
    assert markdown.words("a\n<!here> [x](https://evil.example)") == "a &lt;!here&gt; [x] (https://evil.example)"


def test_parts_are_packed_in_order() -> None:
    """As few messages as possible."""
    assert markdown.packed(["a" * 4, "b" * 4, "c" * 4], 10) == ["aaaa\n\nbbbb", "cccc"]
