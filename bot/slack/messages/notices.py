"""What one person is told, and what the thread is told when a run needs a look."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from slack_sdk.models.blocks import Block

from bot.core.attaching import is_under_way, used_in
from bot.core.command import has_placeholder
from bot.core.model import Form, FormStatus, OutFile, Paragraph, Run, RunStatus, is_direct
from bot.slack.forms.form import obstacle
from bot.slack.forms.layout import labels
from bot.slack.forms.room import shared_room
from bot.slack.messages.message import MAX_SECTION, Message, quote, section, verbatim
from bot.slack.messages.outcome import action_title, is_delayed, mending, outcome, refusal, resumes_unanswered
from bot.slack.text import mrkdwn

_MAX_PROBLEM = 500
_MOMENTS = timedelta(minutes=5)
_MAX_GIVEN_BACK = 40  # blocks; slack-platform §2.1 allows 50
_GIVEN_BACK_SHARE = 8_000
"""Characters of a message for what somebody gets back."""

USAGE = (
    '`{command} key=value other="with spaces"` starts {app} and follows it in a thread. Words alone will do where the '
    "app takes one text or a message: `{command} my words`. Where a value is missing or wrong, nothing is started and "
    "a window asks for it; `{name}` alone opens the window, too. {more}"
)
USAGE_OF_ONE = "`{command} help {app}` lists the values that it takes."
USAGE_OF_MANY = "Apps: {names}. `{command} help {app}` lists the values that {app} takes."
UNKNOWN_HERE = "I do not know this run or form any more, so nothing was changed. Start a new run if you still need one."
NOT_SAVED = "I could not save that, so nothing was changed. Please try again in a moment."
WENT_WRONG = "Something went wrong on my side. If nothing changes in the thread, please try again."

NOT_A_MEMBER = (
    "I could not start {app}: I am not a member of {channel}. Nothing was sent to Dify. "
    "Type `/invite` there, choose this app, and start {app} again."
)
ARCHIVED = "I could not start {app}: {channel} is archived. Nothing was sent to Dify. Use another channel."
NOT_ALLOWED = (
    "I could not start {app}: Slack does not let me write in {channel} ({code}). Nothing was sent to Dify. "
    "Use another channel, or ask an admin of the workspace."
)
_NOT_A_MEMBER_CODES = frozenset({"not_in_channel", "channel_not_found"})

TOKEN_REFUSED = (
    "I could not start {app}: my Slack token is not valid any more ({code}). Nothing was sent to Dify. "
    "Tell whoever runs this bot."
)
_TOKEN_CODES = frozenset({"account_inactive", "invalid_auth", "not_authed", "token_expired", "token_revoked"})

NOT_STARTABLE = "Nothing was started:"
COPY = "This would work; copy it and change what you like:"
FILL_IN = "Fill in the … and this works:"
LEFT_OVER = "This was not used; copy it if you still need it:"

INPUTS = "{app} takes these values:"
NO_INPUTS = "{app} takes no values."

TOO_LATE = "Too late: {who} already chose {action} for {title} ({at}). {standing} Your answer was not sent."
ALREADY_YOURS = "You already chose {action} for {title} ({at}). {standing} Only this first answer counts."
STANDING = {
    FormStatus.CLAIMED: "It waits its turn to be sent to Dify.",
    FormStatus.SUBMITTING: "It is being sent to Dify.",
    FormStatus.SETTLING: "It was sent, and I am checking whether Dify took it.",
    FormStatus.SUBMITTED: "Dify took it.",
}
"""How an answer given here stands."""
WAITS_FOR_DIFY = "It will be sent when Dify takes it."
WAITS_FOR_FILES = "It will be sent once its files, which are on their way, are in Dify."
DID_NOT_COUNT = "Your answer to {title} did not count: {outcome}"
DRAFT_IN_VAIN = "What you left in the window of {title} was not sent: {outcome}"
STILL_OPEN = "{title} can no longer be answered: its run has ended. Your answer was not sent."
NOTHING_ASKS = (
    "📎 {names}: {app} does not ask for a file right now, so it is given none. When a form here asks for one, share it "
    "in this thread again."
)
ENDED_ASKS = (
    "📎 {names}: {app} has ended and asks for nothing any more. To start it with a file, choose “Run a Dify app” in "
    "the “…” of the message."
)
FILES_TOO_LATE = "Too late: {who} already chose {action} for {title} ({at}). {vain}"
ALREADY_CHOSEN_YOU = "you"
FILES_NOT_TAKEN = "{title} takes no files any more: {outcome} {vain}"
FILES_IN_VAIN = "Not attached: 📎 {names}."
FILES_AS_THEY_ARE = "Its files stay as they are."
REFUSED = "{why}\nNothing was decided, and the values you sent are still in the form. {mending}"
YOUR_ANSWER, PRESS_AGAIN = "your answer to {title}", "press a button again"
INVALID = "Not sent yet; {title} needs a change:"
INVALID_END = "Nothing was decided and what you entered is still in the form: mend it and press a button again."
DRAFT_WAITS = (
    "Not sent yet: in the window of {title} you have entered something that its message does not show. Nothing was "
    "decided, and both are kept. Press “Open in window” to send what stands there; or choose “Begin anew” there and "
    "then press a button of the message, to send what that shows."
)

CANNOT_STOP_ENDED = "{app} has already ended: there is nothing to stop."
CANNOT_STOP_PAUSED = (
    "Dify cannot stop {app} while it waits for an answer. Answer its form, or let the form's deadline pass; "
    "once it runs again it can be stopped."
)
CANNOT_STOP_YET = "{app} is only being started: try again in a moment."
CANNOT_STOP_REFUSED = "Dify did not take the stop of {app}, which goes on: try again in a moment."
CANNOT_STOP_FOUND = (
    "Dify did not confirm the start of {app}, and a run that was found later cannot be stopped from here: it goes on."
)
CANNOT_STOP_STUCK = "Stop does nothing to {app}, which does not move. The thread says what to do."
CANNOT_STOP_RESUMING = "Dify has not gone on with {app} yet: try again once it runs."

LEFT_OUT = "and {count:,} more characters, which I did not keep"
GIVEN_BACK = "This is what you had entered, in case you still need it:"

FORM_NOT_SHOWN = "⚠️ {starter} is asked to decide: {title}. Slack does not take the form, so it cannot be answered here."
IN_WEB_APP = (
    "Answer it on its page in this app's web app in Dify; whoever looks after the app there can help. "
    "The run goes on by itself then."
)
WHERE_DELIVERED = "Answer it where Dify delivered it, for example in the e-mail. The run goes on by itself then."
RESULT_NOT_SHOWN = (
    "⚠️ Slack does not take what I have to say of the end of {app}, or not all of it. "
    "Look at Dify's log of this run: everything is kept there."
)

FILES_OF = "📎 Files of {name}"
FILES_MISSING = "⚠️ Not all files could be brought here:"

REMINDER = "⏰ {starter}, {title} still waits for an answer.{until} {where}"
FORM_ABOVE = "The form was posted above in this thread."
NOTICE_ABOVE = "It cannot be answered here; what was posted above in this thread says where it can."
REMINDER_UNTIL = " It can be answered until {at}: {left} left."

KEY_REFUSED = (
    "🔑 Dify refuses the API key of {app}: it was revoked, or the API of the app was switched off. So I cannot see how "
    "this run stands. Its forms, and answers given to them here, are kept. I keep looking and go on by myself as soon "
    "as Dify takes a key of this app again; answers are sent then. An admin has to give this bot a valid key of the "
    "app, or switch the API of the app on again in Dify."
)
STUCK = (
    "⚠️ Dify took the answer, but {app} has not moved since. The answer is kept in Dify; answering again is not "
    "possible. I keep looking and go on here as soon as it moves. If it does not, ask whoever runs your Dify server "
    "to look at this run: its worker may be down, or the run may be stuck."
)
STUCK_EXPIRED = (
    "⚠️ A form of {app} was not answered in time, and the run has not moved since. The form cannot be answered any "
    "more. I keep looking and go on here as soon as the run moves. If it does not, ask whoever runs your Dify server "
    "to look at this run: its worker or its scheduler may be down."
)
RUNS_TOO_LONG = (
    "⚠️ Dify still says that {app} runs, since {since} and without an end. That is longer than a run may take: its "
    "worker was probably killed. What Dify has of it is kept there. I keep looking and go on here as soon as it moves. "
    "If it does not, ask whoever runs your Dify server to look at this run; it may have to be started again."
)


def usage(command: str, app_names: Iterable[str]) -> str:
    """Return in mrkdwn how to use the slash command."""
    names = [mrkdwn.one_line(name) for name in app_names]
    command, app = mrkdwn.one_line(command), names[0]
    if len(names) == 1:
        more = USAGE_OF_ONE.format(command=command, app=app)
        return USAGE.format(name=command, command=command, app=app, more=more)
    more = USAGE_OF_MANY.format(command=command, app=app, names=", ".join(names))
    return USAGE.format(name=command, command=f"{command} {app}", app=app, more=more)


def usage_message(command: str, app_names: Iterable[str]) -> Message:
    """Tell how to use the slash command."""
    return _message(usage(command, app_names))


def not_started(run: Run, code: str) -> Message:
    """Tell that the channel cannot be written to; `code` is Slack's."""
    if code in _NOT_A_MEMBER_CODES:
        text = NOT_A_MEMBER
    elif code == "is_archived":
        text = ARCHIVED
    elif code in _TOKEN_CODES:
        text = TOKEN_REFUSED
    else:
        text = NOT_ALLOWED
    channel = "this conversation" if is_direct(run.channel_id) else f"<#{run.channel_id}>"
    return _message(text.format(app=mrkdwn.bold(run.app), channel=channel, code=mrkdwn.one_line(code)))


