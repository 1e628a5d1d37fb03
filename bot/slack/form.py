"""A form as a message: open, being sent, and decided."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Any

from slack_sdk.models.blocks import (
    ActionsBlock,
    Block,
    ButtonElement,
    InputBlock,
    Option,
    OptionGroup,
    PlainTextInputElement,
    StaticSelectElement,
)

from bot.core.model import ButtonStyle, FileField, Form, FormInput, FormStatus, Paragraph, Run, RunStatus, Select
from bot.slack import ids, mrkdwn
from bot.slack.fields import FIELDS_SHARE, MAX_PREFILL, Menu, Shown, TextField, current, shown_fields
from bot.slack.markdown import is_bare_line, packed, place, plain, safe, safe_pieces, split_at_places, words
from bot.slack.message import MAX_BLOCKS, PART, Message, context, label, markdown, markdown_messages, quote, section

_MARKER = re.compile(r"\{\{#\$output\.([^#{}]+)#\}\}")

_MAX_BUTTON = 75  # slack-platform §2.2
_BUTTONS_PER_BLOCK = 25
_OPTIONS_PER_GROUP = 100  # slack-platform §2.2
_MAX_LABEL, _MIN_LABEL, _LABELS_SHARE = 150, 20, 1_200
_MIN_BUTTON, _BUTTONS_SHARE = 20, 1_500
_TITLES_SHARE = 1_000
_MAX_VALUE, _MIN_VALUE, _VALUES_SHARE = 600, 60, 4_000
_MAX_HINT, _MIN_HINT, _HINTS_SHARE = 150, 46, 1_840
_MAX_FIELDS = 40

# A message of some 13,200 characters was refused (slack-platform §2.1). What the text may take is what is left of
# this after everything else at its longest, so that a form never outgrows its message while it is answered.
_MESSAGE_SHARE = 12_500
_AROUND_SHARE = 1_500
"""Head, deadline, refusal and outcome."""
_BRIEF_SHARE, _MIN_BRIEF = 1_500, 60
"""The text beside the fields, where the whole of it stands in messages of its own."""

ASKS = "{starter} is asked to decide: {title}"
LONG_FORM = "The whole text stands in the messages above."
REFUSED = (
    "⚠️ Dify did not take the last answer: {reason}\nThe values are still here: mend them and press a button again."
)
DEADLINE = "Can be answered until {at}."
NOT_ANSWERABLE = (
    "This form cannot be answered here: its Human Input node has no Web app delivery. "
    "Answer it where Dify delivered it, for example in the e-mail. The run goes on by itself then."
)
NO_ACTIONS = "This form has no buttons, so nobody can answer it. The run waits until the form's deadline passes."
TOO_MANY_FIELDS = (
    "This form has {count} fields, more than a Slack message can hold. "
    "Answer it in Dify; the run goes on by itself then."
)
NO_FILE_YET = "📎 {label}: a file cannot be given in Slack yet. Answer this form in Dify."
NO_FILES_YET = "📎 {label}: files cannot be given in Slack yet; it is sent without any."
KEEPS = "Empty keeps the {size:,} characters of now: {start}"
PRESENT_TEXT = "{label}: the present text"
ALL_OPTIONS = "{label}: all options"
ALL_BUTTONS = "The buttons in full"
TYPE_OPTION = "Enter one of the options listed in the thread."

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


def form_messages(run: Run, form: Form) -> tuple[Message, ...]:
    """Render a form to be posted: what does not fit into its message goes before it, in messages of its own."""
    summary = f"Form: {mrkdwn.one_line(form.node_title)}"
    return (*markdown_messages(summary, _overflow(form)), form_message(run, form))


def form_message(run: Run, form: Form) -> Message:
    """Render a form as it stands: to be answered, on its way to Dify, or decided."""
    title = mrkdwn.bold(form.node_title)
    if form.status in (FormStatus.REQUIRED, FormStatus.OPEN) and not run.status.ended:
        summary = ASKS.format(starter=mrkdwn.mention(run.starter_id), title=title)
        return Message(summary, _open_blocks(run, form, summary))
    result = outcome(run, form)
    return Message(f"{title}: {result}", _closed_blocks(form, title, result))


def labels(form: Form) -> dict[str, str]:
    """Return what people call each input: the nearest text above it, or else its variable's name as words."""
    return {slot.field.name: slot.label for slot in _slots(form)}


def outcome(run: Run, form: Form) -> str:
    """Return in one line of mrkdwn what became of a form's buttons: who chose what, and when."""
    answer = form.submission
    action = _action_title(form, answer.action_id) if answer else ""
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


