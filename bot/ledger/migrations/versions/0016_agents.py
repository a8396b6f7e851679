"""The agents that make requests."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    """Add the columns, and an index on proposed monitors. No earlier request came from an agent."""
    for table in ("asks", "requests"):
        op.add_column(table, sa.Column("agent", sa.Text()))
    is_proposal = sa.text("state IN ('draft') AND agent IS NOT NULL")
    op.create_index("asks_proposed", "asks", ["number"], sqlite_where=is_proposal, postgresql_where=is_proposal)
