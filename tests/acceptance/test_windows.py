"""Forms answered in their windows, by people who are interrupted and who are not alone."""

from __future__ import annotations

import asyncio

import pytest

from bot.playground.dify import App
from bot.playground.dify.graph import End, HumanInput, action, constant, paragraph, select
from bot.playground.scenarios import DONE, OPEN_WINDOW, Scene
from bot.playground.slack import Message
from bot.playground.slack.faults import Hold
from bot.playground.slack.state import View
from bot.playground.slack.text import shown
from bot.playground.stage import Stage
from tests.acceptance.conftest import apps

pytestmark = [pytest.mark.acceptance, pytest.mark.asyncio(loop_scope="module")]

LETTER = "".join(f"{number:04}: one more line of a letter.\n" for number in range(300))
"""Some 10,000 characters."""


@pytest.fixture(scope="module")
def sample_apps() -> dict[str, App]:
    """The sample apps, one with a long default and long options, and one with more fields than a message holds."""
    options = [f"{'a very long option ' * 6}{number}" for number in range(120)]
    letter = HumanInput(
        "ask",
        "Letter",
        content="The letter\n\n{{#$output.letter#}}\n\nThe reader\n\n{{#$output.reader#}}",
        inputs=(paragraph("letter", constant(LETTER)), select("reader", options)),
        actions=(action("send", "Send it", "primary"),),
    )
    many = HumanInput(
        "ask",
        "Survey",
        content="A survey.",
        inputs=tuple(paragraph(f"question_{number}") for number in range(60)),
        actions=(action("ok", "OK"), action("no", "No")),
    )
    own = {
        "letter": App(
            name="letter",
            nodes=(letter, End("end", "End", {"letter": ("ask", "letter"), "reader": ("ask", "reader")})),
            edges=("start -> ask", "ask.send -> end"),
        ),
        "survey": App(
            name="survey",
            nodes=(many, End("end", "End", {"last": ("ask", "question_59")})),
            edges=("start -> ask", "ask.ok -> end", "ask.no -> end"),
        ),
    }
    return apps() | own


async def asked(scene: Scene, line: str) -> tuple[Message, Message]:
    """Start a run; return its root and its form."""
    root = await scene.start("ann", line)
    return root, await scene.form(root, OPEN_WINDOW)


async def opened(scene: Scene, name: str, form: Message) -> View:
    """Open a form's window."""
    await scene.click(name, form, OPEN_WINDOW)
    return scene.window(name)


def words(view: View) -> str:
    """What a window says."""
    return shown("", view.blocks)


def given(scene: Scene) -> dict[str, str]:
    """The values of the answer that Dify got."""
    (submit,) = scene.submits
    values: dict[str, str] = submit.body["inputs"]
    return values


async def test_a_long_default_is_edited_and_one_of_many_long_options_chosen(stage: Stage, scene: Scene) -> None:
    """Dify gets exactly what stood in the window: the text to its last character, the option whole."""
    root, form = await asked(scene, "/dify letter")
    view = await opened(scene, "ben", form)
    edited = LETTER.replace("0150: one", "0150: <!channel> & *one*")
    await scene.type_into_window("ben", "letter", edited)
    await scene.select("ben", view, "reader", "117. ")
    await scene.submit("ben")
    await scene.reads(form, "✅ Send it", "@ben")
    await scene.reads(root, DONE)
    assert given(scene) == {"letter": edited, "reader": f"{'a very long option ' * 6}116"}


async def test_a_form_of_sixty_fields_is_answered_in_its_window(stage: Stage, scene: Scene) -> None:
    """A message does not hold them."""
    root, form = await asked(scene, "/dify survey")
    assert not form.fields
    view = await opened(scene, "ben", form)
    await scene.type_into_window("ben", "question_59", "The last word")
    await scene.select("ben", view, "Decision", "No")
    await scene.submit("ben")
    await scene.reads(form, "✅ No", "@ben")
    await scene.reads(root, DONE)
    assert given(scene) == {f"question_{number}": "" for number in range(59)} | {"question_59": "The last word"}


async def test_who_wins_in_the_message_ends_the_window_of_another(stage: Stage, scene: Scene) -> None:
    """It says who decided what, and gives back what was typed in it."""
    root, form = await asked(scene, '/dify pick title="Spring menu"')
    await opened(scene, "cleo", form)
    await scene.type_into_window("cleo", "remarks", "More garlic")
    await scene.select("ben", form, "priority", "low")
    await scene.click("ben", form, "Dismiss")
    late = scene.window("cleo")
    await scene.until(lambda: "✅" in words(late), "the window says what became of the form")
    assert f"<@{stage.workspace.person('ben').id}>" in words(late)
    assert "More garlic" in words(late)
    await scene.close_window("cleo")
    await scene.reads(root, DONE)
    assert not scene.notes("cleo")
    scene.check_answers(1)