def not_startable(problems: Iterable[str], corrected: str | None, left_over: str = "") -> Message:
    """Tell what is wrong with a command, all of it, and one that would be right; give back what is not in that."""
    text = _listed(NOT_STARTABLE, problems)
    given_back = (section(LEFT_OVER), verbatim(kept)) if (kept := mrkdwn.clean(left_over)) else ()
    return _message(text, *_offer(corrected), *given_back)


def inputs(app: str, lines: Collection[str], example: str | None, problems: Iterable[str] = ()) -> Message:
    """Tell what an app takes, a line for each value, and a command that starts it; why it is a guess stands above."""
    title = (INPUTS if lines else NO_INPUTS).format(app=mrkdwn.bold(app))
    said = (mrkdwn.one_line(problem, _MAX_PROBLEM) for problem in problems)
    return _message(_listed("\n".join((*said, title)), lines), *_offer(example))


def _offer(command: str | None) -> Iterator[Block]:
    if command is not None:
        yield section(FILL_IN if has_placeholder(command) else COPY)
        yield verbatim(mrkdwn.clean(command))


def decided(run: Run, form: Form, user_id: str, values: Mapping[str, Any]) -> Message:
    """Tell somebody what became of a form they answered too late, or whose answer did not count.

    `values` are what they entered in vain: they get them back.
    """
    said = _decided(run, form, user_id)
    submission = form.submission
    counts = form.status in STANDING and submission and submission.user_id == user_id and submission.values == values
    return said if counts else _giving_back(said, form, values)


