"""People type, select, click and submit; each sees only what Slack would show them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from slack_bolt.async_app import AsyncApp
from slack_sdk.errors import SlackApiError

from bot.playground.slack import Message, SlackServer, Workspace
from bot.playground.slack.content import message_content
from bot.playground.slack.forms import Exactly, controls, find_button, find_field
from tests.playground.slack.conftest import Clock, Serve, make_workspace

Json = dict[str, Any]


def plain(text: str) -> Json:
    return {"type": "plain_text", "text": text}


def options(*texts: str) -> list[Json]:
    return [{"text": plain(text), "value": str(number)} for number, text in enumerate(texts)]


def field(label: str, block_id: str, **element: Any) -> Json:
    return {
        "type": "input",
        "block_id": block_id,
        "label": plain(label),
        "element": {"action_id": "value"} | element,
    }


def button(text: str, **changes: Any) -> Json:
    return {"type": "button", "action_id": text.lower(), "text": plain(text)} | changes


FORM: list[Json] = [
    field("Your feedback", "feedback", type="plain_text_input", initial_value="Fine", max_length=20),
    field("Tone of voice", "tone", type="static_select", options=options("Friendly", "Formal", "Formal & short")),
    field("Topics", "topics", type="checkboxes", options=options("Bears", "Birds")),
    {"type": "actions", "block_id": "decide", "elements": [button("Approve", value="1"), button("Approve all")]},
]


def post(workspace: Workspace, blocks: list[Json], **changes: Any) -> Message:
    """A message of the bot in #content."""
    content = message_content({"text": "A form", "blocks": blocks}, workspace.new_id)
    return workspace.post(workspace.channel("content"), content, workspace.bot, **changes)


@pytest.fixture
def interactions(bolt: Callable[..., Any]) -> Callable[..., Any]:
    """Connect a Bolt app that acknowledges every block action; returns the payloads it got, as they come."""

    async def connect(server: Any) -> asyncio.Queue[Json]:
        received: asyncio.Queue[Json] = asyncio.Queue()

        def register(app: AsyncApp) -> None:
            @app.action(re.compile(".*"))
            async def _(ack: Any, body: Json) -> None:
                received.put_nowait(body)
                await ack()

        await bolt(server, register)
        return received

    return connect


async def test_each_person_fills_in_a_draft_of_their_own(serve: Serve, interactions: Callable[..., Any]) -> None:
    """slack-platform §2.6: a click carries every field, untouched ones with their initial value or null."""
    workspace, server = await serve()
    received = await interactions(server)
    form = post(workspace, FORM)
    ann, ben = workspace.person("ann"), workspace.person("ben")
    ann.fill(form, "feedback", "Shorter")
    ann.select(form, "tone", "Formal")
    ann.select(form, "topics", "Bears", "Birds")
    await ann.click(form, "Approve")
    await ben.click(form, "Approve")
    by_ann, by_ben = (await received.get())["state"]["values"], (await received.get())["state"]["values"]
    assert by_ann["feedback"]["value"] == {"type": "plain_text_input", "value": "Shorter"}
    assert by_ann["tone"]["value"]["selected_option"]["value"] == "1"
    assert [option["value"] for option in by_ann["topics"]["value"]["selected_options"]] == ["0", "1"]
    assert by_ben == {
        "feedback": {"value": {"type": "plain_text_input", "value": "Fine"}},
        "tone": {"value": {"type": "static_select", "selected_option": None}},
        "topics": {"value": {"type": "checkboxes", "selected_options": []}},
    }


async def test_an_emptied_field_is_null(serve: Serve, interactions: Callable[..., Any]) -> None:
    """An emptied text is no initial value any more; a cleared menu has no option."""
    workspace, server = await serve()
    received = await interactions(server)
    form = post(workspace, FORM)
    ann = workspace.person("ann")
    ann.select(form, "tone", "Formal")
    ann.fill(form, "feedback", "")
    ann.select(form, "tone")
    await ann.click(form, "Approve")
    values = (await received.get())["state"]["values"]
    assert values["feedback"]["value"]["value"] is None
    assert values["tone"]["value"]["selected_option"] is None


