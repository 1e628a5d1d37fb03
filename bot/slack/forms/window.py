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
from slack_sdk.models.blocks.block_elements import FileInputElement
from slack_sdk.models.views import View

from bot.core.files import attached, endings_taken, file_fields, how_many
from bot.core.model import Accepts, FileField, Form, Paragraph, Run, Select
from bot.core.ports import WindowFill
from bot.core.submission import json_size, too_long
from bot.slack import ids
from bot.slack.forms.fields import MAX_OPTION, Menu, Shown, TextField, initial, rest_of, window_fields
from bot.slack.forms.form import DEADLINE, LAST_ANSWER, MAX_WINDOW_FIELDS, REFUSED, kept_hint, option, select_menu
from bot.slack.forms.layout import Picture, Slot, Spot, beginning, labels, layouts, slots
from bot.slack.forms.room import MAX_HINT, MAX_LABEL, action_titles
from bot.slack.messages.message import context, image, label, quote, section
from bot.slack.messages.notices import GIVEN_BACK
from bot.slack.messages.outcome import mending, refusal
from bot.slack.text import mrkdwn
from bot.slack.text.rich_text import rich_text_blocks

MAX_TITLE = 24
"""Characters of a window's title and of its buttons (slack-platform §2.3)."""
_MAX_BLOCKS, _AROUND = 100, 8
"""Blocks of a window (slack-platform §2.1), and those that are neither text nor fields."""
_MAX_RADIO = 10  # slack-platform §2.2
_MAX_CHOSEN_FILES = 10
"""Files of a `file_input`, of 10 MB each (slack-platform §2.2); more go into the thread."""
_TEXT_SHARE = 28_000
"""Characters of JSON that the builder's text may take of a window; see `bot.slack.forms.fields` for the rest."""
_BEGINNING = 2_000
_GIVEN_BACK_SHARE = 200_000
_MAX_GIVEN_BACK = 80

ADDS, REPLACES = "Choose files to add them.", "Choose another one to replace it."
HELD = "Attached: {names}."
TAKES, EITHER = "Takes {what}.", "Needed: a file here, or a link below."
LINKS = "{label}: link"
LINK_HINT, EACH_LINE = "Dify opens it by itself, so it has to be public.", "One on each line."
SEND, CLOSE = "Send", "Close"
DECISION, CHOOSE_DECISION = "Decision", "Choose what to send"
LONG_FORM = "The whole text stands in the thread."
SEND_AGAIN = "send again"
TYPE_OPTION = "Enter one of the options listed in the thread."
SENDS = "*{button}* sends: {title}"
DRAFT = "✏️ Your draft of {at}. Closing this window keeps what you enter, for you alone, until the form is answered."
NO_DRAFT = "Closing this window keeps what you enter, for you alone, until the form is answered."
FILES_CHOSEN = (
    "Of a file that you choose I hear only when you send the window or change something else in it: closed before "
    "that, it is not attached."
)
"""Slack tells nobody of it (slack-platform §2.2), and whether it says what a closed window held is not known."""
LEFT_OUT = "{names}: what you entered is too long for a window. It still stands in the form's message."
BEGIN_ANEW = "Begin anew"
DROPS_DRAFT = "What you have entered here is dropped, and the fields hold what the form says."
DROPS_FILES = (
    "What you have entered and chosen here is dropped, and the fields hold what the form says. Files that were "
    "attached before stay: remove them in the list of files in the thread."
)
KEEP = "Keep my draft"
NOT_OPENED = (
    "Slack did not open the window. Nothing was changed, and what you have entered is kept: "
    "press “Open in window” again."
)
NOT_SENT = "Not sent"
NOT_SAVED = "I could not save that, so nothing was decided. What you entered is still here: send it again in a moment."
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
            *_refused(run, form),
            *_drafted(form, fill, [labels(form)[name] for name in left_out]),
            *_filled(run, form, fill.generation, fitting),
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


def _refused(run: Run, form: Form) -> Iterator[Block]:
    if form.refusal:
        why, mend = refusal(run, form, LAST_ANSWER, form.refusal), mending(run, form, SEND_AGAIN)
        yield section(REFUSED.format(why=why, mending=mend))


