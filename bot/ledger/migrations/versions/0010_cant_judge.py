"""How long a monitor has had no verdict, when it last had one, and when it last had no value.

Previously, a monitor that couldn't reach a verdict counted as warming up. A monitor that was compared with its baseline
or had a verdict was able to reach one, so the time of its last check stands in for that of its last verdict.
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
    """Add the columns, and fill in the last verdicts."""
    utc = sa.DateTime(timezone=True)
    op.add_column("standings", sa.Column("unjudged", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("standings", sa.Column("judged_at", utc))
    op.add_column("standings", sa.Column("missed_at", utc))
    op.execute(_WAS_JUDGING)
