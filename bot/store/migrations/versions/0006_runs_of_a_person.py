"""What somebody has started, for their Home: of 100,000 runs a look through all took SQLite a tenth of a second."""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Let it be found by who started it."""
    op.create_index("ix_runs_starter_id_ended_at", "runs", ["starter_id", "ended_at"])
