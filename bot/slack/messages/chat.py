"""What is said in a conversation with a Chatflow besides its answers: questions, suggestions and thumbs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from slack_sdk.models.blocks import (
    ActionsBlock,
    ButtonElement,
    ContextActionsBlock,
    FeedbackButtonObject,
    FeedbackButtonsElement,
)

from bot.core.model import FileProblem, Form, HeldOutcome, Rating, Run
from bot.slack import ids
from bot.slack.forms.layout import labels
from bot.slack.messages.message import Message, context, label, section
from bot.slack.text import mrkdwn

_MAX_SUGGESTIONS, _MAX_SUGGESTION = 5, 500
_MAX_FORMS = 10
_MAX_QUOTED = 200
_MAX_NAME = 100
_MAX_FILES = 10
_LABEL = 75  # slack-platform §2.2

ASK_ABOUT_MESSAGE = (
    "❔ {who}, {app} waits for {forms}, so I have not sent your message “{text}” yet. Is it the answer, or a new "
    "message? Anybody in this thread may say."
)
ONE_FORM = "an answer to {title}"
MANY_FORMS = "answers to {titles}"
SEND_NEW = "Send as a new message"
USE_AS_ANSWER = "Use it as the answer: {title}"
FORGET = "Forget it"
ASK_ABOUT_CONVERSATION = (
    "❔ {who}, Dify does not know this conversation any more: it was deleted there, perhaps by a clean-up. The message "
    "“{text}” is kept and was not sent. A new conversation begins without any memory of what was said above."
)
BEGIN_NEW = "Begin a new conversation"

SENT_NEW = "▶️ {who} had this sent as a new message: “{text}”"
BEGUN_NEW = "▶️ {who} had a new conversation begun with this: “{text}”"
USED = "📝 {who} took this for the answer to {title}, into its window, so it is not sent as a new message: “{text}”"
DROPPED = "⏹️ {who} had this dropped, so it is not sent: “{text}”"
LAPSED = "⌛ Nobody said what to do with this, so it is not sent: “{text}” If it still matters, write it again."
ALREADY_SETTLED = "Your click came second, and changed nothing."
SETTLED_LONG_AGO = "It is not known any more what was done with this message."
DOES_NOT_FIT = (
    "This does not fit into the window of {title}, with what stands there already, so nothing was changed: the message "
    "is kept, and not sent. Send it as a new message, or have it dropped and write a shorter answer. {fields}"
)
FILES_LEFT_OUT = (
    "{app} takes no files with a message: they do not go along with yours. If it needs them, say in words what they "
    "hold."
)
FILES_ALONE = (
    "{app} takes no files with a message, and there was no text with yours, so nothing was sent. Say in words what it "
    "is about."
)
UNFIT_FILES = "These files do not go along with your message:"
UNFIT_ALONE = "Nothing was sent, since there was nothing but files that do not fit:"
UNFIT_FILE = "📎 {name}: {app} {reason}"
MORE_UNFIT = "… and {count} more"

ANSWERS = "↩️ {who}: “{text}”"
SUGGESTIONS = "You could ask next:"
ASKED_BEFORE = (
    "Your choice was not sent: {who} asked “{text}” just before, and one of these is sent at most. To ask more, write "
    "a message in this thread."
)
SOMETHING_ASKED_BEFORE = (
    "Your choice was not sent: {app} was asked something before, and one of these is sent at most. To ask more, write "
    "a message in this thread."
)
YOU = "you"
RATED = {
    Rating.LIKE: "👍 Dify has your rating of this answer of {app}. You can change it by pressing the other thumb.",
    Rating.DISLIKE: "👎 Dify has your rating of this answer of {app}. You can change it by pressing the other thumb.",
}
NOT_RATED = "Dify did not take your rating of this answer of {app}. You can press a thumb again in a while."
GOOD, GOOD_HINT = "👍", "This answer is good"
BAD, BAD_HINT = "👎", "This answer is bad"


def ask_about_message(run: Run, titles: Sequence[str], forms: Sequence[tuple[str, str, str]]) -> Message:
    """Ask the thread, and first whoever wrote it, what a message is that was written while forms were open.

    `titles` are those of all of them.

    It may be the answer to one of `forms`: of each its run, its id and its title.
    """
    names = [mrkdwn.bold(title) for title in titles[:_MAX_FORMS]]
    asked = ONE_FORM.format(title=names[0]) if len(names) == 1 else MANY_FORMS.format(titles=", ".join(names))
    text = ASK_ABOUT_MESSAGE.format(
        who=mrkdwn.mention(run.starter_id), app=mrkdwn.bold(run.app), forms=asked, text=_quoted(run)
    )
    answers = [
        ButtonElement(
            text=label(USE_AS_ANSWER.format(title=title), _LABEL),
            action_id=ids.use_as_answer_id(index),
            value=ids.encode_action(ids.ChosenAction(run.run_id, form_id, form_run_id)),
        )
        for index, (form_run_id, form_id, title) in enumerate(forms[:_MAX_FORMS])
    ]
    return Message(text, (section(text), ActionsBlock(elements=[_send(run, SEND_NEW), *answers, _forget(run)])))


def ask_about_conversation(run: Run) -> Message:
    """Ask the thread whether a message is to begin a new conversation."""
    text = ASK_ABOUT_CONVERSATION.format(who=mrkdwn.mention(run.starter_id), text=_quoted(run))
    return Message(text, (section(text), ActionsBlock(elements=[_send(run, BEGIN_NEW), _forget(run)])))


def settled(run: Run) -> Message:
    """Say what became of a message that was held, in the place of the question."""
    settlement = run.settlement
    if settlement is None:
        return _message(SETTLED_LONG_AGO)
    who = mrkdwn.mention(settlement.user_id) if settlement.user_id is not None else ""
    match settlement.outcome:
        case HeldOutcome.SENT:
            text = BEGUN_NEW if run.conversation_id == "" else SENT_NEW
        case HeldOutcome.ANSWER:
            text = USED
        case HeldOutcome.DROPPED:
            text = DROPPED
        case HeldOutcome.LAPSED:
            text = LAPSED
    return _message(text.format(who=who, title=mrkdwn.bold(settlement.form_title), text=_quoted(run)))


def settled_before(run: Run) -> Message:
    """Tell somebody whose click came after another one that settled the same."""
    return _message(f"{settled(run).text}\n{ALREADY_SETTLED}")


def does_not_fit(form: Form, problems: Mapping[str, str]) -> Message:
    """Tell why a message is not taken for the answer to a form; `problems` are of the window's fields."""
    names = labels(form)
    fields = [f"“{mrkdwn.one_line(names[name], _MAX_NAME)}” {problem}" for name, problem in problems.items()]
    return _message(DOES_NOT_FIT.format(title=mrkdwn.bold(form.node_title), fields=" ".join(fields)))


