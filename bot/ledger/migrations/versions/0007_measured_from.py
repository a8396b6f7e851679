"""A monitor's first revision that measured the same thing, newest reading, and usual value; a message's file.

All values of existing monitors still count.
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Add the columns."""
    op.add_column("monitors", sa.Column("measured_from", sa.Integer(), nullable=False, server_default="1"))
    op.add_column("standings", sa.Column("newest", sa.DateTime(timezone=True)))
    op.add_column("standings", sa.Column("usual", sa.Double()))
    op.add_column("postings", sa.Column("file", sa.Text(), nullable=False, server_default=""))
