"""Runs graphs: one stretch from a start or resume to the next pause or end, with the recorded order of events."""

import asyncio
import re
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from bot.playground.dify.clock import Clock
from bot.playground.dify.errors import InputError
from bot.playground.dify.files import usable
from bot.playground.dify.forms import Form, FormStatus, make_form
from bot.playground.dify.graph import (
    TIMEOUT_HANDLE,
    Answer,
    Assigner,
    Code,
    Edge,
    End,
    HttpRequest,
    HumanInput,
    IfElse,
    Json,
    Llm,
    Made,
    Node,
    Start,
    Template,
    Ticker,
    Tool,
)
from bot.playground.dify.inputs import schema_error
from bot.playground.dify.runs import Execution, Run, RunStatus, files_in
from bot.playground.dify.streams import live_frame
from bot.playground.dify.text import TextRelay
from bot.playground.dify.variables import as_text, bare, fill_in, pieces

# Seconds of a real server, read off the recordings.
_FORM_IS_MADE_S = 0.03  # 01
_FORM_IS_READ_S = 0.01  # a form that still waits stops the run before an answered one goes on (recordings 40, 43)
_ANSWER_IS_USED_S = 0.02
_PAUSE_IS_SAVED_S = 0.03  # 06
_PARALLEL_PAUSE_IS_SAVED_S = 0.14  # 07, 40, 43
_RETRY_S = 1.5  # 42
_STOP_NOTICED_S = 0.2  # 44
_STOP_FLAG_S = 600.0  # 12, 27
_STOP_COMMAND_S = 3600.0

_BODY = '{"code": 0, "message": "success", "data": []}'
_HEADERS = {
    "server": "BaseHTTP/0.6",
    "date": "Thu, 01 Jan 2026 00:00:00 GMT",
    "content-type": "application/json",
    "content-length": str(len(_BODY)),
}

_IMAGE = re.compile(r"!\[[^\]]*\]\([^)]*\)")

ABORTED = "Aborted: User requested stop"
STOPPED = "Stopped by user."
FAILED_BESIDE_A_FORM = "Cannot pause execution that has completed"


class NodeFailed(Exception):
    """A step that failed; the message is the run's error."""

    def __init__(self, message: str, process_data: Json | None = None) -> None:
        super().__init__(message)
        self.process_data = process_data or {}


class _InputWanted(Exception):
    """A step that waits for its form."""


@dataclass(slots=True)
class _Result:
    outputs: Json
    inputs: Json = field(default_factory=dict)
    process_data: Json = field(default_factory=dict)
    handle: str = "source"


@dataclass(slots=True)
class Release:
    """What differs between releases of Dify (dify-api §14); the defaults are those of the recordings.

    `outcome_events` are `human_input_form_filled` and `human_input_form_timeout`, which 1.17.0 leaves out.
    `backstage_tokens` are the useless tokens of forms that the Service API does not show; newer releases say null
    (dify-api §10.1). `lost_conversations_begin_anew`: a message to a conversation that is not there starts a new one
    (recording 15); other releases refuse it with the 404 of Dify's documentation, which nobody has recorded.
    """

    outcome_events: bool = True
    backstage_tokens: bool = True
    lost_conversations_begin_anew: bool = True


ResolveFile = Callable[[Json, Run], Awaitable[Json]]
MakeFile = Callable[[Made, Run], Json]