def without_files(run: Run, *, alone: bool) -> Message:
    """Tell that files are not passed on; `alone` where there was nothing else to send."""
    return _message((FILES_ALONE if alone else FILES_LEFT_OUT).format(app=mrkdwn.bold(run.app)))


def unfit_files(run: Run, problems: Sequence[FileProblem], *, alone: bool) -> Message:
    """Tell which files are not passed on, and why; `alone` where there was nothing else to send."""
    app = mrkdwn.bold(run.app)
    lines = [
        UNFIT_FILE.format(
            name=mrkdwn.one_line(each.name, _MAX_NAME), app=app, reason=mrkdwn.one_line(each.reason, _MAX_QUOTED)
        )
        if each.field is not None
        else f"📎 {mrkdwn.one_line(each.name, _MAX_NAME)}: {mrkdwn.one_line(each.reason, _MAX_QUOTED)}"
        for each in problems[:_MAX_FILES]
    ]
    more = len(problems) - len(lines)
    rest = [MORE_UNFIT.format(count=more)] if more > 0 else []
    return _message("\n".join((UNFIT_ALONE if alone else UNFIT_FILES, *lines, *rest)))


def suggestions(run: Run) -> Message:
    """Offer what Dify suggests to ask next, with a button each; what is too long for its button is spelled out."""
    buttons, lines = [], [SUGGESTIONS]
    for index, suggestion in enumerate(run.suggestions[:_MAX_SUGGESTIONS]):
        is_cut = len(mrkdwn.one_line(suggestion, _MAX_SUGGESTION)) > _LABEL
        if is_cut:
            lines.append(f"{index + 1}. {mrkdwn.one_line(suggestion, _MAX_SUGGESTION)}")
        button = ButtonElement(
            text=label(f"{index + 1}. {suggestion}" if is_cut else suggestion, _LABEL),
            action_id=ids.suggestion_id(index),
            value=ids.encode_suggestion(run.run_id, index),
        )
        buttons.append(button)
    return Message(SUGGESTIONS, (context("\n".join(lines)), ActionsBlock(elements=buttons)))


