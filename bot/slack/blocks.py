"""Every effect of the Slack lane but for streamed text, as what has to be put into Slack.

Pure: the gateway only carries it there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from bot.core import effects as do
from bot.core.effects import DrawnEffect
from bot.core.model import Progress, Run
from bot.slack import chat, notices
from bot.slack.form import form_message, form_messages
from bot.slack.message import MESSAGES, Message, TextFile, shortened
from bot.slack.result import result_file, result_messages
from bot.slack.root import root_message


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


Rendered = Post | Redraw | Tell | Reply


def render(effect: DrawnEffect, run: Run | None, now: datetime, progress: Progress | None = None) -> Rendered:
    """Render an effect for the run as it stands, doing what `progress` says; the answers to commands have no run."""
    if isinstance(effect, do.TellNotStartable):
        return Reply(effect.response_url, notices.not_startable(effect.problems, effect.corrected))
    if isinstance(effect, do.TellInputs):
        return Reply(effect.response_url, notices.inputs(effect.app, effect.inputs, effect.example))
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
            post = text_post(result_messages(run), lambda: result_file(run), into)
            return replace(post, messages=chat.with_thumbs(run, post.messages))
        case do.PostResultNotShown():
            return Post((notices.result_not_shown(run),))
        case do.AskAboutMessage(titles, open_forms):
            return Tell(run.starter_id, chat.ask_about_message(run, titles, open_forms))
        case do.AskAboutConversation():
            return Post((chat.ask_about_conversation(run),))
        case do.TellFilesLeftOut(user_id, alone):
            return Tell(user_id, chat.without_files(run, alone=alone))
        case do.PostSuggestions():
            return Post((chat.suggestions(run),))
        case do.CloseSuggestions():
            return Redraw(run.suggestions_ts, chat.closed_suggestions(run))
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
        case do.TellRefused(user_id, form_id, message):
            return Tell(user_id, notices.refused(run.form(form_id), message))
        case do.TellInvalid(user_id, form_id, problems):
            return Tell(user_id, notices.invalid(run.form(form_id), problems))
        case do.TellDraftWaits(user_id, form_id):
            return Tell(user_id, notices.draft_waits(run.form(form_id)))
        case do.TellCannotStop(user_id):
            return Tell(user_id, notices.cannot_stop(run))
