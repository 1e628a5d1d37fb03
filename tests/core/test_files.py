"""Names of files, and what Dify takes them for."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bot.core.files import MB, clean_name, extension, kind_to_send, too_large
from bot.core.model import Accepts, FileKind, FileLimits


@pytest.mark.parametrize(
    ("name", "clean"),
    [
        ("report.pdf", "report.pdf"),
        ("レポート é.png", "レポート é.png"),
        ('📎 emoji & <b> "q" .txt', '📎 emoji & <b> "q" .txt'),
        ("👩\u200d💻.png", "👩\u200d💻.png"),
        ("ctl\a\ttab.txt", "ctltab.txt"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\ann\\plan.docx", "plan.docx"),
        ("a\r\nX-Evil: 1.png", "aX-Evil: 1.png"),
        ("invoice\u202efdp.exe", "invoicefdp.exe"),
        ("..", "file"),
        ("", "file"),
        ("a/", "file"),
        (".png", "file.png"),
        ("\0.png", "file.png"),
        ("half \ud83d.png", "half .png"),
        (" plan. ", "plan"),
        ("x" * 195 + ".png", "x" * 195 + ".png"),
        ("x" * 250 + ".png", "x" * 196 + ".png"),
    ],
)
def test_a_name_is_cleaned_of_what_is_no_name(name: str, clean: str) -> None:
    """The recorded names of uploads among them (recordings 08, 37)."""
    assert clean_name(name) == clean


ENDINGS = st.from_regex(r"[A-Za-z0-9]{1,10}", fullmatch=True)


@given(st.text(max_size=300), ENDINGS)
@example("n" * 250, "png")
@example("a.", "png")
@example("." * 250, "png")
@example("x" * 195 + ".png", "png")
def test_whatever_a_file_is_called_it_has_a_name_and_keeps_its_extension(stem: str, ending: str) -> None:
    clean = clean_name(f"{stem}.{ending}")
    assert extension(clean) == ending.lower()
    assert len(clean) <= 200


@given(st.text(max_size=500))
def test_no_name_is_a_path_or_holds_a_control_character(name: str) -> None:
    clean = clean_name(name)
    assert 0 < len(clean) <= 200
    assert not clean.startswith(".")
    assert not {"/", "\\", "\r", "\n", "\0"} & set(clean)
    assert not {unicodedata.category(each) for each in clean} & {"Cc", "Cs", "Zl", "Zp"}
    assert not {unicodedata.bidirectional(each) for each in clean} & {"LRE", "RLE", "LRO", "RLO", "LRI", "RLI", "FSI"}
    assert clean.encode().decode() == clean
    assert clean_name(clean) == clean


PAPERS, PICTURES = Accepts(types=("document",)), Accepts(types=("image",))
TABLES = Accepts(types=("custom",), extensions=(".csv",))
EITHER = Accepts(types=("custom", "document"), extensions=(".csv",))


@pytest.mark.parametrize(
    ("url", "accepts", "kind"),
    [
        ("https://example.com/plan.pdf", PAPERS, FileKind.DOCUMENT),
        ("https://example.com/plan.pdf", PICTURES, None),
        ("https://example.com/scan.bmp", PICTURES, FileKind.IMAGE),
        ("https://example.com/setup.exe", PAPERS, None),
        ("https://example.com/", PAPERS, FileKind.DOCUMENT),
        ("https://example.com/pdf/2401.12345", PAPERS, FileKind.DOCUMENT),
        ("https://example.com/download.aspx?id=7", PICTURES, FileKind.IMAGE),
        ("https://example.com/download.aspx?id=7", EITHER, FileKind.DOCUMENT),
        ("https://example.com/download.aspx?id=7", TABLES, None),
        ("https://example.com/export?id=7", TABLES, FileKind.CUSTOM),
        ("https://example.com/numbers.csv", TABLES, FileKind.CUSTOM),
    ],
)
def test_a_link_is_taken_for_what_is_wanted_unless_its_extension_says_otherwise(
    url: str, accepts: Accepts, kind: FileKind | None
) -> None:
    """Dify goes by what is served there (dify-api §12.5), so that `2401.12345` may be a paper."""
    assert kind_to_send(url, accepts) is kind


def test_no_file_is_said_to_have_just_what_is_taken() -> None:
    limits = FileLimits()
    assert too_large("roof.png", 10 * MB, limits) is None
    assert (too_large("roof.png", 10 * MB + 1, limits) or "").endswith("above 10 MB, and this one has 10.1 MB.")