def closed_suggestions(run: Run) -> Message:
    """Render the same once somebody has asked something: without buttons."""
    shown = " · ".join(mrkdwn.one_line(text, _LABEL) for text in run.suggestions[:_MAX_SUGGESTIONS])
    return Message(SUGGESTIONS, (context(f"{SUGGESTIONS} {shown}"),))


def asked_before(run: Run, user_id: str, asker_id: str | None, query: str) -> Message:
    """Tell somebody who pressed a suggestion that another message was first."""
    if asker_id is None:
        return _message(SOMETHING_ASKED_BEFORE.format(app=mrkdwn.bold(run.app)))
    who = YOU if asker_id == user_id else mrkdwn.mention(asker_id)
    return _message(ASKED_BEFORE.format(who=who, text=mrkdwn.one_line(query, _MAX_QUOTED)))


def rated(run: Run, rating: Rating, *, taken: bool) -> Message:
    """Tell somebody what became of their thumb."""
    return _message((RATED[rating] if taken else NOT_RATED).format(app=mrkdwn.bold(run.app)))


def with_question(run: Run, result: tuple[Message, ...]) -> tuple[Message, ...]:
    """Put above the answer of a Chatflow what it answers, where other messages stand in between."""
    if not run.crowded:
        return result
    first, *others = result
    asked = context(ANSWERS.format(who=mrkdwn.mention(run.starter_id), text=mrkdwn.one_line(run.query, _MAX_QUOTED)))
    return (first.beginning(asked), *others)


def with_thumbs(run: Run, result: tuple[Message, ...]) -> tuple[Message, ...]:
    """Put thumbs below the answer of a Chatflow that Dify can be told of."""
    if run.message_id is None or not run.status.succeeded or not run.outputs:
        return result
    *before, last = result
    return (*before, last.ending(_thumbs(run)))


def _thumbs(run: Run) -> ContextActionsBlock:
    good, bad = (ids.encode_rating(run.run_id, rating) for rating in (Rating.LIKE, Rating.DISLIKE))
    return ContextActionsBlock(
        elements=[
            FeedbackButtonsElement(
                action_id=ids.RATE,
                positive_button=FeedbackButtonObject(text=GOOD, accessibility_label=GOOD_HINT, value=good),
                negative_button=FeedbackButtonObject(text=BAD, accessibility_label=BAD_HINT, value=bad),
            )
        ]
    )


def _send(run: Run, text: str) -> ButtonElement:
    return ButtonElement(text=label(text, _LABEL), action_id=ids.SEND_MESSAGE, value=run.run_id)


def _forget(run: Run) -> ButtonElement:
    return ButtonElement(text=label(FORGET, _LABEL), action_id=ids.FORGET_MESSAGE, value=run.run_id)


def _quoted(run: Run) -> str:
    return mrkdwn.one_line(run.query, _MAX_QUOTED)


def _message(text: str) -> Message:
    return Message(text, (section(text),))
