"""Forms that wait in large numbers: copies of one that the bot posted itself, in its database and at Dify.

The copies bear numbers, from which either side makes their ids: the simulated Dify keeps none of them, and makes up the
one it is asked about.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import islice

from sqlalchemy import Connection, func, insert, select

from bot.core.model import Run, RunStatus
from bot.store.codec import form_row, run_row
from bot.store.database import connect
from bot.store.sql import open_store
from bot.store.tables import forms, runs

_RUN_ID = re.compile(r"([0-9a-f]{8})-0000-4000-8000-000000000000")
_TOKEN = re.compile(r"waiting([0-9]{15})")
_COPY = "waiting-"
"""What our own ids of the copied runs begin with."""
_AT_ONCE = 5_000
_OLDEST = timedelta(days=7)
"""Dify ends a run whose form has waited for longer (dify-api §11)."""
_OVERDUE = timedelta(minutes=1)


def copied_run_id(number: int) -> str:
    """Return Dify's id of the copied run."""
    return f"{number:08x}-0000-4000-8000-000000000000"


def copied_form_id(number: int) -> str:
    """Return Dify's id of the form of the copied run."""
    return f"{number:08x}-0000-7000-8000-000000000000"


def copied_token(number: int) -> str:
    """Return the token of the form of the copied run."""
    return f"waiting{number:015}"


def number_of(run_id_or_token: str) -> int | None:
    """Return the number of the copy that this belongs to; None where it is no copy's."""
    if found := _RUN_ID.fullmatch(run_id_or_token):
        return int(found[1], 16)
    found = _TOKEN.fullmatch(run_id_or_token)
    return int(found[1]) if found else None


async def add_waiting_forms(database_url: str, count: int) -> None:
    """Copy the first run of `ask` in the database, which waits for its form, this often.

    They have been waiting for up to a week. A look at each is overdue, as after a bot that was down for long.
    """
    async with open_store(database_url) as store:
        database = connect(database_url)
        try:
            asked = select(runs.c.run_id).where(runs.c.app == "ask")
            found = await database.read(lambda connection: connection.scalars(asked).all())
            original = min([await store.run(run_id) for run_id in found], key=lambda run: run.run_inputs["topic"])
            rest = _copies(original, count, datetime.now(UTC))
            while copies := list(islice(rest, _AT_ONCE)):
                await database.write(partial(_add, copies))
        finally:
            await database.close()


async def check_waiting(database_url: str, count: int) -> None:
    """Refuse the numbers of a bot that took one of this many copies for something else than a run that waits.

    Raises:
        RuntimeError: with how many still wait.
    """
    waiting = runs.c.run_id.startswith(_COPY) & (runs.c.status == RunStatus.PAUSED)
    database = connect(database_url)
    try:
        left = await database.read(lambda connection: connection.scalar(select(func.count()).where(waiting)))
    finally:
        await database.close()
    if left != count:
        raise RuntimeError(f"{left} of {count} copied runs still wait")


def _add(added: Sequence[Run], connection: Connection) -> None:
    connection.execute(insert(runs), [run_row(run) for run in added])
    connection.execute(insert(forms), [form_row(run.forms[0], run.run_id, 0) for run in added])


def _copies(original: Run, count: int, now: datetime) -> Iterator[Run]:
    (form,) = original.forms
    luck = random.Random(count)
    for number in range(count):
        since = now - _OLDEST * luck.random()
        yield replace(
            original,
            run_id=f"{_COPY}{number}",
            workflow_run_id=copied_run_id(number),
            created_at=since,
            started_at=since,
            since=since,
            poll_at=now - _OVERDUE * luck.random(),
            forms=(replace(form, form_id=copied_form_id(number), form_token=copied_token(number)),),
        )
