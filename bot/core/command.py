"""`/dify APP key=value other="with spaces"`: read what was typed, check it, and write down how it would be right.

What is given in a start window is checked by the same rules.

What an app accepts is said by `GET /parameters`; Dify itself reports a bad start late, one problem at a time, or not
at all (dify-api §3.4), so everything is checked here first and told at once, in plain sentences without any markup.
"""

from __future__ import annotations

import difflib
import json
import math
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from bot.core.files import GivenFile, how_many, what_fits, why_not_all
from bot.core.model import Accepts, AppMode, FileLimits, SharedFile, StartInput
from bot.core.ports import AppDescription
from bot.core.start_files import accepts_of, message_files, takes_files

PLACEHOLDER = "…"
"""Stands in a corrected command where only the person knows the value; not accepted for a required one."""

_DOUBLE = '"“”'
_SINGLE = "'‘’"
"""Slack's clients curl quotation marks as they like, so every kind opens, and closes, a value."""

_WORD = re.compile(
    rf"""
    (?=\S)
    (?:(?P<key>\w[\w.-]*)=)?
    (?:
        [{_DOUBLE}](?P<double>(?:\\.|[^{_DOUBLE}\\])*)[{_DOUBLE}](?=\s|$)
      | [{_SINGLE}](?P<single>(?:\\.|[^\\])*?)[{_SINGLE}](?=\s|$)  # only the last of 'it's' closes
      | (?P<bare>\S*)
    )
    """,
    re.VERBOSE | re.DOTALL,
)
_BARE = re.compile(rf"[^\s{_DOUBLE}{_SINGLE}{PLACEHOLDER}]\S*")
_ESCAPED = re.compile(rf"\\([\\{_DOUBLE}{_SINGLE}])")
_INTEGER = re.compile(r"[+-]?\d+")
_SLACK_TOKEN = re.compile(r"<([@#!]?)([^<>|]*)(?:\|([^<>]*))?>")
_SCHEME = re.compile(r"^\w+:(//)?")
_UNSEEN_SCHEME = re.compile(r"^(mailto|tel):")

_SWITCH = {
    "true": True,
    "yes": True,
    "on": True,
    "1": True,
    "false": False,
    "no": False,
    "off": False,
    "0": False,
}
_HELPED = frozenset({"me", "us"})
"""Whoever asks for help like this means no app, however near to its name the word is."""
_TEXT_TYPES = frozenset({"text-input", "paragraph"})
QUERY = StartInput(variable="query", label="the message to the app", type="paragraph", required=True)
"""The first message to a Chatflow, which is none of its start inputs."""
JSON_EXAMPLE = '{"key": "value"}'
_MOST_LISTED = 10
_MOST_BLOCKS = 80  # of the 100 that a window holds (slack-platform §2.1)
_BLOCKS_OF_FILES = 3  # what is given already, a place for more, and one for links
_MOST_CITED = 60


@dataclass(frozen=True, slots=True)
class Pair:
    """`key=value` as typed, without its quotation marks."""

    key: str
    value: str
    stray: tuple[str, ...] = ()
    """The words up to the next pair: most likely the rest of a value that wanted quotation marks."""
    closed: bool = True
    """False where the value begins with a quotation mark that nothing closes."""

    @property
    def meant(self) -> str:
        """The value together with the words that seem to belong to it."""
        return " ".join(filter(None, (self.value, *self.stray)))


@dataclass(frozen=True, slots=True)
class ParsedCommand:
    """The text after the command's name, taken apart."""

    app: str | None = None
    """The word that the text begins with, if it does not begin with a pair."""
    stray: tuple[str, ...] = ()
    """The words between it and the first pair."""
    pairs: tuple[Pair, ...] = ()
    typed: str = field(default="", compare=False)
    """The whole text, without Slack's escapes and what nobody sees around it."""

    @property
    def is_empty(self) -> bool:
        """Whether nothing was typed but the command's name."""
        return not (self.app or self.stray or self.pairs)

    @property
    def free_text(self) -> str:
        """The words that stand alone, as they were typed where there is nothing else."""
        return " ".join(self.stray) if self.pairs or len(self.stray) < 2 else self.words

    @property
    def words(self) -> str:
        """All that was typed after the name of the app, as it was typed."""
        first = None if self.app is None else _WORD.search(self.typed)
        return self.typed[first.end() if first else 0 :].strip()

    @property
    def wants_help(self) -> bool:
        """Whether the person asks how to use the command: more words are no question about it."""
        return self == ParsedCommand(self.app) and _is_help(self.app)

    def help_about(self, app_names: Collection[str]) -> Choice | None:
        """Return the app whose inputs the person asks for: `help APP`, with a slip in its name, too, or `APP help`."""
        if self.app is None or self.pairs or len(self.stray) != 1:
            return None
        (word,), asks_first = self.stray, _is_help(self.app)
        if not asks_first and not _is_help(word):
            return None
        if name := _configured(word if asks_first else self.app, app_names):
            return Choice(name, ParsedCommand(name))
        if asks_first and word.casefold() not in _HELPED and (near := _nearest(word, app_names)):
            return Choice(near, ParsedCommand(near), (_slip_in_name(word, near),))
        return None