def draft_given_back(run: Run, form: Form, values: Mapping[str, Any]) -> Message:
    """Tell somebody what became of a form whose window they had left with these values in it."""
    text = DRAFT_IN_VAIN.format(title=mrkdwn.bold(form.node_title), outcome=outcome(run, form))
    return _giving_back(_message(text), form, values)


def _giving_back(said: Message, form: Form, values: Mapping[str, Any]) -> Message:
    if not (entered := _entered(form, values)):
        return said
    room = shared_room(_GIVEN_BACK_SHARE, (len(mrkdwn.escape(text)) for _, text in entered))
    given = [
        quote(name, beginning, "" if beginning == text else LEFT_OUT.format(count=len(text) - len(beginning) + 1))
        for name, text in entered
        for beginning in [mrkdwn.shorten(text, room)]
    ]
    return Message(said.text, (*said.blocks, section(GIVEN_BACK), *given))


def decided_in_window(run: Run, form: Form, user_id: str, files: Collection[str]) -> str:
    """Say in mrkdwn the same in a window that was sent too late, and which files were chosen there in vain."""
    said = _decided(run, form, user_id).text
    return f"{said} {_in_vain(files)}" if files else said


def _in_vain(names: Collection[str]) -> str:
    return FILES_IN_VAIN.format(names=mrkdwn.one_line(", ".join(names), _MAX_PROBLEM))


