"""The ids our blocks carry, and what stands in them.

Namespaced, so that one pattern finds each listener. They hold our own ids only: everybody in the channel can read
them, so never a form's token.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from bot.errors import UnknownHere

STOP_RUN = "run.stop"
"""action_id of the root message's Stop button; its value is the `run_id`."""
FIELD = "form.field"
"""action_id of every field of a form; its block_id says which one it is."""
WRITING = "answer.writing"
"""block_id of the line that says that more text is coming."""
CHOOSE_ACTION = re.compile(r"form\.act\.\d+")
"""action_ids of a form's buttons. Slack wants them unique within a block, hence the number."""

_ACTION_VALUE = re.compile(r"(?P<run_id>[\w-]+)/(?P<form_id>[\w-]+)/(?P<action_id>.+)", re.DOTALL)
_FIELD_BLOCK = re.compile(r"form\.field\.(?P<revision>\d+)\.(?P<index>\d+)\.(?P<name>.*)", re.DOTALL)
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


def field_block_id(revision: int, index: int, name: str) -> str:
    """Return the block_id of a form's `index`-th field.

    The revision makes it a new field to Slack, which then forgets what was typed into the old one (slack-platform
    §2.7). The name is for people who read payloads; the index is what counts.
    """
    return f"form.field.{revision}.{index}.{name[:_NAME_IN_BLOCK]}"


def decode_field(block_id: str) -> int | None:
    """Return the index of the field a block holds; None for a block that holds none."""
    match = _FIELD_BLOCK.fullmatch(block_id)
    return int(match["index"]) if match else None
