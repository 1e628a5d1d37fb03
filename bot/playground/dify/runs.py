"""One run of an app: what the real server keeps of it in its database, and the events made from that."""

import asyncio
import json
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from bot.playground.dify.forms import Form
from bot.playground.dify.graph import App, Edge, Json, Node
from bot.playground.dify.streams import Bus, live_frame
from bot.playground.dify.variables import Pool, bare, is_file

ROOT_MESSAGE = "00000000-0000-0000-0000-000000000000"
NO_USAGE: Json = {
    "prompt_tokens": 0,
    "prompt_unit_price": "0.0",
    "prompt_price_unit": "0.0",
    "prompt_price": "0.0",
    "completion_tokens": 0,
    "completion_unit_price": "0.0",
    "completion_price_unit": "0.0",
    "completion_price": "0.0",
    "total_tokens": 0,
    "total_price": "0.0",
    "currency": "USD",
    "latency": 0.0,
    "time_to_first_token": 0.028,
    "time_to_generate": 0.005,
}


class RunStatus(StrEnum):
    """Dify's words for how a run stands."""

    RUNNING = "running"
    PAUSED = "paused"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    STOPPED = "stopped"

    @property
    def ended(self) -> bool:
        """Tell whether nothing can follow."""
        return self not in (RunStatus.RUNNING, RunStatus.PAUSED)


@dataclass(frozen=True, slots=True)
class EndUser:
    """A `user` of the Service API, made at the first use."""

    id: str
    session_id: str


@dataclass(slots=True)
class Execution:
    """One node's latest execution; a resumed node keeps its id (recording 01)."""

    id: str
    node: Node
    index: int
    created_at: int
    status: str | None = None
    elapsed: float = 0.0
    finished_at: int | None = None

    def _node_fields(self, index: int) -> Json:
        return {
            "id": self.id,
            "node_id": self.node.id,
            "node_type": self.node.node_type,
            "title": self.node.title,
            "index": index,
            "predecessor_node_id": None,
        }

    def started(self, *, live: bool) -> Json:
        """Return the fields of `node_started`; live events always say index 1."""
        fields = self._node_fields(1 if live else self.index) | {
            "inputs": None,
            "created_at": self.created_at,
            "extras": {},
            "iteration_id": None,
            "loop_id": None,
        }
        return fields | {"inputs_truncated": False, "agent_strategy": None} if live else fields

    def finished(self, inputs: Json, process_data: Json, outputs: Json, error: str | None) -> Json:
        """Return the fields of a live `node_finished`, which tells everything."""
        return self._node_fields(1) | {
            "inputs": inputs,
            "inputs_truncated": False,
            "process_data": process_data,
            "process_data_truncated": False,
            "outputs": outputs,
            "outputs_truncated": False,
            "status": self.status,
            "error": error,
            **self._outcome(files_in(outputs)),
        }

    def replayed(self) -> Json:
        """Return the fields of a replayed `node_finished`: no values, not even the error (recordings 05, 42)."""
        return self._node_fields(self.index) | {
            "inputs": None,
            "process_data": None,
            "outputs": None,
            "status": self.status,
            "error": None,
            **self._outcome([]),
        }

    def _outcome(self, files: list[Json]) -> Json:
        return {
            "elapsed_time": round(self.elapsed, 6),
            "execution_metadata": None,
            "created_at": self.created_at,
            "finished_at": self.finished_at,
            "files": files,
            "iteration_id": None,
            "loop_id": None,
        }


@dataclass(slots=True)
class Message:
    """A question to a chatflow and its answer."""

    id: str
    conversation_id: str
    query: str
    inputs: Json
    created_at: int
    streaming: bool
    files: list[Json]
    answer: str = ""
    answer_files: list[Json] = field(default_factory=list)
    status: str = "normal"
    error: str | None = None
    rating: str | None = None


