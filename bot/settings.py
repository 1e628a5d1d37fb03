"""Settings: from the environment, from `.env`, and for several apps from the TOML file that `BOT_CONFIG` names.

The only reader of the environment. A missing or wrong value ends in one `ConfigError`, whose sentence names the
variable and says how to get a right one.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import (
    AfterValidator,
    AnyHttpUrl,
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
    StringConstraints,
    ValidationError,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

from bot.errors import ConfigError

DIFY_CLOUD = "https://api.dify.ai/v1"

SettingsT = TypeVar("SettingsT", bound=BaseSettings)


def command_name(name: str) -> str:
    """Return the name of a slash command as it is (slack-platform §7.1).

    Raises:
        ValueError: Slack would not take it.
    """
    if not re.fullmatch(r"/[a-z0-9_-]{1,31}", name):
        raise ValueError("no slash command is called so")
    return name


def _not_a_word_of_ours(name: str) -> str:
    if name.casefold() == "help":
        raise ValueError("“help” already means something after the slash command")
    return name


AppName = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,39}$"),
    AfterValidator(_not_a_word_of_ours),
]


class Transport(StrEnum):
    """How Slack reaches the bot."""

    SOCKET = "socket"
    HTTP = "http"


class AppSettings(BaseModel):
    """One Dify app that can be started."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    api_key: SecretStr
    base_url: AnyHttpUrl


class DatabaseSettings(BaseSettings):
    """Where the state is kept."""

    model_config = SettingsConfigDict(env_file=".env", extra="ignore", frozen=True, env_ignore_empty=True)

    database_url: str = "sqlite:///dify-slack-bot.sqlite3"


