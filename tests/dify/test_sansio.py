"""Requests, events and errors, without a network."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from bot.core.events import (
    FormFilled,
    FormRequired,
    FormTimedOut,
    Ping,
    RunFinished,
    RunPaused,
    RunResumed,
    RunStarted,
    StepFinished,
    StepStarted,
    StreamEvent,
    StreamFailed,
    TextArrived,
)
from bot.core.model import (
    AppMode,
    AttachmentStatus,
    ButtonStyle,
    FileField,
    Form,
    Paragraph,
    RunStatus,
    Select,
    UserAction,
)
from bot.dify import sansio, schema
from bot.dify.sansio import Request, SegmentReader, api_root, error_from
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
from tests.factories import make_attachment, make_run, make_submission

STARTED = make_run(workflow_run_id="run-id", task_id="task-id")


def _stored(**inputs: Any) -> schema.StartedRun:
    """Return run detail of a run with these inputs, and with what Dify adds (recording 01)."""
    added = {"sys.files": [], "sys.user_id": "u1", "sys.timestamp": 1795185703, "sys.workflow_run_id": "run-id"}
    return schema.StartedRun.model_validate({"inputs": json.dumps({**inputs, **added}), "status": "paused"})


# --- requests --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "base_url",
    ["https://dify.example", "https://dify.example/", "https://dify.example/v1", "https://dify.example/v1/"],
)
def test_a_base_url_may_come_with_or_without_slash_and_version(base_url: str) -> None:
    assert api_root(base_url) == "https://dify.example/v1"


def test_a_base_url_may_have_a_port_and_a_folder() -> None:
    assert api_root("http://10.0.0.7:5001/dify/") == "http://10.0.0.7:5001/dify/v1"


@pytest.mark.parametrize(
    "base_url", ["", "dify.example", "ftp://dify.example", "https://", "https:///v1", "https://dify.example/v1?x=1"]
)
def test_what_is_no_web_address_is_told_to_the_admin(base_url: str) -> None:
    with pytest.raises(ConfigError, match="DIFY_BASE_URL"):
        api_root(base_url)


def body_of(request: Request) -> Any:
    assert request.body is not None
    return json.loads(request.body)


def test_a_workflow_starts_streaming() -> None:
    request = sansio.start_run(make_run(run_inputs={"topic": "tea"}))
    assert (request.method, request.path) == ("POST", "/workflows/run")
    assert body_of(request) == {"inputs": {"topic": "tea"}, "response_mode": "streaming", "user": "slack:T1:U1"}


def test_a_chatflow_starts_with_a_message() -> None:
    request = sansio.start_run(make_run(mode=AppMode.CHATFLOW, query="Hello?"))
    assert (request.method, request.path) == ("POST", "/chat-messages")
    assert body_of(request)["query"] == "Hello?"
    assert "conversation_id" not in body_of(request)


def test_a_chatflow_goes_on_in_its_conversation() -> None:
    request = sansio.start_run(make_run(mode=AppMode.CHATFLOW, query="And?", conversation_id="talk"))
    assert body_of(request)["conversation_id"] == "talk"


SENT = {"transfer_method": "local_file", "upload_file_id": "upload-1", "type": "image"}
"""How Dify takes the picture of `make_attachment`."""


@pytest.mark.parametrize("mode", AppMode)
def test_a_start_sends_files_in_its_inputs_and_beside_them(mode: AppMode) -> None:
    """What is attached to no input goes along as `files`; what was refused or removed goes nowhere (dify-api §12.2)."""
    avatar = make_attachment(form_id=None, field="avatar")
    link = make_attachment(attachment_id="a2", form_id=None, field=None, url="https://x.example/a.pdf", kind="document")
    removed = make_attachment(attachment_id="a3", form_id=None, field=None, status=AttachmentStatus.REMOVED)
    of_a_form = make_attachment(attachment_id="a4")
    run = make_run(
        mode=mode,
        run_inputs={"avatar": {"attachment_id": "attachment-1"}, "photos": [{"attachment_id": "attachment-1"}]},
        attachments=(avatar, link, removed, of_a_form),
    )
    body = body_of(sansio.start_run(run))
    assert body["inputs"] == {"avatar": SENT, "photos": [SENT]}
    assert body["files"] == [{"transfer_method": "remote_url", "url": "https://x.example/a.pdf", "type": "document"}]


def test_an_answer_sends_its_files_as_dify_takes_them() -> None:
    values = {"note": "", "proof": {"attachment_id": "attachment-1"}, "more": []}
    run = make_run(attachments=(make_attachment(),))
    request = sansio.submit_form(run, "form-token", make_submission(values=values))
    assert body_of(request)["inputs"] == {"note": "", "proof": SENT, "more": []}


def test_events_are_asked_for_by_run_and_starter() -> None:
    request = sansio.read_events(STARTED, snapshot=False, continue_on_pause=False)
    assert (request.path, request.query) == ("/workflow/run-id/events", {"user": "slack:T1:U1"})


def test_the_snapshot_is_asked_for_with_the_literal_true() -> None:
    """`1` and `yes` would mean no (recording 41)."""
    request = sansio.read_events(STARTED, snapshot=True, continue_on_pause=True)
    assert request.query == {
        "user": "slack:T1:U1",
        "include_state_snapshot": "true",
        "continue_on_pause": "true",
    }


def test_an_answer_carries_every_value_the_action_and_the_starter() -> None:
    request = sansio.submit_form(STARTED, "form-token", make_submission(action_id="approve", values={"note": ""}))
    assert (request.method, request.path) == ("POST", "/form/human_input/form-token")
    assert body_of(request) == {"inputs": {"note": ""}, "action": "approve", "user": "slack:T1:U1"}


def test_a_lone_surrogate_does_not_spoil_the_whole_body() -> None:
    """Dify calls a body with one malformed (recording 32)."""
    request = sansio.submit_form(STARTED, "form-token", make_submission(values={"note": "a\ud800b 🍵"}))
    assert body_of(request)["inputs"] == {"note": "a?b 🍵"}


@pytest.mark.parametrize(
    ("mode", "path"),
    [(AppMode.WORKFLOW, "/workflows/tasks/task-id/stop"), (AppMode.CHATFLOW, "/chat-messages/task-id/stop")],
)
def test_a_task_is_stopped_where_its_app_lives(mode: AppMode, path: str) -> None:
    request = sansio.stop_run(make_run(mode=mode, task_id="task-id"))
    assert request.path == path
    assert body_of(request) == {"user": "slack:T1:U1"}


def test_no_id_of_outside_can_change_the_path() -> None:
    assert sansio.read_form("../info?x").path == "/form/human_input/..%2Finfo%3Fx"


def test_a_request_shows_neither_token_nor_content() -> None:
    shown = repr(sansio.submit_form(STARTED, "form-token", make_submission(values={"note": "private"})))
    assert "form-token" not in shown
    assert "private" not in shown


# --- events ----------------------------------------------------------------------------------------------------------


def frame(event: str, **keys: Any) -> str:
    return json.dumps({"event": event, **keys})


def announced(**changes: Any) -> dict[str, Any]:
    return {
        "form_id": "form",
        "node_id": "ask",
        "node_title": "Ask",
        "form_content": "Text {{#$output.note#}}",
        "inputs": [],
        "actions": [],
        "form_token": "token",
        "display_in_ui": True,
        "resolved_default_values": {},
        "expiration_time": 1_700_000_000,
        **changes,
    }


STEP = {"node_id": "n", "title": "Draft"}


@pytest.mark.parametrize(
    ("text", "event"),
    [
        (frame("workflow_started", workflow_run_id="r", task_id="t", data={}), RunStarted("r", "t")),
        (
            frame("workflow_started", workflow_run_id="r", task_id="t", conversation_id="c", data={}),
            RunStarted("r", "t", "c"),
        ),
        (frame("workflow_started", workflow_run_id="r", data={"reason": "initial"}), RunStarted("r")),
        (frame("workflow_started", workflow_run_id="r", data={"reason": "resumption"}), RunResumed()),
        (frame("node_started", data=STEP), StepStarted("n", "Draft")),
        (frame("iteration_started", data=STEP), StepStarted("n", "Draft")),
        (frame("loop_started", data=STEP), StepStarted("n", "Draft")),
        (frame("node_finished", data={**STEP, "status": "succeeded"}), StepFinished("n", "Draft")),
        (
            frame("node_finished", data={**STEP, "status": "failed", "error": "no"}),
            StepFinished("n", "Draft", failed=True, error="no"),
        ),
        (
            frame("node_finished", data={**STEP, "status": "exception", "error": "caught"}),
            StepFinished("n", "Draft", failed=True, error="caught"),
        ),
        (frame("node_finished", data={**STEP, "status": "paused"}), None),
        (frame("node_finished", data={**STEP, "status": "retry"}), None),
        (frame("iteration_completed", data={**STEP, "status": "succeeded"}), StepFinished("n", "Draft")),
        (frame("loop_completed", data={**STEP, "status": "succeeded"}), StepFinished("n", "Draft")),
        (frame("iteration_next", data=STEP), None),
        (frame("node_retry", data={**STEP, "status": "retry"}), None),
        (frame("text_chunk", data={"text": "Hi"}), TextArrived("Hi")),
        (frame("text_chunk", data={"text": ""}), None),
        (frame("message", answer="Hi"), TextArrived("Hi")),
        (frame("message", answer=""), None),
        (frame("message_replace", answer="All", reason=""), TextArrived("All", replace=True)),
        (frame("message_replace", answer="", reason=""), TextArrived("", replace=True)),
        (frame("message_end", metadata={}), None),
        (
            frame(
                "human_input_form_filled",
                data={"node_id": "n", "node_title": "N", "action_id": "yes", "submitted_data": {"note": "x"}},
            ),
            FormFilled("n", "yes", {"note": "x"}),
        ),
        # Before 1.15 nothing tells what was entered (dify-api §14).
        (frame("human_input_form_filled", data={"node_id": "n", "action_id": "yes"}), FormFilled("n", "yes")),
        (frame("human_input_form_timeout", data={"node_id": "n", "expiration_time": 1}), FormTimedOut("n")),
        (
            frame("workflow_paused", data={"reasons": [{"TYPE": "human_input_required", "form_id": "f"}]}),
            RunPaused(frozenset({"f"})),
        ),
        (
            frame("workflow_paused", data={"reasons": [{"TYPE": "scheduled_pause", "message": "wait"}]}),
            RunPaused(frozenset()),
        ),
        (
            frame("workflow_finished", data={"status": "succeeded", "outputs": {"a": 1}, "error": ""}),
            RunFinished(RunStatus.SUCCEEDED, {"a": 1}),
        ),
        (
            frame("workflow_finished", data={"status": "partial-succeeded", "outputs": None, "error": None}),
            RunFinished(RunStatus.PARTIAL_SUCCEEDED),
        ),
        (
            frame("workflow_finished", data={"status": "stopped", "error": "Stopped by user."}),
            RunFinished(RunStatus.STOPPED, error="Stopped by user."),
        ),
        (frame("error", message="no", status=500), StreamFailed("no")),
        (frame("error", message="no", code="invalid_param", status=400), StreamFailed("no", "invalid_param")),
    ],
)
def test_an_event_means(text: str, event: StreamEvent | None) -> None:
    assert sansio.decode(text).to_core() == event


def form_of(**changes: Any) -> Form:
    event = sansio.decode(frame("human_input_required", data=announced(**changes))).to_core()
    assert isinstance(event, FormRequired)
    return event.form


def test_a_form_keeps_what_it_is_answered_with() -> None:
    form = form_of(
        actions=[
            {"id": "yes", "title": "Yes", "button_style": "primary"},
            {"id": "no", "title": "No", "button_style": "sparkling"},
        ]
    )
    assert (form.form_id, form.node_id, form.node_title, form.form_token) == ("form", "ask", "Ask", "token")
    assert form.content == "Text {{#$output.note#}}"
    assert form.user_actions == (UserAction("yes", "Yes", ButtonStyle.PRIMARY), UserAction("no", "No"))
    assert form.expires_at == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
    assert form.answerable


@pytest.mark.parametrize("button_key", ["actions", "user_actions"])
def test_buttons_have_two_names_on_the_wire(button_key: str) -> None:
    definition = {"form_content": "", button_key: [{"id": "yes", "title": "Yes"}]}
    parsed = schema.FormDefinition.model_validate(definition)
    assert parsed.complete(form_of()).user_actions == (UserAction("yes", "Yes"),)


@pytest.mark.parametrize(
    ("changes", "answerable"),
    [
        ({}, True),
        ({"form_token": None}, False),
        ({"display_in_ui": False}, False),
        ({"inputs": [{"type": "colour", "output_variable_name": "c"}]}, False),
    ],
)
def test_a_form_is_answerable_with_a_token_web_app_delivery_and_known_fields(
    changes: dict[str, Any], answerable: bool
) -> None:
    assert form_of(**changes).answerable is answerable


@pytest.mark.parametrize(
    ("default", "resolved", "text"),
    [
        (None, {}, ""),
        ({"type": "constant", "selector": [], "value": "fixed"}, {"note": "not this"}, "fixed"),
        ({"type": "variable", "selector": ["a", "b"], "value": "stale"}, {"note": "filled in"}, "filled in"),
        ({"type": "variable", "selector": ["a", "b"], "value": "stale"}, {}, ""),
        ({"type": "variable", "selector": ["a", "b"], "value": ""}, {"note": None}, ""),
        ({"type": "variable", "selector": ["a", "b"], "value": ""}, {"note": 4.5}, "4.5"),
        ({"type": "variable", "selector": ["a", "b"], "value": ""}, {"note": {"k": [1, "é"]}}, '{"k": [1, "é"]}'),
    ],
)
@pytest.mark.parametrize("kind", ["paragraph", "text_input"])
def test_a_paragraph_starts_with_its_default(kind: str, default: Any, resolved: dict[str, Any], text: str) -> None:
    note = {"type": kind, "output_variable_name": "note", "default": default}
    assert form_of(inputs=[note], resolved_default_values=resolved).inputs == (Paragraph("note", text),)


def test_a_select_keeps_its_options_and_may_have_none() -> None:
    """Options from a variable that cannot be resolved stay empty, and Dify takes any text (recording 35)."""
    source = {"type": "variable", "selector": ["a", "b"]}
    fixed = {"type": "constant", "selector": []}
    inputs = [
        {"type": "select", "output_variable_name": "one", "option_source": {**source, "value": ["a", "b"]}},
        {"type": "select", "output_variable_name": "two", "option_source": {**source, "value": []}},
        {"type": "select", "output_variable_name": "three", "option_source": {**fixed, "value": ["a"]}},
        {"type": "select", "output_variable_name": "four", "option_source": {**fixed, "value": []}},
    ]
    selects = form_of(inputs=inputs).inputs
    assert selects == (
        Select("one", ("a", "b")),
        Select("two", ()),
        Select("three", ("a",), fixed=True),
        Select("four", (), fixed=True),
    )
    assert [isinstance(each, Select) and each.takes_nothing for each in selects] == [False, False, False, True]


def test_file_fields_keep_what_they_allow() -> None:
    rules = {
        "allowed_file_types": ["image"],
        "allowed_file_extensions": [".log"],
        "allowed_file_upload_methods": ["local_file"],
    }
    one = {"type": "file", "output_variable_name": "one", **rules}
    many = {"type": "file-list", "output_variable_name": "many", "number_limits": 3, **rules}
    allowed = (("image",), (".log",), ("local_file",))
    assert form_of(inputs=[one, many]).inputs == (
        FileField("one", False, 0, *allowed),
        FileField("many", True, 3, *allowed),
    )


# --- a stream --------------------------------------------------------------------------------------------------------


def receive(reader: SegmentReader, *texts: str) -> list[StreamEvent]:
    return [event for text in texts for event in reader.receive("message", text)]


def test_a_ping_is_an_event_without_text_and_begins_nothing() -> None:
    reader = SegmentReader()
    assert reader.receive("ping", "") == (Ping(),)
    assert reader.receive("message", "") == ()
    assert not reader.began


def test_whichever_event_comes_first_names_the_run() -> None:
    """The first events of a stream can be lost (dify-api §9.2)."""
    step = frame("node_started", workflow_run_id="r", task_id="t", data=STEP)
    events = receive(SegmentReader(names_run=True), step, step)
    assert events == [RunStarted("r", "t"), StepStarted("n", "Draft"), StepStarted("n", "Draft")]


def test_an_unused_or_unknown_event_names_the_run_too() -> None:
    for name in ("agent_log", "from_the_future"):
        assert receive(SegmentReader(names_run=True), frame(name, workflow_run_id="r")) == [RunStarted("r")]


def test_an_event_without_the_run_waits_for_one_that_names_it() -> None:
    """`message` carries the task and the conversation only (recording 15)."""
    reader = SegmentReader(names_run=True)
    events = receive(reader, frame("message", answer="Hi", task_id="t"), frame("message_end", workflow_run_id="r"))
    assert events == [TextArrived("Hi"), RunStarted("r")]


def test_the_first_event_is_not_told_twice() -> None:
    started = frame("workflow_started", workflow_run_id="r", data={"reason": "initial"})
    assert receive(SegmentReader(names_run=True), started) == [RunStarted("r")]


def test_a_followed_stream_names_nothing() -> None:
    assert receive(SegmentReader(), frame("node_started", workflow_run_id="r", data=STEP)) == [
        StepStarted("n", "Draft")
    ]


PAUSED = frame("workflow_paused", data={"reasons": []})
FINISHED = frame("workflow_finished", data={"status": "succeeded"})


@pytest.mark.parametrize("text", [PAUSED, FINISHED, frame("error", message="no", status=500)])
def test_a_stream_ends_with_the_pause_the_run_or_an_error(text: str) -> None:
    """After an `error` the server says nothing for 300 s and then hangs up (recording 20)."""
    reader = SegmentReader()
    receive(reader, text)
    assert reader.ended


def test_a_pause_can_be_read_over() -> None:
    reader = SegmentReader(continue_on_pause=True)
    receive(reader, PAUSED)
    assert not reader.ended
    receive(reader, FINISHED)
    assert reader.ended


def failed_step_of(status: str) -> str | None:
    reader = SegmentReader()
    failures = [
        frame("node_finished", data={"node_id": title, "title": title, "status": "failed"}) for title in ("A", "B")
    ]
    events = receive(reader, *failures, frame("workflow_finished", data={"status": status}))
    assert isinstance(events[-1], RunFinished)
    return events[-1].failed_step


def test_a_failure_names_the_last_step_that_failed_on_this_stream() -> None:
    assert failed_step_of("failed") == "B"
    assert failed_step_of("partial-succeeded") == "B"
    assert failed_step_of("succeeded") is None
    assert failed_step_of("stopped") is None


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (frame("from_tomorrow", data={"secret": "xyzzy"}), "unknown here: 'from_tomorrow'"),
        (frame("node_started", data={"node_id": "n", "secret": "xyzzy"}), "'node_started' (missing at"),
        (frame("workflow_finished", data={"status": "xyzzy"}), "'workflow_finished' (literal_error at"),
        ('{"event": "node_started", "xyzzy', "'' (json_invalid"),
        ('["xyzzy"]', "''"),
    ],
)
def test_what_cannot_be_read_is_passed_over_and_told_once_without_its_content(
    text: str, told: str, caplog: pytest.LogCaptureFixture
) -> None:
    sansio._report.cache_clear()
    with caplog.at_level(logging.WARNING, logger="bot.dify.sansio"):
        assert receive(SegmentReader(), text, text) == []
    assert len(caplog.messages) == 1
    assert told in caplog.text
    assert "xyzzy" not in caplog.text


# --- errors ----------------------------------------------------------------------------------------------------------


def refusal(status: int, code: str | None = None, message: str = "said") -> DifyError:
    return error_from(status, json.dumps({"code": code, "message": message, "status": status}))


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (302, None, DifyRejected),
        (400, "invalid_param", DifyRejected),
        (400, "bad_request", DifyRejected),
        (400, "invalid_form_data", FormRefused),
        (401, "unauthorized", DifyUnauthorized),
        (403, "forbidden", DifyUnauthorized),
        (401, None, DifyUnavailable),
        (403, None, DifyUnavailable),
        (404, "not_found", DifyNotFound),
        (404, "human_input_form_not_found", DifyNotFound),
        (404, "file_not_found", DifyRejected),
        (404, None, DifyUnavailable),
        (405, "method_not_allowed", DifyRejected),
        (408, None, DifyUnavailable),
        (412, "human_input_form_submitted", FormClosed),
        (412, "human_input_form_expired", FormClosed),
        (412, None, DifyRejected),
        (413, "file_too_large", DifyRejected),
        (429, "too_many_requests", DifyUnavailable),
        (429, "rate_limit_error", DifyRejected),
        (429, None, DifyUnavailable),
        (500, "unknown", DifyUnavailable),
        (502, None, DifyUnavailable),
        (599, None, DifyUnavailable),
    ],
)
def test_status_and_code_decide_the_error(status: int, code: str | None, kind: type[DifyError]) -> None:
    error = refusal(status, code)
    assert type(error) is kind
    assert (error.status, error.code, error.message) == (status, code, "said")


def test_a_closed_form_says_whether_its_deadline_passed() -> None:
    expired, answered = refusal(412, "human_input_form_expired"), refusal(412, "human_input_form_submitted")
    assert isinstance(expired, FormClosed)
    assert isinstance(answered, FormClosed)
    assert (expired.expired, answered.expired) == (True, False)


def test_back_pressure_was_not_carried_out() -> None:
    """As 400 only its text tells it from a wrong parameter (recording 24)."""
    for error in (
        refusal(400, "invalid_param", "Too many requests. Please try again later. Your limit is 1."),
        refusal(429, "too_many_requests"),
    ):
        assert isinstance(error, DifyUnavailable)
        assert not error.sent


@pytest.mark.parametrize("status", [401, 403, 404])
@pytest.mark.parametrize(
    "body", ["404 page not found", "<html>", "", '{"message": "no Route matched"}', '{"code": 404}']
)
def test_what_a_proxy_answers_in_dify_s_place_tells_nothing_of_dify(status: int, body: str) -> None:
    """Every refusal of Dify's carries a code (dify-api §2.4): without one nothing was asked of it, and a run or a form
    that a proxy cannot find is there all the same."""
    error = error_from(status, body)
    assert isinstance(error, DifyUnavailable)
    assert not error.sent


def test_a_server_error_may_have_been_carried_out() -> None:
    error = refusal(502)
    assert isinstance(error, DifyUnavailable)
    assert error.sent


@pytest.mark.parametrize("body", ["", "<html>secret page</html>", '"text"', "[1]", '{"message": 7}', '{"cut'])
def test_a_body_that_is_not_dify_s_is_not_repeated(body: str) -> None:
    error = error_from(410, body)
    assert type(error) is DifyRejected
    assert error.code is None
    assert error.message == "Dify answered 410 Gone"


def test_an_empty_message_is_replaced() -> None:
    """A 413 has one (recording 08), and a status can be one that nobody knows."""
    assert error_from(413, '{"code": "file_too_large", "message": "", "status": 413}').message.startswith(
        "Dify answered 413"
    )
    assert error_from(599, "").message == "Dify answered 599"


def test_a_message_never_repeats_a_form_s_path() -> None:
    hint = "You have requested this URI [/v1/form/human_input/s3cret] but did you mean /v1/form/human_input/<x> ?"
    assert refusal(404, "not_found", f"Form not found. {hint}").message == "Form not found."
    assert "s3cret" not in refusal(404, "not_found", "no route /v1/form/human_input/s3cret/x").message


def test_a_long_message_is_shortened() -> None:
    assert len(refusal(400, "invalid_param", "x" * 10_000).message) < 600


# --- whose start a run is --------------------------------------------------------------------------------------------

_FILE = {"type": "image", "transfer_method": "local_file", "upload_file_id": "57c3"}
_OBJECT = {"dify_model_identity": "__dify__file__", "type": "image", "filename": "a.png", "related_id": "57c3"}
_LINK = {"type": "image", "transfer_method": "remote_url", "url": "https://x.example/a.png"}
_LINK_OBJECT = {
    "dify_model_identity": "__dify__file__",
    "type": "image",
    "remote_url": _LINK["url"],
    "related_id": None,
}


@pytest.mark.parametrize(
    ("sent", "stored", "declared"),
    [
        ({"topic": "tea"}, {"topic": "tea"}, {"topic": None}),
        ({"text": "a\0b \ud83d"}, {"text": "ab ?"}, {}),
        ({"age": 41}, {"age": 41.0}, {}),
        ({"age": "41"}, {"age": 41}, {}),
        ({"age": ""}, {"age": None}, {}),
        ({"avatar": _FILE, "photos": [_FILE]}, {"avatar": _OBJECT, "photos": [_OBJECT]}, {}),
        ({"avatar": _LINK}, {"avatar": _LINK_OBJECT}, {}),
        ({"config": {"k": [1, None]}}, {"config": {"k": [1, None]}}, {}),
        (
            {},
            {"nick": "buddy", "score": 4.5, "newsletter": True, "size": None, "extras": None, "blob": "", "off": False},
            {"nick": "buddy", "score": "4.5", "newsletter": True, "size": None, "extras": "", "blob": "", "off": ""},
        ),
        ({}, {}, {"added since by a new version": "x"}),
    ],
    ids=["text", "NUL", "number", "number as text", "no number", "files", "link", "object", "defaults", "new version"],
)
def test_a_run_is_known_by_its_inputs_as_dify_stores_them(
    sent: dict[str, Any], stored: dict[str, Any], declared: dict[str, Any]
) -> None:
    """Some are stored as something else, and what was left out by its default (recordings 01, 18, 32)."""
    assert _stored(**stored).is_start_of(sent, declared)


@pytest.mark.parametrize(
    ("sent", "stored", "declared"),
    [
        ({"topic": "tea"}, {"topic": "coffee"}, {"topic": ""}),
        ({"topic": "tea"}, {"topic": "tea", "size": "M"}, {"size": None}),
        ({"topic": "tea", "size": "M"}, {"topic": "tea", "size": None}, {"size": None}),
        ({"topic": "tea"}, {"topic": "tea", "size": "M"}, {"size": "S"}),
        ({"topic": "tea"}, {}, {}),
        ({"age": "many"}, {"age": 41}, {}),
        ({}, {"age": 0}, {"age": ""}),
        ({"avatar": _FILE}, {"avatar": {**_OBJECT, "related_id": "1ef7"}}, {}),
        ({"photos": [_FILE]}, {"photos": [_OBJECT, _OBJECT]}, {}),
        ({"avatar": _LINK}, {"avatar": {**_LINK_OBJECT, "remote_url": "https://x.example/b.png"}}, {}),
    ],
)
def test_a_run_with_other_inputs_is_another_one(
    sent: dict[str, Any], stored: dict[str, Any], declared: dict[str, Any]
) -> None:
    assert not _stored(**stored).is_start_of(sent, declared)


def test_the_log_is_asked_for_the_runs_of_one_user_since_a_moment_in_utc() -> None:
    """Dify takes times with or without a zone (recording 29)."""
    moment = datetime(2026, 11, 20, 1, 2, 3, 999_999, timezone(timedelta(hours=1)))
    assert sansio.read_log(make_run(), moment) == Request(
        "GET",
        "/workflows/logs",
        query={
            "created_by_end_user_session_id": "slack:T1:U1",
            "created_at__after": "2026-11-20T00:02:03Z",
            "limit": "100",
        },
    )
