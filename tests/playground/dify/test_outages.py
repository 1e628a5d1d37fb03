"""What the simulated Dify server can be told to suffer: an API, a worker, a sweeper, a key or a run that goes away."""

import asyncio
from dataclasses import replace

import httpx
import pytest

from bot.playground.dify import apps
from bot.playground.dify.forms import FormStatus
from tests.playground.dify.client import followed, playing
from tests.playground.dify.recorded_apps import recorded_apps

SUBMITTED = (412, "human_input_form_submitted")
EXPIRED = (412, "human_input_form_expired")


def outcome(answer: httpx.Response) -> tuple[int, str]:
    """Return the status and the code of a refusal."""
    return answer.status_code, answer.json()["code"]


# The API.


async def test_streams_are_cut_and_connections_refused_while_the_api_is_down() -> None:
    """Recording 45: not a clean end; the run and its form are untouched."""
    async with playing(apps.two_forms()) as (dify, client):
        run_id, (form,) = await client.pause()
        async with client.events(run_id) as follower:
            await followed(dify, run_id)
            await client.server.down()
            with pytest.raises(httpx.RemoteProtocolError, match="incomplete chunked read"):
                await follower.to_end()
        with pytest.raises(httpx.ConnectError):
            await client.detail(run_id)
        await client.server.up()
        assert (await client.detail(run_id))["status"] == "paused"
        assert (await client.submit(form, "ok", note="")).status_code == 200


async def test_a_step_goes_on_while_the_api_is_down() -> None:
    """The worker is another process."""
    async with playing(apps.slow(steps=1)) as (dify, client):
        async with client.start() as follower:
            run_id = (await follower.until("node_started"))["workflow_run_id"]
            await client.server.down()
            with pytest.raises(httpx.RemoteProtocolError, match="incomplete chunked read"):
                await follower.to_end()
        await dify.wait_for(lambda: dify.runs[run_id].status == "succeeded")
        await client.server.up()
        assert (await client.detail(run_id))["status"] == "succeeded"


@pytest.mark.parametrize("status", [502, 503])
async def test_a_proxy_answers_in_html_while_the_api_is_down(status: int) -> None:
    """dify-api §2.4: without Dify's own headers; a submit meanwhile is not stored."""
    async with playing(apps.two_forms()) as (dify, client):
        _, (form,) = await client.pause()
        await client.server.down(status)
        answer = await client.submit(form, "ok", note="")
        assert (answer.status_code, answer.headers["content-type"]) == (status, "text/html; charset=utf-8")
        assert "X-Version" not in answer.headers
        await client.server.up()
        assert len(dify.open_forms()) == 1
        assert (await client.submit(form, "ok", note="")).status_code == 200


@pytest.mark.parametrize("status", [None, 502])
async def test_an_outage_that_is_called_off_cuts_every_connection(status: int | None) -> None:
    """Whoever takes the API away may be cancelled while connections are being cut."""
    async with playing(apps.two_forms()) as (dify, client):
        run_id, _ = await client.pause()
        async with client.events(run_id) as follower:
            await followed(dify, run_id)
            outage = asyncio.create_task(client.server.down(status))
            for _ in range(5):
                await asyncio.sleep(0)  # a turn of the loop for each task that takes part
            outage.cancel()
            with pytest.raises(asyncio.CancelledError):
                await outage
            await client.server.up()
            with pytest.raises(httpx.RemoteProtocolError, match="incomplete chunked read"):
                await follower.to_end()
        assert (await client.detail(run_id))["status"] == "paused"


async def test_a_submit_that_was_not_looked_at_is_lost_with_the_api() -> None:
    async with playing(apps.two_forms()) as (dify, client):
        _, (form,) = await client.pause()
        dify.delay_next("submit_form", seconds=3600)
        submit = asyncio.create_task(client.submit(form, "ok", note=""))
        await dify.wait_for(lambda: dify.requests[-1].path.startswith("/v1/form"))
        await client.server.down()
        with pytest.raises(httpx.RemoteProtocolError):
            await submit
        await client.server.up()
        assert len(dify.open_forms()) == 1


