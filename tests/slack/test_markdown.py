"""Markdown of others in Slack's markdown block."""

from collections.abc import Callable, Iterable
from html import unescape

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.tree import SyntaxTreeNode

from bot.slack.messages.message import Message
from bot.slack.messages.message import markdown as block
from bot.slack.text import markdown
from bot.slack.text.mrkdwn import clean
from tests.slack.hostile import INJECTIONS
from tests.slack.reading import disguised_links, pings
from tests.slack.strategies import long_text, odd_text


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
        ("<ann@a.example>", "[ann@a.example](mailto:ann@a.example)"),
        ("[ann@a.example](mailto:ann@a.example)", "[ann@a.example](mailto:ann@a.example)"),
        ("![pic](https://a.example/p.png)", "[pic](https://a.example/p.png) (a.example)"),
        ("![](https://a.example/p.png)", "[image](https://a.example/p.png) (a.example)"),
        ("[file](ftp://a.example/x)", "[file] (ftp://a.example/x)"),
        ("[here](/relative)", "[here] (/relative)"),
        ("x[0](y)", "x[0] (y)"),
        ("`x[0](y)`", "`x[0](y)`"),
        ("\\[forged\\](https://evil.example)", "[forged] ([https://evil.example](https://evil.example))"),
        ("\\![a](https://a.example)", "! [a](https://a.example) (a.example)"),
        ("`[a](https://evil.example)`", "`[a] (https://evil.example)`"),
        ("[me](https://bank.example@evil.example)", "[me] (https:// bank.example@evil.example)"),
        ("<ftp://a.example/_x_>", "ftp://a.example/\\_x\\_"),
        ("- [ ] a\n- [x] b\n  1. [X] c\n- [ ]d", "- ☐ a\n- ☑ b\n  1. ☑ c\n- [ ]d"),
        (
            "<div>\n<p onclick='x'>a<br>b</p>\n</div>",
            "&lt;div&gt;\n&lt;p onclick='x'&gt;a\nb&lt;/p&gt;\n&lt;/div&gt;",
        ),
        ("a<br>b <BR/>\n<br />c", "a\nb\nc"),
        ("<br>a<br>", "a"),
        ("a\n<br>\nb", "a\nb"),
        ("**a<br><br>b**", "**a\nb**"),
        ("a<br># b<br>1. c<br>```<br>d", "a\n\\# b\n1\\. c\n\\`\\`\\`\nd"),
        ("# a<br>b", "# a b"),
        ("| a |\n|---|\n| b<br>- c<br/>d |", "| a |\n| --- |\n| b \\- c d |"),
        ("`a<br>b` \\<br> <b> <brr> <hr>", "`a&lt;br&gt;b` &lt;br&gt; &lt;b&gt; &lt;brr&gt; &lt;hr&gt;"),
        ("<!-- note -->", "&lt;!-- note --&gt;"),
        ("![a **b**](https://a.example/p.png)", "[a **b**](https://a.example/p.png) (a.example)"),
        ("[![ci](https://i.example/ci.svg)](https://a.example)", "[ci](https://a.example) (a.example)"),
        ("\\*a\\* \\_b\\_ \\`c\\` &#42;", "\\*a\\* \\_b\\_ \\`c\\` \\*"),
        ("1986\\. A\n\n\\- b\n\n\\# c\n\nd \\- e \\# f.", "1986\\. A\n\n\\- b\n\n\\# c\n\nd - e # f."),
        ("C:\\\\*dir*", "C:\\\\_dir_"),
        ("a `` b ` c `` *d* e`f", "a `` b ` c `` _d_ e\\`f"),
        ("2*3*4 **a**__b__", "2*3*4 **ab**"),
        ("a&#10;# b &#x202e;c", "a # b c"),
        ("a\n     # b\n     - c\n     1. d", "a\n\\# b\n\\- c\n1\\. d"),
        ("| a |\n|:-:|\n| 1 | 2 | 3 |", "| a |\n| :-: |\n| 1 \\| 2 \\| 3 |"),
        ("&amp;lt;b&amp;gt;", "&amp;lt;b&amp;gt;"),
    ],
)
def test_markup_is_written_anew(text: str, written: str) -> None:
    """Known markup stays, links show where they lead, everything else is text."""
    assert markdown.safe(text) == written