async def test_a_click_says_who_where_and_what(serve: Serve, interactions: Callable[..., Any]) -> None:
    """slack-platform §2.6: container, message, user, trigger and response_url."""
    workspace, server = await serve()
    received = await interactions(server)
    root = post(workspace, [{"type": "divider"}])
    form = post(workspace, FORM, thread_ts=root.ts)
    result = await workspace.person("ann").click(form, "Approve")
    body = await received.get()
    assert result.ack_ms is not None
    assert body["user"] == {"id": "U0ANN", "username": "ann", "name": "ann", "team_id": "T0DEMO"}
    assert body["container"] == {
        "type": "message",
        "message_ts": form.ts,
        "channel_id": "C0CONTENT",
        "is_ephemeral": False,
        "thread_ts": root.ts,
    }
    assert body["message"]["blocks"] == form.blocks
    (action,) = body["actions"]
    assert (action["type"], action["block_id"], action["action_id"], action["value"]) == (
        "button",
        "decide",
        "approve",
        "1",
    )
    assert body["response_url"].startswith(workspace.url)


async def test_a_menu_outside_an_input_block_tells_the_app(serve: Serve, interactions: Callable[..., Any]) -> None:
    """slack-platform §2.6: selects in `actions` fire on every change, those in inputs do not."""
    workspace, server = await serve()
    received = await interactions(server)
    menu = {
        "type": "static_select",
        "action_id": "menu",
        "placeholder": plain("Pick one"),
        "options": options("A", "B"),
    }
    more = {"type": "overflow", "action_id": "more", "options": options("Stop", "Skip")}
    form = post(workspace, [*FORM, {"type": "actions", "elements": [menu, more]}])
    ann = workspace.person("ann")
    ann.select(form, "tone", "Formal")
    ann.select(form, "Pick one", "B")
    first = await received.get()
    ann.select(form, "more", "Skip")
    second = await received.get()
    assert (first["actions"][0]["action_id"], first["actions"][0]["selected_option"]["value"]) == ("menu", "1")
    assert (second["actions"][0]["action_id"], second["actions"][0]["selected_option"]["value"]) == ("more", "1")
    assert received.empty()


@pytest.mark.parametrize(
    ("deed", "message"),
    [
        (lambda ann, form: ann.fill(form, "colour", "x"), "no field 'colour'"),
        (lambda ann, form: ann.fill(form, "to", "x"), "more than one field 'to'"),
        (lambda ann, form: ann.fill(form, "tone", "x"), "not a field to type into"),
        (lambda ann, form: ann.select(form, "tone", "Rude"), "no option 'Rude'"),
        (lambda ann, form: ann.select(form, "tone", "Friendly", "Formal"), "takes one choice"),
    ],
)
def test_people_can_only_use_what_is_there(deed: Callable[..., None], message: str) -> None:
    """A wrong or ambiguous name says what there is."""
    workspace = make_workspace()
    form = post(workspace, FORM)
    with pytest.raises(LookupError, match=message):
        deed(workspace.person("ann"), form)


def test_an_exact_name_wins_over_a_part() -> None:
    """ "Formal" is not ambiguous beside "Formal & short"; entities are read as characters."""
    workspace = make_workspace()
    form = post(workspace, FORM)
    ann = workspace.person("ann")
    ann.select(form, "tone", "Formal")
    ann.select(form, "tone", "Formal & short")
    assert ann.draft(form)["tone", "value"]["selected_option"]["value"] == "2"


def test_what_is_named_exactly_is_nothing_else() -> None:
    """By its ids, its value or its user id, where a reader's words could mean several."""
    workspace = make_workspace()
    thumbs = [{"text": plain(text), "value": text} for text in ("Good", "Bad")]
    rating = {"type": "feedback_buttons", "action_id": "rate"}
    rating |= {"positive_button": thumbs[0], "negative_button": thumbs[1]}
    blocks = [
        *FORM,
        field("Reviewers", "reviewers", type="multi_users_select"),
        field("When", "when", type="datetimepicker"),
        {"type": "context_actions", "block_id": "rating", "elements": [rating]},
    ]
    form, ann = post(workspace, blocks), workspace.person("ann")
    ann.fill(form, Exactly("feedback/value"), "Short")
    ann.select(form, Exactly("tone/value"), Exactly("1"))
    ann.select(form, Exactly("reviewers/value"), Exactly("U0BEN"), "cleo")
    ann.fill(form, Exactly("when/value"), "1700000000")
    assert [each.answer(ann.draft(form)) for each in controls(form.blocks) if each.key in ann.drafts[form]] == [
        "Short",
        find_field(form.blocks, "Tone").options[1],
        ["U0BEN", "U0CLEO"],
        1_700_000_000,
    ]
    assert find_button(form.blocks, Exactly("decide/approve")).label == "Approve"
    assert find_button(form.blocks, Exactly("rating/rate/Bad")).label == "Bad"
    for deed, message in (
        (lambda: ann.fill(form, Exactly("feedback"), "x"), "no field 'feedback' here"),
        (lambda: ann.select(form, Exactly("tone/value"), Exactly("Formal")), "no option 'Formal' here"),
        (lambda: ann.select(form, Exactly("reviewers/value"), Exactly("ben")), "no person 'ben' here"),
        (lambda: find_button(form.blocks, Exactly("rating/rate")), "more than one button 'rating/rate' here"),
    ):
        with pytest.raises(LookupError, match=message):
            deed()


