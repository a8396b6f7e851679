"""Version digests and passports."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Add the tables. Versions from before the upgrade get a digest with their next request."""
    op.create_table(
        "digests",
        sa.Column("number", _NUMBER, primary_key=True),
        sa.Column("id", sa.Text(), nullable=False, unique=True),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("identity", sa.Text(), nullable=False),
        sa.Column("requested_at", _TIME, nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("manifest", sa.Text(), nullable=False),
        sa.Column("partial", sa.Text(), nullable=False),
        sa.Column("file_count", _NUMBER),
        sa.Column("byte_count", _NUMBER),
        sa.Column("due_at", _TIME),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("recorded_at", _TIME),
        sa.Column("began_at", _TIME),
        sa.Column("compared_at", _TIME),
        sa.Column("changed", sa.Text(), nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "passports",
        sa.Column("number", _NUMBER, primary_key=True),
        sa.Column("id", sa.Text(), nullable=False, unique=True),
        sa.Column("move", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("stage", sa.Text(), nullable=False),
        sa.Column("identity", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("envelope", sa.Text(), nullable=False),
        sa.Column("issued_at", _TIME, nullable=False),
        sa.Column("expires_at", _TIME, nullable=False),
        sqlite_autoincrement=True,
    )
    is_due, is_changed = sa.text("due_at IS NOT NULL"), sa.text("changed != '[]'")
    in_effect = sa.text("cleared_at IS NULL")
    op.create_index("digests_by_version", "digests", ["model", "version", "number"])
    op.create_index("digests_that_are_due", "digests", ["due_at"], sqlite_where=is_due, postgresql_where=is_due)
    op.create_index("digests_that_changed", "digests", ["number"], sqlite_where=is_changed, postgresql_where=is_changed)
    op.create_index("bars_in_effect", "bars", ["number"], sqlite_where=in_effect, postgresql_where=in_effect)
    op.create_index("passports_by_move", "passports", ["move", "number"])
    op.create_index("passports_by_version", "passports", ["model", "version", "number"])
    op.create_index("passports_by_expiry", "passports", ["expires_at"])
