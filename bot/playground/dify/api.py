"""The endpoints of the Service API, below `/v1`."""

import asyncio
import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, Literal, Self, TypeVar

from aiohttp import BodyPartReader, web
from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from bot.playground.bodies import Received
from bot.playground.dify.errors import (
    ApiError,
    BodyTooLarge,
    InputError,
    forbidden,
    internal_server_error,
    invalid_param,
    not_found,
    unauthorized,
    unknown_error,
)
from bot.playground.dify.faults import BodyFault, CutBody, Route, SlowBody
from bot.playground.dify.files import Stored, check_upload
from bot.playground.dify.forms import Form, FormStatus
from bot.playground.dify.graph import ATTACHMENTS, FILE_METHODS, App, Json
from bot.playground.dify.runs import ROOT_MESSAGE, Conversation, Message, Run, RunStatus
from bot.playground.dify.simulator import Dify, Question, Start
from bot.playground.dify.streams import EventStream, replay_frame
from bot.playground.serving import send

PING_S = 10.0
IDLE_LIMIT_S = 300.0
EOF_S = 1.0
SUBSCRIBE_GAP_S = 0.03  # what is published meanwhile is lost to the stream (recordings 06, 25)
_USER_LIMIT = 255
_DEFAULT_USER = "DEFAULT-USER"
# Bytes of an upload: more than aiohttp has ready at once, else it puts some back with a warning about itself.
_PIECE = 1024 * 1024
_PAUSED = "workflow_paused"
_FINISHED = "workflow_finished"

LOST = web.RequestKey("lost", bool)
"""Set on a request whose answer will never arrive."""

BODY_FAULT = web.RequestKey("body_fault", BodyFault)
"""Set on a request whose file will not go out as it should."""

M = TypeVar("M", bound=BaseModel)


class WorkflowRunPayload(BaseModel):
    """Body of a workflow start; the class names are part of the error messages (recording 03)."""

    inputs: dict[str, Any]
    files: list[dict[str, Any]] | None = None
    response_mode: Literal["blocking", "streaming"] | None = None


class ChatRequestPayload(BaseModel):
    """Body of a chat message (recording 15)."""

    inputs: dict[str, Any]
    query: str
    files: list[dict[str, Any]] | None = None
    response_mode: Literal["blocking", "streaming"] | None = None
    conversation_id: str | None = None

    @field_validator("conversation_id")
    @classmethod
    def _empty_or_uuid(cls, text: str | None) -> str | None:
        if text and not _is_uuid(text):
            raise ValueError("conversation_id must be a valid UUID")
        return text


class HumanInputFormSubmitPayload(BaseModel):
    """Body of a form's submission (recording 04)."""

    inputs: dict[str, Any]
    action: str


class MessageListQuery(BaseModel):
    """Query of the message list (recording 31)."""

    conversation_id: str
    first_id: str | None = None
    limit: int = Field(default=20, ge=1, le=100)


class MessageFeedbackPayload(BaseModel):
    """Body of a message's rating (recording 31)."""

    rating: Literal["like", "dislike"] | None = None
    content: str | None = None


class ConversationListQuery(BaseModel):
    """Query of the conversation list (recording 31)."""

    last_id: str | None = None
    limit: int = Field(default=20, ge=1, le=100)
    sort_by: Literal["created_at", "-created_at", "updated_at", "-updated_at"] = "-updated_at"


class ConversationRenamePayload(BaseModel):
    """Body of a conversation's new name (recording 31)."""

    name: str | None = None
    auto_generate: bool = False

    @model_validator(mode="after")
    def _named(self) -> Self:
        if not self.auto_generate and not (self.name or "").strip():
            raise ValueError("name is required when auto_generate is false")
        return self


class WorkflowLogQuery(BaseModel):
    """Query of the log list (recording 29)."""

    keyword: str | None = None
    status: Literal["succeeded", "failed", "stopped"] | None = None
    created_by_end_user_session_id: str | None = None
    created_at__after: datetime | None = None
    page: int = Field(default=1, ge=1)
    limit: int = Field(default=20, ge=1, le=100)


