"""Every effect of the Slack lane, rendered. The golden files show them as they are sent.

`python -m tests.slack.test_blocks` writes the golden files anew.
"""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, get_args

import pytest

from bot.core import effects as do
from bot.core.effects import DrawnEffect
from bot.core.model import (
    Addressed,
    AppMode,
    AttachmentStatus,
    ButtonStyle,
    FileField,
    FileProblem,
    FormStatus,
    HeldOutcome,
    OutFile,
    OutFileStatus,
    Paragraph,
    Place,
    Rating,
    Run,
    RunStatus,
    SegmentText,
    Select,
    Settlement,
    UserAction,
)
from bot.slack.messages.blocks import Answer, Post, Redraw, Rendered, Reply, Tell, render
from tests.factories import NOW, make_attachment, make_form, make_run, make_submission
from tests.slack.reading import faults, wire

GOLDEN = Path(__file__).parent / "golden"

# The content review of Dify's documentation.
FORM = make_form(
    content=(
        "## Draft on *tea*\n\nPlease check the facts.\n\nDraft:\n\n{{#$output.draft#}}\n\n"
        "Feedback:\n\n{{#$output.feedback#}}\n\nTone: {{#$output.tone#}}\n\nThank you!"
    ),
    inputs=(Paragraph("draft", "Tea is a drink."), Paragraph("feedback"), Select("tone", ("Friendly", "Formal"))),
    user_actions=(
        UserAction("approve", "Approve", ButtonStyle.PRIMARY),
        UserAction("edit", "Apply edit"),
        UserAction("regenerate", "Regenerate with feedback", ButtonStyle.ACCENT),
    ),
    expires_at=NOW + timedelta(days=3),
)
DECIDED = replace(
    FORM,
    status=FormStatus.SUBMITTED,
    submission=make_submission(values={"draft": "Tea is *a* drink.", "feedback": "", "tone": "Formal"}),
)
RUN = make_run(
    thread_ts="1.0",
    root_ts="1.0",
    status=RunStatus.PAUSED,
    workflow_run_id="w",
    task_id="t",
    started_at=NOW,
    forms=(FORM,),
)
RUNNING = replace(RUN, status=RunStatus.RUNNING, forms=(DECIDED,))
ENDED = replace(
    RUNNING,
    status=RunStatus.SUCCEEDED,
    outputs={"text": "# Tea\n\nIt is *nice*.", "words": 4, "facts": {"hot": True}},
    ended_at=NOW + timedelta(minutes=5),
)

ANSWER = make_submission(values={"draft": "Tea is *a* drink.", "feedback": "", "tone": "Formal"})
KEY_REFUSED = replace(RUN, told_refused=True)
DELAYED = replace(RUN, forms=(replace(DECIDED, status=FormStatus.SUBMITTING, delayed=True),))
UNSURE = replace(RUN, forms=(replace(DECIDED, status=FormStatus.SETTLING, delayed=True),))
STUCK_RUNNING = replace(RUNNING, told_stuck=True, since=NOW - timedelta(minutes=30))
EXPIRED = replace(FORM, status=FormStatus.TIMED_OUT, expires_at=NOW)
GLOBAL_LIMIT = replace(
    ENDED,
    status=RunStatus.STOPPED,
    outputs={},
    error="Human input global timeout at node node-review",
    forms=(replace(FORM, status=FormStatus.TIMED_OUT),),
)
ELSEWHERE = replace(FORM, status=FormStatus.ANSWERED_ELSEWHERE)
NOT_SHOWN = replace(FORM, not_shown=True)
GONE = replace(
    ENDED,
    status=RunStatus.LOST,
    outputs={},
    error="Workflow run not found",
    forms=(replace(FORM, status=FormStatus.VOID),),
)
LOST = replace(GONE, error="Dify has called it running for more than a day, longer than it lets any run execute")

