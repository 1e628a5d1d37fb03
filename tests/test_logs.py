"""Log lines carry no bearer secret, whoever wrote them."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Literal

import pytest
import structlog

from bot import logs

SECRETS = [
    "xoxb-1-abcDEF",
    "xapp-1-abcDEF",
    "app-0123456789abcdef",
    "/v1/form/human_input/MHFJFGBPMHCmE12bmAI9az",
    "https://hooks.slack.com/commands/T1/22/s3cr3t",
]


@pytest.fixture(autouse=True)
def untouched_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.mark.parametrize("secret", SECRETS)
def test_a_secret_is_redacted(secret: str) -> None:
    bare = secret.rsplit("/", 1)[-1]
    assert bare not in logs.redacted(f"before {secret} after")


@pytest.mark.parametrize("secret", SECRETS)
def test_secrets_of_foreign_lines_and_tracebacks_are_redacted_too(
    secret: str, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.configure("INFO", "json")
    try:
        raise ValueError(secret)
    except ValueError:
        logging.getLogger("somebody.else").exception("went wrong with %s", secret)
        structlog.get_logger("bot").exception("went wrong", url=secret)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert all(json.loads(line)["level"] == "error" for line in lines)
    assert secret.rsplit("/", 1)[-1] not in "".join(lines)


@pytest.mark.parametrize("log_format", ["json", "console"])
@pytest.mark.parametrize("secret", SECRETS)
def test_a_secret_is_redacted_wherever_it_stands_in_a_value(
    secret: str, log_format: Literal["json", "console"], capsys: pytest.CaptureFixture[str]
) -> None:
    logs.configure("INFO", log_format)
    headers = {"authorization": [f"Bearer {secret}"], secret: 1}
    structlog.get_logger("bot").info("asked", headers=headers, pair=(1, secret), error=ValueError(secret), status=200)
    line = capsys.readouterr().err
    assert secret.rsplit("/", 1)[-1] not in line
    assert "Bearer" in line
    assert "200" in line
