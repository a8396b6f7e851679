"""Support for several processes on one ledger: leases, 64-bit numbers, Procrastinate's queue, ordered transitions.

The queue's tables and functions come from the installed version of Procrastinate. A test in tests/contracts/ledger
fails if a newer version needs more.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

NUMBERED = (
    "requests",
    "votes",
    "moves",
    "asks",
    "notes",
    "findings",
    "freezes",
    "copies",
    "bars",
    "monitors",
    "measurements",
    "readings",
    "calls",
    "incidents",
)


def upgrade() -> None:
    """Add the columns and the table. On PostgreSQL, make numbers eight bytes wide, and add the queue."""
    op.add_column("notes", sa.Column("claimed_by", sa.Text()))
    op.add_column("notes", sa.Column("claimed_until", _utc()))
    op.create_table(
        "leases",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("until", _utc(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_leases"),
    )
    op.create_index("moves_in_order", "moves", ["model", "number"])
    if op.get_bind().dialect.name != "postgresql":
        return
    for table in (*NUMBERED, "audit_events", "audit_head"):
        op.alter_column(table, "number", type_=sa.BigInteger(), existing_type=sa.Integer())
    for table in NUMBERED:
        op.execute(f"ALTER SEQUENCE {table}_number_seq AS bigint")
    # Bypasses SQLAlchemy, whose driver reads the text's percent signs as parameters.
    driver = op.get_bind().connection.driver_connection
    assert driver is not None
    from procrastinate.schema import SchemaManager  # noqa: PLC0415 - SQLite needs no PostgreSQL driver

    driver.execute(SchemaManager.get_schema())


def _utc() -> sa.DateTime:
    return sa.DateTime(timezone=True)
