"""The tables. Columns of `runs` and `forms` bear the names of the fields of `Run` and `Form`.

`is_answering` is no field but what the core says of a run, for the statements that go by it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    TypeDecorator,
    false,
    text,
)
from sqlalchemy import Text as SqlText


class Moment(TypeDecorator[datetime]):
    """An aware moment, kept and given back in UTC; SQLite's own type forgets the zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.replace(tzinfo=UTC)


class Text(TypeDecorator[str]):
    """Text of people and models, without what PostgreSQL cannot hold.

    Dify delivers NUL characters (recording 32), and JSON can spell half a surrogate pair, which is no Unicode text.
    """

    impl = SqlText
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else value.replace("\0", "").encode("utf-8", "replace").decode()


class OutboxState(StrEnum):
    """Where an effect stands. One that is carried out has no row any more."""

    PENDING = "pending"
    """Waits for `due_at` and for those before it in its lane."""
    HELD = "held"
    """Begun, and waits for its turn: nothing of it has been sent."""
    SENDING = "sending"
    """Begun; some of it may have been sent."""
    FAILED = "failed"
    """Given up for `reason`; blocks nobody."""


metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

_ENDED = text("ended_at IS NOT NULL")
_GOES_ON = text("ended_at IS NULL")
UNDECIDED = text("status IN ('required', 'open')")
"""Of a row of `forms`; in these words, since SQLite uses an index with a condition for the same words alone."""

runs = Table(
    "runs",
    metadata,
    Column("run_id", String, primary_key=True),
    Column("app", String, nullable=False),
    Column("mode", String, nullable=False),
    Column("team_id", String, nullable=False),
    Column("channel_id", String, nullable=False),
    Column("starter_id", String, nullable=False),
    Column("dify_user", String, nullable=False),
    Column("run_inputs", JSON, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("status", String, nullable=False, index=True),
    Column("since", Moment),
    Column("query", Text, nullable=False),
    Column("said_at", Moment),
    Column("response_url", String),
    Column("thread_ts", String),
    Column("root_ts", String),
    Column("workflow_run_id", String),
    Column("task_id", String),
    Column("conversation_id", String),
    Column("crowded", Boolean, nullable=False, server_default=false()),
    Column("question_ts", String),
    Column("settlement", JSON(none_as_null=True)),
    Column("message_id", String),
    Column("suggestions", JSON),
    Column("suggestions_ts", String),
    Column("attachments", JSON),
    Column("out_files", JSON),
    Column("segment", Integer, nullable=False, server_default="0"),
    Column("answer_ts", String),
    Column("texts", JSON),
    Column("outputs", JSON, nullable=False),
    Column("error", Text),
    Column("failed_step", Text),
    Column("stop_requested_by", String),
    Column("started_at", Moment),
    Column("ended_at", Moment),
    Column("told_stuck", Boolean, nullable=False),
    Column("told_refused", Boolean, nullable=False, server_default=false()),
    Column("failed_looks", Integer, nullable=False, server_default="0"),
    Column("compared_at", Moment),
    Column("compared_steps", Integer),
    Column("poll_at", Moment),
    Column("is_answering", Boolean, nullable=False, server_default=false()),
    # Whoever asks for the runs of one server must not read all those of another that hangs.
    Index(None, "poll_at", "app"),
    # Without those that go on: they may be many, and who asks for some of them must not be led through all.
    Index(None, "ended_at", sqlite_where=_ENDED, postgresql_where=_ENDED),
    # A thread may hold many messages; the first and the last of them are found by this, and here those that go on.
    Index(None, "channel_id", "thread_ts", "said_at"),
    Index(None, "channel_id", "thread_ts", sqlite_where=_GOES_ON, postgresql_where=_GOES_ON),
    Index(None, "workflow_run_id"),
    # A Home lists what one person has started, whenever it is looked at.
    Index(None, "starter_id", "ended_at"),
)

forms = Table(
    "forms",
    metadata,
    Column("form_id", String, primary_key=True),
    Column("run_id", ForeignKey(runs.c.run_id), nullable=False),
    Column("position", Integer, nullable=False),
    Column("node_id", String, nullable=False),
    Column("node_title", Text, nullable=False),
    Column("content", Text, nullable=False),
    Column("inputs", JSON, nullable=False),
    Column("user_actions", JSON, nullable=False),
    Column("form_token", String),
    Column("asked_at", Moment),
    Column("expires_at", Moment),
    Column("answerable", Boolean, nullable=False),
    Column("status", String, nullable=False),
    Column("message_ts", String),
    Column("revision", Integer, nullable=False),
    Column("submission", JSON(none_as_null=True)),
    Column("refusal", Text),
    Column("lost_responses", Integer, nullable=False),
    Column("delayed", Boolean, nullable=False, server_default=false()),
    Column("card_ts", String),
    Column("not_shown", Boolean, nullable=False, server_default=false()),
    Column("remind_at", Moment, index=True),
    Index(None, "run_id", "position", unique=True),
    # Without those that are decided: what Dify has not closed soon after its deadline are few.
    Index(None, "expires_at", "run_id", sqlite_where=UNDECIDED, postgresql_where=UNDECIDED),
)

drafts = Table(
    "drafts",
    metadata,
    Column("form_id", ForeignKey(forms.c.form_id), primary_key=True),
    Column("user_id", String, primary_key=True),
    Column("entered", JSON, nullable=False),
    Column("saved_at", Moment, nullable=False),
)
"""What a person has entered into a form's window and not sent."""

outbox = Table(
    "outbox",
    metadata,
    # The order within a lane. Never given again, so that a late `finish` cannot hit another effect.
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("post_id", String, nullable=False, unique=True),
    Column("run_id", ForeignKey(runs.c.run_id)),
    Column("lane", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("payload", JSON, nullable=False),
    Column("state", String, nullable=False),
    # The process that began it; only `processes` tells whether that one is alive.
    Column("owner", String),
    Column("attempts", Integer, nullable=False),
    Column("due_at", Moment, nullable=False),
    Column("reason", Text),
    Column("created_at", Moment, nullable=False),
    Index(None, "state", "due_at"),
    Index(None, "run_id", "lane", "id"),
    sqlite_autoincrement=True,
)

inbox = Table(
    "inbox",
    metadata,
    Column("delivery", String, primary_key=True),
    Column("received_at", Moment, nullable=False, index=True),
)

processes = Table(
    "processes",
    metadata,
    Column("process_id", String, primary_key=True),
    Column("lease_until", Moment, nullable=False),
)
"""The processes that share the database. Whose lease lapsed is taken for dead: its row goes, its work is taken over."""

follows = Table(
    "follows",
    metadata,
    Column("run_id", ForeignKey(runs.c.run_id), primary_key=True),
    Column("process_id", String, nullable=False),
)
"""Which process reads the stream of a run; of a process that is gone, the run may be followed by anybody."""