def test_the_client_stops_a_text_beyond_max_length() -> None:
    """Slack's client does not take more characters than the field declares."""
    workspace = make_workspace()
    form = post(workspace, FORM)
    with pytest.raises(ValueError, match="at most 20 characters"):
        workspace.person("ann").fill(form, "feedback", "x" * 21)


async def test_people_cannot_press_what_they_do_not_see() -> None:
    """Buttons that are gone, other people's ephemeral messages, channels one is not in."""
    workspace = make_workspace(channels={"content": ["ann", "ben", "bot"]})
    form = post(workspace, FORM)
    private = post(workspace, FORM, visible_to="U0BEN")
    ann, cleo = workspace.person("ann"), workspace.person("cleo")
    workspace.edit(form, message_content({"text": "Done"}, workspace.new_id))
    with pytest.raises(LookupError, match="no button 'Approve'"):
        await ann.click(form, "Approve")
    with pytest.raises(LookupError, match="ann does not see this message"):
        await ann.click(private, "Approve")
    with pytest.raises(LookupError, match="cleo is not in #content"):
        await cleo.click(form, "Approve")
    with pytest.raises(LookupError, match="cleo is not in #content"):
        await cleo.command("content", "/dify help")
    workspace.delete(form)
    with pytest.raises(LookupError, match="ann does not see this message"):
        await ann.click(form, "Approve")


async def test_an_unknown_command_is_refused_by_slack_itself() -> None:
    """The app never hears of it."""
    workspace = make_workspace()
    result = await workspace.person("ann").command("content", "/deploy now")
    assert result.error == "/deploy is not a valid command."
    assert workspace.deliveries == []


@pytest.mark.parametrize(
    ("should_escape", "text"),
    [
        (True, "to=<@U0BEN|ben> in <#C0RANDOM|random> see <https://x.example/?a=1&amp;b=2#random> &lt;b&gt; a@b.c"),
        (False, None),
    ],
)
async def test_commands_carry_mentions_when_the_manifest_asks(should_escape: bool, text: str | None) -> None:
    """slack-platform §4.2: `should_escape`."""
    workspace = make_workspace(should_escape=should_escape)
    typed = "to=@ben in #random see https://x.example/?a=1&b=2#random <b> a@b.c"
    await workspace.person("ann").command("content", f"/dify {typed}")
    assert workspace.deliveries[0].payload["text"] == (text or typed)


async def test_waiting_wakes_on_a_change_and_tells_what_was_refused(serve: Serve) -> None:
    """A timeout names the refused calls: the usual reason."""
    workspace, _ = await serve()
    waiting = asyncio.create_task(workspace.wait_for(lambda: workspace.find(text="hello")))
    await asyncio.sleep(0)
    posted = await workspace.person("ann").post("content", "Hello")
    assert await waiting is posted
    with pytest.raises(TimeoutError, match="refused calls: none"):
        await workspace.wait_for(lambda: None, timeout=0)


# --- modals and home -------------------------------------------------------------------------------------------------

MODAL: Json = {
    "type": "modal",
    "callback_id": "form",
    "title": plain("Review"),
    "submit": plain("Send"),
    "private_metadata": "7",
    "notify_on_close": True,
    "blocks": [
        field("Reason", "reason", type="plain_text_input", min_length=3),
        field("Note", "note", type="plain_text_input") | {"optional": True},
        {"type": "actions", "elements": [button("More")]},
    ],
}


