"""The README's diagrams are the tables, so they cannot lie."""

from __future__ import annotations

import re

import pytest

from bot.core.lifecycle import FormMove, RunMove
from tests.core.diagram import BEGIN, END, README, in_readme, redrawn, section


def test_the_readme_shows_the_tables_as_they_are() -> None:
    """Run `python -m tests.core.diagram` after a change of the tables."""
    assert in_readme(README.read_text(encoding="utf-8")) == section()


def test_the_section_is_added_where_it_is_missing() -> None:
    assert redrawn("# Title\n") == f"# Title\n\n## States\n\n{section()}\n"


def test_only_the_section_is_rewritten() -> None:
    assert redrawn(f"before {BEGIN} old {END} after") == f"before {section()} after"


@pytest.mark.parametrize("move", [*RunMove, *FormMove])
def test_every_move_has_a_label_that_mermaid_can_read(move: str) -> None:
    """Mermaid ends a label at a colon or a semicolon."""
    assert not re.search("[:;]", move)
