"""The start window of any app that is legal in Dify, with whatever was given for it and is entered into it."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.core.command import CheckedStart, check_texts, default_text, must_be_given, obstacle
from bot.core.model import Accepts, AppMode, SharedFile, StartInput
from bot.core.ports import AppDescription, CarriedFile, StartPlace, StartWindow
from bot.core.start_files import (
    MESSAGE_FILES,
    GivenFile,
    accepts_of,
    file_inputs,
    takes_files,
)
from bot.errors import UnknownHere
from bot.playground.slack.content import view_content
from bot.playground.slack.forms import Control, controls, find_field, state_values
from bot.playground.slack.text import pinged_ids, shown
from bot.services.starts import MOST_CARRIED
from bot.slack import ids
from bot.slack.payloads import StartEvent
from bot.slack.starts.window import errors_at, notice_view, start_view
from bot.slack.text.mrkdwn import unescape
from tests.slack.strategies import long_text, names, odd_text

Json = dict[str, Any]
Draft = Mapping[tuple[str, str], Json]

GOLDEN = Path(__file__).parent / "golden"
PLACE = StartPlace("run-1", "T1", "C1", "review")
patient = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


def start_input(variable: str, type: str = "text-input", **changes: Any) -> StartInput:
    return StartInput(**{"variable": variable, "label": "", "type": type, "required": False} | changes)


REVIEW = AppDescription(
    "Content review",
    AppMode.CHATFLOW,
    (
        start_input("topic", label="Topic", required=True, max_length=80),
        start_input("notes", "paragraph", default="one\ntwo", max_length=5_000),
        start_input("language", "select", label="Language", required=True, options=("English", "German")),
        start_input("size", "select", options=("S", "M"), default="M"),
        start_input("copies", "number", default="1"),
        start_input("urgent", "checkbox", required=True, default=True),
        start_input("config", "json_object"),
        start_input("photos", "file-list", label="Photos", accepts=Accepts(("image",), limit=3)),
    ),
)
UPLOADED = Accepts(("document",), (), ("local_file",))
PHOTOS = (SharedFile("F1", "a <!here>.png", "image/png", 9), SharedFile("F2", "b.png", "image/png", 9))


def window(description: AppDescription | None = REVIEW, **changes: Any) -> StartWindow:
    return StartWindow(**{"place": PLACE, "app_names": ("review",), "description": description} | changes)


def view_of(window: StartWindow) -> Json:
    """Return a window as Slack keeps it; fails where Slack refuses it."""
    numbers = itertools.count()
    return view_content(start_view(window).to_dict(), lambda kind: f"{kind}{next(numbers)}")


def sent(view: Json, draft: Draft | None = None) -> StartEvent:
    """Return what arrives from somebody who entered `draft` and left all else as it was."""
    state = {"values": state_values(view["blocks"], draft or {})}
    return StartEvent.model_validate(
        {"user": {"id": "U1"}, "view": {**view, "id": "V1", "hash": "1.a", "state": state}}
    )


def entered(view: Json, values: Mapping[str, Any]) -> dict[tuple[str, str], Json]:
    """Return the state of fields, named by their labels, into which these values were entered."""
    draft: dict[tuple[str, str], Json] = {}
    for name, value in values.items():
        control = find_field(view["blocks"], name)
        draft[control.key] = control.with_value(value)
    return draft


def by_variable(view: Json) -> dict[str, Control]:
    """Return the elements of the fields; those for links to files under a name of their own."""
    named = [(ids.decode_start_field(control.block["block_id"]), control) for control in controls(view["blocks"])]
    return {f"{field.name} links" if field.holds_links else field.name: control for field, control in named if field}


def texts(event: StartEvent, description: AppDescription = REVIEW) -> Mapping[str, str]:
    found = event.entered("review", description)
    assert found is not None
    return found


# --- what is shown ---------------------------------------------------------------------------------------------------


CASES = {
    "start-window": window(
        app_names=("every_field", "review"),
        texts={"topic": "Tea <!here>", "copies": "many", "language": "German"},
        problems=("There is no app “reviw”: did you mean review?", "copies must be a number, and “many” is none."),
    ),
    "start-window-files": window(
        AppDescription(
            "Any",
            AppMode.WORKFLOW,
            (
                start_input("cv", "file", label="CV", required=True, accepts=UPLOADED),
                start_input("source", "file", required=True, accepts=Accepts((), (), ("remote_url",))),
                start_input("photos", "file-list", label="Photos", required=True, accepts=Accepts(("image",), limit=0)),
            ),
            Accepts(("custom",), (".zip",), limit=2),
        ),
        texts={"source": "https://example.com/a.png"},
        files={"photos": PHOTOS},
    ),
    "start-window-apps": window(None, place=StartPlace("run-1", "T1", "C1"), app_names=("every_field", "review")),
    "start-window-message": window(
        None,
        place=StartPlace("run-1", "T1", "C1"),
        app_names=("every_field", "review"),
        texts={"query": "Look at <!here>"},
        files={"": PHOTOS},
    ),
    "start-window-empty": window(AppDescription("Ticker", AppMode.WORKFLOW, ())),
}


def written(case: str) -> str:
    """Return the golden file's text as it should be."""
    return json.dumps(start_view(CASES[case]).to_dict(), ensure_ascii=False, indent=2) + "\n"


