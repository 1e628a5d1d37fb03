"""The start window: the fields of an app, what was given already, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal, InvalidOperation

from slack_sdk.models.blocks import (
    Block,
    ButtonElement,
    CheckboxesElement,
    InputBlock,
    InputInteractiveElement,
    MarkdownTextObject,
    NumberInputElement,
    Option,
    OptionGroup,
    PlainTextInputElement,
    SectionBlock,
    StaticSelectElement,
)
from slack_sdk.models.views import View

from bot.core.command import JSON_EXAMPLE, QUERY, default_text, must_be_given, switch
from bot.core.files import MB, how_many, largest_taken
from bot.core.model import FileLimits, Select, SharedFile, StartInput
from bot.core.ports import StartWindow
from bot.core.start_files import accepts_of, takes_files
from bot.core.submission import beginning, json_size
from bot.slack import ids
from bot.slack.forms.fields import MAX_OPTION
from bot.slack.forms.form import select_menu
from bot.slack.forms.window import EACH_LINE, LINK_HINT, file_input
from bot.slack.messages.message import context, label, section, verbatim
from bot.slack.starts.fields import StartShown, start_fields
from bot.slack.text import mrkdwn

MAX_TITLE = 24  # slack-platform §2.3
_MAX_LABEL, _MAX_HINT, _MAX_PROBLEM = 150, 600, 500
_GIVEN_SHARE, _WORDS_SHARE, _PROBLEMS_SHARE = 40_000, 35_000, 12_000
"""Characters of JSON that what was given, labels and hints, and problems may take up, besides `start_fields`."""
_MAX_LENGTH = 3_000  # slack-platform §2.2
_MAX_NUMBER = 40
_CHOSEN_SIZE = 10 * MB
_MAX_NAMES = 500
_MOST_PROBLEMS = 12  # besides 80 fields; a window holds 100 blocks (slack-platform §2.1)
_PER_GROUP = 100  # slack-platform §2.2

MESSAGE = "Your message"
CHOOSE = "Choose what to start; the values that it takes are asked for here then."
NO_FIELDS = "{app} takes no values."
GIVEN_FILES = "📎 {names}, from the message or chosen before. Choose others here to replace {them}."
LEAVE_OUT = "Leave out"
FILES_WAIT = "📎 {names}: put into the fields of the app that you choose."
UNNAMED = "a file"
FILES = "Takes {what}."
SIZE = "At most {size} MB each."
LARGER = (
    "Up to {size} MB each here; larger ones, up to {most} MB: post them and use “{shortcut}” in the “…” of the message."
)
NEEDS_ONE = "One is needed, here or as a link."
LINK, LINKS = "Link to {name}", "Links to {name}"
FIRST_TEXT = "Text"
AT_MOST = "At most {most:,} characters."
JSON_HINT = "A JSON object, as in {example}"
SCHEMA_HINT = "A JSON object of this schema: {schema}"
LEFT_OVER = "No field here takes this; copy it if you still need it:"
NO_ROOM = "⚠️ The last {count:,} characters of what no field here takes have no room in this window."
MORE_PROBLEMS = "⚠️ There are {count} more problems like these."
TOO_LONG = "What was given for {name} is too long to be taken over: {size:,} characters."
TYPE_OPTION = "Enter one of its {count:,} options, as Dify has it."
NO_OPTIONS = "It has no options in Dify: leave it empty."
KEPT = "Empty keeps its default of {size:,} characters: {start}"
DEFAULT_STAYS = "Left empty, it is “{default}”."
SHORTCUT = "Run a Dify app"
"""What people see in the menu of a message; in the manifest, too."""
NOT_SAVED = "I could not save that, so nothing was started. Nothing is lost: press Start again in a moment."
SILENT = "{reason} Nothing is lost: press Start again then."


def start_view(window: StartWindow) -> View:
    """Render a start window."""
    given, left_out, room = _given(window)
    blocks = [
        *_problems((*window.problems, *left_out)),
        *_left_over(mrkdwn.clean(window.left_over), room),
        *_menu_of_apps(window),
        *_fields(window, given),
    ]
    app = window.place.app if window.description else None
    has_input = any(isinstance(block, InputBlock) for block in blocks)
    return View(
        type="modal",
        callback_id=ids.START_WINDOW,
        private_metadata=ids.encode_place(window.place),
        title=label(f"Start {app}" if app else "Start", MAX_TITLE),
        submit="Start" if window.description or has_input else None,
        close="Cancel",
        blocks=blocks,
    )


def errors_at(problems: Mapping[str, str]) -> dict[str, str]:
    """Return sentences as Slack shows them at fields, by block_id."""
    return {block_id: mrkdwn.shorten(mrkdwn.clean(text), _MAX_PROBLEM) for block_id, text in problems.items()}


def notice_view(problem: str) -> View:
    """Render a window that has no fields and only says something."""
    return View(type="modal", title="Start", close="Close", blocks=list(_problems((problem,))))


def _given(window: StartWindow) -> tuple[Mapping[str, str], Iterable[str], int]:
    """Return the texts that there is room for, sentences about the others, and the room that is left."""
    given, left_out, room = {}, [], _GIVEN_SHARE
    for name, text in window.texts.items():
        if (size := json_size(text)) > room:
            left_out.append(TOO_LONG.format(name=name, size=len(text)))
        else:
            given[name] = text
            room -= size
    return given, left_out, room


def _problems(problems: tuple[str, ...]) -> Iterator[Block]:
    told = problems[:_MOST_PROBLEMS]
    for problem in told:
        short = _fitted(mrkdwn.clean(problem), _MAX_PROBLEM, _PROBLEMS_SHARE // len(told))
        yield section(f"⚠️ {mrkdwn.one_line(short, _MAX_PROBLEM)}")
    if more := len(problems) - len(told):
        yield section(MORE_PROBLEMS.format(count=more))


def _left_over(text: str, room: int) -> Iterator[Block]:
    fits = beginning(text, room)
    if fits:
        yield section(LEFT_OVER)
        yield verbatim(text[:fits])
    if missing := len(text) - fits:
        yield section(NO_ROOM.format(count=missing))


def _fitted(text: str, limit: int, room: int) -> str:
    """Return at most `limit` characters of a text, which take at most `room` of JSON."""
    text = mrkdwn.shorten(text, limit)
    while json_size(text) > room:
        text = text[: len(text) * 2 // 3].rstrip("…") + "…"
    return text


def _menu_of_apps(window: StartWindow) -> Iterator[Block]:
    if window.description is None and window.place.app is None:
        yield section(CHOOSE)
    if len(window.app_names) > 1:
        yield InputBlock(
            label="App",
            block_id=ids.CHOOSE_APP,
            element=_apps(window.app_names, window.place.app),
            dispatch_action=True,
        )


def _apps(names: tuple[str, ...], chosen: str | None) -> StaticSelectElement:
    options = [Option(text=label(name, MAX_OPTION), value=name) for name in names]
    groups = [options[start : start + _PER_GROUP] for start in range(0, len(options), _PER_GROUP)]
    named = [OptionGroup(label=label(f"{each[0].value} …", MAX_OPTION), options=each) for each in groups]
    return StaticSelectElement(
        action_id=ids.CHOOSE_APP,
        placeholder="Choose an app",
        options=options if len(groups) == 1 else None,
        option_groups=named if len(groups) > 1 else None,
        initial_option=options[names.index(chosen)] if chosen in names else None,
    )


def _fields(window: StartWindow, given: Mapping[str, str]) -> Iterator[Block]:
    app, description = window.place.app, window.description
    if app is None or description is None:
        yield from _kept(window, given)
        return
    shown = start_fields(app, description)
    told: set[str] = set()
    for each in shown:
        name, room = each.field.variable, _WORDS_SHARE // len(shown) // 2
        if not takes_files(each.field):
            yield _field(each, given.get(name), room)
            continue
        held = window.files.get(name, ())
        if held and name not in told:
            told.add(name)
            them = "it" if len(held) == 1 else "them"
            text = GIVEN_FILES.format(names=_names(held), them=them)
            leave_out = ButtonElement(
                text=label(LEAVE_OUT, MAX_OPTION),
                action_id=ids.LEAVE_OUT,
                value=name,
                accessibility_label=mrkdwn.shorten(f"{LEAVE_OUT} {', '.join(file.name for file in held)}", MAX_OPTION),
            )
            yield SectionBlock(text=MarkdownTextObject(text=text, verbatim=True), accessory=leave_out)
        yield _file_field(each, given.get(name), held, description.file_limits, room)
    if not shown:
        yield section(NO_FIELDS.format(app=mrkdwn.bold(app)))


def _kept(window: StartWindow, given: Mapping[str, str]) -> Iterator[Block]:
    """Show what was given while there are no fields to put it into."""
    texts = [(name, text) for name, each in given.items() if (text := mrkdwn.clean(each))]
    for index, (name, text) in enumerate(texts):
        element = PlainTextInputElement(action_id=ids.FIELD, initial_value=text, multiline=True)
        block_id = ids.start_block_id(ids.StartField("text", index, name))
        called = FIRST_TEXT if name == QUERY.variable else mrkdwn.readable(name)
        yield InputBlock(label=label(called, _MAX_LABEL), block_id=block_id, element=element, optional=True)
    if held := tuple(file for files in window.files.values() for file in files):
        yield context(FILES_WAIT.format(names=_names(held)))


def _names(files: Iterable[SharedFile]) -> str:
    return mrkdwn.one_line(", ".join(file.name or UNNAMED for file in files), _MAX_NAMES)


def _file_field(
    shown: StartShown, given: str | None, held: Sequence[SharedFile], limits: FileLimits, room: int
) -> InputBlock:
    """Return the place for files of a field, or the one for links."""
    field, accepts = shown.field, accepts_of(shown.field)
    both = accepts.takes_uploads and accepts.takes_links
    is_needed = must_be_given(field) and not held and not given
    name = _fitted(mrkdwn.clean(_name(field)), _MAX_LABEL, room)
    takes = FILES.format(what=how_many(accepts))
    element: InputInteractiveElement
    if shown.holds_files:
        element = file_input(accepts)
        hints = [takes, _size(largest_taken(accepts, limits)), NEEDS_ONE if both and is_needed else ""]
    else:
        element = PlainTextInputElement(
            action_id=ids.FIELD, initial_value=mrkdwn.clean(given or "") or None, multiline=accepts.limit != 1
        )
        hints = ["" if both else takes, LINK_HINT, "" if accepts.limit == 1 else EACH_LINE]
        if both:
            name = _fitted((LINK if accepts.limit == 1 else LINKS).format(name=name), _MAX_LABEL, room)
    hint = " ".join(filter(None, hints))
    return InputBlock(
        label=label(name, _MAX_LABEL, otherwise=field.variable),
        block_id=shown.block_id,
        element=element,
        # Where it can be given in two ways, Slack cannot tell whether one is missing.
        optional=both or not is_needed,
        hint=label(_fitted(mrkdwn.clean(hint), _MAX_HINT, room), _MAX_HINT),
    )


def _size(most: int) -> str:
    """Return how large a file may be that is chosen in a window, and how to give a larger one."""
    if most <= _CHOSEN_SIZE:
        return SIZE.format(size=most // MB)
    return LARGER.format(size=_CHOSEN_SIZE // MB, most=most // MB, shortcut=SHORTCUT)


def _field(shown: StartShown, given: str | None, room: int) -> InputBlock:
    field = shown.field
    element, hint = _element(shown, given)
    name = _fitted(mrkdwn.clean(_name(field)), _MAX_LABEL, room)
    return InputBlock(
        label=label(name, _MAX_LABEL, otherwise=field.variable),
        block_id=shown.block_id,
        element=element,
        # A box has to be ticked where its field is not optional to Slack.
        optional=field.type == "checkbox" or not must_be_given(field) or (shown.kept and not given),
        hint=label(_fitted(mrkdwn.clean(hint), _MAX_HINT, room), _MAX_HINT) if hint else None,
    )


def _element(shown: StartShown, given: str | None) -> tuple[InputInteractiveElement, str | None]:
    field, default = shown.field, default_text(shown.field)
    text = default if given is None else given
    match field.type:
        case "select" if shown.menu is not None:
            chosen = next((each for each in (text, default) if each and each in field.options), None)
            stays = DEFAULT_STAYS.format(default=default) if default and not must_be_given(field) else None
            return select_menu(Select(field.variable, field.options), shown.menu, chosen), stays
        case "checkbox":
            box = Option(text=label("Yes", MAX_OPTION), value="true")
            ticked = next((each for each in map(switch, (text, default)) if each is not None), False)
            return CheckboxesElement(
                action_id=ids.FIELD, options=[box], initial_options=[box] if ticked else None
            ), None
        case "number":
            number = next((each for each in map(_as_number, (text, default)) if each), None)
            return NumberInputElement(action_id=ids.FIELD, is_decimal_allowed=True, initial_value=number), None
        case _:
            return _text_input(shown, "" if given is None and shown.kept else text)


def _text_input(shown: StartShown, text: str) -> tuple[InputInteractiveElement, str | None]:
    field = shown.field
    text = mrkdwn.clean(text)
    most = field.max_length or None
    # A text that is too long already is kept as it is; it is refused when the window is sent.
    is_bounded = most is not None and most <= _MAX_LENGTH and len(text) <= most
    element = PlainTextInputElement(
        action_id=ids.FIELD,
        initial_value=text or None,
        multiline=field.type not in ("text-input", "select") or "\n" in text,
        max_length=most if is_bounded else None,
    )
    if shown.kept:
        default = default_text(field)
        start = " ".join(mrkdwn.clean(default[:200]).split())
        return element, KEPT.format(size=len(default), start=start)
    match field.type:
        case "select":
            return element, TYPE_OPTION.format(count=len(field.options)) if field.options else NO_OPTIONS
        case "json_object":
            schema = field.json_schema
            return element, SCHEMA_HINT.format(schema=schema) if schema else JSON_HINT.format(example=JSON_EXAMPLE)
        case _:
            return element, None if most is None or is_bounded else AT_MOST.format(most=most)


def _as_number(text: str) -> str | None:
    """Return a number as Slack's field takes it, without an exponent; None for what is none, or too long for it."""
    try:
        number = Decimal(text)
    except InvalidOperation:
        return None
    # The exponent could make the text as long as it likes.
    if not number.is_finite() or abs(number.adjusted()) > _MAX_NUMBER:
        return None
    written = format(number, "f")
    return written if len(written) <= _MAX_NUMBER else None


def _name(field: StartInput) -> str:
    """Return what people call a field."""
    return MESSAGE if field is QUERY else field.label.strip() or mrkdwn.readable(field.variable)
