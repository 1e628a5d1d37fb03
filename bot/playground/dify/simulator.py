"""The state of the simulated server, its worker and its sweeper, and the controls that tests and the demo hold."""

import asyncio
import logging
import mimetypes
import time
import uuid
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

from bot.playground.bodies import Body, body_of
from bot.playground.dify.clock import Clock
from bot.playground.dify.engine import Engine, Release
from bot.playground.dify.errors import InputError, forbidden, unauthorized
from bot.playground.dify.faults import (
    SENDS_FILES,
    Changes,
    CutBody,
    Delay,
    Failure,
    Faults,
    Hold,
    LateResponse,
    LostResponse,
    Route,
    SlowBody,
)
from bot.playground.dify.files import FileStore, Remotes, Stored, check_upload, detected_type, extension_of, usable
from bot.playground.dify.forms import Answered, Form, FormStatus
from bot.playground.dify.graph import ATTACHMENTS, App, Json, Made
from bot.playground.dify.inputs import check_inputs
from bot.playground.dify.runs import Conversation, EndUser, Message, Run, RunStatus
from bot.playground.dify.streams import Bus, Cut, Told, live_frame
from bot.playground.dify.variables import Pool

T = TypeVar("T")

_log = logging.getLogger(__name__)

_RESUME_QUEUE_S = 0.05  # a resume begins 50 to 100 ms after the submit (recording 25)
_SWEEP_S = 60.0
BODY_LIMIT = 100 * 1024 * 1024
"""Bytes of a request that the proxy in front of Dify lets through, if nobody has changed it (dify-api §12.1)."""


@dataclass(slots=True)
class RecordedRequest:
    """One request as it came in; times are Unix seconds, `status` is None until it is answered."""

    method: str
    path: str
    query: Mapping[str, str]
    body: Any
    at: float
    status: int | None = None
    answered_at: float | None = None
    answer: str | None = None
    """The JSON that was answered, as a text; None for streams and files."""


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
    remotes: Remotes = field(default_factory=dict)
    """What is known of the remote files among its inputs."""


