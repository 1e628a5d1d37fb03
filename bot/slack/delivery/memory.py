"""What is kept in mind to save work, and may be forgotten."""

from __future__ import annotations

from typing import TypeVar

Value = TypeVar("Value")

_REMEMBERED = 1_000
"""Runs, and posts to be tried again."""


def remember(memory: dict[str, Value], key: str, value: Value) -> None:
    """Put into a memory that forgets its oldest."""
    memory.pop(key, None)
    memory[key] = value
    if len(memory) > _REMEMBERED:
        del memory[next(iter(memory))]
