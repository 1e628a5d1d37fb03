"""What the page is sent of the simulated Dify."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial

from bot.playground.dify import App, Dify
from bot.playground.dify.forms import Form
from bot.playground.dify.graph import Edge
from bot.playground.dify.runs import Run
from bot.playground.page.feed import Entry, plain
from bot.playground.page.protocol import DifyAppDoc, EdgeDoc, FormDoc, ParameterDoc, RunDoc, Step

_RUNS = 20
_STEPS: dict[str | None, Step] = {"succeeded": "done", "paused": "waiting", "failed": "failed"}


class DifySide:
    """The documents of a server; `names` are what people type to start its apps, by the apps' keys."""

    def __init__(self, dify: Dify, names: Mapping[str, str]) -> None:
        self._dify, self._names = dify, names

    def __call__(self) -> Iterator[Entry]:
        """Every document that exists now."""
        dify = self._dify
        yield plain("dify", {"slow": dify.slow_seconds})
        for key, name in self._names.items():
            app = dify.apps[key]
            yield Entry(f"dify/apps/{name}", app, partial(_app, app, name))
        for run in list(dify.runs.values())[-_RUNS:]:
            yield plain(f"dify/runs/{run.id}", self._run(run))
        for form in dify.open_forms():
            yield Entry(f"dify/forms/{form.id}", form.expires_at, partial(self._form, form))

    def _run(self, run: Run) -> RunDoc:
        return {
            "id": run.id,
            "app": self._names[run.app.key],
            "status": run.status,
            "started": run.created_at,
            "steps": {id: _STEPS.get(execution.status, "running") for id, execution in run.executions.items()},
            "person": _person(run),
        }

    def _form(self, form: Form) -> FormDoc:
        return {
            "id": form.id,
            "run": form.run_id,
            "app": self._names[form.app_key],
            "person": _person(self._dify.runs[form.run_id]),
            "title": form.node.title,
            "node": form.node_id,
            "expires": form.expires_at,
            "actions": list(form.node.actions),
            "inputs": form.inputs,
        }


def _person(run: Run) -> str | None:
    """The user id of who started a run."""
    user = run.end_user.session_id
    return user.rpartition(":")[2] if user.startswith("slack:") else None


def _app(app: App, name: str) -> DifyAppDoc:
    graph = app.graph
    return {
        "name": name,
        "says": app.description,
        "parameters": list(_parameters(app)),
        "nodes": [{"id": node.id, "title": node.title, "type": node.node_type} for node in graph.nodes.values()],
        "edges": [_edge(edge) for edges in graph.outgoing.values() for edge in edges],
    }


def _parameters(app: App) -> Iterator[ParameterDoc]:
    """What people can type when they start an app: its inputs but for files, and the question of a chat."""
    if app.mode == "advanced-chat":
        yield {"name": "query", "label": "What to ask", "required": True, "options": []}
    for item in app.start:
        if item["type"] not in ("file", "file-list"):
            yield {
                "name": item["variable"],
                "label": item["label"],
                "required": item["required"],
                "options": item["options"],
            }


def _edge(edge: Edge) -> EdgeDoc:
    return {"source": edge.source, "target": edge.target, "handle": None if edge.handle == "source" else edge.handle}
