"""Menus whose options the app lists while a person types: `external_select` and `block_suggestion`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from slack_bolt.async_app import AsyncApp

from bot.playground.slack import Message, SlackServer, Workspace
from bot.playground.slack.content import message_content
from bot.playground.slack.delivery import HttpTransport
from bot.playground.slack.faults import Drop
from tests.playground.slack.conftest import Serve

Json = dict[str, Any]


def plain(text: str) -> Json:
    return {"type": "plain_text", "text": text}


def options(*texts: str) -> list[Json]:
    return [{"text": plain(text), "value": text.lower()} for text in texts]


def menu(**element: Any) -> Json:
    """A searched menu in an input block."""
    searched = {"type": "external_select", "action_id": "city", "min_query_length": 1} | element
    return {"type": "input", "block_id": "where", "label": plain("City"), "element": searched}


MODAL: Json = {
    "type": "modal",
    "callback_id": "trip",
    "title": plain("Trip"),
    "submit": plain("Go"),
    "blocks": [menu()],
}
CITIES = options("Berlin", "Bern", "Paris", "Rome & Tivoli")


class MenuBot:
    """Lists the cities that begin with what was typed, unless `answer` says otherwise; acknowledges the rest."""

    def __init__(self) -> None:
        self.answer: Json | None = None
        self.asked: list[Json] = []
        self.actions: list[Json] = []
        self.submitted: list[Json] = []

    def register(self, app: AsyncApp) -> None:
        """Add the listeners."""

        @app.options("city")
        async def _(ack: Any, body: Json) -> None:
            self.asked.append(body)
            found = [city for city in CITIES if city["text"]["text"].lower().startswith(body["value"])]
            await ack(self.answer if self.answer is not None else {"options": found})

        @app.action("city")
        async def _(ack: Any, body: Json) -> None:
            self.actions.append(body)
            await ack()

        @app.view("trip")
        async def _(ack: Any, body: Json) -> None:
            self.submitted.append(body)
            await ack()


Menu = tuple[Workspace, SlackServer, MenuBot]


@pytest.fixture
async def connected(serve: Serve, bolt: Callable[..., Any]) -> Menu:
    """A workspace with a bot connected over Socket Mode."""
    workspace, server = await serve()
    menu_bot = MenuBot()
    await bolt(server, menu_bot.register)
    return workspace, server, menu_bot


def post(workspace: Workspace, block: Json) -> Message:
    """A message of the bot in #content."""
    content = message_content({"text": "A form", "blocks": [block]}, workspace.new_id)
    return workspace.post(workspace.channel("content"), content, workspace.bot)


async def test_a_person_searches_and_selects_in_a_message(connected: Menu) -> None:
    """slack-platform §2.2: what is typed goes to the app, what it offers can be selected."""
    workspace, _, menu_bot = connected
    form = post(workspace, menu())
    ann = workspace.person("ann")
    result = await ann.search(form, "City", "ber")
    assert (result.acked, result.options, result.error) == (True, ("Berlin", "Bern"), None)
    ann.select(form, "City", "Bern")
    assert ann.draft(form)["where", "city"]["selected_option"]["value"] == "bern"
    with pytest.raises(LookupError, match="no option 'Paris' here; there are: 'Berlin', 'Bern'"):
        ann.select(form, "City", "Paris")
    (asked,) = menu_bot.asked
    assert (asked["type"], asked["block_id"], asked["action_id"], asked["value"]) == (
        "block_suggestion",
        "where",
        "city",
        "ber",
    )
    assert (asked["container"]["message_ts"], asked["channel"]["id"]) == (form.ts, "C0CONTENT")
    assert "trigger_id" not in asked
    assert "response_url" not in asked
    assert workspace.person("ben").draft(form) == {}


async def test_a_selected_city_is_submitted_with_the_modal(connected: Menu, client_of: Callable[..., Any]) -> None:
    """slack-platform §4.1: the whole option stands in `view.state.values`, its text escaped as Slack echoes it."""
    workspace, server, menu_bot = connected
    client = await client_of(server)
    await client.views_open(trigger_id=workspace.tickets.new_trigger("U0ANN"), view=MODAL)
    ann = workspace.person("ann")
    await ann.search(ann.view, "City", "rome")
    ann.select(ann.view, "City", "Rome & Tivoli")
    assert (await ann.submit_view()).acked
    chosen = menu_bot.submitted[0]["view"]["state"]["values"]["where"]["city"]["selected_option"]
    assert (chosen["text"]["text"], chosen["value"]) == ("Rome &amp; Tivoli", "rome & tivoli")
    assert menu_bot.asked[0]["view"]["callback_id"] == "trip"
    assert menu_bot.asked[0]["container"]["type"] == "view"


