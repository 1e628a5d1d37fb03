"""What the services need of the outside, as Protocols. The only asynchronous signatures of the core."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

from bot.core.effects import Effect, SlackEffect, Transition
from bot.core.events import FormFilled, StreamEvent
from bot.core.model import (
    Accepts,
    AppMode,
    FileLimits,
    Form,
    PickedMessage,
    Progress,
    Rating,
    Run,
    RunStatus,
    SharedFile,
    StartInput,
    Submission,
)
from bot.errors import BotError


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
    message_files: Accepts | None = None
    """What a message to a Chatflow, or the start of a Workflow, takes besides; None where that is switched off."""
    file_limits: FileLimits = field(default_factory=FileLimits)
    """How large a file may be on this server."""


@dataclass(frozen=True, slots=True)
class CarriedFile:
    """A file of Slack's that a start window was given: of the message that it was opened upon, or chosen before."""

    file_id: str
    field: str | None = None
    """The input that it is put into (`core.start_files`); None where it fits none."""


@dataclass(frozen=True, slots=True)
class StartPlace:
    """What an open start window stands for: ids alone, which anybody may read."""

    run_id: str
    """Of the run that it starts, however often it is sent."""
    team_id: str
    channel_id: str
    app: str | None = None
    """The app whose fields it shows; None before one is chosen."""
    files: tuple[CarriedFile, ...] = ()


@dataclass(frozen=True, slots=True)
class StartWindow:
    """A start window as it is to be shown."""

    place: StartPlace
    app_names: tuple[str, ...]
    """The apps to choose from."""
    description: AppDescription | None = None
    """None where there are no fields to show."""
    texts: Mapping[str, str] = field(default_factory=dict)
    """What was given already, by field; where no app is chosen yet, a text for whichever that will be."""
    files: Mapping[str, tuple[SharedFile, ...]] = field(default_factory=dict)
    """The same of files; those without a field yet are under an empty name."""
    problems: tuple[str, ...] = ()
    """What is to be told first, a sentence each."""
    left_over: str = ""
    """What was given and goes into no field."""


@dataclass(frozen=True, slots=True)
class Home:
    """What the Home tab of the app is to show to one person: what they have started themselves, and nothing else."""

    user_id: str
    channel_id: str
    """Of their direct messages with the bot, where what they start from here is run."""
    runs: tuple[Run, ...]
    """As `Store.started_by` gives them."""
    is_cut: bool
    """More of theirs may go on than stands in `runs`."""
    command: str
    """The slash command that starts apps, and those that it can start."""
    app_names: tuple[str, ...]
    at: datetime
    """When it was so."""
    problem: str = ""
    """What is to be told first, a sentence."""


@dataclass(frozen=True, slots=True)
class RunDetail:
    """How a run stands by GET /workflows/run/{id}; `status` is one of Dify's, never one of ours alone."""

    status: RunStatus
    outputs: Mapping[str, Any] = field(default_factory=dict)
    error: str | None = None
    steps: int | None = None
    """How many steps Dify has counted; a run that paused, went on and paused again has more (recordings 06, 07)."""


@dataclass(frozen=True, slots=True)
class LoggedRun:
    """A run in the log of its app; `started_at` is by Dify's clock."""

    workflow_run_id: str
    started_at: datetime