SIGNED = "https://dify.example/files/{name}/file-preview?timestamp=1&nonce=2&sign=3"
PICTURES = make_form(
    content=(
        f"## Two drafts\n\n![first.png]({SIGNED.format(name='first')}) is the first.\n\n"
        f"Its *source*: [source.pdf]({SIGNED.format(name='source')}), its notes: "
        f"[notes.txt]({SIGNED.format(name='notes')})\n\n"
        f"The second:\n\n![second.png]({SIGNED.format(name='second')})\n\n"
        "Feedback:\n\n{{#$output.feedback#}}"
    ),
    expires_at=NOW + timedelta(days=3),
)
GIVEN_OUT = tuple(
    OutFile(f"/files/{stem}/file-preview", name, "secret", "form-1", is_image, is_image, status, file_id, reason)
    for stem, name, is_image, status, file_id, reason in (
        ("first", "first.png", True, OutFileStatus.SHARED, "F1", None),
        ("source", "source.pdf", False, OutFileStatus.SHARED, "F2", None),
        ("notes", "notes.txt", False, OutFileStatus.SEEN, None, None),
        ("second", "second.png", True, OutFileStatus.MISSED, None, "its address in Dify has expired."),
    )
)
PICTURED = replace(RUN, forms=(PICTURES,), out_files=GIVEN_OUT)

CHAT = replace(
    RUNNING,
    app="support",
    mode=AppMode.CHATFLOW,
    run_inputs={},
    query="Where is <my> order?",
    root_ts="2.0",
    conversation_id="c",
    message_id="m",
    forms=(),
)
ANSWERED = replace(
    CHAT,
    status=RunStatus.SUCCEEDED,
    outputs={"answer": "It is *on its way*.", "files": []},
    ended_at=NOW + timedelta(seconds=3),
)
SAID = replace(SegmentText.of(0, "First.\n\n"), shown=True)
SENT = Settlement(HeldOutcome.SENT, "U2")
HELD = replace(CHAT, status=RunStatus.HELD, root_ts=None, workflow_run_id=None, task_id=None, message_id=None)

FILE_FORM = make_form(
    inputs=(FileField("contract"), FileField("photos", many=True, limit=3)),
    content="The contract\n\n{{#$output.contract#}}\n\nPhotos\n\n{{#$output.photos#}}",
)
WITH_FILES = replace(
    RUN,
    forms=(FILE_FORM,),
    attachments=(
        make_attachment(name="contract.pdf", field="contract"),
        make_attachment(attachment_id="a2", name="roof.png", field="photos", status=AttachmentStatus.PULLING),
        make_attachment(
            attachment_id="a3",
            name="x.png",
            field=None,
            status=AttachmentStatus.PLACING,
            choices=("contract", "photos"),
        ),
    ),
)
UNFIT = (
    FileProblem("x <!here>.zip", "takes an image or a document.", "sys.files"),
    FileProblem("A file", "it was deleted in Slack."),
)
PULLING = make_attachment(name="a *b* <!here>.png", form_id=None, status=AttachmentStatus.PULLING, upload_file_id=None)
SEVERAL_FORMS = replace(
    WITH_FILES,
    forms=(FILE_FORM, replace(FILE_FORM, form_id="form-2", node_title="A second *opinion*")),
    attachments=(
        make_attachment(
            name="x.png",
            field=None,
            status=AttachmentStatus.PLACING,
            choices=("photos",),
            elsewhere=(Place("form-2", "photos"),),
        ),
    ),
)
STARTED_WITH_FILES = make_run(
    status=RunStatus.STARTING,
    thread_ts="1.2",
    root_ts="1.2",
    run_inputs={"topic": "Tea", "proof": {"attachment_id": "start-1"}},
    attachments=(PULLING, replace(PULLING, attachment_id="start-2", field=None, name="b.pdf")),
)
REFUSED_FILE = replace(
    STARTED_WITH_FILES,
    status=RunStatus.FAILED,
    error="a *b* <!here>.png: Dify takes no file that large.",
    attachments=(replace(PULLING, status=AttachmentStatus.REFUSED, reason="Dify takes no file that large."),),
)

