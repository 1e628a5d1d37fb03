"""Files in threads: each goes to the form that asks there, into the field that it fits."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from datetime import datetime

from bot.core import effects as do
from bot.core import events as saw
from bot.core.attaching import attachment_of
from bot.core.effects import Effect, Transition
from bot.core.files import GivenFile
from bot.core.form_files import asking_for_files, given_in_thread, given_with_answer, placing
from bot.core.lifecycle import advance
from bot.core.model import AppMode, ChatMessage, FileProblem, Run, SharedFile
from bot.core.ports import Slack, Store
from bot.errors import UnknownHere
from bot.services.descriptions import Descriptions
from bot.services.message_files import MessageFiles
from bot.services.recorder import Recorder
from bot.services.shared_files import looked_at

FILES_OF = "files:{}"
"""The delivery under which what becomes of the files of a message is saved, apart from what becomes of its words."""


class FormFileDesk:
    """Takes in the files that people share in threads. What it returned from is saved; nothing has been pulled yet."""

    def __init__(
        self,
        store: Store,
        slack: Slack,
        recorder: Recorder,
        descriptions: Descriptions,
        messages: MessageFiles,
        new_id: Callable[[], str],
        only_mentions: Callable[[str], bool],
    ) -> None:
        """`only_mentions` tells of a Chatflow whether a message has to mention the bot to be said to it.

        `new_id` gives ids that nobody has.
        """
        self._store = store
        self._slack = slack
        self._recorder = recorder
        self._descriptions = descriptions
        self._messages = messages
        self._new_id = new_id
        self._only_mentions = only_mentions

    async def take_in(self, message: ChatMessage, *, delivery: str) -> ChatMessage | None:
        """Attach the files of a reply to the form that asks in its thread, once per delivery, and tell of the others.

        Returns what is left for a conversation, if anything: its text, with those files that fit no form and that the
        app takes along with a message. A message that is nothing but links is taken for files in the thread of a
        Workflow, where nobody reads it otherwise.

        Raises:
            StoreError: nothing was saved.
        """
        if not message.files and not message.links:
            return message
        run = await self._store.asking(message.channel_id, message.thread_ts)
        if run is None or not asking_for_files(run):
            return await self._unasked(message, FILES_OF.format(delivery))
        is_conversation = run.mode is AppMode.CHATFLOW
        links = () if is_conversation else message.links
        if not message.files and not links:
            return message
        files, unknown = await looked_at(self._slack, message.files)
        # Whoever shares files alone where a form asks for some means that form.
        is_said = is_conversation and bool(message.text) and (message.names_bot or not self._only_mentions(run.app))
        go_along = await self._messages.taken(run.app, files) if is_said else ()
        await self._attach(run, (*files, *links), unknown, go_along, message.user_id, FILES_OF.format(delivery))
        if not is_said:
            return None
        # As it was saved: this may be a repetition of a delivery of which nothing but that was done.
        known = {each.slack_file_id for each in (await self._store.run(run.run_id)).attachments}
        return replace(message, files=tuple(file for file in go_along if file.file_id not in known))

    async def _unasked(self, message: ChatMessage, delivery: str) -> ChatMessage | None:
        """Tell who shared files in the thread of a Workflow that nothing asks for them; elsewhere leave them be.

        So are those of a message that mentions the bot: the answer to that says what can be done with them.
        """
        if not message.files or message.names_bot:
            return message
        run = await self._store.workflow_in(message.channel_id, message.thread_ts)
        if run is None:
            return message
        told = do.TellNothingAsks(message.user_id, tuple(file.name or "file" for file in message.files))
        await self._recorder.change(run.run_id, lambda run, now: Transition(run, (told,)), delivery=delivery)
        return None

    async def _attach(
        self,
        run: Run,
        given: Sequence[GivenFile],
        unknown: Sequence[FileProblem],
        go_along: Collection[SharedFile],
        user_id: str,
        delivery: str,
    ) -> None:
        limits = await self._descriptions.file_limits(run.app)
        asked = asking_for_files(run)[0].form_id

        def decide(run: Run, now: datetime) -> Transition:
            effects: tuple[Effect, ...] = ()
            rest = tuple(unknown)
            for form, each in given_in_thread(
                run, given, user_id, limits, self._new_id, asked=asked, go_along=go_along
            ):
                problems = (*rest, *each.problems)
                transition = advance(run, saw.FilesGiven(form.form_id, user_id, each.attachments, problems), now)
                run, effects, rest = transition.run, (*effects, *transition.effects), ()
            return Transition(run, effects)

        await self._recorder.change(run.run_id, decide, delivery=delivery)

    async def take_along(
        self, run_id: str, form_id: str, files: Sequence[GivenFile], user_id: str, *, delivery: str
    ) -> None:
        """Attach the files of a message that is taken for the answer to a form, once per delivery, or tell which stay.

        Raises:
            UnknownHere: the bot does not know this form.
            StoreError: nothing was saved.
        """
        if not files:
            return
        limits = await self._descriptions.file_limits((await self._store.run(run_id)).app)

        def decide(run: Run, now: datetime) -> Transition:
            given = given_with_answer(run, run.form(form_id), files, user_id, limits, self._new_id)
            return advance(run, saw.FilesGiven(form_id, user_id, given.attachments, given.problems), now)

        await self._recorder.change(run_id, decide, delivery=FILES_OF.format(delivery))

    async def place(self, run_id: str, attachment_id: str, choice: int, user_id: str, *, delivery: str) -> None:
        """Put a file into the field that somebody chose for it, by the index of the choice; once per delivery.

        Raises:
            UnknownHere: the bot does not know the file, or the form has no such field.
            StoreError: nothing was saved.
        """
        limits = await self._descriptions.file_limits((await self._store.run(run_id)).app)

        def decide(run: Run, now: datetime) -> Transition:
            attachment = attachment_of(run, attachment_id)
            if not 0 <= choice < len(attachment.places):
                raise UnknownHere(f"attachment {attachment_id} has no choice {choice}")
            place = attachment.places[choice]
            outcome = placing(run, attachment, place, limits)
            return advance(run, saw.FilePlaced(attachment_id, user_id, place, outcome.kind, outcome.problems), now)

        await self._recorder.change(run_id, decide, delivery=delivery)

    async def remove(self, run_id: str, attachment_id: str, user_id: str, *, delivery: str) -> None:
        """Take a file back, or leave word why that is not possible any more; once per delivery.

        Raises:
            UnknownHere: the bot does not know the file.
            StoreError: nothing was saved.
        """

        event = saw.FileRemoved(attachment_id, user_id)
        await self._recorder.change(run_id, lambda run, now: advance(run, event, now), delivery=delivery)
