"""The first tables: runs, their forms, the outbox and the inbox."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Create them."""
    _create_runs()
    _create_forms()
    _create_outbox()
    _create_inbox()


def _create_runs() -> None:
    op.create_table(
        "runs",
        sa.Column("run_id", sa.String, nullable=False),
        sa.Column("app", sa.String, nullable=False),
        sa.Column("mode", sa.String, nullable=False),
        sa.Column("team_id", sa.String, nullable=False),
        sa.Column("channel_id", sa.String, nullable=False),
        sa.Column("starter_id", sa.String, nullable=False),
        sa.Column("dify_user", sa.String, nullable=False),
        sa.Column("run_inputs", sa.JSON, nullable=False),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("status", sa.String, nullable=False),
        sa.Column("since", _MOMENT),
        sa.Column("query", sa.Text, nullable=False),
        sa.Column("response_url", sa.String),
        sa.Column("thread_ts", sa.String),
        sa.Column("workflow_run_id", sa.String),
        sa.Column("task_id", sa.String),
        sa.Column("conversation_id", sa.String),
        sa.Column("answer_ts", sa.String),
        sa.Column("outputs", sa.JSON, nullable=False),
        sa.Column("error", sa.Text),
        sa.Column("failed_step", sa.Text),
        sa.Column("stop_requested_by", sa.String),
        sa.Column("started_at", _MOMENT),
        sa.Column("ended_at", _MOMENT),
        sa.Column("told_stuck", sa.Boolean, nullable=False),
        sa.Column("poll_at", _MOMENT),
        sa.PrimaryKeyConstraint("run_id", name="pk_runs"),
    )
    op.create_index("ix_runs_status", "runs", ["status"])
    op.create_index("ix_runs_poll_at", "runs", ["poll_at"])


def _create_forms() -> None:
    op.create_table(
        "forms",
        sa.Column("form_id", sa.String, nullable=False),
        sa.Column("run_id", sa.String, nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("node_id", sa.String, nullable=False),
        sa.Column("node_title", sa.Text, nullable=False),
        sa.Column("content", sa.Text, nullable=False),
        sa.Column("inputs", sa.JSON, nullable=False),
        sa.Column("user_actions", sa.JSON, nullable=False),
        sa.Column("form_token", sa.String),
        sa.Column("expires_at", _MOMENT),
        sa.Column("answerable", sa.Boolean, nullable=False),
        sa.Column("status", sa.String, nullable=False),
        sa.Column("message_ts", sa.String),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("submission", sa.JSON),
        sa.Column("refusal", sa.Text),
        sa.Column("lost_responses", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("form_id", name="pk_forms"),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name="fk_forms_run_id_runs"),
    )
    op.create_index("ix_forms_run_id_position", "forms", ["run_id", "position"], unique=True)


def _create_outbox() -> None:
    op.create_table(
        "outbox",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), nullable=False, autoincrement=True),
        sa.Column("post_id", sa.String, nullable=False),
        sa.Column("run_id", sa.String),
        sa.Column("lane", sa.String, nullable=False),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("payload", sa.JSON, nullable=False),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("due_at", _MOMENT, nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_outbox"),
        sa.UniqueConstraint("post_id", name="uq_outbox_post_id"),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name="fk_outbox_run_id_runs"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_outbox_state_due_at", "outbox", ["state", "due_at"])
    op.create_index("ix_outbox_run_id_lane_id", "outbox", ["run_id", "lane", "id"])


def _create_inbox() -> None:
    op.create_table(
        "inbox",
        sa.Column("delivery", sa.String, nullable=False),
        sa.Column("received_at", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("delivery", name="pk_inbox"),
    )
    op.create_index("ix_inbox_received_at", "inbox", ["received_at"])
