"""Settings: from the environment, from `.env`, and for several apps from the TOML file that `BOT_CONFIG` names.

The only reader of the environment. A missing or wrong value ends in one `ConfigError`, whose sentence names the
variable and says how to get a right one.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from datetime import time, timedelta
from enum import StrEnum
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    AnyHttpUrl,
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    PrivateAttr,
    SecretStr,
    StringConstraints,
    ValidationError,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from bot.core.reminding import UNIVERSAL, QuietHours, ReminderPolicy
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


_OFF = "off"
_UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}


def _reminders(given: object) -> tuple[Fraction | timedelta, ...]:
    """Read `50%, 1h`, or the same as a list; `off` and an empty list are none."""
    if isinstance(given, str):
        given = [] if given.strip().casefold() == _OFF else given.split(",")
    if not isinstance(given, list | tuple):
        raise ValueError("no list of reminders")
    return tuple(_reminder(each) for each in given)


def _reminder(given: object) -> Fraction | timedelta:
    if isinstance(given, Fraction | timedelta):
        return given
    found = re.fullmatch(r"(\d{1,4})\s*([%mhd])", str(given).strip().casefold(), re.ASCII)
    if found is None:
        raise ValueError("neither a part of the time such as 50% nor a span such as 1h")
    number, unit = int(found[1]), found[2]
    if number == 0 or (unit == "%" and number >= 100):
        raise ValueError("a reminder comes after the question and before the deadline")
    return Fraction(number, 100) if unit == "%" else number * _UNITS[unit]


def _quiet_hours(given: object) -> QuietHours | None:
    """Read `22:00-07:00`; `off` is none."""
    if given is None or isinstance(given, QuietHours):
        return given
    text = str(given).strip().casefold()
    if text == _OFF:
        return None
    found = re.fullmatch(r"(\d{1,2}):(\d{2})\s*[-–]\s*(\d{1,2}):(\d{2})", text, re.ASCII)
    if found is None:
        raise ValueError("no times of day")
    begin_hour, begin_minute, end_hour, end_minute = (int(part) for part in found.groups())
    hours = QuietHours(time(begin_hour, begin_minute), time(end_hour, end_minute))
    if hours.begin == hours.end:
        raise ValueError("no hour of the day would be left")
    return hours


def _zone(given: object) -> ZoneInfo:
    if isinstance(given, ZoneInfo):
        return given
    try:
        return ZoneInfo(str(given))
    except (KeyError, ValueError, OSError):
        raise ValueError("no time zone is called so") from None


Reminders = Annotated[tuple[Fraction | timedelta, ...], PlainValidator(_reminders), NoDecode]
Quiet = Annotated[QuietHours | None, PlainValidator(_quiet_hours), NoDecode]
Zone = Annotated[ZoneInfo, PlainValidator(_zone)]

AppName = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,39}$"),
    AfterValidator(_not_a_word_of_ours),
]


class Transport(StrEnum):
    """How Slack reaches the bot."""

    SOCKET = "socket"
    HTTP = "http"


class ChatReplies(StrEnum):
    """Which replies in the thread of a Chatflow are its next message."""

    ALL = "all"
    MENTIONS = "mentions"
    """Those that mention the bot."""


class AppSettings(BaseModel):
    """One Dify app that can be started."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    api_key: SecretStr
    base_url: AnyHttpUrl
    files_url: AnyHttpUrl | None = None
    """Where its Dify has its files, if that is elsewhere than its API."""
    reminders: Reminders | None = None
    """What is not given here holds as for all apps."""
    quiet_hours: Quiet = None
    time_zone: Zone | None = None
    chat_replies: ChatReplies | None = None


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
    dify_files_url: AnyHttpUrl | None = None
    """Where Dify has its files, if that is elsewhere than its API: its `FILES_URL` (dify-api §2.1)."""
    dify_max_streams: Annotated[int, Field(ge=1)] = 8
    """Open streams per Dify server: it has ten connections per API worker by default (recording 22)."""
    dify_max_execution_minutes: Annotated[float, Field(gt=0, le=10_080)] = 20.0
    """How long Dify lets a run execute between two forms: its `APP_MAX_EXECUTION_TIME` (dify-api §11)."""
    slack_rate_factor: Annotated[float, Field(gt=0, le=1_000)] = 1.0
    """How many times its published rate limits Slack allows (slack-platform §8.1)."""

    reminders: Reminders = (Fraction(1, 2), timedelta(hours=1))
    quiet_hours: Quiet = None
    time_zone: Zone = UNIVERSAL
    chat_replies: ChatReplies = ChatReplies.ALL

    bot_config: Path | None = None
    host: str = "0.0.0.0"
    port: Annotated[int, Field(ge=0, le=65535)] = 3000
    poll_interval: Annotated[float, Field(gt=0, le=86_400)] = 30.0
    """Seconds between two looks at a run that waits for a form; longer for old ones."""
    lease_seconds: Annotated[float, Field(ge=1, le=3_600)] = 30.0
    """After this long without a sign of life another process takes over the work of this one."""
    retention_days: Annotated[float, Field(gt=0, le=36_500)] = 30.0
    """How long a run that ended is kept."""
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

    def reminder_policy(self, app: str) -> ReminderPolicy:
        """Return when the forms of an app are reminded of: what is set for all apps but for what is set for this one.

        An app that is not configured has no reminders.
        """
        own = self._apps.get(app)
        if own is None:
            return ReminderPolicy()
        given = own.model_fields_set
        return ReminderPolicy(
            self.reminders if own.reminders is None else own.reminders,
            own.quiet_hours if "quiet_hours" in given else self.quiet_hours,
            own.time_zone or self.time_zone,
        )

    def only_mentions(self, app: str) -> bool:
        """Tell whether a reply in the thread of this Chatflow has to mention the bot to be its next message."""
        own = self._apps.get(app)
        return ((own and own.chat_replies) or self.chat_replies) is ChatReplies.MENTIONS

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
    "dify_files_url": "give what FILES_URL is in Dify, such as https://files.example.com, or leave it out",
    "dify_app_name": "give up to 40 letters, digits, - or _, such as review",
    "dify_max_streams": "give a whole number from 1; the server has ten connections per API worker by default",
    "dify_max_execution_minutes": (
        "give a number of minutes above 0 and up to 10080, as many as Dify's APP_MAX_EXECUTION_TIME allows, such as 20"
    ),
    "reminders": (
        "give parts of the time such as 50% and spans before the deadline such as 30m, 1h or 2d, "
        "with commas between them, or off"
    ),
    "quiet_hours": "give two times of day such as 22:00-07:00, or off",
    "time_zone": "give a name of the IANA time zone database, such as Europe/Berlin",
    "chat_replies": "give all, or mentions for replies that mention the bot",
    "bot_config": "give the path of a TOML file with a table [apps.NAME] and its api_key for each app",
    "database_url": "give sqlite:///FILE or postgresql://USER:PASSWORD@HOST/DATABASE",
    "host": "give an address to listen on, such as 0.0.0.0",
    "port": "give a port number from 0 to 65535, such as 3000",
    "slack_rate_factor": "give how many times its published limits Slack allows, above 0 and up to 1000, such as 1",
    "poll_interval": "give a number of seconds above 0 and up to 86400, such as 30",
    "lease_seconds": "give a number of seconds from 1 to 3600, such as 30",
    "retention_days": "give a number of days above 0 and up to 36500, such as 30",
    "log_level": "give one of DEBUG, INFO, WARNING, ERROR",
    "log_format": "give console or json",
}