async def test_a_menu_outside_an_input_tells_what_was_selected(connected: Menu) -> None:
    """slack-platform §2.6: a block action of its own."""
    workspace, _, menu_bot = connected
    form = post(workspace, {"type": "actions", "block_id": "where", "elements": [menu()["element"]]})
    ann = workspace.person("ann")
    await ann.search(form, "city", "par")
    ann.select(form, "city", "Paris")
    await workspace.wait_for(lambda: menu_bot.actions)
    assert menu_bot.actions[0]["actions"][0]["selected_option"]["value"] == "paris"


async def test_several_are_chosen_in_several_searches(connected: Menu) -> None:
    """What is chosen already stays to choose from, though the last search did not offer it."""
    workspace, _, _ = connected
    form = post(workspace, menu(type="multi_external_select", max_selected_items=2))
    ann = workspace.person("ann")
    await ann.search(form, "City", "berl")
    ann.select(form, "City", "Berlin")
    await ann.search(form, "City", "par")
    ann.select(form, "City", "Berlin", "Paris")
    chosen = ann.draft(form)["where", "city"]["selected_options"]
    assert [option["value"] for option in chosen] == ["berlin", "paris"]
    await ann.search(form, "City", "ber")
    with pytest.raises(ValueError, match="takes at most 2 choices, not 3"):
        ann.select(form, "City", "Berlin", "Paris", "Bern")


async def test_groups_can_be_offered(connected: Menu) -> None:
    """slack-platform §2.2: `option_groups` instead."""
    workspace, _, menu_bot = connected
    menu_bot.answer = {"option_groups": [{"label": plain("North"), "options": options("Oslo", "Turku")}]}
    form = post(workspace, menu())
    assert (await workspace.person("ann").search(form, "City", "x")).options == ("Oslo", "Turku")


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"options": [], "option_groups": []},
        {"options": options(*map(str, range(101)))},
        {"options": options("x" * 76)},
        {"option_groups": [{"options": options("Oslo")}]},
    ],
    ids=["nothing", "both", "101", "long", "group without label"],
)
async def test_illegal_options_are_not_offered(connected: Menu, answer: Json) -> None:
    """slack-platform §2.2, §2.3: at most 100, each legal; the person is told that nothing could be loaded."""
    workspace, _, menu_bot = connected
    form = post(workspace, menu())
    ann = workspace.person("ann")
    await ann.search(form, "City", "ber")
    menu_bot.answer = answer
    result = await ann.search(form, "City", "ber")
    assert (result.options, result.acked) == ((), True)
    assert "could not be loaded" in str(result.error)
    with pytest.raises(LookupError, match="there are: none"):
        ann.select(form, "City", "Berlin")


async def test_a_hundred_options_and_none_are_legal(connected: Menu) -> None:
    """slack-platform §2.2."""
    workspace, _, menu_bot = connected
    form = post(workspace, menu())
    ann = workspace.person("ann")
    for count in (100, 0):
        menu_bot.answer = {"options": options(*map(str, range(count)))}
        result = await ann.search(form, "City", "x")
        assert (len(result.options), result.error) == (count, None)


async def test_the_app_has_three_seconds(connected: Menu) -> None:
    """slack-platform §2.2; after that there is nothing to choose from."""
    workspace, _, _ = connected
    workspace.ack_timeout = 0.01
    workspace.faults.add("interactive", Drop())
    form = post(workspace, menu())
    result = await workspace.person("ann").search(form, "City", "ber")
    assert (result.acked, result.options, result.error) == (False, (), "The options could not be loaded.")


async def test_short_texts_and_other_menus_are_not_searched(connected: Menu) -> None:
    """Slack's client asks from `min_query_length` characters on, three where the menu does not say [believed]."""
    workspace, _, menu_bot = connected
    form = post(workspace, menu() | {"element": {"type": "external_select", "action_id": "city"}})
    written_out = post(workspace, menu() | {"element": {"type": "static_select", "options": CITIES}})
    ann = workspace.person("ann")
    with pytest.raises(ValueError, match="from 3 characters on"):
        await ann.search(form, "City", "be")
    with pytest.raises(LookupError, match="no menu to search"):
        await ann.search(written_out, "City", "ber")
    assert menu_bot.asked == []


@pytest.mark.parametrize("has_options_url", [True, False])
async def test_over_http_the_options_url_is_asked(
    serve: Serve, bolt: Callable[..., Any], has_options_url: bool
) -> None:
    """slack-platform §7.1: `message_menu_options_url`; without it the app is never asked."""
    workspace, server = await serve()
    menu_bot = MenuBot()
    await bolt(server, menu_bot.register, http=True)
    over_http = workspace.courier.transport
    assert isinstance(over_http, HttpTransport)
    await server.deliver_over_http(over_http.url, options_url=over_http.url if has_options_url else None)
    form = post(workspace, menu())
    result = await workspace.person("ann").search(form, "City", "ber")
    assert result.options == (("Berlin", "Bern") if has_options_url else ())
    assert result.acked == has_options_url
    assert len(menu_bot.asked) == has_options_url
