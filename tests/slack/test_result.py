"""What a run produced, in its thread."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.core.model import AppMode, FormStatus, RunStatus
from bot.slack.message import PART
from bot.slack.result import answer_message, cut_answer, result_messages
from tests.factories import NOW, make_form, make_run
from tests.slack.reading import disguised_links, faults, pings, texts, wire
from tests.slack.strategies import long_text

FILE = {
    "dify_model_identity": "__dify__file__",
    "filename": "a_<b>.pdf",
    "url": "https://dify.example/files/x?sign=demo",
}


def shown(outputs: dict[str, Any], status: RunStatus = RunStatus.SUCCEEDED, **changes: Any) -> str:
    """Return all that a reader finds."""
    run = make_run(status=status, outputs=outputs, workflow_run_id="w", **changes)
    return "\n---\n".join(texts(message) for message in result_messages(run))


@pytest.mark.parametrize(
    ("outputs", "text"),
    [
        ({"text": "# Hi\n\n**you**"}, "# Hi\n\n**you**"),
        ({"text": "<!channel>"}, "&lt;!channel&gt;"),
        ({"a": "one", "b": "two"}, "**a:** one\n\n**b:** two"),
        ({"a": "# Big\ntext", "b": 5}, "**a**\n\n# Big\n\ntext\n\n**b:** 5"),
        (
            {"a": "", "b": None, "c": [], "d": True, "e": 0},
            "**a:** –\n\n**b:** –\n\n**c:** –\n\n**d:** true\n\n**e:** 0",
        ),
        ({"j": {"k": ["<é>", 1]}}, '**j**\n\n```json\n{\n  "k": [\n    "&lt;é&gt;",\n    1\n  ]\n}\n```'),
        ({"f": FILE, "l": [FILE, FILE]}, "**f:** 📎 a_&lt;b&gt;.pdf\n\n**l:** 📎 a_&lt;b&gt;.pdf 📎 a_&lt;b&gt;.pdf"),
        ({"text": ""}, "**text:** –"),
    ],
)
def test_outputs_are_shown_by_name(outputs: dict[str, Any], text: str) -> None:
    """A single text needs no name; what is no text is code."""
    assert shown(outputs) == text


@pytest.mark.parametrize(
    ("outputs", "text"),
    [
        ({"answer": "# Hi\n\nyou", "files": []}, "# Hi\n\nyou"),
        ({"answer": "Here:", "files": [FILE]}, "Here:\n\n**files:** 📎 a_&lt;b&gt;.pdf"),
        ({"answer": "", "files": [FILE]}, "**files:** 📎 a_&lt;b&gt;.pdf"),
        ({"answer": "Hi", "files": [], "score": 5}, "Hi\n\n**score:** 5"),
        ({"answer": " ", "files": []}, "✅ *review* is done. It has no outputs."),
    ],
)
def test_a_chatflow_simply_answers(outputs: dict[str, Any], text: str) -> None:
    """Its answer needs no name, and files are named where there are some."""
    assert shown(outputs, mode=AppMode.CHATFLOW) == text


def test_a_workflow_may_call_its_outputs_as_a_chatflow_does() -> None:
    """They are then outputs like others."""
    assert shown({"answer": "Hi", "files": []}) == "**answer:** Hi\n\n**files:** –"


@pytest.mark.parametrize("size", [*range(PART - 700, PART, 50), 40_000])
@pytest.mark.parametrize("value", ["word ", "# A\n\n", "<", {"k": "v" * 90}])
def test_a_name_stays_with_the_beginning_of_its_value(size: int, value: Any) -> None:
    """However much of the message is taken already, and however long the name is."""
    name = "n" * 300
    run = make_run(
        status=RunStatus.SUCCEEDED,
        outputs={"before": "word " * (size // 5), name: value * 3_000 if isinstance(value, str) else [value] * 200},
    )
    messages = result_messages(run)
    assert not any(texts(message).endswith("…**") for message in messages)
    assert not any(map(faults, messages))


def test_the_signed_address_of_a_file_is_not_shown() -> None:
    """Whoever reads it could fetch the file."""
    assert "sign=" not in shown({"deep": {"list": [FILE], "n": 1}})
    assert "📎 a_&lt;b&gt;.pdf" in shown({"deep": {"list": [FILE], "n": 1}})


def test_a_long_text_is_split() -> None:
    """Into messages Slack takes, without losing a word."""
    run = make_run(status=RunStatus.SUCCEEDED, outputs={"text": "word " * 10_000})
    messages = result_messages(run)
    assert len(messages) == 6
    assert sum(texts(message).count("word") for message in messages) == 10_000
    assert not any(map(faults, messages))


@pytest.mark.parametrize(
    ("status", "changes", "sentence"),
    [
        (RunStatus.SUCCEEDED, {}, "✅ *review* is done. It has no outputs."),
        (RunStatus.PARTIAL_SUCCEEDED, {}, "⚠️ Some steps of *review* failed"),
        (RunStatus.FAILED, {"error": "no <quota>"}, "❌ *review* failed. What it did before is kept"),
        (RunStatus.FAILED, {"error": "no", "failed_step": "LLM"}, "❌ *review* failed at *LLM*."),
        (
            RunStatus.FAILED,
            {"workflow_run_id": None, "error": "x"},
            "❌ Dify did not start *review*. Nothing has been run.",
        ),
        (RunStatus.STOPPED, {"stop_requested_by": "U2"}, "⏹️ *review* was stopped by <@U2>."),
        (RunStatus.STOPPED, {"error": "Stopped by user."}, "⏹️ *review* was stopped in Dify."),
        (
            RunStatus.STOPPED,
            {"error": "Human input global timeout at node review"},
            "⌛ Dify ended *review*: a form waited longer for its answer than any form may",
        ),
        (RunStatus.LOST, {"workflow_run_id": None}, "or its work may be done twice."),
        (RunStatus.LOST, {"error": "Workflow run not found"}, "Dify no longer knows this run of *review*"),
        (RunStatus.LOST, {"error": "No news of it for 24 hours."}, "I lost sight of this run of *review*"),
        (
            RunStatus.SUCCEEDED,
            {"forms": (make_form(status=FormStatus.TIMED_OUT, node_title="Ask <all>"),)},
            "⌛ *review* is done. It has no outputs: *Ask &lt;all&gt;* was not answered in time.",
        ),
        (
            RunStatus.SUCCEEDED,
            {"ended_at": NOW, "forms": tuple(make_form(form_id=name, expires_at=NOW) for name in "ab")},
            "*Review*, *Review* were not answered in time.",
        ),
    ],
)
def test_an_end_without_outputs_is_explained(status: RunStatus, changes: dict[str, Any], sentence: str) -> None:
    """What happened, what was kept, and what to do; with Dify's own words, as they are."""
    run = make_run(**{"status": status, "workflow_run_id": "w", **changes})
    found = "\n".join(texts(message) for message in result_messages(run))
    assert sentence in found
    if status is not RunStatus.SUCCEEDED:
        assert (run.error or "") in found
    assert not any(map(faults, result_messages(run)))


