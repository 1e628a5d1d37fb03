"""Human Input forms: how they are made, read, judged and closed (recordings 01, 04, 09, 14, 17, 35)."""

import json
import secrets
import string
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pydantic import TypeAdapter, ValidationError

from bot.playground.dify.errors import ApiError, InputError
from bot.playground.dify.files import usable
from bot.playground.dify.graph import HumanInput, Json
from bot.playground.dify.variables import Pool, fill_in

GLOBAL_LIMIT_S = 7 * 24 * 3600
_ALPHABET = string.ascii_letters + string.digits
_MAPPINGS: TypeAdapter[Sequence[dict[str, Any]]] = TypeAdapter(Sequence[dict[str, Any]])


class FormStatus(StrEnum):
    """What has become of a form."""

    WAITING = "waiting"
    SUBMITTED = "submitted"
    TIMEOUT = "timeout"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Answered:
    """An accepted submission."""

    action: Json
    values: Mapping[str, Any]


@dataclass(slots=True, eq=False)
class Form:
    """One form of one run, from the pause that made it to whatever closed it; times are Unix seconds.

    `used` holds the submitted values as the resumed run took them, mappings turned into files. `null_token` keeps the
    token from everybody.
    """

    id: str
    token: str
    run_id: str
    app_key: str
    node: HumanInput
    content: str
    inputs: list[Json]
    defaults: dict[str, Any]
    expires_at: float
    global_limit_at: float
    null_token: bool = False
    status: FormStatus = FormStatus.WAITING
    answered: Answered | None = None
    used: Json | None = None

    @property
    def node_id(self) -> str:
        """Return the id of the Human Input node."""
        return self.node.id

    @property
    def expiration_time(self) -> int:
        """Return the node's deadline; the global limit is told to nobody (recording 14)."""
        return int(self.expires_at)

    def required(self, *, raw: bool = False) -> Json:
        """Return the form's fields of `human_input_required`; replays carry the `raw` template (recording 05)."""
        return {
            "form_id": self.id,
            "node_id": self.node.id,
            "node_title": self.node.title,
            "form_content": self.node.content if raw else self.content,
            "inputs": self.inputs,
            "actions": list(self.node.actions),
            "display_in_ui": self.node.web_app,
            "form_token": None if self.null_token else self.token,
            "resolved_default_values": self.defaults,
            "expiration_time": self.expiration_time,
        }

    def reason(self, *, raw: bool = False) -> Json:
        """Return the form as one of the `reasons` of a pause."""
        fields = self.required(raw=raw)
        del fields["display_in_ui"]
        return {"TYPE": "human_input_required", **fields}

    def definition(self) -> Json:
        """Return what GET form answers: defaults as texts, and actions under another name."""
        return {
            "form_content": self.content,
            "inputs": self.inputs,
            "resolved_default_values": {name: _default_text(value) for name, value in self.defaults.items()},
            "user_actions": list(self.node.actions),
            "expiration_time": self.expiration_time,
        }

    def rendered(self) -> str:
        """Return the content with the answers in place of their markers."""
        values = self.answered.values if self.answered else {}
        text = self.content
        for name, value in values.items():
            text = text.replace("{{#$output." + name + "#}}", _answer_text(value))
        return text

    def check_open(self, now: float) -> None:
        """Refuse a closed form with 412, the deadline counting even before the sweeper has run (recording 14)."""
        if self.status is FormStatus.SUBMITTED:
            raise ApiError(
                412,
                "human_input_form_submitted",
                f"This form has already been submitted by another user, form_id={self.id}",
            )
        if self.status is not FormStatus.WAITING or now >= min(self.expires_at, self.global_limit_at):
            raise ApiError(412, "human_input_form_expired", f"This form has expired, form_id={self.id}")

    def judge(self, action_id: str, values: Mapping[str, Any], check_file: Callable[[Json, Json], object]) -> Answered:
        """Return the submission, or refuse it as the real server does: inputs first, then the action (recording 04).

        `check_file(mapping, rules)` raises `InputError` for a mapping that is not a usable file.
        """
        missing = [item["output_variable_name"] for item in self.inputs if item["output_variable_name"] not in values]
        if missing:
            raise _invalid(f"Missing required inputs: {', '.join(missing)}")
        for item in self.inputs:
            _check_value(item, values[item["output_variable_name"]], check_file)
        action = next((action for action in self.node.actions if action["id"] == action_id), None)
        if action is None:
            raise _invalid(f"Invalid action: {action_id}")
        return Answered(
            action, {item["output_variable_name"]: values[item["output_variable_name"]] for item in self.inputs}
        )


def make_form(
    *, id: str, run_id: str, app_key: str, node: HumanInput, pool: Pool, now: float, null_token: bool
) -> Form:
    """Return the form of a node that has just asked for input."""
    return Form(
        id=id,
        token="".join(secrets.choice(_ALPHABET) for _ in range(22)),
        run_id=run_id,
        app_key=app_key,
        node=node,
        content=fill_in(node.content, pool),
        inputs=[_with_options(item, pool) for item in node.inputs],
        defaults=_defaults(node.inputs, pool),
        expires_at=now + node.timeout_seconds,
        global_limit_at=now + GLOBAL_LIMIT_S,
        null_token=null_token,
    )


def _with_options(item: Json, pool: Pool) -> Json:
    source = item.get("option_source")
    if source is None or source["type"] == "constant":
        return item
    # Options that cannot be resolved stay empty, and then anything is accepted (recordings 15, 35).
    options = pool.get(tuple(source["selector"]), [])
    return item | {"option_source": source | {"value": options}}


def _defaults(inputs: Sequence[Json], pool: Pool) -> dict[str, Any]:
    found = {}
    for item in inputs:
        default = item.get("default")
        if default and default["type"] == "variable" and tuple(default["selector"]) in pool:
            found[item["output_variable_name"]] = pool[tuple(default["selector"])]
    return found


def _default_text(value: Any) -> str:
    if value is None:
        return ""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else str(value)


def _answer_text(value: Any) -> str:
    if isinstance(value, dict):
        return "[file]"
    return f"[{len(value)} files]" if isinstance(value, list) else str(value)


def _invalid(message: str) -> ApiError:
    return ApiError(400, "invalid_form_data", message)


def _check_value(item: Json, value: Any, check_file: Callable[[Json, Json], object]) -> None:
    name = item["output_variable_name"]
    match item["type"]:
        case "select":
            _check_select(name, item["option_source"], value)
        case "file":
            if not isinstance(value, dict):
                raise _invalid(f"Invalid value for file input '{name}': expected mapping")
            try:
                check_file(value, item)
            except InputError as error:
                raise _invalid(f"Invalid value for file input '{name}': {error}") from error
        case "file-list":
            try:
                _check_file_list(item, value, check_file)
            except (InputError, ValidationError) as error:
                raise _invalid(f"Invalid value for file list input '{name}': {error}") from error
    # A paragraph takes anything here; what is not a text fails the run on its resume (recording 04).


def _check_select(name: str, source: Json, value: Any) -> None:
    if not isinstance(value, str):
        raise _invalid(f"Invalid value for select input '{name}': expected string")
    if source["type"] == "constant" and value not in source["value"]:
        raise _invalid(f"Invalid value for select input '{name}': {value}")


def _check_file_list(item: Json, value: Any, check_file: Callable[[Json, Json], object]) -> None:
    mappings = usable(_MAPPINGS.validate_python(value))
    for mapping in mappings:
        check_file(mapping, item)
    if item["number_limits"] and len(mappings) > item["number_limits"]:
        raise InputError(f"Number of files exceeds the maximum limit {item['number_limits']}")
