"""Dify's Service API without any I/O: requests to send, streams to read, errors to raise."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import lru_cache, partial
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, urlsplit

from pydantic import ValidationError

from bot.core.events import Ping, RunFinished, RunPaused, StepFinished, StreamEvent, StreamFailed
from bot.core.files import as_sent, attached, clean_name, mapping
from bot.core.model import AppMode, Rating, Run, RunStatus, Submission
from bot.core.out_files import is_signed
from bot.dify import schema
from bot.errors import (
    ConfigError,
    DifyError,
    DifyNotFound,
    DifyRejected,
    DifyUnauthorized,
    DifyUnavailable,
    FormClosed,
    FormRefused,
)

log = logging.getLogger(__name__)


# --- requests --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Request:
    """One call, below the base URL."""

    method: str
    path: str = field(repr=False)
    """Not shown: a form's path holds its token."""
    query: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = field(default=None, repr=False)
    """JSON."""


def api_root(base_url: str) -> str:
    """Return the root of the API; the base URL may come with or without a trailing slash or `/v1`.

    Raises:
        ConfigError: it is no web address.
    """
    if not _WEB_ADDRESS.fullmatch(base_url):
        raise ConfigError("DIFY_BASE_URL is no web address: give it like https://api.dify.ai/v1")
    return base_url.rstrip("/").removesuffix("/v1").rstrip("/") + "/v1"


_WEB_ADDRESS = re.compile(r"https?://[^\s/?#]+(/[^\s?#]*)?", re.IGNORECASE)


def describe_app() -> Request:
    return Request("GET", "/info")


def describe_parameters() -> Request:
    return Request("GET", "/parameters")


def describe_site() -> Request:
    return Request("GET", "/site")


def start_run(run: Run) -> Request:
    """Start the run's app, streaming. Without `response_mode` Dify would block (dify-api §16.1)."""
    inputs = as_sent(run.run_inputs, run.attachments)
    body: dict[str, Any] = {"inputs": inputs, "response_mode": "streaming", "user": run.dify_user}
    if files := attached(run.attachments, None, None):
        body["files"] = [mapping(each) for each in files]
    if run.mode is AppMode.WORKFLOW:
        return Request("POST", "/workflows/run", body=_json(body))
    body["query"] = run.query
    if run.conversation_id is not None:
        body["conversation_id"] = run.conversation_id
    return Request("POST", "/chat-messages", body=_json(body))


def read_events(run: Run, *, snapshot: bool, continue_on_pause: bool) -> Request:
    """Read the run's events, what happened so far first where `snapshot` is set.

    The path wants the run's id, not the task's, and the user who started it; anything else is 404 (recording 05).
    """
    query = {"user": run.dify_user}
    if snapshot:
        query["include_state_snapshot"] = "true"
    if continue_on_pause:
        query["continue_on_pause"] = "true"
    return Request("GET", f"/workflow/{_run_id(run)}/events", query=query)


def read_run(run: Run) -> Request:
    return Request("GET", f"/workflows/run/{_run_id(run)}")


def read_log(run: Run, after: datetime) -> Request:
    """Read which runs of a Workflow app the run's user has started since a moment: a page of the newest."""
    moment = after.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    query = {"created_by_end_user_session_id": run.dify_user, "created_at__after": moment, "limit": "100"}
    return Request("GET", "/workflows/logs", query=query)


def read_messages(run: Run, limit: int) -> Request:
    """Read the newest messages of a Chatflow's conversation; `limit` is 1–100."""
    assert run.conversation_id is not None, "only a Chatflow that began has a history"
    query = {"conversation_id": run.conversation_id, "user": run.dify_user, "limit": str(limit)}
    return Request("GET", "/messages", query=query)


def read_suggestions(run: Run) -> Request:
    return Request("GET", f"/messages/{_message_id(run)}/suggested", query={"user": run.dify_user})


def rate_answer(run: Run, rating: Rating) -> Request:
    body = {"rating": rating, "user": run.dify_user}
    return Request("POST", f"/messages/{_message_id(run)}/feedbacks", body=_json(body))


def read_form(form_token: str) -> Request:
    return Request("GET", _form_path(form_token))


def submit_form(run: Run, form_token: str, submission: Submission) -> Request:
    inputs = as_sent(submission.values, run.attachments)
    body = {"inputs": inputs, "action": submission.action_id, "user": run.dify_user}
    return Request("POST", _form_path(form_token), body=_json(body))


def stop_run(run: Run) -> Request:
    """Stop the task; the path wants the task's id here, not the run's (dify-api §13)."""
    assert run.task_id is not None, "only a run that Dify named can be stopped"
    tasks = "workflows/tasks" if run.mode is AppMode.WORKFLOW else "chat-messages"
    return Request("POST", f"/{tasks}/{_quoted(run.task_id)}/stop", body=_json({"user": run.dify_user}))


def _message_id(run: Run) -> str:
    assert run.message_id is not None, "only a Chatflow that began answers a message"
    return _quoted(run.message_id)


def _run_id(run: Run) -> str:
    assert run.workflow_run_id is not None, "Dify has not named the run yet"
    return _quoted(run.workflow_run_id)


