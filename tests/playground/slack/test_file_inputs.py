"""File fields in modals: what Slack's client lets through, and what the app is told (slack-platform §2.2, §4.1)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from bot.playground.slack import LocalFile, Person
from bot.playground.slack.transcript import transcript
from tests.playground.slack.test_modals import ModalBot, connected, field, modal
from tests.playground.slack.test_shared_files import get, is_sign_in_page

__all__ = ["connected"]  # a fixture

Json = dict[str, Any]
FIELD = field("Contract", "contract", "file_input", filetypes=["pdf", "DOCX"], max_files=2)
ANY = field("Evidence", "evidence", "file_input") | {"optional": True}
SECTION = {
    "type": "actions",
    "block_id": "more",
    "elements": [{"type": "button", "action_id": "value", "text": {"type": "plain_text", "text": "More"}}],
}
MB = 1024 * 1024


@pytest.fixture
async def opened(connected: Callable[..., Any]) -> tuple[ModalBot, Person]:
    """A modal with both fields, and ann in front of it."""
    bot = await connected()
    return bot, await bot.open(modal(FIELD, ANY, SECTION))


async def test_chosen_files_come_with_the_submission(opened: tuple[ModalBot, Person]) -> None:
    """As whole file objects, which the app can fetch: they are private to it and the person."""
    bot, ann = opened
    (file,) = ann.choose_files(ann.view, "Contract", [("contract.PDF", b"%PDF")])
    assert (await ann.submit_view()).acked
    (submitted,) = bot.submitted
    values = submitted["view"]["state"]["values"]
    assert values["contract"]["value"] == {"type": "file_input", "files": [file.to_json()]}
    assert values["evidence"]["value"] == {"type": "file_input", "files": []}
    (sent,) = values["contract"]["value"]["files"]
    assert (sent["is_public"], sent["user"]) == (False, "U0ANN")
    assert (await get(sent["url_private_download"])).content == b"%PDF"
    assert await is_sign_in_page(sent["url_private_download"], None)
    assert (await bot.client.files_info(file=file.id))["file"]["shares"] == {}


async def test_other_actions_of_the_view_carry_them_too(opened: tuple[ModalBot, Person]) -> None:
    """[believed]"""
    bot, ann = opened
    chosen = ann.choose_files(ann.view, "evidence", [("a.bin", b"a"), ("b", b"b")])
    await ann.click(ann.view, "More")
    (action,) = bot.actions
    assert action["view"]["state"]["values"]["evidence"]["value"]["files"] == [file.to_json() for file in chosen]


async def test_a_changed_view_keeps_them_where_the_field_stays(opened: tuple[ModalBot, Person]) -> None:
    bot, ann = opened
    ann.choose_files(ann.view, "Contract", [("a.pdf", b"a")])
    ann.choose_files(ann.view, "Evidence", [("a.png", b"a")])
    await bot.update(modal(FIELD))
    assert (await ann.submit_view()).acked
    values = bot.submitted[0]["view"]["state"]["values"]
    assert [file["name"] for file in values["contract"]["value"]["files"]] == ["a.pdf"]
    assert values.keys() == {"contract"}


async def test_a_new_choice_replaces_the_last(opened: tuple[ModalBot, Person]) -> None:
    bot, ann = opened
    for name in ("a.pdf", "b.pdf"):
        ann.choose_files(ann.view, "Contract", [(name, b"a")])
    await ann.submit_view()
    files = bot.submitted[0]["view"]["state"]["values"]["contract"]["value"]["files"]
    assert [file["name"] for file in files] == ["b.pdf"]


async def test_a_required_field_wants_a_file(opened: tuple[ModalBot, Person]) -> None:
    bot, ann = opened
    ann.choose_files(ann.view, "Contract", [])
    assert (await ann.submit_view()).field_errors == {"contract": "Please complete this required field."}
    assert not bot.submitted


@pytest.mark.parametrize(
    ("name", "files", "said"),
    [
        ("Contract", [(f"{number}.pdf", b"a") for number in range(3)], "at most 2 files"),
        ("Evidence", [(f"{number}.pdf", b"a") for number in range(11)], "at most 10 files"),
        ("Contract", [("a.pdf", b"a"), ("b.png", b"b")], "takes docx, pdf, not b.png"),
        ("Contract", [("pdf", b"a")], "takes docx, pdf"),
        ("Evidence", [LocalFile("film.mp4", (10 * MB + 1, b"frame"))], "up to 10 MB"),
    ],
)
async def test_the_client_refuses_what_the_field_does_not_take(
    opened: tuple[ModalBot, Person], name: str, files: list[Any], said: str
) -> None:
    bot, ann = opened
    with pytest.raises(ValueError, match=said):
        ann.choose_files(ann.view, name, files)
    assert not bot.workspace.files.by_id


async def test_ten_files_of_10_mb_are_taken(opened: tuple[ModalBot, Person]) -> None:
    _, ann = opened
    films = [LocalFile(f"{number}.mp4", (10 * MB, b"frame")) for number in range(10)]
    assert len(ann.choose_files(ann.view, "Evidence", films)) == 10


async def test_only_file_fields_take_files(connected: Callable[..., Any]) -> None:
    ann = await (await connected()).open(modal(field("Reason", "reason")))
    with pytest.raises(LookupError, match="takes no files"):
        ann.choose_files(ann.view, "Reason", [])


async def test_the_transcript_shows_what_is_chosen(opened: tuple[ModalBot, Person]) -> None:
    bot, ann = opened
    ann.choose_files(ann.view, "Contract", [("a.pdf", b"a"), ("b.pdf", (3 * MB, b"b"))])
    page = transcript(bot.workspace, "content", "ann")
    assert "Contract: ‹ 📎 a.pdf (PDF, 1 B), 📎 b.pdf (PDF, 3 MB) ▾ ›" in page
    assert "Evidence (optional): ‹ choose ▾ ›" in page
