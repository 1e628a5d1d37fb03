"""What came of a trial: every rule by which something counts as lost, doubled or left."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from bot.playground.dify import RecordedRequest
from bot.playground.dify.faults import Route
from bot.playground.dify.forms import Form, FormStatus
from bot.playground.dify.runs import Run
from bot.playground.slack import Message
from tests.faults.faults import Fault, Kind
from tests.faults.people import NOT_SAVED, REMINDED, Asked, Click, People
from tests.faults.points import Point

COUNTS = (
    "decisions_lost",
    "decisions_sent_twice",
    "posts_lost",
    "posts_doubled",
    "forms_without_outcome",
    "clicks_without_answer",
)
"""What is counted, in the order of the report."""
BESIDES = ("bots_died",)
"""What is counted besides: a bot that ended by itself loses nothing if it is started again, but it should not."""

UNCONFIRMED = "start not confirmed"
NOTE_AGAIN = "private note told twice"

_CEILINGS: Mapping[str, Mapping[str, float]] = {
    UNCONFIRMED: {
        **{
            Fault(Kind.KILL, point).family: share
            for point, share in {
                Point.BEFORE_SAVE: 0.06,
                Point.AFTER_SAVE: 0.1,
                Point.BEFORE_DIFY: 0.25,
                Point.AFTER_DIFY: 0.15,
                Point.BEFORE_SLACK: 0.05,
                Point.AFTER_SLACK: 0.05,
                Point.STREAM_EVENT: 0.03,
                Point.BEFORE_ACK: 0.02,
                Point.AFTER_ACK: 0.02,
            }.items()
        },
        Kind.KILL_TWICE: 0.1,
        Kind.KILL_ANY_TIME: 0.1,
        Kind.FREEZE: 0.05,
        Kind.CUT_STREAM: 0.05,
        Kind.DIFY_LOST: 0.05,
        Kind.DIFY_ERROR: 0.2,
        Kind.DIFY_AWAY: 0.1,
    },
    NOTE_AGAIN: {
        **{Fault(Kind.KILL, point).family: 0.02 for point in Point},
        Kind.KILL_TWICE: 0.02,
        Kind.KILL_ANY_TIME: 0.02,
        Kind.FREEZE: 0.1,
        Kind.SLACK_LOST: 0.2,
        Kind.SLACK_AWAY: 0.1,
    },
}
"""In what part of the trials of a kind of fault (`Fault.family`) something may be excused, at most.

A bit more than hit the moment that loses it.
"""
_BY_CHANCE = 2
"""So many more, as in short runs chance weighs more than parts."""

_KILLS = frozenset({Kind.KILL, Kind.KILL_TWICE, Kind.KILL_ANY_TIME, Kind.FREEZE})
_STARTS = (Route.RUN, Route.CHAT)
_REFUSALS = range(400, 500)

_LINK = re.compile(r"!?\[(?P<name>[^\]]*)\]\([^)]*\)")
_STARTED = ("⚙️", "⏸️", "✅", "❌", "⏹️", "⌛", "🔑", "⚠️", "Answered")
"""What a root message shows only of a run that Dify has named."""
_WRITING = "✍️"
_SHORT = 60.0
"""Seconds of a deadline that somebody is reminded of in a play."""
_NOTICED = 1.0
"""Seconds before a form's deadline by which it has to be there for a reminder to be of use."""

_ROOT_OF = {"succeeded": "✅", "partial-succeeded": "✅", "failed": "❌", "stopped": "⏹"}
_FORM_OF = {FormStatus.SUBMITTED: "✅", FormStatus.TIMEOUT: "⌛", FormStatus.EXPIRED: "⏹", FormStatus.WAITING: "⏹"}


@dataclass(frozen=True)
class Problem:
    """Something that should not be so."""

    count: str
    """One of `COUNTS` or `BESIDES`."""
    sentence: str


def most_excused(excuse: str, family: str, trials: int) -> int:
    """How often something may be excused in so many trials of a kind of fault (`Fault.family`)."""
    share = _CEILINGS[excuse].get(family, 0.0)
    return int(_BY_CHANCE + share * trials) if share else 0


