"""How text is stored, shown, and whom it pings."""

from __future__ import annotations

from typing import Any

import pytest

from bot.playground.slack import text
from bot.playground.slack.content import message_content
from tests.playground.slack.conftest import make_workspace


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        ("a < b > c & d", "a &lt; b &gt; c &amp; d"),
        ("a &lt; b &amp; c", "a &lt; b &amp; c"),
        ("<@U0ANN> in <#C0X|x> <!here>", "<@U0ANN> in <#C0X|x> <!here>"),
        ("<https://x.example/?a=1|link> <script>", "<https://x.example/?a=1|link> &lt;script&gt;"),
        ("<!date^1700000000^{date} at {time}|then>", "<!date^1700000000^{date} at {time}|then>"),
    ],
)
def test_stray_characters_are_escaped_and_control_sequences_kept(sent: str, stored: str) -> None:
    """slack-platform §6.1; storing twice changes nothing."""
    assert text.normalise(sent) == stored
    assert text.normalise(stored) == stored


def mrkdwn(content: str, **changes: Any) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": content} | changes}


def rich(*elements: dict[str, Any]) -> dict[str, Any]:
    return {"type": "rich_text", "elements": [{"type": "rich_text_section", "elements": list(elements)}]}


PINGS: dict[str, tuple[dict[str, Any], set[str]]] = {
    "in text": ({"text": "<@U0ANN> and <!channel>"}, {"@ann", "@channel"}),
    "user group": ({"text": "<!subteam^S0TEAM|team>"}, {"@S0TEAM"}),
    "in mrkdwn": ({"text": "x", "blocks": [mrkdwn("<!here> <@U0BEN>")]}, {"@here", "@ben"}),
    "in markdown": ({"text": "x", "blocks": [{"type": "markdown", "text": "# <!everyone>"}]}, {"@everyone"}),
    "in rich text": (
        {"text": "x", "blocks": [rich({"type": "user", "user_id": "U0ANN"}, {"type": "broadcast", "range": "here"})]},
        {"@ann", "@here"},
    ),
    "bare": ({"text": "x", "blocks": [mrkdwn("hey @here")]}, {"@here"}),
    "bare but verbatim": ({"text": "x", "blocks": [mrkdwn("hey @here", verbatim=True)]}, set()),
    "bare in text": ({"text": "hey @channel"}, set()),
    "bare in text with link_names": ({"text": "hey @channel", "link_names": True}, {"@channel"}),
    "escaped": (
        {"text": "&lt;!channel&gt;", "blocks": [{"type": "markdown", "text": "&lt;!channel&gt; &lt;@U0ANN&gt;"}]},
        set(),
    ),
    "plain text": (
        {"text": "x", "blocks": [{"type": "header", "text": {"type": "plain_text", "text": "<!here>"}}]},
        set(),
    ),
    "rich text characters": ({"text": "x", "blocks": [rich({"type": "text", "text": "<!channel>"})]}, set()),
    "channel link": ({"text": "<#C0CONTENT>"}, set()),
}


@pytest.mark.parametrize(("arguments", "pings"), PINGS.values(), ids=PINGS.keys())
def test_a_message_records_whom_it_pings(arguments: dict[str, Any], pings: set[str]) -> None:
    """slack-platform §6.1: what is escaped or inert pings nobody."""
    workspace = make_workspace()
    content = message_content(arguments, workspace.new_id)
    message = workspace.post(workspace.channel("content"), content, workspace.bot)
    assert message.pings == pings


def test_a_ping_stays_on_record_after_an_update() -> None:
    """An injection cannot be edited away from a test."""
    workspace = make_workspace()
    first, second = (message_content({"text": words}, workspace.new_id) for words in ("<!channel>", "sorry"))
    message = workspace.post(workspace.channel("content"), first, workspace.bot)
    workspace.edit(message, second)
    assert message.pings == {"@channel"}


def test_a_message_is_found_by_what_its_reader_sees() -> None:
    """Entities are characters to a reader, and the notification text is not seen where there are blocks."""
    workspace = make_workspace()
    content = message_content({"text": "summary", "blocks": [mrkdwn("R&amp;D &lt;!channel&gt;")]}, workspace.new_id)
    message = workspace.post(workspace.channel("content"), content, workspace.bot)
    assert workspace.find(text="r&d <!channel>") is message
    assert workspace.find(text="summary") is None