@pytest.mark.parametrize("case", CASES)
def test_windows_are_rendered_as_agreed(case: str) -> None:
    """A change of what people see is a change of a golden file."""
    assert written(case) == (GOLDEN / f"{case}.json").read_text(encoding="utf-8")
    assert view_of(CASES[case])


def test_a_hundred_apps_and_more_stand_in_groups() -> None:
    names = tuple(f"app{number:04}" for number in range(250))
    view = view_of(window(app_names=names, place=StartPlace("run-1", "T1", "C1", "app0249")))
    control = find_field(view["blocks"], "App")
    assert [len(group["options"]) for group in control.element["option_groups"]] == [100, 100, 50]
    assert sent(view).app == "app0249"


def test_more_options_than_a_window_holds_are_typed() -> None:
    app = AppDescription(
        "Any", AppMode.WORKFLOW, (start_input("town", "select", options=tuple(map(str, range(9_000)))),)
    )
    view = view_of(window(app))
    assert "Enter one of its 9,000 options" in shown("", view["blocks"])
    assert texts(sent(view, entered(view, {"Town": "4711"})), app) == {"town": "4711"}
    found = check_texts({"town": "9999"}, app)
    assert not isinstance(found, CheckedStart)
    assert "“9999” is no option of town" in found["town"]


def test_what_is_cut_of_a_long_option_goes_on_in_its_description() -> None:
    """Options that differ at their ends alone are told apart."""
    beginning = "A plan that goes on and on, like all the others, until it says at last that it is "
    options = tuple(f"{beginning}{each} & so on" for each in ("short", "long"))
    app = AppDescription("Any", AppMode.WORKFLOW, (start_input("plan", "select", options=(*options, "none")),))
    found = by_variable(view_of(window(app)))["plan"].options
    texts, rests = [each["text"]["text"] for each in found], [each.get("description") for each in found]
    assert rests[2] is None
    for option, text, rest in zip(options, texts, rests, strict=False):
        assert unescape(f"{text[3:-1]} {rest['text'][1:]}") == option


def test_a_list_without_options_that_may_be_left_out_says_so() -> None:
    """Its default is null, so that Dify does without it (recording 19)."""
    app = AppDescription("Any", AppMode.WORKFLOW, (start_input("town", "select", options=(), default=None),))
    view = view_of(window(app))
    assert "It has no options in Dify: leave it empty." in shown("", view["blocks"])
    assert check_texts(texts(sent(view), app), app) == CheckedStart({})