class Api:
    """Answers requests from the state of one simulated server."""

    def __init__(self, dify: Dify) -> None:
        self._dify = dify

    def routes(self) -> list[web.RouteDef]:
        """Return every endpoint with its name."""
        return [
            web.get("/v1/info", self.info, name=Route.INFO),
            web.get("/v1/parameters", self.parameters, name=Route.PARAMETERS),
            web.get("/v1/site", self.site, name=Route.SITE),
            web.get("/v1/meta", self.meta, name=Route.META),
            web.post("/v1/workflows/run", self.run_workflow, name=Route.RUN),
            web.post("/v1/workflows/{workflow_id}/run", self.run_version),
            web.get("/v1/workflows/run/{run_id}", self.run_detail, name=Route.RUN_DETAIL),
            web.get("/v1/workflows/logs", self.logs, name=Route.LOGS),
            web.post("/v1/workflows/tasks/{task_id}/stop", self.stop, name=Route.STOP),
            web.post("/v1/chat-messages", self.send_message, name=Route.CHAT),
            web.post("/v1/chat-messages/{task_id}/stop", self.stop),
            web.get("/v1/messages", self.messages, name=Route.MESSAGES),
            web.get("/v1/messages/{message_id}/suggested", self.next_questions, name=Route.NEXT_QUESTIONS),
            web.post("/v1/messages/{message_id}/feedbacks", self.rate, name=Route.FEEDBACK),
            web.get("/v1/conversations", self.conversations, name=Route.CONVERSATIONS),
            web.post(
                "/v1/conversations/{conversation_id}/name", self.rename_conversation, name=Route.RENAME_CONVERSATION
            ),
            web.delete("/v1/conversations/{conversation_id}", self.delete_conversation, name=Route.DELETE_CONVERSATION),
            web.get("/v1/workflow/{run_id}/events", self.events, name=Route.EVENTS),
            web.get("/v1/form/human_input/{form_token}", self.read_form, name=Route.READ_FORM),
            web.post("/v1/form/human_input/{form_token}", self.submit_form, name=Route.SUBMIT_FORM),
            web.post("/v1/files/upload", self.upload, name=Route.UPLOAD),
            web.get("/v1/files/{file_id}/preview", self.preview, name=Route.PREVIEW),
            web.get("/files/{file_id}/file-preview", self.download, name=Route.DOWNLOAD),
            web.get("/files/tools/{name}", self.download_made, name=Route.DOWNLOAD_MADE),
        ]

    # The app.

    async def info(self, request: web.Request) -> web.Response:
        """Answer who the app is, published or not (recording 02)."""
        app = self._app(request)
        return _answer(
            {
                "name": app.name,
                "description": app.description,
                "tags": [],
                "mode": app.mode,
                "author_name": "Admin",
            }
        )

    async def parameters(self, request: web.Request) -> web.Response:
        """Answer the published app's start inputs and features."""
        app = self._app(request)
        if not app.published:
            raise ApiError(400, "app_unavailable", "App unavailable, please check your app configurations.")
        return _answer(_parameters(app))

    async def site(self, request: web.Request) -> web.Response:
        """Answer how the app's page looks."""
        return _answer(_site(self._app(request)))

    async def meta(self, request: web.Request) -> web.Response:
        """Answer the icons of tools; no app here uses one."""
        self._app(request)
        return _answer({"tool_icons": {}})

    # Starts.

    async def run_workflow(self, request: web.Request) -> web.StreamResponse:
        """Start a workflow."""
        app = self._app(request)
        body, user = await self._body_and_user(request)
        return await self._run_workflow(request, app, body, user)

    async def run_version(self, request: web.Request) -> web.StreamResponse:
        """Start a published version of a workflow (recording 29)."""
        app = self._app(request)
        body, user = await self._body_and_user(request)
        workflow_id = request.match_info["workflow_id"]
        if not _is_uuid(workflow_id):
            raise ApiError(400, "bad_request", f"Invalid workflow_id format: '{workflow_id}'. ")
        if workflow_id != app.workflow_id:
            raise not_found(f"Workflow not found with id: {workflow_id}")
        return await self._run_workflow(request, app, body, user)

    async def _run_workflow(self, request: web.Request, app: App, body: Any, user: str) -> web.StreamResponse:
        if app.mode != "workflow":
            raise _wrong_mode("not_workflow_app")
        payload = _validated(WorkflowRunPayload, body)
        if not app.published:
            raise invalid_param("Workflow not published")
        start = Start(app, user, payload.inputs, payload.files or [])
        if payload.response_mode == "streaming":
            return await self._stream_start(request, start)
        run = await self._run_blocking(start)
        return _answer(_blocking_result(run))

    async def send_message(self, request: web.Request) -> web.StreamResponse:
        """Ask a chatflow, in a new conversation or one that there is (recordings 15, 31)."""
        app = self._app(request)
        body, user = await self._body_and_user(request)
        _check_chat(app)
        payload = _validated(ChatRequestPayload, body)
        if not app.published:
            raise invalid_param("Workflow not published")
        if payload.conversation_id and not self._dify.release.lost_conversations_begin_anew:
            self._conversation(app, user, payload.conversation_id)
        streaming = payload.response_mode == "streaming"
        question = Question(payload.query, payload.conversation_id, streaming)
        start = Start(app, user, payload.inputs, payload.files or [], question)
        if streaming:
            return await self._stream_start(request, start)
        run = await self._run_blocking(start)
        if run.status not in (RunStatus.SUCCEEDED, RunStatus.PAUSED):
            raise invalid_param(f"Run failed: {run.error}")  # recording 46
        return _answer(_blocking_message(run))

    async def _run_blocking(self, start: Start) -> Run:
        try:
            run = await self._dify.begin(start)
        except InputError as error:
            raise invalid_param(str(error)) from error
        await self._dify.engine.start(run)
        return run

    async def _stream_start(self, request: web.Request, start: Start) -> web.StreamResponse:
        if request.get(LOST):
            self._dify.enqueue(start)
            return web.Response()
        response, stream = await self._open_stream(request)
        stream.closes_on = frozenset({_PAUSED, _FINISHED})
        start.bus.join(stream)
        self._dify.enqueue(start)

        def works() -> bool:
            # The pings come from the worker: none in the queue, none after an error (recordings 20, 38).
            return start.run is not None and self._dify.executes(start.run)

        try:
            await self._keep_open(stream, pings=works, busy=works)
        finally:
            start.bus.leave(stream)
        return response

    # Runs.

    async def events(self, request: web.Request) -> web.StreamResponse:
        """Follow a run; who started it decides who may (recording 05)."""
        app = self._app(request)
        user = _required_user(request.query.get("user"))
        run = self._run(request, app)
        if run is None or run.end_user.session_id != user:
            raise not_found("Workflow run not found")
        snapshot = _is_true(request.query.get("include_state_snapshot"))
        continues = _is_true(request.query.get("continue_on_pause"))
        if request.get(LOST):
            return web.Response()
        if run.status.ended:
            return await self._replay_end(request, run)
        frames = run.snapshot() if snapshot else []
        response, stream = await self._open_stream(request)
        stream.closes_on = _closing_events(snapshot, continues)
        for name, frame in frames:
            await stream.send(name, frame)
        await self._dify.clock.sleep(SUBSCRIBE_GAP_S)
        run.bus.join(stream)
        self._dify.changes.notify()
        try:
            await self._keep_open(
                stream,
                pings=lambda: True,
                # Only without a snapshot the worker's pings keep a stream of a silent step open (recording 26).
                busy=lambda: not snapshot and self._dify.executes(run),
            )
        finally:
            run.bus.leave(stream)
        return response

    async def _replay_end(self, request: web.Request, run: Run) -> web.StreamResponse:
        response = web.StreamResponse()
        response.content_type = "text/event-stream"
        response.charset = "utf-8"
        await response.prepare(request)
        envelope = {"event": _FINISHED, "task_id": run.id, "workflow_run_id": run.id}
        await response.write(replay_frame(envelope | {"data": run.finished(live=False)}))
        return response

    async def run_detail(self, request: web.Request) -> web.Response:
        """Answer how a run stands; any run of the app, no user needed."""
        run = self._run(request, self._app(request))
        if run is None:
            raise not_found("Workflow run not found.")
        return _answer(run.detail())

    async def logs(self, request: web.Request) -> web.Response:
        """List the app's workflow runs, newest first (recording 29)."""
        app = self._app(request)
        query = _validated(WorkflowLogQuery, dict(request.query))
        found = [run for run in reversed(self._dify.runs.values()) if run.app.key == app.key and _is_logged(run, query)]
        first = (query.page - 1) * query.limit
        page = found[first : first + query.limit]
        return _answer(
            {
                "page": query.page,
                "limit": query.limit,
                "total": len(found),
                "has_more": len(found) > first + query.limit,
                "data": [_log_entry(run) for run in page],
            }
        )

    async def stop(self, request: web.Request) -> web.Response:
        """Ask a task to stop; the answer is always success (recording 12)."""
        app = self._app(request)
        await self._body_and_user(request)
        self._dify.stop(app, request.match_info["task_id"])
        return _answer({"result": "success"})

    # Forms.

    async def read_form(self, request: web.Request) -> web.Response:
        """Answer an open form; the key of its app is enough."""
        form = self._form(request, self._app(request))
        form.check_open(self._dify.clock.now())
        return _answer(form.definition())

    async def submit_form(self, request: web.Request) -> web.Response:
        """Take the answer to a form, once; whoever asks (recording 04)."""
        app = self._app(request)
        body, _ = await self._body_and_user(request)
        payload = _validated(HumanInputFormSubmitPayload, body)
        form = self._form(request, app)
        await self._dify.submit(form, payload.action, payload.inputs)
        return _answer({})

    def _form(self, request: web.Request, app: App) -> Form:
        form = self._dify.forms.get(request.match_info["form_token"])
        # The token of an e-mail-only form is one that opens nothing here (recording 17).
        if form is None or form.app_key != app.key or not form.node.web_app:
            raise not_found(
                f"Form not found. You have requested this URI [{request.path}] "
                "but did you mean /v1/form/human_input/<string:form_token> ?"
            )
        return form

    # Chat history.

    async def messages(self, request: web.Request) -> web.Response:
        """List a conversation's messages with their forms, in the order they were asked (recordings 15, 31)."""
        app = self._app(request)
        _check_chat(app)
        query = _validated(MessageListQuery, dict(request.query))
        conversation = self._dify.conversation_of(app, request.query.get("user"), query.conversation_id)
        if conversation is None:
            raise not_found(
                "Conversation Not Exists. You have requested this URI [/v1/messages] "
                "but did you mean /v1/messages or /v1/chat-messages or /api/messages ?"
            )
        older = conversation.messages
        if query.first_id:
            ids = [message.id for message in older]
            older = older[: ids.index(query.first_id)] if query.first_id in ids else []
        return _answer(
            {
                "limit": query.limit,
                "has_more": len(older) > query.limit,
                "data": [self._message(message) for message in older[-query.limit :]],
            }
        )

    def _message(self, message: Message) -> Json:
        run, files = self._dify.run_of(message), self._dify.files
        forms = run.forms.values() if run else ()
        return {
            "id": message.id,
            "conversation_id": message.conversation_id,
            "parent_message_id": ROOT_MESSAGE,
            "inputs": message.inputs,
            "query": message.query,
            "answer": files.text_signed_anew(message.answer),
            "feedback": {"rating": message.rating} if message.rating else None,
            "retriever_resources": [],
            "created_at": message.created_at,
            "agent_thoughts": [],
            "message_files": [
                *(_message_file(file, "user") for file in files.signed_anew(message.files)),
                *(_message_file(file, "assistant") for file in files.signed_anew(message.answer_files)),
            ],
            "status": message.status,
            "error": message.error,
            "extra_contents": [_extra_content(form) for form in forms],
        }

    async def next_questions(self, request: web.Request) -> web.Response:
        """Answer what could be asked next; switched off it is a 400, without a model a 500 (recordings 31, 44)."""
        app = self._app(request)
        user = _required_user(request.query.get("user"))
        _check_chat(app)
        self._own_message(request, app, user)
        if not app.suggests_questions:
            raise ApiError(400, "bad_request", "Suggested Questions Is Disabled.")
        if app.next_questions is None:
            raise internal_server_error()
        return _answer({"result": "success", "data": list(app.next_questions)})

    async def rate(self, request: web.Request) -> web.Response:
        """Take or withdraw a message's rating; a later one replaces it (recording 31)."""
        app = self._app(request)
        body, user = await self._body_and_user(request)
        payload = _validated(MessageFeedbackPayload, body)
        message = self._own_message(request, app, user)
        if payload.rating is None and message.rating is None:
            raise invalid_param("rating cannot be None when feedback not exists")  # Dify's source; not recorded
        message.rating = payload.rating
        return _answer({"result": "success"})

    def _own_message(self, request: web.Request, app: App, user: str) -> Message:
        message = self._dify.message_of(app, user, request.match_info["message_id"])
        if message is None:
            raise not_found("Message Not Exists.")
        return message

    async def conversations(self, request: web.Request) -> web.Response:
        """List a user's conversations; nobody's are those of a default user (recordings 15, 31)."""
        app = self._app(request)
        _check_chat(app)
        query = _validated(ConversationListQuery, dict(request.query))
        user = request.query.get("user") or _DEFAULT_USER
        found = [each for each in self._dify.conversations.values() if (each.app_key, each.user) == (app.key, user)]
        field = query.sort_by.lstrip("-")
        found.sort(key=lambda each: int(getattr(each, field)))
        if query.sort_by.startswith("-"):
            found.reverse()
        if query.last_id:
            ids = [each.id for each in found]
            if query.last_id not in ids:
                raise not_found("Last Conversation Not Exists.")
            found = found[ids.index(query.last_id) + 1 :]
        page = [_conversation_entry(each) for each in found[: query.limit]]
        return _answer({"limit": query.limit, "has_more": len(found) > query.limit, "data": page})

    async def rename_conversation(self, request: web.Request) -> web.Response:
        """Give a conversation another name; there is no model here that could think of one (recording 31)."""
        app = self._app(request)
        body, user = await self._body_and_user(request)
        _check_chat(app)
        payload = _validated(ConversationRenamePayload, body)
        conversation = self._conversation(app, user, request.match_info["conversation_id"])
        if not payload.auto_generate:
            conversation.name = payload.name or ""
        conversation.updated_at = self._dify.clock.timestamp()
        return _answer(_conversation_entry(conversation))

    async def delete_conversation(self, request: web.Request) -> web.Response:
        """Delete a conversation with its messages; their runs stay (recording 31)."""
        app = self._app(request)
        _, user = await self._body_and_user(request)
        _check_chat(app)
        del self._dify.conversations[self._conversation(app, user, request.match_info["conversation_id"]).id]
        self._dify.changes.notify()
        return web.Response(status=204, content_type="application/json")

    def _conversation(self, app: App, user: str, conversation_id: str) -> Conversation:
        conversation = self._dify.conversation_of(app, user, conversation_id)
        if conversation is None:
            raise not_found("Conversation Not Exists.")
        return conversation

    # Files.

    async def upload(self, request: web.Request) -> web.Response:
        """Keep an uploaded file for one user of the app (recordings 08, 46)."""
        app = self._app(request)
        if not request.content_type.startswith("multipart/"):
            raise _no_file()
        parts, user = await self._parts(request)
        try:
            file = self._uploaded(app, parts, user)
        except ApiError:
            for part in parts:
                part.body.close()
            raise
        self._dify.files.add(file)
        return _answer(_upload_result(file, self._dify.files.signed_url(file)), status=201)

    def _uploaded(self, app: App, parts: list["_Part"], user: str) -> Stored:
        if len(parts) > 1:
            raise ApiError(400, "too_many_files", "Only one file is allowed.")
        if not parts or parts[0].field != "file":
            raise _no_file()
        (part,) = parts
        name, extension = check_upload(part.name, part.body.size, part.mime_type, self._dify.extension_blacklist)
        return Stored(
            id=str(uuid.uuid4()),
            name=name,
            extension=extension,
            mime_type=part.mime_type or "",
            body=part.body,
            app_key=app.key,
            user=user,
            created_by=self._dify.end_user(app, user).id,
            created_at=self._dify.clock.timestamp(),
        )

    async def _parts(self, request: web.Request) -> tuple[list["_Part"], str]:
        """Return the file parts, taken in piece by piece, and the user."""
        parts: list[_Part] = []
        user = _DEFAULT_USER
        try:
            async for part in await request.multipart():
                assert isinstance(part, BodyPartReader)
                if part.filename is None:
                    sent = await part.read()
                    user = (sent.decode() or _DEFAULT_USER) if part.name == "user" else user
                    continue
                parts.append(_Part(part.name or "", part.filename, part.headers.get("Content-Type"), Received()))
                while chunk := await part.read_chunk(_PIECE):
                    parts[-1].body.write(chunk)
                    if parts[-1].body.size > self._dify.body_limit:
                        raise BodyTooLarge
        except BaseException:
            for taken in parts:
                taken.body.close()
            raise
        return parts, user

    async def download(self, request: web.Request) -> web.StreamResponse:
        """Answer an upload's bytes to whoever has a signed address (recordings 21, 30)."""
        file = self._dify.files.open_signed(request.match_info["file_id"], request.query, by_tool=False)
        if file is None:
            raise not_found("File not found or signature is invalid")
        return await self._send_file(request, file, "application/octet-stream")

    async def download_made(self, request: web.Request) -> web.StreamResponse:
        """Answer the bytes of what a tool made to whoever has a signed address (dify-api §12.6).

        What one that is too old gets is not recorded; this is Dify's source.
        """
        file_id = request.match_info["name"].partition(".")[0]
        file = self._dify.files.open_signed(file_id, request.query, by_tool=True)
        if file is None:
            raise forbidden("Invalid request.")
        return await self._send_file(request, file, file.mime_type)

    async def preview(self, request: web.Request) -> web.StreamResponse:
        """Answer a file that belongs to a message of the app, with the app's key (recordings 21, 31)."""
        app = self._app(request)
        file = self._dify.files.stored.get(request.match_info["file_id"])
        if file is None or not self._dify.is_in_a_message(app, file):
            raise ApiError(404, "file_not_found", "File not found in message context")
        return await self._send_file(request, file, file.mime_type, {"Cache-Control": "public, max-age=3600"})

    async def _send_file(
        self, request: web.Request, file: Stored, content_type: str, headers: dict[str, str] | None = None
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers=headers)
        response.content_type, response.content_length = content_type, file.body.size
        fault = request.get(BODY_FAULT)
        clock = self._dify.clock
        return await send(
            request,
            response,
            file.body,
            cut_after=fault.after_bytes if isinstance(fault, CutBody) else None,
            pause=partial(clock.sleep, fault.seconds) if isinstance(fault, SlowBody) else None,
        )

    # What the endpoints have in common.

    def _app(self, request: web.Request) -> App:
        scheme, _, key = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not key:
            raise unauthorized("Authorization header must be provided and start with 'Bearer'")
        return self._dify.app_of(key.strip())

    async def _body_and_user(self, request: web.Request) -> tuple[Any, str]:
        body = await _json_body(request)
        return body, _required_user(body.get("user") if isinstance(body, dict) else None)

    def _run(self, request: web.Request, app: App) -> Run | None:
        run_id = request.match_info["run_id"]
        if not _is_uuid(run_id):
            raise unknown_error()
        run = self._dify.runs.get(run_id)
        return run if run and run.app.key == app.key else None

    async def _open_stream(self, request: web.Request) -> tuple[web.StreamResponse, EventStream]:
        response = web.StreamResponse()
        response.content_type = "text/event-stream"
        response.charset = "utf-8"
        response.enable_chunked_encoding()
        await response.prepare(request)
        assert request.transport
        cut = self._dify.faults.next_cut(request.match_info.route.name)
        stream = EventStream(response, request.transport, cut, self._dify.told)
        await stream.ping()
        return response, stream

    async def _keep_open(self, stream: EventStream, *, pings: Callable[[], bool], busy: Callable[[], bool]) -> None:
        """Ping until the stream has ended or nothing has happened for too long."""
        clock, loop = self._dify.clock, asyncio.get_running_loop()
        while not stream.ended.is_set():
            try:
                async with asyncio.timeout(clock.scaled(PING_S)):
                    await stream.ended.wait()
            except TimeoutError:
                if busy():
                    stream.last_event_at = loop.time()
                elif loop.time() - stream.last_event_at >= clock.scaled(IDLE_LIMIT_S):
                    return
                if pings():
                    await stream.ping()
        if not stream.broken:
            await clock.sleep(EOF_S)


