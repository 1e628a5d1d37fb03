"""A builder's own form, read from what Dify gives out of it, as an app of the simulated Dify that asks it.

Dify names a form's parts in two ways (dify-api §10.2, §7.3), and a DSL file holds the Human Input nodes of an app; the
file's own rules are those of Dify's editor.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal

import yaml
from pydantic import AliasChoices, BaseModel, Field, FiniteFloat, StringConstraints, ValidationError

from bot.playground.dify import App
from bot.playground.dify.graph import DAY, REFERENCE, End, HumanInput, Json, Template, action

NAME = "own"
"""What people type to be asked the form that was loaded last."""
TEXT_MAX = 1024 * 1024
"""Characters of a text that is read."""

_EVENT_PREFIX = "data: {"
_DEPTH_MAX = 100
_HOUR = 3600
_TIMEOUT_MAX = 100 * 365 * DAY
"""Seconds; what is much further away is no date any more."""
_TITLE = "Your form"
_EXPECTED = (
    "give what GET /form/human_input/… answers, a human_input_required event, "
    "or a Dify DSL file with a Human Input node"
)

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""Dify's files are long, and the one in C is many times faster where it is there."""

Identifier = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]


class UnusableForm(Exception):
    """A text that is no form; the message is a sentence that says what is wrong and where."""


class _Source(BaseModel):
    """Where a default or the options come from."""

    type: Literal["constant", "variable"]
    selector: list[str] = []
    value: Any = None


class _Options(_Source):
    value: list[str] = []


class _Paragraph(BaseModel):
    type: Literal["paragraph", "text_input", "text-input"]
    output_variable_name: Identifier
    default: _Source | None = None


class _Select(BaseModel):
    type: Literal["select"]
    output_variable_name: Identifier
    option_source: _Options


class _File(BaseModel):
    type: Literal["file"]
    output_variable_name: Identifier
    allowed_file_types: list[str] = []
    allowed_file_extensions: list[str] = []
    allowed_file_upload_methods: list[str] = []


class _FileList(_File):
    type: Literal["file-list"]  # type: ignore[assignment]
    number_limits: int = 0


class _Action(BaseModel):
    id: Annotated[Identifier, StringConstraints(max_length=20)]
    title: Annotated[str, StringConstraints(min_length=1, max_length=100)]
    button_style: Literal["primary", "default", "accent", "ghost"] = "default"


class _Form(BaseModel):
    """A form under any of its names."""

    title: str = Field("", validation_alias=AliasChoices("node_title", "title"))
    form_content: str
    inputs: list[Annotated[_Paragraph | _Select | _File | _FileList, Field(discriminator="type")]] = []
    user_actions: list[_Action] = Field([], validation_alias=AliasChoices("user_actions", "actions"))
    resolved_default_values: dict[str, Any] = {}
    expiration_time: FiniteFloat | None = None
    timeout: Annotated[int, Field(gt=0)] | None = None
    timeout_unit: Literal["hour", "day"] = "hour"


@dataclass(frozen=True)
class OwnForm:
    """A form that was read, and the other Human Input nodes of its file (id → title)."""

    node: HumanInput
    variables: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    others: Mapping[str, str] = field(default_factory=dict)


FIRST = OwnForm(
    HumanInput(
        "form",
        "No form loaded yet",
        content="## Your own form\n\nLoad a form of yours beside the conversation, then type `/dify own` again.\n",
        actions=(action("ok", "All right", "primary"),),
    )
)
"""What is asked before anybody has loaded a form."""


def own_app(form: OwnForm = FIRST) -> App:
    """The app that asks a form, and says what came of it."""
    answers = {item["output_variable_name"]: ("form", item["output_variable_name"]) for item in form.node.inputs}
    return App(
        name=NAME,
        description="Asks the form that you have loaded.",
        variables=form.variables,
        nodes=(
            form.node,
            End("answered", "Answered", {**answers, "decision": ("form", "__action_value")}),
            Template("late", "Note the deadline", "Nobody answered in time."),
            End("unanswered", "Nobody answered", {"decision": ("late", "output")}),
        ),
        edges=(
            "start -> form",
            *(f"form.{each['id']} -> answered" for each in form.node.actions),
            "form.__timeout -> late -> unanswered",
        ),
    )