def may_lose_start(fault: Fault) -> bool:
    """Whether a fault can lose a start or its answer: Dify has no idempotency key, so that none is sent again."""
    match fault.kind:
        case Kind.CUT_STREAM:
            return fault.number == 1
        case Kind.DIFY_LOST | Kind.DIFY_ERROR:
            return fault.target in _STARTS and fault.how != "429"
        case _:
            return fault.kind in _KILLS or fault.kind is Kind.DIFY_AWAY


def may_refuse_start(fault: Fault) -> bool:
    """Whether Dify may have said no to a start."""
    return fault.kind is Kind.DIFY_AWAY or (fault.kind is Kind.DIFY_ERROR and fault.target in _STARTS)


def may_double_note(fault: Fault) -> bool:
    """Whether nobody can know that a note to one person was posted: such messages are in no history."""
    lost = fault.kind is Kind.SLACK_LOST and fault.target == "chat.postEphemeral"
    return lost or fault.kind in _KILLS or fault.kind is Kind.SLACK_AWAY


def may_delay_redraw(fault: Fault) -> bool:
    """Whether buttons may stand there long after somebody was told that they are of no use any more."""
    return fault.kind in _KILLS | {Kind.SLACK_AWAY, Kind.SLACK_LOST, Kind.SLACK_ERROR, Kind.TERMINATE}