def test_a_default_too_long_for_the_window_is_kept_by_an_empty_field() -> None:
    for required in (True, False):
        app = AppDescription(
            "Any", AppMode.WORKFLOW, (start_input("text", "paragraph", default="x" * 70_000, required=required),)
        )
        view = view_of(window(app))
        assert "Empty keeps its default of 70,000 characters: xxx" in shown("", view["blocks"])
        start = check_texts(texts(sent(view), app), app)
        # Dify fills in by itself what may be left out.
        assert start == CheckedStart({"text": "x" * 70_000} if required else {})
        assert texts(sent(view, entered(view, {"Text": "y"})), app) == {"text": "y"}


@pytest.mark.parametrize(
    ("given", "prefilled"), [("+7", "7"), ("1e3", "1000"), ("-0.50", "-0.50"), ("1e999", "1"), ("nan", "1"), ("x", "1")]
)
def test_a_number_is_filled_in_as_slack_takes_it(given: str, prefilled: str) -> None:
    view = view_of(window(texts={"copies": given}))
    assert by_variable(view)["copies"].element["initial_value"] == prefilled


def test_a_text_that_is_too_long_already_is_shown_whole() -> None:
    """The person shortens it; the field of any other lets none in that is too long."""
    longer = by_variable(view_of(window(texts={"topic": "x" * 81})))["topic"].element
    assert (longer["initial_value"], longer.get("max_length")) == ("x" * 81, None)
    assert by_variable(view_of(window()))["topic"].element["max_length"] == 80


def test_the_schema_of_an_object_is_its_hint() -> None:
    schema = '{"type":"object","required":["k"]}'
    app = AppDescription("Any", AppMode.WORKFLOW, (start_input("config", "json_object", json_schema=schema),))
    assert f"A JSON object of this schema: {schema}" in shown("", view_of(window(app))["blocks"])


def test_the_largest_window_is_one_that_slack_takes() -> None:
    """What does not fit is told, or cut, or typed instead of chosen."""
    wide = "🍵" * 1_000
    kinds = itertools.cycle(["select", "paragraph", "json_object", "text-input"])
    fields = tuple(
        start_input(
            f"field_{number}",
            next(kinds),
            label=wide,
            default="日本" * 2_000,
            max_length=100_000,
            options=tuple(f"{option}{wide}" for option in range(200)),
            json_schema=wide,
        )
        for number in range(80)
    )
    app = AppDescription("Any", AppMode.WORKFLOW, fields)
    given = {field.variable: wide for field in fields}
    view = view_of(
        window(
            app, texts=given, problems=(wide,) * 30, app_names=tuple(f"app{n}" for n in range(60)), left_over=wide * 20
        )
    )
    assert len(by_variable(view)) == 80
    assert "There are " in shown("", view["blocks"])


def test_what_is_too_long_to_be_taken_over_is_told() -> None:
    view = view_of(window(texts={"notes": "x" * 50_000, "topic": "Tea"}))
    assert "What was given for notes is too long to be taken over: 50,000 characters." in shown("", view["blocks"])
    assert by_variable(view)["topic"].element["initial_value"] == "Tea"


def test_what_no_field_takes_is_shown_whole() -> None:
    words = f"Dear <!here>,\n{'we meet at noon. ' * 200}Ann"
    view = view_of(window(left_over=words))
    assert f"No field here takes this; copy it if you still need it:\n{words}" in shown("", view["blocks"])
    assert list(pinged_ids("", view["blocks"])) == []


def test_what_no_field_takes_stands_in_the_room_that_the_fields_leave() -> None:
    """And it is said how much of it does not."""
    letter, notes = "日本" * 3_300, "x" * 500
    view = view_of(window(texts={"notes": notes}, left_over=letter))
    assert by_variable(view)["notes"].element["initial_value"] == notes
    assert f"need it:\n{letter[:6_583]}\n" in shown("", view["blocks"])
    assert "The last 17 characters of what no field here takes have no room" in shown("", view["blocks"])
    full = shown("", view_of(window(texts={"notes": "x" * 40_000}, left_over=letter))["blocks"])
    assert "The last 6,600 characters of what no field here takes have no room" in full
    assert "copy it" not in full


