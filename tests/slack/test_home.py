"""The Home of somebody with nothing, with everything, and with more than is listed.

`python -m tests.slack.test_home` writes the golden files anew.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bot.core.model import AppMode, Form, FormStatus, Run, RunStatus
from bot.core.ports import Home
from bot.playground.slack.block_kit import view_problems
from bot.playground.slack.text import shown
from bot.slack import ids
from bot.slack.home import home_view
from tests.factories import NOW, make_form, make_run, make_submission
from tests.slack.hostile import HOSTILE, harm
from tests.slack.test_hostile import poisoned

GOLDEN = Path(__file__).parent / "golden"
URL = "https://demo.slack.com/"
OUR_LINK = re.compile(r"<https://demo\.slack\.com/archives/[\w/]+\?thread_ts=[\d.]+&amp;cid=\w+\|([\w ]+)>")


def at(hours: float) -> datetime:
    return NOW + timedelta(hours=hours)


def started(number: int, status: RunStatus, *forms: Form, **changes: Any) -> Run:
    """Return a run whose thread is there."""
    known = {"run_id": f"run-{number}", "created_at": at(number), "thread_ts": f"{number}.5", "root_ts": f"{number}.5"}
    return make_run(**{**known, "status": status, "started_at": at(number), "forms": forms, **changes})


def form(number: int, title: str, **changes: Any) -> Form:
    return make_form(**{"form_id": f"form-{number}", "node_title": title, "message_ts": f"{number}.75", **changes})


def home(*runs: Run, **changes: Any) -> Home:
    return replace(Home("U1", "D1", runs, False, "/dify", ("review", "support"), at(9)), **changes)


ANSWERED = form(3, "Sign-off", status=FormStatus.SUBMITTING, submission=make_submission())
NOT_ANSWERABLE = form(4, "By e-mail", answerable=False, form_token=None, message_ts="4.75")
CASES = {
    "home-empty": home(),
    "home-problem": home(problem="I could not open the window, and nothing was started: try again in a moment."),
    "home-full": home(
        started(5, RunStatus.PAUSED, form(5, "Review *draft*", expires_at=at(80)), form(6, "Second opinion")),
        started(4, RunStatus.PAUSED, NOT_ANSWERABLE),
        started(3, RunStatus.PAUSED, ANSWERED, run_inputs={"topic": "Tea & cake", "language": "English", "size": 3}),
        started(2, RunStatus.PAUSED, form(2, "Review", expires_at=at(20)), channel_id="D1"),
        started(1, RunStatus.RUNNING, mode=AppMode.CHATFLOW, app="support", query="Where is <my> order?"),
        make_run(run_id="run-0", created_at=at(0)),
        started(7, RunStatus.SUCCEEDED, ended_at=at(7.5)),
        started(6, RunStatus.FAILED, ended_at=at(7), error="No <model> answers", failed_step="Draft"),
    ),
    "home-many": home(
        *(
            started(number, RunStatus.PAUSED, form(number, f"Review {number}", expires_at=at(100 - number)))
            for number in range(20, 9, -1)
        ),
        *(started(number, RunStatus.RUNNING) for number in range(41, 29, -1)),
        is_cut=True,
    ),
}


def blocks(home: Home) -> list[dict[str, Any]]:
    """Return the blocks as they are sent, which Slack takes."""
    view = home_view(home, URL).to_dict()
    assert [str(problem) for problem in view_problems(view)] == []
    sent: list[dict[str, Any]] = view["blocks"]
    return sent


def listed(home: Home, title: str) -> list[str]:
    """Return what stands below a header, up to the next one."""
    texts: list[str] = []
    is_below = False
    for block in blocks(home):
        if block["type"] in ("header", "divider"):
            is_below = block.get("text", {}).get("text") == title
        elif is_below:
            texts.append(shown("", [block]))
    return texts


def written(case: str) -> str:
    """Return the golden file's text as it should be."""
    return json.dumps(home_view(CASES[case], URL).to_dict(), ensure_ascii=False, indent=2) + "\n"


@pytest.mark.parametrize("case", CASES)
def test_homes_are_rendered_as_agreed(case: str) -> None:
    """A change of what people see is a change of a golden file."""
    assert written(case) == (GOLDEN / f"{case}.json").read_text(encoding="utf-8")
    assert blocks(CASES[case])


def test_what_is_due_next_stands_first_then_what_waits_longest() -> None:
    """And nothing that waits is told a second time below."""
    waiting = listed(CASES["home-full"], "Waits for an answer")
    assert [re.findall(r"📝 \*(.+?)\*", row) for row in waiting] == [
        ["Review"],
        ["Review ∗draft∗"],
        ["By e-mail"],
        ["Second opinion"],
    ]
    running = listed(CASES["home-full"], "Running")
    assert len(running) == 3
    assert "Sign-off" in running[0]


def test_what_is_not_listed_is_counted() -> None:
    many = CASES["home-many"]
    waiting, running = listed(many, "Waits for an answer"), listed(many, "Running")
    assert (len(waiting), waiting[-1]) == (11, "… and 1 more")
    assert (len(running), running[-2]) == (12, "… and 2 more")
    assert running[-1].startswith("Only 23 of your runs")


def test_a_form_that_is_not_posted_yet_has_no_link() -> None:
    waits = started(1, RunStatus.PAUSED, form(1, "Review", message_ts=None, status=FormStatus.REQUIRED))
    assert OUR_LINK.findall(json.dumps(blocks(home(waits)))) == []


def test_the_button_says_where_it_starts() -> None:
    (button,) = (block["accessory"] for block in blocks(home(channel_id="D7")) if "accessory" in block)
    assert (button["action_id"], button["value"]) == (ids.START_HERE, "D7")


@pytest.mark.parametrize("text", HOSTILE)
def test_no_text_of_others_does_harm_in_a_home(text: str) -> None:
    given = poisoned(CASES["home-full"].runs, text)
    sent = blocks(home(*given, problem=text))
    without_links = json.loads(OUR_LINK.sub(r"\1", json.dumps(sent, ensure_ascii=False)))
    assert harm("", without_links) == []


if __name__ == "__main__":
    for case in CASES:
        (GOLDEN / f"{case}.json").write_text(written(case), encoding="utf-8")
