"""The apps of the recordings, put together again from what their runs show."""

from collections.abc import Sequence

from bot.playground.dify.graph import (
    Answer,
    App,
    End,
    HttpRequest,
    HumanInput,
    Json,
    Node,
    action,
    checkbox,
    choice,
    constant,
    file,
    file_list,
    json_object,
    long_text,
    number,
    paragraph,
    select,
    start_file,
    start_file_list,
    text_input,
    variable,
)

HOUR = 3600
TOPIC = (text_input("topic", max_length=256),)
REFUSED = "[Errno 111] Connection refused"
OK = action("ok", "OK", "primary")
OK_NO = (OK, action("no", "No"))


def recorded_apps() -> list[App]:
    """Return every app that a replayed recording talks to."""
    return [
        _content_review("content-review"),
        _content_review("not-published", published=False),
        _slow_steps(),
        _two_step(),
        _parallel(),
        _file_review(),
        _custom_file(),
        _no_human(),
        _quick_timeout(),
        _timeout_no_branch(),
        _chat_review(),
        _chat_two_answers(),
        _chat_files(),
        _chat_plain(),
        _chat_fail(),
        _fail_after(),
        _email_only(),
        _all_inputs(),
        _optional_select(),
        _parallel_fail(),
        _parallel_slow(),
        _defaults(),
        _no_actions(),
        _run_files(),
        _fail_next_to_form(),
        _two_forms_one_fails(),
        _two_forms_slow(),
        _fail_with_retry(),
        _big_form(),
    ]


def _workflow(name: str, nodes: Sequence[Node], edges: Sequence[str], start: Sequence[Json] = TOPIC) -> App:
    return App(name=name, nodes=nodes, edges=edges, start=start)


def _ask(
    title: str,
    content: str,
    *,
    id: str = "ask",
    name: str = "answer",
    actions: Sequence[Json] = (OK,),
    web_app: bool = True,
) -> HumanInput:
    return HumanInput(id, title, f"{content}\n\n{{{{#$output.{name}#}}}}", (paragraph(name),), actions, web_app=web_app)


_REVIEW = """\
# Review: {{#start.topic#}}

Please check the **draft** below in *{{#start.language#}}* before it is published.

## Checklist

- **Accuracy** of the facts
- Tone and ~~style~~
  - nested item
1. first
2. second

| Item | Status |
|------|:------:|
| Topic | {{#start.topic#}} |
| Language | {{#start.language#}} |

See the [style guide](https://example.com/guide?a=1&b=2).

> quoted line

```python
print("hello <world> & co")
```

Inline `code` and the note: {{#env.note#}}

---

Draft:

{{#$output.draft#}}

Feedback:

{{#$output.feedback#}}

Signature:

{{#$output.signature#}}

Tone:

{{#$output.tone#}}
"""


def _content_review(name: str, *, published: bool = True) -> App:
    outputs = {
        "draft": ("review", "draft"),
        "feedback": ("review", "feedback"),
        "signature": ("review", "signature"),
        "tone": ("review", "tone"),
        "action": ("review", "__action_id"),
        "action_value": ("review", "__action_value"),
        "rendered": ("review", "__rendered_content"),
    }
    answers = ("approve", "revise", "reject", "skip")
    return App(
        name=name,
        description="A reviewer checks a draft before it is published.",
        published=published,
        start=(
            text_input("topic", required=True, max_length=256),
            choice("language", ["English", "Japanese", "Chinese"], required=True),
        ),
        variables={
            "env": {
                "note": "<!channel> & <b>",
                "draft_text": "First line of the draft.\nSecond line with <!channel> & <b>bold</b>.\n\n"
                "- and a *list* item",
            }
        },
        nodes=(
            HumanInput(
                "review",
                "Editor Review",
                _REVIEW,
                inputs=(
                    paragraph("draft", variable("env", "draft_text")),
                    paragraph("feedback"),
                    paragraph("signature", constant("-- the editor")),
                    select("tone", ["Friendly", "Neutral & formal", "<strict>"]),
                ),
                actions=(
                    action("approve", "Approve", "primary"),
                    action("revise", "Request changes"),
                    action("reject", "Reject", "accent"),
                    action("skip", "Skip", "ghost"),
                ),
            ),
            *(End(f"end_{answer}", f"End {answer}", outputs) for answer in answers),
        ),
        edges=("start -> review", *(f"review.{answer} -> end_{answer}" for answer in answers)),
    )


