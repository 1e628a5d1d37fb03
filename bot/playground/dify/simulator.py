"""The state of the simulated server, its worker and its sweeper, and the controls that tests and the demo hold."""

import asyncio
import logging
import time
import uuid
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from bot.playground.dify.clock import Clock
from bot.playground.dify.engine import Engine
from bot.playground.dify.errors import InputError
from bot.playground.dify.faults import Changes, Delay, Failure, Faults, LostResponse, Route
from bot.playground.dify.files import FileStore
from bot.playground.dify.forms import Answered, Form, FormStatus
from bot.playground.dify.graph import ATTACHMENTS, App, Json
from bot.playground.dify.inputs import check_inputs
from bot.playground.dify.runs import Conversation, EndUser, Message, Run, RunStatus
from bot.playground.dify.streams import Bus, Cut, live_frame
from bot.playground.dify.variables import Pool

T = TypeVar("T")

_log = logging.getLogger(__name__)

_RESUME_QUEUE_S = 0.05  # a resume begins 50 to 100 ms after the submit (recording 25)
_SWEEP_S = 60.0


@dataclass(slots=True)
class RecordedRequest:
    """One request as it came in; `at` is Unix seconds, `status` is None until it is answered."""

    method: str
    path: str
    query: Mapping[str, str]
    body: Any
    at: float
    status: int | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """What somebody asks a chatflow."""

    query: str
    conversation_id: str | None
    streaming: bool


@dataclass(slots=True, eq=False)
class Start:
    """A run that was asked for: its events go out on `bus`, and `run` is there once its inputs are accepted."""

    app: App
    user: str
    inputs: Mapping[str, Any]
    files: list[Json]
    question: Question | None = None
    bus: Bus = field(default_factory=Bus)
    run: Run | None = None


