"""Who works on what, when people are reminded, and what they were told of a Dify that does not answer."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Add them."""
    op.create_table(
        "processes",
        sa.Column("process_id", sa.String, nullable=False),
        sa.Column("lease_until", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("process_id", name="pk_processes"),
    )
    op.create_table(
        "follows",
        sa.Column("run_id", sa.String, nullable=False),
        sa.Column("process_id", sa.String, nullable=False),
        sa.PrimaryKeyConstraint("run_id", name="pk_follows"),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name="fk_follows_run_id_runs"),
    )
    op.add_column("outbox", sa.Column("owner", sa.String))
    # What a process of before had begun has an owner that is gone.
    op.execute("UPDATE outbox SET owner = '0001' WHERE state IN ('sending', 'held')")
    ended = sa.text("ended_at IS NOT NULL")
    op.create_index("ix_runs_ended_at", "runs", ["ended_at"], sqlite_where=ended, postgresql_where=ended)
    op.add_column("runs", sa.Column("told_refused", sa.Boolean, nullable=False, server_default=sa.false()))
    op.add_column("runs", sa.Column("failed_looks", sa.Integer, nullable=False, server_default="0"))
    op.add_column("runs", sa.Column("compared_at", _MOMENT))
    op.add_column("runs", sa.Column("compared_steps", sa.Integer))
    op.drop_index("ix_runs_poll_at", "runs")
    op.create_index("ix_runs_poll_at_app", "runs", ["poll_at", "app"])
    undecided = sa.text("status IN ('required', 'open')")
    op.create_index(
        "ix_forms_expires_at_run_id",
        "forms",
        ["expires_at", "run_id"],
        sqlite_where=undecided,
        postgresql_where=undecided,
    )
    op.add_column("forms", sa.Column("asked_at", _MOMENT))
    op.add_column("forms", sa.Column("delayed", sa.Boolean, nullable=False, server_default=sa.false()))
    op.add_column("forms", sa.Column("not_shown", sa.Boolean, nullable=False, server_default=sa.false()))
    op.add_column("forms", sa.Column("remind_at", _MOMENT))
    op.create_index("ix_forms_remind_at", "forms", ["remind_at"])