def test_partly_failed_outputs_come_with_a_warning() -> None:
    """Before them."""
    assert shown({"a": "one"}, RunStatus.PARTIAL_SUCCEEDED).index("⚠️") < shown(
        {"a": "one"}, RunStatus.PARTIAL_SUCCEEDED
    ).index("one")


def test_a_growing_text_shows_its_end() -> None:
    """With a word that something is missing above."""
    message = answer_message("start\n" + "line\n" * 4_000 + "end")
    assert "The beginning is left out" in texts(message)
    assert texts(message).endswith("end\n✍️ …")
    assert not faults(message)
    assert texts(answer_message("start\n" + "line\n" * 4_000 + "end", writing=False)).endswith("end")


def test_a_text_nobody_writes_any_more_says_that_it_may_be_cut() -> None:
    """Once; one that is done stays as it is."""
    writing = answer_message("Once <upon>")
    shown = {"text": writing.text, "blocks": wire(writing)}
    cut = cut_answer(shown)
    assert cut is not None
    assert texts(cut).startswith("Once &lt;upon&gt;\n✂️ This text may not be complete")
    assert "✍️" not in texts(cut)
    assert not faults(cut)
    assert cut_answer({"text": cut.text, "blocks": wire(cut)}) is None
    begun = cut_answer({"text": "✍️ …", "blocks": wire(answer_message(""))})
    assert begun is not None
    assert "✍️" not in texts(begun) + begun.text
    done = answer_message("Once", writing=False)
    assert cut_answer({"text": done.text, "blocks": wire(done)}) is None
    assert cut_answer({}) is None


def test_a_text_that_has_not_begun_is_announced() -> None:
    """A message has to say something."""
    assert texts(answer_message(" ")) == "✍️ …"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | long_text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(long_text, inner, max_size=3),
    max_leaves=6,
)


@given(
    st.dictionaries(long_text, json_values, max_size=4),
    st.sampled_from([status for status in RunStatus if status.ended]),
)
@settings(max_examples=60, deadline=None)
def test_any_result_is_taken_by_slack_and_harmless(outputs: dict[str, Any], status: RunStatus) -> None:
    """Whatever a workflow puts out."""
    for message in result_messages(make_run(status=status, outputs=outputs, workflow_run_id="w", error="<!here>")):
        assert not faults(message)
        assert not pings(message)
        assert not disguised_links(message)


@given(long_text, st.integers(1, 5))
@settings(max_examples=60, deadline=None)
def test_any_streamed_text_is_taken_by_slack_and_harmless(text: str, times: int) -> None:
    """At every moment."""
    message = answer_message(text * times)
    assert not faults(message)
    assert not pings(message)
    assert not disguised_links(message)
