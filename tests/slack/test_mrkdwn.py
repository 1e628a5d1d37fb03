"""Text of others in our sentences."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.playground.slack.text import pinged_ids, unescape
from bot.slack.text import mrkdwn
from tests.slack.hostile import INJECTIONS


@pytest.mark.parametrize("text", INJECTIONS)
def test_nothing_in_a_name_is_obeyed(text: str) -> None:
    """No control sequence survives, and the text stays on one line."""
    shown = mrkdwn.one_line(text)
    assert not list(pinged_ids(shown, []))
    assert "<" not in shown
    assert "\n" not in shown


@given(st.text())
def test_escaped_text_reads_as_it_was_written(text: str) -> None:
    """Slack turns exactly three entities back."""
    assert unescape(mrkdwn.escape(text)) == text


@given(st.text(max_size=300), st.integers(1, 200))
def test_shortened_text_fits_after_escaping(text: str, limit: int) -> None:
    """Slack counts what is sent, entities and all."""
    short = mrkdwn.shorten(text, limit)
    assert len(mrkdwn.escape(short)) <= limit
    assert short == text or short.endswith("…")


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("a\r\nb\rc", "a\nb\nc"),
        ("a\x00\x07\x1b[31mb\x7f", "a[31mb"),
        ("pay \u202eknab\u202c \u2066x\u2069", "pay knab x"),
        ("\ud800half", "half"),
        ("tab\tand é日本🙂 👩\u200d👧", "tab\tand é日本🙂 👩\u200d👧"),
    ],
)
def test_what_nobody_sees_is_dropped(text: str, cleaned: str) -> None:
    """Control characters, lone surrogates, and marks that turn the reading direction round."""
    assert mrkdwn.clean(text) == cleaned


@pytest.mark.parametrize("text", ["", " \n", "\u200b", "\u2800\u3164 \uffa0", "\ufe0f", "\u00ad\u2060\x00\U000e0020"])
def test_what_takes_no_ink_is_nothing_to_see(text: str) -> None:
    assert mrkdwn.seen(text) == ""
    assert mrkdwn.bold(text) == "*–*"
    assert mrkdwn.seen(f"a {text}") == f"a {mrkdwn.clean(text)}".strip()


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("_x_ ~y~ `z` *b*.txt", "ˍxˍ ∼y∼ ˋzˋ ∗b∗.txt"),
        ("__init__.py", "ˍˍinitˍˍ.py"),
        ("`*x*`_~y~_", "ˋ∗x∗ˋˍ∼y∼ˍ"),
        ("a`b`c", "aˋbˋc"),
        ("report_2024_final.pdf", "report_2024_final.pdf"),
        ("2 * 3 ~ `", "2 * 3 ~ `"),
        ("~/a and _b", "~/a and _b"),
    ],
)
def test_marks_in_a_name_are_characters_of_it(name: str, shown: str) -> None:
    """In pairs Slack would take them for formatting, and not show them; one alone, or within a word, stays itself."""
    assert mrkdwn.one_line(name) == shown


def test_a_name_cannot_end_its_bold_early() -> None:
    """An asterisk becomes one that only looks like it."""
    assert mrkdwn.bold("a*b") == "*a∗b*"
    assert mrkdwn.bold(" ") == "*–*"


def test_a_date_is_shown_in_the_readers_zone() -> None:
    """Slack's date token, with UTC for where it is not understood (slack-platform §6.3)."""
    at = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
    assert mrkdwn.date(at) == "<!date^1772600767^{date_short_pretty} {time}|2026-03-04 05:06 UTC>"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1, "less than a second"),
        (0.9, "less than a second"),
        (1, "1 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (192, "3 min 12 s"),
        (7_500, "2 h 5 min"),
        (90_061, "1 d 1 h"),
    ],
)
def test_a_span_is_told_in_its_two_largest_units(seconds: float, text: str) -> None:
    """More would be noise."""
    assert mrkdwn.duration(timedelta(seconds=seconds)) == text


@pytest.mark.parametrize(
    ("name", "text"), [("main_file", "Main file"), ("a", "A"), ("__", "__"), ("camelCase", "CamelCase")]
)
def test_a_variable_reads_as_words(name: str, text: str) -> None:
    """Where nothing stands above a field, its name has to do."""
    assert mrkdwn.readable(name) == text
