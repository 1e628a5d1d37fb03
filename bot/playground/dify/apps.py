"""The sample apps: what the demo shows and the acceptance tests drive."""

import base64

from bot.playground.dify.graph import (
    DAY,
    Answer,
    App,
    Assigner,
    Code,
    End,
    HttpRequest,
    HumanInput,
    IfElse,
    Json,
    Llm,
    Made,
    Template,
    Ticker,
    Tool,
    action,
    checkbox,
    choice,
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
from bot.playground.dify.graph import constant as fixed

_DRAFT = """\
# {{#start.topic#}}: less waiting, more doing

*A first draft in {{#start.language#}}, for your review.*

## Why it matters now

Every team knows the moment: the work is done, the numbers are right, and then everything stops, because one person \
has to say yes. **{{#start.topic#}}** takes that moment seriously. It puts the question where people already talk, \
with everything they need to decide, and it carries on the second somebody has answered. No new tab, no forgotten \
mail, no meeting to schedule the meeting.

## What people get

- **A clear question.** The full text, the choices and the deadline, in one place.
- **A quick answer.** One click decides; a sentence of feedback is enough to send something back.
- **A visible outcome.** Who decided, what and when, for everybody in the thread to see.
- **Peace of mind.** If nobody answers in time, that is an outcome, too, and not a surprise.

## A day with it

It is ten past nine. Mira has asked for the launch text, and the draft is waiting in her channel before her coffee is \
ready. She reads it, changes two words and presses a button. At eleven minutes past nine the page is live, and the \
people who wait for it hear about it in the same thread. In the afternoon a colleague sends another draft back with a \
remark: *warmer, please, and shorter*. The next version arrives before he has closed the window.

## How we would tell it

1. Start with the wait: everybody has a story about an approval that took a week.
2. Show the thread: one question, one click, one result.
3. End with the calm: nothing is lost, nothing happens twice.

Three sentences for the launch mail, in this order: *You know this wait. It ends on Monday. Here is the button.*

> "We did not get faster by hurrying. We stopped waiting." That is the sentence we want people to remember.

## What happens next

Bring one text that is stuck today. We will set it up together, in an hour, with the people who have to say yes. If \
it does not save you a day in the first week, keep the template and forget about us. If it does, you will know where \
to find **{{#start.topic#}}**, and so will everybody who has read this far.
"""

_REVISION = """\
# {{#start.topic#}}, in one breath

*The second draft in {{#start.language#}}, written with your feedback in mind.*

Work should not wait for a yes. With **{{#start.topic#}}** the question comes to the people who can answer it, in \
the place where they already are. They read, they change a word or two, they press one button, and the work goes on.

- **One question**, complete and in one place.
- **One click**, with room for a remark.
- **One result**, visible to everybody it concerns.

## What you asked for

> {{#review.feedback#}}

We have taken that to heart: fewer words, a warmer tone, and the point in the first sentence.
"""

_REVIEW_ACTIONS = (
    action("approve", "Approve", "primary"),
    action("edit", "Apply edit"),
    action("regenerate", "Regenerate", "accent"),
)


def content_review() -> App:
    """The content review of Dify's documentation: a draft is approved, edited, or regenerated with feedback."""
    return App(
        name="content_review",
        description="Writes a text about a topic and publishes it once a person has approved it.",
        start=(
            text_input("topic", required=True, max_length=256),
            choice("language", ["English", "German", "French"], required=True),
        ),
        nodes=(
            Template("brief", "Read the brief", "Write about {{#start.topic#}} in {{#start.language#}}."),
            HttpRequest("facts", "Collect facts", seconds=0.6),
            Llm("draft", "Generate Draft", _DRAFT, seconds=2.0),
            _review("review", "Review draft", "draft"),
            Llm("publish", "Prepare post", "{{#draft.text#}}", seconds=1.5),
            End("approved", "Published", {"post": ("publish", "text"), "decision": ("review", "__action_value")}),
            Llm("apply", "Apply edit", "{{#review.edits#}}", seconds=1.5),
            End(
                "edited", "Published with edits", {"post": ("apply", "text"), "decision": ("review", "__action_value")}
            ),
            Llm("redraft", "Regenerate", _REVISION, seconds=1.5),
            HttpRequest("check", "Check revision", seconds=0.4),
            _review("second_review", "Review revision", "redraft"),
            Template("approved_revision", "Prepare revision", "{{#redraft.text#}}"),
            End(
                "revised",
                "Revision published",
                {"post": ("approved_revision", "output"), "decision": ("second_review", "__action_value")},
            ),
            End(
                "revision_edited",
                "Revision published with edits",
                {"post": ("second_review", "edits"), "decision": ("second_review", "__action_value")},
            ),
            Template("dropped", "Set aside", "Two drafts were sent back. Nothing was published."),
            End("given_up", "Nothing published", {"decision": ("dropped", "output")}),
            Template("late", "Note the deadline", "Nobody answered in time. Nothing was published."),
            End("unanswered", "Nobody answered", {"decision": ("late", "output")}),
        ),
        edges=(
            "start -> brief -> facts -> draft -> review",
            "review.approve -> publish -> approved",
            "review.edit -> apply -> edited",
            "review.regenerate -> redraft -> check -> second_review",
            "second_review.approve -> approved_revision -> revised",
            "second_review.edit -> revision_edited",
            "second_review.regenerate -> dropped -> given_up",
            "review.__timeout -> late -> unanswered",
            "second_review.__timeout -> late",
        ),
    )


def _review(id: str, title: str, draft: str) -> HumanInput:
    return HumanInput(
        id,
        title,
        content="Please read this before it is published.\n\n"
        f"{{{{#{draft}.text#}}}}\n\n---\n\n"
        "**Your edits** replace the text above when you press *Apply edit*:\n\n{{#$output.edits#}}\n\n"
        "**Feedback** for another try, when you press *Regenerate*:\n\n{{#$output.feedback#}}\n",
        inputs=(paragraph("edits", variable(draft, "text")), paragraph("feedback")),
        actions=_REVIEW_ACTIONS,
        timeout_seconds=3 * DAY,
    )


def every_field() -> App:
    """Every start input, every form field, and the four button styles."""
    return App(
        name="every_field",
        description="Shows every kind of start input and form field.",
        start=(
            text_input("title", required=True, max_length=80),
            long_text("notes", default="Nothing special.", max_length=2000),
            choice("size", ["S", "M", "L"], default="M"),
            number("copies", default="1"),
            checkbox("urgent", default=False),
            json_object("options"),
            start_file("attachment"),
            start_file_list("photos", types=["image"]),
        ),
        variables={"env": {"reviewers": ["Ann", "Bob", "Cé & co"]}},
        nodes=(
            HumanInput(
                "form",
                "Every field",
                content="## {{#start.title#}}\n\nSize {{#start.size#}}, copies: {{#start.copies#}}\n\n"
                "Greeting\n\n{{#$output.greeting#}}\n\nTitle\n\n{{#$output.title#}}\n\n"
                "Remarks\n\n{{#$output.remarks#}}\n\n"
                "Priority\n\n{{#$output.priority#}}\n\nReviewer\n\n{{#$output.reviewer#}}\n\n"
                "Contract\n\n{{#$output.contract#}}\n\nEvidence\n\n{{#$output.evidence#}}\n",
                inputs=(
                    paragraph("greeting", fixed("Hello,")),
                    paragraph("title", variable("start", "title")),
                    paragraph("remarks"),
                    select("priority", ["low", "normal", "high"]),
                    select("reviewer", ("env", "reviewers"), from_variable=True),
                    file("contract", types=["document"]),
                    file_list("evidence", types=["image", "document", "custom"], extensions=[".log"], limit=3),
                ),
                actions=(
                    action("accept", "Accept", "primary"),
                    action("later", "Decide later"),
                    action("escalate", "Escalate", "accent"),
                    action("dismiss", "Dismiss", "ghost"),
                ),
            ),
            End(
                "done",
                "Done",
                {
                    "greeting": ("form", "greeting"),
                    "remarks": ("form", "remarks"),
                    "priority": ("form", "priority"),
                    "reviewer": ("form", "reviewer"),
                    "decision": ("form", "__action_value"),
                    "contract": ("form", "contract"),
                    "evidence": ("form", "evidence"),
                },
            ),
        ),
        edges=(
            "start -> form",
            "form.accept -> done",
            "form.later -> done",
            "form.escalate -> done",
            "form.dismiss -> done",
        ),
    )


def pick() -> App:
    """A text and a menu: a form that can be filled in wrongly."""
    return App(
        name="pick",
        description="Plans a menu and lets a person decide on it.",
        start=(
            text_input("title", required=True, max_length=40),
            choice("size", ["S", "M", "L"], default="M"),
            number("copies", default="1"),
        ),
        nodes=(
            HumanInput(
                "decide",
                "Decide",
                content="## {{#start.title#}}\n\nSize {{#start.size#}}.\n\n"
                "Remarks\n\n{{#$output.remarks#}}\n\nPriority\n\n{{#$output.priority#}}\n",
                inputs=(paragraph("remarks"), select("priority", ["low", "normal", "high"])),
                actions=(action("accept", "Accept", "primary"), action("dismiss", "Dismiss", "ghost")),
            ),
            End(
                "done",
                "Done",
                {
                    "remarks": ("decide", "remarks"),
                    "priority": ("decide", "priority"),
                    "decision": ("decide", "__action_value"),
                },
            ),
        ),
        edges=("start -> decide", "decide.accept -> done", "decide.dismiss -> done"),
    )


_TOPIC = (text_input("topic", default="something"),)


def _ask(id: str, title: str, *actions: Json) -> HumanInput:
    return HumanInput(
        id,
        title,
        content=f"{title} of **{{{{#start.topic#}}}}**\n\n{{{{#$output.note#}}}}",
        inputs=(paragraph("note"),),
        actions=actions or (action("ok", "OK", "primary"), action("no", "No")),
    )


def two_forms() -> App:
    """Two forms, one after the other."""
    return App(
        name="two_forms",
        start=_TOPIC,
        nodes=(
            _ask("first", "First review"),
            _ask("second", "Second review"),
            End("end", "End", {"first": ("first", "note"), "second": ("second", "note")}),
        ),
        edges=("start -> first", "first.ok -> second", "first.no -> end", "second.ok -> end", "second.no -> end"),
    )


def parallel() -> App:
    """Two forms at once."""
    return App(
        name="parallel",
        start=_TOPIC,
        nodes=(
            _ask("legal", "Legal review"),
            _ask("brand", "Brand review"),
            End("end", "End", {"legal": ("legal", "note"), "brand": ("brand", "note")}),
        ),
        edges=(
            "start -> legal",
            "start -> brand",
            "legal.ok -> end",
            "legal.no -> end",
            "brand.ok -> end",
            "brand.no -> end",
        ),
    )


def fails_after() -> App:
    """A step that fails once the form is answered."""
    return App(
        name="fails_after",
        start=_TOPIC,
        nodes=(
            _ask("ask", "Doomed review"),
            HttpRequest("call", "Call the printer", seconds=0.3, error="[Errno 111] Connection refused"),
            End("end", "End", {"note": ("ask", "note")}),
        ),
        edges=("start -> ask", "ask.ok -> call -> end", "ask.no -> end"),
    )


def slow(steps: int = 10, seconds: float = 2.0) -> App:
    """A run of `steps` steps of `seconds` each (of a real server), without a form."""
    names = [f"step{number}" for number in range(1, steps + 1)]
    return App(
        name="slow",
        start=_TOPIC,
        nodes=(
            *(HttpRequest(name, f"Step {number}", seconds=seconds) for number, name in enumerate(names, 1)),
            End("end", "End", {"topic": ("start", "topic")}),
        ),
        edges=(" -> ".join(["start", *names, "end"]),),
    )


def quick() -> App:
    """A run that ends at once."""
    return App(
        name="quick",
        start=_TOPIC,
        nodes=(End("end", "End", {"topic": ("start", "topic")}),),
        edges=("start -> end",),
    )


def ticker(rate: float = 20.0, seconds: float = 60.0) -> App:
    """A run that streams `rate` events a second for `seconds`: a load for benchmarks."""
    return App(
        name="ticker",
        nodes=(
            Ticker("tick", "Tick", rate=rate, seconds=seconds),
            End("end", "End", {"count": ("tick", "count")}),
        ),
        edges=("start -> tick -> end",),
    )


def chat_review() -> App:
    """A chatflow whose reply a person reviews."""
    return App(
        name="chat_review",
        mode="advanced-chat",
        description="A person reviews every reply.",
        start=(text_input("audience"),),
        nodes=(
            Llm("reply", "Write a reply", "You asked: {{#sys.query#}} Here is what we would say to that.", seconds=1.0),
            HumanInput(
                "review",
                "Review reply",
                content="**{{#sys.query#}}**\n\n{{#$output.reply#}}",
                inputs=(paragraph("reply", variable("reply", "text")),),
                actions=(action("send", "Send", "primary"), action("drop", "Drop")),
                timeout_seconds=DAY,
            ),
            Llm("polish", "Polish", "{{#review.reply#}}", seconds=1.0),
            Answer("sent", "Answer", "{{#polish.text#}}"),
            Answer("dropped", "Dropped", "The reviewer dropped this question."),
            Answer("late", "Timed out", "Nobody answered in time."),
        ),
        edges=(
            "start -> reply -> review",
            "review.send -> polish -> sent",
            "review.drop -> dropped",
            "review.__timeout -> late",
        ),
    )


def chat() -> App:
    """A support chatflow: it remembers the last question, and a person decides about refunds.

    Its answer stands before the form and goes on after it: Dify's stream and stored answer lose the part after the form
    (recording 16), only the outputs of the run have all of it.
    """
    return App(
        name="chat",
        mode="advanced-chat",
        description="Answers customers, and asks a person before money is given back.",
        start=(text_input("name", label="Your name"),),
        variables={"conversation": {"last_question": "nothing yet"}},
        opening_statement="Hello! Ask me about your order, or for a refund.",
        suggested_questions=("Where is my order?", "I would like a refund."),
        suggests_questions=True,
        next_questions=("How long does a refund take?", "Can I change the address?", "Where is my order?"),
        nodes=(
            IfElse("kind", "Is it a refund?", ("sys", "query"), ("refund", "Refund", "money back")),
            Llm(
                "reply",
                "Write the answer",
                "You asked: {{#sys.query#}}\n\nThis is message {{#sys.dialogue_count#}} of our conversation. "
                "Before it you asked: {{#conversation.last_question#}}",
                seconds=1.5,
            ),
            Answer("answer", "Answer", "{{#reply.text#}}"),
            Answer("patience", "Ask for patience", "A colleague decides about refunds. I am asking now.\n\n"),
            HumanInput(
                "approval",
                "Approve the refund",
                content="**{{#sys.query#}}**\n\nBefore it: {{#conversation.last_question#}}\n\n"
                "What to tell the customer\n\n{{#$output.message#}}\n",
                inputs=(paragraph("message", fixed("Your money is on its way.")),),
                actions=(action("approve", "Approve", "primary"), action("decline", "Decline")),
                timeout_seconds=DAY,
            ),
            Llm("decision", "Write the decision", "{{#approval.message#}}", seconds=1.0),
            Answer("approved", "Refund approved", "{{#decision.text#}}"),
            Answer("declined", "Refund declined", "We are sorry, this order cannot be refunded."),
            Answer("undecided", "Nobody decided", "Nobody could decide in time. Please ask again."),
            Assigner("remember", "Remember the question", "last_question", "{{#sys.query#}}"),
        ),
        edges=(
            "start -> kind",
            "kind.false -> reply -> answer -> remember",
            "kind.true -> patience -> approval",
            "approval.approve -> decision -> approved -> remember",
            "approval.decline -> declined -> remember",
            "approval.__timeout -> undecided -> remember",
        ),
    )


def _long_markdown(characters: int) -> str:
    """Return exactly so many characters of Markdown, whose numbered sections show where something is missing."""
    text, count = "# The long report\n\n", 0
    while len(text) < characters:
        count += 1
        text += (
            f"## Section {count}\n\n"
            f"This is section **{count}**. It says what every section says, in *other* words, with `code {count}` "
            f"and a [link](https://example.com/sections/{count}).\n\n"
            f"- First point of section {count}\n- Second point of section {count}\n  1. with a step below it\n\n"
            f"> A quotation from section {count}.\n\n"
            f"| Measure | Value |\n| --- | ---: |\n| Section | {count} |\n| Square | {count * count} |\n\n"
            f"```python\nprint({count})\n```\n\n"
        )
    return text[:characters]


def long_report(characters: int = 100_000, seconds: float = 5.0) -> App:
    """A report of so many characters of Markdown, streamed in `seconds` (of a real server), and its output, too."""
    return App(
        name="long_report",
        description="Writes a very long report.",
        start=_TOPIC,
        nodes=(
            Llm("write", "Write the report", _long_markdown(characters), seconds=seconds, words=40),
            End("end", "Report", {"report": ("write", "text")}),
        ),
        edges=("start -> write -> end",),
    )


def long_form(characters: int = 200_000) -> App:
    """A form below so many characters of Markdown."""
    return App(
        name="long_form",
        description="Lets a person review a very long report.",
        start=_TOPIC,
        nodes=(
            Template("report", "Compile the report", _long_markdown(characters)),
            HumanInput(
                "review",
                "Review the report",
                content="{{#report.output#}}\n\nRemarks\n\n{{#$output.remarks#}}\n",
                inputs=(paragraph("remarks"),),
                actions=(action("accept", "Accept", "primary"), action("reject", "Reject")),
            ),
            End("end", "Reviewed", {"remarks": ("review", "remarks"), "decision": ("review", "__action_value")}),
        ),
        edges=("start -> report -> review", "review.accept -> end", "review.reject -> end"),
    )


_ODD_TEXT = """\
# An odd\u0007 form\u001b[31m with \u202econtrol\u202c characters\u200b

<!channel> <@U0000000001> & <https://example.com|a forged link>

A marker of no field: {{#$output.nobody#}}. A reference to nothing: {{#ghost.value#}}.

Once: {{#$output.note#}} and once more: {{#$output.note#}}

In code: `{{#$output.inline#}}`

```
{{#$output.fenced#}}
```

Many options:

{{#$output.many#}}

No option at all:

{{#$output.none#}}
"""

_LONG_OPTION = (
    "An option whose first hundred characters are those of another one, so that only its end tells it apart: "
)
_ODD_OPTIONS = (
    *(f"Option {number:03}" for number in range(1, 243)),
    _LONG_OPTION + "one",
    _LONG_OPTION + "two",
    "Option 001",
    "Option 002",
    "<!channel> & *bold* `code`",
    "two\nlines",
    " spaces around ",
    "👩‍👩‍👧 emoji",
)


def odd() -> App:
    """Two forms of everything odd that Dify allows; the second one has no text at all."""
    titles = [f"Decision {number:02} " for number in range(1, 20)] + ["Decision 19 "]
    actions = [
        action(f"decision_{number}", title.ljust(100, "x"), "primary" if number == 1 else "ghost")
        for number, title in enumerate(titles, 1)
    ]
    return App(
        name="odd",
        description="Asks in every odd way that Dify allows.",
        variables={"env": {"nothing": []}},
        nodes=(
            HumanInput(
                "form",
                "Odd form",
                content=_ODD_TEXT,
                inputs=(
                    paragraph("note"),
                    paragraph("inline"),
                    paragraph("fenced"),
                    select("many", _ODD_OPTIONS),
                    select("none", ("env", "nothing"), from_variable=True),
                    select("lost", ("ghost", "options"), from_variable=True),
                    paragraph("long", fixed(_long_markdown(10_000))),
                    paragraph("unknown", variable("ghost", "text")),
                ),
                actions=actions,
            ),
            HumanInput(
                "blank", "No text", content="", inputs=(paragraph("answer"),), actions=(action("ok", "OK", "primary"),)
            ),
            End(
                "end",
                "Done",
                {
                    "note": ("form", "note"),
                    "many": ("form", "many"),
                    "none": ("form", "none"),
                    "long": ("form", "long"),
                    "decision": ("form", "__action_id"),
                    "answer": ("blank", "answer"),
                },
            ),
        ),
        edges=("start -> form", *(f"form.{each['id']} -> blank" for each in actions), "blank.ok -> end"),
    )


def all_inputs() -> App:
    """Every kind of start input but files; `priority`, a select without a default, can never be left out (19)."""
    schema = {
        "type": "object",
        "properties": {
            "retries": {"type": "integer"},
            "mode": {"type": "string", "enum": ["draft", "final"]},
            "tags": {"type": "array", "items": {"type": "string"}},
        },
        "required": ["mode"],
    }
    start = (
        text_input("name", label="Full name", required=True, max_length=48),
        text_input("nickname", default="buddy", max_length=20),
        long_text("biography", required=True, max_length=2000),
        long_text("notes", default="line one\nline two"),
        choice("colour", ["red", "green", "blue"], required=True, default="green"),
        choice("size", ["S", "M", "L"], default=None),
        choice("priority", ["low", "normal", "high"]),
        number("age", required=True),
        number("score", default="4.5"),
        checkbox("agree", label="I agree", required=True),
        checkbox("newsletter", default=True),
        json_object("settings", schema=schema),
        json_object("extras"),
    )
    return App(
        name="all_inputs",
        description="Takes every kind of start input.",
        start=start,
        nodes=(End("end", "Done", {item["variable"]: ("start", item["variable"]) for item in start}),),
        edges=("start -> end",),
    )


_DOT = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
_CHART = Made("chart.png", _DOT)
_LETTER = Made("letter.pdf", b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n")


def file_form() -> App:
    """A form that wants a document and up to three pictures, and gives them back as its outputs.

    Neither answer does without them: Dify wants every field for every action, and a file field is never empty (09).
    """
    return App(
        name="file_form",
        description="Collects a contract and photos.",
        start=_TOPIC,
        nodes=(
            HumanInput(
                "documents",
                "Hand in documents",
                content="## Documents for {{#start.topic#}}\n\nThe signed contract\n\n{{#$output.contract#}}\n\n"
                "Photos of the site\n\n{{#$output.photos#}}\n\nRemarks\n\n{{#$output.remarks#}}\n",
                inputs=(
                    file("contract", types=["document"]),
                    file_list("photos", types=["image"], limit=3),
                    paragraph("remarks"),
                ),
                actions=(action("submit", "Hand in", "primary"), action("withdraw", "Withdraw")),
            ),
            End(
                "end",
                "Documents",
                {
                    "contract": ("documents", "contract"),
                    "photos": ("documents", "photos"),
                    "remarks": ("documents", "remarks"),
                    "decision": ("documents", "__action_value"),
                },
            ),
        ),
        edges=("start -> documents", "documents.submit -> end", "documents.withdraw -> end"),
    )


def file_start() -> App:
    """A workflow that starts with a document and up to three pictures, and gives them back."""
    return App(
        name="file_start",
        description="Files a contract with its photos.",
        start=(
            start_file("contract", required=True, types=["document"]),
            start_file_list("photos", types=["image"], max_length=3),
            text_input("note"),
        ),
        nodes=(
            End(
                "end",
                "Filed",
                {"contract": ("start", "contract"), "photos": ("start", "photos"), "note": ("start", "note")},
            ),
        ),
        edges=("start -> end",),
    )


def file_chat() -> App:
    """A chatflow that takes files along, and answers with those, a picture and a document."""
    return App(
        name="file_chat",
        mode="advanced-chat",
        description="Answers with a chart and a letter.",
        file_upload=True,
        nodes=(
            Tool("draw", "Draw a chart", [_CHART]),
            Tool("write", "Write a letter", [_LETTER]),
            Answer(
                "answer",
                "Answer",
                "About *{{#sys.query#}}*:\n\n{{#draw.files#}}\n\nThe letter: {{#write.files#}}\n\n"
                "What you sent:\n\n{{#sys.files#}}",
            ),
        ),
        edges=("start -> draw -> write -> answer",),
    )


def picture_form(chart: bytes = _DOT) -> App:
    """A form that shows a picture (a PNG) between its texts, and links to a document."""
    return App(
        name="picture_form",
        description="Asks about a chart.",
        start=_TOPIC,
        nodes=(
            Tool("draw", "Draw a chart", [Made("chart.png", chart)]),
            Tool("write", "Write a letter", [_LETTER]),
            HumanInput(
                "review",
                "Review the chart",
                content="The chart of **{{#start.topic#}}**\n\n{{#draw.files#}}\n\nIts letter: {{#write.files#}}\n\n"
                "Remarks\n\n{{#$output.remarks#}}\n",
                inputs=(paragraph("remarks"),),
                actions=(action("accept", "Accept", "primary"), action("reject", "Reject")),
            ),
            End("end", "Reviewed", {"remarks": ("review", "remarks"), "chart": ("draw", "files")}),
        ),
        edges=("start -> draw -> write -> review", "review.accept -> end", "review.reject -> end"),
    )


def file_report(size: int = 20_000) -> App:
    """A run that makes files: one of `size` bytes, and two that lie deep in an output next to a text that links to one.

    The big one is a video of zeros, which takes up no memory here.
    """
    return App(
        name="file_report",
        description="Makes a report with files.",
        start=_TOPIC,
        nodes=(
            Tool("draw", "Draw a chart", [_CHART]),
            Tool("write", "Write a letter", [_LETTER]),
            Tool("film", "Make a film", [Made("film.mp4", (size, b"\0"))]),
            Template("text", "Write the text", "The chart of {{#start.topic#}}: {{#draw.files#}}"),
            Code("report", "Put together", {"report": {"parts": [{"chart": ("draw", "files")}, ("write", "files")]}}),
            End(
                "end",
                "Report",
                {"text": ("text", "output"), "report": ("report", "report"), "film": ("film", "files")},
            ),
        ),
        edges=("start -> draw -> write -> film -> text -> report -> end",),
    )


def all_apps() -> list[App]:
    """Return every sample app."""
    return [
        content_review(),
        every_field(),
        pick(),
        two_forms(),
        parallel(),
        fails_after(),
        slow(),
        quick(),
        ticker(),
        chat_review(),
        chat(),
        long_report(),
        long_form(),
        odd(),
        all_inputs(),
        file_form(),
        file_start(),
        file_chat(),
        picture_form(),
        file_report(),
    ]
