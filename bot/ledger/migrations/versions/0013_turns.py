"""Turns: when the next message can go to a channel."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Add the table. A channel's first message can go immediately."""
    op.create_table(
        "turns",
        sa.Column("channel", sa.Text(), primary_key=True),
        sa.Column("next_at", sa.DateTime(timezone=True), nullable=False),
    )