@pytest.mark.parametrize(
    ("text", "label", "address"),
    [
        (
            "https://a.example/pkg/__init__.py",
            "https://a.example/pkg/\\_\\_init\\_\\_.py",
            "https://a.example/pkg/__init__.py",
        ),
        ("https://a.example/*/b/*/c", "https://a.example/\\*/b/\\*/c", "https://a.example/*/b/*/c"),
        ("http://a/?x[b]=~~c~~d&e", "http://a/?x\\[b\\]=\\~\\~c\\~\\~d&e", "http://a/?x%5Bb%5D=~~c~~d&e"),
        ("https://a.example/b_(c)", "https://a.example/b\\_(c)", "https://a.example/b_%28c%29"),
        ("https://a.example/日本", "https://a.example/日本", "https://a.example/%E6%97%A5%E6%9C%AC"),
        ("https://a.example/b\\_c&amp;d", "https://a.example/b_c&d", "https://a.example/b_c&d"),
        ("https://a.example/?b=https://c@d.example", *["https://a.example/?b=https://c@d.example"] * 2),
        ("https://a.example/@b", *["https://a.example/@b"] * 2),
        ("http://a", *["http://a"] * 2),
        ("www.a.b", "www.a.b", "http://www.a.b"),
        ("www.a.example/_b", "www.a.example/\\_b", "http://www.a.example/_b"),
    ],
)
@pytest.mark.parametrize(
    "around",
    [
        "{}",
        "see {}, and",
        "({})",
        "“{}”。",
        "**{}**: b",
        "- {}\n- b",
        "见{}，他",
        '"{}"',
        "[{}",
        "a {}. b `c` **d**",
        "&lt;{}&gt;",
    ],
)
def test_a_bare_address_is_a_link_and_no_markup(text: str, label: str, address: str, around: str) -> None:
    """Without the punctuation after it."""
    assert markdown.safe(around.format(text)) == around.format(f"[{label}]({address})")


@pytest.mark.parametrize("text", ["https://", "http://*", "xhttps:/a", "www.a", "wwww.a.b", "awww.b.c", "https: //a"])
def test_what_is_no_address_stays_text(text: str) -> None:
    """And so does an address in code."""
    assert "](" not in markdown.safe(text)
    assert markdown.safe("`https://a.example/@_b_`") == "`https://a.example/@_b_`"


@pytest.mark.parametrize("text", ["awww.x", "xhttps://a"])
def test_any_number_of_what_is_no_address_may_stand_in_a_row(text: str) -> None:
    """None of them is read to the end of the last one."""
    assert markdown.safe(text * 35_000) == text * 35_000


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("https://bank.example@evil.example/login", "https:// bank.example@evil.example/login"),
        ("<https://bank.example@evil.example>", "https:// bank.example@evil.example"),
        ("HTTP://bank.example\\@evil.example", "HTTP:// bank.example@evil.example"),
        ("www.bank.example@evil.example", "www. bank.example@evil.example"),
        ("`https://bank.example@evil.example`", "`https://bank.example@evil.example`"),
    ],
)
def test_an_address_that_hides_its_host_is_taken_apart(text: str, written: str) -> None:
    """Slack would make a link of it; in code it makes none."""
    assert markdown.safe(text) == written


