"""A notation for Dify apps: start inputs, nodes, form fields, and edges written as `"start -> draft -> review"`.

Start inputs and form fields are the JSON objects of the wire, so that `/parameters` and the form endpoints answer what
is written in the app. An edge may leave a Human Input node by one of its actions: `"review.approve -> end"`, or when
its deadline passes: `"review.__timeout -> late"`; an If-Else node by `true` or `false`. Graphs have no cycles, as in
Dify.
"""

import json
import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any, ClassVar, Literal, TypeAlias

Json: TypeAlias = dict[str, Any]
Selector: TypeAlias = tuple[str, str]

TIMEOUT_HANDLE = "__timeout"
DAY = 24 * 3600
FILE_METHODS = ["local_file", "remote_url"]
REFERENCE = re.compile(r"\{\{#([\w$]+)\.([\w.]+)#\}\}")


# What may be attached to a run or message of an app with `file_upload` (recordings 31, 37).
ATTACHMENTS: Json = {
    "allowed_file_types": ["image", "document"],
    "allowed_file_extensions": [],
    "allowed_file_upload_methods": FILE_METHODS,
}


# Start inputs: the entries of `user_input_form` (recordings 02, 18).


def _start_input(kind: str, variable: str, label: str, required: bool, default: Any, **extra: Any) -> Json:
    return {
        "variable": variable,
        "label": label or variable.replace("_", " ").capitalize(),
        "type": kind,
        "required": required,
        "max_length": None,
        "options": [],
        "hide": False,
        "default": default,
        "placeholder": "",
        "hint": "",
    } | extra


def text_input(
    variable: str, *, label: str = "", required: bool = False, default: str = "", max_length: int | None = 48
) -> Json:
    """Return a short text; `max_length` counts characters."""
    return _start_input("text-input", variable, label, required, default, max_length=max_length)


def long_text(
    variable: str, *, label: str = "", required: bool = False, default: str = "", max_length: int | None = None
) -> Json:
    """Return a text of several lines, called `paragraph` by Dify."""
    return _start_input("paragraph", variable, label, required, default, max_length=max_length)


def choice(
    variable: str, options: Sequence[str], *, label: str = "", required: bool = False, default: str | None = ""
) -> Json:
    """Return a `select`; with the default "" it can never be left out (recording 19)."""
    return _start_input("select", variable, label, required, default, options=list(options))


def number(variable: str, *, label: str = "", required: bool = False, default: str = "") -> Json:
    """Return a number; numeric strings are taken, too (recording 18)."""
    return _start_input("number", variable, label, required, default)


def checkbox(variable: str, *, label: str = "", required: bool = False, default: bool | str = "") -> Json:
    """Return a yes-or-no input."""
    return _start_input("checkbox", variable, label, required, default)


def json_object(variable: str, *, label: str = "", required: bool = False, schema: Json | None = None) -> Json:
    """Return an input that takes a JSON object; one that breaks the JSON `schema` fails the run (recording 18)."""
    rules = {"json_schema": json.dumps(schema, separators=(",", ":"))} if schema else {}
    return _start_input("json_object", variable, label, required, "", **rules)


def start_file(
    variable: str,
    *,
    label: str = "",
    required: bool = False,
    types: Sequence[str] = ("image", "document"),
    extensions: Sequence[str] = (),
) -> Json:
    """Return an input that takes one file mapping."""
    return _start_input("file", variable, label, required, "", **_file_rules(types, extensions))


def start_file_list(
    variable: str,
    *,
    label: str = "",
    required: bool = False,
    types: Sequence[str] = ("image", "document"),
    extensions: Sequence[str] = (),
    max_length: int = 5,
) -> Json:
    """Return an input that takes up to `max_length` file mappings."""
    return _start_input(
        "file-list", variable, label, required, "", max_length=max_length, **_file_rules(types, extensions)
    )


def _file_rules(types: Sequence[str], extensions: Sequence[str]) -> Json:
    return {
        "allowed_file_types": list(types),
        "allowed_file_extensions": list(extensions),
        "allowed_file_upload_methods": list(FILE_METHODS),
    }


# Form inputs and actions (recordings 01, 09, 15).


def constant(value: str) -> Json:
    """Return a paragraph default that is written in the app."""
    return {"type": "constant", "selector": [], "value": value}


