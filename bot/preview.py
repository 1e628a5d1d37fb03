"""A Dify form as the messages and the window that Slack would get, for who builds it; nothing is sent anywhere."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pydantic import ValidationError

from bot.core.model import AppMode, Form, FormStatus, Run
from bot.core.ports import WindowFill
from bot.dify.schema import AnnouncedForm, FormDefinition
from bot.errors import ConfigError
from bot.slack.forms.form import form_messages, obstacle
from bot.slack.forms.window import window
from bot.slack.messages.message import Message

BUILDER = "https://app.slack.com/block-kit-builder/#"

NO_FILE = "{source} cannot be read: {reason}."
NO_JSON = "{source} is not JSON: {reason}."
NO_FORM = (
    "{source} is not a Dify form: give what GET /form/human_input/… answers, "
    "or the data of a human_input_required event. What is wrong: {reason}."
)


def preview(source: str) -> str:
    """Return the messages of the form in a file (`-` for standard input), and its window where it can be answered.

    Each is its JSON, and below it a link that shows it.

    Raises:
        ConfigError: the file cannot be read, is no JSON, or no form (dify-api §10.2, §7.3).
    """
    form = read_form(source)
    run = Run(
        run_id="preview",
        app="preview",
        mode=AppMode.WORKFLOW,
        team_id="T0",
        channel_id="C0",
        starter_id="U0",
        dify_user="slack:T0:U0",
        run_inputs={},
        created_at=datetime.now(UTC),
        forms=(form,),
    )
    shown = [_message(message) for message in form_messages(run, form)]
    if obstacle(form) is None:
        view = window(run, form, WindowFill())
        shown.append(_linked(view, view))
    return "\n\n".join(shown)


def read_form(source: str) -> Form:
    """Return the form in a file, as it is when it opens.

    Raises:
        ConfigError: as for `preview`.
    """
    named = "Standard input" if source == "-" else source
    try:
        text = sys.stdin.read() if source == "-" else Path(source).read_text(encoding="utf-8-sig")
        found = json.loads(text)
    except OSError as exc:
        raise ConfigError(NO_FILE.format(source=named, reason=exc.strerror)) from None
    except (ValueError, RecursionError) as exc:
        raise ConfigError(NO_JSON.format(source=named, reason=_reason(exc))) from None
    try:
        return _form(found)
    except (ValueError, OverflowError, OSError) as exc:
        raise ConfigError(NO_FORM.format(source=named, reason=_reason(exc))) from None


def _form(found: Any) -> Form:
    """Read a form as an event announces it, or as it is read by its token, which names neither form nor node."""
    if isinstance(found, dict) and found.get("event") == "human_input_required":
        found = found.get("data")
    if not isinstance(found, dict):
        raise ValueError("it is no JSON object")
    if "form_id" in found:
        return AnnouncedForm.model_validate(found).to_core()
    form = Form(
        form_id="preview",
        node_id="preview",
        node_title="Human Input",
        content="",
        inputs=(),
        user_actions=(),
        form_token="preview",
        status=FormStatus.OPEN,
    )
    return FormDefinition.model_validate(found).complete(form)


def _reason(exc: Exception) -> str:
    """Return what is wrong, as the end of a sentence."""
    if isinstance(exc, ValidationError):
        first = exc.errors(include_url=False, include_input=False)[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    return " ".join(str(exc).split())


def _message(message: Message) -> str:
    blocks = [block.to_dict() for block in message.blocks]
    return _linked({"text": message.text, "blocks": blocks}, {"blocks": blocks})


def _linked(payload: dict[str, Any], in_builder: dict[str, Any]) -> str:
    """Write what Slack gets, and the address at which its Block Kit Builder shows as much of it as it takes."""
    return f"{_json(payload, indent=2)}\n{BUILDER}{quote(_json(in_builder), safe='')}"


def _json(value: Any, indent: int | None = None) -> str:
    """Return JSON that can be printed: half a surrogate pair, which an id may hold, is written as JSON escapes it."""
    separators = None if indent else (",", ":")
    written = json.dumps(value, ensure_ascii=False, indent=indent, separators=separators)
    return written.encode("utf-8", "backslashreplace").decode("utf-8")
