"""The Home tab: what waits for an answer, what runs and what has ended of what somebody has started, and how to start.

Nobody but this person sees it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice

from slack_sdk.models.blocks import (
    Block,
    ButtonElement,
    DividerBlock,
    HeaderBlock,
    MarkdownTextObject,
    SectionBlock,
)
from slack_sdk.models.views import View

from bot.core.model import Form, Progress, Run, is_direct
from bot.core.ports import Home
from bot.slack import ids
from bot.slack.forms.form import obstacle
from bot.slack.messages.message import context, label, section
from bot.slack.messages.notices import usage
from bot.slack.messages.root import inputs_of, run_state
from bot.slack.text import mrkdwn

_MAX_ROWS = 10
"""Of each list; a Home holds 100 blocks (slack-platform §2.1)."""
_MAX_INPUTS = 3
_NEVER = datetime.max.replace(tzinfo=UTC)

START = (
    "*Start a Dify app*\nWhat you start with this button runs in the Messages tab, between you and me. "
    "To have it in a channel, type `{command}` there."
)
START_BUTTON = "Start an app"

WAITING, RUNNING, ENDED = "Waits for an answer", "Running", "Ended lately"
NOTHING_WAITS = "Nothing waits for you."
NOTHING_RUNS = "Nothing of yours is running."
NOTHING_ENDED = "Nothing of yours has ended lately."
MORE = "… and {count} more"
CUT = "Only {count} of your runs that have not ended are looked at here: those that are due next, and the newest."

FORM = "📝 {title} · {app} {where}"
UNTIL = "Until {at}"
NO_DEADLINE = "Without a deadline"
NOT_HERE = "Cannot be answered in Slack; the thread says what to do"
ANSWER, THREAD = "Answer it", "Open the thread"
SINCE = "{app} {where} · since {at}"
OVER = "{app} {where} · {at}"
IN_CHANNEL, IN_MESSAGES = "in <#{channel}>", "in direct messages"

AS_OF = "As of {at}. Open this tab again to have it anew."


def home_view(home: Home, workspace_url: str) -> View:
    """Render the Home tab; the addresses of messages begin with `workspace_url`, which ends in a slash."""
    going = [run for run in home.runs if not run.status.ended]
    waiting = sorted(((run, form) for run in going for form in run.forms if run.asks_for(form)), key=_due)
    asking = {run.run_id for run, _ in waiting}
    running = [run for run in going if run.run_id not in asking]
    ended = [run for run in home.runs if run.status.ended]
    blocks = [
        *_start(home),
        *_list(WAITING, [_waiting(run, form, workspace_url) for run, form in waiting], NOTHING_WAITS),
        *_list(RUNNING, [_running(run, workspace_url) for run in running], NOTHING_RUNS),
        *([context(CUT.format(count=len(going)))] if home.is_cut else []),
        *_list(ENDED, [_ended(run, workspace_url) for run in ended], NOTHING_ENDED),
        DividerBlock(),
        section(usage(home.command, home.app_names)),
        context(AS_OF.format(at=mrkdwn.date(home.at))),
    ]
    return View(type="home", blocks=blocks)


def _due(asked: tuple[Run, Form]) -> tuple[datetime, datetime]:
    """Return what the forms are put in order by: the deadline, then the age."""
    run, form = asked
    return form.expires_at or _NEVER, form.asked_at or run.created_at


def _start(home: Home) -> Iterator[Block]:
    if home.problem:
        yield section(f"⚠️ {mrkdwn.one_line(home.problem, 500)}")
    button = ButtonElement(
        text=label(START_BUTTON, 75), action_id=ids.START_HERE, value=home.channel_id, style="primary"
    )
    text = START.format(command=mrkdwn.one_line(home.command))
    yield SectionBlock(text=MarkdownTextObject(text=text, verbatim=True), accessory=button)


def _list(title: str, rows: Sequence[str], nothing: str) -> Iterator[Block]:
    yield HeaderBlock(text=label(title, 150))
    yield from map(section, rows[:_MAX_ROWS] or (nothing,))
    if (more := len(rows) - _MAX_ROWS) > 0:
        yield context(MORE.format(count=more))


def _waiting(run: Run, form: Form, workspace_url: str) -> str:
    title = FORM.format(title=mrkdwn.bold(form.node_title), app=mrkdwn.bold(run.app), where=_where(run))
    until = UNTIL.format(at=mrkdwn.date(form.expires_at)) if form.expires_at else NO_DEADLINE
    if form.not_shown or obstacle(form) is not None:
        return _row(title, run, NOT_HERE, until, _link(run, form.message_ts, THREAD, workspace_url))
    return _row(title, run, until, _link(run, form.message_ts, ANSWER, workspace_url))


def _running(run: Run, workspace_url: str) -> str:
    title = SINCE.format(app=mrkdwn.bold(run.app), where=_where(run), at=mrkdwn.date(run.created_at))
    return _row(title, run, _state(run), _link(run, run.root_ts, THREAD, workspace_url))


def _ended(run: Run, workspace_url: str) -> str:
    title = OVER.format(app=mrkdwn.bold(run.app), where=_where(run), at=mrkdwn.date(run.ended_at or run.created_at))
    return _row(title, run, _state(run), _link(run, run.root_ts, THREAD, workspace_url))


def _row(title: str, run: Run, *parts: str) -> str:
    given = " · ".join(islice(inputs_of(run), _MAX_INPUTS))
    return "\n".join(filter(None, (title, given, " · ".join(filter(None, parts)))))


def _state(run: Run) -> str:
    """Return how a run stands, in the words of its root message; of several lines the first."""
    return run_state(run, Progress()).partition("\n")[0]


def _where(run: Run) -> str:
    return IN_MESSAGES if is_direct(run.channel_id) else IN_CHANNEL.format(channel=run.channel_id)


def _link(run: Run, ts: str | None, text: str, workspace_url: str) -> str:
    """Return a link to a message in the thread of a run, as Slack's own “Copy link” gives it [believed]."""
    if ts is None or run.thread_ts is None:
        return ""
    message = f"{workspace_url}archives/{run.channel_id}/p{ts.replace('.', '')}"
    return f"<{mrkdwn.escape(f'{message}?thread_ts={run.thread_ts}&cid={run.channel_id}')}|{text}>"
