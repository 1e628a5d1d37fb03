"""The Dify client: the one place that talks to Dify."""

from __future__ import annotations

import asyncio
import logging
import secrets
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from http import HTTPStatus
from types import TracebackType
from typing import Self, TypeVar

import aiohttp
import httpx
from httpx_aiohttp import HttpxAiohttpClient
from httpx_sse import EventSource, ServerSentEvent, aconnect_sse
from pydantic import BaseModel, ValidationError

from bot.core.events import FormFilled, FormRequired, StreamEvent
from bot.core.files import PIECE, as_sent
from bot.core.model import AppMode, Form, FormStatus, Rating, Run, Submission
from bot.core.out_files import key_of
from bot.core.ports import AppDescription, FileContent, LoggedRun, RunDetail
from bot.dify import sansio, schema
from bot.dify.sansio import Request, SegmentReader, UploadBody
from bot.dify.stream_thread import OpenStream
from bot.errors import ConfigError, DifyNotFound, DifyRejected, DifyUnavailable, FormClosed

_Answer = TypeVar("_Answer", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Deadlines:
    """How long the client waits, in seconds, before it gives up with `DifyUnavailable`."""

    connect: float = 10
    """For a connection."""
    call: float = 20
    """For a short call as a whole, and for the snapshot of a paused run."""
    transfer: float = 600
    """For a file as a whole, up or down."""
    upload: float = 120
    """For a piece of a file to be taken, and for the answer once Dify has all of it."""
    download: float = 30
    """For a file's next piece."""
    first_event: float = 60
    """For a started run to say more than a ping: a failed start can look like silence (recordings 23, 38)."""
    silence: float = 60
    """For a byte on a run's events, which bring a ping about every 10 s (dify-api §6)."""
    start_silence: float = 300
    """For a byte on the stream of a start, whose pings come from a worker that may be busy (dify-api §6)."""


class DifyClient:
    """One Dify app, after `bot.core.ports.Dify`: a server and the key of an app there.

    Every live stream has a connection pool of its own, because a shared one costs time quadratic in its streams; they
    share one TLS context. Short calls have another pool and never wait for a stream.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str,
        *,
        files_url: str | None = None,
        deadlines: Deadlines | None = None,
        ssl_context: ssl.SSLContext | None = None,
        carry: Callable[[OpenStream], OpenStream] | None = None,
    ) -> None:
        """Prepare the client; nothing is sent yet. `carry` takes live streams elsewhere to be read.

        `files_url` is where Dify has its files, if that is elsewhere than its API: its `FILES_URL`.

        Raises:
            ConfigError: the address or the key cannot be one.
        """
        if not api_key or not api_key.isascii() or not api_key.isprintable() or " " in api_key:
            raise ConfigError("DIFY_API_KEY is not a key: copy it from the app's API access page in Dify")
        self.version: str | None = None
        """Dify's version, as its last answer told; None before that, or where a proxy strips the header."""
        self._root = sansio.api_root(base_url)
        self._file_servers = sansio.file_servers(self._root, files_url)
        self._headers = {"Authorization": f"Bearer {api_key}"}
        self._deadlines = deadlines or Deadlines()
        self._carry = carry or _here
        self._ssl_context = ssl_context or httpx.create_ssl_context()
        try:
            self._short_calls = self._http(httpx.AsyncClient, self._deadlines.call)
            # Files are read without the key, and nothing follows where an address leads on to.
            self._files = httpx.AsyncClient(verify=self._ssl_context, headers={"Accept-Encoding": "identity"})
        except httpx.InvalidURL as error:
            raise ConfigError(f"DIFY_BASE_URL is no web address: {error}") from error
        # httpx logs the address of every request, and a form's address is its secret.
        logging.getLogger("httpx").addFilter(_is_no_request_line)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections of the short calls and of files; a stream closes its own."""
        await self._short_calls.aclose()
        await self._files.aclose()

    # --- the app -----------------------------------------------------------------------------------------------------

    async def describe(self) -> AppDescription:
        """Read what the app is called, its mode, its start inputs, and which files it takes.

        Raises:
            DifyRejected: also for a kind of app that cannot pause on a form.
        """
        info = await self.info()
        if info.mode not in _MODES:
            raise DifyRejected(f"“{info.name}” is a {info.mode} app; only workflows and chatflows can be run here")
        parameters = await self.parameters()
        return AppDescription(
            info.name,
            AppMode(info.mode),
            parameters.start_inputs(),
            parameters.file_upload.to_core(),
            parameters.system_parameters.to_core(),
        )

    async def info(self) -> schema.AppInfo:
        """Read the app's name and mode: the cheapest call that proves the key."""
        return await self._ask(sansio.describe_app(), schema.AppInfo)

    async def parameters(self) -> schema.Parameters:
        """Read the app's start inputs."""
        return await self._ask(sansio.describe_parameters(), schema.Parameters)

    async def site(self) -> schema.Site:
        """Read how the app presents itself."""
        return await self._ask(sansio.describe_site(), schema.Site)

    # --- a run -------------------------------------------------------------------------------------------------------

    def start(self, run: Run) -> AbstractAsyncContextManager[AsyncIterator[StreamEvent]]:
        """Start the run and read its stream until it pauses, ends or fails. Never sent twice by itself."""
        deadlines = self._deadlines
        stream = self._stream(
            sansio.start_run(run),
            SegmentReader(names_run=True),
            silence=deadlines.start_silence,
            first_event=deadlines.first_event,
        )
        return self._carry(stream)

    def follow(
        self, run: Run, *, snapshot: bool = False, continue_on_pause: bool = False
    ) -> AbstractAsyncContextManager[AsyncIterator[StreamEvent]]:
        """Read what happens from now on, until the run pauses, ends or fails.

        Nothing of the past comes, unless `snapshot` asks for what Dify kept of it (dify-api §9.1). With
        `continue_on_pause` a pause ends nothing. A stream that just stops tells nothing about the run.
        """
        stream = self._stream(
            sansio.read_events(run, snapshot=snapshot, continue_on_pause=continue_on_pause),
            SegmentReader(continue_on_pause=continue_on_pause),
            silence=self._deadlines.silence,
        )
        return self._carry(stream)

    async def open_forms(self, run: Run) -> tuple[Form, ...]:
        """Read the snapshot of a paused run: every form it waits for, with rendered content.

        A form that reading finds closed is left out; one that is known to be answered stays in, unread: while Dify
        still offers it, the resume has not begun (recording 25), and the lifecycle has to see that.

        Raises:
            DifyUnavailable: also when the run shows no pause in time, because it is running again.
        """
        try:
            async with asyncio.timeout(self._deadlines.call), self.follow(run, snapshot=True) as events:
                offered = [event.form async for event in events if isinstance(event, FormRequired)]
        except TimeoutError as error:
            raise DifyUnavailable("The run showed no pause in time") from error
        answered = {form.form_id for form in run.forms if form.status in _ANSWERED}
        forms = [form if form.form_id in answered else await self._rendered(form) for form in offered]
        return tuple(form for form in forms if form is not None)

    async def _rendered(self, form: Form) -> Form | None:
        """Return the form as reading it shows it: a snapshot has only the raw template (recording 05)."""
        if not form.answerable:
            return form
        try:
            definition = await self._read(form)
        except DifyNotFound:
            return replace(form, answerable=False)
        except FormClosed:
            return None
        return definition.complete(form)

    async def run_detail(self, run: Run) -> RunDetail:
        """Read how the run stands."""
        return (await self._ask(sansio.read_run(run), schema.RunAnswer)).to_core()

    async def logged_runs(self, run: Run, after: datetime) -> tuple[LoggedRun, ...]:
        """Read which runs the user of a Workflow's run has started since a moment, the oldest first; at most 100.

        One that waits in Dify's queue is not among them (recording 38).
        """
        return (await self._ask(sansio.read_log(run, after), schema.Log)).to_core()

    async def is_start_of(self, run: Run, workflow_run_id: str) -> bool:
        """Tell whether a run of Dify's was started with the inputs of this one."""
        named = replace(run, workflow_run_id=workflow_run_id)
        try:
            started = await self._ask(sansio.read_run(named), schema.StartedRun)
        except DifyNotFound:
            # Deleted since it was listed.
            return False
        declared = (await self.parameters()).start_inputs()
        sent = as_sent(run.run_inputs, run.attachments)
        return started.is_start_of(sent, {each.variable: each.default for each in declared})

    async def messages(self, run: Run, *, limit: int = 20) -> tuple[schema.HistoryMessage, ...]:
        """Read the newest messages of a Chatflow run's conversation, oldest first; `limit` is 1–100."""
        return tuple((await self._ask(sansio.read_messages(run, limit), schema.History)).data)

    async def knows_conversation(self, run: Run) -> bool:
        """Tell whether the conversation is still there in which the run's message is to be sent.

        Asked beforehand, since Dify answers a message to one that is gone as the first of a new one (recording 15).
        """
        try:
            await self.messages(run, limit=1)
        except DifyNotFound:
            return False
        return True

    async def suggestions(self, run: Run) -> tuple[str, ...]:
        """Read what Dify suggests to ask after the answer; nothing where the app has that switched off."""
        if not (await self.parameters()).suggested_questions_after_answer.enabled:
            # Dify would refuse, or fail (recordings 31, 44).
            return ()
        return tuple((await self._ask(sansio.read_suggestions(run), schema.Suggestions)).data)

    async def rate(self, run: Run, rating: Rating) -> None:
        """Give Dify what somebody thinks of the answer; the last one counts."""
        await self._call(sansio.rate_answer(run, rating), within=self._deadlines.call)

    async def stop(self, run: Run) -> None:
        """Ask to stop the task. Dify answers success whatever happens (dify-api §13)."""
        await self._call(sansio.stop_run(run), within=self._deadlines.call)

    # --- a form ------------------------------------------------------------------------------------------------------

    async def check_open(self, form: Form) -> None:
        """Read an answerable form.

        Raises:
            FormClosed: it was answered, or its deadline passed.
            DifyNotFound: Dify does not know it any more.
        """
        await self._read(form)

    async def answer_given(self, run: Run, form: Form) -> FormFilled | None:
        """Read the answer that closed a form; None where Dify does not tell: a Chatflow alone has a history."""
        if run.mode is not AppMode.CHATFLOW or run.conversation_id is None:
            return None
        for message in await self.messages(run):
            for asked in message.extra_contents:
                answer = asked.form_submission_data
                if asked.form_definition.form_id == form.form_id and answer is not None:
                    return FormFilled(form.node_id, answer.action_id, answer.submitted_data or {}, form.form_id)
        return None

    async def submit(self, run: Run, form: Form, submission: Submission) -> None:
        """Send the answer.

        Raises:
            FormRefused: the values do not fit; the form stays open.
            FormClosed: somebody was first, or the deadline passed.
            DifyUnavailable: no answer, or no place for it now; its `sent` says whether Dify may have taken it.
        """
        with _kept_over_a_quota():
            await self._call(sansio.submit_form(run, _token(form), submission), within=self._deadlines.call)

    async def _read(self, form: Form) -> schema.FormDefinition:
        return await self._ask(sansio.read_form(_token(form)), schema.FormDefinition)

    # --- files -------------------------------------------------------------------------------------------------------

    async def upload(self, run: Run, name: str, content: FileContent) -> str:
        """Upload a file as the user of the run, piece by piece, and return Dify's id of it.

        `content.size` has to be known and right.

        Raises:
            DifyUnavailable: no answer; or more or fewer bytes than `content.size`, and Dify has no file then.
            DifyRejected: Dify takes no such file; its `status` says why: 413 too large, 415 or 400 not of this kind.
        """
        assert content.size is not None, "Dify is told beforehand how much there is to come"
        # Random: no file can hold what ends it.
        body = sansio.upload_body(run.dify_user, name, content.mime_type, secrets.token_hex(16))
        deadlines = self._deadlines
        try:
            async with asyncio.timeout(deadlines.transfer), aclosing(_around(body, content)) as pieces:
                response = await self._short_calls.post(
                    sansio.UPLOAD_PATH,
                    content=pieces,
                    headers=body.headers(content.size),
                    timeout=httpx.Timeout(deadlines.upload, connect=deadlines.connect, pool=deadlines.connect),
                )
        except _FAILURES as error:
            raise _unavailable(error) from error
        with _kept_over_a_quota():
            self._check(response)
        return _parsed(response, schema.UploadedFile).id

    @asynccontextmanager
    async def download(self, run: Run, url: str) -> AsyncIterator[FileContent]:
        """Read a file by an address that Dify signed, which is valid for 300 s (dify-api §12.6); no key is sent.

        Of a file of a Chatflow's answer the history holds an address that is signed anew (recording 31).

        Raises:
            DifyNotFound: the address has expired, and Dify signs no other one.
            DifyRejected: the address is none of this Dify server's, or leads on to another one.
        """
        address = sansio.signed_address(url, self._file_servers)
        async with AsyncExitStack() as stack:
            try:
                content = await stack.enter_async_context(self._file(address))
            except DifyNotFound:
                anew = await self._signed_anew(run, address)
                if anew is None:
                    raise
                content = await stack.enter_async_context(self._file(anew))
            yield content

    async def _signed_anew(self, run: Run, address: str) -> str | None:
        if run.mode is not AppMode.CHATFLOW or not run.conversation_id:
            return None
        for message in reversed(await self.messages(run)):
            for url in message.addresses():
                if key_of(url) == key_of(address):
                    return sansio.signed_address(url, self._file_servers)
        return None

    @asynccontextmanager
    async def _file(self, address: str) -> AsyncIterator[FileContent]:
        deadlines = self._deadlines
        by = asyncio.get_running_loop().time() + deadlines.transfer
        timeout = httpx.Timeout(deadlines.download, connect=deadlines.connect, pool=deadlines.connect)
        async with AsyncExitStack() as stack:
            try:
                response = await stack.enter_async_context(self._files.stream("GET", address, timeout=timeout))
            except _FAILURES as error:
                raise _unavailable(error) from error
            pieces = await stack.enter_async_context(aclosing(_pieces(response, by)))
            if not response.is_success:
                # What it says is short, and nothing is read that is not.
                said = await anext(pieces, b"")
                raise sansio.file_error_from(response.status_code, said.decode(errors="replace"))
            if response.headers.get("Content-Encoding", "identity") != "identity":
                raise DifyUnavailable("Dify sent the file in another form than was asked for")
            size = response.headers.get("Content-Length", "")
            kind = response.headers.get("Content-Type", "").partition(";")[0].strip()
            yield FileContent(pieces, int(size) if size.isdecimal() else None, kind)

    # --- the wire ----------------------------------------------------------------------------------------------------

    def _http(self, kind: type[httpx.AsyncClient], silence: float) -> httpx.AsyncClient:
        connect = self._deadlines.connect
        return kind(
            base_url=self._root,
            headers=self._headers,
            verify=self._ssl_context,
            timeout=httpx.Timeout(silence, connect=connect, pool=connect),
        )

    async def _ask(self, request: Request, answer: type[_Answer]) -> _Answer:
        return _parsed(await self._call(request, within=self._deadlines.call), answer)

    async def _call(self, request: Request, *, within: float) -> httpx.Response:
        try:
            async with asyncio.timeout(within):
                response = await self._short_calls.request(
                    request.method,
                    request.path,
                    params=request.query,
                    content=request.body,
                    headers=_JSON if request.body is not None else None,
                    timeout=httpx.Timeout(within, connect=self._deadlines.connect, pool=self._deadlines.connect),
                )
        except _FAILURES as error:
            raise _unavailable(error) from error
        self._check(response)
        return response

    @asynccontextmanager
    async def _stream(
        self, request: Request, reader: SegmentReader, *, silence: float, first_event: float | None = None
    ) -> AsyncIterator[AsyncIterator[StreamEvent]]:
        first_by = None if first_event is None else asyncio.get_running_loop().time() + first_event
        async with AsyncExitStack() as stack:
            try:
                async with asyncio.timeout_at(first_by):
                    # Through httpx's own transport, reading an event takes more than twice the time.
                    http = await stack.enter_async_context(self._http(HttpxAiohttpClient, silence))
                    source = await stack.enter_async_context(
                        aconnect_sse(
                            http,
                            request.method,
                            request.path,
                            params=request.query,
                            content=request.body,
                            headers=dict(_JSON) if request.body is not None else {},
                        )
                    )
                    # Left to itself, the stream would complain of the content type and hide Dify's answer.
                    if not source.response.is_success:
                        await source.response.aread()
            except _FAILURES as error:
                raise _unavailable(error) from error
            self._check(source.response)
            yield await stack.enter_async_context(aclosing(stream_events(source, reader, first_by)))

    def _check(self, response: httpx.Response) -> None:
        self.version = response.headers.get("X-Version", self.version)
        if not response.is_success:
            raise sansio.error_from(response.status_code, response.text)


async def _around(body: UploadBody, content: FileContent) -> AsyncGenerator[bytes, None]:
    yield body.head
    otherwise = DifyUnavailable("The file had more or fewer bytes than its source said", sent=False)
    async with aclosing(content.exactly(otherwise)) as pieces:
        async for piece in pieces:
            yield piece
    yield body.tail


async def _pieces(response: httpx.Response, by: float) -> AsyncGenerator[bytes, None]:
    """Read a body; `by` is the moment of the running loop's clock by which it has to be over."""
    try:
        pieces = response.aiter_raw(PIECE)
        while True:
            async with asyncio.timeout_at(by):
                piece = await anext(pieces, None)
            if piece is None:
                return
            yield piece
    except _FAILURES as error:
        raise _unavailable(error) from error


@contextmanager
def _kept_over_a_quota() -> Iterator[None]:
    """A quota that is used up (dify-api §2.4) says nothing of what was sent: it may be taken later."""
    try:
        yield
    except DifyRejected as error:
        if error.status != HTTPStatus.TOO_MANY_REQUESTS:
            raise
        raise DifyUnavailable(error.message, status=error.status, code=error.code, sent=False) from error


async def stream_events(
    source: EventSource, reader: SegmentReader, first_by: float | None = None
) -> AsyncGenerator[StreamEvent, None]:
    """Read a stream until its reader has seen enough or the server closes it.

    `first_by` is the moment of the running loop's clock by which it has to say more than a ping.

    Raises:
        DifyUnavailable: silence, or the stream broke off.
    """
    try:
        async with aclosing(source.aiter_sse()) as messages:
            while not reader.ended:
                message = await _next(messages, None if reader.began else first_by)
                if message is None:
                    return
                for event in reader.receive(message.event, message.data):
                    yield event
    except _FAILURES as error:
        raise _unavailable(error) from error


async def _next(messages: AsyncIterator[ServerSentEvent], by: float | None) -> ServerSentEvent | None:
    if by is None:
        # Even a timeout that never comes takes a tenth of the time that an event takes here.
        return await anext(messages, None)
    async with asyncio.timeout_at(by):
        return await anext(messages, None)


def _here(stream: OpenStream) -> OpenStream:
    return stream


def _token(form: Form) -> str:
    assert form.form_token is not None, "an answerable form has a token"
    return form.form_token


def _parsed(response: httpx.Response, answer: type[_Answer]) -> _Answer:
    try:
        return answer.model_validate_json(response.content)
    except ValidationError as error:
        raise DifyUnavailable(
            f"Dify's answer is not what it should be ({answer.__name__})", status=response.status_code
        ) from error


_JSON = {"Content-Type": "application/json"}
_MODES = frozenset(AppMode)
_ANSWERED = frozenset({FormStatus.SUBMITTED, FormStatus.ANSWERED_ELSEWHERE})

_NEVER_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
)
_TOO_SLOW = (httpx.TimeoutException, TimeoutError)
_FAILURES = (httpx.HTTPError, httpx.StreamError, httpx.InvalidURL, httpx.CookieConflict, TimeoutError)
"""Everything that httpx and httpx-sse raise, and the deadlines of our own."""


def _unavailable(error: Exception) -> DifyUnavailable:
    """Return what a failure of the transport means. Of its text only what is known to hold no secret is repeated."""
    if isinstance(error, _NEVER_SENT) and not _lost_on_the_way(error):
        return DifyUnavailable(f"Dify could not be reached: {error}", sent=False)
    if isinstance(error, _TOO_SLOW):
        return DifyUnavailable("Dify did not answer in time")
    return DifyUnavailable(f"The connection to Dify broke ({type(error).__name__})")


def _lost_on_the_way(error: Exception) -> bool:
    """Tell a connection that was lost from one that never came about: httpx-aiohttp calls both a ConnectTimeout."""
    cause = error.__cause__
    connected = isinstance(cause, aiohttp.ClientConnectionError | aiohttp.ClientOSError)
    return connected and not isinstance(cause, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError)


def _is_no_request_line(record: logging.LogRecord) -> bool:
    return record.levelno > logging.INFO