CASES: dict[str, tuple[DrawnEffect, Run | None]] = {
    "card": (do.PostCard("form-1"), WITH_FILES),
    "card-empty": (do.RefreshCard("form-1"), replace(WITH_FILES, attachments=())),
    "not-attached": (
        do.TellNotAttached("U1", "form-1", (FileProblem("a.exe", "takes an image.", "photos"),)),
        WITH_FILES,
    ),
    "file-placed-before": (do.TellFileStands("U3", WITH_FILES.attachments[0].attachment_id), WITH_FILES),
    "file-gone": (
        do.TellFileStands("U3", "gone"),
        replace(WITH_FILES, attachments=(make_attachment(attachment_id="gone", status=AttachmentStatus.REMOVED),)),
    ),
    "nothing-asks": (do.TellNothingAsks("U3", ("a *b* <!here>.png", "c.pdf")), RUNNING),
    "nothing-asks-any-more": (do.TellNothingAsks("U3", ("c.pdf",)), ENDED),
    "card-several-forms": (do.PostCard("form-1"), SEVERAL_FORMS),
    "files-too-late": (do.TellFilesTooLate("U3", "form-1", ("a *b* <!here>.png", "c.pdf")), RUNNING),
    "files-too-late-expired": (
        do.TellFilesTooLate("U3", "form-1"),
        replace(RUN, status=RunStatus.RESUMING, forms=(EXPIRED,)),
    ),
    "root-running": (do.RefreshRoot(), RUNNING),
    "root-waiting": (do.RefreshRoot(), RUN),
    "root-done": (do.RefreshRoot(), ENDED),
    "form-open": (do.PostForm("form-1"), RUN),
    "form-refused": (
        do.RefreshForm("form-1"),
        replace(RUN, forms=(replace(DECIDED, status=FormStatus.OPEN, refusal="Invalid value", revision=1),)),
    ),
    "form-with-files": (do.PostForm("form-1"), PICTURED),
    "form-with-files-decided": (
        do.RefreshForm("form-1"),
        replace(PICTURED, forms=(replace(PICTURES, status=FormStatus.SUBMITTED, submission=make_submission()),)),
    ),
    "form-with-files-long": (
        do.PostForm("form-1"),
        replace(PICTURED, forms=(replace(PICTURES, content=PICTURES.content.replace("Feedback", "word " * 2_000)),)),
    ),
    "form-not-shown": (do.PostFormNotShown("form-1"), replace(RUN, forms=(NOT_SHOWN,))),
    "form-not-shown-decided": (
        do.RefreshForm("form-1"),
        replace(RUNNING, forms=(replace(ELSEWHERE, not_shown=True),)),
    ),
    "root-form-not-shown": (do.RefreshRoot(), replace(RUN, forms=(NOT_SHOWN,))),
    "reminder-not-shown": (do.PostReminder("form-1"), replace(RUN, forms=(NOT_SHOWN,))),
    "result-not-shown": (do.PostResultNotShown(), ENDED),
    "form-decided": (do.RefreshForm("form-1"), RUNNING),
    "result": (do.PostResult(), ENDED),
    "result-files": (
        do.PostResult(),
        replace(
            ENDED,
            outputs={
                "text": f"See ![first.png]({SIGNED.format(name='first')})",
                "files": [
                    {
                        "dify_model_identity": "__dify__file__",
                        "transfer_method": "local_file",
                        "filename": "source.pdf",
                        "url": SIGNED.format(name="source"),
                    },
                    {
                        "dify_model_identity": "__dify__file__",
                        "transfer_method": "remote_url",
                        "filename": "logo.png",
                        "url": "https://example.com/logo.png",
                    },
                ],
                "parts": {"deep": [f"![first.png]({SIGNED.format(name='first')})", {"n": 1}]},
            },
        ),
    ),
    "result-failed": (do.PostResult(), replace(ENDED, status=RunStatus.FAILED, error="no quota", failed_step="LLM")),
    "stuck": (do.PostStuck(), replace(RUN, status=RunStatus.RESUMING)),
    "not-started": (do.TellNotStarted("not_in_channel"), make_run(response_url="https://hooks.example/1")),
    "decided": (do.TellDecided("U3", "form-1"), RUNNING),
    "draft-given-back": (do.GiveBackDraft("U3", "form-1", {"feedback": "Shorter, and *warmer*."}), RUNNING),
    "refused": (do.TellRefused("U2", "form-1", "Invalid value"), RUN),
    "invalid": (do.TellInvalid("U2", "form-1", (("tone", "is empty: choose one of its options."),)), RUN),
    "draft-waits": (do.TellDraftWaits("U2", "form-1"), RUN),
    "cannot-stop": (do.TellCannotStop("U2"), RUN),
    "not-startable": (
        do.TellNotStartable("https://hooks.example/1", ("“topik” is no input of review.",), "/dify review topic=tea"),
        None,
    ),
    "inputs": (
        do.TellInputs(
            "https://hooks.example/1",
            "review",
            ("topic: a text of at most 40 characters; required.", "size: choose S or M; optional."),
            '/dify review topic="…"',
        ),
        None,
    ),
    "inputs-guessed": (
        do.TellInputs(
            "https://hooks.example/1",
            "review",
            (),
            "/dify review",
            ("There is no app “<reviw>”: did you mean review?",),
        ),
        None,
    ),
    "offer": (do.OfferStart(Addressed("C1", "2.0", "U2"), "/dify"), None),
    "offer-in-thread": (do.OfferStart(Addressed("C1", "2.0", "U2", "1.0"), "/dify"), None),
    "usage": (do.TellUsage(Addressed("D1", "2.0", "U2"), "/dify", ("chat", "review")), None),
    "root-starting": (do.PostRoot(), make_run()),
    # A conversation with a Chatflow.
    "chat-waiting": (do.PostRoot(waits=True), replace(CHAT, status=RunStatus.REQUESTED, root_ts=None)),
    "chat-running": (do.RefreshRoot(), CHAT),
    "chat-answer": (do.PostResult(), ANSWERED),
    "chat-answer-below-others": (do.PostResult(), replace(ANSWERED, crowded=True)),
    "chat-answer-goes-on": (
        do.PostResult(),
        replace(ANSWERED, outputs={"answer": "First.\n\nThen <this>."}, texts=(SAID,)),
    ),
    "chat-answer-above": (do.PostResult(), replace(ANSWERED, outputs={"answer": "First.\n\n"}, texts=(SAID,))),
    "result-partly-above": (
        do.PostResult(),
        replace(ENDED, outputs={"draft": "First.\n\n", "final": "Then <this>."}, texts=(SAID,)),
    ),
    "result-above": (do.PostResult(), replace(ENDED, outputs={"draft": "First.\n\n"}, texts=(SAID,))),
    "chat-done": (do.RefreshRoot(), ANSWERED),
    "chat-refused": (
        do.PostResult(),
        replace(CHAT, status=RunStatus.FAILED, workflow_run_id=None, error="Query is too long."),
    ),
    "chat-question": (do.AskAboutMessage(("Approve the *refund*",), (("r1", "f1", "Approve the *refund*"),)), HELD),
    "chat-question-of-two": (do.AskAboutMessage(("Approve", "Check"), (("r2", "f2", "Check"),)), HELD),
    "chat-question-sent": (do.RefreshQuestion(), replace(HELD, question_ts="3.0", settlement=SENT)),
    "chat-question-sent-anew": (
        do.RefreshQuestion(),
        replace(HELD, question_ts="3.0", settlement=SENT, conversation_id=""),
    ),
    "chat-question-used": (
        do.RefreshQuestion(),
        replace(HELD, question_ts="3.0", settlement=Settlement(HeldOutcome.ANSWER, "U2", "Approve the *refund*")),
    ),
    "chat-question-dropped": (
        do.RefreshQuestion(),
        replace(HELD, question_ts="3.0", settlement=Settlement(HeldOutcome.DROPPED, "U2")),
    ),
    "chat-question-lapsed": (
        do.RefreshQuestion(),
        replace(HELD, question_ts="3.0", settlement=Settlement(HeldOutcome.LAPSED)),
    ),
    "chat-question-asked-privately": (do.RefreshQuestion(), replace(HELD, settlement=SENT)),
    "chat-settled-before": (do.TellSettled("U3"), replace(HELD, settlement=SENT)),
    "chat-root-lapsed": (
        do.RefreshRoot(),
        replace(HELD, root_ts="2.0", status=RunStatus.STOPPED, settlement=Settlement(HeldOutcome.LAPSED)),
    ),
    "chat-conversation-gone": (do.AskAboutConversation(), replace(HELD, root_ts="2.0", conversation_id="")),
    "chat-root-held": (do.RefreshRoot(), replace(HELD, root_ts="2.0")),
    "chat-root-forgotten": (
        do.RefreshRoot(),
        replace(HELD, root_ts="2.0", status=RunStatus.STOPPED, stop_requested_by="U2"),
    ),
    "chat-without-files": (do.TellFilesLeftOut("U2"), CHAT),
    "chat-files-alone": (do.TellFilesLeftOut("U2", alone=True), CHAT),
    "chat-files-unfit": (do.TellFilesUnfit("U2", UNFIT), CHAT),
    "chat-files-unfit-alone": (do.TellFilesUnfit("U2", UNFIT[:1], alone=True), CHAT),
    "chat-file-refused": (do.PostResult(), replace(REFUSED_FILE, mode=AppMode.CHATFLOW, root_ts="2.0")),
    "root-files": (do.RefreshRoot(), STARTED_WITH_FILES),
    "result-file-refused": (do.PostResult(), REFUSED_FILE),
    "chat-suggestions": (do.PostSuggestions(), replace(ANSWERED, suggestions=("How *long*?", "<!here> & why?"))),
    "chat-suggestions-closed": (
        do.CloseSuggestions(),
        replace(ANSWERED, suggestions=("How *long*?", "<!here> & why?"), suggestions_ts="3.0"),
    ),
    "chat-asked-before": (do.TellAskedBefore("U3", "U2", "How *long*?"), ANSWERED),
    "chat-asked-before-by-you": (do.TellAskedBefore("U3", "U3", "How *long*?"), ANSWERED),
    "chat-something-asked-before": (do.TellAskedBefore("U3"), ANSWERED),
    "chat-rated": (do.TellRated("U2", Rating.LIKE), ANSWERED),
    "chat-not-rated": (do.TellRated("U2", Rating.DISLIKE, taken=False), ANSWERED),
    # What Dify or time did to a run and its forms.
    "reminder": (do.PostReminder("form-1"), RUN),
    "reminder-last": (
        do.PostReminder("form-1"),
        replace(RUN, forms=(replace(FORM, expires_at=NOW + timedelta(minutes=59, seconds=58)),)),
    ),
    "reminder-no-deadline": (do.PostReminder("form-1"), replace(RUN, forms=(replace(FORM, expires_at=None),))),
    "key-refused": (do.PostKeyRefused(), KEY_REFUSED),
    "root-key-refused": (do.RefreshRoot(), KEY_REFUSED),
    "form-delayed": (do.RefreshForm("form-1"), DELAYED),
    "root-delayed": (do.RefreshRoot(), DELAYED),
    "form-delayed-key": (do.RefreshForm("form-1"), replace(DELAYED, told_refused=True)),
    "root-delayed-key": (do.RefreshRoot(), replace(DELAYED, told_refused=True)),
    "form-delayed-check-key": (do.RefreshForm("form-1"), replace(UNSURE, told_refused=True)),
    "root-delayed-check-key": (do.RefreshRoot(), replace(UNSURE, told_refused=True)),
    "form-delayed-check": (do.RefreshForm("form-1"), UNSURE),
    "root-delayed-check": (do.RefreshRoot(), UNSURE),
    "stuck-expired": (do.PostStuck(), replace(RUN, status=RunStatus.RESUMING, forms=(EXPIRED,))),
    "stuck-running": (do.PostStuck(), STUCK_RUNNING),
    "root-stuck-running": (do.RefreshRoot(), STUCK_RUNNING),
    "form-expired": (do.RefreshForm("form-1"), replace(RUN, status=RunStatus.RESUMING, forms=(EXPIRED,))),
    "result-expired": (do.PostResult(), replace(ENDED, forms=(EXPIRED,), outputs={})),
    "form-global-limit": (do.RefreshForm("form-1"), GLOBAL_LIMIT),
    "result-global-limit": (do.PostResult(), GLOBAL_LIMIT),
    "root-global-limit": (do.RefreshRoot(), GLOBAL_LIMIT),
    "form-run-failed": (
        do.RefreshForm("form-1"),
        replace(ENDED, status=RunStatus.FAILED, error="no quota", forms=(replace(FORM, status=FormStatus.VOID),)),
    ),
    "form-answered-in-dify": (
        do.RefreshForm("form-1"),
        replace(RUNNING, forms=(replace(ELSEWHERE, submission=replace(ANSWER, user_id=None)),)),
    ),
    "form-answered-elsewhere": (do.RefreshForm("form-1"), replace(RUNNING, forms=(ELSEWHERE,))),
    "result-gone": (do.PostResult(), GONE),
    "result-not-begun": (
        do.PostResult(),
        make_run(status=RunStatus.FAILED, error="topic is required in input form", thread_ts="1.2", root_ts="1.2"),
    ),
    "root-gone": (do.RefreshRoot(), GONE),
    "form-gone": (do.RefreshForm("form-1"), GONE),
    "result-lost": (do.PostResult(), LOST),
    "root-lost": (do.RefreshRoot(), LOST),
    "decided-given-back": (
        do.TellDecided("U3", "form-1", {"draft": "Tea is *a* <drink>. " * 500, "feedback": "", "tone": "Friendly"}),
        RUNNING,
    ),
}


