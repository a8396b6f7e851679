"""How an incident ended and who ended it, and the review after breaking glass.

Previously, only an incident's sentence said how it ended. Earlier requests have no due date for a review, so they don't
need one.
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

# What an older version of Registrar wrote. It didn't record whether a monitor was paused, changed, or removed.
_ENDINGS = """
UPDATE incidents SET ending = CASE
    WHEN doing = 'not followed' THEN 'not confirmed'
    WHEN doing = 'superseded' OR resolution LIKE '%"template":"Overtaken: %' THEN 'overtaken'
    WHEN resolution LIKE '%"template":"Ended: {monitor} was paused, %' THEN 'unwatched'
    WHEN doing = 'rolled back' THEN 'restored'
    ELSE 'recovered' END
WHERE resolved_at IS NOT NULL
"""


def upgrade() -> None:
    """Add the columns, and fill in how incidents ended."""
    utc = sa.DateTime(timezone=True)
    op.add_column("incidents", sa.Column("ending", sa.Text()))
    op.add_column("incidents", sa.Column("ended_by", sa.Text()))
    op.add_column("incidents", sa.Column("ended_in", sa.Text(), nullable=False, server_default=""))
    op.execute(_ENDINGS)
    op.add_column("requests", sa.Column("review_due", utc))
    op.add_column("requests", sa.Column("reviewed_by", sa.Text()))
    op.add_column("requests", sa.Column("reviewed_at", utc))
    op.add_column("requests", sa.Column("review_reason", sa.Text(), nullable=False, server_default=""))
    op.add_column("requests", sa.Column("review_reminded", sa.Integer(), nullable=False, server_default="0"))
    waits = sa.text("review_due IS NOT NULL AND reviewed_at IS NULL")
    op.create_index("requests_to_review", "requests", ["review_due"], sqlite_where=waits, postgresql_where=waits)