def test_a_window_may_only_say_something() -> None:
    view = view_content(notice_view("<!here> is away.").to_dict(), lambda kind: kind)
    assert "<!here> is away." in shown("", view["blocks"])
    assert list(pinged_ids("", view["blocks"])) == []


def test_sentences_at_fields_are_shortened() -> None:
    assert len(errors_at({"b": "x" * 5_000})["b"]) == 500


# --- what is read ----------------------------------------------------------------------------------------------------


def test_an_untouched_window_gives_what_it_shows() -> None:
    view = view_of(window(texts={"topic": "Tea", "query": "Hello"}))
    assert texts(sent(view, entered(view, {"Language": find_field(view["blocks"], "Language").options[0]}))) == {
        "query": "Hello",
        "topic": "Tea",
        "notes": "one\ntwo",
        "language": "English",
        "size": "M",
        "copies": "1",
        "urgent": "true",
    }


def test_what_was_emptied_is_empty_and_not_its_default() -> None:
    view = view_of(window())
    draft = entered(view, {"notes": None, "copies": None, "urgent": []})
    found = texts(sent(view, draft))
    assert (found["notes"], found["copies"], found["urgent"]) == ("", "", "false")


def test_a_window_that_shows_other_fields_is_not_read() -> None:
    """Of another app, of one that was changed, or of none yet."""
    changed = AppDescription("Content review", AppMode.CHATFLOW, REVIEW.start_inputs[1:])
    event = sent(view_of(window()))
    assert event.entered("review", changed) is None
    assert event.entered("another", REVIEW) is None
    assert sent(view_of(window(None, place=StartPlace("run-1", "T1", "C1")))).entered("review", REVIEW) is None


def test_what_other_fields_take_over_is_what_stood_there() -> None:
    view = view_of(window(texts={"topic": "Tea", "language": "German", "query": "a < b & c"}))
    assert sent(view).carried(REVIEW) == {
        "query": "a < b & c",
        "topic": "Tea",
        "notes": "one\ntwo",
        "language": "German",
        "size": "M",
        "copies": "1",
        "urgent": "true",
    }


def test_a_long_option_is_taken_over_whole() -> None:
    """Where nobody knows the app any more, what is shown of it is all there is."""
    options = tuple(f"{'a rather long option ' * 5}{number}" for number in range(9))
    app = AppDescription("Any", AppMode.WORKFLOW, (start_input("plan", "select", options=options),))
    event = sent(view_of(window(app, texts={"plan": options[7]})))
    assert event.carried(app) == {"plan": options[7]}
    assert event.carried(None)["plan"].startswith("8. a rather long")
    assert event.carried(REVIEW) == event.carried(None)


def test_what_is_chosen_is_told_by_field_and_links_are_texts() -> None:
    view = view_of(window())
    fields = by_variable(view)
    draft = {
        fields["photos"].key: fields["photos"].with_value([{"id": "F1", "name": "../a.png", "size": 3}]),
        fields["photos links"].key: fields["photos links"].with_value("https://example.com/b.png"),
    }
    event = sent(view, draft)
    assert event.chosen() == {"photos": (SharedFile("F1", "a.png", "", 3),)}
    assert texts(event)["photos"] == event.carried(REVIEW)["photos"] == "https://example.com/b.png"


def test_a_window_is_read_where_slack_leaves_out_what_is_not_chosen() -> None:
    view = view_of(window())
    event = sent(view)
    block_id = by_variable(view)["photos"].block["block_id"]
    values = {name: states for name, states in event.view.state.values.items() if name != block_id}
    without = event.model_copy(
        update={"view": event.view.model_copy(update={"state": event.view.state.model_copy(update={"values": values})})}
    )
    assert texts(without) == texts(event)