class ModalBot:
    """Opens MODAL on a command, pushes on "More", and answers submissions with `answer`."""

    def __init__(self) -> None:
        self.answer: Json = {}
        self.submitted: list[Json] = []
        self.closed: list[Json] = []

    def register(self, app: AsyncApp) -> None:
        """Add the listeners."""

        @app.command("/dify")
        async def _(ack: Any, body: Json, client: Any) -> None:
            await ack()
            await client.views_open(trigger_id=body["trigger_id"], view=MODAL)

        @app.action("more")
        async def _(ack: Any, body: Json, client: Any) -> None:
            await ack()
            with suppress(SlackApiError):
                await client.views_push(trigger_id=body["trigger_id"], view=MODAL | {"title": plain("More")})

        @app.view("form")
        async def _(ack: Any, body: Json) -> None:
            self.submitted.append(body)
            await ack(**self.answer)

        @app.view_closed("form")
        async def _(ack: Any, body: Json) -> None:
            self.closed.append(body)
            await ack()


Modal = tuple[Workspace, SlackServer, ModalBot]


@pytest.fixture
async def modal(serve: Serve, bolt: Callable[..., Any]) -> Modal:
    """A workspace in which ann has the modal open."""
    workspace, server = await serve()
    modal_bot = ModalBot()
    await bolt(server, modal_bot.register)
    await workspace.person("ann").command("content", "/dify")
    await workspace.wait_for(lambda: workspace.person("ann").views)
    return workspace, server, modal_bot


async def test_a_modal_is_filled_in_and_submitted(modal: Modal) -> None:
    """slack-platform §4.1: an empty acknowledgement closes it; the state has every input."""
    workspace, _, modal_bot = modal
    ann = workspace.person("ann")
    ann.fill(ann.view, "reason", "Too long")
    result = await ann.submit_view()
    assert result.acked
    assert ann.views == []
    view = modal_bot.submitted[0]["view"]
    assert view["private_metadata"] == "7"
    assert {block_id: value["value"]["value"] for block_id, value in view["state"]["values"].items()} == {
        "reason": "Too long",
        "note": None,
    }


@pytest.mark.parametrize(("text", "error"), [("", "complete this required field"), ("xx", "at least 3 characters")])
async def test_the_client_checks_inputs_before_it_submits(modal: Modal, text: str, error: str) -> None:
    """slack-platform §2.6: on modals, requiredness is the client's business."""
    workspace, _, modal_bot = modal
    ann = workspace.person("ann")
    ann.fill(ann.view, "reason", text)
    result = await ann.submit_view()
    assert error in result.field_errors["reason"]
    assert modal_bot.submitted == []


@pytest.mark.parametrize(
    ("answer", "titles", "field_errors", "trouble"),
    [
        ({"response_action": "errors", "errors": {"reason": "Say more"}}, ["Review"], {"reason": "Say more"}, False),
        ({"response_action": "update", "view": MODAL | {"title": plain("New")}}, ["New"], {}, False),
        ({"response_action": "push", "view": MODAL | {"title": plain("Top")}}, ["Review", "Top"], {}, False),
        ({"response_action": "clear"}, [], {}, False),
        ({"response_action": "errors", "errors": {"unknown": "x"}}, ["Review"], {}, True),
        ({"response_action": "update", "view": {"type": "modal"}}, ["Review"], {}, True),
    ],
    ids=["errors", "update", "push", "clear", "errors elsewhere", "illegal view"],
)
async def test_a_submission_is_answered_in_its_acknowledgement(
    modal: Modal, answer: Json, titles: list[str], field_errors: dict[str, str], trouble: bool
) -> None:
    """slack-platform §4.1: what makes no sense leaves the modal open with Slack's apology."""
    workspace, _, modal_bot = modal
    modal_bot.answer = answer
    ann = workspace.person("ann")
    ann.fill(ann.view, "reason", "Too long")
    result = await ann.submit_view()
    assert [view.title for view in ann.views] == titles
    assert result.field_errors == field_errors
    assert (result.error is not None) == trouble


async def test_views_stack_three_deep(modal: Modal) -> None:
    """slack-platform §2.3."""
    workspace, _, _ = modal
    ann = workspace.person("ann")
    for depth in (2, 3):
        await ann.click(ann.view, "More")
        await workspace.wait_for(lambda depth=depth: len(ann.views) == depth)
    await ann.click(ann.view, "More")
    await workspace.wait_for(lambda: workspace.refused)
    assert workspace.refused[0].response["error"] == "push_limit_reached"