def _slow_steps() -> App:
    return _workflow(
        "slow-steps",
        (
            HttpRequest("wait1", "Slow before", seconds=3),
            _ask("Slow Review", "Slow review of {{#start.topic#}}"),
            HttpRequest("wait2", "Slow after", seconds=8),
            End("end_ok", "End", {"answer": ("ask", "answer"), "status": ("wait2", "status_code")}),
        ),
        ("start -> wait1 -> ask", "ask.ok -> wait2 -> end_ok"),
    )


def _two_step() -> App:
    return _workflow(
        "two-step",
        (
            HumanInput(
                "first",
                "First Review",
                "First step for **{{#start.topic#}}**\n\n{{#$output.comment1#}}",
                (paragraph("comment1"),),
                (action("next", "Next", "primary"), action("stop", "Stop")),
            ),
            HumanInput(
                "second",
                "Second Review",
                "Second step for **{{#start.topic#}}**; first said: {{#first.comment1#}}\n\n{{#$output.comment2#}}",
                (paragraph("comment2", variable("first", "comment1")),),
                (action("finish", "Finish", "primary"), action("stop", "Stop")),
            ),
            End(
                "end_ok",
                "End",
                {
                    "comment1": ("first", "comment1"),
                    "comment2": ("second", "comment2"),
                    "action1": ("first", "__action_id"),
                    "action2": ("second", "__action_id"),
                },
            ),
        ),
        ("start -> first", "first.next -> second", "second.finish -> end_ok"),
    )


def _parallel() -> App:
    def review(id: str, title: str) -> HumanInput:
        actions = (action("ok", f"{title} OK", "primary"), action("no", "Block", "accent"))
        return _ask(f"{title} Review", f"{title}: **{{{{#start.topic#}}}}**", id=id, name=f"{id}_note", actions=actions)

    return _workflow(
        "parallel",
        (
            review("legal", "Legal"),
            review("brand", "Brand"),
            End(
                "end_all",
                "End",
                {
                    "legal_note": ("legal", "legal_note"),
                    "brand_note": ("brand", "brand_note"),
                    "legal_action": ("legal", "__action_id"),
                    "brand_action": ("brand", "__action_id"),
                },
            ),
        ),
        (
            "start -> legal",
            "start -> brand",
            *(f"{node}.{handle} -> end_all" for node in ("legal", "brand") for handle in ("ok", "no", "__timeout")),
        ),
    )


def _file_review() -> App:
    return App(
        name="file-review",
        description="Collect files from a reviewer.",
        start=TOPIC,
        nodes=(
            HumanInput(
                "files",
                "Upload Evidence",
                "## Evidence for {{#start.topic#}}\n\nOne document or image:\n\n{{#$output.main_file#}}\n\n"
                "Up to three attachments:\n\n{{#$output.attachments#}}\n",
                (file("main_file"), file_list("attachments", limit=3)),
                (action("submit", "Submit", "primary"), action("cancel", "Cancel")),
            ),
            End(
                "end_submit",
                "End submit",
                {
                    "main_file": ("files", "main_file"),
                    "attachments": ("files", "attachments"),
                    "action": ("files", "__action_id"),
                    "action_value": ("files", "__action_value"),
                    "rendered": ("files", "__rendered_content"),
                },
            ),
        ),
        edges=("start -> files", "files.submit -> end_submit"),
    )


def _custom_file() -> App:
    csv = file("csv", types=["custom"], extensions=[".csv", ".tsv"]) | {"allowed_file_upload_methods": ["local_file"]}
    return _workflow(
        "custom-file",
        (
            HumanInput("files", "Upload CSV", "CSV only: {{#$output.csv#}}", (csv,), (OK,)),
            End("end_ok", "End", {"csv": ("files", "csv")}),
        ),
        ("start -> files", "files.ok -> end_ok"),
    )


