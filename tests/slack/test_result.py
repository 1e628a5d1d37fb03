"""What a run produced, in its thread."""

from __future__ import annotations

import html
import json
import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.core import effects as do
from bot.core.model import AppMode, FormStatus, RunStatus, SegmentText
from bot.slack.messages.blocks import Post, render
from bot.slack.messages.message import MESSAGES, PART, Message, shortened
from bot.slack.messages.result import answer_file, answer_messages, cut_answer, result_file, result_messages
from tests.factories import NOW, make_form, make_run
from tests.slack import strategies
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
        ({"a": "first<br>second", "b": 5}, "**a**\n\nfirst\nsecond\n\n**b:** 5"),
        ({"a": "<br>first<br/>", "b": "<br>"}, "**a:** first\n\n**b:** –"),
        ({"a": "_x_ &copy; &amp; 2 \\* 3 <i>", "b": " "}, "**a:** _x_ © &amp; 2 \\* 3 &lt;i&gt;\n\n**b:** –"),
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


FIRST = "Let me check that with a person.\n\n"  # recording 16


def above(*texts: str, shown: bool = True) -> dict[str, Any]:
    """Return what a run is that wrote these texts, one in each segment but the last."""
    kept = (replace(SegmentText.of(segment, text), shown=shown) for segment, text in enumerate(texts))
    return {"texts": tuple(kept), "segment": len(texts)}


@pytest.mark.parametrize(
    ("texts", "answer", "left"),
    [
        ((FIRST,), f"{FIRST}Reviewed reply: All fine!", "Reviewed reply: All fine!"),
        ((FIRST, "\n", "And "), f"{FIRST}\nAnd then.", "then."),
        ((FIRST,), FIRST, "✅ *review* is done; its answer stands above."),
        ((FIRST,), f"{FIRST} \n\n", "✅ *review* is done; its answer stands above."),
        ((FIRST,), f"{FIRST}  \n\n    code", "```\ncode\n```"),
        (("```py\na = 1\n",), "```py\na = 1\nb = 2\n```\nSo.", "```py\nb = 2\n```\n\nSo."),
        (("Something else",), f"{FIRST}So.", f"{FIRST}So."),
        ((FIRST, "Something else"), f"{FIRST}So.", f"{FIRST}So."),
    ],
)
def test_what_stands_above_is_not_in_the_answer_once_more(texts: tuple[str, ...], answer: str, left: str) -> None:
    """The rest reads well alone; what differs from what was written before is shown whole."""
    assert shown({"answer": answer, "files": []}, mode=AppMode.CHATFLOW, **above(*texts)) == left


def test_what_does_not_stand_above_whole_is_in_the_answer() -> None:
    unsure = above(FIRST, shown=False)
    assert shown({"answer": f"{FIRST}So."}, mode=AppMode.CHATFLOW, **unsure) == f"{FIRST}So."
    files = shown({"answer": FIRST, "files": [FILE]}, mode=AppMode.CHATFLOW, **above(FIRST))
    assert files == "**files:** 📎 a_&lt;b&gt;.pdf"


@pytest.mark.parametrize(
    ("texts", "outputs", "text"),
    [
        (("# Draft",), {"draft": "# Draft"}, "✅ *review* is done; *draft* stands above."),
        (("# Draft\n",), {"draft": "# Draft", "n": 5}, "**draft:** ⬆️ stands above\n\n**n:** 5"),
        (("a\nb\n5\n",), {"x": "a", "y": "b", "n": 5, "z": "c"}, "⬆️⬆️⬆️**z:** c"),
        (("a", "b"), {"x": "a", "y": "b", "z": "c"}, "⬆️⬆️**z:** c"),
        (("# Draft",), {"draft": "# Draft 2"}, "# Draft 2"),
        (("",), {"empty": "", "n": 5}, "**empty:** –\n\n**n:** 5"),
    ],
)
def test_outputs_that_stand_above_are_named_alone(texts: tuple[str, ...], outputs: dict[str, Any], text: str) -> None:
    """A Workflow's stream is a second copy of its outputs, joined by newlines (recordings 01, 07)."""
    found = shown(outputs, **above(*texts))
    assert re.sub(r"\*\*\w:\*\* (⬆️) stands above\s*", r"\1", found) == text


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


