"""The command line: what each command prints and with which code it ends."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml

from bot.cli import main
from bot.manifest import REQUEST_URL, Mode, as_yaml
from bot.playground.scenarios import SCENARIOS


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An empty folder, and an environment that says nothing to the bot."""
    monkeypatch.chdir(tmp_path)
    for name in (
        "SLACK_BOT_TOKEN",
        "SLACK_APP_TOKEN",
        "SLACK_SIGNING_SECRET",
        "DIFY_API_KEY",
        "BOT_CONFIG",
        "DATABASE_URL",
    ):
        monkeypatch.delenv(name, raising=False)


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int | str | None:
    """Run a command in this process and return its exit code."""
    monkeypatch.setattr(sys, "argv", ["dify-slack-bot", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code


def run_process(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `python -m bot …` to its end, as a process of its own that knows nothing but this environment."""
    return subprocess.run(
        [sys.executable, "-m", "bot", *arguments],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path), **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("mode", ["socket", "http"])
@pytest.mark.parametrize("command", ["/dify", "/review"])
def test_the_manifest_is_printed_ready_to_paste(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], mode: Mode, command: str
) -> None:
    assert run(monkeypatch, "manifest", "--mode", mode, "--command", command) == 0
    printed = capsys.readouterr().out
    assert printed == as_yaml(mode, command)
    (declared,) = yaml.safe_load(printed)["features"]["slash_commands"]
    assert declared["command"] == command
    assert declared.get("url") == (REQUEST_URL if mode == "http" else None)


def test_the_manifest_is_for_socket_mode_and_the_usual_command_unless_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "manifest") == 0
    assert capsys.readouterr().out == as_yaml("socket", "/dify")


def test_migrate_needs_nothing_but_the_database(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """As often as one likes."""
    monkeypatch.setenv("DATABASE_URL", "sqlite:///here.sqlite3")
    for _ in range(2):
        assert run(monkeypatch, "migrate") == 0
    assert "up to date" in capsys.readouterr().out
    with closing(sqlite3.connect(tmp_path / "here.sqlite3")) as database:
        assert database.execute("SELECT count(*) FROM runs").fetchone() == (0,)


def test_a_setting_may_stand_in_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("DATABASE_URL=sqlite:///named-in-env.sqlite3\n")
    assert run(monkeypatch, "migrate") == 0
    assert (tmp_path / "named-in-env.sqlite3").exists()


@pytest.mark.parametrize("arguments", [(), ("run",)], ids=["by default", "by name"])
def test_a_bot_without_settings_says_in_a_sentence_what_it_needs_first(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    assert run(monkeypatch, *arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("dify-slack-bot: SLACK_BOT_TOKEN is not set: install the app")


def test_a_wrong_setting_ends_the_process_without_a_traceback() -> None:
    """Exit code 2, one line, and nothing of the value: it may be a secret."""
    ended = run_process("migrate", DATABASE_URL="mysql://root:hunter2@somewhere/db")
    assert ended.returncode == 2
    assert ended.stdout == ""
    (line,) = ended.stderr.splitlines()
    assert line.startswith("dify-slack-bot: DATABASE_URL names mysql")
    assert "hunter2" not in line


def test_a_database_that_is_no_database_ends_the_process_without_a_traceback(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("Not a database, but long enough to be taken for one. " * 100)
    ended = run_process("migrate", DATABASE_URL="sqlite:///notes.txt")
    assert ended.returncode == 2
    (line,) = ended.stderr.splitlines()
    assert line.startswith("dify-slack-bot: DATABASE_URL names a database that cannot be used")


def test_the_version_is_printed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch, "--version") == 0
    assert capsys.readouterr().out == f"dify-slack-bot {version('dify-slack-bot')}\n"


def test_a_page_without_a_scenario_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`demo` alone serves the page."""
    assert run(monkeypatch, "demo", "--page") == 2
    assert "it shows a scenario" in capsys.readouterr().err


def test_the_scenarios_are_listed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch, "demo", "--list") == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in SCENARIOS)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("dance",), "dance"),
        (("demo", "--play", "dance"), "dance"),
        (("manifest", "--mode", "pigeon"), "pigeon"),
        (("manifest", "--command", "review"), "give a slash"),
    ],
    ids=["command", "scenario", "transport", "slash command"],
)
def test_what_there_is_not_is_named(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    named: str,
) -> None:
    assert run(monkeypatch, *arguments) == 2
    assert named in capsys.readouterr().err