class Dify:
    """A Dify server's apps, runs, forms and files.

    `speed` divides every duration of the server; 1.0 is a real one: end of a stream 1 s after its last event, a ping
    every 10 s, end of an idle stream after 300 s, sweep of expired forms every 60 s. `now` gives Unix seconds; the
    deadlines of forms are not scaled.
    """

    def __init__(
        self,
        apps: Iterable[App],
        speed: float = 1.0,
        now: Callable[[], float] = time.time,
        *,
        extension_blacklist: Iterable[str] = (),
    ) -> None:
        self.apps = {app.key: app for app in apps}
        self.clock = Clock(now, speed)
        self.extension_blacklist = frozenset(extension_blacklist)
        self.requests: list[RecordedRequest] = []
        self.runs: dict[str, Run] = {}
        self.forms: dict[str, Form] = {}
        self.conversations: dict[str, Conversation] = {}
        self.files = FileStore(now)
        self.faults = Faults()
        self.changes = Changes()
        self.engine = Engine(self.clock, self._resolve_file, self.changes.notify, self._keep_form)
        self._end_users: dict[tuple[str, str], EndUser] = {}
        self._jobs: set[asyncio.Task[None]] = set()
        self._worker = asyncio.Event()
        self._worker.set()

    # Controls.

    def open_forms(self) -> list[Form]:
        """Return the forms that people can answer now, oldest first."""
        return [
            form
            for form in self.forms.values()
            if form.status is FormStatus.WAITING and self.runs[form.run_id].status is RunStatus.PAUSED
        ]

    async def answer_elsewhere(self, form: Form, action: str, values: Mapping[str, Any]) -> None:
        """Answer a form as on Dify's own page; a refused answer raises `ApiError`."""
        form.check_open(self.clock.now())
        self.accept(form, form.judge(action, values, self.files.check))

    async def expire(self, form: Form, *, sweep: bool = True) -> None:
        """Move a form's deadline into the past; without `sweep` the run goes on at the next periodic check only."""
        form.expires_at = self.clock.now() - 1
        if sweep:
            self.sweep()

    async def expire_globally(self, form: Form) -> None:
        """Let the server's limit for all forms pass, which stops the run without any event (recording 14)."""
        form.global_limit_at = self.clock.now() - 1
        self.sweep()

    def fail_next(self, route: Route | str, status: int = 500, times: int = 1) -> None:
        """Answer the next requests of an endpoint with an error, without doing anything."""
        self.faults.add(Route(route), Failure(status), times)

    def delay_next(self, route: Route | str, seconds: float, times: int = 1) -> None:
        """Look at the next requests of an endpoint only after `seconds` of a real server."""
        self.faults.add(Route(route), Delay(seconds), times)

    def lose_response(self, route: Route | str, times: int = 1) -> None:
        """Do what the next requests of an endpoint ask for, but cut the connection instead of answering."""
        self.faults.add(Route(route), LostResponse(), times)

    def drop_stream(self, *, after_events: int | None = None, after_bytes: int | None = None) -> None:
        """Break the next stream off inside its body, after so many events or bytes."""
        self.faults.add_cut(Cut(after_events=after_events, after_bytes=after_bytes))

    @property
    def suppress_filled_events(self) -> bool:
        """Tell whether `human_input_form_filled` is left out, as in Dify 1.17.0."""
        return self.engine.suppress_filled_events

    @suppress_filled_events.setter
    def suppress_filled_events(self, suppress: bool) -> None:
        self.engine.suppress_filled_events = suppress

    def stop_worker(self) -> None:
        """Let starts and resumes wait in the queue (recording 38)."""
        self._worker.clear()

    def start_worker(self) -> None:
        """Work the queue off again."""
        self._worker.set()

    async def wait_for(self, predicate: Callable[[], T], timeout: float = 10.0) -> T:
        """Return the first true value of `predicate`, asked after every change; `TimeoutError` after `timeout` s."""
        async with asyncio.timeout(timeout):
            while not (value := predicate()):
                await self.changes.next()
            return value

    # What the endpoints do.

    def end_user(self, app: App, user: str) -> EndUser:
        """Return the end user of this app with this name, made at the first use."""
        return self._end_users.setdefault((app.key, user), EndUser(str(uuid.uuid4()), user))

    def enqueue(self, start: Start) -> None:
        """Leave a start to the worker; what is wrong with it is told on its stream (recording 03)."""
        self.spawn(self._work_off(start))

    async def _work_off(self, start: Start) -> None:
        await self._worker.wait()
        try:
            run = self.create(start)
        except (InputError, ValueError) as error:
            await start.bus.publish("error", live_frame({"event": "error", "message": str(error), "status": 500}))
            return
        await self.engine.start(run)

    def create(self, start: Start) -> Run:
        """Check the inputs and make the run; raises `InputError`."""
        app, user, question = start.app, start.user, start.question
        if question and not question.query:
            raise InputError("query is required")  # recording 15
        inputs = check_inputs(
            list(app.start), start.inputs, lambda mapping, rules: self._own(mapping, rules, app, user)
        )
        files = [self.files.resolve(mapping, app.key, user) for mapping in start.files]
        if app.file_upload:
            for mapping in start.files:
                self.files.check(mapping, ATTACHMENTS)
        else:
            files = []  # looked up all the same (recordings 37, 41)
        message, count = self._ask(start, inputs, files, question) if question else (None, 0)
        run = Run(
            id=str(uuid.uuid4()),
            task_id=str(uuid.uuid4()),
            log_id=str(uuid.uuid4()),
            app=app,
            end_user=self.end_user(app, user),
            inputs=inputs,
            pool=self._pool(app, inputs, files, question),
            created_at=self.clock.timestamp(),
            message=message,
            dialogue_count=count,
            bus=start.bus,
        )
        self.runs[run.id] = start.run = run
        self.changes.notify()
        return run

    def _pool(self, app: App, inputs: Json, files: list[Json], question: Question | None) -> Pool:
        pool: Pool = {("sys", "files"): files}
        if question:
            pool[("sys", "query")] = question.query
        for group, values in app.variables.items():
            pool |= {(group, name): value for name, value in values.items()}
        return pool | {("start", name): value for name, value in inputs.items()}

    def _ask(self, start: Start, inputs: Json, files: list[Json], question: Question) -> tuple[Message, int]:
        # An unknown conversation, or somebody else's, silently becomes a new one (recording 15).
        conversation = self.conversations.get(question.conversation_id or "")
        if conversation is None or (conversation.app_key, conversation.user) != (start.app.key, start.user):
            conversation = Conversation(str(uuid.uuid4()), start.app.key, start.user)
            self.conversations[conversation.id] = conversation
        message = Message(
            id=str(uuid.uuid4()),
            conversation_id=conversation.id,
            query=question.query,
            inputs=inputs,
            created_at=self.clock.timestamp(),
            streaming=question.streaming,
            files=files,
        )
        conversation.messages.append(message)
        return message, len(conversation.messages)

    def _own(self, mapping: Json, rules: Json, app: App, user: str) -> Json:
        resolved = self.files.resolve(mapping, app.key, user)
        self.files.check(mapping, rules)
        return resolved

    def accept(self, form: Form, answered: Answered) -> None:
        """Store a submission and queue the resume (recordings 01, 38)."""
        form.answered = answered
        form.status = FormStatus.SUBMITTED
        self.changes.notify()
        self._queue_resume(form)

    def stop(self, app: App, task_id: str) -> None:
        """Ask the run of a task to stop; an unknown task is nothing to complain about (recording 12)."""
        for run in self.runs.values():
            if run.app is app and run.task_id == task_id and not run.status.ended:
                self.engine.stop(run)

    def run_of(self, message: Message) -> Run | None:
        """Return the run that answers a message."""
        return next((run for run in self.runs.values() if run.message is message), None)

    # The worker.

    def spawn(self, job: Coroutine[Any, Any, None]) -> None:
        """Run a job of the server; one that crashes makes `close` raise."""
        task = asyncio.create_task(job)
        self._jobs.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        if task.cancelled() or task.exception() is None:
            self._jobs.discard(task)
        else:
            _log.error("a job of the simulated Dify server crashed", exc_info=task.exception())

    def _queue_resume(self, form: Form) -> None:
        self.spawn(self._resume(self.runs[form.run_id]))

    async def _resume(self, run: Run) -> None:
        await self.clock.sleep(_RESUME_QUEUE_S)
        await self._worker.wait()
        await self.engine.resume(run)

    def sweep(self) -> None:
        """Look for forms past a limit, as the periodic check does (recording 14)."""
        now = self.clock.now()
        for form in self.forms.values():
            run = self.runs[form.run_id]
            if form.status is not FormStatus.WAITING or run.status is not RunStatus.PAUSED:
                continue
            if now >= form.global_limit_at:
                form.status = FormStatus.EXPIRED
                run.status = RunStatus.STOPPED
                run.error = f"Human input global timeout at node {form.node_id}"
                run.finished_at = self.clock.timestamp()
                run.elapsed = 0.0
            elif now >= form.expires_at:
                form.status = FormStatus.TIMEOUT
                self._queue_resume(form)
        self.changes.notify()

    async def _sweep_for_ever(self) -> None:
        while True:
            await self.clock.sleep(_SWEEP_S)
            self.sweep()

    def open(self) -> None:
        """Start the periodic check."""
        self.spawn(self._sweep_for_ever())

    async def close(self) -> None:
        """Cancel what still runs, and raise what went wrong in a job."""
        jobs = tuple(self._jobs)
        for job in jobs:
            job.cancel()
        for outcome in await asyncio.gather(*jobs, return_exceptions=True):
            if isinstance(outcome, Exception):
                raise outcome

    def _keep_form(self, form: Form) -> None:
        self.forms[form.token] = form
        self.changes.notify()

    def _resolve_file(self, mapping: Json, run: Run) -> Json:
        return self.files.resolve(mapping, run.app.key, run.end_user.session_id)
