"""The agents that make requests."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    """Add the columns. No earlier request came from an agent."""
    for table in ("asks", "requests"):
        op.add_column(table, sa.Column("agent", sa.Text()))
