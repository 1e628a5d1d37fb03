"""A builder's own form is read in each shape that Dify gives it out in, and what is wrong with one is named."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from bot.playground.dify.apps import every_field
from bot.playground.dify.graph import DAY, HumanInput, action, file_list, paragraph, select
from bot.playground.page.own_forms import NAME, TEXT_MAX, UnusableForm, own_app, read_form
from tests.playground.dify.client import Client, playing
from tests.playground.page.browser import Browser, Refused

Json = dict[str, Any]

CONTENT = "## Refund\n\nWhat to say\n\n{{#$output.reply#}}\n"
ACTIONS = [action("approve", "Approve", "primary"), action("decline", "Decline")]
ANSWERED: Json = {
    "form_content": CONTENT,
    "inputs": [paragraph("reply", {"type": "variable", "selector": ["draft", "text"], "value": ""})],
    "resolved_default_values": {"reply": "On its way."},
    "user_actions": ACTIONS,
    "expiration_time": 1_700_000_000,
}
REQUIRED: Json = {
    "form_id": "F1",
    "node_id": "n1",
    "node_title": "Approve the refund",
    "form_content": CONTENT,
    "inputs": ANSWERED["inputs"],
    "actions": ACTIONS,
    "resolved_default_values": {"reply": "On its way."},
    "expiration_time": 1_700_000_000,
}
EVENT: Json = {"event": "human_input_required", "workflow_run_id": "R1", "data": REQUIRED}
DSL = """
app: {mode: workflow, name: Refunds}
kind: app
version: 0.5.0
workflow:
  graph:
    edges: []
    nodes:
    - id: '1711'
      data: {type: llm, title: Write the answer}
    - id: '1712'
      data:
        type: human-input
        title: Approve the refund
        delivery_methods: [{type: webapp, enabled: true}]
        form_content: |
          ## Refund of {{#1711.text#}}

          {{#$output.reply#}}
          {{#$output.reason#}}
        inputs:
        - type: text_input
          output_variable_name: reply
          default: {type: variable, selector: ['1711', text], value: ''}
        - type: select
          output_variable_name: reason
          option_source: {type: variable, selector: [env, reasons], value: []}
        user_actions:
        - {id: approve, title: Approve, button_style: primary}
        timeout: 36
        timeout_unit: hour
    - id: '1713'
      data:
        type: human-input
        title: Second look
        form_content: Again?
        inputs: []
        user_actions: [{id: ok, title: OK, button_style: default}]
        timeout: 2
        timeout_unit: day
"""


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(ANSWERED),
        json.dumps(REQUIRED, indent=2),
        json.dumps(EVENT),
        f"data: {json.dumps(EVENT)}\n\n",
        f"\n  {json.dumps(EVENT)}  ",
    ],
    ids=["GET form", "data", "event", "frame", "space around"],
)
def test_json_is_read_in_each_shape(text: str) -> None:
    form = read_form(text)
    assert form.node.title in ("Approve the refund", "Your form")
    assert (form.node.content, form.node.actions) == (CONTENT, ACTIONS)
    assert form.node.timeout_seconds == 3 * DAY, "its own deadline is over"
    assert form.variables == {"draft": {"text": "On its way."}}


def test_a_deadline_that_is_not_over_stays() -> None:
    form = read_form(json.dumps(ANSWERED | {"expiration_time": time.time() + 1_000}))
    assert form.node.timeout_seconds == pytest.approx(1_000, abs=60)


def test_a_dsl_file_has_its_first_form_asked_and_names_the_others() -> None:
    """What it refers to, only a run knows: its name stands for it."""
    form = read_form(DSL)
    assert form.others == {"1713": "Second look"}
    assert (form.node.title, form.node.timeout_seconds) == ("Approve the refund", 36 * 3600)
    assert form.variables["1711"] == {"text": "[Write the answer: text]"}
    assert form.variables["env"] == {"reasons": ["[env: reasons] 1", "[env: reasons] 2"]}
    assert [item["type"] for item in form.node.inputs] == ["paragraph", "select"]
    second = read_form(DSL, "1713")
    assert (second.node.title, second.node.timeout_seconds) == ("Second look", 2 * DAY)


def test_a_node_alone_is_read() -> None:
    """As somebody cuts it out of a file, with its id or without."""
    data = "type: human-input\ntitle: Just this\nform_content: Well?\nuser_actions: [{id: ok, title: OK}]\n"
    indented = "".join(f"  {line}\n" for line in data.splitlines())
    for text in (data, f"id: '7'\ndata:\n{indented}"):
        assert read_form(text).node.title == "Just this"


def form_with(**parts: Any) -> str:
    return json.dumps({"form_content": "Well?", **parts})


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (" \n", "There is nothing to read: give what GET /form"),
        ("Hello", "This is no form: give what GET /form"),
        ("[1]", "This is no form: give"),
        ('{"form_content": ', "This is not JSON: line 1, column 17: Expecting value."),
        ("a: [1,\nb", "This is neither JSON nor YAML: line "),
        ("a: !!python/object:os.system 1", "This is neither JSON nor YAML: line 1, column 4: "),
        ("- " * 100_000, "This YAML is more than 100 levels deep."),
        ("? " * 100_000, "This YAML is more than 100 levels deep."),
        ("a: " + "{b: " * 100_000, "This YAML is more than 100 levels deep."),
        ("[" * 100_000, "This is neither JSON nor YAML: "),
        (r'{"form_content": "a \ud800 b"}', r"There is half a character in it (\ud800), which no text may have."),
        ("form_content: a \ud800 b", r"There is half a character in it (\ud800), which no text may have."),
        ('{"form_content": "", "expiration_time": 1e999}', "expiration_time: input should be a finite number."),
        (form_with(expiration_time=1e300), "The form cannot be used: its deadline is more than a hundred years away."),
        (form_with(timeout=10**20), "The form cannot be used: its deadline is more than a hundred years away."),
        ("x" * (TEXT_MAX + 1), "The text has 1,048,577 characters; up to 1,048,576 are read."),
        ('{"event": "ping", "data": {}}', "There is no form_content in it: give"),
        ('{"data": 3}', "There is no form_content in it: give"),
        ("kind: app\nworkflow: {}", "This DSL file has no workflow.graph.nodes"),
        ("kind: app\nworkflow: {graph: {nodes: []}}", "has no Human Input node; it has: no node at all."),
        (
            "workflow: {graph: {nodes: [{id: 1, data: {type: llm}}, {id: 2, data: {type: end}}]}}",
            "This DSL file has no Human Input node; it has: end, llm.",
        ),
        (
            "workflow: {graph: {nodes: [{id: 1, data: {type: human-input, title: Ask}}]}}",
            "The node “Ask” cannot be used: form_content: field required.",
        ),
        (
            "form_content: Well?\nuser_actions: [{id: ok, title: OK}, {id: no, title: No way}]",
            "user_actions[1].id: is read as false; as a text it needs quotes.",
        ),
        (
            "form_content: Well?\nuser_actions: [{id: ok, title: 7}]",
            "user_actions[0].title: is read as 7; as a text it needs quotes.",
        ),
        (form_with(inputs=7), "The form cannot be used: inputs: input should be a valid list."),
        (
            form_with(inputs=[{"type": "slider", "output_variable_name": "a"}]),
            "inputs[0]: type 'slider' is none of 'paragraph'",
        ),
        (
            form_with(inputs=[{"type": "select", "output_variable_name": "a"}]),
            "inputs[0].option_source: field required",
        ),
        (form_with(inputs=[paragraph("a"), paragraph("a")]), "The form cannot be used: inputs has 'a' 2 times."),
        (form_with(user_actions=[action("a b", "A")]), "user_actions[0].id: string should match pattern"),
        (form_with(user_actions=[action("a", "A"), action("a", "B")]), "user_actions has 'a' 2 times."),
        (form_with(actions=[action("a", "")]), "actions[0].title: string should have at least 1 character."),
    ],
)
def test_what_is_wrong_is_named_with_its_place(text: str, problem: str) -> None:
    with pytest.raises(UnusableForm) as unusable:
        read_form(text)
    assert problem in str(unusable.value)


def test_a_node_that_is_not_there_is_named() -> None:
    with pytest.raises(UnusableForm, match="no Human Input node '9'; it has: 1712, 1713"):
        read_form(DSL, "9")


async def asked(client: Client) -> Json:
    """Start the app and return the form that it asks, as GET form answers it."""
    _, (form,) = await client.pause()
    answer = await client.http.get(f"/form/human_input/{form['form_token']}")
    return dict(answer.json())


async def test_the_app_asks_what_was_read_and_says_what_came_of_it() -> None:
    async with playing(own_app(read_form(DSL))) as (dify, client):
        run_id, (form,) = await client.pause()
        assert form["form_content"].startswith("## Refund of [Write the answer: text]")
        assert form["resolved_default_values"] == {"reply": "[Write the answer: text]"}
        assert form["inputs"][1]["option_source"]["value"] == ["[env: reasons] 1", "[env: reasons] 2"]
        answer = await client.submit(form, "approve", reply="Yes", reason="[env: reasons] 2")
        assert answer.status_code == 200
        await dify.wait_for(lambda: dify.runs[run_id].status == "succeeded")
        assert dify.runs[run_id].outputs == {"reply": "Yes", "reason": "[env: reasons] 2", "decision": "Approve"}


async def test_what_dify_gives_out_comes_back_the_same() -> None:
    """Every kind of field, read from GET form and asked again."""
    async with playing(every_field()) as (_, client):
        given = await asked_with(client, title="A title")
    async with playing(own_app(read_form(json.dumps(given)))) as (_, client):
        again = await asked(client)
    assert abs(again.pop("expiration_time") - given.pop("expiration_time")) < 60
    assert again == given


async def asked_with(client: Client, **inputs: Any) -> Json:
    """As `asked`, with start inputs."""
    inputs = {"notes": "", "size": "M", "copies": 1, "urgent": False} | inputs
    _, (form,) = await client.pause(**inputs)
    return dict((await client.http.get(f"/form/human_input/{form['form_token']}")).json())


async def test_a_form_without_actions_times_out_only() -> None:
    """dify-api §10.2."""
    async with playing(own_app(read_form(form_with()))) as (dify, client):
        run_id, _ = await client.pause()
        await dify.expire(dify.open_forms()[0])
        await dify.wait_for(lambda: dify.runs[run_id].status == "succeeded")
        assert dify.runs[run_id].outputs == {"decision": "Nobody answered in time."}


async def test_the_form_that_was_loaded_is_told(page: Browser) -> None:
    """With the command that asks it and the others of its file; a text that is no form is refused."""
    first, second = {"id": "1712", "title": "Approve the refund"}, {"id": "1713", "title": "Second look"}
    loaded = await page.do("load_form", text=DSL)
    assert loaded == {"title": "Approve the refund", "command": f"/dify {NAME}", "others": [second]}
    with pytest.raises(Refused, match=r"^This is no form"):
        await page.do("load_form", text="Hello")
    loaded = await page.do("load_form", text=DSL, node="1713")
    assert (loaded["title"], loaded["others"]) == ("Second look", [first])


def test_fields_of_every_kind_keep_their_rules() -> None:
    fields = [
        select("tone", ["warm", "cool"]),
        file_list("photos", types=["image", "custom"], extensions=[".heic"], limit=2),
    ]
    node = read_form(form_with(inputs=fields)).node
    assert isinstance(node, HumanInput)
    assert node.inputs == fields
