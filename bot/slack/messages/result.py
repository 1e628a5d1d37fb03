"""What a run produced: the text while it is written, and the outputs or the error at the end."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from slack_sdk.models.blocks import ActionsBlock, Block, ButtonElement

from bot.core.attaching import refusal_of
from bot.core.model import AppMode, Form, FormStatus, Run, RunStatus, SegmentText, repeated
from bot.core.out_files import LINKED, is_file, is_remote, without_addresses
from bot.slack import ids
from bot.slack.forms.room import MAX_BUTTON
from bot.slack.messages.message import (
    BELOW_TITLE,
    MAX_TEXT,
    MESSAGES,
    PART,
    Message,
    TextFile,
    context,
    file_stem,
    going_on,
    label,
    section,
    text_messages,
    verbatim,
)
from bot.slack.messages.outcome import hit_global_limit, is_gone
from bot.slack.text import mrkdwn
from bot.slack.text.markdown import (
    begun_anew,
    code,
    headed,
    is_bare,
    packed,
    safe,
    safe_chapters,
    safe_pieces,
    words,
)

_MAX_ERROR = 2_500
_MAX_LINE = 200
_MAX_NAMES = 5

WRITING = "✍️ …"
WRITING_FILE = "✍️ … The text is longer than what messages show: the whole of it follows as a file."
MAY_BE_CUT = "✂️ This text may not be complete: I did not hear its end. The whole of it is in Dify's log of this run."
RESULT = "Result of {app}"
TEXT_FILE = "Text of {app}"
ANSWER_ABOVE = "✅ {app} is done; its answer stands above."
RESULT_ABOVE = "✅ {app} is done; {name} stands above."
STANDS_ABOVE = "⬆️ stands above"
NO_OUTPUTS = "✅ {app} is done. It has no outputs."
PARTLY = "⚠️ Some steps of {app} failed and their outputs may be missing. Dify's log of the run tells which."
FAILED = "❌ {app} failed. What it did before is kept in Dify's log of the run. Dify says:"
FAILED_AT = "❌ {app} failed at {step}. What it did before is kept in Dify's log of the run. Dify says:"
NOT_STARTED = "❌ Dify did not start {app}. Nothing has been run. The reason:"
START_AGAIN = "Try again"
NOT_TAKEN = (
    "❌ Dify did not take this message, so there is no answer to it. The conversation goes on: write again here. "
    "The reason:"
)
FILE_REFUSED = (
    "❌ {app} was not started, and nothing has been run: a file cannot be used. The button opens the window with all "
    "the rest filled in, so that you can choose another one. The reason:"
)
FILE_NOT_TAKEN = (
    "❌ This message was not sent: a file of it cannot be used. The conversation goes on: write again here, with "
    "another file or without. The reason:"
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

STILL_WRITING = context(WRITING, ids.WRITING)
"""The line at the end of a text of which more is to come."""


def answer_messages(
    text: str, *, writing: bool = True, cut: bool = False, breaks: Sequence[int] = ()
) -> tuple[Message, ...]:
    """Render the text that a run writes between two forms, from its beginning on.

    `writing` while more is to come: then as much as is shown in messages. `cut` where a part of one that is over was
    not heard. At each of `breaks`, counted in characters of the text, a message begins. None at all where nothing was
    written that can be seen.
    """
    shown = text[: (MESSAGES + 1) * PART] if writing else text
    summary = mrkdwn.one_line(text[:_MAX_ERROR]) or WRITING
    texts = [piece for part in _broken(shown, breaks) for piece in safe_chapters(part, PART)]
    messages = going_on(text_messages(summary, texts))
    if not writing and not any(message.blocks for message in messages):
        return (Message(MAY_BE_CUT, (context(MAY_BE_CUT),)),) if cut else ()
    *first, last = (messages[:MESSAGES] if writing else messages) or (Message(WRITING, ()),)
    if writing and len(messages) > MESSAGES:
        last = Message(last.text, last.blocks[:-1]).ending(context(WRITING_FILE, ids.WRITING))
    elif writing:
        last = last.ending(STILL_WRITING)
    return (*first, last.ending(context(MAY_BE_CUT)) if cut else last)


def announces_file(message: Message) -> bool:
    """Tell whether a message of a text that is being written is the last one that messages show of it."""
    return message.blocks[-1].to_dict() == context(WRITING_FILE, ids.WRITING).to_dict()


def _broken(text: str, breaks: Sequence[int]) -> list[str]:
    return [text[begin:end] for begin, end in pairwise((0, *breaks, len(text)))]


def cut_answer(shown: Mapping[str, Any], *, has_file: bool = False, streamed: bool = False) -> Message | None:
    """Render the last message of a text, as Slack gives it back, once nobody writes it any more.

    None where the text is done: nothing is to come, or the file that is announced is there; never for one that is a
    stream that nobody ended (`streamed`).
    """
    unkept = {ids.WRITING, ids.GOES_ON} if has_file else {ids.WRITING, ids.GOES_ON, ids.IN_FILE}
    blocks = shown.get("blocks") or []
    left = [block for block in blocks if block.get("block_id") not in unkept]
    if len(left) == len(blocks) and not streamed:
        return None
    summary = str(shown.get("text") or "")[:MAX_TEXT] if left else ""
    return Message(summary or MAY_BE_CUT, (*Block.parse_all(left), context(MAY_BE_CUT)))


def was_cut(shown: Mapping[str, Any]) -> bool:
    """Tell whether a message, as Slack gives it back, says that the text above may not be complete."""
    return MAY_BE_CUT in json.dumps(shown.get("blocks") or [], ensure_ascii=False)


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
    return value if isinstance(value, str) else _fenced([_dumped(value)])


def _fenced(lines: Sequence[str]) -> str:
    # No line of JSON begins with a backtick.
    return "\n".join(("```json", *lines, "```"))


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
            is_file = refusal_of(run.start_attachments) is not None
            if run.is_reply:
                return (_notice(FILE_NOT_TAKEN if is_file else NOT_TAKEN, run.error),)
            not_started = FILE_REFUSED if is_file else NOT_STARTED
            return (_notice(not_started.format(app=app), run.error).ending(_start_again(run)),)
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
    above = _standing_above(run)
    left = unnamed
    if run.mode is AppMode.CHATFLOW and (known := repeated(unnamed, run.texts_above)):
        left = begun_anew(unnamed[:known], unnamed[known:])
        if not (left.strip() or named):
            return (_notice(ANSWER_ABOVE.format(app=mrkdwn.bold(run.app))),)
    elif unnamed and above:
        name = mrkdwn.bold(next(iter(above)))
        return (_notice(RESULT_ABOVE.format(app=mrkdwn.bold(run.app), name=name)),)
    texts = safe_chapters(left, PART)
    parts = [part for name, value in named.items() for part in _output(name, value, is_above=name in above)]
    return going_on(text_messages(summary, [*texts[:-1], *packed([*texts[-1:], *parts], PART)]))


def _standing_above(run: Run) -> frozenset[str]:
    """Return the outputs of a Workflow whose texts stand above its last form.

    Its stream joins them by newlines, in their order, as far as they are known (recordings 01, 07).
    """
    shown = [text for text in run.texts if text.shown]
    if run.mode is AppMode.CHATFLOW or not shown:
        return frozenset()
    texts = [
        (name, without_addresses(value) if isinstance(value, str) else json.dumps(value))
        for name, value in run.outputs.items()
    ]
    in_a_row = (texts[start:end] for start in range(len(texts)) for end in range(start + 1, len(texts) + 1))
    return frozenset(
        name
        for some in in_a_row
        if _is_any_of(shown, [value for _, value in some])
        for name, value in some
        if value.strip()
    )


def _is_any_of(shown: Sequence[SegmentText], values: Sequence[str]) -> bool:
    """Tell whether one of some texts is these values, each on a new line; another one may have been to come."""
    size = sum(map(len, values)) + len(values) - 1
    likely = [text for text in shown if text.length in (size, size + 1)]
    joined = "\n".join(values) if likely else ""
    return any(text.is_of(joined) or text.is_of(f"{joined}\n") for text in likely)


def _unnamed_apart(run: Run) -> tuple[str, Mapping[str, Any]]:
    """Split off the text that says what it is without a name: a Chatflow's answer, or the only output of a Workflow.

    A Chatflow always has `files` too, mostly none (recording 15).
    """
    texts = {name: without_addresses(value) for name, value in run.outputs.items() if isinstance(value, str)}
    match {**run.outputs, **texts}:
        case {"answer": str(answer), **others} if run.mode is AppMode.CHATFLOW:
            return answer, {name: value for name, value in others.items() if (name, value) != ("files", [])}
        case outputs if len(outputs) == 1 and isinstance(text := next(iter(outputs.values())), str) and text.strip():
            return text, {}
        case outputs:
            return "", outputs


def _output(name: str, value: Any, *, is_above: bool = False) -> Iterator[str]:
    title = words(mrkdwn.shorten(name, _MAX_LINE)) or "–"
    if is_above:
        yield f"**{title}:** {STANDS_ABOVE}"
    elif isinstance(value, str) and len(value) <= _MAX_LINE and "\n" not in value.strip() and is_bare(value):
        yield f"**{title}:** {safe(mrkdwn.clean(value)) or '–'}"
    elif isinstance(value, str):
        yield from headed(title, safe_pieces(value, BELOW_TITLE))
    elif value in (None, [], {}):
        yield f"**{title}:** –"
    elif _is_files(value):
        files = value if isinstance(value, list) else [value]
        yield from packed([f"**{title}:**", *map(_file, files)], PART, between=" ")
    elif isinstance(value, dict | list):
        yield from headed(title, _json(value))
    else:
        yield f"**{title}:** {words(mrkdwn.shorten(json.dumps(value), _MAX_LINE))}"


def _json(value: Any) -> Iterator[str]:
    """Yield JSON as code, as much at a time as a message holds; only a line that is longer than that is cut itself."""
    frame = len(code("", "json"))
    lines, size = list[str](), frame
    for line in _dumped(value).split("\n"):
        # Escaping makes code longer.
        written = len(code(line, "json")) - frame + 1
        if lines and size + written > BELOW_TITLE:
            yield from safe_pieces(_fenced(lines), BELOW_TITLE)
            lines, size = [], frame
        lines.append(line)
        size += written
    yield from safe_pieces(_fenced(lines), BELOW_TITLE)


def _is_files(value: Any) -> bool:
    return is_file(value) or (isinstance(value, list) and bool(value) and all(is_file(item) for item in value))


def _file(file: dict[str, Any]) -> str:
    """Name a file in safe Markdown; one that is elsewhere, and not Dify's to give, is linked."""
    name = _file_name(file)
    return safe(f"[{words(name)}]({file.get('url')})") if is_remote(file) else words(name)


def _file_name(file: dict[str, Any]) -> str:
    return LINKED.format(name=mrkdwn.shorten(str(file.get("filename") or "file"), _MAX_LINE))


def _without_addresses(value: Any) -> Any:
    """Name files instead of linking them; what is elsewhere, and not Dify's to give, keeps its address."""
    if is_file(value):
        return f"{_file_name(value)}: {value.get('url')}" if is_remote(value) else _file_name(value)
    if isinstance(value, dict):
        return {name: _without_addresses(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_without_addresses(item) for item in value]
    return without_addresses(value) if isinstance(value, str) else value