def _action_title(form: Form, action_id: str) -> str:
    action = form.user_action(action_id)
    return mrkdwn.bold(action.title if action and action.title.strip() else action_id, _MAX_BUTTON)


# --- open ----------------------------------------------------------------------------------------------------------


def _open_blocks(run: Run, form: Form, summary: str) -> tuple[Block, ...]:
    obstacle = _obstacle(form)
    ending: list[Block] = [section(obstacle)] if obstacle else [*_titles(form), *_buttons(run, form)]
    if form.refusal:
        ending.insert(0, section(REFUSED.format(reason=mrkdwn.one_line(form.refusal, 500))))
    if form.expires_at:
        ending.append(context(DEADLINE.format(at=mrkdwn.date(form.expires_at))))
    shown: Mapping[str, Shown] = {} if obstacle else shown_fields(form)

    def fill(slot: _Slot) -> Iterable[Block]:
        return [] if obstacle else [_field(form, slot, shown.get(slot.field.name))]

    return (section(f"📝 {summary}"), *_filled(form, fill), *ending)


def _obstacle(form: Form) -> str | None:
    """Return why a form cannot be answered in Slack, as a sentence that says what to do; None where it can."""
    if not form.answerable or form.form_token is None:
        return NOT_ANSWERABLE
    if not form.user_actions:
        return NO_ACTIONS
    if len(form.inputs) > _MAX_FIELDS:
        return TOO_MANY_FIELDS.format(count=len(form.inputs))
    return None


def _field(form: Form, slot: _Slot, shown: Shown | None) -> Block:
    match shown:
        case TextField():
            return _text_block(form, slot, shown)
        case Menu(texts=texts):
            return InputBlock(
                label=label(slot.label, _MAX_LABEL),
                block_id=slot.block_id(form.revision),
                element=_select(texts, _chosen(form, slot.field)),
            )
        case None:
            many = isinstance(slot.field, FileField) and slot.field.many
            return context((NO_FILES_YET if many else NO_FILE_YET).format(label=mrkdwn.bold(slot.label)))


def _text_block(form: Form, slot: _Slot, shown: TextField) -> InputBlock:
    hint = TYPE_OPTION if shown.of_options else None
    if shown.kept:
        start = " ".join(mrkdwn.clean(shown.kept[:200]).split())
        hint = mrkdwn.shorten(KEEPS.format(size=len(shown.kept), start=start), _hint_room(form))
    return InputBlock(
        label=label(slot.label, _MAX_LABEL),
        block_id=slot.block_id(form.revision),
        element=PlainTextInputElement(
            action_id=ids.FIELD, multiline=not shown.of_options, initial_value=shown.prefill or None
        ),
        optional=isinstance(slot.field, Paragraph) or bool(shown.kept),
        hint=label(hint, _MAX_HINT) if hint else None,
    )


def _chosen(form: Form, field: FormInput) -> int | None:
    value = current(form, field.name)
    return field.options.index(value) if isinstance(field, Select) and value in field.options else None


def _select(texts: Sequence[str], chosen: int | None) -> StaticSelectElement:
    """Values are indexes: an option itself may be longer than Slack's 150 characters (slack-platform §2.3)."""
    options = [Option(text=label(text, _MAX_BUTTON), value=str(index)) for index, text in enumerate(texts)]
    groups = [options[start : start + _OPTIONS_PER_GROUP] for start in range(0, len(options), _OPTIONS_PER_GROUP)]
    return StaticSelectElement(
        action_id=ids.FIELD,
        placeholder="Choose",
        options=options if len(groups) == 1 else None,
        option_groups=[_group(number, group) for number, group in enumerate(groups)] if len(groups) > 1 else None,
        initial_option=None if chosen is None else options[chosen],
    )


def _group(number: int, options: Sequence[Option]) -> OptionGroup:
    first = number * _OPTIONS_PER_GROUP + 1
    return OptionGroup(label=label(f"{first} to {first + len(options) - 1}", _MAX_BUTTON), options=options)


def _titles(form: Form) -> Iterable[Block]:
    """Spell out the titles that do not fit on their buttons, unless they are so many that the thread has to."""
    if 0 < _titles_room(form) <= _TITLES_SHARE:
        yield context("\n".join(f"{number}. {mrkdwn.one_line(title, 300)}" for number, title in _long_titles(form)))


