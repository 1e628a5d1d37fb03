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
from bot.slack.delivery.chain import Chain, Stream, begin, next_step, take
from bot.slack.delivery.native_streams import drawing
from bot.slack.forms.form import form_messages
from bot.slack.messages.result import answer_messages
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
        Row("long_stream_render_ms",
            _ms(lambda salt: answer_messages(_salted(text, salt), writing=False), effort.starts),
            "a 100,000-character text → its messages, at once"),
        Row("long_drawn_draw_ms", _ms(lambda salt: _grow(_salted(text, salt)), effort.starts) / _STEPS,
            f"the same while it is written: one of {_STEPS} drawings in a row, on average"),
        Row("long_stream_draw_ms",
            _ms(lambda salt: _grow_natively(_salted(text, f"native {salt}")), effort.starts) / _STEPS,
            "the same where it is streamed: what is settled of it, and what is new in that"),
    ]  # fmt: skip
    with TemporaryDirectory(prefix="benchmark-") as folder:
        async with open_platforms() as platforms:
            port = free_port(HOST)
            bot = platforms.new_bot(Path(folder), port, SLACK_RATE_FACTOR=str(effort.rate_factor))
            async with bot:
                await platforms.slack.call("deliver", name="bot", url=f"http://{HOST}:{port}/slack/events")
                for name, app, natively in _WAYS:
                    calls = Counter(await platforms.slack.call("long", app=app.name, natively=natively))
                    rows += _calls(name, calls)
                check_bot(bot)
    return rows


_WAYS = (("form", LONG_FORM, True), ("stream", LONG_REPORT, True), ("drawn", LONG_REPORT, False))
"""What is measured: a form, and a text that is streamed natively or, as without streams, redrawn."""


def _calls(name: str, calls: Counter[str]) -> list[Row]:
    posts = sum(calls[method] for method in _POSTS)
    what = "from the command until the form is there" if name == "form" else "from the command to the end of the run"
    return [
        Row(f"long_{name}_calls", calls.total(), f"calls to Slack's Web API, {what}"),
        Row(f"long_{name}_posts", posts, "of these, messages and files posted"),
        Row(f"long_{name}_streams", calls["chat.startStream"], "of these, messages begun as native streams"),
        Row(f"long_{name}_appends", calls["chat.appendStream"], "of these, chat.appendStream"),
        Row(f"long_{name}_updates", calls["chat.update"], "of these, chat.update"),
    ]


def _salted(text: str, salt: str) -> str:
    """Return a text none of whose chapters was rendered before."""
    return text.replace("section", f"section of {salt}")


def _grow(text: str) -> None:
    for step in range(1, _STEPS + 1):
        answer_messages(text[: len(text) * step // _STEPS])


def _grow_natively(text: str) -> None:
    chain = Chain("benchmark")
    for step in range(1, _STEPS + 1):
        grown = text[: len(text) * step // _STEPS]
        wanted = drawing(grown, (), chain, natively=True)
        while (next_one := next_step(chain, wanted.messages, grows=wanted.grows)) is not None:
            message = next_one.message
            if message is None or not next_one.grows:
                take(chain, next_one, "1.0")
            else:
                begin(chain, next_one.number, "1.0", Stream(message.markdown))


def _ms(render: Callable[[str], object], times: int) -> float:
    """Return the median time of a rendering; the salt keeps one from being remembered from the one before."""
    took = []
    for number in range(times):
        began = time.perf_counter()
        render(f"{number} ")
        took.append((time.perf_counter() - began) * 1000)
    return median(took)
