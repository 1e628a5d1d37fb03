"""A form as a message: open, being sent, and decided."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby, zip_longest
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

from bot.core.files import attachment_ids
from bot.core.model import ButtonStyle, FileField, Form, FormInput, FormStatus, Paragraph, Run, Select
from bot.core.submission import prefilled
from bot.slack import ids
from bot.slack.forms.card import takes
from bot.slack.forms.fields import MAX_OPTION, Menu, Shown, TextField, initial, shown_fields, visible, window_fields
from bot.slack.forms.layout import BUTTONS_PER_BLOCK, Layout, Picture, Slot, Spot, layout, slots
from bot.slack.forms.overflow import overflowing_fields, overflowing_text
from bot.slack.forms.room import (
    MAX_BUTTON,
    MAX_FIELDS,
    MAX_HINT,
    MAX_LABEL,
    OPEN_WINDOW,
    button_room,
    button_titles,
    hint_room,
    long_titles,
    titles_fit,
    value_room,
)
from bot.slack.messages.message import Message, context, image, label, markdown, markdown_messages, quote, section
from bot.slack.messages.outcome import mending, outcome, refusal
from bot.slack.text import mrkdwn

_OPTIONS_PER_GROUP = 100  # slack-platform §2.2
MAX_WINDOW_FIELDS = 80
_MAX_UNCHANGED = 100
_MAX_NAMED = 5
_TAKEN_BY_DIFY = (FormStatus.SUBMITTED, FormStatus.ANSWERED_ELSEWHERE)

ASKS = "{starter} is asked to decide: {title}"
WAITS = "{starter}, this run waits for {title}, which cannot be answered here."
LONG_FORM = "The whole text stands in the messages above."
REFUSED = "⚠️ {why}\nThe values are still here. {mending}"
LAST_ANSWER, PRESS_AGAIN = "the last answer", "press a button again"
DEADLINE = "Can be answered until {at}."
NOT_ANSWERABLE = (
    "This form cannot be answered here: its Human Input node lacks the delivery method *Web app*, or has a kind of "
    "field that I do not know. Answer it where Dify delivered it, for example in the e-mail; the run goes on by itself "
    "then. Whoever builds the app can change that for coming runs: add *Web app* to the delivery methods of this node "
    "in Dify, and publish the app."
)
NO_ACTIONS = (
    "This form has no buttons, so nobody can answer it. The run waits until the form's deadline passes. "
    "Whoever builds the app can change that for coming runs: add a button to this Human Input node in Dify, and "
    "publish the app."
)
NO_OPTIONS = (
    "Nobody can answer this form: {fields} without options to choose from, and Dify takes nothing else there. The run "
    "waits until the form's deadline passes. Whoever builds the app can change that for coming runs: add options in "
    "this Human Input node in Dify, and publish the app."
)
NO_OPTIONS_OF_ONE, NO_OPTIONS_OF_MANY = "its menu {names} is", "its menus {names} are"
ONLY_IN_WINDOW = "This form has {count} fields, more than a message can hold. Open it in its window to answer it."
TOO_MANY_FIELDS = (
    "This form has {count} fields, more than Slack can show at once. Answer it in Dify; the run goes on by itself then."
)
KEEPS = "Empty keeps the {size:,} characters of now; open in window to edit them: {start}"
KEEPS_UNEDITED = "Empty keeps the {size:,} characters of now, which are too many for a window: {start}"
TYPE_OPTION = "Choose it in the window, or enter one of the options listed in the thread."
UNCHANGED = "(unchanged) {start}"
REST = "and {count:,} more characters"
REST_IN_DIFY = "and {count:,} more characters; Dify has them all"


def form_messages(run: Run, form: Form) -> tuple[Message, ...]:
    """Render a form to be posted: what does not fit into its message goes before it, in messages of its own."""
    summary = f"Form: {mrkdwn.one_line(form.node_title)}"
    overflow = overflowing_text(form, run.out_files)
    if obstacle(form) is None:
        overflow += overflowing_fields(form, window_fields(form) if _fits_window_only(form) else shown_fields(form))
    return (*_before(summary, overflow), form_message(run, form))


def _before(summary: str, parts: Iterable[str | Picture]) -> tuple[Message, ...]:
    """Put what goes before a form's message into messages, with each image at the end of what stands above it."""
    found: list[Message] = []
    for is_text, group in groupby(parts, key=lambda part: isinstance(part, str)):
        if is_text:
            found += markdown_messages(summary, [part for part in group if isinstance(part, str)])
            continue
        images = [image(part.file_id, part.name) for part in group if isinstance(part, Picture)]
        above = found.pop() if found else Message(summary, ())
        found.append(Message(above.text, (*above.blocks, *images)))
    return tuple(found)


def form_message(run: Run, form: Form) -> Message:
    """Render a form as it stands: to be answered, on its way to Dify, or decided."""
    title = mrkdwn.bold(form.node_title)
    if run.asks_for(form):
        asked = ASKS if obstacle(form) is None else WAITS
        summary = asked.format(starter=mrkdwn.mention(run.starter_id), title=title)
        return Message(summary, _open_blocks(run, form, summary))
    result = outcome(run, form)
    return Message(f"{title}: {result}", _closed_blocks(run, form, title, result))