@dataclass(frozen=True, slots=True)
class Choice:
    """The app that a command speaks of, and the command as it reads then."""

    app: str | None
    """None where it cannot be told."""
    parsed: ParsedCommand
    problems: tuple[str, ...] = ()
    """Why the app is a guess or cannot be told."""


@dataclass(frozen=True, slots=True)
class CheckedStart:
    """What to start the app with, as Dify wants it."""

    run_inputs: Mapping[str, Any]
    """But for the files."""
    query: str = ""
    files: Mapping[str, tuple[GivenFile, ...]] = field(default_factory=dict)
    """Files and links by what takes them (`core.start_files`)."""


@dataclass(frozen=True, slots=True)
class NotStartable:
    """Every problem of a command, a sentence each, and the command as it would be right.

    `corrected` keeps each value that can be read; it is None where no command can be right.
    """

    problems: tuple[str, ...]
    corrected: str | None = None
    left_over: str = ""
    """What was typed and does not stand whole in it."""


@dataclass(frozen=True, slots=True)
class Draft:
    """What a command gives for a start that is not right yet."""

    texts: Mapping[str, str]
    """By start input: what was typed for it, or seems to have been meant for it."""
    problems: tuple[str, ...]
    """All that is wrong with it but for what is missing, a sentence each, with what was made of it here."""
    left_over: str = ""
    """What was typed and stands in none of the texts."""


@dataclass(frozen=True, slots=True)
class _Gathered:
    """What was made of a command."""

    texts: Mapping[str, str]
    """The text meant for each start input."""
    slips: tuple[_Slip, ...]
    """What is wrong with the way it was written."""
    left_over: str = ""
    """What was typed and stands in none of the texts."""


@dataclass(frozen=True, slots=True)
class _Fit:
    """A value as Dify wants it."""

    value: Any
    text: str
    """What it was read from."""


@dataclass(frozen=True, slots=True)
class _Unfit:
    """Why a value does not fit."""

    problem: str
    text: str | None
    """What to write instead, where that can be told."""


@dataclass(frozen=True, slots=True)
class _Slip:
    """What is wrong with the way something was written."""

    in_command: str
    """What to write instead."""
    in_window: str
    """What a window made of it."""


# --- reading -------------------------------------------------------------------------------------------------------


def parse(text: str) -> ParsedCommand:
    """Take the text of a slash command apart, as Slack sends it with `should_escape` on (slack-platform §4.2).

    Nothing is refused here: what looks wrong is kept for `check` to name.
    """
    app: str | None = None
    stray: list[str] = []
    pairs: list[Pair] = []
    typed = plain(text)
    for index, match in enumerate(_WORD.finditer(typed)):
        value, closed = _value(match)
        if match["key"]:
            pairs.append(Pair(match["key"], value, closed=closed))
        elif index == 0:
            app = value
        elif pairs:
            last = pairs[-1]
            pairs[-1] = Pair(last.key, last.value, (*last.stray, value), last.closed)
        else:
            stray.append(value)
    return ParsedCommand(app, tuple(stray), tuple(pairs), typed.strip())


def _is_help(word: str | None) -> bool:
    return word is not None and word.casefold() == "help"


