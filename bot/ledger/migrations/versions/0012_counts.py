"""Counts (the total of a value), evidence, a term's last failed verdict, and baselines from a version's own days."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Add the columns. No earlier value is a count, and evidence starts with the next check."""
    for table in ("measurements", "readings", "standings"):
        op.add_column(table, sa.Column("total", sa.Double()))
    op.add_column("standings", sa.Column("evidence", sa.Text()))
    op.add_column("standings", sa.Column("failed_at", sa.DateTime(timezone=True)))
    utc = sa.DateTime(timezone=True)
    op.create_table(
        "own_baselines",
        sa.Column("monitor", sa.Text(), primary_key=True),
        sa.Column("move", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("since", utc, nullable=False),
        sa.Column("until", utc, nullable=False),
        sa.Column("made_at", utc, nullable=False),
        sa.Column("summary", sa.Text(), nullable=False),
    )