class Dify:
    """A Dify server's apps, runs, forms and files.

    `speed` divides every duration of the server; 1.0 is a real one: end of a stream 1 s after its last event, a ping
    every 10 s, end of an idle stream after 300 s, sweep of expired forms every 60 s. `now` gives Unix seconds; the
    deadlines of forms and the life of a file's address are not scaled. `extension_blacklist` are the extensions,
    without dots, that nobody may upload; requests of more than `body_limit` bytes the proxy in front answers.
    """

    def __init__(
        self,
        apps: Iterable[App],
        speed: float = 1.0,
        now: Callable[[], float] = time.time,
        *,
        extension_blacklist: Iterable[str] = (),
        body_limit: int = BODY_LIMIT,
    ) -> None:
        self.apps = {app.key: app for app in apps}
        self.clock = Clock(now, speed)
        self.extension_blacklist = frozenset(extension_blacklist)
        self.body_limit = body_limit
        self.requests: list[RecordedRequest] = []
        self.runs: dict[str, Run] = {}
        self.forms: dict[str, Form] = {}
        self.conversations: dict[str, Conversation] = {}
        self.files = FileStore(self.clock)
        self.faults = Faults()
        self.changes = Changes()
        self.told: Told = lambda name, frame: None
        """Is told of every event that goes out on a stream."""
        self.slow_seconds = 0.0
        """Seconds (of a real server) that every request waits before it is looked at."""
        self.release = Release()
        self.engine = Engine(
            self.clock,
            self._resolve_file,
            self._make_file,
            self.changes.notify,
            self._keep_form,
            self.release,
        )
        self._end_users: dict[tuple[str, str], EndUser] = {}
        self._jobs: set[asyncio.Task[None]] = set()
        self._worker = asyncio.Event()
        self._worker.set()
        self._segments: set[asyncio.Task[Any]] = set()
        self._resumes_to_lose = 0
        self._overlap: tuple[asyncio.Barrier, float] | None = None
        self._sweeping = True
        self._revoked_keys: set[str] = set()
        self._switched_off: set[str] = set()
        self._refused_starts: dict[str, str] = {}

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
        await self.submit(form, action, values)

    def upload_elsewhere(self, form: Form, name: str, body: Body) -> Json:
        """Keep a file as Dify's own page does for its form, and return the mapping that names it there.

        A refused one raises `ApiError`.
        """
        mime_type = mimetypes.guess_type(name)[0] or "application/octet-stream"
        name, extension = check_upload(name, body.size, mime_type, self.extension_blacklist)
        file = self._store(self.runs[form.run_id], name, extension, mime_type, body)
        kind = detected_type(extension, mime_type)
        return {"type": kind, "transfer_method": "local_file", "upload_file_id": file.id}

    async def expire(self, form: Form, *, sweep: bool = True) -> None:
        """Move a form's deadline into the past; without `sweep` the run goes on at the next periodic check only."""
        form.expires_at = self.clock.now() - 1
        if sweep:
            self.sweep()

    async def expire_globally(self, form: Form, *, sweep: bool = True) -> None:
        """Let the server's limit for all forms pass, which stops the run without any event (recording 14).

        Without `sweep` the run is stopped at the next periodic check only; the form says 412 at once.
        """
        form.global_limit_at = self.clock.now() - 1
        if sweep:
            self.sweep()

    def stop_sweeper(self) -> None:
        """Let nobody look for forms past a limit: they answer 412, their runs stay `paused` (dify-api §11)."""
        self._sweeping = False

    def start_sweeper(self) -> None:
        """Look for forms past a limit again, from the next periodic check on."""
        self._sweeping = True

    def fail_next(self, route: Route | str, status: int = 500, times: int = 1) -> None:
        """Answer the next requests of an endpoint with an error, without doing anything."""
        self.faults.add(Route(route), Failure(status), times)

    def fail_next_of(self, *routes: Route, status: int = 500) -> None:
        """Answer the next request of any of these endpoints with an error, without doing anything."""
        self.faults.add_to_one(routes, Failure(status))

    def delay_next(self, route: Route | str, seconds: float, times: int = 1) -> None:
        """Look at the next requests of an endpoint only after `seconds` of a real server."""
        self.faults.add(Route(route), Delay(seconds), times)

    def hold_next(self, route: Route | str, times: int = 1) -> asyncio.Event:
        """Look at the next requests of an endpoint only once the event that is returned is set."""
        released = asyncio.Event()
        self.faults.add(Route(route), Hold(released), times)
        return released

    @contextmanager
    def texts_under_way(self, up_to: float = 0.5) -> Iterator[None]:
        """Let no text be written beyond this part of it until the context ends."""
        before, self.engine.texts_up_to = self.engine.texts_up_to, up_to
        try:
            yield
        finally:
            self.engine.texts_up_to = before

    def lose_response(self, route: Route | str, times: int = 1) -> None:
        """Do what the next requests of an endpoint ask for, but cut the connection instead of answering.

        A start goes on without anybody listening; nothing of its stream arrives.
        """
        self.faults.add(Route(route), LostResponse(), times)

    def delay_response(self, route: Route | str, seconds: float, times: int = 1) -> None:
        """Do what the next requests of an endpoint ask for, but answer only after `seconds` of a real server.

        Raises `ValueError` for an endpoint that streams.
        """
        if Route(route) in (Route.RUN, Route.CHAT, Route.EVENTS):
            raise ValueError(f"{route} answers by a stream; see drop_stream")
        self.faults.add(Route(route), LateResponse(seconds), times)

    def cut_file(self, route: Route | str, after_bytes: int, times: int = 1) -> None:
        """Cut the connection after so many bytes of the next files that are uploaded or downloaded.

        Raises `ValueError` for an endpoint that neither takes nor sends any.
        """
        if Route(route) not in (Route.UPLOAD, *SENDS_FILES):
            raise ValueError(f"{route} has nothing to do with files")
        self.faults.add(Route(route), CutBody(after_bytes), times)

    def slow_file(self, route: Route | str, seconds: float, times: int = 1) -> None:
        """Wait `seconds` of a real server in the middle of the next files that are downloaded.

        Raises `ValueError` for an endpoint that sends none.
        """
        if Route(route) not in SENDS_FILES:
            raise ValueError(f"{route} sends no files")
        self.faults.add(Route(route), SlowBody(seconds), times)

    def drop_stream(
        self,
        *,
        after_events: int | None = None,
        after_bytes: int | None = None,
        clean: bool = False,
        route: Route | str | None = None,
    ) -> None:
        """Break the next stream (of an endpoint) off, after so many events or bytes; after 0 bytes it is empty.

        It ends inside its body, as when the API goes away (recording 45), or with a `clean` end as of an idle one.
        """
        cut = Cut(after_events=after_events, after_bytes=after_bytes, clean=clean)
        self.faults.add_cut(cut, Route(route) if route else None)

    def break_streams_off(self) -> int:
        """Break off every stream that is open, inside its body, and return how many that were."""
        return sum(run.bus.break_off() for run in self.runs.values())

    def publish(self, app: App) -> None:
        """Put an app in the place of the one with its key; runs under way go on as they began."""
        self.apps[app.key] = app
        self.changes.notify()

    def revoke_key(self, app: App) -> None:
        """Refuse the app's key with 401 as one that was deleted (recording 28)."""
        self._revoked_keys.add(app.key)

    def restore_key(self, app: App) -> None:
        """Take the app's key again."""
        self._revoked_keys.discard(app.key)

    def switch_api_off(self, app: App) -> None:
        """Refuse the app's key with 403 because its API is switched off (recording 28)."""
        self._switched_off.add(app.key)

    def switch_api_on(self, app: App) -> None:
        """Take the app's key again."""
        self._switched_off.discard(app.key)

    def refuse_starts(self, app: App, message: str) -> None:
        """Refuse the app's starts for a reason that /parameters does not tell, as if its inputs had just changed.

        A stream tells `message` after its 200, by an `error` event; a blocking start is a 400 (recording 03).
        """
        self._refused_starts[app.key] = message

    def take_starts(self, app: App) -> None:
        """Take the app's starts again."""
        self._refused_starts.pop(app.key, None)

    def purge(self, run: Run) -> None:
        """Delete a run with its forms: all of them answer 404 (dify-api §15.2).

        Raises `ValueError` for a run that somebody works on.
        """
        if self.executes(run):
            raise ValueError(f"run {run.id} is being worked on")
        del self.runs[run.id]
        for form in run.forms.values():
            del self.forms[form.token]
        self.changes.notify()

    def lose_resume(self, times: int = 1) -> None:
        """Lose the next resume jobs: the submit gets 200, the run stays `paused` for good (dify-api §10.3).

        It is seen as the race of two parallel forms is (recording 33): every form 412, the snapshot still offering one.
        """
        self._resumes_to_lose += times

    def overlap_submits(self, count: int = 2, window: float = 1.0) -> None:
        """Check the next `count` submits before any of them is stored, so that all get 200 (recording 04).

        The last one stored counts. The first one waits for the others `window` seconds (not scaled), then goes alone.
        """
        self._overlap = asyncio.Barrier(count), window

    def stop_worker(self) -> None:
        """Let starts and resumes wait in the queue (recording 38); what the worker has begun it finishes (39)."""
        self._worker.clear()

    def kill_worker(self) -> None:
        """Lose what the worker has begun: these runs stay `running` for ever (recording 39).

        Streams of events go on pinging, up to the limit of idle ones; those of starts fall silent. What waits in the
        queue is worked off by the next worker, see `start_worker`.
        """
        self.stop_worker()
        for segment in self._segments:
            segment.cancel()

    def start_worker(self) -> None:
        """Work the queue off again."""
        self._worker.set()

    async def wait_for(self, predicate: Callable[[], T], timeout: float = 60.0) -> T:
        """Return the first true value of `predicate`, asked after every change; `TimeoutError` after `timeout` s."""
        async with asyncio.timeout(timeout):
            while not (value := predicate()):
                await self.changes.next()
            return value

    # What the endpoints do.

    def app_of(self, key: str) -> App:
        """Return the app that a key opens; a refused key raises `ApiError` (recordings 02, 28)."""
        app = self.apps.get(key)
        if app is None or key in self._revoked_keys:
            raise unauthorized("Access token is invalid")
        if key in self._switched_off:
            raise forbidden("The app's API service has been disabled.")
        return app

    def end_user(self, app: App, user: str) -> EndUser:
        """Return the end user of this app with this name, made at the first use."""
        return self._end_users.setdefault((app.key, user), EndUser(str(uuid.uuid4()), user))

    def enqueue(self, start: Start) -> None:
        """Leave a start to the worker; what is wrong with it is told on its stream (recording 03)."""
        self.spawn(self._work_off(start))

    async def _work_off(self, start: Start) -> None:
        await self._worker.wait()
        try:
            run = await self.begin(start)
        except (InputError, ValueError) as error:
            await start.bus.publish("error", live_frame({"event": "error", "message": str(error), "status": 500}))
            return
        await self._play(self.engine.start(run))

    async def _play(self, segment: Coroutine[Any, Any, None]) -> None:
        """Play a segment in this job of the worker, as long as nobody kills it."""
        job = asyncio.current_task()
        assert job
        self._segments.add(job)
        try:
            await segment
        finally:
            self._segments.discard(job)

    def executes(self, run: Run) -> bool:
        """Tell whether somebody works on the run now."""
        return run.id in self.engine.executing

    async def begin(self, start: Start) -> Run:
        """Check the inputs, remote files included, and make the run; raises `InputError`."""

        def work(remotes: Remotes) -> Run:
            start.remotes = remotes
            return self.create(start)

        return await self.files.looking_up(work)

    def create(self, start: Start) -> Run:
        """Check the inputs and make the run; raises `InputError`, or `Unseen` for a remote file not looked up yet."""
        app, user, question = start.app, start.user, start.question
        if refusal := self._refused_starts.get(app.key):
            raise InputError(refusal)
        if question and not question.query:
            raise InputError("query is required")  # recording 15
        inputs = check_inputs(list(app.start), start.inputs, lambda mapping, rules: self._own(mapping, rules, start))
        attached = usable(start.files)
        files = [self.files.resolve(mapping, app.key, user, start.remotes) for mapping in attached]
        if app.file_upload:
            for mapping in attached:
                self.files.check(mapping, ATTACHMENTS, start.remotes)
        else:
            files = []  # looked up all the same (recordings 37, 41)
        conversation = self._conversation(start, inputs, question) if question else None
        message = self._ask(conversation, inputs, files, question) if conversation and question else None
        run = Run(
            id=str(uuid.uuid4()),
            task_id=str(uuid.uuid4()),
            log_id=str(uuid.uuid4()),
            app=app,
            end_user=self.end_user(app, user),
            inputs=inputs,
            pool=self._pool(app, inputs, files, conversation),
            created_at=self.clock.timestamp(),
            sign=self.files.signed_anew,
            message=message,
            conversation=conversation,
            bus=start.bus,
        )
        self.runs[run.id] = start.run = run
        self.changes.notify()
        return run

    def _pool(self, app: App, inputs: Json, files: list[Json], conversation: Conversation | None) -> Pool:
        pool: Pool = {("sys", "files"): files}
        for group, values in app.variables.items():
            pool |= {(group, name): value for name, value in values.items()}
        if conversation:
            pool[("sys", "query")] = conversation.messages[-1].query
            pool[("sys", "dialogue_count")] = len(conversation.messages)
            pool |= {("conversation", name): value for name, value in conversation.variables.items()}
        return pool | {("start", name): value for name, value in inputs.items()}

    def _conversation(self, start: Start, inputs: Json, question: Question) -> Conversation:
        app, now = start.app, self.clock.timestamp()
        # An unknown conversation, or somebody else's, silently becomes a new one (recording 15).
        conversation = self.conversation_of(app, start.user, question.conversation_id or "")
        if conversation is None:
            conversation = Conversation(
                id=str(uuid.uuid4()),
                app_key=app.key,
                user=start.user,
                name=question.query,
                inputs=inputs,
                introduction=app.opening_statement,
                created_at=now,
                updated_at=now,
                variables=dict(app.variables.get("conversation", {})),
            )
            self.conversations[conversation.id] = conversation
        conversation.updated_at = now
        return conversation

    def _ask(self, conversation: Conversation, inputs: Json, files: list[Json], question: Question) -> Message:
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
        return message

    def conversation_of(self, app: App, user: str | None, conversation_id: str) -> Conversation | None:
        """Return a conversation of this user of this app, if there is one with this id."""
        found = self.conversations.get(conversation_id)
        return found if found and (found.app_key, found.user) == (app.key, user) else None

    def message_of(self, app: App, user: str, message_id: str) -> Message | None:
        """Return a message of one of this user's conversations, if there is one with this id."""
        mine = (each for each in self.conversations.values() if (each.app_key, each.user) == (app.key, user))
        return next((message for each in mine for message in each.messages if message.id == message_id), None)

    def _own(self, mapping: Json, rules: Json, start: Start) -> Json:
        resolved = self.files.resolve(mapping, start.app.key, start.user, start.remotes)
        self.files.check(mapping, rules, start.remotes)
        return resolved

    async def submit(self, form: Form, action: str, values: Mapping[str, Any]) -> None:
        """Store the answer to a form and queue the resume (recordings 01, 38); a refused one raises `ApiError`."""
        form.check_open(self.clock.now())

        def judge(remotes: Remotes) -> Answered:
            return form.judge(action, values, lambda mapping, rules: self.files.check(mapping, rules, remotes))

        answered = await self.files.looking_up(judge)
        await self._let_others_check()
        form.answered = answered
        form.status = FormStatus.SUBMITTED
        self.changes.notify()
        self._queue_resume(form)

    async def _let_others_check(self) -> None:
        # The check and the write are two steps, between which other submits may be checked (dify-api §10.5).
        if self._overlap:
            others, window = self._overlap
            with suppress(TimeoutError):
                async with asyncio.timeout(window):
                    await others.wait()
            self._overlap = None

    def stop(self, app: App, task_id: str) -> None:
        """Ask the run of a task to stop; an unknown task is nothing to complain about (recording 12)."""
        for run in self.runs.values():
            if run.app.key == app.key and run.task_id == task_id and not run.status.ended:
                self.engine.stop(run)

    def is_in_a_message(self, app: App, file: Stored) -> bool:
        """Tell whether a file belongs to a message of the app, from whomever."""
        mine = (message for each in self.conversations.values() if each.app_key == app.key for message in each.messages)
        return any(shown["related_id"] == file.id for each in mine for shown in (*each.files, *each.answer_files))

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
        if self._resumes_to_lose:
            self._resumes_to_lose -= 1
            return
        self.spawn(self._resume(self.runs[form.run_id]))

    async def _resume(self, run: Run) -> None:
        await self.clock.sleep(_RESUME_QUEUE_S)
        await self._worker.wait()
        if run.id in self.runs:
            await self._play(self.engine.resume(run))

    def sweep(self) -> None:
        """Look for forms past a limit, as the periodic check does (recording 14)."""
        if not self._sweeping:
            return
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
        self.files.close()
        for outcome in await asyncio.gather(*jobs, return_exceptions=True):
            if isinstance(outcome, Exception):
                raise outcome

    def _keep_form(self, form: Form) -> None:
        self.forms[form.token] = form
        self.changes.notify()

    async def _resolve_file(self, mapping: Json, run: Run) -> Json:
        # A remote file is asked for again, whatever the submission found out (dify-api §12.5).
        app, user = run.app, run.end_user.session_id
        return await self.files.looking_up(lambda remotes: self.files.resolve(mapping, app.key, user, remotes))

    def _make_file(self, made: Made, run: Run) -> Json:
        extension = extension_of(made.name)
        mime_type = made.mime_type or mimetypes.guess_type(made.name)[0] or "application/octet-stream"
        file = self._store(run, made.name, extension, mime_type, body_of(made.content), by_tool=True)
        return file.as_file(detected_type(extension, mime_type), self.files.signed_url(file))

    def _store(
        self, run: Run, name: str, extension: str, mime_type: str, body: Body, *, by_tool: bool = False
    ) -> Stored:
        file = Stored(
            id=str(uuid.uuid4()),
            name=name,
            extension=extension,
            mime_type=mime_type,
            body=body,
            app_key=run.app.key,
            user=run.end_user.session_id,
            created_by=run.end_user.id,
            created_at=self.clock.timestamp(),
            by_tool=by_tool,
        )
        self.files.add(file)
        return file