def plain(text: str) -> str:
    """Return a text of Slack's as people wrote it, with names in place of ids where Slack gives them."""
    text = _SLACK_TOKEN.sub(_readable, text)
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def _readable(token: re.Match[str]) -> str:
    """Return a Slack token as a person reads it: `@ann`, `#general`, words and their address; never a live mention."""
    sigil, target, label = token.groups()
    if sigil:
        return ("#" if sigil == "#" else "@") + (label or target).lstrip("@#")
    address = _UNSEEN_SCHEME.sub("", target)
    # Slack makes a link of a bare address, too, which it shows as it was typed.
    is_address = not label or label.strip("/") in (address.strip("/"), _SCHEME.sub("", target).strip("/"))
    return address if is_address else f"{label} ({address})"


def _value(match: re.Match[str]) -> tuple[str, bool]:
    quoted = match["double"] if match["double"] is not None else match["single"]
    if quoted is not None:
        return _ESCAPED.sub(r"\1", quoted), True
    bare = match["bare"]
    return (bare[1:], False) if bare[:1] and bare[0] in _DOUBLE + _SINGLE else (bare, True)


# --- writing -------------------------------------------------------------------------------------------------------


def write(command_name: str, app_name: str, values: Iterable[tuple[str, str]]) -> str:
    """Return the command that `parse` reads as this app and these values."""
    return " ".join((command_name, _quoted(app_name), *(f"{key}={_quoted(value)}" for key, value in values)))


def _quoted(value: str) -> str:
    if _BARE.fullmatch(value):
        return value
    if any(mark in value for mark in _DOUBLE) and not any(mark in value for mark in _SINGLE):
        # JSON stays readable.
        return "'" + value.replace("\\", "\\\\") + "'"
    return '"' + re.sub(rf"([\\{_DOUBLE}])", r"\\\1", value) + '"'


# --- checking ------------------------------------------------------------------------------------------------------


def choose_app(parsed: ParsedCommand, app_names: Sequence[str]) -> Choice:
    """Find the configured app that the command speaks of; its name may be left out where there is only one."""
    word = parsed.app or ""
    if name := _configured(word, app_names):
        return Choice(name, parsed)
    if len(app_names) == 1:
        # Nobody has to name it: what only resembles its name is a word like any other.
        words = (word, *parsed.stray) if word else parsed.stray
        return Choice(app_names[0], replace(parsed, app=None, stray=words))
    asks_help = _is_help(word) and len(parsed.stray) == 1
    if asks_help:
        (word,) = parsed.stray
    if near := _nearest(word, app_names):
        return Choice(None if asks_help else near, parsed, (_slip_in_name(word, near),))
    if word:
        if not asks_help and (parsed.stray or len(word.split()) > 1):
            # The beginning of a text rather than a name; the keys may tell which app it is for.
            parsed = replace(parsed, app=None, stray=(word, *parsed.stray))
        return Choice(None, parsed, (f"There is no app {_cited(word)}: there is {_listed(app_names, 'and')}.",))
    return Choice(None, parsed, (f"Say which app to start: {_listed(app_names, 'or')}.",))


def _configured(word: str, app_names: Iterable[str]) -> str | None:
    return next((name for name in app_names if name.casefold() == word.casefold()), None)


def _slip_in_name(word: str, near: str) -> str:
    return f"There is no app {_cited(word)}: did you mean {near}?"


def only_fit(parsed: ParsedCommand, apps: Mapping[str, AppDescription]) -> str | None:
    """Return the name of the one app that takes every key of the command; None where more do, or none."""
    keys = {pair.key for pair in parsed.pairs}
    fits = [name for name, app in apps.items() if keys <= _expected(app).keys()]
    return fits[0] if keys and len(fits) == 1 else None


def check(
    parsed: ParsedCommand, app: AppDescription, command_name: str, app_name: str, known: Sequence[str] = ()
) -> CheckedStart | NotStartable:
    """Check a command against what the app accepts; problems that are `known` already are told before the others.

    A Chatflow takes its first message as the value of `query`; a start input of that name gets the same text.
    """
    found = _gather(parsed, app, app_name)
    problems = (*known, *(slip.in_command for slip in found.slips))
    outcome = _outcome(app, found.texts)
    unfit = _unfit(outcome)
    if not problems and not unfit:
        return _checked(app, outcome)
    texts = {name: each.text for name, each in outcome.items() if each and each.text is not None}
    corrected = None if is_hopeless(app) else write(command_name, app_name, texts.items())
    lost = [
        f"{name}={text}"
        for name in unfit
        if not _says_nothing(text := found.texts.get(name, "")) and text != texts.get(name)
    ]
    left_over = "\n".join(filter(None, (found.left_over, *lost))) if corrected else parsed.words
    return NotStartable((*problems, *unfit.values()), corrected, left_over)