# Requests.


async def _json_body(request: web.Request) -> Any:
    if request.content_type != "application/json":
        raise ApiError(
            415,
            "unsupported_media_type",
            "Did not attempt to load JSON data because the request Content-Type was not 'application/json'.",
        )
    try:
        body = json.loads(await request.read())
        json.dumps(body, ensure_ascii=False).encode()  # a lone surrogate spoils the whole body (recording 32)
    except ValueError:
        message = "The browser (or proxy) sent a request that this server could not understand."
        raise ApiError(400, "bad_request", message) from None
    return body


def _required_user(user: Any) -> str:
    if user in (None, ""):
        raise invalid_param("Arg user must be provided.")
    if len(str(user)) > _USER_LIMIT:
        raise unknown_error()
    return str(user)


def _validated(model: type[M], body: Any) -> M:
    try:
        return model.model_validate(body)
    except ValidationError as error:
        raise invalid_param(str(error)) from error


def _is_uuid(text: str) -> bool:
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True


def _is_true(text: str | None) -> bool:
    return (text or "").lower() == "true"  # nothing else is (recording 41)


def _wrong_mode(code: str) -> ApiError:
    return ApiError(400, code, "Please check if your app mode matches the right API route.")


def _check_chat(app: App) -> None:
    if app.mode != "advanced-chat":
        raise _wrong_mode("not_chat_app")


