"""What became of a form: who chose what and when, or why nobody did."""

from __future__ import annotations

from bot.core.attaching import is_under_way, refusal_of, used_in
from bot.core.model import Form, FormStatus, Run, RunStatus
from bot.slack.forms.room import button_titles
from bot.slack.text import mrkdwn

_GLOBAL_LIMIT = "Human input global timeout"
_MAX_TITLE = 600
"""A title of 100 characters (dify-api §10.2) with its number, escaped."""

SENDING = "⏳ Sending {action} · {who}"
WAITS_ITS_TURN = "⏳ {action} · {who} · waits its turn to be sent"
WAITS_FOR_FILES = "⏳ {action} · {who} · sent once its files, which are on their way, are in Dify"
WAITS_FOR_DIFY = "⏳ {action} · {who} · Dify cannot take it now; this will be sent when Dify answers"
WAITS_FOR_KEY = "⏳ {action} · {who} · Dify refuses this app's key; this is sent once Dify takes one again"
CHECKING = "⏳ {action} · {who} · sent, but Dify's confirmation was lost: checking"
CHECKING_LATER = "⏳ {action} · {who} · sent, but Dify's confirmation was lost; this is checked when Dify answers"
CHECKING_WITH_KEY = (
    "⏳ {action} · {who} · sent, but Dify's confirmation was lost, and Dify refuses this app's key; "
    "this is checked once Dify takes one again"
)
ANSWERED = "✅ {action} · {who} · {at}"
ANSWERED_IN_DIFY = "✅ {action} · answered in Dify · {at}"
ANSWERED_ELSEWHERE = "✅ Answered outside of Slack. Dify does not tell how."
EXPIRED = "⌛ Expired: nobody answered in time."
EXPIRED_AT = "⌛ Expired {at}: nobody answered in time."
EXPIRED_GLOBALLY = "⌛ Dify's overall time limit for unanswered forms passed before anybody answered."
EXPIRED_UNSENT = "⌛ Expired before {action} · {who} could be sent."
RUN_ENDED = {
    RunStatus.STOPPED: "⏹️ The run was stopped before this form was answered.",
    RunStatus.FAILED: "⏹️ The run failed before this form was answered.",
    RunStatus.LOST: "⏹️ The run of this form was lost. The thread says more.",
}
RUN_ENDED_OTHERWISE = "⏹️ The run ended without this form."
GONE = (
    "⏹️ Dify no longer offers this form. If that is not as it should be: its Human Input node in Dify needs the "
    "delivery method *Web app*, and this bot needs an API key of that very app."
)

NOT_TAKEN = "Dify did not take {answer}: “{reason}”."
FILE_NOT_TAKEN = "{answer} was not sent to Dify, since a file of it cannot be used. {reason}"
MEND = "If Dify names a wrong one, mend it and {again}; otherwise try again in a while."
MEND_FILES = "The list of files in the thread shows which are attached: add another one if it is needed, and {again}."
_MAX_REASON = 500


def refusal(run: Run, form: Form, answer: str, reason: str) -> str:
    """Return in mrkdwn why the last answer to a form was not taken, and by whom; `answer` is what it is called."""
    reason = mrkdwn.one_line(reason, _MAX_REASON)
    if refusal_of(used_in(run, form)) is not None:
        return FILE_NOT_TAKEN.format(answer=answer[:1].upper() + answer[1:], reason=reason)
    return NOT_TAKEN.format(answer=answer, reason=reason.removesuffix("."))


def mending(run: Run, form: Form, again: str) -> str:
    """Return what to do about that before it is sent `again`."""
    return (MEND if refusal_of(used_in(run, form)) is None else MEND_FILES).format(again=again)


def outcome(run: Run, form: Form) -> str:
    """Return in one line of mrkdwn what became of a form's buttons: who chose what, and when."""
    submission = form.submission
    action = action_title(form, submission.action_id) if submission else ""
    who = mrkdwn.mention(submission.user_id) if submission and submission.user_id else ""
    at = mrkdwn.date(submission.at) if submission else ""
    match form.status:
        case FormStatus.CLAIMED | FormStatus.SUBMITTING if is_delayed(run, form):
            return (WAITS_FOR_KEY if run.told_refused else WAITS_FOR_DIFY).format(action=action, who=who)
        case FormStatus.CLAIMED if is_under_way(used_in(run, form)):
            return WAITS_FOR_FILES.format(action=action, who=who)
        case FormStatus.CLAIMED:
            return WAITS_ITS_TURN.format(action=action, who=who)
        case FormStatus.SUBMITTING:
            return SENDING.format(action=action, who=who)
        case FormStatus.SETTLING if form.delayed:
            return (CHECKING_WITH_KEY if run.told_refused else CHECKING_LATER).format(action=action, who=who)
        case FormStatus.SETTLING:
            return CHECKING.format(action=action, who=who)
        case FormStatus.SUBMITTED if who:
            return ANSWERED.format(action=action, who=who, at=at)
        case FormStatus.SUBMITTED | FormStatus.ANSWERED_ELSEWHERE:
            return ANSWERED_IN_DIFY.format(action=action, at=at) if submission and not who else ANSWERED_ELSEWHERE
        case FormStatus.TIMED_OUT if who:
            return EXPIRED_UNSENT.format(action=action, who=who)
        case FormStatus.TIMED_OUT if hit_global_limit(run):
            return EXPIRED_GLOBALLY
        case FormStatus.TIMED_OUT:
            return EXPIRED_AT.format(at=mrkdwn.date(form.expires_at)) if form.expires_at else EXPIRED
        case _:
            return RUN_ENDED.get(run.status, RUN_ENDED_OTHERWISE if run.status.ended else GONE)


def is_delayed(run: Run, form: Form) -> bool:
    """Tell whether a form's answer is sent only once Dify answers again; of several forms one goes after the other."""
    ahead = form.status is FormStatus.CLAIMED and any(
        other.delayed and other.status in (FormStatus.SUBMITTING, FormStatus.SETTLING) for other in run.forms
    )
    return form.delayed or ahead


def resumes_unanswered(run: Run) -> bool:
    """Tell whether what a resuming run goes on from is a deadline that passed, as far as its newest form tells."""
    closed = [form.status for form in run.forms if form.status.closed]
    return closed[-1:] == [FormStatus.TIMED_OUT]


def hit_global_limit(run: Run) -> bool:
    """Tell whether Dify ended the run because a form waited longer than any may (dify-api §11, recording 14)."""
    return run.status is RunStatus.STOPPED and (run.error or "").startswith(_GLOBAL_LIMIT)


def is_gone(run: Run) -> bool:
    """Tell whether a lost run is one that Dify says it does not know, rather than one that we gave up on."""
    return run.status is RunStatus.LOST and "not found" in (run.error or "").casefold()


def action_title(form: Form, action_id: str) -> str:
    """Return in bold mrkdwn what an action is called on its button, with the number it has there, and in full."""
    titles = {action.id: title for action, title in zip(form.user_actions, button_titles(form), strict=True)}
    return mrkdwn.bold(titles.get(action_id, action_id), _MAX_TITLE)
