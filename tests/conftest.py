"""What holds for all tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.refusals import nothing_refused

# The same code is checked with the same examples, and how long one takes depends on the machine.
# `--hypothesis-profile=default` looks for others.
settings.register_profile("check", derandomize=True, deadline=None)
settings.load_profile("check")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Have the tests of the page leave something to look at."""
    parser.addoption(
        "--screenshots", type=Path, metavar="DIR", help="write a screenshot of each state of the page there"
    )


@pytest.fixture(autouse=True)
def _nothing_refused(request: pytest.FixtureRequest) -> Iterator[None]:
    """A test in which Slack refuses what the bot sends fails, unless it is marked by the codes that it provokes."""
    codes = [code for marker in request.node.iter_markers("provokes") for code in marker.args]
    with nothing_refused(codes):
        yield
