"""The ids our blocks carry, and what stands in them.

Namespaced, so that one pattern finds each listener. They hold our own ids only: everybody in the channel can read
them, so never a form's token.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from bot.core.model import Rating
from bot.core.ports import CarriedFile, StartPlace
from bot.errors import UnknownHere

STOP_RUN = "run.stop"
"""action_id of the root message's Stop button; its value is the `run_id`."""
START_WINDOW = "start.window"
"""callback_id of a start window."""
CHOOSE_APP = "start.app"
"""block_id and action_id of the menu of the apps in a start window."""
LEAVE_OUT = "start.leave_out"
"""action_id of the button that takes the files of a field out of a start window; its value is the variable."""
RUN_WITH_MESSAGE = "start.message"
"""callback_id of the shortcut on a message that opens a start window with what the message says and holds."""
START_HERE = "start.here"
"""action_id of the button in a Home that opens a start window; its value is the channel that it is to start in."""
START_AGAIN = "start.again"
"""action_id of the button that opens a start window with what was given before; its value is the `run_id`."""
START_WITH_MESSAGE = "start.with_message"
"""action_id of the button below the answer to a message that addresses the bot, which opens a start window with it; its
value names the message."""
FIELD = "form.field"
"""action_id of every field of a form, and of a start window; its block_id says which one it is."""
WRITING = "answer.writing"
"""block_id of the line that says that more text is coming."""
GOES_ON = "text.below"
"""block_id of the line that says that a text goes on in the next message."""
IN_FILE = "text.file"
"""block_id of the line that says that a text goes on in a file."""
WINDOW = "form.window"
"""action_id of the button that opens a form's window, and callback_id of the window."""
BEGIN_ANEW = "form.window.anew"
"""action_id of the button in a window that drops the draft; its value is empty."""
DECISION = "form.decision"
"""block_id and action_id of the choice between the user actions in a window; its values are their indexes."""
CHOOSE_ACTION = re.compile(r"form\.act\.\d+")
"""action_ids of a form's buttons. Slack wants them unique within a block, hence the number."""
SEND_MESSAGE = "talk.send"
"""action_id of the button that has a held message sent; its value is the `run_id` of the message."""
FORGET_MESSAGE = "talk.forget"
"""action_id of the button that drops a held message; its value is the same."""
USE_AS_ANSWER = re.compile(r"talk\.answer\.\d+")
"""action_ids of the buttons that make a held message the answer to a form."""
SUGGESTION = re.compile(r"talk\.suggestion\.\d+")
"""action_ids of the buttons that ask what Dify suggests."""
RATE = "talk.rate"
"""action_id of the thumbs below an answer."""

REMOVE_FILE = "file.remove"
"""action_id of the button that takes back a file; its value names the file."""
PLACE_FILE = "file.place"
"""action_id of the menu of the fields that a file fits; its block_id names the file, its values are their indexes."""

_ATTACHMENT = re.compile(r"(?P<run_id>[\w-]+)/(?P<attachment_id>[\w-]+)")
_ACTION_VALUE = re.compile(r"(?P<run_id>[\w-]+)/(?P<form_id>[\w-]+)/(?P<action_id>.+)", re.DOTALL)
_WINDOW_OF = re.compile(
    r"(?P<run_id>[\w-]+)/(?P<form_id>[\w-]+)/(?P<generation>\d{1,9})/(?P<typed_before>[0-9a-f]*)", re.ASCII
)
_FIELD_BLOCK = re.compile(r"form\.field\.(?P<revision>\d+)\.(?P<index>\d+)\.(?P<name>.*)", re.DOTALL)
_LINK_BLOCK = re.compile(r"form\.link\.(?P<revision>\d+)\.(?P<index>\d+)\.(?P<name>.*)", re.DOTALL)
_START_PLACE = re.compile(
    r"(?P<run_id>[\w-]+)/(?P<team_id>\w+)/(?P<channel_id>\w+)/(?P<app>[\w-]*)(?:/(?P<files>.*))?", re.DOTALL
)
_MESSAGE = re.compile(r"(?P<channel_id>\w+)/(?P<ts>\d+\.\d+)", re.ASCII)
_START_FIELD = re.compile(r"start\.(?P<kind>field|link)\.(?P<shape>\w+)\.(?P<index>\d+)\.(?P<name>.*)", re.DOTALL)
_NAME_IN_PLACE = 100  # private_metadata ≤3000 (slack-platform §2.3), for 20 files at most
_NAME_IN_BLOCK = 200  # block_id ≤255 (slack-platform §2.1); Dify's names are far shorter


