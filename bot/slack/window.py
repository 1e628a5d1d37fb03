"""A form as a window: the whole of it, with one submit, and what becomes of it while it is open."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from slack_sdk.models.blocks import (
    ActionsBlock,
    Block,
    ButtonElement,
    ConfirmObject,
    InputBlock,
    Option,
    PlainTextInputElement,
    RadioButtonsElement,
    StaticSelectElement,
)
from slack_sdk.models.views import View

from bot.core.model import Form, Paragraph, Run, Select
from bot.core.ports import WindowFill
from bot.core.submission import json_size, too_long
from bot.slack import ids, mrkdwn
from bot.slack.fields import MAX_OPTION, Menu, Shown, TextField, initial, window_fields
from bot.slack.form import DEADLINE, NO_FILES_YET, select_menu
from bot.slack.form_layout import Slot, Spot, beginning, labels, layouts, slots
from bot.slack.form_room import MAX_HINT, MAX_LABEL, hint_room
from bot.slack.message import context, label, quote, section
from bot.slack.rich_text import rich_text_blocks

MAX_TITLE = 24
"""Characters of a window's title and of its buttons (slack-platform §2.3)."""
_MAX_BLOCKS, _AROUND = 100, 8
"""Blocks of a window (slack-platform §2.1), and those that are neither text nor fields."""
_MAX_RADIO = 10  # slack-platform §2.2
_TEXT_SHARE = 28_000
"""Characters of JSON that the builder's text may take of a window; see `bot.slack.fields` for the rest."""
_BEGINNING = 2_000
_GIVEN_BACK_SHARE = 200_000
_MAX_GIVEN_BACK = 80

SEND, CLOSE = "Send", "Close"
DECISION, CHOOSE_DECISION = "Decision", "Choose what to send"
LONG_FORM = "The whole text stands in the thread."
REFUSED = (
    "⚠️ Dify did not take the last answer: “{reason}”.\n"
    "The values are still here. If Dify names a wrong one, mend it and send again; otherwise try again in a while."
)
KEEPS = "Empty keeps the {size:,} characters of now, which are too many for a window: {start}"
TYPE_OPTION = "Enter one of the options listed in the thread."
SENDS = "*{button}* sends: {title}"
DRAFT = "✏️ Your draft of {at}. Closing this window keeps what you enter, for you alone, until the form is answered."
NO_DRAFT = "Closing this window keeps what you enter, for you alone, until the form is answered."
LEFT_OUT = "{names}: what you entered is too long for a window. It still stands in the form's message."
BEGIN_ANEW = "Begin anew"
DROPS_DRAFT = "What you have entered here is dropped, and the fields hold what the form says."
KEEP = "Keep my draft"
NOT_OPENED = (
    "Slack did not open the window. Nothing was changed, and what you have entered is kept: "
    "press “Open in window” again."
)
NOT_SENT = "Not sent"
NOT_SAVED = "I could not save that, so nothing was decided. What you entered is still here: send it again in a moment."
GIVEN_BACK = "This is what you had entered, in case you still need it:"
MORE = "and {count:,} more characters"


def window(run: Run, form: Form, fill: WindowFill) -> dict[str, Any]:
    """Render the window of a form that can be answered, with what it is to hold for a person, as `views.open` takes it.

    It holds every field and user action of the form, whatever their number and length (slack-platform §2.3).
    """
    of = ids.WindowOf(run.run_id, form.form_id, fill.generation, fill.typed_before)
    left_out = too_long(form, fill.values)
    fitting = {name: value for name, value in fill.values.items() if name not in left_out}
    submit = form.user_actions[0].title if len(form.user_actions) == 1 else SEND
    return View(
        type="modal",
        callback_id=ids.WINDOW,
        title=label(form.node_title, MAX_TITLE),
        submit=label(submit, MAX_TITLE, otherwise=SEND),
        close=label(CLOSE, MAX_TITLE),
        private_metadata=ids.encode_window(of),
        notify_on_close=True,
        blocks=[
            section(f"📝 {mrkdwn.bold(form.node_title)}"),
            *_refused(form),
            *_drafted(form, fill, [labels(form)[name] for name in left_out]),
            *_filled(form, fill.generation, fitting),
            *_decision(form),
            *([context(DEADLINE.format(at=mrkdwn.date(form.expires_at)))] if form.expires_at else []),
        ],
    ).to_dict()


def notice(title: str, said: str, *more: Block) -> dict[str, Any]:
    """Render what an open window turns into: something to read, in mrkdwn, and nothing to send."""
    blocks = [section(said), *more]
    return View(type="modal", title=label(title, MAX_TITLE), close=label(CLOSE, MAX_TITLE), blocks=blocks).to_dict()


def notice_of(form: Form, said: str, values: Mapping[str, str | None]) -> dict[str, Any]:
    """Render what is said of a form in the place of its window, and give back what was changed there in vain."""
    return notice(form.node_title, said, *_given_back(form, values))


# --- what a window holds ---------------------------------------------------------------------------------------------


def _refused(form: Form) -> Iterator[Block]:
    if form.refusal:
        yield section(REFUSED.format(reason=mrkdwn.one_line(form.refusal, 500)))


