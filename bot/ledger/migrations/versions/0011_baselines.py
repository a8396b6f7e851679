"""Baselines, each frozen as a summary at the start of its term."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Add the table. Each monitor's next check creates its baseline from the measurements before its term."""
    utc = sa.DateTime(timezone=True)
    op.create_table(
        "baselines",
        sa.Column("monitor", sa.Text(), primary_key=True),
        sa.Column("move", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("since", utc, nullable=False),
        sa.Column("until", utc, nullable=False),
        sa.Column("made_at", utc, nullable=False),
        sa.Column("summary", sa.Text(), nullable=False),
    )