@dataclass(slots=True)
class Engine:
    """Executes runs; `resolve_file` looks a submitted file up as the run's own user, raising `InputError`.

    `make_file` stores what a tool makes.
    """

    clock: Clock
    resolve_file: ResolveFile
    make_file: MakeFile
    on_change: Callable[[], None]
    on_form: Callable[[Form], None]
    release: Release
    texts_up_to: float = 1.0
    """The part of each text that is written, beyond which it waits."""
    executing: set[str] = field(default_factory=set)
    """Ids of the runs that somebody works on now; a run can be `running` without (recordings 12, 39)."""

    async def start(self, run: Run) -> None:
        """Run from the start to the first pause or the end."""
        await self._play(run, [run.app.graph.nodes["start"]])

    async def resume(self, run: Run) -> None:
        """Go on after an answer or a deadline; a run that is not paused any more is left alone.

        That is how two forms answered in quick succession leave a run paused for good (recording 33).
        """
        if run.status is not RunStatus.PAUSED:
            return
        ready = [*run.waiting, *run.parked]
        run.waiting, run.parked = [], []
        run.resumed = True
        run.status = RunStatus.RUNNING
        self.on_change()
        await self._play(run, ready)

    async def _play(self, run: Run, ready: list[Node]) -> None:
        self.executing.add(run.id)
        try:
            await _Segment(self, run).play(ready)
        finally:
            self.executing.discard(run.id)

    def stop(self, run: Run) -> None:
        """Ask a run to stop; one that is paused only finds out at its next resume (recordings 12, 27)."""
        run.stop_asked_at = time.monotonic()
        run.stop_asked.set()

    def stop_is_fresh(self, run: Run, limit_s: float) -> bool:
        """Tell whether a stop was asked for less than `limit_s` (of a real server) ago."""
        asked = run.stop_asked_at
        return asked is not None and time.monotonic() - asked < self.clock.scaled(limit_s)