class Settings(DatabaseSettings):
    """Everything the bot has to be told. Field names are the environment's, in lower case."""

    slack_bot_token: SecretStr
    slack_app_token: SecretStr | None = None
    slack_signing_secret: SecretStr | None = None
    slack_api_url: AnyHttpUrl = AnyHttpUrl("https://slack.com/api/")
    slack_command: Annotated[str, AfterValidator(command_name)] = "/dify"

    dify_base_url: AnyHttpUrl = AnyHttpUrl(DIFY_CLOUD)
    dify_api_key: SecretStr | None = None
    dify_app_name: AppName = "dify"
    dify_max_streams: Annotated[int, Field(ge=1)] = 8
    """Open streams per Dify server: it has ten connections per API worker by default (recording 22)."""

    bot_config: Path | None = None
    host: str = "0.0.0.0"
    port: Annotated[int, Field(ge=0, le=65535)] = 3000
    poll_interval: Annotated[float, Field(gt=0)] = 30.0
    """Seconds between two looks at a run that waits for a form; longer for old ones."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_format: Literal["console", "json"] = "console"

    _apps: dict[str, AppSettings] = PrivateAttr(default_factory=dict)

    @property
    def transport(self) -> Transport:
        """Socket Mode where an app-level token is set, else HTTP."""
        return Transport.SOCKET if self.slack_app_token else Transport.HTTP

    @property
    def apps(self) -> Mapping[str, AppSettings]:
        """The apps that can be started, by name: those of `BOT_CONFIG`, and `DIFY_APP_NAME` for `DIFY_API_KEY`."""
        return self._apps

    def with_apps(self, apps: Mapping[str, AppSettings]) -> Self:
        """Return the same settings with these apps."""
        copied = self.model_copy()
        copied._apps = dict(apps)
        return copied


HOW_TO: dict[str, str] = {
    "slack_bot_token": (
        "install the app in your workspace and copy the “Bot User OAuth Token” (xoxb-…) "
        "from the app's page “OAuth & Permissions”"
    ),
    "slack_app_token": (
        "create an app-level token (xapp-…) with the scope connections:write on the app's page “Basic Information”"
    ),
    "slack_signing_secret": "copy the “Signing Secret” from the app's page “Basic Information”",
    "slack_api_url": "leave it out for Slack itself, or give an address such as http://127.0.0.1:9000/api/",
    "slack_command": "give a slash and up to 31 lower-case letters, digits, - or _, such as /dify",
    "dify_base_url": "copy it from the app's page “API Access” in Dify, such as https://api.dify.ai/v1",
    "dify_api_key": "create a key (app-…) on the app's page “API Access” in Dify",
    "dify_app_name": "give up to 40 letters, digits, - or _, such as review",
    "dify_max_streams": "give a whole number from 1; the server has ten connections per API worker by default",
    "bot_config": "give the path of a TOML file with a table [apps.NAME] and its api_key for each app",
    "database_url": "give sqlite:///FILE or postgresql://USER:PASSWORD@HOST/DATABASE",
    "host": "give an address to listen on, such as 0.0.0.0",
    "port": "give a port number from 0 to 65535, such as 3000",
    "poll_interval": "give a number of seconds above 0, such as 30",
    "log_level": "give one of DEBUG, INFO, WARNING, ERROR",
    "log_format": "give console or json",
}


def load(**overrides: Any) -> Settings:
    """Read the settings, with overrides by field name in place of the environment's.

    Raises:
        ConfigError: a value is missing or wrong; the message is one sentence for the admin.
    """
    settings = _validated(Settings, overrides)
    apps = _apps_of_file(settings.bot_config, settings.dify_base_url) if settings.bot_config else {}
    if settings.dify_api_key:
        apps[settings.dify_app_name] = AppSettings(api_key=settings.dify_api_key, base_url=settings.dify_base_url)
    settings = settings.with_apps(apps)
    _check_together(settings)
    return settings


def load_database_url() -> str:
    """Read where the database is, whatever else is set.

    Raises:
        ConfigError: the value is not usable.
    """
    return _validated(DatabaseSettings, {}).database_url


def _validated(kind: type[SettingsT], overrides: dict[str, Any]) -> SettingsT:
    try:
        return kind(**overrides)
    except ValidationError as exc:
        raise ConfigError(_sentence(exc)) from None


def _sentence(exc: ValidationError) -> str:
    """Say what is wrong with the first bad variable, without repeating its value: it may be a secret."""
    first = exc.errors(include_input=False, include_url=False)[0]
    field = str(first["loc"][0])
    problem = "is not set" if first["type"] == "missing" else f"is not usable ({first['msg']})"
    return f"{field.upper()} {problem}: {HOW_TO[field]}."


def _apps_of_file(path: Path, base_url: AnyHttpUrl) -> dict[str, AppSettings]:
    """Read the apps; one that does not say where its Dify is has it at `base_url`."""
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as exc:
        raise ConfigError(
            f"BOT_CONFIG names {path}, which cannot be read ({exc.strerror}): {HOW_TO['bot_config']}."
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise ConfigError(f"BOT_CONFIG names {path}, which is no TOML ({exc}): {HOW_TO['bot_config']}.") from None
    apps = tables.get("apps")
    for app in apps.values() if isinstance(apps, dict) else ():
        if isinstance(app, dict):
            app.setdefault("base_url", str(base_url))
    try:
        return _AppsFile.model_validate(tables).apps
    except ValidationError as exc:
        first = exc.errors(include_input=False, include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"] if part != "[key]")
        raise ConfigError(
            f"BOT_CONFIG names {path}, where {place} is not usable ({first['msg']}): {HOW_TO['bot_config']}."
        ) from None


class _AppsFile(BaseModel):
    model_config = ConfigDict(extra="forbid")

    apps: dict[AppName, AppSettings] = Field(default_factory=dict)


def _check_together(settings: Settings) -> None:
    """Check what one variable alone cannot tell."""
    if not settings.slack_bot_token.get_secret_value().startswith("xoxb-"):
        raise ConfigError(f"SLACK_BOT_TOKEN is no bot token: {HOW_TO['slack_bot_token']}.")
    if settings.slack_app_token and not settings.slack_app_token.get_secret_value().startswith("xapp-"):
        raise ConfigError(f"SLACK_APP_TOKEN is no app-level token: {HOW_TO['slack_app_token']}.")
    if not settings.slack_app_token and not settings.slack_signing_secret:
        raise ConfigError(
            f"SLACK_APP_TOKEN is not set: {HOW_TO['slack_app_token']} (Socket Mode), "
            f"or set SLACK_SIGNING_SECRET (HTTP): {HOW_TO['slack_signing_secret']}."
        )
    if not settings.apps and settings.bot_config:
        raise ConfigError(f"BOT_CONFIG names {settings.bot_config}, which has no apps: {HOW_TO['bot_config']}.")
    if not settings.apps:
        raise ConfigError(
            f"DIFY_API_KEY is not set: {HOW_TO['dify_api_key']}, "
            f"or for several apps set BOT_CONFIG: {HOW_TO['bot_config']}."
        )