def _form_path(form_token: str) -> str:
    return f"/form/human_input/{_quoted(form_token)}"


def _quoted(segment: str) -> str:
    return quote(segment, safe="")


def _json(body: Mapping[str, Any]) -> bytes:
    # A lone surrogate would make the whole body malformed (recording 32): it becomes a question mark.
    return json.dumps(body, ensure_ascii=False).encode(errors="replace")


# --- files -----------------------------------------------------------------------------------------------------------

UPLOAD_PATH = "/files/upload"


@dataclass(frozen=True, slots=True)
class UploadBody:
    """What surrounds the bytes of a file on its way to Dify."""

    head: bytes
    tail: bytes
    boundary: str

    def headers(self, size: int) -> dict[str, str]:
        """Return the headers of an upload of a file of so many bytes."""
        length = len(self.head) + size + len(self.tail)
        return {"Content-Type": f"multipart/form-data; boundary={self.boundary}", "Content-Length": str(length)}


def upload_body(dify_user: str, name: str, mime_type: str, boundary: str) -> UploadBody:
    """Return the body of an upload, with one part `file` and the field `user` (dify-api §12.1).

    The user is the one who started the run: another's file uses the form up and fails the run (recording 10). The
    name's extension decides what Dify takes the file for. Nothing in a name or type ends the line that it stands in.
    """
    # As browsers write it; Dify reads it back (recording 37).
    quoted = clean_name(name).replace('"', "%22")
    kind = mime_type if _MIME_TYPE.fullmatch(mime_type) else "application/octet-stream"
    head = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="user"\r\n\r\n{dify_user}\r\n'
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{quoted}"\r\n'
        # Dify refuses a part without a type (recording 46).
        f"Content-Type: {kind}\r\n\r\n"
    )
    return UploadBody(head.encode(), f"\r\n--{boundary}--\r\n".encode(), boundary)


_MIME_TYPE = re.compile(r"[A-Za-z0-9][\w.+-]*/[A-Za-z0-9][\w.+-]*", re.ASCII)


_CLOUD_FILES = {"https://api.dify.ai": "https://upload.dify.ai"}
"""Where Dify's own cloud has the files of its API."""


def file_servers(root: str, files_url: str | None) -> tuple[str, ...]:
    """Return where addresses that Dify signs may lead to; the first one is where those without a host lead to.

    That is where the API is, unless its `FILES_URL` says otherwise (dify-api §2.1).
    """
    parts = urlsplit(root)
    origin = f"{parts.scheme}://{parts.netloc}"
    if files_url is not None:
        return files_url.rstrip("/"), origin
    return (origin, _CLOUD_FILES[origin]) if origin in _CLOUD_FILES else (origin,)


def signed_address(url: str, servers: Sequence[str]) -> str:
    """Return an address that Dify signed as it is to be opened, put together of nothing but what such a one has.

    Raises:
        DifyRejected: it is no such address, or one of another server.
    """
    for server in servers:
        found = _SIGNED.fullmatch(_below(url, server))
        if found and is_signed(found[0]):
            return f"{server}{found['path']}?{found['query']}"
    raise DifyRejected("the file is at no address that this Dify server signs; DIFY_FILES_URL says where it has files")


_SEGMENT = r"[A-Za-z0-9_~-][A-Za-z0-9_.~+-]*"
_SIGNED = re.compile(rf"(?P<path>/files(?:/{_SEGMENT})+)\?(?P<query>[A-Za-z0-9_.~%=&+-]+)")


def _below(url: str, server: str) -> str:
    """Return what an address has below a server; the address as it is where it is another one's."""
    wanted, given = (_WEB_SERVER.match(each) for each in (server, url))
    if given is None or wanted is None or _origin(given) != _origin(wanted):
        return url
    folder, path = server[wanted.end() :], url[given.end() :]
    return path.removeprefix(folder) if path.startswith(folder) else url


_WEB_SERVER = re.compile(r"(?P<scheme>https?)://(?P<host>[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::(?P<port>\d+))?", re.I)


def _origin(found: re.Match[str]) -> tuple[str, str, int]:
    scheme = found["scheme"].lower()
    return scheme, found["host"].lower(), int(found["port"] or (443 if scheme == "https" else 80))


# --- streams ---------------------------------------------------------------------------------------------------------

PING = Ping()


def decode(text: str) -> schema.StreamFrame:
    """Return the event in a frame's JSON. What cannot be read is reported once per name and keeps only its ids."""
    try:
        return schema.FRAMES.validate_json(text)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_context=False, include_input=False)[0]
    try:
        frame = schema.UnreadableFrame.model_validate_json(text)
    except ValidationError:
        frame = schema.UnreadableFrame()
    _report(frame.event[:80], problem["type"], ".".join(map(str, problem["loc"])))
    return frame


@lru_cache(maxsize=256)  # reports each once; bounded, because the names come from outside
def _report(event: str, problem: str, place: str) -> None:
    if problem == "union_tag_invalid":
        log.warning("Dify sent an event that is unknown here: %r", event)
    else:
        log.warning("Dify sent an event that cannot be read: %r (%s at %r)", event, problem, place)


