"""What a newcomer finds on the page: the apps, lines to try them with, people and channels."""

from __future__ import annotations

import struct
import zlib

from bot.playground.dify import App
from bot.playground.dify.apps import every_field, file_chat, picture_form
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
    {"command": '/dify picture topic="Rain"', "says": "A form with a picture in it."},
    {"command": '/dify desk query="Have a look"', "says": "A chat that takes files, and answers with some."},
    {"command": '/dify parallel topic="Two questions"', "says": "Two forms are open at the same time."},
    {"command": '/dify hasty topic="Right now" language=English', "says": "A form that closes after five seconds."},
    {"command": '/dify long topic="Everything"', "says": "A report of 150,000 characters, streamed as it is written."},
    {"command": f"/dify {NAME}", "says": "The form that you load yourself, from JSON or a Dify DSL file."},
    {"command": "/dify help", "says": "What else there is."},
]
"""The best one to begin with first."""


def _chart() -> bytes:
    """A PNG of a bar chart."""
    heights, width, height = (30, 55, 48, 82, 66), 240, 100
    paper, bar = 255, 96  # shades of grey

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    def shade(x: int, y: int) -> int:
        column, within = divmod(x, width // len(heights))
        return bar if 8 <= within < 40 and height - y <= heights[column] else paper

    rows = b"".join(b"\0" + bytes(shade(x, y) for x in range(width)) for y in range(height))
    head = struct.pack(">2I5B", width, height, 8, 0, 0, 0, 0)  # eight bits of grey
    parts = ((b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(name, content) for name, content in parts)


def settle(workspace: Workspace) -> None:
    """Give the people their time zones."""
    for name, zone in ZONES.items():
        workspace.person(name).zone = zone


def sample_apps() -> dict[str, App]:
    """Return the apps under the names people type: those that the scenarios play among them."""
    more = {"fields": every_field(), "picture": picture_form(_chart()), "desk": file_chat(), NAME: own_app()}
    return scenario_apps() | more
