"""The command `preview`: what it prints of a form, and what it says of a file that is none."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from urllib.parse import unquote

import pytest

from bot.cli import main
from bot.playground.slack.block_kit import message_problems, view_problems
from bot.preview import BUILDER
from tests.dify.recordings import Exchange, exchanges
from tests.slack.reading import Json

FORM: Json = {
    "form_content": "Refund **40 EUR**?\n\n{{#$output.note#}}\n{{#$output.level#}}",
    "inputs": [
        {
            "output_variable_name": "note",
            "type": "paragraph",
            "default": {"type": "variable", "selector": ["llm", "text"], "value": ""},
        },
        {
            "output_variable_name": "level",
            "type": "select",
            "option_source": {"type": "constant", "selector": [], "value": ["low", "high"]},
        },
    ],
    "resolved_default_values": {"note": "Draft \ud800answer 日本"},
    "user_actions": [{"id": "approve\ud800", "title": "Approve", "button_style": "primary"}],
    "expiration_time": 1781500000,
}
EVENT: Json = {
    **{name: value for name, value in FORM.items() if name != "user_actions"},
    "form_id": "f",
    "node_id": "n",
    "node_title": "Check the refund",
    "form_token": "secret-token",
    "display_in_ui": True,
    "actions": FORM["user_actions"],
}


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int | str | None:
    """Run the command in this process and return its exit code."""
    monkeypatch.setattr(sys, "argv", ["dify-slack-bot", "preview", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code


def printed_payloads(printed: str) -> list[tuple[Json, Json]]:
    """Return each message, and the window last, with what its link shows."""
    found: list[tuple[Json, Json]] = []
    while printed.strip():
        message, end = json.JSONDecoder().raw_decode(printed := printed.lstrip())
        link, _, printed = printed[end:].lstrip().partition("\n")
        assert link.startswith(BUILDER)
        found.append((message, json.loads(unquote(link.removeprefix(BUILDER)))))
    return found


@pytest.mark.parametrize(
    ("given", "title"),
    [
        (FORM, "Human Input"),
        (EVENT, "Check the refund"),
        ({"event": "human_input_required", "data": EVENT}, "Check the refund"),
    ],
    ids=["as it is read", "as it is announced", "the whole event"],
)
def test_a_form_is_printed_as_slack_gets_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, given: Json, title: str
) -> None:
    """Each message and the window as JSON, and a link that shows the same blocks; a form's token is not in it."""
    (tmp_path / "form.json").write_text(json.dumps(given), encoding="utf-8")
    assert run(monkeypatch, str(tmp_path / "form.json")) == 0
    printed = capsys.readouterr().out
    (message, in_builder), (view, view_in_builder) = printed_payloads(printed)
    assert title in message["text"]
    assert message["blocks"] == in_builder["blocks"]
    assert not message_problems(message["blocks"])
    note, level = (block for block in message["blocks"] if block["type"] == "input")
    assert note["element"]["initial_value"] == "Draft answer 日本"
    assert [option["text"]["text"] for option in level["element"]["options"]] == ["low", "high"]
    assert (view["type"], view["title"]["text"]) == ("modal", title)
    assert view == view_in_builder
    assert not view_problems(view)
    assert "secret-token" not in printed


RECORDED = [each for each in exchanges() if each.route == "GET /v1/form/human_input/*" and each.status == 200]


@pytest.mark.parametrize("answer", RECORDED, ids=lambda answer: answer.number)
def test_every_recorded_form_can_be_looked_at(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], answer: Exchange
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(answer.body))
    assert run(monkeypatch, "-") == 0
    for payload, _ in printed_payloads(capsys.readouterr().out):
        assert not (view_problems(payload) if "type" in payload else message_problems(payload["blocks"]))


def test_a_form_that_cannot_be_answered_in_slack_has_no_window(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps(FORM | {"user_actions": []})))
    assert run(monkeypatch, "-") == 0
    ((message, _),) = printed_payloads(capsys.readouterr().out)
    assert "no buttons" in json.dumps(message)


def test_there_are_recorded_forms() -> None:
    assert len(RECORDED) > 5


def test_a_form_may_come_from_standard_input_and_take_several_messages(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = json.dumps(FORM | {"form_content": "Long line. \n" * 3_000 + "{{#$output.note#}}"})
    monkeypatch.setattr(sys, "stdin", io.StringIO(given))
    assert run(monkeypatch, "-") == 0
    *found, _ = printed_payloads(capsys.readouterr().out)
    assert len(found) > 2
    for message, in_builder in found:
        assert message["blocks"] == in_builder["blocks"]
        assert not message_problems(message["blocks"])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"{", "is not JSON"),
        (b"", "is not JSON"),
        (b"\xff\xfe\xfd", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b"[]", "it is no JSON object"),
        (b"{}", "form_content: Field required"),
        (b'{"form_content": 3}', "form_content: Input should be a valid string"),
        (b'{"form_content": "", "expiration_time": 1e300}', "is not a Dify form"),
        (b'{"form_content": "", "expiration_time": 100000000000000000}', "is not a Dify form"),
        (b'{"event": "human_input_required"}', "it is no JSON object"),
        (b'{"form_id": "f", "form_content": "", "form_token": ["hunter2"]}', "is not a Dify form"),
    ],
)
def test_what_is_no_form_is_said_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, content: bytes, said: str
) -> None:
    """On stderr, with exit code 2, and without a word of the content: it may be a secret."""
    (tmp_path / "form.json").write_bytes(content)
    assert run(monkeypatch, str(tmp_path / "form.json")) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    assert said in line
    assert "hunter2" not in line


def test_a_file_that_is_not_there_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for path in (tmp_path / "nowhere.json", tmp_path):
        assert run(monkeypatch, str(path)) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(f"dify-slack-bot: {path} cannot be read: ")
