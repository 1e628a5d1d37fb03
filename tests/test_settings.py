"""Settings: every wrong value is one sentence that names its variable and says how to get a right one."""

from __future__ import annotations

import re
from datetime import time, timedelta
from fractions import Fraction
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from pydantic import AnyHttpUrl

from bot import settings
from bot.core.reminding import QuietHours, ReminderPolicy
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
        ("DIFY_FILES_URL", "files", "FILES_URL"),
        ("SLACK_COMMAND", "dify", "/dify"),
        ("DIFY_BASE_URL", "dify", "https://api.dify.ai/v1"),
        ("DIFY_API_KEY", None, "BOT_CONFIG"),
        ("DIFY_APP_NAME", "two words", "such as review"),
        ("DIFY_APP_NAME", "help", "already means something"),
        ("DIFY_MAX_STREAMS", "0", "whole number"),
        ("PORT", "http", "3000"),
        ("PORT", "70000", "65535"),
        ("SLACK_RATE_FACTOR", "0", "above 0"),
        ("SLACK_RATE_FACTOR", "inf", "up to 1000"),
        ("POLL_INTERVAL", "0", "above 0"),
        ("LEASE_SECONDS", "0.5", "from 1"),
        ("RETENTION_DAYS", "0", "above 0"),
        ("DIFY_MAX_EXECUTION_MINUTES", "-1", "APP_MAX_EXECUTION_TIME"),
        ("POLL_INTERVAL", "1e12", "up to 86400"),
        ("LEASE_SECONDS", "1e12", "from 1 to 3600"),
        ("RETENTION_DAYS", "inf", "up to 36500"),
        ("RETENTION_DAYS", "nan", "up to 36500"),
        ("RETENTION_DAYS", "1000000", "up to 36500"),
        ("DIFY_MAX_EXECUTION_MINUTES", "inf", "up to 10080"),
        ("REMINDERS", "often", "such as 50%"),
        ("REMINDERS", "50%, 1w", "30m, 1h or 2d"),
        ("REMINDERS", "100%", "before the deadline"),
        ("REMINDERS", "0h", "before the deadline"),
        ("QUIET_HOURS", "night", "22:00-07:00"),
        ("QUIET_HOURS", "22:00-25:00", "22:00-07:00"),
        ("QUIET_HOURS", "7:00-07:00", "no hour"),
        ("CHAT_REPLIES", "some", "all, or mentions"),
        ("TIME_ZONE", "Europe", "Europe/Berlin"),
        ("TIME_ZONE", "Mars/Olympus", "Europe/Berlin"),
        ("TIME_ZONE", "/etc/passwd", "Europe/Berlin"),
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
    assert "Value error" not in sentence


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