def _no_human() -> App:
    return App(
        name="no-human",
        description="No human input at all.",
        start=TOPIC,
        nodes=(End("end_ok", "End", {"topic": ("start", "topic")}),),
        edges=("start -> end_ok",),
    )


def _quick_timeout() -> App:
    return _workflow(
        "quick-timeout",
        (
            _ask("Quick Question", "Answer soon: {{#start.topic#}}"),
            End("end_ok", "End", {"answer": ("ask", "answer"), "action": ("ask", "__action_id")}),
            End(
                "end_timeout",
                "End timeout",
                {"result": ("ask", "__rendered_content"), "action": ("ask", "__action_id")},
            ),
        ),
        ("start -> ask", "ask.ok -> end_ok", "ask.__timeout -> end_timeout"),
    )


def _timeout_no_branch() -> App:
    return _workflow(
        "timeout-no-branch",
        (
            _ask("Quick Question", "Answer soon: {{#start.topic#}}"),
            End("end_ok", "End", {"answer": ("ask", "answer")}),
        ),
        ("start -> ask", "ask.ok -> end_ok"),
    )


_CHAT_REVIEW = HumanInput(
    "review",
    "Chat Review",
    "The user asked: **{{#sys.query#}}**\n\n{{#$output.reply#}}\n\nReviewer: {{#$output.reviewer#}}",
    (
        paragraph("reply", variable("sys", "query")),
        select("reviewer", ("conversation", "reviewers"), from_variable=True),
    ),
    (action("send", "Send", "primary"), action("drop", "Drop")),
    timeout_seconds=24 * HOUR,
)
_CHAT_VARIABLES = {"conversation": {"reviewers": ["Ann", "Bob <b>", "Cé & co"]}}
_REPLY = "Reviewed reply: {{#review.reply#}} (by {{#review.reviewer#}}, {{#review.__action_id#}})"


def _chat_review() -> App:
    return App(
        name="chat-review",
        mode="advanced-chat",
        description="A person reviews every chat reply.",
        start=(text_input("audience", max_length=64),),
        variables=_CHAT_VARIABLES,
        nodes=(
            _CHAT_REVIEW,
            Answer("answer_send", "Answer", _REPLY),
            Answer("answer_drop", "Dropped", "The reviewer dropped this question."),
            Answer("answer_timeout", "Timed out", "Nobody answered in time."),
        ),
        edges=(
            "start -> review",
            "review.send -> answer_send",
            "review.drop -> answer_drop",
            "review.__timeout -> answer_timeout",
        ),
    )


def _chat_two_answers() -> App:
    return App(
        name="chat-two-answers",
        mode="advanced-chat",
        start=(text_input("audience", max_length=64),),
        variables=_CHAT_VARIABLES,
        nodes=(
            Answer("answer_pre", "Before", "Let me check that with a person.\n\n"),
            _CHAT_REVIEW,
            Answer("answer_send", "Answer", _REPLY),
        ),
        edges=("start -> answer_pre -> review", "review.send -> answer_send"),
    )


def _chat_files() -> App:
    return App(
        name="chat-files",
        mode="advanced-chat",
        file_upload=True,
        opening_statement="Hello!",
        suggests_questions=True,
        nodes=(
            HttpRequest("wait1", "Slow before", seconds=3),
            HumanInput(
                "review",
                "Chat Review",
                "Asked: {{#sys.query#}}\n\n{{#$output.reply#}}\n\n{{#$output.proof#}}",
                (paragraph("reply"), file_list("proof", limit=2)),
                OK_NO,
            ),
            HttpRequest("wait2", "Slow after", seconds=5),
            Answer("answer_ok", "Answer", "Reply: {{#review.reply#}} {{#review.proof#}} {{#sys.files#}}"),
        ),
        edges=("start -> wait1 -> review", "review.ok -> wait2 -> answer_ok"),
    )


def _chat_plain() -> App:
    return App(
        name="chat-plain",
        mode="advanced-chat",
        nodes=(Answer("ans", "Answer", "You said: {{#sys.query#}}"),),
        edges=("start -> ans",),
    )


