"""Every effect of the Slack lane but for streamed text, as what has to be put into Slack.

Pure: the gateway only carries it there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from bot.core import effects as do
from bot.core.attaching import attachment_of
from bot.core.effects import DrawnEffect
from bot.core.model import Addressed, Progress, Run
from bot.slack.forms.card import card_message, file_stands, not_attached
from bot.slack.forms.form import form_message, form_messages
from bot.slack.messages import chat, notices
from bot.slack.messages.message import MESSAGES, Message, TextFile, shortened
from bot.slack.messages.result import result_file, result_messages
from bot.slack.messages.root import root_message
from bot.slack.starts.offer import offer


@dataclass(frozen=True, slots=True)
class Post:
    """Post messages in the run's thread, or in its channel where there is no thread yet; the last one is the one meant.

    With `into`, they take the place of the text whose first message has that `ts`. The `file` follows them; where Slack
    takes none, `instead` stands there instead of both.
    """

    messages: tuple[Message, ...]
    into: str | None = None
    file: TextFile | None = None
    instead: tuple[Message, ...] = ()


def text_post(messages: tuple[Message, ...], file: Callable[[], TextFile], into: str | None) -> Post:
    """Return the post of a text of any length: in messages, and beyond some of them as a file."""
    if len(messages) <= MESSAGES:
        return Post(messages, into)
    return Post(shortened(messages), into, file(), instead=messages)


@dataclass(frozen=True, slots=True)
class Redraw:
    """Redraw the message with this `ts`; one that is not posted yet (None) needs none."""

    ts: str | None
    message: Message
    anew: bool = False
    """Post it anew where somebody deleted it: it says what nothing else says."""


@dataclass(frozen=True, slots=True)
class Tell:
    """Tell one person privately, in the run's thread."""

    user_id: str
    message: Message


@dataclass(frozen=True, slots=True)
class Reply:
    """Answer a command privately, where the channel may not be writable; `user_id` gets it directly if that fails."""

    response_url: str | None
    message: Message
    user_id: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """Answer a message that belongs to no run, beside it: in a channel to its writer alone, else for good."""

    to: Addressed
    message: Message


Rendered = Post | Redraw | Tell | Reply | Answer


def render(effect: DrawnEffect, run: Run | None, now: datetime, progress: Progress | None = None) -> Rendered:
    """Render an effect for the run as it stands, doing what `progress` says; what is answered at once has no run."""
    if isinstance(effect, do.TellNotStartable):
        return Reply(effect.response_url, notices.not_startable(effect.problems, effect.corrected, effect.left_over))
    if isinstance(effect, do.TellInputs):
        return Reply(effect.response_url, notices.inputs(effect.app, effect.inputs, effect.example, effect.problems))
    if isinstance(effect, do.OfferStart):
        return Answer(effect.message, offer(effect.message, effect.command))
    if isinstance(effect, do.TellUsage):
        return Answer(effect.message, notices.usage_message(effect.command, effect.app_names))
    assert run is not None, "this effect belongs to a run"
    match effect:
        case do.PostRoot(waits):
            return Post((root_message(run, Progress(waiting_for_answer=waits)),))
        case do.RefreshRoot():
            return Redraw(run.root_ts, root_message(run, progress))
        case do.PostForm(form_id):
            return Post(form_messages(run, run.form(form_id)))
        case do.PostFormNotShown(form_id):
            return Post((notices.form_not_shown(run, run.form(form_id)),))
        case do.RefreshForm(form_id):
            form = run.form(form_id)
            draw = notices.form_not_shown if form.not_shown else form_message
            return Redraw(form.message_ts, draw(run, form), anew=True)
        case do.PostResult():
            into = run.answer_ts if run.replaces_answer else None
            post = text_post(chat.with_question(run, result_messages(run)), lambda: result_file(run), into)
            return replace(post, messages=chat.with_thumbs(run, post.messages))
        case do.PostResultNotShown():
            return Post((notices.result_not_shown(run),))
        case do.AskAboutMessage(titles, open_forms):
            return Post((chat.ask_about_message(run, titles, open_forms),))
        case do.AskAboutConversation():
            return Post((chat.ask_about_conversation(run),))
        case do.RefreshQuestion() if run.question_ts is None:
            # Where somebody was asked privately, as an earlier version did, nothing can be redrawn.
            return Post((chat.settled(run),))
        case do.RefreshQuestion():
            return Redraw(run.question_ts, chat.settled(run))
        case do.TellSettled(user_id):
            return Tell(user_id, chat.settled_before(run))
        case do.TellFilesLeftOut(user_id, alone):
            return Tell(user_id, chat.without_files(run, alone=alone))
        case do.TellFilesUnfit(user_id, problems, alone):
            return Tell(user_id, chat.unfit_files(run, problems, alone=alone))
        case do.PostSuggestions():
            return Post((chat.suggestions(run),))
        case do.CloseSuggestions():
            return Redraw(run.suggestions_ts, chat.closed_suggestions(run))
        case do.TellAskedBefore(user_id, asker_id, query):
            return Tell(user_id, chat.asked_before(run, user_id, asker_id, query))
        case do.TellRated(user_id, rating, taken):
            return Tell(user_id, chat.rated(run, rating, taken=taken))
        case do.PostStuck():
            return Post((notices.stuck(run, now),))
        case do.PostKeyRefused():
            return Post((notices.key_refused(run),))
        case do.PostReminder(form_id):
            return Post((notices.reminder(run, run.form(form_id), now),))
        case do.TellNotStarted(code):
            return Reply(run.response_url, notices.not_started(run, code), user_id=run.starter_id)
        case do.TellDecided(user_id, form_id, values):
            return Tell(user_id, notices.decided(run, run.form(form_id), user_id, values))
        case do.GiveBackDraft(user_id, form_id, values):
            return Tell(user_id, notices.draft_given_back(run, run.form(form_id), values))
        case do.TellRefused(user_id, form_id, message):
            return Tell(user_id, notices.refused(run, run.form(form_id), message))
        case do.TellInvalid(user_id, form_id, problems):
            return Tell(user_id, notices.invalid(run.form(form_id), problems))
        case do.TellDraftWaits(user_id, form_id):
            return Tell(user_id, notices.draft_waits(run.form(form_id)))
        case do.PostCard(form_id):
            return Post((card_message(run, run.form(form_id)),))
        case do.RefreshCard(form_id):
            form = run.form(form_id)
            return Redraw(form.card_ts, card_message(run, form), anew=True)
        case do.TellNotAttached(user_id, form_id, problems):
            return Tell(user_id, not_attached(run.form(form_id), problems))
        case do.TellNothingAsks(user_id, names):
            return Tell(user_id, notices.nothing_asks(run, names))
        case do.TellFilesTooLate(user_id, form_id, names):
            return Tell(user_id, notices.files_too_late(run, run.form(form_id), user_id, names))
        case do.TellFileStands(user_id, attachment_id):
            return Tell(user_id, file_stands(run, attachment_of(run, attachment_id)))
        case do.TellCannotStop(user_id):
            return Tell(user_id, notices.cannot_stop(run))