def _buttons(run: Run, form: Form) -> Iterable[Block]:
    buttons = [
        ButtonElement(
            text=label(action.title, _button_room(form), otherwise=action.id),
            action_id=ids.choose_action_id(index),
            value=ids.encode_action(ids.ChosenAction(run.run_id, form.form_id, action.id)),
            # An accent is an emphasis, never a danger; the other styles of Dify have no counterpart.
            style="primary" if action.style is ButtonStyle.PRIMARY else None,
        )
        for index, action in enumerate(form.user_actions)
    ]
    for start in range(0, len(buttons), _BUTTONS_PER_BLOCK):
        yield ActionsBlock(elements=buttons[start : start + _BUTTONS_PER_BLOCK])


# --- no longer open --------------------------------------------------------------------------------------------------


def _closed_blocks(form: Form, title: str, result: str) -> tuple[Block, ...]:
    values = form.submission.values if form.submission and len(form.inputs) <= _MAX_FIELDS else {}

    def given(slot: _Slot) -> Iterable[Block]:
        if slot.field.name in values:
            yield quote(slot.label, mrkdwn.shorten(_readable_value(values[slot.field.name]), _value_room(form)))

    return (section(f"📝 {title}"), *_filled(form, given), section(result))


def _readable_value(value: Any) -> str:
    if value in ("", None):
        return "(left empty)"
    if value == []:
        return "(no files)"
    return (
        mrkdwn.clean(value) if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    ).strip() or "(blank)"


# --- the builder's text, with its fields in place -------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Slot:
    """The place of a field in the form."""

    index: int
    field: FormInput
    label: str

    def block_id(self, revision: int) -> str:
        return ids.field_block_id(revision, self.index, self.field.name)


@dataclass(frozen=True, slots=True)
class _Layout:
    """Safe Markdown and the indexes of inputs, in the builder's order; `whole` where none of the text is missing."""

    parts: tuple[str | int, ...]
    whole: bool

    @property
    def size(self) -> int:
        return sum(len(part) for part in self.parts if isinstance(part, str))


def _filled(form: Form, fill: Callable[[_Slot], Iterable[Block]]) -> Iterator[Block]:
    """Put text and fields together."""
    slots, layout = _slots(form), _layout(form)
    if not layout.whole:
        yield context(LONG_FORM)
    for part in layout.parts:
        if isinstance(part, int):
            yield from fill(slots[part])
        else:
            yield markdown(part)


def _layout(form: Form) -> _Layout:
    """Return the form's text whole, or only what is next to each field, or none of it, as it fits into a message.

    The choice depends on nothing that changes while the form is answered.
    """
    around = 5 + len(form.user_actions) // _BUTTONS_PER_BLOCK
    room = _MESSAGE_SHARE - _reserved(form)
    if len(form.content) <= room:
        whole = _laid_out(form, form.content)
        if whole.size <= room and len(whole.parts) + around <= MAX_BLOCKS:
            return whole
    brief = replace(_laid_out(form, _brief(form)), whole=False)
    if brief.size <= room and len(brief.parts) + around <= MAX_BLOCKS:
        return brief
    return replace(brief, parts=tuple(part for part in brief.parts if isinstance(part, int)))


def _reserved(form: Form) -> int:
    """Return how many characters everything but the text can take, at its longest."""
    fields = sum(_prefill_room(field) for field in form.inputs)
    values = len(form.inputs) * _value_room(form)
    labels = len(form.inputs) * (_label_room(form) + _hint_room(form))
    buttons = len(form.user_actions) * _button_room(form)
    titles = min(_titles_room(form), _TITLES_SHARE)
    return _AROUND_SHARE + max(min(fields, FIELDS_SHARE), values) + labels + buttons + titles


def _prefill_room(field: FormInput) -> int:
    match field:
        case Select(options=options) if options:
            return sum(min(len(option) + 1, _MAX_BUTTON) for option in options)
        case FileField():
            return 0
        case _:
            return MAX_PREFILL


