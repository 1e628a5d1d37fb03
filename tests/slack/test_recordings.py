"""Every form and every end of a run that a real Dify server was recorded to tell, as people see it in Slack.

One golden file shows each in plain text, with the recordings that tell it: `01/0` is the first exchange of file 01
in tests/data/dify. `python -m tests.slack.test_recordings` writes the golden files anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from bot.core import effects as do
from bot.core.events import FormRequired, RunFinished, StreamEvent
from bot.core.model import AppMode, Form, FormStatus, Run, RunStatus
from bot.core.ports import WindowFill
from bot.dify import schema
from bot.dify.sansio import SegmentReader
from bot.playground.slack import block_kit
from bot.slack.forms.form import form_messages, obstacle
from bot.slack.forms.window import window
from bot.slack.messages.blocks import Post, render
from bot.slack.messages.message import Message
from tests.dify.recordings import Exchange, exchanges, frames, streams
from tests.factories import NOW, make_run
from tests.slack.drawing import drawn_file, drawn_message, drawn_window
from tests.slack.reading import Json, disguised_links, faults, pings

GOLDEN = Path(__file__).parent / "golden" / "recordings"
CHATFLOWS = ("15", "16", "31", "46", "47", "48")
"""The recordings of Chatflows; an event alone does not always tell."""


class EveryEvent(SegmentReader):
    """Reads on over pauses and ends: a recorded stream may be a replay."""

    def receive(self, name: str, text: str) -> tuple[StreamEvent, ...]:
        events = super().receive(name, text)
        self.ended = False
        return events


def events(each: Exchange) -> Iterator[StreamEvent]:
    """Return what a recorded stream tells."""
    reader = EveryEvent(names_run=True)
    for frame in frames(each.stream):
        for line in frame.decode().split("\n"):
            if line.startswith("data: "):
                yield from reader.receive("message", line.removeprefix("data: "))


@cache
def forms() -> tuple[tuple[str, Form], ...]:
    """Return each recorded form, and where it was announced first; later ones may be raw (recording 05).

    All of them have one deadline, so that those that differ in nothing else look the same.
    """
    found: dict[str, tuple[str, Form]] = {}
    for each in streams():
        for event in events(each):
            if isinstance(event, FormRequired):
                form = replace(event.form, status=FormStatus.OPEN, expires_at=NOW)
                found.setdefault(form.form_id, (each.number, form))
    return tuple(found.values())


@cache
def ends() -> tuple[tuple[str, RunFinished], ...]:
    """Return each recorded end of a run: as a stream tells it, and the outputs as they are read later."""
    told = [(each.number, event) for each in streams() for event in events(each) if isinstance(event, RunFinished)]
    for each in exchanges():
        if each.route == "GET /v1/workflows/run/*" and each.status == 200:
            detail = schema.RunAnswer.model_validate_json(each.body).to_core()
            if detail.status is RunStatus.SUCCEEDED:
                told.append((each.number, RunFinished(detail.status, detail.outputs, detail.error)))
    return tuple(told)


def run_of(number: str, form: Form) -> Run:
    """Return the run that waits for a form."""
    return make_run(status=RunStatus.PAUSED, mode=mode_of(number), thread_ts="1.0", forms=(form,))


def mode_of(number: str) -> AppMode:
    """Return of what kind the recorded app is."""
    return AppMode.CHATFLOW if number.startswith(CHATFLOWS) else AppMode.WORKFLOW


def messages_of(number: str, form: Form) -> tuple[Message, ...]:
    """Return what is posted of a form."""
    return form_messages(run_of(number, form), form)


def window_of(number: str, form: Form) -> Json | None:
    """Return the form's window; None where it cannot be answered in Slack."""
    return window(run_of(number, form), form, WindowFill()) if obstacle(form) is None else None


def result_of(number: str, end: RunFinished) -> Post:
    """Return what is posted of a run's end."""
    ended = make_run(
        status=end.status,
        mode=mode_of(number),
        outputs=end.outputs,
        error=end.error,
        failed_step=end.failed_step,
        workflow_run_id="w",
        thread_ts="1.0",
    )
    post = render(do.PostResult(), ended, NOW)
    assert isinstance(post, Post)
    return post


def drawn_form(number: str, form: Form) -> str:
    """Return a form as text: its messages, and its window."""
    view = window_of(number, form)
    parts = [*map(drawn_message, messages_of(number, form)), *([drawn_window(view)] if view else [])]
    return "\n\n".join(parts) + "\n"


def drawn_end(number: str, end: RunFinished) -> str:
    """Return the end of a run as text: its messages, and the file below them."""
    post = result_of(number, end)
    return "\n\n".join([*map(drawn_message, post.messages), *([drawn_file(post.file)] if post.file else [])]) + "\n"


@cache
def cases() -> dict[str, str]:
    """Return the golden files by name as they should be: one for all recordings that look the same."""
    told: dict[tuple[str, str], list[str]] = {}
    for number, form in forms():
        told.setdefault(("form", drawn_form(number, form)), []).append(number)
    for number, end in ends():
        told.setdefault(("end", drawn_end(number, end)), []).append(number)
    found: dict[str, str] = {}
    for (kind, drawn), numbers in told.items():
        name = f"{kind}-{numbers[0].replace('/', '-')}"
        while f"{name}.txt" in found:
            name += "-next"
        found[f"{name}.txt"] = f"Recorded in {', '.join(dict.fromkeys(numbers))}\n\n{drawn}"
    return found


def test_there_are_golden_files_for_every_recording() -> None:
    """And no others."""
    assert {path.name for path in GOLDEN.iterdir()} == cases().keys()
    assert len(forms()) > 120
    assert len(ends()) > 120


@pytest.mark.parametrize("name", cases())
def test_recordings_are_shown_as_agreed(name: str) -> None:
    """A change of what people see is a change of a golden file."""
    assert (GOLDEN / name).read_text(encoding="utf-8") == cases()[name]


def test_no_recorded_form_is_refused_by_slack_or_does_harm() -> None:
    for number, form in forms():
        for message in messages_of(number, form):
            assert not faults(message), number
            assert pings(message) <= {"U1"}, number
            assert not disguised_links(message), number
        view = window_of(number, form)
        assert view is None or not block_kit.view_problems(view), number


def test_no_recorded_end_is_refused_by_slack_or_does_harm() -> None:
    for number, end in ends():
        for message in result_of(number, end).messages:
            assert not faults(message), number
            assert not pings(message), number
            assert not disguised_links(message), number


def test_no_secret_of_a_recording_is_shown() -> None:
    """A form's token lets everybody answer it."""
    tokens = [form.form_token for _, form in forms() if form.form_token]
    assert tokens
    for name, text in cases().items():
        assert not any(token in text for token in tokens), name


if __name__ == "__main__":
    for old in GOLDEN.iterdir():
        old.unlink()
    for name, text in cases().items():
        (GOLDEN / name).write_text(text, encoding="utf-8")