def _drafted(form: Form, fill: WindowFill, left_out: Sequence[str]) -> Iterator[Block]:
    if fill.drafted_at is not None:
        yield context(DRAFT.format(at=mrkdwn.date(fill.drafted_at)))
        anew = ButtonElement(
            text=label(BEGIN_ANEW, MAX_OPTION),
            action_id=ids.BEGIN_ANEW,
            confirm=ConfirmObject(title=f"{BEGIN_ANEW}?", text=DROPS_DRAFT, confirm=BEGIN_ANEW, deny=KEEP),
        )
        yield ActionsBlock(elements=[anew])
    elif form.inputs:
        yield context(NO_DRAFT)
    if left_out:
        yield context(LEFT_OUT.format(names=", ".join(map(mrkdwn.bold, left_out))))


def _filled(form: Form, generation: int, values: Mapping[str, str | None]) -> list[Block]:
    """Return the builder's text with the fields in it, and of a long text what there is room for."""
    named, shown = slots(form), window_fields(form)
    fields = [_field(form, slot, shown.get(slot.field.name), generation, values) for slot in named]
    found: list[Block] = []
    for each in layouts(form, _TEXT_SHARE):
        texts = {part: rich_text_blocks(part, made_safe=True) for part in each.parts if isinstance(part, str)}
        found = [block for part in each.parts for block in (_at(part, fields) or texts[str(part)])]
        if not each.whole:
            found = [*rich_text_blocks(beginning(form, _BEGINNING), made_safe=True), context(LONG_FORM), *found]
        size = sum(len(json.dumps(block.to_dict())) for blocks in texts.values() for block in blocks)
        if size <= _TEXT_SHARE and len(found) <= _MAX_BLOCKS - _AROUND:
            break
    return found


def _at(part: str | Spot, fields: Sequence[Block]) -> tuple[Block, ...]:
    return (fields[part.index],) if isinstance(part, Spot) else ()


def _field(form: Form, slot: Slot, shown: Shown | None, generation: int, values: Mapping[str, str | None]) -> Block:
    field = slot.field
    value = values.get(field.name, initial(form, field, shown))
    match shown:
        case Menu(texts=texts):
            chosen = value if isinstance(field, Select) and value in field.options else None
            return _input(slot, generation, select_menu(field, texts, chosen))
        case TextField(kept=kept, of_options=of_options):
            prefill = values.get(field.name, shown.prefill)
            hint = TYPE_OPTION if of_options else None
            if kept:
                start = " ".join(mrkdwn.clean(kept[:200]).split())
                hint = mrkdwn.shorten(KEEPS.format(size=len(kept), start=start), hint_room(form))
            element = PlainTextInputElement(
                action_id=ids.FIELD,
                multiline=not of_options,
                initial_value=mrkdwn.clean(prefill or "") or None,
                dispatch_action_config={"trigger_actions_on": ["on_character_entered"]},
            )
            return _input(slot, generation, element, optional=isinstance(field, Paragraph) or bool(kept), hint=hint)
        case None:
            return context(NO_FILES_YET.format(label=mrkdwn.bold(slot.label)))


def _input(
    slot: Slot,
    generation: int,
    element: PlainTextInputElement | StaticSelectElement,
    *,
    optional: bool = False,
    hint: str | None = None,
) -> InputBlock:
    """Return a field each change of which is told: it goes into the draft."""
    return InputBlock(
        label=label(slot.label, MAX_LABEL),
        block_id=slot.block_id(generation),
        element=element,
        dispatch_action=True,
        optional=optional,
        hint=label(hint, MAX_HINT) if hint else None,
    )


# --- the decision ----------------------------------------------------------------------------------------------------


def _decision(form: Form) -> Iterator[Block]:
    titles = [" ".join(mrkdwn.clean(action.title).split()) or action.id for action in form.user_actions]
    if len(titles) == 1:
        if len(mrkdwn.escape(titles[0])) > MAX_TITLE:
            button = mrkdwn.one_line(titles[0], MAX_TITLE).replace("*", "∗")
            yield context(SENDS.format(button=button, title=mrkdwn.one_line(titles[0], 600)))
        return
    counts = Counter(titles)
    options = [
        _option(index, f"{index + 1}. {title}" if counts[title] > 1 else title) for index, title in enumerate(titles)
    ]
    element = (
        RadioButtonsElement(action_id=ids.DECISION, options=options)
        if len(options) <= _MAX_RADIO
        else StaticSelectElement(action_id=ids.DECISION, placeholder=CHOOSE_DECISION, options=options)
    )
    yield InputBlock(label=label(DECISION, MAX_LABEL), block_id=ids.DECISION, element=element)


def _option(index: int, title: str) -> Option:
    """Return an option whose description goes on with a title that is too long for its text."""
    text = mrkdwn.shorten(title, MAX_OPTION)
    rest = "" if text == title else f"…{title[len(text) - 1 :].strip()}"
    return Option(value=str(index), text=label(text, MAX_OPTION), description=label(rest, MAX_OPTION) if rest else None)


# --- what was entered in vain ----------------------------------------------------------------------------------------


def _given_back(form: Form, values: Mapping[str, str | None]) -> Iterator[Block]:
    """Give back what somebody has changed."""
    entered = {
        name: text
        for field, name in list(labels(form).items())[:_MAX_GIVEN_BACK]
        if (text := mrkdwn.clean(values.get(field) or "").strip())
    }
    if not entered:
        return
    yield section(GIVEN_BACK)
    room = _GIVEN_BACK_SHARE
    for name, text in entered.items():
        shortened = text
        while json_size(shortened) > room:
            shortened = shortened[: len(shortened) * 9 // 10 - 1]
        room -= json_size(shortened)
        if shortened:
            yield quote(name, shortened, MORE.format(count=len(text) - len(shortened)) if shortened != text else "")