def _drafted(form: Form, fill: WindowFill, left_out: Sequence[str]) -> Iterator[Block]:
    takes_uploads = any(Accepts.of_field(field).takes_uploads for field in file_fields(form))
    of_files = f" {FILES_CHOSEN}" if takes_uploads else ""
    if fill.drafted_at is not None:
        yield context(f"{DRAFT.format(at=mrkdwn.date(fill.drafted_at))}{of_files}")
        anew = ButtonElement(
            text=label(BEGIN_ANEW, MAX_OPTION),
            action_id=ids.BEGIN_ANEW,
            confirm=ConfirmObject(
                title=f"{BEGIN_ANEW}?",
                text=DROPS_FILES if file_fields(form) else DROPS_DRAFT,
                confirm=BEGIN_ANEW,
                deny=KEEP,
            ),
        )
        yield ActionsBlock(elements=[anew])
    elif form.inputs:
        yield context(f"{NO_DRAFT}{of_files}")
    if left_out:
        yield context(LEFT_OUT.format(names=", ".join(map(mrkdwn.bold, left_out))))


def _filled(run: Run, form: Form, generation: int, values: Mapping[str, str | None]) -> list[Block]:
    """Return the builder's text with the fields in it, and of a long text what there is room for."""
    named, shown = slots(form), window_fields(form)
    fields = [
        _file_field(run, form, slot, slot.field, generation, values.get(slot.field.name) or "")
        if isinstance(slot.field, FileField)
        else (_field(form, slot, shown.get(slot.field.name), generation, values),)
        for slot in named
    ]
    found: list[Block] = []
    for each in layouts(form, _TEXT_SHARE, run.out_files):
        texts = {part: rich_text_blocks(part, made_safe=True) for part in each.parts if isinstance(part, str)}
        found = [block for part in each.parts for block in _blocks_of(part, fields, texts)]
        if not each.whole:
            found = [*rich_text_blocks(beginning(form, _BEGINNING), made_safe=True), context(LONG_FORM), *found]
        size = sum(len(json.dumps(block.to_dict())) for blocks in texts.values() for block in blocks)
        if size <= _TEXT_SHARE and len(found) <= _MAX_BLOCKS - _AROUND:
            break
    return found


def _blocks_of(
    part: str | Spot | Picture, fields: Sequence[tuple[Block, ...]], texts: Mapping[str, Sequence[Block]]
) -> Sequence[Block]:
    match part:
        case Spot(index=index):
            return fields[index]
        case Picture(file_id=file_id, name=name):
            return (image(file_id, name),)
        case text:
            return texts[text]


def _file_field(run: Run, form: Form, slot: Slot, field: FileField, generation: int, entered: str) -> tuple[Block, ...]:
    """Return a field for files: what is attached already, a place for more, and one for links where these are taken.

    Slack can only insist on one of the two, so that it does where there is no other, and what is needed is attached by
    nobody yet; else the submit tells.
    """
    given, accepts = attached(run.attachments, form.form_id, field.name), Accepts.of_field(field)
    takes_files, takes_links = accepts.takes_uploads, _has_place_for_links(form, accepts)
    needed = not field.many and not given
    blocks = []
    if takes_files:
        names = ", ".join(f"📎 {each.name}" for each in given)
        # What there is to do comes first: Slack shows a few words of a hint.
        hint = (
            f"{ADDS if field.many else REPLACES} {HELD.format(names=names)}"
            if given
            else TAKES.format(what=how_many(accepts))
        )
        if needed and takes_links:
            hint = f"{hint} {EITHER}"
        blocks.append(
            # Slack tells nobody of its changes (slack-platform §2.2).
            InputBlock(
                label=label(slot.label, MAX_LABEL),
                block_id=slot.block_id(generation),
                element=file_input(accepts),
                optional=not needed or takes_links,
                hint=label(hint, MAX_HINT),
            )
        )
    if takes_links:
        name = LINKS.format(label=slot.label) if takes_files else slot.label
        link = _typed_into(multiline=field.many, text=entered)
        block_id = ids.link_block_id(generation, slot.index, field.name)
        hint = f"{LINK_HINT} {EACH_LINE}" if field.many else LINK_HINT
        blocks.append(_told_input(name, block_id, link, optional=not needed or takes_files, hint=hint))
    return tuple(blocks)