def read_form(text: str, node_id: str | None = None) -> OwnForm:
    """Return the form in a text; of a DSL file that of this node, or the first one. Raises `UnusableForm`."""
    if not text.strip():
        raise UnusableForm(f"There is nothing to read: {_EXPECTED}.")
    if len(text) > TEXT_MAX:
        raise UnusableForm(f"The text has {len(text):,} characters; up to {TEXT_MAX:,} are read.")
    found = _parsed(text.strip())
    if not isinstance(found, dict):
        raise UnusableForm(f"This is no form: {_EXPECTED}.")
    nodes = _dsl_nodes(found)
    if nodes is None:
        data = found.get("data", found)
        if not isinstance(data, dict) or "form_content" not in data:
            raise UnusableForm(f"There is no form_content in it: {_EXPECTED}.")
        return _own_form(_validated(data, "The form"), None)
    return _from_dsl(nodes, node_id)


def _parsed(text: str) -> Any:
    if text.startswith(_EVENT_PREFIX):
        text = text.removeprefix("data: ")
    try:
        if text.startswith(("{", "[")):
            found = json.loads(text)
            # JSON may name half a character (`\ud800`), which nobody could send on.
            json.dumps(found, ensure_ascii=False).encode()
            return found
        _check_depth(text)
        return yaml.load(text, Loader=_Loader)
    except json.JSONDecodeError as error:
        raise UnusableForm(f"This is not JSON: line {error.lineno}, column {error.colno}: {error.msg}.") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise UnusableForm(f"This is neither JSON nor YAML: {where}{error.problem}.") from None
    except UnicodeEncodeError as error:
        half = ascii(error.object[error.start])[1:-1]
        raise UnusableForm(f"There is half a character in it ({half}), which no text may have.") from None
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        raise UnusableForm(f"This is neither JSON nor YAML: {error}.") from None


def _check_depth(text: str) -> None:
    """Raise `UnusableForm` for YAML so deep that the loader in C would overflow its stack, and end the process."""
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEPTH_MAX:
            raise UnusableForm(f"This YAML is more than {_DEPTH_MAX} levels deep.")


def _dsl_nodes(found: Json) -> list[Json] | None:
    """The nodes of a DSL file, of a node cut out of one, or of its data; None where the text is none of them."""
    if found.get("type") == "human-input":
        return [{"id": "form", "data": found}]
    data, workflow = found.get("data"), found.get("workflow")
    if isinstance(data, dict) and data.get("type") == "human-input":
        return [found]
    if not isinstance(workflow, dict):
        return None
    graph = workflow.get("graph")
    nodes = graph.get("nodes") if isinstance(graph, dict) else None
    if not isinstance(nodes, list):
        raise UnusableForm("This DSL file has no workflow.graph.nodes, so it is no workflow or chatflow.")
    return [node for node in nodes if isinstance(node, dict) and isinstance(node.get("data"), dict)]


def _from_dsl(nodes: list[Json], node_id: str | None) -> OwnForm:
    titles = {str(node.get("id")): str(node["data"].get("title") or node.get("id")) for node in nodes}
    asking = {str(node.get("id")): node["data"] for node in nodes if node["data"].get("type") == "human-input"}
    if not asking:
        kinds = ", ".join(sorted({str(node["data"].get("type")) for node in nodes})) or "no node at all"
        raise UnusableForm(f"This DSL file has no Human Input node; it has: {kinds}.")
    chosen = node_id if node_id is not None else next(iter(asking))
    if chosen not in asking:
        raise UnusableForm(f"This DSL file has no Human Input node {chosen!r}; it has: {', '.join(asking)}.")
    form = _own_form(_validated(asking[chosen], f"The node “{titles[chosen]}”"), titles)
    return replace(form, others={id: titles[id] for id in asking if id != chosen})


