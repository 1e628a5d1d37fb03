"""Channels as a terminal shows them."""

from __future__ import annotations

import re
from typing import Any

from bot.playground.slack import LocalFile, Message, Workspace
from bot.playground.slack.content import message_content
from bot.playground.slack.transcript import WIDTH, message_lines, transcript
from tests.playground.slack.conftest import Clock, make_workspace

Json = dict[str, Any]

DRAFT = """# Launch plan

## Why

The **panda** eats <!date^1700090000^{date_short_pretty} {time}|x>; see &lt;!channel&gt; and <@U0BEN>. It takes about
fourteen hours and leaves little time for meetings.

- one
- two with `a &lt; b`
"""


def plain(text: str) -> Json:
    return {"type": "plain_text", "text": text}


def mrkdwn(text: str) -> Json:
    return {"type": "mrkdwn", "text": text}


def button(text: str, **changes: Any) -> Json:
    return {"type": "button", "action_id": text, "text": plain(text)} | changes


def post(workspace: Workspace, *blocks: Json, text: str = "summary", **changes: Any) -> Message:
    """A message of the bot in #content."""
    content = message_content({"text": text, "blocks": list(blocks)}, workspace.new_id)
    return workspace.post(workspace.channel("content"), content, workspace.bot, **changes)


def review() -> Workspace:
    """A run with its form in the thread, half filled in by ann, and a line for her only."""
    workspace = make_workspace(now=Clock())
    root = post(
        workspace,
        {"type": "section", "text": mrkdwn("*Content review* started by <@U0ANN>\n*topic:* R&amp;D in <#C0RANDOM>")},
        {"type": "context", "elements": [mrkdwn(":hourglass_flowing_sand: _Step 2_ of 4"), mrkdwn("`draft`")]},
        {"type": "actions", "elements": [button("Stop", style="danger")]},
    )
    form = post(
        workspace,
        {"type": "header", "text": plain("Please review :wave:")},
        {"type": "markdown", "text": DRAFT},
        {
            "type": "input",
            "label": plain("Feedback"),
            "optional": True,
            "element": {"type": "plain_text_input", "action_id": "f", "placeholder": plain("What to change")},
        },
        {
            "type": "input",
            "label": plain("Tone"),
            "element": {
                "type": "static_select",
                "action_id": "t",
                "options": [{"text": plain("Friendly"), "value": "0"}, {"text": plain("Formal"), "value": "1"}],
            },
        },
        {"type": "actions", "elements": [button("Approve", style="primary"), button("Regenerate")]},
        thread_ts=root.ts,
    )
    workspace.person("ann").fill(form, "Feedback", "Shorter please.\nAnd friendlier.")
    workspace.person("ann").select(form, "Tone", "Friendly")
    post(workspace, text="Please choose a *tone* first.", thread_ts=root.ts, visible_to="U0ANN")
    post(workspace, text="Done, see <https://x.example/y|the result>")
    return workspace


AS_ANN = """\
#content, as ann sees it ───────────────────────────────────────────────────────────────────────────

Dify APP  22:13
Content review started by @ann
topic: R&D in #random
⏳ Step 2 of 4 · draft

[▲ Stop]

├── Dify APP  22:13
│   Please review 👋
│
│   Launch plan
│
│   Why
│
│   The panda eats tomorrow 23:13; see <!channel> and @ben. It takes about fourteen hours and leaves
│   little time for meetings.
│
│    • one
│    • two with a < b
│   ╭─ Feedback (optional) ────────────────────────────────────────────────────────────────────────╮
│   │ Shorter please.                                                                              │
│   │ And friendlier.                                                                              │
│   ╰──────────────────────────────────────────────────────────────────────────────────────────────╯
│   Tone: ‹ Friendly ▾ ›
│
│   [● Approve]  [Regenerate]
│
└── Dify APP  22:13  only visible to ann
    Please choose a tone first.

Dify APP  22:13
Done, see the result (https://x.example/y)
"""


def test_a_reader_sees_roots_threads_forms_and_their_own_drafts() -> None:
    """Golden text: what ann sees."""
    assert transcript(review(), "content", "ann") == AS_ANN


def test_others_see_neither_drafts_nor_private_lines() -> None:
    """ben's form is empty, and nobody told him anything."""
    seen = transcript(review(), "content", "ben")
    assert "Shorter please" not in seen
    assert "What to change" in seen
    assert "‹ choose ▾ ›" in seen
    assert "only visible" not in seen


def test_without_a_reader_everybodys_private_lines_are_marked() -> None:
    """For the person who watches the demo."""
    assert "only visible to ann" in transcript(review(), "content")