def _no_file() -> ApiError:
    return ApiError(400, "no_file_uploaded", "Please upload your file.")


@dataclass(frozen=True, slots=True)
class _Part:
    """A file in the body of an upload."""

    field: str
    name: str
    mime_type: str | None
    body: Received


def _closing_events(snapshot: bool, continues: bool) -> frozenset[str]:
    """Return what ends a stream; without a snapshot `continue_on_pause` does not even end at the end (recording 05)."""
    if not continues:
        return frozenset({_PAUSED, _FINISHED})
    return frozenset({_FINISHED}) if snapshot else frozenset()


# Answers.


def _answer(body: Json, status: int = 200) -> web.Response:
    return web.json_response(body, status=status)


def _parameters(app: App) -> Json:
    off = {"enabled": False}
    limits = {
        "image_file_size_limit": 10,
        "video_file_size_limit": 100,
        "audio_file_size_limit": 50,
        "file_size_limit": 15,
        "workflow_file_upload_limit": 10,
    }
    return {
        "opening_statement": app.opening_statement,
        "suggested_questions": list(app.suggested_questions),
        "suggested_questions_after_answer": {"enabled": app.suggests_questions},
        "speech_to_text": off,
        "text_to_speech": off | {"language": "", "voice": ""},
        "retriever_resource": {"enabled": True},
        "annotation_reply": off,
        "more_like_this": off,
        "user_input_form": [{item["type"]: item} for item in app.start],
        "sensitive_word_avoidance": off,
        "file_upload": _file_upload(app) | {"fileUploadConfig": limits | {"batch_count_limit": 5}},
        "system_parameters": limits,
    }