@dataclass(frozen=True, slots=True)
class ChosenAction:
    """What a form's button stands for."""

    run_id: str
    form_id: str
    action_id: str
    """Dify's id of the user action."""


def choose_action_id(index: int) -> str:
    """Return the action_id of a form's `index`-th button."""
    return f"form.act.{index}"


def encode_action(chosen: ChosenAction) -> str:
    """Return the value of a form's button."""
    return f"{chosen.run_id}/{chosen.form_id}/{chosen.action_id}"


def decode_action(value: str) -> ChosenAction:
    """Return what a form's button stands for.

    Raises:
        UnknownHere: no button of ours has this value.
    """
    match = _ACTION_VALUE.fullmatch(value)
    if match is None:
        raise UnknownHere(f"not the value of a form's button: {value!r}")
    return ChosenAction(match["run_id"], match["form_id"], match["action_id"])


@dataclass(frozen=True, slots=True)
class WindowOf:
    """What a form's window is of, and what it was opened upon (`bot.core.ports.WindowFill`)."""

    run_id: str
    form_id: str
    generation: int = 0
    typed_before: str = ""


def encode_window(window: WindowOf) -> str:
    """Return the private_metadata of a form's window, and the value of the button that opens it."""
    return f"{window.run_id}/{window.form_id}/{window.generation}/{window.typed_before}"


def decode_window(value: str) -> WindowOf:
    """Return what a form's window is of.

    Raises:
        UnknownHere: no window of ours has this private_metadata.
    """
    match = _WINDOW_OF.fullmatch(value)
    if match is None:
        raise UnknownHere(f"not a form's window: {value!r}")
    return WindowOf(match["run_id"], match["form_id"], int(match["generation"]), match["typed_before"])


def encode_attachment(run_id: str, attachment_id: str) -> str:
    """Return what names a file that somebody gave."""
    return f"{run_id}/{attachment_id}"


def decode_attachment(value: str) -> tuple[str, str]:
    """Return the run and the id of a file that somebody gave.

    Raises:
        UnknownHere: nothing of ours has this value.
    """
    match = _ATTACHMENT.fullmatch(value)
    if match is None:
        raise UnknownHere(f"not a file that somebody gave: {value!r}")
    return match["run_id"], match["attachment_id"]


def place_block_id(attachment: str) -> str:
    """Return the block_id of the menu of the fields that a file fits."""
    return f"{PLACE_FILE}.{attachment}"


def decode_place_block(block_id: str) -> tuple[str, str]:
    """Return the run and the id of the file whose menu a block holds.

    Raises:
        UnknownHere: it holds none of ours.
    """
    return decode_attachment(block_id.removeprefix(f"{PLACE_FILE}."))


def use_as_answer_id(index: int) -> str:
    """Return the action_id of the button for the `index`-th form that a held message may be the answer to."""
    return f"talk.answer.{index}"


def suggestion_id(index: int) -> str:
    """Return the action_id of the `index`-th suggestion's button."""
    return f"talk.suggestion.{index}"


def encode_suggestion(run_id: str, index: int) -> str:
    """Return the value of a suggestion's button."""
    return f"{run_id}/{index}"


def decode_suggestion(value: str) -> tuple[str, int]:
    """Return the run whose answer a suggestion stands below, and which one it is.

    Raises:
        UnknownHere: no button of ours has this value.
    """
    run_id, _, index = value.rpartition("/")
    if not run_id or not index.isdecimal():
        raise UnknownHere(f"not the value of a suggestion's button: {value!r}")
    return run_id, int(index)