@dataclass(frozen=True, slots=True)
class FileContent:
    """A file while it is read: its bytes come once, in pieces, and are never all in memory."""

    chunks: AsyncIterator[bytes]
    size: int | None
    """Bytes, as its source says; None where it does not say."""
    mime_type: str = ""

    async def exactly(self, otherwise: BotError) -> AsyncGenerator[bytes, None]:
        """Read the pieces; raise `otherwise` as soon as they are more bytes than `size`, or at the end of fewer."""
        left = self.size
        assert left is not None, "known to whoever asks for exactly so many"
        async for piece in self.chunks:
            left -= len(piece)
            if left < 0:
                raise otherwise
            yield piece
        if left:
            raise otherwise


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

    async def logged_runs(self, run: Run, after: datetime) -> tuple[LoggedRun, ...]:
        """Read which runs the user of a Workflow's run has started since a moment, the oldest first."""

    async def is_start_of(self, run: Run, workflow_run_id: str) -> bool:
        """Tell whether a run of Dify's was started with the inputs of this one."""

    async def check_open(self, form: Form) -> None:
        """Read an answerable form.

        Raises:
            FormClosed: it was answered, or its deadline passed.
            DifyNotFound: Dify does not know it any more.
        """

    async def answer_given(self, run: Run, form: Form) -> FormFilled | None:
        """Read the answer that closed a form; None where Dify does not tell, as it does of Chatflows alone."""

    async def submit(self, run: Run, form: Form, submission: Submission) -> None:
        """Send the answer.

        Raises:
            FormRefused: the values do not fit; the form stays open.
            FormClosed: somebody was first, or the deadline passed.
            DifyUnavailable: no answer; its `sent` says whether Dify may have taken it.
        """

    async def knows_conversation(self, run: Run) -> bool:
        """Tell whether the conversation is still there in which the run's message is to be sent.

        Asked beforehand, since Dify answers a message to one that is gone as the first of a new one (recording 15).
        """

    async def suggestions(self, run: Run) -> tuple[str, ...]:
        """Read what Dify suggests to ask after the answer; nothing where the app has that switched off."""

    async def rate(self, run: Run, rating: Rating) -> None:
        """Give Dify what somebody thinks of the answer; the last one counts (dify-api §5.3)."""

    async def stop(self, run: Run) -> None:
        """Ask to stop the task. Dify answers success whatever happens (dify-api §13)."""

    async def upload(self, run: Run, name: str, content: FileContent) -> str:
        """Upload a file as the user of the run, piece by piece, and return Dify's id of it (dify-api §12.1, §12.4).

        `content.size` has to be known and right.

        Raises:
            DifyUnavailable: also where there were more or fewer bytes than `content.size`; Dify then has no file.
            DifyRejected: Dify takes no such file; its `status` says why: 413 too large, 415 or 400 not of this kind.
            SlackError: whatever `content` raises while it is read.
        """

    def download(self, run: Run, url: str) -> AbstractAsyncContextManager[FileContent]:
        """Read a file by an address that Dify signed, which is valid for 300 s (dify-api §12.6); no key is sent.

        Raises:
            DifyNotFound: the address has expired, and Dify signs no other one.
            DifyRejected: the address is none of this Dify server's.
        """


