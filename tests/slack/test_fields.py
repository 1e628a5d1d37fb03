"""How fields share the room of a message."""

from bot.core.model import FileField, Paragraph, Select
from bot.slack.forms.fields import Menu, TextField, shown_fields
from tests.factories import make_form, make_submission


def test_prefills_share_the_message() -> None:
    """5,000 characters in all, 3,000 each; what does not fit is kept by an empty field."""
    inputs = tuple(Paragraph(name, "x" * 2_500) for name in "abc")
    shown = shown_fields(make_form(inputs=inputs))
    assert shown == {
        "a": TextField(prefill="x" * 2_500),
        "b": TextField(prefill="x" * 2_500),
        "c": TextField(kept="x" * 2_500),
    }
    assert shown_fields(make_form(inputs=(Paragraph("a", "x" * 3_001),))) == {"a": TextField(kept="x" * 3_001)}


def test_options_are_shortened_to_what_is_left() -> None:
    """And typed in where not even their numbers would fit."""
    options = tuple(f"A rather long option {number:03}" for number in range(250))
    first, second = (Select(name, options) for name in "ab")
    shown = shown_fields(make_form(inputs=(first, second)))
    menu = shown["a"]
    assert isinstance(menu, Menu)
    assert menu.numbered
    assert menu.texts[199] == "200. A rather long…"
    assert shown["b"] == TextField(of_options=True)


def test_blank_options_can_be_seen() -> None:
    """Slack refuses an empty text."""
    assert shown_fields(make_form(inputs=(Select("a", ("", " ", "x")),))) == {
        "a": Menu(("(empty)", "(empty)", "x"), False)
    }


def test_what_was_sent_last_stands_in_the_fields_again() -> None:
    """After a refusal nothing typed is lost, also a typed option."""
    answer = make_submission(values={"a": "typed", "b": "chosen", "c": []})
    form = make_form(inputs=(Paragraph("a", "default"), Select("b", ()), FileField("c", many=True)), submission=answer)
    assert shown_fields(form) == {"a": TextField(prefill="typed"), "b": TextField(prefill="chosen")}