def encode_rating(run_id: str, rating: Rating) -> str:
    """Return the value of a thumb."""
    return f"{run_id}/{rating}"


def decode_rating(value: str) -> tuple[str, Rating]:
    """Return the run whose answer a thumb stands below, and which one it is.

    Raises:
        UnknownHere: no thumb of ours has this value.
    """
    run_id, _, rating = value.rpartition("/")
    if not run_id or rating not in list(Rating):
        raise UnknownHere(f"not the value of a thumb: {value!r}")
    return run_id, Rating(rating)


def field_block_id(revision: int, index: int, name: str) -> str:
    """Return the block_id of a form's `index`-th field.

    The revision, in a window its generation, makes it a new field to Slack, which then forgets what was typed into the
    old one (slack-platform §2.7). The name is for people who read payloads; the index is what counts.
    """
    return f"form.field.{revision}.{index}.{name[:_NAME_IN_BLOCK]}"


def decode_field(block_id: str) -> int | None:
    """Return the index of the field a block holds; None for a block that holds none."""
    match = _FIELD_BLOCK.fullmatch(block_id)
    return int(match["index"]) if match else None


def link_block_id(revision: int, index: int, name: str) -> str:
    """Return the block_id of the links for a form's `index`-th field, one for files."""
    return f"form.link.{revision}.{index}.{name[:_NAME_IN_BLOCK]}"


def decode_link(block_id: str) -> int | None:
    """Return the index of the field whose links a block holds; None for a block that holds none."""
    match = _LINK_BLOCK.fullmatch(block_id)
    return int(match["index"]) if match else None


def encode_message(channel_id: str, ts: str) -> str:
    """Return what names a message of somebody's."""
    return f"{channel_id}/{ts}"


def decode_message(value: str) -> tuple[str, str]:
    """Return the channel and the `ts` of a message of somebody's.

    Raises:
        UnknownHere: nothing of ours has this value.
    """
    match = _MESSAGE.fullmatch(value)
    if match is None:
        raise UnknownHere(f"not a message of somebody's: {value!r}")
    return match["channel_id"], match["ts"]


@dataclass(frozen=True, slots=True)
class StartField:
    """Which field of a start window a block holds."""

    shape: str
    """What the window shows as a whole: the fields of another app, or of one that was changed, are other fields."""
    index: int
    name: str
    holds_links: bool = False
    """Of a field for files: the block for links to some."""


def encode_place(place: StartPlace) -> str:
    """Return the `private_metadata` of a start window."""
    files = ",".join(f"{each.file_id}:{(each.field or '')[:_NAME_IN_PLACE]}" for each in place.files)
    return f"{place.run_id}/{place.team_id}/{place.channel_id}/{place.app or ''}/{files}"


def decode_place(metadata: str) -> StartPlace:
    """Return what a start window stands for.

    Raises:
        UnknownHere: no window of ours has this `private_metadata`.
    """
    match = _START_PLACE.fullmatch(metadata)
    if match is None:
        raise UnknownHere(f"not the metadata of a start window: {metadata!r}")
    named = (each.partition(":") for each in (match["files"] or "").split(",") if each)
    files = tuple(CarriedFile(file_id, field or None) for file_id, _, field in named)
    return StartPlace(match["run_id"], match["team_id"], match["channel_id"], match["app"] or None, files)


def start_block_id(field: StartField) -> str:
    """Return the block_id of a field of a start window."""
    kind = "link" if field.holds_links else "field"
    return f"start.{kind}.{field.shape}.{field.index}.{field.name[:_NAME_IN_BLOCK]}"


def decode_start_field(block_id: str) -> StartField | None:
    """Return which field of a start window a block holds; None for a block that holds none."""
    match = _START_FIELD.fullmatch(block_id)
    if match is None:
        return None
    return StartField(match["shape"], int(match["index"]), match["name"], match["kind"] == "link")
