"""Conversations: their order, which of their messages hold up later ones, and what became of one that was held."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

# The rule of `Run.is_answering` at this step.
_IS_ANSWERING = """
    (status IN ('requested', 'starting', 'running', 'resuming') AND NOT told_stuck)
    OR (
        status = 'paused'
        AND EXISTS (
            SELECT 1 FROM forms
            WHERE forms.run_id = runs.run_id AND forms.status IN ('claimed', 'submitting', 'settling')
        )
    )
"""


def upgrade() -> None:
    """Add them."""
    op.add_column("runs", sa.Column("said_at", sa.DateTime(timezone=True)))
    op.execute("UPDATE runs SET said_at = created_at")
    op.add_column("runs", sa.Column("is_answering", sa.Boolean, nullable=False, server_default=sa.false()))
    op.execute(f"UPDATE runs SET is_answering = TRUE WHERE {_IS_ANSWERING}")
    op.add_column("runs", sa.Column("texts", sa.JSON))
    op.execute("UPDATE runs SET texts = '[]'")
    op.add_column("runs", sa.Column("crowded", sa.Boolean, nullable=False, server_default=sa.false()))
    op.add_column("runs", sa.Column("question_ts", sa.String))
    op.add_column("runs", sa.Column("settlement", sa.JSON(none_as_null=True)))
    op.drop_index("ix_runs_channel_id_thread_ts", "runs")
    op.create_index("ix_runs_channel_id_thread_ts_said_at", "runs", ["channel_id", "thread_ts", "said_at"])
    goes_on = sa.text("ended_at IS NULL")
    op.create_index(
        "ix_runs_channel_id_thread_ts",
        "runs",
        ["channel_id", "thread_ts"],
        sqlite_where=goes_on,
        postgresql_where=goes_on,
    )
