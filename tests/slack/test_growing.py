"""How far a text that is being written can be shown for good."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.playground.dify.apps import long_report
from bot.playground.dify.graph import Llm
from bot.slack.delivery.chain import Chain, Step, Stream, begin, next_step, take
from bot.slack.delivery.native_streams import drawing
from bot.slack.delivery.posts import method_of
from bot.slack.delivery.web_api import APPEND, DELETE, START, STOP
from bot.slack.messages.result import answer_messages
from bot.slack.text.growing import may_break, settled
from tests.slack.hostile import HOSTILE

LIKE_A_MODEL = """\
# Plan for the launch

Here's a **structured plan** for the *Harbor* app - it covers goals, time & risks.

1. **Reach 10,000 sign-ups** in the first month:
   - 60% from organic channels
   - 40% from paid campaigns (see `budget.xlsx`)

2. **Keep churn below 3%**:
   - Weekly check-ins with early users

> "A launch is not an event." - someone wise,
> and probably tired.

---

| Phase | Start | Owner |
|-------|:-----:|------:|
| Preparation | 1 March | Ann |
| **Public launch** | 15 April | - |

We use `launch_date` and my_other_variable, and 5 * 3 = 15 is computed *on the fly*.

```python
def days_left(launch_date: datetime.date) -> int:
    today = datetime.date.today()

    return (launch_date - today).days  # may be < 0
```

- See [the handbook](https://example.com/handbook) or ask in the channel.
- Steps:
  1. Click **Settings**
     ```bash
     curl -X POST https://api.example.com/v1/launch \\
       -H "Authorization: Bearer $TOKEN"
     ```
  2. Confirm

**Note:** 1,000 < budget < 5,000. Questions? Write to ops@example.com.

- [ ] Write the announcement
- [x] Book the venue

Keep it *simple*, keep it ~short~, and don't forget to ~~worry~~ **celebrate**! Shall I go on?
"""
(REPORT,) = (node.text for node in long_report(30_000).nodes if isinstance(node, Llm))

_pieces = st.one_of(
    st.text(max_size=20),
    st.sampled_from(["**", "*", "_", "`", "```", "\n", "\n\n", "- ", "1. ", "| a | b |\n", "| - | - |\n", "> ", "# "]),
    st.sampled_from(
        ["words ", "and more of them ", "---\n", "===\n", "[a](https://a.example) ", "~~", "    ", "<!channel> "]
    ),
    st.sampled_from(HOSTILE),
)


class Thread:
    """What a reader sees of a text that is drawn as `Texts` does, without Slack: by `ts`, the Markdown."""

    def __init__(self) -> None:
        self.chain = Chain("text-1")
        self.shown: dict[str, str] = {}
        self.repairs = 0

    def grow(self, text: str) -> None:
        """Draw a text that is being written as far as it goes."""
        while True:
            wanted = drawing(text, (), self.chain, natively=True)
            step = next_step(self.chain, wanted.messages, grows=wanted.grows)
            if step is None:
                return
            self._take(step)

    def end(self, text: str) -> None:
        """Draw it for the last time."""
        wanted = answer_messages(text, writing=False)
        while (step := next_step(self.chain, wanted)) is not None:
            self._take(step)

    def _take(self, step: Step) -> None:
        method = method_of(self.chain, step)
        markdown = step.message.markdown if step.message else ""
        if method == START:
            ts = f"{len(self.shown)}"
            self.shown[ts] = markdown
            begin(self.chain, step.number, ts, Stream(markdown))
            return
        part = self.chain.parts[step.number] if step.number < len(self.chain.parts) else None
        if method == APPEND:
            assert part is not None
            assert part.stream is not None
            assert part.stream.appended == self.shown[part.ts or ""]
            self.shown[part.ts or ""] += markdown[len(part.stream.appended or "") :]
            part.stream.appended = markdown
        elif method == STOP:
            assert part is not None
            before, part.stream = self.shown[part.ts or ""], None
            if step.message is not None and markdown.startswith(before):
                self.shown[part.ts or ""] = markdown
                self.chain.shows_at(step.number, step.message)
            else:
                self.repairs += 1
        elif method == DELETE:
            self.shown.pop(step.ts or "", None)
            take(self.chain, step, None)
        else:
            ts = step.ts or f"{len(self.shown)}"
            self.shown[ts] = markdown
            take(self.chain, step, ts)

    @property
    def texts(self) -> list[str]:
        """The Markdown of its messages, in order."""
        return [self.shown[part.ts or ""] for part in self.chain.parts]


@given(st.lists(_pieces, max_size=12))
def test_whatever_is_written_stands_there_whole_in_the_end(pieces: list[str]) -> None:
    """What was added is a part of it, or was drawn anew."""
    thread, text = Thread(), ""
    for piece in pieces:
        text += piece
        thread.grow(text)
        assert settled(text).end <= len(text)
    thread.end(text)
    assert thread.texts == [message.markdown for message in answer_messages(text, writing=False)]


@pytest.mark.parametrize("step", [1, 7, 53])
@pytest.mark.parametrize("text", [LIKE_A_MODEL, REPORT], ids=["model", "report"])
def test_a_text_as_models_write_it_is_never_drawn_anew(text: str, step: int) -> None:
    """Nor does it lag far behind: no longer than a line that may become something else."""
    step *= 1 if len(text) < 5_000 else 40
    thread = Thread()
    for size in range(step, len(text), step):
        thread.grow(text[:size])
        assert size - settled(text[:size]).end < 100
    thread.end(text)
    assert thread.repairs == 0


def test_every_message_of_a_growing_text_but_the_last_stays_as_it_is() -> None:
    """So that at most one is open at any time."""
    laid_out = [[each.markdown for each in answer_messages(REPORT[:size])] for size in range(500, len(REPORT), 500)]
    for before, after in pairwise(laid_out):
        assert after[: len(before) - 1] == before[:-1]


@pytest.mark.parametrize(
    ("before", "after", "may"),
    [
        ("One.\n\n", "Two", True),
        ("One.", "\n\nTwo", True),
        ("One.", "\n\n## Two", True),
        ("One and", " two", True),
        ("One.\n", "Two", False),
        ("- One", " two", False),
        ("- One\n\n", "  two", False),
        ("- One\n\n", "- Two", False),
        ("| a | b |\n| - | - |\n| One", " two |", False),
        ("```\none\n\n", "two", False),
        ("> One", " two", False),
        ("One", "", False),
    ],
)
def test_a_message_may_begin_where_prose_begins(before: str, after: str, may: bool) -> None:
    """Nothing that goes on is parted."""
    assert may_break(before + after, len(before)) is may
