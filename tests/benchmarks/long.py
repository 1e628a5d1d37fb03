"""Long texts: what it takes to render them, and how often Slack is called for one."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from bot.playground.bot_process import free_port
from bot.playground.dify.graph import Llm, Template
from bot.slack.form import form_messages
from bot.slack.result import answer_messages
from tests.benchmarks.dify_side import LONG_FORM, LONG_REPORT
from tests.benchmarks.effort import Effort, Row
from tests.benchmarks.rig import HOST, check_bot, open_platforms
from tests.factories import make_form, make_run

_STEPS = 50
"""Drawings of a text while it grows."""
_POSTS = ("chat.postMessage", "files.getUploadURLExternal", "files.completeUploadExternal")


async def long(effort: Effort) -> list[Row]:
    """Render time and calls to Slack of a 200,000-character form and a 100,000-character stream."""
    form_text = next(node.text for node in LONG_FORM.nodes if isinstance(node, Template))
    text = next(node.text for node in LONG_REPORT.nodes if isinstance(node, Llm))
    form = make_form(message_ts=None, content=form_text + "\n\n{{#$output.feedback#}}")
    run = make_run(forms=(form,))
    rows = [
        Row("long_form_render_ms", _ms(lambda salt: form_messages(run, replace(form, content=salt + form.content)),
            effort.starts), "a 200,000-character form → its messages, in the bot's process"),
        Row("long_stream_render_ms", _ms(lambda salt: answer_messages(salt + text, writing=False), effort.starts),
            "a 100,000-character text → its messages, at once"),
        Row("long_stream_draw_ms", _ms(lambda salt: _grow(salt + text), effort.starts) / _STEPS,
            f"the same while it is written: one of {_STEPS} drawings in a row, on average"),
    ]  # fmt: skip
    with TemporaryDirectory(prefix="benchmark-") as folder:
        async with open_platforms() as platforms:
            port = free_port(HOST)
            bot = platforms.new_bot(Path(folder), port, SLACK_RATE_FACTOR=str(effort.rate_factor))
            async with bot:
                await platforms.slack.call("deliver", name="bot", url=f"http://{HOST}:{port}/slack/events")
                for name, app in (("form", LONG_FORM), ("stream", LONG_REPORT)):
                    calls = Counter(await platforms.slack.call("long", app=app.name))
                    rows += _calls(name, calls)
                check_bot(bot)
    return rows


def _calls(name: str, calls: Counter[str]) -> list[Row]:
    posts = sum(calls[method] for method in _POSTS)
    what = "from the command until the form is there" if name == "form" else "from the command to the end of the run"
    return [
        Row(f"long_{name}_calls", calls.total(), f"calls to Slack's Web API, {what}"),
        Row(f"long_{name}_posts", posts, "of these, messages and files posted"),
        Row(f"long_{name}_updates", calls["chat.update"], "of these, chat.update"),
    ]


def _grow(text: str) -> None:
    for step in range(1, _STEPS + 1):
        answer_messages(text[: len(text) * step // _STEPS])


def _ms(render: Callable[[str], object], times: int) -> float:
    """Return the median time of a rendering; the salt keeps one from being remembered from the one before."""
    took = []
    for number in range(times):
        began = time.perf_counter()
        render(f"{number} ")
        took.append((time.perf_counter() - began) * 1000)
    return median(took)