async def test_who_wins_in_the_window_is_told_to_whom_clicks_in_the_message(stage: Stage, scene: Scene) -> None:
    root, form = await asked(scene, '/dify pick title="Spring menu"')
    view = await opened(scene, "cleo", form)
    await scene.select("cleo", view, "priority", "high")
    await scene.select("cleo", view, "Decision", "Accept")
    await scene.select("ben", form, "priority", "low")
    submit, redrawing = stage.dify.hold_next("submit_form"), asyncio.Event()
    stage.workspace.faults.add("chat.update", Hold(redrawing), times=2)
    await scene.submit("cleo")
    await scene.click("ben", form, "Dismiss", hesitates=False)
    submit.set()
    redrawing.set()
    await scene.told("ben", "@cleo", "Accept")
    await scene.reads(form, "✅ Accept", "@cleo")
    await scene.reads(root, DONE)
    scene.check_answers(1)


async def test_what_waits_in_a_window_is_not_passed_over_by_a_button_of_the_message(scene: Scene) -> None:
    """Whoever closed the window sees other values in the message; which of the two they mean only they can say."""
    root, form = await asked(scene, "/dify review topic=Tea language=English")
    await opened(scene, "ben", form)
    await scene.type_into_window("ben", "edits", "Less tea.")
    await scene.close_window("ben")
    await scene.click("ben", form, "Apply edit")
    await scene.told("ben", "Not sent yet", "Review draft", "Nothing was decided", "Begin anew")
    assert not scene.submits

    await scene.fill("ben", form, "edits", "More tea.")
    await scene.click("ben", form, "Apply edit")
    await scene.reads(form, "✅ Apply edit", "@ben")
    assert given(scene)["edits"] == "More tea."
    await scene.reads(root, DONE)
    scene.check_answers(1)


async def test_who_begins_anew_sends_what_the_message_shows(stage: Stage, scene: Scene) -> None:
    root, form = await asked(scene, "/dify two_forms topic=tea")
    await opened(scene, "ben", form)
    await scene.type_into_window("ben", "note", "Almost there")
    await scene.close_window("ben")
    view = await opened(scene, "ben", form)
    await stage.workspace.person("ben").click(view, "Begin anew")
    await scene.until(lambda: "Almost there" not in str(view.blocks), "the window holds what the form says")
    await scene.close_window("ben")
    await scene.click("ben", form, "No")
    await scene.reads(form, "✅ No", "@ben")
    assert given(scene) == {"note": ""}
    await scene.reads(root, DONE)
    scene.check_answers(1)


async def test_a_form_that_expires_while_its_window_is_open(stage: Stage, scene: Scene) -> None:
    root, form = await asked(scene, "/dify review topic=Tea language=English")
    await opened(scene, "ben", form)
    await scene.type_into_window("ben", "feedback", "Almost there")
    await stage.dify.expire(scene.asked)
    late = scene.window("ben")
    await scene.until(lambda: "⌛ Expired" in words(late), "the window says that the form has expired")
    assert "Almost there" in words(late)
    await scene.close_window("ben")
    await scene.reads(root, DONE)
    scene.check_answers(0)


async def test_an_answer_that_comes_after_the_deadline_is_given_back(stage: Stage, scene: Scene) -> None:
    """Dify refuses it before its own sweep: the person learns it privately, since the window is gone."""
    root, form = await asked(scene, "/dify two_forms topic=tea")
    view = await opened(scene, "ben", form)
    await scene.type_into_window("ben", "note", "Almost there")
    await scene.select("ben", view, "Decision", "OK")
    await stage.dify.expire(scene.asked, sweep=False)
    await scene.submit("ben")
    await scene.told("ben", "expired", "Almost there")
    await scene.reads(form, "⌛ Expired")
    stage.dify.sweep()
    await scene.reads(root, DONE)
    scene.check_answers(0)


async def test_a_field_that_is_wrong_is_named_and_then_right(stage: Stage, scene: Scene) -> None:
    """Nothing is decided until it is."""
    root, form = await asked(scene, "/dify two_forms topic=tea")
    view = await opened(scene, "ben", form)
    await scene.select("ben", view, "Decision", "OK")
    await scene.fill("ben", view, "note", "x" * 100_001)
    result = await scene.submit("ben")
    assert "100,001 characters long, and there is room for 100,000" in str(result.field_errors)
    assert not scene.submits
    await scene.fill("ben", view, "note", "x" * 99_999)
    assert not (await scene.submit("ben")).field_errors
    await scene.reads(form, "✅ OK", "@ben")
    assert given(scene) == {"note": "x" * 99_999}
    second = await scene.form(root, "OK", "Second review")
    await scene.click("ann", second, "OK")
    await scene.reads(root, DONE)