def test_what_was_given_need_not_be_chosen_again() -> None:
    """Slack itself would ask for a file where one is required and nothing stands for it."""
    cv = start_input("cv", "file", required=True, accepts=UPLOADED)
    app = AppDescription("Any", AppMode.WORKFLOW, (cv,))
    empty, given = view_of(window(app)), view_of(window(app, files={"cv": PHOTOS[:1]}))
    assert not by_variable(empty)["cv"].block["optional"]
    assert by_variable(given)["cv"].block["optional"]
    assert by_variable(empty)["cv"].element["filetypes"][:2] == ["csv", "doc"]


def test_problems_are_told_at_the_blocks_of_their_fields() -> None:
    view = view_of(window())
    event = sent(view)
    assert event.first_input == by_variable(view)["query"].block["block_id"]
    assert event.blocks_of({"topic": "No.", "elsewhere": "No."}) == {
        by_variable(view)["topic"].block["block_id"]: "No."
    }


@pytest.mark.parametrize("metadata", ["", "run-1", "run-1/T1", "run-1/form-1/action"])
def test_the_metadata_of_other_windows_is_none_of_ours(metadata: str) -> None:
    with pytest.raises(UnknownHere):
        ids.decode_place(metadata)


def test_a_place_reads_back_as_itself() -> None:
    files = (CarriedFile("F1", "photos"), CarriedFile("F2"), CarriedFile("F3", MESSAGE_FILES))
    for place in (PLACE, StartPlace("run-1", "T1", "C1"), StartPlace("run-1", "T1", "C1", "review", files)):
        assert ids.decode_place(ids.encode_place(place)) == place
    # As a version before files wrote it.
    assert ids.decode_place("run-1/T1/C1/review") == PLACE


def test_the_metadata_of_a_window_with_many_files_is_one_that_slack_takes() -> None:
    carried = tuple(CarriedFile(f"F0{number:09}", "x" * 255) for number in range(MOST_CARRIED))
    place = StartPlace("f" * 32, "T1234567890", "C1234567890", "a" * 64, carried)
    assert len(ids.encode_place(place)) <= 3_000


# --- anything --------------------------------------------------------------------------------------------------------


KINDS = ("text-input", "paragraph", "select", "number", "checkbox", "json_object", "file", "file-list")
defaults = st.one_of(
    st.none(), odd_text, long_text, st.booleans(), st.integers(), st.floats(allow_nan=False), st.just({"k": "<!here>"})
)


METHODS = ((), ("local_file",), ("remote_url",), ("local_file", "remote_url"))
accepted = st.builds(
    Accepts,
    st.sampled_from([(), ("image",), ("image", "document"), ("custom",)]),
    st.just((".zip",)),
    st.sampled_from(METHODS),
    st.sampled_from([0, 2, 30]),
)


@st.composite
def start_inputs(draw: st.DrawFn) -> tuple[StartInput, ...]:
    """Draw what an app takes, of up to 80 fields."""
    count = draw(st.one_of(st.integers(0, 5), st.sampled_from([30, 79])))
    variables = draw(st.lists(names, min_size=min(count, 3), max_size=min(count, 3), unique=True))
    variables += [f"field_{number}" for number in range(count - len(variables))]
    found = []
    for variable in dict.fromkeys(variables):
        options = draw(st.lists(odd_text, max_size=4))
        kind = draw(st.sampled_from(KINDS))
        accepts = draw(accepted) if kind in ("file", "file-list") else None
        times = draw(st.sampled_from([1, 1, 60, 3_000]))
        found.append(
            start_input(
                variable,
                kind,
                label=draw(odd_text),
                required=draw(st.booleans()),
                default=draw(defaults),
                max_length=draw(st.sampled_from([None, 0, 5, 48, 3_000, 100_000])),
                options=tuple(f"{option}{index or ''}" for index in range(times) for option in options),
                accepts=replace(accepts, limit=1) if accepts is not None and kind == "file" else accepts,
            )
        )
    return tuple(found)


descriptions = st.builds(
    AppDescription, odd_text, st.sampled_from(AppMode), start_inputs(), st.none() | accepted
).filter(lambda app: obstacle("review", app) is None)