class Slack(Protocol):
    """The workspace. Every method may raise `bot.errors.SlackError`."""

    async def carry_out(
        self, effect: SlackEffect, run: Run | None, post_id: str, *, again: bool, writes_alone: bool = True
    ) -> str | None:
        """Carry out an effect and return the `ts` of the message it posted, if any.

        Of a text that is over it is that of its message, if the text stands there whole.
        `run` is None only for the answers to commands and to messages that address the bot. `post_id` stands in the
        metadata of what is posted; `again` says that an earlier try may have posted already: then the thread is
        searched for it first. `writes_alone` is what `Store.writes_alone` says of the run.
        """

    async def picked(self, channel_id: str, ts: str, *, team_id: str, bot_user_id: str | None) -> PickedMessage | None:
        """Read a message of somebody's, without the mention of the bot; None where it is not there any more."""

    async def shared_file(self, file_id: str) -> SharedFile:
        """Read what Slack knows of a file now (slack-platform §5.1, §5.2).

        Raises:
            FileUnavailable: it cannot be had from Slack; its message says why, and what to do.
            SlackUnavailable: Slack has not looked at it yet, or does not answer.
        """

    def download(self, file_id: str, max_size: int) -> AbstractAsyncContextManager[FileContent]:
        """Read a file from Slack, piece by piece, and no more than `max_size` bytes of it (slack-platform §5.3).

        Raises:
            FileUnavailable: it cannot be had from Slack, also where it turns out larger only while it is read.
            SlackUnauthorized: the app lacks the scope for it.
            SlackUnavailable: Slack does not answer, has not looked at the file yet, or broke off.
        """

    async def upload(self, name: str, content: FileContent, alt_text: str = "") -> str:
        """Give Slack a file, piece by piece, and return its id there; nobody sees it yet (slack-platform §5.4).

        `content.size` has to be known and right.

        Raises:
            SlackUnavailable: also where there were more or fewer bytes than `content.size`; Slack then has no file.
            DifyError: whatever `content` raises while it is read.
        """

    async def keep(self, file_id: str, title: str) -> None:
        """Let messages and windows show a file that was uploaded, as an image in them and nowhere else.

        It cannot be shared below a message any more (slack-platform §5.4).
        """

    async def open_start(self, trigger_id: str, window: StartWindow) -> None:
        """Open a start window for the person whose trigger this is, at once or not at all."""

    async def change_start(self, view_id: str, seen: str, window: StartWindow) -> None:
        """Let an open start window show this; `seen` is the hash of what it shows, as far as is known."""

    async def publish_home(self, home: Home) -> None:
        """Let somebody's Home tab show this from now on."""

    async def open_window(self, trigger_id: str, run: Run, form: Form, fill: WindowFill) -> str:
        """Open a form's window for the person whose trigger this is, at once or not at all; return the view's id."""

    async def refill_window(self, view_id: str, run: Run, form: Form, fill: WindowFill) -> None:
        """Let an open window hold this instead of what it holds."""

    async def end_window(self, view_id: str, run: Run, form: Form, values: Mapping[str, str | None]) -> None:
        """Say in an open window what became of its form, and give back what was entered there in vain."""

    async def forget(self) -> None:
        """Forget what is known of all runs, and show nothing of it: from now on others draw them."""

    async def show_progress(self, run: Run, progress: Progress) -> None:
        """Redraw the root message of a live run."""

    async def show_answer(self, run: Run, text: str) -> None:
        """Redraw the message that carries the streamed text, all of which was heard."""

    async def lose_answer(self, run: Run) -> None:
        """Say where the streamed text ends, once it is over, that a part of it was not heard; a whole one undoes it."""

    async def leave(self, run: Run) -> None:
        """Draw nothing more of a run that another process may draw from now on: what was heard here is drawn now."""


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
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Draft:
    """What a person has entered into a form's window and not sent."""

    values: Mapping[str, str | None]
    """By the input's name, where it is not what the form holds at first; None for an option taken back."""
    saved_at: datetime
    typed_before: str = ""
    """A digest of what this person had entered into the form's message when the window was opened."""
    generation: int = 0
    """How often this person has begun anew, so that Slack forgets what the fields held."""

    @property
    def is_blank(self) -> bool:
        """Whether nothing stands in it that anybody could miss."""
        return not any(value and value.strip() for value in self.values.values())


@dataclass(frozen=True, slots=True)
class WindowFill:
    """What a form's window is to hold for a person."""

    values: Mapping[str, str | None] = field(default_factory=dict)
    """By the input's name; a field without one holds what the form says."""
    drafted_at: datetime | None = None
    """When the draft was saved that these values are of, if they are of one."""
    typed_before: str = ""
    """As in `Draft`."""
    generation: int = 0
    """As in `Draft`."""


Decide = Callable[[Run], Transition]


