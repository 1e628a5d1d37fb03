"""What is said in a conversation with a Chatflow besides its answers: questions, suggestions and thumbs."""

from __future__ import annotations

from collections.abc import Sequence

from slack_sdk.models.blocks import (
    ActionsBlock,
    ButtonElement,
    ContextActionsBlock,
    FeedbackButtonObject,
    FeedbackButtonsElement,
)

from bot.core.model import Form, Rating, Run, RunStatus
from bot.slack import ids, mrkdwn
from bot.slack.message import Message, context, label, section, verbatim

_MAX_SUGGESTIONS = 5
_MAX_FORMS = 10
_MAX_QUOTED = 200
_LABEL = 75  # slack-platform §2.2

ASK_ABOUT_MESSAGE = (
    "{app} waits for {forms}, so I have not sent your message “{text}” yet. Is it the answer, or a new message?"
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

SENT_NEW = "Sent as a new message."
FORGOTTEN = "I have not sent the message and do not keep it."
ALREADY_SETTLED = "That was settled before, so nothing was changed."
IN_WINDOW = (
    "Your message stands in the window of the form {title} now and is not sent as a new one. "
    "In case you close the window:"
)
FILES_LEFT_OUT = (
    "I cannot pass files on to {app} yet: your message is sent without them. If it needs them, say in words what "
    "they hold."
)
FILES_ALONE = (
    "I cannot pass files on to {app} yet, and there was no text with yours, so nothing was sent. Say in words what it "
    "is about."
)

SUGGESTIONS = "You could ask next:"
RATED = {
    Rating.LIKE: "👍 Dify has your rating of this answer of {app}. You can change it by pressing the other thumb.",
    Rating.DISLIKE: "👎 Dify has your rating of this answer of {app}. You can change it by pressing the other thumb.",
}
NOT_RATED = "Dify did not take your rating of this answer of {app}. You can press a thumb again in a while."
GOOD, GOOD_HINT = "👍", "This answer is good"
BAD, BAD_HINT = "👎", "This answer is bad"


def ask_about_message(run: Run, titles: Sequence[str], forms: Sequence[tuple[str, str, str]]) -> Message:
    """Ask whoever wrote a message while forms with these titles were open what it is.

    It may be the answer to one of `forms`: of each its run, its id and its title.
    """
    names = [mrkdwn.bold(title) for title in titles[:_MAX_FORMS]]
    asked = ONE_FORM.format(title=names[0]) if len(names) == 1 else MANY_FORMS.format(titles=", ".join(names))
    text = ASK_ABOUT_MESSAGE.format(app=mrkdwn.bold(run.app), forms=asked, text=mrkdwn.one_line(run.query, _MAX_QUOTED))
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
    who, quoted = mrkdwn.mention(run.starter_id), mrkdwn.one_line(run.query, _MAX_QUOTED)
    text = ASK_ABOUT_CONVERSATION.format(who=who, text=quoted)
    return Message(text, (section(text), ActionsBlock(elements=[_send(run, BEGIN_NEW), _forget(run)])))


def settled(text: str) -> Message:
    """Say what became of a message that was held."""
    return _message(text)


def in_window(form: Form, text: str) -> Message:
    """Say that a message was put into a form's window, and give it back."""
    sentence = IN_WINDOW.format(title=mrkdwn.bold(form.node_title))
    return Message(sentence, (section(sentence), verbatim(mrkdwn.clean(text))))


def without_files(run: Run, *, alone: bool) -> Message:
    """Tell that files are not passed on; `alone` where there was nothing else to send."""
    return _message((FILES_ALONE if alone else FILES_LEFT_OUT).format(app=mrkdwn.bold(run.app)))


def suggestions(run: Run) -> Message:
    """Offer what Dify suggests to ask next, with a button each."""
    buttons = [
        ButtonElement(
            text=label(suggestion, _LABEL),
            action_id=ids.suggestion_id(index),
            value=ids.encode_suggestion(run.run_id, index),
        )
        for index, suggestion in enumerate(run.suggestions[:_MAX_SUGGESTIONS])
    ]
    return Message(SUGGESTIONS, (context(SUGGESTIONS), ActionsBlock(elements=buttons)))


def closed_suggestions(run: Run) -> Message:
    """Render the same once somebody has asked something: without buttons."""
    shown = " · ".join(mrkdwn.one_line(text, _LABEL) for text in run.suggestions[:_MAX_SUGGESTIONS])
    return Message(SUGGESTIONS, (context(f"{SUGGESTIONS} {shown}"),))


def rated(run: Run, rating: Rating, *, taken: bool) -> Message:
    """Tell somebody what became of their thumb."""
    return _message((RATED[rating] if taken else NOT_RATED).format(app=mrkdwn.bold(run.app)))


def with_thumbs(run: Run, result: tuple[Message, ...]) -> tuple[Message, ...]:
    """Put thumbs below the answer of a Chatflow that Dify can be told of."""
    if run.message_id is None or run.status is not RunStatus.SUCCEEDED or not run.outputs:
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


def _message(text: str) -> Message:
    return Message(text, (section(text),))
