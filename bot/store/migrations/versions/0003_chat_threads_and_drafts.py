"""Messages to a Chatflow as replies in one thread, runs found again, a text of each segment, and drafts of windows."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add them."""
    op.add_column("runs", sa.Column("root_ts", sa.String))
    op.execute("UPDATE runs SET root_ts = thread_ts")
    op.add_column("runs", sa.Column("message_id", sa.String))
    op.add_column("runs", sa.Column("suggestions", sa.JSON))
    op.execute("UPDATE runs SET suggestions = '[]'")
    op.add_column("runs", sa.Column("suggestions_ts", sa.String))
    op.add_column("runs", sa.Column("segment", sa.Integer, nullable=False, server_default="0"))
    op.create_index("ix_runs_workflow_run_id", "runs", ["workflow_run_id"])
    op.create_index("ix_runs_channel_id_thread_ts", "runs", ["channel_id", "thread_ts"])
    op.create_table(
        "drafts",
        sa.Column("form_id", sa.String, nullable=False),
        sa.Column("user_id", sa.String, nullable=False),
        sa.Column("entered", sa.JSON, nullable=False),
        sa.Column("saved_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("form_id", "user_id", name="pk_drafts"),
        sa.ForeignKeyConstraint(["form_id"], ["forms.form_id"], name="fk_drafts_form_id_forms"),
    )