class Store(Protocol):
    """The database: the truth about every run. Every method may raise `bot.errors.StoreError`."""

    shared: bool
    """Other processes may work on the same database."""

    async def add_run(
        self,
        run: Run,
        effects: Sequence[Effect],
        now: datetime,
        *,
        delivery: str | None = None,
        done: int | None = None,
    ) -> bool:
        """Save a new run with its effects, once per `run_id`; finish the outbox row `done` along with it.

        False, and nothing saved, where `delivery` was seen before.
        """

    async def add_effect(
        self,
        effect: Effect,
        now: datetime,
        *,
        delivery: str | None = None,
        done: int | None = None,
        reason: str | None = None,
    ) -> bool:
        """Save an effect that belongs to no run; finish the outbox row `done` along with it, or give it up.

        False, and nothing saved, where `delivery` was seen before.
        """

    async def conversation(self, channel_id: str, thread_ts: str) -> tuple[Run, ...]:
        """Load what counts of the conversation with a Chatflow in a thread, in the order in which it was asked.

        That is its first message, the last one whose conversation Dify named, and those that have not ended; nothing
        where the thread is no conversation.
        """

    async def asking(self, channel_id: str, thread_ts: str) -> Run | None:
        """Load the run of a thread that has a form open with a field for files, the one that asked last.

        None where nobody is asked for files there.
        """

    async def workflow_in(self, channel_id: str, thread_ts: str) -> Run | None:
        """Load the run of a Workflow whose thread this is, ended or not; None of any other thread."""

    async def writes_alone(self, run: Run) -> bool:
        """Tell whether no message that was asked before in a run's thread is still answered, or its answer shown.

        Then what stands in the thread half written, and is nobody's that is known, is this run's; and once it is so, it
        stays so.
        """

    async def posts_root(self, channel_id: str, since: datetime) -> bool:
        """Tell whether the root message of a Chatflow of this channel, asked for since then, is not known to be posted.

        A thread there that is not known may be its thread.
        """

    async def run(self, run_id: str) -> Run:
        """Load a run.

        Raises:
            UnknownHere: there is none with this id.
        """

    async def started_by(self, team_id: str, user_id: str, *, going: int, ended: int) -> tuple[Run, ...]:
        """Load what a person has started: what has not ended, the newest first, then what has, the last to end first.

        Of the ones at most `going`, those whose forms are due next before any other; of the others at most `ended`.
        """

    async def named(self, workflow_run_ids: Collection[str]) -> frozenset[str]:
        """Return those of Dify's runs that are known to be one of ours."""

    async def change(
        self,
        run_id: str,
        decide: Decide,
        now: datetime,
        *,
        delivery: str | None = None,
        taking: str | None = None,
        done: int | None = None,
        reason: str | None = None,
        looking: Collection[tuple[str, str]] = (),
        before_ack: bool = False,
    ) -> Transition | None:
        """Load a run, let `decide` say what follows, and save the run with its effects, in one transaction.

        Whoever has a draft of a form that is closed by this is given it back by one more effect, and it is dropped; but
        not where they are `looking` at the form's window, as pairs of form and person: that gives it back.
        A redrawing takes the place of an earlier one of the same message that has not begun.
        None, and nothing changed, where `delivery` was seen before, or where Dify's run `taking` is or may be another
        one of ours: that has its id, or was started by the same user with equal inputs and Dify has yet to name it.
        Of several that take the same one at once, one gets it. The outbox row `done` is finished along with it,
        or given up where there is a `reason`. `before_ack` says that Slack waits for it, as for that of a delivery: it
        goes ahead of what can wait, and is refused in time for somebody to be told.

        Raises:
            UnknownHere: there is no such run.
            LeaseLost: another process took over the row `done`; nothing was saved.
        """

    async def draft(self, form_id: str, user_id: str) -> Draft | None:
        """Load what a person has entered into a form's window and not sent."""

    async def save_draft(self, form_id: str, user_id: str, draft: Draft) -> None:
        """Keep this draft, unless a newer one, of the same generation or a later one, is kept or the form is decided.

        `change` drops it along with this person's answer, or when it gives it back, `purge` along with the run.
        """

    async def catch_up(self, now: datetime, spread: timedelta, longest_wait: timedelta) -> None:
        """Make up for a time in which nobody worked, and for a clock that was put back.

        Where no other process lives, each paused run is due to be looked at within `spread` from now. What lies further
        ahead than anything is ever put off, `longest_wait`, is drawn in: looks over `spread`, effects to now.
        """

    async def claim_polls(
        self,
        now: datetime,
        again_at: datetime,
        limit: int,
        *,
        apps: Collection[str] | None = None,
        but_for: Collection[str] = (),
    ) -> tuple[str, ...]:
        """Return the ids of the runs of these apps, or of all `but_for` some, whose `poll_at` has come.

        If more than `limit` are due: those that move, then those with an open form whose deadline has passed, then
        the rest; of each the longest overdue. Their `poll_at` becomes `again_at`, in case nobody moves it.
        """

    async def claim_reminders(self, now: datetime, again_at: datetime, limit: int) -> tuple[tuple[str, str], ...]:
        """Return the run and the id of each form whose `remind_at` has come, like `claim_polls`."""

    async def next_due(self) -> datetime | None:
        """Return the earliest moment at which a poll, a reminder or a waiting effect is due; None where nothing is.

        An effect that another process is to carry out is not counted.
        """

    async def claim_effects(self, now: datetime, limit: int) -> tuple[SavedEffect, ...]:
        """Begin the effects that are due: of each run and lane the first unfinished one, if it is not under way.

        Of a run that another living process follows, its root message and its texts are left to that one, which knows
        what it has shown; so is what stands behind them in the lane. One that cannot be read is given up. A process
        whose lease lapsed begins nothing.
        """

    # --- several processes: what one has begun is its own until its lease lapses ---

    async def join(self, lease: timedelta) -> None:
        """Take part in the work as a new process, whose lease ends after this time if `stay` does not renew it.

        Raises:
            ConfigError: the database is for one process at a time, and another one has it.
        """

    async def stay(self, lease: timedelta) -> None:
        """Renew the lease.

        Raises:
            LeaseLost: another process has taken over what this one had begun.
        """

    def holds_lease(self) -> bool:
        """Tell whether surely nobody takes over what was begun here, now or soon: to be asked before anything is sent.

        What is sent then may take a third of a lease until it is carried out.
        """

    async def check(self) -> None:
        """Do nothing where the database answers, took the last sign of life of this process, and holds it for alive.

        Raises:
            StoreError: one of these is not so; a full or locked database may still answer.
        """

    async def leave(self, now: datetime) -> None:
        """Take no part any more: what was begun here is free for others at once, and looks at its runs are due."""

    async def take_over(self, now: datetime, under_way: Collection[int] = ()) -> tuple[SavedEffect, ...]:
        """Take over the work of the processes whose lease lapsed, and what others left behind.

        Returns the effects that were begun and not finished, which this process now owns; among them those that it
        began itself, but for the rows that are `under_way`. Effects that were held are due again, and so is a look at
        every run that nobody follows any more.
        """

    async def follow(self, run_id: str, *, instead_of_others: bool = False) -> bool:
        """Become the process that reads the run's stream; False where another one that lives does."""

    async def unfollow(self, run_id: str) -> None:
        """The run's stream is not read here any more."""

    # --- an effect that this process has begun; each of these raises `LeaseLost` where another one took it over ---

    async def hold_effect(self, row_id: int) -> None:
        """The effect waits for its turn, and nothing of it has been sent."""

    async def begin_effect(self, row_id: int) -> None:
        """The turn of an effect that was held has come."""

    async def finish_effect(self, row_id: int) -> None:
        """The effect is carried out."""

    async def put_back_effect(self, row_id: int, due_at: datetime, *, attempts: int | None = None) -> None:
        """Try the effect again at this moment; those behind it in its lane wait.

        A redrawing gives way to a later one of the same message, if there is one.

        `attempts` is how often it then counts as begun, where that is not how often it was.
        """

    async def give_up_effect(self, row_id: int, reason: str) -> None:
        """The effect cannot be carried out; it is kept with the reason."""

    # --- clean-up ---

    async def forget_deliveries(self, before: datetime) -> None:
        """Drop the record of Slack deliveries older than this."""

    async def held_since(self, before: datetime, limit: int) -> tuple[str, ...]:
        """Return the ids of the messages that are held since before this moment."""

    async def purge(self, before: datetime, limit: int) -> int:
        """Delete runs that ended before this moment, with all that belongs to them, and answers given up before it.

        A message that was held and never sent goes by when it was written.

        Of each at most `limit`; return how many were deleted. A run with an effect that is still tried stays.
        """