def _chat_fail() -> App:
    return App(
        name="chat-fail",
        mode="advanced-chat",
        nodes=(HttpRequest("boom", "Broken call", error=REFUSED), Answer("ans", "Answer", "{{#boom.body#}}")),
        edges=("start -> boom -> ans",),
    )


def _fail_after() -> App:
    return _workflow(
        "fail-after",
        (
            _ask("Doomed Review", "Review {{#start.topic#}}"),
            HttpRequest("boom", "Broken call", error=REFUSED),
            End("end_ok", "End", {"answer": ("ask", "answer")}),
        ),
        ("start -> ask", "ask.ok -> boom -> end_ok"),
    )


def _email_only() -> App:
    return _workflow(
        "email-only",
        (
            _ask("Email Review", "Review {{#start.topic#}}", web_app=False),
            End("end_ok", "End", {"answer": ("ask", "answer")}),
        ),
        ("start -> ask", "ask.ok -> end_ok"),
    )


def _all_inputs() -> App:
    config = {"type": "object", "properties": {"k": {"type": "string"}}, "required": ["k"]}
    start = (
        text_input("name", label="Full name", required=True, max_length=48),
        text_input("nick", label="Nickname", default="buddy", max_length=20),
        long_text("bio", label="Biography", required=True, max_length=2000),
        long_text("notes", default="line one\nline two"),
        choice("color", ["red", "green", "blue"], label="Colour", required=True, default="green"),
        choice("size", ["S", "M", "L"], default=None),
        number("age", required=True),
        number("score", default="4.5"),
        checkbox("agree", label="I agree", required=True),
        checkbox("newsletter", default=True),
        start_file("avatar", required=True),
        start_file("cv", label="CV", types=["custom"], extensions=[".pdf", ".md"]),
        start_file_list("photos", required=True, types=["image"], max_length=3),
        start_file_list("extras", max_length=5),
        json_object("config", label="Config JSON", schema=config),
        json_object("blob", label="Free JSON"),
    )
    shown = ("name", "nick", "bio", "notes", "color", "size", "age", "score", "agree", "newsletter", "avatar", "photos")
    outputs = {name: ("start", name) for name in (*shown, "config")}
    return _workflow(
        "all-inputs",
        (
            HumanInput(
                "confirm",
                "Confirm",
                "Hello {{#start.name#}} ({{#start.nick#}}), age {{#start.age#}}, {{#start.color#}}, "
                "agree={{#start.agree#}}, config={{#start.config#}}, avatar={{#start.avatar#}}\n\nNothing to fill in.",
                actions=(OK, action("cancel", "Cancel")),
            ),
            End("end_ok", "End", outputs | {"action": ("confirm", "__action_id")}),
        ),
        ("start -> confirm", "confirm.ok -> end_ok", "confirm.cancel -> end_ok"),
        start,
    )


def _optional_select() -> App:
    return _workflow(
        "optional-select",
        (End("end_ok", "End", {"size": ("start", "size"), "note": ("start", "note")}),),
        ("start -> end_ok",),
        (choice("size", ["S", "M", "L"]), text_input("note", max_length=20)),
    )


def _parallel_fail() -> App:
    return _workflow(
        "parallel-fail",
        (
            _ask("Open Form", "Open: {{#start.topic#}}", actions=OK_NO),
            HttpRequest("boom", "Broken call", error=REFUSED),
            End("end_ok", "End", {"answer": ("ask", "answer")}),
            End("end_boom", "End 2", {"status": ("boom", "status_code")}),
        ),
        ("start -> ask", "start -> boom -> end_boom", "ask.ok -> end_ok"),
    )


def _parallel_slow() -> App:
    return _workflow(
        "parallel-slow",
        (
            _ask("Open Form", "Open: {{#start.topic#}}", actions=OK_NO),
            HttpRequest("slow1", "Slow one", seconds=8),
            HttpRequest("slow2", "Slow two", seconds=4),
            End("end_ok", "End", {"answer": ("ask", "answer")}),
            End("end_slow", "End 2", {"status": ("slow2", "status_code")}),
        ),
        ("start -> ask", "start -> slow1 -> slow2 -> end_slow", "ask.ok -> end_ok"),
    )


