"""Chains of messages: what is left to do, one call after the other."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bot.slack.delivery.chain import Chain, Part, Step, found, lose, next_step, take, text_id
from bot.slack.messages.message import Message, markdown

some_messages = st.lists(st.sampled_from("abc").map(lambda text: Message(text, (markdown(text),))), max_size=5)


def carried_out(chain: Chain, wanted: list[Message], thread: dict[str, str]) -> list[Step]:
    """Take every step there is in a thread of texts by `ts`, and return them."""
    steps: list[Step] = []
    while (step := next_step(chain, wanted)) is not None:
        steps.append(step)
        ts = step.ts or f"{len(thread)}"
        if step.message is None:
            thread.pop(ts)
        else:
            thread[ts] = step.message.text
        take(chain, step, ts)
    return steps


@given(some_messages, some_messages)
def test_whatever_is_there_becomes_what_is_wanted(before: list[Message], wanted: list[Message]) -> None:
    """With a call for each difference and none more, and the beginning first."""
    chain, thread = Chain("text-1"), dict[str, str]()
    carried_out(chain, before, thread)
    steps = carried_out(chain, wanted, thread)
    assert [thread[part.ts or ""] for part in chain.parts] == [message.text for message in wanted] == [*thread.values()]
    kept = sum(one == other for one, other in zip(before, wanted, strict=False))
    assert len(steps) == max(len(before), len(wanted)) - kept
    written = [step.number for step in steps if step.message is not None]
    assert written == sorted(written)
    assert next_step(chain, wanted) is None


@given(some_messages.filter(bool))
def test_what_is_found_in_a_thread_is_drawn_anew(wanted: list[Message]) -> None:
    """Nobody knows what it shows."""
    chain = found("text-1", {number: f"{number}" for number in range(len(wanted))}, has_file=False)
    thread = {f"{number}": "?" for number in range(len(wanted))}
    steps = carried_out(chain, wanted, thread)
    assert [step.ts for step in steps] == [*thread]


def test_what_is_known_to_show_the_right_thing_is_left_alone() -> None:
    """Somebody may be typing in it."""
    wanted = [Message("a", (markdown("a"),)), Message("b", (markdown("b"),))]
    chain = found("post", {0: "1"}, has_file=False)
    chain.shows(wanted)
    assert next_step(chain, wanted) == Step(1, None, wanted[1])


def test_a_message_that_was_deleted_is_posted_anew_or_left_out() -> None:
    """As the text it belongs to has it."""
    wanted = [Message("a", (markdown("a"),)), Message("b", (markdown("b"),))]
    for for_good, then in ((False, Step(0, None, wanted[0])), (True, Step(1, "2", wanted[1]))):
        chain = Chain("text-1", [Part("1"), Part("2")])
        step = next_step(chain, wanted)
        assert step == Step(0, "1", wanted[0])
        lose(chain, step, for_good=for_good)
        assert next_step(chain, wanted) == then
    surplus = next_step(chain, [])
    assert surplus == Step(1, "2", None)
    lose(chain, surplus, for_good=True)
    assert next_step(chain, []) == Step(0, None, None)


def test_a_gap_in_what_is_found_is_filled() -> None:
    """Somebody deleted that message."""
    chain = found(text_id("1"), {0: "1", 2: "3"}, has_file=True)
    assert [part.ts for part in chain.parts] == ["1", None, "3"]
    assert (chain.post_id, chain.last_ts, chain.has_file) == ("text-1", "3", True)
    assert found("post", {}, has_file=False) == Chain("post")
    assert Chain("post").last_ts == ""
