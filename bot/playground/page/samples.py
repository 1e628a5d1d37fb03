"""What a newcomer finds on the page: the apps, lines to try them with, people and channels."""

from __future__ import annotations

from bot.playground.dify import App
from bot.playground.dify.apps import every_field
from bot.playground.page.own_forms import NAME, own_app
from bot.playground.page.protocol import Example
from bot.playground.scenarios import scenario_apps
from bot.playground.slack import Workspace
from bot.playground.stage import CHANNEL

CHANNELS = (CHANNEL, "general")
ZONES = {"ann": "Europe/Berlin", "ben": "America/New_York", "cleo": "Asia/Tokyo"}
"""IANA names."""

EXAMPLES: list[Example] = [
    {
        "command": '/dify review topic="Team calendars" language=English',
        "says": "A text is drafted, and you approve it, edit it or ask for another try.",
    },
    {"command": '/dify papers topic="The roof"', "says": "A form asks for a contract and photos: drop files on it."},
    {"command": '/dify chat query="Where is my order?"', "says": "A support chat in a thread; ask it for a refund."},
    {"command": '/dify pick title="Spring menu" size=M', "says": "A short form with a text and a menu."},
    {"command": '/dify fields title="Everything"', "says": "Every kind of field that a form can have."},
    {"command": '/dify parallel topic="Two questions"', "says": "Two forms are open at the same time."},
    {"command": '/dify hasty topic="Right now" language=English', "says": "A form that closes after five seconds."},
    {"command": '/dify long topic="Everything"', "says": "A report of 150,000 characters, streamed as it is written."},
    {"command": f"/dify {NAME}", "says": "The form that you load yourself, from JSON or a Dify DSL file."},
    {"command": "/dify help", "says": "What else there is."},
]
"""The best one to begin with first."""


def settle(workspace: Workspace) -> None:
    """Give the people their time zones."""
    for name, zone in ZONES.items():
        workspace.person(name).zone = zone


def sample_apps() -> dict[str, App]:
    """Return the apps under the names people type: those that the scenarios play among them."""
    return scenario_apps() | {"fields": every_field(), NAME: own_app()}
