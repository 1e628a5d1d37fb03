"""Whatever the page asks for, it is answered."""

from __future__ import annotations

import pytest

from bot.playground.page.actions import FAILED, Actions


class Desk:
    """Has an action with a defect in it."""

    async def fall(self) -> None:
        """Do what nobody foresaw."""
        raise RuntimeError("over its own feet")


async def test_what_nobody_foresaw_is_answered_and_told_to_the_operator(caplog: pytest.LogCaptureFixture) -> None:
    """Else a button would wait until the page is loaded anew."""
    assert await Actions(Desk()).reply({"id": 7, "do": "fall"}) == {"id": 7, "ok": False, "error": FAILED}
    assert "over its own feet" in caplog.text


async def test_a_request_that_names_no_action_is_refused() -> None:
    assert await Actions(Desk()).reply({"id": 7, "do": []}) == {"id": 7, "ok": False, "error": "There is no action []."}
