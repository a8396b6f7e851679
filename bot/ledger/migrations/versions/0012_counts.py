"""Counts: out of how many a value is; the evidence that a rule has gathered; and a term's last failed verdict."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Add the columns. Nothing of before is a count, and evidence is gathered from the next check on."""
    for table in ("measurements", "readings", "standings"):
        op.add_column(table, sa.Column("total", sa.Double()))
    op.add_column("standings", sa.Column("evidence", sa.Text()))
    op.add_column("standings", sa.Column("failed_at", sa.DateTime(timezone=True)))
