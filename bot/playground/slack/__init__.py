"""A simulated Slack workspace that speaks Slack's protocols over real sockets and refuses what Slack refuses."""

from bot.playground.slack.files import File, LocalFile
from bot.playground.slack.people import Person, Result
from bot.playground.slack.rate_limits import RateLimits
from bot.playground.slack.server import SlackServer
from bot.playground.slack.state import Channel, Message, View
from bot.playground.slack.workspace import Workspace

__all__ = [
    "Channel",
    "File",
    "LocalFile",
    "Message",
    "Person",
    "RateLimits",
    "Result",
    "SlackServer",
    "View",
    "Workspace",
]