def _entered(form: Form, values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return with its label each text that somebody entered; what was left empty or as it was is nothing of theirs."""
    defaults = {field.name: field.default for field in form.inputs if isinstance(field, Paragraph)}
    return [
        (label, text)
        for name, label in list(labels(form).items())[:_MAX_GIVEN_BACK]
        if isinstance(value := values.get(name), str)
        and value != defaults.get(name)
        and (text := mrkdwn.clean(value).strip())
    ]


def _decided(run: Run, form: Form, user_id: str) -> Message:
    title, submission = mrkdwn.bold(form.node_title), form.submission
    if form.status.asks:
        return _message(STILL_OPEN.format(title=title))
    if submission is None or submission.user_id is None or form.status not in STANDING:
        return _message(DID_NOT_COUNT.format(title=title, outcome=outcome(run, form)))
    sentence = ALREADY_YOURS if submission.user_id == user_id else TOO_LATE
    return _message(
        sentence.format(
            who=mrkdwn.mention(submission.user_id),
            action=action_title(form, submission.action_id),
            title=title,
            at=mrkdwn.date(submission.at),
            standing=_standing(run, form),
        )
    )


def _standing(run: Run, form: Form) -> str:
    if is_delayed(run, form) and form.status not in (FormStatus.SETTLING, FormStatus.SUBMITTED):
        return WAITS_FOR_DIFY
    if form.status is FormStatus.CLAIMED and is_under_way(used_in(run, form)):
        return WAITS_FOR_FILES
    return STANDING[form.status]


def nothing_asks(run: Run, names: Collection[str]) -> Message:
    """Tell somebody that nothing asks for the files that they shared in the thread of a Workflow."""
    text = ENDED_ASKS if run.status.ended else NOTHING_ASKS
    return _message(text.format(names=mrkdwn.one_line(", ".join(names), _MAX_PROBLEM), app=mrkdwn.bold(run.app)))


def files_too_late(run: Run, form: Form, user_id: str, names: Collection[str]) -> Message:
    """Tell somebody that the files of a form cannot be changed any more; `names` are of those given in vain."""
    vain = _in_vain(names) if names else FILES_AS_THEY_ARE
    title, submission = mrkdwn.bold(form.node_title), form.submission
    if submission is None or submission.user_id is None or form.status not in STANDING:
        return _message(FILES_NOT_TAKEN.format(title=title, outcome=outcome(run, form), vain=vain))
    who = ALREADY_CHOSEN_YOU if submission.user_id == user_id else mrkdwn.mention(submission.user_id)
    action, at = action_title(form, submission.action_id), mrkdwn.date(submission.at)
    return _message(FILES_TOO_LATE.format(who=who, action=action, title=title, at=at, vain=vain))


def refused(run: Run, form: Form, reason: str) -> Message:
    """Tell why an answer was not taken."""
    answer = YOUR_ANSWER.format(title=mrkdwn.bold(form.node_title))
    why, mend = refusal(run, form, answer, reason), mending(run, form, PRESS_AGAIN)
    return _message(REFUSED.format(why=why, mending=mend))


def invalid(form: Form, problems: Iterable[tuple[str, str]]) -> Message:
    """Tell which fields to mend: names of inputs, and what is wrong with them as the rest of a sentence."""
    names = labels(form)
    sentences = (f"“{names.get(name, name)}” {problem}" for name, problem in problems)
    text = _listed(INVALID.format(title=mrkdwn.bold(form.node_title)), sentences)
    return _message(text, section(INVALID_END))


def draft_waits(form: Form) -> Message:
    """Tell somebody who pressed a button of a form's message that their draft in its window says something else."""
    return _message(DRAFT_WAITS.format(title=mrkdwn.bold(form.node_title)))


def cannot_stop(run: Run) -> Message:
    """Tell why Stop can do nothing now."""
    if run.status.ended:
        text = CANNOT_STOP_ENDED
    elif run.status is RunStatus.PAUSED:
        text = CANNOT_STOP_PAUSED
    elif run.told_stuck:
        text = CANNOT_STOP_STUCK
    elif run.status is RunStatus.RESUMING:
        text = CANNOT_STOP_RESUMING
    elif run.status is RunStatus.RUNNING:
        text = CANNOT_STOP_FOUND if run.task_id is None else CANNOT_STOP_REFUSED
    else:
        text = CANNOT_STOP_YET
    return _message(text.format(app=mrkdwn.bold(run.app)))


def stuck(run: Run, now: datetime) -> Message:
    """Tell the thread that the run does not move."""
    # One that two answers at once left paused was seen to execute in between, moments ago (recording 33).
    if run.status is RunStatus.RUNNING and now - (run.since or run.created_at) > _MOMENTS:
        since = mrkdwn.date(run.since or run.created_at)
        return _message(RUNS_TOO_LONG.format(app=mrkdwn.bold(run.app), since=since))
    text = STUCK_EXPIRED if resumes_unanswered(run) else STUCK
    return _message(text.format(app=mrkdwn.bold(run.app)))


def key_refused(run: Run) -> Message:
    """Tell the thread that Dify refuses the app's key, so that nothing is heard of the run."""
    return _message(KEY_REFUSED.format(app=mrkdwn.bold(run.app)))


def reminder(run: Run, form: Form, now: datetime) -> Message:
    """Remind those who were asked of a form that waits."""
    until = ""
    if form.expires_at is not None and form.expires_at > now:
        left = mrkdwn.roughly(form.expires_at - now)
        until = REMINDER_UNTIL.format(at=mrkdwn.date(form.expires_at), left=left)
    starter, title = mrkdwn.mention(run.starter_id), mrkdwn.bold(form.node_title)
    where = NOTICE_ABOVE if form.not_shown or obstacle(form) is not None else FORM_ABOVE
    return _message(REMINDER.format(starter=starter, title=title, until=until, where=where))


def form_not_shown(run: Run, form: Form) -> Message:
    """Stand in the place of a form that Slack does not take: where it can be answered, or what became of it."""
    title = mrkdwn.bold(form.node_title)
    if form.status.closed:
        return _message(f"{title}\n{outcome(run, form)}")
    asked = FORM_NOT_SHOWN.format(starter=mrkdwn.mention(run.starter_id), title=title)
    where = IN_WEB_APP if form.answerable else WHERE_DELIVERED
    return _message(f"{asked} {where}")


def result_not_shown(run: Run) -> Message:
    """Tell the thread that the end of the run could not be shown."""
    return _message(RESULT_NOT_SHOWN.format(app=mrkdwn.bold(run.app)))


def files_of(run: Run, form_id: str | None) -> str:
    """Return in mrkdwn what files belong to that are shared: a form, or the run itself (None)."""
    return FILES_OF.format(name=mrkdwn.bold(run.app if form_id is None else run.form(form_id).node_title))


def files_missing(files: Iterable[OutFile]) -> Message:
    """Tell which of the files that a run gave out could not be had, and why."""
    return _message(_listed(FILES_MISSING, (f"{file.name}: {file.reason}" for file in files)))


def _listed(title: str, lines: Iterable[str]) -> str:
    text = title
    for line in lines:
        item = f"\n• {mrkdwn.one_line(line, _MAX_PROBLEM)}"
        if len(text) + len(item) > MAX_SECTION - 2:
            return f"{text}\n…"
        text += item
    return text


def _message(text: str, *more: Block) -> Message:
    return Message(text, (section(text), *more))
