"""What one person is told privately: what happened, what was kept, what to do."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.core.model import FileField, FormStatus, Paragraph, RunStatus
from bot.slack.messages import notices
from bot.slack.messages.message import Message
from tests.factories import NOW, make_form, make_run, make_submission
from tests.slack.reading import faults, pings, texts
from tests.slack.strategies import long_text


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        ("not_in_channel", "I am not a member of <#C1>. Nothing was sent to Dify. Type `/invite`"),
        ("channel_not_found", "I am not a member of <#C1>."),
        ("is_archived", "<#C1> is archived"),
        ("restricted_action", "Slack does not let me write in <#C1> (restricted_action)"),
        (
            "token_revoked",
            "my Slack token is not valid any more (token_revoked). Nothing was sent to Dify. Tell whoever",
        ),
        ("invalid_auth", "my Slack token is not valid any more (invalid_auth)"),
    ],
)
def test_a_channel_that_cannot_be_written_to_is_explained(code: str, sentence: str) -> None:
    """With the way out."""
    assert sentence in texts(notices.not_started(make_run(), code))


def test_a_conversation_between_others_has_no_name_to_be_mentioned_by() -> None:
    assert "a member of this conversation" in texts(notices.not_started(make_run(channel_id="D1"), "channel_not_found"))


def test_a_wrong_command_is_answered_with_all_that_is_wrong_and_a_right_one() -> None:
    """The command stands in a frame, to be copied as it is."""
    message = notices.not_startable(
        ("“topik” is unknown.", "“topic” is missing <!here>."), '/dify review topic="<a> & *b*"'
    )
    assert "Nothing was started:\n• “topik” is unknown.\n• “topic” is missing &lt;!here&gt;." in texts(message)
    assert texts(message).endswith('/dify review topic="<a> & *b*"')
    assert not pings(message)


def test_what_a_command_says_in_vain_is_given_back_whole() -> None:
    words = f"Dear <!here>,\n{'we meet at noon. ' * 200}Ann"
    message = notices.not_startable(("“Dear …” stands alone.",), "/dify review", words)
    assert texts(message).endswith(f"/dify review\nThis was not used; copy it if you still need it:\n{words}")
    assert not pings(message)


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        ("/dify review topic=tea", "This would work; copy it and change what you like:"),
        ('/dify review topic="wait…"', "This would work; copy it and change what you like:"),
        ('/dify review topic="…"', "Fill in the … and this works:"),
    ],
)
def test_a_command_with_a_gap_is_not_said_to_work_as_it_is(command: str, sentence: str) -> None:
    """Pasted as it stands it would be refused again."""
    for message in (
        notices.not_startable(["topic is missing."], command),
        notices.inputs("review", ["topic"], command),
    ):
        assert texts(message).endswith(f"{sentence}\n{command}")


def test_what_an_app_takes_is_listed() -> None:
    """A line for each value; an app may take none, and there may be no command that starts it."""
    message = notices.inputs("review", ["topic: a text; required.", "cv: a file <!here>; required."], None)
    assert texts(message).endswith(
        "*review* takes these values:\n• topic: a text; required.\n• cv: a file &lt;!here&gt;; required."
    )
    assert "*review* takes no values.\n" in texts(notices.inputs("review", [], "/dify review"))


CHOSE = "chose *Approve* for *Review* (<!date^1772600767^{date_short_pretty} {time}|2026-03-04 05:06 UTC>)."


@pytest.mark.parametrize(
    ("form", "run", "user", "sentence"),
    [
        ({"status": FormStatus.SUBMITTED}, {}, "U3", f"Too late: <@U2> already {CHOSE} Dify took it. Your answer was"),
        ({"status": FormStatus.SUBMITTING}, {}, "U3", f"Too late: <@U2> already {CHOSE} It is being sent to Dify."),
        ({"status": FormStatus.CLAIMED}, {}, "U3", f"{CHOSE} It waits its turn to be sent to Dify."),
        ({"status": FormStatus.SETTLING}, {}, "U3", f"{CHOSE} It was sent, and I am checking whether Dify took it."),
        (
            {"status": FormStatus.SUBMITTED},
            {},
            "U2",
            f"You already {CHOSE} Dify took it. Only this first answer counts.",
        ),
        (
            {"status": FormStatus.ANSWERED_ELSEWHERE, "submission": make_submission(user_id=None)},
            {},
            "U2",
            "Your answer to *Review* did not count: ✅ *Approve* · answered in Dify · ",
        ),
        ({"status": FormStatus.ANSWERED_ELSEWHERE, "submission": None}, {}, "U2", "✅ Answered outside of Slack."),
        (
            {"status": FormStatus.TIMED_OUT},
            {},
            "U2",
            "Your answer to *Review* did not count: ⌛ Expired before *Approve*",
        ),
        ({"status": FormStatus.OPEN, "submission": None}, {"status": RunStatus.STOPPED}, "U3", "its run has ended"),
    ],
)
def test_who_comes_too_late_is_told_who_decided(
    form: dict[str, Any], run: dict[str, Any], user: str, sentence: str
) -> None:
    """What, by whom, and when."""
    decided = make_form(**{"submission": make_submission(), **form})
    assert sentence in texts(notices.decided(make_run(**run), decided, user, {}))


def test_an_answer_that_waits_for_dify_is_said_to_wait() -> None:
    """Also one behind it in the same run; one that was sent is being checked all the same."""
    ahead = make_form(form_id="f1", status=FormStatus.SETTLING, delayed=True, submission=make_submission())
    behind = make_form(form_id="f2", status=FormStatus.CLAIMED, submission=make_submission())
    run = make_run(forms=(ahead, behind))
    assert "It will be sent when Dify takes it. Your answer" in texts(notices.decided(run, behind, "U3", {}))
    assert "It was sent, and I am checking" in texts(notices.decided(run, ahead, "U3", {}))


def test_who_answered_in_vain_gets_back_what_they_entered() -> None:
    """As it is, by its label; not what was empty, nor what stood there before."""
    form = make_form(
        status=FormStatus.SUBMITTED,
        submission=make_submission(),
        content="Your draft:\n\n{{#$output.a#}}",
        inputs=(Paragraph("a"), Paragraph("b"), Paragraph("c", "as it was"), FileField("files", many=True)),
    )
    values = {"a": "<!here> *mine*", "b": " ", "c": "as it was", "files": []}
    message = notices.decided(make_run(forms=(form,)), form, "U3", values)
    assert texts(message).endswith(f"{notices.GIVEN_BACK}\nYour draft\n<!here> *mine*")
    assert pings(message) == {"U2"}
    nothing = notices.decided(make_run(forms=(form,)), form, "U3", {"b": "", "c": "as it was", "files": []})
    assert notices.GIVEN_BACK not in texts(nothing)


def test_of_fields_that_are_called_the_same_each_is_given_back() -> None:
    """Two fields below “Comment” are two texts of theirs."""
    content = "Comment:\n\n{{#$output.a#}}\n\nComment:\n\n{{#$output.b#}}"
    inputs = (Paragraph("a"), Paragraph("b"))
    form = make_form(content=content, inputs=inputs, status=FormStatus.SUBMITTED, submission=make_submission())
    message = notices.decided(make_run(forms=(form,)), form, "U3", {"a": "mine", "b": "mine, too"})
    assert texts(message).endswith("Comment\nmine\nComment\nmine, too")


def test_who_presses_twice_is_not_given_back_what_counts() -> None:
    """Only what differs from it."""
    form = make_form(status=FormStatus.SUBMITTED, submission=make_submission())
    same = dict(make_submission().values)
    assert notices.GIVEN_BACK not in texts(notices.decided(make_run(), form, "U2", same))
    assert notices.GIVEN_BACK in texts(notices.decided(make_run(), form, "U2", {"feedback": "Wait!"}))
    lost = make_form(status=FormStatus.TIMED_OUT, submission=make_submission())
    assert notices.GIVEN_BACK in texts(notices.decided(make_run(), lost, "U2", same))


def test_what_is_too_long_to_be_given_back_is_counted() -> None:
    """Short values leave their room to long ones."""
    form = make_form(inputs=tuple(map(Paragraph, "abc")), status=FormStatus.SUBMITTED, submission=make_submission())
    message = notices.decided(make_run(), form, "U3", {"a": "x" * 20_000, "b": "short", "c": "y" * 20_000})
    shown = texts(message)
    size = len(next(line for line in shown.splitlines() if line.startswith("xx"))) - 1
    assert 3_900 < size < 4_000
    assert shown.count(f"and {20_000 - size:,} more characters") == 2
    assert not faults(message)


@given(st.lists(long_text, max_size=45), long_text)
@settings(max_examples=60, deadline=None)
def test_whatever_is_given_back_is_taken_by_slack_and_pings_nobody_else(entered: list[str], title: str) -> None:
    """However many fields, however long."""
    inputs = tuple(Paragraph(f"f{number}") for number in range(len(entered)))
    form = make_form(inputs=inputs, node_title=title, status=FormStatus.SUBMITTED, submission=make_submission())
    values = {field.name: text for field, text in zip(inputs, entered, strict=True)}
    message = notices.decided(make_run(), form, "U3", values)
    assert not faults(message)
    assert pings(message) <= {"U2"}


@pytest.mark.parametrize(
    ("left", "words"),
    [
        ({"days": 3}, "3 days left"),
        ({"days": 1, "hours": 12, "minutes": 5}, "1 day and 12 hours left"),
        ({"days": 2, "minutes": 5}, "2 days left"),
        ({"minutes": 59, "seconds": 58}, "1 hour left"),
        ({"hours": 1, "minutes": 1}, "1 hour and 1 minute left"),
        ({"seconds": 20}, "less than a minute left"),
    ],
)
def test_a_reminder_says_how_long_is_left(left: dict[str, float], words: str) -> None:
    """Besides until when, in the reader's own time zone."""
    form = make_form(expires_at=NOW + timedelta(**left))
    text = texts(notices.reminder(make_run(), form, NOW))
    assert f": {words}. The form was posted above in this thread." in text
    assert "It can be answered until <!date^" in text


