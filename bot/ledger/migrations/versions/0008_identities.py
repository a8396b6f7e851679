"""Version identities in requests, transitions, and snapshots; revoked votes; transition start times; and holds.

Existing rows have no identity. The first poll fills it in and marks it as taken on trust.
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Add the columns and the table."""
    utc, count = sa.DateTime(timezone=True), sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    for table, name in (
        ("requests", "identity"),
        ("requests", "incumbent_identity"),
        ("moves", "identity"),
        ("looks", "marks"),
        ("looks", "tags"),
    ):
        op.add_column(table, sa.Column(name, sa.Text()))
    op.add_column("votes", sa.Column("lapsed", sa.Text(), nullable=False, server_default=""))
    op.add_column("moves", sa.Column("trusted_at", utc))
    op.add_column("moves", sa.Column("began_at", utc))
    op.add_column("looks", sa.Column("created_at", utc))
    # No one knows how far an older version got with a transition that it had begun.
    op.execute("UPDATE moves SET began_at = intended_at WHERE state IN ('intended', 'executing') AND attempts > 0")
    op.create_table(
        "holds",
        sa.Column("number", count, primary_key=True, autoincrement=True),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("at", utc, nullable=False),
        sa.Column("lines", sa.Text(), nullable=False),
        sa.Column("keys", sa.Text(), nullable=False),
        sa.Column("lifted_at", utc),
        sa.Column("lifted_by", sa.Text()),
        sa.Column("outcome", sa.Text(), nullable=False, server_default=""),
        *(
            sa.Column(name, count, nullable=False, server_default="0")
            for name in ("requests", "moves", "asks", "copies")
        ),
        sa.PrimaryKeyConstraint("number", name="pk_holds"),
        sa.UniqueConstraint("id", name="uq_holds_id"),
        sqlite_autoincrement=True,
    )
    active = sa.text("lifted_at IS NULL")
    op.create_index("holds_that_hold", "holds", ["number"], sqlite_where=active, postgresql_where=active)
    op.create_index("copies_by_model", "copies", ["model", "number"])