def _filled(form: Form, placed: Layout, fill: Callable[[Slot], Iterable[Block]]) -> Iterator[Block]:
    """Put text and fields together."""
    named = slots(form)
    if not placed.whole:
        yield context(LONG_FORM)
    for part in placed.parts:
        if isinstance(part, Spot):
            field = list(fill(named[part.index]))
            yield from field or ([markdown(part.caption)] if part.caption else [])
        elif isinstance(part, Picture):
            yield image(part.file_id, part.name)
        else:
            yield markdown(part)


# --- open ----------------------------------------------------------------------------------------------------------


def _open_blocks(run: Run, form: Form, summary: str) -> tuple[Block, ...]:
    hindrance = obstacle(form)
    ending: list[Block]
    if hindrance:
        ending = [section(hindrance)]
    elif _fits_window_only(form):
        ending = [section(ONLY_IN_WINDOW.format(count=len(form.inputs))), *_rows([_window_button(run, form)])]
    else:
        ending = [*_titles(form), *_rows([*_buttons(run, form), _window_button(run, form)])]
    if form.refusal:
        why, mend = refusal(run, form, LAST_ANSWER, form.refusal), mending(run, form, PRESS_AGAIN)
        ending.insert(0, section(REFUSED.format(why=why, mending=mend)))
    if form.expires_at:
        ending.append(context(DEADLINE.format(at=mrkdwn.date(form.expires_at))))
    without_fields = bool(hindrance) or _fits_window_only(form)
    shown: Mapping[str, Shown] = {} if without_fields else shown_fields(form)

    def fill(slot: Slot) -> Iterable[Block]:
        return [] if without_fields else [_field(form, slot, shown.get(slot.field.name))]

    return (section(f"📝 {summary}"), *_filled(form, layout(form, run.out_files), fill), *ending)


def obstacle(form: Form) -> str | None:
    """Return why a form cannot be answered in Slack, as a sentence that says what to do; None where it can."""
    if not form.answerable or form.form_token is None:
        return NOT_ANSWERABLE
    if not form.user_actions:
        return NO_ACTIONS
    if any(isinstance(field, Select) and field.takes_nothing for field in form.inputs):
        return _without_options(form)
    if len(form.inputs) > MAX_WINDOW_FIELDS:
        return TOO_MANY_FIELDS.format(count=len(form.inputs))
    return None


def _without_options(form: Form) -> str:
    names = [
        f"“{mrkdwn.one_line(slot.label)}”"
        for slot in slots(form)
        if isinstance(slot.field, Select) and slot.field.takes_nothing
    ]
    fields = NO_OPTIONS_OF_ONE if len(names) == 1 else NO_OPTIONS_OF_MANY
    return NO_OPTIONS.format(fields=fields.format(names=", ".join(names[:_MAX_NAMED])))


def _fits_window_only(form: Form) -> bool:
    return len(form.inputs) > MAX_FIELDS


def _field(form: Form, slot: Slot, shown: Shown | None) -> Block:
    match shown:
        case TextField():
            return _text_block(form, slot, shown)
        case Menu():
            return InputBlock(
                label=label(slot.label, MAX_LABEL),
                block_id=slot.block_id(form.revision),
                element=select_menu(slot.field, shown, initial(form, slot.field, shown)),
            )
        case None:
            assert isinstance(slot.field, FileField), "every other field has one"
            return context(takes(slot.field, slot.label))


def _text_block(form: Form, slot: Slot, shown: TextField) -> InputBlock:
    hint = TYPE_OPTION if shown.of_options else None
    if shown.kept:
        hint = kept_hint(form, slot.field, shown.kept)
    return InputBlock(
        label=label(slot.label, MAX_LABEL),
        block_id=slot.block_id(form.revision),
        element=PlainTextInputElement(
            action_id=ids.FIELD, multiline=not shown.of_options, initial_value=shown.prefill or None
        ),
        optional=isinstance(slot.field, Paragraph) or bool(shown.kept),
        hint=label(hint, MAX_HINT) if hint else None,
    )


def kept_hint(form: Form, field: FormInput, kept: str) -> str:
    """Return what stands below a field that, left empty, means a text too long for it."""
    keeps = KEEPS if field.name in prefilled(form) else KEEPS_UNEDITED
    return mrkdwn.shorten(keeps.format(size=len(kept), start=_first_words(kept)), hint_room(form))


def select_menu(field: FormInput, menu: Menu, chosen: str | None) -> StaticSelectElement:
    """Return the menu of a select, with one of its options chosen.

    Values are indexes: an option itself may be longer than Slack's 150 characters (slack-platform §2.3).
    """
    assert isinstance(field, Select), "only a select has a menu"
    described = zip_longest(menu.texts, menu.rests, fillvalue="")
    options = [option(index, text, rest) for index, (text, rest) in enumerate(described)]
    groups = [options[start : start + _OPTIONS_PER_GROUP] for start in range(0, len(options), _OPTIONS_PER_GROUP)]
    return StaticSelectElement(
        action_id=ids.FIELD,
        placeholder="Choose",
        options=options if len(groups) == 1 else None,
        option_groups=[_group(number, group) for number, group in enumerate(groups)] if len(groups) > 1 else None,
        initial_option=None if chosen is None else options[field.options.index(chosen)],
    )


