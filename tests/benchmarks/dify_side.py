"""The simulated Dify server in a process of its own."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cached_property
from typing import Any, Self, TypeVar

from bot.playground.bodies import Body, Repeated
from bot.playground.dify import App, Dify, DifyServer
from bot.playground.dify.apps import long_form, long_report, quick, ticker
from bot.playground.dify.forms import Form
from bot.playground.dify.graph import End, HumanInput, Template, action, paragraph, select, text_input
from bot.playground.dify.runs import Run, RunStatus
from bot.playground.dify.simulator import RecordedRequest, Start
from bot.playground.dify.streams import Bus
from tests.benchmarks.children import serve
from tests.benchmarks.waiting import copied_form_id, copied_run_id, copied_token, number_of

T = TypeVar("T")

WAIT_SECONDS = 600.0
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


LONG_FORM, LONG_REPORT = long_form(200_000), long_report(100_000, seconds=20.0)
APPS = (
    ask(),
    quick(),
    LONG_FORM,
    LONG_REPORT,
    *(replace(ticker(rate, 3600), name=f"ticker{rate}") for rate in (2, 20)),
)


class _Watch:
    """Notes when the events that lead to a post were handed to the streams of a run. It listens like one of them."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, float, bytes]] = []

    async def send(self, name: str, frame: bytes) -> None:
        if name in ("human_input_required", "workflow_finished"):
            self.seen.append((name, time.monotonic(), frame))


class _WithCopies(dict[str, T]):
    """A dictionary that makes up what it does not hold when it is asked for it."""

    def __init__(self, make: Callable[[str], T | None]) -> None:
        super().__init__()
        self._make = make

    def get(self, key: str, default: Any = None) -> Any:
        return self[key] if key in self else self._make(key) or default


class _Requests(list[RecordedRequest]):
    """Keeps the few apart that are waited for, and counts the looks at runs."""

    def __init__(self) -> None:
        super().__init__()
        self.streams: list[tuple[str, RecordedRequest]] = []
        """For the events of a run that is no copy, with the run's id."""
        self.submits: list[RecordedRequest] = []
        self.looks = 0

    def append(self, request: RecordedRequest) -> None:
        super().append(request)
        match request.method, request.path.split("/")[2:]:
            case "GET", ["workflow", run_id, "events"] if number_of(run_id) is None:
                self.streams.append((run_id, request))
            case "GET", ["workflows", "run", _]:
                self.looks += 1
            case "POST", ["form", "human_input", _]:
                self.submits.append(request)


class _WatchedDify(Dify):
    requests: _Requests

    def __init__(self, watch: _Watch) -> None:
        super().__init__(APPS)
        self._watch = watch
        self.requests = _Requests()
        self.runs = _WithCopies(self._copied_run)
        self.forms = _WithCopies(self._copied_form)

    def create(self, start: Start) -> Run:
        run = super().create(start)
        run.bus.join(self._watch)
        return run

    @cached_property
    def _original(self) -> Run:
        asked = [run for run in self.runs.values() if run.app.name == "ask" and run.status is RunStatus.PAUSED]
        return min(asked, key=lambda run: str(run.inputs["topic"]))

    def _copied_run(self, run_id: str) -> Run | None:
        form = self._copied_form(run_id)
        if form is None:
            return None
        return replace(self._original, id=run_id, forms={form.node_id: form}, announced=[form], bus=Bus())

    def _copied_form(self, run_id_or_token: str) -> Form | None:
        number = number_of(run_id_or_token)
        if number is None:
            return None
        (form,) = self._original.forms.values()
        return replace(form, id=copied_form_id(number), token=copied_token(number), run_id=copied_run_id(number))


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

    async def followed(self, since: float) -> float:
        """Wait until the events of every run that streams were opened after `since`; return when the last ones were.

        Both are seconds of the monotonic clock.
        """
        runs = {run.id for run in self._running()}
        began = since + _wall()

        def opened() -> set[str]:
            return {
                run for run, request in self._dify.requests.streams if request.at >= began and request.status == 200
            }

        await self._dify.wait_for(lambda: runs <= opened(), timeout=WAIT_SECONDS)
        return time.monotonic()

    async def submitted(self) -> float:
        """Wait for an answer to a form; return when the first one came in, in seconds of the monotonic clock."""
        submits = await self._dify.wait_for(lambda: self._dify.requests.submits, timeout=WAIT_SECONDS)
        return submits[0].at - _wall()

    async def looks(self) -> int:
        """Return how often it was asked how a run stands."""
        return self._dify.requests.looks

    async def signed_url(self, upload_id: str) -> str:
        """Return an address of a file that was uploaded."""
        return self._dify.files.signed_url(self._dify.files.stored[upload_id])

    async def check_files(self, ids: list[str], size: int) -> None:
        """Refuse the numbers where a file did not arrive as it was shared.

        Raises:
            RuntimeError: one did not.
        """
        check_bodies([self._dify.files.stored[each].body for each in ids], size)

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
        submits = {request.path.rpartition("/")[2]: request.at - _wall() for request in self._dify.requests.submits}
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


def check_bodies(bodies: Iterable[Body | None], size: int) -> None:
    """Check that these are the bytes that the benchmark shares."""
    wanted = Repeated(size, b"benchmark ").sha256
    if any(body is None or body.sha256 != wanted for body in bodies):
        raise RuntimeError("a file is not what it was when it was shared")


def _wall() -> float:
    """Return what the wall clock is ahead of the monotonic one."""
    return time.time() - time.monotonic()


async def _main() -> None:
    async with DifySide() as side:
        await serve(side)


if __name__ == "__main__":
    asyncio.run(_main())