@pytest.mark.parametrize(
    "follower", ["，或写信给support@docs.example", "。邮箱support@docs.example", "“x@y”", "&commat;b"]
)
@pytest.mark.parametrize(
    ("text", "link"),
    [
        ("请看https://docs.example", "请看[https://docs.example](https://docs.example)"),
        ("请看<https://docs.example>", "请看[https://docs.example](https://docs.example)"),
        ("www.docs.example", "[www.docs.example](http://www.docs.example)"),
        (
            "[**https://docs.example**](https://docs.example)",
            "[**https://docs.example**](https://docs.example) (docs.example)",
        ),
        ("![x](https://docs.example)", "[x](https://docs.example) (docs.example)"),
        ("`https://docs.example`", "`https://docs.example`"),
    ],
)
def test_an_address_leads_where_it_says_whatever_mail_address_follows(text: str, link: str, follower: str) -> None:
    """Chinese and Japanese write no space between the two."""
    assert markdown.safe(text + follower) == link + unescape(follower)


def test_the_label_of_a_link_that_is_an_address_is_no_markup() -> None:
    """It is the usual way in which models write one."""
    link = "[https://a.example/__init__.py](https://a.example/__init__.py)"
    assert markdown.safe(link) == link.replace("__", "\\_\\_", 2)


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


@pytest.mark.parametrize("block", ["Words of a paragraph.", "# Heading", "**Bold** words"])
def test_a_text_that_grows_keeps_its_first_pieces(block: str) -> None:
    """Whatever is written below them; nothing is lost where one chapter ends."""
    text = "\n\n".join(f"{block} {number}\n\n```py\n\nif {number}:\n\nend\n```" for number in range(300))
    before: list[str] = []
    for size in range(500, len(text), 997):
        found = markdown.safe_chapters(text[:size], 900)
        assert found[: max(len(before) - 2, 0)] == before[:-2]
        assert all(len(piece) <= 900 for piece in found)
        before = found
    written = " ".join(markdown.safe_chapters(text, 900)).split()
    kept = [number for number in range(300) if f"{number}" in written and f"{number}:" in written]
    assert kept == [*range(300)]


def test_no_chapter_begins_within_something() -> None:
    """A list, table, quote or code that goes on is cut as one thing."""
    inner = "\n".join(f"  Words {number}\n\n" for number in range(100))
    text = f"- item\n\n{inner}\n1. one\n\n   Words\n\n> quote\n\n```\n\nWords\n\n```"
    assert markdown.safe_chapters(text, 600) == markdown.safe_pieces(text, 600)


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
        ("a\n\n# {0}\n\nb", ["a", 0, "b"]),
        ("\\{0} a", ["\\\\", 0, "a"]),
        ("[a](https://a.example/{0}x)", ["[a](https://a.example/x) (a.example)", 0]),
        ("<https://a.example/{0}>", ["[https://a.example/](https://a.example/)", 0]),
        ("https://a.example/{0}/b", ["[https://a.example/](https://a.example/)", 0, "/b"]),
        ("- a\n  - b {0}\n    - c\n      1. d\n- e", ["- a\n  - b", 0, "- c\n  1. d\n- e"]),
        ("1. a\n   1. b {0}\n   2. c\n   3. d\n2. e\n3. f", ["1. a\n   1. b", 0, "2) c\n3) d\n\n2. e\n3. f"]),
        (
            "1. a\n   1. b\n      1. c {0}\n      2. d\n   2. e\n2. f\n   1. g",
            ["1. a\n   1. b\n      1. c", 0, "2. d\n\n2) e\n\n2. f\n   1. g"],
        ),
        ("1. a {0} b\n   1. c\n   2. d\n2. e", ["1. a", 0, "b\n\n1) c\n2) d\n\n2. e"]),
        ("1. a {0} b\n2. c", ["1. a", 0, "b\n\n2. c"]),
        ("- a {0}\n\n  ```\n  b\n \n  c\n  ```", ["- a", 0, "```\nb\n\nc\n```"]),
        ("a {0} b\n2026 c", ["a", 0, "b\n2026 c"]),
        ("- a {0} b\n\n  c\n- d", ["- a", 0, "b\n\nc\n- d"]),
        ("1. a\n   - b {0}\n\n     ```\n     1. c\n     ```\n2. d", ["1. a\n   - b", 0, "```\n1. c\n```\n\n2. d"]),
        ("- a\n  ```\n  b\n  {0}\n  c\n  ```", ["- a\n  ```\n  b\n  ```", 0, "```\nc\n```"]),
    ],
)
def test_places_keep_their_order_in_the_text(text: str, parts: list[str | int]) -> None:
    """Whatever markup they stand in; markup around them is closed before and opened after."""
    marked = text.replace("{0}", markdown.place(0)).replace("{1}", markdown.place(1))
    assert markdown.split_at_places(markdown.safe(marked)) == parts