def _file_upload(app: App) -> Json:
    if app.file_upload:
        return {"enabled": True, **ATTACHMENTS, "number_limits": 3}
    return {
        "enabled": False,
        "image": {"enabled": False, "number_limits": 3, "transfer_methods": FILE_METHODS},
        "allowed_file_types": ["image"],
        "allowed_file_extensions": [".JPG", ".JPEG", ".PNG", ".GIF", ".WEBP", ".SVG"],
        "allowed_file_upload_methods": FILE_METHODS,
        "number_limits": 3,
    }


def _site(app: App) -> Json:
    return {
        "title": app.name,
        "chat_color_theme": None,
        "chat_color_theme_inverted": False,
        "icon_type": "emoji",
        "icon": "🤖",
        "icon_background": "#FFEAD5",
        "description": None,
        "copyright": None,
        "privacy_policy": None,
        "custom_disclaimer": "",
        "default_language": "en-US",
        "show_workflow_steps": True,
        "use_icon_as_answer_icon": False,
        "icon_url": None,
    }


def _blocking_result(run: Run) -> Json:
    fields = {
        "id": run.id,
        "workflow_id": run.app.workflow_id,
        "status": run.status,
        "outputs": run.outputs,
        "error": run.error,
        "elapsed_time": round(run.elapsed, 6),
        "total_tokens": 0,
        "total_steps": run.total_steps,
        "created_at": run.created_at,
        "finished_at": run.finished_at,
    }
    return {"task_id": run.task_id, "workflow_run_id": run.id, "data": fields | _pause_fields(run)}