def _each(form: Form, least: int, most: int, share: int) -> int:
    return max(min(most, share // max(len(form.inputs), 1)), least)


def _label_room(form: Form) -> int:
    return _each(form, _MIN_LABEL, _MAX_LABEL, _LABELS_SHARE)


def _hint_room(form: Form) -> int:
    return _each(form, _MIN_HINT, _MAX_HINT, _HINTS_SHARE)


def _value_room(form: Form) -> int:
    return _each(form, _MIN_VALUE, _MAX_VALUE, _VALUES_SHARE)


def _button_room(form: Form) -> int:
    return max(min(_MAX_BUTTON, _BUTTONS_SHARE // max(len(form.user_actions), 1)), _MIN_BUTTON)


def _long_titles(form: Form) -> list[tuple[int, str]]:
    """Return the titles that are too long for their buttons, with the buttons' numbers."""
    numbered = enumerate((action.title for action in form.user_actions), 1)
    return [(number, title) for number, title in numbered if len(mrkdwn.escape(title)) > _button_room(form)]


def _titles_room(form: Form) -> int:
    return sum(len(mrkdwn.escape(title)) + 5 for _, title in _long_titles(form))


def _laid_out(form: Form, content: str) -> _Layout:
    """Place each input where its first marker stands, or at the end; a line that is only a label is left out."""
    left = {field.name: index for index, field in enumerate(form.inputs)}

    def mark(match: re.Match[str]) -> str:
        index = left.pop(match[1].strip(), None)
        return "" if index is None else place(index)

    parts = split_at_places(safe(_MARKER.sub(mark, mrkdwn.clean(content))))
    unplaced = set(range(len(form.inputs))).difference(part for part in parts if isinstance(part, int))
    parts += sorted(unplaced)
    pairs = zip_longest(parts, parts[1:], fillvalue="")
    return _Layout(tuple(kept for part, following in pairs for kept in _without_label(part, following)), whole=True)


def _without_label(part: str | int, following: str | int) -> Iterator[str | int]:
    """Leave out a last line that only names the field after it: the field's label says it."""
    if isinstance(part, int) or isinstance(following, str):
        yield part
        return
    head, _, last = part.rpartition("\n\n")
    if not (last.rstrip("*_ ").endswith((":", "：")) and len(last) <= _MAX_LABEL // 2 and is_bare_line(last)):
        yield part
    elif head:
        yield head


def _slots(form: Form) -> list[_Slot]:
    """Return a slot per input, in the order of the inputs; its label is the nearest text above its marker."""
    above: dict[str, str] = {}
    text, *marked = _MARKER.split(mrkdwn.clean(form.content))
    for name, following in zip(marked[::2], marked[1::2], strict=True):
        above.setdefault(name.strip(), _last_line(text))
        text = following
    names = (above.get(field.name) or mrkdwn.readable(field.name) for field in form.inputs)
    room = _label_room(form)
    return [_Slot(index, form.inputs[index], mrkdwn.shorten(name, room)) for index, name in enumerate(names)]


def _last_line(text: str) -> str:
    """Return the last line with a word in it; empty where there is none, or where it is too long to be a label."""
    for line in reversed(text[-2_000:].split("\n")):
        seen = plain(line).strip(" :：")
        if re.search(r"\w", seen):
            return seen if len(seen) <= _MAX_LABEL else ""
    return ""


def _brief(form: Form) -> str:
    """Return the form's text with only the last words before each marker."""
    *parts, _ = _MARKER.split(mrkdwn.clean(form.content))
    room = max(_BRIEF_SHARE // max(len(parts), 1), _MIN_BRIEF)
    return "\n\n".join(
        f"{{{{#$output.{part}#}}}}" if index % 2 else _end(part, room) for index, part in enumerate(parts)
    )


def _end(text: str, room: int) -> str:
    text = text.strip()
    return text if len(text) <= room else "… " + text[-room:].partition(" ")[2]


def _overflow(form: Form) -> list[str]:
    """Return what people could not read otherwise, as safe Markdown: a long text, long values, options and titles."""
    slots = _slots(form)
    parts: list[str] = []
    if not _layout(form).whole:
        names = {slot.field.name: f"▢ {slot.label}" for slot in slots}
        parts += safe_pieces(_MARKER.sub(lambda match: names.get(match[1].strip(), ""), form.content), PART)
    if _obstacle(form) is None:
        shown = shown_fields(form)
        for slot in slots:
            parts += _overflow_of(slot, shown.get(slot.field.name))
        if _titles_room(form) > _TITLES_SHARE:
            parts += _listed(ALL_BUTTONS, [action.title for action in form.user_actions])
    return parts


def _overflow_of(slot: _Slot, shown: Shown | None) -> list[str]:
    options = slot.field.options if isinstance(slot.field, Select) else ()
    match shown:
        case Menu(numbered=True) | TextField(of_options=True):
            return _listed(ALL_OPTIONS.format(label=slot.label), options)
        case TextField(kept=kept) if kept:
            return [f"**{words(PRESENT_TEXT.format(label=slot.label))}**", *safe_pieces(kept, PART)]
        case _:
            return []


def _listed(title: str, items: Sequence[str]) -> list[str]:
    if not items:
        return []
    lines = (f"{number}. {words(mrkdwn.shorten(item, PART // 2))}" for number, item in enumerate(items, 1))
    return [f"**{words(title)}**", *packed(lines, PART, between="\n")]
