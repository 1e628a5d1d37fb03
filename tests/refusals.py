"""The simulated workspace refuses nothing that the bot sends in any test, but for what a test provokes and names."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager

from bot.playground.slack import Workspace

_served: list[Workspace] = []
_ended: list[Workspace] = []
"""Since the running test began."""


@contextmanager
def watched(workspace: Workspace) -> Iterator[None]:
    """Have an eye on what a workspace refuses as long as it is served, be it for one test or for those of a module."""
    _served.append(workspace)
    yield
    _served.remove(workspace)
    _ended.append(workspace)


@contextmanager
def nothing_refused(provoked: Collection[str] = ()) -> Iterator[None]:
    """Fail at the end if a watched workspace refused anything meanwhile; with these codes it has to.

    Every refusal is the bot's fault or has a reason that its test can name: a channel that the bot is not in, a message
    that somebody deleted. Failures that a test orders are no refusals.
    """
    _ended.clear()
    before = {id(workspace): len(workspace.refusals) for workspace in _served}
    yield
    there = [*_served, *_ended]
    refused = [each for workspace in there for each in workspace.refusals[before.get(id(workspace), 0) :]]
    unforeseen = [str(each) for each in refused if each.code not in provoked]
    assert not unforeseen, f"Slack refused what the bot sent: {'; '.join(unforeseen)}"
    missing = set(provoked) - {each.code for each in refused}
    assert not missing, f"Slack should have refused something as {', '.join(sorted(missing))}, and did not"