def check_texts(
    texts: Mapping[str, str], app: AppDescription, files: Mapping[str, tuple[SharedFile, ...]] | None = None
) -> CheckedStart | Mapping[str, str]:
    """Check what is given for the fields of an app; where any of it does not fit, return what is wrong by field."""
    outcome = _outcome(app, texts, files or {})
    return _unfit(outcome) or _checked(app, outcome)


def draft(parsed: ParsedCommand, app: AppDescription, app_name: str, known: Sequence[str] = ()) -> Draft:
    """Return what a command gives for the fields of an app, and what is wrong with it but for what is missing."""
    found = _gather(parsed, app, app_name)
    slips = (slip.in_window for slip in found.slips)
    return Draft(found.texts, (*known, *slips, *unfit(found.texts, app)), found.left_over)


def unfit(texts: Mapping[str, str], app: AppDescription) -> tuple[str, ...]:
    """Return what is wrong with texts for the fields of an app but for what is missing, a sentence each."""
    wrong = _unfit(_outcome(app, texts))
    return tuple(problem for name, problem in wrong.items() if not _says_nothing(texts.get(name, "")))


def texts_of(start: CheckedStart, app: AppDescription) -> Mapping[str, str]:
    """Return what was given to start an app as the texts that it is read from."""
    texts = {name: _text(value) for name, value in start.run_inputs.items()}
    for name, given in start.files.items():
        if links := [each for each in given if isinstance(each, str)]:
            texts[name] = "\n".join(links)
    return texts | {QUERY.variable: start.query} if app.mode is AppMode.CHATFLOW else texts


def moved_text(
    texts: Mapping[str, str], before: AppDescription | None, app: AppDescription
) -> tuple[Mapping[str, str], Mapping[str, str]]:
    """Return what the fields of an app take of texts that were given for those of another, or before one was chosen.

    The first text goes where the app takes one, whatever each of them calls it. Besides, return what no field takes.
    """
    source = QUERY.variable if before is None else first_text(before)
    target, expected = first_text(app), _expected(app)
    taken = {name: text for name, text in texts.items() if name in expected}
    left = {name: text for name, text in texts.items() if name not in expected}
    if source in left and target is not None and target not in taken:
        taken[target] = left.pop(source)
    return taken, left


def default_text(field: StartInput) -> str:
    """Return the text that stands for the default of a field; empty where it has none that can be sent."""
    text = "" if field.default is None or takes_files(field) else _text(field.default)
    return text if isinstance(_read(field, text), _Fit) else ""


def inputs(app: AppDescription) -> tuple[str, ...]:
    """Describe every value that the app takes, in a line each."""
    return tuple(f"{_named(field)}: {_kind(field)}; {_need(field)}." for field in _expected(app).values())


def example(app: AppDescription, command_name: str, app_name: str) -> str | None:
    """Return a command with everything that the app needs; None where no command can give it."""
    needed = ((name, _example(field)) for name, field in _expected(app).items() if must_be_given(field))
    return None if is_hopeless(app) else write(command_name, app_name, needed)


def has_placeholder(command: str) -> bool:
    """Tell whether a written command has a value that is still to be filled in."""
    return any(pair.value == PLACEHOLDER for pair in parse(command).pairs)


def fields(app: AppDescription) -> tuple[StartInput, ...]:
    """Return everything that an app takes: its start inputs, and of a Chatflow the message."""
    return tuple(_expected(app).values())


def obstacle(app: str, description: AppDescription) -> str | None:
    """Return why no window can start an app, as a sentence; None where one can."""
    taken = fields(description)
    if sum(_BLOCKS_OF_FILES if takes_files(field) else 1 for field in taken) > _MOST_BLOCKS:
        return f"{app} takes {len(taken)} values, which need more room than a window has: give them in the command."
    if any(_has_no_options(field) for field in taken):
        return f"{app} needs a choice from a list that has no options: ask whoever builds it in Dify to add some."
    return None


def _has_no_options(field: StartInput) -> bool:
    return must_be_given(field) and field.type == "select" and not field.options


def first_text(app: AppDescription) -> str | None:
    """Return the field that a text goes into that somebody wants to start an app with; None where it takes none."""
    if app.mode is AppMode.CHATFLOW:
        return QUERY.variable
    return next((field.variable for field in app.start_inputs if field.type in _TEXT_TYPES), None)


