"""What the page can ask for: each action is a method by its own name, with the request's further keys as arguments."""

from __future__ import annotations

import logging
from typing import Any

from pydantic import ValidationError, validate_call

from bot.playground.bot_process import BotDied
from bot.playground.dify.errors import ApiError
from bot.playground.page.protocol import Json, Reply

FAILED = "The playground itself failed at this. Its terminal says why."

_log = logging.getLogger(__name__)


class Actions:
    """The actions of several desks: their public methods."""

    def __init__(self, *desks: object) -> None:
        self._methods = {
            name: validate_call(getattr(desk, name))
            for desk in desks
            for name in vars(type(desk))
            if not name.startswith("_")
        }

    async def reply(self, request: Any) -> Reply:
        """Do what a request asks, and say what came of it; what is wrong with it is told in a sentence."""
        if not isinstance(request, dict):
            return {"id": None, "ok": False, "error": "A request is a JSON object."}
        arguments = {name: value for name, value in request.items() if name not in ("id", "do")}
        try:
            result = await self._perform(request.get("do"), arguments)
        except ValidationError as error:
            return _refused(request, _sentence(str(request["do"]), error))
        except ApiError as error:
            return _refused(request, f"Dify refuses: {error.message}")
        except (LookupError, ValueError, BotDied) as error:
            return _refused(request, str(error))
        except Exception:  # whatever it is: somebody waits for an answer
            _log.exception("the page failed at %s", request["do"])
            return _refused(request, FAILED)
        return {"id": request.get("id"), "ok": True, "result": result or {}}

    async def _perform(self, do: Any, arguments: Json) -> Json | None:
        if not isinstance(do, str) or do not in self._methods:
            raise LookupError(f"There is no action {do!r}.")
        result: Json | None = await self._methods[do](**arguments)
        return result


def _refused(request: Json, error: str) -> Reply:
    return {"id": request.get("id"), "ok": False, "error": error}


def _sentence(do: str, error: ValidationError) -> str:
    problem = error.errors(include_url=False, include_context=False, include_input=False)[0]
    where = ".".join(str(part) for part in problem["loc"])
    return f"{do}: {where}: {problem['msg']}."
