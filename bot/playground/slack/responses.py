"""What an app may answer outside the Web API: to a `response_url`, to a slash command, to a submitted modal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bot.playground.slack import block_kit, forms
from bot.playground.slack.content import (
    checked_content,
    checked_thread,
    flag,
    refuse_problems,
    stored_texts,
    view_content,
)
from bot.playground.slack.refusals import Refusal
from bot.playground.slack.state import View
from bot.playground.slack.text import Json
from bot.playground.slack.tickets import Destination

if TYPE_CHECKING:
    from bot.playground.slack.people import Person
    from bot.playground.slack.workspace import Workspace

VIEWS_MAX = 3  # slack-platform §2.3: view stack


def respond(workspace: Workspace, destination: Destination, body: Json) -> None:
    """Do what a message sent to a `response_url` asks (slack-platform §4.1): by default a new ephemeral message.

    Works in channels the bot is not in. Raises `Refusal` for contents Slack refuses.
    """
    source = destination.source
    if source and flag(body, "delete_original"):
        workspace.delete(source)
        return
    content = checked_content(workspace, body)
    if source and flag(body, "replace_original"):
        workspace.edit(source, content)
        return
    workspace.post(
        destination.channel,
        content,
        workspace.bot,
        thread_ts=checked_thread(destination.channel, body.get("thread_ts")) if destination.may_thread else None,
        visible_to=None if body.get("response_type") == "in_channel" else destination.user_id,
    )


def answer_submission(workspace: Workspace, person: Person, view: View, answer: Json) -> dict[str, str]:
    """Do what the acknowledgement of a `view_submission` asks (slack-platform §4.1).

    Returns the errors to show, by block_id.

    Raises `Refusal` when the answer makes no sense: Slack then tells the person to try again.
    """
    action = answer.get("response_action")
    if action is None and not answer:
        person.drop_view(view)
    elif action == "clear":
        for open_view in list(person.views):
            person.drop_view(open_view)
    elif action == "update":
        change_view(workspace, view, answer.get("view"))
    elif action == "push":
        show_view(workspace, person, checked_view(workspace, answer.get("view"), "modal"), on_top_of=view)
    elif action == "errors":
        view.field_errors = _field_errors(view, answer.get("errors"))
        workspace.changed()
        return dict(view.field_errors)
    else:
        raise Refusal("invalid_arguments", f"unknown answer to view_submission: {answer}")
    return {}


def offered_options(answer: Json) -> list[Json]:
    """The options an acknowledgement of a `block_suggestion` offers, as Slack echoes them; those of groups included.

    Raises `Refusal` for more than Slack takes, or anything but options (slack-platform §2.2).
    """
    refuse_problems("invalid_arguments", block_kit.suggestion_problems(answer))
    return forms.listed_options(stored_texts(answer))


def show_view(workspace: Workspace, person: Person, content: Json, *, on_top_of: View | None = None) -> View:
    """Open a modal with this (checked) content for a person. Raises `Refusal` when the stack is full."""
    if on_top_of and len(person.views) >= VIEWS_MAX:
        raise Refusal("push_limit_reached")
    view_id = workspace.new_id("V")
    view = View(
        id=view_id,
        user_id=person.id,
        content=content,
        hash=new_hash(workspace),
        root_id=on_top_of.root_id if on_top_of else view_id,
        previous_id=on_top_of.id if on_top_of else None,
    )
    if not on_top_of:
        for other in list(person.views):  # a modal replaces whatever else of the app was open
            person.drop_view(other)
    person.views.append(view)
    workspace.changed()
    return view


def change_view(workspace: Workspace, view: View, content: Json | None) -> None:
    """Replace what a view shows; what was typed stays where block_id and action_id stay (slack-platform §2.7)."""
    view.content = checked_view(workspace, content, view.content["type"], own=view)
    view.hash = new_hash(workspace)
    view.field_errors = {}
    person = workspace.person_by_id(view.user_id)
    if person:
        person.forget_missing_fields(view)
    workspace.changed()


def checked_view(workspace: Workspace, content: Json | None, kind: str, own: View | None = None) -> Json:
    """A view as stored. Raises `Refusal` unless it is legal, of type `kind`, and its `external_id` free (§2.3)."""
    stored = view_content(content or {}, workspace.new_id)
    if stored["type"] != kind:
        raise Refusal("invalid_arguments", f"[ERROR] must be a {kind} [json-pointer:/view/type]")
    refuse_problems("invalid_arguments", list(workspace.files.image_problems(stored["blocks"], "/view/blocks")))
    taken = workspace.view_by_external_id(stored.get("external_id", ""))
    if taken and taken is not own:
        raise Refusal("duplicate_external_id")
    return stored


def new_hash(workspace: Workspace) -> str:
    """A view's `hash`: changes with every update."""
    return f"{int(workspace.now())}.{workspace.new_id('h')}"


def _field_errors(view: View, errors: Json | None) -> dict[str, str]:
    """slack-platform §4.1: the keys must be block_ids of input blocks in that view."""
    inputs = {block["block_id"] for block in view.blocks if block["type"] == "input"}
    if not errors or not isinstance(errors, dict) or errors.keys() - inputs:
        raise Refusal("invalid_arguments", f"errors must name input blocks of the view: {errors}")
    if not all(isinstance(message, str) and message for message in errors.values()):
        raise Refusal("invalid_arguments", f"errors must be texts: {errors}")
    return errors
