"""What the services need of the outside, as Protocols. The only asynchronous signatures of the core."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from bot.core.effects import Effect, SlackEffect
from bot.core.events import StreamEvent
from bot.core.lifecycle import Transition
from bot.core.model import AppMode, Command, Form, Progress, Run, RunStatus, StartInput, Submission


class Clock(Protocol):
    """Tells the time."""

    def now(self) -> datetime:
        """Return the present moment, aware, in UTC."""


class Alarm(Protocol):
    """Wakes the bot; what is due then stands in the store."""

    def arm(self, at: datetime) -> None:
        """Ring at this moment, unless it rings earlier anyway."""


@dataclass(frozen=True, slots=True)
class AppDescription:
    """What an app says of itself: GET /info and GET /parameters together."""

    title: str
    mode: AppMode
    start_inputs: tuple[StartInput, ...]


@dataclass(frozen=True, slots=True)
class RunDetail:
    """How a run stands by GET /workflows/run/{id}; `status` is one of Dify's, never one of ours alone."""

    status: RunStatus
    outputs: Mapping[str, Any] = field(default_factory=dict)
    error: str | None = None


class Dify(Protocol):
    """One Dify app: a server and the key of the app. Every method may raise `bot.errors.DifyError`."""

    async def describe(self) -> AppDescription:
        """Read what the app is called, its mode and its start inputs."""

    def start(self, run: Run) -> AbstractAsyncContextManager[AsyncIterator[StreamEvent]]:
        """Start the run and read its stream until it pauses or ends. Never sent twice by itself."""

    def follow(self, run: Run) -> AbstractAsyncContextManager[AsyncIterator[StreamEvent]]:
        """Read what happens from now on, until the run pauses or ends; nothing of the past (recording 05)."""

    async def open_forms(self, run: Run) -> tuple[Form, ...]:
        """Read the snapshot of a paused run: every form it waits for, with rendered content."""

    async def run_detail(self, run: Run) -> RunDetail:
        """Read how the run stands."""

    async def check_open(self, form: Form) -> None:
        """Read an answerable form.

        Raises:
            FormClosed: it was answered, or its deadline passed.
            DifyNotFound: Dify does not know it any more.
        """

    async def submit(self, run: Run, form: Form, submission: Submission) -> None:
        """Send the answer.

        Raises:
            FormRefused: the values do not fit; the form stays open.
            FormClosed: somebody was first, or the deadline passed.
            DifyUnavailable: no answer; its `sent` says whether Dify may have taken it.
        """

    async def stop(self, run: Run) -> None:
        """Ask to stop the task. Dify answers success whatever happens (dify-api §13)."""


class Slack(Protocol):
    """The workspace. Every method may raise `bot.errors.SlackError`."""

    async def carry_out(self, effect: SlackEffect, run: Run | None, post_id: str, *, again: bool) -> str | None:
        """Carry out an effect and return the `ts` of the message it posted, if any.

        `run` is None only for the answers to commands. `post_id` stands in the metadata of what is posted; `again` says
        that an earlier try may have posted already: then the thread is searched for it first.
        """

    async def show_progress(self, run: Run, progress: Progress) -> None:
        """Redraw the root message of a live run."""

    async def show_answer(self, run: Run, text: str) -> None:
        """Redraw the message that carries the streamed text."""


@dataclass(frozen=True, slots=True)
class SavedEffect:
    """An effect as it stands in the outbox."""

    row_id: int
    post_id: str
    """Unguessable and safe to show; goes into the metadata of what the effect posts."""
    run_id: str | None
    effect: Effect
    attempts: int
    """How often it has been begun, this time included."""


Decide = Callable[[Run], Transition]


class Store(Protocol):
    """The database: the truth about every run. Every method may raise `bot.errors.StoreError`."""

    async def save_command(self, command: Command, delivery: str, now: datetime) -> bool:
        """Save a command to be checked; False, and nothing saved, where this delivery was seen before."""

    async def add_run(self, run: Run, effects: Sequence[Effect], now: datetime, *, done: int | None = None) -> None:
        """Save a new run with its effects, once per `run_id`; finish the outbox row `done` along with it."""

    async def add_effect(
        self, effect: Effect, now: datetime, *, done: int | None = None, reason: str | None = None
    ) -> None:
        """Save an effect that belongs to no run; finish the outbox row `done` along with it, or give it up."""

    async def run(self, run_id: str) -> Run:
        """Load a run.

        Raises:
            UnknownHere: there is none with this id.
        """

    async def change(
        self,
        run_id: str,
        decide: Decide,
        now: datetime,
        *,
        delivery: str | None = None,
        done: int | None = None,
        reason: str | None = None,
    ) -> Transition | None:
        """Load a run, let `decide` say what follows, and save the run with its effects, in one transaction.

        None, and nothing changed, where `delivery` was seen before. The outbox row `done` is finished along with it,
        or given up where there is a `reason`.

        Raises:
            UnknownHere: there is no such run.
        """

    async def runs_in(self, statuses: Collection[RunStatus]) -> tuple[str, ...]:
        """Return the ids of the runs that stand in one of these, the oldest first."""

    async def claim_polls(self, now: datetime, again_at: datetime, limit: int) -> tuple[str, ...]:
        """Return the ids of the runs whose `poll_at` has come, the longest overdue if more than `limit` are due.

        Their `poll_at` becomes `again_at`, in case nobody moves it.
        """

    async def next_due(self) -> datetime | None:
        """Return the earliest moment at which a poll or a waiting effect is due; None where nothing is."""

    async def claim_effects(self, now: datetime, limit: int) -> tuple[SavedEffect, ...]:
        """Begin the effects that are due: of each run and lane the first unfinished one, if it is not under way.

        One that cannot be read is given up.
        """

    async def hold_effect(self, row_id: int) -> None:
        """The effect waits for its turn, and nothing of it has been sent."""

    async def begin_effect(self, row_id: int) -> None:
        """The turn of an effect that was held has come."""

    async def finish_effect(self, row_id: int) -> None:
        """The effect is carried out."""

    async def put_back_effect(self, row_id: int, due_at: datetime) -> None:
        """Try the effect again at this moment; those behind it in its lane wait."""

    async def give_up_effect(self, row_id: int, reason: str) -> None:
        """The effect cannot be carried out; it is kept with the reason."""

    async def interrupted_effects(self) -> tuple[SavedEffect, ...]:
        """Return the effects that were begun and not finished by a process that is gone.

        Those that it held are due again.
        """

    async def forget_deliveries(self, before: datetime) -> None:
        """Drop the record of Slack deliveries older than this."""