def test_the_files_of_dify_may_be_elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An app with a Dify of its own does not take over where another one has its files."""
    config = tmp_path / "apps.toml"
    config.write_text(
        '[apps.same]\napi_key = "app-a"\n\n'
        '[apps.own]\napi_key = "app-b"\nbase_url = "http://dify.local/v1"\n\n'
        '[apps.both]\napi_key = "app-c"\nbase_url = "http://dify.local/v1"\nfiles_url = "http://files.local"\n',
        encoding="utf-8",
    )
    monkeypatch.setenv("BOT_CONFIG", str(config))
    assert {app.files_url for app in settings.load().apps.values()} == {None, AnyHttpUrl("http://files.local")}
    monkeypatch.setenv("DIFY_FILES_URL", "https://files.example")
    files = {name: str(app.files_url) for name, app in settings.load().apps.items()}
    assert files == {
        "dify": "https://files.example/",
        "same": "https://files.example/",
        "own": "None",
        "both": "http://files.local/",
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
        ("[apps.review]\napi_key = 'app-demo'\nreminders = ['1w']\n", "apps.review.reminders"),
        ("[apps.review]\napi_key = 'app-demo'\nreminders = 3\n", "such as 50%"),
        ("[apps.review]\napi_key = 'app-demo'\nquiet_hours = 22\n", "22:00-07:00"),
        ("[apps.review]\napi_key = 'app-demo'\ntime_zone = 'Mars'\n", "Europe/Berlin"),
        ("[apps.Help]\napi_key = 'app-demo'\n", "already means something"),
        ("[apps.faq]\napi_key = 'app-a'\n[apps.FAQ]\napi_key = 'app-b'\n", "“faq” and “FAQ”"),
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
    assert "Value error" not in str(caught.value)


@pytest.mark.parametrize("name", ["dify", "Dify"])
def test_an_app_of_the_file_is_not_lost_behind_that_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    """Nor the other way round: names that differ in case only mean the same to whoever types one."""
    config = tmp_path / "apps.toml"
    config.write_text(f'[apps.{name}]\napi_key = "app-other"\n', encoding="utf-8")
    monkeypatch.setenv("BOT_CONFIG", str(config))
    with pytest.raises(ConfigError, match="DIFY_APP_NAME and BOT_CONFIG both name an app “dify”"):
        settings.load()


# --- reminders -------------------------------------------------------------------------------------------------------

HALF, HOUR = Fraction(1, 2), timedelta(hours=1)
NIGHT = QuietHours(time(22), time(7))


def test_people_are_reminded_at_half_the_time_and_an_hour_before_the_deadline() -> None:
    assert settings.load().reminder_policy("dify") == ReminderPolicy((HALF, HOUR))


def test_nobody_is_reminded_for_an_app_that_is_not_configured() -> None:
    assert settings.load().reminder_policy("gone") == ReminderPolicy()


@pytest.mark.parametrize(
    ("given", "reminders"),
    [
        ("50%, 1h", (HALF, HOUR)),
        ("1 H,30m , 2d", (HOUR, timedelta(minutes=30), timedelta(days=2))),
        ("off", ()),
        ("Off ", ()),
        # As for every other variable, nothing is what is not set.
        ("", (HALF, HOUR)),
    ],
)
def test_reminders_are_parts_of_the_time_and_spans_before_the_deadline(
    monkeypatch: pytest.MonkeyPatch, given: str, reminders: tuple[Fraction | timedelta, ...]
) -> None:
    monkeypatch.setenv("REMINDERS", given)
    assert settings.load().reminders == reminders


@pytest.mark.parametrize(
    ("given", "hours"),
    [("22:00-07:00", NIGHT), ("22:00 – 7:00", NIGHT), ("off", None), ("", None)],
)
def test_quiet_hours_are_times_of_day(monkeypatch: pytest.MonkeyPatch, given: str, hours: QuietHours | None) -> None:
    monkeypatch.setenv("QUIET_HOURS", given)
    monkeypatch.setenv("TIME_ZONE", "Europe/Berlin")
    assert settings.load().reminder_policy("dify") == ReminderPolicy((HALF, HOUR), hours, ZoneInfo("Europe/Berlin"))


def test_an_app_may_have_reminders_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    config = tmp_path / "apps.toml"
    config.write_text(
        """
        [apps.plain]
        api_key = "app-plain"

        [apps.other]
        api_key = "app-other"
        reminders = ["90%", "15m"]
        quiet_hours = "12:00-13:30"
        time_zone = "Asia/Kolkata"

        [apps.never]
        api_key = "app-never"
        reminders = []
        quiet_hours = "off"
        """,
        encoding="utf-8",
    )
    monkeypatch.setenv("BOT_CONFIG", str(config))
    monkeypatch.setenv("QUIET_HOURS", "22:00-07:00")
    policy = settings.load().reminder_policy
    assert policy("plain") == ReminderPolicy((HALF, HOUR), NIGHT)
    assert policy("other") == ReminderPolicy(
        (Fraction(9, 10), timedelta(minutes=15)), QuietHours(time(12), time(13, 30)), ZoneInfo("Asia/Kolkata")
    )
    assert policy("never") == ReminderPolicy()


# --- what is written about them --------------------------------------------------------------------------------------


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


# --- chatflows -------------------------------------------------------------------------------------------------------


def test_an_app_may_want_other_replies_than_all_apps(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without a setting each reply is the next message, of any app."""
    assert not settings.load().only_mentions("dify")
    config = tmp_path / "apps.toml"
    own = '[apps.faq]\napi_key = "app-faq"\nchat_replies = "all"\n\n[apps.chat]\napi_key = "app-chat"\n'
    config.write_text(own, encoding="utf-8")
    monkeypatch.setenv("BOT_CONFIG", str(config))
    monkeypatch.setenv("CHAT_REPLIES", "mentions")
    loaded = settings.load()
    assert not loaded.only_mentions("faq")
    assert loaded.only_mentions("chat")
    assert loaded.only_mentions("not configured any more")