async def test_open_streams_use_up_the_connections() -> None:
    """Recording 22: with ten streams open, the next request gets no answer until one of them ends."""
    async with playing(apps.two_forms()) as (dify, client):
        run_id, (form,) = await client.pause()
        client.server.limit_connections(2)
        async with client.events(run_id) as one, client.events(run_id) as other:
            await followed(dify, run_id)
            asking = asyncio.create_task(client.submit(form, "ok", note=""))
            await dify.wait_for(lambda: dify.requests[-1].path.startswith("/v1/form"))
            await one.next_ping()
            assert not asking.done()
            await dify.answer_elsewhere(dify.open_forms()[0], "no", {"note": ""})
            await one.to_end()
            await other.to_end()
            assert outcome(await asking) == SUBMITTED


# The worker.


async def test_a_start_waits_for_the_worker() -> None:
    """Recording 38: one ping, then silence; the run begins when the worker is back."""
    async with playing(apps.quick()) as (dify, client):
        dify.stop_worker()
        async with client.start() as start:
            await start.next_ping()
            assert not dify.runs
            dify.start_worker()
            assert (await start.to_end())[-1] == "workflow_finished"
        assert start.pings == 1


async def test_a_worker_that_is_told_to_stop_finishes_its_step() -> None:
    """Recording 39."""
    async with playing(apps.slow(steps=1)) as (dify, client), client.start() as start:
        await start.until("node_started")
        dify.stop_worker()
        assert (await start.to_end())[-1] == "workflow_finished"


async def test_what_a_killed_worker_had_begun_runs_for_ever() -> None:
    """Recording 39: events streams ping, the start's own is silent; no stop helps, nor the next worker."""
    async with playing(apps.slow(steps=2, seconds=600.0), speed=200.0) as (dify, client):
        async with client.start() as start:
            run_id = (await start.until("node_started"))["workflow_run_id"]
            async with client.events(run_id) as events:
                await followed(dify, run_id)
                dify.kill_worker()
                dify.start_worker()
                await events.next_ping()
                await events.next_ping()
                before = start.pings
                await client.http.post(f"/workflows/tasks/{dify.runs[run_id].task_id}/stop", json={"user": "u1"})
                assert "workflow_finished" not in await events.to_end()
            assert "workflow_finished" not in await start.to_end()
        assert start.pings <= before + 1
        detail = await client.detail(run_id)
        assert (detail["status"], detail["total_steps"], detail["error"]) == ("running", 0, None)


async def test_the_next_worker_takes_what_waits_in_the_queue() -> None:
    async with playing(apps.two_forms()) as (dify, client):
        _, (form,) = await client.pause()
        dify.kill_worker()
        assert (await client.submit(form, "ok", note="")).status_code == 200
        dify.start_worker()
        await dify.wait_for(dify.open_forms)
        assert dify.open_forms()[0].node_id == "second"


async def test_a_lost_resume_leaves_the_run_paused_for_good() -> None:
    """dify-api §10.3, §15.2: 200, then 412; the snapshot goes on offering the form."""
    async with playing(apps.two_forms()) as (dify, client):
        run_id, (form,) = await client.pause()
        dify.lose_resume()
        assert (await client.submit(form, "ok", note="")).status_code == 200
        assert outcome(await client.submit(form, "ok", note="")) == SUBMITTED
        async with client.events(run_id, include_state_snapshot="true", continue_on_pause="true") as snapshot:
            assert (await snapshot.until("human_input_required"))["data"]["form_id"] == form["form_id"]
            await snapshot.next_ping()
        dify.sweep()
        assert (await client.detail(run_id))["status"] == "paused"


async def test_submits_of_the_same_moment_all_get_200_and_one_counts() -> None:
    """Recording 04 and dify-api §10.5: the check and the write are two steps."""
    async with playing(apps.two_forms()) as (dify, client):
        run_id, (form,) = await client.pause()
        dify.overlap_submits(2)
        answers = await asyncio.gather(client.submit(form, "ok", note="1"), client.submit(form, "no", note="2"))
        assert [answer.status_code for answer in answers] == [200, 200]
        answered = dify.forms[form["form_token"]].answered
        assert answered
        assert outcome(await client.submit(form, "ok", note="3")) == SUBMITTED
        if answered.action["id"] == "ok":
            await dify.wait_for(dify.open_forms)
        else:
            await dify.wait_for(lambda: dify.runs[run_id].status == "succeeded")
        assert dify.runs[run_id].pool[("first", "note")] == ("1" if answered.action["id"] == "ok" else "2")


