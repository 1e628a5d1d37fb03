"""An app that was taken out of the settings while its forms are open: what people do about them is kept for it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from bot.core.model import FormStatus, Run, RunStatus
from bot.manifest import EVENTS
from bot.playground.dify.apps import file_form, two_forms
from bot.playground.slack import Message
from bot.slack.forms.window import DECISION
from tests.listeners.conftest import connected
from tests.services.stage import CHANNEL, Stage, open_stage

OPEN_WINDOW = "Open in window"
PDF = ("contract.pdf", b"%PDF-1.7 and more")


@asynccontextmanager
async def left_out(stage: Stage, asking: str) -> AsyncIterator[tuple[Stage, Run, Message]]:
    """Start the bot without its apps once a run has asked; yield it with the run and the form's message."""
    async with stage.working():
        run = await stage.paused(asking)
        await stage.settled()
    async with stage.reopened() as without, without.working():
        without.workspace.events = frozenset(EVENTS)
        await connected(without)
        yield without, run, without.workspace.find(thread=run.thread_ts, button=OPEN_WINDOW)


async def test_a_window_is_sent_once_the_app_is_back(tmp_path: Path) -> None:
    async with open_stage(tmp_path, [two_forms()]) as stage:
        async with left_out(stage, "two_forms topic=tea") as (without, run, form):
            ben = without.workspace.person("ben")
            assert (await ben.click(form, OPEN_WINDOW)).acked
            ben.select(ben.view, DECISION, "No")
            sent = await ben.submit_view()
            assert (sent.acked, sent.error, ben.views) == (True, None, [])
            assert (await without.store.run(run.run_id)).forms[0].status is FormStatus.SUBMITTING
            assert stage.submits() == []
        async with stage.working():
            await stage.later(minutes=10)
            await stage.in_status(run.run_id, RunStatus.SUCCEEDED)
        assert [submit.body["action"] for submit in stage.submits()] == ["no"]


async def test_a_file_is_attached_once_the_app_is_back(tmp_path: Path) -> None:
    async with open_stage(tmp_path, [file_form()]) as stage:
        async with left_out(stage, "file_form topic=roof") as (without, run, _):
            await without.workspace.person("ben").share(CHANNEL, [PDF], thread_ts=run.thread_ts)
            await without.run_when(run.run_id, lambda run: run.attachments)
            await without.settled()
            assert stage.requests("POST", "/files/upload") == []
        async with stage.working():
            await stage.later(minutes=10)
            run = await stage.run_when(run.run_id, lambda run: run.attachments[0].upload_file_id is not None)
        assert [attached.name for attached in run.attachments] == ["contract.pdf"]