@dataclass(slots=True)
class Conversation:
    """Messages of one user of one app, and the variables that outlive each of them; times are Unix seconds."""

    id: str
    app_key: str
    user: str
    name: str
    inputs: Json
    introduction: str
    created_at: int
    updated_at: int
    variables: dict[str, Any]
    messages: list[Message] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Run:
    """A run; times are Unix seconds, `elapsed` covers only the latest stretch (recording 05).

    `sign` gives the files in a value fresh addresses: no two events have the same for one file (recordings 09, 31).
    """

    id: str
    task_id: str
    log_id: str
    app: App
    end_user: EndUser
    inputs: Json
    pool: Pool
    created_at: int
    sign: Callable[[Any], Any]
    message: Message | None = None
    conversation: Conversation | None = None
    status: RunStatus = RunStatus.RUNNING
    outputs: Json = field(default_factory=dict)
    error: str | None = None
    failure: str | None = None
    exceptions_count: int = 0
    elapsed: float = 0.0
    total_steps: int = 0
    finished_at: int | None = None
    segment_started_at: int = 0
    executions: dict[str, Execution] = field(default_factory=dict)
    taken: set[Edge] = field(default_factory=set)
    skipped: set[Edge] = field(default_factory=set)
    waiting: list[Node] = field(default_factory=list)
    parked: list[Node] = field(default_factory=list)
    forms: dict[str, Form] = field(default_factory=dict)
    announced: list[Form] = field(default_factory=list)
    resumed: bool = False
    stop_asked: asyncio.Event = field(default_factory=asyncio.Event)
    stop_asked_at: float | None = None
    bus: Bus = field(default_factory=Bus)

    # What the rest of the server reads.

    def detail(self) -> Json:
        """Return what GET /workflows/run/{id} answers: inputs as a JSON text; no steps and times while it runs."""
        running = self.status is RunStatus.RUNNING
        return {
            "id": self.id,
            "workflow_id": self.app.workflow_id,
            "status": self.status,
            "inputs": json.dumps(self.all_inputs(stamped=True)),
            "outputs": {} if running or self.status is RunStatus.PAUSED else self.outputs,
            "error": self.error,
            "total_steps": 0 if running else self.total_steps,
            "total_tokens": 0,
            "created_at": self.created_at,
            "finished_at": self.finished_at,
            "elapsed_time": round(self.elapsed, 6) if self.status.ended else 0.0,
        }

    def all_inputs(self, *, stamped: bool = False, resumed: bool = False) -> Json:
        """Return the start inputs with the system variables; what a workflow stores has a time (recordings 05, 15).

        After a resume the files among the inputs have lost their addresses (recording 18).
        """
        chat = {"sys.query": self.message.query} if self.message else {}
        count = {"sys.dialogue_count": self.pool[("sys", "dialogue_count")]} if self.message else {}
        return {
            **({name: bare(value) for name, value in self.inputs.items()} if resumed else self.inputs),
            **chat,
            "sys.files": self.pool[("sys", "files")],
            "sys.user_id": self.end_user.session_id,
            **count,
            "sys.app_id": self.app.id,
            **({"sys.timestamp": self.created_at} if stamped and not self.message else {}),
            "sys.workflow_id": self.app.workflow_id,
            "sys.workflow_run_id": self.id,
        }

    # Live events.

    async def publish(self, event: str, fields: Mapping[str, Any]) -> None:
        """Send an event with `data` to everybody who listens."""
        await self._send(event, {"workflow_run_id": self.id, "task_id": self.task_id, "data": fields})

    async def _send(self, event: str, fields: Json) -> None:
        if not self.bus.silent:
            await self.bus.publish(event, live_frame({"event": event, **self._chat_keys(), **self.sign(fields)}))

    def _chat_keys(self) -> Json:
        if self.message is None:
            return {}
        return {
            "conversation_id": self.message.conversation_id,
            "message_id": self.message.id,
            "created_at": self.message.created_at,
        }

    async def publish_text(self, text: str, selector: tuple[str, str]) -> None:
        """Send a piece of the run's text: a chunk of a workflow, a delta of a chatflow's answer."""
        source = list(selector)
        if self.message is None:
            await self.publish("text_chunk", {"text": text, "from_variable_selector": source})
            return
        self.message.answer += text
        delta = {"id": self.message.id, "answer": text, "from_variable_selector": source}
        await self._send("message", {"task_id": self.task_id, **delta})

    async def publish_message_end(self) -> None:
        """Send a chatflow's `message_end`, which carries no text."""
        assert self.message
        fields = {"id": self.message.id, "metadata": self.message_metadata(), "files": self.outputs.get("files", [])}
        await self._send("message_end", {"task_id": self.task_id, **fields})

    def message_metadata(self) -> Json:
        """Return the metadata of an answer; a paused one has no usage yet (recording 15)."""
        usage = NO_USAGE if self.status.ended else None
        return {"annotation_reply": None, "retriever_resources": [], "usage": usage}

    # Their fields.

    def started(self, *, live: bool) -> Json:
        """Return the fields of `workflow_started`; a replay always tells of the first start (recording 05)."""
        return {
            "id": self.id,
            "workflow_id": self.app.workflow_id,
            "inputs": self.all_inputs(stamped=not live, resumed=live and self.resumed),
            "created_at": self.segment_started_at if live else self.created_at,
            "reason": "resumption" if live and self.resumed else "initial",
        }

    def paused(self, *, live: bool) -> Json:
        """Return the fields of `workflow_paused`."""
        return {
            "workflow_run_id": self.id,
            "paused_nodes": sorted(form.node_id for form in self.announced),
            "outputs": {} if live else self._stored_outputs(),
            "reasons": [form.reason(raw=not live) for form in self.announced],
            "status": "paused",
            "created_at": self.segment_started_at if live else self.created_at,
            "elapsed_time": round(self.elapsed, 6) if live else 0.0,
            "total_tokens": 0,
            "total_steps": self.total_steps,
        }

    def _stored_outputs(self) -> Json:
        # A chatflow that has answered already keeps its answer with typed files (recording 16).
        if "files" not in self.outputs:
            return self.outputs
        return self.outputs | {"files": {"value_type": "array[file]", "value": self.outputs["files"]}}

    def finished(self, *, live: bool, status: str | None = None, error: str | None = None) -> Json:
        """Return the fields of `workflow_finished`; a stopped run says other things live than later (recording 12)."""
        return {
            "id": self.id,
            "workflow_id": self.app.workflow_id,
            "status": status or self.status,
            "outputs": self.outputs,
            "error": error or self.error,
            "elapsed_time": round(self.elapsed, 6),
            "total_tokens": 0,
            "total_steps": self.total_steps,
            "created_by": {"id": self.end_user.id, "user": self.end_user.session_id},
            "created_at": self.segment_started_at if live else self.created_at,
            "finished_at": self.finished_at,
            "exceptions_count": self.exceptions_count,
            "files": files_in(self.outputs),
        }

    # The snapshot.

    def snapshot(self) -> list[tuple[str, bytes]]:
        """Return the frames of `include_state_snapshot=true`: node statuses and open forms, no values, no past."""
        events = [self._replay("workflow_started", self.started(live=False))]
        if self.message:
            replaced = {
                "event": "message_replace",
                "task_id": self.task_id,
                "answer": self.message.answer,
                "reason": "",
            }
            events.append(("message_replace", live_frame(replaced | self._chat_keys())))
        for execution in sorted(self.executions.values(), key=lambda execution: execution.index):
            events.append(self._replay("node_started", execution.started(live=False)))
            if execution.status:
                events.append(self._replay("node_finished", execution.replayed()))
        if self.status is RunStatus.PAUSED:
            events += [self._replay("human_input_required", form.required(raw=True)) for form in self.announced]
            events.append(self._replay("workflow_paused", self.paused(live=False)))
        return events

    def _replay(self, event: str, fields: Json) -> tuple[str, bytes]:
        envelope = {"event": event, "task_id": self.task_id, "workflow_run_id": self.id, "data": fields}
        return event, live_frame(envelope | self._chat_keys())

    def start_execution(self, node: Node, now: int) -> Execution:
        """Note that a node starts; one that waited for input goes on under its old id."""
        before = self.executions.pop(node.id, None)
        self.total_steps += 1
        execution = Execution(before.id if before else str(uuid.uuid4()), node, self.total_steps, now)
        self.executions[node.id] = execution
        return execution


def files_in(value: Any) -> list[Json]:
    """Return the files in a value, however deep."""
    if is_file(value):
        return [value]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [file for item in inner for file in files_in(item)]
