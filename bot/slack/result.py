"""What a run produced: the text while it is written, and the outputs or the error at the end."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from slack_sdk.models.blocks import ActionsBlock, Block, ButtonElement

from bot.core.model import AppMode, Form, FormStatus, Run, RunStatus
from bot.slack import ids, mrkdwn
from bot.slack.form_room import MAX_BUTTON
from bot.slack.markdown import code, headed, is_bare, packed, pieces, safe_chapters, safe_pieces, words
from bot.slack.message import (
    BELOW_TITLE,
    MESSAGES,
    PART,
    Message,
    TextFile,
    context,
    file_stem,
    going_on,
    label,
    markdown_messages,
    section,
    verbatim,
)
from bot.slack.outcome import hit_global_limit, is_gone

_MAX_ERROR = 2_500
_MAX_LINE = 200
_MAX_NAMES = 5

WRITING = "✍️ …"
WRITING_FILE = "✍️ … The text is longer than what messages show: the whole of it follows as a file."
MAY_BE_CUT = "✂️ This text may not be complete: I did not hear its end. The whole of it is in Dify's log of this run."
RESULT = "Result of {app}"
TEXT_FILE = "Text of {app}"
NO_OUTPUTS = "✅ {app} is done. It has no outputs."
FILE = "📎 {name}"
PARTLY = "⚠️ Some steps of {app} failed and their outputs may be missing. Dify's log of the run tells which."
FAILED = "❌ {app} failed. What it did before is kept in Dify's log of the run. Dify says:"
FAILED_AT = "❌ {app} failed at {step}. What it did before is kept in Dify's log of the run. Dify says:"
NOT_STARTED = "❌ Dify did not start {app}. Nothing has been run. The reason:"
START_AGAIN = "Try again"
NOT_TAKEN = (
    "❌ Dify did not take this message, so there is no answer to it. The conversation goes on: write again here. "
    "The reason:"
)
NOT_ANSWERED = "⌛ {app} is done. It has no outputs: {forms} not answered in time."
GLOBAL_LIMIT = (
    "⌛ Dify ended {app}: a form waited longer for its answer than any form may on this Dify server. What the run did "
    "before is kept in Dify's log; if you still need it, start a new run. The limit is an admin's setting of the "
    "server, HUMAN_INPUT_GLOBAL_TIMEOUT_SECONDS. Dify says:"
)
STOPPED_BY = "⏹️ {app} was stopped by {who}. What it did before is kept in Dify's log of the run."
STOPPED = "⏹️ {app} was stopped in Dify. What it did before is kept in Dify's log of the run."
UNCONFIRMED = (
    "❔ Dify did not confirm that {app} was started: it may be running or not. "
    "Look at Dify's log before you start it again, or its work may be done twice."
)
GONE = (
    "❔ Dify no longer knows this run of {app}: it was deleted there, perhaps by a clean-up of old runs. Its result "
    "cannot be shown here and its forms cannot be answered any more. If you still need it, start a new run. Dify says:"
)
LOST = (
    "❔ I lost sight of this run of {app} and do not look for it any more. Look at Dify's log before you start it "
    "again, or its work may be done twice. The reason:"
)

_DIFY_FILE = "__dify__file__"


def answer_messages(text: str, *, writing: bool = True, cut: bool = False) -> tuple[Message, ...]:
    """Render the text that a run writes between two forms, from its beginning on.

    `writing` while more is to come: then as much as is shown in messages. `cut` where a part of one that is over was
    not heard. None at all where nothing was written that can be seen.
    """
    shown = text[: (MESSAGES + 1) * PART] if writing else text
    summary = mrkdwn.one_line(text[:_MAX_ERROR]) or WRITING
    messages = going_on(markdown_messages(summary, safe_chapters(shown, PART)))
    if not writing and not any(message.blocks for message in messages):
        return (Message(MAY_BE_CUT, (context(MAY_BE_CUT),)),) if cut else ()
    *first, last = (messages[:MESSAGES] if writing else messages) or (Message(WRITING, ()),)
    if writing and len(messages) > MESSAGES:
        last = Message(last.text, last.blocks[:-1]).ending(context(WRITING_FILE, ids.WRITING))
    elif writing:
        last = last.ending(context(WRITING, ids.WRITING))
    return (*first, last.ending(context(MAY_BE_CUT)) if cut else last)


def cut_answer(shown: Mapping[str, Any], *, has_file: bool = False) -> Message | None:
    """Render the last message of a text, as Slack gives it back, once nobody writes it any more.

    None where the text is done: nothing is to come, or the file that is announced is there.
    """
    unkept = {ids.WRITING, ids.GOES_ON} if has_file else {ids.WRITING, ids.GOES_ON, ids.IN_FILE}
    blocks = shown.get("blocks") or []
    left = [block for block in blocks if block.get("block_id") not in unkept]
    if len(left) == len(blocks):
        return None
    summary = str(shown.get("text") or "") if left else ""
    return Message(summary or MAY_BE_CUT, (*Block.parse_all(left), context(MAY_BE_CUT)))


def answer_file(run: Run, text: str) -> TextFile:
    """Return the text that a run wrote between two forms as a file."""
    stem = file_stem(run.app)
    return TextFile(stem, "md", TEXT_FILE.format(app=stem), text)


def result_file(run: Run) -> TextFile:
    """Return all outputs of a run as a file: a single value that is no text as JSON, everything else as Markdown."""
    unnamed, named = _unnamed_apart(run)
    stem = file_stem(run.app)
    title = RESULT.format(app=stem)
    match list(named.values()):
        case [dict() | list() as value] if not unnamed:
            return TextFile(stem, "json", title, _dumped(value))
        case _:
            chapters = [f"## {mrkdwn.shorten(name, _MAX_LINE)}\n\n{_as_text(value)}" for name, value in named.items()]
            return TextFile(stem, "md", title, "\n\n".join([unnamed, *chapters] if unnamed else chapters))


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else f"```json\n{_dumped(value)}\n```"


def _dumped(value: Any) -> str:
    return json.dumps(_without_addresses(value), ensure_ascii=False, indent=2)


def result_messages(run: Run) -> tuple[Message, ...]:
    """Render the end of a run: its outputs, or why there are none."""
    app = mrkdwn.bold(run.app)
    match run.status:
        case RunStatus.SUCCEEDED if outputs := _outputs(run):
            return outputs
        case RunStatus.PARTIAL_SUCCEEDED:
            return (_notice(PARTLY.format(app=app)), *_outputs(run))
        case RunStatus.FAILED if run.workflow_run_id is None:
            if run.is_reply:
                return (_notice(NOT_TAKEN, run.error),)
            return (_notice(NOT_STARTED.format(app=app), run.error).ending(_start_again(run)),)
        case RunStatus.FAILED:
            text = (
                FAILED_AT.format(app=app, step=mrkdwn.bold(run.failed_step))
                if run.failed_step
                else FAILED.format(app=app)
            )
            return (_notice(text, run.error),)
        case RunStatus.STOPPED if hit_global_limit(run):
            return (_notice(GLOBAL_LIMIT.format(app=app), run.error),)
        case RunStatus.STOPPED if run.stop_requested_by:
            return (_notice(STOPPED_BY.format(app=app, who=mrkdwn.mention(run.stop_requested_by))),)
        case RunStatus.STOPPED:
            return (_notice(STOPPED.format(app=app), run.error),)
        case RunStatus.LOST:
            lost = UNCONFIRMED if run.workflow_run_id is None else GONE if is_gone(run) else LOST
            return (_notice(lost.format(app=app), run.error),)
        case _ if names := [mrkdwn.bold(form.node_title) for form in run.forms if _expired(run, form)]:
            forms = f"{', '.join(names[:_MAX_NAMES])} {'was' if len(names) == 1 else 'were'}"
            return (_notice(NOT_ANSWERED.format(app=app, forms=forms)),)
        case _:
            return (_notice(NO_OUTPUTS.format(app=app)),)


def _expired(run: Run, form: Form) -> bool:
    """Tell whether a form's deadline passed before the run ended; what became of it may not be known yet."""
    passed = form.expires_at is not None and run.ended_at is not None and form.expires_at <= run.ended_at
    return form.status is FormStatus.TIMED_OUT or (passed and not form.status.closed)


def _start_again(run: Run) -> Block:
    button = ButtonElement(text=label(START_AGAIN, MAX_BUTTON), action_id=ids.START_AGAIN, value=run.run_id)
    return ActionsBlock(elements=[button])


def _notice(text: str, error: str | None = None) -> Message:
    said = mrkdwn.shorten(mrkdwn.clean(error or "").strip(), _MAX_ERROR)
    details: list[Block] = [verbatim(said)] if said else []
    return Message(text, (section(text), *details))


def _outputs(run: Run) -> tuple[Message, ...]:
    summary = RESULT.format(app=mrkdwn.one_line(run.app))
    unnamed, named = _unnamed_apart(run)
    parts = safe_chapters(unnamed, PART) + [part for name, value in named.items() for part in _output(name, value)]
    return going_on(markdown_messages(summary, parts))


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
    # Half a part: escaping makes code longer.
    for piece in pieces(mrkdwn.clean(_dumped(value)), PART // 6):
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