async def test_closing_a_modal_is_told_on_request(modal: Modal) -> None:
    """slack-platform §4.1: `notify_on_close`."""
    workspace, _, modal_bot = modal
    ann = workspace.person("ann")
    await ann.close_view()
    assert ann.views == []
    assert modal_bot.closed[0]["type"] == "view_closed"
    with pytest.raises(LookupError, match="no modal open"):
        _ = ann.view


async def test_an_update_keeps_what_was_typed_where_ids_stay(modal: Modal, client_of: Callable[..., Any]) -> None:
    """slack-platform §2.7; a stale `hash` is refused (§4.1)."""
    workspace, server, _ = modal
    client = await client_of(server)
    ann = workspace.person("ann")
    ann.fill(ann.view, "reason", "Too long")
    update = {"view_id": ann.view.id, "hash": ann.view.hash, "view": MODAL | {"title": plain("New")}}
    updated = await client.views_update(**update)
    with pytest.raises(SlackApiError, match="hash_conflict"):
        await client.views_update(**update)
    with pytest.raises(SlackApiError, match="not_found"):
        await client.views_update(view_id="V0GONE", view=MODAL)
    assert updated["view"]["state"]["values"]["reason"]["value"]["value"] == "Too long"
    assert ann.view.title == "New"


async def test_a_trigger_lasts_three_seconds_and_works_once(serve: Serve, client_of: Callable[..., Any]) -> None:
    """slack-platform §4.1."""
    clock = Clock()
    workspace, server = await serve(now=clock)
    client = await client_of(server)
    in_time, late = [workspace.tickets.new_trigger("U0ANN") for _ in range(2)]
    clock.advance(3)
    await client.views_open(trigger_id=in_time, view=MODAL)
    clock.advance(0.1)
    for trigger_id, code in [(in_time, "trigger_exchanged"), (late, "trigger_expired"), ("1.2", "invalid_trigger_id")]:
        with pytest.raises(SlackApiError, match=code):
            await client.views_open(trigger_id=trigger_id, view=MODAL)


async def test_an_illegal_view_is_named_by_json_pointer(serve: Serve, client_of: Callable[..., Any]) -> None:
    """views.* answer `invalid_arguments`; the trigger is not used up."""
    workspace, server = await serve()
    client = await client_of(server)
    trigger_id = workspace.tickets.new_trigger("U0ANN")
    with pytest.raises(SlackApiError) as caught:
        await client.views_open(trigger_id=trigger_id, view={**MODAL, "title": plain("x" * 25)})
    assert caught.value.response["error"] == "invalid_arguments"
    assert caught.value.response["response_metadata"]["messages"] == [
        "[ERROR] must be less than 25 characters [json-pointer:/view/title/text]"
    ]
    await client.views_open(trigger_id=trigger_id, view=MODAL)


async def test_an_external_id_is_unique_and_finds_its_view(serve: Serve, client_of: Callable[..., Any]) -> None:
    """slack-platform §2.3."""
    workspace, server = await serve()
    client = await client_of(server)
    view = MODAL | {"external_id": "review-7"}
    await client.views_open(trigger_id=workspace.tickets.new_trigger("U0ANN"), view=view)
    with pytest.raises(SlackApiError, match="duplicate_external_id"):
        await client.views_open(trigger_id=workspace.tickets.new_trigger("U0BEN"), view=view)
    await client.views_update(external_id="review-7", view=view | {"title": plain("New")})
    assert workspace.person("ann").view.title == "New"


async def test_home_is_published_per_person(
    serve: Serve, client_of: Callable[..., Any], interactions: Callable[..., Any]
) -> None:
    """Opening it raises app_home_opened; its buttons work."""
    workspace, server = await serve(events=["app_home_opened"])
    received = await interactions(server)
    home = {"type": "home", "blocks": [{"type": "actions", "elements": [button("Refresh")]}]}
    await (await client_of(server)).views_publish(user_id="U0ANN", view=home)
    ann = workspace.person("ann")
    shown = await ann.open_home()
    assert shown is not None
    await ann.click(shown, "Refresh")
    body = await received.get()
    assert body["container"] == {"type": "view", "view_id": shown.id}
    assert "response_url" not in body
    assert [
        delivery.payload["event"]["type"] for delivery in workspace.deliveries if delivery.kind == "events_api"
    ] == ["app_home_opened"]
    with pytest.raises(LookupError, match="ben does not look at this view"):
        await workspace.person("ben").click(shown, "Refresh")
