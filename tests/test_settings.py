"""Settings: every wrong value is one sentence that names its variable and says how to get a right one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bot import settings
from bot.errors import ConfigError
from bot.settings import Transport

GOOD = {"SLACK_BOT_TOKEN": "xoxb-demo", "SLACK_APP_TOKEN": "xapp-demo", "DIFY_API_KEY": "app-demo"}


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Start from an environment with good values and no `.env` in sight."""
    for name in settings.Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    for name, value in GOOD.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)


def test_the_least_that_has_to_be_said() -> None:
    loaded = settings.load()
    assert loaded.transport is Transport.SOCKET
    assert loaded.slack_command == "/dify"
    assert str(loaded.slack_api_url) == "https://slack.com/api/"
    assert loaded.database_url == "sqlite:///dify-slack-bot.sqlite3"
    (app,) = loaded.apps.values()
    assert app.api_key.get_secret_value() == "app-demo"
    assert str(app.base_url) == "https://api.dify.ai/v1"


def test_without_an_app_level_token_it_is_http(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SLACK_APP_TOKEN")
    monkeypatch.setenv("SLACK_SIGNING_SECRET", "secret")
    assert settings.load().transport is Transport.HTTP


def test_values_are_read_from_the_env_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("PORT=4000\nSLACK_COMMAND=/review\n", encoding="utf-8")
    assert (settings.load().port, settings.load().slack_command) == (4000, "/review")


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("SLACK_BOT_TOKEN", None, "OAuth & Permissions"),
        ("SLACK_BOT_TOKEN", "xapp-demo", "OAuth & Permissions"),
        ("SLACK_APP_TOKEN", "xoxb-demo", "connections:write"),
        ("SLACK_APP_TOKEN", None, "SLACK_SIGNING_SECRET"),
        ("SLACK_API_URL", "slack", "http://127.0.0.1:9000/api/"),
        ("SLACK_COMMAND", "dify", "/dify"),
        ("DIFY_BASE_URL", "dify", "https://api.dify.ai/v1"),
        ("DIFY_API_KEY", None, "BOT_CONFIG"),
        ("DIFY_APP_NAME", "two words", "such as review"),
        ("DIFY_APP_NAME", "help", "already means something"),
        ("DIFY_MAX_STREAMS", "0", "whole number"),
        ("PORT", "http", "3000"),
        ("PORT", "70000", "65535"),
        ("POLL_INTERVAL", "0", "above 0"),
        ("LOG_LEVEL", "LOUD", "WARNING"),
        ("LOG_FORMAT", "xml", "json"),
        ("BOT_CONFIG", "nowhere.toml", "[apps.NAME]"),
    ],
)
def test_a_wrong_value_is_named(monkeypatch: pytest.MonkeyPatch, variable: str, value: str | None, says: str) -> None:
    if value is None:
        monkeypatch.delenv(variable)
    else:
        monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigError) as caught:
        settings.load()
    sentence = str(caught.value)
    assert sentence.startswith(variable)
    assert says in sentence
    assert "\n" not in sentence


def test_a_wrong_value_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be a secret in the wrong place."""
    monkeypatch.setenv("SLACK_APP_TOKEN", "a-secret-in-the-wrong-place")
    with pytest.raises(ConfigError) as caught:
        settings.load()
    assert "a-secret-in-the-wrong-place" not in str(caught.value)


def test_several_apps_come_from_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    config = tmp_path / "apps.toml"
    config.write_text(
        '[apps.review]\napi_key = "app-review"\n\n[apps.chat]\napi_key = "app-chat"\nbase_url = "http://dify.local/v1"\n',
        encoding="utf-8",
    )
    monkeypatch.delenv("DIFY_API_KEY")
    monkeypatch.setenv("BOT_CONFIG", str(config))
    apps = settings.load().apps
    assert {name: str(app.base_url) for name, app in apps.items()} == {
        "review": "https://api.dify.ai/v1",
        "chat": "http://dify.local/v1",
    }


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[apps.review", "no TOML"),
        ("[apps.review]\nbase_url = 'http://dify.local'\n", "apps.review.api_key"),
        ("[apps.'two words']\napi_key = 'app-demo'\n", "two words"),
        ("[apps.review]\napi_key = 'app-demo'\nkey = 'x'\n", "apps.review.key"),
        ("", "has no apps"),
        ("apps = 3\n", "apps is not usable"),
        ("[apps]\nreview = 'app-demo'\n", "apps.review is not usable"),
        ("[app.review]\napi_key = 'app-demo'\n", "app is not usable"),
        ("[apps.Help]\napi_key = 'app-demo'\n", "already means something"),
    ],
)
def test_a_wrong_file_is_named_with_the_place(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str, says: str
) -> None:
    config = tmp_path / "apps.toml"
    config.write_text(text, encoding="utf-8")
    monkeypatch.setenv("BOT_CONFIG", str(config))
    monkeypatch.delenv("DIFY_API_KEY")
    with pytest.raises(ConfigError, match=r"^BOT_CONFIG names .*apps\.toml") as caught:
        settings.load()
    assert says in str(caught.value)


def test_the_database_can_be_asked_for_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SLACK_BOT_TOKEN")
    monkeypatch.setenv("DATABASE_URL", "sqlite:///other.sqlite3")
    assert settings.load_database_url() == "sqlite:///other.sqlite3"


def test_every_variable_says_how_to_get_a_right_value() -> None:
    told = set(settings.HOW_TO)
    assert told == set(settings.Settings.model_fields)


def test_the_example_names_every_variable() -> None:
    example = (Path(__file__).parent.parent / ".env.example").read_text(encoding="utf-8")
    named = set(re.findall(r"^#?([A-Z_]+)=", example, re.MULTILINE))
    assert named == {name.upper() for name in settings.Settings.model_fields}


def test_the_readme_has_every_variable() -> None:
    readme = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`[A-Z_]+`(?:, `[A-Z_]+`)*) \|", readme, re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`([A-Z_]+)`", row)}
    assert named == {name.upper() for name in settings.Settings.model_fields}
