"""Draw the transition tables into the README: `python -m tests.core.diagram`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from bot.core.attaching import ATTACHMENT_MOVES
from bot.core.giving_out import OUT_FILE_MOVES
from bot.core.lifecycle import FORM_MOVES, RUN_MOVES
from bot.core.model import AttachmentStatus, FormStatus, OutFileStatus, RunStatus

README = Path(__file__).parents[2] / "README.md"
BEGIN = "<!-- state-diagram -->"
END = "<!-- /state-diagram -->"


def section() -> str:
    """Return what stands in the README from marker to marker, both included."""
    return "\n\n".join(
        (
            BEGIN,
            "### A run",
            _diagram(RUN_MOVES, [status for status in RunStatus if status.ended]),
            "### A form",
            _diagram(FORM_MOVES, [status for status in FormStatus if status.closed]),
            "### A file that somebody gives",
            _diagram(ATTACHMENT_MOVES, [status for status in AttachmentStatus if not status.counts]),
            "### A file that a run gives out",
            _diagram(OUT_FILE_MOVES, [OutFileStatus.SHARED, OutFileStatus.MISSED]),
            "Drawn from `bot/core/lifecycle.py`, `bot/core/attaching.py` and `bot/core/giving_out.py` by "
            "`python -m tests.core.diagram`, without moves that stay in place.",
            END,
        )
    )


def in_readme(readme: str) -> str:
    """Return what the README has from marker to marker; nothing where the markers are missing."""
    begin, end = readme.find(BEGIN), readme.find(END)
    return readme[begin : end + len(END)] if 0 <= begin < end else ""


def redrawn(readme: str) -> str:
    """Return the README with the section as the tables have it now, at its end where it had none."""
    old = in_readme(readme)
    return readme.replace(old, section()) if old else f"{readme.rstrip()}\n\n## States\n\n{section()}\n"


def _diagram(moves: Mapping[Any, Mapping[Any, Any]], terminal: Iterable[str]) -> str:
    statuses = type(next(iter(moves)))
    lines = [f'state "{status}" as {_name(status)}' for status in statuses if _name(status) != status]
    lines.append(f"[*] --> {_name(next(iter(moves)))}")
    for status, row in moves.items():
        labels: dict[str, list[str]] = {}
        for move, target in row.items():
            if target is not status:
                labels.setdefault(target, []).append(move)
        lines += [f"{_name(status)} --> {_name(target)}: {' / '.join(labels[target])}" for target in labels]
    lines += [f"{_name(status)} --> [*]" for status in terminal]
    return "\n".join(("```mermaid", "stateDiagram-v2", *(f"    {line}" for line in lines), "```"))


def _name(status: str) -> str:
    """Return a status as a name that Mermaid takes."""
    return status.replace("-", "_")


if __name__ == "__main__":
    README.write_text(redrawn(README.read_text(encoding="utf-8")), encoding="utf-8")