def _expected(app: AppDescription) -> dict[str, StartInput]:
    beside = message_files(app)
    taken = [*app.start_inputs, *((QUERY,) if app.mode is AppMode.CHATFLOW else ()), *((beside,) if beside else ())]
    return {field.variable: field for field in taken}


def _outcome(
    app: AppDescription, texts: Mapping[str, str], files: Mapping[str, tuple[SharedFile, ...]] | None = None
) -> dict[str, _Fit | _Unfit | None]:
    return {
        name: _read_files(field, texts.get(name, ""), (files or {}).get(name, ()), app.file_limits)
        if takes_files(field)
        else _read(field, texts.get(name))
        for name, field in _expected(app).items()
    }


def _unfit(outcome: Mapping[str, _Fit | _Unfit | None]) -> dict[str, str]:
    return {name: each.problem for name, each in outcome.items() if isinstance(each, _Unfit)}


def _checked(app: AppDescription, outcome: Mapping[str, _Fit | _Unfit | None]) -> CheckedStart:
    values = {name: each.value for name, each in outcome.items() if isinstance(each, _Fit)}
    query = values[QUERY.variable] if app.mode is AppMode.CHATFLOW else ""
    files = {name: values[name] for name, field in _expected(app).items() if takes_files(field) and name in values}
    declared = {field.variable for field in app.start_inputs if not takes_files(field)}
    return CheckedStart({name: value for name, value in values.items() if name in declared}, query, files)


def _free(app: AppDescription) -> tuple[str | None, bool]:
    """Return the field that words without a key go into, if any, and whether no other can be meant."""
    if app.mode is AppMode.CHATFLOW:
        return QUERY.variable, True
    texts = [field for field in app.start_inputs if field.type in _TEXT_TYPES]
    wanted = [field for field in texts if must_be_given(field)] or texts
    return (wanted[0].variable if wanted else None), len(wanted) == 1


def switch(text: str) -> bool | None:
    """Return what a text says of a box that is ticked or not; None where it says neither."""
    return _SWITCH.get(text.casefold())


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _gather(parsed: ParsedCommand, app: AppDescription, app_name: str) -> _Gathered:
    expected = _expected(app)
    slips: list[_Slip] = []
    texts: dict[str, str] = {}
    left_over: list[str] = []
    meant_for, is_certain = _free(app)
    if meant_for is not None and parsed.pairs and not any(_nearest(pair.key, expected) for pair in parsed.pairs):
        return _Gathered({meant_for: parsed.words}, (_sentence(parsed.pairs[0].key, meant_for, expected, app_name),))
    free = [name for name in expected if all(pair.key != name for pair in parsed.pairs)]
    for pair in parsed.pairs:
        slips += _slips(pair)
        name: str | None = pair.key
        if pair.key not in expected:
            name = _nearest(pair.key, [each for each in free if each not in texts])
            slips.append(_unknown(pair.key, name, expected, app_name))
        elif pair.key in texts:
            slips.append(
                _Slip(
                    f"{pair.key} is given more than once.",
                    f"{pair.key} is given more than once: the last stands there now.",
                )
            )
            left_over.append(f"{pair.key}={texts[pair.key]}")
        if name is None:
            left_over.append(f"{pair.key}={pair.meant}")
        else:
            texts[name] = pair.meant
    if words := parsed.free_text:
        fits = meant_for is not None and meant_for not in texts
        if parsed.pairs or not fits or not is_certain:
            slips.insert(0, _alone(words, meant_for if fits else None))
        if meant_for is not None and fits:
            texts[meant_for] = words
        else:
            left_over.insert(0, words)
    return _Gathered(texts, tuple(slips), "\n".join(left_over))


def _alone(words: str, meant_for: str | None) -> _Slip:
    return _Slip(
        f"{_cited(words)} stands alone: write every value as key=value.",
        f"{_cited(words)} fits no field here; nothing of it was filled in."
        if meant_for is None
        else f"{_cited(words)} stands in {meant_for} now: look it over.",
    )


def _sentence(key: str, meant_for: str, expected: Collection[str], app_name: str) -> _Slip:
    """Return what is wrong with words that have an equals sign in them, none of which names anything of the app."""
    problem = f"{_cited(key)} is no input of {app_name}:"
    return _Slip(
        f"{problem} it takes {_listed(expected, 'and')}.",
        f"{problem} all of your words stand in {meant_for} now. Look them over.",
    )


