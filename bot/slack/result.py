"""What a run produced: the text while it is written, and the outputs or the error at the end."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from slack_sdk.models.blocks import Block

from bot.core.model import AppMode, Run, RunStatus
from bot.slack import mrkdwn
from bot.slack.markdown import code, headed, is_bare, packed, pieces, safe_pieces, safe_tail, words
from bot.slack.message import BELOW_TITLE, PART, Message, context, markdown, markdown_messages, section, verbatim

_MAX_ERROR = 2_500
_MAX_LINE = 200

WRITING = "✍️ …"
EARLIER = "… The beginning is left out while the text is being written."
RESULT = "Result of {app}"
NO_OUTPUTS = "✅ {app} is done. It has no outputs."
FILE = "📎 {name}"
PARTLY = "⚠️ Some steps of {app} failed and their outputs may be missing. Dify's log of the run tells which."
FAILED = "❌ {app} failed. What it did before is kept in Dify's log of the run. Dify says:"
FAILED_AT = "❌ {app} failed at {step}. What it did before is kept in Dify's log of the run. Dify says:"
NOT_STARTED = "❌ Dify did not start {app}. Nothing has been run. Dify says:"
STOPPED_BY = "⏹️ {app} was stopped by {who}. What it did before is kept in Dify's log of the run."
STOPPED = "⏹️ {app} was stopped in Dify. What it did before is kept in Dify's log of the run."
UNCONFIRMED = (
    "❔ Dify did not confirm that {app} was started: it may be running or not. "
    "Look at Dify's log before you start it again, or its work may be done twice."
)
LOST = "❔ Dify no longer knows this run of {app}, so its result cannot be shown here. Look at Dify's log."

_DIFY_FILE = "__dify__file__"


def answer_message(text: str) -> Message:
    """Render the text of a run that is still writing; of a long one the end."""
    written = safe_tail(text, PART)
    if not written.strip():
        return Message(WRITING, (context(WRITING),))
    missing: list[Block] = [context(EARLIER)] if len(text) > PART else []
    return Message(mrkdwn.one_line(text[-_MAX_ERROR:]), (*missing, markdown(written)))


def replaces_answer(run: Run) -> bool:
    """Say whether the result takes the place of the streamed text; an error does not: what was written stays."""
    return bool(run.outputs) and run.status in (RunStatus.SUCCEEDED, RunStatus.PARTIAL_SUCCEEDED)


def result_messages(run: Run) -> tuple[Message, ...]:
    """Render the end of a run: its outputs, or why there are none."""
    app = mrkdwn.bold(run.app)
    match run.status:
        case RunStatus.SUCCEEDED if outputs := _outputs(run):
            return outputs
        case RunStatus.PARTIAL_SUCCEEDED:
            return (_notice(PARTLY.format(app=app)), *_outputs(run))
        case RunStatus.FAILED if run.workflow_run_id is None:
            return (_notice(NOT_STARTED.format(app=app), run.error),)
        case RunStatus.FAILED:
            text = (
                FAILED_AT.format(app=app, step=mrkdwn.bold(run.failed_step))
                if run.failed_step
                else FAILED.format(app=app)
            )
            return (_notice(text, run.error),)
        case RunStatus.STOPPED if run.stop_requested_by:
            return (_notice(STOPPED_BY.format(app=app, who=mrkdwn.mention(run.stop_requested_by))),)
        case RunStatus.STOPPED:
            return (_notice(STOPPED.format(app=app), run.error),)
        case RunStatus.LOST:
            lost = LOST if run.workflow_run_id else UNCONFIRMED
            return (_notice(lost.format(app=app), run.error),)
        case _:
            return (_notice(NO_OUTPUTS.format(app=app)),)


def _notice(text: str, error: str | None = None) -> Message:
    said = mrkdwn.shorten(mrkdwn.clean(error or "").strip(), _MAX_ERROR)
    details: list[Block] = [verbatim(said)] if said else []
    return Message(text, (section(text), *details))


def _outputs(run: Run) -> tuple[Message, ...]:
    summary = RESULT.format(app=mrkdwn.one_line(run.app))
    unnamed, named = _unnamed_apart(run)
    parts = safe_pieces(unnamed, PART) + [part for name, value in named.items() for part in _output(name, value)]
    return markdown_messages(summary, parts)


def _unnamed_apart(run: Run) -> tuple[str, Mapping[str, Any]]:
    """Split off the text that says what it is without a name: a Chatflow's answer, or the only output of a Workflow.

    A Chatflow always has `files` too, mostly none (recording 15).
    """
    match dict(run.outputs):
        case {"answer": str(answer), **others} if run.mode is AppMode.CHATFLOW:
            return answer, {name: value for name, value in others.items() if (name, value) != ("files", [])}
        case outputs if len(outputs) == 1 and isinstance(text := next(iter(outputs.values())), str) and text.strip():
            return text, {}
        case outputs:
            return "", outputs


def _output(name: str, value: Any) -> Iterator[str]:
    title = words(mrkdwn.shorten(name, _MAX_LINE)) or "–"
    if isinstance(value, str) and len(value) <= _MAX_LINE and "\n" not in value.strip() and is_bare(value):
        yield f"**{title}:** {words(value) or '–'}"
    elif isinstance(value, str):
        yield from headed(title, safe_pieces(value, BELOW_TITLE))
    elif value in (None, [], {}):
        yield f"**{title}:** –"
    elif _is_files(value):
        files = value if isinstance(value, list) else [value]
        yield from packed([f"**{title}:**", *(words(_file_name(file)) for file in files)], PART, between=" ")
    elif isinstance(value, dict | list):
        yield from headed(title, _json(value))
    else:
        yield f"**{title}:** {words(mrkdwn.shorten(json.dumps(value), _MAX_LINE))}"


def _json(value: Any) -> Iterator[str]:
    text = json.dumps(_without_addresses(value), ensure_ascii=False, indent=2)
    # Half a part: escaping makes code longer.
    for piece in pieces(mrkdwn.clean(text), PART // 6):
        yield code(piece, "json")


def _is_file(value: Any) -> bool:
    return isinstance(value, dict) and value.get("dify_model_identity") == _DIFY_FILE


def _is_files(value: Any) -> bool:
    return _is_file(value) or (isinstance(value, list) and bool(value) and all(_is_file(item) for item in value))


def _file_name(file: dict[str, Any]) -> str:
    return FILE.format(name=mrkdwn.shorten(str(file.get("filename") or "file"), _MAX_LINE))


def _without_addresses(value: Any) -> Any:
    """Name files instead of linking them: the address Dify gives is a signed one, good for whoever reads it."""
    if _is_file(value):
        return _file_name(value)
    if isinstance(value, dict):
        return {name: _without_addresses(item) for name, item in value.items()}
    return [_without_addresses(item) for item in value] if isinstance(value, list) else value