async def test_a_submit_without_a_rival_goes_alone() -> None:
    async with playing(apps.two_forms()) as (dify, client):
        _, (form,) = await client.pause()
        dify.overlap_submits(2, window=0.01)
        assert (await client.submit(form, "ok", note="")).status_code == 200
        assert outcome(await client.submit(form, "ok", note="")) == SUBMITTED


# Time.


async def test_without_a_sweeper_an_expired_form_leaves_its_run_paused() -> None:
    """dify-api §11: 412 at once, and nothing else; also when a global limit has passed."""
    async with playing(apps.two_forms()) as (dify, client):
        run_id, (form,) = await client.pause()
        dify.stop_sweeper()
        await dify.expire(dify.open_forms()[0])
        await dify.expire_globally(dify.open_forms()[0])
        assert outcome(await client.submit(form, "ok", note="")) == EXPIRED
        assert (await client.detail(run_id))["status"] == "paused"
        dify.start_sweeper()
        dify.sweep()
        detail = await client.detail(run_id)
        assert detail["status"] == "stopped"
        assert detail["error"].startswith("Human input global timeout at node ")


async def test_the_global_limit_passes_without_an_event() -> None:
    """Recording 14: open streams just go on pinging."""
    async with playing(apps.two_forms()) as (dify, client):
        run_id, _ = await client.pause()
        async with client.events(run_id) as events:
            await followed(dify, run_id)
            await dify.expire_globally(dify.open_forms()[0])
            await events.next_ping()
            assert events.names == []
        assert (await client.detail(run_id))["status"] == "stopped"


async def test_a_timeout_can_pass_without_its_event() -> None:
    """As in Dify 1.17.0 (dify-api §14)."""
    app = next(app for app in recorded_apps() if app.name == "quick-timeout")
    async with playing(app) as (dify, client):
        dify.release.outcome_events = False
        run_id, _ = await client.pause()
        async with client.events(run_id) as events:
            await followed(dify, run_id)
            await dify.expire(dify.open_forms()[0])
            names = await events.to_end()
        assert names[-1] == "workflow_finished"
        assert "human_input_form_timeout" not in names


@pytest.mark.parametrize("backstage", [True, False])
async def test_a_form_for_e_mail_alone_has_a_useless_token_or_none(backstage: bool) -> None:
    """dify-api §10.1: recording 17, and newer releases."""
    app = apps.two_forms()
    nodes = [replace(node, web_app=False) if node.id == "first" else node for node in app.nodes]  # type: ignore[call-arg]
    async with playing(replace(app, nodes=nodes)) as (dify, client):
        dify.release.backstage_tokens = backstage
        run_id, (form,) = await client.pause()
        assert form["display_in_ui"] is False
        if backstage:
            assert outcome(await client.submit(form, "ok", note="")) == (404, "not_found")
        else:
            assert form["form_token"] is None
        async with client.events(run_id, include_state_snapshot="true") as snapshot:
            replayed = await snapshot.until("human_input_required")
        assert replayed["data"]["form_token"] == form["form_token"]


# Keys and runs.


async def test_a_revoked_key_is_refused_until_it_is_put_right() -> None:
    """Recording 28."""
    app = apps.two_forms()
    async with playing(app) as (dify, client):
        run_id, (form,) = await client.pause()
        dify.revoke_key(app)
        assert outcome(await client.submit(form, "ok", note="")) == (401, "unauthorized")
        assert outcome(await client.http.get(f"/workflows/run/{run_id}")) == (401, "unauthorized")
        dify.restore_key(app)
        assert (await client.submit(form, "ok", note="")).status_code == 200


async def test_an_app_whose_api_is_switched_off_refuses_its_key() -> None:
    """Recording 28; on Dify's own page the form can still be answered."""
    app = apps.two_forms()
    async with playing(app) as (dify, client):
        _, (form,) = await client.pause()
        dify.switch_api_off(app)
        refused = await client.submit(form, "ok", note="")
        assert refused.json() == {
            "code": "forbidden",
            "message": "The app's API service has been disabled.",
            "status": 403,
        }
        await dify.answer_elsewhere(dify.open_forms()[0], "ok", {"note": ""})
        dify.switch_api_on(app)
        assert outcome(await client.submit(form, "ok", note="")) == SUBMITTED


