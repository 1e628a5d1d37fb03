"""The people of a trial: they act on what they see, and remember what they did."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from bot.playground.dify import Dify
from bot.playground.dify.errors import ApiError
from bot.playground.dify.forms import Form
from bot.playground.slack import Channel, Message, Result, Workspace
from bot.playground.slack import forms as slack_forms
from bot.playground.slack.people import Person
from tests.faults.faults import Fault, Kind
from tests.faults.plays import Decision, Play

ATTACHED = "✅ attached"
"""How the card of a form says that Dify has a file."""
TRIES = 12
"""How often somebody does the same thing before giving up."""
_LOOK_AGAIN = 0.1
"""Seconds after which people look, although nothing in Slack has changed."""

NOT_STARTED = ("Nothing was started", "I could not start")
NOT_SAVED = "I could not save that, so nothing was changed."
"""What the bot says of a command or a click that it could not take in."""
REMINDED = "still waits for an answer"


@dataclass(eq=False)
class Asked:
    """A command that somebody sent."""

    person: str
    word: str
    at: float
    """Seconds, workspace clock."""
    result: Result | None = None


@dataclass(eq=False)
class Click:
    """A press of a button."""

    person: str
    message: Message
    button: str
    at: float
    """Seconds, workspace clock."""
    values: dict[str, str] = field(default_factory=dict)
    """What stood in the fields that the person had touched."""
    result: Result | None = None

    @property
    def acked(self) -> bool:
        """Whether the bot acknowledged it."""
        return self.result is not None and self.result.acked


class People:
    """Everybody in one channel, until the play is over."""

    def __init__(
        self,
        workspace: Workspace,
        dify: Dify,
        channel: Channel,
        play: Play,
        fault: Fault,
        chance: random.Random,
        word: str,
    ) -> None:
        self.workspace, self.dify, self.channel = workspace, dify, channel
        self.play, self.fault = play, fault
        self._chance, self._word = chance, word
        self.commands: list[Asked] = []
        self.clicks: list[Click] = []
        self._seen: set[Message] = set()
        self._forms_seen = 0
        self._group = asyncio.TaskGroup()
        self._doing: set[asyncio.Task[None]] = set()
        self._contested: Message | None = None
        """The form about which two of them decide at once, where that is the fault."""
        self._answered_elsewhere = False
        self._late = chance.random() < 0.5
        """Whether somebody tries to answer a form at its very deadline."""

    @property
    def busy(self) -> bool:
        """Whether somebody is doing something, or about to."""
        return bool(self._doing)

    @property
    def met(self) -> bool:
        """Whether two of them decided at once, where that is the fault."""
        clickers = {click.person for click in self.clicks if click.message is self._contested}
        return self._answered_elsewhere or (self.fault.kind is Kind.TWO_CLICKERS and len(clickers) > 1)

    async def act(self, over: Callable[[], bool], patience: float) -> None:
        """Play until it is over or nobody wants to wait any longer, `patience` in seconds.

        Raises:
            ExceptionGroup: somebody could not act as this module has it.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience), self._group:
                self._do(self._start())
                while self.busy or not over():
                    self._look()
                    await self._change()

    def answers_to(self, did: Asked | Click) -> list[Message]:
        """What the bot told somebody about what they did, not about anything else."""
        told = self.told(did.person, did.at)
        if isinstance(did, Asked):
            return [note for note in told if any(text in note.shown for text in (*NOT_STARTED, NOT_SAVED))]
        form = self.form_of(did.message)
        # What it says about Stop names the app.
        subject, verb = (form.node.title, "") if form else (self.play.app, "stop")
        return [
            note
            for note in told
            if NOT_SAVED in note.shown or (subject in note.shown and verb in note.shown and REMINDED not in note.shown)
        ]

    def told(self, person: str, since: float) -> list[Message]:
        """What the bot told somebody alone since then, or by name in the thread where it could not be told alone."""
        name = f"@{person}"
        user_id = self.workspace.person(person).id
        return [
            message
            for message in self.channel.log.values()
            if message.author.bot_id
            and float(message.ts) >= since - 0.001
            and (
                message.visible_to == user_id
                or (message.thread_ts and name in message.pings and not self.is_form(message))
            )
        ]

    # --- commands ----------------------------------------------------------------------------------------------------

    async def _start(self) -> None:
        for number in range(TRIES):
            word = f"{self._word}x{number}"
            asked = Asked("ann", word, self.workspace.now())
            self.commands.append(asked)
            line = self.play.command.format(word=word)
            person = self.workspace.person(asked.person)
            asked.result = await person.command(self.channel.name, line)
            if self.play.chosen and person.views:
                # It may be open although the command itself was not acked.
                asked.result = await self._send_window(person)
            if asked.result.acked:
                await self.until(lambda asked=asked: self._root(asked) or self.answers_to(asked))
                if self._root(asked) or not self._may_try_again(asked):
                    return
            await self.until(lambda: self.workspace.courier.sockets.connections)
            await asyncio.sleep(0.2)

    async def _send_window(self, person: Person) -> Result:
        """Choose the files of the play in the start window, and press its button until it is taken."""
        for name, files in self.play.chosen.items():
            person.choose_files(person.view, name, files)
        result = await person.submit_view()
        for _ in range(TRIES):
            if not person.views:
                break
            await self.until(lambda: self.workspace.courier.sockets.connections)
            # Time to read what the window says.
            await asyncio.sleep(0.3)
            result = await person.submit_view()
        return result

    def _root(self, asked: Asked) -> Message | None:
        return next((root for root in self.channel.roots if asked.word in root.shown), None)

    def _may_try_again(self, asked: Asked) -> bool:
        return bool(self.answers_to(asked))

    # --- forms and Stop ----------------------------------------------------------------------------------------------

    def _look(self) -> None:
        for message in list(self.channel.log.values()):
            if message in self._seen or not message.author.bot_id or not message.is_public or not message.buttons:
                continue
            self._seen.add(message)
            if message.is_root:
                if self.play.stops:
                    self._do(self._press(message, Decision("Stop", "cleo"), self._chance.random() * 0.6))
                else:
                    # Its buttons may be others later.
                    self._seen.discard(message)
            elif self.is_form(message):
                self._notice(message)

    def _notice(self, message: Message) -> None:
        self._forms_seen += 1
        think = self._chance.choice((0.0, 0.02, 0.1))
        title = next((title for title in self.play.decisions if title in message.shown), None)
        if title is None:
            form = self.form_of(message)
            if self._late and form is not None:
                moment = form.expires_at - self.dify.clock.now() + self._chance.uniform(-0.15, 0.1)
                self._do(self._press(message, Decision("Approve", "ben"), max(moment, 0)))
            return
        self._do(self._press(message, self.play.decisions[title], think))
        if self._forms_seen != self.fault.number:
            return
        self._contested = message
        if self.fault.kind is Kind.TWO_CLICKERS or self.fault.target == "chat.postEphemeral":
            rival = "ben" if self.play.decisions[title].person == "cleo" else "cleo"
            self._do(self._press(message, Decision(self.play.others[title], rival), think))
        if self.fault.kind is Kind.ELSEWHERE:
            self._do(self._answer_elsewhere(message, self.play.others[title], think + self._chance.uniform(0, 0.03)))

    async def _press(self, message: Message, decision: Decision, think: float) -> None:
        """Press a button until something comes of it."""
        await asyncio.sleep(think)
        if decision.shares:
            await self._share(message, decision)
        for _ in range(TRIES):
            if decision.button not in message.buttons:
                return
            click = await self._click(message, decision)
            if click is None:
                return
            if click.acked:
                await self.until(partial(self._answered, click))
            else:
                await self.until(lambda: self.workspace.courier.sockets.connections)
            # Time to read what Slack or the bot says, and to see the message change.
            await asyncio.sleep(0.3)

    async def _share(self, message: Message, decision: Decision) -> None:
        """Reply with files, and wait until the form's card says that they are attached, or the form is decided."""
        person = self.workspace.person(decision.person)
        await person.share(self.channel.name, decision.shares, thread_ts=message.thread_ts)

        def attached() -> bool:
            replies = self.channel.replies(message.thread_ts or "")
            return any(reply.shown.count(ATTACHED) == len(decision.shares) for reply in replies)

        await self.until(lambda: attached() or decision.button not in message.buttons)

    def _answered(self, click: Click) -> bool:
        return click.button not in click.message.buttons or bool(self.answers_to(click))

    async def _click(self, message: Message, decision: Decision) -> Click | None:
        person = self.workspace.person(decision.person)
        values = {**decision.fills, **decision.selects}
        try:
            for name, text in decision.fills.items():
                person.fill(message, name, text)
            for name, option in decision.selects.items():
                person.select(message, name, option)
            click = Click(decision.person, message, decision.button, self.workspace.now(), values)
            self.clicks.append(click)
            click.result = await person.click(message, decision.button)
        except LookupError:
            # It was redrawn under their hands.
            self.clicks[:] = [each for each in self.clicks if each.result is not None]
            return None
        return click

    async def _answer_elsewhere(self, message: Message, button: str, think: float) -> None:
        form = self.form_of(message)
        await asyncio.sleep(think)
        if form is None:
            return
        action = next(action["id"] for action in form.node.actions if action["title"] == button)
        given = {item["output_variable_name"]: _any_value(item) for item in form.inputs}
        with contextlib.suppress(ApiError):
            # Refused where Dify has another answer already: they met all the same.
            self._answered_elsewhere = True
            await self.dify.answer_elsewhere(form, action, given)

    def is_form(self, message: Message) -> bool:
        """Whether it is or was a form: an answer that can be rated has buttons, too."""
        return any(version.buttons for version in message.history) and self.form_of(message) is not None

    def form_of(self, message: Message) -> Form | None:
        """Dify's side of a form's message: its id stands in the buttons."""
        values = [value for version in message.history for value in _button_values(version.content.blocks)]
        for form in self.dify.forms.values():
            if any(form.id in value for value in values):
                return form
        return None

    # --- time --------------------------------------------------------------------------------------------------------

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._group.create_task(work)
        self._doing.add(task)
        task.add_done_callback(self._doing.discard)

    async def until(self, condition: Callable[[], Any]) -> None:
        """Wait until something is so."""
        while not condition():
            await self._change()

    async def _change(self) -> None:
        """Wait until something in the workspace changes; a platform does not announce everything."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.workspace.next_change(), _LOOK_AGAIN)


def _button_values(blocks: list[Any]) -> list[str]:
    return [control.element.get("value", "") for control in slack_forms.buttons(blocks)]


def _any_value(item: dict[str, Any]) -> str:
    return str(item["option_source"]["value"][0]) if item["type"] == "select" else ""