def option(index: int, text: str, rest: str = "") -> Option:
    """Return the `index`-th option of a menu; `rest` goes on with a text that is too long for it."""
    description = label(rest, MAX_OPTION) if rest else None
    return Option(value=str(index), text=label(text, MAX_OPTION), description=description)


def _group(number: int, options: Sequence[Option]) -> OptionGroup:
    first = number * _OPTIONS_PER_GROUP + 1
    return OptionGroup(label=label(f"{first} to {first + len(options) - 1}", MAX_OPTION), options=options)


def _titles(form: Form) -> Iterable[Block]:
    """Spell out the titles that do not fit on their buttons, unless they are so many that the thread has to."""
    cut = long_titles(form)
    if cut and titles_fit(form):
        yield context("\n".join(f"{number}. {mrkdwn.one_line(title, 300)}" for number, title in cut))


def _buttons(run: Run, form: Form) -> Iterator[ButtonElement]:
    for index, (action, title) in enumerate(zip(form.user_actions, button_titles(form), strict=True)):
        yield ButtonElement(
            text=label(title, button_room(form)),
            action_id=ids.choose_action_id(index),
            value=ids.encode_action(ids.ChosenAction(run.run_id, form.form_id, action.id)),
            # An accent is an emphasis, never a danger; the other styles of Dify have no counterpart.
            style="primary" if action.style is ButtonStyle.PRIMARY else None,
        )


def _window_button(run: Run, form: Form) -> ButtonElement:
    of = ids.encode_window(ids.WindowOf(run.run_id, form.form_id))
    return ButtonElement(text=label(OPEN_WINDOW, MAX_BUTTON), action_id=ids.WINDOW, value=of)


def _rows(buttons: Sequence[ButtonElement]) -> Iterator[Block]:
    for start in range(0, len(buttons), BUTTONS_PER_BLOCK):
        yield ActionsBlock(elements=buttons[start : start + BUTTONS_PER_BLOCK])


# --- no longer open --------------------------------------------------------------------------------------------------


def _closed_blocks(run: Run, form: Form, title: str, result: str) -> tuple[Block, ...]:
    values = form.submission.values if form.submission and len(form.inputs) <= MAX_FIELDS else {}
    read = {
        field.name: _readable(run, form, field, values[field.name]) for field in form.inputs if field.name in values
    }
    placed = layout(form, run.out_files)
    room = value_room(form, placed.size, (len(mrkdwn.escape(text)) for text in read.values()))

    def given(slot: Slot) -> Iterable[Block]:
        if text := read.get(slot.field.name):
            beginning = mrkdwn.shorten(text, room)
            yield quote(slot.label, beginning, "" if beginning == text else _rest(form, len(text) - len(beginning) + 1))

    return (section(f"📝 {title}"), *_filled(form, placed, given), section(result))


def _readable(run: Run, form: Form, field: FormInput, value: Any) -> str:
    if isinstance(field, Select) and value in field.options:
        return visible(value)
    if value in ("", None):
        return "(left empty)"
    if isinstance(field, FileField):
        return ", ".join(_file_names(run, value)) or "(no files)"
    if not isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    text = mrkdwn.clean(value).strip()
    if not isinstance(field, Paragraph) or not text or mrkdwn.clean(value) != mrkdwn.clean(field.default):
        return text or "(blank)"
    if _stands_above(form, field):
        return mrkdwn.shorten(UNCHANGED.format(start=_first_words(value)), _MAX_UNCHANGED)
    return UNCHANGED.format(start=text)


def _file_names(run: Run, value: Any) -> Iterator[str]:
    """Return the names of files: of those attached here, and of those that Dify tells of an answer given there."""
    for each in value if isinstance(value, list) else [value]:
        ours = next((it for it in run.attachments if it.attachment_id in attachment_ids(each)), None)
        name = ours.name if ours is not None else each.get("filename") if isinstance(each, dict) else None
        yield f"📎 {mrkdwn.clean(str(name or 'a file'))}"


def _stands_above(form: Form, field: Paragraph) -> bool:
    """Say whether the thread shows a default anyway: it is often the very text that the form asks about."""
    kept = shown_fields(replace(form, submission=None)).get(field.name)
    is_posted = isinstance(kept, TextField) and bool(kept.kept) and obstacle(form) is None
    return is_posted or mrkdwn.clean(field.default).strip() in mrkdwn.clean(form.content)


def _rest(form: Form, count: int) -> str:
    return (REST_IN_DIFY if form.status in _TAKEN_BY_DIFY else REST).format(count=count)


def _first_words(text: str) -> str:
    """Return the beginning of a text on one line, to be shortened to what there is room for."""
    return " ".join(mrkdwn.clean(text[:200]).split())
