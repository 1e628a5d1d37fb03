"""The files that a run gives out: how its texts and values name them, and what people read in their place."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.core.model import OutFile, OutFileStatus
from bot.core.out_files import NO_ADDRESS, GrowingText, is_file, is_signed, out_files, with_links, without_addresses
from tests.dify.recordings import Exchange, exchange, frames

PATH = "/files/2ac4a416-d0e0-4212-bb70-6bdb0a7c9026/file-preview"
QUERY = "timestamp=1795187136&nonce=2a0e1baaa6f750cbf6d66092058e0990&sign=w_17tjDPnmvX-zxQ2E6Nh2k%3D"
SIGNED = f"http://127.0.0.1:5001{PATH}?{QUERY}"
FILE = {
    "dify_model_identity": "__dify__file__",
    "type": "image",
    "transfer_method": "local_file",
    "filename": "red dot.png",
    "mime_type": "image/png",
    "url": SIGNED,
}


@pytest.mark.parametrize(
    ("text", "read", "images"),
    [
        (f"See ![red dot.png]({SIGNED}).", "See 📎 red dot.png.", [True]),
        (f"[note.txt]({SIGNED})", "📎 note.txt", [False]),
        (f"[report[1].pdf]({SIGNED})", "📎 report[1].pdf", [False]),
        (f"![[final] roof [2].png]({SIGNED})", "📎 [final] roof [2].png", [True]),
        (f"[1] and [note [2]({SIGNED})", "[1] and [note 📎 2", [False]),
        (f"![{'x' * 300}.png]({SIGNED})", f"📎 {'x' * 300}.png", [True]),
        (f"![]({SIGNED})", "📎 file", [True]),
        (f"At {SIGNED}, as ever", "At 📎 file, as ever", [False]),
        (f"At {SIGNED}.", "At 📎 file.", [False]),
        (f"<{SIGNED}>", "<📎 file>", [False]),
        ("![a](https://dify.example/files/tools/b7.png?" + QUERY + ")", "📎 a", [True]),
        ("https://dify.example/files/tools/b7.png?" + QUERY, "📎 b7.png", [False]),
        (f"![a]({PATH}?{QUERY})", "📎 a", [True]),
        (f"![a](https://dify.example/behind/a/prefix{PATH}?{QUERY})", "📎 a", [True]),
        (json.dumps({"url": SIGNED}), '{"url": "📎 file"}', [False]),
        (SIGNED.replace("&", "\\u0026"), "📎 file", [False]),
        (SIGNED.replace("&", "&amp;"), "📎 file", [False]),
        (f"{SIGNED},{SIGNED.replace('2ac4', '3ac4')}", "📎 file,📎 file", [False, False]),
        ("https://example.com/files/a.png?size=2", "https://example.com/files/a.png?size=2", []),
        ("[a](https://example.com/a.png)", "[a](https://example.com/a.png)", []),
        ("The path /files/ of a server", "The path /files/ of a server", []),
    ],
)
def test_names_stand_in_the_place_of_what_dify_signed(text: str, read: str, images: list[bool]) -> None:
    """However it is written; what Dify did not sign stays."""
    assert without_addresses(text) == read
    assert [file.is_image for file in out_files(text, None)] == images


def test_a_file_is_one_however_often_it_is_named() -> None:
    """Every address that Dify signs has a signature of its own (recordings 09, 31)."""
    again = SIGNED.replace("w_17", "x_18")
    assert out_files({"answer": f"![red dot.png]({SIGNED})", "files": [{**FILE, "url": again}]}, None) == (
        OutFile(PATH, "red dot.png", again, is_image=True),
    )


@pytest.mark.parametrize("value", [{"a": [{"b": [FILE]}]}, [[FILE]], FILE, {"answer": {"value": [FILE]}}])
def test_files_are_found_however_deep_they_lie(value: Any) -> None:
    """As they do in what code puts together."""
    assert [file.name for file in out_files(value, "form-1")] == ["red dot.png"]


def test_what_is_elsewhere_is_not_difys_to_give() -> None:
    """It is a link that anybody may follow."""
    assert out_files({**FILE, "transfer_method": "remote_url", "url": "https://example.com/a.png"}, None) == ()


@pytest.mark.parametrize(
    ("method", "url"),
    [
        ("local_file", None),
        ("tool_file", ""),
        ("local_file", "https://dify.example/files/2ac4/file-preview"),
        ("tool_file", f"{PATH}?{QUERY[:40]}"),
        ("remote_url", None),
    ],
)
def test_a_file_without_an_address_is_missed_from_the_beginning(method: str, url: str | None) -> None:
    """Its name is all there is of it, wherever it stands."""
    bare = {**FILE, "transfer_method": method, "related_id": "2ac4", "url": url}
    (file,) = out_files({"answer": "Here.", "files": [{"deep": [bare]}, bare]}, None)
    assert (file.name, file.status, file.url, file.reason) == ("red dot.png", OutFileStatus.MISSED, "", NO_ADDRESS)


@pytest.mark.parametrize(
    "query", ["xtimestamp=1&xnonce=2&xsign=3", "a=timestamp=1,nonce=2,sign=3", "timestamp=1&nonce=2&resign=3"]
)
def test_only_what_has_all_that_a_signature_has_is_signed(query: str) -> None:
    """Names that only contain those of its parts are others."""
    assert not is_signed(f"{PATH}?{query}")
    assert is_signed(f"{PATH}?{query}&{QUERY}")


def test_a_name_is_data() -> None:
    """It becomes the name of a file in Slack."""
    assert [file.name for file in out_files(f"![../../etc/passwd\a]({SIGNED})", None)] == ["passwd"]


@pytest.mark.parametrize(
    ("number", "names"),
    [
        ("18/35", ["a.png"]),
        ("21/4", ["red dot.png"]),
        ("21/8", ["red dot.png"]),
        ("30/8", ["red dot.png"]),
        ("31/7", ["shot é.png", "note.txt", "proof.png"]),
        ("31/45", ["shot é.png", "note.txt", "proof.png"]),
        ("37/7", ["pic.png", '📎 emoji & <b> "q" .txt']),
        ("37/8", ["ctl%07%09tab.txt"]),
    ],
)
def test_every_recorded_file_is_found_and_no_address_is_left(number: str, names: list[str]) -> None:
    """In the text of a form, in outputs, and in the answer of a Chatflow."""
    said = [_parsed(each) for each in _said(exchange(number))]
    assert {file.name for each in said for file in out_files(each, None)} == set(names)
    assert not [text for text in _texts(said) if "sign=" in without_addresses(text)]


def _said(recorded: Exchange) -> list[str]:
    if recorded.chunks is None:
        return [recorded.body]
    return [frame.decode().removeprefix("data: ") for frame in frames(recorded.stream) if frame.startswith(b"data: ")]


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict) and not is_file(value):
        yield from _texts([*value.values()])
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)


def _parsed(value: Any) -> Any:
    """Read JSON, also where a text is some."""
    if isinstance(value, str) and value[:1] in ("{", "["):
        value = json.loads(value)
    if isinstance(value, dict):
        return {name: _parsed(each) for name, each in value.items()}
    return [_parsed(each) for each in value] if isinstance(value, list) else value


LINKS = (
    f"![red dot.png]({SIGNED})",
    f"[note.txt]({SIGNED})",
    f"[report[1].pdf]({SIGNED})",
    SIGNED,
    f"{PATH}?{QUERY}",
    "[a](https://example.com/b)",
)
BESIDES = (
    "!",
    "https://example.com",
    "- [ ] task",
    "[open",
    "[b]",
    "](",
    "h",
    "ht",
    "/files/",
    "/f",
    "\n",
    " ",
    "Words. ",
    "日本",
)
PIECES = st.sampled_from((*LINKS, *BESIDES))


@given(st.lists(PIECES, max_size=8).map("".join), st.lists(st.integers(1, 40), max_size=60))
def test_what_is_shown_of_a_growing_text_stays_and_is_no_part_of_an_address(text: str, sizes: list[int]) -> None:
    """However it arrives; in the end all of it is shown."""
    growing, shown, start = GrowingText(), "", 0
    for size in [*sizes, len(text)]:
        before, shown = shown, growing.add(text[start : start + size])
        start += size
        assert shown.startswith(before)
        assert not re.search("nonce|sign|timestamp", shown)
    assert growing.whole() == without_addresses(text)


def test_a_growing_text_is_shown_up_to_what_may_become_an_address() -> None:
    """And nothing else of it waits."""
    growing = GrowingText()
    arriving = ["So: wit", "h it, ![red", " dot.png](http", f"{SIGNED[4:]}", ") and", " https://exam", "ple.com", " is"]
    assert [growing.add(each) for each in arriving] == [
        "So: wit",
        "So: with it, ",
        "So: with it, ",
        "So: with it, ",
        "So: with it, 📎 red dot.png and",
        "So: with it, 📎 red dot.png and ",
        "So: with it, 📎 red dot.png and ",
        "So: with it, 📎 red dot.png and https://example.com is",
    ]


@pytest.mark.parametrize(
    "part", ["[", "[[a]", "![a](http://", "http://", "/files/", "/files/a?", f"[a]({PATH}?", "[a](/files/a?b="]
)
def test_no_text_takes_long(part: str) -> None:
    """What only looks like the beginning of many links is read once; a test that hangs fails."""
    text = part * (200_000 // len(part))
    assert with_links(text, lambda link: "") == text
    growing = GrowingText()
    for start in range(0, len(text), 1_000):
        growing.add(text[start : start + 1_000])
    assert growing.whole() == text


@pytest.mark.parametrize(
    "text",
    [
        "Set FILES_URL as https://[your-host]/files/a?b=1 and go on.",
        "https://[x]/files/a?timestamp=1&nonce=2&sign=3",
        "https://ex\u2100mple.com/files/x?timestamp=1&nonce=2&sign=3",
        "[a](https://[x/files/a?timestamp=1&nonce=2&sign=3)",
    ],
)
def test_what_only_looks_like_an_address_is_text(text: str) -> None:
    """A model may write anything, and a run must not go without its end for that."""
    assert out_files({"answer": text}, None) == ()
    assert without_addresses(text) == text