@pytest.mark.parametrize(("count", "messages"), [(100, 1), (600, 6)])
def test_json_is_copied_whole_from_as_few_blocks_as_messages_ask_for(count: int, messages: int) -> None:
    """One in a message, measured with what escaping adds to it; a cut goes through no line."""
    value = [{"number": number, "text": f'<b>{number}</b> & "more" ```'} for number in range(count)]
    run = make_run(status=RunStatus.SUCCEEDED, outputs={"j": value}, workflow_run_id="w")
    shown = [message.markdown for message in result_messages(run)]
    blocks = [block for text in shown for block in re.findall(r"````json\n(.*?)\n````", text, re.DOTALL)]
    assert len(shown) == len(blocks) == messages
    assert html.unescape("\n".join(blocks)) == json.dumps(value, indent=2)


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


def only(messages: tuple[Message, ...]) -> Message:
    """Return the one message of a short text."""
    (message,) = messages
    return message


def words_of(messages: tuple[Message, ...]) -> list[str]:
    """Return the words of a text of numbers in the order in which a reader finds them."""
    return [word for message in messages for word in texts(message).split() if word.isdigit()]


NUMBERS = " ".join(map(str, range(30_000)))
"""168,889 characters: more than messages hold."""


def test_a_growing_text_goes_on_in_the_next_message() -> None:
    """It is read from its beginning; what a full message shows stays, so that little is to be redrawn."""
    before: tuple[Message, ...] = ()
    for size in range(1_000, 100_000, 3_300):
        messages = answer_messages(NUMBERS[:size])
        assert not any(map(faults, messages))
        assert [wire(message) for message in messages[: len(before) - 1]] == [wire(each) for each in before[:-1]]
        assert texts(messages[-1]).endswith("✍️ …")
        assert all(texts(message).endswith("⬇️ The text goes on below.") for message in messages[:-1])
        before = messages
    assert words_of(answer_messages(NUMBERS[:100_000], writing=False)) == NUMBERS[:100_000].split()
    assert len(before) == 11


def test_a_text_that_is_the_result_needs_no_redrawing() -> None:
    """What was streamed stands there as the result would."""
    run = make_run(status=RunStatus.SUCCEEDED, outputs={"text": NUMBERS[:50_000]}, workflow_run_id="w")
    written = [wire(message) for message in answer_messages(NUMBERS[:50_000])]
    result = [wire(message) for message in result_messages(run)]
    assert written[:-1] == result[:-1]
    assert written[-1][:-1] == result[-1]


def test_a_text_longer_than_messages_hold_says_while_it_grows_that_a_file_follows() -> None:
    """The messages stay where they are."""
    messages = answer_messages(NUMBERS)
    assert len(messages) == MESSAGES
    assert "✍️ … The text is longer than what messages show" in texts(messages[-1])
    *before, _ = answer_messages(NUMBERS[:100_000])
    assert list(map(wire, messages[: len(before)])) == list(map(wire, before))


def test_a_long_result_is_messages_and_a_file_of_the_whole() -> None:
    """Every character is in the file, as Dify gave it; and all of it in messages, should Slack take no file."""
    run = make_run(status=RunStatus.SUCCEEDED, outputs={"text": NUMBERS}, workflow_run_id="w")
    post = render(do.PostResult(), run, NOW)
    assert isinstance(post, Post)
    assert post.file is not None
    assert (post.file.name("id"), post.file.title, post.file.text) == ("review-id.md", "Result of review", NUMBERS)
    assert len(post.messages) == MESSAGES
    assert texts(post.messages[-1]).endswith("📄 The text goes on in the file below, which holds the whole of it.")
    assert "goes on below" not in texts(post.messages[-1])
    assert words_of(post.instead) == NUMBERS.split()
    assert not any(map(faults, (*post.messages, *post.instead)))