def test_a_reminder_that_comes_late_promises_no_time() -> None:
    """Slack may have taken its time."""
    text = texts(notices.reminder(make_run(), make_form(expires_at=NOW), NOW))
    assert "still waits for an answer. The form was posted above" in text


def test_a_reminder_of_a_form_that_cannot_be_answered_here_says_so() -> None:
    """It was sent by e-mail alone, for example; the form's message says what can be done."""
    text = texts(notices.reminder(make_run(), make_form(answerable=False), NOW))
    assert "cannot be answered here; what was posted above" in text


def test_a_run_that_was_just_seen_to_execute_is_not_said_to_run_too_long() -> None:
    """Two answers at once left it paused for good (recording 33)."""
    seen = make_run(status=RunStatus.RUNNING, since=NOW - timedelta(minutes=3))
    assert "Dify took the answer, but" in texts(notices.stuck(seen, NOW))
    assert "longer than a run may take" in texts(notices.stuck(seen, NOW + timedelta(minutes=20)))


def test_a_refused_answer_is_explained() -> None:
    """Nothing is lost."""
    text = texts(notices.refused(make_run(), make_form(), "Invalid value <!here>"))
    assert "Dify did not take your answer to *Review*: “Invalid value &lt;!here&gt;”." in text
    assert "still in the form" in text