async def test_a_purged_run_is_unknown() -> None:
    """dify-api §15.2: with its form, and whatever was queued for it."""
    async with playing(apps.two_forms()) as (dify, client):
        run_id, (form,) = await client.pause()
        dify.stop_worker()
        assert (await client.submit(form, "ok", note="")).status_code == 200
        run = dify.runs[run_id]
        dify.purge(run)
        dify.start_worker()
        dify.sweep()
        assert outcome(await client.http.get(f"/workflows/run/{run_id}")) == (404, "not_found")
        assert outcome(await client.http.get(f"/workflow/{run_id}/events", params={"user": "u1"})) == (404, "not_found")
        assert outcome(await client.submit(form, "ok", note="")) == (404, "not_found")
        assert run.status == "paused"


async def test_a_run_that_is_worked_on_is_not_purged() -> None:
    async with playing(apps.slow(steps=1)) as (dify, client), client.start() as start:
        run = dify.runs[(await start.until("node_started"))["workflow_run_id"]]
        with pytest.raises(ValueError, match="is being worked on"):
            dify.purge(run)


# Answers that do not arrive.


async def test_a_start_whose_response_is_lost_runs_all_the_same() -> None:
    """dify-api §13: nothing arrives, not even the id of the run."""
    async with playing(apps.two_forms()) as (dify, client):
        dify.lose_response("run")
        with pytest.raises(httpx.RemoteProtocolError, match="without sending a response"):
            await client.pause()
        form = await dify.wait_for(dify.open_forms)
        assert form[0].node_id == "first"


async def test_a_lost_look_at_the_events_ends_at_once() -> None:
    async with playing(apps.two_forms()) as (dify, client):
        run_id, _ = await client.pause()
        dify.lose_response("events")
        with pytest.raises(httpx.RemoteProtocolError, match="without sending a response"):
            async with client.events(run_id):
                pass


async def test_a_late_response_comes_after_its_work() -> None:
    """A client that gave up waiting finds the form answered."""
    async with playing(apps.two_forms()) as (dify, client):
        _, (form,) = await client.pause()
        dify.delay_response("submit_form", seconds=3600)
        submit = asyncio.create_task(client.submit(form, "ok", note=""))
        await dify.wait_for(lambda: dify.forms[form["form_token"]].status is FormStatus.SUBMITTED)
        assert not submit.done()
        submit.cancel()
        assert outcome(await client.submit(form, "ok", note="")) == SUBMITTED


async def test_a_stream_has_no_late_response() -> None:
    async with playing(apps.quick()) as (dify, _):
        with pytest.raises(ValueError, match="answers by a stream"):
            dify.delay_response("run", seconds=1)


async def test_a_stream_can_be_cut_before_its_first_ping() -> None:
    """The head of the answer arrives, nothing else; the run goes on."""
    async with playing(apps.two_forms()) as (dify, client):
        dify.drop_stream(after_bytes=0)
        with pytest.raises(httpx.RemoteProtocolError, match="incomplete chunked read"):
            async with client.start() as start:
                await start.to_end()
        assert start.pings == 0
        await dify.wait_for(dify.open_forms)


async def test_a_stream_can_end_early_as_if_it_were_over() -> None:
    """A clean end, and on the endpoint that was named: the stream of the start is whole."""
    async with playing(apps.two_forms()) as (dify, client):
        dify.drop_stream(after_events=2, clean=True, route="events")
        run_id, (form,) = await client.pause()
        async with client.events(run_id) as events:
            await followed(dify, run_id)
            await client.submit(form, "ok", note="")
            assert await events.to_end() == ["workflow_started", "node_started"]


async def test_an_answer_of_a_proxy_is_no_json() -> None:
    """dify-api §2.4."""
    async with playing(apps.quick()) as (dify, client):
        dify.fail_next("parameters", status=503)
        answer = await client.http.get("/parameters")
        assert (answer.status_code, answer.headers["content-type"]) == (503, "text/html; charset=utf-8")
