"""The files that people give to a form: in its thread or its window, each to the field that it fits."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from bot.core.files import (
    GivenFile,
    attached,
    file_fields,
    given_as,
    given_by,
    kind_to_send,
    name_of,
    why_not_all,
    why_unfit,
)
from bot.core.model import (
    Accepts,
    Attachment,
    AttachmentStatus,
    FileField,
    FileKind,
    FileLimits,
    FileProblem,
    Form,
    Place,
    Run,
    SharedFile,
)

ASKS_FOR_NONE = "This form asks for no files."


@dataclass(frozen=True, slots=True)
class Given:
    """What is to become of the files of a message, of those for one form."""

    attachments: tuple[Attachment, ...] = ()
    problems: tuple[FileProblem, ...] = ()


def asking_for_files(run: Run) -> tuple[Form, ...]:
    """Return the forms that are open and have a field for files, the one that asked last first."""
    return tuple(form for form in reversed(run.forms) if run.asks_for(form) and file_fields(form))


# --- in its thread ---------------------------------------------------------------------------------------------------


def given_in_thread(
    run: Run,
    given: Iterable[GivenFile],
    user_id: str,
    limits: FileLimits,
    new_id: Callable[[], str],
    *,
    asked: str,
    go_along: Collection[GivenFile] = (),
) -> list[tuple[Form, Given]]:
    """Give each file and link to the field that it fits; where it fits several, of one form or more, somebody is asked.

    One that fits none belongs to the form that asked last, which says why, unless it is one of those that `go_along`
    with a message then. Each comes after those before it, which may take up the room. `asked` is the id of the form
    that asked last when they were shared: where none asks any more they are given to it, too late.
    """
    forms = asking_for_files(run) or (run.form(asked),)
    found = {form.form_id: Given() for form in forms}
    for each in given:
        fitting, problems = _fitting(found, run, forms, each, limits)
        if fitting:
            _give(found, fitting, each, user_id, new_id())
        elif each not in go_along:
            _tell(found, forms[0], problems)
    return [(form, found[form.form_id]) for form in forms]


def given_with_answer(
    run: Run, form: Form, given: Iterable[GivenFile], user_id: str, limits: FileLimits, new_id: Callable[[], str]
) -> Given:
    """Give what came with the message that is the answer to a form to its fields, or say why it stays out of it.

    What was given to it before is left as it is.
    """
    known = {_key(given_as(each)) for each in run.attachments if each.form_id == form.form_id}
    if not file_fields(form):
        return Given(problems=tuple(FileProblem(name_of(each), ASKS_FOR_NONE) for each in given))
    found = {form.form_id: Given()}
    for each in given:
        if _key(each) in known:
            continue
        fitting, problems = _fitting(found, run, (form,), each, limits)
        if fitting:
            _give(found, fitting, each, user_id, new_id())
        else:
            _tell(found, form, problems)
    return found[form.form_id]


def _fitting(
    found: Mapping[str, Given], run: Run, forms: Sequence[Form], given: GivenFile, limits: FileLimits
) -> tuple[list[tuple[Form, FileField]], tuple[FileProblem, ...]]:
    """Return the fields that take a file, beside what was found for others, and why those of the first form do not."""
    held = (*run.attachments, *(new for each in found.values() for new in each.attachments))
    tries = [(form, *_fields_for(form, held, given, limits)) for form in forms]
    return [(form, field) for form, fields, _ in tries for field in fields], tries[0][2]


def _tell(found: dict[str, Given], form: Form, problems: Iterable[FileProblem]) -> None:
    before = found[form.form_id]
    found[form.form_id] = replace(before, problems=(*before.problems, *problems))


def _give(
    found: dict[str, Given],
    fitting: Sequence[tuple[Form, FileField]],
    given: GivenFile,
    user_id: str,
    attachment_id: str,
) -> None:
    """Give a file to the one field that it fits, or to the first form whose fields it fits, for somebody to choose."""
    form = fitting[0][0]
    before = found[form.form_id]
    new = _attachment(attachment_id, given, form, user_id)
    if len(fitting) == 1:
        new = _placed_in(new, fitting[0][1])
    else:
        choices = tuple(field.name for each, field in fitting if each is form)
        elsewhere = tuple(Place(each.form_id, field.name) for each, field in fitting if each is not form)
        new = replace(new, status=AttachmentStatus.PLACING, choices=choices, elsewhere=elsewhere)
    found[form.form_id] = replace(before, attachments=(*before.attachments, new))


def _fields_for(
    form: Form, attachments: Iterable[Attachment], given: GivenFile, limits: FileLimits
) -> tuple[tuple[FileField, ...], tuple[FileProblem, ...]]:
    """Return the fields of a form that take a file or a link and have room for it, and else why there is none."""
    held = tuple(attachments)
    found: list[FileField] = []
    near: list[FileProblem] = []
    far: list[FileProblem] = []
    for place in file_fields(form):
        accepts = Accepts.of_field(place)
        reason = why_unfit(given, accepts, limits)
        beside = attached(held, form.form_id, place.name)
        if reason is None and not accepts.has_room_for(len(beside) + 1):
            reason = _full(place, beside)
        if reason is None:
            found.append(place)
        else:
            # Where one field wants files of this kind, nobody asks why another one does not.
            is_near = kind_to_send(given, accepts) is not None
            (near if is_near else far).append(FileProblem(name_of(given), reason, place.name))
    return tuple(found), () if found else tuple(near or far)


def _full(place: FileField, held: Sequence[Attachment]) -> str:
    if not place.many:
        return f"holds {held[0].name} already: remove that first."
    return f"has room for {place.limit} files and holds as many already: remove one first."


@dataclass(frozen=True, slots=True)
class Placing:
    """What comes of the choice of a field for a file: what it is sent as there, or why it does not fit any more."""

    kind: FileKind | None
    problems: tuple[FileProblem, ...] = ()


def placing(run: Run, attachment: Attachment, place: Place, limits: FileLimits) -> Placing:
    """Return what comes of it that somebody chooses this field for a file."""
    fitting, problems = _fields_for(run.form(place.form_id), run.attachments, given_as(attachment), limits)
    chosen = next((each for each in fitting if each.name == place.field), None)
    if chosen is None:
        return Placing(None, tuple(problem for problem in problems if problem.field == place.field))
    return Placing(_kind(attachment, chosen))


# --- in its window ---------------------------------------------------------------------------------------------------


class InWindow(StrEnum):
    """How a file stands that a window holds, or held."""

    CHOSEN = "chosen there, and nothing came of it yet"
    ATTACHED = "attached, and chosen there"
    REFUSED = "not taken, as its person was told, and still chosen there"
    REMOVED = "attached, removed on the card since, and still chosen there"
    TAKEN_OUT = "attached from there, and not chosen there any more"


class Fate(StrEnum):
    """What becomes of it."""

    ATTACH = "attached where it fits"
    LEAVE = "left as it is"
    TAKE_BACK = "taken back"
    ASK = "the window is not sent: its person has to say what they want"


WINDOW_RULES: dict[InWindow, tuple[Fate, Fate]] = {
    InWindow.CHOSEN: (Fate.ATTACH, Fate.ATTACH),
    InWindow.ATTACHED: (Fate.LEAVE, Fate.LEAVE),
    InWindow.REFUSED: (Fate.LEAVE, Fate.ATTACH),
    InWindow.REMOVED: (Fate.LEAVE, Fate.ASK),
    InWindow.TAKEN_OUT: (Fate.TAKE_BACK, Fate.TAKE_BACK),
}
"""What becomes of a file when a window is seen, as it is changed or closed, and when it is sent.

