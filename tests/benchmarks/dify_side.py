"""The simulated Dify server in a process of its own."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import replace
from typing import Any, Self

from bot.playground.dify import App, Dify, DifyServer
from bot.playground.dify.apps import quick, ticker
from bot.playground.dify.graph import End, HumanInput, Template, action, paragraph, select, text_input
from bot.playground.dify.runs import Run, RunStatus
from bot.playground.dify.simulator import Start
from tests.benchmarks.children import serve

QUESTION, RESULT = "A question about {}.", "The end of {}."
"""What the app `ask` says with its form and at its end, around the topic that it was started with."""


def ask() -> App:
    """A run that shows one form with a text and a select, and ends once it is answered."""
    return App(
        name="ask",
        start=(text_input("topic", required=True),),
        nodes=(
            HumanInput(
                "form",
                "Question",
                content=QUESTION.format("{{#start.topic#}}") + "\n\nNote\n\n{{#$output.note#}}\n\n{{#$output.tone#}}",
                inputs=(paragraph("note"), select("tone", ["friendly", "formal"])),
                actions=(action("ok", "OK", "primary"), action("no", "No")),
            ),
            Template("text", "Text", RESULT.format("{{#start.topic#}}")),
            End("end", "End", {"text": ("text", "output")}),
        ),
        edges=("start -> form", "form.ok -> text -> end", "form.no -> text"),
    )


APPS = (ask(), quick(), *(replace(ticker(rate, 3600), name=f"ticker{rate}") for rate in (2, 20)))


class _Watch:
    """Notes when the events that lead to a post were handed to the streams of a run. It listens like one of them."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, float, bytes]] = []

    async def send(self, name: str, frame: bytes) -> None:
        if name in ("human_input_required", "workflow_finished"):
            self.seen.append((name, time.monotonic(), frame))


class _WatchedDify(Dify):
    def __init__(self, watch: _Watch) -> None:
        super().__init__(APPS)
        self._watch = watch

    def create(self, start: Start) -> Run:
        run = super().create(start)
        run.bus.join(self._watch)
        return run


class DifySide:
    """What the benchmark asks of the simulated server."""

    def __init__(self) -> None:
        self._watch = _Watch()
        self._dify = _WatchedDify(self._watch)
        self._server = DifyServer(self._dify)

    async def __aenter__(self) -> Self:
        await self._server.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._server.__aexit__()

    async def base_url(self) -> str:
        """Return the root of the API."""
        return self._server.base_url

    async def running(self, count: int) -> list[dict[str, str]]:
        """Wait until `count` runs stream, and return how to follow each of them."""
        await self._dify.wait_for(lambda: len(self._running()) >= count, timeout=180)
        return [{"run": run.id, "user": run.end_user.session_id, "key": run.app.key} for run in self._running()]

    def _running(self) -> list[Run]:
        return [run for run in self._dify.runs.values() if run.status is RunStatus.RUNNING]

    async def moments(self) -> list[dict[str, Any]]:
        """Return for each run of `ask`, by its topic, when its events were sent and when its answer came in.

        `form_sent`, `end_sent`, `submitted`: seconds of the monotonic clock, which all processes share.
        """
        sent = {
            (json.loads(frame.removeprefix(b"data: "))["workflow_run_id"], name): at
            for name, at, frame in self._watch.seen
        }
        wall = time.time() - time.monotonic()
        submits = {
            request.path.rpartition("/")[2]: request.at - wall
            for request in self._dify.requests
            if request.method == "POST" and "/form/human_input/" in request.path
        }
        return [
            {
                "topic": run.inputs["topic"],
                "form_sent": sent[run.id, "human_input_required"],
                "end_sent": sent[run.id, "workflow_finished"],
                "submitted": next(submits[form.token] for form in run.forms.values()),
            }
            for run in self._dify.runs.values()
            if run.app.name == "ask" and run.status.ended
        ]


async def _main() -> None:
    async with DifySide() as side:
        await serve(side)


if __name__ == "__main__":
    asyncio.run(_main())