def _defaults() -> App:
    return _workflow(
        "defaults",
        (
            HumanInput(
                "ask",
                "Defaults",
                "Blob {{#start.blob#}} num {{#start.num#}} ghost {{#ghost.value#}} txt [{{#start.txt#}}] "
                "agree {{#start.agree#}}\n\n"
                "{{#$output.a#}}{{#$output.b#}}{{#$output.c#}}{{#$output.d#}}{{#$output.e#}}",
                (
                    paragraph("a", variable("start", "blob")),
                    paragraph("b", variable("start", "num")),
                    paragraph("c", variable("start", "txt")),
                    paragraph("d", variable("ghost", "value")),
                    paragraph("e", constant("const")),
                    select("pick", ("ghost", "list"), from_variable=True),
                ),
                OK_NO,
            ),
            End("end_ok", "End", {"a": ("ask", "a"), "pick": ("ask", "pick")}),
        ),
        ("start -> ask", "ask.ok -> end_ok"),
        (json_object("blob"), number("num"), text_input("txt"), checkbox("agree")),
    )


def _no_actions() -> App:
    return _workflow(
        "no-actions",
        (
            HumanInput("ask", "No Actions", "Nothing to press {{#$output.a#}}", (paragraph("a"),)),
            End("end_ok", "End", {"a": ("ask", "a")}),
        ),
        ("start -> ask", "ask.__timeout -> end_ok"),
    )


def _run_files() -> App:
    return App(
        name="run-files",
        start=TOPIC,
        file_upload=True,
        nodes=(End("end_ok", "End", {"files": ("sys", "files"), "topic": ("start", "topic")}),),
        edges=("start -> end_ok",),
    )


def _fail_next_to_form() -> App:
    return _workflow(
        "fail-next-to-form",
        (
            _ask("Open Form", "Open: {{#start.topic#}}", actions=OK_NO),
            HttpRequest("boom", "Failing call", seconds=6),
            End("end_boom", "End 2", {"status": ("boom", "status_code")}),
            End("end_ok", "End", {"answer": ("ask", "answer")}),
        ),
        ("start -> ask", "start -> boom -> end_boom", "ask.ok -> end_ok"),
    )


def _two_forms(name: str, follow_up: HttpRequest) -> App:
    return _workflow(
        name,
        (
            _ask("Form One", "One: {{#start.topic#}}", actions=OK_NO),
            _ask("Form Two", "Two", id="ask2", name="other", actions=OK_NO),
            follow_up,
            End("end_ok", "End", {"answer": ("ask", "answer")}),
            End("end_two", "End 2", {"other": ("ask2", "other")}),
        ),
        ("start -> ask", "start -> ask2", f"ask.ok -> {follow_up.id} -> end_ok", "ask2.ok -> end_two"),
    )


def _two_forms_one_fails() -> App:
    return _two_forms("two-forms-one-fails", HttpRequest("boom", "Broken call", error=REFUSED))


def _two_forms_slow() -> App:
    return _two_forms("two-forms-slow", HttpRequest("slow", "Slow step", seconds=4))


def _fail_with_retry() -> App:
    return _workflow(
        "fail-with-retry",
        (
            _ask("Open Form", "Open: {{#start.topic#}}", actions=OK_NO),
            HttpRequest("boom", "Failing call", error=REFUSED, retries=2),
            End("end_ok", "End", {"answer": ("ask", "answer")}),
            End("end_boom", "End 2", {"status": ("boom", "status_code")}),
        ),
        ("start -> ask", "start -> boom -> end_boom", "ask.ok -> end_ok"),
    )


def _big_form() -> App:
    return _workflow(
        "big-form",
        (
            HumanInput(
                "ask",
                "Big Form",
                "# Big\n\n{{#start.text#}}\n\n{{#$output.answer#}}\n\n{{#$output.pick#}}",
                (paragraph("answer"), select("pick", [f"Option {number:03} 🙂 <&>" for number in range(250)])),
                OK_NO,
            ),
            End("end_ok", "End", {"answer": ("ask", "answer"), "pick": ("ask", "pick")}),
        ),
        ("start -> ask", "ask.ok -> end_ok"),
        (long_text("text"),),
    )