class Judge:
    """Judges one trial; asked again and again while it goes on, and once more when the stage is closed."""

    def __init__(self, people: People) -> None:
        self._people = people
        self._dify, self._channel, self._fault = people.dify, people.channel, people.fault
        self._first_request = len(people.dify.requests)

    def excused(self) -> list[str]:
        """What is not as it should be because a platform makes that impossible."""
        starts = [
            UNCONFIRMED
            for asked in self._people.commands
            for root in self._roots(asked)
            if _is_unconfirmed(root) and self._may_be_unconfirmed(asked, root)
        ]
        notes = [NOTE_AGAIN for _ in self._notes_told_again()] if may_double_note(self._fault) else []
        return starts + notes

    def unfinished(self) -> bool:
        """Whether something is missing that may still come."""
        return not self._people.commands or next(self._missing(), None) is not None

    def problems(self) -> list[Problem]:
        """Everything that is wrong as it stands."""
        return [*self._missing(), *self._too_much()]

    # --- missing -----------------------------------------------------------------------------------------------------

    def _missing(self) -> Iterator[Problem]:
        yield from self._of_the_start()
        for asked in self._people.commands:
            yield from self._of_command(asked)
        for click in self._people.clicks:
            if click.acked:
                yield from self._of_click(click)

    def _of_the_start(self) -> Iterator[Problem]:
        """Whoever tries again and again gets a run in the end: no fault lasts that long."""
        tried = [asked for asked in self._people.commands if asked.result is not None]
        if not any(asked.result and asked.result.acked for asked in tried):
            yield Problem("clicks_without_answer", f"None of {len(tried)} commands was acknowledged.")
        elif not any(self._roots(asked) for asked in tried):
            yield Problem("clicks_without_answer", f"None of {len(tried)} commands started anything.")

    def _of_command(self, asked: Asked) -> Iterator[Problem]:
        roots, run = self._roots(asked), self._run(asked)
        if roots:
            yield from self._of_root(asked, roots[0], run)
        elif run is not None:
            yield Problem("posts_lost", f"The run of “{asked.word}” has no root message.")
        elif asked.result is not None and asked.result.acked and not self._people.answers_to(asked):
            yield Problem("clicks_without_answer", f"Nothing came of the command with “{asked.word}”.")

    def _of_root(self, asked: Asked, root: Message, run: Run | None) -> Iterator[Problem]:
        state = _last_line(root)
        if _is_unconfirmed(root):
            if not self._may_be_unconfirmed(asked, root):
                yield Problem("forms_without_outcome", "A start was not confirmed although nothing could lose it.")
            if not self._thread_says(root, "did not confirm"):
                yield Problem("posts_lost", "The thread does not say that a start was not confirmed.")
            if root.buttons:
                yield Problem("forms_without_outcome", "A run that was not confirmed has buttons.")
            return
        if run is None:
            if not may_refuse_start(self._fault) or "❌" not in state:
                yield Problem("forms_without_outcome", f"Nothing was started in Dify and the root says {state!r}.")
            elif not self._thread_says(root, "did not start"):
                yield Problem("posts_lost", "The thread does not say that Dify did not start the run.")
            return
        if not run.status.ended:
            yield Problem("forms_without_outcome", f"In Dify the run is {run.status}, and the root says {state!r}.")
            return
        if _ROOT_OF[run.status] not in state:
            yield Problem("forms_without_outcome", f"In Dify the run is {run.status}, but the root says {state!r}.")
        for form in run.forms.values():
            yield from self._of_form(root, form)
            yield from self._of_reminder(root, form)
        if any(_WRITING in post.shown or post.in_progress for post in self._posts(root)):
            yield Problem("posts_lost", "The run has ended, and a text looks as if more of it were to come.")
        yield from self._of_result(root, run)

    def _may_be_unconfirmed(self, asked: Asked, root: Message) -> bool:
        """Whether the answer to a start can have been lost, and nothing that is seen contradicts it."""
        named = any(mark in version.shown for version in root.history for mark in _STARTED)
        more = any("did not confirm" not in post.shown for post in self._channel.replies(root.ts))
        in_log = self._run(asked) is not None and not self._people.play.is_chatflow
        seen = named or more or in_log
        return may_lose_start(self._fault) and not seen and len(self._starts(asked)) <= 1

    def _of_reminder(self, root: Message, form: Form) -> Iterator[Problem]:
        """One that is left to its deadline is reminded of once; all others are answered long before."""
        asked = min((float(message.ts) for message in self._messages(root, form)), default=form.expires_at)
        was_left = form.node.timeout_seconds < _SHORT and asked < form.expires_at - _NOTICED
        if was_left and not self._reminders(root, form):
            yield Problem("posts_lost", f"Nobody was reminded of “{form.node.title}”.")

    def _of_form(self, root: Message, form: Form) -> Iterator[Problem]:
        messages = self._messages(root, form)
        if not messages:
            yield Problem("posts_lost", f"The form “{form.node.title}” has no message.")
            return
        message, mark = messages[-1], _FORM_OF[form.status]
        shown = message.shown
        if message.buttons:
            yield Problem("forms_without_outcome", f"“{form.node.title}” is {form.status} and still has its buttons.")
        elif mark not in shown:
            yield Problem("forms_without_outcome", f"“{form.node.title}” is {form.status} and reads {shown[-120:]!r}.")
        elif form.answered and self._accepted(form) and form.answered.action["title"] not in _last_line(message):
            yield Problem("forms_without_outcome", f"“{form.node.title}” does not say what was decided in Slack.")

    def _of_result(self, root: Message, run: Run) -> Iterator[Problem]:
        if run.status.value == "failed":
            if not self._thread_says(root, "failed"):
                yield Problem("posts_lost", "The thread does not say that the run failed.")
        elif run.status.value == "stopped":
            if not self._thread_says(root, "stopped"):
                yield Problem("posts_lost", "The thread does not say that the run was stopped.")
        else:
            said = _words(" ".join(message.shown for message in self._posts(root)))
            for name, value in run.outputs.items():
                if isinstance(value, str) and (given := _words(value)) and f" {given} " not in f" {said} ":
                    yield Problem("posts_lost", f"The output “{name}” is not in the thread as Dify gave it out.")
            shown = self._files(root)
            for name in self._people.play.files:
                if not shown[name]:
                    yield Problem("posts_lost", f"The file “{name}” is not in the thread.")

    def _of_click(self, click: Click) -> Iterator[Problem]:
        told = self._people.answers_to(click)
        form = self._people.form_of(click.message)
        who = f"{click.person}'s “{click.button}”"
        if form is None:
            # A run may end by itself before it can be stopped, but not where nothing holds the bot up.
            excused = told and self._fault.kind is not Kind.NOTHING
            if not excused and not self._was_stopped(click):
                yield Problem("decisions_lost", f"{who} was acknowledged and never reached Dify.")
            return
        counted = form.answered is not None and form.answered.action["title"] == click.button
        if form.answered is not None and counted and self._accepted(form):
            changed = {name for name, value in click.values.items() if form.answered.values.get(name) != value}
            if changed:
                yield Problem("decisions_lost", f"{who} reached Dify changed: {', '.join(sorted(changed))}.")
        if told:
            return
        if counted and click.message.buttons:
            yield Problem("clicks_without_answer", f"The form of {who} looks as if nothing had happened.")
        elif not counted and form.status is FormStatus.WAITING and not self._dify.runs[form.run_id].status.ended:
            yield Problem("decisions_lost", f"{who} was acknowledged and never reached Dify.")
        elif not counted:
            yield Problem("clicks_without_answer", f"{who} did not count, and nobody said so.")

    # --- too much ----------------------------------------------------------------------------------------------------

    def _too_much(self) -> Iterator[Problem]:
        yield from self._doubled_posts()
        yield from self._doubled_notes()
        for asked in self._people.commands:
            if len(roots := self._roots(asked)) > 1:
                yield Problem("posts_doubled", f"{len(roots)} root messages for one command.")
            if len(starts := self._starts(asked)) > 1:
                yield Problem("decisions_sent_twice", f"Dify was asked {len(starts)} times to start one run.")
            for root in roots:
                yield from self._texts_again(root)
                for name, count in self._files(root).items():
                    if count > 1:
                        yield Problem("posts_doubled", f"The file “{name}” stands in a thread {count} times.")
            if (run := self._run(asked)) is not None and roots:
                for form in run.forms.values():
                    if (count := len(self._messages(roots[0], form))) > 1:
                        yield Problem("posts_doubled", f"The form “{form.node.title}” has {count} messages.")
                    if (count := len(self._reminders(roots[0], form))) > (form.node.timeout_seconds < _SHORT):
                        yield Problem("posts_doubled", f"There are {count} reminders of “{form.node.title}”.")
                    yield from self._sent_again(form)

    def _texts_again(self, root: Message) -> Iterator[Problem]:
        """Yield each text that stands beside another one of the same segment: a form comes between two segments."""
        written = False
        for reply in self._channel.replies(root.ts):
            is_streamed = reply.stream is not None or _WRITING in reply.history[0].shown
            is_text = reply.author.bot_id is not None and is_streamed
            if is_text and written:
                yield Problem(
                    "posts_doubled", f"What was written between two forms stands there twice: {reply.shown!r}."
                )
            written = (is_text or written) and not self._people.is_form(reply)

    def _doubled_posts(self) -> Iterator[Problem]:
        posts = [message for message in self._channel.messages if message.author.bot_id]
        ids = Counter(_post_of(message) for message in posts if message.metadata)
        texts = Counter((message.thread_ts, message.shown) for message in posts if message.thread_ts)
        for _, count in (each for each in ids.items() if each[1] > 1):
            yield Problem("posts_doubled", f"One post stands there {count} times, by its metadata.")
        for (_, text), count in texts.items():
            if count > 1:
                yield Problem("posts_doubled", f"One thread says {count} times {text[:80]!r}.")

    def _doubled_notes(self) -> Iterator[Problem]:
        if may_double_note(self._fault):
            return
        for person, count, text in self._notes_told_again():
            yield Problem("posts_doubled", f"{person} was told {count} times {text[:80]!r}.")

    def _notes_told_again(self) -> Iterator[tuple[str, int, str]]:
        """Yield each note that somebody got more often than they did over again what it is about, and had to."""
        notes = Counter(
            (message.visible_to, message.shown)
            for message in self._channel.log.values()
            if message.visible_to and message.author.bot_id
        )
        for (user_id, text), count in notes.items():
            person = self._people.workspace.user_name(str(user_id))
            did = (*self._people.clicks, *self._people.commands)
            # A note tells of everything that was done before it.
            about = [each for each in did if each.person == person and text in _texts(self._people.answers_to(each))]
            if count > 1 + sum(self._had_to_repeat(each) for each in about[:-1]):
                yield person, count, text

    def _had_to_repeat(self, did: Asked | Click) -> bool:
        """Whether somebody did it again for a good reason: it failed, or was refused, or looked as if it had."""
        refused = any(NOT_SAVED in text or "again" in text for text in _texts(self._people.answers_to(did)))
        return not (did.result and did.result.acked) or refused or may_delay_redraw(self._fault)

    def _sent_again(self, form: Form) -> Iterator[Problem]:
        """Yield each answer that went out after one had been taken, or without a look at the form in between."""
        last: RecordedRequest | None = None
        looked = taken = False
        for request in self._requests():
            if not request.path.endswith(form.token):
                continue
            if request.method == "GET":
                looked = looked or request.status == 200
                continue
            if taken:
                yield Problem("decisions_sent_twice", f"“{form.node.title}” was answered again after Dify took it.")
            elif last is not None and not looked and last.status not in _REFUSALS:
                yield Problem("decisions_sent_twice", f"“{form.node.title}” was answered again without a look at it.")
            taken = taken or request.status == 200
            last, looked = request, False

    # --- what there is -----------------------------------------------------------------------------------------------

    def _roots(self, asked: Asked) -> list[Message]:
        return [root for root in self._channel.roots if root.author.bot_id and asked.word in root.shown]

    def _run(self, asked: Asked) -> Run | None:
        return next((run for run in self._dify.runs.values() if asked.word in _asked_of(run)), None)

    def _starts(self, asked: Asked) -> list[RecordedRequest]:
        """What reached Dify of a command."""
        return [each for each in self._posted("/workflows/run", "/chat-messages") if asked.word in _body(each)]

    def _was_stopped(self, click: Click) -> bool:
        """Whether a Stop was carried out, be it too late."""
        asked = next(asked for asked in self._people.commands if click.message in self._roots(asked))
        run = self._run(asked)
        stopped = run is not None and run.status.value == "stopped"
        return stopped or any(run is not None and run.task_id in each.path for each in self._posted("/stop"))

    def _reminders(self, root: Message, form: Form) -> list[Message]:
        return [post for post in self._posts(root) if REMINDED in post.shown and form.node.title in post.shown]

    def _files(self, root: Message) -> Counter[str]:
        """How often a thread shows each file of its run, shared or as an image in the text of a form."""
        replies = self._channel.replies(root.ts)
        images = (block["alt_text"] for reply in replies for block in reply.blocks if block["type"] == "image")
        return Counter([*images, *(file["name"] for reply in replies for file in reply.content.files)])

    def _posts(self, root: Message) -> list[Message]:
        """What the bot wrote into a thread, besides forms."""
        replies = self._channel.replies(root.ts)
        return [message for message in replies if message.author.bot_id and not self._people.is_form(message)]

    def _thread_says(self, root: Message, text: str) -> bool:
        return any(text in message.shown for message in self._posts(root))

    def _messages(self, root: Message, form: Form) -> list[Message]:
        """The messages of a form; one that was closed before it was posted never had a button to tell it by."""
        replies = self._channel.replies(root.ts)
        known = [message for message in replies if self._people.form_of(message) is form]
        return known or [message for message in self._posts(root) if f"📝 {form.node.title}" in _plain(message)]

    def _accepted(self, form: Form) -> bool:
        """Whether it was an answer of the bot that Dify took."""
        return any(each.path.endswith(form.token) and each.status == 200 for each in self._posted(form.token))

    def _posted(self, *ends: str) -> list[RecordedRequest]:
        return [each for each in self._requests() if each.method == "POST" and each.path.endswith(ends)]

    def _requests(self) -> list[RecordedRequest]:
        return self._dify.requests[self._first_request :]


def _is_unconfirmed(root: Message) -> bool:
    return "Not confirmed" in _last_line(root)


def _texts(messages: list[Message]) -> list[str]:
    return [message.shown for message in messages]


def _asked_of(run: Run) -> str:
    return f"{json.dumps(run.inputs)} {run.message.query if run.message else ''}"


def _body(request: RecordedRequest) -> str:
    return json.dumps(request.body)


def _post_of(message: Message) -> str:
    return json.dumps(message.metadata, sort_keys=True)


def _plain(message: Message) -> str:
    return message.shown.replace("*", "")


def _last_line(message: Message) -> str:
    lines = [line for line in _plain(message).splitlines() if line.strip() and line.strip() != "Stop"]
    return lines[-1] if lines else ""


def _words(text: str) -> str:
    # An address that Dify signed is shown to nobody.
    text = _LINK.sub(r"\g<name>", text)
    return " ".join(re.findall(r"[^\W_]+", text.casefold()))
