"""What became of a form: who chose what and when, or why nobody did."""

from __future__ import annotations

from bot.core.model import Form, FormStatus, Run, RunStatus
from bot.slack import mrkdwn

_MAX_TITLE = 75  # slack-platform §2.2: as much as a button shows of it

SENDING = "⏳ Sending {action} · {who}"
WAITS_ITS_TURN = "⏳ {action} · {who} · waits its turn to be sent"
CHECKING = "⏳ {action} · {who} · sent, but Dify's confirmation was lost: checking"
ANSWERED = "✅ {action} · {who} · {at}"
ANSWERED_IN_DIFY = "✅ {action} · answered in Dify · {at}"
ANSWERED_ELSEWHERE = "✅ Answered outside of Slack. Dify does not tell how."
EXPIRED = "⌛ Expired: nobody answered in time."
EXPIRED_AT = "⌛ Expired {at}: nobody answered in time."
EXPIRED_UNSENT = "⌛ Expired before {action} · {who} could be sent."
RUN_ENDED = {
    RunStatus.STOPPED: "⏹️ The run was stopped before this form was answered.",
    RunStatus.FAILED: "⏹️ The run failed before this form was answered.",
    RunStatus.LOST: "⏹️ Dify no longer knows the run of this form.",
}
RUN_ENDED_OTHERWISE = "⏹️ The run ended without this form."
GONE = "⏹️ Dify no longer offers this form."


def outcome(run: Run, form: Form) -> str:
    """Return in one line of mrkdwn what became of a form's buttons: who chose what, and when."""
    answer = form.submission
    action = action_title(form, answer.action_id) if answer else ""
    who = mrkdwn.mention(answer.user_id) if answer and answer.user_id else ""
    at = mrkdwn.date(answer.at) if answer else ""
    match form.status:
        case FormStatus.CLAIMED:
            return WAITS_ITS_TURN.format(action=action, who=who)
        case FormStatus.SUBMITTING:
            return SENDING.format(action=action, who=who)
        case FormStatus.SETTLING:
            return CHECKING.format(action=action, who=who)
        case FormStatus.SUBMITTED if who:
            return ANSWERED.format(action=action, who=who, at=at)
        case FormStatus.SUBMITTED | FormStatus.ANSWERED_ELSEWHERE:
            return ANSWERED_IN_DIFY.format(action=action, at=at) if answer and not who else ANSWERED_ELSEWHERE
        case FormStatus.TIMED_OUT if who:
            return EXPIRED_UNSENT.format(action=action, who=who)
        case FormStatus.TIMED_OUT:
            return EXPIRED_AT.format(at=mrkdwn.date(form.expires_at)) if form.expires_at else EXPIRED
        case _:
            return RUN_ENDED.get(run.status, RUN_ENDED_OTHERWISE if run.status.ended else GONE)


def action_title(form: Form, action_id: str) -> str:
    """Return in bold mrkdwn what the button of an action reads."""
    action = form.user_action(action_id)
    return mrkdwn.bold(action.title if action and action.title.strip() else action_id, _MAX_TITLE)
