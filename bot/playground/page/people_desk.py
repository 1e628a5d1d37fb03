"""What the people at the page do in the workspace, each as the person they have chosen to be."""

from __future__ import annotations

from bot.playground.page.protocol import Field, Json
from bot.playground.page.protocol import Surface as Key
from bot.playground.page.slack_side import find_surface
from bot.playground.page.uploads import Uploads
from bot.playground.slack import Channel, Message, Person, Result, View, Workspace
from bot.playground.slack.forms import Control, Exactly, find_button, find_field, option_name
from bot.playground.slack.people import Surface

_GONE = "This button is no longer there: what it belongs to has changed meanwhile. Look at it again."


class PeopleDesk:
    """Actions of people: what `Person` does, addressed by ids."""

    def __init__(self, workspace: Workspace, uploads: Uploads) -> None:
        self._workspace, self._uploads = workspace, uploads

    async def post(
        self, person: str, channel: str, text: str = "", thread_ts: str | None = None, uploads: list[str] | None = None
    ) -> Json:
        """Write a message, with files or without."""
        files = self._uploads.named(uploads or ())
        if not text.strip() and not files:
            raise ValueError("There is nothing to send.")
        message = await self._person(person).share(self._channel(channel).name, files, text, thread_ts)
        return {"ts": message.ts}

    async def command(self, person: str, channel: str, text: str) -> Json:
        """Send a slash command."""
        return _told(await self._person(person).command(self._channel(channel).name, text))

    async def shortcut(self, person: str, surface: Key, callback_id: str) -> Json:
        """Choose a shortcut in the menu of a message."""
        message = self._surface(surface)
        if not isinstance(message, Message):
            raise LookupError("Only messages have a menu with shortcuts.")
        return _told(await self._person(person).use_shortcut(message, callback_id))

    async def delete_file(self, person: str, file: str) -> None:
        """Delete a file of one's own."""
        self._person(person).delete_file(file)

    async def open_home(self, person: str) -> None:
        """Look at the App Home."""
        await self._person(person).open_home()

    # --- filling in --------------------------------------------------------------------------------------------------

    async def fill(self, person: str, surface: Key, field: Field, value: str) -> None:
        """Type into a field."""
        self._person(person).fill(self._surface(surface), Exactly(field), value)

    async def enter(self, person: str, surface: Key, field: Field) -> None:
        """Press Enter in a field."""
        self._person(person).press_enter(self._surface(surface), Exactly(field))

    async def choose(self, person: str, surface: Key, field: Field, values: list[str]) -> None:
        """Choose from a menu, by the options' values or ids, or pick a date or time."""
        someone, place = self._person(person), self._surface(surface)
        if _control(place, field).element["type"].endswith("picker"):
            someone.fill(place, Exactly(field), values[0] if values else "")
        else:
            someone.select(place, Exactly(field), *map(Exactly, values))

    async def search(self, person: str, surface: Key, field: Field, text: str) -> Json:
        """Type into a menu whose options the app lists."""
        someone, place = self._person(person), self._surface(surface)
        result = await someone.search(place, Exactly(field), text)
        if result.error:
            raise ValueError(result.error)
        offered = someone.offered(place, Exactly(field))
        return {"options": [{"text": option_name(option), "value": option["value"]} for option in offered]}

    async def choose_files(self, person: str, surface: Key, field: Field, uploads: list[str]) -> None:
        """Put files into a field of a window instead of what is there."""
        view = self._surface(surface)
        if not isinstance(view, View):
            raise LookupError("Files are chosen in a window.")
        self._person(person).choose_files(view, Exactly(field), self._uploads.named(uploads))

    # --- pressing ----------------------------------------------------------------------------------------------------

    async def click(self, person: str, surface: Key, field: Field) -> Json:
        """Press a button. Raises `LookupError` for one that was there until a moment ago, too."""
        someone, place = self._person(person), self._surface(surface)
        try:
            find_button(place.blocks, Exactly(field))
        except LookupError:
            raise LookupError(_GONE) from None
        return _told(await someone.click(place, Exactly(field)))

    async def submit(self, person: str, view: str) -> Json:
        """Send the window on top."""
        result = await self._on_top(person, view).submit_view()
        return _told(result) | {"field_errors": result.field_errors}

    async def close(self, person: str, view: str) -> None:
        """Close the window on top."""
        await self._on_top(person, view).close_view()

    # --- who and where -----------------------------------------------------------------------------------------------

    def _person(self, user_id: str) -> Person:
        if person := self._workspace.person_by_id(user_id):
            return person
        raise LookupError(f"There is nobody with the id {user_id!r}.")

    def _channel(self, channel_id: str) -> Channel:
        if channel := self._workspace.channel_by_id(channel_id):
            return channel
        raise LookupError(f"There is no channel with the id {channel_id!r}.")

    def _surface(self, key: Key) -> Surface:
        return find_surface(self._workspace, key)

    def _on_top(self, user_id: str, view_id: str) -> Person:
        person = self._person(user_id)
        if not person.views or person.view.id != view_id:
            raise LookupError("This window is not on top any more.")
        return person


def _control(surface: Surface, field: Field) -> Control:
    return find_field(surface.blocks, Exactly(field))


def _told(result: Result) -> Json:
    """What the person is told of what they did, and how long the app took to acknowledge it."""
    return {"error": result.error, "ack_ms": result.ack_ms}