Of the files that came from a window its person wants those that it holds in the end, and no others. What came from
elsewhere, another window of the same person among it, stays until it is removed on the card.
"""

REMOVED_SINCE = (
    "holds {name}, which was removed from the list of files in the thread since: take it out here, or choose it once "
    "more to attach it again."
)


@dataclass(frozen=True, slots=True)
class WindowFiles:
    """What a form's window holds for its fields for files, by the input's name."""

    view_id: str
    files: Mapping[str, tuple[SharedFile, ...]] = field(default_factory=dict)
    links: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Attached once it is sent: until then they are entered like any text, and kept in the draft."""
    at: datetime | None = None
    """When that was so, by Slack's clock, since changes may overtake one another; None where nothing comes after it."""
    is_sent: bool = False


@dataclass(frozen=True, slots=True)
class Chosen:
    """What a window means for the files of its form."""

    added: tuple[Attachment, ...] = ()
    taken_back: tuple[str, ...] = ()
    """The ids of attachments that are not wanted any more."""
    problems: tuple[FileProblem, ...] = ()


def chosen_in_window(
    run: Run, form: Form, window: WindowFiles, user_id: str, limits: FileLimits, new_id: Callable[[], str]
) -> Chosen:
    """Return what the files and links in a form's window mean, beside what was attached elsewhere.

    A single file takes the place of another one. Of a window that is not sent whatever fits is attached.
    """

    def attach(given: GivenFile, place: FileField) -> Attachment:
        new = _attachment(new_id(), given, form, user_id)
        return replace(new, field=place.name, view_id=window.view_id, chosen_at=window.at)

    each_of = [_chosen_for(run, form, place, window, limits, attach) for place in file_fields(form)]
    return Chosen(
        tuple(new for each in each_of for new in each.added),
        tuple(old for each in each_of for old in each.taken_back),
        tuple(problem for each in each_of for problem in each.problems),
    )


