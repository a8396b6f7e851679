"""Several processes on one ledger: leases, numbers that do not run out, the queue of Procrastinate; moves in order.

The queue's tables and functions are those of the installed version; tests/contracts/ledger tells when a newer one
wants more.
"""

import sqlalchemy as sa
from alembic import op
from procrastinate.schema import SchemaManager

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
    """Add columns and the table; on PostgreSQL let numbers have eight bytes, and add the queue."""
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
    # Past SQLAlchemy, whose driver takes the text's percent signs for places of parameters.
    driver = op.get_bind().connection.driver_connection
    assert driver is not None
    driver.execute(SchemaManager.get_schema())


def _utc() -> sa.DateTime:
    return sa.DateTime(timezone=True)
