"""People in the workspace: they type, select, click and submit, and see what Slack would show them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from bot.playground.slack import forms, payloads, responses
from bot.playground.slack.delivery import COMMAND, INTERACTIVE, Delivery
from bot.playground.slack.files import FILE_INPUT_COUNT, FILE_INPUT_MAX, File, Given, local_file
from bot.playground.slack.forms import Control, Exactly, Name
from bot.playground.slack.refusals import Refusal
from bot.playground.slack.state import Author, Channel, Content, Message, View
from bot.playground.slack.text import Json, escape
from bot.playground.slack.tickets import Destination

if TYPE_CHECKING:
    from bot.playground.slack.workspace import Workspace

Surface = Message | View

_TYPED = {"plain_text_input", "email_text_input", "url_text_input", "number_input"}
_PICKED = {"datepicker", "timepicker", "datetimepicker"}
_LISTED = {"users": "person", "conversations": "channel", "channels": "channel"}
_LINKED = re.compile(r"(?<!\w)(?:(?P<url>https?://(?:(?!&[lg]t;)\S)+)|(?P<sign>[@#])(?P<name>\w[\w-]*))")
_SEARCHED = {"external_select", "multi_external_select"}
_MIN_QUERY_LENGTH = 3  # of a menu that does not say [believed]
_ON_ENTER = "on_enter_pressed"
_EMAIL, _URL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+"), re.compile(r"https?://\S+")
_NO_OPTIONS = "The options could not be loaded."
_TROUBLE = "We had some trouble connecting. Try again?"  # what a modal says when the app's answer makes no sense


@dataclass(frozen=True)
class Result:
    """What came of something a person did."""

    acked: bool
    """Whether the app acknowledged it within 3 s."""
    ack_ms: float | None
    error: str | None
    """The line Slack showed the person, if something went wrong."""
    field_errors: dict[str, str] = field(default_factory=dict)
    """Of a modal that was not accepted: block_id → message."""
    options: tuple[str, ...] = ()
    """What the app offered for the text typed into a menu."""


class Person:
    """One member of the workspace. What it types into fields is its own draft, invisible to everyone else."""

    def __init__(self, workspace: Workspace, name: str) -> None:
        self.workspace, self.name = workspace, name
        self.id = "U0" + "".join(letter for letter in name.upper() if letter.isalnum())
        self.zone = "UTC"
        """IANA name; dates are shown in it."""
        self.views: list[View] = []
        """Open modals, the top one last."""
        self.home: View | None = None
        self._drafts: dict[Surface, dict[tuple[str, str], Json]] = {}
        self._offers: dict[Surface, dict[tuple[str, str], list[Json]]] = {}

    @property
    def view(self) -> View:
        """The modal this person looks at. Raises `LookupError` when there is none."""
        if not self.views:
            raise LookupError(f"{self.name} has no modal open")
        return self.views[-1]

    @property
    def drafts(self) -> Mapping[Surface, Mapping[tuple[str, str], Json]]:
        """What this person put into the fields of all messages and views so far."""
        return self._drafts

    def draft(self, surface: Surface) -> dict[tuple[str, str], Json]:
        """What this person put into the fields of a message or view so far."""
        return self._drafts.get(surface, {})

    def sees(self, channel: str) -> list[Message]:
        """Everything this person sees in a channel and its threads, in order. Raises `LookupError` for non-members."""
        place = self._channel(channel)
        return [
            message for message in place.log.values() if not message.deleted and message.visible_to in (None, self.id)
        ]

    # --- writing -----------------------------------------------------------------------------------------------------

    async def post(self, channel: str, text: str, thread_ts: str | None = None) -> Message:
        """Write a message; `@name` of a member or the app and `#channel` become mentions."""
        return await self.share(channel, (), text, thread_ts)

    async def share(
        self, channel: str, files: Iterable[Given], text: str = "", thread_ts: str | None = None
    ) -> Message:
        """Write a message with files, each a `LocalFile` or `(name, content)` (slack-platform §5.1)."""
        place = self._channel(channel)
        if thread_ts and place.message(thread_ts) is None:
            raise LookupError(f"no thread {thread_ts} in #{channel}")
        shared = tuple(self.workspace.files.bring_in(given, self.id) for given in files)
        content = Content(text=self._typed(text), shared=shared)
        return self.workspace.post(place, content, Author(self.id), thread_ts=thread_ts)

    def delete_file(self, file_id: str) -> None:
        """Delete a file of one's own. Raises `LookupError` for any other."""
        file = self.workspace.files.by_id.get(file_id)
        if file is None or file.user_id != self.id or file.is_deleted:
            raise LookupError(f"{self.name} has no file {file_id}")
        self.workspace.files.delete(file_id)

    async def command(self, channel: str, line: str) -> Result:
        """Send a slash command such as `/dify help`; there are none in threads (slack-platform §4.2)."""
        place = self._channel(channel)
        command, _, text = line.partition(" ")
        if command not in self.workspace.commands:
            return self._failed(f"{command} is not a valid command.", channel, None)
        typed = self._typed(text.strip(), named=True) if self.workspace.should_escape else text.strip()
        payload = payloads.slash_command(self.workspace, self, place, command, typed)
        delivery = await self.workspace.courier.ask(COMMAND, payload)
        if delivery.answer:
            try:
                responses.respond(self.workspace, Destination(place, self.id, None), delivery.answer)
            except Refusal as refusal:
                self.workspace.note_refusal("answer to a command", refusal)
                return self._failed(f"{command} failed ({refusal.code})", channel, None, acked=True)
        return self._result(delivery, command, channel, None)

    async def use_shortcut(self, message: Message, callback_id: str) -> Result:
        """Choose a shortcut of the app from a message's menu (slack-platform §4.2).

        Raises `LookupError` when there is none: the manifest has to declare it, with the scope `commands`, and nobody
        has a menu at a message that only they can see.
        """
        self._reach(message)
        if callback_id not in self.workspace.shortcuts or "commands" not in self.workspace.scopes or message.visible_to:
            raise LookupError(f"the message's menu has no shortcut {callback_id!r}")
        payload = payloads.message_shortcut(self.workspace, self, message, callback_id)
        delivery = await self.workspace.courier.ask(INTERACTIVE, payload)
        return self._result(delivery, callback_id, message.channel.name, message.thread_ts)

    def _channel(self, name: str) -> Channel:
        channel = self.workspace.channel(name)
        if self.id not in channel.members:
            raise LookupError(f"{self.name} is not in #{name}")
        return channel

    def _typed(self, text: str, *, named: bool = False) -> str:
        """Text as Slack's composer sends it; `named` adds the name to each mention, as slash commands have it."""
        people = {person.name: f"@{person.id}" for person in self.workspace.people.values()}
        people[self.workspace.app_name] = f"@{self.workspace.bot.user_id}"
        channels = {channel.name: f"#{channel.id}" for channel in self.workspace.channels.values()}

        def linked(found: re.Match[str]) -> str:
            if found["url"]:
                return f"<{found['url']}>"
            target = (people if found["sign"] == "@" else channels).get(found["name"])
            if target is None:
                return found[0]
            return f"<{target}|{found['name']}>" if named else f"<{target}>"

        return _LINKED.sub(linked, escape(text))

    # --- filling in --------------------------------------------------------------------------------------------------

    def fill(self, surface: Surface, name: Name, text: str) -> None:
        """Replace the text of a field, named by (part of) its label, block_id or action_id, or exactly.

        Raises `LookupError` when there is no such field, `ValueError` when Slack's client would not take the text.
        """
        control = forms.find_field(self._reach(surface).blocks, name)
        kind = control.element["type"]
        if kind not in _TYPED | _PICKED | {"rich_text_input"}:
            raise LookupError(f"{control.label!r} is a {kind}, not a field to type into")
        longest = control.element.get("max_length")
        if longest is not None and len(text) > longest:
            raise ValueError(f"{control.label!r} takes at most {longest} characters, not {len(text)}")
        self._put(surface, control, _entered(kind, text))
        if control.fires and (kind in _PICKED or "on_character_entered" in _dispatched_on(control)):
            self._fire(surface, control)

    def press_enter(self, surface: Surface, name: Name) -> None:
        """Press Enter in a text field, which tells the app in the background (slack-platform §2.3).

        Raises `LookupError` when there is no such field or the app does not want to know.
        """
        control = forms.find_field(self._reach(surface).blocks, name)
        if control.element["type"] not in _TYPED or not control.fires or _ON_ENTER not in _dispatched_on(control):
            raise LookupError(f"Enter does nothing in {control.label!r}")
        self._fire(surface, control)

    async def search(self, surface: Surface, name: Name, text: str = "") -> Result:
        """Type into a menu whose options the app lists; those it offers are in the result and can be selected.

        The app has 3 s to answer, with 100 options at most (slack-platform §2.2). Raises `LookupError` when there is no
        such menu, `ValueError` for a text so short that Slack's client does not ask the app.
        """
        control = forms.find_field(self._reach(surface).blocks, name)
        if control.element["type"] not in _SEARCHED:
            raise LookupError(f"{control.label!r} is no menu to search")
        shortest = control.element.get("min_query_length", _MIN_QUERY_LENGTH)
        if len(text) < shortest:
            raise ValueError(f"{control.label!r} is searched from {shortest} characters on")
        self._offers.setdefault(surface, {})[control.key] = []
        payload = payloads.block_suggestion(self.workspace, self, surface, control, text)
        delivery = await self.workspace.courier.ask(INTERACTIVE, payload)
        if delivery.error:
            return Result(acked=False, ack_ms=None, error=_NO_OPTIONS)
        try:
            offered = responses.offered_options(delivery.answer or {})
        except Refusal as refusal:
            self.workspace.note_refusal("answer to a block_suggestion", refusal)
            return Result(acked=True, ack_ms=delivery.ack_ms, error=f"{_NO_OPTIONS} ({refusal})")
        self._offers.setdefault(surface, {})[control.key] = offered
        names = tuple(map(forms.option_name, offered))
        return Result(acked=True, ack_ms=delivery.ack_ms, error=None, options=names)

    def select(self, surface: Surface, name: Name, *choices: Name) -> None:
        """Choose from a menu (several from those that take several), by what the options read; no choice clears it.

        A menu whose options the app lists has to be searched first. A menu outside input blocks tells the app in the
        background (slack-platform §2.6). Raises `LookupError` when there is no such field or option, `ValueError` when
        the menu does not take that many.
        """
        control = forms.find_field(self._reach(surface).blocks, name)
        chosen = [self._choice(surface, control, choice) for choice in choices]
        if control.element["type"] == "overflow":
            self.workspace.courier.spawn(self._act(surface, control, {"selected_option": chosen[0]}))
            return
        several = forms.STATEFUL[control.element["type"]][0] in forms.LISTS
        if len(chosen) > 1 and not several:
            raise LookupError(f"{control.label!r} takes one choice")
        most = control.element.get("max_selected_items")
        if most is not None and len(chosen) > most:
            raise ValueError(f"{control.label!r} takes at most {most} choices, not {len(chosen)}")
        self._put(surface, control, chosen if several else next(iter(chosen), None))
        if control.fires:
            self._fire(surface, control)

    def offered(self, surface: Surface, name: Name) -> list[Json]:
        """What the app offered last for a menu that is searched, and what is chosen there already."""
        return self._offered(surface, forms.find_field(self._reach(surface).blocks, name))

    def choose_files(self, view: View, name: Name, files: Iterable[Given]) -> list[File]:
        """Put files into a field of a modal instead of what is there; they are private to the app and this person.

        Raises `LookupError` when there is no such field, `ValueError` for what Slack's client does not take: too many
        of them, one of more than 10 MB, or of a type that the field does not want (slack-platform §2.2).
        """
        control = forms.find_field(self._reach(view).blocks, name)
        if control.element["type"] != "file_input":
            raise LookupError(f"{control.label!r} takes no files")
        given = [local_file(each) for each in files]
        most = control.element.get("max_files", FILE_INPUT_COUNT)
        if len(given) > most:
            raise ValueError(f"{control.label!r} takes at most {most} files, not {len(given)}")
        endings = {ending.lower() for ending in control.element.get("filetypes", [])}
        for each in given:
            if endings and each.extension not in endings:
                raise ValueError(f"{control.label!r} takes {', '.join(sorted(endings))}, not {each.name}")
            if each.size > FILE_INPUT_MAX:
                raise ValueError(f"{control.label!r} takes files of up to 10 MB, which {each.name} is not")
        chosen = [self.workspace.files.bring_in(each, self.id) for each in given]
        for file in chosen:
            file.is_for_app = True
        self._put(view, control, [file.to_json() for file in chosen])
        return chosen

    def _choice(self, surface: Surface, control: Control, choice: Name) -> Any:
        listed = next((what for kind, what in _LISTED.items() if f"{kind}_select" in control.element["type"]), None)
        if listed == "person":
            return self._listed(choice, self.workspace.people, "person")
        if listed == "channel":
            return self._listed(choice, self.workspace.channels, "channel")
        if control.element["type"] in _SEARCHED:
            return forms.find_option(self._offered(surface, control), choice)
        return forms.find_option(control.options, choice)

    @staticmethod
    def _listed(choice: Name, there: Mapping[str, Person | Channel], kind: str) -> str:
        """The id of a person or channel that is named by its name or exactly."""
        ids = (each.id for name, each in there.items() if choice in (name, Exactly(each.id)))
        if found := next(ids, None):
            return found
        raise LookupError(f"no {kind} {str(choice)!r} here; there are: {', '.join(there)}")

    def _offered(self, surface: Surface, control: Control) -> list[Json]:
        offered = self._offers.get(surface, {}).get(control.key, [])
        answer = control.answer(self.draft(surface))
        chosen = answer if isinstance(answer, list) else [answer] if answer else []
        return [*offered, *(option for option in chosen if option not in offered)]

    def _put(self, surface: Surface, control: Control, value: Any) -> None:
        self._drafts.setdefault(surface, {})[control.key] = control.with_value(value)
        self.workspace.changed()

    def _fire(self, surface: Surface, control: Control) -> None:
        name = forms.STATEFUL[control.element["type"]][0]
        value = {name: control.answer(self.draft(surface))}
        self.workspace.courier.spawn(self._act(surface, control, value))

    # --- pressing ----------------------------------------------------------------------------------------------------

    async def click(self, surface: Surface, button: Name) -> Result:
        """Press a button, and agree to its confirmation dialog if it has one.

        Raises `LookupError` when this person does not see the button.
        """
        control = forms.find_button(self._reach(surface).blocks, button)
        known: Json = {key: control.element[key] for key in ("text", "value", "style", "url") if key in control.element}
        return await self._act(surface, control, known)

    async def _act(self, surface: Surface, control: Control, value: Json) -> Result:
        block_id, action_id = control.key
        action_ts = f"{self.workspace.now():.6f}"
        kind = control.element["type"]
        action = {"type": kind, "block_id": block_id, "action_id": action_id, "action_ts": action_ts, **value}
        if isinstance(surface, View):
            payload = payloads.view_action(self.workspace, self, surface, action)
            delivery = await self.workspace.courier.ask(INTERACTIVE, payload)
            return Result(delivery.acked is not None, delivery.ack_ms, _TROUBLE if delivery.error else None)
        payload = payloads.message_action(self.workspace, self, surface, action)
        delivery = await self.workspace.courier.ask(INTERACTIVE, payload)
        return self._result(delivery, control.label, surface.channel.name, surface.thread_ts)

    def _reach(self, surface: Surface) -> Surface:
        """`surface` itself. Raises `LookupError` when this person cannot see it."""
        if isinstance(surface, View):
            if surface not in (self.home, *self.views[-1:]):
                raise LookupError(f"{self.name} does not look at this view")
        elif surface not in self.sees(surface.channel.name):
            raise LookupError(f"{self.name} does not see this message")
        return surface

    def stop_stream(self, message: Message) -> None:
        """Press stop on a message that is being written; the app learns of it when it appends (slack-platform §3.2).

        Raises `LookupError` when there is nothing to stop.
        """
        self._reach(message)
        if message.stream is None or not message.in_progress:
            raise LookupError("this message is not being written")
        message.stream.state = "stopped_by_user"
        self.workspace.changed()

    # --- modals and home ---------------------------------------------------------------------------------------------

    async def submit_view(self) -> Result:
        """Press submit on the open modal; fields the client itself finds missing stop it before the app is asked.

        Raises `LookupError` when there is no modal or it has no submit button.
        """
        view = self.view
        if "submit" not in view.content:
            raise LookupError(f"the modal {view.title!r} has no submit button")
        view.field_errors = self._wrong_fields(view)
        if view.field_errors:
            self.workspace.changed()
            return Result(False, None, "Please check the fields.", dict(view.field_errors))
        payload = payloads.view_submission(self.workspace, self, view)
        delivery = await self.workspace.courier.ask(INTERACTIVE, payload)
        if delivery.error:
            return Result(acked=False, ack_ms=None, error=_TROUBLE)
        try:
            field_errors = responses.answer_submission(self.workspace, self, view, delivery.answer or {})
        except Refusal as refusal:
            self.workspace.note_refusal("answer to a view_submission", refusal)
            return Result(acked=True, ack_ms=delivery.ack_ms, error=f"{_TROUBLE} ({refusal})")
        return Result(acked=True, ack_ms=delivery.ack_ms, error=None, field_errors=field_errors)

    async def close_view(self, *, all_views: bool = False) -> Result:
        """Close the top modal, or `all_views`: those below it, too, as `clear_on_close` asks of the top one.

        The app hears of those with `notify_on_close` only (slack-platform §4.1). Raises `LookupError` when there is no
        modal.
        """
        all_views = all_views or bool(self.view.content.get("clear_on_close"))
        closed = list(reversed(self.views)) if all_views else [self.view]
        told = [
            payloads.view_closed(self.workspace, self, view, is_cleared=all_views)
            for view in closed
            if view.content.get("notify_on_close")
        ]
        for view in closed:
            self.drop_view(view)
        result = Result(acked=True, ack_ms=None, error=None)
        for payload in told:
            delivery = await self.workspace.courier.ask(INTERACTIVE, payload)
            result = Result(result.acked and delivery.acked is not None, delivery.ack_ms, None)
        return result

    def drop_view(self, view: View) -> None:
        """Take a modal and what was typed into it away, if it is still open."""
        if view in self.views:
            self.views.remove(view)
        self._drafts.pop(view, None)
        self._offers.pop(view, None)
        self.workspace.changed()

    def forget_missing_fields(self, view: View) -> None:
        """Lose what was typed into fields that a changed view has no more (slack-platform §2.7)."""
        keys = {control.key for control in forms.controls(view.blocks)}
        self._drafts[view] = {key: entry for key, entry in self.draft(view).items() if key in keys}
        self._offers[view] = {key: offer for key, offer in self._offers.get(view, {}).items() if key in keys}

    async def open_home(self) -> View | None:
        """Look at the App Home: tells the app, and shows what it published so far."""
        channel = self.workspace.direct_messages(self)
        self.workspace.raise_event(*payloads.home_opened_event(self, channel, f"{self.workspace.now():.6f}"))
        return self.home

    def _wrong_fields(self, view: View) -> dict[str, str]:
        """What the client itself finds wrong with the inputs: block_id → message."""
        draft = self.draft(view)
        inputs = [control for control in forms.controls(view.blocks) if control.block["type"] == "input"]
        wrong = {control.block["block_id"]: _wrong(control, control.answer(draft)) for control in inputs}
        return {block_id: message for block_id, message in wrong.items() if message}

    # --- what Slack says ---------------------------------------------------------------------------------------------

    def _result(self, delivery: Delivery, what: str, channel: str, thread_ts: str | None) -> Result:
        if delivery.error is None:
            return Result(acked=True, ack_ms=delivery.ack_ms, error=None)
        wrong = {"operation_timeout": "did not respond", "dispatch_failed": "failed"}[delivery.error]
        return self._failed(f"{what} {wrong} ({delivery.error})", channel, thread_ts)

    def _failed(self, line: str, channel: str, thread_ts: str | None, *, acked: bool = False) -> Result:
        """Slack's own line to this person only."""
        place, content = self.workspace.channel(channel), Content(text=escape(line))
        self.workspace.post(place, content, self.workspace.slackbot, thread_ts=thread_ts, visible_to=self.id)
        return Result(acked=acked, ack_ms=None, error=line)