def test_a_refusal_need_not_be_the_fault_of_the_values() -> None:
    """Dify's quota (429) passes: there is nothing to mend."""
    text = texts(notices.refused(make_run(), make_form(), "Too many requests."))
    assert "If Dify names a wrong one, mend it and press a button again; otherwise try again in a while." in text


def test_fields_to_mend_are_named_by_their_labels() -> None:
    """All of them."""
    form = make_form(content="Your draft:\n\n{{#$output.a#}}", inputs=(Paragraph("a"), Paragraph("tone")))
    message = notices.invalid(form, [("a", "is too short."), ("tone", "is empty: choose one of its options.")])
    assert "• “Your draft” is too short.\n• “Tone” is empty: choose one of its options." in texts(message)
    assert "what you entered is still in the form" in texts(message)


@pytest.mark.parametrize(
    ("status", "sentence"),
    [
        (RunStatus.STARTING, "*review* is only being started: try again in a moment."),
        (RunStatus.SOUGHT, "*review* is only being started: try again in a moment."),
        (RunStatus.RUNNING, "Dify did not confirm the start of *review*, and a run that was found later cannot be"),
        (RunStatus.PAUSED, "Dify cannot stop *review* while it waits for an answer."),
        (RunStatus.RESUMING, "Dify has not gone on with *review* yet"),
        (RunStatus.SUCCEEDED, "*review* has already ended"),
    ],
)
def test_why_stop_does_nothing_is_explained(status: RunStatus, sentence: str) -> None:
    """By the state the run is in."""
    assert texts(notices.cannot_stop(make_run(status=status))).startswith(sentence)