def code_of(numbers: Iterable[int]) -> str:
    """Return a block of code with a line for each number."""
    return "```py\n" + "".join(f"value_{number} = {number}\n" for number in numbers) + "```"


def table_of(numbers: Iterable[int]) -> str:
    """Return a table with a row for each number."""
    return "| a | b |\n| --- | ---: |" + "".join(f"\n| row {number} | {number} |" for number in numbers)


CODE, TABLE = code_of(range(60)), table_of(range(80))
LAST_CODE, LAST_ROWS = code_of(range(54, 60)), table_of(range(76, 80))


@pytest.mark.parametrize(
    ("text", "ends"),
    [
        ("a\n\n{0}\n\nb", ["a", 0]),
        (f"{CODE}\n\n{{0}}\n\nCheck *this*.\n\n{{1}}", [f"…\n\n{LAST_CODE}", 0, "Check _this_.", 1]),
        (f"{CODE}\n\nVerdict\n\n{{0}}", [f"…\n\n{LAST_CODE}\n\nVerdict", 0]),
        (f"{TABLE}\n\n{{0}}", [f"…\n\n{LAST_ROWS}", 0]),
        (TABLE.replace("row 70", "{0}") + "\n\n{1}", [f"…\n\n{LAST_ROWS}", 0, 1]),
        (CODE.replace("value_59 = 59", "{0}"), [f"…\n\n{code_of(range(53, 59))}", 0]),
        ("- a\n" * 90 + "- b\n  - c\n\n{0}", ["…\n\n" + "- a\n" * 22 + "- b\n  - c", 0]),
        ("- a\n\n  " + CODE.replace("\n", "\n  ") + "\n\n{0}", [f"…\n\n{code_of(range(55, 60))}", 0]),
        ("long *words* " * 90 + "{0}", [f"… _words_{' long _words_' * 7}", 0]),
        (f"```\n{'x' * 400}\n```\n\n{{0}}", [f"…\n\n```\n{'x' * 100}\n```", 0]),
        (f"| {'a' * 90} | b |\n|---|---|\n| c | d |\n\n{{0}}", ["…", 0]),
        ("A paragraph\n\n" * 900 + "{0}\n\n{1}", ["…\n\n" + "\n\n".join(["A paragraph"] * 7), 0, 1]),
    ],
)
def test_what_stands_before_a_place_is_cut_at_blocks(text: str, ends: list[str | int]) -> None:
    """Of a block that is too long, its end stands there, as what it is."""
    marked = text.replace("{0}", markdown.place(0)).replace("{1}", markdown.place(1))
    assert [*markdown.ends_before_places(marked, 100)] == ends


def test_a_table_too_wide_for_slack_is_written_row_by_row() -> None:
    """Slack shows no more than 20 columns."""
    columns = [f"c{number}" for number in range(21)]
    text = f"|{'|'.join(columns)}|\n|{'---|' * 21}\n|{'|'.join(f'v{number}' for number in range(21))}|"
    written = markdown.safe(text)
    assert written.splitlines()[:2] == ["- **c0:** v0", "  **c1:** v1"]
    assert written.endswith("**c20:** v20")