def _has_place_for_links(form: Form, accepts: Accepts) -> bool:
    """Tell whether a field has a place for links in its window; of very many fields each has only one place."""
    has_room = len(form.inputs) + len(file_fields(form)) <= MAX_WINDOW_FIELDS
    return accepts.takes_links and (has_room or not accepts.takes_uploads)


def file_input(accepts: Accepts) -> FileInputElement:
    """Return the element in which files are chosen for a place."""
    return FileInputElement(
        action_id=ids.FIELD,
        max_files=min(accepts.limit or _MAX_CHOSEN_FILES, _MAX_CHOSEN_FILES),
        filetypes=list(endings_taken(accepts)) or None,
    )


def error_block_id(form: Form, name: str, generation: int) -> str:
    """Return the block of a window at which is told what is wrong with an input."""
    index = next(index for index, field in enumerate(form.inputs) if field.name == name)
    field = form.inputs[index]
    if isinstance(field, FileField) and not Accepts.of_field(field).takes_uploads:
        return ids.link_block_id(generation, index, name)
    return ids.field_block_id(generation, index, name)


def _field(form: Form, slot: Slot, shown: Shown | None, generation: int, values: Mapping[str, str | None]) -> Block:
    field = slot.field
    value = values.get(field.name, initial(form, field, shown))
    match shown:
        case Menu():
            chosen = value if isinstance(field, Select) and value in field.options else None
            menu = select_menu(field, shown, chosen)
            return _told_input(slot.label, slot.block_id(generation), menu)
        case TextField(kept=kept, of_options=of_options):
            prefill = values.get(field.name, shown.prefill)
            hint = TYPE_OPTION if of_options else None
            if kept:
                hint = kept_hint(form, field, kept)
            element = _typed_into(multiline=not of_options, text=prefill or "")
            optional = isinstance(field, Paragraph) or bool(kept)
            return _told_input(slot.label, slot.block_id(generation), element, optional=optional, hint=hint)
        case None:
            raise AssertionError("every field that is not for files is shown")


def _typed_into(*, multiline: bool, text: str) -> PlainTextInputElement:
    return PlainTextInputElement(
        action_id=ids.FIELD,
        multiline=multiline,
        initial_value=mrkdwn.clean(text) or None,
        dispatch_action_config={"trigger_actions_on": ["on_character_entered"]},
    )


def _told_input(
    name: str,
    block_id: str,
    element: PlainTextInputElement | StaticSelectElement,
    *,
    optional: bool = False,
    hint: str | None = None,
) -> InputBlock:
    """Return a field each change of which is told: it goes into the draft."""
    return InputBlock(
        label=label(name, MAX_LABEL),
        block_id=block_id,
        element=element,
        dispatch_action=True,
        optional=optional,
        hint=label(hint, MAX_HINT) if hint else None,
    )


# --- the decision ----------------------------------------------------------------------------------------------------


def _decision(form: Form) -> Iterator[Block]:
    titles = action_titles(form)
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
    return option(index, text, rest_of(text, title))


# --- what was entered in vain ----------------------------------------------------------------------------------------


def _given_back(form: Form, values: Mapping[str, str | None]) -> Iterator[Block]:
    """Give back what somebody has changed."""
    entered = [
        (name, text)
        for field, name in list(labels(form).items())[:_MAX_GIVEN_BACK]
        if (text := mrkdwn.clean(values.get(field) or "").strip())
    ]
    if not entered:
        return
    yield section(GIVEN_BACK)
    room = _GIVEN_BACK_SHARE
    for name, text in entered:
        shortened = text
        while json_size(shortened) > room:
            shortened = shortened[: len(shortened) * 9 // 10 - 1]
        room -= json_size(shortened)
        if shortened:
            yield quote(name, shortened, MORE.format(count=len(text) - len(shortened)) if shortened != text else "")
