"""A thread is a conversation with a Chatflow: each reply there is its next message, saved as a run of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import structlog

from bot.core import effects as do
from bot.core import events as saw
from bot.core.effects import Effect
from bot.core.lifecycle import Transition, advance
from bot.core.model import ChatMessage, Form, FormStatus, Paragraph, Rating, Run, RunStatus
from bot.core.ports import Clock, Dify, Store
from bot.errors import DifyError, StoreError, UnknownHere
from bot.services.recorder import Recorder

log = structlog.get_logger(__name__)

_ASKS = (FormStatus.REQUIRED, FormStatus.OPEN)
_EXECUTES = (RunStatus.REQUESTED, RunStatus.STARTING, RunStatus.RUNNING, RunStatus.RESUMING)

_LOOKS, _NEXT_LOOK = 20, 0.1
"""How often a conversation that just begins is looked for, and the seconds in between; an ack has 3 in all."""

_FRESH = timedelta(minutes=1)
"""Root messages that are not posted by then are not waited for."""


class ConversationDesk:
    """Takes in what people say in threads, and what they press there. What it returned from is saved; nothing is sent.

    Nothing is kept in mind: which thread is a conversation stands in the store.
    """

    def __init__(
        self,
        store: Store,
        recorder: Recorder,
        clock: Clock,
        new_id: Callable[[], str],
        only_mentions: Callable[[str], bool],
        wake: Callable[[], None],
    ) -> None:
        """`only_mentions` tells of an app whether a reply has to mention the bot; `wake` is called for a new message.

        `new_id` gives ids that nobody has.
        """
        self._store = store
        self._recorder = recorder
        self._clock = clock
        self._new_id = new_id
        self._only_mentions = only_mentions
        self._wake = wake

    async def take_in(self, message: ChatMessage, *, delivery: str) -> None:
        """Save a message in a conversation as its next one, once per delivery; in any other thread do nothing.

        Raises:
            UnknownHere: whether the thread is a conversation will be known soon.
            StoreError: nothing was saved.
        """
        conversation = await self._conversation(message.channel_id, message.thread_ts)
        if not conversation or (self._only_mentions(conversation[0].app) and not message.names_bot):
            return
        if message.text:
            await self._save(conversation, message, delivery)
        elif message.has_files:
            alone = do.TellFilesLeftOut(message.user_id, alone=True)
            await self._recorder.change(
                conversation[0].run_id, lambda run, now: Transition(run, (alone,)), delivery=delivery
            )

    async def ask_suggested(self, run_id: str, index: int, user_id: str) -> None:
        """Save what Dify suggested as the next message, in the name of whoever pressed its button; once per answer.

        Raises:
            UnknownHere: the bot does not know the answer, or no such suggestion.
            StoreError: nothing was saved.
        """
        run = await self._store.run(run_id)
        if index >= len(run.suggestions) or run.thread_ts is None:
            raise UnknownHere(f"run {run_id} has no suggestion {index}")
        message = ChatMessage(run.suggestions[index], run.team_id, run.channel_id, run.thread_ts, user_id)
        conversation = await self._store.conversation(run.channel_id, run.thread_ts)
        await self._save(conversation, message, f"suggestions:{run_id}")

    async def release(self, run_id: str, *, delivery: str) -> bool:
        """Have a message that was held sent; False where it was settled before.

        Raises:
            UnknownHere: the bot does not know the message any more.
            StoreError: nothing was saved.
        """
        run = await self._store.run(run_id)
        assert run.thread_ts is not None, "a message that is held stands in a thread"
        others = await self._store.conversation(run.channel_id, run.thread_ts)
        waits = any(_executes(other) for other in others)
        return await self._settle(run_id, saw.MessageReleased(waits), delivery)

    async def forget(self, run_id: str, user_id: str, *, delivery: str) -> bool:
        """Drop a message that was held; False where it was settled before.

        Raises:
            UnknownHere: the bot does not know the message any more.
            StoreError: nothing was saved.
        """
        return await self._settle(run_id, saw.MessageForgotten(user_id), delivery)

    async def held(self, run_id: str) -> str | None:
        """Return the text of a message that is held; None where it was settled before.

        Raises:
            UnknownHere: the bot does not know the message any more.
            StoreError: the message could not be read.
        """
        run = await self._store.run(run_id)
        return run.query if run.status is RunStatus.HELD else None

    async def rate(self, run_id: str, rating: Rating, user_id: str, *, delivery: str) -> None:
        """Save what somebody thinks of an answer, once per delivery.

        Raises:
            UnknownHere: the bot does not know the answer.
            StoreError: nothing was saved.
        """
        event = saw.AnswerRated(user_id, rating)
        await self._recorder.change(run_id, lambda run, now: advance(run, event, now), delivery=delivery)

    async def _conversation(self, channel_id: str, thread_ts: str) -> tuple[Run, ...]:
        """Load a conversation. One whose root message Slack shows, and has yet to name to us, is waited for."""
        for _ in range(_LOOKS):
            # In this order: the root may be named in between.
            is_posting = await self._store.posts_root(channel_id, self._clock.now() - _FRESH)
            conversation = await self._store.conversation(channel_id, thread_ts)
            if conversation or not is_posting:
                return conversation
            await asyncio.sleep(_NEXT_LOOK)
        raise UnknownHere("whether this thread is a conversation is not known yet: Slack sends the message again")

    async def _save(self, conversation: Sequence[Run], message: ChatMessage, delivery: str) -> None:
        now = self._clock.now()
        first = conversation[0]
        run = Run(
            run_id=self._new_id(),
            app=first.app,
            mode=first.mode,
            team_id=message.team_id,
            channel_id=message.channel_id,
            starter_id=message.user_id,
            # A conversation is one user's; Dify answers another one's message as the first of a new one (recording 15).
            dify_user=first.dify_user,
            run_inputs=first.run_inputs,
            query=message.text,
            created_at=message.said_at or now,
            thread_ts=message.thread_ts,
        )
        asked = [
            (each.run_id, form)
            for each in conversation
            for form in each.open_forms
            if form.status in _ASKS and not each.status.ended
        ]
        effects: list[Effect] = []
        if asked:
            run = replace(run, status=RunStatus.HELD)
            titles = tuple(form.node_title for _, form in asked)
            forms = tuple((run_id, form.form_id, form.node_title) for run_id, form in asked if _takes_text(form))
            effects.append(do.AskAboutMessage(titles, forms))
        else:
            effects.append(do.PostRoot(waits=any(map(_executes, conversation))))
        if message.has_files:
            effects.append(do.TellFilesLeftOut(message.user_id))
        if await self._store.add_run(run, effects, now, delivery=delivery):
            self._wake()
            await self._close_suggestions(conversation[-1])

    async def _close_suggestions(self, last: Run) -> None:
        """Take away the buttons below the last answer: a courtesy, for which no message is refused."""
        if last.suggestions:
            try:
                await self._recorder.change(last.run_id, lambda run, now: advance(run, saw.AskedNext(), now))
            except StoreError as exc:
                log.warning("suggestions stay although somebody asked something", run=last.run_id, error=str(exc))

    async def _settle(self, run_id: str, event: saw.MessageReleased | saw.MessageForgotten, delivery: str) -> bool:
        was_held = False

        def decide(run: Run, now: datetime) -> Transition:
            nonlocal was_held
            was_held = run.status is RunStatus.HELD
            return advance(run, event, now)

        transition = await self._recorder.change(run_id, decide, delivery=delivery)
        return transition is not None and was_held


async def in_conversation(store: Store, dify: Dify, run: Run) -> Run | None:
    """Return a message of a conversation as it is to be sent; None where Dify does not know the conversation any more.

    Raises:
        StoreError: the database refused or could not be reached.
    """
    assert run.thread_ts is not None, "a reply stands in a thread"
    if run.conversation_id == "":
        return run
    conversation = await store.conversation(run.channel_id, run.thread_ts)
    named = [each.conversation_id for each in conversation if each.conversation_id and each.run_id != run.run_id]
    if not named:
        # Whatever was asked before, Dify did not take it.
        return run
    placed = replace(run, conversation_id=named[-1])
    try:
        return placed if await dify.knows_conversation(placed) else None
    except DifyError as exc:
        # What Dify says to the message itself will tell.
        log.info("whether a conversation is still there is not known", run=run.run_id, error=str(exc))
        return placed


async def was_asked_next(store: Store, run: Run) -> bool:
    """Tell whether something was asked after the message that a run answers."""
    assert run.thread_ts is not None, "a run that ended stands in a thread"
    conversation = await store.conversation(run.channel_id, run.thread_ts)
    return any(each.created_at > run.created_at for each in conversation)


def as_entered(form: Form, text: str) -> dict[str, str | None]:
    """Return what a message is as the answer to a form: what stands in its first text field."""
    fields = [field.name for field in form.inputs if isinstance(field, Paragraph)]
    return {name: text for name in fields[:1]}


def _takes_text(form: Form) -> bool:
    return form.answerable and bool(as_entered(form, ""))


def _executes(run: Run) -> bool:
    """Tell whether the answer to a later message has to wait for this one's, as the store sees to it."""
    answered = run.status is RunStatus.PAUSED and any(form.status not in _ASKS for form in run.open_forms)
    return (run.status in _EXECUTES and not run.told_stuck) or answered
