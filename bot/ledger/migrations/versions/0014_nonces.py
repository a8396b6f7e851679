"""Used nonces: which signed calls and identity tokens have already been accepted."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    """Add the table. Calls from before the upgrade had no nonces."""
    op.create_table(
        "nonces",
        sa.Column("scope", sa.Text(), primary_key=True),
        sa.Column("nonce", sa.Text(), primary_key=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
    )