def as_sent(rendered: Rendered) -> dict[str, Any]:
    """Return what is sent, and how."""
    messages = rendered.messages if isinstance(rendered, Post) else (rendered.message,)
    return {
        "how": type(rendered).__name__,
        "messages": [{"text": message.text, "blocks": wire(message)} for message in messages],
    }


def rendered(case: str) -> Rendered:
    """Return a case's effect, rendered."""
    return render(*CASES[case], NOW)


def written(case: str) -> str:
    """Return the golden file's text as it should be."""
    return json.dumps(as_sent(rendered(case)), ensure_ascii=False, indent=2) + "\n"


@pytest.mark.parametrize("case", CASES)
def test_effects_are_rendered_as_agreed(case: str) -> None:
    """A change of what people see is a change of a golden file."""
    assert written(case) == (GOLDEN / f"{case}.json").read_text(encoding="utf-8")


@pytest.mark.parametrize("case", CASES)
def test_slack_takes_what_is_rendered(case: str) -> None:
    """Judged by the rules of the simulated Slack."""
    shown = rendered(case)
    messages = shown.messages if isinstance(shown, Post) else (shown.message,)
    assert not any(map(faults, messages))


def test_every_effect_has_a_case() -> None:
    """None is forgotten, but for streamed text, which the gateway knows."""
    assert {type(effect) for effect, _ in CASES.values()} == set(get_args(DrawnEffect))