def load(**overrides: Any) -> Settings:
    """Read the settings, with overrides by field name in place of the environment's.

    Raises:
        ConfigError: a value is missing or wrong; the message is one sentence for the admin.
    """
    settings = _validated(Settings, overrides)
    apps = _apps_of_file(settings.bot_config, settings) if settings.bot_config else {}
    if settings.dify_api_key:
        if settings.dify_app_name.casefold() in map(str.casefold, apps):
            raise ConfigError(
                f"DIFY_APP_NAME and BOT_CONFIG both name an app “{settings.dify_app_name}”: give one of them another "
                "name, or take DIFY_API_KEY out."
            )
        apps[settings.dify_app_name] = AppSettings(
            api_key=settings.dify_api_key, base_url=settings.dify_base_url, files_url=settings.dify_files_url
        )
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
    problem = "is not set" if first["type"] == "missing" else f"is not usable ({_in_our_words(first['msg'])})"
    return f"{field.upper()} {problem}: {HOW_TO[field]}."


def _in_our_words(message: str) -> str:
    # Pydantic puts this before what a check of our own says.
    return message.removeprefix("Value error, ")


def _apps_of_file(path: Path, settings: Settings) -> dict[str, AppSettings]:
    """Read the apps; one that does not say where its Dify is has it, and its files, where the settings say."""
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
        if isinstance(app, dict) and "base_url" not in app:
            app["base_url"] = str(settings.dify_base_url)
            if settings.dify_files_url is not None:
                app.setdefault("files_url", str(settings.dify_files_url))
    try:
        return _AppsFile.model_validate(tables).apps
    except ValidationError as exc:
        first = exc.errors(include_input=False, include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"] if part != "[key]")
        how_to = HOW_TO.get(place.rpartition(".")[2], HOW_TO["bot_config"])
        problem = f"{place} is not usable ({_in_our_words(first['msg'])})"
        raise ConfigError(f"BOT_CONFIG names {path}, where {problem}: {how_to}.") from None


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
    by_fold: dict[str, str] = {}
    for name in settings.apps:
        if (other := by_fold.setdefault(name.casefold(), name)) != name:
            raise ConfigError(
                f"BOT_CONFIG names {settings.bot_config}, whose apps “{other}” and “{name}” people cannot tell apart: "
                "give one of them another name."
            )
    if not settings.apps and settings.bot_config:
        raise ConfigError(f"BOT_CONFIG names {settings.bot_config}, which has no apps: {HOW_TO['bot_config']}.")
    if not settings.apps:
        raise ConfigError(
            f"DIFY_API_KEY is not set: {HOW_TO['dify_api_key']}, "
            f"or for several apps set BOT_CONFIG: {HOW_TO['bot_config']}."
        )