def _slips(pair: Pair) -> Iterator[_Slip]:
    as_meant = f"{pair.key}={_quoted(_short(pair.meant))}"
    if not pair.closed:
        yield _Slip(
            f"The quotation mark that begins {pair.key} is not closed: did you mean {as_meant}?",
            f"The quotation mark that begins {pair.key} is not closed: look over where the value ends.",
        )
    elif pair.stray:
        words = _cited(" ".join(pair.stray))
        yield _Slip(
            f"{words} stands alone: a value with spaces needs quotation marks, as in {as_meant}.",
            f"{words} was taken for a part of {pair.key}: look it over.",
        )


def _unknown(key: str, near: str | None, expected: Collection[str], app_name: str) -> _Slip:
    if near:
        hint, filled_in = f"did you mean {near}?", f"its value stands in {near} now."
    else:
        hint = f"it takes {_listed(expected, 'and')}." if expected else "it takes none."
        filled_in = "its value was not filled in."
    problem = f"{_cited(key)} is no input of {app_name}:"
    return _Slip(f"{problem} {hint}", f"{problem} {filled_in}")


def must_be_given(field: StartInput) -> bool:
    """Whether Dify refuses a start without this value.

    A required one is not filled from its default (recording 18), and the default of a select is checked like a value,
    so that an empty one is as good as none (recording 19).
    """
    unusable_default = field.type == "select" and field.default is not None and field.default not in field.options
    return field.required or unusable_default


def is_hopeless(app: AppDescription) -> bool:
    """Whether the app needs what no command can give it."""
    needed = [field for field in _expected(app).values() if must_be_given(field)]
    return any(_has_no_options(field) or (takes_files(field) and not accepts_of(field).takes_links) for field in needed)


def _read_files(
    field: StartInput, text: str, chosen: tuple[SharedFile, ...], limits: FileLimits
) -> _Fit | _Unfit | None:
    """Read what is given for an input for files: those that are chosen, and the links in a text."""
    accepts = accepts_of(field)
    example = PLACEHOLDER if must_be_given(field) and accepts.takes_links else None
    links = text.replace(PLACEHOLDER, "").split()
    given: tuple[GivenFile, ...] = (*chosen, *links)
    if not given:
        return _Unfit(f"{_named(field)} is missing: {_how_to_give(field)}.", example) if must_be_given(field) else None
    if (reason := why_not_all(given, accepts, limits)) is not None:
        return _Unfit(f"{_named(field)} {reason}", example)
    return _Fit(given, " ".join(links))


def _how_to_give(field: StartInput) -> str:
    accepts = accepts_of(field)
    what = what_fits(accepts)
    if not accepts.takes_links:
        return f"choose {what} in the start window"
    return f"choose {what} in the start window, or give a link" if accepts.takes_uploads else f"give a link to {what}"


def _says_nothing(text: str) -> bool:
    return text.strip() in ("", PLACEHOLDER)


def _read(field: StartInput, text: str | None) -> _Fit | _Unfit | None:
    """Read the text given for a start input; None where nothing is to be sent for it."""
    if field.type == "select" and text in field.options:
        # Also a blank one.
        return _Fit(text, text)
    # Dify would run with a blank text where one is required (recording 03), which nobody means by it.
    if must_be_given(field) and (text is None or _says_nothing(text)):
        choices = f": {_choices(field)}" if field.type == "select" else ""
        return _Unfit(f"{_named(field)} is missing{choices}.", _example(field))
    if text is None or (not text.strip() and field.type in _TYPED):
        # Left out, Dify would fill in the default; an empty number is none to it (dify-api §3.4).
        is_emptied = text is not None and field.type == "number" and field.default not in (None, "")
        return _Fit("", "") if is_emptied else None
    found = _TYPED.get(field.type, _read_text)(field, text)
    if isinstance(found, _Fit) or found.text is not None:
        return found
    if must_be_given(field):
        return _Unfit(found.problem, _example(field))
    return _Unfit(f"{found.problem} It may be left out.", None)


def _read_text(field: StartInput, text: str) -> _Fit | _Unfit:
    most = field.max_length
    # 0 is no limit to Dify.
    if not most or len(text) <= most:
        return _Fit(text, text)
    return _Unfit(
        f"{_named(field)} has {len(text)} characters, {len(text) - most} more than the {most} it may have.", text[:most]
    )