def test_outputs_take_the_place_of_the_streamed_text() -> None:
    """And everything else is a message of its own: what was written before an error stays."""
    assert render(do.PostResult(), replace(ENDED, answer_ts="5.0"), NOW) == Post(render_messages(ENDED), into="5.0")
    failed = replace(ENDED, status=RunStatus.FAILED, answer_ts="5.0")
    assert render(do.PostResult(), failed, NOW) == Post(render_messages(failed), into=None)
    empty = replace(ENDED, outputs={}, answer_ts="5.0")
    assert render(do.PostResult(), empty, NOW) == Post(render_messages(empty), into=None)


def render_messages(run: Run) -> tuple[Any, ...]:
    """Return the messages of a run's result."""
    result = render(do.PostResult(), run, NOW)
    assert isinstance(result, Post)
    return result.messages


def test_where_each_effect_goes() -> None:
    """To the thread, to one person, beside a message, or back to the command."""
    form = render(do.RefreshForm("form-1"), RUN, NOW)
    assert isinstance(form, Redraw)
    assert (form.ts, form.anew) == (FORM.message_ts, True)
    told = render(do.TellCannotStop("U2"), RUN, NOW)
    assert isinstance(told, Tell)
    assert told.user_id == "U2"
    asked = Addressed("C1", "2.0", "U2", "1.0")
    answer = render(do.OfferStart(asked, "/dify"), None, NOW)
    assert isinstance(answer, Answer)
    assert answer.to == asked
    reply = render(do.TellNotStarted("is_archived"), make_run(response_url="https://hooks.example/1"), NOW)
    assert isinstance(reply, Reply)
    assert (reply.response_url, reply.user_id) == ("https://hooks.example/1", "U1")


if __name__ == "__main__":
    GOLDEN.mkdir(exist_ok=True)
    for name in CASES:
        (GOLDEN / f"{name}.json").write_text(written(name), encoding="utf-8")
