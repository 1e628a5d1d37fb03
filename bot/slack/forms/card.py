"""What is attached to a form: a message of its own in the thread, since people may be typing in the form's."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from slack_sdk.models.blocks import (
    ActionsBlock,
    Block,
    ButtonElement,
    MarkdownTextObject,
    Option,
    SectionBlock,
    StaticSelectElement,
)

from bot.core.attaching import is_asked_for, shown_in, used_in
from bot.core.files import MB, file_fields, how_many
from bot.core.model import (
    Accepts,
    Attachment,
    AttachmentStatus,
    FileField,
    FileProblem,
    Form,
    FormStatus,
    Run,
)
from bot.slack import ids
from bot.slack.forms.fields import MAX_OPTION
from bot.slack.forms.layout import labels
from bot.slack.messages.message import Message, context, label, section
from bot.slack.text import mrkdwn

_ANSWERED_HERE = (FormStatus.CLAIMED, FormStatus.SUBMITTING, FormStatus.SETTLING, FormStatus.SUBMITTED)
_MAX_SHOWN = 20
_MAX_CHOICES = 100  # slack-platform §2.2
_MAX_NAME = 100
_MAX_LABEL = 60
_MAX_PROBLEMS = 20
_MAX_REASONS, _MAX_REASON = 3, 300

TITLE = "📎 Files for {title}"
NOTHING = "📎 No file is attached to {title}. Reply to this thread with one to attach it."
GO_ON = "Reply to this thread with more files, or press a button of the form when they are all here."
LINE = "{name} → {field}\n{state} · {who}"
UNPLACED = "{name} · {who}\n❔ It fits several fields: which one is it for?"
UNPLACED_FORMS = "{name} · {who}\n❔ It fits several forms: which one is it for, and which of its fields?"
FIELD_OF = "{form}: {field}"
ON_ITS_WAY, ATTACHED, LINKED = "⏳ on its way to Dify", "✅ attached", "🔗 a link, which Dify opens by itself"
SENT, NOT_SENT = "{name} → {field} · {who}", "{name} · {who} · not sent"
MORE = "and {count} more"
REMOVE, CHOOSE_FIELD = "Remove", "Choose the field"
NOT_ATTACHED = "These files are not attached to {title}:"
NOT_ATTACHED_END = "Whatever fits is attached. Reply to this thread with another file to try again."
IS_GONE = "📎 {name} is not among the files for {title} any more, so your click changed nothing."
IS_PLACED = (
    "📎 {name} goes to {field} already, which was chosen before, so your choice changed nothing. If it is for "
    "another field, remove it there and share it once more."
)
NO_FIELD_END = "They stay out of the answer. If Dify is to get them, share them in this thread again, as a new message."
TAKES = "📎 {label}: reply to this thread with {what}, or choose it in the window."
TAKES_LINKS_TOO = " A link will do, too: reply with nothing but that."
TAKES_LINK = "📎 {label}: reply to this thread with nothing but a link, or give it in the window."


def card_message(run: Run, form: Form) -> Message:
    """Render the card of a form: what is attached, to which field, by whom; with buttons while that can be changed."""
    title = mrkdwn.bold(form.node_title)
    # What somebody has to decide comes first, and is never among those that there is no room for.
    given = sorted(shown_in(run, form), key=lambda each: each.status is not AttachmentStatus.PLACING)
    is_open = run.asks_for(form)
    if not given:
        said = NOTHING.format(title=title) if is_open else f"{TITLE.format(title=title)}: –"
        return Message(said, (section(said),))
    head = TITLE.format(title=title)
    names = labels(form)
    lines = [block for each in given[:_MAX_SHOWN] for block in _line(run, form, each, names, is_open=is_open)]
    more = len(given) - _MAX_SHOWN
    rest: list[Block] = [context(MORE.format(count=more))] if more > 0 else []
    ending: list[Block] = [context(GO_ON)] if is_open else []
    summary = f"{head}: {', '.join(_name(each) for each in given[:3])}"
    return Message(summary, (section(head), *lines, *rest, *ending))


def not_attached(form: Form, problems: Iterable[FileProblem]) -> Message:
    """Tell somebody why files are not attached, and what would fit: a line for each file."""
    names = labels(form)
    by_file: dict[str, list[str]] = {}
    for problem in problems:
        by_file.setdefault(problem.name, []).append(_reason(problem, names))
    lines = [_not_attached(name, reasons) for name, reasons in list(by_file.items())[:_MAX_PROBLEMS]]
    more = len(by_file) - len(lines)
    lines += [f"• {MORE.format(count=more)}"] if more > 0 else []
    head = NOT_ATTACHED.format(title=mrkdwn.bold(form.node_title))
    ending = NOT_ATTACHED_END if file_fields(form) else NO_FIELD_END
    return Message(head, (section(head), *map(section, lines), context(ending)))


def file_stands(run: Run, attachment: Attachment) -> Message:
    """Tell somebody whose click came too late how a file of a form stands."""
    assert attachment.form_id is not None, "a file of a form"
    form = run.form(attachment.form_id)
    name, title = mrkdwn.bold(mrkdwn.shorten(attachment.name, _MAX_NAME)), mrkdwn.bold(form.node_title)
    if attachment.status.counts and attachment.field is not None:
        text = IS_PLACED.format(name=name, field=mrkdwn.bold(labels(form).get(attachment.field, attachment.field)))
    else:
        text = IS_GONE.format(name=name, title=title)
    return Message(text, (section(text),))


def takes(field: FileField, name: str) -> str:
    """Return what a field for files takes and how it is given, in mrkdwn."""
    accepts = Accepts.of_field(field)
    if not accepts.takes_uploads:
        return TAKES_LINK.format(label=mrkdwn.bold(name))
    takes = TAKES.format(label=mrkdwn.bold(name), what=mrkdwn.one_line(how_many(accepts), 300))
    return takes + TAKES_LINKS_TOO if accepts.takes_links else takes


def _line(run: Run, form: Form, attachment: Attachment, names: dict[str, str], *, is_open: bool) -> Iterator[Block]:
    name, who = _name(attachment), mrkdwn.mention(attachment.user_id)
    is_waiting = attachment.status is AttachmentStatus.PLACING and is_asked_for(run, attachment)
    if not is_open and not is_waiting and attachment not in _sent(run, form):
        yield section(NOT_SENT.format(name=name, who=who))
        return
    of = ids.encode_attachment(run.run_id, attachment.attachment_id)
    remove = ButtonElement(
        text=label(REMOVE, MAX_OPTION),
        action_id=ids.REMOVE_FILE,
        value=of,
        accessibility_label=mrkdwn.shorten(f"{REMOVE} {mrkdwn.clean(attachment.name)}", MAX_OPTION),
    )
    if attachment.status is AttachmentStatus.PLACING:
        yield section((UNPLACED_FORMS if attachment.elsewhere else UNPLACED).format(name=name, who=who))
        yield ActionsBlock(block_id=ids.place_block_id(of), elements=[_fields_menu(run, attachment), remove])
        return
    field = mrkdwn.one_line(names.get(attachment.field or "", attachment.field or "–"), _MAX_LABEL)
    if not is_open:
        yield section(SENT.format(name=name, field=field, who=who))
        return
    text = LINE.format(name=name, field=field, who=who, state=_state(attachment))
    yield SectionBlock(text=MarkdownTextObject(text=text, verbatim=True), accessory=remove)


def _sent(run: Run, form: Form) -> tuple[Attachment, ...]:
    """Return what the answer that was given here holds; nothing where another one counted, or none."""
    return used_in(run, form) if form.status in _ANSWERED_HERE else ()


def _fields_menu(run: Run, attachment: Attachment) -> StaticSelectElement:
    options = []
    for index, place in enumerate(attachment.places):
        form = run.form(place.form_id)
        if not run.asks_for(form):
            continue
        text = labels(form).get(place.field, place.field)
        if attachment.elsewhere:
            text = FIELD_OF.format(form=form.node_title, field=text)
        options.append(Option(text=label(text, MAX_OPTION), value=str(index)))
    return StaticSelectElement(action_id=ids.PLACE_FILE, placeholder=CHOOSE_FIELD, options=options[:_MAX_CHOICES])


def _state(attachment: Attachment) -> str:
    if attachment.url is not None:
        return LINKED
    return ATTACHED if attachment.status is AttachmentStatus.READY else ON_ITS_WAY


def _name(attachment: Attachment) -> str:
    name = mrkdwn.bold(mrkdwn.shorten(attachment.name, _MAX_NAME))
    return f"{name} ({attachment.size / MB:.1f} MB)" if attachment.size >= MB else name


def _not_attached(name: str, reasons: Sequence[str]) -> str:
    return f"• {mrkdwn.bold(mrkdwn.shorten(name, _MAX_NAME))}: {' '.join(reasons[:_MAX_REASONS])}"


def _reason(problem: FileProblem, names: dict[str, str]) -> str:
    reason = mrkdwn.one_line(problem.reason, _MAX_REASON)
    if problem.field is None:
        return reason
    return f"“{mrkdwn.one_line(names.get(problem.field, problem.field), _MAX_LABEL)}” {reason}"