def _validated(data: Json, named: str) -> _Form:
    try:
        form = _Form.model_validate(data)
    except ValidationError as error:
        raise UnusableForm(f"{named} cannot be used: {_first_problem(error)}.") from None
    _refuse_twins(named, "inputs", [item.output_variable_name for item in form.inputs])
    _refuse_twins(named, "user_actions", [each.id for each in form.user_actions])
    if _timeout(form) > _TIMEOUT_MAX:
        raise UnusableForm(f"{named} cannot be used: its deadline is more than a hundred years away.")
    return form


def _first_problem(error: ValidationError) -> str:
    problem = error.errors(include_url=False)[0]
    where = ""
    kinds = {"paragraph", "text_input", "text-input", "select", "file", "file-list"}
    for part in problem["loc"]:
        if isinstance(part, int):
            where += f"[{part}]"
        elif part not in kinds:  # which variant of an input pydantic looked at
            where += f".{part}" if where else part
    message = problem["msg"]
    if problem["type"] == "string_type" and isinstance(problem["input"], bool | int | float):
        message = f"is read as {json.dumps(problem['input'])}; as a text it needs quotes"  # YAML's `no`, `on`, `7`
    if problem["type"] == "union_tag_invalid":
        message = "type {tag!r} is none of {expected_tags}".format(**problem["ctx"])
    return f"{where}: {message[:1].lower()}{message[1:]}" if where else message


def _refuse_twins(named: str, where: str, names: Sequence[str]) -> None:
    for name, count in Counter(names).items():
        if count > 1:
            raise UnusableForm(f"{named} cannot be used: {where} has {name!r} {count} times.")


def _own_form(form: _Form, titles: Mapping[str, str] | None) -> OwnForm:
    """The form as a node, and the values it refers to; `titles` are those of the DSL file's nodes.

    What GET form answers has its references filled in already; those of a DSL file stand for what a run would bring,
    and are shown by name.
    """
    values: dict[str, dict[str, Any]] = {}
    if titles is not None:
        for group, name in REFERENCE.findall(form.form_content):
            if group != "$output":
                values.setdefault(group, {})[name] = _stand_in(titles, group, name)
    node = HumanInput(
        "form",
        form.title or _TITLE,
        content=form.form_content,
        inputs=[_wired(item.model_dump(), form, values, titles) for item in form.inputs],
        actions=[each.model_dump() for each in form.user_actions],
        timeout_seconds=_timeout(form),
    )
    return OwnForm(node, values)


def _wired(item: Json, form: _Form, values: dict[str, dict[str, Any]], titles: Mapping[str, str] | None) -> Json:
    """An input whose variable, if it has one, is among `values`."""
    part = "default" if item["type"] not in ("select", "file", "file-list") else "option_source"
    if part == "default":
        item["type"] = "paragraph"  # the older names mean the same
    source = item.get(part)
    if not source or source["type"] != "variable":
        if part == "default" and source:
            source["value"] = "" if source["value"] is None else str(source["value"])
        return item
    group, name = (source["selector"] or ["", ""])[0], ".".join(source["selector"][1:])
    source["selector"] = [group, name]
    known = form.resolved_default_values
    if part == "option_source":
        stand_in = _stand_in(titles or {}, group, name)
        value = source["value"] or ([f"{stand_in} 1", f"{stand_in} 2"] if titles is not None else [])
        values.setdefault(group, {})[name] = value
    elif item["output_variable_name"] in known:
        values.setdefault(group, {})[name] = known[item["output_variable_name"]]
    elif titles is not None:
        values.setdefault(group, {})[name] = _stand_in(titles, group, name)
    return item


def _stand_in(titles: Mapping[str, str], group: str, name: str) -> str:
    return f"[{titles.get(group, group)}: {name}]"


def _timeout(form: _Form) -> int:
    """Seconds; a deadline that is over, as that of a form kept in a file, becomes Dify's usual three days."""
    if form.timeout:
        return form.timeout * (DAY if form.timeout_unit == "day" else _HOUR)
    left = (form.expiration_time or 0) - time.time()
    return int(left) if left > 0 else 3 * DAY
