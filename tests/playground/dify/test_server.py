"""Behaviours of the simulated Dify server that the recordings show only by chance, and its faults and controls."""

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from bot.playground.dify import apps
from bot.playground.dify.errors import ApiError
from bot.playground.dify.faults import Route
from bot.playground.dify.forms import FormStatus
from tests.playground.dify.client import followed, playing
from tests.playground.dify.recorded_apps import recorded_apps


async def test_a_snapshot_taken_before_the_resume_still_offers_the_answered_form() -> None:
    """Recordings 25 and 38: the resume is a queued job; until it runs, the pause is what the database knows."""
    async with playing(apps.two_forms()) as (dify, client):
        run_id, (form,) = await client.pause()
        dify.stop_worker()
        assert (await client.submit(form, "ok", note="")).status_code == 200
        async with client.events(run_id, include_state_snapshot="true") as stale:
            await stale.to_end()
        assert (await client.detail(run_id))["status"] == "paused"
        assert stale.events[-2]["data"]["form_id"] == form["form_id"]
        dify.start_worker()
        await dify.wait_for(lambda: dify.open_forms())
        assert dify.open_forms()[0].node_id == "second"


async def test_two_forms_answered_in_quick_succession_leave_the_run_paused_for_good() -> None:
    """Recording 33: the second answer comes when its form has been found open; its resume finds the run running."""
    async with playing(apps.parallel()) as (dify, client):
        run_id, forms = await client.pause()
        run = dify.runs[run_id]
        await client.submit(forms[0], "ok", note="")
        await dify.wait_for(lambda: run.status == "running" and run.waiting)
        await dify.answer_elsewhere(dify.forms[forms[1]["form_token"]], "ok", {"note": ""})
        await dify.wait_for(lambda: run.status == "paused")
        assert {form.status for form in dify.forms.values()} == {FormStatus.SUBMITTED}
        async with client.events(run_id, include_state_snapshot="true") as snapshot:
            assert "human_input_required" in await snapshot.to_end()
        assert (await client.detail(run_id))["status"] == "paused"


async def test_parallel_forms_answered_one_after_the_other_end_the_run() -> None:
    async with playing(apps.parallel()) as (dify, client):
        run_id, forms = await client.pause()
        await client.submit(forms[0], "ok", note="1")
        await dify.wait_for(lambda: dify.runs[run_id].resumed and dify.open_forms())
        await client.submit(forms[1], "ok", note="2")
        await dify.wait_for(lambda: dify.runs[run_id].status == "succeeded")


async def test_a_run_that_is_stopped_while_paused_stays_running_for_ever_after_the_answer() -> None:
    """Recording 12."""
    async with playing(apps.two_forms()) as (dify, client):
        run_id, (form,) = await client.pause()
        task_id = dify.runs[run_id].task_id
        await client.http.post(f"/workflows/tasks/{task_id}/stop", json={"user": "anybody"})
        assert (await client.detail(run_id))["status"] == "paused"
        async with client.events(run_id) as follower:
            await followed(dify, run_id)
            await client.submit(form, "ok", note="")
            finished = await follower.until("workflow_finished")
        assert (finished["data"]["status"], finished["data"]["error"]) == ("stopped", "Stopped by user.")
        assert (await client.detail(run_id))["status"] == "running"


async def test_a_stopped_run_says_failed_live_and_stopped_later() -> None:
    """Recordings 12 and 44; the step that runs is not waited for."""
    async with playing(apps.slow()) as (_, client):
        async with client.start() as follower:
            started = await follower.until("node_started")
            await client.http.post(f"/workflows/tasks/{started['task_id']}/stop", json={"user": "anybody"})
            finished = await follower.until("workflow_finished")
        assert (finished["data"]["status"], finished["data"]["error"]) == ("failed", "Aborted: User requested stop")
        assert (await client.detail(started["workflow_run_id"]))["status"] == "stopped"


async def test_the_log_lists_what_was_started_since_a_moment_with_or_without_a_zone() -> None:
    """Recording 29; what waits in the queue is in no list (recording 38)."""
    async with playing(apps.two_forms()) as (dify, client):
        run_id, _ = await client.pause()
        started = datetime.fromtimestamp(dify.runs[run_id].created_at, UTC)
        for after, listed in ((started - timedelta(minutes=1), [run_id]), (started + timedelta(minutes=1), [])):
            for moment in (f"{after:%Y-%m-%dT%H:%M:%S}", f"{after:%Y-%m-%dT%H:%M:%SZ}"):
                log = (await client.http.get("/workflows/logs", params={"created_at__after": moment})).json()
                assert [entry["workflow_run"]["id"] for entry in log["data"]] == listed
        refused = await client.http.get("/workflows/logs", params={"created_at__after": "yesterday"})
        assert refused.status_code == 400


