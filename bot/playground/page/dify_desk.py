"""What the page does to the simulated Dify: it answers a form elsewhere, and lets things go wrong."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from pydantic import Field

from bot.playground.bodies import body_of
from bot.playground.dify import Dify
from bot.playground.dify.faults import Route
from bot.playground.dify.forms import Form
from bot.playground.page.own_forms import NAME, UnusableForm, own_app, read_form
from bot.playground.page.people_desk import PeopleDesk
from bot.playground.page.protocol import Json
from bot.playground.page.uploads import Uploads

_SLOW_MAX = 60.0  # seconds; beyond it the bot rightly takes Dify for dead
_MOVING = (Route.RUN, Route.CHAT, Route.SUBMIT_FORM)
"""The calls by which people move something: a failure of one of them is one that they see."""


class DifyDesk:
    """Actions on the server."""

    def __init__(self, dify: Dify, uploads: Uploads) -> None:
        self._dify, self._uploads = dify, uploads

    async def answer_elsewhere(
        self,
        form: str,
        action: str,
        values: dict[str, Any] | None = None,
        uploads: dict[str, list[str]] | None = None,
    ) -> None:
        """Answer a form as on Dify's own page; `uploads` are the files of its file fields, by the fields' names.

        What both leave out is left as the page offers it.
        """
        found = self._form(form)
        handed_in = self._handed_in(found, uploads or {})
        await self._dify.answer_elsewhere(found, action, _offered(found) | (values or {}) | handed_in)

    async def expire(self, form: str) -> None:
        """Let a form's deadline pass."""
        await self._dify.expire(self._form(form))

    async def drop_stream(self) -> Json:
        """Break off every stream that is open, or the next one where none is."""
        if not (broken := self._dify.break_streams_off()):
            self._dify.drop_stream(after_events=1)
        return {"dropped": broken}

    async def fail_next(self) -> None:
        """Answer the next call that starts a run, asks a chatflow or answers a form with an error."""
        self._dify.fail_next_of(*_MOVING)

    async def slow(self, seconds: Annotated[float, Field(ge=0, le=_SLOW_MAX)]) -> None:
        """Let every call wait so long."""
        self._dify.slow_seconds = seconds

    def _handed_in(self, form: Form, uploads: dict[str, list[str]]) -> Json:
        """What the file fields hold once these files were uploaded; nothing for a field without any."""
        handed_in: Json = {}
        for item in form.inputs:
            name = item["output_variable_name"]
            files = self._uploads.named(uploads.get(name, ()))
            mappings = [self._dify.upload_elsewhere(form, file.name, body_of(file.content)) for file in files]
            if mappings:
                handed_in[name] = mappings if item["type"] == "file-list" else mappings[0]
        return handed_in

    def _form(self, form_id: str) -> Form:
        for form in self._dify.open_forms():
            if form.id == form_id:
                return form
        raise LookupError("This form is not open any more.")


class OwnFormDesk:
    """Actions on the form that a builder brings along."""

    def __init__(self, dify: Dify, people: PeopleDesk, command: str) -> None:
        self._dify, self._people, self._command = dify, people, f"{command} {NAME}"

    async def load_form(
        self, text: str, person: str | None = None, channel: str | None = None, node: str | None = None
    ) -> Json:
        """Have the app ask this form from now on, and at once where a person and a channel are named.

        The answer names the command that asks it again, and the other forms that the text holds.
        """
        try:
            form = await asyncio.to_thread(read_form, text, node)
        except UnusableForm as problem:
            raise ValueError(str(problem)) from None
        self._dify.publish(own_app(form))
        if person and channel:
            await self._people.command(person, channel, self._command)
        others = [{"id": id, "title": title} for id, title in form.others.items()]
        return {"title": form.node.title, "command": self._command, "others": others}


def _offered(form: Form) -> Json:
    """What stands in the fields of Dify's own page before anybody has touched them; nothing for a file."""
    offered: Json = {}
    for item in form.inputs:
        name = item["output_variable_name"]
        match item["type"]:
            case "paragraph":
                constant = (item["default"] or {}).get("value") or ""
                offered[name] = str(form.defaults.get(name, constant))
            case "select":
                offered[name] = next(iter(item["option_source"]["value"]), "")
            case "file-list":
                offered[name] = []
    return offered
