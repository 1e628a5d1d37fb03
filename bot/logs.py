"""Logging: structlog for our own lines, the standard library's for those of others, both in one format."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any, Literal

import structlog
from structlog.typing import Processor

_SECRET = re.compile(
    r"""xox[a-z]-[\w-]+ | xapp-[\w-]+ | \bapp-[A-Za-z0-9]{8,}   # Slack's tokens, Dify's keys
      | (?<=form/human_input/)[A-Za-z0-9]+                      # the form token in a path of Dify
      | (?<=hooks\.slack\.com/)\S+                              # a response_url
      | (?<=[?&]sign=)[^&\s"']+                                 # the signature of an address of Dify's files
      | (?<=/upload/v1/)[\w-]+                                  # the key in an address for an upload to Slack""",
    re.VERBOSE,
)


def redacted(text: str) -> str:
    """Return the text with everything that looks like a bearer secret replaced."""
    return _SECRET.sub("[secret]", text)


def _redact(_logger: Any, _method: str, entry: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    return {key: _harmless(value) for key, value in entry.items()}


def _harmless(value: Any) -> Any:
    """Return a value without secrets, in the form in which it is written."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping):
        return {redacted(str(key)): _harmless(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_harmless(each) for each in value]
    return redacted(value if isinstance(value, str) else repr(value))


def configure(level: str, log_format: Literal["console", "json"]) -> None:
    """Set up logging to standard error, once, before anything else runs."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    console = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    renderer: Processor = structlog.processors.JSONRenderer() if log_format == "json" else console
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.PositionalArgumentsFormatter(), *shared],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                _redact,
                renderer,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # httpx tells every request at INFO, aiohttp every access: that is our DEBUG.
    for noisy in ("httpx", "httpcore", "aiohttp.access", "apscheduler", "alembic", "slack_sdk"):
        logging.getLogger(noisy).setLevel(level if level == "DEBUG" else "WARNING")
    # Bolt warns of SLACK_BOT_TOKEN in the environment, where `settings` wants it.
    logging.getLogger("slack_bolt").setLevel(level if level == "DEBUG" else "ERROR")