def _pause_fields(run: Run) -> Json:
    if run.status is not RunStatus.PAUSED:
        return {}
    paused = run.paused(live=True)
    return {"paused_nodes": paused["paused_nodes"], "reasons": paused["reasons"]}


def _blocking_message(run: Run) -> Json:
    """Return a chatflow's answer, or its pause, which says most things twice (recordings 15, 46)."""
    message = run.message
    assert message
    paused = run.status is RunStatus.PAUSED
    common = {
        "message_id": message.id,
        "conversation_id": message.conversation_id,
        "mode": run.app.mode,
        "answer": message.answer,
        "metadata": run.message_metadata(),
        "created_at": message.created_at,
    }
    head = {"event": _PAUSED if paused else "message", "task_id": run.task_id, "id": message.id}
    if not paused:
        return head | common
    details = {
        "id": message.id,
        **common,
        "workflow_run_id": run.id,
        **_pause_fields(run),
        "status": "paused",
        "elapsed_time": round(run.elapsed, 6),
        "total_tokens": 0,
        "total_steps": run.total_steps,
    }
    return head | common | {"workflow_run_id": run.id, "data": details}


def _is_logged(run: Run, query: WorkflowLogQuery) -> bool:
    if run.message is not None:
        return False  # chatflow runs are in no log
    user = query.created_by_end_user_session_id
    if (query.status and run.status != query.status) or (user and run.end_user.session_id != user):
        return False
    after = query.created_at__after
    if after is not None and run.created_at < after.replace(tzinfo=after.tzinfo or UTC).timestamp():
        return False
    texts = (run.id, run.end_user.session_id, json.dumps(run.inputs, ensure_ascii=False), json.dumps(run.outputs))
    return not query.keyword or any(query.keyword in text for text in texts)