@pytest.mark.parametrize("status", [RunStatus.RUNNING, RunStatus.RESUMING])
def test_a_stop_that_nobody_heeds_is_told(status: RunStatus) -> None:
    """Dify says that it took it (recording 39)."""
    run = make_run(status=status, task_id="task-1", told_stuck=True)
    assert texts(notices.cannot_stop(run)).startswith("Stop does nothing to *review*, which does not move.")


def test_a_stop_that_dify_did_not_take_is_told() -> None:
    """The run goes on."""
    run = make_run(status=RunStatus.RUNNING, task_id="task-1")
    assert texts(notices.cannot_stop(run)).startswith("Dify did not take the stop of *review*")


def test_usage_names_the_apps() -> None:
    """With one app its name may be left out; what an app takes is another command."""
    one, many = notices.usage("/dify", ["review"]), notices.usage("/dify", ["a", "b"])
    assert one.startswith('`/dify key=value other="with spaces"` starts review ')
    assert "`/dify my words`" in one
    assert one.endswith("`/dify help review` lists the values that it takes.")
    assert many.startswith('`/dify a key=value other="with spaces"` starts a ')
    assert "`/dify a my words`" in many
    assert "`/dify` alone opens the window" in many
    assert many.endswith("Apps: a, b. `/dify help a` lists the values that a takes.")


@given(st.lists(long_text, max_size=30), long_text)
def test_any_notice_is_taken_by_slack_and_pings_nobody(lines: list[str], text: str) -> None:
    """However much is wrong."""
    form = make_form(node_title=text or "–", inputs=(Paragraph("a"),))
    messages: list[Message] = [
        notices.not_startable(lines, text or "/dify", text),
        notices.inputs(text, lines, text or "/dify"),
        notices.invalid(form, [(line, line) for line in lines]),
        notices.refused(make_run(), form, text),
        notices.draft_waits(form),
        notices.stuck(make_run(app=text), NOW),
        notices.stuck(make_run(app=text, status=RunStatus.RUNNING), NOW + timedelta(days=1)),
        notices.key_refused(make_run(app=text)),
        notices.not_started(make_run(app=text), "is_archived"),
    ]
    for message in messages:
        assert not faults(message)
        assert not pings(message)
    reminder = notices.reminder(make_run(), form, NOW)
    assert not faults(reminder)
    assert pings(reminder) == {"U1"}
