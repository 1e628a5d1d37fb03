"""The root message of a run: what was started by whom, and how it stands."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from slack_sdk.models.blocks import ActionsBlock, Block, ButtonElement, ConfirmObject

from bot.core.model import (
    Attachment,
    AttachmentStatus,
    Form,
    FormStatus,
    HeldOutcome,
    Progress,
    Run,
    RunStatus,
    Settlement,
)
from bot.core.start_files import names_in
from bot.slack import ids
from bot.slack.forms.form import obstacle
from bot.slack.messages.message import Message, label, section
from bot.slack.messages.outcome import hit_global_limit, is_delayed, is_gone, resumes_unanswered
from bot.slack.text import mrkdwn

_MAX_INPUTS = 10
_MAX_INPUT = 200
_MAX_QUERY = 60

TITLE = "▶️ {app} · started by {starter}"
FILES = "files"
"""What those beside the inputs are called."""
MORE_INPUTS = "… and {count} more"

STARTING = "⏳ Starting"
FILES_ON_THEIR_WAY = "⏳ {names}: on the way to Dify. It starts by itself once everything is there."
WAITING_FOR_ANSWER_BEFORE = "⏳ Waits for the answer before it, and is sent then"
NOT_SENT = "⏸️ Not sent. The thread says why."
FORGOTTEN = "⏹️ Not sent, as {who} wanted"
LAPSED = "⌛ Not sent: nobody said in time what to do with it"
WAITING_FOR_DIFY = "⏳ Waiting for a free connection to Dify. It starts by itself."
SOUGHT = "⏳ Dify has not confirmed the start yet. I am looking for the run in its log."
RUNNING = "⚙️ Running"
STEPS_DONE = {0: "", 1: " · 1 step done"}
MANY_STEPS_DONE = " · {done} steps done"
STOPPING = "⏹️ Stopping, as {who} asked"
WAITING_FOR = "⏸️ Waiting for {who}: {title}"
WAITING_ELSEWHERE = "⏸️ Waiting for {title}, which cannot be answered in Slack. The thread says what to do."
UNTIL = " · until {at}"
BEING_SENT = "⏳ {title}: answered by {who}, on its way to Dify"
WAITING_FOR_ANSWER = "⏳ {title}: answered by {who}. Dify cannot take it now; it will be sent when Dify answers."
WAITING_FOR_KEY = "⏳ {title}: answered by {who}. It is sent once Dify takes a key of this app again."
CHECKED_LATER = (
    "⏳ {title}: answered by {who} and sent, but Dify's confirmation was lost; it is checked when Dify answers."
)
CHECKED_WITH_KEY = (
    "⏳ {title}: answered by {who} and sent, but Dify's confirmation was lost; "
    "it is checked once Dify takes a key of this app again."
)
WAITING_TO_BE_SENT = "⏳ {title}: answered by {who}. Waiting for a free connection to Dify; it is sent by itself."
PAUSED = "⏸️ Paused in Dify"
RESUMING = "⏳ Answered; waiting for Dify to go on"
RESUMING_EXPIRED = "⌛ A form was not answered in time; waiting for Dify to go on"
STUCK = "⚠️ Dify took the answer, but the run has not moved since. The thread says what to do."
STUCK_EXPIRED = "⚠️ A form was not answered in time, and the run has not moved since. The thread says what to do."
NOT_MOVING = "⚠️ The run does not move. The thread says what to do."
KEY_REFUSED = "🔑 Dify refuses the key of this app, so I cannot see how the run stands. The thread says what to do."
DONE = "✅ Done"
PARTLY_DONE = "✅ Done, but some steps failed,"
FAILED = "❌ Failed"
AT_STEP = " at {step}"
STOPPED_BY = "⏹️ Stopped by {who}"
STOPPED = "⏹️ Stopped in Dify"
GLOBAL_LIMIT = "⌛ Ended by Dify{taken}: a form waited longer than any form may"
UNCONFIRMED = "❔ Not confirmed: Dify did not say whether the run exists. The thread says what to do."
GONE = "❔ Dify no longer knows this run. The thread says what to do."
LOST = "❔ Lost sight of this run. The thread says what to do."
IN_TIME = " in {time}"
AFTER_TIME = " after {time}"

STOP = "Stop"
CONFIRM_TITLE = "Stop this run?"
CONFIRM_TEXT = "Steps that are done stay done. A stopped run cannot be continued."
CONFIRM_DENY = "Keep it running"


def root_message(run: Run, progress: Progress | None = None) -> Message:
    """Render the root message of a run; `progress` is what it is doing while it is followed."""
    title = TITLE.format(app=mrkdwn.bold(run.app), starter=mrkdwn.mention(run.starter_id))
    state = run_state(run, progress or Progress())
    if run.is_reply:
        return _reply_message(run, state)
    blocks: list[Block] = [section(title)]
    if inputs := "\n".join(inputs_of(run)):
        blocks.append(section(inputs))
    blocks.append(section(state))
    if _can_stop(run):
        blocks.append(_stop_button(run))
    return Message(f"{mrkdwn.one_line(run.app)}: {state.partition(chr(10))[0]}", tuple(blocks))


def _reply_message(run: Run, state: str) -> Message:
    """Render how a later message to a Chatflow stands: in one line, since what was said stands above it."""
    first, *more = state.splitlines()
    # Who pressed a suggestion has written nothing that would stand above it.
    line = f"{first} · {mrkdwn.mention(run.starter_id)}: “{mrkdwn.one_line(run.query, _MAX_QUERY)}”"
    shown = section("\n".join((line, *more)))
    if _can_stop(run):
        shown.accessory = _stop_element(run)
    return Message(line, (shown,))


def run_state(run: Run, progress: Progress) -> str:
    """Return in mrkdwn how a run stands."""
    match run.status:
        case status if run.told_refused and not status.ended:
            return "\n".join((KEY_REFUSED, *_waiting(run, progress)))
        case RunStatus.HELD:
            return NOT_SENT
        case RunStatus.REQUESTED | RunStatus.STARTING if progress.waiting_for_answer:
            return WAITING_FOR_ANSWER_BEFORE
        case RunStatus.REQUESTED | RunStatus.STARTING if pulled := _being_pulled(run):
            return FILES_ON_THEIR_WAY.format(names=_file_names(each.name for each in pulled))
        case RunStatus.REQUESTED | RunStatus.STARTING:
            return WAITING_FOR_DIFY if progress.waiting_for_dify else STARTING
        case RunStatus.SOUGHT:
            return SOUGHT
        case RunStatus.RUNNING if run.told_stuck:
            return NOT_MOVING
        case RunStatus.RUNNING if run.stop_requested_by:
            return STOPPING.format(who=mrkdwn.mention(run.stop_requested_by))
        case RunStatus.RESUMING if run.told_stuck:
            return STUCK_EXPIRED if resumes_unanswered(run) else STUCK
        case RunStatus.RUNNING:
            return RUNNING + _steps(progress)
        case RunStatus.PAUSED:
            return "\n".join(_waiting(run, progress)) or PAUSED
        case RunStatus.RESUMING:
            return RESUMING_EXPIRED if resumes_unanswered(run) else RESUMING
        case _:
            return _ending(run)


def _being_pulled(run: Run) -> tuple[Attachment, ...]:
    return tuple(each for each in run.start_attachments if each.status is AttachmentStatus.PULLING)


def _file_names(names: Iterable[str]) -> str:
    return mrkdwn.one_line(", ".join(f"📎 {name}" for name in names), _MAX_INPUT)


def _steps(progress: Progress) -> str:
    step = f": {mrkdwn.bold(progress.step)}" if progress.step else ""
    return step + STEPS_DONE.get(progress.done, MANY_STEPS_DONE.format(done=progress.done))


def _waiting(run: Run, progress: Progress) -> Iterator[str]:
    """Yield a line for each form that is not decided yet."""
    for form in run.open_forms[:_MAX_INPUTS]:
        title = mrkdwn.bold(form.node_title)
        if form.status.asks:
            until = UNTIL.format(at=mrkdwn.date(form.expires_at)) if form.expires_at else ""
            elsewhere = form.not_shown or obstacle(form) is not None
            waiting = WAITING_ELSEWHERE if elsewhere else WAITING_FOR
            yield waiting.format(who=mrkdwn.mention(run.starter_id), title=title) + until
        elif form.submission and form.submission.user_id:
            yield _on_its_way(run, form, progress).format(title=title, who=mrkdwn.mention(form.submission.user_id))


def _on_its_way(run: Run, form: Form, progress: Progress) -> str:
    if form.status is FormStatus.SETTLING:
        later = CHECKED_WITH_KEY if run.told_refused else CHECKED_LATER
        return later if form.delayed else BEING_SENT
    if is_delayed(run, form):
        return WAITING_FOR_KEY if run.told_refused else WAITING_FOR_ANSWER
    waits = progress.waiting_for_dify and form.status is FormStatus.SUBMITTING
    return WAITING_TO_BE_SENT if waits else BEING_SENT


def _ending(run: Run) -> str:
    match run.status:
        case RunStatus.SUCCEEDED:
            return DONE + _taken(run, IN_TIME)
        case RunStatus.PARTIAL_SUCCEEDED:
            return PARTLY_DONE + _taken(run, IN_TIME)
        case RunStatus.FAILED:
            step = AT_STEP.format(step=mrkdwn.bold(run.failed_step)) if run.failed_step else ""
            error = f": {mrkdwn.one_line(run.error, 300)}" if run.error else ""
            return FAILED + step + _taken(run, AFTER_TIME) + error
        case RunStatus.STOPPED if hit_global_limit(run):
            return GLOBAL_LIMIT.format(taken=_taken(run, AFTER_TIME))
        case RunStatus.STOPPED if run.settlement == Settlement(HeldOutcome.LAPSED):
            return LAPSED
        case RunStatus.STOPPED if run.workflow_run_id is None and run.stop_requested_by:
            return FORGOTTEN.format(who=mrkdwn.mention(run.stop_requested_by))
        case RunStatus.STOPPED:
            stopper = run.stop_requested_by
            stopped = STOPPED_BY.format(who=mrkdwn.mention(stopper)) if stopper else STOPPED
            return stopped + _taken(run, AFTER_TIME)
        case _:
            if run.workflow_run_id is None:
                return UNCONFIRMED
            return GONE if is_gone(run) else LOST


def _taken(run: Run, text: str) -> str:
    if run.started_at is None or run.ended_at is None:
        return ""
    return text.format(time=mrkdwn.duration(run.ended_at - run.started_at))


def inputs_of(run: Run) -> Iterator[str]:
    """Yield a line of mrkdwn for each value that a run was started with, the first ones."""
    given: dict[str, Any] = {"query": run.query, **run.run_inputs} if run.query else dict(run.run_inputs)
    files = {name: names for name in given if (names := names_in(run, name))}
    if beside := names_in(run, None):
        given[FILES] = files[FILES] = beside
    for name, value in list(given.items())[:_MAX_INPUTS]:
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        shown = _file_names(files[name]) if name in files else mrkdwn.one_line(text, _MAX_INPUT)
        yield f"*{mrkdwn.one_line(name, 60)}:* {shown}"
    if len(given) > _MAX_INPUTS:
        yield MORE_INPUTS.format(count=len(given) - _MAX_INPUTS)


def _can_stop(run: Run) -> bool:
    heeds_it = not run.told_stuck and run.stop_requested_by is None
    return run.status is RunStatus.RUNNING and run.task_id is not None and heeds_it


def _stop_button(run: Run) -> ActionsBlock:
    return ActionsBlock(elements=[_stop_element(run)])


def _stop_element(run: Run) -> ButtonElement:
    confirm = ConfirmObject(
        title=CONFIRM_TITLE, text=label(CONFIRM_TEXT, 300), confirm=STOP, deny=CONFIRM_DENY, style="danger"
    )
    return ButtonElement(
        text=label(STOP, 75), action_id=ids.STOP_RUN, value=run.run_id, style="danger", confirm=confirm
    )