def _log_entry(run: Run) -> Json:
    detail = run.detail()
    fields = {name: detail[name] for name in ("id", "status", "error", "total_tokens", "total_steps")}
    fields |= {name: detail[name] for name in ("elapsed_time", "created_at", "finished_at")}
    return {
        "id": run.log_id,
        "workflow_run": fields
        | {"version": "2026-01-01 00:00:00.000000", "triggered_from": "app-run", "exceptions_count": 0},
        "details": None,
        "created_from": "service-api",
        "created_by_role": "end_user",
        "created_by_account": None,
        "created_by_end_user": {
            "id": run.end_user.id,
            "type": "service-api",
            "is_anonymous": False,
            "session_id": run.end_user.session_id,
        },
        "created_at": run.created_at,
    }


def _extra_content(form: Form) -> Json:
    """Return a message's form, the one place that tells later how it was answered (recording 15)."""
    submitted = form.status is FormStatus.SUBMITTED
    token = form.token if form.node.web_app and not submitted else None  # told even when expired (recording 47)
    definition = form.required() | {"inputs": list(form.node.inputs), "form_token": token}
    return {
        "workflow_run_id": form.run_id,
        "submitted": submitted,
        "form_definition": definition,
        "form_submission_data": _submission(form) if submitted else None,
        "type": "human_input",
    }


