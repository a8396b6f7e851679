"""Turns: when a channel's next message can be posted."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Add the table. A channel's first message can be posted at once."""
    op.create_table(
        "turns",
        sa.Column("channel", sa.Text(), primary_key=True),
        sa.Column("next_at", sa.DateTime(timezone=True), nullable=False),
    )