def test_a_table_too_long_for_slack_is_written_as_several() -> None:
    """Slack shows no more than 100 rows, the head is one of them."""
    written = markdown.safe("| n |\n|---|\n" + "".join(f"| {number} |\n" for number in range(150)))
    first, second = written.split("\n\n")
    assert len(first.splitlines()) == 101
    assert second.startswith("| n |\n| --- |\n| 99 |")
    assert second.endswith("| 149 |")


def test_a_list_keeps_its_numbers_when_it_is_cut() -> None:
    """Though the text numbers every item 1."""
    pieces = markdown.safe_pieces("".join(f"1. item {number} {'x' * 30}\n" for number in range(1, 41)), 300)
    assert len(pieces) > 3
    lines = [line for piece in pieces for line in piece.splitlines()]
    assert lines == [f"{number}. item {number} {'x' * 30}" for number in range(1, 41)]


def test_an_item_that_is_cut_goes_on_below_itself() -> None:
    """What stands at the beginning of a piece stands on the left, or it would be code."""
    text = "9. nine\n10. ten\n" + "".join(f"    - {number} {'x' * 40}\n" for number in range(10)) + "11. eleven"
    pieces = markdown.safe_pieces(text, 250)
    assert len(pieces) > 1
    assert pieces[0].startswith("9. nine\n10. ten\n    - 0 ")
    assert all(not piece.startswith(" ") for piece in pieces)
    assert pieces[-1].endswith("\n11. eleven")


def test_a_list_that_is_cut_within_an_inner_one_keeps_the_numbers_of_both() -> None:
    """As a reader of Markdown counts them."""
    inner = "".join(f"   {number}. {number} {'x' * 90}\n" for number in range(1, 41))
    pieces = markdown.safe_pieces(f"1. 1\n{inner}2. 2\n3. 3\n", 1_000)
    assert len(pieces) > 3
    assert all(len(piece) <= 1_000 for piece in pieces)
    lists = [node for piece in pieces for node in SyntaxTreeNode(MarkdownIt().parse(piece)).walk()]
    counted = [
        (number, int(item.children[0].children[0].content.split()[0]))
        for node in lists
        if node.type == "ordered_list"
        for number, item in enumerate(node.children, int(node.attrs.get("start", 1)))
    ]
    assert len(counted) == 43
    assert all(number == written for number, written in counted)


def test_a_table_repeats_its_head_when_it_is_cut() -> None:
    """So that every piece is a table."""
    pieces = markdown.safe_pieces("| a | b |\n|---|--:|\n" + "".join(f"| {n} | {'x' * 30} |\n" for n in range(40)), 300)
    assert len(pieces) > 3
    assert all(piece.startswith("| a | b |\n| --- | ---: |\n| ") for piece in pieces)
    rows = [line for piece in pieces for line in piece.splitlines()[2:]]
    assert rows == [f"| {n} | {'x' * 30} |" for n in range(40)]


def test_words_are_no_markup() -> None:
    """Names within our own Markdown."""
    assert markdown.words("a\n<!here> [x](https://evil.example)") == "a &lt;!here&gt; [x] (https://evil.example)"


def test_parts_are_packed_in_order() -> None:
    """As few messages as possible."""
    assert markdown.packed(["a" * 4, "b" * 4, "c" * 4], 10) == ["aaaa\n\nbbbb", "cccc"]


@pytest.mark.parametrize("cut", [markdown.safe_pieces, markdown.safe_chapters])
def test_no_cut_parts_a_heading_from_what_it_is_of(cut: Callable[[str, int], list[str]]) -> None:
    """Neither where a text is cut into messages, nor where one is that still grows."""
    text = "".join(f"## Section {number}\n\n### Part\n\n{'word ' * 40}\n\n" for number in range(200))
    pieces = cut(text, 1_000)
    assert "\n\n".join(pieces).split() == text.split()
    assert len(pieces) > 10
    assert all(len(piece) <= 1_000 and piece.startswith("## Section") and piece.endswith("word") for piece in pieces)
