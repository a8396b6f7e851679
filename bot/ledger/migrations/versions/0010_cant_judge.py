"""How long a monitor has had no verdict, when it had its last one, and when it had no figure.

Until now a monitor that couldn't judge was warming up. One that was compared with its baseline, or that stood as
judged, has been judging: when it was checked last is close enough to its last verdict.
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"

_WAS_JUDGING = """
UPDATE standings SET judged_at = at
WHERE usual IS NOT NULL OR (state IN ('ok', 'pending', 'failed') AND value IS NOT NULL)
"""


def upgrade() -> None:
    """Add the columns, and fill in who has been judging."""
    utc = sa.DateTime(timezone=True)
    op.add_column("standings", sa.Column("unjudged", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("standings", sa.Column("judged_at", utc))
    op.add_column("standings", sa.Column("missed_at", utc))
    op.execute(_WAS_JUDGING)
