"""A thread is a conversation with a Chatflow: each reply there is its next message, saved as a run of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

import structlog

from bot.core import effects as do
from bot.core import events as saw
from bot.core.effects import Effect, Transition
from bot.core.files import file_fields, links_in, why_not_all
from bot.core.lifecycle import advance
from bot.core.model import Accepts, ChatMessage, FileLimits, Form, Paragraph, Rating, Run, RunStatus
from bot.core.ports import Clock, Dify, Store
from bot.core.start_files import with_message_files
from bot.errors import DifyError, StoreError, UnknownHere
from bot.services.message_files import GoingAlong, MessageFiles
from bot.services.recorder import Recorder

log = structlog.get_logger(__name__)

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
        files: MessageFiles,
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
        self._files = files
        self._clock = clock
        self._new_id = new_id
        self._only_mentions = only_mentions
        self._wake = wake

    async def take_in(self, message: ChatMessage, *, delivery: str) -> bool:
        """Save a message in a conversation as its next one, once per delivery; in any other thread do nothing.

        Returns whether that is all there is to it: in a conversation nothing is left to be answered but a message
        that says nothing at all.

        Raises:
            UnknownHere: whether the thread is a conversation will be known soon.
            StoreError: nothing was saved.
        """
        conversation = await self._conversation(message.channel_id, message.thread_ts)
        if not conversation:
            return False
        if self._only_mentions(conversation[0].app) and not message.names_bot:
            return True
        along = await self._files.going_along(conversation[0].app, message)
        if along.text:
            await self._save(conversation, message, along, delivery)
        elif along.told:
            await self._recorder.change(
                conversation[0].run_id, lambda run, now: Transition(run, along.told), delivery=delivery
            )
        return bool(along.text or along.told)

    async def ask_suggested(self, run_id: str, index: int, user_id: str, at: datetime, *, delivery: str) -> None:
        """Save what Dify suggested as the next message, in the name of whoever pressed its button; once per answer.

        Whoever comes second is told what was asked, once per delivery. `at` is when they pressed it, by Slack's clock.

        Raises:
            UnknownHere: the bot does not know the answer, or no such suggestion.
            StoreError: nothing was saved.
        """
        run = await self._store.run(run_id)
        if index >= len(run.suggestions) or run.thread_ts is None:
            raise UnknownHere(f"run {run_id} has no suggestion {index}")
        query = run.suggestions[index]
        message = ChatMessage(query, run.team_id, run.channel_id, run.thread_ts, user_id, at)
        conversation = await self._store.conversation(run.channel_id, run.thread_ts)
        if await self._save(conversation, message, GoingAlong(query), f"suggestions:{run_id}"):
            return
        # Read anew: what was asked before may have been saved just now.
        conversation = await self._store.conversation(run.channel_id, run.thread_ts)
        asked = next(filter(partial(_is_said_after, run), conversation), None)
        if asked is None:
            told = do.TellAskedBefore(user_id)
        elif (asked.starter_id, asked.said_at) == (user_id, at):
            # The same click once more.
            return
        else:
            told = do.TellAskedBefore(user_id, asked.starter_id, asked.query)
        await self._recorder.change(run_id, lambda run, now: Transition(run, (told,)), delivery=delivery)

    async def release(self, run_id: str, user_id: str, at: datetime, *, delivery: str) -> None:
        """Have a message that was held sent, or leave word that somebody settled it before; once per delivery.

        `at` is when this person said so, by Slack's clock.

        Raises:
            UnknownHere: the bot does not know the message any more.
            StoreError: nothing was saved.
        """
        run = await self._store.run(run_id)
        assert run.thread_ts is not None, "a message that is held stands in a thread"
        others = await self._store.conversation(run.channel_id, run.thread_ts)
        waits = any(other.is_answering for other in others)
        await self._settle(run_id, saw.MessageReleased(user_id, at, waits), delivery)
        await self._note(saw.AskedMeanwhile(), [other for other in others if other.run_id != run_id])

    async def forget(self, run_id: str, user_id: str, *, delivery: str) -> None:
        """Drop a message that was held, or leave word that somebody settled it before; once per delivery.

        Raises:
            UnknownHere: the bot does not know the message any more.
            StoreError: nothing was saved.
        """
        await self._settle(run_id, saw.MessageForgotten(user_id), delivery)

    async def use_as_answer(self, run_id: str, form_title: str, user_id: str, *, delivery: str) -> None:
        """Take a message that was held for the answer that stands in a form's window.

        Or leave word that somebody settled it before; once per delivery.

        Raises:
            UnknownHere: the bot does not know the message any more.
            StoreError: nothing was saved.
        """
        await self._settle(run_id, saw.MessageUsed(user_id, form_title), delivery)

    async def held(self, run_id: str) -> Run | None:
        """Return a message that is held; None where it was settled before.

        Raises:
            UnknownHere: the bot does not know the message any more.
            StoreError: the message could not be read.
        """
        run = await self._store.run(run_id)
        return run if run.status is RunStatus.HELD else None

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

    async def _save(self, conversation: Sequence[Run], message: ChatMessage, along: GoingAlong, delivery: str) -> bool:
        """Save a message as the next one; False where this delivery was seen before."""
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
            query=along.text,
            said_at=message.said_at,
            created_at=now,
            thread_ts=message.thread_ts,
        )
        run = with_message_files(run, first, along.files, along.accepts)
        asked = [(each.run_id, form) for each in conversation for form in each.open_forms if each.asks_for(form)]
        effects: list[Effect] = []
        if asked:
            run = replace(run, status=RunStatus.HELD)
            titles = tuple(form.node_title for _, form in asked)
            forms = tuple((run_id, form.form_id, form.node_title) for run_id, form in asked if _takes(form, run.query))
            effects.append(do.AskAboutMessage(titles, forms))
        else:
            waits = any(each.is_answering for each in conversation)
            run = replace(run, crowded=waits)
            effects.append(do.PostRoot(waits))
        effects += along.told
        is_new = await self._store.add_run(run, effects, now, delivery=delivery)
        if is_new:
            self._wake()
            await self._note(saw.AskedNext(), [conversation[-1]])
            await self._note(saw.AskedMeanwhile(), conversation)
        return is_new

    async def _note(self, event: saw.AskedNext | saw.AskedMeanwhile, runs: Iterable[Run]) -> None:
        """Let earlier messages know that something was asked: a courtesy, for which no message is refused."""
        for run in runs:
            if advance(run, event, self._clock.now()) != Transition(run):
                try:
                    await self._recorder.change(run.run_id, lambda run, now: advance(run, event, now), before_ack=True)
                except StoreError as exc:
                    log.warning("it is not noted that something was asked", run=run.run_id, error=str(exc))

    async def _settle(
        self, run_id: str, event: saw.MessageReleased | saw.MessageForgotten | saw.MessageUsed, delivery: str
    ) -> None:
        def decide(run: Run, now: datetime) -> Transition:
            if run.status is not RunStatus.HELD:
                return Transition(run, (do.TellSettled(event.user_id),))
            return advance(run, event, now)

        await self._recorder.change(run_id, decide, delivery=delivery)


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
    return any(_is_said_after(run, each) for each in conversation)


def as_entered(form: Form, text: str) -> dict[str, str | None]:
    """Return what a message is as the answer to a form: what stands in its first text field, or in that for links.

    In the latter where it is nothing but links that such a field takes.
    """
    if links := links_in(text):
        for place in file_fields(form):
            if why_not_all(links, Accepts.of_field(place), FileLimits()) is None:
                return {place.name: "\n".join(links)}
    fields = [field.name for field in form.inputs if isinstance(field, Paragraph)]
    return {name: text for name in fields[:1]}


def _is_said_after(run: Run, other: Run) -> bool:
    return run.said_at is not None and other.said_at is not None and other.said_at > run.said_at


def _takes(form: Form, text: str) -> bool:
    return form.answerable and bool(as_entered(form, text))