def _dispatched_on(control: Control) -> list[str]:
    """When a text field with `dispatch_action` tells the app: on Enter by default (slack-platform §2.3)."""
    configured: list[str] = control.element.get("dispatch_action_config", {}).get("trigger_actions_on", [_ON_ENTER])
    return configured


def _wrong(control: Control, value: Any) -> str | None:
    """What Slack's client says about the value of an input before it submits (slack-platform §2.6)."""
    element = control.element
    if value in (None, "", []):
        return None if control.block["optional"] else "Please complete this required field."
    if isinstance(value, str) and len(value) < element.get("min_length", 0):
        return f"Please enter at least {element['min_length']} characters."
    match element["type"]:
        case "number_input":
            return _wrong_number(element, value)
        case "email_text_input" if not _EMAIL.fullmatch(value):
            return "Please enter an email address."
        case "url_text_input" if not _URL.fullmatch(value):
            return "Please enter a URL."
    return None


def _wrong_number(element: Json, value: str) -> str | None:
    try:
        number = Decimal(value)
    except InvalidOperation:
        return "Please enter a number."
    if not number.is_finite():
        return "Please enter a number."
    if not element["is_decimal_allowed"] and number != number.to_integral_value():
        return "Please enter a whole number."
    if "min_value" in element and number < Decimal(element["min_value"]):
        return f"Please enter a number of at least {element['min_value']}."
    if "max_value" in element and number > Decimal(element["max_value"]):
        return f"Please enter a number of at most {element['max_value']}."
    return None


def _entered(kind: str, text: str) -> Any:
    """What a text means in a field of this kind. Raises `ValueError` when it cannot be meant there."""
    if kind == "rich_text_input":
        return _rich_text(text)
    return int(text) if kind == "datetimepicker" and text else text or None


def _rich_text(text: str) -> Json | None:
    if not text:
        return None
    section = {"type": "rich_text_section", "elements": [{"type": "text", "text": text}]}
    return {"type": "rich_text", "elements": [section]}
