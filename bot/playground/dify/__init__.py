"""A simulated Dify server that behaves like the recordings of a real one (Service API of 1.14.2, human input)."""

from bot.playground.dify.graph import App
from bot.playground.dify.server import DifyServer
from bot.playground.dify.simulator import Dify, RecordedRequest

__all__ = ["App", "Dify", "DifyServer", "RecordedRequest"]