def _no_option(field: StartInput, text: str) -> _Unfit:
    near = _nearest(text, field.options)
    hint = f"did you mean {near}?" if near else f"{_choices(field)}."
    return _Unfit(f"{_cited(text)} is no option of {_named(field)}: {hint}", near)


def _read_number(field: StartInput, text: str) -> _Fit | _Unfit:
    try:
        # Python alone reads 1_000 as a number.
        number = math.nan if "_" in text else float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        return _Unfit(f"{_named(field)} must be a number, and {_cited(text)} is none.", None)
    return _Fit(int(text) if _INTEGER.fullmatch(text) else number, text)


def _read_switch(field: StartInput, text: str) -> _Fit | _Unfit:
    chosen = switch(text)
    if chosen is None:
        return _Unfit(f"{_named(field)} must be true or false, and {_cited(text)} is neither.", None)
    return _Fit(chosen, text)


def _read_json_object(field: StartInput, text: str) -> _Fit | _Unfit:
    # Slack's clients may have curled the quotation marks of the JSON itself.
    for candidate in (text, re.sub(f"[{_DOUBLE}]", '"', text)):
        if (value := _json_object(candidate)) is not None:
            return _Fit(value, text)
    return _Unfit(f"{_named(field)} must be a JSON object, as in {JSON_EXAMPLE}.", None)


def _json_object(text: str) -> dict[str, Any] | None:
    """Return the JSON object, if it is one that can be sent again: Python reads NaN and lone surrogates, too."""
    try:
        value = json.loads(text)
        json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


_TYPED: dict[str, Callable[[StartInput, str], _Fit | _Unfit]] = {
    "select": _no_option,
    "number": _read_number,
    "checkbox": _read_switch,
    "json_object": _read_json_object,
}


# --- wording -------------------------------------------------------------------------------------------------------


def _example(field: StartInput) -> str:
    match field:
        case StartInput(type="checkbox"):
            return "true"
        case StartInput(type="select", options=(first, *_)):
            return first
        case _:
            return PLACEHOLDER


def _kind(field: StartInput) -> str:
    match field:
        case StartInput(type="select"):
            return _choices(field)
        case StartInput(type="number"):
            return "a number"
        case StartInput(type="checkbox"):
            return "true or false"
        case StartInput(type="json_object"):
            return f"a JSON object, as in {JSON_EXAMPLE}"
        case StartInput(accepts=Accepts() as accepts):
            return f"{how_many(accepts)}, {_given_by(accepts)}"
        case StartInput(max_length=int(most)) if most:
            return f"a text of at most {most} characters"
        case _:
            return "a text"


def _given_by(accepts: Accepts) -> str:
    if not accepts.takes_links:
        return "chosen in the start window"
    return "by a link, or chosen in the start window" if accepts.takes_uploads else "by a link"


def _need(field: StartInput) -> str:
    if must_be_given(field):
        return "required"
    if field.default in (None, "") or takes_files(field):
        return "optional"
    default = field.default if isinstance(field.default, str) else json.dumps(field.default, ensure_ascii=False)
    return f"optional, {_cited(default)} where it is left out"


def _choices(field: StartInput) -> str:
    return f"choose {_listed(field.options, 'or')}" if field.options else "it has no options"


def _nearest(word: str, candidates: Iterable[str]) -> str | None:
    by_fold = {each.casefold(): each for each in candidates}
    return next((by_fold[near] for near in difflib.get_close_matches(word.casefold(), by_fold, n=1)), None)


def _named(field: StartInput) -> str:
    same = field.label.casefold() in ("", field.variable.casefold())
    return field.variable if same else f"{field.variable} ({field.label})"


def _listed(names: Collection[str], conjunction: str) -> str:
    first = list(names)[:_MOST_LISTED]
    if len(names) > len(first):
        return f"{', '.join(first)} and {len(names) - len(first)} more"
    return f"{', '.join(first[:-1])} {conjunction} {first[-1]}" if len(first) > 1 else "".join(first)


def _cited(text: str) -> str:
    return f"“{_short(text)}”"


def _short(text: str) -> str:
    return text if len(text) <= _MOST_CITED else text[: _MOST_CITED - 1] + "…"