class SegmentReader:
    """Turns the messages of one stream into events, up to the pause or the end of the run.

    With `names_run` the first event that carries the run's id is preceded by a `RunStarted`, because the first events
    of a stream can be lost (dify-api §9.2).
    """

    def __init__(self, *, names_run: bool = False, continue_on_pause: bool = False) -> None:
        self.began = False
        """Something other than a ping arrived."""
        self.ended = False
        """Nothing that is worth waiting for can follow."""
        self._unnamed = names_run
        self._endings = (RunFinished, StreamFailed) if continue_on_pause else (RunFinished, StreamFailed, RunPaused)
        self._failed_step: str | None = None

    def receive(self, name: str, text: str) -> tuple[StreamEvent, ...]:
        """Return what a message of the stream says: its event name and its text, as SSE has them.

        A ping is an event without any text; everything else has no name, and its kind is in the JSON (dify-api §6).
        """
        if name == "ping":
            return (PING,)
        if not text:
            return ()
        self.began = True
        frame = decode(text)
        event = frame.to_core()
        if isinstance(event, StepFinished):
            if event.failed:
                self._failed_step = event.title
        elif isinstance(event, self._endings):
            self.ended = True
            if isinstance(event, RunFinished) and event.status in _FAILURES:
                event = replace(event, failed_step=self._failed_step)
        if self._unnamed and (started := frame.run_started()) is not None:
            self._unnamed = False
            if event != started:
                return (started,) if event is None else (started, event)
        return () if event is None else (event,)


_FAILURES = frozenset({RunStatus.FAILED, RunStatus.PARTIAL_SUCCEEDED})


# --- errors ----------------------------------------------------------------------------------------------------------

# dify-api §2.4. Dify's own code says more than the status, which decides where Dify has no code of its own for it.
_BY_CODE: dict[tuple[int, str], Callable[..., DifyError]] = {
    (400, "invalid_form_data"): FormRefused,
    (404, "human_input_form_not_found"): DifyNotFound,
    (404, "not_found"): DifyNotFound,
    (412, "human_input_form_submitted"): partial(FormClosed, expired=False),
    (412, "human_input_form_expired"): partial(FormClosed, expired=True),
    (429, "rate_limit_error"): DifyRejected,  # the quota of a plan: asking again does not help
}
_TURNED_AWAY = partial(DifyUnavailable, sent=False)
_BY_STATUS: dict[int, Callable[..., DifyError]] = {
    401: DifyUnauthorized,
    403: DifyUnauthorized,
    408: DifyUnavailable,
    429: _TURNED_AWAY,
}
# Without a code it is a proxy in front of Dify that says so, and Dify was not asked: a run is not lost for that, nor a
# key refused.
_OF_A_PROXY = frozenset({401, 403, 404})
# The one case that only its text tells from a wrong parameter (recording 24).
_BACK_PRESSURE = "Too many requests"

# The framework adds this to a 404 of Dify's, and with it the path, which may hold a form's token (recording 04).
_ROUTING_HINT = re.compile(r"\s*You have requested this URI.*", re.DOTALL)
_FORM_TOKEN = re.compile(r"(form/human_input/)[^/?\s\"'\]]+")
_LONGEST_MESSAGE = 500


def error_from(status: int, body: str) -> DifyError:
    """Return the error that an answer with this status and body means. Nothing of a body without JSON is repeated."""
    try:
        answer = schema.ErrorBody.model_validate_json(body)
    except ValidationError:
        answer = schema.ErrorBody()
    return _kind(status, answer)(_message(status, answer.message), status=status, code=answer.code)


def file_error_from(status: int, body: str) -> DifyError:
    """Return the error that an answer means where a file was asked for by a signed address.

    One that has expired is 404 for an upload, and 403 for what a tool made (recording 30; in Dify's source:
    `controllers/files/tool_files.py`). No key was sent that could be refused.
    """
    error = error_from(status, body)
    if isinstance(error, DifyUnauthorized):
        expired = DifyNotFound if status == HTTPStatus.FORBIDDEN else DifyRejected
        return expired(error.message, status=status, code=error.code)
    return error


def _kind(status: int, answer: schema.ErrorBody) -> Callable[..., DifyError]:
    if status == 400 and answer.code == "invalid_param" and answer.message.startswith(_BACK_PRESSURE):
        return _TURNED_AWAY
    if status in _OF_A_PROXY and answer.code is None:
        return _TURNED_AWAY
    by_code = _BY_CODE.get((status, answer.code or ""))
    return by_code or _BY_STATUS.get(status, DifyUnavailable if status >= 500 else DifyRejected)


def _message(status: int, message: str) -> str:
    said = _FORM_TOKEN.sub(r"\1…", _ROUTING_HINT.sub("", message)).strip()
    if said:
        return said if len(said) <= _LONGEST_MESSAGE else said[:_LONGEST_MESSAGE] + "…"
    known = status in HTTPStatus._value2member_map_
    return f"Dify answered {status} {HTTPStatus(status).phrase}" if known else f"Dify answered {status}"
