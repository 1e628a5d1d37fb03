"""What our blocks carry comes back as it was."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.errors import UnknownHere
from bot.slack import ids
from bot.slack.ids import ChosenAction

channel_ids = st.from_regex(r"[A-Z0-9]{1,20}", fullmatch=True)
own_ids = st.from_regex(r"[A-Za-z0-9_-]{1,40}", fullmatch=True)


@given(own_ids, own_ids, st.text(min_size=1, max_size=40))
def test_a_button_tells_run_form_and_action(run_id: str, form_id: str, action_id: str) -> None:
    """Round trip, within Slack's 2,000 characters of a button's value."""
    chosen = ChosenAction(run_id, form_id, action_id)
    value = ids.encode_action(chosen)
    assert ids.decode_action(value) == chosen
    assert len(value) <= 2_000


@pytest.mark.parametrize("value", ["", "run-1", "run-1/form-1", "run-1/form-1/", "/form-1/ok", "a b/c/d", "run.stop"])
def test_a_foreign_value_is_refused(value: str) -> None:
    """Another app's button, or an old one of ours, never passes for a decision."""
    with pytest.raises(UnknownHere, match="not the value of a form's button"):
        ids.decode_action(value)


@given(st.integers(0, 10**6), st.integers(0, 10**4), st.text(max_size=400))
def test_a_field_is_found_by_its_block(revision: int, index: int, name: str) -> None:
    """Round trip, within Slack's 255 characters of a block_id."""
    block_id = ids.field_block_id(revision, index, name)
    assert ids.decode_field(block_id) == index
    assert len(block_id) <= 255


def test_a_new_revision_is_a_new_field() -> None:
    """Slack keeps drafts by block_id."""
    assert ids.field_block_id(0, 1, "note") != ids.field_block_id(1, 1, "note")


@pytest.mark.parametrize("block_id", ["", "form.field.x.1.note", "form.field.1", "b000001"])
def test_a_foreign_block_holds_no_field(block_id: str) -> None:
    """Blocks without an id of ours get one from Slack."""
    assert ids.decode_field(block_id) is None


def test_one_pattern_finds_every_button_of_a_form() -> None:
    """Their action_ids differ, as Slack demands within a block."""
    assert all(ids.CHOOSE_ACTION.fullmatch(ids.choose_action_id(index)) for index in (0, 9, 24, 100))
    assert not ids.CHOOSE_ACTION.fullmatch(ids.STOP_RUN)
    assert not ids.CHOOSE_ACTION.fullmatch(ids.FIELD)


@given(own_ids, own_ids, st.integers(0, 10**6), st.sampled_from(["", "0123456789abcdef"]))
def test_a_window_tells_of_which_form_it_is(run_id: str, form_id: str, generation: int, typed_before: str) -> None:
    """Round trip, within Slack's 3,000 characters of a private_metadata."""
    window = ids.WindowOf(run_id, form_id, generation, typed_before)
    value = ids.encode_window(window)
    assert ids.decode_window(value) == window
    assert len(value) <= 2_000


@pytest.mark.parametrize("value", ["", "run-1/form-1", "run-1/form-1/x/", "/form-1/0/", "run-1/form-1/0/xyz", "{}"])
def test_a_foreign_window_is_refused(value: str) -> None:
    """Another app's window, or an old one of ours, is never taken for a form's."""
    with pytest.raises(UnknownHere, match="not a form's window"):
        ids.decode_window(value)


@given(channel_ids, st.from_regex(r"[0-9]{1,12}\.[0-9]{6}", fullmatch=True))
def test_the_button_of_an_answer_names_the_message(channel_id: str, ts: str) -> None:
    assert ids.decode_message(ids.encode_message(channel_id, ts)) == (channel_id, ts)


@pytest.mark.parametrize("value", ["", "C1", "C1/", "/1.0", "C1/1", "C1/1.0/2.0", "C1/one", "C 1/1.0"])
def test_a_foreign_value_names_no_message(value: str) -> None:
    with pytest.raises(UnknownHere, match="not a message of somebody's"):
        ids.decode_message(value)