@patient
@given(descriptions, st.data())
def test_any_app_has_a_window_that_slack_takes(app: AppDescription, data: st.DataObject) -> None:
    """Every field that can be given here is in it once, and nothing in it pings anybody."""
    variables = [field.variable for field in app.start_inputs]
    given = data.draw(st.dictionaries(st.sampled_from(variables or ["x"]), st.one_of(odd_text, long_text), max_size=3))
    problems, left_over = tuple(data.draw(st.lists(odd_text, max_size=30))), data.draw(long_text)
    view = view_of(window(app, texts=given, problems=problems, left_over=left_over))
    wanted = {field.variable for field in app.start_inputs if not takes_files(field)}
    wanted |= {field.variable for field in file_inputs(app) if accepts_of(field).takes_uploads}
    wanted |= {f"{field.variable} links" for field in file_inputs(app) if accepts_of(field).takes_links}
    assert by_variable(view).keys() == wanted | ({"query"} if app.mode is AppMode.CHATFLOW else set())
    assert list(pinged_ids("", view["blocks"])) == []


@patient
@given(descriptions, st.data())
def test_what_is_entered_is_what_is_sent(app: AppDescription, data: st.DataObject) -> None:
    """And nothing else, but for the defaults that stand in the other fields."""
    view = view_of(window(app))
    draft: dict[tuple[str, str], Json] = {}
    expected: dict[str, Any] = {}
    fields = {field.variable: field for field in app.start_inputs}
    files = {field.variable: accepts_of(field) for field in file_inputs(app)}
    given: dict[str, tuple[GivenFile, ...]] = {}
    for variable, control in by_variable(view).items():
        if variable.removesuffix(" links") in files:
            continue
        field = fields.get(variable, start_input("query", "paragraph", required=True))
        value, expected[variable] = data.draw(answers(field, control))
        draft[control.key] = control.with_value(value)
    for variable, accepts in files.items():
        # One thing for each: a link where that can be given.
        name = f"x.{'zip' if 'custom' in accepts.types else 'png'}"
        by_link = accepts.takes_links
        control = by_variable(view)[f"{variable} links" if by_link else variable]
        chosen = [{"id": "F1", "name": name, "mimetype": "", "size": 3}]
        draft[control.key] = control.with_value(f"https://example.com/{name}" if by_link else chosen)
        given[variable] = (f"https://example.com/{name}" if by_link else SharedFile("F1", name, "", 3),)
    event = sent(view, draft)
    start = check_texts(texts(event, app), app, event.chosen())
    assert isinstance(start, CheckedStart), start
    assert start.files == given
    assert start.query == (expected["query"] if app.mode is AppMode.CHATFLOW else "")
    declared = {name: value for name, value in expected.items() if name in fields}
    assert start.run_inputs == {name: value for name, value in declared.items() if value is not None}


def answers(field: StartInput, control: Control) -> st.SearchStrategy[tuple[Any, Any]]:
    """Draw what somebody puts into a field, and what Dify is to get for it; None for nothing."""
    match field.type:
        case "checkbox":
            return st.booleans().map(lambda ticked: (control.options if ticked else [], ticked))
        case "number":
            number = st.integers(-(10**9), 10**9).map(lambda value: (str(value), value))
            return number | st.floats(-1e6, 1e6).map(lambda value: (f"{value:.3f}", float(f"{value:.3f}")))
        case "select" if control.options:
            return st.sampled_from(list(zip(control.options, field.options, strict=True)))
        case "select":
            return st.sampled_from([(option, option) for option in field.options if option] or [(None, None)])
        case "json_object":
            return st.dictionaries(st.text(), st.integers()).map(lambda value: (json.dumps(value), value))
    text = st.text(min_size=1, max_size=field.max_length or 60).filter(lambda text: text.strip() not in ("", "…"))
    filled = text.map(lambda text: (text, text))
    if must_be_given(field):
        return filled
    return filled | st.just((None, "" if default_text(field) else None))


if __name__ == "__main__":
    for case in CASES:
        (GOLDEN / f"{case}.json").write_text(written(case), encoding="utf-8")