class _Segment:
    """One stretch of one run."""

    def __init__(self, engine: Engine, run: Run) -> None:
        self._engine = engine
        self._clock = engine.clock
        self._run = run
        self._relay = TextRelay(run.app.graph, run.pool)
        self._tasks: dict[asyncio.Task[None], Node] = {}
        self._pausing = False
        self._asked = 0
        self._began = time.monotonic()

    async def play(self, ready: list[Node]) -> None:
        run = self._run
        run.segment_started_at = self._clock.timestamp()
        await run.publish("workflow_started", run.started(live=True))
        if run.resumed and self._engine.stop_is_fresh(run, _STOP_FLAG_S):
            await self._cut_off()
            return
        run.stop_asked.clear()
        for node in ready:
            self._begin(node)
        if await self._work():
            await self._close()
        else:
            await self._abort()

    def _begin(self, node: Node) -> None:
        self._asked += isinstance(node, HumanInput)
        self._tasks[asyncio.create_task(self._execute(node), name=f"dify node {node.id}")] = node

    async def _work(self) -> bool:
        """Execute nodes until none is left; return False when somebody asked to stop."""
        stopped = asyncio.create_task(self._run.stop_asked.wait())
        try:
            while self._tasks:
                done, _ = await asyncio.wait({*self._tasks, stopped}, return_when=asyncio.FIRST_COMPLETED)
                if stopped in done:
                    return False
                for task in done:
                    del self._tasks[task]  # type: ignore[arg-type]
                    if not task.cancelled():
                        task.result()
            return True
        finally:
            for task in (stopped, *self._tasks):
                task.cancel()
            await asyncio.gather(stopped, *self._tasks, return_exceptions=True)

    async def _execute(self, node: Node) -> None:
        run = self._run
        await self._say()
        execution = run.start_execution(node, self._clock.timestamp())
        self._engine.on_change()
        await run.publish("node_started", execution.started(live=True))
        began = time.monotonic()
        try:
            result = await self._result(node, execution)
        except NodeFailed as failure:
            run.failure = str(failure)
            run.exceptions_count += 1
            self._finish(execution, "failed", began)
            await run.publish("node_finished", execution.finished({}, failure.process_data, {}, str(failure)))
            return
        except _InputWanted:
            self._finish(execution, "paused", began)
            run.waiting.append(node)
            if run.failure:
                # Whoever wants to pause a run that has failed just before ends it at once (recordings 34, 40).
                run.failure = FAILED_BESIDE_A_FORM
                self._drop_the_rest()
            self._pausing = True
            self._engine.on_change()
            return
        self._finish(execution, "succeeded", began)
        for name, value in result.outputs.items():
            run.pool[(node.id, name)] = value
        await self._say()
        followers = self._follow(node, result.handle)
        await self._say()
        inputs = result.inputs
        await run.publish("node_finished", execution.finished(inputs, result.process_data, result.outputs, None))
        for follower in followers:
            if self._pausing:
                run.parked.append(follower)
            else:
                self._begin(follower)

    def _drop_the_rest(self) -> None:
        for task in self._tasks:
            if task is not asyncio.current_task():
                task.cancel()

    def _finish(self, execution: Execution, status: str, began: float) -> None:
        execution.status = status
        execution.elapsed = time.monotonic() - began
        execution.finished_at = self._clock.timestamp()
        self._engine.on_change()

    async def _say(self) -> None:
        for chunk in self._relay.flush():
            await self._run.publish_text(chunk.text, chunk.selector)

    # Edges.

    def _follow(self, node: Node, handle: str) -> list[Node]:
        """Take the node's edges of this handle and skip the others; return the nodes that are ready now."""
        graph, run = self._run.app.graph, self._run
        taken = [edge for edge in graph.outgoing[node.id] if edge.handle == handle]
        run.taken.update(taken)
        self._relay.take(taken)
        for edge in graph.outgoing[node.id]:
            if edge.handle != handle:
                self._skip(edge)
        return [graph.nodes[edge.target] for edge in taken if self._is_ready(edge.target)]

    def _skip(self, edge: Edge) -> None:
        self._run.skipped.add(edge)
        if all(other in self._run.skipped for other in self._run.app.graph.incoming[edge.target]):
            for following in self._run.app.graph.outgoing[edge.target]:
                self._skip(following)

    def _is_ready(self, node_id: str) -> bool:
        decided = self._run.taken | self._run.skipped
        return all(edge in decided for edge in self._run.app.graph.incoming[node_id])

    # Nodes.

    async def _result(self, node: Node, execution: Execution) -> _Result:
        # A file is signed when it is shown: in a text or form that is made now, or as an output (dify-api §12.6).
        run = self._run
        run.pool.update({selector: run.sign(value) for selector, value in run.pool.items()})
        match node:
            case Start():
                return self._take_inputs()
            case Llm():
                return await self._write(node)
            case Ticker():
                return await self._tick(node)
            case Template():
                return _Result({"output": fill_in(node.text, self._run.pool)})
            case Tool():
                return _Result({"text": "", "files": [self._engine.make_file(made, self._run) for made in node.makes]})
            case Code():
                return _Result({name: self._put_together(item) for name, item in node.outputs.items()})
            case HttpRequest():
                return await self._call(node, execution)
            case HumanInput():
                return await self._ask(node)
            case End():
                values = {name: self._run.pool.get(selector) for name, selector in node.outputs.items()}
                self._run.outputs = self._run.outputs | values
                return _Result(values, inputs=values)
            case Answer():
                return self._answer(node)
            case IfElse():
                return self._choose(node)
            case Assigner():
                return self._keep(node)
        raise TypeError(node)

    def _take_inputs(self) -> _Result:
        values = dict(self._run.inputs)
        for item in self._run.app.start:
            if error := schema_error(item, values[item["variable"]]):
                raise NodeFailed(error)
        return _Result(values, inputs=values)

    def _put_together(self, item: Any) -> Any:
        match item:
            case (str(), str()):
                return self._run.pool.get(item)
            case dict():
                return {name: self._put_together(inner) for name, inner in item.items()}
            case list():
                return [self._put_together(inner) for inner in item]
        return item

    def _choose(self, node: IfElse) -> _Result:
        text = as_text(self._run.pool.get(node.selector))
        handle = "true" if any(word in text for word in node.words) else "false"
        return _Result({"result": handle == "true", "selected_case_id": handle}, handle=handle)

    def _keep(self, node: Assigner) -> _Result:
        run = self._run
        assert run.conversation
        value = fill_in(node.text, run.pool)
        run.conversation.variables[node.name] = value
        run.pool[("conversation", node.name)] = value
        return _Result({})

    async def _write(self, node: Llm) -> _Result:
        text = fill_in(node.text, self._run.pool)
        selector = (node.id, "text")
        words = text.split(" ")
        starts = range(0, len(words), node.words)
        for start in starts:
            while start >= self._engine.texts_up_to * len(words):
                await self._clock.sleep(_RETRY_S)
            some = " ".join(words[start : start + node.words])
            self._relay.write(selector, f" {some}" if start else some)
            await self._say()
            await self._clock.sleep(node.seconds / len(starts))
        self._relay.close(selector)
        return _Result({"text": text, "usage": {}, "finish_reason": "stop"})

    async def _tick(self, node: Ticker) -> _Result:
        run = self._run
        chunk = {"text": "tick ", "from_variable_selector": [node.id, "text"]}
        frame = live_frame({"event": "text_chunk", "workflow_run_id": run.id, "task_id": run.task_id, "data": chunk})
        count = round(node.rate * node.seconds)
        began = time.monotonic()
        for number in range(1, count + 1):
            await run.bus.publish("text_chunk", frame)
            await asyncio.sleep(began + self._clock.scaled(number / node.rate) - time.monotonic())
        return _Result({"count": count})

    async def _call(self, node: HttpRequest, execution: Execution) -> _Result:
        process_data = {"request": "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"}
        began = time.monotonic()
        for attempt in range(node.retries):
            await self._clock.sleep(max(node.seconds, _RETRY_S))
            self._finish(execution, "retry", began)
            self._run.exceptions_count += 1
            fields = execution.finished({}, process_data, {}, node.error)
            await self._run.publish("node_retry", fields | {"retry_index": attempt + 1})
        await self._clock.sleep(node.seconds)
        if node.error:
            raise NodeFailed(node.error, process_data)
        outputs = {"status_code": 200, "body": _BODY, "headers": dict(_HEADERS), "files": []}
        return _Result(outputs, process_data=process_data)

    def _answer(self, node: Answer) -> _Result:
        run = self._run
        text = fill_in(node.answer, run.pool)
        files = [
            file for piece in pieces(node.answer) if isinstance(piece, tuple) for file in files_in(run.pool.get(piece))
        ]
        so_far = run.outputs or {"answer": "", "files": []}
        run.outputs = {"answer": so_far["answer"] + text, "files": so_far["files"] + files}
        return _Result({"answer": text, "files": files})

    async def _ask(self, node: HumanInput) -> _Result:
        form = self._run.forms.get(node.id)
        if form is None:
            await self._clock.sleep(_FORM_IS_MADE_S)
            self._make_form(node)
            raise _InputWanted
        if form.status is FormStatus.WAITING and self._clock.now() >= form.expires_at:
            form.status = FormStatus.TIMEOUT
        if form.status is FormStatus.WAITING:
            await self._clock.sleep(_FORM_IS_READ_S)
            raise _InputWanted
        values = await self._usable_values(form) if form.status is FormStatus.SUBMITTED else {}
        await self._clock.sleep(_ANSWER_IS_USED_S)
        return await (self._time_out(form) if form.status is FormStatus.TIMEOUT else self._use_answer(form, values))

    def _make_form(self, node: HumanInput) -> None:
        run = self._run
        form = make_form(
            id=_uuid7(self._clock.now()),
            run_id=run.id,
            app_key=run.app.key,
            node=node,
            pool=run.pool,
            now=self._clock.now(),
            null_token=not node.web_app and not self._engine.release.backstage_tokens,
        )
        run.forms[node.id] = form
        self._engine.on_form(form)

    async def _time_out(self, form: Form) -> _Result:
        if self._engine.release.outcome_events:
            fields = {"node_id": form.node_id, "node_title": form.node.title, "expiration_time": form.expiration_time}
            await self._run.publish("human_input_form_timeout", fields)
        outputs = {"__action_id": "", "__rendered_content": form.content, "__action_value": ""}
        return _Result(outputs, handle=TIMEOUT_HANDLE)

    async def _usable_values(self, form: Form) -> Json:
        form.used = {item["output_variable_name"]: await self._usable(item, form) for item in form.inputs}
        return form.used

    async def _use_answer(self, form: Form, values: Json) -> _Result:
        assert form.answered
        action = form.answered.action
        rendered = form.rendered()
        if self._engine.release.outcome_events:
            fields = {
                "node_id": form.node_id,
                "node_title": form.node.title,
                "rendered_content": rendered,
                "action_id": action["id"],
                "action_text": action["title"],
                "submitted_data": values,
            }
            await self._run.publish("human_input_form_filled", fields)
        outputs = values | {
            "__action_id": action["id"],
            "__rendered_content": rendered,
            "__action_value": action["title"],
        }
        inputs = {name: _typed(value) for name, value in values.items()}
        return _Result(outputs, inputs=inputs, handle=action["id"])

    async def _usable(self, item: Json, form: Form) -> Any:
        assert form.answered
        name = item["output_variable_name"]
        value = form.answered.values[name]
        try:
            match item["type"]:
                case "file":
                    return await self._engine.resolve_file(value, self._run)
                case "file-list":
                    return [await self._engine.resolve_file(mapping, self._run) for mapping in usable(value)]
        except InputError as error:
            raise NodeFailed(str(error)) from error
        if not isinstance(value, str):
            # The words speak of a file list although it is a text (recordings 04, 40).
            got = type(value).__name__
            raise NodeFailed(f"HumanInput file list input expects a string, output_variable_name={name}, got={got}")
        return value

    # How a stretch ends.

    async def _close(self) -> None:
        run = self._run
        if self._pausing and run.failure != FAILED_BESIDE_A_FORM:
            await self._pause()
        elif run.failure:
            await self._end(RunStatus.FAILED, run.failure)
        elif self._engine.stop_is_fresh(run, _STOP_COMMAND_S):
            await self._end(RunStatus.STOPPED, ABORTED, told=RunStatus.FAILED)  # recording 27
        else:
            await self._end(RunStatus.SUCCEEDED, None)

    async def _pause(self) -> None:
        run = self._run
        await self._clock.sleep(_PARALLEL_PAUSE_IS_SAVED_S if self._asked > 1 else _PAUSE_IS_SAVED_S)
        run.waiting.sort(key=lambda node: node.id)
        run.announced = sorted((run.forms[node.id] for node in run.waiting), key=lambda form: form.id)
        run.elapsed = time.monotonic() - self._began
        run.status = RunStatus.PAUSED
        if run.message and run.message.streaming:
            run.message.status = "paused"  # recording 48
        for form in run.announced:
            await run.publish("human_input_required", form.required())
        await run.publish("workflow_paused", run.paused(live=True))
        self._engine.on_change()

    async def _end(self, status: RunStatus, error: str | None, *, told: RunStatus | None = None) -> None:
        """Store how the run ended and tell it; a stopped run tells another status than it stores."""
        run = self._run
        run.elapsed = time.monotonic() - self._began
        run.finished_at = self._clock.timestamp()
        run.status = status
        run.error = error
        if run.message:
            failed = status is not RunStatus.SUCCEEDED
            run.message.status = "error" if failed else "normal"
            run.message.error = f"Run failed: {error}" if failed else None
            if failed:
                run.message.answer = ""  # recordings 31, 46
            else:
                run.message.answer = _IMAGE.sub("", run.message.answer)  # recording 31
                run.message.answer_files = run.outputs.get("files", [])
                await run.publish_message_end()
        await run.publish("workflow_finished", run.finished(live=True, status=told))
        self._engine.on_change()

    async def _abort(self) -> None:
        await self._clock.sleep(_STOP_NOTICED_S)
        await self._end(RunStatus.STOPPED, ABORTED, told=RunStatus.FAILED)  # recordings 12, 31, 44

    async def _cut_off(self) -> None:
        """Tell that the run was stopped, and leave it `running` for ever (recording 12)."""
        run = self._run
        run.elapsed = time.monotonic() - self._began
        run.finished_at = self._clock.timestamp()
        if run.message:
            run.message.status, run.message.error = "error", f"Run failed: {ABORTED}"  # recording 15
        await run.publish("workflow_finished", run.finished(live=True, status="stopped", error=STOPPED))
        run.finished_at = None
        self._engine.on_change()


def _typed(value: Any) -> Json:
    """Return a value as the inputs of a Human Input node show it (recordings 09, 31)."""
    if isinstance(value, list):
        return {"value_type": "array[file]" if value else "array[any]", "value": bare(value)}
    return {"value_type": "file" if isinstance(value, dict) else "string", "value": bare(value)}


def _uuid7(now: float) -> str:
    """Return a UUID that sorts by time, the form of every form id."""
    milliseconds = int(now * 1000)
    random = uuid.uuid4().int & ((1 << 74) - 1)
    high, low = random >> 62, random & ((1 << 62) - 1)
    return str(uuid.UUID(int=(milliseconds << 80) | (7 << 76) | (high << 64) | (2 << 62) | low))