def _submission(form: Form) -> Json:
    assert form.answered
    return {
        "node_id": form.node_id,
        "node_title": form.node.title,
        "rendered_content": form.rendered(),
        "action_id": form.answered.action["id"],
        "action_text": form.answered.action["title"],
        "submitted_data": form.used or dict(form.answered.values),
    }


def _conversation_entry(conversation: Conversation) -> Json:
    return {
        "id": conversation.id,
        "name": conversation.name,
        "inputs": conversation.inputs,
        "status": "normal",
        "introduction": conversation.introduction,
        "created_at": conversation.created_at,
        "updated_at": conversation.updated_at,
    }


def _message_file(file: Json, belongs_to: str) -> Json:
    return {
        "id": file["related_id"],
        "filename": file["filename"],
        "type": file["type"],
        "url": file["url"],
        "mime_type": file["mime_type"],
        "size": file["size"],
        "transfer_method": file["transfer_method"],
        "belongs_to": belongs_to,
        "upload_file_id": file["related_id"],
    }


def _upload_result(upload: Stored, source_url: str) -> Json:
    return {
        "id": upload.id,
        "reference": None,
        "name": upload.name,
        "size": upload.body.size,
        "extension": upload.extension,
        "mime_type": upload.mime_type,
        "created_by": upload.created_by,
        "created_at": upload.created_at,
        "preview_url": None,
        "source_url": source_url,
        "original_url": None,
        "user_id": None,
        "tenant_id": str(uuid.uuid5(uuid.NAMESPACE_URL, "tenant")),
        "conversation_id": None,
        "file_key": None,
    }