def test_dates_are_in_the_readers_zone() -> None:
    """slack-platform §6.3."""
    workspace = review()
    workspace.person("ben").zone = "Asia/Tokyo"
    assert "tomorrow 23:13" in transcript(workspace, "content", "ann")
    assert "tomorrow 08:13" in transcript(workspace, "content", "ben")


def test_colour_changes_nothing_but_the_colour() -> None:
    """Without its escapes the coloured text is the plain one."""
    workspace = review()
    coloured = re.sub("\x1b\\[[0-9;]*m", "", transcript(workspace, "content", "ann", color=True))
    assert [line.rstrip() for line in coloured.splitlines()] == transcript(workspace, "content", "ann").splitlines()


def test_one_message_can_be_drawn_alone() -> None:
    """For showing a thread as it grows."""
    workspace = make_workspace(now=Clock())
    message = post(workspace, text="word " * 8)
    assert message_lines(workspace, message, width=20) == [
        "Dify APP  22:13",
        "word word word word",
        "word word word word",
        "",
    ]


def test_a_bar_stands_before_every_line_of_a_quote() -> None:
    """Before wrapped lines, too, and before those that are empty."""
    workspace = make_workspace(now=Clock())
    words = {"type": "text", "text": "Shorter, and\n\nless about the weather"}
    title = {"type": "rich_text_section", "elements": [{"type": "text", "text": "Feedback"}]}
    quote = {"type": "rich_text_quote", "elements": [words]}
    message = post(workspace, {"type": "rich_text", "elements": [title, quote]})
    assert message_lines(workspace, message, width=20) == [
        "Dify APP  22:13",
        "Feedback",
        "│ Shorter, and",
        "│",
        "│ less about the",
        "│ weather",
        "",
    ]


def test_no_line_is_too_wide() -> None:
    """Long words and long tables are wrapped."""
    workspace = make_workspace(now=Clock())
    root = post(workspace, {"type": "section", "text": mrkdwn("word " * 100)})
    post(
        workspace,
        {"type": "markdown", "text": "x" * 300 + "\n\n| a | b |\n|-|-|\n|" + "y" * 90 + "|z|"},
        thread_ts=root.ts,
    )
    assert max(len(line) for line in transcript(workspace, "content").splitlines()) <= WIDTH


def test_every_kind_of_block_is_drawn() -> None:
    """Fields, rich text, tables, images; what is unknown is named."""
    workspace = make_workspace(now=Clock())
    styled = {"type": "text", "text": "bold", "style": {"bold": True}}
    post(
        workspace,
        {"type": "section", "fields": [mrkdwn("*Left*"), mrkdwn("*Right*")], "accessory": button("Open")},
        {"type": "divider"},
        {"type": "image", "image_url": "https://x.example/i.png", "alt_text": "a chart"},
        {
            "type": "rich_text",
            "elements": [
                {"type": "rich_text_section", "elements": [styled, {"type": "user", "user_id": "U0BEN"}]},
                {
                    "type": "rich_text_list",
                    "style": "bullet",
                    "elements": [{"type": "rich_text_section", "elements": [styled]}],
                },
            ],
        },
        {"type": "table", "rows": [[{"type": "raw_text", "text": "cell"}]]},
        {"type": "file", "external_id": "x", "source": "remote"},
    )
    drawn = transcript(workspace, "content")
    for part in ("Left", "Right", "[Open]", "[image: a chart]", "bold@ben", "• bold", "│ cell │", "[file]"):
        assert part in drawn


async def test_files_are_named_with_what_has_become_of_them() -> None:
    """slack-platform §5.2."""
    workspace = make_workspace()
    ann = workspace.person("ann")
    files = [
        ("Contract 2.pdf", (1_500_000, b"x")),
        ("cat.png", b"png"),
        LocalFile("later.png", b"png", is_processed=False),
        LocalFile("Plan", mode="external", address="https://drive.example.com/plan"),
        LocalFile("old.pdf", b"old", mode="hidden_by_limit"),
        LocalFile("theirs.pdf", b"old", is_stub=True),
    ]
    message = await ann.share("content", files, "All of it")
    ann.delete_file(message.content.shared[1].id)
    assert [line.strip() for line in message_lines(workspace, message)[1:8]] == [
        "All of it",
        "📎 Contract 2.pdf (PDF, 1 MB)",
        "📎 This file was deleted.",
        "📎 later.png (being processed)",
        "📎 Plan (gdrive)",
        "📎 This file is older than your plan shows.",
        "📎 A file of another workspace",
    ]