def test_what_messages_hold_is_no_file() -> None:
    """Files are for what is longer."""
    run = make_run(status=RunStatus.SUCCEEDED, outputs={"text": NUMBERS[:100_000]}, workflow_run_id="w")
    post = render(do.PostResult(), run, NOW)
    assert isinstance(post, Post)
    assert (len(post.messages), post.file) == (12, None)


@pytest.mark.parametrize(
    ("outputs", "name", "text"),
    [
        ({"j": {"a": ["<é>", FILE]}}, "review-id.json", '{\n  "a": [\n    "<é>",\n    "📎 a_<b>.pdf"\n  ]\n}'),
        ({"a": "# One", "b": [1]}, "review-id.md", "## a\n\n# One\n\n## b\n\n```json\n[\n  1\n]\n```"),
        ({"a": "# One"}, "review-id.md", "# One"),
    ],
)
def test_the_file_holds_what_dify_gave(outputs: dict[str, Any], name: str, text: str) -> None:
    """JSON as JSON and everything else as Markdown; no address that only its reader may know."""
    file = result_file(make_run(status=RunStatus.SUCCEEDED, outputs=outputs, workflow_run_id="w"))
    assert (file.name("id"), file.text) == (name, text)


@pytest.mark.parametrize(
    "app", ["<!channel> @here", "../../etc/passwd", "a" * 300, "…", "R&D <https://x.example|y>", "Prüfung"]
)
def test_no_name_of_an_app_makes_a_file_name_that_says_more(app: str) -> None:
    """Nothing of it can be taken for a mention, a link or a path."""
    run = make_run(app=app, status=RunStatus.SUCCEEDED, outputs={"text": "x"}, workflow_run_id="w")
    for file in (result_file(run), answer_file(run, "x")):
        assert re.fullmatch(r"[^\W_]+(-[^\W_]+)*-id\.md", file.name("id"))
        assert len(file.name("id")) < 80
        assert not set(file.title) & set("<>&@!|/")


def test_a_text_nobody_writes_any_more_says_that_it_may_be_cut() -> None:
    """Once; one that is done stays as it is."""
    writing = only(answer_messages("Once <upon>"))
    shown = {"text": writing.text, "blocks": wire(writing)}
    cut = cut_answer(shown)
    assert cut is not None
    assert texts(cut).startswith("Once &lt;upon&gt;\n✂️ This text may not be complete")
    assert "✍️" not in texts(cut)
    assert not faults(cut)
    assert cut_answer({"text": cut.text, "blocks": wire(cut)}) is None
    begun = cut_answer({"text": "✍️ …", "blocks": wire(only(answer_messages("")))})
    assert begun is not None
    assert "✍️" not in texts(begun) + begun.text
    done = only(answer_messages("Once", writing=False))
    assert cut_answer({"text": done.text, "blocks": wire(done)}) is None
    assert cut_answer({}) is None


def test_a_text_that_goes_on_nowhere_says_that_it_may_be_cut() -> None:
    """Whoever wrote it died before it posted the next message, or the file."""
    below = {"text": "t", "blocks": wire(answer_messages(NUMBERS)[0])}
    cut = cut_answer(below)
    assert cut is not None
    assert texts(cut).endswith(texts(Message("", cut.blocks[-1:])))
    assert "goes on" not in texts(cut)
    in_file = {"text": "t", "blocks": wire(shortened(answer_messages(NUMBERS, writing=False))[-1])}
    assert cut_answer(in_file, has_file=True) is None
    without = cut_answer(in_file)
    assert without is not None
    assert "This text may not be complete" in texts(without)
    assert "file" not in texts(without)


def test_a_text_that_has_not_begun_is_announced() -> None:
    """A message has to say something; once it is over there is nothing to say."""
    assert texts(only(answer_messages(" "))) == "✍️ …"
    assert answer_messages(" ", writing=False) == ()
    assert "may not be complete" in texts(only(answer_messages(" ", writing=False, cut=True)))


@given(
    strategies.outputs,
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
    for message in answer_messages(text * times):
        assert not faults(message)
        assert not pings(message)
        assert not disguised_links(message)