def _chosen_for(
    run: Run,
    form: Form,
    place: FileField,
    window: WindowFiles,
    limits: FileLimits,
    attach: Callable[[GivenFile, FileField], Attachment],
) -> Chosen:
    links = window.links.get(place.name, ()) if window.is_sent else ()
    chosen: list[GivenFile] = [*window.files.get(place.name, ()), *links]
    given = [each for each in run.attachments if (each.form_id, each.field) == (form.form_id, place.name)]
    fates = [(each, WINDOW_RULES[_stands(each, given)][window.is_sent]) for each in chosen]
    unwanted = [each.attachment_id for each in given if _is_taken_out(each, chosen, window)]
    held = [each.attachment_id for each in given if each.status.counts and each.attachment_id not in unwanted]
    problems = [_removed_since(each, place) for each, fate in fates if fate is Fate.ASK]
    new = [each for each, fate in fates if fate is Fate.ATTACH]
    # Whoever sends a window has it before them and can mend it; else what fits is better than nothing.
    batches = [new] if window.is_sent else [[each] for each in new]
    fitting, refused = list[Attachment](), list[Attachment]()
    for batch in filter(None, batches):
        beside = len(held) + len(fitting) if place.many else 0
        if (reason := why_not_all(batch, Accepts.of_field(place), limits, beside)) is None:
            fitting += [_placed_in(attach(each, place), place) for each in batch]
        else:
            problems.append(FileProblem(name_of(batch[0]), reason, place.name))
            # Told once, however often the window is seen.
            refused += [replace(attach(each, place), status=AttachmentStatus.REFUSED, reason=reason) for each in batch]
    replaced = held if fitting and not place.many else []
    return Chosen((*fitting, *refused), (*unwanted, *replaced), tuple(problems))


def _is_taken_out(attachment: Attachment, chosen: Iterable[GivenFile], window: WindowFiles) -> bool:
    """Tell whether a file was attached from a window that does not hold it any more."""
    came_from_here = attachment.status.counts and attachment.view_id == window.view_id
    is_known = window.at is None or attachment.chosen_at is None or attachment.chosen_at < window.at
    return came_from_here and is_known and _key(given_as(attachment)) not in set(map(_key, chosen))


def _stands(given: GivenFile, attachments: Iterable[Attachment]) -> InWindow:
    """Tell how a file or a link stands that a window holds, by what was given to its field."""
    known = {each.status for each in attachments if _key(given_as(each)) == _key(given)}
    if any(status.counts for status in known):
        return InWindow.ATTACHED
    # A link stands there because somebody has just entered it.
    if not known or isinstance(given, str):
        return InWindow.CHOSEN
    return InWindow.REMOVED if AttachmentStatus.REMOVED in known else InWindow.REFUSED


def _key(given: GivenFile) -> str:
    """Return what tells files apart; one that is chosen once more is another one to Slack."""
    return given if isinstance(given, str) else given.file_id


def _removed_since(given: GivenFile, place: FileField) -> FileProblem:
    return FileProblem(name_of(given), REMOVED_SINCE.format(name=name_of(given)), place.name)


def _attachment(attachment_id: str, given: GivenFile, form: Form, user_id: str) -> Attachment:
    return given_by(Attachment(attachment_id, name_of(given) or "file", user_id, form_id=form.form_id), given)


def _placed_in(attachment: Attachment, place: FileField) -> Attachment:
    return replace(attachment, field=place.name, kind=_kind(attachment, place))


def _kind(attachment: Attachment, place: FileField) -> FileKind:
    kind = kind_to_send(given_as(attachment), Accepts.of_field(place))
    assert kind is not None, "the field takes it"
    return kind