def variable(node_id: str, name: str) -> Json:
    """Return a paragraph default taken from a variable of the run."""
    return {"type": "variable", "selector": [node_id, name], "value": ""}


def paragraph(name: str, default: Json | None = None) -> Json:
    """Return a text field."""
    return {"output_variable_name": name, "type": "paragraph", "default": default}


def select(name: str, options: Sequence[str] | Selector, *, from_variable: bool = False) -> Json:
    """Return a menu; with `from_variable` its options are the list at the selector `options`."""
    source: Json = {"type": "constant", "selector": [], "value": list(options)}
    if from_variable:
        source = {"type": "variable", "selector": list(options), "value": []}
    return {"output_variable_name": name, "type": "select", "option_source": source}


def file(name: str, *, types: Sequence[str] = ("image", "document"), extensions: Sequence[str] = ()) -> Json:
    """Return a field for one file."""
    return {"output_variable_name": name, **_file_rules(types, extensions), "type": "file"}


def file_list(
    name: str, *, types: Sequence[str] = ("image", "document"), extensions: Sequence[str] = (), limit: int = 3
) -> Json:
    """Return a field for several files; a `limit` of 0 means any number."""
    return {
        "output_variable_name": name,
        **_file_rules(types, extensions),
        "type": "file-list",
        "number_limits": limit,
    }


def action(id: str, title: str, style: Literal["primary", "default", "accent", "ghost"] = "default") -> Json:
    """Return one user action, the button people decide with."""
    return {"id": id, "title": title, "button_style": style}


# Nodes.


@dataclass(frozen=True, slots=True)
class Node:
    """A step of an app."""

    node_type: ClassVar[str]
    id: str
    title: str


@dataclass(frozen=True, slots=True)
class Start(Node):
    """The first step: its outputs are the checked start inputs."""

    node_type: ClassVar[str] = "start"


@dataclass(frozen=True, slots=True)
class Llm(Node):
    """Writes `text` (with `{{#node.variable#}}` references) as output `text` over `seconds`, some `words` at a time."""

    node_type: ClassVar[str] = "llm"
    text: str
    seconds: float = 1.0
    words: int = 1


@dataclass(frozen=True, slots=True)
class Template(Node):
    """Fills in `text` at once; output `output`."""

    node_type: ClassVar[str] = "template-transform"
    text: str


@dataclass(frozen=True, slots=True)
class Made:
    """A file that a tool makes: its bytes, or a number of bytes and the pattern that fills them."""

    name: str
    content: bytes | tuple[int, bytes]
    mime_type: str = ""


@dataclass(frozen=True, slots=True)
class Tool(Node):
    """Makes files anew in every run; output `files`, a list (dify-api §12.6)."""

    node_type: ClassVar[str] = "tool"
    makes: Sequence[Made]


@dataclass(frozen=True, slots=True)
class Code(Node):
    """Puts values together: `outputs` is any structure, in which a selector stands for its value.

    That is how files come to lie deep in an output.
    """

    node_type: ClassVar[str] = "code"
    outputs: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class HttpRequest(Node):
    """Calls something that answers after `seconds`; with `error` it fails then, after `retries` more tries."""

    node_type: ClassVar[str] = "http-request"
    seconds: float = 0.0
    error: str | None = None
    retries: int = 0


@dataclass(frozen=True, slots=True)
class IfElse(Node):
    """Leaves by `true` if the text at `selector` contains one of `words`, else by `false`."""

    node_type: ClassVar[str] = "if-else"
    selector: Selector
    words: Sequence[str]


@dataclass(frozen=True, slots=True)
class Assigner(Node):
    """Keeps `text`, filled in, as the conversation variable `name` for the messages that follow."""

    node_type: ClassVar[str] = "assigner"
    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Ticker(Node):
    """Streams `rate` text events a second for `seconds`, each as cheap as the server can make it."""

    node_type: ClassVar[str] = "llm"
    rate: float
    seconds: float


@dataclass(frozen=True, slots=True)
class HumanInput(Node):
    """Pauses the run until a form is answered; without `web_app` only an e-mail could answer it (recording 17)."""

    node_type: ClassVar[str] = "human-input"
    content: str
    inputs: Sequence[Json] = ()
    actions: Sequence[Json] = ()
    timeout_seconds: int = 3 * DAY
    web_app: bool = True