async def test_an_answer_elsewhere_closes_the_form_for_everybody() -> None:
    async with playing(apps.two_forms()) as (dify, client):
        _, (form,) = await client.pause()
        await dify.answer_elsewhere(dify.open_forms()[0], "ok", {"note": "there"})
        refused = await client.submit(form, "no", note="here")
        assert (refused.status_code, refused.json()["code"]) == (412, "human_input_form_submitted")
        with pytest.raises(ApiError, match="already been submitted"):
            await dify.answer_elsewhere(dify.forms[form["form_token"]], "ok", {"note": "again"})


async def test_a_late_answer_goes_along_the_timeout_branch_only_after_the_check() -> None:
    """Recording 14: the form answers 412 at once, the run waits for the sweeper."""
    app = next(app for app in recorded_apps() if app.name == "quick-timeout")
    async with playing(app, speed=100.0) as (dify, client):
        run_id, (form,) = await client.pause()
        await dify.expire(dify.open_forms()[0], sweep=False)
        refused = await client.submit(form, "ok", answer="late")
        assert (refused.status_code, refused.json()["code"]) == (412, "human_input_form_expired")
        assert dify.runs[run_id].status == "paused"
        await dify.wait_for(lambda: dify.runs[run_id].status == "succeeded")
        assert dify.runs[run_id].outputs["action"] == ""


async def test_a_failed_start_keeps_its_stream_open_without_pings_until_the_idle_limit() -> None:
    """Recordings 03 and 20."""
    async with playing(apps.content_review(), speed=200.0) as (_, client):
        async with client.start(topic="x") as follower:
            assert await follower.to_end() == ["error"]
        assert follower.pings == 1


async def test_a_snapshot_stream_of_a_silent_step_ends_although_the_run_goes_on() -> None:
    """Recording 26: pings do not count on it; on a plain stream they do."""
    async with playing(apps.slow(steps=1, seconds=600.0), speed=200.0) as (dify, client):
        async with client.start() as start:
            started = await start.until("node_started")
            run_id = started["workflow_run_id"]
            async with client.events(run_id) as plain:
                async with client.events(run_id, include_state_snapshot="true") as snapshot:
                    assert "workflow_finished" not in await snapshot.to_end()
                assert dify.runs[run_id].status == "running"
                assert "workflow_finished" in await plain.to_end()
        assert plain.pings > snapshot.pings > 20


async def test_a_file_of_another_user_is_accepted_and_fails_the_run() -> None:
    """Recording 10."""
    app = next(app for app in recorded_apps() if app.name == "file-review")
    async with playing(app) as (dify, client):
        run_id, (form,) = await client.pause()
        upload = await client.http.post("/files/upload", data={"user": "u2"}, files={"file": ("a.png", b"png")})
        mapping = {"type": "image", "transfer_method": "local_file", "upload_file_id": upload.json()["id"]}
        assert (await client.submit(form, "submit", main_file=mapping, attachments=[])).status_code == 200
        await dify.wait_for(lambda: dify.runs[run_id].status == "failed")
        assert dify.runs[run_id].error == "Invalid upload file"


async def test_a_blacklisted_extension_is_refused() -> None:
    async with playing(apps.quick()) as (dify, client):
        dify.extension_blacklist = frozenset({"exe"})
        refused = await client.http.post("/files/upload", data={"user": "u1"}, files={"file": ("a.exe", b"")})
        assert (refused.status_code, refused.json()["code"]) == (400, "invalid_param")


async def test_filled_events_can_be_left_out() -> None:
    """As in Dify 1.17.0."""
    async with playing(apps.two_forms()) as (dify, client):
        dify.release.outcome_events = False
        run_id, (form,) = await client.pause()
        async with client.events(run_id) as follower:
            await followed(dify, run_id)
            await client.submit(form, "no", note="")
            assert "human_input_form_filled" not in await follower.to_end()


@pytest.mark.parametrize("status", [400, 429, 500, 503])
async def test_a_request_can_be_told_to_fail_as_often_as_asked(status: int) -> None:
    async with playing(apps.quick()) as (dify, client):
        dify.fail_next("parameters", status=status, times=2)
        answers = [(await client.http.get("/parameters")).status_code for _ in range(3)]
        assert answers == [status, status, 200]


async def test_a_lost_response_has_done_its_work() -> None:
    """Recording 33: the form is closed although nobody was told."""
    async with playing(apps.two_forms()) as (dify, client):
        _, (form,) = await client.pause()
        dify.lose_response("submit_form")
        with pytest.raises(httpx.RemoteProtocolError):
            await client.submit(form, "ok", note="")
        assert dify.forms[form["form_token"]].status is FormStatus.SUBMITTED


