"""Which run of a thread asks for files, over both kinds of database."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from bot.core.effects import Transition
from bot.core.model import AppMode, FileField, Form, FormStatus, Run, RunStatus
from bot.store.sql import SqlStore
from tests.factories import NOW, make_attachment, make_form, make_run


async def add(store: SqlStore, name: str, minutes: float, *, files: bool, status: FormStatus = FormStatus.OPEN) -> Run:
    """Save a run of the thread with one form."""
    fields = (FileField("proof"),) if files else make_form().inputs
    asked_at = NOW + timedelta(minutes=minutes)
    form: Form = make_form(form_id=f"form of {name}", inputs=fields, status=status, asked_at=asked_at)
    run = make_run(run_id=name, status=RunStatus.PAUSED, thread_ts="1.0", root_ts="1.0")
    await store.add_run(run, [], NOW)
    given = make_attachment(form_id=form.form_id)
    saved = replace(run, forms=(form,), attachments=(given,) if files else ())
    await store.change(name, lambda _: Transition(saved), NOW)
    return saved


async def test_the_run_that_asked_for_files_last_is_found(store: SqlStore) -> None:
    """Not one whose newer form has no place for them, nor one whose form is decided, nor one of another thread."""
    assert await store.asking("C1", "1.0") is None
    await add(store, "before", 1, files=True)
    last = await add(store, "last", 2, files=True)
    await add(store, "text", 3, files=False)
    await add(store, "decided", 4, files=True, status=FormStatus.SUBMITTED)
    assert await store.asking("C1", "1.0") == last
    assert await store.asking("C1", "2.0") is None


async def test_the_workflow_of_a_thread_is_found_also_once_it_has_ended(store: SqlStore) -> None:
    for name, mode, thread in (("flow", AppMode.WORKFLOW, "1.0"), ("chat", AppMode.CHATFLOW, "2.0")):
        ended = make_run(run_id=name, mode=mode, status=RunStatus.SUCCEEDED, thread_ts=thread, ended_at=NOW)
        await store.add_run(ended, [], NOW)
    found = await store.workflow_in("C1", "1.0")
    assert found is not None
    assert found.run_id == "flow"
    assert await store.workflow_in("C1", "2.0") is None
    assert await store.workflow_in("C2", "1.0") is None
