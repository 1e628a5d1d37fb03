"""Values of the core with defaults; a test names only what it is about."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from bot.core.model import (
    AppMode,
    Attachment,
    AttachmentStatus,
    ButtonStyle,
    Command,
    FileKind,
    Form,
    FormStatus,
    Paragraph,
    Run,
    Submission,
    UserAction,
)
from bot.core.ports import FileContent

NOW = datetime(2026, 3, 4, 5, 6, 7, 890123, tzinfo=UTC)

_SUBMISSION = Submission(action_id="approve", values={"feedback": "Looks good"}, user_id="U2", at=NOW)

_FORM = Form(
    form_id="form-1",
    node_id="node-review",
    node_title="Review",
    content="A draft.\n\n{{#$output.feedback#}}",
    inputs=(Paragraph("feedback"),),
    user_actions=(
        UserAction("approve", "Approve", ButtonStyle.PRIMARY),
        UserAction("regenerate", "Regenerate with feedback"),
    ),
    form_token="form-token-demo",
    status=FormStatus.OPEN,
    message_ts="1700000000.000200",
)

_RUN = Run(
    run_id="run-1",
    app="review",
    mode=AppMode.WORKFLOW,
    team_id="T1",
    channel_id="C1",
    starter_id="U1",
    dify_user="slack:T1:U1",
    run_inputs={"topic": "tea"},
    created_at=NOW,
)

_COMMAND = Command(
    command_id="run-1",
    name="/dify",
    text="review topic=tea",
    team_id="T1",
    channel_id="C1",
    user_id="U1",
    response_url="https://hooks.example/commands/T1/1",
)

_ATTACHMENT = Attachment(
    attachment_id="attachment-1",
    name="shot.png",
    user_id="U1",
    form_id="form-1",
    field="proof",
    status=AttachmentStatus.READY,
    slack_file_id="F1",
    mime_type="image/png",
    size=73,
    kind=FileKind.IMAGE,
    upload_file_id="upload-1",
)


def make_submission(**changes: Any) -> Submission:
    """Return the answer “approve” of the person U2."""
    return replace(_SUBMISSION, **changes)


def make_form(**changes: Any) -> Form:
    """Return an open form with one paragraph and two user actions, posted in the thread."""
    return replace(_FORM, **changes)


def make_run(**changes: Any) -> Run:
    """Return a Workflow run that was just requested, without a form."""
    return replace(_RUN, **changes)


def make_command(**changes: Any) -> Command:
    """Return the slash command that asks for the run of `make_run`."""
    return replace(_COMMAND, **changes)


def make_attachment(**changes: Any) -> Attachment:
    """Return a picture that U1 gave to the field `proof` of the form of `make_form`, and that Dify has."""
    return replace(_ATTACHMENT, **changes)


def file_of(*pieces: bytes, mime_type: str = "text/plain", size: int | None = None) -> FileContent:
    """Return a file that is read in these pieces; `size` is what its source says, where that is not their length."""

    async def arriving() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    return FileContent(arriving(), sum(map(len, pieces)) if size is None else size, mime_type)
