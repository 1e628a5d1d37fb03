"""Messages as values."""

from bot.playground.slack.text import pinged_ids
from bot.slack.messages.message import PART, Message, label, markdown, markdown_messages, quote, section, verbatim
from tests.slack.reading import texts, wire


def test_a_message_can_be_said_without_blocks() -> None:
    """With what is escaped already; what rich text shows as it is would be obeyed in plain text, so it is left out."""
    message = Message("Summary", (section("*a* &lt;b&gt;"), quote("Note", "<!channel>"), markdown("**c**")))
    assert message.plain == "Summary\n*a* &lt;b&gt;\n**c**"
    assert not list(pinged_ids(message.plain, []))


def test_plain_text_stays_within_what_an_update_takes() -> None:
    """chat.update refuses 4,000 characters (slack-platform §2.7)."""
    assert len(Message("Summary", (markdown("x" * 9_000),)).plain) < 4_000


def test_names_in_sections_are_never_turned_into_mentions() -> None:
    """Bare @here or #general stay text (slack-platform §6.1)."""
    assert wire(Message("s", (section("@here"),)))[0]["text"]["verbatim"] is True


def test_a_label_is_never_empty() -> None:
    """Slack refuses empty texts."""
    assert label(" \n\x00", 75).text == "–"
    assert label(" \n", 75, otherwise="ok").text == "ok"
    assert label(":x: a\nb", 75).to_dict() == {"type": "plain_text", "text": ":x: a b", "emoji": False}


def test_a_frame_is_never_empty() -> None:
    """Slack refuses empty texts."""
    assert texts(Message("s", (verbatim(""),))) == "–"


def test_many_parts_are_cut_with_a_word_about_the_rest() -> None:
    """A thread is no place for a megabyte."""
    messages = markdown_messages("Result", ["x" * PART] * 105)
    assert len(messages) == 101
    assert (
        texts(messages[-1])
        == "… 45,000 more characters are left out here. The whole text is in Dify's log of this run."
    )
