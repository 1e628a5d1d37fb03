"""Everything that a real server was recorded to send can be read, wherever the network cuts it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from math import gcd

import pytest

from bot.core.events import (
    FormRequired,
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
from bot.core.files import MB
from bot.core.model import Accepts, FileLimits
from bot.dify import schema
from bot.dify.sansio import SegmentReader, decode, error_from
from bot.errors import (
    DifyError,
    DifyNotFound,
    DifyRejected,
    DifyUnauthorized,
    DifyUnavailable,
    FormClosed,
    FormRefused,
)
from tests.dify.recordings import Exchange, different_streams, exchange, exchanges, frames, read, streams


class EndlessReader(SegmentReader):
    """Reads on over a pause and an end, so that a frame can be repeated."""

    def receive(self, name: str, text: str) -> tuple[StreamEvent, ...]:
        events = super().receive(name, text)
        self.ended = False
        return events


# --- streams ---------------------------------------------------------------------------------------------------------


def test_every_recorded_event_has_a_model() -> None:
    """None of them falls back to the tolerance for what is unknown."""
    texts = {frame[len("data: ") :] for each in streams() for frame in each.stream.decode().split("\n\n")[:-1]}
    texts = {text for text in texts if text.startswith("{")}
    assert len(texts) > 1000
    assert [text for text in texts if isinstance(decode(text), schema.UnreadableFrame)] == []


async def test_recorded_chunks_tell_what_their_frames_tell() -> None:
    for each in streams():
        assert each.chunks is not None
        expected = [event for frame in frames(each.stream) for event in await read([frame], EndlessReader())]
        assert _without_failed_steps(await read(each.chunks, EndlessReader())) == expected, each.number


async def test_every_recorded_frame_survives_a_cut_at_every_place() -> None:
    """A repeated frame of n bytes, delivered in steps prime to n, is cut at each of its places once."""
    for frame in sorted({frame for body in different_streams() for frame in frames(body)}):
        step = next(step for step in range(len(frame) // 3, len(frame)) if gcd(step, len(frame)) == 1)
        once = await read([frame], EndlessReader())
        endless = frame * step
        chunks = (endless[start : start + step] for start in range(0, len(endless), step))
        assert await read(chunks, EndlessReader()) == once * step, frame


async def test_every_recorded_stream_survives_cuts_around_the_ends_of_its_frames() -> None:
    """In all of its frames at once, at one place after the other; and at places spread over the whole stream."""
    for body in different_streams():
        whole = await read([body], SegmentReader(names_run=True))
        for places in _places(body):
            pieces = [body[start:end] for start, end in pairwise((0, *places, len(body)))]
            assert await read(pieces, SegmentReader(names_run=True)) == whole, f"{places} of {body!r}"


async def test_recorded_streams_survive_coming_byte_by_byte() -> None:
    for body in different_streams()[::4]:
        bytewise = (body[place : place + 1] for place in range(len(body)))
        assert await read(bytewise, SegmentReader()) == await read([body], SegmentReader())


async def test_a_cut_off_stream_tells_exactly_its_whole_frames() -> None:
    """What is missing is never made up, and what is there never lost: the cut itself is no event."""
    body = exchange("01/0").stream
    for place in range(1, len(body), 7):
        whole = [event for frame in frames(body[:place]) for event in await read([frame], EndlessReader())]
        assert await read([body[:place]], EndlessReader()) == whole


def _places(body: bytes) -> Iterator[list[int]]:
    ends = [place + 2 for place in range(len(body)) if body.startswith(b"\n\n", place)]
    for offset in (-2, -1, 0, 1, 2):
        yield [end + offset for end in ends if 0 < end + offset < len(body)]
    yield [*range(211, len(body), 211)]


def _without_failed_steps(events: list[StreamEvent]) -> list[StreamEvent]:
    """A frame alone does not know which step failed before it."""
    return [
        RunFinished(event.status, event.outputs, event.error) if isinstance(event, RunFinished) else event
        for event in events
    ]


# --- what the streams mean -------------------------------------------------------------------------------------------


async def test_a_start_is_read_to_its_pause() -> None:
    events = await read([exchange("01/0").stream], SegmentReader(names_run=True))
    assert [type(event) for event in events] == [
        Ping,
        RunStarted,
        StepStarted,
        StepFinished,
        StepStarted,
        FormRequired,
        RunPaused,
    ]
    assert events[1] == RunStarted("951b99d2-ece0-4138-93a2-691adbe6b37d", "3953795b-8b4f-4d11-8b02-ae494807f443")
    required, paused = events[-2:]
    assert isinstance(required, FormRequired)
    assert paused == RunPaused(frozenset({required.form.form_id}), steps=2)


async def test_a_resumed_run_is_read_to_its_end() -> None:
    events = await read([exchange("01/3").stream], SegmentReader())
    assert RunResumed() in events
    assert any(isinstance(event, TextArrived) for event in events)
    assert isinstance(events[-1], RunFinished)
    assert events[-1].status == "succeeded"


async def test_a_parallel_pause_lists_every_open_form() -> None:
    events = await read([exchange("07/0").stream], SegmentReader())
    forms = {event.form.form_id for event in events if isinstance(event, FormRequired)}
    assert len(forms) == 2
    assert events[-1] == RunPaused(frozenset(forms), steps=3)


@pytest.mark.parametrize(
    ("first", "then", "steps"), [("06/0", "06/1", (2, 4)), ("07/0", "07/3", (3, 5))], ids=["two in turn", "parallel"]
)
async def test_a_run_that_went_on_and_paused_again_has_executed_more_steps(
    first: str, then: str, steps: tuple[int, int]
) -> None:
    """By that a look tells a pause from the one before it."""
    pauses = [(await read([exchange(number).stream], SegmentReader()))[-1] for number in (first, then)]
    assert tuple(pause.steps for pause in pauses if isinstance(pause, RunPaused)) == steps


@pytest.mark.parametrize(("stream", "detail"), [("01/0", "01/1"), ("06/1", "06/4"), ("07/0", "07/1"), ("07/3", "07/5")])
async def test_run_detail_counts_the_steps_as_the_stream_does(stream: str, detail: str) -> None:
    paused = (await read([exchange(stream).stream], SegmentReader()))[-1]
    answer = schema.RunAnswer.model_validate_json(exchange(detail).body).to_core()
    assert isinstance(paused, RunPaused)
    assert answer.steps == paused.steps


async def test_refused_start_inputs_are_a_failed_stream_without_a_run() -> None:
    events = await read([exchange("03/0").stream], SegmentReader(names_run=True))
    assert events == [Ping(), StreamFailed("language is required in input form")]


async def test_a_failed_run_names_the_step_that_failed() -> None:
    failed = [
        events[-1]
        for each in streams()
        if b"Invalid upload file" in each.stream
        and isinstance((events := await read([each.stream], SegmentReader()))[-1], RunFinished)
    ]
    assert failed
    assert all(isinstance(event, RunFinished) and event.failed_step for event in failed)


async def test_a_node_that_waits_in_a_snapshot_is_not_finished() -> None:
    """Replays report it as `node_finished` with status `paused` (recording 05)."""
    paused = [each for each in streams() if b'"status":"paused","error"' in each.stream]
    assert paused
    for each in paused:
        events = await read([each.stream], EndlessReader())
        required = {event.form.node_id for event in events if isinstance(event, FormRequired)}
        finished = {event.node_id for event in events if isinstance(event, StepFinished)}
        assert not required & finished or RunResumed() in events, each.number


async def test_an_email_only_form_is_not_answerable_although_it_has_a_token() -> None:
    forms = [
        event.form
        for each in streams()
        if each.number.startswith("17/")
        for event in await read([each.stream], EndlessReader())
        if isinstance(event, FormRequired)
    ]
    assert {form.answerable for form in forms} == {True, False}
    assert all(form.form_token for form in forms)


def test_a_form_reads_the_same_from_its_event_as_from_the_form_endpoint() -> None:
    """Defaults are raw JSON in the one and text in the other (recording 35)."""
    compared = 0
    for number in ("01/0 01/2", "35/0 35/1", "35/3 35/4", "35/7 35/8"):
        announced, read_one = (exchange(each) for each in number.split())
        lines = announced.stream.decode().splitlines()
        text = next(line[len("data: ") :] for line in lines if '"human_input_required"' in line)
        frame = decode(text)
        assert isinstance(frame, schema.HumanInputRequired)
        form = frame.data.to_core()
        assert schema.FormDefinition.model_validate_json(read_one.body).complete(form) == form
        compared += 1
    assert compared == 4


# --- answers ---------------------------------------------------------------------------------------------------------

_MODELS: dict[str, type[schema.Wire]] = {
    "GET /v1/info": schema.AppInfo,
    "GET /v1/parameters": schema.Parameters,
    "GET /v1/site": schema.Site,
    "GET /v1/messages": schema.History,
    "GET /v1/workflows/run/*": schema.RunAnswer,
    "GET /v1/workflows/logs": schema.Log,
    "GET /v1/form/human_input/*": schema.FormDefinition,
    "POST /v1/files/upload": schema.UploadedFile,
}


@pytest.mark.parametrize("route", _MODELS)
def test_every_recorded_answer_of_a_route_that_is_read_can_be_read(route: str) -> None:
    answers = [each for each in exchanges() if each.route == route and each.status in (200, 201)]
    assert answers
    for each in answers:
        _MODELS[route].model_validate_json(each.body)


def test_the_start_inputs_of_a_recorded_app_keep_their_rules() -> None:
    parameters = schema.Parameters.model_validate_json(exchange("02/1").body)
    topic, language = parameters.start_inputs()
    assert (topic.variable, topic.type, topic.required, topic.max_length) == ("topic", "text-input", True, 256)
    assert (language.label, language.options) == ("Language", ("English", "Japanese", "Chinese"))


def test_the_start_inputs_of_a_recorded_app_say_which_files_they_take() -> None:
    parameters = schema.Parameters.model_validate_json(exchange("18/0").body)
    accepts = {each.variable: each.accepts for each in parameters.start_inputs() if each.accepts is not None}
    both = ("local_file", "remote_url")
    assert accepts == {
        "avatar": Accepts(("image", "document"), (), both, 1),
        "cv": Accepts(("custom",), (".pdf", ".md"), both, 1),
        "photos": Accepts(("image",), (), both, 3),
        "extras": Accepts(("image", "document"), (), both, 5),
    }


def test_a_recorded_app_says_which_files_a_message_takes_and_how_large_they_may_be() -> None:
    parameters = schema.Parameters.model_validate_json(exchange("37/0").body)
    accepts = parameters.file_upload.to_core()
    assert accepts == Accepts(("image", "document"), (), ("local_file", "remote_url"), 3)
    assert parameters.system_parameters.to_core() == FileLimits()
    without = schema.Parameters.model_validate_json(exchange("02/1").body)
    assert without.file_upload.to_core() is None, "switched off: Dify ignores files then (recording 41)"


def test_limits_that_dify_does_not_tell_are_its_defaults() -> None:
    parameters = schema.Parameters.model_validate({"user_input_form": [], "system_parameters": {"file_size_limit": 2}})
    assert parameters.system_parameters.to_core() == replace(FileLimits(), other=2 * MB)
    assert schema.Parameters.model_validate({"user_input_form": []}).file_upload.to_core() is None


_MEANING: dict[tuple[int, str | None], type[DifyError]] = {
    (308, None): DifyRejected,
    (400, "app_unavailable"): DifyRejected,
    (400, "bad_request"): DifyRejected,
    (400, "filename_not_exists_error"): DifyRejected,
    (400, "invalid_form_data"): FormRefused,
    (400, "invalid_param"): DifyRejected,
    (400, "no_file_uploaded"): DifyRejected,
    (400, "not_chat_app"): DifyRejected,
    (400, "not_workflow_app"): DifyRejected,
    (400, "too_many_files"): DifyRejected,
    (401, "unauthorized"): DifyUnauthorized,
    (403, "forbidden"): DifyUnauthorized,
    (404, None): DifyUnavailable,
    (404, "file_not_found"): DifyRejected,
    (404, "not_found"): DifyNotFound,
    (405, "method_not_allowed"): DifyRejected,
    (412, "human_input_form_expired"): FormClosed,
    (412, "human_input_form_submitted"): FormClosed,
    (413, "file_too_large"): DifyRejected,
    (415, "unsupported_file_type"): DifyRejected,
    (415, "unsupported_media_type"): DifyRejected,
    (500, "internal_server_error"): DifyUnavailable,
    (500, "unknown"): DifyUnavailable,
}


def _refusals() -> list[Exchange]:
    return [each for each in exchanges() if each.status is not None and not 200 <= each.status < 300]


def test_every_recorded_refusal_means_one_error() -> None:
    seen = set()
    for each in _refusals():
        assert each.status is not None
        code = json.loads(each.body)["code"] if each.body.startswith("{") else None
        error = error_from(each.status, each.body)
        back_pressure = "Too many requests" in each.body
        assert type(error) is (DifyUnavailable if back_pressure else _MEANING[each.status, code]), each.number
        assert (error.status, error.code) == (each.status, code)
        assert error.message
        seen.add((each.status, code))
    assert seen == set(_MEANING), "every row of the table is a recorded one"


def test_recorded_refusals_repeat_no_form_token() -> None:
    """The framework adds the path to a 404, and a form's path holds its token (recording 04)."""
    for each in _refusals():
        assert each.status is not None
        assert "human_input/" not in error_from(each.status, each.body).message