@dataclass(frozen=True, slots=True)
class End(Node):
    """Ends a workflow; `outputs` name what it returns."""

    node_type: ClassVar[str] = "end"
    outputs: Mapping[str, Selector]


@dataclass(frozen=True, slots=True)
class Answer(Node):
    """Writes a chatflow's reply."""

    node_type: ClassVar[str] = "answer"
    answer: str


@dataclass(frozen=True, slots=True)
class Edge:
    """The way from one node to the next, taken when `source` leaves by `handle`."""

    source: str
    handle: str
    target: str


@dataclass(frozen=True)
class App:
    """A Dify app as its builder made it.

    `variables` holds environment and conversation variables by group: `{"env": {...}, "conversation": {...}}`.
    `suggests_questions` switches the questions after an answer on; `next_questions` are what the model thinks of, and
    without a model (None) asking for them is a 500 (recording 31).
    """

    name: str
    edges: Sequence[str]
    nodes: Sequence[Node]
    start: Sequence[Json] = ()
    mode: Literal["workflow", "advanced-chat"] = "workflow"
    description: str = ""
    variables: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    file_upload: bool = False
    opening_statement: str = ""
    suggested_questions: Sequence[str] = ()
    suggests_questions: bool = False
    next_questions: Sequence[str] | None = None
    published: bool = True

    @property
    def key(self) -> str:
        """Return the app's API key."""
        return "app-demo-" + self.name.replace("_", "-")

    @cached_property
    def id(self) -> str:
        """Return the app's UUID, the same in every process."""
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"app:{self.name}"))

    @cached_property
    def workflow_id(self) -> str:
        """Return the UUID of the published version."""
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"workflow:{self.name}"))

    @cached_property
    def graph(self) -> "Graph":
        """Return the nodes and edges, ready to run."""
        return Graph.of(self.nodes, self.edges)


@dataclass(frozen=True)
class Graph:
    """Nodes by id, and every edge by its source and by its target."""

    nodes: Mapping[str, Node]
    outgoing: Mapping[str, Sequence[Edge]]
    incoming: Mapping[str, Sequence[Edge]]

    @classmethod
    def of(cls, nodes: Sequence[Node], chains: Sequence[str]) -> "Graph":
        """Read the chains of an app; a node that no chain names is a `KeyError`."""
        by_id: dict[str, Node] = {"start": Start("start", "Start")} | {node.id: node for node in nodes}
        edges = [edge for chain in chains for edge in _edges(chain)]
        unknown = {name for edge in edges for name in (edge.source, edge.target)} - by_id.keys()
        if unknown:
            raise KeyError(f"edges name nodes that do not exist: {sorted(unknown)}")
        return cls(
            nodes=by_id,
            outgoing={id: [edge for edge in edges if edge.source == id] for id in by_id},
            incoming={id: [edge for edge in edges if edge.target == id] for id in by_id},
        )

    @cached_property
    def ways_to_responses(self) -> Mapping[str, Sequence[frozenset[Edge]]]:
        """Return, for each End and Answer, the edges of every way to it that decide whether it is reached.

        Only edges that leave a Human Input, an If-Else or an Answer decide anything; the rest are always taken.
        """
        ways: dict[str, list[frozenset[Edge]]] = {}
        for way in self._ways("start"):
            target = self.nodes[way[-1].target] if way else None
            if isinstance(target, End | Answer):
                deciding = (edge for edge in way if isinstance(self.nodes[edge.source], _DECIDING))
                ways.setdefault(target.id, []).append(frozenset(deciding))
        return ways

    def _ways(self, node_id: str) -> list[list[Edge]]:
        ways: list[list[Edge]] = [[]]
        for edge in self.outgoing[node_id]:
            ways += [[edge, *rest] for rest in self._ways(edge.target)]
        return ways


_DECIDING = HumanInput | IfElse | Answer


def _edges(chain: str) -> list[Edge]:
    stops = [stop.strip() for stop in chain.split("->")]
    edges = []
    for source, target in pairwise(stops):
        node_id, _, handle = source.partition(".")
        edges.append(Edge(node_id, handle or "source", target.partition(".")[0]))
    return edges