async def test_a_delayed_request_is_looked_at_later() -> None:
    async with playing(apps.two_forms()) as (dify, client):
        _, (form,) = await client.pause()
        dify.delay_next("submit_form", seconds=2.0)
        waiting = asyncio.create_task(client.submit(form, "ok", note="late"))
        await dify.wait_for(lambda: [request for request in dify.requests if request.method == "POST"][1:])
        await dify.answer_elsewhere(dify.open_forms()[0], "no", {"note": "first"})
        assert (await waiting).status_code == 412


async def test_a_held_request_is_looked_at_once_it_is_let_go() -> None:
    async with playing(apps.two_forms()) as (dify, client):
        _, (form,) = await client.pause()
        held = dify.hold_next("submit_form")
        waiting = asyncio.create_task(client.submit(form, "ok", note="late"))
        await dify.wait_for(lambda: [request for request in dify.requests if request.method == "POST"][1:])
        await dify.answer_elsewhere(dify.open_forms()[0], "no", {"note": "first"})
        assert not waiting.done()
        held.set()
        assert (await waiting).status_code == 412


@pytest.mark.parametrize(("events", "size"), [(3, None), (None, 100)])
async def test_a_dropped_stream_breaks_off_inside_its_body_and_the_run_goes_on(
    events: int | None, size: int | None
) -> None:
    async with playing(apps.two_forms()) as (dify, client):
        dify.drop_stream(after_events=events, after_bytes=size)
        with pytest.raises(httpx.RemoteProtocolError):
            async with client.start() as follower:
                await follower.to_end()
        assert len(follower.events) == (events or 0)
        await dify.wait_for(dify.open_forms)


async def test_every_request_is_kept_with_its_answer() -> None:
    async with playing(apps.two_forms()) as (dify, client):
        _, (form,) = await client.pause()
        await client.submit(form, "nope", note="")
        await client.submit(form, "ok", note="n")
        submits = [request for request in dify.requests if request.path.startswith("/v1/form/")]
        assert [(request.method, request.status, request.body["action"]) for request in submits] == [
            ("POST", 400, "nope"),
            ("POST", 200, "ok"),
        ]
        assert json.loads(submits[0].answer or "")["code"] == "invalid_form_data"
        assert all(request.answered_at is not None for request in submits)


async def test_every_event_that_goes_out_is_told() -> None:
    """As it stands on the wire, and once for each stream that it goes out on."""
    async with playing(apps.quick()) as (dify, client):
        told: list[tuple[str, bytes]] = []
        dify.told = lambda name, frame: told.append((name, frame))
        async with client.start() as follower:
            names = await follower.to_end()
        assert [name for name, _ in told] == names
        assert [json.loads(frame.removeprefix(b"data: ")) for _, frame in told] == follower.events


async def test_one_failure_strikes_the_first_of_several_endpoints() -> None:
    async with playing(apps.two_forms()) as (dify, client):
        _, (form,) = await client.pause()
        dify.fail_next_of(Route.RUN, Route.SUBMIT_FORM)
        assert (await client.http.get("/parameters")).status_code == 200
        assert (await client.submit(form, "ok", note="")).status_code == 500
        assert (await client.submit(form, "ok", note="")).status_code == 200


async def test_open_streams_are_broken_off_and_their_run_goes_on() -> None:
    async with playing(apps.two_forms()) as (dify, client):
        async with client.start() as follower:
            await follower.until("workflow_started")
            assert dify.break_streams_off() == 1
            with pytest.raises(httpx.RemoteProtocolError):
                await follower.to_end()
        await dify.wait_for(dify.open_forms)
        assert dify.break_streams_off() == 0


async def test_a_slow_server_looks_at_every_request_later() -> None:
    async with playing(apps.two_forms()) as (dify, client):
        _, (form,) = await client.pause()
        dify.slow_seconds = 2.0
        waiting = asyncio.create_task(client.submit(form, "ok", note="late"))
        await dify.wait_for(lambda: [request for request in dify.requests if request.method == "POST"][1:])
        await dify.answer_elsewhere(dify.open_forms()[0], "no", {"note": "first"})
        assert (await waiting).status_code == 412


async def test_a_run_goes_on_as_it_began_when_its_app_is_published_anew() -> None:
    async with playing(apps.two_forms()) as (dify, client):
        run_id, (form,) = await client.pause()
        dify.publish(replace(apps.quick(), name="two_forms"))
        assert (await client.submit(form, "ok", note="")).status_code == 200
        await dify.wait_for(dify.open_forms)
        assert (await client.detail(run_id))["status"] == "paused"
        async with client.start() as follower:
            assert (await follower.to_end())[-1] == "workflow_finished"


async def test_waiting_for_what_never_happens_ends_in_a_timeout() -> None:
    async with playing(apps.quick()) as (dify, _):
        with pytest.raises(TimeoutError):
            await dify.wait_for(lambda: dify.runs, timeout=0.01)
