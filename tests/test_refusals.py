"""The check that Slack refuses nothing the bot sends can fail."""

from __future__ import annotations

import pytest

from bot.playground.slack import Workspace
from bot.playground.slack.refusals import Refusal
from tests.refusals import nothing_refused, watched


def refuse(code: str) -> None:
    """Have a workspace that is watched refuse something."""
    workspace = Workspace(people=["ann"], channels={"content": ["ann"]})
    with watched(workspace):
        workspace.note_refusal("chat.postMessage", Refusal(code, "must be less than 76 characters"))


@pytest.mark.provokes("invalid_blocks")
def test_what_no_test_has_named_is_told_with_its_reason() -> None:
    with pytest.raises(AssertionError, match=r"chat\.postMessage: invalid_blocks must be less"), nothing_refused():
        refuse("invalid_blocks")


@pytest.mark.provokes("not_in_channel")
def test_what_a_test_provokes_is_let_pass() -> None:
    with nothing_refused(["not_in_channel"]):
        refuse("not_in_channel")


def test_what_a_test_provokes_has_to_come() -> None:
    with pytest.raises(AssertionError, match="as not_in_channel, and did not"), nothing_refused(["not_in_channel"]):
        pass


@pytest.mark.provokes("message_not_found")
def test_what_a_workspace_refused_before_is_not_held_against_a_test() -> None:
    workspace = Workspace(people=["ann"], channels={"content": ["ann"]})
    with watched(workspace):
        workspace.note_refusal("chat.update", Refusal("message_not_found"))
        with nothing_refused():
            pass
