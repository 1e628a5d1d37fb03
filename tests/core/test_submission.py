"""What a person entered becomes what Dify wants, or a sentence that says what to mend (dify-api §10.4)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.core.model import AttachmentStatus, FileField, Form, FormInput, Paragraph, Select
from bot.core.submission import complete, not_there, prefilled, problems, too_long, unplaced
from tests.factories import make_attachment, make_form, make_submission

LINKED = FileField("source", allowed_methods=("remote_url",))
TONE = Select("tone", ("friendly", "formal"))
TYPED_TONE = Select("tone", ())


def form_with(*inputs: FormInput) -> Form:
    return make_form(inputs=inputs)


class TestComplete:
    """Dify wants every declared input with every action (recording 04)."""

    @pytest.mark.parametrize("entered", [{}, {"feedback": None}, {"feedback": ""}])
    def test_an_empty_paragraph_is_an_empty_text(self, entered: dict[str, str | None]) -> None:
        assert complete(form_with(Paragraph("feedback")), entered) == {"feedback": ""}

    def test_an_emptied_paragraph_does_not_fall_back_to_its_default(self) -> None:
        assert complete(form_with(Paragraph("draft", default="First line")), {"draft": None}) == {"draft": ""}

    @pytest.mark.parametrize("select", [TONE, TYPED_TONE])
    def test_a_select_holds_what_was_chosen(self, select: Select) -> None:
        assert complete(form_with(select), {"tone": "formal"}) == {"tone": "formal"}

    @pytest.mark.parametrize("entered", [{}, {"tone": None}, {"tone": ""}])
    def test_a_select_left_empty_has_no_value(self, entered: dict[str, str | None]) -> None:
        assert complete(form_with(TONE), entered) == {}

    @pytest.mark.parametrize("option", ["", "\0", "a\0b"])
    def test_an_option_is_sent_to_the_letter(self, option: str) -> None:
        """Dify takes nothing else for it; that none is chosen is something else (dify-api §10.4)."""
        form = form_with(Select("tone", ("friendly", option)))
        assert complete(form, {"tone": option}) == {"tone": option}
        assert problems(form, {"tone": option}) == {}
        assert list(problems(form, complete(form, {"tone": None}))) == ["tone"]

    def test_files_that_nobody_can_give_yet(self) -> None:
        assert complete(form_with(FileField("proof"), FileField("more", many=True)), {}) == {"more": []}

    def test_what_the_form_does_not_declare_is_dropped(self) -> None:
        assert complete(form_with(Paragraph("feedback")), {"feedback": "fine", "other": "x"}) == {"feedback": "fine"}

    def test_nul_characters_are_dropped(self) -> None:
        """Dify would deliver them into the outputs (recording 32)."""
        assert complete(form_with(Paragraph("feedback")), {"feedback": "a\0b"}) == {"feedback": "ab"}

    @given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
    def test_any_other_text_stays_as_it_was_typed(self, text: str) -> None:
        assert complete(form_with(Paragraph("feedback")), {"feedback": text}) == {"feedback": text}


class TestProblems:
    """Nothing is sent that Dify would refuse."""

    def test_a_complete_form_has_none(self) -> None:
        form = form_with(Paragraph("feedback"), TONE, FileField("more", many=True))
        assert problems(form, complete(form, {"tone": "formal"})) == {}

    def test_every_field_to_mend_is_named(self) -> None:
        form = form_with(Paragraph("feedback"), TONE, Select("length", ()), FileField("proof"), LINKED)
        assert problems(form, complete(form, {})) == {
            "tone": "is empty: choose one of its options.",
            "length": "is empty: enter a value.",
            "proof": "needs a file: reply to this thread with it, or choose it in the form's window.",
            "source": "needs a link: reply to this thread with nothing but that, or give it in the form's window.",
        }

    def test_in_the_window_nobody_is_sent_to_the_window(self) -> None:
        form = form_with(FileField("proof"), LINKED)
        assert problems(form, complete(form, {}), in_window=True) == {
            "proof": "needs a file: choose it here, or share it in the thread.",
            "source": "needs a link: give it here.",
        }

    def test_a_value_that_is_no_option_is_refused(self) -> None:
        form = form_with(TONE)
        assert problems(form, complete(form, {"tone": "strict"})) == {
            "tone": "has a value that is none of its options: choose again."
        }

    def test_where_dify_could_not_resolve_the_options_any_text_will_do(self) -> None:
        form = form_with(TYPED_TONE)
        assert problems(form, complete(form, {"tone": "strict"})) == {}

    @pytest.mark.parametrize("entered", ["strict", None])
    def test_where_the_builder_gave_no_options_no_text_will_do(self, entered: str | None) -> None:
        form = form_with(Select("tone", (), fixed=True))
        assert problems(form, complete(form, {"tone": entered})) == {
            "tone": "has no options, so that nobody can answer it: its builder has to add some in Dify."
        }

    @given(st.dictionaries(st.sampled_from(["feedback", "tone", "length", "other"]), st.none() | st.text()))
    def test_what_has_no_problem_is_complete(self, entered: dict[str, str | None]) -> None:
        """Every declared input has a value, or somebody is told which one has not."""
        form = form_with(Paragraph("feedback"), TONE, Select("length", ()), FileField("more", many=True))
        values = complete(form, entered)
        assert {field.name for field in form.inputs} <= values.keys() | problems(form, values).keys()


class TestTooLong:
    """A form's window holds so much and no more, counted as JSON: Slack takes 250 KB of it in all."""

    def test_what_fits_to_the_last_character_is_not(self) -> None:
        form = form_with(Paragraph("a"), Paragraph("b"))
        assert too_long(form, {"a": "x" * 60_000, "b": "x" * 40_000}) == {}

    def test_the_texts_share_the_room_in_their_order(self) -> None:
        form = form_with(Paragraph("a"), Paragraph("b"), Paragraph("c"))
        assert too_long(form, {"a": "x" * 60_000, "b": "x" * 40_001, "c": "x"}) == {
            "b": "is 40,001 characters long, and there is room for 40,000."
        }

    def test_what_is_not_ascii_counts_for_more(self) -> None:
        assert too_long(form_with(Paragraph("a")), {"a": "茶" * 20_000}) == {
            "a": "is 20,000 characters long, and there is room for 16,666."
        }

    def test_what_the_form_itself_says_takes_its_room_unless_it_was_changed(self) -> None:
        form = form_with(Paragraph("a", "x" * 60_000), Paragraph("b"))
        assert list(too_long(form, {"b": "x" * 40_001})) == ["b"]
        assert too_long(form, {"a": None, "b": "x" * 100_000}) == {}

    def test_a_default_that_does_not_fit_by_itself_takes_none(self) -> None:
        """The window leaves it where it is: an empty field keeps it."""
        form = form_with(Paragraph("a", "x" * 100_001), Paragraph("b"))
        assert prefilled(form) == {"b": ""}
        assert too_long(form, {"b": "x" * 100_000}) == {}

    def test_what_dify_refused_is_what_the_form_says(self) -> None:
        form = make_form(inputs=(Paragraph("a", "default"),), submission=make_submission(values={"a": "sent"}))
        assert prefilled(form) == {"a": "sent"}


def test_a_file_that_may_be_for_several_fields_is_not_left_behind_silently() -> None:
    form = make_form(inputs=(FileField("proof", many=True), FileField("more", many=True)))
    placing = make_attachment(status=AttachmentStatus.PLACING, field=None, choices=("proof", "more"))
    assert list(unplaced(form, (placing,))) == ["proof"]
    assert "shot.png" in not_there(form, (placing,))["proof"]
    assert unplaced(form, (make_attachment(),)) == {}
