"""Files that people give to runs, and files that runs give out."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add them."""
    op.add_column("runs", sa.Column("attachments", sa.JSON))
    op.add_column("runs", sa.Column("out_files", sa.JSON))
    op.execute("UPDATE runs SET attachments = '[]', out_files = '[]'")
    op.add_column("forms", sa.Column("card_ts", sa.String))
