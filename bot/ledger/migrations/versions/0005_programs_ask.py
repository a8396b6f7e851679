"""Commands from API clients: their CI run, idempotency key, and refusal."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add the columns and the index."""
    op.add_column("requests", sa.Column("ci", sa.Text()))
    op.add_column("requests", sa.Column("breaks_glass", sa.Boolean(), nullable=False, server_default=sa.false()))
    for name in ("ci", "key", "digest", "error"):
        op.add_column("asks", sa.Column(name, sa.Text()))
    op.add_column("asks", sa.Column("outcome", sa.Text(), nullable=False, server_default=""))
    there = sa.text("key IS NOT NULL")
    op.create_index(
        "one_ask_of_a_key", "asks", ["caller", "key"], unique=True, sqlite_where=there, postgresql_where=there
    )
